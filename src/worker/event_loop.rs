//! The event loop around a [`Core`]: poll, sockets, mail and the clock. One thread; it sleeps
//! nowhere but in poll. What it polls and dials is its [`Reactor`]: the kernel, or a simulation.
//!
//! ```text
//!   poll -> letters -> accept -> Core::turn -> dial -> register -> post
//! ```
//!
//! Publishers have a poll of their own. While the pace is 0 it hangs in the main one and their
//! packets wake the loop; with a pace in force it is looked at once a beat only, and each look
//! takes what has come meanwhile: that is what makes ingest cheap. A connection that publishes no
//! longer stays in it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use listeners::{Listener, Listeners};
use log::error;
use pending_proxies::PendingProxies;
use reactor::{Event, Reactor, Token};

use super::core::Core;
use super::ids::{ConnId, WorkerId};
use super::line::Callee;
use super::mail::Mail;
use super::shared::Shared;
use crate::limits;
use crate::net::transport::Transport;

pub mod listeners;
pub mod mio_reactor;
mod pending_proxies;
pub mod reactor;

/// See the module text.
pub struct EventLoop<R: Reactor> {
    core: Core<R::Socket>,
    reactor: R,
    shared: Arc<Shared<R::Socket>>,
    worker: WorkerId,
    /// When the last turn was done.
    now: Instant,
    listeners: Listeners<R::Listener>,
    pending: PendingProxies<R::Socket>,
    /// The publishers' poll wakes the main one.
    publishers_wake: bool,
    /// When the publishers are looked at next while it does not.
    next_beat: Instant,
    /// What the polls and the mailbox had, kept for their memory.
    events: Vec<Event>,
    letters: Vec<Mail<R::Socket>>,
    /// When the loop ends at the latest.
    drain_until: Option<Instant>,
}

impl<R: Reactor> EventLoop<R> {
    /// The loop of worker `worker`. `seed` fills handshakes.
    ///
    /// # Errors
    /// The system refuses to watch the listeners.
    pub fn new(
        worker: WorkerId,
        shared: Arc<Shared<R::Socket>>,
        mut reactor: R,
        listeners: Vec<Listener<R::Listener>>,
        seed: u64,
    ) -> io::Result<Self> {
        let now = reactor.now();
        let mut event_loop = Self {
            core: Core::new(worker, shared.clone(), seed, now),
            reactor,
            shared,
            worker,
            now,
            listeners: Listeners::new(listeners),
            pending: PendingProxies::default(),
            publishers_wake: false,
            next_beat: now,
            events: Vec::with_capacity(limits::EVENTS_PER_POLL),
            letters: Vec::new(),
            drain_until: None,
        };
        event_loop.reactor.set_publishers_wake(true)?;
        event_loop.publishers_wake = true;
        event_loop.watch_listeners()?;
        Ok(event_loop)
    }

    /// Runs until everything is drained after [`Mail::Drain`].
    ///
    /// # Errors
    /// The poll failed, which it has no reason to.
    pub fn run(&mut self) -> io::Result<()> {
        while !self.turn()? {}
        Ok(())
    }

    /// Sleeps until there is something to do, and does it once; true when all is drained, and no
    /// turn is to follow.
    pub(super) fn turn(&mut self) -> io::Result<bool> {
        let timeout = self.timeout(self.now);
        self.reactor.poll(&mut self.events, timeout)?;
        let woke = self.reactor.now();
        self.core.set_now(woke);
        self.core.gauges_mut().polls += 1;
        self.read_mail(woke);
        self.take_events(woke)?;
        self.accept(woke);
        self.close_listeners(woke);
        self.expire_pending(woke);
        self.core.turn(&mut self.reactor);
        self.place_calls();
        self.move_publishers();
        self.post();
        self.follow_pace();
        self.now = self.reactor.now();
        let busy = self.now.saturating_duration_since(woke);
        self.core.count_busy(busy);
        let is_over = self.is_over();
        if is_over {
            // What others still send here would be kept, and nobody would be told.
            self.shared.mailboxes[self.worker].close();
            self.core.publish_stats();
        }
        Ok(is_over)
    }

    /// How long poll may sleep at `now`.
    pub(super) fn timeout(&self, now: Instant) -> Option<Duration> {
        if self.core.has_leftovers() || self.listeners.are_ready() {
            return Some(Duration::ZERO);
        }
        let beat = (!self.publishers_wake).then_some(self.next_beat);
        let deadlines = [
            self.core.next_deadline(),
            self.pending.next_deadline(),
            self.listeners.next_deadline(),
            beat,
            Some(self.core.stats_due()),
            self.drain_until,
        ];
        let next = deadlines.into_iter().flatten().min()?;
        Some(next.saturating_duration_since(now))
    }

    /// Acts on what the main poll had, and on what the publishers' has when it is to be looked at.
    fn take_events(&mut self, now: Instant) -> io::Result<()> {
        let mut looks = !self.publishers_wake && now >= self.next_beat;
        let mut events = std::mem::take(&mut self.events);
        for event in &events {
            match event.token {
                Token::Waker => self.core.gauges_mut().wakes += 1,
                Token::Publishers => looks = true,
                Token::Listener(index) => self.listeners.set_ready(index),
                Token::Pending(id) => self.read_header(id, event.hangup),
                Token::Conn(key) => self.mark_ready(key, event),
            }
        }
        let mut polled = Ok(());
        if looks {
            polled = self.reactor.poll_publishers(&mut events);
            for event in &events {
                if let Token::Conn(key) = event.token {
                    self.mark_ready(key, event);
                }
            }
            self.core.pacer().make_due();
            self.next_beat = now + self.core.pacer().pace();
        }
        self.events = events;
        polled
    }

    /// Marks the connection an event is about; events of connections that are gone are ignored.
    fn mark_ready(&mut self, key: ConnId, event: &Event) {
        if event.writable
            && let Some(socket) = self.core.socket_mut(key)
        {
            socket.flush_pending();
        }
        self.core.on_ready(key, event.readable, event.writable);
        if event.hangup {
            self.core.on_hangup(key);
        }
    }

    fn read_mail(&mut self, now: Instant) {
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
                    self.stop_listening(now);
                    let time = self.shared.config.drain + limits::LINGER;
                    self.drain_until = Some(now + time);
                    self.core.drain();
                }
                other => self.core.receive(other),
            }
        }
        self.letters = letters;
    }

    /// Watches the socket of a connection; false when the system will not.
    fn register(&mut self, key: ConnId) -> bool {
        let Some(socket) = self.core.socket_mut(key) else {
            return false;
        };
        let registered = self.reactor.register(socket, Token::Conn(key));
        if let Err(error) = &registered {
            self.drop_unwatched(key, error);
        }
        registered.is_ok()
    }

    /// A connection cannot go on, because nothing would tell what comes of it.
    fn drop_unwatched(&mut self, key: ConnId, error: &io::Error) {
        self.core
            .note_system_error("a connection cannot be watched", error);
        self.core.drop_conn(key, error.kind());
    }

    /// Finds and connects to what the core has asked for.
    fn place_calls(&mut self) {
        // A connection that fails at once asks for the next address.
        while !self.core.calls().is_empty() {
            for call in std::mem::take(self.core.calls()) {
                let id = call.id();
                match call.into_callee() {
                    Callee::Name { host, port } => {
                        if let Some(found) = self.reactor.resolve(id, &host, port) {
                            self.core.resolved(id, found);
                        }
                    }
                    Callee::Address { address, tls } => {
                        let dialled = self.reactor.dial(address, tls.as_deref());
                        if let Some(key) = self.core.dialled(id, address, dialled) {
                            self.register(key);
                        }
                    }
                }
            }
        }
    }

    /// Moves new publishers to the poll that is looked at once a beat.
    fn move_publishers(&mut self) {
        for key in self.core.take_publishers() {
            let Some(socket) = self.core.socket_mut(key) else {
                continue;
            };
            let moved = self.reactor.move_to_publishers(socket, Token::Conn(key));
            if let Err(error) = moved {
                self.drop_unwatched(key, &error);
            }
        }
    }

    /// Has the publishers' poll wake the main one while the pace is 0, and while nobody publishes:
    /// connections that have published are still in it.
    fn follow_pace(&mut self) {
        let (publishers, _) = self.core.census();
        let wake = publishers == 0 || self.core.pacer().pace().is_zero();
        if wake == self.publishers_wake {
            return;
        }
        match self.reactor.set_publishers_wake(wake) {
            // Only then: while it does not, the publishers are looked at once a beat.
            Ok(()) => self.publishers_wake = wake,
            Err(error) => error!("the publishers' poll cannot be watched: {error}"),
        }
    }

    /// Posts what the turn has to say, at once for each receiver.
    fn post(&mut self) {
        if self.core.outbound().is_empty() {
            return;
        }
        let mut outbound = std::mem::take(self.core.outbound());
        for (_, mail) in &mut outbound {
            if let Mail::Adopt(conn) = mail {
                self.reactor.deregister(conn.socket_mut());
            }
        }
        for worker in self.shared.mailboxes.indices() {
            if outbound.iter().any(|(to, _)| *to == worker) {
                let letters = outbound.extract_if(.., |(to, _)| *to == worker);
                self.reactor.post(worker, letters.map(|(_, mail)| mail));
            }
        }
        *self.core.outbound() = outbound;
    }

    fn is_over(&self) -> bool {
        self.core.is_drained() && !self.listeners.are_closing()
            || self.drain_until.is_some_and(|until| until <= self.now)
    }
}

/// What simulations look into.
#[cfg(test)]
impl<R: Reactor> EventLoop<R> {
    /// The worker itself.
    pub(super) fn core(&self) -> &Core<R::Socket> {
        &self.core
    }

    /// The same, to be changed.
    pub(super) fn core_mut(&mut self) -> &mut Core<R::Socket> {
        &mut self.core
    }

    /// What it polls and dials.
    pub(super) fn reactor(&self) -> &R {
        &self.reactor
    }

    /// The same, to be changed.
    pub(super) fn reactor_mut(&mut self) -> &mut R {
        &mut self.reactor
    }

    /// Connections that wait for a PROXY header.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }
}
