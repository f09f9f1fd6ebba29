//! The table of options: the one place where an option's name, default, range and meaning are, and
//! which field of the configuration it sets.
//!
//! Rows stand under their category in the order of the help, sorted by name within it. Defaults
//! are written as they are printed and are parsed like any other value. Times in ranges are in
//! the unit a bare number has.

use super::kind::{
    ADDRESSES, ADMIN, ALLOWED_HOSTS, APPS, CONFIG_FILE, CPUS, FILE_OR_NONE, FILES, GIVEN, HOSTS,
    LISTEN, LOG, ORIGINS, PACE, PROXIES, PULL_RULES, PUSH_RULES, SWITCH, TAKEOVER, TIME,
    TIME_OR_NONE, URL_OR_SAME, field, number, number_or_none,
};
use super::{Accepts, Category, Opt, Repeat};
use crate::config::unit::Unit;
use crate::limits::{NAME_BYTES_MAX, WORKERS_MAX};

/// All options.
pub const OPTIONS: &[Opt] = &[
    Opt {
        name: "app",
        field: field!(app, APPS),
        hint: "NAME",
        accepts: Accepts::Text(
            "an app as in the URL, such as live or live/one, at most 256 bytes; or * alone",
        ),
        default: "*",
        repeat: Repeat::Many,
        category: Category::Listening,
        meaning: "Serve this app only; connections to others are rejected.",
        note: "The app is the part of the URL between the host and the name of the stream. \
               Every app is served by default, which is what * says.",
        ..BLANK
    },
    Opt {
        name: "backlog",
        field: field!(backlog, number()),
        hint: "N",
        accepts: count(1, 65_535),
        default: "4096",
        category: Category::Listening,
        meaning: "Connections each listener lets wait to be accepted.",
        note: "The kernel caps it at net.core.somaxconn.",
        ..BLANK
    },
    Opt {
        name: "listen",
        field: field!(listen, LISTEN),
        hint: "ADDR",
        accepts: Accepts::Text(
            "ADDRESS:PORT, [IPV6]:PORT, :PORT or PORT, each once, with PORT 0 to 65535; \
             unix:PATH; or none alone",
        ),
        default: "0.0.0.0:1935",
        repeat: Repeat::Many,
        category: Category::Listening,
        meaning: "Accept RTMP connections on this address.",
        note: "Addresses are numeric. A port without an address is on 0.0.0.0, that is on every \
               IPv4 address. With port 0 the kernel chooses one. A unix socket is made with the \
               umask of the process and removed at the end; peers there have no address and no \
               limits for one. none is for relays with --listen-tls only.",
        ..BLANK
    },
    Opt {
        name: "listen-tls",
        field: field!(listen_tls, ADDRESSES),
        hint: "ADDR",
        accepts: Accepts::Text(
            "ADDRESS:PORT, [IPV6]:PORT, :PORT or PORT, each once, with PORT 0 to 65535",
        ),
        repeat: Repeat::Many,
        category: Category::Listening,
        meaning: "Accept RTMPS connections on this address: RTMP in TLS 1.2 or 1.3.",
        note: "Needs --tls-cert and --tls-key. The handshake of TLS counts in \
               --handshake-timeout.",
        ..BLANK
    },
    Opt {
        name: "proxy-protocol",
        field: field!(proxy_protocol, PROXIES),
        hint: "CIDR",
        accepts: Accepts::Text("addresses, networks like 10.0.0.0/8, or unix, separated by commas"),
        repeat: Repeat::Many,
        category: Category::Listening,
        meaning: "Peers here begin with a PROXY header that says who the client is.",
        note: "Versions 1 and 2, on all listeners; unix are the peers of unix sockets. They \
               have to send one, within --handshake-timeout; from others it is not believed and \
               ends the connection. By HTTP they may leave it out: X-Forwarded-For and \
               X-Forwarded-Host, or Forwarded, are believed instead. --max-per-address counts \
               the clients.",
        ..BLANK
    },
    Opt {
        name: "reuse-port-with-others",
        field: field!(reuse_port_with_others, GIVEN),
        category: Category::Listening,
        meaning: "Listen also where another relay listens already.",
        note: "For upgrades: the kernel deals connections out to both until the other one is \
               stopped, and the file of a unix socket is taken over. Without it a second relay \
               on the same address does not start. On the command line only.",
        ..BLANK
    },
    Opt {
        name: "tls-ca",
        field: field!(tls_ca, FILES),
        hint: "FILE",
        accepts: Accepts::Text("a PEM file of certificates"),
        repeat: Repeat::Many,
        category: Category::Listening,
        meaning: "Trust these certificates in connections to rtmps:// URLs.",
        note: "Those of the system are trusted when it is not given, and not when it is.",
        ..BLANK
    },
    Opt {
        name: "tls-cert",
        field: field!(tls_cert, FILES),
        hint: "FILE",
        accepts: Accepts::Text("a PEM file of a certificate and those between it and its root"),
        repeat: Repeat::Many,
        category: Category::Listening,
        meaning: "A certificate for --listen-tls.",
        note: "A client gets the first one that has the name it asks for, and the first of all \
               when it asks for none or for another. SIGHUP has all read again.",
        ..BLANK
    },
    Opt {
        name: "tls-key",
        field: field!(tls_key, FILES),
        hint: "FILE",
        accepts: Accepts::Text("a PEM file of the key of a certificate"),
        repeat: Repeat::Many,
        category: Category::Listening,
        meaning: "The key of the --tls-cert at the same place.",
        note: "The first key is that of the first certificate, and so on.",
        ..BLANK
    },
    Opt {
        name: "cpus",
        field: field!(cpus, CPUS),
        hint: "LIST",
        accepts: Accepts::Text(
            "auto, none, or numbers and ranges like 0,2-3, each once, from 0 to 1023",
        ),
        default: "auto",
        category: Category::Cores,
        meaning: "Cores the workers are pinned to, one after the other.",
        note: "auto takes the available cores in order. It leaves out those that other processes \
               are pinned to, and does not pin where too few are left or a CPU quota allows less \
               than these cores; the start line says so. none does not pin. The list may be \
               shorter or longer than --workers: the workers go through it again from its start.",
        ..BLANK
    },
    Opt {
        name: "workers",
        field: field!(workers, number_or_none()),
        hint: "N",
        accepts: count(0, WORKERS_MAX as u64),
        default: "0",
        category: Category::Cores,
        meaning: "Event loops, each with a thread and listeners of its own.",
        note: "0 starts one for each core that the affinity mask and the CPU quota of the control \
               group leave, 64 at most.",
        ..BLANK
    },
    Opt {
        name: "pace",
        field: field!(pace, PACE),
        hint: "MS",
        accepts: Accepts::Amount {
            unit: Unit::Milliseconds,
            min: 0,
            max: 1000,
            word: Some("auto"),
        },
        default: "auto",
        category: Category::Pace,
        meaning: "Write to the players that follow live at most this often.",
        note: "Fewer, larger writes serve more players per core; this is the delay they add. 0 \
               writes in every turn of the loop. auto writes at once while a worker has little \
               to do and goes up to --pace-max as writing takes more of its time.",
        ..BLANK
    },
    Opt {
        name: "pace-max",
        field: field!(pace_max, TIME),
        hint: "MS",
        accepts: Accepts::Amount {
            unit: Unit::Milliseconds,
            min: 1,
            max: 1000,
            word: None,
        },
        default: "350 ms",
        category: Category::Pace,
        meaning: "The longest interval that --pace auto may come to.",
        note: "Without effect when --pace is a number.",
        ..BLANK
    },
    Opt {
        name: "read-budget",
        field: field!(read_budget, number()),
        hint: "SIZE",
        accepts: bytes(4 << 10, 16 << 20),
        default: "256 KiB",
        category: Category::Pace,
        meaning: "Bytes read from one connection before the next one has its turn.",
        note: "Lower is fairer among publishers, higher costs fewer turns.",
        ..BLANK
    },
    Opt {
        name: "gop-cache",
        field: field!(gop_cache, SWITCH),
        hint: "WHEN",
        accepts: ON_OFF,
        default: "on",
        category: Category::Streams,
        meaning: "Start a new player at the newest key frame there is.",
        note: "When off, it starts at the next key frame to come: it sees nothing until then, \
               and has the lowest delay from then on.",
        ..BLANK
    },
    Opt {
        name: "grace",
        field: field!(grace, TIME),
        hint: "TIME",
        accepts: seconds(0, 3600),
        default: "10 s",
        category: Category::Streams,
        meaning: "Keep the players of a stream this long after its publisher was lost.",
        note: "If the publisher comes back in time, they go on. 0 ends the stream at once.",
        ..BLANK
    },
    Opt {
        name: "lag-max",
        field: field!(lag_max, number()),
        hint: "SIZE",
        accepts: bytes(64 << 10, 1 << 30),
        default: "4 MiB",
        category: Category::Streams,
        meaning: "A player further behind than this jumps to the newest sync point.",
        note: "Must not exceed --log-bytes, since players are served from there; when it is not \
               given, a smaller --log-bytes lowers it.",
        ..BLANK
    },
    Opt {
        name: "log-bytes",
        field: field!(log_bytes, number()),
        hint: "SIZE",
        accepts: bytes(256 << 10, 1 << 30),
        default: "16 MiB",
        category: Category::Streams,
        meaning: "Bytes that are kept of one stream at most.",
        note: "A stream keeps what new and slow players may need. Make it larger than the bytes \
               between two key frames.",
        ..BLANK
    },
    Opt {
        name: "play-wait",
        field: field!(play_wait, TIME),
        hint: "TIME",
        accepts: seconds(0, 3600),
        default: "10 s",
        category: Category::Streams,
        meaning: "How long a player waits for a stream that is not there yet.",
        note: "0 answers StreamNotFound at once.",
        ..BLANK
    },
    Opt {
        name: "takeover",
        field: field!(takeover, TAKEOVER),
        hint: "HOW",
        accepts: Accepts::Words(&["refuse", "replace"]),
        default: "refuse",
        category: Category::Streams,
        meaning: "What a publisher gets who asks for a name that is in use.",
        note: "refuse turns the new one away; replace closes the old one, and players go on \
               with the new one.",
        ..BLANK
    },
    Opt {
        name: "window",
        field: field!(window, TIME),
        hint: "TIME",
        accepts: seconds(0, 600),
        default: "0 s",
        category: Category::Streams,
        meaning: "How much of the past of a live stream players can seek in.",
        note: "Only as much as fits into --log-bytes is there. With 0 there is no more than new \
               players need, the time since the last key frame.",
        ..BLANK
    },
    Opt {
        name: "pull",
        field: field!(pull, PULL_RULES),
        hint: "RULE",
        accepts: Accepts::Text(
            "[APP=]URL[,URL...], each URL once, as rtmp://[USER:PASSWORD@]HOST[:PORT][/PATH]\
             [?QUERY] or rtmps://, with {app}, {stream} and {query} in their places; or none",
        ),
        default: "none",
        repeat: Repeat::Many,
        category: Category::Edge,
        meaning: "Fetch a stream that is played and not here from one of these servers.",
        note: "Once for the process, however many play it. The servers are asked in the order of \
               a hash of the stream, so that it stays with one of them as long as that one has \
               it. A URL without a path asks for the same app and stream, one without {stream} \
               for the same stream. What players have behind ? goes along where {query} stands. \
               The first rule for an app counts; without APP= a rule is for all of them. USER and \
               PASSWORD are shown nowhere; servers that insist on them (authmod) refuse the relay.",
        ..BLANK
    },
    Opt {
        name: "pull-give-up",
        field: field!(pull_give_up, TIME),
        hint: "TIME",
        accepts: seconds(1, 3600),
        default: "15 s",
        category: Category::Edge,
        meaning: "End a fetched stream when no server has sent any of it for this long.",
        note: "Counted from when all of its servers were asked. Until then its players stay, \
               servers are asked again and again, and with --takeover refuse nobody can \
               publish it.",
        ..BLANK
    },
    Opt {
        name: "pull-linger",
        field: field!(pull_linger, TIME),
        hint: "TIME",
        accepts: seconds(0, 3600),
        default: "10 s",
        category: Category::Edge,
        meaning: "Go on fetching a stream for this long after its last player left.",
        note: "A player that comes in that time needs no new fetch. Such streams have one in 8 \
               of all connections at the most, and are ended at once when others need the \
               connections.",
        ..BLANK
    },
    Opt {
        name: "pull-timeout",
        field: field!(pull_timeout, TIME),
        hint: "TIME",
        accepts: seconds(1, 60),
        default: "5 s",
        category: Category::Edge,
        meaning: "Ask the next server when one does not answer or send media for this long.",
        note: "For each step to the next: finding its name, connecting, being answered, and the \
               first media; all answers have twice as long together. When media stops later, \
               others are asked beside the connection, which stays if it has media first. A \
               server that a stream is handed on to has as long to answer.",
        ..BLANK
    },
    Opt {
        name: "push",
        field: field!(push, PUSH_RULES),
        hint: "RULE",
        accepts: Accepts::Text(
            "[APP=]URL, once each, as rtmp://[USER:PASSWORD@]HOST[:PORT][/PATH][?QUERY] or \
             rtmps://, with {app}, {stream} and {query} in their places; or none",
        ),
        default: "none",
        repeat: Repeat::Many,
        category: Category::Edge,
        meaning: "Publish every stream that is published here to this server as well.",
        note: "Each target is a player like any other: a slow or dead one holds up nobody, and is \
               called again. URLs are filled in as with --pull; {query} is the publisher's. A path \
               of app and key, as platforms give it, is used as it stands. A path that ends in \
               / before ? is an app whose key is the query, as in /app/?name=N&key=K.",
        ..BLANK
    },
    Opt {
        name: "push-strict",
        field: field!(push_strict, SWITCH),
        hint: "WHEN",
        accepts: ON_OFF,
        default: "off",
        category: Category::Edge,
        meaning: "Close a publisher when a target refuses its stream.",
        note: "Off, a refusal is logged and counted, and tried again.",
        ..BLANK
    },
    Opt {
        name: "redirect-allow",
        field: field!(redirect_allow, ALLOWED_HOSTS),
        hint: "HOST",
        accepts: Accepts::Text("HOST[:PORT], each once, an IPv6 address in brackets; or none"),
        default: "none",
        repeat: Repeat::Many,
        category: Category::Edge,
        meaning: "Follow redirects of other servers to this host as well.",
        note: "Without PORT on any port. Servers of --pull and --push may redirect to each other's \
               hosts in any case: with a Reconnect Request of E-RTMP, or with ex.code 302 and \
               ex.redirect when they refuse connect, play or publish. A redirect to another host, \
               or from rtmps to rtmp, counts as a refusal.",
        ..BLANK
    },
    Opt {
        name: "admin",
        field: field!(admin, ADMIN),
        hint: "ADDR",
        accepts: Accepts::Text(
            "PORT, ADDRESS:PORT or [IPV6]:PORT, each once, with PORT 0 to 65535; others than \
             loopback with --admin-token-file",
        ),
        repeat: Repeat::Many,
        category: Category::Http,
        meaning: "Serve the status page, metrics and the API on this address, by HTTP.",
        note: "A port without an address is on 127.0.0.1. Whoever comes in can close connections: \
               on any address but loopback they have to show the token of --admin-token-file. \
               /healthz and /readyz are for everybody. It is there until the process ends, also \
               while it stops.",
        ..BLANK
    },
    Opt {
        name: "admin-token-file",
        field: field!(admin_token_file, FILE_OR_NONE),
        hint: "FILE",
        accepts: Accepts::Text("a file whose first line is the token, or none"),
        default: "none",
        category: Category::Http,
        meaning: "What requests to --admin have to show.",
        note: "As Authorization: Bearer TOKEN. It is read at the start.",
        ..BLANK
    },
    Opt {
        name: "http",
        field: field!(http, ADDRESSES),
        hint: "ADDR",
        accepts: Accepts::Text(
            "ADDRESS:PORT, [IPV6]:PORT, :PORT or PORT, each once, with PORT 0 to 65535",
        ),
        repeat: Repeat::Many,
        category: Category::Http,
        meaning: "Serve streams to browsers on this address: FLV over HTTP and WebSocket.",
        note: "A stream is at /APP/STREAM.flv, and a page that plays it at /APP/STREAM. Players \
               there are players like those of RTMP, with the same limits. For https put a proxy \
               in front.",
        ..BLANK
    },
    Opt {
        name: "http-cors",
        field: field!(http_cors, ORIGINS),
        hint: "ORIGIN",
        accepts: Accepts::Text("an origin such as https://tv.example, or * alone"),
        repeat: Repeat::Many,
        category: Category::Http,
        meaning: "Let pages of this origin play streams from --http.",
        note: "Without it browsers let the relay's own page play, and no other. Origins listed by \
               name may also send cookies and the like.",
        ..BLANK
    },
    Opt {
        name: "http-host",
        field: field!(http_host, HOSTS),
        hint: "NAME",
        accepts: Accepts::Text("the name of a host, such as tv.example, without a port"),
        repeat: Repeat::Many,
        category: Category::Http,
        meaning: "Answer --http under this name only.",
        note: "Addresses and localhost are always answered, other names then with 421: no page \
               on the web can have its own name lead here. Without it all names are answered. \
               --admin without a token is answered under these names as well.",
        ..BLANK
    },
    Opt {
        name: "limit-loopback",
        field: field!(limit_loopback, SWITCH),
        hint: "WHEN",
        accepts: ON_OFF,
        default: "off",
        category: Category::Limits,
        meaning: "Have limits of one address hold for 127.0.0.1 and ::1 as well.",
        note: "Programs of this machine come from there: a local load test, a whole fleet of \
               encoders, or a proxy that does not name its clients. Other addresses are always \
               limited.",
        ..BLANK
    },
    Opt {
        name: "max-connections",
        field: field!(max_connections, number_or_none()),
        hint: "N",
        accepts: count(0, 10_000_000),
        default: "0",
        category: Category::Limits,
        meaning: "Connections the whole process serves at one time.",
        note: "0 takes what the limit on open files leaves. A quarter of them, and 64 at the \
               least, may be connections that have neither published nor played yet; those that \
               wait for a stream are among them.",
        ..BLANK
    },
    Opt {
        name: "max-per-address",
        field: field!(max_per_address, number_or_none()),
        hint: "N",
        accepts: count(0, 10_000_000),
        default: "1000",
        category: Category::Limits,
        meaning: "Connections from one IPv4 address or one IPv6 /64 at one time.",
        note: "Everybody behind one NAT has one address: raise it where a whole campus may \
               watch. One address has a fifth of --max-connections at the most, and of \
               --max-streams and of what --push may have; the more others have, the less. 0 sets \
               no limit, none of these, nor one on how often an address publishes: for relays \
               behind a proxy that passes TCP on.",
        ..BLANK
    },
    Opt {
        name: "max-streams",
        field: field!(max_streams, number_or_none()),
        hint: "N",
        accepts: count(0, 10_000_000),
        default: "10000",
        category: Category::Limits,
        meaning: "Streams of the whole process at one time, those in --grace included.",
        note: "A publish of one more is refused, and so is one of an address that has its share, \
               see --max-per-address. 0 sets no limit.",
        ..BLANK
    },
    Opt {
        name: "memory-max",
        field: field!(memory_max, number_or_none()),
        hint: "SIZE",
        accepts: bytes(0, 1 << 40),
        default: "0",
        category: Category::Limits,
        meaning: "Memory the process may hold for streams and connections.",
        note: "Above 70 % of it groups of pictures that nobody plays are freed and new publishers \
               are refused, above 80 % new players and connections; if that lasts for 10 s, \
               connections of addresses that hold more than a sixth are closed. Above 90 % the \
               connections that hold the most are closed little by little, above 95 % at once. \
               What the kernel keeps for sockets comes on top. 0 sets no limit, and nothing is \
               counted then.",
        ..BLANK
    },
    Opt {
        name: "publish-bitrate-max",
        field: field!(publish_bitrate_max, number_or_none()),
        hint: "RATE",
        accepts: Accepts::Amount {
            unit: Unit::Bits,
            min: 0,
            max: 100_000_000_000,
            word: None,
        },
        default: "200 Mbit/s",
        category: Category::Limits,
        meaning: "A publisher that sends more than this of one stream, over 10 s, is closed.",
        note: "The default is several times what encoders send in 4K. A file that is published \
               as fast as the network goes exceeds it. 0 sets no limit.",
        ..BLANK
    },
    Opt {
        name: "skips-max",
        field: field!(skips_max, number_or_none()),
        hint: "N",
        accepts: count(0, 1000),
        default: "0",
        category: Category::Limits,
        meaning: "A player that jumps ahead more often than this in 30 s is closed.",
        note: "See --lag-max. Off with 0, since a phone on a bad line still sees something that \
               way; set it where players come back by themselves with less to receive.",
        ..BLANK
    },
    Opt {
        name: "drain",
        field: field!(drain, TIME),
        hint: "TIME",
        accepts: seconds(0, 3600),
        default: "5 s",
        category: Category::Timeouts,
        meaning: "Serve this long after SIGTERM or SIGINT, then tell everybody and stop.",
        note: "Nobody is accepted any more: another relay that listens on the same port by then \
               gets whoever comes. Clients that know how (E-RTMP) are asked to connect anew at \
               once. It ends earlier when all have left. A second signal stops at once.",
        ..BLANK
    },
    Opt {
        name: "handshake-timeout",
        field: field!(handshake_timeout, TIME),
        hint: "TIME",
        accepts: seconds(1, 300),
        default: "10 s",
        category: Category::Timeouts,
        meaning: "From accepting a connection to the end of its handshake.",
        note: "Part of --setup-timeout, so that a longer one than that has no effect.",
        ..BLANK
    },
    Opt {
        name: "publish-idle",
        field: field!(publish_idle, TIME),
        hint: "TIME",
        accepts: seconds(1, 3600),
        default: "15 s",
        category: Category::Timeouts,
        meaning: "A publisher that sends nothing for this long is closed.",
        note: "Its players then have --grace.",
        ..BLANK
    },
    Opt {
        name: "reconnect-to",
        field: field!(reconnect_to, URL_OR_SAME),
        hint: "URL",
        accepts: Accepts::Text("rtmp://HOST[:PORT][/APP] or rtmps://, or same"),
        default: "same",
        category: Category::Timeouts,
        meaning: "Where clients are sent that are asked to connect anew while stopping.",
        note: "See --drain. With same they come back to the address they connected to.",
        ..BLANK
    },
    Opt {
        name: "send-timeout",
        field: field!(send_timeout, TIME),
        hint: "TIME",
        accepts: seconds(1, 3600),
        default: "30 s",
        category: Category::Timeouts,
        meaning: "A player that takes no byte for this long, while data waits, is closed.",
        note: "One that takes some, but too little, comes under --lag-max; less than 64 KiB in \
               this time, and in 30 s at the least, while data waits, closes it as well.",
        ..BLANK
    },
    Opt {
        name: "setup-timeout",
        field: field!(setup_timeout, TIME),
        hint: "TIME",
        accepts: seconds(1, 600),
        default: "15 s",
        category: Category::Timeouts,
        meaning: "From accepting a connection to an accepted publish or play.",
        note: "The handshake is in it. Who waits for a stream that is not there has --play-wait \
               on top, once.",
        ..BLANK
    },
    Opt {
        name: "chunk-size",
        field: field!(chunk_size, number()),
        hint: "BYTES",
        accepts: bytes(128, 1 << 20),
        default: "64 KiB",
        category: Category::Wire,
        meaning: "Size of the RTMP chunks that are sent.",
        note: "Larger chunks have fewer headers. What peers send is their own choice.",
        ..BLANK
    },
    Opt {
        name: "nodelay",
        field: field!(nodelay, SWITCH),
        hint: "WHEN",
        accepts: ON_OFF,
        default: "on",
        category: Category::Wire,
        meaning: "Have the kernel send small writes at once (TCP_NODELAY).",
        note: "Writes are gathered by --pace already.",
        ..BLANK
    },
    Opt {
        name: "ping",
        field: field!(ping, TIME_OR_NONE),
        hint: "TIME",
        accepts: seconds(0, 3600),
        default: "60 s",
        category: Category::Wire,
        meaning: "Send a ping to an idle peer this often.",
        note: "It keeps firewalls on the way from forgetting the connection. 0 sends none.",
        ..BLANK
    },
    Opt {
        name: "rcvbuf",
        field: field!(rcvbuf, number_or_none()),
        hint: "SIZE",
        accepts: bytes(0, 64 << 20),
        default: "0",
        category: Category::Wire,
        meaning: "Receive buffer of a connection in the kernel (SO_RCVBUF).",
        note: "0 leaves it to the kernel, which then adapts it; otherwise it is fixed, and the \
               kernel caps it at net.core.rmem_max.",
        ..BLANK
    },
    Opt {
        name: "sndbuf",
        field: field!(sndbuf, number_or_none()),
        hint: "SIZE",
        accepts: bytes(0, 64 << 20),
        default: "0",
        category: Category::Wire,
        meaning: "Send buffer of a connection in the kernel (SO_SNDBUF).",
        note: "What waits in it comes on top of the delay and does not count for --lag-max. 0 \
               leaves it to the kernel, which then adapts it; otherwise it is fixed, and the \
               kernel caps it at net.core.wmem_max.",
        ..BLANK
    },
    Opt {
        name: "window-ack",
        field: field!(window_ack, number()),
        hint: "SIZE",
        accepts: bytes(10_000, 0x7FFF_FFFF),
        default: "2500000",
        category: Category::Wire,
        meaning: "Bytes after which peers are asked to acknowledge.",
        note: "The Window Acknowledgement Size of RTMP. Nothing waits for the answers.",
        ..BLANK
    },
    Opt {
        name: "config",
        field: field!(file, CONFIG_FILE),
        hint: "FILE",
        accepts: Accepts::Text("the name of a file"),
        category: Category::General,
        meaning: "Read options from this file.",
        note: "One name = value a line, # begins a comment. The command line overrides the \
               file, and replaces all values of an option that may be repeated.",
        ..BLANK
    },
    Opt {
        name: "help",
        short: Some('h'),
        category: Category::General,
        meaning: "Print this text and exit.",
        ..BLANK
    },
    Opt {
        name: "log",
        field: field!(log, LOG),
        hint: "LEVEL",
        accepts: Accepts::Text(
            "error, warn, info, debug, trace, off, or a filter like info,tailwater::worker=debug",
        ),
        default: "info",
        category: Category::General,
        meaning: "How much is logged to standard error.",
        note: "A filter sets levels for parts of the program. When the option is absent, the \
               environment variable RUST_LOG is used if it is set and can be read.",
        ..BLANK
    },
    Opt {
        name: "print-config",
        category: Category::General,
        meaning: "Print the values in effect, as --config reads them, and exit.",
        note: "Users and passwords in URLs are printed as ***, and have to be put back.",
        ..BLANK
    },
    Opt {
        name: "stats-interval",
        field: field!(stats_interval, TIME_OR_NONE),
        hint: "TIME",
        accepts: seconds(0, 3600),
        default: "0 s",
        category: Category::General,
        meaning: "Print a line of figures on standard output this often.",
        note: "The line begins with stats and has name=value pairs: streams, publishers, \
               players, bits per second in and out, and more; one that begins with push follows \
               for each target of --push. 0 prints none.",
        ..BLANK
    },
    Opt {
        name: "version",
        short: Some('V'),
        category: Category::General,
        meaning: "Print the version and exit.",
        ..BLANK
    },
];

/// What a row says where it says nothing.
const BLANK: Opt = Opt {
    name: "",
    short: None,
    hint: "",
    accepts: Accepts::Nothing,
    default: "",
    repeat: Repeat::Once,
    field: None,
    category: Category::General,
    meaning: "",
    note: "",
};

const ON_OFF: Accepts = Accepts::Words(&["on", "off"]);

const fn count(min: u64, max: u64) -> Accepts {
    Accepts::Amount {
        unit: Unit::Count,
        min,
        max,
        word: None,
    }
}

const fn bytes(min: u64, max: u64) -> Accepts {
    Accepts::Amount {
        unit: Unit::Bytes,
        min,
        max,
        word: None,
    }
}

const fn seconds(min: u64, max: u64) -> Accepts {
    Accepts::Amount {
        unit: Unit::Seconds,
        min,
        max,
        word: None,
    }
}

// The range of --app says 256.
const _: () = assert!(NAME_BYTES_MAX == 256);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_none_is_there_twice() {
        for pair in OPTIONS.windows(2) {
            let [one, next] = pair else {
                unreachable!("windows of two")
            };
            let (one, next) = ((one.category, one.name), (next.category, next.name));
            assert!(one < next, "{one:?} before {next:?}");
        }
        let mut names: Vec<&str> = OPTIONS.iter().map(|opt| opt.name).collect();
        let mut letters: Vec<char> = OPTIONS.iter().filter_map(|opt| opt.short).collect();
        let (all_names, all_letters) = (names.len(), letters.len());
        names.sort_unstable();
        names.dedup();
        letters.sort_unstable();
        letters.dedup();
        assert_eq!((names.len(), letters.len()), (all_names, all_letters));
    }

    #[test]
    fn rows_are_complete() {
        for opt in OPTIONS {
            let takes_value = !matches!(opt.accepts, Accepts::Nothing);
            assert_eq!(!opt.hint.is_empty(), takes_value, "hint of {}", opt.name);
            // Only what may be repeated can be there not once.
            let may_be_absent = !opt.is_setting() || opt.repeat == Repeat::Many;
            assert!(
                opt.is_setting() && !opt.default.is_empty()
                    || may_be_absent && opt.default.is_empty(),
                "default of {}",
                opt.name
            );
            assert!(opt.meaning.ends_with('.'), "meaning of {}", opt.name);
            assert!(
                opt.meaning.len() <= 76,
                "meaning of {} is more than a line",
                opt.name
            );
            assert!(
                opt.note.is_empty() || opt.note.ends_with('.'),
                "note of {}",
                opt.name
            );
            assert!(
                opt.name.len() > 1 && !opt.name.starts_with('-'),
                "{}",
                opt.name
            );
        }
    }

    #[test]
    fn notes_name_options_that_exist() {
        for opt in OPTIONS {
            let text = format!("{} {}", opt.meaning, opt.note);
            for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
                if let Some(name) = word.strip_prefix("--") {
                    assert!(Opt::find(name).is_some(), "{} speaks of --{name}", opt.name);
                }
            }
        }
    }

    #[test]
    fn defaults_are_in_range_and_written_as_they_are_printed() {
        for opt in OPTIONS {
            match opt.accepts {
                Accepts::Amount { word, .. } if word == Some(opt.default) => {}
                Accepts::Amount { unit, min, max, .. } => {
                    let amount = unit.parse(opt.default).unwrap();
                    let (min, max) = (min * unit.scale(), max * unit.scale());
                    assert!((min..=max).contains(&amount), "{}", opt.name);
                    assert_eq!(unit.show(amount), opt.default, "{}", opt.name);
                }
                Accepts::Words(words) => assert!(words.contains(&opt.default), "{}", opt.name),
                Accepts::Nothing | Accepts::Text(_) => {}
            }
        }
    }
}
