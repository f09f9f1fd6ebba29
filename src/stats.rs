//! What workers count. A worker keeps plain numbers and copies them to atomics once a second,
//! so that whoever looks at them costs the data path nothing.

use std::sync::atomic::{AtomicU64, Ordering};

/// Makes a struct of numbers that is an array as well, in the order of its fields.
macro_rules! gauges {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// A worker's own numbers.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Gauges {
            $($(#[$doc])+ pub $name: u64,)+
        }

        /// The number of fields in [`Gauges`].
        const FIELDS: usize = [$(stringify!($name)),+].len();

        impl Gauges {
            fn to_array(self) -> [u64; FIELDS] {
                [$(self.$name),+]
            }

            fn from_array(values: [u64; FIELDS]) -> Self {
                let [$($name),+] = values;
                Self { $($name),+ }
            }
        }
    };
}

gauges! {
    /// Streams with a publisher here, or waiting for it to come back.
    streams,
    /// Publishing connections.
    publishers,
    /// Players, waiting ones included.
    players,
    /// Open connections.
    connections,
    /// Connections accepted.
    accepted,
    /// Connections refused because there were as many as there may be.
    refused,
    /// Connections refused because their address has as many as it may have.
    refused_address,
    /// Connections refused because too many had no role yet.
    refused_newcomers,
    /// Connections and plays refused for want of memory.
    refused_memory,
    /// Publishes refused for want of memory, or because there were too many streams or too many
    /// publishes from one address.
    refused_publishes,
    /// Connections closed because a peer broke the protocol or let a deadline pass.
    violations,
    /// Panics that ended one connection.
    bugs,
    /// Players and publishers closed for want of memory.
    shed,
    /// Headers that changed too often to be kept.
    unkept_headers,
    /// Bytes received.
    bytes_in,
    /// Bytes sent.
    bytes_out,
    /// Messages published.
    messages_in,
    /// Streams that are fetched from an origin, or are to be.
    pulls,
    /// Times an origin could not be reached, did not have a stream or was lost.
    pull_failures,
    /// Streams that are handed on, each counted once for every target that takes it.
    pushes,
    /// Times a target could not be reached, refused a stream or was lost.
    push_failures,
    /// Times a target refused a stream.
    push_refusals,
    /// Clients that were asked to connect anew because the relay stops.
    reconnect_requests,
    /// Writes to players.
    writes,
    /// Times a slow player was moved to the newest sync point.
    skips,
    /// Bytes of streams that slow players never got.
    skipped_bytes,
    /// Times `accept` found no descriptor.
    accept_pauses,
    /// Lines of the log that were left out because there were too many of their kind.
    unlogged,
    /// Bytes held for streams and connections; 0 while there is no limit on them.
    held_bytes,
    /// The pace in force, in milliseconds.
    pace_ms,
}

impl Gauges {
    /// These numbers added to `other`'s, field by field; the pace is the larger one.
    pub fn plus(&self, other: &Self) -> Self {
        let (left, right) = (self.to_array(), other.to_array());
        let mut sum = Self::from_array(std::array::from_fn(|i| left[i].wrapping_add(right[i])));
        sum.pace_ms = self.pace_ms.max(other.pace_ms);
        sum
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
        let pace = FIELDS as u64;
        assert_eq!((two.streams, two.publishers, two.pace_ms), (2, 4, pace));
    }
}
