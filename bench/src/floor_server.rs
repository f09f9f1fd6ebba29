//! The server process of the floor: sockets and nothing else. It writes a schedule's bytes to
//! every connection, or takes what connections send and looks at none of it. It ends when its
//! standard input does.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::time::{ClockId, Timespec};
use socket2::{Domain, Protocol, Socket, Type};
use tailwater_testkit::script;

use crate::floor::Work;
use crate::measure::{now_ns, quantile};
use crate::media::{Label, Media, Schedule};

const LISTENER: Token = Token(usize::MAX);
const INPUT: Token = Token(usize::MAX - 1);
/// One read takes at most so much; a relay's receive ring has a similar size.
const READ_BYTES: usize = 64 * 1024;
/// One write in a thousand may find its socket full before the figures are worth nothing.
const FULL_SHARE_MAX: f64 = 0.001;
/// A process that is this late for one beat in a hundred is short of time.
const LATE_NS_MAX: u64 = 50_000_000;

/// Serves until standard input ends, then prints what is wrong with the figures, if anything.
///
/// # Errors
/// The system refuses sockets.
pub(crate) fn serve(work: &Work) -> io::Result<()> {
    tailwater::net::process::raise_open_files();
    let mut sockets = Sockets::listen()?;
    crate::subcommand::say(&format!("{}\n", sockets.listener.local_addr()?));
    io::stdout().flush()?;
    let complaint = if work.ingest {
        take(work, &mut sockets)?
    } else {
        give(work, &mut sockets)?
    };
    crate::subcommand::say(&complaint.unwrap_or_default());
    Ok(())
}

/// The listener and what it accepted, in the order of arrival.
struct Sockets {
    poll: Poll,
    listener: TcpListener,
    accepted: Vec<TcpStream>,
    over: bool,
}

impl Sockets {
    fn listen() -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
        socket.listen(4_096)?;
        let mut listener = TcpListener::from_std(socket.into());
        let poll = Poll::new()?;
        let registry = poll.registry();
        registry.register(&mut listener, LISTENER, Interest::READABLE)?;
        registry.register(&mut SourceFd(&0), INPUT, Interest::READABLE)?;
        Ok(Self {
            poll,
            listener,
            accepted: Vec::new(),
            over: false,
        })
    }

    /// Deals with all but the connections themselves. `watched`: whether they are polled for
    /// what they send.
    fn on_event(&mut self, token: Token, watched: bool) -> io::Result<()> {
        match token {
            INPUT => self.over = true,
            LISTENER => loop {
                let mut socket = match self.listener.accept() {
                    Ok((socket, _)) => socket,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                };
                socket.set_nodelay(true)?;
                if watched {
                    let token = Token(self.accepted.len());
                    let registry = self.poll.registry();
                    registry.register(&mut socket, token, Interest::READABLE)?;
                }
                self.accepted.push(socket);
            },
            _ => {}
        }
        Ok(())
    }

    fn poll(&mut self, events: &mut Events, wait: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(events, wait) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            polled => polled,
        }
    }
}

/// Takes what connections send.
fn take(work: &Work, sockets: &mut Sockets) -> io::Result<Option<String>> {
    let mut events = Events::with_capacity(1_024);
    let mut bytes = vec![0; READ_BYTES];
    let pace_ns = work.pace_ms * 1_000_000;
    let mut beat = now_ns();
    while !sockets.over {
        if pace_ns > 0 {
            beat = (beat + pace_ns).max(now_ns());
            sleep_until(beat);
        }
        loop {
            let wait = (pace_ns > 0).then_some(Duration::ZERO);
            sockets.poll(&mut events, wait)?;
            let mut count = 0;
            for event in &events {
                count += 1;
                match event.token() {
                    Token(index) if index < sockets.accepted.len() => {
                        drain(&mut sockets.accepted[index], &mut bytes)?;
                    }
                    token => sockets.on_event(token, true)?,
                }
            }
            if pace_ns == 0 || count < 1_024 {
                break;
            }
        }
    }
    Ok(None)
}

/// Reads until the socket is empty, which a short read says already.
fn drain(socket: &mut TcpStream, bytes: &mut [u8]) -> io::Result<()> {
    loop {
        match socket.read(bytes) {
            Ok(count) if count == bytes.len() => {}
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            // Publishers go when the run is over.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Writes the schedule of each stream to its connections: number `i` belongs to stream
/// `i % streams`, as in the generator.
fn give(work: &Work, sockets: &mut Sockets) -> io::Result<Option<String>> {
    let streams = work.plan.streams;
    let begin = now_ns();
    let mut giver = Giver {
        media: Media::new(work.plan.shape),
        chunk_size: work.plan.chunk_size,
        schedules: vec![Schedule::new(&work.plan.shape); streams],
        pending: vec![Vec::new(); streams],
        body: Vec::new(),
        begin,
        writes: 0,
        full: 0,
    };
    let mut events = Events::with_capacity(1_024);
    let pace_ns = work.pace_ms * 1_000_000;
    let mut beat = begin + pace_ns;
    let mut late_ns = Vec::new();
    while !sockets.over {
        let next = match pace_ns {
            0 => giver.next_due(),
            _ => beat,
        };
        let wait = Duration::from_nanos(next.saturating_sub(now_ns()));
        sockets.poll(&mut events, Some(wait))?;
        for event in &events {
            sockets.on_event(event.token(), false)?;
        }
        let now = now_ns();
        if now < next {
            continue;
        }
        late_ns.push(now - next);
        for stream in 0..streams {
            giver.collect(stream, now, pace_ns == 0, &mut sockets.accepted);
            if pace_ns > 0 {
                giver.write(stream, &mut sockets.accepted);
            }
        }
        if pace_ns > 0 {
            beat = (beat + pace_ns).max(now);
        }
    }
    late_ns.sort_unstable();
    Ok(giver.complaint(quantile(&late_ns, 0.99)))
}

struct Giver {
    media: Media,
    chunk_size: usize,
    schedules: Vec<Schedule>,
    /// What each stream has not written yet.
    pending: Vec<Vec<u8>>,
    body: Vec<u8>,
    begin: u64,
    writes: u64,
    full: u64,
}

impl Giver {
    fn next_due(&self) -> u64 {
        let due = self.schedules.iter().map(|schedule| schedule.peek().at_ns);
        self.begin + due.min().unwrap_or(0)
    }

    /// Puts the messages of `stream` that are due into its pending bytes, and writes each by
    /// itself if `at_once`.
    fn collect(&mut self, stream: usize, now: u64, at_once: bool, sockets: &mut [TcpStream]) {
        loop {
            let due = self.schedules[stream].peek();
            let at_ns = self.begin + due.at_ns;
            if at_ns > now {
                return;
            }
            self.schedules[stream].advance();
            // A message is as old as its schedule says, however long it waits for the beat.
            let label = Label {
                kind: due.kind,
                stream: u32::try_from(stream).unwrap_or(u32::MAX),
                number: due.number,
                sent_ns: if at_once { now_ns() } else { at_ns },
            };
            self.media.write(&label, &mut self.body);
            let out = &mut self.pending[stream];
            let message = (due.kind, due.timestamp, 1);
            script::encode(out, message, &self.body, self.chunk_size);
            if at_once {
                self.write(stream, sockets);
            }
        }
    }

    /// One write to every connection of the stream.
    fn write(&mut self, stream: usize, sockets: &mut [TcpStream]) {
        let bytes = &self.pending[stream];
        if bytes.is_empty() {
            return;
        }
        for socket in sockets
            .iter_mut()
            .skip(stream)
            .step_by(self.schedules.len())
        {
            self.writes += 1;
            // Other errors: the player has gone, as they all do in the end.
            let is_full = match socket.write(bytes) {
                Ok(count) => count < bytes.len(),
                Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            };
            self.full += u64::from(is_full);
        }
        self.pending[stream].clear();
    }

    /// Why the figures are worth nothing.
    fn complaint(&self, late_ns: u64) -> Option<String> {
        if self.full as f64 > self.writes as f64 * FULL_SHARE_MAX {
            return Some(format!(
                "{} of {} writes of the floor found a full socket",
                self.full, self.writes
            ));
        }
        (late_ns > LATE_NS_MAX).then(|| {
            let late_ms = late_ns / 1_000_000;
            format!("the floor was itself {late_ms} ms late: too many players for one core")
        })
    }
}

/// Sleeps without polling, as a relay that gathers does.
fn sleep_until(at_ns: u64) {
    let until = Timespec {
        tv_sec: i64::try_from(at_ns / 1_000_000_000).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(at_ns % 1_000_000_000).unwrap_or(0),
    };
    let _: Result<(), _> = rustix::thread::clock_nanosleep_absolute(ClockId::Monotonic, &until);
}
