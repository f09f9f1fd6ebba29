//! How much strangers may have the relay do at other servers: how often players of one address
//! begin a fetch, how often one origin or push target is connected to, and how many connections to
//! origins may be on their way. Shared by the workers; looked at when a fetch begins and when a
//! server is connected to, never on the data path.
//!
//! A play by anybody makes an edge connect to its origins, and most of what strangers ask for is
//! not there. What is too much waits instead of being refused, so that a crowd gets its streams a
//! little later, and who has gone meanwhile costs nothing.

#![expect(
    clippy::disallowed_types,
    reason = "fetches are counted for the whole process"
)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::address::Key;
use super::shares::Shares;
use crate::limits;
use crate::limits::bucket::Bucket;

/// See the module text. Times are since the relay began; addresses are None where those are not
/// counted.
#[derive(Debug)]
pub struct Fetches {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Connections to origins that have brought no media yet, or are about to be made, by the
    /// addresses of the players they are for.
    pending: Shares,
    /// Fetches begun.
    addresses: HashMap<Key, Bucket>,
    /// With so many addresses, those that say nothing any more are looked for.
    sweep_at: usize,
    /// Connections made, by the authority of the origin or push target; there are as many as
    /// rules name.
    dials: HashMap<String, Bucket>,
}

/// The right to have one connection to an origin on its way; given back when it is dropped.
#[derive(Debug)]
pub struct Slot {
    fetches: Arc<Fetches>,
    address: Option<Key>,
}

impl Fetches {
    /// For a process of at most `connections_max` connections.
    pub fn new(connections_max: usize) -> Self {
        let pending_max = (connections_max / limits::FETCHES_SHARE).max(limits::FETCHES_LEAST);
        let state = State {
            pending: Shares::new(pending_max),
            addresses: HashMap::new(),
            sweep_at: 0,
            dials: HashMap::new(),
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// A fetch begins for a player of `address`, `within` so long at the latest: how long it has
    /// to wait; None when it may not begin.
    pub(super) fn begin(
        &self,
        address: Option<Key>,
        now: Duration,
        within: Duration,
    ) -> Option<Duration> {
        let Some(address) = address else {
            return Some(Duration::ZERO);
        };
        let mut state = self.lock();
        state.sweep(now);
        let begun = state.addresses.entry(address).or_default();
        begun.take_ahead(limits::FETCHES, now, within)
    }

    /// A fetch that counts for `from`, and has not begun, counts for `to` from now on, if that has
    /// it begin `within` this time: how long it has to wait then.
    pub(super) fn take_over(
        &self,
        from: Option<Key>,
        to: Option<Key>,
        now: Duration,
        within: Duration,
    ) -> Option<Duration> {
        let wait = self.begin(to, now, within)?;
        self.succeeded(from);
        Some(wait)
    }

    /// A fetch that a player of `address` began has brought a stream, and does not count.
    pub(super) fn succeeded(&self, address: Option<Key>) {
        let mut state = self.lock();
        let begun = address.and_then(|address| state.addresses.get_mut(&address));
        if let Some(begun) = begun {
            begun.give_back(limits::FETCHES);
        }
    }

    /// Whether a connection for a player of `address` may be on its way.
    pub(super) fn has_room(&self, address: Option<Key>) -> bool {
        self.lock().pending.check(address).is_ok()
    }

    /// The server `origin` is to be connected to on behalf of a player of the first of `addresses`
    /// that may have one more on its way. Those that are `first` tries have a half of the rate to
    /// themselves.
    ///
    /// # Errors
    /// It may not be yet; how long to wait.
    pub(super) fn dial(
        self: &Arc<Self>,
        addresses: &[Option<Key>],
        origin: &str,
        first: bool,
        now: Duration,
    ) -> Result<Slot, Duration> {
        let mut state = self.lock();
        let mut addresses = addresses.iter().copied();
        let address = addresses.find(|address| state.pending.check(*address).is_ok());
        let address = address.ok_or(limits::FETCH_PAUSE)?;
        let rate = limits::ORIGIN_DIALS;
        let kept = if first { 0 } else { rate.burst() / 2 };
        state.dial(origin, kept, now)?;
        let taken = state.pending.take(address);
        taken.map_err(|_| limits::FETCH_PAUSE)?;
        Ok(Slot {
            fetches: self.clone(),
            address,
        })
    }

    /// The push target `target` is to be connected to, for a stream that is published here.
    ///
    /// # Errors
    /// It may not be yet; how long to wait.
    pub(super) fn dial_target(&self, target: &str, now: Duration) -> Result<(), Duration> {
        self.lock().dial(target, 0, now)
    }

    /// Connections to origins that have brought no media yet, and the most of one address.
    #[cfg(test)]
    pub(super) fn pending(&self) -> (usize, usize) {
        let state = self.lock();
        let most = state.pending.each().max();
        (state.pending.taken(), most.unwrap_or(0))
    }

    /// How many connections may be on their way; addresses and servers that are remembered.
    #[cfg(test)]
    pub(super) fn kept(&self) -> (usize, usize, usize) {
        let state = self.lock();
        let (addresses, servers) = (state.addresses.len(), state.dials.len());
        (state.pending.most(), addresses, servers)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is complete before anything could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Whom it counts for.
    pub(super) fn address(&self) -> Option<Key> {
        self.address
    }

    /// It counts for `to` from now on, unless that has its share.
    pub(super) fn hand_over(&mut self, to: Option<Key>) {
        if self.fetches.lock().pending.hand_over(self.address, to) {
            self.address = to;
        }
    }
}

impl State {
    /// Counts a connection to the server `authority`, when more than `kept` are left to be made.
    fn dial(&mut self, authority: &str, kept: u32, now: Duration) -> Result<(), Duration> {
        let rate = limits::ORIGIN_DIALS;
        let dials = self.dials.entry(authority.to_owned()).or_default();
        let wait = dials.wait(rate, now, kept);
        if !wait.is_zero() {
            return Err(wait.max(limits::FETCH_PAUSE));
        }
        dials.take(rate, now);
        Ok(())
    }

    /// Forgets addresses that say nothing any more, once there are many.
    fn sweep(&mut self, now: Duration) {
        if self.addresses.len() >= self.sweep_at.max(limits::ADDRESSES_KEPT) {
            self.addresses.retain(|_, begun| !begun.is_full(now));
            self.sweep_at = 2 * self.addresses.len();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.fetches.lock().pending.give_back(self.address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);
    const SECOND: Duration = Duration::from_secs(1);

    fn address(number: u8) -> Option<Key> {
        Some(Key::of([127, 0, 0, number].into()))
    }

    #[test]
    fn fetches_of_one_address_wait_their_turn() {
        let fetches = Fetches::new(1_000);
        for _ in 0..limits::FETCHES.burst() {
            assert_eq!(
                fetches.begin(address(1), NOW, limits::FETCH_DELAY_MAX),
                Some(Duration::ZERO)
            );
        }
        let wait = fetches
            .begin(address(1), NOW, limits::FETCH_DELAY_MAX)
            .unwrap();
        assert!(!wait.is_zero() && wait <= SECOND, "{wait:?}");
        assert_eq!(
            fetches.begin(address(2), NOW, limits::FETCH_DELAY_MAX),
            Some(Duration::ZERO)
        );
        let more =
            (0..1_000).filter_map(|_| fetches.begin(address(1), NOW, limits::FETCH_DELAY_MAX));
        let last = more.last().unwrap();
        assert!(last <= limits::FETCH_DELAY_MAX);
        assert_eq!(
            fetches.begin(address(1), NOW, limits::FETCH_DELAY_MAX),
            None
        );
        fetches.succeeded(address(1));
        assert_eq!(
            fetches.begin(address(1), NOW, limits::FETCH_DELAY_MAX),
            Some(last)
        );
        assert_eq!(
            fetches.begin(None, NOW, limits::FETCH_DELAY_MAX),
            Some(Duration::ZERO)
        );
    }

    #[test]
    fn a_fetch_that_has_not_begun_may_count_for_another() {
        let fetches = Fetches::new(1_000);
        let begin = |number| fetches.begin(address(number), NOW, limits::FETCH_DELAY_MAX);
        let waits: Vec<_> = (0..limits::FETCHES.burst() + 3).map(|_| begin(1)).collect();
        let last = waits.last().unwrap().unwrap();
        let hand = |from, to| fetches.take_over(address(from), address(to), NOW, last);
        assert_eq!(hand(1, 2), Some(Duration::ZERO));
        assert_eq!(begin(1), Some(last));
        // That one has none to spare either, and nothing changes.
        while begin(2).unwrap() <= last {}
        assert_eq!(hand(1, 2), None);
        assert!(begin(1).unwrap() > last);
    }

    #[test]
    fn few_addresses_leave_slots_for_others() {
        let fetches = Arc::new(Fetches::new(0));
        let mut slots = Vec::new();
        for _ in 0..limits::FETCHES_LEAST {
            for number in 1..=8 {
                slots.extend(fetches.dial(&[address(number)], "o", true, NOW));
            }
        }
        let (pending, most) = fetches.pending();
        assert!(pending <= limits::FETCHES_LEAST * 3 / 4, "{pending}");
        assert!(most > 4, "{most}");
        slots.extend(fetches.dial(&[address(9)], "o", true, NOW));
        assert_eq!(fetches.pending().0, pending + 1);
        slots.clear();
        assert_eq!(fetches.pending(), (0, 0));
    }

    #[test]
    fn one_origin_is_connected_to_at_a_rate() {
        let fetches = Arc::new(Fetches::new(100_000));
        let dials = |first, now| {
            let tries = (0..1_000).filter(|_| fetches.dial(&[None], "o", first, now).is_ok());
            u32::try_from(tries.count()).unwrap()
        };
        let rate = limits::ORIGIN_DIALS;
        assert_eq!(dials(false, NOW), rate.burst() / 2);
        assert_eq!(dials(true, NOW), rate.burst() / 2);
        assert_eq!(dials(true, NOW + SECOND), rate.plainly().0);
        assert!(fetches.dial(&[None], "other", false, NOW).is_ok());
    }

    #[test]
    fn addresses_are_forgotten_when_they_are_quiet() {
        let fetches = Fetches::new(1_000);
        for second in 0..4_096_u32 {
            let key = Some(Key::of(second.to_be_bytes().into()));
            fetches.begin(key, second * SECOND, limits::FETCH_DELAY_MAX);
        }
        assert!(fetches.lock().addresses.len() <= limits::ADDRESSES_KEPT);
    }
}
