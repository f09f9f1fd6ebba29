//! Mail from other workers: their streams, and what they want of ours.

use std::sync::Arc;

use super::core::Core;
use super::ids::{StreamId, WorkerId};
use super::mail::Mail;
use super::registry::Owner;
use super::table::{Source, Tally, Upstream};
use crate::net::transport::Transport;
use crate::stream::log::{Snapshot, StreamLog};

impl<S: Transport> Core<S> {
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
                self.outbox.send(from, Mail::NotLive { name });
            }
            (None, _) => {}
        }
    }

    /// Acts on a letter about the stream `index`.
    pub(super) fn take(&mut self, index: StreamId, mail: Mail<S>) {
        match mail {
            Mail::Subscribe { name, epoch, from } => self.subscribed(index, name, epoch, from),
            Mail::Unsubscribe { epoch, from, .. } => self.unsubscribed(index, epoch, from),
            Mail::NotLive { .. } => self.not_live(index),
            Mail::Wanted {
                epoch, from, asker, ..
            } => {
                if self.is_owned_in(index, epoch) {
                    self.pull_is_wanted_from(index, from, asker);
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
                    stream.upstream.count_headers();
                    // Of a stream without a publisher none change.
                    self.feed_is_back(index);
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
                    self.streams[index].upstream.set_ended(ended);
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
        let mut log = StreamLog::from_snapshot(self.settings.log_limits(), snapshot);
        std::mem::swap(&mut stream.log, &mut log);
        log.recycle(&mut self.blocks);
        stream.is_end_told = false;
        stream.upstream = Upstream::new(changes);
        if stream.epoch != epoch {
            stream.tally = Tally::new(self.now);
        }
        stream.epoch = epoch;
        self.streams.set_source(index, Source::Fed { worker: from });
        self.place_waiting(index);
        self.start_players(index);
        self.mark_dirty(index);
    }

    /// Whether a letter goes on where the stream is here: with so many changes of headers before
    /// it, and from offset `start` on. If not, the stream is asked for anew.
    fn goes_on(&mut self, index: StreamId, changes: u64, start: Option<u64>) -> bool {
        let stream = &mut self.streams[index];
        let was_broken = stream.upstream.is_broken();
        if stream.upstream.goes_on(changes, start, stream.log.end()) {
            return true;
        }
        if !was_broken && let Source::Fed { worker } = stream.source() {
            let epoch = stream.epoch;
            self.subscribe(index, Owner { worker, epoch });
        }
        false
    }

    /// Something has come of a stream from elsewhere: where its publisher had ended it, those that
    /// have come since may begin.
    fn feed_is_back(&mut self, index: StreamId) {
        if self.streams[index].upstream.revive() {
            self.start_players(index);
        }
    }

    /// Whether the stream is fed from elsewhere, in its life `epoch`.
    fn is_fed_in(&self, index: StreamId, epoch: u64) -> bool {
        let stream = &self.streams[index];
        matches!(stream.source(), Source::Fed { .. }) && stream.epoch == epoch
    }

    /// Worker `from` has no players of the stream any more.
    fn unsubscribed(&mut self, index: StreamId, epoch: u64, from: WorkerId) {
        if self.is_owned_in(index, epoch) {
            let stream = &mut self.streams[index];
            stream.feeds.retain(|feed| feed.worker() != from);
            self.pull_is_left_from(index, from);
        }
    }

    /// Worker `from` has players of the stream and asks for it.
    fn subscribed(&mut self, index: StreamId, name: Arc<str>, epoch: u64, from: WorkerId) {
        if !self.is_owned_in(index, epoch) {
            self.outbox.send(from, Mail::NotLive { name });
        } else if self.streams[index].may_begin() {
            self.feed_from_snapshot(index, from);
            self.pull_is_played(index);
        }
        // While it is being fetched, or its publisher has ended it and may be back, it is fed to
        // all that wait once there is something.
    }
}
