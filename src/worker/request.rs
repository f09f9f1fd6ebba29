//! What clients ask for, decided: who may publish, where a play goes. Called from ingress with
//! one request at a time; answers go to the client's outbox.

use super::close_reason::CloseReason;
use super::core::Core;
use super::flow::Flow;
use super::ids::ConnId;
use super::refusal::{Asked, Refused, is_served};
use super::session::Session;
use super::table::Player;
use crate::edge::hops::{self, HopError, Via};
use crate::net::transport::Transport;
use crate::rtmp::command::Status;
use crate::rtmp::control::UserControl;
use crate::rtmp::message::{MessageStreamId, Timestamp};
use crate::rtmp::server::{MediaHalf, Request};
use crate::stream::log::StreamLog;

impl<S: Transport> Core<S> {
    /// Decides on one request of connection `key`.
    pub(super) fn request(&mut self, key: ConnId, request: Request) -> Flow {
        match request {
            Request::Connect => self.connect(key),
            Request::Publish { msid, name, kind } => self.publish(key, msid, name, kind),
            Request::Play { msid, name, reset } => self.play(key, msid, &name, reset),
            Request::Switch { msid, name } => self.switch(key, msid, &name),
            Request::Pause { msid, paused } => self.pause(key, msid, paused),
            Request::Seek { msid, position_ms } => self.seek(key, msid, Timestamp(position_ms)),
            Request::Receive { msid, half, on } => self.receive_half(key, msid, half, on),
            Request::Stop { msid } => {
                self.stop(key, msid);
                Flow::Continue
            }
            Request::Pong(_) => Flow::Continue,
        }
    }

    pub(super) fn connect(&mut self, key: ConnId) -> Flow {
        let wire = self.settings.wire();
        let banned = self.banned_address(key);
        let conn = &mut self.conns[key];
        let session = conn.session.server();
        let app = session.and_then(|session| session.app());
        let app = app.map(|app| app.app.clone()).unwrap_or_default();
        if let Some(why) = banned {
            return self.refuse_connect(key, &app, Refused::AddressBanned, &why);
        }
        let served = &self.shared.config.app;
        // An empty app is judged with the stream name, which then carries it.
        if !app.is_empty() && !is_served(served, &app) {
            let reason = Refused::NoSuchApp;
            return self.refuse_connect(key, &app, reason, reason.words());
        }
        let Some(session) = conn.session.server() else {
            return Flow::Continue;
        };
        let is_for_relay = !session.client().property.is_empty();
        // What has another form is not of a relay of this kind, and says nothing.
        let via = Via::parse(&session.client().property);
        let own = self.shared.relay_id;
        let judged = via.as_ref().map_or(Ok(()), |via| via.check(own));
        conn.set_via(via);
        if let Err(error) = judged {
            let reason = match error {
                HopError::Loop => Refused::RelayLoop,
                HopError::TooMany => Refused::RelayChain,
            };
            return self.refuse_connect(key, &app, reason, error.words());
        }
        if let Some(session) = self.conns[key].session.server() {
            session.accept_connect_with(&wire, |properties| {
                if is_for_relay {
                    properties.boolean_property(hops::RELAY_KEY, true);
                }
            });
        }
        Flow::Continue
    }

    fn refuse_connect(&mut self, key: ConnId, app: &str, reason: Refused, why: &str) -> Flow {
        self.note_refused(key, (Asked::Connect, &app), reason, &why);
        if let Some(session) = self.conns[key].session.server() {
            let ex_code = (reason == Refused::RelayLoop).then_some(hops::LOOP_CODE);
            session.reject_connect_with(why, ex_code);
        }
        Flow::Close(CloseReason::Rejected(reason.words()))
    }

    pub(super) fn pause(&mut self, key: ConnId, msid: MessageStreamId, paused: bool) -> Flow {
        if let Some(next) = self.streams.switch_on(key, msid) {
            self.streams[next.stream].players[next.slot].pause_start(paused);
        }
        let Some((stream, slot)) = self.player_of(key, msid) else {
            return Flow::Continue;
        };
        let stream = &mut self.streams[stream];
        let player = &mut stream.players[slot];
        let log = player.log(&stream.log, &stream.flv);
        let session = &mut self.conns[key].session;
        if paused {
            player.pause();
            session.send_user_control(UserControl::StreamEof(msid));
            session.send_status(msid, Status::PauseNotify, "paused");
        } else {
            player.resume(log, self.settings.log_limits().lag_bytes);
            session.send_user_control(UserControl::StreamBegin(msid));
            session.send_status(msid, Status::UnpauseNotify, "live again");
            write_audio_headers(&stream.log, player, session);
        }
        Flow::Continue
    }

    fn seek(&mut self, key: ConnId, msid: MessageStreamId, time: Timestamp) -> Flow {
        let Some((stream, slot)) = self.player_of(key, msid) else {
            return Flow::Continue;
        };
        let Self { streams, conns, .. } = self;
        let stream = &mut streams[stream];
        let session = &mut conns[key].session;
        stream.log.flush();
        let player = &mut stream.players[slot];
        match player.seek(&stream.log, time) {
            Some(sync) => {
                let time = sync.timestamp.plus(player.shift());
                let place = format!("playing from {} ms", time.0);
                session.send_status(msid, Status::SeekNotify, &place);
                session.send_status(msid, Status::PlayStart, &stream.name);
                let chunk_size = session.out_chunk_size();
                let out = session.out().writer();
                // As where a player starts: at time 0 if these are its first.
                let begins = stream.log.times_from(sync.offset, sync.timestamp);
                let begins = begins.plus(player.shift());
                let at = begins.of_headers(player.note_headers());
                sync.headers.write(out, msid, at, chunk_size);
            }
            None => session.send_status(msid, Status::SeekFailed, "not within what is kept"),
        }
        Flow::Continue
    }

    fn receive_half(
        &mut self,
        key: ConnId,
        msid: MessageStreamId,
        half: MediaHalf,
        on: bool,
    ) -> Flow {
        let Some((stream, slot)) = self.player_of(key, msid) else {
            return Flow::Continue;
        };
        let stream = &mut self.streams[stream];
        let player = &mut stream.players[slot];
        player.receive(half, on);
        if on && player.is_started() {
            // Also when it was on, RTMP 1.0 §7.2.2.4 and §7.2.2.5.
            let session = &mut self.conns[key].session;
            session.send_status(msid, Status::SeekNotify, "live");
            session.send_status(msid, Status::PlayStart, &stream.name);
            write_audio_headers(&stream.log, player, session);
        }
        Flow::Continue
    }
}

/// Writes the headers of sound to a player that has turned sound on and reads on where it stands.
fn write_audio_headers(log: &StreamLog, player: &mut Player, session: &mut Session) {
    if let Some((headers, at)) = player.take_audio_headers(log) {
        let chunk_size = session.out_chunk_size();
        headers.write(session.out().writer(), player.msid(), at, chunk_size);
    }
}
