//! Times on the wire, and aggregates, which have times of their own. Families C19 and C21 to C25.
//! RTMP 1.0 §5.3.1.2, §5.3.1.3, §7.1.6.
#![expect(clippy::too_many_lines, reason = "tables are as long as they are")]

use super::bytes::{
    AGGREGATE, AUDIO, CHUNK, Head, VIDEO, audio, basic, chunk_size, in_chunks, inter_frame, joined,
    key_frame, message, message_in, video,
};
use super::case::{Case, State, case};

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = extended();
    cases.extend(deltas());
    cases.extend(repeated());
    cases.extend(wrapping());
    cases.extend(aggregates());
    cases.extend(many_parts());
    cases
}

const EXTENDED: u32 = 0xFF_FFFF;

/// C21: extended timestamps, also where none is needed.
fn extended() -> Vec<Case> {
    let mut cases = Vec::new();
    let times = [
        0,
        1,
        0xFF_FFFE,
        0xFF_FFFF,
        0x0100_0000,
        0x7FFF_FFFF,
        0x8000_0000,
        0xFFFF_FFFF,
    ];
    for time in times {
        for (what, csid, kind, body) in [
            ("sound", 4, AUDIO, vec![0xAF, 1, 2]),
            ("a picture of four chunks", 6, VIDEO, key_frame(500)),
        ] {
            let len = u32::try_from(body.len()).expect("short");
            let first = Head::new(csid, kind, len).write_with(0, EXTENDED, Some(time));
            let between = joined(&[&basic(3, csid), &time.to_be_bytes()]);
            let bytes = in_chunks(&first, &between, &body, CHUNK);
            let name = format!("{what} with extended time {time:08X}");
            cases.push(case("C21", name, State::Publishing).sends(bytes).takes(1));
        }
    }
    let cut = Head::new(6, VIDEO, 5).write_with(0, EXTENDED, None);
    let cut = joined(&[&cut, &[0xFF, 0xFF]]);
    cases.push(
        case("C21", "half of an extended time", State::Publishing)
            .sends(cut)
            .stays_open(),
    );
    cases
}

/// C22: extended deltas.
fn deltas() -> Vec<Case> {
    let mut cases = Vec::new();
    for delta in [0, 1, 0xFF_FFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF] {
        for fmt in [1, 2] {
            let body = inter_frame(20);
            let next = Head::new(6, VIDEO, 20).write_with(fmt, EXTENDED, Some(delta));
            let goes_on = joined(&[&basic(3, 6), &delta.to_be_bytes(), &body]);
            let bytes = joined(&[&video(1_000, &body), &next, &body, &goes_on]);
            let name = format!("type {fmt} with extended delta {delta:08X}");
            cases.push(case("C22", name, State::Publishing).sends(bytes).takes(3));
        }
    }
    cases
}

/// C23: type 3 chunks that repeat an extended time, or not, or seem to.
fn repeated() -> Vec<Case> {
    let time: u32 = 0x0102_0304;
    let head = Head::new(6, VIDEO, 300).at(time).write(0);
    let with = joined(&[&basic(3, 6), &time.to_be_bytes()]);
    let without = basic(3, 6);
    let body = inter_frame(300);
    let mut like_time = body.clone();
    like_time[CHUNK..CHUNK + 4].copy_from_slice(&time.to_be_bytes());
    let mut nearly = body.clone();
    nearly[CHUNK..CHUNK + 3].copy_from_slice(&time.to_be_bytes()[..3]);
    let next = audio(time, &[0xAF, 1, 2]);
    let bytes = |between: &[u8], body: &[u8]| in_chunks(&head, between, body, CHUNK);
    let state = State::Publishing;
    let delta = Head::new(6, VIDEO, 300).write_with(1, EXTENDED, Some(0x0100_0000));
    let absolute = joined(&[
        &basic(3, 6),
        &(time.wrapping_add(0x0100_0000)).to_be_bytes(),
    ]);
    let first = bytes(&with, &body);
    let garbage = &[
        "no_previous_header",
        "header_inside_message",
        "message_too_long",
        "short_control",
        "too_many_partial_messages",
        "aggregate",
        "amf",
        "chunk_size",
    ];
    vec![
        case("C23", "repeated", state)
            .sends(joined(&[&first, &next]))
            .takes(2),
        case("C23", "left out", state)
            .sends(joined(&[&bytes(&without, &body), &next]))
            .takes(2),
        case(
            "C23",
            "repeated before a payload that looks the same",
            state,
        )
        .sends(joined(&[&bytes(&with, &like_time), &next]))
        .takes(2),
        case(
            "C23",
            "left out before a payload that looks nearly the same",
            state,
        )
        .sends(joined(&[&bytes(&without, &nearly), &next]))
        .takes(2),
        case(
            "C23",
            "left out before a payload that looks the same",
            state,
        )
        .sends(joined(&[&bytes(&without, &like_time), &next]))
        .may_close(garbage),
        case("C23", "a delta, and the absolute time repeated", state)
            .sends(joined(&[
                &first,
                &in_chunks(&delta, &absolute, &body, CHUNK),
                &next,
            ]))
            .takes(3),
        case("C23", "a delta, and nothing repeated", state)
            .sends(joined(&[
                &first,
                &in_chunks(&delta, &without, &body, CHUNK),
                &next,
            ]))
            .takes(3),
        case(
            "C23",
            "a message that ends in the first bytes of the time",
            state,
        )
        .sends(joined(&[
            &in_chunks(
                &Head::new(6, VIDEO, 130).at(time).write(0),
                &without,
                &joined(&[&body[..CHUNK], &[1, 2]]),
                CHUNK,
            ),
            &next,
        ]))
        .takes(2),
        case(
            "C23",
            "a new message of type 3 with the time repeated",
            state,
        )
        .sends(joined(&[
            &first,
            &in_chunks(&with, &with, &body, CHUNK),
            &next,
        ]))
        .takes(3),
    ]
}

/// C24: times that wrap, stand still and jump.
fn wrapping() -> Vec<Case> {
    let film = |times: &[u32]| -> Vec<u8> {
        times
            .iter()
            .flat_map(|&time| joined(&[&video(time, &key_frame(60)), &audio(time, &[0xAF, 1, 2])]))
            .collect()
    };
    let mut random: u32 = 0x1234_5678;
    let dice: Vec<u32> = (0..100)
        .map(|_| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            random
        })
        .collect();
    let delta = joined(&[&Head::new(6, VIDEO, 60).at(1).write(1), &key_frame(60)]);
    let half = 1u32 << 31;
    let forth: Vec<u32> = (0..50).flat_map(|n| [n, half + n]).collect();
    let state = State::Publishing;
    let jump = |name: &str, times: &[u32]| {
        let messages = 2 * times.len() as u64;
        case("C24", name, state).sends(film(times)).takes(messages)
    };
    vec![
        case("C24", "a delta of 1 behind FFFFFFFF", state)
            .sends(joined(&[&film(&[0xFFFF_FFFF]), &delta, &delta]))
            .takes(4),
        jump("over the wrap", &[0xFFFF_FFD8, 0xFFFF_FFFF, 0x27, 0x4F]),
        jump("back over the wrap", &[5, 0xFFFF_FFFF, 5, 0xFFFF_FFFF]),
        jump("back by 2^31 - 1", &[half, 1, half, 1]),
        jump("back by 2^31", &[half, 0, half, 0]),
        jump("back by 2^31 + 1", &[half + 1, 0, half + 1, 0]),
        jump("between two halves", &forth),
        jump("at random", &dice),
        jump("always 0", &[0; 500]),
        jump("always FFFFFFFF", &[0xFFFF_FFFF; 100]),
        jump("downwards", &(0..200).rev().collect::<Vec<u32>>()),
        jump(
            "in steps of 20 s",
            &(0..200).map(|n| n * 20_000).collect::<Vec<u32>>(),
        ),
    ]
}

/// A part of an aggregate, with this length in its header.
fn part_of(kind: u8, time: u32, body: &[u8], len: u32) -> Vec<u8> {
    let [_, a, b, c] = len.to_be_bytes();
    let [top, d, e, f] = time.to_be_bytes();
    joined(&[&[kind, a, b, c, d, e, f, top, 0, 0, 0], body])
}

/// The same with the right length and the back pointer.
fn part(kind: u8, time: u32, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).expect("short");
    joined(&[&part_of(kind, time, body, len), &(len + 11).to_be_bytes()])
}

fn aggregate(body: &[u8]) -> Vec<u8> {
    message(7, AGGREGATE, 1, body)
}

/// C19: aggregates that are not what they should be.
fn aggregates() -> Vec<Case> {
    let sound = |time| part(AUDIO, time, &[0xAF, 1, 2]);
    let picture = |time| part(VIDEO, time, &inter_frame(40));
    let state = State::Publishing;
    let bad = |name: &str, body: Vec<u8>| {
        case("C19", name, state)
            .sends(aggregate(&body))
            .closes(&["aggregate"])
    };
    let good = |name: &str, body: Vec<u8>, messages| {
        case("C19", name, state)
            .sends(aggregate(&body))
            .takes(messages)
    };
    let wrong_pointer = joined(&[&sound(0)[..14], &[0xFF; 4], &picture(1)]);
    let size_inside = joined(&[&part(1, 0, &[0, 0, 0, 1]), &picture(1)]);
    let mut cases = vec![
        bad(
            "a part longer than the rest",
            part_of(AUDIO, 0, &[0xAF, 1], 3),
        ),
        bad(
            "a part of FFFFFF bytes",
            part_of(VIDEO, 0, &[0x27; 100], 0xFF_FFFF),
        ),
        bad("one byte", vec![8]),
        bad("ten bytes", vec![8; 10]),
        bad("a whole part and five bytes", joined(&[&sound(0), &[8; 5]])),
        bad("nothing but FF", vec![0xFF; 300]),
        good("no part at all", vec![], 0),
        good("two parts", joined(&[&sound(0), &picture(10)]), 2),
        good(
            "no back pointer behind the last",
            sound(0)[..14].to_vec(),
            1,
        ),
        good(
            "half a back pointer behind the last",
            sound(0)[..16].to_vec(),
            1,
        ),
        good("wrong back pointers", wrong_pointer, 2),
        good(
            "an aggregate inside",
            joined(&[&part(AGGREGATE, 0, &sound(0)), &picture(1)]),
            1,
        ),
        good("a chunk size inside", size_inside, 1),
        good(
            "a command inside",
            joined(&[&part(20, 0, &[2, 0, 1, 97]), &picture(1)]),
            1,
        ),
        good(
            "an acknowledgement inside",
            joined(&[&part(3, 0, &[0; 4]), &picture(1)]),
            1,
        ),
        good(
            "an unknown type inside",
            joined(&[&part(99, 0, &[0; 4]), &picture(1)]),
            1,
        ),
        good(
            "times that go back",
            joined(&[&sound(500), &picture(10), &sound(0)]),
            3,
        ),
        good(
            "times that wrap",
            joined(&[&sound(0xFFFF_FFFF), &picture(5), &sound(9)]),
            3,
        ),
        good("parts without a byte", part(AUDIO, 0, &[]).repeat(50), 50),
        good(
            "a hundred parts",
            joined(&[&sound(0), &picture(1)]).repeat(50),
            100,
        ),
    ];
    for state in [State::Connected, State::Playing] {
        let early = case("C19", "an aggregate before publish", state);
        cases.push(early.sends(aggregate(&part_of(AUDIO, 0, &[0xAF, 1], 3))));
    }
    cases
}

/// C19: aggregates of very many parts.
fn many_parts() -> Vec<Case> {
    let sound = part(AUDIO, 0, &[0xAF, 1, 2]);
    let state = State::Publishing;
    // Less than the messages a worker takes for one connection in one turn, and more.
    let many = |count: usize| {
        let name = format!("{count} parts");
        case("C19", name, state)
            .sends(aggregate(&sound.repeat(count)))
            .takes(count as u64)
    };
    let flood = message_in(
        65_536,
        Head::new(7, AGGREGATE, 0),
        &part(AUDIO, 0, &[]).repeat(559_000),
    );
    vec![
        many(1_000),
        many(3_000),
        many(10_000),
        case("C19", "3,000 parts and the end", state)
            .sends(aggregate(&sound.repeat(3_000)))
            .finishes()
            .takes(3_000),
        case("C19", "8 MiB of parts without a byte", state)
            .sends(joined(&[&chunk_size(65_536), &flood]))
            .closes(&["message_rate", "glitches"]),
    ]
}
