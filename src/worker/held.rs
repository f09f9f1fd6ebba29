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
    pub(super) key: ConnId,
    /// The origin, by its index in the rule.
    pub(super) server: OriginId,
    /// Where it goes to, which is somewhere else after a redirect.
    pub(super) target: Target,
    /// When the stream went over to it.
    pub(super) since: Instant,
    /// The origin has asked to be left.
    pub(super) leaving: Option<Leaving>,
    /// When the origin said that its publisher has gone; None once it has media again.
    pub(super) publisher_gone: Option<Instant>,
    /// The origin has said that the stream is over.
    pub(super) is_over: bool,
    /// What it has sent ahead of the media of its next publisher.
    pub(super) early: Early,
}

/// Where to go instead of an origin that has asked to be left.
#[derive(Debug)]
pub(super) struct Leaving {
    /// Where it has sent us, ...
    pub(super) to: Option<Target>,
    /// ... or else when it may be asked again itself: another relay may listen there by then.
    pub(super) again_at: Instant,
}

impl Held {
    /// Whether the search may come to this origin again.
    pub(super) fn may_be_asked(&self) -> bool {
        self.leaving
            .as_ref()
            .is_some_and(|leaving| leaving.to.is_none())
    }

    /// Whether the stream has come by it for so long that the next search begins as the first.
    pub(super) fn has_lasted(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= limits::RETRY_MAX
    }

    /// Bytes kept for its next publisher.
    pub(super) fn early_bytes(&self) -> usize {
        self.early.bytes
    }
}

/// Metadata and codec headers ahead of the first media of an origin, in their order.
#[derive(Debug, Default)]
pub(super) struct Early {
    pub(super) messages: Vec<(MessageHeader, Vec<u8>)>,
    pub(super) bytes: usize,
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

    /// Bytes that are kept.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
