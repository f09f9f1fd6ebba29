//! What is asked of the workers from outside, and what they tell: plain data, made by the workers
//! and shown by `admin`. Nothing here is on the data path.
//!
//! ```text
//!   Question --(one worker)--> Inquiry --mail--> every worker
//!   Answer  <---- complete ---- Told   <--mail---- each
//! ```
//!
//! A stream may be known to several workers, and each tells its part; a client is at one. What is
//! added up is added up by whoever shows it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::config::listen::Network;
use crate::stats::Gauges;
pub use crate::stream::headers::Picture;

/// What somebody wants to know of the relay, or have done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// A list of streams.
    Streams {
        /// Which streams, and what they are sorted by.
        wanted: WantedStreams,
        /// Which of them.
        page: Page,
    },
    /// One stream.
    Stream(Arc<str>),
    /// A list of clients.
    Clients {
        /// Which clients, and what they are sorted by.
        wanted: WantedClients,
        /// Which of those.
        page: Page,
    },
    /// One client.
    Client(u64),
    /// The end of one client.
    Kick {
        /// The client.
        id: u64,
        /// For how long nobody may publish what it publishes.
        ban: Option<Duration>,
    },
    /// What is banned.
    Bans,
    /// A ban, and the end of those it is for.
    Ban(NewBan),
    /// The end of a ban.
    Lift(BanTarget),
    /// The workers.
    Workers,
    /// The workers and what is live there.
    Metrics,
}

/// What may be banned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BanTarget {
    /// Nobody publishes this stream, and it is not fetched.
    Stream(Arc<str>),
    /// Nobody connects from here.
    Network(Network),
}

/// A ban that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBan {
    /// Who or what.
    pub target: BanTarget,
    /// For how long; None until it is lifted.
    pub time: Option<Duration>,
    /// What those are told it is for; may be empty.
    pub reason: String,
}

/// A ban in force, as the JSON API shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BanReport {
    /// The stream, if it is for one.
    pub stream: Option<Arc<str>>,
    /// The address or network, if it is for one.
    pub address: Option<String>,
    /// For how long it will be in force; None until it is lifted.
    pub seconds_left: Option<u64>,
    /// What those are told it is for; may be empty.
    pub reason: String,
}

/// A part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Rows at most; 1 to `limits::PAGE_ROWS_MAX`.
    pub limit: usize,
    /// Rows left out before.
    pub offset: usize,
    /// The largest first.
    pub descending: bool,
    /// Only rows behind this one.
    pub after: Option<Cursor>,
}

/// A place in a sorted list: the row that was shown last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// What it was sorted by.
    pub value: u64,
    /// Its name or id, which tells rows of one value apart.
    pub key: String,
}

impl Cursor {
    /// Reads what [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (value, key) = text.split_once('.')?;
        let (value, key) = (value.parse().ok()?, key.to_owned());
        Some(Self { value, key })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.value, self.key)
    }
}

/// Makes an enum whose members have names in queries.
macro_rules! named {
    ($(#[$about:meta])+ $name:ident: $($(#[$doc:meta])+ $member:ident = $text:literal,)+) => {
        $(#[$about])+
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum $name {
            $($(#[$doc])+ $member,)+
        }

        impl $name {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$member),+];

            /// Returns its name in a query.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$member => $text,)+
                }
            }
        }
    };
}

named! {
    /// What streams are sorted by.
    StreamSort:
    /// The name.
    #[default]
    Name = "name",
    /// Live, away, pulling, waiting.
    State = "state",
    /// Players.
    Players = "players",
    /// Players by HTTP and WebSocket.
    HttpPlayers = "http_players",
    /// Players that wait for it.
    Waiting = "waiting",
    /// Bits a second that come in.
    InBps = "in_bps",
    /// Bits a second that are sent.
    OutBps = "out_bps",
    /// Bytes that came in.
    BytesIn = "bytes_in",
    /// Bytes sent.
    BytesOut = "bytes_out",
    /// Times slow players were moved on.
    Skips = "skips",
    /// Bytes that those players did not get.
    SkippedBytes = "skipped_bytes",
    /// Times the publisher came back.
    Gaps = "gaps",
    /// The time between key frames.
    KeyFrameInterval = "key_frame_interval_ms",
    /// How long ago players were given something new.
    Delay = "delay_ms",
    /// How long it has been live.
    Uptime = "uptime_seconds",
    /// The id of its publisher.
    Publisher = "publisher",
}

named! {
    /// What clients are sorted by.
    ClientSort:
    /// The id.
    #[default]
    Id = "id",
    /// Publisher, player, waiting, pull, push, none.
    Role = "role",
    /// How long it has been connected.
    Uptime = "uptime_seconds",
    /// Bytes received from it.
    BytesIn = "bytes_in",
    /// Bytes sent to it.
    BytesOut = "bytes_out",
    /// How far it is behind in time.
    Lag = "lag_ms",
    /// How far it is behind in bytes.
    LagBytes = "lag_bytes",
    /// Times it was moved on.
    Skips = "skips",
    /// Bytes that it did not get for that.
    SkippedBytes = "skipped_bytes",
}

/// Which streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedStreams {
    /// Those of this app.
    pub app: Option<String>,
    /// Those whose name has this in it, in whatever case; in lower case here.
    pub text: Option<String>,
    /// Those in this state.
    pub state: Option<State>,
    /// What they are sorted by.
    pub sort: StreamSort,
}

/// Which clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedClients {
    /// Those that publish this stream, play it or wait for it.
    pub stream: Option<Arc<str>>,
    /// Those of this role.
    pub role: Option<Role>,
    /// Those whose address or software has this in it, in whatever case; in lower case here.
    pub text: Option<String>,
    /// What they are sorted by.
    pub sort: ClientSort,
}

/// What a worker knows of a stream to sort it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamKey {
    /// `app/name`.
    pub name: Arc<str>,
    /// Its part of the value; what the workers tell is added up.
    pub value: u64,
    /// Where it stands, if that is known here.
    pub state: Option<State>,
}

/// What a client is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientKey {
    /// Its id.
    pub id: u64,
    /// The value.
    pub value: u64,
}

/// What a connection is for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It publishes.
    Publisher,
    /// It plays.
    Player,
    /// It wants to play what is not live.
    Waiting,
    /// A stream is fetched by it.
    Pull,
    /// A stream is handed on by it.
    Push,
    /// Nothing.
    None,
}

impl Role {
    /// All there are.
    pub const ALL: [Self; 6] = [
        Self::Publisher,
        Self::Player,
        Self::Waiting,
        Self::Pull,
        Self::Push,
        Self::None,
    ];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Publisher => "publisher",
            Self::Player => "player",
            Self::Waiting => "waiting",
            Self::Pull => "pull",
            Self::Push => "push",
            Self::None => "none",
        }
    }
}

/// What one worker asks every worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inquiry {
    /// The keys of its streams of this kind.
    StreamKeys(WantedStreams),
    /// What it knows of these streams.
    Streams(Arc<[Arc<str>]>),
    /// The keys of its clients of this kind.
    ClientKeys(WantedClients),
    /// What it knows of these clients, in the order of their ids.
    Clients(Arc<[u64]>),
    /// The end of this client.
    Kick(u64, Option<Duration>),
    /// The end of those that a new ban is for.
    CloseBanned(BanTarget),
    /// What it has counted.
    Worker,
    /// The same with its streams.
    Metrics,
}

/// What one worker answers.
#[derive(Clone, Debug)]
pub enum Told {
    /// To [`Inquiry::StreamKeys`].
    StreamKeys(Vec<StreamKey>),
    /// To [`Inquiry::Streams`].
    Streams(Vec<StreamReport>),
    /// To [`Inquiry::ClientKeys`].
    ClientKeys(Vec<ClientKey>),
    /// To [`Inquiry::Clients`].
    Clients(Vec<ClientReport>),
    /// To [`Inquiry::Kick`]: whether it had that client, and the names that are banned now.
    Kicked(Option<Vec<Arc<str>>>),
    /// To [`Inquiry::CloseBanned`]: how many were closed.
    Closed(u64),
    /// To [`Inquiry::Worker`] and [`Inquiry::Metrics`].
    Worker(Box<WorkerReport>),
}

/// What became of a [`Question`].
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// How many there are of what was asked for, on all pages.
    pub total: usize,
    /// The streams of the page, in its order.
    pub names: Vec<Arc<str>>,
    /// The clients of the page, in its order.
    pub ids: Vec<u64>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
    /// The bans in force, to [`Question::Bans`].
    pub bans: Vec<BanReport>,
    /// What was asked for cannot be done: there is no such ban, or there are too many.
    pub refused: bool,
    /// What each worker told, by its number; None when it did not in time.
    pub told: Vec<Option<Told>>,
}

/// What one worker knows of a stream.
#[derive(Clone, Debug, Default)]
pub struct StreamReport {
    /// `app/name`.
    pub name: Arc<str>,
    /// Which life of the stream; 0 before its first publisher.
    pub epoch: u64,
    /// What is known where the stream comes in.
    pub owned: Option<Box<Owned>>,
    /// Those that play here, by whatever protocol, targets of `--push` left out.
    pub players: u64,
    /// Those among them by HTTP and WebSocket.
    pub http_players: u64,
    /// Those that wait for it here.
    pub waiting: u64,
    /// Targets it is handed on to from here.
    pub pushes: u64,
    /// Bytes sent to players and targets from here.
    pub bytes_out: u64,
    /// Bits a second of these, of late.
    pub out_bps: u64,
    /// Times players here were moved on to a key frame.
    pub skips: u64,
    /// Bytes that they did not get for that.
    pub skipped_bytes: u64,
    /// How long ago players here were given something new; None while nobody plays here.
    pub delay: Option<Duration>,
}

/// What the worker knows of a stream that has it from outside.
#[derive(Clone, Debug)]
pub struct Owned {
    /// Where it stands.
    pub state: State,
    /// The id of the client that publishes it or brings it.
    pub publisher: Option<u64>,
    /// How long this life of it is.
    pub uptime: Duration,
    /// FourCC of the video.
    pub video_codec: Option<String>,
    /// FourCC of the audio.
    pub audio_codec: Option<String>,
    /// What its metadata says; left out of what metrics are made of.
    pub picture: Picture,
    /// Bytes of its messages, as players are sent them.
    pub bytes_in: u64,
    /// Bits a second of these, of late.
    pub in_bps: u64,
    /// Messages.
    pub messages_in: u64,
    /// Coded pictures.
    pub video_frames: u64,
    /// Coded audio.
    pub audio_frames: u64,
    /// Pictures that a player may start at.
    pub key_frames: u64,
    /// The time between the last two of these, in milliseconds.
    pub key_interval_ms: Option<u32>,
    /// Times the publisher was away and came back.
    pub gaps: u64,
    /// Workers that it is fed to.
    pub feeds: u64,
}

/// Where a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Somebody publishes it.
    Live,
    /// Its publisher is gone and may come back.
    Away,
    /// An origin is asked for it.
    Pulling,
    /// Players wait, and nobody publishes.
    Waiting,
}

/// A client, as the JSON API shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClientReport {
    /// The same on every worker for as long as it is connected.
    pub id: u64,
    /// Where it comes from.
    pub address: String,
    /// Where it is.
    pub worker: usize,
    /// `rtmp`, `rtmps`, `http-flv`, `ws-flv` or `http`.
    pub protocol: &'static str,
    /// What it does.
    pub role: Role,
    /// The streams it does it with.
    pub streams: Vec<Arc<str>>,
    /// How long it has been connected.
    pub uptime_seconds: f64,
    /// Bytes received from it.
    pub bytes_in: u64,
    /// Bytes sent to it.
    pub bytes_out: u64,
    /// How far it is behind, in bytes, if it plays.
    pub lag_bytes: Option<u64>,
    /// The same in milliseconds of the stream.
    pub lag_ms: Option<u32>,
    /// The round trip time as TCP has it.
    pub rtt_ms: Option<f64>,
    /// Segments that TCP sent again.
    pub retransmits: Option<u32>,
    /// Times it was moved on to a key frame.
    pub skips: u64,
    /// Bytes that it did not get for that.
    pub skipped_bytes: u64,
    /// What it calls itself.
    pub software: String,
    /// FourCC of the video that it publishes.
    pub video_codec: Option<String>,
    /// FourCC of the audio that it publishes.
    pub audio_codec: Option<String>,
    /// What it can do of E-RTMP.
    pub capabilities: Option<Capabilities>,
}

impl State {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Live, Self::Away, Self::Pulling, Self::Waiting];

    /// Returns its name in queries and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Away => "away",
            Self::Pulling => "pulling",
            Self::Waiting => "waiting",
        }
    }
}

/// What a client can do of E-RTMP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// It says that it can do any of it.
    pub e_rtmp: bool,
    /// It connects anew when asked to.
    pub reconnect: bool,
    /// It knows several tracks.
    pub multitrack: bool,
    /// The codecs that it names; `*` for all.
    pub four_cc: Vec<String>,
}

/// What a worker has counted.
#[derive(Clone, Debug, Default)]
pub struct WorkerReport {
    /// Its numbers.
    pub gauges: Gauges,
    /// How often connections were closed for each reason.
    pub closes: Vec<(&'static str, u64)>,
    /// Which requests were refused, why, and how often; those that occurred.
    pub refusals: Vec<(&'static str, &'static str, u64)>,
    /// What was handed on to each target of `--push`.
    pub targets: Vec<TargetReport>,
    /// Its streams that were ever published, the oldest lives first, at most
    /// `limits::METRIC_STREAMS_MAX`; only in answer to [`Inquiry::Metrics`].
    pub streams: Vec<StreamReport>,
    /// All others of them, as if they were one.
    pub others: StreamReport,
}

/// What was handed on to a target of `--push`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TargetReport {
    /// What it is called; without keys.
    pub target: String,
    /// Streams that it takes now.
    pub pushes: u64,
    /// Times it could not be reached, refused a stream or was lost.
    pub failures: u64,
    /// Times it refused one.
    pub refusals: u64,
    /// Bytes sent to it.
    pub bytes_out: u64,
    /// Bytes that it did not get because it was too slow.
    pub skipped_bytes: u64,
}

impl StreamReport {
    /// Adds what another worker knows of the same stream, or, of several streams that are shown
    /// as one, of another one.
    pub fn add(&mut self, other: &Self) {
        self.epoch = self.epoch.max(other.epoch);
        match (&mut self.owned, &other.owned) {
            // Where players wait it is not known yet that it is somewhere.
            (Some(own), Some(owned)) if own.state == State::Waiting => *own = owned.clone(),
            (Some(_), Some(owned)) if owned.state == State::Waiting => {}
            (Some(own), Some(owned)) => own.add(owned),
            (own @ None, Some(owned)) => *own = Some(owned.clone()),
            (_, None) => {}
        }
        self.players += other.players;
        self.http_players += other.http_players;
        self.waiting += other.waiting;
        self.pushes += other.pushes;
        self.bytes_out += other.bytes_out;
        self.out_bps += other.out_bps;
        self.skips += other.skips;
        self.skipped_bytes += other.skipped_bytes;
        self.delay = self.delay.max(other.delay);
    }
}

impl Owned {
    fn add(&mut self, other: &Self) {
        self.bytes_in += other.bytes_in;
        self.in_bps += other.in_bps;
        self.messages_in += other.messages_in;
        self.video_frames += other.video_frames;
        self.audio_frames += other.audio_frames;
        self.key_frames += other.key_frames;
        self.gaps += other.gaps;
        self.feeds += other.feeds;
        // Of several streams there is no one interval, publisher or picture.
        self.key_interval_ms = None;
    }
}

impl TargetReport {
    /// Adds what another worker counted of the same target.
    pub fn add(&mut self, other: &Self) {
        self.pushes += other.pushes;
        self.failures += other.failures;
        self.refusals += other.refusals;
        self.bytes_out += other.bytes_out;
        self.skipped_bytes += other.skipped_bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_whatever_the_name() {
        for key in ["live/cam", "7", "a.b/c.d", ""] {
            let cursor = Cursor {
                value: u64::MAX,
                key: key.to_owned(),
            };
            assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        }
        for wrong in ["", "7", ".a", "-1.a", "99999999999999999999.a"] {
            assert_eq!(Cursor::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn states_have_the_names_of_the_answers() {
        for state in State::ALL {
            let json = serde_json::to_string(&state).unwrap();
            assert_eq!(json, format!("\"{}\"", state.name()));
        }
    }

    #[test]
    fn roles_have_the_names_of_the_answers() {
        for role in Role::ALL {
            let json = serde_json::to_string(&role).unwrap();
            assert_eq!(json, format!("\"{}\"", role.name()));
        }
    }
}
