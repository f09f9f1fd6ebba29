//! What a worker counts beside what it does, and what is worked out of that once in a while.

use std::time::Duration;

use super::core::Core;
use super::rows::count_players;
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
    pub(super) fn count_audience(&self) -> (u64, u64) {
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
}

/// A time in nanoseconds.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
