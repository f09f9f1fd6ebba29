//! What of a stream is content, and what only describes it: frames of audio and video and timed
//! data are; metadata, codec headers and statuses of a server are not, nor are bytes that make no
//! frame. A server that repeats those sends nothing.

use crate::rtmp::amf0::{Decoder, Limits, strip_amf3_prefix};
use crate::rtmp::media::{
    FrameKind, inspect_audio, inspect_video, needs_whole_audio, needs_whole_video,
};
use crate::rtmp::message::{HEAD_BYTES, Message, kind};

/// Handlers of data messages that describe a stream, or that servers send beside it.
const DESCRIBING: [&[u8]; 6] = [
    b"onMetaData",
    b"@setDataFrame",
    b"@clearDataFrame",
    b"|RtmpSampleAccess",
    b"onStatus",
    b"onPlayStatus",
];

/// What of a stream a message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing of it.
    Nothing,
    /// Timed data.
    Data,
    /// A frame of audio or video.
    Frame,
}

/// What a message has. `scratch` is used when its body has to be in one piece.
pub fn content_of(message: &Message<'_>, scratch: &mut Vec<u8>) -> Content {
    let Message { header, payload } = message;
    let mut head_scratch = [0; HEAD_BYTES];
    let mut head = payload.head(&mut head_scratch);
    let seen = match header.kind {
        kind::VIDEO => {
            if needs_whole_video(head) {
                head = payload.contiguous(scratch);
            }
            inspect_video(head, payload.len())
        }
        kind::AUDIO => {
            if needs_whole_audio(head) {
                head = payload.contiguous(scratch);
            }
            inspect_audio(head, payload.len())
        }
        kind::DATA | kind::DATA_AMF3 if is_timed_data(header.kind, head) => return Content::Data,
        _ => return Content::Nothing,
    };
    match seen.kind.is_coded() && seen.kind != FrameKind::Unknown {
        true => Content::Frame,
        false => Content::Nothing,
    }
}

/// Whether a data message that begins so is timed data: its handler is in the first bytes.
fn is_timed_data(message_kind: u8, head: &[u8]) -> bool {
    let head = match message_kind {
        kind::DATA_AMF3 => strip_amf3_prefix(head),
        _ => head,
    };
    let mut decoder = Decoder::new(head, Limits::DEFAULT);
    let handler = decoder.next().ok().flatten();
    let handler = handler.and_then(|value| value.as_bytes());
    handler.is_some_and(|handler| !describes(handler))
}

/// Whether a data message with this handler describes the stream, and is about no moment of it.
pub(super) fn describes(handler: &[u8]) -> bool {
    DESCRIBING.contains(&handler)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtmp::amf0::Encoder;
    use crate::rtmp::message::{MessageHeader, MessageStreamId, Payload, Timestamp};

    fn check(message_kind: u8, body: &[u8]) -> Content {
        let header = MessageHeader {
            csid: 4,
            timestamp: Timestamp(0),
            kind: message_kind,
            msid: MessageStreamId(1),
            len: body.len(),
        };
        let payload = Payload::from_slice(body);
        content_of(&Message { header, payload }, &mut Vec::new())
    }

    #[test]
    fn frames_are_content_and_headers_are_not() {
        let frames = [
            (kind::VIDEO, &[0x17, 1, 0, 0, 0, 9][..]),
            (kind::VIDEO, &[0x27, 1, 0, 0, 0, 9]),
            (kind::VIDEO, b"\xA1avc1\0\0\0\x09"),
            (kind::AUDIO, &[0xAF, 1, 9]),
        ];
        for (message_kind, body) in frames {
            assert_eq!(check(message_kind, body), Content::Frame, "{body:02x?}");
        }
        let others = [
            (kind::VIDEO, &[0x17, 0, 0, 0, 0, 9][..]),
            (kind::AUDIO, &[0xAF, 0, 9]),
            (kind::COMMAND, &[0xAF, 1, 9]),
        ];
        for (message_kind, body) in others {
            assert_eq!(check(message_kind, body), Content::Nothing, "{body:02x?}");
        }
    }

    #[test]
    fn bytes_that_make_no_frame_are_no_content() {
        let audio: [&[u8]; 4] = [&[], &[0xAF], &[0xAF, 1], &[0xAF, 2]];
        for body in audio {
            assert_eq!(check(kind::AUDIO, body), Content::Nothing, "{body:02x?}");
        }
        let video: [&[u8]; 5] = [&[], &[0x17], &[0x17, 2, 0, 0, 0], &[0x57, 0], b"\xA1avc"];
        for body in video {
            assert_eq!(check(kind::VIDEO, body), Content::Nothing, "{body:02x?}");
        }
    }

    #[test]
    fn timed_data_is_content_and_metadata_is_not() {
        let data = |handler: &str| {
            let mut body = Vec::new();
            Encoder::new(&mut body).string(handler).string("text");
            body
        };
        let text = data("onTextData");
        assert_eq!(check(kind::DATA, &text), Content::Data);
        let cue = [&[0][..], &data("onCuePoint")].concat();
        assert_eq!(check(kind::DATA_AMF3, &cue), Content::Data);
        for handler in [
            "onMetaData",
            "@setDataFrame",
            "|RtmpSampleAccess",
            "onStatus",
            "onPlayStatus",
        ] {
            let told = data(handler);
            assert_eq!(check(kind::DATA, &told), Content::Nothing, "{handler}");
        }
        assert_eq!(check(kind::DATA, &[]), Content::Nothing);
    }
}
