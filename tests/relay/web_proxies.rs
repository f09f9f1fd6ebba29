//! The configurations in `deploy/` as they stand there but for names, ports and files: a real
//! nginx and a real HAProxy in front of a relay.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::certificates::Authority;
use support::process::Process;
use support::relay::Relay;
use support::wire::{Film, Wire};
use support::{free_address, scratch, wait_listening};

const HOST: &str = "tv.example";

/// A configuration of `deploy/` with replacements, written to `dir`.
fn configuration(name: &str, dir: &Path, replaced: &[(&str, String)]) -> PathBuf {
    let root = support::root();
    let mut text = std::fs::read_to_string(root.join("deploy").join(name)).unwrap();
    for (from, to) in replaced {
        assert!(text.contains(from), "no {from} in {name}");
        text = text.replace(from, to);
    }
    let file = dir.join(name);
    std::fs::write(&file, text).unwrap();
    file
}

/// A relay that believes proxies on this machine, and a publisher of `live/film`.
fn relay() -> (Relay, Wire) {
    use std::io::Write;
    use support::wire::{Settings, open};
    let relay = Relay::start(&["--http", "127.0.0.1:0", "--proxy-protocol", "127.0.0.1"]);
    let mut socket = open(relay.address(), None);
    let header = b"PROXY TCP4 192.0.2.1 192.0.2.2 4000 1935\r\n";
    socket.write_all(header).unwrap();
    let mut wire = Wire::publish_over(socket, "film", &Settings::default());
    let mut film = Film::new("film", 0);
    wire.send_all(&film.headers.clone());
    wire.send_all(&film.group(10));
    wire.spread();
    (relay, wire)
}

/// What curl gets from the proxy at `web`, head and body; a stream for a second.
fn get(authority: &Authority, web: SocketAddr, path: &str, fields: &[&str]) -> String {
    let port = web.port();
    let mut command = Command::new("curl");
    command.args(["--silent", "--include", "--http1.1", "--max-time", "2"]);
    command.arg("--cacert").arg(authority.path());
    command.args(["--resolve", &format!("{HOST}:{port}:{}", web.ip())]);
    for field in fields {
        command.args(["--header", field]);
    }
    command.arg(format!("https://{HOST}:{port}{path}"));
    let output = command.output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Streams, pages and WebSockets are had through the proxy at `web`, and clients are told apart.
#[track_caller]
fn check(relay: &Relay, authority: &Authority, web: SocketAddr) {
    let get = |path: &str, fields: &[&str]| get(authority, web, path, fields);
    let page = get("/live/film", &[]);
    assert!(
        page.contains(" 200 ") && page.contains("../-/player.js"),
        "{page}"
    );
    assert!(get("/-/player.js", &[]).contains(" 200 "));
    assert!(get("/healthz", &[]).ends_with("ok\n"));
    let stream = get("/live/film.flv", &[]);
    assert!(
        stream.contains(" 200 ") && stream.contains("FLV"),
        "{stream}"
    );
    let origin = format!("Origin: https://{HOST}:{}", web.port());
    let upgrade = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let own = get("/live/film.flv", &[&upgrade[..], &[&origin]].concat());
    assert!(own.contains(" 101 ") && own.contains("FLV"), "{own}");
    let foreign = "Origin: https://evil.example";
    let other = get("/live/film.flv", &[&upgrade[..], &[foreign]].concat());
    assert!(other.contains(" 403 "), "{other}");
    relay.wait_log(&["forwarded peer="]);
}

#[test]
fn nginx_as_in_deploy_serves_pages_streams_and_websockets() {
    let (relay, _publisher) = relay();
    let dir = scratch("nginx");
    let authority = Authority::new(&dir);
    let [certificate, key] = authority.sign("tv", HOST, 2);
    let (plain, web) = (free_address(), free_address());
    let file = configuration(
        "nginx.conf",
        &dir,
        &[
            ("user www-data;", "daemon off; master_process off;".into()),
            ("/run/nginx.pid", format!("{}/nginx.pid", dir.display())),
            (
                "/var/log/nginx/error.log",
                format!("{}/nginx.log", dir.display()),
            ),
            (
                "127.0.0.1:8080;\n        keepalive",
                format!("{};\n        keepalive", relay.http()),
            ),
            ("listen 80;", format!("listen {plain};")),
            ("listen 443 ", format!("listen {web} ")),
            ("/etc/ssl/tv.example.pem", certificate),
            ("/etc/ssl/tv.example.key", key),
        ],
    );
    let program = std::env::var_os("TAILWATER_NGINX").unwrap_or_else(|| "/usr/sbin/nginx".into());
    let mut command = Command::new(program);
    command
        .arg("-e")
        .arg(dir.join("nginx.log"))
        .arg("-c")
        .arg(&file);
    let _nginx = Process::start("nginx", &dir, &mut command);
    wait_listening(web);
    check(&relay, &authority, web);
    // Below a path of the site, and for clients of another proxy in front.
    let page = get(&authority, web, "/tv/live/film", &[]);
    assert!(page.contains("../-/player.js"), "{page}");
    assert!(get(&authority, web, "/tv/-/player.js", &[]).contains(" 200 "));
    let behind = [
        "X-Forwarded-For: 198.51.100.1, 203.0.113.9",
        "Forwarded: for=192.0.2.9",
    ];
    assert!(get(&authority, web, "/tv/live/film.flv", &behind).contains("FLV"));
    relay.wait_log(&["forwarded peer=203.0.113.9:0"]);
    assert!(!relay.log().contains("192.0.2.9"));
}

#[test]
fn haproxy_as_in_deploy_serves_pages_streams_websockets_and_rtmp() {
    let (relay, _publisher) = relay();
    let dir = scratch("haproxy");
    let authority = Authority::new(&dir);
    let [certificate, key] = authority.sign("tv", HOST, 2);
    let both = [certificate, key].map(|file| std::fs::read_to_string(file).unwrap());
    let pem = dir.join("both.pem");
    std::fs::write(&pem, both.concat()).unwrap();
    let (web, rtmp) = (free_address(), free_address());
    let file = configuration(
        "haproxy.cfg",
        &dir,
        &[
            ("maxconn 20000", "maxconn 200".into()),
            ("bind :443", format!("bind {web}")),
            ("bind :1935", format!("bind {rtmp}")),
            ("/etc/ssl/tv.example.pem", pem.display().to_string()),
            ("10.0.0.11:8080", relay.http().to_string()),
            ("10.0.0.12:8080", relay.http().to_string()),
            ("10.0.0.11:1935", relay.address().to_string()),
            ("10.0.0.12:1935", relay.address().to_string()),
            (
                "log /dev/log local0 warning",
                "log stderr local0 warning".into(),
            ),
        ],
    );
    let program = std::env::var_os("TAILWATER_HAPROXY");
    let mut command = Command::new(program.unwrap_or_else(|| "/usr/sbin/haproxy".into()));
    command.arg("-db").arg("-f").arg(&file);
    let _haproxy = Process::start("haproxy", &dir, &mut command);
    wait_listening(web);
    check(&relay, &authority, web);
    // What a client says of itself is not believed.
    let spoofed = ["X-Forwarded-For: 192.0.2.9", "Forwarded: for=192.0.2.9"];
    assert!(get(&authority, web, "/live/film.flv", &spoofed).contains("FLV"));
    assert!(!relay.log().contains("192.0.2.9"));
    let mut player = Wire::play(rtmp, "film");
    player.until_status("NetStream.Play.Start");
}
