//! The operator's port: health, who may ask, and that it is there when nothing else is.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::support::http::Http;
use super::support::relay::{BINARY, Relay};
use super::support::wire::Film;
use super::support::wire::Wire;
use super::support::{SOON, pause, scratch, wait_for};
use super::{both_ways, publisher};

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
    assert!(std::net::TcpStream::connect(relay.http()).is_err());
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
    let mut operators: Vec<Http> = (0..32).map(|_| Http::connect(relay.admin())).collect();
    for http in &mut operators {
        assert_eq!(http.get("/healthz").status, 200);
    }
    let mut one_more = Http::connect(relay.admin());
    one_more.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(one_more.until_closed(SOON), b"");
    drop(operators);
    relay.wait_stat("connections", 20);
    assert_eq!(Http::connect(relay.admin()).get("/healthz").status, 200);
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
        let output = Command::new(BINARY)
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
    let text = http.get("/metrics").text();
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
        line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()
    };
    assert_eq!(value("tailwater_connections_accepted_total"), 0.0);
    assert_eq!(value("tailwater_received_bytes_total"), 0.0);
    assert_eq!(value("tailwater_sent_bytes_total"), 0.0);
    assert_eq!(value("tailwater_admin_requests_total"), 11.0);
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
    let top = Command::new(BINARY)
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
