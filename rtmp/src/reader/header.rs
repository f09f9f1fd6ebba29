//! Chunk headers: from their bytes, which may come with two inputs, to the header in force on a
//! chunk stream. RTMP 1.0 §5.3.1.
//!
//! ```text
//!   | basic 1-3 | message 11, 7, 3 or 0 | extended timestamp 4 or 0 |
//! ```

use super::budget::{is_media, is_read_here};
use super::stream::{ChunkStream, Repeated};
use super::{ChunkReader, ProtocolError};
use crate::message::MessageStreamId;
use crate::writer::CHUNK_HEADER_BYTES_MAX;

/// A timestamp field with this value says that the extended timestamp follows. §5.3.1.3.
pub(super) const EXTENDED: u32 = 0xFF_FFFF;

/// A chunk header as read, before it is applied to its chunk stream.
pub(super) struct ChunkHeader {
    pub(super) fmt: u8,
    pub(super) csid: u32,
    /// Index of a known chunk stream.
    pub(super) known: Option<usize>,
    /// Timestamp or delta, extended or not (fmt 0 to 2).
    pub(super) time: u32,
    pub(super) extended: Option<u32>,
    pub(super) len: usize,
    pub(super) kind: u8,
    pub(super) msid: MessageStreamId,
    pub(super) bytes: usize,
}

impl ChunkReader {
    /// Reads the header of the next chunk; false when the input ends inside it.
    pub(super) fn begin_chunk(
        &mut self,
        input: &[u8],
        at: &mut usize,
    ) -> Result<bool, ProtocolError> {
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
        let take = rest.len().min(CHUNK_HEADER_BYTES_MAX - carried);
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
    pub(super) fn drop_carried(&mut self, count: usize) {
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
            msid: MessageStreamId::CONTROL,
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
            header.msid = MessageStreamId(u32::from_le_bytes([
                fields[7], fields[8], fields[9], fields[10],
            ]));
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
    pub(super) fn find(&self, csid: u32) -> Option<usize> {
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
