//! One relay of several: its workers with what they share, its sockets, its letters.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::reactor;
use super::super::rng::Rng;
use super::super::seats::Seat;
use super::super::wire::{SimSocket, Wire};
use super::lines::Lines;
use crate::config::Config;
use crate::stats::Gauges;
use crate::worker::event_loop::listeners::ListenerProtocol;
use crate::worker::ids::WorkerId;
use crate::worker::mail::Mail;
use crate::worker::shared::Shared;

/// See the module text.
pub(super) struct Relay {
    pub(super) config: Config,
    pub(super) shared: Arc<Shared<SimSocket>>,
    network: Rc<RefCell<Lines>>,
    /// None while it is dead.
    pub(super) seats: Vec<Seat>,
    /// Letters that have not arrived, by sender and receiver.
    transit: Vec<VecDeque<Vec<Mail<SimSocket>>>>,
    /// What those that have died had counted.
    pub(super) past: Gauges,
}

/// How long each write takes.
pub(super) const WRITE_TIME: Duration = Duration::from_micros(100);

impl Relay {
    pub(super) fn new(
        config: Config,
        network: Rc<RefCell<Lines>>,
        rng: &mut Rng,
        now: Instant,
    ) -> Self {
        #[expect(
            clippy::arc_with_non_send_sync,
            reason = "all workers are on this thread"
        )]
        let shared = Arc::new(Shared::new(config.clone(), 0, 0));
        let mut relay = Self {
            config,
            shared,
            network,
            seats: Vec::new(),
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
        let seats = (0..workers).map(|at| {
            let (protocols, seed) = ([ListenerProtocol::Rtmp], (rng.next(), now));
            let network = self.network.clone();
            Seat::new(reactor::worker(at, &shared, network, &protocols, seed))
        });
        self.seats = seats.collect();
    }

    /// It dies: whoever is connected hears of it.
    pub(super) fn die(&mut self) {
        self.past = self.counted();
        self.seats.clear();
        self.transit.clear();
        for mailbox in &self.shared.mailboxes {
            mailbox.collect(&mut Vec::new());
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.seats.is_empty()
    }

    /// What its workers have counted in all its lives.
    pub(super) fn counted(&self) -> Gauges {
        let gauges = self.seats.iter().map(|seat| &seat.core().gauges);
        gauges.fold(self.past, |sum, one| sum.plus(one))
    }

    /// Somebody connects to one of its workers.
    pub(super) fn connect(
        &self,
        worker: usize,
        client: usize,
        peer: SocketAddr,
        wire: Rc<RefCell<Wire>>,
    ) {
        wire.borrow_mut().write_time = WRITE_TIME;
        let socket = SimSocket { client, wire };
        self.seats[worker].reactor().connect(0, socket, peer);
    }

    /// One turn of a worker.
    pub(super) fn turn(&mut self, worker: usize, now: Instant) {
        let count = self.seats.len();
        let seat = &mut self.seats[worker];
        if seat.is_over {
            return;
        }
        seat.turn(now);
        for (to, letters) in seat.posted() {
            self.transit[worker * count + to.index()].push_back(letters);
        }
    }

    /// A letter from outside the workers.
    pub(super) fn post(&mut self, worker: usize, mail: Mail<SimSocket>) {
        if self.shared.mailboxes[WorkerId::new(worker)].post(std::iter::once(mail)) {
            self.seats[worker].reactor_mut().is_woken = true;
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
                    self.seats[to].reactor_mut().is_woken = true;
                }
                moved = true;
            }
        }
        (moved, lost)
    }

    /// Whether no letter is under way, and nobody waits to be accepted.
    pub(super) fn is_quiet(&self) -> bool {
        let is_awaited = |seat: &Seat| seat.reactor().waiting() > 0 && !seat.is_over;
        self.transit.iter().all(VecDeque::is_empty)
            && !self.seats.iter().any(is_awaited)
            && !self.seats.iter().any(|seat| seat.reactor().is_woken)
    }
}
