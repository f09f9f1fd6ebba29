//! Places for connections: who may come in, which idle connection by HTTP gives way, and whose
//! place one takes that comes through a proxy.
//!
//! A connection by HTTP that waits for a request can be closed at any time, and its client opens
//! another; one that waits to publish or play cannot.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;

use log::{debug, log, warn};

use super::address::NO_ADDRESS;
use super::admission::{Protocol, Refusal};
use super::close_reason::CloseReason;
use super::conn::Conn;
use super::contain::Step;
use super::core::Core;
use super::ids::ConnId;
use super::pressure::Pressure;
use super::session::Session;
use crate::edge::hops;
use crate::http::request::Request;
use crate::http::session::HttpSession;
use crate::limits;
use crate::logging::quoted;
use crate::net::transport::Transport;
use crate::rtmp::server::ServerSession;

impl<S: Transport> Core<S> {
    /// Takes a new connection that speaks HTTP; its slab key, or None when it may not come in.
    pub fn accept_http(&mut self, socket: S, peer: SocketAddr) -> Option<ConnId> {
        let is_proxy = self.is_proxy(peer.ip());
        let counted = if is_proxy { NO_ADDRESS } else { peer };
        if let Err(refusal) = self.admit(counted, Protocol::Http) {
            self.note_refusal(refusal, peer);
            return None;
        }
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let mut session = HttpSession::default();
        if is_proxy {
            session.set_proxy(peer);
        }
        let session = Session::Http(Box::new(session));
        let conn = Conn::new(id, socket, peer, session, self.now);
        let key = self.insert_accepted(conn);
        self.conns.await_request(key);
        Some(key)
    }

    /// Counts a connection that comes in from `peer`. Where newcomers have no place, an idle one
    /// by HTTP gives way.
    pub(super) fn admit(&mut self, peer: SocketAddr, protocol: Protocol) -> Result<(), Refusal> {
        if self.draining.is_done() {
            return Err(Refusal::Stopping);
        }
        if self.memory.pressure() >= Pressure::NoPlayers {
            return Err(Refusal::Memory);
        }
        let entered = self.shared.admission.enter(peer.ip(), protocol);
        match entered {
            Err(refusal) if self.make_room(refusal, peer.ip()) => {
                self.shared.admission.enter(peer.ip(), protocol)
            }
            entered => entered,
        }
    }

    /// Closes the oldest idle newcomer by HTTP whose place would do for one that was refused, or
    /// lets go of a fetched stream that lingers; false when there is none.
    fn make_room(&mut self, refusal: Refusal, address: IpAddr) -> bool {
        if self.let_go_for(refusal, address) {
            return true;
        }
        let admission = &self.shared.admission;
        let may_go = |conn: &Conn<S>| match refusal {
            Refusal::Newcomers => true,
            Refusal::AddressNewcomers => admission.is_same(conn.counted_ip(), address),
            Refusal::Connections | Refusal::Address | Refusal::Memory | Refusal::Stopping => false,
        };
        let idle = self.conns.awaiting_request().take(limits::IDLE_LOOKED_AT);
        let found = { idle }.find(|(_, conn)| is_waiting(conn) && may_go(conn));
        let Some(key) = found.map(|(key, _)| key) else {
            return false;
        };
        self.close_idle(key);
        true
    }

    /// Closes a connection at once that another takes the place of.
    fn close_idle(&mut self, key: ConnId) {
        self.contained(key, Step::Other, |core| {
            core.close(key, &CloseReason::Idle);
            core.remove(key);
        });
    }

    /// Whether peers with this address are proxies that are believed who their clients are.
    pub(super) fn is_proxy(&self, address: IpAddr) -> bool {
        self.shared.config.is_proxy(Some(address))
    }

    /// Takes the client over that a trusted proxy names in a request: from then on the connection
    /// is counted and logged under its address. An error is a status and words for a client that
    /// may not come in.
    pub(super) fn know_client(
        &mut self,
        key: ConnId,
        request: &Request,
    ) -> Result<(), (u16, &'static str)> {
        let Some(proxy) = self.conns[key].session.http().and_then(|http| http.proxy()) else {
            return Ok(());
        };
        let client = request.forwarded.client(|ip| self.is_proxy(ip));
        let client = client.unwrap_or(proxy);
        let conn = &mut self.conns[key];
        let (before, from) = (conn.peer(), conn.counted_ip());
        if before == client {
            return Ok(());
        }
        conn.set_peer(client);
        let (id, to, is_newcomer) = (conn.id(), conn.counted_ip(), conn.is_newcomer());
        if let Err(refusal) = self.rename(from, to, is_newcomer) {
            self.conns[key].set_peer(before);
            self.note_refusal(refusal, client);
            return Err((429, "too many connections from this address"));
        }
        debug!("conn={id} forwarded peer={client} proxy={proxy}");
        Ok(())
    }

    /// Counts a connection under another address.
    pub(super) fn rename(
        &mut self,
        from: IpAddr,
        to: IpAddr,
        is_newcomer: bool,
    ) -> Result<(), Refusal> {
        let now = self.uptime();
        let renamed = self.shared.admission.rename(from, to, is_newcomer, now);
        match renamed {
            Err(refusal) if self.make_room(refusal, to) => {
                self.shared.admission.rename(from, to, is_newcomer, now)
            }
            renamed => renamed,
        }
    }

    /// Takes a new connection that speaks RTMP; its slab key, or None when it may not come in.
    pub fn accept(&mut self, socket: S, peer: SocketAddr) -> Option<ConnId> {
        if let Err(refusal) = self.admit(peer, Protocol::Rtmp) {
            self.note_refusal(refusal, peer);
            return None;
        }
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let mut session = ServerSession::new(self.next_seed(id));
        // One that is too long is seen to be.
        session.keep_property(hops::VIA_KEY, limits::VIA_BYTES_MAX + 1);
        let conn = Conn::new(id, socket, peer, Session::Server(session), self.now);
        Some(self.insert_accepted(conn))
    }

    /// Whether one more may wait for what a proxy says of its client. It counts as a newcomer
    /// without an address until [`has_waited`](Self::has_waited) is called.
    pub fn may_wait(&mut self) -> bool {
        let admitted = self.admit(NO_ADDRESS, Protocol::Rtmp);
        if let Err(refusal) = admitted {
            self.note_refusal(refusal, NO_ADDRESS);
        }
        admitted.is_ok()
    }

    /// One that waited waits no longer.
    pub fn has_waited(&self) {
        let admission = &self.shared.admission;
        admission.leave(NO_ADDRESS.ip(), Some(Protocol::Rtmp), self.uptime());
    }

    /// Notes why a peer went that was no connection yet.
    pub(super) fn reject_pending(&mut self, peer: SocketAddr, reason: &CloseReason) {
        let code = reason.code();
        let level = reason.level(false);
        if self.notes.allow(code, level, self.now) {
            log!(
                level,
                "not accepted reason={code} why={} peer={peer}",
                quoted(reason)
            );
        }
        self.gauges.violations += u64::from(reason.is_violation());
        self.closes.count(reason);
    }

    fn note_refusal(&mut self, refusal: Refusal, peer: SocketAddr) {
        let counter = match refusal {
            Refusal::Connections | Refusal::Stopping => &mut self.gauges.refused,
            Refusal::Newcomers | Refusal::AddressNewcomers => &mut self.gauges.refused_newcomers,
            Refusal::Address => &mut self.gauges.refused_address,
            Refusal::Memory => &mut self.gauges.refused_memory,
        };
        *counter += 1;
        let cause = refusal.code();
        if refusal != Refusal::Stopping && self.notes.allow_rarely(cause, self.now) {
            let admission = &self.shared.admission;
            warn!(
                "connections are refused: cause={cause} peer={} open={} newcomers={}",
                peer.ip(),
                admission.connections(),
                admission.newcomers(),
            );
        }
    }

    fn insert_accepted(&mut self, conn: Conn<S>) -> ConnId {
        self.gauges.accepted += 1;
        let (id, peer) = (conn.id(), conn.peer());
        debug!("conn={id} accepted peer={peer} worker={}", self.worker);
        self.insert(conn)
    }

    /// Takes a connection that wants to publish a stream of this worker; its slab key. The
    /// event loop registers the socket, then calls [`resume_publish`](Self::resume_publish).
    pub fn adopt(&mut self, conn: Conn<S>) -> ConnId {
        self.insert(conn)
    }

    pub(super) fn insert(&mut self, conn: Conn<S>) -> ConnId {
        let key = self.conns.insert(conn);
        let config = &self.shared.config;
        let first = config.handshake_timeout.min(config.setup_timeout);
        self.arm(key, self.now + first);
        self.mark_ready(key);
        key
    }

    /// A connection cannot go on because its socket cannot be watched.
    pub fn drop_conn(&mut self, key: ConnId, kind: std::io::ErrorKind) {
        let reason = CloseReason::Io(kind);
        self.contained(key, Step::Other, |core| core.close(key, &reason));
    }
}

/// Whether a connection waits for a request, with nothing on its way in either direction.
fn is_waiting<S: Transport>(conn: &Conn<S>) -> bool {
    let waits = matches!(&conn.session, Session::Http(http) if http.is_waiting());
    waits && !conn.is_closing()
}
