//! Streams handed on to other servers. To the stream a target is a player like any other, with a
//! cursor on its log: a slow or dead one costs the publisher and the other players nothing.
//!
//! ```text
//!   publish accepted --> Calling --> Up: publish there --> a player of the stream
//!                           ^                                     |
//!                           +------ backoff <--- lost, refused <--+
//! ```
//!
//! A target that asks for a new connection elsewhere keeps the present one until there is the new
//! one: the line goes on to call, and `former` is the connection that publishes meanwhile.
//!
//! While the publisher is away the line stays as it is; when the stream ends, so does the publish
//! over there.

use std::time::Instant;

use super::address::Key;
use super::ids::{ConnId, PushRuleId};
use super::line::Line;
use crate::limits;
use crate::rtmp::name::StreamName;

/// One target of a stream.
#[derive(Debug)]
pub(super) struct Push {
    /// Index of the rule.
    pub(super) rule: PushRuleId,
    /// The stream, with the query of its publisher.
    pub(super) name: StreamName,
    /// The address of the publisher, while addresses are counted.
    pub(super) publisher: Option<Key>,
    pub(super) line: Line,
    /// The target has accepted it.
    pub(super) is_publishing: bool,
    /// When it did so last.
    pub(super) accepted_at: Option<Instant>,
    /// The connection, by slab key, that goes on publishing until the line has taken its place.
    pub(super) former: Option<ConnId>,
    /// When the target last asked for a new connection, ...
    pub(super) moves_since: Option<Instant>,
    /// ... and how often that was done since it had the stream for long.
    pub(super) moves: u8,
}

impl Push {
    /// Whether the target has had the stream for so long that a new failure is the first.
    pub(super) fn has_lasted(&self, now: Instant) -> bool {
        let accepted = self.accepted_at;
        accepted.is_some_and(|at| now.saturating_duration_since(at) > limits::RETRY_MAX)
    }
}
