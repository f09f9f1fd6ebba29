//! The chunk reader: bytes of the receive ring in, whole messages out. RTMP 1.0 §5.3.
//!
//! It owns no socket buffer. While a call lasts, the payload of a message is a list of ranges of
//! the input, one for each chunk; only what is still incomplete when the input ends is copied
//! out ([`ChunkReader::hold`]), so that the ring is free again. All partial state is kept per
//! chunk stream, so messages may interleave.
//!
//! ```text
//!         +-------------- header decoded ---------------+
//!         v                                             |
//!   [ between chunks ] --bytes--> carry (<= 17 bytes) --+
//!         ^                                             |
//!         |   chunk done, message not      message done | payload bytes
//!         +------------------------ [ inside a chunk ] <+
//! ```
//!
//! Number of chunk streams, message length, and count and bytes of incomplete messages are
//! bounded by [`ReaderLimits`]; no buffer is ever sized by a number from the wire, and what is
//! kept of buffers for reuse is bounded too.

// The length of time alone; `core::time` has no clock to read.
use core::time::Duration;
use std::mem;
use std::ops::Range;

use super::error::ProtocolError;
use super::message::{Message, MessageHeader, Payload, Timestamp, kind};
use crate::limits;

mod whole;

/// The chunk size both sides start with. RTMP 1.0 §5.4.1.
pub const CHUNK_SIZE_INITIAL: usize = 128;

/// The longest chunk header: 3 bytes basic, 11 bytes message, 4 bytes extended timestamp.
const HEADER_BYTES_MAX: usize = 18;

/// The longest first frame in milliseconds that a type 3 chunk after a type 0 may repeat.
const FIRST_DELTA_MAX: u32 = 1_000;

/// A timestamp field with this value says that the extended timestamp follows. §5.3.1.3.
const EXTENDED: u32 = 0xFF_FFFF;

/// What one connection may make the reader hold. Sessions tighten and widen it with the role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderLimits {
    /// Longest video message in bytes.
    pub video_bytes: usize,
    /// Longest audio message in bytes.
    pub audio_bytes: usize,
    /// Longest message of any other kind in bytes.
    pub other_bytes: usize,
    /// Chunk streams that may be in use.
    pub chunk_streams: usize,
    /// Messages that may be incomplete at one time.
    pub partial_messages: usize,
    /// Bytes that all incomplete messages may hold together.
    pub partial_bytes: usize,
    /// Nobody reads audio, video and data yet: they are counted and skipped, not kept.
    pub skip_media: bool,
}

impl ReaderLimits {
    /// Before publish or play is accepted, and for players.
    pub const UNAUTHORISED: Self = Self {
        video_bytes: limits::UNAUTHORISED_MESSAGE_BYTES_MAX,
        audio_bytes: limits::UNAUTHORISED_MESSAGE_BYTES_MAX,
        other_bytes: limits::UNAUTHORISED_MESSAGE_BYTES_MAX,
        chunk_streams: limits::CHUNK_STREAMS_MAX,
        partial_messages: limits::UNAUTHORISED_PARTIAL_MESSAGES_MAX,
        partial_bytes: limits::UNAUTHORISED_PARTIAL_BYTES_MAX,
        skip_media: true,
    };

    /// For an accepted publisher, and for what we play from others.
    pub const PUBLISHER: Self = Self {
        video_bytes: limits::VIDEO_MESSAGE_BYTES_MAX,
        audio_bytes: limits::AUDIO_MESSAGE_BYTES_MAX,
        other_bytes: limits::OTHER_MESSAGE_BYTES_MAX,
        chunk_streams: limits::CHUNK_STREAMS_MAX,
        partial_messages: limits::PARTIAL_MESSAGES_MAX,
        partial_bytes: limits::PARTIAL_BYTES_MAX,
        skip_media: false,
    };

    fn message_bytes(&self, message_kind: u8) -> usize {
        match message_kind {
            kind::VIDEO | kind::AGGREGATE => self.video_bytes,
            kind::AUDIO => self.audio_bytes,
            _ => self.other_bytes,
        }
    }
}

/// See the module text.
#[derive(Debug)]
pub struct ChunkReader {
    limits: ReaderLimits,
    chunk_size: usize,
    streams: Vec<ChunkStream>,
    /// Index into `streams` of the chunk stream used last.
    last: usize,
    /// Payload bytes of the chunk at hand that have not arrived; belongs to `streams[last]`.
    chunk_left: usize,
    /// The message of `streams[last]` that was given out; the next call clears it.
    finished: Finished,
    /// The first bytes of a chunk header that the last input ended in.
    carry: [u8; HEADER_BYTES_MAX],
    carry_len: usize,
    /// Streams with a message begun and not ended.
    partial_messages: usize,
    /// Sum of `received` over those that are kept.
    partial_bytes: usize,
    /// Bytes of audio, video and data that were skipped since they were last wanted.
    skipped_media: u64,
    /// The time, as told.
    now: Duration,
    /// The largest buffer that a message has left behind, for the next one that is cut.
    spare: Vec<u8>,
}

/// What [`ChunkReader::advance`] came upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// The input has no more.
    Done,
    /// A message, for [`ChunkReader::message`] to give.
    Message,
    /// The same, without a byte.
    Empty,
    /// A message that nobody reads.
    PassedOver {
        /// Its type is one that nobody knows, or it has no byte.
        odd: bool,
    },
}

/// Where the message lies that was completed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finished {
    /// There is none.
    No,
    /// All of it in the input, from here on.
    InOnePiece { start: usize },
    /// In what its chunk stream holds and has ranges of.
    Gathered,
}

/// What is remembered of one chunk stream: the last header, and the message it is in.
#[derive(Debug, Default)]
struct ChunkStream {
    csid: u32,
    timestamp: Timestamp,
    delta: u32,
    len: usize,
    kind: u8,
    msid: u32,
    /// The raw extended timestamp of the last header, if it had one.
    extended: Option<u32>,
    /// Payload bytes of the message at hand that have arrived. `received <= len`.
    received: usize,
    /// Nobody reads messages of this kind: count the payload, keep nothing.
    discard: bool,
    /// The part of the message that came with earlier inputs.
    held: Vec<u8>,
    /// The part of the message that lies in the input at hand.
    ranges: Vec<Range<usize>>,
    /// Set while a message is incomplete at the end of an input.
    wait: Option<Wait>,
}

/// Since when an incomplete message has got nothing.
#[derive(Clone, Copy, Debug)]
struct Wait {
    since: Duration,
    /// What it had then.
    received: usize,
}

/// A chunk header as read, before it is applied to its chunk stream.
struct ChunkHeader {
    fmt: u8,
    csid: u32,
    /// Index of a known chunk stream.
    known: Option<usize>,
    /// Timestamp or delta, extended or not (fmt 0 to 2).
    time: u32,
    extended: Option<u32>,
    len: usize,
    kind: u8,
    msid: u32,
    bytes: usize,
}

impl ChunkReader {
    /// A reader at the start of a connection's chunk stream, right behind the handshake.
    pub fn new(limits: ReaderLimits) -> Self {
        Self {
            limits,
            chunk_size: CHUNK_SIZE_INITIAL,
            streams: Vec::new(),
            last: 0,
            chunk_left: 0,
            finished: Finished::No,
            carry: [0; HEADER_BYTES_MAX],
            carry_len: 0,
            partial_messages: 0,
            partial_bytes: 0,
            skipped_media: 0,
            now: Duration::ZERO,
            spare: Vec::new(),
        }
    }

    /// The time from here on, counted from any moment.
    pub fn set_now(&mut self, now: Duration) {
        self.now = now;
    }

    /// The time, as told.
    pub(super) fn now(&self) -> Duration {
        self.now
    }

    /// Replaces the limits, between two messages: when a publish is accepted or has ended.
    /// Messages already begun stay, but audio, video and data that nobody reads any more.
    pub fn set_limits(&mut self, limits: ReaderLimits) {
        self.clear_finished();
        self.limits = limits;
        if !limits.skip_media {
            self.skipped_media = 0;
            return;
        }
        let in_chunk = (self.chunk_left > 0).then_some(self.last);
        for (index, stream) in self.streams.iter_mut().enumerate() {
            let is_begun = stream.received > 0 || in_chunk == Some(index);
            if is_begun && is_media(stream.kind) {
                self.partial_bytes -= stream.kept();
                stream.discard = true;
                stream.held = Vec::new();
                stream.ranges = Vec::new();
            }
        }
    }

    /// Chunks have at most `bytes` of payload from the next chunk on. `bytes` is not 0.
    pub fn set_chunk_size(&mut self, bytes: usize) {
        debug_assert!(bytes > 0, "a chunk carries at least one byte");
        self.chunk_size = bytes.max(1);
    }

    /// Drops the incomplete message of chunk stream `csid`; false when there is none. §5.4.2.
    pub fn abort(&mut self, csid: u32) -> bool {
        self.clear_finished();
        let begun = |stream: &ChunkStream| stream.csid == csid && stream.received > 0;
        let Some(index) = self.streams.iter().position(begun) else {
            return false;
        };
        self.partial_messages -= 1;
        self.partial_bytes -= self.streams[index].kept();
        self.clear(index);
        true
    }

    /// Payload bytes of incomplete messages, held or in the input at hand.
    pub fn partial_bytes(&self) -> usize {
        self.partial_bytes
    }

    /// Bytes of audio, video and data that came while nobody read them, since somebody last did.
    pub fn skipped_media(&self) -> u64 {
        self.skipped_media
    }

    /// When the incomplete message that has waited longest last got a byte, as it stood at the
    /// last [`hold`](Self::hold); None when there is no incomplete message.
    pub fn oldest_partial(&self) -> Option<Duration> {
        let waits = self.streams.iter().filter_map(|stream| stream.wait);
        waits.map(|wait| wait.since).min()
    }

    /// Bytes of memory behind this reader: incomplete messages, and what is kept for reuse.
    pub fn memory_bytes(&self) -> usize {
        let lists = self.streams.iter().map(|stream| {
            stream.held.capacity() + stream.ranges.capacity() * size_of::<Range<usize>>()
        });
        let streams = self.streams.capacity() * size_of::<ChunkStream>();
        self.spare.capacity() + streams + lists.sum::<usize>()
    }

    /// Gives back memory kept for reuse; for connections that have gone quiet.
    pub fn release_spare(&mut self) {
        self.spare = Vec::new();
        for stream in &mut self.streams {
            stream.held.shrink_to_fit();
            stream.ranges.shrink_to_fit();
        }
        self.streams.shrink_to_fit();
    }

    /// The next whole message in `input` from position `*at` on, or None when the input has no
    /// more; `*at` moves over what was read. Before the input goes away, call
    /// [`hold`](Self::hold).
    ///
    /// # Errors
    /// The peer broke the protocol or a limit; the reader is of no use afterwards.
    pub fn next<'a>(
        &'a mut self,
        input: &'a [u8],
        at: &mut usize,
    ) -> Result<Option<Message<'a>>, ProtocolError> {
        loop {
            match self.advance(input, at)? {
                Read::Done => return Ok(None),
                Read::Message | Read::Empty => return Ok(Some(self.message(input))),
                Read::PassedOver { .. } => {}
            }
        }
    }

    /// The message that [`advance`](Self::advance) has just completed in the same `input`.
    pub(super) fn message<'a>(&'a self, input: &'a [u8]) -> Message<'a> {
        let stream = &self.streams[self.last];
        let payload = match self.finished {
            Finished::InOnePiece { start } => {
                Payload::from_slice(&input[start..start + stream.len])
            }
            _ => Payload::new(&stream.held, input, &stream.ranges, stream.len),
        };
        Message {
            header: MessageHeader {
                csid: stream.csid,
                timestamp: stream.timestamp,
                kind: stream.kind,
                msid: stream.msid,
                len: stream.len,
            },
            payload,
        }
    }

    /// Reads until a message is whole or the input ends.
    pub(super) fn advance(&mut self, input: &[u8], at: &mut usize) -> Result<Read, ProtocolError> {
        loop {
            self.clear_finished();
            if self.chunk_left == 0 {
                if self.carry_len == 0 && self.take_whole(input, at) {
                    return Ok(Read::Message);
                }
                if !self.begin_chunk(input, at)? {
                    return Ok(Read::Done);
                }
            }
            if !self.take_payload(input, at)? {
                return Ok(Read::Done);
            }
            let stream = &self.streams[self.last];
            if stream.received == stream.len {
                self.partial_messages -= 1;
                self.partial_bytes -= stream.kept();
                self.finished = Finished::Gathered;
                let stream = &self.streams[self.last];
                return Ok(match (stream.discard, stream.len) {
                    (false, 0) => Read::Empty,
                    (false, _) => Read::Message,
                    (true, len) => Read::PassedOver {
                        odd: len == 0 || !is_read_here(stream.kind),
                    },
                });
            }
        }
    }

    /// Copies what incomplete messages have in `input` so that the input may go. To be called
    /// with the same input as the `next` calls before it, once no more of it will be read.
    pub fn hold(&mut self, input: &[u8]) {
        self.clear_finished();
        if self.partial_messages > 0 {
            self.hold_partial(input);
        }
        if self.streams.len() > limits::CHUNK_LISTS_KEPT {
            for stream in &mut self.streams {
                stream.ranges = Vec::new();
            }
        }
    }

    fn hold_partial(&mut self, input: &[u8]) {
        let in_chunk = (self.chunk_left > 0).then_some(self.last);
        for (index, stream) in self.streams.iter_mut().enumerate() {
            if stream.received == 0 && in_chunk != Some(index) {
                continue;
            }
            if stream.held.capacity() == 0 && !stream.ranges.is_empty() {
                stream.held = mem::take(&mut self.spare);
            }
            for range in stream.ranges.drain(..) {
                stream.held.extend_from_slice(&input[range]);
            }
            let received = stream.received;
            if stream.wait.is_none_or(|wait| wait.received != received) {
                let since = self.now;
                stream.wait = Some(Wait { since, received });
            }
        }
    }

    /// Reads the header of the next chunk; false when the input ends inside it.
    fn begin_chunk(&mut self, input: &[u8], at: &mut usize) -> Result<bool, ProtocolError> {
        if self.carry_len > 0 {
            return self.begin_chunk_carried(input, at);
        }
        let rest = &input[*at..];
        match self.decode_header(rest)? {
            Some(header) => {
                *at += header.bytes;
                self.apply_header(&header)?;
                Ok(true)
            }
            None => {
                self.carry[..rest.len()].copy_from_slice(rest);
                self.carry_len = rest.len();
                *at = input.len();
                Ok(false)
            }
        }
    }

    /// The same for a header whose first bytes came with an earlier input.
    #[cold]
    fn begin_chunk_carried(&mut self, input: &[u8], at: &mut usize) -> Result<bool, ProtocolError> {
        let rest = &input[*at..];
        let carried = self.carry_len;
        let take = rest.len().min(HEADER_BYTES_MAX - carried);
        self.carry[carried..carried + take].copy_from_slice(&rest[..take]);
        let joined = self.carry;
        match self.decode_header(&joined[..carried + take])? {
            Some(header) => {
                // The header mostly ends in the new bytes. It ends in the carried ones when
                // they began like an extended timestamp and turn out to be payload.
                *at += header.bytes.saturating_sub(carried);
                self.drop_carried(header.bytes.min(carried));
                self.apply_header(&header)?;
                Ok(true)
            }
            None => {
                self.carry_len += take;
                *at += take;
                Ok(false)
            }
        }
    }

    /// Takes `count` bytes off the front of the carry.
    fn drop_carried(&mut self, count: usize) {
        self.carry.copy_within(count..self.carry_len, 0);
        self.carry_len -= count;
    }

    /// Decodes a chunk header at the start of `bytes`; None when it is not whole. §5.3.1.
    #[inline]
    fn decode_header(&self, bytes: &[u8]) -> Result<Option<ChunkHeader>, ProtocolError> {
        let Some((fmt, csid, basic_bytes)) = decode_basic_header(bytes) else {
            return Ok(None);
        };
        let known = self.find(csid);
        let mut header = ChunkHeader {
            fmt,
            csid,
            known,
            time: 0,
            extended: None,
            len: 0,
            kind: 0,
            msid: 0,
            bytes: basic_bytes,
        };
        let rest = &bytes[basic_bytes..];
        if fmt == 3 {
            let Some(index) = known else {
                return Err(ProtocolError::NoPreviousHeader { csid });
            };
            return Ok(match self.streams[index].repeated_time(rest) {
                Repeated::No => Some(header),
                Repeated::Yes => {
                    header.bytes += 4;
                    Some(header)
                }
                Repeated::NeedMore => None,
            });
        }
        if fmt == 2 && known.is_none() {
            return Err(ProtocolError::NoPreviousHeader { csid });
        }
        let fields_bytes = [11, 7, 3][usize::from(fmt)];
        let Some(fields) = rest.get(..fields_bytes) else {
            return Ok(None);
        };
        header.time = be24(&fields[0..3]);
        header.bytes += fields_bytes;
        if fmt <= 1 {
            header.len = be24(&fields[3..6]) as usize;
            header.kind = fields[6];
        }
        if fmt == 0 {
            // The one little-endian field of the protocol.
            header.msid = u32::from_le_bytes([fields[7], fields[8], fields[9], fields[10]]);
        }
        if header.time == EXTENDED {
            let Some(field) = rest.get(fields_bytes..fields_bytes + 4) else {
                return Ok(None);
            };
            header.time = u32::from_be_bytes([field[0], field[1], field[2], field[3]]);
            header.extended = Some(header.time);
            header.bytes += 4;
        }
        Ok(Some(header))
    }

    #[inline]
    fn find(&self, csid: u32) -> Option<usize> {
        match self.streams.get(self.last) {
            Some(stream) if stream.csid == csid => Some(self.last),
            _ => self.streams.iter().position(|stream| stream.csid == csid),
        }
    }

    /// Makes `header` the one in force on its chunk stream and starts its chunk.
    #[inline]
    fn apply_header(&mut self, header: &ChunkHeader) -> Result<(), ProtocolError> {
        self.last = match header.known {
            Some(index) => index,
            None if self.streams.len() >= self.limits.chunk_streams => {
                let limit = self.limits.chunk_streams;
                return Err(ProtocolError::TooManyChunkStreams { limit });
            }
            None => {
                // A vector that doubles would hold twice what most clients ever use.
                self.streams.reserve_exact(1);
                self.streams.push(ChunkStream {
                    csid: header.csid,
                    ..ChunkStream::default()
                });
                self.streams.len() - 1
            }
        };
        let stream = &mut self.streams[self.last];
        if stream.received == 0 {
            stream.begin_message(header);
            let skipped = self.limits.skip_media && is_media(stream.kind);
            stream.discard = skipped || !is_read_here(stream.kind);
            if skipped {
                self.skipped_media += stream.len as u64;
            }
            let limit = self.limits.message_bytes(stream.kind);
            if !stream.discard && stream.len > limit {
                let (kind, got) = (stream.kind, stream.len);
                return Err(ProtocolError::MessageTooLong { kind, got, limit });
            }
            self.partial_messages += 1;
            if self.partial_messages > self.limits.partial_messages {
                let limit = self.limits.partial_messages;
                return Err(ProtocolError::TooManyPartialMessages { limit });
            }
        } else if header.fmt != 3 {
            // Servers that go on here have to subtract lengths the peer chose; ours ends it.
            return Err(ProtocolError::HeaderInsideMessage { csid: header.csid });
        }
        self.chunk_left = self.chunk_size.min(stream.len - stream.received);
        Ok(())
    }

    /// Takes payload of the chunk at hand; false when the input ends before the chunk does.
    #[inline]
    fn take_payload(&mut self, input: &[u8], at: &mut usize) -> Result<bool, ProtocolError> {
        let stream = &mut self.streams[self.last];
        let carried = self.carry_len.min(self.chunk_left);
        let here = (self.chunk_left - carried).min(input.len() - *at);
        if !stream.discard {
            stream.held.extend_from_slice(&self.carry[..carried]);
            if here > 0 {
                stream.ranges.push(*at..*at + here);
            }
            self.partial_bytes += carried + here;
        }
        stream.received += carried + here;
        self.chunk_left -= carried + here;
        *at += here;
        if carried > 0 {
            self.drop_carried(carried);
        }
        if self.partial_bytes > self.limits.partial_bytes {
            return Err(ProtocolError::PartialBytes {
                limit: self.limits.partial_bytes,
            });
        }
        Ok(self.chunk_left == 0)
    }

    fn clear_finished(&mut self) {
        if self.finished == Finished::Gathered {
            self.clear(self.last);
        }
        self.finished = Finished::No;
    }

    /// Forgets the message of a chunk stream.
    #[inline]
    fn clear(&mut self, index: usize) {
        let stream = &mut self.streams[index];
        stream.received = 0;
        stream.ranges.clear();
        if stream.wait.is_some() || stream.held.capacity() > 0 {
            self.clear_held(index);
        }
    }

    /// The same for one that came in more than one input. One buffer is kept: each chunk stream
    /// keeping its own would hold the longest message 64 times.
    #[cold]
    #[inline(never)]
    fn clear_held(&mut self, index: usize) {
        let stream = &mut self.streams[index];
        stream.wait = None;
        let mut held = mem::take(&mut stream.held);
        let capacity = held.capacity();
        if capacity <= limits::SPARE_BYTES_MAX && capacity > self.spare.capacity() {
            held.clear();
            self.spare = held;
        }
    }
}

/// Whether a type 3 chunk repeats the extended timestamp of the header before it.
enum Repeated {
    Yes,
    No,
    NeedMore,
}

impl ChunkStream {
    // The header stays in registers: that is a fifth of the time of a message.
    #[inline(always)]
    fn begin_message(&mut self, header: &ChunkHeader) {
        match header.fmt {
            0 => {
                self.timestamp = Timestamp(header.time);
                // A type 3 chunk that begins a message right after a type 0 adds the time of
                // that again, §5.3.1.2.4, and ffmpeg and GStreamer send it so. A large time is
                // no distance between frames: then it is librtmp, which means the same time.
                self.delta = if header.time <= FIRST_DELTA_MAX {
                    header.time
                } else {
                    0
                };
                self.msid = header.msid;
            }
            1 | 2 => {
                self.delta = header.time;
                self.timestamp = self.timestamp.plus(self.delta);
            }
            _ => self.timestamp = self.timestamp.plus(self.delta),
        }
        if header.fmt <= 1 {
            self.len = header.len;
            self.kind = header.kind;
        }
        if header.fmt <= 2 {
            self.extended = header.extended;
        }
    }

    /// Bytes of the message at hand that count as held.
    fn kept(&self) -> usize {
        if self.discard { 0 } else { self.received }
    }

    /// FMLE, ffmpeg and GStreamer repeat the extended timestamp on type 3 chunks; librtmp and
    /// OBS before 2024 leave it out. Nothing announces which, so the four bytes are compared
    /// with what would be repeated: the field as sent, or the absolute time (VLC wants that).
    fn repeated_time(&self, rest: &[u8]) -> Repeated {
        let Some(field) = self.extended else {
            return Repeated::No;
        };
        let seen = &rest[..rest.len().min(4)];
        let like = |value: u32| value.to_be_bytes().starts_with(seen);
        match like(field) || like(self.timestamp.0) {
            false => Repeated::No,
            true if seen.len() < 4 => Repeated::NeedMore,
            true => Repeated::Yes,
        }
    }
}

fn is_media(message_kind: u8) -> bool {
    matches!(
        message_kind,
        kind::AUDIO | kind::VIDEO | kind::DATA | kind::DATA_AMF3 | kind::AGGREGATE
    )
}

/// Kinds that some layer above reads; shared objects and unknown types are skipped unread.
fn is_read_here(message_kind: u8) -> bool {
    matches!(
        message_kind,
        kind::SET_CHUNK_SIZE
            ..=kind::SET_PEER_BANDWIDTH
                | kind::AUDIO
                | kind::VIDEO
                | kind::DATA_AMF3
                | kind::COMMAND_AMF3
                | kind::DATA
                | kind::COMMAND
                | kind::AGGREGATE
    )
}

/// Format, chunk stream id and length of the basic header. §5.3.1.1.
#[inline]
fn decode_basic_header(bytes: &[u8]) -> Option<(u8, u32, usize)> {
    let first = *bytes.first()?;
    let fmt = first >> 6;
    match first & 0x3F {
        0 => Some((fmt, 64 + u32::from(*bytes.get(1)?), 2)),
        1 => {
            let low = u32::from(*bytes.get(1)?);
            let high = u32::from(*bytes.get(2)?);
            Some((fmt, 64 + low + 256 * high, 3))
        }
        csid => Some((fmt, u32::from(csid), 1)),
    }
}

fn be24(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]])
}

/// Reads all of `data` as one chunk stream, in pieces whose length its first byte chooses.
#[doc(hidden)]
pub fn exercise(data: &[u8]) {
    let Some((&step, data)) = data.split_first() else {
        return;
    };
    let mut reader = ChunkReader::new(ReaderLimits {
        video_bytes: 1 << 20,
        audio_bytes: 1 << 16,
        other_bytes: 1 << 16,
        chunk_streams: 16,
        partial_messages: 8,
        partial_bytes: 1 << 20,
        skip_media: false,
    });
    for input in data.chunks(usize::from(step).max(1)) {
        let mut at = 0;
        loop {
            match reader.next(input, &mut at) {
                Ok(Some(message)) if message.header.kind == kind::SET_CHUNK_SIZE => {
                    let size = message
                        .payload
                        .to_vec()
                        .first()
                        .map_or(1, |&byte| byte.max(1));
                    reader.set_chunk_size(usize::from(size));
                }
                Ok(Some(message)) => assert_eq!(message.payload.len(), message.header.len),
                Ok(None) => break,
                Err(_) => return,
            }
        }
        reader.hold(input);
    }
}

#[cfg(test)]
mod tests;
