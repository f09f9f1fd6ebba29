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
use std::time::Instant;

use super::fetches::Slot;
use super::ids::{ConnId, PushRuleId, StreamId};
use crate::edge::redirect::Target;
use crate::limits;
use crate::rtmp::client::STEPS_MAX;

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

    /// Its server is called now.
    pub(super) fn begin_call(&mut self, now: Instant) {
        self.called_at = now;
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
