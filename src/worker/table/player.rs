//! Someone who plays a stream: where it stands in the log, and on which timeline. What it gets of
//! the log is in content.rs.
//!
//! ```text
//!   waits --start--> started --settle--> sync point --> reads on --settle--> too far behind
//!                                            ^                                    |
//!                                            +---------------- jumps -------------+
//! ```

mod content;

use std::sync::Arc;
use std::time::Instant;

use content::{Decodable, Video};

use crate::limits;
use crate::rtmp::message::{MessageStreamId, Timestamp};
use crate::stream::cursor::{Cursor, Place, StartAt};
use crate::stream::flv::{FlvLogs, Framing};
use crate::stream::headers::Headers;
use crate::stream::log::{StreamLog, SyncPoint, Times};
use crate::worker::ids::ConnId;
use crate::worker::session::Form;

/// Someone who plays the stream, or will when it begins.
#[derive(Debug)]
pub(in crate::worker) struct Player {
    conn: ConnId,
    msid: MessageStreamId,
    cursor: Cursor,
    /// The client has been told that playing begins.
    started: bool,
    /// It has been sent headers once.
    has_headers: bool,
    /// The client asked for NetStream.Play.Reset.
    reset: bool,
    audio: bool,
    /// It has turned sound on while it was paused.
    lacks_audio_headers: bool,
    video: Video,
    /// What it can decode, while that may not be all tracks of the stream.
    decodable: Option<Box<Decodable>>,
    /// The headers it was sent when it started without pictures.
    start_headers: Option<Arc<Headers>>,
    /// Since when skips are counted, and how many there were.
    skips: Option<(Instant, usize)>,
    form: Form,
    /// It is a relay, which gets what is for servers too.
    is_relay: bool,
    /// How far a player by HTTP is on its way to the header of its file.
    flv_start: FlvStart,
    /// It is counted among those of its stream by the relays it has come through.
    is_counted: bool,
    clock: Clock,
    /// The client has paused what it comes over from: it begins when the client reads on.
    starts_paused: bool,
}

/// How the time of a player follows from that of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    /// This is added to the timestamps. It is not 0 when the player has come over from another
    /// stream, and its time goes on.
    Shifted(u32),
    /// The player is to come over from a stream that has ended: the times of its last messages.
    Follows(Times),
}

/// The header of a file says which kinds of media come: it is written when that is known, or after
/// a short wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum FlvStart {
    /// The player has no place in the log yet.
    #[default]
    Unplaced,
    /// It has one, and no media has come.
    NoMedia,
    /// One kind of media has come.
    OneKind,
}

/// How it comes, and who it is.
impl Player {
    /// A player on message stream `msid` of connection `conn` that starts at `cursor`.
    pub(in crate::worker) fn new(
        conn: ConnId,
        msid: MessageStreamId,
        form: Form,
        cursor: Cursor,
    ) -> Self {
        Self {
            conn,
            msid,
            cursor,
            started: false,
            has_headers: false,
            reset: false,
            audio: true,
            lacks_audio_headers: false,
            video: Video::On,
            decodable: None,
            start_headers: None,
            skips: None,
            form,
            is_relay: false,
            flv_start: FlvStart::Unplaced,
            is_counted: false,
            clock: Clock::Shifted(0),
            starts_paused: false,
        }
    }

    /// That of a client that has asked for NetStream.Play.Reset, or not, and is a relay, or not.
    pub(in crate::worker) fn of_client(self, reset: bool, is_relay: bool) -> Self {
        Self {
            reset,
            is_relay,
            ..self
        }
    }

    /// It is to come over from another stream, paused if it is paused there: at the next sync
    /// point, as the picture it has goes on. It has had metadata.
    pub(in crate::worker) fn of_switch(self, log: &StreamLog, is_paused: bool) -> Self {
        Self {
            cursor: Cursor::new(log, StartAt::NextSync),
            has_headers: true,
            starts_paused: is_paused,
            ..self
        }
    }

    /// It has come in place of `former`, which had not begun.
    pub(in crate::worker) fn take_place_of(&mut self, former: &Self) {
        (self.audio, self.video) = (former.audio, former.video);
        self.clock = former.clock;
        self.starts_paused |= former.starts_paused;
    }

    /// Its connection.
    pub(in crate::worker) fn conn(&self) -> ConnId {
        self.conn
    }

    /// The message stream of its connection that it plays on.
    pub(in crate::worker) fn msid(&self) -> MessageStreamId {
        self.msid
    }

    /// In what form it gets messages.
    pub(in crate::worker) fn form(&self) -> Form {
        self.form
    }

    /// Whether it plays by HTTP or WebSocket.
    pub(in crate::worker) fn is_by_http(&self) -> bool {
        matches!(self.form, Form::Flv(_))
    }

    /// Whether the client asked for NetStream.Play.Reset.
    pub(in crate::worker) fn is_reset(&self) -> bool {
        self.reset
    }

    /// Whether it is a relay that plays for its own players.
    pub(in crate::worker) fn is_relay(&self) -> bool {
        self.is_relay
    }

    /// Whether it hands the stream on.
    pub(in crate::worker) fn is_server(&self) -> bool {
        self.is_relay || self.form == Form::Publish
    }

    /// It is counted among those of its stream by the relays it has come through, or not.
    pub(in crate::worker) fn set_counted(&mut self, is_counted: bool) {
        self.is_counted = is_counted;
    }

    /// Whether it is counted like that.
    pub(in crate::worker) fn is_counted(&self) -> bool {
        self.is_counted
    }
}

/// How it begins.
impl Player {
    /// The client is told that playing begins.
    pub(in crate::worker) fn start(&mut self) {
        self.started = true;
    }

    /// Whether the client has been told that playing begins.
    pub(in crate::worker) fn is_started(&self) -> bool {
        self.started
    }

    /// Its log is another one from now on: it starts where it would if it came now.
    pub(in crate::worker) fn place(&mut self, log: &StreamLog, start: StartAt) {
        self.cursor = Cursor::new(log, start);
        self.flv_start = FlvStart::Unplaced;
    }

    /// It was there before the first message: it gets everything, so also the sound that some
    /// encoders send ahead of their first picture.
    pub(in crate::worker) fn take_all(&mut self) {
        self.cursor = Cursor::at(0);
        self.has_headers = true;
    }

    /// What the log of a player by HTTP is made of, before it has a place in that.
    pub(in crate::worker) fn unplaced_framing(&self) -> Option<Framing> {
        match (self.form, self.flv_start) {
            (Form::Flv(framing), FlvStart::Unplaced) => Some(framing),
            _ => None,
        }
    }

    /// A player by HTTP has to wait until it is known which kinds of media come, of which one has
    /// come or none. Whether it waits anew for that.
    pub(in crate::worker) fn await_kinds(&mut self, has_one: bool) -> bool {
        let start = match has_one {
            true => FlvStart::OneKind,
            false => FlvStart::NoMedia,
        };
        let is_new = self.flv_start != start && self.flv_start != FlvStart::OneKind;
        if is_new {
            self.flv_start = start;
        }
        is_new
    }

    /// Whether it waits for that.
    pub(in crate::worker) fn awaits_kinds(&self) -> bool {
        !self.started && self.flv_start != FlvStart::Unplaced
    }
}

/// Where it stands.
impl Player {
    /// Its log: that of chunks, unless there is one of tags for players of its form.
    pub(in crate::worker) fn log<'a>(&self, log: &'a StreamLog, flv: &'a FlvLogs) -> &'a StreamLog {
        match self.form {
            Form::Play | Form::Publish => log,
            Form::Flv(framing) => flv.of(framing).unwrap_or(log),
        }
    }

    /// Where it reads on, if it does, see [`Cursor::settle`]. It starts there at a sync point.
    pub(in crate::worker) fn settle(&mut self, log: &StreamLog, lag_bytes: u64) -> Place {
        let place = self.cursor.settle(log, lag_bytes);
        if let Place::Start { sync, .. } = &place {
            self.start_at(log, sync);
        }
        place
    }

    /// It is sent headers; whether they are its first.
    pub(in crate::worker) fn note_headers(&mut self) -> bool {
        !std::mem::replace(&mut self.has_headers, true)
    }

    /// The bytes of its log up to `offset`, a message boundary, are on their way.
    pub(in crate::worker) fn advance_to(&mut self, offset: u64) {
        self.cursor.advance_to(offset);
    }

    /// First byte of its log that it still needs; `None` when it needs none.
    pub(in crate::worker) fn needs_from(&self) -> Option<u64> {
        self.cursor.needs_from()
    }

    /// Whether it reads on, and has not been sent all that `log` shows.
    pub(in crate::worker) fn is_behind(&self, log: &StreamLog) -> bool {
        self.needs_from().is_some_and(|from| from < log.visible())
    }

    /// It skips at `now`; how often it has within [`limits::SKIPS_TIME`].
    pub(in crate::worker) fn count_skip(&mut self, now: Instant) -> usize {
        let counted = self
            .skips
            .filter(|(since, _)| now.saturating_duration_since(*since) < limits::SKIPS_TIME);
        let (since, count) = counted.unwrap_or((now, 0));
        self.skips = Some((since, count + 1));
        count + 1
    }

    /// It reads nothing until it is resumed.
    pub(in crate::worker) fn pause(&mut self) {
        self.cursor.pause();
    }

    /// It reads on where it stood, or, if it is too far behind, where it may start next.
    pub(in crate::worker) fn resume(&mut self, log: &StreamLog, lag_bytes: u64) {
        self.cursor.resume(log, lag_bytes);
    }

    /// Whether it is paused.
    pub(in crate::worker) fn is_paused(&self) -> bool {
        self.cursor.is_paused()
    }

    /// It starts at the sync point at or before `time` on its own timeline; `None` when the log
    /// does not reach back there.
    pub(in crate::worker) fn seek(
        &mut self,
        log: &StreamLog,
        time: Timestamp,
    ) -> Option<SyncPoint> {
        let sought = Timestamp(time.0.wrapping_sub(self.shift()));
        let sync = self.cursor.seek(log, sought)?;
        self.start_at(log, &sync);
        Some(sync)
    }

    /// A copy, to look ahead with.
    #[cfg(test)]
    pub(in crate::worker) fn cursor(&self) -> Cursor {
        self.cursor
    }
}

/// On which timeline it is, and how that goes on where it comes over from another stream.
impl Player {
    /// What is added to the timestamps of its stream.
    pub(in crate::worker) fn shift(&self) -> u32 {
        match self.clock {
            Clock::Shifted(by) => by,
            Clock::Follows(_) => 0,
        }
    }

    /// The times of the last messages that it was sent, on its own timeline.
    pub(in crate::worker) fn last_times(&self, log: &StreamLog) -> Option<Times> {
        let times = log.times_before(self.cursor.position()?)?;
        Some(times.plus(self.shift()))
    }

    /// The stream that it is to come over from has ended, with these times.
    pub(in crate::worker) fn follow(&mut self, last: Times) {
        self.clock = Clock::Follows(last);
    }

    /// The client pauses what it is to come over from, or reads on there.
    pub(in crate::worker) fn pause_start(&mut self, is_paused: bool) {
        self.starts_paused = is_paused;
    }

    /// It comes over here, where the stream `begins` for it: its time goes on from the `last` times
    /// of the other stream, or of one that has ended. Where that was paused it begins when the
    /// client reads on.
    pub(in crate::worker) fn come_over(
        &mut self,
        begins: &Times,
        last: Option<Times>,
        log: &StreamLog,
    ) {
        let followed = match self.clock {
            Clock::Follows(last) => Some(last),
            Clock::Shifted(_) => None,
        };
        if let Some(last) = last.or(followed) {
            self.clock = Clock::Shifted(begins.shift_after(&last));
        }
        if std::mem::take(&mut self.starts_paused) {
            self.cursor = Cursor::paused(log);
        }
    }
}
