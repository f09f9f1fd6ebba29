//! What a publisher sends counts for it alone: not for the one that comes after it, not for
//! others when memory is short, and not without a bound between two rounds.

use super::*;
use crate::config::Pace;

fn delete_stream(stage: &mut Stage, guest: usize) {
    stage.guests[guest].session.send_command(0, |amf| {
        amf.string("deleteStream").number(0.0).null().number(1.0);
    });
}

#[test]
fn a_publisher_does_not_answer_for_the_headers_of_the_one_before() {
    let mut stage = Stage::new(|config| config.grace = S(10));
    let bad = stage.publish("cam");
    let most = limits::HEADER_CHANGES.burst() + limits::GLITCHES.burst();
    for number in 0..most + 50 {
        let [a, b, ..] = number.to_le_bytes();
        stage.send(bad, kind::VIDEO, &[0x17, 0, 0, 0, 0, a, b], 20);
    }
    // In the same read, so that nobody has counted yet.
    delete_stream(&mut stage, bad);
    stage.settle();
    let good = stage.publish("cam");
    stage.key_frame(good, 100);
    stage.key_frame(good, 100);
    stage.check_heard(good, &["Publish.Start"]);
}

#[test]
fn the_headers_of_a_publisher_are_kept_whatever_the_one_before_sent() {
    let mut stage = Stage::new(|config| config.grace = S(10));
    let bad = stage.publish("cam");
    for number in 0..limits::HEADER_CHANGES.burst() {
        let [a, b, ..] = number.to_le_bytes();
        stage.send(bad, kind::VIDEO, &[0x17, 0, 0, 0, 0, a, b], 20);
    }
    delete_stream(&mut stage, bad);
    stage.settle();
    let good = stage.publish("cam");
    stage.send(good, kind::VIDEO, &[0x17, 0, 0, 0, 0, 1, 2, 3], 30);
    stage.key_frame(good, 100);
    stage.wait(S(5));
    stage.key_frame(good, 100);
    let player = stage.play("cam");
    assert_eq!(stage.guests[player].media, 2, "header and key frame");
}

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
