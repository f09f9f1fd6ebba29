//! Who may come in: connections in all, those that have no role yet, those of one address, and
//! how often one address may publish.
//!
//! Shared by all workers. The counts are atomics; the table of addresses has a lock, taken when a
//! connection is accepted, begins to publish or play, and closes, and never on the data path.
//!
//! One address may have a share of all places, of those for newcomers, and of connections to push
//! targets (`shares`), and no more than `--max-per-address` in any case: who has few addresses does
//! not keep the others out. Who has many still can, silent newcomers until `--handshake-timeout`.
//! Connections to other servers are places too: those to push targets are counted by themselves,
//! out of a half of all; those to origins with an address that wants what they bring (`charge`),
//! while nobody else plays it.
//!
//! A part of the places is kept for RTMP, so that those who wait for a stream by HTTP do not keep
//! its publisher out. A newcomer is refused, unless a connection by HTTP that waits for a request
//! can give way to it (`places`): others may be about to play.

#![expect(
    clippy::disallowed_types,
    reason = "addresses are counted for the whole process"
)]

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::address::Key;
use super::shares::{Full, Shares, may_take};
use crate::limits;
use crate::limits::bucket::Bucket;

/// See the module text.
#[derive(Debug)]
pub struct Admission {
    connections_max: usize,
    newcomers_max: usize,
    /// How many of these may speak HTTP.
    http_newcomers_max: usize,
    per_address_max: Option<usize>,
    /// 127.0.0.1 and ::1 are limited like any other address.
    limits_loopback: bool,
    connections: AtomicUsize,
    newcomers: AtomicUsize,
    http_newcomers: AtomicUsize,
    /// Fetched streams that nobody plays any more.
    lingering: AtomicUsize,
    addresses: Mutex<Addresses>,
}

/// What a connection speaks that comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RTMP, or what is not known yet.
    Rtmp,
    /// HTTP.
    Http,
}

/// Why a connection may not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There are as many connections as there may be.
    Connections,
    /// Too many have neither published nor played yet.
    Newcomers,
    /// Those from its address have their share of these.
    AddressNewcomers,
    /// Its address has its share of the connections, or `--max-per-address`.
    Address,
    /// There is too little memory.
    Memory,
    /// The relay stops.
    Stopping,
}

impl Refusal {
    /// The name it is logged and counted under; stable.
    pub fn code(self) -> &'static str {
        match self {
            Self::Connections => "refused",
            Self::Newcomers | Self::AddressNewcomers => "refused_newcomers",
            Self::Address => "refused_address",
            Self::Memory => "refused_memory",
            Self::Stopping => "stopping",
        }
    }
}

#[derive(Debug)]
struct Addresses {
    entries: HashMap<Key, Entry>,
    /// With so many entries, those that say nothing any more are looked for.
    sweep_at: usize,
    /// Connections to targets that streams are handed on to, by the addresses of the publishers.
    pushes: Shares,
}

/// An entry lives while it has connections or its publishes are remembered.
#[derive(Debug, Default)]
struct Entry {
    connections: usize,
    /// Those among them that have neither published nor played yet.
    newcomers: usize,
    /// Connections to origins that are there for this address alone.
    pulls: usize,
    publishes: Bucket,
}

impl Admission {
    /// At most `connections_max` connections, and `per_address_max` from one address.
    pub fn new(connections_max: usize, per_address_max: Option<usize>) -> Self {
        let share = connections_max / limits::NEWCOMERS_SHARE;
        let newcomers_max = share.max(limits::NEWCOMERS_LEAST);
        Self {
            connections_max,
            newcomers_max,
            http_newcomers_max: newcomers_max - newcomers_max / limits::RTMP_NEWCOMERS_SHARE,
            per_address_max,
            limits_loopback: true,
            connections: AtomicUsize::new(0),
            newcomers: AtomicUsize::new(0),
            http_newcomers: AtomicUsize::new(0),
            lingering: AtomicUsize::new(0),
            addresses: Mutex::new(Addresses {
                entries: HashMap::new(),
                sweep_at: 0,
                pushes: Shares::new(connections_max / limits::PUSHES_SHARE),
            }),
        }
    }

    /// The same with or without limits for what comes from 127.0.0.1 and ::1.
    pub fn limiting_loopback(self, limits_loopback: bool) -> Self {
        Self {
            limits_loopback,
            ..self
        }
    }

    /// Counts a new connection from `address`, which is a newcomer, unless it is refused.
    ///
    /// # Errors
    /// It may not come in; nothing was counted.
    pub fn enter(&self, address: IpAddr, protocol: Protocol) -> Result<(), Refusal> {
        if self.connections.fetch_add(1, Ordering::Relaxed) >= self.connections_max {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Connections);
        }
        let entered = self.enter_newcomer(protocol).and_then(|()| {
            let counted = self.count_address(address, Some(protocol));
            counted.inspect_err(|_| self.newcomer_left(protocol))
        });
        entered.inspect_err(|_| {
            self.connections.fetch_sub(1, Ordering::Relaxed);
        })
    }

    fn enter_newcomer(&self, protocol: Protocol) -> Result<(), Refusal> {
        let may_enter = |count: &AtomicUsize, most| {
            let may_enter = count.fetch_add(1, Ordering::Relaxed) < most;
            if !may_enter {
                count.fetch_sub(1, Ordering::Relaxed);
            }
            may_enter
        };
        if !may_enter(&self.newcomers, self.newcomers_max) {
            return Err(Refusal::Newcomers);
        }
        let by_http = protocol == Protocol::Http;
        if by_http && !may_enter(&self.http_newcomers, self.http_newcomers_max) {
            self.newcomers.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Newcomers);
        }
        Ok(())
    }

    fn newcomer_left(&self, protocol: Protocol) {
        self.newcomers.fetch_sub(1, Ordering::Relaxed);
        if protocol == Protocol::Http {
            self.http_newcomers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Counts a connection of `address`, unless that has as many as it may have. The connection,
    /// and the newcomer that it is, are counted in all already.
    fn count_address(&self, address: IpAddr, newcomer: Option<Protocol>) -> Result<(), Refusal> {
        let Some(most) = self.limit_of(address) else {
            return Ok(());
        };
        let free = free_beside(self.connections_max, &self.connections);
        let mut addresses = self.lock();
        let entry = addresses.entries.entry(Key::of(address)).or_default();
        if entry.connections >= most || !may_take(entry.connections + entry.pulls, free) {
            return Err(Refusal::Address);
        }
        if newcomer.is_some_and(|its| !may_take(entry.newcomers, self.newcomers_free(its))) {
            return Err(Refusal::AddressNewcomers);
        }
        entry.connections += 1;
        entry.newcomers += usize::from(newcomer.is_some());
        Ok(())
    }

    /// How many newcomers that speak `protocol` there may be beside all but one.
    fn newcomers_free(&self, protocol: Protocol) -> usize {
        let all = free_beside(self.newcomers_max, &self.newcomers);
        match protocol {
            Protocol::Rtmp => all,
            Protocol::Http => all.min(free_beside(self.http_newcomers_max, &self.http_newcomers)),
        }
    }

    /// A connection that was counted under `from` turns out to be of `to` at `now`.
    ///
    /// # Errors
    /// There may be no more of that; it is counted as before.
    pub(super) fn rename(
        &self,
        from: IpAddr,
        to: IpAddr,
        is_newcomer: bool,
        now: Duration,
    ) -> Result<(), Refusal> {
        if Key::of(from) == Key::of(to) {
            return Ok(());
        }
        // Only clients of HTTP are named by a proxy later.
        self.count_address(to, is_newcomer.then_some(Protocol::Http))?;
        self.discount_address(from, is_newcomer, now);
        Ok(())
    }

    /// Whether both are counted as one.
    pub(super) fn is_same(&self, one: IpAddr, other: IpAddr) -> bool {
        Key::of(one) == Key::of(other)
    }

    /// Counts a connection to an origin for the first of `askers` that has room: addresses whose
    /// clients want to play what it brings. The address that it was counted for.
    ///
    /// # Errors
    /// There may be no more; nothing was counted.
    pub(super) fn enter_pull(&self, askers: &[Option<Key>]) -> Result<Option<Key>, Full> {
        self.enter_dialled()?;
        let free = free_beside(self.connections_max, &self.connections);
        let mut addresses = self.lock();
        let mut askers = askers.iter().copied();
        let Some(asker) = askers.find(|asker| addresses.may_pull(*asker, free)) else {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::Address);
        };
        if let Some(asker) = asker {
            addresses.entries.entry(asker).or_default().pulls += 1;
        }
        Ok(asker)
    }

    /// Whether a connection to an origin may count for `asker`.
    pub(super) fn has_room_for_pull(&self, asker: Option<Key>) -> bool {
        let open = self.connections.load(Ordering::Relaxed);
        let free = self.connections_max.saturating_sub(open);
        free > 0 && self.lock().may_pull(asker, free)
    }

    /// A connection to an origin that counted for `from` counts for `to` from now on.
    pub(super) fn charge_pull(&self, from: Option<Key>, to: Option<Key>, now: Duration) {
        let mut addresses = self.lock();
        if let Some(to) = to {
            addresses.entries.entry(to).or_default().pulls += 1;
        }
        if let Some(from) = from
            && let Some(entry) = addresses.entries.get_mut(&from)
        {
            entry.pulls = entry.pulls.saturating_sub(1);
            if entry.says_nothing(now) {
                addresses.entries.remove(&from);
            }
        }
    }

    /// One stream more, or one fewer, lingers: see lingering.rs.
    pub(super) fn count_lingering(&self, is_more: bool) {
        match is_more {
            true => self.lingering.fetch_add(1, Ordering::Relaxed),
            false => self.lingering.fetch_sub(1, Ordering::Relaxed),
        };
    }

    /// Whether some of the streams that linger are to go: there are too many, or too few places.
    pub(super) fn is_lingering_too_much(&self) -> bool {
        let lingering = self.lingering.load(Ordering::Relaxed);
        let open = self.connections.load(Ordering::Relaxed);
        let free = self.connections_max.saturating_sub(open);
        let most = (self.connections_max / limits::LINGERING_SHARE).max(1);
        lingering > most || lingering > 0 && free < self.connections_max / limits::PLACES_KEPT_SHARE
    }

    /// How many streams linger.
    #[cfg(test)]
    pub(super) fn lingering(&self) -> usize {
        self.lingering.load(Ordering::Relaxed)
    }

    /// A connection to an origin has ended, which was for `asker` alone.
    pub(super) fn leave_pull(&self, asker: Option<Key>, now: Duration) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
        self.charge_pull(asker, None, now);
    }

    fn enter_dialled(&self) -> Result<(), Full> {
        if self.connections.fetch_add(1, Ordering::Relaxed) >= self.connections_max {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::All);
        }
        Ok(())
    }

    /// Counts a connection to a target that a stream is handed on to, which a client of
    /// `publisher` publishes.
    ///
    /// # Errors
    /// There may be no more; nothing was counted.
    pub(super) fn enter_push(&self, publisher: Option<Key>) -> Result<(), Full> {
        self.lock().pushes.take(publisher)?;
        let entered = self.enter_dialled();
        entered.inspect_err(|_| self.lock().pushes.give_back(publisher))
    }

    /// Such a connection has ended.
    pub(super) fn leave_push(&self, publisher: Option<Key>) {
        self.lock().pushes.give_back(publisher);
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many connections to such targets there are.
    #[cfg(test)]
    pub(super) fn pushes(&self) -> usize {
        self.lock().pushes.taken()
    }

    /// Connections to other servers that are counted for addresses: to origins, and to targets.
    #[cfg(test)]
    pub(super) fn dialled(&self) -> (usize, usize) {
        let addresses = self.lock();
        let pulls = addresses.entries.values().map(|entry| entry.pulls).sum();
        (pulls, addresses.pushes.each().sum())
    }

    /// A connection from `address` is a newcomer no longer: it publishes or plays.
    pub fn settle_in(&self, address: IpAddr, protocol: Protocol) {
        self.newcomer_left(protocol);
        if self.limit_of(address).is_none() {
            return;
        }
        if let Some(entry) = self.lock().entries.get_mut(&Key::of(address)) {
            entry.newcomers = entry.newcomers.saturating_sub(1);
        }
    }

    /// A connection from `address` has ended at `now`, the time since the relay began. A newcomer
    /// says what it spoke.
    pub fn leave(&self, address: IpAddr, newcomer: Option<Protocol>, now: Duration) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(protocol) = newcomer {
            self.newcomer_left(protocol);
        }
        self.discount_address(address, newcomer.is_some(), now);
    }

    fn discount_address(&self, address: IpAddr, is_newcomer: bool, now: Duration) {
        if self.limit_of(address).is_none() {
            return;
        }
        let key = Key::of(address);
        let mut addresses = self.lock();
        if let Some(entry) = addresses.entries.get_mut(&key) {
            entry.connections = entry.connections.saturating_sub(1);
            entry.newcomers -= usize::from(is_newcomer && entry.newcomers > 0);
            if entry.says_nothing(now) {
                addresses.entries.remove(&key);
            }
        }
    }

    /// Whether a connection from `address` may publish at `now`, the time since the relay began.
    /// Always, while it has no limit: all encoders may come through one proxy.
    pub fn may_publish(&self, address: IpAddr, now: Duration) -> bool {
        if self.limit_of(address).is_none() {
            return true;
        }
        let mut addresses = self.lock();
        addresses.sweep(now);
        let entry = addresses.entries.entry(Key::of(address)).or_default();
        entry.publishes.take(limits::PUBLISHES, now)
    }

    /// Whom a connection from `address` is counted with; None when addresses are not counted.
    pub(super) fn key_of(&self, address: IpAddr) -> Option<Key> {
        self.limit_of(address).map(|_| Key::of(address))
    }

    /// How many connections may come from `address`. Peers of unix sockets have none, which is
    /// written as 0.0.0.0, and no limit; nor have the programs of this machine, unless asked for.
    fn limit_of(&self, address: IpAddr) -> Option<usize> {
        let is_own = !self.limits_loopback && is_own_loopback(address);
        self.per_address_max
            .filter(|_| !address.is_unspecified() && !is_own)
    }

    /// Open connections of the process.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Those that have neither published nor played yet.
    pub fn newcomers(&self) -> usize {
        self.newcomers.load(Ordering::Relaxed)
    }

    /// How many connections each known address has.
    #[cfg(test)]
    pub(super) fn per_address(&self) -> Vec<usize> {
        let addresses = self.lock();
        let entries = addresses.entries.values();
        entries.map(|entry| entry.connections).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Addresses> {
        // Every change is complete before anything could panic.
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many there may be beside all that are there but one.
fn free_beside(most: usize, count: &AtomicUsize) -> usize {
    let others = count.load(Ordering::Relaxed).saturating_sub(1);
    most.saturating_sub(others)
}

/// Whether this is the address that programs of this machine have when they choose none: 127.0.0.1
/// or ::1. Others of 127.0.0.0/8 are chosen, and may stand for many clients.
fn is_own_loopback(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address == Ipv4Addr::LOCALHOST,
        IpAddr::V6(address) => address == Ipv6Addr::LOCALHOST,
    }
}

impl Entry {
    fn says_nothing(&self, now: Duration) -> bool {
        self.connections == 0 && self.pulls == 0 && self.publishes.is_full(now)
    }
}

impl Addresses {
    /// Whether a connection to an origin may count for `asker` when so many are `free`.
    fn may_pull(&self, asker: Option<Key>, free: usize) -> bool {
        let entry = asker.and_then(|asker| self.entries.get(&asker));
        asker.is_none() || may_take(entry.map_or(0, |its| its.connections + its.pulls), free)
    }

    /// Forgets what is not needed once there is much of it. An address can be remembered for its
    /// publishes alone, and comes back no more to be forgotten.
    fn sweep(&mut self, now: Duration) {
        if self.entries.len() >= self.sweep_at.max(limits::ADDRESSES_KEPT) {
            self.entries.retain(|_, entry| !entry.says_nothing(now));
            self.sweep_at = 2 * self.entries.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;
    const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    const RTMP: Protocol = Protocol::Rtmp;
    const HTTP: Protocol = Protocol::Http;

    fn v4(last: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0A00_0000 + last).into()
    }

    #[test]
    fn as_many_may_come_as_there_is_room_for_and_one_more_when_one_has_left() {
        let admission = Admission::new(200, None);
        for _ in 0..200 {
            assert_eq!(admission.enter(v4(1), RTMP), Ok(()));
            admission.settle_in(v4(1), RTMP);
        }
        assert_eq!(admission.enter(v4(2), RTMP), Err(Refusal::Connections));
        admission.leave(v4(1), None, NOW);
        assert_eq!(admission.enter(v4(2), RTMP), Ok(()));
        assert_eq!((admission.connections(), admission.newcomers()), (200, 1));
    }

    #[test]
    fn a_quarter_may_be_newcomers_and_64_in_any_case() {
        for (connections, newcomers) in [(1_000, 250), (256, 64), (100, 64)] {
            let admission = Admission::new(connections, None);
            for _ in 0..newcomers {
                assert_eq!(admission.enter(v4(1), RTMP), Ok(()));
            }
            assert_eq!(admission.enter(v4(1), RTMP), Err(Refusal::Newcomers));
            // One of them begins to play; another goes.
            admission.settle_in(v4(1), RTMP);
            assert_eq!(admission.enter(v4(1), RTMP), Ok(()));
            assert_eq!(admission.enter(v4(1), RTMP), Err(Refusal::Newcomers));
            admission.leave(v4(1), Some(RTMP), NOW);
            assert_eq!(admission.enter(v4(1), RTMP), Ok(()));
        }
    }

    #[test]
    fn an_address_has_its_share_and_leaves_no_trace() {
        let admission = Admission::new(1_000, Some(2));
        let of = |text: &str| text.parse::<IpAddr>().unwrap();
        // The same one, the same one, another.
        let trios = [
            ("10.0.0.1", "::ffff:10.0.0.1", "10.0.0.2"),
            ("2001:db8::1", "2001:db8::2:3:4:5", "2001:db8:0:1::1"),
        ];
        for (one, same, other) in trios {
            assert_eq!(admission.enter(of(one), RTMP), Ok(()));
            assert_eq!(admission.enter(of(same), RTMP), Ok(()));
            assert_eq!(admission.enter(of(one), RTMP), Err(Refusal::Address));
            assert_eq!(admission.enter(of(other), RTMP), Ok(()));
            admission.leave(of(same), Some(RTMP), NOW);
            assert_eq!(admission.enter(of(one), RTMP), Ok(()));
            for address in [one, same, other] {
                admission.leave(of(address), Some(RTMP), NOW);
            }
        }
        assert_eq!((admission.connections(), admission.newcomers()), (0, 0));
        assert!(admission.per_address().is_empty());
    }

    #[test]
    fn an_address_has_its_share_of_the_newcomers() {
        for (connections, newcomers) in [(4_000, 200), (100, 13)] {
            let admission = Admission::new(connections, Some(1_000));
            for _ in 0..newcomers {
                assert_eq!(admission.enter(v4(1), RTMP), Ok(()));
            }
            assert_eq!(admission.enter(v4(1), RTMP), Err(Refusal::AddressNewcomers));
            assert_eq!(admission.enter(v4(2), RTMP), Ok(()));
            assert_eq!(admission.newcomers(), newcomers + 1);
            // The other goes; one of them begins to play; another goes, and one that plays.
            admission.leave(v4(2), Some(RTMP), NOW);
            admission.settle_in(v4(1), RTMP);
            assert_eq!(admission.enter(v4(1), RTMP), Ok(()));
            assert_eq!(admission.enter(v4(1), RTMP), Err(Refusal::AddressNewcomers));
            admission.leave(v4(1), Some(RTMP), NOW);
            assert_eq!(admission.enter(v4(1), RTMP), Ok(()));
            admission.leave(v4(1), None, NOW);
            assert_eq!(admission.enter(v4(1), RTMP), Err(Refusal::AddressNewcomers));
        }
    }

    #[test]
    fn regression_few_addresses_leave_places_for_others() {
        for (connections, protocol) in [(16, RTMP), (64, HTTP), (256, RTMP), (256, HTTP)] {
            for settles in [false, true] {
                let admission = Admission::new(connections, Some(1_000));
                for _ in 0..connections {
                    for address in (1..=5).map(v4) {
                        if admission.enter(address, protocol).is_ok() && settles {
                            admission.settle_in(address, protocol);
                        }
                    }
                }
                let open = admission.connections();
                assert!(open <= connections * 5 / 9 + 5, "{connections}: {open}");
                assert_eq!(admission.enter(v4(6), RTMP), Ok(()));
                assert_eq!(admission.enter(v4(7), HTTP), Ok(()));
            }
        }
    }

    #[test]
    fn regression_publishers_have_shares_of_the_pushes() {
        let admission = Admission::new(200, Some(1_000));
        let key = |last| admission.key_of(v4(last));
        for _ in 0..100 {
            for last in 1..=5 {
                let _: Result<(), Full> = admission.enter_push(key(last));
            }
        }
        assert!(admission.pushes() <= 60, "{}", admission.pushes());
        assert_eq!(admission.enter_push(key(1)), Err(Full::Address));
        assert_eq!(admission.enter_push(key(6)), Ok(()));
        let taken = admission.pushes();
        admission.leave_push(key(6));
        assert_eq!(admission.pushes(), taken - 1);
        while admission.enter_push(None).is_ok() {}
        assert_eq!((admission.pushes(), admission.connections()), (100, 100));
        assert_eq!(admission.enter_push(key(7)), Err(Full::All));
    }

    #[test]
    fn pulls_count_for_whom_they_are_there_alone() {
        let admission = Admission::new(100, Some(1_000));
        let key = admission.key_of(v4(1));
        assert_eq!(admission.enter(v4(1), RTMP), Ok(()));
        let entered = (0..100).filter(|_| admission.enter_pull(&[key]).is_ok());
        assert_eq!(entered.count(), 19);
        assert_eq!(admission.enter(v4(1), RTMP), Err(Refusal::Address));
        assert_eq!(admission.connections(), 20);
        // Somebody else plays one of them.
        admission.charge_pull(key, None, NOW);
        assert_eq!(admission.enter_pull(&[key]), Ok(key));
        assert_eq!(admission.enter_pull(&[key]), Err(Full::Address));
        for charged in std::iter::repeat_n(key, 19).chain([None]) {
            admission.leave_pull(charged, NOW);
        }
        admission.leave(v4(1), Some(RTMP), NOW);
        assert_eq!((admission.connections(), admission.dialled()), (0, (0, 0)));
        assert!(admission.per_address().is_empty());
    }

    #[test]
    fn regression_places_are_kept_for_rtmp() {
        let admission = Admission::new(256, None);
        for _ in 0..48 {
            assert_eq!(admission.enter(v4(1), HTTP), Ok(()));
        }
        assert_eq!(admission.enter(v4(2), HTTP), Err(Refusal::Newcomers));
        for _ in 0..16 {
            assert_eq!(admission.enter(v4(1), RTMP), Ok(()));
        }
        assert_eq!(admission.enter(v4(1), RTMP), Err(Refusal::Newcomers));
        // One of them plays, and one goes.
        admission.settle_in(v4(1), HTTP);
        assert_eq!(admission.enter(v4(2), HTTP), Ok(()));
        assert_eq!(admission.enter(v4(2), HTTP), Err(Refusal::Newcomers));
        admission.leave(v4(2), Some(HTTP), NOW);
        assert_eq!(admission.enter(v4(2), HTTP), Ok(()));
    }

    #[test]
    fn a_connection_counts_for_the_client_a_proxy_names() {
        let admission = Admission::new(1_000, Some(20));
        let name = |from, to| admission.rename(from, to, true, NOW);
        for _ in 0..30 {
            assert_eq!(admission.enter(NOBODY, HTTP), Ok(()));
        }
        for _ in 0..20 {
            assert_eq!(name(NOBODY, v4(1)), Ok(()));
        }
        assert_eq!(name(NOBODY, v4(1)), Err(Refusal::Address));
        assert_eq!(name(v4(1), v4(1)), Ok(()));
        // The next request on the same connection is another client's.
        assert_eq!(name(v4(1), v4(2)), Ok(()));
        assert_eq!(name(NOBODY, v4(1)), Ok(()));
        assert_eq!(name(v4(2), NOBODY), Ok(()));
        assert_eq!(admission.per_address(), [20]);
        assert_eq!(admission.connections(), 30);
    }

    #[test]
    fn peers_without_an_address_have_no_limit_for_one() {
        let admission = Admission::new(1_000, Some(1));
        for _ in 0..2 * limits::PUBLISHES.burst() {
            assert!(admission.may_publish(NOBODY, NOW));
        }
        // More than a quarter of the newcomers.
        for _ in 0..100 {
            assert_eq!(admission.enter(NOBODY, RTMP), Ok(()));
        }
        assert_eq!(admission.connections(), 100);
        admission.leave(NOBODY, Some(RTMP), NOW);
        assert_eq!(admission.connections(), 99);
        assert!(admission.per_address().is_empty());
    }

    #[test]
    fn regression_loopback_is_limited_only_when_asked_for() {
        let own = ["127.0.0.1", "::1", "::ffff:127.0.0.1"];
        for (limits_loopback, address, is_limited) in [
            (false, own[0], false),
            (false, own[1], false),
            (false, own[2], false),
            (false, "127.0.0.2", true),
            (true, own[0], true),
            (true, own[1], true),
        ] {
            let admission = Admission::new(1_000, Some(1)).limiting_loopback(limits_loopback);
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(admission.enter(address, Protocol::Rtmp), Ok(()));
            assert_eq!(
                admission.enter(address, Protocol::Rtmp).is_err(),
                is_limited,
                "{address}"
            );
        }
    }

    #[test]
    fn an_address_publishes_so_often_whatever_connections_it_uses() {
        let admission = Admission::new(1_000, Some(10));
        let burst = limits::PUBLISHES.burst();
        for _ in 0..burst {
            assert_eq!(admission.enter(v4(1), RTMP), Ok(()));
            assert!(admission.may_publish(v4(1), NOW));
            admission.leave(v4(1), Some(RTMP), NOW);
        }
        assert!(!admission.may_publish(v4(1), NOW));
        assert!(admission.may_publish(v4(2), NOW));
        assert!(admission.may_publish(v4(1), NOW + Duration::from_millis(100)));
        assert!(!admission.may_publish(v4(1), NOW + Duration::from_millis(100)));
    }

    #[test]
    fn addresses_that_published_long_ago_are_forgotten() {
        let admission = Admission::new(1_000, Some(5));
        for second in 0..10 * limits::ADDRESSES_KEPT as u64 {
            let address = v4(u32::try_from(second).unwrap());
            assert!(admission.may_publish(address, Duration::from_secs(second)));
        }
        assert!(admission.per_address().len() <= limits::ADDRESSES_KEPT);
    }

    #[test]
    fn without_a_limit_for_addresses_one_may_publish_at_any_rate() {
        let admission = Admission::new(1_000, None);
        for _ in 0..2 * limits::PUBLISHES.burst() {
            assert!(admission.may_publish(v4(1), NOW));
        }
        assert!(admission.per_address().is_empty());
    }
}
