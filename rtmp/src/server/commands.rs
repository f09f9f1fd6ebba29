//! The commands of a client, decoded and followed: what the session can answer by itself is
//! answered, everything else becomes a [`Request`]. RTMP 1.0 §7.2.1, §7.2.2.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::super::amf0::{Encoder, Object, Value};
use super::super::command::{Command, Status};
use super::super::error::ProtocolError;
use super::super::media::FourCc;
use super::super::name::{self, AppName, NameError, StreamName, app_from_connect, stream_name};
use super::{
    ClientInfo, FLASH_VER_BYTES_MAX, MediaHalf, MessageStream, Phase, PublishKind, RefusedName,
    Request, Role, ServerSession,
};
use crate::limits;
use crate::message::MessageStreamId;

impl ServerSession {
    /// Follows one command message.
    pub(super) fn command(
        &mut self,
        message_kind: u8,
        msid: MessageStreamId,
        body: &[u8],
    ) -> Result<Option<Request>, ProtocolError> {
        let Some(command) = Command::decode(message_kind, body)? else {
            self.layer.count_glitch()?;
            return Ok(None);
        };
        match (command.name, &self.phase) {
            ("connect", Phase::Fresh) => self.connect(&command),
            // A second connect has no meaning, nor has anything before the first.
            ("connect", _) => {
                self.call_error(
                    command.transaction,
                    Status::ConnectRejected.code(),
                    "already connected",
                );
                Err(ProtocolError::Unexpected {
                    command: "connect",
                    needs: "a new connection",
                })
            }
            (_, Phase::Open) => self.open_command(&command, msid),
            _ => Err(ProtocolError::Unexpected {
                command: "command",
                needs: "connect",
            }),
        }
    }

    fn connect(&mut self, command: &Command<'_>) -> Result<Option<Request>, ProtocolError> {
        // Object, typed object and ECMA array all occur as the command object.
        let object = command.object().and_then(|value| value.as_object());
        let property = |key: &str| object.and_then(|object| object.get_ignore_case(key));
        let bytes = |key: &str| property(key).and_then(|value| value.as_bytes());
        let number = |key: &str| property(key).and_then(|value| value.as_number());
        let flash_ver = bytes("flashVer").unwrap_or_default();
        let cut = &flash_ver[..flash_ver.len().min(FLASH_VER_BYTES_MAX)];
        let kept @ (key, bytes_max) = self.client.kept;
        let kept_bytes = bytes(key).unwrap_or_default();
        let kept_bytes = &kept_bytes[..kept_bytes.len().min(bytes_max)];
        *self.client = ClientInfo {
            flash_ver: String::from_utf8_lossy(cut).into_owned(),
            caps_ex: property("capsEx")
                .and_then(|value| value.as_u32())
                .unwrap_or(0),
            four_cc: codecs_in(object),
            property: String::from_utf8_lossy(kept_bytes).into_owned(),
            kept,
            object_encoding: if number("objectEncoding") == Some(3.0) {
                3.0
            } else {
                0.0
            },
            transaction: command.transaction,
        };
        // `get_ignore_case`: some cameras write `tcurl`.
        match app_from_connect(bytes("app"), bytes("tcUrl")) {
            Ok(app) => {
                self.app = Some(Box::new(app));
                self.phase = Phase::ConnectAsked;
                Ok(Some(Request::Connect))
            }
            Err(error) => {
                self.keep_refused("connect", bytes("app").unwrap_or_default());
                self.reject_connect(&error.to_string());
                Err(ProtocolError::Name(error))
            }
        }
    }

    fn open_command(
        &mut self,
        command: &Command<'_>,
        msid: MessageStreamId,
    ) -> Result<Option<Request>, ProtocolError> {
        let flag = |index| command.argument(index).and_then(|value| value.as_bool());
        match command.name {
            "publish" | "play" | "play2" => self.layer.count_stream_command()?,
            "pause" | "pauseRaw" | "seek" | "receiveAudio" | "receiveVideo" => {
                self.layer.count_player_command()?;
            }
            _ => {}
        }
        match command.name {
            "createStream" => self.create_stream(command.transaction)?,
            "publish" => return self.publish(command, msid),
            "play" => return self.play(command, msid),
            "play2" => return self.play2(command, msid),
            "pause" | "pauseRaw" => {
                let paused = flag(0).unwrap_or(true);
                let playing = self.playing_or(msid, Status::Failed)?;
                return Ok(playing.map(|msid| Request::Pause { msid, paused }));
            }
            "seek" => {
                let position_ms = milliseconds(command.argument(0));
                let playing = self.playing_or(msid, Status::SeekFailed)?;
                if let Some(msid) = playing
                    && !self.layer.may_seek()
                {
                    self.send_status(msid, Status::SeekFailed, "too many seeks");
                    return Ok(None);
                }
                return Ok(playing.map(|msid| Request::Seek { msid, position_ms }));
            }
            "receiveAudio" | "receiveVideo" => {
                let audio = command.name == "receiveAudio";
                let half = if audio {
                    MediaHalf::Audio
                } else {
                    MediaHalf::Video
                };
                let on = flag(0).unwrap_or(true);
                return self.receive(msid, half, on);
            }
            "closeStream" => {
                let msid = self.stream_or_only(msid).unwrap_or(msid);
                return self.stop(msid, Keep::Stream);
            }
            "deleteStream" => {
                let id = command.argument(0).and_then(|value| value.as_u32());
                return self.stop(id.map_or(msid, MessageStreamId), Keep::Nothing);
            }
            "close" => self.closing = true,
            "FCUnpublish" => {
                self.call(command)?;
                return self.stop_named(command.argument(0));
            }
            _ => self.call(command)?,
        }
        Ok(None)
    }

    /// The message stream of a command that is for one that plays; a client whose message stream
    /// does not is told with `failed`, RTMP 1.0 §7.2.2.7 and §7.2.2.8.
    fn playing_or(
        &mut self,
        msid: MessageStreamId,
        failed: Status,
    ) -> Result<Option<MessageStreamId>, ProtocolError> {
        let Some(msid) = self.stream_meant(msid)? else {
            return Ok(None);
        };
        let plays = self.role(msid) == Some(Role::Playing);
        if !plays {
            self.layer
                .send_status(msid, failed, "nothing plays on this message stream");
        }
        Ok(plays.then_some(msid))
    }

    /// receiveAudio and receiveVideo. They may come before play, and then hold for it.
    fn receive(
        &mut self,
        msid: MessageStreamId,
        half: MediaHalf,
        on: bool,
    ) -> Result<Option<Request>, ProtocolError> {
        let Some(msid) = self.stream_meant(msid)? else {
            return Ok(None);
        };
        let stream = self.streams.iter_mut().find(|stream| stream.id == msid);
        match (stream, half) {
            (Some(stream), _) if matches!(stream.role, Role::PlayAsked | Role::Playing) => {
                return Ok(Some(Request::Receive { msid, half, on }));
            }
            (Some(stream), MediaHalf::Audio) => stream.audio_off = !on,
            (Some(stream), MediaHalf::Video) => stream.video_off = !on,
            (None, _) => {}
        }
        Ok(None)
    }

    /// Commands that change nothing here but are owed an answer: FMLE and its descendants wait
    /// for theirs before they go on. Unknown ones get `_error`, §7.2.1.2.
    fn call(&mut self, command: &Command<'_>) -> Result<(), ProtocolError> {
        let transaction = command.transaction;
        let mut is_known = true;
        let status_command = match command.name {
            // These are answers and get none.
            "_result" | "_error" | "onStatus" => {
                return self.layer.count_glitch();
            }
            "releaseStream" | "_checkbw" | "getStreamLength" => None,
            "FCPublish" => Some(("onFCPublish", Status::PublishStart)),
            "FCUnpublish" => Some(("onFCUnpublish", Status::UnpublishSuccess)),
            "FCSubscribe" => Some(("onFCSubscribe", Status::PlayStart)),
            _ => {
                self.layer.count_glitch()?;
                is_known = false;
                None
            }
        };
        let is_owed = transaction != 0.0 || status_command.is_some();
        if !is_owed || !self.layer.may_answer()? {
            return Ok(());
        }
        if let Some((name, status)) = status_command {
            let stream = command
                .argument(0)
                .and_then(|value| value.as_str())
                .unwrap_or("");
            let stream = stream.split('?').next().unwrap_or("");
            self.layer.send_command(MessageStreamId::CONTROL, |amf| {
                amf.string(name).number(transaction).null().begin_object();
                amf.string_property("level", status.level())
                    .string_property("code", status.code());
                amf.string_property("description", stream).end_object();
            });
        }
        match command.name {
            "getStreamLength" => self.result(transaction, |amf| _ = amf.number(0.0)),
            _ if is_known => self.result(transaction, |amf| _ = amf.null()),
            _ => self.call_error(transaction, Status::CallFailed.code(), "no such method"),
        }
        Ok(())
    }

    fn create_stream(&mut self, transaction: f64) -> Result<(), ProtocolError> {
        let is_answered = transaction != 0.0 && self.layer.may_answer()?;
        let transaction = if is_answered { transaction } else { 0.0 };
        match self.free_id() {
            Some(id) => {
                self.streams.push(MessageStream::idle(id));
                self.result(transaction, |amf| _ = amf.number(f64::from(id.0)));
            }
            None => self.call_error(
                transaction,
                Status::CallFailed.code(),
                "no more message streams on this connection",
            ),
        }
        Ok(())
    }

    fn publish(
        &mut self,
        command: &Command<'_>,
        msid: MessageStreamId,
    ) -> Result<Option<Request>, ProtocolError> {
        let msid = self.stream_for_role(msid)?;
        // publish(false) is how Flash stops.
        if let Some(Value::Boolean(false)) = command.argument(0) {
            return self.stop(msid, Keep::Stream);
        }
        if self.role(msid) != Some(Role::Idle) {
            self.layer
                .send_status(msid, Status::Failed, "the message stream is in use");
            return Ok(None);
        }
        let raw = command.argument(0).and_then(|value| value.as_bytes());
        // The type may be missing, and Wirecast writes it in capitals.
        let kind = match command.argument(1).and_then(|value| value.as_str()) {
            Some(kind) if kind.eq_ignore_ascii_case("record") => PublishKind::Record,
            Some(kind) if kind.eq_ignore_ascii_case("append") => PublishKind::Append,
            _ => PublishKind::Live,
        };
        match self.stream_name(raw) {
            Ok(name) => {
                self.set_role(msid, Role::PublishAsked);
                let mut streams = self.streams.iter_mut();
                if let Some(stream) = streams.find(|stream| stream.id == msid) {
                    stream.published = Some(name.key().into());
                }
                Ok(Some(Request::Publish { msid, name, kind }))
            }
            Err(error) => {
                self.layer
                    .send_status(msid, Status::PublishBadName, &error.to_string());
                self.refuse_name(msid, "publish", raw, error)
            }
        }
    }

    fn play(
        &mut self,
        command: &Command<'_>,
        msid: MessageStreamId,
    ) -> Result<Option<Request>, ProtocolError> {
        let msid = self.stream_for_role(msid)?;
        let name = match command.argument(0) {
            // play(false) is how Flash stops.
            Some(Value::Boolean(false)) => return self.stop(msid, Keep::Stream),
            name => name.and_then(|value| value.as_bytes()),
        };
        if matches!(self.role(msid), Some(Role::Publishing | Role::PublishAsked)) {
            self.layer
                .send_status(msid, Status::Failed, "the message stream is publishing");
            return Ok(None);
        }
        if self.others(msid, [Role::PlayAsked, Role::Playing]) >= limits::PLAYS_MAX {
            let why = "the connection plays as many streams as it may";
            self.layer.send_status(msid, Status::PlayFailed, why);
            return Ok(None);
        }
        // `start` and `duration` mean recordings. rtmpdump without --live asks for start 0, so
        // neither keeps a client from a live stream.
        let reset = command
            .argument(3)
            .and_then(|value| value.as_bool())
            .unwrap_or(true);
        match self.stream_name(name) {
            Ok(name) => {
                self.set_role(msid, Role::PlayAsked);
                Ok(Some(Request::Play { msid, name, reset }))
            }
            Err(error) => {
                self.layer
                    .send_status(msid, Status::PlayStreamNotFound, &error.to_string());
                self.refuse_name(msid, "play", name, error)
            }
        }
    }

    fn play2(
        &mut self,
        command: &Command<'_>,
        msid: MessageStreamId,
    ) -> Result<Option<Request>, ProtocolError> {
        let Some(msid) = self.playing(msid)? else {
            self.layer
                .send_status(msid, Status::PlayFailed, "nothing plays on this stream");
            return Ok(None);
        };
        let parameters = command.argument(0).and_then(|value| value.as_object());
        let raw = parameters.and_then(|object| object.get("streamName")?.as_bytes());
        match self.stream_name(raw) {
            Ok(name) => Ok(Some(Request::Switch { msid, name })),
            Err(error) => {
                self.layer
                    .send_status(msid, Status::PlayFailed, &error.to_string());
                Ok(None)
            }
        }
    }

    /// Refuses a publish or play on `msid` for its name, of which the client has been told: the
    /// connection ends, unless another of its message streams is in use.
    fn refuse_name(
        &mut self,
        msid: MessageStreamId,
        request: &'static str,
        raw: Option<&[u8]>,
        error: NameError,
    ) -> Result<Option<Request>, ProtocolError> {
        if self.has_other_role(msid) {
            self.layer.count_glitch()?;
            return Ok(None);
        }
        self.keep_refused(request, raw.unwrap_or_default());
        Err(ProtocolError::Name(error))
    }

    /// Keeps the name of a request that is refused for it.
    fn keep_refused(&mut self, request: &'static str, raw: &[u8]) {
        let nowhere = AppName::default();
        let name = name::shown(self.app.as_deref().unwrap_or(&nowhere), raw);
        self.refused = Some(Box::new(RefusedName { request, name }));
    }

    /// The stream of a name, which may be empty but has to be one.
    fn stream_name(&self, raw: Option<&[u8]>) -> Result<StreamName, NameError> {
        let raw = raw.ok_or(NameError::Empty)?;
        let app = self.app.as_deref().ok_or(NameError::Empty)?;
        stream_name(app, raw)
    }

    /// Ends what runs on `msid` and tells the client; None when nothing did.
    fn stop(
        &mut self,
        msid: MessageStreamId,
        keep: Keep,
    ) -> Result<Option<Request>, ProtocolError> {
        let Some(index) = self.streams.iter().position(|stream| stream.id == msid) else {
            self.layer.count_glitch()?;
            return Ok(None);
        };
        let role = self.streams[index].role;
        self.set_role(msid, Role::Idle);
        if keep == Keep::Nothing {
            self.streams.remove(index);
        }
        match role {
            Role::Idle => return Ok(None),
            Role::PublishAsked | Role::Publishing => {
                self.layer
                    .send_status(msid, Status::UnpublishSuccess, "publishing has ended");
            }
            Role::PlayAsked | Role::Playing => {
                self.layer
                    .send_status(msid, Status::PlayStop, "playing has ended");
            }
        }
        Ok(Some(Request::Stop { msid }))
    }

    /// close, §7.2.1.3: every stream of the connection ends, one a call. The connection stays
    /// until the client closes it.
    pub(super) fn stop_any(&mut self) -> Result<Option<Request>, ProtocolError> {
        self.streams.retain(|stream| stream.role != Role::Idle);
        match self.streams.first() {
            Some(&MessageStream { id, .. }) => self.stop(id, Keep::Nothing),
            None => Ok(None),
        }
    }

    /// FCUnpublish of what this connection publishes ends it: encoders of the FMLE family may
    /// publish anew on the same message stream. Any other name is nobody's business.
    fn stop_named(&mut self, name: Option<Value<'_>>) -> Result<Option<Request>, ProtocolError> {
        let raw = name.and_then(|name| name.as_bytes());
        let name = self.stream_name(raw).ok();
        let Some(key) = name.as_ref().map(StreamName::key) else {
            return Ok(None);
        };
        let publishes_it = |stream: &&MessageStream| stream.published.as_deref() == Some(&*key);
        match self.streams.iter().find(publishes_it).map(|its| its.id) {
            Some(id) => self.stop(id, Keep::Stream),
            None => Ok(None),
        }
    }

    fn result(&mut self, transaction: f64, value: impl FnOnce(&mut Encoder<'_>)) {
        if transaction != 0.0 {
            self.layer.send_command(MessageStreamId::CONTROL, |amf| {
                amf.string("_result").number(transaction).null();
                value(amf);
            });
        }
    }

    pub(super) fn call_error(&mut self, transaction: f64, code: &str, description: &str) {
        self.call_error_with(transaction, code, description, None);
    }

    /// The same with an `ex.code`.
    pub(super) fn call_error_with(
        &mut self,
        transaction: f64,
        code: &str,
        description: &str,
        ex_code: Option<u32>,
    ) {
        if transaction != 0.0 {
            self.layer.send_command(MessageStreamId::CONTROL, |amf| {
                amf.string("_error")
                    .number(transaction)
                    .null()
                    .begin_object();
                amf.string_property("level", "error")
                    .string_property("code", code);
                amf.string_property("description", description);
                if let Some(code) = ex_code {
                    amf.key("ex").begin_object();
                    amf.number_property("code", f64::from(code)).end_object();
                }
                amf.end_object();
            });
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Stream,
    Nothing,
}

/// A position in milliseconds; fractions are cut off, and what is no position is the start.
fn milliseconds(value: Option<Value<'_>>) -> u32 {
    let number = value.and_then(|value| value.as_number()).unwrap_or(0.0);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "fractions are cut off, and what is below 0 is taken as 0"
    )]
    if number < 4_294_967_296.0 {
        number as u32
    } else {
        0
    }
}

/// The codecs that a client names in connect: `fourCcList` of E-RTMP v1, and the keys of the two
/// maps that v2 has for it. What is no FourCC is left out, and what is named twice is there once.
fn codecs_in(object: Option<Object<'_>>) -> Vec<FourCc> {
    let mut found = Vec::new();
    let Some(object) = object else {
        return found;
    };
    let mut note = |name: &[u8]| {
        let four_cc = match name {
            b"*" => FourCc(*b"*   "),
            _ => match <[u8; 4]>::try_from(name) {
                Ok(bytes) if bytes.is_ascii() => FourCc(bytes),
                _ => return,
            },
        };
        if found.len() < limits::CLIENT_CODECS_MAX && !found.contains(&four_cc) {
            found.push(four_cc);
        }
    };
    if let Some(Value::StrictArray(list)) = object.get_ignore_case("fourCcList") {
        for name in list.iter().filter_map(|value| value.as_bytes()) {
            note(name);
        }
    }
    for key in ["videoFourCcInfoMap", "audioFourCcInfoMap"] {
        let map = object.get_ignore_case(key);
        let map = map.and_then(|value| value.as_object());
        for (name, _) in map.into_iter().flat_map(|map| map.iter()) {
            note(name);
        }
    }
    found
}
