//! Clients of our own for what is spoken by HTTP: one that asks and reads answers, and one that
//! plays a stream, plain or over WebSocket, and gives it message by message as
//! [`Wire`](crate::wire::Wire) does.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::wire::{Media, open};
use crate::{SOON, now};

/// The key of RFC 6455 §1.3, and the answer to it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// How a stream is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As a body without end.
    Plain,
    /// As messages of WebSocket.
    WebSocket,
}

impl Way {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Plain, Self::WebSocket];

    /// The request for `path`, with `fields`, each with its line end.
    pub fn request(self, path: &str, fields: &str) -> String {
        let upgrade = match self {
            Self::Plain => String::new(),
            Self::WebSocket => format!(
                "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
            ),
        };
        format!("GET {path} HTTP/1.1\r\nHost: relay\r\n{upgrade}{fields}\r\n")
    }
}

/// The head of an answer, and its body where that has a length.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header fields, their names in lower case.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = &self.body[..self.body.len().min(100)];
        let text = String::from_utf8_lossy(shown);
        let (status, len) = (self.status, self.body.len());
        write!(
            f,
            "Answer({status} {:?}, {len} bytes {text:?})",
            self.fields
        )
    }
}

impl Answer {
    /// The value of a header field, whose name is in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        let field = fields.find(|(its, _)| its == name)?;
        Some(&field.1)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn parse(head: &[u8]) -> Self {
        let head = std::str::from_utf8(head).expect("a head is ASCII");
        let mut lines = head.split("\r\n").filter(|line| !line.is_empty());
        let status = lines.next().expect("a status line");
        let status = status.strip_prefix("HTTP/1.1 ").expect("HTTP/1.1");
        let (status, reason) = status.split_once(' ').expect("a reason");
        assert!(!reason.is_empty(), "{head}");
        let fields = lines.map(|line| {
            let (name, value) = line.split_once(": ").expect("a header field");
            (name.to_ascii_lowercase(), value.to_owned())
        });
        Self {
            status: status.parse().expect("a status code"),
            fields: fields.collect(),
            body: Vec::new(),
        }
    }
}

/// A connection to an HTTP port.
#[derive(Debug)]
pub struct Http {
    socket: TcpStream,
    input: Vec<u8>,
    /// It was closed; true when in good order.
    closed: Option<bool>,
}

impl Http {
    /// A new one.
    pub fn connect(relay: SocketAddr) -> Self {
        Self::connect_with(relay, None)
    }

    /// One for which the kernel holds so many bytes.
    pub fn connect_with(relay: SocketAddr, receive_buffer: Option<usize>) -> Self {
        Self::over(open(relay, receive_buffer))
    }

    /// The same over a socket that is there already.
    pub fn over(socket: TcpStream) -> Self {
        Self {
            socket,
            input: Vec::new(),
            closed: None,
        }
    }

    /// Our end of the connection.
    pub fn local_address(&self) -> SocketAddr {
        self.socket.local_addr().expect("it is connected")
    }

    /// Sends bytes as they are; a relay that has closed does not take them.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        if let Err(error) = self.socket.write_all(bytes.as_ref()) {
            assert!(
                matches!(
                    error.kind(),
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                ),
                "the relay does not read: {error}"
            );
        }
    }

    /// Sends a request for `path`; each of `fields` ends its line.
    pub fn ask(&mut self, method: &str, path: &str, fields: &str) {
        self.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"
        ));
    }

    /// Asks, and the answer.
    #[track_caller]
    pub fn request(&mut self, method: &str, path: &str, fields: &str) -> Answer {
        self.ask(method, path, fields);
        self.answer(method != "HEAD")
    }

    /// The answer to a GET.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> Answer {
        self.request("GET", path, "")
    }

    /// The next answer; without its body where there is none.
    #[track_caller]
    pub fn answer(&mut self, has_body: bool) -> Answer {
        let mut answer = self.head(SOON).expect("an answer");
        let len = answer.field("content-length");
        let len: usize = len.map_or(0, |len| len.parse().expect("a length"));
        if has_body {
            assert!(self.fill(len, SOON), "{answer:?} ends early");
            answer.body = self.input.drain(..len).collect();
        }
        answer
    }

    /// The head of the next answer, within `limit`; None when the connection ends or nothing
    /// comes.
    pub fn head(&mut self, limit: Duration) -> Option<Answer> {
        let until = now() + limit;
        loop {
            let end = self.input.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let head: Vec<u8> = self.input.drain(..end + 4).collect();
                return Some(Answer::parse(&head));
            }
            let left = until.saturating_duration_since(now());
            if self.closed.is_some() || left.is_zero() {
                return None;
            }
            self.read(left);
        }
    }

    /// Reads until there are `len` bytes; whether there are.
    fn fill(&mut self, len: usize, limit: Duration) -> bool {
        let until = now() + limit;
        while self.input.len() < len {
            let left = until.saturating_duration_since(now());
            if self.closed.is_some() || left.is_zero() {
                return false;
            }
            self.read(left);
        }
        true
    }

    /// Takes `len` bytes of what comes, or all until the relay closes.
    pub fn skip(&mut self, len: usize) {
        self.fill(len, SOON);
        self.input.drain(..len.min(self.input.len()));
    }

    /// Everything until the relay closes; fails after `limit`.
    #[track_caller]
    pub fn until_closed(&mut self, limit: Duration) -> Vec<u8> {
        let until = now() + limit;
        while self.closed.is_none() {
            let left = until.saturating_duration_since(now());
            assert!(!left.is_zero(), "not closed within {limit:?}");
            self.read(left);
        }
        std::mem::take(&mut self.input)
    }

    /// Whether it was closed, in good order or not; reads for `limit` at most, as long as nothing
    /// comes.
    pub fn closed(&mut self, limit: Duration) -> Option<bool> {
        let until = now() + limit;
        while self.closed.is_none() && now() < until {
            self.read(until.saturating_duration_since(now()));
        }
        self.closed
    }

    /// Closes our end; what was sent still arrives.
    pub fn finish(&self) {
        // The other end may be gone.
        let _: std::io::Result<()> = self.socket.shutdown(Shutdown::Write);
    }

    /// One read, of at most `limit`.
    fn read(&mut self, limit: Duration) {
        let limit = limit.max(Duration::from_millis(1));
        self.socket
            .set_read_timeout(Some(limit))
            .expect("a limit above zero");
        let mut buffer = [0; 64 * 1024];
        match self.socket.read(&mut buffer) {
            Ok(0) => self.closed = Some(true),
            Ok(count) => self.input.extend_from_slice(&buffer[..count]),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                ErrorKind::ConnectionReset => self.closed = Some(false),
                _ => panic!("reading: {error}"),
            },
        }
    }
}

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The relay closed; true when in good order.
    Closed(bool),
    /// It said why, over WebSocket, and then closed.
    Told(u16, String),
}

/// Who plays a stream by HTTP.
#[derive(Debug)]
pub struct FlvPlayer {
    /// Its connection.
    pub http: Http,
    way: Way,
    /// What has come of the file.
    flv: Vec<u8>,
    queue: VecDeque<Media>,
    /// Payloads of pongs.
    pub pongs: Vec<Vec<u8>>,
    /// How many pings came.
    pub pings: usize,
    told: Option<(u16, String)>,
    /// Whether the file says that it has sound and pictures.
    pub kinds: Option<(bool, bool)>,
}

impl FlvPlayer {
    /// Asks for `live/STREAM`; the answer is still to come.
    pub fn ask(relay: SocketAddr, stream: &str, way: Way) -> Self {
        Self::ask_with(relay, stream, way, None)
    }

    /// The same with a receive buffer of so many bytes.
    pub fn ask_with(
        relay: SocketAddr,
        stream: &str,
        way: Way,
        receive_buffer: Option<usize>,
    ) -> Self {
        let mut http = Http::connect_with(relay, receive_buffer);
        http.send(way.request(&format!("/live/{stream}.flv"), ""));
        Self::over(http, way)
    }

    /// One whose request was sent.
    pub fn over(http: Http, way: Way) -> Self {
        Self {
            http,
            way,
            flv: Vec::new(),
            queue: VecDeque::new(),
            pongs: Vec::new(),
            pings: 0,
            told: None,
            kinds: None,
        }
    }

    /// Asks for `live/STREAM`, which begins.
    #[track_caller]
    pub fn play(relay: SocketAddr, stream: &str, way: Way) -> Self {
        let mut player = Self::ask(relay, stream, way);
        player.begin(SOON);
        player
    }

    /// Reads the head of the answer, which has to be that of a stream.
    #[track_caller]
    pub fn begin(&mut self, limit: Duration) -> Answer {
        let answer = self.http.head(limit).expect("an answer");
        match self.way {
            Way::Plain => {
                assert_eq!(answer.status, 200, "{answer:?}");
                assert_eq!(answer.field("content-type"), Some("video/x-flv"));
                assert_eq!(answer.field("connection"), Some("close"));
                assert_eq!(answer.field("content-length"), None);
                assert_eq!(answer.field("transfer-encoding"), None);
            }
            Way::WebSocket => {
                assert_eq!(answer.status, 101, "{answer:?}");
                assert_eq!(answer.field("sec-websocket-accept"), Some(ACCEPT));
            }
        }
        answer
    }

    /// Our end of the connection.
    pub fn local_address(&self) -> SocketAddr {
        self.http.local_address()
    }

    /// The next message, within `limit`; None when there is none.
    pub fn next(&mut self, limit: Duration) -> Option<Media> {
        let until = now() + limit;
        loop {
            self.take();
            if let Some(media) = self.queue.pop_front() {
                return Some(media);
            }
            let left = until.saturating_duration_since(now());
            if self.http.closed.is_some() || left.is_zero() {
                return None;
            }
            self.http.read(left);
        }
    }

    /// Everything up to the picture or sound with this number.
    #[track_caller]
    pub fn until_number(&mut self, media_kind: u8, number: u32) -> Vec<Media> {
        let what = format!("message number {number}");
        self.until(&what, |media| {
            media.kind == media_kind && media.number() == Some(number)
        })
    }

    /// Everything up to the first for which `found` holds.
    #[track_caller]
    pub fn until(&mut self, what: &str, found: impl Fn(&Media) -> bool) -> Vec<Media> {
        let until = now() + SOON;
        let mut all = Vec::new();
        loop {
            let Some(media) = self.next(until.saturating_duration_since(now())) else {
                panic!(
                    "no {what} among {} messages, closed: {:?}, told: {:?}; the last was {:?}",
                    all.len(),
                    self.http.closed,
                    self.told,
                    all.last()
                );
            };
            let is_it = found(&media);
            all.push(media);
            if is_it {
                return all;
            }
        }
    }

    /// Everything until the stream ends, and how it does.
    #[track_caller]
    pub fn until_closed(&mut self, limit: Duration) -> (Vec<Media>, Ending) {
        let until = now() + limit;
        let mut all = Vec::new();
        loop {
            match self.next(until.saturating_duration_since(now())) {
                Some(media) => all.push(media),
                None => {
                    let closed = self.http.closed;
                    let closed = closed.unwrap_or_else(|| panic!("not closed within {limit:?}"));
                    assert!(!closed || self.flv.is_empty(), "a tag is cut");
                    let ending = match self.told.take() {
                        Some((code, why)) => Ending::Told(code, why),
                        None => Ending::Closed(closed),
                    };
                    return (all, ending);
                }
            }
        }
    }

    /// Reads for `limit`, whatever comes.
    pub fn listen(&mut self, limit: Duration) -> Vec<Media> {
        let until = now() + limit;
        let mut all = Vec::new();
        while let Some(media) = self.next(until.saturating_duration_since(now())) {
            all.push(media);
        }
        all
    }

    /// Sends a frame as clients do.
    pub fn frame(&mut self, first: u8, payload: &[u8]) {
        self.http.send(client_frame(first, payload));
    }

    /// Takes what has come apart.
    fn take(&mut self) {
        match self.way {
            Way::Plain => {
                self.flv.append(&mut self.http.input);
                self.take_header();
                while self.take_tag() {}
            }
            Way::WebSocket => while self.take_frame() {},
        }
    }

    /// One frame, if it is there: whole, not masked, and of media one tag each.
    fn take_frame(&mut self) -> bool {
        let input = &self.http.input;
        let &[first, second, ..] = &input[..] else {
            return false;
        };
        assert_eq!(first & 0xF0, 0x80, "a frame in parts, or with an extension");
        let wide = match second {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some(long) = input.get(2..2 + wide) else {
            return false;
        };
        let long = long
            .iter()
            .fold(0, |all, &byte| all << 8 | usize::from(byte));
        let len = if wide == 0 { usize::from(second) } else { long };
        assert!(second & 0x80 == 0, "a masked frame");
        assert!(
            wide == 0 || len > 125,
            "a length that is longer than needed"
        );
        let header = 2 + wide;
        if input.len() < header + len {
            return false;
        }
        let payload = input[header..header + len].to_vec();
        self.http.input.drain(..header + len);
        match first & 0x0F {
            2 => {
                assert!(self.told.is_none(), "media behind the end");
                self.flv = payload;
                if self.kinds.is_none() {
                    self.take_header();
                } else {
                    assert!(self.take_tag(), "a message without a whole tag");
                }
                assert!(self.flv.is_empty(), "a message with more than a tag");
            }
            8 => {
                let code = payload
                    .first_chunk()
                    .map_or(0, |&code| u16::from_be_bytes(code));
                let why = payload.get(2..).unwrap_or_default();
                self.told = Some((code, String::from_utf8(why.to_vec()).expect("words")));
            }
            9 => self.pings += 1,
            10 => self.pongs.push(payload),
            other => panic!("a frame of kind {other}"),
        }
        true
    }

    /// The header of the file and the length of the tag before the first.
    fn take_header(&mut self) {
        if self.kinds.is_none() && self.flv.len() >= 13 {
            let header: Vec<u8> = self.flv.drain(..13).collect();
            assert_eq!(header[..4], *b"FLV\x01");
            assert_eq!(header[4] & !5, 0, "reserved flags");
            assert_eq!(header[5..], [0, 0, 0, 9, 0, 0, 0, 0]);
            self.kinds = Some((header[4] & 4 != 0, header[4] & 1 != 0));
        }
    }

    /// One tag and its length, if it is there.
    fn take_tag(&mut self) -> bool {
        if self.kinds.is_none() {
            return false;
        }
        let Some((tag, rest)) = self.flv.split_at_checked(11) else {
            return false;
        };
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |all, &byte| all << 8 | usize::from(byte))
        };
        let len = number(&tag[1..4]);
        let Some(length) = rest.get(len..len + 4) else {
            return false;
        };
        assert_eq!(number(length), 11 + len, "the length behind a tag");
        assert_eq!(tag[8..11], [0; 3], "the stream id");
        let time = u32::from_be_bytes([tag[7], tag[4], tag[5], tag[6]]);
        let media = Media::new(tag[0], time, rest[..len].to_vec());
        self.queue.push_back(media);
        self.flv.drain(..11 + len + 4);
        true
    }
}

/// A frame with a mask.
pub fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x5A, 0x01, 0xFF, 0x80];
    let mut frame = vec![first];
    match u16::try_from(payload.len()) {
        Ok(len) if len < 126 => frame.push(0x80 | payload.len().to_be_bytes()[7]),
        Ok(len) => {
            frame.push(0x80 | 126);
            frame.extend(len.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    let masked = payload.iter().zip(mask.iter().cycle());
    frame.extend(masked.map(|(byte, mask)| byte ^ mask));
    frame
}
