//! Clients play, by RTMP and by HTTP: a stream is live, or has to be got from another worker or
//! an origin, or switched to.

use std::sync::Arc;
use std::time::Duration;

use log::{Level, info};

use super::core::Core;
use super::flow::Flow;
use super::ids::{ConnId, PlayerSlot, StreamId};
use super::pressure::Pressure;
use super::refusal::{Asked, Refused, is_served};
use super::table::{Play, Player, Publication, Source};
use crate::edge::hops::Via;
use crate::limits;
use crate::logging::quoted;
use crate::net::transport::Transport;
use crate::rtmp::command::Status;
use crate::rtmp::message::MessageStreamId;
use crate::rtmp::name::StreamName;
use crate::rtmp::server::MediaHalf;
use crate::stream::cursor::Cursor;

impl<S: Transport> Core<S> {
    pub(super) fn play(
        &mut self,
        key: ConnId,
        msid: MessageStreamId,
        name: &StreamName,
        reset: bool,
    ) -> Flow {
        self.stop(key, msid);
        if !is_served(&self.shared.config.app, name.judged_app()) {
            return self.refuse_play(key, msid, name, Refused::NoSuchApp);
        }
        if self.memory.pressure() >= Pressure::NoPlayers {
            self.gauges.refused_memory += 1;
            return self.refuse_play(key, msid, name, Refused::Memory);
        }
        let stream_name: Arc<str> = name.key().into();
        self.join(key, msid, name, &stream_name, reset, false);
        Flow::Continue
    }

    pub(super) fn switch(&mut self, key: ConnId, msid: MessageStreamId, name: &StreamName) -> Flow {
        let stream_name: Arc<str> = name.key().into();
        let served = is_served(&self.shared.config.app, name.judged_app());
        // A switch that was under way is given up for this one.
        let before = self.streams.switch_on(key, msid);
        let before = before.map(|play| self.remove_player(play.stream, play.slot));
        let plays_it = self
            .player_of(key, msid)
            .is_some_and(|(stream, _)| self.streams[stream].name == stream_name);
        let session = &mut self.conns[key].session;
        if plays_it {
            session.send_status(msid, Status::PlayTransition, &stream_name);
            session.send_status(msid, Status::PlayTransitionComplete, &stream_name);
        } else if self.memory.pressure() >= Pressure::NoPlayers {
            // It is a player more until it has gone over; what it plays goes on.
            self.gauges.refused_memory += 1;
            let why = Refused::Memory.words();
            session.send_status(msid, Status::PlayFailed, why);
            self.note_refused(key, (Asked::Play, name), Refused::Memory, &why);
        } else if served {
            session.send_status(msid, Status::PlayTransition, &stream_name);
            self.join(key, msid, name, &stream_name, false, true);
            let joined = self.streams.plays(key).last().copied();
            if let (Some(play), Some(before)) = (joined.filter(|play| play.switching), before) {
                self.streams[play.stream].players[play.slot].take_place_of(&before);
            }
        } else {
            let why = Refused::NoSuchApp.words();
            session.send_status(msid, Status::PlayFailed, why);
            self.note_refused(key, (Asked::Play, name), Refused::NoSuchApp, &why);
        }
        Flow::Continue
    }

    /// Adds a player to a stream, or to a probe of it while its query is to be judged.
    pub(super) fn join(
        &mut self,
        key: ConnId,
        msid: MessageStreamId,
        asked: &StreamName,
        name: &Arc<str>,
        reset: bool,
        switching: bool,
    ) {
        self.conns[key].set_asked(name.clone());
        let Some(probe) = self.probe_for(asked, name) else {
            return self.join_stream(key, msid, asked, name, reset, switching);
        };
        let index = self.stream_for(&probe);
        self.streams[index].probe_of = Some(name.clone());
        self.join_stream(key, msid, asked, &probe, reset, switching);
    }

    /// Adds a player to a stream, which may be live or not.
    pub(super) fn join_stream(
        &mut self,
        key: ConnId,
        msid: MessageStreamId,
        asked: &StreamName,
        name: &Arc<str>,
        reset: bool,
        switching: bool,
    ) {
        let index = self.stream_for(name);
        let wait = self.call_for(index, key, asked);
        let (start, is_relay) = (self.start_for(key), self.is_relay(key));
        let is_paused = self.is_paused(key, msid);
        let log = &self.streams[index].log;
        let session = &mut self.conns[key].session;
        let mut player = Player::new(key, msid, session.form(), Cursor::new(log, start));
        player = player.of_client(reset, is_relay);
        if switching {
            player = player.of_switch(log, is_paused);
        }
        if let Some(session) = session.server() {
            let (audio, video) = session.take_halves(msid);
            player.receive(MediaHalf::Audio, audio);
            player.receive(MediaHalf::Video, video);
        }
        let until = self.now + wait;
        let slot = self
            .streams
            .add_player(index, player, switching, Some(until));
        self.count_via(index, slot);
        self.pull_is_played(index);
        let begins = self.streams[index].may_begin();
        if switching || !begins {
            self.arm(key, until);
        }
        if begins {
            self.start_player(index, slot);
        }
    }

    /// Sees to it that a stream somebody here is about to play comes, from another worker or an
    /// origin; how long to wait for it.
    fn call_for(&mut self, index: StreamId, key: ConnId, asked: &StreamName) -> Duration {
        let stream = &self.streams[index];
        let (name, is_first) = (stream.name.clone(), !stream.has_audience());
        if stream.is_live() {
            if is_first {
                self.shared.registry.join(&name, self.worker);
            }
            return self.patience(key, index);
        }
        let (peer, via) = (self.conns[key].counted_ip(), self.conns[key].via());
        // Nobody is asked for a player whose chain of relays is as long as they may be.
        let may_ask = via.is_none_or(Via::may_go_on) || stream.pull.is_some();
        let rule = self.pull_rule(asked.judged_app()).filter(|_| may_ask);
        let may_pull = rule.is_some();
        let mut wait = self.patience(key, index);
        if let Some(rule) = rule {
            wait = wait.max(self.pull_wait(rule));
            let stream = &mut self.streams[index];
            let asked = || Box::new(asked.clone());
            stream.asked.get_or_insert_with(asked);
        }
        let registry = &self.shared.registry;
        let owner = match is_first {
            true => registry.join(&name, self.worker),
            false => registry.look_up(&name).0,
        };
        let owner = owner.filter(|owner| owner.worker != self.worker);
        match owner {
            Some(owner) => {
                wait = match self.has_ended(index) {
                    true => self.patience(key, index),
                    false => wait.max(limits::FEED_WAIT),
                };
                if is_first {
                    self.subscribe(index, owner);
                }
                if may_pull {
                    self.want_from(index, owner, peer);
                }
            }
            None if !may_pull => {}
            None if self.streams[index].source() == Source::Nobody => {
                if !self.begin_pull(index, peer) {
                    wait = Duration::ZERO;
                }
            }
            None => self.hurry_pull(index, peer),
        }
        wait
    }

    fn refuse_play(
        &mut self,
        key: ConnId,
        msid: MessageStreamId,
        name: &StreamName,
        reason: Refused,
    ) -> Flow {
        let status = match reason {
            Refused::NoSuchApp => Status::PlayStreamNotFound,
            _ => Status::PlayFailed,
        };
        self.refuse_role(key, msid, (Asked::Play, name), reason, status)
    }

    /// Whether the client has paused what plays on `msid`.
    pub(super) fn is_paused(&self, key: ConnId, msid: MessageStreamId) -> bool {
        let player = self.player_of(key, msid);
        player.is_some_and(|(stream, slot)| self.streams[stream].players[slot].is_paused())
    }

    /// The player on `msid`: stream and slot. While it switches, the stream it still plays.
    pub(super) fn player_of(
        &self,
        key: ConnId,
        msid: MessageStreamId,
    ) -> Option<(StreamId, PlayerSlot)> {
        let play = self.streams.play_on(key, msid)?;
        Some((play.stream, play.slot))
    }

    /// Ends what runs on `msid`; the session has told the client.
    pub(super) fn stop(&mut self, key: ConnId, msid: MessageStreamId) {
        let is_on = |play: &&Play| play.msid == msid;
        while let Some(play) = self.streams.plays(key).iter().find(is_on).copied() {
            self.remove_player(play.stream, play.slot);
            if play.wait_until.is_none() {
                self.conns[key].set_idle(self.now);
            }
        }
        let mut publications = self.streams.publications(key).iter();
        if let Some(&Publication { stream: index, .. }) = publications.find(|its| its.msid == msid)
        {
            if self.notes.allow("unpublish", Level::Info, self.now) {
                let conn = &self.conns[key];
                let stream = &self.streams[index];
                let (id, peer, stream) = (conn.id(), conn.peer(), quoted(&stream.name));
                info!("conn={id} unpublish stream={stream} peer={peer}");
            }
            self.end_publish(key, index, true);
        }
    }
}
