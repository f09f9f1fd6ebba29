//! A simulation of whole relays: one to four workers with a registry and mail between them,
//! clients with real sessions, sockets that are pipes, a clock that moves when it is told to.
//! Everything that happens comes from one seed, so that whatever fails can be looked at again.
//!
//! ```text
//!   encoder -> client -> wire -> Core -> wire -> client -> player (the judge)
//!      |                          |  ^                        ^
//!      v                        mail, late                    |
//!    truth -------------------------------------------------- +
//! ```
//!
//! A step lets clients act, moves some bytes and letters, and lets some of those workers take a
//! turn that have a reason to; then what a worker keeps is checked against itself, and nothing
//! may be left lying with nobody to come back to it.
//!
//! `TAILWATER_SIM_SEED=N` replays one seed with a trace, `TAILWATER_SIM_STEPS=N` ends it there,
//! `TAILWATER_SIM_SEEDS=N` tries so many.

#![expect(
    clippy::disallowed_types,
    reason = "a simulated world is one thread that owns both ends of every socket"
)]

mod checks;
mod client;
mod encoder;
mod player;
mod rng;
mod truth;
mod wire;
mod world;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use world::World;

/// Seeds tried when nothing else is said, and steps of each.
const SEEDS: u64 = 128;
const STEPS: usize = 1_500;

/// What happened last, for whoever looks at a failure.
#[derive(Clone, Debug, Default)]
struct Trace {
    lines: Option<Rc<RefCell<VecDeque<String>>>>,
    /// Lines that are kept.
    lines_max: usize,
}

impl Trace {
    fn note(&self, line: impl FnOnce() -> String) {
        if let Some(lines) = &self.lines {
            let mut lines = lines.borrow_mut();
            if lines.len() == self.lines_max {
                lines.pop_front();
            }
            lines.push_back(line());
        }
    }
}

/// Lives through one seed.
fn live(seed: u64, steps: usize, trace: &Trace) {
    let mut world = World::new(seed, trace.clone());
    for step in 0..steps {
        world.step(step);
        if step % 300 == 299 {
            world.rest();
        }
    }
    world.end();
}

/// Lives through one seed, and again with a trace when that fails.
fn try_seed(seed: u64, steps: usize, replay: bool) {
    let quiet = Trace::default();
    if !replay && catch_unwind(AssertUnwindSafe(|| live(seed, steps, &quiet))).is_ok() {
        return;
    }
    let trace = Trace {
        lines: Some(Rc::default()),
        lines_max: if replay { usize::MAX } else { 150 },
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| live(seed, steps, &trace)));
    for line in trace.lines.iter().flat_map(|lines| lines.take()) {
        println!("{line}");
    }
    if let Err(what) = outcome {
        let words = what.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| what.downcast_ref::<&str>().copied());
        let why = words.unwrap_or("a panic without words");
        panic!("TAILWATER_SIM_SEED={seed} TAILWATER_SIM_STEPS={steps} fails: {why}");
    }
}

fn setting(name: &str) -> Option<u64> {
    let value = std::env::var_os(name)?;
    Some(value.to_str()?.parse().expect("a number"))
}

#[test]
fn whatever_happens_players_get_what_was_published_and_nothing_is_left_behind() {
    let steps = setting("TAILWATER_SIM_STEPS")
        .map_or(STEPS, |steps| usize::try_from(steps).unwrap_or(STEPS));
    if let Some(seed) = setting("TAILWATER_SIM_SEED") {
        return try_seed(seed, steps, true);
    }
    let seeds = setting("TAILWATER_SIM_SEEDS").unwrap_or(SEEDS);
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
    std::thread::scope(|scope| {
        for thread in 0..threads as u64 {
            scope.spawn(move || {
                for seed in (thread..seeds).step_by(threads) {
                    try_seed(seed, steps, false);
                }
            });
        }
    });
}
