//! What came of reading an input, so that two ways of reading it can be compared.

use crate::Reached;
use tailwater_rtmp::error::ProtocolError;
use tailwater_rtmp::message::{Message, MessageHeader, Payload};

#[derive(Debug, PartialEq)]
pub(super) enum Told {
    /// A message: its header, and a sum of its payload.
    Message(MessageHeader, u64),
    Words(String),
}

impl Told {
    pub(super) fn message(message: &Message<'_>) -> Self {
        assert_eq!(message.payload.len(), message.header.len);
        Self::Message(message.header, sum(&message.payload))
    }
}

/// FNV-1a over the payload, whatever pieces it lies in.
fn sum(payload: &Payload<'_>) -> u64 {
    let bytes = payload.slices().flatten();
    bytes.fold(0xCBF2_9CE4_8422_2325, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

/// All that came of an input.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) told: Vec<Told>,
    pub(super) replies: Vec<Told>,
    pub(super) end: Option<ProtocolError>,
    /// The end came from what is looked at once for each input and not for each message.
    pub(super) at_input_end: bool,
}

impl Outcome {
    pub(super) fn reached(&self) -> Reached {
        let is_media = |told: &&Told| matches!(told, Told::Message(..));
        Reached {
            events: self.told.len(),
            media: self.told.iter().filter(is_media).count(),
            replies: self.replies.len(),
            end: self.end.map(|error| error.code()),
        }
    }
}

/// The same whichever way the bytes were cut. A limit that is looked at once an input may end one
/// of the two earlier; then they are the same up to there.
pub(super) fn assert_alike(one: &Outcome, other: &Outcome) {
    if !one.at_input_end && !other.at_input_end {
        assert_eq!(one.told, other.told);
        assert_eq!(one.replies, other.replies);
        assert_eq!(one.end, other.end);
        return;
    }
    for (one, other) in [(&one.told, &other.told), (&one.replies, &other.replies)] {
        let both = one.len().min(other.len());
        assert_eq!(one[..both], other[..both]);
    }
}
