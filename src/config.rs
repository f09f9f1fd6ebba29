//! The configuration: the settings of a relay as typed values.
//!
//! `flags` gathers strings; here each becomes a field, or a [`ConfigError`] that names the flag,
//! the value and what was expected. Fields have the names of their flags. The defaults are those
//! of `flags::OPTIONS`, read like any other value, so that there is one place for them.
//!
//! Not here: what depends on the machine (how many cores, the limit on open files) and the
//! environment. Whoever starts the relay resolves these.

pub mod listen;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use listen::{ListenAddr, Proxies};

use crate::edge::rule::Rule;
use crate::flags::value::{Values, refused};
use crate::flags::{Accepts, OPTIONS, Opt, Raw, Unit};
use crate::limits;
use crate::stream::cursor::StartAt;

/// Everything an operator can set. All values are within the ranges of `flags::OPTIONS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Apps that are served; all when empty.
    pub app: Vec<String>,
    /// Connections that may wait in each listener.
    pub backlog: u16,
    /// RTMP chunk size we send with, in bytes.
    pub chunk_size: u32,
    /// Where workers are pinned.
    pub cpus: Cpus,
    /// How long connections are served after a request to stop.
    pub drain: Duration,
    /// Whether a new player starts at the newest key frame there is, or at the next to come.
    pub gop_cache: Switch,
    /// How long players are kept after their publisher left; zero ends the stream at once.
    pub grace: Duration,
    /// From accept to the end of the handshake.
    pub handshake_timeout: Duration,
    /// Bytes behind which a player jumps to the newest sync point; at most `log_bytes`.
    pub lag_max: usize,
    /// What to listen on without TLS; none twice unless its port is 0.
    pub listen: Vec<ListenAddr>,
    /// Addresses to listen on with TLS; none is in `listen`. Not both are empty.
    pub listen_tls: Vec<SocketAddr>,
    /// A level or an `env_logger` filter; when `None`, the caller takes `RUST_LOG`, or `info`.
    pub log: Option<String>,
    /// Bytes kept of one stream at most.
    pub log_bytes: usize,
    /// Connections of the whole process; `None` to derive it from the limit on open files.
    pub max_connections: Option<usize>,
    /// Connections from one IPv4 address or one IPv6 /64; `None` for no limit.
    pub max_per_address: Option<usize>,
    /// Streams of the whole process; `None` for no limit.
    pub max_streams: Option<usize>,
    /// Bytes the process may hold for streams and connections; `None` for no limit.
    pub memory_max: Option<usize>,
    /// Whether sockets have `TCP_NODELAY`.
    pub nodelay: Switch,
    /// How often players that follow live are written to.
    pub pace: Pace,
    /// What `Pace::Auto` may stretch to.
    pub pace_max: Duration,
    /// How often an idle peer is sent a ping; `None` for never.
    pub ping: Option<Duration>,
    /// How long a player waits for a stream that is not there; zero refuses at once.
    pub play_wait: Duration,
    /// Peers that say in a PROXY header who the client is, and have to.
    pub proxy_protocol: Vec<Proxies>,
    /// A publisher that sends more bits a second than this is closed; `None` for no limit.
    pub publish_bitrate_max: Option<u64>,
    /// A publisher that sends nothing for this long is closed.
    pub publish_idle: Duration,
    /// Where streams that are not here are fetched from.
    pub pull: Vec<Rule>,
    /// A fetched stream without media ends after this.
    pub pull_give_up: Duration,
    /// A fetched stream that nobody plays is kept for this long.
    pub pull_linger: Duration,
    /// Another server that says or sends nothing for this long is given up.
    pub pull_timeout: Duration,
    /// Where published streams are handed on to; each rule has one server.
    pub push: Vec<Rule>,
    /// Whether a publisher is closed when a target refuses its stream.
    pub push_strict: Switch,
    /// `SO_RCVBUF` in bytes; `None` leaves it to the kernel.
    pub rcvbuf: Option<usize>,
    /// Bytes read from one connection per turn.
    pub read_budget: usize,
    /// Where clients are sent that are asked to connect anew; `None` for where they connected.
    pub reconnect_to: Option<String>,
    /// A player that takes no byte for this long while data waits is closed.
    pub send_timeout: Duration,
    /// From accept to an accepted publish or play.
    pub setup_timeout: Duration,
    /// A player that jumps ahead more often than this within `limits::SKIPS_TIME` is closed;
    /// `None` for no limit.
    pub skips_max: Option<usize>,
    /// `SO_SNDBUF` in bytes; `None` leaves it to the kernel.
    pub sndbuf: Option<usize>,
    /// How often figures are printed; `None` for never.
    pub stats_interval: Option<Duration>,
    /// What happens when a publisher asks for a name in use.
    pub takeover: Takeover,
    /// Certificates that outgoing TLS trusts; those of the system when empty.
    pub tls_ca: Vec<PathBuf>,
    /// Certificates of `listen_tls`; there are some when there is one.
    pub tls_cert: Vec<PathBuf>,
    /// Their keys, as many, in the same order.
    pub tls_key: Vec<PathBuf>,
    /// How much of the past of a live stream can be sought in; zero for none.
    pub window: Duration,
    /// Window Acknowledgement Size announced to peers, in bytes.
    pub window_ack: u32,
    /// Number of workers; `None` for one per available core.
    pub workers: Option<usize>,
}

/// Something that is on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

impl Switch {
    /// Whether it is on.
    pub fn is_on(self) -> bool {
        self == Self::On
    }
}

/// When players that follow live are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At most once in this time; zero for every turn.
    Fixed(Duration),
    /// At once while there is little to do, up to every `pace_max` under load.
    Auto,
}

/// What happens to a publisher who asks for a name in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takeover {
    /// The new one is refused.
    Refuse,
    /// The old one is closed.
    Replace,
}

/// Where workers are pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cpus {
    /// To the available cores in order.
    Available,
    /// Nowhere.
    Unpinned,
    /// Worker `i` to entry `i` modulo the length. Never empty; all are below 1024.
    List(Vec<usize>),
}

/// A setting that cannot be used: what was given where, and what would have been right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The option as it was given: `--pace`, or in a file `relay.conf:3: pace`.
    pub flag: String,
    /// What was given.
    pub value: Got,
    /// What would be accepted.
    pub expected: String,
}

/// What was found in place of what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    /// This value.
    Value(String),
    /// An option whose value is missing.
    Nothing,
    /// A value for an option that takes none.
    Surplus,
    /// An option that may stand once, again.
    Repeated,
    /// An option that does not exist.
    Unknown,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.flag)?;
        match &self.value {
            Got::Value(value) => write!(f, "got {value:?}")?,
            Got::Nothing => write!(f, "got no value")?,
            Got::Surplus => write!(f, "got a value")?,
            Got::Repeated => write!(f, "got it more than once")?,
            Got::Unknown => write!(f, "unknown option")?,
        }
        write!(f, "; expected {}", self.expected)
    }
}

impl std::error::Error for ConfigError {}

impl Default for Config {
    fn default() -> Self {
        Self::from_raw(&Raw::default()).expect("the defaults in the table are valid")
    }
}

impl Config {
    /// Where new players start.
    pub fn start_at(&self) -> StartAt {
        if self.gop_cache.is_on() {
            StartAt::NewestSync
        } else {
            StartAt::NextSync
        }
    }

    /// Checks what was given and fills in the defaults.
    pub fn from_raw(raw: &Raw) -> Result<Self, ConfigError> {
        let values = Values::new(raw);
        let mut config = Self {
            app: values.apps("app")?,
            backlog: values.number("backlog")?,
            chunk_size: values.number("chunk-size")?,
            cpus: values.cpus("cpus")?,
            drain: values.time("drain")?,
            gop_cache: values.switch("gop-cache")?,
            grace: values.time("grace")?,
            handshake_timeout: values.time("handshake-timeout")?,
            lag_max: values.number("lag-max")?,
            listen: values.listen("listen")?,
            listen_tls: values.addresses("listen-tls")?,
            log: values.log("log")?,
            log_bytes: values.number("log-bytes")?,
            max_connections: nonzero(values.number("max-connections")?),
            max_per_address: nonzero(values.number("max-per-address")?),
            max_streams: nonzero(values.number("max-streams")?),
            memory_max: nonzero(values.number("memory-max")?),
            nodelay: values.switch("nodelay")?,
            pace: values.pace("pace")?,
            pace_max: values.time("pace-max")?,
            ping: Some(values.time("ping")?).filter(|time| !time.is_zero()),
            play_wait: values.time("play-wait")?,
            proxy_protocol: values.proxies("proxy-protocol")?,
            publish_bitrate_max: Some(values.number("publish-bitrate-max")?)
                .filter(|&rate| rate != 0),
            publish_idle: values.time("publish-idle")?,
            pull: values.rules("pull")?,
            pull_give_up: values.time("pull-give-up")?,
            pull_linger: values.time("pull-linger")?,
            pull_timeout: values.time("pull-timeout")?,
            push: values.rules("push")?,
            push_strict: values.switch("push-strict")?,
            rcvbuf: nonzero(values.number("rcvbuf")?),
            read_budget: values.number("read-budget")?,
            reconnect_to: values.url("reconnect-to")?,
            send_timeout: values.time("send-timeout")?,
            setup_timeout: values.time("setup-timeout")?,
            skips_max: nonzero(values.number("skips-max")?),
            sndbuf: nonzero(values.number("sndbuf")?),
            stats_interval: Some(values.time("stats-interval")?).filter(|time| !time.is_zero()),
            takeover: values.takeover("takeover")?,
            tls_ca: values.paths("tls-ca")?,
            tls_cert: values.paths("tls-cert")?,
            tls_key: values.paths("tls-key")?,
            window: values.time("window")?,
            window_ack: values.number("window-ack")?,
            workers: nonzero(values.number("workers")?),
        };
        if !raw.is_given("lag-max") {
            config.lag_max = config.lag_max.min(config.log_bytes);
        }
        if config.lag_max > config.log_bytes {
            let log_bytes = Unit::Bytes.show(config.log_bytes as u64);
            let expected = format!("at most --log-bytes, which is {log_bytes}");
            return Err(refused(values.one("lag-max").1, expected));
        }
        let least = limits::MEMORY_MAX_LEAST.max(2 * config.log_bytes);
        if config.memory_max.is_some_and(|most| most < least) {
            let expected = format!(
                "0, or at least {} and twice --log-bytes",
                Unit::Bytes.show(limits::MEMORY_MAX_LEAST as u64)
            );
            return Err(refused(values.one("memory-max").1, expected));
        }
        config.check_listeners(&values)?;
        Ok(config)
    }

    /// Checks what listeners, certificates and keys ask of each other.
    fn check_listeners(&self, values: &Values<'_>) -> Result<(), ConfigError> {
        let refuse = |name: &str, index: usize, expected: &str| {
            let given = values.all(name).1.into_iter().nth(index);
            let flag = format!("--{name}");
            let (flag, value) = match given {
                Some(given) => (given.flag, Got::Value(given.value)),
                None => (flag, Got::Nothing),
            };
            Err(ConfigError {
                flag,
                value,
                expected: expected.to_owned(),
            })
        };
        let is_plain = |address: &SocketAddr| {
            address.port() != 0 && self.listen.contains(&ListenAddr::Tcp(*address))
        };
        if let Some(index) = self.listen_tls.iter().position(is_plain) {
            return refuse(
                "listen-tls",
                index,
                "an address that --listen does not have",
            );
        }
        let (certificates, keys) = (self.tls_cert.len(), self.tls_key.len());
        if certificates > keys {
            return refuse("tls-cert", keys, "a --tls-key for each --tls-cert");
        }
        if keys > certificates {
            return refuse("tls-key", certificates, "a --tls-cert for each --tls-key");
        }
        if !self.listen_tls.is_empty() && certificates == 0 {
            return refuse("listen-tls", 0, "--tls-cert and --tls-key as well");
        }
        if self.listen_tls.is_empty() && certificates > 0 {
            return refuse("tls-cert", 0, "--listen-tls as well");
        }
        if self.listen_tls.is_empty() && self.listen.is_empty() {
            return refuse("listen", 0, "--listen-tls as well, or an address");
        }
        Ok(())
    }

    /// The values in effect, `name = value` a line, as a `--config` file. Reading it gives an
    /// equal configuration.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for opt in OPTIONS.iter().filter(|opt| opt.is_setting()) {
            let values = self.shown(opt);
            if values.is_empty() && opt.default.is_empty() {
                text.push_str(&format!("# {} =\n", opt.name));
            } else if values.is_empty() {
                // Only `log` has a meaning of its own when absent.
                text.push_str(&format!("# {} = {}, or RUST_LOG\n", opt.name, opt.default));
            }
            for value in values {
                text.push_str(&format!("{} = {value}\n", opt.name));
            }
        }
        text
    }

    /// The values of one option as they would be given.
    fn shown(&self, opt: &Opt) -> Vec<String> {
        let amount = |amount: u64| match opt.accepts {
            Accepts::Amount { unit, .. } => vec![unit.show(amount)],
            Accepts::Nothing | Accepts::Words(_) | Accepts::Text(_) => vec![amount.to_string()],
        };
        let size = |size: usize| amount(size as u64);
        let time = |time: Duration| amount(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let word = |word: &str| vec![word.to_owned()];
        let rules = |rules: &[Rule]| shown_or_none(rules.iter().map(Rule::to_string));
        let paths = |paths: &[PathBuf]| paths.iter().map(|p| p.display().to_string()).collect();
        let switch = |switch: Switch| word(if switch.is_on() { "on" } else { "off" });
        match opt.name {
            "app" if self.app.is_empty() => word("*"),
            "app" => self.app.clone(),
            "backlog" => amount(self.backlog.into()),
            "chunk-size" => amount(self.chunk_size.into()),
            "cpus" => vec![self.cpus.to_string()],
            "drain" => time(self.drain),
            "gop-cache" => switch(self.gop_cache),
            "grace" => time(self.grace),
            "handshake-timeout" => time(self.handshake_timeout),
            "lag-max" => size(self.lag_max),
            "listen" if self.listen.is_empty() => word("none"),
            "listen" => self.listen.iter().map(ListenAddr::to_string).collect(),
            "listen-tls" => self.listen_tls.iter().map(SocketAddr::to_string).collect(),
            "log" => self.log.iter().cloned().collect(),
            "log-bytes" => size(self.log_bytes),
            "max-connections" => size(self.max_connections.unwrap_or(0)),
            "max-per-address" => size(self.max_per_address.unwrap_or(0)),
            "max-streams" => size(self.max_streams.unwrap_or(0)),
            "memory-max" => size(self.memory_max.unwrap_or(0)),
            "nodelay" => switch(self.nodelay),
            "pace" => match self.pace {
                Pace::Auto => word("auto"),
                Pace::Fixed(interval) => time(interval),
            },
            "pace-max" => time(self.pace_max),
            "ping" => time(self.ping.unwrap_or(Duration::ZERO)),
            "play-wait" => time(self.play_wait),
            "proxy-protocol" => self.proxy_protocol.iter().map(Proxies::to_string).collect(),
            "publish-bitrate-max" => amount(self.publish_bitrate_max.unwrap_or(0)),
            "publish-idle" => time(self.publish_idle),
            "pull" => rules(&self.pull),
            "pull-give-up" => time(self.pull_give_up),
            "pull-linger" => time(self.pull_linger),
            "pull-timeout" => time(self.pull_timeout),
            "push" => rules(&self.push),
            "push-strict" => switch(self.push_strict),
            "rcvbuf" => size(self.rcvbuf.unwrap_or(0)),
            "read-budget" => size(self.read_budget),
            "reconnect-to" => word(self.reconnect_to.as_deref().unwrap_or("same")),
            "send-timeout" => time(self.send_timeout),
            "setup-timeout" => time(self.setup_timeout),
            "skips-max" => size(self.skips_max.unwrap_or(0)),
            "sndbuf" => size(self.sndbuf.unwrap_or(0)),
            "stats-interval" => time(self.stats_interval.unwrap_or(Duration::ZERO)),
            "takeover" => word(match self.takeover {
                Takeover::Refuse => "refuse",
                Takeover::Replace => "replace",
            }),
            "tls-ca" => paths(&self.tls_ca),
            "tls-cert" => paths(&self.tls_cert),
            "tls-key" => paths(&self.tls_key),
            "window" => time(self.window),
            "window-ack" => amount(self.window_ack.into()),
            "workers" => size(self.workers.unwrap_or(0)),
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Available => write!(f, "auto"),
            Self::Unpinned => write!(f, "none"),
            Self::List(cpus) => {
                let numbers: Vec<String> = cpus.iter().map(usize::to_string).collect();
                write!(f, "{}", numbers.join(","))
            }
        }
    }
}

/// What there is of a list, or the word for an empty one.
fn shown_or_none(values: impl Iterator<Item = String>) -> Vec<String> {
    let shown: Vec<String> = values.collect();
    if shown.is_empty() {
        return vec!["none".to_owned()];
    }
    shown
}

fn nonzero(number: usize) -> Option<usize> {
    (number != 0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::{Outcome, parse};

    fn outcome(args: &[&str]) -> Result<Outcome, ConfigError> {
        parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
    }

    #[track_caller]
    fn config(args: &[&str]) -> Config {
        match outcome(args) {
            Ok(Outcome::Run(config)) => config,
            other => panic!("{args:?} gave {other:?}"),
        }
    }

    /// `--name value` is refused and all three parts are named.
    #[track_caller]
    fn check_refused(name: &str, value: &str, expected: &str) {
        let error = outcome(&[&format!("--{name}"), value])
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            format!("--{name}: got {value:?}; expected {expected}")
        );
    }

    const MS: fn(u64) -> Duration = Duration::from_millis;
    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let expected = Config {
            app: Vec::new(),
            backlog: 4096,
            chunk_size: 65_536,
            cpus: Cpus::Available,
            drain: S(5),
            gop_cache: Switch::On,
            grace: S(10),
            handshake_timeout: S(10),
            lag_max: 4 << 20,
            listen: vec![ListenAddr::Tcp("0.0.0.0:1935".parse().unwrap())],
            listen_tls: Vec::new(),
            log: None,
            log_bytes: 16 << 20,
            max_connections: None,
            max_per_address: Some(1000),
            max_streams: Some(10_000),
            memory_max: None,
            nodelay: Switch::On,
            pace: Pace::Auto,
            pace_max: MS(350),
            ping: Some(S(60)),
            play_wait: S(10),
            proxy_protocol: Vec::new(),
            publish_bitrate_max: Some(200_000_000),
            publish_idle: S(15),
            pull: Vec::new(),
            pull_give_up: S(15),
            pull_linger: S(10),
            pull_timeout: S(5),
            push: Vec::new(),
            push_strict: Switch::Off,
            rcvbuf: None,
            read_budget: 256 << 10,
            reconnect_to: None,
            send_timeout: S(30),
            setup_timeout: S(15),
            skips_max: None,
            sndbuf: None,
            stats_interval: None,
            takeover: Takeover::Refuse,
            tls_ca: Vec::new(),
            tls_cert: Vec::new(),
            tls_key: Vec::new(),
            window: S(0),
            window_ack: 2_500_000,
            workers: None,
        };
        assert_eq!(Config::default(), expected);
        assert_eq!(config(&[]), expected);
    }

    /// Amounts: name, lowest and highest allowed, just below (if anything is) and just above,
    /// and the range as errors and the help have it.
    const AMOUNTS: &str = "
        backlog           | 1     | 65535      | 0      | 65536      | 1 to 65535
        chunk-size        | 128   | 1048576    | 127    | 1048577    | 128 bytes to 1 MiB
        drain             | 0     | 1h         |        | 3601       | 0 to 3600 s
        grace             | 0     | 3600       |        | 3600001ms  | 0 to 3600 s
        handshake-timeout | 1     | 300        | 999ms  | 301        | 1 to 300 s
        lag-max           | 64k   | 16m        | 65535  | 1073741825 | 64 KiB to 1 GiB
        log-bytes         | 4m    | 1g         | 262143 | 1073741825 | 256 KiB to 1 GiB
        max-connections   | 0     | 10000000   |        | 10000001   | 0 to 10000000
        max-per-address   | 0     | 10000000   |        | 10000001   | 0 to 10000000
        max-streams       | 0     | 10000000   |        | 10000001   | 0 to 10000000
        memory-max        | 0     | 1024g      |        | 1025g      | 0 to 1024 GiB
        pace              | 0     | 1s         |        | 1001       | 0 to 1000 ms, or auto
        pace-max          | 1     | 1000       | 0      | 1001       | 1 to 1000 ms
        ping              | 0     | 3600       |        | 61m        | 0 to 3600 s
        play-wait         | 0     | 60m        |        | 3601s      | 0 to 3600 s
        publish-bitrate-max | 0   | 100g       |        | 101g       | 0 to 100 Gbit/s
        publish-idle      | 1     | 3600       | 0      | 3601       | 1 to 3600 s
        pull-give-up      | 1     | 3600       | 999ms  | 3601       | 1 to 3600 s
        pull-linger       | 0     | 3600       |        | 3601       | 0 to 3600 s
        pull-timeout      | 1     | 60         | 999ms  | 61         | 1 to 60 s
        rcvbuf            | 0     | 64m        |        | 67108865   | 0 to 64 MiB
        read-budget       | 4k    | 16m        | 4095   | 16777217   | 4 KiB to 16 MiB
        send-timeout      | 1     | 3600       | 0      | 2h         | 1 to 3600 s
        setup-timeout     | 1     | 600        | 0      | 601        | 1 to 600 s
        skips-max         | 0     | 1000       |        | 1001       | 0 to 1000
        sndbuf            | 0     | 64MiB      |        | 65m        | 0 to 64 MiB
        stats-interval    | 0     | 1h         |        | 3601       | 0 to 3600 s
        window            | 0     | 10m        |        | 601        | 0 to 600 s
        window-ack        | 10000 | 2147483647 | 9999   | 2g         | 10000 to 2147483647 bytes
        workers           | 0     | 64         |        | 65         | 0 to 64
    ";

    /// Names and values that are refused.
    const BAD_TEXTS: &str = "
        app       | / | a//b | /a | a/ | .. | a/.b | a?b=c | live/_definst_
        cpus      | a | 0, | ,0 | 1-0 | 0- | -1 | 0,0 | 0-3,2 | 1024 | 0 - 1 | auto,0 | None
        gop-cache | yes | ON | 1
        listen    | : | localhost | localhost:1935 | 1.2.3.4 | 1.2.3:1935 | ::1 | [::1] | *:1935
        listen    | 65536 | :65536 | 1.2.3.4:65536 | -1 | +1 | unix: | unix | None
        listen-tls | : | localhost:443 | unix:/a | 65536 | none
        log       | inf | tailwater | info, | =debug | a=b | a=info=b | info/x
        nodelay   | no | Off
        proxy-protocol | 10.0.0.1/8 | 10.0.0.0/33 | host | 10.0.0.0/8, | ,unix | 0.0.0.0:0
        pull      | rtmp://a,rtmp://a | http://a | live= | =rtmp://a | rtmp://a/{x}
        pull      | rtmp://a/b/c | none,rtmp://a
        push      | rtmp://a,rtmp://b | a | rtmp://u@a/b | rtmp://a:0
        push-strict | yes | ON
        reconnect-to | http://a/b | rtmp:// | rtmp://a/b c
        takeover  | allow | Replace | refuse or replace
    ";

    fn rows(table: &'static str) -> Vec<Vec<&'static str>> {
        let lines = table.lines().filter(|line| !line.trim().is_empty());
        lines
            .map(|line| line.split('|').map(str::trim).collect())
            .collect()
    }

    fn amounts() -> impl Iterator<Item = [&'static str; 6]> {
        rows(AMOUNTS).into_iter().map(|row| row.try_into().unwrap())
    }

    #[test]
    fn amounts_are_taken_up_to_their_bounds_and_no_further() {
        for [name, lowest, highest, below, above, range] in amounts() {
            for value in [lowest, highest] {
                assert!(
                    outcome(&[&format!("--{name}={value}")]).is_ok(),
                    "{name} {value}"
                );
            }
            for value in [below, above].into_iter().filter(|value| !value.is_empty()) {
                check_refused(name, value, range);
            }
            for value in [
                "",
                "12x",
                "-1",
                "1.5",
                "ten",
                "0x10",
                "18446744073709551616",
            ] {
                check_refused(name, value, range);
            }
        }
    }

    #[test]
    fn words_lists_addresses_names_and_filters_are_checked() {
        let range = |name: &str| Opt::find(name).unwrap().range();
        let rows = || rows(BAD_TEXTS).into_iter();
        for row in rows() {
            for value in row.iter().skip(1).chain([&""]) {
                check_refused(row[0], value, &range(row[0]));
            }
        }
        // Every setting has its bad values, there or among the amounts.
        for opt in settings() {
            if opt.hint == "FILE" {
                // Any path may be one of a file.
                continue;
            }
            let is_text = rows().any(|row| row[0] == opt.name);
            let is_amount = amounts().any(|row| row[0] == opt.name);
            assert!(is_text != is_amount, "{}", opt.name);
        }
        check_refused("app", &"a".repeat(257), &range("app"));
        assert_eq!(range("gop-cache"), "on or off");
        assert_eq!(range("takeover"), "refuse or replace");
    }

    #[test]
    fn tls_listeners_need_pairs_and_pairs_need_listeners() {
        let tls = ["--listen-tls", "1936"];
        let pair = ["--tls-cert", "a.pem", "--tls-key", "a.key"];
        let two = config(&[&tls[..], &pair, &pair].concat());
        assert_eq!(two.tls_cert.len(), 2);
        let none = ["--listen", "none"];
        assert!(config(&[&none[..], &tls, &pair].concat()).listen.is_empty());
        let taken = ["--listen", "1936"];
        for (args, expected) in [
            (
                vec![&tls[..]],
                "--listen-tls: got \"1936\"; expected --tls-cert and --tls-key as well",
            ),
            (
                vec![&pair[..]],
                "--tls-cert: got \"a.pem\"; expected --listen-tls as well",
            ),
            (
                vec![&tls[..], &pair[..2]],
                "--tls-cert: got \"a.pem\"; expected a --tls-key for each --tls-cert",
            ),
            (
                vec![&tls[..], &pair, &pair[2..]],
                "--tls-key: got \"a.key\"; expected a --tls-cert for each --tls-key",
            ),
            (
                vec![&tls[..], &pair, &taken],
                "--listen-tls: got \"1936\"; expected an address that --listen does not have",
            ),
            (
                vec![&none[..]],
                "--listen: got \"none\"; expected --listen-tls as well, or an address",
            ),
        ] {
            let error = outcome(&args.concat()).unwrap_err().to_string();
            assert_eq!(error, expected);
        }
        check_refused("tls-ca", "", &Opt::find("tls-ca").unwrap().range());
    }

    #[test]
    fn proxies_are_listed_with_commas_or_one_by_one() {
        let given = [
            "--proxy-protocol",
            "10.0.0.0/8,unix",
            "--proxy-protocol",
            "::1",
        ];
        let proxies = config(&given).proxy_protocol;
        let shown: Vec<String> = proxies.iter().map(Proxies::to_string).collect();
        assert_eq!(shown, ["10.0.0.0/8", "unix", "::1/128"]);
    }

    #[test]
    fn an_address_or_all_apps_with_one_more_is_refused() {
        let error = outcome(&["--listen", "1935", "--listen", "0.0.0.0:1935"]).unwrap_err();
        assert_eq!(error.value, Got::Value("0.0.0.0:1935".to_owned()));
        assert_eq!(config(&["--listen", "0", "--listen", "0"]).listen.len(), 2);
        let error = outcome(&["--app", "live", "--app", "*"]).unwrap_err();
        assert_eq!(
            (error.flag.as_str(), error.value),
            ("--app", Got::Value("*".to_owned()))
        );
        assert_eq!(config(&["--app", "*"]).app, Vec::<String>::new());
        assert_eq!(
            config(&["--app", "a", "--app", "b/c", "--app", "a"]).app,
            ["a", "b/c"]
        );
    }

    #[test]
    fn a_lag_that_the_log_cannot_serve_is_refused() {
        let expected = "expected at most --log-bytes, which is";
        let error = outcome(&["--lag-max", "32m"]).unwrap_err().to_string();
        assert_eq!(error, format!("--lag-max: got \"32m\"; {expected} 16 MiB"));
        // One that was not given follows the log.
        assert_eq!(config(&["--log-bytes", "1m"]).lag_max, 1 << 20);
        for (size, bytes) in [("256k", 256 << 10), ("1g", 1 << 30)] {
            let config = config(&["--log-bytes", size, "--lag-max", size]);
            assert_eq!((config.log_bytes, config.lag_max), (bytes, bytes));
        }
    }

    #[test]
    fn a_memory_that_two_logs_would_fill_is_refused() {
        let expected = "0, or at least 64 MiB and twice --log-bytes";
        check_refused("memory-max", "63m", expected);
        assert_eq!(config(&["--memory-max", "64m"]).memory_max, Some(64 << 20));
        let large = ["--log-bytes", "1g", "--memory-max"];
        assert!(outcome(&[&large[..], &["2047m"]].concat()).is_err());
        assert!(outcome(&[&large[..], &["2g"]].concat()).is_ok());
    }

    #[test]
    fn zero_and_words_have_types_of_their_own() {
        assert_eq!(config(&["--pace", "0"]).pace, Pace::Fixed(Duration::ZERO));
        assert_eq!(config(&["--pace", "auto"]).pace, Pace::Auto);
        assert_eq!(config(&["--ping", "0"]).ping, None);
        assert_eq!(config(&["--workers", "0"]).workers, None);
        assert_eq!(config(&["--workers", "3"]).workers, Some(3));
        assert_eq!(config(&["--cpus", "none"]).cpus, Cpus::Unpinned);
        assert_eq!(config(&["--cpus", "0,2-3"]).cpus, Cpus::List(vec![0, 2, 3]));
        assert!(config(&["--nodelay", "true"]).nodelay.is_on());
        assert!(!config(&["--gop-cache", "false"]).gop_cache.is_on());
        assert_eq!(
            config(&["--takeover", "replace"]).takeover,
            Takeover::Replace
        );
    }

    /// A value for every setting that is not its default, as it is printed.
    const OTHER: &str = "\
app = live
app = studio/one
backlog = 1
listen = 127.0.0.1:0
listen = [::1]:1936
listen = unix:/run/tailwater.sock
listen-tls = 127.0.0.1:1937
proxy-protocol = 10.0.0.0/8
proxy-protocol = unix
tls-ca = ca.pem
tls-cert = a.pem
tls-key = a.key
cpus = 0,2,3
workers = 2
pace = 20 ms
pace-max = 100 ms
read-budget = 8 KiB
gop-cache = off
grace = 1500 ms
lag-max = 1 MiB
log-bytes = 2 MiB
play-wait = 0 s
takeover = replace
window = 60 s
pull = live=rtmp://a/x?key=1,rtmps://b
pull = rtmp://c:7/{app}/{stream}?{query}
pull-give-up = 7 s
pull-linger = 0 s
pull-timeout = 3 s
push = live=rtmp://d/e
push-strict = on
max-connections = 500
max-per-address = 0
max-streams = 7
memory-max = 1 GiB
publish-bitrate-max = 20 Mbit/s
skips-max = 3
drain = 1 s
handshake-timeout = 3 s
publish-idle = 5 s
reconnect-to = rtmp://other:7/live
send-timeout = 7 s
setup-timeout = 9 s
chunk-size = 4097
nodelay = off
ping = 0 s
rcvbuf = 64 KiB
sndbuf = 128 KiB
window-ack = 10000
log = info,tailwater::edge=debug
stats-interval = 2 s
";

    fn settings() -> impl Iterator<Item = &'static Opt> {
        OPTIONS.iter().filter(|opt| opt.is_setting())
    }

    /// The configuration in a file, what is printed of it, and that this reads back as the same.
    #[track_caller]
    fn printed(text: &str) -> String {
        let read = |text| Config::from_raw(&Raw::from_file_text("text", text)?);
        let config = read(text).unwrap();
        let printed = config.to_text();
        assert_eq!(read(&printed), Ok(config), "{printed}");
        printed
    }

    #[test]
    fn what_is_printed_reads_back() {
        let defaults = printed("");
        for opt in settings() {
            let line = match opt.default {
                "" => format!("# {} =\n", opt.name),
                default => format!("{} = {default}\n", opt.name),
            };
            assert!(
                defaults.contains(&line) || opt.name == "log",
                "{line} in {defaults}"
            );
        }
        assert!(
            defaults.contains("\n# log = info, or RUST_LOG\n"),
            "{defaults}"
        );
        assert_eq!(defaults.lines().count(), settings().count());
        assert_eq!(printed(OTHER), OTHER);
    }

    #[test]
    fn each_setting_has_a_field_of_its_own() {
        let defaults = printed("");
        for opt in settings() {
            let is_its = |line: &&str| line.split(" = ").next() == Some(opt.name);
            let lines: Vec<&str> = OTHER.lines().filter(is_its).collect();
            // A log below the default lag would be refused.
            let text = match opt.name {
                "log-bytes" => "log-bytes = 32 MiB".to_owned(),
                // These three go together, and are told apart by `what_is_printed_reads_back`.
                "listen-tls" | "tls-cert" | "tls-key" => continue,
                _ => lines.join("\n"),
            };
            assert!(!lines.is_empty(), "{}", opt.name);
            let others = |text: &str| {
                let is_other = |line: &&str| !is_its(line) && !line.starts_with("# ");
                text.lines()
                    .filter(is_other)
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            let alone = printed(&text);
            assert!(alone.contains(&text), "{text} in {alone}");
            assert_eq!(others(&alone), others(&defaults), "{}", opt.name);
        }
    }
}
