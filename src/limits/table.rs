//! The limits as the README shows them: each constant with its value and what happens beyond it.
//!
//! Values are taken from the constants; that no constant is left out is for `tests/tidy.rs` to
//! see. The reasons are with the constants.

use std::fmt::Write;
use std::time::Duration;

use super::bucket::Rate;

/// One limit: a row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The constant in `limits.rs`; empty in a row that is a heading.
    pub constant: &'static str,
    /// What is limited.
    pub what: &'static str,
    /// How much of it there may be.
    pub value: Value,
    /// What happens beyond that.
    pub beyond: &'static str,
}

/// An amount and its unit.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// None: a heading.
    Nothing,
    /// Things.
    Count(u64),
    /// Bytes.
    Bytes(u64),
    /// Time.
    Time(Duration),
    /// So many a second, and so many at once.
    Rate(Rate),
    /// Hundredths.
    Percent(u64),
    /// One in so many.
    OneIn(u64),
}

impl Value {
    fn show(self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Count(count) => grouped(count),
            Self::Bytes(bytes) if bytes > 0 && bytes.is_multiple_of(1 << 20) => {
                format!("{} MiB", bytes >> 20)
            }
            Self::Bytes(bytes) if bytes > 0 && bytes.is_multiple_of(1 << 10) => {
                format!("{} KiB", bytes >> 10)
            }
            Self::Bytes(bytes) => format!("{} bytes", grouped(bytes)),
            Self::Time(time) if time.subsec_millis() == 0 => format!("{} s", time.as_secs()),
            Self::Time(time) => format!("{} ms", time.as_millis()),
            Self::Rate(rate) => {
                let (count, seconds) = rate.plainly();
                let time = match seconds {
                    1 => "a second".to_owned(),
                    60 => "a minute".to_owned(),
                    seconds => format!("in {seconds} s"),
                };
                format!(
                    "{} {time}, {} at once",
                    grouped(count.into()),
                    grouped(rate.burst().into())
                )
            }
            Self::Percent(percent) => format!("{percent} %"),
            Self::OneIn(count) => format!("one in {count}"),
        }
    }
}

/// A number with commas between its thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

macro_rules! value {
    (Time $value:expr) => {
        Value::Time($value)
    };
    (Rate $value:expr) => {
        Value::Rate($value)
    };
    ($kind:ident $value:expr) => {
        Value::$kind($value as u64)
    };
}

/// A row for the constant of this name.
macro_rules! limit {
    ($kind:ident $constant:ident, $what:literal, $beyond:literal) => {
        Limit {
            constant: stringify!($constant),
            what: $what,
            value: value!($kind super::$constant),
            beyond: $beyond,
        }
    };
}

const fn heading(what: &'static str) -> Limit {
    Limit {
        constant: "",
        what,
        value: Value::Nothing,
        beyond: "",
    }
}

/// All limits, under their headings.
pub const TABLE: &[Limit] = &[
    heading("Chunks and messages coming in"),
    limit!(
        Count CHUNK_STREAMS_MAX,
        "Chunk streams in use on a connection",
        "closed: `too_many_chunk_streams`"
    ),
    limit!(
        Count PARTIAL_MESSAGES_MAX,
        "Messages of a publisher incomplete at one time",
        "closed: `too_many_partial_messages`"
    ),
    limit!(
        Count UNAUTHORISED_PARTIAL_MESSAGES_MAX,
        "The same of the unauthorised",
        "closed: `too_many_partial_messages`"
    ),
    limit!(
        Bytes VIDEO_MESSAGE_BYTES_MAX,
        "Longest video message",
        "closed: `message_too_long`"
    ),
    limit!(
        Bytes AUDIO_MESSAGE_BYTES_MAX,
        "Longest audio message",
        "closed: `message_too_long`"
    ),
    limit!(
        Bytes DATA_MESSAGE_BYTES_MAX,
        "Longest data message",
        "closed: `message_too_long`"
    ),
    limit!(
        Bytes OTHER_MESSAGE_BYTES_MAX,
        "Longest other message",
        "closed: `message_too_long`"
    ),
    limit!(
        Bytes UNAUTHORISED_MESSAGE_BYTES_MAX,
        "Longest message of the unauthorised",
        "closed: `message_too_long`"
    ),
    limit!(
        Bytes PARTIAL_BYTES_MAX,
        "Incomplete messages of a publisher together",
        "closed: `partial_bytes`"
    ),
    limit!(
        Bytes UNAUTHORISED_PARTIAL_BYTES_MAX,
        "The same of the unauthorised",
        "closed: `partial_bytes`"
    ),
    limit!(
        Time PARTIAL_MESSAGE_WAIT,
        "An incomplete message without a new byte",
        "closed: `stale_partial`"
    ),
    limit!(
        Time PARTIAL_MESSAGE_TIME,
        "From the first byte of a message to its last",
        "closed: `stale_partial`"
    ),
    limit!(
        Bytes SPARE_BYTES_MAX,
        "Buffer kept for the next incomplete message",
        "given back"
    ),
    limit!(
        Count CHUNK_LISTS_KEPT,
        "Chunk streams that keep a list for reuse",
        "given back"
    ),
    limit!(
        Rate MESSAGES,
        "Messages of a connection",
        "closed: `message_rate`"
    ),
    limit!(
        Rate GLITCHES,
        "Odd events of a connection: messages, events and commands unknown, empty or for nobody",
        "closed: `glitches`"
    ),
    limit!(
        Bytes CHUNK_SIZE_IN_MIN,
        "Smallest chunk size a peer may set",
        "smaller: closed, `chunk_size`"
    ),
    limit!(
        Bytes CHUNK_SIZE_IN_CAP,
        "Largest chunk size",
        "a larger one is taken as this"
    ),
    limit!(
        Rate CHUNK_SIZES,
        "Set Chunk Size messages of a connection",
        "closed: `chunk_size_rate`"
    ),
    heading("Commands"),
    limit!(
        Count AMF_DEPTH_MAX,
        "AMF0 objects and arrays open at one time",
        "closed: `amf`; in a data message, the message is relayed unread"
    ),
    limit!(
        Count AMF_NODES_MAX,
        "AMF0 values in a data message",
        "the message is relayed unread"
    ),
    limit!(
        Count COMMAND_AMF_NODES_MAX,
        "AMF0 values in a command",
        "closed: `amf`"
    ),
    limit!(
        Count MESSAGE_STREAMS_MAX,
        "Message streams of a connection, each of which may publish",
        "`_error`"
    ),
    limit!(
        Count PLAYS_MAX,
        "Plays of a connection",
        "NetStream.Play.Failed"
    ),
    limit!(
        Rate STREAM_COMMANDS,
        "play, play2 and publish commands of a connection",
        "closed: `stream_command_rate`"
    ),
    limit!(
        Rate PLAYER_COMMANDS,
        "pause, seek, receiveAudio and receiveVideo commands of a connection",
        "closed: `player_command_rate`"
    ),
    limit!(
        Rate SEEKS,
        "seek commands of a connection that are followed",
        "NetStream.Seek.Failed; the play goes on"
    ),
    limit!(
        Rate REPLIES,
        "Calls and pings of a connection that are answered",
        "no answer"
    ),
    limit!(
        Rate UNANSWERED,
        "Calls and pings of a connection that are not",
        "closed: `call_rate`"
    ),
    limit!(
        Bytes NAME_BYTES_MAX,
        "App and name together",
        "closed: `name`"
    ),
    limit!(
        Bytes QUERY_BYTES_MAX,
        "Query behind a name",
        "closed: `name`"
    ),
    limit!(
        Bytes OUT_BYTES_MAX,
        "Replies that wait for a peer that does not read",
        "closed: `too_many_replies`"
    ),
    limit!(
        Bytes COMMAND_BACKLOG_BYTES_MAX,
        "What waits for a peer that sends one more command of a player",
        "closed: `too_many_replies`"
    ),
    limit!(
        Bytes STATUS_TEXT_BYTES_MAX,
        "What is kept of a status that a server sends us",
        "cut"
    ),
    limit!(
        Bytes REDIRECT_BYTES_MAX,
        "Longest URL that another server redirects to",
        "not followed"
    ),
    limit!(
        Count REDIRECTS_MAX,
        "Redirects of other servers in a row",
        "not followed"
    ),
    limit!(
        Bytes OUTBOX_KEPT_BYTES,
        "Emptied reply buffer that a connection keeps",
        "given back"
    ),
    limit!(
        Bytes ACK_WINDOW_DEFAULT,
        "Window of acknowledgement while the peer has named none",
        "acknowledged at half of it"
    ),
    limit!(
        Bytes ACK_WINDOW_MIN,
        "Smallest window of acknowledgement",
        "a smaller one is taken as this"
    ),
    limit!(
        Count EARLY_HEADERS_MAX,
        "Metadata and codec headers of an origin kept until its first media",
        "the oldest are forgotten and count as odd events"
    ),
    limit!(
        Bytes EARLY_HEADERS_BYTES_MAX,
        "Bytes of them",
        "the oldest are forgotten and count as odd events"
    ),
    limit!(
        Bytes EARLY_MEDIA_BYTES_MAX,
        "Media of a connection that does not publish, skipped and not kept",
        "closed: `unexpected`"
    ),
    heading("What is live"),
    limit!(
        Bytes SEQUENCE_HEADER_BYTES_MAX,
        "Codec header or metadata that is kept",
        "relayed, not kept for players who come later"
    ),
    limit!(
        Bytes METADATA_LIST_BYTES_MAX,
        "List in metadata that is longer than that, such as an index of key frames",
        "left out"
    ),
    limit!(
        Count HEADERS_MAX,
        "Codec headers and metadata kept of a stream",
        "relayed, not kept for players who come later"
    ),
    limit!(
        Bytes HEADERS_BYTES_MAX,
        "All of them together",
        "relayed, not kept for players who come later"
    ),
    limit!(
        Count DATA_FRAMES_MAX,
        "Of these, data of `@setDataFrame` under other names than onMetaData",
        "relayed, not kept for players who come later"
    ),
    limit!(
        Bytes DATA_FRAMES_BYTES_MAX,
        "All of that together",
        "relayed, not kept for players who come later"
    ),
    limit!(
        Rate HEADER_CHANGES,
        "Changes of them",
        "relayed, not kept for players who come later; each counts as odd"
    ),
    limit!(
        Bytes GOP_BYTES_MAX,
        "Group of pictures kept for new players, and `--log-bytes`",
        "new players start with sound and wait for the next key frame"
    ),
    limit!(
        Count GOP_FRAMES_MAX,
        "Messages in it",
        "new players start with sound and wait for the next key frame"
    ),
    limit!(
        Time GOP_AGE_MAX,
        "Time in it",
        "new players start with sound and wait for the next key frame"
    ),
    limit!(
        Time PICTURES_GONE,
        "Sound without pictures",
        "players start at any sound"
    ),
    limit!(
        Time PICTURES_WAIT,
        "Pictures without a key frame to start at",
        "players get pictures as they come"
    ),
    limit!(
        Time KEY_FRAME_WAIT,
        "Wait for the next key frame with `--gop-cache off`, or for play2",
        "the player starts with sound"
    ),
    limit!(
        Time CLOCK_STEP_MAX,
        "Step of timestamps, less the time that has passed; how long they stand still",
        "the track goes on where the stream is"
    ),
    limit!(
        Time CLOCK_AHEAD_MAX,
        "Step ahead where messages are as far apart, and from an origin",
        "the track goes on where the stream is"
    ),
    limit!(
        Time TRACKS_APART_MAX,
        "Sound and pictures apart when they begin",
        "the later track begins where the stream is"
    ),
    limit!(
        Time DATA_AHEAD_MAX,
        "Headers and data ahead of media or behind",
        "stamped like the media"
    ),
    limit!(
        Time CLOCK_GAP_MAX,
        "Silence of a track that counts when its timestamps step",
        "counts as this long"
    ),
    heading("Memory of a worker"),
    limit!(
        Bytes RING_BYTES,
        "One read, one receive ring",
        "the rest is read next"
    ),
    limit!(
        Count EVENTS_PER_POLL,
        "Events taken from the kernel at once",
        "the rest is taken next"
    ),
    limit!(
        Count MESSAGES_PER_TURN,
        "Messages parsed of a connection in a turn",
        "the rest is parsed in the next turn"
    ),
    limit!(
        Count REQUEST_MESSAGES,
        "Messages that a publish, play or other request counts for",
        "the rest is parsed in the next turn"
    ),
    limit!(
        Bytes COMMANDS_TURN_BYTES,
        "Bytes parsed in a turn for all connections that bring no media",
        "the rest is parsed in the next turn"
    ),
    limit!(
        Count COMMANDS_TURN_MESSAGES,
        "Messages of them in a turn",
        "the rest is parsed in the next turn"
    ),
    limit!(
        Bytes COMMANDS_BYTES_LEAST,
        "Bytes of each of them in any case",
        "the rest is parsed in the next turn"
    ),
    limit!(
        Count RINGS_KEPT,
        "Spare rings",
        "given back"
    ),
    limit!(
        Bytes BLOCK_BYTES,
        "A block of a log",
        "a new block"
    ),
    Limit {
        constant: "FIRST_BLOCK_BYTES",
        what: "The first block of a log",
        value: Value::Bytes(super::FIRST_BLOCK_BYTES[0] as u64),
        beyond: "a larger block",
    },
    limit!(
        Count BLOCKS_KEPT,
        "Spare blocks",
        "given back"
    ),
    limit!(
        Bytes MAIL_BYTES_MAX,
        "Bytes of a stream on their way to another worker",
        "that worker goes on at a key frame"
    ),
    heading("Who may come, and how much"),
    limit!(
        Count CONNECTIONS_LEAST,
        "Connections that open files leave, at the least, without `--max-connections`",
        "does not start"
    ),
    limit!(
        OneIn NEWCOMERS_SHARE,
        "Of all connections, those without a role yet",
        "refused: `refused_newcomers`"
    ),
    limit!(
        Count NEWCOMERS_LEAST,
        "Of those, always allowed",
        "refused: `refused_newcomers`"
    ),
    limit!(
        OneIn RTMP_NEWCOMERS_SHARE,
        "Of those, kept for connections that speak RTMP",
        "by HTTP: refused, `refused_newcomers`"
    ),
    limit!(
        Count IDLE_LOOKED_AT,
        "Idle connections by HTTP looked at for one that gives way to a newcomer",
        "refused: `refused_newcomers`"
    ),
    limit!(
        OneIn ADDRESS_SHARE,
        "Of the connections, newcomers, streams, pushes and fetches that are free, what one \
         address may have, unless `--max-per-address` is 0",
        "refused: `refused_address`, `refused_newcomers`, NetStream.Publish.Denied; pushes and \
         fetches are made later"
    ),
    limit!(
        Rate PUBLISHES,
        "Publishes from one address, unless `--max-per-address` is 0",
        "NetStream.Publish.Denied, closed: `rejected`"
    ),
    limit!(
        Count ADDRESSES_KEPT,
        "Addresses without a connection remembered for that",
        "those with nothing to remember are forgotten"
    ),
    limit!(
        Time BITRATE_TIME,
        "What `--publish-bitrate-max` is averaged over",
        "closed: `publish_bitrate`"
    ),
    limit!(
        Time MEDIA_IDLE,
        "A publisher that sends no audio and no video",
        "closed: `media_idle`"
    ),
    limit!(
        Bytes PROGRESS_BYTES,
        "What a player must take while data waits all the time",
        "less: closed, `too_slow`"
    ),
    limit!(
        Time PROGRESS_TIME,
        "In this time, or `--send-timeout` if that is longer",
        "closed: `too_slow`"
    ),
    limit!(
        Time SKIPS_TIME,
        "The time in which `--skips-max` counts",
        "closed: `too_many_skips`"
    ),
    heading("Memory of the process"),
    limit!(
        Bytes MEMORY_MAX_LEAST,
        "Smallest `--memory-max`",
        "does not start"
    ),
    limit!(
        Percent MEMORY_NO_STREAMS,
        "Of `--memory-max`, held",
        "groups that nobody plays are freed; new streams are refused: NetStream.Publish.Denied"
    ),
    limit!(
        Percent MEMORY_NO_PLAYERS,
        "Of `--memory-max`, held",
        "new players get NetStream.Play.Failed, connections are refused: `refused_memory`"
    ),
    limit!(
        Percent MEMORY_SHED,
        "Of `--memory-max`, held",
        "those that hold the most are closed little by little: `overload`"
    ),
    limit!(
        Percent MEMORY_SHED_HARD,
        "Of `--memory-max`, held",
        "the same at once, until 85 % are held: `overload`"
    ),
    limit!(
        Percent MEMORY_HYSTERESIS,
        "How far below each of these ends",
        "it goes on"
    ),
    limit!(
        OneIn SHED_SHARE,
        "Connections of a worker closed in a second little by little, and at least one",
        "the others go on"
    ),
    limit!(
        Bytes INPUT_BYTES_FREE,
        "Input that a connection keeps which does not publish, above 80 % of `--memory-max`",
        "closed before others: `overload`"
    ),
    limit!(
        Bytes CONNECTION_BYTES,
        "What a connection counts for besides its buffers",
        "counted"
    ),
    limit!(
        Time MEMORY_REVIEW,
        "How often that is counted; four times as often while memory is short",
        "counted"
    ),
    limit!(
        OneIn MEMORY_REVIEW_SHARE,
        "Of `--memory-max`, divided by the workers, received by one of them since it counted",
        "counted at once"
    ),
    limit!(
        Bytes MEMORY_REVIEW_BYTES,
        "The same, at the least",
        "counted at once"
    ),
    heading("Turns and deadlines of a worker"),
    limit!(
        Count WORKERS_MAX,
        "Workers",
        "no more are started"
    ),
    limit!(
        Count ACCEPTS_PER_TURN,
        "Connections accepted from a listener in a turn",
        "the rest in the next turn"
    ),
    limit!(
        Count WRITES_PER_TURN,
        "Writes to a player in a turn",
        "the rest in the next turn"
    ),
    limit!(
        Count SLICES_MAX,
        "Slices of a write",
        "the rest in the next write"
    ),
    limit!(
        Bytes STALLED_BYTES_MAX,
        "What players of a stream that take nothing keep together when its log has let go of it",
        "those that stalled first are closed: `stalled`"
    ),
    limit!(
        Bytes FILTERED_BYTES,
        "What is put together for a player without audio or video before it is written",
        "the rest in the next write"
    ),
    limit!(
        Bytes GATHERED_MESSAGE_BYTES,
        "Messages that are copied together for such a player",
        "sent by reference, but their header"
    ),
    limit!(
        Bytes JUMP_BACKLOG_BYTES_MAX,
        "Replies and headers that wait for a player which gets more of its stream",
        "only these are sent"
    ),
    limit!(
        Time LINGER,
        "For a connection to read why it is closed",
        "closed"
    ),
    limit!(
        Bytes READ_OFF_BYTES,
        "What is read of a connection in that time and dropped",
        "stays unread"
    ),
    limit!(
        Bytes READ_OFF_VIOLATOR_BYTES,
        "The same of one that broke the protocol, a limit or a deadline",
        "stays unread"
    ),
    limit!(
        Time CHECK_EVERY,
        "How often a quiet connection is looked at, at the least",
        "looked at"
    ),
    limit!(
        Time FEED_WAIT,
        "For a stream of another worker to arrive, at the least",
        "NetStream.Play.StreamNotFound"
    ),
    limit!(
        Time UNPUBLISH_GRACE,
        "For a publisher that has ended its stream to publish again, at most `--grace`",
        "its players are told and closed"
    ),
    limit!(
        Time ENDED_WAIT,
        "For a play of such a stream, for `--play-wait` after its end",
        "NetStream.Play.StreamNotFound"
    ),
    limit!(
        Count ENDED_MAX,
        "Streams remembered like that",
        "forgotten early"
    ),
    limit!(
        Time WARN_EVERY,
        "Between two warnings of one kind",
        "not written"
    ),
    limit!(
        Count LOG_LINES,
        "Lines of the log in a second for each reason",
        "counted: `unlogged`"
    ),
    limit!(
        Count PANIC_CHARS,
        "Characters of a panic in the log",
        "cut"
    ),
    limit!(
        Bytes LOG_QUEUE_BYTES,
        "Lines of the log that wait to be written",
        "dropped and counted: `unlogged`"
    ),
    limit!(
        Time LOG_FLUSH,
        "Wait for them to be written at the end",
        "the rest is lost"
    ),
    limit!(
        Count LOG_VALUE_CHARS,
        "Characters of a value in the log that a peer chose",
        "cut"
    ),
    heading("TLS and the PROXY protocol"),
    limit!(
        Bytes TLS_SEND_BYTES,
        "Encrypted bytes that wait for a socket",
        "no more is taken until they are sent"
    ),
    limit!(
        Bytes TLS_READ_BYTES,
        "Encrypted bytes of one read",
        "the rest is read next"
    ),
    limit!(
        Bytes TLS_IDLE_BYTES,
        "Encrypted bytes in one go with nothing in them",
        "closed: `tls`"
    ),
    limit!(
        Bytes TLS_CONNECTION_BYTES,
        "What TLS counts for on a connection",
        "counted"
    ),
    limit!(
        Time HANDSHAKE_TURN,
        "What a turn of a worker has for handshakes of TLS",
        "the rest waits for the next turn"
    ),
    limit!(
        Rate HANDSHAKE_STEPS,
        "Steps of handshakes from one address on a worker, unless `--max-per-address` is 0",
        "more wait; nobody is closed for it"
    ),
    limit!(
        Time HANDSHAKE_PAUSE,
        "How long they wait at a time",
        "looked at again"
    ),
    limit!(
        Count TLS_WORDS_CHARS,
        "Characters of the log about what TLS says is wrong",
        "cut"
    ),
    limit!(
        Bytes PROXY_V1_BYTES_MAX,
        "PROXY header, version 1",
        "closed: `proxy_header`"
    ),
    limit!(
        Bytes PROXY_V2_BYTES_MAX,
        "PROXY header, version 2",
        "closed: `proxy_header`"
    ),
    heading("HTTP"),
    limit!(
        Bytes HTTP_LINE_BYTES_MAX,
        "Request line",
        "414, closed: `http_request`"
    ),
    limit!(
        Bytes HTTP_HEAD_BYTES_MAX,
        "Head of a request",
        "431, closed: `http_request`"
    ),
    limit!(
        Count HTTP_FIELDS_MAX,
        "Header fields of a request",
        "431, closed: `http_request`"
    ),
    limit!(
        Bytes HTTP_INPUT_BYTES_MAX,
        "What comes while a request is answered",
        "closed: `http_surplus`"
    ),
    limit!(
        Bytes HTTP_ANSWER_BYTES,
        "Answers that wait to be sent when a further request is answered",
        "it waits"
    ),
    limit!(
        Rate HTTP_REQUESTS,
        "Requests, or WebSocket frames",
        "429, closed: `http_rate`"
    ),
    limit!(
        Bytes SUBPROTOCOL_BYTES,
        "A WebSocket subprotocol",
        "the next one offered is taken"
    ),
    limit!(
        Bytes PREFLIGHT_BYTES,
        "Header fields that a page of another origin asks for in a preflight",
        "none is allowed"
    ),
    limit!(
        Count USER_AGENT_CHARS,
        "Characters kept of User-Agent",
        "the rest is cut"
    ),
    limit!(
        Count ADMIN_CONNECTIONS_MAX,
        "Connections to `--admin` on each worker",
        "the oldest without a right to ask, or the oldest idle one, is closed: `idle`"
    ),
    limit!(
        Count ADMIN_UNKNOWN_MAX,
        "Of those, by peers that have not shown the token, or asked for anything that needs it",
        "the oldest of them is closed: `idle`"
    ),
    limit!(
        Time ADMIN_UNKNOWN_TIME,
        "How long such a connection may be open",
        "closed: `idle`"
    ),
    limit!(
        Count ADMIN_FILES,
        "Open files kept for `--admin`",
        "for clients as well"
    ),
    limit!(
        Time FLV_KIND_WAIT,
        "For a player by HTTP to know whether both sound and pictures come, when one has",
        "the FLV header says which came"
    ),
    limit!(
        Time FLV_MEDIA_WAIT,
        "The same when nothing has come of a stream that is live",
        "the FLV header says which have codec headers, or both"
    ),
    heading("Other servers"),
    limit!(
        Count HOPS_MAX,
        "Relays of this kind in a row",
        "connect rejected"
    ),
    limit!(
        Bytes VIA_BYTES_MAX,
        "Marker that names them",
        "cut off"
    ),
    limit!(
        Time RETRY_FIRST,
        "Wait after the first failure to reach a server",
        "doubles with each further failure"
    ),
    limit!(
        Time RETRY_MAX,
        "The longest such wait",
        "doubles no more"
    ),
    limit!(
        OneIn PUSHES_SHARE,
        "Of all connections, those to targets of --push",
        "called again later"
    ),
    limit!(
        Time PUSH_MOVE_TIME,
        "Refusals of a target that has asked for a new connection",
        "they count as refusals, for --push-strict too"
    ),
    limit!(
        Time MISSING_KEPT,
        "Memory of a stream that an origin does not have",
        "the origin is asked again; doubles each time"
    ),
    limit!(
        Time MISSING_KEPT_MAX,
        "The longest such memory",
        "doubles no more"
    ),
    limit!(
        Count MISSING_ASKERS_MAX,
        "Addresses that may each have such a stream asked for once before that",
        "wait until then"
    ),
    limit!(
        Count MISSING_MAX,
        "Streams remembered like that",
        "forgotten early"
    ),
    limit!(
        Time QUERY_KEPT,
        "Memory of a query that an origin has accepted",
        "an origin is asked about it again"
    ),
    limit!(
        Count QUERIES_MAX,
        "Queries remembered like that",
        "not remembered"
    ),
    limit!(
        Count QUERIES_TRIED,
        "Queries of one stream that are tried in turn",
        "the oldest is not tried"
    ),
    limit!(
        Rate FETCHES,
        "Fetches for players of one address that bring no stream",
        "begin later"
    ),
    limit!(
        Time FETCH_DELAY_MAX,
        "How much later",
        "the play gets NetStream.Play.StreamNotFound: `refused_fetches`"
    ),
    limit!(
        Rate ORIGIN_DIALS,
        "Connections to one origin or push target",
        "made later, those for what it did not have first"
    ),
    limit!(
        OneIn FETCHES_SHARE,
        "Of all connections, those to origins without media yet",
        "made later"
    ),
    limit!(
        Count FETCHES_LEAST,
        "The least that this comes to",
        "made later"
    ),
    limit!(
        OneIn LINGERING_SHARE,
        "Of all connections, those of fetched streams that nobody plays any more",
        "those that have been so longest end early"
    ),
    limit!(
        OneIn PLACES_KEPT_SHARE,
        "Of all connections, those that are free while streams linger like that",
        "they end early"
    ),
    limit!(
        Time FETCH_PAUSE,
        "Wait of a fetch for which there is no room",
        "tried again"
    ),
    limit!(
        Count ADDRESSES_TRIED,
        "Addresses of one name that are tried",
        "not tried"
    ),
    limit!(
        Time RESOLVED_KEPT,
        "Memory of the addresses of a name",
        "looked up again"
    ),
    limit!(
        Count LOOKUPS_MAX,
        "Names looked up at one time",
        "counts as a failure, tried again"
    ),
    heading("The listener and the configuration file"),
    limit!(
        Time LISTEN_ON,
        "Accepting what the kernel had begun to connect when the relay stops",
        "refused, or for another relay on the port"
    ),
    limit!(
        Time ACCEPT_PAUSE,
        "Pause of accept when no file is free",
        "connections wait in the backlog"
    ),
    limit!(
        Bytes CONFIG_FILE_BYTES_MAX,
        "Configuration file",
        "does not start"
    ),
    heading("Those who look, and bans"),
    limit!(
        Count QUESTIONS_MAX,
        "Questions of a worker to the others at one time",
        "answered with 503"
    ),
    limit!(
        Time ANSWER_WAIT,
        "Wait for a worker to answer",
        "shown as a worker that does not"
    ),
    limit!(Count PAGE_ROWS_MAX, "Rows of a list in one answer", "answered with 400"),
    limit!(
        Count METRIC_STREAMS_MAX,
        "Streams with series of their own in the metrics",
        "added up under a name of their own"
    ),
    limit!(
        Count CLIENT_CODECS_MAX,
        "Codecs that are told of a client",
        "left out"
    ),
    limit!(Count BANS_MAX, "Bans in force at one time", "answered with 409"),
    limit!(Time BAN_TIME_MAX, "Longest ban that ends by itself", "answered with 400"),
    limit!(Count BAN_REASON_CHARS, "Characters of the reason of a ban", "answered with 400"),
];

/// The table of limits for the README, in Markdown.
pub fn markdown_table() -> String {
    let mut table = "| Limit | Value | Beyond it |\n| --- | --- | --- |\n".to_owned();
    for limit in TABLE {
        let value = limit.value.show();
        // Writing to a string does not fail.
        let _ = if limit.constant.is_empty() {
            writeln!(table, "| **{}** | | |", limit.what)
        } else {
            writeln!(table, "| {} | {value} | {} |", limit.what, limit.beyond)
        };
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_in_their_units() {
        let shown = [
            Value::Count(20_000),
            Value::Bytes(1 << 20),
            Value::Bytes(128),
            Value::Bytes(64 << 10),
            Value::Time(Duration::from_millis(100)),
            Value::Time(Duration::from_secs(30)),
            Value::Rate(Rate::per_second(10, 2_000)),
            Value::Percent(70),
            Value::OneIn(4),
        ]
        .map(Value::show);
        let expected = [
            "20,000",
            "1 MiB",
            "128 bytes",
            "64 KiB",
            "100 ms",
            "30 s",
            "10 a second, 2,000 at once",
            "70 %",
            "one in 4",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn every_row_says_what_happens() {
        for limit in TABLE {
            let is_heading = limit.constant.is_empty();
            assert_eq!(limit.beyond.is_empty(), is_heading, "{}", limit.what);
            assert!(!limit.what.ends_with('.') && !limit.beyond.ends_with('.'));
        }
        let rows = TABLE.iter().filter(|limit| !limit.constant.is_empty());
        assert_eq!(markdown_table().lines().count(), TABLE.len() + 2);
        assert!(rows.count() > 0);
    }
}
