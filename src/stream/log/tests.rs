//! Tests of log.rs and what is beside it.

mod model;

use std::io::IoSlice;

use bytes::Bytes;

use super::*;
use crate::limits;
use crate::rtmp::media::TrackSet;
use crate::stream::headers::{HeaderKind, HeaderTimes};

/// Roomy, so that a test which is about something else trims nothing.
const LIMITS: LogLimits = LogLimits {
    chunk_size: 4_096,
    bytes: 16 << 20,
    lag_bytes: 4 << 20,
    window_ms: 0,
};

fn put(log: &mut StreamLog, pool: &mut BlockPool, time: u32, sync: bool, body: &[u8]) -> Frame {
    let payload = Payload::from_slice(body);
    log.append(pool, kind::VIDEO, Timestamp(time), sync, &payload)
}

/// Headers that tell one set from another by `mark`.
fn headers(mark: u8) -> Arc<Headers> {
    let payload = [mark; 5];
    let payload = Payload::from_slice(&payload);
    let (kind, tracks) = (HeaderKind::VideoSequence, TrackSet::DEFAULT);
    Arc::new(Headers::default().with(kind, 9, tracks, &payload).unwrap())
}

fn offsets(log: &StreamLog) -> (u64, u64, u64) {
    (log.base(), log.visible(), log.end())
}

/// All that a reader at `offset` may have.
fn read_from(log: &StreamLog, offset: u64) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 1_000];
    let count = log.slices((offset, log.visible()), &mut slices);
    joined(&slices[..count])
}

fn joined(slices: &[IoSlice<'_>]) -> Vec<u8> {
    slices.iter().flat_map(|slice| slice.to_vec()).collect()
}

/// A log that is past its small first blocks.
fn grown() -> StreamLog {
    let mut log = StreamLog::new(LIMITS);
    log.blocks_taken = limits::FIRST_BLOCK_BYTES.len();
    log
}

#[test]
fn nothing_is_visible_before_a_flush() {
    let (mut log, mut pool) = (StreamLog::new(LIMITS), BlockPool::default());
    assert_eq!(offsets(&log), (0, 0, 0));
    assert!(!log.flush());
    let frame = put(&mut log, &mut pool, 40, true, b"key");
    assert_eq!((frame.end, log.end(), log.visible()), (15, 15, 0));
    assert!(log.newest_sync().is_none());
    assert_eq!(log.slices((0, 0), &mut [IoSlice::new(&[])]), 0);
    assert_eq!(log.frames_from(0).count(), 0);
    assert!(log.has_unflushed());
    assert!(log.flush());
    assert_eq!(offsets(&log), (0, 15, 15));
    assert_eq!(log.newest_sync().unwrap().offset, 0);
    assert_eq!(log.frames_from(0).collect::<Vec<_>>(), [(0, frame)]);
    assert_eq!(log.last_timestamp(), Some(Timestamp(40)));
}

#[test]
fn regression_the_live_edge_is_not_later_than_what_follows() {
    let (mut log, mut pool) = (StreamLog::new(LIMITS), BlockPool::default());
    let check = |log: &StreamLog, offset, time| {
        let edge = log.live_edge().unwrap();
        assert_eq!((edge.offset, edge.timestamp), (offset, Timestamp(time)));
    };
    assert!(log.live_edge().is_none());
    put(&mut log, &mut pool, 5, false, b"abc");
    check(&log, 0, 5);
    log.flush();
    check(&log, 15, 5);
    for time in [20, 10, 500] {
        put(&mut log, &mut pool, time, false, b"abc");
    }
    check(&log, 15, 10);
    log.flush();
    check(&log, log.end(), 500);
}

#[test]
fn headers_are_those_in_force_where_a_player_starts() {
    let (mut log, mut pool) = (StreamLog::new(LIMITS), BlockPool::default());
    let marks: Vec<Arc<Headers>> = (0..3).map(headers).collect();
    let mut starts = Vec::new();
    for mark in &marks {
        put(&mut log, &mut pool, 0, false, b"header");
        log.set_headers(mark.clone());
        starts.push(log.end());
        put(&mut log, &mut pool, 0, true, b"key");
    }
    log.flush();
    for (mark, &start) in marks.iter().zip(&starts) {
        let sync = log.sync_from(start).unwrap();
        assert_eq!(sync.offset, start);
        assert!(Arc::ptr_eq(&sync.headers, mark));
    }
    assert_eq!(log.header_changes(), 3);
    // Trimming keeps those in force at the base, and counts the others.
    log.trim(&mut pool, starts[2], Duration::ZERO);
    assert!(Arc::ptr_eq(&log.newest_sync().unwrap().headers, &marks[2]));
    assert_eq!(log.header_changes(), 3);
    assert_eq!(log.headers_since(3).count(), 0);
    let since: Vec<u64> = log.headers_since(2).map(|(offset, _)| offset).collect();
    assert_eq!(since, [starts[2]]);
    assert!(Arc::ptr_eq(log.headers_now().unwrap(), &marks[2]));
}

#[test]
fn before_any_headers_a_player_starts_with_none() {
    let (mut log, mut pool) = (StreamLog::new(LIMITS), BlockPool::default());
    put(&mut log, &mut pool, 0, true, b"audio only");
    log.flush();
    assert!(log.newest_sync().unwrap().headers.is_empty());
    assert!(log.headers_now().is_none());
}

#[test]
fn a_forgotten_sync_point_is_no_start_but_stays_readable() {
    let (mut log, mut pool) = (StreamLog::new(LIMITS), BlockPool::default());
    put(&mut log, &mut pool, 0, true, b"key");
    log.flush();
    log.forget_sync();
    assert!(log.newest_sync().is_none());
    assert_eq!(log.sync_before(Timestamp(9)).unwrap().offset, 0);
    assert_eq!(log.snapshot().base, log.visible());
    put(&mut log, &mut pool, 40, false, b"inter");
    let start = log.end();
    put(&mut log, &mut pool, 80, true, b"key");
    log.flush();
    assert_eq!(log.newest_sync().unwrap().offset, start);
    // Now nothing holds what lies before it.
    log.trim(&mut pool, u64::MAX, Duration::ZERO);
    assert_eq!(log.base(), start);
}

#[test]
fn groups_beyond_the_limits_are_no_start() {
    let small = LogLimits {
        bytes: 100_000,
        ..LIMITS
    };
    let age = u32::try_from(limits::GOP_AGE_MAX.as_millis()).unwrap();
    let frames = limits::GOP_FRAMES_MAX;
    // Limits, messages behind the key frame, bytes of each, milliseconds between them.
    let rows = [
        (LIMITS, frames - 1, 1, 0, true),
        (LIMITS, frames, 1, 0, false),
        (LIMITS, 2, 1, age / 2, true),
        (LIMITS, 2, 1, age / 2 + 1, false),
        (small, 9, 11_000, 0, true),
        (small, 10, 11_000, 0, false),
        // A clock that jumps back says nothing about age.
        (LIMITS, 2, 1, age.wrapping_neg(), true),
    ];
    for (log_limits, count, bytes, step, stays) in rows {
        let (mut log, mut pool) = (StreamLog::new(log_limits), BlockPool::default());
        put(&mut log, &mut pool, 0, true, b"key");
        let body = vec![0x27; bytes];
        for number in 1..=count {
            let time = step.wrapping_mul(u32::try_from(number).unwrap());
            put(&mut log, &mut pool, time, false, &body);
        }
        log.flush();
        log.trim(&mut pool, u64::MAX, Duration::ZERO);
        let row = (count, bytes, step);
        assert_eq!(log.newest_sync().is_some(), stays, "{row:?}");
        // Without a start, and without a reader, nothing has to be kept.
        let base = if stays { 0 } else { log.end() };
        assert_eq!(log.base(), base, "{row:?}");
    }
}

#[test]
fn regression_a_group_whose_time_stands_still_ages() {
    let (mut log, mut pool) = (StreamLog::new(LIMITS), BlockPool::default());
    let mut trim_at = |log: &mut StreamLog, now: Duration| {
        log.trim(&mut pool, u64::MAX, now);
        log.newest_sync().is_some()
    };
    let mut blocks = BlockPool::default();
    let (begin, age) = (Duration::from_secs(900), limits::GOP_AGE_MAX);
    for round in 0..2 {
        let begin = begin + 2 * round * age;
        put(&mut log, &mut blocks, 0, true, b"key");
        log.flush();
        assert!(trim_at(&mut log, begin));
        put(&mut log, &mut blocks, 0, false, b"inter");
        log.flush();
        assert!(trim_at(&mut log, begin + age));
        assert!(!trim_at(&mut log, begin + age + Duration::from_millis(1)));
        assert_eq!(log.base(), log.end());
    }
}

#[test]
fn a_log_that_is_shed_keeps_what_readers_need() {
    let windowed = LogLimits {
        window_ms: 10_000,
        ..LIMITS
    };
    let (mut log, mut pool) = (StreamLog::new(windowed), BlockPool::default());
    put(&mut log, &mut pool, 0, true, b"key");
    let second = put(&mut log, &mut pool, 40, false, b"inter");
    put(&mut log, &mut pool, 80, false, b"inter");
    log.flush();
    log.trim(&mut pool, u64::MAX, Duration::ZERO);
    assert_eq!(log.base(), 0);
    log.shed(&mut pool, second.end);
    assert_eq!(log.base(), second.end);
    assert!(log.newest_sync().is_none());
    log.shed(&mut pool, u64::MAX);
    assert_eq!(log.base(), log.end());
    let mut log = grown();
    put(&mut log, &mut pool, 0, true, &vec![0x17; 200_000]);
    assert!(log.shed(&mut pool, u64::MAX) > 200_000);
}

#[test]
fn times_compare_across_the_wrap() {
    let (mut log, mut pool) = (StreamLog::new(LIMITS), BlockPool::default());
    let times = [u32::MAX - 2_000, u32::MAX - 500, 1_000, 3_000];
    let starts = times.map(|time| put(&mut log, &mut pool, time, true, b"k").end);
    log.flush();
    let at = |time| {
        log.sync_before(Timestamp(time))
            .map(|sync| sync.timestamp.0)
    };
    assert_eq!(at(u32::MAX - 2_001), None);
    assert_eq!(at(u32::MAX - 2_000), Some(times[0]));
    assert_eq!(at(u32::MAX), Some(times[1]));
    assert_eq!(at(999), Some(times[1]));
    assert_eq!(at(5_000), Some(times[3]));
    assert!(starts.is_sorted());
}

#[test]
fn the_seek_window_is_kept_from_the_sync_point_before_it() {
    let windowed = LogLimits {
        window_ms: 1_000,
        ..LIMITS
    };
    let (mut log, mut pool) = (StreamLog::new(windowed), BlockPool::default());
    // Key frames at 0, 400, 800, ..., 4000.
    let frames: Vec<Frame> = (0..=20)
        .map(|number| put(&mut log, &mut pool, number * 200, number % 2 == 0, b"v"))
        .collect();
    log.flush();
    log.trim(&mut pool, u64::MAX, Duration::ZERO);
    // The window begins at 3000; 2800 is the key frame before.
    let first = log.frames_from(log.base()).next().unwrap().1;
    assert_eq!(first, frames[14]);
    assert_eq!(
        log.sync_before(Timestamp(3_100)).unwrap().timestamp.0,
        2_800
    );
    assert!(log.sync_before(Timestamp(2_799)).is_none());
}

/// A log of so many tiny messages, one each millisecond, the first of them a key frame.
fn of_many_messages(count: u32, log_limits: LogLimits) -> StreamLog {
    let (mut log, mut pool) = (StreamLog::new(log_limits), BlockPool::default());
    for number in 0..count {
        put(&mut log, &mut pool, number, number == 0, b"v");
    }
    log.flush();
    log
}

/// How much longer `work` takes with a log of many messages than with one of few.
#[expect(clippy::disallowed_methods, reason = "it is measured")]
fn dearer_with_many(log_limits: LogLimits, work: impl Fn(&mut StreamLog)) -> f64 {
    let took = |count: u32| {
        let mut log = of_many_messages(count, log_limits);
        let begun = std::time::Instant::now();
        (0..200).for_each(|_| work(&mut log));
        begun.elapsed().as_secs_f64()
    };
    let few = took(100);
    took(100_000) / few
}

#[test]
fn a_seek_costs_little_however_many_messages_there_are() {
    let dearer = dearer_with_many(LIMITS, |log| {
        assert_eq!(log.sync_before(Timestamp(50)).unwrap().offset, 0);
    });
    assert!(dearer < 50.0, "{dearer} times as long");
}

#[test]
fn trimming_costs_little_however_many_messages_a_reader_holds() {
    let windowed = LogLimits {
        window_ms: 10,
        ..LIMITS
    };
    let dearer = dearer_with_many(windowed, |log| {
        log.trim(&mut BlockPool::default(), 0, Duration::ZERO);
        assert_eq!(log.base(), 0);
    });
    assert!(dearer < 50.0, "{dearer} times as long");
}

#[test]
fn a_steady_stream_takes_no_new_blocks() {
    let wide = LogLimits {
        bytes: 1 << 20,
        lag_bytes: 200_000,
        ..LIMITS
    };
    let (mut log, mut pool) = (StreamLog::new(wide), BlockPool::default());
    log.blocks_taken = limits::FIRST_BLOCK_BYTES.len();
    let mut held = 0;
    for number in 0..3_000 {
        put(
            &mut log,
            &mut pool,
            number * 40,
            number % 50 == 0,
            &[0x27; 2_000],
        );
        if number % 3 == 0 {
            log.flush();
            log.trim(&mut pool, u64::MAX, Duration::ZERO);
        }
        if number == 1_000 {
            // So many blocks there are, in the log and in the pool.
            held = pool.len();
            assert!(held > 0);
        }
    }
    // A group is 100 KB at most: two blocks and what it is cut into.
    assert!(log.held_bytes() <= 4 * limits::BLOCK_BYTES as u64);
    assert!(
        pool.len() <= held + 2,
        "{} blocks, {held} before",
        pool.len()
    );
    let mut all = pool.len();
    log.recycle(&mut pool);
    assert!(pool.len() > all);
    all = pool.len();
    // And so many went round in 6 MB: far fewer than were filled.
    assert!(all <= 8, "{all} blocks");
}

#[test]
fn a_block_somebody_shares_comes_back_only_when_they_let_go() {
    let (mut log, mut pool) = (grown(), BlockPool::default());
    let frame = put(
        &mut log,
        &mut pool,
        0,
        false,
        &vec![0x27; limits::BLOCK_BYTES * 2],
    );
    put(&mut log, &mut pool, 0, true, b"key");
    log.flush();
    let mut pieces = Vec::new();
    log.share(0, frame.end, &mut pieces);
    log.trim(&mut pool, u64::MAX, Duration::ZERO);
    assert_eq!(log.base(), frame.end);
    assert_eq!(pool.len(), 0);
    assert_eq!(pieces.concat().len() as u64, frame.end);
    pieces.into_iter().for_each(|piece| pool.give(piece));
    // The third block goes on in the log.
    assert_eq!(pool.len(), 2);
}

#[test]
fn a_snapshot_goes_on_where_it_was_taken() {
    let (mut log, mut pool) = (StreamLog::new(LIMITS), BlockPool::default());
    put(&mut log, &mut pool, 0, true, b"old key");
    log.set_headers(headers(1));
    let start = log.end();
    put(&mut log, &mut pool, 40, true, b"key");
    put(&mut log, &mut pool, 80, false, b"inter");
    log.flush();
    let mut copy = StreamLog::from_snapshot(LIMITS, log.snapshot());
    assert_eq!(offsets(&copy), (start, log.visible(), log.end()));
    assert_eq!(read_from(&copy, start), read_from(&log, start));
    let sync = copy.newest_sync().unwrap();
    assert_eq!((sync.offset, sync.timestamp), (start, Timestamp(40)));
    assert_eq!(sync.headers.len(), 1);
    // The sync point moved away from; the copy only learns of what is new.
    let sent = log.visible();
    put(&mut log, &mut pool, 120, false, b"more");
    log.flush();
    for (bytes, frames) in log.pieces_from(sent) {
        copy.append_fed(bytes.clone(), &frames.collect::<Vec<_>>());
    }
    assert_eq!(offsets(&copy), (start, log.visible(), log.end()));
    assert_eq!(read_from(&copy, sent), read_from(&log, sent));
}

#[test]
fn a_snapshot_reaches_as_far_back_as_the_window() {
    let limits = LogLimits {
        window_ms: 100,
        ..LIMITS
    };
    let (mut log, mut pool) = (StreamLog::new(limits), BlockPool::default());
    for time in [0, 40, 80, 120, 160] {
        put(&mut log, &mut pool, time, true, b"key");
        put(&mut log, &mut pool, time + 20, false, b"inter");
    }
    log.flush();
    let copy = StreamLog::from_snapshot(limits, log.snapshot());
    let offset_of = |time| log.sync_before(Timestamp(time)).unwrap().offset;
    assert_eq!(copy.base(), offset_of(80));
    for time in [80, 120, 179] {
        let sync = copy.sync_before(Timestamp(time)).unwrap();
        assert_eq!(sync.offset, offset_of(time));
    }
    assert_eq!(copy.newest_sync().unwrap().offset, offset_of(160));
    assert_eq!(read_from(&copy, copy.base()), read_from(&log, copy.base()));
    // Nobody starts while the publisher is away, whatever is kept.
    log.close_starts();
    let copy = StreamLog::from_snapshot(limits, log.snapshot());
    assert!(copy.newest_sync().is_none());
}

#[test]
fn a_fed_message_is_visible_when_its_last_piece_is_there() {
    let (mut log, mut pool) = (grown(), BlockPool::default());
    put(&mut log, &mut pool, 0, true, b"key");
    log.flush();
    let mut copy = StreamLog::from_snapshot(LIMITS, log.snapshot());
    let seen = log.visible();
    put(&mut log, &mut pool, 40, true, &vec![0x27; 150_000]);
    put(&mut log, &mut pool, 80, false, b"inter");
    log.flush();
    let pieces: Vec<(Bytes, Vec<Frame>)> = log
        .pieces_from(seen)
        .map(|(bytes, frames)| (bytes.clone(), frames.collect()))
        .collect();
    assert_eq!(pieces.len(), 3);
    for (bytes, frames) in &pieces[..2] {
        assert!(frames.is_empty());
        copy.append_fed(bytes.clone(), frames);
        assert!(!copy.flush(), "half a message is nothing to show");
        copy.trim(&mut pool, u64::MAX, Duration::ZERO);
        assert_eq!(copy.visible(), seen);
        assert_eq!(copy.newest_sync().unwrap().offset, 0);
    }
    let (bytes, frames) = &pieces[2];
    copy.append_fed(bytes.clone(), frames);
    assert_eq!(copy.visible(), log.visible());
    assert_eq!(copy.newest_sync().unwrap().offset, seen);
}
