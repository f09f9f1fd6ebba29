//! A worker's seat in a simulated world: its event loop, and one turn of that.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::reactor::SimWorker;
use super::wire::SimSocket;
use super::world::World;
use crate::limits;
use crate::worker::fault;
use crate::worker::ids::WorkerId;
use crate::worker::mail::Mail;
use crate::worker::pressure::Pressure;

/// Two turns so far apart that somebody has to have gone in between when memory is short.
const SHED_WAIT: Duration = Duration::from_millis(1_500);

/// A worker, and what the world keeps of it.
pub(super) struct Seat {
    pub(super) worker: SimWorker,
    /// When it looks at the publishers' poll next, where that does not wake it.
    beat: Instant,
    /// There are letters in its mailbox and the wake-up has not come.
    pub(super) unwoken: bool,
    /// When it compares its streams with the registry next.
    audit_due: Instant,
    /// How often it has compared its streams with the registry since something was lost.
    pub(super) audits: u32,
    /// Connections in its mailbox.
    pub(super) arriving: usize,
    /// It gets no turn for so many steps.
    pub(super) asleep: usize,
    /// Its thread has ended.
    pub(super) is_over: bool,
    /// Since when memory is so short that publishers are to go, and none of those who could has;
    /// and how many were shed then.
    shedding: Option<(Instant, u64)>,
}

impl Deref for Seat {
    type Target = SimWorker;

    fn deref(&self) -> &SimWorker {
        &self.worker
    }
}

impl DerefMut for Seat {
    fn deref_mut(&mut self) -> &mut SimWorker {
        &mut self.worker
    }
}

impl Seat {
    pub(super) fn new(worker: SimWorker) -> Self {
        Self {
            beat: worker.core().now,
            audit_due: worker.core().now,
            worker,
            unwoken: false,
            audits: u32::MAX,
            arriving: 0,
            asleep: 0,
            is_over: false,
            shedding: None,
        }
    }

    /// Whether poll would return.
    pub(super) fn has_reason(&self, now: Instant) -> bool {
        let now = self.later(now);
        let reactor = self.reactor();
        !self.is_over && (reactor.has_events() || self.timeout(now) == Some(Duration::ZERO))
    }

    /// The same, and for something else than to look whether publishers have sent anything, or to
    /// write down figures.
    pub(super) fn has_work(&self, now: Instant) -> bool {
        let now = self.later(now);
        let core = self.core();
        let is_due = core.next_deadline().is_some_and(|at| at <= now);
        !self.is_over && (self.reactor().has_events() || core.has_leftovers() || is_due)
    }

    /// `now`, or the time of the last turn if that was later: calls take time, and the world's
    /// stands still meanwhile.
    pub(super) fn later(&self, now: Instant) -> Instant {
        now.max(self.reactor().now)
    }

    /// Poll returns in time for whatever is due: also for what publishers have sent, at once or
    /// one pace after the last look. What is asked of the event loop in a turn is done in it.
    pub(super) fn check_sleep(&self, now: Instant) -> Result<(), String> {
        let now = self.later(now);
        let (core, reactor) = (self.core(), self.reactor());
        if self.is_over || reactor.has_events() {
            return Ok(());
        }
        let sleep = self.timeout(now);
        let due = [
            (
                "something is left over",
                core.has_leftovers().then_some(now),
            ),
            ("something is due", core.next_deadline()),
            (
                "somebody is to be accepted",
                (reactor.waiting() > 0).then_some(now + limits::ACCEPT_PAUSE),
            ),
            (
                "a publisher has sent something",
                reactor.has_publisher_event().then_some(self.beat),
            ),
        ];
        let is_late = |at: Instant| sleep.is_none_or(|sleep| now + sleep > at.max(now));
        let late = due.iter().find(|(_, at)| at.is_some_and(is_late));
        if let Some((what, _)) = late {
            return Err(format!("it sleeps {sleep:?}, and {what}"));
        }
        match core.calls.count_requests() {
            0 => Ok(()),
            count => Err(format!("{count} calls are not placed")),
        }
    }

    /// One turn at `now`.
    pub(super) fn turn(&mut self, now: Instant) {
        let (now, pace) = (self.later(now), self.core().pacer.pace());
        self.reactor_mut().now = now;
        self.unwoken = false;
        self.arriving = 0;
        let turned = self.worker.turn();
        if self.reactor().looked == Some(now) {
            self.beat = now + pace;
        }
        self.is_over = turned.expect("the poll works");
    }

    /// What the worker has posted since this was called last.
    pub(super) fn posted(&mut self) -> Vec<(WorkerId, Vec<Mail<SimSocket>>)> {
        std::mem::take(&mut self.reactor_mut().posted)
    }
}

impl World {
    /// Whether poll would return on this worker.
    pub(super) fn has_reason(&self, worker: usize) -> bool {
        self.workers[worker].has_reason(self.now)
    }

    /// One turn of a worker's event loop.
    pub(super) fn turn(&mut self, worker: usize) {
        self.note(|| format!("turn of worker {worker}"));
        let fired = fault::fired();
        self.begin_anew(worker);
        let now = self.now;
        self.workers[worker].turn(now);
        self.register_publishers(worker);
        self.post(worker);
        let seat = &mut self.workers[worker];
        let audit_due = seat.core().audit.due();
        if audit_due > now && std::mem::replace(&mut seat.audit_due, audit_due) <= now {
            seat.audits = seat.audits.saturating_add(1);
        }
        let fired = fault::fired() - fired;
        if fired > 0 {
            self.tally.panics += fired;
            self.lose();
        }
        let seat = &mut self.workers[worker];
        let is_due = seat.core().memory.pressure() == Pressure::ShedHard
            && seat.core().streams.publishers() > 0
            && seat.core().holds_its_share();
        let shed = seat.core().gauges.shed;
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

    /// Logs of streams on `worker` are about to begin anew, by letters that it has not read: parts
    /// of them may be lost, and their players may jump.
    fn begin_anew(&mut self, worker: usize) {
        let core = self.workers[worker].core();
        let is_live = |name: &str| {
            let index = core.streams.find(name);
            index.is_some_and(|index| core.streams[index].is_live())
        };
        let mut begun: Vec<Arc<str>> = Vec::new();
        let mut anew: Vec<Arc<str>> = Vec::new();
        self.shared.mailboxes[WorkerId::new(worker)].peek(|mail| {
            if let Mail::Snapshot { name, .. } = mail {
                match is_live(name) || begun.contains(name) {
                    true => anew.push(name.clone()),
                    false => begun.push(name.clone()),
                }
            }
        });
        for name in anew {
            self.may_jump(worker, &name);
        }
    }

    fn may_jump(&mut self, worker: usize, name: &str) {
        let line = self.truth.line(name);
        for client in &mut self.clients {
            let seat = client.wire.borrow().seat();
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
        let seat = &mut self.workers[worker];
        let new = std::mem::take(&mut seat.reactor_mut().new_publishers);
        let core = seat.worker.core_mut();
        for key in new {
            // It may have been closed in the same turn.
            let Some(conn) = core.conns.get_mut(key) else {
                continue;
            };
            let client = conn.socket.client;
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
