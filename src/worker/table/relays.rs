//! The relays that a stream comes through and goes to: what servers and the registry are told of
//! them. See edge/hops.rs.

use crate::edge::hops::{Marker, Via, ViaCounts};
use crate::worker::address::Key;

/// See the module text.
#[derive(Debug, Default)]
pub(in crate::worker) struct Relays {
    /// Those that its publisher has come through.
    of_publisher: Via,
    /// Its players by those that they have come through, where the stream may be fetched, ...
    of_players: ViaCounts<Option<Key>>,
    /// ... what the registry was told of that, ...
    marker: Marker,
    /// ... and whether something else may have to be said by now.
    is_marker_old: bool,
}

impl Relays {
    /// A publisher comes, through these if it is a relay.
    pub(in crate::worker) fn set_publisher(&mut self, via: Option<Via>) {
        self.of_publisher = via.unwrap_or_default();
    }

    /// What the relay `own` says where it hands the stream on.
    pub(in crate::worker) fn via_of_publisher(&self, own: u64) -> Via {
        self.of_publisher.extended(own)
    }

    /// A player comes, from an address and through relays if it is one. False when that address
    /// names too many, and it is not counted.
    pub(in crate::worker) fn enter(&mut self, address: Option<Key>, via: Option<&Via>) -> bool {
        let is_counted = self.of_players.enter(address, via);
        self.is_marker_old |= via.is_some() || self.of_players.direct() == 1;
        is_counted
    }

    /// A player goes that was counted.
    pub(in crate::worker) fn leave(&mut self, address: Option<Key>, via: Option<&Via>) {
        self.of_players.leave(&address, via);
        self.is_marker_old |= via.is_some() || self.of_players.direct() == 0;
    }

    /// Players are to be counted anew.
    pub(in crate::worker) fn forget_players(&mut self) {
        self.of_players = ViaCounts::default();
        self.is_marker_old = true;
    }

    /// The registry has been told nothing of the stream as it is called now.
    pub(in crate::worker) fn forget_marker(&mut self) {
        self.marker = Marker::default();
        self.is_marker_old = true;
    }

    /// What players say together, if the registry is to be told something else.
    pub(in crate::worker) fn new_marker(&mut self) -> Option<Marker> {
        if std::mem::take(&mut self.is_marker_old) {
            let marker = self.of_players.marker();
            if marker != self.marker {
                self.marker = marker.clone();
                return Some(marker);
            }
        }
        None
    }

    /// How many players are counted.
    #[cfg(test)]
    pub(in crate::worker) fn players(&self) -> usize {
        self.of_players.players()
    }
}
