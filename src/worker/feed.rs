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
use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::core::Core;
use super::ids::{StreamId, WorkerId};
use super::mail::{Mail, Receipt};
use super::registry::Owner;
use super::table::{Feed, Source, Tally, Upstream};
use crate::net::transport::Transport;
use crate::stream::log::{Snapshot, StreamLog};

impl<S: Transport> Core<S> {
    /// Asks whoever has the stream for it.
    pub(super) fn subscribe(&mut self, index: StreamId, owner: Owner) {
        let name = self.streams[index].name.clone();
        let (epoch, from) = (owner.epoch, self.worker);
        let mail = Mail::Subscribe { name, epoch, from };
        self.outbound.push((owner.worker, mail));
    }

    /// Worker `worker` has players of the stream: it gets a snapshot now, then what follows.
    pub(super) fn add_feed(&mut self, index: StreamId, worker: WorkerId) {
        let stream = &mut self.streams[index];
        if stream.feeds.iter().any(|feed| feed.worker == worker) {
            return;
        }
        let of_last_life = self.untaken.remove(&(stream.name.clone(), worker));
        let in_flight = of_last_life.unwrap_or_default();
        let lost = in_flight.load(Ordering::Relaxed) > 0;
        stream.feeds.push(Feed {
            worker,
            sent: 0,
            changes: 0,
            in_flight,
            lost,
            doubted: false,
        });
        let position = stream.feeds.len() - 1;
        if lost {
            self.mark_dirty(index);
        } else {
            self.send_snapshot(index, position);
        }
    }

    /// The stream ends: what is under way to other workers counts on for its next life.
    pub(super) fn end_feeds(&mut self, index: StreamId) {
        let stream = &mut self.streams[index];
        for feed in stream.feeds.drain(..) {
            if feed.in_flight.load(Ordering::Relaxed) > 0 {
                let key = (stream.name.clone(), feed.worker);
                self.untaken.insert(key, feed.in_flight);
            }
        }
    }

    /// Forgets what has been taken meanwhile.
    pub(super) fn forget_taken(&mut self) {
        self.untaken
            .retain(|_, in_flight| in_flight.load(Ordering::Relaxed) > 0);
    }

    fn send_snapshot(&mut self, index: StreamId, position: usize) {
        let stream = &mut self.streams[index];
        stream.log.flush();
        let feed = &mut stream.feeds[position];
        feed.sent = stream.log.visible();
        feed.changes = stream.log.header_changes();
        feed.lost = false;
        let mail = Mail::Snapshot {
            name: stream.name.clone(),
            epoch: stream.epoch,
            from: self.worker,
            changes: feed.changes,
            snapshot: Box::new(stream.log.snapshot()),
        };
        let to = feed.worker;
        self.outbound.push((to, mail));
        if let Source::Away { ended, .. } = stream.source() {
            let (name, epoch) = (stream.name.clone(), stream.epoch);
            let mail = Mail::Away { name, epoch, ended };
            self.outbound.push((to, mail));
        }
    }

    /// Sends every other worker what is new since the last turn.
    pub(super) fn feed(&mut self) {
        for position in 0..self.dirty.len() {
            let index = self.dirty[position];
            if self
                .streams
                .get(index)
                .is_some_and(|stream| !stream.feeds.is_empty())
            {
                self.contained_stream(index, |core| core.feed_stream(index));
            }
        }
    }

    fn feed_stream(&mut self, index: StreamId) {
        self.streams[index].log.flush();
        for position in 0..self.streams[index].feeds.len() {
            let feed = &self.streams[index].feeds[position];
            if feed.lost {
                if feed.in_flight.load(Ordering::Relaxed) == 0 {
                    self.send_snapshot(index, position);
                }
                continue;
            }
            self.send_news(index, position);
        }
    }

    /// Sends one worker the headers and pieces it has not been sent.
    fn send_news(&mut self, index: StreamId, position: usize) {
        let Self {
            streams,
            outbound,
            mail_bytes,
            ..
        } = self;
        let stream = &mut streams[index];
        let (name, epoch, log) = (&stream.name, stream.epoch, &stream.log);
        let feed = &mut stream.feeds[position];
        for (offset, headers) in log.headers_since(feed.changes) {
            let mail = Mail::Headers {
                name: name.clone(),
                epoch,
                changes: feed.changes,
                offset,
                headers: headers.clone(),
            };
            outbound.push((feed.worker, mail));
            feed.changes += 1;
        }
        let unsent: usize = log.pieces_from(feed.sent).map(|(b, _)| b.len()).sum();
        let mut start = log.visible().saturating_sub(unsent as u64);
        for (bytes, frames) in log.pieces_from(feed.sent) {
            if feed.in_flight.load(Ordering::Relaxed) > *mail_bytes {
                feed.lost = true;
                return;
            }
            let mail = Mail::Append {
                name: name.clone(),
                epoch,
                changes: feed.changes,
                start,
                bytes: bytes.clone(),
                frames: frames.collect::<SmallVec<_>>(),
                receipt: Receipt::new(&feed.in_flight, bytes.len()),
            };
            outbound.push((feed.worker, mail));
            start += bytes.len() as u64;
        }
        feed.sent = log.visible();
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
            self.outbound
                .push((feed.worker, letter(stream.name.clone(), stream.epoch)));
        }
    }

    /// Acts on one letter; connections that come by mail, and the end of the relay, are the event
    /// loop's.
    pub fn receive(&mut self, mail: Mail<S>) {
        // Of a stream that is not here nobody wants to know.
        let index = mail.stream().and_then(|name| self.streams.find(name));
        match (index, mail) {
            (_, Mail::Adopt(_) | Mail::Drain) => debug_assert!(false, "the event loop's"),
            (_, Mail::Resolved { id, addresses }) => self.resolved(id, addresses),
            (_, Mail::Ask(ask)) => self.answer_operator(*ask),
            (Some(index), mail) => self.contained_stream(index, |core| core.take(index, mail)),
            // It was given up while the letter was on its way.
            (None, Mail::Subscribe { name, from, .. }) => {
                self.outbound.push((from, Mail::NotLive { name }));
            }
            (None, _) => {}
        }
    }

    /// Acts on a letter about the stream `index`.
    fn take(&mut self, index: StreamId, mail: Mail<S>) {
        match mail {
            Mail::Subscribe { name, epoch, from } => self.subscribed(index, name, epoch, from),
            Mail::Unsubscribe { epoch, from, .. } => self.unsubscribed(index, epoch, from),
            Mail::NotLive { .. } => self.not_live(index),
            Mail::Wanted { epoch, asker, .. } => {
                if self.is_owned_in(index, epoch) {
                    self.hurry_pull(index, asker);
                }
            }
            Mail::Snapshot {
                epoch,
                from,
                changes,
                snapshot,
                ..
            } => self.take_snapshot(index, epoch, (from, changes), *snapshot),
            Mail::Headers {
                epoch,
                changes,
                offset,
                headers,
                ..
            } => {
                if self.is_fed_in(index, epoch) && self.goes_on(index, changes, None) {
                    let stream = &mut self.streams[index];
                    stream.log.set_headers_from(offset, headers);
                    stream.upstream.changes += 1;
                }
            }
            Mail::Append {
                epoch,
                changes,
                start,
                bytes,
                frames,
                receipt,
                ..
            } => {
                if self.is_fed_in(index, epoch) && self.goes_on(index, changes, Some(start)) {
                    let stream = &mut self.streams[index];
                    stream.log.append_fed(bytes, &frames);
                    self.pacer.work().fanned_out += (frames.len() * stream.players.len()) as u64;
                    self.feed_is_back(index);
                    self.mark_dirty(index);
                    self.tell_relays_of_begin(index);
                }
                drop(receipt);
            }
            Mail::Away { epoch, ended, .. } => {
                if self.is_fed_in(index, epoch) {
                    self.streams[index].upstream.ended = ended;
                    self.streams[index].log.close_starts();
                    self.tell_relays_of_end(index);
                }
            }
            Mail::End { epoch, .. } => {
                if self.is_fed_in(index, epoch) {
                    self.round(index);
                    // Its last player may have gone just now, and the stream with it.
                    if self.streams.contains(index) {
                        self.streams.set_source(index, Source::Nobody);
                        self.end_players(index);
                    }
                }
            }
            Mail::Adopt(_) | Mail::Drain | Mail::Resolved { .. } | Mail::Ask(_) => {}
        }
    }

    /// Worker `from` has no players of the stream any more.
    fn unsubscribed(&mut self, index: StreamId, epoch: u64, from: WorkerId) {
        if self.is_owned_in(index, epoch) {
            let stream = &mut self.streams[index];
            stream.feeds.retain(|feed| feed.worker != from);
            if stream.pull.is_some() {
                self.look_at_stream(index, self.now);
            }
        }
    }

    /// Something has come of a stream from elsewhere: where its publisher had ended it, those that
    /// have come since may begin.
    fn feed_is_back(&mut self, index: StreamId) {
        if std::mem::take(&mut self.streams[index].upstream.ended) {
            self.start_players(index);
        }
    }

    /// Worker `from` has players of the stream and asks for it.
    fn subscribed(&mut self, index: StreamId, name: Arc<str>, epoch: u64, from: WorkerId) {
        if !self.is_owned_in(index, epoch) {
            self.outbound.push((from, Mail::NotLive { name }));
        } else if self.streams[index].may_begin() {
            self.feed_from_snapshot(index, from);
            self.pull_is_played(index);
        }
        // While it is being fetched, or its publisher has ended it and may be back, it is fed to
        // all that wait once there is something.
    }

    /// Whether this worker has the stream, in its life `epoch`.
    fn is_owned_in(&self, index: StreamId, epoch: u64) -> bool {
        let stream = &self.streams[index];
        stream.is_owned() && stream.epoch == epoch
    }

    /// Whether the stream is fed from elsewhere, in its life `epoch`.
    fn is_fed_in(&self, index: StreamId, epoch: u64) -> bool {
        let stream = &self.streams[index];
        matches!(stream.source(), Source::Fed { .. }) && stream.epoch == epoch
    }

    /// Worker `worker` asks for the stream, perhaps again: what it was sent has not arrived, or
    /// not all of it.
    fn feed_from_snapshot(&mut self, index: StreamId, worker: WorkerId) {
        let feeds = &mut self.streams[index].feeds;
        match feeds.iter_mut().find(|feed| feed.worker == worker) {
            Some(feed) => {
                feed.lost = true;
                self.mark_dirty(index);
            }
            None => self.add_feed(index, worker),
        }
    }

    /// Whether a letter goes on where the stream is here: with so many changes of headers before
    /// it, and from offset `start` on. If not, the stream is asked for anew.
    fn goes_on(&mut self, index: StreamId, changes: u64, start: Option<u64>) -> bool {
        let stream = &mut self.streams[index];
        if stream.upstream.broken {
            return false;
        }
        let end = stream.log.end();
        if stream.upstream.changes == changes && start.is_none_or(|start| start == end) {
            return true;
        }
        stream.upstream.broken = true;
        if let Source::Fed { worker } = stream.source() {
            let epoch = stream.epoch;
            self.subscribe(index, Owner { worker, epoch });
        }
        false
    }

    fn take_snapshot(
        &mut self,
        index: StreamId,
        epoch: u64,
        (from, changes): (WorkerId, u64),
        snapshot: Snapshot,
    ) {
        let stream = &self.streams[index];
        if stream.is_owned() || epoch < stream.epoch {
            return;
        }
        if stream.epoch != epoch && stream.is_live() {
            // The end of its last life has not arrived yet, and now need not.
            self.end_players(index);
        }
        // Only those that still wait are left; there may be none.
        let Some(stream) = self.streams.get_mut(index) else {
            return;
        };
        let mut log = StreamLog::from_snapshot(self.log_limits, snapshot);
        std::mem::swap(&mut stream.log, &mut log);
        log.recycle(&mut self.blocks);
        stream.is_end_told = false;
        stream.upstream = Upstream {
            changes,
            ..Upstream::default()
        };
        if stream.epoch != epoch {
            stream.tally = Tally::new(self.now);
        }
        stream.epoch = epoch;
        self.streams.set_source(index, Source::Fed { worker: from });
        self.place_waiting(index);
        self.start_players(index);
        self.mark_dirty(index);
    }
}
