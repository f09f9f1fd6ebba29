//! Requests are refused: that is counted and logged.

use std::fmt::Display;

use log::{Level, log};

use super::close_reason::CloseReason;
use super::core::Core;
use super::flow::Flow;
use super::ids::ConnId;
use super::refusal::{Asked, Refused};
use crate::logging::quoted;
use crate::net::transport::Transport;
use crate::rtmp::command::Status;
use crate::rtmp::message::MessageStreamId;
use crate::rtmp::name::StreamName;

impl<S: Transport> Core<S> {
    /// Counts and logs a connect, publish or play that the session itself has refused because
    /// nothing can be called so; the connection is about to close for it.
    #[cold]
    pub(super) fn note_bad_name(&mut self, key: ConnId, why: &CloseReason) {
        let session = self.conns[key].session.server();
        let Some(refused) = session.and_then(|session| session.take_refused()) else {
            return;
        };
        let asked = match refused.request {
            "connect" => Asked::Connect,
            "publish" => Asked::Publish,
            _ => Asked::Play,
        };
        self.note_refused(key, (asked, &refused.name), Refused::Name, why);
        if asked != Asked::Connect {
            self.conns[key].set_asked(refused.name.into());
        }
    }

    /// Counts that a request of connection `key` for `name`, an app or a stream, is refused, and
    /// logs it. `why` may say more than the reason's own words.
    pub(super) fn note_refused(
        &mut self,
        key: ConnId,
        (asked, name): (Asked, &dyn Display),
        reason: Refused,
        why: &dyn Display,
    ) {
        self.refusals.count(asked, reason);
        let level = match reason {
            Refused::RelayLoop | Refused::RelayChain => Level::Warn,
            _ => asked.level(),
        };
        let (word, code) = (asked.word(), reason.code());
        if !self.notes.allow(code, level, self.now) {
            return;
        }
        let Some(conn) = self.conns.get(key) else {
            return;
        };
        let what = match asked {
            Asked::Connect => "app",
            Asked::Publish | Asked::Play => "stream",
        };
        log!(
            level,
            "conn={} {word} refused {what}={} reason={code} why={} peer={}",
            conn.id(),
            quoted(name),
            quoted(why),
            conn.peer(),
        );
    }

    /// Why connection `key` may not be here, if its address is banned.
    pub(super) fn banned_address(&self, key: ConnId) -> Option<String> {
        let address = self.conns[key].peer().ip();
        self.shared.bans.of_address(address, self.uptime())
    }

    /// Refuses a publish or a play on `msid`: the client is told `status`, and its connection
    /// closes unless it has a role on another message stream. Encoders hang when they are refused
    /// without a close.
    pub(super) fn refuse_role(
        &mut self,
        key: ConnId,
        msid: MessageStreamId,
        (asked, name): (Asked, &StreamName),
        reason: Refused,
        status: Status,
    ) -> Flow {
        let why = reason.words();
        self.note_refused(key, (asked, name), reason, &why);
        let conn = &mut self.conns[key];
        conn.set_asked(name.key().into());
        conn.session.reject(msid, status, why);
        if self.streams.has_other_role(key, msid) {
            return Flow::Continue;
        }
        Flow::Close(CloseReason::Rejected(why))
    }
}
