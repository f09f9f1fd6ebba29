//! What workers count. A worker keeps plain numbers and copies them to atomics once a second,
//! so that whoever looks at them costs the data path nothing.

use std::sync::atomic::{AtomicU64, Ordering};

/// A worker's own numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Streams with a publisher here, or waiting for it to come back.
    pub streams: u64,
    /// Publishing connections.
    pub publishers: u64,
    /// Players, waiting ones included.
    pub players: u64,
    /// Open connections.
    pub connections: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections refused for want of room.
    pub refused: u64,
    /// Connections closed because a peer broke the protocol or let a deadline pass.
    pub violations: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Messages published.
    pub messages_in: u64,
    /// Times a slow player was moved to the newest sync point.
    pub skips: u64,
    /// Bytes of streams that slow players never got.
    pub skipped_bytes: u64,
    /// Times `accept` found no descriptor.
    pub accept_pauses: u64,
    /// The pace in force, in milliseconds.
    pub pace_ms: u64,
}

/// The number of fields in [`Gauges`].
const FIELDS: usize = 14;

impl Gauges {
    /// A connection ended for the reason `code`.
    pub fn count_close(&mut self, code: &str) {
        let ordinary = [
            "peer_closed",
            "io",
            "rejected",
            "taken_over",
            "stream_ended",
            "shutdown",
        ];
        self.violations += u64::from(!ordinary.contains(&code));
    }

    /// These numbers added to `other`'s, field by field; the pace is the larger one.
    pub fn plus(&self, other: &Self) -> Self {
        let (left, right) = (self.to_array(), other.to_array());
        let mut sum = Self::from_array(std::array::from_fn(|i| left[i].wrapping_add(right[i])));
        sum.pace_ms = self.pace_ms.max(other.pace_ms);
        sum
    }

    fn to_array(self) -> [u64; FIELDS] {
        [
            self.streams,
            self.publishers,
            self.players,
            self.connections,
            self.accepted,
            self.refused,
            self.violations,
            self.bytes_in,
            self.bytes_out,
            self.messages_in,
            self.skips,
            self.skipped_bytes,
            self.accept_pauses,
            self.pace_ms,
        ]
    }

    fn from_array(values: [u64; FIELDS]) -> Self {
        let [
            streams,
            publishers,
            players,
            connections,
            accepted,
            refused,
            violations,
            bytes_in,
            bytes_out,
            messages_in,
            skips,
            skipped_bytes,
            accept_pauses,
            pace_ms,
        ] = values;
        Self {
            streams,
            publishers,
            players,
            connections,
            accepted,
            refused,
            violations,
            bytes_in,
            bytes_out,
            messages_in,
            skips,
            skipped_bytes,
            accept_pauses,
            pace_ms,
        }
    }
}

/// The numbers of one worker as others see them, at most a second old.
#[derive(Debug, Default)]
pub struct WorkerStats {
    values: [AtomicU64; FIELDS],
}

impl WorkerStats {
    /// Makes `gauges` what others see.
    pub fn store(&self, gauges: &Gauges) {
        for (slot, value) in self.values.iter().zip(gauges.to_array()) {
            slot.store(value, Ordering::Relaxed);
        }
    }

    /// What the worker stored last.
    pub fn load(&self) -> Gauges {
        Gauges::from_array(std::array::from_fn(|i| {
            self.values[i].load(Ordering::Relaxed)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_the_way_through_the_atomics_and_add_up() {
        let one = Gauges::from_array(std::array::from_fn(|i| i as u64 + 1));
        let stats = WorkerStats::default();
        stats.store(&one);
        assert_eq!(stats.load(), one);
        let two = one.plus(&one);
        assert_eq!((two.streams, two.accept_pauses, two.pace_ms), (2, 26, 14));
    }
}
