//! Origins behind a network that fails: an edge's players must stay and go on.

#![expect(
    clippy::disallowed_methods,
    reason = "the slow line copies on threads of its own"
)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tailwater::edge::order::order;
use tailwater::rtmp::message::kind;

use crate::network::Network;
use crate::together;
use support::packets::assert_time_never_steps_back;
use support::relay::Relay;
use support::wire::{Film, Media, Seen, Wire, media_of};
use support::{SOON, now, pause, wait_for};

/// A stream that is asked for at the first of two origins first.
fn stream_of_the_first(origins: &[SocketAddr; 2]) -> String {
    let names = origins.map(|origin| origin.to_string());
    let is_first = |stream: &String| {
        let key = format!("live/{stream}");
        order(&key, names.iter().map(String::as_str))[0] == 0
    };
    (0..).map(|n| format!("cam{n}")).find(is_first).unwrap()
}

#[test]
fn players_of_an_edge_go_on_with_another_origin_when_theirs_is_cut_off() {
    let _turn = together();
    let network = Network::new();
    // Its publisher is inside as well.
    network.add_loopback("fd77::1");
    let inside = network.listen_inside();
    let far = network.inside(|| Relay::start_on(&[&inside], &[]));
    let near = Relay::start(&[]);
    let origins = [far.address(), near.address()];
    let stream = stream_of_the_first(&origins);
    let rule = format!("rtmp://{},rtmp://{}", origins[0], origins[1]);
    let flags = ["--pull", &rule, "--pull-timeout", "1", "--workers", "2"];
    let edge = Relay::start(&flags);
    let mut film = Film::new("film", 0);
    let mut publishers = [
        network.inside(|| Wire::publish(origins[0], &stream)),
        Wire::publish(origins[1], &stream),
    ];
    let mut send = |messages: &[Media]| {
        for publisher in &mut publishers {
            publisher.send_all(messages);
        }
    };
    send(&film.headers_again(0));
    send(&film.group(4));
    let mut players = edge.on_each_worker(2, || Wire::play(edge.address(), &stream));
    let mut seen: Vec<Vec<Seen>> = Vec::new();
    for player in &mut players {
        seen.push(player.until_number(kind::AUDIO, 4));
    }
    edge.wait_log(&["pull stream=", &origins[0].to_string()]);
    network.cut();
    let cut = now();
    let other = format!("peer={}", origins[1]);
    wait_for("pull from the other", SOON, || {
        send(&film.group(2));
        pause(Duration::from_millis(50));
        let log = edge.log();
        let mut lines = log.lines();
        lines
            .any(|line| line.contains("pull stream=") && line.contains(&other))
            .then_some(())
    });
    eprintln!("gap after a silent cut: {:?}", cut.elapsed());
    let last = film.group(2);
    send(&last);
    let number = last.last().and_then(Media::number).unwrap();
    for (player, mut seen) in players.iter_mut().zip(seen) {
        seen.extend(player.until_number(kind::AUDIO, number));
        assert!(!seen.iter().any(|seen| matches!(seen, Seen::Closed(_))));
        assert_time_never_steps_back(&media_of(&seen));
    }
    network.mend();
}

/// Passes on what comes from `target` at so many bytes a second, and the rest at once.
fn slow_line(target: SocketAddr, bytes_a_second: Arc<AtomicU64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().flatten().take(20) {
            let server = TcpStream::connect(target).unwrap();
            let (mut up, mut up_to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut up, &mut up_to));
            let rate = bytes_a_second.clone();
            thread::spawn(move || trickle(server, client, &rate));
        }
    });
    address
}

fn trickle(mut from: TcpStream, mut to: TcpStream, rate: &AtomicU64) {
    let mut buffer = [0; 4_096];
    loop {
        let count = from.read(&mut buffer).unwrap_or(0);
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            let _: std::io::Result<()> = to.shutdown(Shutdown::Both);
            return;
        }
        let rate = rate.load(Ordering::Relaxed);
        pause(Duration::from_micros(1_000_000 * count as u64 / rate));
    }
}

#[test]
fn an_origin_on_a_line_slower_than_its_stream_costs_groups_and_no_player() {
    let _turn = together();
    let origin = Relay::start(&["--lag-max", "256k", "--sndbuf", "64k"]);
    let rate = Arc::new(AtomicU64::new(50_000_000));
    let line = slow_line(origin.address(), rate.clone());
    let rule = format!("rtmp://{line}");
    let edge = Relay::start(&["--pull", &rule, "--pull-timeout", "3", "--rcvbuf", "64k"]);
    let mut film = Film::new("film", 0);
    let mut publisher = Wire::publish(origin.address(), "cam");
    publisher.send_all(&film.headers_again(0));
    publisher.send_all(&film.group(4));
    let mut player = Wire::play(edge.address(), "cam");
    let mut seen = player.until_number(kind::AUDIO, 4);
    // A group of 63 KB each 100 ms on a line for a third of it, for 4 s.
    rate.store(200_000, Ordering::Relaxed);
    for _ in 0..40 {
        publisher.send_all(&film.group(9));
        pause(Duration::from_millis(100));
    }
    rate.store(50_000_000, Ordering::Relaxed);
    let last = film.group(1);
    publisher.send_all(&last);
    let number = last.last().and_then(Media::number).unwrap();
    seen.extend(player.until_number(kind::AUDIO, number));
    let media = media_of(&seen);
    assert_time_never_steps_back(&media);
    let pictures = media
        .iter()
        .filter(|media| media.kind == kind::VIDEO && !media.is_header());
    let pictures: Vec<u32> = pictures.filter_map(Media::number).collect();
    assert!(
        pictures.len() < 400,
        "nothing was left out: {}",
        pictures.len()
    );
    // Where something is missing it goes on at a key frame, the first of ten.
    for pair in pictures.windows(2) {
        let goes_on = pair[1] == pair[0] + 1;
        assert!(goes_on || (pair[1] - 5).is_multiple_of(10), "{pair:?}");
    }
    origin.wait_stat("connections", 2);
    assert!(origin.stats()["dropped"] > 0);
}
