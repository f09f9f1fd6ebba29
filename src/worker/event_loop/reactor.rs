//! What an event loop has around it: readiness, sockets, addresses of names, the other workers and
//! the clock. The kernel is one, by mio; a simulation another.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::super::ids::{ConnId, WaitingId, WorkerId};
use super::super::mail::Mail;
use super::super::turn::Clock;
use crate::control::resolver::Found;
use crate::net::tls::ServerTls;
use crate::net::transport::Transport;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// There may be letters.
    Waker,
    /// The publishers' poll has events.
    Publishers,
    /// Listener number `.0` may have connections to accept.
    Listener(usize),
    /// A connection whose PROXY header is not complete.
    Pending(WaitingId),
    /// A connection.
    Conn(ConnId),
}

/// What has changed since the last event of the same token.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// What it is about; it may be gone by now.
    pub token: Token,
    /// There may be something to read.
    pub readable: bool,
    /// There may be room to write.
    pub writable: bool,
    /// The peer sends no more, or the socket has failed.
    pub hangup: bool,
}

/// See the module text. Readiness is told once for each change (edge-triggered).
pub trait Reactor: Clock {
    /// A connected socket.
    type Socket: Transport;
    /// A socket that listens; it is closed when dropped.
    type Listener;

    /// Sleeps until there are events in the main poll, or `timeout` is over, and puts them in
    /// `events` in place of what was there. A signal may end it early.
    ///
    /// # Errors
    /// The poll failed, which it has no reason to.
    fn poll(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()>;

    /// Puts all events of the publishers' poll in `events` in place of what was there, without
    /// sleeping.
    ///
    /// # Errors
    /// As of [`poll`](Self::poll).
    fn poll_publishers(&mut self, events: &mut Vec<Event>) -> io::Result<()>;

    /// From now on events of the publishers' poll wake the main one, or do no more.
    ///
    /// # Errors
    /// The system refuses; nothing has changed.
    fn set_publishers_wake(&mut self, wake: bool) -> io::Result<()>;

    /// Watches listener number `index` in the main poll.
    ///
    /// # Errors
    /// The system refuses.
    fn watch_listener(&mut self, listener: &mut Self::Listener, index: usize) -> io::Result<()>;

    /// Watches a socket in the main poll, which tells at once what is true of it.
    ///
    /// # Errors
    /// The system refuses; the socket is not watched.
    fn register(&mut self, socket: &mut Self::Socket, token: Token) -> io::Result<()>;

    /// Watches the socket of a new publisher in the publishers' poll in place of the main one.
    /// Nothing changes when it is there already, nor while no beat is ever kept and every packet
    /// is to wake.
    ///
    /// # Errors
    /// The system refuses; the socket is not watched.
    fn move_to_publishers(&mut self, socket: &mut Self::Socket, token: Token) -> io::Result<()>;

    /// Watches a socket no longer, whichever poll it was in.
    fn deregister(&mut self, socket: &mut Self::Socket);

    /// The next connection of a listener, and the address of its peer if that has one.
    ///
    /// # Errors
    /// There is none, or none can be taken, or its peer is gone already.
    fn accept(
        &mut self,
        listener: &mut Self::Listener,
    ) -> io::Result<(Self::Socket, Option<SocketAddr>)>;

    /// Drops requests for new connections to a listener; those on their way can be accepted.
    ///
    /// # Errors
    /// The system cannot do that.
    fn refuse_new(&mut self, listener: &mut Self::Listener) -> io::Result<()>;

    /// The server's end of TLS over a socket.
    ///
    /// # Errors
    /// There is no TLS over such a socket.
    fn start_tls(&mut self, socket: Self::Socket, tls: &ServerTls) -> io::Result<Self::Socket>;

    /// Begins to connect to `address`, with TLS if that names the server. The socket is not
    /// watched.
    ///
    /// # Errors
    /// There is no way to that address, or no TLS.
    fn dial(&mut self, address: SocketAddr, tls: Option<&str>) -> io::Result<Self::Socket>;

    /// The addresses of a host, if they are known at once; otherwise they come as
    /// [`Mail::Resolved`] for call `id`.
    fn resolve(&mut self, id: u64, host: &str, port: u16) -> Option<Found>;

    /// Sends letters to another worker, in order, and wakes it.
    fn post(&mut self, to: WorkerId, letters: impl Iterator<Item = Mail<Self::Socket>>);
}
