//! The timer of a stream that is fetched: origins are asked in turn, and the pull ends.

use std::time::Duration;

use log::{Level, debug, info};

use super::address::NO_ADDRESS;
use super::core::Core;
use super::held::{Early, Held};
use super::ids::{OriginId, StreamId};
use super::line::{State, Task};
use super::mail::Mail;
use super::pull::PutOff;
use super::table::Source;
use crate::edge::backoff;
use crate::limits;
use crate::logging::quoted;
use crate::net::transport::Transport;

impl<S: Transport> Core<S> {
    /// Goes on with a pull whose time has come, or ends it.
    pub(super) fn check_pull(&mut self, index: StreamId) {
        if self.end_probe(index) {
            return;
        }
        if !self.is_pull_wanted(index) {
            let name = quoted(&self.streams[index].name);
            debug!("stream={name} is wanted no longer");
            return self.end_pull(index);
        }
        self.charge_pull(index);
        self.bound_lingering();
        if !self.streams.contains(index) {
            return;
        }
        self.check_media(index);
        let Some(pull) = &self.streams[index].pull else {
            return;
        };
        let give_up = self.shared.config.pull_give_up;
        if pull
            .all_asked
            .is_some_and(|since| since + give_up <= self.now)
        {
            if self.notes.allow("over", Level::Info, self.now) {
                let name = quoted(&self.streams[index].name);
                info!("stream={name} over: no origin sends it");
            }
            return self.end_pull(index);
        }
        match pull.line.state() {
            State::Waiting(_) if self.is_draining() => return self.end_pull(index),
            State::Waiting(until) if until <= self.now => self.ask_origin(index),
            State::Calling(_) => self.check_call(index, Task::Pull),
            State::Waiting(_) | State::Idle | State::Up(_) => {}
        }
        self.arm_pull(index);
    }

    /// Calls the next origin that may have the stream, or waits before they are asked again.
    fn ask_origin(&mut self, index: StreamId) {
        let now = self.uptime();
        let pull = self.streams[index].pull.as_ref();
        if pull.is_some_and(|pull| pull.tried == 0) {
            self.take_query(index);
        }
        let name = self.missing_name(index);
        loop {
            let Some(pull) = &mut self.streams[index].pull else {
                return;
            };
            if !pull.line.is_redirected() {
                let Some(server) = pull.next_origin() else {
                    return self.pause_search(index);
                };
                let held = pull.held.as_ref().filter(|held| held.server() == server);
                if let Some(at) = held.and_then(Held::again_at)
                    && at > self.now
                {
                    pull.put_back();
                    pull.line.wait(at);
                    return;
                }
                pull.server = server;
                let missing = &self.shared.missing;
                // Whether the stream is over is for answers of now.
                if pull.over_since.is_none()
                    && missing.wait(&name, server, pull.asker, now).is_some()
                {
                    pull.tried += 1;
                    pull.missing += 1;
                    continue;
                }
            }
            return self.ask_server(index);
        }
    }

    /// Calls the origin whose turn it is, once it may be called.
    fn ask_server(&mut self, index: StreamId) {
        if let Err(wait) = self.take_slot(index) {
            if let Some(pull) = &mut self.streams[index].pull
                && !pull.line.is_redirected()
            {
                pull.put_back();
            }
            return self.wait_to_ask(index, wait);
        }
        let now = self.now;
        if let Some(pull) = &mut self.streams[index].pull {
            pull.put_off = None;
            pull.tried += 1;
            pull.early = Early::default();
            if pull.left == 0 {
                pull.all_asked.get_or_insert(now);
            }
        }
        self.call(index, Task::Pull);
    }

    /// All origins were asked, and are again after a while.
    fn pause_search(&mut self, index: StreamId) {
        let missing_wait = self.missing_wait(index);
        let dice = self.next_seed(u64::from(index.slot()));
        let failures = self.failures(index, Task::Pull);
        let backoff = backoff::delay(failures, dice).min(self.search_pause_max());
        let stream = &mut self.streams[index];
        let is_new = stream.source() == Source::Pulling;
        let Some(pull) = &mut stream.pull else {
            return;
        };
        pull.all_asked.get_or_insert(self.now);
        let all_lack_it = pull.tried > 0 && pull.missing == pull.tried && pull.held.is_none();
        let is_in_vain = pull.tried == 0 && pull.held.is_some();
        let over_since = pull.over_since.filter(|_| all_lack_it && !is_new);
        pull.begin_round();
        pull.put_off = match all_lack_it {
            true => Some(PutOff::Missing),
            false => pull.put_off.filter(|why| *why == PutOff::Share),
        };
        if let Some(since) = over_since {
            self.pull_is_over(index);
            let until = since + limits::UNPUBLISH_GRACE;
            if until <= self.now {
                return self.end_pull(index);
            }
            return self.wait_to_ask(index, until - self.now);
        }
        match all_lack_it {
            // There is no other: it goes on when the connection is lost.
            _ if is_in_vain => pull.line.pause(),
            true => pull.line.wait(self.now + missing_wait),
            false => pull.line.wait(self.now + backoff),
        }
        if all_lack_it && is_new {
            self.shorten_waits(index);
        }
    }

    /// Origins are asked for the stream again after `wait`.
    fn wait_to_ask(&mut self, index: StreamId, wait: Duration) {
        let until = self.now + wait;
        if let Some(line) = self.line(index, Task::Pull) {
            line.wait(until);
        }
        self.look_at_stream(index, until);
    }

    /// How long until the first of the origins that do not have the stream is asked again.
    fn missing_wait(&self, index: StreamId) -> Duration {
        let now = self.uptime();
        let name = self.missing_name(index);
        let missing = &self.shared.missing;
        let pull = self.streams[index].pull.iter();
        let waits = pull.flat_map(|pull| {
            let of = |server: &OriginId| missing.wait(&name, *server, pull.asker, now);
            pull.order.iter().filter_map(of)
        });
        waits.min().unwrap_or(limits::MISSING_KEPT)
    }

    /// Each round of a stream that is fetched by query takes one that was accepted, the newest
    /// first.
    fn take_query(&mut self, index: StreamId) {
        let stream = &mut self.streams[index];
        if stream.probe_of.is_none()
            && let Some(pull) = &mut stream.pull
            && let Some(query) = self.shared.queries.next(&stream.name, pull.tries)
        {
            pull.name.query = query;
            pull.tries += 1;
        }
    }

    /// Takes the right to connect to the next origin, for one of those that want the stream; else
    /// how long to wait for it.
    fn take_slot(&mut self, index: StreamId) -> Result<(), Duration> {
        let now = self.uptime();
        let askers = self.askers(index);
        let stream = &mut self.streams[index];
        let is_waited_for = stream.source() == Source::Pulling;
        let Some(pull) = &mut stream.pull else {
            return Ok(());
        };
        // What players have had already comes before what nobody may ever have.
        let is_first = pull.line.failures() == 0 || !is_waited_for;
        let server = &self.shared.config.pull[pull.rule.index()].servers[pull.server.index()];
        pull.line.set_slot(None);
        pull.put_off = Some(PutOff::Share);
        let fetches = &self.shared.fetches;
        let slot = fetches.dial(&askers, &server.authority, is_first, now)?;
        pull.asker = slot.address();
        pull.line.set_slot(Some(slot));
        Ok(())
    }

    /// All origins say that the stream is over, or that there is none: nobody begins to play it
    /// until one has it again.
    fn pull_is_over(&mut self, index: StreamId) {
        if self.streams.set_ended(index) {
            let ended = true;
            self.tell_feeds(index, |name, epoch| Mail::Away { name, epoch, ended });
            self.note_end(index, limits::UNPUBLISH_GRACE);
        }
    }

    /// Whether somebody wants the stream, or has until a moment ago.
    fn is_pull_wanted(&mut self, index: StreamId) -> bool {
        let is_draining = self.is_draining();
        let stream = &mut self.streams[index];
        let Some(pull) = &mut stream.pull else {
            return true;
        };
        let (_, mut readers) = self.shared.registry.look_up(&stream.name);
        readers.remove(self.worker);
        if !stream.players.is_empty() || !readers.is_empty() {
            if let Some(since) = pull.idle_since.take() {
                self.lingering.end(index, since, &self.shared.admission);
            }
            return true;
        }
        let since = *pull.idle_since.get_or_insert(self.now);
        let is_over = is_draining || since + self.shared.config.pull_linger <= self.now;
        // Nothing is fetched anew for nobody.
        let lingers = !is_over && pull.held.is_some();
        if lingers {
            self.lingering.begin(index, since, &self.shared.admission);
        }
        lingers
    }

    /// The pull is looked at again when something is due next.
    fn arm_pull(&mut self, index: StreamId) {
        let config = &self.shared.config;
        let Some(stream) = self.streams.get(index) else {
            return;
        };
        let Some(pull) = &stream.pull else {
            return;
        };
        let due = pull.line.due(config.pull_timeout);
        let media_due = match pull.dark_since {
            None => Some(stream.meter.last_media() + config.pull_timeout),
            Some(_) => None,
        };
        let over = pull.all_asked.map(|since| since + config.pull_give_up);
        let idle = pull.idle_since.map(|since| since + config.pull_linger);
        let times = [due, media_due, over, idle];
        if let Some(at) = times.into_iter().flatten().min() {
            self.look_at_stream(index, at);
        }
    }

    /// Another worker that was asked for the stream does not have it: whoever waits for it is
    /// told, unless it is worth asking an origin from here.
    pub(super) fn not_live(&mut self, index: StreamId) {
        let stream = &self.streams[index];
        if stream.source() != Source::Nobody || stream.asked.is_none() || self.end_probe(index) {
            return;
        }
        let stream = &self.streams[index];
        let first = stream.players.iter().next().map(|player| player.conn);
        let first = first.and_then(|key| self.conns.get(key));
        let asker = first.map_or(NO_ADDRESS.ip(), |conn| conn.counted_ip());
        if self.begin_pull(index, asker) {
            return;
        }
        self.refuse_all_waiting(index);
    }
}
