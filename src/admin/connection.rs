//! A connection to the operator's port: bytes in, requests out, answers sent. Its requests are
//! answered one after the other, at most one a turn, and no further one is read before an answer
//! has been sent: whoever asks for much does not keep others waiting.
//!
//! ```text
//!   opened --PROXY header, if a proxy may send one--> requests and answers --> shut down, read off
//! ```

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Counters;
use super::places::Place;
use super::query::Query;
use crate::config::Config;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::http::session::HttpSession;
use crate::limits;
use crate::net::proxy::{self, HeaderRead, ProxyError};
use crate::net::socket::Socket;
use crate::net::transport::Transport;
use crate::worker::address::Key;

/// Bytes that are read off a connection that closes; with more it is closed at once.
const READ_OFF_BYTES: usize = 256 * 1_024;

/// See the module text.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: Socket,
    /// The client, as far as it is known.
    peer: SocketAddr,
    session: HttpSession,
    /// A PROXY header may come first.
    awaits_header: bool,
    /// It has shown the right to ask.
    is_operator: bool,
    opened: Instant,
    /// When a request came or a part of an answer went.
    active: Instant,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// It is to be looked at again without anything new.
    pub(super) has_more: bool,
    /// It has been answered for the last time: what still comes is read off until then.
    closing: Option<Instant>,
    /// Bytes read off.
    read_off: usize,
    /// What its request waits for, and the number of that.
    pub(super) query: Option<(u64, Query)>,
}

/// What there is to do for a connection.
#[derive(Debug)]
pub(super) enum Next {
    /// This is to be answered.
    Request(Box<Request>),
    /// Something was read; it is to be looked at again.
    Look,
    /// Nothing, until something comes.
    Nothing,
    /// It is over.
    Gone,
}

impl Connection {
    /// A connection that has been accepted; from a proxy that may say who the client is if
    /// `is_proxy`.
    pub(super) fn new(socket: Socket, peer: SocketAddr, is_proxy: bool, now: Instant) -> Self {
        Self {
            socket,
            peer,
            session: HttpSession::default(),
            awaits_header: is_proxy,
            is_operator: false,
            opened: now,
            active: now,
            readable: true,
            writable: true,
            has_more: false,
            closing: None,
            read_off: 0,
            query: None,
        }
    }

    /// The client, as far as it is known.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The address that it counts for.
    pub(super) fn address(&self) -> Key {
        Key::of(self.peer.ip())
    }

    /// The place that it has.
    pub(super) fn place(&self, token: usize) -> Place {
        Place {
            token,
            address: self.address(),
            is_stranger: !self.is_operator,
            is_idle: self.query.is_none() && self.session.is_waiting(),
        }
    }

    /// It has shown the right to ask.
    pub(super) fn grant(&mut self) {
        self.is_operator = true;
    }

    /// When it is closed unless something happens before.
    pub(super) fn deadline(&self, config: &Config) -> Instant {
        if let Some(until) = self.closing {
            return until;
        }
        if !self.is_operator {
            return self.opened + config.setup_timeout.min(limits::ADMIN_UNKNOWN_TIME);
        }
        let is_answered = self.session.pending().is_empty();
        let timeout = if is_answered {
            config.setup_timeout
        } else {
            config.send_timeout
        };
        self.active + timeout
    }

    /// Reads once, with `buffer` to read into, and gives the next request. `uptime` is since any
    /// moment that is always the same.
    pub(super) fn next(
        &mut self,
        buffer: &mut [u8],
        uptime: Duration,
        is_proxy: impl Fn(SocketAddr) -> bool,
        counters: &mut Counters,
    ) -> Next {
        if self.awaits_header && !self.read_header(is_proxy) {
            return match self.closing {
                Some(_) => Next::Gone,
                None => Next::Nothing,
            };
        }
        self.session.set_now(uptime);
        let is_waiting = self.closing.is_none() && self.session.is_waiting();
        if is_waiting && self.session.has_more() {
            return self.request(&[]);
        }
        if !is_waiting && self.closing.is_none() || !self.readable {
            return Next::Nothing;
        }
        match self.socket.read(buffer) {
            Ok(0) => Next::Gone,
            Ok(count) => {
                counters.bytes_in += count as u64;
                if is_waiting {
                    return self.request(&buffer[..count]);
                }
                // No reset is to overtake the last answer.
                self.read_off += count;
                if self.read_off > READ_OFF_BYTES {
                    Next::Gone
                } else {
                    Next::Look
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                Next::Nothing
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Next::Look,
            Err(_) => Next::Gone,
        }
    }

    /// The next request in what has come before and in `input`.
    fn request(&mut self, input: &[u8]) -> Next {
        match self.session.next(input, &mut 0) {
            Ok(Some(request)) => Next::Request(Box::new(request)),
            // Not whole, or wrong, which the peer has been told.
            Ok(None) | Err(_) => Next::Look,
        }
    }

    /// Reads the PROXY header, if one comes; whether that is done. It is closing when the peer
    /// may not go on.
    fn read_header(&mut self, is_proxy: impl Fn(SocketAddr) -> bool) -> bool {
        match proxy::read_header(&mut self.socket) {
            HeaderRead::Incomplete => {
                self.readable = false;
                return false;
            }
            HeaderRead::Complete(header) => self.peer = header.client.unwrap_or(self.peer),
            // It may be a proxy that speaks HTTP, which says in each request who the client is.
            HeaderRead::Invalid(ProxyError::Missing) => {}
            HeaderRead::Invalid(_) | HeaderRead::Closed | HeaderRead::Failed(_) => {
                self.closing = Some(self.opened);
                return false;
            }
        }
        self.awaits_header = false;
        if is_proxy(self.peer) {
            self.session.set_proxy(self.peer);
        }
        true
    }

    /// Takes the client over that a proxy names in a request. The host that was asked for: of the
    /// proxy, where there is one; and whether there is one.
    pub(super) fn know_client(
        &mut self,
        request: &Request,
        is_proxy: impl Fn(SocketAddr) -> bool,
        now: Instant,
    ) -> (String, bool) {
        self.active = now;
        let Some(proxy) = self.session.proxy() else {
            return (request.host.clone(), false);
        };
        let client = request
            .forwarded
            .client(|ip| is_proxy(SocketAddr::new(ip, 0)));
        self.peer = client.unwrap_or(proxy);
        (
            request.forwarded.host().unwrap_or(&request.host).to_owned(),
            true,
        )
    }

    /// Answers the last request.
    pub(super) fn answer(&mut self, response: Response) {
        // What may follow a request that nothing here takes cannot be read.
        match response.status {
            405 => self.session.answer_last(response),
            _ => self.session.answer(response),
        }
    }

    /// Sends what it is owed; false when it is over.
    pub(super) fn send(&mut self, counters: &mut Counters, now: Instant) -> bool {
        while self.writable && !self.session.pending().is_empty() {
            match self.socket.write(self.session.pending()) {
                Ok(0) => return false,
                Ok(count) => {
                    self.active = now;
                    counters.bytes_out += count as u64;
                    self.session.out().advance(count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        let is_told = self.session.is_done() && self.session.pending().is_empty();
        if is_told && self.closing.is_none() {
            self.socket.shutdown_write();
            self.closing = Some(now + limits::LINGER);
        }
        true
    }
}
