//! What a log lets go of, and when: what no reader, no start and no seek needs, and whatever is
//! beyond the limits.

use core::time::Duration;

use super::StreamLog;
use crate::limits;
use crate::rtmp::message::Timestamp;
use crate::stream::block::BlockPool;

impl StreamLog {
    /// Whether so much has come since the last trim that the next one cannot wait: twice what
    /// may be kept, or twice the longest message.
    pub fn is_overfull(&self) -> bool {
        let most = self
            .limits
            .bytes
            .max(limits::VIDEO_MESSAGE_BYTES_MAX as u64);
        self.end() - self.base > most.saturating_mul(2)
    }

    /// Frees what lies before every reader's need. `readers_min`: the offset of the hindmost
    /// reader, `u64::MAX` when there is none. Keeps the newest sync point and the seek window,
    /// but never more than the limits. `now`, counted from any moment, is for the age of the
    /// newest group of pictures.
    pub fn trim(&mut self, pool: &mut BlockPool, readers_min: u64, now: Duration) {
        self.drop_overlong_group(now);
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
        self.drop_before(pool, keep.max(end.saturating_sub(self.limits.bytes)));
    }

    /// Frees everything that no reader needs, the newest group of pictures and the seek window
    /// too, and returns how many bytes that were. `readers_min` as in [`trim`](Self::trim). A
    /// player that comes before the next sync point then starts at the live edge. Not for a log
    /// with something that other workers have not been fed.
    pub fn shed(&mut self, pool: &mut BlockPool, readers_min: u64) -> u64 {
        let before = self.held_bytes();
        self.flush();
        self.newest_sync = None;
        self.drop_before(pool, readers_min);
        before.saturating_sub(self.held_bytes())
    }

    /// Frees the visible messages that end at or before `keep`.
    fn drop_before(&mut self, pool: &mut BlockPool, keep: u64) {
        let keep = keep.min(self.visible);
        if keep > self.base {
            self.drop_frames(pool, keep);
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

    fn drop_frames(&mut self, pool: &mut BlockPool, keep: u64) {
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
    }

    /// A group of pictures beyond the limits is no good start any more. Its age is the longer one
    /// of that by its timestamps and that by the clock, so that no publisher decides it.
    fn drop_overlong_group(&mut self, now: Duration) {
        self.newest_sync = self.newest_sync.filter(|sync| self.is_kept(*sync));
        let Some(sync) = &mut self.newest_sync else {
            return;
        };
        let since = *sync.trimmed_at.get_or_insert(now);
        let sync = *sync;
        let frames = self.trimmed + self.frames.len() as u64 - sync.number;
        let bytes = self.end() - sync.start;
        let age = self
            .last_timestamp()
            .map_or(0, |last| last.since(sync.timestamp));
        let age_max = limits::GOP_AGE_MAX.as_millis();
        if frames > limits::GOP_FRAMES_MAX as u64
            || bytes > self.limits.bytes.min(limits::GOP_BYTES_MAX as u64)
            || u128::try_from(age).is_ok_and(|age| age > age_max)
            || now.saturating_sub(since) > limits::GOP_AGE_MAX
        {
            self.newest_sync = None;
        }
    }

    /// From where on all is kept that a seek into the window leads to.
    pub(super) fn window_start(&self) -> u64 {
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
}
