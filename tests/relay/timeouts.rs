//! Deadlines: whoever is silent, or takes nothing, for longer than the flags allow is closed,
//! and nobody else is.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use support::relay::Relay;
use support::wire::{Film, Seen, Settings, Wire};
use support::{BUSY, SOON, now, wait_for};

/// How long it took until the relay closed `stream`; what it sent is passed over.
#[track_caller]
fn time_to_close(stream: &mut TcpStream) -> Duration {
    let begun = now();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.read_to_end(&mut Vec::new()).expect("an end in time");
    begun.elapsed()
}

#[track_caller]
fn assert_within(what: &str, took: Duration, least: u64, most: u64) {
    let bounds = Duration::from_millis(least)..Duration::from_millis(most) + BUSY;
    assert!(
        bounds.contains(&took),
        "{what} took {took:?}, not {bounds:?}"
    );
}

#[test]
fn a_handshake_has_an_end_however_slow_it_goes_on() {
    let relay = Relay::start(&["--handshake-timeout", "2"]);
    let mut silent = TcpStream::connect(relay.address()).unwrap();
    let mut slow = TcpStream::connect(relay.address()).unwrap();
    slow.write_all(&[3]).unwrap();
    let begun = now();
    // A byte now and then does not put it off.
    let closed = wait_for("end of the slow one", SOON, || {
        let mut byte = [0];
        slow.set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let ended = matches!(slow.read(&mut byte), Ok(0));
        (ended || slow.write_all(&[0]).is_err()).then(|| begun.elapsed())
    });
    assert_within("the slow one", closed, 1_500, 6_000);
    assert_within("the silent one", time_to_close(&mut silent), 0, 4_000);
    relay.wait_log(&["reason=handshake_timeout"]);
}

#[test]
fn a_client_that_asks_for_nothing_is_closed() {
    let relay = Relay::start(&["--setup-timeout", "2"]);
    let mut idle = TcpStream::connect(relay.address()).unwrap();
    let mut hello = vec![3];
    hello.resize(1 + 1_536, 0);
    idle.write_all(&hello).unwrap();
    idle.read_exact(&mut [0; 1 + 2 * 1_536]).unwrap();
    idle.write_all(&[0; 1_536]).unwrap();
    assert_within("the idle one", time_to_close(&mut idle), 1_500, 6_000);
    relay.wait_log(&["reason=setup_timeout"]);
}

#[test]
fn a_silent_publisher_is_closed_and_its_players_with_it() {
    let relay = Relay::start(&["--publish-idle", "2", "--grace", "0"]);
    let mut film = Film::new("film", 0);
    let mut silent = Wire::publish(relay.address(), "silent");
    let mut lively = Wire::publish(relay.address(), "lively");
    let mut player = Wire::play(relay.address(), "silent");
    let mut other = Wire::play(relay.address(), "lively");
    silent.send_all(&film.headers);
    silent.send_all(&film.group(3));
    let begun = now();
    // The other one says little, but something.
    let mut seen = Vec::new();
    let took = wait_for("end of the silent publisher", SOON, || {
        lively.send_all(&film.group(1));
        seen.extend(silent.next(Duration::from_millis(200)));
        (seen.last() == Some(&Seen::Closed(true))).then(|| begun.elapsed())
    });
    assert_within("the publisher", took, 1_500, 6_000);
    let told = Seen::status("NetStream.Publish.Idle");
    assert!(seen.contains(&told), "{seen:?}");
    let seen = player.until_closed();
    let told = Seen::status("NetStream.Play.UnpublishNotify");
    assert!(seen.contains(&told), "{seen:?}");
    relay.wait_log(&["role=publisher ", "reason=publish_idle "]);
    // A player may be as silent as it likes.
    let last = film.group(1);
    lively.send_all(&last);
    other.until_number(last[1].kind, last[1].number().unwrap());
}

#[test]
fn a_player_that_takes_nothing_is_closed() {
    let relay = Relay::start(&[
        "--send-timeout",
        "2",
        "--sndbuf",
        "64k",
        "--lag-max",
        "256k",
    ]);
    let small = Settings {
        receive_buffer: Some(16 * 1024),
        ..Settings::default()
    };
    let _stuck = Wire::play_with(relay.address(), "film", &small);
    let mut player = Wire::play(relay.address(), "film");
    let mut film = Film::new("film", 0);
    let mut publisher = Wire::publish(relay.address(), "film");
    publisher.send_all(&film.headers);
    let begun = now();
    let took = wait_for("end of the one that is stuck", SOON, || {
        let group = film.group(9);
        publisher.send_all(&group);
        let last = group.last().unwrap();
        player.until_number(last.kind, last.number().unwrap());
        let log = relay.log();
        let mut lines = log.lines();
        let is_it = |line: &str| line.contains("role=player ") && line.contains("=send_timeout ");
        lines.any(is_it).then(|| begun.elapsed())
    });
    assert_within("the one that is stuck", took, 1_500, 8_000);
    assert_eq!(relay.log().matches("role=player").count(), 1, "only it");
}
