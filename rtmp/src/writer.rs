//! The chunk writer: one message out as chunks. RTMP 1.0 §5.3.
//!
//! Everything we send is a type 0 chunk with the absolute time and type 3 chunks after it, the
//! extended timestamp repeated on each: every reader understands that, and no header depends on
//! what was sent before, which is what lets one encoding serve every player.

use alloc::vec::Vec;

use super::message::{MessageHeader, Payload};

/// Where encoded chunks go.
pub trait Sink {
    /// Appends `bytes`.
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// The longest chunk header: 3 bytes basic, 11 bytes message, 4 bytes extended timestamp.
pub(crate) const CHUNK_HEADER_BYTES_MAX: usize = 18;

/// A small header on the stack.
#[derive(Clone, Copy)]
struct HeaderBytes {
    bytes: [u8; CHUNK_HEADER_BYTES_MAX],
    len: usize,
}

impl HeaderBytes {
    fn new() -> Self {
        Self {
            bytes: [0; CHUNK_HEADER_BYTES_MAX],
            len: 0,
        }
    }

    fn push(&mut self, more: &[u8]) {
        self.bytes[self.len..self.len + more.len()].copy_from_slice(more);
        self.len += more.len();
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Writes one message as chunks of at most `chunk_size` payload bytes. `payload` has
/// `header.len` bytes, fewer than 2^24.
pub fn write_message(
    sink: &mut impl Sink,
    header: &MessageHeader,
    payload: &Payload<'_>,
    chunk_size: usize,
) {
    debug_assert_eq!(
        header.len,
        payload.len(),
        "the header tells the payload's length"
    );
    sink.put(first_header(header).as_slice());
    let next = next_header(header);
    let mut room = chunk_size;
    for mut piece in payload.slices() {
        while !piece.is_empty() {
            if room == 0 {
                sink.put(next.as_slice());
                room = chunk_size;
            }
            let (now, later) = piece.split_at(room.min(piece.len()));
            sink.put(now);
            room -= now.len();
            piece = later;
        }
    }
}

/// How many bytes [`write_message`] writes for `header`.
pub fn encoded_len(header: &MessageHeader, chunk_size: usize) -> usize {
    let more_chunks = header.len.div_ceil(chunk_size).saturating_sub(1);
    first_header(header).len + header.len + more_chunks * next_header(header).len
}

fn first_header(header: &MessageHeader) -> HeaderBytes {
    let time = header.timestamp.0;
    let field = time.min(0xFF_FFFF).to_be_bytes();
    let len = header.len.to_be_bytes();
    let mut bytes = basic_header(0, header.csid);
    bytes.push(&field[1..]);
    bytes.push(&len[len.len() - 3..]);
    bytes.push(&[header.kind]);
    bytes.push(&header.msid.0.to_le_bytes());
    if time >= 0xFF_FFFF {
        bytes.push(&time.to_be_bytes());
    }
    bytes
}

fn next_header(header: &MessageHeader) -> HeaderBytes {
    let mut bytes = basic_header(3, header.csid);
    if header.timestamp.0 >= 0xFF_FFFF {
        bytes.push(&header.timestamp.0.to_be_bytes());
    }
    bytes
}

/// The shortest form for `csid`, 2 to 65,599. §5.3.1.1.
fn basic_header(fmt: u8, csid: u32) -> HeaderBytes {
    debug_assert!((2..=65_599).contains(&csid), "chunk stream id {csid}");
    let mut bytes = HeaderBytes::new();
    let above = csid.wrapping_sub(64).to_le_bytes();
    match csid {
        0..64 => bytes.push(&[fmt << 6 | csid.to_le_bytes()[0]]),
        64..320 => bytes.push(&[fmt << 6, above[0]]),
        _ => bytes.push(&[fmt << 6 | 1, above[0], above[1]]),
    }
    bytes
}
