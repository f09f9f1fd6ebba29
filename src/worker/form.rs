//! What a player gets that does not take the log as it is: without the halves it does not want,
//! on a message stream of its own, or, when it is a server that a stream is handed on to, with
//! metadata as encoders send it.

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use super::table::{Form, Player, Video};
use crate::limits::{FILTERED_BYTES, GATHERED_MESSAGE_BYTES};
use crate::rtmp::message::{MessageHeader, Payload, kind};
use crate::rtmp::reader::{ChunkReader, ReaderLimits};
use crate::rtmp::writer::write_message;
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
        if player.video == Video::AtSync && frame.sync && frame.kind == kind::VIDEO {
            player.video = Video::On;
            // Those that changed meanwhile were left out with the pictures.
            let headers = log.headers_at(start).of(kind::VIDEO);
            let mut encoded = Vec::new();
            let time = frame.timestamp;
            headers.write(&mut encoded, player.msid, time, time, chunk_size);
            gathered.copied.extend_from_slice(&encoded);
        }
        if is_wanted(player, &frame) {
            bytes += usize::try_from(frame.end - start).unwrap_or(usize::MAX);
            let is_data = player.form == Form::Publish && frame.kind == kind::DATA;
            match is_data.then(|| restore(log, start, frame.end, player.msid, chunk_size)) {
                Some(Some(restored)) => gathered.copied.extend_from_slice(&restored),
                _ => gathered.message(log, start, frame.end, player.msid),
            }
        }
    }
    reached
}

/// A data message of the log as an encoder would send it; None when it is the same.
fn restore(log: &StreamLog, start: u64, end: u64, msid: u32, chunk_size: usize) -> Option<Vec<u8>> {
    let mut wire = SmallVec::<[Bytes; 2]>::new();
    log.share(start, end, &mut wire);
    let wire = wire.concat();
    let mut reader = ChunkReader::new(ReaderLimits::PUBLISHER);
    reader.set_chunk_size(chunk_size);
    let message = reader.next(&wire, &mut 0).ok()??;
    // Those that count behind it: it may be what they have it from.
    let headers = log.headers_at(end);
    let body = headers.data_to_publish(&message.payload.to_vec())?;
    let header = MessageHeader {
        len: body.len(),
        msid,
        ..message.header
    };
    let mut restored = Vec::new();
    let payload = Payload::from_slice(&body);
    write_message(&mut restored, &header, &payload, chunk_size);
    Some(restored)
}

fn is_wanted(player: &Player, frame: &Frame) -> bool {
    match frame.kind {
        kind::AUDIO => player.audio,
        kind::VIDEO => player.video == Video::On,
        _ => true,
    }
}

/// Bytes of a type 0 chunk header up to and including the message stream id, RTMP 1.0 §5.3.1.2;
/// all chunk stream ids in a log take one byte.
const ADDRESSED_BYTES: usize = 12;

/// Messages on their way to one player. Small ones are copied together, since a slice for each
/// would make a write of a few dozen of them; the rest of long ones is held by reference.
pub(super) struct Gathered<'a> {
    pieces: &'a mut SmallVec<[Bytes; 2]>,
    /// What comes behind `pieces`.
    pub(super) copied: BytesMut,
}

impl<'a> Gathered<'a> {
    pub(super) fn new(pieces: &'a mut SmallVec<[Bytes; 2]>) -> Self {
        Self {
            pieces,
            copied: BytesMut::new(),
        }
    }

    /// Adds the message at `[start, end)`, on message stream `msid`.
    fn message(&mut self, log: &StreamLog, start: u64, end: u64, msid: u32) {
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
        if let Some((_, id)) = header.and_then(<[u8]>::split_last_chunk_mut) {
            *id = msid.to_le_bytes();
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
