//! The hostile corpus: what a peer may send that no relay should fall over, in tables, played
//! against a session, against a worker with simulated sockets, and against the running binary
//! while healthy clients run beside it. Cases of servers, which the relay is a client of, are
//! played against a session, and against the running binary as origins and as targets
//! (live_client).
//!
//! ```text
//!   handshake  chunks  control  timestamps  amf  commands  media  client_role     the tables,
//!                                                                             and elsewhere
//!         \________________________ case (bytes) ____________________/
//!                /                      |                      \
//!           session                  worker                    live
//!     events, held bytes,     the same, and reason of     sockets, several at
//!     replies, any pieces     close, nothing left over    a time, a real process
//! ```
//!
//! A case says where a connection stands, what the peer sends, how it has to end and what the
//! relay has to say. Bytes are put together by hand here and replies are read by a decoder of
//! these tests, so that the encoder and the reader of the relay are not tried with themselves.
//! Families have the names `H` (handshake and transport), `C` (chunk layer), `A` (AMF0 and
//! commands) and `W5` (a hostile origin).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that fails panics, and says where"
)]

mod amf;
mod bytes;
mod case;
mod chunks;
mod client_role;
mod closings;
mod commands;
mod control;
mod dice;
mod elsewhere;
mod handshake;
mod heard;
mod live;
mod live_client;
mod media;
mod session;
mod timestamps;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{MutexGuard, PoisonError};

use case::{Case, Limit};
use support::memory::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Cases there are at least.
const CASES_MIN: usize = 400;

/// Families that are tried by tests of their own beside the tables.
const APART: [(&str, &str); 1] = [(
    "C25",
    "session::c25_acknowledgements_wrap_behind_4_gib: 4 GiB are too many for every way to play",
)];

/// Cases that show a defect which is known: the name of the case, where it fails, and why. One
/// that does not fail any more has to go from here.
const KNOWN: [(&str, &str, &str); 0] = [];

fn all() -> Vec<Case> {
    let mut cases = handshake::cases();
    cases.extend(chunks::cases());
    cases.extend(control::cases());
    cases.extend(timestamps::cases());
    cases.extend(amf::cases());
    cases.extend(commands::cases());
    cases.extend(media::cases());
    cases.extend(client_role::mirrored(&cases));
    cases.extend(client_role::cases());
    cases.extend(elsewhere::cases());
    cases.extend(dice::cases());
    cases
}

/// `TAILWATER_HOSTILE=WORDS` plays the cases alone that have these words in their names.
fn chosen() -> Vec<Case> {
    let words = std::env::var_os("TAILWATER_HOSTILE");
    let words = words
        .map(|words| words.to_string_lossy().into_owned())
        .unwrap_or_default();
    let mut cases = all();
    cases.retain(|case| case.name.contains(&words));
    cases
}

/// Fails with everything that failed and is not known, and with what is known and does not fail.
fn report(place: &str, played: &[&Case], failed: &[(String, String)]) {
    let known: BTreeMap<&str, &str> = KNOWN
        .iter()
        .filter(|(_, at, _)| *at == place)
        .map(|&(name, _, why)| (name, why))
        .collect();
    println!("{place}: {} cases, {} failed", played.len(), failed.len());
    let mut lines = Vec::new();
    for (name, why) in failed {
        match known.get(name.as_str()) {
            Some(reason) => println!("known: {name}: {why} ({reason})"),
            None => lines.push(format!("{name}: {why}")),
        }
    }
    for name in known.keys() {
        let was_played = played.iter().any(|case| case.name == *name);
        let has_failed = failed.iter().any(|(failed, _)| failed == name);
        if was_played && !has_failed {
            lines.push(format!(
                "{name}: is known to fail and does not: take it off the list"
            ));
        }
    }
    lines.sort();
    assert!(
        lines.is_empty(),
        "{place}: {} cases:\n{}",
        lines.len(),
        lines.join("\n")
    );
}

/// Tries each of `cases`, on as many threads as there are cores; what failed, by name.
fn try_each(
    cases: &[&Case],
    attempt: impl Fn(&Case) -> Result<(), String> + Sync,
) -> Vec<(String, String)> {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
    let play = || {
        let mut failed = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = catch_unwind(AssertUnwindSafe(|| attempt(case)));
            let result = result.unwrap_or_else(|_| Err("panicked".to_owned()));
            failed.extend(result.err().map(|why| (case.name.clone(), why)));
        }
        failed
    };
    std::thread::scope(|scope| {
        let players: Vec<_> = (0..threads).map(|_| scope.spawn(play)).collect();
        players
            .into_iter()
            .flat_map(|player| player.join().unwrap())
            .collect()
    })
}

#[test]
fn there_are_enough_cases_of_every_family_and_no_two_of_one_name() {
    let cases = all();
    println!("{} cases", cases.len());
    assert!(cases.len() >= CASES_MIN, "{}", cases.len());
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    let mut seen = BTreeSet::new();
    let twice: Vec<&str> = cases
        .iter()
        .map(|case| case.name.as_str())
        .filter(|name| !seen.insert(*name))
        .collect();
    assert_eq!(names.len(), cases.len(), "{twice:?}");
    let numbered = |letter: &str, last: u32| -> Vec<String> {
        (1..=last)
            .map(|number| format!("{letter}{number}"))
            .collect()
    };
    let mut families = numbered("H", 7);
    families.extend(numbered("C", 25));
    families.extend(numbered("A", 18));
    families.push("W5".to_owned());
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for case in &cases {
        assert!(case.name.starts_with(case.family), "{}", case.name);
        *counts.entry(case.family).or_default() += 1;
    }
    println!("{counts:?}");
    for family in &families {
        let is_apart = APART.iter().any(|(name, _)| name == family);
        assert!(
            is_apart || counts.contains_key(family.as_str()),
            "{family} is missing"
        );
    }
    assert!(
        counts
            .keys()
            .all(|family| families.iter().any(|known| known == family))
    );
    let needed: BTreeSet<String> = cases
        .iter()
        .filter_map(|case| case.needs.map(|limit| format!("{limit:?}")))
        .collect();
    let limits = [
        Limit::Replies,
        Limit::Roles,
        Limit::Player,
        Limit::ChunkSizes,
        Limit::Messages,
        Limit::Glitches,
        Limit::Partial,
        Limit::Headers,
    ];
    for limit in limits {
        assert!(
            needed.contains(&format!("{limit:?}")),
            "no case for {limit:?}"
        );
    }
    for (name, place, _) in KNOWN {
        assert!(names.contains(name), "{name}");
        assert!(["session", "worker", "live"].contains(&place), "{place}");
    }
}

/// One way to play at a time: what runs on a real clock wants the machine for itself.
#[expect(
    clippy::disallowed_types,
    reason = "tests that would be in each other's way"
)]
fn alone() -> MutexGuard<'static, ()> {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_session_holds_little_and_reads_the_same_in_pieces() {
    let _turn = alone();
    let cases = chosen();
    let cases: Vec<&Case> = cases.iter().filter(|case| case.places.session).collect();
    let failed = try_each(&cases, session::try_case);
    report("session", &cases, &failed);
}

#[test]
fn a_worker_closes_for_the_right_reason_and_the_healthy_notice_nothing() {
    let _turn = alone();
    closings::listen();
    let cases = chosen();
    let cases: Vec<&Case> = cases.iter().filter(|case| case.places.worker).collect();
    let failed = try_each(&cases, worker::try_case);
    report("worker", &cases, &failed);
}

#[test]
fn a_worker_keeps_no_more_when_all_is_played_again() {
    let _turn = alone();
    closings::listen();
    let cases = chosen();
    // What is known to fail ends the attempt.
    let is_known = |case: &Case| KNOWN.iter().any(|(name, _, _)| *name == case.name);
    let cases: Vec<&Case> = cases
        .iter()
        .filter(|case| case.places.worker && !is_known(case))
        .collect();
    worker::try_again(&cases).unwrap();
}

#[test]
fn a_running_relay_survives_them_all_while_the_healthy_notice_nothing() {
    let _turn = alone();
    let cases = chosen();
    let cases: Vec<&Case> = cases.iter().filter(|case| case.places.live).collect();
    let failed = live::try_cases(&cases);
    report("live", &cases, &failed);
}

#[test]
fn a_running_relay_survives_hostile_servers_while_its_other_lines_go_on() {
    let _turn = alone();
    let cases = chosen();
    let cases: Vec<&Case> = cases.iter().filter(|case| case.state.is_origin()).collect();
    let failed = live_client::try_cases(&cases);
    report("servers", &cases, &failed);
}
