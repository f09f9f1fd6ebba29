//! Audio, video and data of a publisher, and of those who are none. Families A14 to A18.
//! FLV 10.1 §E.4.2 and §E.4.3; E-RTMP v2 "Enhanced Video", "Multitrack Streaming via Enhanced
//! RTMP".
#![expect(clippy::too_many_lines, reason = "tables are as long as they are")]

use super::bytes::{
    DATA, DATA_AMF3, Head, OBJECT_END, VIDEO, audio, avc_header, command, create_stream, data,
    filled, inter_frame, joined, key_frame, message, message_in, null, number, object, play,
    publish, string, text, video,
};
use super::case::{Case, Limit, Says, State, case};

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = early();
    cases.extend(short_bodies());
    cases.extend(metadata());
    cases.extend(sequence_headers());
    cases.extend(floods());
    cases.push(seeks_with_headers());
    cases.extend(own_players());
    cases
}

/// A14: media of somebody who does not publish.
fn early() -> Vec<Case> {
    let state_of = |fits: bool, case: Case| {
        if fits {
            case
        } else {
            case.closes(&["unexpected"])
        }
    };
    let mut cases = Vec::new();
    for state in [State::Handshaken, State::Connected, State::Playing] {
        for (name, kind, len, count, fits) in [
            ("ten messages of sound", 8, 300, 10, true),
            ("900 KB of pictures", 9, 60_000, 15, true),
            ("1.2 MB of pictures", 9, 60_000, 20, false),
            ("1.2 MB of data", 18, 60_000, 20, false),
            ("1.2 MB of aggregates", 22, 60_000, 20, false),
            ("1.2 MB of data of type 15", 15, 60_000, 20, false),
        ] {
            let bytes = message(6, kind, 1, &inter_frame(len));
            let early = case("A14", name, state).repeats(bytes, count);
            cases.push(state_of(fits, early));
        }
        let announced = Head::new(6, VIDEO, 0xFF_FFFF).write(0);
        let early = case("A14", "a picture of FFFFFF bytes announced", state);
        cases.push(
            early
                .sends(joined(&[&announced, &[0x17; 128]]))
                .closes(&["unexpected"]),
        );
    }
    let other = message(6, VIDEO, 9, &inter_frame(300));
    cases.push(
        case(
            "A14",
            "pictures on a message stream that is not there",
            State::Publishing,
        )
        .sends(other.repeat(10)),
    );
    let idle = joined(&[
        &create_stream(5.0),
        &message(6, VIDEO, 2, &inter_frame(300)).repeat(100),
    ]);
    cases.push(
        case(
            "A14",
            "pictures on a message stream that publishes nothing",
            State::Publishing,
        )
        .sends(idle)
        .takes(0),
    );
    let flood = joined(&[
        &create_stream(5.0),
        &message(6, VIDEO, 2, &inter_frame(30)).repeat(2_000),
    ]);
    cases.push(
        case(
            "A14",
            "2,000 pictures on a message stream that publishes nothing",
            State::Publishing,
        )
        .sends(flood)
        .closes(&["glitches"])
        .needs(Limit::Glitches),
    );
    cases
}

/// A15: bodies too short for what they say they are.
fn short_bodies() -> Vec<Case> {
    let long_mod_ex = [&[0x97, 0xFF, 0xFF, 0xFF][..], &[0; 50]].concat();
    let endless_mod_ex = [0x97, 0, 0, 0x07].repeat(40);
    let pictures: [(&str, &[u8]); 30] = [
        ("of one byte", &[0x17]),
        ("of two bytes", &[0x17, 0]),
        ("of four bytes", &[0x17, 0, 0, 0]),
        ("with a header of nothing", &[0x17, 0, 0, 0, 0]),
        ("with a cut configuration", &[0x17, 0, 0, 0, 0, 1, 0x64]),
        (
            "with no parameter set",
            &[0x17, 0, 0, 0, 0, 1, 0x64, 0, 0x1F, 0xFF, 0xE0, 0],
        ),
        (
            "with a parameter set longer than it",
            &[
                0x17, 0, 0, 0, 0, 1, 0x64, 0, 0x1F, 0xFF, 0xE1, 0xFF, 0xFF, 1,
            ],
        ),
        ("with an unknown packet type", &[0x17, 9, 0, 0, 0, 0]),
        ("of frame type 0", &[0x07, 1, 0, 0, 0, 0]),
        ("of frame type 7", &[0x77, 1, 0, 0, 0, 0]),
        ("that is a command", &[0x57]),
        ("that is a command with a byte", &[0x57, 0]),
        ("of codec 0", &[0x10, 1]),
        ("of codec 15", &[0x1F, 1]),
        ("in HEVC without a configuration", &[0x1C, 0, 0, 0, 0]),
        ("enhanced, of one byte", &[0x90]),
        ("enhanced, with a cut FourCC", &[0x90, b'h', b'v', b'c']),
        ("enhanced, with no more than a FourCC", b"\x90hvc1"),
        (
            "enhanced, with a FourCC of FF",
            &[0x90, 0xFF, 0xFF, 0xFF, 0xFF, 0],
        ),
        ("enhanced, with a cut composition time", b"\x91hvc1\0\0"),
        ("enhanced, of an unknown packet type", b"\x9Fhvc1\0\0"),
        ("enhanced, a configuration of one byte", b"\x90hvc1\x01"),
        ("multitrack, of one byte", &[0x96]),
        ("multitrack, with a cut track", b"\x96\x10avc1\x01\0\0"),
        (
            "multitrack, with a track longer than it",
            b"\x96\x10avc1\x01\xFF\xFF\xFF\0",
        ),
        ("multitrack, of unknown form", b"\x96\xF0avc1\x01\0\0\0"),
        (
            "multitrack inside multitrack",
            b"\x96\x16avc1\x01\0\0\x01\0",
        ),
        ("with a ModEx longer than it", &long_mod_ex),
        ("with ModEx without end", &endless_mod_ex),
        ("of FF", &[0xFF; 200]),
    ];
    let sounds: [(&str, &[u8]); 17] = [
        ("of one byte", &[0xAF]),
        ("with a header of nothing", &[0xAF, 0]),
        ("with a header of one byte", &[0xAF, 0, 0x12]),
        ("of an unknown packet type", &[0xAF, 7, 0, 0]),
        ("of format 12", &[0xCF, 1, 2]),
        ("of format 15", &[0xFF, 1, 2]),
        ("in Opus with a cut header", b"\xDF\0OpusHea"),
        ("enhanced, of one byte", &[0x90]),
        ("enhanced, with a cut FourCC", b"\x90mp4"),
        ("enhanced, with no more than a FourCC", b"\x90mp4a"),
        ("enhanced, with a FourCC of zeros", &[0x90, 0, 0, 0, 0]),
        ("enhanced, channels cut", b"\x94mp4a\x01"),
        ("multitrack, of one byte", &[0x95]),
        ("multitrack, with a cut track", b"\x95\x11mp4a\x01\0\0"),
        (
            "multitrack, with a track longer than it",
            b"\x95\x11mp4a\x01\xFF\xFF\xFF\0",
        ),
        ("with a ModEx longer than it", &long_mod_ex),
        ("of FF", &[0xFF; 200]),
    ];
    let mut cases = Vec::new();
    for (name, body) in pictures {
        let name = format!("a picture {name}");
        cases.push(
            case("A15", name, State::Publishing)
                .sends(video(0, body))
                .takes(1),
        );
    }
    for (name, body) in sounds {
        let name = format!("sound {name}");
        cases.push(
            case("A15", name, State::Publishing)
                .sends(audio(0, body))
                .takes(1),
        );
    }
    let tracks = |count: usize| {
        let one = |track: usize| joined(&[&[track.to_le_bytes()[0], 0, 0, 1], &[7]]);
        let all: Vec<u8> = (0..count).flat_map(one).collect();
        video(0, &joined(&[b"\x96\x11avc1", &all]))
    };
    for count in [2, 255, 256, 257, 5_000] {
        let name = format!("a picture of {count} tracks");
        cases.push(
            case("A15", name, State::Publishing)
                .sends(tracks(count))
                .takes(1),
        );
    }
    cases
}

/// The body of a `onMetaData` for a new stream, told from others by `number`.
fn on_meta_data(number_of: f64, filling: usize) -> Vec<u8> {
    let properties = [("n", number(number_of)), ("x", text(&vec![b'x'; filling]))];
    joined(&[
        &string("@setDataFrame"),
        &string("onMetaData"),
        &object(&properties),
    ])
}

/// A16: metadata.
fn metadata() -> Vec<Case> {
    let state = State::Publishing;
    let nested = joined(&[&string("onMetaData"), &[3, 0, 1, b'a'].repeat(1_000)]);
    let nodes = joined(&[&string("onMetaData"), &[0x0A, 0, 1, 0, 0], &[5; 65_536]]);
    let longest = joined(&[&string("@setDataFrame"), &vec![0x0C; (256 << 10) - 16]]);
    let long = message_in(128, Head::new(5, DATA, 0), &longest);
    let mut cases = Vec::new();
    let bodies: [(&str, Vec<u8>); 12] = [
        ("@setDataFrame alone", string("@setDataFrame")),
        ("@setDataFrame twice", string("@setDataFrame").repeat(2)),
        ("@clearDataFrame", string("@clearDataFrame")),
        ("a name without a value", string("onMetaData")),
        ("a number for a name", number(1.0)),
        ("a cut name", vec![2, 0xFF, 0xFF, b'o']),
        ("an end marker", OBJECT_END.to_vec()),
        (
            "an object without end",
            joined(&[&string("onMetaData"), &[3, 0, 1, b'a', 5]]),
        ),
        ("objects nested 1,000 deep", nested),
        ("an array of 65,536 values", nodes),
        ("a name of 60,000 bytes", text(&[b'm'; 60_000])),
        ("bytes that are no AMF", vec![0xFF; 500]),
    ];
    for (name, body) in bodies {
        cases.push(case("A16", name, state).sends(data(&body)));
        let labelled = message(5, DATA_AMF3, 1, &joined(&[&[0], &body]));
        cases.push(case("A16", format!("{name}, labelled AMF3"), state).sends(labelled));
    }
    cases.push(case("A16", "metadata of 256 KiB", state).sends(long));
    for len in [(2 << 20) + 1, 0xFF_FFFF] {
        let announced = joined(&[&Head::new(5, DATA, len).write(0), &[2; 128]]);
        let name = format!("metadata of {len} bytes announced");
        cases.push(
            case("A16", name, state)
                .sends(announced)
                .closes(&["message_too_long"]),
        );
    }
    for (count, filling) in [(1_000, 0), (200, 1_000), (200, 60_000)] {
        let churn: Vec<u8> = (0..count)
            .flat_map(|n| data(&on_meta_data(f64::from(n), filling)))
            .collect();
        let name = format!("metadata that changes {count} times, of {filling} bytes");
        let churn = case("A16", name, state).sends(churn);
        cases.push(churn.may_close(&["glitches"]).needs(Limit::Headers));
    }
    cases
}

/// One track's sequence header in a message of several tracks.
fn track_header(track: u8, number_of: u32, len: usize) -> Vec<u8> {
    let first = joined(&[b"\x96\x00avc1", &[track], &number_of.to_be_bytes()]);
    filled(&first, len)
}

/// A17: sequence headers.
fn sequence_headers() -> Vec<Case> {
    let state = State::Publishing;
    let mut cases = Vec::new();
    for (count, len) in [
        (200, 100),
        (200, 60_000),
        (3, 65_537),
        (3, 1 << 20),
        (1, 8 << 20),
    ] {
        let churn: Vec<u8> = (0..count)
            .flat_map(|n| {
                joined(&[
                    &video(n * 40, &avc_header(n, len)),
                    &video(n * 40, &key_frame(50)),
                ])
            })
            .collect();
        let name = format!("{count} headers of {len} bytes, each another");
        let churn = case("A17", name, state)
            .sends(churn)
            .takes(2 * u64::from(count));
        cases.push(churn.may_close(&["glitches"]).needs(Limit::Headers));
    }
    for tracks in [1, 31, 32, 33, 255] {
        let all: Vec<u8> = (0..tracks)
            .flat_map(|n| video(0, &track_header(n, 0, 60)))
            .collect();
        let name = format!("headers of {tracks} tracks");
        cases.push(case("A17", name, state).sends(all).takes(u64::from(tracks)));
    }
    let churn: Vec<u8> = (0..3_000u32)
        .flat_map(|n| video(n, &track_header(n.to_le_bytes()[0] % 31, n, 30)))
        .collect();
    // A player of its own that takes nothing keeps the log from letting go.
    let own = joined(&[
        &create_stream(5.0),
        &publish(1, b"a17-churn"),
        &play(2, b"a17-churn"),
        &video(0, &key_frame(50)),
        &churn,
    ]);
    cases.push(
        case(
            "A17",
            "3,000 headers of 31 tracks, and a player that takes nothing",
            State::Connected,
        )
        .deaf()
        .sends(own)
        .may_close(&["glitches", "send_timeout"])
        .with_worker()
        .needs(Limit::Headers),
    );
    cases
}

/// A18: pictures and sound in odd numbers.
fn floods() -> Vec<Case> {
    let state = State::Publishing;
    let sound = audio(0, &[0xAF]);
    let own = joined(&[
        &create_stream(5.0),
        &publish(1, b"a18-deaf"),
        &play(2, b"a18-deaf"),
    ]);
    vec![
        case("A18", "no key frame but the first", state)
            .sends(video(0, &key_frame(100)))
            .repeats(video(40, &inter_frame(100)), 5_000)
            .takes(5_001),
        case("A18", "no key frame at all", state)
            .repeats(video(40, &inter_frame(100)), 5_000)
            .takes(5_000),
        case("A18", "key frames alone", state)
            .repeats(video(40, &key_frame(100)), 3_000)
            .takes(3_000),
        case("A18", "large pictures without a key frame", state)
            .sends(video(0, &key_frame(100)))
            .repeats(video(40, &inter_frame(200_000)), 200)
            .takes(201),
        case("A18", "20,000 messages of sound of one byte", state)
            .repeats(sound.clone(), 20_000)
            .takes(20_000),
        case("A18", "100,000 messages of sound of one byte", state)
            .repeats(sound.clone(), 100_000)
            .closes(&["message_rate"])
            .needs(Limit::Messages),
        case(
            "A18",
            "30,000 messages of sound, and a player that takes nothing",
            State::Connected,
        )
        .deaf()
        .sends(own)
        .repeats(sound, 30_000)
        .may_close(&["send_timeout"])
        .with_worker(),
    ]
}

/// A17: what a player can make us repeat: headers, with each seek.
fn seeks_with_headers() -> Case {
    let headers: Vec<u8> = (0..20)
        .flat_map(|n| video(0, &track_header(n, 1, 60_000)))
        .collect();
    let seek = command(2, &[string("seek"), number(0.0), null(), number(0.0)]);
    let bytes = joined(&[
        &create_stream(5.0),
        &publish(1, b"a17-seek"),
        &headers,
        &video(0, &key_frame(100)),
        &play(2, b"a17-seek"),
    ]);
    case(
        "A17",
        "90 seeks in a stream with 1.2 MB of headers",
        State::Connected,
    )
    .deaf()
    .sends(bytes)
    .repeats(seek, 90)
    .may_close(&["player_command_rate", "too_many_replies", "call_rate"])
    .with_worker()
    .needs(Limit::Player)
}

/// A18: those who play what they publish, on message streams of any number.
fn own_players() -> Vec<Case> {
    let mut cases = Vec::new();
    for msid in [2, 7, 0x0102_0304, u32::MAX] {
        for len in [10, 65_536, 65_537, 300_000] {
            let name = format!("a18-own-{msid}-{len}");
            let start = joined(&[&publish(1, name.as_bytes()), &play(msid, name.as_bytes())]);
            let film = joined(&[
                &video(0, &avc_header(1, 40)),
                &video(40, &key_frame(len)),
                &audio(40, &[0xAF, 1, 2]),
                &video(0xFFFF_FFF0, &inter_frame(len)),
                &video(10, &key_frame(len)),
            ]);
            let name = format!("pictures of {len} bytes played on message stream {msid:08X}");
            cases.push(
                case("A18", name, State::Connected)
                    .sends(joined(&[&start, &film]))
                    .says(Says::Media(5))
                    .takes(5)
                    .with_worker(),
            );
        }
    }
    cases
}
