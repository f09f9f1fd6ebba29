//! Fetched streams that linger: nobody plays them any more, and they go on for `--pull-linger` in
//! case somebody comes. Each is a place for a connection that others may need, so only a share of
//! all may be theirs; those that have lingered longest go first, and all go before a client is
//! refused for want of a place.
//!
//! Also for whom a fetched stream takes its places: for the address that asked, while nobody else
//! plays it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use smallvec::SmallVec;

use super::admission::{Key, Refusal};
use super::core::Core;
use super::ids::{ConnId, StreamId};
use super::line::Task;
use super::shares::Full;
use crate::limits;
use crate::net::transport::Transport;

/// The streams of a worker that linger, by since when they do and slab key.
#[derive(Debug, Default)]
pub(super) struct Lingering(BTreeSet<(Instant, StreamId)>);

impl<S: Transport> Core<S> {
    /// The stream `index` lingers since `since`.
    pub(super) fn begin_linger(&mut self, index: StreamId, since: Instant) {
        if self.lingering.0.insert((since, index)) {
            self.shared.admission.count_lingering(true);
        }
    }

    /// The stream `index`, which has lingered since `since`, does so no longer.
    pub(super) fn end_linger(&mut self, index: StreamId, since: Instant) {
        if self.lingering.0.remove(&(since, index)) {
            self.shared.admission.count_lingering(false);
        }
    }

    /// Those that linger are those of which their streams say so.
    pub(super) fn mend_lingering(&mut self) {
        let Self {
            lingering, streams, ..
        } = self;
        let lingers = |(since, index): &(Instant, StreamId)| {
            let pull = streams.get(*index).and_then(|its| its.pull.as_ref());
            pull.is_some_and(|pull| pull.idle_since == Some(*since))
        };
        for _ in lingering.0.extract_if(.., |entry| !lingers(entry)) {
            self.shared.admission.count_lingering(false);
        }
    }

    /// Somebody begins to play the stream `index`, here or on another worker.
    pub(super) fn pull_is_played(&mut self, index: StreamId) {
        let stream = self.streams.get_mut(index);
        let pull = stream.and_then(|stream| stream.pull.as_mut());
        if let Some(since) = pull.and_then(|pull| pull.idle_since.take()) {
            self.end_linger(index, since);
        }
        self.charge_pull(index);
    }

    /// Lets go of streams of this worker while too many linger in the process, or while few places
    /// are left.
    pub(super) fn bound_lingering(&mut self) {
        while self.shared.admission.is_lingering_too_much() && self.let_go(|_, _| true) {}
    }

    /// Lets go of a stream whose place would do for a connection of `address` that was refused;
    /// false when there is none here.
    pub(super) fn let_go_for(&mut self, refusal: Refusal, address: IpAddr) -> bool {
        let address = self.shared.admission.key_of(address);
        match refusal {
            Refusal::Connections => self.let_go(|_, _| true),
            Refusal::Address => address.is_some() && self.let_go(|_, asker| asker == address),
            Refusal::Newcomers
            | Refusal::AddressNewcomers
            | Refusal::Memory
            | Refusal::Stopping => false,
        }
    }

    /// The same for a connection to another server, for the stream `index` and a client of
    /// `address`.
    pub(super) fn let_go_for_dial(
        &mut self,
        (index, task): (StreamId, Task),
        full: Full,
        address: Option<Key>,
    ) -> bool {
        match (full, task) {
            (Full::All, _) => self.let_go(|other, _| other != index),
            (Full::Address, Task::Pull) => {
                self.let_go(|other, asker| other != index && asker == address)
            }
            (Full::Address, Task::Push(_)) => false,
        }
    }

    /// Lets go of the stream that has lingered longest of those of which `may_go` says so, by slab
    /// key and by who asked; false when there is none.
    fn let_go(&mut self, may_go: impl Fn(StreamId, Option<Key>) -> bool) -> bool {
        loop {
            let asker = |index: StreamId| self.streams.get(index)?.pull.as_ref()?.asker;
            let mut oldest = self.lingering.0.iter().take(limits::IDLE_LOOKED_AT);
            let found = oldest.find(|(_, index)| may_go(*index, asker(*index)));
            let Some(&(since, index)) = found else {
                return false;
            };
            self.end_linger(index, since);
            if self.is_left(index, since) {
                self.contained_stream(index, |core| core.end_lingering(index));
                return true;
            }
        }
    }

    /// Whether nobody plays the fetched stream `index` since `since`.
    fn is_left(&self, index: StreamId, since: Instant) -> bool {
        let Some(stream) = self.streams.get(index) else {
            return false;
        };
        let (_, mut readers) = self.shared.registry.look_up(&stream.name);
        readers.remove(self.worker);
        let idle_since = stream.pull.as_ref().and_then(|pull| pull.idle_since);
        idle_since == Some(since) && stream.players.is_empty() && readers.is_empty()
    }

    /// Ends a stream that lingers, so that its connections have no place any more: otherwise they
    /// have it until their servers have been told.
    fn end_lingering(&mut self, index: StreamId) {
        let keys = self.pull_conns(index);
        self.end_pull(index);
        for key in keys {
            if self
                .conns
                .get(key)
                .is_some_and(|conn| conn.closing.is_some())
            {
                self.remove(key);
            }
        }
    }

    /// The connections of a fetched stream, by slab key.
    fn pull_conns(&self, index: StreamId) -> SmallVec<[ConnId; 2]> {
        let pull = self.streams.get(index).and_then(|its| its.pull.as_ref());
        let keys = pull.map(|pull| [pull.held.as_ref().map(|its| its.key), pull.line.conn()]);
        keys.into_iter().flatten().flatten().collect()
    }

    /// Counts the connections of a fetched stream for the address that asked, or for none when
    /// somebody else plays it.
    pub(super) fn charge_pull(&mut self, index: StreamId) {
        let stream = self.streams.get(index);
        let pull = stream.and_then(|stream| stream.pull.as_ref());
        let (Some(stream), Some(asker)) = (stream, pull.and_then(|pull| pull.asker)) else {
            return;
        };
        let admission = &self.shared.admission;
        let is_asker = |key: ConnId| {
            let conn = self.conns.get(key);
            conn.is_some_and(|conn| admission.key_of(conn.counted_ip()) == Some(asker))
        };
        let mut players = stream.players.iter();
        let is_alone = stream.feeds.is_empty() && players.all(|player| is_asker(player.conn));
        let charged = is_alone.then_some(asker);
        let now = self.uptime();
        for key in self.pull_conns(index) {
            if let Some(conn) = self.conns.get_mut(key)
                && let Some(outbound) = &mut conn.outbound
                && outbound.charged != charged
            {
                let before = std::mem::replace(&mut outbound.charged, charged);
                self.shared.admission.charge_pull(before, charged, now);
            }
        }
    }
}
