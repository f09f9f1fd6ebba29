//! What has to be true of the workers after every step, when everything rests, and in the end.

use super::tables;
use super::truth::Truth;
use super::world::World;
use crate::limits;
use crate::worker::fault;
use crate::worker::registry::WorkerSet;
use crate::worker::table::Source;

impl World {
    /// After every step.
    pub(super) fn check(&mut self) {
        self.check_owed();
        self.check_bugs();
        self.check_counts();
        for (worker, seat) in self.workers.iter().enumerate() {
            let verdict = tables::check_tables(seat.core())
                .and_then(|()| tables::check_memory(seat.core()))
                .and_then(|()| tables::check_timers(seat.core()))
                .and_then(|()| tables::check_queues(seat.core()))
                .and_then(|()| tables::check_registry(seat.core()))
                .and_then(|()| seat.check_sleep(self.now))
                .and_then(|()| match self.has_reason(worker) || seat.is_over {
                    true => Ok(()),
                    false => tables::check_idle(seat.core(), seat.later(self.now)),
                });
            if let Err(what) = verdict {
                self.fail(&format!("worker {worker}: {what}"));
            }
        }
    }

    /// What workers share counts who is there, or moves.
    fn check_counts(&self) {
        let (moving, _) = self.in_transit();
        let here: usize = self
            .workers
            .iter()
            .map(|seat| seat.core().conns.len())
            .sum();
        if self.workers.iter().any(|seat| seat.is_over) {
            // The relay ends, and what was on its way to that worker with it.
            return;
        }
        // Those that wait for a PROXY header are newcomers as well.
        let pending: usize = self.workers.iter().map(|seat| seat.pending()).sum();
        let here = here + pending;
        let admission = &self.shared.admission;
        let newcomers = self
            .workers
            .iter()
            .flat_map(|seat| seat.core().conns.iter());
        let newcomers = newcomers.filter(|(_, conn)| conn.is_newcomer()).count() + pending;
        // Those that move to another worker are newcomers as well.
        if !(newcomers..=newcomers + moving).contains(&admission.newcomers()) {
            self.fail(&format!(
                "{} newcomers are counted, {newcomers} are there and {moving} move",
                admission.newcomers()
            ));
        }
        if self.shared.config.max_per_address.is_some()
            && admission.per_address().iter().sum::<usize>() + pending != self.connections()
        {
            self.fail("connections are not those of all addresses");
        }
        if self.connections() != here + moving {
            self.fail(&format!(
                "{} connections are counted, {here} are there and {moving} move",
                self.connections()
            ));
        }
    }

    /// There are no panics but those of the simulation.
    fn check_bugs(&self) {
        let of_sockets = self.clients.iter().map(|c| c.wire.borrow().panic_in.fired);
        let fired = of_sockets.sum::<u64>() + fault::fired();
        let bugs: u64 = self
            .workers
            .iter()
            .map(|seat| seat.core().gauges.bugs)
            .sum();
        if bugs != fired {
            self.fail(&format!(
                "{bugs} panics are counted, and there were {fired}"
            ));
        }
    }

    /// What can be sent is, or will be in the next turn.
    fn check_owed(&mut self) {
        let mut found = None;
        for seat in &mut self.workers {
            for (_, conn) in seat.core_mut().conns.iter_mut() {
                if conn.is_writable() && !conn.is_to_be_written() && conn.has_pending() {
                    found = Some(conn.socket.client);
                }
            }
        }
        if let Some(client) = found {
            self.fail(&format!("client {client} is owed bytes; nobody sends them"));
        }
    }

    /// When everything rests: everybody has what was sent.
    pub(super) fn check_rest(&mut self) {
        let (_, letters) = self.in_transit();
        if letters > 0 {
            self.fail("letters do not arrive");
        }
        for (worker, seat) in self.workers.iter().enumerate() {
            if !seat.is_over && seat.reactor().waiting() > 0 {
                self.fail(&format!("worker {worker} accepts nobody"));
            }
        }
        if !self.is_healed() {
            return;
        }
        if let Err(what) = self.check_feeds() {
            self.fail(&what);
        }
        for client in 0..self.clients.len() {
            for player in 0..self.clients[client].players.len() {
                match self.judge_rest(client, player) {
                    // Whatever its worker has lost, it has got over it.
                    Ok(true) => self.clients[client].players[player].may_jump = false,
                    Ok(false) => {}
                    Err(what) => self.fail(&format!("client {client}: {what}")),
                }
            }
        }
    }

    /// Whether a player has everything of a stream that goes on; an error when it should.
    fn judge_rest(&self, client: usize, player: usize) -> Result<bool, String> {
        let client = &self.clients[client];
        let player = &client.players[player];
        let seat = client.wire.borrow().seat();
        let stream = player.asked.unwrap_or(player.stream);
        let (Some((worker, _)), Some(open)) = (seat, self.open(stream)) else {
            return Ok(false);
        };
        let is_here = !client.gone && !client.vanished && client.leaving.is_none();
        if !is_here || self.is_lost(&self.truth.lines[stream].name, worker) {
            return Ok(false);
        }
        if player.asked.is_some() {
            return Err("a play of a live stream has no answer".to_owned());
        }
        if !player.playing || player.paused || player.switching {
            return Ok(false);
        }
        player.judge_rest(&self.truth, open)
    }

    /// The place in a stream's order of the publication that goes on, if all of it has arrived.
    fn open(&self, stream: usize) -> Option<usize> {
        let last = self.truth.lines[stream].order.len().checked_sub(1)?;
        let number = self.truth.at(stream, last).number as usize;
        let client = self.clients.iter().find(|client| {
            !client.gone
                && !client.vanished
                && client.leaving.is_none()
                && client.has_sent()
                && client
                    .publications
                    .iter()
                    .any(|published| published.publication == number && published.is_on())
        })?;
        let (worker, _) = client.wire.borrow().seat()?;
        let core = self.workers[worker].core();
        let name = &self.truth.lines[stream].name[..];
        let index = core.streams.find(name)?;
        matches!(core.streams[index].source(), Source::Publisher(_)).then_some(last)
    }

    /// Whether `worker` waits for a new start of a stream whose letters were too many.
    fn is_lost(&self, name: &str, worker: usize) -> bool {
        self.workers.iter().any(|seat| {
            seat.core().streams.find(name).is_some_and(|index| {
                let feeds = &seat.core().streams[index].feeds;
                feeds
                    .iter()
                    .any(|feed| feed.worker().index() == worker && feed.is_lost())
            })
        })
    }

    /// With no letters under way, those who are fed are those who have players.
    fn check_feeds(&self) -> Result<(), String> {
        for (name, owner, _, mut readers) in self.shared.registry.entries() {
            let Some(owner) = owner else { continue };
            readers.remove(owner);
            let core = self.workers[owner.index()].core();
            let stream = &core.streams[core.streams.find(&name).unwrap()];
            let mut fed = WorkerSet::default();
            stream
                .feeds
                .iter()
                .for_each(|feed| fed.insert(feed.worker()));
            // Who comes once its publisher has ended it is fed when there is another.
            let is_for_all = stream.may_begin();
            if fed.iter().any(|to| !readers.contains(to)) || is_for_all && fed != readers {
                return Err(format!("{name} is fed to {fed:?}, and read by {readers:?}"));
            }
            for reader in readers.iter() {
                let core = self.workers[reader.index()].core();
                let source = core.streams[core.streams.find(&name).unwrap()].source();
                let expected = match fed.contains(reader) {
                    true => Source::Fed { worker: owner },
                    false => Source::Nobody,
                };
                if source != expected {
                    return Err(format!("{name} comes to {reader} from {source:?}"));
                }
            }
        }
        for (worker, seat) in self.workers.iter().enumerate() {
            for (_, stream) in seat.core().streams.iter() {
                if let Source::Fed { worker: from } = stream.source()
                    && !self.workers[from.index()]
                        .core()
                        .streams
                        .find(&stream.name)
                        .is_some_and(|index| {
                            self.workers[from.index()].core().streams[index].is_owned()
                        })
                {
                    return Err(format!("{} on {worker} is fed by nobody", stream.name));
                }
            }
        }
        Ok(())
    }

    /// Everybody has left and every deadline has passed.
    pub(super) fn check_end(&self) {
        for (worker, seat) in self.workers.iter().enumerate() {
            let core = seat.core();
            if core.is_draining() != seat.is_over {
                self.fail(&format!("worker {worker} has not ended"));
            }
            if let Some((what, count)) = tables::left_over(core) {
                for (key, conn) in core.conns.iter() {
                    let (client, id, closing) = (conn.socket.client, conn.id(), conn.closing());
                    let plays = core.streams.plays(key);
                    let publications = core.streams.publications(key);
                    self.note(|| {
                        format!("client {client} as {id}: {closing:?} {plays:?} {publications:?}")
                    });
                }
                self.fail(&format!("worker {worker} still has {count} {what}"));
            }
            if core.blocks.len() > limits::BLOCKS_KEPT {
                self.fail("more blocks than are to be kept");
            }
        }
        let admission = &self.shared.admission;
        if admission.newcomers() > 0 || admission.per_address().iter().sum::<usize>() > 0 {
            self.fail("the counts of newcomers or of addresses are not back at nothing");
        }
        if self.shared.registry.owned() > 0 {
            self.fail("the count of streams is not back at nothing");
        }
        if !self.shared.registry.is_empty() || self.connections() > 0 {
            self.fail("the registry or the count of connections is not back at nothing");
        }
        for client in &self.clients {
            if !client.wire.borrow().relay_gone {
                self.fail(&format!("the socket of client {} is open", client.id));
            }
        }
        check_truth(&self.truth);
    }
}

/// The simulation would be worth nothing if nothing happened in it.
fn check_truth(truth: &Truth) {
    assert!(!truth.lines.is_empty());
}
