//! What an audio or video message carries, told from its first bytes: key frame or not, codec
//! header or frame, which tracks, and whether a player may start there.
//!
//! Nothing is decoded, copied or allocated here, and nothing is refused: a message that makes no
//! sense is `FrameKind::Unknown`, to be passed on like any other. Codec configurations are not
//! read. A caller asks once per published message, never per player.
//!
//! ```text
//! legacy    frame type:4 codec:4    [packet type  composition time:24]  body
//! enhanced  1 frame type:3 packet:4 {ModEx} [multitrack:4 packet:4] FourCC [track [size:24]] body
//!                                                                   '-- per track --------------'
//! ```
//!
//! FLV 10.1 §E.4.2 and §E.4.3, E-RTMP v2 "Enhanced Audio", "Enhanced Video", "Metadata Frame" and
//! "Multitrack Streaming via Enhanced RTMP". Beyond them, codec ids in use before FourCCs came:
//! 9 MPEG-4 part 2 (ffmpeg), 12 HEVC (the CDN Union of Chinese networks, SRS), 13 AV1 (Tencent,
//! SRS), and sound format 13 Opus (ireader/media-server, ZLMediaKit). Video id 14 stays unknown:
//! it means VP8, VP9, AV1 or AVS3, depending on whom one asks.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use core::fmt;

use super::message::kind;

/// What is known of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// What the message is for.
    pub kind: FrameKind,
    /// The codec, if the message names one; of a message with several, that of track 0 if it is
    /// among them and that of the first track if not.
    pub codec: Option<Codec>,
    /// The tracks in the message. Only track 0 when it is not a multitrack message, and when it
    /// is too broken to say.
    pub tracks: TrackSet,
    /// The message has the header of E-RTMP (FourCC codecs).
    pub enhanced: bool,
    /// A player may start decoding video here: this is a key frame with data for
    /// [`first_track`](Self::first_track). Never set for audio, where every `FrameKind::Audio`
    /// would qualify; a stream without video has to go by that.
    pub sync: bool,
    /// The lowest track that the message has data of; 0 when it is not a multitrack message.
    /// E-RTMP v2 recommends track 0 for the default track and does not require it.
    pub first_track: u8,
}

impl Inspection {
    fn legacy(kind: FrameKind, codec: Option<Codec>) -> Self {
        let sync = kind == FrameKind::Keyframe;
        Self {
            kind,
            codec,
            tracks: TrackSet::DEFAULT,
            enhanced: false,
            sync,
            first_track: 0,
        }
    }

    fn enhanced(kind: FrameKind, codec: Option<Codec>) -> Self {
        Self {
            enhanced: true,
            ..Self::legacy(kind, codec)
        }
    }
}

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// Coded video that can be decoded by itself.
    Keyframe,
    /// Coded video that needs the frames before it.
    Inter,
    /// Coded video no other frame needs.
    Disposable,
    /// Decoder configuration: a player needs the latest of each track before any frame.
    SequenceHeader,
    /// The sequence is over; what follows starts with a new header.
    SequenceEnd,
    /// Channel layout of audio, needed beside the sequence header. E-RTMP v2 "Enhanced Audio".
    ChannelConfig,
    /// Video metadata such as colour information. It applies until it is replaced, so a player
    /// that joins needs the latest. E-RTMP v2 "Metadata Frame".
    Metadata,
    /// A command to the player in a video message, frame type 5; no video in it.
    Command,
    /// Coded audio.
    Audio,
    /// An audio message of no bytes: there is no sound until the next. E-RTMP v2 "Enhanced Audio".
    Silence,
    /// A header that lacks the body it announces. It must not replace anything: ffmpeg ends AAC
    /// with a sequence header without configuration (`AF 00`).
    Empty,
    /// Cut short, reserved or garbage.
    Unknown,
}

impl FrameKind {
    /// Whether the message has coded audio or video, as far as can be told: a header, a command or
    /// silence has none.
    pub fn is_coded(self) -> bool {
        matches!(
            self,
            Self::Keyframe | Self::Inter | Self::Disposable | Self::Audio | Self::Unknown
        )
    }
}

/// A codec, by FourCC or by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "the names say it; `name` gives them as users know them"
)]
pub enum Codec {
    Avc,
    Hevc,
    Vvc,
    Av1,
    Vp8,
    Vp9,
    SorensonH263,
    Screen,
    Vp6,
    Mpeg4,
    Aac,
    Mp3,
    Opus,
    Flac,
    Ac3,
    Eac3,
    Speex,
    Nellymoser,
    Adpcm,
    Pcm,
    G711ALaw,
    G711MuLaw,
    /// Sound format 15, known to the sending device alone; DJI drones label audio so.
    DeviceSpecific,
    /// A FourCC that is not in E-RTMP v2.
    Other(FourCc),
    /// A legacy codec number that FLV reserves.
    Unknown(u8),
}

impl Codec {
    /// A short name in lower case, one of a fixed set: fit for a metric label. `Display` tells
    /// the unnamed ones apart.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Avc => "h264",
            Self::Hevc => "hevc",
            Self::Vvc => "vvc",
            Self::Av1 => "av1",
            Self::Vp8 => "vp8",
            Self::Vp9 => "vp9",
            Self::SorensonH263 => "h263",
            Self::Screen => "screen",
            Self::Vp6 => "vp6",
            Self::Mpeg4 => "mpeg4",
            Self::Aac => "aac",
            Self::Mp3 => "mp3",
            Self::Opus => "opus",
            Self::Flac => "flac",
            Self::Ac3 => "ac-3",
            Self::Eac3 => "e-ac-3",
            Self::Speex => "speex",
            Self::Nellymoser => "nellymoser",
            Self::Adpcm => "adpcm",
            Self::Pcm => "pcm",
            Self::G711ALaw => "g711a",
            Self::G711MuLaw => "g711u",
            Self::DeviceSpecific => "device",
            Self::Other(_) => "other",
            Self::Unknown(_) => "unknown",
        }
    }

    /// Its FourCC, where it has one, and else its short name; what was sent is escaped.
    pub fn four_cc(&self) -> String {
        let known = match self {
            Self::Avc => "avc1",
            Self::Hevc => "hvc1",
            Self::Vvc => "vvc1",
            Self::Av1 => "av01",
            Self::Vp8 => "vp08",
            Self::Vp9 => "vp09",
            Self::Aac => "mp4a",
            Self::Mp3 => ".mp3",
            Self::Opus => "Opus",
            Self::Flac => "fLaC",
            Self::Ac3 => "ac-3",
            Self::Eac3 => "ec-3",
            other => return other.to_string(),
        };
        known.to_owned()
    }

    fn of_video_id(id: u8) -> Self {
        match id {
            2 => Self::SorensonH263,
            3 | 6 => Self::Screen,
            4 | 5 => Self::Vp6,
            7 => Self::Avc,
            9 => Self::Mpeg4,
            12 => Self::Hevc,
            13 => Self::Av1,
            _ => Self::Unknown(id),
        }
    }

    fn of_sound_format(format: u8) -> Self {
        match format {
            0 | 3 => Self::Pcm,
            1 => Self::Adpcm,
            2 | 14 => Self::Mp3,
            4..=6 => Self::Nellymoser,
            7 => Self::G711ALaw,
            8 => Self::G711MuLaw,
            10 => Self::Aac,
            11 => Self::Speex,
            13 => Self::Opus,
            15 => Self::DeviceSpecific,
            _ => Self::Unknown(format),
        }
    }

    /// None for bytes that cannot be a FourCC: DJI drones were seen to send what looks
    /// like the enhanced bit with `FF FF` behind it.
    fn of_four_cc(bytes: [u8; 4]) -> Option<Self> {
        Some(match &bytes {
            b"avc1" => Self::Avc,
            b"hvc1" => Self::Hevc,
            b"vvc1" => Self::Vvc,
            b"av01" => Self::Av1,
            b"vp08" => Self::Vp8,
            b"vp09" => Self::Vp9,
            b"mp4a" => Self::Aac,
            b".mp3" => Self::Mp3,
            b"Opus" => Self::Opus,
            b"fLaC" => Self::Flac,
            b"ac-3" => Self::Ac3,
            b"ec-3" => Self::Eac3,
            _ if bytes.iter().all(|byte| matches!(byte, 0x20..=0x7E)) => Self::Other(FourCc(bytes)),
            _ => return None,
        })
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(four_cc) => write!(f, "{four_cc}"),
            Self::Unknown(id) => write!(f, "codec-{id}"),
            known => f.write_str(known.name()),
        }
    }
}

/// Four bytes that name a codec, as they were sent. Displayed with escapes, so that it is safe in
/// a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FourCc(pub [u8; 4]);

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// A set of track ids, of which there are 256.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct TrackSet([u64; 4]);

impl TrackSet {
    /// Track 0 alone: every message that is not multitrack.
    pub const DEFAULT: Self = Self([1, 0, 0, 0]);

    /// Every track there may be.
    pub const ALL: Self = Self([u64::MAX; 4]);

    /// Adds a track.
    pub fn insert(&mut self, track: u8) {
        self.0[usize::from(track >> 6)] |= 1 << (track & 63);
    }

    /// Whether the track is in the set.
    pub fn contains(&self, track: u8) -> bool {
        self.0[usize::from(track >> 6)] >> (track & 63) & 1 == 1
    }

    /// Adds the tracks of another.
    pub fn insert_all(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(other.0) {
            *word |= other;
        }
    }

    /// The set without the tracks of another.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut left = *self;
        for (word, other) in left.0.iter_mut().zip(other.0) {
            *word &= !other;
        }
        left
    }

    /// Whether the set has no track.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// The tracks, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        let (mut words, mut first, mut word) = (self.0.iter(), 0_u8, 0_u64);
        let mut next_first = 0_u8;
        core::iter::from_fn(move || {
            while word == 0 {
                word = *words.next()?;
                (first, next_first) = (next_first, next_first.wrapping_add(64));
            }
            let bit = u8::try_from(word.trailing_zeros()).ok()?;
            word &= word - 1;
            Some(first + bit)
        })
    }
}

impl fmt::Debug for TrackSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Looks at a video message of `len` bytes that begins with `head`: all of it or at least its
/// first 64 bytes, or all of it if `needs_whole_video` asks so. No more than `head` is read, and
/// what lies beyond it but would be needed makes the message `Unknown`.
pub fn inspect_video(head: &[u8], len: usize) -> Inspection {
    if len == 0 {
        return Inspection::legacy(FrameKind::Empty, None);
    }
    let mut reader = Reader::new(head, len);
    match reader.byte() {
        Some(first) if first & VIDEO_EX_HEADER != 0 => enhanced_video(first, &mut reader)
            .unwrap_or_else(|| Inspection::enhanced(FrameKind::Unknown, None)),
        Some(first) => {
            let codec = Codec::of_video_id(first & 0x0F);
            let kind = legacy_video(first, codec, &mut reader).unwrap_or(FrameKind::Unknown);
            Inspection::legacy(kind, Some(codec))
        }
        None => Inspection::legacy(FrameKind::Unknown, None),
    }
}

/// Looks at an audio message; `head` and `len` as for `inspect_video`.
pub fn inspect_audio(head: &[u8], len: usize) -> Inspection {
    if len == 0 {
        return Inspection::legacy(FrameKind::Silence, None);
    }
    let mut reader = Reader::new(head, len);
    match reader.byte() {
        Some(first) if first >> 4 == AUDIO_EX_HEADER => enhanced_audio(first, &mut reader)
            .unwrap_or_else(|| Inspection::enhanced(FrameKind::Unknown, None)),
        Some(first) => {
            let codec = Codec::of_sound_format(first >> 4);
            let kind = legacy_audio(codec, &mut reader).unwrap_or(FrameKind::Unknown);
            Inspection::legacy(kind, Some(codec))
        }
        None => Inspection::legacy(FrameKind::Unknown, None),
    }
}

/// Whether `inspect_video` wants the whole message in one slice: its tracks are spread over it,
/// or its header does not end within `head`. Also true of some messages that are all there and
/// very short, which costs nothing.
pub fn needs_whole_video(head: &[u8]) -> bool {
    head.first().is_some_and(|&first| {
        first & VIDEO_EX_HEADER != 0 && needs_whole(head, first & 0x0F, VIDEO_MULTITRACK)
    })
}

/// Whether `inspect_audio` wants the whole message in one slice; see `needs_whole_video`.
pub fn needs_whole_audio(head: &[u8]) -> bool {
    head.first().is_some_and(|&first| {
        first >> 4 == AUDIO_EX_HEADER && needs_whole(head, first & 0x0F, AUDIO_MULTITRACK)
    })
}

/// The codec of each track in a whole message whose tracks have codecs of their own; nothing for
/// any other message. `message_kind` is audio or video.
pub fn codecs_of_tracks(message_kind: u8, body: &[u8]) -> impl Iterator<Item = (u8, Codec)> {
    let multitrack = match message_kind {
        kind::VIDEO => VIDEO_MULTITRACK,
        _ => AUDIO_MULTITRACK,
    };
    let mut reader = Reader::new(body, body.len());
    let mut begin = || {
        let packet = reader.byte()? & 0x0F;
        let packet = reader.skip_mod_ex(packet)?;
        let form = reader.byte()? >> 4;
        (packet == multitrack && form == MANY_TRACKS_MANY_CODECS).then_some(())
    };
    let mut left = begin().map_or(0, |()| TRACKS_MAX);
    core::iter::from_fn(move || {
        left = left.checked_sub(1)?;
        let codec = Codec::of_four_cc(reader.take()?)?;
        let track = reader.byte()?;
        let [high, middle, low] = reader.take()?;
        reader.skip(usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low))?;
        Some((track, codec))
    })
}

fn needs_whole(head: &[u8], packet: u8, multitrack: u8) -> bool {
    let mut reader = Reader {
        head,
        len: usize::MAX,
        at: 1,
    };
    let Some(packet) = reader.skip_mod_ex(packet) else {
        return true;
    };
    // The longest header of one track: multitrack byte, FourCC, track id.
    let Some([form, ..]) = reader.take::<6>() else {
        return true;
    };
    packet == multitrack && matches!(form >> 4, MANY_TRACKS | MANY_TRACKS_MANY_CODECS)
}

fn legacy_video(first: u8, codec: Codec, reader: &mut Reader<'_>) -> Option<FrameKind> {
    let frame = video_frame(first >> 4);
    if frame == FrameKind::Command {
        return reader.byte().map(|_| frame);
    }
    if !matches!(codec, Codec::Avc | Codec::Hevc | Codec::Av1 | Codec::Mpeg4) {
        return Some(unless_empty(reader.rest(), frame));
    }
    let packet = reader.byte()?;
    if packet == SEQUENCE_END {
        return Some(FrameKind::SequenceEnd);
    }
    reader.skip(3)?;
    Some(match packet {
        _ if frame == FrameKind::Unknown => frame,
        SEQUENCE_START => unless_empty(reader.rest(), FrameKind::SequenceHeader),
        CODED_FRAMES => unless_empty(reader.rest(), frame),
        _ => FrameKind::Unknown,
    })
}

fn legacy_audio(codec: Codec, reader: &mut Reader<'_>) -> Option<FrameKind> {
    // ireader/media-server puts a packet type before Opus as if it were AAC, ZLMediaKit does not.
    // The magic of RFC 7845 §5.1 tells a header from a frame.
    if codec == Codec::Opus
        && reader
            .head
            .get(1..)
            .is_some_and(|at| at.starts_with(b"\0OpusHead"))
    {
        return Some(FrameKind::SequenceHeader);
    }
    if codec != Codec::Aac {
        return Some(unless_empty(reader.rest(), FrameKind::Audio));
    }
    Some(match reader.byte()? {
        SEQUENCE_START => unless_empty(reader.rest(), FrameKind::SequenceHeader),
        CODED_FRAMES => unless_empty(reader.rest(), FrameKind::Audio),
        _ => FrameKind::Unknown,
    })
}

fn enhanced_video(first: u8, reader: &mut Reader<'_>) -> Option<Inspection> {
    let frame = video_frame(first >> 4 & 0x07);
    let packet = reader.skip_mod_ex(first & 0x0F)?;
    // Metadata ignores the frame type; everything else obeys it, multitrack included.
    if frame == FrameKind::Command && packet != VIDEO_METADATA {
        reader.byte()?;
        return Some(Inspection::enhanced(frame, None));
    }
    let kind_of = |packet, codec, body: usize| match packet {
        SEQUENCE_START | VIDEO_MPEG2TS_SEQUENCE_START => {
            unless_empty(body, FrameKind::SequenceHeader)
        }
        // The composition time comes first.
        CODED_FRAMES if matches!(codec, Codec::Avc | Codec::Hevc | Codec::Vvc) => body
            .checked_sub(3)
            .map_or(FrameKind::Unknown, |data| unless_empty(data, frame)),
        CODED_FRAMES | VIDEO_CODED_FRAMES_X => unless_empty(body, frame),
        SEQUENCE_END => FrameKind::SequenceEnd,
        VIDEO_METADATA => unless_empty(body, FrameKind::Metadata),
        _ => FrameKind::Unknown,
    };
    walk_tracks(reader, packet, VIDEO_MULTITRACK, kind_of)
}

fn enhanced_audio(first: u8, reader: &mut Reader<'_>) -> Option<Inspection> {
    let packet = reader.skip_mod_ex(first & 0x0F)?;
    let kind_of = |packet, codec, body| match packet {
        // Without a body these two say nothing. The others do: Opus then takes its channels from
        // the channel configuration; AC-3, E-AC-3 and MP3 describe themselves.
        SEQUENCE_START if matches!(codec, Codec::Aac | Codec::Flac) => {
            unless_empty(body, FrameKind::SequenceHeader)
        }
        SEQUENCE_START => FrameKind::SequenceHeader,
        CODED_FRAMES => unless_empty(body, FrameKind::Audio),
        SEQUENCE_END => FrameKind::SequenceEnd,
        // Channel order and channel count are always there.
        AUDIO_MULTICHANNEL_CONFIG if body >= 2 => FrameKind::ChannelConfig,
        _ => FrameKind::Unknown,
    };
    walk_tracks(reader, packet, AUDIO_MULTITRACK, kind_of)
}

/// Reads what follows the packet type of an enhanced message and asks `kind_of` (packet type,
/// codec, bytes of body) about each track. One empty track does not empty the message, one
/// senseless track makes all of it unknown. None if the message does not hold together.
fn walk_tracks(
    reader: &mut Reader<'_>,
    packet: u8,
    multitrack: u8,
    kind_of: impl Fn(u8, Codec, usize) -> FrameKind,
) -> Option<Inspection> {
    if packet != multitrack {
        let codec = Codec::of_four_cc(reader.take()?)?;
        let kind = kind_of(packet, codec, reader.rest());
        return Some(Inspection::enhanced(kind, Some(codec)));
    }
    let byte = reader.byte()?;
    let (form, packet) = (byte >> 4, byte & 0x0F);
    if form > MANY_TRACKS_MANY_CODECS {
        return None;
    }
    let mut codec = None;
    if form != MANY_TRACKS_MANY_CODECS {
        codec = Some(Codec::of_four_cc(reader.take()?)?);
    }
    let mut message = Inspection::enhanced(FrameKind::Empty, None);
    message.tracks = TrackSet::default();
    let mut first_track = None;
    for _ in 0..TRACKS_MAX {
        if form == MANY_TRACKS_MANY_CODECS {
            codec = Some(Codec::of_four_cc(reader.take()?)?);
        }
        let track = reader.byte()?;
        let mut body = reader.rest();
        if form != ONE_TRACK {
            let [high, middle, low] = reader.take()?;
            body = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        }
        reader.skip(body)?;
        let kind = kind_of(packet, codec?, body);
        message.tracks.insert(track);
        message.sync |= kind == FrameKind::Keyframe;
        if message.codec.is_none() || track == 0 {
            message.codec = codec;
        }
        if kind == FrameKind::Unknown {
            return Some(Inspection {
                kind,
                sync: false,
                ..message
            });
        }
        if kind != FrameKind::Empty {
            message.kind = kind;
            message.first_track =
                *first_track.insert(first_track.map_or(track, |first: u8| first.min(track)));
        }
        if reader.rest() == 0 {
            return Some(message);
        }
    }
    None
}

fn video_frame(frame_type: u8) -> FrameKind {
    match frame_type {
        // 4 is a key frame made by a server.
        1 | 4 => FrameKind::Keyframe,
        2 => FrameKind::Inter,
        3 => FrameKind::Disposable,
        5 => FrameKind::Command,
        _ => FrameKind::Unknown,
    }
}

fn unless_empty(body: usize, kind: FrameKind) -> FrameKind {
    if body == 0 { FrameKind::Empty } else { kind }
}

/// A position in a message of which only the first bytes may be at hand. `at <= len`.
struct Reader<'a> {
    head: &'a [u8],
    len: usize,
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(head: &'a [u8], len: usize) -> Self {
        Self {
            head: head.get(..len).unwrap_or(head),
            len,
            at: 0,
        }
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = self.head.get(self.at..)?.first_chunk()?;
        self.at += N;
        Some(*bytes)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take().map(|[byte]| byte)
    }

    /// Moves on by `count` bytes of the message, at hand or not.
    fn skip(&mut self, count: usize) -> Option<()> {
        self.at = self.at.checked_add(count).filter(|&at| at <= self.len)?;
        Some(())
    }

    fn rest(&self) -> usize {
        self.len.saturating_sub(self.at)
    }

    /// Skips the ModEx prefixes and returns the packet type after them. A message with too many
    /// of them gets `MOD_EX` back, which is no packet type anywhere else.
    fn skip_mod_ex(&mut self, mut packet: u8) -> Option<u8> {
        for _ in 0..MOD_EX_MAX {
            if packet != MOD_EX {
                break;
            }
            let mut size = usize::from(self.byte()?) + 1;
            if size == 256 {
                size = usize::from(u16::from_be_bytes(self.take()?)) + 1;
            }
            self.skip(size)?;
            packet = self.byte()? & 0x0F;
        }
        Some(packet)
    }
}

/// Set in the first byte of enhanced video.
const VIDEO_EX_HEADER: u8 = 0x80;
/// The sound format of enhanced audio.
const AUDIO_EX_HEADER: u8 = 9;

// The packet types 0 to 2 mean the same in legacy and enhanced messages.
const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
const SEQUENCE_END: u8 = 2;
const MOD_EX: u8 = 7;
const VIDEO_CODED_FRAMES_X: u8 = 3;
const VIDEO_METADATA: u8 = 4;
const VIDEO_MPEG2TS_SEQUENCE_START: u8 = 5;
const VIDEO_MULTITRACK: u8 = 6;
const AUDIO_MULTICHANNEL_CONFIG: u8 = 4;
const AUDIO_MULTITRACK: u8 = 5;

const ONE_TRACK: u8 = 0;
const MANY_TRACKS: u8 = 1;
const MANY_TRACKS_MANY_CODECS: u8 = 2;

/// ModEx prefixes read before giving up; one kind of them is defined, so one is the usual.
const MOD_EX_MAX: usize = 16;
/// Tracks read before giving up: as many as there are ids.
const TRACKS_MAX: usize = 256;
