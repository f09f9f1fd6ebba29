//! Connections that this relay opens: called, answered, lost, called again. What they are for is
//! in pull.rs and push.rs.
//!
//! ```text
//!             call                 addresses, then a socket
//!   Waiting ---------> Calling ------------------------------> Up(connection)
//!      ^                  |  ^                                     |
//!      |  none is left    |  +------- the next address ------------+ not a byte came
//!      +------------------+                                        |
//!      +-----------------------------------------------------------+ closed
//! ```
//!
//! The core resolves no names and opens no sockets: it writes down a [`Call`], and the event loop
//! answers with [`Core::resolved`] and [`Core::dialled`].

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Instant;

use log::{Level, debug, warn};

use super::admission::Key;
use super::close_reason::CloseReason;
use super::conn::Conn;
use super::core::Core;
use super::fetches::Slot;
use super::ids::{ConnId, OriginId, PushRuleId, StreamId};
use super::ingress::Flow;
use super::session::Answer;
use super::shares::Full;
use crate::edge::hops::{self, Via};
use crate::edge::redirect::{RedirectError, Target};
use crate::limits;
use crate::logging::quoted;
use crate::net::transport::Transport;
use crate::rtmp::client::{Action, ClientRequest, ClientSession, STEPS_MAX};
use crate::rtmp::handshake::Mode;

/// Something for the event loop to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// To be given back with the answer.
    pub id: u64,
    /// What to find or to connect to.
    pub to: Callee,
}

/// See [`Call`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callee {
    /// Find the addresses of this host.
    Name {
        /// A name or an address.
        host: String,
        /// The port.
        port: u16,
    },
    /// Connect.
    Address {
        /// Where to.
        address: SocketAddr,
        /// With TLS, to a server of this name.
        tls: Option<String>,
    },
}

/// What a connection to another server is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// It fetches the stream.
    Pull,
    /// It hands the stream on, by this rule.
    Push(PushRuleId),
}

/// What one connection of ours to another server is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Errand {
    /// Slab key of the stream.
    pub(super) stream: StreamId,
    pub(super) task: Task,
    /// When it last came a step further; it may not stand still for long.
    pub(super) since: Instant,
    /// How many steps it has come, see [`ClientSession::steps`].
    pub(super) steps: u8,
}

impl Errand {
    /// Whether the server has accepted what it was asked.
    pub(super) fn is_accepted(self) -> bool {
        self.steps >= STEPS_MAX
    }
}

/// Where a line to another server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not to be called.
    Idle,
    /// To be called at this time.
    Waiting(Instant),
    /// Called under this id.
    Calling(u64),
    /// This connection, by slab key.
    Up(ConnId),
}

/// See the module text.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) state: State,
    /// Addresses of the server that were not tried yet.
    addresses: VecDeque<SocketAddr>,
    /// Failures since it last worked.
    pub(super) failures: u32,
    /// When it was called last.
    called_at: Instant,
    /// The server that the one called for it has redirected to, ...
    pub(super) redirect: Option<Box<Target>>,
    /// ... and how many refused with that in a row.
    pub(super) redirects: u8,
    /// That it may be on its way to an origin, until there is media.
    pub(super) slot: Option<Slot>,
}

impl Line {
    /// A line that is to be called now.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            state: State::Waiting(now),
            addresses: VecDeque::new(),
            failures: 0,
            called_at: now,
            redirect: None,
            redirects: 0,
            slot: None,
        }
    }

    /// Its connection, if it has one.
    pub(super) fn conn(&self) -> Option<ConnId> {
        match self.state {
            State::Up(key) => Some(key),
            State::Idle | State::Waiting(_) | State::Calling(_) => None,
        }
    }

    /// When it was called last.
    pub(super) fn called_at(&self) -> Instant {
        self.called_at
    }

    /// It is not to be called; where it stood.
    pub(super) fn rest(&mut self) -> State {
        (self.redirect, self.redirects) = (None, 0);
        self.slot = None;
        std::mem::replace(&mut self.state, State::Idle)
    }

    /// It goes to `target` in place of its server.
    pub(super) fn redirect_to(&mut self, target: Target) {
        self.redirect = Some(Box::new(target));
        self.redirects += 1;
    }

    /// Whether it goes to somewhere else than its server.
    pub(super) fn is_redirected(&self) -> bool {
        self.redirect.is_some()
    }
}

impl<S: Transport> Core<S> {
    /// What the event loop is to find or to connect to.
    pub fn calls(&mut self) -> &mut Vec<Call> {
        &mut self.calls
    }

    /// Calls the server of a line.
    pub(super) fn call(&mut self, index: StreamId, task: Task) {
        let Some(Target { host, port, .. }) = self.target_of(index, task) else {
            return;
        };
        let now = self.now;
        if let Some(line) = self.line(index, task) {
            line.called_at = now;
        }
        self.look_at_stream(index, now + self.shared.config.pull_timeout);
        self.place_call(index, task, Callee::Name { host, port });
    }

    /// Gives up a call whose name is looked up for too long: another server may be there.
    pub(super) fn check_call(&mut self, index: StreamId, task: Task) {
        let limit = self.shared.config.pull_timeout;
        let now = self.now;
        let Some(line) = self.line(index, task) else {
            return;
        };
        let (State::Calling(id), until) = (line.state, line.called_at + limit) else {
            return;
        };
        if until > now {
            return self.look_at_stream(index, until);
        }
        self.called.remove(&id);
        self.line_failed(index, task, "the name is still being looked up");
    }

    fn place_call(&mut self, index: StreamId, task: Task, to: Callee) {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        // In this order: what is called without being known is answered to nobody, and what is
        // known without being called is waited for for ever.
        self.calls.push(Call { id, to });
        self.called.insert(id, (index, task));
        if let Some(line) = self.line(index, task) {
            line.state = State::Calling(id);
        }
    }

    /// The addresses of a name that was asked for, or why there are none.
    pub fn resolved(&mut self, id: u64, found: Result<Vec<SocketAddr>, String>) {
        self.contained_call(id, |core| core.take_addresses(id, found));
    }

    fn take_addresses(&mut self, id: u64, found: Result<Vec<SocketAddr>, String>) {
        let Some((index, task)) = self.called.remove(&id) else {
            return;
        };
        match found {
            Ok(addresses) => {
                if let Some(line) = self.line(index, task) {
                    line.addresses = addresses
                        .into_iter()
                        .take(limits::ADDRESSES_TRIED)
                        .collect();
                }
                if !self.call_next_address(index, task) {
                    self.line_failed(index, task, "the name has no address");
                }
            }
            Err(why) => self.line_failed(index, task, &why),
        }
    }

    /// False when no address is left.
    fn call_next_address(&mut self, index: StreamId, task: Task) -> bool {
        let next = self.line(index, task);
        let Some(address) = next.and_then(|line| line.addresses.pop_front()) else {
            return false;
        };
        let target = self.target_of(index, task);
        let tls = target.and_then(|target| target.tls.then_some(target.host));
        self.place_call(index, task, Callee::Address { address, tls });
        true
    }

    /// A socket on its way to `address`, or why there is none; the slab key of the connection,
    /// for the event loop to register.
    pub fn dialled(
        &mut self,
        id: u64,
        address: SocketAddr,
        dialled: io::Result<S>,
    ) -> Option<ConnId> {
        let mut key = None;
        self.contained_call(id, |core| key = core.take_dialled(id, address, dialled));
        key
    }

    fn take_dialled(
        &mut self,
        id: u64,
        address: SocketAddr,
        dialled: io::Result<S>,
    ) -> Option<ConnId> {
        let (index, task) = self.called.remove(&id)?;
        let socket = match dialled {
            Ok(socket) => socket,
            Err(error) => {
                if !self.call_next_address(index, task) {
                    self.line_failed(index, task, &format!("{address}: {error}"));
                }
                return None;
            }
        };
        let place = self.target_of(index, task)?.place;
        let charged = match self.enter_dialled(index, task) {
            Ok(charged) => charged,
            Err(why) => {
                self.line_failed(index, task, why);
                return None;
            }
        };
        let via = self.via_of(index, task);
        let (action, flash_ver) = match task {
            Task::Pull => (Action::Play, "LNX 9,0,124,2 (compatible; tailwater)"),
            // FMLE's name makes servers answer as to an encoder.
            Task::Push(_) => (Action::Publish, "FMLE/3.0 (compatible; tailwater)"),
        };
        let request = ClientRequest {
            app: place.app,
            tc_url: place.tc_url,
            stream: place.stream,
            action,
            // Who does not know it takes it for a plain one.
            handshake: Mode::Digest,
            chunk_size: self.wire.chunk_size,
            flash_ver: flash_ver.to_owned(),
            property: (hops::VIA_KEY, via),
            mark: hops::RELAY_KEY,
        };
        let conn_id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let session = ClientSession::new(request, self.next_seed(conn_id));
        let errand = Errand {
            stream: index,
            task,
            since: self.now,
            steps: 0,
        };
        let mut conn = Conn::dialled(conn_id, socket, address, session, errand, charged, self.now);
        let stream = &self.streams[index].name;
        conn.asked = Some(stream.clone());
        debug!(
            "conn={conn_id} dialled stream={} peer={address} worker={}",
            quoted(stream),
            self.worker
        );
        let key = self.insert_dialled(conn);
        if let Some(line) = self.line(index, task) {
            line.state = State::Up(key);
        }
        Some(key)
    }

    /// Counts a connection of a line; for which address, or why there may be none.
    fn enter_dialled(&mut self, index: StreamId, task: Task) -> Result<Option<Key>, &'static str> {
        let stream = &self.streams[index];
        let address = match task {
            Task::Pull => stream.pull.as_ref().and_then(|pull| pull.asker),
            Task::Push(rule) => {
                let push = stream.pushes.iter().find(|push| push.rule == rule);
                push.and_then(|push| push.publisher)
            }
        };
        let enter = |core: &Self| match task {
            Task::Pull => core.shared.admission.enter_pull(address),
            Task::Push(_) => core.shared.admission.enter_push(address),
        };
        let entered = match enter(self) {
            Err(full) if self.let_go_for_dial((index, task), full, address) => enter(self),
            entered => entered,
        };
        match (entered, task) {
            (Ok(()), _) => Ok(address),
            (Err(Full::Address), Task::Pull) => {
                Err("too many connections for the address that asked, see --max-per-address")
            }
            (Err(Full::Address), Task::Push(_)) => {
                Err("too many pushes for the address of the publisher, see --max-per-address")
            }
            (Err(Full::All), Task::Pull) => Err("too many connections, see --max-connections"),
            (Err(Full::All), Task::Push(_)) => {
                Err("too many connections, pushes have half of --max-connections")
            }
        }
    }

    /// The server that a line goes to, and what the stream is called there.
    pub(super) fn target_of(&self, index: StreamId, task: Task) -> Option<Target> {
        let stream = self.streams.get(index)?;
        let config = &self.shared.config;
        let (rule, server, name, line) = match task {
            Task::Pull => {
                let pull = stream.pull.as_ref()?;
                let rule = &config.pull[pull.rule.index()];
                (rule, pull.server, &pull.name, &pull.line)
            }
            Task::Push(rule) => {
                let push = stream.pushes.iter().find(|push| push.rule == rule)?;
                (
                    &config.push[rule.index()],
                    OriginId::new(0),
                    &push.name,
                    &push.line,
                )
            }
        };
        match &line.redirect {
            Some(target) => Some(Target::clone(target)),
            None => Some(Target::of(&rule.servers[server.index()], name)),
        }
    }

    /// The server at `from`, which a line of the stream goes to, redirects to the URL `to`: where
    /// that leads, if it may be followed. One that may not is logged. `for_stream`: it answers play
    /// or publish.
    pub(super) fn redirected(
        &mut self,
        (index, task): (StreamId, Task),
        from: &Target,
        to: &str,
        for_stream: bool,
    ) -> Result<Target, RedirectError> {
        let redirects = self.line(index, task).map_or(0, |line| line.redirects);
        let config = &self.shared.config;
        let target = from.resolve(to, for_stream);
        let rules = config.pull.iter().chain(&config.push);
        let error = match &target {
            None => RedirectError::Invalid,
            Some(_) if redirects >= limits::REDIRECTS_MAX => RedirectError::TooMany,
            Some(target) if !target.is_allowed(from.tls, rules, &config.redirect_allow) => {
                RedirectError::Denied
            }
            Some(_) => return target.ok_or(RedirectError::Invalid),
        };
        if self.notes.allow("redirect_refused", Level::Warn, self.now) {
            let leads_to = target.map(|target| target.authority).unwrap_or_default();
            warn!(
                "redirect refused stream={} from={} to={} why={}",
                quoted(&self.streams[index].name),
                quoted(&from.authority),
                quoted(leads_to),
                quoted(error.words())
            );
        }
        Err(error)
    }

    /// The server on connection `key` refuses and redirects to the URL `to`: the line goes there
    /// instead, if that may be followed. See [`redirected`](Self::redirected).
    pub(super) fn follow_redirect(&mut self, key: ConnId, to: &str, for_stream: bool) -> Flow {
        let Some(Errand { stream, task, .. }) = self.conns[key].errand() else {
            return Flow::Continue;
        };
        let Some(from) = self.target_of(stream, task) else {
            return Flow::Continue;
        };
        match self.redirected((stream, task), &from, to, for_stream) {
            Ok(target) => {
                if let Some(line) = self.line(stream, task) {
                    line.redirect_to(target);
                }
                self.conns[key].take_errand();
                self.call(stream, task);
                Flow::Close(CloseReason::Released)
            }
            Err(error) => Flow::Close(CloseReason::Refused(error.words().into())),
        }
    }

    /// Whether the server on connection `key` was asked for the stream, and not only for a
    /// connection.
    pub(super) fn is_asked(&mut self, key: ConnId) -> bool {
        let client = self.conns[key].session.client();
        client.is_some_and(|client| client.msid().is_some())
    }

    fn via_of(&self, index: StreamId, task: Task) -> String {
        let stream = &self.streams[index];
        let own = self.shared.relay_id;
        let via = match task {
            Task::Pull => self.shared.registry.marker(&stream.name).via(own),
            Task::Push(_) => match &stream.relays {
                Some(relays) => relays.of_publisher.extended(own),
                None => Via::default().extended(own),
            },
        };
        via.to_string()
    }

    /// The line of a stream for a task, while it has one.
    pub(super) fn line(&mut self, index: StreamId, task: Task) -> Option<&mut Line> {
        let stream = self.streams.get_mut(index)?;
        match task {
            Task::Pull => stream.pull.as_mut().map(|pull| &mut pull.line),
            Task::Push(rule) => {
                let push = stream.pushes.iter_mut().find(|push| push.rule == rule);
                push.map(|push| &mut push.line)
            }
        }
    }

    /// How often a line has failed since it last worked.
    pub(super) fn failures(&mut self, index: StreamId, task: Task) -> u32 {
        self.line(index, task).map_or(0, |line| line.failures)
    }

    /// What the server on connection `key` says.
    pub(super) fn answered(&mut self, key: ConnId, answer: Answer) -> Flow {
        let Some(errand) = self.conns[key].errand() else {
            return Flow::Continue;
        };
        match errand.task {
            Task::Pull => self.pull_answered(key, errand.stream, answer),
            Task::Push(rule) => self.push_answered(key, errand.stream, rule, answer),
        }
    }

    /// Writes down whether the server on connection `key` has come a step further. Each step counts
    /// once; whatever else a server says does not.
    pub(super) fn note_steps(&mut self, key: ConnId) {
        let now = self.now;
        let conn = &mut self.conns[key];
        let steps = conn.session.client().map(|client| client.steps());
        let (Some(errand), Some(steps)) = (conn.errand_mut(), steps) else {
            return;
        };
        if steps > errand.steps {
            (errand.steps, errand.since) = (steps, now);
        }
    }

    /// A connection of ours to another server has ended, and not because we had no more use
    /// for it.
    pub(super) fn line_down(&mut self, key: ConnId, errand: Errand, reason: &CloseReason) {
        let Errand { stream, task, .. } = errand;
        if let Task::Push(rule) = task {
            self.forget_former(key, stream, rule);
        }
        if self.draining {
            if task == Task::Pull {
                self.pull_lost_in_drain(stream, key);
            }
            return;
        }
        let Errand { stream, task, .. } = errand;
        let why = format!("{}: {reason}", self.conns[key].peer);
        if task == Task::Pull && self.is_held(key, stream) {
            return self.pull_lost(stream, &why);
        }
        let (now, timeout) = (self.now, self.shared.config.pull_timeout);
        let Some(line) = self.line(stream, task) else {
            return;
        };
        if line.state != State::Up(key) {
            return;
        }
        let has_time = line.called_at + timeout * 2 > now;
        if self.conns[key].bytes_in == 0 && has_time && self.call_next_address(stream, task) {
            return;
        }
        self.line_failed(stream, task, &why);
    }

    pub(super) fn line_failed(&mut self, index: StreamId, task: Task, why: &str) {
        if let Some(line) = self.line(index, task) {
            line.failures = line.failures.saturating_add(1);
            (line.redirect, line.redirects) = (None, 0);
            match task {
                Task::Pull => self.pull_failed(index, why),
                Task::Push(rule) => self.push_failed(index, rule, why),
            }
        }
    }

    /// Gives up a line of the stream `index` that stands at `state` for good: its connection ends,
    /// its call is not waited for.
    pub(super) fn hang_up(&mut self, index: StreamId, state: State) {
        match state {
            State::Idle | State::Waiting(_) => {}
            State::Calling(id) => {
                self.called.remove(&id);
            }
            State::Up(key) => {
                // While the relay stops, lines are not told of connections that are gone.
                let is_its = |errand: Errand| errand.stream == index;
                if let Some(conn) = self.conns.get_mut(key)
                    && conn.errand().is_some_and(is_its)
                {
                    conn.take_errand();
                    if let Some(client) = conn.session.client() {
                        client.stop();
                    }
                    self.close(key, &CloseReason::Released);
                }
            }
        }
    }
}
