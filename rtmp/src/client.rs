//! The client's side of a connection: shakes hands, connects, creates one message stream and
//! publishes or plays on it, all by itself; then media goes in or comes out. RTMP 1.0 §7.2,
//! E-RTMP v2 "Enhancing NetConnection connect Command".
//!
//! It owns no socket and never tries again: whoever drives it decides what a refusal means.
//! Rule of use: [`ClientSession::set_now`], then [`ClientSession::next`] until it gives None, then
//! [`ClientSession::end_input`], then send [`ClientSession::out`].
//!
//! A server is believed no more than a client is. The limits of the chunk reader are those of a
//! client: small until there is a message stream that media can come on; each answer counts once
//! and in its turn, so that no server makes us ask again; its words are cut. How long it may take
//! to answer is for the driver to say.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::time::Duration;

use super::amf0::{Object, Value};
use super::command::{Command, Status};
use super::control::UserControl;
use super::error::ProtocolError;
use super::handshake::{ClientHandshake, Mode};
use super::link::{Link, Outbox, Step};
use super::message::{Message, MessageHeader, Payload, kind};
use super::reader::ReaderLimits;
use super::writer::write_message;
use crate::limits;

/// What to do on the server, and as whom.
#[derive(Clone, Debug)]
pub struct ClientRequest {
    /// The app, without slashes at its ends.
    pub app: String,
    /// `rtmp://host[:port]/app`.
    pub tc_url: String,
    /// The stream name, with its query if it has one.
    pub stream: String,
    /// Publish or play.
    pub action: Action,
    /// Which handshake to offer.
    pub handshake: Mode,
    /// Payload bytes of the chunks we send.
    pub chunk_size: u32,
    /// The relays that this is asked through, sent along for others of our kind; may be empty.
    pub via: String,
}

/// The two things a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a live stream.
    Publish,
    /// Receive a stream.
    Play,
}

/// What the server answers, or sends.
#[derive(Debug)]
pub enum ClientEvent<'a> {
    /// connect succeeded; `caps_ex` is what the server says of E-RTMP, 0 when nothing.
    Connected {
        /// `capsEx` of the connect result.
        caps_ex: u32,
    },
    /// connect, createStream or another call was refused; the session is of no more use.
    Refused {
        /// The server's code, e.g. `NetConnection.Connect.Rejected`.
        code: String,
        /// The server's words.
        description: String,
        /// The URL that it redirects to.
        redirect: Option<String>,
        /// `ex.code` beside them, if there is one: why, for programs.
        ex_code: Option<u32>,
    },
    /// onStatus. `NetStream.Publish.Start` and `NetStream.Play.Start` say that media may flow.
    Status {
        /// The message stream it is about.
        msid: u32,
        /// `status`, `warning` or `error`.
        level: String,
        /// What its code says, if it is one of those known.
        status: Option<Status>,
        /// The server's code.
        code: String,
        /// The server's words.
        description: String,
        /// The URL that it redirects to: `ex.redirect`, or `tcUrl` of a Reconnect Request.
        redirect: Option<String>,
    },
    /// A user control event such as StreamBegin or StreamEOF.
    Control(UserControl),
    /// Audio, video or data.
    Media(Message<'a>),
}

/// See the module text.
#[derive(Debug)]
pub struct ClientSession {
    request: ClientRequest,
    handshake: Option<ClientHandshake>,
    link: Link,
    stage: Stage,
    /// The server has accepted the publish or play.
    is_accepted: bool,
    /// The server has said that it is a relay of our kind.
    is_of_relay: bool,
}

/// How far the session has come: which answer it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connecting,
    Creating,
    /// createStream gave this message stream, and the publish or play was sent.
    Asked(u32),
    /// All of it was given back.
    Stopped,
}

const TRANSACTION_CONNECT: f64 = 1.0;
const TRANSACTION_RELEASE: f64 = 2.0;
const TRANSACTION_FC_PUBLISH: f64 = 3.0;
const TRANSACTION_CREATE: f64 = 4.0;
const TRANSACTION_PUBLISH: f64 = 5.0;

/// Steps of a session, see [`ClientSession::steps`].
pub const STEPS_MAX: u8 = 4;

/// `capsEx`: we connect anew when asked to; multitrack and ModEx are passed on.
const CAPS_EX: f64 = 7.0;
/// FourCC info: any codec can be forwarded.
const CAN_FORWARD: f64 = 4.0;

impl ClientSession {
    /// A session whose first bytes to send are in [`out`](Self::out). `seed` fills the random
    /// part of the handshake.
    pub fn new(request: ClientRequest, seed: u64) -> Self {
        let mut link = Link::new(ReaderLimits::UNAUTHORISED);
        let handshake = ClientHandshake::new(request.handshake, seed, link.out().writer());
        Self {
            request,
            handshake: Some(handshake),
            link,
            stage: Stage::Connecting,
            is_accepted: false,
            is_of_relay: false,
        }
    }

    /// The time from here on, counted from the same moment for the life of the session. What a
    /// server may do only so often is counted by it; while it stands still, only bursts pass.
    pub fn set_now(&mut self, now: Duration) {
        self.link.set_now(now);
    }

    /// Takes media of publishers from here on also when this client only publishes: for one that
    /// plays on a further message stream, by commands of its own ([`Self::send_command`]).
    pub fn expect_media(&mut self) {
        self.link.reader().set_limits(ReaderLimits::PUBLISHER);
    }

    /// The next thing the server answers or sends in `input` from `*at` on; None when there is
    /// no more. `*at` moves over what was read.
    ///
    /// # Errors
    /// The server broke the protocol.
    pub fn next<'a>(
        &'a mut self,
        input: &'a [u8],
        at: &mut usize,
    ) -> Result<Option<ClientEvent<'a>>, ProtocolError> {
        if let Some(handshake) = &mut self.handshake {
            *at += handshake.handle_input(&input[*at..], self.link.out().writer())?;
            if !handshake.is_done() {
                return Ok(None);
            }
            self.handshake = None;
            self.send_connect();
        }
        loop {
            match self.link.advance(input, at)? {
                Step::Done => return Ok(None),
                Step::User(event) => return Ok(Some(ClientEvent::Control(event))),
                Step::Message => {
                    let header = self.link.message(input).header;
                    match header.kind {
                        kind::COMMAND | kind::COMMAND_AMF3 => {
                            let body = self.link.message(input).payload.to_vec();
                            if let Some(event) = self.answer(&header, &body)? {
                                return Ok(Some(event));
                            }
                        }
                        _ => return Ok(Some(ClientEvent::Media(self.link.message(input)))),
                    }
                }
            }
        }
    }

    /// No more of `input` will be read; `count` bytes of it were.
    ///
    /// # Errors
    /// Answers pile up because the server does not read them, or too much media comes that was not
    /// asked for.
    pub fn end_input(&mut self, input: &[u8], count: usize) -> Result<(), ProtocolError> {
        if self.handshake.is_some() {
            self.link.count_received(count);
            return Ok(());
        }
        if self.link.reader().skipped_media() > limits::EARLY_MEDIA_BYTES_MAX {
            return Err(ProtocolError::Unexpected {
                command: "media",
                needs: "createStream",
            });
        }
        self.link.end_input(input, count)
    }

    /// When the incomplete message that has waited longest last got a byte, in the time of
    /// [`set_now`](Self::set_now); None when no message is incomplete. After
    /// [`limits::PARTIAL_MESSAGE_WAIT`] the connection is to end with
    /// [`ProtocolError::StalePartial`].
    pub fn oldest_partial(&self) -> Option<Duration> {
        self.link.oldest_partial()
    }

    /// When the oldest incomplete message was begun, in the same time; None when no message is
    /// incomplete.
    pub fn oldest_begun(&self) -> Option<Duration> {
        self.link.oldest_begun()
    }

    /// Bytes of memory behind the session: what is incomplete, what waits to be sent, and what
    /// is kept for reuse.
    pub fn memory_bytes(&self) -> usize {
        self.link.memory_bytes()
    }

    /// What is to be sent.
    pub fn out(&mut self) -> &mut Outbox {
        self.link.out()
    }

    /// The bytes that are to be sent.
    pub fn pending(&self) -> &[u8] {
        self.link.pending()
    }

    /// Whether the handshake is over.
    pub fn is_handshaken(&self) -> bool {
        self.handshake.is_none()
    }

    /// Whether [`next`](Self::next) has more to give even without more input: it stands inside an
    /// aggregate.
    pub fn has_more(&self) -> bool {
        self.link.has_more()
    }

    /// What it is for, as logs say it.
    pub fn role(&self) -> &'static str {
        match self.request.action {
            Action::Play => "pull",
            Action::Publish => "push",
        }
    }

    /// Gives back memory kept for reuse; for connections that have gone quiet.
    pub fn release_spare(&mut self) {
        self.link.reader().release_spare();
    }

    /// Bytes of what the peer has sent and nobody has taken yet.
    pub fn input_bytes(&self) -> usize {
        self.link.input_bytes()
    }

    /// Drops that: nothing more will be read.
    pub fn drop_input(&mut self) {
        self.link.drop_input();
    }

    /// Chunk size of what we send.
    pub fn out_chunk_size(&self) -> usize {
        self.link.out_chunk_size()
    }

    /// Counts `count` odd things that a layer above has seen in what the server sent.
    ///
    /// # Errors
    /// They are too many.
    pub fn count_glitches(&mut self, count: u64) -> Result<(), ProtocolError> {
        self.link.count_glitches(count)
    }

    /// Sends a user control event.
    pub fn send_user_control(&mut self, event: UserControl) {
        self.link.send(super::control::Control::User(event));
    }

    /// Ends the publish or play and its message stream, as encoders and players do before they
    /// close; nothing while there is none.
    pub fn stop(&mut self) {
        let Stage::Asked(msid) = self.stage else {
            return;
        };
        self.stage = Stage::Stopped;
        if self.request.action == Action::Publish {
            let stream = self.request.stream.clone();
            self.link.send_command(0, |amf| {
                amf.string("FCUnpublish").number(0.0).null().string(&stream);
            });
        }
        self.link.send_command(0, |amf| {
            let id = f64::from(msid);
            amf.string("deleteStream").number(0.0).null().number(id);
        });
    }

    /// The message stream in use, once there is one.
    pub fn msid(&self) -> Option<u32> {
        match self.stage {
            Stage::Asked(msid) => Some(msid),
            Stage::Connecting | Stage::Creating | Stage::Stopped => None,
        }
    }

    /// Whether the server has said that it is a relay of our kind.
    pub fn is_of_relay(&self) -> bool {
        self.is_of_relay
    }

    /// How many of its steps the session has come: handshake, connect, createStream, and the
    /// publish or play, which is the last of [`STEPS_MAX`].
    pub fn steps(&self) -> u8 {
        match self.stage {
            _ if self.is_accepted => STEPS_MAX,
            Stage::Asked(_) | Stage::Stopped => 3,
            Stage::Creating => 2,
            Stage::Connecting => u8::from(self.is_handshaken()),
        }
    }

    /// Sends a media message; only after `NetStream.Publish.Start`.
    pub fn send_media(&mut self, header: &MessageHeader, payload: &Payload<'_>) {
        let chunk_size = self.link.out_chunk_size();
        write_message(self.link.out().writer(), header, payload, chunk_size);
    }

    /// Sends any command on message stream `msid`; `body` writes name and values.
    pub fn send_command(&mut self, msid: u32, body: impl FnOnce(&mut super::amf0::Encoder<'_>)) {
        self.link.send_command(msid, body);
    }

    fn send_connect(&mut self) {
        self.link.send_chunk_size(self.request.chunk_size);
        let ClientRequest {
            app,
            tc_url,
            action,
            via,
            ..
        } = self.request.clone();
        self.link.send_command(0, |amf| {
            amf.string("connect")
                .number(TRANSACTION_CONNECT)
                .begin_object();
            amf.string_property("app", &app);
            // FMLE's name makes servers answer as to an encoder.
            let version = match action {
                Action::Publish => "FMLE/3.0 (compatible; tailwater)",
                Action::Play => "LNX 9,0,124,2 (compatible; tailwater)",
            };
            amf.string_property("flashVer", version)
                .string_property("tcUrl", &tc_url);
            amf.boolean_property("fpad", false)
                .number_property("capabilities", 15.0);
            amf.number_property("audioCodecs", 4_071.0)
                .number_property("videoCodecs", 252.0);
            amf.number_property("videoFunction", 1.0)
                .number_property("objectEncoding", 0.0);
            if !via.is_empty() {
                amf.string_property(super::server::VIA_KEY, &via);
            }
            amf.number_property("capsEx", CAPS_EX);
            for map in ["videoFourCcInfoMap", "audioFourCcInfoMap"] {
                amf.key(map).begin_object();
                amf.number_property("*", CAN_FORWARD).end_object();
            }
            amf.key("fourCcList").strict_array_header(1).string("*");
            amf.end_object();
        });
    }

    fn send_create(&mut self) {
        let stream = self.request.stream.clone();
        if self.request.action == Action::Publish {
            for (name, transaction) in [
                ("releaseStream", TRANSACTION_RELEASE),
                ("FCPublish", TRANSACTION_FC_PUBLISH),
            ] {
                self.link.send_command(0, |amf| {
                    amf.string(name).number(transaction).null().string(&stream);
                });
            }
        }
        self.link.send_command(0, |amf| {
            amf.string("createStream").number(TRANSACTION_CREATE).null();
        });
    }

    fn send_action(&mut self, msid: u32) {
        let stream = self.request.stream.clone();
        match self.request.action {
            Action::Publish => self.link.send_command(msid, |amf| {
                amf.string("publish").number(TRANSACTION_PUBLISH).null();
                amf.string(&stream).string("live");
            }),
            Action::Play => {
                self.link.send_command(msid, |amf| {
                    amf.string("play")
                        .number(0.0)
                        .null()
                        .string(&stream)
                        .number(-2.0);
                });
                let event = UserControl::SetBufferLength {
                    msid,
                    buffer_ms: 3_000,
                };
                self.link.send(super::control::Control::User(event));
            }
        }
    }

    fn answer(
        &mut self,
        header: &MessageHeader,
        body: &[u8],
    ) -> Result<Option<ClientEvent<'static>>, ProtocolError> {
        let Some(command) = Command::decode(header.kind, body)? else {
            self.link.count_glitch()?;
            return Ok(None);
        };
        // Some servers put the status object into the place of the command object.
        let info = [command.argument(0), command.object()]
            .into_iter()
            .flatten()
            .find_map(|value| value.as_object());
        let text = |key: &str| {
            let value = info
                .and_then(|info| info.get(key)?.as_bytes())
                .unwrap_or_default();
            let cut = &value[..value.len().min(limits::STATUS_TEXT_BYTES_MAX)];
            String::from_utf8_lossy(cut).into_owned()
        };
        let redirect = info.and_then(redirect_in);
        let is_result = |of| command.name == "_result" && command.transaction == of;
        match command.name {
            _ if is_result(TRANSACTION_CONNECT) && self.stage == Stage::Connecting => {
                let caps = info.and_then(|info| info.get("capsEx")?.as_u32());
                self.is_of_relay = is_of_relay(&command);
                self.stage = Stage::Creating;
                self.send_create();
                Ok(Some(ClientEvent::Connected {
                    caps_ex: caps.unwrap_or(0),
                }))
            }
            _ if is_result(TRANSACTION_CREATE) && self.stage == Stage::Creating => {
                let msid = command
                    .argument(0)
                    .and_then(|value| value.as_u32())
                    .unwrap_or(1);
                self.stage = Stage::Asked(msid);
                if self.request.action == Action::Play {
                    self.link.reader().set_limits(ReaderLimits::PUBLISHER);
                }
                self.send_action(msid);
                Ok(None)
            }
            // nginx-rtmp and others refuse releaseStream and FCPublish; that means nothing.
            "_error"
                if redirect.is_some()
                    || [TRANSACTION_CONNECT, TRANSACTION_CREATE, TRANSACTION_PUBLISH]
                        .contains(&command.transaction) =>
            {
                let ex = info.and_then(|info| info.get("ex")?.as_object());
                let ex_code = ex.and_then(|ex| ex.get("code")?.as_u32());
                Ok(Some(ClientEvent::Refused {
                    code: text("code"),
                    description: text("description"),
                    redirect,
                    ex_code,
                }))
            }
            "onStatus" => {
                let code = text("code");
                let status = self.note_status(&code);
                Ok(Some(ClientEvent::Status {
                    msid: header.msid,
                    level: text("level"),
                    status,
                    code,
                    description: text("description"),
                    redirect,
                }))
            }
            // Results that nothing waits for, onBWDone and the like, and commands for a server.
            _ => {
                self.link.count_glitch()?;
                Ok(None)
            }
        }
    }
}

impl ClientSession {
    /// What a status means: the server may have accepted what was asked.
    fn note_status(&mut self, code: &str) -> Option<Status> {
        let status = Status::of_code(code);
        self.is_accepted |= self.msid().is_some() && status.is_some_and(Status::is_start);
        status
    }
}

/// Whether the result of connect says that the server is a relay of our kind.
fn is_of_relay(command: &Command<'_>) -> bool {
    let properties = command.object().and_then(|value| value.as_object());
    let said = properties.and_then(|its| its.get(super::server::RELAY_KEY)?.as_bool());
    said == Some(true)
}

/// The URL that an info object redirects to: `tcUrl` of a Reconnect Request (E-RTMP v2 "Reconnect
/// Request"), or `ex.redirect` where `ex.code` is 302, as servers of the field refuse connect, play
/// and publish.
fn redirect_in(info: Object<'_>) -> Option<String> {
    let is_reconnect = |value: Value<'_>| {
        value.as_str().and_then(Status::of_code) == Some(Status::ReconnectRequest)
    };
    let url = match info.get("ex").and_then(|ex| ex.as_object()) {
        Some(ex) if ex.get("code").is_none_or(|code| code.as_u32() == Some(302)) => {
            ex.get("redirect")
        }
        _ if info.get("code").is_some_and(is_reconnect) => info.get("tcUrl"),
        _ => None,
    };
    let url = url?.as_str()?;
    (url.len() <= limits::REDIRECT_BYTES_MAX).then(|| url.to_owned())
}
