//! A log of chunks, and what becomes of it as tags.
#![expect(
    clippy::cast_possible_truncation,
    reason = "bodies and times are made of small numbers"
)]

use std::io::IoSlice;
use std::sync::Arc;

use super::*;
use crate::rtmp::amf0::Encoder;
use crate::rtmp::media::TrackSet;
use crate::rtmp::message::Payload;
use crate::stream::headers::{HeaderKind, HeaderTimes};

const LIMITS: LogLimits = LogLimits {
    chunk_size: 128,
    bytes: 1 << 20,
    lag_bytes: 1 << 20,
    window_ms: 0,
};

/// A log of chunks and those made of it.
struct Live {
    chunks: StreamLog,
    flv: FlvLogs,
    pool: BlockPool,
}

/// A tag: kind, time, body.
type Tag = (u8, u32, Vec<u8>);

impl Live {
    fn new() -> Self {
        Self {
            chunks: StreamLog::new(LIMITS),
            flv: FlvLogs::default(),
            pool: BlockPool::default(),
        }
    }

    fn put(&mut self, kind: u8, time: u32, sync: bool, body: &[u8]) {
        let payload = Payload::from_slice(body);
        let time = Timestamp(time);
        self.chunks
            .append(&mut self.pool, kind, time, sync, &payload);
    }

    fn flush(&mut self) {
        self.chunks.flush();
        self.flv.follow(&self.chunks, LIMITS, &mut self.pool);
    }

    fn open(&mut self, framing: Framing) -> &StreamLog {
        self.flv.open(framing, &self.chunks, LIMITS, &mut self.pool)
    }
}

fn bytes_of(log: &StreamLog) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 100];
    let count = log.slices((log.base(), log.visible()), &mut slices);
    slices[..count]
        .iter()
        .flat_map(|slice| slice.to_vec())
        .collect()
}

/// Reads tags as a player would: by the lengths they tell.
fn tags(mut bytes: &[u8]) -> Vec<Tag> {
    let mut tags = Vec::new();
    while !bytes.is_empty() {
        let len = u32::from_be_bytes([0, bytes[1], bytes[2], bytes[3]]) as usize;
        let time = u32::from_be_bytes([bytes[7], bytes[4], bytes[5], bytes[6]]);
        assert_eq!(bytes[8..11], [0, 0, 0], "the stream id is always 0");
        let (body, rest) = bytes[11..].split_at(len);
        let (before, rest) = rest.split_first_chunk::<4>().unwrap();
        assert_eq!(u32::from_be_bytes(*before) as usize, len + 11);
        tags.push((bytes[0], time, body.to_vec()));
        bytes = rest;
    }
    tags
}

#[test]
fn messages_of_all_lengths_and_times_become_tags() {
    let mut live = Live::new();
    live.open(Framing::Plain);
    let mut expected = Vec::new();
    // Around chunks of 128, around blocks, and around times that take more bytes.
    for (number, len) in (0..300)
        .chain([1_000, 4_096, 16_384, 70_000, 300_000])
        .enumerate()
    {
        for time in [number as u32, 0xFF_FFFE + number as u32] {
            let body: Vec<u8> = (0..len).map(|at| (at * 7 + number) as u8).collect();
            live.put(kind::VIDEO, time, number == 0, &body);
            expected.push((kind::VIDEO, time, body));
        }
        if number % 7 == 0 {
            live.flush();
        }
    }
    live.flush();
    let log = live.flv.of(Framing::Plain).unwrap();
    assert!(tags(&bytes_of(log)) == expected);
    let indexed: Vec<u64> = log.frames_from(0).map(|(_, frame)| frame.end).collect();
    assert_eq!(indexed.len(), expected.len());
    assert_eq!(indexed.last(), Some(&log.visible()));
}

#[test]
fn over_websocket_each_tag_is_a_message() {
    let mut live = Live::new();
    for len in [0, 100, 120, 70_000] {
        live.put(kind::AUDIO, 5, true, &vec![1; len]);
    }
    live.chunks.flush();
    // From the newest sync point on.
    let bytes = bytes_of(live.open(Framing::WebSocket));
    assert_eq!(bytes[..2], [0x82, 127]);
    assert_eq!(u64::from_be_bytes(bytes[2..10].try_into().unwrap()), 70_015);
    assert_eq!(tags(&bytes[10..])[0].2.len(), 70_000);
    live.put(kind::AUDIO, 5, true, &[1; 100]);
    live.flush();
    let log = live.flv.of(Framing::WebSocket).unwrap();
    let (start, frame) = log.frames_from(bytes.len() as u64).next().unwrap();
    assert_eq!(frame.end - start, 2 + 115);
}

#[test]
fn a_log_begins_at_the_newest_sync_point_with_the_headers_in_force_there() {
    let mut live = Live::new();
    let headers = |body: &[u8]| {
        let payload = Payload::from_slice(body);
        let set =
            Headers::default().with(HeaderKind::VideoSequence, 9, TrackSet::DEFAULT, &payload);
        Arc::new(set.unwrap())
    };
    live.chunks.set_headers(headers(b"old"));
    live.put(kind::VIDEO, 0, true, b"a");
    live.chunks.set_headers(headers(b"new"));
    live.put(kind::VIDEO, 40, true, b"b");
    live.put(kind::VIDEO, 80, false, b"c");
    live.chunks.set_headers(headers(b"newer"));
    live.put(kind::VIDEO, 120, true, b"d");
    live.chunks.flush();
    live.put(kind::VIDEO, 160, true, b"not flushed");
    live.open(Framing::Plain);
    live.flush();
    let log = live.flv.of(Framing::Plain).unwrap();
    let bodies: Vec<_> = tags(&bytes_of(log)).into_iter().map(|tag| tag.2).collect();
    assert_eq!(bodies, [&b"not flushed"[..]]);
    let mut out = Vec::new();
    let sync = log.newest_sync().unwrap();
    write_headers(
        &sync.headers,
        &mut out,
        Framing::Plain,
        HeaderTimes::all(sync.timestamp),
    );
    assert_eq!(tags(&out), [(9, 160, b"newer".to_vec())]);
}

#[test]
fn headers_change_at_the_same_message_in_both() {
    let mut live = Live::new();
    live.open(Framing::Plain);
    for number in 0..5u8 {
        let body = [number; 3];
        let payload = Payload::from_slice(&body);
        let set =
            Headers::default().with(HeaderKind::VideoSequence, 9, TrackSet::DEFAULT, &payload);
        live.chunks.set_headers(Arc::new(set.unwrap()));
        live.put(kind::VIDEO, u32::from(number), true, &[number]);
        if number % 2 == 0 {
            live.flush();
        }
    }
    live.flush();
    let log = live.flv.of(Framing::Plain).unwrap();
    for (number, (start, _)) in log.frames_from(0).enumerate() {
        let headers = log.headers_at(start);
        let body = headers
            .in_order(HeaderTimes::all(Timestamp(0)))
            .next()
            .unwrap()
            .2;
        assert_eq!(body, [number as u8; 3], "{number}");
    }
}

#[test]
fn readers_lose_their_place_where_the_log_of_chunks_went_on_without_them() {
    let mut live = Live::new();
    live.put(kind::VIDEO, 0, true, b"a");
    live.chunks.flush();
    let before = live.open(Framing::Plain).visible();
    for time in 1..10 {
        live.put(kind::VIDEO, time, true, b"b");
    }
    live.chunks.flush();
    live.chunks.trim(&mut live.pool, u64::MAX, Duration::ZERO);
    live.flush();
    let log = live.flv.of(Framing::Plain).unwrap();
    assert!(log.base() > before);
    assert_eq!(tags(&bytes_of(log)), [(9, 9, b"b".to_vec())]);
    // And a log that begins anew is no different.
    live.chunks = StreamLog::new(LIMITS);
    live.flush();
    live.put(kind::VIDEO, 50, true, b"c");
    live.flush();
    let log = live.flv.of(Framing::Plain).unwrap();
    assert_eq!(tags(&bytes_of(log)), [(9, 50, b"c".to_vec())]);
}

#[test]
fn what_is_for_servers_is_no_tag() {
    let mut live = Live::new();
    live.open(Framing::Plain);
    live.put(kind::VIDEO, 0, true, b"a");
    live.put(FOR_SERVERS, 0, false, b"clear");
    live.flush();
    live.put(FOR_SERVERS, 1, false, b"clear");
    live.put(kind::VIDEO, 1, false, b"b");
    live.flush();
    let log = live.flv.of(Framing::Plain).unwrap();
    let expected = [(9, 0, b"a".to_vec()), (9, 1, b"b".to_vec())];
    assert_eq!(tags(&bytes_of(log)), expected);
}

#[test]
fn while_players_of_chunks_wait_for_a_picture_so_do_these() {
    let mut live = Live::new();
    live.put(kind::VIDEO, 0, true, b"a");
    live.flush();
    assert!(live.open(Framing::Plain).newest_sync().is_some());
    live.chunks.forget_sync();
    assert!(live.open(Framing::Plain).newest_sync().is_none());
    live.put(kind::VIDEO, 1, true, b"b");
    live.flush();
    assert!(live.open(Framing::Plain).newest_sync().is_some());
}

#[test]
fn a_log_that_nobody_reads_is_freed() {
    let mut live = Live::new();
    live.put(kind::VIDEO, 0, true, &[0; 100_000]);
    live.chunks.flush();
    live.open(Framing::Plain);
    live.open(Framing::WebSocket);
    assert_eq!(live.flv.iter().count(), 2);
    let reads = |framing| (framing == Framing::Plain).then_some(u64::MAX);
    live.flv.trim(&mut live.pool, Duration::ZERO, reads);
    assert_eq!(live.flv.iter().count(), 1);
    live.flv.recycle(&mut live.pool);
    assert!(live.flv.of(Framing::Plain).is_none());
}

#[test]
fn regression_a_file_of_data_alone_promises_no_media() {
    let data = |handler: &str| {
        let mut body = Vec::new();
        Encoder::new(&mut body).string(handler).string("text");
        body
    };
    let mut live = Live::new();
    // Of an encoder that takes its time.
    let metadata = data("onMetaData");
    let payload = Payload::from_slice(&metadata);
    let with = Headers::default().with(HeaderKind::Metadata, 18, TrackSet::DEFAULT, &payload);
    live.chunks.set_headers(Arc::new(with.unwrap()));
    live.put(kind::DATA, 0, false, &metadata);
    live.chunks.flush();
    assert_eq!(kinds_likely_in(&live.chunks), (true, true));
    live.chunks.set_headers(Arc::default());
    live.put(kind::DATA, 0, false, &data("onTextData"));
    live.chunks.flush();
    // Nobody keeps it.
    live.chunks.trim(&mut live.pool, u64::MAX, Duration::ZERO);
    assert_eq!(kinds_likely_in(&live.chunks), (false, false));
    live.chunks.close_starts();
    assert_eq!(kinds_likely_in(&live.chunks), (true, true));
    assert_eq!(file_header(false, false)[4], 0);
    // Sound of a while ago may go on.
    live.put(kind::AUDIO, 1_000, true, b"/");
    live.put(kind::DATA, 9_000, false, &data("onTextData"));
    live.chunks.flush();
    assert_eq!(kinds_likely_in(&live.chunks), (true, true));
    // Headers promise more than that.
    let payload = Payload::from_slice(&[0x17, 0, 0, 0, 0, 1]);
    let with = Headers::default().with(HeaderKind::VideoSequence, 9, TrackSet::DEFAULT, &payload);
    live.chunks.set_headers(Arc::new(with.unwrap()));
    live.put(kind::VIDEO, 0, false, &[0x17, 0, 0, 0, 0, 1]);
    live.chunks.flush();
    assert_eq!(kinds_likely_in(&live.chunks), (false, true));
}

#[test]
fn a_file_says_which_kinds_of_tags_it_has() {
    assert_eq!(file_header(true, true), *b"FLV\x01\x05\0\0\0\x09\0\0\0\0");
    assert_eq!(file_header(false, true)[4], 1);
    let mut live = Live::new();
    assert_eq!(kinds_in(&live.chunks), Kinds::default());
    assert_eq!(kinds_likely_in(&live.chunks), (true, true));
    let check = |live: &mut Live, audio, video, is_certain| {
        live.chunks.flush();
        let kinds = kinds_in(&live.chunks);
        let expected = Kinds {
            audio,
            video,
            is_certain,
        };
        assert_eq!(kinds, expected);
    };
    // Headers alone are no media.
    live.put(kind::AUDIO, 0, false, &[0xAF, 0, 0x12, 0x10]);
    live.put(kind::VIDEO, 0, false, &[0x17, 0, 0, 0, 0, 1]);
    check(&mut live, false, false, false);
    live.put(kind::AUDIO, 0, true, &[0xAF, 1, 1]);
    check(&mut live, true, false, false);
    assert_eq!(kinds_likely_in(&live.chunks), (true, false));
    live.put(kind::AUDIO, 1_000, true, &[0xAF, 1, 1]);
    check(&mut live, true, false, true);
    live.put(kind::VIDEO, 1_010, true, &[0x17, 1, 0, 0, 0, 1]);
    check(&mut live, true, true, true);
    // Pictures that only go on, and sound that has stopped before the newest group.
    live.put(kind::VIDEO, 2_000, false, &[0x27, 1, 0, 0, 0, 1]);
    live.put(kind::VIDEO, 2_500, true, &[0x17, 1, 0, 0, 0, 1]);
    check(&mut live, false, true, true);
    // One still picture and sound ever after.
    live.put(kind::AUDIO, 9_000, true, &[0xAF, 1, 1]);
    check(&mut live, true, false, true);
}
