//! A hostile origin: what a server can do to us when we are its client. Family W5, and the
//! families of the chunk layer and of AMF0 from the other side.
#![expect(clippy::too_many_lines, reason = "tables are as long as they are")]

use std::time::Duration;

use tailwater::limits;

use super::bytes::{
    AGGREGATE, AUDIO, CHUNK, COMMAND, DATA, Head, SET_CHUNK_SIZE, VIDEO, WINDOW_ACK, audio, basic,
    boolean, call, chunk_size, command, connect, control, hello, inter_frame, joined, key_frame,
    message, message_in, null, number, number_control, object, ping, play, publish, string, text,
    user, video,
};
use super::case::{Case, End, Limit, Places, Says, State, case};

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = handshakes();
    cases.extend(answers());
    cases.extend(chunks());
    cases.extend(commands());
    cases.extend(floods());
    cases.extend(silences());
    cases
}

/// Codes for what a client asks for and may not.
const OF_REQUESTS: [&str; 3] = ["name", "unexpected", "stream_command_rate"];

/// What servers may send as clients may: the families of the chunk layer and of AMF0, with the
/// same bytes from the other side.
pub(crate) fn mirrored(cases: &[Case]) -> Vec<Case> {
    let mut mirrored = Vec::new();
    for case in cases {
        let state = match case.state {
            State::Handshaken => State::OriginShaken,
            State::Connected => State::OriginConnected,
            State::Publishing => State::OriginPlaying,
            _ => continue,
        };
        // What a client is told about its commands, a server is not.
        let is_of_servers =
            |says: &Says| matches!(says, Says::Words(_) | Says::AtMost(..) | Says::Media(_));
        if !case.places.session || case.deaf || case.says.iter().any(is_of_servers) {
            continue;
        }
        // Media that nobody asked for may come on any message stream once there is one.
        if case.family == "A14" {
            continue;
        }
        let end = match &case.end {
            // Rules for what clients ask for: from a server it is odd, and nothing else.
            End::Closes(codes) if codes.iter().any(|code| OF_REQUESTS.contains(code)) => {
                End::May(vec!["glitches"])
            }
            other => other.clone(),
        };
        let (_, name) = case.name.split_once(' ').expect("a family and a name");
        mirrored.push(Case {
            name: format!("{} from a server: {name}", case.family),
            state,
            end,
            taken: None,
            places: Places {
                worker: false,
                live: false,
                ..case.places
            },
            ..case.clone()
        });
    }
    mirrored
}

/// What brings our client to a state; it wants to play.
pub(crate) fn opening(state: State) -> Vec<u8> {
    opening_with(state, "NetStream.Play.Start")
}

/// The same, where what the client wants begins with a status of this code.
pub(crate) fn opening_with(state: State, begun: &str) -> Vec<u8> {
    let shaken = hello();
    let connected = joined(&[&shaken, &accept_connect()]);
    let created = created();
    match state {
        State::OriginShaken => shaken,
        State::OriginConnected => connected,
        State::OriginPlaying => joined(&[&connected, &created, &user(0, 1), &status(begun)]),
        _ => Vec::new(),
    }
}

fn accept_connect() -> Vec<u8> {
    let info = object(&[
        ("level", string("status")),
        ("code", string("NetConnection.Connect.Success")),
    ]);
    command(0, &[string("_result"), number(1.0), object(&[]), info])
}

/// createStream gives message stream 1.
pub(crate) fn created() -> Vec<u8> {
    command(0, &[string("_result"), number(4.0), null(), number(1.0)])
}

/// A status of message stream 1.
pub(crate) fn status(code: &str) -> Vec<u8> {
    let info = object(&[("level", string("status")), ("code", string(code))]);
    command(1, &[string("onStatus"), number(0.0), null(), info])
}

const STATES: [State; 3] = [
    State::OriginShaken,
    State::OriginConnected,
    State::OriginPlaying,
];

fn handshakes() -> Vec<Case> {
    let mut cases = Vec::new();
    for version in [0x00, 0x02, 0x04, 0x06, 0x1F, 0xFF] {
        let name = format!("version 0x{version:02X} in S0");
        cases.push(
            case("W5", name, State::Origin)
                .sends([version])
                .closes(&["version"]),
        );
    }
    for (name, bytes) in [
        ("TLS", &b"\x16\x03\x01\x02\x00"[..]),
        ("HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    ] {
        let other = case("W5", format!("an origin that speaks {name}"), State::Origin);
        cases.push(other.sends(bytes).closes(&["wrong_protocol", "version"]));
    }
    let mut ones = hello();
    ones[1..].fill(0xFF);
    let mut versions = hello();
    versions[5..9].copy_from_slice(&[4, 5, 0, 1]);
    for (name, bytes) in [("ones", ones), ("a version and no digest", versions)] {
        let shaken = case("W5", format!("S1 of {name}"), State::Origin);
        cases.push(shaken.sends(bytes));
    }
    for count in [1, 2, 1_536, 1_537, 3_072] {
        let name = format!("silence after {count} bytes");
        cases.push(
            case("W5", name, State::Origin)
                .sends(&hello()[..count])
                .stays_open(),
        );
    }
    cases
}

/// Servers that say too little, too late, or leave in the middle. Their time is counted from the
/// last thing they answered, however much they send.
fn silences() -> Vec<Case> {
    let mut cases = Vec::new();
    let shaken = hello();
    for count in [0, 1, 700, 1_536, 1_537, 3_072, 3_073] {
        let leaves = |how: &str| {
            let name = format!("{how} behind {count} bytes");
            case("H4", format!("a server that {name}"), State::Origin).sends(&shaken[..count])
        };
        cases.push(leaves("leaves").finishes());
        cases.push(leaves("resets").resets());
    }
    let pause = Duration::from_millis(150);
    let drip = case("H3", "a server that sends a byte at a time", State::Origin);
    cases.push(drip.drips(&shaken[..60], pause).closes(&["server_timeout"]));
    let created = command(0, &[string("_result"), number(4.0), null(), number(1.0)]);
    for (name, state, bytes) in [
        ("says nothing", State::Origin, vec![]),
        ("does not answer connect", State::OriginShaken, vec![]),
        (
            "does not answer createStream",
            State::OriginConnected,
            vec![],
        ),
        ("does not begin", State::OriginConnected, created),
    ] {
        let name = format!("a server that {name} and pings");
        let quiet = case("W5", name, state).sends(bytes);
        let quiet = (0..20).fold(quiet, |quiet, time| match state {
            State::Origin => quiet.passes(2 * pause),
            _ => quiet.sends(ping(time)).passes(2 * pause),
        });
        cases.push(quiet.closes(&["server_timeout"]));
    }
    cases
}

/// Answers nobody asked for, or of the wrong kind.
fn answers() -> Vec<Case> {
    let result = |transaction: f64, value: Vec<u8>| {
        command(0, &[string("_result"), number(transaction), null(), value])
    };
    let refusal = object(&[
        ("level", string("error")),
        ("code", string("NetConnection.Connect.Rejected")),
        (
            "ex",
            object(&[
                ("code", number(302.0)),
                ("redirect", string("rtmp://127.0.0.1/live")),
            ]),
        ),
    ]);
    let refused = command(0, &[string("_error"), number(1.0), null(), refusal]);
    let mut cases = Vec::new();
    for state in STATES {
        for transaction in [
            0.0,
            2.0,
            3.0,
            5.0,
            77.0,
            -1.0,
            f64::NAN,
            f64::INFINITY,
            1e308,
        ] {
            let name = format!("_result to call {transaction}");
            cases.push(case("W5", name, state).sends(result(transaction, number(1.0))));
        }
        let name = "connect refused with a redirect";
        let redirect = case("W5", name, state).sends(refused.clone().repeat(3));
        // A session tells, and a worker hangs up: nobody is followed anywhere.
        cases.push(redirect.may_close(&["refused_by_server"]));
        let name = "connect accepted three times";
        cases.push(case("W5", name, state).sends(accept_connect().repeat(3)));
    }
    for (what, id) in [
        ("NaN", number(f64::NAN)),
        ("minus one", number(-1.0)),
        ("0", number(0.0)),
        ("FFFFFFFF", number(4_294_967_295.0)),
        ("2^32", number(4_294_967_296.0)),
        ("a string", string("1")),
        ("an object", object(&[])),
        ("nothing", vec![]),
    ] {
        let name = format!("createStream gives {what}");
        let created = case("W5", name, State::OriginConnected);
        cases.push(
            created
                .sends(result(4.0, id).repeat(2))
                .says(Says::Words("play")),
        );
    }
    for (name, bytes) in [
        (
            "no info",
            command(1, &[string("onStatus"), number(0.0), null()]),
        ),
        ("nothing behind its name", command(1, &[string("onStatus")])),
        (
            "a number for info",
            command(1, &[string("onStatus"), number(0.0), null(), number(1.0)]),
        ),
        (
            "a code of FF",
            command(
                1,
                &[
                    string("onStatus"),
                    number(0.0),
                    null(),
                    object(&[("code", text(&[0xFF; 40]))]),
                ],
            ),
        ),
        (
            "a long code",
            command(
                1,
                &[
                    string("onStatus"),
                    number(0.0),
                    null(),
                    object(&[("code", text(&[b'c'; 60_000]))]),
                ],
            ),
        ),
    ] {
        let odd = case("W5", format!("onStatus with {name}"), State::OriginPlaying);
        cases.push(odd.sends(bytes));
    }
    cases
}

/// The chunk layer from the other side.
fn chunks() -> Vec<Case> {
    let state = State::OriginPlaying;
    let mut cases = Vec::new();
    for size in [0, 1, 127, 0x8000_0000, u32::MAX] {
        let name = format!("chunk size {size:08X}");
        cases.push(
            case("W5", name, State::OriginShaken)
                .sends(chunk_size(size))
                .closes(&["chunk_size"]),
        );
    }
    for size in [128, 0x0100_0000, 0x7FFF_FFFF] {
        let name = format!("chunk size {size:08X}");
        cases.push(case("W5", name, State::OriginShaken).sends(chunk_size(size)));
    }
    for (kind, len) in [
        (DATA, 0xFF_FFFF),
        (DATA, (2 << 20) + 1),
        (COMMAND, 0xFF_FFFF),
        (AUDIO, (1 << 20) + 1),
        (VIDEO, (8 << 20) + 1),
        (AGGREGATE, 0xFF_FFFF),
    ] {
        let bytes = joined(&[&Head::new(5, kind, len).write(0), &[2; CHUNK]]);
        let name = format!("type {kind} with {len} bytes announced");
        cases.push(
            case("W5", name, state)
                .sends(bytes)
                .closes(&["message_too_long"]),
        );
    }
    let begun = |csid: u32| joined(&[&Head::new(csid, VIDEO, 1 << 20).write(0), &[0x27; CHUNK]]);
    let most = u32::try_from(limits::PARTIAL_MESSAGES_MAX).expect("small");
    for count in [most + 1, 65, 1_000] {
        let name = format!("{count} pictures begun");
        let bytes: Vec<u8> = (8..8 + count).flat_map(begun).collect();
        cases.push(
            case("W5", name, state)
                .sends(bytes)
                .closes(&["too_many_partial_messages"]),
        );
    }
    let tiny: Vec<u8> = (8..1_000)
        .flat_map(|csid| message(csid, AUDIO, 1, &[0xAF]))
        .collect();
    let inside = joined(&[&begun(6), &video(0, &inter_frame(300))]);
    let fresh = joined(&[&basic(3, 9), &[0; 8]]);
    let cut = message(7, AGGREGATE, 1, &[9, 0, 0, 9]);
    let mut hoard = case(
        "W5",
        "the longest pictures, each on its own chunk stream",
        state,
    );
    hoard = hoard.sends(chunk_size(65_536));
    for csid in 8..16 {
        let longest = key_frame(limits::VIDEO_MESSAGE_BYTES_MAX);
        hoard = hoard.sends(message_in(65_536, Head::new(csid, VIDEO, 0), &longest));
    }
    cases.extend([
        hoard,
        case("W5", "1,000 chunk streams", state)
            .sends(tiny)
            .closes(&["too_many_chunk_streams"]),
        case("W5", "a header inside a picture", state)
            .sends(inside)
            .closes(&["header_inside_message"]),
        case("W5", "type 3 on a fresh chunk stream", state)
            .sends(fresh)
            .closes(&["no_previous_header"]),
        case("W5", "an aggregate that is cut", state)
            .sends(cut)
            .closes(&["aggregate"]),
        case("W5", "a control message of two bytes", state)
            .sends(control(SET_CHUNK_SIZE, &[0, 1]))
            .closes(&["short_control"]),
    ]);
    cases
}

/// Commands that are a client's.
fn commands() -> Vec<Case> {
    let mut cases = Vec::new();
    for state in STATES {
        for (name, bytes) in [
            ("publish", publish(1, b"w5")),
            ("play", play(1, b"w5")),
            ("connect", connect(b"live")),
            ("createStream", call("createStream", 9.0)),
            (
                "deleteStream",
                command(
                    0,
                    &[string("deleteStream"), number(0.0), null(), number(1.0)],
                ),
            ),
            ("an unknown command", call("whatever", 9.0)),
            ("onBWDone", call("onBWDone", 0.0)),
            (
                "receiveAudio",
                command(
                    1,
                    &[string("receiveAudio"), number(0.0), null(), boolean(false)],
                ),
            ),
            ("StreamBegin of another", user(0, 99)),
            ("StreamEof of another", user(1, 99)),
            (
                "a name that is a number",
                message(3, COMMAND, 0, &number(1.0)),
            ),
        ] {
            cases.push(case("W5", name, state).sends(bytes));
        }
        let deep = [3, 0, 1, b'a'].repeat(1_000);
        let deep = joined(&[&string("onStatus"), &number(0.0), &deep, &null()]);
        let nested = case("W5", "onStatus with objects 1,000 deep", state);
        cases.push(nested.sends(message(3, COMMAND, 1, &deep)).closes(&["amf"]));
        let cut = message(3, COMMAND, 0, &[2, 0xFF, 0xFF, b'x']);
        cases.push(
            case("W5", "a name that is cut", state)
                .sends(cut)
                .closes(&["amf"]),
        );
    }
    cases
}

/// Too much of everything.
fn floods() -> Vec<Case> {
    let pings = joined(&[
        &ping(1),
        &joined(&[&basic(3, 2), &[0, 6, 0, 0, 0, 2]]).repeat(30_000),
    ]);
    let sizes: Vec<u8> = (0..40).flat_map(|n| chunk_size(4_096 + n)).collect();
    let window = number_control(WINDOW_ACK, 1);
    let sound = audio(0, &[0xAF; 1_000]).repeat(1_000);
    let twelve = (1..=12).fold(
        case("W5", "twelve pings", State::OriginPlaying),
        |case, time| case.sends(ping(time)).says(Says::Pong(time)),
    );
    vec![
        twelve,
        case("W5", "30,000 pings", State::OriginPlaying)
            .sends(pings)
            .closes(&["call_rate", "too_many_replies", "message_rate"])
            .needs(Limit::Replies),
        case("W5", "40 chunk sizes", State::OriginPlaying)
            .sends(sizes)
            .closes(&["chunk_size_rate"])
            .needs(Limit::ChunkSizes),
        case(
            "W5",
            "a window of one byte and a MiB of sound",
            State::OriginPlaying,
        )
        .sends(joined(&[&window, &sound]))
        .says(Says::Acknowledgements(40)),
        case(
            "W5",
            "100,000 messages of sound of one byte",
            State::OriginPlaying,
        )
        .repeats(audio(0, &[0xAF]), 100_000)
        .closes(&["message_rate"])
        .needs(Limit::Messages),
        case(
            "W5",
            "2,000 messages of an unknown type",
            State::OriginPlaying,
        )
        .repeats(message(9, 99, 1, &[1]), 2_000)
        .closes(&["glitches"])
        .needs(Limit::Glitches),
        case("W5", "metadata of 256 KiB", State::OriginPlaying).sends(message(
            5,
            DATA,
            1,
            &vec![2; 256 << 10],
        )),
        case(
            "W5",
            "createStream that is never answered",
            State::OriginConnected,
        )
        .sends(user(0, 0))
        .says(Says::Words("createStream")),
        case(
            "W5",
            "createStream answered before connect",
            State::OriginShaken,
        )
        .sends(command(
            0,
            &[string("_result"), number(4.0), null(), number(1.0)],
        )),
    ]
}
