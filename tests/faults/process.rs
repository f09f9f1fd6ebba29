//! What befalls the process itself while it serves: a request to stop, and a wall clock that is
//! set.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use tailwater::rtmp::control::UserControl;
use tailwater::rtmp::message::{MessageStreamId, kind};

use crate::bystanders::beside;
use crate::{raw, together};
use support::relay::{Relay, binary};
use support::wire::{Film, Seen, Wire, media_of};
use support::{BUSY, SOON, now, pause};

const STREAMS: usize = 4;
const PLAYERS_OF_EACH: usize = 8;

/// Publishes in real time until it is told that it is over; what it was told.
fn publish(relay: std::net::SocketAddr, stream: usize, sent: &AtomicU32) -> Vec<Seen> {
    let mut wire = Wire::publish(relay, &format!("film-{stream}"));
    let mut film = Film::new("film", 0);
    wire.send_all(&film.headers);
    let mut seen = Vec::new();
    for number in 0.. {
        let messages = match number % 10 {
            0 => film.group(0),
            _ => film.more(1),
        };
        wire.send_all(&messages);
        sent.store(number, Ordering::Relaxed);
        seen.extend(wire.next(Duration::from_millis(40)));
        if !seen.is_empty() {
            seen.extend(wire.until_closed());
            return seen;
        }
    }
    seen
}

#[test]
fn sigterm_under_load_tells_everybody_and_loses_nothing() {
    let _turn = together();
    let mut relay = Relay::start(&["--workers", "2", "--drain", "5", "--max-per-address", "0"]);
    let address = relay.address();
    let sent: [AtomicU32; STREAMS] = std::array::from_fn(|_| AtomicU32::new(0));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let players: Vec<_> = (0..STREAMS * PLAYERS_OF_EACH)
            .map(|number| {
                let stream = number % STREAMS;
                let mut wire = Wire::play(address, &format!("film-{stream}"));
                (
                    stream,
                    scope.spawn(move || wire.until_closed_within(3 * SOON)),
                )
            })
            .collect();
        let publishers: Vec<_> = sent
            .iter()
            .enumerate()
            .map(|(stream, sent)| scope.spawn(move || publish(address, stream, sent)))
            .collect();
        // Others come and go all the time, and some are in the middle of a handshake.
        let churn = scope.spawn(|| {
            let mut halves = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let Ok(mut socket) = raw::open(address, raw::Origin::default()) else {
                    return halves;
                };
                let bytes = raw::playing("film-0");
                let half = halves.len() < 20;
                let bytes = if half { &bytes[..2_000] } else { &bytes };
                // The relay may be gone by now.
                let _: std::io::Result<()> = std::io::Write::write_all(&mut socket, bytes);
                if half {
                    halves.push(socket);
                }
                pause(Duration::from_millis(2));
            }
            halves
        });
        pause(Duration::from_secs(2));
        let known: Vec<u32> = sent
            .iter()
            .map(|sent| sent.load(Ordering::Relaxed))
            .collect();
        pause(Duration::from_millis(500));
        let asked = now();
        relay.signal(Signal::TERM);
        for (stream, player) in players {
            let seen = player.join().expect("a player that is told");
            check_player(&seen, known[stream]);
        }
        for publisher in publishers {
            let seen = publisher.join().expect("a publisher that is told");
            let end = [
                Seen::status("NetStream.Unpublish.Success"),
                Seen::Closed(true),
            ];
            assert!(seen.ends_with(&end), "{seen:?}");
        }
        over.store(true, Ordering::Relaxed);
        drop(churn.join());
        relay.ended(SOON);
        let took = asked.elapsed();
        assert!(
            took < Duration::from_secs(5) + BUSY,
            "stopped after {took:?}"
        );
    });
}

/// A player got everything up to what was sent well before the end, and then was told.
#[track_caller]
fn check_player(seen: &[Seen], known: u32) {
    let end = [
        Seen::Control(UserControl::StreamEof(MessageStreamId(1))),
        Seen::status("NetStream.Play.UnpublishNotify"),
        Seen::Closed(true),
    ];
    let last = &seen[seen.len().saturating_sub(4)..];
    assert!(seen.ends_with(&end), "{last:?}");
    let numbers: Vec<u32> = media_of(seen)
        .iter()
        .filter(|media| media.kind == kind::VIDEO && !media.is_header())
        .filter_map(support::wire::Media::number)
        .collect();
    let gap = numbers.windows(2).find(|pair| pair[1] != pair[0] + 1);
    assert_eq!(gap, None, "in {numbers:?}");
    let last = numbers.last().copied().unwrap_or(0);
    assert!(last >= known, "the last was {last}, {known} had been sent");
}

const DAY: i64 = 86_400;

/// The years of the lines of a log, `[2026-11-22T...`.
fn years(log: &str) -> BTreeSet<i32> {
    let year = |line: &str| line.strip_prefix('[')?.get(..4)?.parse().ok();
    log.lines().filter_map(year).collect()
}

#[test]
fn a_wall_clock_that_jumps_is_not_noticed() {
    let _turn = together();
    let dir = support::scratch("clock");
    let library = crate::built("clock.c", &["-shared", "-fPIC"], &dir);
    let step = dir.join("step");
    std::fs::write(&step, 0_i64.to_ne_bytes()).unwrap();
    let mut command = Command::new(binary());
    command
        .args([
            "--listen",
            "127.0.0.1:0",
            "--workers",
            "2",
            "--log",
            "debug",
        ])
        .args(["--stats-interval", "200ms", "--publish-idle", "3"])
        .args([
            "--send-timeout",
            "3",
            "--setup-timeout",
            "30",
            "--ping",
            "1",
        ])
        .args(["--handshake-timeout", "30", "--play-wait", "30"])
        .env("LD_PRELOAD", &library)
        .env("CLOCK_STEP", &step);
    let mut relay = Relay::start_command(&mut command, 1);
    let this_year = *years(&relay.log()).first().expect("a line at the start");
    let steps = [3_600, -3_600, DAY, -DAY, 30 * 365 * DAY, -30 * 365 * DAY, 0];
    let mut waiting = Wire::play(relay.address(), "nothing");
    let (idle, figures) = beside(&relay, 2, || {
        let idle = raw::open(relay.address(), raw::Origin::default()).unwrap();
        relay.wait_stat("connections", 5);
        let file = File::options().write(true).open(&step).unwrap();
        for seconds in steps {
            file.write_all_at(&seconds.to_ne_bytes(), 0).unwrap();
            // Something to log under the new time.
            let mut wire = Wire::play(relay.address(), "nothing");
            wire.settle();
            pause(Duration::from_millis(500));
        }
        relay.wait_stat("connections", 5);
        idle
    });
    let p99 = figures.p99();
    assert!(p99 < BUSY, "others wait for {p99:?}");
    // That the clock was moved at all shows in the log.
    let seen = years(&relay.log());
    for year in [this_year + 30, this_year - 30] {
        let near = seen.iter().any(|seen| (seen - year).abs() <= 1);
        assert!(near, "no line of {year}, only of {seen:?}");
    }
    let log = relay.log();
    for line in log.lines().filter(|line| line.contains(" closed ")) {
        assert!(line.contains("reason=peer_closed"), "{line}");
    }
    // Deadlines still count in real time: a new publisher that falls silent is closed.
    drop(idle);
    let seen = waiting.settle();
    let ended = |seen: &Seen| matches!(seen, Seen::Closed(_) | Seen::Status(..));
    assert!(!seen.iter().any(ended), "it still waits: {seen:?}");
    let mut silent = Wire::publish(relay.address(), "silent");
    let begun = now();
    silent.until_closed();
    let took = begun.elapsed();
    let bounds = Duration::from_secs(2)..Duration::from_secs(8);
    assert!(bounds.contains(&took), "closed after {took:?}");
    relay.stop();
    std::fs::remove_dir_all(dir).unwrap();
}
