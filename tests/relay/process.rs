//! The relay as a process: how it starts, what it refuses to start with, how it stops, what it
//! does without free descriptors and with clients of other protocols, and what it never logs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};

use support::media::{self, Ffmpeg, H264_AAC};
use support::packets::{assert_list, assert_same, of_file};
use support::players::{Player, Program as PlayerProgram};
use support::publishers::{Program, Speed};
use support::relay::{Relay, binary};
use support::wire::{Film, Media, Seen, Wire, media_of, signals_of};
use support::{A_WHILE, BUSY, SOON, now, pause, wait_for};
use tailwater::rtmp::control::UserControl;
use tailwater::rtmp::message::MessageStreamId;

/// What a client that knows how is asked when the relay stops; ours says that it does.
const RECONNECT: &str = "NetConnection.Connect.ReconnectRequest";

/// Runs the binary to its end.
fn run(arguments: &[&str]) -> Output {
    Command::new(binary())
        .args(arguments)
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn stops_on(signal: Signal) {
    let mut relay = Relay::start(&["--workers", "2", "--drain", "1"]);
    let mut film = Film::new("film", 0);
    let mut waiting = Wire::play(relay.address(), "nothing");
    let mut publisher = Wire::publish(relay.address(), "film");
    let mut players = relay.on_each_worker(2, || Wire::play(relay.address(), "film"));
    let mut idle = TcpStream::connect(relay.address()).unwrap();
    // Real ones, in the middle of a film.
    let file = media::file(&H264_AAC);
    let url = relay.url("real");
    let mut real_publisher = Program::Ffmpeg5.publish(&file, &url, Speed::RealTime, relay.dir());
    relay.wait_log(&["publish stream=\"live/real\""]);
    let mut real_players = [
        PlayerProgram::Ffmpeg5,
        PlayerProgram::Rtmpdump,
        PlayerProgram::Gstreamer,
    ]
    .map(|program| Player::start(program, &url, relay.dir(), "real"));
    relay.wait_players(1 + 2 + real_players.len());
    let mut sent = film.headers.clone();
    sent.extend(film.group(3));
    publisher.send_all(&sent);
    let last = sent.last().unwrap();
    for player in &mut players {
        player.until_number(last.kind, last.number().unwrap());
    }

    relay.signal(signal);
    let asked = now();
    for player in &mut players {
        assert_eq!(
            player.until_closed(),
            [
                Seen::Status(MessageStreamId::CONTROL.0, RECONNECT.to_owned()),
                Seen::Control(UserControl::StreamEof(MessageStreamId(1))),
                Seen::status("NetStream.Play.UnpublishNotify"),
                Seen::Closed(true)
            ]
        );
    }
    assert_eq!(
        signals_of(&publisher.until_closed()),
        [
            Seen::Status(MessageStreamId::CONTROL.0, RECONNECT.to_owned()),
            Seen::status("NetStream.Unpublish.Success"),
            Seen::Closed(true)
        ]
    );
    assert_eq!(
        waiting.until_closed().last_chunk::<2>(),
        Some(&[
            Seen::status("NetStream.Play.StreamNotFound"),
            Seen::Closed(true)
        ])
    );
    idle.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(idle.read(&mut [0; 8]).unwrap(), 0, "closed");
    for player in &mut real_players {
        player.process.wait(A_WHILE);
    }
    let status = real_publisher.wait(A_WHILE);
    assert!(!status.success(), "the publisher was cut off: {status}");
    relay.ended(SOON);
    let took = asked.elapsed();
    assert!(
        took < Duration::from_secs(5) + BUSY,
        "stopped after {took:?}"
    );
    assert!(relay.log().contains("stopped"));
}

#[test]
fn sigterm_tells_everybody_and_exits_0() {
    stops_on(Signal::TERM);
}

#[test]
fn sigint_tells_everybody_and_exits_0() {
    stops_on(Signal::INT);
}

#[test]
fn nobody_is_accepted_any_more_while_the_relay_stops() {
    // A client that does not close keeps the relay for as long as it may.
    let mut relay = Relay::start(&["--drain", "3"]);
    let mut stubborn = Wire::play(relay.address(), "nothing");
    relay.signal(Signal::TERM);
    stubborn.until_closed();
    let refused = wait_for("refusal", Duration::from_secs(2), || {
        TcpStream::connect(relay.address()).err()
    });
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let asked = now();
    relay.ended(Duration::from_secs(3) + SOON);
    let took = asked.elapsed();
    assert!(
        took < Duration::from_secs(3) + BUSY,
        "stopped after {took:?}"
    );
}

#[test]
fn a_bad_flag_is_named_with_what_is_allowed_and_nothing_starts() {
    for (arguments, wanted) in [
        (
            &["--workers", "many"][..],
            &["--workers", "many", "0", "64"][..],
        ),
        (
            &["--lag-max", "1k"],
            &["--lag-max", "1k", "64 KiB", "1 GiB"],
        ),
        (
            &["--gop-cache=maybe"],
            &["--gop-cache", "maybe", "on", "off"],
        ),
        (&["--listen", "nowhere"], &["--listen", "nowhere", "PORT"]),
        (
            &["--takeover", "share"],
            &["--takeover", "share", "refuse", "replace"],
        ),
        (&["--unheard-of", "1"], &["unheard-of"]),
        (&["--grace"], &["--grace", "0 to 3600 s"]),
        (&["argument"], &["argument"]),
        (&["--config", "/nowhere"], &["--config", "/nowhere"]),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(out(&output), "", "{arguments:?}");
        let told = err(&output);
        for word in wanted {
            assert!(
                told.contains(word),
                "{arguments:?}: no {word:?} in {told:?}"
            );
        }
        assert!(told.lines().count() <= 3, "{arguments:?}: {told}");
    }
}

#[test]
fn an_address_in_use_is_named_and_the_exit_code_is_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["--listen", "127.0.0.1:0", "--listen", &address]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(out(&output), "", "nothing is announced");
    let told = err(&output);
    assert!(told.contains(&address), "{told}");
}

#[test]
fn every_address_is_printed_and_served() {
    let listen = ["127.0.0.1:0", "[::1]:0", "127.0.0.2:0"];
    let relay = Relay::start_on(&listen, &["--workers", "2", "--grace", "1"]);
    let addresses = relay.addresses().to_vec();
    assert_eq!(addresses.len(), listen.len());
    for (address, wanted) in addresses.iter().zip(listen) {
        let wanted: SocketAddr = wanted.parse().unwrap();
        assert_eq!(address.ip(), wanted.ip());
        assert_ne!(address.port(), 0);
    }
    // In on one, out on another.
    let mut film = Film::new("film", 0);
    let mut sent = film.headers.clone();
    sent.extend(film.group(3));
    let mut publisher = Wire::publish(addresses[1], "film");
    publisher.send_all(&sent);
    publisher.settle();
    let last = sent.last().unwrap();
    for &address in &addresses {
        let mut player = Wire::play(address, "film");
        let got = media_of(&player.until_number(last.kind, last.number().unwrap()));
        assert_list("media", &got, &sent);
    }
    // A real player spells the address in brackets.
    let file = media::file(&H264_AAC);
    let url = format!("rtmp://{}/live/real", addresses[1]);
    let mut player = Player::start(PlayerProgram::Ffmpeg5, &url, relay.dir(), "six");
    relay.wait_players(1);
    let mut publisher = Program::Ffmpeg9.publish(&file, &url, Speed::Fast, relay.dir());
    publisher.succeed(A_WHILE);
    assert_same("over IPv6", &player.tracks(), &of_file(Ffmpeg::V5, &file));
}

#[test]
fn a_printed_configuration_is_read_back_the_same() {
    let dir = support::scratch("config");
    let flags = [
        "--listen",
        "127.0.0.1:0",
        "--workers",
        "1",
        "--pace",
        "20",
        "--grace",
        "90s",
        "--lag-max",
        "1m",
        "--app",
        "live",
        "--app",
        "other/one",
        "--takeover",
        "replace",
    ];
    let mut arguments = flags.to_vec();
    arguments.push("--print-config");
    let printed = run(&arguments);
    assert_eq!(printed.status.code(), Some(0), "{}", err(&printed));
    let text = out(&printed);
    for line in [
        "workers = 1",
        "takeover = replace",
        "app = live",
        "app = other/one",
    ] {
        assert!(text.lines().any(|l| l == line), "no {line:?} in\n{text}");
    }
    let file = dir.join("tailwater.conf");
    std::fs::write(&file, &text).unwrap();
    let file = file.to_str().unwrap();
    let again = run(&["--config", file, "--print-config"]);
    assert_eq!(out(&again), text);
    // The command line has the last word.
    let other = run(&["--config", file, "--grace", "1", "--print-config"]);
    assert_ne!(out(&other), text);

    let mut relay = Relay::start_command(
        Command::new(binary()).args(["--config", file, "--log", "debug"]),
        1,
    );
    let mut player = Wire::play(relay.address(), "film");
    let _publisher = Wire::publish(relay.address(), "film");
    player.until_status("NetStream.Play.Start");
    assert!(relay.log().contains("workers=1"), "{}", relay.log());
    relay.stop();

    std::fs::write(file, "workers = 1\npace = sometimes\n").unwrap();
    let bad = run(&["--config", file]);
    assert_eq!(bad.status.code(), Some(2));
    let told = err(&bad);
    for word in ["pace", "sometimes", "2", "auto"] {
        assert!(told.contains(word), "no {word:?} in {told}");
    }
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn an_app_that_is_not_served_is_refused() {
    let relay = Relay::start(&["--app", "other"]);
    let file = media::file(&H264_AAC);
    let url = relay.url("film");
    let mut publisher = Program::Ffmpeg5.publish(&file, &url, Speed::RealTime, relay.dir());
    let status = publisher.wait(A_WHILE);
    assert!(!status.success(), "{status}");
    relay.wait_log(&["reason=rejected"]);
}

const SECRETS: [&str; 3] = ["s3cr3t-of-publish", "s3cr3t-of-play", "s3cr3t-of-connect"];

#[test]
fn the_query_of_a_name_is_never_logged() {
    let file = media::file(&H264_AAC);
    let relay = Relay::start(&["--log", "trace", "--grace", "0", "--takeover", "refuse"]);
    let [of_publish, of_play, of_connect] = SECRETS;
    let address = relay.address();
    let players = [
        (
            PlayerProgram::Ffmpeg5,
            relay.url(&format!("film?token={of_play}")),
        ),
        (
            PlayerProgram::Rtmpdump,
            relay.url(&format!("film?token={of_play}")),
        ),
        (
            PlayerProgram::Gstreamer,
            format!("rtmp://{address}/live?token={of_connect}/film"),
        ),
    ];
    let mut players: Vec<Player> = players
        .iter()
        .map(|(program, url)| Player::start(*program, url, relay.dir(), "film"))
        .collect();
    let url = relay.url(&format!("film?token={of_publish}"));
    let mut publisher = Program::Ffmpeg5.publish(&file, &url, Speed::Fast, relay.dir());
    relay.wait_log(&["publish stream=\"live/film\""]);
    // Refused ones are logged too.
    let mut second = Program::Ffmpeg9.publish(&file, &url, Speed::Fast, relay.dir());
    second.wait(A_WHILE);
    let mut wire = Wire::play(relay.address(), &format!("nothing?key={of_play}"));
    wire.settle();
    publisher.succeed(A_WHILE);
    for player in &mut players {
        player.process.wait(A_WHILE);
    }
    let (log, out) = (relay.log(), relay.out());
    assert!(
        log.contains("stream=\"live/film\""),
        "what is public is logged"
    );
    assert!(log.contains("reason=rejected"), "{log}");
    for secret in SECRETS {
        for (what, text) in [("log", &log), ("output", &out)] {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "in the {what}");
        }
    }
}

#[test]
fn other_protocols_are_closed_at_the_first_bytes() {
    let relay = Relay::start(&["--handshake-timeout", "60"]);
    let tls = [
        0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xFC, 0x03, 0x03,
    ];
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        b"POST /live HTTP/1.1\r\n\r\n",
        &tls,
        // RTMPE.
        &[6],
        b"\x47\x40\x11\x10\x00",
    ] {
        let mut stream = TcpStream::connect(relay.address()).unwrap();
        stream.write_all(bytes).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut answer = Vec::new();
        let asked = now();
        let ended = stream.read_to_end(&mut answer);
        assert!(ended.is_ok(), "{bytes:02X?}: {ended:?}");
        assert_eq!(answer, [0_u8; 0], "{bytes:02X?}: no answer to a stranger");
        let took = asked.elapsed();
        // Long before --handshake-timeout, 10 s.
        assert!(took < Duration::from_secs(8), "{bytes:02X?} took {took:?}");
    }
    let log = relay.wait_log(&["reason=wrong_protocol"]);
    assert!(log.contains("DEBUG"), "a stranger is no news: {log}");
}

/// Sets how many files the relay may have open.
fn limit_open_files(relay: &Relay, count: u64) {
    let limit = Rlimit {
        current: Some(count),
        maximum: Some(count),
    };
    let pid = Pid::from_raw(i32::try_from(relay.id()).unwrap());
    prlimit(pid, Resource::Nofile, limit).expect("it is our child, and the limit is lower");
}

#[test]
fn without_free_descriptors_the_relay_serves_whom_it_has_and_recovers() {
    let relay = Relay::start(&[
        "--workers",
        "2",
        "--setup-timeout",
        "600",
        "--handshake-timeout",
        "300",
    ]);
    let mut film = Film::new("film", 0);
    let mut publisher = Wire::publish(relay.address(), "film");
    let mut players = relay.on_each_worker(2, || Wire::play(relay.address(), "film"));
    let mut sent = film.headers.clone();
    sent.extend(film.group(3));
    publisher.send_all(&sent);
    for player in &mut players {
        let last = sent.last().unwrap();
        player.until_number(last.kind, last.number().unwrap());
    }
    // Those that were only made to reach each worker are gone by now.
    relay.wait_stat("connections", 3);
    // Room for four more; forty come.
    limit_open_files(&relay, u64::try_from(relay.open_files()).unwrap() + 4);
    let flood: Vec<TcpStream> = (0..40)
        .map(|_| TcpStream::connect(relay.address()).unwrap())
        .collect();
    relay.wait_log(&["accept pauses"]);
    let used = relay.cpu_time();
    let begun = now();
    while begun.elapsed() < Duration::from_secs(2) {
        let group = film.group(3);
        publisher.send_all(&group);
        for player in &mut players {
            let last = group.last().unwrap();
            let got = media_of(&player.until_number(last.kind, last.number().unwrap()));
            assert_list("whom it has", &got, &group);
        }
        pause(Duration::from_millis(200));
    }
    let used = relay.cpu_time() - used;
    assert!(
        used < Duration::from_millis(700),
        "{used:?} of processor time"
    );
    // One that is in the backlog is served as soon as there is room.
    let late = std::thread::scope(|scope| {
        let late = scope.spawn(|| Wire::play(relay.address(), "film"));
        pause(Duration::from_millis(300));
        drop(flood);
        late.join()
    });
    let mut late = late.unwrap();
    late.until_status("NetStream.Play.Start");
    let warnings = relay.log().matches("accept pauses").count();
    assert!(warnings <= 4, "{warnings} warnings");
}

#[test]
fn more_connections_than_allowed_are_closed_and_the_others_go_on() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 90; exec \"$0\" \"$@\"", binary()]);
    command.args([
        "--listen",
        "127.0.0.1:0",
        "--workers",
        "2",
        "--log",
        "debug",
    ]);
    command.args(["--stats-interval", "200ms"]);
    let relay = Relay::start_command(&mut command, 1);
    let mut film = Film::new("film", 0);
    let mut publisher = Wire::publish(relay.address(), "film");
    let mut player = Wire::play(relay.address(), "film");
    let flood: Vec<TcpStream> = (0..100)
        .map(|_| TcpStream::connect(relay.address()).unwrap())
        .collect();
    wait_for("refusals", SOON, || {
        let stats = relay.stats();
        // While the player still waits it is a newcomer of this address as they are.
        let refused = stats.get("refused")? + stats.get("refused_newcomers")?;
        (refused >= 70).then_some(())
    });
    let used = relay.cpu_time();
    let group: Vec<Media> = film.group(3);
    publisher.send_all(&group);
    let last = group.last().unwrap();
    player.until_number(last.kind, last.number().unwrap());
    pause(Duration::from_secs(1));
    let used = relay.cpu_time() - used;
    assert!(
        used < Duration::from_millis(500),
        "{used:?} of processor time"
    );
    drop(flood);
    // Room again.
    relay.wait_stat("connections", 2);
    let mut late = Wire::play(relay.address(), "film");
    late.until_status("NetStream.Play.Start");
}
