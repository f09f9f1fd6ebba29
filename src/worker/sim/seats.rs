//! A worker's seat in a simulated world: the part of its event loop that is not in the core, and
//! one turn of that.

use std::time::{Duration, Instant};

use super::wire::{Readiness, SimClock, SimSocket};
use super::world::World;
use crate::config::Pace;
use crate::worker::core::Core;
use crate::worker::fault;
use crate::worker::ids::{ConnId, WorkerId};
use crate::worker::mail::Mail;
use crate::worker::pressure::Pressure;

/// Two turns so far apart that somebody has to have gone in between when memory is short.
const SHED_WAIT: Duration = Duration::from_millis(1_500);

/// A worker and the part of its event loop that is not in the core.
pub(super) struct Seat {
    pub(super) core: Core<SimSocket>,
    /// The mailbox said that it is to be woken.
    pub(super) mail: bool,
    /// There are letters in its mailbox and the wake-up has not come.
    pub(super) unwoken: bool,
    /// When it compares its streams with the registry next.
    audit_due: Instant,
    /// How often it has compared its streams with the registry since something was lost.
    pub(super) audits: u32,
    /// Connections in its mailbox.
    pub(super) arriving: usize,
    pub(super) next_beat: Instant,
    /// It gets no turn for so many steps.
    pub(super) asleep: usize,
    /// Since when memory is so short that publishers are to go, and none of those who could has;
    /// and how many were shed then.
    shedding: Option<(Instant, u64)>,
}

impl Seat {
    pub(super) fn new(core: Core<SimSocket>, now: Instant) -> Self {
        Self {
            core,
            mail: false,
            unwoken: false,
            audit_due: now,
            audits: u32::MAX,
            arriving: 0,
            next_beat: now,
            asleep: 0,
            shedding: None,
        }
    }
}

impl World {
    /// Whether poll would return on this worker.
    pub(super) fn has_reason(&self, worker: usize) -> bool {
        let seat = &self.workers[worker];
        seat.mail
            || seat.core.stats_due() <= self.now
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
        let fired = fault::fired();
        let events = self.poll(worker);
        let now = self.now;
        self.workers[worker].core.set_now(now);
        self.read_mail(worker);
        let core = &mut self.workers[worker].core;
        for (key, ready) in events {
            core.on_ready(key, ready.readable, ready.writable);
            if ready.hangup {
                core.on_hangup(key);
            }
        }
        let wires = self.clients.iter().map(|client| client.wire.clone());
        let wires = wires.collect();
        core.turn(&mut SimClock::new(now, wires));
        self.register_publishers(worker);
        self.post(worker);
        let seat = &mut self.workers[worker];
        if seat.core.audit.due() > now
            && std::mem::replace(&mut seat.audit_due, seat.core.audit.due()) <= now
        {
            seat.audits = seat.audits.saturating_add(1);
        }
        let fired = fault::fired() - fired;
        if fired > 0 {
            self.tally.panics += fired;
            self.lose();
        }
        let seat = &mut self.workers[worker];
        let is_due = seat.core.memory.pressure() == Pressure::ShedHard
            && seat.core.streams.publishers() > 0
            && seat.core.holds_its_share();
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

    fn poll(&mut self, worker: usize) -> Vec<(ConnId, Readiness)> {
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
                && seat.core.conns.contains(key)
                && let Some(ready) = wire.harvest()
            {
                events.push((key, ready));
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
        self.shared.mailboxes[WorkerId::new(worker)].collect(&mut letters);
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
                Mail::Drain => core.drain(),
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
            .streams
            .find(name)
            .is_some_and(|index| core.streams[index].is_live())
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
        for key in core.take_publishers() {
            // It may have been closed in the same turn.
            let Some(conn) = core.conns.get_mut(key) else {
                continue;
            };
            let client = conn.socket.client;
            let mut wire = conn.socket.wire.borrow_mut();
            wire.register(worker, key);
            wire.gathered = self.shared.config.pace != Pace::Fixed(Duration::ZERO);
            for publication in core.streams.publications(key) {
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
}
