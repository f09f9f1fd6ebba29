//! The operator's port: status page, metrics and API, served by one thread of its own, so that
//! media threads know nothing of it but a [question](crate::worker::query) now and then.
//!
//! ```text
//!   server      sockets, deadlines, mail to the workers      connection   one of them
//!     places    which connection gives way to another        access       who may ask: the token
//!     route     path and query -> Route
//!     query     Route -> questions to workers -> answers
//!       list    which rows are on a page
//!       json, metrics, process: what is shown
//! ```
//!
//! Names of streams and clients come from strangers: they are escaped by the libraries that write
//! JSON and metrics, and nothing here puts them into text itself.

mod access;
mod connection;
pub mod json;
pub mod list;
pub mod metrics;
mod places;
pub mod process;
pub mod query;
pub mod route;
pub mod server;
pub mod token;

use std::time::Duration;

use crate::config::Config;
use crate::worker::bans::Bans;

/// What is known of the relay without asking a worker.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Milliseconds since 1970.
    pub time_ms: u64,
    /// How long the relay has run.
    pub uptime: Duration,
    /// It stops.
    pub draining: bool,
    /// The settings.
    pub config: &'a Config,
    /// What is banned.
    pub bans: &'a Bans,
    /// What the target of each push rule is called.
    pub targets: &'a [String],
    /// What this port has counted.
    pub counters: Counters,
}

/// What the operator's port counts of itself; no other figure has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Open connections.
    pub connections: u64,
    /// Requests.
    pub requests: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
}
