//! A worker without its event loop: connections, streams and everything that happens between
//! them. Sockets come as a [`Transport`], time as an argument and letters as a list, so that tests
//! need no kernel.
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

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{Level, error};

use super::calls::Calls;
use super::close_reason::Closes;
use super::collections::List;
use super::conn::{Conn, Connections};
use super::draining::Draining;
use super::every::Every;
use super::handshakes::Handshakes;
use super::ids::{ConnId, PushRuleId, StreamId, WorkerId};
use super::lingering::Lingering;
use super::mail::Mail;
use super::notes::Notes;
use super::outbox::Outbox;
use super::pace::Pacer;
use super::pressure::MemoryWatch;
use super::refusal::Refusals;
use super::settings::Settings;
use super::shared::Shared;
use super::table::Streams;
use super::timers::{Timer, Timers};
use crate::limits;
use crate::net::ring::RingPool;
use crate::net::transport::Transport;
use crate::stats::{Gauges, TargetGauges};
use crate::stream::block::BlockPool;

/// See the module text.
#[derive(Debug)]
pub struct Core<S> {
    pub(super) worker: WorkerId,
    pub(super) shared: Arc<Shared<S>>,
    pub(super) settings: Settings,
    pub(super) now: Instant,
    /// The same since the relay began, ...
    uptime: Duration,
    /// ... which was then.
    born: Instant,
    pub(super) conns: Connections<S>,
    pub(super) streams: Streams,
    pub(super) rings: RingPool,
    pub(super) blocks: BlockPool,
    /// For message bodies that have to be in one piece.
    pub(super) scratch: Vec<u8>,
    /// How many connections a turn began to read: they share what it may cost.
    pub(super) turn_share: usize,
    /// Connections to read that are within their handshakes.
    pub(super) handshakes: Handshakes,
    pub(super) timers: Timers,
    pub(super) outbox: Outbox<S>,
    pub(super) calls: Calls,
    pub(super) pacer: Pacer,
    pub(super) gauges: Gauges,
    /// What was counted of each target, by the index of its rule.
    pub(super) targets: List<PushRuleId, TargetGauges>,
    pub(super) closes: Closes,
    pub(super) refusals: Refusals,
    pub(super) draining: Draining,
    /// Fetched streams that nobody plays any more.
    pub(super) lingering: Lingering,
    pub(super) notes: Notes,
    pub(super) memory: MemoryWatch,
    /// Streams are compared with the registry.
    pub(super) audit: Every,
    /// Those streams, while they are; empty otherwise, and kept for its memory.
    pub(super) audited: Vec<StreamId>,
    /// What was left out of the log is told.
    pub(super) housekeeping: Every,
    /// The figures are written down for others.
    pub(super) stats: Every,
    seed: u64,
}

impl<S: Transport> Core<S> {
    /// Worker `worker` of those that share `shared`. `seed` fills handshakes.
    pub fn new(worker: WorkerId, shared: Arc<Shared<S>>, seed: u64, now: Instant) -> Self {
        let config = &shared.config;
        let born = *shared.born.get_or_init(|| now);
        let notes = Notes::new(shared.mailboxes.len(), now);
        Self {
            worker,
            targets: vec![TargetGauges::default(); config.push.len()].into(),
            pacer: Pacer::new(config, now),
            settings: Settings::of(config),
            uptime: now.saturating_duration_since(born),
            born,
            shared,
            now,
            conns: Connections::default(),
            streams: Streams::default(),
            rings: RingPool::default(),
            blocks: BlockPool::default(),
            scratch: Vec::new(),
            turn_share: 1,
            handshakes: Handshakes::default(),
            timers: Timers::default(),
            outbox: Outbox::default(),
            calls: Calls::default(),
            gauges: Gauges::default(),
            closes: Closes::new(),
            refusals: Refusals::new(),
            draining: Draining::default(),
            lingering: Lingering::default(),
            notes,
            memory: MemoryWatch::new(now),
            audit: Every::new(limits::AUDIT_EVERY, now),
            audited: Vec::new(),
            housekeeping: Every::new(limits::HOUSEKEEPING_EVERY, now),
            stats: Every::new(limits::STATS_EVERY, now + limits::STATS_EVERY),
            seed,
        }
    }

    /// The clock of this turn.
    pub fn set_now(&mut self, now: Instant) {
        self.now = now;
        self.uptime = now.saturating_duration_since(self.born);
    }

    /// The time of this turn since the relay began.
    pub(super) fn uptime(&self) -> Duration {
        self.uptime
    }

    /// Another number that nobody has to be able to predict.
    pub(super) fn next_seed(&mut self, salt: u64) -> u64 {
        self.seed = self
            .seed
            .wrapping_mul(0x5851_F42D_4C95_7F2D)
            .wrapping_add(salt);
        self.seed
    }

    /// Connection `key` publishes from now on: it is a newcomer no longer.
    pub(super) fn set_publisher(&mut self, key: ConnId) {
        self.settle_in(key, Conn::set_publisher);
    }

    /// Connection `key` plays a stream that is there: it is a newcomer no longer.
    pub(super) fn set_player(&mut self, key: ConnId) {
        self.settle_in(key, Conn::set_player);
    }

    pub(super) fn settle_in(&mut self, key: ConnId, set_role: fn(&mut Conn<S>)) {
        let conn = &mut self.conns[key];
        let was_newcomer = conn.is_newcomer();
        set_role(conn);
        if was_newcomer {
            let (ip, protocol) = (conn.counted_ip(), conn.protocol());
            self.shared.admission.settle_in(ip, protocol);
        }
    }

    /// The socket of a connection, for the event loop to register.
    pub fn socket_mut(&mut self, key: ConnId) -> Option<&mut S> {
        self.conns.get_mut(key).map(|conn| &mut conn.socket)
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
            conn.set_hung_up();
            self.on_ready(key, true, false);
        }
    }

    /// The socket of connection `key` is ready.
    pub fn on_ready(&mut self, key: ConnId, readable: bool, writable: bool) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if readable {
            conn.set_readable(true);
            self.mark_ready(key);
        }
        if writable && self.conns[key].set_writable() {
            self.wake(key);
        }
    }

    pub(super) fn mark_ready(&mut self, key: ConnId) {
        self.conns.mark_ready(key);
    }

    pub(super) fn wake(&mut self, key: ConnId) {
        self.conns.wake(key);
    }

    pub(super) fn mark_dirty(&mut self, stream: StreamId) {
        self.streams.mark_dirty(stream);
    }

    /// Whether the relay stops: nothing new begins.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.has_begun()
    }

    /// What is to be posted, and to whom.
    pub fn outbound(&mut self) -> &mut Vec<(WorkerId, Mail<S>)> {
        self.outbox.mail()
    }

    /// Connections whose publish was accepted since the last call.
    pub fn take_publishers(&mut self) -> Vec<ConnId> {
        self.conns.take_publishers()
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
        self.is_draining() && self.conns.len() == 0
    }

    /// How many publishers and players there are: `(publishers, players)`.
    pub fn census(&self) -> (usize, usize) {
        (self.streams.publishers(), self.streams.players())
    }

    /// The connection is looked at again at `at` at the latest.
    pub(super) fn arm(&mut self, key: ConnId, at: Instant) {
        let conn = &mut self.conns[key];
        self.timers.arm(&mut conn.armed, at, Timer::Conn(key));
    }

    /// The stream is looked at again at `at`.
    pub(super) fn look_at_stream(&mut self, index: StreamId, at: Instant) {
        let armed = &mut self.streams[index].armed;
        self.timers.arm(armed, at, Timer::Stream(index));
    }
}
