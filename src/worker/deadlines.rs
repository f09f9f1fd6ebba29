//! The deadlines of connections, worked out when a timer comes up: who has been silent or slow for
//! too long is told and closed, and the rest is looked at again when the next may have passed.
//! The small duties towards a connection that goes on are done then as well.

use std::time::{Duration, Instant};

use log::{Level, info};

use super::close_reason::CloseReason;
use super::contain::Step;
use super::core::Core;
use super::ids::{ConnId, PullRuleId, StreamId};
use super::line::{Errand, Task};
use super::refusal::{Asked, Refused};
use super::session::Session;
use super::table::{Play, Publication, Source};
use super::timers::Timer;
use crate::http::websocket::CloseCode;
use crate::limits;
use crate::logging::quoted;
use crate::net::transport::Transport;
use crate::rtmp::command::Status;
use crate::rtmp::error::ProtocolError;

impl<S: Transport> Core<S> {
    /// Acts on every deadline that has passed.
    pub(super) fn expire(&mut self) {
        self.review_growth();
        self.check_drain();
        while let Some(timer) = self.timers.pop_due(self.now) {
            match timer {
                Timer::Conn(key) => {
                    if let Some(conn) = self.conns.get_mut(key) {
                        conn.armed = None;
                        self.contained(key, Step::Other, |core| core.check_conn(key));
                    }
                }
                Timer::Stream(index) => {
                    if let Some(stream) = self.streams.get_mut(index) {
                        stream.armed = None;
                        self.contained_stream(index, |core| core.check_stream(index));
                    }
                }
            }
        }
        debug_assert!(
            self.timers.len() <= self.conns.len() + self.streams.len(),
            "a timer belongs to something that waits"
        );
    }

    /// Closes a connection whose deadline has passed, or arms its next.
    fn check_conn(&mut self, key: ConnId) {
        let now = self.now;
        if self.conns[key].closing().is_some_and(|until| until <= now) {
            self.remove(key);
            return;
        }
        if self.conns[key]
            .session
            .http()
            .is_some_and(|http| http.is_done())
        {
            self.close(key, &CloseReason::Answered);
            return;
        }
        if self.give_up_waiting(key) {
            return;
        }
        self.count_progress(key);
        self.end_silent_publishes(key);
        match self.deadline(key) {
            Ok(next) => {
                self.tidy(key);
                self.arm(key, next);
            }
            Err(reason) => {
                self.tell_late(key, &reason);
                self.close(key, &reason);
            }
        }
    }

    /// Ends the publishes of which no media has come for too long, when the connection is used for
    /// something else as well; otherwise it is to end with them.
    fn end_silent_publishes(&mut self, key: ConnId) {
        let now = self.now;
        if self.conns[key].errand().is_some() {
            return;
        }
        let is_silent = |its: &&Publication| {
            let last_media = self.streams[its.stream].meter.last_media();
            now.saturating_duration_since(last_media) >= limits::MEDIA_IDLE
        };
        let publications = self.streams.publications(key);
        let silent = publications.iter().filter(is_silent).map(|its| its.stream);
        let silent: Vec<StreamId> = silent.collect();
        if silent.len() == publications.len() && self.streams.plays(key).is_empty() {
            return;
        }
        let reason = CloseReason::MediaIdle;
        for index in silent {
            self.end_publication(index, Status::PublishIdle, &reason.to_string(), &reason);
        }
    }

    /// A player that lags and takes enough is given as much time again.
    fn count_progress(&mut self, key: ConnId) {
        let time = self.progress_time();
        let conn = &mut self.conns[key];
        if let Some((since, bytes)) = conn.lagging()
            && self.now.saturating_duration_since(since) >= time
            && conn.bytes_out().saturating_sub(bytes) >= limits::PROGRESS_BYTES as u64
        {
            conn.restart_lagging(self.now);
        }
    }

    fn progress_time(&self) -> Duration {
        limits::PROGRESS_TIME.max(self.shared.config.send_timeout)
    }

    /// When the next deadline of a connection comes up; an error when one has passed.
    fn deadline(&self, key: ConnId) -> Result<Instant, CloseReason> {
        let now = self.now;
        let config = &self.shared.config;
        let conn = &self.conns[key];
        if let Some(until) = conn.closing() {
            return Ok(until.min(now + self.settings.check_every()));
        }
        let (publications, plays) = (self.streams.publications(key), self.streams.plays(key));
        let mut next = now + self.settings.check_every();
        let mut ask_at = None;
        // What was asked for by HTTP is on its way.
        let is_answered = matches!(conn.session, Session::Http(_)) && conn.has_pending();
        let mut limit = |since: Instant, timeout: Duration, reason: CloseReason| {
            let until = since + timeout;
            next = next.min(until);
            if until <= now { Err(reason) } else { Ok(()) }
        };
        if let Some(errand) = conn.errand() {
            ask_at = self.limit_errand(key, errand, &mut limit)?;
        } else if conn.is_to_be_read() && conn.socket.is_handshaking() {
            // It waits for us, see handshakes.rs.
        } else if !conn.session.is_handshaken() {
            limit(
                conn.accepted_at(),
                config.setup_timeout,
                CloseReason::SetupTimeout,
            )?;
            let timeout = config.handshake_timeout.min(self.role_time(key).1);
            limit(conn.accepted_at(), timeout, CloseReason::HandshakeTimeout)?;
        } else if publications.is_empty()
            && plays.iter().all(|play| play.wait_until.is_some())
            && !is_answered
        {
            let (since, time) = self.role_time(key);
            let reason = match &conn.session {
                Session::Http(http) if http.is_idle() => CloseReason::Idle,
                _ => CloseReason::SetupTimeout,
            };
            limit(since, time, reason)?;
        }
        let stale = |since: Option<Duration>, most: Duration| {
            since.is_some_and(|since| self.uptime().saturating_sub(since) >= most)
        };
        if let Some(layer) = conn.session.rtmp()
            && (stale(layer.oldest_partial(), limits::PARTIAL_MESSAGE_WAIT)
                || stale(layer.oldest_begun(), limits::PARTIAL_MESSAGE_TIME))
        {
            return Err(CloseReason::Protocol(ProtocolError::StalePartial));
        }
        // How long an origin may be without media is for its pull to say.
        if conn.errand().is_none() && !publications.is_empty() {
            limit(
                conn.last_read(),
                config.publish_idle,
                CloseReason::PublishIdle,
            )?;
            for publication in publications {
                let last_media = self.streams[publication.stream].meter.last_media();
                limit(last_media, limits::MEDIA_IDLE, CloseReason::MediaIdle)?;
            }
        }
        if is_answered || plays.iter().any(|play| play.wait_until.is_none()) {
            if let Some(since) = conn.blocked_since() {
                limit(since, config.send_timeout, CloseReason::SendTimeout)?;
            }
            if let Some((since, _)) = conn.lagging() {
                limit(since, self.progress_time(), CloseReason::TooSlow)?;
            }
        }
        next = ask_at.map_or(next, |at| next.min(at.max(now)));
        let waits = plays.iter().filter_map(|play| play.wait_until);
        Ok(waits.min().map_or(next, |until| next.min(until)))
    }

    /// How long a connection to another server may go on as it is, by `limit`; when the server is
    /// to be asked whether it is there.
    fn limit_errand(
        &self,
        key: ConnId,
        errand: Errand,
        mut limit: impl FnMut(Instant, Duration, CloseReason) -> Result<(), CloseReason>,
    ) -> Result<Option<Instant>, CloseReason> {
        let timeout = self.shared.config.pull_timeout;
        let conn = &self.conns[key];
        if self.may_stay(key, errand) {
            // It is asked after half of the time, and has the other half to answer.
            if conn.last_ping() <= conn.last_read() {
                return Ok(Some(conn.last_read() + timeout / 2));
            }
            limit(conn.last_ping(), timeout / 2, CloseReason::ServerTimeout)?;
        } else if self.streams.plays(key).is_empty() {
            limit(errand.since(), timeout, CloseReason::ServerTimeout)?;
            if !errand.is_accepted() {
                limit(conn.accepted_at(), timeout * 2, CloseReason::ServerTimeout)?;
            }
        }
        Ok(None)
    }

    /// Since when and how long a connection may be without a role. By HTTP that counts from the
    /// beginning, however much it asks for meanwhile.
    pub(super) fn role_time(&self, key: ConnId) -> (Instant, Duration) {
        let conn = &self.conns[key];
        let time = self.setup_time(key);
        match &conn.session {
            Session::Http(_) => (conn.accepted_at(), time),
            _ => (conn.idle_since(), time),
        }
    }

    /// How long a connection may neither publish nor play. Who waits for a stream is given the
    /// time that takes once, however often it plays.
    fn setup_time(&self, key: ConnId) -> Duration {
        let config = &self.shared.config;
        let wait = match (self.streams.plays(key).is_empty(), config.pull.is_empty()) {
            (true, _) => Duration::ZERO,
            (false, true) => config.play_wait.max(limits::FEED_WAIT),
            (false, false) => {
                let rules = (0..config.pull.len())
                    .map(PullRuleId::new)
                    .map(|rule| self.pull_wait(rule));
                config.play_wait.max(rules.max().unwrap_or_default())
            }
        };
        config.setup_timeout + wait
    }

    /// Whether the connection to an origin may stay although it sends no media: as long as it says
    /// that it is there. It is the one that the stream comes by, or there is no other origin.
    fn may_stay(&self, key: ConnId, errand: Errand) -> bool {
        let pull = self.streams.get(errand.stream());
        let pull = pull.and_then(|stream| stream.pull.as_ref());
        pull.filter(|_| errand.task() == Task::Pull)
            .is_some_and(|pull| match pull.held() {
                Some(held) => held.key() == key,
                None => errand.is_accepted() && pull.has_one_origin(),
            })
    }

    /// Who publishes or waits to play and is about to be closed is told so.
    fn tell_late(&mut self, key: ConnId, reason: &CloseReason) {
        let conn = &mut self.conns[key];
        for publication in self.streams.publications(key) {
            let (msid, why) = (publication.msid, reason.to_string());
            let session = &mut conn.session;
            match reason {
                CloseReason::PublishIdle | CloseReason::MediaIdle => {
                    session.send_status(msid, Status::PublishIdle, &why);
                }
                _ => session.send_status(msid, Status::PublishDenied, &why),
            }
        }
        for play in self.streams.plays(key) {
            if play.wait_until.is_some() && !play.switching {
                let (msid, why) = (play.msid, "no such stream");
                conn.session.reject(msid, Status::PlayStreamNotFound, why);
            }
        }
    }

    /// Small duties towards a connection that goes on: memory given back, a ping when quiet.
    pub(super) fn tidy(&mut self, key: ConnId) {
        let now = self.now;
        let errand = self.conns.get(key).and_then(|conn| conn.errand());
        let is_asked =
            errand.is_some_and(|errand| errand.is_accepted() || self.may_stay(key, errand));
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if now.saturating_duration_since(conn.last_read()) >= limits::CHECK_EVERY {
            conn.session.release_spare();
        }
        let config = &self.shared.config;
        let interval = match conn.errand() {
            // A server that has nothing to send says at least that it is there.
            Some(_) => Some(config.pull_timeout / 2),
            None => config.ping,
        };
        let Some(interval) = interval else {
            return;
        };
        let quiet_since = conn.last_read().max(conn.last_ping());
        let open = self.streams.has_role(key) || is_asked;
        if open && !conn.is_closing() && now.saturating_duration_since(quiet_since) >= interval {
            conn.set_pinged(now);
            let uptime = now
                .saturating_duration_since(conn.accepted_at())
                .as_millis();
            let time = u32::try_from(uptime & u128::from(u32::MAX)).unwrap_or(0);
            conn.session.ping(time);
            self.wake(key);
        }
    }

    /// Refuses plays whose stream has not begun in time; true when the connection is closing.
    fn give_up_waiting(&mut self, key: ConnId) -> bool {
        let now = self.now;
        let overdue = |wait: Option<Instant>| wait.is_some_and(|until| until <= now);
        let is_overdue = |play: &&Play| overdue(play.wait_until);
        while let Some(play) = self.streams.plays(key).iter().find(is_overdue).copied() {
            if self.begin_overdue(&play) {
                continue;
            }
            let name = self.streams[play.stream].name.clone();
            self.remove_player(play.stream, play.slot);
            if play.switching {
                let why = "the stream to switch to is not live";
                self.note_refused(key, (Asked::Play, &name), Refused::NotFound, &why);
                let conn = &mut self.conns[key];
                conn.session.send_status(play.msid, Status::PlayFailed, why);
                let mut others = self.streams.plays(key).iter();
                if !others.any(|other| other.msid == play.msid) {
                    // What it played has ended meanwhile.
                    conn.session.end_play(play.msid, "the stream is over");
                    conn.set_idle(now);
                }
                if !self.streams.has_role(key) {
                    self.close(key, &CloseReason::StreamEnded);
                    return true;
                }
                self.wake(key);
                continue;
            }
            let why = Refused::NotFound.words();
            self.note_refused(key, (Asked::Play, &name), Refused::NotFound, &why);
            if self.is_draining()
                && let Some(http) = self.conns[key].session.http()
            {
                // Another relay may have the stream, or get it.
                http.end(CloseCode::GoingAway, "the relay stops");
                self.close(key, &CloseReason::Shutdown);
                return true;
            }
            let conn = &mut self.conns[key];
            conn.session
                .reject(play.msid, Status::PlayStreamNotFound, why);
            if !self.streams.has_role(key) {
                // Clients freeze when they are refused without a close.
                self.close(key, &CloseReason::Rejected("no such stream"));
                return true;
            }
            self.wake(key);
        }
        false
    }

    /// Does what is due for a stream: its lines are called, it ends when its publisher has not
    /// come back. Sets its timer for what is due next.
    fn check_stream(&mut self, index: StreamId) {
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
}
