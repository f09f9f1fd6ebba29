//! How far a stream has gone to another worker, and has come from one. What follows from that is
//! in feed.rs and received.rs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use crate::stream::log::StreamLog;
use crate::worker::ids::WorkerId;
use crate::worker::mail::{InFlight, Mail, Receipt};

/// What another worker has been sent of a stream.
#[derive(Debug)]
pub(in crate::worker) struct Feed {
    worker: WorkerId,
    /// Everything before this offset is on its way.
    sent: u64,
    /// How many header changes it was told of.
    changes: u64,
    in_flight: InFlight,
    /// Too much was under way: it is told nothing until all of it has arrived.
    lost: bool,
    /// When the registry was last asked, it had no players.
    doubted: bool,
}

impl Feed {
    /// Worker `worker` is sent nothing yet. Its feed is lost while so much of an earlier life of
    /// the stream is under way to it.
    pub(in crate::worker) fn new(worker: WorkerId, in_flight: InFlight) -> Self {
        let mut feed = Self {
            worker,
            sent: 0,
            changes: 0,
            in_flight,
            lost: false,
            doubted: false,
        };
        feed.lost = !feed.has_arrived();
        feed
    }

    /// The worker that is fed.
    pub(in crate::worker) fn worker(&self) -> WorkerId {
        self.worker
    }

    /// Whether it is told nothing until it gets a snapshot.
    pub(in crate::worker) fn is_lost(&self) -> bool {
        self.lost
    }

    /// The worker lacks some of what it was sent, or has said so.
    pub(in crate::worker) fn set_lost(&mut self) {
        self.lost = true;
    }

    /// A feed that was lost goes on without a snapshot: all that follows is the end of the stream.
    pub(in crate::worker) fn await_end(&mut self) {
        self.lost = false;
    }

    /// Whether nothing is under way.
    pub(in crate::worker) fn has_arrived(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) == 0
    }

    /// The stream has ended: who was fed, and what is still under way.
    pub(in crate::worker) fn end(self) -> (WorkerId, InFlight) {
        (self.worker, self.in_flight)
    }

    /// A snapshot of `log` is sent; how many header changes it has.
    pub(in crate::worker) fn begin(&mut self, log: &StreamLog) -> u64 {
        self.sent = log.visible();
        self.changes = log.header_changes();
        self.lost = false;
        self.changes
    }

    /// Gives `send` the headers and pieces of the log that were not sent yet, in letters about the
    /// stream `name` in its life `epoch`. The feed is lost as soon as more than `bytes_max` are
    /// under way.
    pub(in crate::worker) fn send_news<S>(
        &mut self,
        (name, epoch): (&Arc<str>, u64),
        log: &StreamLog,
        bytes_max: usize,
        mut send: impl FnMut(WorkerId, Mail<S>),
    ) {
        for (offset, headers) in log.headers_since(self.changes) {
            let mail = Mail::Headers {
                name: name.clone(),
                epoch,
                changes: self.changes,
                offset,
                headers: headers.clone(),
            };
            send(self.worker, mail);
            self.changes += 1;
        }
        let unsent: usize = log.pieces_from(self.sent).map(|(b, _)| b.len()).sum();
        let mut start = log.visible().saturating_sub(unsent as u64);
        for (bytes, frames) in log.pieces_from(self.sent) {
            if self.in_flight.load(Ordering::Relaxed) > bytes_max {
                self.lost = true;
                return;
            }
            let mail = Mail::Append {
                name: name.clone(),
                epoch,
                changes: self.changes,
                start,
                bytes: bytes.clone(),
                frames: frames.collect::<SmallVec<_>>(),
                receipt: Receipt::new(&self.in_flight, bytes.len()),
            };
            send(self.worker, mail);
            start += bytes.len() as u64;
        }
        self.sent = log.visible();
    }

    /// Takes note of whether the registry knows no players of the worker; whether that is so for
    /// the second time in a row.
    pub(in crate::worker) fn doubt(&mut self, is_idle: bool) -> bool {
        std::mem::replace(&mut self.doubted, is_idle) && is_idle
    }

    /// Bytes under way.
    #[cfg(test)]
    pub(in crate::worker) fn bytes_in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }
}

/// What this worker has been sent of a stream.
#[derive(Debug, Default)]
pub(in crate::worker) struct Upstream {
    /// How many header changes it was told of.
    changes: u64,
    /// Its publisher has ended it, and nothing has come since.
    ended: bool,
    /// Something is missing: it takes nothing until it gets a snapshot.
    broken: bool,
    /// When the registry was last asked, the stream was another one or somewhere else.
    doubted: bool,
}

impl Upstream {
    /// A snapshot has come that has so many header changes.
    pub(in crate::worker) fn new(changes: u64) -> Self {
        Self {
            changes,
            ..Self::default()
        }
    }

    /// Whether a letter goes on where the log ends, at `end`: with so many header changes before
    /// it, and from offset `start` on. If not, nothing is taken until there is a snapshot.
    pub(in crate::worker) fn goes_on(
        &mut self,
        changes: u64,
        start: Option<u64>,
        end: u64,
    ) -> bool {
        self.broken |= self.changes != changes || start.is_some_and(|start| start != end);
        !self.broken
    }

    /// Whether nothing is taken until there is a snapshot.
    pub(in crate::worker) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Headers have come.
    pub(in crate::worker) fn count_headers(&mut self) {
        self.changes += 1;
    }

    /// Its publisher is away, and has ended it or not.
    pub(in crate::worker) fn set_ended(&mut self, ended: bool) {
        self.ended = ended;
    }

    /// Whether its publisher has ended it, and nothing has come since.
    pub(in crate::worker) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Something has come; whether its publisher had ended it.
    pub(in crate::worker) fn revive(&mut self) -> bool {
        std::mem::take(&mut self.ended)
    }

    /// Takes note of whether the registry knows another stream, or this one somewhere else; whether
    /// that is so for the second time in a row.
    pub(in crate::worker) fn doubt(&mut self, is_amiss: bool) -> bool {
        std::mem::replace(&mut self.doubted, is_amiss) && is_amiss
    }
}
