//! `abuse`: the load of `load`, once quiet and once beside abusers, and what that cost the healthy.
//!
//! ```text
//!   quiet run:    publishers, players
//!   abused run:   publishers, players   (this thread)
//!                 abusers               (a thread of its own: connect, send a script, be closed)
//! ```
//!
//! With `--alone` only the abusers, beside a load that somebody else puts on. What they send is
//! in scripts.rs. An abuser tries again when its connection has ended, at a bounded rate, and
//! parses nothing of what it receives.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use serde_json::{Map, Value, json};
use socket2::{Domain, Protocol, Socket, Type};

use crate::client::Wire;
use crate::flags::{Asked, Flag, FlagError, Values, read};
use crate::generator::{Generator, Plan};
use crate::load::{self, End, flag, say};
use crate::measure::now_ns;
use crate::report::{Report, number};
use crate::verdict::{self, Patience};

pub mod scripts;

use scripts::{Dice, KINDS, Script, Target};

const ABOUT: &str = "\
usage: tailwater-bench abuse [--url URL] [--players N] [--abusers N] ...
       tailwater-bench abuse --alone [--abusers N] [--seconds S]

Puts the load of `load` on an RTMP server twice, the second time beside abusers that send it what
no client should, and says what that cost the healthy: what they lost and how late it came.";

const EXAMPLES: &str = "\
All flags of `load` are taken, too. Put server and load on cores of their own:

  taskset -c 0 tailwater --listen 127.0.0.1:1935 --max-per-address 0 &
  tailwater-bench abuse --players 2000 --abusers 200 --cpu 1

exit status: 0 the healthy lost nothing and were not slower than allowed; 1 they were, or the
load could not be put on; 2 wrong flags; 3 refused: the generator itself was the bottleneck.";

const FLAGS: [Flag; 7] = [
    flag("abusers", "N", "100", "Abusers at work at one time."),
    flag(
        "abuse-rate",
        "N",
        "50",
        "Connections a second that all abusers together begin.",
    ),
    flag(
        "abuse-cpu",
        "N",
        "",
        "Pin the abusers to this core; else they run where --cpu says.",
    ),
    flag(
        "kinds",
        "LIST",
        "all",
        "Kinds of abuse, separated by commas; an unknown one names all.",
    ),
    flag(
        "seed",
        "N",
        "1",
        "What is random is the same for the same seed.",
    ),
    flag(
        "slower-max",
        "MS",
        "100",
        "Milliseconds that abuse may add to the p99 of the delay.",
    ),
    flag("alone", "", "", "Only the abusers, for --seconds."),
];

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

/// Runs the subcommand.
pub fn run(arguments: &[String]) -> End {
    let flags: Vec<Flag> = FLAGS
        .into_iter()
        .chain(load::FLAGS)
        .chain(load::SHARED_FLAGS)
        .collect();
    let values = match read(&flags, arguments, ABOUT, EXAMPLES) {
        Ok(Asked::Run(values)) => values,
        Ok(Asked::Help(text)) => {
            say(&text);
            return End::Done;
        }
        Err(error) => return error.into(),
    };
    let ended = match values.is_set("alone") {
        true => alone(&values),
        false => compare(&values),
    };
    match ended {
        Ok(()) => End::Done,
        Err(end) => end,
    }
}

fn abuse(values: &Values, plan: &Plan) -> Result<Abuse, FlagError> {
    let Wire::Rtmp { app, tc_url } = plan.wire.clone() else {
        return Err(values.wrong("url", "RTMP"));
    };
    let all = values.text("kinds") == "all";
    let mut kinds: Vec<usize> = (0..KINDS.len()).filter(|_| all).collect();
    for name in values.text("kinds").split(',').filter(|_| !all) {
        let found = KINDS.iter().position(|kind| kind.name == name);
        kinds.push(found.ok_or_else(|| {
            let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
            values.wrong("kinds", &format!("all, or of {}", names.join(", ")))
        })?);
    }
    Ok(Abuse {
        server: plan.play_from,
        target: Target {
            app,
            tc_url,
            stream: format!("{}-0", plan.name),
        },
        abusers: values.count("abusers", 1..=20_000)?,
        rate: values.number("abuse-rate", 1..=100_000)?,
        kinds,
        seed: values.number("seed", 0..=u64::MAX)?,
    })
}

/// Only the abusers.
fn alone(values: &Values) -> Result<(), End> {
    let plan = load::plan(values)?;
    let abuse = abuse(values, &plan)?;
    load::prepare_process(values)?;
    let stop = AtomicBool::new(false);
    let until_ns = now_ns() + plan.seconds * SECOND_NS;
    let mut abusers = Abusers::new(abuse).map_err(failed)?;
    abusers
        .run(&stop, until_ns, values.is_set("quiet"))
        .map_err(failed)?;
    let json = json!({ "command": "abuse", "kinds": json_of(&abusers.counts) });
    write_json(values, &json)?;
    if values.text("json") != "-" {
        say(&table_of(&abusers.counts));
    }
    Ok(())
}

/// The load, once quiet and once beside the abusers.
fn compare(values: &Values) -> Result<(), End> {
    let quiet_plan = load::plan(values)?;
    // The first run's names are still known to the server for a while.
    let abused_plan = Plan {
        name: format!("{}-abused", quiet_plan.name),
        ..quiet_plan.clone()
    };
    let abuse = abuse(values, &abused_plan)?;
    let slower_max = values.number("slower-max", 0..=60_000)? as f64;
    let patience = load::patience(values)?;
    let abuse_cpu = match values.optional("abuse-cpu") {
        Some(_) => Some(values.count("abuse-cpu", 0..=1_023)?),
        None => None,
    };
    load::prepare_process(values)?;
    let quiet = healthy(values, quiet_plan, &patience)?;
    let mut abusers = Abusers::new(abuse).map_err(failed)?;
    let stop = AtomicBool::new(false);
    // The abusers' work counts as this process's: how busy it was says nothing of the load.
    let patience = Patience {
        busy_max: f64::INFINITY,
        ..patience
    };
    let is_quiet = values.is_set("quiet");
    let (abused, ran) = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if let Some(cpu) = abuse_cpu {
                tailwater::net::process::pin_thread(cpu)?;
            }
            abusers.run(&stop, u64::MAX, is_quiet)
        });
        let abused = healthy(values, abused_plan, &patience);
        stop.store(true, Ordering::Relaxed);
        let ran = thread.join();
        (abused, ran)
    });
    match ran {
        Ok(ran) => ran.map_err(failed)?,
        Err(_) => return Err(End::Failed("the abusers' thread ended badly".into())),
    }
    let abused = abused?;
    let all = json!({
        "command": "abuse",
        "note": values.text("note"),
        "quiet": quiet.json(),
        "abused": abused.json(),
        "kinds": json_of(&abusers.counts),
    });
    write_json(values, &all)?;
    if values.text("json") != "-" {
        say(&side_by_side(&quiet, &abused));
        say("\n");
        say(&table_of(&abusers.counts));
    }
    judge(&quiet, &abused, slower_max)
}

/// One run of the load.
fn healthy(values: &Values, plan: Plan, patience: &Patience) -> Result<Report, End> {
    let quiet = values.is_set("quiet");
    let generator = Generator::new(plan.clone()).map_err(failed)?;
    let outcome = generator
        .run(|line| {
            if !quiet {
                eprintln!("{line}");
            }
        })
        .map_err(End::Failed)?;
    let refused = verdict::refusals(&outcome, patience);
    if !refused.is_empty() {
        return Err(End::Refused(refused));
    }
    if let Some(why) = &outcome.closed_why {
        eprintln!("{} closed early; the first: {why}", outcome.closed);
    }
    Ok(verdict::report(&plan, &outcome))
}

/// What the healthy must not lose.
const LOSSES: [&str; 5] = ["lost", "misplaced", "corrupt", "starved", "closed"];

fn judge(quiet: &Report, abused: &Report, slower_max: f64) -> Result<(), End> {
    let mut wrong = Vec::new();
    for (run, report) in [("quiet", quiet), ("abused", abused)] {
        for key in LOSSES {
            let count = report.value(key).unwrap_or(0.0);
            if count > 0.0 {
                wrong.push(format!("{run}: {key} {count}"));
            }
        }
    }
    if let (Some(before), Some(after)) = (quiet.value(DELAY), abused.value(DELAY)) {
        let slower = after - before;
        if slower > slower_max {
            wrong.push(format!(
                "the p99 of the delay rose by {slower:.1} ms, at most {slower_max} ms is allowed"
            ));
        }
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(End::Failed(wrong.join("; "))),
    }
}

const DELAY: &str = "delay_p99_ms";

/// Figures shown of both runs.
const SHOWN: [&str; 14] = [
    "players",
    "checked",
    "lost",
    "misplaced",
    "corrupt",
    "starved",
    "closed",
    "delay_p50_ms",
    DELAY,
    "delay_max_ms",
    "first_frame_p99_ms",
    "late_p99_ms",
    "server_core_pct",
    "rss_end_kib",
];

fn side_by_side(quiet: &Report, abused: &Report) -> String {
    let mut text = format!("{:<20} {:>12} {:>12}\n", "the healthy", "quiet", "abused");
    let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
    for key in SHOWN {
        let (before, after) = (quiet.value(key), abused.value(key));
        if before.is_some() || after.is_some() {
            text += &format!("{key:<20} {:>12} {:>12}\n", shown(before), shown(after));
        }
    }
    text
}

fn table_of(counts: &[Count]) -> String {
    let mut text = format!(
        "{:<18} {:>8} {:>8} {:>8} {:>8} {:>10} {:>10}\n",
        "abuse", "tries", "refused", "closed", "left", "sent KiB", "back KiB"
    );
    let mut sum = Count::default();
    let line = |name: &str, count: &Count| {
        format!(
            "{name:<18} {:>8} {:>8} {:>8} {:>8} {:>10} {:>10}\n",
            count.tries,
            count.refused,
            count.closed,
            count.left,
            count.sent / 1_024,
            count.received / 1_024
        )
    };
    for (kind, count) in KINDS.iter().zip(counts) {
        if count.tries > 0 {
            text += &line(kind.name, count);
        }
        sum.add(count);
    }
    text + &line("all", &sum)
}

fn json_of(counts: &[Count]) -> Value {
    let mut all = Map::new();
    for (kind, count) in KINDS.iter().zip(counts) {
        let figures = json!({
            "tries": count.tries,
            "refused": count.refused,
            "closed": count.closed,
            "left": count.left,
            "sent_bytes": count.sent,
            "received_bytes": count.received,
        });
        all.insert(kind.name.into(), figures);
    }
    all.into()
}

fn write_json(values: &Values, json: &Value) -> Result<(), End> {
    match values.optional("json") {
        Some(file) => load::write_json(file, &format!("{json}\n"))
            .map_err(|error| End::Failed(format!("--json: {file}: {error}"))),
        None => Ok(()),
    }
}

fn failed(error: io::Error) -> End {
    End::Failed(error.to_string())
}

impl Count {
    fn add(&mut self, other: &Self) {
        self.tries += other.tries;
        self.refused += other.refused;
        self.closed += other.closed;
        self.left += other.left;
        self.sent += other.sent;
        self.received += other.received;
    }
}

const SECOND_NS: u64 = 1_000_000_000;
/// How often the clock of the scripts is looked at.
const TICK_NS: u64 = 5_000_000;
/// From one line of progress to the next.
const PROGRESS_NS: u64 = 10 * SECOND_NS;
/// Connections from one source address at one time.
const ABUSERS_PER_SOURCE: usize = 500;
/// What the kernel holds for those that do not read.
const DEAF_BUFFER_BYTES: usize = 4 * 1024;
/// Never touched: the kernel drops what it would put here.
const DISCARD_BYTES: usize = 256 * 1024;

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
        let mut socket = match open(self.abuse.server, slot, &script) {
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

/// Begins to connect.
fn open(server: SocketAddr, slot: usize, script: &Script) -> io::Result<TcpStream> {
    let socket = Socket::new(
        Domain::for_address(server),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if script.resets {
        socket.set_linger(Some(Duration::ZERO))?;
    }
    if !script.reads {
        socket.set_recv_buffer_size(DEAF_BUFFER_BYTES)?;
    }
    if let Some(source) = source(server, slot) {
        socket.bind(&source.into())?;
    }
    match socket.connect(&server.into()) {
        Err(error) if Errno::from_io_error(&error) != Some(Errno::INPROGRESS) => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

/// The loopback address an abuser comes from: not those of the load.
fn source(server: SocketAddr, slot: usize) -> Option<SocketAddr> {
    let IpAddr::V4(address) = server.ip() else {
        return None;
    };
    let last = u8::try_from(1 + slot / ABUSERS_PER_SOURCE).ok()?;
    let source = Ipv4Addr::new(127, 66, 0, last);
    address.is_loopback().then(|| SocketAddr::from((source, 0)))
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

    #[test]
    fn losses_and_delay_are_judged() {
        let report = |lost: f64, delay: f64| {
            let mut report = Report::default();
            report.add("lost", "", lost);
            report.add(DELAY, "", delay);
            report
        };
        let quiet = report(0.0, 20.0);
        assert_eq!(judge(&quiet, &report(0.0, 119.0), 100.0), Ok(()));
        for (bad, word) in [
            (report(0.0, 121.0), "rose by 101.0 ms"),
            (report(1.0, 20.0), "abused: lost 1"),
        ] {
            let Err(End::Failed(why)) = judge(&quiet, &bad, 100.0) else {
                panic!("{word}");
            };
            assert!(why.contains(word), "{why}");
        }
    }
}
