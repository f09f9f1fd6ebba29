//! What a publisher sends counts for it alone: not for the one that comes after it, not for
//! others when memory is short, and not without a bound between two rounds.

use super::*;
use crate::config::Pace;

#[test]
fn a_log_is_bounded_between_two_rounds() {
    let mut stage = Stage::new(|config| config.pace = Pace::Fixed(MS(350)));
    let source = stage.publish("cam");
    stage.key_frame(source, 100);
    for _ in 0..100 {
        stage.key_frame(source, 1_000_000);
    }
    let (_, stream) = stage.core.streams.iter().next().unwrap();
    let held = stream.log.held_bytes();
    assert!(held < 32 * MIB as u64, "{held} bytes, log-bytes is 16 MiB");
}
