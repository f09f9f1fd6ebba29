//! Unix sockets beside TCP: the same streams, no limits of an address, the file at start and end.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use support::relay::{Relay, binary};
use support::wire::{Film, Settings, Wire, media_of};
use support::{SOON, wait_for};

/// A path of its own for a socket; those of other files are longer than a socket's may be.
fn socket_path() -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("tailwater-{}-{number}.sock", std::process::id());
    std::env::temp_dir().join(name)
}

fn connect(path: &Path) -> UnixStream {
    let socket = UnixStream::connect(path).unwrap();
    socket.set_write_timeout(Some(SOON)).unwrap();
    socket
}

#[test]
fn a_unix_socket_serves_the_streams_of_all_workers_without_limits_for_an_address() {
    let path = socket_path();
    let listen = format!("unix:{}", path.display());
    let flags = [
        "--listen",
        &listen,
        "--workers",
        "2",
        "--max-per-address",
        "2",
    ];
    let mut relay = Relay::start(&flags);
    assert!(relay.out().contains(&format!("listening rtmp {listen}\n")));
    let settings = Settings::default();
    let mut publisher = Wire::publish_over(connect(&path), "film", &settings);
    let mut film = Film::new("film", 0);
    publisher.send_all(&film.headers.clone());
    publisher.send_all(&film.group(3));
    relay.wait_log(&["publish stream=\"live/film\""]);
    let play = |_| Wire::play_over(connect(&path), "film", &settings);
    let mut players: Vec<Wire> = (0..6).map(play).collect();
    players.push(Wire::play(relay.address(), "film"));
    relay.wait_log(&["accepted peer=0.0.0.0:0"]);
    relay.wait_players(players.len());
    let group = film.group(20);
    publisher.send_all(&group);
    let last = group.last().unwrap();
    for player in &mut players {
        let got = media_of(&player.until_number(last.kind, last.number().unwrap()));
        assert!(got.ends_with(&group), "the whole group");
    }
    relay.stop();
    assert!(!path.exists(), "the file is removed");
}

#[test]
fn a_file_at_which_nobody_listens_is_replaced_and_no_other() {
    let path = socket_path();
    let listen = format!("unix:{}", path.display());
    let mut killed = Relay::start(&["--listen", &listen]);
    let refused = || {
        let mut command = Command::new(binary());
        let output = command.args(["--listen", &listen]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let error = refused();
    assert!(
        error.contains(&format!("cannot listen on {listen}")),
        "{error}"
    );
    killed.kill();
    assert!(path.exists(), "nobody has removed it");
    let mut relay = Relay::start(&["--listen", &listen]);
    UnixStream::connect(&path).unwrap().write_all(&[3]).unwrap();
    relay.stop();
    std::fs::write(&path, "text").unwrap();
    let error = refused();
    assert!(error.contains("no socket is there"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "text");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn clients_behind_a_unix_socket_are_known_by_their_proxy_header() {
    let path = socket_path();
    let listen = format!("unix:{}", path.display());
    let flags = [
        "--listen",
        &listen,
        "--proxy-protocol",
        "unix",
        "--max-per-address",
        "1",
    ];
    let mut relay = Relay::start(&flags);
    let proxied = |client: u32| {
        let mut line = connect(&path);
        let header = format!("PROXY TCP4 192.0.2.{client} 198.51.100.1 4000 1935\r\n");
        line.write_all(header.as_bytes()).unwrap();
        line
    };
    let settings = Settings::default();
    let _first = Wire::play_over(proxied(7), "film", &settings);
    relay.wait_log(&["accepted peer=192.0.2.7:4000"]);
    let _second = Wire::play_over(proxied(8), "film", &settings);
    let _third = proxied(7);
    relay.wait_stat("refused_address", 1);
    // TCP is not among the proxies.
    let _plain = Wire::play(relay.address(), "film");
    wait_for("three players", SOON, || {
        (relay.stats().get("players") == Some(&3)).then_some(())
    });
    relay.signal(Signal::TERM);
    relay.ended(SOON);
}
