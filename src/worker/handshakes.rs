//! TLS handshakes that wait for their turn. One costs a signature (0.15 ms with ECDSA, 0.7 ms with
//! RSA 2048, 4.3 ms with RSA 4096), so that a burst of them would hold up every player of the
//! worker: a turn of the event loop has [`limits::HANDSHAKE_TURN`] for them, and the rest waits for
//! the next one.
//!
//! Addresses take turns, and each has [`limits::HANDSHAKE_STEPS`]: what one sends holds up its own
//! connections alone. Nobody is closed for having to wait.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::address::Key;
use super::conn::Conn;
use super::ids::ConnId;
use crate::limits;
use crate::limits::bucket::Bucket;

/// Whom a connection counts for: its address, or itself where the address says nothing about who
/// it is.
pub(super) type Share = (Key, u64);

/// Connections with something to read that are within their handshakes.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    by_share: HashMap<Share, Waiting>,
    /// Those of them that have any waiting, in the order of their turns.
    order: VecDeque<Share>,
    /// With so many addresses, those that say nothing any more are looked for.
    sweep_at: usize,
    /// None may go on before, because all have gone on as often as they may.
    due: Option<Instant>,
}

#[derive(Debug, Default)]
struct Waiting {
    conns: VecDeque<ConnId>,
    steps: Bucket,
}

impl Handshakes {
    /// The connection has something to read.
    pub(super) fn queue<S>(&mut self, key: ConnId, conn: &Conn<S>) {
        self.push(share_of(conn), key);
    }

    fn push(&mut self, share: Share, conn: ConnId) {
        let waiting = self.by_share.entry(share).or_default();
        if waiting.conns.is_empty() {
            self.order.push_back(share);
        }
        waiting.conns.push_back(conn);
        self.due = None;
    }

    /// The next that may go on; any if rates do not hold. `now` and `uptime` are the same time.
    pub(super) fn take(
        &mut self,
        has_rates: bool,
        (now, uptime): (Instant, Duration),
    ) -> Option<ConnId> {
        if self.due.is_some_and(|due| due > now) {
            return None;
        }
        let next = self.next(has_rates, uptime);
        if next.is_none() {
            let waits = !self.order.is_empty();
            self.due = waits.then(|| now + limits::HANDSHAKE_PAUSE);
        }
        next
    }

    fn next(&mut self, has_rates: bool, now: Duration) -> Option<ConnId> {
        for _ in 0..self.order.len() {
            let share = self.order.pop_front()?;
            let waiting = self.by_share.get_mut(&share)?;
            if has_rates && !waiting.steps.take(limits::HANDSHAKE_STEPS, now) {
                self.order.push_back(share);
                continue;
            }
            let next = waiting.conns.pop_front();
            if !waiting.conns.is_empty() {
                self.order.push_back(share);
            }
            return next;
        }
        if self.by_share.len() >= self.sweep_at.max(limits::ADDRESSES_KEPT) {
            let says_nothing = |its: &Waiting| its.conns.is_empty() && its.steps.is_full(now);
            self.by_share.retain(|_, its| !says_nothing(its));
            self.sweep_at = 2 * self.by_share.len();
        }
        None
    }

    /// When some may go on that may not now.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether there are any.
    pub(super) fn are_waiting(&self) -> bool {
        !self.order.is_empty()
    }

    /// Whether some may go on at once.
    pub(super) fn are_due(&self) -> bool {
        !self.order.is_empty() && self.due.is_none()
    }
}

/// Whom a connection counts for.
pub(super) fn share_of<S>(conn: &Conn<S>) -> Share {
    let address = conn.peer().ip();
    let is_alone = address.is_unspecified() || conn.is_outbound();
    (Key::of(address), if is_alone { conn.id() } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::address::Key;

    fn conn(slot: usize) -> ConnId {
        ConnId::new(u32::try_from(slot).unwrap(), 0)
    }

    fn share(last: u8) -> Share {
        (Key::of([10, 0, 0, last].into()), 0)
    }

    #[test]
    fn addresses_take_turns_and_wait_beyond_their_rate() {
        let mut waiting = Handshakes::default();
        for number in 0..1_000 {
            waiting.push(share(1), conn(number));
        }
        waiting.push(share(2), conn(5_000));
        waiting.push(share(2), conn(5_001));
        let now = Duration::ZERO;
        let order: Vec<ConnId> = (0..4).map(|_| waiting.next(true, now).unwrap()).collect();
        assert_eq!(order, [0, 5_000, 1, 5_001].map(conn));
        let rest = std::iter::from_fn(|| waiting.next(true, now)).count();
        let burst = usize::try_from(limits::HANDSHAKE_STEPS.burst()).unwrap();
        assert_eq!(rest, burst - 2);
        // The others go on later, and another address at once.
        waiting.push(share(3), conn(6_000));
        assert_eq!(waiting.next(true, now), Some(conn(6_000)));
        assert_eq!(waiting.next(true, now), None);
        let later = Duration::from_secs(1);
        assert_eq!(waiting.next(true, later), Some(conn(burst)));
        let all = std::iter::from_fn(|| waiting.next(false, later)).count();
        assert_eq!(all, 1_000 - burst - 1);
        assert!(!waiting.are_due());
    }
}
