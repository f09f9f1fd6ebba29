//! Who has what: for each stream name the worker that has the publisher and the workers that
//! have players. One lock, touched only when a stream starts or ends, or gets its first or loses
//! its last player on a worker, or one that is a relay; never on the data path.

#![expect(
    clippy::disallowed_types,
    reason = "the one piece of state that workers share besides mail"
)]

use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::address::Key;
use super::ended::Ended;
use super::ids::WorkerId;
use super::shares::{Full, Shares};
use crate::edge::hops::Marker;
use crate::limits;

// A length of time; there is no clock here.

/// A set of workers by index; there are at most [`limits::WORKERS_MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerSet(u64);

impl WorkerSet {
    /// Adds `worker`.
    pub fn insert(&mut self, worker: WorkerId) {
        self.0 |= 1 << worker.index();
    }

    /// Takes `worker` out.
    pub fn remove(&mut self, worker: WorkerId) {
        self.0 &= !(1 << worker.index());
    }

    /// Whether `worker` is in it.
    pub fn contains(self, worker: WorkerId) -> bool {
        self.0 >> worker.index() & 1 == 1
    }

    /// Whether nobody is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its workers in order.
    pub fn iter(self) -> impl Iterator<Item = WorkerId> {
        (0..limits::WORKERS_MAX)
            .map(WorkerId::new)
            .filter(move |worker| self.contains(*worker))
    }
}

/// Who has the publisher of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The worker.
    pub worker: WorkerId,
    /// Which life of the stream: letters about another one do not count.
    pub epoch: u64,
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
        worker: WorkerId,
    },
    /// It would be one stream more than there may be.
    Full,
    /// The address has its share of the streams.
    AddressFull,
}

/// See the module text.
#[derive(Debug)]
pub struct Registry {
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    entries: HashMap<Arc<str>, Entry>,
    epochs: u64,
    /// Entries that have an owner and count for the limit.
    streams: Shares,
    /// Streams that were ended by their publishers.
    ended: Ended,
}

/// An entry lives while it has an owner or readers.
#[derive(Debug, Default)]
struct Entry {
    owner: Option<WorkerId>,
    /// It counts for the limit: a stream that is to be fetched does not before there is media.
    is_counted: bool,
    /// The address it counts for: of its publisher, or of the player that had it fetched.
    counted_for: Option<Key>,
    /// It is fetched, or to be, and not published here.
    is_fetched: bool,
    epoch: u64,
    readers: WorkerSet,
    /// What its players say of the relays they come through, at most once of each worker.
    markers: Vec<(WorkerId, Marker)>,
}

impl Registry {
    /// A registry of at most so many streams; None for any number.
    pub fn new(streams_max: Option<usize>) -> Self {
        let table = Table {
            entries: HashMap::new(),
            epochs: 0,
            streams: Shares::new(streams_max.unwrap_or(usize::MAX)),
            ended: Ended::default(),
        };
        Self {
            table: Mutex::new(table),
        }
    }

    /// `worker` has a publisher for `name`, of `address` while addresses are counted. A stream
    /// that nobody has yet is added only if `may_add`. One that is there counts as before, also
    /// when its publisher comes back.
    pub fn claim(
        &self,
        name: &Arc<str>,
        worker: WorkerId,
        may_add: bool,
        address: Option<Key>,
    ) -> Claim {
        self.claim_as(name, worker, may_add, Some(address))
    }

    /// The same for a stream that `worker` is to fetch, and that nobody may have: it counts when
    /// it is claimed as one that has a publisher.
    pub fn claim_fetch(&self, name: &Arc<str>, worker: WorkerId, may_add: bool) -> Claim {
        self.claim_as(name, worker, may_add, None)
    }

    /// `counts_for`: the address it counts for, if it counts.
    fn claim_as(
        &self,
        name: &Arc<str>,
        worker: WorkerId,
        may_add: bool,
        counts_for: Option<Option<Key>>,
    ) -> Claim {
        let table = &mut *self.lock();
        let known = table.entries.get(name);
        let known = known.and_then(|entry| Some((entry.owner?, entry.is_counted)));
        match known {
            Some((owner, _)) if owner != worker => return Claim::Elsewhere { worker: owner },
            None if !may_add => return Claim::Full,
            _ => {}
        }
        let is_fetched = counts_for.is_none();
        let is_new = known.is_none_or(|(_, is_counted)| !is_counted);
        let counts_for = counts_for.filter(|_| is_new);
        match counts_for.map(|address| table.streams.take(address)) {
            Some(Err(Full::All)) => return Claim::Full,
            Some(Err(Full::Address)) => return Claim::AddressFull,
            None | Some(Ok(())) => {}
        }
        let entry = table.entries.entry(name.clone()).or_default();
        if known.is_none() {
            table.epochs += 1;
            entry.owner = Some(worker);
            entry.is_fetched = is_fetched;
            entry.epoch = table.epochs;
        }
        if let Some(address) = counts_for {
            entry.is_counted = true;
            entry.counted_for = address;
        }
        let mut readers = entry.readers;
        readers.remove(worker);
        Claim::Own {
            epoch: entry.epoch,
            readers,
        }
    }

    /// Whether one stream more may count for `address`.
    pub fn has_room(&self, address: Option<Key>) -> bool {
        self.lock().streams.check(address).is_ok()
    }

    /// Whether somebody publishes `name` here, or is to come back.
    pub fn is_published(&self, name: &str) -> bool {
        let table = self.lock();
        let entry = table.entries.get(name);
        entry.is_some_and(|entry| entry.owner.is_some() && !entry.is_fetched)
    }

    /// `name` is published by a client of `address` from now on: it counts for that, unless that
    /// has its share.
    pub fn set_publisher(&self, name: &str, address: Option<Key>) {
        let table = &mut *self.lock();
        if let Some(entry) = table.entries.get_mut(name)
            && entry.is_counted
            && table.streams.hand_over(entry.counted_for, address)
        {
            entry.counted_for = address;
        }
    }

    /// `name` was fetched and is published here from now on.
    pub fn set_published(&self, name: &str) {
        if let Some(entry) = self.lock().entries.get_mut(name) {
            entry.is_fetched = false;
        }
    }

    /// The publisher of `name` has ended it at `now`; that counts until `until`.
    pub fn note_end(&self, name: &Arc<str>, now: Duration, until: Duration) {
        self.lock().ended.remember(name.clone(), now, until);
    }

    /// Somebody publishes `name` again.
    pub fn forget_end(&self, name: &str) {
        self.lock().ended.forget(name);
    }

    /// Whether `name` was ended by its publisher a while before `now`, and nobody has published
    /// it since.
    pub fn has_ended(&self, name: &str, now: Duration) -> bool {
        self.lock().ended.contains(name, now)
    }

    /// `worker` has given up its publisher of `name` for good.
    pub fn release(&self, name: &str, worker: WorkerId) {
        let table = &mut *self.lock();
        if let Some(entry) = table.entries.get_mut(name)
            && entry.owner == Some(worker)
        {
            entry.disown(&mut table.streams);
            table.tidy(name);
        }
    }

    /// Makes what is known of `worker` true again: `state` says of a stream whether that worker
    /// has its publisher and whether it has players of it.
    pub fn reconcile(&self, worker: WorkerId, state: impl Fn(&str) -> (bool, bool)) {
        let mut table = self.lock();
        let Table {
            entries, streams, ..
        } = &mut *table;
        entries.retain(|name, entry| {
            let (owns, reads) = state(name);
            if entry.owner == Some(worker) && !owns {
                entry.disown(streams);
            }
            if !reads {
                entry.remove_reader(worker);
            }
            entry.is_needed()
        });
    }

    /// `worker` has its first player of `name`; the worker that has the publisher, if another.
    pub fn join(&self, name: &Arc<str>, worker: WorkerId) -> Option<Owner> {
        let table = &mut *self.lock();
        let entry = table.entries.entry(name.clone()).or_default();
        entry.readers.insert(worker);
        entry.owner().filter(|owner| owner.worker != worker)
    }

    /// `worker` has lost its last player of `name`; the worker that has the publisher, if
    /// another.
    pub fn leave(&self, name: &str, worker: WorkerId) -> Option<Owner> {
        let mut table = self.lock();
        let entry = table.entries.get_mut(name)?;
        entry.remove_reader(worker);
        let owner = entry.owner();
        table.tidy(name);
        owner.filter(|owner| owner.worker != worker)
    }

    /// The players of `name` on `worker` say this of the relays they come through.
    pub fn set_marker(&self, name: &str, worker: WorkerId, marker: Marker) {
        let mut table = self.lock();
        if let Some(entry) = table.entries.get_mut(name) {
            entry.markers.retain(|(of, _)| *of != worker);
            if marker != Marker::default() {
                entry.markers.push((worker, marker));
            }
        }
    }

    /// What all players of `name` say of that.
    pub fn marker(&self, name: &str) -> Marker {
        let table = self.lock();
        let markers = table.entries.get(name).map(|entry| &entry.markers);
        let markers = markers.into_iter().flatten();
        Marker::merged(markers.map(|(_, marker)| marker))
    }

    /// How many relays are remembered of all streams.
    #[cfg(test)]
    pub(super) fn relays(&self) -> usize {
        let table = self.lock();
        let markers = table.entries.values().flat_map(|entry| &entry.markers);
        markers.map(|(_, marker)| marker.relays()).sum()
    }

    /// Who has the publisher of `name`, and which workers have players of it.
    pub fn look_up(&self, name: &str) -> (Option<Owner>, WorkerSet) {
        let table = self.lock();
        let entry = table.entries.get(name);
        entry.map_or_else(Default::default, |entry| (entry.owner(), entry.readers))
    }

    /// How many names are known.
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// How many streams are known to have been ended by their publishers.
    #[cfg(test)]
    pub(super) fn ended(&self) -> usize {
        self.lock().ended.len()
    }

    /// How many streams have an owner.
    #[cfg(test)]
    pub(super) fn owned(&self) -> usize {
        self.lock().streams.taken()
    }

    /// Everything that is known: name, owner, epoch, workers with players.
    #[cfg(test)]
    pub(super) fn entries(&self) -> Vec<(Arc<str>, Option<WorkerId>, u64, WorkerSet)> {
        let told = |(name, entry): (&Arc<str>, &Entry)| {
            (name.clone(), entry.owner, entry.epoch, entry.readers)
        };
        self.lock().entries.iter().map(told).collect()
    }

    /// Whether no name is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Every change is complete before anything could panic.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn tidy(&mut self, name: &str) {
        if self.entries.get(name).is_some_and(|e| !e.is_needed()) {
            self.entries.remove(name);
        }
    }
}

impl Entry {
    fn owner(&self) -> Option<Owner> {
        let epoch = self.epoch;
        self.owner.map(|worker| Owner { worker, epoch })
    }

    /// Nobody owns it any more, so that it counts no longer.
    fn disown(&mut self, streams: &mut Shares) {
        self.owner = None;
        let address = self.counted_for.take();
        if std::mem::take(&mut self.is_counted) {
            streams.give_back(address);
        }
    }

    fn remove_reader(&mut self, worker: WorkerId) {
        self.readers.remove(worker);
        self.markers.retain(|(of, _)| *of != worker);
    }

    fn is_needed(&self) -> bool {
        self.owner.is_some() || !self.readers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::hops::{Via, ViaCounts};

    fn worker(number: usize) -> WorkerId {
        WorkerId::new(number)
    }

    #[test]
    fn the_first_to_claim_owns_until_it_releases() {
        let registry = Registry::new(None);
        let name: Arc<str> = "live/cam".into();
        assert!(matches!(
            registry.claim(&name, worker(1), true, None),
            Claim::Own { epoch: 1, .. }
        ));
        assert!(matches!(
            registry.claim(&name, worker(1), true, None),
            Claim::Own { epoch: 1, .. }
        ));
        assert_eq!(
            registry.claim(&name, worker(0), true, None),
            Claim::Elsewhere { worker: worker(1) }
        );
        registry.release(&name, worker(0));
        assert_eq!(
            registry.claim(&name, worker(0), true, None),
            Claim::Elsewhere { worker: worker(1) }
        );
        registry.release(&name, worker(1));
        assert!(registry.is_empty());
        assert!(matches!(
            registry.claim(&name, worker(0), true, None),
            Claim::Own { epoch: 2, .. }
        ));
    }

    #[test]
    fn no_more_streams_than_there_may_be() {
        let registry = Registry::new(Some(2));
        let name = |number: u32| Arc::from(format!("live/{number}"));
        let claim = |number, may_add| registry.claim(&name(number), worker(0), may_add, None);
        assert!(matches!(claim(1, true), Claim::Own { .. }));
        assert_eq!(claim(2, false), Claim::Full);
        assert!(matches!(claim(2, true), Claim::Own { .. }));
        registry.join(&name(3), worker(0));
        assert_eq!(claim(3, true), Claim::Full);
        assert_eq!(claim(4, true), Claim::Full);
        // Those there are go on, and a refusal leaves nothing behind.
        assert!(matches!(claim(2, false), Claim::Own { .. }));
        assert_eq!((registry.len(), registry.owned()), (3, 2));
        registry.release(&name(1), worker(0));
        registry.release(&name(1), worker(0));
        assert!(matches!(claim(3, true), Claim::Own { .. }));
        assert_eq!(registry.owned(), 2);
    }

    #[test]
    fn regression_few_addresses_leave_streams_for_others() {
        let registry = Registry::new(Some(100));
        let address = |number: u8| Some(Key::of([10, 0, 0, number].into()));
        let name = |of: u8, number: u32| Arc::from(format!("live/{of}-{number}"));
        for number in 0..100 {
            for of in 1..=5 {
                registry.claim(&name(of, number), worker(0), true, address(of));
            }
        }
        let owned = registry.owned();
        assert!(owned <= 60, "{owned}");
        let claim = |of, number| registry.claim(&name(of, number), worker(0), true, address(of));
        assert_eq!(claim(1, 99), Claim::AddressFull);
        assert!(matches!(claim(6, 0), Claim::Own { .. }));
        // One that is there counts once, whoever publishes it.
        assert!(matches!(claim(1, 0), Claim::Own { .. }));
        registry.set_publisher(&name(1, 0), address(7));
        assert_eq!(registry.owned(), owned + 1);
        assert!(matches!(claim(7, 0), Claim::Own { .. }));
        registry.reconcile(worker(0), |name| (name == "live/7-0", false));
        assert_eq!((registry.owned(), registry.len()), (1, 1));
        registry.release(&name(7, 0), worker(0));
        assert_eq!(registry.lock().streams.each().count(), 0);
    }

    #[test]
    fn fetches_count_as_streams_once_they_have_media() {
        let registry = Registry::new(Some(1));
        let name = |number: u32| Arc::from(format!("live/{number}"));
        for number in 0..9 {
            let claimed = registry.claim_fetch(&name(number), worker(0), true);
            assert!(matches!(claimed, Claim::Own { .. }), "{number}");
        }
        assert_eq!(registry.owned(), 0);
        let claim = |number| registry.claim(&name(number), worker(0), true, None);
        assert!(matches!(claim(1), Claim::Own { epoch: 2, .. }));
        assert!(matches!(claim(1), Claim::Own { .. }));
        assert_eq!((claim(2), registry.owned()), (Claim::Full, 1));
        registry.release(&name(3), worker(0));
        assert_eq!(registry.owned(), 1);
        registry.reconcile(worker(0), |_| (false, false));
        assert_eq!((registry.len(), registry.owned()), (0, 0));
    }

    #[test]
    fn what_is_known_of_a_worker_can_be_made_true() {
        let registry = Registry::new(None);
        let name = |number: u32| Arc::from(format!("live/{number}"));
        for number in 0..4 {
            registry.claim(&name(number), worker(0), true, None);
            registry.join(&name(number), worker(1));
        }
        registry.claim(&name(9), worker(1), true, None);
        registry.reconcile(worker(0), |name| (name == "live/1", false));
        assert_eq!((registry.len(), registry.owned()), (5, 2));
        registry.reconcile(worker(1), |name| (name == "live/9", name == "live/2"));
        let mut names: Vec<_> = registry.entries().into_iter().map(|e| e.0).collect();
        names.sort();
        assert_eq!(names, [name(1), name(2), name(9)]);
    }

    #[test]
    fn relays_are_known_until_they_or_their_worker_leave() {
        let registry = Registry::new(None);
        let name: Arc<str> = "live/cam".into();
        let marker = |relay: u64| {
            let mut via_counts = ViaCounts::default();
            via_counts.enter(0, Some(&Via::default().extended(relay)));
            via_counts.marker()
        };
        let knows = |relay: u64| registry.marker(&name).via(99).check(relay).is_err();
        registry.set_marker(&name, worker(0), marker(1));
        assert!(registry.is_empty());
        registry.join(&name, worker(0));
        registry.join(&name, worker(1));
        registry.set_marker(&name, worker(0), marker(1));
        registry.set_marker(&name, worker(1), marker(2));
        assert!(knows(1) && knows(2));
        registry.set_marker(&name, worker(0), marker(3));
        assert!(!knows(1) && knows(2) && knows(3));
        registry.leave(&name, worker(1));
        assert!(!knows(2) && registry.relays() == 1);
        registry.join(&name, worker(2));
        registry.reconcile(worker(0), |_| (false, false));
        assert_eq!(registry.marker(&name), Marker::default());
    }

    #[test]
    fn readers_are_known_to_whoever_claims() {
        let registry = Registry::new(None);
        let name: Arc<str> = "live/cam".into();
        assert_eq!(registry.join(&name, worker(0)), None);
        assert_eq!(registry.join(&name, worker(3)), None);
        let Claim::Own { readers, .. } = registry.claim(&name, worker(3), true, None) else {
            panic!("it is free")
        };
        assert_eq!(readers.iter().collect::<Vec<_>>(), [worker(0)]);
        let owner = Some(Owner {
            worker: worker(3),
            epoch: 1,
        });
        assert_eq!(registry.join(&name, worker(2)), owner);
        let (known, readers) = registry.look_up(&name);
        assert_eq!(known, owner);
        assert_eq!(readers.iter().collect::<Vec<_>>(), [0, 2, 3].map(worker));
        assert_eq!(registry.leave(&name, worker(2)), owner);
        assert_eq!(registry.leave(&name, worker(3)), None);
        registry.release(&name, worker(3));
        assert_eq!(registry.len(), 1);
        assert_eq!(registry.leave(&name, worker(0)), None);
        assert!(registry.is_empty());
        assert_eq!(registry.leave(&name, worker(0)), None);
        assert_eq!(registry.look_up(&name), (None, WorkerSet::default()));
    }
}
