//! Which address a fetch is charged to: that of a player that waits for the stream or plays it, and
//! has room. The address that asked first decides nothing for players that come later, and an
//! address whose players have left is charged for nothing.
//!
//! Each step of a fetch takes an address that has room for that step: rate of fetches, slot,
//! connection, stream. The fetch is put off when no such address has room, and goes on at once when
//! a player of an address with room comes.

use std::net::IpAddr;

use smallvec::SmallVec;

use super::address::Key;
use super::core::Core;
use super::ids::{ConnId, StreamId};
use super::mail::Mail;
use super::pull::PutOff;
use super::registry::{Claim, Owner};
use super::shared::Shared;
use crate::limits;
use crate::net::transport::Transport;

impl<S: Transport> Core<S> {
    /// Somebody begins to play the stream `index`, here or on another worker.
    pub(super) fn pull_is_played(&mut self, index: StreamId) {
        let stream = self.streams.get_mut(index);
        let pull = stream.and_then(|stream| stream.pull.as_mut());
        if let Some(since) = pull.and_then(|pull| pull.end_idle()) {
            self.lingering.end(index, since, &self.shared.admission);
        }
        self.charge_pull(index);
    }

    /// A player on connection `key` has left the stream `index`.
    pub(super) fn pull_is_left(&mut self, index: StreamId, key: ConnId) {
        let Some(pull) = self.streams.get(index).and_then(|its| its.pull.as_ref()) else {
            return;
        };
        let gone = self.conns.get(key).map(|conn| conn.counted_ip());
        if gone.is_none_or(|gone| self.shared.admission.key_of(gone) == pull.askers().current()) {
            self.replace_asker(index);
        }
        self.charge_pull(index);
    }

    /// Tells the worker that fetches the stream `index` of a player of `asker` that waits here.
    pub(super) fn want_from(&mut self, index: StreamId, owner: Owner, asker: IpAddr) {
        let mail = Mail::Wanted {
            name: self.streams[index].name.clone(),
            epoch: owner.epoch,
            from: self.worker,
            asker,
        };
        self.outbox.send(owner.worker, mail);
    }

    /// The connections of a fetched stream, by slab key.
    pub(super) fn pull_conns(&self, index: StreamId) -> SmallVec<[ConnId; 2]> {
        let pull = self.streams.get(index).and_then(|its| its.pull.as_ref());
        pull.into_iter().flat_map(|pull| pull.conns()).collect()
    }

    /// Counts the connections of a fetched stream for its asker, or for none when somebody else
    /// wants it as well.
    pub(super) fn charge_pull(&mut self, index: StreamId) {
        let stream = self.streams.get(index);
        let Some((stream, pull)) = stream.and_then(|its| Some((its, its.pull.as_ref()?))) else {
            return;
        };
        let asker = pull.askers().current();
        let is_alone = stream.feeds.is_empty() && self.wanting(index).all(|key| key == asker);
        let charged = asker.filter(|_| is_alone);
        let now = self.uptime();
        for key in self.pull_conns(index) {
            if let Some(conn) = self.conns.get_mut(key)
                && let Some(outbound) = conn.outbound_mut()
                && outbound.charged != charged
            {
                let before = std::mem::replace(&mut outbound.charged, charged);
                self.shared.admission.charge_pull(before, charged, now);
            }
        }
    }

    /// The addresses of the players of the stream: of each one here, and of those that other
    /// workers have named.
    fn wanting(&self, index: StreamId) -> impl Iterator<Item = Option<Key>> {
        let admission = &self.shared.admission;
        let stream = self.streams.get(index);
        let players = stream.into_iter().flat_map(|stream| stream.players.iter());
        let here = players.filter_map(|player| self.conns.get(player.conn()));
        let here = here.map(|conn| admission.key_of(conn.counted_ip()));
        let pull = stream.and_then(|stream| stream.pull.as_ref());
        let elsewhere = pull.into_iter().flat_map(|pull| pull.askers().elsewhere());
        here.chain(elsewhere)
    }

    /// The addresses that the fetch may be charged to: that of the asker first, if one of its
    /// players is still there.
    pub(super) fn askers(&self, index: StreamId) -> Vec<Option<Key>> {
        let pull = self.streams.get(index).and_then(|its| its.pull.as_ref());
        let Some(asker) = pull.map(|pull| pull.askers().current()) else {
            return Vec::new();
        };
        let mut askers: Vec<Option<Key>> = self.wanting(index).collect();
        askers.dedup();
        match askers.iter().position(|key| *key == asker) {
            Some(at) => askers.swap(0, at),
            None if askers.is_empty() => askers.push(asker),
            None => {}
        }
        askers
    }

    /// The asker of a fetched stream may have left: another one that wants it, and has room, takes
    /// its place.
    pub(super) fn replace_asker(&mut self, index: StreamId) {
        let pull = self.streams[index].pull.as_ref();
        let Some(asker) = pull.map(|pull| pull.askers().current()) else {
            return;
        };
        if self.wanting(index).any(|key| key == asker) {
            return;
        }
        let askers = self.askers(index);
        let others = askers.into_iter().filter(|key| *key != asker);
        let shared = &*self.shared;
        let Some(next) = { others }.find(|key| has_room(shared, *key)) else {
            return;
        };
        let (now, uptime) = (self.now, self.uptime());
        let stream = &mut self.streams[index];
        self.shared.registry.set_publisher(&stream.name, next);
        let Some(pull) = &mut stream.pull else {
            return;
        };
        pull.hand_over(next);
        let (fetches, begun_by) = (&self.shared.fetches, pull.askers().begun_by());
        if let Some((PutOff::Rate, within)) = pull.put_off(now)
            && let Some(wait) = fetches.take_over(begun_by, next, uptime, within)
        {
            pull.begin_for(next, now + wait);
            self.look_at_stream(index, now + wait);
        }
    }

    /// Claims the fetched stream, which has media, for one of the addresses whose players want it.
    pub(super) fn claim_for_askers(&mut self, index: StreamId) -> Claim {
        let askers = self.askers(index);
        let stream = &mut self.streams[index];
        let registry = &self.shared.registry;
        for asker in askers {
            let claim = registry.claim(&stream.name, self.worker, true, asker);
            if claim != Claim::AddressFull {
                if let Some(pull) = &mut stream.pull {
                    pull.askers_mut().charge(asker);
                }
                return claim;
            }
        }
        if let Some(pull) = &mut stream.pull {
            pull.lack_room();
        }
        Claim::AddressFull
    }

    /// The stream `index` turns out to be fetched by another worker: that is told of those who wait
    /// for it here.
    pub(super) fn want_from_other(&mut self, index: StreamId, owner: Owner, asker: IpAddr) {
        let players = self.streams[index].players.iter();
        let waiting = players.filter_map(|player| self.conns.get(player.conn()));
        let mut askers: Vec<IpAddr> = waiting.map(|conn| conn.counted_ip()).collect();
        askers.push(asker);
        askers.dedup();
        for asker in askers.into_iter().rev().take(limits::PULL_ASKERS_MAX) {
            self.want_from(index, owner, asker);
        }
    }
}

/// Whether a fetch may take what it needs for a player of `asker`.
pub(super) fn has_room<S>(shared: &Shared<S>, asker: Option<Key>) -> bool {
    shared.fetches.has_room(asker)
        && shared.admission.has_room_for_pull(asker)
        && shared.registry.has_room(asker)
}
