//! Fetched streams that nobody plays give their places to others.

use std::net::IpAddr;
use std::time::Instant;

use super::address::Key;
use super::admission::Refusal;
use super::core::Core;
use super::ids::StreamId;
use super::line::Task;
use super::shares::Full;
use crate::limits;
use crate::net::transport::Transport;

impl<S: Transport> Core<S> {
    /// Lets go of streams of this worker while too many linger in the process, or while few places
    /// are left.
    pub(super) fn bound_lingering(&mut self) {
        while self.shared.admission.is_lingering_too_much() && self.let_go(|_, _| true) {}
    }

    /// Lets go of the stream that has lingered longest of those of which `may_go` says so, by slab
    /// key and by who asked; false when there is none.
    fn let_go(&mut self, may_go: impl Fn(StreamId, Option<Key>) -> bool) -> bool {
        loop {
            let asker = |index: StreamId| {
                let pull = self.streams.get(index)?.pull.as_ref()?;
                pull.askers().current()
            };
            let oldest = self.lingering.iter().take(limits::IDLE_LOOKED_AT);
            let found = { oldest }.find(|(_, index)| may_go(*index, asker(*index)));
            let Some((since, index)) = found else {
                return false;
            };
            self.lingering.end(index, since, &self.shared.admission);
            if self.is_left(index, since) {
                self.contained_stream(index, |core| core.end_lingering(index));
                return true;
            }
        }
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

    /// The same for a connection to another server, for the stream `index` and a client of one of
    /// `addresses`.
    pub(super) fn let_go_for_dial(
        &mut self,
        (index, task): (StreamId, Task),
        full: Full,
        addresses: &[Option<Key>],
    ) -> bool {
        match (full, task) {
            (Full::All, _) => self.let_go(|other, _| other != index),
            (Full::Address, Task::Pull) => {
                self.let_go(|other, asker| other != index && addresses.contains(&asker))
            }
            (Full::Address, Task::Push(_)) => false,
        }
    }

    /// Whether nobody plays the fetched stream `index` since `since`.
    pub(super) fn is_left(&self, index: StreamId, since: Instant) -> bool {
        let Some(stream) = self.streams.get(index) else {
            return false;
        };
        let (_, mut readers) = self.shared.registry.look_up(&stream.name);
        readers.remove(self.worker);
        let idle_since = stream.pull.as_ref().and_then(|pull| pull.idle_since());
        idle_since == Some(since) && stream.players.is_empty() && readers.is_empty()
    }

    /// Ends a stream that lingers, so that its connections have no place any more: otherwise they
    /// have it until their servers have been told.
    fn end_lingering(&mut self, index: StreamId) {
        let keys = self.pull_conns(index);
        self.end_pull(index);
        for key in keys {
            if self.conns.get(key).is_some_and(|conn| conn.is_closing()) {
                self.remove(key);
            }
        }
    }
}
