//! Why connections end. One row is one reason: what it means, its code, what follows from it, and
//! what the log and the peer are told. The counts and the table in README.md (`tests/tables.rs`)
//! are made of the rows; the comment of a row is what that table says.

use std::sync::Arc;
use std::{fmt, io};

use log::Level;

use crate::http::HttpError;
use crate::http::websocket::CloseCode;
use crate::limits::{self, TLS_WORDS_CHARS};
use crate::net::proxy::ProxyError;
use crate::rtmp::error::ProtocolError;

/// What follows from a reason.
#[derive(Clone, Copy, Debug)]
struct Effect {
    /// How loud it is for a connection that has not published.
    level: Level,
    /// The peer is to blame: it broke the protocol or a limit, or let a deadline pass.
    is_violation: bool,
    /// The peer is there to be told anything.
    peer_listens: bool,
    /// What a peer over WebSocket is told.
    close_code: CloseCode,
}

/// What the relay decides.
const POLICY: Effect = Effect {
    level: Level::Debug,
    is_violation: false,
    peer_listens: true,
    close_code: CloseCode::Policy,
};

/// What was wanted is over.
const OVER: Effect = Effect {
    close_code: CloseCode::Normal,
    ..POLICY
};

/// The peer is no longer there.
const GONE: Effect = Effect {
    peer_listens: false,
    ..POLICY
};

/// A violation that scanners, load balancers and thousands of players commit every day.
const EVERYDAY: Effect = Effect {
    is_violation: true,
    ..POLICY
};

/// The same of a peer that cannot be told anything.
const EVERYDAY_GONE: Effect = Effect {
    is_violation: true,
    ..GONE
};

/// A violation of HTTP.
const HTTP: Effect = Effect {
    close_code: CloseCode::Protocol,
    ..EVERYDAY
};

/// A violation that an operator looks for.
const VIOLATION: Effect = Effect {
    level: Level::Info,
    ..EVERYDAY
};

/// Declares the reasons.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident $(($inner:ident: $of:ty))?
        => $code:literal, $effect:expr, $words:literal;)+) => {
        /// Why a connection ended.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum CloseReason {
            $($(#[doc = $doc])+ $name $(($of))?,)+
            /// The peer broke the rules of RTMP, which has rows of its own.
            Protocol(ProtocolError),
        }

        /// Each code with what it means, but for those of RTMP.
        const CODES: [(&str, &str); EFFECTS.len()] = [$(($code, concat!($($doc),+))),+];

        /// What follows from each of them.
        const EFFECTS: &[Effect] = &[$($effect),+];

        impl CloseReason {
            /// The place of its code in [`codes`].
            fn index(&self) -> usize {
                enum Row { $($name),+ }
                let row = match self {
                    $(Self::$name { .. } => Row::$name,)+
                    Self::Protocol(error) => return CODES.len() + error.index(),
                };
                row as usize
            }
        }

        impl fmt::Display for CloseReason {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$name $(($inner))? => write!(f, $words),)+
                    Self::Protocol(error) => error.fmt(f),
                }
            }
        }
    };
}

reasons! {
    /// The peer closed the connection.
    PeerClosed => "peer_closed", GONE, "closed by the peer";
    /// The socket failed: reset, or timed out in the kernel.
    Io(kind: io::ErrorKind) => "io", GONE, "{kind}";
    /// TLS failed, or what came to its port is something else; `why` says what.
    Tls(words: Arc<str>) => "tls", EVERYDAY_GONE, "{words}";
    /// A peer in `--proxy-protocol` did not begin with a PROXY header, or with one that makes no
    /// sense.
    Proxy(error: ProxyError) =>
        "proxy_header", Effect { level: Level::Info, ..EVERYDAY_GONE }, "{error}";
    /// No handshake within `--handshake-timeout`.
    HandshakeTimeout => "handshake_timeout", EVERYDAY, "no handshake in time";
    /// Nothing published or played within `--setup-timeout`.
    SetupTimeout => "setup_timeout", EVERYDAY, "nothing published or played in time";
    /// The publisher sent nothing for `--publish-idle`.
    PublishIdle => "publish_idle", VIOLATION, "the publisher went silent";
    /// The publisher sent something, but no audio and no video for 60 s.
    MediaIdle => "media_idle", VIOLATION, "no audio and no video in time";
    /// The player took nothing for `--send-timeout`.
    SendTimeout => "send_timeout", EVERYDAY_GONE, "the player takes nothing";
    /// The player took less than 64 KiB in 30 s, or in a longer `--send-timeout`, while data waited
    /// all the time.
    TooSlow => "too_slow", EVERYDAY_GONE, "the player takes next to nothing";
    /// The player jumped ahead more than `--skips-max` times in 30 s.
    Skips => "too_many_skips", Effect { close_code: CloseCode::TryAgain, ..EVERYDAY },
        "the player cannot keep up";
    /// The player took nothing, and what was kept for players of its stream like that was more than
    /// 8 MiB; those that stalled first are closed.
    Stalled => "stalled", EVERYDAY, "the player takes nothing and keeps too much";
    /// The publisher sent more of a stream than `--publish-bitrate-max` over 10 s.
    Bitrate => "publish_bitrate", VIOLATION, "the publisher sends more than it may";
    /// Memory is short, and the connection was among those that hold the most, or kept input
    /// without publishing.
    Overload => "overload",
        Effect { level: Level::Info, close_code: CloseCode::TryAgain, ..POLICY },
        "the relay is short of memory";
    /// The relay panicked while it served this connection; everybody else is served on, but for the
    /// players of a stream that it was publishing.
    Bug(words: Arc<str>) => "bug",
        Effect { level: Level::Error, close_code: CloseCode::Internal, ..GONE },
        "a defect of the relay: {words}";
    /// Another server did not answer, or sent no media, for `--pull-timeout`.
    ServerTimeout => "server_timeout", EVERYDAY, "the server says or sends nothing";
    /// Another server refused what was asked of it, or took it back; `why` has its words.
    Refused(why: Arc<str>) => "refused_by_server", POLICY, "the server refuses: {why}";
    /// Nobody needs this connection to another server any more.
    Released => "released", OVER, "nobody needs it any more";
    /// The relay said no: the name is in use, no such stream, no such app.
    Rejected(why: &'static str) => "rejected", POLICY, "{why}";
    /// Another publisher took the stream over.
    TakenOver(name: Arc<str>) => "taken_over", POLICY, "another publisher took {name} over";
    /// The stream is over.
    StreamEnded => "stream_ended", OVER, "the stream is over";
    /// The relay stops.
    Shutdown => "shutdown", Effect { close_code: CloseCode::GoingAway, ..POLICY },
        "the relay stops";
    /// All that was asked for by HTTP has been answered.
    Answered => "answered", OVER, "all has been answered";
    /// By HTTP: nothing was played within `--setup-timeout`, or a connection that waited for a
    /// request gave way to another.
    Idle => "idle", OVER, "no further request";
    /// On a port of HTTP: TLS or RTMP.
    HttpProtocol(seen: &'static str) => "wrong_protocol", HTTP, "{seen} on the http port";
    /// A request that is none, is too long or has a body; `why` says what.
    HttpRequest(what: &'static str) => "http_request", HTTP, "bad request: {what}";
    /// Requests or WebSocket frames come faster than they are answered.
    HttpRate => "http_rate", HTTP, "requests faster than they are answered";
    /// Too much came while a request was being answered.
    HttpSurplus => "http_surplus", HTTP, "bytes while a request is being answered";
    /// A WebSocket frame that clients may not send.
    WebSocketFrame(what: &'static str) => "websocket_frame", HTTP, "bad WebSocket frame: {what}";
    /// The peer closed its WebSocket.
    WebSocketClosed => "websocket_closed", Effect { is_violation: false, ..HTTP },
        "closed by the peer";
    /// The operator ended it.
    Kicked => "kicked", Effect { level: Level::Info, ..POLICY }, "the operator ended it";
}

/// Each code that a connection can end with, and what it means.
pub fn codes() -> impl Iterator<Item = (&'static str, &'static str)> {
    CODES.iter().chain(ProtocolError::CODES).copied()
}

impl CloseReason {
    /// Another server refuses what was asked of it, and says `why`, of which as much is kept as a
    /// log line has room for.
    pub(super) fn refused(why: &str) -> Self {
        let why: String = why.trim().chars().take(200).collect();
        Self::Refused(why.into())
    }

    /// Why a connection ends whose socket gave this error.
    pub(super) fn of_socket(error: &io::Error) -> Self {
        match error.get_ref() {
            // Only TLS says this, and with words.
            Some(words) if error.kind() == io::ErrorKind::InvalidData => {
                // It may list all names that a peer's certificate has.
                let words: String = words.to_string().chars().take(TLS_WORDS_CHARS).collect();
                Self::Tls(words.into())
            }
            _ => Self::Io(error.kind()),
        }
    }

    /// The metric label and log key of this reason; stable.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Protocol(error) => error.code(),
            _ => CODES[self.index()].0,
        }
    }

    fn effect(&self) -> Effect {
        let close_code = CloseCode::Protocol;
        match self {
            Self::Protocol(ProtocolError::Version { .. } | ProtocolError::WrongProtocol { .. }) => {
                Effect {
                    close_code,
                    ..EVERYDAY
                }
            }
            Self::Protocol(_) => Effect {
                close_code,
                ..VIOLATION
            },
            _ => EFFECTS[self.index()],
        }
    }

    /// What a peer over WebSocket is told.
    pub(super) fn close_code(&self) -> CloseCode {
        self.effect().close_code
    }

    /// Whether the peer is there to be told anything.
    pub(super) fn peer_listens(&self) -> bool {
        self.effect().peer_listens
    }

    /// Whether the peer is to blame: it broke the protocol or a limit, or let a deadline pass.
    pub(super) fn is_violation(&self) -> bool {
        self.effect().is_violation
    }

    /// Bytes that are read of the connection while its peer may still read why it ends.
    pub(super) fn read_off_bytes(&self) -> u32 {
        if self.is_violation() || matches!(self, Self::Refused(_) | Self::Released) {
            limits::READ_OFF_VIOLATOR_BYTES
        } else {
            limits::READ_OFF_BYTES
        }
    }

    /// How loud the end of a connection is. A publisher's end is what an operator looks for.
    pub(super) fn level(&self, has_published: bool) -> Level {
        let level = self.effect().level;
        if has_published {
            level.min(Level::Info)
        } else {
            level
        }
    }
}

impl From<HttpError> for CloseReason {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::WrongProtocol { seen } => Self::HttpProtocol(seen),
            HttpError::Request(what) => Self::HttpRequest(what),
            HttpError::Frame(what) => Self::WebSocketFrame(what),
            HttpError::Rate => Self::HttpRate,
            HttpError::Surplus => Self::HttpSurplus,
            HttpError::Closed => Self::WebSocketClosed,
        }
    }
}

/// How often connections ended for each reason.
#[derive(Clone, Debug)]
pub(super) struct Closes([u64; CODES.len() + ProtocolError::CODES.len()]);

impl Closes {
    pub(super) fn new() -> Self {
        Self([0; _])
    }

    pub(super) fn count(&mut self, reason: &CloseReason) {
        self.0[reason.index()] += 1;
    }

    /// Each code with its count.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        codes().map(|(code, _)| code).zip(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_counted_under_its_code() {
        for reason in [
            CloseReason::PeerClosed,
            CloseReason::Kicked,
            CloseReason::Protocol(ProtocolError::Version { got: 6 }),
            CloseReason::Protocol(ProtocolError::Aggregate),
            CloseReason::Protocol(ProtocolError::StalePartial),
            CloseReason::Answered,
            CloseReason::Idle,
            HttpError::WrongProtocol { seen: "tls" }.into(),
            HttpError::Request("any").into(),
            HttpError::Frame("any").into(),
            HttpError::Rate.into(),
            HttpError::Surplus.into(),
            HttpError::Closed.into(),
        ] {
            let mut closes = Closes::new();
            closes.count(&reason);
            let counted: Vec<_> = closes.iter().filter(|(_, count)| *count > 0).collect();
            assert_eq!(counted, [(reason.code(), 1)]);
        }
    }

    #[test]
    fn no_code_means_two_things() {
        let mut codes: Vec<&str> = codes().map(|(code, _)| code).collect();
        assert_eq!(codes.len(), 53);
        codes.sort_unstable();
        codes.dedup();
        // One for RTMP and one for HTTP.
        assert_eq!(codes.len(), 52, "wrong_protocol alone is there twice");
    }

    #[test]
    fn the_end_of_a_publisher_is_logged_louder() {
        let levels = |reason: CloseReason| [false, true].map(|published| reason.level(published));
        assert_eq!(levels(CloseReason::PeerClosed), [Level::Debug, Level::Info]);
        assert_eq!(levels(CloseReason::Bitrate), [Level::Info; 2]);
        assert_eq!(levels(CloseReason::Bug("any".into())), [Level::Error; 2]);
        let version = CloseReason::Protocol(ProtocolError::Version { got: 6 });
        assert_eq!(levels(version), [Level::Debug, Level::Info]);
        let aggregate = CloseReason::Protocol(ProtocolError::Aggregate);
        assert_eq!(levels(aggregate), [Level::Info; 2]);
    }
}
