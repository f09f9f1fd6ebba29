//! Sequences that are thrown, each from a seed of its own: a client that publishes and plays its
//! own stream and says what comes to its mind, and ordinary sessions with some bytes changed.
//! Families A9 and C6.

use tailwater::rtmp::error::ProtocolError;

use super::bytes::{
    audio, avc_header, basic, boolean, call, command, create_stream, data, inter_frame, joined,
    key_frame, null, number, object, ping, play, publish, string, text, user, video,
};
use super::case::{Case, State, case};
use super::chunks::golden_publish;

/// Clients that do what comes to their minds.
const CLIENTS: u32 = 120;

/// What each of them does.
const ACTS: u32 = 60;

/// Sessions with changed bytes.
const CHANGED: u32 = 200;

/// Everything a connection can be closed for while a peer says anything at all.
fn any() -> Vec<&'static str> {
    let protocol = ProtocolError::CODES.iter().map(|(code, _)| *code);
    // Nobody waits that long here.
    let protocol = protocol.filter(|code| *code != "stale_partial");
    protocol
        .chain(["rejected", "stream_ended", "send_timeout"])
        .collect()
}

/// All cases of this file; `TAILWATER_HOSTILE_DICE=N` makes N times as many.
pub(crate) fn cases() -> Vec<Case> {
    let times = std::env::var_os("TAILWATER_HOSTILE_DICE");
    let times = times.map_or(1, |times| {
        times
            .to_str()
            .and_then(|times| times.parse().ok())
            .expect("a number")
    });
    let mut cases: Vec<Case> = (0..times * CLIENTS).map(minded).collect();
    cases.extend((0..times * CHANGED).map(changed));
    cases
}

/// A generator of numbers that is always the same.
struct Dice(u64);

impl Dice {
    fn new(seed: u32) -> Self {
        let mut dice = Self(u64::from(seed) ^ 0x9E37_79B9_7F4A_7C15);
        dice.below(2);
        dice
    }

    /// A number below `end`, which is not 0.
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(0x5851_F42D_4C95_7F2D)
            .wrapping_add(0x1405_7B7E_F767_814F);
        let [a, b, c, d, ..] = self.0.to_be_bytes();
        u32::from_be_bytes([a, b, c, d]) % end
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 1
    }
}

/// A client that publishes on message stream 1, plays that on 2, and goes on from there.
fn minded(seed: u32) -> Case {
    let mut dice = Dice::new(seed);
    let own = format!("a9-dice-{seed}");
    let mut bytes = joined(&[
        &create_stream(5.0),
        &publish(1, own.as_bytes()),
        &play(2, own.as_bytes()),
    ]);
    let mut time = 0;
    for _ in 0..ACTS {
        bytes.extend(act(&mut dice, &own, &mut time));
    }
    let minded = case(
        "A9",
        format!("whatever comes to its mind, seed {seed}"),
        State::Connected,
    );
    let minded = minded.sends(bytes).may_close(&any()).with_worker();
    if seed.is_multiple_of(3) {
        minded.deaf()
    } else {
        minded
    }
}

/// One thing such a client does.
fn act(dice: &mut Dice, own: &str, time: &mut u32) -> Vec<u8> {
    *time += 40;
    // Mostly where something plays or publishes.
    let msid = [1, 2, 2, 2, 0, 3][dice.below(6) as usize];
    let told = |name: &str, argument: Vec<u8>| {
        command(msid, &[string(name), number(0.0), null(), argument])
    };
    let name = if dice.flag() { own } else { "healthy" };
    match dice.below(30) {
        0 => video(*time, &avc_header(dice.below(3), 40)),
        1 => audio(*time, &[0xAF, 0, 0x12, 0x10]),
        2 => data(&joined(&[
            &string("onMetaData"),
            &object(&[("n", number(1.0))]),
        ])),
        3..=6 => video(*time, &key_frame(200 + dice.below(3_000) as usize)),
        7..=11 => video(*time, &inter_frame(10 + dice.below(3_000) as usize)),
        12..=14 => audio(*time, &[0xAF, 1, 7]),
        15 | 16 => told("pause", boolean(dice.flag())),
        17 | 18 => told("seek", number(f64::from(dice.below(*time + 1)))),
        19 => told("receiveAudio", boolean(dice.flag())),
        20 => told("receiveVideo", boolean(dice.flag())),
        21 => told("play2", object(&[("streamName", string(name))])),
        22 => play(msid, name.as_bytes()),
        23 => told("closeStream", null()),
        24 => publish(1, own.as_bytes()),
        25 => call("deleteStream", 0.0),
        26 => command(
            0,
            &[
                string("deleteStream"),
                number(0.0),
                null(),
                number(f64::from(msid)),
            ],
        ),
        27 => create_stream(9.0),
        28 => command(
            0,
            &[
                string("FCUnpublish"),
                number(0.0),
                null(),
                text(own.as_bytes()),
            ],
        ),
        _ => joined(&[&ping(*time), &user(3, msid)]),
    }
}

/// An ordinary publisher, of whose bytes behind the handshake some are others.
fn changed(seed: u32) -> Case {
    let mut dice = Dice::new(seed ^ 0x00C6_0000);
    let mut bytes = golden_publish(&format!("c6-dice-{seed}"));
    let end = u32::try_from(bytes.len()).expect("short");
    for _ in 0..1 + dice.below(4) {
        // Where headers and commands are, mostly.
        let span = if dice.flag() { 600 } else { end - 3_073 };
        let at = (3_073 + dice.below(span)) as usize;
        let value = dice.below(256).to_le_bytes()[0];
        match dice.below(4) {
            0 => bytes[at] = value,
            1 => bytes[at] ^= 1 << (value & 7),
            2 => _ = bytes.remove(at),
            _ => bytes.insert(at, value),
        }
    }
    bytes.extend(basic(0, 9));
    let name = format!("an ordinary publisher with some bytes changed, seed {seed}");
    case("C6", name, State::Raw).sends(bytes).may_close(&any())
}
