//! The end of a stream in good order: what players are owed goes first.

use super::core::Core;
use super::ids::{ConnId, StreamId};
use super::table::{Player, Source};
use crate::net::transport::Transport;
use crate::rtmp::control::UserControl;

impl<S: Transport> Core<S> {
    /// Ends a stream of this worker: players are told and closed, other workers are told.
    pub(super) fn end_stream(&mut self, index: StreamId) {
        if !self.streams.contains(index) {
            return;
        }
        // First what they are owed of it.
        self.round(index);
        if self.streams.contains(index) {
            self.cut_stream(index);
        } // Otherwise a panic on the way has ended it.
    }

    /// Relays that play the stream are told that its publisher has gone (StreamEOF, RTMP 1.0
    /// §7.1.7): they may have it from elsewhere, and need not wait until it is clear that nothing
    /// comes. Nobody else is told: players take it for the end. Those that have not been sent all
    /// there is find out by themselves.
    pub(super) fn tell_relays_of_end(&mut self, index: StreamId) {
        let stream = &mut self.streams[index];
        if std::mem::replace(&mut stream.is_end_told, true) {
            return;
        }
        let has_relay = |core: &mut Self| {
            let players = core.streams[index].players.iter();
            let keys: Vec<ConnId> = players.map(Player::conn).collect();
            keys.into_iter().any(|key| core.is_relay(key))
        };
        if !has_relay(self) {
            return;
        }
        self.round(index);
        self.tell_relays(index, UserControl::StreamEof);
    }

    /// Ends a pull: players that have begun are told that the stream is over, those that wait
    /// that there is none.
    pub(super) fn end_pull(&mut self, index: StreamId) {
        if self.streams[index].source() == Source::Pulling {
            self.forget_pull(index);
            self.refuse_all_waiting(index);
            // Otherwise the last of those that wait takes it along.
            if self.streams[index].players.is_empty() {
                self.last_player_left(index);
            }
        } else {
            self.end_stream(index);
        }
    }
}
