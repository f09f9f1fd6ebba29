//! What workers ask the world for: addresses of names, and connections to them. Some lead
//! nowhere, some come late.

use std::cell::RefCell;
use std::io;
use std::mem::take;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::super::reactor::Network;
use super::super::rng::Rng;
use super::super::wire::{End, SimSocket, Wire};
use super::cable::{Cable, Far};
use super::relay::{Relay, WRITE_TIME};
use super::script::FORBIDDEN;
use super::server::{Server, Temper};
use super::world::World;
use crate::control::resolver::Found;
use crate::worker::fault;
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

/// What all workers of all relays have around them: names, and who can be connected to.
pub(super) struct Lines {
    rng: Rng,
    /// Every name leads where it is to.
    pub(super) calm: bool,
    /// Which relays are alive.
    pub(super) alive: Vec<bool>,
    /// Of each server of another kind.
    pub(super) tempers: [Temper; 2],
    /// Names that are to be looked up, by the id of the call.
    asked: Vec<(u64, String)>,
    /// Connections that were dialled in this turn.
    dialled: Vec<Cable>,
    cables_made: usize,
    /// Names and addresses that led nowhere.
    pub(super) astray: u64,
    /// What no worker may do.
    wrong: Option<&'static str>,
}

/// What a connection takes up between two looks of a relay while nothing is in the way.
pub(super) const ROOM_AT_REST: usize = 262_144;

/// Calls of one turn, at most.
const CALLS_MAX: usize = 1_000;

impl Lines {
    pub(super) fn new(seed: u64, relays: usize) -> Self {
        Self {
            rng: Rng::new(seed),
            calm: true,
            alive: vec![true; relays],
            tempers: [Temper::Takes; 2],
            asked: Vec::new(),
            dialled: Vec::new(),
            cables_made: 0,
            astray: 0,
            wrong: None,
        }
    }

    fn addresses(&mut self, host: &str) -> Found {
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
        self.astray += 1;
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
                self.astray -= 1;
                vec![address(kind, number)]
            }
        })
    }
}

impl Network for Lines {
    fn resolve(&mut self, id: u64, host: &str) -> Option<Found> {
        if host == FORBIDDEN {
            self.wrong = Some("a redirect to a host that no rule names is followed");
        }
        if self.rng.chance(400) {
            return Some(self.addresses(host));
        }
        self.asked.push((id, host.to_owned()));
        None
    }

    fn dial(&mut self, address: SocketAddr) -> io::Result<SimSocket> {
        let SocketAddr::V4(v4) = address else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let [_, what, _, number] = v4.ip().octets();
        let number = usize::from(number);
        let (far, refused) = match what {
            RELAYS => {
                let is_dead = !self.alive[number];
                (Far::Relay(number, None), is_dead && self.rng.chance(500))
            }
            SERVERS => {
                let server = Server::new(self.tempers[number], self.rng.next());
                (Far::Server(Box::new(server)), self.rng.chance(100))
            }
            _ => (Far::Nobody, self.rng.chance(500)),
        };
        let is_hole = matches!(far, Far::Nobody) && self.rng.chance(500);
        // With little room a paced relay takes little in each step of a world at rest.
        let room = match self.calm {
            true => ROOM_AT_REST,
            false => self.rng.pick(&[4_096, 65_536, 262_144]),
        };
        self.cables_made += 1;
        assert!(self.dialled.len() < CALLS_MAX, "it calls without end");
        if refused {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let mut near = Wire::new(room, room);
        // The kernel tells when it is connected.
        (near.full, near.is_connecting) = (true, true);
        near.write_time = WRITE_TIME;
        let near = Rc::new(RefCell::new(near));
        self.dialled.push(Cable {
            near: near.clone(),
            far,
            connects_in: self.rng.range(1, 10),
            is_hole,
        });
        let client = CABLES + self.cables_made;
        Ok(SimSocket { client, wire: near })
    }
}

impl World {
    /// What workers are to find around them in the next turns.
    fn bring_up_lines(&self) {
        let mut lines = self.lines.borrow_mut();
        (lines.calm, lines.tempers) = (self.calm, self.tempers);
        lines.alive = self.relays.iter().map(Relay::is_alive).collect();
    }

    /// One turn of a worker, and what it has called.
    pub(super) fn turn(&mut self, relay: usize, worker: usize) {
        self.note(|| format!("turn of worker {worker} of {relay}"));
        self.bring_up_lines();
        let fired = fault::fired();
        let faults = &mut self.relays[relay].seats[worker].reactor_mut().faults;
        faults.permille = if self.calm { 0 } else { self.kernel_faults };
        self.relays[relay].turn(worker, self.now);
        self.tally.panics += fault::fired() - fired;
        let mut lines = self.lines.borrow_mut();
        let (asked, dialled) = (take(&mut lines.asked), take(&mut lines.dialled));
        self.tally.astray += take(&mut lines.astray);
        let wrong = lines.wrong;
        drop(lines);
        if let Some(wrong) = wrong {
            self.fail(wrong);
        }
        for (id, host) in asked {
            self.note(|| format!("relay {relay} looks {host} up"));
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
        for cable in dialled {
            if let Some(stream) = self.stream_of(relay, &cable.near) {
                self.dials[stream] += 1;
            }
            self.cables.push(cable);
        }
    }

    /// The stream that a connection was dialled for, while it is open.
    fn stream_of(&self, relay: usize, near: &Rc<RefCell<Wire>>) -> Option<usize> {
        let (worker, key) = near.borrow().seat()?;
        let core = self.relays[relay].seats[worker].core();
        let errand = core.conns.get(key)?.errand()?;
        let stream = core.streams.get(errand.stream())?;
        let name = stream.probe_of.as_ref().unwrap_or(&stream.name);
        self.note(|| format!("relay {relay} has dialled for {name}"));
        self.truth.line(name)
    }

    /// Answers that have come.
    pub(super) fn answer_lookups(&mut self) {
        let now = self.now;
        self.bring_up_lines();
        let due: Vec<Lookup> = self.lookups.extract_if(.., |look| look.at <= now).collect();
        for look in due {
            let addresses = self.lines.borrow_mut().addresses(&look.host);
            let relay = &mut self.relays[look.relay];
            if look.worker < relay.seats.len() {
                let id = look.id;
                relay.post(look.worker, Mail::Resolved { id, addresses });
            }
        }
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
            Far::Server(_) => cable.near.borrow_mut().connected(),
            Far::Relay(number, far) => {
                let relay = &mut self.relays[*number];
                if !relay.is_alive() {
                    cable.near.borrow_mut().client_ends(End::Reset);
                    return;
                }
                let worker = self.rng.below(relay.seats.len());
                let room = if self.calm { ROOM_AT_REST } else { 65_536 };
                let wire = Rc::new(RefCell::new(Wire::new(room, room)));
                let peer = SocketAddr::from(([10, RELAYS, 1, 1], 1_000));
                relay.connect(worker, CABLES + at, peer, wire.clone());
                *far = Some(wire);
                cable.near.borrow_mut().connected();
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
