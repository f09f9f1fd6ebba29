//! What a hostile origin does, on one connection: it says that it is there and has nothing, or
//! sends media that the protocol or a publisher's clock does not explain. Its media is written down
//! like that of publishers, so that whoever gets it is judged by the same rules.

use std::time::Duration;

use tailwater_testkit::script::encode;

use super::super::truth::{Draft, NUMBER_BYTES, Need, Truth};
use crate::edge::hops::RELAY_KEY;
use crate::rtmp::amf0::Encoder as Amf;
use crate::rtmp::command::Status;
use crate::rtmp::control::UserControl;
use crate::rtmp::message::{MessageStreamId, kind};
use crate::rtmp::server::{Request, ServerSession, WireSettings};

/// What an origin does with whoever plays there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    /// Accepts the connection and says nothing more.
    Silent,
    /// Accepts play and answers pings.
    Pings,
    /// The same with StreamBegin each second.
    Begins,
    /// The same with a status each second.
    Statuses,
    /// The same with metadata each second.
    Metadata,
    /// Sends media for some seconds, then answers pings.
    Stops,
    /// Sends metadata and codec headers ahead of Play.Start, then media.
    HeadersFirst,
    /// Sends media without Play.Start.
    NoStart,
    /// Asks to reconnect, to this URL if there is one, and sends media meanwhile.
    Reconnect(Option<&'static str>),
    /// The same without media.
    ReconnectOnly(Option<&'static str>),
    /// Asks to reconnect again and again, and sends media meanwhile.
    Reconnects(&'static str),
    /// Says each second that the stream has ended.
    Ends,
    /// Sends codec headers and no media, another each time.
    Headers,
    /// Redirects connect to this URL.
    RedirectConnect(&'static str),
    /// Redirects play to this URL.
    RedirectPlay(&'static str),
    /// Closes as soon as somebody connects.
    Closes,
    /// Goes over to another publisher, with another clock, within the connection: with StreamEOF
    /// and StreamBegin or without.
    NewClock { is_told: bool },
}

/// A host that no rule names.
pub(super) const FORBIDDEN: &str = "f9";

/// Where redirects lead to: an honest origin, hostile ones, and where they may not.
const URLS: [&str; 10] = [
    "rtmp://r1/live",
    "rtmp://r1/live",
    "rtmp://f0/live",
    "rtmp://f1/live",
    "rtmp://f9/live",
    "http://r1/live",
    // Back, with another app each time.
    "a/b",
    "",
    "//f0",
    "rtmp://r1:1/live",
];

impl Script {
    /// Any of them.
    pub(super) fn draw(rng: &mut super::super::rng::Rng) -> Self {
        let url = rng.pick(&URLS);
        let maybe = rng.pick(&[None, Some(url), Some(url)]);
        rng.pick(&[
            Self::Silent,
            Self::Pings,
            Self::Begins,
            Self::Statuses,
            Self::Metadata,
            Self::Stops,
            Self::HeadersFirst,
            Self::NoStart,
            Self::Reconnect(maybe),
            Self::ReconnectOnly(maybe),
            Self::Reconnects(url),
            Self::Ends,
            Self::Headers,
            Self::RedirectConnect(url),
            Self::RedirectPlay(url),
            Self::Closes,
            Self::NewClock { is_told: true },
            Self::NewClock { is_told: false },
        ])
    }

    fn sends_media(self) -> bool {
        matches!(
            self,
            Self::Stops
                | Self::HeadersFirst
                | Self::NoStart
                | Self::Reconnect(_)
                | Self::Reconnects(_)
                | Self::NewClock { .. }
        )
    }
}

/// How long it goes on before it does what is odd.
const AT_FIRST: Duration = Duration::from_secs(3);
/// Between two frames.
const FRAME: Duration = Duration::from_millis(80);
const SECOND: Duration = Duration::from_secs(1);

/// One connection to it.
pub(super) struct Actor {
    script: Script,
    /// The message stream, and when it was played.
    played: Option<(MessageStreamId, Duration)>,
    /// When it says something again.
    next: Duration,
    reel: Option<Reel>,
    /// It has done what is odd.
    is_turned: bool,
}

impl Actor {
    pub(super) fn new(script: Script) -> Self {
        Self {
            script,
            played: None,
            next: Duration::ZERO,
            reel: None,
            is_turned: false,
        }
    }

    /// Answers what it is asked at `time`.
    pub(super) fn answer(
        &mut self,
        session: &mut ServerSession,
        truth: &mut Truth,
        request: Request,
        time: Duration,
    ) -> Result<(), String> {
        match (request, self.script) {
            (Request::Connect, Script::RedirectConnect(to)) => {
                refuse(session, MessageStreamId::CONTROL, to);
            }
            (Request::Connect, _) => {
                let settings = WireSettings {
                    chunk_size: 4_096,
                    window_ack: 1 << 20,
                };
                session.accept_connect_with(&settings, |properties| {
                    properties.boolean_property(RELAY_KEY, true);
                });
            }
            (Request::Play { .. }, Script::Silent) => {}
            (Request::Play { msid, .. }, Script::RedirectPlay(to)) => refuse(session, msid, to),
            (Request::Play { msid, name, reset }, script) => {
                let name = name.key();
                // A redirect has led to another app.
                let Some(stream) = truth.line(&name) else {
                    session.reject(msid, Status::PlayStreamNotFound, "no");
                    return Ok(());
                };
                self.played = Some((msid, time));
                self.next = time;
                if script.sends_media() {
                    self.reel = Some(Reel::new(stream, 600_000));
                }
                if let (Script::HeadersFirst, Some(reel)) = (script, &mut self.reel) {
                    for _ in 0..Reel::HEADERS {
                        reel.send(session, truth, msid);
                    }
                }
                if script != Script::NoStart {
                    session.accept_play(msid, &name, reset);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Says what it says of itself at `time`; false when it closes.
    pub(super) fn act(
        &mut self,
        session: &mut ServerSession,
        truth: &mut Truth,
        time: Duration,
    ) -> bool {
        if self.script == Script::Closes {
            return false;
        }
        let Some((msid, since)) = self.played else {
            return true;
        };
        if time >= since + AT_FIRST && !self.is_turned {
            self.is_turned = true;
            self.turn(session, msid);
        }
        while self.next <= time {
            let wait = self.say(session, truth, msid);
            self.next += wait;
        }
        true
    }

    /// Says one thing; how long until the next.
    fn say(
        &mut self,
        session: &mut ServerSession,
        truth: &mut Truth,
        msid: MessageStreamId,
    ) -> Duration {
        if let Some(reel) = &mut self.reel {
            reel.send(session, truth, msid);
            if let Script::Reconnects(to) = self.script
                && reel.sent % 8 == 7
            {
                session.request_reconnect(Some(to), "the relay stops");
            }
            return FRAME;
        }
        match self.script {
            Script::Ends => session.send_user_control(UserControl::StreamEof(msid)),
            Script::Headers => {
                let [.., high, low] = self.next.as_secs().to_be_bytes();
                let body = [0x17, 0, 0, 0, 0, high, low];
                send(session, (kind::VIDEO, msid.0), 0, &body);
            }
            Script::Begins => session.send_user_control(UserControl::StreamBegin(msid)),
            Script::Statuses => status(session, msid, |amf| {
                amf.string_property("code", "NetStream.Data.Start");
            }),
            Script::Metadata => {
                let mut body = Vec::new();
                let amf = &mut Amf::new(&mut body);
                let now = self.next.as_secs_f64();
                amf.string("onMetaData").begin_object();
                amf.number_property("width", now).end_object();
                send(session, (kind::DATA, msid.0), 0, &body);
            }
            Script::Stops | Script::Pings => session.send_user_control(UserControl::PingRequest(1)),
            _ => {}
        }
        SECOND
    }

    fn turn(&mut self, session: &mut ServerSession, msid: MessageStreamId) {
        match self.script {
            Script::Stops => self.reel = None,
            Script::Reconnect(to) | Script::ReconnectOnly(to) => {
                session.request_reconnect(to, "the relay stops");
            }
            Script::NewClock { is_told } => {
                if is_told {
                    session.send_user_control(UserControl::StreamEof(msid));
                    session.send_user_control(UserControl::StreamBegin(msid));
                }
                self.reel = self.reel.take().map(|reel| Reel {
                    is_unsteady: !is_told,
                    ..Reel::new(reel.stream, 0)
                });
            }
            _ => {}
        }
    }
}

/// What one publisher of a hostile origin sends: headers, then pictures and sound.
struct Reel {
    stream: usize,
    publication: Option<usize>,
    time: u32,
    sent: usize,
    /// Nobody is told that its clock is another than that of the publisher before.
    is_unsteady: bool,
}

impl Reel {
    /// Messages ahead of the first frame.
    const HEADERS: usize = 3;
    /// From one key frame to the next.
    const GROUP: usize = 16;

    fn new(stream: usize, time: u32) -> Self {
        Self {
            stream,
            publication: None,
            time,
            sent: 0,
            is_unsteady: false,
        }
    }

    fn send(&mut self, session: &mut ServerSession, truth: &mut Truth, msid: MessageStreamId) {
        let publication = *self.publication.get_or_insert_with(|| {
            let publication = truth.open();
            let number = u32::try_from(publication).unwrap();
            truth.lines[self.stream].order.push(number);
            truth.publications[publication].is_unsteady = self.is_unsteady;
            publication
        });
        let frame = self.sent.checked_sub(Self::HEADERS);
        let is_key = frame.is_some_and(|frame| frame % Self::GROUP == 0);
        let (media, head, header) = match (self.sent, frame) {
            (0, _) => {
                let mut head = Vec::new();
                Amf::new(&mut head).string("onMetaData");
                (kind::DATA, head, Some(Need::Metadata))
            }
            (1, _) => (kind::VIDEO, vec![0x17, 0, 0, 0, 0], Some(Need::Video)),
            (2, _) => (kind::AUDIO, vec![0xAF, 0], Some(Need::Audio)),
            (_, Some(frame)) if frame % 2 == 1 => (kind::AUDIO, vec![0xAF, 1], None),
            _ if is_key => (kind::VIDEO, vec![0x17, 1, 0, 0, 0], None),
            _ => (kind::VIDEO, vec![0x27, 1, 0, 0, 0], None),
        };
        let draft = Draft {
            kind: media,
            time: self.time,
            len: head.len() + NUMBER_BYTES + 50,
            head,
            header,
            again: None,
            coded: header.is_none(),
            key: is_key,
        };
        let body = truth.add(publication, &draft);
        send(session, (media, msid.0), self.time, &body);
        self.sent += 1;
        if frame.is_some() {
            self.time += u32::try_from(FRAME.as_millis()).unwrap();
        }
    }
}

fn send(session: &mut ServerSession, (kind, msid): (u8, u32), time: u32, body: &[u8]) {
    let chunk_size = session.out_chunk_size();
    encode(session.out().writer(), (kind, time, msid), body, chunk_size);
}

fn status(session: &mut ServerSession, msid: MessageStreamId, info: impl FnOnce(&mut Amf<'_>)) {
    let mut body = Vec::new();
    let amf = &mut Amf::new(&mut body);
    amf.string("onStatus").number(0.0).null().begin_object();
    info(amf);
    amf.end_object();
    send(session, (kind::COMMAND, msid.0), 0, &body);
}

/// Refuses connect (`msid` is that of the connection) or play with a redirect.
fn refuse(session: &mut ServerSession, msid: MessageStreamId, to: &str) {
    let mut body = Vec::new();
    let amf = &mut Amf::new(&mut body);
    let (command, transaction, code) = match msid {
        MessageStreamId::CONTROL => ("_error", 1.0, "NetConnection.Connect.Rejected"),
        _ => ("onStatus", 0.0, "NetStream.Play.Failed"),
    };
    amf.string(command).number(transaction).null();
    amf.begin_object();
    amf.string_property("level", "error");
    amf.string_property("code", code);
    amf.key("ex").begin_object();
    amf.number_property("code", 302.0);
    amf.string_property("redirect", to)
        .end_object()
        .end_object();
    send(session, (kind::COMMAND, msid.0), 0, &body);
}
