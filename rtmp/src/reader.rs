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
//!
//! What is remembered of a chunk stream is in reader/stream.rs, headers are read in
//! reader/header.rs, incomplete messages are kept in reader/partial.rs, and a message that lies
//! whole in the input takes the short way of reader/whole.rs.

mod budget;
mod header;
mod partial;
mod stream;
mod whole;

use alloc::vec::Vec;
use core::time::Duration;

pub use self::budget::ReaderLimits;
use self::budget::{is_media, is_read_here};
use self::stream::ChunkStream;
use super::error::ProtocolError;
use super::message::{Message, MessageHeader, Payload};
use super::writer::CHUNK_HEADER_BYTES_MAX;

/// The chunk size both sides start with. RTMP 1.0 §5.4.1.
pub const CHUNK_SIZE_INITIAL: usize = 128;

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
    carry: [u8; CHUNK_HEADER_BYTES_MAX],
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
            carry: [0; CHUNK_HEADER_BYTES_MAX],
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
        self.drop_begun(is_media);
    }

    /// Chunks have at most `bytes` of payload from the next chunk on. `bytes` is not 0.
    pub fn set_chunk_size(&mut self, bytes: usize) {
        debug_assert!(bytes > 0, "a chunk carries at least one byte");
        self.chunk_size = bytes.max(1);
    }

    /// Counts audio, video or data of `len` bytes that was read and is for no publish.
    pub(crate) fn count_skipped_media(&mut self, len: usize) {
        self.skipped_media += len as u64;
    }

    /// Bytes of audio, video and data that came while nobody read them, since a publish was last
    /// accepted.
    pub(crate) fn skipped_media(&self) -> u64 {
        self.skipped_media
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

    fn clear_finished(&mut self) {
        if self.finished == Finished::Gathered {
            self.clear(self.last);
        }
        self.finished = Finished::No;
    }
}

#[cfg(test)]
mod tests;
