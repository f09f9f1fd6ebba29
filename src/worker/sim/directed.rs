//! A worker, a clock and a few clients that do what a test tells them: what happens at the
//! limits, one by one. What happens when everything comes together is for the simulation.

mod accounts;
mod askers;
mod clock;
mod feeds;
mod hostile;
mod http;
mod lines;
mod listeners;
mod memory;
mod panics;
mod players;
mod publishers;

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::reactor::{self, Network, SimWorker};
use super::wire::{End, SimSocket, Wire};
use crate::config::Config;
use crate::control::resolver::Found;
use crate::rtmp::client::{Action, ClientEvent, ClientRequest, ClientSession};
use crate::rtmp::handshake::Mode;
use crate::rtmp::message::{MessageHeader, MessageStreamId, Payload, Timestamp, kind};
use crate::stats::Gauges;
use crate::worker::event_loop::listeners::ListenerProtocol;
use crate::worker::fault;
use crate::worker::ids::ConnId;
use crate::worker::mail::Mail;
use crate::worker::shared::Shared;

/// A worker with its clients.
struct Stage {
    worker: SimWorker,
    network: Rc<RefCell<Servers>>,
    shared: Arc<Shared<SimSocket>>,
    born: Instant,
    now: Instant,
    guests: Vec<Guest>,
    /// The worker has ended.
    is_over: bool,
    /// What the worker has written to others.
    posted: Vec<Mail<SimSocket>>,
}

/// What the worker calls: the test answers what is looked up, and is the other end of what is
/// dialled.
#[derive(Default)]
struct Servers {
    /// Where every name leads, if that is known at once.
    known: Vec<SocketAddr>,
    /// Names by the ids of their calls.
    asked: Vec<(u64, String)>,
    dialled: Vec<Rc<RefCell<Wire>>>,
}

impl Network for Servers {
    fn resolve(&mut self, id: u64, host: &str) -> Option<Found> {
        if !self.known.is_empty() {
            return Some(Ok(self.known.clone()));
        }
        self.asked.push((id, host.to_owned()));
        None
    }

    fn dial(&mut self, address: SocketAddr) -> io::Result<SimSocket> {
        if address == NOBODY {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let wire = Rc::new(RefCell::new(Wire::new(1 << 20, 1 << 20)));
        self.dialled.push(wire.clone());
        let client = 1_000 + self.dialled.len();
        Ok(SimSocket { client, wire })
    }
}

/// Nobody can be connected to here.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 3, 0, 1)), 1_935);

/// The listeners of a worker, in this order.
const LISTENERS: [ListenerProtocol; 2] = [ListenerProtocol::Http, ListenerProtocol::Rtmp];
const HTTP: usize = 0;
const RTMP: usize = 1;

struct Guest {
    session: ClientSession,
    /// What it says and has got, if it speaks HTTP.
    http: Option<Spoken>,
    wire: Rc<RefCell<Wire>>,
    /// The codes of all statuses, and `end` when the relay closed.
    heard: Vec<String>,
    media: usize,
    /// The data messages among that which have a server drop what it keeps.
    clears: usize,
    /// The time of the last message it got.
    last_time: Option<Timestamp>,
    /// Bytes it reads in a quarter of a second, and what is left of them.
    appetite: usize,
    left: usize,
    gone: bool,
}

/// What somebody says by HTTP, and has got.
#[derive(Default)]
struct Spoken {
    says: Vec<u8>,
    got: Vec<u8>,
}

const MS: fn(u64) -> Duration = Duration::from_millis;
const S: fn(u64) -> Duration = Duration::from_secs;
const MIB: usize = 1 << 20;

/// A video sequence header of one track of many, E-RTMP v2 "Multitrack".
fn track_header(track: u8) -> [u8; 7] {
    [0x96, 0, b'a', b'v', b'c', b'1', track]
}

impl Deref for Stage {
    type Target = SimWorker;

    fn deref(&self) -> &SimWorker {
        &self.worker
    }
}

impl DerefMut for Stage {
    fn deref_mut(&mut self) -> &mut SimWorker {
        &mut self.worker
    }
}

impl Stage {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        fault::reset();
        let mut config = Config {
            grace: S(1),
            ping: None,
            ..Config::default()
        };
        change(&mut config);
        Self::with(config, 10_000)
    }

    #[expect(
        clippy::disallowed_methods,
        clippy::arc_with_non_send_sync,
        reason = "any instant will do, and all is on one thread"
    )]
    fn with(config: Config, max_connections: usize) -> Self {
        let shared = Arc::new(Shared::new(config, 1, max_connections));
        Self::at_work(0, shared, Instant::now())
    }

    /// Worker `worker` of several.
    fn at_work(worker: usize, shared: Arc<Shared<SimSocket>>, now: Instant) -> Self {
        let network = Rc::new(RefCell::new(Servers::default()));
        let around = network.clone();
        Self {
            worker: reactor::worker(worker, &shared, around, &LISTENERS, (7, now)),
            network,
            shared,
            born: now,
            now,
            guests: Vec::new(),
            is_over: false,
            posted: Vec::new(),
        }
    }

    /// Somebody connects from 10.0.0.1 and publishes or plays `live/NAME`; its number.
    fn come(&mut self, action: Action, name: &str) -> usize {
        self.come_from([10, 0, 0, 1], action, name)
    }

    fn come_from(&mut self, address: [u8; 4], action: Action, name: &str) -> usize {
        self.enter(address, request(action, name), None, RTMP)
    }

    /// Somebody connects by HTTP and says this; its number.
    fn ask(&mut self, says: &str) -> usize {
        let spoken = Spoken {
            says: says.as_bytes().to_vec(),
            got: Vec::new(),
        };
        let nothing = request(Action::Play, "");
        self.enter([10, 0, 0, 2], nothing, Some(spoken), HTTP)
    }

    fn enter(
        &mut self,
        address: [u8; 4],
        request: ClientRequest,
        http: Option<Spoken>,
        listener: usize,
    ) -> usize {
        let id = self.guests.len();
        let wire = Rc::new(RefCell::new(Wire::new(1 << 20, 1 << 16)));
        wire.borrow_mut().interrupt_in = u32::MAX / 2;
        let socket = SimSocket {
            client: id,
            wire: wire.clone(),
        };
        let peer = SocketAddr::from((address, 1_000));
        self.reactor().connect(listener, socket, peer);
        self.turn();
        let is_refused = wire.borrow().relay_gone;
        self.guests.push(Guest {
            session: ClientSession::new(request, id as u64),
            http,
            wire,
            heard: Vec::new(),
            media: 0,
            clears: 0,
            last_time: None,
            appetite: usize::MAX,
            left: usize::MAX,
            gone: is_refused,
        });
        self.settle();
        id
    }

    fn publish(&mut self, name: &str) -> usize {
        self.come(Action::Publish, name)
    }

    fn play(&mut self, name: &str) -> usize {
        self.come(Action::Play, name)
    }

    /// Everything that can happen now happens.
    fn settle(&mut self) {
        // Also when nothing moves there may be a deadline.
        self.turn();
        for _ in 0..1_000 {
            let mut moved = false;
            let time = self.now.duration_since(self.born);
            for guest in &mut self.guests {
                moved |= guest.act(time);
            }
            let has_more = self.reactor().has_events() || self.core().has_leftovers();
            if !moved && !has_more {
                return;
            }
            self.turn();
        }
        panic!("it does not come to rest");
    }

    fn turn(&mut self) {
        if self.is_over {
            return;
        }
        // What is done for the figures, memory and audits is done in each turn.
        let now = self.now;
        self.core_mut().stats.make_due(now);
        self.reactor_mut().now = now;
        self.is_over = self.worker.turn().expect("the poll works");
        assert_eq!(self.core().calls.count_requests(), 0, "calls that wait");
        let posted = std::mem::take(&mut self.reactor_mut().posted);
        self.posted
            .extend(posted.into_iter().flat_map(|(_, letters)| letters));
        let is_alone = self.shared.mailboxes.len() == 1;
        assert!(!is_alone || self.posted.is_empty(), "to nobody");
    }

    /// A letter arrives.
    fn post(&mut self, mail: Mail<SimSocket>) {
        let worker = self.core().worker;
        self.shared.mailboxes[worker].post(std::iter::once(mail));
        self.reactor_mut().is_woken = true;
    }

    /// Time passes in quarters of a second, in each of which `what` happens.
    fn pass(&mut self, time: Duration, mut what: impl FnMut(&mut Self)) {
        let until = self.now + time;
        while self.now < until {
            self.now = until.min(self.now + MS(250));
            for guest in &mut self.guests {
                guest.left = guest.appetite;
            }
            what(self);
            self.settle();
        }
    }

    fn wait(&mut self, time: Duration) {
        self.pass(time, |_| {});
    }

    /// A publisher sends one message of `len` bytes.
    fn send(&mut self, guest: usize, message_kind: u8, head: &[u8], len: usize) {
        let msid = self.guests[guest]
            .session
            .msid()
            .unwrap_or(MessageStreamId(1));
        self.send_on(guest, msid, message_kind, head, len);
    }

    /// The same on message stream `msid`.
    fn send_on(
        &mut self,
        guest: usize,
        msid: MessageStreamId,
        message_kind: u8,
        head: &[u8],
        len: usize,
    ) {
        let time = self.now.duration_since(self.born).as_millis();
        let mut body = head.to_vec();
        body.resize(len.max(head.len()), 0);
        let guest = &mut self.guests[guest];
        let header = MessageHeader {
            csid: 6,
            timestamp: Timestamp(u32::try_from(time).unwrap()),
            kind: message_kind,
            msid,
            len: body.len(),
        };
        guest
            .session
            .send_media(&header, &Payload::from_slice(&body));
    }

    /// A publisher sends a key frame of `len` bytes.
    fn key_frame(&mut self, guest: usize, len: usize) {
        self.send(guest, kind::VIDEO, KEY, len);
        self.settle();
    }

    #[track_caller]
    fn check_heard(&self, guest: usize, expected: &[&str]) {
        assert_eq!(self.guests[guest].heard, expected, "guest {guest}");
    }

    /// The connection of a guest.
    fn key_of(&self, guest: usize) -> ConnId {
        let mut conns = self.core().conns.iter();
        let its = conns.find(|(_, conn)| conn.socket.client == guest);
        its.unwrap().0
    }

    fn gauges(&self) -> Gauges {
        self.core().gauges
    }

    /// What there is, all of which is nothing when everybody has left.
    fn left(&self) -> [usize; 14] {
        let core = self.core();
        let admission = &self.shared.admission;
        [
            core.conns.len(),
            core.streams.len(),
            core.streams.names(),
            core.streams.players(),
            core.streams.publishers(),
            core.calls.count_open(),
            self.shared.registry.len(),
            self.shared.registry.owned(),
            admission.connections(),
            admission.newcomers(),
            admission.per_address().iter().sum(),
            admission.dialled().0,
            admission.dialled().1,
            admission.lingering(),
        ]
    }

    /// A guest resets its connection.
    fn leave(&mut self, guest: usize) {
        let guest = &mut self.guests[guest];
        guest.wire.borrow_mut().client_ends(End::Reset);
        guest.gone = true;
        self.settle();
    }

    /// Everybody leaves; nothing is left.
    #[track_caller]
    fn end(mut self) {
        for guest in &mut self.guests {
            if !guest.gone {
                guest.wire.borrow_mut().client_ends(End::Reset);
                guest.gone = true;
            }
        }
        self.settle();
        self.wait(S(15));
        assert_eq!(self.left(), [0; 14]);
        for guest in &self.guests {
            assert!(guest.wire.borrow().relay_gone);
        }
    }
}

fn request(action: Action, name: &str) -> ClientRequest {
    ClientRequest {
        app: "live".to_owned(),
        tc_url: "rtmp://relay/live".to_owned(),
        stream: name.to_owned(),
        action,
        handshake: Mode::Plain,
        chunk_size: 65_536,
        ..ClientRequest::default()
    }
}

const KEY: &[u8] = &[0x17, 1, 0, 0, 0];
const INTER: &[u8] = &[0x27, 1, 0, 0, 0];
const SOUND: &[u8] = &[0xAF, 1];
const CLEAR: &[u8] = b"\x02\0\x0F@clearDataFrame";

impl Guest {
    /// Sends what it has to send and reads what it cares to; whether anything moved.
    fn act(&mut self, time: Duration) -> bool {
        if self.gone {
            return false;
        }
        self.session.set_now(time);
        let mut wire = self.wire.borrow_mut();
        let sent = if let Some(http) = &mut self.http {
            let sent = wire.client_send(&http.says, usize::MAX);
            http.says.drain(..sent);
            sent
        } else {
            let out = self.session.out();
            let sent = wire.client_send(out.pending(), usize::MAX);
            out.advance(sent);
            sent
        };
        let count = wire.to_client.len().min(self.left);
        self.left -= count;
        let input = wire.to_client.front()[..count].to_vec();
        wire.client_took(count);
        let is_over = wire.relay_fin && wire.to_client.is_empty();
        drop(wire);
        match &mut self.http {
            Some(http) => http.got.extend_from_slice(&input),
            None => self.decode(&input),
        }
        if is_over {
            self.gone = true;
            self.heard.push("end".to_owned());
            self.wire.borrow_mut().client_ends(End::Closed);
        }
        sent > 0 || count > 0 || is_over
    }

    fn decode(&mut self, input: &[u8]) {
        let mut at = 0;
        while let Some(event) = self.session.next(input, &mut at).unwrap() {
            match event {
                ClientEvent::Media(message) => {
                    self.media += 1;
                    let body = message.payload.to_vec();
                    self.clears += usize::from(body.starts_with(CLEAR));
                    let time = message.header.timestamp;
                    let last = self.last_time.replace(time).unwrap_or(time);
                    assert!(time.since(last) >= 0, "{time:?} comes after {last:?}");
                }
                ClientEvent::Status { code, .. } => {
                    let code = code.strip_prefix("NetStream.").unwrap_or(&code);
                    self.heard.push(code.to_owned());
                }
                _ => {}
            }
        }
        self.session.end_input(input, at).unwrap();
    }
}

/// What a player hears of a play that works.
const PLAYS: [&str; 2] = ["Play.Reset", "Play.Start"];
