//! Clients publish: who may, who takes whose place, and the end of it.

use std::sync::Arc;

use log::{Level, info, warn};

use super::close_reason::CloseReason;
use super::conn::MovingPublish;
use super::core::Core;
use super::flow::Flow;
use super::ids::{ConnId, StreamId};
use super::pressure::Pressure;
use super::refusal::{Asked, Refused, is_served};
use super::registry::{Claim, WorkerSet};
use super::table::{Meter, Publication, Source, Tally};
use crate::config::Takeover;
use crate::logging::quoted;
use crate::net::transport::Transport;
use crate::rtmp::command::Status;
use crate::rtmp::message::MessageStreamId;
use crate::rtmp::name::StreamName;
use crate::rtmp::server::PublishKind;

impl<S: Transport> Core<S> {
    pub(super) fn publish(
        &mut self,
        key: ConnId,
        msid: MessageStreamId,
        name: StreamName,
        kind: PublishKind,
    ) -> Flow {
        if self.is_draining() {
            return self.refuse_publish(key, msid, &name, Refused::Stopping);
        }
        if !is_served(&self.shared.config.app, name.judged_app()) {
            return self.refuse_publish(key, msid, &name, Refused::NoSuchApp);
        }
        let address = self.conns[key].peer().ip();
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
        msid: MessageStreamId,
        name: StreamName,
        kind: PublishKind,
    ) -> Flow {
        if self.is_draining() {
            return self.refuse_publish(key, msid, &name, Refused::Stopping);
        }
        let stream_name: Arc<str> = name.key().into();
        if let Some((reason, why)) = self.ban_on_publish(key, &stream_name) {
            let conn = &mut self.conns[key];
            conn.session.reject(msid, Status::PublishDenied, &why);
            conn.set_asked(stream_name);
            self.note_refused(key, (Asked::Publish, &name), reason, &why);
            if reason == Refused::Banned && self.streams.has_other_role(key, msid) {
                return Flow::Continue;
            }
            return Flow::Close(CloseReason::Rejected(reason.words()));
        }
        let has_memory = self.memory.pressure() < Pressure::NoStreams;
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
                self.conns[key].move_with(moving);
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
        self.set_publisher(key);
        self.conns.add_publisher(key);
        let idle = self.shared.config.publish_idle;
        self.arm(key, self.now + idle);
        self.begin_publish(index, key, epoch, readers);
        self.begin_pushes(index, &name, ip);
        Flow::Continue
    }

    /// Connection `key` publishes the stream, and is told so.
    pub(super) fn accept_publish(
        &mut self,
        key: ConnId,
        msid: MessageStreamId,
        index: StreamId,
        kind: PublishKind,
    ) {
        let stream_name = self.streams[index].name.clone();
        self.streams.publish(key, msid, index);
        let conn = &mut self.conns[key];
        conn.set_asked(stream_name.clone());
        let (id, peer) = (conn.id(), conn.peer());
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
        let via = self.conns[key].via().cloned();
        let relays = &mut self.streams[index].relays;
        if relays.is_some() || via.is_some() {
            relays.get_or_insert_default().set_publisher(via);
        }
        if kind != PublishKind::Live && self.notes.allow("record", Level::Warn, self.now) {
            let stream = quoted(&stream_name);
            warn!("conn={id} asks to record stream={stream} peer={peer}; it is live only");
        }
    }

    fn refuse_publish(
        &mut self,
        key: ConnId,
        msid: MessageStreamId,
        name: &StreamName,
        reason: Refused,
    ) -> Flow {
        let status = match reason {
            Refused::InUse | Refused::OwnConnection => Status::PublishBadName,
            _ => Status::PublishDenied,
        };
        self.refuse_role(key, msid, (Asked::Publish, name), reason, status)
    }

    /// Connection `key` publishes a stream no more, which it has `ended` itself or not.
    pub(super) fn end_publish(&mut self, key: ConnId, index: StreamId, ended: bool) {
        let conn = &mut self.conns[key];
        conn.set_idle(self.now);
        let meter = &self.streams[index].meter;
        conn.keep_metered(meter.counted(), self.now);
        self.publisher_left(key, index, ended);
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
            let (id, peer, code) = (conn.id(), conn.peer(), reason.code());
            let stream = quoted(&self.streams[index].name);
            info!("conn={id} publish ended stream={stream} peer={peer} reason={code}");
        }
        self.end_publish(key, index, false);
        self.wake(key);
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

    /// The ban that keeps connection `key` from publishing a stream: of the name, or of the
    /// address, which may have been banned while it was on its way from another worker.
    fn ban_on_publish(&self, key: ConnId, name: &str) -> Option<(Refused, String)> {
        let of_name = self.shared.bans.of_stream(name, self.uptime());
        let of_name = of_name.map(|why| (Refused::Banned, why));
        of_name.or_else(|| Some((Refused::AddressBanned, self.banned_address(key)?)))
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
            if let Source::Away { .. } = stream.source() {
                stream.tally.count_gap();
            }
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
        if let Some(counted) = conn.metered(self.now) {
            stream.meter.go_on(counted);
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
}
