//! What is around a simulated worker: its polls, its listeners, the sockets it dials, and what the
//! kernel may do that is no one's wish: tell of what is not there, refuse to watch a socket, or
//! have no descriptor for the next connection.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::rng::Rng;
use super::wire::{Poll, SimSocket, Watch, Wire};
use crate::config::Pace;
use crate::control::resolver::Found;
use crate::net::tls::ServerTls;
use crate::worker::event_loop::EventLoop;
use crate::worker::event_loop::listeners::{Listener, ListenerProtocol};
use crate::worker::event_loop::reactor::{Event, Reactor, Token};
use crate::worker::ids::{ConnId, WorkerId};
use crate::worker::mail::Mail;
use crate::worker::shared::Shared;
use crate::worker::turn::Clock;

/// A simulated worker: the event loop that production runs.
pub(super) type SimWorker = EventLoop<SimReactor>;

/// Where names and addresses lead.
pub(super) trait Network {
    /// The addresses of a host, if they are known at once.
    fn resolve(&mut self, id: u64, host: &str) -> Option<Found>;
    /// Connects to an address.
    fn dial(&mut self, address: SocketAddr) -> io::Result<SimSocket>;
}

/// Nobody is there.
pub(super) struct Nowhere;

impl Network for Nowhere {
    fn resolve(&mut self, _: u64, _: &str) -> Option<Found> {
        Some(Err("no such name".to_owned()))
    }

    fn dial(&mut self, _: SocketAddr) -> io::Result<SimSocket> {
        Err(io::ErrorKind::ConnectionRefused.into())
    }
}

/// Connections that came to a listener and were not accepted.
#[derive(Default)]
pub(super) struct Backlog {
    conns: VecDeque<(SimSocket, SocketAddr)>,
    /// The poll has not told yet that there are any.
    event: bool,
    /// New ones are dropped, as nobody takes them any more.
    is_refusing: bool,
    is_closed: bool,
}

impl Backlog {
    /// Somebody connects; whoever listens no longer lets the socket drop.
    pub(super) fn connect(&mut self, socket: SimSocket, peer: SocketAddr) {
        if !self.is_refusing && !self.is_closed {
            self.conns.push_back((socket, peer));
            self.event = true;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.conns.len()
    }
}

/// The worker's end of a [`Backlog`].
pub(super) struct SimListener(Rc<RefCell<Backlog>>);

impl Drop for SimListener {
    fn drop(&mut self) {
        let mut backlog = self.0.borrow_mut();
        backlog.is_closed = true;
        backlog.conns.clear();
    }
}

/// What the kernel does of itself.
pub(super) struct KernelFaults {
    rng: Rng,
    /// Calls out of a thousand that go wrong.
    pub(super) permille: usize,
    /// Of the last sockets that were watched; some are gone.
    tokens: VecDeque<Token>,
    pub(super) counts: KernelCounts,
}

/// How often the kernel did what it does of itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KernelCounts {
    /// Events of what has not changed.
    pub(super) spurious: u64,
    /// Events of what is gone.
    pub(super) stale: u64,
    /// Sockets that it would not watch.
    pub(super) unwatched: u64,
    /// Connections for which it had no descriptor.
    pub(super) exhausted: u64,
    /// Connections that were gone before they were accepted.
    pub(super) aborted: u64,
}

impl KernelCounts {
    /// Connections that it has ended by itself.
    pub(super) fn ended(&self) -> u64 {
        self.unwatched + self.aborted
    }

    /// These and others together.
    pub(super) fn plus(&self, other: &Self) -> Self {
        Self {
            spurious: self.spurious + other.spurious,
            stale: self.stale + other.stale,
            unwatched: self.unwatched + other.unwatched,
            exhausted: self.exhausted + other.exhausted,
            aborted: self.aborted + other.aborted,
        }
    }
}

/// Tokens that events of what is gone are made of.
const TOKENS_KEPT: usize = 16;

impl KernelFaults {
    fn happens(&mut self) -> bool {
        self.permille > 0 && self.rng.chance(self.permille)
    }
}

/// See the module text.
pub(super) struct SimReactor {
    worker: usize,
    is_unpaced: bool,
    /// The time of the world, and what calls of this turn have taken.
    pub(super) now: Instant,
    wires: Vec<Rc<RefCell<Wire>>>,
    backlogs: Vec<Rc<RefCell<Backlog>>>,
    publishers_wake: bool,
    /// The main poll has told of the publishers', which was not looked at since.
    is_told: bool,
    /// When the publishers' poll was looked at last.
    pub(super) looked: Option<Instant>,
    /// Another worker has woken this one.
    pub(super) is_woken: bool,
    /// Letters to other workers, by turn and receiver.
    pub(super) posted: Vec<(WorkerId, Vec<Mail<SimSocket>>)>,
    /// Connections whose publish was accepted.
    pub(super) new_publishers: Vec<ConnId>,
    network: Rc<RefCell<dyn Network>>,
    pub(super) faults: KernelFaults,
}

/// Worker `worker`, with a listener for each of `protocols`.
pub(super) fn worker(
    worker: usize,
    shared: &Arc<Shared<SimSocket>>,
    network: Rc<RefCell<dyn Network>>,
    protocols: &[ListenerProtocol],
    (seed, now): (u64, Instant),
) -> SimWorker {
    let listener = |protocol: &ListenerProtocol| {
        let backlog = Rc::new(RefCell::new(Backlog::default()));
        let socket = SimListener(backlog.clone());
        let protocol = protocol.clone();
        (backlog, Listener { socket, protocol })
    };
    let (backlogs, listeners) = protocols.iter().map(listener).unzip();
    let reactor = SimReactor {
        worker,
        is_unpaced: shared.config.pace == Pace::Fixed(Duration::ZERO),
        now,
        wires: Vec::new(),
        backlogs,
        publishers_wake: false,
        is_told: false,
        looked: None,
        is_woken: false,
        posted: Vec::new(),
        new_publishers: Vec::new(),
        network,
        faults: KernelFaults {
            rng: Rng::new(seed ^ 0x6E57),
            permille: 0,
            tokens: VecDeque::new(),
            counts: KernelCounts::default(),
        },
    };
    EventLoop::new(
        WorkerId::new(worker),
        shared.clone(),
        reactor,
        listeners,
        seed,
    )
    .expect("all is watched")
}

impl SimReactor {
    /// Somebody connects to listener `index`.
    pub(super) fn connect(&self, index: usize, socket: SimSocket, peer: SocketAddr) {
        self.backlogs[index].borrow_mut().connect(socket, peer);
    }

    /// Connections that were not accepted.
    pub(super) fn waiting(&self) -> usize {
        let backlogs = self.backlogs.iter();
        backlogs.map(|backlog| backlog.borrow().len()).sum()
    }

    /// Whether any listener is open.
    pub(super) fn is_listening(&self) -> bool {
        let mut backlogs = self.backlogs.iter();
        backlogs.any(|backlog| !backlog.borrow().is_closed)
    }

    /// Whether the main poll would return.
    pub(super) fn has_events(&self) -> bool {
        self.is_woken
            || self.has_socket_event(Poll::Main)
            || self.publishers_wake && self.has_socket_event(Poll::Publishers)
            || self.backlogs.iter().any(|backlog| backlog.borrow().event)
    }

    /// Whether some publisher has sent something that no poll has told.
    pub(super) fn has_publisher_event(&self) -> bool {
        self.has_socket_event(Poll::Publishers)
    }

    fn has_socket_event(&self, poll: Poll) -> bool {
        self.wires.iter().any(|wire| {
            let wire = wire.borrow();
            wire.event && self.is_its(&wire, poll)
        })
    }

    fn is_its(&self, wire: &Wire, poll: Poll) -> bool {
        let watch = wire.watch.as_ref();
        watch.is_some_and(|watch| watch.worker == self.worker && watch.poll == poll)
    }

    /// Puts what one poll has to tell of sockets in `events`.
    fn harvest(&mut self, poll: Poll, events: &mut Vec<Event>) {
        let worker = self.worker;
        self.wires.retain(|wire| {
            let wire = wire.borrow();
            wire.watch
                .as_ref()
                .is_some_and(|watch| watch.worker == worker)
        });
        for wire in &self.wires {
            let mut wire = wire.borrow_mut();
            if self.is_its(&wire, poll)
                && let Some(watch) = wire.watch
                && let Some(ready) = wire.harvest()
            {
                events.push(Event {
                    token: watch.token,
                    readable: ready.readable,
                    writable: ready.writable,
                    hangup: ready.hangup,
                });
            }
        }
    }

    /// An event that is not about anything that has changed.
    fn spurious(&mut self) -> Option<Event> {
        if !self.faults.happens() || self.faults.tokens.is_empty() {
            return None;
        }
        let at = self.faults.rng.below(self.faults.tokens.len());
        let token = self.faults.tokens[at];
        let is_here = self.wires.iter().any(|wire| {
            let wire = wire.borrow();
            wire.watch
                .as_ref()
                .is_some_and(|watch| watch.token == token)
        });
        let counts = &mut self.faults.counts;
        counts.spurious += u64::from(is_here);
        counts.stale += u64::from(!is_here);
        Some(Event {
            token,
            readable: self.faults.rng.chance(700),
            writable: self.faults.rng.chance(700),
            hangup: !is_here,
        })
    }

    fn watch(&mut self, socket: &SimSocket, poll: Poll, token: Token) -> io::Result<()> {
        let mut wire = socket.wire.borrow_mut();
        assert!(wire.watch.is_none(), "it is watched already: {wire:?}");
        if self.faults.happens() {
            self.faults.counts.unwatched += 1;
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let worker = self.worker;
        wire.watched(Watch {
            worker,
            poll,
            token,
        });
        drop(wire);
        self.wires.retain(|wire| !Rc::ptr_eq(wire, &socket.wire));
        self.wires.push(socket.wire.clone());
        self.faults.tokens.push_back(token);
        if self.faults.tokens.len() > TOKENS_KEPT {
            self.faults.tokens.pop_front();
        }
        Ok(())
    }
}

impl Clock for SimReactor {
    fn now(&mut self) -> Instant {
        let spent = |wire: &Rc<RefCell<Wire>>| std::mem::take(&mut wire.borrow_mut().spent);
        self.now += self.wires.iter().map(spent).sum::<Duration>();
        self.now
    }
}

impl Reactor for SimReactor {
    type Socket = SimSocket;
    type Listener = SimListener;

    fn poll(&mut self, events: &mut Vec<Event>, _: Option<Duration>) -> io::Result<()> {
        events.clear();
        for wire in &self.wires {
            // Of the last turn.
            wire.borrow_mut().spent = Duration::ZERO;
        }
        let simple = |token| Event {
            token,
            readable: true,
            writable: false,
            hangup: false,
        };
        if std::mem::take(&mut self.is_woken) {
            events.push(simple(Token::Waker));
        }
        for (index, backlog) in self.backlogs.iter().enumerate() {
            if std::mem::take(&mut backlog.borrow_mut().event) {
                events.push(simple(Token::Listener(index)));
            }
        }
        self.harvest(Poll::Main, events);
        assert!(!self.is_told, "nobody looks at the publishers' poll");
        if self.publishers_wake && self.has_socket_event(Poll::Publishers) {
            self.is_told = true;
            events.push(simple(Token::Publishers));
        }
        events.extend(self.spurious());
        Ok(())
    }

    fn poll_publishers(&mut self, events: &mut Vec<Event>) -> io::Result<()> {
        events.clear();
        self.is_told = false;
        self.looked = Some(self.now);
        self.harvest(Poll::Publishers, events);
        Ok(())
    }

    fn set_publishers_wake(&mut self, wake: bool) -> io::Result<()> {
        assert_ne!(self.publishers_wake, wake, "it is so already");
        self.publishers_wake = wake;
        Ok(())
    }

    fn watch_listener(&mut self, listener: &mut SimListener, _: usize) -> io::Result<()> {
        listener.0.borrow_mut().event = true;
        Ok(())
    }

    fn register(&mut self, socket: &mut SimSocket, token: Token) -> io::Result<()> {
        self.watch(socket, Poll::Main, token)
    }

    fn move_to_publishers(&mut self, socket: &mut SimSocket, token: Token) -> io::Result<()> {
        if let Token::Conn(key) = token {
            self.new_publishers.push(key);
        }
        let watch = socket.wire.borrow().watch;
        if self.is_unpaced || watch.is_none_or(|watch| watch.poll == Poll::Publishers) {
            return Ok(());
        }
        socket.wire.borrow_mut().unwatched();
        self.watch(socket, Poll::Publishers, token)
    }

    fn deregister(&mut self, socket: &mut SimSocket) {
        socket.wire.borrow_mut().unwatched();
    }

    fn accept(
        &mut self,
        listener: &mut SimListener,
    ) -> io::Result<(SimSocket, Option<SocketAddr>)> {
        let mut backlog = listener.0.borrow_mut();
        let Some((socket, peer)) = backlog.conns.pop_front() else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        if self.faults.happens() {
            self.faults.counts.exhausted += 1;
            backlog.conns.push_front((socket, peer));
            // EMFILE
            return Err(io::Error::from_raw_os_error(24));
        }
        if self.faults.happens() {
            self.faults.counts.aborted += 1;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok((socket, Some(peer)))
    }

    fn refuse_new(&mut self, listener: &mut SimListener) -> io::Result<()> {
        listener.0.borrow_mut().is_refusing = true;
        Ok(())
    }

    fn start_tls(&mut self, _: SimSocket, _: &ServerTls) -> io::Result<SimSocket> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn dial(&mut self, address: SocketAddr, _: Option<&str>) -> io::Result<SimSocket> {
        self.network.borrow_mut().dial(address)
    }

    fn resolve(&mut self, id: u64, host: &str, _: u16) -> Option<Found> {
        self.network.borrow_mut().resolve(id, host)
    }

    fn post(&mut self, to: WorkerId, letters: impl Iterator<Item = Mail<SimSocket>>) {
        let letters: Vec<_> = letters.collect();
        let is_watched = |mail: &Mail<SimSocket>| match mail {
            Mail::Adopt(conn) => conn.socket.wire.borrow().watch.is_some(),
            _ => false,
        };
        assert!(!letters.iter().any(is_watched), "it moves, and it is here");
        assert_ne!(to.index(), self.worker, "nobody writes to itself");
        self.posted.push((to, letters));
    }
}
