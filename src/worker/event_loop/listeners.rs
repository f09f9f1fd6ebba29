//! The listeners of a worker: what is spoken at each, which of them may have connections to
//! accept, and what becomes of those.
//!
//! ```text
//!   listener --accept--> proxy? --no--> admit --> a connection of the worker
//!                          \--yes--> PendingProxies --header--^
//! ```

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use log::{debug, warn};

use super::super::address::NO_ADDRESS;
use super::EventLoop;
use super::reactor::Reactor;
use crate::limits;
use crate::net::listener::is_exhausted;
use crate::net::tls::ServerTls;

/// What is spoken at a listener.
#[derive(Clone, Debug)]
pub enum ListenerProtocol {
    /// RTMP.
    Rtmp,
    /// RTMP in TLS, with these settings.
    Rtmps(Arc<ServerTls>),
    /// HTTP.
    Http,
}

/// A listening socket, and what is spoken there.
#[derive(Debug)]
pub struct Listener<L> {
    /// The socket.
    pub socket: L,
    /// What is spoken.
    pub protocol: ListenerProtocol,
}

/// See the module text.
#[derive(Debug)]
pub(super) struct Listeners<L> {
    all: Vec<Watched<L>>,
    /// When they are closed.
    close_at: Option<Instant>,
}

/// A listener and whether it may have more to accept.
#[derive(Debug)]
struct Watched<L> {
    listener: Listener<L>,
    ready: bool,
    /// No descriptor was free: tried again then.
    paused_until: Option<Instant>,
}

impl<L> Listeners<L> {
    /// Those that `listeners` are, of which each may have connections already.
    pub(super) fn new(listeners: Vec<Listener<L>>) -> Self {
        let all = listeners.into_iter().map(|listener| Watched {
            listener,
            ready: true,
            paused_until: None,
        });
        Self {
            all: all.collect(),
            close_at: None,
        }
    }

    /// Listener `index` may have connections to accept, unless it is closed.
    pub(super) fn set_ready(&mut self, index: usize) {
        if let Some(watched) = self.all.get_mut(index) {
            watched.ready = true;
        }
    }

    /// Whether some may have more to accept at once.
    pub(super) fn are_ready(&self) -> bool {
        let mut all = self.all.iter();
        all.any(|watched| watched.ready && watched.paused_until.is_none())
    }

    /// When there is something to do for them.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let paused = self.all.iter().filter_map(|watched| watched.paused_until);
        paused.chain(self.close_at).min()
    }

    /// Whether they are to be closed and are open yet.
    pub(super) fn are_closing(&self) -> bool {
        self.close_at.is_some()
    }

    /// The next listener from number `from` on to accept from at `now`.
    fn next_ready(&mut self, from: usize, now: Instant) -> Option<usize> {
        let next = self.all.iter_mut().skip(from).position(|watched| {
            watched.paused_until = watched.paused_until.filter(|until| *until > now);
            watched.ready && watched.paused_until.is_none()
        });
        next.map(|skipped| from + skipped)
    }
}

impl<R: Reactor> EventLoop<R> {
    /// Watches all listeners.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn watch_listeners(&mut self) -> io::Result<()> {
        for (index, watched) in self.listeners.all.iter_mut().enumerate() {
            let socket = &mut watched.listener.socket;
            self.reactor.watch_listener(socket, index)?;
        }
        Ok(())
    }

    /// Accepts from all listeners that may have something.
    pub(super) fn accept(&mut self, now: Instant) {
        let mut from = 0;
        while let Some(index) = self.listeners.next_ready(from, now) {
            self.accept_from(index, now);
            from = index + 1;
        }
    }

    fn accept_from(&mut self, index: usize, now: Instant) {
        for _ in 0..limits::ACCEPTS_PER_TURN {
            let watched = &mut self.listeners.all[index];
            match self.reactor.accept(&mut watched.listener.socket) {
                Ok((socket, peer)) => self.accepted(index, socket, peer, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    watched.ready = false;
                    return;
                }
                Err(error) if is_exhausted(&error) => {
                    // An edge-triggered poll does not tell again, so a timer has to.
                    watched.paused_until = Some(now + limits::ACCEPT_PAUSE);
                    if self.core.count_accept_pause() {
                        warn!("accept pauses: {error}; connections wait in the backlog");
                    }
                    return;
                }
                // The peer gave up while it waited, or the network did: the next one is fine.
                Err(_) => {}
            }
        }
    }

    /// Takes a connection from listener `index`: that of a client, or of a proxy that has to say
    /// who the client is. Without an address it came by a unix socket.
    fn accepted(
        &mut self,
        index: usize,
        socket: R::Socket,
        peer: Option<SocketAddr>,
        now: Instant,
    ) {
        let protocol = self.listeners.all[index].listener.protocol.clone();
        let is_proxy = self.shared.config.is_proxy(peer.map(|peer| peer.ip()));
        let peer = peer.unwrap_or(NO_ADDRESS);
        if is_proxy {
            self.await_header(socket, peer, protocol, now);
        } else {
            self.admit(socket, peer, &protocol);
        }
    }

    /// Makes a client a connection of this worker.
    pub(super) fn admit(
        &mut self,
        socket: R::Socket,
        peer: SocketAddr,
        protocol: &ListenerProtocol,
    ) {
        let key = match protocol {
            ListenerProtocol::Rtmp => self.core.accept(socket, peer),
            ListenerProtocol::Http => self.core.accept_http(socket, peer),
            ListenerProtocol::Rtmps(tls) => match self.reactor.start_tls(socket, tls) {
                Ok(socket) => self.core.accept(socket, peer),
                Err(error) => {
                    self.core
                        .note_system_error("no TLS for a connection", &error);
                    None
                }
            },
        };
        if let Some(key) = key {
            self.register(key);
        }
    }

    /// The relay stops: the system accepts nothing more, and what has come already is accepted
    /// until the listeners are closed.
    pub(super) fn stop_listening(&mut self, now: Instant) {
        for Watched { listener, .. } in &mut self.listeners.all {
            if let Err(error) = self.reactor.refuse_new(&mut listener.socket) {
                debug!("requests for connections cannot be dropped: {error}");
            }
        }
        self.listeners.close_at = Some(now + limits::LISTEN_ON);
    }

    /// Closes the listeners once that is due, and with them all who have not said who they are.
    pub(super) fn close_listeners(&mut self, now: Instant) {
        if self.listeners.close_at.is_none_or(|at| at > now) {
            return;
        }
        self.listeners.close_at = None;
        self.listeners.all.clear();
        for _ in self.pending.drain() {
            self.core.has_waited();
        }
    }
}
