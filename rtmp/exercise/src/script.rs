//! An input taken apart, and what the peer sends of it: bytes of the wire as they are, or made of a
//! list of steps by a [`Composer`]. See the text of the crate.

use crate::composer::Composer;
use crate::driver::Verdicts;
use crate::{HANDSHAKE_BYTES, SCRIPTED, SHAKEN};
use tailwater_rtmp::reader::CHUNK_SIZE_INITIAL;

/// Bytes of the wire that are made of a script; what is left of it then goes unused.
const WIRE_BYTES_MAX: usize = 128 * 1_024;

/// An input taken apart, see the module text.
pub(super) struct Script<'a> {
    pub(super) flags: u8,
    verdicts: u8,
    cuts: &'a [u8],
    sent: &'a [u8],
}

impl<'a> Script<'a> {
    pub(super) fn new(data: &'a [u8]) -> Option<Self> {
        let (&[flags, verdicts, count], rest) = data.split_first_chunk()?;
        let (cuts, sent) = rest.split_at_checked(usize::from(count & 0x0F))?;
        Some(Self {
            flags,
            verdicts,
            cuts,
            sent,
        })
    }

    pub(super) fn verdicts(&self) -> Verdicts {
        Verdicts {
            bits: self.verdicts,
            given: 0,
        }
    }

    /// What the peer sends, as on the wire.
    pub(super) fn wire(&self) -> Vec<u8> {
        let mut wire = Vec::new();
        if self.flags & SHAKEN != 0 {
            wire.resize(HANDSHAKE_BYTES, 0);
            wire[0] = 0x03;
        }
        if self.flags & SCRIPTED == 0 {
            wire.extend_from_slice(self.sent);
            return wire;
        }
        let mut composer = Composer {
            rest: self.sent,
            wire,
            chunk_size: CHUNK_SIZE_INITIAL,
        };
        while composer.wire.len() < WIRE_BYTES_MAX && composer.step().is_some() {}
        composer.wire
    }

    /// `wire` cut up: a cut below 0x80 is as many bytes and one more, others are 64 each above
    /// that. Without cuts it is one piece.
    pub(super) fn pieces<'w>(&self, wire: &'w [u8]) -> Vec<&'w [u8]> {
        let mut pieces = Vec::new();
        let mut rest = wire;
        let mut cuts = self.cuts.iter().cycle();
        while !rest.is_empty() {
            let count = match cuts.next() {
                None => rest.len(),
                Some(&cut) if cut < 0x80 => usize::from(cut) + 1,
                Some(&cut) => 64 * (usize::from(cut) - 0x7F),
            };
            let (piece, after) = rest.split_at(count.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces
    }
}
