//! The end of a relay: who can go elsewhere is asked to at once, everybody is served for as long
//! as `--drain` says, then told and closed.
//!
//! ```text
//!   drain                              --drain is over
//!     |  E-RTMP clients: reconnect        |  statuses, close
//!     +-----------------------------------+----------------- the time to take them
//! ```

use super::close_reason::CloseReason;
use super::contain::Step;
use super::core::Core;
use super::draining::Draining;
use super::ids::{ConnId, StreamId};
use super::table::Source;
use crate::http::websocket::CloseCode;
use crate::net::transport::Transport;
use crate::rtmp::command::Status;

impl<S: Transport> Core<S> {
    /// Publishes and pulls nothing new, and ends after `--drain`. Connections may come for as
    /// long as the event loop listens.
    pub(super) fn drain(&mut self) {
        self.draining = Draining::Until(self.now + self.shared.config.drain);
        for key in self.conns.keys() {
            self.contained(key, Step::Other, |core| core.ask_to_leave(key));
        }
        for index in self.streams.keys() {
            self.contained_stream(index, |core| core.drain_stream(index));
        }
    }

    /// Whom a stream waits for does not come any more, and that is seen at once: its publisher, who
    /// may have been about to be back or to begin, or an origin.
    fn drain_stream(&mut self, index: StreamId) {
        let now = self.now;
        let is_away = self.streams.await_until(index, now);
        let stream = &self.streams[index];
        match stream.source() {
            _ if is_away => {}
            Source::Nobody if self.shared.registry.look_up(&stream.name).0.is_none() => {
                self.refuse_all_waiting(index);
                return;
            }
            _ if stream.pull.is_some() => {}
            _ => return,
        }
        self.look_at_stream(index, now);
    }

    /// A client that knows how is asked to connect anew, here, where another relay listens by
    /// then, or where `--reconnect-to` says.
    fn ask_to_leave(&mut self, key: ConnId) {
        let to = self.shared.config.reconnect_to.clone();
        // One that is closing may have sent its end already.
        let open = self.conns.get_mut(key).filter(|conn| !conn.is_closing());
        let asked = match open.and_then(|conn| conn.session.server()) {
            Some(session) => session.request_reconnect(to.as_deref(), "the relay stops"),
            None => false,
        };
        if asked {
            self.gauges.reconnect_requests += 1;
            self.wake(key);
        }
    }

    /// Tells and closes everybody once `--drain` is over.
    pub(super) fn check_drain(&mut self) {
        if self.draining.due().is_none_or(|at| at > self.now) {
            return;
        }
        self.draining = Draining::Done;
        for key in self.conns.keys() {
            self.contained(key, Step::Other, |core| {
                core.say_goodbye(key);
                core.close(key, &CloseReason::Shutdown);
            });
        }
    }

    /// The statuses a client is owed before the relay stops.
    fn say_goodbye(&mut self, key: ConnId) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if let Some(http) = conn.session.http() {
            http.end(CloseCode::GoingAway, "the relay stops");
        }
        for play in self.streams.plays(key) {
            if play.wait_until.is_none() {
                conn.session.end_play(play.msid, "the relay stops");
            } else if !play.switching {
                let why = "the relay stops";
                conn.session
                    .reject(play.msid, Status::PlayStreamNotFound, why);
            }
        }
        for publication in self.streams.publications(key) {
            let why = "the relay stops";
            conn.session
                .send_status(publication.msid, Status::UnpublishSuccess, why);
            if let Some(client) = conn.session.client() {
                client.stop();
            }
        }
    }
}
