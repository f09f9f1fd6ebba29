//! The relay under test: the real binary on a port of its own.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::http::FlvPlayer;
use crate::process::Process;
use crate::wire::Wire;
use crate::{SOON, scratch, wait_for};

/// A running relay. It is stopped and its exit checked when the test is over.
#[derive(Debug)]
pub struct Relay {
    process: Process,
    addresses: Vec<SocketAddr>,
    dir: PathBuf,
    stopped: bool,
    /// Words of errors that are meant to be in its log.
    expected: Vec<&'static str>,
}

/// The path of the relay's binary.
pub use tailwater_testkit::binary::relay as binary;

/// How long a relay may take to stop beyond its `--drain`.
const STOP_SLACK: Duration = Duration::from_secs(5);

impl Relay {
    /// Starts a relay with `flags` on a free port of the loopback.
    pub fn start(flags: &[&str]) -> Self {
        Self::start_on(&["127.0.0.1:0"], flags)
    }

    /// Starts a relay with `flags` on `listen`.
    pub fn start_on(listen: &[&str], flags: &[&str]) -> Self {
        let mut command = Command::new(binary());
        for address in listen {
            command.args(["--listen", address]);
        }
        command.args(["--stats-interval", "200ms"]);
        if !flags.contains(&"--log") {
            command.args(["--log", "debug"]);
        }
        if !flags.contains(&"--max-per-address") {
            // All of a test's clients have one address.
            command.args(["--max-per-address", "0"]);
        } else if !flags.contains(&"--limit-loopback") {
            command.args(["--limit-loopback", "on"]);
        }
        command.args(flags);
        Self::start_command(&mut command, listen.len())
    }

    /// Starts a relay with `flags` that listens with TLS as well, with the certificates and keys
    /// in `pairs` of files.
    pub fn start_with_tls(pairs: &[[String; 2]], flags: &[&str]) -> Self {
        let mut all = vec!["--listen-tls", "127.0.0.1:0"];
        for [certificate, key] in pairs {
            all.extend(["--tls-cert", certificate, "--tls-key", key]);
        }
        all.extend(flags);
        Self::start(&all)
    }

    /// Starts `command`, which becomes a relay that listens on `listeners` addresses.
    pub fn start_command(command: &mut Command, listeners: usize) -> Self {
        let dir = scratch("relay");
        command.env_remove("RUST_LOG");
        let mut process = Process::start("tailwater", &dir, command);
        let addresses = wait_for("address of the relay", SOON, || {
            let out = process.out();
            let lines: Vec<SocketAddr> = out
                .lines()
                .filter_map(|line| line.strip_prefix("listening rtmp ")?.parse().ok())
                .collect();
            assert!(process.ended().is_none(), "the relay did not start");
            (lines.len() == listeners).then_some(lines)
        });
        Self {
            process,
            addresses,
            dir,
            stopped: false,
            expected: Vec::new(),
        }
    }

    /// Where it listens first.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// All addresses it listens on.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where it listens with TLS first.
    pub fn tls_address(&self) -> SocketAddr {
        wait_for("address with TLS", SOON, || {
            let out = self.out();
            out.lines()
                .find_map(|line| line.strip_prefix("listening rtmps ")?.parse().ok())
        })
    }

    /// Where it serves streams by HTTP.
    pub fn http(&self) -> SocketAddr {
        self.listens("http")
    }

    /// Where it answers its operator.
    pub fn admin(&self) -> SocketAddr {
        self.listens("admin")
    }

    fn listens(&self, what: &str) -> SocketAddr {
        let begin = format!("listening {what} ");
        let out = self.out();
        let mut lines = out.lines();
        let line = lines.find_map(|line| line.strip_prefix(&begin)?.parse().ok());
        line.unwrap_or_else(|| panic!("the relay does not listen for {what}"))
    }

    /// An error with these words is meant to be in its log.
    pub fn expect_error(&mut self, words: &'static str) {
        self.expected.push(words);
    }

    /// The URL of a stream of app `live`.
    pub fn url(&self, stream: &str) -> String {
        format!("rtmp://{}/live/{stream}", self.address())
    }

    /// A directory for files of this test.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.process.err()
    }

    /// What it printed so far.
    pub fn out(&self) -> String {
        self.process.out()
    }

    /// Waits for a line of the log that has all of `parts`.
    #[track_caller]
    pub fn wait_log(&self, parts: &[&str]) -> String {
        wait_for(&format!("line {parts:?} in the log"), SOON, || {
            let log = self.log();
            let line = log
                .lines()
                .find(|line| parts.iter().all(|part| line.contains(part)))?;
            Some(line.to_owned())
        })
    }

    /// The newest line of figures.
    pub fn stats(&self) -> HashMap<String, u64> {
        self.figures("stats ")
    }

    fn figures(&self, begin: &str) -> HashMap<String, u64> {
        let out = self.out();
        let whole = out.rfind('\n').map_or("", |end| &out[..end]);
        let last = whole.lines().rfind(|line| line.starts_with(begin));
        last.unwrap_or_default()
            .split(' ')
            .filter_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                Some((name.to_owned(), value.parse().ok()?))
            })
            .collect()
    }

    /// The newest figures of the target that is called `label`.
    pub fn target_stats(&self, label: &str) -> HashMap<String, u64> {
        let begin = format!("push target={label} ");
        self.figures(&begin)
    }

    /// Waits until a figure of the target that is called `label` is as it should be.
    #[track_caller]
    pub fn wait_target(&self, label: &str, name: &str, is_so: impl Fn(u64) -> bool) {
        wait_for(&format!("{name} of {label} as it should be"), SOON, || {
            let value = self.target_stats(label).get(name).copied();
            value.filter(|&value| is_so(value)).map(drop)
        });
    }

    /// Waits until a figure is `value`; the figures are a second old at most.
    #[track_caller]
    pub fn wait_stat(&self, name: &str, value: u64) {
        wait_for(&format!("{name}={value} in the figures"), SOON, || {
            (self.stats().get(name) == Some(&value)).then_some(())
        });
    }

    /// Waits until there are so many players, those that wait for their stream included.
    #[track_caller]
    pub fn wait_players(&self, count: usize) {
        self.wait_stat("players", count as u64);
    }

    /// Processor time it has used.
    pub fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id()))
            .expect("the relay still runs");
        // Behind the name in brackets: fields 14 and 15 of proc(5) in ticks of 10 ms.
        let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
        let ticks: u64 = fields
            .split(' ')
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        Duration::from_millis(10 * ticks)
    }

    /// How many descriptors it has open.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id()))
            .expect("the relay still runs")
            .count()
    }

    /// Memory in use, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))
            .expect("the relay still runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("a line for it");
        let kib: u64 = line
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number");
        kib * 1024
    }

    /// Sends the relay a signal.
    pub fn signal(&mut self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        self.stopped = true;
        self.process.signal(Signal::KILL);
        self.process.wait(SOON);
    }

    /// Waits until it has ended by itself or by a signal, which has to be with exit code 0 and
    /// without an error in its log.
    #[track_caller]
    pub fn ended(&mut self, limit: Duration) {
        self.stopped = true;
        self.process.succeed(limit);
        let mut log = self.log();
        for words in &self.expected {
            let others = log.lines().filter(|line| !line.contains(words));
            log = others.collect::<Vec<_>>().join("\n");
        }
        for bad in [" ERROR ", "panicked", "ended badly"] {
            assert!(!log.contains(bad), "the log has {bad:?}");
        }
    }

    /// Stops it with SIGTERM and checks how it ends.
    #[track_caller]
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        self.ended(Duration::from_secs(5) + STOP_SLACK);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if !self.stopped && !std::thread::panicking() {
            self.stop();
        }
        if !std::thread::panicking() {
            // What a failed test left behind is of use, the rest is not.
            let _: std::io::Result<()> = std::fs::remove_dir_all(&self.dir);
        }
    }
}

impl Relay {
    /// The worker a connection of ours landed on.
    #[track_caller]
    pub fn worker_of(&self, client: &impl Client) -> usize {
        let peer = format!("peer={} ", client.address());
        let line = self.wait_log(&["accepted", &peer]);
        let (_, worker) = line.rsplit_once("worker=").expect("accepted by a worker");
        worker.trim().parse().expect("the number of a worker")
    }

    /// One of what `connect` makes on each of `workers`, in their order. The kernel chooses where
    /// a connection lands, so that some more are made and dropped.
    #[track_caller]
    pub fn on_each_worker<C: Client>(
        &self,
        workers: usize,
        mut connect: impl FnMut() -> C,
    ) -> Vec<C> {
        let mut found: Vec<Option<C>> = (0..workers).map(|_| None).collect();
        for _ in 0..40 * workers {
            let client = connect();
            let worker = self.worker_of(&client);
            found[worker].get_or_insert(client);
            if found.iter().all(Option::is_some) {
                return found.into_iter().flatten().collect();
            }
        }
        panic!("the kernel left out one of {workers} workers");
    }
}

/// A connection of ours.
pub trait Client {
    /// Our end of it.
    fn address(&self) -> SocketAddr;
}

impl Client for Wire {
    fn address(&self) -> SocketAddr {
        self.local_address()
    }
}

impl Client for FlvPlayer {
    fn address(&self) -> SocketAddr {
        self.local_address()
    }
}
