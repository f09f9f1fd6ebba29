//! The memory of the process under `--memory-max`: what each worker holds is counted, and as it
//! comes near the limit fewer may come, and then the newest have to go.
//!
//! ```text
//!   70 %  no new streams, spare blocks are given back
//!   80 %  no new players and connections either
//!   90 %  the newest players are closed, one in a hundred a second
//!   95 %  the newest publishers as well, until 85 % are held
//! ```
//!
//! Each worker counts for itself and reads what the others have counted; none waits for another.
//! A stream that comes from another worker counts there: what both have of it is the same memory.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use log::warn;

use super::conn::{CloseReason, Conn};
use super::contain::Step;
use super::core::Core;
use super::table::{Source, Stream};
use crate::limits;
use crate::net::transport::Transport;
use crate::rtmp::command::Status;

/// How short memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pressure {
    /// It is not.
    None,
    /// New streams are refused.
    NoStreams,
    /// New players and connections as well.
    NoPlayers,
    /// The newest players are closed.
    ShedPlayers,
    /// The newest publishers as well.
    ShedStreams,
}

/// Each step and the hundredth it begins at, from the last on.
const STEPS: [(Pressure, u64); 4] = [
    (Pressure::ShedStreams, limits::MEMORY_SHED_STREAMS),
    (Pressure::ShedPlayers, limits::MEMORY_SHED_PLAYERS),
    (Pressure::NoPlayers, limits::MEMORY_NO_PLAYERS),
    (Pressure::NoStreams, limits::MEMORY_NO_STREAMS),
];

/// How often the newest players are closed.
const SHED_EVERY: Duration = Duration::from_secs(1);

/// The hundredth at which nobody is shed any more.
const CALM: u64 = limits::MEMORY_SHED_PLAYERS - limits::MEMORY_HYSTERESIS;

/// What those who are shed are told.
const SHORT: &str = "the relay is short of memory";

impl Pressure {
    /// How short memory is with `held` bytes of at most `most`, after it was `self`.
    fn next(self, held: u64, most: u64) -> Self {
        let holds = |&&(step, begins): &&(Self, u64)| {
            let slack = if self >= step {
                limits::MEMORY_HYSTERESIS
            } else {
                0
            };
            held > percent(most, begins - slack)
        };
        STEPS
            .iter()
            .find(holds)
            .map_or(Self::None, |(step, _)| *step)
    }

    /// What is done about it, for the log.
    fn words(self) -> &'static str {
        match self {
            Self::None => "nothing is refused",
            Self::NoStreams => "new streams are refused",
            Self::NoPlayers => "new streams, players and connections are refused",
            Self::ShedPlayers => "the newest players are closed",
            Self::ShedStreams => "the newest players and publishers are closed",
        }
    }
}

impl<S: Transport> Core<S> {
    /// Counts what this worker holds when that is due, and acts on what the process holds.
    pub(super) fn review_memory(&mut self) {
        let Some(most) = self.shared.config.memory_max else {
            return;
        };
        if self.now < self.memory_due {
            return;
        }
        let held = self.held_bytes();
        self.gauges.held_bytes = held;
        self.shared.memory[self.worker].store(held, Ordering::Relaxed);
        let all = self.shared.memory.iter();
        let all: u64 = all.map(|held| held.load(Ordering::Relaxed)).sum();
        let before = self.pressure;
        self.pressure = before.next(all, most as u64);
        // Each step has a line of its own, also when one follows the other at once.
        let what = self.pressure.words();
        if self.pressure != before && self.notes.allow_rarely(what, self.now) {
            warn!("memory held={all} limit={most}: {what}");
        }
        if self.pressure == Pressure::None {
            self.memory_due = self.now + limits::MEMORY_REVIEW;
            return;
        }
        self.memory_due = self.now + limits::MEMORY_REVIEW / 4;
        if self.pressure >= Pressure::ShedPlayers && self.now >= self.shed_due {
            self.shed_due = self.now + SHED_EVERY;
            self.shed_players();
        }
        if self.pressure >= Pressure::ShedStreams {
            // Down to where nobody is shed any more; each worker its share of that.
            let wanted = percent(most as u64, CALM);
            let share = u128::from(all.saturating_sub(wanted)) * u128::from(held);
            let share = share / u128::from(all.max(1));
            self.shed_streams(u64::try_from(share).unwrap_or(u64::MAX));
        }
        self.blocks.release();
        self.rings.release();
    }

    /// Bytes that this worker holds for streams and connections.
    pub(super) fn held_bytes(&self) -> u64 {
        let conns = self.conns.iter().map(|(_, conn)| conn_bytes(conn));
        let pieces = self.conns.iter().flat_map(|(_, conn)| &conn.half_sent);
        let half_sent = half_sent_bytes(pieces);
        let streams = self.streams.iter().map(|(_, stream)| stream_bytes(stream));
        let spare = self.blocks.len() * limits::BLOCK_BYTES
            + self.rings.len() * limits::RING_BYTES
            + self.scratch.capacity();
        conns.sum::<u64>() + half_sent + streams.sum::<u64>() + spare as u64
    }

    /// Closes the players that came last, one in [`limits::SHED_SHARE`].
    fn shed_players(&mut self) {
        let plays = self.conns.iter().filter(|(_, conn)| !conn.plays.is_empty());
        let keys = newest(plays.map(|(key, conn)| (conn.id, key)).collect());
        let count = (self.players / limits::SHED_SHARE).max(1);
        for key in keys.into_iter().take(count) {
            self.contained(key, Step::Other, |core| core.shed_player(key));
        }
    }

    fn shed_player(&mut self, key: usize) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        for play in conn.plays.clone() {
            conn.session.reject(play.msid, Status::PlayFailed, SHORT);
        }
        self.gauges.shed += 1;
        self.close(key, &CloseReason::Overload);
    }

    /// Closes the publishers that came last and ends their streams, until so many bytes are
    /// free; at least one, if there is one.
    fn shed_streams(&mut self, mut bytes: u64) {
        let sources = self.conns.iter();
        let sources = sources.filter(|(_, conn)| !conn.publications.is_empty());
        for key in newest(sources.map(|(key, conn)| (conn.id, key)).collect()) {
            let mut freed = 0;
            self.contained(key, Step::Other, |core| freed = core.shed_publisher(key));
            if freed >= bytes {
                return;
            }
            bytes -= freed;
        }
    }

    /// Closes a publisher and ends its streams; how many bytes that frees.
    fn shed_publisher(&mut self, key: usize) -> u64 {
        // The end of the stream before is written to its players, and this may have been one of
        // them whose socket has failed since.
        let conn = self.conns.get_mut(key);
        let Some(conn) = conn.filter(|conn| !conn.publications.is_empty()) else {
            return 0;
        };
        let publications = conn.publications.clone();
        for publication in &publications {
            let (msid, status) = (publication.msid, Status::PublishDenied);
            conn.session.reject(msid, status, SHORT);
        }
        self.gauges.shed += 1;
        self.close(key, &CloseReason::Overload);
        let mut freed = 0;
        for publication in publications {
            freed += self.streams.get(publication.stream).map_or(0, stream_bytes);
            // Its log is what is to be freed, so that it has no grace.
            self.end_stream(publication.stream);
        }
        freed
    }
}

/// The slab keys in the order of their ids, the highest first.
fn newest(mut ids: Vec<(u64, usize)>) -> Vec<usize> {
    ids.sort_unstable_by_key(|&(id, _)| std::cmp::Reverse(id));
    ids.into_iter().map(|(_, key)| key).collect()
}

fn percent(of: u64, percent: u64) -> u64 {
    u64::try_from(u128::from(of) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}

/// Memory of a connection, the bytes of its half-sent messages not counted.
fn conn_bytes<S: Transport>(conn: &Conn<S>) -> u64 {
    let list = if conn.half_sent.spilled() {
        conn.half_sent.capacity() * size_of::<Bytes>()
    } else {
        0
    };
    let ring = conn.ring.as_ref().map_or(0, |_| limits::RING_BYTES);
    let transport = conn.socket.held_bytes();
    let session = conn.session.memory_bytes();
    (limits::CONNECTION_BYTES + transport + list + ring + session) as u64
}

/// Pieces below this count for each player: they are copies, or not worth a look at who else has
/// them.
const SHARED_BYTES_LEAST: usize = 4 * 1024;

/// Memory of half-sent messages. They are parts of a log, which all players that were cut in the
/// same message share: it counts once, though the log may have it as well.
fn half_sent_bytes<'a>(pieces: impl Iterator<Item = &'a Bytes>) -> u64 {
    let mut bytes = 0;
    let mut shared = Vec::new();
    for piece in pieces {
        if piece.len() < SHARED_BYTES_LEAST {
            bytes += piece.len();
        } else {
            shared.push((piece.as_ptr_range().end.addr(), piece.len()));
        }
    }
    // Of those that end at the same place the longest holds all.
    shared.sort_unstable();
    let each = shared.chunk_by(|one, other| one.0 == other.0);
    let each = each.filter_map(|same| same.last());
    (bytes + each.map(|(_, len)| len).sum::<usize>()) as u64
}

fn stream_bytes(stream: &Stream) -> u64 {
    let log = match stream.source {
        Source::Fed { .. } => stream.log.bytes_before_sync(),
        _ => stream.log.held_bytes(),
    };
    let flv = stream.flv.iter();
    let flv = flv.map(|log| log.held_bytes() + log.index_bytes());
    log + stream.log.index_bytes() + flv.sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_begins_at_its_hundredth_and_ends_five_below() {
        let mut pressure = Pressure::None;
        let mut at = |held| {
            pressure = pressure.next(held, 1_000);
            pressure
        };
        for (held, expected) in [
            (700, Pressure::None),
            (701, Pressure::NoStreams),
            (651, Pressure::NoStreams),
            (650, Pressure::None),
            (700, Pressure::None),
            (801, Pressure::NoPlayers),
            (751, Pressure::NoPlayers),
            (750, Pressure::NoStreams),
            (901, Pressure::ShedPlayers),
            (951, Pressure::ShedStreams),
            (901, Pressure::ShedStreams),
            (900, Pressure::ShedPlayers),
            (10_000, Pressure::ShedStreams),
            (0, Pressure::None),
        ] {
            assert_eq!(at(held), expected, "{held}");
        }
        assert_eq!(
            Pressure::None.next(u64::MAX, u64::MAX),
            Pressure::ShedStreams
        );
    }

    #[test]
    fn what_half_sent_messages_share_counts_once() {
        let block = Bytes::from(vec![0; 60_000]);
        let (first, second) = (block.slice(..20_000), block.slice(20_000..));
        let rest = second.slice(15_000..);
        let pieces = [&first, &second, &rest, &second, &rest];
        assert_eq!(half_sent_bytes(pieces.into_iter()), 60_000);
        assert_eq!(half_sent_bytes([&rest, &rest].into_iter()), 25_000);
        let copies = [Bytes::from(vec![0; 5_000]), Bytes::from(vec![0; 5_000])];
        assert_eq!(half_sent_bytes(copies.iter()), 10_000);
        let small = block.slice(..100);
        assert_eq!(half_sent_bytes([&small, &small].into_iter()), 200);
        assert_eq!(half_sent_bytes(std::iter::empty()), 0);
    }

    #[test]
    fn the_newest_are_those_with_the_highest_ids() {
        let ids = vec![(5, 0), (9, 1), (2, 2), (7, 3)];
        assert_eq!(newest(ids), [1, 3, 0, 2]);
        assert!(newest(Vec::new()).is_empty());
    }
}
