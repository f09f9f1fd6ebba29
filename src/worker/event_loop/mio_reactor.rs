//! The kernel as the surroundings of an event loop, by mio: two polls, sockets, the resolver, the
//! mailboxes of the other workers, and the clock.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::error;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Waker};

use super::super::collections::List;
use super::super::ids::{ConnId, WaitingId, WorkerId};
use super::super::mail::Mail;
use super::super::shared::Shared;
use super::super::turn::Clock;
use super::reactor::{Event, Reactor, Token};
use crate::config::Pace;
use crate::control::resolver::{Found, Resolver};
use crate::limits;
use crate::net::dial;
use crate::net::listener::{Acceptor, SocketOptions};
use crate::net::socket::Socket;
use crate::net::tls::{ClientTls, ServerTls};

const WAKER: usize = usize::MAX;
const PUBLISHERS: usize = usize::MAX - 1;
/// Listener `i` has the token `LISTENERS - i`.
const LISTENERS: usize = usize::MAX - 2;
/// So many tokens are kept for listeners.
const LISTENERS_MAX: usize = 1 << 16;
/// A connection that waits for its PROXY header as `id` has the token `PENDING | id`: above the
/// tokens of connections, which leave the highest bit alone, and below those of the loop.
const PENDING: usize = 1 << (usize::BITS - 1);

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

impl Token {
    fn to_mio(self) -> mio::Token {
        mio::Token(match self {
            Self::Waker => WAKER,
            Self::Publishers => PUBLISHERS,
            Self::Listener(index) => LISTENERS - index,
            Self::Pending(id) => PENDING | id.to_token(),
            Self::Conn(key) => key.to_token(),
        })
    }

    fn from_mio(mio::Token(raw): mio::Token) -> Self {
        match raw {
            WAKER => Self::Waker,
            PUBLISHERS => Self::Publishers,
            _ if raw > LISTENERS - LISTENERS_MAX => Self::Listener(LISTENERS - raw),
            _ if raw & PENDING != 0 => Self::Pending(WaitingId::of_token(raw & !PENDING)),
            _ => Self::Conn(ConnId::of_token(raw)),
        }
    }
}

impl From<&mio::event::Event> for Event {
    fn from(event: &mio::event::Event) -> Self {
        Self {
            token: Token::from_mio(event.token()),
            readable: event.is_readable(),
            writable: event.is_writable(),
            hangup: event.is_read_closed() || event.is_error(),
        }
    }
}

/// What a worker needs for its sockets beside the kernel; the same for all of them.
#[derive(Clone, Debug)]
pub struct NetContext {
    /// How sockets are set up.
    pub options: SocketOptions,
    /// Finds the addresses of names.
    pub resolver: Resolver,
    /// The addresses that this process listens on, which it does not connect to.
    pub own: Arc<Vec<SocketAddr>>,
    /// Whom to trust in connections with TLS, where any are to be made.
    pub tls: Option<ClientTls>,
}

/// The poll of a worker, made before its thread starts, so that the others can wake it.
///
/// # Errors
/// No descriptors are left.
pub fn poll_with_waker() -> io::Result<(Poll, Waker)> {
    let poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), Token::Waker.to_mio())?;
    Ok((poll, waker))
}

/// See the module text.
pub struct MioReactor {
    worker: WorkerId,
    shared: Arc<Shared<Socket>>,
    wakers: Arc<List<WorkerId, Waker>>,
    poll: Poll,
    publishers: Poll,
    events: Events,
    net: NetContext,
}

impl MioReactor {
    /// What is around worker `worker`, which `poll` wakes.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn new(
        worker: WorkerId,
        shared: Arc<Shared<Socket>>,
        wakers: Arc<List<WorkerId, Waker>>,
        poll: Poll,
        net: NetContext,
    ) -> io::Result<Self> {
        Ok(Self {
            worker,
            shared,
            wakers,
            poll,
            publishers: Poll::new()?,
            events: Events::with_capacity(limits::EVENTS_PER_POLL),
            net,
        })
    }
}

/// Waits on `poll`, and appends its events to `into`; how many there were.
fn poll_into(
    poll: &mut Poll,
    events: &mut Events,
    timeout: Option<Duration>,
    into: &mut Vec<Event>,
) -> io::Result<usize> {
    match poll.poll(events, timeout) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(0),
        polled => polled?,
    }
    let before = into.len();
    into.extend(events.iter().map(Event::from));
    Ok(into.len() - before)
}

fn post(
    shared: &Shared<Socket>,
    wakers: &List<WorkerId, Waker>,
    to: WorkerId,
    letters: impl Iterator<Item = Mail<Socket>>,
) {
    if shared.mailboxes[to].post(letters)
        && let Err(error) = wakers[to].wake()
    {
        error!("worker={to} cannot be woken: {error}");
    }
}

impl Clock for MioReactor {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the place where the clock is read"
    )]
    fn now(&mut self) -> Instant {
        Instant::now()
    }
}

impl Reactor for MioReactor {
    type Socket = Socket;
    type Listener = Acceptor;

    fn poll(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        events.clear();
        poll_into(&mut self.poll, &mut self.events, timeout, events).map(drop)
    }

    fn poll_publishers(&mut self, events: &mut Vec<Event>) -> io::Result<()> {
        events.clear();
        let at_once = Some(Duration::ZERO);
        while poll_into(&mut self.publishers, &mut self.events, at_once, events)?
            == limits::EVENTS_PER_POLL
        {}
        Ok(())
    }

    fn set_publishers_wake(&mut self, wake: bool) -> io::Result<()> {
        let fd = self.publishers.as_raw_fd();
        let (mut source, registry) = (SourceFd(&fd), self.poll.registry());
        match wake {
            true => registry.register(&mut source, Token::Publishers.to_mio(), Interest::READABLE),
            false => registry.deregister(&mut source),
        }
    }

    fn watch_listener(&mut self, listener: &mut Acceptor, index: usize) -> io::Result<()> {
        let token = Token::Listener(index).to_mio();
        let registry = self.poll.registry();
        registry.register(listener.source(), token, Interest::READABLE)
    }

    fn register(&mut self, socket: &mut Socket, token: Token) -> io::Result<()> {
        let registry = self.poll.registry();
        registry.register(socket.source(), token.to_mio(), BOTH)
    }

    fn move_to_publishers(&mut self, socket: &mut Socket, token: Token) -> io::Result<()> {
        let is_unpaced = self.shared.config.pace == Pace::Fixed(Duration::ZERO);
        // One that published before is there already.
        if is_unpaced || self.poll.registry().deregister(socket.source()).is_err() {
            return Ok(());
        }
        let registry = self.publishers.registry();
        registry.register(socket.source(), token.to_mio(), BOTH)
    }

    fn deregister(&mut self, socket: &mut Socket) {
        if self.poll.registry().deregister(socket.source()).is_err() {
            let _: io::Result<()> = self.publishers.registry().deregister(socket.source());
        }
    }

    fn accept(&mut self, listener: &mut Acceptor) -> io::Result<(Socket, Option<SocketAddr>)> {
        listener.accept(&self.net.options)
    }

    fn refuse_new(&mut self, listener: &mut Acceptor) -> io::Result<()> {
        listener.refuse_new()
    }

    fn start_tls(&mut self, socket: Socket, tls: &ServerTls) -> io::Result<Socket> {
        socket.into_tls(tls)
    }

    fn dial(&mut self, address: SocketAddr, tls: Option<&str>) -> io::Result<Socket> {
        if dial::is_own(address, &self.net.own) {
            return Err(io::Error::other("that is this relay itself"));
        }
        let name = tls.map(|host| {
            let Some(tls) = &self.net.tls else {
                return Err(io::Error::other("no certificates to trust; give --tls-ca"));
            };
            let name = tls.name(host);
            name.ok_or_else(|| io::Error::other("no name that a certificate can have"))
        });
        dial::dial(address, name.transpose()?.as_ref(), &self.net.options)
    }

    fn resolve(&mut self, id: u64, host: &str, port: u16) -> Option<Found> {
        let (shared, wakers, worker) = (self.shared.clone(), self.wakers.clone(), self.worker);
        let reply = move |addresses| {
            let letter = Mail::Resolved { id, addresses };
            post(&shared, &wakers, worker, std::iter::once(letter));
        };
        let now = self.now();
        self.net.resolver.find(host, port, now, reply)
    }

    fn post(&mut self, to: WorkerId, letters: impl Iterator<Item = Mail<Socket>>) {
        post(&self.shared, &self.wakers, to, letters);
    }
}

/// A connection can go to another thread.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<super::super::conn::Conn<Socket>>();
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_what_they_were_made_of() {
        let last = u32::MAX;
        let generation = super::super::super::ids::GENERATIONS - 1;
        for token in [
            Token::Waker,
            Token::Publishers,
            Token::Listener(0),
            Token::Listener(999),
            Token::Pending(WaitingId::new(0, 0)),
            Token::Pending(WaitingId::new(5, generation)),
            Token::Conn(ConnId::new(0, 0)),
            Token::Conn(ConnId::new(last, generation)),
        ] {
            assert_eq!(Token::from_mio(token.to_mio()), token);
        }
    }
}
