//! Protocol control and user control messages, decoded and encoded. RTMP 1.0 §5.4, §6.2.

use smallvec::SmallVec;

use super::error::ProtocolError;
use super::message::{
    HEAD_BYTES, Message, MessageHeader, MessageStreamId, Payload, Timestamp, kind,
};
use super::writer::{Sink, write_message};

/// A body on the stack; the longest has ten bytes.
type Body = SmallVec<[u8; 16]>;

/// The chunk stream that control messages travel on. RTMP 1.0 §5.4.
const CSID_CONTROL: u32 = 2;

/// A protocol control message or a user control message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Chunks of the sender carry at most this many payload bytes from now on.
    SetChunkSize(u32),
    /// The incomplete message on this chunk stream is given up.
    Abort(u32),
    /// Bytes the sender has received so far, modulo 2^32.
    Acknowledgement(u32),
    /// The receiver of this message acknowledges at least every so many bytes.
    WindowAckSize(u32),
    /// The sender wants to be sent no more than this window unacknowledged.
    SetPeerBandwidth {
        /// The window in bytes.
        window: u32,
        /// 0 hard, 1 soft, 2 dynamic.
        limit: u8,
    },
    /// A user control event.
    User(UserControl),
}

/// User control events. RTMP 1.0 §7.1.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserControl {
    /// The message stream carries data from now on.
    StreamBegin(MessageStreamId),
    /// Playback of the message stream is over.
    StreamEof(MessageStreamId),
    /// There is no more data on the message stream for now.
    StreamDry(MessageStreamId),
    /// The client buffers so many milliseconds of the message stream.
    SetBufferLength {
        /// The message stream id.
        msid: MessageStreamId,
        /// The buffer in milliseconds.
        buffer_ms: u32,
    },
    /// The message stream is a recorded one.
    StreamIsRecorded(MessageStreamId),
    /// Are you there; carries the sender's clock.
    PingRequest(u32),
    /// The answer to a ping, with the clock of the request.
    PingResponse(u32),
    /// An event of other servers that nothing here depends on, or one too short to read.
    Other(u16),
}

impl Control {
    /// Reads a control message; None when `message` is of another kind.
    ///
    /// # Errors
    /// The message is shorter than its fixed body.
    pub fn decode(message: &Message<'_>) -> Result<Option<Self>, ProtocolError> {
        let message_kind = message.header.kind;
        if !(kind::SET_CHUNK_SIZE..=kind::SET_PEER_BANDWIDTH).contains(&message_kind) {
            return Ok(None);
        }
        let mut scratch = [0; HEAD_BYTES];
        let body = message.payload.head(&mut scratch);
        let short = ProtocolError::ShortControl {
            kind: message_kind,
            got: body.len(),
        };
        if message_kind == kind::USER_CONTROL {
            return UserControl::decode(body)
                .map(Self::User)
                .ok_or(short)
                .map(Some);
        }
        let value = be32(body, 0).ok_or(short)?;
        Ok(Some(match message_kind {
            kind::SET_CHUNK_SIZE => Self::SetChunkSize(value),
            kind::ABORT => Self::Abort(value),
            kind::ACKNOWLEDGEMENT => Self::Acknowledgement(value),
            kind::WINDOW_ACK_SIZE => Self::WindowAckSize(value),
            // Some peers leave the limit type out; dynamic is what it then means to us.
            _ => Self::SetPeerBandwidth {
                window: value,
                limit: *body.get(4).unwrap_or(&2),
            },
        }))
    }

    /// Bytes in the body of such a message when it is whole.
    pub(super) fn body_bytes(&self) -> usize {
        match self {
            Self::SetPeerBandwidth { .. } => 5,
            // A short one reads as an event nobody knows.
            Self::User(_) => 2,
            _ => 4,
        }
    }

    /// Writes this message in one chunk.
    pub fn encode(&self, sink: &mut impl Sink) {
        let mut body = Body::new();
        let message_kind = match *self {
            Self::SetChunkSize(value) => push(&mut body, kind::SET_CHUNK_SIZE, value),
            Self::Abort(csid) => push(&mut body, kind::ABORT, csid),
            Self::Acknowledgement(bytes) => push(&mut body, kind::ACKNOWLEDGEMENT, bytes),
            Self::WindowAckSize(bytes) => push(&mut body, kind::WINDOW_ACK_SIZE, bytes),
            Self::SetPeerBandwidth { window, limit } => {
                push(&mut body, kind::SET_PEER_BANDWIDTH, window);
                body.push(limit);
                kind::SET_PEER_BANDWIDTH
            }
            Self::User(event) => {
                event.encode(&mut body);
                kind::USER_CONTROL
            }
        };
        let header = MessageHeader {
            csid: CSID_CONTROL,
            timestamp: Timestamp(0),
            kind: message_kind,
            msid: MessageStreamId::CONTROL,
            len: body.len(),
        };
        write_message(sink, &header, &Payload::from_slice(&body), body.len());
    }
}

impl UserControl {
    /// None when there is not even an event type.
    fn decode(body: &[u8]) -> Option<Self> {
        let event = u16::from_be_bytes([*body.first()?, *body.get(1)?]);
        let Some(value) = be32(body, 2) else {
            return Some(Self::Other(event));
        };
        let msid = MessageStreamId(value);
        Some(match event {
            0 => Self::StreamBegin(msid),
            1 => Self::StreamEof(msid),
            2 => Self::StreamDry(msid),
            3 => match be32(body, 6) {
                Some(buffer_ms) => Self::SetBufferLength { msid, buffer_ms },
                None => Self::Other(event),
            },
            4 => Self::StreamIsRecorded(msid),
            6 => Self::PingRequest(value),
            7 => Self::PingResponse(value),
            _ => Self::Other(event),
        })
    }

    fn encode(self, body: &mut Body) {
        let (event, value) = match self {
            Self::StreamBegin(msid) => (0, Some(msid.0)),
            Self::StreamEof(msid) => (1, Some(msid.0)),
            Self::StreamDry(msid) => (2, Some(msid.0)),
            Self::SetBufferLength { msid, .. } => (3, Some(msid.0)),
            Self::StreamIsRecorded(msid) => (4, Some(msid.0)),
            Self::PingRequest(time) => (6, Some(time)),
            Self::PingResponse(time) => (7, Some(time)),
            Self::Other(event) => (event, None),
        };
        body.extend_from_slice(&event.to_be_bytes());
        if let Some(value) = value {
            body.extend_from_slice(&value.to_be_bytes());
        }
        if let Self::SetBufferLength { buffer_ms, .. } = self {
            body.extend_from_slice(&buffer_ms.to_be_bytes());
        }
    }
}

fn push(body: &mut Body, message_kind: u8, value: u32) -> u8 {
    body.extend_from_slice(&value.to_be_bytes());
    message_kind
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::{ChunkReader, ReaderLimits};

    fn decode(message_kind: u8, body: &[u8]) -> Result<Option<Control>, ProtocolError> {
        let header = MessageHeader {
            csid: 2,
            timestamp: Timestamp(0),
            kind: message_kind,
            msid: MessageStreamId::CONTROL,
            len: body.len(),
        };
        Control::decode(&Message {
            header,
            payload: Payload::from_slice(body),
        })
    }

    #[test]
    fn every_control_message_survives_the_wire() {
        let all = [
            Control::SetChunkSize(65_536),
            Control::Abort(6),
            Control::Acknowledgement(u32::MAX),
            Control::WindowAckSize(2_500_000),
            Control::SetPeerBandwidth {
                window: 2_500_000,
                limit: 2,
            },
            Control::User(UserControl::StreamBegin(MessageStreamId(1))),
            Control::User(UserControl::StreamEof(MessageStreamId(1))),
            Control::User(UserControl::StreamDry(MessageStreamId(1))),
            Control::User(UserControl::SetBufferLength {
                msid: MessageStreamId(1),
                buffer_ms: 3_000,
            }),
            Control::User(UserControl::StreamIsRecorded(MessageStreamId(1))),
            Control::User(UserControl::PingRequest(77)),
            Control::User(UserControl::PingResponse(77)),
            Control::User(UserControl::Other(31)),
        ];
        for control in all {
            let mut wire = Vec::new();
            control.encode(&mut wire);
            let mut reader = ChunkReader::new(ReaderLimits::UNAUTHORISED);
            let mut at = 0;
            let message = reader.next(&wire, &mut at).unwrap().unwrap();
            assert_eq!(message.header.csid, 2);
            assert_eq!(Control::decode(&message), Ok(Some(control)));
            assert_eq!(at, wire.len());
        }
    }

    #[test]
    fn short_bodies_are_refused_and_long_ones_cut() {
        for message_kind in [1, 2, 3, 5, 6] {
            for len in 0..4 {
                let short = ProtocolError::ShortControl {
                    kind: message_kind,
                    got: len,
                };
                assert_eq!(decode(message_kind, &[0; 4][..len]), Err(short));
            }
        }
        let short = ProtocolError::ShortControl { kind: 4, got: 1 };
        assert_eq!(decode(4, &[0]), Err(short));
        assert_eq!(
            decode(1, &[0, 0, 2, 0, 9, 9]),
            Ok(Some(Control::SetChunkSize(512)))
        );
        let ping = Control::User(UserControl::Other(6));
        assert_eq!(decode(4, &[0, 6, 1]), Ok(Some(ping)));
        assert_eq!(decode(8, &[]), Ok(None));
    }
}
