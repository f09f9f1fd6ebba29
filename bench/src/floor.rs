//! `floor`: what no relay on sockets can beat. The same bytes at the same times, to or from the
//! same number of sockets, with no protocol and no parsing.
//!
//! Two processes, as with a real server: this one is the generator of `load` on one core; the
//! other is started by it, does the least a server could do (floor_server.rs) on another core, and
//! is measured in the same way.

use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use tailwater::net::process;

use crate::client::{self, Wire};
use crate::flags::{Flag, FlagError, Values, flag};
use crate::floor_server;
use crate::load::{SHARED_FLAGS, measure_and_report, shared_plan};
use crate::plan::Plan;
use crate::subcommand::{self, End};

const ABOUT: &str = "\
usage: tailwater-bench floor [--players N] [--pace MS] ...
       tailwater-bench floor --ingest [--publishers P] [--pace MS] ...

Measures the CPU that the kernel's sockets cost by themselves. Without --ingest: the messages of a
stream, chunk headers included, are written to every player, one write for each message (--pace 0)
or one for all of the last MS milliseconds (--pace MS). With --ingest: the same messages are sent
by publishers and taken by epoll and recv as each arrives (--pace 0), or every MS milliseconds.";

const EXAMPLES: &str = "\
Readers, publishers, schedule, sizes and measurement are those of `load`, so that figures compare:
server CPU per player-second here is the least that any relay can need with the same batching.

  tailwater-bench floor --players 500                            one write per message
  tailwater-bench floor --players 2000 --pace 350                one write every 350 ms
  tailwater-bench floor --ingest --publishers 500 --pace 100

exit status: as of `load`.";

/// Flags of the floor alone; its server process gets them too.
const FLAGS: [Flag; 6] = [
    flag(
        "ingest",
        "",
        "",
        "Take what publishers send instead of writing to players.",
    ),
    flag(
        "publishers",
        "P",
        "1",
        "Streams; players are spread over them.",
    ),
    flag(
        "pace",
        "MS",
        "0",
        "Write or take once in so many milliseconds; 0 at once.",
    ),
    flag(
        "chunk-size",
        "BYTES",
        "",
        "Chunk size on the wire (default: 65536, ingest 4096)",
    ),
    flag(
        "server-cpu",
        "N",
        "",
        "Core of the writing or taking process (default: the first)",
    ),
    flag(
        "serve",
        "",
        "",
        "Be the server process. Used by floor itself.",
    ),
];

/// What both processes know.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    /// The bare load.
    pub(crate) plan: Plan,
    /// Whether publishers are served, not players.
    pub(crate) ingest: bool,
    /// Milliseconds between writes or reads; 0 at once.
    pub(crate) pace_ms: u64,
}

/// Runs the subcommand.
pub fn run(arguments: &[String]) -> End {
    let flags: Vec<Flag> = FLAGS.into_iter().chain(SHARED_FLAGS).collect();
    subcommand::run(&flags, arguments, ABOUT, EXAMPLES, |values| {
        let work = work(values)?;
        match values.is_set("serve") {
            true => serve(&work, values),
            false => drive(work, values, arguments),
        }
    })
}

/// The server process.
fn serve(work: &Work, values: &Values) -> Result<(), End> {
    pin(values, "server-cpu")?;
    floor_server::serve(work).map_err(failed)
}

fn failed(error: io::Error) -> End {
    End::Failed(format!("floor server: {error}"))
}

fn work(values: &Values) -> Result<Work, FlagError> {
    let ingest = values.is_set("ingest");
    let streams = values.count("publishers", 1..=20_000)?;
    let chunk_size = match values.optional("chunk-size") {
        Some(_) => values.count("chunk-size", 128..=0xFF_FFFF)?,
        None if ingest => 4_096,
        None => 65_536,
    };
    let shared = shared_plan(values, streams)?;
    let server = client::Server {
        wire: Wire::Bare { chunk_size },
        ..shared.play_from.clone()
    };
    let players = if ingest { 0 } else { shared.players };
    Ok(Work {
        plan: Plan {
            publish_to: server.clone(),
            play_from: server,
            publishes: ingest,
            players,
            checked: shared.checked.min(players),
            chunk_size,
            ..shared
        },
        ingest,
        pace_ms: values.number("pace", 0..=1_000)?,
    })
}

/// Starts the server process, then puts the load on it.
fn drive(mut work: Work, values: &Values, arguments: &[String]) -> Result<(), End> {
    let mut server = Server::start(arguments).map_err(failed)?;
    // Last, as what is started inherits it.
    pin(values, "cpu")?;
    work.plan.publish_to.address = server.address;
    work.plan.play_from.address = server.address;
    work.plan.server_pids = vec![server.child.id()];
    let end = measure_and_report(work.plan, values, "floor");
    match (end, server.stop()) {
        (Ok(()), Some(complaint)) => Err(End::Refused(vec![complaint])),
        (end, _) => end,
    }
}

/// Pins this process to the core `flag` names; without it the server process goes to the first
/// core there is, and the generator to the last.
fn pin(values: &Values, flag: &str) -> Result<(), FlagError> {
    let refused = |_| values.wrong(flag, "a core of this process");
    let cpus = process::available_cpus().map_err(refused)?;
    let default = match flag {
        "server-cpu" => cpus.first(),
        _ => cpus.last(),
    };
    let cpu = match (values.optional(flag), default) {
        (Some(_), _) => values.count(flag, 0..=1_023)?,
        (None, Some(&cpu)) if cpus.len() > 1 => cpu,
        _ => return Ok(()),
    };
    process::pin_thread(cpu).map_err(refused)
}

/// The other process.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(arguments: &[String]) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("floor").args(arguments).arg("--serve");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(out) = &mut child.stdout {
            // Read byte by byte: what follows the line is for later.
            BufReader::with_capacity(1, out).read_line(&mut line)?;
        }
        let address = line.trim().parse().map_err(io::Error::other)?;
        Ok(Self { child, address })
    }

    /// Ends the process; what it has to complain about.
    fn stop(&mut self) -> Option<String> {
        drop(self.child.stdin.take());
        let mut text = String::new();
        if let Some(out) = &mut self.child.stdout {
            let _: io::Result<usize> = out.read_to_string(&mut text);
        }
        let _: io::Result<_> = self.child.wait();
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
