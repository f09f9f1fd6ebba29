//! Players of a stream begin.

use std::time::Duration;

use log::debug;

use super::core::Core;
use super::ids::{PlayerSlot, StreamId};
use super::session::Session;
use super::table::Play;
use crate::limits;
use crate::logging::quoted;
use crate::net::transport::Transport;
use crate::rtmp::control::UserControl;
use crate::stream::cursor::StartAt;
use crate::stream::flv;

impl<S: Transport> Core<S> {
    /// Tells every player that waits that playing begins.
    pub(super) fn start_players(&mut self, index: StreamId) {
        for slot in self.streams[index].players.indices() {
            if !self.streams[index].players[slot].is_started() {
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
        let (key, msid, reset) = (player.conn(), player.msid(), player.is_reset());
        player.start();
        if self.streams.play_of(index, slot).switching {
            // It goes over when there is a sync point, and waits as long as a play would.
            return;
        }
        self.streams.play_of(index, slot).wait_until = None;
        let stream = &mut self.streams[index];
        let player = &mut stream.players[slot];
        let conn = &mut self.conns[key];
        if stream.log.end() == 0 {
            player.take_all();
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
            player.pause();
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
        let stream = &mut self.streams[index];
        let player = &mut stream.players[slot];
        if let Some(framing) = player.unplaced_framing() {
            let (limits, blocks) = (self.settings.log_limits(), &mut self.blocks);
            let log = stream.flv.open(framing, &stream.log, limits, blocks);
            player.place(log, self.shared.config.start_at());
            if stream.log.end() == 0 {
                player.take_all();
            }
        }
    }

    /// Whether a player by HTTP has to wait until it is known which kinds of media come. It does
    /// not wait for long: [`Core::begin_overdue`] begins with it all the same.
    fn awaits_kinds(&mut self, index: StreamId, slot: PlayerSlot) -> bool {
        let stream = &mut self.streams[index];
        let player = &mut stream.players[slot];
        if !player.is_by_http() {
            return false;
        }
        let kinds = flv::kinds_in(&stream.log);
        if kinds.is_certain {
            return false;
        }
        stream.has_undecided = true;
        let has_one = kinds.audio || kinds.video;
        if player.await_kinds(has_one) {
            let wait = match has_one {
                true => limits::FLV_KIND_WAIT,
                false => limits::FLV_MEDIA_WAIT,
            };
            let (key, until) = (player.conn(), self.now + wait);
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
        let waits = stream.is_live() && player.awaits_kinds();
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
            if player.is_started() {
                continue;
            }
            let key = player.conn();
            let start = match self.streams.play_of(index, slot).switching {
                true => StartAt::NextSync,
                false => self.start_for(key),
            };
            let stream = &mut self.streams[index];
            stream.players[slot].place(&stream.log, start);
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
