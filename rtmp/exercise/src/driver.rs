//! Who drives a session: what a worker or an edge would do with requests and statuses, with a bit
//! for each decision.

use crate::script::Script;
use crate::told::Told;
use crate::{DEAF, DIGEST, LATE, PLAY};
use tailwater_rtmp::client::{Action, ClientEvent, ClientRequest, ClientSession};
use tailwater_rtmp::command::Status;
use tailwater_rtmp::control::UserControl;
use tailwater_rtmp::error::ProtocolError;
use tailwater_rtmp::handshake::Mode;
use tailwater_rtmp::limits;
use tailwater_rtmp::message::{MessageHeader, MessageStreamId, Payload, Timestamp, kind};
use tailwater_rtmp::server::{Event, Request, ServerSession, WireSettings};

const WIRE: WireSettings = WireSettings {
    chunk_size: 4_096,
    window_ack: 2_500_000,
};

/// Decides about requests by the bits of a byte, again and again.
pub(super) struct Verdicts {
    pub(super) bits: u8,
    pub(super) given: u32,
}

impl Verdicts {
    /// Yes for a bit that is not set.
    fn next(&mut self) -> bool {
        self.given += 1;
        self.bits.rotate_right(self.given - 1) & 1 == 0
    }
}

pub(super) struct Server {
    pub(super) session: ServerSession,
    verdicts: Verdicts,
    is_late: bool,
    /// Publishes and plays that wait for an answer.
    waiting: Vec<Request>,
    pub(super) held_max: usize,
    pub(super) closed: bool,
}

impl Server {
    pub(super) fn new(script: &Script<'_>) -> Self {
        Self {
            session: ServerSession::new(7),
            verdicts: script.verdicts(),
            is_late: script.flags & LATE != 0,
            waiting: Vec::new(),
            held_max: limits::UNAUTHORISED_PARTIAL_BYTES_MAX,
            closed: false,
        }
    }

    pub(super) fn next(
        &mut self,
        input: &[u8],
        at: &mut usize,
    ) -> Result<Option<Told>, ProtocolError> {
        let (told, request) = match self.session.next(input, at)? {
            None => return Ok(None),
            Some(Event::Media(message)) => (Told::message(&message), None),
            Some(Event::Request(request)) => (Told::Words(format!("{request:?}")), Some(request)),
        };
        if let Some(Request::Stop { msid } | Request::Play { msid, .. }) = request {
            // What has ended or was replaced is owed no answer.
            self.waiting.retain(|waiting| asked_on(waiting) != msid);
        }
        for waiting in core::mem::take(&mut self.waiting) {
            self.answer(waiting);
        }
        match request {
            Some(request @ (Request::Publish { .. } | Request::Play { .. })) if self.is_late => {
                self.waiting.push(request);
            }
            Some(request) => self.answer(request),
            None => {}
        }
        Ok(Some(told))
    }

    fn answer(&mut self, request: Request) {
        let yes = self.verdicts.next();
        let session = &mut self.session;
        match (request, yes) {
            (Request::Connect, true) => session.accept_connect(&WIRE),
            (Request::Connect, false) => {
                session.reject_connect("no such app");
                self.closed = true;
            }
            (Request::Publish { msid, name, .. }, true) => {
                session.accept_publish(msid, &name);
                self.held_max = limits::PARTIAL_BYTES_MAX;
            }
            (Request::Publish { msid, .. }, false) => {
                session.reject(msid, Status::PublishBadName, "it is live");
            }
            (Request::Play { msid, name, reset }, true) => {
                session.accept_play(msid, &name, reset);
            }
            (Request::Play { msid, .. }, false) => {
                session.reject(msid, Status::PlayStreamNotFound, "nobody there");
            }
            (Request::Switch { msid, name }, true) => {
                session.send_status(msid, Status::PlayTransition, &name.key());
            }
            (Request::Pause { msid, .. }, true) => {
                session.send_user_control(UserControl::StreamEof(msid));
                session.send_status(msid, Status::PauseNotify, "paused");
            }
            (Request::Seek { msid, .. }, true) => {
                session.send_status(msid, Status::SeekNotify, "as far back as there is");
            }
            (
                Request::Switch { msid, .. }
                | Request::Pause { msid, .. }
                | Request::Seek { msid, .. },
                false,
            ) => session.end_play(msid, "the stream is over"),
            (Request::Receive { .. } | Request::Stop { .. }, _) => {}
            (Request::Pong(_), true) => session.release_spare(),
            (Request::Pong(time), false) => {
                session.send_user_control(UserControl::PingRequest(time));
            }
        }
    }
}

/// The message stream of a publish or play.
fn asked_on(request: &Request) -> MessageStreamId {
    match request {
        Request::Publish { msid, .. } | Request::Play { msid, .. } => *msid,
        _ => MessageStreamId::CONTROL,
    }
}

pub(super) struct Client {
    pub(super) session: ClientSession,
    verdicts: Verdicts,
    /// The server takes what it is sent, so media may follow when it may.
    sends_media: bool,
}

impl Client {
    pub(super) fn new(script: &Script<'_>) -> Self {
        let has = |flag| script.flags & flag != 0;
        let request = ClientRequest {
            app: "live".to_owned(),
            tc_url: "rtmp://localhost/live".to_owned(),
            stream: "cam?key=1".to_owned(),
            action: if has(PLAY) {
                Action::Play
            } else {
                Action::Publish
            },
            handshake: if has(DIGEST) {
                Mode::Digest
            } else {
                Mode::Plain
            },
            chunk_size: 4_096,
            ..ClientRequest::default()
        };
        Self {
            session: ClientSession::new(request, 3),
            verdicts: script.verdicts(),
            sends_media: !has(DEAF) && !has(PLAY),
        }
    }

    pub(super) fn next(
        &mut self,
        input: &[u8],
        at: &mut usize,
    ) -> Result<Option<Told>, ProtocolError> {
        let told = match self.session.next(input, at)? {
            None => return Ok(None),
            Some(ClientEvent::Media(message)) => Told::message(&message),
            Some(event) => Told::Words(format!("{event:?}")),
        };
        let may_send = matches!(&told, Told::Words(words) if words.contains("Publish.Start"));
        if may_send && self.sends_media && self.verdicts.next() {
            let body = b"\xAF\x01sound";
            let header = MessageHeader {
                csid: 4,
                timestamp: Timestamp(0x0100_0000),
                kind: kind::AUDIO,
                msid: self.session.msid().unwrap_or(MessageStreamId(1)),
                len: body.len(),
            };
            self.session.send_media(&header, &Payload::from_slice(body));
        }
        Ok(Some(told))
    }
}
