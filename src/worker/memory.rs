//! The memory of the process under `--memory-max`: what each worker holds is counted, and as it
//! comes near the limit groups of pictures that nobody plays go, fewer may come, and then those
//! that hold the most have to go.
//!
//! ```text
//!   70 %  no new streams; groups that nobody plays are freed, spare blocks are given back
//!   80 %  no new players and connections either; those go that hold input without publishing
//!   90 %  those that hold the most are closed, one in a hundred a second
//!   95 %  the same at once, until 85 % are held
//! ```
//!
//! A closing connection has dropped what it has sent; the replies that it may still read count no
//! longer as something to be freed.
//!
//! Each worker counts for itself and reads what the others have counted; none waits for another.
//! A stream that comes from another worker counts there: what both have of it is the same memory.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use log::warn;

use super::conn::Conn;
use super::core::Core;
use super::push::Push;
use super::table::{Feed, Player, Source, Stream};
use crate::limits;
use crate::net::transport::Transport;

/// How short memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pressure {
    /// It is not.
    None,
    /// New streams are refused.
    NoStreams,
    /// New players and connections as well.
    NoPlayers,
    /// Those that hold the most are closed, little by little.
    Shed,
    /// They are closed at once.
    ShedHard,
}

/// Each step and the hundredth it begins at, from the last on.
const STEPS: [(Pressure, u64); 4] = [
    (Pressure::ShedHard, limits::MEMORY_SHED_HARD),
    (Pressure::Shed, limits::MEMORY_SHED),
    (Pressure::NoPlayers, limits::MEMORY_NO_PLAYERS),
    (Pressure::NoStreams, limits::MEMORY_NO_STREAMS),
];

/// How often those that hold the most are closed.
const SHED_EVERY: Duration = Duration::from_secs(1);

/// The hundredth at which nobody is shed any more.
const CALM: u64 = limits::MEMORY_SHED - limits::MEMORY_HYSTERESIS;

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
            Self::Shed => "those that hold the most are closed, little by little",
            Self::ShedHard => "those that hold the most are closed",
        }
    }
}

impl<S: Transport> Core<S> {
    /// Counts what this worker holds before that is due, when so much has come since the last time
    /// that memory may be short.
    pub(super) fn review_growth(&mut self) {
        let Some(most) = self.shared.config.memory_max else {
            return;
        };
        let workers = self.shared.memory.len();
        let step = (most / limits::MEMORY_REVIEW_SHARE / workers).max(limits::MEMORY_REVIEW_BYTES);
        let came = self.gauges.bytes_in.saturating_sub(self.reviewed_bytes);
        if came > step as u64 {
            self.memory_due = self.now;
            self.review_memory();
        }
    }

    /// Counts what this worker holds when that is due, and acts on what the process holds.
    pub(super) fn review_memory(&mut self) {
        let Some(most) = self.shared.config.memory_max else {
            return;
        };
        if self.now < self.memory_due {
            return;
        }
        self.reviewed_bytes = self.gauges.bytes_in;
        let most = most as u64;
        let (mut held, mut all) = self.count_memory();
        // What nobody plays goes before anybody is refused.
        if all > percent(most, limits::MEMORY_NO_STREAMS) {
            let wanted = limits::MEMORY_NO_STREAMS - limits::MEMORY_HYSTERESIS;
            let share = share_of_excess(all, percent(most, wanted), held);
            let freed = self.shed_unplayed(share);
            if freed > 0 {
                (held, all) = self.count_memory();
                self.note_unplayed(freed);
            }
        }
        // So does input that nobody needs before players are.
        if all > percent(most, limits::MEMORY_NO_PLAYERS) {
            let wanted = limits::MEMORY_NO_PLAYERS - limits::MEMORY_HYSTERESIS;
            let share = share_of_excess(all, percent(most, wanted), held);
            let share = share.saturating_sub(self.leaving_bytes());
            if self.shed_needless(share) > 0 {
                (held, all) = self.count_memory();
            }
        }
        let before = self.pressure;
        self.pressure = before.next(all, most);
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
        // Down to where nobody is shed any more; each worker its share of that, unless others
        // hold more than it does.
        let share = share_of_excess(all, percent(most, CALM), held);
        // What those hold that are on their way out is as good as free.
        let share = share.saturating_sub(self.leaving_bytes());
        if !self.holds_its_share() {
            // Nobody here is the cause.
        } else if self.pressure >= Pressure::ShedHard {
            self.shed_holders(share, usize::MAX);
            self.count_memory();
        } else if self.pressure >= Pressure::Shed && self.now >= self.shed_due {
            self.shed_due = self.now + SHED_EVERY;
            let count = (self.conns.len() / limits::SHED_SHARE).max(1);
            self.shed_holders(share, count);
        }
        self.blocks.release();
        self.rings.release();
    }

    /// Bytes that closing connections still hold.
    fn leaving_bytes(&self) -> u64 {
        let leaving = || {
            let conns = self.conns.iter().map(|(_, conn)| conn);
            conns.filter(|conn| conn.closing.is_some())
        };
        let pieces = leaving().flat_map(|conn| &conn.half_sent);
        leaving().map(conn_bytes).sum::<u64>() + half_sent_bytes(pieces)
    }

    /// Whether this worker held at least as much as the others on average when it last counted.
    pub(super) fn holds_its_share(&self) -> bool {
        let held = self.shared.memory.iter();
        let all: u64 = held.map(|held| held.load(Ordering::Relaxed)).sum();
        let workers = self.shared.memory.len() as u64;
        self.gauges.held_bytes.saturating_mul(workers) >= all
    }

    /// Counts what this worker holds; that, and what all workers held when they last counted.
    fn count_memory(&mut self) -> (u64, u64) {
        let held = self.held_bytes();
        self.gauges.held_bytes = held;
        self.shared.memory[self.worker].store(held, Ordering::Relaxed);
        let all = self.shared.memory.iter();
        (held, all.map(|held| held.load(Ordering::Relaxed)).sum())
    }

    fn note_unplayed(&mut self, freed: u64) {
        if self.notes.allow_rarely("unplayed", self.now) {
            warn!("memory is short: freed={freed} bytes of streams that nobody plays");
        }
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
}

/// The part of what all workers hold beyond `wanted` that is for one that holds `held` to free.
fn share_of_excess(all: u64, wanted: u64, held: u64) -> u64 {
    let share = u128::from(all.saturating_sub(wanted)) * u128::from(held);
    u64::try_from(share / u128::from(all.max(1))).unwrap_or(u64::MAX)
}

fn percent(of: u64, percent: u64) -> u64 {
    u64::try_from(u128::from(of) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}

/// Memory of a connection, the bytes of its half-sent messages not counted.
pub(super) fn conn_bytes<S: Transport>(conn: &Conn<S>) -> u64 {
    let list = if conn.half_sent.spilled() {
        conn.half_sent.capacity() * size_of::<Bytes>()
    } else {
        0
    };
    let ring = conn.ring.as_ref().map_or(0, |_| limits::RING_BYTES);
    // The name is shared with the stream, or its own when it was refused.
    let moving = conn.moving.as_ref().map_or(0, |its| {
        size_of_val(&**its) + its.name.app.len() + its.name.stream.len() + its.name.query.len()
    });
    let transport = conn.socket.held_bytes();
    let session = conn.session.memory_bytes();
    (limits::CONNECTION_BYTES + transport + list + ring + session + moving) as u64
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

/// Memory of a stream.
pub(super) fn stream_bytes(stream: &Stream) -> u64 {
    let log = match stream.source() {
        Source::Fed { .. } => stream.log.bytes_before_sync(),
        _ => stream.log.held_bytes(),
    };
    let flv = stream.flv.iter();
    let flv = flv.map(|log| log.held_bytes() + log.index_bytes());
    let pull = stream.pull.as_ref().map_or(0, |pull| pull.early_bytes());
    let itself = stream_itself(stream) + pull;
    log + stream.log.index_bytes() + flv.sum::<u64>() + itself as u64
}

/// Memory of a stream besides its logs, also while somebody only waits for it: itself, its name
/// here and in the registry, its players, and what is fetched and handed on.
fn stream_itself(stream: &Stream) -> usize {
    let lists = stream.players.capacity() * size_of::<Player>()
        + stream.pushes.capacity() * size_of::<Push>()
        + stream.feeds.capacity() * size_of::<Feed>();
    let asked = stream.asked.as_ref().map_or(0, |_| NAME_BYTES);
    let pull = stream
        .pull
        .as_ref()
        .map_or(0, |pull| size_of_val(&**pull) + NAME_BYTES);
    let pushes = stream.pushes.len() * NAME_BYTES;
    let flow = stream.intake.memory_bytes();
    let relays = stream.relays.as_ref().map_or(0, |its| size_of_val(&**its));
    STREAM_BYTES + 2 * stream.name.len() + lists + asked + pull + pushes + flow + relays
}

/// A stream and its places in the tables of the worker and of the registry, which grow by
/// doubling.
const STREAM_BYTES: usize = 2 * size_of::<Stream>() + 512;

/// A name as it was asked for, without a long query.
const NAME_BYTES: usize = 256;

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
            (901, Pressure::Shed),
            (951, Pressure::ShedHard),
            (901, Pressure::ShedHard),
            (900, Pressure::Shed),
            (10_000, Pressure::ShedHard),
            (0, Pressure::None),
        ] {
            assert_eq!(at(held), expected, "{held}");
        }
        assert_eq!(Pressure::None.next(u64::MAX, u64::MAX), Pressure::ShedHard);
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
}
