//! Fuzz entries of what has state: the chunk reader and both sessions. Each takes any bytes and
//! panics where something is wrong; the leaves (handshake, AMF0, media, names) have theirs beside
//! them. The targets in fuzz/ and the tests drive them; the relay does not.
//!
//! ```text
//!   flags | verdicts | number of cuts | cuts ... | what the peer sends
//! ```
//!
//! What the peer sends is either bytes as on the wire or, under [`SCRIPTED`], a list of messages
//! and commands from which the wire is made (see `Composer`), so that a change of one byte does
//! not lose every length behind it. It is read in one piece, in the pieces of the cuts and with
//! the input given up after each event; all have to tell the same. A bit of the verdicts decides
//! about each request.
//!
//! Asserted besides: incomplete messages stay within the budget of the role, what is sent stays
//! within a multiple of what came and reads as whole messages, and no input is left unread.

use super::amf0::Encoder;
use super::client::{Action, ClientEvent, ClientRequest, ClientSession};
use super::command::Status;
use super::control::{Control, UserControl};
use super::error::ProtocolError;
use super::handshake::Mode;
use super::message::{Message, MessageHeader, Payload, Timestamp, kind};
use super::reader::{CHUNK_SIZE_INITIAL, ChunkReader, ReaderLimits};
use super::server::{Event, Request, ServerSession, WireSettings};
use super::writer::write_message;
use crate::limits;

/// Flag: hands are shaken before the input begins.
pub const SHAKEN: u8 = 0x01;
/// Flag: the input is a list of messages and commands, not bytes of the wire.
pub const SCRIPTED: u8 = 0x02;
/// Flag: publish and play are answered when the next thing happens and not at once.
pub const LATE: u8 = 0x04;
/// Flag: the peer never takes what it is sent.
pub const DEAF: u8 = 0x08;
/// Flag, client: it plays and does not publish. Chunk reader: the limits of a publisher.
pub const PLAY: u8 = 0x10;
/// Flag, client: it offers a digest. Chunk reader: limits of a few hundred bytes.
pub const DIGEST: u8 = 0x20;

/// What is sent, the handshake left out, has at most so many bytes for each that came. The dearest
/// is a play of a few bytes: its statuses repeat an app named once, at most
/// [`NAME_BYTES_MAX`](limits::NAME_BYTES_MAX) long.
const REPLY_FACTOR: usize = 100;
/// Bytes that may be sent beyond that: our handshake, and the result of connect.
const REPLY_FLOOR: usize = 8_192;
/// Bytes of the wire that are made of a script; what is left of it then goes unused.
const WIRE_BYTES_MAX: usize = 128 * 1_024;
/// Bytes of C0 to C2, and of S0 to S2.
const HANDSHAKE_BYTES: usize = 1 + 2 * 1_536;

const WIRE: WireSettings = WireSettings {
    chunk_size: 4_096,
    window_ack: 2_500_000,
};

/// What an input came to, so that a test can see that its seeds get anywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Messages, requests and statuses.
    pub events: usize,
    /// Audio, video and data among them.
    pub media: usize,
    /// Messages sent, acknowledgements left out.
    pub replies: usize,
    /// The code of the error that ended it.
    pub end: Option<&'static str>,
}

/// What the peer of `data` sends, as on the wire, for those who drive a session themselves.
pub fn wire(data: &[u8]) -> Vec<u8> {
    Script::new(data).map_or_else(Vec::new, |script| script.wire())
}

/// Reads `data` as a chunk stream, see the module text.
pub fn chunks(data: &[u8]) -> Reached {
    let Some(script) = Script::new(data) else {
        return Reached::default();
    };
    let wire = script.wire();
    let whole = read_chunks(&script, &[&wire]);
    assert_alike(&whole, &read_chunks(&script, &script.pieces(&wire)));
    let bytes: Vec<&[u8]> = wire.chunks(1).collect();
    assert_alike(&whole, &read_chunks(&script, &bytes));
    whole.reached()
}

/// Reads `data` as what a client sends, see the module text.
pub fn server(data: &[u8]) -> Reached {
    compare(data, |script| Peer::Server(Server::new(script)))
}

/// Reads `data` as what a server sends, see the module text.
pub fn client(data: &[u8]) -> Reached {
    compare(data, |script| Peer::Client(Client::new(script)))
}

fn compare<'a>(data: &'a [u8], begin: impl Fn(&Script<'a>) -> Peer) -> Reached {
    let Some(script) = Script::new(data) else {
        return Reached::default();
    };
    let wire = script.wire();
    let whole = Run::new(begin(&script), script.flags).read(&[&wire], false);
    let cut = Run::new(begin(&script), script.flags).read(&script.pieces(&wire), false);
    assert_alike(&whole, &cut);
    let held = Run::new(begin(&script), script.flags).read(&[&wire], true);
    assert_alike(&whole, &held);
    whole.reached()
}

// ---- What is told.

#[derive(Debug, PartialEq)]
enum Told {
    /// A message: its header, and a sum of its payload.
    Message(MessageHeader, u64),
    Words(String),
}

impl Told {
    fn message(message: &Message<'_>) -> Self {
        assert_eq!(message.payload.len(), message.header.len);
        Self::Message(message.header, sum(&message.payload))
    }
}

/// FNV-1a over the payload, whatever pieces it lies in.
fn sum(payload: &Payload<'_>) -> u64 {
    let bytes = payload.slices().flatten();
    bytes.fold(0xCBF2_9CE4_8422_2325, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

/// All that came of an input.
#[derive(Debug, Default)]
struct Outcome {
    told: Vec<Told>,
    replies: Vec<Told>,
    end: Option<ProtocolError>,
    /// The end came from what is looked at once for each input and not for each message.
    at_input_end: bool,
}

impl Outcome {
    fn reached(&self) -> Reached {
        let is_media = |told: &&Told| matches!(told, Told::Message(..));
        Reached {
            events: self.told.len(),
            media: self.told.iter().filter(is_media).count(),
            replies: self.replies.len(),
            end: self.end.map(|error| error.code()),
        }
    }
}

/// The same whichever way the bytes were cut. A limit that is looked at once an input may end one
/// of the two earlier; then they are the same up to there.
fn assert_alike(one: &Outcome, other: &Outcome) {
    if !one.at_input_end && !other.at_input_end {
        assert_eq!(one.told, other.told);
        assert_eq!(one.replies, other.replies);
        assert_eq!(one.end, other.end);
        return;
    }
    for (one, other) in [(&one.told, &other.told), (&one.replies, &other.replies)] {
        let both = one.len().min(other.len());
        assert_eq!(one[..both], other[..both]);
    }
}

// ---- The chunk reader alone.

fn read_chunks(script: &Script<'_>, pieces: &[&[u8]]) -> Outcome {
    let limits = match script.flags & (PLAY | DIGEST) {
        0 => ReaderLimits::UNAUTHORISED,
        PLAY => ReaderLimits::PUBLISHER,
        _ => ReaderLimits {
            video_bytes: 700,
            audio_bytes: 300,
            other_bytes: 200,
            chunk_streams: 5,
            partial_messages: 3,
            partial_bytes: 900,
            skip_media: script.flags & DEAF != 0,
        },
    };
    let mut reader = ChunkReader::new(limits);
    let mut outcome = Outcome::default();
    for input in pieces {
        let mut at = 0;
        loop {
            let control = match reader.next(input, &mut at) {
                Ok(None) => break,
                Ok(Some(message)) => {
                    outcome.told.push(Told::message(&message));
                    Control::decode(&message)
                }
                Err(error) => {
                    outcome.end = Some(error);
                    return outcome;
                }
            };
            match control {
                // Smaller than any session allows, so that chunks are many.
                Ok(Some(Control::SetChunkSize(bytes))) => {
                    reader.set_chunk_size((bytes & 0x00FF_FFFF).max(1) as usize);
                }
                Ok(Some(Control::Abort(csid))) => _ = reader.abort(csid),
                _ => {}
            }
        }
        assert_eq!(at, input.len(), "all of an input is read");
        reader.hold(input);
        let held = reader.partial_bytes();
        assert!(held <= limits.partial_bytes, "{held} bytes are held");
        if script.flags & LATE != 0 {
            reader.release_spare();
        }
    }
    outcome
}

// ---- A session and whoever drives it.

/// A session, with what its driver remembers.
enum Peer {
    Server(Server),
    Client(Client),
}

impl Peer {
    /// The next thing told; None at the end of the input.
    fn next(&mut self, input: &[u8], at: &mut usize) -> Result<Option<Told>, ProtocolError> {
        match self {
            Self::Server(server) => server.next(input, at),
            Self::Client(client) => client.next(input, at),
        }
    }

    fn end_input(&mut self, input: &[u8], count: usize) -> Result<(), ProtocolError> {
        match self {
            Self::Server(server) => {
                let ended = server.session.end_input(input, count);
                let (held, limit) = (server.session.partial_bytes(), server.held_max);
                assert!(held <= limit, "{held} bytes are held, allowed {limit}");
                ended
            }
            Self::Client(client) => client.session.end_input(input, count),
        }
    }

    fn out(&mut self) -> &mut super::Outbox {
        match self {
            Self::Server(server) => server.session.out(),
            Self::Client(client) => client.session.out(),
        }
    }

    /// The driver has closed the connection.
    fn is_closed(&self) -> bool {
        matches!(self, Self::Server(Server { closed: true, .. }))
    }
}

/// One way through an input.
struct Run {
    peer: Peer,
    outcome: Outcome,
    replies: ChunkReader,
    handshake_left: usize,
    is_deaf: bool,
    /// Bytes at the front of the outbox that were looked at.
    looked_at: usize,
    bytes_in: usize,
    bytes_out: usize,
}

impl Run {
    fn new(peer: Peer, flags: u8) -> Self {
        Self {
            peer,
            outcome: Outcome::default(),
            replies: ChunkReader::new(ReaderLimits::PUBLISHER),
            handshake_left: HANDSHAKE_BYTES,
            is_deaf: flags & DEAF != 0,
            looked_at: 0,
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    /// Reads `pieces` one after the other. `hold_each`: the input is given up after each event.
    fn read(mut self, pieces: &[&[u8]], hold_each: bool) -> Outcome {
        for piece in pieces {
            let mut input = *piece;
            let mut at = 0;
            loop {
                let told = match self.peer.next(input, &mut at) {
                    Ok(told) => told,
                    Err(error) => {
                        self.bytes_in += at;
                        self.take_replies();
                        self.outcome.end = Some(error);
                        return self.outcome;
                    }
                };
                let is_over = told.is_none();
                self.outcome.told.extend(told);
                if is_over || hold_each {
                    if !self.end_input(input, at) {
                        return self.outcome;
                    }
                    input = &input[at..];
                    at = 0;
                }
                if self.peer.is_closed() {
                    self.bytes_in += at;
                    self.take_replies();
                    return self.outcome;
                }
                if is_over {
                    assert!(input.is_empty(), "all of an input is read");
                    break;
                }
            }
        }
        self.outcome
    }

    /// Whether the connection goes on.
    fn end_input(&mut self, input: &[u8], count: usize) -> bool {
        let ended = self.peer.end_input(input, count);
        self.bytes_in += count;
        self.take_replies();
        if let Err(error) = ended {
            self.outcome.end = Some(error);
            self.outcome.at_input_end = true;
            return false;
        }
        let pending = self.peer.out().pending().len();
        let limit = limits::OUT_BYTES_MAX + REPLY_FLOOR;
        assert!(pending <= limit, "{pending} bytes wait to be sent");
        true
    }

    /// Looks at what was sent since the last time: whole messages, and not too many bytes.
    fn take_replies(&mut self) {
        let pending = &self.peer.out().pending()[self.looked_at..];
        self.bytes_out += pending.len();
        let limit = REPLY_FACTOR * self.bytes_in + REPLY_FLOOR;
        let (sent, came) = (self.bytes_out, self.bytes_in);
        assert!(sent <= limit, "{sent} bytes sent for {came}");
        let mut at = pending.len().min(self.handshake_left);
        self.handshake_left -= at;
        loop {
            let next = self.replies.next(pending, &mut at);
            let Some(message) = next.expect("what is sent is a chunk stream") else {
                break;
            };
            let control = Control::decode(&message).expect("controls that are sent are whole");
            // They tell how many bytes have come, so they depend on how those came.
            if !matches!(control, Some(Control::Acknowledgement(_))) {
                self.outcome.replies.push(Told::message(&message));
            }
            if let Some(Control::SetChunkSize(bytes)) = control {
                self.replies.set_chunk_size(bytes as usize);
            }
        }
        assert_eq!(self.replies.partial_bytes(), 0, "only whole messages");
        self.replies.hold(pending);
        let count = pending.len();
        if self.is_deaf {
            self.looked_at += count;
        } else {
            self.peer.out().advance(count);
        }
    }
}

// ---- The drivers.

/// Decides about requests by the bits of a byte, again and again.
struct Verdicts {
    bits: u8,
    given: u32,
}

impl Verdicts {
    /// Yes for a bit that is not set.
    fn next(&mut self) -> bool {
        self.given += 1;
        self.bits.rotate_right(self.given - 1) & 1 == 0
    }
}

struct Server {
    session: ServerSession,
    verdicts: Verdicts,
    is_late: bool,
    /// Publishes and plays that wait for an answer.
    waiting: Vec<Request>,
    held_max: usize,
    closed: bool,
}

impl Server {
    fn new(script: &Script<'_>) -> Self {
        Self {
            session: ServerSession::new(7),
            verdicts: script.verdicts(),
            is_late: script.flags & LATE != 0,
            waiting: Vec::new(),
            held_max: limits::UNAUTHORISED_PARTIAL_BYTES_MAX,
            closed: false,
        }
    }

    fn next(&mut self, input: &[u8], at: &mut usize) -> Result<Option<Told>, ProtocolError> {
        let (told, request) = match self.session.next(input, at)? {
            None => return Ok(None),
            Some(Event::Media(message)) => (Told::message(&message), None),
            Some(Event::Request(request)) => (Told::Words(format!("{request:?}")), Some(request)),
        };
        if let Some(Request::Stop { msid } | Request::Play { msid, .. }) = request {
            // What has ended or was replaced is owed no answer.
            self.waiting.retain(|waiting| asked_on(waiting) != msid);
        }
        for waiting in std::mem::take(&mut self.waiting) {
            self.answer(waiting);
        }
        match request {
            Some(request @ (Request::Publish { .. } | Request::Play { .. })) if self.is_late => {
                self.waiting.push(request);
            }
            Some(request) => self.answer(request),
            None => {}
        }
        Ok(Some(told))
    }

    fn answer(&mut self, request: Request) {
        let yes = self.verdicts.next();
        let session = &mut self.session;
        match (request, yes) {
            (Request::Connect, true) => session.accept_connect(&WIRE),
            (Request::Connect, false) => {
                session.reject_connect("no such app");
                self.closed = true;
            }
            (Request::Publish { msid, name, .. }, true) => {
                session.accept_publish(msid, &name);
                self.held_max = limits::PARTIAL_BYTES_MAX;
            }
            (Request::Publish { msid, .. }, false) => {
                session.reject(msid, Status::PublishBadName, "it is live");
            }
            (Request::Play { msid, name, reset }, true) => {
                session.accept_play(msid, &name, reset);
            }
            (Request::Play { msid, .. }, false) => {
                session.reject(msid, Status::PlayStreamNotFound, "nobody there");
            }
            (Request::Switch { msid, name }, true) => {
                session.send_status(msid, Status::PlayTransition, &name.key());
            }
            (Request::Pause { msid, .. }, true) => {
                session.send_user_control(UserControl::StreamEof(msid));
                session.send_status(msid, Status::PauseNotify, "paused");
            }
            (Request::Seek { msid, .. }, true) => {
                session.send_status(msid, Status::SeekNotify, "as far back as there is");
            }
            (
                Request::Switch { msid, .. }
                | Request::Pause { msid, .. }
                | Request::Seek { msid, .. },
                false,
            ) => session.end_play(msid, "the stream is over"),
            (Request::Receive { .. } | Request::Stop { .. }, _) => {}
            (Request::Pong(_), true) => session.release_spare(),
            (Request::Pong(time), false) => {
                session.send_user_control(UserControl::PingRequest(time));
            }
        }
    }
}

/// The message stream of a publish or play.
fn asked_on(request: &Request) -> u32 {
    match request {
        Request::Publish { msid, .. } | Request::Play { msid, .. } => *msid,
        _ => 0,
    }
}

struct Client {
    session: ClientSession,
    verdicts: Verdicts,
    /// The server takes what it is sent, so media may follow when it may.
    sends_media: bool,
}

impl Client {
    fn new(script: &Script<'_>) -> Self {
        let has = |flag| script.flags & flag != 0;
        let request = ClientRequest {
            app: "live".to_owned(),
            tc_url: "rtmp://localhost/live".to_owned(),
            stream: "cam?key=1".to_owned(),
            action: if has(PLAY) {
                Action::Play
            } else {
                Action::Publish
            },
            handshake: if has(DIGEST) {
                Mode::Digest
            } else {
                Mode::Plain
            },
            chunk_size: 4_096,
        };
        Self {
            session: ClientSession::new(request, 3),
            verdicts: script.verdicts(),
            sends_media: !has(DEAF) && !has(PLAY),
        }
    }

    fn next(&mut self, input: &[u8], at: &mut usize) -> Result<Option<Told>, ProtocolError> {
        let told = match self.session.next(input, at)? {
            None => return Ok(None),
            Some(ClientEvent::Media(message)) => Told::message(&message),
            Some(event) => Told::Words(format!("{event:?}")),
        };
        let may_send = matches!(&told, Told::Words(words) if words.contains("Publish.Start"));
        if may_send && self.sends_media && self.verdicts.next() {
            let body = b"\xAF\x01sound";
            let header = MessageHeader {
                csid: 4,
                timestamp: Timestamp(0x0100_0000),
                kind: kind::AUDIO,
                msid: self.session.msid().unwrap_or(1),
                len: body.len(),
            };
            self.session.send_media(&header, &Payload::from_slice(body));
        }
        Ok(Some(told))
    }
}

// ---- Inputs.

/// An input taken apart, see the module text.
struct Script<'a> {
    flags: u8,
    verdicts: u8,
    cuts: &'a [u8],
    sent: &'a [u8],
}

impl<'a> Script<'a> {
    fn new(data: &'a [u8]) -> Option<Self> {
        let (&[flags, verdicts, count], rest) = data.split_first_chunk()?;
        let (cuts, sent) = rest.split_at_checked(usize::from(count & 0x0F))?;
        Some(Self {
            flags,
            verdicts,
            cuts,
            sent,
        })
    }

    fn verdicts(&self) -> Verdicts {
        Verdicts {
            bits: self.verdicts,
            given: 0,
        }
    }

    /// What the peer sends, as on the wire.
    fn wire(&self) -> Vec<u8> {
        let mut wire = Vec::new();
        if self.flags & SHAKEN != 0 {
            wire.resize(HANDSHAKE_BYTES, 0);
            wire[0] = 0x03;
        }
        if self.flags & SCRIPTED == 0 {
            wire.extend_from_slice(self.sent);
            return wire;
        }
        let mut composer = Composer {
            rest: self.sent,
            wire,
            chunk_size: CHUNK_SIZE_INITIAL,
        };
        while composer.wire.len() < WIRE_BYTES_MAX && composer.step().is_some() {}
        composer.wire
    }

    /// `wire` cut up: a cut below 0x80 is as many bytes and one more, others are 64 each above
    /// that. Without cuts it is one piece.
    fn pieces<'w>(&self, wire: &'w [u8]) -> Vec<&'w [u8]> {
        let mut pieces = Vec::new();
        let mut rest = wire;
        let mut cuts = self.cuts.iter().cycle();
        while !rest.is_empty() {
            let count = match cuts.next() {
                None => rest.len(),
                Some(&cut) if cut < 0x80 => usize::from(cut) + 1,
                Some(&cut) => 64 * (usize::from(cut) - 0x7F),
            };
            let (piece, after) = rest.split_at(count.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces
    }
}

/// The commands a script names by number.
const COMMANDS: [&str; 32] = [
    "connect",
    "createStream",
    "publish",
    "play",
    "play2",
    "pause",
    "pauseRaw",
    "seek",
    "receiveAudio",
    "receiveVideo",
    "closeStream",
    "deleteStream",
    "close",
    "releaseStream",
    "FCPublish",
    "FCUnpublish",
    "FCSubscribe",
    "getStreamLength",
    "_checkbw",
    "_result",
    "_error",
    "onStatus",
    "onBWDone",
    "onFCPublish",
    "@setDataFrame",
    "onMetaData",
    "call",
    "initStream",
    "set_playlist",
    "setBufferTime",
    "DVRGetStreamInfo",
    "",
];

/// Numbers that make bad ids, times and sizes.
const NUMBERS: [f64; 8] = [
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    -0.0,
    -1.0,
    1.5,
    4_294_967_295.0,
    9_007_199_254_740_993.0,
];

/// Makes the bytes of a peer out of steps, each begun by one byte:
///
/// ```text
///   00..1F  place time length body...    a message of this type
///   20..3F  place count argument...      a command; its name by number
///   40..FF  byte...                      as many bytes as they are, 40 standing for 1
/// ```
///
/// The place has the message stream in its low four bits, and in the others a chunk stream (less
/// 2) or a transaction.
struct Composer<'a> {
    rest: &'a [u8],
    wire: Vec<u8>,
    chunk_size: usize,
}

impl<'a> Composer<'a> {
    /// One step; None at the end of the script.
    fn step(&mut self) -> Option<()> {
        match self.byte()? {
            message_kind @ 0x00..=0x1F => self.message(message_kind),
            command @ 0x20..=0x3F => self.command(COMMANDS[usize::from(command - 0x20)]),
            count => {
                let raw = self.take(usize::from(count) - 0x3F);
                self.wire.extend_from_slice(raw);
                Some(())
            }
        }
    }

    fn message(&mut self, message_kind: u8) -> Option<()> {
        let place = self.byte()?;
        let time = u32::from(self.byte()?);
        let len = usize::from(self.byte()?);
        // Times up to 0xDF are near 0, the others around the extended timestamp; lengths above
        // 0xEF are thousands, of which the script has the beginning.
        let time = if time < 0xE0 {
            time * 10
        } else {
            0xFF_FF00 + (time - 0xE0) * 0x10
        };
        let len = if len < 0xF0 { len } else { (len - 0xEF) * 640 };
        let mut body = self.take(len).to_vec();
        body.resize(len, 0xC4);
        let header = MessageHeader {
            csid: 2 + u32::from(place >> 4),
            timestamp: Timestamp(time),
            kind: message_kind,
            msid: u32::from(place & 0x0F),
            len,
        };
        let payload = Payload::from_slice(&body);
        write_message(&mut self.wire, &header, &payload, self.chunk_size);
        if let (kind::SET_CHUNK_SIZE, Some(&bytes)) = (message_kind, body.first_chunk()) {
            let bytes = u32::from_be_bytes(bytes).clamp(1, limits::CHUNK_SIZE_IN_CAP);
            self.chunk_size = bytes as usize;
        }
        Some(())
    }

    fn command(&mut self, name: &str) -> Option<()> {
        let place = self.byte()?;
        let count = self.byte()? & 0x07;
        let mut body = Vec::new();
        let mut amf = Encoder::new(&mut body);
        amf.string(name).number(f64::from(place >> 4));
        for _ in 0..count {
            self.argument(&mut amf)?;
        }
        let header = MessageHeader {
            csid: 3,
            timestamp: Timestamp(0),
            kind: kind::COMMAND,
            msid: u32::from(place & 0x0F),
            len: body.len(),
        };
        let payload = Payload::from_slice(&body);
        write_message(&mut self.wire, &header, &payload, self.chunk_size);
        Some(())
    }

    fn argument(&mut self, amf: &mut Encoder<'_>) -> Option<()> {
        match self.byte()? & 0x0F {
            0 => _ = amf.null(),
            1 => _ = amf.undefined(),
            2 => _ = amf.boolean(false),
            3 => _ = amf.boolean(true),
            4 => _ = amf.number(f64::from(self.byte()?)),
            5 => _ = amf.number(NUMBERS[usize::from(self.byte()? & 0x07)]),
            6 => {
                let len = usize::from(self.byte()?);
                let text = String::from_utf8_lossy(self.take(len)).into_owned();
                amf.string(&text);
            }
            7 => _ = amf.string("cam"),
            8 => {
                amf.begin_object().string_property("app", "live");
                amf.number_property("objectEncoding", 3.0)
                    .number_property("capsEx", 3.0);
                amf.string_property("flashVer", "LNX 9,0,124,2")
                    .end_object();
            }
            9 => {
                amf.begin_object().string_property("streamName", "cam2");
                amf.string_property("code", "NetStream.Publish.Start")
                    .end_object();
            }
            10 => {
                let len = usize::from(self.byte()?);
                let text = String::from_utf8_lossy(self.take(len)).into_owned();
                amf.begin_object()
                    .string_property("tcUrl", &text)
                    .end_object();
            }
            11 => _ = amf.strict_array_header(1).null(),
            12 => _ = amf.begin_ecma_array(9).end_object(),
            13 => _ = amf.begin_object(),
            _ => _ = amf.string(&"n".repeat(limits::NAME_BYTES_MAX - 8)),
        }
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    /// As many bytes as there are, `count` at most.
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }
}
