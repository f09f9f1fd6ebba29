//! A worker without its event loop: connections, streams and everything that happens between
//! them. Sockets come as a [`Transport`], time as an argument and letters as a list, so that a
//! simulation can be the world.
//!
//! ```text
//!   accept, adopt --> conns --ingress--> streams (log) --egress--> conns
//!                        |                    ^  |
//!                     request              feed  feed
//!                        v                    |  v
//!                  publish, play           other workers
//! ```
//!
//! One turn: `receive` letters, `turn`; then what is in `outbound` is posted.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use log::{Level, debug, error, log, warn};

use super::admission::{Admission, Protocol, Refusal};
use super::bans::Bans;
use super::close_reason::{CloseReason, Closes};
use super::collections::{List, Table};
use super::conn::Conn;
use super::contain::Step;
use super::fetches::Fetches;
use super::handshakes::Handshakes;
use super::ids::{ConnId, PushRuleId, StreamId, WorkerId};
use super::line::{Call, Task};
use super::lingering::Lingering;
use super::mail::{InFlight, Mail, Mailbox};
use super::memory::Pressure;
use super::missing::Missing;
use super::notes::Notes;
use super::pace::Pacer;
use super::queries::Queries;
use super::refusal::Refusals;
use super::registry::Registry;
use super::session::Session;
use super::table::Streams;
use super::timers::{Timer, Timers};
use super::turn::STATS_EVERY;
use crate::config::Config;
use crate::edge::hops;
use crate::edge::rule;
use crate::limits;
use crate::logging::{self, quoted};
use crate::net::ring::RingPool;
use crate::net::transport::Transport;
use crate::rtmp::error::ProtocolError;
use crate::rtmp::name::AppName;
use crate::rtmp::server::{ServerSession, WireSettings};
use crate::stats::{Gauges, TargetGauges, WorkerStats};
use crate::stream::block::BlockPool;
use crate::stream::log::LogLimits;

/// What stands for the address of a peer that has none, on a unix socket.
pub const NO_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// What all workers share.
#[derive(Debug)]
pub struct Shared<S> {
    /// The settings.
    pub config: Config,
    /// Who has which stream.
    pub registry: Registry,
    /// Where each worker receives.
    pub mailboxes: List<WorkerId, Mailbox<S>>,
    /// Who may come in.
    pub admission: Admission,
    /// Bytes each worker holds for streams and connections, while that is counted.
    pub memory: List<WorkerId, AtomicU64>,
    /// When the first of them began: what knows no clock is told the time since, and
    /// connections take it along from one worker to another.
    born: OnceLock<Instant>,
    /// When the relay began, in milliseconds since 1970.
    pub began_ms: u64,
    /// The relay stops.
    pub draining: AtomicBool,
    /// What the operator has banned.
    pub bans: Bans,
    /// What origins do not have.
    pub missing: Missing,
    /// What origins have said of the queries of players.
    pub queries: Queries,
    /// How much players may have origins asked for.
    pub fetches: Arc<Fetches>,
    /// What tells this relay from others in a chain of them.
    pub relay_id: u64,
    /// The id of the next connection.
    pub next_id: AtomicU64,
    /// What each worker has counted.
    pub stats: List<WorkerId, WorkerStats>,
    /// What the target of each push rule is called beside its figures; no two are called the
    /// same, and none holds a key.
    pub target_labels: Vec<String>,
}

impl<S> Shared<S> {
    /// What `workers` workers share.
    pub fn new(config: Config, workers: usize, max_connections: usize) -> Self {
        let target_labels = rule::labels(&config.push);
        let targets = target_labels.len();
        Self {
            began_ms: 0,
            draining: AtomicBool::new(false),
            bans: Bans::default(),
            missing: Missing::default(),
            queries: Queries::default(),
            fetches: Arc::new(Fetches::new(max_connections)),
            relay_id: 0,
            registry: Registry::new(config.max_streams),
            mailboxes: (0..workers).map(|_| Mailbox::default()).collect(),
            admission: Admission::new(max_connections, config.max_per_address)
                .limiting_loopback(config.limit_loopback.is_on()),
            memory: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            config,
            born: OnceLock::new(),
            next_id: AtomicU64::new(1),
            stats: (0..workers).map(|_| WorkerStats::new(targets)).collect(),
            target_labels,
        }
    }

    /// The time since the first worker began; zero before that.
    pub fn uptime(&self, now: Instant) -> Duration {
        let born = self.born.get();
        born.map_or(Duration::ZERO, |born| now.saturating_duration_since(*born))
    }
}

/// See the module text.
#[derive(Debug)]
pub struct Core<S> {
    pub(super) worker: WorkerId,
    pub(super) shared: Arc<Shared<S>>,
    pub(super) wire: WireSettings,
    pub(super) log_limits: LogLimits,
    /// Bytes of one stream that may be under way to one worker.
    pub(super) mail_bytes: usize,
    pub(super) now: Instant,
    /// When the relay began.
    born: Instant,
    pub(super) conns: Table<ConnId, Conn<S>>,
    pub(super) streams: Streams,
    pub(super) rings: RingPool,
    pub(super) blocks: BlockPool,
    /// For message bodies that have to be in one piece.
    pub(super) scratch: Vec<u8>,
    /// Connections that may have something to read.
    pub(super) ready: Vec<ConnId>,
    /// How many of these a turn began with: they share what it may cost.
    pub(super) turn_share: usize,
    /// Connections that have something to send or may send again.
    pub(super) woken: Vec<ConnId>,
    /// Streams with something new, for players and for other workers.
    pub(super) dirty: Vec<StreamId>,
    /// Those among them whose logs have grown too long to wait for the next round.
    pub(super) overfull: Vec<StreamId>,
    /// Connections to read that are within their handshakes.
    pub(super) handshakes: Handshakes,
    pub(super) timers: Timers,
    pub(super) outbound: Vec<(WorkerId, Mail<S>)>,
    /// What is still under way of streams that have ended, by name and worker.
    pub(super) untaken: HashMap<(Arc<str>, WorkerId), InFlight>,
    /// What the event loop is to find or to connect to, ...
    pub(super) calls: Vec<Call>,
    /// ... and what each of it is for: slab key of the stream, and the task.
    pub(super) called: HashMap<u64, (StreamId, Task)>,
    /// Connections whose publish was accepted, for the event loop to gather reads of.
    pub(super) new_publishers: Vec<ConnId>,
    pub(super) pacer: Pacer,
    pub(super) gauges: Gauges,
    /// What was counted of each target, by the index of its rule.
    pub(super) targets: List<PushRuleId, TargetGauges>,
    pub(super) closes: Closes,
    pub(super) refusals: Refusals,
    /// Nothing new begins any more.
    pub(super) draining: bool,
    /// When everybody is told and closed, ...
    pub(super) drain_at: Option<Instant>,
    /// ... and that it was done.
    pub(super) drained: bool,
    /// Newcomers by HTTP that wait for a request, by id: the oldest first.
    pub(super) idle_http: BTreeMap<u64, ConnId>,
    /// Fetched streams that nobody plays any more.
    pub(super) lingering: Lingering,
    pub(super) notes: Notes,
    /// How short memory is.
    pub(super) pressure: Pressure,
    /// When streams are compared with the registry next.
    pub(super) audit_due: Instant,
    /// Those streams, while they are; empty otherwise, and kept for its memory.
    pub(super) audited: Vec<StreamId>,
    /// When memory is counted next.
    pub(super) memory_due: Instant,
    /// Bytes that had come when it was counted last.
    pub(super) reviewed_bytes: u64,
    /// When the newest are shed next, if they are to be.
    pub(super) shed_due: Instant,
    /// When what was left out of the log is told next.
    notes_due: Instant,
    /// When the figures are written down for others next.
    pub(super) stats_due: Instant,
    /// What a publisher may send in [`limits::BITRATE_TIME`], in bytes.
    pub(super) bitrate_bytes: u64,
    /// How often a connection is looked at when nothing nearer is due.
    pub(super) check_every: Duration,
    seed: u64,
}

impl<S: Transport> Core<S> {
    /// Worker `worker` of those that share `shared`. `seed` fills handshakes.
    pub fn new(worker: WorkerId, shared: Arc<Shared<S>>, seed: u64, now: Instant) -> Self {
        let config = &shared.config;
        let wire = WireSettings {
            chunk_size: config.chunk_size,
            window_ack: config.window_ack,
        };
        let log_limits = LogLimits {
            chunk_size: config.chunk_size as usize,
            bytes: config.log_bytes as u64,
            lag_bytes: config.lag_max as u64,
            window_ms: u32::try_from(config.window.as_millis()).unwrap_or(u32::MAX),
        };
        // Often enough that no deadline is missed by more than a quarter of itself.
        let quarter = (config.send_timeout / 4).max(Duration::from_millis(100));
        let ping = config.ping.unwrap_or(limits::CHECK_EVERY);
        let check_every = limits::CHECK_EVERY.min(quarter).min(ping);
        let bitrate_bytes = bitrate_bytes(config);
        let notes = Notes::new(shared.mailboxes.len(), now);
        Self {
            worker,
            targets: vec![TargetGauges::default(); config.push.len()].into(),
            pacer: Pacer::new(config, now),
            born: *shared.born.get_or_init(|| now),
            shared,
            wire,
            log_limits,
            mail_bytes: limits::MAIL_BYTES_MAX,
            now,
            conns: Table::default(),
            streams: Streams::default(),
            rings: RingPool::default(),
            blocks: BlockPool::default(),
            scratch: Vec::new(),
            ready: Vec::new(),
            turn_share: 1,
            woken: Vec::new(),
            dirty: Vec::new(),
            overfull: Vec::new(),
            handshakes: Handshakes::default(),
            timers: Timers::default(),
            outbound: Vec::new(),
            untaken: HashMap::new(),
            calls: Vec::new(),
            called: HashMap::new(),
            new_publishers: Vec::new(),
            gauges: Gauges::default(),
            closes: Closes::new(),
            refusals: Refusals::new(),
            draining: false,
            drain_at: None,
            drained: false,
            idle_http: BTreeMap::new(),
            lingering: Lingering::default(),
            notes,
            pressure: Pressure::None,
            audit_due: now,
            audited: Vec::new(),
            memory_due: now,
            reviewed_bytes: 0,
            shed_due: now,
            notes_due: now,
            stats_due: now + STATS_EVERY,
            bitrate_bytes,
            check_every,
            seed,
        }
    }

    /// The clock of this turn.
    pub fn set_now(&mut self, now: Instant) {
        self.now = now;
    }

    /// The time of this turn since the relay began.
    pub(super) fn uptime(&self) -> Duration {
        self.now.saturating_duration_since(self.born)
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

    pub(super) fn insert_accepted(&mut self, conn: Conn<S>) -> ConnId {
        self.gauges.accepted += 1;
        let (id, peer) = (conn.id, conn.peer);
        debug!("conn={id} accepted peer={peer} worker={}", self.worker);
        self.insert(conn)
    }

    /// Another number that nobody has to be able to predict.
    pub(super) fn next_seed(&mut self, salt: u64) -> u64 {
        self.seed = self
            .seed
            .wrapping_mul(0x5851_F42D_4C95_7F2D)
            .wrapping_add(salt);
        self.seed
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

    pub(super) fn note_refusal(&mut self, refusal: Refusal, peer: SocketAddr) {
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

    /// Connection `key` publishes, or plays a stream that is there: it is a newcomer no longer.
    pub(super) fn settle_in(&mut self, key: ConnId) {
        let conn = &mut self.conns[key];
        if std::mem::take(&mut conn.is_newcomer) {
            let (ip, protocol) = (conn.counted_ip(), conn.protocol());
            self.shared.admission.settle_in(ip, protocol);
        }
    }

    /// Takes a connection that wants to publish a stream of this worker; its slab key. The
    /// event loop registers the socket, then calls [`resume_publish`](Self::resume_publish).
    pub fn adopt(&mut self, mut conn: Conn<S>) -> ConnId {
        conn.in_ready = false;
        conn.in_woken = false;
        self.insert(conn)
    }

    fn insert(&mut self, conn: Conn<S>) -> ConnId {
        let key = self.conns.insert(conn);
        let config = &self.shared.config;
        let first = config.handshake_timeout.min(config.setup_timeout);
        self.arm(key, self.now + first);
        self.mark_ready(key);
        key
    }

    /// Takes a connection to another server, which is counted already; its slab key.
    pub(super) fn insert_dialled(&mut self, conn: Conn<S>) -> ConnId {
        let key = self.conns.insert(conn);
        self.arm(key, self.now + self.shared.config.pull_timeout);
        key
    }

    /// The socket of a connection, for the event loop to register.
    pub fn socket_mut(&mut self, key: ConnId) -> Option<&mut S> {
        self.conns.get_mut(key).map(|conn| &mut conn.socket)
    }

    /// A connection cannot go on because its socket cannot be watched.
    pub fn drop_conn(&mut self, key: ConnId, kind: std::io::ErrorKind) {
        let reason = CloseReason::Io(kind);
        self.contained(key, Step::Other, |core| core.close(key, &reason));
    }

    /// Logs that the system refuses something for a connection.
    pub(super) fn note_system_error(&mut self, what: &'static str, error: &std::io::Error) {
        if self.notes.allow(what, Level::Error, self.now) {
            error!("{what}: {error}");
        }
    }

    /// `accept` found no descriptor; true when that is worth a line: at most every ten seconds.
    pub fn count_accept_pause(&mut self) -> bool {
        self.gauges.accept_pauses += 1;
        self.notes.allow_rarely("accept_pause", self.now)
    }

    /// The peer of connection `key` sends no more, or the socket failed: what is left is to be
    /// read to its end, since no further event will tell.
    pub fn on_hangup(&mut self, key: ConnId) {
        if let Some(conn) = self.conns.get_mut(key) {
            conn.hung_up = true;
            self.on_ready(key, true, false);
        }
    }

    /// The socket of connection `key` is ready.
    pub fn on_ready(&mut self, key: ConnId, readable: bool, writable: bool) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if readable {
            conn.readable = true;
            self.mark_ready(key);
        }
        if writable && !self.conns[key].writable {
            self.conns[key].writable = true;
            self.wake(key);
        }
    }

    pub(super) fn mark_ready(&mut self, key: ConnId) {
        if let Some(conn) = self.conns.get_mut(key)
            && !conn.in_ready
        {
            conn.in_ready = true;
            self.ready.push(key);
        }
    }

    pub(super) fn wake(&mut self, key: ConnId) {
        if let Some(conn) = self.conns.get_mut(key)
            && !conn.in_woken
        {
            conn.in_woken = true;
            self.woken.push(key);
        }
    }

    pub(super) fn mark_dirty(&mut self, stream: StreamId) {
        let Some(entry) = self.streams.get_mut(stream) else {
            return;
        };
        if !entry.dirty {
            entry.dirty = true;
            self.dirty.push(stream);
        } else if entry.log.is_overfull() && self.overfull.last() != Some(&stream) {
            self.overfull.push(stream);
        }
    }

    /// Whether a turn is needed at once: something was left over.
    pub fn has_leftovers(&self) -> bool {
        !self.ready.is_empty() || !self.woken.is_empty() || self.handshakes.are_due()
    }

    /// When the next turn is needed if nothing happens.
    pub fn next_deadline(&self) -> Option<Instant> {
        let round = (!self.dirty.is_empty()).then(|| self.pacer.due(self.now));
        let handshakes = self.handshakes.due;
        let times = [self.timers.next(), round, self.drain_due(), handshakes];
        times.into_iter().flatten().min()
    }

    /// Whether the relay stops: nothing new begins.
    pub(super) fn is_draining(&self) -> bool {
        self.draining
    }

    /// What is to be posted, and to whom.
    pub fn outbound(&mut self) -> &mut Vec<(WorkerId, Mail<S>)> {
        &mut self.outbound
    }

    /// Connections whose publish was accepted since the last call.
    pub fn new_publishers(&mut self) -> &mut Vec<ConnId> {
        &mut self.new_publishers
    }

    /// The pace controller.
    pub fn pacer(&mut self) -> &mut Pacer {
        &mut self.pacer
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// Whether everything is told and closed.
    pub fn is_drained(&self) -> bool {
        self.draining && self.conns.len() == 0
    }

    /// How many publishers and players there are: `(publishers, players)`.
    pub fn census(&self) -> (usize, usize) {
        (self.streams.publishers(), self.streams.players())
    }

    /// Ends the roles of a connection and closes it, once it has been told why.
    pub(super) fn close(&mut self, key: ConnId, reason: &CloseReason) {
        let Some(conn) = self.conns.get(key) else {
            return;
        };
        if conn.closing.is_some() {
            return;
        }
        let code = reason.code();
        let level = reason.level(conn.has_published);
        if let CloseReason::Protocol(ProtocolError::Name(_)) = reason {
            self.note_bad_name(key, reason);
        }
        let conn = &self.conns[key];
        let app = match &conn.session {
            Session::Server(session) => session.app(),
            Session::Client(_) | Session::Http(_) => None,
        };
        if self.notes.allow(code, level, self.now) {
            log!(
                level,
                "conn={} closed role={}{} reason={code} why={} bytes_in={} bytes_out={} \
                 seconds={:.1} peer={}",
                conn.id,
                conn.role(),
                About(conn.asked.as_deref(), app),
                quoted(reason),
                conn.bytes_in,
                conn.bytes_out,
                self.now
                    .saturating_duration_since(conn.accepted_at)
                    .as_secs_f64(),
                conn.peer,
            );
        }
        self.gauges.violations += u64::from(reason.is_violation());
        self.closes.count(reason);
        let until = self.now + limits::LINGER;
        // First of all: should anything panic from here on, it is known that it was to go.
        self.conns[key].closing = Some(until);
        self.conns[key].read_off_left = reason.read_off_bytes();
        self.end_uses(key, reason);
        if reason.peer_listens() {
            if let Some(http) = self.conns[key].session.http() {
                http.end(reason.close_code(), &reason.to_string());
            }
            self.arm(key, until);
            self.wake(key);
        } else {
            self.remove(key);
        }
    }

    /// Drops what a closing connection has sent; only what it is owed stays.
    fn drop_input(&mut self, key: ConnId) {
        let conn = &mut self.conns[key];
        conn.session.drop_input();
        conn.moving = None;
        if let Some(ring) = conn.ring.take() {
            self.rings.give_back(ring);
        }
    }

    /// Drops a connection that has no roles.
    pub(super) fn remove(&mut self, key: ConnId) {
        if let Some(mut conn) = self.conns.remove(key) {
            self.timers.disarm(&mut conn.armed);
            conn.count_sent(&mut self.targets);
            let newcomer = conn.is_newcomer.then(|| conn.protocol());
            let counted = conn.counted_ip();
            debug_assert!(!self.streams.has_role(key));
            if let Some(ring) = conn.ring {
                self.rings.give_back(ring);
            }
            let admission = &self.shared.admission;
            self.idle_http.remove(&conn.id);
            if let Some(outbound) = conn.outbound {
                if outbound.is_push() {
                    admission.leave_push(outbound.charged);
                } else {
                    admission.leave_pull(outbound.charged, self.uptime());
                }
            } else {
                admission.leave(counted, newcomer, self.uptime());
            }
        }
    }

    /// Ends all that a closing connection is used for.
    pub(super) fn end_uses(&mut self, key: ConnId, reason: &CloseReason) {
        while let Some(play) = self.streams.plays(key).last().copied() {
            self.remove_player(play.stream, play.slot);
        }
        while let Some(publication) = self.streams.publications(key).last().copied() {
            self.publisher_left(key, publication.stream, false);
        }
        if let Some(errand) = self.conns[key].take_errand() {
            self.line_down(key, errand, reason);
        }
        self.drop_input(key);
    }

    /// The connection is looked at again at `at` at the latest.
    pub(super) fn arm(&mut self, key: ConnId, at: Instant) {
        let conn = &mut self.conns[key];
        self.timers.arm(&mut conn.armed, at, Timer::Conn(key));
    }

    /// Writes down what there is for those who look from outside; a few times a second.
    pub fn publish_stats(&mut self) {
        if self.now >= self.notes_due {
            self.notes_due = self.now + Duration::from_secs(1);
            self.gauges.unlogged += self.notes.tell();
            if self.worker == WorkerId::FIRST {
                // Of the whole process.
                self.gauges.unlogged += logging::take_lost();
            }
            self.forget_taken();
            self.measure_rates();
        }
        self.bound_lingering();
        self.close_stalled();
        self.review_memory();
        self.audit();
        self.bring_up_gauges();
        self.shared.stats[self.worker].store(&self.gauges, self.targets.as_slice());
        self.gauges.mail_queue = 0;
    }

    /// Makes the gauges that say how many there are say so.
    pub(super) fn bring_up_gauges(&mut self) {
        let streams = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.is_owned())
            .count();
        self.gauges.streams = streams as u64;
        self.gauges.publishers = self.streams.publishers() as u64;
        let pushes = self.count_targets();
        let (waiting, http_players) = self.count_audience();
        self.gauges.waiting = waiting;
        self.gauges.http_players = http_players;
        let pulls = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.pull.is_some());
        self.gauges.pulls = pulls.count() as u64;
        self.gauges.pushes = pushes;
        self.gauges.players = (self.streams.players() as u64).saturating_sub(pushes);
        self.gauges.connections = self.conns.len() as u64;
        self.gauges.pace_ms = u64::try_from(self.pacer.pace().as_millis()).unwrap_or(u64::MAX);
    }
}

/// Bytes that a publisher may send in [`limits::BITRATE_TIME`].
fn bitrate_bytes(config: &Config) -> u64 {
    let bits = config.publish_bitrate_max;
    let time = limits::BITRATE_TIME.as_secs();
    bits.map_or(u64::MAX, |bits| (bits / 8).saturating_mul(time))
}

/// The field of a log line that names the stream a connection is or was about, or else its app.
struct About<'a>(Option<&'a str>, Option<&'a AppName>);

impl fmt::Display for About<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (Some(stream), _) => write!(f, " stream={}", quoted(stream)),
            (None, Some(app)) => write!(f, " app={}", quoted(&app.app)),
            (None, None) => Ok(()),
        }
    }
}
