//! What tests, simulations and the bench share: what a player of a live stream may receive is
//! judged here and nowhere else ([`judge`]), and a client that speaks RTMP for them is here
//! ([`client`]), with a blocking one on top of it ([`wire`]).
//!
//! Judge and client know no socket and no clock, so that the simulation of the relay uses those
//! that tests of the binary use. It is never published.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails panics, and says where"
)]
#![expect(
    clippy::disallowed_types,
    reason = "a simulated world is one thread that shares what was published"
)]

pub mod binary;
pub mod client;
pub mod commands;
pub mod judge;
pub mod media;
pub mod rng;
pub mod script;
pub mod wire;

use std::time::{Duration, Instant};

/// How long anything may take that ought to happen at once. Generous: the machine may be busy.
pub const SOON: Duration = Duration::from_secs(15);

/// The clock of the tests.
#[expect(
    clippy::disallowed_methods,
    reason = "tests run in real time, against real clients"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// Lets time pass: between two looks at something that cannot be waited for, and where the
/// passing of time is what a test is about.
#[expect(
    clippy::disallowed_methods,
    reason = "files and processes of others can only be looked at again"
)]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}
