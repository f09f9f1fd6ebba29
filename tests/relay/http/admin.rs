//! The operator's port: health, who may ask, and that it is there when nothing else is.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tailwater::rtmp::client::Action;

use super::{both_ways, publisher};
use support::http::{FlvPlayer, Http, Way};
use support::relay::{Relay, binary};
use support::wire::{Film, Settings, Wire};
use support::{SOON, now, open_from, pause, scratch, wait_for};
use tailwater_testkit::script::opening;

fn with_admin(flags: &[&str]) -> Relay {
    let mut all = vec!["--admin", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    all.extend(flags);
    Relay::start(&all)
}

#[test]
fn health_is_told_until_the_end_and_readiness_until_it_stops() {
    let mut relay = with_admin(&["--drain", "3", "--workers", "2"]);
    let mut http = Http::connect(relay.admin());
    let answer = http.get("/healthz");
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"));
    let answer = http.get("/readyz");
    assert_eq!((answer.status, answer.text().as_str()), (200, "ready\n"));
    // Somebody has to be served, or there is nothing to wait for.
    let mut film = Film::new("film", 0);
    let (_publisher, _) = publisher(&relay, "film", &mut film);
    let _players = both_ways(&relay, "film");
    relay.signal(Signal::TERM);
    wait_for("end of readiness", SOON, || {
        let answer = http.get("/readyz");
        (answer.status == 503).then(|| assert_eq!(answer.text(), "draining\n"))
    });
    pause(Duration::from_secs(1));
    // The listener for streams is closed by now, this one is not.
    let mut new = Http::connect(relay.admin());
    assert_eq!(new.get("/healthz").status, 200);
    assert_eq!(new.get("/readyz").status, 503);
    assert!(TcpStream::connect(relay.http()).is_err());
    new.until_closed(SOON);
    relay.ended(SOON);
}

#[test]
fn operators_come_in_when_nobody_else_does_and_are_bounded() {
    let flags = ["--max-connections", "20", "--workers", "1"];
    let relay = with_admin(&flags);
    let _crowd: Vec<Wire> = (0..20)
        .map(|number| Wire::publish(relay.address(), &format!("cam{number}")))
        .collect();
    let mut refused = Http::connect(relay.http());
    refused.send("GET /live/cam HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(refused.until_closed(SOON), b"");
    // 32 that have asked for figures, and a further one: the oldest gives way.
    let mut operators = Vec::new();
    for _ in 0..33 {
        let mut http = Http::connect(relay.admin());
        assert_eq!(http.get("/api/v1/config").status, 200);
        operators.push(http);
    }
    assert_eq!(operators.remove(0).until_closed(SOON), b"");
    assert_eq!(operators.remove(0).get("/healthz").status, 200);
}

#[test]
fn regression_operators_behind_a_proxy_come_in_when_nobody_else_does() {
    let flags = ["--max-connections", "20", "--proxy-protocol", "127.0.0.2"];
    let relay = with_admin(&[&flags[..], &["--workers", "1"]].concat());
    let _crowd: Vec<Wire> = (0..20)
        .map(|number| Wire::publish(relay.address(), &format!("cam{number}")))
        .collect();
    let mut http = Http::over(open_from([127, 0, 0, 2], relay.admin()));
    let client = "X-Forwarded-For: 203.0.113.1\r\n";
    assert_eq!(http.request("GET", "/api/v1/config", client).status, 200);
}

#[test]
fn regression_peers_without_the_token_do_not_keep_the_operator_out() {
    let dir = scratch("token");
    let file = dir.join("token");
    std::fs::write(&file, "s3cret\n").unwrap();
    let relay = with_admin(&[
        "--admin-token-file",
        file.to_str().unwrap(),
        "--workers",
        "1",
    ]);
    let token = "Authorization: Bearer s3cret\r\n";
    let mut operator = Http::connect(relay.admin());
    assert_eq!(operator.request("GET", "/api/v1/config", token).status, 200);
    let begun = now();
    let mut crowd = Vec::new();
    for number in 0..40 {
        let mut http = Http::connect(relay.admin());
        if number % 2 == 0 {
            assert_eq!(http.get("/healthz").status, 200);
            assert_eq!(http.get("/metrics").status, 401);
        }
        crowd.push(http);
    }
    // Half of 32 places are theirs: the others are gone.
    for http in &mut crowd[..24] {
        http.until_closed(SOON);
    }
    for _ in 0..20 {
        let mut http = Http::connect(relay.admin());
        assert_eq!(http.request("GET", "/metrics", token).status, 200);
    }
    // Nor do checks of health keep a connection for ever.
    let mut check = Http::connect(relay.admin());
    while check.closed(Duration::from_millis(300)).is_none() {
        check.ask("GET", "/healthz", "");
        if let Some(answer) = check.head(SOON) {
            check.skip(answer.field("content-length").unwrap().parse().unwrap());
        }
        assert!(begun.elapsed() < 2 * SOON, "it goes on for ever");
    }
    for http in &mut crowd[24..] {
        http.until_closed(SOON);
    }
    assert_eq!(operator.request("GET", "/metrics", token).status, 200);
}

#[test]
fn regression_pages_of_other_origins_close_nobody() {
    let relay = with_admin(&["--http-host", "tv.example"]);
    let mut film = Film::new("film", 0);
    let (_publisher, _) = publisher(&relay, "film", &mut film);
    let mut http = Http::connect(relay.admin());
    let delete = |http: &mut Http, host: &str, fields: &str| {
        let path = "/api/v1/clients/999";
        http.send(format!(
            "DELETE {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"
        ));
        http.answer(true).status
    };
    for fields in [
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Origin: http://localhost:3000\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\nOrigin: http://localhost:9090\r\n",
    ] {
        assert_eq!(delete(&mut http, "localhost:9090", fields), 403, "{fields}");
    }
    for fields in [
        "",
        "Origin: http://localhost:9090\r\n",
        "Sec-Fetch-Site: same-origin\r\nOrigin: http://localhost:9090\r\n",
    ] {
        assert_eq!(delete(&mut http, "localhost:9090", fields), 404, "{fields}");
    }
    // A name of another that leads here, and one of this relay's own.
    assert_eq!(delete(&mut http, "evil.example:9090", ""), 403);
    assert_eq!(delete(&mut http, "TV.example", ""), 404);
}

#[test]
fn with_a_token_all_but_health_needs_it() {
    let dir = scratch("token");
    let file = dir.join("token");
    std::fs::write(&file, "s3cret-t0ken\n").unwrap();
    let file = file.display().to_string();
    let relay = with_admin(&["--admin-token-file", &file]);
    let mut http = Http::connect(relay.admin());
    assert_eq!(http.get("/healthz").status, 200);
    assert_eq!(http.get("/readyz").status, 200);
    let without = http.get("/metrics");
    assert_eq!(without.status, 401);
    for path in [
        "/metrics",
        "/api/v1/streams",
        "/api/v1/clients/1",
        "/api/v1/clients/99",
    ] {
        for wrong in [
            "Authorization: Bearer s3cret-t0ke\r\n",
            "Authorization: Bearer s3cret-t0kenn\r\n",
            "Authorization: Bearer \r\n",
            "Authorization: Basic s3cret-t0ken\r\n",
            "Cookie: token=s3cret-t0ken\r\n",
        ] {
            // Nothing tells how near it was, or whether there is anything.
            assert_eq!(http.request("GET", path, wrong), without, "{path} {wrong}");
        }
    }
    let right = "Authorization: Bearer s3cret-t0ken\r\n";
    assert_ne!(http.request("GET", "/nothing", right).status, 401);
    assert!(!relay.log().contains("s3cret"));
}

#[test]
fn a_port_that_others_reach_needs_a_token_and_a_token_needs_a_line() {
    let dir = scratch("token");
    let empty = dir.join("empty");
    std::fs::write(&empty, "\nsecond").unwrap();
    let empty = empty.display().to_string();
    for (flags, words) in [
        (&["--admin", "0.0.0.0:0"][..], "--admin-token-file"),
        (&["--admin", "[::]:0"][..], "--admin-token-file"),
        (
            &["--admin", "127.0.0.1:0", "--admin-token-file", &empty][..],
            "first line is empty",
        ),
        (
            &["--admin", "127.0.0.1:0", "--admin-token-file", "/none"][..],
            "/none",
        ),
        (&["--admin-token-file", &empty][..], "--admin"),
    ] {
        let listen = ["--listen", "127.0.0.1:0"];
        let output = Command::new(binary())
            .args(listen)
            .args(flags)
            .output()
            .unwrap();
        assert!(!output.status.success(), "{flags:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(words), "{flags:?}: {said}");
    }
}

#[test]
fn methods_that_change_nothing_here_are_refused() {
    let relay = with_admin(&[]);
    for method in ["POST", "PUT", "OPTIONS", "TRACE"] {
        let mut http = Http::connect(relay.admin());
        let answer = http.request(method, "/healthz", "Origin: https://a.example\r\n");
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.field("access-control-allow-origin"), None);
        assert_eq!(answer.field("connection"), Some("close"));
        assert_eq!(http.until_closed(SOON), b"");
    }
    // No JSONP.
    let mut http = Http::connect(relay.admin());
    let plain = http.get("/api/v1/streams");
    let called = http.get("/api/v1/streams?callback=evil");
    assert!(!called.text().contains("evil"), "{called:?}");
    assert_eq!(called.field("content-type"), plain.field("content-type"));
}

#[test]
fn figures_leave_out_the_requests_that_ask_for_them() {
    let relay = with_admin(&["--workers", "1"]);
    let mut http = Http::connect(relay.admin());
    for _ in 0..10 {
        assert_eq!(http.get("/api/v1/workers").status, 200);
    }
    drop(Http::connect(relay.admin()));
    let clients = http.get("/api/v1/clients").text();
    assert!(clients.contains("\"total\":0"), "{clients}");
    let text = http.get("/metrics").text();
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
        line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()
    };
    assert_eq!(value("tailwater_connections_accepted_total"), 0.0);
    assert_eq!(value("tailwater_received_bytes_total"), 0.0);
    assert_eq!(value("tailwater_sent_bytes_total"), 0.0);
    assert_eq!(value("tailwater_admin_requests_total"), 12.0);
    assert!(value("tailwater_admin_connections") >= 1.0);
    assert!(value("tailwater_admin_received_bytes_total") > 100.0);
    assert!(value("tailwater_admin_sent_bytes_total") > 1_000.0);
    assert!(!text.contains("tailwater_closes_total{reason=\"peer_closed\"} 1"));
}

#[test]
fn regression_top_and_the_api_show_the_busiest_of_many_streams() {
    let relay = with_admin(&["--workers", "2"]);
    let _idle: Vec<Wire> = (0..250)
        .map(|number| Wire::publish(relay.address(), &format!("a{number}")))
        .collect();
    let mut film = Film::new("zoo", 0);
    let (_publisher, _) = publisher(&relay, "zoo", &mut film);
    let _players: Vec<Wire> = (0..5).map(|_| Wire::play(relay.address(), "zoo")).collect();
    relay.wait_players(5);
    let list = "/api/v1/streams?sort=players&order=desc&state=live&limit=2";
    let json = |path: &str| -> serde_json::Value {
        let answer = Http::connect(relay.admin()).get(path);
        serde_json::from_slice(&answer.body).unwrap()
    };
    let first = json(list);
    assert_eq!(
        (&first["total"], &first["streams"][0]["players"]),
        (&251.into(), &5.into())
    );
    assert_eq!(first["streams"][1]["name"], "live/a0");
    let cursor = first["next"].as_str().unwrap().replace('/', "%2F");
    let second = json(&format!("{list}&cursor={cursor}"));
    assert_eq!(second["streams"][0]["name"], "live/a1");
    assert_eq!(json(&format!("{list}&q=ZOO"))["total"], 1);
    let top = Command::new(binary())
        .args([
            "top",
            "--once",
            "--interval",
            "0.2",
            &relay.admin().to_string(),
        ])
        .output()
        .unwrap();
    let shown = String::from_utf8(top.stdout).unwrap();
    assert!(shown.contains("live/zoo"), "{shown}");
    assert!(shown.ends_with("51 more not shown\n"), "{shown}");
}

/// What `METHOD /api/v1/bansQUERY` is answered.
fn bans(relay: &Relay, method: &str, query: &str) -> (u16, serde_json::Value) {
    let mut http = Http::connect(relay.admin());
    let answer = http.request(method, &format!("/api/v1/bans{query}"), "");
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

#[test]
fn regression_a_banned_address_is_kept_out_until_it_is_lifted() {
    let relay = with_admin(&["--workers", "2"]);
    let own = [127, 0, 0, 77];
    let settings = Settings::default();
    let rtmp = || open_from(own, relay.address());
    let mut film = Film::new("cam", 0);
    let (_publisher, _) = publisher(&relay, "cam", &mut film);
    let mut theirs = Wire::publish_over(rtmp(), "theirs", &settings);
    let mut player = Wire::play_over(rtmp(), "cam", &settings);
    let mut by_http = Http::over(open_from(own, relay.http()));
    by_http.send(Way::Plain.request("/live/cam.flv", ""));
    let mut by_http = FlvPlayer::over(by_http, Way::Plain);
    by_http.begin(SOON);
    let _another = Wire::play(relay.address(), "cam");
    relay.wait_players(3);
    let query = "?address=127.0.0.64/26&seconds=600&reason=spam";
    let (status, body) = bans(&relay, "PUT", query);
    assert_eq!((status, &body["closed"]), (200, &3.into()), "{body}");
    theirs.until_closed();
    player.until_closed();
    by_http.until_closed(SOON);
    relay.wait_players(1);
    let (_, list) = bans(&relay, "GET", "");
    let ban = &list["bans"][0];
    assert_eq!(
        (&ban["address"], &ban["reason"]),
        (&"127.0.0.64/26".into(), &"spam".into())
    );
    // They come back and are told.
    let mut again = open_from(own, relay.address());
    again
        .write_all(&opening("publish", "live", "theirs"))
        .unwrap();
    again.set_read_timeout(Some(SOON)).unwrap();
    let mut told = Vec::new();
    let _: std::io::Result<usize> = again.read_to_end(&mut told);
    let told = String::from_utf8_lossy(&told);
    assert!(told.contains("NetConnection.Connect.Rejected"), "{told}");
    assert!(told.contains("s: spam"), "{told}");
    relay.wait_log(&["connect refused", "reason=address_banned", "spam"]);
    let answer = Http::over(open_from(own, relay.http())).get("/live/cam.flv");
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("spam"));
    // Operators come in from anywhere.
    let admin = Http::over(open_from(own, relay.admin())).get("/api/v1/bans");
    assert_eq!(admin.status, 200);
    assert_eq!(bans(&relay, "DELETE", "?address=127.0.0.64/26").0, 200);
    assert_eq!(bans(&relay, "DELETE", "?address=127.0.0.64/26").0, 404);
    drop(Wire::publish_over(rtmp(), "theirs", &settings));
}

#[test]
fn a_banned_name_is_closed_and_its_owner_may_publish_others() {
    let relay = with_admin(&["--workers", "2"]);
    let mut publisher = Wire::publish(relay.address(), "cam");
    let (status, body) = bans(&relay, "PUT", "?stream=live/cam");
    assert_eq!((status, &body["closed"]), (200, &1.into()));
    publisher.until_status("NetStream.Publish.Denied");
    publisher.until_closed();
    let settings = Settings::default();
    let mut again = Wire::connect(relay.address(), "cam", Action::Publish, &settings);
    again.until_status("NetStream.Publish.Denied");
    relay.wait_log(&["publish refused", "reason=banned"]);
    drop(Wire::publish(relay.address(), "cam2"));
    assert_eq!(bans(&relay, "DELETE", "?stream=live/cam").0, 200);
    drop(Wire::publish(relay.address(), "cam"));
}

#[test]
fn pages_of_other_origins_change_nothing() {
    let relay = with_admin(&[]);
    let path = "/api/v1/bans?stream=live/cam";
    let ask = |origin: &str| {
        let field = format!("Origin: {origin}\r\n");
        let mut http = Http::connect(relay.admin());
        http.request("PUT", path, &field).status
    };
    assert_eq!(ask("https://evil.example"), 403);
    assert_eq!(ask("null"), 403);
    assert_eq!(bans(&relay, "GET", "").1["total"], 0);
    assert_eq!(ask("http://localhost"), 200);
}

fn with_token() -> Relay {
    let file = scratch("token").join("token");
    std::fs::write(&file, "s3cret\n").unwrap();
    with_admin(&["--admin-token-file", file.to_str().unwrap()])
}

#[test]
fn strangers_have_few_places_and_not_for_long() {
    let relay = with_token();
    let begun = now();
    let mut crowd: Vec<Http> = (1..=40)
        .map(|number| Http::over(open_from([127, 9, 9, number], relay.admin())))
        .collect();
    for http in &mut crowd[..24] {
        assert_eq!(http.until_closed(SOON), b"");
    }
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "they were closed for want of room"
    );
    for http in &mut crowd[24..] {
        http.until_closed(SOON);
    }
    assert!(
        begun.elapsed() >= Duration::from_secs(4),
        "the last had their time"
    );
}

#[test]
fn strangers_of_one_address_have_fewer_places() {
    let relay = with_token();
    let mut theirs: Vec<Http> = (0..12)
        .map(|_| Http::over(open_from([127, 8, 8, 8], relay.admin())))
        .collect();
    for http in &mut theirs[..4] {
        assert_eq!(http.until_closed(SOON), b"");
    }
    assert_eq!(theirs[4].get("/healthz").status, 200);
    assert_eq!(theirs[4].get("/nothing").status, 401);
    assert_eq!(theirs[11].get("/healthz").status, 200);
}

#[test]
fn nothing_of_a_request_without_the_token_is_looked_at() {
    let relay = with_token();
    let mut http = Http::connect(relay.admin());
    let wanted = http.get("/metrics");
    assert_eq!(wanted.status, 401);
    for (method, path) in [
        ("GET", "/nothing"),
        ("GET", "/api/v1/streams?limit=x"),
        ("DELETE", "/api/v1/clients/x"),
        ("PUT", "/api/v1/bans"),
        ("POST", "/healthz"),
        ("GET", "/%zz"),
    ] {
        let origin = "Origin: https://evil.example\r\n";
        assert_eq!(
            http.request(method, path, origin),
            wanted,
            "{method} {path}"
        );
    }
}
