//! What workers ask the world for: addresses of names, and connections to them. Some lead
//! nowhere, some come late.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::super::wire::{End, SimSocket, Wire};
use super::cable::{Cable, Far};
use super::script::FORBIDDEN;
use super::server::{Server, Temper};
use super::world::World;
use crate::worker::line::Callee;
use crate::worker::mail::Mail;

/// A name that is being looked up.
pub(super) struct Lookup {
    at: Instant,
    relay: usize,
    worker: usize,
    id: u64,
    host: String,
}

/// The second byte of addresses: what is there.
const RELAYS: u8 = 1;
const SERVERS: u8 = 2;
const NOBODY: u8 = 3;

/// What conns of cables are called in what is told of them, the first of them.
const CABLES: usize = 1_000_000;

fn address(what: u8, number: u8) -> SocketAddr {
    SocketAddr::from(([10, what, 0, number], 1_935))
}

impl World {
    /// Finds and connects to what a worker has asked for.
    pub(super) fn place_calls(&mut self, relay: usize, worker: usize) {
        for _ in 0..100 {
            let core = &mut self.relays[relay].seats[worker].core;
            let calls = std::mem::take(core.calls());
            if calls.is_empty() {
                return;
            }
            for call in calls {
                self.note(|| format!("relay {relay} calls {call:?}"));
                match call.to {
                    Callee::Name { host, .. } => self.find(relay, worker, call.id, host),
                    Callee::Address { address, .. } => self.dial(relay, worker, call.id, address),
                }
            }
        }
        self.fail("it calls without end");
    }

    fn find(&mut self, relay: usize, worker: usize, id: u64, host: String) {
        if host == FORBIDDEN {
            self.fail("a redirect to a host that no rule names is followed");
        }
        if self.rng.chance(400) {
            let found = self.addresses(&host);
            let core = &mut self.relays[relay].seats[worker].core;
            core.resolved(id, found);
            return;
        }
        let most = if self.calm { 50 } else { 3_000 };
        let late = Duration::from_millis(self.rng.millis(0, most).into());
        self.lookups.push(Lookup {
            at: self.now + late,
            relay,
            worker,
            id,
            host,
        });
    }

    /// Answers that have come.
    pub(super) fn answer_lookups(&mut self) {
        let now = self.now;
        let due: Vec<Lookup> = self.lookups.extract_if(.., |look| look.at <= now).collect();
        for look in due {
            let addresses = self.addresses(&look.host);
            let relay = &mut self.relays[look.relay];
            if look.worker < relay.seats.len() {
                let id = look.id;
                relay.post(look.worker, Mail::Resolved { id, addresses });
            }
        }
    }

    fn addresses(&mut self, host: &str) -> Result<Vec<SocketAddr>, String> {
        let number = host[1..].parse().expect("rN or fN");
        let kind = if host.starts_with('r') {
            RELAYS
        } else {
            SERVERS
        };
        let rng = &mut self.rng;
        if self.calm {
            return Ok(vec![address(kind, number)]);
        }
        self.tally.astray += 1;
        Ok(match rng.below(20) {
            0 => return Err("no such name".to_owned()),
            1 => Vec::new(),
            2 => vec![address(NOBODY, 0)],
            3 => vec![address(NOBODY, 0), address(kind, number)],
            4 => vec![
                address(NOBODY, 0),
                address(NOBODY, 1),
                address(kind, number),
            ],
            _ => {
                self.tally.astray -= 1;
                vec![address(kind, number)]
            }
        })
    }

    fn dial(&mut self, relay: usize, worker: usize, id: u64, address: SocketAddr) {
        let SocketAddr::V4(v4) = address else { return };
        let [_, what, _, number] = v4.ip().octets();
        let number = usize::from(number);
        let (far, refused) = match what {
            RELAYS => {
                let is_dead = !self.relays[number].is_alive();
                (Far::Relay(number, None), is_dead && self.rng.chance(500))
            }
            SERVERS => {
                let temper = self.tempers[number];
                let server = Server::new(temper, self.rng.next());
                (Far::Server(Box::new(server)), self.rng.chance(100))
            }
            _ => (Far::Nobody, self.rng.chance(500)),
        };
        let is_hole = matches!(far, Far::Nobody) && self.rng.chance(500);
        let room = self.rng.pick(&[4_096, 65_536, 262_144]);
        let near = Rc::new(RefCell::new(Wire::new(room, room)));
        // The kernel tells when it is connected.
        near.borrow_mut().full = true;
        let core = &mut self.relays[relay].seats[worker].core;
        let asked = core.calls.purpose(id);
        let stream = asked.and_then(|(index, _)| core.streams.get(index));
        let name = stream.map(|stream| stream.probe_of.as_ref().unwrap_or(&stream.name));
        let stream = name.and_then(|name| self.truth.line(name));
        if refused {
            let error = io::ErrorKind::ConnectionRefused.into();
            core.dialled(id, address, Err(error));
            return;
        }
        let socket = SimSocket {
            client: CABLES + self.cables_made,
            wire: near.clone(),
        };
        self.cables_made += 1;
        let Some(key) = core.dialled(id, address, Ok(socket)) else {
            return;
        };
        if let Some(stream) = stream {
            self.dials[stream] += 1;
        }
        near.borrow_mut().seat = Some((worker, key));
        self.relays[relay].watch(&near);
        self.cables.push(Cable {
            near,
            far,
            connects_in: self.rng.range(1, 10),
            is_hole,
        });
    }

    /// Connections come about, or not; `now` all that can.
    pub(super) fn connect(&mut self, now: bool) -> bool {
        let mut moved = false;
        for at in 0..self.cables.len() {
            let cable = &mut self.cables[at];
            if cable.connects_in == 0 || cable.is_hole || cable.near.borrow().relay_gone {
                continue;
            }
            cable.connects_in = if now { 0 } else { cable.connects_in - 1 };
            if cable.connects_in == 0 {
                moved = true;
                self.connected(at);
            }
        }
        moved
    }

    fn connected(&mut self, at: usize) {
        let cable = &mut self.cables[at];
        match &mut cable.far {
            Far::Nobody => cable.near.borrow_mut().client_ends(End::Reset),
            Far::Server(_) => cable.near.borrow_mut().event = true,
            Far::Relay(number, far) => {
                let relay = &mut self.relays[*number];
                if !relay.is_alive() {
                    cable.near.borrow_mut().client_ends(End::Reset);
                    return;
                }
                let worker = self.rng.below(relay.seats.len());
                let wire = Rc::new(RefCell::new(Wire::new(65_536, 65_536)));
                let socket = SimSocket {
                    client: CABLES + at,
                    wire: wire.clone(),
                };
                let core = &mut relay.seats[worker].core;
                core.set_now(self.now);
                let peer = SocketAddr::from(([10, RELAYS, 1, 1], 1_000));
                if let Some(key) = core.accept(socket, peer) {
                    wire.borrow_mut().register(worker, key);
                    relay.watch(&wire);
                }
                *far = Some(wire);
                cable.near.borrow_mut().event = true;
            }
        }
    }

    /// Bytes go to and fro; whether any did.
    pub(super) fn carry(&mut self, count: usize) -> bool {
        let mut moved = false;
        let time = self.now.duration_since(self.born);
        for at in 0..self.cables.len() {
            let cable = &mut self.cables[at];
            moved |= cable.carry(count);
            let (hole, connecting) = (cable.is_hole, cable.connects_in > 0);
            if let Far::Server(server) = &mut cable.far
                && !hole
                && !connecting
            {
                let handed = server.handed;
                match server.act(&cable.near, &mut self.truth, time, count) {
                    Ok(did) => moved |= did,
                    Err(what) => self.fail(&format!("a server that takes streams: {what}")),
                }
                let Far::Server(server) = &self.cables[at].far else {
                    continue;
                };
                self.tally.handed += server.handed - handed;
            }
        }
        self.cables.retain(|cable| !cable.is_over());
        moved
    }

    /// The temper of each server of another kind.
    pub(super) fn draw_tempers(&mut self) {
        let all = [
            Temper::Takes,
            Temper::Takes,
            Temper::Refuses,
            Temper::Silent,
            Temper::Stalls,
            Temper::HangsUp,
        ];
        self.tempers = [self.rng.pick(&all), self.rng.pick(&all)];
    }
}
