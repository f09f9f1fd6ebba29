//! How streams live and die on a worker: a publisher comes, leaves, comes back or not; players
//! join and go.
//!
//! ```text
//!             publisher                    publisher leaves
//!   Nobody ---------------> Publisher -----------------------> Away
//!     |  ^                      ^                               |  |
//!     |  | over                 +----- publisher comes back ----+  | grace has passed
//!     |  +---------------------------------------------------------+
//!     +--- another worker has it ---> Fed ---- it ends there ---> (over)
//! ```

use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::ids::{ConnId, PlayerSlot, StreamId};
use super::mail::Mail;
use super::table::{Player, Source};
use crate::limits;
use crate::net::transport::Transport;
use crate::rtmp::control::UserControl;
use crate::rtmp::message::MessageStreamId;

impl<S: Transport> Core<S> {
    /// The stream called `name`, made if it is not known here.
    pub(super) fn stream_for(&mut self, name: &Arc<str>) -> StreamId {
        self.streams
            .open(name, self.settings.log_limits(), self.now)
    }

    /// Takes a player out of a stream.
    pub(super) fn remove_player(&mut self, index: StreamId, slot: PlayerSlot) -> Player {
        let (_, gone) = self.streams.remove_player(index, slot);
        if gone.is_counted() {
            self.uncount_via(index, gone.conn());
        }
        self.pull_is_left(index, gone.conn());
        if self.streams[index].players.is_empty() {
            self.last_player_left(index);
        }
        gone
    }

    /// The last player of a stream has gone: nobody needs the stream, unless it is owned here.
    pub(super) fn last_player_left(&mut self, index: StreamId) {
        let stream = &self.streams[index];
        let name = stream.name.clone();
        let owner = self.shared.registry.leave(&name, self.worker);
        if stream.is_owned() {
            if stream.pull.is_some() {
                self.look_at_stream(index, self.now);
            }
            return;
        }
        if let Some(owner) = owner {
            // Also when nothing has come from there yet: it may be on its way.
            let (epoch, from) = (owner.epoch, self.worker);
            let mail = Mail::Unsubscribe { name, epoch, from };
            self.outbox.send(owner.worker, mail);
        }
        self.forget_stream(index);
    }

    /// Connection `key` publishes the stream no more. It may come back, also when it has `ended`
    /// the stream: some encoders do that where settings change.
    pub(super) fn publisher_left(&mut self, key: ConnId, index: StreamId, ended: bool) {
        let stream = &self.streams[index];
        let config = &self.shared.config;
        let grace = match stream.pull {
            // No publisher is let in any more, and nothing is fetched anew.
            _ if self.is_draining() => Duration::ZERO,
            Some(_) => config.pull_give_up,
            None if ended => config.grace.min(limits::UNPUBLISH_GRACE),
            None => config.grace,
        };
        let (since, until) = (self.now, self.now + grace);
        let away = Source::Away {
            since,
            until,
            ended,
        };
        if !self.streams.unpublish(key, index, away) {
            // Of what was to be fetched nothing had come yet.
            return;
        }
        let stream = &mut self.streams[index];
        // Who joins now would start with a picture of the past and then see nothing.
        stream.log.flush();
        stream.log.close_starts();
        self.mark_dirty(index);
        // At once, for the relays that play it.
        self.look_at_stream(index, self.now);
        self.tell_feeds(index, |name, epoch| Mail::Away { name, epoch, ended });
        if ended {
            self.note_end(index, grace);
        }
    }

    /// The publisher of a stream has ended it, and may come back within `grace`: for as long as
    /// a play may come before its publish after that, it is known that the stream is over.
    pub(super) fn note_end(&self, index: StreamId, grace: Duration) {
        let (now, wait) = (self.uptime(), self.shared.config.play_wait);
        let name = &self.streams[index].name;
        let registry = &self.shared.registry;
        registry.note_end(name, now, now + grace + wait);
    }

    /// They are told that the next one has come.
    pub(super) fn tell_relays_of_begin(&mut self, index: StreamId) {
        if std::mem::take(&mut self.streams[index].is_end_told) {
            self.tell_relays(index, UserControl::StreamBegin);
        }
    }

    pub(super) fn tell_relays(
        &mut self,
        index: StreamId,
        event: fn(MessageStreamId) -> UserControl,
    ) {
        let Some(stream) = self.streams.get(index) else {
            return;
        };
        let has_all = |player: &&Player| player.is_started() && !player.is_behind(&stream.log);
        let players = stream.players.iter().filter(has_all);
        let players: Vec<_> = players
            .map(|player| (player.conn(), player.msid()))
            .collect();
        for (key, msid) in players {
            if self.is_relay(key) {
                self.conns[key].session.send_user_control(event(msid));
                self.wake(key);
            }
        }
    }

    pub(super) fn forget_stream(&mut self, index: StreamId) {
        if let Some(mut stream) = self.streams.remove(index) {
            self.timers.disarm(&mut stream.armed);
            stream.log.recycle(&mut self.blocks);
            stream.flv.recycle(&mut self.blocks);
        }
    }
}
