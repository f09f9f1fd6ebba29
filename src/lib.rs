//! tailwater, a relay for live video over RTMP.
//!
//! Encoders publish to it and players read from it, by RTMP or as FLV over HTTP; it fetches streams
//! from other servers and hands them on. It does nothing else: no decoding, no recording. Each core
//! runs one event loop with its own listener; a stream is an append-only log of wire bytes and a
//! player a cursor on it.
//!
//! ```text
//!   server    sockets, threads, signals
//!     |
//!   worker    one event loop per core: ingress, egress, mail between workers
//!     |  \
//!     |   net     sockets, receive rings, processors; control: what blocks
//!   edge      rules for other servers; admin: what is told to the operator
//!     |
//!   stream    what is live: log, cursor, headers
//!     |
//!   http      requests, answers, WebSocket and the pages, without I/O
//!     |
//!   rtmp      the protocol, both roles, without I/O: a crate of its own
//! ```
//!
//! Imports point downwards only. ARCHITECTURE.md has the walk of a message and the reasons.

pub mod admin;
pub mod config;
pub mod control;
pub mod edge;
pub mod flags;
pub mod http;
pub mod limits;
pub mod logging;
pub mod net;
pub mod server;
pub mod stats;
pub mod stream;
pub mod worker;

pub use tailwater_rtmp as rtmp;
