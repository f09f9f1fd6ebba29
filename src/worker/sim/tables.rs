//! What has to be true of one worker after every step, whatever the world around it is.

use std::time::{Duration, Instant};

use super::wire::SimSocket;
use crate::limits;
use crate::stream::cursor::Place;
use crate::worker::conn::Conn;
use crate::worker::core::Core;
use crate::worker::ids::ConnId;
use crate::worker::line::{State, Task};
use crate::worker::table::{Player, Source, Stream};

type Relay = Core<SimSocket>;

/// The longest message in a log: 200 KiB in chunks of 128 bytes with a header of five each.
const MESSAGE_BYTES_MAX: usize = 220 * 1_024;

/// Replies that wait: those that a peer may have waiting, and the headers of a start.
const REPLY_BYTES_MAX: usize = limits::OUT_BYTES_MAX + limits::HEADERS_BYTES_MAX;

/// What a socket took the first part of: replies, messages that are gathered, and one more.
const HALF_SENT_BYTES_MAX: usize = REPLY_BYTES_MAX + limits::FILTERED_BYTES + MESSAGE_BYTES_MAX;

/// How late a deadline may be seen when a worker has its turns.
const LATE: Duration = Duration::from_millis(10);

/// What a worker has is what the registry says it has.
pub(super) fn check_registry(core: &Relay) -> Result<(), String> {
    let worker = core.worker;
    let entries = core.shared.registry.entries();
    for (name, owner, epoch, readers) in &entries {
        let stream = core.streams.find(name).map(|index| &core.streams[index]);
        let owns = stream.is_some_and(Stream::is_owned);
        let reads = stream.is_some_and(|stream| !stream.players.is_empty());
        // Targets are players that the registry is not told of; their owner does not ask it.
        let has_targets = owns && stream.is_some_and(|stream| !stream.pushes.is_empty());
        if owns != (*owner == Some(worker)) || owns && stream.is_none_or(|s| s.epoch != *epoch) {
            return Err(format!(
                "{name} is owned: {owns}, and {owner:?} by the registry"
            ));
        }
        if !has_targets && reads != readers.iter().any(|reader| reader == worker) {
            return Err(format!(
                "{name} is read: {reads}, and {readers:?} by the registry"
            ));
        }
    }
    let mut names = core.streams.iter().map(|(_, stream)| &stream.name);
    match names.find(|name| entries.iter().all(|(known, ..)| known != *name)) {
        Some(name) => Err(format!("{name} is here and not in the registry")),
        None => Ok(()),
    }
}

/// Nothing lies about that nobody will come back to: this worker will not be woken by what
/// there is.
pub(super) fn check_idle(core: &Relay, now: Instant) -> Result<(), String> {
    for (key, conn) in core.conns.iter() {
        check_watched(core, (key, conn), now)?;
    }
    let next = core.next_deadline();
    let comes = |at: Instant| next.is_some_and(|next| next <= at.max(now));
    for (_, stream) in core.streams.iter() {
        // That of a pull is judged by what the pull waits for.
        if let Source::Away { until, .. } = stream.source()
            && stream.pull.is_none()
            && core.timers.at(stream.armed).is_none_or(|at| at > until)
        {
            return Err(format!("nobody sees the end of {}", stream.name));
        }
        if stream.is_dirty() {
            if !comes(now + core.pacer.pace()) {
                return Err(format!("nobody writes {} in time", stream.name));
            }
            continue;
        }
        if stream.is_owned() && stream.log.has_unflushed() {
            return Err(format!("{} has something that nobody flushes", stream.name));
        }
        for player in stream.players.iter() {
            check_served(core, stream, player)
                .map_err(|what| format!("{what} (player {} of {})", player.conn(), stream.name))?;
        }
    }
    Ok(())
}

fn check_watched(
    core: &Relay,
    (key, conn): (ConnId, &Conn<SimSocket>),
    now: Instant,
) -> Result<(), String> {
    let wire = conn.socket.wire.borrow();
    let client = conn.socket.client;
    let ready = wire.readiness();
    if ready.readable && !wire.event && !conn.is_to_be_read() && !conn.is_readable() {
        return Err(format!("nobody reads what client {client} sent"));
    }
    if conn.is_readable() && !conn.is_to_be_read() && !wire.event && !conn.is_closing() {
        return Err(format!(
            "client {client} may have sent something; nobody looks"
        ));
    }
    if !conn.is_writable() && !wire.full && !wire.event {
        return Err(format!("client {client} can take bytes; nobody knows"));
    }
    let waits = core
        .streams
        .plays(key)
        .iter()
        .filter_map(|play| play.wait_until);
    let first = waits.chain(conn.closing()).min();
    if let Some(until) = first
        && core
            .timers
            .at(conn.armed)
            .is_none_or(|at| at > until.max(now) + LATE)
    {
        return Err(format!("a deadline of client {client} is forgotten"));
    }
    Ok(())
}

/// Connections, streams and players of one worker agree.
pub(super) fn check_tables(core: &Relay) -> Result<(), String> {
    let conns = core.conns.iter();
    let plays: usize = conns.map(|(key, _)| core.streams.plays(key).len()).sum();
    let slots: usize = core.streams.iter().map(|(_, s)| s.players.len()).sum();
    let players = core.streams.players();
    if [plays, slots] != [players; 2] {
        return Err(format!("{plays} plays, {slots} slots, {players} players"));
    }
    for (key, conn) in core.conns.iter() {
        for play in core.streams.plays(key) {
            let player = core
                .streams
                .get(play.stream)
                .and_then(|stream| stream.players.get(play.slot));
            if player.is_none_or(|player| player.conn() != key || player.msid() != play.msid) {
                return Err(format!("{play:?} of {key} is {player:?}"));
            }
        }
        for publication in core.streams.publications(key) {
            let stream = core.streams.get(publication.stream);
            let source = stream.map(|stream| stream.source());
            let pull = stream.and_then(|stream| stream.pull.as_ref());
            // What an origin has accepted is the source once there is media.
            let is_fetched = pull.is_some_and(|pull| pull.is_held(key));
            if source != Some(Source::Publisher(key)) && !is_fetched {
                return Err(format!(
                    "{publication:?} of {key}: the source is {source:?}"
                ));
            }
        }
        if conn.is_closing() && core.streams.has_role(key) {
            return Err(format!("{key} is being closed and has roles"));
        }
    }
    let publications = core.conns.iter().flat_map(|(key, _)| {
        let publications = core.streams.publications(key).iter();
        publications.filter(move |its| core.streams[its.stream].publisher() == Some(key))
    });
    let publications = publications.count();
    let published = core
        .streams
        .iter()
        .filter(|(_, stream)| matches!(stream.source(), Source::Publisher(_)))
        .count();
    let publishers = core.streams.publishers();
    if [publications, published] != [publishers; 2] {
        return Err(format!(
            "{publications} publications, {published} sources, {publishers} publishers"
        ));
    }
    for (index, stream) in core.streams.iter() {
        if core.streams.find(&stream.name) != Some(index) {
            return Err(format!("{} is not found by its name", stream.name));
        }
        check_relays(stream)?;
        if stream.is_dirty() && !core.streams.dirty().contains(&index) {
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

/// Players are counted by their relays for as long as they are there.
fn check_relays(stream: &Stream) -> Result<(), String> {
    let counted = stream.players.iter().filter(|player| player.is_counted());
    let known = stream.relays.as_ref().map(|its| its.players());
    match known.unwrap_or_default() == counted.count() {
        true => Ok(()),
        false => Err(format!(
            "{}: {known:?} players by their relays",
            stream.name
        )),
    }
}

/// Each timer is that of a connection, stream or question that waits.
pub(super) fn check_timers(core: &Relay) -> Result<(), String> {
    let conns = core.conns.iter().filter(|(_, conn)| conn.armed.is_some());
    let streams = core.streams.iter();
    let streams = streams.filter(|(_, stream)| stream.armed.is_some());
    let owners = conns.count() + streams.count();
    let timers = core.timers.len();
    if timers != owners {
        return Err(format!("{timers} timers are set, and {owners} wait"));
    }
    Ok(())
}

/// Whatever a worker has waiting is of a connection or a stream that it has.
pub(super) fn check_queues(core: &Relay) -> Result<(), String> {
    let (conns, streams) = (core.conns.len(), core.streams.len());
    let lines = core.streams.iter().map(|(_, stream)| {
        let of_pull = usize::from(stream.pull.is_some());
        of_pull + stream.pushes.len()
    });
    let lines: usize = lines.sum();
    // What comes of a call is told between two turns; a stream may have ended with it.
    let letters_max = core.shared.mailboxes.len() * (streams + conns + 1);
    let totals = [
        ("names", core.streams.names(), streams),
        ("letters", core.outbox.count(), letters_max),
        ("calls", core.calls.count_requests(), lines),
        ("calls without an answer", core.calls.count_open(), lines),
        ("new publishers", core.conns.count_publishers(), 0),
        ("newcomers by HTTP", core.conns.count_awaiting(), conns),
    ];
    if let Some(what) = beyond(&totals) {
        return Err(what);
    }
    for (key, conn) in core.conns.iter() {
        let half_sent: usize = conn.half_sent.iter().map(|piece| piece.len()).sum();
        let pending = [
            (
                "bytes of replies",
                conn.session.pending().len(),
                REPLY_BYTES_MAX,
            ),
            ("bytes half-sent", half_sent, HALF_SENT_BYTES_MAX),
        ];
        if let Some(what) = beyond(&pending) {
            return Err(format!("{what}, of {key}"));
        }
    }
    Ok(())
}

/// The first of these counts that is more than it may be, in words.
pub(super) fn beyond(totals: &[(&str, usize, usize)]) -> Option<String> {
    let found = totals.iter().find(|(_, count, most)| count > most);
    found.map(|(what, count, most)| format!("{count} {what}, and {most} at most"))
}

pub(super) fn check_memory(core: &Relay) -> Result<(), String> {
    for (_, stream) in core.streams.iter() {
        let held = stream.log.held_bytes();
        let most =
            core.settings.log_limits().bytes + (MESSAGE_BYTES_MAX + limits::BLOCK_BYTES) as u64;
        if !stream.is_dirty() && held > most {
            return Err(format!("the log of {} holds {held} bytes", stream.name));
        }
        for feed in &stream.feeds {
            let bytes = feed.bytes_in_flight();
            if bytes > core.outbox.bytes_max() + limits::BLOCK_BYTES {
                return Err(format!("{bytes} bytes of {} are in flight", stream.name));
            }
        }
    }
    Ok(())
}

/// A player has everything there is, or its socket is full, or it waits.
fn check_served(core: &Relay, stream: &Stream, player: &Player) -> Result<(), String> {
    let conn = &core.conns[player.conn()];
    if !player.is_started() || !conn.is_writable() || conn.is_to_be_written() || conn.is_closing() {
        return Ok(());
    }
    let mut cursor = player.cursor();
    match cursor.settle(&stream.log, core.settings.log_limits().lag_bytes) {
        Place::Wait => Ok(()),
        Place::Follow(offset) if offset == stream.log.visible() => Ok(()),
        Place::Follow(offset) => Err(format!(
            "at {offset} of {}, and nobody goes on",
            stream.log.visible()
        )),
        // What it waited for has been let go of since; it starts with what comes next.
        Place::Start { sync, .. } if sync.offset == stream.log.visible() => Ok(()),
        Place::Start { sync, .. } => Err(format!(
            "may start at {}, and does not: {player:?}",
            sync.offset
        )),
    }
}

/// Lines to other servers, calls and connections agree, and no line is waited for by nobody.
pub(super) fn check_lines(core: &Relay, now: Instant, is_idle: bool) -> Result<(), String> {
    let mut calling = 0;
    for (index, stream) in core.streams.iter() {
        let pull = stream.pull.iter().map(|pull| (Task::Pull, pull.line()));
        let pushes = stream.pushes.iter();
        let pushes = pushes.map(|push| (Task::Push(push.rule()), push.line()));
        for (task, line) in pull.chain(pushes) {
            let is_known = match line.state() {
                State::Idle => check_idle_line(stream),
                State::Waiting(until) => {
                    let is_for =
                        matches!(stream.source(), Source::Publisher(_)) || task == Task::Pull;
                    let armed = core.timers.at(stream.armed);
                    !is_idle || !is_for || armed.is_some_and(|armed| armed <= until.max(now))
                }
                State::Calling(id) => {
                    calling += 1;
                    core.calls.purpose(id) == Some((index, task))
                }
                State::Up(key) => core.conns.get(key).is_some_and(|conn| {
                    let its = conn.errand();
                    core.is_draining()
                        || its.is_some_and(|its| (its.stream(), its.task()) == (index, task))
                }),
            };
            if !is_known && !core.is_draining() {
                return Err(format!("{task:?} of {} is lost: {line:?}", stream.name));
            }
        }
    }
    if calling != core.calls.count_open() {
        return Err(format!("{calling} lines call, and {:?}", core.calls));
    }
    for (key, conn) in core.conns.iter() {
        let Some(errand) = conn.errand() else {
            continue;
        };
        let (stream, task) = (core.streams.get(errand.stream()), errand.task());
        let pull = stream.and_then(|stream| stream.pull.as_ref());
        if task == Task::Pull && pull.is_some_and(|pull| pull.is_held(key)) {
            continue;
        }
        let line = stream.and_then(|stream| match task {
            Task::Pull => pull.map(|pull| pull.line()),
            Task::Push(rule) => stream.push(rule).map(|push| push.line()),
        });
        let pushes = stream.into_iter().flat_map(|stream| &stream.pushes);
        let is_former = pushes.into_iter().any(|push| push.former() == Some(key));
        if !is_former && line.is_none_or(|line| !line.is_up(key)) {
            return Err(format!("{key} is for {task:?} of {line:?}"));
        }
    }
    Ok(())
}

/// Nobody is looked for only while a pull has media, or nothing but the connection it has.
fn check_idle_line(stream: &Stream) -> bool {
    let pull = stream.pull.as_ref();
    pull.is_some_and(|pull| !pull.needs_search() || pull.held().is_some() && pull.has_one_origin())
}

/// What a worker still has that it should not when everybody has gone, if anything.
pub(super) fn left_over(core: &Relay) -> Option<(&'static str, usize)> {
    let left = [
        ("connections", core.conns.len()),
        ("streams", core.streams.len()),
        ("names", core.streams.names()),
        ("players", core.streams.players()),
        ("publishers", core.streams.publishers()),
        ("dirty streams", core.streams.dirty().len()),
        ("letters", core.outbox.count()),
        ("calls", core.calls.count_requests()),
        ("calls without an answer", core.calls.count_open()),
        ("deadlines", usize::from(core.timers.next().is_some())),
    ];
    left.into_iter().find(|(_, count)| *count > 0)
}
