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

mod askers;
mod origins;
mod search;

pub(super) use search::{Outcome, Turn};

use std::time::{Duration, Instant};

use askers::Askers;
use origins::Origins;

use super::address::Key;
use super::fetches::Slot;
use super::held::{Early, Held};
use super::ids::{ConnId, OriginId, PullRuleId};
use super::line::{Line, State};
use crate::config::Config;
use crate::edge::redirect::Target;
use crate::rtmp::message::MessageHeader;
use crate::rtmp::name::StreamName;
use crate::stream::content::Content;

/// A stream that is fetched, as its owner keeps it.
#[derive(Debug)]
pub(super) struct Pull {
    /// Index of the rule.
    rule: PullRuleId,
    /// The stream, with the query of the player that asked first.
    name: StreamName,
    /// For whose players it is fetched.
    askers: Askers,
    /// The search for an origin that has the stream; idle while one sends media.
    line: Line,
    /// What the origin that is asked has sent ahead of its first media.
    early: Early,
    /// The connection that the stream comes by, or came by last, while it is open.
    held: Option<Held>,
    /// The origins, and whose turn it is.
    origins: Origins,
    /// Why it waits for its time, if somebody else who comes may have it go on at once.
    put_off: Option<PutOff>,
    /// It is a probe whose query an origin has accepted.
    is_accepted: bool,
    /// How often origins were asked for it by a query that was accepted.
    tries: usize,
    /// A frame of audio or video has come.
    has_frames: bool,
    /// Since when there is no media; None while there is.
    dark_since: Option<Instant>,
    /// When all origins had been asked, since the search began.
    all_asked: Option<Instant>,
    /// Since when nobody wants it.
    idle_since: Option<Instant>,
    /// When the publisher had gone of an origin that said first that the stream is over; None while
    /// there is media.
    over_since: Option<Instant>,
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

/// What a message is by which nothing comes yet.
#[derive(Debug)]
pub(super) enum Ahead {
    /// It is kept, or nothing to us.
    Kept,
    /// There are too many to be kept.
    TooMuch,
    /// It is the first media, the last of these: those that were kept are ahead of it.
    Media(Vec<(MessageHeader, Vec<u8>)>),
}

impl Pull {
    /// The stream `name`, fetched by `rule` from `order` from `begin_at` on.
    pub(super) fn new(
        (rule, name): (PullRuleId, StreamName),
        asker: Option<Key>,
        order: Vec<OriginId>,
        (begin_at, now): (Instant, Instant),
    ) -> Self {
        Self {
            rule,
            name,
            askers: Askers::new(asker),
            line: Line::new(begin_at),
            early: Early::default(),
            held: None,
            origins: Origins::new(order),
            put_off: (begin_at > now).then_some(PutOff::Rate),
            is_accepted: false,
            tries: 0,
            has_frames: false,
            dark_since: Some(now),
            all_asked: None,
            idle_since: None,
            over_since: None,
        }
    }

    /// Index of the rule.
    pub(super) fn rule(&self) -> PullRuleId {
        self.rule
    }

    /// The stream, with the query that origins are asked with.
    pub(super) fn name(&self) -> &StreamName {
        &self.name
    }

    /// How often a query was taken for it.
    pub(super) fn tries(&self) -> usize {
        self.tries
    }

    /// Origins are asked with `query` from now on.
    pub(super) fn take_query(&mut self, query: String) {
        self.name.query = query;
        self.tries += 1;
    }

    /// Whether it is a probe whose query an origin has accepted.
    pub(super) fn is_accepted(&self) -> bool {
        self.is_accepted
    }

    /// An origin has accepted the query of this probe.
    pub(super) fn accept(&mut self) {
        self.is_accepted = true;
    }

    /// Bytes kept of what its connections have sent ahead of media.
    pub(super) fn early_bytes(&self) -> usize {
        let held = self.held.as_ref().map_or(0, Held::early_bytes);
        self.early.bytes() + held
    }

    /// When something is due next; the last media came at `last_media`.
    pub(super) fn due(&self, last_media: Instant, config: &Config) -> Option<Instant> {
        let call = self.line.due(config.pull_timeout);
        let media = (!self.is_dark()).then(|| last_media + config.pull_timeout);
        let over = self.in_vain_since();
        let over = over.map(|since| since + config.pull_give_up);
        let idle = self.idle_since.map(|since| since + config.pull_linger);
        [call, media, over, idle].into_iter().flatten().min()
    }
}

/// For whom it is fetched.
impl Pull {
    /// The addresses for whose players it is fetched.
    pub(super) fn askers(&self) -> &Askers {
        &self.askers
    }

    /// The same, to be changed.
    pub(super) fn askers_mut(&mut self) -> &mut Askers {
        &mut self.askers
    }

    /// Since when nobody wants it.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.idle_since
    }

    /// Nobody wants it; since when.
    pub(super) fn begin_idle(&mut self, now: Instant) -> Instant {
        *self.idle_since.get_or_insert(now)
    }

    /// Somebody wants it; since when nobody did.
    pub(super) fn end_idle(&mut self) -> Option<Instant> {
        self.idle_since.take()
    }

    /// Why it is put off, and for how long.
    pub(super) fn put_off(&self, now: Instant) -> Option<(PutOff, Duration)> {
        match self.line.state() {
            State::Waiting(until) => Some((self.put_off?, until.saturating_duration_since(now))),
            State::Idle | State::Calling(_) | State::Up(_) => None,
        }
    }

    /// No address that wants it has room for it.
    pub(super) fn lack_room(&mut self) {
        self.put_off = Some(PutOff::Share);
    }

    /// A connection on its way needs a slot, which it has to wait for.
    pub(super) fn await_slot(&mut self) {
        self.line.set_slot(None);
        self.lack_room();
    }

    /// It has the slot, and counts for the address of that.
    pub(super) fn take_slot(&mut self, slot: Slot) {
        self.askers.charge(slot.address());
        self.line.set_slot(Some(slot));
    }

    /// Origins are asked for a player of `asker` from now on, whose the slot is as well.
    pub(super) fn hand_over(&mut self, asker: Option<Key>) {
        self.askers.charge(asker);
        self.line.hand_over_slot(asker);
    }

    /// It begins `at` this time, and counts for the rate of `asker`.
    pub(super) fn begin_for(&mut self, asker: Option<Key>, at: Instant) {
        self.askers.begin_for(asker);
        self.line.wait(at);
    }

    /// What it was put off for does not hold for a player of `asker`, for whom it goes on after
    /// `wait`.
    pub(super) fn hurry(&mut self, asker: Option<Key>, wait: Duration, now: Instant) {
        self.askers.charge(asker);
        if self.put_off == Some(PutOff::Share) {
            self.all_asked = None;
            self.begin_round();
        } else {
            self.askers.begin_for(asker);
        }
        if wait.is_zero() {
            self.put_off = None;
        }
        self.line.wait(now + wait);
    }
}

/// Its connections.
impl Pull {
    /// The search for an origin that has the stream.
    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    /// The same, to be changed.
    pub(super) fn line_mut(&mut self) -> &mut Line {
        &mut self.line
    }

    /// The connection that the stream comes by, or came by last, while it is open.
    pub(super) fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }

    /// Whether that is connection `key`.
    pub(super) fn is_held(&self, key: ConnId) -> bool {
        self.held().is_some_and(|held| held.key() == key)
    }

    /// Both, by slab key.
    pub(super) fn conns(&self) -> impl Iterator<Item = ConnId> {
        let keys = [self.held().map(Held::key), self.line.conn()];
        keys.into_iter().flatten()
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

    /// Takes a message on connection `key`, by which nothing comes yet.
    pub(super) fn take_ahead(
        &mut self,
        key: ConnId,
        (header, body): (MessageHeader, Vec<u8>),
        content: Content,
    ) -> Ahead {
        let is_held = self.is_held(key);
        if !is_held && !self.line.is_up(key) {
            return Ahead::Kept;
        }
        let is_media = self.takes(content);
        let early = match &mut self.held {
            Some(held) if is_held => held.early(),
            _ => &mut self.early,
        };
        if is_media {
            let mut messages = early.take();
            messages.push((header, body));
            return Ahead::Media(messages);
        }
        match early.keep(header, body) {
            true => Ahead::Kept,
            false => Ahead::TooMuch,
        }
    }

    /// The stream comes by connection `key` of the search, to `target`, from now on. What it came
    /// by before.
    pub(super) fn hold(&mut self, key: ConnId, target: Target, now: Instant) -> Option<Held> {
        let held = Held::new(key, self.server(), target, now);
        let before = self.held.replace(held);
        self.line.rest();
        if before.as_ref().is_some_and(|held| !held.has_lasted(now)) {
            self.line.count_failure();
        }
        before
    }

    /// The origin on connection `key` of the search, to `target`, has no publisher: the connection
    /// stays, and others are asked.
    pub(super) fn hold_without_publisher(&mut self, key: ConnId, target: Target, now: Instant) {
        let early = std::mem::take(&mut self.early);
        let held = Held::new(key, self.server(), target, now);
        self.held = Some(held.without_publisher(early));
        self.line.rest();
        self.line.wait(now);
    }

    /// The origin that the stream comes by says that its publisher has gone.
    pub(super) fn lose_publisher(&mut self, now: Instant) {
        if let Some(held) = &mut self.held {
            held.lose_publisher(now);
        }
    }

    /// It has media again.
    pub(super) fn regain_publisher(&mut self) {
        if let Some(held) = &mut self.held {
            held.regain_publisher();
        }
    }

    /// It has asked to be left: for `to`, or to be asked again itself at `again_at`.
    pub(super) fn leave_held(&mut self, to: Option<Target>, again_at: Instant, now: Instant) {
        if let Some(held) = &mut self.held {
            self.line.count_end(held.has_lasted(now));
            held.leave(to, again_at);
        }
    }

    /// An origin says that the stream is over: the one that it comes by if `is_held`. That one has
    /// waited for another publisher itself since it said that the last had gone.
    pub(super) fn note_over(&mut self, is_held: bool, now: Instant) {
        let mut since = now;
        match &mut self.held {
            Some(held) if is_held => since = held.end(now),
            _ => self.origins.count_missing(),
        }
        self.over_since.get_or_insert(since);
    }

    /// The connection that the stream came by is lost: other origins are asked, at once if the
    /// stream is over there. Which origin it was.
    pub(super) fn lose_held(
        &mut self,
        last_media: Instant,
        now: Instant,
        pause: impl FnOnce(u32) -> Duration,
    ) -> Option<OriginId> {
        let held = self.held.take()?;
        let (server, is_over) = (held.server(), held.is_over());
        let since = *self.dark_since.get_or_insert(last_media);
        if self.has_one_origin() {
            self.all_asked.get_or_insert(since);
        }
        self.line.count_end(held.has_lasted(now));
        if is_over && matches!(self.line.state(), State::Waiting(_)) {
            // What others said before the end is no answer to whether they have it now.
            self.line.rest();
        }
        let was_idle = self.line.is_idle();
        self.search(now, pause);
        if was_idle {
            self.origins.begin_behind(server, is_over);
            if is_over {
                self.line.wait(now);
            }
        } else if is_over {
            self.origins.count_asked();
            self.origins.count_missing();
        }
        Some(server)
    }

    /// Connection `key` goes while the relay stops: nobody is asked for the stream any more. How
    /// far the search had come; None if the stream comes by another one.
    pub(super) fn lose_in_drain(&mut self, key: ConnId, now: Instant) -> Option<State> {
        if self.held().is_some_and(|held| held.key() != key) {
            return None;
        }
        self.held = None;
        self.dark_since.get_or_insert(now);
        let state = self.end_search();
        self.line.wait(now);
        Some(state)
    }
}
