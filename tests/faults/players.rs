//! A player that takes nothing, or is no longer there: the relay gives it up in a bounded time and
//! with bounded memory, and the others never know.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::bystanders::{beside, opening, pictures};
use crate::network::Network;
use crate::{raw, together};
use support::relay::Relay;
use support::wire::{Film, Seen, Settings, Wire};
use support::{BUSY, SOON, now, pause, wait_for};

/// Players that never read a byte, not even of the handshake.
const DEAF: usize = 60;

#[test]
fn players_that_never_read_are_given_up_and_cost_little_memory() {
    let _turn = together();
    let relay = Relay::start(&[
        "--workers",
        "2",
        "--send-timeout",
        "3",
        "--sndbuf",
        "64k",
        "--lag-max",
        "512k",
        "--max-per-address",
        "0",
    ]);
    let ((), figures) = beside(&relay, 2, || {
        let before = relay.resident_bytes();
        let deaf: Vec<TcpStream> = (0..DEAF).map(|_| deaf(&relay)).collect();
        relay.wait_players(2 + DEAF);
        let mut publisher = Wire::publish(relay.address(), "film");
        let film = Film::new("film", 0);
        publisher.send_all(&film.headers);
        let mut pictures = pictures(40_000);
        let begun = now();
        let mut most = 0;
        wait_for("end of those that never read", SOON, || {
            for picture in pictures.by_ref().take(4) {
                publisher.send(&picture);
            }
            most = most.max(relay.resident_bytes());
            (relay.stats().get("players") == Some(&2)).then_some(())
        });
        relay.wait_log(&["role=player ", "reason=send_timeout "]);
        let took = begun.elapsed();
        assert!(
            took < Duration::from_secs(3) + BUSY,
            "given up after {took:?}"
        );
        // Were it kept for each of them, --lag-max alone would come to 30 MiB.
        let grown = most.saturating_sub(before);
        assert!(grown < 24 << 20, "{grown} bytes for {DEAF} of them");
        drop(deaf);
    });
    let p99 = figures.p99();
    assert!(p99 < BUSY, "others wait for {p99:?}");
    relay.wait_stat("connections", 0);
}

/// A player that has asked for everything and takes nothing.
fn deaf(relay: &Relay) -> TcpStream {
    let small = raw::Origin {
        receive_buffer: Some(4 * 1_024),
        ..raw::Origin::default()
    };
    let mut socket = raw::open(relay.address(), small).unwrap();
    socket.write_all(&raw::playing("film")).unwrap();
    socket
}

#[test]
fn players_behind_a_dead_link_are_given_up() {
    let _turn = together();
    let network = Network::new();
    let listen = [&*network.listen(), "127.0.0.1:0"];
    let flags = [
        "--send-timeout",
        "4",
        "--ping",
        "2",
        "--play-wait",
        "3600",
        "--sndbuf",
        "64k",
    ];
    let relay = Relay::start_on(&listen, &flags);
    let (far, near) = (relay.address(), relay.addresses()[1]);
    let files = relay.open_files();
    let mut publisher = Wire::publish(near, "film");
    let mut film = Film::new("film", 0);
    let sent = opening(&mut film);
    publisher.send_all(&sent);
    let mut player = Wire::play(near, "film");
    // One that plays, and one to whom nothing is sent but a ping now and then.
    let gone = network.inside(|| [Wire::play(far, "film"), Wire::play(far, "nothing")]);
    let peers = gone.each_ref().map(|wire| {
        let peer = format!("peer={} ", wire.local_address());
        let line = relay.wait_log(&["accepted", &peer]);
        let from = line.find("conn=").expect("its number");
        line[from..].split(' ').next().unwrap().to_owned()
    });
    network.cut();
    let cut = now();
    let ended = |peer: &str| {
        let log = relay.log();
        let closed = format!("{peer} closed ");
        log.contains(&closed).then(|| cut.elapsed())
    };
    // Nothing is lost for the player that is there.
    let mut times = [None; 2];
    wait_for("end of those that are gone", 3 * SOON, || {
        let group = film.group(9);
        publisher.send_all(&group);
        let last = group.last().unwrap();
        player.until_number(last.kind, last.number().unwrap());
        for (time, peer) in times.iter_mut().zip(&peers) {
            *time = time.or_else(|| ended(peer));
        }
        pause(Duration::from_millis(100));
        times.iter().all(Option::is_some).then_some(())
    });
    let [plays, waits] = times.map(Option::unwrap);
    assert!(plays < Duration::from_secs(10), "given up after {plays:?}");
    // The kernel waits 20 s for the acknowledgement of a ping.
    assert!(waits < Duration::from_secs(35), "given up after {waits:?}");
    drop(gone);
    drop(player);
    drop(publisher);
    wait_for("descriptors given back", SOON, || {
        (relay.open_files() == files).then_some(())
    });
}

#[test]
fn peers_that_close_their_half_are_closed() {
    let _turn = together();
    let relay = Relay::start(&["--grace", "0"]);
    let mut publisher = Wire::publish(relay.address(), "film");
    let mut film = Film::new("film", 0);
    publisher.send_all(&opening(&mut film));
    let mut playing = Wire::play(relay.address(), "film");
    let mut waiting = Wire::play(relay.address(), "nothing");
    let mut shaken = raw::open(relay.address(), raw::Origin::default()).unwrap();
    shaken.write_all(&raw::hello()).unwrap();
    let silent = raw::open(relay.address(), raw::Origin::default()).unwrap();
    for wire in [&playing, &waiting] {
        wire.finish();
    }
    let asked = now();
    for wire in [&mut playing, &mut waiting] {
        let seen = wire.until_closed();
        assert!(matches!(seen.last(), Some(Seen::Closed(_))), "{seen:?}");
    }
    for mut socket in [shaken, silent] {
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        let ended = socket.read_to_end(&mut Vec::new());
        assert!(ended.is_ok(), "{ended:?}");
    }
    let took = asked.elapsed();
    assert!(took < BUSY, "closed after {took:?}");
    relay.wait_stat("connections", 1);
    // A publisher, too, and its players with it.
    let mut player = Wire::play(relay.address(), "film");
    publisher.finish();
    player.until_closed();
    relay.wait_stat("connections", 0);
}

#[test]
fn a_player_that_comes_back_to_the_network_goes_on() {
    let _turn = together();
    let network = Network::new();
    let listen = [&*network.listen(), "127.0.0.1:0"];
    let relay = Relay::start_on(&listen, &["--send-timeout", "20"]);
    let (far, near) = (relay.address(), relay.addresses()[1]);
    let mut publisher = Wire::publish(near, "film");
    let mut film = Film::new("film", 0);
    publisher.send_all(&opening(&mut film));
    let settings = Settings::default();
    let mut player = network.inside(|| Wire::play_with(far, "film", &settings));
    player.until("a picture", |seen| {
        seen.media().is_some_and(|media| media.is_key())
    });
    network.cut();
    for _ in 0..10 {
        publisher.send_all(&film.more(2));
        pause(Duration::from_millis(100));
    }
    network.mend();
    let last = film.more(1);
    publisher.send_all(&last);
    // All of it: there was room for what it missed.
    let seen = player.until_number(last[0].kind, last[0].number().unwrap());
    let numbers: Vec<u32> = seen
        .iter()
        .filter_map(Seen::media)
        .filter(|media| media.kind == last[0].kind && !media.is_header())
        .filter_map(support::wire::Media::number)
        .collect();
    let gap = numbers.windows(2).find(|pair| pair[1] != pair[0] + 1);
    assert_eq!(gap, None, "{numbers:?}");
}
