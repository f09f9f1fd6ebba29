//! What one connection may make the chunk reader hold, and the kinds of messages it keeps at all.

use crate::limits;
use crate::message::kind;

/// What one connection may make the reader hold. Sessions tighten and widen it with the role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderLimits {
    /// Longest video message in bytes.
    pub video_bytes: usize,
    /// Longest audio message in bytes.
    pub audio_bytes: usize,
    /// Longest data message in bytes.
    pub data_bytes: usize,
    /// Longest message of any other kind in bytes.
    pub other_bytes: usize,
    /// Chunk streams that may be in use.
    pub chunk_streams: usize,
    /// Messages that may be incomplete at one time.
    pub partial_messages: usize,
    /// Bytes that all incomplete messages may hold together.
    pub partial_bytes: usize,
    /// Nobody reads audio, video and data yet: they are counted and skipped, not kept.
    pub skip_media: bool,
}

impl ReaderLimits {
    /// Before publish or play is accepted, and for players.
    pub const UNAUTHORISED: Self = Self {
        video_bytes: limits::UNAUTHORISED_MESSAGE_BYTES_MAX,
        audio_bytes: limits::UNAUTHORISED_MESSAGE_BYTES_MAX,
        data_bytes: limits::UNAUTHORISED_MESSAGE_BYTES_MAX,
        other_bytes: limits::UNAUTHORISED_MESSAGE_BYTES_MAX,
        chunk_streams: limits::CHUNK_STREAMS_MAX,
        partial_messages: limits::UNAUTHORISED_PARTIAL_MESSAGES_MAX,
        partial_bytes: limits::UNAUTHORISED_PARTIAL_BYTES_MAX,
        skip_media: true,
    };

    /// For an accepted publisher, and for what we play from others.
    pub const PUBLISHER: Self = Self {
        video_bytes: limits::VIDEO_MESSAGE_BYTES_MAX,
        audio_bytes: limits::AUDIO_MESSAGE_BYTES_MAX,
        data_bytes: limits::DATA_MESSAGE_BYTES_MAX,
        other_bytes: limits::OTHER_MESSAGE_BYTES_MAX,
        chunk_streams: limits::CHUNK_STREAMS_MAX,
        partial_messages: limits::PARTIAL_MESSAGES_MAX,
        partial_bytes: limits::PARTIAL_BYTES_MAX,
        skip_media: false,
    };

    pub(super) fn message_bytes(&self, message_kind: u8) -> usize {
        match message_kind {
            kind::VIDEO | kind::AGGREGATE => self.video_bytes,
            kind::AUDIO => self.audio_bytes,
            kind::DATA | kind::DATA_AMF3 => self.data_bytes,
            _ => self.other_bytes,
        }
    }
}

pub(super) fn is_media(message_kind: u8) -> bool {
    matches!(
        message_kind,
        kind::AUDIO | kind::VIDEO | kind::DATA | kind::DATA_AMF3 | kind::AGGREGATE
    )
}

/// Kinds that some layer above reads; shared objects and unknown types are skipped unread.
pub(super) fn is_read_here(message_kind: u8) -> bool {
    matches!(
        message_kind,
        kind::SET_CHUNK_SIZE
            ..=kind::SET_PEER_BANDWIDTH
                | kind::AUDIO
                | kind::VIDEO
                | kind::DATA_AMF3
                | kind::COMMAND_AMF3
                | kind::DATA
                | kind::COMMAND
                | kind::AGGREGATE
    )
}
