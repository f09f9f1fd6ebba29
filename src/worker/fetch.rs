//! A stream is to be fetched from an origin.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use log::warn;

use super::charge::has_room;
use super::core::Core;
use super::ids::{OriginId, PullRuleId, StreamId, WorkerId};
use super::pressure::Pressure;
use super::pull::{Pull, PutOff};
use super::registry::Claim;
use super::shared::Shared;
use super::table::{Source, Tally};
use crate::edge::order;
use crate::limits;
use crate::net::transport::Transport;

impl<S: Transport> Core<S> {
    /// The rule by which streams of `app` are fetched.
    pub(super) fn pull_rule(&self, app: &str) -> Option<PullRuleId> {
        let rules = &self.shared.config.pull;
        let rule = rules.iter().position(|rule| rule.is_for(app));
        rule.map(PullRuleId::new)
    }

    /// Fetches a stream that nobody has, for a player of `asker`; false when it is not to be had.
    pub(super) fn begin_pull(&mut self, index: StreamId, asker: IpAddr) -> bool {
        let Some(name) = self.streams[index].asked.clone() else {
            return false;
        };
        let Some(rule) = self.pull_rule(name.judged_app()) else {
            return false;
        };
        let key = self.streams[index].name.clone();
        if self.shared.bans.of_stream(&key, self.uptime()).is_some() {
            return false;
        }
        let has_memory = self.memory.pressure() < Pressure::NoStreams && !self.is_draining();
        let claim = self
            .shared
            .registry
            .claim_fetch(&key, self.worker, has_memory);
        let epoch = match claim {
            Claim::Own { epoch, .. } => epoch,
            Claim::Elsewhere { .. } => {
                if let (Some(owner), _) = self.shared.registry.look_up(&key) {
                    self.subscribe(index, owner);
                    self.want_from_other(index, owner, asker);
                }
                return true;
            }
            Claim::Full | Claim::AddressFull => {
                self.gauges.refused_fetches += 1;
                return false;
            }
        };
        let asker = self.shared.admission.key_of(asker);
        let fetches = &self.shared.fetches;
        let Some(wait) = fetches.begin(asker, self.uptime(), limits::FETCH_DELAY_MAX) else {
            self.gauges.refused_fetches += 1;
            if self.notes.allow_rarely("refused_fetches", self.now) {
                warn!("fetches are refused: too many of one address");
            }
            self.shared.registry.release(&key, self.worker);
            return false;
        };
        let servers = &self.shared.config.pull[rule.index()].servers;
        let whole = self.streams[index].probe_of.as_ref().unwrap_or(&key);
        let authorities = servers.iter().map(|server| &*server.authority);
        let order = order::order(whole, authorities);
        let order = order.into_iter().map(OriginId::new).collect();
        let stream = &mut self.streams[index];
        stream.epoch = epoch;
        stream.tally = Tally::new(self.now);
        stream.intake.count_anew();
        let begin_at = self.now + wait;
        let pull = Pull::new((rule, *name), asker, order, (begin_at, self.now));
        stream.pull = Some(Box::new(pull));
        self.streams.set_source(index, Source::Pulling);
        // Once the player is in its place: it may be told at once that there is no such stream.
        self.look_at_stream(index, begin_at);
        true
    }

    /// A player of `asker` comes for a stream whose fetch is put off: that those who asked before
    /// have no room is nothing to this one; and what no origin had a while ago may be there now.
    pub(super) fn hurry_pull(&mut self, index: StreamId, asker: IpAddr) {
        let (now, uptime) = (self.now, self.uptime());
        let shared = self.shared.clone();
        let asker = shared.admission.key_of(asker);
        let name = self.missing_name(index);
        let Some(pull) = &mut self.streams[index].pull else {
            return;
        };
        let Some((put_off, within)) = pull.put_off(now) else {
            return;
        };
        let Shared {
            missing, fetches, ..
        } = &*shared;
        let may_ask = |server: &OriginId| missing.wait(&name, *server, asker, uptime).is_none();
        let begun_by = pull.askers().begun_by();
        let wait = match put_off {
            PutOff::Rate if asker == begun_by => None,
            PutOff::Rate => fetches.take_over(begun_by, asker, uptime, within),
            PutOff::Missing if !pull.origins().iter().any(may_ask) => None,
            PutOff::Missing => fetches.begin(asker, uptime, Duration::ZERO),
            PutOff::Share => has_room(&shared, asker).then_some(Duration::ZERO),
        };
        let Some(wait) = wait else {
            return;
        };
        pull.hurry(asker, wait, now);
        self.look_at_stream(index, now + wait);
    }

    /// Worker `from` has a player of `asker` that waits for the fetched stream.
    pub(super) fn pull_is_wanted_from(&mut self, index: StreamId, from: WorkerId, asker: IpAddr) {
        let key = self.shared.admission.key_of(asker);
        if let Some(pull) = &mut self.streams[index].pull {
            pull.askers_mut().want_elsewhere(from, key);
        }
        self.hurry_pull(index, asker);
        self.charge_pull(index);
    }

    /// Worker `from` has no players of the fetched stream any more.
    pub(super) fn pull_is_left_from(&mut self, index: StreamId, from: WorkerId) {
        if let Some(pull) = &mut self.streams[index].pull {
            pull.askers_mut().leave_elsewhere(from);
            self.replace_asker(index);
            self.look_at_stream(index, self.now);
        }
    }

    /// What the stream is called where it is remembered that origins do not have it: with the
    /// query that they were asked with, if they are asked with one.
    pub(super) fn missing_name(&self, index: StreamId) -> Arc<str> {
        let stream = &self.streams[index];
        match &stream.pull {
            Some(pull) if stream.probe_of.is_none() && self.is_by_query(&pull.name().app) => {
                let queries = &self.shared.queries;
                queries.probe_name(&stream.name, &pull.name().query)
            }
            _ => stream.name.clone(),
        }
    }

    /// Whether streams of `app` are fetched with the query of a player.
    pub(super) fn is_by_query(&self, app: &str) -> bool {
        let rule = self.pull_rule(app);
        rule.is_some_and(|rule| self.shared.config.pull[rule.index()].takes_query())
    }
}
