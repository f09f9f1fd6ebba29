//! The event loop of the load: one thread, one poll, every publisher and player.
//!
//! ```text
//!   Publish -> Settle -> Join -> WarmUp -> Measure
//!   all live   memory    all     steady    figures; a storm joins here
//!              at rest   live
//! ```
//!
//! It watches itself as it watches the server: how much of a core it takes, and how late its
//! publishers are. Who reads the result decides whether that was good enough (load.rs).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};

use crate::advice;
use crate::client::{Client, Desk, Player, Publisher, Role, Seen, State};
use crate::measure::{Usage, now_ns, usage};
use crate::media::Media;
use crate::plan::{Plan, Seat};
use crate::scrape::{Scraped, Scraper};
use crate::socket::Sources;

/// What came of it.
pub struct Outcome {
    /// The measured time in nanoseconds.
    pub elapsed_ns: u64,
    /// The server's use during the measured time.
    pub server: Usage,
    /// Our own.
    pub own: Usage,
    /// The server's memory in KiB along the way.
    pub memory: Memory,
    /// What connections observed; counts are of the measured time, first frames of all.
    pub seen: Seen,
    /// Bytes received by each player that follows and was there for all of the measured time,
    /// sorted.
    pub bytes_of_players: Vec<u64>,
    /// Connections that ended and were not to, and why the first did.
    pub closed: usize,
    /// See `closed`.
    pub closed_why: Option<String>,
    /// Players of the storm that saw no frame by the end.
    pub storm_missing: usize,
    /// What was told of the server's figures.
    pub scraped: Scraped,
}

/// Resident memory of the server in KiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Before the first connection.
    pub at_start: u64,
    /// With all publishers, before players.
    pub with_publishers: u64,
    /// With all players, when the measurement begins.
    pub with_players: u64,
    /// When it ends.
    pub at_end: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Publish,
    Settle { until: u64 },
    Join,
    WarmUp { until: u64 },
    Measure { until: u64 },
    Over,
}

/// Connections that are begun in one turn, so that publishers stay on time.
const CONNECTS_PER_TURN: usize = 32;
/// Events handled before the publishers' clock is looked at again.
const EVENTS_PER_LOOK: usize = 64;
/// Events taken from the kernel at one time; checked players come first among them.
const EVENTS_PER_POLL: usize = 256;
/// From the last connection to the last first frame, else the run has failed.
const JOIN_TIMEOUT_NS: u64 = 30 * SECOND_NS;
/// Publishers run this long alone, so that memory is at rest.
const SETTLE_NS: u64 = SECOND_NS;
const SECOND_NS: u64 = 1_000_000_000;
/// Not the number of a connection.
const SCRAPER: Token = Token(usize::MAX - 1);
/// Where connections come from; the kernel has some 28,000 ports for each address. The relay limits
/// the first of them only with `--limit-loopback on`.
const SOURCES: Sources = Sources {
    first: Ipv4Addr::LOCALHOST,
    connections: 8_000,
};

/// See the module text.
pub struct Generator {
    plan: Plan,
    poll: Poll,
    desk: Desk,
    /// Publishers first, then players in the order they joined.
    clients: Vec<Client>,
    /// When each publisher has a message due.
    due: BinaryHeap<Reverse<(u64, usize)>>,
    phase: Phase,
    /// When the phase began, and how many connections there were.
    phase_began: (u64, usize),
    live_publishers: usize,
    /// Players that have what they joined for.
    joined: usize,
    closed: usize,
    closed_why: Option<String>,
    scraper: Option<Scraper>,
    memory: Memory,
    begin: Mark,
    next_progress: u64,
    last_progress: Mark,
    own_pid: u32,
}

/// Use and traffic at one time.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    at_ns: u64,
    server: Usage,
    own: Usage,
    bytes_in: u64,
    bytes_out: u64,
}

impl Generator {
    /// A generator that has not begun.
    ///
    /// # Errors
    /// The system has no poll for us.
    pub fn new(plan: Plan) -> io::Result<Self> {
        let media = Media::new(plan.shape);
        let now = now_ns();
        Ok(Self {
            poll: Poll::new()?,
            desk: Desk::new(media, plan.chunk_size),
            plan,
            clients: Vec::new(),
            due: BinaryHeap::new(),
            phase: Phase::Publish,
            phase_began: (now, 0),
            live_publishers: 0,
            joined: 0,
            closed: 0,
            closed_why: None,
            scraper: None,
            memory: Memory::default(),
            begin: Mark::default(),
            next_progress: now + SECOND_NS,
            last_progress: Mark::default(),
            own_pid: std::process::id(),
        })
    }

    /// Runs to the end. `progress` is called with a line of figures each second.
    ///
    /// # Errors
    /// The load could not be put on: in words for the user.
    pub fn run(mut self, mut progress: impl FnMut(&str)) -> Result<Outcome, String> {
        let mut events = Events::with_capacity(EVENTS_PER_POLL);
        self.memory.at_start = self.mark()?.server.rss_kib;
        self.last_progress = self.mark()?;
        while self.phase != Phase::Over {
            let wait = self.wait();
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled.map_err(|error| format!("poll failed: {error}"))?,
            }
            self.handle(&events)?;
            self.publish();
            if let Some(scraper) = &mut self.scraper {
                scraper.on_time(self.poll.registry())?;
            }
            self.connect()?;
            self.follow_phase()?;
            if now_ns() >= self.next_progress {
                self.next_progress += SECOND_NS;
                progress(&self.progress_line()?);
            }
        }
        self.outcome()
    }

    /// Until something is due.
    fn wait(&self) -> Duration {
        let now = now_ns();
        let next_due = self.due.peek().map_or(u64::MAX, |Reverse((at, _))| *at);
        let scrape = self.scraper.as_ref().map_or(u64::MAX, Scraper::due_ns);
        let next_due = next_due.min(scrape);
        let next = next_due.min(self.next_progress).min(match self.phase {
            Phase::Settle { until } | Phase::WarmUp { until } | Phase::Measure { until } => until,
            _ => u64::MAX,
        });
        let pause = Duration::from_nanos(next.saturating_sub(now));
        if self.target() > self.clients.len() {
            return pause.min(Duration::from_millis(1));
        }
        pause
    }

    fn handle(&mut self, events: &Events) -> Result<(), String> {
        // A checked player that waited for a thousand others would measure us, not the server.
        for first in [true, false] {
            for (count, event) in events.iter().enumerate() {
                let Token(index) = event.token();
                if event.token() == SCRAPER {
                    if let Some(scraper) = self.scraper.as_mut().filter(|_| first) {
                        scraper.on_ready(self.poll.registry())?;
                    }
                    continue;
                }
                if self.is_checked(index) != first {
                    continue;
                }
                let readable = event.is_readable() || event.is_read_closed() || event.is_error();
                self.on_ready(index, readable);
                if count % EVENTS_PER_LOOK == EVENTS_PER_LOOK - 1 {
                    self.publish();
                }
            }
        }
        Ok(())
    }

    fn is_checked(&self, index: usize) -> bool {
        matches!(
            &self.clients[index].role,
            Role::Player(Player {
                checker: Some(_),
                ..
            })
        )
    }

    fn on_ready(&mut self, index: usize, readable: bool) {
        let client = &mut self.clients[index];
        let before = client.state;
        if let Err(why) = client.on_ready(&mut self.desk, readable) {
            self.close(index, why);
            return;
        }
        let after = self.clients[index].state;
        if before != State::Joining || after == State::Joining {
            return;
        }
        match &self.clients[index].role {
            Role::Publisher(_) => {
                self.live_publishers += 1;
                self.begin_publish(index);
            }
            Role::Player(_) => self.joined += 1,
        }
    }

    fn begin_publish(&mut self, index: usize) {
        // Publishers are not in step with each other: spread over a frame's time.
        let frame_ns = SECOND_NS / self.plan.shape.frame_rate;
        let zero_ns = now_ns() + frame_ns * (index as u64 * 618 % 1_000) / 1_000;
        match self.clients[index].begin_publish(&mut self.desk, zero_ns) {
            Ok(_) if self.plan.idle => {}
            Ok(at_ns) => self.due.push(Reverse((at_ns, index))),
            Err(why) => self.close(index, why),
        }
    }

    /// Sends what is due.
    fn publish(&mut self) {
        let now = now_ns();
        while let Some(&Reverse((at_ns, index))) = self.due.peek()
            && at_ns <= now
        {
            self.due.pop();
            if self.clients[index].state == State::Closed {
                continue;
            }
            match self.clients[index].publish_due(&mut self.desk, now) {
                Ok(next) => self.due.push(Reverse((next, index))),
                Err(why) => self.close(index, why),
            }
        }
    }

    fn close(&mut self, index: usize, why: String) {
        let client = &mut self.clients[index];
        client.state = State::Closed;
        let _: io::Result<()> = self.poll.registry().deregister(client.tcp());
        self.closed += 1;
        let what = match client.role {
            Role::Publisher(_) => "publisher",
            Role::Player(_) => "player",
        };
        let why = || format!("a {what} was {why}");
        self.closed_why.get_or_insert_with(why);
    }

    /// How many connections there are to be in this phase.
    fn target(&self) -> usize {
        let publishers = self.publishers();
        match self.phase {
            Phase::Publish | Phase::Settle { .. } => publishers,
            Phase::Join | Phase::WarmUp { .. } => publishers + self.plan.players,
            Phase::Measure { .. } | Phase::Over => publishers + self.plan.players + self.plan.storm,
        }
    }

    fn publishers(&self) -> usize {
        if self.plan.publishes {
            self.plan.streams
        } else {
            0
        }
    }

    /// Begins the connections whose time has come.
    fn connect(&mut self) -> Result<(), String> {
        let (began, already) = self.phase_began;
        let rate = match self.phase {
            Phase::Measure { .. } => self.plan.storm as u64,
            _ => self.plan.ramp,
        };
        let elapsed = now_ns().saturating_sub(began);
        let allowed = u128::from(elapsed) * u128::from(rate) / u128::from(SECOND_NS);
        let allowed = already + usize::try_from(allowed).unwrap_or(usize::MAX) + 1;
        let upto = allowed
            .min(self.target())
            .min(self.clients.len() + CONNECTS_PER_TURN);
        while self.clients.len() < upto {
            self.connect_next()
                .map_err(|error| format!("connection {}: {error}", self.clients.len()))?;
        }
        Ok(())
    }

    fn connect_next(&mut self) -> io::Result<()> {
        let index = self.clients.len();
        let plan = &self.plan;
        let (role, server, number) = match index.checked_sub(self.publishers()) {
            None => {
                let publisher = Publisher::new(&self.desk.media);
                (Role::Publisher(publisher), &plan.publish_to, index)
            }
            Some(player) => {
                let Seat {
                    server,
                    stream,
                    player,
                } = plan.seat(player);
                (Role::Player(player), server, stream)
            }
        };
        let name = format!("{}-{number}", plan.name);
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let source = SOURCES.of(server.address, index);
        let stream = (number, &*name);
        let mut client = Client::connect(server, source, stream, role, &self.desk)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(client.tcp(), Token(index), interest)?;
        self.clients.push(client);
        Ok(())
    }

    fn follow_phase(&mut self) -> Result<(), String> {
        let now = now_ns();
        let next = match self.phase {
            Phase::Publish if self.live_publishers == self.publishers() => Phase::Settle {
                until: now + if self.plan.publishes { SETTLE_NS } else { 0 },
            },
            Phase::Settle { until } if now >= until => {
                self.memory.with_publishers = self.mark()?.server.rss_kib;
                Phase::Join
            }
            Phase::Join if self.joined == self.plan.players => {
                let scrape = self.plan.scrape.clone();
                self.scraper = scrape.map(|scrape| Scraper::new(scrape, SCRAPER, now));
                Phase::WarmUp {
                    until: now + self.plan.warm_up * SECOND_NS,
                }
            }
            Phase::WarmUp { until } if now >= until => {
                self.begin_measuring()?;
                Phase::Measure {
                    until: now + self.plan.seconds * SECOND_NS,
                }
            }
            Phase::Measure { until } if now >= until => Phase::Over,
            Phase::Publish | Phase::Join => return self.check_joining(now),
            _ => return Ok(()),
        };
        self.phase = next;
        self.phase_began = (now, self.clients.len());
        Ok(())
    }

    /// Nobody is lost before the measurement, and nobody waits for ever.
    fn check_joining(&self, now: u64) -> Result<(), String> {
        if let Some(why) = &self.closed_why {
            let why = format!("{why} while the load was put on");
            return Err(advice::with_advice(&why));
        }
        let (began, already) = self.phase_began;
        let due = (self.target() - already) as u64;
        let ramp_ns = due * SECOND_NS / self.plan.ramp.max(1);
        if now < began + ramp_ns + JOIN_TIMEOUT_NS {
            return Ok(());
        }
        Err(match self.phase {
            Phase::Publish => format!(
                "{} of {} publishers were accepted in time",
                self.live_publishers,
                self.publishers()
            ),
            _ => format!(
                "{} of {} players had their first frame in time",
                self.joined, self.plan.players
            ),
        })
    }

    fn begin_measuring(&mut self) -> Result<(), String> {
        let seen = &mut self.desk.seen;
        *seen = Seen {
            first_frame_ns: std::mem::take(&mut seen.first_frame_ns),
            ..Seen::default()
        };
        for client in &mut self.clients {
            client.bytes = 0;
        }
        if let Some(scraper) = &mut self.scraper {
            scraper.take_seen();
        }
        self.begin = self.mark()?;
        self.last_progress = self.begin;
        self.memory.with_players = self.begin.server.rss_kib;
        Ok(())
    }

    fn mark(&self) -> Result<Mark, String> {
        let server = usage(&self.plan.server_pids)
            .map_err(|error| format!("the server process cannot be measured: {error}"))?;
        let own = usage(&[self.own_pid]).map_err(|error| format!("/proc/self: {error}"))?;
        Ok(Mark {
            at_ns: now_ns(),
            server,
            own,
            bytes_in: self.desk.seen.bytes_in,
            bytes_out: self.desk.seen.bytes_out,
        })
    }

    fn outcome(mut self) -> Result<Outcome, String> {
        let end = self.mark()?;
        let scraped = self.scraper.as_mut().map(Scraper::take_seen);
        let scraped = scraped.unwrap_or_default();
        if self.plan.scrape.is_some() && scraped.times_ns.is_empty() {
            return Err("--scrape: nothing was answered while measuring".into());
        }
        let players = &self.clients[self.publishers()..];
        let storm_missing = players
            .iter()
            .skip(self.plan.players)
            .filter(|client| client.state != State::Live)
            .count();
        let mut bytes_of_players: Vec<u64> = players
            .iter()
            .take(self.plan.players)
            .filter(|client| matches!(&client.role, Role::Player(p) if !p.stalls))
            .map(|client| client.bytes)
            .collect();
        bytes_of_players.sort_unstable();
        Ok(Outcome {
            elapsed_ns: end.at_ns - self.begin.at_ns,
            server: end.server.since(&self.begin.server),
            own: end.own.since(&self.begin.own),
            memory: Memory {
                at_end: end.server.rss_kib,
                ..self.memory
            },
            bytes_of_players,
            closed: self.closed,
            closed_why: self.closed_why,
            scraped,
            storm_missing: storm_missing + self.plan.storm
                - players.len().saturating_sub(self.plan.players),
            seen: self.desk.seen,
        })
    }

    fn progress_line(&mut self) -> Result<String, String> {
        let now = self.mark()?;
        let last = std::mem::replace(&mut self.last_progress, now);
        let seconds = (now.at_ns - last.at_ns) as f64 / 1e9;
        let share = |usage: Usage| usage.cpu_ns as f64 / 1e7 / seconds;
        let mbit = |bytes: u64| bytes as f64 * 8.0 / 1e6 / seconds;
        let phase = match self.phase {
            Phase::Publish | Phase::Settle { .. } => "publishing",
            Phase::Join => "joining",
            Phase::WarmUp { .. } => "warming up",
            Phase::Measure { .. } | Phase::Over => "measuring",
        };
        Ok(format!(
            "{phase:<10}  publishers {}/{}  players {}/{}  in {:.1} out {:.1} Mbit/s  \
             server {:.1} % of a core, {} MiB  own {:.1} %  lost {}",
            self.live_publishers,
            self.publishers(),
            self.joined,
            self.plan.players + self.plan.storm,
            mbit(now.bytes_in.saturating_sub(last.bytes_in)),
            mbit(now.bytes_out.saturating_sub(last.bytes_out)),
            share(now.server.since(&last.server)),
            now.server.rss_kib / 1024,
            share(now.own.since(&last.own)),
            self.desk.seen.tally.lost + self.desk.seen.http_tally.lost,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_connections_come_from_several_addresses() {
        let local = "127.0.0.1:1935".parse().unwrap();
        let of = |index| {
            SOURCES
                .of(local, index)
                .map(|address| address.ip().to_string())
        };
        assert_eq!(of(0).as_deref(), Some("127.0.0.1"));
        assert_eq!(of(17_999).as_deref(), Some("127.0.0.3"));
        assert_eq!(SOURCES.of("192.0.2.1:1935".parse().unwrap(), 0), None);
    }
}
