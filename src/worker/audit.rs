//! What workers have of each other's streams, compared with the registry: once a second each looks
//! at the streams it feeds or is fed.
//!
//! ```text
//!   registry: is it this life, and from there?       registry: has that worker players?
//!        no: asks again, or ends its players              no: feeds it no longer
//!     worker with players  <-------- letters ---------  worker with the publisher
//! ```
//!
//! Letters are not lost as long as workers live. But a panic that ends one connection may come
//! between what the registry is told and the letter that says the same, and then a player would
//! wait for ever, or a stream be sent for ever to where nobody wants it. Whatever differs twice
//! in a row is taken for that; if the letter was only late, asking again does no harm.

use super::core::Core;
use super::ids::StreamId;
use super::registry::Owner;
use super::table::{Source, Stream};
use crate::net::transport::Transport;

impl<S: Transport> Core<S> {
    /// See the module text; to be called a few times a second.
    pub(super) fn audit_streams(&mut self) {
        if !self.audit.take(self.now) {
            return;
        }
        let shared = |(index, stream): (StreamId, &Stream)| {
            (!stream.is_owned() || !stream.feeds.is_empty()).then_some(index)
        };
        let mut found = std::mem::take(&mut self.audited);
        found.extend(self.streams.iter().filter_map(shared));
        for index in found.drain(..) {
            self.contained_stream(index, |core| core.audit_stream(index));
        }
        self.audited = found;
    }

    fn audit_stream(&mut self, index: StreamId) {
        let Some(stream) = self.streams.get_mut(index) else {
            return;
        };
        let (owner, readers) = self.shared.registry.look_up(&stream.name);
        if stream.is_owned() {
            let before = stream.feeds.len();
            stream.feeds.retain_mut(|feed| {
                let is_idle = !readers.contains(feed.worker());
                !feed.doubt(is_idle)
            });
            if stream.feeds.len() < before && stream.pull.is_some() {
                // Perhaps it was fetched for them alone.
                self.look_at_stream(index, self.now);
            }
            return;
        }
        let of_now = match stream.source() {
            Source::Fed { worker } => Some(Owner {
                worker,
                epoch: stream.epoch,
            }),
            _ => None,
        };
        let is_over = of_now.is_some() && of_now != owner;
        let is_amiss =
            is_over || owner.is_some() && (of_now.is_none() || stream.upstream.is_broken());
        if !stream.upstream.doubt(is_amiss) {
            return;
        }
        if is_over {
            self.streams.set_source(index, Source::Nobody);
            self.end_players(index);
        }
        if let Some(owner) = owner
            && self.streams.contains(index)
        {
            self.subscribe(index, owner);
        }
    }
}
