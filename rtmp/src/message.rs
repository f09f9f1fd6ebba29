//! Messages as they travel between the chunk layer and the sessions: type ids, the header, a
//! payload that still lies in the receive ring, and wrapping timestamps.
//!
//! Nothing here copies a payload unless the caller asks for it in one piece.
//! Spec: RTMP 1.0 §5.4, §6.1, §7.1.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// Message type ids. RTMP 1.0 §5.4, §7.1.
pub mod kind {
    /// Set Chunk Size, §5.4.1.
    pub const SET_CHUNK_SIZE: u8 = 0x01;
    /// Abort Message, §5.4.2.
    pub const ABORT: u8 = 0x02;
    /// Acknowledgement, §5.4.3.
    pub const ACKNOWLEDGEMENT: u8 = 0x03;
    /// User Control, §6.2.
    pub const USER_CONTROL: u8 = 0x04;
    /// Window Acknowledgement Size, §5.4.4.
    pub const WINDOW_ACK_SIZE: u8 = 0x05;
    /// Set Peer Bandwidth, §5.4.5.
    pub const SET_PEER_BANDWIDTH: u8 = 0x06;
    /// Audio, §7.1.4.
    pub const AUDIO: u8 = 0x08;
    /// Video, §7.1.5.
    pub const VIDEO: u8 = 0x09;
    /// Data labelled AMF3, §7.1.2.
    pub const DATA_AMF3: u8 = 0x0F;
    /// Command labelled AMF3, §7.1.1.
    pub const COMMAND_AMF3: u8 = 0x11;
    /// Data, §7.1.2.
    pub const DATA: u8 = 0x12;
    /// Command, §7.1.1.
    pub const COMMAND: u8 = 0x14;
    /// Aggregate, §7.1.6.
    pub const AGGREGATE: u8 = 0x16;
}

/// Milliseconds on a peer's clock; wraps at 2^32 (RTMP 1.0 §5.3.1.2, §5 "serial arithmetic").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamp(pub u32);

impl Timestamp {
    /// This time moved forward by `delta_ms`, wrapping.
    pub fn plus(self, delta_ms: u32) -> Self {
        Self(self.0.wrapping_add(delta_ms))
    }

    /// Milliseconds from `earlier` to this time; negative when this time lies before it. Right
    /// while the two are less than 2^31 ms (24.8 days) apart.
    pub fn since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }
}

/// The id of a message stream. RTMP 1.0 §5.3.1.2, §7.2.1.3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MessageStreamId(pub u32);

impl MessageStreamId {
    /// The connection itself: protocol control messages, connect and createStream.
    pub const CONTROL: Self = Self(0);
}

impl fmt::Display for MessageStreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A message header as it stands after all chunk header compression is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageHeader {
    /// Chunk stream id, 2 to 65,599.
    pub csid: u32,
    /// Absolute time.
    pub timestamp: Timestamp,
    /// Message type id, see [`kind`].
    pub kind: u8,
    /// Message stream id.
    pub msid: MessageStreamId,
    /// Payload length in bytes, below 2^24.
    pub len: usize,
}

/// A whole message. The payload borrows the receive ring and the chunk reader.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The header.
    pub header: MessageHeader,
    /// The payload, `header.len` bytes.
    pub payload: Payload<'a>,
}

/// The bytes of one message: what was held over from earlier reads, then ranges of the input at
/// hand, one for each chunk.
#[derive(Clone, Copy)]
pub struct Payload<'a> {
    held: &'a [u8],
    input: &'a [u8],
    /// Every range lies inside `input`.
    ranges: &'a [Range<usize>],
    len: usize,
}

impl<'a> Payload<'a> {
    /// A payload of `len` bytes out of its parts: `held`, then the `ranges` of `input`. Whoever
    /// reads it panics when one of them does not lie inside `input`.
    pub fn new(held: &'a [u8], input: &'a [u8], ranges: &'a [Range<usize>], len: usize) -> Self {
        debug_assert_eq!(
            held.len() + ranges.iter().map(Range::len).sum::<usize>(),
            len,
            "a payload is the sum of its parts"
        );
        Self {
            held,
            input,
            ranges,
            len,
        }
    }

    /// A payload that already lies in one piece.
    pub fn from_slice(bytes: &'a [u8]) -> Self {
        Self {
            held: bytes,
            input: &[],
            ranges: &[],
            len: bytes.len(),
        }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces in order; none is empty.
    pub fn slices(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let Self {
            held,
            input,
            ranges,
            ..
        } = *self;
        core::iter::once(held)
            .chain(ranges.iter().map(|range| &input[range.clone()]))
            .filter(|piece| !piece.is_empty())
    }

    /// The payload when it lies in one piece, else None.
    pub fn as_slice(&self) -> Option<&'a [u8]> {
        match (self.held.len(), self.ranges) {
            (_, []) => Some(self.held),
            (0, [only]) => Some(&self.input[only.clone()]),
            _ => None,
        }
    }

    /// The payload in one piece: itself when it is one, else copied to `scratch`.
    pub fn contiguous<'s>(&self, scratch: &'s mut Vec<u8>) -> &'s [u8]
    where
        'a: 's,
    {
        match self.as_slice() {
            Some(bytes) => bytes,
            None => {
                scratch.clear();
                for piece in self.slices() {
                    scratch.extend_from_slice(piece);
                }
                scratch
            }
        }
    }

    /// The first bytes in one piece, at least `min(len, HEAD_BYTES)` of them; copied to `scratch`
    /// only when they are not in one piece already.
    pub fn head<'s>(&self, scratch: &'s mut [u8; HEAD_BYTES]) -> &'s [u8]
    where
        'a: 's,
    {
        let wanted = self.len.min(HEAD_BYTES);
        match self.slices().next() {
            None => &[],
            Some(first) if first.len() >= wanted => first,
            Some(_) => {
                let mut filled = 0;
                for piece in self.slices() {
                    let take = piece.len().min(HEAD_BYTES - filled);
                    scratch[filled..filled + take].copy_from_slice(&piece[..take]);
                    filled += take;
                }
                &scratch[..filled]
            }
        }
    }

    /// A copy in one piece, for those who keep it.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut copy = Vec::with_capacity(self.len);
        for piece in self.slices() {
            copy.extend_from_slice(piece);
        }
        copy
    }
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.len)
    }
}

/// How many leading bytes [`Payload::head`] gives: enough for every media header but that of a
/// multitrack message.
pub const HEAD_BYTES: usize = 64;

#[cfg(test)]
#[expect(
    clippy::single_range_in_vec_init,
    reason = "payloads are lists of ranges"
)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_wrap_and_compare_across_the_wrap() {
        let late = Timestamp(u32::MAX - 9);
        assert_eq!(late.plus(20), Timestamp(10));
        assert_eq!(late.plus(20).since(late), 20);
        assert_eq!(late.since(late.plus(20)), -20);
    }

    #[test]
    fn a_payload_in_pieces_reads_like_one() {
        let ranges = [1..3, 5..6];
        let payload = Payload::new(b"ab", b"_cd__e", &ranges, 5);
        assert_eq!(payload.len(), 5);
        assert_eq!(payload.as_slice(), None);
        assert_eq!(payload.to_vec(), b"abcde");
        assert_eq!(payload.head(&mut [0; HEAD_BYTES]), b"abcde");
        assert_eq!(payload.contiguous(&mut Vec::new()), b"abcde");
        assert_eq!(payload.slices().count(), 3);
    }

    #[test]
    fn a_payload_in_one_piece_is_not_copied() {
        let range = [1..4];
        let payload = Payload::new(b"", b"_abc_", &range, 3);
        assert_eq!(payload.as_slice(), Some(&b"abc"[..]));
        assert!(Payload::from_slice(b"").is_empty());
        assert_eq!(Payload::from_slice(b"").slices().count(), 0);
    }
}
