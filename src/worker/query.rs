//! What an operator's question is to a worker: a [`Question`], which comes by mail with its own
//! way back, a [`Reply`], and the rows that the worker copies for it. Plain data; nothing here is
//! on the data path, and a worker that is asked nothing does nothing for it but count.
//!
//! ```text
//!   Ask { question, reply } --mail--> each worker: copies rows --reply--> Told
//! ```
//!
//! A stream may be known to several workers, and each tells its part; a client is at one. Who asks
//! adds up, sorts and shows.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::bans::BanTarget;
use super::ids::ConnId;
use crate::rtmp::media::Codec;
use crate::stats::{Gauges, OwnedGauges, StreamGauges, TargetGauges};
use crate::stream::headers::Picture;

/// A question and where the answer goes.
#[derive(Debug)]
pub struct Ask {
    /// What is asked; the same for each worker.
    pub question: Arc<Question>,
    /// Where the answer goes.
    pub reply: Reply,
}

/// What is asked of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Its counters.
    Counters,
    /// The same and all its streams.
    Metrics,
    /// All its streams.
    Streams,
    /// One stream.
    Stream(Arc<str>),
    /// The ids of its clients of this kind, and what they are sorted by.
    ClientKeys(WantedClients),
    /// One client, by its id.
    Client(u64),
    /// These clients.
    Clients(Vec<ConnId>),
    /// The end of this client. For so long nobody may publish what it publishes.
    Kick(u64, Option<Duration>),
    /// The end of those that a new ban is for.
    CloseBanned(BanTarget),
}

/// What a worker answers.
#[derive(Clone, Debug)]
pub enum Told {
    /// To [`Question::Counters`] and [`Question::Metrics`].
    Worker(Box<WorkerRow>),
    /// To [`Question::Streams`] and [`Question::Stream`].
    Streams(Vec<StreamRow>),
    /// To [`Question::ClientKeys`].
    ClientKeys(Vec<ClientKey>),
    /// To [`Question::Client`] and [`Question::Clients`].
    Clients(Vec<ClientRow>),
    /// To [`Question::Kick`]: the names that are banned now; None when it does not have the client.
    Kicked(Option<Vec<Arc<str>>>),
    /// To [`Question::CloseBanned`]: how many were closed.
    Closed(u64),
}

type Send = Box<dyn FnOnce(Option<Told>) + std::marker::Send>;

/// The way back of an answer. It is used once: by the worker, or, when that has ended and reads
/// no mail any more, by being dropped, which answers with None.
pub struct Reply(Option<Send>);

impl Reply {
    /// An answer is given to `send`, on the worker's thread.
    pub fn new(send: impl FnOnce(Option<Told>) + std::marker::Send + 'static) -> Self {
        Self(Some(Box::new(send)))
    }

    /// Answers; None when the worker cannot.
    pub(super) fn send(mut self, told: Option<Told>) {
        if let Some(send) = self.0.take() {
            send(told);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(send) = self.0.take() {
            send(None);
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply")
    }
}

/// Makes an enum whose members have names in queries and answers.
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

            /// Returns its name in queries and answers.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$member => $text,)+
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
    };
}
pub(crate) use named;

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

/// What a client is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientKey {
    /// Its id.
    pub id: u64,
    /// The value.
    pub value: u64,
    /// Where the worker has it.
    pub conn: ConnId,
}

named! {
    /// What a connection is for now.
    Role:
    /// It publishes.
    Publisher = "publisher",
    /// It plays.
    Player = "player",
    /// It wants to play what is not live.
    Waiting = "waiting",
    /// A stream is fetched by it.
    Pull = "pull",
    /// A stream is handed on by it.
    Push = "push",
    /// Nothing.
    #[default]
    None = "none",
}

named! {
    /// Where a stream stands.
    State:
    /// Somebody publishes it.
    Live = "live",
    /// Its publisher is gone and may come back.
    Away = "away",
    /// An origin is asked for it.
    Pulling = "pulling",
    /// Players wait, and nobody publishes.
    #[default]
    Waiting = "waiting",
}

/// What one worker knows of a stream.
#[derive(Clone, Debug, Default)]
pub struct StreamRow {
    /// `app/name`.
    pub name: Arc<str>,
    /// Which life of the stream; 0 before its first publisher.
    pub epoch: u64,
    /// What is known where the stream comes in.
    pub owned: Option<Owned>,
    /// What is counted of it here.
    pub gauges: StreamGauges,
    /// How long ago players here were given something new; None while nobody plays here.
    pub delay: Option<Duration>,
}

/// What the worker knows of a stream that has it from outside.
#[derive(Clone, Copy, Debug, Default)]
pub struct Owned {
    /// Where it stands.
    pub state: State,
    /// The id of the client that publishes it or brings it.
    pub publisher: Option<u64>,
    /// How long this life of it is.
    pub uptime: Duration,
    /// The video codec.
    pub video: Option<Codec>,
    /// The audio codec.
    pub audio: Option<Codec>,
    /// Whether its sequence header is there, if its video needs one and has come.
    pub video_header: Option<bool>,
    /// What its metadata says.
    pub picture: Picture,
    /// What is counted of it.
    pub gauges: OwnedGauges,
    /// The time between the last two key frames, in milliseconds.
    pub key_interval_ms: Option<u32>,
}

/// A client, as the JSON API shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClientRow {
    /// The same on every worker for as long as it is connected.
    pub id: u64,
    /// Where it comes from.
    pub address: SocketAddr,
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
pub struct WorkerRow {
    /// Its numbers.
    pub gauges: Gauges,
    /// How often connections were closed for each reason.
    pub closes: Vec<(&'static str, u64)>,
    /// Which requests were refused, why, and how often; those that occurred.
    pub refusals: Vec<(&'static str, &'static str, u64)>,
    /// What was handed on to each target, in the order of the rules of `--push`.
    pub targets: Vec<TargetGauges>,
    /// All its streams; only in answer to [`Question::Metrics`].
    pub streams: Vec<StreamRow>,
}

impl StreamRow {
    /// Adds what another worker knows of the same stream, or, of several streams that are shown
    /// as one, of another one.
    pub fn add(&mut self, other: &Self) {
        self.epoch = self.epoch.max(other.epoch);
        match (&mut self.owned, &other.owned) {
            // Where players wait it is not known yet that it is somewhere.
            (Some(own), Some(owned)) if own.state == State::Waiting => *own = *owned,
            (Some(_), Some(owned)) if owned.state == State::Waiting => {}
            (Some(own), Some(owned)) => own.add(owned),
            (own @ None, Some(owned)) => *own = Some(*owned),
            (_, None) => {}
        }
        self.gauges = self.gauges.plus(&other.gauges);
        self.delay = self.delay.max(other.delay);
    }
}

impl Owned {
    fn add(&mut self, other: &Self) {
        self.gauges = self.gauges.plus(&other.gauges);
        // Of several streams there is no one interval, publisher or picture.
        self.key_interval_ms = None;
    }
}
