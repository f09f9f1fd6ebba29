//! What the end-to-end tests share: the relay as a process, clients as processes, media files to
//! publish, what a file or a player got as packet hashes; and what tests of a worker in memory
//! share. The client of our own, for what no real one does, is in `testkit`.
//!
//! Everything waits for an event, a line or an exit, and never longer than a bound that is told
//! where it waits. What a process wrote is shown when its test fails.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails panics, and says where"
)]

pub mod certificates;
pub mod http;
pub mod line;
pub mod media;
pub mod memory;
pub mod nginx;
pub mod origin;
pub mod packets;
pub mod players;
pub mod process;
pub mod publishers;
pub mod relay;
pub mod target;
pub mod worker;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use tailwater_testkit::wire::{self, open_from};
pub use tailwater_testkit::{SOON, now, pause};

/// What a busy machine may add to a time that a test bounds from above. Such a bound tells what the
/// relay does from a deadline that is much later, and is no measurement: those are in `bench/`.
pub const BUSY: Duration = Duration::from_secs(10);

/// How long a client may take for a whole file of a few seconds.
pub const A_WHILE: Duration = Duration::from_secs(40);

/// The project's top directory.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A directory for what tests share or leave behind: `target/tmp`.
pub fn tmp() -> PathBuf {
    let path = tailwater_testkit::binary::profile_dir().join("../tmp");
    std::fs::create_dir_all(&path).expect("the target directory can be written to");
    path
}

/// Looks until `look` gives something; fails after `limit`.
#[track_caller]
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let until = now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(now() < until, "no {what} within {limit:?}");
        pause(Duration::from_millis(10));
    }
}

/// An address of the loopback that nobody listens on.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound")
}

/// Waits until somebody listens on `address`, an IPv4 address, without calling there: who serves
/// one client alone would take that for it.
#[track_caller]
pub fn wait_listening(address: SocketAddr) {
    let port = format!(":{:04X} ", address.port());
    wait_for(&format!("listener on {address}"), SOON, || {
        let sockets = std::fs::read_to_string("/proc/net/tcp").expect("proc is mounted");
        // proc(5): number, local address, remote address, state; 0A is LISTEN.
        let mut lines = sockets.lines();
        lines
            .any(|line| line.contains(&port) && line.split_whitespace().nth(3) == Some("0A"))
            .then_some(())
    });
}

/// A directory of its own for what one test leaves behind; its path begins with the test's name.
pub fn scratch(name: &str) -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("main");
    // Without its modules, and cut: there may be a Unix socket in it, whose path has to be short.
    let test = test.rsplit("::").next().unwrap_or(test);
    let test = &test[..test.len().min(40)];
    let path = tmp()
        .join("runs")
        .join(format!("{}-{test}-{name}-{number}", std::process::id()));
    std::fs::create_dir_all(&path).expect("the target directory can be written to");
    path
}
