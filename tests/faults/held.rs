//! One worker gets no processor time for seconds, as when something of a higher priority has its
//! core. The others go on as if nothing were, nothing piles up for the held one beyond its bounds,
//! and whoever is served by it is served again as soon as it runs: without loss, or from a key
//! frame on when it is behind by more than may be kept.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tailwater::rtmp::message::kind;

use crate::bystanders::{STREAM, beside_these, pictures};
use crate::{alone, built, raw};
use support::relay::Relay;
use support::wire::{Film, Seen, Wire};
use support::{BUSY, SOON, now, pause};
use tailwater_testkit::commands;

/// How long the worker is held.
const HELD: Duration = Duration::from_secs(3);
/// Within this, whoever was kept waiting by the held worker is served again.
const CAUGHT_UP: Duration = Duration::from_secs(2);

/// A worker that is held; it runs again when this is dropped.
struct Hold(Child);

impl Hold {
    #[track_caller]
    fn worker(relay: &Relay, worker: usize) -> Self {
        let program = built("hold.c", &[], relay.dir());
        let mut child = Command::new(program)
            .args([thread_of(relay, worker), (2 * HELD).as_millis().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it was just built");
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().expect("a pipe"));
        said.read_line(&mut line).unwrap();
        assert_eq!(line, "held\n", "this test needs root and ptrace");
        Self(child)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let ended = self.0.wait();
        let released = ended.is_ok_and(|status| status.success());
        assert!(released || std::thread::panicking(), "the worker was held");
    }
}

/// The id of the thread that is worker number `worker`.
#[track_caller]
fn thread_of(relay: &Relay, worker: usize) -> String {
    let name = format!("worker-{worker}\n");
    std::fs::read_dir(format!("/proc/{}/task", relay.id()))
        .expect("the relay runs")
        .filter_map(Result::ok)
        .find(|task| std::fs::read_to_string(task.path().join("comm")).is_ok_and(|it| it == name))
        .map(|task| task.file_name().to_string_lossy().into_owned())
        .expect("a thread of that name")
}

/// How long each of many new players waits for its first answer. The kernel deals them out to the
/// workers.
fn waits_of_new_players(relay: SocketAddr) -> Vec<Duration> {
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(move || {
                    let begun = now();
                    let mut socket = raw::open(relay, raw::Origin::default()).unwrap();
                    socket.write_all(&raw::playing(STREAM)).unwrap();
                    raw::until(&mut socket, "NetStream.Play.Start", SOON);
                    begun.elapsed()
                })
            })
            .collect();
        let waits = waiting.into_iter();
        waits
            .map(|thread| thread.join().expect("one that is served"))
            .collect()
    })
}

#[test]
fn while_a_worker_is_held_the_players_of_the_other_notice_nothing() {
    let _turn = alone();
    let relay = Relay::start(&["--workers", "2"]);
    let address = relay.address();
    let publisher = Wire::publish(address, STREAM);
    let free = relay.worker_of(&publisher);
    let players = relay.on_each_worker(2, || Wire::play(address, STREAM));
    let (waits, figures) = beside_these(publisher, players, || {
        pause(Duration::from_secs(1));
        std::thread::scope(|scope| {
            let hold = Hold::worker(&relay, 1 - free);
            let waits = scope.spawn(|| waits_of_new_players(address));
            pause(HELD);
            drop(hold);
            waits.join().expect("all are served")
        })
    });
    let (near, far) = (&figures[free], &figures[1 - free]);
    let (p99, longest) = (near.p99(), near.longest());
    eprintln!(
        "free: p99 {p99:?}, longest {longest:?}; held: {far:?}",
        far = far.longest()
    );
    // On a quiet machine a few milliseconds. Whoever waits for the held worker waits for all of it.
    assert!(p99 < HELD / 2, "p99 {p99:?}");
    assert!(longest < HELD - HELD / 6, "longest {longest:?}");
    // That it was held at all; and nothing was lost, or `beside_these` had failed.
    let longest = far.longest();
    let bounds = HELD - Duration::from_millis(100)..HELD + BUSY;
    assert!(bounds.contains(&longest), "held up for {longest:?}");
    // Nobody can take a connection away from the worker it was dealt to.
    let prompt = |wait: &&Duration| **wait < HELD - HELD / 6;
    assert!(waits.iter().any(|wait| prompt(&wait)), "{waits:?}");
    let late = waits.iter().find(|wait| **wait > HELD + BUSY);
    assert_eq!(late, None, "{waits:?}");
    assert_eq!(relay.stats()["dropped"], 0);
}

/// A picture as a player got it.
#[derive(Clone, Copy, Debug)]
struct Got {
    number: u32,
    key: bool,
    at: Instant,
}

/// Everything a player gets until `over` and all that was on its way then.
fn watch(mut player: Wire, over: &AtomicBool) -> Vec<Got> {
    let mut got = Vec::new();
    loop {
        let is_over = over.load(Ordering::Relaxed);
        match player.next(Duration::from_millis(300)) {
            Some(Seen::Media(media)) if media.kind == kind::VIDEO && !media.is_header() => {
                let number = media.number().expect("a picture, whole");
                let key = media.is_key();
                got.push(Got {
                    number,
                    key,
                    at: now(),
                });
            }
            Some(Seen::Closed(_)) => panic!("closed after {:?}", got.last()),
            Some(_) => {}
            None if is_over => return got,
            None => {}
        }
    }
}

/// Where a player missed something; it goes on with a key frame.
#[track_caller]
fn jumps(got: &[Got]) -> usize {
    let jumps = got
        .windows(2)
        .filter(|pair| pair[1].number != pair[0].number + 1);
    jumps
        .map(|pair| {
            assert!(pair[1].number > pair[0].number, "back: {pair:?}");
            assert!(pair[1].key, "goes on in the middle: {pair:?}");
        })
        .count()
}

/// Bytes of one picture of the next test, ...
const PICTURE_BYTES: usize = 40_000;
/// ... of which so many are sent at a time.
const AT_A_TIME: usize = 4;

#[test]
fn what_piles_up_for_a_held_worker_is_bounded_and_its_players_jump() {
    let _turn = alone();
    let relay = Relay::start(&["--workers", "2", "--lag-max", "6m"]);
    let address = relay.address();
    let mut publisher = Wire::publish(address, "film");
    let free = relay.worker_of(&publisher);
    publisher.send_all(&Film::new("film", 0).headers);
    let mut players = relay.on_each_worker(2, || Wire::play(address, "film"));
    let (over, mut sent) = (AtomicBool::new(false), 0);
    let (far, near) = (players.remove(1 - free), players.remove(0));
    std::thread::scope(|scope| {
        let [near, far] = [near, far].map(|wire| scope.spawn(|| watch(wire, &over)));
        let mut pictures = pictures(PICTURE_BYTES);
        let mut most = 0;
        // 8 MB a second.
        let mut publish_for = |time: Duration| {
            let begun = now();
            let mut due = begun;
            while begun.elapsed() < time {
                for picture in pictures.by_ref().take(AT_A_TIME) {
                    publisher.send(&picture);
                    sent += 1;
                }
                most = most.max(relay.resident_bytes());
                due += Duration::from_millis(20);
                pause(due.saturating_duration_since(now()));
            }
            (sent, most)
        };
        let (first, before) = publish_for(Duration::from_secs(1));
        let hold = Hold::worker(&relay, 1 - free);
        let (last, most) = publish_for(HELD);
        drop(hold);
        let released = now();
        publish_for(CAUGHT_UP);
        over.store(true, Ordering::Relaxed);
        let [near, far] = [near, far].map(|thread| thread.join().expect("a player to the end"));
        let piled = (last - first) as usize * PICTURE_BYTES;
        let grown = most.saturating_sub(before);
        eprintln!("{piled} bytes published meanwhile, {grown} bytes more in use");
        // 8 MiB may be under way, and what one group of pictures and the allocator add.
        assert!(piled > 20 << 20, "only {piled} bytes");
        assert!(grown < 12 << 20, "{grown} bytes for {piled}");
        assert_eq!(jumps(&near), 0, "the free worker's player missed something");
        assert_eq!(near.last().map(|got| got.number + 1), Some(sent));
        assert!((1..=3).contains(&jumps(&far)), "{} jumps", jumps(&far));
        assert_eq!(far.last().map(|got| got.number + 1), Some(sent));
        let up = far
            .iter()
            .find(|got| got.number >= last)
            .expect("the last is beyond");
        let took = up.at - released;
        eprintln!("caught up after {took:?} and {} jumps", jumps(&far));
    });
    assert!(relay.stats()["dropped"] > 0, "the jump is counted");
}

#[test]
fn what_piles_up_over_many_lives_of_a_stream_is_bounded() {
    const LIVES: usize = 12;
    let _turn = alone();
    let relay = Relay::start(&["--workers", "2", "--grace", "0"]);
    let mut publisher = Wire::publish(relay.address(), "film");
    let free = relay.worker_of(&publisher);
    let _players = relay.on_each_worker(2, || Wire::play(relay.address(), "film"));
    let before = relay.resident_bytes();
    let _hold = Hold::worker(&relay, 1 - free);
    for life in 0..LIVES {
        for picture in pictures(80_000).take(100) {
            publisher.send(&picture);
        }
        publisher.settle();
        publisher.command(1, commands::close_stream());
        pause(Duration::from_millis(50));
        publisher.command(1, commands::publish("film"));
        publisher.until_status("NetStream.Publish.Start");
        let grown = relay.resident_bytes().saturating_sub(before);
        eprintln!("life {life}: {grown} bytes more in use");
    }
    let grown = relay.resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes for {LIVES} lives");
}
