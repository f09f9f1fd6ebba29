//! Streams fetched from an origin. The worker whose player asked first owns the stream, as if it
//! had been published there: once for the process, however many workers and players want it.
//!
//! ```text
//!            first play                    media                     line lost
//!   Nobody ------------> Pulling ------------------> Publisher ------------------> Away
//!      ^                    |                            ^    media again           |
//!      |  nobody has it     |                            +--------------------------+
//!      +--------------------+                            |                          |
//!      +-- nobody wants it for --pull-linger ------------+                          |
//!      +-- no media for --pull-give-up ---------------------------------------------+
//! ```
//!
//! Origins are asked in the order of their hash for the stream; each that fails or does not have
//! it makes room for the next, and after the last there is a pause. Only [`Core::check_pull`],
//! from a timer, ends a pull: the rest writes down what happened.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{Level, debug, info, log, warn};

use super::admission::Key;
use super::conn::{CloseReason, Publication};
use super::core::{Core, NO_ADDRESS, Shared};
use super::fault::Midst;
use super::ingress::Flow;
use super::line::{Line, State, Task};
use super::mail::Mail;
use super::memory::Pressure;
use super::registry::{Claim, WorkerSet};
use super::session::Answer;
use super::table::{Form, Meter, Source, Tally};
use super::timers::Timer;
use crate::edge::hops::Crowd;
use crate::edge::{backoff, order};
use crate::limits;
use crate::logging::quoted;
use crate::net::transport::Transport;
use crate::rtmp::name::StreamName;

/// A stream that is fetched, as its owner keeps it.
#[derive(Debug)]
pub(super) struct Pull {
    /// Index of the rule.
    pub(super) rule: usize,
    /// The stream, with the query of the player that asked first.
    pub(super) name: StreamName,
    /// The address of that player, while addresses are counted.
    asker: Option<Key>,
    pub(super) line: Line,
    /// The origins in the order in which they are asked.
    order: Vec<usize>,
    /// Which of them is asked.
    at: usize,
    /// How many were asked since the last pause, ...
    tried: usize,
    /// ... and how many of them do not have the stream.
    missing: usize,
    /// All of them said so, and it waits for the time to ask again.
    is_missing: bool,
    /// It is a probe whose query an origin has accepted.
    pub(super) is_accepted: bool,
    /// How often origins were asked for it.
    tries: usize,
    /// Since when there is no media; None while there is.
    pub(super) dark_since: Option<Instant>,
    /// Since when nobody wants it.
    pub(super) idle_since: Option<Instant>,
    /// When an origin first said that its publisher has ended it; None while there is media.
    over_since: Option<Instant>,
}

impl Pull {
    /// Index of the origin that is asked, in the rule.
    pub(super) fn server(&self) -> usize {
        self.order[self.at]
    }

    /// Goes on to the next origin.
    fn turn_away(&mut self) {
        self.tried += 1;
        self.at = (self.at + 1) % self.order.len();
    }
}

impl<S: Transport> Core<S> {
    /// The rule by which streams of `app` are fetched.
    pub(super) fn pull_rule(&self, app: &str) -> Option<usize> {
        let rules = &self.shared.config.pull;
        rules.iter().position(|rule| rule.is_for(app))
    }

    /// Fetches a stream that nobody has, for a player of `asker`; false when it is not to be had.
    pub(super) fn begin_pull(&mut self, index: usize, asker: IpAddr) -> bool {
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
        let has_memory = self.pressure < Pressure::NoStreams && !self.draining;
        let claim = self
            .shared
            .registry
            .claim_fetch(&key, self.worker, has_memory);
        let epoch = match claim {
            Claim::Own { epoch, .. } => epoch,
            Claim::Elsewhere { .. } => {
                if let (Some(owner), _) = self.shared.registry.look_up(&key) {
                    self.subscribe(index, owner);
                }
                return true;
            }
            Claim::Full => {
                self.gauges.refused_fetches += 1;
                return false;
            }
        };
        let asker = self.shared.admission.key_of(asker);
        let Some(wait) = self.shared.fetches.begin(asker, self.uptime()) else {
            self.gauges.refused_fetches += 1;
            if self.notes.allow_rarely("refused_fetches", self.now) {
                warn!("fetches are refused: too many of one address");
            }
            self.shared.registry.release(&key, self.worker);
            return false;
        };
        self.faults.at(Midst::Line);
        let servers = &self.shared.config.pull[rule].servers;
        let whole = self.streams[index].probe_of.as_ref().unwrap_or(&key);
        let order = order::order(whole, servers.iter().map(|server| &*server.authority));
        let stream = &mut self.streams[index];
        stream.epoch = epoch;
        stream.tally = Tally::new(self.now);
        stream.intake.count_anew();
        stream.source = Source::Pulling;
        let begin_at = self.now + wait;
        stream.pull = Some(Box::new(Pull {
            rule,
            name: *name,
            asker,
            line: Line::new(begin_at),
            order,
            at: 0,
            tried: 0,
            missing: 0,
            is_missing: false,
            is_accepted: false,
            tries: 0,
            dark_since: Some(self.now),
            idle_since: None,
            over_since: None,
        }));
        // Once the player is in its place: it may be told at once that there is no such stream.
        self.look_at_stream(index, begin_at);
        true
    }

    /// A player of `asker` comes for a stream that no origin had a while ago: it may be there by
    /// now, and those that asked before do not decide that it is not.
    pub(super) fn hurry_pull(&mut self, index: usize, asker: IpAddr) {
        let now = self.uptime();
        let asker = self.shared.admission.key_of(asker);
        let name = self.missing_name(index);
        let Some(pull) = &mut self.streams[index].pull else {
            return;
        };
        let Shared {
            missing, fetches, ..
        } = &*self.shared;
        let may_ask = |server: &usize| missing.wait(&name, *server, asker, now).is_none();
        if pull.is_missing
            && pull.order.iter().any(may_ask)
            && fetches.begin(asker, now) == Some(Duration::ZERO)
        {
            pull.asker = asker;
            pull.is_missing = false;
            pull.line.state = State::Waiting(self.now);
            self.look_at_stream(index, self.now);
        }
    }

    /// Calls the next origin that may have the stream, or waits before they are asked again.
    fn ask_origin(&mut self, index: usize) {
        let now = self.uptime();
        loop {
            let stream = &mut self.streams[index];
            let is_new = stream.source == Source::Pulling;
            let Some(pull) = &mut stream.pull else {
                return;
            };
            let asker = pull.asker;
            pull.is_missing = false;
            if pull.tried == pull.order.len() {
                let all_lack_it = pull.missing == pull.tried;
                let over_since = pull.over_since.filter(|_| all_lack_it && !is_new);
                pull.tried = 0;
                pull.missing = 0;
                pull.is_missing = all_lack_it;
                let wait = if let Some(since) = over_since {
                    let until = since + limits::UNPUBLISH_GRACE;
                    if until <= self.now {
                        return self.end_pull(index);
                    }
                    self.pull_is_over(index);
                    until - self.now
                } else if all_lack_it {
                    self.missing_wait(index)
                } else {
                    let dice = self.next_seed(index as u64);
                    backoff::delay(self.failures(index, Task::Pull), dice)
                };
                self.wait_to_ask(index, wait);
                if all_lack_it && is_new {
                    self.shorten_waits(index);
                }
                return;
            }
            let (server, is_first) = (pull.server(), pull.tried == 0);
            if is_first {
                self.take_query(index);
            }
            let name = self.missing_name(index);
            if self
                .shared
                .missing
                .wait(&name, server, asker, now)
                .is_none()
            {
                match self.take_slot(index) {
                    Ok(()) => self.call(index, Task::Pull),
                    Err(wait) => self.wait_to_ask(index, wait),
                }
                return;
            }
            if let Some(pull) = &mut self.streams[index].pull {
                pull.turn_away();
                pull.missing += 1;
            }
        }
    }

    /// Origins are asked for the stream again after `wait`.
    fn wait_to_ask(&mut self, index: usize, wait: Duration) {
        let until = self.now + wait;
        if let Some(line) = self.line(index, Task::Pull) {
            line.state = State::Waiting(until);
        }
        self.look_at_stream(index, until);
    }

    /// How long until the first of the origins that do not have the stream is asked again.
    fn missing_wait(&self, index: usize) -> Duration {
        let now = self.uptime();
        let name = self.missing_name(index);
        let missing = &self.shared.missing;
        let pull = self.streams[index].pull.iter();
        let waits = pull.flat_map(|pull| {
            let of = |server: &usize| missing.wait(&name, *server, pull.asker, now);
            pull.order.iter().filter_map(of)
        });
        waits.min().unwrap_or(limits::MISSING_KEPT)
    }

    /// What the stream is called where it is remembered that origins do not have it: with the
    /// query that they were asked with, if they are asked with one.
    fn missing_name(&self, index: usize) -> Arc<str> {
        let stream = &self.streams[index];
        match &stream.pull {
            Some(pull) if stream.probe_of.is_none() && self.is_by_query(&pull.name.app) => {
                let queries = &self.shared.queries;
                queries.probe_name(&stream.name, &pull.name.query)
            }
            _ => stream.name.clone(),
        }
    }

    /// Each round of a stream that is fetched by query takes one that was accepted, the newest first.
    fn take_query(&mut self, index: usize) {
        let stream = &mut self.streams[index];
        if stream.probe_of.is_none()
            && let Some(pull) = &mut stream.pull
            && let Some(query) = self.shared.queries.next(&stream.name, pull.tries)
        {
            pull.name.query = query;
            pull.tries += 1;
        }
    }

    /// Takes the right to connect to the next origin; else how long to wait for it.
    fn take_slot(&mut self, index: usize) -> Result<(), Duration> {
        let now = self.uptime();
        let stream = &mut self.streams[index];
        let Some(pull) = &mut stream.pull else {
            return Ok(());
        };
        // What players have had already comes before what nobody may ever have.
        let is_first = pull.line.failures == 0 || stream.source != Source::Pulling;
        let server = &self.shared.config.pull[pull.rule].servers[pull.server()];
        pull.line.slot = None;
        let fetches = &self.shared.fetches;
        pull.line.slot = Some(fetches.dial(pull.asker, &server.authority, is_first, now)?);
        Ok(())
    }

    /// All origins say that the stream is over, or that there is none: nobody begins to play it
    /// until one has it again.
    fn pull_is_over(&mut self, index: usize) {
        if let Source::Away { ended, .. } = &mut self.streams[index].source
            && !std::mem::replace(ended, true)
        {
            let ended = true;
            self.tell_feeds(index, |name, epoch| Mail::Away { name, epoch, ended });
            self.note_end(index, limits::UNPUBLISH_GRACE);
        }
    }

    /// The origin goes while the relay stops: nobody is asked for the stream any more.
    pub(super) fn pull_lost_in_drain(&mut self, index: usize) {
        let now = self.now;
        if let Some(stream) = self.streams.get_mut(index)
            && let Some(pull) = &mut stream.pull
        {
            pull.dark_since.get_or_insert(now);
            pull.line.state = State::Waiting(now);
            self.look_at_stream(index, now);
        }
    }

    /// No origin has the stream: who waits for it does so no longer than for one that may be
    /// published here.
    fn shorten_waits(&mut self, index: usize) {
        let stream = &self.streams[index];
        let Some(begun) = stream.pull.as_ref().and_then(|pull| pull.dark_since) else {
            return;
        };
        for slot in 0..self.streams[index].players.len() {
            let player = &self.streams[index].players[slot];
            let (key, msid) = (player.conn, player.msid);
            let until = begun + self.patience(key, index);
            let plays = &mut self.conns[key].plays;
            let its = plays
                .iter_mut()
                .find(|play| play.stream == index && play.msid == msid);
            if let Some(wait) = its.and_then(|play| play.wait_until.as_mut())
                && *wait > until
            {
                *wait = until;
                self.arm(key, until);
            }
        }
    }

    /// How long a play of connection `key` may come before the publish of its stream. A relay that
    /// plays here for its own players has others to ask; where a publisher has just ended the
    /// stream, hardly anybody is about to publish it; and nobody may while the relay stops.
    pub(super) fn patience(&self, key: usize, index: usize) -> Duration {
        if self.draining || self.is_relay(key) {
            return Duration::ZERO;
        }
        let wait = self.shared.config.play_wait;
        match self.has_ended(index) {
            true => wait.min(limits::ENDED_WAIT),
            false => wait,
        }
    }

    /// Whether connection `key` is that of a relay which plays here for its own players.
    pub(super) fn is_relay(&self, key: usize) -> bool {
        self.conns.get(key).is_some_and(|conn| conn.via.is_some())
    }

    /// Counts a player of the stream by what it says of relays: an origin that is asked for the
    /// stream, from whatever worker, is told, see hops.rs.
    pub(super) fn enter_crowd(&mut self, index: usize, slot: usize) {
        if self.shared.config.pull.is_empty() {
            return;
        }
        let stream = &mut self.streams[index];
        let player = &mut stream.players[slot];
        let Some(conn) = self.conns.get(player.conn) else {
            return;
        };
        let address = self.shared.admission.key_of(conn.counted_ip());
        player.is_counted = stream.crowd.enter(address, conn.via.as_deref());
        if conn.via.is_some() || stream.crowd.direct() == 1 {
            self.tell_crowd(index);
        }
    }

    /// A player of the stream has gone that was counted like that.
    pub(super) fn leave_crowd(&mut self, index: usize, key: usize) {
        let Some(conn) = self.conns.get(key) else {
            return;
        };
        let stream = &mut self.streams[index];
        let address = self.shared.admission.key_of(conn.counted_ip());
        stream.crowd.leave(&address, conn.via.as_deref());
        if conn.via.is_some() || stream.crowd.direct() == 0 {
            self.tell_crowd(index);
        }
    }

    /// Counts all players of the stream anew.
    pub(super) fn recount_crowd(&mut self, index: usize) {
        self.streams[index].crowd = Crowd::default();
        for slot in 0..self.streams[index].players.len() {
            if self.streams[index].players[slot].form != Form::Publish {
                self.enter_crowd(index, slot);
            }
        }
        self.tell_crowd(index);
    }

    fn tell_crowd(&mut self, index: usize) {
        let stream = &mut self.streams[index];
        let marker = stream.crowd.marker();
        if marker != stream.marker {
            let registry = &self.shared.registry;
            registry.set_marker(&stream.name, self.worker, marker.clone());
            stream.marker = marker;
        }
    }

    /// What an origin says.
    pub(super) fn pull_answered(&mut self, key: usize, index: usize, answer: Answer) -> Flow {
        let is_playing = !self.conns[key].publications.is_empty();
        let (code, description) = match answer {
            Answer::Other => return Flow::Continue,
            Answer::Refused {
                redirect: Some(to), ..
            } => return self.follow_redirect(key, &to, false),
            Answer::Refused { why, is_loop, .. } => {
                // It waits for the stream itself, through this relay: it does not have it.
                if is_loop && let Some(pull) = &mut self.streams[index].pull {
                    pull.missing += 1;
                }
                return refused(&why);
            }
            Answer::Status {
                code,
                redirect: Some(to),
                ..
            } if !is_playing => {
                // Servers may refuse play with a code that is about connect.
                let session = self.conns[key].session.client();
                let is_asked = session.is_some_and(|client| client.msid().is_some());
                let for_stream = is_asked && !code.ends_with("ReconnectRequest");
                return self.follow_redirect(key, &to, for_stream);
            }
            Answer::Status {
                code, description, ..
            } => (code, description),
        };
        match code.as_str() {
            "NetStream.Play.Start" => {
                self.pull_accepted(key, index);
                Flow::Continue
            }
            "NetStream.Play.StreamNotFound" | "NetStream.Play.Failed" => {
                let now = self.uptime();
                let name = self.missing_name(index);
                if let Some(pull) = &mut self.streams[index].pull {
                    pull.missing += 1;
                    let (server, asker) = (pull.server(), pull.asker);
                    self.shared.missing.remember(name, server, asker, now);
                }
                refused(&code)
            }
            "NetStream.Play.UnpublishNotify" | "NetStream.Play.Complete" => {
                if let Some(pull) = &mut self.streams[index].pull {
                    pull.missing += 1;
                    pull.over_since.get_or_insert(self.now);
                }
                Flow::Close(CloseReason::StreamEnded)
            }
            // It is about to stop, or says where to go instead: another one has it as well.
            "NetConnection.Connect.ReconnectRequest" => refused(&code),
            _ if code.starts_with("NetConnection.Connect.") || code.ends_with(".Failed") => {
                refused(&format!("{code} {description}"))
            }
            _ => Flow::Continue,
        }
    }

    /// Media may come from here on; the stream is live with the first of it.
    fn pull_accepted(&mut self, key: usize, index: usize) {
        let conn = &mut self.conns[key];
        let Some(msid) = conn.session.client().and_then(|client| client.msid()) else {
            return;
        };
        if !conn.publications.is_empty() || !self.query_accepted(index) {
            return;
        }
        let conn = &mut self.conns[key];
        conn.publications.push(Publication {
            msid,
            stream: index,
        });
        self.faults.at(Midst::Line);
        self.new_publishers.push(key);
        let bytes_in = conn.bytes_in;
        let stream = &mut self.streams[index];
        let away_ms = stream.away_ms(self.now);
        stream.intake.begin_publish(&mut stream.log, away_ms);
        stream.meter = Meter::new(self.now, bytes_in);
    }

    /// The first media of connection `key` has come: the stream is live, here and where other
    /// workers have players of it.
    ///
    /// # Errors
    /// There are too many streams.
    #[cold]
    pub(super) fn pull_is_live(&mut self, key: usize, index: usize) -> Result<(), CloseReason> {
        let name = self.streams[index].name.clone();
        let missing_name = self.missing_name(index);
        let Some(pull) = &mut self.streams[index].pull else {
            return Ok(());
        };
        let claim = self.shared.registry.claim(&name, self.worker, true);
        let readers = match claim {
            Claim::Own { readers, .. } => readers,
            Claim::Full => {
                self.gauges.refused_fetches += 1;
                return Err(CloseReason::Refused("there are too many streams".into()));
            }
            Claim::Elsewhere { .. } => WorkerSet::default(),
        };
        self.shared.missing.forget(&missing_name, pull.server());
        self.shared.fetches.succeeded(pull.asker);
        pull.line.slot = None;
        pull.dark_since = None;
        pull.over_since = None;
        self.shared.registry.forget_end(&name);
        pull.line.failures = 0;
        (pull.tried, pull.missing) = (0, 0);
        let server = &self.shared.config.pull[pull.rule].servers[pull.server()];
        let conn = &mut self.conns[key];
        conn.has_published = true;
        info!(
            "conn={} pull stream={} from={} peer={} worker={}",
            conn.id,
            quoted(&name),
            server.authority,
            conn.peer,
            self.worker
        );
        let stream = &mut self.streams[index];
        stream.tally.gaps += u64::from(matches!(stream.source, Source::Away { .. }));
        stream.source = Source::Publisher(key);
        self.faults.at(Midst::Line);
        self.publishers += 1;
        for worker in readers.iter() {
            self.add_feed(index, worker);
        }
        self.start_players(index);
        self.mark_dirty(index);
        Ok(())
    }

    /// The line to an origin is lost, or never came about.
    pub(super) fn pull_failed(&mut self, index: usize, why: &str) {
        self.gauges.pull_failures += 1;
        let now = self.now;
        let last_media = self.streams[index].meter.last_media;
        let Some(pull) = &mut self.streams[index].pull else {
            return;
        };
        let server = &self.shared.config.pull[pull.rule].servers[pull.server()];
        let level = if pull.dark_since.is_none() {
            Level::Warn
        } else {
            Level::Info
        };
        pull.dark_since.get_or_insert(last_media);
        pull.turn_away();
        pull.line.state = State::Waiting(now);
        pull.line.slot = None;
        self.faults.at(Midst::Line);
        if self.notes.allow("pull_failed", level, now) {
            let name = &self.streams[index].name;
            log!(
                level,
                "pull failed stream={} from={} why={}",
                quoted(name),
                server.authority,
                quoted(why)
            );
        }
        self.look_at_stream(index, now);
    }

    /// Goes on with a pull whose time has come, or ends it.
    pub(super) fn check_pull(&mut self, index: usize) {
        if self.end_probe(index) {
            return;
        }
        let now = self.now;
        let (linger, give_up) = {
            let config = &self.shared.config;
            let linger = if self.draining {
                Duration::ZERO
            } else {
                config.pull_linger
            };
            (linger, config.pull_give_up)
        };
        let stream = &self.streams[index];
        let (_, mut readers) = self.shared.registry.look_up(&stream.name);
        readers.remove(self.worker);
        let is_wanted = !stream.players.is_empty() || !readers.is_empty();
        let stream = &mut self.streams[index];
        let Some(pull) = &mut stream.pull else {
            return;
        };
        let state = pull.line.state;
        if is_wanted {
            pull.idle_since = None;
        } else {
            let until = *pull.idle_since.get_or_insert(now) + linger;
            // Nothing is fetched anew for nobody.
            if until <= now || pull.dark_since.is_some() {
                debug!("stream={} is wanted no longer", quoted(&stream.name));
                return self.end_pull(index);
            }
            self.look_at_stream(index, until);
        }
        let Some(pull) = &self.streams[index].pull else {
            return;
        };
        if let Some(since) = pull.dark_since {
            let until = since + give_up;
            if until <= now {
                info!(
                    "stream={} over: no origin sends it",
                    quoted(&self.streams[index].name)
                );
                return self.end_pull(index);
            }
            self.look_at_stream(index, until);
        }
        match state {
            State::Waiting(_) if self.draining => self.end_pull(index),
            State::Waiting(until) if until > now => self.look_at_stream(index, until),
            State::Waiting(_) => self.ask_origin(index),
            State::Calling(_) => self.check_call(index, Task::Pull),
            State::Up(_) => {}
        }
    }

    /// Ends a pull: players that have begun are told that the stream is over, those that wait
    /// that there is none.
    fn end_pull(&mut self, index: usize) {
        if self.streams[index].source == Source::Pulling {
            self.forget_pull(index);
            self.refuse_all_waiting(index);
            // Otherwise the last of those that wait takes it along.
            if self.streams[index].players.is_empty() {
                self.last_player_left(index);
            }
        } else {
            self.end_stream(index);
            if self.streams.contains(index) {
                self.refuse_all_waiting(index);
            }
        }
    }

    /// The stream is no longer this worker's to fetch: nobody has it, or a publisher of its own.
    pub(super) fn forget_pull(&mut self, index: usize) {
        let stream = &mut self.streams[index];
        let Some(pull) = stream.pull.take() else {
            return;
        };
        let is_pulling = stream.source == Source::Pulling;
        self.faults.at(Midst::Line);
        self.hang_up(index, &pull.line);
        if is_pulling {
            let stream = &mut self.streams[index];
            stream.source = Source::Nobody;
            let name = stream.name.clone();
            let (_, mut waiting) = self.shared.registry.look_up(&name);
            waiting.remove(self.worker);
            for worker in waiting.iter() {
                let name = name.clone();
                self.outbound.push((worker, Mail::NotLive { name }));
            }
            self.shared.registry.release(&name, self.worker);
        }
    }

    /// Another worker that was asked for the stream does not have it: whoever waits for it is
    /// told, unless it is worth asking an origin from here.
    pub(super) fn not_live(&mut self, index: usize) {
        let stream = &self.streams[index];
        if stream.source != Source::Nobody || stream.asked.is_none() || self.end_probe(index) {
            return;
        }
        let stream = &self.streams[index];
        let first = stream.players.first().map(|player| player.conn);
        let first = first.and_then(|key| self.conns.get(key));
        let asker = first.map_or(NO_ADDRESS.ip(), |conn| conn.peer.ip());
        if self.begin_pull(index, asker) {
            return;
        }
        self.refuse_all_waiting(index);
    }

    /// No play waits for the stream any longer.
    pub(super) fn refuse_all_waiting(&mut self, index: usize) {
        let players = self.streams[index].players.iter();
        let players: Vec<_> = players.map(|player| (player.conn, player.msid)).collect();
        for (key, msid) in players {
            self.refuse_waiting(key, msid, index);
        }
    }

    /// A play that waits for a stream waits no longer.
    fn refuse_waiting(&mut self, key: usize, msid: u32, index: usize) {
        let now = self.now;
        let plays = &mut self.conns[key].plays;
        let its = plays
            .iter_mut()
            .find(|play| play.stream == index && play.msid == msid);
        if let Some(play) = its
            && play.wait_until.is_some()
        {
            play.wait_until = Some(now);
            self.arm(key, now);
        }
    }

    /// The stream is looked at again at `at`.
    pub(super) fn look_at_stream(&mut self, index: usize, at: Instant) {
        let armed = &mut self.streams[index].armed;
        self.timers.arm(armed, at, Timer::Stream(index));
    }
}

fn refused(why: &str) -> Flow {
    let why: String = why.chars().take(200).collect();
    Flow::Close(CloseReason::Refused(why.trim().into()))
}
