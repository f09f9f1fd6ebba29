//! The addresses for whose players a stream is fetched, while addresses are counted; see charge.rs.

use crate::limits;
use crate::worker::address::Key;
use crate::worker::ids::WorkerId;

/// See the module text.
#[derive(Debug)]
pub(in crate::worker) struct Askers {
    /// The one for whose player origins are asked now.
    current: Option<Key>,
    /// The one whose rate of fetches it counts for.
    begun_by: Option<Key>,
    /// Those of players of other workers that want it.
    elsewhere: Vec<(WorkerId, Option<Key>)>,
}

impl Askers {
    /// A player of `first` asks first.
    pub(super) fn new(first: Option<Key>) -> Self {
        Self {
            current: first,
            begun_by: first,
            elsewhere: Vec::new(),
        }
    }

    /// The one for whose player origins are asked now.
    pub(in crate::worker) fn current(&self) -> Option<Key> {
        self.current
    }

    /// Origins are asked for a player of `asker` from now on.
    pub(in crate::worker) fn charge(&mut self, asker: Option<Key>) {
        self.current = asker;
    }

    /// The one whose rate of fetches it counts for.
    pub(in crate::worker) fn begun_by(&self) -> Option<Key> {
        self.begun_by
    }

    /// It counts for the rate of fetches of `asker` from now on.
    pub(super) fn begin_for(&mut self, asker: Option<Key>) {
        self.begun_by = asker;
    }

    /// Those of players of other workers that want it.
    pub(in crate::worker) fn elsewhere(&self) -> impl Iterator<Item = Option<Key>> {
        self.elsewhere.iter().map(|(_, address)| *address)
    }

    /// Worker `worker` has a player of `address` that wants the stream. Of many the last are known.
    pub(in crate::worker) fn want_elsewhere(&mut self, worker: WorkerId, address: Option<Key>) {
        let told = (worker, address);
        self.elsewhere.retain(|known| *known != told);
        if self.elsewhere.len() >= limits::PULL_ASKERS_MAX {
            self.elsewhere.remove(0);
        }
        self.elsewhere.push(told);
    }

    /// Worker `worker` has no players of the stream any more.
    pub(in crate::worker) fn leave_elsewhere(&mut self, worker: WorkerId) {
        self.elsewhere.retain(|(known, _)| *known != worker);
    }

    /// No other worker has players of the stream.
    pub(in crate::worker) fn clear_elsewhere(&mut self) {
        self.elsewhere.clear();
    }
}
