//! What a client sends without a session, as bytes in chunks of 128: for one that reads nothing,
//! or leaves in the middle.

use tailwater_rtmp::command::write_command;
use tailwater_rtmp::message::{MessageHeader, MessageStreamId, Payload, Timestamp, kind};
use tailwater_rtmp::writer::write_message;

use crate::commands;
use crate::media::Media;

/// Payload bytes of a chunk while nobody has said otherwise.
const CHUNK_BYTES: usize = 128;

/// C0, C1 and C2 of a plain handshake.
pub fn hello() -> Vec<u8> {
    let mut bytes = vec![0; 1 + 2 * 1_536];
    bytes[0] = 3;
    bytes
}

/// Everything up to `role`, which is `publish` or `play`, of the stream `name` of `app` on message
/// stream 1.
pub fn opening(role: &str, app: &str, name: &str) -> Vec<u8> {
    let mut bytes = hello();
    write_command(
        &mut bytes,
        MessageStreamId::CONTROL,
        CHUNK_BYTES,
        commands::connect(app),
    );
    write_command(
        &mut bytes,
        MessageStreamId::CONTROL,
        CHUNK_BYTES,
        commands::create_stream(),
    );
    write_command(
        &mut bytes,
        MessageStreamId(1),
        CHUNK_BYTES,
        commands::of_stream(role, name),
    );
    bytes
}

/// Appends a message of a type, at a time, on a message stream, in chunks of `chunk_size`, on the
/// chunk streams that most encoders use.
pub fn encode(
    out: &mut Vec<u8>,
    (kind, time, msid): (u8, u32, u32),
    body: &[u8],
    chunk_size: usize,
) {
    let header = MessageHeader {
        csid: if kind == kind::VIDEO { 6 } else { 4 },
        timestamp: Timestamp(time),
        kind,
        msid: MessageStreamId(msid),
        len: body.len(),
    };
    write_message(out, &header, &Payload::from_slice(body), chunk_size);
}

/// A message on message stream 1.
pub fn message(media: &Media) -> Vec<u8> {
    let mut bytes = Vec::new();
    let payload = Payload::from_slice(&media.payload);
    write_message(&mut bytes, &media.header(1), &payload, CHUNK_BYTES);
    bytes
}
