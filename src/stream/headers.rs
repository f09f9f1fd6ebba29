//! What a player needs before it can decode: metadata and sequence headers, the latest of each
//! kind and track, in the order they came.
//!
//! A set is immutable and shared; a change makes a new one. It is bounded in entries and bytes.

use bytes::Bytes;

use crate::limits;
use crate::rtmp::amf0::{Decoder, Encoder, Limits, Value};
use crate::rtmp::media::TrackSet;
use crate::rtmp::message::{MessageHeader, Payload, Timestamp};
use crate::rtmp::writer::write_message;

/// Which header replaces which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderKind {
    /// onMetaData.
    Metadata,
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
    tracks: TrackSet,
    payload: Bytes,
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

impl Headers {
    /// Whether this very header is in force already; repeats are no change.
    pub fn contains(&self, kind: HeaderKind, tracks: &TrackSet, payload: &Payload<'_>) -> bool {
        self.entries.iter().any(|entry| {
            entry.kind == kind && entry.tracks == *tracks && is_same(&entry.payload, payload)
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
        let mut entries: Vec<Header> = self
            .entries
            .iter()
            .filter(|entry| {
                entry.kind != kind || entry.tracks.iter().any(|track| !tracks.contains(track))
            })
            .cloned()
            .collect();
        let bytes: usize = entries.iter().map(|entry| entry.payload.len()).sum();
        if entries.len() >= limits::HEADERS_MAX || bytes + payload.len() > limits::HEADERS_BYTES_MAX
        {
            return None;
        }
        let payload: Bytes = payload.to_vec().into();
        // Decoded here, once, and not by each report on the stream: decoding costs up to 0.1 ms.
        let picture = match kind {
            HeaderKind::Metadata => Picture::of_metadata(&payload),
            _ => self.picture,
        };
        entries.push(Header {
            kind,
            message_kind,
            tracks,
            payload,
        });
        Some(Self { entries, picture })
    }

    /// Those that travel as messages of one kind: audio, video or data.
    pub fn of(&self, message_kind: u8) -> Self {
        let is_of = |entry: &&Header| entry.message_kind == message_kind;
        let entries = self.entries.iter().filter(is_of).cloned().collect();
        let picture = self.picture;
        Self { entries, picture }
    }

    /// The same set as encoders send it to servers: metadata in `@setDataFrame`.
    pub fn to_publish(&self) -> Self {
        let mut entries = self.entries.clone();
        for entry in &mut entries {
            if entry.kind == HeaderKind::Metadata
                && let Some(payload) = to_publish(&entry.payload)
            {
                entry.payload = payload.into();
            }
        }
        let picture = self.picture;
        Self { entries, picture }
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
        msid: u32,
        metadata_at: Timestamp,
        timestamp: Timestamp,
        chunk_size: usize,
    ) {
        for (kind, time, payload) in self.in_order(metadata_at, timestamp) {
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

    /// All headers as messages: kind, time and body. Metadata first, at its own time, then the
    /// others as they came, at `timestamp`.
    pub fn in_order(
        &self,
        metadata_at: Timestamp,
        timestamp: Timestamp,
    ) -> impl Iterator<Item = (u8, Timestamp, &[u8])> {
        let is_metadata = |header: &&Header| header.kind == HeaderKind::Metadata;
        let first = self.entries.iter().filter(is_metadata);
        let rest = self
            .entries
            .iter()
            .filter(move |header| !is_metadata(header));
        let first = first.map(move |header| (metadata_at, header));
        let rest = rest.map(move |header| (timestamp, header));
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

/// The body of a data message as encoders send it to servers: metadata in `@setDataFrame`. None
/// for any other body, which is sent as it is.
pub fn to_publish(body: &[u8]) -> Option<Vec<u8>> {
    let name = Decoder::new(body, Limits::DEFAULT).next().ok()??;
    if name.as_bytes() != Some(b"onMetaData") {
        return None;
    }
    let mut wrapped = Vec::with_capacity(body.len() + 16);
    Encoder::new(&mut wrapped).string("@setDataFrame");
    wrapped.extend_from_slice(body);
    Some(wrapped)
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
        let set = put(&Headers::default(), HeaderKind::Metadata, &[], &body);
        let picture = Picture {
            width: Some(1_280),
            height: None,
            frame_rate: Some(29.97),
        };
        assert_eq!(set.picture(), picture);
        // Other headers leave it as it is, metadata that says nothing of it does not.
        let set = put(&set, HeaderKind::VideoSequence, &[0], b"a");
        assert_eq!(set.picture(), picture);
        let set = put(&set, HeaderKind::Metadata, &[], b"\x02\0\x01x");
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
