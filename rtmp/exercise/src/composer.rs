//! The language of scripts: from steps of a few bytes to messages and commands on the wire, right
//! ones and wrong ones. A change of one byte does not lose every length behind it.

use tailwater_rtmp::amf0::Encoder;
use tailwater_rtmp::limits;
use tailwater_rtmp::message::{MessageHeader, MessageStreamId, Payload, Timestamp, kind};
use tailwater_rtmp::writer::write_message;

/// The commands a script names by number.
const COMMANDS: [&str; 32] = [
    "connect",
    "createStream",
    "publish",
    "play",
    "play2",
    "pause",
    "pauseRaw",
    "seek",
    "receiveAudio",
    "receiveVideo",
    "closeStream",
    "deleteStream",
    "close",
    "releaseStream",
    "FCPublish",
    "FCUnpublish",
    "FCSubscribe",
    "getStreamLength",
    "_checkbw",
    "_result",
    "_error",
    "onStatus",
    "onBWDone",
    "onFCPublish",
    "@setDataFrame",
    "onMetaData",
    "call",
    "initStream",
    "set_playlist",
    "setBufferTime",
    "DVRGetStreamInfo",
    "",
];

/// Numbers that make bad ids, times and sizes.
const NUMBERS: [f64; 8] = [
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    -0.0,
    -1.0,
    1.5,
    4_294_967_295.0,
    9_007_199_254_740_993.0,
];

/// Makes the bytes of a peer out of steps, each begun by one byte:
///
/// ```text
///   00..1F  place time length body...    a message of this type
///   20..3F  place count argument...      a command; its name by number
///   40..FF  byte...                      as many bytes as they are, 40 standing for 1
/// ```
///
/// The place has the message stream in its low four bits, and in the others a chunk stream (less
/// 2) or a transaction.
pub(super) struct Composer<'a> {
    pub(super) rest: &'a [u8],
    pub(super) wire: Vec<u8>,
    pub(super) chunk_size: usize,
}

impl<'a> Composer<'a> {
    /// One step; None at the end of the script.
    pub(super) fn step(&mut self) -> Option<()> {
        match self.byte()? {
            message_kind @ 0x00..=0x1F => self.message(message_kind),
            command @ 0x20..=0x3F => self.command(COMMANDS[usize::from(command - 0x20)]),
            count => {
                let raw = self.take(usize::from(count) - 0x3F);
                self.wire.extend_from_slice(raw);
                Some(())
            }
        }
    }

    fn message(&mut self, message_kind: u8) -> Option<()> {
        let place = self.byte()?;
        let time = u32::from(self.byte()?);
        let len = usize::from(self.byte()?);
        // Times up to 0xDF are near 0, the others around the extended timestamp; lengths above
        // 0xEF are thousands, of which the script has the beginning.
        let time = if time < 0xE0 {
            time * 10
        } else {
            0xFF_FF00 + (time - 0xE0) * 0x10
        };
        let len = if len < 0xF0 { len } else { (len - 0xEF) * 640 };
        let mut body = self.take(len).to_vec();
        body.resize(len, 0xC4);
        let header = MessageHeader {
            csid: 2 + u32::from(place >> 4),
            timestamp: Timestamp(time),
            kind: message_kind,
            msid: MessageStreamId(u32::from(place & 0x0F)),
            len,
        };
        let payload = Payload::from_slice(&body);
        write_message(&mut self.wire, &header, &payload, self.chunk_size);
        if let (kind::SET_CHUNK_SIZE, Some(&bytes)) = (message_kind, body.first_chunk()) {
            let bytes = u32::from_be_bytes(bytes).clamp(1, limits::CHUNK_SIZE_IN_CAP);
            self.chunk_size = bytes as usize;
        }
        Some(())
    }

    fn command(&mut self, name: &str) -> Option<()> {
        let place = self.byte()?;
        let count = self.byte()? & 0x07;
        let mut body = Vec::new();
        let mut amf = Encoder::new(&mut body);
        amf.string(name).number(f64::from(place >> 4));
        for _ in 0..count {
            self.argument(&mut amf)?;
        }
        let header = MessageHeader {
            csid: 3,
            timestamp: Timestamp(0),
            kind: kind::COMMAND,
            msid: MessageStreamId(u32::from(place & 0x0F)),
            len: body.len(),
        };
        let payload = Payload::from_slice(&body);
        write_message(&mut self.wire, &header, &payload, self.chunk_size);
        Some(())
    }

    fn argument(&mut self, amf: &mut Encoder<'_>) -> Option<()> {
        match self.byte()? & 0x0F {
            0 => _ = amf.null(),
            1 => _ = amf.undefined(),
            2 => _ = amf.boolean(false),
            3 => _ = amf.boolean(true),
            4 => _ = amf.number(f64::from(self.byte()?)),
            5 => _ = amf.number(NUMBERS[usize::from(self.byte()? & 0x07)]),
            6 => {
                let len = usize::from(self.byte()?);
                let text = String::from_utf8_lossy(self.take(len)).into_owned();
                amf.string(&text);
            }
            7 => _ = amf.string("cam"),
            8 => {
                amf.begin_object().string_property("app", "live");
                amf.number_property("objectEncoding", 3.0)
                    .number_property("capsEx", 3.0);
                amf.string_property("flashVer", "LNX 9,0,124,2")
                    .end_object();
            }
            9 => {
                amf.begin_object().string_property("streamName", "cam2");
                amf.string_property("code", "NetStream.Publish.Start")
                    .end_object();
            }
            10 => {
                let len = usize::from(self.byte()?);
                let text = String::from_utf8_lossy(self.take(len)).into_owned();
                amf.begin_object()
                    .string_property("tcUrl", &text)
                    .end_object();
            }
            11 => _ = amf.strict_array_header(1).null(),
            12 => _ = amf.begin_ecma_array(9).end_object(),
            13 => _ = amf.begin_object(),
            _ => _ = amf.string(&"n".repeat(limits::NAME_BYTES_MAX - 8)),
        }
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    /// As many bytes as there are, `count` at most.
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }
}
