//! Who has what: for each stream name the worker that has the publisher and the workers that
//! have players. One lock, touched only when a stream starts or ends, or gets its first or loses
//! its last player on a worker; never on the data path.

#![expect(
    clippy::disallowed_types,
    reason = "the one piece of state that workers share besides mail"
)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A set of workers by index; there are at most 64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerSet(u64);

impl WorkerSet {
    /// Adds `worker`.
    pub fn insert(&mut self, worker: usize) {
        self.0 |= 1 << worker;
    }

    /// Takes `worker` out.
    pub fn remove(&mut self, worker: usize) {
        self.0 &= !(1 << worker);
    }

    /// Whether nobody is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its workers in order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..64).filter(move |worker| self.0 >> worker & 1 == 1)
    }
}

/// The answer to [`Registry::claim`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The stream is the caller's, now or already.
    Own {
        /// Changes each time the stream goes from nobody to somebody.
        epoch: u64,
        /// Workers that have players of it.
        readers: WorkerSet,
    },
    /// Another worker has it; the publisher's connection has to go there.
    Elsewhere {
        /// That worker.
        worker: usize,
    },
}

/// See the module text.
#[derive(Debug, Default)]
pub struct Registry {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<Arc<str>, Entry>,
    epochs: u64,
}

/// An entry lives while it has an owner or readers.
#[derive(Debug, Default)]
struct Entry {
    owner: Option<usize>,
    epoch: u64,
    readers: WorkerSet,
}

impl Registry {
    /// `worker` has a publisher for `name`.
    pub fn claim(&self, name: &Arc<str>, worker: usize) -> Claim {
        let table = &mut *self.lock();
        let entry = table.entries.entry(name.clone()).or_default();
        match entry.owner {
            Some(owner) if owner != worker => return Claim::Elsewhere { worker: owner },
            Some(_) => {}
            None => {
                table.epochs += 1;
                entry.owner = Some(worker);
                entry.epoch = table.epochs;
            }
        }
        let mut readers = entry.readers;
        readers.remove(worker);
        Claim::Own {
            epoch: entry.epoch,
            readers,
        }
    }

    /// `worker` has given up its publisher of `name` for good.
    pub fn release(&self, name: &str, worker: usize) {
        self.change(name, |entry| {
            if entry.owner == Some(worker) {
                entry.owner = None;
            }
        });
    }

    /// `worker` has its first player of `name`; the worker that has the publisher, if another.
    pub fn join(&self, name: &Arc<str>, worker: usize) -> Option<usize> {
        let table = &mut *self.lock();
        let entry = table.entries.entry(name.clone()).or_default();
        entry.readers.insert(worker);
        entry.owner.filter(|owner| *owner != worker)
    }

    /// `worker` has lost its last player of `name`; the worker that has the publisher, if
    /// another.
    pub fn leave(&self, name: &str, worker: usize) -> Option<usize> {
        self.change(name, |entry| entry.readers.remove(worker))
            .filter(|owner| *owner != worker)
    }

    /// How many names are known.
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Everything that is known: name, owner, epoch, workers with players.
    #[cfg(test)]
    pub(super) fn entries(&self) -> Vec<(Arc<str>, Option<usize>, u64, WorkerSet)> {
        let told = |(name, entry): (&Arc<str>, &Entry)| {
            (name.clone(), entry.owner, entry.epoch, entry.readers)
        };
        self.lock().entries.iter().map(told).collect()
    }

    /// Whether no name is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Entry)) -> Option<usize> {
        let mut table = self.lock();
        let entry = table.entries.get_mut(name)?;
        change(entry);
        let owner = entry.owner;
        if owner.is_none() && entry.readers.is_empty() {
            table.entries.remove(name);
        }
        owner
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Every change is complete before anything could panic.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_to_claim_owns_until_it_releases() {
        let registry = Registry::default();
        let name: Arc<str> = "live/cam".into();
        assert!(matches!(
            registry.claim(&name, 1),
            Claim::Own { epoch: 1, .. }
        ));
        assert!(matches!(
            registry.claim(&name, 1),
            Claim::Own { epoch: 1, .. }
        ));
        assert_eq!(registry.claim(&name, 0), Claim::Elsewhere { worker: 1 });
        registry.release(&name, 0);
        assert_eq!(registry.claim(&name, 0), Claim::Elsewhere { worker: 1 });
        registry.release(&name, 1);
        assert!(registry.is_empty());
        assert!(matches!(
            registry.claim(&name, 0),
            Claim::Own { epoch: 2, .. }
        ));
    }

    #[test]
    fn readers_are_known_to_whoever_claims() {
        let registry = Registry::default();
        let name: Arc<str> = "live/cam".into();
        assert_eq!(registry.join(&name, 0), None);
        assert_eq!(registry.join(&name, 3), None);
        let Claim::Own { readers, .. } = registry.claim(&name, 3) else {
            panic!("it is free")
        };
        assert_eq!(readers.iter().collect::<Vec<_>>(), [0]);
        assert_eq!(registry.join(&name, 2), Some(3));
        assert_eq!(registry.leave(&name, 2), Some(3));
        assert_eq!(registry.leave(&name, 3), None);
        registry.release(&name, 3);
        assert_eq!(registry.len(), 1);
        assert_eq!(registry.leave(&name, 0), None);
        assert!(registry.is_empty());
        assert_eq!(registry.leave(&name, 0), None);
    }
}
