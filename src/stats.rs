//! What workers count, in all and for each target that streams are handed on to. One row is one
//! counter: the lines of `--stats-interval`, the metrics, the JSON API, its description and the
//! tables in README.md (`tests/tables.rs`) are made of it. A worker keeps plain numbers and copies
//! them to atomics a few times a second, so that whoever looks at them costs the data path nothing.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};

use Line::{Number, Own, Rate};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// A counter: what it is called where, and what it says.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The field, and the name in JSON. One in nanoseconds (`_ns`) is shown in seconds.
    pub name: &'static str,
    /// What it says, of one worker or target.
    pub help: &'static str,
    /// A total since the start, or a number that goes up and down.
    pub is_total: bool,
    /// Of several workers the largest counts, and not the sum.
    pub is_largest: bool,
    /// What it is in the line of figures.
    pub line: Line,
    /// The metric, without the `_total` of one that is a total.
    pub metric: Option<&'static str>,
    /// The limit that it counts hits of.
    pub limit: Option<&'static str>,
}

/// What a counter is in the lines of figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Nothing.
    None,
    /// The number, under its own name.
    Own,
    /// The number, under this name.
    Number(&'static str),
    /// Bits a second since the line before, under this name, of a number of bytes.
    Rate(&'static str),
}

/// A number that goes up and down.
const GAUGE: Row = Row {
    name: "",
    help: "",
    is_total: false,
    is_largest: false,
    line: Line::None,
    metric: None,
    limit: None,
};

/// A total since the start.
const TOTAL: Row = Row {
    is_total: true,
    ..GAUGE
};

impl Row {
    /// What it is called in the line of figures.
    pub fn line_name(&self) -> &'static str {
        match self.line {
            Line::None | Own => self.name,
            Number(name) | Rate(name) => name,
        }
    }

    /// What it is called in JSON.
    pub fn json_name(&self) -> Cow<'static, str> {
        match self.name.strip_suffix("_ns") {
            Some(name) => format!("{name}_seconds").into(),
            None => self.name.into(),
        }
    }

    /// The sum of two workers' numbers.
    fn sum(&self, left: u64, right: u64) -> u64 {
        if self.is_largest {
            left.max(right)
        } else {
            left.wrapping_add(right)
        }
    }
}

/// Makes a struct of numbers that is an array as well, in the order of its fields.
macro_rules! counters {
    ($(#[$about:meta])+ $counters:ident: $($name:ident: $row:expr, $help:literal;)+) => {
        $(#[$about])+
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $counters {
            $(#[doc = concat!($help, ".")] pub $name: u64,)+
        }

        impl $counters {
            /// What each field is.
            pub const ROWS: &[Row] = &[$(Row {
                name: stringify!($name),
                help: $help,
                ..$row
            }),+];

            /// The number of fields.
            const FIELDS: usize = Self::ROWS.len();

            /// Each number with its row.
            pub fn rows(&self) -> impl Iterator<Item = (&'static Row, u64)> + use<> {
                Self::ROWS.iter().zip(self.to_array())
            }

            /// The number of this name.
            pub fn get(&self, name: &str) -> Option<u64> {
                let mut rows = self.rows();
                rows.find(|(row, _)| row.name == name).map(|(_, number)| number)
            }

            /// The number of row `row` of [`ROWS`](Self::ROWS), with that row.
            pub fn row(&self, row: usize) -> (&'static Row, u64) {
                (&Self::ROWS[row], self.to_array()[row])
            }

            /// These numbers and `other`'s, field by field.
            pub fn plus(&self, other: &Self) -> Self {
                let (left, right) = (self.to_array(), other.to_array());
                let sum = |i: usize| Self::ROWS[i].sum(left[i], right[i]);
                Self::from_array(std::array::from_fn(sum))
            }

            fn to_array(self) -> [u64; Self::FIELDS] {
                [$(self.$name),+]
            }

            fn from_array(values: [u64; Self::FIELDS]) -> Self {
                let [$($name),+] = values;
                Self { $($name),+ }
            }
        }

        impl Serialize for $counters {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(Some(Self::FIELDS))?;
                for (row, number) in self.rows() {
                    let name = row.json_name();
                    if name == row.name {
                        map.serialize_entry(&name, &number)?;
                    } else {
                        map.serialize_entry(&name, &seconds(number))?;
                    }
                }
                map.end()
            }
        }
    };
}

counters! {
    /// A worker's own numbers.
    Gauges:
    streams: Row { line: Own, ..GAUGE },
        "Streams with a publisher, or waiting for it to come back";
    publishers: Row { line: Own, ..GAUGE }, "Message streams that publish";
    players: Row { line: Own, ..GAUGE },
        "Message streams that play; in the line of figures, those that wait as well";
    waiting: GAUGE, "Players that wait for their stream";
    http_players: Row { metric: Some("tailwater_http_players"), ..GAUGE },
        "Players by HTTP and WebSocket";
    connections: Row { line: Own, ..GAUGE }, "Open connections";
    accepted: Row { metric: Some("tailwater_connections_accepted"), ..TOTAL },
        "Connections accepted";
    bytes_in: Row { line: Rate("in_bps"), metric: Some("tailwater_received_bytes"), ..TOTAL },
        "Bytes received, RTMP included, TCP not";
    bytes_out: Row { line: Rate("out_bps"), metric: Some("tailwater_sent_bytes"), ..TOTAL },
        "Bytes sent, RTMP included, TCP not";
    messages_in: Row { metric: Some("tailwater_messages_received"), ..TOTAL },
        "Messages published";
    writes: Row { metric: Some("tailwater_writes"), ..TOTAL }, "Writes to players";
    skips: Row { line: Number("dropped"), metric: Some("tailwater_skips"), ..TOTAL },
        "Times a slow player was moved on to a key frame";
    skipped_bytes:
        Row { line: Number("dropped_bytes"), metric: Some("tailwater_skipped_bytes"), ..TOTAL },
        "Bytes of streams that slow players never got";
    violations: Row { line: Own, metric: Some("tailwater_violations"), ..TOTAL },
        "Connections closed because the peer broke the protocol or let a deadline pass";
    pace_ms: Row { is_largest: true, line: Own, metric: Some("tailwater_pace_seconds"), ..GAUGE },
        "The pace in force";
    pulls: Row { line: Own, ..GAUGE },
        "Streams fetched from an origin, or that are to be";
    pull_failures: Row { line: Own, metric: Some("tailwater_pull_failures"), ..TOTAL },
        "Times an origin could not be reached, did not have a stream or was lost";
    pushes: Row { line: Own, ..GAUGE },
        "Streams handed on, each counted once for every target that takes it";
    push_failures: Row { line: Own, ..TOTAL },
        "Times a target could not be reached, refused a stream or was lost";
    push_refusals: Row { line: Own, ..TOTAL },
        "Times a target refused a stream";
    refused: Row { line: Own, limit: Some("max-connections"), ..TOTAL },
        "Connections refused because there were `--max-connections`";
    refused_address: Row { line: Own, limit: Some("max-per-address"), ..TOTAL },
        "Connections refused because one address had `--max-per-address`, or its share of all";
    refused_newcomers: Row { line: Own, limit: Some("newcomers"), ..TOTAL },
        "Connections refused because too many, or too many of its address, had neither published \
         nor played";
    refused_memory: Row { line: Own, limit: Some("memory-max"), ..TOTAL },
        "Connections and plays refused for want of memory";
    refused_publishes: Row { line: Own, limit: Some("publishes"), ..TOTAL },
        "Publishes refused for `--max-streams` or the share of one address in it, for want of \
         memory, or because one address publishes too often";
    refused_fetches: Row { line: Own, limit: Some("fetches"), ..TOTAL },
        "Plays that would have had an origin asked, refused because too many of one address did \
         so in vain, or for `--max-streams`";
    shed: Row { line: Own, limit: Some("shed"), ..TOTAL },
        "Connections closed for want of memory";
    held_bytes: Row { line: Own, metric: Some("tailwater_held_bytes"), ..GAUGE },
        "Memory held for streams and connections; 0 without `--memory-max`";
    unkept_headers: Row { line: Own, limit: Some("headers"), ..TOTAL },
        "Codec headers and metadata that changed too often to be kept";
    unlogged: Row { line: Own, metric: Some("tailwater_unlogged_lines"), ..TOTAL },
        "Lines of the log that were left out, or could not be written";
    accept_pauses: Row { line: Own, limit: Some("open-files"), ..TOTAL },
        "Times no file was free for a connection";
    bugs: Row { line: Own, metric: Some("tailwater_bugs"), ..TOTAL },
        "Panics that ended one connection: each is a defect, please report it with its line of the \
         log";
    reconnect_requests: Row { metric: Some("tailwater_reconnect_requests"), ..TOTAL },
        "Clients asked to connect anew because the relay stops";
    turns: Row { metric: Some("tailwater_turns"), ..TOTAL }, "Turns of the event loop";
    polls: Row { metric: Some("tailwater_polls"), ..TOTAL }, "Times poll returned";
    wakes: Row { metric: Some("tailwater_wakes"), ..TOTAL },
        "Times another thread woke the worker";
    letters: Row { metric: Some("tailwater_letters"), ..TOTAL }, "Letters from other threads";
    mail_queue: Row { metric: Some("tailwater_mail_queue"), ..GAUGE },
        "The most letters that waited at one time in the last quarter of a second";
    ingress_ns: Row { metric: Some("tailwater_ingress_seconds"), ..TOTAL },
        "Time spent reading and parsing";
    egress_ns: Row { metric: Some("tailwater_egress_seconds"), ..TOTAL },
        "Time spent in rounds of writing";
    busy_ns: Row { metric: Some("tailwater_busy_seconds"), ..TOTAL }, "Time not spent in poll";
}

counters! {
    /// What a worker has counted of one target: of one rule of `--push`.
    TargetGauges:
    pushes: Row { line: Own, metric: Some("tailwater_push_streams"), ..GAUGE },
        "Streams that the target takes";
    failures: Row { line: Own, metric: Some("tailwater_push_failures"), ..TOTAL },
        "Times the target could not be reached, refused a stream or was lost";
    refusals: Row { line: Own, metric: Some("tailwater_push_refusals"), ..TOTAL },
        "Times the target refused a stream";
    connections: Row { line: Own, ..TOTAL },
        "Connections to the target over which anything was sent";
    bytes_out: Row { line: Rate("out_bps"), metric: Some("tailwater_push_sent_bytes"), ..TOTAL },
        "Bytes sent to the target";
    skipped_bytes: Row { line: Own, metric: Some("tailwater_push_skipped_bytes"), ..TOTAL },
        "Bytes of streams that the target never got because it was slow";
}

counters! {
    /// What a worker has counted of a stream, wherever that comes in.
    StreamGauges:
    bytes_out: Row { metric: Some("tailwater_stream_sent_bytes"), ..TOTAL },
        "Bytes sent to players and targets of the stream";
    out_bps: GAUGE, "Bits a second that were sent over the last second";
    players: Row { metric: Some("tailwater_stream_players"), ..GAUGE },
        "Players of the stream, by whatever protocol, targets left out";
    waiting: GAUGE, "Players that wait for the stream";
    http_players: Row { metric: Some("tailwater_stream_http_players"), ..GAUGE },
        "Players of the stream by HTTP and WebSocket";
    pushes: Row { metric: Some("tailwater_stream_pushes"), ..GAUGE },
        "Targets that take the stream";
    skips: Row { metric: Some("tailwater_stream_skips"), ..TOTAL },
        "Times a slow player of the stream was moved on to a key frame";
    skipped_bytes: Row { metric: Some("tailwater_stream_skipped_bytes"), ..TOTAL },
        "Bytes that these players never got";
}

counters! {
    /// What the worker has counted of a stream that has it from outside.
    OwnedGauges:
    bytes_in: Row { metric: Some("tailwater_stream_received_bytes"), ..TOTAL },
        "Bytes of the stream's messages, as players are sent them";
    in_bps: GAUGE, "Bits a second that came in over the last second";
    messages_in: Row { metric: Some("tailwater_stream_messages"), ..TOTAL },
        "Messages of the stream";
    video_frames: Row { metric: Some("tailwater_stream_video_frames"), ..TOTAL },
        "Coded pictures";
    audio_frames: Row { metric: Some("tailwater_stream_audio_frames"), ..TOTAL }, "Coded audio";
    key_frames: Row { metric: Some("tailwater_stream_key_frames"), ..TOTAL },
        "Pictures that a player may start at";
    gaps: Row { metric: Some("tailwater_stream_gaps"), ..TOTAL },
        "Times the publisher was away and came back";
    feeds: Row { metric: Some("tailwater_stream_feeds"), ..GAUGE },
        "Workers that the stream is fed to";
}

/// Nanoseconds in seconds.
pub fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
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
    fn each_number_has_its_row() {
        let one = Gauges::from_array(std::array::from_fn(|i| i as u64 + 1));
        let named: Vec<_> = one.rows().map(|(row, value)| (row.name, value)).collect();
        assert_eq!(named[0], ("streams", one.streams));
        assert!(named.contains(&("busy_ns", one.busy_ns)), "{named:?}");
        assert_eq!(named.len(), Gauges::FIELDS);
        for row in Gauges::ROWS.iter().chain(TargetGauges::ROWS) {
            assert!(!row.help.is_empty() && !row.help.ends_with('.'), "{row:?}");
        }
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
        assert_eq!((sum.pushes, sum.skipped_bytes), (300, 310));
    }
}
