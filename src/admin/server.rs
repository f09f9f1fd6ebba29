//! The thread of the operator's port: one poll, few connections, and mail to the workers.
//!
//! ```text
//!   poll -> answers of workers -> connections: read, answer, send -> accept -> deadlines
//! ```
//!
//! It waits for no worker: a request does, as long as [`limits::ANSWER_WAIT`] allows, and others
//! are answered meanwhile. Before a connection gives way to another, what it has sent is read: it
//! may be the token.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use log::{debug, error, warn};
use mio::{Events, Interest, Poll, Token, Waker};

use super::access::Access;
use super::connection::{Connection, Next};
use super::places::{Places, Room};
use super::query::{Query, Step};
use super::route::{self, ApiError, BANS};
use super::token::Token as AdminToken;
use super::{Context, Counters};
use crate::http::request::{Method, Request};
use crate::http::response::Response;
use crate::limits;
use crate::net::listener::{self, Acceptor, SocketOptions};
use crate::net::socket::Socket;
use crate::worker::collections::List;
use crate::worker::ids::WorkerId;
use crate::worker::mail::Mail;
use crate::worker::query::{Ask, Question, Reply, Told};
use crate::worker::shared::Shared;

const WAKER: Token = Token(usize::MAX);
/// Listener `i` has the token `LISTENERS - i`; connections count up from 0.
const LISTENERS: usize = usize::MAX - 1;

/// What is read from a connection in a turn. With [`ACCEPTS`] it bounds how long a turn takes.
const READ_BYTES: usize = 4 * 1_024;

/// Connections accepted in a turn.
const ACCEPTS: usize = 8;

/// From one line about accept to the next.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// See the module text.
pub struct Server {
    shared: Arc<Shared<Socket>>,
    wakers: Arc<List<WorkerId, Waker>>,
    access: Access,
    options: SocketOptions,
    poll: Poll,
    waker: Arc<Waker>,
    listeners: Vec<Listener>,
    /// By their tokens, which are in the order in which they came.
    connections: BTreeMap<usize, Connection>,
    next_token: usize,
    places: Places,
    last_query: u64,
    answers: (Sender<Answer>, Receiver<Answer>),
    counters: Counters,
    buffer: Vec<u8>,
    /// When accept was complained of last.
    warned_at: Option<Instant>,
}

struct Listener {
    acceptor: Acceptor,
    ready: bool,
    /// No descriptor was free: tried again then.
    paused_until: Option<Instant>,
}

/// What a worker answers, for a query of a connection.
struct Answer {
    token: usize,
    query: u64,
    worker: WorkerId,
    told: Option<Told>,
}

/// The clock of this thread.
#[expect(
    clippy::disallowed_methods,
    reason = "a thread with deadlines of its own"
)]
fn clock() -> Instant {
    Instant::now()
}

impl Server {
    /// A server that answers at `acceptors` whoever shows the `token`, if there is one.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn new(
        mut acceptors: Vec<Acceptor>,
        shared: Arc<Shared<Socket>>,
        wakers: Arc<List<WorkerId, Waker>>,
        token: Option<AdminToken>,
        options: SocketOptions,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        for (index, acceptor) in acceptors.iter_mut().enumerate() {
            let token = Token(LISTENERS - index);
            poll.registry()
                .register(acceptor.source(), token, Interest::READABLE)?;
        }
        let listeners = acceptors.into_iter().map(|acceptor| Listener {
            acceptor,
            ready: true,
            paused_until: None,
        });
        let hosts = shared.config.http_host.clone();
        Ok(Self {
            shared,
            wakers,
            access: Access { token, hosts },
            options,
            poll,
            waker,
            listeners: listeners.collect(),
            connections: BTreeMap::new(),
            next_token: 0,
            places: Places::default(),
            last_query: 0,
            answers: channel(),
            counters: Counters::default(),
            buffer: vec![0; READ_BYTES],
            warned_at: None,
        })
    }

    /// Serves until the process ends.
    ///
    /// # Errors
    /// The kernel's poll failed, which it has no reason to.
    pub fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(limits::ADMIN_FILES);
        let mut now = clock();
        loop {
            match self.poll.poll(&mut events, self.timeout(now)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            now = clock();
            for event in &events {
                match event.token() {
                    WAKER => {}
                    Token(raw) if raw > LISTENERS - self.listeners.len() => {
                        self.listeners[LISTENERS - raw].ready = true;
                    }
                    Token(raw) => {
                        if let Some(connection) = self.connections.get_mut(&raw) {
                            connection.readable |= event.is_readable() || event.is_error();
                            connection.writable |= event.is_writable();
                        }
                    }
                }
            }
            self.take_answers();
            let tokens: Vec<usize> = self.connections.keys().copied().collect();
            for token in tokens {
                self.serve(token, now);
            }
            self.accept(now);
            self.close_overdue(now);
        }
    }

    fn close_overdue(&mut self, now: Instant) {
        let config = &self.shared.config;
        self.connections.retain(|_, connection| {
            let is_due = connection.deadline(config) <= now;
            if is_due {
                debug!("admin closed why=timeout peer={}", connection.peer());
            }
            !is_due
        });
    }

    /// How long poll may sleep.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        let mut listeners = self.listeners.iter();
        if listeners.any(|its| its.ready && its.paused_until.is_none())
            || self.connections.values().any(|its| its.has_more)
        {
            return Some(Duration::ZERO);
        }
        let config = &self.shared.config;
        let connections = self.connections.values();
        let deadlines = connections.map(|connection| {
            let query = connection.query.as_ref().map(|(_, query)| query.until());
            let deadline = connection.deadline(config);
            query.map_or(deadline, |until| until.min(deadline))
        });
        let pauses = self.listeners.iter().filter_map(|its| its.paused_until);
        let next = deadlines.chain(pauses).min()?;
        Some(next.saturating_duration_since(now))
    }

    fn accept(&mut self, now: Instant) {
        for index in 0..self.listeners.len() {
            let listener = &mut self.listeners[index];
            listener.paused_until = listener.paused_until.filter(|until| *until > now);
            for _ in 0..ACCEPTS {
                let listener = &mut self.listeners[index];
                if !listener.ready || listener.paused_until.is_some() {
                    break;
                }
                match listener.acceptor.accept(&self.options) {
                    Ok((socket, Some(peer))) => self.take_in(socket, peer, now),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        listener.ready = false;
                    }
                    Err(error) if listener::is_exhausted(&error) => {
                        // An edge-triggered poll does not tell again, so a timer has to.
                        listener.paused_until = Some(now + limits::ACCEPT_PAUSE);
                        self.warn_of_accept(&error, now);
                    }
                    // The peer gave up while it waited, or the network did.
                    Ok((_, None)) | Err(_) => {}
                }
            }
        }
    }

    fn warn_of_accept(&mut self, error: &io::Error, now: Instant) {
        if self
            .warned_at
            .is_none_or(|at| now.saturating_duration_since(at) >= WARN_EVERY)
        {
            self.warned_at = Some(now);
            warn!("accept at the admin port pauses: {error}; connections wait in the backlog");
        }
    }

    /// Takes a connection in and reads what came with it, if there is a place.
    fn take_in(&mut self, socket: Socket, peer: SocketAddr, now: Instant) {
        let is_proxy = self.shared.config.is_proxy(Some(peer.ip()));
        let mut connection = Connection::new(socket, peer, is_proxy, now);
        if !self.make_room(&connection, now) {
            debug!("admin not accepted why=place peer={peer}");
            return;
        }
        let token = self.next_token;
        self.next_token += 1;
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        match registry.register(connection.socket.source(), Token(token), interest) {
            Ok(()) => {
                self.connections.insert(token, connection);
                self.serve(token, now);
            }
            Err(error) => error!("an admin connection cannot be watched: {error}"),
        }
    }

    /// Makes a place for one more connection; false when there is none.
    fn make_room(&mut self, newcomer: &Connection, now: Instant) -> bool {
        loop {
            let connections = self.connections.iter();
            let others: Vec<_> = connections.map(|(token, its)| its.place(*token)).collect();
            let token = match self.places.room(newcomer.address(), &others) {
                Room::Free => return true,
                Room::Full => return false,
                Room::After(token) => token,
            };
            let was_stranger = others
                .iter()
                .any(|its| its.token == token && its.is_stranger);
            if was_stranger {
                if let Some(connection) = self.connections.get_mut(&token) {
                    connection.readable = true;
                }
                self.serve(token, now);
            }
            let its = self.connections.get(&token).map(|its| its.place(token));
            // Each time round has one stranger less.
            if its.is_some_and(|its| its.is_stranger == was_stranger)
                && let Some(connection) = self.connections.remove(&token)
            {
                debug!("admin closed why=place peer={}", connection.peer());
            }
        }
    }

    /// Does what there is to do for a connection; one whose request makes this panic is closed.
    fn serve(&mut self, token: usize, now: Instant) {
        let Some(mut connection) = self.connections.remove(&token) else {
            return;
        };
        let served = catch_unwind(AssertUnwindSafe(|| {
            let is_open = self.serve_one(token, &mut connection, now);
            (connection, is_open)
        }));
        match served {
            Ok((connection, true)) => _ = self.connections.insert(token, connection),
            Ok((connection, false)) => debug!("admin closed why=end peer={}", connection.peer()),
            // The hook has logged it.
            Err(_) => {}
        }
    }

    /// Whether it stays open.
    fn serve_one(&mut self, token: usize, connection: &mut Connection, now: Instant) -> bool {
        let query = &mut connection.query;
        if let Some((_, query)) = query.take_if(|(_, query)| query.is_complete(now)) {
            let step = query.finish(&self.context(now), now);
            self.act(token, connection, step);
        }
        if !connection.send(&mut self.counters, now) {
            return false;
        }
        let config = &self.shared.config;
        let is_proxy = |peer: SocketAddr| config.is_proxy(Some(peer.ip()));
        let uptime = self.shared.uptime(now);
        let next = connection.next(&mut self.buffer, uptime, is_proxy, &mut self.counters);
        connection.has_more = matches!(next, Next::Request(_) | Next::Look);
        match next {
            Next::Request(request) => {
                self.counters.requests += 1;
                let step = self.respond(connection, &request, now);
                self.act(token, connection, step);
            }
            Next::Look | Next::Nothing => {}
            Next::Gone => return false,
        }
        connection.send(&mut self.counters, now)
    }

    /// What a request is answered with, or what is to be asked for it.
    fn respond(&mut self, connection: &mut Connection, request: &Request, now: Instant) -> Step {
        let config = &self.shared.config;
        let is_proxy = |peer: SocketAddr| config.is_proxy(Some(peer.ip()));
        let (host, is_proxied) = connection.know_client(request, is_proxy, now);
        let right = self.access.check(request, &host);
        if right.is_ok() {
            connection.grant();
            self.places.remember(connection.address());
        }
        let context = self.context(now);
        let is_get = matches!(request.method, Method::Get | Method::Head);
        let public = route::public(&request.path, context.draining).filter(|_| is_get);
        if let Some(answer) = public {
            return Step::Answer(answer);
        }
        let routed = right.and_then(|()| {
            let method = match request.method {
                Method::Get | Method::Head => "GET",
                Method::Delete => "DELETE",
                Method::Put if request.path == BANS => "PUT",
                Method::Options | Method::Put | Method::Other => return Ok(None),
            };
            if !is_get && self.access.is_foreign(request, &host, is_proxied) {
                let why = "a page of another origin may change nothing";
                return Err(ApiError::forbidden(why));
            }
            route::route(method, &request.path, &request.query, &request.accept).map(Some)
        });
        let workers = self.shared.mailboxes.len();
        match routed {
            Ok(Some(route)) => Query::begin(route, workers, &context, now),
            Ok(None) => {
                let words = "only GET, HEAD, PUT and DELETE are answered here";
                let answer = Response::text(405, words).with("Allow", "GET, HEAD, PUT, DELETE");
                Step::Answer(answer)
            }
            Err(error) => Step::Answer(error.response()),
        }
    }

    fn act(&mut self, token: usize, connection: &mut Connection, step: Step) {
        match step {
            Step::Answer(response) => connection.answer(response),
            Step::Ask(query, asks) => {
                self.last_query += 1;
                connection.query = Some((self.last_query, query));
                for (worker, question) in asks {
                    self.ask(worker, question, token);
                }
            }
        }
    }

    /// Asks a worker for the query of the connection `token` that began last.
    fn ask(&self, worker: WorkerId, question: Arc<Question>, token: usize) {
        let (answers, waker, query) = (self.answers.0.clone(), self.waker.clone(), self.last_query);
        let reply = Reply::new(move |told| {
            let answer = Answer {
                token,
                query,
                worker,
                told,
            };
            if answers.send(answer).is_ok()
                && let Err(error) = waker.wake()
            {
                error!("the admin thread cannot be woken: {error}");
            }
        });
        let mail = Mail::Ask(Box::new(Ask { question, reply }));
        if self.shared.mailboxes[worker].post(std::iter::once(mail))
            && let Err(error) = self.wakers[worker].wake()
        {
            error!("worker={worker} cannot be woken: {error}");
        }
    }

    fn take_answers(&mut self) {
        for answer in self.answers.1.try_iter() {
            let connection = self.connections.get_mut(&answer.token);
            let query = connection.and_then(|connection| connection.query.as_mut());
            // One whose time was over is not waited for any more.
            if let Some((_, query)) = query.filter(|(number, _)| *number == answer.query) {
                query.take(answer.worker, answer.told);
            }
        }
    }

    fn context(&self, now: Instant) -> Context<'_> {
        let shared = &*self.shared;
        let uptime = shared.uptime(now);
        let uptime_ms = u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX);
        Context {
            time_ms: shared.began_ms.saturating_add(uptime_ms),
            uptime,
            draining: shared.draining.load(Ordering::Relaxed),
            config: &shared.config,
            bans: &shared.bans,
            targets: &shared.target_labels,
            counters: Counters {
                // One is being served.
                connections: self.connections.len() as u64 + 1,
                ..self.counters
            },
        }
    }
}
