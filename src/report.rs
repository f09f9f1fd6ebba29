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

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::limits;
use crate::stats::Gauges;
pub use crate::stream::headers::Picture;

/// What somebody wants to know of the relay, or have done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Streams by name.
    Streams {
        /// Only those of this app.
        app: Option<String>,
        /// Which of them.
        page: Page,
    },
    /// One stream.
    Stream(Arc<str>),
    /// Clients by id.
    Clients {
        /// Which kind of them.
        wanted: Wanted,
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
    /// The workers.
    Workers,
    /// The workers and what is live there.
    Metrics,
}

/// A part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Rows at most; 1 to [`limits::PAGE_ROWS_MAX`].
    pub limit: usize,
    /// Rows left out before.
    pub offset: usize,
}

impl Page {
    /// That part of `all`.
    pub fn of<T>(self, all: Vec<T>) -> Vec<T> {
        let limit = self.limit.min(limits::PAGE_ROWS_MAX);
        all.into_iter().skip(self.offset).take(limit).collect()
    }
}

/// Which clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Those that publish this stream, play it or wait for it.
    pub stream: Option<Arc<str>>,
    /// Those of this role.
    pub role: Option<Role>,
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

    /// The role of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// What one worker asks every worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inquiry {
    /// The names of its streams, of one app or all.
    Names(Option<String>),
    /// What it knows of these streams.
    Streams(Arc<[Arc<str>]>),
    /// The ids of its clients.
    Ids(Wanted),
    /// What it knows of these clients, in the order of their ids.
    Clients(Arc<[u64]>),
    /// The end of this client.
    Kick(u64, Option<Duration>),
    /// What it has counted.
    Worker,
    /// The same with its streams.
    Metrics,
}

/// What one worker answers.
#[derive(Clone, Debug)]
pub enum Told {
    /// To [`Inquiry::Names`].
    Names(Vec<Arc<str>>),
    /// To [`Inquiry::Streams`].
    Streams(Vec<StreamReport>),
    /// To [`Inquiry::Ids`].
    Ids(Vec<u64>),
    /// To [`Inquiry::Clients`].
    Clients(Vec<ClientReport>),
    /// To [`Inquiry::Kick`]: whether it had that client, and the names that are banned now.
    Kicked(Option<Vec<Arc<str>>>),
    /// To [`Inquiry::Worker`] and [`Inquiry::Metrics`].
    Worker(Box<WorkerReport>),
}

/// What became of a [`Question`].
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// How many there are of what was asked for, on all pages.
    pub total: usize,
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
    /// [`limits::METRIC_STREAMS_MAX`]; only in answer to [`Inquiry::Metrics`].
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
        self.skips += other.skips;
        self.skipped_bytes += other.skipped_bytes;
        self.delay = self.delay.max(other.delay);
    }
}

impl Owned {
    fn add(&mut self, other: &Self) {
        self.bytes_in += other.bytes_in;
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
    fn a_page_is_bounded_whatever_is_asked_for() {
        let all: Vec<usize> = (0..5_000).collect();
        let page = |limit, offset| Page { limit, offset }.of(all.clone());
        assert_eq!(page(2, 3), [3, 4]);
        assert_eq!(page(9, 4_998), [4_998, 4_999]);
        assert!(page(9, usize::MAX).is_empty());
        assert_eq!(page(usize::MAX, 0).len(), limits::PAGE_ROWS_MAX);
    }

    #[test]
    fn roles_have_names_that_are_read_back() {
        for role in Role::ALL {
            assert_eq!(Role::of_name(role.name()), Some(role));
            let json = serde_json::to_string(&role).unwrap();
            assert_eq!(json, format!("\"{}\"", role.name()));
        }
        assert_eq!(Role::of_name("nobody"), None);
    }
}
