//! What one address may have of what all of them share: places, streams, connections to other
//! servers. Who has few addresses cannot keep the others out, however little there is in all.
//!
//! An address takes one more while it has less than one in [`limits::ADDRESS_SHARE`] of what is
//! free. So the more is taken, the less one may add: n addresses that take all they can leave 4
//! parts of 4 + n; one has a fifth, and with five of them 44 % stay free. `--max-per-address 0`
//! has no addresses counted, and so no shares.

use std::collections::HashMap;

use super::address::Key;
use crate::limits;

/// Whether who has `own` may have one more while so many are `free`.
pub(super) fn may_take(own: usize, free: usize) -> bool {
    own.saturating_mul(limits::ADDRESS_SHARE) < free
}

/// Why there is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// All are taken.
    All,
    /// The address has its share.
    Address,
}

/// How many there are of something, and of which addresses. Those of None, which is not counted,
/// have no shares.
#[derive(Debug)]
pub(super) struct Shares {
    most: usize,
    taken: usize,
    own: HashMap<Key, usize>,
}

impl Shares {
    /// Of at most `most`.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            taken: 0,
            own: HashMap::new(),
        }
    }

    /// Takes one for `address`.
    ///
    /// # Errors
    /// There is none for it; nothing was counted.
    pub(super) fn take(&mut self, address: Option<Key>) -> Result<(), Full> {
        self.check(address)?;
        self.taken += 1;
        self.add(address);
        Ok(())
    }

    /// Whether `address` may take one.
    pub(super) fn check(&self, address: Option<Key>) -> Result<(), Full> {
        let free = self.most.saturating_sub(self.taken);
        match may_take(self.of(address), free) {
            true => Ok(()),
            false if free == 0 => Err(Full::All),
            false => Err(Full::Address),
        }
    }

    /// One that was taken for `address` is free again.
    pub(super) fn give_back(&mut self, address: Option<Key>) {
        self.taken = self.taken.saturating_sub(1);
        self.subtract(address);
    }

    /// One that was taken for `from` is `to`'s from now on; false when that has its share, and it
    /// stays as it was.
    pub(super) fn hand_over(&mut self, from: Option<Key>, to: Option<Key>) -> bool {
        // There is room for it already.
        let free = self.most.saturating_sub(self.taken) + 1;
        let is_allowed = from != to && may_take(self.of(to), free);
        if is_allowed {
            self.subtract(from);
            self.add(to);
        }
        is_allowed
    }

    /// How many are taken.
    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// How many there may be.
    #[cfg(test)]
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// How many each address has.
    #[cfg(test)]
    pub(super) fn each(&self) -> impl Iterator<Item = usize> {
        self.own.values().copied()
    }

    fn of(&self, address: Option<Key>) -> usize {
        let own = address.and_then(|address| self.own.get(&address));
        own.copied().unwrap_or(0)
    }

    fn add(&mut self, address: Option<Key>) {
        if let Some(address) = address {
            *self.own.entry(address).or_default() += 1;
        }
    }

    fn subtract(&mut self, address: Option<Key>) {
        if let Some(address) = address
            && let Some(own) = self.own.get_mut(&address)
        {
            *own = own.saturating_sub(1);
            if *own == 0 {
                self.own.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: usize) -> Option<Key> {
        Some(Key::of([10, 0, 0, u8::try_from(number).unwrap()].into()))
    }

    /// What `addresses` take together when each takes all it can.
    fn taken(shares: &mut Shares, addresses: usize) -> usize {
        for _ in 0..shares.most {
            for number in 0..addresses {
                let _: Result<(), Full> = shares.take(address(number));
            }
        }
        shares.taken()
    }

    #[test]
    fn few_addresses_leave_room_for_others() {
        for most in [16, 64, 256, 10_000] {
            for addresses in 1..8 {
                let mut shares = Shares::new(most);
                let taken = taken(&mut shares, addresses);
                let fair = most * addresses / (4 + addresses);
                assert!(
                    (fair..=fair + addresses).contains(&taken),
                    "{most}: {taken}"
                );
                assert_eq!(shares.take(address(0)), Err(Full::Address));
                assert_eq!(shares.take(address(99)), Ok(()));
            }
        }
    }

    #[test]
    fn what_nobody_is_counted_for_has_no_shares() {
        let mut shares = Shares::new(3);
        for _ in 0..3 {
            assert_eq!(shares.take(None), Ok(()));
        }
        assert_eq!(shares.take(None), Err(Full::All));
        assert_eq!(shares.take(address(1)), Err(Full::All));
        shares.give_back(None);
        assert_eq!(shares.take(address(1)), Ok(()));
        shares.give_back(address(1));
        assert_eq!((shares.taken(), shares.each().count()), (2, 0));
    }

    #[test]
    fn an_address_is_handed_no_more_than_its_share() {
        let mut shares = Shares::new(100);
        assert_eq!(taken(&mut shares, 1), 20);
        let mut handed = (0..20).filter(|_| shares.hand_over(address(0), address(1)));
        assert_eq!(handed.by_ref().count(), 20);
        let more = taken(&mut shares, 1) - 20;
        let handed = (0..more).filter(|_| shares.hand_over(address(0), address(1)));
        assert_eq!(handed.count(), 0);
        assert!(shares.taken() < 40);
    }
}
