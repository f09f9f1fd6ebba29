//! What workers count, in all and for each target that streams are handed on to. A worker keeps
//! plain numbers and copies them to atomics a few times a second, so that whoever looks at them
//! costs the data path nothing.

use std::sync::atomic::{AtomicU64, Ordering};

/// Makes a struct of numbers that is an array as well, in the order of its fields.
macro_rules! gauges {
    ($(#[$about:meta])+ $gauges:ident: $($(#[$doc:meta])+ $name:ident,)+) => {
        $(#[$about])+
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $gauges {
            $($(#[$doc])+ pub $name: u64,)+
        }

        impl $gauges {
            /// The number of fields.
            const FIELDS: usize = [$(stringify!($name)),+].len();

            /// Each number with its name.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                let names = [$(stringify!($name)),+];
                names.into_iter().zip(self.to_array())
            }

            fn to_array(self) -> [u64; Self::FIELDS] {
                [$(self.$name),+]
            }

            fn from_array(values: [u64; Self::FIELDS]) -> Self {
                let [$($name),+] = values;
                Self { $($name),+ }
            }

            fn added(&self, other: &Self) -> Self {
                let (left, right) = (self.to_array(), other.to_array());
                Self::from_array(std::array::from_fn(|i| left[i].wrapping_add(right[i])))
            }
        }
    };
}

gauges! {
    /// A worker's own numbers.
    Gauges:
    /// Streams with a publisher here, or waiting for it to come back.
    streams,
    /// Publishing connections.
    publishers,
    /// Players, waiting ones included.
    players,
    /// Players that wait for their stream.
    waiting,
    /// Players by HTTP and WebSocket that play.
    http_players,
    /// Open connections, those to the admin listener left out.
    connections,
    /// Connections accepted, those to the admin listener left out.
    accepted,
    /// Open connections to the admin listener.
    admin_connections,
    /// Requests to the admin listener.
    admin_requests,
    /// Bytes received from connections to the admin listener.
    admin_bytes_in,
    /// Bytes sent to connections to the admin listener.
    admin_bytes_out,
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
    /// Fetches refused because there were too many of one address, or too many streams.
    refused_fetches,
    /// Connections closed because a peer broke the protocol or let a deadline pass.
    violations,
    /// Panics that ended one connection.
    bugs,
    /// Connections closed for want of memory.
    shed,
    /// Headers that changed too often to be kept.
    unkept_headers,
    /// Bytes received, those of the admin listener left out.
    bytes_in,
    /// Bytes sent, those of the admin listener left out.
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
    /// Turns of the event loop.
    turns,
    /// Times poll returned.
    polls,
    /// Times another thread woke the worker.
    wakes,
    /// Letters from other workers.
    letters,
    /// The most letters that waited at one time, of late.
    mail_queue,
    /// Nanoseconds spent in reading and parsing.
    ingress_ns,
    /// Nanoseconds spent in rounds of writing.
    egress_ns,
    /// Nanoseconds spent in turns, all told.
    busy_ns,
}

gauges! {
    /// What a worker has counted of one target: of one rule of `--push`.
    TargetGauges:
    /// Streams that it takes now.
    streams,
    /// Times it refused a stream.
    refusals,
    /// Times it could not be reached, refused a stream or was lost.
    failures,
    /// Connections to it over which anything was sent.
    connections,
    /// Bytes sent to it.
    bytes_out,
    /// Bytes of streams that it never got, because it was too slow.
    skipped_bytes,
}

impl Gauges {
    /// These numbers added to `other`'s, field by field; the pace is the larger one.
    pub fn plus(&self, other: &Self) -> Self {
        let mut sum = self.added(other);
        sum.pace_ms = self.pace_ms.max(other.pace_ms);
        sum
    }
}

impl TargetGauges {
    /// These numbers added to `other`'s, field by field.
    pub fn plus(&self, other: &Self) -> Self {
        self.added(other)
    }
}

/// Numbers that one thread stores and others load.
#[derive(Debug)]
struct Slots<const N: usize>([AtomicU64; N]);

impl<const N: usize> Slots<N> {
    fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    fn store(&self, values: [u64; N]) {
        for (slot, value) in self.0.iter().zip(values) {
            slot.store(value, Ordering::Relaxed);
        }
    }

    fn load(&self) -> [u64; N] {
        std::array::from_fn(|i| self.0[i].load(Ordering::Relaxed))
    }
}

/// The numbers of one worker as others see them, a fraction of a second old.
#[derive(Debug)]
pub struct WorkerStats {
    all: Slots<{ Gauges::FIELDS }>,
    targets: Vec<Slots<{ TargetGauges::FIELDS }>>,
}

impl WorkerStats {
    /// All zero, of a worker that hands streams on to so many `targets`.
    pub fn new(targets: usize) -> Self {
        Self {
            all: Slots::new(),
            targets: (0..targets).map(|_| Slots::new()).collect(),
        }
    }

    /// Makes these what others see; `targets` in the order of the rules.
    pub fn store(&self, gauges: &Gauges, targets: &[TargetGauges]) {
        self.all.store(gauges.to_array());
        debug_assert_eq!(self.targets.len(), targets.len());
        for (slots, target) in self.targets.iter().zip(targets) {
            slots.store(target.to_array());
        }
    }

    /// What the worker stored last.
    pub fn load(&self) -> Gauges {
        Gauges::from_array(self.all.load())
    }

    /// What the worker stored last of the target of the push rule with this index; zeros when
    /// there is none.
    pub fn load_target(&self, rule: usize) -> TargetGauges {
        let slots = self.targets.get(rule);
        slots.map_or_else(TargetGauges::default, |slots| {
            TargetGauges::from_array(slots.load())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_its_name() {
        let one = Gauges::from_array(std::array::from_fn(|i| i as u64 + 1));
        let named: Vec<_> = one.named().collect();
        assert_eq!(named[0], ("streams", one.streams));
        assert!(named.contains(&("busy_ns", one.busy_ns)), "{named:?}");
        assert_eq!(named.len(), Gauges::FIELDS);
    }

    #[test]
    fn numbers_survive_the_way_through_the_atomics_and_add_up() {
        let one = Gauges::from_array(std::array::from_fn(|i| i as u64 + 1));
        let targets = [100, 200]
            .map(|base| TargetGauges::from_array(std::array::from_fn(|i| i as u64 + base)));
        let stats = WorkerStats::new(2);
        stats.store(&one, &targets);
        assert_eq!(stats.load(), one);
        let loaded: [TargetGauges; 3] = std::array::from_fn(|rule| stats.load_target(rule));
        assert_eq!(loaded, [targets[0], targets[1], TargetGauges::default()]);
        let two = one.plus(&one);
        let pace = one.pace_ms;
        assert_eq!((two.streams, two.publishers, two.pace_ms), (2, 4, pace));
        let sum = targets[0].plus(&targets[1]);
        assert_eq!((sum.streams, sum.skipped_bytes), (300, 310));
    }
}
