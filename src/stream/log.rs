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
//!
//! Here are the index and what becomes visible; beside it the bytes (`segments`), the headers in
//! force (`header_sets`), what is let go of (`trimming`), the times at a place (`times`) and the
//! way to other workers (`sharing`).

mod header_sets;
mod segments;
mod sharing;
mod times;
mod trimming;

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;

use super::block::BlockPool;
use super::headers::Headers;
use super::sync::SyncPoints;
use crate::rtmp::media::{FrameKind, Inspection, TrackSet};
use crate::rtmp::message::{MessageHeader, MessageStreamId, Payload, Timestamp, kind};
use crate::rtmp::writer::write_message;
use header_sets::HeaderSet;
use segments::{OpenBlock, Segment};

pub use sharing::Snapshot;
pub use times::Times;

/// The message stream id in the log; the first createStream of every client gets it.
pub const MSID: MessageStreamId = MessageStreamId(1);

/// Stands for the type id of data that only servers get: players have no word for it.
pub const FOR_SERVERS: u8 = 0;

/// One logged message in wire form, as the index knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Offset behind its last byte; it begins where the one before ends.
    pub end: u64,
    /// Its time.
    pub timestamp: Timestamp,
    /// Its message type id: audio, video or data, or else [`FOR_SERVERS`].
    pub kind: u8,
    /// A player may start here.
    pub sync: bool,
    /// What its pictures need to be decoded.
    pub picture: Picture,
    /// Their track; the lowest if there are several.
    pub track: u8,
}

/// What the pictures of a message need to be decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Picture {
    /// It has no pictures, or cannot be told.
    #[default]
    Other,
    /// The key frame before it.
    Inter,
    /// Nothing: it is a key frame.
    Key,
    /// Nothing: it has key frames of several tracks.
    Keys,
}
const _: () = assert!(
    size_of::<Frame>() == 16,
    "there is one for each message kept"
);

impl Frame {
    /// The message type id it has on the wire.
    fn message_kind(&self) -> u8 {
        match self.kind {
            FOR_SERVERS => kind::DATA,
            known => known,
        }
    }
}

impl Picture {
    fn of(seen: &Inspection) -> Self {
        match seen.kind {
            FrameKind::Keyframe if seen.tracks.iter().nth(1).is_some() => Self::Keys,
            FrameKind::Keyframe => Self::Key,
            FrameKind::Inter | FrameKind::Disposable => Self::Inter,
            _ => Self::Other,
        }
    }
}

/// The newest sync point, so that nothing has to be looked up in the index for each message.
#[derive(Clone, Copy, Debug)]
struct NewestSync {
    /// Which frame it is, counted from the first ever.
    number: u64,
    /// The offset of its first byte.
    start: u64,
    timestamp: Timestamp,
    is_picture: bool,
    /// When a trim first met it.
    trimmed_at: Option<Duration>,
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
    newest_sync: Option<NewestSync>,
    /// Offset behind the last message that only servers get; 0 when there was none.
    for_servers_end: u64,
    /// Tracks of which pictures have come from this publisher.
    tracks: Option<Box<TrackSet>>,
    /// No player may start before the next message: the publisher is away.
    is_closed: bool,
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

/// Where a player may start.
#[derive(Clone, Debug)]
pub struct SyncPoint {
    /// Offset of its first message.
    pub offset: u64,
    /// The time of that message, or of the last if it has not come.
    pub timestamp: Timestamp,
    /// What has to be sent before it.
    pub headers: Arc<Headers>,
    /// Pictures that come next may need one that has come before: they wait for their next start.
    pub without_pictures: bool,
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
            for_servers_end: 0,
            tracks: None,
            is_closed: false,
            trimmed: 0,
            headers: VecDeque::new(),
            header_bytes: 0,
            headers_trimmed: 0,
        }
    }

    /// An empty log whose first message begins at `offset`: whoever was further back in one before
    /// it has lost its place.
    pub(super) fn beginning_at(limits: LogLimits, offset: u64) -> Self {
        let mut log = Self::new(limits);
        (log.base, log.visible, log.frozen) = (offset, offset, offset);
        log
    }

    /// Payload bytes of each chunk.
    pub(super) fn chunk_size(&self) -> usize {
        self.limits.chunk_size
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

    /// The highest time of the newest message and of the newest audio and video message.
    pub fn latest_timestamp(&self) -> Option<Timestamp> {
        let newest_of = |kind| {
            let mut frames = self.frames.iter().rev();
            frames.find(|frame| frame.kind == kind)
        };
        let last = self.last_timestamp?;
        let others = [newest_of(kind::AUDIO), newest_of(kind::VIDEO)];
        let others = others.into_iter().flatten().map(|frame| frame.timestamp);
        Some(others.fold(
            last,
            |last, time| if time.since(last) > 0 { time } else { last },
        ))
    }

    /// Whether the newest sync point is a picture.
    pub fn has_picture_start(&self) -> bool {
        self.newest_sync
            .is_some_and(|sync| sync.is_picture && self.is_kept(sync))
    }

    /// Appends one message; it becomes visible with the next flush. `sync`: a player may start
    /// at it. `message_kind` is a type id or [`FOR_SERVERS`].
    pub fn append(
        &mut self,
        pool: &mut BlockPool,
        message_kind: u8,
        timestamp: Timestamp,
        sync: bool,
        payload: &Payload<'_>,
    ) -> Frame {
        let frame = Frame {
            end: 0,
            timestamp,
            kind: message_kind,
            sync,
            picture: Picture::Other,
            track: 0,
        };
        self.append_as(pool, frame, payload)
    }

    /// The same of a video message that was looked at.
    pub(super) fn append_picture(
        &mut self,
        pool: &mut BlockPool,
        (timestamp, sync): (Timestamp, bool),
        seen: &Inspection,
        payload: &Payload<'_>,
    ) {
        let frame = Frame {
            end: 0,
            timestamp,
            kind: kind::VIDEO,
            sync,
            picture: Picture::of(seen),
            track: seen.first_track,
        };
        self.append_as(pool, frame, payload);
    }

    fn append_as(&mut self, pool: &mut BlockPool, frame: Frame, payload: &Payload<'_>) -> Frame {
        let header = MessageHeader {
            csid: csid_of(frame.kind),
            timestamp: frame.timestamp,
            kind: frame.message_kind(),
            msid: MSID,
            len: payload.len(),
        };
        let chunk_size = self.limits.chunk_size;
        self.append_with(pool, frame, |sink| {
            write_message(sink, &header, payload, chunk_size);
        })
    }

    /// Appends the message that `frame` describes, but for its end, in the form that `write` gives
    /// it.
    pub(super) fn append_with(
        &mut self,
        pool: &mut BlockPool,
        frame: Frame,
        write: impl FnOnce(&mut OpenBlock<'_>),
    ) -> Frame {
        write(&mut OpenBlock { log: self, pool });
        let end = self.end();
        let frame = Frame { end, ..frame };
        self.index(frame);
        frame
    }

    /// No player starts at the newest sync point any more.
    pub fn forget_sync(&mut self) {
        self.newest_sync = None;
    }

    /// The publisher is away: no player starts before the next message.
    pub fn close_starts(&mut self) {
        self.newest_sync = None;
        self.tracks = None;
        self.is_closed = true;
    }

    /// Whether pictures have come from this publisher.
    pub fn has_pictures(&self) -> bool {
        self.tracks.is_some()
    }

    /// The tracks of its pictures, where there are others than track 0.
    pub fn tracks(&self) -> Option<&TrackSet> {
        let tracks = self.tracks.as_deref()?;
        let others = tracks.without(&TrackSet::DEFAULT);
        (!others.is_empty()).then_some(tracks)
    }

    /// Players start here as they do in `source`, of which this log is made.
    pub(super) fn take_starts_of(&mut self, source: &Self) {
        if source.newest_sync.is_none() {
            self.newest_sync = None;
        }
        self.is_closed = source.is_closed;
        self.tracks.clone_from(&source.tracks);
        self.last_timestamp = source.last_timestamp;
    }

    /// Where a player starts for which there is no sync point: behind all that is visible. None
    /// while the publisher is away, and before there is anything.
    pub fn live_edge(&self) -> Option<SyncPoint> {
        let last = self.last_timestamp.filter(|_| !self.is_closed)?;
        // Nothing that follows is earlier, as far as it is here.
        let unflushed = self.frames.iter().rev();
        let unflushed = unflushed.take_while(|frame| frame.end > self.visible);
        let timestamp = unflushed.map(|frame| frame.timestamp).fold(last, earlier);
        Some(SyncPoint {
            offset: self.visible,
            timestamp,
            headers: self.headers_at(self.visible),
            without_pictures: true,
        })
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

    /// The newest visible sync point.
    pub fn newest_sync(&self) -> Option<SyncPoint> {
        self.sync_point(self.index_of(self.newest_sync?.number)?)
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

    /// Whether there ever was a message that only servers get.
    pub fn has_had_clears(&self) -> bool {
        self.for_servers_end > 0
    }

    /// What one write to a player that takes the log as it is may have from `offset`, a message
    /// boundary, on: from where, and up to where.
    pub fn part_for(&self, is_server: bool, offset: u64) -> (u64, u64) {
        if is_server || offset >= self.for_servers_end {
            return (offset, self.visible);
        }
        let mut from = offset;
        for (start, frame) in self.frames_from(offset) {
            match frame.kind {
                FOR_SERVERS if start == from => from = frame.end,
                FOR_SERVERS => return (from, start),
                _ => {}
            }
        }
        (from, self.visible)
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

    /// Memory of the index, of the headers in force and of what is free of the open block, in
    /// bytes.
    pub fn index_bytes(&self) -> u64 {
        let free = self.open.capacity() - self.open.len();
        let frames = self.frames.capacity() * size_of::<Frame>() + self.syncs.bytes();
        let segments = self.segments.capacity() * size_of::<Segment>();
        let headers = self.headers.capacity() * size_of::<HeaderSet>() + self.header_bytes;
        (frames + segments + headers + free) as u64
    }

    fn index(&mut self, frame: Frame) {
        self.last_timestamp = Some(frame.timestamp);
        self.is_closed = false;
        if frame.kind == FOR_SERVERS {
            self.for_servers_end = frame.end;
        }
        if frame.picture != Picture::Other {
            self.tracks.get_or_insert_default().insert(frame.track);
        }
        self.frames.push_back(frame);
        if frame.sync {
            let index = self.frames.len() - 1;
            let sync = NewestSync {
                number: self.trimmed + index as u64,
                start: self.start_of(index),
                timestamp: frame.timestamp,
                is_picture: frame.kind == kind::VIDEO,
                trimmed_at: None,
            };
            self.newest_sync = Some(sync);
            self.syncs.push(sync.number, sync.timestamp);
        }
    }

    /// Where the newest sync point begins, visible or not.
    fn newest_sync_start(&self) -> Option<u64> {
        let sync = self.newest_sync.filter(|sync| self.is_kept(*sync))?;
        Some(sync.start)
    }

    fn is_kept(&self, sync: NewestSync) -> bool {
        sync.number >= self.trimmed
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
            without_pictures: frame.kind != kind::VIDEO && self.has_pictures(),
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

/// The chunk stream a kind of message travels on, the same for every player.
pub(super) fn csid_of(message_kind: u8) -> u32 {
    match message_kind {
        kind::AUDIO => 4,
        kind::VIDEO => 6,
        _ => 5,
    }
}

fn earlier(one: Timestamp, other: Timestamp) -> Timestamp {
    if other.since(one) < 0 { other } else { one }
}

#[cfg(test)]
mod tests;
