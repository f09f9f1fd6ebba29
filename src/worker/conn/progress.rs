//! How a connection gets on: whether its socket may be read and written, what has come and gone,
//! and when.

use std::sync::Arc;
use std::time::Instant;

use super::Conn;
use crate::limits;
use crate::net::ring::Ring;

/// Readiness and what is received.
impl<S> Conn<S> {
    /// Whether the socket may have something to read.
    pub(in crate::worker) fn is_readable(&self) -> bool {
        self.readable
    }

    /// The socket has nothing to read, or may have.
    pub(in crate::worker) fn set_readable(&mut self, readable: bool) {
        self.readable = readable;
    }

    /// The peer has sent its last byte.
    pub(in crate::worker) fn set_hung_up(&mut self) {
        self.hung_up = true;
    }

    /// Whether the socket took everything so far.
    pub(in crate::worker) fn is_writable(&self) -> bool {
        self.writable
    }

    /// The socket takes more; whether it did not before.
    pub(in crate::worker) fn set_writable(&mut self) -> bool {
        !std::mem::replace(&mut self.writable, true)
    }

    /// A read of at most `room` bytes gave `count`. A short one emptied the socket: the next bytes
    /// come with a new event, so that the read that would only say `WouldBlock` is saved. The end
    /// of the stream may have been told already.
    pub(in crate::worker) fn count_read(&mut self, count: usize, room: usize, now: Instant) {
        self.readable = count == room || self.hung_up;
        self.last_read = now;
        self.bytes_in += count as u64;
    }

    /// Takes the bytes out that were received and not parsed.
    pub(in crate::worker) fn take_ring(&mut self) -> Option<Ring> {
        self.ring.take()
    }

    /// Keeps them for the next turn.
    pub(in crate::worker) fn keep_ring(&mut self, ring: Ring) {
        self.ring = Some(ring);
    }

    /// Bytes of memory for what was received and not parsed.
    pub(in crate::worker) fn ring_bytes(&self) -> usize {
        self.ring.as_ref().map_or(0, |_| limits::RING_BYTES)
    }
}

/// Figures.
impl<S> Conn<S> {
    /// Bytes received.
    pub(in crate::worker) fn bytes_in(&self) -> u64 {
        self.bytes_in
    }

    /// Bytes sent.
    pub(in crate::worker) fn bytes_out(&self) -> u64 {
        self.bytes_out
    }

    /// It was moved on to a key frame so many times, and did not get so many bytes for that.
    pub(in crate::worker) fn count_skips(&mut self, skips: u64, bytes: u64) {
        self.skips += skips;
        self.skipped_bytes += bytes;
    }

    /// Times it was moved on to a key frame.
    pub(in crate::worker) fn skips(&self) -> u64 {
        self.skips
    }

    /// Bytes that it did not get for that.
    pub(in crate::worker) fn skipped_bytes(&self) -> u64 {
        self.skipped_bytes
    }

    /// It has asked for this stream.
    pub(in crate::worker) fn set_asked(&mut self, stream: Arc<str>) {
        self.asked = Some(stream);
    }

    /// The stream it asked for last, whatever came of it: for the log.
    pub(in crate::worker) fn asked(&self) -> Option<&str> {
        self.asked.as_deref()
    }
}

/// Times.
impl<S> Conn<S> {
    /// When it was accepted, or the call was placed.
    pub(in crate::worker) fn accepted_at(&self) -> Instant {
        self.accepted_at
    }

    /// When something was received last; at first, when it was accepted.
    pub(in crate::worker) fn last_read(&self) -> Instant {
        self.last_read
    }

    /// When the last role ended, or the connection was accepted.
    pub(in crate::worker) fn idle_since(&self) -> Instant {
        self.idle_since
    }

    /// Its last role has ended.
    pub(in crate::worker) fn set_idle(&mut self, now: Instant) {
        self.idle_since = now;
    }

    /// When the peer was last asked for a sign of life.
    pub(in crate::worker) fn last_ping(&self) -> Instant {
        self.last_ping
    }

    /// The peer is asked for a sign of life.
    pub(in crate::worker) fn set_pinged(&mut self, now: Instant) {
        self.last_ping = now;
    }

    /// Since when data waits for a socket that takes none.
    pub(in crate::worker) fn blocked_since(&self) -> Option<Instant> {
        self.blocked_since
    }

    /// Since when data waits all the time, whether some is taken or not, and how many bytes had
    /// been sent then.
    pub(in crate::worker) fn lagging(&self) -> Option<(Instant, u64)> {
        self.lagging
    }

    /// It lags from now on, as far as it is counted.
    pub(in crate::worker) fn restart_lagging(&mut self, now: Instant) {
        self.lagging = Some((now, self.bytes_out));
    }

    /// What was counted of a publish that has ended within the time that counts, for the next one
    /// to go on with.
    pub(in crate::worker) fn metered(&self, now: Instant) -> Option<(Instant, u64)> {
        let is_recent = |(since, _): &(Instant, u64)| {
            now.saturating_duration_since(*since) < limits::BITRATE_TIME
        };
        self.metered.as_deref().copied().filter(is_recent)
    }

    /// Keeps what was counted of a publish that has ended, unless more is kept of another one.
    pub(in crate::worker) fn keep_metered(&mut self, counted: (Instant, u64), now: Instant) {
        if self.metered(now).is_none_or(|(_, kept)| kept <= counted.1) {
            self.metered = Some(Box::new(counted));
        }
    }
}
