//! Media that tests publish: each message is told from all others, to the last byte.

use tailwater_rtmp::amf0::Encoder;
use tailwater_rtmp::message::{MessageHeader, MessageStreamId, Timestamp, kind};

use crate::judge::live::{Class, Received};

/// A media message.
#[derive(Clone, PartialEq, Eq)]
pub struct Media {
    /// Message type id.
    pub kind: u8,
    /// Milliseconds.
    pub time: u32,
    /// The message stream it came on; 1 where nothing else is said.
    pub msid: u32,
    /// The body.
    pub payload: Vec<u8>,
}

impl Media {
    /// A message on message stream 1.
    pub fn new(kind: u8, time: u32, payload: Vec<u8>) -> Self {
        Self {
            kind,
            time,
            msid: 1,
            payload,
        }
    }

    /// The header of a H.264 sequence; the relay does not read what it configures.
    pub fn avc_header(time: u32) -> Self {
        let payload = [&[0x17, 0, 0, 0, 0][..], b"\x01\x64\x00\x0Dconfiguration"].concat();
        Self::new(kind::VIDEO, time, payload)
    }

    /// Metadata as players get it; publishers put `@setDataFrame` before it.
    pub fn metadata(time: u32, title: &str) -> Self {
        let mut payload = Vec::new();
        let mut amf = Encoder::new(&mut payload);
        amf.string("onMetaData").begin_object();
        amf.string_property("title", title).end_object();
        Self::new(kind::DATA, time, payload)
    }

    /// The same message at another time.
    pub fn at(&self, time: u32) -> Self {
        Self {
            time,
            ..self.clone()
        }
    }

    /// The same message on another message stream.
    pub fn on(&self, msid: u32) -> Self {
        Self {
            msid,
            ..self.clone()
        }
    }

    /// The header of an AAC sequence.
    pub fn aac_header(time: u32) -> Self {
        Self::new(kind::AUDIO, time, vec![0xAF, 0, 0x12, 0x10])
    }

    /// A picture that is told from all others by `number`.
    pub fn picture(key: Key, time: u32, number: u32, len: usize) -> Self {
        let first = match key {
            Key::Yes => 0x17,
            Key::No => 0x27,
        };
        Self::new(
            kind::VIDEO,
            time,
            numbered([first, 1, 0, 0, 0], number, len),
        )
    }

    /// A piece of sound that is told from all others by `number`.
    pub fn sound(time: u32, number: u32, len: usize) -> Self {
        Self::new(kind::AUDIO, time, numbered([0xAF, 1, 0, 0, 0], number, len))
    }

    /// Makes the header that it has on the wire, on message stream `msid`.
    pub fn header(&self, msid: u32) -> MessageHeader {
        MessageHeader {
            csid: if self.kind == kind::AUDIO { 4 } else { 6 },
            timestamp: Timestamp(self.time),
            kind: self.kind,
            msid: MessageStreamId(msid),
            len: self.payload.len(),
        }
    }

    /// What a judge has to know of it.
    pub fn received(&self) -> Received {
        let class = match self.kind {
            _ if self.is_header() => Class::Header,
            kind::VIDEO if !self.is_key() => Class::Inter,
            _ => Class::Alone,
        };
        Received {
            kind: self.kind,
            class,
            time: Timestamp(self.time),
            number: self.number().map(u64::from),
        }
    }

    /// What `picture` or `sound` was told, when the payload is as they made it, to the last byte.
    pub fn number(&self) -> Option<u32> {
        let bytes = self.payload.get(5..9)?;
        let number = u32::from_be_bytes(bytes.try_into().ok()?);
        let mut first = [0; 5];
        first.copy_from_slice(&self.payload[..5]);
        (numbered(first, number, self.payload.len()) == self.payload).then_some(number)
    }

    /// Whether this is a picture that can be decoded by itself.
    pub fn is_key(&self) -> bool {
        self.kind == kind::VIDEO && self.payload.starts_with(&[0x17, 1])
    }

    /// Whether this is the header of a sequence.
    pub fn is_header(&self) -> bool {
        match self.kind {
            kind::VIDEO => self.payload.starts_with(&[0x17, 0]),
            kind::AUDIO => self.payload.starts_with(&[0xAF, 0]),
            _ => false,
        }
    }
}

impl std::fmt::Debug for Media {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let head = &self.payload[..self.payload.len().min(10)];
        write!(
            f,
            "Media(type {} at {} on {}, {} bytes {head:02X?})",
            self.kind,
            self.time,
            self.msid,
            self.payload.len()
        )
    }
}

/// What a test publishes: headers, then groups of pictures with sound, each message with a number
/// of its own, 40 ms a picture.
#[derive(Clone, Debug)]
pub struct Film {
    /// Metadata and the headers of video and audio, as players get them at the start.
    pub headers: Vec<Media>,
    /// The number of the next picture; its time is 40 ms times that, plus `begin`.
    next: u32,
    begin: u32,
}

/// Bytes of a picture of a [`Film`], more than a chunk.
const PICTURE_BYTES: usize = 6_000;
/// Bytes of a piece of sound.
const SOUND_BYTES: usize = 300;

impl Film {
    /// A film whose time begins at `begin`.
    pub fn new(title: &str, begin: u32) -> Self {
        let headers = vec![
            Media::metadata(begin, title),
            Media::avc_header(begin),
            Media::aac_header(begin),
        ];
        Self {
            headers,
            next: 0,
            begin,
        }
    }

    /// Pictures from now on have numbers from `number` on.
    pub fn numbered_from(mut self, number: u32) -> Self {
        self.begin = self.begin.wrapping_sub(40 * number);
        self.next = number;
        self
    }

    /// The headers as a player that has just come gets them before a picture at `time`: metadata
    /// at time 0, because ffmpeg takes it for subtitles at any other.
    pub fn headers_for_new(&self, time: u32) -> Vec<Media> {
        let mut headers = self.headers_again(time);
        headers[0].time = 0;
        headers
    }

    /// The headers as they go before a picture at `time` when a player goes on there.
    pub fn headers_again(&self, time: u32) -> Vec<Media> {
        self.headers.iter().map(|header| header.at(time)).collect()
    }

    /// A key frame and `others` pictures after it, each followed by sound.
    pub fn group(&mut self, others: u32) -> Vec<Media> {
        let mut group = self.pictures(Key::Yes, 1);
        group.extend(self.pictures(Key::No, others));
        group
    }

    /// Pictures that need those before them, each followed by sound.
    pub fn more(&mut self, count: u32) -> Vec<Media> {
        self.pictures(Key::No, count)
    }

    fn pictures(&mut self, key: Key, count: u32) -> Vec<Media> {
        let mut pictures = Vec::new();
        for number in self.next..self.next + count {
            let time = self.begin.wrapping_add(40 * number);
            pictures.push(Media::picture(key, time, number, PICTURE_BYTES));
            pictures.push(Media::sound(time.wrapping_add(10), number, SOUND_BYTES));
        }
        self.next += count;
        pictures
    }
}

/// Whether a picture can be decoded by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// It can.
    Yes,
    /// It needs those before it.
    No,
}

/// A body of `len` bytes, each of which depends on `number`.
fn numbered(first: [u8; 5], number: u32, len: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(len.max(9));
    body.extend_from_slice(&first);
    body.extend_from_slice(&number.to_be_bytes());
    let mut state = number.wrapping_mul(0x9E37_79B1) | 1;
    while body.len() < len {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        body.extend_from_slice(&state.to_be_bytes());
    }
    body.truncate(len.max(9));
    body
}
