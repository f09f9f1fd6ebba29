//! What the fuzz targets begin with: whole sessions of the two roles, recorded from our own client
//! and server, and short inputs for every branch that is hard to come upon by chance.

use tailwater::rtmp::Outbox;
use tailwater::rtmp::amf0::Encoder;
use tailwater::rtmp::client::{Action, ClientEvent, ClientRequest, ClientSession};
use tailwater::rtmp::handshake::{Handshake, Mode};
use tailwater::rtmp::message::{MessageHeader, MessageStreamId, Payload};
use tailwater::rtmp::server::{Event, Request, ServerSession, WireSettings};
use tailwater::rtmp::writer::write_message;
use tailwater_rtmp_exercise::vector::{media, metadata};
use tailwater_rtmp_exercise::{DEAF, DIGEST, HANDSHAKE_BYTES, LATE, PLAY, SCRIPTED, SHAKEN};
use tailwater_testkit::commands;

type Seed = (&'static str, Vec<u8>);

/// The seeds of a target.
pub(super) fn of(target: &str) -> Vec<Seed> {
    match target {
        "handshake" => of_handshake(),
        "chunks" => of_chunks(),
        "amf0" => of_amf0(),
        "server" => of_server(),
        "client" => of_client(),
        "media" => [of_media(), of_streams()].concat(),
        "names" => of_names(),
        "proxy" => of_proxy(),
        "http" => [of_http(), of_http_fields()].concat(),
        "edge" => of_edge(),
        other => panic!("no seeds for {other}"),
    }
}

/// One of them.
pub(super) fn named(target: &str, name: &str) -> Vec<u8> {
    let found = of(target).into_iter().find(|(seed, _)| *seed == name);
    found.unwrap_or_else(|| panic!("no seed {name}")).1
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    let pairs = digits.chunks(2);
    pairs
        .map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap())
        .collect()
}

// ---- Whole sessions.

/// What both sides of a session have sent.
struct Recorded {
    from_client: Vec<u8>,
    from_server: Vec<u8>,
}

/// What is sent of a stream; the key frame takes several chunks of 128 bytes.
fn stream() -> Vec<(MessageHeader, Vec<u8>)> {
    media(300)
}

fn taken(out: &mut Outbox) -> Vec<u8> {
    let bytes = out.pending().to_vec();
    out.advance(bytes.len());
    bytes
}

/// Joins a client and a server in memory and writes down what they send.
fn record(action: Action, handshake: Mode) -> Recorded {
    let request = ClientRequest {
        app: "live".to_owned(),
        tc_url: "rtmp://localhost/live".to_owned(),
        stream: "cam?key=1".to_owned(),
        action,
        handshake,
        chunk_size: 128,
        ..ClientRequest::default()
    };
    let (mut client, mut server) = (ClientSession::new(request, 3), ServerSession::new(7));
    let mut recorded = Recorded {
        from_client: Vec::new(),
        from_server: Vec::new(),
    };
    loop {
        let up = taken(client.out());
        read_as_server(&mut server, &up);
        let down = taken(server.out());
        let may_send = read_as_client(&mut client, &down);
        recorded.from_client.extend(&up);
        recorded.from_server.extend(&down);
        if may_send && action == Action::Publish {
            for (header, body) in stream() {
                client.send_media(&header, &Payload::from_slice(&body));
            }
            client.send_command(MessageStreamId(1), commands::close_stream());
            client.send_command(MessageStreamId::CONTROL, commands::delete_stream(1));
        }
        if up.is_empty() && down.is_empty() {
            return recorded;
        }
    }
}

fn read_as_server(server: &mut ServerSession, input: &[u8]) {
    let mut at = 0;
    while let Some(event) = server.next(input, &mut at).unwrap() {
        match event {
            Event::Request(Request::Connect) => server.accept_connect(&WireSettings {
                chunk_size: 4_096,
                window_ack: 2_500_000,
            }),
            Event::Request(Request::Publish { msid, name, .. }) => {
                server.accept_publish(msid, &name);
            }
            Event::Request(Request::Play { msid, name, reset }) => {
                server.accept_play(msid, &name, reset);
                let chunk_size = server.out_chunk_size();
                for (header, body) in stream() {
                    let out = server.out().writer();
                    write_message(out, &header, &Payload::from_slice(&body), chunk_size);
                }
                server.end_play(msid, "over");
            }
            _ => {}
        }
    }
    server.end_input(input, at).unwrap();
}

/// Whether a status said that media may be sent.
fn read_as_client(client: &mut ClientSession, input: &[u8]) -> bool {
    let (mut at, mut may_send) = (0, false);
    while let Some(event) = client.next(input, &mut at).unwrap() {
        may_send |= matches!(
            event,
            ClientEvent::Status { code, .. } if code == "NetStream.Publish.Start"
        );
    }
    client.end_input(input, at).unwrap();
    may_send
}

/// An input of the sessions: how it is used, and what the peer sends.
fn input(flags: u8, verdicts: u8, cuts: &[u8], sent: &[u8]) -> Vec<u8> {
    let count = u8::try_from(cuts.len()).unwrap();
    [&[flags, verdicts, count][..], cuts, sent].concat()
}

// ---- Scripts, as `exercise` reads them.

const SET_UP: &str = "20 10 01 08  21 20 01 00";
const PUBLISH: &str = "22 51 03 00 07 06 04 6C697665";
const PLAY_CAM: &str = "23 51 02 00 07";
const MEDIA: &str = "12 31 00 05 02 0002 6F6B  09 41 04 09 17 00000000 01640028  08 21 05 02 AF01";
const PING: &str = "04 00 00 06 0006 00000007";

fn scripted(flags: u8, verdicts: u8, cuts: &[u8], script: &[&str]) -> Vec<u8> {
    let sent = unhex(&script.concat());
    input(SHAKEN | SCRIPTED | flags, verdicts, cuts, &sent)
}

fn of_server() -> Vec<Seed> {
    [recorded_clients(), scripted_clients()].concat()
}

fn recorded_clients() -> Vec<Seed> {
    let publish = record(Action::Publish, Mode::Plain).from_client;
    let digest = record(Action::Publish, Mode::Digest).from_client;
    let play = record(Action::Play, Mode::Plain).from_client;
    let (publish_shaken, play_shaken) = (&publish[HANDSHAKE_BYTES..], &play[HANDSHAKE_BYTES..]);
    vec![
        ("publish", input(0, 0, &[99], &publish)),
        ("publish-digest", input(0, 0, &[0x90], &digest)),
        ("publish-shaken", input(SHAKEN, 0, &[9], publish_shaken)),
        ("publish-refused", input(SHAKEN, 0b10, &[], publish_shaken)),
        ("play", input(0, 0, &[127], &play)),
        ("play-late", input(SHAKEN | LATE, 0, &[3], play_shaken)),
    ]
}

/// What a player may do: pause, resume, seek, one half, another stream.
const PLAYER: &str =
    "25 01 02 00 03  25 01 02 00 02  27 01 02 00 04 0A  28 01 02 00 02  24 01 02 00 09";
/// Calls that are answered and change nothing.
const CALLS: &str =
    "2D 20 02 00 07  2E 30 02 00 07  32 40 01 00  31 50 02 00 07  3A 60 00  30 70 02 00 07";
/// Sound, a command that has no place there, and a picture, in one message.
const AGGREGATE: &str = "16 41 00 2E 08 000002 000000 00 000000 AF01 0000000D \
    14 000000 000000 00 000000 0000000B  09 000001 000005 00 000000 27 0000000C";
/// An app as a URL alone.
const CONNECT_BY_URL: &str = "20 10 01 0A 07 682F6C697665 2F  21 20 01 00";

fn scripted_clients() -> Vec<Seed> {
    let cuts = &[7, 0, 200];
    let again = [
        SET_UP,
        PUBLISH,
        "30 60 02 00 07",
        PUBLISH,
        MEDIA,
        "2C 00 00",
    ];
    let refused = [SET_UP, PLAY_CAM, PLAYER, PLAY_CAM, PING];
    let deaf = [SET_UP, PLAY_CAM, PING, PLAY_CAM, PLAY_CAM, PING];
    let all: [(_, u8, u8, &[u8], &[&str]); 9] = [
        (
            "publish-scripted",
            0,
            0,
            cuts,
            &[SET_UP, PUBLISH, MEDIA, PING, "2A 01 00"],
        ),
        ("publish-again", 0, 0, &[1], &again),
        (
            "aggregate",
            0,
            0,
            &[2],
            &[SET_UP, PUBLISH, "01 00 00 04 00001000", AGGREGATE],
        ),
        (
            "play-scripted",
            0,
            0,
            cuts,
            &[SET_UP, PLAY_CAM, PLAYER, "2B 00 02 00 04 01"],
        ),
        ("play-refused", LATE, 0b0101_0110, &[5], &refused),
        ("calls", 0, 0, &[0], &[SET_UP, CALLS, "2C 00 00"]),
        ("deaf", DEAF, 0, &[0], &deaf),
        ("long-app", 0, 0, &[60], &[CONNECT_BY_URL, PLAY_CAM]),
        (
            "early-media",
            0,
            0,
            &[],
            &["20 10 01 08", MEDIA, "09 41 00 FF"],
        ),
    ];
    all.map(|(name, flags, verdicts, cuts, script)| (name, scripted(flags, verdicts, cuts, script)))
        .to_vec()
}

fn of_client() -> Vec<Seed> {
    let publish = record(Action::Publish, Mode::Plain).from_server;
    let play = record(Action::Play, Mode::Plain).from_server;
    let digest = record(Action::Play, Mode::Digest).from_server;
    let welcome = "33 10 02 00 09  33 40 02 00 04 01";
    vec![
        ("publish", input(0, 0, &[99], &publish)),
        ("play", input(PLAY, 0, &[11], &play)),
        ("play-digest", input(PLAY | DIGEST, 0, &[0x90], &digest)),
        (
            "play-shaken",
            input(PLAY | SHAKEN, 0, &[1], &play[HANDSHAKE_BYTES..]),
        ),
        (
            "publish-scripted",
            scripted(0, 0, &[2], &[welcome, "35 01 02 00 09", PING]),
        ),
        (
            "play-scripted",
            scripted(
                PLAY,
                0,
                &[6],
                &[welcome, "35 01 02 00 09", MEDIA, "04 00 00 06 000100000001"],
            ),
        ),
        ("refused", scripted(0, 0, &[3], &["34 10 02 00 09"])),
        (
            "odd",
            scripted(
                0,
                0,
                &[0],
                &[
                    "36 00 02 00 04 20",
                    welcome,
                    "34 20 00",
                    welcome,
                    "22 61 02 00 07",
                ],
            ),
        ),
    ]
}

// ---- Short inputs.

fn of_handshake() -> Vec<Seed> {
    let hello = |mode| {
        let mut sent = Vec::new();
        Handshake::client(mode, 5, &mut sent);
        sent
    };
    let answer = |c0c1: &[u8]| {
        let mut sent = Vec::new();
        let mut server = Handshake::server(6);
        server.handle_input(c0c1, &mut sent).unwrap();
        sent
    };
    let (plain, digest) = (hello(Mode::Plain), hello(Mode::Digest));
    let whole = |first: &[u8]| [&[77], first, &[0; 1_536], b"more"].concat();
    vec![
        ("plain", whole(&plain)),
        ("digest", whole(&digest)),
        ("server-plain", [&[9], &answer(&plain)[..]].concat()),
        ("server-digest", [&[200], &answer(&digest)[..]].concat()),
        ("zeros", whole(&[&[3][..], &[0; 1_536]].concat())),
        // Bytes that choose the digest's place at their highest.
        ("far-digest", whole(&[&[3][..], &[0xFF; 1_536]].concat())),
        ("rtmpe", vec![0, 6]),
        ("tls", unhex("00 16 0301")),
        ("http", b"\0GET / HTTP/1.1\r\n\r\n".to_vec()),
    ]
}

/// Chunks with the flags and the cut they are read with; a star stands for 128 bytes.
const CHUNKS: [(&str, u8, u8, &str); 12] = [
    (
        "all-formats",
        PLAY,
        0,
        "04 000064 000002 08 01000000 AAAA 44 00000A 000001 09 BB 84 000005 CC C4 DD",
    ),
    (
        "ids",
        PLAY,
        1,
        "3F 000000 000001 08 00000000 00  00 00 000007 000001 08 00000000 00 \
         C1 00 00 11  01 FF FF 000000 000001 08 00000000 00",
    ),
    (
        "ping-of-librtmp",
        PLAY,
        0,
        "42 000000 000006 04 0006 00000D0F",
    ),
    ("no-header", PLAY, 0, "C3"),
    (
        "interleaved",
        PLAY,
        3,
        "06 000000 0000C8 09 01000000 * 04 000000 000001 08 01000000 AF C6 2222",
    ),
    (
        "extended",
        PLAY,
        5,
        "06 FFFFFF 000082 09 01000000 01000000 * C6 01000000 2222 C6 2222",
    ),
    (
        "extended-left-out",
        PLAY,
        2,
        "06 FFFFFF 000082 09 01000000 01000000 * C6 0122 C6 * C6 0133",
    ),
    (
        "abort",
        PLAY,
        4,
        "06 000000 000200 09 01000000 * 02 000000 000004 02 00000000 00000006 \
         06 000000 000001 09 01000000 11",
    ),
    (
        "chunk-size",
        PLAY,
        6,
        "02 000000 000004 01 00000000 00000003 04 000000 000005 08 01000000 111111 C4 1111",
    ),
    (
        "inside",
        PLAY,
        0,
        "06 000000 000200 09 01000000 * 46 000000 000001 09",
    ),
    (
        "small-limits",
        DIGEST | LATE,
        8,
        "04 000000 000090 08 01000000 * 05 000000 0000A0 12 01000000 *",
    ),
    (
        "skipped",
        0,
        2,
        "06 000000 000090 09 01000000 * C6 11 03 000000 000001 14 00000000 05",
    ),
];

fn of_chunks() -> Vec<Seed> {
    let publish = record(Action::Publish, Mode::Plain).from_client;
    let mut seeds = CHUNKS
        .map(|(name, flags, cut, hex)| {
            let sent = unhex(&hex.replace('*', &"11".repeat(128)));
            (name, input(flags, 0, &[cut], &sent))
        })
        .to_vec();
    let shaken = &publish[HANDSHAKE_BYTES..];
    seeds.push(("publish", input(PLAY, 0, &[40], shaken)));
    seeds
}

fn of_amf0() -> Vec<Seed> {
    let mut connect = Vec::new();
    let mut amf = Encoder::new(&mut connect);
    amf.string("connect").number(1.0).begin_object();
    amf.string_property("app", "live")
        .boolean_property("fpad", false);
    amf.key("list").strict_array_header(2).null().undefined();
    amf.end_object();
    vec![
        ("connect", connect),
        ("metadata", metadata()),
        ("deep", unhex("03 000161").repeat(16)),
        ("too-deep", unhex("0A 00000001").repeat(17)),
        ("no-end", unhex("08 00000000 000161 05")),
        ("empty-key", unhex("03 0000 05 0001 61 0101 000009")),
        (
            "long-string",
            unhex("0C 00000002 6161 0F 00000001 62 0C FFFFFFFF"),
        ),
        ("date", unhex("0B 4278000000000000 0000 06 0D 07 0000")),
        (
            "typed",
            unhex("10 0001 41 0001 62 00 7FF8000000000000 000009"),
        ),
        ("amf3", unhex("00 02 0002 6F6B 11")),
        (
            "many",
            unhex("0A 0000FFFF")
                .into_iter()
                .chain([0x05; 600])
                .collect(),
        ),
    ]
}

fn of_media() -> Vec<Seed> {
    [
        ("avc-header", "17 00000000 01640028"),
        ("avc-key", "17 01000000 00000001"),
        ("avc-end", "17 02000000"),
        ("inter", "22 00"),
        ("command", "52 00"),
        ("aac-header", "AF 00 1210"),
        ("aac", "AF 01 2110"),
        ("opus", "D0 00 4F70757348656164"),
        ("hevc-key", "91 68766331 000000 26"),
        ("hevc-header", "90 68766331 01"),
        ("av1-metadata", "94 61763031 02 0003"),
        ("one-track", "96 01 61763031 03 12"),
        ("tracks", "96 11 61763031 03 000001 12 00 000001 12"),
        (
            "tracks-codecs",
            "96 21 61763031 03 000001 12 76703039 00 000001 12",
        ),
        ("mod-ex", "97 00AA 01 6176 3031 11"),
        ("mod-ex-long", "97 FF 0001 AAAA 03 68766331 11"),
        ("audio-tracks", "95 11 6D703461 02 000001 21 00 000001 21"),
        ("channels", "94 4F707573 00 02"),
    ]
    .map(|(name, hex)| (name, unhex(hex)))
    .to_vec()
}

/// Streams as `tailwater_exercise::stream` reads them: two bytes a step.
fn of_streams() -> Vec<Seed> {
    // Headers and metadata; a group of a key frame, pictures and sound.
    let (headers, group) = ("0002 0502 0C02", "1212 1613 1312 1612 1312");
    let groups = |count| group.repeat(count);
    let many = [headers, &groups(8)].concat();
    let returns = [
        &many[..],
        // Others, whose first pictures come before a key frame.
        "13A2 13A2",
        &groups(1),
        "13B2",
        headers,
        &groups(1),
    ];
    // Nobody needs the past; a player comes for which there is no key frame.
    let late = [&many[..], "16F2 13C2 1312 1612 1312 1612 1312 1612"].concat();
    let radio = [
        "0502 1612 1612 16C2 162D 1612 0702 1612",
        &"1612".repeat(16),
    ]
    .concat();
    // Time steps back, jumps, stands still and wraps, of one kind and of both.
    let clocks = "0002 0502 1212 1612 B312 B612 9312 9612 D312 D612 0318 0318 0318 F612 A312";
    // The third reads every 31 steps.
    let slow = [headers, "12C2 16C2 16C2", &groups(30)].concat();
    let hex = [
        ("stream", many.clone()),
        ("stream-returns", returns.concat()),
        ("stream-slow-player", slow),
        ("stream-radio", radio),
        ("stream-live-edge", late),
        ("stream-clocks", clocks.to_owned()),
    ];
    hex.map(|(name, hex)| (name, unhex(&hex))).to_vec()
}

fn of_names() -> Vec<Seed> {
    [
        ("plain", ["live", "rtmp://h/live", "cam"]),
        ("query", ["live?u=1", "", "mp4:cam.mp4?t=2"]),
        (
            "whole-url",
            ["live", "rtmp://h:1935/live", "rtmp://h/live/a/b?x=y"],
        ),
        (
            "in-tc-url",
            ["", "'rtmp://h/live/_definst_'", "flv:cam.flv"],
        ),
        ("in-the-key", ["", "rtmp://h", "live/cam?token=1"]),
        ("no-key", ["live/a/b", "", "?token=1"]),
        ("escape", ["live", "", "..%2f%2e/\\x"]),
        ("unicode", ["l\u{e9}ve", "", "c\u{202E}am"]),
        ("other-app", ["live", "", "rtmp://h/other/cam"]),
    ]
    .map(|(name, parts)| (name, parts.map(str::as_bytes).join(&0xFF)))
    .to_vec()
}

fn of_proxy() -> Vec<Seed> {
    let text = |name, line: &str| (name, line.as_bytes().to_vec());
    // Signature, version and command, family, length; addresses.
    let binary = |name, head: &str, rest: &[u8]| {
        let signature = b"\r\n\r\n\0\r\nQUIT\n";
        (name, [signature, &unhex(head)[..], rest].concat())
    };
    let ports = unhex("9C40 078F");
    let four = [&[192, 0, 2, 7, 198, 51, 100, 1], &ports[..]].concat();
    let six = [&[0x20; 32], &ports[..]].concat();
    vec![
        text(
            "tcp4",
            "PROXY TCP4 192.0.2.7 198.51.100.1 40000 1935\r\n\x03",
        ),
        text("tcp6", "PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n"),
        text("unknown", "PROXY UNKNOWN ffff:: ff:: 1 2\r\n"),
        text("nobody", "PROXY TCP4 0.0.0.0 198.51.100.1 0 1935\r\n"),
        text("signs", "PROXY TCP4 192.0.2.7 198.51.100.1 +1 1935\r\n"),
        text("no-end", &format!("PROXY UNKNOWN {}", "f".repeat(93))),
        binary("four", "21 11 000C", &four),
        binary("six", "21 21 0024", &six),
        binary(
            "four-tlvs",
            "21 11 0011",
            &[&four[..], &[4, 0, 2, 1, 1]].concat(),
        ),
        binary("local", "20 00 0000", b"\x03"),
        binary("unix", "21 31 00D8", &[b'/'; 216]),
        binary("short", "21 11 0002", &[1, 2]),
        binary("longest", "21 21 0218", &[1; 536]),
        binary("too-long", "21 21 0219", &[1; 537]),
        binary("command", "22 11 000C", &four),
    ]
}

/// What proxies add, and what clients write before that.
const FORWARDED: &str = "X-Forwarded-For: 0.0.0.0, [2001:db8::1]:4711, unknown\r\n\
     X-Forwarded-For: 203.0.113.7, ::ffff:10.0.0.2\r\n\
     X-Forwarded-Host: evil.example, tv.example:8443\r\n";

/// The same in RFC 7239.
const ELEMENTS: &str = "Forwarded: for=1.1.1.1;by=\"a,b;for=2.2.2.2\", for=_hidden\r\n\
     Forwarded: For=\"[::]:80\";host=\"tv.example:81\", for=\"[2001:db8::1]\"\r\n";

/// Requests whose paths have escapes that are decoded and others that are refused.
fn of_http_paths() -> Vec<u8> {
    let paths = [
        "/live/my%20cam%e3%82%ab",
        "/live/%252F",
        "/live%2Fcam",
        "/live/%00",
        "/live/%C2%85",
        "/live/%FF%",
    ];
    let requests = paths.map(|path| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    requests.concat().into_bytes()
}

/// A request for WebSocket with subprotocols, of which one can be answered.
fn of_http_protocols() -> String {
    let long = "x".repeat(tailwater::limits::SUBPROTOCOL_BYTES + 1);
    format!(
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: a b, \"c\", {long}\r\nSec-WebSocket-Protocol: flv.v1, d\r\n"
    )
}

fn of_http() -> Vec<Seed> {
    use tailwater_exercise::http::{LATE, WEBSOCKET};
    // In one piece, or cut behind 5 and 30 bytes.
    let whole = |flags: u8, input: &[u8]| [&[flags, 0], input].concat();
    let cut = |flags: u8, input: &[u8]| [&[flags, 2, 0, 5, 0, 30], input].concat();
    let get = |path: &str, fields: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: relay:8080\r\n{fields}\r\n").into_bytes()
    };
    let page = get("/live/cam?muted=1", "User-Agent: a browser\r\n");
    let upgrade = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   Origin: http://relay:8080\r\n";
    let upgrade = get("/live/cam.flv", upgrade);
    let frames = [
        &unhex("89 85 01020304 69 67 6F 68 6E")[..],
        &unhex("82 FE 0004 00000000 01020304 01 83 0A0B0C0D 010203 80 80 00000000"),
        &unhex("82 FF 0000000000000003 00000000 010203 8A 80 00000000"),
        &unhex("88 82 00000000 03E8"),
    ];
    let other = b"HEAD http://a/live/cam HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    vec![
        ("pages", cut(0, &page.repeat(3))),
        ("other", whole(0, other)),
        (
            "options",
            cut(
                0,
                b"OPTIONS /live/cam.flv HTTP/1.1\r\nHost: a\r\nOrigin: b\r\n\r\n",
            ),
        ),
        (
            "delete",
            whole(
                0,
                b"\r\nDELETE /api/v1/clients/7?ban=60 HTTP/1.1\r\nHost: a\r\n\r\n",
            ),
        ),
        (
            "token",
            whole(0, &get("/metrics", "Authorization: Bearer token\r\n")),
        ),
        (
            "stream",
            cut(0, &get("/live/cam.flv", "Range: bytes=0-\r\n")),
        ),
        ("upgrade", cut(0, &[&upgrade[..], frames[0]].concat())),
        ("frames", cut(WEBSOCKET, &frames.concat())),
        ("unmasked", whole(WEBSOCKET, &unhex("89 00"))),
        ("body", whole(0, &get("/", "Content-Length: 5\r\n"))),
        (
            "chunked",
            whole(0, &get("/", "Transfer-Encoding: chunked\r\n")),
        ),
        (
            "late",
            cut(LATE, &[&page[..], &upgrade, frames[0]].concat()),
        ),
        ("preface", whole(0, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")),
        ("tls", whole(0, &unhex("16 0301 0200 0100"))),
    ]
}

/// Requests whose fields say more: of proxies, of pages, of subprotocols.
fn of_http_fields() -> Vec<Seed> {
    // Cut behind 5 and 30 bytes.
    let cut = |name, input: &[u8]| (name, [&[0, 2, 0, 5, 0, 30], input].concat());
    let get = |path: &str, fields: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: relay:8080\r\n{fields}\r\n").into_bytes()
    };
    let preflight = b"OPTIONS /live/cam.flv HTTP/1.1\r\nHost: relay:8080\r\n\
        Origin: http://relay:8080\r\nAccess-Control-Request-Method: GET\r\n\
        Access-Control-Request-Headers: range, x-own\r\n\
        Access-Control-Request-Headers: if-none-match\r\n\r\n";
    let of_another = "Sec-Fetch-Site: cross-site\r\nOrigin: x\r\n";
    let protocols = of_http_protocols();
    vec![
        cut("escapes", &of_http_paths()),
        cut("forwarded", &get("/live/cam", FORWARDED)),
        cut("forwarded-elements", &get("/live/cam", ELEMENTS)),
        cut("subprotocols", &get("/live/cam.flv", &protocols)),
        cut("preflight", preflight),
        cut("page-of-another", &get("/live/cam.flv", "Origin: null\r\n")),
        cut("fetch-site", &get("/live/cam.flv", of_another)),
    ]
}

/// A rule, a stream, and what servers redirect to one after the other.
const REDIRECTS: [(&str, &[&str]); 5] = [
    (
        "chain",
        &[
            "rtmps://a,rtmp://b",
            "live/cam?t=1",
            "rtmp://B:8/x?k=2",
            "//c:443/x",
            "rtmps://c/x/y",
        ],
    ),
    (
        "relative",
        &[
            "live=rtmp://h:7/room/{stream}",
            "live/cam",
            "/room/deep",
            "deep/deep",
            "",
            "?k=2",
        ],
    ),
    (
        "addresses",
        &[
            "rtmp://[::1]:8",
            "live/cam",
            "rtmp://[::1]/x",
            "rtmp://::1/x",
            "rtmp://[::1/x",
            "rtmp://[x]/x",
            "rtmp://192.0.2.1:1/live",
        ],
    ),
    (
        "refused",
        &[
            "rtmp://h",
            "live/cam",
            "http://h/live",
            "rtmp://",
            "rtmp:///x",
            "rtmp://u:p@h/x",
            "rtmp://h:0/x",
            "rtmp://h:65536/x",
            "rtmp://h/a b",
            "rtmp://h/\u{85}",
            "rtmp://h\0/x",
        ],
    ),
    (
        "stream-named",
        &[
            "rtmp://h?{query}",
            "live/cam?t=1",
            "rtmp://b/live/cam?k=2",
            "rtmp://b/live/hd",
        ],
    ),
];

fn of_edge() -> Vec<Seed> {
    // The marker stands between the stream and the redirects.
    let input = |marker: &str, parts: &[&str]| {
        let (names, redirects) = parts.split_at(2);
        let parts = [names, &[marker], redirects].concat();
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        parts.join(&0xFF)
    };
    let folder = format!("{}/a/room", "f".repeat(400));
    let folders = [
        "rtmp://h/room/{stream}",
        "live/cam",
        &folder,
        &folder,
        &folder,
        &folder,
    ];
    let ids: Vec<String> = (0..60).map(|id| format!("{id:016x}")).collect();
    let markers = [
        (
            "marker",
            "00000000000000a1,00000000000000a2;00000000000000b1".to_owned(),
        ),
        ("marker-long", format!("{};{}", ids[..9].join(","), ids[9])),
        ("marker-most", format!("{};{}", ids[0], ids[1..].join(","))),
        ("marker-odd", "a1,,;".to_owned()),
    ];
    let markers = markers
        .iter()
        .map(|(name, text)| (*name, input(text, &["rtmp://h", "live/cam"])));
    let redirects = REDIRECTS
        .iter()
        .map(|(name, parts)| (*name, input("", parts)));
    let mut seeds: Vec<Seed> = redirects.chain(markers).collect();
    seeds.push(("folders", input("", &folders)));
    seeds
}
