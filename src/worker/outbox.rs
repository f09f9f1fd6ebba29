//! Mail that a worker has for others, until the event loop posts it, and how much of their streams
//! they have not taken yet.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::ids::WorkerId;
use super::mail::{InFlight, Mail};
use crate::limits;

/// See the module text.
#[derive(Debug)]
pub(super) struct Outbox<S> {
    mail: Vec<(WorkerId, Mail<S>)>,
    /// What is still under way of streams that have ended, by name and worker.
    untaken: HashMap<(Arc<str>, WorkerId), InFlight>,
    /// Bytes of one stream that may be under way to one worker.
    bytes_max: usize,
}

impl<S> Default for Outbox<S> {
    fn default() -> Self {
        Self {
            mail: Vec::new(),
            untaken: HashMap::new(),
            bytes_max: limits::MAIL_BYTES_MAX,
        }
    }
}

impl<S> Outbox<S> {
    /// Sends a worker mail.
    pub(super) fn send(&mut self, to: WorkerId, mail: Mail<S>) {
        self.mail.push((to, mail));
    }

    /// What is to be posted, and to whom.
    pub(super) fn mail(&mut self) -> &mut Vec<(WorkerId, Mail<S>)> {
        &mut self.mail
    }

    /// Bytes of one stream that may be under way to one worker.
    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// The stream `name` has ended: what is under way of it to a worker counts for its next life.
    pub(super) fn keep_untaken(&mut self, name: &Arc<str>, to: WorkerId, in_flight: InFlight) {
        if in_flight.load(Ordering::Relaxed) > 0 {
            self.untaken.insert((name.clone(), to), in_flight);
        }
    }

    /// What is still under way to a worker of the last life of the stream `name`.
    pub(super) fn take_untaken(&mut self, name: &Arc<str>, to: WorkerId) -> InFlight {
        self.untaken.remove(&(name.clone(), to)).unwrap_or_default()
    }

    /// Forgets what has been taken meanwhile.
    pub(super) fn forget_taken(&mut self) {
        self.untaken
            .retain(|_, in_flight| in_flight.load(Ordering::Relaxed) > 0);
    }

    /// Bytes of one stream that may be under way to one worker.
    #[cfg(test)]
    pub(super) fn set_bytes_max(&mut self, bytes: usize) {
        self.bytes_max = bytes;
    }

    /// How much mail waits to be posted.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.mail.len()
    }
}
