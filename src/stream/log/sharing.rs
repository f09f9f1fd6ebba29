//! A log on two workers: a copy by reference of what a new start needs, then what is flushed
//! there, piece by piece.

use std::sync::Arc;

use bytes::Bytes;

use super::segments::Segment;
use super::{Frame, LogLimits, StreamLog};
use crate::rtmp::media::TrackSet;
use crate::rtmp::message::Timestamp;
use crate::stream::headers::Headers;

/// A copy of a log's recent part by reference, for another worker.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Offset of what it begins with.
    pub(super) base: u64,
    segments: Vec<Bytes>,
    first_start: u64,
    frames: Vec<Frame>,
    headers: Vec<(u64, Arc<Headers>)>,
    last_timestamp: Option<Timestamp>,
    tracks: Option<Box<TrackSet>>,
    is_closed: bool,
}

impl StreamLog {
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

    /// The visible part from the newest sync point on (or just its end), by reference. Where
    /// players may seek it goes as far back as they may.
    pub fn snapshot(&self) -> Snapshot {
        debug_assert!(!self.has_unflushed(), "flushed before it is shared");
        let newest = self.newest_sync_start().unwrap_or(self.visible);
        let base = match newest < self.visible && self.limits.window_ms > 0 {
            true => newest.min(self.window_start()),
            false => newest.min(self.visible),
        };
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
            last_timestamp: self.last_timestamp,
            tracks: self.tracks.clone(),
            is_closed: self.is_closed,
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
        log.last_timestamp = snapshot.last_timestamp;
        log.tracks = snapshot.tracks;
        log.is_closed = snapshot.is_closed;
        for (from, headers) in snapshot.headers {
            log.set_headers_from(from, headers);
        }
        log.check_invariants();
        log
    }
}
