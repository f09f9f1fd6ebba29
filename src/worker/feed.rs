//! Streams across workers: the worker that has the publisher feeds those that have players,
//! with references to what it has flushed. The receiver's log is of the same kind and has the
//! same offsets; whoever serves players cannot tell where a stream comes from.
//!
//! Bytes under way to one worker are bounded. A worker that cannot keep up is told nothing more
//! until it has taken everything, and then goes on from a new snapshot at a sync point: it
//! loses media, never memory.
//!
//! Letters say where they go on. One that does not go on where the receiver's log ends is not
//! taken, nor is any behind it: the receiver asks again, and its players wait for a sync point
//! as if they had been too slow.

use std::sync::Arc;

use super::core::Core;
use super::ids::{StreamId, WorkerId};
use super::mail::Mail;
use super::registry::Owner;
use super::table::{Feed, Source};
use crate::net::transport::Transport;

impl<S: Transport> Core<S> {
    /// Asks whoever has the stream for it.
    pub(super) fn subscribe(&mut self, index: StreamId, owner: Owner) {
        let name = self.streams[index].name.clone();
        let (epoch, from) = (owner.epoch, self.worker);
        let mail = Mail::Subscribe { name, epoch, from };
        self.outbox.send(owner.worker, mail);
    }

    /// Worker `worker` has players of the stream: it gets a snapshot now, then what follows.
    pub(super) fn add_feed(&mut self, index: StreamId, worker: WorkerId) {
        let stream = &mut self.streams[index];
        if stream.feeds.iter().any(|feed| feed.worker() == worker) {
            return;
        }
        let in_flight = self.outbox.take_untaken(&stream.name, worker);
        let feed = Feed::new(worker, in_flight);
        let is_lost = feed.is_lost();
        stream.feeds.push(feed);
        let position = stream.feeds.len() - 1;
        if is_lost {
            self.mark_dirty(index);
        } else {
            self.send_snapshot(index, position);
        }
    }

    /// The stream ends: what is under way to other workers counts on for its next life.
    pub(super) fn end_feeds(&mut self, index: StreamId) {
        let stream = &mut self.streams[index];
        for (worker, in_flight) in stream.feeds.drain(..).map(Feed::end) {
            self.outbox.keep_untaken(&stream.name, worker, in_flight);
        }
    }

    fn send_snapshot(&mut self, index: StreamId, position: usize) {
        let stream = &mut self.streams[index];
        stream.log.flush();
        let feed = &mut stream.feeds[position];
        let (to, changes) = (feed.worker(), feed.begin(&stream.log));
        let mail = Mail::Snapshot {
            name: stream.name.clone(),
            epoch: stream.epoch,
            from: self.worker,
            changes,
            snapshot: Box::new(stream.log.snapshot()),
        };
        self.outbox.send(to, mail);
        if let Source::Away { ended, .. } = stream.source() {
            let (name, epoch) = (stream.name.clone(), stream.epoch);
            let mail = Mail::Away { name, epoch, ended };
            self.outbox.send(to, mail);
        }
    }

    pub(super) fn feed_stream(&mut self, index: StreamId) {
        self.streams[index].log.flush();
        for position in 0..self.streams[index].feeds.len() {
            let feed = &self.streams[index].feeds[position];
            match feed.is_lost() {
                false => self.send_news(index, position),
                true if feed.has_arrived() => self.send_snapshot(index, position),
                true => {}
            }
        }
    }

    /// Sends one worker the headers and pieces it has not been sent.
    fn send_news(&mut self, index: StreamId, position: usize) {
        let Self {
            streams, outbox, ..
        } = self;
        let stream = &mut streams[index];
        let bytes_max = outbox.bytes_max();
        let send = |to, mail| outbox.send(to, mail);
        let of = (&stream.name, stream.epoch);
        stream.feeds[position].send_news(of, &stream.log, bytes_max, send);
    }

    /// Sends every worker that is fed the stream one letter.
    pub(super) fn tell_feeds(
        &mut self,
        index: StreamId,
        letter: impl Fn(Arc<str>, u64) -> Mail<S>,
    ) {
        let stream = &self.streams[index];
        if stream.feeds.is_empty() {
            return;
        }
        self.feed_stream(index);
        let stream = &self.streams[index];
        for feed in &stream.feeds {
            let mail = letter(stream.name.clone(), stream.epoch);
            self.outbox.send(feed.worker(), mail);
        }
    }

    /// Whether this worker has the stream, in its life `epoch`.
    pub(super) fn is_owned_in(&self, index: StreamId, epoch: u64) -> bool {
        let stream = &self.streams[index];
        stream.is_owned() && stream.epoch == epoch
    }

    /// Worker `worker` asks for the stream, perhaps again: what it was sent has not arrived, or
    /// not all of it.
    pub(super) fn feed_from_snapshot(&mut self, index: StreamId, worker: WorkerId) {
        let feeds = &mut self.streams[index].feeds;
        match feeds.iter_mut().find(|feed| feed.worker() == worker) {
            Some(feed) => {
                feed.set_lost();
                self.mark_dirty(index);
            }
            None => self.add_feed(index, worker),
        }
    }
}
