//! A simulation of relays that fetch streams from each other and hand them on: each has workers,
//! a registry and mail of its own, and all have one clock. Beside them are servers that answer
//! badly, names that lead nowhere, and lines that are cut or let nothing through.
//!
//! ```text
//!   encoder -> relay == cable == relay -> viewer (the judge)
//!                 \=== cable === server that takes, refuses or keeps silent
//! ```
//!
//! In some worlds letters between the workers of a relay are lost, and hours pass at once.
//!
//! Who is connected to whom is drawn with the seed: an edge and one or two origins, a chain, a
//! circle, a relay that hands on. Everybody may get a message again when a line is called anew,
//! and never else; what a worker keeps is checked after each step, see also the module above.

mod cable;
mod checks;
mod directed;
mod hostile;
mod lines;
mod relay;
mod script;
mod server;
mod topology;
mod viewer;
mod world;

use super::{Counted, Trace, assert_enough, try_seeds};
use world::World;

/// Seeds tried when nothing else is said.
const SEEDS: u64 = 128;

/// The same of worlds with hostile origins.
const HOSTILE_SEEDS: u64 = 48;

/// Steps between two times at which everything may come to rest.
const REST_EVERY: usize = 1_000;

/// A world of several relays.
fn live(seed: u64, steps: usize, trace: &Trace) -> Counted {
    let mut world = World::new(seed, trace.clone());
    for step in 0..steps {
        world.step(step);
        if step % REST_EVERY == REST_EVERY - 1 {
            world.rest();
        }
    }
    world.end();
    world.counted()
}

#[test]
fn whatever_happens_between_relays_streams_arrive_and_nothing_is_left_behind() {
    let Some((counted, tally)) = try_seeds(live, SEEDS) else {
        return;
    };
    assert_enough(&[
        ("messages", counted.messages_in),
        ("panics", counted.bugs),
        ("origins lost", counted.pull_failures),
        ("targets lost", counted.push_failures),
        ("pushes refused", counted.push_refusals),
        ("cut lines", tally.cuts),
        ("deaths", tally.deaths),
        ("ways astray", tally.astray),
        ("letters lost", tally.letters),
        ("leaps of the clock", tally.leaps),
        ("restarts", tally.restarts),
        ("messages handed on", tally.handed),
        ("panics half-way", tally.panics),
    ]);
}

#[test]
fn viewers_have_an_honest_origin_whatever_hostile_ones_do() {
    try_seeds(hostile::live, HOSTILE_SEEDS);
}
