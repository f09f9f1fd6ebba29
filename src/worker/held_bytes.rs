//! How many bytes of memory connections and streams hold.

use bytes::Bytes;

use super::conn::Conn;
use super::push::Push;
use super::table::{Feed, Player, Source, Stream};
use crate::limits;
use crate::net::transport::Transport;
use crate::rtmp::name::StreamName;

/// Memory of a connection, the bytes of its half-sent messages not counted.
pub(super) fn conn_bytes<S: Transport>(conn: &Conn<S>) -> u64 {
    let list = if conn.half_sent.spilled() {
        conn.half_sent.capacity() * size_of::<Bytes>()
    } else {
        0
    };
    let ring = conn.ring_bytes();
    // The name is shared with the stream, or its own when it was refused.
    let moving = conn.moving().map_or(0, |its| {
        size_of_val(its) + its.name.app.len() + its.name.stream.len() + its.name.query.len()
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
pub(super) fn half_sent_bytes<'a>(pieces: impl Iterator<Item = &'a Bytes>) -> u64 {
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
    let asked = stream.asked.as_ref().map_or(0, |name| name_bytes(name));
    let pull = stream.pull.as_ref();
    let pull = pull.map_or(0, |pull| size_of_val(&**pull) + name_bytes(pull.name()));
    let pushes = stream.pushes.iter();
    let pushes = pushes.map(|push| name_bytes(push.name())).sum::<usize>();
    let flow = stream.intake.memory_bytes();
    let relays = stream.relays.as_ref().map_or(0, |its| size_of_val(&**its));
    STREAM_BYTES + 2 * stream.name.len() + lists + asked + pull + pushes + flow + relays
}

/// A stream and its places in the tables of the worker and of the registry, which grow by
/// doubling.
const STREAM_BYTES: usize = 2 * size_of::<Stream>() + 512;

/// Memory of a name as it was asked for. Its query may be many times as long as all else.
fn name_bytes(name: &StreamName) -> usize {
    let StreamName { app, stream, query } = name;
    NAME_BYTES + app.capacity() + stream.capacity() + query.capacity()
}

/// A name without its text, and what an allocator adds to each of its parts.
const NAME_BYTES: usize = size_of::<StreamName>() + 4 * 16;

#[cfg(test)]
mod tests {
    use super::*;

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
