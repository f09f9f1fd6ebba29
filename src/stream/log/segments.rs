//! The bytes of a log: the open block that messages are written into, the segments that are frozen
//! off it, and how readers get at them without a copy. Which of them are whole messages is not
//! known here.

use std::io::IoSlice;

use bytes::{Bytes, BytesMut};

use super::StreamLog;
use crate::limits;
use crate::rtmp::writer::Sink;
use crate::stream::block::BlockPool;

/// A piece of a block that is frozen: the bytes of one flush, or up to the end of the block.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// Offset of its first byte.
    pub(super) start: u64,
    /// What is sent.
    pub(super) bytes: Bytes,
}

impl Segment {
    /// Offset behind its last byte.
    pub(super) fn end(&self) -> u64 {
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

impl StreamLog {
    /// Fills `slices` with the visible bytes `[offset, to)`, as many segments as fit; how many
    /// slices were filled. `base <= offset <= to <= visible`.
    pub fn slices<'a>(&'a self, (offset, to): (u64, u64), slices: &mut [IoSlice<'a>]) -> usize {
        debug_assert!(
            self.base <= offset && offset <= to && to <= self.visible,
            "a reader is inside the log"
        );
        if offset == to {
            return 0;
        }
        let first = self.segment_at(offset);
        let mut count = 0;
        for (slot, segment) in slices.iter_mut().zip(self.segments.range(first..)) {
            let bytes = segment.between(offset, to);
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

    pub(super) fn freeze_open(&mut self) {
        let bytes = self.open.split().freeze();
        if !bytes.is_empty() {
            self.push_segment(bytes);
        }
    }

    pub(super) fn push_segment(&mut self, bytes: Bytes) {
        let start = self.frozen;
        self.frozen += bytes.len() as u64;
        self.segments.push_back(Segment { start, bytes });
    }

    /// Gives all memory back.
    pub fn recycle(self, pool: &mut BlockPool) {
        for segment in self.segments {
            pool.give(segment.bytes);
        }
        pool.give(self.open.freeze());
    }
}

/// Writes into the open block and goes on in a new one when it is full.
pub(in crate::stream) struct OpenBlock<'a> {
    pub(super) log: &'a mut StreamLog,
    pub(super) pool: &'a mut BlockPool,
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
