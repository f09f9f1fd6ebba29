//! Limits that are not flags: each with its unit and the reason for its value.
//!
//! A limit is here when an operator gains nothing by turning it; what they may turn is in
//! `flags::OPTIONS`. Nothing here reads the configuration. Where two limits lean on each other,
//! the relation is asserted below the later one, so that a change which breaks it does not
//! compile.
//!
//! The limits of the protocol are those of its crate, and are found here too.

use std::time::Duration;

pub use crate::rtmp::bucket;
pub use crate::rtmp::limits::*;
use bucket::Rate;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

// What is live.

/// The longest sequence header that is kept for players who come later, in bytes. It holds
/// parameter sets, which are small; a longer one is not one.
pub const SEQUENCE_HEADER_BYTES_MAX: usize = 64 * KIB;
const _: () = assert!(SEQUENCE_HEADER_BYTES_MAX <= AUDIO_MESSAGE_BYTES_MAX);

/// Metadata that is longer than a kept header may be is relayed without the lists in it that have
/// more bytes than this: the index of a file.
pub const METADATA_LIST_BYTES_MAX: usize = 4 * KIB;
const _: () = assert!(METADATA_LIST_BYTES_MAX <= SEQUENCE_HEADER_BYTES_MAX);

/// Sequence headers and metadata kept per stream: one audio and one video header for each of
/// several tracks, the metadata, and what else `@setDataFrame` keeps.
pub const HEADERS_MAX: usize = 32;

/// Data messages of other names than onMetaData that `@setDataFrame` keeps per stream, ...
pub const DATA_FRAMES_MAX: usize = 8;
const _: () = assert!(DATA_FRAMES_MAX < HEADERS_MAX);

/// ... and bytes of these together.
pub const DATA_FRAMES_BYTES_MAX: usize = 32 * KIB;

/// Bytes of all these together: what a player may be sent each time it starts or jumps, and what
/// each change holds anew. Metadata has some KB, the others some hundred bytes each.
pub const HEADERS_BYTES_MAX: usize = 256 * KIB;
const _: () = assert!(HEADERS_BYTES_MAX >= SEQUENCE_HEADER_BYTES_MAX + DATA_FRAMES_BYTES_MAX);
const _: () = assert!(HEADERS_BYTES_MAX <= COMMAND_BACKLOG_BYTES_MAX);

/// How often a stream may change its metadata and sequence headers. Encoders change them when
/// they start and with the picture size; what comes faster is relayed like any message, but not
/// kept for players who come later, since each change makes a new set; and it counts as odd.
pub const HEADER_CHANGES: Rate = Rate::per_second(10, 40);
// All headers of a stream with many tracks come at once.
const _: () = assert!(HEADER_CHANGES.burst() as usize >= HEADERS_MAX);

/// Bytes of the group of pictures a stream keeps for new players; past it the cache starts
/// again at the next key frame. The log's own size
/// (`--log-bytes`) bounds it too.
pub const GOP_BYTES_MAX: usize = 16 * MIB;
// What comes before the key frame must leave room for it.
const _: () = assert!(GOP_BYTES_MAX >= HEADERS_BYTES_MAX + VIDEO_MESSAGE_BYTES_MAX);

/// Messages in that group, sound included.
pub const GOP_FRAMES_MAX: usize = 2500;

/// Age of that group, by its timestamps or by the clock; encoders put key frames 1 to 10 s apart.
pub const GOP_AGE_MAX: Duration = Duration::from_secs(20);
// At 60 pictures and 47 AAC frames (48 kHz) a second, age is reached before count.
const _: () = assert!(GOP_FRAMES_MAX as u64 >= GOP_AGE_MAX.as_secs() * (60 + 47));

/// Sound without a coded picture for this long, by arrival, counts as sound alone: players may
/// start at any of its messages. Until then the last key frame is the better start: radio with a
/// still picture sends one every few seconds.
pub const PICTURES_GONE: Duration = Duration::from_secs(20);
const _: () = assert!(PICTURES_GONE.as_secs() >= GOP_AGE_MAX.as_secs());

/// Pictures that come without a key frame for this long, from a new publisher or since its last
/// key frame became too old for a start, go to everybody as they come: there may be none ever,
/// and encoders that have them put them 1 to 10 s apart.
pub const PICTURES_WAIT: Duration = Duration::from_secs(10);

/// Stream time that a player waits for the next key frame (`--gop-cache off`, play2) before it
/// starts with sound. Some groups are longer, and a second or two is the usual one.
pub const KEY_FRAME_WAIT: Duration = Duration::from_secs(5);

/// A timestamp that lies further back than this is a step, and its track goes on where the stream
/// is. So does one that lies further ahead of the clock, and one whose timestamps do not move for
/// so long. Jitter and reordered pictures stay below; a break of a second is seen.
pub const CLOCK_STEP_MAX: Duration = Duration::from_secs(1);

/// What comes faster than the clock may have pictures some seconds apart, and an origin sends the
/// past with the gaps it has: there a step ahead is one beyond this.
pub const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(10);
const _: () = assert!(CLOCK_AHEAD_MAX.as_secs() > CLOCK_STEP_MAX.as_secs());

/// Sound and pictures that begin further apart than this have clocks of their own. Encoders are
/// behind by a few seconds with one of them, on one clock.
pub const TRACKS_APART_MAX: Duration = Duration::from_secs(10);

/// How far headers and data may be stamped ahead of media; beyond that they are put where media
/// is, as they would be if it were behind.
pub const DATA_AHEAD_MAX: Duration = CLOCK_STEP_MAX;

/// The longest silence of a track that counts when it goes on after a step: of a machine that
/// slept, the players' time does not leap.
pub const CLOCK_GAP_MAX: Duration = Duration::from_secs(60);

// Memory of a worker.

/// Bytes of one receive ring, and so of one read. A connection holds one only while it has
/// unparsed bytes.
pub const RING_BYTES: usize = 64 * KIB;

/// Events taken from the kernel at one time.
pub const EVENTS_PER_POLL: usize = 1024;

/// Messages and requests parsed for one connection in one turn; the rest waits for the next.
/// A flood of tiny messages then delays others by little more than a large message does.
pub const MESSAGES_PER_TURN: usize = 2048;

/// So many of these a publish, a play or another request counts for: it may make a stream, or be
/// answered with all headers of one.
pub const REQUEST_MESSAGES: usize = 64;
const _: () = assert!(REQUEST_MESSAGES < MESSAGES_PER_TURN);

/// Bytes parsed in one turn for all connections that bring no media; those that have some share
/// them. Many that send commands at the same moment then delay the media of others by no more
/// than a few do.
pub const COMMANDS_TURN_BYTES: usize = 2 * MIB;

/// Messages of them in one turn.
pub const COMMANDS_TURN_MESSAGES: usize = 32 * 1024;

/// Bytes that are parsed for each of them in any case: a connect with all that follows.
pub const COMMANDS_BYTES_LEAST: usize = 2 * KIB;
const _: () = assert!(COMMANDS_TURN_BYTES > EVENTS_PER_POLL * COMMANDS_BYTES_LEAST / 2);

/// Empty rings a worker keeps for the next connections that have bytes, 1 MiB together.
pub const RINGS_KEPT: usize = 16;

/// Bytes of one block of a stream's log.
pub const BLOCK_BYTES: usize = 64 * KIB;

/// Bytes of the first blocks of a log: a publisher that sends next to nothing holds no more.
pub const FIRST_BLOCK_BYTES: [usize; 2] = [4 * KIB, 16 * KIB];
const _: () = assert!(FIRST_BLOCK_BYTES[1] < BLOCK_BYTES);

/// Empty blocks a worker keeps, 16 MiB together: what one stream with the default
/// `--log-bytes` frees when it ends.
pub const BLOCKS_KEPT: usize = 256;
const _: () = assert!(BLOCKS_KEPT * BLOCK_BYTES >= GOP_BYTES_MAX);

/// Bytes of one stream under way from the worker that has the publisher to one other worker;
/// a worker that falls further behind goes on at the next sync point.
pub const MAIL_BYTES_MAX: usize = 8 * MIB;
const _: () = assert!(MAIL_BYTES_MAX >= VIDEO_MESSAGE_BYTES_MAX);

// Who may come, and how much.

/// The relay does not start when the limit on open files leaves fewer connections than this, unless
/// `--max-connections` says that so few are wanted.
pub const CONNECTIONS_LEAST: usize = 16;

/// Connections that have neither published nor played yet may be one in so many of all: those
/// who open connections and do nothing cannot keep the others out.
pub const NEWCOMERS_SHARE: usize = 4;

/// So many of them are allowed in any case.
pub const NEWCOMERS_LEAST: usize = 64;

/// One in so many of them is kept for connections that speak RTMP, so that an audience which waits
/// by HTTP does not keep its publisher out.
pub const RTMP_NEWCOMERS_SHARE: usize = 4;

/// Idle connections by HTTP that are looked at for one that gives way to a newcomer: the oldest.
pub const IDLE_LOOKED_AT: usize = 256;

/// One address, as `--max-per-address` counts addresses, may have one more of what all share while
/// it has less than one in so many of those that are free, unless that is 0: of connections, of
/// newcomers, of `--max-streams`, of connections to push targets, and of those to origins. Few
/// addresses then never take all: four leave a half.
pub const ADDRESS_SHARE: usize = 4;
// A household that comes at once.
const _: () = assert!(NEWCOMERS_LEAST / (ADDRESS_SHARE + 1) >= 12);

/// Publishes from one address, as `--max-per-address` counts addresses, unless that is 0. A
/// hundred encoders behind one NAT that restart together all get in at once, and ten seconds
/// later again.
pub const PUBLISHES: Rate = Rate::per_second(10, 100);

/// Addresses without a connection that are remembered for their publishes, at the least, before
/// those with nothing to remember are looked for.
pub const ADDRESSES_KEPT: usize = 1024;

/// The time over which `--publish-bitrate-max` is an average: longer than a key frame takes to
/// arrive on a line that was blocked.
pub const BITRATE_TIME: Duration = Duration::from_secs(10);

/// A publisher that sends no audio and no video for this long is closed, whatever else it sends.
pub const MEDIA_IDLE: Duration = Duration::from_secs(60);

/// A player for which data waits all the time has to take so many bytes ...
pub const PROGRESS_BYTES: usize = 64 * KIB;

/// ... in this time, or in `--send-timeout` if that is longer: less than 18 kbit/s is no picture
/// and no sound, and a few bytes now and then must not keep a connection for ever.
pub const PROGRESS_TIME: Duration = Duration::from_secs(30);

/// The time in which `--skips-max` counts. No limit is set by default: a player that skips costs
/// no more memory than any other, and who watches on a bad line would rather see a picture now
/// and then than nothing.
pub const SKIPS_TIME: Duration = Duration::from_secs(30);

// Memory of the process.

/// The smallest `--memory-max` in bytes: below it, what workers keep spare would count for more
/// than what streams need.
pub const MEMORY_MAX_LEAST: usize = 64 * MIB;

/// Above so many hundredths of `--memory-max` groups of pictures that nobody plays are freed and
/// new streams are refused, ...
pub const MEMORY_NO_STREAMS: u64 = 70;

/// ... above so many new players and connections, ...
pub const MEMORY_NO_PLAYERS: u64 = 80;
const _: () = assert!(MEMORY_NO_STREAMS < MEMORY_NO_PLAYERS);

/// ... above so many those that hold the most are closed one after the other, ...
pub const MEMORY_SHED: u64 = 90;
const _: () = assert!(MEMORY_NO_PLAYERS < MEMORY_SHED);

/// ... and above so many at once, until so much is free that nobody is shed.
pub const MEMORY_SHED_HARD: u64 = 95;
const _: () = assert!(MEMORY_SHED < MEMORY_SHED_HARD && MEMORY_SHED_HARD < 100);

/// Each of these ends so many hundredths below where it began.
pub const MEMORY_HYSTERESIS: u64 = 5;
const _: () = assert!(MEMORY_HYSTERESIS < MEMORY_NO_STREAMS);

/// A worker that sheds little by little closes one in so many of its connections each second, and
/// at least one.
pub const SHED_SHARE: usize = 100;

/// When new players and connections have been refused for so long because memory is short,
/// connections of addresses that hold more than [`MEMORY_PART`] allows are closed.
pub const MEMORY_REFUSED_MAX: Duration = Duration::from_secs(10);

/// While new players and connections are refused, one address may hold this fraction of the memory
/// of a worker: one part in so many.
pub const MEMORY_PART: usize = 6;

/// Bytes of what it has sent that a connection which does not publish may keep: a command that is
/// under way. Above [`MEMORY_NO_PLAYERS`] those that keep more go before others are refused.
pub const INPUT_BYTES_FREE: usize = 4 * KIB;
const _: () = assert!(INPUT_BYTES_FREE < UNAUTHORISED_MESSAGE_BYTES_MAX);

/// What a connection counts for in bytes, besides buffers that are counted as they are: itself,
/// its session and its place in lists and timers.
pub const CONNECTION_BYTES: usize = 2 * KIB;

/// How often a worker counts what it holds; four times as often while memory is short.
pub const MEMORY_REVIEW: Duration = Duration::from_secs(1);

/// It counts at once when one in so many of `--memory-max`, divided by the workers, has come since
/// the last time, ...
pub const MEMORY_REVIEW_SHARE: usize = 32;
// Less than the distance between two steps.
const _: () = assert!(100 / (MEMORY_REVIEW_SHARE as u64) < MEMORY_HYSTERESIS);

/// ... and at least so many bytes.
pub const MEMORY_REVIEW_BYTES: usize = 256 * KIB;

// Turns and deadlines of a worker.

/// Workers, also on a machine with more cores: sets of them are the bits of one number.
pub const WORKERS_MAX: usize = 64;
const _: () = assert!(WORKERS_MAX <= u64::BITS as usize);

/// Connections accepted from one listener in one turn.
pub const ACCEPTS_PER_TURN: usize = 256;

/// Writes one player may get in one turn: one for what is new, more when it catches up.
pub const WRITES_PER_TURN: usize = 4;

/// Slices one write may have; the kernel takes 1,024.
pub const SLICES_MAX: usize = 64;

/// Bytes put together for a player with a form of its own (without audio or video, or on another
/// message stream) before they are written.
pub const FILTERED_BYTES: usize = 64 * KIB;
const _: () = assert!(COMMAND_BACKLOG_BYTES_MAX >= OUT_BYTES_MAX + FILTERED_BYTES);

/// Messages up to this many bytes are copied together for such a player, so that one write has
/// many of them; of longer ones the header is copied and the rest sent from the log.
pub const GATHERED_MESSAGE_BYTES: usize = 8 * KIB;
// What is copied before it and its rest: a write can have all that is put together.
const _: () = assert!(2 * FILTERED_BYTES / GATHERED_MESSAGE_BYTES <= SLICES_MAX);

/// Bytes of one stream that players of a worker may keep together which have stopped reading, after
/// the log has let go of them: a few large key frames.
pub const STALLED_BYTES_MAX: usize = 8 * MIB;
const _: () = assert!(STALLED_BYTES_MAX > 64 * FILTERED_BYTES);

/// Replies and headers in bytes that may wait for a player that is given more of the log; with
/// more it gets only these. Else one that takes little would hold all headers of its stream once
/// for each time it jumps.
pub const JUMP_BACKLOG_BYTES_MAX: usize = 256 * KIB;
const _: () = assert!(JUMP_BACKLOG_BYTES_MAX <= COMMAND_BACKLOG_BYTES_MAX);

/// How long a connection that was told why it is closed may take to read that.
pub const LINGER: Duration = Duration::from_secs(1);

/// Bytes that are read of a connection in that time, and dropped, so that what it sends meanwhile
/// does not have it reset before it has read why: a publisher of 60 Mbit/s.
pub const READ_OFF_BYTES: u32 = 8 << 20;

/// The same of a connection whose peer broke the protocol, a limit or a deadline, and of one to
/// another server that nobody has use for any more: what is under way from an encoder.
pub const READ_OFF_VIOLATOR_BYTES: u32 = 256 << 10;
const _: () = assert!(READ_OFF_VIOLATOR_BYTES < READ_OFF_BYTES);

/// How often a connection with no nearer deadline is looked at, at the least.
pub const CHECK_EVERY: Duration = Duration::from_secs(10);

/// A stream that lives on another worker has this long to arrive, even when plays do not wait.
pub const FEED_WAIT: Duration = Duration::from_secs(2);

/// A publisher that has ended its stream (FCUnpublish, closeStream, deleteStream) may publish it
/// again within this time, and its players stay for that; shorter if `--grace` is.
pub const UNPUBLISH_GRACE: Duration = Duration::from_secs(2);

/// A play of a stream that its publisher has ended waits this long for another publish.
pub const ENDED_WAIT: Duration = Duration::from_millis(500);
const _: () = assert!(ENDED_WAIT.as_millis() < UNPUBLISH_GRACE.as_millis());

/// Streams that are remembered to have been ended by their publishers, each for `--play-wait`.
pub const ENDED_MAX: usize = 10_000;

/// A warning that may repeat is written at most this often.
pub const WARN_EVERY: Duration = Duration::from_secs(10);

/// Lines a second for each reason a connection can end or be refused for, in the whole process;
/// what is left out is counted and told. With `--log debug` nothing is left out.
pub const LOG_LINES: u32 = 10;

/// Characters of the words of a panic that are logged.
pub const PANIC_CHARS: usize = 200;

/// Lines of the log that wait for standard error, in bytes. Enough for a burst of thousands of
/// lines; a reader that stops costs no more than this.
pub const LOG_QUEUE_BYTES: usize = 1024 * 1024;

/// How long the end of the process waits for them to be written.
pub const LOG_FLUSH: Duration = Duration::from_secs(1);

/// Characters of a value in the log that a peer chose. More than a name has.
pub const LOG_VALUE_CHARS: usize = 300;
const _: () = assert!(LOG_VALUE_CHARS > NAME_BYTES_MAX);

/// How long a player by HTTP waits for the second kind of media, sound or pictures, when one has
/// come: the header of its file says which come.
pub const FLV_KIND_WAIT: Duration = Duration::from_secs(1);

/// How long it waits for any media of a stream that is live.
pub const FLV_MEDIA_WAIT: Duration = Duration::from_secs(3);
const _: () = assert!(FLV_KIND_WAIT.as_millis() < FLV_MEDIA_WAIT.as_millis());

// Other servers.

/// Relays a connection may have come through; one more is refused.
pub const HOPS_MAX: usize = 8;

/// Bytes of the marker that names them, and those that wait beside them: sixty in all.
pub const VIA_BYTES_MAX: usize = 1_024;
// An id has 16 characters, and a comma follows it.
const _: () = assert!(VIA_BYTES_MAX >= 17 * HOPS_MAX);

/// Redirects of other servers that are followed in a row.
pub const REDIRECTS_MAX: u8 = 3;

/// Metadata and codec headers of an origin that are kept until its first media, ...
pub const EARLY_HEADERS_MAX: usize = 64;

/// ... and their bytes. The oldest are forgotten, and count as odd.
pub const EARLY_HEADERS_BYTES_MAX: usize = MIB;

/// The wait after the first failure to reach another server, ...
pub const RETRY_FIRST: Duration = Duration::from_millis(500);

/// ... and the longest one; it doubles in between.
pub const RETRY_MAX: Duration = Duration::from_secs(8);
const _: () = assert!(RETRY_FIRST.as_millis() < RETRY_MAX.as_millis());

/// Connections to targets that streams are handed on to may be one in so many of all. Whoever may
/// publish makes as many as there are rules with each stream, and players are to get in as well.
pub const PUSHES_SHARE: usize = 2;

/// How long refusals of a target that has asked for a new connection do not count as such: it is
/// about to stop, and so may be the one that it sends its clients to.
pub const PUSH_MOVE_TIME: Duration = Duration::from_secs(30);
const _: () = assert!(PUSH_MOVE_TIME.as_millis() > RETRY_MAX.as_millis());

/// A server that had no such stream is not asked for it again for this long, ...
pub const MISSING_KEPT: Duration = Duration::from_secs(2);

/// ... and each further time it does not have it for twice as long, up to this.
pub const MISSING_KEPT_MAX: Duration = Duration::from_secs(32);
const _: () = assert!(MISSING_KEPT.as_secs() < MISSING_KEPT_MAX.as_secs());

/// Addresses whose players may each have a missing stream asked for once before that time is over.
pub const MISSING_ASKERS_MAX: usize = 8;

/// The worker that fetches a stream remembers so many addresses of players on other workers.
pub const PULL_ASKERS_MAX: usize = 16;

/// Streams that servers did not have which are remembered at one time; beyond that the oldest
/// are forgotten early.
pub const MISSING_MAX: usize = 10_000;

/// How long a query that an origin has accepted counts as accepted, where rules have `{query}`.
pub const QUERY_KEPT: Duration = Duration::from_secs(60);

/// Accepted queries, and streams of which such are known, that are remembered at one time.
pub const QUERIES_MAX: usize = 10_000;

/// Accepted queries of one stream that are tried in turn when its origins are asked anew.
pub const QUERIES_TRIED: usize = 4;

/// Fetches that the players of one address begin, as `--max-per-address` counts addresses, unless
/// that is 0. One that brings a stream does not count: a crowd behind one address zaps as it
/// likes, and who asks for what nobody has waits.
pub const FETCHES: Rate = Rate::per_second(5, 100);

/// A fetch that would be more than that begins later, at most by this.
pub const FETCH_DELAY_MAX: Duration = Duration::from_secs(10);

/// Connections made to one origin or push target. A port that this relay has used is not free for
/// a minute, and there are 28,000 towards one address.
pub const ORIGIN_DIALS: Rate = Rate::per_second(200, 500);
const _: () = assert!(ORIGIN_DIALS.burst() + 60 * ORIGIN_DIALS.plainly().0 < 14_000);

/// Connections to origins that have brought no media yet may be one in so many of all, ...
pub const FETCHES_SHARE: usize = 8;

/// ... and are at least so many.
pub const FETCHES_LEAST: usize = 64;

/// Fetched streams that linger for nobody may be one in so many of all connections; beyond that
/// those that have lingered longest end.
pub const LINGERING_SHARE: usize = 8;

/// While fewer than one in so many of all connections are free, none lingers.
pub const PLACES_KEPT_SHARE: usize = 16;

/// How long a fetch waits when there are too many, before it tries again.
pub const FETCH_PAUSE: Duration = Duration::from_millis(250);

/// Addresses of one name that are tried.
pub const ADDRESSES_TRIED: usize = 8;

/// How long the addresses of a name are taken as known.
pub const RESOLVED_KEPT: Duration = Duration::from_secs(30);

/// Names that are looked up at one time, each on a thread of its own; a slow one holds up those
/// who ask for it and nobody else, as long as there are fewer than this.
pub const LOOKUPS_MAX: usize = 16;

// The listener.

/// How long a relay that stops still accepts what the kernel had begun to connect.
pub const LISTEN_ON: Duration = Duration::from_millis(500);

/// How long a listener rests after `accept` found no free descriptor (EMFILE, ENFILE). The
/// kernel does not tell an edge-triggered poll again, so that only a timer can go on.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

// TLS and the PROXY protocol.

/// Encrypted bytes of a connection that may wait for its socket, and so what is encrypted at one
/// time: four records of full length for one write of the kernel.
pub const TLS_SEND_BYTES: usize = 64 * KIB;

/// Encrypted bytes read at one time, on the stack: a record of full length.
pub const TLS_READ_BYTES: usize = 16 * KIB;

/// Encrypted bytes that may come in one go without anything in them, in handshakes and records
/// without content.
pub const TLS_IDLE_BYTES: usize = 64 * KIB;
const _: () = assert!(TLS_IDLE_BYTES >= TLS_READ_BYTES);

/// What a TLS connection counts for in bytes besides [`CONNECTION_BYTES`]: a hundred players
/// grew the process by that much each.
pub const TLS_CONNECTION_BYTES: usize = 8 * KIB;

/// How long a turn of a worker goes on with handshakes; the rest waits for the next turn. Players
/// wait for no more than this and one signature.
pub const HANDSHAKE_TURN: Duration = Duration::from_millis(5);

/// Steps of handshakes of one address on one worker; a whole one has two or three. More wait.
pub const HANDSHAKE_STEPS: Rate = Rate::per_second(100, 200);

/// How long those wait at a time.
pub const HANDSHAKE_PAUSE: Duration = Duration::from_millis(20);

/// Characters of what TLS says is wrong that are logged.
pub const TLS_WORDS_CHARS: usize = 200;

/// Bytes of a PROXY header of version 1, as the protocol has it.
pub const PROXY_V1_BYTES_MAX: usize = 107;

/// Bytes of a PROXY header of version 2: 16, and as many more as the protocol expects to go in
/// one packet everywhere.
pub const PROXY_V2_BYTES_MAX: usize = 16 + 536;
const _: () = assert!(PROXY_V1_BYTES_MAX <= PROXY_V2_BYTES_MAX);

// Those who look.

/// How long a request to the admin port waits for workers before it is answered without.
pub const ANSWER_WAIT: Duration = Duration::from_secs(1);

/// Rows of a list in one answer.
pub const PAGE_ROWS_MAX: usize = 1_000;

/// Streams that have series of their own in the metrics; the others are added up under the name
/// `other`.
pub const METRIC_STREAMS_MAX: usize = 2_000;

/// Bans in force at one time; a further one is refused.
pub const BANS_MAX: usize = 1_024;

/// The longest ban that ends by itself.
pub const BAN_TIME_MAX: Duration = Duration::from_secs(365 * 86_400);

/// Characters of a ban's reason, which clients are told.
pub const BAN_REASON_CHARS: usize = 100;

// The configuration file.

/// Bytes of a `--config` file; a longer one is the wrong file, or a device that never ends.
pub const CONFIG_FILE_BYTES_MAX: usize = MIB;

// HTTP.

/// Longest request line of HTTP. Longer ones are answered with 414.
pub const HTTP_LINE_BYTES_MAX: usize = 8 * KIB;

/// Longest head of an HTTP request. Longer ones are answered with 431.
pub const HTTP_HEAD_BYTES_MAX: usize = 16 * KIB;

/// Most header fields of an HTTP request: browsers send 20, behind proxies 30.
pub const HTTP_FIELDS_MAX: usize = 64;

/// Bytes of further requests, or of WebSocket frames, that wait for their turn.
pub const HTTP_INPUT_BYTES_MAX: usize = 2 * HTTP_HEAD_BYTES_MAX;

/// Bytes of answers that may wait to be sent when a further request is answered: who asks and does
/// not read is not heard.
pub const HTTP_ANSWER_BYTES: usize = 64 * KIB;

/// HTTP requests, or WebSocket frames, of one connection. A status page asks thrice a second, a
/// browser's burst at the start of a page is a dozen.
pub const HTTP_REQUESTS: Rate = Rate::per_second(20, 120);

/// Bytes of a WebSocket subprotocol that is answered; a longer one is passed over.
pub const SUBPROTOCOL_BYTES: usize = 128;

/// Names of header fields that a page of another origin is told it may send, in bytes together.
pub const PREFLIGHT_BYTES: usize = KIB;

/// What is kept of User-Agent.
pub const USER_AGENT_CHARS: usize = 128;

/// Connections to the admin port; they come in when all others are refused.
pub const ADMIN_CONNECTIONS_MAX: usize = 32;

/// How many of these may belong to peers that have not shown the right to ask anything, ...
pub const ADMIN_UNKNOWN_MAX: usize = ADMIN_CONNECTIONS_MAX / 2;

/// ... and to those among them from one address. Browsers open six.
pub const ADMIN_UNKNOWN_PER_ADDRESS: usize = ADMIN_UNKNOWN_MAX / 2;

/// How long such a connection may be open.
pub const ADMIN_UNKNOWN_TIME: Duration = Duration::from_secs(5);

/// Open files that are kept for the admin port where there is one: for its connections, for one
/// that takes the place of another, and for what is read to answer them.
pub const ADMIN_FILES: usize = ADMIN_CONNECTIONS_MAX + 8;

/// How often the figures are written down for others.
pub(crate) const STATS_EVERY: Duration = Duration::from_millis(250);

/// How often what was left out of the log is told, and rates are worked out.
pub(crate) const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(1);

/// How often streams are compared with the registry.
pub(crate) const AUDIT_EVERY: Duration = Duration::from_secs(1);
