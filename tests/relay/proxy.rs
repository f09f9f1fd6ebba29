//! The PROXY protocol on real sockets: late, split, from those who may and those who may not,
//! and in front of TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::process::Signal;

use support::certificates::Authority;
use support::line::Tls;
use support::relay::Relay;
use support::wire::{Film, Settings, Wire, open};
use support::{SOON, now, pause, scratch};

/// A header of version 2 for `client`, an IPv4 address, with some bytes of TLVs.
fn v2(client: [u8; 4], port: u16) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13".to_vec();
    header.extend(client);
    header.extend([198, 51, 100, 1]);
    header.extend(port.to_be_bytes());
    header.extend(1935_u16.to_be_bytes());
    header.extend([4, 0, 4, 0, 0, 0, 0]);
    header
}

fn v1(client: [u8; 4], port: u16) -> Vec<u8> {
    let [a, b, c, d] = client;
    format!("PROXY TCP4 {a}.{b}.{c}.{d} 198.51.100.1 {port} 1935\r\n").into_bytes()
}

/// Waits for the other end to close.
#[track_caller]
fn closed(socket: &mut TcpStream) {
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut rest = Vec::new();
    match socket.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
}

#[test]
fn headers_that_come_at_once_late_or_byte_by_byte_name_the_client() {
    let relay = Relay::start(&["--proxy-protocol", "10.0.0.0/8,127.0.0.1"]);
    let mut film = Film::new("film", 0);
    let mut socket = open(relay.address(), None);
    socket.write_all(&v2([192, 0, 2, 1], 4_001)).unwrap();
    let settings = Settings::default();
    let line = socket;
    let mut publisher = Wire::publish_over(line, "film", &settings);
    publisher.send_all(&film.headers.clone());
    relay.wait_log(&["accepted peer=192.0.2.1:4001"]);
    let mut players = Vec::new();
    let headers = [v1([192, 0, 2, 2], 4_002), v2([192, 0, 2, 3], 4_003)];
    for header in headers {
        let mut socket = open(relay.address(), None);
        pause(Duration::from_millis(50));
        for byte in header {
            socket.write_all(&[byte]).unwrap();
            pause(Duration::from_millis(2));
        }
        let line = socket;
        players.push(Wire::play_over(line, "film", &settings));
    }
    relay.wait_log(&["accepted peer=192.0.2.2:4002"]);
    relay.wait_log(&["accepted peer=192.0.2.3:4003"]);
    relay.wait_players(2);
    let group = film.group(3);
    publisher.send_all(&group);
    let last = group.last().unwrap();
    for player in &mut players {
        player.until_number(last.kind, last.number().unwrap());
    }
    // Health checks: one says that it speaks for itself, one says nothing.
    let mut check = TcpStream::connect(relay.address()).unwrap();
    let local = check.local_addr().unwrap();
    check.write_all(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0").unwrap();
    relay.wait_log(&[&format!("accepted peer={local}")]);
    let check = TcpStream::connect(relay.address()).unwrap();
    let local = check.local_addr().unwrap();
    drop(check);
    relay.wait_log(&["not accepted reason=peer_closed", &format!("peer={local}")]);
}

#[test]
fn a_proxy_has_to_say_who_the_client_is_and_in_time() {
    let flags = [
        "--proxy-protocol",
        "127.0.0.0/8",
        "--handshake-timeout",
        "1",
    ];
    let relay = Relay::start(&flags);
    let refused = |bytes: &[u8], words: &str| {
        let mut socket = TcpStream::connect(relay.address()).unwrap();
        socket.write_all(bytes).unwrap();
        closed(&mut socket);
        relay.wait_log(&["not accepted reason=proxy_header", words]);
    };
    refused(&[3; 1537], "no PROXY header from a proxy");
    refused(b"PROXY TCP4 1.2.3.4\r\n", "makes no sense");
    refused(&[b"PROXY UNKNOWN ", &[b'f'; 200][..]].concat(), "too long");
    let begun = now();
    let mut late = TcpStream::connect(relay.address()).unwrap();
    late.write_all(b"PROXY ").unwrap();
    closed(&mut late);
    relay.wait_log(&["not accepted reason=handshake_timeout"]);
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_millis(900) && took < SOON,
        "{took:?}"
    );
    // Who waits is not there for ever, and the next one is served.
    let mut socket = open(relay.address(), None);
    socket.write_all(&v1([192, 0, 2, 1], 4_001)).unwrap();
    let line = socket;
    Wire::play_over(line, "film", &Settings::default());
}

#[test]
fn so_many_wait_as_may_be_newcomers() {
    let flags = ["--proxy-protocol", "127.0.0.1", "--max-connections", "100"];
    let relay = Relay::start(&flags);
    let waiting: Vec<TcpStream> = (0..64)
        .map(|_| TcpStream::connect(relay.address()).unwrap())
        .collect();
    relay.wait_stat("connections", 0);
    closed(&mut TcpStream::connect(relay.address()).unwrap());
    relay.wait_stat("refused_newcomers", 1);
    drop(waiting);
    relay.wait_log(&["not accepted reason=peer_closed"]);
    pause(Duration::from_millis(300));
    let mut socket = open(relay.address(), None);
    socket.write_all(&v2([192, 0, 2, 1], 4_001)).unwrap();
    let line = socket;
    Wire::play_over(line, "film", &Settings::default());
}

#[test]
fn others_are_not_believed() {
    let relay = Relay::start(&["--proxy-protocol", "10.0.0.0/8,unix"]);
    for header in [v1([192, 0, 2, 1], 4_001), v2([192, 0, 2, 1], 4_001)] {
        let mut socket = TcpStream::connect(relay.address()).unwrap();
        let peer: SocketAddr = socket.local_addr().unwrap();
        socket.write_all(&header).unwrap();
        socket.write_all(&[3; 1537]).unwrap();
        closed(&mut socket);
        relay.wait_log(&["closed", &format!("peer={peer}")]);
    }
    assert!(!relay.log().contains("192.0.2.1"), "nobody was called that");
    Wire::play(relay.address(), "film");
}

#[test]
fn limits_count_the_clients_behind_a_proxy() {
    let flags = ["--proxy-protocol", "127.0.0.1", "--max-per-address", "2"];
    let relay = Relay::start(&flags);
    let connect = |client: u8| {
        let mut socket = open(relay.address(), None);
        socket.write_all(&v2([192, 0, 2, client], 4_000)).unwrap();
        socket
    };
    let settings = Settings::default();
    let play = |client| Wire::play_over(connect(client), "film", &settings);
    let _players = [play(1), play(1), play(2), play(2), play(3)];
    closed(&mut connect(1));
    relay.wait_stat("refused_address", 1);
}

#[test]
fn who_owes_its_header_is_closed_when_the_relay_stops_and_the_others_are_served_on() {
    let flags = [
        "--proxy-protocol",
        "127.0.0.1",
        "--drain",
        "3",
        "--workers",
        "2",
    ];
    let mut relay = Relay::start(&flags);
    let settings = Settings::default();
    let connect = |client: u8| {
        let mut socket = open(relay.address(), None);
        socket.write_all(&v2([192, 0, 2, client], 4_000)).unwrap();
        socket
    };
    let mut film = Film::new("film", 0);
    let mut publisher = Wire::publish_over(connect(1), "film", &settings);
    publisher.send_all(&film.headers.clone());
    let mut players = [2, 3].map(|client| Wire::play_over(connect(client), "film", &settings));
    relay.wait_players(2);
    // Some say nothing, some the half of it.
    let header = v2([192, 0, 2, 4], 4_000);
    let mut waiting = [0, 5, 13, 20].map(|count| {
        let mut socket = TcpStream::connect(relay.address()).unwrap();
        socket.write_all(&header[..count]).unwrap();
        socket
    });
    pause(Duration::from_millis(300));
    let signalled = now();
    relay.signal(Signal::TERM);
    for socket in &mut waiting {
        closed(socket);
    }
    let took = signalled.elapsed();
    assert!(took < Duration::from_millis(1_500), "closed after {took:?}");
    let group = film.group(3);
    publisher.send_all(&group);
    let last = group.last().unwrap();
    for player in &mut players {
        player.until_number(last.kind, last.number().unwrap());
        player.until_status("NetStream.Play.UnpublishNotify");
    }
    let took = signalled.elapsed();
    assert!(took >= Duration::from_millis(2_800), "ended after {took:?}");
    relay.ended(SOON);
    assert!(!relay.log().contains("192.0.2.4"), "nobody was called that");
}

#[test]
fn tls_begins_behind_the_header() {
    let authority = Authority::new(&scratch("certificates"));
    let pair = authority.sign("a", "a.example", 2);
    let relay = Relay::start_with_tls(&[pair], &["--proxy-protocol", "127.0.0.1"]);
    let mut socket = open(relay.tls_address(), None);
    socket.write_all(&v2([192, 0, 2, 1], 4_001)).unwrap();
    let line = Tls::connect(socket, "a.example", &authority.path());
    Wire::play_over(line, "film", &Settings::default());
    relay.wait_log(&["accepted peer=192.0.2.1:4001"]);
}

/// A connection that has come when the relay begins to stop is served, although its header comes
/// after that: while the relay listens, nobody is refused.
#[test]
fn regression_headers_may_come_while_the_relay_stops() {
    // The relay listens for half a second: a machine that is late has another try.
    for _ in 0..10 {
        let mut relay = Relay::start(&["--proxy-protocol", "127.0.0.1", "--drain", "10"]);
        let mut socket = open(relay.address(), None);
        pause(Duration::from_millis(100));
        let begun = now();
        relay.signal(Signal::TERM);
        pause(Duration::from_millis(50));
        socket.write_all(&v1([192, 0, 2, 2], 4_002)).unwrap();
        let is_in_time = begun.elapsed() < Duration::from_millis(300);
        if is_in_time {
            Wire::play_over(socket, "film", &Settings::default());
            relay.wait_log(&["accepted peer=192.0.2.2:4002"]);
        }
        relay.ended(SOON);
        if is_in_time {
            return;
        }
    }
    panic!("no header could be sent in time");
}
