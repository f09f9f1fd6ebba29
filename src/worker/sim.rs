//! A simulation of whole relays: one to four workers with a registry and mail between them,
//! clients with real sessions, sockets that are pipes, a clock that moves when it is told to.
//! Everything that happens comes from one seed, so that whatever fails can be looked at again.
//!
//! ```text
//!   encoder -> client -> wire -> EventLoop -> wire -> client -> player (the judge)
//!      |                           |   ^                          ^
//!      v                         mail, late                       |
//!    truth ------------------------------------------------------ +
//! ```
//!
//! A step lets clients act, moves some bytes and letters, and lets some of those workers take a
//! turn that have a reason to; then what a worker keeps is checked against itself, and nothing
//! may be left lying with nobody to come back to it. In some worlds letters are lost, workers panic
//! half-way, and the kernel tells of what is not there and refuses what it is asked; in all some
//! wake-ups are lost, and the clock leaps. Workers are those of production, with their event loops:
//! reactor.rs is what is around them. Truth and judges are those of `testkit`.
//!
//! `TAILWATER_SIM_SEED=N` replays one seed with a trace, `TAILWATER_SIM_STEPS=N` ends it there,
//! `TAILWATER_SIM_SEEDS=N` tries so many, from `TAILWATER_SIM_FIRST=N` on.

#![expect(
    clippy::disallowed_types,
    reason = "a simulated world is one thread that owns both ends of every socket"
)]

mod checks;
mod client;
mod directed;
mod edge;
mod encoder;
mod mishaps;
mod post;
mod reactor;
mod seats;
mod settings;
mod tables;
mod wire;
mod world;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use mishaps::Tally;
use tailwater_testkit::judge::{player, truth};
use tailwater_testkit::rng;
use world::World;

use crate::stats::Gauges;

/// Seeds tried when nothing else is said, and steps of each.
const SEEDS: u64 = 256;
const STEPS: usize = 3_000;

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

/// What workers have counted, and what else has happened.
type Counted = (Gauges, Tally);

fn sum(counted: impl Iterator<Item = Counted>) -> Counted {
    counted.fold(Counted::default(), |sum, one| {
        (sum.0.plus(&one.0), sum.1.plus(&one.1))
    })
}

/// Lives through so many steps of one seed; what was counted in it.
type Life = fn(u64, usize, &Trace) -> Counted;

/// A world of one relay, see [`Life`].
fn live(seed: u64, steps: usize, trace: &Trace) -> Counted {
    let mut world = World::new(seed, trace.clone());
    for step in 0..steps {
        world.step(step);
        if step % 300 == 299 {
            world.rest();
        }
    }
    world.end();
    world.counted()
}

/// Lives through one seed, and again with a trace when that fails.
fn try_seed(live: Life, seed: u64, steps: usize, replay: bool) -> Counted {
    let quiet = Trace::default();
    if !replay && let Ok(counted) = catch_unwind(AssertUnwindSafe(|| live(seed, steps, &quiet))) {
        return counted;
    }
    let trace = Trace {
        lines: Some(Rc::default()),
        lines_max: if replay { usize::MAX } else { 150 },
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| live(seed, steps, &trace)));
    for line in trace.lines.iter().flat_map(|lines| lines.take()) {
        println!("{line}");
    }
    let what = match outcome {
        Ok(counted) => return counted,
        Err(what) => what,
    };
    let words = what.downcast_ref::<String>().map(String::as_str);
    let words = words.or_else(|| what.downcast_ref::<&str>().copied());
    let why = words.unwrap_or("a panic without words");
    panic!("TAILWATER_SIM_SEED={seed} TAILWATER_SIM_STEPS={steps} fails: {why}");
}

fn setting(name: &str) -> Option<u64> {
    let value = std::env::var_os(name)?;
    Some(value.to_str()?.parse().expect("a number"))
}

#[test]
fn whatever_happens_players_get_what_was_published_and_nothing_is_left_behind() {
    if let Some(counted) = try_seeds(live, SEEDS) {
        check_counted(&counted);
    }
}

/// Lives through as many seeds as are asked for, otherwise `count`; what was counted in them, if
/// they were enough to tell anything.
fn try_seeds(live: Life, count: u64) -> Option<Counted> {
    let steps = setting("TAILWATER_SIM_STEPS")
        .map_or(STEPS, |steps| usize::try_from(steps).unwrap_or(STEPS));
    if let Some(seed) = setting("TAILWATER_SIM_SEED") {
        try_seed(live, seed, steps, true);
        return None;
    }
    let seeds = setting("TAILWATER_SIM_SEEDS").unwrap_or(count);
    let first = setting("TAILWATER_SIM_FIRST").unwrap_or(0);
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
    let counted = std::thread::scope(|scope| {
        let of_thread = |thread: u64| {
            let seeds = (first + thread..first + seeds).step_by(threads);
            sum(seeds.map(|seed| try_seed(live, seed, steps, false)))
        };
        let threads: Vec<_> = (0..threads as u64)
            .map(|thread| scope.spawn(move || of_thread(thread)))
            .collect();
        sum(threads
            .into_iter()
            .map(|thread| thread.join().expect("it lived")))
    });
    (seeds >= count && steps >= STEPS).then_some(counted)
}

/// The simulation would be worth nothing if nothing happened in it.
fn check_counted((counted, tally): &Counted) {
    assert_enough(&[
        ("messages", counted.messages_in),
        ("skips", counted.skips),
        ("violations", counted.violations),
        ("panics", counted.bugs),
        ("shed", counted.shed),
        ("refused for want of room", counted.refused),
        ("refused by address", counted.refused_address),
        ("refused for want of memory", counted.refused_memory),
        ("publishes refused", counted.refused_publishes),
        ("letters lost", tally.letters),
        ("wake-ups lost", tally.wakes),
        ("leaps of the clock", tally.leaps),
        ("panics half-way", tally.panics),
        ("spurious events", tally.kernel.spurious),
        ("events of what is gone", tally.kernel.stale),
        ("sockets that cannot be watched", tally.kernel.unwatched),
        ("want of descriptors", tally.kernel.exhausted),
        (
            "connections gone before they are accepted",
            tally.kernel.aborted,
        ),
    ]);
}

/// Each of these has happened ten times at least.
fn assert_enough(counts: &[(&str, u64)]) {
    for (what, count) in counts {
        assert!(*count >= 10, "{count} {what} in all seeds: {counts:?}");
    }
}
