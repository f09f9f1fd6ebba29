//! How a stream that is fetched goes over from one connection to another: to the origin that has
//! media first, beside whatever is open.
//!
//! ```text
//!   asked: headers are kept --first media--> held: the stream comes by it --StreamEOF, silence--+
//!      ^                                         ^                                              |
//!      |  others are asked beside it             +--- it has media again before any other ------+
//!      +----------------------------------------------------------------------------------------+
//! ```
//!
//! Metadata and codec headers ahead of the first media are kept with the connection: no answer to
//! play is needed for them, nor for media.

use log::{Level, info};

use super::close_reason::CloseReason;
use super::core::Core;
use super::flow::Flow;
use super::ids::{ConnId, StreamId};
use super::line::{Errand, State, Task};
use super::pull::Ahead;
use super::registry::{Claim, WorkerSet};
use super::table::{Meter, Source};
use crate::edge::backoff;
use crate::logging::quoted;
use crate::net::transport::Transport;
use crate::rtmp::message::{Message, MessageHeader, Payload};
use crate::stream::content::Content;

impl<S: Transport> Core<S> {
    /// An origin sends a message by which nothing comes yet: the first that is media begins the
    /// stream, others are kept until then.
    #[cold]
    pub(super) fn early_message(
        &mut self,
        key: ConnId,
        header: MessageHeader,
        body: Vec<u8>,
        content: Content,
    ) -> Flow {
        let errand = self.conns[key].errand();
        let Some(errand) = errand.filter(|its| its.task() == Task::Pull) else {
            return Flow::Continue;
        };
        let index = errand.stream();
        let Some(pull) = &mut self.streams[index].pull else {
            return Flow::Continue;
        };
        match pull.take_ahead(key, (header, body), content) {
            Ahead::Kept => return Flow::Continue,
            Ahead::Media(messages) => {
                self.change_over(key, index, &messages);
                return Flow::Continue;
            }
            Ahead::TooMuch => {}
        }
        let layer = self.conns[key].session.rtmp_mut();
        match layer.map(|layer| layer.count_glitches(1)) {
            Some(Err(error)) => Flow::Close(CloseReason::Protocol(error)),
            _ => Flow::Continue,
        }
    }

    /// The stream comes by connection `key` from here on, `messages` first; it is live with them
    /// when they have been read, see [`pull_is_live`](Self::pull_is_live).
    fn change_over(&mut self, key: ConnId, index: StreamId, messages: &[(MessageHeader, Vec<u8>)]) {
        let client = self.conns[key].session.client();
        let is_of_relay = client.as_ref().is_some_and(|its| its.is_marked());
        let Some(msid) = client.and_then(|its| its.msid()) else {
            return;
        };
        if !self.query_accepted(index) {
            return;
        }
        if !self.is_held(key, index) {
            self.hold_asked(key, index);
        } else {
            self.end_search(index);
            if let Some(pull) = &mut self.streams[index].pull {
                pull.regain_publisher();
            }
        }
        self.streams.publish(key, msid, index);
        self.conns.add_publisher(key);
        let uptime = self.uptime();
        let stream = &mut self.streams[index];
        let away_ms = stream.away_ms(self.now);
        stream.intake.set_now(uptime);
        stream.intake.begin_publish(&mut stream.log, away_ms);
        if is_of_relay {
            stream.intake.take_pictures_as_held();
        }
        stream.intake.follow_origin();
        stream.meter = Meter::new(self.now);
        for (header, body) in messages {
            let header = *header;
            let payload = Payload::from_slice(body);
            let message = Message { header, payload };
            let (log, blocks) = (&mut stream.log, &mut self.blocks);
            stream.intake.take(log, blocks, &mut self.scratch, &message);
        }
        self.gauges.messages_in += messages.len() as u64;
        self.mark_dirty(index);
        self.arm(key, self.now + self.shared.config.pull_timeout / 2);
    }

    /// The connection of the search becomes the one that the stream comes by, in place of the one
    /// that it came by before.
    fn hold_asked(&mut self, key: ConnId, index: StreamId) {
        let Some(target) = self.target_of(index, Task::Pull) else {
            return;
        };
        let now = self.now;
        let Some(pull) = &mut self.streams[index].pull else {
            return;
        };
        if let Some(before) = pull.hold(key, target, now) {
            self.leave_origin(index, before.key());
        }
    }

    /// The stream comes by the connection `before` no longer. Unlike the end of a publisher this
    /// is told to nobody: another goes on at once.
    fn leave_origin(&mut self, index: StreamId, before: ConnId) {
        if !self.conns.contains(before) {
            return;
        }
        let away = Source::Away {
            since: self.streams[index].meter.last_media(),
            until: self.now,
            ended: false,
        };
        self.streams.unpublish(before, index, away);
        self.hang_up(index, State::Up(before));
    }

    /// The first media of connection `key` has been read: the stream is live, here and where other
    /// workers have players of it.
    ///
    /// # Errors
    /// There are too many streams.
    #[cold]
    pub(super) fn pull_is_live(&mut self, key: ConnId, index: StreamId) -> Result<(), CloseReason> {
        let name = self.streams[index].name.clone();
        let missing_name = self.missing_name(index);
        let pull = self.streams[index].pull.as_ref();
        if pull.is_none_or(|pull| pull.held().is_none()) {
            return Ok(());
        }
        let readers = match self.claim_for_askers(index) {
            Claim::Own { readers, .. } => readers,
            Claim::Full => {
                self.gauges.refused_fetches += 1;
                return Err(CloseReason::Refused("there are too many streams".into()));
            }
            Claim::AddressFull => {
                self.gauges.refused_fetches += 1;
                let why = "there are too many streams for the address that asked";
                return Err(CloseReason::Refused(why.into()));
            }
            Claim::Elsewhere { .. } => WorkerSet::default(),
        };
        let Some(pull) = &mut self.streams[index].pull else {
            return Ok(());
        };
        pull.regain_media();
        let Some(held) = pull.held() else {
            return Ok(());
        };
        self.shared.missing.forget(&missing_name, held.server());
        self.shared.fetches.succeeded(pull.askers().begun_by());
        self.shared.registry.forget_end(&name);
        let conn = &mut self.conns[key];
        conn.set_publisher();
        if self.notes.allow("pull", Level::Info, self.now) {
            info!(
                "conn={} pull stream={} from={} peer={} worker={}",
                conn.id(),
                quoted(&name),
                held.target().authority,
                conn.peer(),
                self.worker
            );
        }
        let stream = &mut self.streams[index];
        if let Source::Away { .. } = stream.source() {
            stream.tally.count_gap();
        }
        self.streams.begin(index, key);
        for worker in readers.iter() {
            self.add_feed(index, worker);
        }
        self.charge_pull(index);
        self.tell_relays_of_begin(index);
        self.start_players(index);
        self.mark_dirty(index);
        let timeout = self.shared.config.pull_timeout;
        self.look_at_stream(index, self.now + timeout);
        Ok(())
    }

    /// Media has come again by the connection that the stream comes by: it stays.
    #[cold]
    pub(super) fn pull_resumed(&mut self, index: StreamId) {
        let Some(pull) = &mut self.streams[index].pull else {
            return;
        };
        pull.regain_media();
        if !pull.needs_search() {
            self.end_search(index);
        }
        let timeout = self.shared.config.pull_timeout;
        self.look_at_stream(index, self.now + timeout);
    }

    /// The origin on connection `key` says that the publisher has gone (StreamEOF). Others are
    /// asked at once; it stays connected, and its next publisher may be first.
    pub(super) fn publisher_ended(&mut self, key: ConnId, index: StreamId) -> Flow {
        if self.is_held(key, index) {
            if self.streams.publication_of(key, index).is_some() {
                // Its media may have come with the bytes that this was read from.
                if self.streams[index].source() != Source::Publisher(key)
                    && let Err(reason) = self.pull_is_live(key, index)
                {
                    return Flow::Close(reason);
                }
                self.publisher_left(key, index, false);
            }
            let now = self.now;
            if let Some(pull) = &mut self.streams[index].pull {
                pull.lose_publisher(now);
            }
            self.lose_media(index, now);
            return Flow::Continue;
        }
        self.note_steps(key);
        let is_started = self.conns[key].errand().is_some_and(Errand::is_accepted);
        let target = self.target_of(index, Task::Pull);
        let now = self.now;
        let (Some(pull), Some(target)) = (&mut self.streams[index].pull, target) else {
            return Flow::Continue;
        };
        if !is_started || pull.has_one_origin() || !pull.line().is_up(key) {
            return Flow::Continue;
        }
        if pull.held().is_some() {
            return Flow::refused("it has no publisher");
        }
        pull.hold_without_publisher(key, target, now);
        self.look_at_stream(index, now);
        Flow::Continue
    }

    /// The origin that the stream comes by asks to connect anew, to the URL `to` or to where it
    /// is. E-RTMP v2 "Reconnect Request". It is served on until another connection has media.
    pub(super) fn reconnect_asked(&mut self, index: StreamId, to: Option<&str>) -> Flow {
        let dice = self.next_seed(u64::from(index.slot()));
        let now = self.now;
        let pull = self.streams[index].pull.as_ref();
        let held = pull.and_then(|pull| pull.held());
        let Some(held) = held.filter(|held| !held.is_leaving()) else {
            return Flow::Continue;
        };
        let from = held.target().clone();
        let to = match to.map(|to| self.redirected((index, Task::Pull), &from, to, false)) {
            Some(Ok(target)) => Some(target),
            Some(Err(_)) => {
                self.gauges.pull_failures += 1;
                None
            }
            None => None,
        };
        if let Some(pull) = &mut self.streams[index].pull {
            pull.leave_held(to, now + backoff::delay(2, dice), now);
        }
        self.search(index);
        Flow::Continue
    }
}
