//! Requests and what is answered: what is no stream, connections that are kept, origins.

use std::time::Duration;

use super::{media_up_to, publisher, relay_with};
use support::http::{Answer, Ending, FlvPlayer, Http, Way};
use support::packets::assert_list;
use support::wire::{Film, Wire};
use support::{SOON, now, pause};

#[test]
fn a_connection_answers_one_request_after_the_other_also_when_they_come_at_once() {
    let relay = relay_with(&["--workers", "1"]);
    let mut http = Http::connect(relay.http());
    for _ in 0..3 {
        let answer = http.get("/live/cam");
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(
            answer
                .field("content-type")
                .unwrap()
                .starts_with("text/html")
        );
        assert_eq!(answer.field("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.field("connection"), None);
        assert!(!answer.body.is_empty());
    }
    let page = http.get("/live/cam");
    let one = "GET /live/cam HTTP/1.1\r\nHost: a\r\n\r\n";
    let none = "GET /-/none HTTP/1.1\r\nHost: a\r\n\r\n";
    http.send(format!("{one}\r\n{none}{one}").repeat(10));
    for _ in 0..10 {
        assert_eq!(http.answer(true), page);
        assert_eq!(http.answer(true).status, 404);
        assert_eq!(http.answer(true), page);
    }
    // A stream behind them, and what is asked behind that is never answered.
    let mut film = Film::new("film", 0);
    let (_publisher, sent) = publisher(&relay, "film", &mut film);
    let stream = Way::Plain.request("/live/film.flv", "");
    http.send(format!("{one}{stream}{one}"));
    assert_eq!(http.answer(true), page);
    let mut player = FlvPlayer::over(http, Way::Plain);
    player.begin(SOON);
    let mut wanted = film.headers_for_new(0);
    wanted.extend_from_slice(&sent[3..]);
    assert_list("behind a page", &media_up_to(&mut player, &sent), &wanted);
}

#[test]
fn a_hundred_requests_at_once_are_answered() {
    let relay = relay_with(&[]);
    let mut http = Http::connect(relay.http());
    http.send("GET /live/cam HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100));
    for _ in 0..100 {
        assert_eq!(http.answer(true).status, 200);
    }
}

#[test]
fn head_says_what_get_would_without_the_body() {
    let relay = relay_with(&[]);
    let mut film = Film::new("film", 0);
    let (_publisher, _) = publisher(&relay, "film", &mut film);
    let mut http = Http::connect(relay.http());
    for path in ["/live/cam", "/", "/-/none"] {
        let get = http.get(path);
        let head = http.request("HEAD", path, "");
        assert_eq!(
            (head.status, &head.fields),
            (get.status, &get.fields),
            "{path}"
        );
        assert!(head.body.is_empty());
    }
    // Of a stream that is there, and of one that is not.
    http.ask("HEAD", "/live/film.flv", "");
    let answer = http.answer(false);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.field("content-type"), Some("video/x-flv"));
    assert_eq!(http.until_closed(SOON), b"");
    let mut http = Http::connect(relay.http());
    http.ask("HEAD", "/live/nothing.flv", "");
    assert_eq!(http.answer(false).status, 404);
    assert_eq!(http.until_closed(SOON), b"");
    relay.wait_stat("players", 0);
    relay.wait_stat("connections", 1);
}

#[test]
fn a_stream_that_is_not_there_is_waited_for_and_then_not_found() {
    let relay = relay_with(&["--play-wait", "2", "--workers", "2"]);
    for way in Way::BOTH {
        let begun = now();
        let mut player = FlvPlayer::ask(relay.http(), "nothing", way);
        match way {
            Way::Plain => {
                let answer = player.http.answer(true);
                assert_eq!(answer.status, 404, "{answer:?}");
                assert_eq!(answer.text(), "no such stream\n");
            }
            // Browsers do not tell pages with which status a WebSocket was refused.
            Way::WebSocket => {
                player.begin(SOON);
                let (_, ending) = player.until_closed(SOON);
                assert_eq!(ending, Ending::Told(4404, "no such stream".to_owned()));
            }
        }
        let waited = begun.elapsed();
        assert!(waited > Duration::from_millis(1_900), "{waited:?}");
        assert!(waited < Duration::from_secs(8), "{waited:?}");
        assert_eq!(player.http.until_closed(SOON), b"");
    }
    // One that begins meanwhile is played.
    let mut players = Way::BOTH.map(|way| FlvPlayer::ask(relay.http(), "film", way));
    relay.wait_players(2);
    pause(Duration::from_millis(500));
    let mut film = Film::new("film", 0);
    let (_publisher, sent) = publisher(&relay, "film", &mut film);
    for player in &mut players {
        player.begin(SOON);
        assert_list("from the start", &media_up_to(player, &sent), &sent);
    }
}

/// The answer to bytes as they are, after which the relay closes.
#[track_caller]
fn refused(relay: &super::Relay, bytes: impl AsRef<[u8]>) -> Answer {
    let mut http = Http::connect(relay.http());
    http.send(bytes);
    let answer = http.answer(true);
    assert_eq!(answer.field("connection"), Some("close"), "{answer:?}");
    assert_eq!(http.until_closed(SOON), b"");
    answer
}

#[test]
fn what_is_no_request_for_anything_here_is_told_so_and_closed() {
    let relay = relay_with(&[]);
    let with = |line: &str, fields: &str| format!("{line}\r\nHost: a\r\n{fields}\r\n");
    let get = |path: &str| with(&format!("GET {path} HTTP/1.1"), "");
    let field = |field: &str| with("GET /live/cam HTTP/1.1", field);
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW", "get"] {
        let answer = refused(&relay, with(&format!("{method} /live/cam HTTP/1.1"), ""));
        assert_eq!(answer.status, 405, "{method}: {answer:?}");
        assert_eq!(answer.field("allow"), Some("GET, HEAD, OPTIONS"));
    }
    let long = "a".repeat(10_000);
    for (status, bytes) in [
        (400, "hello\r\n\r\n".to_owned()),
        (400, "GET /live/cam HTTP/1.1\r\n\r\n".to_owned()),
        (400, field("Content-Length: 1\r\n")),
        (400, field("Transfer-Encoding: chunked\r\n")),
        (400, get("live/cam")),
        (400, with("CONNECT relay:80 HTTP/1.1", "")),
        (414, get(&format!("/{long}"))),
        (431, field(&format!("A: {long}\r\nB: {long}\r\n"))),
        (431, field(&"A: b\r\n".repeat(100))),
        (505, with("GET /live/cam HTTP/2.0", "")),
        (505, with("GET /live/cam HTTP/1.2", "")),
        (
            426,
            Way::WebSocket
                .request("/live/cam.flv", "")
                .replace("13", "8"),
        ),
        (
            400,
            field("Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"),
        ),
    ] {
        let answer = refused(&relay, &bytes);
        assert_eq!(
            answer.status,
            status,
            "{}: {answer:?}",
            &bytes[..bytes.len().min(80)]
        );
        if status == 426 {
            assert_eq!(answer.field("sec-websocket-version"), Some("13"));
        }
    }
    relay.wait_stat("connections", 0);
}

#[test]
fn clients_of_http_1_0_are_answered_and_closed() {
    let relay = relay_with(&[]);
    let mut film = Film::new("film", 0);
    let (_publisher, sent) = publisher(&relay, "film", &mut film);
    let mut http = Http::connect(relay.http());
    http.send("GET /live/cam HTTP/1.0\r\n\r\n");
    assert_eq!(http.answer(true).status, 200);
    assert_eq!(http.until_closed(SOON), b"");
    let mut http = Http::connect(relay.http());
    http.send("GET /live/film.flv HTTP/1.0\r\n\r\n");
    let mut player = FlvPlayer::over(http, Way::Plain);
    player.begin(SOON);
    media_up_to(&mut player, &sent);
}

#[test]
fn names_are_those_of_rtmp() {
    let relay = relay_with(&["--app", "live"]);
    let mut film = Film::new("film", 0);
    let (_publisher, sent) = publisher(&relay, "film", &mut film);
    let plays = [
        "/live/film.flv?token=secret",
        "//live//film.flv",
        "/live/_definst_/film.flv",
        "http://elsewhere/live/film.flv",
    ];
    for path in plays {
        let mut http = Http::connect(relay.http());
        http.send(Way::Plain.request(path, ""));
        let mut player = FlvPlayer::over(http, Way::Plain);
        player.begin(SOON);
        media_up_to(&mut player, &sent);
    }
    let mut http = Http::connect(relay.http());
    let long = format!("/live/{}.flv", "a".repeat(300));
    for path in [
        "/live/../film.flv",
        "/live/%2e%2e/film.flv",
        "/live/..%2ffilm.flv",
        "/live/fi%00lm.flv",
        "/live/fi%0d%0alm.flv",
        "/live/fi\\lm.flv",
        "/.flv",
        "/live/\"film\".flv",
        &long,
    ] {
        let answer = http.get(path);
        assert!([400, 404].contains(&answer.status), "{path}: {answer:?}");
    }
    // One that is no app here is refused as by RTMP.
    for path in ["/other/film.flv", "/film.flv"] {
        let mut http = Http::connect(relay.http());
        assert_eq!(http.get(path).status, 404);
    }
    assert!(!relay.log().contains("secret"));
}

#[test]
fn pages_of_other_sites_may_play_only_when_they_are_listed() {
    let origins = [
        "--http-cors",
        "https://tv.example",
        "--http-cors",
        "http://b.example:81",
    ];
    for (flags, origin, allowed) in [
        (&[][..], "https://tv.example", None),
        (&["--http-cors", "*"][..], "https://any.example", Some("*")),
        (
            &origins[..],
            "https://tv.example",
            Some("https://tv.example"),
        ),
        (
            &origins[..],
            "http://b.example:81",
            Some("http://b.example:81"),
        ),
        (&origins[..], "http://tv.example", None),
        (&origins[..], "https://tv.example.evil", None),
        (&origins[..], "null", None),
    ] {
        let relay = relay_with(flags);
        let mut film = Film::new("film", 0);
        let (_publisher, sent) = publisher(&relay, "film", &mut film);
        let field = format!("Origin: {origin}\r\n");
        let check = |answer: &Answer| {
            let field = answer.field("access-control-allow-origin");
            assert_eq!(field, allowed, "{origin}: {answer:?}");
            // Only an origin that is listed by its name may have cookies sent.
            let credentials = answer.field("access-control-allow-credentials");
            let is_named = allowed.is_some_and(|allowed| allowed != "*");
            assert_eq!(credentials, is_named.then_some("true"), "{answer:?}");
            if flags.len() > 2 {
                assert_eq!(answer.field("vary"), Some("Origin"), "{answer:?}");
            }
        };
        let mut http = Http::connect(relay.http());
        let wanted = "authorization,range,x-own";
        let more = format!(
            "{field}Access-Control-Request-Method: GET\r\n\
             Access-Control-Request-Headers: {wanted}\r\n"
        );
        let answer = http.request("OPTIONS", "/live/film.flv", &more);
        assert_eq!(answer.status, 204);
        check(&answer);
        let methods = answer.field("access-control-allow-methods");
        assert_eq!(methods.is_some(), allowed.is_some());
        let fields = answer.field("access-control-allow-headers");
        assert_eq!(fields, allowed.map(|_| wanted));
        check(&http.request("GET", "/live/other", &field));
        http.send(Way::Plain.request("/live/film.flv", &field));
        let mut player = FlvPlayer::over(http, Way::Plain);
        check(&player.begin(SOON));
        media_up_to(&mut player, &sent);
        // With WebSocket the browser does not ask: the relay has to.
        let mut http = Http::connect(relay.http());
        http.send(Way::WebSocket.request("/live/film.flv", &field));
        if allowed.is_some() {
            let mut player = FlvPlayer::over(http, Way::WebSocket);
            player.begin(SOON);
            media_up_to(&mut player, &sent);
        } else {
            assert_eq!(http.answer(true).status, 403);
        }
    }
}

#[test]
fn the_relays_own_page_may_use_websocket_and_so_may_who_is_no_page() {
    let relay = relay_with(&[]);
    let mut film = Film::new("film", 0);
    let (_publisher, _) = publisher(&relay, "film", &mut film);
    for (origin, is_allowed) in [
        ("", true),
        ("Origin: http://relay\r\n", true),
        ("Origin: https://RELAY\r\n", true),
        // Proxies leave the port out of Host.
        ("Origin: http://relay:8080\r\n", true),
        ("Origin: http://tv\r\nSec-Fetch-Site: same-origin\r\n", true),
        (
            "Origin: http://relay\r\nSec-Fetch-Site: cross-site\r\n",
            false,
        ),
        ("Origin: http://relay.evil\r\n", false),
        ("Origin: http://evil/relay\r\n", false),
        ("Origin: relay\r\n", false),
        ("Origin: \r\n", false),
        ("Origin: null\r\n", false),
    ] {
        let mut http = Http::connect(relay.http());
        http.send(Way::WebSocket.request("/live/film.flv", origin));
        let status = http.head(SOON).unwrap().status;
        assert_eq!(status, if is_allowed { 101 } else { 403 }, "{origin}");
    }
}

#[test]
fn who_asks_nothing_more_is_closed_after_a_while_and_who_never_does_sooner() {
    let relay = relay_with(&["--handshake-timeout", "2", "--setup-timeout", "3"]);
    let mut silent = Http::connect(relay.http());
    let mut idle = Http::connect(relay.http());
    assert_eq!(idle.get("/live/cam").status, 200);
    let begun = now();
    assert_eq!(silent.until_closed(SOON), b"");
    assert!(begun.elapsed() > Duration::from_millis(1_500));
    assert_eq!(idle.until_closed(SOON), b"");
    let silent = silent.local_address().to_string();
    relay.wait_log(&["reason=handshake_timeout", &silent]);
    let idle = idle.local_address().to_string();
    relay.wait_log(&["reason=idle", &idle]);
}

#[test]
fn a_publisher_is_no_different_for_what_is_asked_by_http() {
    let relay = relay_with(&[]);
    let mut film = Film::new("film", 0);
    let (mut publisher, _) = publisher(&relay, "film", &mut film);
    let mut player = Wire::play(relay.address(), "film");
    for _ in 0..20 {
        let mut http = Http::connect(relay.http());
        http.send("nonsense\r\n\r\n");
        http.until_closed(SOON);
        let more = film.group(2);
        publisher.send_all(&more);
        let last = more.last().unwrap();
        player.until_number(last.kind, last.number().unwrap());
    }
}
