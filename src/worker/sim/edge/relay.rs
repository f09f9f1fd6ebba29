//! One relay of several: its workers with what they share, its sockets, its letters.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::rng::Rng;
use super::super::seats::Seat;
use super::super::wire::{SimClock, SimSocket, Wire};
use crate::config::Config;
use crate::stats::Gauges;
use crate::worker::core::Core;
use crate::worker::ids::WorkerId;
use crate::worker::mail::Mail;
use crate::worker::shared::Shared;

/// See the module text.
pub(super) struct Relay {
    pub(super) config: Config,
    pub(super) shared: Arc<Shared<SimSocket>>,
    /// None while it is dead.
    pub(super) seats: Vec<Seat>,
    /// Its ends of connections.
    wires: Vec<Rc<RefCell<Wire>>>,
    /// Letters that have not arrived, by sender and receiver.
    transit: Vec<VecDeque<Vec<Mail<SimSocket>>>>,
    /// What those that have died had counted.
    pub(super) past: Gauges,
}

impl Relay {
    pub(super) fn new(config: Config, rng: &mut Rng, now: Instant) -> Self {
        #[expect(
            clippy::arc_with_non_send_sync,
            reason = "all workers are on this thread"
        )]
        let shared = Arc::new(Shared::new(config.clone(), 0, 0));
        let mut relay = Self {
            config,
            shared,
            seats: Vec::new(),
            wires: Vec::new(),
            transit: Vec::new(),
            past: Gauges::default(),
        };
        relay.start(rng, now);
        relay
    }

    /// It starts, with nothing that it had before.
    pub(super) fn start(&mut self, rng: &mut Rng, now: Instant) {
        let workers = rng.range(1, 4);
        let mut shared = Shared::new(self.config.clone(), workers, 10_000);
        shared.relay_id = rng.next();
        #[expect(
            clippy::arc_with_non_send_sync,
            reason = "all workers are on this thread"
        )]
        let shared = Arc::new(shared);
        self.shared = shared.clone();
        self.transit = (0..workers * workers).map(|_| VecDeque::new()).collect();
        let cores =
            (0..workers).map(|at| Core::new(WorkerId::new(at), shared.clone(), rng.next(), now));
        self.seats = cores.map(|core| Seat::new(core, now)).collect();
    }

    /// It dies: whoever is connected hears of it.
    pub(super) fn die(&mut self) {
        self.past = self.counted();
        self.seats.clear();
        self.transit.clear();
        for mailbox in &self.shared.mailboxes {
            mailbox.collect(&mut Vec::new());
        }
        self.wires.clear();
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.seats.is_empty()
    }

    /// What its workers have counted in all its lives.
    pub(super) fn counted(&self) -> Gauges {
        let gauges = self.seats.iter().map(|seat| &seat.core.gauges);
        gauges.fold(self.past, |sum, one| sum.plus(one))
    }

    /// It watches a socket of its own from now on.
    pub(super) fn watch(&mut self, wire: &Rc<RefCell<Wire>>) {
        self.wires.retain(|wire| !wire.borrow().relay_gone);
        wire.borrow_mut().write_time = Duration::from_micros(100);
        self.wires.push(wire.clone());
    }

    /// Whether poll would return on this worker.
    pub(super) fn has_reason(&self, worker: usize, now: Instant) -> bool {
        let seat = &self.seats[worker];
        let has_event = |wire: &Rc<RefCell<Wire>>| {
            let wire = wire.borrow();
            wire.event && wire.seat.is_some_and(|(at, _)| at == worker)
        };
        seat.mail
            || seat.core.stats_due() <= now
            || seat.core.has_leftovers()
            || seat.core.next_deadline().is_some_and(|at| at <= now)
            || self.wires.iter().any(has_event)
    }

    /// The first half of a turn, up to what is to be found and connected to.
    pub(super) fn begin_turn(&mut self, worker: usize, now: Instant) {
        let mut letters = Vec::new();
        let seat = &mut self.seats[worker];
        seat.mail = false;
        let core = &mut seat.core;
        core.set_now(now);
        self.shared.mailboxes[WorkerId::new(worker)].collect(&mut letters);
        for mail in letters {
            match mail {
                Mail::Adopt(conn) => {
                    let key = core.adopt(*conn);
                    let socket = core.socket_mut(key).expect("it was just adopted");
                    socket.wire.borrow_mut().register(worker, key);
                    core.resume_publish(key);
                }
                Mail::Drain => core.drain(),
                other => core.receive(other),
            }
        }
        for wire in &self.wires {
            let mut wire = wire.borrow_mut();
            let Some((at, key)) = wire.seat else { continue };
            if at == worker
                && let Some(ready) = wire.harvest()
            {
                core.on_ready(key, ready.readable, ready.writable);
                if ready.hangup {
                    core.on_hangup(key);
                }
            }
        }
        let wires = self.wires.clone();
        core.turn(&mut SimClock::new(now, wires));
    }

    /// The rest of a turn.
    pub(super) fn end_turn(&mut self, worker: usize) {
        let count = self.seats.len();
        let seat = &mut self.seats[worker];
        let core = &mut seat.core;
        core.take_publishers();
        let mut batches: Vec<Vec<Mail<SimSocket>>> = (0..count).map(|_| Vec::new()).collect();
        for (to, mut mail) in core.outbound().drain(..) {
            if let Mail::Adopt(conn) = &mut mail {
                let mut wire = conn.socket_mut().wire.borrow_mut();
                wire.seat = None;
                wire.event = false;
            }
            batches[to.index()].push(mail);
        }
        for (to, batch) in batches.into_iter().enumerate() {
            if !batch.is_empty() {
                self.transit[worker * count + to].push_back(batch);
            }
        }
    }

    /// A letter from outside the workers.
    pub(super) fn post(&mut self, worker: usize, mail: Mail<SimSocket>) {
        if self.shared.mailboxes[WorkerId::new(worker)].post(std::iter::once(mail)) {
            self.seats[worker].mail = true;
        }
    }

    /// Some letters arrive; whether any did. Of those about streams so many out of a thousand do
    /// not, see mishaps.rs of the other simulation; how many those were.
    pub(super) fn deliver(&mut self, rng: &mut Rng, permille: usize, losses: usize) -> (bool, u64) {
        let count = self.seats.len();
        let mut moved = false;
        let mut lost = 0;
        for lane in 0..self.transit.len() {
            while !self.transit[lane].is_empty() && rng.chance(permille) {
                let mut letters = self.transit[lane].pop_front().unwrap_or_default();
                if losses > 0 {
                    letters.retain(|mail| {
                        let is_lost = mail.stream().is_some() && rng.chance(losses);
                        lost += u64::from(is_lost);
                        !is_lost
                    });
                }
                let to = lane % count;
                if self.shared.mailboxes[WorkerId::new(to)].post(letters.into_iter()) {
                    self.seats[to].mail = true;
                }
                moved = true;
            }
        }
        (moved, lost)
    }

    /// Whether no letter is under way.
    pub(super) fn is_quiet(&self) -> bool {
        self.transit.iter().all(VecDeque::is_empty) && self.seats.iter().all(|seat| !seat.mail)
    }
}
