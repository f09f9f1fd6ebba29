//! What has to be true of the workers after every step, when everything rests, and in the end.

use std::time::Duration;

use super::truth::Truth;
use super::world::World;
use crate::limits;
use crate::stream::cursor::Place;
use crate::worker::conn::Conn;
use crate::worker::core::Core;
use crate::worker::table::{Player, Source, Stream};

use super::wire::SimSocket;

type Relay = Core<SimSocket>;

/// The longest message in a log: 200 KiB in chunks of 128 bytes with a header of five each.
const MESSAGE_BYTES_MAX: u64 = 220 * 1_024;

/// How late a deadline may be seen when a worker has its turns.
const LATE: Duration = Duration::from_millis(10);

impl World {
    /// After every step.
    pub(super) fn check(&mut self) {
        self.check_owed();
        self.check_bugs();
        let (moving, _) = self.in_transit();
        let here: usize = self.workers.iter().map(|seat| seat.core.conns.len()).sum();
        let admission = &self.shared.admission;
        let newcomers = self.workers.iter().flat_map(|seat| &seat.core.conns);
        let newcomers = newcomers.filter(|(_, conn)| conn.is_newcomer).count();
        // Those that move to another worker are newcomers as well.
        if !(newcomers..=newcomers + moving).contains(&admission.newcomers()) {
            self.fail(&format!(
                "{} newcomers are counted, {newcomers} are there and {moving} move",
                admission.newcomers()
            ));
        }
        if self.shared.config.max_per_address.is_some()
            && admission.per_address().iter().sum::<usize>() != self.connections()
        {
            self.fail("connections are not those of all addresses");
        }
        if self.connections() != here + moving {
            self.fail(&format!(
                "{} connections are counted, {here} are there and {moving} move",
                self.connections()
            ));
        }
        for (worker, seat) in self.workers.iter().enumerate() {
            let verdict = check_tables(&seat.core)
                .and_then(|()| check_memory(&seat.core))
                .and_then(|()| self.check_registry(worker))
                .and_then(|()| match self.has_reason(worker) {
                    true => Ok(()),
                    false => self.check_idle(&seat.core),
                });
            if let Err(what) = verdict {
                self.fail(&format!("worker {worker}: {what}"));
            }
        }
    }

    /// There are no panics but those of the simulation.
    fn check_bugs(&self) {
        let of_sockets = self.clients.iter().map(|c| c.wire.borrow().panic_in.fired);
        let of_workers = self.workers.iter().map(|seat| seat.core.faults.fired());
        let fired: u64 = of_sockets.chain(of_workers).sum();
        let bugs: u64 = self.workers.iter().map(|seat| seat.core.gauges.bugs).sum();
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
            for (_, conn) in &mut seat.core.conns {
                if conn.writable && !conn.in_woken && conn.has_pending() {
                    found = Some(conn.socket.client);
                }
            }
        }
        if let Some(client) = found {
            self.fail(&format!("client {client} is owed bytes; nobody sends them"));
        }
    }

    /// What a worker has is what the registry says it has.
    fn check_registry(&self, worker: usize) -> Result<(), String> {
        let core = &self.workers[worker].core;
        let entries = self.shared.registry.entries();
        for (name, owner, epoch, readers) in &entries {
            let stream = core.by_name.get(name).map(|index| &core.streams[*index]);
            let owns = stream.is_some_and(Stream::is_owned);
            let reads = stream.is_some_and(|stream| !stream.players.is_empty());
            if owns != (*owner == Some(worker)) || owns && stream.is_none_or(|s| s.epoch != *epoch)
            {
                return Err(format!(
                    "{name} is owned: {owns}, and {owner:?} by the registry"
                ));
            }
            if reads != readers.iter().any(|reader| reader == worker) {
                return Err(format!(
                    "{name} is read: {reads}, and {readers:?} by the registry"
                ));
            }
        }
        match core
            .by_name
            .keys()
            .find(|name| entries.iter().all(|(known, ..)| known != *name))
        {
            Some(name) => Err(format!("{name} is here and not in the registry")),
            None => Ok(()),
        }
    }

    /// Nothing lies about that nobody will come back to: this worker will not be woken by what
    /// there is.
    fn check_idle(&self, core: &Relay) -> Result<(), String> {
        for (_, conn) in &core.conns {
            self.check_watched(core, conn)?;
        }
        let next = core.next_deadline();
        let comes = |at: std::time::Instant| next.is_some_and(|next| next <= at.max(self.now));
        for (_, stream) in &core.streams {
            if let Source::Away { until, .. } = stream.source
                && !comes(until)
            {
                return Err(format!("nobody sees the end of {}", stream.name));
            }
            if stream.dirty {
                if !comes(self.now + core.pacer.pace()) {
                    return Err(format!("nobody writes {} in time", stream.name));
                }
                continue;
            }
            if stream.is_owned() && stream.log.has_unflushed() {
                return Err(format!("{} has something that nobody flushes", stream.name));
            }
            for player in &stream.players {
                check_served(core, stream, player).map_err(|what| {
                    format!("{what} (player {} of {})", player.conn, stream.name)
                })?;
            }
        }
        Ok(())
    }

    fn check_watched(&self, core: &Relay, conn: &Conn<SimSocket>) -> Result<(), String> {
        let wire = conn.socket.wire.borrow();
        let client = conn.socket.client;
        let ready = wire.readiness();
        if ready.readable && !wire.event && !conn.in_ready && !conn.readable {
            return Err(format!("nobody reads what client {client} sent"));
        }
        if conn.readable && !conn.in_ready && !wire.event && conn.closing.is_none() {
            return Err(format!(
                "client {client} may have sent something; nobody looks"
            ));
        }
        if !conn.writable && !wire.full && !wire.event {
            return Err(format!("client {client} can take bytes; nobody knows"));
        }
        let waits = conn.plays.iter().filter_map(|play| play.wait_until);
        let first = waits.chain(conn.closing).min();
        if let Some(until) = first
            && core
                .next_deadline()
                .is_none_or(|next| next > until.max(self.now) + LATE)
        {
            return Err(format!("a deadline of client {client} is forgotten"));
        }
        Ok(())
    }

    /// When everything rests: everybody has what was sent.
    pub(super) fn check_rest(&mut self) {
        let (_, letters) = self.in_transit();
        if letters > 0 {
            self.fail("letters do not arrive");
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
        let seat = client.wire.borrow().seat;
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
        let (worker, _) = client.wire.borrow().seat?;
        let core = &self.workers[worker].core;
        let name = &self.truth.lines[stream].name[..];
        let index = core.by_name.get(name)?;
        matches!(core.streams[*index].source, Source::Publisher(_)).then_some(last)
    }

    /// Whether `worker` waits for a new start of a stream whose letters were too many.
    fn is_lost(&self, name: &str, worker: usize) -> bool {
        self.workers.iter().any(|seat| {
            seat.core.by_name.get(name).is_some_and(|index| {
                let feeds = &seat.core.streams[*index].feeds;
                feeds.iter().any(|feed| feed.worker == worker && feed.lost)
            })
        })
    }

    /// With no letters under way, those who are fed are those who have players.
    fn check_feeds(&self) -> Result<(), String> {
        for (name, owner, _, mut readers) in self.shared.registry.entries() {
            let Some(owner) = owner else { continue };
            readers.remove(owner);
            let core = &self.workers[owner].core;
            let feeds = &core.streams[core.by_name[&name]].feeds;
            let mut fed: Vec<usize> = feeds.iter().map(|feed| feed.worker).collect();
            fed.sort_unstable();
            if fed != readers.iter().collect::<Vec<_>>() {
                return Err(format!("{name} is fed to {fed:?}, and read by {readers:?}"));
            }
            for reader in readers.iter() {
                let core = &self.workers[reader].core;
                let source = core.streams[core.by_name[&name]].source;
                if source != (Source::Fed { worker: owner }) {
                    return Err(format!("{name} comes to {reader} from {source:?}"));
                }
            }
        }
        for (worker, seat) in self.workers.iter().enumerate() {
            for (_, stream) in &seat.core.streams {
                if let Source::Fed { worker: from } = stream.source
                    && !self.workers[from]
                        .core
                        .by_name
                        .get(&stream.name)
                        .is_some_and(|index| self.workers[from].core.streams[*index].is_owned())
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
            let core = &seat.core;
            let left = [
                ("connections", core.conns.len()),
                ("streams", core.streams.len()),
                ("names", core.by_name.len()),
                ("players", core.players),
                ("publishers", core.publishers),
                ("dirty streams", core.dirty.len()),
                ("letters", core.outbound.len()),
            ];
            if let Some((what, count)) = left.iter().find(|(_, count)| *count > 0) {
                for (_, conn) in &core.conns {
                    let (client, id, closing) = (conn.socket.client, conn.id, conn.closing);
                    let (plays, publications) = (&conn.plays, &conn.publications);
                    self.note(|| {
                        format!("client {client} as {id}: {closing:?} {plays:?} {publications:?}")
                    });
                }
                self.fail(&format!("worker {worker} still has {count} {what}"));
            }
            if core.blocks.len() > limits::BLOCKS_KEPT {
                self.fail("more blocks than are to be kept");
            }
            if core.timers.next().is_some() {
                self.fail(&format!("worker {worker} still has deadlines"));
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

/// Connections, streams and players of one worker agree.
fn check_tables(core: &Relay) -> Result<(), String> {
    let plays: usize = core.conns.iter().map(|(_, conn)| conn.plays.len()).sum();
    let slots: usize = core.streams.iter().map(|(_, s)| s.players.len()).sum();
    if [plays, slots] != [core.players; 2] {
        return Err(format!(
            "{plays} plays, {slots} slots, {} players",
            core.players
        ));
    }
    for (key, conn) in &core.conns {
        for play in &conn.plays {
            let player = core
                .streams
                .get(play.stream)
                .and_then(|stream| stream.players.get(play.slot));
            if player.is_none_or(|player| player.conn != key || player.msid != play.msid) {
                return Err(format!("{play:?} of {key} is {player:?}"));
            }
        }
        for publication in &conn.publications {
            let source = core.streams.get(publication.stream).map(|s| s.source);
            if source != Some(Source::Publisher(key)) {
                return Err(format!(
                    "{publication:?} of {key}: the source is {source:?}"
                ));
            }
        }
        if conn.closing.is_some() && !(conn.plays.is_empty() && conn.publications.is_empty()) {
            return Err(format!("{key} is being closed and has roles"));
        }
    }
    let publications: usize = core.conns.iter().map(|(_, c)| c.publications.len()).sum();
    let published = core
        .streams
        .iter()
        .filter(|(_, stream)| matches!(stream.source, Source::Publisher(_)))
        .count();
    if [publications, published] != [core.publishers; 2] {
        let publishers = core.publishers;
        return Err(format!(
            "{publications} publications, {published} sources, {publishers} publishers"
        ));
    }
    for (index, stream) in &core.streams {
        if core.by_name.get(&stream.name) != Some(&index) {
            return Err(format!("{} is not found by its name", stream.name));
        }
        if stream.dirty && !core.dirty.contains(&index) {
            return Err(format!("{} is dirty, and on no list", stream.name));
        }
        if stream.players.is_empty() && !stream.is_owned() {
            return Err(format!("{} is there for nobody", stream.name));
        }
        if !stream.is_owned() && !stream.feeds.is_empty() {
            return Err(format!("{} is fed on by who does not own it", stream.name));
        }
    }
    Ok(())
}

fn check_memory(core: &Relay) -> Result<(), String> {
    for (_, stream) in &core.streams {
        let held = stream.log.held_bytes();
        let most = core.log_limits.bytes + MESSAGE_BYTES_MAX + limits::BLOCK_BYTES as u64;
        if !stream.dirty && held > most {
            return Err(format!("the log of {} holds {held} bytes", stream.name));
        }
        for feed in &stream.feeds {
            let bytes = feed.in_flight.load(std::sync::atomic::Ordering::Relaxed);
            if bytes > core.mail_bytes + limits::BLOCK_BYTES {
                return Err(format!("{bytes} bytes of {} are in flight", stream.name));
            }
        }
    }
    Ok(())
}

/// A player has everything there is, or its socket is full, or it waits.
fn check_served(core: &Relay, stream: &Stream, player: &Player) -> Result<(), String> {
    let conn = &core.conns[player.conn];
    if !player.started || !conn.writable || conn.in_woken || conn.closing.is_some() {
        return Ok(());
    }
    let mut cursor = player.cursor;
    match cursor.settle(&stream.log, core.log_limits.lag_bytes) {
        Place::Wait => Ok(()),
        Place::Follow(offset) if offset == stream.log.visible() => Ok(()),
        Place::Follow(offset) => Err(format!(
            "at {offset} of {}, and nobody goes on",
            stream.log.visible()
        )),
        Place::Start { sync, .. } => Err(format!(
            "may start at {}, and does not: {player:?}",
            sync.offset
        )),
    }
}
