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

use super::close_reason::CloseReason;
use super::core::Core;
use super::ids::{ConnId, PlayerSlot, StreamId};
use super::mail::Mail;
use super::registry::WorkerSet;
use super::session::Session;
use super::table::{Clock, FlvStart, Form, Meter, Play, Player, Source, Tally};
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
        self.streams.open(name, self.log_limits, self.now)
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
            stream.tally.gaps += u64::from(matches!(stream.source(), Source::Away { .. }));
        } else {
            stream.tally = Tally::new(self.now);
            stream.intake.count_anew();
        }
        if let Source::Fed { .. } = stream.source() {
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
        stream.epoch = epoch;
        self.streams.begin(index, key);
        self.tell_relays_of_begin(index);
        for worker in readers.iter() {
            self.add_feed(index, worker);
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
        player.started = true;
        if self.streams.play_of(index, slot).switching {
            // It goes over when there is a sync point, and waits as long as a play would.
            return;
        }
        self.streams.play_of(index, slot).wait_until = None;
        let stream = &mut self.streams[index];
        let player = &mut stream.players[slot];
        let conn = &mut self.conns[key];
        if stream.log.end() == 0 {
            // It was there before the first message: it gets everything, so also the sound that
            // some encoders send ahead of their first picture.
            player.cursor = Cursor::at(0);
            player.has_headers = true;
        }
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
            self.streams.play_of(index, slot).wait_until = Some(until);
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
            let start = match self.streams.play_of(index, slot).switching {
                true => StartAt::NextSync,
                false => self.start_for(key),
            };
            let stream = &mut self.streams[index];
            let player = &mut stream.players[slot];
            player.cursor = Cursor::new(&stream.log, start);
            player.flv_start = FlvStart::Unplaced;
        }
    }

    /// Takes a player out of a stream.
    pub(super) fn remove_player(&mut self, index: StreamId, slot: PlayerSlot) {
        let (_, gone) = self.streams.remove_player(index, slot);
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
        self.forget_stream(index);
    }

    /// Connection `key` publishes the stream no more. It may come back, also when it has `ended`
    /// the stream: some encoders do that where settings change.
    pub(super) fn publisher_left(&mut self, key: ConnId, index: StreamId, ended: bool) {
        let stream = &self.streams[index];
        let config = &self.shared.config;
        let grace = match stream.pull {
            // No publisher is let in any more, and nothing is fetched anew.
            _ if self.draining => Duration::ZERO,
            Some(_) => config.pull_give_up,
            None if ended => config.grace.min(limits::UNPUBLISH_GRACE),
            None => config.grace,
        };
        let (since, until) = (self.now, self.now + grace);
        let away = Source::Away {
            since,
            until,
            ended,
        };
        if !self.streams.unpublish(key, index, away) {
            // Of what was to be fetched nothing had come yet.
            return;
        }
        let stream = &mut self.streams[index];
        // Who joins now would start with a picture of the past and then see nothing.
        stream.log.flush();
        stream.log.close_starts();
        self.mark_dirty(index);
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
        if let Source::Away { .. } = self.streams[index].source() {
            self.tell_relays_of_end(index);
        }
        let Some(stream) = self.streams.get(index) else {
            return;
        };
        if stream.pull.is_some() {
            return self.check_pull(index);
        }
        match stream.source() {
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
        // Once this worker has told its players that the relay stops, the others tell theirs.
        if !self.drained {
            self.tell_feeds(index, |name, epoch| Mail::End { name, epoch });
        }
        let name = self.streams[index].name.clone();
        self.shared.registry.release(&name, self.worker);
        // It may have a publisher: it is fetched, and nobody wants it any more; or its log is
        // broken.
        self.streams.set_source(index, Source::Nobody);
        self.end_feeds(index);
        self.forget_pull(index);
        self.forget_pushes(index);
        self.end_players(index);
    }

    /// Tells the players of a stream that it is over and closes them; forgets the stream unless
    /// some still wait for it.
    pub(super) fn end_players(&mut self, index: StreamId) {
        // The stream must outlive its last player's removal: it is forgotten there.
        while let Some(slot) = self.streams.get(index).and_then(|stream| {
            let mut slots = stream.players.indices().rev();
            slots.find(|slot| stream.players[*slot].started)
        }) {
            self.end_player(index, slot);
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
        for player in stream.players.iter_mut() {
            player.cursor = Cursor::new(&stream.log, StartAt::NewestSync);
            player.flv_start = FlvStart::Unplaced;
        }
    }

    fn end_player(&mut self, index: StreamId, slot: PlayerSlot) {
        let key = self.streams[index].players[slot].conn;
        let conn = &mut self.conns[key];
        let play = *self.streams.play_of(index, slot);
        let msid = play.msid;
        if play.switching {
            let why = "the stream to switch to has ended";
            conn.session
                .send_status(msid, crate::rtmp::command::Status::PlayFailed, why);
        }
        // One that is about to go over to another stream still does, and its time goes on.
        let is_other = |other: &&Play| other.msid == msid && other.stream != index;
        match self.streams.plays(key).iter().find(is_other).copied() {
            Some(other) => {
                if let Some(last) = self.streams[index].last_times_of(slot) {
                    let player = &mut self.streams[other.stream].players[other.slot];
                    player.clock = Clock::Follows(last);
                }
            }
            None => conn.session.end_play(msid, "the stream is over"),
        }
        conn.idle_since = self.now;
        self.remove_player(index, slot);
        if self.streams.has_role(key) {
            self.wake(key);
        } else {
            self.close(key, &CloseReason::StreamEnded);
        }
    }

    fn forget_stream(&mut self, index: StreamId) {
        if let Some(mut stream) = self.streams.remove(index) {
            self.timers.disarm(&mut stream.armed);
            stream.log.recycle(&mut self.blocks);
            stream.flv.recycle(&mut self.blocks);
        }
    }
}
