//! One HTTP connection: requests in, one at a time, and their answers; or, from a request for a
//! stream on, media.
//!
//! ```text
//!            next                answer, connection kept
//!   Idle ---------> Asked -------------------------------> Idle
//!                     |-- answer, connection not kept ---> Done
//!                     |-- begin_stream ------------------> Streaming   what comes in now is
//!                                                                      frames, or nothing
//! ```
//!
//! Requests that come meanwhile wait, as far as there is room. Rule of use: as of
//! [`ServerSession`](crate::rtmp::server::ServerSession).

// The length of time alone; `core::time` has no clock to read.
use core::net::SocketAddr;
use core::time::Duration;

use super::HttpError;
use super::request::{self, Method, Request};
use super::response::{Response, stream_head, websocket_head};
use super::websocket::{self, CloseCode, Frame, opcode};
use crate::limits;
use crate::limits::bucket::Bucket;
use crate::rtmp::Outbox;

/// See the module text.
#[derive(Debug, Default)]
pub struct HttpSession {
    state: State,
    /// What has come and is not read.
    input: Vec<u8>,
    /// What is in `input` is not whole.
    is_part: bool,
    /// Bytes of a WebSocket message that are still to be read off.
    unread: u64,
    /// Bytes that came where nothing is to come.
    surplus: usize,
    out: Outbox,
    now: Duration,
    rate: Bucket,
    /// There was a whole request.
    was_asked: bool,
    asked: Asked,
    /// The peer is this proxy, which is believed who the client is.
    proxy: Option<SocketAddr>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    Asked,
    Streaming {
        is_websocket: bool,
    },
    Done,
}

/// What is kept of a request until it is answered.
#[derive(Debug, Default)]
struct Asked {
    keep_alive: bool,
    head_only: bool,
    websocket_key: Option<String>,
    websocket_protocol: Option<String>,
    user_agent: String,
    /// Header fields of the answer.
    fields: Vec<(&'static str, String)>,
}

impl Asked {
    /// The head of the answer to a request to speak WebSocket.
    fn websocket_head(&self) -> Option<String> {
        let accept = websocket::accept(self.websocket_key.as_ref()?);
        Some(websocket_head(&accept, self.websocket_protocol.as_deref()))
    }
}

impl HttpSession {
    /// Says that the peer is a proxy that is believed who its clients are.
    pub fn set_proxy(&mut self, proxy: SocketAddr) {
        self.proxy = Some(proxy);
    }

    /// The proxy that the peer is.
    pub fn proxy(&self) -> Option<SocketAddr> {
        self.proxy
    }

    /// The time since any moment that is always the same.
    pub fn set_now(&mut self, now: Duration) {
        self.now = now;
    }

    /// The next request in what has come so far and in `input` from `*at` on, which is taken.
    /// It is to be answered before there is another.
    ///
    /// # Errors
    /// The peer has done what it may not; it has been answered, and the connection ends.
    pub fn next(&mut self, input: &[u8], at: &mut usize) -> Result<Option<Request>, HttpError> {
        let new = input.get(*at..).unwrap_or_default();
        match self.state {
            State::Idle if !self.is_owed() => self.next_request(new, at),
            State::Idle | State::Asked => {
                if self.take(new, at) || new.is_empty() {
                    return Ok(None);
                }
                self.state = State::Done;
                Err(HttpError::Surplus)
            }
            State::Streaming { is_websocket: true } => {
                let read = self.read_frames(new, at);
                match read {
                    Err(HttpError::Frame(what)) => self.end(CloseCode::Protocol, what),
                    Err(HttpError::Closed) => self.end(CloseCode::Normal, ""),
                    Err(_) => self.end(CloseCode::Policy, "too many frames"),
                    Ok(()) => {}
                }
                read.map(|()| None)
            }
            State::Streaming { .. } | State::Done => {
                *at = input.len();
                self.surplus += new.len();
                if self.surplus > limits::HTTP_INPUT_BYTES_MAX {
                    self.state = State::Done;
                    return Err(HttpError::Surplus);
                }
                Ok(None)
            }
        }
    }

    /// Takes of `new` what there is room for; whether that was anything.
    fn take(&mut self, new: &[u8], at: &mut usize) -> bool {
        let room = limits::HTTP_INPUT_BYTES_MAX.saturating_sub(self.input.len());
        let taken = &new[..new.len().min(room)];
        self.input.extend_from_slice(taken);
        *at += taken.len();
        self.is_part &= taken.is_empty();
        !taken.is_empty()
    }

    fn next_request(&mut self, new: &[u8], at: &mut usize) -> Result<Option<Request>, HttpError> {
        self.take(new, at);
        if !self.was_asked {
            self.check_protocol()?;
        }
        // Some clients send an empty line behind a request. RFC 9112 §2.2.
        let empty = self
            .input
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'));
        let empty = empty.count() & !1;
        self.input.drain(..empty.min(self.input.len()));
        let (request, len) = match request::parse(&self.input) {
            Ok(Some(whole)) => whole,
            Ok(None) => {
                self.is_part = true;
                return Ok(None);
            }
            Err(refused) => {
                let answer = Response::text(refused.status, refused.why);
                self.state = State::Asked;
                self.answer_last(match refused.status {
                    426 => answer
                        .with("Upgrade", "websocket")
                        .with("Sec-WebSocket-Version", "13"),
                    _ => answer,
                });
                return Err(HttpError::Request(refused.why));
            }
        };
        self.input.drain(..len);
        self.was_asked = true;
        self.state = State::Asked;
        self.asked = Asked {
            keep_alive: request.keep_alive,
            head_only: request.method == Method::Head,
            websocket_key: request
                .websocket_key
                .clone()
                .filter(|_| request.method == Method::Get),
            websocket_protocol: request.websocket_protocol.clone(),
            user_agent: request.user_agent.clone(),
            fields: Vec::new(),
        };
        if !self.rate.take(limits::HTTP_REQUESTS, self.now) {
            self.refuse(429, "too many requests");
            return Err(HttpError::Rate);
        }
        Ok(Some(request))
    }

    /// The first bytes tell who is on the wrong port.
    fn check_protocol(&mut self) -> Result<(), HttpError> {
        let seen = match self.input.first() {
            Some(3) => "rtmp",
            Some(0x16) => "tls",
            _ => return Ok(()),
        };
        self.state = State::Done;
        Err(HttpError::WrongProtocol { seen })
    }

    fn read_frames(&mut self, new: &[u8], at: &mut usize) -> Result<(), HttpError> {
        let mut left = new;
        loop {
            // Of messages nothing is kept.
            let skipped = self
                .input
                .len()
                .min(usize::try_from(self.unread).unwrap_or(usize::MAX));
            self.input.drain(..skipped);
            self.unread -= skipped as u64;
            if self.input.is_empty() {
                let skipped = left
                    .len()
                    .min(usize::try_from(self.unread).unwrap_or(usize::MAX));
                self.unread -= skipped as u64;
                left = &left[skipped..];
                *at += skipped;
            }
            let before = *at;
            self.take(left, at);
            left = &left[*at - before..];
            let Some((frame, len)) = websocket::read_frame(&self.input)? else {
                self.is_part = true;
                return Ok(());
            };
            self.input.drain(..len);
            if !self.rate.take(limits::HTTP_REQUESTS, self.now) {
                return Err(HttpError::Rate);
            }
            match frame {
                Frame::Ping(payload) => {
                    if self.out.pending().len() > limits::HTTP_INPUT_BYTES_MAX {
                        return Err(HttpError::Rate);
                    }
                    websocket::write_control(self.out.writer(), opcode::PONG, &payload);
                }
                Frame::Close => return Err(HttpError::Closed),
                Frame::Data { len } => self.unread = len,
            }
        }
    }

    /// Whether there is something in what has come that was not looked at.
    pub fn has_more(&self) -> bool {
        let is_read = match self.state {
            State::Idle => !self.is_owed(),
            State::Streaming { is_websocket } => is_websocket,
            State::Asked | State::Done => false,
        };
        is_read && !self.input.is_empty() && !self.is_part
    }

    /// Whether so much waits to be sent that no further request is answered before.
    fn is_owed(&self) -> bool {
        self.out.pending().len() > limits::HTTP_ANSWER_BYTES
    }

    /// Header fields for the answer to the request that was given last.
    pub fn set_fields(&mut self, fields: Vec<(&'static str, String)>) {
        self.asked.fields = fields;
    }

    /// The connection ends with the answer to the request that was given last.
    pub fn keep_no_longer(&mut self) {
        self.asked.keep_alive = false;
    }

    /// Answers the request that was given last.
    pub fn answer(&mut self, mut response: Response) {
        if self.state != State::Asked {
            return;
        }
        let asked = std::mem::take(&mut self.asked);
        response.fields.extend(asked.fields);
        response.write(self.out.writer(), asked.keep_alive, asked.head_only);
        self.state = if asked.keep_alive {
            State::Idle
        } else {
            State::Done
        };
        self.is_part = false;
        self.asked.user_agent = asked.user_agent;
    }

    /// The same, and there is nothing more to say.
    pub fn answer_last(&mut self, response: Response) {
        self.asked.keep_alive = false;
        self.answer(response);
    }

    /// Answers with an error, after which there is nothing more to say.
    pub fn refuse(&mut self, status: u16, why: &str) {
        if matches!(self.state, State::Idle | State::Asked) {
            self.state = State::Asked;
            self.answer_last(Response::text(status, why));
        }
    }

    /// Answers with a stream, whose bytes follow; `file_header` goes before them. True when only
    /// the head was asked for, so that none may follow.
    pub fn begin_stream(&mut self, file_header: &[u8]) -> bool {
        let mut asked = std::mem::take(&mut self.asked);
        let out = self.out.writer();
        let fields = asked.fields.iter();
        let fields: Vec<_> = fields
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        self.asked.user_agent = std::mem::take(&mut asked.user_agent);
        if let Some(head) = asked.websocket_head() {
            out.extend_from_slice(head.as_bytes());
            let (header, len) = websocket::frame_header(opcode::BINARY, file_header.len());
            out.extend_from_slice(&header[..len]);
            out.extend_from_slice(file_header);
            self.state = State::Streaming { is_websocket: true };
            // Frames may have come already.
            self.is_part = false;
            return false;
        }
        out.extend_from_slice(stream_head(&fields).as_bytes());
        if asked.head_only {
            self.state = State::Done;
            return true;
        }
        out.extend_from_slice(file_header);
        self.state = State::Streaming {
            is_websocket: false,
        };
        false
    }

    /// The stream ends, or the connection does. Over WebSocket the peer is told why, also one
    /// whose request was not answered yet: browsers do not show the status of a refusal. A plain
    /// request that was not answered is refused.
    pub fn end(&mut self, code: CloseCode, why: &str) {
        let is_websocket = self.is_websocket();
        match self.state {
            State::Asked if is_websocket => {
                let head = self.asked.websocket_head().unwrap_or_default();
                self.out.writer().extend_from_slice(head.as_bytes());
                websocket::write_close(self.out.writer(), code, why);
            }
            State::Asked => self.refuse(code.status(), why),
            State::Streaming { .. } if is_websocket => {
                websocket::write_close(self.out.writer(), code, why);
            }
            State::Idle | State::Streaming { .. } | State::Done => {}
        }
        self.state = State::Done;
    }

    /// Asks the peer for a sign of life, where there is a way to.
    pub fn ping(&mut self) {
        if self.state == (State::Streaming { is_websocket: true }) {
            websocket::write_control(self.out.writer(), opcode::PING, b"");
        }
    }

    /// What is to be sent.
    pub fn out(&mut self) -> &mut Outbox {
        &mut self.out
    }

    /// The bytes of it.
    pub fn pending(&self) -> &[u8] {
        self.out.pending()
    }

    /// Whether there was a whole request.
    pub fn was_asked(&self) -> bool {
        self.was_asked
    }

    /// Whether it waits for a request, and nothing of one has come.
    pub fn is_idle(&self) -> bool {
        self.state == State::Idle && self.input.is_empty()
    }

    /// Whether it waits for a request, or for the rest of one.
    pub fn is_waiting(&self) -> bool {
        self.state == State::Idle && self.out.pending().is_empty()
    }

    /// Whether a request was given that is not answered.
    pub fn is_asked(&self) -> bool {
        self.state == State::Asked
    }

    /// Whether the peer may say that it has no more to say and still be served.
    /// Over WebSocket it would have sent a close, RFC 6455 §7.1.1.
    pub fn may_half_close(&self) -> bool {
        let is_served = matches!(self.state, State::Asked | State::Streaming { .. });
        is_served && !self.is_websocket()
    }

    /// Whether all has been said, so that the connection is to be closed.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether media flows.
    pub fn is_streaming(&self) -> bool {
        matches!(self.state, State::Streaming { .. })
    }

    /// Whether the request asks for WebSocket, or that is spoken by now.
    pub fn is_websocket(&self) -> bool {
        self.asked.websocket_key.is_some() || self.state == State::Streaming { is_websocket: true }
    }

    /// User-Agent of the last request.
    pub fn user_agent(&self) -> &str {
        &self.asked.user_agent
    }

    /// Bytes of memory it holds.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.input.capacity() + self.out.memory_bytes()
    }

    /// Bytes of what the peer has sent and nobody has taken yet.
    pub fn input_bytes(&self) -> usize {
        self.input.capacity()
    }

    /// Drops that: nothing more will be read.
    pub fn drop_input(&mut self) {
        self.input = Vec::new();
    }

    /// Gives memory back that is not needed now.
    pub fn release_spare(&mut self) {
        self.input.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests;
