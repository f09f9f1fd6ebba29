//! The limits of the protocol, each with its unit and the reason for its value.
//!
//! They bound what a peer can make a session hold, do and answer, whatever it sends. Where two
//! limits lean on each other, the relation is asserted below the later one, so that a change which
//! breaks it does not compile.
//!
//! *Unauthorised* below: a connection that is not an accepted publisher. A client that has not
//! been accepted yet has only commands to send, and a player has nothing else later either, so
//! both are kept small.

use core::time::Duration;

use crate::bucket::Rate;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

// Chunks and messages coming in.

/// Chunk stream ids one connection may have in use. Their count is bounded and not
/// their value: DJI Osmo Action sends on 33, some encoders on 64.
pub const CHUNK_STREAMS_MAX: usize = 64;

/// Messages of one connection that may be incomplete at one time. Audio, video, data and a
/// command can interleave; twice that is room for multitrack.
pub const PARTIAL_MESSAGES_MAX: usize = 8;
const _: () = assert!(PARTIAL_MESSAGES_MAX <= CHUNK_STREAMS_MAX);

/// The same for an unauthorised connection: a command, and a control message between its chunks.
pub const UNAUTHORISED_PARTIAL_MESSAGES_MAX: usize = 2;
const _: () = assert!(UNAUTHORISED_PARTIAL_MESSAGES_MAX <= PARTIAL_MESSAGES_MAX);

/// The longest video message of a publisher in bytes. Key frames in 4K exceed 1 MiB.
pub const VIDEO_MESSAGE_BYTES_MAX: usize = 8 * MIB;
// RTMP 1.0 §5.3.1.2.5: the length of a message is a field of three bytes.
const _: () = assert!(VIDEO_MESSAGE_BYTES_MAX <= 0xFF_FFFF);

/// The longest audio message of a publisher in bytes: seconds of uncompressed sound.
pub const AUDIO_MESSAGE_BYTES_MAX: usize = MIB;
const _: () = assert!(AUDIO_MESSAGE_BYTES_MAX <= VIDEO_MESSAGE_BYTES_MAX);

/// The longest data message of a publisher in bytes. onMetaData of a file may bring an index along:
/// of a day with a key frame each second it has 1.5 MB.
pub const DATA_MESSAGE_BYTES_MAX: usize = 2 * MIB;
const _: () = assert!(DATA_MESSAGE_BYTES_MAX <= VIDEO_MESSAGE_BYTES_MAX);

/// The longest message of any other kind (command, control) of a publisher in bytes.
pub const OTHER_MESSAGE_BYTES_MAX: usize = 256 * KIB;
const _: () = assert!(OTHER_MESSAGE_BYTES_MAX <= AUDIO_MESSAGE_BYTES_MAX);

/// The longest message of any kind on an unauthorised connection in bytes: a `connect` with all
/// its URLs at [`NAME_BYTES_MAX`] and [`QUERY_BYTES_MAX`], several times over.
pub const UNAUTHORISED_MESSAGE_BYTES_MAX: usize = 64 * KIB;
const _: () = assert!(UNAUTHORISED_MESSAGE_BYTES_MAX <= OTHER_MESSAGE_BYTES_MAX);

/// Bytes all incomplete messages of a publisher may hold together: one longest video message
/// and as much again for what interleaves with it. An aggregate that is being taken apart is held
/// besides, at most a longest video message.
pub const PARTIAL_BYTES_MAX: usize = 16 * MIB;
const _: () = assert!(PARTIAL_BYTES_MAX >= VIDEO_MESSAGE_BYTES_MAX + AUDIO_MESSAGE_BYTES_MAX);

/// The same for an unauthorised connection: as many longest messages as may be incomplete.
pub const UNAUTHORISED_PARTIAL_BYTES_MAX: usize = 128 * KIB;
const _: () = assert!(
    UNAUTHORISED_PARTIAL_BYTES_MAX
        >= UNAUTHORISED_PARTIAL_MESSAGES_MAX * UNAUTHORISED_MESSAGE_BYTES_MAX
);

/// How long an incomplete message may be without a new byte before the connection closes.
/// Encoders interleave within a second; what takes longer has been given up by its sender, or is
/// there to hold memory.
pub const PARTIAL_MESSAGE_WAIT: Duration = Duration::from_secs(30);

/// How long an incomplete message may be incomplete at all: the longest video message at
/// 560 kbit/s. A byte now and then must not keep it for ever.
pub const PARTIAL_MESSAGE_TIME: Duration = Duration::from_secs(120);
const _: () = assert!(PARTIAL_MESSAGE_TIME.as_secs() > PARTIAL_MESSAGE_WAIT.as_secs());

/// Bytes of a buffer that is kept when the message in it has gone, for the next message that is
/// cut by the end of a read. One buffer for each connection.
pub const SPARE_BYTES_MAX: usize = 64 * KIB;
const _: () = assert!(SPARE_BYTES_MAX <= UNAUTHORISED_PARTIAL_BYTES_MAX);

/// Chunk streams of a connection up to which each keeps its list of chunks for reuse: a list for
/// a whole read of the smallest chunks has 8 KiB. Beyond that a connection keeps none.
pub const CHUNK_LISTS_KEPT: usize = PARTIAL_MESSAGES_MAX;

/// Messages of one connection, parts of aggregates and messages that nobody reads included.
/// Encoders send 100 to 200 a second, and more at once after a break.
pub const MESSAGES: Rate = Rate::per_second(20_000, 40_000);

/// Events of one connection that the protocol allows and no working peer makes many of: unknown
/// message types, events and commands, messages of no length (but audio, where it means silence),
/// commands and media for message streams that are not there, aborts of nothing.
pub const GLITCHES: Rate = Rate::new(500, 10, 500);

/// The smallest chunk size in bytes a peer may set; below it the connection closes. Smaller
/// chunks cost the reader more work per byte, and RTMP 1.0 §5.4.1 wants no less than 128.
pub const CHUNK_SIZE_IN_MIN: u32 = 128;

/// A chunk size above this many bytes is taken as this: no message is longer, so a larger chunk
/// cannot occur. Peers do announce more (joy4 128 MiB).
pub const CHUNK_SIZE_IN_CAP: u32 = 0xFF_FFFF;
const _: () = assert!(CHUNK_SIZE_IN_MIN <= CHUNK_SIZE_IN_CAP);
const _: () = assert!(CHUNK_SIZE_IN_CAP as usize >= VIDEO_MESSAGE_BYTES_MAX);

/// Set Chunk Size messages of one connection. Encoders send one or two in all.
pub const CHUNK_SIZES: Rate = Rate::new(10, 60, 10);

// Commands.

/// AMF0 objects and arrays that may be open at one time. Decoding recurses, so this bounds the
/// stack; GStreamer uses the same.
pub const AMF_DEPTH_MAX: u8 = 16;

/// AMF0 values in one message, nested ones included: what one message may cost to decode, since
/// a value can be a single byte.
pub const AMF_NODES_MAX: u32 = 4096;
const _: () = assert!(AMF_NODES_MAX > AMF_DEPTH_MAX as u32);

/// The same for an unauthorised connection, of which only commands are decoded.
pub const COMMAND_AMF_NODES_MAX: u32 = 1024;
const _: () = assert!(COMMAND_AMF_NODES_MAX <= AMF_NODES_MAX);
const _: () = assert!(COMMAND_AMF_NODES_MAX > AMF_DEPTH_MAX as u32);

/// Message streams one connection may have open; a further `createStream` gets `_error`.
/// Clients use one, Flash players that call `createStream` repeatedly a few, encoders that
/// publish several bit rates on one connection one for each. Each may publish.
pub const MESSAGE_STREAMS_MAX: usize = 8;

/// Plays of one connection at one time; a further one gets `NetStream.Play.Failed`. Players have
/// one, or a second that they go over to.
pub const PLAYS_MAX: usize = 4;
const _: () = assert!(PLAYS_MAX <= MESSAGE_STREAMS_MAX);

/// play, play2 and publish commands of one connection. Players that pause with closeStream and
/// play again (JW Player, Flowplayer) are driven by a hand.
pub const STREAM_COMMANDS: Rate = Rate::new(20, 60, 20);
const _: () = assert!(STREAM_COMMANDS.burst() as usize >= PLAYS_MAX + MESSAGE_STREAMS_MAX);

/// pause, seek, receiveAudio and receiveVideo commands of one connection: a hand that drags along
/// a time bar.
pub const PLAYER_COMMANDS: Rate = Rate::per_second(20, 100);

/// Seeks of one connection that are followed. Each has a group of pictures sent again, of 16 MiB at
/// the most, for a command of some bytes.
pub const SEEKS: Rate = Rate::new(12, 60, 6);
const _: () = assert!(SEEKS.burst() < PLAYER_COMMANDS.burst());

/// Calls and pings of one connection that are answered. The FMLE family sends releaseStream,
/// FCPublish, createStream and `_checkbw` in one packet, ffplay createStream, getStreamLength and
/// FCSubscribe: four for each message stream there may be. What a session says by itself, and what
/// accepts, refuses and ends a publish or play, is not counted; other rates bound that.
pub const REPLIES: Rate = Rate::per_second(10, 32);
const _: () = assert!(REPLIES.burst() as usize >= 4 * MESSAGE_STREAMS_MAX);

/// Calls and pings of one connection that go unanswered because they came too fast.
pub const UNANSWERED: Rate = Rate::new(1, 10, 1_000);
const _: () = assert!(UNANSWERED.burst() >= REPLIES.burst());

/// Bytes in the name of an app or of a stream: room for a long key, and short enough to log.
pub const NAME_BYTES_MAX: usize = 256;

/// Bytes in the query behind a name: room for a signed token.
pub const QUERY_BYTES_MAX: usize = 2048;
// A publish or play command with both at their longest still fits into one message.
const _: () = assert!(2 * (NAME_BYTES_MAX + QUERY_BYTES_MAX) <= UNAUTHORISED_MESSAGE_BYTES_MAX);

/// Bytes of control replies that may wait for a connection to take them; more means that the
/// peer makes us answer and does not read.
pub const OUT_BYTES_MAX: usize = 256 * KIB;
// The longest reply repeats a name with its query; a few hundred of them fit.
const _: () = assert!(OUT_BYTES_MAX >= 64 * (NAME_BYTES_MAX + QUERY_BYTES_MAX));

/// Bytes that may wait for a connection when one more pause, seek, receiveAudio or receiveVideo
/// comes, which may be answered with all headers of a stream; more ends the connection.
pub const COMMAND_BACKLOG_BYTES_MAX: usize = MIB;
const _: () = assert!(COMMAND_BACKLOG_BYTES_MAX >= OUT_BYTES_MAX);

/// Bytes kept of what a server says in a status to us as its client: codes and descriptions are
/// short, and both go into logs.
pub const STATUS_TEXT_BYTES_MAX: usize = 256;

/// Bytes of a URL that a server redirects us to; a longer one is not followed.
pub const REDIRECT_BYTES_MAX: usize = 1_024;

/// Bytes of an emptied reply buffer that a connection keeps for the next reply; a larger one is
/// given back.
pub const OUTBOX_KEPT_BYTES: usize = 512;

/// The acknowledgement window in bytes while the peer has named none. Some encoders stop without
/// acknowledgements although they never asked for them.
pub const ACK_WINDOW_DEFAULT: u32 = 2_500_000;

/// A peer that asks to be acknowledged more often than every so many bytes is not obeyed.
pub const ACK_WINDOW_MIN: u32 = 64 * 1024;
const _: () = assert!(ACK_WINDOW_MIN <= ACK_WINDOW_DEFAULT);

/// Audio, video and data a connection may send while it does not publish, in bytes; phones and
/// action cameras send some before their publish is accepted. It is dropped; more ends the
/// connection.
pub const EARLY_MEDIA_BYTES_MAX: u64 = 1024 * 1024;

/// Codecs that a client may name in connect and that are told of it.
pub const CLIENT_CODECS_MAX: usize = 16;
