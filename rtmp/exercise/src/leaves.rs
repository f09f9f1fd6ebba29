//! Fuzz entries of the parts that have no session: AMF0, the handshake, the chunk reader by itself,
//! what is told of media, and names.

use tailwater_rtmp::amf0::{self, Decoder, Value, strip_amf3_prefix};
use tailwater_rtmp::error::ProtocolError;
use tailwater_rtmp::handshake::{Handshake, Mode};
use tailwater_rtmp::limits::{NAME_BYTES_MAX, QUERY_BYTES_MAX};
use tailwater_rtmp::media::{
    FrameKind, inspect_audio, inspect_video, needs_whole_audio, needs_whole_video,
};
use tailwater_rtmp::message::kind;
use tailwater_rtmp::name::{app_from_connect, stream_name};
use tailwater_rtmp::reader::{ChunkReader, ReaderLimits};

use crate::HANDSHAKE_BYTES;

/// AMF0: decodes all of `data`, walks all of what came out, and asserts the budgets.
pub fn amf0(data: &[u8]) {
    for body in [data, strip_amf3_prefix(data)] {
        let mut decoder = Decoder::new(body, amf0::Limits::DEFAULT);
        let mut nodes = 0;
        while let Ok(Some(value)) = decoder.next() {
            nodes += walk(value, 0);
        }
        assert!(nodes <= amf0::Limits::DEFAULT.nodes, "{nodes} values");
        assert_eq!(decoder.next().is_ok(), decoder.rest().is_empty());
    }
}

/// Counts this value and all inside it, `outside` objects and arrays deep.
fn walk(value: Value<'_>, outside: u8) -> u32 {
    let depth = match value {
        Value::Object(_) | Value::StrictArray(_) => outside + 1,
        _ => outside,
    };
    assert!(depth <= amf0::Limits::DEFAULT.depth, "{depth} deep");
    let inside: u32 = match value {
        Value::Object(object) => object.iter().map(|(_, value)| walk(value, depth)).sum(),
        Value::StrictArray(array) => array.iter().map(|value| walk(value, depth)).sum(),
        _ => 0,
    };
    1 + inside
}

/// The handshake: feeds `data` to both roles, whole and cut where its first byte says, and asserts
/// that the cut changes nothing.
pub fn handshake(data: &[u8]) {
    let (cut, input) = data.split_first().unwrap_or((&0, &[]));
    let (head, tail) = input.split_at(usize::from(*cut) * 13 % (input.len() + 1));
    let server = |parts: &[&[u8]]| {
        let mut server = Handshake::server(1);
        feed(parts, |part, out| server.handle_input(part, out))
    };
    assert_eq!(server(&[input]), server(&[head, tail]));
    for mode in [Mode::Plain, Mode::Digest] {
        let client = |parts: &[&[u8]]| {
            let mut client = Handshake::client(mode, 2, &mut Vec::new());
            feed(parts, |part, out| client.handle_input(part, out))
        };
        assert_eq!(client(&[input]), client(&[head, tail]));
    }
}

/// What went out and how much was consumed, or the error that ended it.
fn feed(
    parts: &[&[u8]],
    mut handle: impl FnMut(&[u8], &mut Vec<u8>) -> Result<usize, ProtocolError>,
) -> Result<(usize, Vec<u8>), ProtocolError> {
    let (mut consumed, mut out) = (0, Vec::new());
    for part in parts {
        consumed += handle(part, &mut out)?;
    }
    assert!(consumed <= HANDSHAKE_BYTES);
    Ok((consumed, out))
}

/// The chunk reader: reads all of `data` as one chunk stream, in pieces whose length its first byte
/// chooses.
pub fn reader(data: &[u8]) {
    let Some((&step, data)) = data.split_first() else {
        return;
    };
    let mut reader = ChunkReader::new(ReaderLimits {
        video_bytes: 1 << 20,
        audio_bytes: 1 << 16,
        data_bytes: 1 << 16,
        other_bytes: 1 << 16,
        chunk_streams: 16,
        partial_messages: 8,
        partial_bytes: 1 << 20,
        skip_media: false,
    });
    for input in data.chunks(usize::from(step).max(1)) {
        let mut at = 0;
        loop {
            match reader.next(input, &mut at) {
                Ok(Some(message)) if message.header.kind == kind::SET_CHUNK_SIZE => {
                    let size = message
                        .payload
                        .to_vec()
                        .first()
                        .map_or(1, |&byte| byte.max(1));
                    reader.set_chunk_size(usize::from(size));
                }
                Ok(Some(message)) => assert_eq!(message.payload.len(), message.header.len),
                Ok(None) => break,
                Err(_) => return,
            }
        }
        reader.hold(input);
    }
}

/// Inspection of media, on arbitrary bytes: it must not panic, and a prefix must tell as much as
/// the whole unless the whole is asked for.
pub fn media(data: &[u8]) {
    let head = data.get(..64).unwrap_or(data);
    let video = inspect_video(data, data.len());
    let audio = inspect_audio(data, data.len());
    assert!(needs_whole_video(head) || inspect_video(head, data.len()) == video);
    assert!(needs_whole_audio(head) || inspect_audio(head, data.len()) == audio);
    for seen in [video, audio] {
        assert!(!seen.tracks.is_empty());
        assert!(!seen.sync || seen.kind == FrameKind::Keyframe);
        assert!(!seen.sync || seen.tracks.contains(seen.first_track));
        assert!(seen.codec.is_none_or(|codec| codec.to_string().is_ascii()));
    }
    inspect_video(head, usize::MAX);
    inspect_audio(head, usize::MAX);
    let half = &data[..data.len() / 2];
    assert_eq!(
        inspect_video(data, half.len()),
        inspect_video(half, half.len())
    );
    assert_eq!(
        inspect_audio(data, half.len()),
        inspect_audio(half, half.len())
    );
}

/// Names: everything of them, on `app`, `tcUrl` and a stream name split at bytes of 0xFF: nothing
/// panics, and every name that comes out is within the limits and the same whichever way it is
/// cut.
pub fn name(data: &[u8]) {
    let mut parts = data.splitn(3, |&byte| byte == 0xFF);
    let (app, tc_url, raw) = (parts.next(), parts.next(), parts.next());
    let Ok(app) = app_from_connect(app, tc_url) else {
        return;
    };
    assert!(app.app.len() <= NAME_BYTES_MAX && app.query.len() <= QUERY_BYTES_MAX);
    let Ok(name) = stream_name(&app, raw.unwrap_or_default()) else {
        return;
    };
    let key = name.key();
    assert!(key.len() <= NAME_BYTES_MAX && name.query.len() <= QUERY_BYTES_MAX);
    assert!(
        key.split('/')
            .all(|segment| !segment.is_empty() && !segment.starts_with('.'))
    );
    assert!(
        !key.chars()
            .any(|found| found.is_control() || "\"\\{}?".contains(found))
    );
    let cuts = key.match_indices('/').map(|(at, _)| at);
    for at in cuts.chain([0, key.len()]) {
        let app = app_from_connect(Some(&key.as_bytes()[..at]), None);
        let again = app.and_then(|app| stream_name(&app, &key.as_bytes()[at..]));
        assert!(again.is_ok_and(|again| again.key() == key));
    }
}
