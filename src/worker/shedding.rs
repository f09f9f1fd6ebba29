//! What goes when memory is short: first the groups of pictures that nobody plays, then connections
//! that do not publish and keep much of what they have sent, then those that hold the most; both by
//! address. That a connection neither plays nor publishes does not save it. Connections to the
//! admin listener stay: they are few.
//!
//! A connection is charged with its own buffers, and a publisher with its streams as well. What a
//! stream holds is shared among the addresses that play it, so that a stream that many watch is
//! cheap and one that somebody fills up for himself is not.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::close_reason::CloseReason;
use super::conn::Conn;
use super::contain::Step;
use super::core::Core;
use super::handshakes::{Share, share_of};
use super::held_bytes::{conn_bytes, stream_bytes};
use super::ids::ConnId;
use super::table::Stream;
use crate::limits;
use crate::net::transport::Transport;
use crate::rtmp::command::Status;

/// What those who are shed are told.
const SHORT: &str = "the relay is short of memory";

/// A connection that may be shed. The order is that of shedding, the first one last: by what it
/// holds, and the newest of those that hold the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Holder {
    bytes: u64,
    id: u64,
    /// Slab key.
    conn: ConnId,
}

impl<S: Transport> Core<S> {
    /// Frees the groups of pictures of streams that nobody plays, the largest first, until `bytes`
    /// are free; how many that were. Who plays one of these before its next key frame waits for
    /// that.
    pub(super) fn shed_unplayed(&mut self, bytes: u64) -> u64 {
        let unplayed = self.streams.iter();
        let unplayed = unplayed.filter(|(_, its)| its.players.is_empty() && its.feeds.is_empty());
        let sizes = unplayed.map(|(index, stream)| (stream.log.held_bytes(), index));
        let mut sizes: Vec<_> = sizes
            .filter(|(held, _)| *held > limits::BLOCK_BYTES as u64)
            .collect();
        sizes.sort_unstable_by_key(|&size| Reverse(size));
        let mut freed = 0;
        for (_, index) in sizes {
            if freed >= bytes {
                break;
            }
            freed += self.streams[index].log.shed(&mut self.blocks, u64::MAX);
        }
        self.blocks.release();
        freed
    }

    /// Closes connections that keep input which no role needs until `bytes` are free; how many
    /// that were.
    pub(super) fn shed_needless(&mut self, bytes: u64) -> u64 {
        let needless = |core: &Self, key: ConnId, conn: &Conn<S>| {
            core.streams.publications(key).is_empty() && holds_needless_input(conn)
        };
        let holders = self.holders(needless).map(|(_, holder)| holder);
        self.shed_each(holders, bytes, usize::MAX)
    }

    /// Closes those that hold the most until `bytes` are free, but no more than `count` of them.
    pub(super) fn shed_holders(&mut self, bytes: u64, count: usize) {
        let holders = self.holders(|_, _, _| true).map(|(_, holder)| holder);
        self.shed_each(holders, bytes, count);
    }

    /// The same, but only of addresses that hold more than [`limits::MEMORY_PART`] allows, so that
    /// a few addresses do not keep all others out.
    pub(super) fn shed_above_part(&mut self, bytes: u64, count: usize) {
        let part = self.gauges.held_bytes / limits::MEMORY_PART as u64;
        let holders = self.holders(|_, _, _| true);
        let above = holders.take_while(|(sum, _)| *sum > part);
        self.shed_each(above.map(|(_, holder)| holder), bytes, count);
    }

    fn shed_each(
        &mut self,
        holders: impl Iterator<Item = Holder>,
        bytes: u64,
        count: usize,
    ) -> u64 {
        let mut freed = 0;
        for holder in holders.take(count) {
            if freed >= bytes {
                break;
            }
            let mut its = holder.bytes;
            self.contained(holder.conn, Step::Other, |core| {
                its = core.shed(holder.conn);
            });
            freed += its;
        }
        freed
    }

    /// The connections that may be shed and are `wanted`, in the order in which they go: always the
    /// largest holder of the address that holds the most when those before are gone, and what that
    /// address holds then.
    fn holders<F: Fn(&Self, ConnId, &Conn<S>) -> bool>(
        &self,
        wanted: F,
    ) -> impl Iterator<Item = (u64, Holder)> + use<S, F> {
        let mut shares: HashMap<Share, Vec<Holder>> = HashMap::new();
        let conns = self.conns.iter();
        let open = conns.filter(|(_, conn)| !conn.is_closing());
        for (key, conn) in open.filter(|(key, conn)| wanted(self, *key, conn)) {
            shares.entry(share_of(conn)).or_default().push(Holder {
                bytes: self.charge(key, conn),
                id: conn.id(),
                conn: key,
            });
        }
        largest_first(shares)
    }

    /// What a connection is charged with.
    fn charge(&self, key: ConnId, conn: &Conn<S>) -> u64 {
        let publications = self.streams.publications(key).iter();
        let streams = publications.map(|its| &self.streams[its.stream]);
        let streams = streams.map(|stream| stream_bytes(stream) / self.audience(stream, conn));
        buffer_bytes(conn) + streams.sum::<u64>()
    }

    /// How many addresses play a stream, at least one; that of its publisher does not count, and
    /// each other worker with players counts as one.
    fn audience(&self, stream: &Stream, publisher: &Conn<S>) -> u64 {
        let own = share_of(publisher);
        let players = stream.players.iter();
        let shares = players.filter_map(|player| self.conns.get(player.conn()).map(share_of));
        let others: HashSet<Share> = shares.filter(|share| *share != own).collect();
        (others.len() + stream.feeds.len()).max(1) as u64
    }

    /// Closes a connection and ends its streams; about how many bytes that frees.
    fn shed(&mut self, key: ConnId) -> u64 {
        // The end of a stream before is written to its players, and this may have been one of
        // them whose socket has failed since.
        let Some(conn) = self.conns.get(key).filter(|conn| !conn.is_closing()) else {
            return 0;
        };
        let mut freed = buffer_bytes(conn);
        let publications = self.streams.publications(key).to_vec();
        // What waits behind half a message is not read in time.
        let is_cut = !conn.half_sent.is_empty();
        let session = &mut self.conns[key].session;
        for play in self.streams.plays(key) {
            session.reject(play.msid, Status::PlayFailed, SHORT);
        }
        for publication in &publications {
            session.reject(publication.msid, Status::PublishDenied, SHORT);
        }
        self.gauges.shed += 1;
        self.close(key, &CloseReason::Overload);
        for publication in publications {
            freed += self.streams.get(publication.stream).map_or(0, stream_bytes);
            // Its log is what is to be freed, so that it has no grace.
            self.end_stream(publication.stream);
        }
        if is_cut {
            self.remove(key);
        }
        freed
    }
}

fn largest_first(shares: HashMap<Share, Vec<Holder>>) -> impl Iterator<Item = (u64, Holder)> {
    let shares = shares.into_values().map(|mut holders| {
        holders.sort_unstable();
        let sum: u64 = holders.iter().map(|holder| holder.bytes).sum();
        (sum, holders)
    });
    let mut heap: BinaryHeap<(u64, Vec<Holder>)> = shares.collect();
    std::iter::from_fn(move || {
        let (sum, mut holders) = heap.pop()?;
        let largest = holders.pop()?;
        if !holders.is_empty() {
            heap.push((sum - largest.bytes, holders));
        }
        Some((sum, largest))
    })
}

/// What a connection holds itself.
fn buffer_bytes<S: Transport>(conn: &Conn<S>) -> u64 {
    let half_sent: usize = conn.half_sent.iter().map(|piece| piece.len()).sum();
    conn_bytes(conn) + half_sent as u64
}

/// Whether a connection keeps more of what it has sent than one that does not publish needs.
fn holds_needless_input<S: Transport>(conn: &Conn<S>) -> bool {
    let ring = conn.ring_bytes();
    let input = conn.session.input_bytes() + ring;
    !conn.is_outbound() && input > limits::INPUT_BYTES_FREE
}
