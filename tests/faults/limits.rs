//! More than there may be: connections of one address, streams, memory. Who is above a limit is
//! told or turned away, counted and logged, who is there already must not notice, and there is
//! room again as soon as somebody has left.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use tailwater::rtmp::client::Action;

use crate::bystanders::{beside, pictures};
use crate::network::Network;
use crate::{raw, together};
use support::relay::Relay;
use support::wire::{Film, Seen, Settings, Wire, signals_of};
use support::{SOON, now, pause, wait_for};

/// Connections of one address in these tests: more than the bystanders need.
const PER_ADDRESS: usize = 100;

fn connect(relay: SocketAddr, source: &str) -> TcpStream {
    let source: IpAddr = source.parse().unwrap();
    let from = raw::Origin {
        source: Some(source),
        ..raw::Origin::default()
    };
    raw::open(relay, from).unwrap()
}

/// Whether the relay answers; else it closes.
fn is_served(socket: &mut TcpStream) -> bool {
    raw::shakes_hands(socket, SOON)
}

/// Whether the relay closes it without a word.
#[track_caller]
fn is_turned_away(socket: &mut TcpStream) -> bool {
    // It may be gone already.
    let _: std::io::Result<()> = socket.write_all(&raw::hello()[..1 + 1_536]);
    socket.set_read_timeout(Some(SOON)).unwrap();
    match socket.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            true
        }
    }
}

/// All that one address may have, then one more; `same` and `other` address another of its
/// network and one of another.
#[track_caller]
fn fill_and_make_room(relay: &Relay, address: &str, same: &str, other: &str) {
    let to = relay.address();
    let refused = relay.stats().get("refused_address").copied().unwrap_or(0);
    let mut crowd: Vec<TcpStream> = (0..PER_ADDRESS).map(|_| connect(to, address)).collect();
    assert!(crowd.iter_mut().all(is_served), "all there may be");
    assert!(is_turned_away(&mut connect(to, address)), "one more");
    assert!(
        is_turned_away(&mut connect(to, same)),
        "of the same network"
    );
    assert!(is_served(&mut connect(to, other)), "of another network");
    relay.wait_stat("refused_address", refused + 2);
    let peer = format!("peer={address} ");
    relay.wait_log(&["connections are refused: cause=refused_address", &peer]);
    crowd.pop();
    wait_for("room for one of the same network", SOON, || {
        is_served(&mut connect(to, same)).then_some(())
    });
}

#[test]
fn an_ipv4_address_has_its_share_of_connections_and_no_more() {
    let _turn = together();
    let share = PER_ADDRESS.to_string();
    let relay = Relay::start(&["--workers", "2", "--max-per-address", &share]);
    beside(&relay, 2, || {
        fill_and_make_room(&relay, "127.0.0.2", "127.0.0.2", "127.0.0.3");
    });
}

#[test]
fn an_ipv6_network_has_its_share_of_connections_and_no_more() {
    let _turn = together();
    let network = Network::new();
    for address in ["fd00:0:0:1::1", "fd00:0:0:1:2:3:4:5", "fd00:0:0:2::1"] {
        network.add_loopback(address);
    }
    let share = PER_ADDRESS.to_string();
    network.inside(|| {
        let flags = ["--workers", "2", "--max-per-address", &share];
        let relay = Relay::start_on(&["[::1]:0"], &flags);
        let [first, same, other] = ["fd00:0:0:1::1", "fd00:0:0:1:2:3:4:5", "fd00:0:0:2::1"];
        fill_and_make_room(&relay, first, same, other);
    });
}

/// What a publisher is answered.
#[track_caller]
fn ask_to_publish(relay: &Relay, stream: &str) -> (Wire, Vec<Seen>) {
    let settings = Settings::default();
    let mut wire = Wire::connect(relay.address(), stream, Action::Publish, &settings);
    let seen = wire.until("answer to the publish", |seen| {
        *seen == Seen::status("NetStream.Publish.Start") || matches!(seen, Seen::Closed(_))
    });
    (wire, seen)
}

/// It was told that it may not publish before it was closed.
#[track_caller]
fn assert_refused(relay: &Relay, stream: &str, why: &str) {
    let (_, seen) = ask_to_publish(relay, stream);
    let denied = Seen::status("NetStream.Publish.Denied");
    assert!(seen.ends_with(&[denied, Seen::Closed(true)]), "{seen:?}");
    let why = format!("why=\"{why}\"");
    relay.wait_log(&["publish refused", &why]);
}

#[test]
fn one_stream_more_than_there_may_be_is_refused_until_another_ends() {
    let _turn = together();
    // The bystanders have one.
    let relay = Relay::start(&["--workers", "2", "--max-streams", "3", "--grace", "4"]);
    beside(&relay, 2, || {
        let first = Wire::publish(relay.address(), "first");
        let _second = Wire::publish(relay.address(), "second");
        for number in 1..=4 {
            assert_refused(&relay, "third", "there are too many streams");
            relay.wait_stat("refused_publishes", number);
        }
        relay.wait_stat("streams", 3);
        // A stream in its grace counts, and its publisher may come back.
        drop(first);
        relay.wait_stat("publishers", 2);
        assert_refused(&relay, "third", "there are too many streams");
        let first = Wire::publish(relay.address(), "first");
        drop(first);
        wait_for("room for the third", SOON, || {
            let (_, seen) = ask_to_publish(&relay, "third");
            let start = Seen::status("NetStream.Publish.Start");
            seen.contains(&start).then_some(())
        });
    });
}

/// The limit of the next test in bytes, the smallest there is.
const MEMORY: u64 = 64 << 20;
/// What the process may have besides what is counted: itself, spare memory of the allocator, and
/// what comes in before the next look.
const BESIDES: u64 = 16 << 20;

/// Publishers whose streams hold all they have been sent: one group of pictures without end, and
/// a player each, without which it would be freed.
struct Hoard {
    wires: Vec<Wire>,
    players: Vec<Wire>,
    sent: u64,
    most: u64,
}

impl Hoard {
    const PICTURE_BYTES: usize = 64 << 10;

    fn new(relay: &Relay, streams: usize) -> Self {
        let (mut wires, mut players) = (Vec::new(), Vec::new());
        for number in 0..streams {
            let name = format!("hoard-{number}");
            let mut wire = Wire::publish(relay.address(), &name);
            wire.send_all(&Film::new("hoard", 0).headers);
            // The first picture is the only key frame.
            wire.send_all(pictures(1_000).take(2).collect::<Vec<_>>().iter());
            wires.push(wire);
            players.push(Wire::play(relay.address(), &name));
        }
        Self {
            wires,
            players,
            sent: 0,
            most: 0,
        }
    }

    /// Sends until all have sent so many hundredths of the limit, or `stop`; 20 MB a second.
    fn grow_to(&mut self, relay: &Relay, percent: u64, stop: impl Fn() -> bool) {
        let picture = pictures(Self::PICTURE_BYTES).nth(1).expect("without end");
        let mut due = now();
        while self.sent < MEMORY * percent / 100 && !stop() {
            for (wire, player) in self.wires.iter_mut().zip(&mut self.players) {
                wire.send(&picture);
                while player.next(Duration::ZERO).is_some() {}
                self.sent += Self::PICTURE_BYTES as u64;
                self.most = self.most.max(relay.resident_bytes());
                due += Duration::from_millis(3);
                pause(due.saturating_duration_since(now()));
            }
        }
    }
}

/// At 70 hundredths: no new streams, but new players.
#[track_caller]
fn check_no_streams(relay: &Relay) {
    relay.wait_log(&["memory held=", "new streams are refused"]);
    assert_refused(relay, "more", "the relay is short of memory");
    relay.wait_stat("refused_publishes", 1);
    let mut player = Wire::play(relay.address(), "quiet");
    player.until_status("NetStream.Play.Start");
    assert_eq!(relay.stats()["refused_memory"], 0);
}

/// At 80 hundredths: no new players and connections. `connected` was there before.
#[track_caller]
fn check_no_players(relay: &Relay, mut connected: TcpStream) {
    wait_for("refusal of a connection", SOON, || {
        is_turned_away(&mut connect(relay.address(), "127.0.0.1")).then_some(())
    });
    relay.wait_stat("refused_memory", 1);
    relay.wait_log(&["connections are refused: cause=refused_memory"]);
    let play = &raw::playing("quiet")[1 + 1_536..];
    connected.write_all(play).unwrap();
    raw::until(&mut connected, "NetStream.Play.Failed", SOON);
    relay.wait_stat("refused_memory", 2);
    relay.wait_log(&["reason=rejected why=\"the relay is short of memory\""]);
    assert_eq!(relay.stats()["shed"], 0);
}

/// At 90 hundredths: a publisher goes whose stream holds much; players of another one stay.
#[track_caller]
fn check_shed(relay: &Relay, players: &mut [Wire]) {
    relay.wait_log(&[
        "closed role=publisher stream=\"live/hoard-",
        "reason=overload",
    ]);
    wait_for("a count of those shed", SOON, || {
        (relay.stats()["shed"] > 0).then_some(())
    });
    for player in players {
        let signals = signals_of(&player.settle());
        assert_eq!(signals, [], "a player of what holds little");
    }
}

#[test]
fn short_of_memory_the_relay_refuses_then_sheds_and_recovers() {
    let _turn = together();
    let limit = MEMORY.to_string();
    let relay = Relay::start(&[
        "--workers",
        "1",
        "--memory-max",
        &limit,
        "--grace",
        "0",
        "--publish-idle",
        "60",
    ]);
    let mut quiet = Wire::publish(relay.address(), "quiet");
    quiet.send_all(&Film::new("quiet", 0).headers);
    let mut players: Vec<Wire> = (0..8)
        .map(|_| {
            let mut player = Wire::play(relay.address(), "quiet");
            player.until_status("NetStream.Play.Start");
            player
        })
        .collect();
    let mut connected = connect(relay.address(), "127.0.0.1");
    assert!(is_served(&mut connected));
    let mut hoard = Hoard::new(&relay, 8);

    hoard.grow_to(&relay, 74, || false);
    check_no_streams(&relay);
    hoard.grow_to(&relay, 84, || false);
    check_no_players(&relay, connected);
    hoard.grow_to(&relay, 92, || false);
    check_shed(&relay, &mut players);
    // They do not give up.
    hoard.grow_to(&relay, 200, || false);
    let most = hoard.most;
    eprintln!("{most} bytes in use at most for {} sent", hoard.sent);
    assert!(most < MEMORY + BESIDES, "{most} bytes in use");

    drop(hoard);
    // But for the 16 MiB of spare blocks that a worker keeps.
    wait_for("memory given back", SOON, || {
        (relay.stats()["held_bytes"] < MEMORY / 2).then_some(())
    });
    let (_, seen) = ask_to_publish(&relay, "more");
    assert!(seen.contains(&Seen::status("NetStream.Publish.Start")));
    let mut player = Wire::play(relay.address(), "quiet");
    player.until_status("NetStream.Play.Start");
    quiet.settle();
}
