//! The server's side of a connection: bytes in, requests and media out, answers written to an
//! outbox. RTMP 1.0 §7.2; E-RTMP v2 "Enhancing NetConnection connect Command".
//!
//! It owns no socket and decides no policy: who may publish or what is live is asked for with
//! a [`Request`] and answered with `accept_*` or `reject_*`. Until then the message stream waits.
//!
//! ```text
//!   handshake -> connect asked -> open      each message stream of an open connection:
//!                     |                       idle -> publish asked -> publishing -> idle
//!                     +-> rejected            idle -> play asked    -> playing    -> idle
//! ```
//!
//! How a session is driven says [`ControlLayer`], to which it dereferences.

mod commands;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::{Deref, DerefMut};

use smallvec::SmallVec;

use super::amf0::Encoder;
use super::command::Status;
use super::control::{Control, UserControl};
use super::control_layer::{ControlLayer, Step};
use super::error::ProtocolError;
use super::handshake::Handshake;
use super::media::FourCc;
use super::message::{Message, MessageHeader, MessageStreamId, kind};
use super::name::{AppName, StreamName};
use super::reader::ReaderLimits;
use crate::limits;

/// What a client sends, or asks for.
#[derive(Debug)]
pub enum Event<'a> {
    /// Audio, video or data of a message stream that is publishing.
    Media(Message<'a>),
    /// Something to be answered or followed.
    Request(Request),
}

/// What a client asks for.
#[derive(Debug)]
pub enum Request {
    /// connect; the app is [`ServerSession::app`]. Answer with
    /// [`accept_connect`](ServerSession::accept_connect) or
    /// [`reject_connect`](ServerSession::reject_connect).
    Connect,
    /// publish. Answer with [`accept_publish`](ServerSession::accept_publish) or
    /// [`reject`](ServerSession::reject).
    Publish {
        /// The message stream.
        msid: MessageStreamId,
        /// The stream to publish.
        name: StreamName,
        /// What the encoder wants done with it.
        kind: PublishKind,
    },
    /// play. Answer with [`accept_play`](ServerSession::accept_play) or
    /// [`reject`](ServerSession::reject). A play on a message stream that plays already replaces
    /// what it plays.
    Play {
        /// The message stream.
        msid: MessageStreamId,
        /// The stream to play.
        name: StreamName,
        /// Whether the client asked for NetStream.Play.Reset.
        reset: bool,
    },
    /// play2: go over to another stream without a break.
    Switch {
        /// The message stream, which is playing.
        msid: MessageStreamId,
        /// The stream to go over to.
        name: StreamName,
    },
    /// pause or resume.
    Pause {
        /// The message stream, which is playing.
        msid: MessageStreamId,
        /// True to pause.
        paused: bool,
    },
    /// seek.
    Seek {
        /// The message stream, which is playing.
        msid: MessageStreamId,
        /// Where to, in milliseconds of the stream's time.
        position_ms: u32,
    },
    /// receiveAudio or receiveVideo.
    Receive {
        /// The message stream, which is playing or is about to.
        msid: MessageStreamId,
        /// Which half.
        half: MediaHalf,
        /// True to receive it.
        on: bool,
    },
    /// The publish or play on this message stream has ended; the session has told the client.
    Stop {
        /// The message stream.
        msid: MessageStreamId,
    },
    /// An answer to a ping, with the time the ping carried.
    Pong(u32),
}

/// The publishing type. RTMP 1.0 §7.2.2.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishKind {
    /// Live only.
    Live,
    /// Live and recorded anew.
    Record,
    /// Live and appended to an earlier recording.
    Append,
}

/// One of the two halves a player may turn off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaHalf {
    /// receiveAudio, RTMP 1.0 §7.2.2.4.
    Audio,
    /// receiveVideo, RTMP 1.0 §7.2.2.5.
    Video,
}

/// What the operator sets about the wire.
#[derive(Clone, Copy, Debug)]
pub struct WireSettings {
    /// Payload bytes of the chunks we send.
    pub chunk_size: u32,
    /// The window we ask peers to acknowledge by, in bytes.
    pub window_ack: u32,
}

/// See the module text.
#[derive(Debug)]
pub struct ServerSession {
    phase: Phase,
    layer: ControlLayer,
    app: Option<Box<AppName>>,
    client: Box<ClientInfo>,
    streams: SmallVec<[MessageStream; 1]>,
    /// close was asked: every message stream is being ended.
    closing: bool,
    /// A request with a name that nothing can have, which ended the connection.
    refused: Option<Box<RefusedName>>,
}

/// A request that was refused for its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedName {
    /// The command: `connect`, `publish` or `play`.
    pub request: &'static str,
    /// What was asked for, as `name::shown` gives it.
    pub name: String,
}

/// What a client says about itself in connect.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientInfo {
    /// `flashVer`, cut short: the only thing that tells clients apart in a log.
    pub flash_ver: String,
    /// `capsEx` of E-RTMP: 1 reconnect, 2 multitrack, 4 ModEx, 8 nanosecond offsets.
    pub caps_ex: u32,
    /// The codecs that it names as E-RTMP wants it, at most [`limits::CLIENT_CODECS_MAX`]; `*`
    /// for all.
    pub four_cc: Vec<FourCc>,
    /// The property of connect that [`ServerSession::keep_property`] has named; empty when it is
    /// not there or no string.
    pub property: String,
    /// Its name, and how many bytes are kept of it.
    kept: (&'static str, usize),
    object_encoding: f64,
    transaction: f64,
}

#[derive(Debug)]
enum Phase {
    /// connect comes first.
    Fresh,
    /// connect waits for its answer.
    ConnectAsked,
    Open,
    /// connect was rejected.
    Rejected,
}

#[derive(Debug)]
struct MessageStream {
    id: MessageStreamId,
    role: Role,
    /// What it publishes, so that FCUnpublish can name it.
    published: Option<Box<str>>,
    /// receiveAudio and receiveVideo, said while nothing plays, have turned off for the next play.
    audio_off: bool,
    video_off: bool,
}

impl MessageStream {
    fn idle(id: MessageStreamId) -> Self {
        Self {
            id,
            role: Role::Idle,
            published: None,
            audio_off: false,
            video_off: false,
        }
    }
}

/// What a message stream is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Idle,
    PublishAsked,
    Publishing,
    PlayAsked,
    Playing,
}

/// Longest piece of `flashVer` that is kept, in bytes.
const FLASH_VER_BYTES_MAX: usize = 64;

impl Deref for ServerSession {
    type Target = ControlLayer;

    fn deref(&self) -> &ControlLayer {
        &self.layer
    }
}

impl DerefMut for ServerSession {
    fn deref_mut(&mut self) -> &mut ControlLayer {
        &mut self.layer
    }
}

impl ServerSession {
    /// A session at the first byte of a connection. `seed` fills the random part of the
    /// handshake.
    pub fn new(seed: u64) -> Self {
        Self {
            phase: Phase::Fresh,
            layer: ControlLayer::new("publish", |_| Handshake::server(seed)),
            app: None,
            client: Box::default(),
            streams: SmallVec::new(),
            closing: false,
            refused: None,
        }
    }

    /// Keeps the string property `key` of connect, cut to `bytes_max`, in
    /// [`ClientInfo::property`]: for what the driver has agreed on with its own clients. Its name
    /// counts whatever its case.
    pub fn keep_property(&mut self, key: &'static str, bytes_max: usize) {
        self.client.kept = (key, bytes_max);
    }

    /// The request that was refused for its name before [`next`](Self::next) failed with
    /// [`ProtocolError::Name`].
    pub fn take_refused(&mut self) -> Option<Box<RefusedName>> {
        self.refused.take()
    }

    /// The next thing the client asks for or sends in `input` from `*at` on; None when there is
    /// no more. `*at` moves over what was read.
    ///
    /// # Errors
    /// The client broke the protocol. Send what is in [`out`](ControlLayer::out), which may hold
    /// the status that says why, and close.
    pub fn next<'a>(
        &'a mut self,
        input: &'a [u8],
        at: &mut usize,
    ) -> Result<Option<Event<'a>>, ProtocolError> {
        if !self.layer.is_handshaken() && !self.layer.shake_hands(input, at)? {
            return Ok(None);
        }
        loop {
            if self.closing {
                match self.stop_any()? {
                    Some(request) => return Ok(Some(Event::Request(request))),
                    None => self.closing = false,
                }
            }
            match self.layer.advance(input, at)? {
                Step::Done => return Ok(None),
                Step::User(UserControl::PingResponse(time)) => {
                    return Ok(Some(Event::Request(Request::Pong(time))));
                }
                // What nobody knows is counted already; the rest is for servers to send.
                Step::User(UserControl::SetBufferLength { .. } | UserControl::Other(_)) => {}
                Step::User(_) => self.layer.count_glitch()?,
                Step::Message => {
                    let header = self.layer.message(input).header;
                    if matches!(header.kind, kind::COMMAND | kind::COMMAND_AMF3) {
                        if let Some(request) = self.command_in(input)? {
                            return Ok(Some(Event::Request(request)));
                        }
                    } else if let Some(msid) = self.publishing(header.msid) {
                        let Message { header, payload } = self.layer.message(input);
                        let header = MessageHeader { msid, ..header };
                        return Ok(Some(Event::Media(Message { header, payload })));
                    } else {
                        self.layer.count_glitch()?;
                        self.layer.reader().count_skipped_media(header.len);
                    }
                }
            }
        }
    }

    /// Follows the command that has just been read from `input`. Apart from the way of media,
    /// which needs no such stack.
    #[cold]
    #[inline(never)]
    fn command_in(&mut self, input: &[u8]) -> Result<Option<Request>, ProtocolError> {
        let Message { header, payload } = self.layer.message(input);
        let body = payload.to_vec();
        self.command(header.kind, header.msid, &body)
    }

    /// Whether [`next`](Self::next) has more to give even without more input: it stands inside an
    /// aggregate, or several roles are ending.
    pub fn has_more(&self) -> bool {
        self.closing || self.layer.has_more()
    }

    /// The app of connect.
    pub fn app(&self) -> Option<&AppName> {
        self.app.as_deref()
    }

    /// What the client said about itself in connect.
    pub fn client(&self) -> &ClientInfo {
        &self.client
    }

    /// Bytes of memory behind the session: what is incomplete, what waits to be sent, what is
    /// kept for reuse, and its message streams.
    pub fn memory_bytes(&self) -> usize {
        let names = self.streams.iter().filter_map(|its| its.published.as_ref());
        let mut bytes = self.layer.memory_bytes() + names.map(|name| name.len()).sum::<usize>();
        if self.streams.spilled() {
            bytes += self.streams.capacity() * size_of::<MessageStream>();
        }
        bytes
    }

    /// Answers connect: window acknowledgement size, peer bandwidth, chunk size, StreamBegin of
    /// the connection, and the result, which says that any codec is forwarded.
    pub fn accept_connect(&mut self, settings: &WireSettings) {
        self.accept_connect_with(settings, |_| {});
    }

    /// The same with more properties of the server, which `properties` writes.
    pub fn accept_connect_with(
        &mut self,
        settings: &WireSettings,
        properties: impl FnOnce(&mut Encoder<'_>),
    ) {
        debug_assert!(
            matches!(self.phase, Phase::ConnectAsked),
            "connect was asked"
        );
        self.phase = Phase::Open;
        let window = settings.window_ack;
        self.layer.send(Control::WindowAckSize(window));
        self.layer
            .send(Control::SetPeerBandwidth { window, limit: 2 });
        // Before the result: OBS wants replies over 128 bytes in one chunk.
        self.layer.send_chunk_size(settings.chunk_size);
        self.layer.send(Control::User(UserControl::StreamBegin(
            MessageStreamId::CONTROL,
        )));
        let (transaction, encoding) = (self.client.transaction, self.client.object_encoding);
        self.layer.send_command(MessageStreamId::CONTROL, |amf| {
            amf.string("_result").number(transaction);
            amf.begin_object();
            amf.string_property("fmsVer", "FMS/3,5,7,7009");
            amf.number_property("capabilities", 31.0);
            amf.number_property("mode", 1.0);
            properties(amf);
            amf.end_object();
            amf.begin_object();
            amf.string_property("level", "status");
            amf.string_property("code", Status::ConnectSuccess.code());
            amf.string_property("description", "connection succeeded");
            amf.number_property("objectEncoding", encoding);
            amf.number_property("capsEx", f64::from(CAPS_EX));
            for map in ["videoFourCcInfoMap", "audioFourCcInfoMap"] {
                amf.key(map).begin_object();
                amf.number_property("*", f64::from(CAN_FORWARD))
                    .end_object();
            }
            amf.end_object();
        });
    }

    /// Answers connect with `_error`; the connection is to be closed.
    pub fn reject_connect(&mut self, description: &str) {
        self.reject_connect_with(description, None);
    }

    /// The same with an `ex.code`, which says why to a program.
    pub fn reject_connect_with(&mut self, description: &str, ex_code: Option<u32>) {
        self.phase = Phase::Rejected;
        let transaction = self.client.transaction;
        let code = Status::ConnectRejected.code();
        self.call_error_with(transaction, code, description, ex_code);
    }

    /// Answers publish: the client may send.
    pub fn accept_publish(&mut self, msid: MessageStreamId, name: &dyn fmt::Display) {
        self.set_role(msid, Role::Publishing);
        self.layer.reader().set_limits(ReaderLimits::PUBLISHER);
        self.layer
            .send(Control::User(UserControl::StreamBegin(msid)));
        self.layer
            .send_status(msid, Status::PublishStart, &format!("publishing {name}"));
    }

    /// Answers play: the client is about to receive.
    pub fn accept_play(&mut self, msid: MessageStreamId, name: &dyn fmt::Display, reset: bool) {
        self.set_role(msid, Role::Playing);
        self.layer
            .send(Control::User(UserControl::StreamBegin(msid)));
        if reset {
            self.layer
                .send_status(msid, Status::PlayReset, &format!("playing {name} anew"));
        }
        self.layer
            .send_status(msid, Status::PlayStart, &format!("playing {name}"));
    }

    /// Whether the play that begins on `msid` is to receive audio, and video. Asked for once: the
    /// next play there receives both, unless the client turns one off again.
    pub fn take_halves(&mut self, msid: MessageStreamId) -> (bool, bool) {
        let stream = self.streams.iter_mut().find(|stream| stream.id == msid);
        stream.map_or((true, true), |stream| {
            let audio = !core::mem::take(&mut stream.audio_off);
            (audio, !core::mem::take(&mut stream.video_off))
        })
    }

    /// Playing on `msid` ends because its stream is over.
    pub fn end_play(&mut self, msid: MessageStreamId, description: &str) {
        self.set_role(msid, Role::Idle);
        self.layer.send(Control::User(UserControl::StreamEof(msid)));
        self.layer
            .send_status(msid, Status::PlayUnpublishNotify, description);
    }

    /// Answers publish or play with a refusal.
    pub fn reject(&mut self, msid: MessageStreamId, status: Status, description: &str) {
        self.set_role(msid, Role::Idle);
        self.layer.send_status(msid, status, description);
    }

    /// Asks the client to connect anew, to `tc_url` or where it connected to; `description` says
    /// why. False when the client did not say in connect that it knows how. E-RTMP v2 "Reconnect
    /// Request".
    pub fn request_reconnect(&mut self, tc_url: Option<&str>, description: &str) -> bool {
        if self.client.caps_ex & CAN_RECONNECT == 0 || !matches!(self.phase, Phase::Open) {
            return false;
        }
        self.layer.send_command(MessageStreamId::CONTROL, |amf| {
            amf.string("onStatus").number(0.0).null().begin_object();
            if let Some(tc_url) = tc_url {
                amf.string_property("tcUrl", tc_url);
            }
            amf.string_property("level", "status");
            amf.string_property("code", Status::ReconnectRequest.code());
            amf.string_property("description", description).end_object();
        });
        true
    }

    /// The publishing message stream that media on `msid` belongs to: that one; or, of a message
    /// stream that is not there, the only one that publishes, since some clients send everything
    /// on message stream 0.
    fn publishing(&self, msid: MessageStreamId) -> Option<MessageStreamId> {
        match self.role(msid) {
            Some(Role::Publishing) => Some(msid),
            Some(_) => None,
            None => {
                let publishing = |stream: &&MessageStream| stream.role == Role::Publishing;
                let mut publishing = self.streams.iter().filter(publishing);
                let only = publishing.next()?.id;
                publishing.next().is_none().then_some(only)
            }
        }
    }

    fn role(&self, msid: MessageStreamId) -> Option<Role> {
        self.streams
            .iter()
            .find(|stream| stream.id == msid)
            .map(|stream| stream.role)
    }

    fn set_role(&mut self, msid: MessageStreamId, role: Role) {
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == msid) {
            let before = core::mem::replace(&mut stream.role, role);
            if role == Role::Idle {
                stream.published = None;
            }
            if before == Role::Publishing && role != Role::Publishing {
                self.publish_ended();
            }
        }
    }

    /// A connection on which nothing publishes any more has no need of a publisher's limits.
    fn publish_ended(&mut self) {
        let publishing = |stream: &MessageStream| stream.role == Role::Publishing;
        if !self.streams.iter().any(publishing) {
            self.layer.reader().set_limits(ReaderLimits::UNAUTHORISED);
        }
    }

    /// Whether any message stream other than `msid` publishes or plays, or is about to.
    fn has_other_role(&self, msid: MessageStreamId) -> bool {
        let mut others = self.streams.iter().filter(|stream| stream.id != msid);
        others.any(|stream| stream.role != Role::Idle)
    }

    /// How many message streams other than `msid` have one of `roles`.
    fn others(&self, msid: MessageStreamId, roles: [Role; 2]) -> usize {
        let is_one = |stream: &&MessageStream| stream.id != msid && roles.contains(&stream.role);
        self.streams.iter().filter(is_one).count()
    }

    fn playing(&mut self, msid: MessageStreamId) -> Result<Option<MessageStreamId>, ProtocolError> {
        let id = self.stream_meant(msid)?;
        Ok(id.filter(|id| self.role(*id) == Some(Role::Playing)))
    }

    /// The message stream that a command on `msid` is about; a command about none is odd.
    fn stream_meant(
        &mut self,
        msid: MessageStreamId,
    ) -> Result<Option<MessageStreamId>, ProtocolError> {
        let id = self.stream_or_only(msid);
        if id.is_none() {
            self.layer.count_glitch()?;
        }
        Ok(id)
    }

    /// The message stream `msid`; for commands sent on message stream 0 the only one there is.
    fn stream_or_only(&self, msid: MessageStreamId) -> Option<MessageStreamId> {
        match (msid, &self.streams[..]) {
            (MessageStreamId::CONTROL, [only]) => Some(only.id),
            _ => self.role(msid).map(|_| msid),
        }
    }

    /// The message stream that a publish or play on `msid` means. Defective clients play at
    /// once without createStream, or on message stream 0: they get one made for them.
    fn stream_for_role(&mut self, msid: MessageStreamId) -> Result<MessageStreamId, ProtocolError> {
        if let Some(id) = self.stream_or_only(msid) {
            return Ok(id);
        }
        let id = if msid == MessageStreamId::CONTROL {
            self.free_id()
        } else {
            Some(msid)
        };
        match id {
            Some(id) if self.streams.len() < limits::MESSAGE_STREAMS_MAX => {
                self.streams.push(MessageStream::idle(id));
                Ok(id)
            }
            _ => Err(ProtocolError::Unexpected {
                command: "publish",
                needs: "createStream",
            }),
        }
    }

    /// The smallest id no message stream has, while there may be one more.
    fn free_id(&self) -> Option<MessageStreamId> {
        if self.streams.len() >= limits::MESSAGE_STREAMS_MAX {
            return None;
        }
        (1..)
            .map(MessageStreamId)
            .find(|id| self.streams.iter().all(|stream| stream.id != *id))
    }
}

/// E-RTMP v2 `capsEx`: multitrack and ModEx pass through us; reconnect requests and nanosecond
/// offsets are for those who make or show media.
const CAPS_EX: u32 = 0x02 | 0x04;
/// `capsEx`: the client connects anew when it is asked to.
const CAN_RECONNECT: u32 = 0x01;

/// E-RTMP v2 FourCC info: any codec is forwarded, none decoded or encoded.
const CAN_FORWARD: u32 = 0x04;
