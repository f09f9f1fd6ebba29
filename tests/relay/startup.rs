//! What the relay says and checks as it starts: whether another listens on its addresses, where
//! its workers run, and who may read its secrets.

use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use support::relay::{Relay, binary};
use support::wire::{Film, Wire};
use support::{SOON, free_address, scratch, wait_for};

/// A relay with `flags`, its output and log kept by the pipes of the child.
fn start(flags: &[&str]) -> Child {
    Command::new(binary())
        .args(flags)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[track_caller]
fn assert_refused(flags: &[&str], what: &str) {
    let output = start(flags).wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{flags:?}: {err}");
    for part in ["cannot listen", what, "--reuse-port-with-others"] {
        assert!(err.contains(part), "{part}: {err}");
    }
}

#[test]
fn a_second_relay_on_the_same_address_is_refused() {
    let path = scratch("unix").join("relay.sock");
    let unix = format!("unix:{}", path.display());
    let relay = Relay::start(&["--workers", "2", "--http", "127.0.0.1:0", "--admin", "0"]);
    let (rtmp, http) = (relay.address().to_string(), relay.http().to_string());
    let everywhere = format!("0.0.0.0:{}", relay.address().port());
    assert_refused(&["--listen", &rtmp], &rtmp);
    assert_refused(&["--listen", &everywhere], &everywhere);
    assert_refused(&["--listen", "127.0.0.1:0", "--http", &http], &http);
    let admin = relay.admin().to_string();
    assert_refused(&["--listen", "127.0.0.1:0", "--admin", &admin], &admin);
    let local = Relay::start_on(&["127.0.0.1:0"], &["--listen", &unix]);
    assert_refused(&["--listen", &unix], "relay.sock");
    drop(local);
    // Nobody was disturbed.
    let mut publisher = Wire::publish(relay.address(), "film");
    publisher.send_all(&Film::new("film", 0).headers);
}

#[test]
fn of_relays_that_start_at_once_one_runs() {
    let address = free_address().to_string();
    let mut relays: Vec<Child> = (0..4).map(|_| start(&["--listen", &address])).collect();
    let running = |relays: &mut Vec<Child>| {
        let states = relays.iter_mut().map(|relay| relay.try_wait().unwrap());
        states.filter(Option::is_none).count()
    };
    wait_for("all but one to be refused", SOON, || {
        (running(&mut relays) == 1).then_some(())
    });
    TcpStream::connect(&address).unwrap();
    for relay in &mut relays {
        if relay.try_wait().unwrap().is_none() {
            kill_process(Pid::from_child(relay), Signal::TERM).unwrap();
        }
        relay.wait().unwrap();
    }
}

#[test]
fn an_address_is_shared_when_asked_for() {
    let path = scratch("unix").join("relay.sock");
    let unix = format!("unix:{}", path.display());
    let mut old = Relay::start_on(&["127.0.0.1:0"], &["--listen", &unix, "--drain", "0"]);
    let address = old.address().to_string();
    let shared = "--reuse-port-with-others";
    let mut new = Relay::start_on(&[&address], &["--listen", &unix, shared]);
    assert_eq!(new.address(), old.address());
    old.stop();
    // The old one leaves the file to the new one.
    UnixStream::connect(&path).unwrap();
    Wire::publish(new.address(), "film");
    new.stop();
    assert!(!path.exists());
}

#[test]
fn the_start_line_says_version_settings_and_limits() {
    let dir = scratch("config");
    let file = dir.join("relay.conf");
    fs::write(&file, "max-streams = 77\nmemory-max = 64m\n").unwrap();
    let relay = Relay::start(&["--config", file.to_str().unwrap(), "--workers", "2"]);
    let line = relay.wait_log(&["started "]);
    for part in [
        concat!("version=", env!("CARGO_PKG_VERSION")),
        &format!("config=\"{}\"", file.display()),
        "workers=2",
        "cpus=\"",
        "max_connections=",
        "max_streams=77",
        "memory_max=67108864",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[test]
fn workers_keep_to_the_affinity_mask() {
    let all = sched_getaffinity(None).unwrap();
    let first = (0..CpuSet::MAX_CPU).find(|&cpu| all.is_set(cpu)).unwrap();
    let mut one = CpuSet::new();
    one.set(first);
    // Of this thread, and what it starts.
    sched_setaffinity(None, &one).unwrap();
    let relay = Relay::start(&[]);
    let pinned = Relay::start(&["--cpus", &first.to_string()]);
    sched_setaffinity(None, &all).unwrap();
    relay.wait_log(&["started ", " workers=1 ", "cpus=\"1 available; "]);
    let place = format!("worker 0 on core {first}\"");
    pinned.wait_log(&["started ", " workers=1 ", &place]);
}

#[test]
fn regression_two_relays_are_pinned_to_the_same_core() {
    let all = sched_getaffinity(None).unwrap();
    let first = (0..CpuSet::MAX_CPU).find(|&cpu| all.is_set(cpu)).unwrap();
    let place = format!("worker 0 on core {first}\"");
    let one = Relay::start(&["--workers", "1", "--cpus", &first.to_string()]);
    one.wait_log(&["started ", &place]);
    let other = Relay::start(&["--workers", "1", "--cpus", "auto"]);
    let line = other.wait_log(&["started "]);
    assert!(!line.contains(&place), "{line}");
}

#[test]
fn secrets_that_everybody_may_read_are_warned_of() {
    let dir = scratch("secrets");
    let (token, config) = (dir.join("token"), dir.join("relay.conf"));
    fs::write(&token, "word\n").unwrap();
    fs::write(&config, "push = rtmp://127.0.0.1:1/live/key\n").unwrap();
    let flags = [
        "--admin",
        "0",
        "--admin-token-file",
        token.to_str().unwrap(),
        "--config",
        config.to_str().unwrap(),
    ];
    let warnings = |mode| {
        for file in [&token, &config] {
            fs::set_permissions(file, Permissions::from_mode(mode)).unwrap();
        }
        let relay = Relay::start(&flags);
        relay.wait_log(&["started "]);
        let log = relay.log();
        [&token, &config].map(|file| {
            let is_it = |line: &&str| line.contains(" WARN ") && line.contains("everybody");
            let mut warnings = log.lines().filter(is_it);
            warnings.any(|line| line.contains(file.to_str().unwrap()))
        })
    };
    assert_eq!(warnings(0o644), [true, true]);
    assert_eq!(warnings(0o640), [false, false]);
}

/// What a relay that does not start says, and its exit code.
fn refusal(command: &mut Command) -> (Option<i32>, String) {
    let output = command.stdout(Stdio::null()).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), err)
}

#[test]
fn regression_errors_of_files_name_their_options() {
    let file = scratch("tls").join("junk.pem");
    fs::write(&file, "junk").unwrap();
    let file = file.to_str().unwrap();
    let pair = [
        "--listen-tls",
        "127.0.0.1:0",
        "--tls-cert",
        file,
        "--tls-key",
        file,
    ];
    let (code, err) = refusal(Command::new(binary()).args(pair));
    assert!(
        code == Some(1) && err.contains("--tls-cert, --tls-key: "),
        "{err}"
    );
    let ca = ["--listen", "127.0.0.1:0", "--tls-ca", file];
    let (code, err) = refusal(Command::new(binary()).args(ca));
    assert!(code == Some(1) && err.contains("--tls-ca: "), "{err}");
}

#[test]
fn regression_arguments_are_utf8() {
    let name = std::os::unix::ffi::OsStrExt::from_bytes(b"l\xffve");
    let name: &std::ffi::OsStr = name;
    let (code, err) = refusal(Command::new(binary()).arg("--app").arg(name));
    assert_eq!(code, Some(2), "{err}");
    assert!(
        err.contains("xFF") && err.contains("expected UTF-8"),
        "{err}"
    );
}

#[test]
fn regression_files_may_begin_with_a_byte_order_mark() {
    let file = scratch("config").join("bom.conf");
    fs::write(&file, "\u{feff}max-streams = 77\n").unwrap();
    let config = ["--print-config", "--config", file.to_str().unwrap()];
    let output = Command::new(binary()).args(config).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("max-streams = 77"), "{text}");
}

#[test]
fn regression_a_wrong_rust_log_leaves_the_usual_log() {
    let child = Command::new(binary())
        .args(["--listen", "127.0.0.1:0"])
        .env("RUST_LOG", "bogus=zz")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    pause_until_listening(child, |err| {
        assert!(err.contains("RUST_LOG: got \"bogus=zz\""), "{err}");
        assert!(err.contains("started version="), "{err}");
    });
}

/// Waits until the relay listens, stops it, and hands over its log.
fn pause_until_listening(mut child: Child, check: impl FnOnce(&str)) {
    use std::io::{BufRead, BufReader};
    let mut line = String::new();
    let stdout = child.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    assert!(line.starts_with("listening "), "{line}");
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    check(&String::from_utf8_lossy(&output.stderr));
}
