//! A worker and its connections in memory: after close every count is zero again, and what a
//! player gets does not depend on what others send.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tailwater::config::{Config, Pace};
use tailwater::rtmp::message::kind;
use tailwater::worker::ids::ConnId;

use super::cases;
use super::scripts::client_bytes;
use support::worker::{Ending, Pipe, Worker};
use tailwater_testkit::script::{self, opening};

/// A worker and who is connected to it.
struct World {
    worker: Worker,
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
        Self {
            worker: Worker::new(config),
        }
    }

    fn accept(&mut self) -> ConnId {
        self.worker.accept().unwrap()
    }

    /// The socket, while its connection is there.
    fn socket(&mut self, conn: ConnId) -> Option<&mut Pipe> {
        self.worker.core.socket_mut(conn)
    }

    /// Sends `bytes` to the relay and lets it read.
    fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        let Some(socket) = self.socket(conn) else {
            return;
        };
        socket.input.drain(..socket.at);
        socket.at = 0;
        socket.input.extend_from_slice(bytes);
        self.worker.core.on_ready(conn, true, true);
        self.worker.turns(20, Duration::from_millis(1));
    }

    /// The peer is gone.
    fn hang_up(&mut self, conn: ConnId) {
        if let Some(socket) = self.socket(conn) {
            socket.ending = Ending::Finish;
            self.worker.core.on_hangup(conn);
            self.worker.turns(1, Duration::from_millis(1));
        }
    }
}

/// A picture and a sound; every fifth picture is a key frame.
fn tick(number: u32) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut put = |message_kind: u8, body: &[u8]| {
        script::encode(&mut wire, (message_kind, number * 40, 1), body, 128);
    };
    let first = if number.is_multiple_of(5) { 0x17 } else { 0x27 };
    let mut picture = vec![number.to_le_bytes()[0]; 700];
    picture[..5].copy_from_slice(&[first, 1, 0, 0, 0]);
    put(kind::VIDEO, &picture);
    put(kind::AUDIO, &[0xAF, 1, number.to_le_bytes()[0]]);
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
            world.socket(conn).unwrap().deaf = *is_deaf;
            conn
        })
        .collect();
    world.send(publisher, &opening("publish", "house", "front"));
    world.send(players[0], &opening("play", "house", "front"));
    for number in 0..30 {
        world.send(publisher, &tick(number));
        if number == 12 {
            world.send(players[1], &opening("play", "house", "front"));
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
    players.map(|player| std::mem::take(&mut world.socket(player).unwrap().output))
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
            world.socket(conn).unwrap().deaf = *is_deaf;
            conns.push(conn);
            let half = wire.len() / 2;
            world.send(conn, &wire[..half]);
            world.send(conn, &wire[half..]);
        }
        prop_assert!(world.worker.core.connections() <= clients.len());
        if order {
            conns.reverse();
        }
        for conn in conns {
            world.hang_up(conn);
        }
        // Past every grace, wait and linger.
        world.worker.turns(60, Duration::from_secs(1));
        prop_assert_eq!(world.worker.core.connections(), 0);
        prop_assert_eq!(world.worker.core.census(), (0, 0));
        prop_assert_eq!(world.worker.shared.admission.connections(), 0);
        prop_assert!(world.worker.shared.registry.is_empty(), "no stream is known");
        prop_assert!(!world.worker.core.has_leftovers());
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
