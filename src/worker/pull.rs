//! Streams fetched from an origin. The worker whose player asked first owns the stream, as if it
//! had been published there: once for the process, however many workers and players want it.
//!
//! ```text
//!            first play                    media                   no media
//!   Nobody ------------> Pulling ------------------> Publisher ----------------> searching, beside
//!      ^                    |                            ^    media again          | what is open
//!      |  nobody has it     |                            +-------------------------+
//!      +--------------------+                            |                         |
//!      +-- nobody wants it for --pull-linger ------------+                         |
//!      +-- no media for --pull-give-up since all origins were asked ---------------+
//! ```
//!
//! A pull has two connections at most: the one that the stream comes by (`held`), and the one of
//! the search for an origin that has it (`line`). The search goes on while there is no media, or
//! while the origin has asked to be left (E-RTMP v2 "Reconnect Request"). It goes through the
//! origins in the order of their hash for the stream, each of which has `--pull-timeout` for each
//! step; after the last there is a pause. Media alone ends it: on the connection of the search the
//! stream goes over to that one, see changeover.rs.
//!
//! Only `Core::check_pull`, from a timer, ends a pull: the rest writes down what happened.

use std::time::Instant;

use super::address::Key;
use super::held::{Early, Held};
use super::ids::{OriginId, PullRuleId, WorkerId};
use super::line::Line;
use crate::limits;
use crate::rtmp::name::StreamName;
use crate::stream::content::Content;

/// A stream that is fetched, as its owner keeps it.
#[derive(Debug)]
pub(super) struct Pull {
    /// Index of the rule.
    pub(super) rule: PullRuleId,
    /// The stream, with the query of the player that asked first.
    pub(super) name: StreamName,
    /// The address for whose player origins are asked now, while addresses are counted; see
    /// charge.rs.
    pub(super) asker: Option<Key>,
    /// The address whose rate of fetches it counts for.
    pub(super) begun_by: Option<Key>,
    /// Addresses of players of other workers that want it.
    pub(super) elsewhere: Vec<(WorkerId, Option<Key>)>,
    /// The search for an origin that has the stream; idle while one sends media.
    pub(super) line: Line,
    /// What the origin that is asked has sent ahead of its first media.
    pub(super) early: Early,
    /// The connection that the stream comes by, or came by last, while it is open.
    pub(super) held: Option<Held>,
    /// The origin that is asked, by its index in the rule.
    pub(super) server: OriginId,
    /// The origins in the order in which they are asked.
    pub(super) order: Vec<OriginId>,
    /// Place in `order` of the one to be asked next.
    pub(super) next: usize,
    /// Origins still to be asked before the next pause, ...
    pub(super) left: usize,
    /// ... those that were asked since the last, ...
    pub(super) tried: usize,
    /// ... and how many of them do not have the stream.
    pub(super) missing: usize,
    /// Why it waits for its time, if somebody else who comes may have it go on at once.
    pub(super) put_off: Option<PutOff>,
    /// It is a probe whose query an origin has accepted.
    pub(super) is_accepted: bool,
    /// How often origins were asked for it.
    pub(super) tries: usize,
    /// A frame of audio or video has come.
    pub(super) has_frames: bool,
    /// Since when there is no media; None while there is.
    pub(super) dark_since: Option<Instant>,
    /// Since when there is no media although all origins were asked.
    pub(super) all_asked: Option<Instant>,
    /// Since when nobody wants it.
    pub(super) idle_since: Option<Instant>,
    /// When the publisher had gone of an origin that said first that the stream is over; None while
    /// there is media.
    pub(super) over_since: Option<Instant>,
}

/// Why a fetch is put off: it may be otherwise for players of another address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PutOff {
    /// The address that began it has begun too many.
    Rate,
    /// No origin has the stream.
    Missing,
    /// No address that wants it has room for it.
    Share,
}

impl Pull {
    /// The stream `name`, fetched by `rule` from `order` from `begin_at` on.
    pub(super) fn new(
        (rule, name): (PullRuleId, StreamName),
        asker: Option<Key>,
        order: Vec<OriginId>,
        (begin_at, now): (Instant, Instant),
    ) -> Self {
        let mut pull = Self {
            rule,
            name,
            asker,
            begun_by: asker,
            elsewhere: Vec::new(),
            line: Line::new(begin_at),
            early: Early::default(),
            held: None,
            server: order[0],
            order,
            next: 0,
            left: 0,
            tried: 0,
            missing: 0,
            put_off: (begin_at > now).then_some(PutOff::Rate),
            is_accepted: false,
            tries: 0,
            has_frames: false,
            dark_since: Some(now),
            all_asked: None,
            idle_since: None,
            over_since: None,
        };
        pull.begin_round();
        pull
    }

    /// Worker `worker` has a player of `address` that wants the stream. Of many the last are known.
    pub(super) fn want_elsewhere(&mut self, worker: WorkerId, address: Option<Key>) {
        let told = (worker, address);
        self.elsewhere.retain(|known| *known != told);
        if self.elsewhere.len() >= limits::PULL_ASKERS_MAX {
            self.elsewhere.remove(0);
        }
        self.elsewhere.push(told);
    }

    /// Takes note of a message of an origin; whether it is media, by which the origin has the
    /// stream. Timed data is as long as there have been no frames: it goes on beside them also
    /// when an origin has lost them.
    pub(super) fn takes(&mut self, content: Content) -> bool {
        self.has_frames |= content == Content::Frame;
        match content {
            Content::Frame => true,
            Content::Data => !self.has_frames,
            Content::Nothing => false,
        }
    }

    /// An origin says that the stream is over: the one that it comes by if `is_held`. That one has
    /// waited for another publisher itself since it said that the last had gone.
    pub(super) fn note_over(&mut self, is_held: bool, now: Instant) {
        let mut since = now;
        match &mut self.held {
            Some(held) if is_held => since = held.end(now),
            _ => self.missing += 1,
        }
        self.over_since.get_or_insert(since);
    }

    /// The connection to `server` that the stream came by is lost, with the stream over there if
    /// `is_over`: the others are asked, at once in that case. `was_idle`: nobody was being asked.
    pub(super) fn ask_others(
        &mut self,
        server: OriginId,
        is_over: bool,
        was_idle: bool,
        now: Instant,
    ) {
        if was_idle {
            // It has had its turn.
            self.ask_after(server);
            self.left -= 1;
            (self.tried, self.missing) = (1, usize::from(is_over));
            if is_over {
                self.line.wait(now);
            }
        } else if is_over {
            self.tried += 1;
            self.missing += 1;
        }
    }

    /// Whether an origin is to be looked for.
    pub(super) fn needs_search(&self) -> bool {
        self.dark_since.is_some() || self.held.as_ref().is_some_and(Held::is_leaving)
    }

    /// Bytes kept of what its connections have sent ahead of media.
    pub(super) fn early_bytes(&self) -> usize {
        let held = self.held.as_ref().map_or(0, Held::early_bytes);
        self.early.bytes() + held
    }

    /// Whether there is one origin, so that nothing is won by leaving it.
    pub(super) fn has_one_origin(&self) -> bool {
        self.order.len() == 1
    }

    /// Begins with all origins anew. That of the open connection is not asked. If it wants to be
    /// left, where it sends us is asked first; or itself, last.
    pub(super) fn begin_round(&mut self) {
        self.left = self.order.len();
        (self.tried, self.missing) = (0, 0);
        let Some(held) = &self.held else {
            return;
        };
        let server = held.server();
        if let Some(to) = held.sent_to() {
            self.line.redirect_to(to.clone());
            self.server = server;
        }
        self.ask_after(server);
    }

    /// Goes on behind `server`.
    pub(super) fn ask_after(&mut self, server: OriginId) {
        let at = self.order.iter().position(|its| *its == server);
        self.next = (at.unwrap_or(0) + 1) % self.order.len();
    }

    /// The origin to be asked next in this round.
    pub(super) fn next_origin(&mut self) -> Option<OriginId> {
        while self.left > 0 {
            let server = self.order[self.next];
            self.left -= 1;
            self.next = (self.next + 1) % self.order.len();
            let held = self.held.as_ref().filter(|held| held.server() == server);
            if held.is_none_or(|held| held.again_at().is_some()) {
                return Some(server);
            }
        }
        None
    }

    /// Asks `server` later: the last that [`next_origin`](Self::next_origin) gave.
    pub(super) fn put_back(&mut self) {
        self.left += 1;
        self.next = (self.next + self.order.len() - 1) % self.order.len();
    }
}
