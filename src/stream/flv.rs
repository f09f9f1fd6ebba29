//! A live stream as FLV: a second log of the same kind, whose messages are tags instead of chunks.
//! It is made of the first as that grows, once for all who read it, and only while somebody does.
//! Video File Format Specification Version 10.1, Annex E.2 to E.4.
//!
//! ```text
//!   chunks  | header | payload | header | payload |       as players by RTMP get it
//!              \_________|________________|
//!   tags    [ frame header ] | tag header | payload | length |
//! ```
//!
//! Bodies are the same in both, those of Enhanced RTMP too. Over WebSocket each tag is a message,
//! so that a log of its own is kept for that.

// A length of time; there is no clock here.
use core::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;

use super::block::BlockPool;
use super::headers::{HeaderTimes, Headers};
use super::log::{FOR_SERVERS, Frame, LogLimits, StreamLog};
use crate::http::websocket::{self, opcode};
use crate::rtmp::media::{inspect_audio, inspect_video};
use crate::rtmp::message::{HEAD_BYTES, Timestamp, kind};
use crate::rtmp::writer::Sink;

/// What goes around a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Nothing: a file.
    Plain,
    /// A frame of WebSocket.
    WebSocket,
}

/// Bytes of a tag before its body, E.4.1.
const TAG_HEADER_BYTES: usize = 11;

/// Bytes of the length behind a tag, E.3.
const TAG_LENGTH_BYTES: usize = 4;

/// The header of a file with these kinds of tags, and the length before its first tag, E.2 and
/// E.3.
pub fn file_header(has_audio: bool, has_video: bool) -> [u8; 13] {
    let flags = u8::from(has_audio) << 2 | u8::from(has_video);
    [b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0]
}

/// Writes one tag. `body` has `len` bytes, fewer than 2^24.
fn write_tag<'a>(
    sink: &mut impl Sink,
    framing: Framing,
    (kind, time): (u8, Timestamp),
    len: usize,
    body: impl Iterator<Item = &'a [u8]>,
) {
    let whole = TAG_HEADER_BYTES + len + TAG_LENGTH_BYTES;
    if framing == Framing::WebSocket {
        let (header, bytes) = websocket::frame_header(opcode::BINARY, whole);
        sink.put(&header[..bytes]);
    }
    let [_, len @ ..] = low_32(len);
    let [highest, time @ ..] = time.0.to_be_bytes();
    let mut header = [0; TAG_HEADER_BYTES];
    header[0] = kind;
    header[1..4].copy_from_slice(&len);
    header[4..7].copy_from_slice(&time);
    header[7] = highest;
    sink.put(&header);
    for piece in body {
        sink.put(piece);
    }
    sink.put(&low_32(whole - TAG_LENGTH_BYTES));
}

fn low_32(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes()
}

/// Writes headers as tags; see [`Headers::write`].
pub fn write_headers(headers: &Headers, out: &mut Vec<u8>, framing: Framing, at: HeaderTimes) {
    for (kind, time, payload) in headers.in_order(at) {
        let body = std::iter::once(payload);
        write_tag(out, framing, (kind, time), payload.len(), body);
    }
}

/// The logs of one stream that are made for who reads it by HTTP.
#[derive(Debug, Default)]
pub struct FlvLogs {
    plain: Option<Box<FlvLog>>,
    websocket: Option<Box<FlvLog>>,
}

/// See the module text.
#[derive(Debug)]
struct FlvLog {
    log: StreamLog,
    /// How far the log of chunks has been taken, ...
    taken: u64,
    /// ... and how many header changes of it.
    changes: u64,
}

impl FlvLogs {
    /// The log with this framing, if there is one.
    pub fn of(&self, framing: Framing) -> Option<&StreamLog> {
        let log = match framing {
            Framing::Plain => &self.plain,
            Framing::WebSocket => &self.websocket,
        };
        log.as_ref().map(|flv| &flv.log)
    }

    /// Makes the log with this framing if there is none: from the newest sync point of `source`
    /// on, or else from its end on. It has taken all of `source` that is visible then.
    pub fn open(
        &mut self,
        framing: Framing,
        source: &StreamLog,
        limits: LogLimits,
        pool: &mut BlockPool,
    ) -> &StreamLog {
        let slot = self.slot(framing);
        let flv = slot.get_or_insert_with(|| Box::new(FlvLog::new(source, limits)));
        flv.follow(source, framing, limits, pool);
        &flv.log
    }

    /// Takes what has become visible in `source`.
    pub fn follow(&mut self, source: &StreamLog, limits: LogLimits, pool: &mut BlockPool) {
        for framing in [Framing::Plain, Framing::WebSocket] {
            if let Some(flv) = self.slot(framing) {
                flv.follow(source, framing, limits, pool);
            }
        }
    }

    /// Frees what lies before every reader's need; see [`StreamLog::trim`]. A log without
    /// readers is freed altogether.
    pub fn trim(
        &mut self,
        pool: &mut BlockPool,
        now: Duration,
        readers_min: impl Fn(Framing) -> Option<u64>,
    ) {
        for framing in [Framing::Plain, Framing::WebSocket] {
            let slot = self.slot(framing);
            match (slot.as_mut(), readers_min(framing)) {
                (Some(flv), Some(min)) => flv.log.trim(pool, min, now),
                (Some(_), None) => {
                    if let Some(flv) = slot.take() {
                        flv.log.recycle(pool);
                    }
                }
                (None, _) => {}
            }
        }
    }

    /// Those there are.
    pub fn iter(&self) -> impl Iterator<Item = &StreamLog> {
        [&self.plain, &self.websocket]
            .into_iter()
            .flatten()
            .map(|flv| &flv.log)
    }

    /// Gives all memory back.
    pub fn recycle(&mut self, pool: &mut BlockPool) {
        self.trim(pool, Duration::ZERO, |_| None);
    }

    fn slot(&mut self, framing: Framing) -> &mut Option<Box<FlvLog>> {
        match framing {
            Framing::Plain => &mut self.plain,
            Framing::WebSocket => &mut self.websocket,
        }
    }
}

impl FlvLog {
    fn new(source: &StreamLog, limits: LogLimits) -> Self {
        let mut flv = Self {
            log: StreamLog::new(without_window(limits)),
            taken: 0,
            changes: 0,
        };
        flv.begin(source);
        flv
    }

    /// Goes on with the newest group of pictures of `source`.
    fn begin(&mut self, source: &StreamLog) {
        let sync = source.newest_sync();
        self.taken = match &sync {
            Some(sync) => sync.offset,
            None => source.visible(),
        };
        self.changes = source.header_changes() - source.headers_after(self.taken);
        self.log.set_headers(source.headers_at(self.taken));
    }

    fn follow(
        &mut self,
        source: &StreamLog,
        framing: Framing,
        limits: LogLimits,
        pool: &mut BlockPool,
    ) {
        if self.taken < source.base() || self.taken > source.visible() {
            // What lies between is lost: readers go on as those who were too slow.
            let beyond = self.log.end() + 1;
            let new = StreamLog::beginning_at(without_window(limits), beyond);
            std::mem::replace(&mut self.log, new).recycle(pool);
            self.begin(source);
        }
        let mut changes = source.headers_since(self.changes).peekable();
        for (start, frame) in source.frames_from(self.taken) {
            while let Some((_, headers)) = changes.next_if(|(from, _)| *from <= start) {
                self.changes += 1;
                self.log.set_headers(headers.clone());
            }
            if frame.kind == FOR_SERVERS {
                self.taken = frame.end;
                continue;
            }
            let chunks = Chunks::new(source, start, frame);
            let (kind, time) = (frame.kind, frame.timestamp);
            self.log.append_with(pool, frame, |sink| {
                write_tag(sink, framing, (kind, time), chunks.len, chunks.payload());
            });
            self.taken = frame.end;
        }
        self.log.flush();
        // The publisher is away, or has sent no picture to start with for too long.
        self.log.take_starts_of(source);
    }
}

/// Nobody seeks in these logs.
fn without_window(limits: LogLimits) -> LogLimits {
    LogLimits {
        window_ms: 0,
        ..limits
    }
}

/// A message of a log in pieces, and what is needed to tell headers from payload.
struct Chunks {
    pieces: SmallVec<[Bytes; 2]>,
    /// Bytes of the payload.
    len: usize,
    chunk_size: usize,
    first_header: usize,
    next_header: usize,
}

/// Bytes of a type 0 chunk header, RTMP 1.0 §5.3.1.2; all chunk stream ids in a log take one.
const FIRST_HEADER_BYTES: usize = 12;

impl Chunks {
    fn new(log: &StreamLog, start: u64, frame: Frame) -> Self {
        let mut pieces = SmallVec::new();
        log.share(start, frame.end, &mut pieces);
        let extended = if frame.timestamp.0 >= 0xFF_FFFF { 4 } else { 0 };
        let (first_header, next_header) = (FIRST_HEADER_BYTES + extended, 1 + extended);
        let chunk_size = log.chunk_size();
        let all: usize = pieces.iter().map(Bytes::len).sum();
        let behind_first = all.saturating_sub(first_header);
        // Each further chunk is a header and at least one byte.
        let more_chunks = behind_first.saturating_sub(1) / (chunk_size + next_header);
        Self {
            pieces,
            len: behind_first - more_chunks * next_header,
            chunk_size,
            first_header,
            next_header,
        }
    }

    /// The first bytes of the payload.
    fn head(&self) -> SmallVec<[u8; HEAD_BYTES]> {
        let mut head = SmallVec::new();
        let mut pieces = self.payload();
        while head.len() < HEAD_BYTES
            && let Some(piece) = pieces.next()
        {
            let wanted = piece.len().min(HEAD_BYTES - head.len());
            head.extend_from_slice(&piece[..wanted]);
        }
        head
    }

    /// The payload in pieces.
    fn payload(&self) -> impl Iterator<Item = &[u8]> {
        let mut pieces = self.pieces.iter().map(|piece| &piece[..]);
        let mut piece: &[u8] = &[];
        let (mut header, mut room) = (self.first_header, 0);
        std::iter::from_fn(move || {
            loop {
                if piece.is_empty() {
                    piece = pieces.next()?;
                }
                if header > 0 {
                    let skipped = header.min(piece.len());
                    piece = &piece[skipped..];
                    header -= skipped;
                    room = self.chunk_size;
                } else if room == 0 {
                    header = self.next_header;
                } else if !piece.is_empty() {
                    let (now, later) = piece.split_at(room.min(piece.len()));
                    piece = later;
                    room -= now.len();
                    return Some(now);
                }
            }
        })
    }
}

/// Which kinds of coded media come, for the header of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    /// Sound does.
    pub audio: bool,
    /// Pictures do.
    pub video: bool,
    /// Nothing else is to be expected: both come, or one has come alone for `KIND_MS`.
    pub is_certain: bool,
}

/// A kind that has not come for so many milliseconds of the stream is taken as absent.
const KIND_MS: i32 = 1_000;

/// What comes now: what a player begins with, and what came just before. Codec headers alone are
/// no sound and no pictures.
pub fn kinds_in(log: &StreamLog) -> Kinds {
    let mut kinds = Kinds::default();
    let Some(last) = log.last_timestamp() else {
        return kinds;
    };
    let sync = log.newest_sync().map_or(u64::MAX, |sync| sync.offset);
    let before = log.sync_before(Timestamp(last.0.wrapping_sub(KIND_MS.cast_unsigned())));
    let from = before.map_or_else(|| log.base(), |sync| sync.offset);
    let mut first = None;
    for (start, frame) in log.frames_from(from) {
        let age = last.since(frame.timestamp);
        let seen = match frame.kind {
            kind::AUDIO => &mut kinds.audio,
            kind::VIDEO => &mut kinds.video,
            _ => continue,
        };
        if *seen || !is_coded(log, start, frame) {
            continue;
        }
        first.get_or_insert(frame.timestamp);
        *seen = start >= sync || age <= KIND_MS;
        if kinds.audio && kinds.video {
            break;
        }
    }
    let is_long = first.is_some_and(|first: Timestamp| last.since(first) >= KIND_MS);
    kinds.is_certain = kinds.audio && kinds.video || is_long && (kinds.audio || kinds.video);
    kinds
}

/// The kinds to expect of a stream of which nothing more is known in time: those it has, or else
/// those it has headers of, or else none when only timed data has come, or else both.
pub fn kinds_likely_in(log: &StreamLog) -> (bool, bool) {
    let seen = kinds_in(log);
    let headers = log.headers_now().cloned().unwrap_or_default();
    let announced = |kind: u8| !headers.of(kind).is_empty();
    match (seen.audio, seen.video) {
        (false, false) => match (announced(kind::AUDIO), announced(kind::VIDEO)) {
            // The log may not have the data any more.
            (false, false)
                if headers.is_empty() && log.live_edge().is_some() && !has_media(log) =>
            {
                (false, false)
            }
            (false, false) => (true, true),
            announced => announced,
        },
        seen => seen,
    }
}

/// Whether sound or pictures have come, be it a while ago.
fn has_media(log: &StreamLog) -> bool {
    let mut frames = log.frames_from(log.base());
    log.has_pictures() || frames.any(|(_, frame)| matches!(frame.kind, kind::AUDIO | kind::VIDEO))
}

/// Whether a message of audio or video has more than a header, a command or silence.
fn is_coded(log: &StreamLog, start: u64, frame: Frame) -> bool {
    let chunks = Chunks::new(log, start, frame);
    // Of a message with many tracks this may be too little: that counts as coded.
    let head = chunks.head();
    let seen = match frame.kind == kind::VIDEO {
        true => inspect_video(&head, chunks.len),
        false => inspect_audio(&head, chunks.len),
    };
    seen.kind.is_coded()
}

#[cfg(test)]
mod tests;
