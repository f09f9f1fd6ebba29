//! Streams across workers: the worker that has the publisher feeds those that have players,
//! with references to what it has flushed. The receiver's log is of the same kind and has the
//! same offsets; whoever serves players cannot tell where a stream comes from.
//!
//! Bytes under way to one worker are bounded. A worker that cannot keep up is told nothing more
//! until it has taken everything, and then goes on from a new snapshot at a sync point: it
//! loses media, never memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::core::Core;
use super::mail::{InFlight, Mail, Receipt};
use super::table::{Feed, Source};
use crate::net::transport::Transport;
use crate::stream::log::{Snapshot, StreamLog};

impl<S: Transport> Core<S> {
    /// Asks worker `owner` for the stream.
    pub(super) fn subscribe(&mut self, index: usize, owner: usize) {
        let name = self.streams[index].name.clone();
        self.outbound.push((
            owner,
            Mail::Subscribe {
                name,
                from: self.worker,
            },
        ));
    }

    /// Worker `worker` has players of the stream: it gets a snapshot now, then what follows.
    pub(super) fn add_feed(&mut self, index: usize, worker: usize) {
        let stream = &mut self.streams[index];
        if stream.feeds.iter().any(|feed| feed.worker == worker) {
            return;
        }
        stream.feeds.push(Feed {
            worker,
            sent: 0,
            headers_seen: 0,
            in_flight: InFlight::default(),
            lost: false,
        });
        let position = stream.feeds.len() - 1;
        self.send_snapshot(index, position);
    }

    fn send_snapshot(&mut self, index: usize, position: usize) {
        let stream = &mut self.streams[index];
        stream.log.flush();
        let feed = &mut stream.feeds[position];
        feed.sent = stream.log.visible();
        feed.headers_seen = stream.log.header_changes();
        feed.lost = false;
        let mail = Mail::Snapshot {
            name: stream.name.clone(),
            epoch: stream.epoch,
            from: self.worker,
            snapshot: Box::new(stream.log.snapshot()),
        };
        self.outbound.push((feed.worker, mail));
    }

    /// Sends every other worker what is new since the last turn.
    pub fn feed(&mut self) {
        for position in 0..self.dirty.len() {
            let index = self.dirty[position];
            if self
                .streams
                .get(index)
                .is_some_and(|stream| !stream.feeds.is_empty())
            {
                self.feed_stream(index);
            }
        }
    }

    fn feed_stream(&mut self, index: usize) {
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
    fn send_news(&mut self, index: usize, position: usize) {
        let Self {
            streams,
            outbound,
            mail_bytes,
            ..
        } = self;
        let stream = &mut streams[index];
        let (name, epoch, log) = (&stream.name, stream.epoch, &stream.log);
        let feed = &mut stream.feeds[position];
        for (offset, headers) in log.headers_since(feed.headers_seen) {
            let (name, headers) = (name.clone(), headers.clone());
            outbound.push((
                feed.worker,
                Mail::Headers {
                    name,
                    epoch,
                    offset,
                    headers,
                },
            ));
        }
        feed.headers_seen = log.header_changes();
        for (bytes, frames) in log.pieces_from(feed.sent) {
            if feed.in_flight.load(Ordering::Relaxed) > *mail_bytes {
                feed.lost = true;
                return;
            }
            let mail = Mail::Append {
                name: name.clone(),
                epoch,
                bytes: bytes.clone(),
                frames: frames.collect::<SmallVec<_>>(),
                receipt: Receipt::new(&feed.in_flight, bytes.len()),
            };
            outbound.push((feed.worker, mail));
        }
        feed.sent = log.visible();
    }

    /// Sends every worker that is fed the stream one letter.
    pub(super) fn tell_feeds(&mut self, index: usize, letter: impl Fn(Arc<str>, u64) -> Mail<S>) {
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

    /// Acts on one letter. Connections that come by mail are the event loop's to register.
    pub fn receive(&mut self, mail: Mail<S>) {
        match mail {
            Mail::Adopt(conn) => {
                let key = self.adopt(*conn);
                self.resume_publish(key);
            }
            Mail::Subscribe { name, from } => {
                if let Some(&index) = self.by_name.get(&name)
                    && self.streams[index].is_owned()
                {
                    self.add_feed(index, from);
                }
            }
            Mail::Unsubscribe { name, from } => {
                if let Some(&index) = self.by_name.get(&name) {
                    self.streams[index].feeds.retain(|feed| feed.worker != from);
                }
            }
            Mail::Snapshot {
                name,
                epoch,
                from,
                snapshot,
            } => {
                self.take_snapshot(&name, epoch, from, *snapshot);
            }
            Mail::Headers {
                name,
                epoch,
                offset,
                headers,
            } => {
                if let Some(index) = self.fed(&name, epoch) {
                    self.streams[index].log.set_headers_from(offset, headers);
                }
            }
            Mail::Append {
                name,
                epoch,
                bytes,
                frames,
                receipt,
            } => {
                if let Some(index) = self.fed(&name, epoch) {
                    let stream = &mut self.streams[index];
                    stream.log.append_fed(bytes, &frames);
                    self.pacer.work().fanned_out += (frames.len() * stream.players.len()) as u64;
                    self.mark_dirty(index);
                }
                drop(receipt);
            }
            Mail::Away { name, epoch } => {
                if let Some(index) = self.fed(&name, epoch) {
                    self.streams[index].log.forget_sync();
                }
            }
            Mail::End { name, epoch } => {
                if let Some(index) = self.fed(&name, epoch) {
                    self.round(index);
                    // Its last player may have gone just now, and the stream with it.
                    if let Some(stream) = self.streams.get_mut(index) {
                        stream.source = Source::Nobody;
                        self.end_players(index);
                    }
                }
            }
            Mail::Drain => self.drain(),
        }
    }

    /// The stream `name`, when it is fed from elsewhere in its life `epoch`.
    fn fed(&self, name: &Arc<str>, epoch: u64) -> Option<usize> {
        let index = *self.by_name.get(name)?;
        let stream = &self.streams[index];
        (matches!(stream.source, Source::Fed { .. }) && stream.epoch == epoch).then_some(index)
    }

    fn take_snapshot(&mut self, name: &Arc<str>, epoch: u64, from: usize, snapshot: Snapshot) {
        let Some(&index) = self.by_name.get(name) else {
            return;
        };
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
        stream.source = Source::Fed { worker: from };
        stream.epoch = epoch;
        self.place_waiting(index);
        self.start_players(index);
        self.mark_dirty(index);
    }
}
