//! Command messages: what a peer asks for, and the statuses it is owed. RTMP 1.0 §7.2.
//!
//! Decoding takes just the leading values a command needs; what follows them is never looked at.

use alloc::vec::Vec;

use super::amf0::{AmfError, Decoder, Encoder, Limits, Value, strip_amf3_prefix};
use super::error::ProtocolError;
use super::message::{MessageHeader, MessageStreamId, Payload, Timestamp, kind};
use super::writer::{Sink, write_message};

/// The chunk stream that commands travel on; some servers refuse any other (FMS as a target).
const CSID_COMMAND: u32 = 3;

/// How many values of a command are looked at: name, transaction id, command object, and the
/// four arguments of play.
const VALUES_MAX: usize = 7;

/// A decoded command; everything borrows the message body.
#[derive(Debug)]
pub struct Command<'a> {
    /// What is asked.
    pub name: &'a str,
    /// 0 when no answer is wanted.
    pub transaction: f64,
    /// The values behind the transaction id: the command object first, then the arguments.
    values: [Option<Value<'a>>; VALUES_MAX - 2],
}

impl<'a> Command<'a> {
    /// Reads a command of message type `message_kind` (20, or 17 with AMF0 inside). None when
    /// the first value is not a name, which is then nothing anybody asked for.
    ///
    /// # Errors
    /// The body is not AMF0, or nests or counts beyond the limits.
    pub fn decode(message_kind: u8, body: &'a [u8]) -> Result<Option<Self>, ProtocolError> {
        let body = match message_kind {
            kind::COMMAND_AMF3 => strip_amf3_prefix(body),
            _ => body,
        };
        let mut decoder = Decoder::new(body, Limits::COMMAND);
        let Some(name) = decoder.next()?.and_then(|value| value.as_str()) else {
            return Ok(None);
        };
        let mut values = [None; VALUES_MAX - 2];
        let mut filled = 0;
        let second = decoder.next()?;
        let transaction = second.and_then(|value| value.as_number());
        if transaction.is_none() && second.is_some() {
            // Some encoders leave the transaction id out of commands that need no answer: this
            // is the command object already.
            values[0] = second;
            filled = 1;
        }
        for slot in &mut values[filled..] {
            *slot = match decoder.next() {
                // An AMF3 value among the arguments (Flash) ends what can be read, no more.
                Err(AmfError::Marker { .. }) => break,
                value => value?,
            };
        }
        let transaction = transaction.unwrap_or(0.0);
        Ok(Some(Self {
            name,
            transaction,
            values,
        }))
    }

    /// The command object.
    pub fn object(&self) -> Option<Value<'a>> {
        self.values[0]
    }

    /// Argument `index`, counted from 0 behind the command object.
    pub fn argument(&self, index: usize) -> Option<Value<'a>> {
        self.values.get(index + 1).copied().flatten()
    }
}

/// Writes a command message on message stream `msid`; `body` adds name and values.
pub fn write_command(
    sink: &mut impl Sink,
    msid: MessageStreamId,
    chunk_size: usize,
    body: impl FnOnce(&mut Encoder<'_>),
) {
    let mut bytes = Vec::with_capacity(256);
    body(&mut Encoder::new(&mut bytes));
    let header = MessageHeader {
        csid: CSID_COMMAND,
        timestamp: Timestamp(0),
        kind: kind::COMMAND,
        msid,
        len: bytes.len(),
    };
    write_message(sink, &header, &Payload::from_slice(&bytes), chunk_size);
}

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident $code:literal $level:literal)*) => {
        /// What a client is told about its connection or stream. RTMP 1.0 §7.2.1 and §7.2.2, and
        /// the codes that servers of the field send beyond it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Status {
            $($(#[$doc])* $name,)*
        }

        impl Status {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code on the wire.
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// The status with this code, if it is one of these.
            pub fn of_code(code: &str) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// `status` or `error`.
            pub fn level(self) -> &'static str {
                match self {
                    $(Self::$name => $level,)*
                }
            }
        }
    };
}

impl Status {
    /// Whether it accepts a publish or a play.
    pub fn is_start(self) -> bool {
        matches!(self, Self::PublishStart | Self::PlayStart)
    }
}

statuses! {
    /// The publish is accepted.
    PublishStart "NetStream.Publish.Start" "status"
    /// The stream name is taken.
    PublishBadName "NetStream.Publish.BadName" "error"
    /// The publish is not allowed.
    PublishDenied "NetStream.Publish.Denied" "error"
    /// The publisher has sent nothing for too long.
    PublishIdle "NetStream.Publish.Idle" "status"
    /// The publish has ended.
    UnpublishSuccess "NetStream.Unpublish.Success" "status"
    /// The playlist was reset; only after a play that asked for it.
    PlayReset "NetStream.Play.Reset" "status"
    /// Playing begins.
    PlayStart "NetStream.Play.Start" "status"
    /// Playing has ended as the player asked.
    PlayStop "NetStream.Play.Stop" "status"
    /// The play or switch cannot be done.
    PlayFailed "NetStream.Play.Failed" "error"
    /// No such stream.
    PlayStreamNotFound "NetStream.Play.StreamNotFound" "error"
    /// The publisher has left for good.
    PlayUnpublishNotify "NetStream.Play.UnpublishNotify" "status"
    /// The switch to another stream is accepted.
    PlayTransition "NetStream.Play.Transition" "status"
    /// What follows comes from the other stream.
    PlayTransitionComplete "NetStream.Play.TransitionComplete" "status"
    /// The player is paused.
    PauseNotify "NetStream.Pause.Notify" "status"
    /// The player goes on.
    UnpauseNotify "NetStream.Unpause.Notify" "status"
    /// The player continues at another place.
    SeekNotify "NetStream.Seek.Notify" "status"
    /// The place asked for is not to be had.
    SeekFailed "NetStream.Seek.Failed" "error"
    /// The command makes no sense in the state the stream is in.
    Failed "NetStream.Failed" "error"
    /// Playing has ended with the stream.
    PlayComplete "NetStream.Play.Complete" "status"
    /// connect is accepted.
    ConnectSuccess "NetConnection.Connect.Success" "status"
    /// connect is refused.
    ConnectRejected "NetConnection.Connect.Rejected" "error"
    /// The connection ends.
    ConnectClosed "NetConnection.Connect.Closed" "status"
    /// The client has to connect again, E-RTMP v2 "Reconnect Request".
    ReconnectRequest "NetConnection.Connect.ReconnectRequest" "status"
    /// A call cannot be answered.
    CallFailed "NetConnection.Call.Failed" "error"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(write: impl FnOnce(&mut Encoder<'_>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut Encoder::new(&mut bytes));
        bytes
    }

    #[test]
    fn status_codes_name_one_status_each() {
        for status in Status::ALL {
            assert_eq!(Status::of_code(status.code()), Some(*status));
        }
        assert_eq!(Status::of_code("NetStream.Play.start"), None);
    }

    #[test]
    fn a_command_gives_name_transaction_and_arguments() {
        let bytes = body(|amf| {
            amf.string("play")
                .number(4.0)
                .null()
                .string("cam")
                .number(-2.0);
        });
        let command = Command::decode(kind::COMMAND, &bytes).unwrap().unwrap();
        assert_eq!((command.name, command.transaction), ("play", 4.0));
        assert_eq!(command.object(), Some(Value::Null));
        assert_eq!(command.argument(0).unwrap().as_str(), Some("cam"));
        assert_eq!(command.argument(1).unwrap().as_number(), Some(-2.0));
        assert_eq!(command.argument(2), None);
        assert_eq!(command.argument(99), None);
    }

    #[test]
    fn amf3_labelled_commands_carry_amf0_with_or_without_a_leading_zero() {
        let bytes = body(|amf| {
            amf.string("createStream").number(2.0).null();
        });
        let prefixed = [&[0][..], &bytes].concat();
        for bytes in [&bytes, &prefixed] {
            let command = Command::decode(kind::COMMAND_AMF3, bytes).unwrap().unwrap();
            assert_eq!((command.name, command.transaction), ("createStream", 2.0));
        }
    }

    #[test]
    fn a_missing_transaction_id_and_an_amf3_argument_are_lived_with() {
        let bytes = body(|amf| {
            amf.string("publish").null().string("cam").string("live");
        });
        let command = Command::decode(kind::COMMAND, &bytes).unwrap().unwrap();
        assert_eq!(command.transaction, 0.0);
        assert_eq!(command.argument(0).unwrap().as_str(), Some("cam"));
        let mut bytes = body(|amf| {
            amf.string("play").number(4.0).null().string("cam");
        });
        bytes.extend([0x11, 0x01]);
        let command = Command::decode(kind::COMMAND, &bytes).unwrap().unwrap();
        assert_eq!(command.argument(0).unwrap().as_str(), Some("cam"));
        assert_eq!(command.argument(1), None);
    }

    #[test]
    fn what_is_no_command_is_nothing_and_garbage_is_an_error() {
        assert!(Command::decode(kind::COMMAND, b"").unwrap().is_none());
        assert!(
            Command::decode(kind::COMMAND, &body(|amf| _ = amf.number(1.0)))
                .unwrap()
                .is_none()
        );
        assert!(Command::decode(kind::COMMAND, &[2, 0xFF, 0xFF, 1]).is_err());
    }
}
