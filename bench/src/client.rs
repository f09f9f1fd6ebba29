//! One connection of the generator: a publisher or a player, speaking RTMP, HTTP-FLV as a player
//! or, against the floor, nothing at all.
//!
//! ```text
//!   publisher   Joining --Publish.Start--> Live
//!   player      Joining --Play.Start,--> key frame -> Live    checked: parses everything
//!                   |   status 200               \-> Live    follows: discards in the kernel
//!                   +--> Stalled, never read again
//! ```
//!
//! A player that follows over TLS drops what comes from there on without decrypting it: what TLS
//! costs the server is measured, not what it costs here.
//!
//! It never tries again: what ends a connection is told to the generator, which counts it.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use rustix::net::RecvFlags;
use tailwater::net::tls::TlsName;
use tailwater::rtmp::client::{Action, ClientEvent, ClientSession};
use tailwater::rtmp::message::{MessageStreamId, Payload};
use tailwater::rtmp::reader::{ChunkReader, ReaderLimits};
use tailwater_testkit::{client, script};

use crate::check::{Checker, Tally};
use crate::flv::FlvReader;
use crate::http;
use crate::measure::now_ns;
use crate::media::{Due, Label, Media, Schedule, is_coded, is_key_frame};
use crate::socket::{self, Options, Stream};

/// One connection.
pub struct Client {
    /// Where it stands.
    pub state: State,
    /// Payload bytes of the socket received since [`Client::bytes`] was last set to 0.
    pub bytes: u64,
    /// What it does.
    pub role: Role,
    socket: Stream,
    stream: u32,
    begun_ns: u64,
    link: Link,
    /// Bytes the socket did not take yet.
    unsent: Vec<u8>,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// From connecting to the first media.
    Joining,
    /// Media flows.
    Live,
    /// Plays and reads no more.
    Stalled,
    /// Ended.
    Closed,
}

/// What a connection does.
pub enum Role {
    /// Sends a stream.
    Publisher(Publisher),
    /// Receives one.
    Player(Player),
}

/// The clock of a publisher.
pub struct Publisher {
    schedule: Schedule,
    /// When its first message is due.
    zero_ns: u64,
}

/// What a player does with what it receives.
pub struct Player {
    /// It plays by HTTP-FLV, whose figures are kept apart.
    pub by_http: bool,
    /// Parse everything.
    pub checker: Option<Checker>,
    /// Stop reading once it plays.
    pub stalls: bool,
    /// It is part of a storm, whose times are kept apart.
    pub storms: bool,
    /// It has joined when it plays, without a frame: there will be none.
    pub idles: bool,
}

/// What is spoken on the wire.
enum Link {
    Session(Box<ClientSession>),
    /// Chunks without handshake and commands.
    Chunks(Box<ChunkReader>),
    /// The answer to a request for a stream.
    Flv(Box<FlvReader>),
    /// Nothing is looked at.
    Blind,
}

/// What all connections share: buffers, and what was observed.
pub struct Desk {
    /// Makes and recognises the messages.
    pub media: Media,
    /// Chunk size of publishers.
    pub chunk_size: usize,
    /// What was observed.
    pub seen: Seen,
    input: Vec<u8>,
    /// Never touched: the kernel drops what it would put here.
    discard: Vec<u8>,
    body: Vec<u8>,
    scratch: Vec<u8>,
    wire: Vec<u8>,
}

/// What was observed.
#[derive(Default)]
pub struct Seen {
    /// By checked players that speak RTMP, or nothing.
    pub tally: Tally,
    /// By checked players that speak HTTP.
    pub http_tally: Tally,
    /// From connecting to the first key frame, of ordinary players.
    pub first_frame_ns: Vec<u64>,
    /// The same for the players of a storm.
    pub storm_first_frame_ns: Vec<u64>,
    /// How late each message was published.
    pub late_ns: Vec<u64>,
    /// Bytes that players received.
    pub bytes_out: u64,
    /// Bytes that publishers sent.
    pub bytes_in: u64,
}

/// A server to connect to.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its name, if TLS is spoken with it.
    pub tls: Option<TlsName>,
    /// What is spoken with it, in TLS or without.
    pub wire: Wire,
}

/// What is spoken with the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wire {
    /// RTMP with this app and `tcUrl`.
    Rtmp {
        /// The app.
        app: String,
        /// `rtmp://host:port/app`, or `rtmps://`.
        tc_url: String,
    },
    /// HTTP, for players alone: streams are at `/app/NAME.flv`.
    Flv {
        /// The app.
        app: String,
        /// `host:port`.
        host: String,
    },
    /// Chunks of this size from the server, without handshake and commands.
    Bare {
        /// Payload bytes of a chunk.
        chunk_size: usize,
    },
}

const INPUT_BYTES: usize = 256 * 1024;
const DISCARD_BYTES: usize = 1024 * 1024;
const STALLED_BUFFER_BYTES: usize = 16 * 1024;

impl Desk {
    /// Buffers for any number of connections.
    pub fn new(media: Media, chunk_size: usize) -> Self {
        Self {
            media,
            chunk_size,
            seen: Seen::default(),
            input: vec![0; INPUT_BYTES],
            discard: vec![0; DISCARD_BYTES],
            body: Vec::new(),
            scratch: Vec::new(),
            wire: Vec::new(),
        }
    }
}

impl Publisher {
    /// A publisher that has not begun.
    pub fn new(media: &Media) -> Self {
        Self {
            schedule: Schedule::new(media.shape()),
            zero_ns: 0,
        }
    }
}

impl Client {
    /// Begins to connect. `source` is the address to come from, `name` the stream's name.
    ///
    /// # Errors
    /// The system has no socket or port left.
    pub fn connect(
        server: &Server,
        source: Option<SocketAddr>,
        stream: (u32, &str),
        role: Role,
        desk: &Desk,
    ) -> io::Result<Self> {
        let stalls = matches!(&role, Role::Player(player) if player.stalls);
        let options = Options {
            source,
            // Thousands of ports in TIME_WAIT would be missing in the next run.
            resets: true,
            // What nobody reads waits in the server, not here.
            receive_buffer: stalls.then_some(STALLED_BUFFER_BYTES),
        };
        let begun_ns = now_ns();
        let socket = socket::connect(server.address, &options)?;
        let action = match role {
            Role::Publisher(_) => Action::Publish,
            Role::Player(_) => Action::Play,
        };
        let mut unsent = Vec::new();
        let link = match &server.wire {
            Wire::Rtmp { app, tc_url } => {
                let mut request = client::request(action, app, stream.1);
                request.tc_url.clone_from(tc_url);
                request.chunk_size = u32::try_from(desk.chunk_size).unwrap_or(u32::MAX);
                Link::Session(Box::new(ClientSession::new(request, begun_ns)))
            }
            Wire::Flv { app, host } => {
                let path = format!("/{app}/{}.flv", stream.1);
                unsent.extend_from_slice(http::get(host, &path).as_bytes());
                Link::Flv(Box::new(FlvReader::new()))
            }
            Wire::Bare { chunk_size } => match &role {
                Role::Player(player) if player.checker.is_some() => {
                    let mut reader = ChunkReader::new(ReaderLimits::PUBLISHER);
                    reader.set_chunk_size(*chunk_size);
                    Link::Chunks(Box::new(reader))
                }
                _ => Link::Blind,
            },
        };
        Ok(Self {
            socket: Stream::new(socket, server.tls.as_ref())?,
            state: State::Joining,
            bytes: 0,
            role,
            stream: stream.0,
            begun_ns,
            link,
            unsent,
        })
    }

    /// The socket, for the poll.
    pub fn tcp(&mut self) -> &mut TcpStream {
        self.socket.tcp()
    }

    /// The socket is ready; afterwards [`state`](Self::state) may be another.
    ///
    /// # Errors
    /// The connection is over: why.
    pub fn on_ready(&mut self, desk: &mut Desk, readable: bool) -> Result<(), String> {
        if self.state == State::Closed {
            return Ok(());
        }
        self.flush()?;
        if let (Link::Blind, Role::Publisher(_)) = (&self.link, &self.role) {
            self.state = State::Live;
        }
        if readable && self.state != State::Stalled {
            self.read(desk)?;
            self.flush()?;
        }
        Ok(())
    }

    /// Sends what the session has to say and what is left from before.
    fn flush(&mut self) -> Result<(), String> {
        if let Link::Session(session) = &mut self.link {
            let out = session.out();
            self.unsent.extend_from_slice(out.pending());
            out.advance(out.pending().len());
        }
        self.socket.flush_pending().map_err(|error| lost(&error))?;
        if self.unsent.is_empty() {
            return Ok(());
        }
        let sent = write(&mut self.socket, &self.unsent)?;
        self.unsent.drain(..sent);
        Ok(())
    }

    /// Takes everything the socket has.
    fn read(&mut self, desk: &mut Desk) -> Result<(), String> {
        loop {
            let is_blind = matches!(self.link, Link::Blind);
            let (room, count) = if is_blind {
                let tcp = self.socket.tcp();
                let taken = rustix::net::recv(tcp, &mut desk.discard[..], RecvFlags::TRUNC);
                let taken = taken.map(|(_, count)| count).map_err(io::Error::from);
                (DISCARD_BYTES, taken)
            } else {
                (INPUT_BYTES, self.socket.read(&mut desk.input))
            };
            let count = match count {
                Ok(0) => return Err("closed by the server".into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(lost(&error)),
            };
            self.bytes += count as u64;
            if let Role::Player(_) = self.role {
                desk.seen.bytes_out += count as u64;
            }
            if is_blind {
                if self.state == State::Joining {
                    self.state = State::Live;
                }
            } else {
                self.parse(desk, count)?;
            }
            if count < room || self.state == State::Stalled {
                return Ok(());
            }
        }
    }

    /// Reads `desk.input[..count]`.
    fn parse(&mut self, desk: &mut Desk, count: usize) -> Result<(), String> {
        let input = std::mem::take(&mut desk.input);
        let parsed = self.parse_input(desk, &input[..count]);
        desk.input = input;
        parsed?;
        // A player that follows has seen that its stream is whole; from here on it counts bytes.
        if let (State::Live, Role::Player(Player { checker: None, .. })) = (self.state, &self.role)
        {
            self.link = Link::Blind;
        }
        Ok(())
    }

    fn parse_input(&mut self, desk: &mut Desk, input: &[u8]) -> Result<(), String> {
        let mut at = 0;
        match &mut self.link {
            Link::Blind => {}
            Link::Chunks(reader) => {
                while let Some(message) = reader.next(input, &mut at).map_err(broken)? {
                    if let Role::Player(player) = &mut self.role {
                        let message = (message.header.kind, &message.payload);
                        take_media(player, &mut self.state, self.begun_ns, desk, message);
                    }
                }
                reader.hold(input);
            }
            Link::Flv(reader) => {
                let Role::Player(player) = &mut self.role else {
                    return Err("not asked to take a stream by HTTP".into());
                };
                reader.read(input, |tag| {
                    let message = (tag.kind, &Payload::from_slice(tag.body));
                    take_media(player, &mut self.state, self.begun_ns, desk, message);
                })?;
                match (reader.is_answered(), player.stalls, player.idles) {
                    (true, true, _) => self.state = State::Stalled,
                    (true, _, true) => self.state = State::Live,
                    _ => {}
                }
            }
            Link::Session(session) => {
                let Self {
                    role,
                    state,
                    begun_ns,
                    ..
                } = self;
                let now = Duration::from_nanos(now_ns());
                client::read(session, now, input, |event| {
                    check_refused(&event)?;
                    match (event, &mut *role) {
                        (ClientEvent::Media(message), Role::Player(player)) => {
                            let message = (message.header.kind, &message.payload);
                            take_media(player, state, *begun_ns, desk, message);
                        }
                        (ClientEvent::Status { code, .. }, role) => hear(&code, role, state),
                        _ => {}
                    }
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    /// Begins to publish: sends the headers. Media is due from `zero_ns` on, which is also the
    /// result.
    ///
    /// # Errors
    /// The connection is over: why.
    pub fn begin_publish(&mut self, desk: &mut Desk, zero_ns: u64) -> Result<u64, String> {
        for (header, body) in desk.media.headers() {
            self.send(desk, header, 0, &body)?;
        }
        if let Role::Publisher(publisher) = &mut self.role {
            publisher.zero_ns = zero_ns;
        }
        Ok(zero_ns)
    }

    /// Sends every message that is due at `now`; when the next one is.
    ///
    /// # Errors
    /// The connection is over: why.
    pub fn publish_due(&mut self, desk: &mut Desk, now: u64) -> Result<u64, String> {
        loop {
            let Role::Publisher(publisher) = &mut self.role else {
                return Ok(u64::MAX);
            };
            let due = publisher.schedule.peek();
            let at_ns = publisher.zero_ns + due.at_ns;
            if at_ns > now {
                return Ok(at_ns);
            }
            publisher.schedule.advance();
            self.publish(desk, &due, at_ns)?;
        }
    }

    fn publish(&mut self, desk: &mut Desk, due: &Due, at_ns: u64) -> Result<(), String> {
        let label = Label {
            kind: due.kind,
            stream: self.stream,
            number: due.number,
            sent_ns: now_ns(),
        };
        desk.seen.late_ns.push(label.sent_ns.saturating_sub(at_ns));
        let mut body = std::mem::take(&mut desk.body);
        desk.media.write(&label, &mut body);
        let sent = self.send(desk, due.kind, due.timestamp, &body);
        desk.body = body;
        sent
    }

    /// One message, one write.
    fn send(
        &mut self,
        desk: &mut Desk,
        message_kind: u8,
        timestamp: u32,
        body: &[u8],
    ) -> Result<(), String> {
        let msid = match &self.link {
            Link::Session(session) => session.msid().unwrap_or(MessageStreamId(1)),
            _ => MessageStreamId(1),
        };
        desk.wire.clear();
        let message = (message_kind, timestamp, msid.0);
        script::encode(&mut desk.wire, message, body, desk.chunk_size);
        desk.seen.bytes_in += desk.wire.len() as u64;
        self.flush()?;
        let mut sent = 0;
        if self.unsent.is_empty() {
            sent = write(&mut self.socket, &desk.wire)?;
        }
        self.unsent.extend_from_slice(&desk.wire[sent..]);
        if self.unsent.len() > UNSENT_BYTES_MAX {
            return Err("the server does not take what is published".into());
        }
        Ok(())
    }
}

/// A status has come.
fn hear(code: &str, role: &Role, state: &mut State) {
    match (code, role) {
        ("NetStream.Publish.Start", Role::Publisher(_)) => *state = State::Live,
        ("NetStream.Play.Start", Role::Player(player)) if player.stalls => *state = State::Stalled,
        ("NetStream.Play.Start", Role::Player(player)) if player.idles => *state = State::Live,
        _ => {}
    }
}

/// A player has received a message: its kind and its payload.
fn take_media(
    player: &mut Player,
    state: &mut State,
    begun_ns: u64,
    desk: &mut Desk,
    (message_kind, payload): (u8, &Payload<'_>),
) {
    let Desk {
        media,
        seen,
        body,
        scratch,
        ..
    } = desk;
    let bytes = payload.contiguous(body);
    if !is_coded(message_kind, bytes) {
        return;
    }
    let now = now_ns();
    if *state == State::Joining && is_key_frame(message_kind, bytes) {
        *state = State::Live;
        let firsts = match player.storms {
            true => &mut seen.storm_first_frame_ns,
            false => &mut seen.first_frame_ns,
        };
        firsts.push(now - begun_ns);
    }
    if let Some(checker) = &mut player.checker {
        let tally = match player.by_http {
            true => &mut seen.http_tally,
            false => &mut seen.tally,
        };
        checker.take(media, message_kind, bytes, now, scratch, tally);
    }
}

/// Whether the server has refused what was asked of it: its words.
fn check_refused(event: &ClientEvent<'_>) -> Result<(), String> {
    match event {
        ClientEvent::Status {
            level,
            code,
            description,
            ..
        } if level == "error" => Err(format!("refused: {code} {description}")),
        ClientEvent::Refused {
            code, description, ..
        } => Err(format!("refused: {code} {description}")),
        _ => Ok(()),
    }
}

/// Why a connection is over for which the socket has this error.
fn lost(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "closed by the server".into(),
        _ => error.to_string(),
    }
}

/// As much as the socket takes.
fn write(socket: &mut Stream, bytes: &[u8]) -> Result<usize, String> {
    match socket.write(bytes) {
        Ok(count) => Ok(count),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
            ) =>
        {
            Ok(0)
        }
        Err(error) => Err(lost(&error)),
    }
}

fn broken(error: tailwater::rtmp::error::ProtocolError) -> String {
    format!("the server broke the protocol: {error}")
}

/// More than this unsent means that the server is not keeping up with its publishers.
const UNSENT_BYTES_MAX: usize = 16 * 1024 * 1024;
