//! The short way of the chunk reader: a message of audio or video whose header has the common
//! form and that lies in the input with all its chunks. Nearly all media comes so, and is then
//! read without any state of incomplete messages. What does not fit goes the general way, from
//! the same position.

use super::header::{ChunkHeader, EXTENDED};
use super::{ChunkReader, Finished};
use crate::message::{MessageStreamId, kind};

/// Basic header of one byte and the longest message header: no other header is read here.
const HEAD_BYTES: usize = 12;

impl ChunkReader {
    /// Reads a whole message from `*at` on, for [`message`](Self::message) to give; false when
    /// the general way has to be taken, and then nothing was read.
    #[inline]
    pub(super) fn take_whole(&mut self, input: &[u8], at: &mut usize) -> bool {
        let Some(head) = input[*at..].first_chunk::<HEAD_BYTES>() else {
            return false;
        };
        let word = |i: usize| u32::from_be_bytes([head[i], head[i + 1], head[i + 2], head[i + 3]]);
        let (first, second) = (word(0), word(4));
        let (fmt, csid) = (head[0] >> 6, u32::from(head[0] & 0x3F));
        let Some(index) = self.find(csid).filter(|_| csid >= 2) else {
            return false;
        };
        let stream = &self.streams[index];
        let (bytes, len, kind, time) = match fmt {
            0 => (12, (second >> 8) as usize, head[7], first & EXTENDED),
            1 => (8, (second >> 8) as usize, head[7], first & EXTENDED),
            2 => (4, stream.len, stream.kind, first & EXTENDED),
            _ => (
                1,
                stream.len,
                stream.kind,
                stream.extended.map_or(0, |_| EXTENDED),
            ),
        };
        if stream.received > 0 || time == EXTENDED || !self.has_room(kind, len) {
            return false;
        }
        let start = *at + bytes;
        let Some(end) = self.find_end(input, start, len, csid) else {
            return false;
        };
        let (size, stream) = (self.chunk_size, &mut self.streams[index]);
        stream.begin_message(&ChunkHeader {
            fmt,
            csid,
            known: Some(index),
            time,
            extended: None,
            len,
            kind,
            msid: MessageStreamId(u32::from_le_bytes([head[8], head[9], head[10], head[11]])),
            bytes,
        });
        self.finished = if len <= size {
            Finished::InOnePiece { start }
        } else {
            let chunks = (start..end).step_by(size + 1);
            let chunks = chunks.map(|chunk| chunk..end.min(chunk + size));
            stream.ranges.extend(chunks);
            stream.received = len;
            stream.discard = false;
            Finished::Gathered
        };
        self.last = index;
        *at = end;
        true
    }

    /// Whether the limits allow a message, and somebody reads it. One without a byte goes the
    /// general way, which tells of it.
    #[inline]
    fn has_room(&self, message_kind: u8, len: usize) -> bool {
        let longest = match message_kind {
            kind::VIDEO => self.limits.video_bytes,
            kind::AUDIO => self.limits.audio_bytes,
            _ => return false,
        };
        !self.limits.skip_media
            && len.wrapping_sub(1) < longest
            && self.partial_messages < self.limits.partial_messages
            && len <= self.limits.partial_bytes.saturating_sub(self.partial_bytes)
    }

    /// Where the last chunk of a message ends whose payload starts at `start`, if each chunk
    /// after the first has the header of one byte that says "go on". §5.3.1.2.4.
    #[inline]
    fn find_end(&self, input: &[u8], start: usize, len: usize, csid: u32) -> Option<usize> {
        let size = self.chunk_size;
        if len <= size {
            let end = start + len;
            return (end <= input.len()).then_some(end);
        }
        let end = start + len + (len - 1) / size;
        let goes_on = 0xC0 | csid;
        let mut seams = input.get(start..end)?[size..].iter().step_by(size + 1);
        seams.all(|&byte| u32::from(byte) == goes_on).then_some(end)
    }
}
