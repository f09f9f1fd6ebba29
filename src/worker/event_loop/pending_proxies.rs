//! Connections of proxies that have not said yet who the client is. They are nobody's until
//! their PROXY header is complete, and become connections of the worker then.
//!
//! ```text
//!   accept --> pending --header--> admit, with the client's address
//!                 \--no header, not in time--> closed
//! ```
//!
//! All wait equally long, so that the one that came first is due first.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use super::super::close_reason::CloseReason;
use super::super::collections::Table;
use super::super::ids::WaitingId;
use super::EventLoop;
use super::listeners::ListenerProtocol;
use super::reactor::{Reactor, Token};
use crate::net::proxy::{self, HeaderRead, ProxyError};
use crate::net::transport::Transport;

/// See the module text.
#[derive(Debug)]
pub(super) struct PendingProxies<S> {
    pending: Table<WaitingId, Pending<S>>,
    /// When which of them is waited for no longer; some are gone by then.
    due: VecDeque<(Instant, WaitingId)>,
}

/// A connection whose header is not complete.
#[derive(Debug)]
pub(super) struct Pending<S> {
    socket: S,
    /// The proxy; after the header, the client.
    peer: SocketAddr,
    /// What its listener speaks.
    pub(super) protocol: ListenerProtocol,
}

impl<S> Default for PendingProxies<S> {
    fn default() -> Self {
        Self {
            pending: Table::default(),
            due: VecDeque::new(),
        }
    }
}

impl<S: Transport> PendingProxies<S> {
    /// Reads what a connection has sent; with `ended`, it will send nothing more. It is taken out
    /// when something comes back: that the client is known, or why it is not.
    fn read(
        &mut self,
        id: WaitingId,
        ended: bool,
    ) -> Option<(Pending<S>, Result<(), CloseReason>)> {
        let pending = self.pending.get_mut(id)?;
        let read = match proxy::read_header(&mut pending.socket) {
            HeaderRead::Incomplete if ended => Err(CloseReason::PeerClosed),
            HeaderRead::Incomplete => return None,
            HeaderRead::Complete(header) => {
                pending.peer = header.client.unwrap_or(pending.peer);
                Ok(())
            }
            HeaderRead::Closed => Err(CloseReason::PeerClosed),
            // It may be a proxy that speaks HTTP, which says in each request who the client is.
            HeaderRead::Invalid(ProxyError::Missing)
                if matches!(pending.protocol, ListenerProtocol::Http) =>
            {
                Ok(())
            }
            HeaderRead::Invalid(error) => Err(CloseReason::Proxy(error)),
            HeaderRead::Failed(error) => Err(CloseReason::Io(error.kind())),
        };
        Some((self.pending.remove(id)?, read))
    }

    /// One that has waited too long at `now`, taken out.
    fn overdue(&mut self, now: Instant) -> Option<Pending<S>> {
        while let Some(&(until, id)) = self.due.front() {
            let is_here = self.pending.contains(id);
            if is_here && until > now {
                return None;
            }
            self.due.pop_front();
            if is_here {
                return self.pending.remove(id);
            }
        }
        None
    }

    /// When one of them has waited too long, at the earliest.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.due.front().map(|(until, _)| *until)
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    /// All of them, taken out.
    pub(super) fn drain(&mut self) -> Vec<Pending<S>> {
        self.due.clear();
        self.pending.drain().collect()
    }
}

impl<R: Reactor> EventLoop<R> {
    /// Lets the connection of a proxy wait for its header, if there is room.
    pub(super) fn await_header(
        &mut self,
        socket: R::Socket,
        peer: SocketAddr,
        protocol: ListenerProtocol,
        now: Instant,
    ) {
        if !self.core.may_wait() {
            return;
        }
        let until = now + self.shared.config.handshake_timeout;
        let id = self.pending.pending.insert(Pending {
            socket,
            peer,
            protocol,
        });
        self.pending.due.push_back((until, id));
        let pending = &mut self.pending.pending[id];
        if let Err(error) = self
            .reactor
            .register(&mut pending.socket, Token::Pending(id))
        {
            // It is closed when its time is over.
            self.core
                .note_system_error("a connection cannot be watched", &error);
        }
        // Mostly the header came with the connection.
        self.read_header(id, false);
    }

    /// Reads the header of a pending connection; `ended` when nothing more will come.
    pub(super) fn read_header(&mut self, id: WaitingId, ended: bool) {
        let Some((mut pending, read)) = self.pending.read(id, ended) else {
            return;
        };
        self.core.has_waited();
        match read {
            Ok(()) => {
                // It is watched as what it now is.
                self.reactor.deregister(&mut pending.socket);
                self.admit(pending.socket, pending.peer, &pending.protocol);
            }
            Err(reason) => self.core.reject_pending(pending.peer, &reason),
        }
    }

    /// Closes those that have waited too long.
    pub(super) fn expire_pending(&mut self, now: Instant) {
        while let Some(pending) = self.pending.overdue(now) {
            self.core.has_waited();
            let reason = CloseReason::HandshakeTimeout;
            self.core.reject_pending(pending.peer, &reason);
        }
    }
}
