//! RTMPS: who gets which certificate, real clients both ways, certificates replaced under way,
//! and what comes to the wrong port.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tailwater::net::dial::dial;
use tailwater::net::listener::SocketOptions;
use tailwater::net::socket::Socket;
use tailwater::net::tls::{ClientTls, ServerTls};
use tailwater::net::transport::Transport;

use support::certificates::Authority;
use support::line::Tls;
use support::media::{self, H264_AAC};
use support::packets::{assert_end, assert_list, of_file};
use support::players::{Player, Program as PlayerProgram};
use support::publishers::{Program, Speed};
use support::relay::{Relay, binary};
use support::wire::{Film, Settings, Wire, media_of, open};
use support::{A_WHILE, SOON, now, pause, scratch, wait_for};

/// An authority, and a relay with a certificate for each of `hosts`.
fn relay_for(hosts: &[&str], flags: &[&str]) -> (Authority, Relay) {
    let authority = Authority::new(&scratch("certificates"));
    let pairs = hosts.iter().map(|host| authority.sign(host, host, 2));
    let relay = Relay::start_with_tls(&pairs.collect::<Vec<_>>(), flags);
    (authority, relay)
}

/// What openssl's client says of a handshake: its output, and whether it was content.
fn s_client(address: SocketAddr, options: &[&str]) -> (String, bool) {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &address.to_string()])
        .args(options)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (text, output.status.success())
}

#[test]
fn handshakes_beyond_the_rate_of_an_address_wait_and_succeed() {
    let flags = [
        "--workers",
        "1",
        "--max-per-address",
        "1000",
        "--handshake-timeout",
        "1s",
    ];
    let (authority, relay) = relay_for(&["localhost"], &flags);
    let certificates = CertificateDer::pem_file_iter(authority.path()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates.map(Result::unwrap));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let settings = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let settings = Arc::new(settings);
    let mut clients: Vec<(TcpStream, ClientConnection)> = (0..450)
        .map(|_| {
            let name = "localhost".try_into().unwrap();
            let mut session = ClientConnection::new(settings.clone(), name).unwrap();
            let mut tcp = TcpStream::connect(relay.tls_address()).unwrap();
            session.write_tls(&mut tcp).unwrap();
            (tcp, session)
        })
        .collect();
    let begun = now();
    for (number, (tcp, session)) in clients.iter_mut().enumerate() {
        while session.is_handshaking() {
            let done = session.complete_io(tcp);
            done.unwrap_or_else(|error| panic!("client {number}: {error}"));
        }
    }
    eprintln!("all hands were shaken after {:?}", begun.elapsed());
}

/// The host whose certificate a client gets that asks for `name`.
fn certificate_for(address: SocketAddr, name: Option<&str>) -> String {
    let options = match name {
        Some(name) => vec!["-servername", name],
        None => vec!["-noservername"],
    };
    let (text, _) = s_client(address, &options);
    let subject = text
        .lines()
        .find_map(|line| line.strip_prefix("subject=CN = "));
    subject
        .unwrap_or_else(|| panic!("no subject in {text}"))
        .to_owned()
}

/// A line to the relay by TLS.
fn line(relay: &Relay, authority: &Authority) -> Tls {
    let tcp = open(relay.tls_address(), None);
    Tls::connect(tcp, "a.example", &authority.path())
}

#[test]
fn clients_get_the_certificate_of_the_name_they_ask_for_in_tls_1_2_and_1_3() {
    let (authority, relay) = relay_for(&["a.example", "*.b.example"], &[]);
    let address = relay.tls_address();
    for (name, wanted) in [
        (Some("a.example"), "a.example"),
        (Some("x.b.example"), "*.b.example"),
        (Some("other.example"), "a.example"),
        (None, "a.example"),
    ] {
        assert_eq!(certificate_for(address, name), wanted, "{name:?}");
    }
    let ca = authority.path().display().to_string();
    let verified = ["-CAfile", &ca, "-verify_return_error"];
    for (version, shown) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let name = [
            "-servername",
            "x.b.example",
            "-verify_hostname",
            "x.b.example",
        ];
        let (text, success) = s_client(address, &[&verified[..], &name, &[version]].concat());
        assert!(success && text.contains(&format!("New, {shown}")), "{text}");
        let wrong = ["-servername", "a.example", "-verify_hostname", "b.example"];
        let (text, success) = s_client(address, &[&verified[..], &wrong, &[version]].concat());
        assert!(!success, "{text}");
    }
    let (text, success) = s_client(address, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]);
    assert!(!success, "{text}");
}

#[test]
fn ffmpeg_publishes_and_plays_by_rtmps() {
    let (_authority, relay) = relay_for(&["a.example"], &["--grace", "1"]);
    let file = media::file(&H264_AAC);
    for (name, by_tls) in [("by-tls", true), ("plain", false)] {
        // A name that was unpublished a moment ago is not waited for.
        let tls_url = format!("rtmps://{}/live/{name}", relay.tls_address());
        let plain_url = relay.url(name);
        let publish_url = if by_tls { &tls_url } else { &plain_url };
        let mut players = [&tls_url, &plain_url].map(|url| {
            let name = format!("{name}-{}", url.split(':').next().unwrap());
            Player::start(PlayerProgram::Ffmpeg5, url, relay.dir(), &name)
        });
        relay.wait_players(2);
        let mut publisher = Program::Ffmpeg5.publish(&file, publish_url, Speed::Fast, relay.dir());
        publisher.succeed(A_WHILE);
        let whole = of_file(PlayerProgram::Ffmpeg5.judge(), &file);
        for player in &mut players {
            assert_end(name, &player.tracks(), &whole, 25);
        }
        relay.wait_players(0);
    }
}

#[test]
fn a_film_arrives_message_by_message_through_tls_however_large() {
    let (authority, relay) = relay_for(&["a.example"], &[]);
    let mut player = Wire::play_over(line(&relay, &authority), "film", &Settings::default());
    relay.wait_players(1);
    let mut publisher = Wire::publish_over(line(&relay, &authority), "film", &Settings::default());
    let mut film = Film::new("film", 0);
    let mut sent = film.headers.clone();
    publisher.send_all(&sent);
    // 12 MB in all, with the player not reading for much of it.
    for _ in 0..40 {
        let group = film.group(49);
        publisher.send_all(&group);
        sent.extend(group);
        if sent.len() % 8 == 3 {
            let seen = player.settle();
            player.give_back(seen);
        }
    }
    let last = sent.last().unwrap();
    let got = media_of(&player.until_number(last.kind, last.number().unwrap()));
    let first = got
        .iter()
        .position(|media| media.number().is_some())
        .unwrap();
    let begin = sent.iter().position(|media| *media == got[first]).unwrap();
    assert_list("messages", &got[first..], &sent[begin..]);
}

#[test]
fn certificates_are_replaced_while_connections_go_on_and_broken_ones_are_not_taken() {
    let (authority, mut relay) = relay_for(&["a.example", "b.example"], &[]);
    let address = relay.tls_address();
    let mut film = Film::new("film", 0);
    let mut publisher = Wire::publish_over(line(&relay, &authority), "film", &Settings::default());
    publisher.send_all(&film.headers);
    let mut player = Wire::play_over(line(&relay, &authority), "film", &Settings::default());
    let mut goes_on = |film: &mut Film| {
        let group = film.group(3);
        publisher.send_all(&group);
        let last = group.last().unwrap();
        player.until_number(last.kind, last.number().unwrap());
    };
    goes_on(&mut film);
    authority.sign("a.example", "c.example", 2);
    relay.signal(Signal::HUP);
    relay.wait_log(&["certificates reloaded"]);
    assert_eq!(certificate_for(address, None), "c.example");
    assert_eq!(certificate_for(address, Some("b.example")), "b.example");
    goes_on(&mut film);
    // The second pair is broken: the first is not taken either.
    authority.sign("a.example", "d.example", 2);
    std::fs::write(authority.path().with_file_name("b.example.pem"), "nothing").unwrap();
    relay.expect_error("b.example.pem: no certificate in it");
    relay.signal(Signal::HUP);
    relay.wait_log(&["b.example.pem: no certificate in it; certificates and keys stay"]);
    assert_eq!(certificate_for(address, None), "c.example");
    assert_eq!(certificate_for(address, Some("b.example")), "b.example");
    goes_on(&mut film);
}

#[test]
fn what_comes_to_the_wrong_port_is_told_as_such() {
    let (_authority, relay) = relay_for(&["a.example"], &["--handshake-timeout", "1"]);
    let closed = |socket: &mut TcpStream| {
        socket.set_read_timeout(Some(SOON)).unwrap();
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _: std::io::Result<usize> = socket.read_to_end(&mut rest);
    };
    let mut plain = TcpStream::connect(relay.tls_address()).unwrap();
    plain.write_all(&[3; 1537]).unwrap();
    relay.wait_log(&["reason=tls", "not TLS, the first byte is 0x03"]);
    closed(&mut plain);
    let (_, success) = s_client(relay.address(), &[]);
    assert!(!success);
    relay.wait_log(&["reason=wrong_protocol", "tls on the rtmp port"]);
    // A record of handshake that holds none.
    let mut broken = TcpStream::connect(relay.tls_address()).unwrap();
    broken.write_all(&[0x16, 3, 1, 0, 4, 9, 9, 9, 9]).unwrap();
    closed(&mut broken);
    wait_for("two that failed in TLS", SOON, || {
        (relay.log().matches("reason=tls").count() == 2).then_some(())
    });
    // Half a hello, a byte now and then: the deadline is one for all.
    let begun = now();
    let mut slow = TcpStream::connect(relay.tls_address()).unwrap();
    for byte in [0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3, 1, 1, 1, 1] {
        // It may be closed by now.
        let _: std::io::Result<usize> = slow.write(&[byte]);
        pause(Duration::from_millis(100));
    }
    closed(&mut slow);
    relay.wait_log(&["reason=handshake_timeout"]);
    assert!(begun.elapsed() < Duration::from_secs(5), "closed in time");
}

#[test]
fn files_that_cannot_be_used_are_named_at_the_start() {
    let authority = Authority::new(&scratch("certificates"));
    let [a, a_key] = authority.sign("a", "a.example", 2);
    let [_, b_key] = authority.sign("b", "b.example", 2);
    let text = authority
        .path()
        .with_file_name("text")
        .display()
        .to_string();
    std::fs::write(&text, "text").unwrap();
    for (certificate, key, words) in [
        ("/no/such.pem", &*a_key, "/no/such.pem: No such file"),
        (&text, &a_key, "text: no certificate in it"),
        (&a, "/no/such.key", "/no/such.key: No such file"),
        (&a, &text, "text: nothing of the kind in it"),
        (&a, &a, "a.pem: nothing of the kind in it"),
        (&a, &b_key, "b.key: not the key of"),
    ] {
        let output = Command::new(binary())
            .args(["--listen", "none", "--listen-tls", "127.0.0.1:0"])
            .args(["--tls-cert", certificate, "--tls-key", key])
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(words), "{words} in {error}");
    }
}

#[test]
fn a_certificate_that_has_expired_is_served_with_a_warning() {
    let authority = Authority::new(&scratch("certificates"));
    let pair = authority.sign("a", "a.example", 0);
    pause(Duration::from_millis(1_100));
    let relay = Relay::start_with_tls(&[pair], &[]);
    relay.wait_log(&["WARN", "a.pem: the certificate has expired"]);
    assert_eq!(certificate_for(relay.tls_address(), None), "a.example");
    // Clients of ours do not take it.
    let client = ClientTls::new(&[authority.path()]).unwrap();
    let name = client.name("a.example").unwrap();
    let mut socket = dial(relay.tls_address(), Some(&name), &OPTIONS).unwrap();
    let error = read_error(&mut socket);
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(error.to_string().contains("xpired"), "{error}");
}

const OPTIONS: SocketOptions = SocketOptions {
    sndbuf: 16 << 10,
    rcvbuf: 16 << 10,
    backlog: 16,
    nodelay: true,
    user_timeout: Duration::from_secs(20),
};

/// Reads until that fails.
fn read_error(socket: &mut Socket) -> std::io::Error {
    wait_for("an error", SOON, || {
        socket.flush_pending();
        match socket.read(&mut [0; 100]) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Some(error),
            _ => None,
        }
    })
}

/// Both ends of a connection by TLS that has begun.
fn tls_pair(client: &ClientTls, host: &str, files: &[(PathBuf, PathBuf)]) -> [Socket; 2] {
    let (server, warnings) = ServerTls::new(files).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = client.name(host).unwrap();
    let near = dial(listener.local_addr().unwrap(), Some(&name), &OPTIONS).unwrap();
    let (far, _) = listener.accept().unwrap();
    far.set_nonblocking(true).unwrap();
    let far = Socket::Tcp(mio::net::TcpStream::from_std(far));
    [near, far.into_tls(&server).unwrap()]
}

#[test]
fn a_write_takes_all_or_fills_the_socket_and_a_read_fills_its_buffer_or_empties_it() {
    let authority = Authority::new(&scratch("certificates"));
    let [certificate, key] = authority.sign("a", "a.example", 2).map(PathBuf::from);
    let client = ClientTls::new(&[authority.path()]).unwrap();
    let [mut near, mut far] = tls_pair(&client, "a.example", &[(certificate, key)]);
    let wanted: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
    let (mut sent, mut got, mut cut) = (0, Vec::new(), 0);
    let mut buffer = vec![0; 40_000];
    // As a worker: a socket is used again only after an event.
    let mut poll = mio::Poll::new().unwrap();
    let both = mio::Interest::READABLE | mio::Interest::WRITABLE;
    for (token, socket) in [&mut near, &mut far].into_iter().enumerate() {
        let token = mio::Token(token);
        poll.registry()
            .register(socket.source(), token, both)
            .unwrap();
    }
    let mut events = mio::Events::with_capacity(8);
    while got.len() < wanted.len() {
        poll.poll(&mut events, Some(SOON)).unwrap();
        assert!(
            !events.is_empty(),
            "after {sent} sent and {} got",
            got.len()
        );
        for event in &events {
            let socket = if event.token().0 == 0 {
                &mut near
            } else {
                &mut far
            };
            socket.flush_pending();
        }
        // Answers of the handshake are read here as well.
        let nothing = near.read(&mut buffer).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
        match near.write(&wanted[sent..]) {
            Ok(count) => {
                sent += count;
                cut += usize::from(count > 0 && sent < wanted.len());
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        loop {
            match far.read(&mut buffer) {
                Ok(count) => {
                    got.extend_from_slice(&buffer[..count]);
                    if count < buffer.len() {
                        break;
                    }
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    break;
                }
            }
        }
    }
    assert!(got == wanted, "the same bytes");
    assert!(cut > 3, "it was full {cut} times");
    near.shutdown_write();
    wait_for("the end of the stream", SOON, || {
        match far.read(&mut buffer) {
            Ok(count) => {
                assert_eq!(count, 0);
                Some(())
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                None
            }
        }
    });
}

#[test]
fn our_clients_trust_no_wrong_name_and_no_unknown_authority() {
    let authority = Authority::new(&scratch("certificates"));
    let other = Authority::new(&scratch("others"));
    let [certificate, key] = authority.sign("a", "a.example", 2).map(PathBuf::from);
    let files = [(certificate, key)];
    let trusted = ClientTls::new(&[authority.path()]).unwrap();
    for (client, host, words) in [
        (&trusted, "b.example", "not valid for name"),
        (
            &ClientTls::new(&[other.path()]).unwrap(),
            "a.example",
            "invalid peer certificate",
        ),
    ] {
        let [mut near, mut far] = tls_pair(client, host, &files);
        let error = wait_for("a refusal", SOON, || {
            far.flush_pending();
            let _: std::io::Result<usize> = far.read(&mut [0; 100]);
            near.flush_pending();
            match near.read(&mut [0; 100]) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => Some(error),
                _ => None,
            }
        });
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().contains(words), "{error}");
        // The other end is told.
        let told = read_error(&mut far);
        assert_eq!(told.kind(), ErrorKind::InvalidData, "{told}");
    }
}
