//! Cases against the running binary over sockets, several at a time, while a healthy publisher and
//! two players of it run. They must not notice: every message is numbered, and none may be lost.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use super::bytes::{VIDEO, ping};
use super::case::{Act, Case, End};
use super::closings::closing;
use super::heard::Heard;
use super::session::{LAST_PING, check_said};
use support::relay::Relay;
use support::wire::{Film, Seen, Wire};
use support::{SOON, now, pause, wait_for};

/// How many cases are played at one time.
pub(super) const AT_ONCE: usize = 24;

/// A connection that has to be closed is, within this time. The longest deadline is 6 s.
const CLOSED_WITHIN: Duration = Duration::from_secs(12);

/// What the memory of the relay may grow by: the blocks, rings and largest messages that its two
/// workers keep for what comes next, and what the allocator keeps.
pub(super) const GROWTH_MAX: u64 = 160 << 20;

/// How often all cases are played, and what memory may grow by from the first time to the last:
/// what is kept for the next connections is there already. The rest is the allocator's, which
/// has to find room for large messages between small ones; what the worker itself keeps is
/// counted to the byte in memory.
const ROUNDS: usize = 2;
const GROWTH_AGAIN_MAX: u64 = 64 << 20;

/// The relay of these tests; the simulated one has the same times.
const FLAGS: [&str; 22] = [
    "--workers",
    "2",
    "--pace",
    "0",
    "--handshake-timeout",
    "3",
    "--setup-timeout",
    "6",
    "--publish-idle",
    "6",
    "--send-timeout",
    "3",
    "--play-wait",
    "1",
    "--grace",
    "0",
    "--ping",
    "0",
    "--takeover",
    "refuse",
    "--log-bytes",
    "2M",
];

/// A hostile client, or server.
pub(super) struct Peer {
    socket: TcpStream,
    heard: Heard,
    closed: bool,
    deaf: bool,
}

impl Peer {
    /// Each comes from an address of its own, as strangers do.
    fn connect(relay: SocketAddr, number: usize) -> std::io::Result<Self> {
        let [.., high, low] = (number + 1).to_be_bytes();
        let from = SocketAddr::from((Ipv4Addr::new(127, 9, high, low), 0));
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.bind(&from.into())?;
        socket.connect_timeout(&relay.into(), SOON)?;
        Self::on(socket.into())
    }

    /// On a connected socket.
    pub(super) fn on(socket: TcpStream) -> std::io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            heard: Heard::default(),
            closed: false,
            deaf: false,
        })
    }

    /// Reads what has come.
    fn listen(&mut self) -> Result<(), String> {
        let mut buffer = [0; 64 * 1024];
        while !self.closed && !self.deaf {
            match self.socket.read(&mut buffer) {
                Ok(0) => self.closed = true,
                Ok(count) => self.heard.take(&buffer[..count])?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.closed = true,
            }
        }
        Ok(())
    }

    pub(super) fn send(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        let until = now() + SOON;
        while !bytes.is_empty() && !self.closed {
            match self.socket.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.listen()?;
                    pause(Duration::from_millis(1));
                    if now() > until {
                        return Err(format!("the relay has read nothing for {SOON:?}"));
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // What it said before it closed is still to be read.
                Err(_) => return self.until(SOON, |peer| peer.closed).map(|_| ()),
            }
        }
        self.listen()
    }

    /// Listens until `is_so`, for `limit` at most; whether it came to be so.
    fn until(&mut self, limit: Duration, is_so: impl Fn(&Self) -> bool) -> Result<bool, String> {
        let until = now() + limit;
        loop {
            self.listen()?;
            if is_so(self) {
                return Ok(true);
            }
            if self.closed || now() > until {
                return Ok(false);
            }
            pause(Duration::from_millis(1));
        }
    }

    pub(super) fn play(&mut self, case: &Case) -> Result<(), String> {
        for act in &case.acts {
            match act {
                Act::Send(bytes) => self.send(bytes)?,
                Act::Repeat(bytes, times) => {
                    let at_once = (65_536 / bytes.len().max(1)).clamp(1, *times as usize);
                    let many = bytes.repeat(at_once);
                    let mut left = bytes.len() * *times as usize;
                    while left > 0 && !self.closed {
                        let turn = &many[..many.len().min(left)];
                        left -= turn.len();
                        self.send(turn)?;
                    }
                }
                Act::Pass(time) => {
                    self.until(*time, |_| false)?;
                }
                Act::Finish => {
                    // The relay may have closed already.
                    let _: std::io::Result<()> = self.socket.shutdown(Shutdown::Write);
                }
                Act::Reset => {
                    let socket = socket2::SockRef::from(&self.socket);
                    socket
                        .set_linger(Some(Duration::ZERO))
                        .map_err(|error| error.to_string())?;
                    self.closed = true;
                }
            }
        }
        self.deaf = false;
        match case.end {
            End::Closes(_) if !self.until(CLOSED_WITHIN, |peer| peer.closed)? => {
                return Err(format!(
                    "not closed within {CLOSED_WITHIN:?}: {:?}",
                    case.end
                ));
            }
            End::Lives => {
                self.send(&ping(LAST_PING))?;
                if !self.until(SOON, |peer| peer.heard.has_pong(LAST_PING))? {
                    let closed = self.closed;
                    return Err(format!(
                        "does not answer a ping at the end; closed: {closed}"
                    ));
                }
            }
            // What is on its way is heard.
            End::May(_) | End::Open => {
                self.until(Duration::from_millis(50), |_| false)?;
                if self.closed && case.end == End::Open {
                    return Err("closed, should stay open".to_owned());
                }
            }
            End::Closes(_) => {}
        }
        // A stream that another worker has comes later than the answer to a ping.
        self.until(SOON, |peer| check_said(case, &peer.heard).is_ok())?;
        check_said(case, &self.heard)
    }
}

/// What became of a case, for the log to be compared with.
struct Played {
    index: usize,
    address: Option<SocketAddr>,
    result: Result<(), String>,
}

fn play_case(relay: SocketAddr, cases: &[&Case], index: usize) -> Played {
    let case = cases[index];
    let mut address = None;
    let result = Peer::connect(relay, index)
        .map_err(|error| format!("cannot connect: {error}"))
        .and_then(|mut peer| {
            address = peer.socket.local_addr().ok();
            let opening = case.state.opening(&format!("own-{index}"), "healthy");
            peer.send(&opening)?;
            peer.deaf = case.deaf;
            peer.play(case)
        });
    Played {
        index,
        address,
        result,
    }
}

/// Plays the cases, those that wait for deadlines first.
fn play_all(relay: SocketAddr, cases: &[&Case]) -> Vec<Played> {
    let mut order: Vec<usize> = (0..cases.len()).collect();
    let waits = |case: &Case| {
        ["handshake_timeout", "setup_timeout", "publish_idle"]
            .iter()
            .any(|code| case.end.allows(code))
    };
    order.sort_by_key(|&index| !waits(cases[index]));
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let players: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                scope.spawn(|| {
                    let mut played = Vec::new();
                    while let Some(&index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                        played.push(play_case(relay, cases, index));
                    }
                    played
                })
            })
            .collect();
        players
            .into_iter()
            .flat_map(|player| player.join().expect("no panic"))
            .collect()
    })
}

/// Why the relay closed the connection of each address.
fn closings_in(log: &str) -> HashMap<SocketAddr, String> {
    let mut peers = HashMap::new();
    let mut found = HashMap::new();
    for line in log.lines() {
        if let (Some(id), Some(peer)) = (after(line, "conn="), after(line, "accepted peer=")) {
            if let (Ok(id), Ok(peer)) = (id.parse::<u64>(), peer.parse::<SocketAddr>()) {
                peers.insert(id, peer);
            }
        } else if let Some((id, code)) = closing(line)
            && let Some(peer) = peers.get(&id)
        {
            found.insert(*peer, code.to_owned());
        }
    }
    found
}

pub(super) fn after<'a>(line: &'a str, what: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(what)?;
    rest.split(' ').next()
}

/// The healthy ones: what they publish and what they miss.
#[derive(Debug, Default)]
pub(super) struct Healthy {
    pub(super) stop: AtomicBool,
    /// The number of the last picture that was published, once all have been.
    last: AtomicU32,
    is_over: AtomicBool,
    /// Players that have everything, or have given up.
    done: AtomicUsize,
}

pub(super) const PLAYERS: usize = 2;

impl Healthy {
    /// Publishes a group of pictures a second until told to stop.
    pub(super) fn publish(&self, mut wire: Wire) {
        let mut film = Film::new("healthy", 0);
        wire.send_all(&film.headers);
        let mut last = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let group = film.group(24);
            wire.send_in_time(&group, || false);
            last = group
                .iter()
                .filter_map(|media| media.number())
                .max()
                .unwrap_or(last);
            pause(Duration::from_millis(40));
        }
        self.last.store(last, Ordering::Relaxed);
        self.is_over.store(true, Ordering::Release);
        // It stays until the players have everything, or have given up.
        let until = now() + 2 * SOON;
        while self.done.load(Ordering::Relaxed) < PLAYERS && now() < until {
            wire.settle();
            pause(Duration::from_millis(100));
        }
    }

    /// Plays to the last picture; every one has to come, once and in order.
    pub(super) fn play(&self, wire: Wire) -> Result<u32, String> {
        let got = self.play_to_the_end(wire);
        self.done.fetch_add(1, Ordering::Relaxed);
        got
    }

    fn play_to_the_end(&self, mut wire: Wire) -> Result<u32, String> {
        let mut next = None;
        let mut until = None;
        loop {
            let seen = wire.next(Duration::from_millis(200));
            if let Some(Seen::Closed(_)) = seen {
                return Err(format!("closed before picture {next:?}"));
            }
            let number = seen
                .as_ref()
                .and_then(Seen::media)
                .filter(|media| media.kind == VIDEO && !media.is_header());
            if let Some(media) = number {
                let number = media.number().ok_or("a picture that was changed")?;
                if next.is_some_and(|next| next != number) {
                    return Err(format!("picture {number} came, expected {next:?}"));
                }
                next = Some(number + 1);
            }
            if self.is_over.load(Ordering::Acquire) {
                let last = self.last.load(Ordering::Relaxed);
                if next == Some(last + 1) {
                    return Ok(last);
                }
                let until = *until.get_or_insert_with(|| now() + SOON);
                if now() > until {
                    return Err(format!(
                        "stands before picture {next:?}, the last was {last}"
                    ));
                }
            }
        }
    }
}

/// Plays all cases against a running relay; what failed, by name.
pub(crate) fn try_cases(cases: &[&Case]) -> Vec<(String, String)> {
    let mut relay = Relay::start(&FLAGS);
    let address = relay.address();
    let publisher = Wire::publish(address, "healthy");
    let healthy = Healthy::default();
    let mut failed = Vec::new();
    std::thread::scope(|scope| {
        let publishing = scope.spawn(|| healthy.publish(publisher));
        let players = [(); PLAYERS].map(|()| Wire::play(address, "healthy"));
        let players = players.map(|player| scope.spawn(|| healthy.play(player)));
        relay.wait_stat("connections", 3);
        let (files, memory) = (relay.open_files(), relay.resident_bytes());
        let mut grown = Vec::new();
        for _ in 0..ROUNDS {
            let played = play_all(address, cases);
            failed.extend(judge(&relay, cases, played));
            relay.wait_stat("connections", 3);
            wait_for("return of the descriptors", SOON, || {
                (relay.open_files() <= files).then_some(())
            });
            grown.push(relay.resident_bytes().saturating_sub(memory));
        }
        println!("memory has grown by {grown:?} bytes");
        let again = grown[ROUNDS - 1].saturating_sub(grown[0]);
        if grown[0] > GROWTH_MAX || again > GROWTH_AGAIN_MAX {
            failed.push(("memory".to_owned(), format!("has grown by {grown:?} bytes")));
        }
        healthy.stop.store(true, Ordering::Relaxed);
        for player in players {
            match player.join().expect("no panic") {
                Ok(last) => println!("a healthy player got all of {last} pictures"),
                Err(why) => failed.push(("a healthy player".to_owned(), why)),
            }
        }
        publishing.join().expect("no panic");
    });
    relay.stop();
    failed
}

/// Compares what the peers saw with what the relay says it did.
fn judge(relay: &Relay, cases: &[&Case], played: Vec<Played>) -> Vec<(String, String)> {
    let last = played.iter().filter_map(|played| played.address);
    let addresses: Vec<SocketAddr> = last.collect();
    let closings = wait_for("line of every close", SOON, || {
        let found = closings_in(&relay.log());
        addresses
            .iter()
            .all(|address| found.contains_key(address))
            .then_some(found)
    });
    let mut failed = Vec::new();
    for Played {
        index,
        address,
        result,
    } in played
    {
        let case = cases[index];
        let code = address.and_then(|address| closings.get(&address));
        let code = code.map_or("no reason at all", String::as_str);
        // A peer that is done leaves.
        let left = !case.end.must_close() && ["peer_closed", "io"].contains(&code);
        let result = match result {
            Ok(()) if !left && !case.end.allows(code) => {
                Err(format!("closed with {code}, allowed: {:?}", case.end))
            }
            Err(why) => Err(format!("{why}; closed with {code}")),
            Ok(()) => Ok(()),
        };
        if let Err(why) = result {
            failed.push((case.name.clone(), why));
        }
    }
    failed
}
