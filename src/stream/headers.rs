//! What a player needs before it can decode: metadata and sequence headers, the latest of each
//! kind and track, in the order they came.
//!
//! A set is immutable and shared; a change makes a new one. It is bounded in entries and bytes, and
//! holds only what is in force: a header is dropped when each of its tracks has another one, or
//! another codec.

use bytes::Bytes;

use crate::limits;
use crate::rtmp::amf0::{Decoder, Encoder, Limits, Value};
use crate::rtmp::media::TrackSet;
use crate::rtmp::message::{MessageHeader, MessageStreamId, Payload, Timestamp, kind};
use crate::rtmp::writer::write_message;

/// Which header replaces which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderKind {
    /// onMetaData.
    Metadata,
    /// Any other data that `@setDataFrame` keeps, one of each handler name.
    DataFrame,
    /// How to decode a video track.
    VideoSequence,
    /// E-RTMP video metadata such as HDR colour information.
    VideoMetadata,
    /// How to decode an audio track.
    AudioSequence,
    /// E-RTMP order of audio channels.
    AudioChannels,
}

/// One header message.
#[derive(Clone, Debug)]
struct Header {
    kind: HeaderKind,
    message_kind: u8,
    /// Those of its tracks that have had no other header of this kind since, and no other codec.
    in_force: TrackSet,
    payload: Bytes,
}

impl Header {
    /// Whether a new header of this kind and, if it is a data frame, with this body takes the
    /// place of this one.
    fn is_replaced_by(&self, kind: HeaderKind, body: &[u8]) -> bool {
        self.kind == kind
            && (kind != HeaderKind::DataFrame || handler(&self.payload) == handler(body))
    }

    fn is_data(&self) -> bool {
        matches!(self.kind, HeaderKind::Metadata | HeaderKind::DataFrame)
    }
}

/// The headers in force at one place of a stream.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    entries: Vec<Header>,
    /// What the metadata among them says of the picture.
    picture: Picture,
}

/// What the metadata of a stream says of its picture.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: Option<u32>,
    /// Rows of pixels.
    pub height: Option<u32>,
    /// Pictures a second.
    pub frame_rate: Option<f64>,
}

/// Which times headers get that go before something.
#[derive(Clone, Copy, Debug)]
pub struct HeaderTimes {
    /// Metadata.
    pub metadata: Timestamp,
    /// Headers of sound.
    pub sound: Timestamp,
    /// All others.
    pub others: Timestamp,
}

impl HeaderTimes {
    /// One time for all.
    pub fn all(time: Timestamp) -> Self {
        Self {
            metadata: time,
            sound: time,
            others: time,
        }
    }
}

impl Headers {
    /// Whether this very header is in force already, for all its tracks; repeats are no change.
    pub fn contains(&self, kind: HeaderKind, tracks: &TrackSet, payload: &Payload<'_>) -> bool {
        self.entries.iter().any(|entry| {
            entry.kind == kind && entry.in_force == *tracks && is_same(&entry.payload, payload)
        })
    }

    /// This set with one more header, which replaces those of its kind for its tracks. None
    /// when the header is too long, or too many or too much are there: it is relayed, but not kept.
    pub fn with(
        &self,
        kind: HeaderKind,
        message_kind: u8,
        tracks: TrackSet,
        payload: &Payload<'_>,
    ) -> Option<Self> {
        if payload.len() > limits::SEQUENCE_HEADER_BYTES_MAX {
            return None;
        }
        let body: Bytes = payload.to_vec().into();
        let Self {
            mut entries,
            picture,
        } = self.reduced(&tracks, |entry| entry.is_replaced_by(kind, &body));
        let bytes = bytes_of(entries.iter());
        if entries.len() >= limits::HEADERS_MAX || bytes + body.len() > limits::HEADERS_BYTES_MAX {
            return None;
        }
        if kind == HeaderKind::DataFrame {
            let is_one = |entry: &&Header| entry.kind == HeaderKind::DataFrame;
            let bytes = bytes_of(entries.iter().filter(is_one));
            if entries.iter().filter(is_one).count() >= limits::DATA_FRAMES_MAX
                || bytes + body.len() > limits::DATA_FRAMES_BYTES_MAX
            {
                return None;
            }
        }
        // Decoded here, once, and not by each report on the stream: decoding costs up to 0.1 ms.
        let picture = match kind {
            HeaderKind::Metadata => Picture::of_metadata(&body),
            _ => picture,
        };
        // Sets are many and change rarely.
        entries.reserve_exact(1);
        entries.push(Header {
            kind,
            message_kind,
            in_force: tracks,
            payload: body,
        });
        Some(Self { entries, picture })
    }

    /// This set without what such a header replaces, for one that is not kept itself.
    pub fn without(&self, kind: HeaderKind, tracks: &TrackSet, payload: &Payload<'_>) -> Self {
        // Of a data frame, which may be long, only the name counts.
        let body = match kind {
            HeaderKind::DataFrame => payload.to_vec(),
            _ => Vec::new(),
        };
        self.reduced(tracks, |entry| entry.is_replaced_by(kind, &body))
    }

    /// This set without the headers of `tracks` that travel as messages of one kind: these tracks
    /// have another codec now.
    pub fn without_tracks(&self, message_kind: u8, tracks: &TrackSet) -> Self {
        self.reduced(tracks, |entry| entry.message_kind == message_kind)
    }

    /// This set without the data kept under this handler name, or without any.
    pub fn without_data(&self, name: Option<&[u8]>) -> Self {
        let is_cleared =
            |entry: &Header| entry.is_data() && (name.is_none() || handler(&entry.payload) == name);
        self.reduced(&TrackSet::DEFAULT, is_cleared)
    }

    /// This set with those that `is_over` holds for no longer in force for `tracks`, and without
    /// those that are in force for no track.
    fn reduced(&self, tracks: &TrackSet, is_over: impl Fn(&Header) -> bool) -> Self {
        let mut entries = self.entries.clone();
        entries.retain_mut(|entry| {
            if is_over(entry) {
                entry.in_force = entry.in_force.without(tracks);
            }
            !entry.in_force.is_empty()
        });
        let has_metadata = entries
            .iter()
            .any(|entry| entry.kind == HeaderKind::Metadata);
        let picture = if has_metadata {
            self.picture
        } else {
            Picture::default()
        };
        Self { entries, picture }
    }

    /// Whether players get the same of both sets. One is made of the other.
    pub fn is_same_for_players(&self, other: &Self) -> bool {
        // A body is shared and never rewritten.
        self.entries.len() == other.entries.len()
            && self
                .entries
                .iter()
                .zip(&other.entries)
                .all(|(one, two)| one.payload.as_ptr() == two.payload.as_ptr())
    }

    /// Those that travel as messages of one kind: audio, video or data.
    pub fn of(&self, message_kind: u8) -> Self {
        let is_of = |entry: &&Header| entry.message_kind == message_kind;
        let entries = self.entries.iter().filter(is_of).cloned().collect();
        let picture = self.picture;
        Self { entries, picture }
    }

    /// The same set as encoders send it to servers: metadata and other kept data in
    /// `@setDataFrame`.
    pub fn to_publish(&self) -> Self {
        let mut entries = self.entries.clone();
        for entry in &mut entries {
            if entry.is_data() {
                entry.payload = in_data_frame(&entry.payload).into();
            }
        }
        let picture = self.picture;
        Self { entries, picture }
    }

    /// A set of one message, which has a server drop all data that it keeps.
    pub fn clear() -> Self {
        let entry = Header {
            kind: HeaderKind::DataFrame,
            message_kind: kind::DATA,
            in_force: TrackSet::DEFAULT,
            payload: Bytes::from_static(b"\x02\0\x0F@clearDataFrame"),
        };
        Self {
            entries: vec![entry],
            picture: Picture::default(),
        }
    }

    /// The body of a data message as encoders send it to servers: in `@setDataFrame` where it is
    /// metadata or kept by that. None for any other body, which is sent as it is.
    pub fn data_to_publish(&self, body: &[u8]) -> Option<Vec<u8>> {
        let is_it = |entry: &Header| entry.is_data() && entry.payload[..] == *body;
        let is_kept = handler(body) == Some(b"onMetaData") || self.entries.iter().any(is_it);
        is_kept.then(|| in_data_frame(body))
    }

    /// Whether there is one that says how to decode video.
    pub fn has_video_sequence(&self) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|entry| entry.kind == HeaderKind::VideoSequence)
    }

    /// Returns what the latest onMetaData says of the picture.
    pub fn picture(&self) -> Picture {
        self.picture
    }

    /// How many headers there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Memory of the set in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes_beside(&Self::default())
    }

    /// Memory of the set in bytes, without the payloads it shares with `next`, a set that was
    /// made of this one.
    pub fn bytes_beside(&self, next: &Self) -> usize {
        // What is left of a set stays in its order, and what is new comes last.
        let mut theirs = next
            .entries
            .iter()
            .map(|entry| entry.payload.as_ptr())
            .peekable();
        let mut bytes = self.entries.capacity() * size_of::<Header>();
        for Header { payload, .. } in &self.entries {
            if theirs.next_if_eq(&payload.as_ptr()).is_none() {
                bytes += payload.len();
            }
        }
        bytes
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Writes all headers as messages on message stream `msid`, in the order of
    /// [`in_order`](Self::in_order).
    pub fn write(
        &self,
        out: &mut Vec<u8>,
        msid: MessageStreamId,
        at: HeaderTimes,
        chunk_size: usize,
    ) {
        for (kind, time, payload) in self.in_order(at) {
            let header = MessageHeader {
                csid: super::log::csid_of(kind),
                timestamp: time,
                kind,
                msid,
                len: payload.len(),
            };
            write_message(out, &header, &Payload::from_slice(payload), chunk_size);
        }
    }

    /// All headers as messages: kind, time and body. Metadata first, then the others as they came.
    pub fn in_order(&self, at: HeaderTimes) -> impl Iterator<Item = (u8, Timestamp, &[u8])> {
        let is_metadata = |header: &&Header| header.kind == HeaderKind::Metadata;
        let first = self.entries.iter().filter(is_metadata);
        let rest = self
            .entries
            .iter()
            .filter(move |header| !is_metadata(header));
        let first = first.map(move |header| (at.metadata, header));
        let rest = rest.map(move |header| match header.message_kind {
            kind::AUDIO => (at.sound, header),
            _ => (at.others, header),
        });
        first
            .chain(rest)
            .map(|(time, header)| (header.message_kind, time, &header.payload[..]))
    }
}

impl Picture {
    /// Reads the body of an onMetaData message, its name first.
    fn of_metadata(body: &[u8]) -> Self {
        let mut decoder = Decoder::new(body, Limits::DEFAULT);
        // The name of the handler.
        let _: Option<()> = decoder.next().ok().flatten().map(drop);
        let value = decoder.next().ok().flatten();
        let Some(properties) = value.and_then(|value| value.as_object()) else {
            return Self::default();
        };
        let number = |key: &str| properties.get_ignore_case(key)?.as_number();
        let pixels = |key: &str| {
            let whole = Value::Number(number(key)?.round());
            whole.as_u32().filter(|pixels| *pixels > 0)
        };
        let rate = number("framerate").or_else(|| number("videoframerate"));
        Self {
            width: pixels("width"),
            height: pixels("height"),
            frame_rate: rate.filter(|rate| rate.is_finite() && *rate > 0.0),
        }
    }
}

fn in_data_frame(body: &[u8]) -> Vec<u8> {
    let mut wrapped = Vec::with_capacity(body.len() + 16);
    Encoder::new(&mut wrapped).string("@setDataFrame");
    wrapped.extend_from_slice(body);
    wrapped
}

/// The handler name that a data message begins with.
fn handler(body: &[u8]) -> Option<&[u8]> {
    let name = Decoder::new(body, Limits::DEFAULT).next().ok()??;
    name.as_bytes()
}

fn bytes_of<'a>(entries: impl Iterator<Item = &'a Header>) -> usize {
    entries.map(|entry| entry.payload.len()).sum()
}

fn is_same(known: &[u8], payload: &Payload<'_>) -> bool {
    let mut rest = known;
    payload.len() == known.len()
        && payload
            .slices()
            .all(|piece| match rest.strip_prefix(piece) {
                Some(after) => {
                    rest = after;
                    true
                }
                None => false,
            })
}

#[cfg(test)]
#[expect(
    clippy::single_range_in_vec_init,
    reason = "payloads are lists of ranges"
)]
mod tests {
    use super::*;
    use crate::rtmp::message::kind;

    fn tracks(ids: &[u8]) -> TrackSet {
        let mut set = TrackSet::default();
        for &id in ids {
            set.insert(id);
        }
        set
    }

    fn put(headers: &Headers, kind: HeaderKind, ids: &[u8], body: &[u8]) -> Headers {
        headers
            .with(kind, kind::VIDEO, tracks(ids), &Payload::from_slice(body))
            .unwrap()
    }

    fn bodies(headers: &Headers) -> Vec<&[u8]> {
        headers
            .entries
            .iter()
            .map(|entry| &entry.payload[..])
            .collect()
    }

    #[test]
    fn a_new_header_replaces_those_of_its_kind_and_tracks() {
        let set = put(&Headers::default(), HeaderKind::VideoSequence, &[0], b"a");
        let set = put(&set, HeaderKind::VideoSequence, &[1], b"b");
        let set = put(&set, HeaderKind::VideoMetadata, &[0], b"hdr");
        assert_eq!(bodies(&set), [&b"a"[..], b"b", b"hdr"]);
        let set = put(&set, HeaderKind::VideoSequence, &[0], b"c");
        assert_eq!(bodies(&set), [&b"b"[..], b"hdr", b"c"]);
        let set = put(&set, HeaderKind::VideoSequence, &[0, 1, 2], b"all");
        assert_eq!(bodies(&set), [&b"hdr"[..], b"all"]);
        let set = put(&set, HeaderKind::VideoSequence, &[1], b"one of three");
        assert_eq!(bodies(&set), [&b"hdr"[..], b"all", b"one of three"]);
    }

    #[test]
    fn metadata_says_what_the_picture_is() {
        let mut body = Vec::new();
        Encoder::new(&mut body).string("onMetaData");
        // An object: width 1280, height 0, framerate 29.97.
        body.push(3);
        for (name, value) in [("width", 1_280.0), ("height", 0.0), ("framerate", 29.97)] {
            body.extend(u16::try_from(name.len()).unwrap().to_be_bytes());
            body.extend(name.as_bytes());
            body.push(0);
            body.extend(f64::to_be_bytes(value));
        }
        body.extend([0, 0, 9]);
        let set = put(&Headers::default(), HeaderKind::Metadata, &[0], &body);
        let picture = Picture {
            width: Some(1_280),
            height: None,
            frame_rate: Some(29.97),
        };
        assert_eq!(set.picture(), picture);
        // Other headers leave it as it is, metadata that says nothing of it does not.
        let set = put(&set, HeaderKind::VideoSequence, &[0], b"a");
        assert_eq!(set.picture(), picture);
        let set = put(&set, HeaderKind::Metadata, &[0], b"\x02\0\x01x");
        assert_eq!(set.picture(), Picture::default());
    }

    #[test]
    fn repeats_are_recognised_in_pieces_too() {
        let set = put(&Headers::default(), HeaderKind::VideoSequence, &[0], b"abc");
        let range = [1..3];
        let pieces = Payload::new(b"a", b"_bc", &range, 3);
        assert!(set.contains(HeaderKind::VideoSequence, &tracks(&[0]), &pieces));
        assert!(!set.contains(HeaderKind::VideoSequence, &tracks(&[1]), &pieces));
        assert!(!set.contains(HeaderKind::AudioSequence, &tracks(&[0]), &pieces));
        let other = Payload::from_slice(b"abd");
        assert!(!set.contains(HeaderKind::VideoSequence, &tracks(&[0]), &other));
    }

    #[test]
    fn what_sets_share_counts_for_the_later_one() {
        let kind = HeaderKind::VideoSequence;
        let first = put(&Headers::default(), kind, &[0], &[0; 1_000]);
        let first = put(&first, kind, &[1], &[0; 3_000]);
        let alone = first.bytes() - 4_000;
        let more = put(&first, kind, &[2], b"c");
        assert_eq!(first.bytes_beside(&more), alone);
        let changed = put(&first, kind, &[0], &[1; 1_000]);
        assert_eq!(first.bytes_beside(&changed), alone + 1_000);
        let others = put(&Headers::default(), kind, &[0], &[0; 1_000]);
        assert_eq!(first.bytes_beside(&others), alone + 4_000);
    }

    #[test]
    fn all_together_are_bounded() {
        let (kind, long) = (
            HeaderKind::VideoSequence,
            [0; limits::SEQUENCE_HEADER_BYTES_MAX],
        );
        let mut set = Headers::default();
        for id in 0..4 {
            set = put(&set, kind, &[id], &long);
        }
        let body = Payload::from_slice(b"x");
        assert!(set.with(kind, 9, tracks(&[4]), &body).is_none());
        // One that takes the place of another is measured without it.
        assert!(
            set.with(kind, 9, tracks(&[3]), &Payload::from_slice(&long))
                .is_some()
        );
    }

    #[test]
    fn count_and_length_are_bounded() {
        let mut set = Headers::default();
        let long = vec![0; limits::SEQUENCE_HEADER_BYTES_MAX + 1];
        let kind = HeaderKind::VideoSequence;
        assert!(
            set.with(kind, 9, tracks(&[0]), &Payload::from_slice(&long))
                .is_none()
        );
        for id in 0..u8::try_from(limits::HEADERS_MAX).unwrap() {
            set = put(&set, kind, &[id], b"x");
        }
        let body = Payload::from_slice(b"x");
        assert!(set.with(kind, 9, tracks(&[200]), &body).is_none());
        assert!(set.with(kind, 9, tracks(&[3]), &body).is_some());
    }
}
