//! What a worker counts beside what it does, and what is worked out of that once in a while.

use std::time::Duration;

use super::core::Core;
use super::session::Form;
use super::table::Stream;
use crate::net::transport::Transport;
use crate::stats::Gauges;

impl<S: Transport> Core<S> {
    /// Works out the bits a second of each stream; about once a second.
    pub(super) fn measure_rates(&mut self) {
        let now = self.now;
        for (_, stream) in self.streams.iter_mut() {
            let bytes_in = stream.log.end();
            stream.tally.measure(now, bytes_in);
        }
    }

    /// Players that wait, and those that play by HTTP and WebSocket.
    fn count_audience(&self) -> (u64, u64) {
        let streams = self.streams.iter().map(|(_, stream)| count_players(stream));
        streams.fold((0, 0), |(waiting, by_http), its| {
            (waiting + its.waiting, by_http + its.by_http)
        })
    }

    /// The loop went through a turn that read and wrote for so long.
    pub fn count_turn(&mut self, ingress: Duration, egress: Duration) {
        self.gauges.turns += 1;
        self.gauges.ingress_ns += nanoseconds(ingress);
        self.gauges.egress_ns += nanoseconds(egress);
    }

    /// The loop has not slept for so long.
    pub fn count_busy(&mut self, time: Duration) {
        self.gauges.busy_ns += nanoseconds(time);
    }

    /// So many letters were in the mailbox.
    pub fn count_letters(&mut self, count: usize) {
        let count = count as u64;
        self.gauges.letters += count;
        self.gauges.mail_queue = self.gauges.mail_queue.max(count);
    }

    /// What is counted; for the event loop's own part of it.
    pub fn gauges_mut(&mut self) -> &mut Gauges {
        &mut self.gauges
    }

    /// Makes the gauges that say how many there are say so.
    pub(super) fn bring_up_gauges(&mut self) {
        let streams = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.is_owned())
            .count();
        self.gauges.streams = streams as u64;
        self.gauges.publishers = self.streams.publishers() as u64;
        let pushes = self.count_targets();
        let (waiting, http_players) = self.count_audience();
        self.gauges.waiting = waiting;
        self.gauges.http_players = http_players;
        let pulls = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.pull.is_some());
        self.gauges.pulls = pulls.count() as u64;
        self.gauges.pushes = pushes;
        self.gauges.players = (self.streams.players() as u64).saturating_sub(pushes);
        self.gauges.connections = self.conns.len() as u64;
        self.gauges.pace_ms = u64::try_from(self.pacer.pace().as_millis()).unwrap_or(u64::MAX);
    }

    /// Brings the figures of targets up to date; how many streams they take together.
    fn count_targets(&mut self) -> u64 {
        let Self {
            streams,
            conns,
            targets,
            ..
        } = self;
        for target in &mut *targets {
            target.pushes = 0;
        }
        for push in streams.iter().flat_map(|(_, stream)| &stream.pushes) {
            targets[push.rule()].pushes += u64::from(push.is_publishing());
            if let Some(conn) = push.line().conn().and_then(|key| conns.get_mut(key)) {
                conn.count_sent(targets);
            }
        }
        targets.iter().map(|target| target.pushes).sum()
    }
}

/// A time in nanoseconds.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Those who play a stream at one worker, targets of `--push` left out.
pub(super) struct Audience {
    pub(super) players: u64,
    pub(super) by_http: u64,
    pub(super) waiting: u64,
}

pub(super) fn count_players(stream: &Stream) -> Audience {
    let (mut players, mut by_http, mut waiting) = (0, 0, 0);
    for player in stream.players.iter() {
        match player.form() {
            Form::Publish => {}
            _ if !player.is_started() => waiting += 1,
            _ => {
                players += 1;
                by_http += u64::from(player.is_by_http());
            }
        }
    }
    Audience {
        players,
        by_http,
        waiting,
    }
}
