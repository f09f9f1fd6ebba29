//! The protocol's side of a connection. Most speak RTMP as clients of ours, some as servers that
//! we have connected to ourselves, and some HTTP.
//!
//! Players and publishers are served the same whatever is spoken; what one has no word for is
//! left out. A server hears of the end of what we publish to it or play from it as it would from
//! any encoder or player.

use std::fmt;
use std::time::Duration;

use super::close_reason::CloseReason;
use crate::edge::hops;
use crate::http;
use crate::http::session::HttpSession;
use crate::http::websocket::CloseCode;
use crate::rtmp::client::{ClientEvent, ClientSession};
use crate::rtmp::command::Status;
use crate::rtmp::control::UserControl;
use crate::rtmp::message::{Message, MessageStreamId};
use crate::rtmp::server::{Event, Request, ServerSession};
use crate::rtmp::{ControlLayer, Outbox};
use crate::stream::flv::Framing;

/// See the module text.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are of the large kind, which one more allocation each would slow"
)]
pub(super) enum Session {
    /// The peer is a client.
    Server(ServerSession),
    /// The peer is a server. Boxed: there are few of them.
    Client(Box<ClientSession>),
    /// The peer speaks HTTP. Boxed: it needs little.
    Http(Box<HttpSession>),
}

/// In what form messages are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As players get them.
    Play,
    /// As servers get them from encoders, metadata in `@setDataFrame`.
    Publish,
    /// As tags, by HTTP.
    Flv(Framing),
}

/// What a peer sends.
pub(super) enum Incoming<'a> {
    /// Audio, video or data of a stream that comes in.
    Media(Message<'a>),
    /// A client asks for something.
    Request(Request),
    /// A server answers.
    Answer(Answer),
    /// Somebody asks by HTTP.
    Http(Box<http::request::Request>),
}

/// What a server says, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// connect or createStream was refused.
    Refused {
        /// Code and words.
        why: String,
        /// The URL that it redirects to.
        redirect: Option<String>,
        /// The relays form a loop.
        is_loop: bool,
    },
    /// A status of the stream that was asked for.
    Status {
        /// Whether its level is `error`.
        is_error: bool,
        /// What the code says, if it is one of those known.
        status: Option<Status>,
        /// The code, such as `NetStream.Play.Start`.
        code: String,
        /// The words.
        description: String,
        /// The URL that it redirects to.
        redirect: Option<String>,
    },
    /// What is played has no publisher any more (StreamEOF, RTMP 1.0 §7.1.7).
    Ended,
    /// Nothing that has to be acted on.
    Other,
}

/// Calls the same method whatever is spoken; what is said of HTTP alone comes last.
macro_rules! either {
    ($session:expr, $inner:ident => $call:expr) => {
        either!($session, $inner => $call, $inner => $call)
    };
    ($session:expr, $inner:ident => $call:expr, $http:pat => $other:expr) => {
        match $session {
            Session::Server($inner) => $call,
            Session::Client($inner) => $call,
            Session::Http($http) => $other,
        }
    };
}

impl Session {
    /// See [`ServerSession::set_now`].
    pub(super) fn set_now(&mut self, now: Duration) {
        either!(self, inner => inner.set_now(now));
    }

    /// So much of the input was parsed; what is incomplete is kept. See
    /// [`ControlLayer::end_input`].
    pub(super) fn end_input(&mut self, input: &[u8], count: usize) -> Result<(), CloseReason> {
        match self.rtmp_mut() {
            Some(layer) => layer.end_input(input, count).map_err(CloseReason::Protocol),
            None => Ok(()),
        }
    }

    /// The next thing the peer sends in `input` from `*at` on; see [`ServerSession::next`].
    pub(super) fn next<'a>(
        &'a mut self,
        input: &'a [u8],
        at: &mut usize,
    ) -> Result<Option<Incoming<'a>>, CloseReason> {
        match self {
            Self::Server(server) => match server.next(input, at) {
                Ok(event) => Ok(event.map(|event| match event {
                    Event::Media(message) => Incoming::Media(message),
                    Event::Request(request) => Incoming::Request(request),
                })),
                Err(error) => Err(CloseReason::Protocol(error)),
            },
            Self::Client(client) => {
                let own = client.msid();
                match client.next(input, at) {
                    Ok(event) => Ok(event.map(|event| match event {
                        ClientEvent::Media(mut message) => {
                            // There is one stream on the connection, whatever it is said to be:
                            // ffmpeg as a listener, xiu and livego send it on message stream 0.
                            message.header.msid = own.unwrap_or(message.header.msid);
                            Incoming::Media(message)
                        }
                        other => Incoming::Answer(answer(other)),
                    })),
                    Err(error) => Err(CloseReason::Protocol(error)),
                }
            }
            Self::Http(http) => match http.next(input, at) {
                Ok(request) => Ok(request.map(|request| Incoming::Http(Box::new(request)))),
                Err(error) => Err(error.into()),
            },
        }
    }

    pub(super) fn has_more(&self) -> bool {
        either!(self, inner => inner.has_more())
    }

    pub(super) fn out(&mut self) -> &mut Outbox {
        either!(self, inner => inner.out())
    }

    pub(super) fn pending(&self) -> &[u8] {
        either!(self, inner => inner.pending())
    }

    /// Whether the peer has said enough to be known as one that speaks the protocol.
    pub(super) fn is_handshaken(&self) -> bool {
        either!(self, inner => inner.is_handshaken(), http => http.was_asked())
    }

    pub(super) fn memory_bytes(&self) -> usize {
        either!(self, inner => inner.memory_bytes())
    }

    /// Bytes of what the peer has sent and nobody has taken yet.
    pub(super) fn input_bytes(&self) -> usize {
        either!(self, inner => inner.input_bytes())
    }

    /// Drops that: nothing more will be read.
    pub(super) fn drop_input(&mut self) {
        either!(self, inner => inner.drop_input());
    }

    pub(super) fn release_spare(&mut self) {
        either!(self, inner => inner.release_spare());
    }

    pub(super) fn out_chunk_size(&self) -> usize {
        either!(self, inner => inner.out_chunk_size(), _ => usize::MAX)
    }

    pub(super) fn send_user_control(&mut self, event: UserControl) {
        either!(self, inner => inner.send_user_control(event), _ => {});
    }

    /// What RTMP has in both roles; None when HTTP is spoken.
    pub(super) fn rtmp(&self) -> Option<&ControlLayer> {
        either!(self, inner => Some(inner), _ => None)
    }

    /// The same, to be changed.
    pub(super) fn rtmp_mut(&mut self) -> Option<&mut ControlLayer> {
        either!(self, inner => Some(inner), _ => None)
    }

    /// The session with a client; None when the peer is a server.
    pub(super) fn server(&mut self) -> Option<&mut ServerSession> {
        match self {
            Self::Server(server) => Some(server),
            Self::Client(_) | Self::Http(_) => None,
        }
    }

    /// The session with a server; None when the peer is a client.
    pub(super) fn client(&mut self) -> Option<&mut ClientSession> {
        match self {
            Self::Client(client) => Some(client),
            Self::Server(_) | Self::Http(_) => None,
        }
    }

    /// What is spoken by HTTP; None when it is RTMP.
    pub(super) fn http(&mut self) -> Option<&mut HttpSession> {
        match self {
            Self::Http(http) => Some(http),
            Self::Server(_) | Self::Client(_) => None,
        }
    }

    /// In what form it plays.
    pub(super) fn form(&self) -> Form {
        match self {
            Self::Server(_) | Self::Client(_) => Form::Play,
            Self::Http(http) if http.is_websocket() => Form::Flv(Framing::WebSocket),
            Self::Http(_) => Form::Flv(Framing::Plain),
        }
    }

    /// Asks the peer for a sign of life; `time` is any.
    pub(super) fn ping(&mut self, time: u32) {
        let ping = UserControl::PingRequest(time);
        either!(self, inner => inner.send_user_control(ping), http => http.ping());
    }

    /// Tells a client about its message stream.
    pub(super) fn send_status(&mut self, msid: MessageStreamId, status: Status, description: &str) {
        if let Self::Server(server) = self {
            server.send_status(msid, status, description);
        }
    }

    /// A client may play.
    pub(super) fn accept_play(
        &mut self,
        msid: MessageStreamId,
        name: &dyn fmt::Display,
        reset: bool,
    ) {
        if let Self::Server(server) = self {
            server.accept_play(msid, name, reset);
        }
    }

    /// What is published or played on `msid` is refused or taken away.
    pub(super) fn reject(&mut self, msid: MessageStreamId, status: Status, description: &str) {
        match self {
            Self::Server(server) => server.reject(msid, status, description),
            Self::Client(client) => client.stop(),
            Self::Http(http) => http.end(close_code(status), description),
        }
    }

    /// Playing on `msid` ends because its stream is over.
    pub(super) fn end_play(&mut self, msid: MessageStreamId, description: &str) {
        match self {
            Self::Server(server) => server.end_play(msid, description),
            Self::Client(client) => client.stop(),
            Self::Http(http) => http.end(CloseCode::Normal, description),
        }
    }
}

/// What is said over WebSocket, and by a status of HTTP, where RTMP has this status.
fn close_code(status: Status) -> CloseCode {
    match status {
        Status::PlayStreamNotFound => CloseCode::NotFound,
        _ => CloseCode::TryAgain,
    }
}

/// Why a server refuses. Those that ask for a user and password say `authmod=` and how.
fn refusal(code: &str, description: &str) -> String {
    match description.contains("authmod=") {
        true => format!(
            "the server asks for a user and password (authmod), which the relay cannot send yet: \
             {description}"
        ),
        false => format!("{code} {description}"),
    }
}

fn answer(event: ClientEvent<'_>) -> Answer {
    match event {
        ClientEvent::Refused {
            code,
            description,
            redirect,
            ex_code,
        } => Answer::Refused {
            why: refusal(&code, &description),
            redirect,
            is_loop: ex_code == Some(hops::LOOP_CODE) || description.contains(hops::LOOP_WORDS),
        },
        ClientEvent::Status {
            level,
            status,
            code,
            description,
            redirect,
            ..
        } => Answer::Status {
            is_error: level == "error",
            status,
            code,
            description,
            redirect,
        },
        ClientEvent::Control(UserControl::StreamEof(_)) => Answer::Ended,
        ClientEvent::Connected { .. } | ClientEvent::Control(_) | ClientEvent::Media(_) => {
            Answer::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_told_by_its_code_or_by_the_words_of_old() {
        let is_loop = |ex_code, description: &str| {
            let event = ClientEvent::Refused {
                code: Status::ConnectRejected.code().to_owned(),
                description: description.to_owned(),
                redirect: None,
                ex_code,
            };
            matches!(answer(event), Answer::Refused { is_loop: true, .. })
        };
        assert!(is_loop(Some(508), "anything"));
        assert!(is_loop(None, "the relays form a loop"));
        assert!(!is_loop(Some(302), "elsewhere"));
        assert!(!is_loop(None, "too many relays in a row"));
    }
}
