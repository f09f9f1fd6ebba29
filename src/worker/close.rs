//! How a connection ends: what it published, played and was for ends with it.

use std::fmt;

use log::log;

use super::close_reason::CloseReason;
use super::core::Core;
use super::ids::ConnId;
use super::session::Session;
use crate::limits;
use crate::logging::quoted;
use crate::net::transport::Transport;
use crate::rtmp::error::ProtocolError;
use crate::rtmp::name::AppName;

impl<S: Transport> Core<S> {
    /// Ends the roles of a connection and closes it, once it has been told why.
    pub(super) fn close(&mut self, key: ConnId, reason: &CloseReason) {
        let mut released = self.close_one(key, reason);
        while let Some(key) = released {
            released = self.close_one(key, &CloseReason::Released);
        }
    }

    /// Closes one connection; another one that is to be closed with it.
    fn close_one(&mut self, key: ConnId, reason: &CloseReason) -> Option<ConnId> {
        let conn = self.conns.get(key)?;
        if conn.is_closing() {
            return None;
        }
        let code = reason.code();
        let level = reason.level(conn.has_published());
        if let CloseReason::Protocol(ProtocolError::Name(_)) = reason {
            self.note_bad_name(key, reason);
        }
        let conn = &self.conns[key];
        let app = match &conn.session {
            Session::Server(session) => session.app(),
            Session::Client(_) | Session::Http(_) => None,
        };
        if self.notes.allow(code, level, self.now) {
            log!(
                level,
                "conn={} closed role={}{} reason={code} why={} bytes_in={} bytes_out={} \
                 seconds={:.1} peer={}",
                conn.id(),
                conn.role(),
                About(conn.asked(), app),
                quoted(reason),
                conn.bytes_in(),
                conn.bytes_out(),
                self.now
                    .saturating_duration_since(conn.accepted_at())
                    .as_secs_f64(),
                conn.peer(),
            );
        }
        self.gauges.violations += u64::from(reason.is_violation());
        self.closes.count(reason);
        let until = self.now + limits::LINGER;
        // First of all: should anything panic from here on, it is known that it was to go.
        self.conns[key].begin_closing(until, reason.read_off_bytes());
        let released = self.end_uses(key, reason);
        if reason.peer_listens() {
            if let Some(http) = self.conns[key].session.http() {
                http.end(reason.close_code(), &reason.to_string());
            }
            self.arm(key, until);
            self.wake(key);
        } else {
            self.remove(key);
        }
        released
    }

    /// Ends all that a closing connection is used for. Another one that is to be closed with it.
    pub(super) fn end_uses(&mut self, key: ConnId, reason: &CloseReason) -> Option<ConnId> {
        while let Some(play) = self.streams.plays(key).last().copied() {
            self.remove_player(play.stream, play.slot);
        }
        while let Some(publication) = self.streams.publications(key).last().copied() {
            self.publisher_left(key, publication.stream, false);
        }
        let errand = self.conns[key].take_errand();
        let released = errand.and_then(|errand| self.line_down(key, errand, reason));
        self.drop_input(key);
        released
    }

    /// Drops what a closing connection has sent; only what it is owed stays.
    pub(super) fn drop_input(&mut self, key: ConnId) {
        let conn = &mut self.conns[key];
        conn.session.drop_input();
        if let Some(ring) = conn.take_ring() {
            self.rings.give_back(ring);
        }
    }

    /// Drops a connection that has no roles.
    pub(super) fn remove(&mut self, key: ConnId) {
        if let Some(mut conn) = self.conns.remove(key) {
            self.timers.disarm(&mut conn.armed);
            conn.count_sent(&mut self.targets);
            let newcomer = conn.is_newcomer().then(|| conn.protocol());
            let counted = conn.counted_ip();
            debug_assert!(!self.streams.has_role(key));
            if let Some(ring) = conn.take_ring() {
                self.rings.give_back(ring);
            }
            let admission = &self.shared.admission;
            if let Some(outbound) = conn.outbound() {
                if outbound.is_push() {
                    admission.leave_push(outbound.charged);
                } else {
                    admission.leave_pull(outbound.charged, self.uptime());
                }
            } else {
                admission.leave(counted, newcomer, self.uptime());
            }
        }
    }
}

/// The field of a log line that names the stream a connection is or was about, or else its app.
struct About<'a>(Option<&'a str>, Option<&'a AppName>);

impl fmt::Display for About<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (Some(stream), _) => write!(f, " stream={}", quoted(stream)),
            (None, Some(app)) => write!(f, " app={}", quoted(&app.app)),
            (None, None) => Ok(()),
        }
    }
}
