//! The chunk layer: headers, chunk stream ids, incomplete messages, lengths, unknown types.
//! Families C1 to C9, C13 and C20. RTMP 1.0 §5.3.1.
#![expect(clippy::too_many_lines, reason = "tables are as long as they are")]

use std::time::Duration;

use tailwater::limits;

use super::bytes::{
    AUDIO, CHUNK, COMMAND, DATA, Head, SET_CHUNK_SIZE, VIDEO, audio, basic, basic_long, call,
    chunk_size, connect, create_stream, hello, in_chunks, inter_frame, joined, key_frame, message,
    message_in, number, ping, play, publish, string, text, video,
};
use super::case::{Case, Limit, Says, State, case};

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = fresh();
    cases.extend(headless());
    cases.extend(interrupted());
    cases.extend(ids());
    cases.extend(golden());
    cases.extend(many());
    cases.extend(hoarded());
    cases.extend(stale());
    cases.extend(empty());
    cases.extend(small_chunks());
    cases.extend(unknown());
    cases
}

/// C1: a chunk stream that begins with type 1, which takes its message stream from nowhere.
fn fresh() -> Vec<Case> {
    let size = joined(&[
        &Head::new(7, SET_CHUNK_SIZE, 4).write(1),
        &4_096u32.to_be_bytes(),
    ]);
    let librtmp = b"\x42\0\0\0\0\0\x06\x04\0\x06\0\0\x0D\x0F";
    let mut cases = vec![
        case("C1", "librtmp's ping", State::Handshaken)
            .sends(librtmp)
            .says(Says::Pong(0x0D0F)),
        case("C1", "Set Chunk Size", State::Handshaken).sends(size.clone()),
        case("C1", "Set Chunk Size", State::Publishing).sends(size),
    ];
    let body = joined(&[&string("createStream"), &number(9.0), &[5]]);
    let len = u32::try_from(body.len()).expect("short");
    for csid in [4, 5, 8, 63, 64, 319, 320, 65_599] {
        let bytes = joined(&[&Head::new(csid, COMMAND, len).write(1), &body]);
        let name = format!("createStream on chunk stream {csid}");
        cases.push(
            case("C1", name, State::Connected)
                .sends(bytes)
                .says(Says::Words("_result")),
        );
    }
    let body = key_frame(90);
    let bytes = joined(&[&Head::new(11, VIDEO, 90).at(40).write(1), &body]);
    cases.push(
        case("C1", "a picture on message stream 0", State::Publishing)
            .sends(bytes)
            .takes(1),
    );
    cases
}

/// C2: a chunk stream that begins with type 2 or 3.
fn headless() -> Vec<Case> {
    let mut cases = Vec::new();
    for (state, ids) in [
        (
            State::Handshaken,
            &[2, 3, 4, 6, 63, 64, 319, 320, 65_599][..],
        ),
        (State::Publishing, &[4, 7, 64, 320][..]),
        (State::Playing, &[5, 65_599][..]),
    ] {
        for &csid in ids {
            let delta = joined(&[&basic(2, csid), &[0; 3], &[0; 8]]);
            let nothing = joined(&[&basic(3, csid), &[0; 8]]);
            for (fmt, bytes) in [(2, delta), (3, nothing)] {
                let name = format!("type {fmt} on fresh chunk stream {csid}");
                cases.push(
                    case("C2", name, state)
                        .sends(bytes)
                        .closes(&["no_previous_header"]),
                );
            }
        }
    }
    cases
}

/// C3 and C4: a header of its own in the middle of a message.
fn interrupted() -> Vec<Case> {
    let code = &["header_inside_message"];
    let mut cases = Vec::new();
    let begun = |csid, kind| joined(&[&Head::new(csid, kind, 512).write(0), &[0x27; CHUNK]]);
    for (state, csid, kind) in [
        (State::Handshaken, 3, COMMAND),
        (State::Connected, 3, COMMAND),
        (State::Connected, 6, VIDEO),
        (State::Connected, 4, AUDIO),
        (State::Publishing, 6, VIDEO),
        (State::Publishing, 4, AUDIO),
        (State::Publishing, 5, DATA),
        (State::Publishing, 3, COMMAND),
        (State::Publishing, 9, 99),
        (State::Playing, 3, COMMAND),
    ] {
        let bytes = joined(&[&begun(csid, kind), &message(csid, kind, 1, &[0x27; 64])]);
        let name = format!("type 0 inside a message of type {kind}");
        cases.push(case("C3", name, state).sends(bytes).closes(code));
    }
    for len in [0, 1, 127, 128, 129, 511, 512, 513, 0xFF_FFFF] {
        for (state, csid, kind) in [
            (State::Publishing, 6, VIDEO),
            (State::Connected, 3, COMMAND),
        ] {
            let header = Head::new(csid, kind, len).write(1);
            let bytes = joined(&[&begun(csid, kind), &header, &[0x27; CHUNK]]);
            let name = format!("length 512 becomes {len} with type 1");
            cases.push(case("C4", name, state).sends(bytes).closes(code));
        }
    }
    let fmt2 = joined(&[
        &begun(6, VIDEO),
        &Head::new(6, 0, 0).write(2),
        &[0x27; CHUNK],
    ]);
    cases.push(
        case("C4", "type 2 inside a message", State::Publishing)
            .sends(fmt2)
            .closes(code),
    );
    let whole = video(0, &inter_frame(512));
    cases.push(
        case("C4", "no header inside a message", State::Publishing)
            .sends(whole)
            .takes(1),
    );
    cases
}

/// C5: every form of a chunk stream id.
fn ids() -> Vec<Case> {
    let body = [0, 6, 0, 0, 0, 77];
    let fields = [0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0];
    let mut cases = Vec::new();
    for (name, id) in [
        ("3F", &[0x3F][..]),
        ("02", &[0x02]),
        ("00 00", &[0, 0]),
        ("00 FF", &[0, 0xFF]),
        ("01 00 00", &[1, 0, 0]),
        ("01 FF 00", &[1, 0xFF, 0]),
        ("01 00 01", &[1, 0, 1]),
        ("01 FF FF", &[1, 0xFF, 0xFF]),
    ] {
        let bytes = joined(&[id, &fields, &body]);
        let is_whole = case(
            "C5",
            format!("a ping on chunk stream {name}"),
            State::Handshaken,
        );
        cases.push(is_whole.sends(bytes).says(Says::Pong(77)));
    }
    let film = inter_frame(200);
    for csid in [64, 100, 319] {
        let first = Head::new(csid, VIDEO, 200).write(0);
        let long_first = joined(&[&basic_long(0, csid), &first[2..]]);
        let to_long = in_chunks(&first, &basic_long(3, csid), &film, CHUNK);
        let to_short = in_chunks(&long_first, &basic(3, csid), &film, CHUNK);
        for (how, bytes) in [
            ("short, then long", to_long),
            ("long, then short", to_short),
        ] {
            let name = format!("chunk stream {csid} in both forms, {how}");
            cases.push(case("C5", name, State::Publishing).sends(bytes).takes(1));
        }
    }
    let other = in_chunks(
        &Head::new(100, VIDEO, 200).write(0),
        &basic(3, 101),
        &film,
        CHUNK,
    );
    cases.push(
        case(
            "C5",
            "a message that goes on under another id",
            State::Publishing,
        )
        .sends(other)
        .closes(&["no_previous_header"]),
    );
    cases
}

/// What an ordinary publisher sends, from the first byte.
pub(crate) fn golden_publish(name: &str) -> Vec<u8> {
    let mut bytes = joined(&[&hello(), &chunk_size(4_096)]);
    let large =
        |csid, kind, msid, body: &[u8]| message_in(4_096, Head::new(csid, kind, 0).on(msid), body);
    // The commands fit into a chunk of either size.
    for command in [
        connect(b"live"),
        call("releaseStream", 2.0),
        create_stream(4.0),
        publish(1, name.as_bytes()),
    ] {
        bytes.extend(command);
    }
    let metadata = joined(&[
        &string("@setDataFrame"),
        &string("onMetaData"),
        &[8, 0, 0, 0, 0],
    ]);
    bytes.extend(large(5, DATA, 1, &joined(&[&metadata, &[0, 0, 9]])));
    bytes.extend(video(0, &super::bytes::avc_header(1, 40)));
    bytes.extend(audio(0, &[0xAF, 0, 0x12, 0x10]));
    for number in 0..3 {
        bytes.extend(large(6, VIDEO, 1, &key_frame(5_000 + number)));
        bytes.extend(large(4, AUDIO, 1, &[0xAF, 1, 7, 7]));
    }
    bytes
}

/// C6: an ordinary session, cut in two; the worker and session tests cut every case at each byte.
fn golden() -> Vec<Case> {
    let mut cases = Vec::new();
    for at in [
        1, 2, 1_536, 1_537, 1_538, 3_072, 3_073, 3_074, 3_080, 3_085, 3_086, 3_090, 3_101, 3_102,
        3_180, 3_260, 3_300, 3_400, 3_500, 4_000, 8_000, 12_000,
    ] {
        let bytes = golden_publish(&format!("c6-{at}"));
        let at = at.min(bytes.len() - 1);
        let golden = case("C6", format!("a publisher cut at byte {at}"), State::Raw);
        let golden = golden
            .sends(&bytes[..at])
            .passes(Duration::from_millis(5))
            .sends(&bytes[at..])
            .takes(9)
            .says(Says::Words("NetStream.Publish.Start"));
        cases.push(golden);
    }
    let bytes = golden_publish("c6-whole");
    cases.push(
        case("C6", "a publisher in one piece", State::Raw)
            .sends(bytes)
            .takes(9),
    );
    let start = [
        hello(),
        connect(b"live"),
        create_stream(2.0),
        play(1, b"healthy"),
    ];
    let player = case("C6", "a player in four pieces", State::Raw);
    let player = start.into_iter().fold(player, Case::sends);
    cases.push(player.says(Says::Words("NetStream.Play.Start")));
    cases
}

/// One chunk each of `count` messages, each on a chunk stream of its own from `first` on.
fn partials(count: u32, first: u32, kind: u8, len: u32, msid: u32) -> Vec<u8> {
    let begun = |csid| {
        let head = Head::new(csid, kind, len).on(msid).write(0);
        joined(&[&head, &[0x27; CHUNK]])
    };
    (first..first + count).flat_map(begun).collect()
}

/// C7: many messages begun and none ended.
fn many() -> Vec<Case> {
    let many = &["too_many_partial_messages"];
    let long = &["message_too_long"];
    let mut cases = Vec::new();
    for count in [1, 17, 65, 1_000] {
        let name = format!("{count} commands of FFFFFF bytes begun");
        let bytes = partials(count, 3, COMMAND, 0xFF_FFFF, 0);
        cases.push(
            case("C7", name.clone(), State::Connected)
                .sends(bytes.clone())
                .closes(long),
        );
        cases.push(
            case("C7", name, State::Publishing)
                .sends(bytes)
                .closes(long),
        );
    }
    let full = u32::try_from(limits::UNAUTHORISED_MESSAGE_BYTES_MAX).expect("small");
    let few = u32::try_from(limits::UNAUTHORISED_PARTIAL_MESSAGES_MAX).expect("small");
    for state in [State::Handshaken, State::Connected, State::Playing] {
        let allowed = case("C7", "as many commands begun as may be", state);
        cases.push(
            allowed
                .sends(partials(few, 8, COMMAND, full, 0))
                .stays_open(),
        );
        for count in [few + 1, 17, 65, 1_000] {
            let name = format!("{count} commands of {full} bytes begun");
            let bytes = partials(count, 8, COMMAND, full, 0);
            cases.push(case("C7", name, state).sends(bytes).closes(many));
        }
    }
    let video_max = u32::try_from(limits::VIDEO_MESSAGE_BYTES_MAX).expect("small");
    let data_max = u32::try_from(limits::DATA_MESSAGE_BYTES_MAX).expect("small");
    let most = u32::try_from(limits::PARTIAL_MESSAGES_MAX).expect("small");
    let allowed = case("C7", "as many pictures begun as may be", State::Publishing);
    cases.push(
        allowed
            .sends(partials(most, 8, VIDEO, video_max, 1))
            .stays_open(),
    );
    for (kind, len) in [
        (VIDEO, video_max),
        (AUDIO, 1 << 20),
        (DATA, data_max),
        (99, 0xFF_FFFF),
    ] {
        for count in [most + 1, 17, 65, 1_000, 65_500] {
            let name = format!("{count} messages of type {kind} with {len} bytes begun");
            let bytes = partials(count, 64, kind, len, 1);
            cases.push(
                case("C7", name, State::Publishing)
                    .sends(bytes)
                    .closes(many),
            );
        }
    }
    for (kind, len) in [
        (VIDEO, video_max),
        (AUDIO, 1 << 20),
        (DATA, data_max),
        (COMMAND, 1 << 18),
    ] {
        let name = format!("a message of type {kind} one byte too long");
        let bytes = partials(1, 8, kind, len + 1, 1);
        cases.push(
            case("C7", name, State::Publishing)
                .sends(bytes)
                .closes(long),
        );
    }
    cases
}

/// C7: many chunk streams, and what they keep when their messages have come and gone.
fn hoarded() -> Vec<Case> {
    let ids = u32::try_from(limits::CHUNK_STREAMS_MAX).expect("small");
    let tiny = |count| -> Vec<u8> {
        (8..8 + count)
            .flat_map(|csid| message(csid, AUDIO, 1, &[0xAF, 1, 2]))
            .collect()
    };
    let mut cases = Vec::new();
    // Two are in use since the handshake: 3 by the commands, and 2 by the closing ping.
    let state = State::Publishing;
    cases.push(
        case("C7", "as many chunk streams as may be", state)
            .sends(tiny(ids - 2))
            .takes(62),
    );
    for count in [ids, 65, 1_000, 65_000] {
        let name = format!("{count} chunk streams with a whole message each");
        cases.push(
            case("C7", name, state)
                .sends(tiny(count))
                .closes(&["too_many_chunk_streams"]),
        );
    }
    let mut hoard = case(
        "C7",
        "the longest pictures, each on its own chunk stream",
        state,
    );
    hoard = hoard.sends(chunk_size(65_536));
    for csid in 8..16 {
        let longest = inter_frame(limits::VIDEO_MESSAGE_BYTES_MAX);
        hoard = hoard.sends(message_in(65_536, Head::new(csid, VIDEO, 0), &longest));
    }
    cases.push(hoard.takes(8));
    let words = text(&[b'x'; 60_000]);
    for state in [State::Handshaken, State::Playing] {
        let mut hoard = case("C7", "long commands, each on its own chunk stream", state);
        for csid in 8..8 + ids - 4 {
            // A number comes first, which makes it no command that anybody has to answer.
            hoard = hoard.sends(message(csid, COMMAND, 0, &joined(&[&number(0.0), &words])));
        }
        cases.push(hoard);
    }
    cases.push(beyond_the_sum());
    cases
}

/// Three messages at once, chunk by chunk, whose sum is beyond what a publisher may leave open.
fn beyond_the_sum() -> Case {
    let chunk = [0x27; 65_536];
    let video = u32::try_from(limits::VIDEO_MESSAGE_BYTES_MAX).expect("small");
    let mut case = case(
        "C7",
        "pictures and sound that lack a chunk",
        State::Publishing,
    )
    .sends(chunk_size(65_536))
    .closes(&["partial_bytes"]);
    for (csid, kind, len, chunks) in [
        (8, VIDEO, video, 127),
        (9, VIDEO, video, 127),
        (10, AUDIO, 1 << 20, 15),
    ] {
        case = case.sends(joined(&[&Head::new(csid, kind, len).write(0), &chunk]));
        case = case.repeats(joined(&[&basic(3, csid), &chunk]), chunks - 1);
    }
    case
}

/// C8: a message that never comes to its end.
fn stale() -> Vec<Case> {
    let idle = &["setup_timeout", "publish_idle"];
    let begun = |len: u32| joined(&[&Head::new(3, COMMAND, len).write(0), &[2]]);
    let held = joined(&[&Head::new(6, VIDEO, 1_000).write(0), &[0x27; CHUNK]]);
    let mut keeps_sending = case(
        "C8",
        "half a picture, and sound that goes on",
        State::Publishing,
    )
    .sends(held);
    for second in 0..45 {
        keeps_sending = keeps_sending
            .passes(Duration::from_secs(1))
            .sends(audio(second * 1_000, &[0xAF, 1, 2]));
    }
    let dripping = (0..45).fold(
        case(
            "C8",
            "a picture that comes a chunk a second",
            State::Publishing,
        )
        .sends(joined(&[
            &Head::new(6, VIDEO, 128 * 46).write(0),
            &[0x27; CHUNK],
        ])),
        |case, _| {
            case.passes(Duration::from_secs(1))
                .sends(joined(&[&basic(3, 6), &[0x27; CHUNK]]))
        },
    );
    vec![
        case("C8", "FFFFFF bytes begun with one", State::Connected)
            .sends(begun(0xFF_FFFF))
            .closes(&["message_too_long"]),
        case(
            "C8",
            "64 KiB begun with one byte, then silence",
            State::Connected,
        )
        .sends(begun(65_536))
        .closes(idle)
        .with_worker(),
        case(
            "C8",
            "64 KiB begun with one byte, then silence",
            State::Publishing,
        )
        .sends(begun(65_536))
        .closes(idle)
        .with_worker(),
        case(
            "C8",
            "8 MiB begun with one chunk, then silence",
            State::Publishing,
        )
        .sends(partials(1, 6, VIDEO, 8 << 20, 1))
        .closes(idle)
        .with_worker(),
        keeps_sending
            .closes(&["stale_partial"])
            .in_memory()
            .needs(Limit::Partial),
        dripping.in_memory().takes(1),
    ]
}

/// C9: messages without a byte, of every type.
fn empty() -> Vec<Case> {
    let mut cases = Vec::new();
    for state in [
        State::Handshaken,
        State::Connected,
        State::Publishing,
        State::Playing,
    ] {
        for kind in 0..=22 {
            let empty = case(
                "C9",
                format!("a message of type {kind} without a byte"),
                state,
            );
            let empty = empty.sends(message(9, kind, 1, &[]));
            cases.push(if (1..=6).contains(&kind) {
                empty.closes(&["short_control"])
            } else {
                empty
            });
        }
        let rest: Vec<u8> = (23..=255)
            .flat_map(|kind| message(9, kind, 1, &[]))
            .collect();
        cases.push(case("C9", "a message of each other type without a byte", state).sends(rest));
    }
    let silence = message(9, AUDIO, 1, &[]);
    let silent = case(
        "C9",
        "2,000 messages of sound without a byte",
        State::Publishing,
    );
    cases.push(silent.repeats(silence, 2_000).may_close(&["glitches"]));
    let flood = message(9, VIDEO, 1, &[]);
    cases.push(
        case("C9", "2,000 pictures without a byte", State::Publishing)
            .repeats(flood, 2_000)
            .closes(&["glitches"])
            .needs(Limit::Glitches),
    );
    cases
}

/// C13: chunks so small that their headers are the load.
fn small_chunks() -> Vec<Case> {
    let mut cases = Vec::new();
    for size in [1, 2, 16, 127] {
        let bytes = joined(&[
            &chunk_size(size),
            &message_in(size as usize, Head::new(6, VIDEO, 0), &inter_frame(20_000)),
        ]);
        let name = format!("chunk size {size} and a message in it");
        cases.push(
            case("C13", name, State::Publishing)
                .sends(bytes)
                .closes(&["chunk_size"]),
        );
    }
    let longest = inter_frame(limits::VIDEO_MESSAGE_BYTES_MAX);
    cases.push(
        case("C13", "8 MiB in chunks of 128", State::Publishing)
            .sends(video(0, &longest))
            .takes(1),
    );
    let halves = (0..3_000).flat_map(|_| {
        let turn = |csid| joined(&[&basic(3, csid), &[0x27; CHUNK]]);
        joined(&[&turn(6), &turn(7)])
    });
    let begun = joined(&[
        &partials(1, 6, VIDEO, 3_001 * 128, 1),
        &partials(1, 7, VIDEO, 3_001 * 128, 1),
    ]);
    let bytes = joined(&[&begun, &halves.collect::<Vec<u8>>()]);
    cases.push(
        case(
            "C13",
            "two pictures that take turns with each chunk",
            State::Publishing,
        )
        .sends(bytes)
        .takes(2),
    );
    cases
}

/// C20: types nobody reads, with bodies.
fn unknown() -> Vec<Case> {
    let mut cases = Vec::new();
    let kinds = [0, 7, 10, 11, 12, 13, 14, 16, 19, 21, 23, 64, 127, 200, 255];
    for kind in kinds {
        let whole = message(9, kind, 1, &[0xAA; 100_000]);
        let name = format!("type {kind} with 100,000 bytes");
        cases.push(case("C20", name.clone(), State::Connected).sends(whole.clone()));
        cases.push(case("C20", name, State::Publishing).sends(whole).takes(0));
    }
    for kind in [16, 19, 99] {
        let begun = joined(&[
            &chunk_size(0xFF_FFFF),
            &Head::new(9, kind, 0xFF_FFFF).write(0),
        ]);
        let name = format!("type {kind} with FFFFFF bytes, of which a MiB comes");
        cases.push(
            case("C20", name, State::Handshaken)
                .sends(begun)
                .repeats([0xAA; 65_536], 16)
                .stays_open(),
        );
    }
    let flood = message(9, 99, 1, &[1, 2, 3]);
    for state in [State::Handshaken, State::Publishing, State::Playing] {
        cases.push(
            case("C20", "2,000 messages of an unknown type", state)
                .repeats(flood.clone(), 2_000)
                .closes(&["glitches"])
                .needs(Limit::Glitches),
        );
        cases.push(
            case("C20", "200 messages of an unknown type", state).repeats(flood.clone(), 200),
        );
    }
    cases.push(
        case(
            "C20",
            "an unknown type between the chunks of a picture",
            State::Publishing,
        )
        .sends(joined(&[
            &partials(1, 6, VIDEO, 256, 1),
            &message(9, 99, 1, &[7; 50]),
            &ping(5),
            &basic(3, 6),
            &[0x27; CHUNK],
        ]))
        .takes(1)
        .says(Says::Pong(5)),
    );
    cases
}
