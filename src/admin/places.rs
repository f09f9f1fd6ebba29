//! Places at the operator's port. A stranger is a connection that has not shown the right to ask;
//! strangers have half of the places, and those of one address a quarter, for a short time. When
//! there is no place, the oldest stranger of the address that has the most of them gives way, last
//! of all one whose address has had an operator lately; only then the oldest idle operator.

use std::collections::VecDeque;

use crate::limits;
use crate::worker::address::Key;

/// How many addresses of operators are remembered.
const KNOWN: usize = 16;

/// See the module text.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Addresses that have shown the right to ask, the latest last.
    known: VecDeque<Key>,
}

/// A connection that has a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) token: usize,
    pub(super) address: Key,
    pub(super) is_stranger: bool,
    /// It waits for a request.
    pub(super) is_idle: bool,
}

/// Whether there is a place for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    /// When this connection has given way.
    After(usize),
    Full,
}

impl Places {
    /// Remembers an address that has shown the right to ask.
    pub(super) fn remember(&mut self, address: Key) {
        if self.known.back() == Some(&address) {
            return;
        }
        self.known.retain(|known| *known != address);
        if self.known.len() == KNOWN {
            self.known.pop_front();
        }
        self.known.push_back(address);
    }

    /// Finds a place for a connection from `address` beside the others, the oldest of which is
    /// the first.
    pub(super) fn room(&self, address: Key, others: &[Place]) -> Room {
        let strangers = others.iter().filter(|place| place.is_stranger);
        let of = |address: Key| strangers.clone().filter(move |its| its.address == address);
        if of(address).count() >= limits::ADMIN_UNKNOWN_PER_ADDRESS
            && let Some(oldest) = of(address).next()
        {
            return Room::After(oldest.token);
        }
        if others.len() < limits::ADMIN_CONNECTIONS_MAX
            && strangers.clone().count() < limits::ADMIN_UNKNOWN_MAX
        {
            return Room::Free;
        }
        let rank = |place: &&Place| {
            let is_known = self.known.contains(&place.address);
            (!is_known, of(place.address).count())
        };
        // Of several that are alike, `max_by_key` gives the last.
        let stranger = strangers.clone().rev().max_by_key(rank);
        let next = stranger.or_else(|| others.iter().find(|place| place.is_idle));
        next.map_or(Room::Full, |place| Room::After(place.token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(last: u8) -> Key {
        Key::V4([127, 0, 0, last])
    }

    fn stranger(token: usize, last: u8) -> Place {
        Place {
            token,
            address: key(last),
            is_stranger: true,
            is_idle: true,
        }
    }

    fn operator(token: usize, is_idle: bool) -> Place {
        Place {
            is_stranger: false,
            is_idle,
            ..stranger(token, 1)
        }
    }

    #[test]
    fn an_address_has_few_strangers_and_its_oldest_gives_way() {
        let places = Places::default();
        let mut others: Vec<Place> = (0..limits::ADMIN_UNKNOWN_PER_ADDRESS)
            .map(|token| stranger(token, 1))
            .collect();
        assert_eq!(places.room(key(1), &others), Room::After(0));
        assert_eq!(places.room(key(2), &others), Room::Free);
        others.remove(0);
        assert_eq!(places.room(key(1), &others), Room::Free);
    }

    #[test]
    fn the_address_with_most_strangers_gives_way_first() {
        let mut places = Places::default();
        let others: Vec<Place> = (0..limits::ADMIN_UNKNOWN_MAX)
            .zip([9, 9].into_iter().chain(10..))
            .map(|(token, last)| stranger(token, last))
            .collect();
        assert_eq!(places.room(key(1), &others), Room::After(0));
        // One alone of its address, and all alike: the oldest.
        assert_eq!(places.room(key(1), &others[1..]), Room::Free);
        let mut alike = others;
        alike[0].address = key(8);
        assert_eq!(places.room(key(1), &alike), Room::After(0));
        places.remember(key(8));
        assert_eq!(places.room(key(1), &alike), Room::After(1));
    }

    #[test]
    fn operators_give_way_last_and_only_when_idle() {
        let places = Places::default();
        let mut others: Vec<Place> = (0..limits::ADMIN_CONNECTIONS_MAX)
            .map(|token| operator(token, token > 2))
            .collect();
        assert_eq!(places.room(key(1), &others), Room::After(3));
        others[20] = stranger(20, 7);
        assert_eq!(places.room(key(1), &others), Room::After(20));
        others
            .iter_mut()
            .for_each(|place| *place = operator(place.token, false));
        assert_eq!(places.room(key(1), &others), Room::Full);
    }

    #[test]
    fn addresses_of_operators_are_forgotten_in_their_order() {
        let mut places = Places::default();
        for last in (0..).take(KNOWN + 1) {
            places.remember(key(last));
            places.remember(key(1));
        }
        assert!(places.known.contains(&key(1)) && !places.known.contains(&key(0)));
        assert_eq!(places.known.len(), KNOWN);
    }
}
