//! The timer of a stream that is fetched: origins are asked in turn, and the pull ends.

use std::time::Duration;

use log::{Level, debug, info};

use super::address::NO_ADDRESS;
use super::core::Core;
use super::ids::{OriginId, StreamId};
use super::line::{State, Task};
use super::mail::Mail;
use super::pull::{Outcome, Turn};
use super::table::{Player, Source};
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
            .in_vain_since()
            .is_some_and(|since| since + give_up <= self.now)
        {
            if self.notes.allow("over", Level::Info, self.now) {
                let name = quoted(&self.streams[index].name);
                info!("stream={name} over: no origin sends it");
            }
            return self.end_pull(index);
        }
        match pull.line().state() {
            State::Waiting(_) if self.is_draining() => return self.end_pull(index),
            State::Waiting(until) if until <= self.now => self.ask_origin(index),
            State::Calling(_) => self.check_call(index, Task::Pull),
            State::Waiting(_) | State::Idle | State::Up(_) => {}
        }
        self.arm_pull(index);
    }

    /// Calls the next origin that may have the stream, or waits before they are asked again.
    fn ask_origin(&mut self, index: StreamId) {
        let uptime = self.uptime();
        let pull = self.streams[index].pull.as_ref();
        if pull.is_some_and(|pull| pull.is_round_new()) {
            self.take_query(index);
        }
        let name = self.missing_name(index);
        let Some(pull) = &mut self.streams[index].pull else {
            return;
        };
        let missing = &self.shared.missing;
        let lacks = |server, asker| missing.wait(&name, server, asker, uptime).is_some();
        match pull.turn_to_next(self.now, lacks) {
            Turn::Ask => self.ask_server(index),
            Turn::Later => {}
            Turn::RoundOver => self.pause_search(index),
        }
    }

    /// Calls the origin whose turn it is, once it may be called.
    fn ask_server(&mut self, index: StreamId) {
        if let Err(wait) = self.take_slot(index) {
            if let Some(pull) = &mut self.streams[index].pull {
                pull.put_back();
            }
            return self.wait_to_ask(index, wait);
        }
        let now = self.now;
        if let Some(pull) = &mut self.streams[index].pull {
            pull.begin_asking(now);
        }
        self.call(index, Task::Pull);
    }

    /// All origins were asked, and are again after a while.
    fn pause_search(&mut self, index: StreamId) {
        let missing_wait = self.missing_wait(index);
        let pause = self.search_pause(index);
        let stream = &mut self.streams[index];
        let is_new = stream.source() == Source::Pulling;
        let Some(pull) = &mut stream.pull else {
            return;
        };
        match pull.end_round(is_new, self.now) {
            Outcome::Over(since) => {
                self.pull_is_over(index);
                let until = since + limits::UNPUBLISH_GRACE;
                if until <= self.now {
                    return self.end_pull(index);
                }
                self.wait_to_ask(index, until - self.now);
            }
            Outcome::Missing => {
                pull.line_mut().wait(self.now + missing_wait);
                if is_new {
                    self.shorten_waits(index);
                }
            }
            // It goes on when the connection is lost.
            Outcome::NoOther => pull.line_mut().pause(),
            Outcome::Failed => {
                let failures = pull.line().failures();
                pull.line_mut().wait(self.now + pause(failures));
            }
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
        let Some(pull) = &self.streams[index].pull else {
            return limits::MISSING_KEPT;
        };
        let asker = pull.askers().current();
        let wait = |server: &OriginId| missing.wait(&name, *server, asker, now);
        let waits = pull.origins().iter().filter_map(wait);
        waits.min().unwrap_or(limits::MISSING_KEPT)
    }

    /// Each round of a stream that is fetched by query takes one that was accepted, the newest
    /// first.
    fn take_query(&mut self, index: StreamId) {
        let stream = &mut self.streams[index];
        if stream.probe_of.is_none()
            && let Some(pull) = &mut stream.pull
            && let Some(query) = self.shared.queries.next(&stream.name, pull.tries())
        {
            pull.take_query(query);
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
        let is_first = pull.line().failures() == 0 || !is_waited_for;
        let rule = &self.shared.config.pull[pull.rule().index()];
        let server = &rule.servers[pull.server().index()];
        pull.await_slot();
        let fetches = &self.shared.fetches;
        let slot = fetches.dial(&askers, &server.authority, is_first, now)?;
        pull.take_slot(slot);
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
            if let Some(since) = pull.end_idle() {
                self.lingering.end(index, since, &self.shared.admission);
            }
            return true;
        }
        let since = pull.begin_idle(self.now);
        let is_over = is_draining || since + self.shared.config.pull_linger <= self.now;
        // Nothing is fetched anew for nobody.
        let lingers = !is_over && pull.held().is_some();
        if lingers {
            self.lingering.begin(index, since, &self.shared.admission);
        }
        lingers
    }

    /// The pull is looked at again when something is due next.
    fn arm_pull(&mut self, index: StreamId) {
        let Some(stream) = self.streams.get(index) else {
            return;
        };
        let last_media = stream.meter.last_media();
        let pull = stream.pull.as_ref();
        if let Some(at) = pull.and_then(|pull| pull.due(last_media, &self.shared.config)) {
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
        let first = stream.players.iter().next().map(Player::conn);
        let first = first.and_then(|key| self.conns.get(key));
        let asker = first.map_or(NO_ADDRESS.ip(), |conn| conn.counted_ip());
        if self.begin_pull(index, asker) {
            return;
        }
        self.refuse_all_waiting(index);
    }
}
