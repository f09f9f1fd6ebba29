//! What of a stream is content, and what only describes it: frames of audio and video and timed
//! data are, metadata and codec headers are not. A server that repeats those sends nothing.

use crate::rtmp::amf0::{Decoder, Limits, strip_amf3_prefix};
use crate::rtmp::media::{inspect_audio, inspect_video, needs_whole_audio, needs_whole_video};
use crate::rtmp::message::{HEAD_BYTES, Message, kind};

/// Handlers of data messages that describe a stream, or that servers send at its start.
const DESCRIBING: [&[u8]; 5] = [
    b"onMetaData",
    b"@setDataFrame",
    b"@clearDataFrame",
    b"|RtmpSampleAccess",
    b"onStatus",
];

/// Whether a message is content. `scratch` is used when its body has to be in one piece.
pub fn is_content(message: &Message<'_>, scratch: &mut Vec<u8>) -> bool {
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
        kind::DATA | kind::DATA_AMF3 => return is_content_data(header.kind, head),
        _ => return false,
    };
    seen.kind.is_coded()
}

/// The same of a data message that begins so: its handler is in the first bytes.
fn is_content_data(message_kind: u8, head: &[u8]) -> bool {
    let head = match message_kind {
        kind::DATA_AMF3 => strip_amf3_prefix(head),
        _ => head,
    };
    let mut decoder = Decoder::new(head, Limits::DEFAULT);
    let handler = decoder.next().ok().flatten();
    let handler = handler.and_then(|value| value.as_bytes());
    handler.is_some_and(|handler| !DESCRIBING.contains(&handler))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtmp::amf0::Encoder;
    use crate::rtmp::message::{MessageHeader, Payload, Timestamp};

    fn check(message_kind: u8, body: &[u8]) -> bool {
        let header = MessageHeader {
            csid: 4,
            timestamp: Timestamp(0),
            kind: message_kind,
            msid: 1,
            len: body.len(),
        };
        let payload = Payload::from_slice(body);
        is_content(&Message { header, payload }, &mut Vec::new())
    }

    #[test]
    fn frames_are_content_and_headers_are_not() {
        assert!(check(kind::VIDEO, &[0x17, 1, 0, 0, 0, 9]));
        assert!(check(kind::VIDEO, &[0x27, 1, 0, 0, 0, 9]));
        assert!(!check(kind::VIDEO, &[0x17, 0, 0, 0, 0, 9]));
        assert!(check(kind::AUDIO, &[0xAF, 1, 9]));
        assert!(!check(kind::AUDIO, &[0xAF, 0, 9]));
        assert!(!check(kind::COMMAND, &[0xAF, 1, 9]));
    }

    #[test]
    fn timed_data_is_content_and_metadata_is_not() {
        let data = |handler: &str| {
            let mut body = Vec::new();
            Encoder::new(&mut body).string(handler).string("text");
            body
        };
        assert!(check(kind::DATA, &data("onTextData")));
        assert!(check(
            kind::DATA_AMF3,
            &[&[0][..], &data("onCuePoint")].concat()
        ));
        for handler in ["onMetaData", "@setDataFrame", "|RtmpSampleAccess"] {
            assert!(!check(kind::DATA, &data(handler)), "{handler}");
        }
        assert!(!check(kind::DATA, &[]));
    }
}
