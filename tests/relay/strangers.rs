//! The operator's port while strangers, who have not the token, do what they can: hold connections
//! from many addresses, open ever more, send huge requests or a byte at a time. Whoever has the
//! token is answered within a second, and those who play do not notice. One test, so that its
//! parts have the machine one after the other.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use support::http::Http;
use support::relay::Relay;
use support::wire::{Film, Wire};
use support::{SOON, now, open_from, pause, scratch};

const TOKEN: &str = "Authorization: Bearer s3cret\r\n";

/// An operator has to be answered within this time, ...
const AT_ONCE: Duration = Duration::from_secs(1);
/// ... for as long as this.
const WHILE: Duration = Duration::from_secs(4);

fn with_token(flags: &[&str]) -> Relay {
    let file = scratch("token").join("token");
    std::fs::write(&file, "s3cret\n").unwrap();
    let file = file.to_str().unwrap();
    let own = ["--admin", "127.0.0.1:0", "--admin-token-file", file];
    Relay::start(&[&own[..], flags].concat())
}

/// The next of many addresses of the loopback.
fn next_address() -> [u8; 4] {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let [.., high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    [127, 9, high, low.max(1)]
}

/// What an operator at `address` is answered, if anything.
fn ask(relay: SocketAddr, address: [u8; 4], path: &str) -> Option<u16> {
    let mut socket = open_from(address, relay);
    socket.set_read_timeout(Some(AT_ONCE)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{TOKEN}\r\n");
    socket.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    let _: std::io::Result<usize> = socket.read_to_end(&mut answer);
    let status = answer.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    std::str::from_utf8(status).ok()?.parse().ok()
}

/// Has `strangers` do what they do on threads of their own, and the operator ask meanwhile, from
/// addresses that were never seen; once more where a stranger has the place.
fn operator_is_served_beside(relay: &Relay, strangers: &[fn(SocketAddr, &AtomicBool)]) {
    let (is_over, admin) = (AtomicBool::new(false), relay.admin());
    std::thread::scope(|scope| {
        for stranger in strangers {
            scope.spawn(|| stranger(admin, &is_over));
        }
        pause(Duration::from_millis(300));
        let begun = now();
        let mut longest = Duration::ZERO;
        while begun.elapsed() < WHILE {
            for path in [
                "/metrics",
                "/api/v1/streams",
                "/api/v1/clients",
                "/api/v1/config",
            ] {
                let (asked, address) = (now(), next_address());
                while ask(admin, address, path) != Some(200) {
                    assert!(asked.elapsed() < SOON, "{path} is not answered");
                }
                longest = longest.max(asked.elapsed());
            }
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(longest < AT_ONCE, "an answer took {longest:?}");
    });
}

/// Holds connections from many addresses, sends each a byte now and then, and opens those anew
/// that are closed.
fn hold_and_trickle(admin: SocketAddr, is_over: &AtomicBool) {
    let open = || {
        let mut socket = open_from(next_address(), admin);
        _ = socket.write(b"GET / HTTP/1.1\r\nX: ");
        socket
    };
    let mut held: Vec<TcpStream> = (0..100).map(|_| open()).collect();
    while !is_over.load(Ordering::Relaxed) {
        for socket in &mut held {
            if socket.write_all(b"x").is_err() {
                *socket = open();
            }
        }
        pause(Duration::from_millis(20));
    }
}

/// Opens a thousand connections a second and says nothing.
fn open_ever_more(admin: SocketAddr, is_over: &AtomicBool) {
    let mut held = VecDeque::new();
    while !is_over.load(Ordering::Relaxed) {
        for _ in 0..2 {
            held.push_back(open_from(next_address(), admin));
        }
        if held.len() > 200 {
            held.drain(..2);
        }
        pause(Duration::from_millis(2));
    }
}

/// Sends requests that are longer than any may be, with wrong tokens and without end.
fn send_huge_requests(admin: SocketAddr, is_over: &AtomicBool) {
    let field = format!("X: {}\r\n", "x".repeat(1_000));
    let wrong = "Authorization: Bearer wrong\r\n";
    let huge = format!(
        "GET /metrics HTTP/1.1\r\nHost: a\r\n{wrong}{}",
        field.repeat(1_000)
    );
    let many = format!("GET /metrics HTTP/1.1\r\nHost: a\r\n{wrong}\r\n").repeat(1_000);
    while !is_over.load(Ordering::Relaxed) {
        for bytes in [&huge, &many] {
            let mut socket = open_from(next_address(), admin);
            _ = socket.set_write_timeout(Some(Duration::from_millis(100)));
            _ = socket.write_all(bytes.as_bytes());
        }
    }
}

#[test]
fn the_operator_is_served_whatever_strangers_do() {
    let relay = with_token(&["--workers", "2"]);
    let mut film = Film::new("film", 0);
    let mut publisher = Wire::publish(relay.address(), "film");
    let mut player = Wire::play(relay.address(), "film");
    publisher.send_all(&film.headers);
    operator_is_served_beside(&relay, &[hold_and_trickle]);
    operator_is_served_beside(&relay, &[send_huge_requests, hold_and_trickle]);
    operator_is_served_beside(&relay, &[open_ever_more, hold_and_trickle]);
    let sent = film.group(4);
    publisher.send_all(&sent);
    let last = sent.last().unwrap();
    player.until_number(last.kind, last.number().unwrap());
    // Strangers are in no figure of those who play.
    let text = Http::connect(relay.admin())
        .request("GET", "/metrics", TOKEN)
        .text();
    for (name, value) in [
        ("tailwater_limit_hits_total{limit=\"max-per-address\"}", "0"),
        ("tailwater_limit_hits_total{limit=\"newcomers\"}", "0"),
        ("tailwater_violations_total{worker=\"0\"}", "0"),
    ] {
        assert!(
            text.contains(&format!("{name} {value}\n")),
            "{name} in {text}"
        );
    }
}
