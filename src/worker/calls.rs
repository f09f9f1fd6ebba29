//! Names to be resolved and addresses to be connected to, until the event loop has done so.

use std::collections::HashMap;

use super::ids::StreamId;
use super::line::{Call, Callee, Task};

/// See the module text.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// What the event loop has not begun with.
    requests: Vec<Call>,
    /// What those that have not ended are for, by their ids.
    open: HashMap<u64, (StreamId, Task)>,
}

impl Calls {
    /// Begins a call, for a task of a stream.
    pub(super) fn begin(&mut self, id: u64, to: Callee, purpose: (StreamId, Task)) {
        self.requests.push(Call::new(id, to));
        self.open.insert(id, purpose);
    }

    /// What a call is for that has not ended.
    pub(super) fn purpose(&self, id: u64) -> Option<(StreamId, Task)> {
        self.open.get(&id).copied()
    }

    /// A call ends; what it was for, unless it had ended before.
    pub(super) fn end(&mut self, id: u64) -> Option<(StreamId, Task)> {
        self.open.remove(&id)
    }

    /// What the event loop is to find or to connect to.
    pub(super) fn requests(&mut self) -> &mut Vec<Call> {
        &mut self.requests
    }

    /// How many have not ended.
    #[cfg(test)]
    pub(super) fn count_open(&self) -> usize {
        self.open.len()
    }

    /// How many the event loop has not begun with.
    #[cfg(test)]
    pub(super) fn count_requests(&self) -> usize {
        self.requests.len()
    }
}
