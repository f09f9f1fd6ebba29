//! What a pull has of origins: the connection that the stream comes by, and what an origin that is
//! asked has sent ahead of its first media.

use std::time::Instant;

use super::ids::{ConnId, OriginId};
use crate::edge::redirect::Target;
use crate::limits;
use crate::rtmp::message::MessageHeader;

/// The connection that a stream comes by, or came by last.
#[derive(Debug)]
pub(super) struct Held {
    /// Its slab key.
    key: ConnId,
    /// The origin, by its index in the rule.
    server: OriginId,
    /// Where it goes to, which is somewhere else after a redirect.
    target: Target,
    /// When the stream went over to it.
    since: Instant,
    /// The origin has asked to be left.
    leaving: Option<Leaving>,
    /// When the origin said that its publisher has gone; None once it has media again.
    publisher_gone: Option<Instant>,
    /// The origin has said that the stream is over.
    is_over: bool,
    /// What it has sent ahead of the media of its next publisher.
    early: Early,
}

/// Where to go instead of an origin that has asked to be left.
#[derive(Debug)]
struct Leaving {
    /// Where it has sent us, ...
    to: Option<Target>,
    /// ... or else when it may be asked again itself: another relay may listen there by then.
    again_at: Instant,
}

impl Held {
    /// The stream comes by connection `key` to the origin `server`, at `target`, from now on.
    pub(super) fn new(key: ConnId, server: OriginId, target: Target, now: Instant) -> Self {
        Self {
            key,
            server,
            target,
            since: now,
            leaving: None,
            publisher_gone: None,
            is_over: false,
            early: Early::default(),
        }
    }

    /// The same of an origin without a publisher, which has sent `early` ahead of its next one.
    pub(super) fn without_publisher(self, early: Early) -> Self {
        Self {
            publisher_gone: Some(self.since),
            early,
            ..self
        }
    }

    /// Its slab key.
    pub(super) fn key(&self) -> ConnId {
        self.key
    }

    /// The origin, by its index in the rule.
    pub(super) fn server(&self) -> OriginId {
        self.server
    }

    /// Where it goes to.
    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// Whether the stream has come by it for so long that the next search begins as the first.
    pub(super) fn has_lasted(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= limits::RETRY_MAX
    }

    /// The origin has asked to be left: for `to`, or else to be asked again itself at `again_at`.
    pub(super) fn leave(&mut self, to: Option<Target>, again_at: Instant) {
        self.leaving = Some(Leaving { to, again_at });
    }

    /// Whether the origin has asked to be left.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// Where the origin has sent us.
    pub(super) fn sent_to(&self) -> Option<&Target> {
        self.leaving.as_ref()?.to.as_ref()
    }

    /// When the search may come to this origin again; None if it may not.
    pub(super) fn again_at(&self) -> Option<Instant> {
        let leaving = self.leaving.as_ref().filter(|its| its.to.is_none());
        leaving.map(|its| its.again_at)
    }

    /// The origin says that its publisher has gone.
    pub(super) fn lose_publisher(&mut self, now: Instant) {
        self.publisher_gone.get_or_insert(now);
    }

    /// The origin has media again.
    pub(super) fn regain_publisher(&mut self) {
        self.publisher_gone = None;
    }

    /// The origin says that the stream is over; since when it has had no publisher.
    pub(super) fn end(&mut self, now: Instant) -> Instant {
        self.is_over = true;
        self.publisher_gone.unwrap_or(now)
    }

    /// Whether the origin has said that the stream is over.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// What it has sent ahead of the media of its next publisher.
    pub(super) fn early(&mut self) -> &mut Early {
        &mut self.early
    }

    /// Bytes of that.
    pub(super) fn early_bytes(&self) -> usize {
        self.early.bytes
    }
}

/// Metadata and codec headers ahead of the first media of an origin, in their order.
#[derive(Debug, Default)]
pub(super) struct Early {
    messages: Vec<(MessageHeader, Vec<u8>)>,
    bytes: usize,
}

impl Early {
    /// Keeps a message. False when there is too much, and the oldest are forgotten.
    pub(super) fn keep(&mut self, header: MessageHeader, body: Vec<u8>) -> bool {
        let is_it = |kept: &(MessageHeader, Vec<u8>)| kept.0.kind == header.kind && kept.1 == body;
        if self.messages.iter().any(is_it) {
            return true;
        }
        let most = limits::EARLY_HEADERS_BYTES_MAX;
        let mut has_room = true;
        while !self.messages.is_empty()
            && (self.bytes + body.len() > most || self.messages.len() >= limits::EARLY_HEADERS_MAX)
        {
            self.bytes -= self.messages.remove(0).1.len();
            has_room = false;
        }
        if body.len() > most {
            return false;
        }
        self.bytes += body.len();
        self.messages.push((header, body));
        has_room
    }

    /// Takes out the messages that are kept.
    pub(super) fn take(&mut self) -> Vec<(MessageHeader, Vec<u8>)> {
        std::mem::take(self).messages
    }

    /// Bytes that are kept.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
