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
//! answers with `Core::resolved` and `Core::dialled`.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::address::Key;
use super::fetches::Slot;
use super::ids::{ConnId, PushRuleId, StreamId};
use crate::edge::redirect::Target;
use crate::limits;
use crate::rtmp::client::STEPS_MAX;

/// Something for the event loop to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    id: u64,
    to: Callee,
}

impl Call {
    /// The call `id`.
    pub(super) fn new(id: u64, to: Callee) -> Self {
        Self { id, to }
    }

    /// To be given back with the answer.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What to find or to connect to.
    pub fn into_callee(self) -> Callee {
        self.to
    }
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
    stream: StreamId,
    task: Task,
    /// When it last came a step further; it may not stand still for long.
    since: Instant,
    /// How many steps it has come, see [`ClientSession::steps`].
    steps: u8,
}

impl Errand {
    /// A connection for a task of a stream, which is opened now.
    pub(super) fn new(stream: StreamId, task: Task, now: Instant) -> Self {
        Self {
            stream,
            task,
            since: now,
            steps: 0,
        }
    }

    /// Slab key of the stream.
    pub(super) fn stream(self) -> StreamId {
        self.stream
    }

    /// What it is for.
    pub(super) fn task(self) -> Task {
        self.task
    }

    /// When it last came a step further.
    pub(super) fn since(self) -> Instant {
        self.since
    }

    /// It has come so many steps. Each counts once; whatever else a server says does not.
    pub(super) fn note_steps(&mut self, steps: u8, now: Instant) {
        if steps > self.steps {
            (self.steps, self.since) = (steps, now);
        }
    }

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
    state: State,
    /// Addresses of the server that were not tried yet.
    addresses: VecDeque<SocketAddr>,
    /// Failures since it last worked.
    failures: u32,
    /// When it was called last.
    called_at: Instant,
    /// The server that the one called for it has redirected to, ...
    redirect: Option<Box<Target>>,
    /// ... and how many refused with that in a row.
    redirects: u8,
    /// That it may be on its way to an origin, until there is media.
    slot: Option<Slot>,
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
}

/// Where it stands.
impl Line {
    /// See [`State`].
    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Whether it is not to be called.
    pub(super) fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// Whether `key` is its connection.
    pub(super) fn is_up(&self, key: ConnId) -> bool {
        self.state == State::Up(key)
    }

    /// Its connection, if it has one.
    pub(super) fn conn(&self) -> Option<ConnId> {
        match self.state {
            State::Up(key) => Some(key),
            State::Idle | State::Waiting(_) | State::Calling(_) => None,
        }
    }

    /// When it is called, or has been called for `timeout`.
    pub(super) fn due(&self, timeout: Duration) -> Option<Instant> {
        match self.state {
            State::Waiting(until) => Some(until),
            State::Calling(_) => Some(self.called_at + timeout),
            State::Idle | State::Up(_) => None,
        }
    }

    /// It is called `at` this time.
    pub(super) fn wait(&mut self, at: Instant) {
        self.state = State::Waiting(at);
    }

    /// Its server is called now.
    pub(super) fn begin_call(&mut self, now: Instant) {
        self.called_at = now;
    }

    /// When it was called last.
    pub(super) fn called_at(&self) -> Instant {
        self.called_at
    }

    /// It is called under `id`.
    pub(super) fn set_calling(&mut self, id: u64) {
        self.state = State::Calling(id);
    }

    /// It has connection `key`.
    pub(super) fn set_up(&mut self, key: ConnId) {
        self.state = State::Up(key);
    }

    /// It is not to be called for now.
    pub(super) fn pause(&mut self) {
        self.state = State::Idle;
    }

    /// It is not to be called, and goes to its server when it is again; where it stood.
    pub(super) fn rest(&mut self) -> State {
        self.forget_redirects();
        self.slot = None;
        std::mem::replace(&mut self.state, State::Idle)
    }

    /// The addresses of its server; as many are kept as are tried.
    pub(super) fn set_addresses(&mut self, addresses: Vec<SocketAddr>) {
        self.addresses = addresses.into();
        self.addresses.truncate(limits::ADDRESSES_TRIED);
    }

    /// The next address of its server that was not tried.
    pub(super) fn next_address(&mut self) -> Option<SocketAddr> {
        self.addresses.pop_front()
    }

    /// It may be on its way to an origin, or is to have the right to that anew.
    pub(super) fn set_slot(&mut self, slot: Option<Slot>) {
        self.slot = slot;
    }

    /// The right to be on its way counts for `to` from now on.
    pub(super) fn hand_over_slot(&mut self, to: Option<Key>) {
        if let Some(slot) = &mut self.slot {
            slot.hand_over(to);
        }
    }
}

/// Failures.
impl Line {
    /// How often it has failed since it last worked.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// It has failed: its server is called next, and not where that has redirected to.
    pub(super) fn fail(&mut self) {
        self.count_failure();
        self.forget_redirects();
    }

    /// It has failed once more.
    pub(super) fn count_failure(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// What it was called for has ended: one more failure, unless that `has_lasted`.
    pub(super) fn count_end(&mut self, has_lasted: bool) {
        match has_lasted {
            true => self.failures = 0,
            false => self.count_failure(),
        }
    }

    /// It had worked for long before it failed.
    pub(super) fn count_first_failure(&mut self) {
        self.failures = 1;
    }

    /// It is lost now: if it was called long ago, what failed before that counts no more.
    pub(super) fn forget_old_failures(&mut self, now: Instant) {
        if now >= self.called_at + limits::RETRY_MAX {
            self.failures = 0;
        }
    }
}

/// Redirects.
impl Line {
    /// The server that it goes to in place of its own.
    pub(super) fn redirect(&self) -> Option<&Target> {
        self.redirect.as_deref()
    }

    /// Whether there is one.
    pub(super) fn is_redirected(&self) -> bool {
        self.redirect.is_some()
    }

    /// How many servers have refused and redirected in a row.
    pub(super) fn redirects(&self) -> u8 {
        self.redirects
    }

    /// The server that was called refuses and redirects to `target`.
    pub(super) fn redirect_to(&mut self, target: Target) {
        self.move_to(target);
        self.redirects += 1;
    }

    /// It goes to `target` from now on, as the server that has accepted it asks for.
    pub(super) fn move_to(&mut self, target: Target) {
        self.redirect = Some(Box::new(target));
    }

    /// The server that it goes to has accepted it.
    pub(super) fn end_redirects(&mut self) {
        self.redirects = 0;
    }

    fn forget_redirects(&mut self) {
        (self.redirect, self.redirects) = (None, 0);
    }
}
