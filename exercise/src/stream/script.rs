//! The language of scripts: messages as encoders send them, and such as they should not.

use core::time::Duration;

use tailwater::rtmp::amf0::Encoder;
use tailwater::rtmp::message::{MessageHeader, MessageStreamId, Timestamp, kind};
use tailwater::stream::cursor::StartAt;

/// What happens before a message comes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Before {
    Nothing,
    /// Another publisher comes in place of the one before.
    Returns {
        away_ms: u32,
    },
    /// The publisher is away.
    Leaves,
    /// A player comes.
    Joins(StartAt),
    /// The log gives back what no reader needs, ...
    Trims,
    /// ... and the newest group of pictures as well.
    Sheds,
}

/// One message, and what happens before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    what: usize,
    time: usize,
    pub(super) passes: Duration,
    pub(super) before: Before,
}

impl Step {
    pub(super) fn of([first, second]: [u8; 2]) -> Self {
        const PASSES: [u64; 16] = [
            0,
            5,
            20,
            20,
            40,
            40,
            100,
            400,
            1_000,
            1_500,
            3_000,
            9_000,
            11_000,
            21_000,
            61_000,
            100_000_000,
        ];
        Self {
            what: usize::from(first & 0x0F),
            time: usize::from(first >> 4),
            passes: Duration::from_millis(PASSES[usize::from(second & 0x0F)]),
            before: match second >> 4 {
                10 => Before::Returns { away_ms: 0 },
                11 => Before::Returns { away_ms: 2_500 },
                12 => Before::Joins(StartAt::NewestSync),
                13 => Before::Joins(StartAt::NextSync),
                14 => Before::Trims,
                15 => Before::Sheds,
                9 => Before::Leaves,
                _ => Before::Nothing,
            },
        }
    }
}

/// Who publishes, as far as it goes.
pub(super) struct Publisher {
    /// It stands in each header that this publisher sends.
    pub(super) number: u8,
    /// The last time of sound, of pictures and of data.
    times: [u32; 3],
    sent: u8,
}

impl Publisher {
    pub(super) fn new(number: u8) -> Self {
        Self {
            number,
            times: [0; 3],
            sent: 0,
        }
    }

    /// The message of a step.
    pub(super) fn message(&mut self, step: Step) -> (MessageHeader, Vec<u8>) {
        let (message_kind, body) = self.body(step.what);
        let own = match message_kind {
            kind::AUDIO => 0,
            kind::VIDEO => 1,
            _ => 2,
        };
        let [sound, pictures, _] = self.times;
        let last = self.times[own];
        // Some as encoders stamp them, the others as a clock that is set stamps them.
        let time = match step.time {
            0 => last,
            1 | 2 => last.wrapping_add(20),
            3 => last.wrapping_add(40),
            4 => last.wrapping_sub(20),
            5 => last.wrapping_sub(900),
            6 => last.wrapping_sub(1_500),
            7 => last.wrapping_add(1_500),
            8 => last.wrapping_add(9_000),
            9 => last.wrapping_add(12_000),
            10 => last.wrapping_add(100_000_000),
            11 => 0,
            12 => 0xFF_FFFE,
            13 => u32::MAX - 10,
            14 => sound.max(pictures),
            _ => sound.min(pictures).wrapping_sub(8_000),
        };
        self.times[own] = time;
        let header = MessageHeader {
            csid: 4,
            timestamp: Timestamp(time),
            kind: message_kind,
            msid: MessageStreamId(1),
            len: body.len(),
        };
        (header, body)
    }

    fn body(&mut self, what: usize) -> (u8, Vec<u8>) {
        self.sent = self.sent.wrapping_add(1);
        let (message_kind, head): (u8, &[u8]) = match what {
            0 => (kind::VIDEO, &[0x17, 0, 0, 0, 0, 1]),
            1 => (kind::VIDEO, &[0x17, 0, 0, 0, 0, 2]),
            2 => (kind::VIDEO, &[0x17, 1, 0, 0, 0]),
            3 => (kind::VIDEO, &[0x27, 1, 0, 0, 0]),
            4 => (kind::VIDEO, &[0x37, 1, 0, 0, 0]),
            5 => (kind::AUDIO, &[0xAF, 0, 0x12, 1]),
            6 => (kind::AUDIO, &[0xAF, 1]),
            7 => (kind::AUDIO, &[0xAF, 0, 0x12, 2]),
            8 => (kind::VIDEO, b"\x90hvc1\x01"),
            9 => (kind::VIDEO, b"\x91hvc1\0\0\0"),
            10 => (kind::VIDEO, b"\xA1hvc1\0\0\0"),
            // A picture and sound of track 1 alone.
            11 => (kind::VIDEO, b"\xA6\x01avc1\x01\0\0\0"),
            12 => return (kind::DATA, metadata(self.number, false)),
            13 => return (kind::DATA, metadata(self.number, true)),
            14 => return (kind::VIDEO, Vec::new()),
            _ => return (kind::AUDIO, Vec::new()),
        };
        let mut body = head.to_vec();
        let is_header = matches!(what, 0 | 1 | 5 | 7 | 8);
        // Pictures take some room, so that the log has to let go of the past.
        if !is_header {
            body.resize(head.len() + usize::from(self.sent % 4) * 60, 0x5A);
        }
        body.push(if is_header { self.number } else { self.sent });
        (message_kind, body)
    }
}

/// The body of onMetaData, which has the number of its publisher.
pub(super) fn metadata(number: u8, is_wrapped: bool) -> Vec<u8> {
    let mut body = Vec::new();
    let mut amf = Encoder::new(&mut body);
    if is_wrapped {
        amf.string("@setDataFrame");
    }
    amf.string("onMetaData").begin_ecma_array(1);
    amf.number_property("publisher", f64::from(number))
        .end_object();
    body
}
