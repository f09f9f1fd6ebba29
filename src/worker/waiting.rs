//! Plays that wait for a stream which is not live: how long, and when they wait no longer.

use std::time::Duration;

use super::core::Core;
use super::ids::{ConnId, PullRuleId, StreamId};
use crate::limits;
use crate::net::transport::Transport;

impl<S: Transport> Core<S> {
    /// How long a play of connection `key` may come before the publish of its stream. A relay that
    /// plays here for its own players has others to ask; where a publisher has just ended the
    /// stream, hardly anybody is about to publish it; and nobody may while the relay stops.
    pub(super) fn patience(&self, key: ConnId, index: StreamId) -> Duration {
        if self.is_draining() || self.is_relay(key) {
            return Duration::ZERO;
        }
        let wait = self.shared.config.play_wait;
        match self.has_ended(index) {
            true => wait.min(limits::ENDED_WAIT),
            false => wait,
        }
    }

    /// How long a play may wait for a stream that is fetched by `rule`: until all origins were
    /// asked and it is given up. Who waits is told sooner when the pull ends.
    pub(super) fn pull_wait(&self, rule: PullRuleId) -> Duration {
        let config = &self.shared.config;
        let origins = u32::try_from(config.pull[rule.index()].servers.len()).unwrap_or(u32::MAX);
        config.pull_give_up + config.pull_timeout * TIMEOUTS_OF_AN_ORIGIN * origins
    }

    /// No origin has the stream: who waits for it does so no longer than for one that may be
    /// published here.
    pub(super) fn shorten_waits(&mut self, index: StreamId) {
        let stream = &self.streams[index];
        let Some(begun) = stream.pull.as_ref().and_then(|pull| pull.dark_since()) else {
            return;
        };
        for slot in self.streams[index].players.indices() {
            let player = &self.streams[index].players[slot];
            let key = player.conn();
            let until = begun + self.patience(key, index);
            if let Some(wait) = &mut self.streams.play_of(index, slot).wait_until
                && *wait > until
            {
                *wait = until;
                self.arm(key, until);
            }
        }
    }

    /// Plays that wait for the stream wait no longer.
    pub(super) fn refuse_all_waiting(&mut self, index: StreamId) {
        for slot in self.streams[index].players.indices() {
            if let Some(wait) = &mut self.streams.play_of(index, slot).wait_until {
                *wait = self.now;
                self.arm(self.streams[index].players[slot].conn(), self.now);
            }
        }
    }

    /// Whether the publisher of the stream has just ended it, and nobody publishes it since.
    pub(super) fn has_ended(&self, index: StreamId) -> bool {
        let stream = &self.streams[index];
        let registry = &self.shared.registry;
        !stream.may_begin() && registry.has_ended(&stream.name, self.uptime())
    }
}

/// So often `--pull-timeout` an origin may take until its first media: for its name, twice until
/// it has accepted play, and for media.
const TIMEOUTS_OF_AN_ORIGIN: u32 = 4;
