//! What one connection may cost, whatever it sends: bytes held after every prefix, counted by the
//! allocator; work, as bytes asked of the allocator, things told, and time on hostile inputs; and
//! bytes of answers.

#![expect(
    clippy::disallowed_methods,
    reason = "that work grows with the input is told by a clock as well"
)]

use std::time::{Duration, Instant};

use proptest::prelude::*;
use tailwater::limits;
use tailwater::rtmp::amf0::Encoder;
use tailwater::rtmp::command::Status;
use tailwater::rtmp::message::{MessageHeader, MessageStreamId, Payload, Timestamp, kind};
use tailwater::rtmp::server::{Event, Request, ServerSession, WireSettings};
use tailwater::rtmp::writer::write_message;

use super::cases;
use super::scripts::client_bytes;
use support::memory::{allocated, held};

/// Bytes of C0, C1 and C2.
const HANDSHAKE_BYTES: usize = 1 + 2 * 1_536;

/// Bytes of heap a connection may hold beside what is incomplete: its tables (a row of some 160
/// bytes for each chunk stream), its names, and a page of answers.
const FIXED_BYTES: usize = 48 * 1_024;

/// Chunk streams up to this id are fewer than there may be.
const CHUNK_STREAMS: u32 = 64;
const _: () = assert!(CHUNK_STREAMS as usize <= limits::CHUNK_STREAMS_MAX);

/// What a buffer that grows may have beyond what is in it.
const GROWTH: usize = 2;

/// A client's session and the driver that says yes to everything, as a worker would.
struct Connection {
    session: ServerSession,
    is_publisher: bool,
    told: usize,
    sent: usize,
    ended: bool,
}

impl Connection {
    fn new() -> Self {
        Self {
            session: ServerSession::new(7),
            is_publisher: false,
            told: 0,
            sent: 0,
            ended: false,
        }
    }

    /// Reads `input` and takes the answers.
    fn read(&mut self, input: &[u8]) {
        let mut at = 0;
        while !self.ended {
            let request = match self.session.next(input, &mut at) {
                Ok(None) => break,
                Ok(Some(Event::Media(_))) => None,
                Ok(Some(Event::Request(request))) => Some(request),
                Err(_) => {
                    self.ended = true;
                    None
                }
            };
            self.told += 1;
            if let Some(request) = request {
                self.answer(request);
            }
        }
        self.ended |= self.session.end_input(input, at).is_err();
        let count = self.session.pending().len();
        self.sent += count;
        self.session.out().advance(count);
    }

    fn answer(&mut self, request: Request) {
        let session = &mut self.session;
        match request {
            Request::Connect => session.accept_connect(&WireSettings {
                chunk_size: 65_536,
                window_ack: 2_500_000,
            }),
            Request::Publish { msid, name, .. } => {
                session.accept_publish(msid, &name);
                self.is_publisher = true;
            }
            Request::Play { msid, name, reset } => session.accept_play(msid, &name, reset),
            Request::Seek { msid, .. } => session.send_status(msid, Status::SeekNotify, "there"),
            _ => {}
        }
    }

    /// Bytes of heap that it may hold now.
    fn budget(&self) -> usize {
        let partial = if self.is_publisher {
            limits::PARTIAL_BYTES_MAX
        } else {
            limits::UNAUTHORISED_PARTIAL_BYTES_MAX
        };
        GROWTH * partial + FIXED_BYTES
    }
}

/// Reads `wire` in pieces of `step` and looks at what is held after each.
#[track_caller]
fn check_held(wire: &[u8], step: usize) {
    let before = held();
    let mut connection = Connection::new();
    for (number, input) in wire.chunks(step).enumerate() {
        connection.read(input);
        let now = usize::try_from(held() - before).unwrap_or(0);
        let (at, budget) = (number * step, connection.budget());
        assert!(
            now <= budget,
            "{now} bytes are held at {at}, allowed {budget}"
        );
        if connection.ended {
            break;
        }
    }
    drop(connection);
    assert_eq!(held(), before, "all of it is given back");
}

/// Bytes that a session allocates for an input, and the things it tells.
fn work(wire: &[u8]) -> (u64, usize) {
    let before = allocated();
    let mut connection = Connection::new();
    wire.chunks(limits::RING_BYTES)
        .for_each(|input| connection.read(input));
    (allocated() - before, connection.told)
}

/// Bytes allocated for each that comes: copies of what straddles a read, in a buffer that doubles,
/// of a command, and of its answer, which may be far longer.
const WORK_FACTOR: u64 = 16;
/// Bytes allocated whatever comes: the handshake, tables, and answers up to their bound.
const WORK_FLOOR: u64 = 512 * 1_024;

/// Bytes of answers for each that comes, once connected, and what a burst may have beyond it.
const REPLY_FACTOR: usize = 3;
const REPLY_BURST: usize = 32 * 1_024;

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn held_bytes_stay_within_the_budget_of_the_role(wire in client_bytes(24)) {
        // Byte by byte where that ends in time, by bytes with no common measure elsewhere.
        check_held(&wire, if wire.len() < 6_000 { 1 } else { 13 });
    }

    #[test]
    fn work_grows_with_the_input_and_no_faster(wire in client_bytes(60)) {
        let (bytes, told) = work(&wire);
        let allowed = WORK_FACTOR * wire.len() as u64 + WORK_FLOOR;
        prop_assert!(bytes <= allowed, "{} bytes allocated for {}", bytes, wire.len());
        // A message is a byte at least, and a close tells of each stream that it ends.
        let most = wire.len() + limits::MESSAGE_STREAMS_MAX;
        prop_assert!(told <= most, "{} things told of {} bytes", told, wire.len());
    }

    #[test]
    fn answers_are_no_more_than_what_was_asked_with(wire in client_bytes(60)) {
        let mut connection = Connection::new();
        connection.read(&wire);
        let most = REPLY_FACTOR * wire.len() + REPLY_BURST;
        prop_assert!(connection.sent <= most, "{} bytes for {}", connection.sent, wire.len());
    }
}

// ---- Inputs made to cost as much as they can.

fn message(wire: &mut Vec<u8>, csid: u32, message_kind: u8, msid: MessageStreamId, body: &[u8]) {
    let header = MessageHeader {
        csid,
        timestamp: Timestamp(0),
        kind: message_kind,
        msid,
        len: body.len(),
    };
    write_message(wire, &header, &Payload::from_slice(body), 128);
}

fn command(wire: &mut Vec<u8>, msid: MessageStreamId, body: impl FnOnce(&mut Encoder<'_>)) {
    let mut bytes = Vec::new();
    body(&mut Encoder::new(&mut bytes));
    message(wire, 3, kind::COMMAND, msid, &bytes);
}

/// Hands shaken, and connected to `app`.
fn connected(app: &str) -> Vec<u8> {
    let mut wire = vec![0; HANDSHAKE_BYTES];
    wire[0] = 3;
    command(&mut wire, MessageStreamId::CONTROL, |amf| {
        amf.string("connect").number(1.0).begin_object();
        amf.string_property("app", app).end_object();
    });
    wire
}

fn publishing() -> Vec<u8> {
    let mut wire = connected("live");
    command(&mut wire, MessageStreamId::CONTROL, |amf| {
        amf.string("createStream").number(2.0).null();
    });
    command(&mut wire, MessageStreamId(1), |amf| {
        amf.string("publish").number(3.0).null().string("cam");
    });
    wire
}

#[test]
fn the_longest_messages_on_every_chunk_stream_are_not_held_when_they_are_over() {
    // Acknowledgements, which anybody may send, each as long as may be, on one chunk stream after
    // the other: one is incomplete at a time.
    let mut wire = connected("live");
    let body = vec![0; limits::UNAUTHORISED_MESSAGE_BYTES_MAX];
    for csid in 4..CHUNK_STREAMS {
        message(
            &mut wire,
            csid,
            kind::ACKNOWLEDGEMENT,
            MessageStreamId::CONTROL,
            &body,
        );
    }
    check_held(&wire, 1_448);
}

#[test]
fn incomplete_messages_are_held_within_the_budget() {
    let mut wire = connected("live");
    let body = vec![0; limits::UNAUTHORISED_MESSAGE_BYTES_MAX];
    let mut whole = Vec::new();
    message(
        &mut whole,
        4,
        kind::ACKNOWLEDGEMENT,
        MessageStreamId::CONTROL,
        &body,
    );
    wire.extend_from_slice(&whole[..whole.len() - 1]);
    whole.clear();
    message(
        &mut whole,
        5,
        kind::ACKNOWLEDGEMENT,
        MessageStreamId::CONTROL,
        &body,
    );
    wire.extend_from_slice(&whole[..whole.len() - 1]);
    check_held(&wire, 1);
    let mut wire = publishing();
    let body = vec![0; limits::VIDEO_MESSAGE_BYTES_MAX];
    whole.clear();
    message(&mut whole, 6, kind::VIDEO, MessageStreamId(1), &body);
    wire.extend_from_slice(&whole[..whole.len() - 1]);
    check_held(&wire, 1_448);
}

#[test]
fn a_play_of_eight_bytes_is_not_answered_with_hundreds_for_ever() {
    // The app is named once, as long as may be, and each status of each play repeats it.
    let app = format!("live/{}/x", "n".repeat(limits::NAME_BYTES_MAX - 10));
    let mut wire = connected(&app);
    command(&mut wire, MessageStreamId::CONTROL, |amf| {
        amf.string("createStream").number(2.0).null();
    });
    command(&mut wire, MessageStreamId(1), |amf| _ = amf.string("play"));
    for _ in 0..2_000 {
        wire.push(0xC3);
        wire.extend_from_slice(b"\x02\0\x04play");
    }
    let mut connection = Connection::new();
    wire.chunks(1_448).for_each(|input| connection.read(input));
    let (sent, came) = (connection.sent, wire.len());
    assert!(
        sent <= REPLY_FACTOR * came + REPLY_BURST,
        "{sent} bytes for {came}"
    );
}

/// `(name, beginning, what is repeated)`: each makes some part of the session do as much as it can
/// for a byte.
fn hostile() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let repeated = |message_kind, body: &[u8]| {
        let mut wire = Vec::new();
        message(&mut wire, 4, message_kind, MessageStreamId(1), body);
        wire
    };
    let deep = [&[0x02, 0, 4][..], b"call", &[0x03, 0, 1, b'a'].repeat(15)].concat();
    let nodes = [
        &[0x02, 0, 4][..],
        b"call",
        &[0x0A, 0, 0, 3, 0xE8],
        &[0x05; 1_000],
    ]
    .concat();
    let mut streams = Vec::new();
    for csid in 4..CHUNK_STREAMS {
        message(&mut streams, csid, kind::AUDIO, MessageStreamId(1), &[]);
    }
    let part = [&[8, 0, 0, 0][..], &[0; 7], &[0, 0, 0, 11]].concat();
    let odd_part = [&[1, 0, 0, 0][..], &[0; 7], &[0, 0, 0, 11]].concat();
    vec![
        ("empty messages", repeated(kind::AUDIO, &[]), vec![0xC4]),
        (
            "messages of one byte",
            repeated(kind::AUDIO, &[1]),
            vec![0xC4, 1],
        ),
        ("deep objects", Vec::new(), repeated(kind::COMMAND, &deep)),
        ("many values", Vec::new(), repeated(kind::COMMAND, &nodes)),
        ("chunk streams in turn", Vec::new(), streams),
        (
            "empty parts",
            Vec::new(),
            repeated(kind::AGGREGATE, &part.repeat(200)),
        ),
        (
            "odd parts",
            Vec::new(),
            repeated(kind::AGGREGATE, &odd_part.repeat(200)),
        ),
        (
            "pings",
            Vec::new(),
            repeated(kind::USER_CONTROL, &[0, 6, 0, 0, 0, 1]),
        ),
        ("aborts", Vec::new(), repeated(kind::ABORT, &[0, 0, 0, 9])),
        (
            "windows",
            Vec::new(),
            repeated(kind::WINDOW_ACK_SIZE, &[0, 0, 0, 1]),
        ),
    ]
}

/// So often is a time measured again that a busy machine may have made long.
const ATTEMPTS: usize = 20;

/// Reads the input in reads of one byte or of a ring; how long that took, the shortest of three.
fn time(wire: &[u8], step: usize) -> Duration {
    let once = || {
        let mut connection = Connection::new();
        let begun = Instant::now();
        wire.chunks(step).for_each(|input| connection.read(input));
        begun.elapsed()
    };
    (0..3).map(|_| once()).min().expect("three of them")
}

#[test]
fn hostile_bytes_cost_no_more_than_a_bound_for_each() {
    for (name, begun, repeat) in hostile() {
        let sized = |bytes: usize| {
            let rest = repeat.repeat(bytes / repeat.len());
            [&publishing()[..], &begun, &rest].concat()
        };
        let (small, large) = (sized(20_000), sized(160_000));
        let (allocated, told) = work(&large);
        let allowed = WORK_FACTOR * large.len() as u64 + WORK_FLOOR;
        assert!(allocated <= allowed, "{name}: {allocated} bytes allocated");
        assert!(told <= large.len(), "{name}: {told} things told");
        for step in [1, limits::RING_BYTES] {
            let (mut one, mut eight) = (time(&small, step), time(&large, step));
            // A byte is read in well below a microsecond; a session that has ended reads none.
            let slowest = Duration::from_micros(20) * u32::try_from(large.len()).unwrap();
            assert!(eight <= slowest, "{name} in steps of {step}: {eight:?}");
            // Eight times the bytes take eight times as long, not sixty-four times. Below a few
            // milliseconds the clock decides, and where the neighbours did it is tried again.
            let most = |one: Duration| 24 * one + Duration::from_millis(30);
            for _ in 0..ATTEMPTS {
                if eight <= most(one) {
                    break;
                }
                one = one.min(time(&small, step));
                eight = eight.min(time(&large, step));
            }
            assert!(
                eight <= most(one),
                "{name} in steps of {step}: {one:?}, then {eight:?}"
            );
        }
    }
}
