//! One turn of a worker, in the only order there is: the event loop calls [`Core::turn`], and so do
//! tests of a worker without one.
//!
//! ```text
//!   letters, readiness, accept -> turn -> dial, register, post
//!
//!   turn: ingress -> handshakes -> feed -> egress -> woken -> deadlines -> pace -> figures
//! ```
//!
//! Before it the event loop says what has come, after it what the worker wants is done.

use std::time::Instant;

use super::core::Core;
use crate::limits;
use crate::net::transport::Transport;

/// The time, read at the beginning of a turn and around its parts, to learn what they cost.
pub trait Clock {
    /// The time now. Never before what was given last.
    fn now(&mut self) -> Instant;
}

/// A clock that stands still.
impl Clock for Instant {
    fn now(&mut self) -> Instant {
        *self
    }
}

impl<S: Transport> Core<S> {
    /// Serves everybody who is ready or due once; when that was done. Letters and readiness have
    /// been received before; afterwards calls are to be placed, new publishers to be moved, and
    /// letters to be posted.
    pub fn turn(&mut self, clock: &mut impl Clock) -> Instant {
        let begun = clock.now();
        self.set_now(begun);
        self.ingress();
        self.shake_hands_in_time(clock);
        self.feed();
        let read = clock.now();
        self.egress();
        let written = clock.now();
        self.serve_woken();
        let (reading, writing) = (read - begun, written - read);
        let work = self.pacer.work();
        work.ingress += reading;
        work.egress += writing;
        self.count_turn(reading, writing);
        self.expire();
        let (publishers, players) = self.census();
        self.pacer.review(written, players, publishers);
        if self.stats.take(begun) {
            self.publish_stats();
        }
        written
    }

    /// Goes on with handshakes, for as long as a turn has for them.
    fn shake_hands_in_time(&mut self, clock: &mut impl Clock) {
        if !self.handshakes.are_waiting() {
            return;
        }
        let until = clock.now() + limits::HANDSHAKE_TURN;
        while self.shake_hands() && clock.now() < until {}
    }

    /// When a turn is needed at the latest, for the figures alone.
    pub fn stats_due(&self) -> Instant {
        self.stats.due()
    }

    /// Whether a turn is needed at once: something was left over.
    pub fn has_leftovers(&self) -> bool {
        self.conns.has_work() || self.handshakes.are_due()
    }

    /// When the next turn is needed if nothing happens.
    pub fn next_deadline(&self) -> Option<Instant> {
        let round = self.streams.has_dirty().then(|| self.pacer.due(self.now));
        let handshakes = self.handshakes.due();
        let times = [self.timers.next(), round, self.draining.due(), handshakes];
        times.into_iter().flatten().min()
    }
}
