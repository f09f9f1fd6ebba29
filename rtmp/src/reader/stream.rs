//! What is remembered of one chunk stream: its last header, from which shorter ones are completed,
//! and the message it is in. RTMP 1.0 §5.3.1.2, §5.3.1.3. It reads no bytes but those that tell
//! whether a type 3 chunk repeats the extended timestamp.

use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

use super::header::ChunkHeader;
use crate::message::{MessageStreamId, Timestamp};

/// The longest first frame in milliseconds that a type 3 chunk after a type 0 may repeat.
const FIRST_DELTA_MAX: u32 = 1_000;

/// What is remembered of one chunk stream: the last header, and the message it is in.
#[derive(Debug, Default)]
pub(super) struct ChunkStream {
    pub(super) csid: u32,
    pub(super) timestamp: Timestamp,
    pub(super) delta: u32,
    pub(super) len: usize,
    pub(super) kind: u8,
    pub(super) msid: MessageStreamId,
    /// The raw extended timestamp of the last header, if it had one.
    pub(super) extended: Option<u32>,
    /// Payload bytes of the message at hand that have arrived. `received <= len`.
    pub(super) received: usize,
    /// Nobody reads messages of this kind: count the payload, keep nothing.
    pub(super) discard: bool,
    /// The part of the message that came with earlier inputs.
    pub(super) held: Vec<u8>,
    /// The part of the message that lies in the input at hand.
    pub(super) ranges: Vec<Range<usize>>,
    /// Set while a message is incomplete at the end of an input.
    pub(super) wait: Option<Wait>,
}

/// Since when a message is incomplete, and since when it has got nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    pub(super) begun: Duration,
    pub(super) since: Duration,
    /// What it had then.
    pub(super) received: usize,
}

/// Whether a type 3 chunk repeats the extended timestamp of the header before it.
pub(super) enum Repeated {
    Yes,
    No,
    NeedMore,
}

impl ChunkStream {
    // The header stays in registers: that is a fifth of the time of a message.
    #[inline(always)]
    pub(super) fn begin_message(&mut self, header: &ChunkHeader) {
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

    /// Makes room for what lies in the input at hand: twice what there was, so that a message that
    /// comes in pieces is not copied for each, but no more than the message has.
    pub(super) fn make_room(&mut self) {
        let needed: usize = self.ranges.iter().map(Range::len).sum();
        let (held, room) = (self.held.len(), self.held.capacity());
        if held + needed > room {
            let bytes = (2 * room).min(self.len).max(held + needed);
            self.held.reserve_exact(bytes - held);
        }
    }

    /// Bytes of the message at hand that count as held.
    pub(super) fn kept(&self) -> usize {
        if self.discard { 0 } else { self.received }
    }

    /// FMLE, ffmpeg and GStreamer repeat the extended timestamp on type 3 chunks; librtmp and
    /// OBS before 2024 leave it out. Nothing announces which, so the four bytes are compared
    /// with what would be repeated: the field as sent, or the absolute time (VLC wants that).
    pub(super) fn repeated_time(&self, rest: &[u8]) -> Repeated {
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
