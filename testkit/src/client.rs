//! A client of RTMP that does what a test says, without sockets and clocks: the session of the
//! protocol, which shakes hands, connects and publishes or plays by itself, and anything else on
//! top of it. Whoever drives it moves its bytes.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use tailwater_rtmp::client::{Action, ClientEvent, ClientRequest, ClientSession};
use tailwater_rtmp::control::{Control, UserControl};
use tailwater_rtmp::message::{Message, Payload};

use crate::media::Media;

/// Asks to publish or play `stream` of `app`, with a plain handshake and chunks of 4,096 bytes.
pub fn request(action: Action, app: &str, stream: &str) -> ClientRequest {
    ClientRequest {
        app: app.to_owned(),
        tc_url: format!("rtmp://relay/{app}"),
        stream: stream.to_owned(),
        action,
        ..ClientRequest::default()
    }
}

/// Reads all of `input` at `now`, and gives `take` what the server answers or sends.
///
/// # Errors
/// The server broke the protocol, or `take` has failed.
pub fn read(
    session: &mut ClientSession,
    now: Duration,
    input: &[u8],
    mut take: impl FnMut(ClientEvent<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let broken = |error| format!("the server broke the protocol: {error}");
    session.set_now(now);
    let mut at = 0;
    while let Some(event) = session.next(input, &mut at).map_err(broken)? {
        take(event)?;
    }
    debug_assert_eq!(at, input.len(), "everything is read");
    session.end_input(input, at).map_err(broken)
}

/// See the module text. It dereferences to its session.
#[derive(Debug)]
pub struct Client {
    session: ClientSession,
    pings: u32,
}

impl Deref for Client {
    type Target = ClientSession;

    fn deref(&self) -> &ClientSession {
        &self.session
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut ClientSession {
        &mut self.session
    }
}

impl Client {
    /// A client whose first bytes wait to be sent. `seed` fills the random part of the handshake.
    pub fn new(request: ClientRequest, seed: u64) -> Self {
        Self {
            session: ClientSession::new(request, seed),
            pings: 0,
        }
    }

    /// Reads all of `input`, see [`read`].
    ///
    /// # Errors
    /// The server broke the protocol, or `take` has failed.
    pub fn read(
        &mut self,
        now: Duration,
        input: &[u8],
        take: impl FnMut(ClientEvent<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        read(&mut self.session, now, input, take)
    }

    /// Gives `write` what waits to be sent, which takes what it can and says how much that was;
    /// how much.
    pub fn write(&mut self, write: impl FnOnce(&[u8]) -> usize) -> usize {
        let out = self.session.out();
        let sent = write(out.pending());
        out.advance(sent);
        sent
    }

    /// Sends a media message on message stream `msid`.
    pub fn send(&mut self, msid: u32, media: &Media) {
        let payload = Payload::from_slice(&media.payload);
        self.session.send_media(&media.header(msid), &payload);
    }

    /// Asks for an answer with this number, which comes when all before it has been read.
    pub fn ping(&mut self) -> u32 {
        self.pings += 1;
        Control::User(UserControl::PingRequest(self.pings)).encode(self.session.out().writer());
        self.pings
    }
}

/// Something the relay sent, or that it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
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
    pub fn status(code: &str) -> Self {
        Self::Status(1, code.to_owned())
    }

    /// The message, if it is one.
    pub fn media(&self) -> Option<&Media> {
        match self {
            Self::Media(media) => Some(media),
            _ => None,
        }
    }

    /// What an event is.
    pub fn of(event: ClientEvent<'_>) -> Self {
        match event {
            ClientEvent::Connected { .. } => Self::Connected,
            ClientEvent::Refused { code, .. } => Self::Refused(code),
            ClientEvent::Status { msid, code, .. } => Self::Status(msid.0, code),
            ClientEvent::Control(event) => Self::Control(event),
            ClientEvent::Media(Message { header, payload }) => Self::Media(Media {
                kind: header.kind,
                time: header.timestamp.0,
                msid: header.msid.0,
                payload: payload.to_vec(),
            }),
        }
    }
}

/// The media among `seen`.
pub fn media_of(seen: &[Seen]) -> Vec<Media> {
    seen.iter().filter_map(Seen::media).cloned().collect()
}

/// What is not media among `seen`.
pub fn signals_of(seen: &[Seen]) -> Vec<Seen> {
    seen.iter()
        .filter(|seen| seen.media().is_none())
        .cloned()
        .collect()
}
