//! Memory that single clients could hold: players that stop reading in the middle of large
//! messages, and publishers that fill up the memory of the relay.

use support::http::{FlvPlayer, Way};
use support::relay::Relay;
use support::wire::{Film, Key, Media, Seen, Settings, Wire};
use support::{SOON, wait_for};

const MIB: usize = 1 << 20;

/// How often the log has each of `parts` in one line.
fn count(relay: &Relay, parts: &[&str]) -> usize {
    let log = relay.log();
    let lines = log.lines();
    lines
        .filter(|line| parts.iter().all(|part| line.contains(part)))
        .count()
}

/// Players of one stream that each stop reading within another large key frame, made by `join`
/// once for each; they keep less together than 12 of them would.
#[track_caller]
fn check_stalled<P>(join: impl Fn(&Relay) -> P) {
    let relay = Relay::start(&[
        "--workers",
        "1",
        "--sndbuf",
        "64k",
        "--publish-bitrate-max",
        "0",
        "--pace",
        "0",
        "--http",
        "127.0.0.1:0",
    ]);
    let mut publisher = Wire::publish(relay.address(), "film");
    publisher.send_all(&Film::new("film", 0).headers);
    let mut watching = Wire::play(relay.address(), "film");
    let mut stalled = Vec::new();
    for number in 0..12 {
        let time = 40 * number;
        publisher.send(&Media::picture(Key::Yes, time, number, 4 * MIB));
        watching.until_number(9, number);
        stalled.push(join(&relay));
    }
    wait_for("players that keep too much to be closed", SOON, || {
        (closed(&relay) >= 8).then_some(())
    });
    // Whoever reads is not touched.
    publisher.send(&Media::picture(Key::Yes, 500, 12, 1_000));
    watching.until_number(9, 12);
    drop(stalled);
}

fn closed(relay: &Relay) -> u64 {
    count(relay, &["closed role=player", "reason=stalled"]) as u64
}

fn small() -> Settings {
    Settings {
        receive_buffer: Some(16 * 1024),
        ..Settings::default()
    }
}

#[test]
fn regression_stalled_players_keep_a_bounded_part_of_a_stream() {
    check_stalled(|relay| Wire::play_with(relay.address(), "film", &small()));
}

#[test]
fn stalled_players_by_http_keep_a_bounded_part_of_a_stream() {
    check_stalled(|relay| {
        let mut player = FlvPlayer::ask_with(relay.http(), "film", Way::Plain, Some(16 * 1024));
        player.begin(SOON);
        player
    });
}

#[test]
fn regression_publishers_that_hoard_go_before_players_of_others() {
    let relay = Relay::start(&[
        "--workers",
        "1",
        "--memory-max",
        "64m",
        "--publish-bitrate-max",
        "0",
        "--grace",
        "0",
    ]);
    let mut healthy = Wire::publish(relay.address(), "healthy");
    let mut film = Film::new("film", 0);
    healthy.send_all(&film.headers.clone());
    healthy.send_all(&film.group(3));
    let mut players: Vec<Wire> = (0..10)
        .map(|_| Wire::play(relay.address(), "healthy"))
        .collect();
    // One group without end each; some have a player of their own, who reads. All have come before
    // memory is short, when publishers are refused.
    let hoards: Vec<_> = (0..6)
        .map(|number| {
            let name = format!("hoard{number}");
            let mut wire = Wire::publish(relay.address(), &name);
            wire.send_all(&Film::new("hoard", 0).headers);
            wire.send(&Media::picture(Key::Yes, 0, 0, 1_000));
            let player = (number % 2 == 0).then(|| Wire::play(relay.address(), &name));
            (name, wire, player)
        })
        .collect();
    let mut kept = Vec::new();
    for (name, mut wire, mut player) in hoards {
        for picture in 1..=15 {
            // Those that were closed have gone.
            if count(&relay, &["publisher", &name, "reason=overload"]) > 0 {
                break;
            }
            wire.send(&Media::picture(Key::No, 0, picture, MIB));
            if let Some(player) = &mut player {
                player.settle();
            }
        }
        kept.push((wire, player));
    }
    relay.wait_log(&["of streams that nobody plays"]);
    wait_for("less memory to be held", SOON, || {
        let held = relay.stats().get("held_bytes").copied();
        (held.unwrap_or(u64::MAX) < 58 << 20).then_some(())
    });
    // Those of the stream that fills nothing are all there, and new ones come in.
    healthy.send_all(&film.group(3));
    for player in &mut players {
        let seen = player.settle();
        let is_gone = seen.iter().any(|seen| matches!(seen, Seen::Closed(_)));
        assert!(!is_gone, "a player of the healthy stream was closed");
    }
    assert_eq!(count(&relay, &["live/healthy", "reason=overload"]), 0);
    wait_for("a new player to come in", SOON, || {
        let stats = relay.stats();
        (stats.get("held_bytes").copied()? < 50 << 20).then_some(())
    });
    Wire::play(relay.address(), "healthy").until_status("NetStream.Play.Start");
}
