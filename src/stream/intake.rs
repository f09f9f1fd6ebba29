//! From a published message to the log: what it is, whether a player may start at it, which
//! headers it changes, and what its time is on the stream's own timeline.
//!
//! Nothing is decoded and nothing is refused: what is not understood is relayed as it came.

use std::sync::Arc;
// A length of time; there is no clock here.
use core::time::Duration;

use smallvec::SmallVec;

use super::block::BlockPool;
use super::content::describes;
use super::headers::{HeaderKind, Headers};
use super::log::{FOR_SERVERS, StreamLog};
use super::metadata;
use super::pictures::{Fate, Pictures};
use super::timeline::{Timeline, Track, before_all};
use crate::limits;
use crate::limits::bucket::Bucket;
use crate::rtmp::amf0::{Decoder, Limits, strip_amf3_prefix};
use crate::rtmp::media::{
    Codec, FrameKind, Inspection, TrackSet, codecs_of_tracks, inspect_audio, inspect_video,
    needs_whole_audio, needs_whole_video,
};
use crate::rtmp::message::{HEAD_BYTES, Message, Payload, Timestamp, kind};

/// See the module text.
#[derive(Debug, Default)]
pub struct Intake {
    headers: Arc<Headers>,
    /// `None` while nothing but headers has come, and where the stream comes from another worker.
    flow: Option<Box<Flow>>,
    /// The newest time of the headers that have come while there is none.
    newest_header: Option<Timestamp>,
    video: Option<Codec>,
    audio: Option<Codec>,
    codecs: TrackCodecs,
    counted: Counted,
    /// When the last key frame came, if any did.
    last_key: Option<Timestamp>,
    /// The time since the worker began, as it was last told.
    now: Duration,
    changes: Bucket,
    /// Headers that were not kept since somebody asked.
    unkept: u64,
}

/// What the messages of a stream say of its time and its pictures.
#[derive(Debug, Default)]
struct Flow {
    timeline: Timeline,
    pictures: Pictures,
}

/// What was published, since the stream began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Messages that went into the log.
    pub messages: u64,
    /// Coded pictures.
    pub video_frames: u64,
    /// Coded audio.
    pub audio_frames: u64,
    /// Pictures that a player may start at.
    pub key_frames: u64,
    /// The time between the last two of them, in milliseconds of the stream.
    pub key_interval_ms: Option<u32>,
}

impl Intake {
    /// A publisher begins, the first or the next one. `elapsed_ms`: how long the stream has been
    /// without one; the time of its players goes on from there.
    pub fn begin_publish(&mut self, log: &mut StreamLog, elapsed_ms: u32) {
        self.headers = Arc::default();
        log.set_headers(self.headers.clone());
        // It does not answer for what the one before sent, nor pay for it.
        self.changes = Bucket::default();
        self.unkept = 0;
        self.last_key = None;
        self.video = None;
        self.audio = None;
        self.codecs = TrackCodecs::default();
        if let Some(flow) = &mut self.flow {
            flow.pictures = Pictures::default();
        }
        let last = log.latest_timestamp();
        if self.flow.is_some() || last.is_some() {
            self.flow().timeline.begin(last, elapsed_ms);
        }
    }

    /// The publisher that has begun is a relay, which has held back the pictures that nobody can
    /// decode: they are not held for as long once more.
    pub fn take_pictures_as_held(&mut self) {
        self.flow().pictures = Pictures::of_relay();
    }

    /// The publisher that has begun is an origin, which sends at once what it keeps.
    pub fn follow_origin(&mut self) {
        self.flow().timeline.follow_origin();
    }

    /// The time from now on, counted from any moment that stays the same.
    pub fn set_now(&mut self, now: Duration) {
        self.now = now;
    }

    /// How many headers came too fast to be kept since the last call.
    pub fn take_unkept(&mut self) -> u64 {
        std::mem::take(&mut self.unkept)
    }

    /// The video codec, once known.
    pub fn video(&self) -> Option<Codec> {
        self.video
    }

    /// The audio codec, once known.
    pub fn audio(&self) -> Option<Codec> {
        self.audio
    }

    /// What was published since the stream began.
    pub fn counted(&self) -> &Counted {
        &self.counted
    }

    /// Bytes of memory behind it, but for headers that logs share.
    pub fn memory_bytes(&self) -> usize {
        self.flow.as_ref().map_or(0, |flow| size_of_val(&**flow))
    }

    /// Another life of the stream begins: it counts from 0.
    pub fn count_anew(&mut self) {
        self.counted = Counted::default();
    }

    /// Puts a message of the publisher into the log. Kinds other than audio, video and data are
    /// left out. `scratch` is used when a body has to be in one piece.
    pub fn take(
        &mut self,
        log: &mut StreamLog,
        pool: &mut BlockPool,
        scratch: &mut Vec<u8>,
        message: &Message<'_>,
    ) {
        let Message { header, payload } = message;
        match header.kind {
            kind::VIDEO => self.take_video(log, pool, scratch, header.timestamp, payload),
            kind::AUDIO => self.take_audio(log, pool, scratch, header.timestamp, payload),
            kind::DATA | kind::DATA_AMF3 => {
                let body = payload.contiguous(scratch);
                self.take_data(log, pool, header.kind, header.timestamp, body);
            }
            _ => {}
        }
    }

    fn take_video(
        &mut self,
        log: &mut StreamLog,
        pool: &mut BlockPool,
        scratch: &mut Vec<u8>,
        time: Timestamp,
        payload: &Payload<'_>,
    ) {
        let mut head_scratch = [0; HEAD_BYTES];
        let mut head = payload.head(&mut head_scratch);
        if needs_whole_video(head) {
            head = payload.contiguous(scratch);
        }
        let seen = inspect_video(head, payload.len());
        self.video = seen.codec.or(self.video);
        self.note_codecs(log, kind::VIDEO, &seen, head);
        let (time, fate) = if seen.kind.is_coded() {
            self.counted.video_frames += 1;
            let now = self.now;
            let flow = self.flow();
            let time = flow.timeline.map_coded(Track::Pictures, time, now);
            let has_start = log.has_picture_start();
            (time, flow.pictures.judge(&seen, time, has_start, now))
        } else {
            (self.map_header(Track::Pictures, time), Fate::Relayed)
        };
        match fate {
            Fate::Held => return,
            Fate::KeyFrame => self.count_key(time),
            Fate::Start | Fate::Relayed => {}
        }
        self.counted.messages += 1;
        log.append_picture(pool, (time, fate != Fate::Relayed), &seen, payload);
        let header = match seen.kind {
            FrameKind::SequenceHeader => HeaderKind::VideoSequence,
            FrameKind::Metadata => HeaderKind::VideoMetadata,
            _ => return,
        };
        self.keep(log, header, kind::VIDEO, seen.tracks, payload);
    }

    /// What is kept of the stream's time and pictures. It needs no time of the headers before it,
    /// which tell nothing about the clock of the media.
    fn flow(&mut self) -> &mut Flow {
        self.flow.get_or_insert_default()
    }

    /// The time players see for a message that is not coded media.
    fn map_header(&mut self, track: Track, time: Timestamp) -> Timestamp {
        match &mut self.flow {
            None => before_all(&mut self.newest_header, time),
            Some(flow) => flow.timeline.map_header(track, time, self.now),
        }
    }

    fn count_key(&mut self, time: Timestamp) {
        self.counted.key_frames += 1;
        let since = self.last_key.replace(time).map(|last| time.since(last));
        let interval = since.and_then(|ms| u32::try_from(ms).ok());
        self.counted.key_interval_ms = interval.or(self.counted.key_interval_ms);
    }

    fn take_audio(
        &mut self,
        log: &mut StreamLog,
        pool: &mut BlockPool,
        scratch: &mut Vec<u8>,
        time: Timestamp,
        payload: &Payload<'_>,
    ) {
        let mut head_scratch = [0; HEAD_BYTES];
        let mut head = payload.head(&mut head_scratch);
        if needs_whole_audio(head) {
            head = payload.contiguous(scratch);
        }
        let seen = inspect_audio(head, payload.len());
        self.audio = seen.codec.or(self.audio);
        self.note_codecs(log, kind::AUDIO, &seen, head);
        let is_coded = seen.kind.is_coded();
        let (time, sync) = if is_coded {
            let now = self.now;
            let flow = self.flow();
            let time = flow.timeline.map_coded(Track::Sound, time, now);
            (time, flow.pictures.sound_is_start(now))
        } else {
            (self.map_header(Track::Sound, time), false)
        };
        self.counted.messages += 1;
        self.counted.audio_frames += u64::from(is_coded);
        log.append(pool, kind::AUDIO, time, sync, payload);
        let header = match seen.kind {
            FrameKind::SequenceHeader => HeaderKind::AudioSequence,
            FrameKind::ChannelConfig => HeaderKind::AudioChannels,
            _ => return,
        };
        self.keep(log, header, kind::AUDIO, seen.tracks, payload);
    }

    fn take_data(
        &mut self,
        log: &mut StreamLog,
        pool: &mut BlockPool,
        message_kind: u8,
        time: Timestamp,
        body: &[u8],
    ) {
        // Data labelled AMF3 carries AMF0 in practice and is relayed as what it is.
        let body = if message_kind == kind::DATA_AMF3 {
            strip_amf3_prefix(body)
        } else {
            body
        };
        let mut decoder = Decoder::new(body, Limits::DEFAULT);
        let mut is_kept = false;
        let (handler, body) = match name(&mut decoder) {
            Some(b"@setDataFrame") => {
                is_kept = true;
                let body = decoder.rest();
                (name(&mut decoder), body)
            }
            // Servers that the stream goes on to keep the same.
            Some(b"@clearDataFrame") => {
                self.force(log, self.headers.without_data(name(&mut decoder)));
                let time = self.map_data(time, false);
                self.counted.messages += 1;
                log.append(pool, FOR_SERVERS, time, false, &Payload::from_slice(body));
                return;
            }
            other => (other, body),
        };
        if body.is_empty() {
            return;
        }
        let header = match (handler, is_kept) {
            (Some(b"onMetaData"), _) => Some(HeaderKind::Metadata),
            (Some(_), true) => Some(HeaderKind::DataFrame),
            _ => None,
        };
        let shortened = match header {
            Some(HeaderKind::Metadata) => self.shortened(body),
            _ => None,
        };
        let payload = Payload::from_slice(shortened.as_deref().unwrap_or(body));
        let is_timed = handler.is_none_or(|handler| !describes(handler));
        let time = self.map_data(time, is_timed);
        self.counted.messages += 1;
        log.append(pool, kind::DATA, time, false, &payload);
        if let Some(header) = header {
            self.keep(log, header, kind::DATA, TrackSet::DEFAULT, &payload);
        }
    }

    /// The time players see for data, which is about a moment of the stream or not.
    fn map_data(&mut self, time: Timestamp, is_timed: bool) -> Timestamp {
        match &mut self.flow {
            None if !is_timed => before_all(&mut self.newest_header, time),
            _ => {
                let now = self.now;
                self.flow().timeline.map_data(time, is_timed, now)
            }
        }
    }

    /// Metadata that is too long to be kept, without the index that makes it so.
    fn shortened(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        if body.len() <= limits::SEQUENCE_HEADER_BYTES_MAX {
            return None;
        }
        // It takes as long as a change.
        if !self.changes.take(limits::HEADER_CHANGES, self.now) {
            self.unkept += 1;
            return None;
        }
        metadata::without_index(body)
    }

    /// Drops the headers of tracks that have another codec from now on.
    fn note_codecs(
        &mut self,
        log: &mut StreamLog,
        message_kind: u8,
        seen: &Inspection,
        head: &[u8],
    ) {
        let (Some(codec), true) = (seen.codec, needs_codec(seen)) else {
            return;
        };
        if seen.tracks == TrackSet::DEFAULT && self.codecs.has((message_kind, 0), codec) {
            return;
        }
        let mut changed = TrackSet::default();
        let mut note = |track, codec| {
            if self.codecs.set((message_kind, track), codec) {
                changed.insert(track);
            }
        };
        if seen.tracks == TrackSet::DEFAULT {
            note(0, codec);
        } else {
            let mut of_their_own = codecs_of_tracks(message_kind, head).peekable();
            if of_their_own.peek().is_none() {
                seen.tracks.iter().for_each(|track| note(track, codec));
            }
            of_their_own.for_each(|(track, codec)| note(track, codec));
        }
        if !changed.is_empty() {
            self.force(log, self.headers.without_tracks(message_kind, &changed));
        }
    }

    /// Keeps a header for players that come later, unless it is in force already or headers
    /// change too often.
    fn keep(
        &mut self,
        log: &mut StreamLog,
        header: HeaderKind,
        message_kind: u8,
        tracks: TrackSet,
        payload: &Payload<'_>,
    ) {
        if self.headers.contains(header, &tracks, payload) {
            return;
        }
        let with = if self.changes.take(limits::HEADER_CHANGES, self.now) {
            self.headers.with(header, message_kind, tracks, payload)
        } else {
            self.unkept += 1;
            None
        };
        // What it replaces is no longer true, whether it is kept or not.
        let headers = with.unwrap_or_else(|| self.headers.without(header, &tracks, payload));
        self.force(log, headers);
    }

    /// These headers are in force from now on.
    fn force(&mut self, log: &mut StreamLog, headers: Headers) {
        let is_change = !headers.is_same_for_players(&self.headers);
        self.headers = Arc::new(headers);
        if is_change {
            log.set_headers(self.headers.clone());
        }
    }
}

/// The codec of each track, by the kind of its messages and its number.
#[derive(Debug, Default)]
struct TrackCodecs(SmallVec<[((u8, u8), Codec); 2]>);

impl TrackCodecs {
    /// Whether a track is known to have this codec.
    fn has(&self, track: (u8, u8), codec: Codec) -> bool {
        self.0.contains(&(track, codec))
    }

    /// Writes down the codec of a track; whether it had another one before.
    fn set(&mut self, track: (u8, u8), codec: Codec) -> bool {
        match self.0.iter_mut().find(|(known, _)| *known == track) {
            Some((_, known)) => std::mem::replace(known, codec) != codec,
            None => {
                self.0.push((track, codec));
                false
            }
        }
    }
}

/// Whether a decoder needs the codec that a message names.
fn needs_codec(seen: &Inspection) -> bool {
    matches!(
        seen.kind,
        FrameKind::Keyframe
            | FrameKind::Inter
            | FrameKind::Disposable
            | FrameKind::Audio
            | FrameKind::SequenceHeader
            | FrameKind::ChannelConfig
            | FrameKind::Metadata
    )
}

/// The next value of a data message, when it is a string.
fn name<'a>(decoder: &mut Decoder<'a>) -> Option<&'a [u8]> {
    decoder.next().ok().flatten()?.as_bytes()
}

#[cfg(test)]
mod tests;
