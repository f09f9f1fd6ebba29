//! A server that behaves as it is told: to be played from, or published to, by a relay.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a server on threads, one for each connection"
)]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::pause;
use crate::wire::{Key, Media};
use tailwater::rtmp::command::{Status, write_command};
use tailwater::rtmp::message::{MessageStreamId, kind};
use tailwater::rtmp::server::{Event, Request, ServerSession, WireSettings};
use tailwater_testkit::script;

/// What it does once it is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Has no stream, and takes none.
    Refuse,
    /// Answers the handshake with noise.
    Garbage,
    /// Says nothing at all.
    Silent,
    /// Says that playing begins, and sends nothing.
    NoMedia,
    /// Sends a key frame to whoever plays with a query that begins with `token=good`, and has
    /// nothing for others.
    Guard,
    /// Closes at once.
    HangUp,
    /// Sends metadata and headers that never end, and the longest there are.
    Flood,
    /// Takes what is published.
    Take,
    /// Accepts a publish, and reads no further until it is told to.
    Stall,
    /// Sends what its [`Script`] says.
    Scripted,
}

/// What a scripted origin sends, as bytes of the chunk stream.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// In place of the answer to connect; empty for the usual one.
    pub connect: Vec<u8>,
    /// In answer to play.
    pub play: Vec<u8>,
    /// Every 100 ms from then on.
    pub tick: Vec<u8>,
    /// It does not say that it is a relay of our kind.
    pub is_foreign: bool,
}

/// See the module text. It stops with the test.
pub struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    behaviour: Behaviour,
    script: Script,
    /// What every connection that has asked to play is sent besides.
    said: Mutex<Vec<u8>>,
    stopped: AtomicBool,
    /// It stalls no longer.
    goes_on: AtomicBool,
    /// `app stream query` of what was asked for.
    asked: Mutex<Vec<String>>,
    /// Kind and body of the messages that were taken.
    taken: Mutex<Vec<(u8, Vec<u8>)>>,
}

impl Origin {
    /// Starts one on a free port of the loopback.
    pub fn start(behaviour: Behaviour) -> Self {
        Self::with(behaviour, Script::default())
    }

    /// Starts one that sends what `script` says.
    pub fn scripted(script: Script) -> Self {
        Self::with(Behaviour::Scripted, script)
    }

    fn with(behaviour: Behaviour, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            behaviour,
            script,
            said: Mutex::default(),
            stopped: AtomicBool::new(false),
            goes_on: AtomicBool::new(false),
            asked: Mutex::default(),
            taken: Mutex::default(),
        });
        let own = shared.clone();
        thread::spawn(move || {
            for socket in listener.incoming() {
                if own.stopped.load(Ordering::Relaxed) {
                    return;
                }
                let shared = own.clone();
                if let Ok(socket) = socket {
                    thread::spawn(move || shared.serve(socket));
                }
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends `bytes` on every open connection that has asked to play.
    pub fn say(&self, bytes: &[u8]) {
        let mut said = self.shared.said.lock().expect("no test panicked");
        said.extend_from_slice(bytes);
    }

    /// One that stalls goes on.
    pub fn go_on(&self) {
        self.shared.goes_on.store(true, Ordering::Relaxed);
    }

    /// What was asked for so far: `app stream query`.
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().expect("no test panicked").clone()
    }

    /// Kind and body of the messages that were taken so far.
    pub fn taken(&self) -> Vec<(u8, Vec<u8>)> {
        self.shared.taken.lock().expect("no test panicked").clone()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        // Wakes the listener; it is going anyway.
        let _: Result<TcpStream, _> = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn serve(&self, mut socket: TcpStream) {
        let wait = Duration::from_millis(100);
        socket.set_read_timeout(Some(wait)).expect("not zero");
        let mut session = ServerSession::new(1);
        // Of what is said, how much was sent; nothing is before play.
        let mut said = None;
        let mut buffer = vec![0; 65_536];
        match self.behaviour {
            Behaviour::HangUp => return,
            Behaviour::Garbage => {
                // It may be closed before all of it is written.
                let _: std::io::Result<()> = socket.write_all(&[0x55; 4_000]);
            }
            _ => {}
        }
        while !self.stopped.load(Ordering::Relaxed) {
            if let Some(sent) = &mut said
                && self.speak(&mut socket, sent).is_err()
            {
                return;
            }
            let count = match socket.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => count,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    continue;
                }
                Err(_) => return,
            };
            if matches!(self.behaviour, Behaviour::Silent | Behaviour::Garbage) {
                continue;
            }
            let mut at = 0;
            loop {
                let request = match session.next(&buffer[..count], &mut at) {
                    Ok(Some(Event::Request(request))) => request,
                    Ok(Some(Event::Media(message))) => {
                        let taken = (message.header.kind, message.payload.to_vec());
                        self.taken.lock().expect("no test panicked").push(taken);
                        continue;
                    }
                    Ok(None) => break,
                    Err(_) => return,
                };
                if matches!(request, Request::Play { .. }) {
                    let all = self.said.lock().expect("no test panicked").len();
                    said.get_or_insert(all);
                }
                self.answer(&mut session, request);
            }
            if session.end_input(&buffer[..count], at).is_err() {
                return;
            }
            let out = session.out();
            if socket.write_all(out.pending()).is_err() {
                return;
            }
            let sent = out.pending().len();
            out.advance(sent);
            let is_asked = !self.asked.lock().expect("no test panicked").is_empty();
            if self.behaviour == Behaviour::Stall && is_asked {
                let waits = |flag: &AtomicBool| !flag.load(Ordering::Relaxed);
                while waits(&self.stopped) && waits(&self.goes_on) {
                    pause(wait);
                }
            }
        }
    }

    /// Sends what a script says at each tick, and what was said since.
    fn speak(&self, socket: &mut TcpStream, sent: &mut usize) -> std::io::Result<()> {
        let all = self.said.lock().expect("no test panicked").clone();
        socket.write_all(&all[*sent..])?;
        *sent = all.len();
        socket.write_all(&self.script.tick)
    }

    fn answer(&self, session: &mut ServerSession, request: Request) {
        let ask = |app: &str, stream: &str, query: &str| {
            let mut asked = self.asked.lock().expect("no test panicked");
            asked.push(format!("{app} {stream} {query}"));
        };
        match request {
            Request::Connect if !self.script.connect.is_empty() => {
                ask("connect", "", "");
                session.out().writer().extend(&self.script.connect);
            }
            Request::Connect => {
                let wire = WireSettings {
                    chunk_size: 4_096,
                    window_ack: 2_500_000,
                };
                session.accept_connect_with(&wire, |properties| {
                    properties.boolean_property("relay", !self.script.is_foreign);
                });
            }
            Request::Play { msid, name, .. } => {
                ask(&name.app, &name.stream, &name.query);
                match self.behaviour {
                    Behaviour::Scripted => session.out().writer().extend(&self.script.play),
                    Behaviour::Guard if name.query.starts_with("token=good") => {
                        session.accept_play(msid, &name, true);
                        send_picture(session.out().writer(), msid);
                    }
                    Behaviour::NoMedia => session.accept_play(msid, &name, true),
                    Behaviour::Flood => {
                        session.accept_play(msid, &name, true);
                        flood(session.out().writer(), msid);
                    }
                    _ => session.reject(msid, Status::PlayStreamNotFound, "no such stream"),
                }
            }
            Request::Publish { msid, name, .. } => {
                ask(&name.app, &name.stream, &name.query);
                match self.behaviour {
                    Behaviour::Take | Behaviour::Stall => session.accept_publish(msid, &name),
                    _ => session.reject(msid, Status::PublishDenied, "not here"),
                }
            }
            _ => {}
        }
    }
}

/// A header and a key frame.
fn send_picture(out: &mut Vec<u8>, msid: MessageStreamId) {
    let picture = Media::picture(Key::Yes, 0, 1, 1_000);
    for media in [Media::avc_header(0), picture] {
        script::encode(out, (media.kind, 0, msid.0), &media.payload, CHUNK_SIZE);
    }
}

/// Headers of the longest kind, each different from the last, more than anybody keeps.
fn flood(out: &mut Vec<u8>, msid: MessageStreamId) {
    for number in 0..2_000_u32 {
        for (message_kind, first) in [
            (kind::VIDEO, &[0x17, 0, 0, 0, 0][..]),
            (kind::AUDIO, &[0xAF, 0]),
        ] {
            let mut body = first.to_vec();
            body.resize(60_000, 7);
            body.extend_from_slice(&number.to_be_bytes());
            script::encode(out, (message_kind, number, msid.0), &body, CHUNK_SIZE);
        }
    }
}

/// Chunk size of a scripted origin once connect is answered.
pub const CHUNK_SIZE: usize = 4_096;

/// An onStatus on message stream 1 with this code.
pub fn status(code: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write_command(&mut out, MessageStreamId(1), CHUNK_SIZE, |amf| {
        amf.string("onStatus").number(0.0).null().begin_object();
        amf.string_property("level", "status");
        amf.string_property("code", code).end_object();
    });
    out
}

/// A Reconnect Request, E-RTMP v2.
pub fn reconnect_request(tc_url: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    write_command(&mut out, MessageStreamId::CONTROL, CHUNK_SIZE, |amf| {
        amf.string("onStatus").number(0.0).null().begin_object();
        if let Some(tc_url) = tc_url {
            amf.string_property("tcUrl", tc_url);
        }
        amf.string_property("level", "status");
        amf.string_property("code", "NetConnection.Connect.ReconnectRequest");
        amf.end_object();
    });
    out
}

/// A refusal with `ex.code` 302 and `ex.redirect`: of connect as `_error`, or as a status of the
/// message stream.
pub fn redirect(to: &str, answers_connect: bool) -> Vec<u8> {
    let mut out = Vec::new();
    // Before connect is answered, chunks have their first size.
    let (msid, chunk_size) = if answers_connect {
        (0, 128)
    } else {
        (1, CHUNK_SIZE)
    };
    write_command(&mut out, MessageStreamId(msid), chunk_size, |amf| {
        match answers_connect {
            true => amf.string("_error").number(1.0).null(),
            false => amf.string("onStatus").number(0.0).null(),
        };
        amf.begin_object();
        amf.string_property("level", "error");
        amf.string_property("code", "NetConnection.Connect.Rejected");
        amf.key("ex").begin_object();
        amf.number_property("code", 302.0);
        amf.string_property("redirect", to).end_object();
        amf.end_object();
    });
    out
}

/// Messages of a film, on message stream 1.
pub fn chunks(messages: &[Media]) -> Vec<u8> {
    let mut out = Vec::new();
    for media in messages {
        let message = (media.kind, media.time, 1);
        script::encode(&mut out, message, &media.payload, CHUNK_SIZE);
    }
    out
}
