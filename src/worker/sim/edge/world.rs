//! The world around several relays: clock, people, mishaps.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use std::net::SocketAddr;

use super::super::Trace;
use super::super::client::{Appetite, Client};
use super::super::mishaps::Tally;
use super::super::rng::Rng;
use super::super::truth::{Line, Truth};
use super::super::wire::{End, Wire};
use super::cable::Cable;
use super::checks::Lingering;
use super::lines::{Lines, Lookup, ROOM_AT_REST};
use super::relay::Relay;
use super::server::Temper;
use super::topology;
use super::viewer::Viewer;
use crate::config::Config;
use crate::limits;
use crate::rtmp::client::Action;
use crate::stats::Gauges;
use crate::worker::fault::{self, StepOf};
use crate::worker::mail::Mail;

/// Everything there is.
pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) now: Instant,
    pub(super) born: Instant,
    pub(super) trace: Trace,
    pub(super) truth: Truth,
    pub(super) relays: Vec<Relay>,
    pub(super) cables: Vec<Cable>,
    pub(super) lines: Rc<RefCell<Lines>>,
    pub(super) lookups: Vec<Lookup>,
    /// Of each server of another kind.
    pub(super) tempers: [Temper; 2],
    /// Publishers, and the relay of each.
    pub(super) encoders: Vec<(Desk, Client)>,
    pub(super) viewers: Vec<Viewer>,
    /// Lines that were dialled, for each stream.
    pub(super) dials: Vec<u64>,
    /// Nothing goes wrong for the moment.
    pub(super) calm: bool,
    pub(super) tally: Tally,
    /// Where publishers mostly come to.
    sources: &'static [usize],
    /// Mishaps of each kind in a thousand steps.
    rate: usize,
    pub(super) panics: usize,
    /// Letters out of a thousand that are lost.
    pub(super) losses: usize,
    /// Calls of the kernel out of a thousand that go wrong.
    pub(super) kernel_faults: usize,
    /// What each relay fetches for nobody, until the linger is over.
    pub(super) lingering: HashMap<Lingering, (Instant, Instant)>,
    crowd: usize,
    step: usize,
}

/// Where an encoder is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Desk {
    pub(super) relay: usize,
    /// Which life of that relay.
    pub(super) life: u64,
    /// It may be silent for too long: hours have passed, or it does not read at once that it may
    /// send.
    pub(super) is_lax: bool,
}

impl World {
    pub(super) fn new(seed: u64, trace: Trace) -> Self {
        fault::reset();
        let mut rng = Rng::new(seed ^ 0xED6E);
        let (configs, sources) = topology::draw(&mut rng);
        trace.note(|| format!("{configs:#?}"));
        let names = rng.range(1, 3);
        let mut world = Self::with(rng, configs, names, trace);
        let rng = &mut world.rng;
        world.sources = sources;
        world.rate = rng.pick(&[0, 1, 1, 3]);
        world.panics = rng.pick(&[0, 0, 0, 5]);
        world.losses = rng.pick(&[0, 0, 0, 10, 50]);
        world.kernel_faults = rng.pick(&[0, 0, 0, 5]);
        world.crowd = rng.pick(&[10, 30, 60]);
        world.draw_tempers();
        world
    }

    /// A world in which nobody comes and nothing goes wrong of itself.
    #[expect(
        clippy::disallowed_methods,
        reason = "any instant will do to count from"
    )]
    pub(super) fn with(mut rng: Rng, configs: Vec<Config>, names: usize, trace: Trace) -> Self {
        let now = Instant::now();
        let config = &configs[0];
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
            starts_at_once: true,
            is_plain: true,
        };
        let lines = Lines::new(rng.next(), configs.len());
        let lines = Rc::new(RefCell::new(lines));
        let relays = configs.into_iter();
        let relays = relays
            .map(|config| Relay::new(config, lines.clone(), &mut rng, now))
            .collect();
        Self {
            now,
            born: now,
            trace,
            truth,
            relays,
            cables: Vec::new(),
            lines,
            lookups: Vec::new(),
            tempers: [Temper::Takes; 2],
            encoders: Vec::new(),
            viewers: Vec::new(),
            dials: vec![0; names],
            calm: false,
            tally: Tally::default(),
            lingering: HashMap::new(),
            sources: &[],
            rate: 0,
            panics: 0,
            losses: 0,
            kernel_faults: 0,
            crowd: 0,
            step: 0,
            rng,
        }
    }

    /// A little of everything.
    pub(super) fn step(&mut self, step: usize) {
        self.step = step;
        self.calm = self.rate == 0;
        self.pass_time();
        self.tell_truth();
        self.mishaps();
        if self.rng.chance(self.crowd) {
            self.come();
        }
        for at in 0..self.encoders.len() {
            let Self {
                encoders,
                rng,
                truth,
                ..
            } = self;
            let (desk, client) = &mut encoders[at];
            desk.is_lax |= client.appetite != Appetite::Fast;
            if let Some(what) = client.act(rng, truth) {
                self.note(|| format!("encoder {at} {what}"));
            }
        }
        let count = self.rng.pick(&[100, 10_000, 1 << 20]);
        self.people_act(count);
        self.connect(false);
        self.carry(count);
        self.answer_lookups();
        for relay in 0..self.relays.len() {
            self.deliver(relay, 600);
            for worker in 0..self.relays[relay].seats.len() {
                let has_reason = self.relays[relay].seats[worker].has_reason(self.now);
                if has_reason && self.rng.chance(800) || self.rng.chance(10) {
                    self.turn(relay, worker);
                }
            }
        }
        self.check();
    }

    fn pass_time(&mut self) {
        let rng = &mut self.rng;
        let millis = match rng.below(100) {
            0..50 => rng.millis(0, 5),
            50..95 => rng.millis(5, 40),
            95..99 => rng.millis(40, 300),
            // The machines were suspended.
            _ if self.rate > 0 && rng.chance(20) => return self.leap(),
            _ => rng.millis(500, 4_000),
        };
        self.now += Duration::from_millis(u64::from(millis));
    }

    fn tell_truth(&mut self) {
        let now = self.now.duration_since(self.born).as_millis();
        self.truth.now = u64::try_from(now).unwrap();
    }

    fn leap(&mut self) {
        let hours = self.rng.pick(&[1, 9, 24, 24 * 26, 24 * 51]);
        self.now += Duration::from_secs(hours * 3_600);
        self.tally.leaps += 1;
        self.note(|| format!("{hours} hours pass"));
        for viewer in &mut self.viewers {
            viewer.came_at = self.now;
        }
        for (seat, _) in &mut self.encoders {
            seat.is_lax = true;
        }
    }

    fn mishaps(&mut self) {
        if self.rng.chance(self.panics) {
            let of = self.rng.pick(&StepOf::ALL);
            let after = u32::try_from(self.rng.below(40)).unwrap();
            self.trace
                .note(|| format!("a step for a {of:?} will panic after {after}"));
            fault::arm(of, after);
        }
        let rate = self.rate;
        if !self.cables.is_empty() && self.rng.chance(4 * rate) {
            let at = self.rng.below(self.cables.len());
            self.tally.cuts += 1;
            if self.rng.chance(600) {
                self.note(|| format!("cable {at} is cut"));
                self.cables[at].cut();
            } else {
                self.note(|| format!("cable {at} is a hole"));
                self.cables[at].is_hole = true;
            }
        }
        if self.rng.chance(rate) {
            let relay = self.rng.below(self.relays.len());
            self.note(|| format!("relay {relay} dies"));
            self.tally.deaths += 1;
            self.relays[relay].die();
        }
        if self.rng.chance(10) {
            self.revive();
        }
        if self.rng.chance(2 * rate) {
            self.draw_tempers();
        }
    }

    fn revive(&mut self) {
        let Self {
            relays, rng, now, ..
        } = self;
        for relay in relays.iter_mut().filter(|relay| !relay.is_alive()) {
            relay.start(rng, *now);
        }
    }

    /// Somebody connects.
    fn come(&mut self) {
        let here = self.viewers.iter().filter(|viewer| !viewer.gone).count();
        let stream = self.rng.below(self.truth.lines.len());
        let is_served = self.encoders.iter().any(|(_, client)| {
            let mut published = client.publications.iter();
            !client.gone && published.any(|published| published.stream == stream)
        });
        let publishes = !is_served && self.rng.chance(500) || self.rng.chance(50);
        let relay = match publishes && self.rng.chance(800) {
            true => self.rng.pick(self.sources),
            false => self.rng.below(self.relays.len()),
        };
        if !self.relays[relay].is_alive() || here > 12 {
            return;
        }
        if publishes {
            self.encoder_comes(relay, stream);
        } else {
            let appetite = self.rng.pick(&[usize::MAX, usize::MAX, 3_000]);
            let query = self.rng.pick(&["", "", "?t=1", "?t=2"]);
            let relays = self.rng.pick(&[0, 0, 0, 1, 6, 7]);
            let relays = (0..relays).map(|_| format!("{:016x}", self.rng.below(100)));
            let said = (query, relays.collect::<Vec<_>>().join(","));
            self.viewer_comes_with(relay, stream, appetite, said);
        }
    }

    pub(super) fn encoder_comes(&mut self, relay: usize, stream: usize) {
        let Self {
            rng, truth, trace, ..
        } = self;
        let id = self.encoders.len();
        let asked = (Action::Publish, stream);
        let client = Client::new(id, rng, truth, asked, trace.clone()).alone();
        let wire = client.wire.clone();
        let seat = Desk {
            relay,
            life: self.relays[relay].shared.relay_id,
            is_lax: client.appetite != Appetite::Fast,
        };
        self.encoders.push((seat, client));
        self.note(|| format!("encoder {id} comes to {relay} for s{stream}"));
        self.connects(relay, id, wire);
    }

    pub(super) fn viewer_comes(&mut self, relay: usize, stream: usize, appetite: usize) {
        self.viewer_comes_with(relay, stream, appetite, ("", String::new()));
    }

    /// A viewer that brings a query, and says that it has come through relays.
    fn viewer_comes_with(
        &mut self,
        relay: usize,
        stream: usize,
        appetite: usize,
        said: (&str, String),
    ) {
        let name = &self.truth.lines[stream].name;
        let dials = self.dials[stream];
        let viewer = Viewer::new((relay, stream), name, dials, appetite, said, self.now);
        let wire = viewer.wire.clone();
        let id = self.viewers.len();
        self.viewers.push(viewer);
        self.note(|| format!("viewer {id} comes to {relay} for s{stream}"));
        self.connects(relay, 1_000 + id, wire);
    }

    fn connects(&mut self, relay: usize, client: usize, wire: Rc<RefCell<Wire>>) {
        let workers = self.relays[relay].seats.len();
        let worker = self.rng.below(workers);
        self.note(|| format!("    at worker {worker}"));
        let peer = SocketAddr::from(([10, 0, 0, 1], 1_000));
        self.relays[relay].connect(worker, client, peer, wire);
    }

    /// Publishers and viewers send and read; whether anything moved.
    fn people_act(&mut self, count: usize) -> bool {
        let mut moved = false;
        let time = self.now.duration_since(self.born);
        let Self {
            encoders, truth, ..
        } = self;
        let mut wrong = None;
        for (at, (_, client)) in encoders.iter_mut().enumerate() {
            moved |= client.send(count);
            match client.read(truth, count) {
                Ok(did) => moved |= did,
                Err(what) => wrong = Some(format!("encoder {at}: {what}")),
            }
            for published in &mut client.publications {
                if published.has_begun() {
                    published.accepted = true;
                    let number = u32::try_from(published.publication).unwrap();
                    truth.lines[published.stream].order.push(number);
                }
            }
        }
        for at in 0..self.viewers.len() {
            if !self.viewers[at].gone && !self.calm && self.rng.chance(2) {
                let end = self.rng.pick(&[End::Reset, End::Closed]);
                self.note(|| format!("viewer {at} leaves"));
                self.viewers[at].leave(end);
            }
            match self.viewers[at].act(&self.truth, time) {
                Ok(did) => moved |= did,
                Err(what) => wrong = Some(format!("viewer {at}: {what}")),
            }
        }
        if let Some(what) = wrong {
            self.fail(&what);
        }
        moved
    }

    fn deliver(&mut self, relay: usize, permille: usize) -> bool {
        let losses = if self.calm { 0 } else { self.losses };
        let Self { relays, rng, .. } = self;
        let (moved, lost) = relays[relay].deliver(rng, permille, losses);
        self.tally.letters += lost;
        moved
    }

    /// Moves everything that can move; whether anything did.
    fn flow(&mut self) -> bool {
        let mut moved = self.people_act(1 << 18);
        moved |= self.connect(true);
        moved |= self.carry(1 << 18);
        self.answer_lookups();
        for relay in 0..self.relays.len() {
            moved |= self.deliver(relay, 1_000);
            for worker in 0..self.relays[relay].seats.len() {
                for _ in 0..20 {
                    if !self.relays[relay].seats[worker].has_reason(self.now) {
                        break;
                    }
                    moved |= self.relays[relay].seats[worker].has_work(self.now);
                    self.turn(relay, worker);
                }
            }
        }
        moved
    }

    /// Time passes, in which everything happens that can.
    pub(super) fn wait(&mut self, time: Duration, pace: Duration, mut what: impl FnMut(&mut Self)) {
        let until = self.now + time;
        while self.now < until {
            self.now += pace;
            self.tell_truth();
            what(self);
            for _ in 0..50 {
                if !self.flow() {
                    break;
                }
            }
            self.check();
        }
    }

    /// Nothing goes wrong for a while; then everybody has what there is.
    pub(super) fn rest(&mut self) {
        self.note(|| "rest".to_owned());
        self.calm = true;
        self.revive();
        self.tempers = [Temper::Takes; 2];
        self.cables.iter_mut().for_each(Cable::mend);
        // What was to panic and has not would end a publisher just before all is looked at.
        fault::disarm();
        self.viewers.iter_mut().for_each(Viewer::hurry);
        for (_, client) in &mut self.encoders {
            client.appetite = Appetite::Fast;
            client.wire.borrow_mut().widen(ROOM_AT_REST);
        }
        self.wait(REST, Duration::from_millis(100), |world| {
            let Self {
                encoders,
                rng,
                truth,
                ..
            } = world;
            for (_, client) in encoders {
                if !client.gone && !client.vanished && client.leaving.is_none() {
                    client.publish_some(rng, truth);
                }
            }
        });
        // Three relays in a row, each of which waits for its pace.
        self.wait(Duration::from_secs(3), Duration::from_millis(100), |_| {});
        self.check_rest();
        self.viewers.retain(|viewer| !viewer.gone);
    }

    /// Everybody leaves, or a relay stops; time passes; nothing is left.
    pub(super) fn end(&mut self) {
        self.calm = true;
        self.revive();
        for relay in 0..self.relays.len() {
            if self.rng.chance(200) {
                self.note(|| format!("relay {relay} stops"));
                for worker in 0..self.relays[relay].seats.len() {
                    self.relays[relay].post(worker, Mail::Drain);
                }
            }
        }
        self.note(|| "everybody leaves".to_owned());
        for (_, client) in &mut self.encoders {
            client.quit(&mut self.truth);
        }
        for viewer in &mut self.viewers {
            if !viewer.gone {
                viewer.leave(End::Closed);
            }
        }
        self.cables.iter_mut().for_each(Cable::mend);
        self.wait(Duration::from_secs(5), Duration::from_millis(50), |_| {});
        self.wait(Duration::from_secs(120), Duration::from_secs(1), |_| {});
        self.check_end();
    }

    /// What all workers have counted, and what none has.
    pub(super) fn counted(&self) -> (Gauges, Tally) {
        let gauges = self.relays.iter().map(Relay::counted);
        let gauges = gauges.fold(Gauges::default(), |sum, one| sum.plus(&one));
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
}

/// Long enough for every line to be called anew, and for what cannot be had to be given up.
const REST: Duration = Duration::from_secs(60);
