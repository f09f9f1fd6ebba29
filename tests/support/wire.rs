//! A client of our own on a real socket, for what no real client does or tells: single messages
//! with their times, statuses in their order, a socket that is not read.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use tailwater::edge::hops;
use tailwater::rtmp::amf0::Encoder;
use tailwater::rtmp::client::{Action, ClientEvent, ClientRequest, ClientSession};
use tailwater::rtmp::control::{Control, UserControl};
use tailwater::rtmp::handshake::Mode;
use tailwater::rtmp::message::{Message, MessageHeader, Payload, Timestamp, kind};

use super::line::Line;
use super::{SOON, now, pause};

/// A media message.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Media {
    /// Message type id.
    pub(crate) kind: u8,
    /// Milliseconds.
    pub(crate) time: u32,
    /// The message stream it came on; 1 where nothing else is said.
    pub(crate) msid: u32,
    /// The body.
    pub(crate) payload: Vec<u8>,
}

impl Media {
    /// A message on message stream 1.
    pub(crate) fn new(kind: u8, time: u32, payload: Vec<u8>) -> Self {
        Self {
            kind,
            time,
            msid: 1,
            payload,
        }
    }

    /// The header of a H.264 sequence; the relay does not read what it configures.
    pub(crate) fn avc_header(time: u32) -> Self {
        let payload = [&[0x17, 0, 0, 0, 0][..], b"\x01\x64\x00\x0Dconfiguration"].concat();
        Self::new(kind::VIDEO, time, payload)
    }

    /// Metadata as players get it; publishers put `@setDataFrame` before it.
    pub(crate) fn metadata(time: u32, title: &str) -> Self {
        let mut payload = Vec::new();
        let mut amf = Encoder::new(&mut payload);
        amf.string("onMetaData").begin_object();
        amf.string_property("title", title).end_object();
        Self::new(kind::DATA, time, payload)
    }

    /// The same message at another time.
    pub(crate) fn at(&self, time: u32) -> Self {
        Self {
            time,
            ..self.clone()
        }
    }

    /// The same message on another message stream.
    pub(crate) fn on(&self, msid: u32) -> Self {
        Self {
            msid,
            ..self.clone()
        }
    }

    /// The header of an AAC sequence.
    pub(crate) fn aac_header(time: u32) -> Self {
        Self::new(kind::AUDIO, time, vec![0xAF, 0, 0x12, 0x10])
    }

    /// A picture that is told from all others by `number`.
    pub(crate) fn picture(key: Key, time: u32, number: u32, len: usize) -> Self {
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
    pub(crate) fn sound(time: u32, number: u32, len: usize) -> Self {
        Self::new(kind::AUDIO, time, numbered([0xAF, 1, 0, 0, 0], number, len))
    }

    /// What `picture` or `sound` was told, when the payload is as they made it, to the last byte.
    pub(crate) fn number(&self) -> Option<u32> {
        let bytes = self.payload.get(5..9)?;
        let number = u32::from_be_bytes(bytes.try_into().ok()?);
        let mut first = [0; 5];
        first.copy_from_slice(&self.payload[..5]);
        (numbered(first, number, self.payload.len()) == self.payload).then_some(number)
    }

    /// Whether this is a picture that can be decoded by itself.
    pub(crate) fn is_key(&self) -> bool {
        self.kind == kind::VIDEO && self.payload.starts_with(&[0x17, 1])
    }

    /// Whether this is the header of a sequence.
    pub(crate) fn is_header(&self) -> bool {
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
pub(crate) struct Film {
    /// Metadata and the headers of video and audio, as players get them at the start.
    pub(crate) headers: Vec<Media>,
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
    pub(crate) fn new(title: &str, begin: u32) -> Self {
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
    pub(crate) fn numbered_from(mut self, number: u32) -> Self {
        self.begin = self.begin.wrapping_sub(40 * number);
        self.next = number;
        self
    }

    /// The headers as a player that has just come gets them before a picture at `time`: metadata
    /// at time 0, because ffmpeg takes it for subtitles at any other.
    pub(crate) fn headers_for_new(&self, time: u32) -> Vec<Media> {
        let mut headers = self.headers_again(time);
        headers[0].time = 0;
        headers
    }

    /// The headers as they go before a picture at `time` when a player goes on there.
    pub(crate) fn headers_again(&self, time: u32) -> Vec<Media> {
        self.headers.iter().map(|header| header.at(time)).collect()
    }

    /// A key frame and `others` pictures after it, each followed by sound.
    pub(crate) fn group(&mut self, others: u32) -> Vec<Media> {
        let mut group = self.pictures(Key::Yes, 1);
        group.extend(self.pictures(Key::No, others));
        group
    }

    /// Pictures that need those before them, each followed by sound.
    pub(crate) fn more(&mut self, count: u32) -> Vec<Media> {
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
pub(crate) enum Key {
    Yes,
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

/// Something the relay sent, or that it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// connect succeeded.
    Connected,
    /// connect or createStream was refused.
    Refused(String),
    /// onStatus on a message stream, with its code.
    Status(u32, String),
    /// A user control event.
    Control(UserControl),
    /// Audio, video or data.
    Media(Media),
    /// The relay closed the connection; true when in good order.
    Closed(bool),
}

impl Seen {
    /// A status on message stream 1.
    pub(crate) fn status(code: &str) -> Self {
        Self::Status(1, code.to_owned())
    }

    /// The message, if it is one.
    pub(crate) fn media(&self) -> Option<&Media> {
        match self {
            Self::Media(media) => Some(media),
            _ => None,
        }
    }

    fn of(event: ClientEvent<'_>) -> Self {
        match event {
            ClientEvent::Connected { .. } => Self::Connected,
            ClientEvent::Refused { code, .. } => Self::Refused(code),
            ClientEvent::Status { msid, code, .. } => Self::Status(msid, code),
            ClientEvent::Control(event) => Self::Control(event),
            ClientEvent::Media(Message { header, payload }) => Self::Media(Media {
                kind: header.kind,
                time: header.timestamp.0,
                msid: header.msid,
                payload: payload.to_vec(),
            }),
        }
    }
}

/// The media among `seen`.
pub(crate) fn media_of(seen: &[Seen]) -> Vec<Media> {
    seen.iter().filter_map(Seen::media).cloned().collect()
}

/// What is not media among `seen`.
pub(crate) fn signals_of(seen: &[Seen]) -> Vec<Seen> {
    seen.iter()
        .filter(|seen| seen.media().is_none())
        .cloned()
        .collect()
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: Line,
    session: ClientSession,
    opened: Instant,
    queue: VecDeque<Seen>,
    closed: bool,
    pings: u32,
}

/// How a client connects.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Payload bytes of the chunks we send.
    pub(crate) chunk_size: u32,
    /// What the kernel may hold for us, in bytes; None for its own choice.
    pub(crate) receive_buffer: Option<usize>,
    /// The relays that it says it comes through, as they are named in connect.
    pub(crate) via: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            chunk_size: 4_096,
            receive_buffer: None,
            via: String::new(),
        }
    }
}

impl Wire {
    /// A publisher of `live/STREAM` that may send.
    #[track_caller]
    pub(crate) fn publish(relay: SocketAddr, stream: &str) -> Self {
        Self::publish_with(relay, stream, &Settings::default())
    }

    /// The same with settings.
    #[track_caller]
    pub(crate) fn publish_with(relay: SocketAddr, stream: &str, settings: &Settings) -> Self {
        Self::publish_over(
            Line::Tcp(open(relay, settings.receive_buffer)),
            stream,
            settings,
        )
    }

    /// The same over a line that is there already.
    #[track_caller]
    pub(crate) fn publish_over(line: Line, stream: &str, settings: &Settings) -> Self {
        let mut wire = Self::over(line, "live", stream, Action::Publish, settings);
        wire.until("start of the publish", |seen| {
            *seen == Seen::status("NetStream.Publish.Start")
        });
        wire
    }

    /// A player of `live/STREAM`, which the relay knows of; the stream may be live or not.
    #[track_caller]
    pub(crate) fn play(relay: SocketAddr, stream: &str) -> Self {
        Self::play_with(relay, stream, &Settings::default())
    }

    /// The same with settings.
    #[track_caller]
    pub(crate) fn play_with(relay: SocketAddr, stream: &str, settings: &Settings) -> Self {
        Self::play_over(
            Line::Tcp(open(relay, settings.receive_buffer)),
            stream,
            settings,
        )
    }

    /// The same over a line that is there already.
    #[track_caller]
    pub(crate) fn play_over(line: Line, stream: &str, settings: &Settings) -> Self {
        let mut wire = Self::over(line, "live", stream, Action::Play, settings);
        let seen = wire.settle();
        wire.give_back(seen);
        wire
    }

    /// Connects and asks for `action`; the answer is still to come.
    #[track_caller]
    pub(crate) fn connect(
        relay: SocketAddr,
        stream: &str,
        action: Action,
        settings: &Settings,
    ) -> Self {
        Self::connect_as(relay, "live", stream, action, settings)
    }

    /// The same to another app.
    #[track_caller]
    pub(crate) fn connect_to(relay: SocketAddr, app: &str, stream: &str, action: Action) -> Self {
        Self::connect_as(relay, app, stream, action, &Settings::default())
    }

    #[track_caller]
    fn connect_as(
        relay: SocketAddr,
        app: &str,
        stream: &str,
        action: Action,
        settings: &Settings,
    ) -> Self {
        let line = Line::Tcp(open(relay, settings.receive_buffer));
        Self::over(line, app, stream, action, settings)
    }

    /// The same over a line that is there already.
    #[track_caller]
    fn over(line: Line, app: &str, stream: &str, action: Action, settings: &Settings) -> Self {
        let request = ClientRequest {
            app: app.to_owned(),
            tc_url: format!("rtmp://relay/{app}"),
            stream: stream.to_owned(),
            action,
            handshake: Mode::Digest,
            chunk_size: settings.chunk_size,
            property: (hops::VIA_KEY, settings.via.clone()),
            ..ClientRequest::default()
        };
        let mut wire = Self {
            socket: line,
            session: ClientSession::new(request, 1),
            opened: now(),
            queue: VecDeque::new(),
            closed: false,
            pings: 0,
        };
        let until = now() + SOON;
        while wire.session.msid().is_none() {
            assert!(!wire.closed, "closed while connecting: {:?}", wire.queue);
            assert!(now() < until, "no message stream within {SOON:?}");
            wire.read(SOON);
        }
        wire
    }

    /// Our end of the connection.
    pub(crate) fn local_address(&self) -> SocketAddr {
        self.socket.local_addr()
    }

    /// What came next, within `limit`; None when nothing did.
    pub(crate) fn next(&mut self, limit: Duration) -> Option<Seen> {
        let until = now() + limit;
        loop {
            if let Some(seen) = self.queue.pop_front() {
                return Some(seen);
            }
            let left = until.saturating_duration_since(now());
            if self.closed || left.is_zero() {
                return None;
            }
            self.read(left);
        }
    }

    /// Everything up to the first thing for which `found` holds, that included.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, found: impl Fn(&Seen) -> bool) -> Vec<Seen> {
        self.until_within(SOON, what, found)
    }

    /// The same within `limit`.
    #[track_caller]
    pub(crate) fn until_within(
        &mut self,
        limit: Duration,
        what: &str,
        found: impl Fn(&Seen) -> bool,
    ) -> Vec<Seen> {
        let until = now() + limit;
        let mut all = Vec::new();
        loop {
            let left = until.saturating_duration_since(now());
            let Some(seen) = self.next(left) else {
                let last = &all[all.len().saturating_sub(8)..];
                panic!(
                    "no {what} among {} messages within {limit:?}, closed: {}; the last were \
                     {last:#?}",
                    all.len(),
                    self.closed
                );
            };
            let is_it = found(&seen);
            all.push(seen);
            if is_it {
                return all;
            }
        }
    }

    /// Everything up to the status `code` on message stream 1.
    #[track_caller]
    pub(crate) fn until_status(&mut self, code: &str) -> Vec<Seen> {
        let wanted = Seen::status(code);
        self.until(code, |seen| *seen == wanted)
    }

    /// Everything up to the picture or sound with this number.
    #[track_caller]
    pub(crate) fn until_number(&mut self, media_kind: u8, number: u32) -> Vec<Seen> {
        self.until(&format!("message number {number}"), |seen| {
            seen.media()
                .is_some_and(|media| media.kind == media_kind && media.number() == Some(number))
        })
    }

    /// Everything until the relay closes the connection.
    #[track_caller]
    pub(crate) fn until_closed(&mut self) -> Vec<Seen> {
        self.until_closed_within(SOON)
    }

    /// The same within `limit`.
    #[track_caller]
    pub(crate) fn until_closed_within(&mut self, limit: Duration) -> Vec<Seen> {
        self.until_within(limit, "end of the connection", |seen| {
            matches!(seen, Seen::Closed(_))
        })
    }

    /// Everything that was on its way: the relay has done what it was sent when this returns, or
    /// has closed the connection.
    #[track_caller]
    pub(crate) fn settle(&mut self) -> Vec<Seen> {
        self.pings += 1;
        let time = self.pings;
        Control::User(UserControl::PingRequest(time)).encode(self.session.out().writer());
        self.flush();
        let pong = Seen::Control(UserControl::PingResponse(time));
        let mut seen = self.until("answer to a ping", |seen| {
            *seen == pong || matches!(seen, Seen::Closed(_))
        });
        if seen.last() == Some(&pong) {
            seen.pop();
        }
        seen
    }

    /// What was sent is on its way to every worker when this returns: a worker looks at what the
    /// others tell it before it looks at its sockets.
    #[track_caller]
    pub(crate) fn spread(&mut self) {
        // The answer to the first may be ahead of the letters of the same turn.
        for _ in 0..2 {
            let seen = self.settle();
            self.give_back(seen);
        }
    }

    /// What was taken is to be seen again.
    pub(crate) fn give_back(&mut self, seen: Vec<Seen>) {
        for seen in seen.into_iter().rev() {
            self.queue.push_front(seen);
        }
    }

    /// Sends a media message on the message stream that publishes.
    pub(crate) fn send(&mut self, media: &Media) {
        self.send_on(self.session.msid().unwrap_or(1), media);
    }

    /// Sends a media message on message stream `msid`.
    pub(crate) fn send_on(&mut self, msid: u32, media: &Media) {
        let header = MessageHeader {
            csid: if media.kind == kind::AUDIO { 4 } else { 6 },
            timestamp: Timestamp(media.time),
            kind: media.kind,
            msid,
            len: media.payload.len(),
        };
        let payload = Payload::from_slice(&media.payload);
        self.session.send_media(&header, &payload);
        self.flush();
    }

    /// Sends messages at their times, beginning now with the first, until `stop`.
    pub(crate) fn send_in_time(&mut self, messages: &[Media], stop: impl Fn() -> bool) {
        let begin = now();
        let first = messages.first().map_or(0, |media| media.time);
        for media in messages {
            let due = Duration::from_millis(u64::from(media.time.wrapping_sub(first)));
            while begin.elapsed() < due {
                if stop() {
                    return;
                }
                pause((due - begin.elapsed().min(due)).min(Duration::from_millis(10)));
            }
            self.send(media);
        }
    }

    /// Sends messages.
    pub(crate) fn send_all<'a>(&mut self, messages: impl IntoIterator<Item = &'a Media>) {
        for media in messages {
            self.send(media);
        }
    }

    /// Sends bytes as they are.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.session.out().writer().extend_from_slice(bytes);
        self.flush();
    }

    /// Sends a command on message stream `msid`.
    pub(crate) fn command(&mut self, msid: u32, body: impl FnOnce(&mut Encoder<'_>)) {
        self.session.send_command(msid, body);
        self.flush();
    }

    /// Closes our end; what was sent still arrives.
    pub(crate) fn finish(&self) {
        self.socket.finish();
    }

    /// Sends what waits. A relay that has closed does not take it, which `next` will tell.
    fn flush(&mut self) {
        let out = self.session.out();
        let count = out.pending().len();
        let sent = self.socket.write_all(out.pending());
        out.advance(count);
        if let Err(error) = sent {
            assert!(
                matches!(
                    error.kind(),
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                ),
                "the relay does not read: {error}"
            );
        }
    }

    /// One read, of at most `limit`.
    fn read(&mut self, limit: Duration) {
        self.flush();
        let limit = limit.max(Duration::from_millis(1));
        self.socket.set_read_timeout(limit);
        let mut buffer = [0; 64 * 1024];
        match self.socket.read(&mut buffer) {
            Ok(0) => self.end(true),
            Ok(count) => self.take(&buffer[..count]),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                ErrorKind::ConnectionReset => self.end(false),
                _ => panic!("reading: {error}"),
            },
        }
    }

    fn end(&mut self, in_order: bool) {
        self.closed = true;
        self.queue.push_back(Seen::Closed(in_order));
    }

    fn take(&mut self, input: &[u8]) {
        self.session.set_now(now() - self.opened);
        let mut at = 0;
        while let Some(event) = self
            .session
            .next(input, &mut at)
            .expect("the relay keeps to the protocol")
        {
            self.queue.push_back(Seen::of(event));
        }
        self.session
            .end_input(input, at)
            .expect("our answers are few");
        assert_eq!(at, input.len(), "everything is read");
    }
}

/// A connected socket that gives up sending after a while.
pub(crate) fn open(relay: SocketAddr, receive_buffer: Option<usize>) -> TcpStream {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(relay),
        socket2::Type::STREAM,
        None,
    )
    .expect("a socket");
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes).expect("a small buffer");
    }
    socket
        .connect_timeout(&relay.into(), SOON)
        .expect("the relay listens");
    socket.set_tcp_nodelay(true).expect("a TCP socket");
    socket
        .set_write_timeout(Some(SOON))
        .expect("a limit above zero");
    socket.into()
}
