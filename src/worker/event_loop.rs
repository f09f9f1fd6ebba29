//! The event loop around a [`Core`]: poll, sockets, mail and the clock. One thread; it sleeps
//! nowhere but in poll.
//!
//! ```text
//!   poll -> letters -> accept -> ingress -> feed -> egress -> woken -> deadlines -> post
//! ```
//!
//! Publishers have a poll of their own. While the pace is 0 it hangs in the main one and their
//! packets wake the loop; with a pace in force it is looked at once a beat only, and each look
//! takes what has come meanwhile: that is what makes ingest cheap.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{debug, error, warn};
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use super::antechamber::Antechamber;
use super::collections::List;
use super::core::{Core, NO_ADDRESS, Shared};
use super::ids::{ConnId, WaitingId, WorkerId};
use super::line::Callee;
use super::mail::Mail;
use super::turn::Clock;
use crate::control::resolver::Resolver;
use crate::http::session::Plane;
use crate::limits;
use crate::net::dial;
use crate::net::listener::{self, Acceptor, SocketOptions};
use crate::net::socket::Socket;
use crate::net::tls::{ClientTls, ServerTls};
use crate::net::transport::Transport;

const WAKER: Token = Token(usize::MAX);
const GATHER: Token = Token(usize::MAX - 1);
/// Listener `i` has the token `LISTENERS - i`.
const LISTENERS: usize = usize::MAX - 2;
/// Whoever waits with key `k` in the antechamber has the token `WAITING | k`: above the tokens
/// of connections, which leave the highest bit alone, and below those of the loop.
const WAITING: usize = 1 << (usize::BITS - 1);

/// See the module text.
pub struct EventLoop {
    core: Core<Socket>,
    shared: Arc<Shared<Socket>>,
    wakers: Arc<List<WorkerId, Waker>>,
    worker: WorkerId,
    poll: Poll,
    gather: Poll,
    /// The gathering poll hangs in the main one.
    gather_wakes: bool,
    /// When the publishers are looked at next while it does not.
    next_beat: Instant,
    listeners: Vec<Listener>,
    antechamber: Antechamber,
    sockets: Sockets,
    letters: Vec<Mail<Socket>>,
    drain_until: Option<Instant>,
    /// When the listeners are closed.
    listen_until: Option<Instant>,
}

/// A listener and whether it may have more to accept.
struct Listener {
    door: Door,
    ready: bool,
    /// No descriptor was free: tried again then.
    paused_until: Option<Instant>,
}

/// What a worker needs for its sockets beside the kernel; the same for all of them.
#[derive(Clone, Debug)]
pub struct Sockets {
    /// How sockets are set up.
    pub options: SocketOptions,
    /// Finds the addresses of names.
    pub resolver: Resolver,
    /// The addresses that this process listens on, which it does not connect to.
    pub own: Arc<Vec<SocketAddr>>,
    /// Whom to trust in connections with TLS, where any are to be made.
    pub tls: Option<ClientTls>,
}

/// A listening socket, and what is spoken there.
#[derive(Debug)]
pub struct Door {
    /// The socket.
    pub acceptor: Acceptor,
    /// What is spoken.
    pub speaks: Speaks,
}

/// What is spoken at a listener.
#[derive(Clone, Debug)]
pub enum Speaks {
    /// RTMP.
    Rtmp,
    /// RTMP in TLS, with these settings.
    Rtmps(Arc<ServerTls>),
    /// HTTP.
    Http(Plane),
}

impl Speaks {
    /// It is there for as long as the process is, and whoever comes.
    pub(super) fn is_admin(&self) -> bool {
        matches!(self, Self::Http(Plane::Admin))
    }
}

/// The poll of a worker, made before its thread starts, so that the others can wake it.
pub struct Seat {
    poll: Poll,
    /// Wakes the worker that sits here.
    pub waker: Waker,
}

impl Seat {
    /// A poll with a waker.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        Ok(Self { poll, waker })
    }

    /// The waker goes to everybody, the poll to the worker.
    pub fn split(self) -> (Poll, Waker) {
        (self.poll, self.waker)
    }
}

/// The clock of the event loop; the only place where it is read.
struct Wall;

impl Clock for Wall {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the place where the clock is read"
    )]
    fn now(&mut self) -> Instant {
        Instant::now()
    }
}

impl EventLoop {
    /// The loop of worker `worker`.
    ///
    /// # Errors
    /// The kernel refuses to watch the listeners.
    pub fn new(
        worker: WorkerId,
        shared: Arc<Shared<Socket>>,
        wakers: Arc<List<WorkerId, Waker>>,
        poll: Poll,
        doors: Vec<Door>,
        sockets: Sockets,
        seed: u64,
    ) -> io::Result<Self> {
        let now = Wall.now();
        let gather = Poll::new()?;
        let mut event_loop = Self {
            core: Core::new(worker, shared.clone(), seed, now),
            shared,
            wakers,
            worker,
            poll,
            gather,
            gather_wakes: false,
            next_beat: now,
            listeners: Vec::new(),
            antechamber: Antechamber::default(),
            sockets,
            letters: Vec::new(),
            drain_until: None,
            listen_until: None,
        };
        event_loop.hang_gather()?;
        for (index, mut door) in doors.into_iter().enumerate() {
            let token = Token(LISTENERS - index);
            event_loop.poll.registry().register(
                door.acceptor.source(),
                token,
                Interest::READABLE,
            )?;
            event_loop.listeners.push(Listener {
                door,
                ready: true,
                paused_until: None,
            });
        }
        Ok(event_loop)
    }

    /// Runs until everything is drained after [`Mail::Drain`].
    ///
    /// # Errors
    /// The kernel's poll failed, which it has no reason to.
    pub fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(limits::EVENTS_PER_POLL);
        let mut now = Wall.now();
        loop {
            match self.poll.poll(&mut events, self.timeout(now)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            now = Wall.now();
            let woke = now;
            self.core.set_now(now);
            self.core.gauges_mut().polls += 1;
            self.read_mail();
            let mut gather = !self.gather_wakes && now >= self.next_beat;
            for event in &events {
                match event.token() {
                    WAKER => self.core.gauges_mut().wakes += 1,
                    GATHER => gather = true,
                    Token(raw) if raw <= LISTENERS && raw > LISTENERS - self.listeners.len() => {
                        self.listeners[LISTENERS - raw].ready = true;
                    }
                    Token(raw) if raw & WAITING != 0 && raw <= LISTENERS => {
                        self.hear(
                            WaitingId::of_token(raw & !WAITING),
                            event.is_read_closed() || event.is_error(),
                        );
                    }
                    _ => self.note(event),
                }
            }
            if gather {
                self.gather(&mut events)?;
                self.core.pacer().make_due();
                self.next_beat = now + self.core.pacer().pace();
            }
            self.accept(now);
            if self.listen_until.is_some_and(|until| until <= now) {
                self.listen_until = None;
                // Those that stay come first, so that the others' tokens stay what they are.
                self.listeners.retain(|l| l.door.speaks.is_admin());
                for waiting in self.antechamber.empty() {
                    self.has_waited(&waiting.speaks);
                }
            }
            self.send_away_overdue(now);
            now = self.turn();
            self.core
                .count_busy(Wall.now().saturating_duration_since(woke));
            if self.is_over(now) {
                // What others still send here would be kept, and nobody would be told.
                self.shared.mailboxes[self.worker].close();
                self.core.publish_stats();
                return Ok(());
            }
        }
    }

    /// Everything a worker does between two polls; when it was done.
    fn turn(&mut self) -> Instant {
        let done = self.core.turn(&mut Wall);
        self.place_calls(done);
        self.register_publishers();
        self.post();
        self.follow_pace();
        done
    }

    /// How long poll may sleep.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        let more_to_accept = self
            .listeners
            .iter()
            .any(|l| l.ready && l.paused_until.is_none());
        if self.core.has_leftovers() || more_to_accept {
            return Some(Duration::ZERO);
        }
        let (publishers, _) = self.core.census();
        let beat = (!self.gather_wakes && publishers > 0).then_some(self.next_beat);
        let resumes = self
            .listeners
            .iter()
            .filter_map(|listener| listener.paused_until)
            .min();
        let deadlines = [
            self.core.next_deadline(),
            self.antechamber.next_deadline(),
            beat,
            resumes,
            Some(self.core.stats_due()),
            self.drain_until,
            self.listen_until,
        ];
        let next = deadlines.into_iter().flatten().min()?;
        Some(next.saturating_duration_since(now))
    }

    /// Marks the connection an event is about; events of connections that are gone are ignored.
    fn note(&mut self, event: &Event) {
        let key = ConnId::of_token(event.token().0);
        if event.is_writable()
            && let Some(socket) = self.core.socket_mut(key)
        {
            socket.flush_pending();
        }
        self.core
            .on_ready(key, event.is_readable(), event.is_writable());
        if event.is_read_closed() || event.is_error() {
            self.core.on_hangup(key);
        }
    }

    /// Notes everything the publishers' poll has.
    fn gather(&mut self, events: &mut Events) -> io::Result<()> {
        loop {
            match self.gather.poll(events, Some(Duration::ZERO)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            let mut count = 0;
            for event in events.iter() {
                count += 1;
                self.note(event);
            }
            if count < limits::EVENTS_PER_POLL {
                return Ok(());
            }
        }
    }

    fn read_mail(&mut self) {
        let mut letters = std::mem::take(&mut self.letters);
        self.shared.mailboxes[self.worker].collect(&mut letters);
        self.core.count_letters(letters.len());
        for mail in letters.drain(..) {
            match mail {
                Mail::Adopt(conn) => {
                    let key = self.core.adopt(*conn);
                    if self.register(key) {
                        self.core.resume_publish(key);
                    }
                }
                Mail::Drain => {
                    let closing = self.listeners.iter();
                    for listener in closing.filter(|l| !l.door.speaks.is_admin()) {
                        if let Err(error) = listener.door.acceptor.refuse_new() {
                            debug!("requests for connections cannot be dropped: {error}");
                        }
                    }
                    self.listen_until = Some(Wall.now() + limits::LISTEN_ON);
                    let time = self.shared.config.drain + limits::LINGER;
                    self.drain_until = Some(Wall.now() + time);
                    self.core.receive(Mail::Drain);
                }
                other => self.core.receive(other),
            }
        }
        self.letters = letters;
    }

    fn accept(&mut self, now: Instant) {
        for index in 0..self.listeners.len() {
            let listener = &mut self.listeners[index];
            if listener.paused_until.is_some_and(|until| until <= now) {
                listener.paused_until = None;
            }
            if listener.ready && listener.paused_until.is_none() {
                self.accept_from(index, now);
            }
        }
    }

    fn accept_from(&mut self, index: usize, now: Instant) {
        for _ in 0..limits::ACCEPTS_PER_TURN {
            match self.listeners[index]
                .door
                .acceptor
                .accept(&self.sockets.options)
            {
                Ok((socket, peer)) => self.receive(index, socket, peer, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.listeners[index].ready = false;
                    return;
                }
                Err(error) if listener::is_exhausted(&error) => {
                    // An edge-triggered poll does not tell again, so a timer has to.
                    self.listeners[index].paused_until = Some(now + limits::ACCEPT_PAUSE);
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

    /// Takes in who came to listener `index`: a client, or a proxy that has to say who the client
    /// is. Without an address it came by a unix socket.
    fn receive(&mut self, index: usize, socket: Socket, peer: Option<SocketAddr>, now: Instant) {
        let speaks = self.listeners[index].door.speaks.clone();
        let config = &self.shared.config;
        let ip = peer.map(|peer| peer.ip());
        let is_proxy = config.proxy_protocol.iter().any(|p| p.hold(ip));
        let peer = peer.unwrap_or(NO_ADDRESS);
        if !is_proxy {
            self.admit(socket, peer, &speaks);
            return;
        }
        let may_wait = if speaks.is_admin() {
            self.antechamber.admins() < limits::ADMIN_CONNECTIONS_MAX
        } else {
            self.core.may_wait()
        };
        if !may_wait {
            return;
        }
        let until = now + config.handshake_timeout;
        let key = self.antechamber.enter(socket, peer, speaks, until);
        let token = Token(WAITING | key.to_token());
        let watched = self.antechamber.socket_mut(key).map(|socket| {
            let registry = self.poll.registry();
            registry.register(socket.source(), token, Interest::READABLE)
        });
        if let Some(Err(error)) = watched {
            // It is sent away when its time is over.
            self.core
                .note_system_error("a connection cannot be watched", &error);
        }
        // Mostly the header came with the connection.
        self.hear(key, false);
    }

    /// Makes a client a connection of this worker.
    fn admit(&mut self, socket: Socket, peer: SocketAddr, speaks: &Speaks) {
        let key = match speaks {
            Speaks::Rtmp => self.core.accept(socket, peer),
            Speaks::Http(plane) => self.core.accept_http(socket, peer, *plane),
            Speaks::Rtmps(tls) => match socket.into_tls(tls) {
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

    /// Listens to who waits in the antechamber; `ended` when nothing more will come.
    fn hear(&mut self, key: WaitingId, ended: bool) {
        let Some((mut waiting, heard)) = self.antechamber.hear(key, ended) else {
            return;
        };
        self.has_waited(&waiting.speaks);
        match heard {
            Ok(()) => {
                // It is watched as what it now is.
                let _: io::Result<()> = self.poll.registry().deregister(waiting.socket.source());
                self.admit(waiting.socket, waiting.peer, &waiting.speaks);
            }
            Err(reason) => self.core.turn_away(waiting.peer, &reason),
        }
    }

    fn send_away_overdue(&mut self, now: Instant) {
        while let Some((waiting, reason)) = self.antechamber.overdue(now) {
            self.has_waited(&waiting.speaks);
            self.core.turn_away(waiting.peer, &reason);
        }
    }

    /// One that came to a listener of this kind waits no longer. Operators are not counted: they
    /// come in when nobody else does.
    fn has_waited(&self, speaks: &Speaks) {
        if !speaks.is_admin() {
            self.core.has_waited();
        }
    }

    /// Watches the socket of a connection; false when the kernel will not.
    fn register(&mut self, key: ConnId) -> bool {
        let token = Token(key.to_token());
        let Some(socket) = self.core.socket_mut(key) else {
            return false;
        };
        let interest = Interest::READABLE | Interest::WRITABLE;
        match self
            .poll
            .registry()
            .register(socket.source(), token, interest)
        {
            Ok(()) => true,
            Err(error) => {
                self.core
                    .note_system_error("a connection cannot be watched", &error);
                self.core.drop_conn(key, error.kind());
                false
            }
        }
    }

    /// Finds and connects to what the core has asked for.
    fn place_calls(&mut self, now: Instant) {
        // A connection that fails at once asks for the next address.
        while !self.core.calls().is_empty() {
            for call in std::mem::take(self.core.calls()) {
                match call.to {
                    Callee::Name { host, port } => self.find(call.id, &host, port, now),
                    Callee::Address { address, tls } => self.dial(call.id, address, tls),
                }
            }
        }
    }

    fn find(&mut self, id: u64, host: &str, port: u16, now: Instant) {
        let (shared, wakers, worker) = (self.shared.clone(), self.wakers.clone(), self.worker);
        let reply = move |addresses| {
            let mail = Mail::Resolved { id, addresses };
            if shared.mailboxes[worker].post(std::iter::once(mail))
                && let Err(error) = wakers[worker].wake()
            {
                error!("worker={worker} cannot be woken: {error}");
            }
        };
        if let Some(found) = self.sockets.resolver.find(host, port, now, reply) {
            self.core.resolved(id, found);
        }
    }

    fn dial(&mut self, id: u64, address: SocketAddr, tls: Option<String>) {
        let sockets = &self.sockets;
        let name = tls.as_ref().map(|host| {
            let Some(tls) = &sockets.tls else {
                return Err(io::Error::other("no certificates to trust; give --tls-ca"));
            };
            let name = tls.name(host);
            name.ok_or_else(|| io::Error::other("no name that a certificate can have"))
        });
        let dialled = match name.transpose() {
            _ if dial::is_own(address, &sockets.own) => {
                Err(io::Error::other("that is this relay itself"))
            }
            Err(error) => Err(error),
            Ok(name) => dial::dial(address, name.as_ref(), &sockets.options),
        };
        if let Some(key) = self.core.dialled(id, address, dialled) {
            self.register(key);
        }
    }

    /// Moves new publishers to the poll that is gathered, unless every packet is to wake.
    fn register_publishers(&mut self) {
        let fixed_zero = self.shared.config.pace == crate::config::Pace::Fixed(Duration::ZERO);
        for key in std::mem::take(self.core.new_publishers()) {
            let Some(socket) = self.core.socket_mut(key) else {
                continue;
            };
            if fixed_zero {
                continue;
            }
            let interest = Interest::READABLE | Interest::WRITABLE;
            let token = Token(key.to_token());
            // One that published before is there already.
            if self.poll.registry().deregister(socket.source()).is_err() {
                continue;
            }
            let moved = self
                .gather
                .registry()
                .register(socket.source(), token, interest);
            if let Err(error) = moved {
                self.core
                    .note_system_error("a publisher cannot be watched", &error);
                self.core.drop_conn(key, error.kind());
            }
        }
    }

    /// Hangs the publishers' poll into the main one while the pace is 0, and takes it out while
    /// it is not.
    fn follow_pace(&mut self) {
        let wakes = self.core.pacer().pace().is_zero();
        if wakes == self.gather_wakes {
            return;
        }
        let changed = if wakes {
            self.hang_gather()
        } else {
            self.gather_wakes = false;
            let fd = self.gather.as_raw_fd();
            self.poll.registry().deregister(&mut SourceFd(&fd))
        };
        if let Err(error) = changed {
            error!("the publishers' poll cannot be watched: {error}");
        }
    }

    fn hang_gather(&mut self) -> io::Result<()> {
        let fd = self.gather.as_raw_fd();
        self.poll
            .registry()
            .register(&mut SourceFd(&fd), GATHER, Interest::READABLE)?;
        // Only then: who thinks that it hangs there looks at the publishers no more.
        self.gather_wakes = true;
        Ok(())
    }

    /// Posts what the turn has to say: one lock and at most one wake-up for each receiver.
    fn post(&mut self) {
        if self.core.outbound().is_empty() {
            return;
        }
        let mut outbound = std::mem::take(self.core.outbound());
        for (_, mail) in &mut outbound {
            if let Mail::Adopt(conn) = mail {
                // Whichever poll has it.
                let socket = conn.socket_mut();
                if self.poll.registry().deregister(socket.source()).is_err() {
                    let _: io::Result<()> = self.gather.registry().deregister(socket.source());
                }
            }
        }
        for worker in self.wakers.indices() {
            if outbound.iter().any(|(to, _)| *to == worker) {
                let letters = outbound.extract_if(.., |(to, _)| *to == worker);
                if self.shared.mailboxes[worker].post(letters.map(|(_, mail)| mail))
                    && let Err(error) = self.wakers[worker].wake()
                {
                    error!("worker {worker} cannot be woken: {error}");
                }
            }
        }
        *self.core.outbound() = outbound;
    }

    fn is_over(&self, now: Instant) -> bool {
        self.core.is_drained() && self.listen_until.is_none()
            || self.drain_until.is_some_and(|until| until <= now)
    }
}

/// A connection can go to another thread.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<super::conn::Conn<Socket>>();
};
