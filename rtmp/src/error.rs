//! What a peer can do wrong on the wire. Every variant is the peer's fault and ends that one
//! connection; `code()` is the name it is counted and logged under.
//!
//! One row is one error: what it means, its fields, its code, and what it says. All else is made of
//! the rows.

use core::fmt;

use crate::amf0::AmfError;
use crate::bucket::Rate;
use crate::limits;
use crate::name::NameError;

/// Declares the errors.
macro_rules! errors {
    ($($(#[doc = $doc:literal])+ $name:ident
        $(($inner:ident: $of:ty))?
        $({ $($(#[$about:meta])+ $field:ident: $type:ty,)+ })?
        => $code:literal, $words:literal $(, $more:expr)*;)+) => {
        /// A violation of RTMP by the peer. The connection that sent it closes; nothing else
        /// changes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum ProtocolError {
            $($(#[doc = $doc])+ $name $(($of))? $({ $($(#[$about])+ $field: $type,)+ })?,)+
        }

        impl ProtocolError {
            /// What [`code`](Self::code) may say, each with what it means.
            pub const CODES: &'static [(&'static str, &'static str)] =
                &[$(($code, concat!($($doc),+))),+];

            /// Returns the place of its code in [`CODES`](Self::CODES).
            pub fn index(&self) -> usize {
                enum Row { $($name),+ }
                let row = match self {
                    $(Self::$name { .. } => Row::$name,)+
                };
                row as usize
            }
        }

        impl fmt::Display for ProtocolError {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$name $(($inner))? $({ $($field),+ })? => {
                        write!(f, $words $(, $more)*)
                    })+
                }
            }
        }
    };
}

errors! {
    /// The first byte asks for another version of RTMP; 6 is RTMPE. RTMP 1.0 §5.2.2.
    Version {
        /// The first byte.
        got: u8,
    } => "version", "rtmp version {got}, only 3 is spoken here";
    /// The first bytes are a TLS ClientHello, an HTTP request or an MPEG-TS packet: a client on
    /// the wrong port (ffmpeg `-f mpegts`, browsers, probes).
    WrongProtocol {
        /// What it looks like: `tls`, `http` or `mpegts`.
        seen: &'static str,
    } => "wrong_protocol", "{seen} on the rtmp port";
    /// A chunk of type 2 or 3 opens a chunk stream that has no previous header to take the
    /// missing fields from. RTMP 1.0 §5.3.1.2.
    NoPreviousHeader {
        /// The chunk stream id.
        csid: u32,
    } => "no_previous_header", "chunk stream {csid} continues a header it never had";
    /// A new message header arrived on a chunk stream in the middle of a message.
    HeaderInsideMessage {
        /// The chunk stream id.
        csid: u32,
    } => "header_inside_message", "new header inside a message on chunk stream {csid}";
    /// More chunk streams are in use than the limit allows.
    TooManyChunkStreams {
        /// The limit.
        limit: usize,
    } => "too_many_chunk_streams", "over {limit} chunk streams";
    /// More messages are incomplete at one time than the limit allows.
    TooManyPartialMessages {
        /// The limit.
        limit: usize,
    } => "too_many_partial_messages", "over {limit} incomplete messages";
    /// A message is longer than its kind may be.
    MessageTooLong {
        /// The message type id.
        kind: u8,
        /// The declared length in bytes.
        got: usize,
        /// The limit in bytes.
        limit: usize,
    } => "message_too_long", "message of type {kind} has {got} bytes, limit {limit}";
    /// Incomplete messages hold more bytes than the limit allows.
    PartialBytes {
        /// The limit in bytes.
        limit: usize,
    } => "partial_bytes", "incomplete messages hold over {limit} bytes";
    /// A chunk size outside what RTMP 1.0 §5.4.1 and our limits allow.
    ChunkSize {
        /// The announced size in bytes.
        got: u32,
    } => "chunk_size", "chunk size {got}";
    /// A protocol control message is shorter than its fixed body. RTMP 1.0 §5.4.
    ShortControl {
        /// The message type id.
        kind: u8,
        /// Its length in bytes.
        got: usize,
    } => "short_control", "control message of type {kind} has {got} bytes";
    /// An aggregate message whose parts do not fit into it. RTMP 1.0 §7.1.6.
    Aggregate => "aggregate", "malformed aggregate message";
    /// An AMF0 value that cannot be read where the protocol needs one, or nests or counts too far.
    Amf(error: AmfError) => "amf", "{error}";
    /// A name of an app or a stream that nothing can be called.
    Name(error: NameError) => "name", "{error}";
    /// A command that is not allowed in the state the connection is in: before connect, a second
    /// connect, too much media before publish, too many message streams.
    Unexpected {
        /// The command.
        command: &'static str,
        /// What is missing.
        needs: &'static str,
    } => "unexpected", "{command} needs {needs} first";
    /// The peer makes us generate more answers than the limit allows, and does not read them.
    TooManyReplies {
        /// The limit.
        limit: usize,
    } => "too_many_replies", "over {limit} pending reply bytes";
    /// Calls and pings keep coming faster than they are answered.
    CallRate => "call_rate", "calls and pings {}", TooFast(limits::REPLIES);
    /// play, play2 and publish come faster than anybody chooses streams.
    StreamCommandRate =>
        "stream_command_rate", "play and publish commands {}", TooFast(limits::STREAM_COMMANDS);
    /// pause, seek, receiveAudio and receiveVideo come faster than any hand moves.
    PlayerCommandRate =>
        "player_command_rate", "pause and seek commands {}", TooFast(limits::PLAYER_COMMANDS);
    /// The chunk size changes again and again.
    ChunkSizeRate => "chunk_size_rate", "chunk sizes {}", TooFast(limits::CHUNK_SIZES);
    /// More messages a second than any encoder makes.
    MessageRate => "message_rate", "messages {}", TooFast(limits::MESSAGES);
    /// Too many things that are allowed and that no working peer does often.
    Glitches => "glitches", "odd messages {}", TooFast(limits::GLITCHES);
    /// A message that was begun has been left without a new byte, or without its end, for too long.
    /// Found by whoever keeps the time.
    StalePartial =>
        "stale_partial", "a message waits over {} s for its rest",
        limits::PARTIAL_MESSAGE_WAIT.as_secs();
}

impl ProtocolError {
    /// The metric label and log key of this error; stable.
    pub fn code(&self) -> &'static str {
        Self::CODES[self.index()].0
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

impl From<AmfError> for ProtocolError {
    fn from(error: AmfError) -> Self {
        Self::Amf(error)
    }
}
