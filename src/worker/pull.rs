//! Streams fetched from an origin. The worker whose player asked first owns the stream, as if it
//! had been published there: once for the process, however many workers and players want it.
//!
//! ```text
//!            first play                    media                   no media
//!   Nobody ------------> Pulling ------------------> Publisher ----------------> searching, beside
//!      ^                    |                            ^    media again          | what is open
//!      |  nobody has it     |                            +-------------------------+
//!      +--------------------+                            |                         |
//!      +-- nobody wants it for --pull-linger ------------+                         |
//!      +-- no media for --pull-give-up since all origins were asked ---------------+
//! ```
//!
//! A pull has two connections at most: the one that the stream comes by (`held`), and the one of
//! the search for an origin that has it (`line`). The search goes on while there is no media, or
//! while the origin has asked to be left (E-RTMP v2 "Reconnect Request"). It goes through the
//! origins in the order of their hash for the stream, each of which has `--pull-timeout` for each
//! step; after the last there is a pause. Media alone ends it: on the connection of the search the
//! stream goes over to that one, see changeover.rs.
//!
//! Only [`Core::check_pull`], from a timer, ends a pull: the rest writes down what happened.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{Level, debug, info, log, warn};

use super::admission::Key;
use super::changeover::{Early, Held};
use super::close_reason::CloseReason;
use super::core::{Core, NO_ADDRESS, Shared};
use super::ids::{ConnId, OriginId, PullRuleId, StreamId};
use super::ingress::Flow;
use super::line::{Line, State, Task};
use super::mail::Mail;
use super::memory::Pressure;
use super::registry::Claim;
use super::session::Answer;
use super::table::{Source, Tally};
use crate::edge::{backoff, order};
use crate::limits;
use crate::logging::quoted;
use crate::net::transport::Transport;
use crate::rtmp::command::Status;
use crate::rtmp::name::StreamName;
use crate::stream::content::Content;

/// A stream that is fetched, as its owner keeps it.
#[derive(Debug)]
pub(super) struct Pull {
    /// Index of the rule.
    pub(super) rule: PullRuleId,
    /// The stream, with the query of the player that asked first.
    pub(super) name: StreamName,
    /// The address of that player, while addresses are counted.
    pub(super) asker: Option<Key>,
    /// The search for an origin that has the stream; idle while one sends media.
    pub(super) line: Line,
    /// What the origin that is asked has sent ahead of its first media.
    pub(super) early: Early,
    /// The connection that the stream comes by, or came by last, while it is open.
    pub(super) held: Option<Held>,
    /// The origin that is asked, by its index in the rule.
    pub(super) server: OriginId,
    /// The origins in the order in which they are asked.
    order: Vec<OriginId>,
    /// Place in `order` of the one to be asked next.
    next: usize,
    /// Origins still to be asked before the next pause, ...
    left: usize,
    /// ... those that were asked since the last, ...
    tried: usize,
    /// ... and how many of them do not have the stream.
    missing: usize,
    /// All of them said so, and it waits for the time to ask again.
    is_missing: bool,
    /// It is a probe whose query an origin has accepted.
    pub(super) is_accepted: bool,
    /// How often origins were asked for it.
    tries: usize,
    /// A frame of audio or video has come.
    has_frames: bool,
    /// Since when there is no media; None while there is.
    pub(super) dark_since: Option<Instant>,
    /// Since when there is no media although all origins were asked.
    pub(super) all_asked: Option<Instant>,
    /// Since when nobody wants it.
    pub(super) idle_since: Option<Instant>,
    /// When the publisher had gone of an origin that said first that the stream is over; None while
    /// there is media.
    pub(super) over_since: Option<Instant>,
}

impl Pull {
    /// The stream `name`, fetched by `rule` from `order` from `begin_at` on.
    fn new(
        (rule, name): (PullRuleId, StreamName),
        asker: Option<Key>,
        order: Vec<OriginId>,
        (begin_at, now): (Instant, Instant),
    ) -> Self {
        let mut pull = Self {
            rule,
            name,
            asker,
            line: Line::new(begin_at),
            early: Early::default(),
            held: None,
            server: order[0],
            order,
            next: 0,
            left: 0,
            tried: 0,
            missing: 0,
            is_missing: false,
            is_accepted: false,
            tries: 0,
            has_frames: false,
            dark_since: Some(now),
            all_asked: None,
            idle_since: None,
            over_since: None,
        };
        pull.begin_round();
        pull
    }

    /// Takes note of a message of an origin; whether it is media, by which the origin has the
    /// stream. Timed data is as long as there have been no frames: it goes on beside them also
    /// when an origin has lost them.
    pub(super) fn takes(&mut self, content: Content) -> bool {
        self.has_frames |= content == Content::Frame;
        match content {
            Content::Frame => true,
            Content::Data => !self.has_frames,
            Content::Nothing => false,
        }
    }

    /// An origin says that the stream is over: the one that it comes by if `is_held`. That one has
    /// waited for another publisher itself since it said that the last had gone.
    fn note_over(&mut self, is_held: bool, now: Instant) {
        let mut since = now;
        match &mut self.held {
            Some(held) if is_held => {
                held.is_over = true;
                since = held.publisher_gone.unwrap_or(now);
            }
            _ => self.missing += 1,
        }
        self.over_since.get_or_insert(since);
    }

    /// The connection to `server` that the stream came by is lost, with the stream over there if
    /// `is_over`: the others are asked, at once in that case. `was_idle`: nobody was being asked.
    fn ask_others(&mut self, server: OriginId, is_over: bool, was_idle: bool, now: Instant) {
        if was_idle {
            // It has had its turn.
            self.ask_after(server);
            self.left -= 1;
            (self.tried, self.missing) = (1, usize::from(is_over));
            if is_over {
                self.line.state = State::Waiting(now);
            }
        } else if is_over {
            self.tried += 1;
            self.missing += 1;
        }
    }

    /// Whether an origin is to be looked for.
    pub(super) fn needs_search(&self) -> bool {
        let is_left = |held: &Held| held.leaving.is_some();
        self.dark_since.is_some() || self.held.as_ref().is_some_and(is_left)
    }

    /// Bytes kept of what its connections have sent ahead of media.
    pub(super) fn early_bytes(&self) -> usize {
        let held = self.held.as_ref().map_or(0, Held::early_bytes);
        self.early.bytes() + held
    }

    /// Whether there is one origin, so that nothing is won by leaving it.
    pub(super) fn has_one_origin(&self) -> bool {
        self.order.len() == 1
    }

    /// Begins with all origins anew. That of the open connection is not asked. If it wants to be
    /// left, where it sends us is asked first; or itself, last.
    fn begin_round(&mut self) {
        self.left = self.order.len();
        (self.tried, self.missing) = (0, 0);
        let Some(held) = &self.held else {
            return;
        };
        let (server, leaving) = (held.server, held.leaving.as_ref());
        if let Some(to) = leaving.and_then(|leaving| leaving.to.clone()) {
            self.line.redirect_to(to);
            self.server = server;
        }
        self.ask_after(server);
    }

    /// Goes on behind `server`.
    fn ask_after(&mut self, server: OriginId) {
        let at = self.order.iter().position(|its| *its == server);
        self.next = (at.unwrap_or(0) + 1) % self.order.len();
    }

    /// The origin to be asked next in this round.
    fn next_origin(&mut self) -> Option<OriginId> {
        while self.left > 0 {
            let server = self.order[self.next];
            self.left -= 1;
            self.next = (self.next + 1) % self.order.len();
            let held = self.held.as_ref().filter(|held| held.server == server);
            if held.is_none_or(Held::may_be_asked) {
                return Some(server);
            }
        }
        None
    }

    /// Asks `server` later: the last that [`next_origin`](Self::next_origin) gave.
    fn put_back(&mut self) {
        self.left += 1;
        self.next = (self.next + self.order.len() - 1) % self.order.len();
    }
}

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
            Claim::Full | Claim::AddressFull => {
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

    /// A player of `asker` comes for a stream that no origin had a while ago: it may be there by
    /// now, and those that asked before do not decide that it is not.
    pub(super) fn hurry_pull(&mut self, index: StreamId, asker: IpAddr) {
        let now = self.uptime();
        let asker = self.shared.admission.key_of(asker);
        let name = self.missing_name(index);
        let Some(pull) = &mut self.streams[index].pull else {
            return;
        };
        let Shared {
            missing, fetches, ..
        } = &*self.shared;
        let may_ask = |server: &OriginId| missing.wait(&name, *server, asker, now).is_none();
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

    /// Looks for an origin that has the stream, unless that is under way. Those who look again and
    /// again, since no origin lasts, do so ever more slowly.
    pub(super) fn search(&mut self, index: StreamId) {
        let dice = self.next_seed(u64::from(index.slot()));
        let now = self.now;
        let pause_max = self.search_pause_max();
        let Some(pull) = &mut self.streams[index].pull else {
            return;
        };
        if pull.line.state == State::Idle {
            pull.begin_round();
            let wait = match pull.line.failures {
                0 => Duration::ZERO,
                failures => backoff::delay(failures, dice).min(pause_max),
            };
            pull.line.state = State::Waiting(now.max(pull.line.called_at() + wait));
        }
        self.look_at_stream(index, now);
    }

    /// Nobody is looked for any more.
    pub(super) fn end_search(&mut self, index: StreamId) {
        let Some(pull) = &mut self.streams[index].pull else {
            return;
        };
        pull.early = Early::default();
        let state = pull.line.rest();
        self.hang_up(index, state);
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
            pull.is_missing = false;
            if !pull.line.is_redirected() {
                let Some(server) = pull.next_origin() else {
                    return self.pause_search(index);
                };
                let held = pull.held.as_ref().filter(|held| held.server == server);
                let leaving = held.and_then(|held| held.leaving.as_ref());
                if let Some(at) = leaving.map(|leaving| leaving.again_at)
                    && at > self.now
                {
                    pull.put_back();
                    pull.line.state = State::Waiting(at);
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
            pull.tried += 1;
            pull.early = Early::default();
            if pull.left == 0 {
                pull.all_asked.get_or_insert(now);
            }
        }
        self.call(index, Task::Pull);
    }

    /// How long a search pauses at most: an origin that is lost and comes back is asked some times
    /// before the stream is given up, however many others have failed meanwhile.
    fn search_pause_max(&self) -> Duration {
        let pause = self.shared.config.pull_give_up / SEARCHES_BEFORE_GIVE_UP;
        pause.max(limits::RETRY_FIRST)
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
        pull.is_missing = all_lack_it;
        if let Some(since) = over_since {
            self.pull_is_over(index);
            let until = since + limits::UNPUBLISH_GRACE;
            if until <= self.now {
                return self.end_pull(index);
            }
            return self.wait_to_ask(index, until - self.now);
        }
        pull.line.state = match all_lack_it {
            // There is no other: it goes on when the connection is lost.
            _ if is_in_vain => State::Idle,
            true => State::Waiting(self.now + missing_wait),
            false => State::Waiting(self.now + backoff),
        };
        if all_lack_it && is_new {
            self.shorten_waits(index);
        }
    }

    /// Origins are asked for the stream again after `wait`.
    fn wait_to_ask(&mut self, index: StreamId, wait: Duration) {
        let until = self.now + wait;
        if let Some(line) = self.line(index, Task::Pull) {
            line.state = State::Waiting(until);
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

    /// What the stream is called where it is remembered that origins do not have it: with the
    /// query that they were asked with, if they are asked with one.
    pub(super) fn missing_name(&self, index: StreamId) -> Arc<str> {
        let stream = &self.streams[index];
        match &stream.pull {
            Some(pull) if stream.probe_of.is_none() && self.is_by_query(&pull.name.app) => {
                let queries = &self.shared.queries;
                queries.probe_name(&stream.name, &pull.name.query)
            }
            _ => stream.name.clone(),
        }
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

    /// Takes the right to connect to the next origin; else how long to wait for it.
    fn take_slot(&mut self, index: StreamId) -> Result<(), Duration> {
        let now = self.uptime();
        let stream = &mut self.streams[index];
        let is_waited_for = stream.source() == Source::Pulling;
        let Some(pull) = &mut stream.pull else {
            return Ok(());
        };
        // What players have had already comes before what nobody may ever have.
        let is_first = pull.line.failures == 0 || !is_waited_for;
        let server = &self.shared.config.pull[pull.rule.index()].servers[pull.server.index()];
        pull.line.slot = None;
        let fetches = &self.shared.fetches;
        pull.line.slot = Some(fetches.dial(pull.asker, &server.authority, is_first, now)?);
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

    /// The origin on connection `key` goes while the relay stops: nobody is asked for the stream
    /// any more.
    pub(super) fn pull_lost_in_drain(&mut self, index: StreamId, key: ConnId) {
        let now = self.now;
        let pull = self.streams.get_mut(index);
        let Some(pull) = pull.and_then(|stream| stream.pull.as_mut()) else {
            return;
        };
        if pull.held.as_ref().is_some_and(|held| held.key != key) {
            return;
        }
        pull.held = None;
        pull.dark_since.get_or_insert(now);
        self.end_search(index);
        if let Some(line) = self.line(index, Task::Pull) {
            line.state = State::Waiting(now);
        }
        self.look_at_stream(index, now);
    }

    /// What an origin says on connection `key`.
    pub(super) fn pull_answered(&mut self, key: ConnId, index: StreamId, answer: Answer) -> Flow {
        let (is_held, is_asked) = (self.is_held(key, index), self.is_asked(key));
        match answer {
            Answer::Other => Flow::Continue,
            Answer::Ended => self.publisher_ended(key, index),
            Answer::Refused {
                redirect: Some(to), ..
            } => self.follow_redirect(key, &to, is_asked),
            Answer::Refused { why, is_loop, .. } => {
                // It waits for the stream itself, through this relay: it does not have it.
                if is_loop && let Some(pull) = &mut self.streams[index].pull {
                    pull.missing += 1;
                }
                refused(&why)
            }
            Answer::Status {
                status: Some(Status::ReconnectRequest),
                code,
                redirect,
                ..
            } => {
                match redirect {
                    redirect if is_held => self.reconnect_asked(index, redirect.as_deref()),
                    Some(to) => self.follow_redirect(key, &to, false),
                    // Another one has it as well.
                    None => refused(&code),
                }
            }
            Answer::Status {
                redirect: Some(to), ..
            } if !is_held => self.follow_redirect(key, &to, is_asked),
            Answer::Status {
                status,
                code,
                description,
                ..
            } => self.pull_status(index, is_held, status, (&code, &description)),
        }
    }

    /// `is_held`: the origin that says so is the one that the stream comes by.
    fn pull_status(
        &mut self,
        index: StreamId,
        is_held: bool,
        status: Option<Status>,
        (code, description): (&str, &str),
    ) -> Flow {
        match status {
            Some(Status::PlayStart) => {
                self.query_accepted(index);
                Flow::Continue
            }
            Some(Status::PlayStreamNotFound | Status::PlayFailed) => {
                let now = self.uptime();
                let name = self.missing_name(index);
                if let Some(pull) = &mut self.streams[index].pull {
                    pull.missing += 1;
                    if !pull.line.is_redirected() {
                        let missing = &self.shared.missing;
                        missing.remember(name, pull.server, pull.asker, now);
                    }
                }
                refused(code)
            }
            Some(Status::PlayUnpublishNotify | Status::PlayComplete) => {
                let now = self.now;
                if let Some(pull) = &mut self.streams[index].pull {
                    pull.note_over(is_held, now);
                }
                Flow::Close(CloseReason::StreamEnded)
            }
            _ if code.starts_with("NetConnection.Connect.") || code.ends_with(".Failed") => {
                refused(&format!("{code} {description}"))
            }
            _ => Flow::Continue,
        }
    }

    /// The origin that is asked is lost, or was never reached: the next one is.
    pub(super) fn pull_failed(&mut self, index: StreamId, why: &str) {
        let now = self.now;
        let Some(pull) = &mut self.streams[index].pull else {
            return;
        };
        let server = pull.server;
        pull.line.state = State::Waiting(now);
        pull.line.slot = None;
        self.note_failure(index, server, Level::Info, why);
        self.look_at_stream(index, now);
    }

    /// The connection that the stream came by is lost: another origin may have it.
    pub(super) fn pull_lost(&mut self, index: StreamId, why: &str) {
        let now = self.now;
        let stream = &mut self.streams[index];
        let last_media = stream.meter.last_media;
        let Some(pull) = &mut stream.pull else {
            return;
        };
        let Some(held) = pull.held.take() else {
            return;
        };
        let level = if pull.dark_since.is_none() {
            Level::Warn
        } else {
            Level::Info
        };
        let since = *pull.dark_since.get_or_insert(last_media);
        if pull.has_one_origin() {
            pull.all_asked.get_or_insert(since);
        }
        pull.line.failures = match held.has_lasted(now) {
            true => 0,
            false => pull.line.failures.saturating_add(1),
        };
        if held.is_over && matches!(pull.line.state, State::Waiting(_)) {
            // What others said before the end is no answer to whether they have it now.
            pull.line.rest();
        }
        let was_idle = pull.line.state == State::Idle;
        self.search(index);
        if let Some(pull) = &mut self.streams[index].pull {
            pull.ask_others(held.server, held.is_over, was_idle, now);
        }
        self.note_failure(index, held.server, level, why);
    }

    fn note_failure(&mut self, index: StreamId, server: OriginId, level: Level, why: &str) {
        self.gauges.pull_failures += 1;
        let stream = &self.streams[index];
        let Some(pull) = &stream.pull else {
            return;
        };
        if self.notes.allow("pull_failed", level, self.now) {
            let server = &self.shared.config.pull[pull.rule.index()].servers[server.index()];
            log!(
                level,
                "pull failed stream={} from={} why={}",
                quoted(&stream.name),
                server.authority,
                quoted(why)
            );
        }
    }

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
        match pull.line.state {
            State::Waiting(_) if self.draining => return self.end_pull(index),
            State::Waiting(until) if until <= self.now => self.ask_origin(index),
            State::Calling(_) => self.check_call(index, Task::Pull),
            State::Waiting(_) | State::Idle | State::Up(_) => {}
        }
        self.arm_pull(index);
    }

    /// Whether somebody wants the stream, or has until a moment ago.
    fn is_pull_wanted(&mut self, index: StreamId) -> bool {
        let stream = &mut self.streams[index];
        let Some(pull) = &mut stream.pull else {
            return true;
        };
        let (_, mut readers) = self.shared.registry.look_up(&stream.name);
        readers.remove(self.worker);
        if !stream.players.is_empty() || !readers.is_empty() {
            if let Some(since) = pull.idle_since.take() {
                self.end_linger(index, since);
            }
            return true;
        }
        let since = *pull.idle_since.get_or_insert(self.now);
        let is_over = self.draining || since + self.shared.config.pull_linger <= self.now;
        // Nothing is fetched anew for nobody.
        let lingers = !is_over && pull.held.is_some();
        if lingers {
            self.begin_linger(index, since);
        }
        lingers
    }

    /// An origin that has sent no media for `--pull-timeout` may have lost it, whatever else it
    /// says: others are asked beside it.
    fn check_media(&mut self, index: StreamId) {
        let stream = &mut self.streams[index];
        let last_media = stream.meter.last_media;
        let Some(pull) = &mut stream.pull else {
            return;
        };
        let is_late = last_media + self.shared.config.pull_timeout <= self.now;
        if pull.dark_since.is_none() && is_late {
            self.lose_media(index, last_media);
        }
    }

    /// There is no media since `since`: other origins are asked.
    pub(super) fn lose_media(&mut self, index: StreamId, since: Instant) {
        let now = self.now;
        let stream = &mut self.streams[index];
        let Some(pull) = &mut stream.pull else {
            return;
        };
        if pull.dark_since.is_some() {
            return;
        }
        pull.dark_since = Some(since);
        if pull.has_one_origin() {
            pull.all_asked = Some(since);
        }
        if now >= pull.line.called_at() + limits::RETRY_MAX {
            pull.line.failures = 0;
        }
        debug!(
            "stream={} has no media: others are asked",
            quoted(&stream.name)
        );
        self.search(index);
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
        let due = match pull.line.state {
            State::Waiting(until) => Some(until),
            State::Calling(_) => Some(pull.line.called_at() + config.pull_timeout),
            State::Idle | State::Up(_) => None,
        };
        let media_due = match pull.dark_since {
            None => Some(stream.meter.last_media + config.pull_timeout),
            Some(_) => None,
        };
        let over = pull.all_asked.map(|since| since + config.pull_give_up);
        let idle = pull.idle_since.map(|since| since + config.pull_linger);
        let times = [due, media_due, over, idle];
        if let Some(at) = times.into_iter().flatten().min() {
            self.look_at_stream(index, at);
        }
    }

    /// Ends a pull: players that have begun are told that the stream is over, those that wait
    /// that there is none.
    pub(super) fn end_pull(&mut self, index: StreamId) {
        if self.streams[index].source() == Source::Pulling {
            self.forget_pull(index);
            self.refuse_all_waiting(index);
            // Otherwise the last of those that wait takes it along.
            if self.streams[index].players.is_empty() {
                self.last_player_left(index);
            }
        } else {
            self.end_stream(index);
        }
    }

    /// The stream is no longer this worker's to fetch: nobody has it, or a publisher of its own.
    pub(super) fn forget_pull(&mut self, index: StreamId) {
        let stream = &mut self.streams[index];
        let Some(pull) = stream.pull.take() else {
            return;
        };
        let is_pulling = stream.source() == Source::Pulling;
        self.hang_up_pull(index, &pull);
        if is_pulling {
            self.streams.set_source(index, Source::Nobody);
            let name = self.streams[index].name.clone();
            let (_, mut waiting) = self.shared.registry.look_up(&name);
            waiting.remove(self.worker);
            for worker in waiting.iter() {
                let name = name.clone();
                self.outbound.push((worker, Mail::NotLive { name }));
            }
            self.shared.registry.release(&name, self.worker);
        }
    }

    /// Both connections of a pull are given up.
    pub(super) fn hang_up_pull(&mut self, index: StreamId, pull: &Pull) {
        if let Some(since) = pull.idle_since {
            self.end_linger(index, since);
        }
        self.hang_up(index, pull.line.state);
        if let Some(held) = &pull.held {
            self.hang_up(index, State::Up(held.key));
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
        let asker = first.map_or(NO_ADDRESS.ip(), |conn| conn.peer.ip());
        if self.begin_pull(index, asker) {
            return;
        }
        self.refuse_all_waiting(index);
    }
}

/// So often are origins asked again, at least, before the stream is given up; fewer if they take
/// their time.
const SEARCHES_BEFORE_GIVE_UP: u32 = 3;

pub(super) fn refused(why: &str) -> Flow {
    let why: String = why.chars().take(200).collect();
    Flow::Close(CloseReason::Refused(why.trim().into()))
}
