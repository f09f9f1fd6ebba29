//! Who may come by HTTP, where streams come from, and what memory allows: the same for all.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::{both_ways, media_up_to, publisher, relay_with};
use support::http::{FlvPlayer, Http, Way};
use support::packets::assert_list;
use support::relay::Relay;
use support::wire::{Film, Key, Media, Wire};
use support::{SOON, now, pause};

/// A connection from another address of the loopback.
fn from(last: u8, relay: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let address = SocketAddr::from((Ipv4Addr::new(127, 0, 7, last), 0));
    socket.bind(&address.into()).unwrap();
    socket.connect_timeout(&relay.into(), SOON).unwrap();
    socket.into()
}

/// Whether it is answered; else it was closed without a word.
fn is_let_in(mut http: Http) -> Option<Http> {
    http.ask("GET", "/live/cam", "");
    let answer = http.head(SOON);
    answer.map(|answer| {
        assert_eq!(answer.status, 200);
        http
    })
}

#[test]
fn connections_by_http_count_as_those_by_rtmp_do() {
    let relay = relay_with(&["--max-per-address", "6", "--workers", "2"]);
    let _publisher = Wire::publish(relay.address(), "film");
    let _rtmp = Wire::play(relay.address(), "film");
    let crowd: Vec<Http> = (0..4)
        .map(|_| is_let_in(Http::connect(relay.http())).expect("there is room"))
        .collect();
    assert!(is_let_in(Http::connect(relay.http())).is_none());
    assert!(is_let_in(Http::over(from(1, relay.http()))).is_some());
    drop(crowd);
    relay.wait_stat("connections", 2);
    assert!(is_let_in(Http::connect(relay.http())).is_some());
    relay.wait_log(&["refused", "cause=refused_address"]);
}

#[test]
fn who_asks_for_pages_gives_way_and_who_plays_does_not() {
    // An address may have a fifth of the 48 newcomers that speak HTTP.
    let relay = relay_with(&[
        "--max-per-address",
        "60",
        "--max-connections",
        "256",
        "--workers",
        "1",
    ]);
    let mut film = Film::new("film", 0);
    let (_publisher, sent) = publisher(&relay, "film", &mut film);
    let mut crowd: Vec<Http> = (0..17)
        .map(|_| is_let_in(Http::connect(relay.http())).expect("the oldest gives way"))
        .collect();
    assert!(crowd.remove(0).closed(SOON).is_some());
    let mut players: Vec<FlvPlayer> = (0..10).flat_map(|_| both_ways(&relay, "film")).collect();
    for player in &mut players {
        media_up_to(player, &sent);
    }
    assert!(is_let_in(Http::connect(relay.http())).is_some());
    // Those that wait for a stream do not give way.
    drop(crowd);
    let waiting: Vec<FlvPlayer> = (0..10)
        .map(|_| FlvPlayer::ask(relay.http(), "later", Way::Plain))
        .collect();
    relay.wait_players(30);
    assert!(is_let_in(Http::connect(relay.http())).is_none());
    drop(waiting);
}

#[test]
fn regression_connections_that_ask_for_pages_keep_nobody_out() {
    let flags = ["--max-connections", "600", "--max-per-address", "60"];
    let relay = relay_with(&[&flags[..], &["--workers", "2"]].concat());
    // Four addresses leave a half of the 112 newcomers that speak HTTP.
    let mut crowd = Vec::new();
    for round in 0..30 {
        for address in 1..=4 {
            let come = is_let_in(Http::over(from(address, relay.http())));
            crowd.push(come.unwrap_or_else(|| panic!("{address} in round {round}")));
        }
    }
    let mut film = Film::new("film", 0);
    let (_publisher, sent) = publisher(&relay, "film", &mut film);
    for _ in 0..20 {
        let mut player = FlvPlayer::play(relay.http(), "film", Way::Plain);
        media_up_to(&mut player, &sent);
        let _rtmp = Wire::play(relay.address(), "film");
    }
    assert!(is_let_in(Http::over(from(5, relay.http()))).is_some());
}

#[test]
fn regression_who_only_asks_for_pages_has_a_deadline() {
    let relay = relay_with(&["--setup-timeout", "2", "--handshake-timeout", "2"]);
    let mut http = Http::connect(relay.http());
    let begun = now();
    loop {
        http.ask("GET", "/live/cam", "");
        let Some(answer) = http.head(SOON) else {
            break;
        };
        let len = answer.field("content-length").unwrap().parse().unwrap();
        http.skip(len);
        assert!(begun.elapsed() < SOON, "it goes on for ever");
        if answer.field("connection") == Some("close") {
            break;
        }
        pause(Duration::from_millis(100));
    }
    assert_eq!(http.until_closed(SOON), b"");
    assert!(begun.elapsed() > Duration::from_secs(1));
}

#[test]
fn an_edge_fetches_a_stream_for_those_who_ask_by_http() {
    let origin = Relay::start(&[]);
    let pull = format!("rtmp://{}", origin.address());
    let edge = relay_with(&["--pull", &pull, "--workers", "2", "--pull-give-up", "2"]);
    let mut film = Film::new("film", 0);
    let (mut publisher, sent) = publisher(&origin, "film", &mut film);
    for way in Way::BOTH {
        let mut players = edge.on_each_worker(2, || FlvPlayer::ask(edge.http(), "film", way));
        for player in &mut players {
            player.begin(SOON);
            let got = media_up_to(player, &sent);
            assert_list("pictures", &got[got.len() - 10..], &sent[3..]);
        }
        let more = film.group(4);
        publisher.send_all(&more);
        for player in &mut players {
            assert_list("what follows", &media_up_to(player, &more), &more);
        }
        publisher.send_all(&sent[3..]);
    }
    // What no origin has is not found.
    let mut player = FlvPlayer::ask(edge.http(), "nothing", Way::Plain);
    assert_eq!(player.http.answer(true).status, 404);
}

#[test]
fn short_of_memory_players_are_told_to_come_later() {
    let flags = [
        "--memory-max",
        "96m",
        "--log-bytes",
        "48m",
        "--workers",
        "1",
    ];
    let relay = relay_with(&flags);
    let mut early = Http::connect(relay.http());
    assert_eq!(early.get("/live/cam").status, 200);
    let publish = |number| Wire::publish(relay.address(), &format!("film{number}"));
    let mut publishers: Vec<Wire> = (0..8).map(publish).collect();
    for publisher in &mut publishers {
        publisher.send(&Media::avc_header(0));
        publisher.send(&Media::picture(Key::Yes, 0, 0, 1_000));
    }
    // What nobody plays would be freed.
    let play = |number| Wire::play(relay.address(), &format!("film{number}"));
    let _players: Vec<Wire> = (0..8).map(play).collect();
    let mut number = 1;
    let mut refused = false;
    let until = now() + 2 * SOON;
    // Groups without end fill the logs.
    while !refused && now() < until {
        for publisher in &mut publishers {
            for _ in 0..2 {
                publisher.send(&Media::picture(Key::No, number, number, 50_000));
                number += 1;
            }
        }
        pause(Duration::from_millis(40));
        refused = relay.log().contains("players and connections are refused");
    }
    assert!(refused, "{number} pictures");
    let answer = early.request("GET", "/live/film.flv", "");
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(early.until_closed(SOON), b"");
    // Who comes now is not let in.
    assert!(is_let_in(Http::connect(relay.http())).is_none());
}
