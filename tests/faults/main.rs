//! Faults on the running binary: peers that die, fall silent or never read, a network that is
//! cut, descriptors and ports that run out, a clock that jumps, and too much of everything. Each
//! test says what users must see, mostly: nothing.
//!
//! ```text
//!   publishers.rs   killed, reset, cut off for good or for a moment
//!   players.rs      never reading, cut off, gone without a word, half closed
//!   crowds.rs       no descriptors, 5,000 connections in a loop, slow handshakes, no ports left
//!   floods.rs       the smallest messages, chunks and writes, in great numbers
//!   limits.rs       more from one address, more streams, more memory than there may be
//!   held.rs         one worker kept from its core
//!   process.rs      SIGTERM under load, the wall clock stepped
//!   edge.rs         an origin cut off, one on a line slower than its stream
//!   names.rs        a server for names that does not answer
//!
//!   bystanders.rs   a publisher and players who must not notice
//!   network.rs      a network that can be cut      raw.rs   a client that may be rude
//! ```
//!
//! Elsewhere: the wrap of 24 and 32 bit time (tests/relay/timestamps.rs), a publisher that comes
//! back or is replaced (tests/relay/returning.rs), slow players (tests/relay/slow.rs), deadlines
//! (tests/relay/timeouts.rs).
//!
//! The tests of networks and names make namespaces: they need root, `ip` (iproute2) and `unshare`,
//! and fail without.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails panics, and says where"
)]

mod bystanders;
mod crowds;
mod edge;
mod floods;
mod held;
mod limits;
mod names;
mod network;
mod players;
mod process;
mod publishers;
mod raw;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Held by tests that measure time: no other runs meanwhile.
fn alone() -> File {
    let file = gate();
    file.lock().unwrap();
    file
}

/// Held by all other tests.
fn together() -> File {
    let file = gate();
    file.lock_shared().unwrap();
    file
}

fn gate() -> File {
    let path = support::tmp().join("faults.lock");
    File::create(path).unwrap()
}

/// What the C compiler makes of a file beside this one, put into `dir`.
fn built(source: &str, options: &[&str], dir: &Path) -> PathBuf {
    let source = support::root().join("tests/faults").join(source);
    let out = dir.join("built");
    let compiler = Command::new("cc")
        .args(options)
        .args(["-O1", "-o"])
        .args([&out, &source])
        .output()
        .expect("the compiler that Rust links with");
    let errors = String::from_utf8_lossy(&compiler.stderr);
    assert!(compiler.status.success(), "{errors}");
    out
}
