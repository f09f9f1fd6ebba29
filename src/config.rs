//! The configuration: the settings of a relay as typed values.
//!
//! `flags` gathers strings; here each becomes a field, or a [`ConfigError`] that names the flag,
//! the value and what was expected. Fields have the names of their flags. The defaults are those
//! of `flags::OPTIONS`, read like any other value, so that there is one place for them.
//!
//! What settings ask of each other is in `check`, how they are printed in `text`.
//!
//! Not here: what depends on the machine (how many cores, the limit on open files) and the
//! environment. Whoever starts the relay resolves these.

mod check;
mod error;
mod kind;
pub mod listen;
mod text;
pub mod unit;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::edge::redirect::AllowedHost;
use crate::edge::rule::Rule;
use crate::flags::Raw;
use crate::flags::value::Values;
use crate::stream::cursor::StartAt;
use listen::{ListenAddr, Proxies};

pub use error::{ConfigError, Got};
pub use kind::{Cpus, Pace, Switch, Takeover};

/// Everything an operator can set. All values are within the ranges of `flags::OPTIONS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Addresses of the admin listener; loopback unless there is a token.
    pub admin: Vec<SocketAddr>,
    /// The file with the token that the admin listener wants to see.
    pub admin_token_file: Option<PathBuf>,
    /// Apps that are served; all when empty.
    pub app: Vec<String>,
    /// Connections that may wait in each listener.
    pub backlog: u16,
    /// RTMP chunk size we send with, in bytes.
    pub chunk_size: u32,
    /// Where workers are pinned.
    pub cpus: Cpus,
    /// The configuration file that was read.
    pub file: Option<PathBuf>,
    /// Other processes may listen on the same addresses.
    pub reuse_port_with_others: bool,
    /// How long connections are served after a request to stop.
    pub drain: Duration,
    /// Whether a new player starts at the newest key frame there is, or at the next to come.
    pub gop_cache: Switch,
    /// How long players are kept after their publisher left; zero ends the stream at once.
    pub grace: Duration,
    /// From accept to the end of the handshake.
    pub handshake_timeout: Duration,
    /// Addresses where streams are served by HTTP.
    pub http: Vec<SocketAddr>,
    /// Origins whose pages may play from there, or `*`.
    pub http_cors: Vec<String>,
    /// Names that pages and streams are asked for under; any when empty.
    pub http_host: Vec<String>,
    /// Whether limits for one address hold for 127.0.0.1 and ::1, too.
    pub limit_loopback: Switch,
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
    /// Peers that say who the client is: in a PROXY header, which they have to send, or by HTTP in
    /// header fields.
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
    /// Hosts that other servers may redirect to, besides those of `pull` and `push`.
    pub redirect_allow: Vec<AllowedHost>,
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
            admin: values.admin("admin")?,
            admin_token_file: values.path("admin-token-file")?,
            app: values.apps("app")?,
            backlog: values.number("backlog")?,
            chunk_size: values.number("chunk-size")?,
            cpus: values.cpus("cpus")?,
            file: None,
            reuse_port_with_others: false,
            drain: values.time("drain")?,
            gop_cache: values.switch("gop-cache")?,
            grace: values.time("grace")?,
            handshake_timeout: values.time("handshake-timeout")?,
            http: values.addresses("http")?,
            http_cors: values.origins("http-cors")?,
            http_host: values.hosts("http-host")?,
            lag_max: values.number("lag-max")?,
            limit_loopback: values.switch("limit-loopback")?,
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
            redirect_allow: values.allowed_hosts("redirect-allow")?,
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
        check::check(&config, &values)?;
        Ok(config)
    }
}

fn nonzero(number: usize) -> Option<usize> {
    (number != 0).then_some(number)
}

#[cfg(test)]
mod tests;
