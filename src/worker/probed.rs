//! The end of a probe.

use std::sync::Arc;

use super::core::Core;
use super::ids::StreamId;
use super::table::Play;
use crate::net::transport::Transport;

impl<S: Transport> Core<S> {
    /// Ends the probe `index` and has its players join the stream, if they may; whether it did.
    pub(super) fn end_probe(&mut self, index: StreamId) -> bool {
        let Some(name) = self.probed(index) else {
            return false;
        };
        let Some(asked) = self.streams[index].asked.clone() else {
            return false;
        };
        self.forget_pull(index);
        if self.streams[index].players.is_empty() {
            self.last_player_left(index);
            return true;
        }
        let waiting = self.streams[index].players.iter();
        let waiting: Vec<_> = waiting
            .map(|player| (player.conn(), player.msid()))
            .collect();
        for (key, msid) in waiting {
            let its = |play: &&Play| play.stream == index && play.msid == msid;
            let Some(play) = self.streams.plays(key).iter().find(its).copied() else {
                continue;
            };
            let before = self.remove_player(index, play.slot);
            let reset = before.is_reset();
            self.join_stream(key, msid, &asked, &name, reset, play.switching);
            let joined = self.streams.plays(key).last().copied();
            if let Some(play) = joined.filter(|play| play.msid == msid) {
                self.streams[play.stream].players[play.slot].take_place_of(&before);
            }
        }
        true
    }

    /// The stream that the stream `index` is a probe of, if its players may join that.
    fn probed(&self, index: StreamId) -> Option<Arc<str>> {
        let stream = &self.streams[index];
        let name = stream.probe_of.as_ref()?;
        let is_accepted = || {
            let queries = &self.shared.queries;
            queries.is_accepted(&stream.name, self.uptime())
        };
        let may_join = stream.pull.as_ref().is_some_and(|pull| pull.is_accepted())
            || is_accepted()
            || self.shared.registry.is_published(name);
        may_join.then(|| name.clone())
    }
}
