//! What abusers send: a table of kinds, each of which makes a script from random numbers.
//!
//! ```text
//!   opening, at once        then a piece, again and again        until `hold` is over
//!   C0 C1 C2 connect ...    e.g. 20 pings every 20 ms            or the server closes
//! ```
//!
//! Nothing here reads what the server answers: requests are sent in one go with the handshake,
//! as impatient clients do, and the first message stream is 1. Some kinds keep to the protocol and
//! are only greedy; a server may serve these, as long as nobody else notices.

use std::time::Duration;

use tailwater::rtmp::amf0::Encoder;
use tailwater::rtmp::command::write_command;
use tailwater::rtmp::control::{Control, UserControl};
use tailwater::rtmp::message::{MessageStreamId, kind};
use tailwater_testkit::{commands, script};

/// One way to be a nuisance.
pub struct Kind {
    /// What it is called on the command line and in tables.
    pub name: &'static str,
    /// Makes one connection's script.
    pub script: fn(&mut Dice, &Target) -> Script,
}

/// What one connection does.
pub struct Script {
    /// Sent at once.
    pub opening: Vec<u8>,
    /// Sent after that, and again every so often; empty for silence.
    pub piece: Vec<u8>,
    /// From one piece to the next.
    pub every: Duration,
    /// Whether what the server sends is taken.
    pub reads: bool,
    /// Leaves after this time when it has not been closed.
    pub hold: Duration,
    /// Leaves with a reset instead of in good order.
    pub resets: bool,
}

/// Whom it is about.
#[derive(Clone, Debug)]
pub struct Target {
    /// The app.
    pub app: String,
    /// `rtmp://host:port/app`.
    pub tc_url: String,
    /// A stream that others publish and play.
    pub stream: String,
}

/// Numbers that look random and are the same for the same seed (xorshift).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice for a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `count`, which is not 0.
    pub fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.roll() >> 16).unwrap_or(0) % count
    }

    /// Whether a coin shows heads.
    pub fn heads(&mut self) -> bool {
        self.below(2) == 0
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.roll().to_le_bytes()[3]).collect()
    }
}

/// Every kind.
pub const KINDS: [Kind; 22] = [
    of("garbage", garbage),
    of("other-protocol", other_protocol),
    of("half-handshake", half_handshake),
    of("drip-handshake", drip_handshake),
    of("resets", resets),
    of("partial-messages", partial_messages),
    of("long-message", long_message),
    of("drip-message", drip_message),
    of("tiny-messages", tiny_messages),
    of("empty-messages", empty_messages),
    of("chunk-sizes", chunk_sizes),
    of("aborts", aborts),
    of("pings", pings),
    of("create-streams", create_streams),
    of("unknown-commands", unknown_commands),
    of("deep-amf", deep_amf),
    of("wrong-order", wrong_order),
    of("bad-names", bad_names),
    of("publish-churn", publish_churn),
    of("play-churn", play_churn),
    of("header-churn", header_churn),
    of("deaf-player", deaf_player),
];

const fn of(name: &'static str, script: fn(&mut Dice, &Target) -> Script) -> Kind {
    Kind { name, script }
}

/// Payload bytes of a chunk while nobody has said otherwise.
const CHUNK_BYTES: usize = 128;
/// Longer than any deadline a server should have for those that say nothing.
const PATIENT: Duration = Duration::from_secs(45);
/// For those that may be served.
const GREEDY: Duration = Duration::from_secs(8);

impl Script {
    /// Sends this and waits to be closed.
    fn of(dice: &mut Dice, opening: Vec<u8>) -> Self {
        Self {
            opening,
            piece: Vec::new(),
            every: Duration::from_millis(20),
            reads: true,
            hold: PATIENT,
            resets: dice.heads(),
        }
    }

    /// Then sends `piece` every so many milliseconds.
    fn then(mut self, every_ms: u64, piece: Vec<u8>) -> Self {
        self.every = Duration::from_millis(every_ms);
        self.piece = piece;
        self
    }

    /// It is not closed for this and leaves after a while.
    fn greedy(mut self) -> Self {
        self.hold = GREEDY;
        self
    }
}

fn garbage(dice: &mut Dice, _: &Target) -> Script {
    let count = 1 + dice.below(8_192);
    let mut bytes = dice.bytes(count);
    if dice.heads() {
        // Past the version and into the chunks.
        bytes = [hello(dice), bytes].concat();
    }
    Script::of(dice, bytes)
}

fn other_protocol(dice: &mut Dice, _: &Target) -> Script {
    let bytes = dice.one_of(&[
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03"[..],
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-nobody\r\n",
        b"\x06",
    ]);
    Script::of(dice, bytes.to_vec())
}

fn half_handshake(dice: &mut Dice, _: &Target) -> Script {
    let mut bytes = hello(dice);
    bytes.truncate(dice.below(bytes.len()));
    let mut script = Script::of(dice, bytes);
    script.reads = dice.heads();
    script
}

fn drip_handshake(dice: &mut Dice, _: &Target) -> Script {
    Script::of(dice, vec![3]).then(100, vec![0])
}

fn resets(dice: &mut Dice, target: &Target) -> Script {
    let mut bytes = connected(dice, target);
    bytes.truncate(dice.below(bytes.len() + 1));
    let mut script = Script::of(dice, bytes);
    script.hold = Duration::from_millis(dice.roll() % 50);
    script.resets = true;
    script
}

fn partial_messages(dice: &mut Dice, target: &Target) -> Script {
    let mut bytes = match dice.heads() {
        true => publishing(dice, target),
        false => connected(dice, target),
    };
    let count = dice.one_of(&[2, 8, 64, 1_000]);
    for number in 0..count {
        let csid = u16::try_from(64 + number).unwrap_or(u16::MAX);
        begin_message(&mut bytes, csid, 60_000, kind::VIDEO);
        bytes.extend(dice.bytes(CHUNK_BYTES));
    }
    Script::of(dice, bytes)
}

fn long_message(dice: &mut Dice, target: &Target) -> Script {
    let mut bytes = match dice.heads() {
        true => publishing(dice, target),
        false => connected(dice, target),
    };
    let len = dice.one_of(&[0xFF_FFFF, 0x80_0000, 0x7F_FFFF, 0x04_0001]);
    let message_kind = dice.one_of(&[kind::VIDEO, kind::AUDIO, kind::DATA, kind::COMMAND]);
    begin_message(&mut bytes, 64, len, message_kind);
    bytes.extend(dice.bytes(CHUNK_BYTES));
    Script::of(dice, bytes)
}

fn drip_message(dice: &mut Dice, target: &Target) -> Script {
    let mut bytes = publishing(dice, target);
    begin_message(&mut bytes, 64, 0x7F_FFFF, kind::VIDEO);
    bytes.extend(dice.bytes(CHUNK_BYTES));
    let mut piece = vec![0xC0, 0];
    piece.extend(dice.bytes(CHUNK_BYTES));
    Script::of(dice, bytes).then(50, piece).greedy()
}

fn tiny_messages(dice: &mut Dice, target: &Target) -> Script {
    let opening = publishing(dice, target);
    let mut piece = Vec::new();
    for _ in 0..200 {
        message(&mut piece, kind::AUDIO, MessageStreamId(1).0, &[0xAF]);
    }
    Script::of(dice, opening).then(20, piece).greedy()
}

fn empty_messages(dice: &mut Dice, target: &Target) -> Script {
    let opening = connected(dice, target);
    let message_kind = dice.roll().to_le_bytes()[0];
    let mut piece = Vec::new();
    for _ in 0..100 {
        message(&mut piece, message_kind, MessageStreamId(1).0, &[]);
    }
    Script::of(dice, opening).then(20, piece).greedy()
}

fn chunk_sizes(dice: &mut Dice, target: &Target) -> Script {
    let mut opening = connected(dice, target);
    if dice.heads() {
        let bad = dice.one_of(&[0, 1, 127, 0x8000_0000, 0xFFFF_FFFF]);
        Control::SetChunkSize(bad).encode(&mut opening);
    }
    let mut piece = Vec::new();
    for size in [128, 65_536, 0x7FFF_FFFF, 4_096] {
        Control::SetChunkSize(size).encode(&mut piece);
    }
    Script::of(dice, opening).then(20, piece).greedy()
}

fn aborts(dice: &mut Dice, target: &Target) -> Script {
    let opening = publishing(dice, target);
    let mut piece = Vec::new();
    begin_message(&mut piece, 70, 60_000, kind::VIDEO);
    piece.extend(dice.bytes(CHUNK_BYTES));
    for csid in [70, 2, 71, 0xFFFF_FFFF] {
        Control::Abort(csid).encode(&mut piece);
    }
    Script::of(dice, opening).then(20, piece).greedy()
}

fn pings(dice: &mut Dice, target: &Target) -> Script {
    let opening = connected(dice, target);
    let mut piece = Vec::new();
    for number in 0..20 {
        Control::User(UserControl::PingRequest(number)).encode(&mut piece);
    }
    let mut script = Script::of(dice, opening).then(20, piece);
    script.reads = dice.heads();
    script
}

fn create_streams(dice: &mut Dice, target: &Target) -> Script {
    let opening = connected(dice, target);
    let mut piece = Vec::new();
    for number in 0..20 {
        command(&mut piece, MessageStreamId::CONTROL, |amf| {
            amf.string("createStream").number(f64::from(number)).null();
        });
    }
    let mut script = Script::of(dice, opening).then(20, piece);
    script.reads = dice.heads();
    script
}

fn unknown_commands(dice: &mut Dice, target: &Target) -> Script {
    let opening = connected(dice, target);
    let mut piece = Vec::new();
    for number in 0..20 {
        let msid = dice.one_of(&[0, 1, 7, 0xFFFF_FFFF]);
        command(&mut piece, MessageStreamId(msid), |amf| {
            amf.string("unheardOf").number(f64::from(number)).null();
        });
    }
    Script::of(dice, opening).then(20, piece)
}

fn deep_amf(dice: &mut Dice, target: &Target) -> Script {
    let mut body = Vec::new();
    Encoder::new(&mut body).string("connect").number(1.0);
    match dice.below(3) {
        0 => body.extend(b"\x03\x00\x01a".repeat(5_000)),
        1 => body.extend(b"\x0A\x00\x00\x00\x01".repeat(5_000)),
        // An array of as many values as can be said, and none of them.
        _ => body.extend(b"\x0A\xFF\xFF\xFF\xFF"),
    }
    let mut bytes = match dice.heads() {
        true => hello(dice),
        false => publishing(dice, target),
    };
    let message_kind = dice.one_of(&[kind::COMMAND, kind::DATA]);
    message(&mut bytes, message_kind, MessageStreamId::CONTROL.0, &body);
    // A server need not look into data; then there is nothing to close for.
    Script::of(dice, bytes).greedy()
}

fn wrong_order(dice: &mut Dice, target: &Target) -> Script {
    let bytes = match dice.below(4) {
        0 => {
            let mut bytes = hello(dice);
            create_stream(&mut bytes);
            publish(&mut bytes, MessageStreamId(1).0, &target.stream);
            bytes
        }
        1 => {
            let mut bytes = connected(dice, target);
            connect(&mut bytes, target);
            bytes
        }
        2 => {
            let mut bytes = publishing(dice, target);
            play(&mut bytes, MessageStreamId(1).0, &target.stream);
            bytes
        }
        _ => {
            let mut bytes = connected(dice, target);
            publish(&mut bytes, MessageStreamId(0xFFFF_FFFF).0, &target.stream);
            play(&mut bytes, MessageStreamId::CONTROL.0, &target.stream);
            bytes
        }
    };
    Script::of(dice, bytes).greedy()
}

fn bad_names(dice: &mut Dice, target: &Target) -> Script {
    let long = "a".repeat(60_000);
    let name = dice.one_of(&[
        "",
        "../../etc/passwd",
        "a\r\nSet-Cookie: b",
        "\u{1B}[31mred",
        "nul\0nul",
        long.as_str(),
    ]);
    let mut bytes = connected(dice, target);
    match dice.heads() {
        true => publish(&mut bytes, MessageStreamId(1).0, name),
        false => play(&mut bytes, MessageStreamId(1).0, name),
    }
    Script::of(dice, bytes).greedy()
}

fn publish_churn(dice: &mut Dice, target: &Target) -> Script {
    let opening = connected(dice, target);
    let mut piece = Vec::new();
    // One in four wants a name that is in use.
    let name = match dice.below(4) {
        0 => target.stream.clone(),
        _ => own_name(dice),
    };
    publish(&mut piece, MessageStreamId(1).0, &name);
    message(
        &mut piece,
        kind::VIDEO,
        MessageStreamId(1).0,
        b"\x17\x01\x00\x00\x00key",
    );
    delete_stream(&mut piece);
    create_stream(&mut piece);
    Script::of(dice, opening).then(50, piece).greedy()
}

fn play_churn(dice: &mut Dice, target: &Target) -> Script {
    let opening = connected(dice, target);
    let mut piece = Vec::new();
    let name = match dice.heads() {
        true => target.stream.clone(),
        false => own_name(dice),
    };
    play(&mut piece, MessageStreamId(1).0, &name);
    delete_stream(&mut piece);
    create_stream(&mut piece);
    Script::of(dice, opening).then(50, piece).greedy()
}

fn header_churn(dice: &mut Dice, target: &Target) -> Script {
    let opening = publishing(dice, target);
    let mut piece = Vec::new();
    // Each differs from the one before, so that none may be taken for a mere repetition.
    for message_kind in [kind::VIDEO, kind::AUDIO].repeat(4) {
        let mut body = match message_kind {
            kind::VIDEO => b"\x17\x00\x00\x00\x00".to_vec(),
            _ => b"\xAF\x00".to_vec(),
        };
        body.extend(dice.bytes(4_000));
        message(&mut piece, message_kind, MessageStreamId(1).0, &body);
    }
    Script::of(dice, opening).then(20, piece)
}

fn deaf_player(dice: &mut Dice, target: &Target) -> Script {
    let mut bytes = connected(dice, target);
    play(&mut bytes, MessageStreamId(1).0, &target.stream);
    let mut script = Script::of(dice, bytes);
    script.reads = false;
    script
}

/// C0, C1 and C2 of a plain handshake, without waiting for S0.
fn hello(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = vec![3];
    bytes.extend([0; 8]);
    bytes.extend(dice.bytes(1_528));
    bytes.extend(dice.bytes(1_536));
    bytes
}

fn connected(dice: &mut Dice, target: &Target) -> Vec<u8> {
    let mut bytes = hello(dice);
    connect(&mut bytes, target);
    create_stream(&mut bytes);
    bytes
}

/// The publisher of a stream of its own.
fn publishing(dice: &mut Dice, target: &Target) -> Vec<u8> {
    let mut bytes = connected(dice, target);
    publish(&mut bytes, MessageStreamId(1).0, &own_name(dice));
    bytes
}

fn own_name(dice: &mut Dice) -> String {
    format!("abuse-{:016x}", dice.roll())
}

fn connect(out: &mut Vec<u8>, target: &Target) {
    command(out, MessageStreamId::CONTROL, |amf| {
        amf.string("connect").number(1.0).begin_object();
        amf.string_property("app", &target.app)
            .string_property("tcUrl", &target.tc_url)
            .end_object();
    });
}

fn create_stream(out: &mut Vec<u8>) {
    command(out, MessageStreamId::CONTROL, commands::create_stream());
}

fn delete_stream(out: &mut Vec<u8>) {
    command(out, MessageStreamId::CONTROL, commands::delete_stream(1));
}

fn publish(out: &mut Vec<u8>, msid: u32, name: &str) {
    command(out, MessageStreamId(msid), commands::publish(name));
}

fn play(out: &mut Vec<u8>, msid: u32, name: &str) {
    command(out, MessageStreamId(msid), commands::play(name));
}

fn command(out: &mut Vec<u8>, msid: MessageStreamId, body: impl FnOnce(&mut Encoder<'_>)) {
    write_command(out, msid, CHUNK_BYTES, body);
}

fn message(out: &mut Vec<u8>, message_kind: u8, msid: u32, body: &[u8]) {
    script::encode(out, (message_kind, 0, msid), body, CHUNK_BYTES);
}

/// The header of type 0 of a message that has `len` bytes; `csid` is 64 or more.
/// RTMP 1.0 §5.3.1.
fn begin_message(out: &mut Vec<u8>, csid: u16, len: u32, message_kind: u8) {
    match u8::try_from(csid - 64) {
        Ok(low) => out.extend([0x00, low]),
        // The form of three bytes.
        Err(_) => {
            let [high, low] = (csid - 64).to_be_bytes();
            out.extend([0x01, low, high]);
        }
    }
    let [_, a, b, c] = len.to_be_bytes();
    out.extend([0, 0, 0, a, b, c, message_kind, 1, 0, 0, 0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tailwater::rtmp::server::{Event, Request, ServerSession, WireSettings};

    const WIRE: WireSettings = WireSettings {
        chunk_size: 65_536,
        window_ack: 2_500_000,
    };

    fn target() -> Target {
        Target {
            app: "live".into(),
            tc_url: "rtmp://localhost/live".into(),
            stream: "film".into(),
        }
    }

    #[test]
    fn names_are_different_and_scripts_end() {
        let mut names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KINDS.len());
        let mut dice = Dice::new(1);
        for kind in &KINDS {
            for _ in 0..20 {
                let script = (kind.script)(&mut dice, &target());
                assert!(script.hold <= PATIENT, "{}", kind.name);
                assert!(!script.every.is_zero(), "{}", kind.name);
            }
        }
    }

    /// Those that are to get as far as a publish or a play do so, or they try nothing.
    #[test]
    fn what_comes_after_the_handshake_arrives() {
        for (name, wanted) in [
            ("tiny-messages", "publish"),
            ("drip-message", "publish"),
            ("header-churn", "publish"),
            ("deaf-player", "play"),
        ] {
            let kind = KINDS.iter().find(|kind| kind.name == name).unwrap();
            let script = (kind.script)(&mut Dice::new(7), &target());
            let mut session = ServerSession::new(1);
            let (mut at, mut asked) = (0, None);
            while let Some(event) = session.next(&script.opening, &mut at).unwrap() {
                match event {
                    Event::Request(Request::Connect) => session.accept_connect(&WIRE),
                    Event::Request(Request::Publish { .. }) => asked = Some("publish"),
                    Event::Request(Request::Play { .. }) => asked = Some("play"),
                    _ => {}
                }
            }
            assert_eq!(asked, Some(wanted), "{name}");
        }
    }
}
