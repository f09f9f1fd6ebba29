//! A client on a socket that blocks, for what no real client does or tells: single messages with
//! their times, statuses in their order, a socket that is not read.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use tailwater_rtmp::message::MessageStreamId;

use socket2::{Domain, Type};
use tailwater_rtmp::amf0::Encoder;
use tailwater_rtmp::client::Action;
use tailwater_rtmp::control::UserControl;
use tailwater_rtmp::handshake::Mode;

pub use crate::client::{Client, Seen, media_of, signals_of};
pub use crate::media::{Film, Key, Media};
use crate::{SOON, client, now, pause};

/// A connected stream that blocks.
pub trait Socket: Read + Write + Send {
    /// Sets how long a read waits.
    ///
    /// # Errors
    /// The time is zero.
    fn set_read_timeout(&self, limit: Duration) -> std::io::Result<()>;

    /// Sends no more.
    ///
    /// # Errors
    /// The other end is gone.
    fn finish(&self) -> std::io::Result<()>;

    /// Our end of it, of TCP.
    fn local_address(&self) -> Option<SocketAddr>;
}

impl Socket for TcpStream {
    fn set_read_timeout(&self, limit: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(limit))
    }

    fn finish(&self) -> std::io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn local_address(&self) -> Option<SocketAddr> {
        self.local_addr().ok()
    }
}

impl Socket for UnixStream {
    fn set_read_timeout(&self, limit: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(limit))
    }

    fn finish(&self) -> std::io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn local_address(&self) -> Option<SocketAddr> {
        None
    }
}

/// A connection.
pub struct Wire {
    socket: Box<dyn Socket>,
    client: Client,
    opened: Instant,
    queue: VecDeque<Seen>,
    closed: bool,
}

/// How a client connects.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Payload bytes of the chunks we send.
    pub chunk_size: u32,
    /// What the kernel may hold for us, in bytes; None for its own choice.
    pub receive_buffer: Option<usize>,
    /// A string property of connect, name and value; none while the value is empty.
    pub property: (&'static str, String),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            chunk_size: 4_096,
            receive_buffer: None,
            property: ("", String::new()),
        }
    }
}

impl Wire {
    /// A publisher of `live/STREAM` that may send.
    #[track_caller]
    pub fn publish(relay: SocketAddr, stream: &str) -> Self {
        Self::publish_with(relay, stream, &Settings::default())
    }

    /// The same with settings.
    #[track_caller]
    pub fn publish_with(relay: SocketAddr, stream: &str, settings: &Settings) -> Self {
        Self::publish_over(open(relay, settings.receive_buffer), stream, settings)
    }

    /// The same over a socket that is there already.
    #[track_caller]
    pub fn publish_over(socket: impl Socket + 'static, stream: &str, settings: &Settings) -> Self {
        let mut wire = Self::over(socket, "live", stream, Action::Publish, settings);
        wire.until("start of the publish", |seen| {
            *seen == Seen::status("NetStream.Publish.Start")
        });
        wire
    }

    /// A player of `live/STREAM`, which the relay knows of; the stream may be live or not.
    #[track_caller]
    pub fn play(relay: SocketAddr, stream: &str) -> Self {
        Self::play_with(relay, stream, &Settings::default())
    }

    /// The same with settings.
    #[track_caller]
    pub fn play_with(relay: SocketAddr, stream: &str, settings: &Settings) -> Self {
        Self::play_over(open(relay, settings.receive_buffer), stream, settings)
    }

    /// The same over a socket that is there already.
    #[track_caller]
    pub fn play_over(socket: impl Socket + 'static, stream: &str, settings: &Settings) -> Self {
        let mut wire = Self::over(socket, "live", stream, Action::Play, settings);
        let seen = wire.settle();
        wire.give_back(seen);
        wire
    }

    /// Connects and asks for `action`; the answer is still to come.
    #[track_caller]
    pub fn connect(relay: SocketAddr, stream: &str, action: Action, settings: &Settings) -> Self {
        let socket = open(relay, settings.receive_buffer);
        Self::over(socket, "live", stream, action, settings)
    }

    /// The same to another app.
    #[track_caller]
    pub fn connect_to(relay: SocketAddr, app: &str, stream: &str, action: Action) -> Self {
        Self::over(open(relay, None), app, stream, action, &Settings::default())
    }

    /// Connects over a socket, and asks for `action`.
    #[track_caller]
    fn over(
        socket: impl Socket + 'static,
        app: &str,
        stream: &str,
        action: Action,
        settings: &Settings,
    ) -> Self {
        let mut request = client::request(action, app, stream);
        request.handshake = Mode::Digest;
        request.chunk_size = settings.chunk_size;
        request.property.clone_from(&settings.property);
        let mut wire = Self {
            socket: Box::new(socket),
            client: Client::new(request, 1),
            opened: now(),
            queue: VecDeque::new(),
            closed: false,
        };
        let until = now() + SOON;
        while wire.client.msid().is_none() {
            assert!(!wire.closed, "closed while connecting: {:?}", wire.queue);
            assert!(now() < until, "no message stream within {SOON:?}");
            wire.read(SOON);
        }
        wire
    }

    /// Our end of the connection.
    pub fn local_address(&self) -> SocketAddr {
        self.socket.local_address().expect("it has an address")
    }

    /// What came next, within `limit`; None when nothing did.
    pub fn next(&mut self, limit: Duration) -> Option<Seen> {
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
    pub fn until(&mut self, what: &str, found: impl Fn(&Seen) -> bool) -> Vec<Seen> {
        self.until_within(SOON, what, found)
    }

    /// The same within `limit`.
    #[track_caller]
    pub fn until_within(
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
    pub fn until_status(&mut self, code: &str) -> Vec<Seen> {
        let wanted = Seen::status(code);
        self.until(code, |seen| *seen == wanted)
    }

    /// Everything up to the picture or sound with this number.
    #[track_caller]
    pub fn until_number(&mut self, media_kind: u8, number: u32) -> Vec<Seen> {
        self.until(&format!("message number {number}"), |seen| {
            seen.media()
                .is_some_and(|media| media.kind == media_kind && media.number() == Some(number))
        })
    }

    /// Everything until the relay closes the connection.
    #[track_caller]
    pub fn until_closed(&mut self) -> Vec<Seen> {
        self.until_closed_within(SOON)
    }

    /// The same within `limit`.
    #[track_caller]
    pub fn until_closed_within(&mut self, limit: Duration) -> Vec<Seen> {
        self.until_within(limit, "end of the connection", |seen| {
            matches!(seen, Seen::Closed(_))
        })
    }

    /// Everything that was on its way: the relay has done what it was sent when this returns, or
    /// has closed the connection.
    #[track_caller]
    pub fn settle(&mut self) -> Vec<Seen> {
        let pong = Seen::Control(UserControl::PingResponse(self.client.ping()));
        self.flush();
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
    pub fn spread(&mut self) {
        // The answer to the first may be ahead of the letters of the same turn.
        for _ in 0..2 {
            let seen = self.settle();
            self.give_back(seen);
        }
    }

    /// What was taken is to be seen again.
    pub fn give_back(&mut self, seen: Vec<Seen>) {
        for seen in seen.into_iter().rev() {
            self.queue.push_front(seen);
        }
    }

    /// Sends a media message on the message stream that publishes.
    pub fn send(&mut self, media: &Media) {
        let msid = self.client.msid().map_or(1, |msid| msid.0);
        self.send_on(msid, media);
    }

    /// Sends a media message on message stream `msid`.
    pub fn send_on(&mut self, msid: u32, media: &Media) {
        self.client.send(msid, media);
        self.flush();
    }

    /// Sends messages at their times, beginning now with the first, until `stop`.
    pub fn send_in_time(&mut self, messages: &[Media], stop: impl Fn() -> bool) {
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
    pub fn send_all<'a>(&mut self, messages: impl IntoIterator<Item = &'a Media>) {
        for media in messages {
            self.send(media);
        }
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.client.out().writer().extend_from_slice(bytes);
        self.flush();
    }

    /// Sends a command on message stream `msid`.
    pub fn command(&mut self, msid: u32, body: impl FnOnce(&mut Encoder<'_>)) {
        self.client.send_command(MessageStreamId(msid), body);
        self.flush();
    }

    /// Closes our end; what was sent still arrives.
    pub fn finish(&self) {
        // The other end may be gone.
        let _: std::io::Result<()> = self.socket.finish();
    }

    /// Sends what waits. A relay that has closed does not take it, which `next` will tell.
    fn flush(&mut self) {
        let Self { client, socket, .. } = self;
        client.write(|bytes| {
            if let Err(error) = socket.write_all(bytes) {
                let kinds = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
                let is_closed = kinds.contains(&error.kind());
                assert!(is_closed, "the relay does not read: {error}");
            }
            bytes.len()
        });
    }

    /// One read, of at most `limit`.
    fn read(&mut self, limit: Duration) {
        self.flush();
        let limit = limit.max(Duration::from_millis(1));
        let set = self.socket.set_read_timeout(limit);
        set.expect("a limit above zero");
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
        let queue = &mut self.queue;
        let read = self.client.read(now() - self.opened, input, |event| {
            queue.push_back(Seen::of(event));
            Ok(())
        });
        read.expect("the relay keeps to the protocol");
    }
}

/// A connected socket that gives up sending after a while. The kernel may hold `receive_buffer`
/// bytes for it, if that is said.
///
/// # Panics
/// Nobody listens.
#[track_caller]
pub fn open(relay: SocketAddr, receive_buffer: Option<usize>) -> TcpStream {
    try_open(None, relay, receive_buffer).expect("the relay listens")
}

/// The same from this address of the loopback.
///
/// # Panics
/// Nobody listens.
#[track_caller]
pub fn open_from(address: [u8; 4], relay: SocketAddr) -> TcpStream {
    try_open(Some(address.into()), relay, None).expect("the relay listens")
}

/// Connects from `source`, if that is said.
///
/// # Errors
/// Nobody listens, or there is no socket or port left.
pub fn try_open(
    source: Option<IpAddr>,
    relay: SocketAddr,
    receive_buffer: Option<usize>,
) -> std::io::Result<TcpStream> {
    let socket = socket2::Socket::new(Domain::for_address(relay), Type::STREAM, None)?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(source) = source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    socket.connect_timeout(&relay.into(), SOON)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_write_timeout(Some(SOON))?;
    Ok(socket.into())
}
