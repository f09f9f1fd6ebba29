//! Connections to other servers that are given up, and what they were for.

use super::close_reason::CloseReason;
use super::core::Core;
use super::ids::StreamId;
use super::line::State;
use super::mail::Mail;
use super::pull::Pull;
use super::table::Source;
use crate::net::transport::Transport;

impl<S: Transport> Core<S> {
    /// Gives up a line of the stream `index` that stands at `state` for good: its connection ends,
    /// its call is not waited for.
    pub(super) fn hang_up(&mut self, index: StreamId, state: State) {
        if let Some(key) = self.release(index, state) {
            self.close(key, &CloseReason::Released);
        }
    }

    /// Nobody is looked for any more.
    pub(super) fn end_search(&mut self, index: StreamId) {
        let Some(pull) = &mut self.streams[index].pull else {
            return;
        };
        let state = pull.end_search();
        self.hang_up(index, state);
    }

    /// The stream is no longer this worker's to fetch: nobody has it, or a publisher of its own.
    pub(super) fn forget_pull(&mut self, index: StreamId) {
        let stream = &mut self.streams[index];
        let Some(pull) = stream.pull.take() else {
            return;
        };
        let is_pulling = stream.source() == Source::Pulling;
        self.hang_up_pull(index, &pull);
        if is_pulling {
            self.streams.set_source(index, Source::Nobody);
            let name = self.streams[index].name.clone();
            let (_, mut waiting) = self.shared.registry.look_up(&name);
            waiting.remove(self.worker);
            for worker in waiting.iter() {
                let name = name.clone();
                self.outbox.send(worker, Mail::NotLive { name });
            }
            self.shared.registry.release(&name, self.worker);
        }
    }

    /// Both connections of a pull are given up.
    pub(super) fn hang_up_pull(&mut self, index: StreamId, pull: &Pull) {
        if let Some(since) = pull.idle_since() {
            self.lingering.end(index, since, &self.shared.admission);
        }
        self.hang_up(index, pull.line().state());
        if let Some(held) = pull.held() {
            self.hang_up(index, State::Up(held.key()));
        }
    }

    /// The stream ends: targets that take it are told with its other players, the rest is given
    /// up.
    pub(super) fn forget_pushes(&mut self, index: StreamId) {
        for push in std::mem::take(&mut self.streams[index].pushes) {
            // Its play ends with those of the stream.
            let former = push.former().and_then(|key| self.conns.get_mut(key));
            if let Some(conn) = former {
                conn.take_errand();
            }
            let key = push.line().conn();
            let plays = key.is_some_and(|key| !self.streams.plays(key).is_empty());
            let conn = key.and_then(|key| self.conns.get_mut(key));
            let is_its = |conn: &&mut super::conn::Conn<S>| {
                plays && conn.errand().is_some_and(|its| its.stream() == index)
            };
            match conn.filter(is_its) {
                Some(conn) => drop(conn.take_errand()),
                None => self.hang_up(index, push.line().state()),
            }
        }
    }
}
