//! What a worker needs of a connected socket, so that a simulated one can stand in.
//!
//! The poll tells edges only, and workers count on two things: a read that fills less than it
//! was given has emptied the socket, and a write that takes less than it was given has filled
//! it, so that an event will come.

use std::io::{self, Read, Write};
use std::time::Duration;

/// A non-blocking byte stream.
pub trait Transport: Read + Write {
    /// Sends no more: the peer reads what is on its way, then the end.
    fn shutdown_write(&mut self);

    /// Reads what is there without taking it.
    ///
    /// # Errors
    /// As of a read, or it cannot.
    fn peek(&mut self, _into: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Acknowledges what was read at once instead of with the next bytes sent, or 40 ms later.
    fn acknowledge(&mut self) {}

    /// The socket takes bytes again: sends what was taken before and waits in the transport
    /// itself.
    fn flush_pending(&mut self) {}

    /// What the kernel knows of the way to the peer, where it is TCP: one system call.
    fn path(&self) -> Option<Path> {
        None
    }

    /// Whether it is encrypted.
    fn is_encrypted(&self) -> bool {
        false
    }

    /// Whether the handshake of the encryption is under way: reading may cost a signature.
    fn is_handshaking(&self) -> bool {
        false
    }

    /// Bytes of memory the transport holds itself, about.
    fn held_bytes(&self) -> usize {
        0
    }
}

/// The way to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// The round trip time, smoothed.
    pub rtt: Duration,
    /// Segments sent again since the connection began.
    pub retransmits: u32,
}
