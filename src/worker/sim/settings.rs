//! The settings of a simulated world, drawn by chance.

use std::time::Duration;

use super::rng::Rng;
use crate::config::listen::Proxies;
use crate::config::{Config, Pace, Switch, Takeover};

/// Settings that a test of thousands of steps gets to the bounds of.
pub(super) fn draw(rng: &mut Rng) -> Config {
    let seconds = |rng: &mut Rng, values: &[u64]| Duration::from_secs(rng.pick(values));
    let millis = |rng: &mut Rng, values: &[u64]| Duration::from_millis(rng.pick(values));
    let log_bytes = rng.pick(&[256 << 10, 1 << 20, 16 << 20]);
    Config {
        app: vec!["live".to_owned()],
        chunk_size: rng.pick(&[128, 1_000, 4_096, 65_536, 65_536, 1 << 20]),
        gop_cache: rng.pick(&[Switch::On, Switch::On, Switch::Off]),
        grace: millis(rng, &[0, 300, 2_000, 10_000]),
        handshake_timeout: seconds(rng, &[2, 10]),
        lag_max: rng.pick(&[64 << 10, 256 << 10, 4 << 20]).min(log_bytes),
        log_bytes,
        max_per_address: rng.pick(&[None, Some(1_000), Some(1_000), Some(3)]),
        max_streams: rng.pick(&[None, Some(10_000), Some(10_000), Some(1)]),
        memory_max: rng.pick(&[None, None, None, Some(1 << 20), Some(4 << 20)]),
        pace: match rng.below(6) {
            0 | 1 => Pace::Fixed(Duration::ZERO),
            2 => Pace::Fixed(Duration::from_millis(5)),
            3 => Pace::Fixed(Duration::from_millis(50)),
            4 => Pace::Fixed(Duration::from_millis(350)),
            _ => Pace::Auto,
        },
        pace_max: millis(rng, &[100, 350]),
        ping: rng
            .pick(&[None, Some(1), Some(60)])
            .map(Duration::from_secs),
        play_wait: millis(rng, &[0, 500, 2_000, 10_000]),
        proxy_protocol: vec![Proxies::parse("10.9.9.9").unwrap()],
        publish_bitrate_max: rng.pick(&[None, Some(200_000_000), Some(2_000_000)]),
        publish_idle: seconds(rng, &[3, 15]),
        read_budget: rng.pick(&[4 << 10, 64 << 10, 256 << 10]),
        send_timeout: seconds(rng, &[2, 30]),
        setup_timeout: seconds(rng, &[3, 15]),
        skips_max: rng.pick(&[None, None, None, Some(1), Some(3)]),
        takeover: rng.pick(&[Takeover::Refuse, Takeover::Replace]),
        window: seconds(rng, &[0, 0, 2, 30]),
        ..Config::default()
    }
}
