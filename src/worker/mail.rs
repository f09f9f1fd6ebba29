//! Mail to workers: the only way anything crosses from one to another, or from another thread.
//!
//! A worker collects what it has to say during a turn and posts it once at the end: one lock,
//! held for a swap, and one wake-up for each receiver. Streams travel as references to frozen
//! segments; how many of their bytes may be under way is bounded per feed (see [`Receipt`]).
//!
//! A letter that is posted is read by the receiver's next turn, with or without a wake-up, unless
//! the receiver has ended. What is said of a stream says of which life of it, and a feed where it
//! goes on, so that what comes late, twice or never is told from what is true; the rest is for
//! audit.rs.

#![expect(
    clippy::disallowed_types,
    reason = "a mailbox is a list behind a lock held for a swap"
)]

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use smallvec::SmallVec;

use super::conn::Conn;
use super::ids::WorkerId;
use super::query::Ask;
use crate::stream::headers::Headers;
use crate::stream::log::{Frame, Snapshot};

/// How many messages one [`Mail::Append`] indexes without allocating.
const FRAMES_INLINE: usize = 8;

/// What one worker tells another. `S` is the kind of socket.
#[derive(Debug)]
pub enum Mail<S> {
    /// This connection wants to publish a stream that you have.
    Adopt(Box<Conn<S>>),
    /// I have players of a stream that you have: feed me, from a snapshot on, also if you do
    /// already.
    Subscribe {
        /// The stream.
        name: Arc<str>,
        /// Which life of the stream: who has players when another begins is fed unasked.
        epoch: u64,
        /// Who asks.
        from: WorkerId,
    },
    /// I have no players of it any more.
    Unsubscribe {
        /// The stream.
        name: Arc<str>,
        /// Which life of the stream: by the next one there may be players again.
        epoch: u64,
        /// Who says so.
        from: WorkerId,
    },
    /// The recent part of a stream you have players of; goes before anything else of an epoch,
    /// and again when you fell behind.
    Snapshot {
        /// The stream.
        name: Arc<str>,
        /// Which life of the stream.
        epoch: u64,
        /// Who feeds you.
        from: WorkerId,
        /// How often the headers have changed so far.
        changes: u64,
        /// The log.
        snapshot: Box<Snapshot>,
    },
    /// Headers in force from an offset on.
    Headers {
        /// The stream.
        name: Arc<str>,
        /// Which life of the stream.
        epoch: u64,
        /// How often they have changed before.
        changes: u64,
        /// The offset.
        offset: u64,
        /// The headers.
        headers: Arc<Headers>,
    },
    /// The next piece of wire bytes, and the messages that end in it.
    Append {
        /// The stream.
        name: Arc<str>,
        /// Which life of the stream.
        epoch: u64,
        /// How often the headers have changed before.
        changes: u64,
        /// The offset of the first byte.
        start: u64,
        /// The bytes.
        bytes: Bytes,
        /// The index.
        frames: SmallVec<[Frame; FRAMES_INLINE]>,
        /// Tells the sender that it was taken.
        receipt: Receipt,
    },
    /// The publisher is away; who joins now waits for it.
    Away {
        /// The stream.
        name: Arc<str>,
        /// Which life of the stream.
        epoch: u64,
        /// It has ended the stream.
        ended: bool,
    },
    /// The stream is over.
    End {
        /// The stream.
        name: Arc<str>,
        /// Which life of the stream.
        epoch: u64,
    },
    /// A player of mine waits for the stream that you are to fetch.
    Wanted {
        /// The stream.
        name: Arc<str>,
        /// Which life of the stream.
        epoch: u64,
        /// Me.
        from: WorkerId,
        /// The address of the player.
        asker: IpAddr,
    },
    /// I do not have the stream that you asked me for, or no longer.
    NotLive {
        /// The stream.
        name: Arc<str>,
    },
    /// What was found for a [`Call`](super::line::Call) to a name.
    Resolved {
        /// The call.
        id: u64,
        /// The addresses, or why there are none.
        addresses: Result<Vec<SocketAddr>, String>,
    },
    /// The operator wants to know something, or have something done.
    Ask(Box<Ask>),
    /// Stop: tell everybody and close.
    Drain,
}

impl<S> Mail<S> {
    /// The stream it is about, if it is about one.
    pub fn stream(&self) -> Option<&Arc<str>> {
        match self {
            Self::Adopt(_) | Self::Drain | Self::Resolved { .. } | Self::Ask(_) => None,
            Self::Subscribe { name, .. }
            | Self::Unsubscribe { name, .. }
            | Self::Snapshot { name, .. }
            | Self::Headers { name, .. }
            | Self::Append { name, .. }
            | Self::Away { name, .. }
            | Self::End { name, .. }
            | Self::Wanted { name, .. }
            | Self::NotLive { name } => Some(name),
        }
    }
}

/// Bytes under way to one receiver, shared by both ends.
pub type InFlight = Arc<AtomicUsize>;

/// Counts bytes as under way until it is dropped.
#[derive(Debug)]
pub struct Receipt {
    in_flight: InFlight,
    bytes: usize,
}

impl Receipt {
    /// `bytes` are on their way.
    pub fn new(in_flight: &InFlight, bytes: usize) -> Self {
        in_flight.fetch_add(bytes, Ordering::Relaxed);
        Self {
            in_flight: in_flight.clone(),
            bytes,
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.in_flight.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Where a worker receives.
#[derive(Debug)]
pub struct Mailbox<S> {
    /// None once nobody reads it any more.
    letters: Mutex<Option<Vec<Mail<S>>>>,
    /// A wake-up is under way that the worker has not acted on.
    woken: AtomicBool,
}

impl<S> Default for Mailbox<S> {
    fn default() -> Self {
        Self {
            letters: Mutex::new(Some(Vec::new())),
            woken: AtomicBool::new(false),
        }
    }
}

impl<S> Mailbox<S> {
    /// Puts `letters` in, in order; true when the receiver has to be woken. When it has ended
    /// they are dropped, connections among them closed by that.
    pub fn post(&self, letters: impl Iterator<Item = Mail<S>>) -> bool {
        match &mut *self.lock() {
            Some(list) => list.extend(letters),
            None => letters.for_each(drop),
        }
        !self.woken.swap(true, Ordering::AcqRel)
    }

    /// Nobody reads any more: what is here and what comes is dropped.
    pub fn close(&self) {
        let letters = self.lock().take();
        drop(letters);
    }

    /// Shows what is in it, in order.
    #[cfg(test)]
    pub(super) fn peek(&self, show: impl FnMut(&Mail<S>)) {
        self.lock().iter().flatten().for_each(show);
    }

    /// Takes everything out into `into`, which is empty.
    pub fn collect(&self, into: &mut Vec<Mail<S>>) {
        debug_assert!(into.is_empty(), "the last letters were read");
        // Whoever posts sets the flag after its letters, and wakes when it was not set.
        if !self.woken.load(Ordering::Acquire) {
            return;
        }
        // First the flag: a letter posted after the swap below wakes again.
        // A swap, not a store: it takes its place among the senders' swaps for certain.
        self.woken.swap(false, Ordering::AcqRel);
        if let Some(letters) = &mut *self.lock() {
            std::mem::swap(letters, into);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Mail<S>>>> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_keep_their_order_and_wake_once() {
        let mailbox: Mailbox<()> = Mailbox::default();
        let end = |epoch| Mail::End {
            name: "live/cam".into(),
            epoch,
        };
        assert!(mailbox.post([end(1), end(2)].into_iter()));
        assert!(!mailbox.post([end(3)].into_iter()));
        let mut letters = Vec::new();
        mailbox.collect(&mut letters);
        let epochs: Vec<u64> = letters
            .iter()
            .map(|mail| match mail {
                Mail::End { epoch, .. } => *epoch,
                _ => 0,
            })
            .collect();
        assert_eq!(epochs, [1, 2, 3]);
        letters.clear();
        assert!(mailbox.post([Mail::Drain].into_iter()));
    }

    #[test]
    fn what_is_posted_to_a_mailbox_that_nobody_reads_any_more_is_dropped() {
        let in_flight = InFlight::default();
        let mailbox: Mailbox<()> = Mailbox::default();
        let letter = || Mail::Append {
            name: "live/cam".into(),
            epoch: 1,
            changes: 0,
            start: 0,
            bytes: Bytes::from_static(&[0; 9]),
            frames: SmallVec::new(),
            receipt: Receipt::new(&in_flight, 9),
        };
        mailbox.post([letter()].into_iter());
        assert_eq!(in_flight.load(Ordering::Relaxed), 9);
        mailbox.close();
        assert_eq!(in_flight.load(Ordering::Relaxed), 0);
        let mut outbound = vec![letter(), letter()];
        mailbox.post(outbound.extract_if(.., |_| true));
        assert_eq!((outbound.len(), in_flight.load(Ordering::Relaxed)), (0, 0));
        let mut letters = Vec::new();
        mailbox.collect(&mut letters);
        assert!(letters.is_empty());
    }

    #[test]
    fn a_receipt_counts_until_it_is_dropped() {
        let in_flight = InFlight::default();
        let first = Receipt::new(&in_flight, 10);
        let second = Receipt::new(&in_flight, 5);
        drop(first);
        assert_eq!(in_flight.load(Ordering::Relaxed), 5);
        drop(second);
        assert_eq!(in_flight.load(Ordering::Relaxed), 0);
    }
}
