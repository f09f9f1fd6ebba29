//! Handshake and transport: families H1 to H7. RTMP 1.0 §5.2.

use std::time::Duration;

use super::bytes::{
    VIDEO, audio, call, connect, create_stream, hello, inter_frame, joined, key_frame, message,
    ping, play, publish, video,
};
use super::case::{Case, Says, State, case};

/// Bytes of C1 and of C2.
const PACKET: usize = 1536;
const TIMEOUT: &[&str] = &["handshake_timeout", "setup_timeout"];
const SUCCESS: Says = Says::Words("NetConnection.Connect.Success");

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = versions();
    cases.extend(other_protocols());
    cases.extend(slow());
    cases.extend(silent());
    cases.extend(cut());
    cases.extend(first_packets());
    cases.extend(pipelined());
    cases.extend(deaf());
    cases
}

/// H1: C0 asks for something else than version 3.
fn versions() -> Vec<Case> {
    let mut cases = Vec::new();
    let versions = [
        0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x07, 0x08, 0x1F, 0x20, 0x2A, 0x7F, 0x80, 0x83, 0xFE,
        0xFF,
    ];
    for version in versions {
        let mut whole = hello();
        whole[0] = version;
        for (how, bytes) in [("alone", vec![version]), ("with C1 and C2", whole)] {
            let name = format!("version 0x{version:02X} {how}");
            cases.push(
                case("H1", name, State::Raw)
                    .sends(bytes)
                    .closes(&["version"]),
            );
        }
    }
    cases
}

/// H2: another protocol on the RTMP port.
fn other_protocols() -> Vec<Case> {
    let mpegts = joined(&[&[0x47, 0x40, 0x00, 0x10], &[0xFF; 184]]).repeat(7);
    let known: [(&str, &[u8]); 20] = [
        ("TLS 1.0", b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03"),
        ("TLS 1.3", b"\x16\x03\x03\x00\x05\x01\x00\x00\x01\x00"),
        ("the first byte of TLS", b"\x16"),
        ("GET", b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n"),
        ("GET without an end", b"GET /live/cam.flv"),
        ("HEAD", b"HEAD / HTTP/1.0\r\n\r\n"),
        (
            "POST of RTMPT",
            b"POST /open/1 HTTP/1.1\r\nContent-Length: 1\r\n\r\n\0",
        ),
        ("PUT", b"PUT /a HTTP/1.1\r\n\r\n"),
        ("OPTIONS", b"OPTIONS * HTTP/1.1\r\n\r\n"),
        ("CONNECT", b"CONNECT relay:443 HTTP/1.1\r\n\r\n"),
        ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("MPEG-TS", &mpegts),
        (
            "RTSP",
            b"DESCRIBE rtsp://relay/live RTSP/1.0\r\nCSeq: 1\r\n\r\n",
        ),
        ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n"),
        ("Redis", b"*1\r\n$4\r\nPING\r\n"),
        ("SOCKS 4", b"\x04\x01\x07\x8F\x7F\x00\x00\x01\x00"),
        ("SOCKS 5", b"\x05\x01\x00"),
        ("a PROXY line", b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n"),
        (
            "a binary PROXY header",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0C",
        ),
        ("FLV", b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"),
    ];
    let cases = known.into_iter().map(|(name, bytes)| {
        case("H2", name, State::Raw)
            .sends(bytes)
            .closes(&["wrong_protocol", "version"])
    });
    cases.collect()
}

/// H3: a byte now and then does not put off the deadline.
fn slow() -> Vec<Case> {
    let pause = Duration::from_millis(400);
    let begun = |count: usize| hello()[..count].to_vec();
    let tls = b"\x16\x03\x01\x02";
    vec![
        case("H3", "C0 and C1 byte by byte", State::Raw)
            .drips(&begun(12), pause)
            .closes(TIMEOUT),
        case("H3", "most of C1, then byte by byte", State::Raw)
            .sends(begun(1500))
            .drips(&begun(12)[1..], pause)
            .closes(TIMEOUT),
        case("H3", "C2 byte by byte", State::Raw)
            .sends(begun(1 + PACKET))
            .drips(&begun(12)[1..], pause)
            .closes(TIMEOUT),
        case(
            "H3",
            "all but the last byte of C2, then silence",
            State::Raw,
        )
        .sends(begun(2 * PACKET))
        .closes(TIMEOUT),
        case("H3", "TLS byte by byte", State::Raw)
            .drips(tls, pause)
            .closes(&["wrong_protocol"]),
        case("H3", "connect byte by byte", State::Handshaken)
            .drips(&connect(b"live")[..20], pause)
            .closes(TIMEOUT),
    ]
}

/// H4: silence at some place of the handshake.
fn silent() -> Vec<Case> {
    let places = [
        0,
        1,
        2,
        PACKET,
        1 + PACKET,
        2 + PACKET,
        1 + PACKET + PACKET / 2,
    ];
    let silent = |count: usize| {
        case("H4", format!("silence after {count} bytes"), State::Raw)
            .sends(&hello()[..count])
            .closes(TIMEOUT)
            .with_worker()
    };
    places.into_iter().map(silent).collect()
}

/// H4: the end of the bytes, or of the connection, at some place of the handshake.
fn cut() -> Vec<Case> {
    let places = [
        0, 1, 2, 8, 12, 772, 776, 1535, 1536, 1537, 1538, 2304, 3071, 3072, 3073,
    ];
    let mut cases = Vec::new();
    for count in places {
        let begun = hello()[..count].to_vec();
        let name = format!("the end after {count} bytes");
        cases.push(case("H4", name, State::Raw).sends(begun.clone()).finishes());
        let name = format!("a reset after {count} bytes");
        cases.push(case("H4", name, State::Raw).sends(begun).resets());
    }
    let connect = connect(b"live");
    for count in [1, 12, connect.len() - 1, connect.len()] {
        let name = format!("the end after {count} bytes of connect");
        cases.push(
            case("H4", name, State::Handshaken)
                .sends(&connect[..count])
                .finishes(),
        );
    }
    cases
}

/// H5: first packets whose bytes choose strange places for a digest, and second ones that are
/// nothing of ours.
fn first_packets() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: &str, change: &dyn Fn(&mut [u8])| {
        let mut bytes = hello();
        change(&mut bytes);
        let bytes = joined(&[&bytes, &connect(b"live")]);
        cases.push(case("H5", name, State::Raw).sends(bytes).says(SUCCESS));
    };
    // Position 1 is the first byte of C1.
    add("C1 of zeros", &|_| {});
    add("C1 of ones", &|bytes| bytes[1..=PACKET].fill(0xFF));
    add("C1 and C2 of ones", &|bytes| bytes[1..].fill(0xFF));
    add("the first digest offset FFFFFFFF", &|bytes| {
        bytes[9..13].fill(0xFF);
    });
    add("the second digest offset FFFFFFFF", &|bytes| {
        bytes[773..777].fill(0xFF);
    });
    add("both digest offsets FFFFFFFF", &|bytes| {
        bytes[9..13].fill(0xFF);
        bytes[773..777].fill(0xFF);
    });
    for (sum, fill) in [(727, [255, 255, 217, 0]), (728, [255, 255, 218, 0])] {
        add(&format!("digest offsets that sum up to {sum}"), &|bytes| {
            bytes[9..13].copy_from_slice(&fill);
            bytes[773..777].copy_from_slice(&fill);
        });
    }
    for version in [
        [9, 0, 124, 2],
        [4, 5, 0, 1],
        [128, 0, 7, 2],
        [3, 0, 0, 0],
        [255; 4],
    ] {
        add(
            &format!("version bytes {version:?} without a digest"),
            &|bytes| {
                bytes[5..9].copy_from_slice(&version);
            },
        );
    }
    for time in [1, 0x7FFF_FFFF, u32::MAX] {
        add(&format!("time {time:08X} in C1 and C2"), &|bytes| {
            bytes[1..5].copy_from_slice(&time.to_be_bytes());
            bytes[1 + PACKET..5 + PACKET].copy_from_slice(&time.to_be_bytes());
        });
    }
    add("C2 of other bytes than S1", &|bytes| {
        for (index, byte) in bytes[1 + PACKET..].iter_mut().enumerate() {
            *byte = index.to_le_bytes()[0];
        }
    });
    cases
}

/// H6: everything at once, before anything of the relay has been read.
fn pipelined() -> Vec<Case> {
    let ready = joined(&[&hello(), &connect(b"live"), &create_stream(2.0)]);
    let publishing = |own: &str| joined(&[&ready, &publish(1, own.as_bytes())]);
    let start = Says::Words("NetStream.Publish.Start");
    let film: Vec<u8> = (0..10)
        .flat_map(|time| {
            joined(&[
                &video(time * 40, &key_frame(2_000)),
                &audio(time * 40, &[0xAF, 1, 2]),
            ])
        })
        .collect();
    let early = |bytes: usize| message(6, VIDEO, 1, &inter_frame(bytes)).repeat(20);
    let parts = [
        call("releaseStream", 2.0),
        call("FCPublish", 3.0),
        create_stream(4.0),
        call("_checkbw", 5.0),
    ];
    let fmle = joined(&[
        &hello(),
        &connect(b"live"),
        &parts.concat(),
        &publish(1, b"h6-fmle"),
    ]);
    let halved = publishing("h6-halved");
    vec![
        case("H6", "handshake and connect", State::Raw)
            .sends(joined(&[&hello(), &connect(b"live")]))
            .says(SUCCESS),
        case("H6", "up to createStream", State::Raw)
            .sends(ready.clone())
            .says(SUCCESS),
        case("H6", "up to publish", State::Raw)
            .sends(publishing("h6-publish"))
            .says(start.clone()),
        case("H6", "up to publish, and media", State::Raw)
            .sends(joined(&[&publishing("h6-media"), &film]))
            .says(start.clone())
            .takes(20),
        case("H6", "up to publish, and 300 KiB of media", State::Raw)
            .sends(joined(&[&publishing("h6-more"), &early(15_360)]))
            .says(start.clone())
            .takes(20),
        case("H6", "up to play", State::Raw)
            .sends(joined(&[&ready, &play(1, b"healthy")]))
            .says(Says::Words("NetStream.Play.Start")),
        case("H6", "as FMLE does", State::Raw)
            .sends(fmle)
            .says(start.clone()),
        case("H6", "cut in the middle of C2", State::Raw)
            .sends(&halved[..2_000])
            .sends(&halved[2_000..])
            .says(start.clone()),
        case("H6", "media before publish within the budget", State::Raw)
            .sends(joined(&[&ready, &early(15_360), &publish(1, b"h6-early")]))
            .says(start),
        case("H6", "media before publish beyond the budget", State::Raw)
            .sends(joined(&[&ready, &early(60_000)]))
            .closes(&["unexpected"]),
        case("H6", "a ping before connect", State::Raw)
            .sends(joined(&[&hello(), &ping(77), &connect(b"live")]))
            .says(Says::Pong(77))
            .says(SUCCESS),
    ]
}

/// H7: a peer that reads nothing.
fn deaf() -> Vec<Case> {
    let connected = joined(&[&hello(), &connect(b"live"), &create_stream(2.0)]);
    let asks = create_stream(3.0).repeat(15);
    vec![
        case("H7", "nothing read, nothing sent", State::Raw)
            .deaf()
            .closes(TIMEOUT)
            .with_worker(),
        case("H7", "C0 and C1", State::Raw)
            .deaf()
            .sends(&hello()[..1 + PACKET])
            .closes(TIMEOUT)
            .with_worker(),
        case("H7", "the handshake, which needs nothing read", State::Raw)
            .deaf()
            .sends(hello())
            .closes(&["setup_timeout"])
            .with_worker(),
        case("H7", "connect, whose answer nobody reads", State::Raw)
            .deaf()
            .sends(connected.clone())
            .closes(&["setup_timeout"])
            .with_worker(),
        case(
            "H7",
            "some commands, whose answers nobody reads",
            State::Raw,
        )
        .deaf()
        .sends(joined(&[&connected, &asks]))
        .closes(&["setup_timeout"])
        .with_worker(),
    ]
}
