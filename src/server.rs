//! The process: sockets bound, workers started, signals waited for, figures printed.
//! The only place that starts threads, but for the log's and those that look up names.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use log::{info, warn};
use mio::{Poll, Waker};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::admin::server::Server as AdminServer;
use crate::admin::token::Token;
use crate::config::Config;
use crate::config::listen::ListenAddr;
use crate::control::resolver::Resolver;
use crate::limits;
use crate::logging::{self, quoted};
use crate::net::listener::{self, Acceptor, SocketOptions, UnixPath};
use crate::net::process;
use crate::net::socket::Socket;
use crate::net::tls::{ClientTls, FileError, ServerTls};
use crate::worker::collections::List;
use crate::worker::event_loop::EventLoop;
use crate::worker::event_loop::listeners::{Listener, ListenerProtocol};
use crate::worker::event_loop::mio_reactor::{MioReactor, NetContext, poll_with_waker};
use crate::worker::ids::WorkerId;
use crate::worker::mail::Mail;
use crate::worker::shared::Shared;

mod cores;
mod figures;

use cores::Placement;
use figures::Figures;

/// How much longer than `--send-timeout` the kernel waits for a peer that acknowledges nothing.
const USER_TIMEOUT_MARGIN: Duration = Duration::from_secs(10);

/// Descriptors that are not connections: listeners, polls, standard streams, log files.
const FILES_RESERVED: u64 = 64;

/// Why the relay could not start.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be listened on.
    Listen {
        /// The address.
        address: ListenAddr,
        /// What the system says.
        error: io::Error,
    },
    /// A certificate or key cannot be used.
    Tls {
        /// The options that name them.
        flags: &'static str,
        /// What is wrong with which file.
        error: FileError,
    },
    /// The token for the admin listener cannot be read.
    Token {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// `--cpus` names a core that is not there.
    Cpu {
        /// The core.
        cpu: usize,
        /// Those there are.
        available: Vec<usize>,
    },
    /// `--max-connections` needs more open files than the system allows.
    OpenFiles {
        /// How many are needed.
        needed: u64,
        /// How many are allowed.
        allowed: u64,
    },
    /// The limit on open files leaves hardly any connections.
    FewFiles {
        /// How many are needed.
        needed: u64,
        /// How many are allowed.
        allowed: u64,
    },
    /// Something else the system refused.
    System {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        error: io::Error,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { address, error } => {
                write!(f, "cannot listen on {address}: {error}")?;
                if error.kind() == io::ErrorKind::AddrInUse {
                    let other = "; another program listens there. Two relays share an address \
                                 with --reuse-port-with-others only";
                    f.write_str(other)?;
                }
                Ok(())
            }
            Self::Tls { flags, error } => write!(f, "{flags}: {error}"),
            Self::Token { path, error } => {
                write!(f, "--admin-token-file: {}: {error}", path.display())
            }
            Self::Cpu { cpu, available } => {
                write!(
                    f,
                    "--cpus: no core {cpu} for this process; available are {available:?}"
                )
            }
            Self::OpenFiles { needed, allowed } => write!(
                f,
                "--max-connections: needs {needed} open files, the system allows {allowed}; \
                 raise the hard limit (ulimit -Hn, LimitNOFILE=)"
            ),
            Self::FewFiles { needed, allowed } => write!(
                f,
                "the system allows {allowed} open files, and at least {needed} are needed; raise \
                 the hard limit (ulimit -Hn, LimitNOFILE=), or say --max-connections"
            ),
            Self::System { what, error } => write!(f, "cannot {what}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

fn system(what: &'static str) -> impl Fn(io::Error) -> StartError {
    move |error| StartError::System { what, error }
}

/// Starts the relay and serves until SIGTERM or SIGINT; back when everything is closed. Each
/// bound address is printed on standard output.
///
/// # Errors
/// The relay could not start; nothing was served.
pub fn run(mut config: Config) -> Result<(), StartError> {
    log_panics();
    let mut signals =
        Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(system("install signal handlers"))?;
    warn_exposed(&config);
    let available = process::available_cpus().map_err(system("list the cores"))?;
    let usable = process::cpu_share(available.len());
    let workers = worker_count(config.workers, usable);
    let with_others = config.reuse_port_with_others;
    let mut placement = cores::place(&config.cpus, &available, usable, workers, with_others)?;
    let max_connections = connection_limit(&config, workers)?;
    let options = socket_options(&config);
    let tls = load_tls(&config)?;
    let mut doors = Doors::open(&config, &options, workers, tls.as_ref())?;
    // Pages link to where it listens, also where the kernel has chosen the port.
    config.http = std::mem::take(&mut doors.http);
    let client_tls = load_client_tls(&config)?;
    let stats_interval = config.stats_interval;
    let admin_token = load_token(&config)?;
    let mut shared = Shared::new(config, workers, max_connections);
    shared.relay_id = seed(workers);
    shared.began_ms = unix_ms();
    let shared = Arc::new(shared);
    let (seats, wakers) = make_polls(workers)?;
    let wakers = Arc::new(List::from(wakers));
    let mut threads = Vec::new();
    let net = NetContext {
        options,
        resolver: Resolver::default(),
        own: Arc::new(std::mem::take(&mut doors.addresses)),
        tls: client_tls,
    };
    for (worker, poll) in seats.into_iter().enumerate() {
        let doors = std::mem::take(&mut doors.of_workers[worker]);
        let (id, shared) = (WorkerId::new(worker), shared.clone());
        let reactor = MioReactor::new(id, shared.clone(), wakers.clone(), poll, net.clone())
            .map_err(system("make a poll"))?;
        let event_loop = EventLoop::new(id, shared, reactor, doors, seed(worker))
            .map_err(system("watch the listeners"))?;
        let (pin, lock) = (placement.pins[worker], placement.lock.clone());
        threads.push(start_worker(worker, event_loop, pin, lock)?);
    }
    start_admin(&mut doors, &shared, &wakers, admin_token, options)?;
    placement.lock = None;
    announce(&doors.announced).map_err(system("print the addresses"))?;
    info!(
        "{}",
        start_line(&shared.config, &placement, available.len(), max_connections)
    );
    if let Some(interval) = stats_interval {
        start_stats(shared.clone(), interval)?;
    }
    let signal = wait_to_stop(&mut signals, tls.as_deref());
    info!("signal={} stopping", signal.unwrap_or(0));
    drain(&shared, wakers.as_slice());
    start_impatience(signals)?;
    for thread in threads {
        if thread.join().is_err() {
            warn!("a worker ended badly");
        }
    }
    info!("stopped");
    Ok(())
}

/// The poll of each worker, and what wakes it.
fn make_polls(workers: usize) -> Result<(Vec<Poll>, Vec<Waker>), StartError> {
    let mut polls = Vec::new();
    for _ in 0..workers {
        polls.push(poll_with_waker().map_err(system("make a poll"))?);
    }
    Ok(polls.into_iter().unzip())
}

fn socket_options(config: &Config) -> SocketOptions {
    SocketOptions {
        sndbuf: config.sndbuf.unwrap_or(0),
        rcvbuf: config.rcvbuf.unwrap_or(0),
        backlog: i32::from(config.backlog),
        nodelay: config.nodelay.is_on(),
        user_timeout: config.send_timeout + USER_TIMEOUT_MARGIN,
    }
}

/// What the log says at the start: the version, where settings come from, and the limits in force.
fn start_line(
    config: &Config,
    placement: &Placement,
    cores: usize,
    max_connections: usize,
) -> String {
    let file = match &config.file {
        Some(path) => quoted(path.display()).to_string(),
        None => "none".to_owned(),
    };
    let limit =
        |limit: Option<usize>| limit.map_or_else(|| "none".to_owned(), |most| most.to_string());
    let usable = process::cpu_share(cores);
    let quota = if usable < cores {
        format!(", of which a CPU quota leaves {usable}")
    } else {
        String::new()
    };
    let places: Vec<String> = placement
        .pins
        .iter()
        .enumerate()
        .filter_map(|(worker, pin)| Some(format!("worker {worker} on core {}", (*pin)?)))
        .collect();
    let places = match (places.is_empty(), placement.unpinned_why) {
        (false, _) => places.join(", "),
        (true, Some(why)) => format!("workers are not pinned, {why}"),
        (true, None) => "workers are not pinned".to_owned(),
    };
    format!(
        "started version={} config={file} workers={} cpus=\"{cores} available{quota}; {places}\" \
         max_connections={max_connections} max_per_address={} max_streams={} memory_max={}",
        env!("CARGO_PKG_VERSION"),
        placement.pins.len(),
        limit(config.max_per_address),
        limit(config.max_streams),
        limit(config.memory_max),
    )
}

/// Warns of files with secrets that others on this machine may read.
fn warn_exposed(config: &Config) {
    let has_keys = !config.push.is_empty() || !config.pull.is_empty();
    let file = config.file.as_ref().filter(|_| has_keys);
    let token = config.admin_token_file.as_ref();
    let files = [
        (file, "the configuration with URLs of other servers"),
        (token, "the token of --admin-token-file"),
    ];
    for (path, what) in files {
        if let Some(warning) = path.and_then(|path| process::exposure(path, what)) {
            warn!("{warning}");
        }
    }
}

/// How many workers are started when `wanted` are asked for and there are so many cores.
fn worker_count(wanted: Option<usize>, cores: usize) -> usize {
    wanted.unwrap_or(cores).clamp(1, limits::WORKERS_MAX)
}

/// How many connections are served at most.
fn connection_limit(config: &Config, workers: usize) -> Result<usize, StartError> {
    let allowed = process::raise_open_files();
    let admin = match config.admin.is_empty() {
        true => 0,
        false => limits::ADMIN_FILES as u64,
    };
    let reserved = FILES_RESERVED + 4 * workers as u64 + admin;
    limit_within(config.max_connections, reserved, allowed)
}

/// The same where so many open files are allowed, `reserved` of which are no connections.
fn limit_within(wanted: Option<usize>, reserved: u64, allowed: u64) -> Result<usize, StartError> {
    let room = allowed.saturating_sub(reserved);
    match wanted {
        Some(wanted) if wanted as u64 > room => Err(StartError::OpenFiles {
            needed: wanted as u64 + reserved,
            allowed,
        }),
        Some(wanted) => Ok(wanted),
        None if room < limits::CONNECTIONS_LEAST as u64 => Err(StartError::FewFiles {
            needed: limits::CONNECTIONS_LEAST as u64 + reserved,
            allowed,
        }),
        None => Ok(usize::try_from(room).unwrap_or(usize::MAX)),
    }
}

/// The certificates of `--listen-tls`, if there is one.
fn load_tls(config: &Config) -> Result<Option<Arc<ServerTls>>, StartError> {
    if config.listen_tls.is_empty() {
        return Ok(None);
    }
    let keys = config.tls_key.iter().cloned();
    let pairs: Vec<_> = config.tls_cert.iter().cloned().zip(keys).collect();
    let (tls, warnings) = ServerTls::new(&pairs).map_err(|error| StartError::Tls {
        flags: "--tls-cert, --tls-key",
        error,
    })?;
    for warning in warnings {
        warn!("TLS: {warning}");
    }
    Ok(Some(Arc::new(tls)))
}

/// Milliseconds since 1970.
fn unix_ms() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed();
    let ms = since.unwrap_or_default().as_millis();
    u64::try_from(ms).unwrap_or(u64::MAX)
}

/// What requests to the admin listener have to show.
fn load_token(config: &Config) -> Result<Option<Token>, StartError> {
    let Some(path) = &config.admin_token_file else {
        return Ok(None);
    };
    let failed = |error| StartError::Token {
        path: path.clone(),
        error,
    };
    let text = std::fs::read_to_string(path).map_err(failed)?;
    match Token::from_file_text(&text) {
        Some(token) => Ok(Some(token)),
        None => Err(failed(io::Error::other("its first line is empty"))),
    }
}

/// Whom to trust in connections to rtmps:// URLs, if there may be any: a redirect can lead from
/// rtmp:// to one. For that alone a system without certificates is no error.
fn load_client_tls(config: &Config) -> Result<Option<ClientTls>, StartError> {
    let rules = config.pull.iter().chain(&config.push);
    let mut servers = rules.flat_map(|rule| &rule.servers).peekable();
    if servers.peek().is_none() && config.tls_ca.is_empty() {
        return Ok(None);
    }
    let is_needed = !config.tls_ca.is_empty() || servers.any(|server| server.tls);
    match ClientTls::new(&config.tls_ca) {
        Ok(tls) => Ok(Some(tls)),
        Err(_) if !is_needed => Ok(None),
        Err(error) => Err(StartError::Tls {
            flags: "--tls-ca",
            error,
        }),
    }
}

/// Waits for the signal to stop, which is given back. SIGHUP has certificates and keys read
/// again meanwhile.
fn wait_to_stop(signals: &mut Signals, tls: Option<&ServerTls>) -> Option<i32> {
    loop {
        let signal = signals.forever().next();
        if signal != Some(SIGHUP) {
            return signal;
        }
        match tls.map(ServerTls::reload) {
            None => info!("signal={SIGHUP} nothing to reload"),
            Some(Ok(warnings)) => {
                for warning in warnings {
                    warn!("TLS: {warning}");
                }
                info!("signal={SIGHUP} certificates reloaded");
            }
            Some(Err(error)) => {
                log::error!("TLS: {error}; certificates and keys stay as they were");
            }
        }
    }
}

/// What is listened on.
struct Doors {
    /// What is printed of each: the protocol and the address as bound.
    announced: Vec<String>,
    /// The TCP addresses as bound.
    addresses: Vec<SocketAddr>,
    /// Those among them where streams are served by HTTP.
    http: Vec<SocketAddr>,
    /// Where the operator asks.
    admin: Vec<Acceptor>,
    /// Of each worker, all in the same order.
    of_workers: Vec<Vec<Listener<Acceptor>>>,
    /// Held so that the files are removed at the end.
    _paths: Vec<UnixPath>,
}

impl Doors {
    /// Listens on everything that the settings name.
    fn open(
        config: &Config,
        options: &SocketOptions,
        workers: usize,
        tls: Option<&Arc<ServerTls>>,
    ) -> Result<Self, StartError> {
        let with_others = config.reuse_port_with_others;
        let mut doors = Self {
            announced: Vec::new(),
            addresses: Vec::new(),
            http: Vec::new(),
            admin: Vec::new(),
            of_workers: (0..workers).map(|_| Vec::new()).collect(),
            _paths: Vec::new(),
        };
        let failed = |address| {
            move |error| StartError::Listen {
                address: ListenAddr::Tcp(address),
                error,
            }
        };
        for &wanted in &config.admin {
            let (bound, acceptors) =
                listener::listen_on(wanted, 1, with_others, options).map_err(failed(wanted))?;
            doors.addresses.push(bound);
            doors.announced.push(format!("admin {bound}"));
            doors.admin.extend(acceptors);
        }
        for &wanted in &config.http {
            let (bound, acceptors) = listener::listen_on(wanted, workers, with_others, options)
                .map_err(failed(wanted))?;
            doors.addresses.push(bound);
            doors.http.push(bound);
            doors.add(format!("http {bound}"), acceptors, &ListenerProtocol::Http);
        }
        for wanted in &config.listen {
            let failed = |error| StartError::Listen {
                address: wanted.clone(),
                error,
            };
            match wanted {
                ListenAddr::Tcp(address) => {
                    let (bound, acceptors) =
                        listener::listen_on(*address, workers, with_others, options)
                            .map_err(failed)?;
                    doors.addresses.push(bound);
                    doors.add(format!("rtmp {bound}"), acceptors, &ListenerProtocol::Rtmp);
                }
                ListenAddr::Unix(path) => {
                    let (held, acceptors) =
                        listener::listen_unix(path, workers, with_others, options)
                            .map_err(failed)?;
                    doors._paths.push(held);
                    doors.add(format!("rtmp {wanted}"), acceptors, &ListenerProtocol::Rtmp);
                }
            }
        }
        for &wanted in &config.listen_tls {
            let (bound, acceptors) = listener::listen_on(wanted, workers, with_others, options)
                .map_err(failed(wanted))?;
            doors.addresses.push(bound);
            if let Some(tls) = tls {
                let protocol = ListenerProtocol::Rtmps(tls.clone());
                doors.add(format!("rtmps {bound}"), acceptors, &protocol);
            }
        }
        Ok(doors)
    }

    fn add(&mut self, name: String, acceptors: Vec<Acceptor>, protocol: &ListenerProtocol) {
        self.announced.push(name);
        for (socket, doors) in acceptors.into_iter().zip(&mut self.of_workers) {
            let protocol = protocol.clone();
            doors.push(Listener { socket, protocol });
        }
    }
}

#[expect(clippy::print_stdout, reason = "the documented lines for scripts")]
fn announce(doors: &[String]) -> io::Result<()> {
    for door in doors {
        println!("listening {door}");
    }
    io::stdout().flush()
}

/// Something else for each worker and each start: fills handshakes, guards nothing.
fn seed(worker: usize) -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_usize(worker);
    hasher.finish()
}

/// For a panic outside of what is done for one connection, which is contained where it is done:
/// a relay with a dead worker would keep its port and serve some of its clients: better none,
/// and a restart.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            logging::flush();
            std::process::abort();
        }
    }
}

/// Has panics written to the log, with their place. One that costs a single connection can be
/// had again and again by whoever has found it, so there are only so many lines a second.
fn log_panics() {
    let begun = clock();
    let (second, lines) = (AtomicU64::new(0), AtomicU32::new(0));
    std::panic::set_hook(Box::new(move |panic| {
        let now = clock().saturating_duration_since(begun).as_secs();
        if second.swap(now, Ordering::Relaxed) != now {
            lines.store(0, Ordering::Relaxed);
        }
        if lines.fetch_add(1, Ordering::Relaxed) < limits::LOG_LINES {
            let thread = thread::current();
            let words: String = panic.payload_as_str().unwrap_or("no words").into();
            let words: String = words.chars().take(limits::PANIC_CHARS).collect();
            let place = panic.location().map(ToString::to_string);
            log::error!(
                "panic thread={} at={} why={}",
                thread.name().unwrap_or("?"),
                place.unwrap_or_default(),
                quoted(words),
            );
        }
    }));
}

fn start_worker(
    worker: usize,
    mut event_loop: EventLoop<MioReactor>,
    pin: Option<usize>,
    lock: Option<Arc<File>>,
) -> Result<JoinHandle<()>, StartError> {
    let body = move || {
        let _abort = AbortOnPanic;
        if let Some(cpu) = pin
            && let Err(error) = process::pin_thread(cpu)
        {
            warn!("worker={worker} cannot be pinned to core {cpu}: {error}");
        }
        drop(lock);
        if let Err(error) = event_loop.run() {
            log::error!("worker={worker} poll failed: {error}");
            logging::flush();
            std::process::abort();
        }
    };
    spawn(format!("worker-{worker}"), body)
}

/// Starts the thread of the operator's port, if there is one; it ends with the process.
fn start_admin(
    doors: &mut Doors,
    shared: &Arc<Shared<Socket>>,
    wakers: &Arc<List<WorkerId, Waker>>,
    token: Option<Token>,
    options: SocketOptions,
) -> Result<(), StartError> {
    let acceptors = std::mem::take(&mut doors.admin);
    if acceptors.is_empty() {
        return Ok(());
    }
    let server = AdminServer::new(acceptors, shared.clone(), wakers.clone(), token, options);
    let mut server = server.map_err(system("watch the admin port"))?;
    let body = move || {
        let _abort = AbortOnPanic;
        if let Err(error) = server.run() {
            log::error!("the admin port's poll failed: {error}");
            logging::flush();
            std::process::abort();
        }
    };
    spawn("admin".into(), body).map(drop)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where threads are started"
)]
fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    thread::Builder::new()
        .name(name)
        .spawn(body)
        .map_err(system("start a thread"))
}

fn drain(shared: &Shared<Socket>, wakers: &[Waker]) {
    shared.draining.store(true, Ordering::Relaxed);
    for (mailbox, waker) in shared.mailboxes.iter().zip(wakers) {
        mailbox.post(std::iter::once(Mail::Drain));
        if let Err(error) = waker.wake() {
            warn!("a worker cannot be woken: {error}");
        }
    }
}

/// A second signal while stopping ends the process at once.
fn start_impatience(mut signals: Signals) -> Result<(), StartError> {
    spawn("signals".into(), move || {
        if signals.forever().any(|signal| signal != SIGHUP) {
            warn!("second signal, stopping at once");
            logging::flush();
            std::process::exit(1);
        }
    })
    .map(drop)
}

/// Prints figures every `interval`.
fn start_stats(shared: Arc<Shared<Socket>>, interval: Duration) -> Result<(), StartError> {
    spawn("stats".into(), move || {
        let labels = &shared.target_labels;
        let mut before = Figures::zero(labels.len());
        let mut since = clock();
        loop {
            thread::park_timeout(interval);
            let elapsed = clock().saturating_duration_since(since).as_secs_f64();
            if elapsed + 0.001 < interval.as_secs_f64() {
                continue;
            }
            since = clock();
            let now = Figures::of(shared.stats.as_slice(), labels.len());
            let mut out = io::stdout().lock();
            let printed = now.write(&mut out, &before, elapsed, labels);
            if printed.and_then(|()| out.flush()).is_err() {
                return;
            }
            before = now;
        }
    })
    .map(drop)
}

#[expect(
    clippy::disallowed_methods,
    reason = "figures are per second of real time"
)]
fn clock() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_core_gets_a_worker_and_a_machine_with_very_many_no_more_than_there_may_be() {
        assert_eq!(worker_count(None, 0), 1);
        assert_eq!(worker_count(None, 3), 3);
        assert_eq!(worker_count(Some(2), 3), 2);
        assert_eq!(worker_count(None, 64), 64);
        assert_eq!(worker_count(None, 96), limits::WORKERS_MAX);
    }

    #[test]
    fn more_connections_than_open_files_are_refused_at_the_start() {
        let config = Config {
            max_connections: Some(usize::MAX / 2),
            ..Config::default()
        };
        let error = connection_limit(&config, 1).unwrap_err();
        assert!(error.to_string().contains("--max-connections"), "{error}");
        let config = Config {
            max_connections: Some(10),
            ..Config::default()
        };
        assert_eq!(connection_limit(&config, 1).unwrap(), 10);
    }

    #[test]
    fn hardly_any_open_files_are_an_error() {
        let reserved = FILES_RESERVED + 4;
        let least = limits::CONNECTIONS_LEAST as u64;
        let limit = |wanted, allowed| limit_within(wanted, reserved, allowed);
        assert_eq!(
            limit(None, reserved + least).unwrap(),
            limits::CONNECTIONS_LEAST
        );
        assert_eq!(limit(Some(3), reserved + 3).unwrap(), 3);
        for allowed in [0, reserved, reserved + least - 1] {
            let error = limit(None, allowed).unwrap_err().to_string();
            let needed = format!("at least {}", reserved + least);
            assert!(
                error.contains("open files") && error.contains(&needed),
                "{error}"
            );
        }
    }
}
