//! Connections of proxies that have not said yet who the client is. They are nobody's until
//! their PROXY header is whole, and become connections of the worker then.
//!
//! ```text
//!   accept --> waiting --header--> Core::accept (or TLS first) with the client's address
//!                 \--no header, not in time--> closed
//! ```
//!
//! Not here: polls and the clock, which the event loop has. All wait equally long, so that the
//! one that came first is due first.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use super::collections::Table;
use super::conn::{CloseReason, Deadline};
use super::event_loop::Speaks;
use super::ids::WaitingId;
use crate::net::proxy::{self, Heard, ProxyError};
use crate::net::socket::Socket;

/// See the module text.
#[derive(Debug, Default)]
pub(super) struct Antechamber {
    waiting: Table<WaitingId, Waiting>,
    /// When whom is waited for no longer; some are gone by then.
    due: VecDeque<(Instant, WaitingId)>,
}

/// A connection whose header is not whole.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) socket: Socket,
    /// The proxy; after the header, the client.
    pub(super) peer: SocketAddr,
    /// What its listener speaks.
    pub(super) speaks: Speaks,
}

impl Antechamber {
    /// Lets a connection wait until `until`; its key.
    pub(super) fn enter(
        &mut self,
        socket: Socket,
        peer: SocketAddr,
        speaks: Speaks,
        until: Instant,
    ) -> WaitingId {
        let key = self.waiting.insert(Waiting {
            socket,
            peer,
            speaks,
        });
        self.due.push_back((until, key));
        key
    }

    /// How many came to the admin listener.
    pub(super) fn admins(&self) -> usize {
        let waiting = self.waiting.iter();
        let admins = waiting.filter(|(_, waiting)| waiting.speaks.is_admin());
        admins.count()
    }

    /// The socket of a connection that waits, to be watched.
    pub(super) fn socket_mut(&mut self, key: WaitingId) -> Option<&mut Socket> {
        self.waiting.get_mut(key).map(|waiting| &mut waiting.socket)
    }

    /// Listens to a connection that has something to say or, with `ended`, will say nothing more.
    /// It is out of here when something comes back: who the client is, or why there is none.
    pub(super) fn hear(
        &mut self,
        key: WaitingId,
        ended: bool,
    ) -> Option<(Waiting, Result<(), CloseReason>)> {
        let waiting = self.waiting.get_mut(key)?;
        let heard = match proxy::hear(&waiting.socket) {
            Heard::Part if ended => Err(CloseReason::PeerClosed),
            Heard::Part => return None,
            Heard::Whole(header) => {
                waiting.peer = header.client.unwrap_or(waiting.peer);
                Ok(())
            }
            Heard::Closed => Err(CloseReason::PeerClosed),
            // It may be a proxy that speaks HTTP, which says in each request who the client is.
            Heard::Wrong(ProxyError::Missing) if matches!(waiting.speaks, Speaks::Http(_)) => {
                Ok(())
            }
            Heard::Wrong(error) => Err(CloseReason::Proxy(error)),
            Heard::Failed(error) => Err(CloseReason::Io(error.kind())),
        };
        Some((self.waiting.remove(key)?, heard))
    }

    /// One that has waited too long at `now`, out of here, and why.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<(Waiting, CloseReason)> {
        while let Some(&(until, key)) = self.due.front() {
            let is_here = self.waiting.contains(key);
            if is_here && until > now {
                return None;
            }
            self.due.pop_front();
            if is_here {
                let waiting = self.waiting.remove(key)?;
                return Some((waiting, CloseReason::TimedOut(Deadline::Handshake)));
            }
        }
        None
    }

    /// When [`overdue`](Self::overdue) has somebody, at the earliest.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.due.front().map(|(until, _)| *until)
    }

    /// Everybody, out of here.
    pub(super) fn empty(&mut self) -> Vec<Waiting> {
        self.due.clear();
        self.waiting.drain().collect()
    }
}
