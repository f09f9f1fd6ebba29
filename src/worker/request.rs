//! What clients ask for, decided: who may publish, where a play goes. Called from ingress with
//! one request at a time; answers go to the client's outbox.

use std::sync::Arc;
use std::time::Duration;

use log::{Level, info, warn};

use super::close_reason::CloseReason;
use super::conn::MovingPublish;
use super::core::Core;
use super::ids::{ConnId, PlayerSlot, StreamId};
use super::ingress::Flow;
use super::mail::Mail;
use super::memory::Pressure;
use super::refusal::{Asked, Refused};
use super::registry::Claim;
use super::session::Session;
use super::table::{Clock, Play, Player, Publication, Source, Video, log_for};
use crate::config::Takeover;
use crate::edge::hops::{self, HopError, Via};
use crate::limits;
use crate::logging::quoted;
use crate::net::transport::Transport;
use crate::rtmp::command::Status;
use crate::rtmp::control::UserControl;
use crate::rtmp::message::{Timestamp, kind};
use crate::rtmp::name::StreamName;
use crate::rtmp::server::{MediaHalf, PublishKind, Request};
use crate::stream::cursor::Cursor;
use crate::stream::headers::HeaderTimes;
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

    fn connect(&mut self, key: ConnId) -> Flow {
        let wire = self.wire;
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
        // What has another form is not of a relay of this kind, and says nothing.
        conn.via = Via::parse(&session.client().property).map(Box::new);
        let own = self.shared.relay_id;
        let judged = conn.via.as_ref().map_or(Ok(()), |via| via.check(own));
        if let Err(error) = judged {
            let reason = match error {
                HopError::Loop => Refused::RelayLoop,
                HopError::TooMany => Refused::RelayChain,
            };
            return self.refuse_connect(key, &app, reason, error.words());
        }
        let is_for_relay = !session.client().property.is_empty();
        session.accept_connect_with(&wire, |properties| {
            if is_for_relay {
                properties.boolean_property(hops::RELAY_KEY, true);
            }
        });
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

    fn publish(&mut self, key: ConnId, msid: u32, name: StreamName, kind: PublishKind) -> Flow {
        if self.draining {
            return self.refuse_publish(key, msid, &name, Refused::Stopping);
        }
        if !is_served(&self.shared.config.app, name.judged_app()) {
            return self.refuse_publish(key, msid, &name, Refused::NoSuchApp);
        }
        let address = self.conns[key].peer.ip();
        if !self.shared.admission.may_publish(address, self.uptime()) {
            self.gauges.refused_publishes += 1;
            return self.refuse_publish(key, msid, &name, Refused::PublishRate);
        }
        self.claim(key, msid, name, kind)
    }

    /// Publishes a stream here, or on the worker that has it, unless somebody else publishes it.
    pub(super) fn claim(
        &mut self,
        key: ConnId,
        msid: u32,
        name: StreamName,
        kind: PublishKind,
    ) -> Flow {
        if self.draining {
            return self.refuse_publish(key, msid, &name, Refused::Stopping);
        }
        let stream_name: Arc<str> = name.key().into();
        if let Some((reason, why)) = self.ban_on_publish(key, &stream_name) {
            let conn = &mut self.conns[key];
            conn.session.reject(msid, Status::PublishDenied, &why);
            conn.asked = Some(stream_name);
            self.note_refused(key, (Asked::Publish, &name), reason, &why);
            if reason == Refused::Banned && self.streams.has_other_role(key, msid) {
                return Flow::Continue;
            }
            return Flow::Close(CloseReason::Rejected(reason.words()));
        }
        let has_memory = self.pressure < Pressure::NoStreams;
        let registry = &self.shared.registry;
        let ip = self.conns[key].counted_ip();
        let address = self.shared.admission.key_of(ip);
        let claim = registry.claim(&stream_name, self.worker, has_memory, address);
        let (epoch, readers) = match claim {
            Claim::Own { epoch, readers } => (epoch, readers),
            Claim::Full | Claim::AddressFull => {
                self.gauges.refused_publishes += 1;
                let reason = match claim {
                    Claim::AddressFull => Refused::AddressStreams,
                    _ if has_memory => Refused::MaxStreams,
                    _ => Refused::Memory,
                };
                return self.refuse_publish(key, msid, &name, reason);
            }
            Claim::Elsewhere { worker } => {
                if self.streams.has_role(key) {
                    // What it does already is tied to this worker.
                    return self.refuse_publish(key, msid, &name, Refused::OwnConnection);
                }
                let moving = MovingPublish { msid, name, kind };
                self.conns[key].moving = Some(Box::new(moving));
                return Flow::Move(worker);
            }
        };
        let index = self.stream_for(&stream_name);
        if self.streams[index].pull.is_some() {
            let has_media = self.streams[index].source() != Source::Pulling;
            if has_media && self.shared.config.takeover == Takeover::Refuse {
                return self.refuse_publish(key, msid, &name, Refused::InUse);
            }
            // Otherwise who asks for a name would keep it from its publisher.
            self.give_way(index);
        }
        if let Source::Publisher(old) = self.streams[index].source() {
            if self.shared.config.takeover == Takeover::Refuse || old == key {
                return self.refuse_publish(key, msid, &name, Refused::InUse);
            }
            let why = "another publisher has taken the stream over";
            let reason = CloseReason::TakenOver(stream_name.clone());
            self.end_publication(index, Status::PublishBadName, why, &reason);
        }
        self.shared.registry.set_publisher(&stream_name, address);
        self.accept_publish(key, msid, index, kind);
        self.settle_in(key);
        self.new_publishers.push(key);
        let idle = self.shared.config.publish_idle;
        self.arm(key, self.now + idle);
        self.begin_publish(index, key, epoch, readers);
        self.begin_pushes(index, &name, ip);
        Flow::Continue
    }

    /// Why connection `key` may not be here, if its address is banned.
    pub(super) fn banned_address(&self, key: ConnId) -> Option<String> {
        let address = self.conns[key].peer.ip();
        self.shared.bans.of_address(address, self.uptime())
    }

    /// The ban that keeps connection `key` from publishing a stream: of the name, or of the
    /// address, which may have been banned while it was on its way from another worker.
    fn ban_on_publish(&self, key: ConnId, name: &str) -> Option<(Refused, String)> {
        let of_name = self.shared.bans.of_stream(name, self.uptime());
        let of_name = of_name.map(|why| (Refused::Banned, why));
        of_name.or_else(|| Some((Refused::AddressBanned, self.banned_address(key)?)))
    }

    /// Connection `key` publishes the stream, and is told so.
    fn accept_publish(&mut self, key: ConnId, msid: u32, index: StreamId, kind: PublishKind) {
        let stream_name = self.streams[index].name.clone();
        self.streams.publish(key, msid, index);
        let conn = &mut self.conns[key];
        conn.has_published = true;
        conn.asked = Some(stream_name.clone());
        let (id, peer) = (conn.id, conn.peer);
        if let Some(session) = conn.session.server() {
            session.accept_publish(msid, &stream_name);
            let client = &session.client().flash_ver;
            if self.notes.allow("publish", Level::Info, self.now) {
                info!(
                    "conn={id} publish stream={} peer={peer} client={} worker={}",
                    quoted(&stream_name),
                    quoted(client),
                    self.worker
                );
            }
        }
        let via = self.conns[key].via.as_deref().cloned();
        let relays = &mut self.streams[index].relays;
        if relays.is_some() || via.is_some() {
            relays.get_or_insert_default().of_publisher = via.unwrap_or_default();
        }
        if kind != PublishKind::Live && self.notes.allow("record", Level::Warn, self.now) {
            let stream = quoted(&stream_name);
            warn!("conn={id} asks to record stream={stream} peer={peer}; it is live only");
        }
    }

    fn refuse_publish(
        &mut self,
        key: ConnId,
        msid: u32,
        name: &StreamName,
        reason: Refused,
    ) -> Flow {
        let why = reason.words();
        let status = match reason {
            Refused::InUse | Refused::OwnConnection => Status::PublishBadName,
            _ => Status::PublishDenied,
        };
        self.note_refused(key, (Asked::Publish, name), reason, &why);
        let conn = &mut self.conns[key];
        conn.asked = Some(name.key().into());
        conn.session.reject(msid, status, why);
        if self.streams.has_other_role(key, msid) {
            return Flow::Continue;
        }
        // Encoders hang when they are refused without a close.
        Flow::Close(CloseReason::Rejected(why))
    }

    /// Ends the publish of a stream that is published here, and tells its connection, which ends
    /// with it unless it has another role.
    pub(super) fn end_publication(
        &mut self,
        index: StreamId,
        status: Status,
        why: &str,
        reason: &CloseReason,
    ) {
        let Source::Publisher(key) = self.streams[index].source() else {
            return;
        };
        let Some(Publication { msid, .. }) = self.streams.publication_of(key, index) else {
            return;
        };
        let conn = &mut self.conns[key];
        conn.session.reject(msid, status, why);
        if !self.streams.has_other_role(key, msid) {
            return self.close(key, reason);
        }
        if self.notes.allow("publish ended", Level::Info, self.now) {
            let (id, peer, code) = (conn.id, conn.peer, reason.code());
            let stream = quoted(&self.streams[index].name);
            info!("conn={id} publish ended stream={stream} peer={peer} reason={code}");
        }
        self.end_publish(key, index, false);
        self.wake(key);
    }

    /// Connection `key` publishes a stream no more, which it has `ended` itself or not.
    fn end_publish(&mut self, key: ConnId, index: StreamId, ended: bool) {
        let conn = &mut self.conns[key];
        conn.idle_since = self.now;
        let meter = &self.streams[index].meter;
        conn.keep_metered(meter.since, meter.bytes, self.now);
        self.publisher_left(key, index, ended);
    }

    pub(super) fn play(&mut self, key: ConnId, msid: u32, name: &StreamName, reset: bool) -> Flow {
        self.stop(key, msid);
        if !is_served(&self.shared.config.app, name.judged_app()) {
            return self.refuse_play(key, msid, name, Refused::NoSuchApp);
        }
        if self.pressure >= Pressure::NoPlayers {
            self.gauges.refused_memory += 1;
            return self.refuse_play(key, msid, name, Refused::Memory);
        }
        let stream_name: Arc<str> = name.key().into();
        self.join(key, msid, name, &stream_name, reset, false);
        Flow::Continue
    }

    fn refuse_play(&mut self, key: ConnId, msid: u32, name: &StreamName, reason: Refused) -> Flow {
        let why = reason.words();
        let status = match reason {
            Refused::NoSuchApp => Status::PlayStreamNotFound,
            _ => Status::PlayFailed,
        };
        self.note_refused(key, (Asked::Play, name), reason, &why);
        let conn = &mut self.conns[key];
        conn.asked = Some(name.key().into());
        conn.session.reject(msid, status, why);
        if self.streams.has_other_role(key, msid) {
            return Flow::Continue;
        }
        Flow::Close(CloseReason::Rejected(why))
    }

    fn switch(&mut self, key: ConnId, msid: u32, name: &StreamName) -> Flow {
        let stream_name: Arc<str> = name.key().into();
        let served = is_served(&self.shared.config.app, name.judged_app());
        let mut clock = Clock::Shifted(0);
        // A switch that was under way is given up for this one.
        if let Some(play) = self.streams.switch_on(key, msid) {
            clock = self.streams[play.stream].players[play.slot].clock;
            self.remove_player(play.stream, play.slot);
        }
        let plays_it = self
            .player_of(key, msid)
            .is_some_and(|(stream, _)| self.streams[stream].name == stream_name);
        let session = &mut self.conns[key].session;
        if plays_it {
            session.send_status(msid, Status::PlayTransition, &stream_name);
            session.send_status(msid, Status::PlayTransitionComplete, &stream_name);
        } else if self.pressure >= Pressure::NoPlayers {
            // It is a player more until it has gone over; what it plays goes on.
            self.gauges.refused_memory += 1;
            let why = Refused::Memory.words();
            session.send_status(msid, Status::PlayFailed, why);
            self.note_refused(key, (Asked::Play, name), Refused::Memory, &why);
        } else if served {
            session.send_status(msid, Status::PlayTransition, &stream_name);
            self.join(key, msid, name, &stream_name, false, true);
            let joined = self.streams.plays(key).last().copied();
            if let Some(play) = joined.filter(|play| play.switching) {
                self.streams[play.stream].players[play.slot].clock = clock;
            }
        } else {
            let why = Refused::NoSuchApp.words();
            session.send_status(msid, Status::PlayFailed, why);
            self.note_refused(key, (Asked::Play, name), Refused::NoSuchApp, &why);
        }
        Flow::Continue
    }

    /// Adds a player to a stream, or to a probe of it while its query is to be judged.
    fn join(
        &mut self,
        key: ConnId,
        msid: u32,
        asked: &StreamName,
        name: &Arc<str>,
        reset: bool,
        switching: bool,
    ) {
        self.conns[key].asked = Some(name.clone());
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
        msid: u32,
        asked: &StreamName,
        name: &Arc<str>,
        reset: bool,
        switching: bool,
    ) {
        let index = self.stream_for(name);
        let wait = self.call_for(index, key, asked);
        let start = self.start_for(key);
        let is_paused = switching && self.is_paused(key, msid);
        let stream = &mut self.streams[index];
        // A switching player goes over at the next sync point; the picture it has goes on.
        let start = if switching {
            crate::stream::cursor::StartAt::NextSync
        } else {
            start
        };
        let mut player = Player::new(key, msid, reset, Cursor::new(&stream.log, start));
        player.form = self.conns[key].session.form();
        // A switching player has had metadata, and its time goes on.
        player.has_headers = switching;
        player.starts_paused = is_paused;
        if let Some(session) = self.conns[key].session.server() {
            let (audio, video) = session.take_halves(msid);
            player.audio = audio;
            player.video = if video { Video::On } else { Video::Off };
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
        let (name, is_live) = (stream.name.clone(), stream.is_live());
        let is_first = !stream.has_audience();
        let (peer, via) = (self.conns[key].peer.ip(), self.conns[key].via.as_deref());
        // Nobody is asked for a player whose chain of relays is as long as they may be.
        let may_ask = via.is_none_or(Via::may_go_on) || stream.pull.is_some();
        let rule = self.pull_rule(asked.judged_app());
        let rule = rule.filter(|_| !is_live && may_ask);
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
            false if is_live => None,
            false => registry.look_up(&name).0,
        };
        let owner = owner.filter(|owner| owner.worker != self.worker);
        match owner {
            _ if is_live => {}
            Some(owner) => {
                wait = match self.has_ended(index) {
                    true => self.patience(key, index),
                    false => wait.max(limits::FEED_WAIT),
                };
                if is_first {
                    self.subscribe(index, owner);
                }
                if may_pull {
                    let (epoch, asker) = (owner.epoch, peer);
                    let mail = Mail::Wanted { name, epoch, asker };
                    self.outbound.push((owner.worker, mail));
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

    /// Whether the publisher of the stream has just ended it, and nobody publishes it since.
    pub(super) fn has_ended(&self, index: StreamId) -> bool {
        let stream = &self.streams[index];
        let registry = &self.shared.registry;
        !stream.may_begin() && registry.has_ended(&stream.name, self.uptime())
    }

    /// A stream that is fetched is published here from now on.
    pub(super) fn give_way(&mut self, index: StreamId) {
        let stream = &mut self.streams[index];
        let Some(pull) = stream.pull.take() else {
            return;
        };
        let registry = &self.shared.registry;
        registry.set_published(&stream.name);
        if stream.source() == Source::Pulling {
            self.streams.set_source(index, Source::Nobody);
        }
        self.hang_up_pull(index, &pull);
    }

    /// Whether the client has paused what plays on `msid`.
    fn is_paused(&self, key: ConnId, msid: u32) -> bool {
        let player = self.player_of(key, msid);
        player.is_some_and(|(stream, slot)| self.streams[stream].players[slot].cursor.is_paused())
    }

    fn pause(&mut self, key: ConnId, msid: u32, paused: bool) -> Flow {
        if let Some(next) = self.streams.switch_on(key, msid) {
            self.streams[next.stream].players[next.slot].starts_paused = paused;
        }
        let Some((stream, slot)) = self.player_of(key, msid) else {
            return Flow::Continue;
        };
        let stream = &mut self.streams[stream];
        let player = &mut stream.players[slot];
        let log = log_for(&stream.log, &stream.flv, player.form);
        let session = &mut self.conns[key].session;
        if paused {
            player.cursor.pause();
            session.send_user_control(UserControl::StreamEof(msid));
            session.send_status(msid, Status::PauseNotify, "paused");
        } else {
            player.cursor.resume(log, self.log_limits.lag_bytes);
            session.send_user_control(UserControl::StreamBegin(msid));
            session.send_status(msid, Status::UnpauseNotify, "live again");
            write_audio_headers(&stream.log, player, session);
        }
        Flow::Continue
    }

    fn seek(&mut self, key: ConnId, msid: u32, time: Timestamp) -> Flow {
        let Some((stream, slot)) = self.player_of(key, msid) else {
            return Flow::Continue;
        };
        let Self { streams, conns, .. } = self;
        let stream = &mut streams[stream];
        let session = &mut conns[key].session;
        stream.log.flush();
        let shift = stream.players[slot].shift();
        let sought = Timestamp(time.0.wrapping_sub(shift));
        match stream.players[slot].cursor.seek(&stream.log, sought) {
            Some(sync) => {
                let time = sync.timestamp.plus(shift);
                let place = format!("playing from {} ms", time.0);
                session.send_status(msid, Status::SeekNotify, &place);
                session.send_status(msid, Status::PlayStart, &stream.name);
                let chunk_size = session.out_chunk_size();
                let out = session.out().writer();
                let player = &mut stream.players[slot];
                player.await_key_frames(&stream.log, sync.timestamp);
                // As where a player starts: at time 0 if these are its first.
                let new = !std::mem::replace(&mut player.has_headers, true);
                let begins = stream.log.times_from(sync.offset, sync.timestamp);
                let at = begins.plus(shift).of_headers(new);
                sync.headers.write(out, msid, at, chunk_size);
            }
            None => session.send_status(msid, Status::SeekFailed, "not within what is kept"),
        }
        Flow::Continue
    }

    fn receive_half(&mut self, key: ConnId, msid: u32, half: MediaHalf, on: bool) -> Flow {
        let Some((stream, slot)) = self.player_of(key, msid) else {
            return Flow::Continue;
        };
        let stream = &mut self.streams[stream];
        let player = &mut stream.players[slot];
        let before = match half {
            MediaHalf::Audio => std::mem::replace(&mut player.audio, on),
            MediaHalf::Video => {
                let before = player.video != Video::Off;
                player.video = match (on, player.video) {
                    (false, _) => Video::Off,
                    (true, Video::Off) => {
                        player.start_headers = None;
                        Video::AtSync
                    }
                    (true, now) => now,
                };
                before
            }
        };
        if on && player.started {
            // Also when it was on, RTMP 1.0 §7.2.2.4 and §7.2.2.5.
            let session = &mut self.conns[key].session;
            session.send_status(msid, Status::SeekNotify, "live");
            session.send_status(msid, Status::PlayStart, &stream.name);
            // Sound goes on at once, and its header may have changed while it was off. Those of
            // video are sent where it comes back, at a sync point.
            if half == MediaHalf::Audio && !before {
                player.lacks_audio_headers = true;
                write_audio_headers(&stream.log, player, session);
            }
        }
        Flow::Continue
    }

    /// Ends what runs on `msid`; the session has told the client.
    fn stop(&mut self, key: ConnId, msid: u32) {
        let is_on = |play: &&Play| play.msid == msid;
        while let Some(play) = self.streams.plays(key).iter().find(is_on).copied() {
            self.remove_player(play.stream, play.slot);
            if play.wait_until.is_none() {
                self.conns[key].idle_since = self.now;
            }
        }
        let mut publications = self.streams.publications(key).iter();
        if let Some(&Publication { stream: index, .. }) = publications.find(|its| its.msid == msid)
        {
            if self.notes.allow("unpublish", Level::Info, self.now) {
                let conn = &self.conns[key];
                let stream = &self.streams[index];
                let (id, peer, stream) = (conn.id, conn.peer, quoted(&stream.name));
                info!("conn={id} unpublish stream={stream} peer={peer}");
            }
            self.end_publish(key, index, true);
        }
    }

    /// The player on `msid`: stream and slot. While it switches, the stream it still plays.
    fn player_of(&self, key: ConnId, msid: u32) -> Option<(StreamId, PlayerSlot)> {
        let play = self.streams.play_on(key, msid)?;
        Some((play.stream, play.slot))
    }
}

/// Writes the headers of sound to a player that has turned sound on and reads on where it stands.
fn write_audio_headers(log: &StreamLog, player: &mut Player, session: &mut Session) {
    let Some(offset) = player.cursor.needs_from() else {
        // Paused, or about to start, with all headers.
        return;
    };
    if !std::mem::take(&mut player.lacks_audio_headers) {
        return;
    }
    let next = log.frames_from(offset).next();
    let time = next.map(|(_, frame)| frame.timestamp);
    let time = time.or_else(|| log.last_timestamp()).unwrap_or_default();
    let time = time.plus(player.shift());
    let chunk_size = session.out_chunk_size();
    let headers = log.headers_at(offset).of(kind::AUDIO);
    let at = HeaderTimes::all(time);
    headers.write(session.out().writer(), player.msid, at, chunk_size);
}

/// Whether `app`, or the app it is an instance of, is served.
fn is_served(served: &[String], app: &str) -> bool {
    let is_app = |name: &String| {
        app.strip_prefix(name.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    served.is_empty() || served.iter().any(is_app)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_served_with_its_instances_and_nothing_else() {
        let served = ["live".to_owned()];
        assert!(is_served(&[], "anything"));
        assert!(is_served(&served, "live"));
        assert!(is_served(&served, "live/room1"));
        assert!(!is_served(&served, "lively"));
        assert!(!is_served(&served, ""));
    }
}
