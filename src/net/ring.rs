//! Receive rings: where the kernel puts bytes and the chunk reader reads them in place.
//!
//! A worker lends a ring to a connection that has something to read and takes it back as soon
//! as everything in it has been parsed, so that thousands of quiet connections share a few.

use std::io::{self, IoSliceMut, Read};

use crate::limits;

/// A ring of [`limits::RING_BYTES`].
#[derive(Debug)]
pub struct Ring {
    buffer: Box<[u8]>,
    /// Where the unparsed bytes begin. `head < buffer.len()`.
    head: usize,
    /// How many there are. `len <= buffer.len()`.
    len: usize,
}

impl Ring {
    fn new() -> Self {
        Self {
            buffer: vec![0; limits::RING_BYTES].into_boxed_slice(),
            head: 0,
            len: 0,
        }
    }

    /// Whether nothing is unparsed.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many more bytes fit.
    pub fn room(&self) -> usize {
        self.buffer.len() - self.len
    }

    /// The oldest unparsed bytes that lie in one piece; all of them unless they wrap.
    pub fn front(&self) -> &[u8] {
        let end = (self.head + self.len).min(self.buffer.len());
        &self.buffer[self.head..end]
    }

    /// The first `count` bytes of [`front`](Self::front) have been parsed.
    pub fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.len, "no more is parsed than was there");
        self.head = (self.head + count) % self.buffer.len();
        self.len -= count;
        if self.len == 0 {
            self.head = 0;
        }
    }

    /// One read of at most `most` bytes, and of no more than there is room for; how many came, 0 at
    /// the end of the stream.
    ///
    /// # Errors
    /// What the source says, `WouldBlock` included.
    pub fn read_from(&mut self, source: &mut impl Read, most: usize) -> io::Result<usize> {
        let capacity = self.buffer.len();
        let tail = self.head + self.len;
        let count = if tail < capacity {
            let (before, after) = self.buffer.split_at_mut(tail);
            let first = after.len().min(most);
            let second = self.head.min(most - first);
            if second == 0 {
                source.read(&mut after[..first])?
            } else {
                let parts = &mut [
                    IoSliceMut::new(after),
                    IoSliceMut::new(&mut before[..second]),
                ];
                source.read_vectored(parts)?
            }
        } else {
            let start = tail - capacity;
            let end = self.head.min(start.saturating_add(most));
            source.read(&mut self.buffer[start..end])?
        };
        self.len += count;
        Ok(count)
    }
}

/// The rings of one worker that nobody has.
#[derive(Debug, Default)]
pub struct RingPool {
    free: Vec<Ring>,
}

impl RingPool {
    /// An empty ring.
    pub fn lend(&mut self) -> Ring {
        self.free.pop().unwrap_or_else(Ring::new)
    }

    /// Gives all that nobody has back to the system.
    pub fn release(&mut self) {
        self.free = Vec::new();
    }

    /// How many nobody has.
    pub fn len(&self) -> usize {
        self.free.len()
    }

    /// Whether there is none that nobody has.
    pub fn is_empty(&self) -> bool {
        self.free.is_empty()
    }

    /// Takes back a ring that is no longer needed.
    pub fn give_back(&mut self, mut ring: Ring) {
        ring.consume(ring.len);
        if self.free.len() < limits::RINGS_KEPT {
            self.free.push(ring);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_order_across_the_wrap() {
        let mut ring = RingPool::default().lend();
        let capacity = ring.room();
        let (mut next_in, mut next_out) = (0u8, 0u8);
        for round in 0..40 {
            let count = capacity / 3 + round;
            let source: Vec<u8> = (0..count)
                .map(|_| {
                    next_in = next_in.wrapping_add(1);
                    next_in
                })
                .collect();
            let mut rest = &source[..];
            while !rest.is_empty() {
                assert!(ring.read_from(&mut rest, usize::MAX).unwrap() > 0);
            }
            // Leave some unparsed, so that the next read wraps sooner or later.
            let mut keep = if round == 39 { 0 } else { 1_000 };
            while ring.len > keep {
                let count = ring.front().len().min(ring.len - keep);
                for &byte in &ring.front()[..count] {
                    next_out = next_out.wrapping_add(1);
                    assert_eq!(byte, next_out);
                }
                ring.consume(count);
                keep = keep.min(ring.len);
            }
        }
        assert!(ring.is_empty());
        assert_eq!(ring.head, 0);
    }

    #[test]
    fn a_full_ring_has_no_room_and_a_pool_gives_empty_ones() {
        let mut pool = RingPool::default();
        let mut ring = pool.lend();
        let endless = vec![7; limits::RING_BYTES * 2];
        assert_eq!(
            ring.read_from(&mut &endless[..], usize::MAX).unwrap(),
            limits::RING_BYTES
        );
        assert_eq!(ring.room(), 0);
        pool.give_back(ring);
        assert!(pool.lend().is_empty());
    }
}
