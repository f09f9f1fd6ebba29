//! One connection as its worker keeps it: socket, session, what waits to be sent, and what it
//! is used for. Small when idle: no receive buffer, no send queue.

mod connections;
mod progress;

pub(super) use connections::Connections;

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, Bytes};
use smallvec::SmallVec;

use super::address::{Key, NO_ADDRESS};
use super::admission::Protocol;
use super::close_reason::CloseReason;
use super::collections::List;
use super::ids::PushRuleId;
use super::line::{Errand, Task};
use super::session::Session;
use super::timers::TimerId;
use crate::edge::hops::Via;
use crate::limits::SLICES_MAX;
use crate::net::ring::Ring;
use crate::net::transport::Transport;
use crate::rtmp::client::{Action, ClientSession};
use crate::rtmp::message::MessageStreamId;
use crate::rtmp::name::StreamName;
use crate::rtmp::server::PublishKind;
use crate::stats::TargetGauges;

/// See the module text.
#[derive(Debug)]
pub struct Conn<S> {
    /// Unique in the process; what logs call the connection by.
    id: u64,
    pub(super) socket: S,
    peer: SocketAddr,
    pub(super) session: Session,
    role: Role,
    phase: Phase,
    /// The relays that it has come through, when it is that of one.
    via: Option<Box<Via>>,
    /// Bytes that were received and not parsed; none when there are none.
    ring: Option<Ring>,
    /// The rest of messages that a full socket cut, in order. Nothing else may be sent before.
    pub(super) half_sent: SmallVec<[Bytes; 1]>,
    /// The socket may have something to read.
    readable: bool,
    /// The peer has sent its last byte.
    hung_up: bool,
    /// The socket took everything so far.
    writable: bool,
    /// On the list of connections to read.
    in_ready: bool,
    /// On the list of connections to write.
    in_woken: bool,
    /// The stream it asked for last, whatever came of it: for the log.
    asked: Option<Arc<str>>,
    /// When the last role ended, or the connection was accepted.
    idle_since: Instant,
    accepted_at: Instant,
    last_read: Instant,
    last_ping: Instant,
    /// Since when data waits for a socket that takes none.
    blocked_since: Option<Instant>,
    /// Since when data waits all the time, whether some is taken or not, and `bytes_out` then.
    lagging: Option<(Instant, u64)>,
    /// Since when the bytes of a publish that has ended were counted, and how many came: the next
    /// publish goes on with that. Boxed: few have any.
    metered: Option<Box<(Instant, u64)>>,
    /// Where its timer is, see timers.rs; none while it is acted on.
    pub(super) armed: Option<TimerId>,
    bytes_in: u64,
    bytes_out: u64,
    /// Times it was moved on to a key frame, ...
    skips: u64,
    /// ... and what it did not get for that, in bytes.
    skipped_bytes: u64,
}

/// What a connection is or was used for.
#[derive(Debug)]
enum Role {
    /// A client that has neither published nor played, and is counted as such.
    Newcomer,
    /// A client that has published.
    Publisher,
    /// A client that has played.
    Player,
    /// A client that has published and played.
    Both,
    /// This relay has opened it.
    Outbound(Box<Outbound>),
}

/// How far a connection has come.
#[derive(Debug)]
enum Phase {
    Open,
    /// It has asked to publish what another worker decides on.
    Moving(Box<MovingPublish>),
    /// It is being closed: it is dropped at `until` at the latest. So many bytes are still read of
    /// it, and dropped.
    Closing {
        until: Instant,
        read_off_left: u32,
    },
}

/// What a connection to another server is for.
#[derive(Debug)]
pub(super) struct Outbound {
    /// `None` once this relay has no more use for it.
    errand: Option<Errand>,
    /// The target that streams are handed on to by it, to its end.
    target: Option<Target>,
    /// The address that it counts for, see admission.rs.
    pub(super) charged: Option<Key>,
    /// The stream has come by it.
    has_published: bool,
}

/// A publish on its way to another worker.
#[derive(Debug)]
pub(super) struct MovingPublish {
    pub(super) msid: MessageStreamId,
    pub(super) name: StreamName,
    pub(super) kind: PublishKind,
}

/// Whose figures a connection to a target adds to.
#[derive(Clone, Copy, Debug)]
struct Target {
    /// Index of the rule.
    rule: PushRuleId,
    /// How much of `bytes_out` is in the figures.
    counted: u64,
}

/// What a write came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    /// Bytes of the log that were taken.
    pub(super) log_bytes: usize,
    /// Bytes taken in all.
    pub(super) bytes: usize,
}

impl Outbound {
    /// Whether streams are handed on by it.
    pub(super) fn is_push(&self) -> bool {
        self.target.is_some()
    }
}

/// Who it is.
impl<S> Conn<S> {
    /// Unique in the process; what logs call the connection by.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Where the peer is.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The client is elsewhere: a proxy has said so.
    pub(super) fn set_peer(&mut self, peer: SocketAddr) {
        self.peer = peer;
    }

    /// The relays that it has come through, when it is that of one.
    pub(super) fn via(&self) -> Option<&Via> {
        self.via.as_deref()
    }

    /// It is that of a relay, and has come through these.
    pub(super) fn set_via(&mut self, via: Option<Via>) {
        self.via = via.map(Box::new);
    }
}

/// What it is used for.
impl<S> Conn<S> {
    /// What it is for, when this relay has opened it.
    pub(super) fn outbound(&self) -> Option<&Outbound> {
        match &self.role {
            Role::Outbound(outbound) => Some(outbound),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub(super) fn outbound_mut(&mut self) -> Option<&mut Outbound> {
        match &mut self.role {
            Role::Outbound(outbound) => Some(outbound),
            _ => None,
        }
    }

    /// Whether this relay has opened it.
    pub(super) fn is_outbound(&self) -> bool {
        self.outbound().is_some()
    }

    /// What it is for, when this relay has opened it and still has use for it.
    pub(super) fn errand(&self) -> Option<Errand> {
        self.outbound()?.errand
    }

    /// The same, to be changed.
    pub(super) fn errand_mut(&mut self) -> Option<&mut Errand> {
        self.outbound_mut()?.errand.as_mut()
    }

    /// This relay has no more use for it; what it was for.
    pub(super) fn take_errand(&mut self) -> Option<Errand> {
        self.outbound_mut()?.errand.take()
    }

    /// The rule of the target that streams are handed on to by it.
    pub(super) fn push_rule(&self) -> Option<PushRuleId> {
        Some(self.outbound()?.target?.rule)
    }

    /// Whether it is a client that has neither published nor played.
    pub(super) fn is_newcomer(&self) -> bool {
        matches!(self.role, Role::Newcomer)
    }

    /// Whether a stream has come by it.
    pub(super) fn has_published(&self) -> bool {
        match &self.role {
            Role::Newcomer | Role::Player => false,
            Role::Publisher | Role::Both => true,
            Role::Outbound(outbound) => outbound.has_published,
        }
    }

    /// It publishes from now on.
    pub(super) fn set_publisher(&mut self) {
        match &mut self.role {
            Role::Outbound(outbound) => outbound.has_published = true,
            role @ Role::Newcomer => *role = Role::Publisher,
            role @ Role::Player => *role = Role::Both,
            Role::Publisher | Role::Both => {}
        }
    }

    /// It plays from now on.
    pub(super) fn set_player(&mut self) {
        match &mut self.role {
            role @ Role::Newcomer => *role = Role::Player,
            role @ Role::Publisher => *role = Role::Both,
            Role::Player | Role::Both | Role::Outbound(_) => {}
        }
    }
}

/// How far it has come.
impl<S> Conn<S> {
    /// When it is dropped at the latest, if it is being closed.
    pub(super) fn closing(&self) -> Option<Instant> {
        match self.phase {
            Phase::Closing { until, .. } => Some(until),
            Phase::Open | Phase::Moving(_) => None,
        }
    }

    /// Whether it is being closed.
    pub(super) fn is_closing(&self) -> bool {
        self.closing().is_some()
    }

    /// It is being closed, and dropped at `until` at the latest; so many bytes are still read of
    /// it.
    pub(super) fn begin_closing(&mut self, until: Instant, read_off: u32) {
        self.phase = Phase::Closing {
            until,
            read_off_left: read_off,
        };
    }

    /// Bytes that are still to be read of it while it is being closed.
    pub(super) fn read_off_left(&self) -> u32 {
        match self.phase {
            Phase::Closing { read_off_left, .. } => read_off_left,
            Phase::Open | Phase::Moving(_) => 0,
        }
    }

    /// So many of these have been read.
    pub(super) fn count_read_off(&mut self, bytes: u32) {
        if let Phase::Closing { read_off_left, .. } = &mut self.phase {
            *read_off_left = read_off_left.saturating_sub(bytes);
        }
    }

    /// It goes to another worker with a publish.
    pub(super) fn move_with(&mut self, publish: MovingPublish) {
        self.phase = Phase::Moving(Box::new(publish));
    }

    /// The publish that it goes to another worker with.
    pub(super) fn moving(&self) -> Option<&MovingPublish> {
        match &self.phase {
            Phase::Moving(publish) => Some(publish),
            Phase::Open | Phase::Closing { .. } => None,
        }
    }

    /// It has arrived with a publish.
    pub(super) fn take_moving(&mut self) -> Option<MovingPublish> {
        match std::mem::replace(&mut self.phase, Phase::Open) {
            Phase::Moving(publish) => Some(*publish),
            phase => {
                self.phase = phase;
                None
            }
        }
    }
}

impl<S: Transport> Conn<S> {
    pub(super) fn new(
        id: u64,
        socket: S,
        peer: SocketAddr,
        session: Session,
        now: Instant,
    ) -> Self {
        Self {
            id,
            socket,
            peer,
            session,
            role: Role::Newcomer,
            phase: Phase::Open,
            via: None,
            ring: None,
            half_sent: SmallVec::new(),
            readable: true,
            hung_up: false,
            writable: true,
            in_ready: false,
            in_woken: false,
            asked: None,
            idle_since: now,
            accepted_at: now,
            last_read: now,
            last_ping: now,
            blocked_since: None,
            lagging: None,
            metered: None,
            armed: None,
            bytes_in: 0,
            bytes_out: 0,
            skips: 0,
            skipped_bytes: 0,
        }
    }

    /// A connection to another server; its socket may not be connected yet.
    pub(super) fn dialled(
        id: u64,
        socket: S,
        peer: SocketAddr,
        session: ClientSession,
        errand: Errand,
        charged: Option<Key>,
        now: Instant,
    ) -> Self {
        let target = match errand.task() {
            Task::Push(rule) => Some(Target { rule, counted: 0 }),
            Task::Pull => None,
        };
        let outbound = Outbound {
            errand: Some(errand),
            target,
            charged,
            has_published: false,
        };
        let session = Session::Client(Box::new(session));
        Self {
            role: Role::Outbound(Box::new(outbound)),
            // The first event says that it is connected, or why not.
            readable: false,
            writable: false,
            ..Self::new(id, socket, peer, session, now)
        }
    }

    /// Whether it is on the list of connections to read.
    pub(super) fn is_to_be_read(&self) -> bool {
        self.in_ready
    }

    /// Whether it is on the list of connections to write.
    #[cfg(test)]
    pub(super) fn is_to_be_written(&self) -> bool {
        self.in_woken
    }

    /// The address it is counted under; none while only a trusted proxy is known.
    pub(super) fn counted_ip(&self) -> IpAddr {
        match &self.session {
            Session::Http(http) if http.proxy() == Some(self.peer) => NO_ADDRESS.ip(),
            _ => self.peer.ip(),
        }
    }

    /// What it speaks, for the counts of those that come in.
    pub(super) fn protocol(&self) -> Protocol {
        match self.session {
            Session::Http(_) => Protocol::Http,
            Session::Server(_) | Session::Client(_) => Protocol::Rtmp,
        }
    }

    /// The socket, to be watched or no longer.
    pub fn socket_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    /// Whether anything waits besides what a log has.
    pub(super) fn has_pending(&self) -> bool {
        !self.half_sent.is_empty() || !self.session.pending().is_empty()
    }

    /// One write: half-sent messages, then replies, then `log`. Notes whether the socket is
    /// full. What is taken of the log is the caller's to remember.
    pub(super) fn send(&mut self, log: &[IoSlice<'_>], now: Instant) -> Result<Sent, CloseReason> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        let mut total = 0;
        let replies = self.session.pending();
        let pieces = self.half_sent.iter().map(|piece| &piece[..]);
        let before = pieces
            .chain(std::iter::once(replies))
            .filter(|piece| !piece.is_empty());
        for piece in before
            .chain(log.iter().map(|slice| &**slice))
            .take(SLICES_MAX)
        {
            slices[count] = IoSlice::new(piece);
            count += 1;
            total += piece.len();
        }
        if total == 0 {
            // What it could not take has been left out by now.
            self.blocked_since = None;
            self.lagging = None;
            return Ok(Sent::default());
        }
        let written = loop {
            let result = match &slices[..count] {
                [only] => self.socket.write(only),
                many => self.socket.write_vectored(many),
            };
            match result {
                Ok(0) => return Err(CloseReason::PeerClosed),
                Ok(written) => break written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break 0,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Out of socket memory: the kernel does not say when there is more, but the
                // next acknowledgement of the peer makes the socket writable.
                Err(error) if crate::net::listener::is_exhausted(&error) => break 0,
                // Who has said that no more comes was heard out until it went.
                Err(_) if self.hung_up && self.session.http().is_some() => {
                    return Err(CloseReason::PeerClosed);
                }
                Err(error) => return Err(CloseReason::of_socket(&error)),
            }
        };
        if written < total {
            self.writable = false;
            if written > 0 || self.blocked_since.is_none() {
                self.blocked_since = Some(now);
            }
            self.lagging.get_or_insert((now, self.bytes_out));
        } else {
            self.blocked_since = None;
            self.lagging = None;
        }
        self.bytes_out += written as u64;
        Ok(Sent {
            log_bytes: self.take_sent(written),
            bytes: written,
        })
    }

    /// Takes `written` bytes off what waits; what is left over was the log's.
    fn take_sent(&mut self, mut written: usize) -> usize {
        if !self.half_sent.is_empty() {
            let mut whole = 0;
            for piece in &mut self.half_sent {
                let part = written.min(piece.len());
                piece.advance(part);
                written -= part;
                if !piece.is_empty() {
                    break;
                }
                whole += 1;
            }
            self.half_sent.drain(..whole);
        }
        let out = self.session.out();
        let replies = written.min(out.pending().len());
        if replies > 0 {
            out.advance(replies);
        }
        written - replies
    }

    /// Adds what was sent to a target since the last time to its figures.
    pub(super) fn count_sent(&mut self, targets: &mut List<PushRuleId, TargetGauges>) {
        let sent = self.bytes_out;
        let outbound = self.outbound_mut();
        let Some(target) = outbound.and_then(|its| its.target.as_mut()) else {
            return;
        };
        let gauges = &mut targets[target.rule];
        gauges.connections += u64::from(target.counted == 0 && sent > 0);
        gauges.bytes_out += sent - target.counted;
        target.counted = sent;
    }

    /// What the connection is or was used for, for logs.
    pub(super) fn role(&self) -> &'static str {
        match (&self.role, &self.session) {
            (Role::Outbound(_), Session::Client(client)) => match client.action() {
                Action::Play => "pull",
                Action::Publish => "push",
            },
            (Role::Outbound(_) | Role::Newcomer, _) => "none",
            (Role::Publisher, _) => "publisher",
            (Role::Player, _) => "player",
            (Role::Both, _) => "both",
        }
    }
}
