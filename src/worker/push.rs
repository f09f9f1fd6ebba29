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
use crate::edge::backoff;
use crate::edge::redirect::Target;
use crate::limits;
use crate::rtmp::name::StreamName;

/// One target of a stream.
#[derive(Debug)]
pub(super) struct Push {
    rule: PushRuleId,
    /// The stream, with the query of its publisher.
    name: StreamName,
    /// The address of the publisher, while addresses are counted.
    publisher: Option<Key>,
    line: Line,
    /// The target has accepted it.
    is_publishing: bool,
    /// When it did so last.
    accepted_at: Option<Instant>,
    /// The connection, by slab key, that goes on publishing until the line has taken its place.
    former: Option<ConnId>,
    /// When the target last asked for a new connection, ...
    moves_since: Option<Instant>,
    /// ... and how often that was done since it had the stream for long.
    moves: u8,
}

impl Push {
    /// The stream `name`, to be handed on by `rule` at once.
    pub(super) fn new(
        (rule, name): (PushRuleId, StreamName),
        publisher: Option<Key>,
        now: Instant,
    ) -> Self {
        Self {
            rule,
            name,
            publisher,
            line: Line::new(now),
            is_publishing: false,
            accepted_at: None,
            former: None,
            moves_since: None,
            moves: 0,
        }
    }

    /// Index of the rule.
    pub(super) fn rule(&self) -> PushRuleId {
        self.rule
    }

    /// The stream, with the query of its publisher.
    pub(super) fn name(&self) -> &StreamName {
        &self.name
    }

    /// The address of the publisher, while addresses are counted.
    pub(super) fn publisher(&self) -> Option<Key> {
        self.publisher
    }

    /// The stream is published from another address.
    pub(super) fn set_publisher(&mut self, publisher: Option<Key>) {
        self.publisher = publisher;
    }

    /// Where it stands with the server.
    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    /// The same, to be changed.
    pub(super) fn line_mut(&mut self) -> &mut Line {
        &mut self.line
    }

    /// Whether the target takes the stream.
    pub(super) fn is_publishing(&self) -> bool {
        self.is_publishing
    }

    /// The connection that goes on publishing until the line has taken its place.
    pub(super) fn former(&self) -> Option<ConnId> {
        self.former
    }

    /// The target accepts the stream on the connection of the line; the one that is left for it.
    pub(super) fn accept(&mut self, now: Instant) -> Option<ConnId> {
        self.is_publishing = true;
        self.accepted_at = Some(now);
        self.line.end_redirects();
        self.former.take()
    }

    /// The line is lost, or never came about; when it is called again. `None` where the target had
    /// sent it to where it cannot go: the former connection stays.
    pub(super) fn fail(&mut self, now: Instant, dice: u64) -> Option<Instant> {
        if self.has_lasted(now) {
            self.line.count_first_failure();
        }
        if let Some(former) = self.former.take() {
            self.line.set_up(former);
            self.accepted_at = Some(now);
            return None;
        }
        self.accepted_at = None;
        self.is_publishing = false;
        let until = now + backoff::delay(self.line.failures(), dice);
        self.line.wait(until);
        Some(until)
    }

    /// The server refuses, and the line goes to another one.
    pub(super) fn redirected(&mut self) {
        self.is_publishing = self.former.is_some();
    }

    /// The target asks for a new connection. False when it has done so too often of late.
    pub(super) fn count_move(&mut self, now: Instant) -> bool {
        self.moves_since = Some(now);
        if self.has_lasted(now) {
            self.moves = 0;
        }
        let may_move = self.moves < limits::REDIRECTS_MAX;
        self.moves += u8::from(may_move);
        may_move
    }

    /// The line is to go to `to`; the connection `former`, if it publishes, does so until then.
    pub(super) fn move_to(&mut self, to: Target, former: Option<ConnId>) {
        self.line.move_to(to);
        self.is_publishing = former.is_some();
        self.former = former;
    }

    /// Whether the target has just asked for a new connection.
    pub(super) fn has_just_moved(&self, now: Instant) -> bool {
        let elapsed = |since| now.saturating_duration_since(since);
        let since = self.moves_since;
        since.is_some_and(|since| elapsed(since) <= limits::PUSH_MOVE_TIME)
    }

    /// The connection `key` has ended, or is to: if it publishes until the line has taken its
    /// place, it does no longer.
    pub(super) fn forget_former(&mut self, key: ConnId) {
        if self.former == Some(key) {
            self.former = None;
            self.is_publishing = false;
        }
    }

    /// Whether the target has had the stream for so long that a new failure is the first.
    fn has_lasted(&self, now: Instant) -> bool {
        let accepted = self.accepted_at;
        accepted.is_some_and(|at| now.saturating_duration_since(at) > limits::RETRY_MAX)
    }
}
