//! Behind a proxy that speaks HTTP: whose address counts, which host was asked for.

use super::{media_up_to, publisher, relay_with};
use support::SOON;
use support::http::{FlvPlayer, Http, Way};
use support::relay::Relay;
use support::wire::{Film, Wire};

/// A relay that believes proxies on this machine.
fn behind_proxy(flags: &[&str]) -> Relay {
    relay_with(&[&["--proxy-protocol", "127.0.0.0/8,10.0.0.0/8"], flags].concat())
}

/// One that plays the film for `client`, as its proxy says.
fn play_for(relay: &Relay, client: &str) -> (Http, u16) {
    let mut http = Http::connect(relay.http());
    let field = format!("X-Forwarded-For: {client}\r\n");
    http.send(Way::Plain.request("/live/film.flv", &field));
    let status = http.head(SOON).expect("an answer").status;
    (http, status)
}

/// A publisher, which comes with a PROXY header.
fn publish(relay: &Relay, film: &mut Film) -> (Wire, Vec<super::Media>) {
    use std::io::Write;
    use support::wire::{Settings, open};
    let mut socket = open(relay.address(), None);
    socket
        .write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 4000 1935\r\n")
        .unwrap();
    let mut wire = Wire::publish_over(socket, "film", &Settings::default());
    let mut sent = film.headers.clone();
    sent.extend(film.group(2));
    wire.send_all(&sent);
    wire.spread();
    (wire, sent)
}

#[test]
fn the_client_that_a_trusted_proxy_names_counts() {
    let relay = behind_proxy(&["--max-per-address", "3", "--workers", "2"]);
    let mut film = Film::new("film", 0);
    let (mut publisher, sent) = publish(&relay, &mut film);
    // Thirty clients of one proxy, and what they say themselves is not believed.
    let mut players = Vec::new();
    for client in 1..=30 {
        let client = format!("198.51.100.9, 203.0.113.{client}, 10.0.0.5");
        let (http, status) = play_for(&relay, &client);
        assert_eq!(status, 200, "{client}");
        players.push(FlvPlayer::over(http, Way::Plain));
    }
    for player in &mut players {
        media_up_to(player, &sent);
    }
    relay.wait_log(&["forwarded peer=203.0.113.30:0 proxy=127.0.0.1:"]);
    // One client has as many as it may have.
    let more: Vec<_> = (0..2).map(|_| play_for(&relay, "203.0.113.7")).collect();
    assert!(more.iter().all(|(_, status)| *status == 200));
    let (mut http, status) = play_for(&relay, "203.0.113.7");
    assert_eq!(status, 429);
    http.until_closed(SOON);
    drop(more);
    // They are gone as soon as something cannot be sent.
    for _ in 0..3 {
        publisher.send_all(&film.more(2));
        publisher.settle();
    }
    relay.wait_players(30);
    assert_eq!(play_for(&relay, "203.0.113.7").1, 200);
    relay.wait_log(&["closed role=player", "peer=203.0.113.7:0"]);
}

#[test]
fn a_connection_of_a_proxy_is_its_clients_in_turn() {
    let relay = behind_proxy(&["--max-per-address", "20"]);
    let mut http = Http::connect(relay.http());
    for client in 1..=50 {
        let field = format!("Forwarded: for=\"203.0.113.{client}:4711\";proto=https\r\n");
        assert_eq!(http.request("GET", "/live/cam", &field).status, 200);
        relay.wait_log(&[&format!("forwarded peer=203.0.113.{client}:4711")]);
    }
    // One that names nobody is the proxy's own.
    assert_eq!(http.get("/healthz").status, 200);
    let answer = http.request("GET", "/live/cam", "X-Forwarded-For: unknown\r\n");
    assert_eq!(answer.status, 200);
}

#[test]
fn nobody_else_is_believed() {
    let relay = relay_with(&["--max-per-address", "2", "--proxy-protocol", "10.0.0.0/8"]);
    let mut film = Film::new("film", 0);
    let (_publisher, _) = publisher(&relay, "film", &mut film);
    let _first = play_for(&relay, "203.0.113.1");
    relay.wait_stat("players", 1);
    // The publisher and the player are all that may come from here.
    let mut http = Http::connect(relay.http());
    http.send(Way::Plain.request("/live/film.flv", "X-Forwarded-For: 203.0.113.2\r\n"));
    assert!(http.head(SOON).is_none());
    // Nor are clients of a proxy that passes TCP on, which names them before.
    let relay = behind_proxy(&[]);
    let mut http = Http::connect(relay.http());
    http.send("PROXY TCP4 192.0.2.7 192.0.2.2 4000 80\r\n");
    let field = "X-Forwarded-For: 203.0.113.2\r\n";
    assert_eq!(http.request("GET", "/live/cam", field).status, 200);
    relay.wait_log(&["accepted peer=192.0.2.7:4000"]);
    assert!(!relay.log().contains("forwarded peer="));
}

#[test]
fn origins_are_compared_with_the_host_that_the_proxy_was_asked_for() {
    let relay = behind_proxy(&[]);
    let mut film = Film::new("film", 0);
    let (_publisher, _) = publish(&relay, &mut film);
    for (fields, status) in [
        ("Origin: https://tv.example\r\n", 403),
        (
            "Origin: https://tv.example\r\nX-Forwarded-Host: tv.example\r\n",
            101,
        ),
        (
            "Origin: https://tv.example:8443\r\nX-Forwarded-Host: tv.example\r\n",
            101,
        ),
        (
            "Origin: https://tv.example\r\nForwarded: for=1.1.1.1;host=tv.example\r\n",
            101,
        ),
        (
            "Origin: https://evil.example\r\nX-Forwarded-Host: tv.example\r\n",
            403,
        ),
        (
            "Origin: http://relay\r\nX-Forwarded-Host: tv.example\r\n",
            403,
        ),
    ] {
        let mut http = Http::connect(relay.http());
        http.send(Way::WebSocket.request("/live/film.flv", fields));
        assert_eq!(http.head(SOON).unwrap().status, status, "{fields}");
    }
    let relay = relay_with(&[]);
    let mut film = Film::new("film", 0);
    let (_publisher, _) = publisher(&relay, "film", &mut film);
    let mut http = Http::connect(relay.http());
    let fields = "Origin: https://tv.example\r\nX-Forwarded-Host: tv.example\r\n";
    http.send(Way::WebSocket.request("/live/film.flv", fields));
    assert_eq!(http.head(SOON).unwrap().status, 403);
}

#[test]
fn names_of_others_are_refused_where_names_are_listed() {
    let relay = relay_with(&["--http-host", "tv.example", "--http-host", "relay"]);
    let status = |host: &str, path: &str| {
        let mut http = Http::connect(relay.http());
        http.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        http.answer(true).status
    };
    for host in [
        "tv.example",
        "TV.Example:8080",
        "127.0.0.1",
        "[::1]:80",
        "localhost",
    ] {
        assert_eq!(status(host, "/live/cam"), 200, "{host}");
    }
    for path in ["/live/cam", "/live/cam.flv", "/-/player.js"] {
        assert_eq!(status("evil.example", path), 421, "{path}");
    }
    // A check of health may have any name.
    assert_eq!(status("evil.example", "/healthz"), 200);
}

#[test]
fn health_is_told_where_streams_are() {
    let relay = relay_with(&[]);
    let mut http = Http::connect(relay.http());
    for (path, said) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let answer = http.get(path);
        assert_eq!((answer.status, answer.text().as_str()), (200, said));
    }
    // As HAProxy asks when it is told nothing else.
    let mut http = Http::connect(relay.http());
    http.send("OPTIONS / HTTP/1.0\r\n\r\n");
    assert_eq!(http.head(SOON).unwrap().status, 204);
    let mut http = Http::connect(relay.http());
    http.send("GET /healthz HTTP/1.0\r\n\r\n");
    assert_eq!(http.answer(true).status, 200);
}
