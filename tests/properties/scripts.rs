//! Inputs for the sessions: scripts of commands, messages and stray bytes, as
//! `tailwater_rtmp_exercise` reads them, mostly sensible so that they get far.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tailwater_rtmp_exercise::{SCRIPTED, SHAKEN};

/// connect to `live`.
const CONNECT: [u8; 4] = [0x20, 0x10, 1, 8];
/// createStream.
const CREATE: [u8; 4] = [0x21, 0x20, 1, 0];
/// publish or play `cam` on message stream 1.
const PUBLISH: [u8; 5] = [0x22, 0x51, 2, 0, 7];
const PLAY_CAM: [u8; 5] = [0x23, 0x51, 2, 0, 7];

/// Message stream 1 mostly, or the connection; any transaction or chunk stream.
fn place() -> impl Strategy<Value = u8> {
    (
        any::<u8>(),
        select(vec![0x00, 0x01, 0x01, 0x01, 0x02, 0x0F]),
    )
        .prop_map(|(high, msid)| high & 0xF0 | msid)
}

fn argument() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => Just(vec![0]),
        4 => Just(vec![7]),
        2 => select(vec![1, 2, 3, 8, 9, 11, 12, 13, 14]).prop_map(|byte| vec![byte]),
        2 => (select(vec![4, 5]), any::<u8>()).prop_map(|(kind, byte)| vec![kind, byte]),
        1 => (select(vec![6, 10]), vec(any::<u8>(), 0..20)).prop_map(|(kind, text)| {
            let len = u8::try_from(text.len()).unwrap();
            [&[kind, len], &text[..]].concat()
        }),
    ]
}

fn command() -> impl Strategy<Value = Vec<u8>> {
    (0x20_u8..0x40, place(), vec(argument(), 0..4)).prop_map(|(name, place, arguments)| {
        let count = u8::try_from(arguments.len()).unwrap();
        [vec![name, place, count], arguments.concat()].concat()
    })
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let kinds = select(vec![
        1, 2, 3, 4, 4, 5, 6, 8, 8, 9, 9, 15, 17, 18, 20, 22, 30,
    ]);
    let len = prop_oneof![20 => 0_u8..40, 5 => any::<u8>()];
    let body = vec(prop_oneof![0_u8..8, any::<u8>()], 0..40);
    (kinds, place(), any::<u8>(), len, body).prop_map(|(kind, place, time, len, mut body)| {
        // A body as long as it says, or the script would be read out of step.
        if len < 0xF0 {
            body.resize(usize::from(len), 0);
        }
        [&[kind, place, time, len], &body[..]].concat()
    })
}

fn raw() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(0_u8), any::<u8>()], 1..12).prop_map(|bytes| {
        let count = 0x3F + u8::try_from(bytes.len()).unwrap();
        [&[count], &bytes[..]].concat()
    })
}

/// Steps of a script behind a beginning that the sessions get through.
pub(crate) fn steps(most: usize) -> impl Strategy<Value = Vec<u8>> {
    let set_up = [CONNECT, CREATE].concat();
    let begun = prop_oneof![
        1 => Just(Vec::new()),
        2 => Just(set_up.clone()),
        4 => Just([&set_up[..], &PUBLISH].concat()),
        4 => Just([&set_up[..], &PLAY_CAM].concat()),
    ];
    let step = prop_oneof![8 => command(), 8 => message(), 1 => raw()];
    (begun, vec(step, 0..most)).prop_map(|(begun, steps)| [begun, steps.concat()].concat())
}

/// A whole input: flags, verdicts, cuts, and a script behind the handshake.
pub(crate) fn script(most: usize) -> impl Strategy<Value = Vec<u8>> {
    let verdicts = prop_oneof![3 => Just(0), 1 => any::<u8>()];
    (any::<u8>(), verdicts, vec(any::<u8>(), 0..8), steps(most)).prop_map(
        |(flags, verdicts, cuts, steps)| {
            let count = u8::try_from(cuts.len()).unwrap();
            let head = [flags | SHAKEN | SCRIPTED, verdicts, count];
            [&head[..], &cuts, &steps].concat()
        },
    )
}

/// The bytes that a client of such a script sends, handshake included.
pub(crate) fn client_bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    script(most).prop_map(|script| tailwater_rtmp_exercise::wire(&script))
}
