//! Players of a stream begin.

use std::time::Duration;

use log::debug;

use super::core::Core;
use super::ids::{PlayerSlot, StreamId};
use super::session::{Form, Session};
use super::table::{FlvStart, Play};
use crate::limits;
use crate::logging::quoted;
use crate::net::transport::Transport;
use crate::rtmp::control::UserControl;
use crate::stream::cursor::{Cursor, StartAt};
use crate::stream::flv;

impl<S: Transport> Core<S> {
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
        debug!(
            "conn={} play stream={} peer={} worker={}",
            conn.id(),
            quoted(&stream.name),
            conn.peer(),
            self.worker
        );
        if stream.is_end_told && self.is_relay(key) {
            let session = &mut self.conns[key].session;
            session.send_user_control(UserControl::StreamEof(msid));
        }
        self.set_player(key);
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
            let (limits, blocks) = (self.settings.log_limits(), &mut self.blocks);
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

    /// Makes everything that has come visible, as chunks and as tags if anybody reads those.
    pub(super) fn flush(&mut self, index: StreamId) {
        let stream = &mut self.streams[index];
        stream.log.flush();
        stream
            .flv
            .follow(&stream.log, self.settings.log_limits(), &mut self.blocks);
    }
}
