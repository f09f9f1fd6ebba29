//! What a player gets that does not take the log as it is: without the halves it does not want,
//! without pictures that it could not decode, on a message stream of its own, on a timeline of its
//! own, or, when it is a server that a stream is handed on to, with metadata as encoders send it.

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use super::session::Form;
use super::table::Player;
use crate::limits::{FILTERED_BYTES, GATHERED_MESSAGE_BYTES};
use crate::rtmp::message::{MessageHeader, Payload, Timestamp, kind};
use crate::rtmp::reader::{ChunkReader, ReaderLimits};
use crate::rtmp::writer::write_message;
use crate::stream::flv;
use crate::stream::headers::{HeaderTimes, Headers};
use crate::stream::log::{Frame, StreamLog};

/// Puts together what a player with a form of its own gets from `offset` on: without the halves
/// it does not want, and on its own message stream. Where it stands then.
pub(super) fn gather(
    log: &StreamLog,
    player: &mut Player,
    offset: u64,
    chunk_size: usize,
    gathered: &mut Gathered<'_>,
) -> u64 {
    let mut reached = offset;
    let mut bytes = 0;
    for (start, frame) in log.frames_from(offset) {
        if bytes >= FILTERED_BYTES {
            break;
        }
        reached = frame.end;
        if let Some(headers) = player.begin_pictures(log, (start, &frame)) {
            let headers = encode_headers(&headers, player, frame.timestamp, chunk_size);
            gathered.copied.extend_from_slice(&headers);
        }
        if player.wants(&frame) {
            bytes += usize::try_from(frame.end - start).unwrap_or(usize::MAX);
            match rewrite(log, (start, frame), player, chunk_size) {
                Some(rewritten) => gathered.copied.extend_from_slice(&rewritten),
                None => gathered.message(log, (start, frame), player),
            }
        }
    }
    player.note_tracks(log);
    reached
}

/// Headers in the form a player gets them, stamped for a message at `time` of the stream.
fn encode_headers(
    headers: &Headers,
    player: &Player,
    time: Timestamp,
    chunk_size: usize,
) -> Vec<u8> {
    let mut encoded = Vec::new();
    let at = HeaderTimes::all(time.plus(player.shift()));
    match player.form() {
        Form::Play | Form::Publish => headers.write(&mut encoded, player.msid(), at, chunk_size),
        Form::Flv(framing) => flv::write_headers(headers, &mut encoded, framing, at),
    }
    encoded
}

/// A message of the log as a player is to get it, where its header alone does not tell that:
/// metadata as an encoder would send it, and a time that takes more or less room. None for any
/// other.
fn rewrite(
    log: &StreamLog,
    (start, frame): (u64, Frame),
    player: &Player,
    chunk_size: usize,
) -> Option<Vec<u8>> {
    let timestamp = frame.timestamp.plus(player.shift());
    let is_long = |time: Timestamp| time.0 >= EXTENDED_FROM;
    let takes_other_room = player.shift() != 0 && (is_long(timestamp) || is_long(frame.timestamp));
    let is_metadata = player.form() == Form::Publish && frame.kind == kind::DATA;
    if !takes_other_room && !is_metadata {
        return None;
    }
    let mut wire = SmallVec::<[Bytes; 2]>::new();
    log.share(start, frame.end, &mut wire);
    let wire = wire.concat();
    let mut reader = ChunkReader::new(ReaderLimits::PUBLISHER);
    reader.set_chunk_size(chunk_size);
    let message = reader.next(&wire, &mut 0).ok()??;
    let body = message.payload.to_vec();
    // Those that count behind it: it may be what they have it from.
    let headers = log.headers_at(frame.end);
    let body = match is_metadata.then(|| headers.data_to_publish(&body)) {
        Some(Some(restored)) => restored,
        Some(None) if !takes_other_room => return None,
        _ => body,
    };
    let header = MessageHeader {
        len: body.len(),
        msid: player.msid(),
        timestamp,
        ..message.header
    };
    let mut rewritten = Vec::new();
    let payload = Payload::from_slice(&body);
    write_message(&mut rewritten, &header, &payload, chunk_size);
    Some(rewritten)
}

/// Times from here on take four bytes more in each chunk, RTMP 1.0 section 5.3.1.3.
const EXTENDED_FROM: u32 = 0xFF_FFFF;

/// Bytes of a type 0 chunk header up to and including the message stream id, RTMP 1.0 §5.3.1.2;
/// all chunk stream ids in a log take one byte.
const ADDRESSED_BYTES: usize = 12;

/// Messages on their way to one player. Small ones are copied together, since a slice for each
/// would make a write of a few dozen of them; the rest of long ones is held by reference.
pub(super) struct Gathered<'a> {
    pieces: &'a mut SmallVec<[Bytes; 1]>,
    /// What comes behind `pieces`.
    pub(super) copied: BytesMut,
}

impl<'a> Gathered<'a> {
    pub(super) fn new(pieces: &'a mut SmallVec<[Bytes; 1]>) -> Self {
        Self {
            pieces,
            copied: BytesMut::new(),
        }
    }

    /// Adds the message that begins at `start`, on the message stream of the player and at its
    /// time; tags have neither.
    fn message(&mut self, log: &StreamLog, (start, frame): (u64, Frame), player: &Player) {
        let end = frame.end;
        let is_small = end - start <= GATHERED_MESSAGE_BYTES as u64;
        let copied_to = if is_small {
            end
        } else {
            start + ADDRESSED_BYTES as u64
        };
        let at = self.copied.len();
        let mut parts = SmallVec::<[Bytes; 2]>::new();
        log.share(start, copied_to, &mut parts);
        for part in &parts {
            self.copied.extend_from_slice(part);
        }
        let header = self.copied.get_mut(at..at + ADDRESSED_BYTES);
        if let Some([_, time @ .., _, _, _, _, id0, id1, id2, id3]) = header
            && !player.is_by_http()
        {
            let ids = player.msid().0.to_le_bytes();
            [*id0, *id1, *id2, *id3] = ids;
            if player.shift() != 0 {
                let [_, stamp @ ..] = frame.timestamp.plus(player.shift()).0.to_be_bytes();
                time.copy_from_slice(&stamp);
            }
        }
        if !is_small {
            self.end();
            log.share(copied_to, end, self.pieces);
        }
    }

    /// Puts what is copied so far behind the pieces.
    pub(super) fn end(&mut self) {
        if !self.copied.is_empty() {
            self.pieces.push(self.copied.split().freeze());
        }
    }
}
