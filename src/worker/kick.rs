//! Clients that the operator ends, and what a new ban ends.

use std::sync::Arc;
use std::time::Duration;

use super::bans::{self, BanTarget};
use super::close_reason::CloseReason;
use super::conn::Conn;
use super::contain::Step;
use super::core::Core;
use super::ids::{ConnId, StreamId};
use super::table::Source;
use crate::net::transport::Transport;
use crate::rtmp::command::Status;

impl<S: Transport> Core<S> {
    /// Ends client `id`, and with `ban` keeps everybody from publishing what it publishes for
    /// that long: the names; None when it is not here.
    pub(super) fn kick(&mut self, id: u64, ban: Option<Duration>) -> Option<Vec<Arc<str>>> {
        let is_it = |conn: &Conn<S>| conn.id() == id && !conn.is_closing();
        let (key, _) = self.conns.iter().find(|(_, conn)| is_it(conn))?;
        let mut banned = Vec::new();
        if let Some(time) = ban {
            for publication in self.streams.publications(key) {
                let name = &self.streams[publication.stream].name;
                if self
                    .shared
                    .bans
                    .add(&bans::of_name(name, time), self.uptime())
                {
                    banned.push(name.clone());
                }
            }
        }
        self.end_client(key, "closed by the operator");
        Some(banned)
    }

    /// Ends those here that a new ban is for: connections from an address, but for those
    /// that this relay has opened, or what brings a stream. How many.
    pub(super) fn close_banned(&mut self, target: &BanTarget) -> u64 {
        if let BanTarget::Stream(name) = target {
            let index = self.streams.find(name);
            return index.map_or(0, |index| self.close_banned_stream(name, index).into());
        }
        let is_banned = |conn: &Conn<S>| {
            let is_theirs = !conn.is_outbound() && !conn.is_closing();
            is_theirs && bans::is_from(target, conn.peer().ip())
        };
        let conns = self.conns.iter().filter(|(_, conn)| is_banned(conn));
        let keys: Vec<ConnId> = conns.map(|(key, _)| key).collect();
        let mut closed = 0;
        for key in keys {
            let Some(conn) = self.conns.get(key).filter(|conn| !conn.is_closing()) else {
                continue;
            };
            // It may have been lifted meanwhile.
            if let Some(why) = self.shared.bans.of_address(conn.peer().ip(), self.uptime()) {
                self.end_client(key, &why);
                closed += 1;
            }
        }
        closed
    }

    /// Ends the publish or fetch of a stream that a new ban is for; whether a publish has ended.
    fn close_banned_stream(&mut self, name: &str, index: StreamId) -> bool {
        let stream = &self.streams[index];
        if stream.pull.is_some() {
            self.contained(ConnId::NONE, Step::Other, |core| core.give_way(index));
            return false;
        }
        let Source::Publisher(key) = stream.source() else {
            return false;
        };
        // It may have been lifted meanwhile.
        let Some(why) = self.shared.bans.of_stream(name, self.uptime()) else {
            return false;
        };
        self.contained(key, Step::Other, |core| {
            let status = Status::PublishDenied;
            core.end_publication(index, status, &why, &CloseReason::Kicked);
        });
        true
    }

    fn end_client(&mut self, key: ConnId, why: &str) {
        self.contained(key, Step::Other, |core| {
            core.tell_kicked(key, why);
            core.close(key, &CloseReason::Kicked);
        });
    }

    fn tell_kicked(&mut self, key: ConnId, why: &str) {
        let conn = &mut self.conns[key];
        for play in self.streams.plays(key) {
            // By HTTP the close says why.
            if !play.switching && conn.session.http().is_none() {
                conn.session.reject(play.msid, Status::PlayFailed, why);
            }
        }
        for publication in self.streams.publications(key) {
            let status = Status::PublishDenied;
            conn.session.reject(publication.msid, status, why);
        }
    }
}
