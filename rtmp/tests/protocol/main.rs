//! What needs the public surface alone: values, names and media, and sessions at work.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails panics, and says where"
)]

mod amf0;
mod examples;
mod handshake;
mod media;
mod name;
mod pair;
