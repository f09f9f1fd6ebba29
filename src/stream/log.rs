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
use super::sync::SyncPoints;
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
    /// Those among them that a seek can lead to, visible or not.
    syncs: SyncPoints,
    /// Time of the newest message ever; outlives it in `frames`, because a publisher that comes
    /// back goes on from there.
    last_timestamp: Option<Timestamp>,
    /// Position in `frames` of the newest sync point, counted from the first frame ever.
    newest_sync: Option<u64>,
    /// How many frames were trimmed, ever; `frames[0]` is number `trimmed`.
    trimmed: u64,
    /// Headers in force from an offset on, oldest first; those before `base` but the last are
    /// gone.
    headers: VecDeque<HeaderSet>,
    /// Memory of all of them; what they share counts once.
    header_bytes: usize,
    /// How many header sets were trimmed, ever.
    headers_trimmed: u64,
}

/// Headers, and the offset they are in force from.
#[derive(Clone, Debug)]
struct HeaderSet {
    from: u64,
    headers: Arc<Headers>,
    /// Memory that goes with it: of the newest all, of each other what the next one has not.
    bytes: usize,
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
            syncs: SyncPoints::default(),
            last_timestamp: None,
            newest_sync: None,
            trimmed: 0,
            headers: VecDeque::new(),
            header_bytes: 0,
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

    /// Whether so much has come since the last trim that the next one cannot wait: twice what
    /// may be kept, or twice the longest message.
    pub fn is_overfull(&self) -> bool {
        let most = self
            .limits
            .bytes
            .max(limits::VIDEO_MESSAGE_BYTES_MAX as u64);
        self.end() - self.base > most.saturating_mul(2)
    }

    /// Time of the last message, if there was one, kept or not.
    pub fn last_timestamp(&self) -> Option<Timestamp> {
        self.last_timestamp
    }

    /// The headers in force for what is appended next.
    pub fn headers_now(&self) -> Option<&Arc<Headers>> {
        self.headers.back().map(|set| &set.headers)
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
        let known = self.headers.partition_point(|set| set.from <= offset);
        let last = known.checked_sub(1).and_then(|last| self.headers.get(last));
        last.map(|set| set.headers.clone()).unwrap_or_default()
    }

    /// The headers in force from here on are `headers`.
    pub fn set_headers(&mut self, headers: Arc<Headers>) {
        self.set_headers_from(self.end(), headers);
    }

    /// The headers in force from `offset` on, which is no earlier than any told before.
    pub fn set_headers_from(&mut self, offset: u64, headers: Arc<Headers>) {
        if let Some(before) = self.headers.back_mut() {
            self.header_bytes -= before.bytes;
            before.bytes = before.headers.bytes_beside(&headers);
            self.header_bytes += before.bytes;
        }
        let bytes = headers.bytes();
        self.header_bytes += bytes;
        self.headers.push_back(HeaderSet {
            from: offset,
            headers,
            bytes,
        });
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
            .map(|set| (set.from, &set.headers))
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

    /// Drops what is no whole message: the feed that brought the first part of one has ended, and
    /// whoever appends goes on at the boundary.
    pub fn drop_incomplete(&mut self) {
        debug_assert!(self.open.is_empty(), "a log that was fed");
        while let Some(last) = self.segments.back_mut()
            && last.end() > self.visible
        {
            let kept = self.visible.saturating_sub(last.start);
            last.bytes.truncate(usize::try_from(kept).unwrap_or(0));
            if last.bytes.is_empty() {
                self.segments.pop_back();
            }
        }
        self.frozen = self.frozen.min(self.visible);
        // Headers come ahead of the messages they are for.
        for set in &mut self.headers {
            set.from = set.from.min(self.visible);
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
        self.syncs.trim(self.trimmed);
        while let Some(segment) = self.segments.front()
            && segment.end() <= self.base
        {
            if let Some(segment) = self.segments.pop_front() {
                pool.give(segment.bytes);
            }
        }
        while let Some(next) = self.headers.get(1)
            && next.from <= self.base
        {
            let gone = self.headers.pop_front();
            self.header_bytes -= gone.map_or(0, |set| set.bytes);
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
    #[cfg(test)]
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

    /// The last sync point at or before `time`, for seeking. To be called after a flush.
    pub fn sync_before(&self, time: Timestamp) -> Option<SyncPoint> {
        debug_assert!(
            (self.frames.back()).is_none_or(|last| last.end <= self.visible),
            "flushed before it is sought in"
        );
        self.sync_point(self.index_of(self.syncs.before(time)?)?)
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
            .partition_point(|set| set.from <= base)
            .saturating_sub(1);
        Snapshot {
            base,
            first_start: kept.first().map_or(base, |segment| segment.start),
            segments: kept.iter().map(|segment| segment.bytes.clone()).collect(),
            frames: self.frames.range(from..to).copied().collect(),
            headers: (self.headers.range(old..))
                .map(|set| (set.from, set.headers.clone()))
                .collect(),
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
        for (from, headers) in snapshot.headers {
            log.set_headers_from(from, headers);
        }
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

    /// Those of the [`held_bytes`](Self::held_bytes) that lie before the newest sync point: what
    /// is held for players that lag, and for seeking.
    pub fn bytes_before_sync(&self) -> u64 {
        let since = self
            .newest_sync_start()
            .map_or(0, |start| self.end().saturating_sub(start));
        self.held_bytes().saturating_sub(since)
    }

    /// Memory of the index and of the headers in force in bytes.
    pub fn index_bytes(&self) -> u64 {
        let frames = self.frames.capacity() * size_of::<Frame>() + self.syncs.bytes();
        let segments = self.segments.capacity() * size_of::<Segment>();
        let headers = self.headers.capacity() * size_of::<HeaderSet>() + self.header_bytes;
        (frames + segments + headers) as u64
    }

    fn index(&mut self, frame: Frame) {
        self.last_timestamp = Some(frame.timestamp);
        self.frames.push_back(frame);
        if frame.sync {
            let position = self.trimmed + self.frames.len() as u64 - 1;
            self.newest_sync = Some(position);
            self.syncs.push(position, frame.timestamp);
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

    /// From where on all is kept that a seek into the window leads to.
    fn window_start(&self) -> u64 {
        let begins = self
            .last_timestamp()
            .map(|last| Timestamp(last.0.wrapping_sub(self.limits.window_ms)));
        // From the sync point before it, so that the whole window can be reached; what lies
        // before the first one there is cannot be.
        let sync = begins.and_then(|begins| self.syncs.before(begins));
        let sync = sync.or_else(|| self.syncs.first());
        sync.and_then(|position| self.index_of(position))
            .map_or_else(|| self.end(), |index| self.start_of(index))
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
        debug_assert!(self.is_sound(), "{self:?}");
    }

    /// Whether offsets, index and segments agree. They do, unless a panic cut a change short.
    pub fn is_sound(&self) -> bool {
        let ends = |frame: Option<&Frame>| frame.map(|frame| frame.end);
        self.base <= self.visible
            && self.visible <= self.end()
            && ends(self.frames.front()).is_none_or(|end| end > self.base)
            && ends(self.frames.back()).is_none_or(|end| end <= self.end())
            && (self.segments.back()).is_none_or(|last| last.end() == self.frozen)
            && (self.segments.front()).is_none_or(|first| first.start <= self.base)
            && (self.syncs.first()).is_none_or(|first| first >= self.trimmed)
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
mod tests;
