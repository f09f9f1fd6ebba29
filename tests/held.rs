//! What `held_bytes` counts for connections against what an allocator of our own counts: for
//! --memory-max to hold, it may miss little of what any kind of connection can hold.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that fails panics, and its figures are the point"
)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tailwater::config::Config;
use tailwater::edge::rule::Rule;
use tailwater::limits;
use tailwater::net::socket::Socket;
use tailwater::net::tls::ServerTls;
use tailwater::net::transport::Transport;
use tailwater::rtmp::control::Control;
use tailwater::rtmp::message::kind;
use tailwater::worker::core::Core;
use tailwater::worker::ids::WorkerId;
use tailwater::worker::shared::Shared;

use support::memory::{Counting, held};
use support::worker;
use tailwater_testkit::script;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A certificate of its own making.
fn settings() -> ServerTls {
    let dir = support::tmp();
    let file = |end: &str| dir.join(format!("held-{}.{end}", std::process::id()));
    let (certificate, key) = (file("pem"), file("key"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "openssl makes a certificate");
    let (tls, _) = ServerTls::new(&[(certificate.clone(), key.clone())]).unwrap();
    std::fs::remove_file(certificate).unwrap();
    std::fs::remove_file(key).unwrap();
    tls
}

/// Both ends of a connection, ours as workers have it.
fn pair(listener: &TcpListener, tls: &ServerTls) -> (TcpStream, Socket) {
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    server.set_nonblocking(true).unwrap();
    let server = Socket::Tcp(mio::net::TcpStream::from_std(server));
    (client, server.into_tls(tls).unwrap())
}

/// Reads until everything that was sent has come.
fn read_all(server: &mut Socket, mut sent: usize) {
    let mut buf = [0; 4096];
    // Each call reads what there is; on the loopback it may take some.
    while sent > 0 {
        match server.read(&mut buf) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                sent = sent.saturating_sub(1024);
                std::thread::yield_now();
            }
            Err(_) => return,
        }
    }
}

/// The first `len` bytes of a ClientHello of 60,000 bytes in one or more records.
fn part_of_hello(len: usize) -> Vec<u8> {
    let mut message = vec![1, 0, 0xEA, 0x60];
    message.resize(4 + 60_000, 0);
    let records = message.chunks(16_384).flat_map(|part| {
        let length = u16::try_from(part.len()).unwrap().to_be_bytes();
        [&[0x16, 3, 1][..], &length, part].concat()
    });
    records.take(len).collect()
}

#[test]
fn regression_incomplete_handshakes_are_counted() {
    let tls = settings();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    for len in [0, 1, 5, 500, 5_000, 16_000, 17_000, 40_000, 60_000] {
        let mut pairs = Vec::with_capacity(20);
        let before = held();
        for _ in 0..20 {
            pairs.push(pair(&listener, &tls));
        }
        let hello = part_of_hello(len);
        let own = held();
        for (client, server) in &mut pairs {
            client.write_all(&hello).unwrap();
            read_all(server, len);
        }
        let grown = held() - own + (own - before - i64::try_from(hello.capacity()).unwrap());
        let counted: usize = pairs
            .iter()
            .map(|(_, server)| limits::CONNECTION_BYTES + server.held_bytes())
            .sum();
        println!("{len} bytes of a ClientHello: grown {grown}, counted {counted}");
        let allowed = i64::try_from(counted + counted / 4).unwrap();
        assert!(grown <= allowed, "{len}: grown {grown}, counted {counted}");
    }
}

/// A socket that gives prepared bytes once and swallows what it is sent.
#[derive(Debug)]
struct Given(Vec<u8>);

impl Read for Given {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = self.0.len().min(into.len());
        into[..count].copy_from_slice(&self.0[..count]);
        self.0 = self.0[count..].to_vec();
        Ok(count)
    }
}

impl Write for Given {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Given {
    fn shutdown_write(&mut self) {}
}

/// `len` bytes of video from a publisher, of which the last `missing` bytes do not come.
fn video(len: usize, missing: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    Control::SetChunkSize(65_536).encode(&mut wire);
    let mut body = vec![0; len];
    body[..2].copy_from_slice(&[0x17, 1]);
    script::encode(&mut wire, (kind::VIDEO, 0, 1), &body, 65_536);
    wire.truncate(wire.len() - missing);
    wire
}

/// Bytes that 200 connections which begin with `input` (of their number) hold at a relay or at an
/// edge, and what the worker counts for them.
fn grown(is_http: bool, is_edge: bool, input: impl Fn(usize) -> Vec<u8>) -> (i64, i64) {
    let pull = is_edge.then(|| Rule::parse("rtmp://origin.example").unwrap());
    let config = Config {
        pull: pull.into_iter().collect(),
        memory_max: Some(8 << 30),
        max_per_address: None,
        play_wait: Duration::from_secs(600),
        ..Config::default()
    };
    let shared = Arc::new(Shared::new(config, 1, 10_000));
    let begun = worker::any_instant();
    let mut core: Core<Given> = Core::new(WorkerId::FIRST, shared.clone(), 7, begun);
    let peer = "127.0.0.1:1".parse().unwrap();
    // No deadline passes; memory is counted once a second.
    let counted = |core: &mut Core<Given>, seconds: u64| {
        core.set_now(begun + Duration::from_secs(seconds));
        core.publish_stats();
        i64::try_from(shared.stats[WorkerId::FIRST].load().held_bytes).unwrap()
    };
    let join = |core: &mut Core<Given>, number: usize| {
        let socket = Given(input(number));
        let key = match is_http {
            true => core.accept_http(socket, peer).unwrap(),
            false => core.accept(socket, peer).unwrap(),
        };
        for _ in 0..8 {
            core.on_ready(key, true, false);
            core.turn(&mut (begun + Duration::from_micros(number as u64)));
        }
        core.outbound().clear();
    };
    // What the first of them need is kept for all: rings, blocks, tables.
    (0..20).for_each(|number| join(&mut core, number));
    let before = (counted(&mut core, 2), held());
    (20..220).for_each(|number| join(&mut core, number));
    let counted = counted(&mut core, 4) - before.0;
    (held() - before.1, counted)
}

/// What the connection of this number begins with.
type Input = Box<dyn Fn(usize) -> Vec<u8>>;

#[test]
fn what_connections_hold_in_any_state_is_counted() {
    let opening = |command: &str, number: usize| {
        script::opening(command, "live", &format!("stream-{number}"))
    };
    // A query as long as it may be.
    let with_query = |number: usize| format!("stream-{number}?{}", "x".repeat(2_000));
    let at_relay: [(&str, bool, Input); 8] = [
        ("silent", false, Box::new(|_| Vec::new())),
        ("half a handshake", false, Box::new(|_| vec![3; 1_000])),
        (
            "playing what is not there",
            false,
            Box::new(move |n| opening("play", n)),
        ),
        (
            "publishing",
            false,
            Box::new(move |n| opening("publish", n)),
        ),
        (
            "publishing a picture",
            false,
            Box::new(move |n| [opening("publish", n), video(100_000, 0)].concat()),
        ),
        (
            "publishing half a picture",
            false,
            Box::new(move |n| [opening("publish", n), video(1 << 20, 100_000)].concat()),
        ),
        (
            "half a request by HTTP",
            true,
            Box::new(|_| format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(7_000)).into_bytes()),
        ),
        (
            "waiting for a stream by HTTP",
            true,
            Box::new(|n| format!("GET /live/s{n}.flv HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()),
        ),
    ];
    let at_edge: [(&str, bool, Input); 2] = [
        (
            "waiting for a stream with a long query",
            false,
            Box::new(move |n| script::opening("play", "live", &with_query(n))),
        ),
        (
            "waiting for one by HTTP with a long query",
            true,
            Box::new(move |n| {
                let path = format!("/live/{}", with_query(n).replace('?', ".flv?"));
                format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()
            }),
        ),
    ];
    let kinds = (at_relay.into_iter().map(|kind| (kind, false)))
        .chain(at_edge.into_iter().map(|kind| (kind, true)));
    for ((kind, is_http, input), is_edge) in kinds {
        let (grown, counted) = grown(is_http, is_edge, input);
        println!(
            "{kind}: grown {} bytes each, counted {}",
            grown / 200,
            counted / 200
        );
        assert!(
            grown <= counted + counted / 4 + 200 * 512,
            "{kind}: {} bytes each, counted {}",
            grown / 200,
            counted / 200
        );
    }
}
