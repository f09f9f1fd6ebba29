//! The abusers at work: connections that follow their scripts, begun at a bounded rate and again
//! when they have ended, and what came of each kind. Nothing that comes back is looked at.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::net::RecvFlags;

use super::scripts::{Dice, KINDS, Script, Target};
use crate::measure::now_ns;
use crate::socket::{self, Options, Sources};

/// Nanoseconds.
pub(super) const SECOND_NS: u64 = 1_000_000_000;
/// How often the clock of the scripts is looked at.
const TICK_NS: u64 = 5_000_000;
/// From one line of progress to the next.
const PROGRESS_NS: u64 = 10 * SECOND_NS;
/// Where abusers come from: not from the addresses of the load.
const SOURCES: Sources = Sources {
    first: Ipv4Addr::new(127, 66, 0, 1),
    connections: 500,
};
/// What the kernel holds for those that do not read.
const DEAF_BUFFER_BYTES: usize = 4 * 1024;
/// Never touched: the kernel drops what it would put here.
const DISCARD_BYTES: usize = 256 * 1024;

/// What the abusers do.
#[derive(Clone, Debug)]
pub struct Abuse {
    /// The server.
    pub server: SocketAddr,
    /// Whom it is about.
    pub target: Target,
    /// Abusers at work at one time.
    pub abusers: usize,
    /// Connections begun a second.
    pub rate: u64,
    /// Indices into [`KINDS`].
    pub kinds: Vec<usize>,
    /// What the random numbers come from.
    pub seed: u64,
}

/// What came of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Connections begun.
    pub tries: u64,
    /// ... that the server did not take.
    pub refused: u64,
    /// ... that the server closed or reset.
    pub closed: u64,
    /// ... that left by themselves when their time was over.
    pub left: u64,
    /// Bytes the server's kernel took.
    pub sent: u64,
    /// Bytes that came back and were read.
    pub received: u64,
}

impl Count {
    pub(super) fn add(&mut self, other: &Self) {
        self.tries += other.tries;
        self.refused += other.refused;
        self.closed += other.closed;
        self.left += other.left;
        self.sent += other.sent;
        self.received += other.received;
    }
}

/// All abusers and their event loop.
pub struct Abusers {
    abuse: Abuse,
    poll: Poll,
    slots: Vec<Option<Abuser>>,
    dice: Dice,
    discard: Vec<u8>,
    begun: u64,
    /// When the next connection is due.
    next_ns: u64,
    /// For each of [`KINDS`].
    pub counts: Vec<Count>,
}

/// One connection.
struct Abuser {
    socket: TcpStream,
    kind: usize,
    script: Script,
    /// Whether the piece and no longer the opening is being sent.
    in_pieces: bool,
    /// Bytes sent of the one or the other.
    at: usize,
    next_ns: u64,
    leave_ns: u64,
}

/// How a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    Open,
    Refused,
    Closed,
}

impl Abusers {
    /// Abusers that have not begun.
    ///
    /// # Errors
    /// The system has no poll for us.
    pub fn new(abuse: Abuse) -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            slots: (0..abuse.abusers).map(|_| None).collect(),
            dice: Dice::new(abuse.seed),
            discard: vec![0; DISCARD_BYTES],
            begun: 0,
            next_ns: 0,
            counts: vec![Count::default(); KINDS.len()],
            abuse,
        })
    }

    /// Works until `stop` is set or the time has come.
    ///
    /// # Errors
    /// The system has no more sockets for us.
    pub fn run(&mut self, stop: &AtomicBool, until_ns: u64, is_quiet: bool) -> io::Result<()> {
        let mut events = Events::with_capacity(256);
        self.next_ns = now_ns();
        let mut progress_ns = self.next_ns + PROGRESS_NS;
        while !stop.load(Ordering::Relaxed) {
            let now = now_ns();
            if now >= until_ns {
                break;
            }
            self.connect(now)?;
            let tick = Duration::from_nanos(TICK_NS);
            match self.poll.poll(&mut events, Some(tick)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                self.turn(event.token().0, event.is_readable());
            }
            for slot in 0..self.slots.len() {
                self.turn(slot, false);
            }
            if now >= progress_ns {
                progress_ns += PROGRESS_NS;
                if !is_quiet {
                    let at_work = self.slots.iter().flatten().count();
                    eprintln!("abuse: {} connections begun, {at_work} open", self.begun);
                }
            }
        }
        // Those still at work have not been judged.
        self.slots.clear();
        Ok(())
    }

    /// Begins the connections that are due, as far as there is room.
    fn connect(&mut self, now: u64) -> io::Result<()> {
        for slot in 0..self.slots.len() {
            if self.next_ns > now {
                return Ok(());
            }
            if self.slots[slot].is_none() {
                self.slots[slot] = self.begin(slot, now)?;
                self.next_ns += SECOND_NS / self.abuse.rate;
            }
        }
        // All are at work: what is due is not made up for later.
        self.next_ns = self.next_ns.max(now);
        Ok(())
    }

    fn begin(&mut self, slot: usize, now: u64) -> io::Result<Option<Abuser>> {
        let turn = usize::try_from(self.begun).unwrap_or(0) % self.abuse.kinds.len();
        let kind = self.abuse.kinds[turn];
        self.begun += 1;
        self.counts[kind].tries += 1;
        let script = (KINDS[kind].script)(&mut self.dice, &self.abuse.target);
        let options = Options {
            source: SOURCES.of(self.abuse.server, slot),
            resets: script.resets,
            receive_buffer: (!script.reads).then_some(DEAF_BUFFER_BYTES),
        };
        let mut socket = match socket::connect(self.abuse.server, &options) {
            Ok(socket) => socket,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.counts[kind].refused += 1;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut socket, Token(slot), interest)?;
        let hold_ns = u64::try_from(script.hold.as_nanos()).unwrap_or(u64::MAX);
        Ok(Some(Abuser {
            socket,
            kind,
            script,
            in_pieces: false,
            at: 0,
            next_ns: 0,
            leave_ns: now.saturating_add(hold_ns),
        }))
    }

    /// Sends what is due and takes what there is.
    fn turn(&mut self, slot: usize, is_readable: bool) {
        let Some(Some(abuser)) = self.slots.get_mut(slot) else {
            return;
        };
        let count = &mut self.counts[abuser.kind];
        let now = now_ns();
        let mut stand = abuser.send(now, count);
        if stand == Stand::Open && is_readable {
            stand = abuser.take(&mut self.discard, count);
        }
        match stand {
            Stand::Open if now < abuser.leave_ns => return,
            Stand::Open => {
                count.left += 1;
            }
            Stand::Refused => count.refused += 1,
            Stand::Closed => count.closed += 1,
        }
        // Closing the socket takes it off the poll.
        self.slots[slot] = None;
    }
}

impl Abuser {
    fn send(&mut self, now: u64, count: &mut Count) -> Stand {
        loop {
            let bytes = match self.in_pieces {
                true => &self.script.piece,
                false => &self.script.opening,
            };
            let rest = &bytes[self.at.min(bytes.len())..];
            if rest.is_empty() {
                if self.script.piece.is_empty() || (self.in_pieces && now < self.next_ns) {
                    return Stand::Open;
                }
                let every = u64::try_from(self.script.every.as_nanos()).unwrap_or(u64::MAX);
                // What a full socket has delayed is not made up for.
                self.next_ns = now.saturating_add(every);
                self.in_pieces = true;
                self.at = 0;
                continue;
            }
            match self.socket.write(rest) {
                Ok(sent) => {
                    self.at += sent;
                    count.sent += sent as u64;
                }
                Err(error) => return stand_after(&error),
            }
            if self.in_pieces && self.at == self.script.piece.len() {
                return Stand::Open;
            }
        }
    }

    /// Takes everything there is; for those that do not read only whether it is over.
    fn take(&self, discard: &mut [u8], count: &mut Count) -> Stand {
        // A reset shows here even while there are bytes that nobody reads.
        if let Ok(Some(error)) = self.socket.take_error() {
            return stand_after(&error);
        }
        loop {
            let flags = match self.script.reads {
                true => RecvFlags::TRUNC,
                false => RecvFlags::PEEK,
            };
            let room = match self.script.reads {
                true => discard.len(),
                false => 1,
            };
            let taken = rustix::net::recv(&self.socket, &mut discard[..room], flags);
            match taken.map_err(io::Error::from) {
                Ok((_, 0)) => return Stand::Closed,
                Ok((_, taken)) if self.script.reads => count.received += taken as u64,
                Ok(_) => return Stand::Open,
                Err(error) => return stand_after(&error),
            }
        }
    }
}

/// What an error of a socket says about its connection.
fn stand_after(error: &io::Error) -> Stand {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected | io::ErrorKind::Interrupted => {
            Stand::Open
        }
        io::ErrorKind::ConnectionRefused => Stand::Refused,
        _ => Stand::Closed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;

    fn abuse(server: SocketAddr, kinds: Vec<usize>) -> Abuse {
        Abuse {
            server,
            target: Target {
                app: "live".into(),
                tc_url: "rtmp://localhost/live".into(),
                stream: "film".into(),
            },
            abusers: 4,
            rate: 1_000,
            kinds,
            seed: 1,
        }
    }

    fn index(name: &str) -> usize {
        KINDS.iter().position(|kind| kind.name == name).unwrap()
    }

    #[test]
    fn what_the_server_closes_is_counted_and_tried_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let kind = index("other-protocol");
        let mut abusers = Abusers::new(abuse(listener.local_addr().unwrap(), vec![kind])).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..20 {
                    let (mut socket, _) = listener.accept().unwrap();
                    let mut first = [0];
                    socket.read_exact(&mut first).unwrap();
                }
                stop.store(true, Ordering::Relaxed);
            });
            let until_ns = now_ns() + 20 * SECOND_NS;
            abusers.run(&stop, until_ns, true).unwrap();
        });
        let count = abusers.counts[kind];
        assert!(stop.load(Ordering::Relaxed), "{count:?}");
        assert!(count.closed >= 16 && count.tries >= 20, "{count:?}");
        assert_eq!((count.refused, count.left), (0, 0), "{count:?}");
        assert!(count.sent >= 20, "{count:?}");
    }

    #[test]
    fn a_server_that_is_not_there_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let nobody = listener.local_addr().unwrap();
        drop(listener);
        let kind = index("pings");
        let mut abusers = Abusers::new(abuse(nobody, vec![kind])).unwrap();
        let until_ns = now_ns() + SECOND_NS / 5;
        abusers
            .run(&AtomicBool::new(false), until_ns, true)
            .unwrap();
        let count = abusers.counts[kind];
        assert!(
            count.refused > 0 && count.closed + count.left == 0,
            "{count:?}"
        );
    }
}
