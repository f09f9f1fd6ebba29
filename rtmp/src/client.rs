//! The client's side of a connection: shakes hands, connects, creates one message stream and
//! publishes or plays on it, all by itself; then media goes in or comes out. RTMP 1.0 §7.2,
//! E-RTMP v2 "Enhancing NetConnection connect Command".
//!
//! It owns no socket and never tries again: whoever drives it decides what a refusal means.
//! How a session is driven says [`ControlLayer`], to which it dereferences.
//!
//! A server is believed no more than a client is. The limits of the chunk reader are those of a
//! client: small until there is a message stream that media can come on; each answer counts once
//! and in its turn, so that no server makes us ask again; its words are cut. How long it may take
//! to answer is for the driver to say.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::ops::{Deref, DerefMut};

use super::amf0::{Object, Value};
use super::command::{Command, Status};
use super::control::{Control, UserControl};
use super::control_layer::{ControlLayer, Step};
use super::error::ProtocolError;
use super::handshake::{Handshake, Mode};
use super::message::{Message, MessageHeader, MessageStreamId, Payload, kind};
use super::reader::ReaderLimits;
use super::writer::write_message;
use crate::limits;

/// What to do on the server, and as whom. Fields may be added: make one of
/// [`ClientRequest::default`].
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
    /// `flashVer`, which servers log; empty for that of FMLE when it publishes, so that servers
    /// answer as they do an encoder, and that of a Flash Player when it plays.
    pub flash_ver: String,
    /// A string property of connect of the driver's own, name and value: for what it has agreed on
    /// with its own servers. It is left out while its value is empty.
    pub property: (&'static str, String),
    /// The boolean property of the result of connect that
    /// [`is_marked`](ClientSession::is_marked) tells of.
    pub mark: &'static str,
}

impl Default for ClientRequest {
    /// A play of nothing, with a plain handshake and chunks of 4,096 bytes.
    fn default() -> Self {
        Self {
            app: String::new(),
            tc_url: String::new(),
            stream: String::new(),
            action: Action::Play,
            handshake: Mode::Plain,
            chunk_size: 4_096,
            flash_ver: String::new(),
            property: ("", String::new()),
            mark: "",
        }
    }
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
        msid: MessageStreamId,
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
    layer: ControlLayer,
    stage: Stage,
    /// The server has accepted the publish or play.
    is_accepted: bool,
    /// The result of connect has had [`ClientRequest::mark`].
    is_marked: bool,
}

/// How far the session has come: which answer it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connecting,
    Creating,
    /// createStream gave this message stream, and the publish or play was sent.
    Asked(MessageStreamId),
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

impl Deref for ClientSession {
    type Target = ControlLayer;

    fn deref(&self) -> &ControlLayer {
        &self.layer
    }
}

impl DerefMut for ClientSession {
    fn deref_mut(&mut self) -> &mut ControlLayer {
        &mut self.layer
    }
}

impl ClientSession {
    /// A session whose first bytes to send are in [`out`](ControlLayer::out). `seed` fills the
    /// random part of the handshake.
    pub fn new(request: ClientRequest, seed: u64) -> Self {
        let mode = request.handshake;
        let layer = ControlLayer::new("createStream", |out| Handshake::client(mode, seed, out));
        Self {
            request,
            layer,
            stage: Stage::Connecting,
            is_accepted: false,
            is_marked: false,
        }
    }

    /// Takes media of publishers from here on also when this client only publishes: for one that
    /// plays on a further message stream, by commands of its own ([`ControlLayer::send_command`]).
    pub fn expect_media(&mut self) {
        self.layer.reader().set_limits(ReaderLimits::PUBLISHER);
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
        if !self.layer.is_handshaken() {
            if !self.layer.shake_hands(input, at)? {
                return Ok(None);
            }
            self.send_connect();
        }
        loop {
            match self.layer.advance(input, at)? {
                Step::Done => return Ok(None),
                Step::User(event) => return Ok(Some(ClientEvent::Control(event))),
                Step::Message => {
                    let header = self.layer.message(input).header;
                    match header.kind {
                        kind::COMMAND | kind::COMMAND_AMF3 => {
                            let body = self.layer.message(input).payload.to_vec();
                            if let Some(event) = self.answer(&header, &body)? {
                                return Ok(Some(event));
                            }
                        }
                        _ => return Ok(Some(ClientEvent::Media(self.layer.message(input)))),
                    }
                }
            }
        }
    }

    /// What it is for.
    pub fn action(&self) -> Action {
        self.request.action
    }

    /// Ends the publish or play and its message stream, as encoders and players do before they
    /// close; nothing while there is none.
    pub fn stop(&mut self) {
        let Stage::Asked(msid) = self.stage else {
            return;
        };
        self.stage = Stage::Stopped;
        if self.request.action == Action::Publish {
            let stream = &self.request.stream;
            self.layer.send_command(MessageStreamId::CONTROL, |amf| {
                amf.string("FCUnpublish").number(0.0).null().string(stream);
            });
        }
        self.layer.send_command(MessageStreamId::CONTROL, |amf| {
            let id = f64::from(msid.0);
            amf.string("deleteStream").number(0.0).null().number(id);
        });
    }

    /// The message stream in use, once there is one.
    pub fn msid(&self) -> Option<MessageStreamId> {
        match self.stage {
            Stage::Asked(msid) => Some(msid),
            Stage::Connecting | Stage::Creating | Stage::Stopped => None,
        }
    }

    /// Whether the result of connect has had [`ClientRequest::mark`], and it is true.
    pub fn is_marked(&self) -> bool {
        self.is_marked
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
        let chunk_size = self.layer.out_chunk_size();
        write_message(self.layer.out().writer(), header, payload, chunk_size);
    }

    fn send_connect(&mut self) {
        self.layer.send_chunk_size(self.request.chunk_size);
        let request = &self.request;
        let flash_ver = match (&*request.flash_ver, request.action) {
            ("", Action::Publish) => "FMLE/3.0 (compatible)",
            ("", Action::Play) => "LNX 9,0,124,2",
            (given, _) => given,
        };
        self.layer.send_command(MessageStreamId::CONTROL, |amf| {
            amf.string("connect")
                .number(TRANSACTION_CONNECT)
                .begin_object();
            amf.string_property("app", &request.app)
                .string_property("flashVer", flash_ver)
                .string_property("tcUrl", &request.tc_url);
            amf.boolean_property("fpad", false)
                .number_property("capabilities", 15.0);
            amf.number_property("audioCodecs", 4_071.0)
                .number_property("videoCodecs", 252.0);
            amf.number_property("videoFunction", 1.0)
                .number_property("objectEncoding", 0.0);
            let (key, value) = &request.property;
            if !value.is_empty() {
                amf.string_property(key, value);
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
        let stream = &self.request.stream;
        if self.request.action == Action::Publish {
            for (name, transaction) in [
                ("releaseStream", TRANSACTION_RELEASE),
                ("FCPublish", TRANSACTION_FC_PUBLISH),
            ] {
                self.layer.send_command(MessageStreamId::CONTROL, |amf| {
                    amf.string(name).number(transaction).null().string(stream);
                });
            }
        }
        self.layer.send_command(MessageStreamId::CONTROL, |amf| {
            amf.string("createStream").number(TRANSACTION_CREATE).null();
        });
    }

    fn send_action(&mut self, msid: MessageStreamId) {
        let stream = &self.request.stream;
        match self.request.action {
            Action::Publish => self.layer.send_command(msid, |amf| {
                amf.string("publish").number(TRANSACTION_PUBLISH).null();
                amf.string(stream).string("live");
            }),
            Action::Play => {
                self.layer.send_command(msid, |amf| {
                    amf.string("play")
                        .number(0.0)
                        .null()
                        .string(stream)
                        .number(-2.0);
                });
                let event = UserControl::SetBufferLength {
                    msid,
                    buffer_ms: 3_000,
                };
                self.layer.send(Control::User(event));
            }
        }
    }

    fn answer(
        &mut self,
        header: &MessageHeader,
        body: &[u8],
    ) -> Result<Option<ClientEvent<'static>>, ProtocolError> {
        let Some(command) = Command::decode(header.kind, body)? else {
            self.layer.count_glitch()?;
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
                self.note_properties(&command);
                self.stage = Stage::Creating;
                self.send_create();
                let caps = info.and_then(|info| info.get("capsEx")?.as_u32());
                Ok(Some(ClientEvent::Connected {
                    caps_ex: caps.unwrap_or(0),
                }))
            }
            _ if is_result(TRANSACTION_CREATE) && self.stage == Stage::Creating => {
                let msid = command.argument(0).and_then(|value| value.as_u32());
                let msid = MessageStreamId(msid.unwrap_or(1));
                self.stage = Stage::Asked(msid);
                if self.request.action == Action::Play {
                    self.layer.reader().set_limits(ReaderLimits::PUBLISHER);
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
                self.layer.count_glitch()?;
                Ok(None)
            }
        }
    }

    /// What the server says of itself in the result of connect.
    fn note_properties(&mut self, result: &Command<'_>) {
        let properties = result.object().and_then(|value| value.as_object());
        let mark = properties.and_then(|its| its.get(self.request.mark)?.as_bool());
        self.is_marked = mark == Some(true);
    }

    /// What a status means: the server may have accepted what was asked.
    fn note_status(&mut self, code: &str) -> Option<Status> {
        let status = Status::of_code(code);
        self.is_accepted |= self.msid().is_some() && status.is_some_and(Status::is_start);
        status
    }
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
