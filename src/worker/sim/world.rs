//! The world around the workers: clock, network, post, and people who come and go.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Trace;
use super::client::{Appetite, Client};
use super::mishaps::Tally;
use super::rng::Rng;
use super::truth::{Line, Truth};
use super::wire::SimSocket;
use crate::config::{Config, Pace, Switch, Takeover};
use crate::rtmp::client::Action;
use crate::stats::Gauges;
use crate::worker::core::{Core, Shared};
use crate::worker::mail::Mail;
use crate::worker::memory::Pressure;

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
    transit: Vec<Vec<VecDeque<Vec<Mail<SimSocket>>>>>,
    pub(super) trace: Trace,
    step: usize,
    /// How many come in a thousand steps.
    crowd: usize,
    /// Letters out of a thousand that are lost, and steps in which a panic is prepared.
    pub(super) losses: usize,
    pub(super) panics: usize,
    /// Nothing is lost for the moment.
    pub(super) calm: bool,
    /// What has happened that no worker counts.
    pub(super) tally: Tally,
    pub(super) clients_max: usize,
}

/// Two turns so far apart that somebody has to have gone in between when memory is short.
const SHED_WAIT: Duration = Duration::from_millis(1_500);

/// Steps in which letters are lost, and as many in which none is.
const LOSS_STEPS: usize = 300;

/// How long a worker sleeps at most.
const STATS_EVERY: Duration = Duration::from_millis(250);

/// A worker and the part of its event loop that is not in the core.
pub(super) struct Seat {
    pub(super) core: Core<SimSocket>,
    /// The mailbox said that it is to be woken.
    pub(super) mail: bool,
    /// There are letters in its mailbox and the wake-up has not come.
    unwoken: bool,
    /// Poll returns then at the latest.
    stats_due: Instant,
    /// When it compares its streams with the registry next.
    audit_due: Instant,
    /// How often it has compared its streams with the registry since something was lost.
    pub(super) audits: u32,
    /// Connections in its mailbox.
    arriving: usize,
    next_beat: Instant,
    /// It gets no turn for so many steps.
    asleep: usize,
    /// Since when memory is so short that publishers are to go, and none of those who could has;
    /// and how many were shed then.
    shedding: Option<(Instant, u64)>,
}

impl World {
    #[expect(
        clippy::disallowed_methods,
        reason = "any instant will do to count from"
    )]
    pub(super) fn new(seed: u64, trace: Trace) -> Self {
        let mut rng = Rng::new(seed);
        let workers = rng.range(1, 5);
        let config = config(&mut rng);
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
        };
        let now = Instant::now();
        #[expect(
            clippy::arc_with_non_send_sync,
            reason = "all workers are on this thread"
        )]
        let shared = Arc::new(Shared::new(config, workers, max_connections));
        let mail_bytes = rng.pick(&[crate::limits::MAIL_BYTES_MAX, 1 << 20, 100_000, 5_000]);
        let seats = (0..workers).map(|worker| {
            let mut core = Core::new(worker, shared.clone(), rng.next(), now);
            core.mail_bytes = mail_bytes;
            Seat {
                core,
                mail: false,
                unwoken: false,
                stats_due: now + STATS_EVERY,
                audit_due: now,
                audits: u32::MAX,
                arriving: 0,
                next_beat: now,
                asleep: 0,
                shedding: None,
            }
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
            calm: false,
            tally: Tally::default(),
            clients_max: rng.range(3, 26),
            rng,
        }
    }

    /// A little of everything.
    pub(super) fn step(&mut self, step: usize) {
        self.step = step;
        self.calm = step / LOSS_STEPS % 2 == 1;
        self.pass_time();
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
            if has_reason && self.rng.chance(800) || self.rng.chance(10) {
                self.turn(worker);
            }
        }
        self.check();
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
        let client = Client::new(id, rng, truth, (action, stream), trace.clone());
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
        let peer = SocketAddr::from(([10, 0, 0, last], 1_000));
        self.workers[worker].core.set_now(self.now);
        if let Some(key) = self.workers[worker].core.accept(socket, peer) {
            client.wire.borrow_mut().register(worker, key);
        }
        self.clients.push(client);
    }

    fn read(&mut self, client: usize, count: usize) -> bool {
        let Self { clients, truth, .. } = self;
        match clients[client].read(truth, count) {
            Ok(moved) => moved,
            Err(what) => self.fail(&format!("client {client}: {what}")),
        }
    }

    /// Some letters arrive: those of one sender to one receiver in their order, and those that
    /// were posted together together.
    fn deliver(&mut self, permille: usize) -> bool {
        let mut moved = false;
        for from in 0..self.workers.len() {
            for to in 0..self.workers.len() {
                while !self.transit[from][to].is_empty() && self.rng.chance(permille) {
                    let mut letters = self.transit[from][to].pop_front().unwrap_or_default();
                    self.lose_some(&mut letters);
                    self.note(|| format!("{} letters from {from} to {to}", letters.len()));
                    self.workers[to].arriving += letters.iter().filter(is_conn).count();
                    if self.shared.mailboxes[to].post(letters.into_iter()) {
                        let comes = !self.rng.chance(20);
                        self.tally.wakes += u64::from(!comes);
                        self.workers[to].mail = comes;
                        self.workers[to].unwoken = !comes;
                    }
                    moved = true;
                }
            }
        }
        moved
    }

    /// Whether poll would return on this worker.
    pub(super) fn has_reason(&self, worker: usize) -> bool {
        let seat = &self.workers[worker];
        seat.mail
            || seat.stats_due <= self.now
            || seat.core.has_leftovers()
            || seat.core.next_deadline().is_some_and(|at| at <= self.now)
            || self.has_event(worker)
    }

    fn gathers(&self, worker: usize) -> bool {
        let seat = &self.workers[worker];
        seat.core.pacer.pace().is_zero() || self.now >= seat.next_beat
    }

    fn has_event(&self, worker: usize) -> bool {
        let gathers = self.gathers(worker);
        self.clients.iter().any(|client| {
            let wire = client.wire.borrow();
            wire.event
                && wire.seat.is_some_and(|(at, _)| at == worker)
                && (gathers || !wire.gathered)
        })
    }

    /// One turn of a worker's event loop.
    pub(super) fn turn(&mut self, worker: usize) {
        self.note(|| format!("turn of worker {worker}"));
        let fired = self.workers[worker].core.faults.fired();
        let events = self.poll(worker);
        let now = self.now;
        self.workers[worker].core.set_now(now);
        self.read_mail(worker);
        let core = &mut self.workers[worker].core;
        for (key, generation, ready) in events {
            if core.generation(key) == Some(generation) {
                core.on_ready(key, ready.readable, ready.writable);
                if ready.hangup {
                    core.on_hangup(key);
                }
            }
        }
        core.ingress();
        core.feed();
        core.egress();
        core.serve_woken();
        let work = core.pacer().work();
        work.ingress += Duration::from_micros(5 * work.reads);
        work.egress += Duration::from_micros(3_000 * work.writes);
        core.expire();
        self.register_publishers(worker);
        self.post(worker);
        let core = &mut self.workers[worker].core;
        let (publishers, players) = core.census();
        core.pacer().review(now, players, publishers);
        core.publish_stats();
        let seat = &mut self.workers[worker];
        if now >= seat.stats_due {
            seat.stats_due = now + STATS_EVERY;
        }
        if seat.core.audit_due > now
            && std::mem::replace(&mut seat.audit_due, seat.core.audit_due) <= now
        {
            seat.audits = seat.audits.saturating_add(1);
        }
        let fired = seat.core.faults.fired() - fired;
        if fired > 0 {
            self.tally.panics += fired;
            self.lose();
        }
        let seat = &mut self.workers[worker];
        let is_due = seat.core.pressure == Pressure::ShedStreams && seat.core.publishers > 0;
        let shed = seat.core.gauges.shed;
        let before = seat
            .shedding
            .filter(|(_, before)| is_due && *before == shed);
        seat.shedding = is_due.then_some(before.unwrap_or((now, shed)));
        if before.is_some_and(|(since, _)| now.duration_since(since) > SHED_WAIT) {
            self.fail(&format!(
                "worker {worker} sheds nobody, and memory is short"
            ));
        }
    }

    fn poll(&mut self, worker: usize) -> Vec<(usize, u32, super::wire::Readiness)> {
        let gathers = self.gathers(worker);
        let seat = &mut self.workers[worker];
        if gathers {
            seat.next_beat = self.now + seat.core.pacer.pace();
        }
        let mut events = Vec::new();
        for client in &self.clients {
            let mut wire = client.wire.borrow_mut();
            let Some((at, key)) = wire.seat else { continue };
            if at == worker
                && (gathers || !wire.gathered)
                && let Some(generation) = seat.core.generation(key)
                && let Some(ready) = wire.harvest()
            {
                events.push((key, generation, ready));
            }
        }
        events
    }

    fn read_mail(&mut self, worker: usize) {
        let mut letters = Vec::new();
        let seat = &mut self.workers[worker];
        seat.mail = false;
        seat.unwoken = false;
        seat.arriving = 0;
        self.shared.mailboxes[worker].collect(&mut letters);
        for mail in letters {
            if let Mail::Snapshot { name, .. } = &mail {
                self.begin_anew(worker, name);
            }
            let core = &mut self.workers[worker].core;
            match mail {
                Mail::Adopt(conn) => {
                    let key = core.adopt(*conn);
                    let socket = core.socket_mut(key).expect("it was just adopted");
                    socket.wire.borrow_mut().register(worker, key);
                    core.resume_publish(key);
                }
                other => core.receive(other),
            }
        }
    }

    /// The log of a stream on `worker` is about to begin anew: part of it may be lost, and its
    /// players may jump.
    fn begin_anew(&mut self, worker: usize, name: &str) {
        let line = self.truth.line(name);
        let core = &self.workers[worker].core;
        if !core
            .by_name
            .get(name)
            .is_some_and(|index| core.streams[*index].is_live())
        {
            return;
        }
        for client in &mut self.clients {
            let seat = client.wire.borrow().seat;
            if seat.is_some_and(|(at, _)| at == worker) {
                for player in &mut client.players {
                    player.may_jump |=
                        Some(player.stream) == line || player.asked == line || player.switching;
                }
            }
        }
    }

    /// Publishes that were accepted: the truth learns their order.
    fn register_publishers(&mut self, worker: usize) {
        let core = &mut self.workers[worker].core;
        for key in std::mem::take(core.new_publishers()) {
            // It may have been closed in the same turn.
            let Some(conn) = core.conns.get_mut(key) else {
                continue;
            };
            let client = conn.socket.client;
            let mut wire = conn.socket.wire.borrow_mut();
            wire.register(worker, key);
            wire.gathered = self.shared.config.pace != Pace::Fixed(Duration::ZERO);
            for publication in &conn.publications {
                let stream = &core.streams[publication.stream];
                let line = self.truth.line(&stream.name);
                let published = self.clients[client]
                    .publications
                    .iter_mut()
                    .find(|published| Some(published.stream) == line && !published.accepted);
                if let Some(published) = published {
                    published.accepted = true;
                    let number = published.publication;
                    self.truth.lines[published.stream]
                        .order
                        .push(u32::try_from(number).unwrap());
                    self.truth.publications[number].epoch = Some(stream.epoch);
                    self.trace
                        .note(|| format!("client {client} publishes {} as {number}", stream.name));
                }
            }
        }
    }

    fn post(&mut self, worker: usize) {
        let outbound = std::mem::take(self.workers[worker].core.outbound());
        let mut batches: Vec<Vec<Mail<SimSocket>>> =
            (0..self.workers.len()).map(|_| Vec::new()).collect();
        for (to, mut mail) in outbound {
            assert_ne!(to, worker, "nobody writes to itself: {mail:?}");
            self.note(|| format!("    from {worker} to {to}: {}", told(&mail)));
            if let Mail::Adopt(conn) = &mut mail {
                let mut wire = conn.socket_mut().wire.borrow_mut();
                wire.seat = None;
                wire.gathered = false;
                wire.event = false;
            }
            batches[to].push(mail);
        }
        for (to, batch) in batches.into_iter().enumerate() {
            if !batch.is_empty() {
                self.transit[worker][to].push_back(batch);
            }
        }
    }

    /// Connections that are on their way to another worker, and letters at all.
    pub(super) fn in_transit(&self) -> (usize, usize) {
        let letters = self.transit.iter().flatten().flatten().flatten();
        let moving = letters.clone().filter(is_conn).count();
        let arriving: usize = self.workers.iter().map(|seat| seat.arriving).sum();
        (moving + arriving, letters.count())
    }

    /// Nobody begins anything new until everything has come to rest; then every player has what
    /// it is owed.
    pub(super) fn rest(&mut self) {
        self.note(|| "rest".to_owned());
        self.calm = true;
        for client in &mut self.clients {
            client.appetite = Appetite::Fast;
        }
        // A publisher with much to send may take its time; that is no rest.
        let until = self.now + Duration::from_secs(20);
        while self.flow() || !self.is_quiet() {
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
                || wire.seat.is_some() && !wire.to_relay.is_empty()
        };
        let is_dirty = |seat: &Seat| seat.core.streams.iter().any(|(_, stream)| stream.dirty);
        !self.clients.iter().any(is_busy)
            && self.in_transit() == (0, 0)
            && !self.workers.iter().any(is_dirty)
            && !self.workers.iter().any(|seat| seat.unwoken)
            && !(0..self.workers.len()).any(|worker| self.has_reason(worker))
    }

    /// Moves everything that can move; whether anything did.
    fn flow(&mut self) -> bool {
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
                self.turn(worker);
                moved = true;
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
            let deadlines = self.workers.iter().flat_map(|seat| {
                let beat = (seat.core.publishers > 0).then_some(seat.next_beat);
                let is_idle = seat.core.streams.is_empty() && !seat.unwoken;
                [
                    seat.core.next_deadline(),
                    beat.filter(|beat| *beat > self.now),
                    (!is_idle).then_some(seat.stats_due),
                ]
            });
            let next = deadlines.flatten().min().unwrap_or(until);
            self.now = next.clamp(self.now + Duration::from_millis(1), until);
        }
        self.check_end();
    }

    /// What all workers have counted, and what none has.
    pub(super) fn counted(&self) -> (Gauges, Tally) {
        let gauges = self.workers.iter().map(|seat| &seat.core.gauges);
        let gauges = gauges.fold(Gauges::default(), |sum, one| sum.plus(one));
        (gauges, self.tally)
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

fn is_conn(mail: &&Mail<SimSocket>) -> bool {
    matches!(mail, Mail::Adopt(_))
}

pub(super) fn told(mail: &Mail<SimSocket>) -> String {
    match mail {
        Mail::Adopt(_) => "a connection".to_owned(),
        Mail::Subscribe { name, .. } => format!("feed me {name}"),
        Mail::Unsubscribe { name, .. } => format!("no more of {name}"),
        Mail::Snapshot { name, epoch, .. } => format!("snapshot of {name} {epoch}"),
        Mail::Headers { name, epoch, .. } => format!("headers of {name} {epoch}"),
        Mail::Append { name, epoch, .. } => format!("more of {name} {epoch}"),
        Mail::Away { name, epoch } => format!("away {name} {epoch}"),
        Mail::End { name, epoch } => format!("end of {name} {epoch}"),
        Mail::NotLive { name } => format!("no {name}"),
        Mail::Resolved { id, .. } => format!("found {id}"),
        Mail::Drain => "stop".to_owned(),
    }
}

fn config(rng: &mut Rng) -> Config {
    let seconds = |rng: &mut Rng, values: &[u64]| Duration::from_secs(rng.pick(values));
    let millis = |rng: &mut Rng, values: &[u64]| Duration::from_millis(rng.pick(values));
    let log_bytes = rng.pick(&[256 << 10, 1 << 20, 16 << 20]);
    Config {
        app: vec!["live".to_owned()],
        chunk_size: rng.pick(&[128, 1_000, 4_096, 65_536, 65_536, 1 << 20]),
        gop_cache: rng.pick(&[Switch::On, Switch::On, Switch::Off]),
        grace: millis(rng, &[0, 300, 2_000, 10_000]),
        handshake_timeout: seconds(rng, &[2, 10]),
        lag_max: rng.pick(&[64 << 10, 256 << 10, 4 << 20]).min(log_bytes),
        log_bytes,
        max_per_address: rng.pick(&[None, Some(1_000), Some(1_000), Some(3)]),
        max_streams: rng.pick(&[None, Some(10_000), Some(10_000), Some(1)]),
        memory_max: rng.pick(&[None, None, None, Some(1 << 20), Some(4 << 20)]),
        pace: match rng.below(6) {
            0 | 1 => Pace::Fixed(Duration::ZERO),
            2 => Pace::Fixed(Duration::from_millis(5)),
            3 => Pace::Fixed(Duration::from_millis(50)),
            4 => Pace::Fixed(Duration::from_millis(350)),
            _ => Pace::Auto,
        },
        pace_max: millis(rng, &[100, 350]),
        ping: rng
            .pick(&[None, Some(1), Some(60)])
            .map(Duration::from_secs),
        play_wait: millis(rng, &[0, 500, 2_000, 10_000]),
        publish_bitrate_max: rng.pick(&[None, Some(200_000_000), Some(2_000_000)]),
        publish_idle: seconds(rng, &[3, 15]),
        read_budget: rng.pick(&[4 << 10, 64 << 10, 256 << 10]),
        send_timeout: seconds(rng, &[2, 30]),
        setup_timeout: seconds(rng, &[3, 15]),
        skips_max: rng.pick(&[None, None, None, Some(1), Some(3)]),
        takeover: rng.pick(&[Takeover::Refuse, Takeover::Replace]),
        window: seconds(rng, &[0, 0, 2, 30]),
        ..Config::default()
    }
}
