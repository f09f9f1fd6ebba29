//! Someone who plays a stream.

use std::sync::Arc;
use std::time::Instant;

use crate::limits::{self, PICTURES_WAIT};
use crate::rtmp::media::TrackSet;
use crate::rtmp::message::{MessageStreamId, Timestamp};
use crate::stream::cursor::Cursor;
use crate::stream::flv::FlvLogs;
use crate::stream::headers::Headers;
use crate::stream::log::{Frame, Picture, StreamLog, Times};
use crate::worker::ids::ConnId;
use crate::worker::session::Form;

/// Someone who plays the stream, or will when it begins.
#[derive(Debug)]
pub(in crate::worker) struct Player {
    /// Slab key of the connection.
    pub(in crate::worker) conn: ConnId,
    pub(in crate::worker) msid: MessageStreamId,
    pub(in crate::worker) cursor: Cursor,
    /// The client has been told that playing begins.
    pub(in crate::worker) started: bool,
    /// It has been sent headers once.
    pub(in crate::worker) has_headers: bool,
    /// The client asked for NetStream.Play.Reset.
    pub(in crate::worker) reset: bool,
    pub(in crate::worker) audio: bool,
    /// It has turned sound on while it was paused.
    pub(in crate::worker) lacks_audio_headers: bool,
    pub(in crate::worker) video: Video,
    /// What it can decode, while that may not be all tracks of the stream.
    pub(in crate::worker) decodable: Option<Box<Decodable>>,
    /// The headers it was sent when it started without pictures.
    pub(in crate::worker) start_headers: Option<Arc<Headers>>,
    /// Since when skips are counted, and how many there were.
    pub(in crate::worker) skips: Option<(Instant, usize)>,
    pub(in crate::worker) form: Form,
    /// It is a relay, which gets what is for servers too.
    pub(in crate::worker) is_relay: bool,
    /// How far a player by HTTP is on its way to the header of its file.
    pub(in crate::worker) flv_start: FlvStart,
    /// It is counted among those of its stream by the relays it has come through.
    pub(in crate::worker) is_counted: bool,
    pub(in crate::worker) clock: Clock,
    /// The client has paused what it comes over from, see
    /// [`complete_switch`](crate::worker::core::Core::complete_switch).
    pub(in crate::worker) starts_paused: bool,
}

/// How the time of a player follows from that of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::worker) enum Clock {
    /// This is added to the timestamps. It is not 0 when the player has come over from another
    /// stream, and its time goes on.
    Shifted(u32),
    /// The player is to come over from a stream that has ended: the times of its last messages.
    Follows(Times),
}

/// The header of a file says which kinds of media come: it is written when that is known, or after
/// a short wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::worker) enum FlvStart {
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
pub(in crate::worker) struct Decodable {
    /// Where it started.
    time: Timestamp,
    tracks: TrackSet,
}

/// Whether a player receives video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::worker) enum Video {
    On,
    Off,
    /// Wanted: from their next sync point on.
    AtSync,
}

impl Video {
    /// The player starts, at a sync point or without one.
    pub(in crate::worker) fn start(&mut self, without_pictures: bool) {
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
pub(in crate::worker) fn log_for<'a>(
    log: &'a StreamLog,
    flv: &'a FlvLogs,
    form: Form,
) -> &'a StreamLog {
    match form {
        Form::Play | Form::Publish => log,
        Form::Flv(framing) => flv.of(framing).unwrap_or(log),
    }
}

impl Player {
    pub(in crate::worker) fn new(
        conn: ConnId,
        msid: MessageStreamId,
        reset: bool,
        cursor: Cursor,
    ) -> Self {
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
    pub(in crate::worker) fn shift(&self) -> u32 {
        match self.clock {
            Clock::Shifted(by) => by,
            Clock::Follows(_) => 0,
        }
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

    /// Pictures go to it from `time` on, where it starts: those of each track from the key frame of
    /// that track on.
    pub(in crate::worker) fn await_key_frames(&mut self, log: &StreamLog, time: Timestamp) {
        let tracks = TrackSet::default();
        let decodable = || Box::new(Decodable { time, tracks });
        self.decodable = log.tracks().map(|_| decodable());
    }

    /// Whether it can decode a video message, which is the next in the log.
    pub(in crate::worker) fn can_decode(&mut self, frame: &Frame) -> bool {
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
    pub(in crate::worker) fn note_tracks(&mut self, log: &StreamLog) {
        let is_left = |decodable: &Decodable| {
            let tracks = log.tracks();
            tracks.is_some_and(|tracks| !tracks.without(&decodable.tracks).is_empty())
        };
        self.decodable = self.decodable.take().filter(|its| is_left(its));
    }

    /// Whether it hands the stream on.
    pub(in crate::worker) fn is_server(&self) -> bool {
        self.is_relay || self.form == Form::Publish
    }

    /// Whether the player takes the log as it is.
    pub(in crate::worker) fn is_plain(&self) -> bool {
        self.msid == crate::stream::log::MSID
            && self.shift() == 0
            && self.audio
            && self.video == Video::On
            && self.decodable.is_none()
            && self.form != Form::Publish
    }
}
