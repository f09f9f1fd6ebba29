//! Fetched streams that linger: nobody plays them any more, and they go on for `--pull-linger` in
//! case somebody comes. Each is a place for a connection that others may need, so only a share of
//! all may be theirs; those that have lingered longest go first, and all go before a client is
//! refused for want of a place.

use std::collections::BTreeSet;
use std::time::Instant;

use super::admission::Admission;
use super::ids::StreamId;

/// The streams of a worker that linger, by since when they do. Those of all workers are counted.
#[derive(Debug, Default)]
pub(super) struct Lingering(BTreeSet<(Instant, StreamId)>);

impl Lingering {
    /// The stream `index` lingers since `since`.
    pub(super) fn begin(&mut self, index: StreamId, since: Instant, admission: &Admission) {
        if self.0.insert((since, index)) {
            admission.count_lingering(true);
        }
    }

    /// The stream `index`, which has lingered since `since`, does so no longer.
    pub(super) fn end(&mut self, index: StreamId, since: Instant, admission: &Admission) {
        if self.0.remove(&(since, index)) {
            admission.count_lingering(false);
        }
    }

    /// Only those of which `lingers` says so linger.
    pub(super) fn retain(
        &mut self,
        admission: &Admission,
        lingers: impl Fn(StreamId, Instant) -> bool,
    ) {
        for _ in self
            .0
            .extract_if(.., |(since, index)| !lingers(*index, *since))
        {
            admission.count_lingering(false);
        }
    }

    /// Since when they linger, those first that have lingered longest.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Instant, StreamId)> {
        self.0.iter().copied()
    }
}
