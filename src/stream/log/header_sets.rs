//! Which headers are in force from which offset of a log on.

use std::sync::Arc;

use super::StreamLog;
use crate::stream::headers::Headers;

/// Headers, and the offset they are in force from.
#[derive(Clone, Debug)]
pub(super) struct HeaderSet {
    /// The offset.
    pub(super) from: u64,
    /// The headers.
    pub(super) headers: Arc<Headers>,
    /// Memory that goes with it: of the newest all, of each other what the next one has not.
    pub(super) bytes: usize,
}

impl StreamLog {
    /// The headers in force for what is appended next.
    pub fn headers_now(&self) -> Option<&Arc<Headers>> {
        self.headers.back().map(|set| &set.headers)
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

    /// How many times headers were set for what begins after `offset`.
    pub(in crate::stream) fn headers_after(&self, offset: u64) -> u64 {
        let known = self.headers.partition_point(|set| set.from <= offset);
        (self.headers.len() - known) as u64
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
}
