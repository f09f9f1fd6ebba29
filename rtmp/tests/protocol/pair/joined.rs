//! Scenarios of the sessions: joined.

use super::*;
use tailwater_rtmp_exercise::vector;

use tailwater_rtmp::message::MessageStreamId;

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
        Self::through("", (action, handshake), app, stream, cuts)
    }

    /// The client says `via` of itself.
    fn through(
        via: &str,
        (action, handshake): (Action, Mode),
        app: &str,
        stream: &str,
        cuts: Cuts,
    ) -> Self {
        let request = ClientRequest {
            app: app.to_owned(),
            tc_url: format!("rtmp://localhost/{app}"),
            stream: stream.to_owned(),
            action,
            handshake,
            chunk_size: 4_096,
            property: ("via", via.to_owned()),
            mark: "relay",
            ..ClientRequest::default()
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
            let to_client = core::mem::take(&mut self.server.sent);
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
                ClientEvent::Refused {
                    code, description, ..
                } => {
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

#[test]
fn a_property_of_connect_is_kept_and_answered_with_a_mark() {
    for (via, is_told) in [
        ("", false),
        ("00000000000000aa", true),
        ("00000000000000aab", true),
    ] {
        let what = (Action::Play, Mode::Digest);
        let mut pair = Pair::through(via, what, "live", "cam", Cuts::Whole);
        pair.settle();
        assert_eq!(pair.client.is_marked(), is_told);
    }
}

/// What is sent of a stream; the key frame is longer than any chunk.
fn media() -> Vec<(MessageHeader, Vec<u8>)> {
    vector::media(5_000)
}

const MEDIA: [&str; 5] = [
    "= data 1 @0, 68 bytes",
    "= video 1 @0, 9 bytes",
    "= audio 1 @0, 4 bytes",
    "= video 1 @40, 5000 bytes",
    "= audio 1 @16777216, 4 bytes",
];

/// Publishes; how many bytes went each way.
#[track_caller]
fn check_publish(handshake: Mode, cuts: Cuts) -> [usize; 2] {
    let mut pair = Pair::new(Action::Publish, handshake, "live", "cam?key=1", cuts);
    pair.settle();
    let connected = [
        "StreamBegin(MessageStreamId(0))",
        "connected 6",
        "StreamBegin(MessageStreamId(1))",
    ];
    let begun = "status@1 NetStream.Publish.Start";
    assert_eq!(
        pair.lines(),
        [&connected[..], &[begun]].concat(),
        "{cuts:?}"
    );
    assert_eq!(pair.client.msid(), Some(MessageStreamId(1)));
    for (header, body) in media() {
        pair.client.send_media(&header, &Payload::from_slice(&body));
    }
    pair.client.send_command(MessageStreamId(1), |amf| {
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
    pair.server.session.end_play(MessageStreamId(1), "over");
    pair.settle();
    let begun = [
        "StreamBegin(MessageStreamId(0))",
        "connected 6",
        "StreamBegin(MessageStreamId(1))",
        "status@1 NetStream.Play.Reset",
        "status@1 NetStream.Play.Start",
    ];
    let ended = [
        "StreamEof(MessageStreamId(1))",
        "status@1 NetStream.Play.UnpublishNotify",
    ];
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
    let places = (HANDSHAKE_BYTES - 3..HANDSHAKE_BYTES + 1_200).chain((4_000..bytes).step_by(7));
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
    let places = (HANDSHAKE_BYTES - 3..HANDSHAKE_BYTES + 1_200).chain((4_000..bytes).step_by(7));
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
        // A target has nothing to send.
        .audio(6, 4, b"up");
    let sent = [&ASKED[..], &["PingResponse 4", "publish@6 5"]].concat();
    check_client(&server, &["connected 3"], &sent);
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

/// How a client that plays ends which is sent `wire`, and how many bytes it has sent.
fn ends(wire: &[u8]) -> (Option<&'static str>, usize) {
    ends_as(Action::Play, wire)
}

fn ends_as(action: Action, wire: &[u8]) -> (Option<&'static str>, usize) {
    let request = ClientRequest {
        app: "live".to_owned(),
        tc_url: "rtmp://localhost/live".to_owned(),
        stream: "cam".to_owned(),
        action,
        handshake: Mode::Plain,
        chunk_size: 4_096,
        ..ClientRequest::default()
    };
    let mut client = ClientSession::new(request, 3);
    let mut end = None;
    for input in wire.chunks(65_536) {
        let mut at = 0;
        let ended = loop {
            match client.next(input, &mut at) {
                Ok(Some(_)) => {}
                Ok(None) => break client.end_input(input, at),
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = ended {
            end = Some(error.code());
            break;
        }
    }
    (end, client.out().pending().len())
}

#[test]
fn a_hostile_server_is_left() {
    let asked = || welcoming().call("_result", 4.0, &[N(1.0)]);
    let long = vec![0x5A; limits::DATA_MESSAGE_BYTES_MAX + 1];
    let mut rtmpe = Script::fresh();
    rtmpe.wire[0] = 6;
    let zero = asked().message(2, kind::SET_CHUNK_SIZE, 0, 0, &[0; 4]);
    let metadata = asked().message(5, kind::DATA, 1, 0, &long);
    let early = welcoming().message(3, kind::COMMAND, 0, 0, &long[..70_000]);
    let unknown =
        |count| (0..count).fold(asked(), |script, _| script.call("_result", 99.0, &[N(1.0)]));
    let limit = limits::GLITCHES.burst();
    let rows = [
        (asked(), None),
        (rtmpe, Some("version")),
        (zero, Some("chunk_size")),
        (metadata, Some("message_too_long")),
        (early, Some("message_too_long")),
        (unknown(limit), None),
        (unknown(limit + 1), Some("glitches")),
    ];
    for (script, expected) in rows {
        assert_eq!(ends(&script.wire).0, expected);
    }
    // A key frame in 4K is no attack once there is something to come.
    let frame = asked().message(6, kind::VIDEO, 1, 0, &vec![0x17; 4 << 20]);
    assert_eq!(ends(&frame.wire).0, None);
}

#[test]
fn a_server_that_answers_again_does_not_make_a_client_ask_again() {
    let result = |script: Script| script.call("_result", 1.0, &[Null]);
    let once = result(Script::fresh()).call("_result", 4.0, &[N(1.0)]);
    let (end, sent) = ends(&once.wire);
    assert_eq!(end, None);
    let again = (0..100).fold(Script::fresh(), |script, _| result(script));
    let again = again.call("_result", 4.0, &[N(1.0)]);
    assert_eq!(ends(&result(again).wire), (None, sent));
    // The result of createStream before that of connect is none.
    let early = Script::fresh().call("_result", 4.0, &[N(1.0)]);
    let (_, before) = ends(&Script::fresh().wire);
    assert_eq!(ends(&early.wire), (None, before));
}

#[test]
fn media_a_server_sends_before_it_is_asked_is_dropped_within_a_budget() {
    let pieces = usize::try_from(limits::EARLY_MEDIA_BYTES_MAX).unwrap() / 60_000;
    let early = (0..pieces).fold(welcoming(), |script, _| {
        script.message(6, kind::VIDEO, 1, 0, &[0x27; 60_000])
    });
    assert_eq!(ends(&early.wire).0, None);
    let more = early.message(6, kind::VIDEO, 1, 0, &[0x27; 60_000]);
    assert_eq!(ends(&more.wire).0, Some("unexpected"));
}

#[test]
fn regression_a_target_may_not_send_media_without_end() {
    let pieces = usize::try_from(limits::EARLY_MEDIA_BYTES_MAX).unwrap() / 60_000 + 1;
    let asked = welcoming().call("_result", 4.0, &[N(1.0)]);
    let sent = (0..pieces).fold(asked, |script, _| {
        script.message(6, kind::VIDEO, 1, 0, &[0x27; 60_000])
    });
    assert_eq!(ends_as(Action::Publish, &sent.wire).0, Some("unexpected"));
    assert_eq!(ends_as(Action::Play, &sent.wire).0, None);
}

#[test]
fn a_player_takes_media_on_any_message_stream() {
    // xiu and livego send it on message stream 0.
    let server = welcoming()
        .call("_result", 4.0, &[N(6.0)])
        .audio(0, 4, b"up");
    let mut pair = Pair::new(Action::Play, Mode::Plain, "live", "cam", Cuts::Whole);
    pair.feed_client(&server.wire);
    assert_eq!(pair.lines(), ["connected 3", "= audio 0 @4, 2 bytes"]);
}

#[test]
fn what_a_server_says_is_cut() {
    let text = "x".repeat(50_000);
    let status = |text: &str| {
        let mut body = Vec::new();
        let mut amf = Encoder::new(&mut body);
        amf.string("onStatus").number(0.0).null().begin_object();
        for key in ["level", "code", "description"] {
            amf.string_property(key, text);
        }
        amf.end_object();
        body
    };
    let server =
        welcoming()
            .call("_result", 4.0, &[N(1.0)])
            .message(3, kind::COMMAND, 1, 0, &status(&text));
    let mut pair = Pair::new(Action::Play, Mode::Plain, "live", "cam", Cuts::Whole);
    pair.feed_client(&server.wire);
    let cut = &text[..limits::STATUS_TEXT_BYTES_MAX];
    assert_eq!(pair.lines().last().unwrap(), &format!("{cut}@1 {cut}"));
}

#[test]
fn a_client_is_told_the_age_of_what_is_incomplete() {
    let server = welcoming().call("_result", 4.0, &[N(1.0)]);
    let mut pair = Pair::new(Action::Play, Mode::Plain, "live", "cam", Cuts::Whole);
    pair.feed_client(&server.wire);
    assert_eq!(pair.client.oldest_partial(), None);
    let now = core::time::Duration::from_secs(9);
    pair.client.set_now(now);
    let sent = server.wire.len();
    let begun = server.message(6, kind::VIDEO, 1, 0, &[0x17; 300]).wire;
    pair.feed_client(&begun[sent..sent + 200]);
    assert_eq!(pair.client.oldest_partial(), Some(now));
    assert!(pair.client.memory_bytes() > 100);
}
