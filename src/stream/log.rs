//! The log of a live stream: an append-only run of wire bytes, `[base, end)` in absolute
//! offsets, with an index of where its messages end.
//!
//! Each message is encoded once, as chunks with absolute time on message stream 1, and every
//! player is sent the same bytes. The log knows no player: who reads is a cursor (cursor.rs).
//! Trimming is told how far back readers are and never cuts what the newest sync point needs,
//! unless that alone is beyond the limits.
//!
//! ```text
//!   base                                       visible          end
//!    |  segment  |   segment   |    segment    |  open block     |
//!    +-----------+-------------+---------------+-----------------+
//!    frames:  | a | v |  a  |  V  | a | v | a |  v |              V: sync point
//! ```
//!
//! Messages enter the open block whole; [`StreamLog::flush`] freezes it and makes them visible.
//! A segment is one flush (or the end of a block), so that a player that follows is served by
//! one contiguous slice.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::block::BlockPool;
use super::headers::Headers;
use crate::limits;
use crate::rtmp::message::{MessageHeader, Payload, Timestamp, kind};
use crate::rtmp::writer::{Sink, write_message};

/// The message stream id in the log; the first createStream of every client gets it.
pub const MSID: u32 = 1;

/// One logged message in wire form, as the index knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Offset behind its last byte; it begins where the one before ends.
    pub end: u64,
    /// Its time.
    pub timestamp: Timestamp,
    /// Its message type id: audio, video or data.
    pub kind: u8,
    /// A player may start here.
    pub sync: bool,
}

/// How much of the past a log keeps.
#[derive(Clone, Copy, Debug)]
pub struct LogLimits {
    /// Payload bytes of each chunk on the wire.
    pub chunk_size: usize,
    /// Bytes kept at most.
    pub bytes: u64,
    /// A reader may be so many bytes behind before it has to jump.
    pub lag_bytes: u64,
    /// Milliseconds of the past kept for seeking.
    pub window_ms: u32,
}

/// See the module text.
#[derive(Debug)]
pub struct StreamLog {
    limits: LogLimits,
    segments: VecDeque<Segment>,
    open: BytesMut,
    /// How many blocks this log has taken; the first are small.
    blocks_taken: usize,
    /// Offset behind the last segment, where `open` begins.
    frozen: u64,
    /// Offset behind the last whole message that was flushed. `visible <= frozen`.
    visible: u64,
    /// First offset a reader may be at. `base <= visible`.
    base: u64,
    /// The messages of `[base, end)`, oldest first.
    frames: VecDeque<Frame>,
    /// Time of the newest message ever; outlives it in `frames`, because a publisher that comes
    /// back goes on from there.
    last_timestamp: Option<Timestamp>,
    /// Position in `frames` of the newest sync point, counted from the first frame ever.
    newest_sync: Option<u64>,
    /// How many frames were trimmed, ever; `frames[0]` is number `trimmed`.
    trimmed: u64,
    /// Headers in force from an offset on, oldest first; those before `base` but the last are
    /// gone.
    headers: VecDeque<(u64, Arc<Headers>)>,
    /// How many header sets were trimmed, ever.
    headers_trimmed: u64,
}

#[derive(Clone, Debug)]
struct Segment {
    start: u64,
    bytes: Bytes,
}

impl Segment {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// The part of this segment that lies in `[from, to)`.
    fn between(&self, from: u64, to: u64) -> &[u8] {
        let within = |offset: u64| {
            let inside = offset.clamp(self.start, self.end()) - self.start;
            usize::try_from(inside).unwrap_or(self.bytes.len())
        };
        self.bytes.get(within(from)..within(to)).unwrap_or_default()
    }
}

/// Where a player may start.
#[derive(Clone, Debug)]
pub struct SyncPoint {
    /// Offset of its first message.
    pub offset: u64,
    /// The time of that message.
    pub timestamp: Timestamp,
    /// What has to be sent before it.
    pub headers: Arc<Headers>,
}

/// A copy of a log's recent part by reference, for another worker.
#[derive(Clone, Debug)]
pub struct Snapshot {
    base: u64,
    segments: Vec<Bytes>,
    first_start: u64,
    frames: Vec<Frame>,
    headers: Vec<(u64, Arc<Headers>)>,
}

impl StreamLog {
    /// An empty log.
    pub fn new(limits: LogLimits) -> Self {
        Self {
            limits,
            segments: VecDeque::new(),
            open: BytesMut::new(),
            blocks_taken: 0,
            frozen: 0,
            visible: 0,
            base: 0,
            frames: VecDeque::new(),
            last_timestamp: None,
            newest_sync: None,
            trimmed: 0,
            headers: VecDeque::new(),
            headers_trimmed: 0,
        }
    }

    /// First offset a reader may be at.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Offset behind the last byte a reader may have.
    pub fn visible(&self) -> u64 {
        self.visible
    }

    /// Offset behind the last byte appended.
    pub fn end(&self) -> u64 {
        self.frozen + self.open.len() as u64
    }

    /// Whether something was appended that no flush has made visible.
    pub fn has_unflushed(&self) -> bool {
        self.end() > self.visible
    }

    /// Time of the last message, if there was one, kept or not.
    pub fn last_timestamp(&self) -> Option<Timestamp> {
        self.last_timestamp
    }

    /// The headers in force for what is appended next.
    pub fn headers_now(&self) -> Option<&Arc<Headers>> {
        self.headers.back().map(|(_, headers)| headers)
    }

    /// Appends one message; it becomes visible with the next flush. `sync`: a player may start
    /// at it.
    pub fn append(
        &mut self,
        pool: &mut BlockPool,
        message_kind: u8,
        timestamp: Timestamp,
        sync: bool,
        payload: &Payload<'_>,
    ) -> Frame {
        let header = MessageHeader {
            csid: csid_of(message_kind),
            timestamp,
            kind: message_kind,
            msid: MSID,
            len: payload.len(),
        };
        let chunk_size = self.limits.chunk_size;
        write_message(
            &mut OpenBlock { log: self, pool },
            &header,
            payload,
            chunk_size,
        );
        let frame = Frame {
            end: self.end(),
            timestamp,
            kind: message_kind,
            sync,
        };
        self.index(frame);
        frame
    }

    /// The headers in force for a message that begins at `offset`, which is in the log.
    pub fn headers_at(&self, offset: u64) -> Arc<Headers> {
        let known = self.headers.partition_point(|(from, _)| *from <= offset);
        let last = known.checked_sub(1).and_then(|last| self.headers.get(last));
        last.map(|(_, headers)| headers.clone()).unwrap_or_default()
    }

    /// The headers in force from here on are `headers`.
    pub fn set_headers(&mut self, headers: Arc<Headers>) {
        self.set_headers_from(self.end(), headers);
    }

    /// The headers in force from `offset` on, which is no earlier than any told before.
    pub fn set_headers_from(&mut self, offset: u64, headers: Arc<Headers>) {
        self.headers.push_back((offset, headers));
    }

    /// How often headers were set, ever.
    pub fn header_changes(&self) -> u64 {
        self.headers_trimmed + self.headers.len() as u64
    }

    /// What headers were set after the first `changes` times, and from which offsets on.
    pub fn headers_since(&self, changes: u64) -> impl Iterator<Item = (u64, &Arc<Headers>)> + '_ {
        let first = changes.saturating_sub(self.headers_trimmed);
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        self.headers
            .iter()
            .skip(first)
            .map(|(offset, headers)| (*offset, headers))
    }

    /// Gives all memory back.
    pub fn recycle(self, pool: &mut BlockPool) {
        for segment in self.segments {
            pool.give(segment.bytes);
        }
        pool.give(self.open.freeze());
    }

    /// Players that come from now on wait for the next sync point.
    pub fn forget_sync(&mut self) {
        self.newest_sync = None;
    }

    /// Makes every whole message visible; true when there was one.
    pub fn flush(&mut self) -> bool {
        if !self.has_unflushed() {
            return false;
        }
        self.freeze_open();
        let before = self.visible;
        // A fed log may end inside a message, and may never be fed the rest of it.
        self.visible = self.frames.back().map_or(before, |frame| frame.end);
        self.check_invariants();
        self.visible > before
    }

    /// Appends what another worker has flushed: a piece of wire bytes and the messages that end
    /// in it. Visible at once up to the last message end.
    pub fn append_fed(&mut self, bytes: Bytes, frames: &[Frame]) {
        self.push_segment(bytes);
        for &frame in frames {
            self.index(frame);
            self.visible = frame.end;
        }
        self.check_invariants();
    }

    /// Frees what lies before every reader's need. `readers_min`: the offset of the hindmost
    /// reader, `u64::MAX` when there is none. Keeps the newest sync point and the seek window,
    /// but never more than the limits.
    pub fn trim(&mut self, pool: &mut BlockPool, readers_min: u64) {
        self.drop_overlong_group();
        let end = self.end();
        let lagging = readers_min.max(end.saturating_sub(self.limits.lag_bytes));
        let mut keep = lagging.min(self.visible);
        if let Some(sync) = self.newest_sync_start() {
            keep = keep.min(sync);
        }
        if self.limits.window_ms > 0 {
            keep = keep.min(self.window_start());
        }
        // What is not visible yet stays, whatever its length: readers stand before it.
        keep = keep
            .max(end.saturating_sub(self.limits.bytes))
            .min(self.visible);
        while let Some(frame) = self.frames.front()
            && frame.end <= keep
        {
            self.base = frame.end;
            self.frames.pop_front();
            self.trimmed += 1;
        }
        while let Some(segment) = self.segments.front()
            && segment.end() <= self.base
        {
            if let Some(segment) = self.segments.pop_front() {
                pool.give(segment.bytes);
            }
        }
        while let Some((next, _)) = self.headers.get(1)
            && *next <= self.base
        {
            self.headers.pop_front();
            self.headers_trimmed += 1;
        }
        self.check_invariants();
    }

    /// The newest visible sync point.
    pub fn newest_sync(&self) -> Option<SyncPoint> {
        let number = self.newest_sync?;
        self.sync_point(self.index_of(number)?)
    }

    /// The first visible sync point at or after `offset`.
    pub fn sync_from(&self, offset: u64) -> Option<SyncPoint> {
        // Sync points are looked for from the newest back, because that is where readers are.
        let mut found = None;
        for index in (0..self.frames.len()).rev() {
            if self.start_of(index) < offset {
                break;
            }
            if self.frames[index].sync && self.frames[index].end <= self.visible {
                found = Some(index);
            }
        }
        self.sync_point(found?)
    }

    /// The last visible sync point at or before `time`, for seeking.
    pub fn sync_before(&self, time: Timestamp) -> Option<SyncPoint> {
        let found = (0..self.frames.len()).rev().find(|&index| {
            let frame = &self.frames[index];
            frame.sync && frame.end <= self.visible && time.since(frame.timestamp) >= 0
        });
        self.sync_point(found?)
    }

    /// Fills `slices` with the visible bytes from `offset` on, as many segments as fit; how many
    /// slices were filled. `base <= offset <= visible`.
    pub fn slices<'a>(&'a self, offset: u64, slices: &mut [IoSlice<'a>]) -> usize {
        debug_assert!(
            self.base <= offset && offset <= self.visible,
            "a reader is inside the log"
        );
        if offset == self.visible {
            return 0;
        }
        let first = self.segment_at(offset);
        let mut count = 0;
        for (slot, segment) in slices.iter_mut().zip(self.segments.range(first..)) {
            let bytes = segment.between(offset, self.visible);
            if bytes.is_empty() {
                break;
            }
            *slot = IoSlice::new(bytes);
            count += 1;
        }
        count
    }

    /// The bytes `[from, to)` by reference, pushed to `pieces`; both lie in the visible part.
    pub fn share(&self, from: u64, to: u64, pieces: &mut impl Extend<Bytes>) {
        debug_assert!(
            self.base <= from && from <= to && to <= self.visible,
            "a visible range"
        );
        if from == to {
            return;
        }
        let first = self.segment_at(from);
        let within = self
            .segments
            .range(first..)
            .take_while(|segment| segment.start < to);
        pieces.extend(within.map(|segment| segment.bytes.slice_ref(segment.between(from, to))));
    }

    /// The end of the message that `offset` lies in; `offset` itself at a boundary.
    pub fn message_end(&self, offset: u64) -> u64 {
        // Most writes end where the log does.
        if offset == self.visible || offset <= self.base {
            return offset;
        }
        let index = self.frames.partition_point(|frame| frame.end < offset);
        self.frames.get(index).map_or(offset, |frame| frame.end)
    }

    /// The visible messages from `offset`, a message boundary, on: each with where it begins.
    pub fn frames_from(&self, offset: u64) -> impl Iterator<Item = (u64, Frame)> + '_ {
        let first = self.frames.partition_point(|frame| frame.end <= offset);
        (first..self.frames.len())
            .map(|index| (self.start_of(index), self.frames[index]))
            .take_while(|(_, frame)| frame.end <= self.visible)
    }

    /// The pieces from `from`, a segment boundary, on: each with the messages that end in it. To
    /// be called after a flush, to feed another worker.
    pub fn pieces_from(
        &self,
        from: u64,
    ) -> impl Iterator<Item = (&Bytes, impl Iterator<Item = Frame> + '_)> + '_ {
        debug_assert!(!self.has_unflushed(), "flushed before it is fed");
        let first = self
            .segments
            .partition_point(|segment| segment.end() <= from);
        self.segments.range(first..).map(|segment| {
            let begin = self
                .frames
                .partition_point(|frame| frame.end <= segment.start);
            let end = self
                .frames
                .partition_point(|frame| frame.end <= segment.end());
            (&segment.bytes, self.frames.range(begin..end).copied())
        })
    }

    /// The visible part from the newest sync point on (or just its end), by reference.
    pub fn snapshot(&self) -> Snapshot {
        debug_assert!(!self.has_unflushed(), "flushed before it is shared");
        let base = self
            .newest_sync_start()
            .unwrap_or(self.visible)
            .min(self.visible);
        let first = self
            .segments
            .partition_point(|segment| segment.end() <= base);
        let kept: Vec<&Segment> = self.segments.range(first..).collect();
        let from = self.frames.partition_point(|frame| frame.end <= base);
        let to = self
            .frames
            .partition_point(|frame| frame.end <= self.visible);
        let old = self
            .headers
            .partition_point(|(from, _)| *from <= base)
            .saturating_sub(1);
        Snapshot {
            base,
            first_start: kept.first().map_or(base, |segment| segment.start),
            segments: kept.iter().map(|segment| segment.bytes.clone()).collect(),
            frames: self.frames.range(from..to).copied().collect(),
            headers: self.headers.range(old..).cloned().collect(),
        }
    }

    /// A log that goes on where `snapshot` was taken.
    pub fn from_snapshot(limits: LogLimits, snapshot: Snapshot) -> Self {
        let mut log = Self::new(limits);
        log.base = snapshot.base;
        log.visible = snapshot.base;
        log.frozen = snapshot.first_start;
        for bytes in snapshot.segments {
            log.push_segment(bytes);
        }
        for frame in snapshot.frames {
            log.index(frame);
            log.visible = frame.end;
        }
        log.headers = snapshot.headers.into();
        log.check_invariants();
        log
    }

    /// Memory of the visible and the open part in bytes, index not counted.
    pub fn held_bytes(&self) -> u64 {
        self.end()
            - self
                .segments
                .front()
                .map_or(self.frozen, |segment| segment.start)
    }

    fn index(&mut self, frame: Frame) {
        self.last_timestamp = Some(frame.timestamp);
        self.frames.push_back(frame);
        if frame.sync {
            self.newest_sync = Some(self.trimmed + self.frames.len() as u64 - 1);
        }
    }

    /// A group of pictures beyond the limits is no good start any more.
    fn drop_overlong_group(&mut self) {
        let Some(index) = self.newest_sync.and_then(|number| self.index_of(number)) else {
            self.newest_sync = None;
            return;
        };
        let frames = self.frames.len() - index;
        let bytes = self.end() - self.start_of(index);
        let age = self
            .last_timestamp()
            .map_or(0, |last| last.since(self.frames[index].timestamp));
        let age_max = limits::GOP_AGE_MAX.as_millis();
        if frames > limits::GOP_FRAMES_MAX
            || bytes > self.limits.bytes.min(limits::GOP_BYTES_MAX as u64)
            || u128::try_from(age).is_ok_and(|age| age > age_max)
        {
            self.newest_sync = None;
        }
    }

    /// Where the newest sync point begins, visible or not.
    fn newest_sync_start(&self) -> Option<u64> {
        let index = self.index_of(self.newest_sync?)?;
        Some(self.start_of(index))
    }

    /// Start of the first message inside the seek window.
    fn window_start(&self) -> u64 {
        let Some(last) = self.last_timestamp() else {
            return self.base;
        };
        let window = i64::from(self.limits.window_ms);
        let first = self
            .frames
            .partition_point(|frame| i64::from(last.since(frame.timestamp)) > window);
        // From the sync point before it, so that the whole window can be reached.
        let sync = (0..first.min(self.frames.len()))
            .rev()
            .find(|&index| self.frames[index].sync);
        self.start_of(sync.unwrap_or(first))
    }

    fn sync_point(&self, index: usize) -> Option<SyncPoint> {
        let frame = self.frames.get(index)?;
        if frame.end > self.visible {
            return None;
        }
        let offset = self.start_of(index);
        Some(SyncPoint {
            offset,
            timestamp: frame.timestamp,
            headers: self.headers_at(offset),
        })
    }

    fn index_of(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.trimmed)?).ok()
    }

    fn start_of(&self, index: usize) -> u64 {
        match index.checked_sub(1) {
            Some(before) => self.frames.get(before).map_or(self.base, |frame| frame.end),
            None => self.base,
        }
    }

    /// Index of the segment that holds the visible byte `offset`.
    fn segment_at(&self, offset: u64) -> usize {
        // Most readers follow live: the last segment begins where they are.
        match self.segments.back() {
            Some(last) if last.start <= offset => self.segments.len() - 1,
            _ => self
                .segments
                .partition_point(|segment| segment.end() <= offset),
        }
    }

    fn freeze_open(&mut self) {
        let bytes = self.open.split().freeze();
        if !bytes.is_empty() {
            self.push_segment(bytes);
        }
    }

    fn push_segment(&mut self, bytes: Bytes) {
        let start = self.frozen;
        self.frozen += bytes.len() as u64;
        self.segments.push_back(Segment { start, bytes });
    }

    fn check_invariants(&self) {
        debug_assert!(self.base <= self.visible);
        debug_assert!(self.visible <= self.end());
        debug_assert!(
            self.frames
                .front()
                .is_none_or(|frame| frame.end > self.base)
        );
        debug_assert!(
            self.frames
                .back()
                .is_none_or(|frame| frame.end <= self.end())
        );
        debug_assert!(
            self.segments
                .back()
                .is_none_or(|last| last.end() == self.frozen)
        );
        debug_assert!(
            self.segments
                .front()
                .is_none_or(|first| first.start <= self.base)
        );
    }
}

/// Writes into the open block and goes on in a new one when it is full.
struct OpenBlock<'a> {
    log: &'a mut StreamLog,
    pool: &'a mut BlockPool,
}

impl Sink for OpenBlock<'_> {
    fn put(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let log = &mut *self.log;
            if log.open.len() == log.open.capacity() {
                log.freeze_open();
                log.open = match limits::FIRST_BLOCK_BYTES.get(log.blocks_taken) {
                    Some(&bytes) => BytesMut::with_capacity(bytes),
                    None => self.pool.take(),
                };
                log.blocks_taken += 1;
            }
            let room = log.open.capacity() - log.open.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            log.open.extend_from_slice(now);
            bytes = later;
        }
    }
}

/// The chunk stream a kind of message travels on, the same for every player.
pub(super) fn csid_of(message_kind: u8) -> u32 {
    match message_kind {
        kind::AUDIO => 4,
        kind::VIDEO => 6,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtmp::media::TrackSet;
    use crate::rtmp::reader::{ChunkReader, ReaderLimits};
    use crate::stream::headers::HeaderKind;
    use proptest::prelude::*;
    use proptest::test_runner::TestCaseResult;

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
        let count = log.slices(offset, &mut slices);
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
        assert_eq!(log.slices(0, &mut [IoSlice::new(&[])]), 0);
        assert_eq!(log.frames_from(0).count(), 0);
        assert!(log.has_unflushed());
        assert!(log.flush());
        assert_eq!(offsets(&log), (0, 15, 15));
        assert_eq!(log.newest_sync().unwrap().offset, 0);
        assert_eq!(log.frames_from(0).collect::<Vec<_>>(), [(0, frame)]);
        assert_eq!(log.last_timestamp(), Some(Timestamp(40)));
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
        log.trim(&mut pool, starts[2]);
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
        log.trim(&mut pool, u64::MAX);
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
            log.trim(&mut pool, u64::MAX);
            let row = (count, bytes, step);
            assert_eq!(log.newest_sync().is_some(), stays, "{row:?}");
            // Without a start, and without a reader, nothing has to be kept.
            let base = if stays { 0 } else { log.end() };
            assert_eq!(log.base(), base, "{row:?}");
        }
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
        log.trim(&mut pool, u64::MAX);
        // The window begins at 3000; 2800 is the key frame before.
        let first = log.frames_from(log.base()).next().unwrap().1;
        assert_eq!(first, frames[14]);
        assert_eq!(
            log.sync_before(Timestamp(3_100)).unwrap().timestamp.0,
            2_800
        );
        assert!(log.sync_before(Timestamp(2_799)).is_none());
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
                log.trim(&mut pool, u64::MAX);
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
        log.trim(&mut pool, u64::MAX);
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
            copy.trim(&mut pool, u64::MAX);
            assert_eq!(copy.visible(), seen);
            assert_eq!(copy.newest_sync().unwrap().offset, 0);
        }
        let (bytes, frames) = &pieces[2];
        copy.append_fed(bytes.clone(), frames);
        assert_eq!(copy.visible(), log.visible());
        assert_eq!(copy.newest_sync().unwrap().offset, seen);
    }

    // Against a model that keeps everything.

    /// One thing that happens to a log.
    #[derive(Clone, Debug)]
    enum Op {
        Append {
            message_kind: u8,
            step_ms: u32,
            sync: bool,
            len: usize,
        },
        SetHeaders(u8),
        Flush,
        /// Hindmost reader so many bytes behind the end; None: no reader.
        Trim(Option<u32>),
        ForgetSync,
        /// Another worker begins to follow, anew if it did before.
        Follow,
        /// What is new goes to the follower.
        Feed,
        /// Reads at these fractions of the visible part, in 1/256.
        Read(u8, u8),
    }

    fn op() -> impl Strategy<Value = Op> {
        let kinds = prop_oneof![Just(kind::AUDIO), Just(kind::VIDEO), Just(kind::DATA)];
        let len = prop_oneof![
            8 => 0usize..3_000,
            // Longer than a block, and than two.
            1 => 60_000usize..70_000,
            1 => 130_000usize..150_000,
        ];
        let step = prop_oneof![9 => 0u32..100, 1 => 0xFF_F000u32..0x100_1000];
        let append = (kinds, step, prop::bool::weighted(0.15), len);
        prop_oneof![
            12 => append.prop_map(|(message_kind, step_ms, sync, len)| Op::Append {
                message_kind, step_ms, sync, len,
            }),
            1 => any::<u8>().prop_map(Op::SetHeaders),
            6 => Just(Op::Flush),
            4 => prop::option::of(0u32..400_000).prop_map(Op::Trim),
            1 => Just(Op::ForgetSync),
            1 => Just(Op::Follow),
            4 => Just(Op::Feed),
            4 => any::<(u8, u8)>().prop_map(|(from, to)| Op::Read(from, to)),
        ]
    }

    fn log_limits() -> impl Strategy<Value = LogLimits> {
        let chunk_sizes = prop_oneof![Just(128), Just(4_096), Just(65_536)];
        let windows = prop_oneof![Just(0), Just(700)];
        (
            chunk_sizes,
            250_000u64..900_000,
            50_000u64..400_000,
            windows,
        )
            .prop_map(|(chunk_size, bytes, lag_bytes, window_ms)| LogLimits {
                chunk_size,
                bytes,
                lag_bytes: lag_bytes.min(bytes),
                window_ms,
            })
    }

    /// A message as it was appended.
    #[derive(Clone, Debug)]
    struct Known {
        start: u64,
        frame: Frame,
        body: Vec<u8>,
    }

    /// All bytes and all messages ever, and the log that is to agree with them.
    struct Model {
        limits: LogLimits,
        log: StreamLog,
        pool: BlockPool,
        wire: Vec<u8>,
        known: Vec<Known>,
        headers: Vec<(u64, Arc<Headers>)>,
        visible: u64,
        /// Index into `known` of the newest sync point that was not given up.
        newest: Option<usize>,
        time: u32,
        follower: Option<Follower>,
    }

    struct Follower {
        log: StreamLog,
        sent: u64,
        headers_seen: u64,
    }

    impl Model {
        fn new(limits: LogLimits) -> Self {
            Self {
                limits,
                log: StreamLog::new(limits),
                pool: BlockPool::default(),
                wire: Vec::new(),
                known: Vec::new(),
                headers: Vec::new(),
                visible: 0,
                newest: None,
                // Near the 24-bit boundary, where headers grow by four bytes.
                time: 0xFF_F800,
                follower: None,
            }
        }

        fn apply(&mut self, op: &Op) -> TestCaseResult {
            match *op {
                Op::Append {
                    message_kind,
                    step_ms,
                    sync,
                    len,
                } => {
                    self.append(message_kind, step_ms, sync, len)?;
                }
                Op::SetHeaders(mark) => {
                    let headers = headers(mark);
                    self.headers.push((self.wire.len() as u64, headers.clone()));
                    self.log.set_headers(headers);
                }
                Op::Flush => {
                    prop_assert_eq!(self.log.flush(), self.visible < self.wire.len() as u64);
                    self.visible = self.wire.len() as u64;
                }
                Op::Trim(behind) => {
                    let end = self.log.end();
                    let reader =
                        behind.map_or(u64::MAX, |behind| end.saturating_sub(behind.into()));
                    self.trim(reader)?;
                }
                Op::ForgetSync => {
                    self.log.forget_sync();
                    self.newest = None;
                }
                Op::Follow => self.follow(),
                Op::Feed => self.feed()?,
                Op::Read(from, to) => self.read(from, to)?,
            }
            self.check()
        }

        fn append(
            &mut self,
            message_kind: u8,
            step_ms: u32,
            sync: bool,
            len: usize,
        ) -> TestCaseResult {
            self.time = self.time.wrapping_add(step_ms);
            let seed = self.known.len();
            let body: Vec<u8> = (0..len)
                .map(|at| (at * 7 + seed).to_le_bytes()[0])
                .collect();
            let payload = Payload::from_slice(&body);
            let header = MessageHeader {
                csid: csid_of(message_kind),
                timestamp: Timestamp(self.time),
                kind: message_kind,
                msid: 1,
                len,
            };
            let start = self.wire.len() as u64;
            write_message(&mut self.wire, &header, &payload, self.limits.chunk_size);
            let time = Timestamp(self.time);
            let frame = self
                .log
                .append(&mut self.pool, message_kind, time, sync, &payload);
            let expected = Frame {
                end: self.wire.len() as u64,
                timestamp: time,
                kind: message_kind,
                sync,
            };
            prop_assert_eq!(frame, expected);
            if sync {
                self.newest = Some(self.known.len());
            }
            self.known.push(Known { start, frame, body });
            Ok(())
        }

        /// Trims and judges what is left: all that is needed, and within the limits.
        fn trim(&mut self, reader: u64) -> TestCaseResult {
            let end = self.wire.len() as u64;
            let last = self.time;
            self.newest = self.newest.filter(|&newest| !self.is_overlong(newest));
            let before = self.log.base();
            self.log.trim(&mut self.pool, reader);
            let base = self.log.base();
            prop_assert!(base >= before);
            // What readers within the lag, the newest sync point and the seek window need.
            let mut needed = reader
                .max(end.saturating_sub(self.limits.lag_bytes))
                .min(self.visible);
            if let Some(newest) = self.newest {
                needed = needed.min(self.known[newest].start);
            }
            if self.limits.window_ms > 0 {
                let window = i32::try_from(self.limits.window_ms).unwrap();
                let inside = |known: &Known| {
                    Timestamp(last).since(known.frame.timestamp) <= window && known.start >= before
                };
                let first = self
                    .known
                    .iter()
                    .position(inside)
                    .unwrap_or(self.known.len());
                let syncs = self.known[..first].iter().rev();
                let sync = syncs
                    .take_while(|known| known.start >= before)
                    .find(|k| k.frame.sync);
                let first = self.known.get(first).map_or(end, |known| known.start);
                needed = needed.min(sync.map_or(first, |known| known.start));
            }
            let needed = needed
                .max(end.saturating_sub(self.limits.bytes))
                .min(self.visible);
            prop_assert!(base <= needed.max(before), "{base} but {needed} is needed");
            // And no message more than that.
            let at_base = self.known.iter().find(|known| known.start == base);
            prop_assert!(at_base.is_none_or(|known| known.frame.end > needed));
            Ok(())
        }

        /// Whether the group that begins with message `newest` is beyond the limits.
        fn is_overlong(&self, newest: usize) -> bool {
            let known = &self.known[newest];
            let age = Timestamp(self.time).since(known.frame.timestamp);
            let bytes = self.wire.len() as u64 - known.start;
            bytes > self.limits.bytes || age > 20_000 || self.known.len() - newest > 2_500
        }

        fn follow(&mut self) {
            self.log.flush();
            self.visible = self.wire.len() as u64;
            self.follower = Some(Follower {
                log: StreamLog::from_snapshot(self.limits, self.log.snapshot()),
                sent: self.log.visible(),
                headers_seen: self.log.header_changes(),
            });
        }

        fn feed(&mut self) -> TestCaseResult {
            self.log.flush();
            self.visible = self.wire.len() as u64;
            let Some(mut follower) = self.follower.take() else {
                return Ok(());
            };
            if follower.sent < self.log.base() {
                // Too far behind: what it misses is gone.
                return Ok(());
            }
            for (offset, headers) in self.log.headers_since(follower.headers_seen) {
                follower.log.set_headers_from(offset, headers.clone());
            }
            follower.headers_seen = self.log.header_changes();
            for (bytes, frames) in self.log.pieces_from(follower.sent) {
                let frames: Vec<Frame> = frames.collect();
                follower.log.append_fed(bytes.clone(), &frames);
            }
            follower.sent = self.log.visible();
            self.check_follower(&follower.log)?;
            follower.log.trim(&mut self.pool, self.visible);
            self.follower = Some(follower);
            Ok(())
        }

        /// The log of another worker has what this one has from its own base on.
        fn check_follower(&self, log: &StreamLog) -> TestCaseResult {
            let base = log.base();
            prop_assert_eq!(offsets(log), (base, self.visible, self.visible));
            prop_assert_eq!(read_from(log, base), self.bytes(base, self.visible));
            let frames = self
                .visible_from(base)
                .map(|known| (known.start, known.frame));
            let frames: Vec<(u64, Frame)> = frames.collect();
            prop_assert_eq!(log.frames_from(base).collect::<Vec<_>>(), frames);
            let newest = self.newest.filter(|&newest| !self.is_overlong(newest));
            if newest.is_some_and(|newest| self.known[newest].start >= base) {
                let (theirs, ours) = (log.newest_sync().unwrap(), self.log.newest_sync().unwrap());
                prop_assert_eq!(
                    (theirs.offset, theirs.timestamp),
                    (ours.offset, ours.timestamp)
                );
                prop_assert!(same(&theirs.headers, &ours.headers));
            }
            Ok(())
        }

        fn read(&self, from: u8, to: u8) -> TestCaseResult {
            let (base, log) = (self.log.base(), &self.log);
            let place = |part: u8| base + (self.visible - base) * u64::from(part) / 256;
            let (from, to) = (place(from.min(to)), place(from.max(to)));
            let mut pieces = Vec::new();
            log.share(from, to, &mut pieces);
            prop_assert_eq!(pieces.concat(), self.bytes(from, to));
            prop_assert!(pieces.iter().all(|piece| !piece.is_empty()));
            prop_assert_eq!(read_from(log, from), self.bytes(from, self.visible));
            // No more slices than there is room for.
            let mut two = [IoSlice::new(&[]); 2];
            let count = log.slices(from, &mut two);
            let some = joined(&two[..count]);
            prop_assert_eq!(&some[..], &self.bytes(from, self.visible)[..some.len()]);
            prop_assert!(count == 2 || some.len() as u64 == self.visible - from);
            let inside = self
                .known
                .iter()
                .find(|k| k.start < from && from <= k.frame.end);
            let end = inside.map_or(from, |known| known.frame.end);
            prop_assert_eq!(log.message_end(from), if from == base { base } else { end });
            let rest = self.visible_from(end);
            let rest: Vec<(u64, Frame)> = rest.map(|known| (known.start, known.frame)).collect();
            prop_assert_eq!(log.frames_from(end).collect::<Vec<_>>(), rest);
            self.read_time(to, from)
        }

        /// Seeks to the time of the message at `offset`, and looks for a start behind `from`.
        fn read_time(&self, offset: u64, from: u64) -> TestCaseResult {
            let Some(aim) = self.visible_from(offset).next() else {
                return Ok(());
            };
            let time = aim.frame.timestamp;
            let base = self.log.base();
            let mut syncs = self.visible_from(base).filter(|known| known.frame.sync);
            let next = syncs.clone().find(|known| known.start >= from);
            let next = next.map(|known| known.start);
            prop_assert_eq!(self.log.sync_from(from).map(|sync| sync.offset), next);
            let before = |known: &&Known| time.since(known.frame.timestamp) >= 0;
            let found = syncs.rfind(before).map(|known| known.start);
            prop_assert_eq!(self.log.sync_before(time).map(|sync| sync.offset), found);
            Ok(())
        }

        /// What holds at any time.
        fn check(&self) -> TestCaseResult {
            let (base, end) = (self.log.base(), self.wire.len() as u64);
            prop_assert_eq!(offsets(&self.log), (base, self.visible, end));
            let is_boundary = base == end || self.known.iter().any(|known| known.start == base);
            prop_assert!(is_boundary, "the base is between messages");
            let newest = self.newest.map(|newest| &self.known[newest]);
            // One that is not flushed is not told, nor is any other meanwhile.
            let newest = newest.filter(|known| known.frame.end <= self.visible);
            let told = self.log.newest_sync();
            prop_assert_eq!(
                told.as_ref().map(|sync| sync.offset),
                newest.map(|known| known.start)
            );
            if let Some(sync) = told {
                let mut before = self.headers.iter().rev();
                let in_force = before.find(|(from, _)| *from <= sync.offset);
                let in_force = in_force
                    .map(|(_, headers)| headers.clone())
                    .unwrap_or_default();
                prop_assert!(same(&sync.headers, &in_force));
                prop_assert_eq!(sync.timestamp, newest.unwrap().frame.timestamp);
            }
            // Kept or not.
            let last = self.known.last();
            prop_assert_eq!(
                self.log.last_timestamp(),
                last.map(|known| known.frame.timestamp)
            );
            // At most the segment at the base is held beside what is kept.
            prop_assert!(self.log.held_bytes() - (end - base) < limits::BLOCK_BYTES as u64);
            Ok(())
        }

        fn bytes(&self, from: u64, to: u64) -> Vec<u8> {
            self.wire[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()].to_vec()
        }

        fn visible_from(&self, offset: u64) -> impl DoubleEndedIterator<Item = &Known> + Clone {
            let visible = self.visible;
            let is_there =
                move |known: &&Known| known.start >= offset && known.frame.end <= visible;
            self.known.iter().filter(is_there)
        }

        /// A player that starts at any sync point gets its headers, then the messages as they
        /// were.
        fn play_from_every_sync_point(&mut self) -> TestCaseResult {
            self.log.flush();
            self.visible = self.wire.len() as u64;
            let base = self.log.base();
            let starts: Vec<&Known> = self.visible_from(base).filter(|k| k.frame.sync).collect();
            for start in starts {
                let sync = self.log.sync_from(start.start).unwrap();
                let mut wire = Vec::new();
                sync.headers.write(
                    &mut wire,
                    MSID,
                    sync.timestamp,
                    sync.timestamp,
                    self.limits.chunk_size,
                );
                wire.extend(read_from(&self.log, sync.offset));
                let mut reader = ChunkReader::new(ReaderLimits::PUBLISHER);
                reader.set_chunk_size(self.limits.chunk_size);
                let mut at = 0;
                for _ in 0..sync.headers.len() {
                    let header = reader.next(&wire, &mut at).unwrap().unwrap();
                    prop_assert_eq!(header.header.timestamp, start.frame.timestamp);
                    prop_assert_eq!(header.payload.len(), 5);
                }
                for known in self.visible_from(start.start) {
                    let message = reader.next(&wire, &mut at).unwrap().unwrap();
                    prop_assert_eq!(message.header.timestamp, known.frame.timestamp);
                    prop_assert_eq!(message.header.kind, known.frame.kind);
                    prop_assert_eq!(message.header.msid, MSID);
                    prop_assert_eq!(message.payload.to_vec(), &known.body[..]);
                }
                prop_assert!(reader.next(&wire, &mut at).unwrap().is_none());
                prop_assert_eq!(at, wire.len());
            }
            Ok(())
        }
    }

    /// Whether two sets are written alike.
    fn same(one: &Headers, other: &Headers) -> bool {
        let written = |headers: &Headers| {
            let mut wire = Vec::new();
            headers.write(&mut wire, MSID, Timestamp(0), Timestamp(0), 128);
            wire
        };
        written(one) == written(other)
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 96,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]
        #[test]
        fn a_log_agrees_with_a_model_that_keeps_everything(
            limits in log_limits(),
            ops in proptest::collection::vec(op(), 1..120),
        ) {
            let mut model = Model::new(limits);
            for op in &ops {
                model.apply(op)?;
            }
            model.play_from_every_sync_point()?;
        }
    }
}
