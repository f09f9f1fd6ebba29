//! A worker and its connections in memory: after close every count is zero again, and what a
//! player gets does not depend on what others send.

#![expect(
    clippy::disallowed_methods,
    reason = "any instant will do to begin with"
)]

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use tailwater::config::{Config, Pace};
use tailwater::net::transport::Transport;
use tailwater::rtmp::command::write_command;
use tailwater::rtmp::message::{MessageHeader, Payload, Timestamp, kind};
use tailwater::rtmp::writer::write_message;
use tailwater::worker::core::{Core, Shared};

use super::cases;
use super::scripts::client_bytes;

/// A socket that gives prepared bytes and keeps what it is sent.
#[derive(Debug, Default)]
struct Socket {
    input: Vec<u8>,
    at: usize,
    /// No more comes behind the input: the peer has closed.
    is_closed: bool,
    /// Nothing is taken.
    is_deaf: bool,
    sent: Vec<u8>,
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let rest = &self.input[self.at..];
        if rest.is_empty() && !self.is_closed {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_deaf {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.sent.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let joined: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        self.write(&joined)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Socket {
    fn shutdown_write(&mut self) {}
}

/// A worker without its event loop.
struct World {
    core: Core<Socket>,
    shared: Arc<Shared<Socket>>,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let config = Config {
            pace: Pace::Fixed(Duration::ZERO),
            ping: None,
            // Everybody here comes from one address.
            max_per_address: None,
            ..Config::default()
        };
        let shared = Arc::new(Shared::new(config, 1, 1_000));
        let now = Instant::now();
        Self {
            core: Core::new(0, shared.clone(), 7, now),
            shared,
            now,
        }
    }

    fn accept(&mut self) -> (usize, u32) {
        let peer = "127.0.0.1:1".parse().unwrap();
        let key = self.core.accept(Socket::default(), peer).unwrap();
        (key, self.core.generation(key).unwrap())
    }

    /// The socket, while its connection is there.
    fn socket(&mut self, (key, generation): (usize, u32)) -> Option<&mut Socket> {
        if self.core.generation(key) != Some(generation) {
            return None;
        }
        self.core.socket_mut(key)
    }

    /// Sends `bytes` to the relay and lets it read.
    fn send(&mut self, conn: (usize, u32), bytes: &[u8]) {
        let Some(socket) = self.socket(conn) else {
            return;
        };
        socket.input.drain(..socket.at);
        socket.at = 0;
        socket.input.extend_from_slice(bytes);
        self.core.on_ready(conn.0, true, true);
        self.turns(20, Duration::from_millis(1));
    }

    fn turns(&mut self, count: u32, step: Duration) {
        for _ in 0..count {
            self.now += step;
            self.core.set_now(self.now);
            self.core.ingress();
            self.core.feed();
            self.core.egress();
            self.core.serve_woken();
            self.core.expire();
            self.core.outbound().clear();
            self.core.new_publishers().clear();
        }
    }

    /// The peer is gone.
    fn hang_up(&mut self, conn: (usize, u32)) {
        if let Some(socket) = self.socket(conn) {
            socket.is_closed = true;
            self.core.on_hangup(conn.0);
            self.turns(1, Duration::from_millis(1));
        }
    }
}

/// Everything a client says until it publishes or plays `front` of the app `house`.
fn opening(role: &str) -> Vec<u8> {
    let mut wire = vec![0; 1 + 2 * 1_536];
    wire[0] = 3;
    write_command(&mut wire, 0, 128, |amf| {
        amf.string("connect").number(1.0).begin_object();
        amf.string_property("app", "house").end_object();
    });
    write_command(&mut wire, 0, 128, |amf| {
        amf.string("createStream").number(2.0).null();
    });
    write_command(&mut wire, 1, 128, |amf| {
        amf.string(role).number(3.0).null().string("front");
    });
    wire
}

/// A picture and a sound; every fifth picture is a key frame.
fn tick(number: u32) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut put = |message_kind: u8, csid: u32, body: &[u8]| {
        let header = MessageHeader {
            csid,
            timestamp: Timestamp(number * 40),
            kind: message_kind,
            msid: 1,
            len: body.len(),
        };
        write_message(&mut wire, &header, &Payload::from_slice(body), 128);
    };
    let first = if number.is_multiple_of(5) { 0x17 } else { 0x27 };
    let mut picture = vec![number.to_le_bytes()[0]; 700];
    picture[..5].copy_from_slice(&[first, 1, 0, 0, 0]);
    put(kind::VIDEO, 6, &picture);
    put(kind::AUDIO, 4, &[0xAF, 1, number.to_le_bytes()[0]]);
    wire
}

/// A publisher and two players, one of which joins in the middle, beside clients that send
/// `others` in three pieces; what the players got.
fn players_beside(others: &[(Vec<u8>, bool)]) -> [Vec<u8>; 2] {
    let mut world = World::new();
    let publisher = world.accept();
    let players = [world.accept(), world.accept()];
    let hostile: Vec<_> = others
        .iter()
        .map(|(_, is_deaf)| {
            let conn = world.accept();
            world.socket(conn).unwrap().is_deaf = *is_deaf;
            conn
        })
        .collect();
    world.send(publisher, &opening("publish"));
    world.send(players[0], &opening("play"));
    for number in 0..30 {
        world.send(publisher, &tick(number));
        if number == 12 {
            world.send(players[1], &opening("play"));
        }
        if number % 5 == 3 {
            let part = number as usize / 10;
            for (conn, (wire, _)) in hostile.iter().zip(others) {
                let third = wire.len().div_ceil(3).max(1);
                world.send(*conn, wire.chunks(third).nth(part).unwrap_or_default());
            }
        }
        if number == 25 {
            hostile.iter().for_each(|conn| world.hang_up(*conn));
        }
    }
    players.map(|player| std::mem::take(&mut world.socket(player).unwrap().sent))
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn after_close_every_count_is_zero_again(
        clients in vec((client_bytes(16), any::<bool>()), 1..5),
        order in any::<bool>(),
    ) {
        let mut world = World::new();
        let mut conns = Vec::new();
        for (wire, is_deaf) in &clients {
            let conn = world.accept();
            world.socket(conn).unwrap().is_deaf = *is_deaf;
            conns.push(conn);
            let half = wire.len() / 2;
            world.send(conn, &wire[..half]);
            world.send(conn, &wire[half..]);
        }
        prop_assert!(world.core.connections() <= clients.len());
        if order {
            conns.reverse();
        }
        for conn in conns {
            world.hang_up(conn);
        }
        // Past every grace, wait and linger.
        world.turns(60, Duration::from_secs(1));
        prop_assert_eq!(world.core.connections(), 0);
        prop_assert_eq!(world.core.census(), (0, 0));
        prop_assert_eq!(world.shared.admission.connections(), 0);
        prop_assert!(world.shared.registry.is_empty(), "no stream is known");
        prop_assert!(!world.core.has_leftovers());
    }

    #[test]
    fn players_get_the_same_beside_whoever_sends_what(
        others in vec((client_bytes(24), any::<bool>()), 1..4),
    ) {
        let alone = players_beside(&others.iter().map(|_| (Vec::new(), false)).collect::<Vec<_>>());
        let beside = players_beside(&others);
        // Enough came at all: a handshake, and most of thirty pictures.
        prop_assert!(alone[0].len() > 24_000 && alone[1].len() > 14_000);
        prop_assert!(beside == alone, "what a player got has changed");
    }
}
