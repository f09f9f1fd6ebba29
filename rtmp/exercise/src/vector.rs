//! A short stream to send: what the seeds of the fuzz targets and the joined sessions carry.

use tailwater_rtmp::amf0::Encoder;
use tailwater_rtmp::message::{MessageHeader, MessageStreamId, Timestamp, kind};

/// Metadata, two headers, a key frame of `picture_bytes` (5 at least), and sound beyond 24 bits of
/// time, all on message stream 1.
pub fn media(picture_bytes: usize) -> Vec<(MessageHeader, Vec<u8>)> {
    let message = |csid, message_kind, time, body: Vec<u8>| {
        let header = MessageHeader {
            csid,
            timestamp: Timestamp(time),
            kind: message_kind,
            msid: MessageStreamId(1),
            len: body.len(),
        };
        (header, body)
    };
    // No two bytes near each other are alike, so that none can take the place of another.
    let coded = (0..=255).cycle().take(picture_bytes.saturating_sub(5));
    let picture = [0x17, 1, 0, 0, 0].into_iter().chain(coded).collect();
    vec![
        message(5, kind::DATA, 0, metadata()),
        message(6, kind::VIDEO, 0, b"\x17\0\0\0\0\x01\x64\0\x28".to_vec()),
        message(4, kind::AUDIO, 0, b"\xAF\0\x12\x10".to_vec()),
        message(6, kind::VIDEO, 40, picture),
        message(4, kind::AUDIO, 0x0100_0000, b"\xAF\x01\x21\x10".to_vec()),
    ]
}

/// The body of the metadata, as encoders send it.
pub fn metadata() -> Vec<u8> {
    let mut body = Vec::new();
    let mut amf = Encoder::new(&mut body);
    amf.string("@setDataFrame").string("onMetaData");
    amf.begin_ecma_array(2).number_property("width", 1280.0);
    amf.string_property("encoder", "obs").end_object();
    body
}
