//! WebSocket, the server's side. RFC 6455 §4.2.2, §5.
//!
//! Media goes out as one binary message for each FLV tag, never in fragments. Of what clients send
//! only pings and closes mean anything; the rest is read off.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use super::HttpError;

/// What is joined to the client's key. RFC 6455 §1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The longest payload of a control frame. RFC 6455 §5.5.
pub const CONTROL_BYTES_MAX: usize = 125;

/// The longest header of a frame we send: ours are not masked.
pub const HEADER_BYTES_MAX: usize = 10;

/// Kinds of frames. RFC 6455 §5.2.
pub mod opcode {
    /// A part of a message that has begun.
    pub const CONTINUATION: u8 = 0;
    /// Text.
    pub const TEXT: u8 = 1;
    /// Bytes.
    pub const BINARY: u8 = 2;
    /// The end.
    pub const CLOSE: u8 = 8;
    /// Are you there?
    pub const PING: u8 = 9;
    /// I am.
    pub const PONG: u8 = 10;
}

/// Why a connection ends, RFC 6455 §7.4.1 and the registry it made; those from 4000 on are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum CloseCode {
    /// All is done.
    Normal = 1000,
    /// The server goes away.
    GoingAway = 1001,
    /// The peer broke the protocol.
    Protocol = 1002,
    /// The peer may not have what it asked for.
    Policy = 1008,
    /// A defect of the server.
    Internal = 1011,
    /// The server cannot go on now.
    TryAgain = 1013,
    /// There is no such stream.
    NotFound = 4404,
}

impl CloseCode {
    /// The status of HTTP for a request that ends before it is answered.
    pub fn status(self) -> u16 {
        match self {
            Self::Protocol => 400,
            Self::Policy => 403,
            Self::NotFound => 404,
            Self::Internal => 500,
            Self::Normal | Self::GoingAway | Self::TryAgain => 503,
        }
    }
}

/// The answer to a client's key.
pub fn accept(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(GUID.as_bytes());
    STANDARD.encode(hash.finalize())
}

/// The header of an unmasked, whole frame of `len` bytes, and how long the header is.
pub fn frame_header(opcode: u8, len: usize) -> ([u8; HEADER_BYTES_MAX], usize) {
    let mut header = [0; HEADER_BYTES_MAX];
    header[0] = 0x80 | opcode;
    let bytes = (len as u64).to_be_bytes();
    let written = match len {
        0..126 => {
            header[1] = bytes[7];
            2
        }
        126..0x1_0000 => {
            header[1] = 126;
            header[2..4].copy_from_slice(&bytes[6..]);
            4
        }
        _ => {
            header[1] = 127;
            header[2..].copy_from_slice(&bytes);
            10
        }
    };
    (header, written)
}

/// Writes a control frame; at most [`CONTROL_BYTES_MAX`] bytes of `payload`.
pub fn write_control(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    let payload = &payload[..payload.len().min(CONTROL_BYTES_MAX)];
    let (header, len) = frame_header(opcode, payload.len());
    out.extend_from_slice(&header[..len]);
    out.extend_from_slice(payload);
}

/// Writes the frame that ends a connection.
pub fn write_close(out: &mut Vec<u8>, code: CloseCode, why: &str) {
    let mut payload = (code as u16).to_be_bytes().to_vec();
    let mut end = why.len().min(CONTROL_BYTES_MAX - payload.len());
    while !why.is_char_boundary(end) {
        end -= 1;
    }
    payload.extend_from_slice(&why.as_bytes()[..end]);
    write_control(out, opcode::CLOSE, &payload);
}

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A ping, with what is to be sent back.
    Ping(Vec<u8>),
    /// The end.
    Close,
    /// A message or a pong, which mean nothing here. So many bytes of it are still to come.
    Data {
        /// Bytes of the payload.
        len: u64,
    },
}

/// The frame that `input` begins with, and how many bytes of `input` it takes: of data only the
/// header. None when more is needed.
///
/// # Errors
/// A client may not send this.
pub fn read_frame(input: &[u8]) -> Result<Option<(Frame, usize)>, HttpError> {
    let &[first, second, ref rest @ ..] = input else {
        return Ok(None);
    };
    if first & 0x70 != 0 {
        return Err(HttpError::Frame("an extension that was not agreed on"));
    }
    if second & 0x80 == 0 {
        return Err(HttpError::Frame("it is not masked"));
    }
    let (kind, is_last) = (first & 0x0F, first & 0x80 != 0);
    let (len, extended) = match second & 0x7F {
        126 => match rest.first_chunk::<2>() {
            Some(bytes) => (u64::from(u16::from_be_bytes(*bytes)), 2),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(bytes) => (u64::from_be_bytes(*bytes), 8),
            None => return Ok(None),
        },
        short => (u64::from(short), 0),
    };
    if len >> 63 != 0 {
        return Err(HttpError::Frame("its length has the highest bit"));
    }
    let header = 2 + extended + 4;
    if input.len() < header {
        return Ok(None);
    }
    match kind {
        opcode::CONTINUATION | opcode::TEXT | opcode::BINARY => {
            return Ok(Some((Frame::Data { len }, header)));
        }
        opcode::CLOSE | opcode::PING | opcode::PONG => {}
        _ => return Err(HttpError::Frame("a kind that nobody knows")),
    }
    if !is_last || len > CONTROL_BYTES_MAX as u64 {
        return Err(HttpError::Frame("a control frame in parts or too long"));
    }
    let end = header + usize::try_from(len).unwrap_or(CONTROL_BYTES_MAX);
    let (Some(payload), Some(mask)) = (input.get(header..end), input.get(header - 4..header))
    else {
        return Ok(None);
    };
    let frame = match kind {
        opcode::PING => {
            let mask = mask.iter().cycle();
            let unmasked = payload.iter().zip(mask).map(|(byte, mask)| byte ^ mask);
            Frame::Ping(unmasked.collect())
        }
        opcode::CLOSE => Frame::Close,
        _ => Frame::Data { len: 0 },
    };
    Ok(Some((frame, end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as clients send it.
    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let (header, len) = frame_header(first & 0x0F, payload.len());
        let mut frame = header[..len].to_vec();
        frame[0] = first;
        frame[1] |= 0x80;
        frame.extend([1, 2, 3, 4]);
        frame.extend(
            payload
                .iter()
                .zip([1, 2, 3, 4].iter().cycle())
                .map(|(b, m)| b ^ m),
        );
        frame
    }

    #[test]
    fn the_key_of_the_specification_has_its_answer() {
        // RFC 6455 §1.3.
        let answer = accept("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn headers_take_as_many_bytes_as_their_length_needs() {
        for (len, bytes) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let (header, written) = frame_header(opcode::BINARY, len);
            assert_eq!((header[0], written), (0x82, bytes), "{len}");
        }
        assert_eq!(frame_header(2, 300).0[..4], [0x82, 126, 1, 44]);
        assert_eq!(
            frame_header(2, 70_000).0[..],
            [0x82, 127, 0, 0, 0, 0, 0, 1, 17, 112]
        );
    }

    #[test]
    fn pings_and_closes_are_understood_and_the_rest_is_measured() {
        let ping = masked(0x89, b"hello");
        assert_eq!(
            read_frame(&ping),
            Ok(Some((Frame::Ping(b"hello".to_vec()), ping.len())))
        );
        for cut in 0..ping.len() {
            assert_eq!(read_frame(&ping[..cut]), Ok(None), "{cut}");
        }
        let close = masked(0x88, &[3, 232]);
        assert_eq!(read_frame(&close), Ok(Some((Frame::Close, close.len()))));
        let long = masked(0x82, &[7; 300]);
        assert_eq!(read_frame(&long), Ok(Some((Frame::Data { len: 300 }, 8))));
        let text = masked(0x01, b"part");
        assert_eq!(read_frame(&text), Ok(Some((Frame::Data { len: 4 }, 6))));
    }

    #[test]
    fn what_clients_may_not_send_is_refused() {
        let mut unmasked = masked(0x89, b"");
        unmasked[1] = 0;
        for frame in [
            unmasked,
            masked(0xC1, b""),
            masked(0x83, b""),
            masked(0x09, b""),
            masked(0x89, &[0; 126]),
            vec![0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
        ] {
            assert!(read_frame(&frame).is_err(), "{frame:x?}");
        }
    }

    #[test]
    fn what_is_said_at_the_end_fits_into_a_frame() {
        let mut out = Vec::new();
        write_close(&mut out, CloseCode::Policy, &"\u{e9}".repeat(100));
        assert_eq!(out[..4], [0x88, 124, 3, 240]);
        assert_eq!(out.len(), 126);
    }
}
