//! Protocol control and user control messages. Families C10 to C12 and C14 to C18.
//! RTMP 1.0 §5.4, §6.2.

use super::bytes::{
    ABORT, ACKNOWLEDGEMENT, CHUNK, COMMAND, Head, PEER_BANDWIDTH, SET_CHUNK_SIZE, USER_CONTROL,
    VIDEO, WINDOW_ACK, audio, basic, chunk_size, command, control, inter_frame, joined, message,
    message_in, null, number, number_control, ping, string, text, user, video,
};
use super::case::{Case, Limit, Says, State, case};

const STATES: [State; 3] = [State::Handshaken, State::Publishing, State::Playing];

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = lengths();
    cases.extend(sizes());
    cases.extend(sizes_in_between());
    cases.extend(aborts());
    cases.extend(acknowledgements());
    cases.extend(windows());
    cases.extend(bandwidths());
    cases.extend(events());
    cases.extend(pings());
    cases
}

/// C10: control messages shorter and longer than their bodies are.
fn lengths() -> Vec<Case> {
    let mut cases = Vec::new();
    let kinds = [
        SET_CHUNK_SIZE,
        ABORT,
        ACKNOWLEDGEMENT,
        WINDOW_ACK,
        PEER_BANDWIDTH,
    ];
    for kind in kinds {
        for len in 0..4 {
            let name = format!("type {kind} with {len} bytes");
            let short = case("C10", name, State::Publishing).sends(control(kind, &[1; 4][..len]));
            cases.push(short.closes(&["short_control"]));
        }
        for len in [5, 16, 128, 300, 4_000] {
            // As a number this is 65,536, which all of them take.
            let body = joined(&[&[0, 1, 0, 0], &[9; 4_000]]);
            let name = format!("type {kind} with {len} bytes");
            let long = case("C10", name, State::Publishing).sends(control(kind, &body[..len]));
            cases.push(long);
        }
    }
    for len in 0..2 {
        let name = format!("user control with {len} bytes");
        let short =
            case("C10", name, State::Handshaken).sends(control(USER_CONTROL, &[0; 2][..len]));
        cases.push(short.closes(&["short_control"]));
    }
    cases
}

/// C11: chunk sizes.
fn sizes() -> Vec<Case> {
    let mut cases = Vec::new();
    for state in STATES {
        for size in [0, 1, 0x7F, 0x8000_0000, 0x8000_0080, 0xFFFF_FFFF] {
            let refused = case("C11", format!("chunk size {size:08X}"), state);
            cases.push(refused.sends(chunk_size(size)).closes(&["chunk_size"]));
        }
        for size in [
            0x80,
            0xFF,
            0x1_0000,
            0xFF_FFFF,
            0x0100_0000,
            0x0800_0000,
            0x7FFF_FFFF,
        ] {
            // What follows is one chunk of the new size, unless that is smaller.
            let body = joined(&[&number(0.0), &text(&[b'x'; 3_000])]);
            let in_one = message_in(size as usize, Head::new(3, COMMAND, 0), &body);
            let obeyed = case("C11", format!("chunk size {size:08X}"), state);
            cases.push(obeyed.sends(joined(&[&chunk_size(size), &in_one])));
        }
        let often: Vec<u8> = (0..12).flat_map(|n| chunk_size(4_096 + n)).collect();
        cases.push(
            case("C11", "twelve chunk sizes", state)
                .sends(often.repeat(2))
                .closes(&["chunk_size_rate"])
                .needs(Limit::ChunkSizes),
        );
        let some: Vec<u8> = (0..9).flat_map(|n| chunk_size(4_096 + n)).collect();
        cases.push(case("C11", "nine chunk sizes", state).sends(some));
    }
    cases
}

/// C12: a chunk size that changes in the middle of another message.
fn sizes_in_between() -> Vec<Case> {
    let begun = joined(&[&Head::new(6, VIDEO, 300).write(0), &[0x27; CHUNK]]);
    let rest = joined(&[&basic(3, 6), &[0x27; 172]]);
    let body = 4_096u32.to_be_bytes();
    let mut cases = Vec::new();
    for (how, size) in [
        ("as it should be", chunk_size(4_096)),
        ("on message stream 7", message(2, SET_CHUNK_SIZE, 7, &body)),
        ("on chunk stream 9", message(9, SET_CHUNK_SIZE, 0, &body)),
        (
            "on chunk stream 65599",
            message(65_599, SET_CHUNK_SIZE, 0xFFFF_FFFF, &body),
        ),
    ] {
        let name = format!("chunk size inside a picture, {how}");
        let bytes = joined(&[&begun, &size, &rest]);
        cases.push(case("C12", name, State::Publishing).sends(bytes).takes(1));
    }
    let values = [
        string("createStream"),
        number(9.0),
        null(),
        text(&[b'x'; 200]),
    ]
    .concat();
    let (first, second) = values.split_at(CHUNK);
    let head = Head::new(3, COMMAND, u32::try_from(values.len()).expect("short"));
    let bytes = joined(&[
        &head.write(0),
        first,
        &chunk_size(4_096),
        &basic(3, 3),
        second,
    ]);
    cases.push(
        case("C12", "chunk size inside a command", State::Connected)
            .sends(bytes)
            .says(Says::Words("_result")),
    );
    let smaller = joined(&[
        &chunk_size(1_000),
        &Head::new(6, VIDEO, 1_300).write(0),
        &[0x27; 1_000],
        &chunk_size(200),
        &basic(3, 6),
        &[0x27; 200],
        &basic(3, 6),
        &[0x27; 100],
    ]);
    cases.push(
        case(
            "C12",
            "a smaller chunk size inside a picture",
            State::Publishing,
        )
        .sends(smaller)
        .takes(1),
    );
    let own = in_its_own_chunk();
    cases.push(
        case("C12", "chunk size in two chunks", State::Publishing)
            .sends(own)
            .takes(1),
    );
    cases
}

/// A Set Chunk Size of 130 bytes, so that its own second chunk is of the old size.
fn in_its_own_chunk() -> Vec<u8> {
    let body = joined(&[&512u32.to_be_bytes(), &[0; 126]]);
    let picture = message_in(512, Head::new(6, VIDEO, 0), &inter_frame(700));
    joined(&[&control(SET_CHUNK_SIZE, &body), &picture])
}

/// C14: Abort.
fn aborts() -> Vec<Case> {
    let abort = |csid: u32| number_control(ABORT, csid);
    let begun = joined(&[&Head::new(6, VIDEO, 300).write(0), &[0x27; CHUNK]]);
    let again: Vec<u8> = joined(&[&begun, &abort(6)]).repeat(100);
    let begins_anew = joined(&[
        &basic(3, 6),
        &[0x27; CHUNK],
        &basic(3, 6),
        &[0x27; CHUNK],
        &basic(3, 6),
        &[0x27; 44],
    ]);
    let state = State::Publishing;
    let mut cases = vec![
        case("C14", "a picture given up, then another", state)
            .sends(joined(&[&begun, &abort(6), &video(40, &inter_frame(300))]))
            .takes(1),
        case("C14", "a picture given up, then type 3", state)
            .sends(joined(&[&begun, &abort(6), &begins_anew]))
            .takes(1),
        case("C14", "a picture given up a hundred times", state)
            .sends(joined(&[&again, &video(0, &inter_frame(300))]))
            .takes(1),
        case("C14", "a command given up", State::Connected)
            .sends(joined(&[
                &Head::new(3, COMMAND, 300).write(0),
                &[2; CHUNK],
                &abort(3),
                &super::bytes::create_stream(8.0),
            ]))
            .says(Says::Words("_result")),
        case("C14", "many messages begun and given up", State::Connected).sends(
            (8..60)
                .flat_map(|csid| {
                    let begun = joined(&[&Head::new(csid, COMMAND, 60_000).write(0), &[2; CHUNK]]);
                    joined(&[&begun, &abort(csid)])
                })
                .collect::<Vec<u8>>(),
        ),
        case("C14", "2,000 aborts of nothing", state)
            .sends(abort(99).repeat(2_000))
            .closes(&["glitches"])
            .needs(Limit::Glitches),
    ];
    for state in STATES {
        for csid in [0, 1, 2, 3, 4, 64, 65_599, 0xFFFF_FFFF] {
            let name = format!("abort of nothing on chunk stream {csid}");
            cases.push(case("C14", name, state).sends(abort(csid)));
        }
    }
    cases
}

/// C15: acknowledgements of what was never sent.
fn acknowledgements() -> Vec<Case> {
    let mut cases = Vec::new();
    for state in STATES {
        for value in [0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF] {
            let name = format!("acknowledgement of {value:08X}");
            cases.push(case("C15", name, state).sends(number_control(ACKNOWLEDGEMENT, value)));
        }
        let back: Vec<u8> = [5_000, 4_000, 0xFFFF_FFFF, 0, 3_000]
            .into_iter()
            .flat_map(|value| number_control(ACKNOWLEDGEMENT, value))
            .collect();
        let name = "acknowledgements that go back and ahead";
        cases.push(case("C15", name, state).sends(back.repeat(20)));
    }
    cases
}

/// C16: the window to acknowledge by.
fn windows() -> Vec<Case> {
    let mut cases = Vec::new();
    for window in [
        0,
        1,
        2,
        128,
        0xFFFF,
        0x7FFF_FFFF,
        0x8000_0000,
        0x8000_0001,
        0xFFFF_FFFF,
    ] {
        let sound = audio(0, &[0xAF; 1_000]).repeat(1_000);
        let name = format!("window {window:08X} and a MiB of sound");
        cases.push(
            case("C16", name, State::Publishing)
                .sends(joined(&[&number_control(WINDOW_ACK, window), &sound]))
                // One for 32 KiB at most.
                .says(Says::Acknowledgements(40))
                .takes(1_000),
        );
        let name = format!("window {window:08X}");
        cases.push(case("C16", name, State::Handshaken).sends(number_control(WINDOW_ACK, window)));
    }
    let again = number_control(WINDOW_ACK, 1).repeat(400);
    cases.push(
        case("C16", "400 windows", State::Publishing)
            .sends(again)
            .says(Says::Acknowledgements(1)),
    );
    cases
}

/// C17: Set Peer Bandwidth; its last byte may be missing and may be anything.
fn bandwidths() -> Vec<Case> {
    let mut cases = Vec::new();
    for state in STATES {
        for limit in [0, 1, 2, 3, 128, 255] {
            let body = joined(&[&2_500_000u32.to_be_bytes(), &[limit]]);
            let name = format!("bandwidth with limit type {limit}");
            cases.push(case("C17", name, state).sends(control(PEER_BANDWIDTH, &body)));
        }
        for window in [0u32, 1, 0x7FFF_FFFF, 0xFFFF_FFFF] {
            let body = joined(&[&window.to_be_bytes(), &[2]]);
            let name = format!("bandwidth {window:08X}");
            cases.push(case("C17", name, state).sends(control(PEER_BANDWIDTH, &body)));
        }
    }
    let four = number_control(PEER_BANDWIDTH, 1);
    cases.push(case("C17", "bandwidth without a limit type", State::Connected).sends(four));
    cases
}

/// C18: user control events, known and unknown, whole and cut.
fn events() -> Vec<Case> {
    let mut cases = Vec::new();
    for event in [
        0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 26, 27, 31, 32, 33, 34, 0x7F, 0xFF, 0x100, 0x600,
        0x7FFF, 0xFFFF,
    ] {
        let name = format!("event {event:04X}");
        cases.push(case("C18", name, State::Publishing).sends(user(event, 1)));
    }
    for event in [0, 3, 6, 7, 31] {
        for len in 2..6 {
            let body = joined(&[&[0, event], &[0; 4]]);
            let name = format!("event {event} with {len} bytes");
            let cut =
                case("C18", name, State::Connected).sends(control(USER_CONTROL, &body[..len]));
            cases.push(cut);
        }
    }
    for (msid, buffer) in [(1, u32::MAX), (0, 0), (u32::MAX, u32::MAX), (7, 1)] {
        let body = joined(&[&[0, 3], &msid.to_be_bytes(), &buffer.to_be_bytes()]);
        for state in STATES {
            let name = format!("SetBufferLength of {msid:08X} to {buffer:08X}");
            cases.push(case("C18", name, state).sends(control(USER_CONTROL, &body)));
        }
    }
    for state in STATES {
        cases.push(case("C18", "100 unknown events", state).sends(user(0x77, 1).repeat(100)));
        cases.push(
            case("C18", "2,000 unknown events", state)
                .sends(user(0x77, 1).repeat(2_000))
                .closes(&["glitches"])
                .needs(Limit::Glitches),
        );
        cases.push(case("C18", "100 answers to no ping", state).sends(user(7, 9).repeat(100)));
    }
    cases
}

/// C18: pings.
fn pings() -> Vec<Case> {
    let flood = joined(&[&ping(1), &compressed_pings(30_000)]);
    let mut cases = Vec::new();
    for state in STATES {
        let some = (1..=12).fold(case("C18", "twelve pings", state), |case, time| {
            case.sends(ping(time)).says(Says::Pong(time))
        });
        cases.push(some);
        cases.push(
            case("C18", "30,000 pings", state)
                .sends(flood.clone())
                .closes(&["call_rate", "too_many_replies", "message_rate"])
                .needs(Limit::Replies),
        );
        cases.push(
            case("C18", "30,000 pings, whose answers nobody reads", state)
                .deaf()
                .sends(flood.clone())
                .closes(&["call_rate", "too_many_replies", "message_rate"])
                .needs(Limit::Replies),
        );
    }
    let none = command(0, &[string("onStatus"), number(0.0), null()]);
    cases.push(
        case("C18", "a ping between commands", State::Connected)
            .sends(joined(&[
                &none,
                &ping(3),
                &none,
                &message(2, USER_CONTROL, 9, &[0, 6, 0, 0, 0, 4]),
            ]))
            .says(Says::Pong(3))
            .says(Says::Pong(4)),
    );
    cases
}

/// Pings of seven bytes each, with nothing but the number of their chunk stream for a header.
fn compressed_pings(count: usize) -> Vec<u8> {
    joined(&[&basic(3, 2), &[0, 6, 0, 0, 0, 2]]).repeat(count)
}
