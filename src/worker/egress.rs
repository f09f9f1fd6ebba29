//! Egress: from logs to sockets. One of the two files that hold the control flow of the data
//! path (the other is ingress.rs).
//!
//! ```text
//!   stream with something new -> flush -> every player: one write from its cursor -> trim
//! ```
//!
//! A player that follows live is written one contiguous slice of shared memory: nothing is
//! queued, copied or counted per message. When the socket is full in the middle of a message,
//! the rest of that message is held by reference, so that the cursor stays at a boundary and
//! may jump.

use std::io::IoSlice;

use smallvec::SmallVec;

use super::close_reason::CloseReason;
use super::conn::{Conn, Sent};
use super::contain::Step;
use super::core::Core;
use super::form::{Gathered, gather};
use super::ids::{ConnId, PlayerSlot, StreamId};
use super::session::Form;
use super::table::{Play, Player, Stream};
use crate::limits::{JUMP_BACKLOG_BYTES_MAX, SLICES_MAX, WRITES_PER_TURN};
use crate::net::transport::Transport;
use crate::rtmp::command::Status;
use crate::stream::cursor::Place;
use crate::stream::flv;
use crate::stream::headers::Headers;
use crate::stream::log::Times;

/// What came of serving a player.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Served {
    /// It has everything, or its socket is full, or it waits.
    Done,
    /// There is more to write at once.
    More,
    /// The connection is gone.
    Gone,
}

impl<S: Transport> Core<S> {
    /// Writes to the players of every stream with something new, if that is due; else only to
    /// those of streams whose logs cannot wait.
    pub(super) fn egress(&mut self) {
        let is_due = self.streams.has_dirty() && self.pacer.due(self.now) <= self.now;
        if !is_due && !self.streams.has_overfull() {
            return;
        }
        let before = (self.gauges.writes, self.gauges.bytes_out);
        if is_due {
            self.pacer.begin_round(self.now);
            self.due_rounds();
        } else {
            self.early_rounds();
        }
        let work = self.pacer.work();
        work.writes += self.gauges.writes - before.0;
        work.written += self.gauges.bytes_out - before.1;
    }

    fn due_rounds(&mut self) {
        let dirty = self.streams.take_dirty();
        for &index in &dirty {
            if self.streams.begin_round(index) {
                self.contained_stream(index, |core| core.round(index));
            }
        }
        self.streams.keep_dirty(dirty);
    }

    /// A fast publisher fills memory between two rounds, however long the pace is. Other workers
    /// have been fed by now, so that trimming takes nothing from them.
    fn early_rounds(&mut self) {
        for index in self.streams.take_overfull() {
            let stream = self.streams.get(index);
            if stream.is_some_and(|stream| stream.log.is_overfull()) {
                self.round(index);
            }
        }
    }

    /// Writes to every player of one stream, then trims its log.
    pub(super) fn round(&mut self, index: StreamId) {
        self.flush(index);
        self.start_undecided(index);
        self.streams[index].tally.note_round(self.now);
        // From the last to the first: one that is closed on the way, with every play of its
        // connection, is replaced by one that has been served.
        for slot in self.streams[index].players.indices().rev() {
            let stream = self.streams.get(index);
            if let Some(player) = stream.and_then(|stream| stream.players.get(slot)) {
                let key = player.conn();
                self.contained(key, Step::Other, |core| core.serve_fully(index, slot));
            }
        }
        self.trim(index);
    }

    /// Frees what no player of the stream needs any more.
    pub(super) fn trim(&mut self, index: StreamId) {
        let now = self.uptime();
        let Some(stream) = self.streams.get_mut(index) else {
            return;
        };
        let Stream {
            log, flv, players, ..
        } = stream;
        let needs = players
            .iter()
            .filter(|player| !player.is_by_http())
            .filter_map(Player::needs_from);
        log.trim(&mut self.blocks, needs.min().unwrap_or(u64::MAX), now);
        flv.trim(&mut self.blocks, now, |framing| {
            let its = players.iter().filter(|p| p.form() == Form::Flv(framing));
            its.map(|player| player.needs_from().unwrap_or(u64::MAX))
                .min()
        });
    }

    /// Writes to every connection on the woken list.
    pub(super) fn serve_woken(&mut self) {
        let mut woken = self.conns.take_woken();
        for key in woken.drain(..) {
            self.contained(key, Step::Other, |core| core.serve_one_woken(key));
        }
        self.conns.keep_woken(woken);
    }

    fn serve_one_woken(&mut self, key: ConnId) {
        let Some(conn) = self.conns.begin_write(key) else {
            return;
        };
        if conn.is_closing() {
            self.finish(key);
            return;
        }
        let plays = SmallVec::<[Play; 1]>::from_slice(self.streams.plays(key));
        if plays.iter().all(|play| play.wait_until.is_some()) && !self.send_replies(key) {
            return;
        }
        for play in plays {
            // Slots may have changed while the others were served.
            let mut now = self.streams.plays(key).iter();
            let now = now.find(|its| its.stream == play.stream && its.msid == play.msid);
            if let Some(now) = now.copied() {
                self.serve_fully(now.stream, now.slot);
            }
        }
    }

    /// Sends replies of a connection that no log feeds; false when it is gone.
    fn send_replies(&mut self, key: ConnId) -> bool {
        let conn = &mut self.conns[key];
        if !conn.is_writable() || !conn.has_pending() {
            return true;
        }
        match conn.send(&[], self.now) {
            Ok(sent) => {
                self.gauges.bytes_out += sent.bytes as u64;
                let conn = &mut self.conns[key];
                let may_be_heard = conn.session.http().is_some_and(|http| http.has_more());
                if conn.is_writable() && conn.has_pending() {
                    // It was more than one write takes.
                    self.wake(key);
                }
                if may_be_heard {
                    self.mark_ready(key);
                }
                true
            }
            Err(reason) => {
                self.close(key, &reason);
                false
            }
        }
    }

    /// Sends what a closing connection is owed, then the end of the stream.
    fn finish(&mut self, key: ConnId) {
        let conn = &mut self.conns[key];
        if conn.is_writable() && conn.has_pending() {
            match conn.send(&[], self.now) {
                Ok(sent) => self.gauges.bytes_out += sent.bytes as u64,
                Err(_) => {
                    self.remove(key);
                    return;
                }
            }
        }
        let conn = &mut self.conns[key];
        if !conn.has_pending() {
            conn.socket.shutdown_write();
            conn.set_readable(true);
            self.mark_ready(key);
        } else if conn.is_writable() {
            // It was more than one write takes.
            self.wake(key);
        }
    }

    /// Serves one player until it has everything or its turn is over.
    fn serve_fully(&mut self, index: StreamId, slot: PlayerSlot) {
        for _ in 0..WRITES_PER_TURN {
            match self.serve(index, slot) {
                Served::Done | Served::Gone => return,
                Served::More => {}
            }
        }
        if let Some(player) = self.streams.get(index).and_then(|s| s.players.get(slot)) {
            self.wake(player.conn());
        }
    }

    /// One write to one player.
    fn serve(&mut self, index: StreamId, slot: PlayerSlot) -> Served {
        let player = &self.streams[index].players[slot];
        let key = player.conn();
        let conn = &self.conns[key];
        if !conn.is_writable() || !player.is_started() || conn.is_closing() {
            return Served::Done;
        }
        let is_held_back = !may_go_on(player, conn);
        let offset = if is_held_back {
            None
        } else {
            match self.settle(index, slot) {
                Ok(offset) => offset,
                Err(served) => return served,
            }
        };
        let sent = match self.write(index, slot, offset) {
            Ok(sent) => sent,
            Err(reason) => {
                self.close(key, &reason);
                return Served::Gone;
            }
        };
        self.gauges.bytes_out += sent.bytes as u64;
        self.gauges.writes += u64::from(sent.bytes > 0);
        let stream = &mut self.streams[index];
        stream.tally.count_sent(sent.bytes);
        let player = &stream.players[slot];
        let is_behind = player.is_behind(player.log(&stream.log, &stream.flv));
        let conn = &self.conns[key];
        let is_owed = is_behind || is_held_back || conn.has_pending();
        let more = conn.is_writable() && is_owed && sent.bytes > 0;
        if more { Served::More } else { Served::Done }
    }

    /// Where a player reads on, if it does. One that starts or jumps gets the headers first.
    fn settle(&mut self, index: StreamId, slot: PlayerSlot) -> Result<Option<u64>, Served> {
        let stream = &mut self.streams[index];
        let player = &mut stream.players[slot];
        let (key, msid) = (player.conn(), player.msid());
        let log = player.log(&stream.log, &stream.flv);
        match player.settle(log, self.settings.log_limits().lag_bytes) {
            Place::Wait => Ok(None),
            Place::Follow(offset) => Ok(Some(offset)),
            Place::Start { sync, skipped } => {
                let begins = log.times_from(sync.offset, sync.timestamp);
                if skipped > 0 && self.cannot_keep_up(index, slot) {
                    return Err(Served::Gone);
                }
                self.complete_switch(index, slot, &begins);
                let (stream, conn) = (&mut self.streams[index], &mut self.conns[key]);
                let player = &mut stream.players[slot];
                if player.is_paused() {
                    return Ok(None);
                }
                let skips = u64::from(skipped > 0);
                stream.tally.count_skips(skips, skipped);
                conn.count_skips(skips, skipped);
                if let Some(rule) = conn.push_rule() {
                    self.targets[rule].skipped_bytes += skipped;
                }
                let session = &mut conn.session;
                let chunk_size = session.out_chunk_size();
                let out = session.out().writer();
                let is_first = player.note_headers();
                let at = begins.plus(player.shift()).of_headers(is_first);
                let headers = sync.headers;
                if !is_first && player.is_server() && stream.log.has_had_clears() {
                    // It may have missed one.
                    Headers::clear().write(out, msid, at, chunk_size);
                }
                match player.form() {
                    Form::Play => headers.write(out, msid, at, chunk_size),
                    Form::Publish => headers.to_publish().write(out, msid, at, chunk_size),
                    Form::Flv(framing) => flv::write_headers(&headers, out, framing, at),
                }
                self.gauges.skips += skips;
                self.gauges.skipped_bytes += skipped;
                Ok(Some(sync.offset))
            }
        }
    }

    /// Counts a jump of a player; true when that was one too many and it is closed.
    fn cannot_keep_up(&mut self, index: StreamId, slot: PlayerSlot) -> bool {
        let Some(most) = self.shared.config.skips_max else {
            return false;
        };
        let player = &mut self.streams[index].players[slot];
        let (key, msid) = (player.conn(), player.msid());
        if player.count_skip(self.now) <= most {
            return false;
        }
        let why = "the line is too slow for the stream";
        self.conns[key]
            .session
            .reject(msid, Status::PlayFailed, why);
        self.close(key, &CloseReason::Skips);
        true
    }

    /// Writes what waits for a player's connection, then the log from `offset` on.
    pub(super) fn write(
        &mut self,
        index: StreamId,
        slot: PlayerSlot,
        offset: Option<u64>,
    ) -> Result<Sent, CloseReason> {
        let Self { streams, conns, .. } = self;
        let stream = &mut streams[index];
        let player = &mut stream.players[slot];
        let conn = &mut conns[player.conn()];
        match offset {
            None => conn.send(&[], self.now),
            Some(offset) if player.is_plain() => {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let log = player.log(&stream.log, &stream.flv);
                let (from, to) = log.part_for(player.is_relay(), offset);
                let count = log.slices((from, to), &mut slices);
                let sent = conn.send(&slices[..count], self.now)?;
                let reached = from + sent.log_bytes as u64;
                let end = log.message_end(reached);
                log.share(reached, end, &mut conn.half_sent);
                player.advance_to(end);
                Ok(sent)
            }
            Some(offset) => {
                // `may_go_on`: no half-sent message is left.
                let chunk_size = conn.session.out_chunk_size();
                let mut gathered = Gathered::new(&mut conn.half_sent);
                // What is to be said so far, headers among it, goes before the messages.
                let replies = conn.session.out();
                let said = replies.pending().len();
                gathered.copied.extend_from_slice(replies.pending());
                replies.advance(said);
                let log = player.log(&stream.log, &stream.flv);
                let reached = gather(log, player, offset, chunk_size, &mut gathered);
                gathered.end();
                player.advance_to(reached);
                conn.send(&[], self.now)
            }
        }
    }

    /// A player that was to come over from another stream starts here, where this one `begins` for
    /// it: it leaves the other one, and its time goes on. Where that was paused it begins when the
    /// client reads on.
    fn complete_switch(&mut self, index: StreamId, slot: PlayerSlot, begins: &Times) {
        let player = &self.streams[index].players[slot];
        let (key, msid) = (player.conn(), player.msid());
        let play = self.streams.play_of(index, slot);
        if !play.switching {
            return;
        }
        play.switching = false;
        play.wait_until = None;
        let why = &*self.streams[index].name;
        self.conns[key]
            .session
            .send_status(msid, Status::PlayTransitionComplete, why);
        let is_old = |play: &&Play| play.msid == msid && play.stream != index;
        let old = self.streams.plays(key).iter().find(is_old).copied();
        let last = old.and_then(|old| self.streams[old.stream].last_times_of(old.slot));
        let stream = &mut self.streams[index];
        stream.players[slot].come_over(begins, last, &stream.log);
        if let Some(old) = old {
            self.remove_player(old.stream, old.slot);
        }
        self.set_player(key);
    }

    /// Sends every other worker what is new since the last turn.
    pub(super) fn feed(&mut self) {
        for position in 0.. {
            let Some(index) = self.streams.dirty_at(position) else {
                return;
            };
            if self
                .streams
                .get(index)
                .is_some_and(|stream| !stream.feeds.is_empty())
            {
                self.contained_stream(index, |core| core.feed_stream(index));
            }
        }
    }
}

/// Whether a player may be given more of the log, and jump. Each jump puts all headers of a
/// stream behind what waits, so that a player which takes little would hold more with each.
fn may_go_on<S: Transport>(player: &Player, conn: &Conn<S>) -> bool {
    conn.session.pending().len() <= JUMP_BACKLOG_BYTES_MAX
        && (player.is_plain() || conn.half_sent.is_empty())
}
