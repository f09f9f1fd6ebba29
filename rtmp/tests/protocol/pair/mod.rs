//! The sessions at work: a server alone against hand-written bytes, and a client and a server
//! joined in memory. What happens is told in words, one line a thing, in the order it happens:
//!
//! ```text
//!   ? publish 1 live/cam Live          what the session asks of its driver
//!   = audio 1 @20, 3 bytes             media it hands on
//!   onStatus@1 NetStream.Play.Start    what the client is sent, here on message stream 1
//!   ! unexpected                       the error that ends the connection
//! ```
//!
//! Every scenario runs with its bytes in one piece, byte by byte, cut in two at every place, and
//! with the input given up after each event, as a worker does whose turn is over: nothing may
//! come out differently. A row names the client that needs it, where one is known.
//!
//! The driver here says yes to everything but a few names; it is no worker, so what a worker
//! answers by itself (pause, seek, receiveAudio) shows as a question only.

use Arg::{B, Ecma, Map, N, Null, S, Undefined};
use tailwater_rtmp::amf0::{Encoder, Value};
use tailwater_rtmp::client::{Action, ClientEvent, ClientRequest, ClientSession};
use tailwater_rtmp::command::{Command, Status};
use tailwater_rtmp::control::{Control, UserControl};
use tailwater_rtmp::error::ProtocolError;
use tailwater_rtmp::handshake::Mode;
use tailwater_rtmp::limits;
use tailwater_rtmp::message::{Message, MessageHeader, MessageStreamId, Payload, Timestamp, kind};
use tailwater_rtmp::reader::{ChunkReader, ReaderLimits};
use tailwater_rtmp::server::{Event, Request, ServerSession, WireSettings};
use tailwater_rtmp::writer::write_message;

const WIRE: WireSettings = WireSettings {
    chunk_size: 65_536,
    window_ack: 2_500_000,
};

/// Bytes of C0, C1 and C2, and of S0, S1 and S2.
const HANDSHAKE_BYTES: usize = 1 + 2 * 1_536;

/// What every accepted connect is answered with.
const OPENED: [&str; 6] = [
    "? connect live",
    "WindowAck 2500000",
    "SetPeerBandwidth 2500000 dynamic",
    "SetChunkSize 65536",
    "StreamBegin 0",
    "_result 1 NetConnection.Connect.Success",
];

// What the client sends.

/// A value of a command.
#[derive(Clone, Copy)]
enum Arg {
    N(f64),
    S(&'static str),
    B(bool),
    Null,
    Undefined,
    Map(&'static [(&'static str, Self)]),
    Ecma(&'static [(&'static str, Self)]),
}

fn write_arg(amf: &mut Encoder<'_>, arg: Arg) {
    match arg {
        N(number) => _ = amf.number(number),
        S(text) => _ = amf.string(text),
        B(flag) => _ = amf.boolean(flag),
        Null => _ = amf.null(),
        Undefined => _ = amf.undefined(),
        Map(properties) => write_properties(amf.begin_object(), properties),
        // The count is a hint; encoders get it wrong.
        Ecma(properties) => write_properties(amf.begin_ecma_array(99), properties),
    }
}

fn write_properties(amf: &mut Encoder<'_>, properties: &[(&str, Arg)]) {
    for &(key, value) in properties {
        write_arg(amf.key(key), value);
    }
    amf.end_object();
}

/// The bytes a client sends, put together message by message.
struct Script {
    wire: Vec<u8>,
    chunk_size: usize,
}

impl Script {
    /// Hands shaken and nothing else.
    fn fresh() -> Self {
        let mut wire = vec![0; HANDSHAKE_BYTES];
        wire[0] = 3;
        Self {
            wire,
            chunk_size: 128,
        }
    }

    /// Connected to the app `live`.
    fn open() -> Self {
        Self::fresh().connect(Map(&[("app", S("live"))]))
    }

    /// Connected, with message stream 1.
    fn with_stream() -> Self {
        Self::open().call("createStream", 2.0, &[])
    }

    /// Publishing `live/cam` on message stream 1.
    fn publishing() -> Self {
        Self::with_stream().on(1, "publish", &[S("cam"), S("live")])
    }

    /// Playing `live/cam` on message stream 1.
    fn playing() -> Self {
        Self::with_stream().on(1, "play", &[S("cam")])
    }

    fn connect(self, object: Arg) -> Self {
        self.values(kind::COMMAND, 0, &[S("connect"), N(1.0), object])
    }

    /// A command of the connection, without a command object.
    fn call(self, name: &'static str, transaction: f64, arguments: &[Arg]) -> Self {
        let values = [&[S(name), N(transaction), Null], arguments].concat();
        self.values(kind::COMMAND, 0, &values)
    }

    /// A command of message stream `msid`, which wants no answer by transaction id.
    fn on(self, msid: u32, name: &'static str, arguments: &[Arg]) -> Self {
        let values = [&[S(name), N(0.0), Null], arguments].concat();
        self.values(kind::COMMAND, msid, &values)
    }

    fn values(self, message_kind: u8, msid: u32, values: &[Arg]) -> Self {
        let mut body = Vec::new();
        for &value in values {
            write_arg(&mut Encoder::new(&mut body), value);
        }
        self.message(3, message_kind, msid, 0, &body)
    }

    fn audio(self, msid: u32, time: u32, body: &[u8]) -> Self {
        self.message(4, kind::AUDIO, msid, time, body)
    }

    fn message(mut self, csid: u32, message_kind: u8, msid: u32, time: u32, body: &[u8]) -> Self {
        let header = MessageHeader {
            csid,
            timestamp: Timestamp(time),
            kind: message_kind,
            msid: MessageStreamId(msid),
            len: body.len(),
        };
        let payload = Payload::from_slice(body);
        write_message(&mut self.wire, &header, &payload, self.chunk_size);
        self
    }

    fn control(mut self, control: Control) -> Self {
        control.encode(&mut self.wire);
        if let Control::SetChunkSize(bytes) = control {
            self.chunk_size = bytes as usize;
        }
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.wire.extend_from_slice(bytes);
        self
    }
}

// What the client is sent.

/// Reads what a server has sent and tells it in words.
struct Answers {
    handshake_left: usize,
    reader: ChunkReader,
}

impl Answers {
    fn new() -> Self {
        Self {
            handshake_left: HANDSHAKE_BYTES,
            reader: ChunkReader::new(ReaderLimits::PUBLISHER),
        }
    }

    fn read(&mut self, bytes: &[u8], lines: &mut Vec<String>) {
        let mut at = bytes.len().min(self.handshake_left);
        self.handshake_left -= at;
        while let Some(message) = self.reader.next(bytes, &mut at).unwrap() {
            let mut chunk_size = None;
            lines.push(match Control::decode(&message).unwrap() {
                Some(control) => {
                    if let Control::SetChunkSize(bytes) = control {
                        chunk_size = Some(bytes as usize);
                    }
                    told_control(control)
                }
                None if message.header.kind == kind::COMMAND => told_command(&message),
                None => told_media(&message),
            });
            if let Some(bytes) = chunk_size {
                self.reader.set_chunk_size(bytes);
            }
        }
        self.reader.hold(bytes);
    }
}

fn told_control(control: Control) -> String {
    match control {
        Control::WindowAckSize(window) => format!("WindowAck {window}"),
        Control::SetPeerBandwidth { window, limit } => {
            let limit = ["hard", "soft", "dynamic"][usize::from(limit)];
            format!("SetPeerBandwidth {window} {limit}")
        }
        Control::SetChunkSize(bytes) => format!("SetChunkSize {bytes}"),
        Control::Acknowledgement(bytes) => format!("Ack {bytes}"),
        Control::User(UserControl::StreamBegin(msid)) => format!("StreamBegin {msid}"),
        Control::User(UserControl::StreamEof(msid)) => format!("StreamEof {msid}"),
        Control::User(UserControl::PingResponse(time)) => format!("PingResponse {time}"),
        other => format!("{other:?}"),
    }
}

fn told_command(message: &Message<'_>) -> String {
    let msid = message.header.msid;
    let body = message.payload.to_vec();
    let command = Command::decode(kind::COMMAND, &body).unwrap().unwrap();
    let info = command.argument(0).and_then(|value| value.as_object());
    let text = |key: &str| {
        let value = info.and_then(|info| info.get(key)).unwrap();
        value.as_str().unwrap().to_owned()
    };
    if command.name == "onStatus" {
        assert_eq!(command.transaction, 0.0, "a status answers no transaction");
        assert_eq!(command.object(), Some(Value::Null));
        assert!(!text("description").is_empty());
        let level = text("level");
        let level = level.strip_prefix("status").unwrap_or("error ");
        return format!("onStatus@{msid} {level}{}", text("code"));
    }
    assert_eq!(
        msid,
        MessageStreamId::CONTROL,
        "only statuses travel on message streams"
    );
    let value = match command.argument(0).unwrap() {
        Value::Object(_) => text("code"),
        Value::Number(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let told = format!("{} {} {value}", command.name, command.transaction);
    match command.name.starts_with("onFC") {
        true => format!("{told} {}", text("description")),
        false => told,
    }
}

fn told_media(message: &Message<'_>) -> String {
    let MessageHeader {
        timestamp,
        kind: message_kind,
        msid,
        len,
        ..
    } = message.header;
    assert_eq!(message.payload.len(), len);
    let word = match message_kind {
        kind::AUDIO => "audio",
        kind::VIDEO => "video",
        kind::DATA => "data",
        kind::DATA_AMF3 => "data-amf3",
        _ => "other",
    };
    format!("= {word} {msid} @{}, {len} bytes", timestamp.0)
}

// The server and its driver.

/// All that came of a scenario.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    lines: Vec<String>,
    media: Vec<Vec<u8>>,
}

struct Server {
    session: ServerSession,
    answers: Answers,
    seen: Seen,
    /// What was sent and no client has taken.
    sent: Vec<u8>,
    ended: bool,
}

impl Server {
    fn new() -> Self {
        let mut session = ServerSession::new(7);
        session.keep_property("via", 16);
        Self {
            session,
            answers: Answers::new(),
            seen: Seen::default(),
            sent: Vec::new(),
            ended: false,
        }
    }

    /// Takes `input` in. `hold_each`: after each event the input is given up and what is left
    /// of it comes as a new one.
    fn feed(&mut self, mut input: &[u8], hold_each: bool) {
        let mut at = 0;
        while !self.ended {
            let event = match self.session.next(input, &mut at) {
                Ok(Some(Event::Media(message))) => {
                    self.seen.media.push(message.payload.to_vec());
                    Some((told_media(&message), None))
                }
                Ok(Some(Event::Request(request))) => {
                    Some((told_request(&request, &self.session), Some(request)))
                }
                Ok(None) => None,
                Err(error) => {
                    self.end(error);
                    return;
                }
            };
            // What the session has answered by itself goes before what it asks.
            self.drain();
            let is_over = event.is_none();
            if let Some((line, request)) = event {
                self.seen.lines.push(line);
                if let Some(request) = request {
                    self.answer(&request);
                }
            }
            if is_over || hold_each {
                if let Err(error) = self.session.end_input(input, at) {
                    self.end(error);
                }
                self.drain();
                input = &input[at..];
                at = 0;
            }
            if is_over {
                assert!(input.is_empty(), "all of the input was read");
                return;
            }
        }
    }

    /// Yes, but for a few names.
    fn answer(&mut self, request: &Request) {
        let session = &mut self.session;
        match request {
            Request::Connect => match session.app().map(|app| app.app.as_str()) {
                Some("closed") => session.reject_connect("no such app"),
                _ => {
                    let is_marked = session.client().property == "00000000000000aa";
                    session.accept_connect_with(&WIRE, |properties| {
                        if is_marked {
                            properties.boolean_property("relay", true);
                        }
                    });
                }
            },
            Request::Publish { msid, name, .. } => match name.stream.as_str() {
                "taken" => session.reject(*msid, Status::PublishBadName, "it is live"),
                "private" => session.reject(*msid, Status::PublishDenied, "not for you"),
                "later" => {}
                _ => session.accept_publish(*msid, name),
            },
            Request::Play { msid, name, reset } => match name.stream.as_str() {
                "missing" => session.reject(*msid, Status::PlayStreamNotFound, "nobody there"),
                "later" => {}
                _ => session.accept_play(*msid, name, *reset),
            },
            _ => {}
        }
        self.drain();
    }

    fn drain(&mut self) {
        let bytes = self.session.out().pending().to_vec();
        self.session.out().advance(bytes.len());
        self.answers.read(&bytes, &mut self.seen.lines);
        self.sent.extend_from_slice(&bytes);
    }

    fn end(&mut self, error: ProtocolError) {
        self.drain();
        self.seen.lines.push(format!("! {}", error.code()));
        self.ended = true;
    }
}

fn told_request(request: &Request, session: &ServerSession) -> String {
    match request {
        Request::Connect => {
            let app = session.app().unwrap();
            let query = if app.query.is_empty() { "" } else { "?" };
            format!("? connect {}{query}{}", app.app, app.query)
        }
        Request::Publish { msid, name, kind } => format!("? publish {msid} {name} {kind:?}"),
        Request::Play { msid, name, reset } => {
            let reset = if *reset { " reset" } else { "" };
            format!("? play {msid} {name}{reset}")
        }
        Request::Switch { msid, name } => format!("? switch {msid} {name}"),
        Request::Pause { msid, paused } => format!("? pause {msid} {paused}"),
        Request::Seek { msid, position_ms } => format!("? seek {msid} {position_ms}"),
        Request::Receive { msid, half, on } => format!("? receive {msid} {half:?} {on}"),
        Request::Stop { msid } => format!("? stop {msid}"),
        Request::Pong(time) => format!("? pong {time}"),
    }
}

/// How the bytes of a scenario arrive.
#[derive(Clone, Copy, Debug)]
enum Cuts {
    Whole,
    Steps(usize),
    InTwo(usize),
    AfterEachEvent,
}

fn run(wire: &[u8], cuts: Cuts) -> Seen {
    let mut server = Server::new();
    let (step, first) = match cuts {
        Cuts::Whole | Cuts::AfterEachEvent => (wire.len(), wire.len()),
        Cuts::Steps(bytes) => (bytes, 0),
        Cuts::InTwo(at) => (wire.len(), at),
    };
    let (head, tail) = wire.split_at(first);
    for input in head.chunks(step).chain(tail.chunks(step)) {
        server.feed(input, matches!(cuts, Cuts::AfterEachEvent));
    }
    server.seen
}

/// Runs the scenario in every way its bytes can arrive; all of them give `expected`.
#[track_caller]
fn check(script: &Script, expected: &[&str]) {
    let wire = &script.wire[..];
    let whole = run(wire, Cuts::Whole);
    assert_eq!(whole.lines, expected);
    let mut all_cuts = vec![Cuts::AfterEachEvent];
    if wire.len() < 8_000 {
        all_cuts.extend([Cuts::Steps(1), Cuts::Steps(2), Cuts::Steps(3)]);
        // The handshake has tests of its own for every cut inside it.
        all_cuts.extend((HANDSHAKE_BYTES - 2..wire.len()).map(Cuts::InTwo));
    } else {
        all_cuts.extend([Cuts::Steps(997), Cuts::Steps(65_536)]);
    }
    for cuts in all_cuts {
        assert_eq!(run(wire, cuts), whole, "{cuts:?}");
    }
}

/// Checks what comes after connect.
#[track_caller]
fn check_open(script: &Script, expected: &[&str]) {
    check(script, &[&OPENED[..], expected].concat());
}

/// Checks what comes after createStream.
#[track_caller]
fn check_stream(script: &Script, expected: &[&str]) {
    check_open(script, &[&["_result 2 1"], expected].concat());
}

/// Checks what comes after an accepted publish of `live/cam`.
#[track_caller]
fn check_publishing(script: &Script, expected: &[&str]) {
    const BEGUN: [&str; 3] = [
        "? publish 1 live/cam Live",
        "StreamBegin 1",
        "onStatus@1 NetStream.Publish.Start",
    ];
    check_stream(script, &[&BEGUN[..], expected].concat());
}

/// Checks what comes after an accepted play of `live/cam`.
#[track_caller]
fn check_playing(script: &Script, expected: &[&str]) {
    const BEGUN: [&str; 4] = [
        "? play 1 live/cam reset",
        "StreamBegin 1",
        "onStatus@1 NetStream.Play.Reset",
        "onStatus@1 NetStream.Play.Start",
    ];
    check_stream(script, &[&BEGUN[..], expected].concat());
}

mod calls;
mod connect;
mod control;
mod floods;
mod joined;
mod play;
mod publish;
mod streams;
