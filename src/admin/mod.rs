//! What is behind the admin port: which page a request is for, what has to be asked of the
//! workers for it, and what the answer says. It knows no connection, reads no clock and opens
//! nothing but files of /proc; what it is not given it does not tell.
//!
//! ```text
//!   method, path, query --route--> Route --question--> Question --workers--> Answer
//!                            |                                                 |
//!                            +--> ApiError --> Response <-------answer---------+
//! ```
//!
//! Names of streams and clients come from strangers: they are escaped by the libraries that write
//! JSON and metrics, and nothing here puts them into text itself.

pub mod api;
pub mod metrics;
pub mod process;
pub mod route;

pub use api::answer;
pub use route::{ApiError, Route, route};

use std::time::Duration;

use crate::config::Config;
use crate::http::response::Response;

/// The API in the terms of OpenAPI 3.1, served as it is.
pub const OPENAPI: &str = include_str!("openapi.json");

/// What the relay is, for those who look; the same for each answer of a turn.
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
}

/// JSON.
pub const JSON: &str = "application/json";

/// What `value` is in JSON.
fn json(status: u16, value: &impl serde::Serialize) -> Response {
    // Only maps whose keys are no strings cannot be written, and there are none.
    let body = serde_json::to_vec(value).unwrap_or_default();
    Response::new(status, JSON, body).with("Cache-Control", "no-store")
}
