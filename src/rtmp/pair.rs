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

use super::amf0::{Encoder, Value};
use super::client::{Action, ClientEvent, ClientRequest, ClientSession};
use super::command::{Command, Status};
use super::control::{Control, UserControl};
use super::error::ProtocolError;
use super::handshake::Mode;
use super::message::{Message, MessageHeader, Payload, Timestamp, kind};
use super::reader::{ChunkReader, ReaderLimits};
use super::server::{Event, Request, ServerSession, WireSettings};
use super::writer::write_message;
use crate::limits;
use Arg::{B, Ecma, Map, N, Null, S, Undefined};

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
            msid,
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
    assert_eq!(msid, 0, "only statuses travel on message streams");
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
        Self {
            session: ServerSession::new(7),
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
                _ => session.accept_connect(&WIRE),
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

mod connect {
    use super::*;

    #[test]
    fn is_answered_in_the_order_clients_know() {
        check(&Script::open(), &OPENED);
    }

    /// The app as it is asked for; the answers are always the same.
    #[track_caller]
    fn check_app(script: &Script, expected: &str) {
        let first = format!("? connect {expected}");
        check(script, &[&[&first[..]], &OPENED[1..]].concat());
    }

    #[test]
    fn takes_the_command_object_in_every_form() {
        // ECMA array: various encoders.
        check_app(
            &Script::fresh().connect(Ecma(&[("app", S("live"))])),
            "live",
        );
        // Clients with authentication put more behind the object, not always objects.
        let more = [
            S("connect"),
            N(1.0),
            Map(&[("app", S("live"))]),
            S("user"),
            N(3.0),
            Map(&[("token", S("x"))]),
        ];
        check_app(&Script::fresh().values(kind::COMMAND, 0, &more), "live");
        // Without any object; the stream name then has to carry the app.
        for object in [Null, Undefined, S("live")] {
            check_app(&Script::fresh().connect(object), "");
        }
        // A typed object.
        let mut body = Vec::new();
        Encoder::new(&mut body).string("connect").number(1.0);
        body.push(0x10);
        let mut amf = Encoder::new(&mut body);
        write_properties(amf.key("Class"), &[("app", S("live"))]);
        check_app(
            &Script::fresh().message(3, kind::COMMAND, 0, 0, &body),
            "live",
        );
    }

    #[test]
    fn finds_the_app_where_clients_put_it() {
        let app = |properties| Script::fresh().connect(Map(properties));
        const URL: Arg = S("rtmp://host:1935/live/room?t=1");
        // Some cameras write `tcurl`.
        check_app(&app(&[("tcurl", URL)]), "live/room?t=1");
        check_app(&app(&[("app", S("")), ("tcUrl", URL)]), "live/room?t=1");
        check_app(
            &app(&[("app", S("live")), ("tcUrl", S("'rtmp://h/x'"))]),
            "live",
        );
        check_app(&app(&[("app", S("live/_definst_"))]), "live");
        check_app(&app(&[("app", S("/live/?token=2"))]), "live?token=2");
        check_app(&app(&[("app", Null)]), "");
    }

    #[test]
    fn answers_with_the_transaction_id_of_the_question() {
        let connect = |transaction| {
            let values = [S("connect"), N(transaction), Map(&[("app", S("live"))])];
            Script::fresh().values(kind::COMMAND, 0, &values)
        };
        for (transaction, told) in [(0.0, "0"), (2.0, "2"), (-1.5, "-1.5"), (f64::NAN, "NaN")] {
            let result = format!("_result {told} NetConnection.Connect.Success");
            let expected = [&OPENED[..5], &[&result[..]]].concat();
            check(&connect(transaction), &expected);
        }
    }

    #[test]
    fn comes_labelled_amf3_as_well() {
        let object = Map(&[("app", S("live")), ("objectEncoding", N(3.0))]);
        let with_prefix = {
            let mut body = vec![0];
            for value in [S("connect"), N(1.0), object] {
                write_arg(&mut Encoder::new(&mut body), value);
            }
            Script::fresh().message(3, kind::COMMAND_AMF3, 0, 0, &body)
        };
        let values = [S("connect"), N(1.0), object];
        let without = Script::fresh().values(kind::COMMAND_AMF3, 0, &values);
        for script in [with_prefix, without] {
            let script = script
                .values(kind::COMMAND_AMF3, 0, &[S("createStream"), N(2.0), Null])
                .message(
                    3,
                    kind::COMMAND_AMF3,
                    1,
                    0,
                    b"\0\x02\0\x04play\0\0\0\0\0\0\0\0\0\x05\x02\0\x03cam",
                );
            check_playing(&script, &[]);
        }
    }

    #[test]
    fn refusals_are_told_before_the_end() {
        let rejected = "_error 1 NetConnection.Connect.Rejected";
        let closed = Script::fresh().connect(Map(&[("app", S("closed"))]));
        check(&closed, &["? connect closed", rejected]);
        let after = closed.call("createStream", 2.0, &[]);
        check(&after, &["? connect closed", rejected, "! unexpected"]);
        let dots = Script::fresh().connect(Map(&[("app", S("live/../etc"))]));
        check(&dots, &[rejected, "! name"]);
    }

    #[test]
    fn happens_once_and_first() {
        let again = Script::open().call("connect", 4.0, &[]);
        check_open(
            &again,
            &["_error 4 NetConnection.Connect.Rejected", "! unexpected"],
        );
        for name in [
            "createStream",
            "publish",
            "play",
            "releaseStream",
            "close",
            "hello",
        ] {
            check(
                &Script::fresh().call(name, 2.0, &[S("cam")]),
                &["! unexpected"],
            );
        }
        // Not a command at all: the first value is no name.
        let nameless = Script::fresh().values(kind::COMMAND, 0, &[N(1.0), S("connect")]);
        check(&nameless.connect(Map(&[("app", S("live"))])), &OPENED);
    }

    /// All properties of the objects in the connect result, as `key=value` in wire order.
    fn result_of(script: &Script) -> Vec<String> {
        let mut server = Server::new();
        server.feed(&script.wire, false);
        let mut reader = ChunkReader::new(ReaderLimits::PUBLISHER);
        let (mut at, mut told) = (HANDSHAKE_BYTES, Vec::new());
        while let Some(message) = reader.next(&server.sent, &mut at).unwrap() {
            if message.header.kind == kind::COMMAND {
                let body = message.payload.to_vec();
                let command = Command::decode(kind::COMMAND, &body).unwrap().unwrap();
                for value in [command.object(), command.argument(0)] {
                    tell_object("", value.unwrap(), &mut told);
                }
                return told;
            }
            if let Ok(Some(Control::SetChunkSize(bytes))) = Control::decode(&message) {
                reader.set_chunk_size(bytes as usize);
            }
        }
        told
    }

    fn tell_object(prefix: &str, value: Value<'_>, told: &mut Vec<String>) {
        for (key, value) in value.as_object().unwrap().iter() {
            let key = format!("{prefix}{}", str::from_utf8(key).unwrap());
            match value {
                Value::Object(_) => tell_object(&format!("{key}."), value, told),
                Value::Number(number) => told.push(format!("{key}={number}")),
                _ => told.push(format!("{key}={}", value.as_str().unwrap())),
            }
        }
    }

    #[test]
    fn result_tells_what_the_relay_can_do() {
        let expected = [
            "fmsVer=FMS/3,5,7,7009",
            "capabilities=31",
            "mode=1",
            "level=status",
            "code=NetConnection.Connect.Success",
            "description=connection succeeded",
            "objectEncoding=0",
            "capsEx=6",
            "videoFourCcInfoMap.*=4",
            "audioFourCcInfoMap.*=4",
        ];
        assert_eq!(result_of(&Script::open()), expected);
        for (asked, told) in [(3.0, "3"), (0.0, "0"), (7.0, "0")] {
            let mut body = Vec::new();
            let mut amf = Encoder::new(&mut body);
            amf.string("connect").number(1.0).begin_object();
            amf.string_property("app", "live");
            amf.number_property("objectEncoding", asked).end_object();
            let script = Script::fresh().message(3, kind::COMMAND, 0, 0, &body);
            let line = format!("objectEncoding={told}");
            assert_eq!(result_of(&script)[6], line);
        }
    }

    #[test]
    fn says_who_the_client_is() {
        let object = Map(&[
            ("app", S("live")),
            (
                "flashVer",
                S("FMLE/3.0 (compatible; a name that goes on for longer than anybody wants)"),
            ),
            ("capsEx", N(15.0)),
            ("fourCcList", Null),
        ]);
        let mut server = Server::new();
        server.feed(&Script::fresh().connect(object).wire, false);
        let client = server.session.client();
        assert_eq!(client.flash_ver.len(), 64);
        assert!(client.flash_ver.starts_with("FMLE/3.0 (compatible; a name"));
        assert_eq!(client.caps_ex, 15);
        assert!(server.session.is_handshaken());
    }
}

mod streams {
    use super::*;

    #[test]
    fn ids_are_given_up_to_the_limit_and_again_when_deleted() {
        let mut script = Script::open();
        let mut expected = Vec::new();
        for number in 1..=limits::MESSAGE_STREAMS_MAX {
            let transaction = f64::from(u32::try_from(number).unwrap()) + 1.0;
            script = script.call("createStream", transaction, &[]);
            expected.push(format!("_result {transaction} {number}"));
        }
        script = script
            .call("createStream", 20.0, &[])
            .call("deleteStream", 0.0, &[N(3.0)])
            .on(5, "closeStream", &[])
            .call("createStream", 21.0, &[])
            .call("createStream", 22.0, &[]);
        expected.push("_error 20 NetConnection.Call.Failed".to_owned());
        expected.push("_result 21 3".to_owned());
        expected.push("_error 22 NetConnection.Call.Failed".to_owned());
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check_open(&script, &expected);
    }

    #[test]
    fn are_made_without_a_result_when_none_is_wanted() {
        let script = Script::open()
            .call("createStream", 0.0, &[])
            .call("createStream", 7.0, &[]);
        check_open(&script, &["_result 7 2"]);
    }

    #[test]
    fn close_ends_every_one_of_them_and_not_the_connection() {
        let script = Script::publishing()
            .call("createStream", 3.0, &[])
            .call("createStream", 4.0, &[])
            .on(3, "play", &[S("other")])
            .call("close", 0.0, &[])
            .call("createStream", 5.0, &[]);
        let expected = [
            "_result 3 2",
            "_result 4 3",
            "? play 3 live/other reset",
            "StreamBegin 3",
            "onStatus@3 NetStream.Play.Reset",
            "onStatus@3 NetStream.Play.Start",
            "onStatus@1 NetStream.Unpublish.Success",
            "? stop 1",
            "onStatus@3 NetStream.Play.Stop",
            "? stop 3",
            "_result 5 1",
        ];
        check_publishing(&script, &expected);
        check_open(&Script::open().call("close", 9.0, &[]), &[]);
    }

    #[test]
    fn are_deleted_by_argument_or_by_where_the_command_came() {
        let stopped = ["onStatus@1 NetStream.Play.Stop", "? stop 1", "_result 5 1"];
        let delete = |script: Script| script.call("createStream", 5.0, &[]);
        check_playing(
            &delete(Script::playing().call("deleteStream", 0.0, &[N(1.0)])),
            &stopped,
        );
        check_playing(
            &delete(Script::playing().on(1, "deleteStream", &[])),
            &stopped,
        );
        check_playing(
            &delete(Script::playing().on(1, "deleteStream", &[S("1")])),
            &stopped,
        );
        // Not a stream of this connection, or no number a stream can have.
        for odd in [N(2.0), N(0.0), N(-1.0), N(1.5), N(f64::NAN), N(1e300)] {
            let script = delete(Script::playing().call("deleteStream", 0.0, &[odd]));
            check_playing(&script, &["_result 5 2"]);
        }
    }

    #[test]
    fn closed_ones_play_again() {
        // JW Player and Flowplayer pause with closeStream.
        let script = Script::playing()
            .on(1, "closeStream", &[])
            .on(1, "closeStream", &[])
            .on(9, "closeStream", &[])
            .on(1, "play", &[S("cam"), N(-2.0), N(-1.0), B(false)]);
        let expected = [
            "onStatus@1 NetStream.Play.Stop",
            "? stop 1",
            "? play 1 live/cam",
            "StreamBegin 1",
            "onStatus@1 NetStream.Play.Start",
        ];
        check_playing(&script, &expected);
    }
}

mod publish {
    use super::*;

    #[test]
    fn type_may_be_anything_and_is_live_by_default() {
        let rows: [(&[Arg], &str); 9] = [
            (&[S("cam"), S("live")], "Live"),
            // Wirecast.
            (&[S("cam"), S("LIVE")], "Live"),
            (&[S("cam"), S("record")], "Record"),
            (&[S("cam"), S("RECORD")], "Record"),
            (&[S("cam"), S("append")], "Append"),
            (&[S("cam"), S("shout")], "Live"),
            // Some tools leave it out.
            (&[S("cam")], "Live"),
            (&[S("cam"), Null], "Live"),
            (&[S("cam"), N(1.0), S("append")], "Live"),
        ];
        for (arguments, told) in rows {
            let asked = format!("? publish 1 live/cam {told}");
            let script = Script::with_stream().on(1, "publish", arguments);
            check_stream(
                &script,
                &[
                    &asked,
                    "StreamBegin 1",
                    "onStatus@1 NetStream.Publish.Start",
                ],
            );
        }
    }

    #[test]
    fn query_is_no_part_of_the_name() {
        let script = Script::with_stream().on(1, "publish", &[S("cam?key=secret"), S("live")]);
        check_publishing(&script, &[]);
    }

    #[test]
    fn bad_names_are_told_before_the_end() {
        // GoPro Hero 12 and Wirecast publish an empty name.
        let rows: [&[Arg]; 6] = [
            &[],
            &[Null],
            &[S("")],
            &[S("../etc")],
            &[S("a\u{1}b")],
            &[S("?key=1")],
        ];
        for arguments in rows {
            let script = Script::with_stream().on(1, "publish", arguments);
            check_stream(
                &script,
                &["onStatus@1 error NetStream.Publish.BadName", "! name"],
            );
        }
        let long: &'static str = "n".repeat(257).leak();
        let script = Script::with_stream().on(1, "publish", &[S(long)]);
        check_stream(
            &script,
            &["onStatus@1 error NetStream.Publish.BadName", "! name"],
        );
    }

    #[test]
    fn refusals_leave_the_message_stream_free() {
        let script = Script::with_stream()
            .on(1, "publish", &[S("taken"), S("live")])
            .on(1, "publish", &[S("private"), S("live")])
            .audio(1, 0, b"nobody")
            .on(1, "publish", &[S("cam"), S("live")]);
        let expected = [
            "? publish 1 live/taken Live",
            "onStatus@1 error NetStream.Publish.BadName",
            "? publish 1 live/private Live",
            "onStatus@1 error NetStream.Publish.Denied",
            "? publish 1 live/cam Live",
            "StreamBegin 1",
            "onStatus@1 NetStream.Publish.Start",
        ];
        check_stream(&script, &expected);
    }

    #[test]
    fn goes_to_the_stream_that_is_meant() {
        let begun = |msid: u32| {
            [
                format!("? publish {msid} live/cam Live"),
                format!("StreamBegin {msid}"),
                format!("onStatus@{msid} NetStream.Publish.Start"),
            ]
        };
        let arguments = [S("cam"), S("live")];
        // On message stream 0: the only one there is, or one made for it.
        let [asked, begin, status] = begun(1);
        let script = Script::with_stream().on(0, "publish", &arguments);
        check_stream(&script, &[&asked, &begin, &status]);
        for (sent, given) in [(0, 1), (1, 1), (5, 5), (u32::MAX, u32::MAX)] {
            let [asked, begin, status] = begun(given);
            let script = Script::open().on(sent, "publish", &arguments);
            check_open(&script, &[&asked, &begin, &status]);
        }
    }

    #[test]
    fn one_message_stream_does_one_thing() {
        let script = Script::publishing()
            .on(1, "publish", &[S("other"), S("live")])
            .on(1, "play", &[S("other")])
            .audio(1, 5, b"on");
        let failed = "onStatus@1 error NetStream.Failed";
        check_publishing(&script, &[failed, failed, "= audio 1 @5, 2 bytes"]);
        let script = Script::playing().on(1, "publish", &[S("other"), S("live")]);
        check_playing(&script, &[failed]);
        let script = Script::with_stream()
            .on(1, "publish", &[S("later"), S("live")])
            .on(1, "publish", &[S("cam"), S("live")]);
        check_stream(&script, &["? publish 1 live/later Live", failed]);
    }

    #[test]
    fn streams_made_on_the_way_count() {
        let mut script = Script::open();
        for _ in 0..limits::MESSAGE_STREAMS_MAX {
            script = script.call("createStream", 0.0, &[]);
        }
        let script = script.on(77, "publish", &[S("cam")]);
        check_open(&script, &["! unexpected"]);
    }

    #[test]
    fn media_flows_until_the_end_and_no_longer() {
        let part = |part_kind: u8, time: u8, body: &[u8]| {
            let len = u8::try_from(body.len()).unwrap();
            let head = [part_kind, 0, 0, len, 0, 0, time, 0, 0, 0, 0];
            [&head[..], body, &[0, 0, 0, len + 11]].concat()
        };
        let aggregate = [part(9, 40, b"key"), part(8, 60, b"so")].concat();
        let script = Script::publishing()
            .message(5, kind::DATA, 1, 0, b"\x02\0\x0a")
            .audio(1, 10, b"")
            .message(6, kind::VIDEO, 1, 0x0100_0000, &[7; 300])
            // Flash and Wowza label data AMF3.
            .message(5, kind::DATA_AMF3, 1, 30, b"\0\x02\0\0")
            // FMLE, FMS.
            .message(4, kind::AGGREGATE, 1, 140, &aggregate)
            // Shared objects and types nobody knows are passed over.
            .message(4, 0x13, 1, 150, &[0; 200])
            .message(4, 0x63, 1, 150, &[0; 200])
            .on(1, "closeStream", &[])
            .audio(1, 200, b"late");
        let expected = [
            "= data 1 @0, 3 bytes",
            "= audio 1 @10, 0 bytes",
            "= video 1 @16777216, 300 bytes",
            "= data-amf3 1 @30, 4 bytes",
            "= video 1 @140, 3 bytes",
            "= audio 1 @160, 2 bytes",
            "onStatus@1 NetStream.Unpublish.Success",
            "? stop 1",
        ];
        check_publishing(&script, &expected);
    }

    #[test]
    fn all_of_it_may_come_at_once() {
        // C2, connect, createStream, publish and media in one packet: clients that wait for
        // nothing. `check` sends it whole, too.
        let script = Script::publishing().audio(1, 0, &[0xAF; 200]);
        check_publishing(&script, &["= audio 1 @0, 200 bytes"]);
    }

    #[test]
    fn long_messages_are_for_those_who_publish() {
        let long = vec![0x27; 300_000];
        let script = Script::publishing()
            .message(6, kind::VIDEO, 1, 40, &long)
            .message(5, kind::DATA, 1, 41, &long);
        check_publishing(
            &script,
            &["= video 1 @40, 300000 bytes", "! message_too_long"],
        );
        let script = Script::open().message(3, kind::COMMAND, 0, 0, &long[..65_537]);
        check_open(&script, &["! message_too_long"]);
    }

    #[test]
    fn early_media_is_dropped_within_a_budget() {
        // DJI Osmo Action 4 and phones send before they are let in.
        let piece = limits::UNAUTHORISED_MESSAGE_BYTES_MAX;
        let pieces = usize::try_from(limits::EARLY_MEDIA_BYTES_MAX).unwrap() / piece;
        let mut script = Script::with_stream().control(Control::SetChunkSize(1 << 20));
        for _ in 0..pieces {
            script = script.message(6, kind::VIDEO, 1, 0, &vec![0x27; piece]);
        }
        check_stream(&script, &[]);
        let script = script.audio(0, 0, b"!");
        check_stream(&script, &["! unexpected"]);
        // Before connect it counts as well.
        let script = Script::fresh()
            .audio(1, 0, b"early")
            .connect(Map(&[("app", S("live"))]));
        check(&script, &OPENED);
    }

    #[test]
    fn an_encoder_of_the_fmle_family_gets_all_its_answers() {
        let script = Script::open()
            .call("releaseStream", 2.0, &[S("cam?key=1")])
            .call("FCPublish", 3.0, &[S("cam?key=1")])
            .call("createStream", 4.0, &[])
            // Haivision Makito.
            .call("_checkbw", 5.0, &[])
            .on(1, "publish", &[S("cam?key=1"), S("live")])
            .call("FCUnpublish", 6.0, &[S("cam?key=1")])
            .call("deleteStream", 7.0, &[N(1.0)]);
        let expected = [
            "_result 2 Null",
            "onFCPublish 3 NetStream.Publish.Start cam",
            "_result 3 Null",
            "_result 4 1",
            "_result 5 Null",
            "? publish 1 live/cam Live",
            "StreamBegin 1",
            "onStatus@1 NetStream.Publish.Start",
            "onFCUnpublish 6 NetStream.Unpublish.Success cam",
            "_result 6 Null",
            "onStatus@1 NetStream.Unpublish.Success",
            "? stop 1",
        ];
        check_open(&script, &expected);
    }
}

mod play {
    use super::*;

    #[test]
    fn resets_unless_told_not_to() {
        let rows: [(&[Arg], bool); 9] = [
            (&[S("cam")], true),
            (&[S("cam"), N(-2.0)], true),
            // rtmpdump without --live asks for start 0.
            (&[S("cam"), N(0.0), N(-1.0), B(true)], true),
            (&[S("cam"), N(-1.0), N(-1.0), B(false)], false),
            (&[S("cam"), N(-1.0), N(-1.0), N(0.0)], false),
            (&[S("cam"), N(-1.0), N(-1.0), N(1.0)], true),
            (&[S("cam"), N(5000.0), N(f64::INFINITY), Null], true),
            (&[S("cam"), S("later"), Map(&[]), B(false)], false),
            (
                &[S("cam"), N(f64::NAN), Undefined, B(true), S("more"), Null],
                true,
            ),
        ];
        for (arguments, reset) in rows {
            let script = Script::with_stream().on(1, "play", arguments);
            if reset {
                check_playing(&script, &[]);
                continue;
            }
            let expected = [
                "? play 1 live/cam",
                "StreamBegin 1",
                "onStatus@1 NetStream.Play.Start",
            ];
            check_stream(&script, &expected);
        }
    }

    #[test]
    fn names_come_with_prefixes_and_queries() {
        // VLC, ffplay and mpv.
        for name in [
            "mp4:cam",
            "mp4:cam.mp4",
            "flv:cam",
            "cam?token=1",
            "rtmp://h/live/cam",
        ] {
            check_playing(&Script::with_stream().on(1, "play", &[S(name)]), &[]);
        }
        for name in ["", "a/../b", ".hidden"] {
            let script = Script::with_stream().on(1, "play", &[S(name)]);
            let expected = ["onStatus@1 error NetStream.Play.StreamNotFound", "! name"];
            check_stream(&script, &expected);
        }
    }

    #[test]
    fn needs_no_stream_made_for_it() {
        // Defective players play at once.
        let script = Script::open().on(0, "play", &[S("cam"), N(-2.0), N(-1.0), B(false)]);
        let expected = [
            "? play 1 live/cam",
            "StreamBegin 1",
            "onStatus@1 NetStream.Play.Start",
        ];
        check_open(&script, &expected);
    }

    #[test]
    fn a_second_one_replaces_the_first() {
        let script = Script::playing()
            .on(1, "play", &[S("other")])
            .on(1, "play", &[S("later")])
            .on(1, "play", &[S("missing")]);
        let expected = [
            "? play 1 live/other reset",
            "StreamBegin 1",
            "onStatus@1 NetStream.Play.Reset",
            "onStatus@1 NetStream.Play.Start",
            "? play 1 live/later reset",
            "? play 1 live/missing reset",
            "onStatus@1 error NetStream.Play.StreamNotFound",
        ];
        check_playing(&script, &expected);
    }

    #[test]
    fn false_stops_it() {
        let stopped = ["onStatus@1 NetStream.Play.Stop", "? stop 1"];
        check_playing(&Script::playing().on(1, "play", &[B(false)]), &stopped);
        check_stream(&Script::with_stream().on(1, "play", &[B(false)]), &[]);
        // One that still waits for its publisher, too.
        let script = Script::with_stream()
            .on(1, "play", &[S("later")])
            .on(1, "play", &[B(false)]);
        check_stream(
            &script,
            &[&["? play 1 live/later reset"], &stopped[..]].concat(),
        );
    }

    #[test]
    fn play2_switches_what_plays_and_nothing_else() {
        let other = Map(&[("oldStreamName", S("cam")), ("streamName", S("other"))]);
        let switch = |script: Script, parameters| script.on(1, "play2", &[parameters]);
        check_playing(
            &switch(Script::playing(), other),
            &["? switch 1 live/other"],
        );
        let failed = ["onStatus@1 error NetStream.Play.Failed"];
        check_stream(&switch(Script::with_stream(), other), &failed);
        check_publishing(&switch(Script::publishing(), other), &failed);
        // What plays goes on when the other name is no name.
        for odd in [
            Map(&[("streamName", S("../x"))]),
            Map(&[]),
            Null,
            S("other"),
        ] {
            let script = switch(Script::playing(), odd).on(1, "pause", &[B(true)]);
            check_playing(&script, &[failed[0], "? pause 1 true"]);
        }
    }

    #[test]
    fn pause_is_for_what_plays() {
        let rows: [(&str, &[Arg], &str); 5] = [
            ("pause", &[B(true), N(1200.0)], "? pause 1 true"),
            ("pause", &[B(false), N(1200.0)], "? pause 1 false"),
            ("pause", &[N(0.0)], "? pause 1 false"),
            ("pause", &[], "? pause 1 true"),
            ("pauseRaw", &[B(true)], "? pause 1 true"),
        ];
        for (name, arguments, expected) in rows {
            let name: &'static str = name;
            // On its own message stream, or on 0 when it is the only one.
            for msid in [1, 0] {
                check_playing(&Script::playing().on(msid, name, arguments), &[expected]);
            }
            check_stream(&Script::with_stream().on(1, name, arguments), &[]);
            check_publishing(&Script::publishing().on(1, name, arguments), &[]);
            let waiting = Script::with_stream().on(1, "play", &[S("later")]);
            check_stream(
                &waiting.on(1, name, arguments),
                &["? play 1 live/later reset"],
            );
        }
    }

    #[test]
    fn seek_is_for_what_plays() {
        let rows: [(&[Arg], u32); 4] = [
            (&[N(0.0)], 0),
            (&[N(61_000.0)], 61_000),
            (&[N(4_294_967_295.0)], u32::MAX),
            (&[], 0),
        ];
        for (arguments, position) in rows {
            let expected = format!("? seek 1 {position}");
            check_playing(&Script::playing().on(1, "seek", arguments), &[&expected]);
            check_publishing(&Script::publishing().on(1, "seek", arguments), &[]);
        }
    }

    #[test]
    fn halves_are_turned_off_before_and_after() {
        let script = Script::with_stream()
            .on(1, "receiveVideo", &[B(false)])
            .on(7, "receiveVideo", &[B(false)])
            .on(1, "play", &[S("cam"), N(-2.0), N(-1.0), B(false)])
            .on(1, "receiveVideo", &[B(true)])
            .on(1, "receiveAudio", &[B(false)])
            .on(0, "receiveAudio", &[N(1.0)])
            .on(1, "receiveAudio", &[]);
        let expected = [
            "? receive 1 Video false",
            "? play 1 live/cam",
            "StreamBegin 1",
            "onStatus@1 NetStream.Play.Start",
            "? receive 1 Video true",
            "? receive 1 Audio false",
            "? receive 1 Audio true",
            "? receive 1 Audio true",
        ];
        check_stream(&script, &expected);
    }

    #[test]
    fn a_player_of_the_fmle_family_gets_all_its_answers() {
        let script = Script::open()
            .call("FCSubscribe", 2.0, &[S("cam")])
            .call("createStream", 3.0, &[])
            // ffplay asks for the length and may wait for it.
            .call("getStreamLength", 4.0, &[S("cam")])
            .on(1, "play", &[S("cam"), N(-2000.0), N(-1.0), B(false)])
            .control(Control::User(UserControl::SetBufferLength {
                msid: 1,
                buffer_ms: 3_000,
            }));
        let expected = [
            "onFCSubscribe 2 NetStream.Play.Start cam",
            "_result 2 Null",
            "_result 3 1",
            "_result 4 0",
            "? play 1 live/cam",
            "StreamBegin 1",
            "onStatus@1 NetStream.Play.Start",
        ];
        check_open(&script, &expected);
    }

    #[test]
    fn what_ends_it_from_this_side_is_told() {
        let mut server = Server::new();
        server.feed(&Script::playing().wire, false);
        server.seen.lines.clear();
        server.session.send_user_control(UserControl::StreamEof(1));
        server.session.send_status(1, Status::PauseNotify, "paused");
        server.session.end_play(1, "over");
        // It no longer plays, and may play again.
        server.feed(
            &Script::fresh().on(1, "pause", &[B(true)]).wire[HANDSHAKE_BYTES..],
            false,
        );
        let again = Script::fresh().on(1, "play", &[S("missing")]);
        server.feed(&again.wire[HANDSHAKE_BYTES..], false);
        let expected = [
            "StreamEof 1",
            "onStatus@1 NetStream.Pause.Notify",
            "StreamEof 1",
            "onStatus@1 NetStream.Play.UnpublishNotify",
            "? play 1 live/missing reset",
            "onStatus@1 error NetStream.Play.StreamNotFound",
        ];
        assert_eq!(server.seen.lines, expected);
    }
}

mod calls {
    use super::*;

    #[test]
    fn nobody_knows_are_answered_when_an_answer_is_wanted() {
        for name in ["set_playlist", "checkBandwidth", "Publish", "", "onBWDone"] {
            let script = Script::open().call(name, 9.0, &[S("x")]);
            check_open(&script, &["_error 9 NetConnection.Call.Failed"]);
            check_open(&Script::open().call(name, 0.0, &[S("x")]), &[]);
        }
        // Without a transaction id, or with something else in its place.
        for values in [&[S("hello")][..], &[S("hello"), Null, Null]] {
            check_open(&Script::open().values(kind::COMMAND, 0, values), &[]);
        }
    }

    #[test]
    fn of_the_fmle_family_without_a_transaction_get_no_result() {
        let script = Script::open()
            .call("releaseStream", 0.0, &[S("cam")])
            .call("FCPublish", 0.0, &[S("cam")])
            .call("getStreamLength", 0.0, &[S("cam")])
            .call("FCUnpublish", 0.0, &[]);
        let expected = [
            "onFCPublish 0 NetStream.Publish.Start cam",
            "onFCUnpublish 0 NetStream.Unpublish.Success ",
        ];
        check_open(&script, &expected);
    }

    #[test]
    fn that_are_answers_are_ignored() {
        let script = Script::publishing()
            .call("_result", 1.0, &[N(1.0)])
            .call("_error", 4.0, &[Null])
            .on(
                1,
                "onStatus",
                &[Map(&[("code", S("NetStream.Publish.Start"))])],
            )
            .control(Control::User(UserControl::StreamBegin(1)))
            .control(Control::User(UserControl::StreamEof(1)))
            .control(Control::SetPeerBandwidth {
                window: 1,
                limit: 0,
            })
            .control(Control::Acknowledgement(u32::MAX));
        check_publishing(&script, &[]);
    }

    #[test]
    fn that_are_no_amf0_end_the_connection() {
        let cut = Script::open().message(3, kind::COMMAND, 0, 0, b"\x02\0\x09play");
        check_open(&cut, &["! amf"]);
        let nested = [b"\x02\0\x01x".to_vec(), b"\x03\0\x01a".repeat(40)].concat();
        check_open(
            &Script::open().message(3, kind::COMMAND, 0, 0, &nested),
            &["! amf"],
        );
    }

    #[test]
    fn of_one_connection_do_not_reach_streams_it_does_not_have() {
        let script = Script::publishing()
            .on(2, "closeStream", &[])
            .on(2, "pause", &[B(true)])
            .on(2, "seek", &[N(0.0)])
            .call("deleteStream", 0.0, &[N(2.0)])
            .call("FCUnpublish", 0.0, &[S("another")])
            .audio(1, 1, b"on");
        let expected = [
            "onFCUnpublish 0 NetStream.Unpublish.Success another",
            "= audio 1 @1, 2 bytes",
        ];
        check_publishing(&script, &expected);
    }
}

mod control {
    use super::*;

    #[test]
    fn pings_are_answered_and_answers_to_ours_told() {
        let script = Script::open()
            .control(Control::User(UserControl::PingRequest(7)))
            .control(Control::User(UserControl::PingResponse(9)))
            .control(Control::User(UserControl::PingRequest(u32::MAX)));
        check_open(
            &script,
            &["PingResponse 7", "? pong 9", "PingResponse 4294967295"],
        );
    }

    #[test]
    fn comes_on_any_chunk_stream_and_any_message_stream() {
        // PTZOptics cameras use chunk stream 4.
        let script = Script::open().message(4, kind::USER_CONTROL, 7, 0, &[0, 6, 0, 0, 0, 8]);
        check_open(&script, &["PingResponse 8"]);
        // The ping of librtmp begins its chunk stream with a type 1 header.
        let ping = [0x42, 0, 0, 0, 0, 0, 6, 4, 0, 6, 0, 0, 0x0D, 0x0F];
        check_open(&Script::open().raw(&ping), &["PingResponse 3343"]);
        // Events of FMS, and one without a body.
        let script = Script::open()
            .message(2, kind::USER_CONTROL, 0, 0, &[0, 31, 0, 0, 0, 1])
            .message(2, kind::USER_CONTROL, 0, 0, &[0, 6]);
        check_open(&script, &[]);
        check_open(
            &Script::open().message(2, kind::USER_CONTROL, 0, 0, &[0]),
            &["! short_control"],
        );
    }

    #[test]
    fn chunk_size_changes_at_any_time() {
        let body = [0x17; 5_000];
        let script = Script::publishing()
            .message(6, kind::VIDEO, 1, 1, &body[..1_000])
            .control(Control::SetChunkSize(4_096))
            .message(6, kind::VIDEO, 1, 2, &body)
            // joy4 announces 128 MiB.
            .control(Control::SetChunkSize(0x0800_0000))
            .message(6, kind::VIDEO, 1, 3, &body)
            .control(Control::SetChunkSize(128))
            .message(6, kind::VIDEO, 1, 4, &body[..1_000]);
        let expected = [
            "= video 1 @1, 1000 bytes",
            "= video 1 @2, 5000 bytes",
            "= video 1 @3, 5000 bytes",
            "= video 1 @4, 1000 bytes",
        ];
        check_publishing(&script, &expected);
        for bytes in [0, 127, 0x8000_0000] {
            let body = u32::to_be_bytes(bytes);
            let script = Script::open().message(2, kind::SET_CHUNK_SIZE, 0, 0, &body);
            check_open(&script, &["! chunk_size"]);
        }
    }

    #[test]
    fn abort_gives_up_the_message_begun_and_no_other() {
        // 300 bytes of audio announced, 128 there; the next on the chunk stream is whole.
        let begun = [
            &[0x07, 0, 0, 9, 0, 1, 0x2C, 8, 1, 0, 0, 0][..],
            &[0xAF; 128],
        ]
        .concat();
        let script = Script::publishing()
            .raw(&begun)
            .audio(1, 10, b"kept")
            .control(Control::Abort(7))
            .control(Control::Abort(900))
            .message(7, kind::AUDIO, 1, 30, b"next");
        check_publishing(
            &script,
            &["= audio 1 @10, 4 bytes", "= audio 1 @30, 4 bytes"],
        );
    }

    /// Totals acknowledged while a publisher sends `bytes` in inputs of `step` bytes.
    fn acknowledged(window: Option<u32>, step: usize) -> (u64, Vec<u64>) {
        let mut script = Script::publishing();
        if let Some(window) = window {
            script = script.control(Control::WindowAckSize(window));
        }
        script = script.control(Control::SetChunkSize(1 << 20));
        for time in 0..48 {
            script = script.message(6, kind::VIDEO, 1, time, &vec![0x27; 60_000]);
        }
        let mut server = Server::new();
        script
            .wire
            .chunks(step)
            .for_each(|input| server.feed(input, false));
        let lines = server.seen.lines.iter();
        let acks = lines.filter_map(|line| line.strip_prefix("Ack ")?.parse().ok());
        (script.wire.len() as u64, acks.collect())
    }

    #[test]
    fn acknowledgements_count_every_byte_whatever_the_reads() {
        // Asked for or not: some encoders stop without them although they name no window.
        let windows = [
            (None, limits::ACK_WINDOW_DEFAULT),
            (Some(1_000_000), 1_000_000),
            (Some(1), limits::ACK_WINDOW_MIN),
            (Some(0x7FFF_FFFF), 0x7FFF_FFFF),
        ];
        for (asked, window) in windows {
            for step in [1_460, 65_536] {
                let (total, acks) = acknowledged(asked, step);
                let half = u64::from(window) / 2;
                let mut last = 0;
                for ack in acks {
                    assert!(ack - last >= half, "{ack} so soon after {last}");
                    assert!(
                        ack - last <= half + step as u64,
                        "{ack} so late after {last}"
                    );
                    last = ack;
                }
                assert!(total - last < half + step as u64, "{last} of {total}");
            }
        }
    }
}

mod joined {
    use super::*;

    /// A client and a server joined, and how their bytes are cut on the way.
    struct Pair {
        client: ClientSession,
        server: Server,
        /// What the client tells.
        lines: Vec<String>,
        media: Vec<Vec<u8>>,
        /// Bytes that went to the server and to the client.
        moved: [usize; 2],
        cuts: Cuts,
    }

    impl Pair {
        fn new(action: Action, handshake: Mode, app: &str, stream: &str, cuts: Cuts) -> Self {
            let request = ClientRequest {
                app: app.to_owned(),
                tc_url: format!("rtmp://localhost/{app}"),
                stream: stream.to_owned(),
                action,
                handshake,
                chunk_size: 4_096,
            };
            Self {
                client: ClientSession::new(request, 3),
                server: Server::new(),
                lines: Vec::new(),
                media: Vec::new(),
                moved: [0; 2],
                cuts,
            }
        }

        /// Carries bytes to and fro until both are silent.
        fn settle(&mut self) {
            loop {
                let to_server = self.client.out().pending().to_vec();
                self.client.out().advance(to_server.len());
                for input in self.pieces(0, &to_server) {
                    self.server.feed(input, false);
                }
                self.server.drain();
                let to_client = std::mem::take(&mut self.server.sent);
                for input in self.pieces(1, &to_client) {
                    self.feed_client(input);
                }
                if to_server.is_empty() && to_client.is_empty() {
                    return;
                }
            }
        }

        /// `bytes` as they arrive on the way number `way`.
        fn pieces<'a>(&mut self, way: usize, bytes: &'a [u8]) -> Vec<&'a [u8]> {
            let before = self.moved[way];
            self.moved[way] += bytes.len();
            let (step, first) = match self.cuts {
                Cuts::Whole | Cuts::AfterEachEvent => (usize::MAX, 0),
                Cuts::Steps(step) => (step, 0),
                Cuts::InTwo(at) => (usize::MAX, at.saturating_sub(before).min(bytes.len())),
            };
            let (head, tail) = bytes.split_at(first);
            head.chunks(step).chain(tail.chunks(step)).collect()
        }

        fn feed_client(&mut self, input: &[u8]) {
            let mut at = 0;
            while let Some(event) = self.client.next(input, &mut at).unwrap() {
                let line = match event {
                    ClientEvent::Connected { caps_ex } => format!("connected {caps_ex}"),
                    ClientEvent::Refused { code, description } => {
                        format!("refused {code}: {description}")
                    }
                    ClientEvent::Status {
                        msid, level, code, ..
                    } => format!("{level}@{msid} {code}"),
                    ClientEvent::Control(event) => format!("{event:?}"),
                    ClientEvent::Media(message) => {
                        self.media.push(message.payload.to_vec());
                        told_media(&message)
                    }
                };
                self.lines.push(line);
            }
            assert_eq!(at, input.len());
            self.client.end_input(input, at).unwrap();
        }

        fn lines(&self) -> Vec<&str> {
            self.lines.iter().map(String::as_str).collect()
        }
    }

    /// A header, a message longer than any chunk, one at a time beyond 24 bits.
    fn media() -> Vec<(MessageHeader, Vec<u8>)> {
        let message = |csid, message_kind, time, body: Vec<u8>| {
            let header = MessageHeader {
                csid,
                timestamp: Timestamp(time),
                kind: message_kind,
                msid: 1,
                len: body.len(),
            };
            (header, body)
        };
        vec![
            message(
                5,
                kind::DATA,
                0,
                b"\x02\0\x0aonMetaData\x03\0\0\x09".to_vec(),
            ),
            message(6, kind::VIDEO, 20, (0..=255).cycle().take(5_000).collect()),
            message(4, kind::AUDIO, 0x0100_0000, b"\xAF\x01sound".to_vec()),
        ]
    }

    const MEDIA: [&str; 3] = [
        "= data 1 @0, 17 bytes",
        "= video 1 @20, 5000 bytes",
        "= audio 1 @16777216, 7 bytes",
    ];

    /// Publishes; how many bytes went each way.
    #[track_caller]
    fn check_publish(handshake: Mode, cuts: Cuts) -> [usize; 2] {
        let mut pair = Pair::new(Action::Publish, handshake, "live", "cam?key=1", cuts);
        pair.settle();
        let connected = ["StreamBegin(0)", "connected 6", "StreamBegin(1)"];
        let begun = "status@1 NetStream.Publish.Start";
        assert_eq!(
            pair.lines(),
            [&connected[..], &[begun]].concat(),
            "{cuts:?}"
        );
        assert_eq!(pair.client.msid(), Some(1));
        for (header, body) in media() {
            pair.client.send_media(&header, &Payload::from_slice(&body));
        }
        pair.client.send_command(1, |amf| {
            amf.string("closeStream").number(0.0).null();
        });
        pair.settle();
        assert_eq!(
            pair.lines().last(),
            Some(&"status@1 NetStream.Unpublish.Success")
        );
        let asked = [
            "_result 2 Null",
            "onFCPublish 3 NetStream.Publish.Start cam",
            "_result 3 Null",
            "_result 4 1",
            "? publish 1 live/cam Live",
            "StreamBegin 1",
            "onStatus@1 NetStream.Publish.Start",
        ];
        let ended = ["onStatus@1 NetStream.Unpublish.Success", "? stop 1"];
        let expected = [&OPENED[..], &asked, &MEDIA, &ended].concat();
        assert_eq!(pair.server.seen.lines, expected, "{cuts:?}");
        let bodies: Vec<Vec<u8>> = media().into_iter().map(|(_, body)| body).collect();
        assert_eq!(pair.server.seen.media, bodies);
        pair.moved
    }

    /// Plays; how many bytes went each way.
    #[track_caller]
    fn check_play(handshake: Mode, cuts: Cuts) -> [usize; 2] {
        let mut pair = Pair::new(Action::Play, handshake, "live", "cam", cuts);
        pair.settle();
        let chunk_size = pair.server.session.out_chunk_size();
        for (header, body) in media() {
            let out = pair.server.session.out().writer();
            write_message(out, &header, &Payload::from_slice(&body), chunk_size);
        }
        pair.server
            .session
            .send_user_control(UserControl::PingRequest(5));
        pair.server.session.end_play(1, "over");
        pair.settle();
        let begun = [
            "StreamBegin(0)",
            "connected 6",
            "StreamBegin(1)",
            "status@1 NetStream.Play.Reset",
            "status@1 NetStream.Play.Start",
        ];
        let ended = ["StreamEof(1)", "status@1 NetStream.Play.UnpublishNotify"];
        let expected = [&begun[..], &MEDIA, &ended].concat();
        assert_eq!(pair.lines(), expected, "{cuts:?}");
        let bodies: Vec<Vec<u8>> = media().into_iter().map(|(_, body)| body).collect();
        assert_eq!(pair.media, bodies);
        let last = pair.server.seen.lines.last().unwrap();
        assert_eq!(last, "? pong 5");
        pair.moved
    }

    const STEPS: [usize; 9] = [1, 2, 7, 128, 129, 1_536, 1_537, 3_073, 4_097];

    #[test]
    fn a_client_publishes_in_either_handshake_however_bytes_are_cut() {
        for handshake in [Mode::Plain, Mode::Digest] {
            check_publish(handshake, Cuts::Whole);
            STEPS
                .into_iter()
                .for_each(|step| _ = check_publish(handshake, Cuts::Steps(step)));
        }
        let bytes = check_publish(Mode::Plain, Cuts::Whole)
            .into_iter()
            .max()
            .unwrap();
        // Inside the long message every seventh place will do.
        let places =
            (HANDSHAKE_BYTES - 3..HANDSHAKE_BYTES + 1_200).chain((4_000..bytes).step_by(7));
        places.for_each(|at| _ = check_publish(Mode::Plain, Cuts::InTwo(at)));
    }

    #[test]
    fn a_client_plays_in_either_handshake_however_bytes_are_cut() {
        for handshake in [Mode::Plain, Mode::Digest] {
            check_play(handshake, Cuts::Whole);
            STEPS
                .into_iter()
                .for_each(|step| _ = check_play(handshake, Cuts::Steps(step)));
        }
        let bytes = check_play(Mode::Plain, Cuts::Whole)
            .into_iter()
            .max()
            .unwrap();
        let places =
            (HANDSHAKE_BYTES - 3..HANDSHAKE_BYTES + 1_200).chain((4_000..bytes).step_by(7));
        places.for_each(|at| _ = check_play(Mode::Plain, Cuts::InTwo(at)));
    }

    #[track_caller]
    fn check_refusal(action: Action, app: &str, stream: &str, expected: &str) {
        for handshake in [Mode::Plain, Mode::Digest] {
            let mut pair = Pair::new(action, handshake, app, stream, Cuts::Whole);
            pair.settle();
            assert_eq!(pair.lines().last(), Some(&expected));
        }
    }

    #[test]
    fn a_client_is_told_why_it_was_refused() {
        for action in [Action::Publish, Action::Play] {
            let closed = "refused NetConnection.Connect.Rejected: no such app";
            check_refusal(action, "closed", "cam", closed);
        }
        check_refusal(
            Action::Publish,
            "live",
            "taken",
            "error@1 NetStream.Publish.BadName",
        );
        check_refusal(
            Action::Publish,
            "live",
            "private",
            "error@1 NetStream.Publish.Denied",
        );
        check_refusal(
            Action::Publish,
            "live",
            "..",
            "error@1 NetStream.Publish.BadName",
        );
        check_refusal(
            Action::Play,
            "live",
            "missing",
            "error@1 NetStream.Play.StreamNotFound",
        );
    }

    /// What a client that publishes tells and sends, against a server's hand-written bytes.
    #[track_caller]
    fn check_client(server: &Script, told: &[&str], sent: &[&str]) {
        let wire = &server.wire[..];
        for step in [wire.len(), 1, 2, 7] {
            let mut pair = Pair::new(Action::Publish, Mode::Plain, "live", "cam", Cuts::Whole);
            wire.chunks(step).for_each(|input| pair.feed_client(input));
            assert_eq!(pair.lines(), told, "in steps of {step}");
            let mut answers = Answers::new();
            let mut lines = Vec::new();
            let out = pair.client.out().pending().to_vec();
            answers.reader.set_chunk_size(128);
            answers.handshake_left = HANDSHAKE_BYTES;
            read_calls(&mut answers, &out, &mut lines);
            assert_eq!(lines, sent, "in steps of {step}");
        }
    }

    /// Names and transaction ids of what a client sends, and its control messages.
    fn read_calls(answers: &mut Answers, bytes: &[u8], lines: &mut Vec<String>) {
        let mut at = answers.handshake_left;
        while let Some(message) = answers.reader.next(bytes, &mut at).unwrap() {
            let mut chunk_size = None;
            if let Some(control) = Control::decode(&message).unwrap() {
                if let Control::SetChunkSize(bytes) = control {
                    chunk_size = Some(bytes as usize);
                }
                lines.push(told_control(control));
            } else {
                let (msid, body) = (message.header.msid, message.payload.to_vec());
                let command = Command::decode(kind::COMMAND, &body).unwrap().unwrap();
                lines.push(format!("{}@{msid} {}", command.name, command.transaction));
            }
            if let Some(bytes) = chunk_size {
                answers.reader.set_chunk_size(bytes);
            }
        }
        assert_eq!(at, bytes.len());
    }

    const ASKED: [&str; 5] = [
        "SetChunkSize 4096",
        "connect@0 1",
        "releaseStream@0 2",
        "FCPublish@0 3",
        "createStream@0 4",
    ];

    /// A server that has let the client in.
    fn welcoming() -> Script {
        let info = Map(&[
            ("code", S("NetConnection.Connect.Success")),
            ("capsEx", N(3.0)),
        ]);
        Script::fresh().call("_result", 1.0, &[info])
    }

    #[test]
    fn a_client_lives_with_what_servers_say_beside_the_answers() {
        // nginx-rtmp refuses releaseStream and FCPublish; many send onBWDone.
        let server = welcoming()
            .call("onBWDone", 0.0, &[N(8192.0)])
            .call("_error", 2.0, &[Map(&[("code", S("no"))])])
            .call("_error", 3.0, &[])
            .call("onFCPublish", 0.0, &[])
            .control(Control::User(UserControl::PingRequest(4)))
            .call("_result", 4.0, &[N(6.0)])
            // A second result changes nothing, nor do commands for a server.
            .call("_result", 4.0, &[N(9.0)])
            .on(6, "publish", &[S("yours"), S("live")])
            // xiu and livego send media on message stream 0.
            .audio(0, 4, b"up");
        let sent = [&ASKED[..], &["PingResponse 4", "publish@6 5"]].concat();
        check_client(&server, &["connected 3", "= audio 0 @4, 2 bytes"], &sent);
        // A result without a number.
        let server = welcoming().call("_result", 4.0, &[]);
        check_client(
            &server,
            &["connected 3"],
            &[&ASKED[..], &["publish@1 5"]].concat(),
        );
    }

    #[test]
    fn a_client_tells_refusals_of_any_form() {
        let info = Map(&[
            ("code", S("NetConnection.Call.Failed")),
            ("description", S("full")),
        ]);
        let full = "refused NetConnection.Call.Failed: full";
        let server = welcoming().call("_error", 4.0, &[info]);
        check_client(&server, &["connected 3", full], &ASKED);
        // The object in the place of the command object, or none at all.
        let server = welcoming().values(kind::COMMAND, 0, &[S("_error"), N(4.0), info]);
        check_client(&server, &["connected 3", full], &ASKED);
        let server = Script::fresh().call("_error", 1.0, &[]);
        check_client(&server, &["refused : "], &ASKED[..2]);
    }
}
