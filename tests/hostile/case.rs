//! A hostile case: what a peer sends from which state on, and what has to come of it.

use std::time::Duration;

use super::bytes::{connect, create_stream, hello, joined, play, publish};

/// One case. Its name is unique and begins with its family.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// The family of hostile inputs, e.g. `C7`.
    pub(crate) family: &'static str,
    /// What is done, in words.
    pub(crate) name: String,
    /// What has happened before.
    pub(crate) state: State,
    /// What the peer does then.
    pub(crate) acts: Vec<Act>,
    /// How it ends.
    pub(crate) end: End,
    /// What the relay says meanwhile.
    pub(crate) says: Vec<Says>,
    /// How many of its messages the relay has to take for its stream, where that is known.
    pub(crate) taken: Option<u64>,
    /// The peer reads nothing from the relay.
    pub(crate) deaf: bool,
    /// Where it is played.
    pub(crate) places: Places,
    /// The limit it is about, of those that count events in time.
    pub(crate) needs: Option<Limit>,
}

/// Where a connection stands when its case begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Accepted; no byte was sent.
    Raw,
    /// Hands are shaken.
    Handshaken,
    /// Connected to app `live`, with message stream 1.
    Connected,
    /// Publishes a stream of its own on message stream 1.
    Publishing,
    /// Plays the stream of the healthy publisher on message stream 1.
    Playing,
    /// We are the client, and the other side is an origin that has sent nothing.
    Origin,
    /// The origin has shaken hands.
    OriginShaken,
    /// It has accepted connect.
    OriginConnected,
    /// It has begun to play.
    OriginPlaying,
}

/// One thing a peer does.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Sends bytes.
    Send(Vec<u8>),
    /// Sends the same bytes so many times.
    Repeat(Vec<u8>, u32),
    /// Lets time pass.
    Pass(Duration),
    /// Sends the end of its bytes.
    Finish,
    /// Resets the connection.
    Reset,
}

/// What becomes of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It goes on: a ping is answered.
    Lives,
    /// It stays open; what comes next would be part of something unfinished.
    Open,
    /// It is closed for one of these reasons.
    Closes(Vec<&'static str>),
    /// Any of that.
    May(Vec<&'static str>),
}

/// What the relay says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// A command with these words in it.
    Words(&'static str),
    /// No command with these words in it.
    Never(&'static str),
    /// So many commands with these words in it, at most.
    AtMost(&'static str, usize),
    /// The answer to this ping.
    Pong(u32),
    /// So many acknowledgements at most.
    Acknowledgements(usize),
    /// So many messages of audio, video and data.
    Media(u64),
}

/// Where a case can be played. All are in memory; the others besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// Against a session alone.
    pub(crate) session: bool,
    /// Against a worker with simulated sockets.
    pub(crate) worker: bool,
    /// Against the running binary.
    pub(crate) live: bool,
}

/// Limits that count events in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Limit {
    /// Answers to a peer that keeps asking.
    Replies,
    /// publish, play and play2.
    Roles,
    /// pause, seek, receiveAudio and receiveVideo.
    Player,
    /// Set Chunk Size.
    ChunkSizes,
    /// Messages.
    Messages,
    /// Odd but legal events.
    Glitches,
    /// An incomplete message that gets no more chunks.
    Partial,
    /// Sequence headers and metadata that change.
    Headers,
}

/// A case; it has to live unless it is told otherwise.
pub(crate) fn case(family: &'static str, name: impl Into<String>, state: State) -> Case {
    Case {
        family,
        name: format!("{family} {} ({state:?})", name.into()),
        state,
        acts: Vec::new(),
        end: End::Lives,
        says: Vec::new(),
        taken: None,
        deaf: false,
        places: Places {
            session: true,
            worker: !state.is_origin(),
            live: !state.is_origin(),
        },
        needs: None,
    }
}

impl State {
    /// Whether the peer is an origin and we are the client.
    pub(crate) fn is_origin(self) -> bool {
        matches!(
            self,
            Self::Origin | Self::OriginShaken | Self::OriginConnected | Self::OriginPlaying
        )
    }

    /// What a client sends to get here. `own` is the stream it publishes, `healthy` the one it
    /// plays.
    pub(crate) fn opening(self, own: &str, healthy: &str) -> Vec<u8> {
        let connected = || joined(&[&hello(), &connect(b"live"), &create_stream(2.0)]);
        match self {
            Self::Handshaken => hello(),
            Self::Connected => connected(),
            Self::Publishing => joined(&[&connected(), &publish(1, own.as_bytes())]),
            Self::Playing => joined(&[&connected(), &play(1, healthy.as_bytes())]),
            _ => Vec::new(),
        }
    }
}

impl Case {
    /// The peer sends this next.
    pub(crate) fn sends(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.acts.push(Act::Send(bytes.into()));
        self
    }

    /// The peer sends this next, so many times.
    pub(crate) fn repeats(mut self, bytes: impl Into<Vec<u8>>, times: u32) -> Self {
        self.acts.push(Act::Repeat(bytes.into(), times));
        self
    }

    /// Time passes.
    pub(crate) fn passes(mut self, time: Duration) -> Self {
        self.acts.push(Act::Pass(time));
        // A session alone knows no time.
        self.places.session = false;
        self
    }

    /// Bytes come one at a time with pauses between them.
    pub(crate) fn drips(mut self, bytes: &[u8], pause: Duration) -> Self {
        for &byte in bytes {
            self = self.sends([byte]).passes(pause);
        }
        self
    }

    /// The peer sends its last byte.
    pub(crate) fn finishes(mut self) -> Self {
        self.acts.push(Act::Finish);
        self.places.session = false;
        self.closes(&["peer_closed"])
    }

    /// The peer resets the connection.
    pub(crate) fn resets(mut self) -> Self {
        self.acts.push(Act::Reset);
        self.places.session = false;
        self.closes(&["peer_closed", "io"])
    }

    /// The connection stays open in the middle of something.
    pub(crate) fn stays_open(mut self) -> Self {
        self.end = End::Open;
        self
    }

    /// The connection is closed with one of these codes.
    pub(crate) fn closes(mut self, codes: &[&'static str]) -> Self {
        self.end = End::Closes(codes.to_vec());
        self
    }

    /// The connection goes on, or is closed with one of these codes.
    pub(crate) fn may_close(mut self, codes: &[&'static str]) -> Self {
        self.end = End::May(codes.to_vec());
        self
    }

    /// The relay says this.
    pub(crate) fn says(mut self, says: Says) -> Self {
        self.says.push(says);
        self
    }

    /// The relay takes so many messages for the stream.
    pub(crate) fn takes(mut self, messages: u64) -> Self {
        self.taken = Some(messages);
        self
    }

    /// The peer does not read.
    pub(crate) fn deaf(mut self) -> Self {
        self.deaf = true;
        self
    }

    /// Only in memory: too long for a clock that is real.
    pub(crate) fn in_memory(mut self) -> Self {
        self.places.live = false;
        self
    }

    /// Only against a worker: a session alone does not decide it.
    pub(crate) fn with_worker(mut self) -> Self {
        self.places.session = false;
        self
    }

    /// It is about this limit.
    pub(crate) fn needs(mut self, limit: Limit) -> Self {
        self.needs = Some(limit);
        self
    }

    /// All bytes it sends, for its size.
    pub(crate) fn size(&self) -> usize {
        let size = |act: &Act| match act {
            Act::Send(bytes) => bytes.len(),
            Act::Repeat(bytes, times) => bytes.len().saturating_mul(*times as usize),
            _ => 0,
        };
        self.acts.iter().map(size).sum()
    }
}

impl End {
    /// Whether a connection may be closed for `code`.
    pub(crate) fn allows(&self, code: &str) -> bool {
        match self {
            Self::Lives | Self::Open => false,
            Self::Closes(codes) | Self::May(codes) => codes.contains(&code),
        }
    }

    /// Whether a connection has to be closed.
    pub(crate) fn must_close(&self) -> bool {
        matches!(self, Self::Closes(_))
    }
}
