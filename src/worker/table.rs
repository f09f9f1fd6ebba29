//! The streams of one worker, and their players.

mod feeds;
mod figures;
mod links;
mod relays;

use std::sync::Arc;
use std::time::Instant;

use super::collections::List;
use super::ids::{ConnId, PlayerSlot, PushRuleId, WorkerId};
use super::pull::Pull;
use super::push::Push;
use super::session::Form;
use super::timers::TimerId;
use crate::limits::{self, PICTURES_WAIT};
use crate::rtmp::media::TrackSet;
use crate::rtmp::message::{MessageStreamId, Timestamp};
use crate::rtmp::name::StreamName;
use crate::stream::cursor::Cursor;
use crate::stream::flv::FlvLogs;
use crate::stream::headers::Headers;
use crate::stream::intake::Intake;
use crate::stream::log::{Frame, LogLimits, Picture, StreamLog, Times};

pub(super) use feeds::{Feed, Upstream};
pub(super) use figures::{Meter, Tally};
pub(super) use links::{Play, Publication, Streams};
pub(super) use relays::Relays;

/// A stream that somebody here publishes or plays, or waits for.
#[derive(Debug)]
pub(super) struct Stream {
    /// `app/name`.
    pub(super) name: Arc<str>,
    /// Which life of the stream; 0 before its first publisher.
    pub(super) epoch: u64,
    source: Source,
    /// Where its timer is, see timers.rs.
    pub(super) armed: Option<TimerId>,
    pub(super) log: StreamLog,
    /// The same for those who read it by HTTP.
    pub(super) flv: FlvLogs,
    pub(super) intake: Intake,
    pub(super) meter: Meter,
    pub(super) tally: Tally,
    /// In no order; a player that goes is replaced by the last.
    pub(super) players: Players,
    /// Other workers that have players of it; only where the publisher is.
    pub(super) feeds: Vec<Feed>,
    /// How far it has been taken; only where it comes from another worker.
    pub(super) upstream: Upstream,
    /// Players by HTTP wait to know which kinds of media come.
    pub(super) has_undecided: bool,
    /// On the worker's list of streams with something new.
    dirty: bool,
    /// How it is fetched, while this worker does that.
    pub(super) pull: Option<Box<Pull>>,
    /// Where it is handed on to.
    pub(super) pushes: Vec<Push>,
    /// What the first player asked for, where it may be fetched.
    pub(super) asked: Option<Box<StreamName>>,
    /// The stream that it is a probe of, see probe.rs.
    pub(super) probe_of: Option<Arc<str>>,
    /// The relays that its publisher and its players have come through; `None` before the first
    /// of them is looked at.
    pub(super) relays: Option<Box<Relays>>,
    /// Relays that play it were told that its publisher has gone.
    pub(super) is_end_told: bool,
}

/// The players of a stream. Only [`Streams`] adds and removes any.
#[derive(Debug, Default)]
pub(super) struct Players(List<PlayerSlot, Player>);

impl Players {
    fn push(&mut self, player: Player) -> PlayerSlot {
        self.0.push(player)
    }

    fn swap_remove(&mut self, slot: PlayerSlot) -> Player {
        self.0.swap_remove(slot)
    }
}

impl std::ops::Deref for Players {
    type Target = List<PlayerSlot, Player>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl std::ops::Index<PlayerSlot> for Players {
    type Output = Player;

    fn index(&self, slot: PlayerSlot) -> &Player {
        &self.0[slot]
    }
}

impl std::ops::IndexMut<PlayerSlot> for Players {
    fn index_mut(&mut self, slot: PlayerSlot) -> &mut Player {
        &mut self.0[slot]
    }
}

impl Players {
    /// The player at `slot`, to be changed.
    pub(super) fn get_mut(&mut self, slot: PlayerSlot) -> Option<&mut Player> {
        self.0.get_mut(slot)
    }

    /// All of them, to be changed.
    pub(super) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Player> {
        self.0.iter_mut()
    }
}

/// Where a stream comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Nowhere yet: players wait.
    Nobody,
    /// A connection of this worker, by slab key.
    Publisher(ConnId),
    /// The publisher has left; it may come back until the time given.
    Away {
        since: Instant,
        until: Instant,
        /// It has ended the stream, and was not lost: nobody begins to play until it is back.
        ended: bool,
    },
    /// Another worker.
    Fed { worker: WorkerId },
    /// An origin, which has sent nothing of it yet: players wait.
    Pulling,
}

/// Someone who plays the stream, or will when it begins.
#[derive(Debug)]
pub(super) struct Player {
    /// Slab key of the connection.
    pub(super) conn: ConnId,
    pub(super) msid: MessageStreamId,
    pub(super) cursor: Cursor,
    /// The client has been told that playing begins.
    pub(super) started: bool,
    /// It has been sent headers once.
    pub(super) has_headers: bool,
    /// The client asked for NetStream.Play.Reset.
    pub(super) reset: bool,
    pub(super) audio: bool,
    /// It has turned sound on while it was paused.
    pub(super) lacks_audio_headers: bool,
    pub(super) video: Video,
    /// What it can decode, while that may not be all tracks of the stream.
    pub(super) decodable: Option<Box<Decodable>>,
    /// The headers it was sent when it started without pictures.
    pub(super) start_headers: Option<Arc<Headers>>,
    /// Since when skips are counted, and how many there were.
    pub(super) skips: Option<(Instant, usize)>,
    pub(super) form: Form,
    /// It is a relay, which gets what is for servers too.
    pub(super) is_relay: bool,
    /// How far a player by HTTP is on its way to the header of its file.
    pub(super) flv_start: FlvStart,
    /// It is counted among those of its stream by the relays it has come through.
    pub(super) is_counted: bool,
    pub(super) clock: Clock,
    /// The client has paused what it comes over from, see
    /// [`complete_switch`](super::core::Core::complete_switch).
    pub(super) starts_paused: bool,
}

/// How the time of a player follows from that of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    /// This is added to the timestamps. It is not 0 when the player has come over from another
    /// stream, and its time goes on.
    Shifted(u32),
    /// The player is to come over from a stream that has ended: the times of its last messages.
    Follows(Times),
}

/// The header of a file says which kinds of media come: it is written when that is known, or after
/// a short wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum FlvStart {
    /// The player has no place in the log yet.
    #[default]
    Unplaced,
    /// It has one, and no media has come.
    NoMedia,
    /// One kind of media has come.
    OneKind,
}

/// Tracks of which a player has had a key frame since it started.
#[derive(Debug)]
pub(super) struct Decodable {
    /// Where it started.
    time: Timestamp,
    tracks: TrackSet,
}

/// Whether a player receives video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Video {
    On,
    Off,
    /// Wanted: from their next sync point on.
    AtSync,
}

impl Video {
    /// The player starts, at a sync point or without one.
    pub(super) fn start(&mut self, without_pictures: bool) {
        if *self != Self::Off {
            *self = if without_pictures {
                Self::AtSync
            } else {
                Self::On
            };
        }
    }
}

/// The log that players of this form read: that of chunks, unless there is one of tags for them.
pub(super) fn log_for<'a>(log: &'a StreamLog, flv: &'a FlvLogs, form: Form) -> &'a StreamLog {
    match form {
        Form::Play | Form::Publish => log,
        Form::Flv(framing) => flv.of(framing).unwrap_or(log),
    }
}

impl Player {
    pub(super) fn new(conn: ConnId, msid: MessageStreamId, reset: bool, cursor: Cursor) -> Self {
        Self {
            conn,
            msid,
            cursor,
            started: false,
            has_headers: false,
            reset,
            audio: true,
            lacks_audio_headers: false,
            video: Video::On,
            decodable: None,
            start_headers: None,
            skips: None,
            form: Form::Play,
            is_relay: false,
            flv_start: FlvStart::Unplaced,
            is_counted: false,
            clock: Clock::Shifted(0),
            starts_paused: false,
        }
    }

    /// What is added to the timestamps of its stream.
    pub(super) fn shift(&self) -> u32 {
        match self.clock {
            Clock::Shifted(by) => by,
            Clock::Follows(_) => 0,
        }
    }

    /// It skips at `now`; how often it has within [`limits::SKIPS_TIME`].
    pub(super) fn count_skip(&mut self, now: Instant) -> usize {
        let counted = self
            .skips
            .filter(|(since, _)| now.saturating_duration_since(*since) < limits::SKIPS_TIME);
        let (since, count) = counted.unwrap_or((now, 0));
        self.skips = Some((since, count + 1));
        count + 1
    }

    /// Pictures go to it from `time` on, where it starts: those of each track from the key frame of
    /// that track on.
    pub(super) fn await_key_frames(&mut self, log: &StreamLog, time: Timestamp) {
        let tracks = TrackSet::default();
        let decodable = || Box::new(Decodable { time, tracks });
        self.decodable = log.tracks().map(|_| decodable());
    }

    /// Whether it can decode a video message, which is the next in the log.
    pub(super) fn can_decode(&mut self, frame: &Frame) -> bool {
        let Some(decodable) = &mut self.decodable else {
            return true;
        };
        match frame.picture {
            Picture::Keys => decodable.tracks = TrackSet::ALL,
            Picture::Key => decodable.tracks.insert(frame.track),
            // It is where the player starts, for want of key frames.
            Picture::Inter if frame.sync => decodable.tracks.insert(frame.track),
            Picture::Inter => {
                // There may be no key frames in that track.
                let waited = u128::try_from(frame.timestamp.since(decodable.time));
                let is_long = waited.is_ok_and(|waited| waited >= PICTURES_WAIT.as_millis());
                if is_long {
                    self.decodable = None;
                    return true;
                }
                return decodable.tracks.contains(frame.track);
            }
            Picture::Other => {}
        }
        true
    }

    /// Whether it can decode all tracks now.
    pub(super) fn note_tracks(&mut self, log: &StreamLog) {
        let is_left = |decodable: &Decodable| {
            let tracks = log.tracks();
            tracks.is_some_and(|tracks| !tracks.without(&decodable.tracks).is_empty())
        };
        self.decodable = self.decodable.take().filter(|its| is_left(its));
    }

    /// Whether it hands the stream on.
    pub(super) fn is_server(&self) -> bool {
        self.is_relay || self.form == Form::Publish
    }

    /// Whether the player takes the log as it is.
    pub(super) fn is_plain(&self) -> bool {
        self.msid == crate::stream::log::MSID
            && self.shift() == 0
            && self.audio
            && self.video == Video::On
            && self.decodable.is_none()
            && self.form != Form::Publish
    }
}

impl Stream {
    /// Whether it is on the list of those with something new.
    #[cfg(test)]
    pub(super) fn is_dirty(&self) -> bool {
        self.dirty
    }

    pub(super) fn new(name: Arc<str>, limits: LogLimits, now: Instant) -> Self {
        Self {
            name,
            epoch: 0,
            source: Source::Nobody,
            armed: None,
            log: StreamLog::new(limits),
            flv: FlvLogs::default(),
            intake: Intake::default(),
            meter: Meter::new(now),
            tally: Tally::new(now),
            players: Players::default(),
            feeds: Vec::new(),
            upstream: Upstream::default(),
            has_undecided: false,
            dirty: false,
            pull: None,
            pushes: Vec::new(),
            asked: None,
            probe_of: None,
            relays: None,
            is_end_told: false,
        }
    }

    /// Where it comes from.
    pub(super) fn source(&self) -> Source {
        self.source
    }

    /// The connection that publishes it, if it is one of this worker.
    pub(super) fn publisher(&self) -> Option<ConnId> {
        match self.source {
            Source::Publisher(key) => Some(key),
            _ => None,
        }
    }

    /// Whether there is a publisher, or was one just now.
    pub(super) fn is_live(&self) -> bool {
        !matches!(self.source, Source::Nobody | Source::Pulling)
    }

    /// Whether a player that comes now begins at once.
    pub(super) fn may_begin(&self) -> bool {
        match self.source {
            Source::Away { ended, .. } => !ended,
            Source::Fed { .. } => !self.upstream.is_ended(),
            _ => self.is_live(),
        }
    }

    /// Whether this worker answers for the stream to the others.
    pub(super) fn is_owned(&self) -> bool {
        matches!(
            self.source,
            Source::Publisher(_) | Source::Away { .. } | Source::Pulling
        )
    }

    /// Whether anybody but the targets it is handed on to plays it or waits for it here.
    pub(super) fn has_audience(&self) -> bool {
        self.players.len() > self.targets()
    }

    /// How many targets take it.
    pub(super) fn targets(&self) -> usize {
        let pushes = self.pushes.iter();
        pushes.filter(|push| push.is_publishing()).count()
    }

    /// How it is handed on by a rule.
    pub(super) fn push(&self, rule: PushRuleId) -> Option<&Push> {
        self.pushes.iter().find(|push| push.rule() == rule)
    }

    /// The same, to be changed.
    pub(super) fn push_mut(&mut self, rule: PushRuleId) -> Option<&mut Push> {
        self.pushes.iter_mut().find(|push| push.rule() == rule)
    }

    /// The times of the last messages that a player was sent, on its own timeline.
    pub(super) fn last_times_of(&self, slot: PlayerSlot) -> Option<Times> {
        let player = self.players.get(slot)?;
        let times = self.log.times_before(player.cursor.position()?)?;
        Some(times.plus(player.shift()))
    }

    /// How long it has been without a publisher, in milliseconds.
    pub(super) fn away_ms(&self, now: Instant) -> u32 {
        let elapsed = match self.source {
            // It may be long past the end of its grace, and the timer not have come up yet: of a
            // machine that slept, the players' time does not leap.
            Source::Away { since, until, .. } => {
                until.min(now).saturating_duration_since(since).as_millis()
            }
            _ => 0,
        };
        u32::try_from(elapsed).unwrap_or(u32::MAX)
    }
}
