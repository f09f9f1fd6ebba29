//! What the steady state costs in memory: no allocation for a message and none for a player,
//! counted by an allocator of its own; and how little an idle player or publisher holds.
//!
//! Workers run without their event loops, on sockets that swallow what is written.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that fails panics, and its figures are the point"
)]

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tailwater::config::{Config, Pace};
use tailwater::limits;
use tailwater::net::transport::Transport;
use tailwater::rtmp::control::Control;
use tailwater::rtmp::message::kind;
use tailwater::worker::core::Core;
use tailwater::worker::ids::{ConnId, WorkerId};
use tailwater::worker::mail::Mail;
use tailwater::worker::shared::Shared;

use support::memory::{Counting, allocations, held};
use support::worker;
use tailwater_testkit::script;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A socket that gives prepared bytes and swallows what it is sent.
#[derive(Debug, Default)]
struct Socket {
    input: Vec<u8>,
    at: usize,
    /// At most so many bytes a read, as from a network; 0 for all there is.
    step: usize,
    swallowed: u64,
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let rest = &self.input[self.at..];
        if rest.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let most = if self.step == 0 {
            into.len()
        } else {
            self.step.min(into.len())
        };
        let count = rest.len().min(most);
        into[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.swallowed += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let count = slices.iter().map(|slice| slice.len()).sum();
        self.swallowed += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Socket {
    fn shutdown_write(&mut self) {}
}

/// Everything a client says until it publishes or plays `name`, in one piece.
fn opening(command: &str, name: &str) -> Vec<u8> {
    let mut wire = script::opening(command, "live", name);
    Control::SetChunkSize(4_096).encode(&mut wire);
    wire
}

/// One tick of a 600 kbit/s stream: a picture, and one or two messages of sound.
fn tick(number: u32) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut put = |message_kind: u8, time: u32, body: &[u8]| {
        script::encode(&mut wire, (message_kind, time, 1), body, 4_096);
    };
    let time = number * TICK_MS;
    let key = number.is_multiple_of(50);
    let (first, len) = if key { (0x17, 12_000) } else { (0x27, 2_400) };
    let mut picture = vec![0; len];
    picture[..2].copy_from_slice(&[first, 1]);
    put(kind::VIDEO, time, &picture);
    for sound in 0..1 + number % 2 {
        let mut body = [0; 190];
        body[..2].copy_from_slice(&[0xAF, 1]);
        put(kind::AUDIO, time + sound * 20, &body);
    }
    wire
}

const TICK_MS: u32 = 40;
const WARM_UP: u32 = 500;
const MEASURED: u32 = 1_500;

/// Workers and what goes between them.
struct World {
    cores: Vec<Core<Socket>>,
    now: Instant,
    mail: Vec<(WorkerId, Mail<Socket>)>,
}

impl World {
    fn new(workers: usize) -> Self {
        let config = Config {
            pace: Pace::Fixed(Duration::ZERO),
            publish_idle: Duration::from_secs(3_600),
            // A ping a minute is no part of the steady state.
            ping: None,
            max_per_address: None,
            ..Config::default()
        };
        let shared = Arc::new(Shared::new(config, workers, 100_000));
        let now = worker::any_instant();
        let core = |worker| Core::new(WorkerId::new(worker), shared.clone(), 7, now);
        Self {
            cores: (0..workers).map(core).collect(),
            now,
            mail: Vec::new(),
        }
    }

    fn join(&mut self, worker: usize, command: &str, name: &str, step: usize) -> ConnId {
        let input = opening(command, name);
        let socket = Socket {
            input,
            step,
            ..Socket::default()
        };
        let peer = "127.0.0.1:1".parse().unwrap();
        let key = self.cores[worker].accept(socket, peer).unwrap();
        self.read_all(worker, key);
        let socket = self.cores[worker].socket_mut(key).unwrap();
        assert_eq!(socket.at, socket.input.len(), "{command} was read");
        assert!(socket.swallowed > 3_073, "{command} was answered");
        socket.input = Vec::new();
        socket.at = 0;
        key
    }

    /// Gives the publisher `key` of the first worker more to send.
    fn publish(&mut self, key: ConnId, bytes: &[u8]) {
        let socket = self.cores[0].socket_mut(key).unwrap();
        assert_eq!(socket.at, socket.input.len(), "the last tick was read");
        socket.input.clear();
        socket.input.extend_from_slice(bytes);
        socket.at = 0;
        self.read_all(0, key);
    }

    /// Turns until the socket has nothing more; each read is an arrival of its own.
    fn read_all(&mut self, worker: usize, key: ConnId) {
        loop {
            let socket = self.cores[worker].socket_mut(key).unwrap();
            if socket.at == socket.input.len() {
                return;
            }
            self.cores[worker].on_ready(key, true, false);
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.now += Duration::from_millis(u64::from(TICK_MS) / 2);
        for _ in 0..4 {
            for core in &mut self.cores {
                core.turn(&mut self.now);
                self.mail.append(core.outbound());
            }
            for (to, mail) in self.mail.drain(..) {
                self.cores[to.index()].receive(mail);
            }
        }
    }

    fn swallowed(&mut self, worker: usize, key: ConnId) -> u64 {
        self.cores[worker].socket_mut(key).unwrap().swallowed
    }
}

/// Allocations in the steady state of one publisher and `players` players on each worker; the
/// publisher's bytes come in reads of `step`.
fn steady(workers: usize, players: usize, step: usize) -> u64 {
    let ticks: Vec<Vec<u8>> = (0..WARM_UP + MEASURED).map(tick).collect();
    let mut world = World::new(workers);
    let publisher = world.join(0, "publish", "cam", step);
    let mut watched = Vec::new();
    for worker in 0..workers {
        for _ in 0..players {
            watched.push((worker, world.join(worker, "play", "cam", 0)));
        }
    }
    let (warm_up, measured) = ticks.split_at(WARM_UP as usize);
    for bytes in warm_up {
        world.publish(publisher, bytes);
        world.turn();
    }
    let before_bytes = watched
        .iter()
        .map(|&(worker, key)| world.swallowed(worker, key));
    let before_bytes: Vec<u64> = before_bytes.collect();
    let before = allocations();
    for bytes in measured {
        world.publish(publisher, bytes);
        world.turn();
    }
    let count = allocations() - before;
    let sent: usize = measured.iter().map(Vec::len).sum();
    for (&(worker, key), before) in watched.iter().zip(before_bytes) {
        let got = world.swallowed(worker, key) - before;
        // The relay's chunks are larger than the publisher's, so that it sends a little less.
        let share = got as f64 / sent as f64;
        assert!(
            (0.98..=1.0).contains(&share),
            "a player got {share} of the stream"
        );
    }
    count
}

/// Bytes that each of `count` idle clients holds once it publishes or plays.
fn idle(command: &str, count: usize) -> i64 {
    let mut world = World::new(1);
    if command == "play" {
        let publisher = world.join(0, "publish", "cam", 0);
        world.publish(publisher, &tick(0));
    }
    let name = |number: usize| match command {
        "play" => "cam".to_owned(),
        _ => format!("cam{number}"),
    };
    let mut join = |number: usize| {
        let key = world.join(0, command, &name(number), 0);
        if command == "publish" {
            world.publish(key, &tick(1));
            world.turn();
            world.cores[0].socket_mut(key).unwrap().input = Vec::new();
            world.cores[0].socket_mut(key).unwrap().at = 0;
        }
    };
    // Tables that grow by doubling are left out as far as they can be.
    (0..count).for_each(&mut join);
    let before = held();
    (count..2 * count).for_each(&mut join);
    // Idle means that nothing has come for a while.
    for _ in 0..4 {
        world.now += Duration::from_secs(10);
        world.turn();
    }
    (held() - before) / i64::try_from(count).unwrap()
}

#[test]
fn the_steady_state_allocates_nothing_and_the_idle_hold_little() {
    let messages = MEASURED * 5 / 2;
    let bytes: usize = (WARM_UP..WARM_UP + MEASURED)
        .map(|number| tick(number).len())
        .sum();
    // A block that two workers hold goes back to the one that lets go last. When that is not the
    // one with the publisher, it takes a new one: the block and its counter, each 64 KiB.
    let blocks = (bytes / limits::BLOCK_BYTES) as u64;
    for (workers, players, step, allowed) in [
        (1, 1_000, 0, 0),
        (1, 10, 1_448, 0),
        (2, 200, 0, 2 * blocks + 4),
    ] {
        let allocations = steady(workers, players, step);
        let case = format!("workers={workers} players={players} read={step}");
        println!("{case}: {allocations} allocations in {messages} messages, {bytes} bytes");
        assert!(
            allocations <= allowed,
            "{case}: {allocations}, allowed {allowed}"
        );
    }
    let player = idle("play", 1_024);
    println!("an idle player holds {player} bytes");
    assert!((1..=2_048).contains(&player), "{player}");
    let publisher = idle("publish", 256);
    println!("an idle publisher holds {publisher} bytes");
    assert!((1..=16_384).contains(&publisher), "{publisher}");
}
