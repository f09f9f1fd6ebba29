//! Players that have stopped reading: what they alone keep of a stream is bounded.
//!
//! A message that a full socket has cut is held by reference until the player takes the rest. While
//! the log still has it, that costs nothing; once the log has let go of it, the player alone keeps
//! it. A player that does not take the log as it is holds copies from the start. Of each stream
//! such players may keep [`limits::STALLED_BYTES_MAX`] together; those that have stalled the
//! longest are closed for the rest. Looked at a few times a second, so that writing costs nothing
//! for it.

use std::collections::HashSet;

use bytes::Bytes;

use super::close_reason::CloseReason;
use super::conn::Conn;
use super::contain::Step;
use super::core::Core;
use super::ids::ConnId;
use super::table::{Player, Stream};
use crate::limits;
use crate::net::transport::Transport;
use crate::rtmp::command::Status;

/// What players keep, as places in memory of the size of a block: a piece keeps all of the block
/// that it is part of, and pieces of one block keep it once.
#[derive(Debug, Default)]
struct Kept {
    blocks: HashSet<usize>,
    /// Of pieces that are copies of their own.
    copied: usize,
}

impl Kept {
    fn add(&mut self, piece: &Bytes, is_plain: bool) {
        if !is_plain && piece.len() <= limits::FILTERED_BYTES {
            self.copied += piece.len();
            return;
        }
        let range = piece.as_ptr_range();
        let first = range.start.addr() / limits::BLOCK_BYTES;
        let last = range.end.addr() / limits::BLOCK_BYTES;
        self.blocks.extend(first..=last);
    }

    fn bytes(&self) -> usize {
        self.blocks.len() * limits::BLOCK_BYTES + self.copied
    }
}

impl<S: Transport> Core<S> {
    /// Closes players for which more is kept than may be.
    pub(super) fn close_stalled(&mut self) {
        let over: Vec<ConnId> = self
            .streams
            .iter()
            .flat_map(|(_, stream)| self.stalled_too_long(stream))
            .collect();
        for key in over {
            self.contained(key, Step::Other, |core| core.close_stalled_player(key));
        }
    }

    fn close_stalled_player(&mut self, key: ConnId) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        for play in self.streams.plays(key) {
            let why = "the player takes nothing";
            conn.session.reject(play.msid, Status::PlayFailed, why);
        }
        self.close(key, &CloseReason::Stalled);
    }

    /// The connections of players of `stream` for which too much is kept, by slab key.
    fn stalled_too_long(&self, stream: &Stream) -> Vec<ConnId> {
        let mut stalled: Vec<(&Player, &Conn<S>)> = stream
            .players
            .iter()
            .filter(|player| is_behind_log(player, stream))
            .filter_map(|player| Some((player, self.conns.get(player.conn())?)))
            .filter(|(_, conn)| !conn.half_sent.is_empty() && !conn.is_closing())
            .collect();
        // Those that have stalled last keep what they have.
        stalled.sort_unstable_by_key(|(_, conn)| std::cmp::Reverse(conn.blocked_since()));
        let mut kept = Kept::default();
        let mut over = Vec::new();
        for (player, conn) in stalled {
            for piece in &conn.half_sent {
                kept.add(piece, player.is_plain());
            }
            if kept.bytes() > limits::STALLED_BYTES_MAX {
                over.push(player.conn());
            }
        }
        over
    }
}

/// Whether a player may keep something that its log has not: it stands before the log, or nowhere
/// as one that is paused, or what it is sent are copies.
fn is_behind_log(player: &Player, stream: &Stream) -> bool {
    let log = player.log(&stream.log, &stream.flv);
    let at = player.needs_from();
    !player.is_plain() || at.is_none_or(|at| at <= log.base())
}
