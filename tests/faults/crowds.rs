//! Too many, too slow, too busy: no descriptors left, thousands of connections that come and go,
//! handshakes that never end, a client without ports. Who is served already must not notice, and
//! whoever comes later is served as soon as there is room.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::bystanders::{self, beside};
use crate::network::Network;
use crate::{raw, together};
use support::relay::Relay;
use support::wire::{Media, Wire};
use support::{BUSY, SOON, now, pause, wait_for};

/// Nobody has to wait for a deadline or for good; how long exactly is measured in `bench/`.
const PROMPT: Duration = BUSY;

/// How long it takes a new player to see a picture.
#[track_caller]
fn time_to_picture(relay: &Relay) -> Duration {
    let begun = now();
    let mut wire = Wire::play(relay.address(), bystanders::STREAM);
    wire.until("a picture", |seen| seen.media().is_some_and(Media::is_key));
    begun.elapsed()
}

#[test]
fn descriptors_that_run_out_again_and_again_are_recovered_from() {
    let _turn = together();
    let relay = Relay::start(&["--workers", "2", "--setup-timeout", "600"]);
    let (times, _) = beside(&relay, 2, || {
        relay.wait_stat("connections", 3);
        let room = u64::try_from(relay.open_files()).unwrap() + 4;
        let limit = Rlimit {
            current: Some(room),
            maximum: Some(room),
        };
        let pid = Pid::from_raw(i32::try_from(relay.id()).unwrap());
        prlimit(pid, Resource::Nofile, limit).expect("it is our child");
        let mut times = Vec::new();
        for _ in 0..4 {
            let flood: Vec<TcpStream> = (0..40)
                .map(|_| raw::open(relay.address(), raw::Origin::default()).unwrap())
                .collect();
            // Long enough for all to be accepted, if there were room.
            pause(Duration::from_millis(500));
            let served = relay.stats()["connections"];
            assert!(served < 20, "{served} connections: it is not full");
            drop(flood);
            times.push(time_to_picture(&relay));
        }
        times
    });
    let bound = Duration::from_secs(1) + PROMPT;
    let late = times.iter().find(|time| **time > bound);
    assert_eq!(late, None, "served again after {times:?}");
    assert!(relay.log().contains("accept pauses"), "it did run out");
}

#[test]
fn thousands_of_connections_that_come_and_go_leave_nothing_behind() {
    let _turn = together();
    let flags = ["--workers", "2", "--max-per-address", "0", "--log", "info"];
    let relay = Relay::start(&flags);
    let mut warm = Wire::play(relay.address(), "nothing");
    warm.settle();
    drop(warm);
    relay.wait_stat("connections", 0);
    let files = relay.open_files();
    let hello = raw::hello();
    let playing = raw::playing(bystanders::STREAM);
    // Without its log at debug the worker of a connection is not known: any will do.
    let publisher = Wire::publish(relay.address(), "keeps-it-awake");
    let before = relay.resident_bytes();
    for number in 0..5_000_u32 {
        let last = u8::try_from(2 + number % 8).unwrap();
        let from = raw::Origin {
            source: Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))),
            ..raw::Origin::default()
        };
        let mut socket = raw::open(relay.address(), from).unwrap();
        let bytes = match number % 5 {
            0 | 1 => &[][..],
            2 => &hello[..1],
            3 => &hello[..1 + 1_536],
            _ => &playing,
        };
        // It may be gone as soon as it is refused.
        let _: std::io::Result<()> = socket.write_all(bytes);
        if number % 2 == 0 {
            raw::reset(socket);
        }
    }
    relay.wait_stat("connections", 1);
    drop(publisher);
    relay.wait_stat("connections", 0);
    relay.wait_stat("players", 0);
    let grown = relay.resident_bytes().saturating_sub(before);
    assert!(grown < 24 << 20, "{grown} bytes more in use");
    wait_for("descriptors given back", SOON, || {
        (relay.open_files() == files).then_some(())
    });
    assert_eq!(relay.stats()["refused"], 0);
}

#[test]
fn thousands_of_connections_that_come_and_go_are_not_noticed() {
    let _turn = together();
    let relay = Relay::start(&["--workers", "2", "--max-per-address", "0"]);
    let (joins, figures) = beside(&relay, 2, || {
        let mut joins = Vec::new();
        for number in 0..1_000 {
            let mut socket = raw::open(relay.address(), raw::Origin::default()).unwrap();
            socket.write_all(&raw::hello()).unwrap();
            if number % 2 == 0 {
                raw::reset(socket);
            }
            if number % 250 == 0 {
                joins.push(time_to_picture(&relay));
            }
        }
        joins
    });
    let late = joins.iter().find(|time| **time > PROMPT);
    assert_eq!(late, None, "those who come meanwhile: {joins:?}");
    let p99 = figures.p99();
    assert!(p99 < PROMPT, "those who are there wait for {p99:?}");
}

#[test]
fn handshakes_without_end_keep_nobody_out_and_are_ended() {
    const SLOW: usize = 300;
    let _turn = together();
    let relay = Relay::start(&[
        "--workers",
        "2",
        "--handshake-timeout",
        "3",
        "--max-per-address",
        "0",
    ]);
    let (joins, figures) = beside(&relay, 2, || {
        relay.wait_stat("connections", 3);
        let mut slow: Vec<TcpStream> = (0..SLOW)
            .map(|_| raw::open(relay.address(), raw::Origin::default()).unwrap())
            .collect();
        relay.wait_stat("connections", 3 + SLOW as u64);
        let begun = now();
        let mut joins = Vec::new();
        // A byte now and then, for longer than a handshake may take.
        while begun.elapsed() < Duration::from_secs(3) {
            for socket in &mut slow {
                let byte = if joins.is_empty() { 3 } else { 0 };
                let _: std::io::Result<()> = socket.write_all(&[byte]);
            }
            joins.push(time_to_picture(&relay));
            pause(Duration::from_millis(200));
        }
        wait_for("end of the slow ones", SOON, || {
            for socket in &mut slow {
                let _: std::io::Result<()> = socket.write_all(&[0]);
            }
            (relay.stats().get("connections") == Some(&3)).then_some(())
        });
        let took = begun.elapsed();
        assert!(took < SOON, "ended after {took:?}");
        joins
    });
    let late = joins.iter().find(|time| **time > PROMPT);
    assert_eq!(late, None, "those who come meanwhile: {joins:?}");
    let p99 = figures.p99();
    assert!(p99 < PROMPT, "those who are there wait for {p99:?}");
    relay.wait_log(&["reason=handshake_timeout"]);
}

/// Ports the client of the next test has.
const PORTS: u16 = 16;

/// As many connections at one time as there are ports, and one more.
fn use_all_ports(relay: SocketAddr) -> Vec<TcpStream> {
    std::thread::scope(|scope| {
        let opening: Vec<_> = (0..=PORTS)
            .map(|_| {
                scope.spawn(move || {
                    let mut socket = raw::open(relay, raw::Origin::default()).ok()?;
                    let shaken = raw::shakes_hands(&mut socket, SOON);
                    assert!(shaken, "a connection that is not served");
                    Some(socket)
                })
            })
            .collect();
        opening
            .into_iter()
            .filter_map(|thread| thread.join().expect("one that is served, or no port"))
            .collect()
    })
}

#[test]
fn a_client_without_free_ports_is_served_as_soon_as_it_has_one() {
    let _turn = together();
    let network = Network::new();
    let listen = [&*network.listen(), "127.0.0.1:0"];
    let flags = ["--handshake-timeout", "60", "--setup-timeout", "60"];
    let relay = Relay::start_on(&listen, &flags);
    let far = relay.address();
    network.inside(|| {
        let range = format!("40000 {}", 40_000 + PORTS - 1);
        fs::write("/proc/sys/net/ipv4/ip_local_port_range", range).expect("root may");
    });
    let served = |round: &str| {
        let begun = now();
        let sockets = network.inside(|| use_all_ports(far));
        let took = begun.elapsed();
        assert_eq!(sockets.len(), usize::from(PORTS), "{round}");
        assert!(took < 2 * SOON, "{round}: {took:?}");
        sockets
    };
    for round in 0..3 {
        let sockets = served(&format!("round {round}"));
        relay.wait_stat("connections", u64::from(PORTS));
        sockets.into_iter().for_each(raw::reset);
    }
    // The resets of these are lost: the relay still believes in connections whose ports the
    // client uses again.
    let sockets = served("before the cut");
    network.cut();
    sockets.into_iter().for_each(raw::reset);
    network.mend();
    let sockets = served("after the cut");
    relay.wait_stat("connections", u64::from(PORTS));
    drop(sockets);
    relay.wait_stat("connections", 0);
}

#[test]
fn a_port_scan_is_answered_with_nothing() {
    let _turn = together();
    let relay = Relay::start(&["--workers", "1", "--handshake-timeout", "60"]);
    beside(&relay, 1, || {
        for _ in 0..50 {
            for bytes in [&b"GET / HTTP/1.0\r\n\r\n"[..], b"\x16\x03\x01", b"\0\0\0\0"] {
                let mut socket = raw::open(relay.address(), raw::Origin::default()).unwrap();
                socket.write_all(bytes).unwrap();
                socket.set_read_timeout(Some(SOON)).unwrap();
                let mut answer = Vec::new();
                let ended = socket.read_to_end(&mut answer);
                // A reset is as good an end.
                let kind = ended.err().map(|error| error.kind());
                let reset = std::io::ErrorKind::ConnectionReset;
                assert!(kind.is_none_or(|kind| kind == reset), "{kind:?}");
                assert_eq!(answer, [0_u8; 0], "{bytes:?}");
            }
        }
    });
}
