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

use super::pause;
use tailwater::rtmp::command::Status;
use tailwater::rtmp::message::{MessageHeader, Payload, Timestamp, kind};
use tailwater::rtmp::server::{Event, Request, ServerSession, WireSettings};
use tailwater::rtmp::writer::write_message;

/// What it does once it is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Has no stream, and takes none.
    Refuse,
    /// Answers the handshake with noise.
    Garbage,
    /// Says nothing at all.
    Silent,
    /// Says that playing begins, and sends nothing.
    NoMedia,
    /// Closes at once.
    HangUp,
    /// Sends metadata and headers that never end, and the longest there are.
    Flood,
    /// Takes what is published.
    Take,
    /// Accepts a publish, and reads no further until it is told to.
    Stall,
}

/// See the module text. It stops with the test.
pub(crate) struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    behaviour: Behaviour,
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
    pub(crate) fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            behaviour,
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
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// One that stalls goes on.
    pub(crate) fn go_on(&self) {
        self.shared.goes_on.store(true, Ordering::Relaxed);
    }

    /// What was asked for so far: `app stream query`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().expect("no test panicked").clone()
    }

    /// Kind and body of the messages that were taken so far.
    pub(crate) fn taken(&self) -> Vec<(u8, Vec<u8>)> {
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

    fn answer(&self, session: &mut ServerSession, request: Request) {
        let ask = |app: &str, stream: &str, query: &str| {
            let mut asked = self.asked.lock().expect("no test panicked");
            asked.push(format!("{app} {stream} {query}"));
        };
        match request {
            Request::Connect => session.accept_connect(&WireSettings {
                chunk_size: 4_096,
                window_ack: 2_500_000,
            }),
            Request::Play { msid, name, .. } => {
                ask(&name.app, &name.stream, &name.query);
                match self.behaviour {
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

/// Headers of the longest kind, each different from the last, more than anybody keeps.
fn flood(out: &mut Vec<u8>, msid: u32) {
    for number in 0..2_000_u32 {
        for (message_kind, first) in [
            (kind::VIDEO, &[0x17, 0, 0, 0, 0][..]),
            (kind::AUDIO, &[0xAF, 0]),
        ] {
            let mut body = first.to_vec();
            body.resize(60_000, 7);
            body.extend_from_slice(&number.to_be_bytes());
            let header = MessageHeader {
                csid: 6,
                timestamp: Timestamp(number),
                kind: message_kind,
                msid,
                len: body.len(),
            };
            write_message(out, &header, &Payload::from_slice(&body), 4_096);
        }
    }
}
