//! Chunks, messages and AMF0 values put together by hand: what a client may do and what it may
//! not. Nothing here uses the encoder of the relay, so that the two cannot share a mistake.
//!
//! RTMP 1.0 §5.3, §5.4, §7.1, §7.2; AMF0 §2.

/// The chunk size a connection begins with.
pub(crate) const CHUNK: usize = 128;

/// Message type ids.
pub(crate) const SET_CHUNK_SIZE: u8 = 1;
pub(crate) const ABORT: u8 = 2;
pub(crate) const ACKNOWLEDGEMENT: u8 = 3;
pub(crate) const USER_CONTROL: u8 = 4;
pub(crate) const WINDOW_ACK: u8 = 5;
pub(crate) const PEER_BANDWIDTH: u8 = 6;
pub(crate) const AUDIO: u8 = 8;
pub(crate) const VIDEO: u8 = 9;
pub(crate) const DATA_AMF3: u8 = 15;
pub(crate) const COMMAND_AMF3: u8 = 17;
pub(crate) const DATA: u8 = 18;
pub(crate) const COMMAND: u8 = 20;
pub(crate) const AGGREGATE: u8 = 22;

/// All pieces in one.
pub(crate) fn joined(pieces: &[&[u8]]) -> Vec<u8> {
    pieces.concat()
}

/// A basic header in its shortest form. §5.3.1.1.
pub(crate) fn basic(fmt: u8, csid: u32) -> Vec<u8> {
    let [low, high, ..] = csid.saturating_sub(64).to_le_bytes();
    match csid {
        0..=63 => vec![fmt << 6 | csid.to_le_bytes()[0]],
        64..=319 => vec![fmt << 6, low],
        _ => vec![fmt << 6 | 1, low, high],
    }
}

/// A basic header of three bytes, whatever the id. `csid` is at least 64.
pub(crate) fn basic_long(fmt: u8, csid: u32) -> Vec<u8> {
    let [low, high, ..] = (csid - 64).to_le_bytes();
    vec![fmt << 6 | 1, low, high]
}

/// The three low bytes of a number, the highest first.
fn be24(number: u32) -> [u8; 3] {
    let [_, high, middle, low] = number.to_be_bytes();
    [high, middle, low]
}

/// What a message header says; `time` is a delta in types 1 and 2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) csid: u32,
    pub(crate) time: u32,
    pub(crate) len: u32,
    pub(crate) kind: u8,
    pub(crate) msid: u32,
}

impl Head {
    /// A header at time 0 on message stream 1.
    pub(crate) fn new(csid: u32, kind: u8, len: u32) -> Self {
        Self {
            csid,
            time: 0,
            len,
            kind,
            msid: 1,
        }
    }

    /// The same at another time.
    pub(crate) fn at(self, time: u32) -> Self {
        Self { time, ..self }
    }

    /// The same on another message stream.
    pub(crate) fn on(self, msid: u32) -> Self {
        Self { msid, ..self }
    }

    /// The chunk header of type `fmt`, extended when the time needs it. §5.3.1.
    pub(crate) fn write(self, fmt: u8) -> Vec<u8> {
        let extended = (self.time >= 0xFF_FFFF).then_some(self.time);
        self.write_with(fmt, self.time.min(0xFF_FFFF), extended)
    }

    /// The same with any time field and any extended timestamp behind it.
    pub(crate) fn write_with(self, fmt: u8, field: u32, extended: Option<u32>) -> Vec<u8> {
        let mut bytes = basic(fmt, self.csid);
        if fmt <= 2 {
            bytes.extend(be24(field));
        }
        if fmt <= 1 {
            bytes.extend(be24(self.len));
            bytes.push(self.kind);
        }
        if fmt == 0 {
            bytes.extend(self.msid.to_le_bytes());
        }
        bytes.extend(extended.into_iter().flat_map(u32::to_be_bytes));
        bytes
    }
}

/// `body` behind a first header, in chunks of `size`; each further chunk begins with `between`.
pub(crate) fn in_chunks(first: &[u8], between: &[u8], body: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = first.to_vec();
    for (number, piece) in body.chunks(size).enumerate() {
        if number > 0 {
            bytes.extend_from_slice(between);
        }
        bytes.extend_from_slice(piece);
    }
    bytes
}

fn length(body: &[u8]) -> u32 {
    u32::try_from(body.len()).expect("a message that fits")
}

/// A whole message in chunks of `size`, the first of type 0; an extended timestamp is repeated.
pub(crate) fn message_in(size: usize, head: Head, body: &[u8]) -> Vec<u8> {
    let head = Head {
        len: length(body),
        ..head
    };
    let mut between = basic(3, head.csid);
    if head.time >= 0xFF_FFFF {
        between.extend(head.time.to_be_bytes());
    }
    in_chunks(&head.write(0), &between, body, size)
}

/// The same in chunks of the size a connection begins with.
pub(crate) fn message(csid: u32, kind: u8, msid: u32, body: &[u8]) -> Vec<u8> {
    message_in(CHUNK, Head::new(csid, kind, 0).on(msid), body)
}

/// A protocol control message.
pub(crate) fn control(kind: u8, body: &[u8]) -> Vec<u8> {
    message(2, kind, 0, body)
}

/// A protocol control message with one number of four bytes.
pub(crate) fn number_control(kind: u8, number: u32) -> Vec<u8> {
    control(kind, &number.to_be_bytes())
}

/// Set Chunk Size.
pub(crate) fn chunk_size(bytes: u32) -> Vec<u8> {
    number_control(SET_CHUNK_SIZE, bytes)
}

/// A user control event with one number.
pub(crate) fn user(event: u16, number: u32) -> Vec<u8> {
    let body = joined(&[&event.to_be_bytes(), &number.to_be_bytes()]);
    control(USER_CONTROL, &body)
}

/// A ping that wants `time` back.
pub(crate) fn ping(time: u32) -> Vec<u8> {
    user(6, time)
}

/// A picture on message stream 1.
pub(crate) fn video(time: u32, body: &[u8]) -> Vec<u8> {
    message_in(CHUNK, Head::new(6, VIDEO, 0).at(time), body)
}

/// Sound on message stream 1.
pub(crate) fn audio(time: u32, body: &[u8]) -> Vec<u8> {
    message_in(CHUNK, Head::new(4, AUDIO, 0).at(time), body)
}

/// A data message on message stream 1.
pub(crate) fn data(body: &[u8]) -> Vec<u8> {
    message(5, DATA, 1, body)
}

/// The body of an H.264 key frame of `len` bytes.
pub(crate) fn key_frame(len: usize) -> Vec<u8> {
    filled(&[0x17, 1, 0, 0, 0], len)
}

/// The body of an H.264 picture of `len` bytes that needs others.
pub(crate) fn inter_frame(len: usize) -> Vec<u8> {
    filled(&[0x27, 1, 0, 0, 0], len)
}

/// The body of an H.264 sequence header of `len` bytes, told from others by `number`.
pub(crate) fn avc_header(number: u32, len: usize) -> Vec<u8> {
    let first = joined(&[&[0x17, 0, 0, 0, 0], &number.to_be_bytes()]);
    filled(&first, len)
}

/// `first`, filled up to `len` bytes.
pub(crate) fn filled(first: &[u8], len: usize) -> Vec<u8> {
    let mut body = first.to_vec();
    body.resize(len.max(first.len()), 0x5A);
    body
}

/// A command on message stream `msid`.
pub(crate) fn command(msid: u32, values: &[Vec<u8>]) -> Vec<u8> {
    message(3, COMMAND, msid, &values.concat())
}

/// C0, C1 and C2 of a client without digest.
pub(crate) fn hello() -> Vec<u8> {
    let mut bytes = vec![0; 1 + 2 * 1536];
    bytes[0] = 3;
    bytes
}

/// `connect` to an app.
pub(crate) fn connect(app: &[u8]) -> Vec<u8> {
    connect_with(&[
        ("app", text(app)),
        ("tcUrl", string("rtmp://127.0.0.1/live")),
    ])
}

/// `connect` with these properties.
pub(crate) fn connect_with(properties: &[(&str, Vec<u8>)]) -> Vec<u8> {
    command(0, &[string("connect"), number(1.0), object(properties)])
}

/// `createStream`.
pub(crate) fn create_stream(transaction: f64) -> Vec<u8> {
    call("createStream", transaction)
}

/// A command with nothing but its name and transaction id.
pub(crate) fn call(name: &str, transaction: f64) -> Vec<u8> {
    command(0, &[string(name), number(transaction), null()])
}

/// `publish` of a live stream.
pub(crate) fn publish(msid: u32, name: &[u8]) -> Vec<u8> {
    let values = [
        string("publish"),
        number(3.0),
        null(),
        text(name),
        string("live"),
    ];
    command(msid, &values)
}

/// `play`.
pub(crate) fn play(msid: u32, name: &[u8]) -> Vec<u8> {
    command(msid, &[string("play"), number(4.0), null(), text(name)])
}

/// An AMF0 number.
pub(crate) fn number(number: f64) -> Vec<u8> {
    joined(&[&[0x00], &number.to_be_bytes()])
}

/// An AMF0 boolean.
pub(crate) fn boolean(flag: bool) -> Vec<u8> {
    vec![0x01, u8::from(flag)]
}

/// An AMF0 string.
pub(crate) fn string(words: &str) -> Vec<u8> {
    text(words.as_bytes())
}

/// An AMF0 string of any bytes, fewer than 65,536.
pub(crate) fn text(bytes: &[u8]) -> Vec<u8> {
    joined(&[&[0x02], &key_of(bytes)])
}

/// An AMF0 long string.
pub(crate) fn long_text(bytes: &[u8]) -> Vec<u8> {
    joined(&[&[0x0C], &length(bytes).to_be_bytes(), bytes])
}

/// AMF0 null.
pub(crate) fn null() -> Vec<u8> {
    vec![0x05]
}

/// The name of a property.
pub(crate) fn key_of(bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).expect("a short string");
    joined(&[&len.to_be_bytes(), bytes])
}

/// The end of an object.
pub(crate) const OBJECT_END: [u8; 3] = [0, 0, 9];

/// An AMF0 object.
pub(crate) fn object(properties: &[(&str, Vec<u8>)]) -> Vec<u8> {
    joined(&[&[0x03], &open_properties(properties), &OBJECT_END])
}

/// The properties of an object without its marker and its end.
pub(crate) fn open_properties(properties: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in properties {
        bytes.extend(key_of(key.as_bytes()));
        bytes.extend(value);
    }
    bytes
}
