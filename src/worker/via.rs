//! Relays that play a stream here: an origin that the stream is fetched from, from whatever worker,
//! is told of them, so that a circle of relays is found. See edge/hops.rs.

use super::core::Core;
use super::ids::{ConnId, PlayerSlot, StreamId};
use super::session::Form;
use crate::net::transport::Transport;
use crate::stream::cursor::StartAt;

impl<S: Transport> Core<S> {
    /// Whether connection `key` is that of a relay which plays here for its own players.
    pub(super) fn is_relay(&self, key: ConnId) -> bool {
        self.conns.get(key).is_some_and(|conn| conn.via().is_some())
    }

    /// Where connection `key` starts to play. A relay gets what there is at once: whether its own
    /// players wait for the next key frame is for that relay to say.
    pub(super) fn start_for(&self, key: ConnId) -> StartAt {
        match self.is_relay(key) {
            true => StartAt::NewestSync,
            false => self.shared.config.start_at(),
        }
    }

    /// Counts a player of the stream by what it says of relays: an origin that is asked for the
    /// stream, from whatever worker, is told, see hops.rs.
    pub(super) fn count_via(&mut self, index: StreamId, slot: PlayerSlot) {
        if self.shared.config.pull.is_empty() {
            return;
        }
        let stream = &mut self.streams[index];
        let player = &mut stream.players[slot];
        let Some(conn) = self.conns.get(player.conn()) else {
            return;
        };
        let address = self.shared.admission.key_of(conn.counted_ip());
        let relays = stream.relays.get_or_insert_default();
        player.set_counted(relays.enter(address, conn.via()));
        self.announce_marker(index);
    }

    /// A player of the stream has gone that was counted like that.
    pub(super) fn uncount_via(&mut self, index: StreamId, key: ConnId) {
        let Some(conn) = self.conns.get(key) else {
            return;
        };
        let Some(relays) = &mut self.streams[index].relays else {
            return;
        };
        let address = self.shared.admission.key_of(conn.counted_ip());
        relays.leave(address, conn.via());
        self.announce_marker(index);
    }

    /// Counts all players of the stream anew.
    pub(super) fn recount_vias(&mut self, index: StreamId) {
        if let Some(relays) = &mut self.streams[index].relays {
            relays.forget_players();
        }
        for slot in self.streams[index].players.indices() {
            if self.streams[index].players[slot].form() != Form::Publish {
                self.count_via(index, slot);
            }
        }
        self.announce_marker(index);
    }

    fn announce_marker(&mut self, index: StreamId) {
        let stream = &mut self.streams[index];
        let marker = stream.relays.as_mut().and_then(|its| its.new_marker());
        if let Some(marker) = marker {
            let registry = &self.shared.registry;
            registry.set_marker(&stream.name, self.worker, marker);
        }
    }
}
