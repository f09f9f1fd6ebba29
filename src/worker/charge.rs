//! For whom a fetched stream takes its places: for the address that asked, while nobody else plays
//! it.

use smallvec::SmallVec;

use super::core::Core;
use super::ids::{ConnId, StreamId};
use crate::net::transport::Transport;

impl<S: Transport> Core<S> {
    /// Somebody begins to play the stream `index`, here or on another worker.
    pub(super) fn pull_is_played(&mut self, index: StreamId) {
        let stream = self.streams.get_mut(index);
        let pull = stream.and_then(|stream| stream.pull.as_mut());
        if let Some(since) = pull.and_then(|pull| pull.idle_since.take()) {
            self.lingering.end(index, since, &self.shared.admission);
        }
        self.charge_pull(index);
    }

    /// The connections of a fetched stream, by slab key.
    pub(super) fn pull_conns(&self, index: StreamId) -> SmallVec<[ConnId; 2]> {
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
                && let Some(outbound) = conn.outbound_mut()
                && outbound.charged != charged
            {
                let before = std::mem::replace(&mut outbound.charged, charged);
                self.shared.admission.charge_pull(before, charged, now);
            }
        }
    }
}
