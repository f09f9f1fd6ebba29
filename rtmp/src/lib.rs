//! RTMP and Enhanced RTMP without I/O, both roles: bytes and seeds in, bytes and events out.
//!
//! It owns no socket and no receive buffer, and knows no clock, no log, no file descriptor and
//! no randomness. Everything the network can do to it is therefore a unit test.
//!
//! ```text
//!            server, client            sessions: requests and statuses
//!               |      |
//!            ControlLayer              handshake, chunk size, acknowledgements, ping, aggregates
//!               |      |
//!            reader   writer           chunks <-> messages
//!
//!   handshake   amf0   command   media   name      leaves, each usable by itself
//! ```
//!
//! How a session is driven: tell it the time with [`ControlLayer::set_now`], call its `next` with
//! the same input until it gives None, then [`ControlLayer::end_input`], after which the input may
//! go; then send what is in [`ControlLayer::out`]. Payloads borrow the input; what is incomplete is
//! kept per chunk stream, within the limits of the role. A session decides no policy: it gives a
//! request and waits for `accept_*` or `reject*`.
//!
//! The specifications that comments cite: *RTMP 1.0*, Adobe's Real-Time Messaging Protocol of
//! 2012; *E-RTMP v2*, Enhanced RTMP of the Veovera Software Organization; *AMF0*, Action Message
//! Format of 2007; *FLV 10.1*, annex E of Adobe's Flash Video File Format.

// Without the standard library there is no socket, clock or log to use; tests have it.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod amf0;
pub mod bucket;
pub mod client;
pub mod command;
pub mod control;
mod control_layer;
pub mod error;
pub mod handshake;
pub mod limits;
pub mod media;
pub mod message;
pub mod name;
pub mod reader;
pub mod server;
pub mod writer;

pub use control_layer::{ControlLayer, Outbox};

/// The programs in the README compile, and those that need no network run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
