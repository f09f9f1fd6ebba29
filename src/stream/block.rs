//! The memory of logs: equal blocks that go round instead of to the allocator.
//!
//! A log fills a block, freezes pieces of it as segments, and gives the block back when the last
//! piece is trimmed and nobody else holds one. In the steady state no block is allocated.

use bytes::{Bytes, BytesMut};

use crate::limits;

/// Empty blocks of one worker, ready for any log.
#[derive(Debug, Default)]
pub struct BlockPool {
    free: Vec<BytesMut>,
}

impl BlockPool {
    /// An empty block of [`limits::BLOCK_BYTES`].
    pub fn take(&mut self) -> BytesMut {
        self.free
            .pop()
            .unwrap_or_else(|| BytesMut::with_capacity(limits::BLOCK_BYTES))
    }

    /// Takes a trimmed segment. When it was the last piece of its block, and no other worker or
    /// half-sent message holds one, the whole block is free again.
    pub fn give(&mut self, segment: Bytes) {
        if let Ok(mut block) = segment.try_into_mut() {
            block.clear();
            // Reclaims the whole block in place: this piece is its only owner.
            if self.free.len() < limits::BLOCKS_KEPT && block.try_reclaim(limits::BLOCK_BYTES) {
                self.free.push(block);
            }
        }
    }

    /// Gives all that lie ready back to the system.
    pub fn release(&mut self) {
        self.free = Vec::new();
    }

    /// How many blocks lie ready.
    pub fn len(&self) -> usize {
        self.free.len()
    }

    /// Whether none lies ready.
    pub fn is_empty(&self) -> bool {
        self.free.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_comes_back_with_its_last_piece() {
        let mut pool = BlockPool::default();
        let mut block = pool.take();
        let address = block.as_ptr();
        block.extend_from_slice(b"first");
        let first = block.split().freeze();
        block.extend_from_slice(b"second");
        let second = block.split().freeze();
        pool.give(first);
        assert!(pool.is_empty());
        drop(block);
        let held = second.clone();
        pool.give(second);
        assert!(pool.is_empty());
        pool.give(held);
        assert_eq!(pool.len(), 1);
        let again = pool.take();
        assert_eq!(again.as_ptr(), address);
        assert_eq!((again.len(), again.capacity()), (0, limits::BLOCK_BYTES));
    }
}
