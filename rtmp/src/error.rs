//! What a peer can do wrong on the wire. Every variant is the peer's fault and ends that one
//! connection; `code()` is the name it is counted and logged under.

use core::fmt;

use crate::bucket::Rate;
use crate::limits;

/// A violation of RTMP by the peer. The connection that sent it closes; nothing else changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The first byte asks for another version of RTMP (6 is RTMPE). RTMP 1.0 §5.2.2.
    Version {
        /// The first byte.
        got: u8,
    },
    /// The first bytes are a TLS ClientHello, an HTTP request or an MPEG-TS packet: a client on
    /// the wrong port (ffmpeg `-f mpegts`, browsers, probes).
    WrongProtocol {
        /// What it looks like: `tls`, `http` or `mpegts`.
        seen: &'static str,
    },
    /// A chunk of type 2 or 3 opens a chunk stream that has no previous header to take the
    /// missing fields from. RTMP 1.0 §5.3.1.2.
    NoPreviousHeader {
        /// The chunk stream id.
        csid: u32,
    },
    /// A new message header arrived on a chunk stream in the middle of a message.
    HeaderInsideMessage {
        /// The chunk stream id.
        csid: u32,
    },
    /// More chunk streams are in use than the limit allows.
    TooManyChunkStreams {
        /// The limit.
        limit: usize,
    },
    /// More messages are incomplete at one time than the limit allows.
    TooManyPartialMessages {
        /// The limit.
        limit: usize,
    },
    /// A message is longer than its kind may be.
    MessageTooLong {
        /// The message type id.
        kind: u8,
        /// The declared length in bytes.
        got: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Incomplete messages hold more bytes than the limit allows.
    PartialBytes {
        /// The limit in bytes.
        limit: usize,
    },
    /// A chunk size outside what RTMP 1.0 §5.4.1 and our limits allow.
    ChunkSize {
        /// The announced size in bytes.
        got: u32,
    },
    /// A protocol control message is shorter than its fixed body. RTMP 1.0 §5.4.
    ShortControl {
        /// The message type id.
        kind: u8,
        /// Its length in bytes.
        got: usize,
    },
    /// An aggregate message whose parts do not fit into it. RTMP 1.0 §7.1.6.
    Aggregate,
    /// An AMF0 value that cannot be read where the protocol needs one.
    Amf(super::amf0::AmfError),
    /// A name of an app or a stream that nothing can be called.
    Name(super::name::NameError),
    /// A command that is not allowed in the state the connection is in.
    Unexpected {
        /// The command.
        command: &'static str,
        /// What is missing.
        needs: &'static str,
    },
    /// The peer makes us generate more answers than the limit allows.
    TooManyReplies {
        /// The limit.
        limit: usize,
    },
    /// Calls and pings keep coming faster than they are answered.
    CallRate,
    /// play, play2 and publish come faster than anybody chooses streams.
    StreamCommandRate,
    /// pause, seek, receiveAudio and receiveVideo come faster than any hand moves.
    PlayerCommandRate,
    /// The chunk size changes again and again.
    ChunkSizeRate,
    /// More messages a second than any encoder makes.
    MessageRate,
    /// Too many things that are allowed and that no working peer does often.
    Glitches,
    /// An incomplete message has been left without a new byte for too long. Found by who keeps
    /// the time, see [`limits::PARTIAL_MESSAGE_WAIT`].
    StalePartial,
}

impl ProtocolError {
    /// What [`code`](Self::code) may say.
    pub const CODES: [&'static str; 22] = [
        "version",
        "wrong_protocol",
        "no_previous_header",
        "header_inside_message",
        "too_many_chunk_streams",
        "too_many_partial_messages",
        "message_too_long",
        "partial_bytes",
        "chunk_size",
        "short_control",
        "aggregate",
        "amf",
        "name",
        "unexpected",
        "too_many_replies",
        "call_rate",
        "stream_command_rate",
        "player_command_rate",
        "chunk_size_rate",
        "message_rate",
        "glitches",
        "stale_partial",
    ];

    /// The metric label and log key of this error; stable.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Version { .. } => "version",
            Self::WrongProtocol { .. } => "wrong_protocol",
            Self::NoPreviousHeader { .. } => "no_previous_header",
            Self::HeaderInsideMessage { .. } => "header_inside_message",
            Self::TooManyChunkStreams { .. } => "too_many_chunk_streams",
            Self::TooManyPartialMessages { .. } => "too_many_partial_messages",
            Self::MessageTooLong { .. } => "message_too_long",
            Self::PartialBytes { .. } => "partial_bytes",
            Self::ChunkSize { .. } => "chunk_size",
            Self::ShortControl { .. } => "short_control",
            Self::Aggregate => "aggregate",
            Self::Amf(_) => "amf",
            Self::Name(_) => "name",
            Self::Unexpected { .. } => "unexpected",
            Self::TooManyReplies { .. } => "too_many_replies",
            Self::CallRate => "call_rate",
            Self::StreamCommandRate => "stream_command_rate",
            Self::PlayerCommandRate => "player_command_rate",
            Self::ChunkSizeRate => "chunk_size_rate",
            Self::MessageRate => "message_rate",
            Self::Glitches => "glitches",
            Self::StalePartial => "stale_partial",
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { got } => write!(f, "rtmp version {got}, only 3 is spoken here"),
            Self::WrongProtocol { seen } => write!(f, "{seen} on the rtmp port"),
            Self::NoPreviousHeader { csid } => {
                write!(f, "chunk stream {csid} continues a header it never had")
            }
            Self::HeaderInsideMessage { csid } => {
                write!(f, "new header inside a message on chunk stream {csid}")
            }
            Self::TooManyChunkStreams { limit } => write!(f, "over {limit} chunk streams"),
            Self::TooManyPartialMessages { limit } => {
                write!(f, "over {limit} incomplete messages")
            }
            Self::MessageTooLong { kind, got, limit } => {
                write!(f, "message of type {kind} has {got} bytes, limit {limit}")
            }
            Self::PartialBytes { limit } => {
                write!(f, "incomplete messages hold over {limit} bytes")
            }
            Self::ChunkSize { got } => write!(f, "chunk size {got}"),
            Self::ShortControl { kind, got } => {
                write!(f, "control message of type {kind} has {got} bytes")
            }
            Self::Aggregate => write!(f, "malformed aggregate message"),
            Self::Amf(error) => write!(f, "{error}"),
            Self::Name(error) => write!(f, "{error}"),
            Self::Unexpected { command, needs } => write!(f, "{command} needs {needs} first"),
            Self::TooManyReplies { limit } => write!(f, "over {limit} pending reply bytes"),
            Self::CallRate => write!(f, "calls and pings {}", TooFast(limits::REPLIES)),
            Self::StreamCommandRate => {
                write!(
                    f,
                    "play and publish commands {}",
                    TooFast(limits::STREAM_COMMANDS)
                )
            }
            Self::PlayerCommandRate => {
                write!(
                    f,
                    "pause and seek commands {}",
                    TooFast(limits::PLAYER_COMMANDS)
                )
            }
            Self::ChunkSizeRate => write!(f, "chunk sizes {}", TooFast(limits::CHUNK_SIZES)),
            Self::MessageRate => write!(f, "messages {}", TooFast(limits::MESSAGES)),
            Self::Glitches => write!(f, "odd messages {}", TooFast(limits::GLITCHES)),
            Self::StalePartial => {
                let wait = limits::PARTIAL_MESSAGE_WAIT.as_secs();
                write!(f, "a message waits over {wait} s for its rest")
            }
        }
    }
}

impl core::error::Error for ProtocolError {}

/// Says what rate was exceeded.
struct TooFast(Rate);

impl fmt::Display for TooFast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, seconds) = self.0.plainly();
        write!(f, "faster than {count} in {seconds} s")
    }
}

impl From<super::amf0::AmfError> for ProtocolError {
    fn from(error: super::amf0::AmfError) -> Self {
        Self::Amf(error)
    }
}
