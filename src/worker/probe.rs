//! Whether a player may have a stream that is fetched by a rule with `{query}`: an origin says so,
//! for each query.
//!
//! A player whose query no origin has accepted of late does not join the stream but a *probe* of
//! it: a stream of a name of its own, see [`Queries::probe_name`], that is fetched as any other is,
//! with that query, and that all players with the query wait for.
//!
//! ```text
//!   play, new query --> probe, Pulling --- no origin has it ---> StreamNotFound, to these alone
//!                              |
//!                         Play.Start --> nobody has the stream: the probe becomes the stream
//!                                   \--> somebody has it: the probe ends, its players join
//! ```
//!
//! So no player's query decides for others, and the first one costs one connection to the origin,
//! as without queries.
//!
//! [`Queries::probe_name`]: super::queries::Queries::probe_name

use std::sync::Arc;

use super::core::Core;
use super::ids::StreamId;
use super::mail::Mail;
use super::pressure::Pressure;
use super::registry::Claim;
use crate::net::transport::Transport;
use crate::rtmp::name::StreamName;

impl<S: Transport> Core<S> {
    /// The probe that a player who asks for the stream `name` as `asked` has to wait for; None
    /// when it may join the stream.
    pub(super) fn probe_for(&self, asked: &StreamName, name: &Arc<str>) -> Option<Arc<str>> {
        // What is published here is not an origin's to judge.
        if !self.is_by_query(&asked.app) || self.shared.registry.is_published(name) {
            return None;
        }
        let probe = self.shared.queries.probe_name(name, &asked.query);
        let is_accepted = self.shared.queries.is_accepted(&probe, self.uptime());
        (!is_accepted).then_some(probe)
    }

    /// An origin has accepted the fetch of the stream `index`; false when it was a probe and the
    /// stream is somebody else's, so that nothing more is to come.
    pub(super) fn query_accepted(&mut self, index: StreamId) -> bool {
        let now = self.uptime();
        let has_memory = self.memory.pressure() < Pressure::NoStreams && !self.is_draining();
        let stream = &mut self.streams[index];
        let Some(pull) = &mut stream.pull else {
            return true;
        };
        let (query, app) = (pull.name().query.clone(), pull.name().app.clone());
        let name = stream.probe_of.as_ref().unwrap_or(&stream.name).clone();
        if self.is_by_query(&app) {
            self.shared.queries.accept(&name, &query, now);
        }
        let stream = &mut self.streams[index];
        if stream.probe_of.is_none() {
            return true;
        }
        let registry = &self.shared.registry;
        let is_new = self.streams.find(&name).is_none();
        if is_new
            && let Claim::Own { epoch, .. } = registry.claim_fetch(&name, self.worker, has_memory)
        {
            self.probe_becomes(index, name, epoch);
            return true;
        }
        if let Some(pull) = &mut self.streams[index].pull {
            pull.accept();
        }
        self.look_at_stream(index, self.now);
        false
    }

    /// The probe `index` is the stream `name` from now on, which this worker has claimed.
    fn probe_becomes(&mut self, index: StreamId, name: Arc<str>, epoch: u64) {
        let probe = self.streams.rename(index, name.clone());
        let registry = &self.shared.registry;
        let stream = &mut self.streams[index];
        let (_, mut readers) = registry.look_up(&probe);
        readers.remove(self.worker);
        registry.release(&probe, self.worker);
        registry.leave(&probe, self.worker);
        if !stream.players.is_empty() {
            registry.join(&name, self.worker);
        }
        stream.epoch = epoch;
        stream.probe_of = None;
        if let Some(pull) = &mut stream.pull {
            pull.askers_mut().clear_elsewhere();
        }
        if let Some(relays) = &mut stream.relays {
            relays.forget_marker();
        }
        // Those that wait for the probe find that its query is accepted.
        for worker in readers.iter() {
            let name = probe.clone();
            self.outbox.send(worker, Mail::NotLive { name });
        }
        self.recount_vias(index);
        self.look_at_stream(index, self.now);
    }
}
