//! TLS handshakes that wait for their turn. One costs a signature (0.15 ms with ECDSA, 0.7 ms with
//! RSA 2048, 4.3 ms with RSA 4096), so that a burst of them would hold up every player of the
//! worker: a turn of the event loop has [`limits::HANDSHAKE_TURN`] for them, and the rest waits for
//! the next one.
//!
//! Addresses take turns, and each has [`limits::HANDSHAKE_STEPS`]: what one sends holds up its own
//! connections alone. Nobody is closed for having to wait.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::contain::Step;
use super::core::Core;
use super::ids::ConnId;
use super::shedding::{Share, share_of};
use crate::limits;
use crate::limits::bucket::Bucket;
use crate::net::transport::Transport;

/// Connections with something to read that are within their handshakes.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    by_share: HashMap<Share, Waiting>,
    /// Those of them that have any waiting, in the order of their turns.
    order: VecDeque<Share>,
    /// With so many addresses, those that say nothing any more are looked for.
    sweep_at: usize,
    /// None may go on before, because all have gone on as often as they may.
    pub(super) due: Option<Instant>,
}

#[derive(Debug, Default)]
struct Waiting {
    conns: VecDeque<ConnId>,
    steps: Bucket,
}

impl Handshakes {
    fn push(&mut self, share: Share, conn: ConnId) {
        let waiting = self.by_share.entry(share).or_default();
        if waiting.conns.is_empty() {
            self.order.push_back(share);
        }
        waiting.conns.push_back(conn);
        self.due = None;
    }

    /// The next that may go on at `now`; any if rates do not hold.
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

    /// Whether some may go on at once.
    pub(super) fn are_due(&self) -> bool {
        !self.order.is_empty() && self.due.is_none()
    }
}

impl<S: Transport> Core<S> {
    /// Puts a connection that is within its handshake in line; false when it is not, and may be
    /// read at once.
    pub(super) fn queue_handshake(&mut self, key: ConnId) -> bool {
        let Some(conn) = self.conns.get(key) else {
            return false;
        };
        if conn.closing.is_some() || !conn.socket.is_handshaking() {
            return false;
        }
        self.handshakes.push(share_of(conn), key);
        true
    }

    /// Goes on with one handshake; false when none may go on now.
    pub(super) fn shake_hands(&mut self) -> bool {
        if self.handshakes.due.is_some_and(|due| due > self.now) {
            return false;
        }
        let has_rates = self.shared.config.max_per_address.is_some();
        let Some(key) = self.handshakes.next(has_rates, self.uptime()) else {
            let waits = !self.handshakes.order.is_empty();
            self.handshakes.due = waits.then(|| self.now + limits::HANDSHAKE_PAUSE);
            return false;
        };
        if self.conns.contains(key) {
            self.contained(key, Step::Ingress, |core| core.read_conn(key));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::admission::Key;

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
