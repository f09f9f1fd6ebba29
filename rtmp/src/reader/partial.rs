//! Incomplete messages: what of them lies in the input at hand, what was copied out before the
//! input went, how much that is together and since when it waits.

use alloc::vec::Vec;
use core::mem;
use core::ops::Range;
use core::time::Duration;

use super::stream::{ChunkStream, Wait};
use super::{ChunkReader, ProtocolError};
use crate::limits;

impl ChunkReader {
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

    /// Drops what incomplete messages hold and what is kept for reuse: nothing more will be read.
    pub fn drop_input(&mut self) {
        self.clear_finished();
        self.drop_begun(|_| true);
        self.release_spare();
    }

    /// Drops what the incomplete messages of the kinds that `is_dropped` names hold; the rest of
    /// each is skipped as it comes.
    pub(super) fn drop_begun(&mut self, is_dropped: impl Fn(u8) -> bool) {
        let in_chunk = (self.chunk_left > 0).then_some(self.last);
        for (index, stream) in self.streams.iter_mut().enumerate() {
            let is_begun = stream.received > 0 || in_chunk == Some(index);
            if is_begun && is_dropped(stream.kind) {
                self.partial_bytes -= stream.kept();
                stream.discard = true;
                stream.held = Vec::new();
                stream.ranges = Vec::new();
            }
        }
    }

    /// Payload bytes of incomplete messages, held or in the input at hand.
    pub fn partial_bytes(&self) -> usize {
        self.partial_bytes
    }

    /// When the incomplete message that has waited longest last got a byte, as it stood at the
    /// last [`hold`](Self::hold); None when there is no incomplete message.
    pub fn oldest_partial(&self) -> Option<Duration> {
        let waits = self.streams.iter().filter_map(|stream| stream.wait);
        waits.map(|wait| wait.since).min()
    }

    /// When the oldest incomplete message was begun, as far as [`hold`](Self::hold) knows; None
    /// when there is no incomplete message.
    pub fn oldest_begun(&self) -> Option<Duration> {
        let waits = self.streams.iter().filter_map(|stream| stream.wait);
        waits.map(|wait| wait.begun).min()
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
            stream.make_room();
            for range in stream.ranges.drain(..) {
                stream.held.extend_from_slice(&input[range]);
            }
            let received = stream.received;
            if stream.wait.is_none_or(|wait| wait.received != received) {
                let since = self.now;
                let begun = stream.wait.map_or(since, |wait| wait.begun);
                stream.wait = Some(Wait {
                    begun,
                    since,
                    received,
                });
            }
        }
    }

    /// Takes payload of the chunk at hand; false when the input ends before the chunk does.
    #[inline]
    pub(super) fn take_payload(
        &mut self,
        input: &[u8],
        at: &mut usize,
    ) -> Result<bool, ProtocolError> {
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

    /// Forgets the message of a chunk stream.
    #[inline]
    pub(super) fn clear(&mut self, index: usize) {
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
