//! Pieces of the relay alone, in memory: what the micro-benchmarks time, the tests run with tiny
//! inputs, and the comparison reports. Each piece gives a [`Sum`] of what it did, so that it
//! cannot be optimised away or quietly do nothing, and so that two ways of doing the same thing
//! can be held against each other.

use std::io::IoSlice;
use std::time::Duration;

use rml_rtmp::chunk_io::ChunkDeserializer;
use tailwater::limits::RING_BYTES;
use tailwater::rtmp::amf0::{Decoder, Encoder, Limits, Value};
use tailwater::rtmp::message::{Payload, Timestamp, kind};
use tailwater::rtmp::reader::{ChunkReader, ReaderLimits};
use tailwater::stream::block::BlockPool;
use tailwater::stream::cursor::{Cursor, Place};
use tailwater::stream::flv::{FlvLogs, Framing};
use tailwater::stream::log::{LogLimits, StreamLog};
use tailwater_testkit::script;

use crate::measure::{median, now_ns};
use crate::media::{Label, Media, Schedule, Shape};

/// The stream whose messages are used.
pub const SHAPE: Shape = Shape {
    bitrate: 600_000,
    frame_rate: 25,
    key_interval: 50,
};

/// What a piece did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Messages, values or writes.
    pub items: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Of their contents.
    pub check: u64,
}

impl Sum {
    fn add(&mut self, bytes: usize, check: u64) {
        self.items += 1;
        self.bytes += bytes as u64;
        self.check = self.check.rotate_left(5).wrapping_add(check);
    }
}

/// The messages of one stream, ready to be encoded.
fn messages(count: usize) -> Vec<(u8, u32, Vec<u8>)> {
    let media = Media::new(SHAPE);
    let mut schedule = Schedule::new(&SHAPE);
    let next = |_| {
        let due = schedule.peek();
        schedule.advance();
        let label = Label {
            kind: due.kind,
            stream: 0,
            number: due.number,
            sent_ns: due.at_ns,
        };
        let mut body = Vec::new();
        media.write(&label, &mut body);
        (due.kind, due.timestamp, body)
    };
    (0..count).map(next).collect()
}

/// Chunks on the wire, as a publisher sends them.
pub struct Chunks {
    wire: Vec<u8>,
    chunk_size: usize,
    /// Where [`Chunks::copy`] puts them.
    copy: Vec<u8>,
}

impl Chunks {
    /// `count` messages in chunks of `chunk_size`.
    pub fn new(count: usize, chunk_size: usize) -> Self {
        let mut wire = Vec::new();
        for (message_kind, time, body) in messages(count) {
            script::encode(&mut wire, (message_kind, time, 1), &body, chunk_size);
        }
        Self {
            wire,
            chunk_size,
            copy: vec![0; RING_BYTES],
        }
    }

    /// Bytes on the wire.
    pub fn len(&self) -> usize {
        self.wire.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.wire.is_empty()
    }

    /// Reads all of it, a ring at a time, as the relay does.
    pub fn read(&self) -> Sum {
        let mut reader = ChunkReader::new(ReaderLimits::PUBLISHER);
        reader.set_chunk_size(self.chunk_size);
        let mut sum = Sum::default();
        for input in self.wire.chunks(RING_BYTES) {
            let mut at = 0;
            while let Ok(Some(message)) = reader.next(input, &mut at) {
                let first = message.payload.slices().next().and_then(<[u8]>::first);
                let check = u64::from(message.header.timestamp.0) << 8;
                sum.add(
                    message.payload.len(),
                    check | u64::from(*first.unwrap_or(&0)),
                );
            }
            reader.hold(input);
        }
        sum
    }

    /// Reads all of it with rml_rtmp.
    pub fn read_with_rml(&self) -> Sum {
        let mut reader = ChunkDeserializer::new();
        let mut sum = Sum::default();
        if reader.set_max_chunk_size(self.chunk_size).is_err() {
            return sum;
        }
        for input in self.wire.chunks(RING_BYTES) {
            let mut next = input;
            while let Ok(Some(message)) = reader.get_next_message(next) {
                next = &[];
                let check = u64::from(message.timestamp.value) << 8;
                let first = message.data.first();
                sum.add(message.data.len(), check | u64::from(*first.unwrap_or(&0)));
            }
        }
        sum
    }

    /// Copies all of it, a ring at a time.
    pub fn copy(&mut self) -> Sum {
        let mut sum = Sum::default();
        for input in self.wire.chunks(RING_BYTES) {
            let copy = &mut self.copy[..input.len()];
            copy.copy_from_slice(input);
            // Without this the copy could be left out.
            let last = std::hint::black_box(&copy).last();
            sum.add(input.len(), u64::from(*last.unwrap_or(&0)));
        }
        sum
    }
}

/// Messages to be written as chunks.
pub struct Writing {
    messages: Vec<(u8, u32, Vec<u8>)>,
    chunk_size: usize,
    out: Vec<u8>,
}

impl Writing {
    /// `count` messages for chunks of `chunk_size`.
    pub fn new(count: usize, chunk_size: usize) -> Self {
        Self {
            messages: messages(count),
            chunk_size,
            out: Vec::new(),
        }
    }

    /// Writes them all.
    pub fn write(&mut self) -> Sum {
        let mut sum = Sum::default();
        for (message_kind, time, body) in &self.messages {
            self.out.clear();
            let message = (*message_kind, *time, 1);
            script::encode(&mut self.out, message, body, self.chunk_size);
            let last = std::hint::black_box(&self.out).last();
            sum.add(self.out.len(), u64::from(*last.unwrap_or(&0)));
        }
        sum
    }
}

/// Bodies of commands and metadata.
pub struct Values {
    bodies: Vec<Vec<u8>>,
}

impl Values {
    /// A connect command like an encoder's, and onMetaData.
    pub fn new() -> Self {
        let mut connect = Vec::new();
        let mut amf = Encoder::new(&mut connect);
        amf.string("connect").number(1.0).begin_object();
        for (key, text) in [
            ("app", "live"),
            ("type", "nonprivate"),
            ("flashVer", "FMLE/3.0 (compatible; FMSc/1.0)"),
            ("swfUrl", "rtmp://relay.example/live"),
            ("tcUrl", "rtmp://relay.example/live"),
        ] {
            amf.string_property(key, text);
        }
        amf.key("fourCcList").strict_array_header(3);
        amf.string("av01").string("hvc1").string("vp09");
        amf.key("videoFourCcInfoMap").begin_object();
        amf.number_property("*", 4.0).end_object();
        amf.boolean_property("fpad", false)
            .number_property("capsEx", 6.0);
        amf.end_object();
        let [(_, metadata), ..] = Media::new(SHAPE).headers();
        Self {
            bodies: vec![connect, metadata],
        }
    }

    /// Decodes all values of both and walks through all properties.
    pub fn decode(&self) -> Sum {
        let mut sum = Sum::default();
        for body in &self.bodies {
            let mut decoder = Decoder::new(body, Limits::DEFAULT);
            while let Ok(Some(value)) = decoder.next() {
                walk(&value, &mut sum);
            }
        }
        sum
    }
}

impl Default for Values {
    fn default() -> Self {
        Self::new()
    }
}

fn walk(value: &Value<'_>, sum: &mut Sum) {
    match value {
        Value::Number(number) => sum.add(8, number.to_bits()),
        Value::String(text) => sum.add(text.len(), text.first().copied().unwrap_or(0).into()),
        Value::Object(object) => {
            for (key, value) in object.iter() {
                sum.add(key.len(), 1);
                walk(&value, sum);
            }
        }
        Value::StrictArray(array) => {
            for value in array.iter() {
                walk(&value, sum);
            }
        }
        _ => sum.add(1, 2),
    }
}

/// A log with messages coming in and cursors that follow it.
pub struct Following {
    log: StreamLog,
    /// Those made of it.
    tags: FlvLogs,
    pool: BlockPool,
    cursors: Vec<Cursor>,
    messages: Vec<(u8, u32, Vec<u8>)>,
    next: usize,
}

const LOG_LIMITS: LogLimits = LogLimits {
    chunk_size: 65_536,
    bytes: 16 << 20,
    lag_bytes: 4 << 20,
    window_ms: 0,
};

impl Following {
    /// `cursors` cursors on an empty log.
    pub fn new(cursors: usize) -> Self {
        Self {
            log: StreamLog::new(LOG_LIMITS),
            tags: FlvLogs::default(),
            pool: BlockPool::default(),
            cursors: vec![Cursor::at(0); cursors],
            messages: messages(SECOND_MESSAGES * 2),
            next: 0,
        }
    }

    /// The same, of which tags are made, too.
    #[must_use]
    pub fn with_tags(mut self, framing: Framing) -> Self {
        self.tags
            .open(framing, &self.log, LOG_LIMITS, &mut self.pool);
        self
    }

    /// Bytes of all tags so far.
    pub fn tag_bytes(&self) -> u64 {
        self.tags.iter().map(StreamLog::end).sum()
    }

    /// One round of the relay: `count` messages in, one slice out for each cursor, old ones
    /// freed.
    pub fn round(&mut self, count: usize) -> Sum {
        for _ in 0..count {
            let (message_kind, _, body) = &self.messages[self.next % self.messages.len()];
            let is_key = body.starts_with(&[0x17]) && *message_kind == kind::VIDEO;
            let time = u32::try_from(self.next * 1_000 / SECOND_MESSAGES).unwrap_or(0);
            let payload = Payload::from_slice(body);
            let time = Timestamp(time);
            self.log
                .append(&mut self.pool, *message_kind, time, is_key, &payload);
            self.next += 1;
        }
        self.log.flush();
        self.tags.follow(&self.log, LOG_LIMITS, &mut self.pool);
        let mut sum = Sum::default();
        for cursor in &mut self.cursors {
            let Place::Follow(offset) = cursor.settle(&self.log, LOG_LIMITS.lag_bytes) else {
                continue;
            };
            let mut slices = [IoSlice::new(&[]); 8];
            let count = self.log.slices((offset, self.log.visible()), &mut slices);
            let bytes: usize = slices[..count].iter().map(|slice| slice.len()).sum();
            let end = self.log.message_end(offset + bytes as u64);
            cursor.advance_to(end);
            sum.add(bytes, end);
        }
        let needs = self.cursors.iter().filter_map(Cursor::needs_from).min();
        self.log
            .trim(&mut self.pool, needs.unwrap_or(u64::MAX), Duration::ZERO);
        // Of tags everybody has had everything.
        self.tags
            .trim(&mut self.pool, Duration::ZERO, |_| Some(u64::MAX));
        sum
    }
}

/// Messages of a second of the stream, about.
const SECOND_MESSAGES: usize = 68;

/// Nanoseconds that `work` takes: the median of `rounds`, each `repeats` times in a row.
pub fn time_ns(rounds: usize, repeats: u32, mut work: impl FnMut() -> Sum) -> f64 {
    let mut times = Vec::new();
    for _ in 0..rounds {
        let begun = now_ns();
        for _ in 0..repeats {
            std::hint::black_box(work());
        }
        times.push((now_ns() - begun) as f64 / f64::from(repeats));
    }
    median(&times).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_readers_read_the_same_and_all_of_it() {
        for chunk_size in [128, 4_096, 65_536] {
            let mut chunks = Chunks::new(200, chunk_size);
            let sum = chunks.read();
            assert_eq!(sum, chunks.read_with_rml());
            assert_eq!(sum.items, 200);
            assert_eq!(chunks.copy().bytes, chunks.len() as u64);
            let headers = chunks.len() as u64 - sum.bytes;
            assert!(headers >= 200 * 12, "{headers}");
        }
    }

    #[test]
    fn the_writer_writes_what_the_reader_reads() {
        let mut writing = Writing::new(50, 4_096);
        let sum = writing.write();
        assert_eq!(sum.items, 50);
        assert_eq!(sum.bytes, Chunks::new(50, 4_096).len() as u64);
        assert_eq!(sum, writing.write());
    }

    #[test]
    fn every_value_is_walked() {
        let sum = Values::new().decode();
        // connect: 2 and 9 properties with keys, 3 in the array, 1 in the map with its key;
        // onMetaData: 2 and 10 properties with keys.
        assert_eq!(sum.items, 2 + 9 + 7 + 3 + 2 + 2 + 20);
    }

    #[test]
    fn cursors_follow_to_the_end_and_the_log_stays_small() {
        let mut following = Following::new(10);
        let mut bytes = 0;
        for _ in 0..1_000 {
            let sum = following.round(3);
            assert_eq!(sum.items, 10);
            bytes += sum.bytes;
        }
        assert_eq!(bytes, 10 * following.log.end());
        assert!(following.log.end() - following.log.base() < 1 << 20);
    }

    #[test]
    fn tags_have_every_body_and_are_freed() {
        for (framing, around) in [(Framing::Plain, 15), (Framing::WebSocket, 15 + 4)] {
            let mut following = Following::new(0).with_tags(framing);
            let bodies: usize = following
                .messages
                .iter()
                .map(|(_, _, body)| body.len())
                .sum();
            for _ in 0..20 {
                following.round(following.messages.len());
            }
            let count = following.messages.len();
            let most = 20 * (bodies + count * around) as u64;
            let bytes = following.tag_bytes();
            // The frame around a large tag has more bytes, around a small one fewer.
            assert!(
                bytes.abs_diff(most) <= 20 * 6 * count as u64,
                "{bytes} {most}"
            );
            assert!(framing == Framing::WebSocket || bytes == most);
            let held: u64 = following
                .tags
                .iter()
                .map(|log| log.end() - log.base())
                .sum();
            assert!(held < 1 << 20, "{held}");
        }
    }

    #[test]
    fn time_is_per_piece() {
        let mut runs = 0;
        let ns = time_ns(3, 2, || {
            runs += 1;
            Sum::default()
        });
        assert_eq!(runs, 6);
        assert!(ns >= 0.0);
    }
}
