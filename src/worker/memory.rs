//! The memory of the process under `--memory-max`: what each worker holds is counted, and as it
//! comes near the limit groups of pictures that nobody plays go, fewer may come, and then those
//! that hold the most have to go.
//!
//! ```text
//!   70 %  no new streams; groups that nobody plays are freed, spare blocks are given back
//!   80 %  no new players and connections either; those go that hold input without publishing, and
//!         after ten seconds connections of addresses that hold more than a sixth
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

use log::warn;

use super::core::Core;
use super::held_bytes::{conn_bytes, half_sent_bytes, stream_bytes};
use super::pressure::{Pressure, percent};
use crate::limits;
use crate::net::transport::Transport;

/// The hundredth at which nobody is shed any more.
const CALM: u64 = limits::MEMORY_SHED - limits::MEMORY_HYSTERESIS;

impl<S: Transport> Core<S> {
    /// Counts what this worker holds before that is due, when so much has come since the last time
    /// that memory may be short.
    pub(super) fn review_growth(&mut self) {
        let Some(most) = self.shared.config.memory_max else {
            return;
        };
        let workers = self.shared.memory.len();
        let step = (most / limits::MEMORY_REVIEW_SHARE / workers).max(limits::MEMORY_REVIEW_BYTES);
        let bytes_in = self.gauges.bytes_in;
        if self.memory.has_grown(bytes_in, step as u64, self.now) {
            self.review_memory();
        }
    }

    /// Counts what this worker holds when that is due, and acts on what the process holds.
    pub(super) fn review_memory(&mut self) {
        let Some(most) = self.shared.config.memory_max else {
            return;
        };
        if !self.memory.is_due(self.now) {
            return;
        }
        self.memory.begin_review(self.gauges.bytes_in);
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
        let is_new = self.memory.end_review(all, most, self.now);
        let pressure = self.memory.pressure();
        // Each step has a line of its own, also when one follows the other at once.
        let what = pressure.words();
        if is_new && self.notes.allow_rarely(what, self.now) {
            warn!("memory held={all} limit={most}: {what}");
        }
        if pressure == Pressure::None {
            return;
        }
        // Down to where nobody is shed any more; each worker its share of that, unless others
        // hold more than it does.
        let share = share_of_excess(all, percent(most, CALM), held);
        // What those hold that are on their way out is as good as free.
        let share = share.saturating_sub(self.leaving_bytes());
        if !self.holds_its_share() {
            // Nobody here is the cause.
        } else if pressure >= Pressure::ShedHard {
            self.shed_holders(share, usize::MAX);
            self.count_memory();
        } else if pressure >= Pressure::Shed && self.memory.take_shed(self.now) {
            self.shed_holders(share, self.shed_count());
        } else if self.memory.has_refused_long(self.now) && self.memory.take_shed(self.now) {
            let wanted = limits::MEMORY_NO_PLAYERS - limits::MEMORY_HYSTERESIS;
            let share = share_of_excess(all, percent(most, wanted), held);
            let share = share.saturating_sub(self.leaving_bytes());
            self.shed_above_part(share, self.shed_count());
        }
        self.blocks.release();
        self.rings.release();
    }

    /// How many connections are closed in a second, little by little.
    fn shed_count(&self) -> usize {
        (self.conns.len() / limits::SHED_SHARE).max(1)
    }

    /// Bytes that closing connections still hold.
    fn leaving_bytes(&self) -> u64 {
        let leaving = || {
            let conns = self.conns.iter().map(|(_, conn)| conn);
            conns.filter(|conn| conn.is_closing())
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
