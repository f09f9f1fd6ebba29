//! The world around the workers: clock, network, post, and people who come and go.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Trace;
use super::client::{Appetite, Client};
use super::mishaps::Tally;
use super::reactor::{self, Nowhere};
use super::rng::Rng;
use super::seats::Seat;
use super::settings;
use super::truth::{Line, Truth};
use super::wire::SimSocket;
use crate::limits;
use crate::rtmp::client::Action;
use crate::stats::Gauges;
use crate::stream::cursor::StartAt;
use crate::worker::event_loop::listeners::ListenerProtocol;
use crate::worker::fault;
use crate::worker::mail::Mail;
use crate::worker::shared::Shared;

/// Everything there is.
pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) now: Instant,
    pub(super) born: Instant,
    pub(super) shared: Arc<Shared<SimSocket>>,
    pub(super) workers: Vec<Seat>,
    pub(super) clients: Vec<Client>,
    pub(super) truth: Truth,
    /// Letters that were posted and have not arrived, oldest first, by sender and receiver.
    pub(super) transit: Vec<Vec<VecDeque<Vec<Mail<SimSocket>>>>>,
    pub(super) trace: Trace,
    step: usize,
    /// How many come in a thousand steps.
    crowd: usize,
    /// Letters out of a thousand that are lost, and steps in which a panic is prepared.
    pub(super) losses: usize,
    pub(super) panics: usize,
    /// Calls of the kernel out of a thousand that go wrong.
    kernel_faults: usize,
    /// Nothing is lost for the moment.
    pub(super) calm: bool,
    /// What has happened that no worker counts.
    pub(super) tally: Tally,
    pub(super) clients_max: usize,
}

/// Connections from here begin with a PROXY header.
pub(super) const PROXY: &str = "10.9.9.9:1000";

/// So slow that the automatic pace has something to do with a handful of players.
const WRITE_TIME: Duration = Duration::from_millis(1);

/// Steps in which letters are lost, and as many in which none is.
const LOSS_STEPS: usize = 300;

impl World {
    #[expect(
        clippy::disallowed_methods,
        reason = "any instant will do to count from"
    )]
    pub(super) fn new(seed: u64, trace: Trace) -> Self {
        fault::reset();
        let mut rng = Rng::new(seed);
        let workers = rng.range(1, 5);
        let config = settings::draw(&mut rng);
        let max_connections = rng.pick(&[1_000, 1_000, 1_000, 12]);
        trace.note(|| format!("{workers} workers, {max_connections} connections, {config:?}"));
        let names = rng.range(1, 4);
        let truth = Truth {
            publications: Vec::new(),
            lines: (0..names)
                .map(|name| Line {
                    name: format!("live/s{name}"),
                    order: Vec::new(),
                })
                .collect(),
            chunk_size: config.chunk_size as usize,
            lag_bytes: config.lag_max as u64,
            log_bytes: config.log_bytes as u64,
            window_ms: u32::try_from(config.window.as_millis()).unwrap(),
            pictures_gone_ms: limits::PICTURES_GONE.as_secs() * 1_000,
            pictures_wait_ms: limits::PICTURES_WAIT.as_secs() * 1_000,
            now: 0,
            starts_at_once: config.start_at() == StartAt::NewestSync,
            is_plain: false,
        };
        let now = Instant::now();
        #[expect(
            clippy::arc_with_non_send_sync,
            reason = "all workers are on this thread"
        )]
        let shared = Arc::new(Shared::new(config, workers, max_connections));
        let mail_bytes = rng.pick(&[limits::MAIL_BYTES_MAX, 1 << 20, 100_000, 5_000]);
        let kernel_faults = rng.pick(&[0, 0, 5, 30]);
        let seats = (0..workers).map(|at| {
            let around = Rc::new(RefCell::new(Nowhere));
            let protocols = [ListenerProtocol::Rtmp];
            let seed = (rng.next(), now);
            let mut worker = reactor::worker(at, &shared, around, &protocols, seed);
            worker.core_mut().outbox.set_bytes_max(mail_bytes);
            Seat::new(worker)
        });
        Self {
            workers: seats.collect(),
            now,
            born: now,
            shared,
            clients: Vec::new(),
            truth,
            transit: (0..workers)
                .map(|_| (0..workers).map(|_| VecDeque::new()).collect())
                .collect(),
            trace,
            step: 0,
            crowd: rng.pick(&[10, 30, 60, 120]),
            losses: rng.pick(&[0, 0, 0, 10, 50]),
            panics: rng.pick(&[0, 0, 2, 10]),
            kernel_faults,
            calm: false,
            tally: Tally::default(),
            clients_max: rng.range(3, 26),
            rng,
        }
    }

    /// A little of everything.
    pub(super) fn step(&mut self, step: usize) {
        self.step = step;
        self.set_calm(step / LOSS_STEPS % 2 == 1);
        let before = self.now;
        self.pass_time();
        if self.now > before + Duration::from_secs(5) {
            self.truth.leap();
        }
        self.tell_truth();
        self.note_kept_back();
        self.prepare_panic();
        if self.rng.chance(self.crowd) {
            self.come();
        }
        for client in 0..self.clients.len() {
            let Self {
                clients,
                rng,
                truth,
                ..
            } = self;
            if let Some(what) = clients[client].act(rng, truth) {
                self.note(|| format!("client {client} {what}"));
            }
            if self.rng.chance(700) {
                let count = self.some_bytes();
                self.clients[client].send(count);
            }
            if self.rng.chance(700) {
                let count = self.some_bytes();
                self.read(client, count);
            }
        }
        self.deliver(600);
        for worker in 0..self.workers.len() {
            let seat = &mut self.workers[worker];
            if seat.asleep > 0 {
                seat.asleep -= 1;
                continue;
            }
            if self.rng.chance(3) {
                self.workers[worker].asleep = self.rng.range(5, 60);
            }
            let has_reason = self.has_reason(worker);
            if self.workers[worker].is_over {
                continue;
            }
            if has_reason && self.rng.chance(800) || self.rng.chance(10) {
                self.turn(worker);
            }
        }
        self.check();
    }

    /// Whether nothing goes wrong for the moment.
    fn set_calm(&mut self, calm: bool) {
        self.calm = calm;
        for seat in &mut self.workers {
            let faults = &mut seat.reactor_mut().faults;
            faults.permille = if calm { 0 } else { self.kernel_faults };
        }
    }

    fn pass_time(&mut self) {
        let rng = &mut self.rng;
        let millis = match rng.below(100) {
            0..10 => {
                self.now += Duration::from_nanos(rng.next() % 5_000);
                return;
            }
            10..60 => rng.millis(0, 5),
            60..95 => rng.millis(5, 40),
            95..99 => rng.millis(40, 300),
            // The machine was stopped for a while.
            _ if rng.chance(20) => rng.millis(10_000, 100_000),
            _ if rng.chance(10) => {
                self.leap();
                return;
            }
            _ => rng.millis(500, 4_000),
        };
        self.now += Duration::from_millis(u64::from(millis));
    }

    fn some_bytes(&mut self) -> usize {
        let rng = &mut self.rng;
        match rng.below(10) {
            0 => rng.range(1, 20),
            1..4 => rng.range(1, 2_000),
            _ => 1 << 20,
        }
    }

    /// Somebody connects.
    fn come(&mut self) {
        let here = self.clients.iter().filter(|client| !client.gone).count();
        if here >= self.clients_max {
            return;
        }
        let id = self.clients.len();
        let stream = self.rng.below(self.truth.lines.len());
        let is_served = self.clients.iter().any(|client| {
            !client.gone
                && client
                    .publications
                    .iter()
                    .any(|published| published.stream == stream)
        });
        let action = match self.rng.below(100) {
            0..8 => Action::Publish,
            8..60 if !is_served => Action::Publish,
            _ => Action::Play,
        };
        let Self {
            rng, truth, trace, ..
        } = self;
        let mut client = Client::new(id, rng, truth, (action, stream), trace.clone());
        client.wire.borrow_mut().write_time = WRITE_TIME;
        if self.rng.chance(15) {
            let calls = u32::try_from(self.rng.below(120)).unwrap();
            let mut wire = client.wire.borrow_mut();
            match self.rng.chance(500) {
                true => wire.panic_in.read = Some(calls),
                false => wire.panic_in.write = Some(calls),
            }
        }
        let worker = self.rng.below(self.workers.len());
        self.note(|| format!("client {id} comes to worker {worker}: {action:?} s{stream}"));
        let socket = SimSocket {
            client: id,
            wire: client.wire.clone(),
        };
        let last = self.rng.pick(&[1, 1, 2, 3]);
        let client_at = SocketAddr::from(([10, 0, 0, last], 1_000));
        let peer = match self.rng.chance(150) {
            true => PROXY.parse().expect("an address"),
            false => client_at,
        };
        if peer != client_at {
            client.say_proxied(&mut self.rng, client_at);
        }
        let reactor = self.workers[worker].reactor();
        reactor.connect(0, socket, peer);
        self.clients.push(client);
    }

    fn tell_truth(&mut self) {
        let now = self.now.duration_since(self.born).as_millis();
        self.truth.now = u64::try_from(now).unwrap();
    }

    fn note_kept_back(&mut self) {
        for client in &mut self.clients {
            client.note_kept_back(&mut self.truth);
        }
    }

    pub(super) fn read(&mut self, client: usize, count: usize) -> bool {
        self.tell_truth();
        let Self { clients, truth, .. } = self;
        match clients[client].read(truth, count) {
            Ok(moved) => moved,
            Err(what) => self.fail(&format!("client {client}: {what}")),
        }
    }

    /// Nobody begins anything new until everything has come to rest; then every player has what
    /// it is owed.
    pub(super) fn rest(&mut self) {
        self.note(|| "rest".to_owned());
        self.set_calm(true);
        for client in &mut self.clients {
            client.appetite = Appetite::Fast;
        }
        // A publisher with much to send may take its time; that is no rest.
        let until = self.now + Duration::from_secs(20);
        let accepts_at = self.now + limits::ACCEPT_PAUSE;
        while self.flow() || !self.is_quiet() || self.now <= accepts_at {
            if self.now > until {
                return;
            }
            self.check();
            self.now += Duration::from_millis(5);
        }
        self.check();
        self.check_rest();
    }

    /// Whether nothing is under way and nobody has anything to do but wait.
    fn is_quiet(&self) -> bool {
        let is_busy = |client: &Client| {
            let wire = client.wire.borrow();
            let here = !client.gone && !client.vanished;
            wire.event
                || here && !(client.has_sent() && wire.to_client.is_empty())
                || wire.watch.is_some() && !wire.to_relay.is_empty()
        };
        let is_dirty = |seat: &Seat| {
            seat.core()
                .streams
                .iter()
                .any(|(_, stream)| stream.is_dirty())
        };
        !self.clients.iter().any(is_busy)
            && self.in_transit() == (0, 0)
            && !self.workers.iter().any(is_dirty)
            && !self.workers.iter().any(|seat| seat.unwoken)
            && !self.workers.iter().any(|seat| seat.has_work(self.now))
    }

    /// Moves everything that can move; whether anything did.
    fn flow(&mut self) -> bool {
        self.tell_truth();
        self.note_kept_back();
        let mut moved = false;
        for client in 0..self.clients.len() {
            moved |= self.clients[client].send(usize::MAX);
            moved |= self.read(client, 1 << 18);
        }
        moved |= self.deliver(1_000);
        for worker in 0..self.workers.len() {
            for _ in 0..100 {
                if !self.has_reason(worker) {
                    break;
                }
                moved |= self.workers[worker].has_work(self.now);
                self.turn(worker);
            }
        }
        moved
    }

    /// Everybody leaves, or the relay stops; time passes; nothing is left.
    pub(super) fn end(&mut self) {
        self.rest();
        if self.rng.chance(300) {
            self.note(|| "the relay stops".to_owned());
            for worker in 0..self.workers.len() {
                self.transit[worker][worker].push_back(vec![Mail::Drain]);
            }
        } else {
            self.note(|| "everybody leaves".to_owned());
            for client in &mut self.clients {
                client.quit(&mut self.truth);
            }
        }
        let until = self.now + Duration::from_secs(120);
        while self.now < until {
            while self.flow() {}
            self.check();
            let open = self.workers.iter().filter(|seat| !seat.is_over);
            let sleeps = open.filter_map(|seat| seat.timeout(self.now));
            let next = sleeps.min().map_or(until, |sleep| self.now + sleep);
            self.now = next.clamp(self.now + Duration::from_millis(1), until);
        }
        self.check_end();
    }

    /// What all workers have counted, and what none has.
    pub(super) fn counted(&self) -> (Gauges, Tally) {
        let gauges = self.workers.iter().map(|seat| &seat.core().gauges);
        let gauges = gauges.fold(Gauges::default(), |sum, one| sum.plus(one));
        let mut tally = self.tally;
        for seat in &self.workers {
            tally.kernel = tally.kernel.plus(&seat.reactor().faults.counts);
        }
        (gauges, tally)
    }

    pub(super) fn note(&self, line: impl FnOnce() -> String) {
        self.trace.note(|| {
            let at = self.now.duration_since(self.born).as_millis();
            format!("{} @{at} {}", self.step, line())
        });
    }

    #[track_caller]
    pub(super) fn fail(&self, what: &str) -> ! {
        let at = self.now.duration_since(self.born).as_millis();
        panic!("step {} at {at} ms: {what}", self.step);
    }

    pub(super) fn connections(&self) -> usize {
        self.shared.admission.connections()
    }
}
