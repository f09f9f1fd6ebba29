//! Which relays there are, and which rules each has.

use std::time::Duration;

use super::super::rng::Rng;
use super::super::settings;
use crate::config::{Config, Switch};
use crate::edge::rule::Rule;

/// Rules of the relays, in order: pull, then push. `rN` is a relay, `fN` a server of another kind.
struct Shape {
    rules: &'static [(&'static str, &'static str)],
    /// Where publishers mostly come to.
    sources: &'static [usize],
}

const SHAPES: [Shape; 12] = [
    Shape {
        rules: &[("rtmp://r1", ""), ("", "")],
        sources: &[1],
    },
    Shape {
        rules: &[("rtmp://r1,rtmp://r2", ""), ("", ""), ("", "")],
        sources: &[1, 2],
    },
    Shape {
        rules: &[("rtmp://r1,rtmp://r2", ""), ("", ""), ("rtmp://r1", "")],
        sources: &[1],
    },
    Shape {
        rules: &[("", "rtmp://r1"), ("", "")],
        sources: &[0],
    },
    Shape {
        rules: &[("", "rtmp://r1 rtmp://f0"), ("", "")],
        sources: &[0],
    },
    Shape {
        rules: &[("rtmp://f0,rtmp://r1", ""), ("", "rtmp://f1")],
        sources: &[1],
    },
    // Origins judge queries.
    Shape {
        rules: &[("rtmp://r1?{query}", ""), ("", "")],
        sources: &[1],
    },
    Shape {
        rules: &[("rtmp://f0?{query},rtmp://r1?{query}", ""), ("", "")],
        sources: &[0, 1, 1],
    },
    // A circle.
    Shape {
        rules: &[("rtmp://r1", ""), ("rtmp://r0", "")],
        sources: &[0, 1],
    },
    // A chain.
    Shape {
        rules: &[("rtmp://r1", ""), ("rtmp://r2", ""), ("", "")],
        sources: &[2],
    },
    // Two origins, of which one has the stream from the other.
    Shape {
        rules: &[("rtmp://r1,rtmp://r2", ""), ("", "rtmp://r2"), ("", "")],
        sources: &[1],
    },
    // An edge that encoders publish to.
    Shape {
        rules: &[("live=rtmp://r1", "rtmp://r1 rtmp://f0"), ("", "")],
        sources: &[0, 0, 1],
    },
];

/// The settings of every relay, and where publishers mostly come to.
pub(super) fn draw(rng: &mut Rng) -> (Vec<Config>, &'static [usize]) {
    let shape = &SHAPES[rng.below(SHAPES.len())];
    let base = settings::draw(rng);
    let seconds = |rng: &mut Rng, values: &[u64]| Duration::from_secs(rng.pick(values));
    let base = Config {
        max_per_address: base.max_per_address.filter(|most| *most > 3),
        max_streams: None,
        memory_max: None,
        publish_bitrate_max: None,
        skips_max: None,
        handshake_timeout: Duration::from_secs(10),
        publish_idle: Duration::from_secs(15),
        setup_timeout: Duration::from_secs(15),
        send_timeout: seconds(rng, &[5, 30]),
        grace: Duration::from_millis(rng.pick(&[0, 300, 2_000])),
        play_wait: Duration::from_millis(rng.pick(&[0, 500, 2_000])),
        pull_give_up: seconds(rng, &[3, 8, 15]),
        pull_linger: seconds(rng, &[0, 1, 10]),
        pull_timeout: seconds(rng, &[2, 5]),
        push_strict: rng.pick(&[Switch::Off, Switch::Off, Switch::On]),
        ..base
    };
    let rule = |text: &str| Rule::parse(text).expect("a rule");
    let configs = shape.rules.iter().map(|(pull, push)| Config {
        pull: pull.split_whitespace().map(rule).collect(),
        push: push.split_whitespace().map(rule).collect(),
        ..base.clone()
    });
    (configs.collect(), shape.sources)
}
