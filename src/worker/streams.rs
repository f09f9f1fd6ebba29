//! How streams live and die on a worker: a publisher comes, leaves, comes back or not; players
//! join and go.
//!
//! ```text
//!             publisher                    publisher leaves
//!   Nobody ---------------> Publisher -----------------------> Away
//!     |  ^                      ^                               |  |
//!     |  | over                 +----- publisher comes back ----+  | grace has passed
//!     |  +---------------------------------------------------------+
//!     +--- another worker has it ---> Fed ---- it ends there ---> (over)
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{Level, debug, info};

use super::conn::{CloseReason, Play};
use super::core::Core;
use super::fault::Midst;
use super::ids::{ConnId, PlayerSlot, StreamId};
use super::mail::Mail;
use super::registry::WorkerSet;
use super::session::Session;
use super::table::{Clock, FlvStart, Form, Meter, Player, Source, Stream, Tally};
use super::timers::Timer;
use crate::limits;
use crate::logging::quoted;
use crate::net::transport::Transport;
use crate::rtmp::control::UserControl;
use crate::stream::cursor::{Cursor, StartAt};
use crate::stream::flv;

impl<S: Transport> Core<S> {
    /// The stream called `name`, made if it is not known here.
    pub(super) fn stream_for(&mut self, name: &Arc<str>) -> StreamId {
        if let Some(&index) = self.by_name.get(name) {
            return index;
        }
        let index = self
            .streams
            .insert(Stream::new(name.clone(), self.log_limits, self.now));
        self.by_name.insert(name.clone(), index);
        index
    }

    /// Connection `key` publishes the stream from now on. `readers`: the other workers that
    /// have players of it.
    pub(super) fn begin_publish(
        &mut self,
        index: StreamId,
        key: ConnId,
        epoch: u64,
        readers: WorkerSet,
    ) {
        let is_of_relay = self.is_relay(key);
        let stream = &mut self.streams[index];
        self.shared.registry.forget_end(&stream.name);
        let away_ms = stream.away_ms(self.now);
        if stream.epoch == epoch {
            stream.tally.gaps += u64::from(matches!(stream.source, Source::Away { .. }));
        } else {
            stream.tally = Tally::new(self.now);
            stream.intake.count_anew();
        }
        if let Source::Fed { .. } = stream.source {
            // Its end has not arrived yet, and it may have broken off within a message.
            stream.log.drop_incomplete();
        }
        stream.intake.begin_publish(&mut stream.log, away_ms);
        if is_of_relay {
            stream.intake.take_pictures_as_held();
        }
        let conn = &self.conns[key];
        stream.meter = Meter::new(self.now);
        if let Some((since, bytes)) = conn.metered
            && self.now.saturating_duration_since(since) < limits::BITRATE_TIME
        {
            (stream.meter.since, stream.meter.bytes) = (since, bytes);
        }
        stream.source = Source::Publisher(key);
        self.faults.at(Midst::Role);
        self.publishers += 1;
        stream.epoch = epoch;
        self.tell_relays_of_begin(index);
        for worker in readers.iter() {
            self.add_feed(index, worker);
            self.faults.at(Midst::Role);
        }
        self.start_players(index);
        self.mark_dirty(index);
    }

    /// Tells every player that waits that playing begins.
    pub(super) fn start_players(&mut self, index: StreamId) {
        for slot in self.streams[index].players.indices() {
            if !self.streams[index].players[slot].started {
                self.start_player(index, slot);
            }
        }
    }

    /// A player of a live stream begins, or, if it is to come over from another stream, may.
    pub(super) fn start_player(&mut self, index: StreamId, slot: PlayerSlot) {
        // A joiner freezes the open segment early and starts with what there is.
        self.flush(index);
        self.place_flv_player(index, slot);
        if self.awaits_kinds(index, slot) {
            return;
        }
        self.begin_player(index, slot);
    }

    /// Begins with the player, whose place in the log is known.
    fn begin_player(&mut self, index: StreamId, slot: PlayerSlot) {
        let stream = &mut self.streams[index];
        let player = &mut stream.players[slot];
        let (key, msid, reset) = (player.conn, player.msid, player.reset);
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        let Some(play) = conn
            .plays
            .iter_mut()
            .find(|p| p.stream == index && p.slot == slot)
        else {
            return;
        };
        player.started = true;
        self.faults.at(Midst::Role);
        if play.switching {
            // It goes over when there is a sync point, and waits as long as a play would.
            return;
        }
        if stream.log.end() == 0 {
            // It was there before the first message: it gets everything, so also the sound that
            // some encoders send ahead of their first picture.
            player.cursor = Cursor::at(0);
            player.has_headers = true;
        }
        play.wait_until = None;
        let only_head = match &mut conn.session {
            Session::Http(http) => {
                let (audio, video) = flv::kinds_likely_in(&stream.log);
                http.begin_stream(&flv::file_header(audio, video))
            }
            session => {
                session.accept_play(msid, &stream.name, reset);
                false
            }
        };
        if only_head {
            player.cursor.pause();
        }
        conn.has_played = true;
        debug!(
            "conn={} play stream={} peer={} worker={}",
            conn.id,
            quoted(&stream.name),
            conn.peer,
            self.worker
        );
        if stream.is_end_told && self.is_relay(key) {
            let session = &mut self.conns[key].session;
            session.send_user_control(UserControl::StreamEof(msid));
        }
        self.settle_in(key);
        if self.conns[key].session.has_more() {
            // A frame that came before the answer, maybe of a close.
            self.mark_ready(key);
        }
        // Nobody tells that a socket takes no more: it has to be looked at.
        let time = if only_head {
            Duration::ZERO
        } else {
            self.shared.config.send_timeout
        };
        self.arm(key, self.now + time);
        self.wake(key);
    }

    /// Who plays by HTTP reads a log of its own, which begins when the first of them does.
    fn place_flv_player(&mut self, index: StreamId, slot: PlayerSlot) {
        let start = self.shared.config.start_at();
        let stream = &mut self.streams[index];
        let player = &mut stream.players[slot];
        if let (Form::Flv(framing), FlvStart::Unplaced) = (player.form, player.flv_start) {
            let (limits, blocks) = (self.log_limits, &mut self.blocks);
            let log = stream.flv.open(framing, &stream.log, limits, blocks);
            player.cursor = Cursor::new(log, start);
            if stream.log.end() == 0 {
                // As by RTMP: it gets everything.
                player.cursor = Cursor::at(0);
                player.has_headers = true;
            }
        }
    }

    /// Whether a player by HTTP has to wait until it is known which kinds of media come. It does
    /// not wait for long: [`Core::begin_overdue`] begins with it all the same.
    fn awaits_kinds(&mut self, index: StreamId, slot: PlayerSlot) -> bool {
        let stream = &mut self.streams[index];
        let player = &mut stream.players[slot];
        if !matches!(player.form, Form::Flv(_)) {
            return false;
        }
        let kinds = flv::kinds_in(&stream.log);
        if kinds.is_certain {
            return false;
        }
        stream.has_undecided = true;
        let (start, wait) = match kinds.audio || kinds.video {
            true => (FlvStart::OneKind, limits::FLV_KIND_WAIT),
            false => (FlvStart::NoMedia, limits::FLV_MEDIA_WAIT),
        };
        if player.flv_start != start && player.flv_start != FlvStart::OneKind {
            player.flv_start = start;
            let (key, until) = (player.conn, self.now + wait);
            let plays = self.conns.get_mut(key).map(|conn| &mut conn.plays);
            let mut plays = plays.into_iter().flatten();
            if let Some(play) = plays.find(|p| p.stream == index && p.slot == slot) {
                play.wait_until = Some(until);
            }
            self.arm(key, until);
        }
        true
    }

    /// Goes on with players by HTTP that wait to know which kinds of media come.
    pub(super) fn start_undecided(&mut self, index: StreamId) {
        if std::mem::take(&mut self.streams[index].has_undecided) && self.streams[index].is_live() {
            self.start_players(index);
        }
    }

    /// Begins with a player that has waited to know which kinds of media come for long enough;
    /// false when it is none.
    pub(super) fn begin_overdue(&mut self, play: &Play) -> bool {
        let stream = &self.streams[play.stream];
        let player = &stream.players[play.slot];
        let waits = stream.is_live() && !player.started && player.flv_start != FlvStart::Unplaced;
        if waits {
            self.flush(play.stream);
            self.begin_player(play.stream, play.slot);
        }
        waits
    }

    /// The log of the stream has come from another worker: those that wait for it start where
    /// they would if they came now.
    pub(super) fn place_waiting(&mut self, index: StreamId) {
        for slot in self.streams[index].players.indices() {
            let player = &self.streams[index].players[slot];
            if player.started {
                continue;
            }
            let key = player.conn;
            let is_it = |play: &&Play| play.stream == index && play.slot == slot;
            let start = match self.conns[key].plays.iter().find(is_it) {
                Some(play) if play.switching => StartAt::NextSync,
                _ => self.start_for(key),
            };
            let stream = &mut self.streams[index];
            let player = &mut stream.players[slot];
            player.cursor = Cursor::new(&stream.log, start);
            player.flv_start = FlvStart::Unplaced;
        }
    }

    /// Takes a player out of a stream. Its connection no longer knows of it.
    pub(super) fn remove_player(&mut self, index: StreamId, slot: PlayerSlot) {
        let stream = &mut self.streams[index];
        let gone = stream.players.swap_remove(slot);
        self.faults.at(Midst::Role);
        self.players -= 1;
        let last = PlayerSlot::new(stream.players.len());
        if let Some(moved) = stream.players.get(slot)
            && let Some(conn) = self.conns.get_mut(moved.conn)
            && let Some(play) = conn
                .plays
                .iter_mut()
                .find(|p| p.stream == index && p.slot == last)
        {
            play.slot = slot;
        }
        if gone.is_counted {
            self.uncount_via(index, gone.conn);
        }
        if self.streams[index].players.is_empty() {
            self.last_player_left(index);
        } else {
            self.charge_pull(index);
        }
    }

    /// The last player of a stream has gone: nobody needs the stream, unless it is owned here.
    pub(super) fn last_player_left(&mut self, index: StreamId) {
        let stream = &self.streams[index];
        let name = stream.name.clone();
        let owner = self.shared.registry.leave(&name, self.worker);
        self.faults.at(Midst::Role);
        if stream.is_owned() {
            if stream.pull.is_some() {
                self.look_at_stream(index, self.now);
            }
            return;
        }
        if let Some(owner) = owner {
            // Also when nothing has come from there yet: it may be on its way.
            let (epoch, from) = (owner.epoch, self.worker);
            let mail = Mail::Unsubscribe { name, epoch, from };
            self.outbound.push((owner.worker, mail));
        }
        self.faults.at(Midst::Role);
        self.forget_stream(index);
    }

    /// The publisher of the stream has gone; it may come back, also when it has `ended` the
    /// stream: some encoders do that where settings change.
    pub(super) fn publisher_left(&mut self, index: StreamId, ended: bool) {
        let stream = &mut self.streams[index];
        if !matches!(stream.source, Source::Publisher(_)) {
            // Of what was to be fetched nothing had come yet.
            return;
        }
        self.publishers -= 1;
        self.faults.at(Midst::Role);
        let stream = &mut self.streams[index];
        let config = &self.shared.config;
        let grace = match stream.pull {
            // No publisher is let in any more, and nothing is fetched anew.
            _ if self.draining => Duration::ZERO,
            Some(_) => config.pull_give_up,
            None if ended => config.grace.min(limits::UNPUBLISH_GRACE),
            None => config.grace,
        };
        let until = self.now + grace;
        stream.source = Source::Away {
            since: self.now,
            until,
            ended,
        };
        // Who joins now would start with a picture of the past and then see nothing.
        stream.log.flush();
        stream.log.close_starts();
        self.mark_dirty(index);
        self.faults.at(Midst::Role);
        // At once, for the relays that play it.
        self.look_at_stream(index, self.now);
        self.tell_feeds(index, |name, epoch| Mail::Away { name, epoch, ended });
        if ended {
            self.note_end(index, grace);
        }
    }

    /// The publisher of a stream has ended it, and may come back within `grace`: for as long as
    /// a play may come before its publish after that, it is known that the stream is over.
    pub(super) fn note_end(&self, index: StreamId, grace: Duration) {
        let (now, wait) = (self.uptime(), self.shared.config.play_wait);
        let name = &self.streams[index].name;
        let registry = &self.shared.registry;
        registry.note_end(name, now, now + grace + wait);
    }

    /// The stream is looked at again at `at`.
    pub(super) fn look_at_stream(&mut self, index: StreamId, at: Instant) {
        let armed = &mut self.streams[index].armed;
        self.timers.arm(armed, at, Timer::Stream(index));
    }

    /// Does what is due for a stream: its lines are called, it ends when its publisher has not
    /// come back. Sets its timer for what is due next.
    pub(super) fn check_stream(&mut self, index: StreamId) {
        if let Source::Away { .. } = self.streams[index].source {
            self.tell_relays_of_end(index);
        }
        let Some(stream) = self.streams.get(index) else {
            return;
        };
        if stream.pull.is_some() {
            return self.check_pull(index);
        }
        match stream.source {
            Source::Publisher(_) => self.check_pushes(index),
            Source::Away { until, .. } if until > self.now => self.look_at_stream(index, until),
            Source::Away { .. } => {
                if self.notes.allow("over", Level::Info, self.now) {
                    info!(
                        "stream={} over: its publisher has not come back",
                        quoted(&stream.name)
                    );
                }
                self.end_stream(index);
            }
            Source::Nobody | Source::Fed { .. } | Source::Pulling => {}
        }
    }

    /// Relays that play the stream are told that its publisher has gone (StreamEOF, RTMP 1.0
    /// §7.1.7): they may have it from elsewhere, and need not wait until it is clear that nothing
    /// comes. Nobody else is told: players take it for the end. Those that have not been sent all
    /// there is find out by themselves.
    pub(super) fn tell_relays_of_end(&mut self, index: StreamId) {
        let stream = &mut self.streams[index];
        if std::mem::replace(&mut stream.is_end_told, true) {
            return;
        }
        let has_relay = |core: &mut Self| {
            let players = core.streams[index].players.iter();
            let keys: Vec<ConnId> = players.map(|player| player.conn).collect();
            keys.into_iter().any(|key| core.is_relay(key))
        };
        if !has_relay(self) {
            return;
        }
        self.round(index);
        self.tell_relays(index, UserControl::StreamEof);
    }

    /// They are told that the next one has come.
    pub(super) fn tell_relays_of_begin(&mut self, index: StreamId) {
        if std::mem::take(&mut self.streams[index].is_end_told) {
            self.tell_relays(index, UserControl::StreamBegin);
        }
    }

    fn tell_relays(&mut self, index: StreamId, event: fn(u32) -> UserControl) {
        let Some(stream) = self.streams.get(index) else {
            return;
        };
        let has_all = |player: &&Player| {
            let visible = stream.log.visible();
            player.started
                && player
                    .cursor
                    .needs_from()
                    .is_none_or(|from| from >= visible)
        };
        let players = stream.players.iter().filter(has_all);
        let players: Vec<_> = players.map(|player| (player.conn, player.msid)).collect();
        for (key, msid) in players {
            if self.is_relay(key) {
                self.conns[key].session.send_user_control(event(msid));
                self.wake(key);
            }
        }
    }

    /// Ends a stream of this worker: players are told and closed, other workers are told.
    pub(super) fn end_stream(&mut self, index: StreamId) {
        if !self.streams.contains(index) {
            return;
        }
        // First what they are owed of it.
        self.round(index);
        if !self.streams.contains(index) {
            // A panic on the way has ended it.
            return;
        }
        self.faults.at(Midst::Deadline);
        // Once this worker has told its players that the relay stops, the others tell theirs.
        if !self.drained {
            self.tell_feeds(index, |name, epoch| Mail::End { name, epoch });
        }
        self.faults.at(Midst::Deadline);
        let name = self.streams[index].name.clone();
        self.shared.registry.release(&name, self.worker);
        self.faults.at(Midst::Deadline);
        let source = &mut self.streams[index].source;
        if let Source::Publisher(_) = std::mem::replace(source, Source::Nobody) {
            // It is fetched, and nobody wants it any more; or its log is broken.
            self.publishers -= 1;
        }
        self.faults.at(Midst::Deadline);
        self.end_feeds(index);
        self.forget_pull(index);
        self.forget_pushes(index);
        self.end_players(index);
    }

    /// Tells the players of a stream that it is over and closes them; forgets the stream unless
    /// some still wait for it.
    pub(super) fn end_players(&mut self, index: StreamId) {
        // The stream must outlive its last player's removal: it is forgotten there.
        while let Some(player) = self
            .streams
            .get(index)
            .and_then(|stream| stream.players.iter().rev().find(|player| player.started))
        {
            let (key, msid) = (player.conn, player.msid);
            self.end_player(index, key, msid);
        }
        let Some(stream) = self.streams.get_mut(index) else {
            return;
        };
        if stream.players.is_empty() {
            self.forget_stream(index);
            return;
        }
        // Those that wait start anew with whoever publishes next.
        stream.log = crate::stream::log::StreamLog::new(self.log_limits);
        stream.flv.recycle(&mut self.blocks);
        for player in &mut stream.players {
            player.cursor = Cursor::new(&stream.log, StartAt::NewestSync);
            player.flv_start = FlvStart::Unplaced;
        }
    }

    fn end_player(&mut self, index: StreamId, key: ConnId, msid: u32) {
        let conn = &mut self.conns[key];
        let found = conn
            .plays
            .iter()
            .position(|play| play.stream == index && play.msid == msid);
        let Some(at) = found else { return };
        let play = conn.plays.remove(at);
        self.faults.at(Midst::Role);
        if play.switching {
            let why = "the stream to switch to has ended";
            conn.session
                .send_status(msid, crate::rtmp::command::Status::PlayFailed, why);
        }
        // One that is about to go over to another stream still does, and its time goes on.
        match conn.plays.iter().find(|other| other.msid == msid) {
            Some(other) => {
                if let Some(last) = self.streams[play.stream].last_times_of(play.slot) {
                    let player = &mut self.streams[other.stream].players[other.slot];
                    player.clock = Clock::Follows(last);
                }
            }
            None => conn.session.end_play(msid, "the stream is over"),
        }
        conn.idle_since = self.now;
        self.remove_player(play.stream, play.slot);
        let conn = &self.conns[key];
        if conn.plays.is_empty() && conn.publications.is_empty() {
            self.close(key, &CloseReason::StreamEnded);
        } else {
            self.wake(key);
        }
    }

    fn forget_stream(&mut self, index: StreamId) {
        if let Some(mut stream) = self.streams.remove(index) {
            self.timers.disarm(&mut stream.armed);
            self.faults.at(Midst::Role);
            self.by_name.remove(&stream.name);
            stream.log.recycle(&mut self.blocks);
            stream.flv.recycle(&mut self.blocks);
        }
    }
}
