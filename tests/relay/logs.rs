//! The log as an operator has it: nobody waits for whoever reads it, what is in it cannot be
//! forged, and each line about a request says who asked for what and why it came to that.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use support::http::Http;
use support::relay::{Relay, binary};
use support::wire::{Film, Seen, Settings, Wire};
use support::{SOON, free_address, pause, scratch, wait_for, wait_listening};
use tailwater::rtmp::client::{Action, ClientEvent};
use tailwater_testkit::client::{self, Client};

/// Has `stream` refused for its name.
fn ask_in_vain(address: SocketAddr, stream: &str, action: Action) {
    let mut wire = Wire::connect(address, stream, action, &Settings::default());
    wire.until_closed();
}

/// Connects for `app` and asks to publish `stream` there, until the relay closes or accepts.
fn connect_for(address: SocketAddr, app: &str, stream: &str) {
    let mut request = client::request(Action::Publish, app, stream);
    request.tc_url.clear();
    let mut client = Client::new(request, 1);
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut input = vec![0; 4096];
    let mut is_over = false;
    while !is_over {
        client.write(|bytes| {
            // The relay may have closed by now.
            is_over = socket.write_all(bytes).is_err();
            bytes.len()
        });
        let Ok(count @ 1..) = socket.read(&mut input) else {
            return;
        };
        let read = client.read(Duration::ZERO, &input[..count], |event| {
            is_over |= matches!(event, ClientEvent::Status { .. });
            Ok(())
        });
        read.unwrap();
    }
}

#[test]
fn regression_stderr_nobody_reads_stops_nobody() {
    let (address, http_address) = (free_address(), free_address());
    let dir = scratch("unread");
    let out = dir.join("out");
    let mut relay = Command::new(binary())
        .args(["--listen", &address.to_string(), "--workers", "1"])
        .args(["--log", "debug", "--stats-interval", "200ms"])
        .args([
            "--http",
            &http_address.to_string(),
            "--max-per-address",
            "0",
        ])
        .stdout(File::create(&out).unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_listening(address);
    let unlogged = || {
        let text = std::fs::read_to_string(&out).unwrap();
        let line = text.lines().rfind(|line| line.starts_with("stats "))?;
        let (_, count) = line.split_once(" unlogged=")?;
        count.split(' ').next()?.parse::<u64>().ok()
    };
    // A pipe takes 64 KiB and the queue 1 MiB; each of these connections leaves some 40 KiB.
    let name = "{".repeat(400);
    for round in 0.. {
        let mut http = Http::connect(http_address);
        for _ in 0..100 {
            http.get(&format!("/live/{name}.flv"));
        }
        if unlogged().is_some_and(|count| count > 0) {
            break;
        }
        assert!(round < 500, "lines are left out");
    }
    // The workers go on, and so do publishers and players.
    let mut publisher = Wire::publish(address, "film");
    let mut film = Film::new("film", 0);
    publisher.send_all(&film.headers.clone());
    publisher.send_all(&film.group(5));
    let mut player = Wire::play(address, "film");
    player.until("media", |seen| {
        seen.media().is_some_and(|media| media.is_key())
    });
    // It also ends in time, though not everything can be written.
    kill_process(Pid::from_child(&relay), Signal::TERM).unwrap();
    let status = wait_for("end of the relay", Duration::from_secs(20), || {
        relay.try_wait().unwrap()
    });
    assert!(status.success(), "{status}");
}

#[test]
fn what_was_logged_is_written_before_the_end() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Command::new(binary())
        .args(["--listen", &address, "--log", "trace"])
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("cannot listen"), "{err}");
    let mut relay = Relay::start(&["--workers", "2"]);
    relay.stop();
    let log = relay.log();
    assert!(log.trim_end().ends_with("stopped"), "{log}");
}

/// The fields of a log line, and the words between them. Panics when it has another form.
fn fields(line: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let (_, mut rest) = line.split_once("] ").expect("a line begins with its time");
    assert!(line.starts_with("[20"), "{line}");
    while !rest.is_empty() {
        let end = rest.find([' ', '=']).unwrap_or(rest.len());
        let key = &rest[..end];
        let Some(value) = rest[end..].strip_prefix('=') else {
            // A word.
            assert!(!key.contains('"'), "{line}");
            rest = rest[end..].trim_start();
            continue;
        };
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => {
                let mut escaped = false;
                let end = quoted.find(|c: char| {
                    let ends = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    ends
                });
                let end = end.unwrap_or_else(|| panic!("unclosed: {line}"));
                (&quoted[..end], &quoted[end + 1..])
            }
            None => value.split_at(value.find(' ').unwrap_or(value.len())),
        };
        assert!(
            after.is_empty() || after.starts_with([' ', ';', ':', ',']),
            "{line}"
        );
        assert!(!value.chars().any(char::is_control), "{line}");
        found.push((key.to_owned(), value.to_owned()));
        rest = after.trim_start_matches([';', ':', ',', ' ']);
    }
    found
}

const FORGED: &str = "203.0.113.7:1";

#[test]
fn regression_names_cannot_forge_fields_or_lines() {
    let relay = Relay::start(&[
        "--workers",
        "2",
        "--http",
        "0",
        "--play-wait",
        "0",
        "--grace",
        "0",
    ]);
    let forged = [
        format!("cam peer={FORGED} reason=bug"),
        format!("cam\" peer={FORGED} reason=\"bug"),
        format!("cam\\\" peer={FORGED} reason=bug"),
        format!("cam\n[2026-11-29T00:00:00.000Z INFO tailwater] conn=1 peer={FORGED} reason=bug"),
        format!("cam\u{1b}[2K\u{202e}peer={FORGED} reason=bug"),
        format!("cam\r\npeer={FORGED} reason=bug"),
    ];
    for name in &forged {
        for action in [Action::Publish, Action::Play] {
            let settings = Settings::default();
            let mut wire = Wire::connect(relay.address(), name, action, &settings);
            wire.until(&format!("answer for {name:?}"), |seen| {
                *seen == Seen::status("NetStream.Publish.Start") || matches!(seen, Seen::Closed(_))
            });
            // One that was accepted is published a second time.
            if action == Action::Publish {
                let mut second = Wire::connect(relay.address(), name, action, &settings);
                second.until_closed();
            }
        }
        connect_for(relay.address(), name, "x");
        let path: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        Http::connect(relay.http()).get(&format!("/live/{path}.flv"));
        let raw = name.replace(['\r', '\n', '\u{1b}', '\u{202e}', ' '], "_");
        Http::connect(relay.http()).get(&format!("/live/{raw}.flv"));
    }
    pause(Duration::from_millis(300));
    let log = relay.log();
    let mut shown = 0;
    for line in log.lines() {
        for (key, value) in fields(line) {
            assert!(key != "peer" || !value.contains(FORGED), "{line}");
            assert!(key != "reason" || value != "bug", "{line}");
            shown += usize::from(value.contains(FORGED));
        }
    }
    assert!(shown >= forged.len(), "what was asked for is shown: {log}");
}

#[test]
fn refusals_name_stream_client_and_reason() {
    let relay = Relay::start(&[
        "--workers",
        "2",
        "--app",
        "live",
        "--play-wait",
        "0",
        "--admin",
        "0",
    ]);
    let address = relay.address();
    let _publisher = Wire::publish(address, "taken?key=secret");
    ask_in_vain(address, "taken?key=secret", Action::Publish);
    ask_in_vain(address, "nobody?key=secret", Action::Play);
    ask_in_vain(address, "b{ad?key=secret", Action::Publish);
    ask_in_vain(address, "b{ad?key=secret", Action::Play);
    connect_for(address, "other?key=secret", "x");
    for (parts, stream) in [
        (
            ["publish refused", "reason=in_use"],
            "stream=\"live/taken\"",
        ),
        (
            ["play refused", "reason=not_found"],
            "stream=\"live/nobody\"",
        ),
        (["publish refused", "reason=name"], "stream=\"live/b{ad\""),
        (["play refused", "reason=name"], "stream=\"live/b{ad\""),
        (["connect refused", "reason=no_such_app"], "app=\"other\""),
        (["closed", "reason=rejected"], "app=\"other\""),
        (["closed", "reason=rejected"], "stream=\"live/taken\""),
        (["closed", "reason=rejected"], "stream=\"live/nobody\""),
        (["closed", "reason=name"], "stream=\"live/b{ad\""),
    ] {
        let line = relay.wait_log(&[parts[0], parts[1], stream]);
        assert!(line.contains(" peer=127.0.0.1:"), "{line}");
        assert!(line.contains(" why=\""), "{line}");
    }
    assert!(!relay.log().contains("secret"), "no query is logged");
    let mut admin = Http::connect(relay.admin());
    for (request, reason) in [
        ("publish", "in_use"),
        ("publish", "name"),
        ("play", "not_found"),
        ("play", "name"),
        ("connect", "no_such_app"),
    ] {
        let series =
            format!("tailwater_refusals_total{{request=\"{request}\",reason=\"{reason}\"}} 1");
        wait_for(&series, SOON, || {
            admin.get("/metrics").text().contains(&series).then_some(())
        });
    }
}

#[test]
fn attempts_under_a_ban_are_logged_and_counted() {
    let relay = Relay::start(&["--workers", "2", "--admin", "0"]);
    let mut publisher = Wire::publish(relay.address(), "film");
    let line = relay.wait_log(&["publish stream=\"live/film\""]);
    let id = fields(&line).into_iter().find(|(key, _)| key == "conn");
    let path = format!("/api/v1/clients/{}?ban=60", id.unwrap().1);
    let mut admin = Http::connect(relay.admin());
    let answer = admin.request("DELETE", &path, "");
    assert!(answer.status < 300, "{}", answer.text());
    publisher.until_closed();
    relay.wait_log(&["closed", "reason=kicked", "stream=\"live/film\""]);
    ask_in_vain(relay.address(), "film", Action::Publish);
    let line = relay.wait_log(&["publish refused", "reason=banned", "\"live/film\""]);
    assert!(line.contains(" peer=127.0.0.1:"), "{line}");
    let text = admin.get("/metrics").text();
    let series = "tailwater_refusals_total{request=\"publish\",reason=\"banned\"} 1";
    assert!(text.contains(series), "{text}");
}
