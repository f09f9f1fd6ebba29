//! The configuration: the settings of a relay as typed values.
//!
//! Fields have the names of their options. What settings ask of each other is in `check`, what is
//! wrong with one that cannot be used in [`ConfigError`].
//!
//! Not here: which options there are, their ranges and defaults (and so `Default`), how they are
//! read and printed: all that is in `flags`, which knows this module and is not known here. Nor
//! what depends on the machine (how many cores, the limit on open files) and the
//! environment. Whoever starts the relay resolves these.

mod check;
mod error;
mod kind;
pub mod listen;
pub mod unit;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::edge::redirect::AllowedHost;
use crate::edge::rule::Rule;
use crate::stream::cursor::StartAt;
use listen::{ListenAddr, Proxies};

pub use check::Conflict;
pub use error::{ConfigError, Got};
pub use kind::{Cpus, Pace, Switch, Takeover};

/// Declares [`Config`], and what goes through all of its fields.
macro_rules! config {
    (
        $(#[$about:meta])*
        pub struct Config { $($(#[$doc:meta])* pub $field:ident: $kind:ty,)* }
    ) => {
        $(#[$about])*
        pub struct Config { $($(#[$doc])* pub $field: $kind,)* }

        impl Config {
            /// One to be filled in: none of its values is a default or means anything.
            pub(crate) fn blank() -> Self {
                Self { $($field: Default::default(),)* }
            }

            /// The names of the fields.
            #[cfg(test)]
            pub(crate) const FIELDS: &[&str] = &[$(stringify!($field)),*];
        }
    };
}

config! {
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
}

impl Config {
    /// Whether peers at `address` are proxies that are believed who their clients are; `None` is
    /// the address of a unix socket.
    pub fn is_proxy(&self, address: Option<IpAddr>) -> bool {
        let mut proxies = self.proxy_protocol.iter();
        proxies.any(|proxies| proxies.hold(address))
    }

    /// Where new players start.
    pub fn start_at(&self) -> StartAt {
        if self.gop_cache.is_on() {
            StartAt::NewestSync
        } else {
            StartAt::NextSync
        }
    }
}
