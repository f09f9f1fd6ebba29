//! What the operator has banned: streams and addresses. Shared by all workers; who comes, publishes
//! or plays is compared with it, and nothing on the data path is.

#![expect(
    clippy::disallowed_types,
    reason = "bans are of the whole process, and looked up for a new connection or role"
)]

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use log::info;
use serde::Serialize;

use crate::config::listen::Network;
use crate::limits;

/// What may be banned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BanTarget {
    /// Nobody publishes this stream, and it is not fetched.
    Stream(Arc<str>),
    /// Nobody connects from here.
    Network(Network),
}

impl fmt::Display for BanTarget {
    /// As the log has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(name) => write!(f, "stream={name:?}"),
            Self::Network(network) => write!(f, "address={network}"),
        }
    }
}

/// A ban that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBan {
    /// Who or what.
    pub target: BanTarget,
    /// For how long; None until it is lifted.
    pub time: Option<Duration>,
    /// What those are told it is for; may be empty.
    pub reason: String,
}

/// A ban in force, as the JSON API shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BanReport {
    /// The stream, if it is for one.
    pub stream: Option<Arc<str>>,
    /// The address or network, if it is for one.
    pub address: Option<String>,
    /// For how long it will be in force; None until it is lifted.
    pub seconds_left: Option<u64>,
    /// What those are told it is for; may be empty.
    pub reason: String,
}

/// See the module text. Times are those since the relay began.
#[derive(Debug, Default)]
pub struct Bans {
    list: Mutex<Vec<Ban>>,
    /// How many there are, so that without any nobody takes the lock.
    count: AtomicUsize,
}

#[derive(Debug)]
struct Ban {
    target: BanTarget,
    until: Option<Duration>,
    reason: String,
}

impl Ban {
    fn is_over(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// In seconds, rounded up: who comes back after that many is let in.
    fn seconds_left(&self, now: Duration) -> Option<u64> {
        let left = self.until?.saturating_sub(now);
        Some(left.as_secs() + u64::from(left.subsec_nanos() > 0))
    }

    /// What those it is for are told.
    fn words(&self, now: Duration) -> String {
        let mut words = match self.seconds_left(now) {
            Some(seconds) => format!("banned for {seconds} s"),
            None => "banned".to_owned(),
        };
        if !self.reason.is_empty() {
            words.push_str(": ");
            words.push_str(&self.reason);
        }
        words
    }
}

impl Bans {
    /// Adds a ban, or replaces the one of the same target, and logs it; false when there are
    /// [`limits::BANS_MAX`].
    pub fn add(&self, ban: &NewBan, now: Duration) -> bool {
        let is_added = self.put(ban, now);
        if is_added {
            let time = ban.time.map(|time| format!("{} s", time.as_secs()));
            let time = time.unwrap_or_else(|| "until lifted".to_owned());
            let (target, reason) = (&ban.target, &ban.reason);
            info!("banned {target} for=\"{time}\" reason={reason:?}");
        }
        is_added
    }

    fn put(&self, ban: &NewBan, now: Duration) -> bool {
        let mut list = self.lock();
        list.retain(|old| !old.is_over(now) && old.target != ban.target);
        let has_room = list.len() < limits::BANS_MAX;
        if has_room {
            let time = ban.time.map(|time| time.min(limits::BAN_TIME_MAX));
            list.push(Ban {
                target: ban.target.clone(),
                until: time.map(|time| now + time),
                reason: ban.reason.clone(),
            });
        }
        self.count.store(list.len(), Ordering::Release);
        has_room
    }

    /// Ends a ban early, and logs it; false when there is none.
    pub fn lift(&self, target: &BanTarget, now: Duration) -> bool {
        let mut list = self.lock();
        list.retain(|ban| !ban.is_over(now));
        let before = list.len();
        list.retain(|ban| ban.target != *target);
        self.count.store(list.len(), Ordering::Release);
        let is_lifted = list.len() < before;
        if is_lifted {
            info!("ban lifted {target}");
        }
        is_lifted
    }

    /// The bans in force, the oldest first.
    pub fn list(&self, now: Duration) -> Vec<BanReport> {
        let list = self.lock();
        let bans = list.iter().filter(|ban| !ban.is_over(now));
        let report = |ban: &Ban| {
            let (stream, address) = match &ban.target {
                BanTarget::Stream(name) => (Some(name.clone()), None),
                BanTarget::Network(network) => (None, Some(network.to_string())),
            };
            BanReport {
                stream,
                address,
                seconds_left: ban.seconds_left(now),
                reason: ban.reason.clone(),
            }
        };
        bans.map(report).collect()
    }

    /// Why this stream may not be published, if it is banned.
    pub fn of_stream(&self, name: &str, now: Duration) -> Option<String> {
        self.find(now, |target| match target {
            BanTarget::Stream(banned) => **banned == *name,
            BanTarget::Network(_) => false,
        })
    }

    /// Why nobody may come from this address, if it is banned. Peers at unix sockets have none,
    /// which is written as 0.0.0.0.
    pub fn of_address(&self, address: IpAddr, now: Duration) -> Option<String> {
        self.find(now, |target| is_from(target, address))
    }

    fn find(&self, now: Duration, is_it: impl Fn(&BanTarget) -> bool) -> Option<String> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let list = self.lock();
        let mut bans = list.iter().filter(|ban| !ban.is_over(now));
        let ban = bans.find(|ban| is_it(&ban.target))?;
        Some(ban.words(now))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Ban>> {
        // Every change is complete before anything could panic.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether `address` is one that the ban is for.
pub(super) fn is_from(target: &BanTarget, address: IpAddr) -> bool {
    match target {
        BanTarget::Network(network) => !address.is_unspecified() && network.holds(address),
        BanTarget::Stream(_) => false,
    }
}

/// A ban of a stream for so long.
pub(super) fn of_name(name: &Arc<str>, time: Duration) -> NewBan {
    NewBan {
        target: BanTarget::Stream(name.clone()),
        time: Some(time),
        reason: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn network(text: &str) -> BanTarget {
        BanTarget::Network(Network::parse(text).unwrap())
    }

    fn ban(target: BanTarget, seconds: Option<u64>, reason: &str) -> NewBan {
        NewBan {
            target,
            time: seconds.map(at),
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn a_ban_holds_until_its_time_or_until_it_is_lifted() {
        let bans = Bans::default();
        let cam = BanTarget::Stream("live/cam".into());
        assert!(bans.add(&ban(cam.clone(), Some(60), ""), START));
        let why = |seconds| bans.of_stream("live/cam", at(seconds));
        assert_eq!(why(10).as_deref(), Some("banned for 60 s"));
        assert_eq!(why(69).as_deref(), Some("banned for 1 s"));
        assert_eq!(why(70), None);
        assert_eq!(bans.of_stream("live/other", START), None);
        assert!(!bans.lift(&cam, at(70)), "it is over");
        assert!(bans.add(&ban(cam.clone(), None, "spam"), at(80)));
        assert_eq!(why(1_000_000).as_deref(), Some("banned: spam"));
        assert!(bans.lift(&cam, at(90)));
        assert_eq!((why(90), bans.list(at(90)).len()), (None, 0));
    }

    #[test]
    fn addresses_and_networks_are_banned() {
        let bans = Bans::default();
        for target in ["10.0.0.0/8", "192.0.2.7", "2001:db8::/64"] {
            assert!(bans.add(&ban(network(target), None, ""), START));
        }
        let is_banned = |text: &str| bans.of_address(text.parse().unwrap(), START).is_some();
        for banned in ["10.1.2.3", "::ffff:10.1.2.3", "192.0.2.7", "2001:db8::9"] {
            assert!(is_banned(banned), "{banned}");
        }
        for free in ["11.0.0.1", "192.0.2.8", "2001:db8:0:1::9"] {
            assert!(!is_banned(free), "{free}");
        }
        bans.add(&ban(network("0.0.0.0/0"), None, ""), START);
        assert!(is_banned("11.0.0.1") && !is_banned("0.0.0.0"));
        assert_eq!(bans.list(START)[1].address.as_deref(), Some("192.0.2.7"));
    }

    #[test]
    fn there_are_only_so_many_bans() {
        let bans = Bans::default();
        let name = |number| BanTarget::Stream(format!("live/{number}").into());
        for number in 0..limits::BANS_MAX {
            assert!(bans.add(&ban(name(number), Some(50), ""), START));
        }
        assert!(!bans.add(&ban(name(5_000), None, ""), START));
        assert!(
            bans.add(&ban(name(0), Some(90), ""), START),
            "one that is there"
        );
        assert!(bans.add(&ban(name(5_000), None, ""), at(60)));
        assert_eq!(bans.list(at(60)).len(), 2);
    }
}
