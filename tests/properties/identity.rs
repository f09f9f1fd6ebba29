//! What is encoded decodes to itself: messages in chunks of any size from 1 byte to 16 MiB,
//! control messages, and AMF0 values.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tailwater::rtmp::amf0::{Decoder, Encoder, Limits, Value};
use tailwater::rtmp::control::{Control, UserControl};
use tailwater::rtmp::message::{MessageHeader, MessageStreamId, Payload, Timestamp, kind};
use tailwater::rtmp::reader::{ChunkReader, ReaderLimits};
use tailwater::rtmp::writer::{encoded_len, write_message};

use super::cases;

/// Every kind of message that something here reads.
const KINDS: [u8; 14] = [
    kind::SET_CHUNK_SIZE,
    kind::ABORT,
    kind::ACKNOWLEDGEMENT,
    kind::USER_CONTROL,
    kind::WINDOW_ACK_SIZE,
    kind::SET_PEER_BANDWIDTH,
    kind::AUDIO,
    kind::VIDEO,
    kind::DATA_AMF3,
    kind::COMMAND_AMF3,
    kind::DATA,
    kind::COMMAND,
    kind::AGGREGATE,
    kind::VIDEO,
];

/// As wide as a message of three bytes of length can be.
const LIMITS: ReaderLimits = ReaderLimits {
    video_bytes: 0xFF_FFFF,
    audio_bytes: 0xFF_FFFF,
    data_bytes: 0xFF_FFFF,
    other_bytes: 0xFF_FFFF,
    chunk_streams: 64,
    partial_messages: 8,
    partial_bytes: 32 << 20,
    skip_media: false,
};

const CHUNK_SIZE_MAX: usize = 16 << 20;

/// Small ones more often than large ones, and the powers of two with their neighbours.
fn chunk_size() -> impl Strategy<Value = usize> {
    (0_u32..=24, -1_i32..=1, 0_i32..1_000).prop_map(|(power, beside, part)| {
        let size = match part {
            0..500 => (1_i32 << power) + beside,
            _ => (1_i32 << power) / 500 * part,
        };
        usize::try_from(size).unwrap_or(1).clamp(1, CHUNK_SIZE_MAX)
    })
}

/// Lengths up to 255 and, now and then, of many chunks.
fn len() -> impl Strategy<Value = usize> {
    prop_oneof![30 => 0_usize..256, 6 => 0_usize..5_000, 1 => 60_000_usize..140_000]
}

fn msid() -> impl Strategy<Value = MessageStreamId> {
    any::<u32>().prop_map(MessageStreamId)
}

prop_compose! {
    fn header()(
        csid in prop_oneof![2_u32..64, 64_u32..320, 320_u32..65_600],
        time in prop_oneof![0_u32..0x200, 0xFF_FF00_u32..0x100_0100, any::<u32>()],
        message_kind in select(KINDS.to_vec()),
        msid in msid(),
        len in len(),
    ) -> MessageHeader {
        MessageHeader { csid, timestamp: Timestamp(time), kind: message_kind, msid, len }
    }
}

fn body(header: &MessageHeader) -> Vec<u8> {
    // Bytes that look like headers and extended times, different at every place.
    let step = |at: usize| ((at * 37) ^ (at >> 7)) + header.csid as usize;
    (0..header.len)
        .map(|at| step(at).to_le_bytes()[0])
        .collect()
}

fn control() -> impl Strategy<Value = Control> {
    let user = prop_oneof![
        msid().prop_map(UserControl::StreamBegin),
        msid().prop_map(UserControl::StreamEof),
        msid().prop_map(UserControl::StreamDry),
        (msid(), any::<u32>())
            .prop_map(|(msid, buffer_ms)| UserControl::SetBufferLength { msid, buffer_ms }),
        msid().prop_map(UserControl::StreamIsRecorded),
        any::<u32>().prop_map(UserControl::PingRequest),
        any::<u32>().prop_map(UserControl::PingResponse),
        (8_u16..).prop_map(UserControl::Other),
    ];
    prop_oneof![
        any::<u32>().prop_map(Control::SetChunkSize),
        any::<u32>().prop_map(Control::Abort),
        any::<u32>().prop_map(Control::Acknowledgement),
        any::<u32>().prop_map(Control::WindowAckSize),
        any::<(u32, u8)>().prop_map(|(window, limit)| Control::SetPeerBandwidth { window, limit }),
        user.prop_map(Control::User),
    ]
}

/// An AMF0 value that owns what it has.
#[derive(Clone, Debug)]
enum Tree {
    Number(u64),
    Boolean(bool),
    Text(String),
    Null,
    Undefined,
    Object(Vec<(String, Self)>),
    Ecma(Vec<(String, Self)>),
    List(Vec<Self>),
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        20 => any::<u64>().prop_map(Tree::Number),
        10 => any::<bool>().prop_map(Tree::Boolean),
        20 => ".{0,12}".prop_map(Tree::Text),
        // Over the 65,535 bytes of a short string.
        1 => Just(Tree::Text("long".repeat(20_000))),
        10 => Just(Tree::Null),
        10 => Just(Tree::Undefined),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        let properties = vec((".{1,8}", inner.clone()), 0..5);
        prop_oneof![
            properties.clone().prop_map(Tree::Object),
            properties.prop_map(Tree::Ecma),
            vec(inner, 0..5).prop_map(Tree::List),
        ]
    })
}

fn write(amf: &mut Encoder<'_>, tree: &Tree) {
    match tree {
        Tree::Number(bits) => _ = amf.number(f64::from_bits(*bits)),
        Tree::Boolean(flag) => _ = amf.boolean(*flag),
        Tree::Text(text) => _ = amf.string(text),
        Tree::Null => _ = amf.null(),
        Tree::Undefined => _ = amf.undefined(),
        Tree::Object(properties) => write_properties(amf.begin_object(), properties),
        Tree::Ecma(properties) => {
            let count = u32::try_from(properties.len()).unwrap();
            write_properties(amf.begin_ecma_array(count), properties);
        }
        Tree::List(values) => {
            amf.strict_array_header(u32::try_from(values.len()).unwrap());
            values.iter().for_each(|value| write(amf, value));
        }
    }
}

fn write_properties(amf: &mut Encoder<'_>, properties: &[(String, Tree)]) {
    for (key, value) in properties {
        write(amf.key(key), value);
    }
    amf.end_object();
}

/// Whether `value` is `tree` again.
fn is_same(tree: &Tree, value: &Value<'_>) -> bool {
    match (tree, value) {
        (Tree::Number(bits), Value::Number(number)) => *bits == number.to_bits(),
        (Tree::Boolean(flag), Value::Boolean(got)) => flag == got,
        (Tree::Text(text), Value::String(bytes)) => text.as_bytes() == *bytes,
        (Tree::Null, Value::Null) | (Tree::Undefined, Value::Undefined) => true,
        (Tree::Object(properties) | Tree::Ecma(properties), Value::Object(object)) => {
            let got: Vec<_> = object.iter().collect();
            got.len() == properties.len()
                && got
                    .iter()
                    .zip(properties)
                    .all(|((key, got), (name, value))| {
                        *key == name.as_bytes() && is_same(value, got)
                    })
        }
        (Tree::List(values), Value::StrictArray(array)) => {
            let got: Vec<_> = array.iter().collect();
            got.len() == values.len()
                && got
                    .iter()
                    .zip(values)
                    .all(|(got, value)| is_same(value, got))
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn messages_come_out_of_chunks_as_they_went_in(
        headers in vec(header(), 1..6),
        chunk_size in chunk_size(),
        step in prop_oneof![1_usize..64, 1_usize..70_000, Just(usize::MAX)],
    ) {
        let mut wire = Vec::new();
        for header in &headers {
            let (before, body) = (wire.len(), body(header));
            write_message(&mut wire, header, &Payload::from_slice(&body), chunk_size);
            prop_assert_eq!(wire.len() - before, encoded_len(header, chunk_size));
        }
        let mut reader = ChunkReader::new(LIMITS);
        reader.set_chunk_size(chunk_size);
        let mut left = headers.iter();
        for input in wire.chunks(step.min(wire.len())) {
            let mut at = 0;
            while let Some(message) = reader.next(input, &mut at).unwrap() {
                let header = left.next().expect("no more messages than were sent");
                prop_assert_eq!(&message.header, header);
                prop_assert!(message.payload.to_vec() == body(header), "the body of {:?}", header);
            }
            reader.hold(input);
        }
        prop_assert_eq!(left.next(), None);
        prop_assert_eq!(reader.partial_bytes(), 0);
    }

    #[test]
    fn control_messages_decode_to_themselves(controls in vec(control(), 1..20)) {
        let mut wire = Vec::new();
        controls.iter().for_each(|control| control.encode(&mut wire));
        let mut reader = ChunkReader::new(LIMITS);
        let mut at = 0;
        for control in &controls {
            let message = reader.next(&wire, &mut at).unwrap().expect("one for each");
            prop_assert_eq!(&Control::decode(&message).unwrap(), &Some(*control));
        }
        prop_assert_eq!(at, wire.len());
    }

    #[test]
    fn values_decode_to_themselves(trees in vec(tree(), 1..5)) {
        let mut body = Vec::new();
        let mut amf = Encoder::new(&mut body);
        trees.iter().for_each(|tree| write(&mut amf, tree));
        let mut decoder = Decoder::new(&body, Limits::DEFAULT);
        for tree in &trees {
            let value = decoder.next().unwrap().expect("one for each");
            prop_assert!(is_same(tree, &value), "{:?} became {:?}", tree, value);
        }
        prop_assert_eq!(decoder.next(), Ok(None));
    }
}
