//! The relays a connection has come through: a marker that relays of this kind add to connect,
//! so that a circle of them is found at the second pass and a chain does not grow without end.
//! Others leave it alone.
//!
//! ```text
//!   connect { ..., via: "<first relay>,<next>,...,<who asks>;<another that waits>,..." }
//! ```
//!
//! An id is drawn when a relay starts and says nothing about it. In front of the semicolon is the
//! shortest way by which a player has come; behind it is every other relay that waits for the
//! stream through the one that asks. Two relays with players of their own, each of which asks the
//! other, would otherwise not see that they wait for each other, or send round and round what one
//! of them has left of a stream that is over.
//!
//! Nobody checks that a client is a relay, so what one says must not decide for others: the way is
//! the shortest, so that a long one costs only the client that claims it, and each address has an
//! equal part of the ids behind the semicolon.

use std::collections::BTreeMap;
use std::fmt;

use crate::limits;

/// Why a connection may not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HopError {
    /// It has come through this relay before.
    Loop,
    /// It has come through too many relays.
    TooMany,
}

/// `ex.code` of a connect that is refused as a loop, after HTTP's 508 Loop Detected.
pub const LOOP_CODE: u32 = 508;

/// The property of connect that names the relays a client is asked through.
pub const VIA_KEY: &str = "via";

/// The property of the result of connect by which a relay that was asked by another says that it
/// is one: it has held back pictures that nobody can decode.
pub const RELAY_KEY: &str = "relay";

/// What relays up to 0.1.0 say instead of [`LOOP_CODE`].
pub const LOOP_WORDS: &str = "the relays form a loop";

impl HopError {
    /// What the client is told.
    pub fn words(self) -> &'static str {
        match self {
            Self::Loop => LOOP_WORDS,
            Self::TooMany => "too many relays in a row",
        }
    }
}

/// The most ids that a marker has.
const IDS_MAX: usize = (limits::VIA_BYTES_MAX + 1) / (ID_CHARS + 1);

/// The marker of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Via {
    way: Vec<u64>,
    beside: Vec<u64>,
}

impl Via {
    /// Reads a marker; None when there is none, or it has another form.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > limits::VIA_BYTES_MAX {
            return None;
        }
        let (way, beside) = text
            .split_once(';')
            .map_or((text, None), |(way, beside)| (way, Some(beside)));
        Some(Self {
            way: way.split(',').map(id_of).collect::<Option<_>>()?,
            beside: beside.map_or(Some(Vec::new()), |ids| ids.split(',').map(id_of).collect())?,
        })
    }

    /// Judges it, as the relay `own`.
    ///
    /// # Errors
    /// The connection goes in a circle, or the chain is longer than [`limits::HOPS_MAX`].
    pub fn check(&self, own: u64) -> Result<(), HopError> {
        if self.ids().any(|id| id == own) {
            return Err(HopError::Loop);
        }
        if self.way.len() >= limits::HOPS_MAX {
            return Err(HopError::TooMany);
        }
        Ok(())
    }

    /// Whether a relay of this kind lets a connection in that goes one relay further.
    pub fn may_go_on(&self) -> bool {
        self.way.len() + 1 < limits::HOPS_MAX
    }

    /// The marker that the relay `own` sends on behalf of this client alone.
    #[must_use]
    pub fn extended(&self, own: u64) -> Self {
        let way = self.way.iter().copied().chain([own]).collect();
        Self {
            way,
            beside: Vec::new(),
        }
    }

    fn ids(&self) -> impl Iterator<Item = u64> {
        self.way.iter().chain(&self.beside).copied()
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, id) in self.way.iter().enumerate() {
            let mark = if index > 0 { "," } else { "" };
            write!(f, "{mark}{id:016x}")?;
        }
        for (index, id) in self.beside.iter().enumerate() {
            let mark = if index > 0 { "," } else { ";" };
            write!(f, "{mark}{id:016x}")?;
        }
        Ok(())
    }
}

/// What those who play a stream say of the relays they come through, put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marker {
    /// The shortest way; None when nobody plays.
    way: Option<Vec<u64>>,
    /// All relays, at most [`IDS_MAX`].
    ids: Vec<u64>,
}

impl Marker {
    /// Those of several workers put together.
    #[must_use]
    pub fn merged<'a>(markers: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let ways = markers.clone().filter_map(|marker| marker.way.as_ref());
        let way = ways.min_by_key(|way| way.len()).cloned();
        let ids = in_turn(markers.map(|marker| marker.ids.iter().copied()));
        Self { way, ids }
    }

    /// How many relays it names.
    #[cfg(test)]
    pub fn relays(&self) -> usize {
        self.ids.len()
    }

    /// What the relay `own` sends on their behalf.
    pub fn via(&self, own: u64) -> Via {
        let way = self.way.iter().flatten().copied().chain([own]);
        let way: Vec<u64> = way.collect();
        let others = self.ids.iter().filter(|id| !way.contains(id));
        let room = IDS_MAX.saturating_sub(way.len());
        let beside = others.take(room).copied().collect();
        Via { way, beside }
    }
}

/// The players of a stream by what they say of relays, each with an address of the kind `A`.
/// Changed by one when one comes or goes.
#[derive(Debug)]
pub struct ViaCounts<A> {
    /// Players that come through no relay.
    direct: usize,
    /// By how many players each way was taken, the shortest first.
    ways: BTreeMap<(usize, Vec<u64>), usize>,
    /// By how many players of each address each relay was named.
    ids: BTreeMap<A, BTreeMap<u64, usize>>,
}

impl<A: Ord> Default for ViaCounts<A> {
    fn default() -> Self {
        Self {
            direct: 0,
            ways: BTreeMap::new(),
            ids: BTreeMap::new(),
        }
    }
}

impl<A: Ord> ViaCounts<A> {
    /// A player comes. One whose address names too many relays is not counted; false then.
    pub fn enter(&mut self, address: A, via: Option<&Via>) -> bool {
        let Some(via) = via else {
            self.direct += 1;
            return true;
        };
        let ids = self.ids.entry(address).or_default();
        let new = via.ids().filter(|id| !ids.contains_key(id)).count();
        if ids.len() + new > IDS_MAX {
            return false;
        }
        for id in via.ids() {
            *ids.entry(id).or_default() += 1;
        }
        let way = (via.way.len(), via.way.clone());
        *self.ways.entry(way).or_default() += 1;
        true
    }

    /// A player goes that was counted.
    pub fn leave(&mut self, address: &A, via: Option<&Via>) {
        let Some(via) = via else {
            self.direct = self.direct.saturating_sub(1);
            return;
        };
        if let Some(ids) = self.ids.get_mut(address) {
            via.ids().for_each(|id| take_one(ids, &id));
            if ids.is_empty() {
                self.ids.remove(address);
            }
        }
        take_one(&mut self.ways, &(via.way.len(), via.way.clone()));
    }

    /// Whether nobody is counted and nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.direct == 0 && self.ways.is_empty() && self.ids.is_empty()
    }

    /// Players that come through no relay.
    pub fn direct(&self) -> usize {
        self.direct
    }

    /// All players that are counted.
    #[cfg(test)]
    pub(crate) fn players(&self) -> usize {
        self.direct + self.ways.values().sum::<usize>()
    }

    /// What they say together.
    pub fn marker(&self) -> Marker {
        let way = match self.direct {
            0 => self.ways.keys().next().map(|(_, way)| way.clone()),
            _ => Some(Vec::new()),
        };
        let ids = in_turn(self.ids.values().map(|ids| ids.keys().copied()));
        Marker { way, ids }
    }
}

/// One less of `key`, and none when it was the last.
fn take_one<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// The first ids of all lists, then the second, and so on: each once, and at most [`IDS_MAX`].
fn in_turn(lists: impl Iterator<Item = impl Iterator<Item = u64>>) -> Vec<u64> {
    let mut lists: Vec<_> = lists.take(IDS_MAX).collect();
    let mut ids = Vec::new();
    while !lists.is_empty() && ids.len() < IDS_MAX {
        lists.retain_mut(|list| {
            let next = list.next();
            if let Some(id) = next
                && ids.len() < IDS_MAX
                && !ids.contains(&id)
            {
                ids.push(id);
            }
            next.is_some()
        });
    }
    ids
}

/// Characters of an id.
const ID_CHARS: usize = 16;

fn id_of(text: &str) -> Option<u64> {
    let is_id = text.len() == ID_CHARS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(text, 16).ok().filter(|_| is_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(ids: impl IntoIterator<Item = u64>) -> Via {
        Via {
            way: ids.into_iter().collect(),
            beside: Vec::new(),
        }
    }

    #[test]
    fn a_marker_reads_as_it_was_written() {
        let via = Via {
            way: vec![1, 0xFEDC_BA98_7654_3210],
            beside: vec![3, 4],
        };
        assert_eq!(Via::parse(&via.to_string()), Some(via));
        assert_eq!(Via::parse("0000000000000001"), Some(way([1])));
    }

    #[test]
    fn what_is_no_marker_is_none() {
        let long = vec!["0000000000000001"; IDS_MAX + 1].join(",");
        for text in [
            "",
            "x,y",
            ",",
            ";",
            "0000000000000001,",
            "0000000000000001;",
            ";0000000000000001",
            "000000000000001",
            "+000000000000001",
            "0000000000000001;0000000000000002;0000000000000003",
            &long,
        ] {
            assert_eq!(Via::parse(text), None, "{text}");
        }
        assert!(Via::parse(&long[17..]).is_some());
    }

    #[test]
    fn a_circle_is_found_when_it_closes() {
        let second = way([1]).extended(2);
        assert_eq!(second.check(3), Ok(()));
        assert_eq!(second.check(1), Err(HopError::Loop));
        assert_eq!(second.check(2), Err(HopError::Loop));
    }

    #[test]
    fn a_chain_has_an_end() {
        let mut via = Via::default();
        for hop in 0..limits::HOPS_MAX as u64 {
            assert_eq!(via.check(99), Ok(()), "{hop}");
            assert_eq!(via.may_go_on(), via.extended(98).check(99).is_ok());
            via = via.extended(hop);
        }
        assert_eq!(via.check(99), Err(HopError::TooMany));
        assert!(via.to_string().len() <= limits::VIA_BYTES_MAX);
    }

    #[test]
    fn the_shortest_way_is_sent_and_all_relays_are_named() {
        let mut via_counts = ViaCounts::default();
        assert_eq!(via_counts.marker().via(99), way([99]));
        let long = way(1..8);
        assert!(via_counts.enter(1, Some(&long)));
        assert_eq!(via_counts.marker().via(99).way, long.extended(99).way);
        assert!(via_counts.enter(1, Some(&way([8]))));
        let via = via_counts.marker().via(99);
        assert_eq!((via.way, via.beside), (vec![8, 99], (1..8).collect()));
        assert!(via_counts.enter(2, None));
        let via = via_counts.marker().via(99);
        assert_eq!((via.way, via.beside), (vec![99], (1..9).collect()));
        via_counts.leave(&2, None);
        via_counts.leave(&1, Some(&way([8])));
        via_counts.leave(&1, Some(&long));
        assert_eq!(via_counts.marker(), Marker::default());
        assert!(via_counts.is_empty());
    }

    #[test]
    fn markers_of_workers_are_put_together() {
        let mut counts = [ViaCounts::default(), ViaCounts::default()];
        counts[0].enter(1, Some(&way([1, 2])));
        counts[1].enter(1, Some(&way([3])));
        let markers = counts.each_ref().map(ViaCounts::marker);
        let via = Marker::merged(markers.iter()).via(9);
        assert_eq!((via.way, via.beside), (vec![3, 9], vec![1, 2]));
    }

    #[test]
    fn one_address_does_not_take_the_place_of_others_relays() {
        let mut via_counts = ViaCounts::default();
        let counted = (1_000..3_000).filter(|id| via_counts.enter(0, Some(&way([*id]))));
        assert_eq!(counted.count(), IDS_MAX);
        for address in 1..20 {
            assert!(via_counts.enter(address, Some(&way([address]))));
        }
        let via = via_counts.marker().via(99);
        for relay in 1..20 {
            assert_eq!(via.check(relay), Err(HopError::Loop), "{relay}");
        }
        assert!(via.to_string().len() <= limits::VIA_BYTES_MAX);
        assert_eq!(Via::parse(&via.to_string()), Some(via));
    }
}
