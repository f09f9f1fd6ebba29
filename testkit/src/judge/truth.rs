//! What publishers sent, message by message: what every player is measured against.
//!
//! A message carries the number of its publication and its own, where it is long enough for
//! them, so that one that turns up anywhere can be looked up; and its bytes are its own, so that
//! two of them are never taken for each other.

use std::rc::Rc;

use tailwater_rtmp::message::{Message, MessageHeader, MessageStreamId, Payload, Timestamp, kind};
use tailwater_rtmp::writer::encoded_len;

use crate::rng::fill;

/// What a player has to have before it can decode. The values are indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// `onMetaData`.
    Metadata = 0,
    /// The header of a video sequence.
    Video = 1,
    /// Metadata of video, of E-RTMP.
    VideoMetadata = 2,
    /// The header of an audio sequence.
    Audio = 3,
}

/// Which header of each kind counts, by its number.
pub type InForce = [Option<u32>; 4];

/// A message as players are to get it.
#[derive(Debug)]
pub struct Entry {
    /// Message type id.
    pub kind: u8,
    /// What the publisher stamped it with.
    pub time: u32,
    /// Its payload.
    pub body: Rc<[u8]>,
    /// Sound or a picture, and no header.
    pub coded: bool,
    /// Too short to carry its number.
    pub nameless: bool,
    /// Nothing coded has come before it.
    pub early: bool,
    /// A player may start here.
    pub sync: bool,
    /// A coded picture that needs others; when its publication sent the last key frame before it,
    /// or else its first picture.
    pub inter: Option<u64>,
    /// No key frame has come before it, or none for long: nobody may get it.
    pub optional: bool,
    /// Sound; when the last picture before it was sent, unless that could not go to players.
    after_picture: Option<u64>,
    /// A player that waits has to start here.
    pub sure: bool,
    /// What header it is, and its number.
    pub header: Option<(Need, u32)>,
    /// The headers that count after this message.
    pub in_force: InForce,
    /// The stamp players see, once one has seen it: all see the same.
    pub seen_at: Option<u32>,
    /// Bytes that it takes in a log, at most.
    pub wire_bytes: u64,
}

/// What one publisher sends between publish and unpublish.
#[derive(Debug)]
pub struct Publication {
    /// Its index among all.
    pub number: u32,
    /// Which life of the stream it belongs to; known once it is accepted.
    pub epoch: Option<u64>,
    /// Its messages in order.
    pub entries: Vec<Entry>,
    /// Its headers, each once.
    pub headers: Vec<(Need, Rc<[u8]>)>,
    /// What is added to its times.
    pub shift: Option<u32>,
    /// Its timestamps step, or its tracks are apart.
    pub is_unsteady: bool,
    /// When it sent its first picture, its last key frame, and its last picture behind that.
    first_picture: Option<u64>,
    last_key: Option<u64>,
    last_picture: Option<u64>,
    /// Its messages were late, so that pictures may have waited for a key frame.
    pub was_late: bool,
    /// The last message that anybody got before the next publication.
    pub closed_at: Option<usize>,
    /// The last message that anybody got.
    pub seen_to: Option<usize>,
    /// Whoever sends it still does.
    pub open: bool,
}

/// One stream name.
#[derive(Debug)]
pub struct Line {
    /// With its app.
    pub name: String,
    /// Accepted publications in order.
    pub order: Vec<u32>,
}

/// See the module text.
#[derive(Debug)]
pub struct Truth {
    /// All of them, in the order in which they were begun.
    pub publications: Vec<Publication>,
    /// The streams there are.
    pub lines: Vec<Line>,
    /// Chunk size of the relay, to know what a message takes in a log.
    pub chunk_size: usize,
    /// How far a player may be behind, in bytes.
    pub lag_bytes: u64,
    /// How much a log keeps, in bytes.
    pub log_bytes: u64,
    /// How much a log keeps, in milliseconds.
    pub window_ms: u32,
    /// Audio without video for so many milliseconds counts as audio only.
    pub pictures_gone_ms: u64,
    /// Pictures without a key frame for so many milliseconds come all the same.
    pub pictures_wait_ms: u64,
    /// Milliseconds since the world began.
    pub now: u64,
    /// Players start at once, with sound if need be.
    pub starts_at_once: bool,
    /// All encoders have key frames and one steady clock.
    pub is_plain: bool,
}

/// A place in a stream: index among its publications, index among the messages of that one.
pub type Place = (usize, usize);

/// A message that is about to be sent.
#[derive(Debug)]
pub struct Draft {
    /// Message type id.
    pub kind: u8,
    /// What it is stamped with.
    pub time: u32,
    /// The first bytes, which say what it is.
    pub head: Vec<u8>,
    /// Length of the body; head and numbers are left out of bodies shorter than them.
    pub len: usize,
    /// Which header it is, if it is one.
    pub header: Option<Need>,
    /// Sends a header again instead of a new one.
    pub again: Option<u32>,
    /// Sound or a picture, and no header.
    pub coded: bool,
    /// A picture that can be decoded by itself.
    pub key: bool,
}

/// Bytes that number a message.
pub const NUMBER_BYTES: usize = 8;

/// Set in the number of a header.
const IS_HEADER: u32 = 1 << 31;

/// A publication with less in between is never taken for one without pictures.
const LATE_MS: u64 = 5_000;

impl Truth {
    /// The stream of this name.
    pub fn line(&self, name: &str) -> Option<usize> {
        self.lines.iter().position(|line| line.name == name)
    }

    /// The name of a stream, without its app.
    pub fn key(&self, stream: usize) -> &str {
        self.lines[stream].name.trim_start_matches("live/")
    }

    /// A publisher is about to ask for a stream.
    pub fn open(&mut self) -> usize {
        let number = u32::try_from(self.publications.len()).unwrap();
        self.publications.push(Publication {
            number,
            epoch: None,
            entries: Vec::new(),
            headers: Vec::new(),
            shift: None,
            is_unsteady: false,
            first_picture: None,
            last_key: None,
            last_picture: None,
            was_late: false,
            closed_at: None,
            seen_to: None,
            open: true,
        });
        self.publications.len() - 1
    }

    /// The publication at index `at` of a stream's order.
    pub fn at(&self, stream: usize, at: usize) -> &Publication {
        &self.publications[self.lines[stream].order[at] as usize]
    }

    /// The message at a place.
    pub fn entry(&self, stream: usize, place: Place) -> &Entry {
        &self.at(stream, place.0).entries[place.1]
    }

    /// The message at a place, which was received like this.
    ///
    /// # Errors
    /// It was not sent like this, or not at all.
    pub fn sent(
        &self,
        stream: usize,
        place: Place,
        message: &Message<'_>,
    ) -> Result<&Entry, &'static str> {
        let entry = self.at(stream, place.0).entries.get(place.1);
        let entry = entry.ok_or("a message that was not sent yet")?;
        match entry.is(message.header.kind, &message.payload) {
            true => Ok(entry),
            false => Err("a message that was changed on the way"),
        }
    }

    /// Writes `draft` down as the next message of a publication; its body.
    pub fn add(&mut self, publication: usize, draft: &Draft) -> Rc<[u8]> {
        let (chunk_size, now) = (self.chunk_size, self.now);
        self.publications[publication].add(draft, chunk_size, now)
    }

    /// Whether a player may start at `entry` as far as anybody can tell now.
    pub fn may_start(&self, entry: &Entry) -> bool {
        let is_past = |since: u64, wait: u64| self.now >= since + wait;
        entry.sync
            || entry
                .inter
                .is_some_and(|since| is_past(since, self.pictures_wait_ms))
            || entry
                .after_picture
                .is_some_and(|since| is_past(since, self.pictures_gone_ms))
    }

    /// The machine stood still: what was sent may have come late, also of those who have gone.
    pub fn leap(&mut self) {
        self.publications
            .iter_mut()
            .for_each(Publication::note_late);
    }

    /// The network has kept some of a publication back since `since`.
    pub fn note_kept_back(&mut self, publication: usize, since: u64) {
        if self.now > since + LATE_MS {
            self.publications[publication].note_late();
        }
    }

    /// Whether pictures of a stream may have waited for another key frame, which nobody can tell.
    pub fn was_late(&self, stream: usize) -> bool {
        let mut order = self.lines[stream].order.iter();
        order.any(|number| self.publications[*number as usize].was_late)
    }

    /// Whether what a player sees of a stream does not follow from the timestamps alone.
    pub fn is_unsteady(&self, stream: usize) -> bool {
        let mut order = self.lines[stream].order.iter();
        order.any(|number| self.publications[*number as usize].is_unsteady)
    }

    /// Which message of `stream` has this payload by its own account: place in the order, and
    /// its number.
    pub fn identify(&self, stream: usize, kind: u8, body: &[u8]) -> Option<(usize, u32)> {
        let at = match kind {
            kind::VIDEO if body.first()? & 0x8F == 0x86 => 7,
            kind::VIDEO => 5,
            kind::AUDIO if body.first()? >> 4 == 9 => 5,
            kind::AUDIO => 2,
            _ => 3 + usize::from(u16::from_be_bytes([*body.get(1)?, *body.get(2)?])),
        };
        let numbers = body.get(at..at + NUMBER_BYTES)?;
        let half = |at: usize| u32::from_be_bytes(numbers[at..at + 4].try_into().unwrap());
        let order = &self.lines[stream].order;
        let place = order.iter().position(|number| *number == half(0))?;
        Some((place, half(4)))
    }

    /// Whether a log reaches back to the message at `time` for certain.
    pub fn keeps(&self, stream: usize, time: u32) -> bool {
        let order = 0..self.lines[stream].order.len();
        let mut entries = order.flat_map(|at| {
            let entries = self.at(stream, at).entries.iter().enumerate();
            entries.map(move |(seq, entry)| ((at, seq), entry))
        });
        let newest = entries.clone().rev().find_map(|(_, entry)| entry.seen_at);
        let age = newest.map_or(u32::MAX, |newest| newest.wrapping_sub(time));
        // What is not seen yet may be newer.
        age < self.window_ms / 2
            && entries.any(|(place, entry)| {
                entry.seen_at == Some(time) && self.bytes_behind(stream, place) < self.log_bytes / 2
            })
    }

    /// Bytes that a log has behind `place`, at most.
    pub fn bytes_behind(&self, stream: usize, place: Place) -> u64 {
        let order = &self.lines[stream].order;
        (place.0..order.len())
            .map(|at| {
                let first = if at == place.0 { place.1 + 1 } else { 0 };
                let entries = self.at(stream, at).entries.iter().skip(first);
                entries.map(|entry| entry.wire_bytes).sum::<u64>()
            })
            .sum()
    }
}

impl Entry {
    /// Whether a message of this type with this payload is this one.
    pub fn is(&self, message_kind: u8, payload: &Payload<'_>) -> bool {
        self.kind == message_kind && is_same(payload, &self.body)
    }

    /// Whether it is a picture, and no header.
    pub fn is_picture(&self) -> bool {
        self.kind == kind::VIDEO && self.coded
    }
}

impl Publication {
    /// Some of it may come so late that its pictures wait for another key frame.
    fn note_late(&mut self) {
        self.was_late = true;
        for entry in &mut self.entries {
            entry.optional |= entry.inter.is_some();
        }
    }

    /// The headers that count after all it has sent.
    pub fn in_force(&self) -> InForce {
        self.entries.last().map_or([None; 4], |last| last.in_force)
    }

    /// Index among [`headers`](Self::headers) of the one that a number names.
    pub fn header_index(tag: u32) -> Option<usize> {
        (tag & IS_HEADER != 0).then_some((tag & !IS_HEADER) as usize)
    }

    fn add(&mut self, draft: &Draft, chunk_size: usize, now: u64) -> Rc<[u8]> {
        let seq = u32::try_from(self.entries.len()).unwrap();
        let mut in_force = self.in_force();
        let mut header = None;
        let body: Rc<[u8]> = match (draft.header, draft.again) {
            (Some(need), Some(tag)) => {
                header = Some((need, tag));
                in_force[need as usize] = Some(tag);
                self.headers[Self::header_index(tag).unwrap()].1.clone()
            }
            (Some(need), None) => {
                let tag = IS_HEADER | u32::try_from(self.headers.len()).unwrap();
                let body = self.body(draft, tag);
                self.headers.push((need, body.clone()));
                header = Some((need, tag));
                in_force[need as usize] = Some(tag);
                body
            }
            (None, _) => self.body(draft, seq),
        };
        let is_sound = draft.kind == kind::AUDIO && draft.coded;
        let is_picture = draft.kind == kind::VIDEO && draft.coded;
        let is_alone = is_sound && self.last_picture.is_none();
        let (sync, sure) = (
            draft.key || is_alone,
            draft.key || is_alone && self.first_picture.is_none(),
        );
        self.was_late |= self.last_picture.is_some_and(|last| now > last + LATE_MS);
        let mut inter = None;
        if is_picture {
            let first = *self.first_picture.get_or_insert(now);
            if draft.key {
                self.last_key = Some(now);
            } else {
                inter = Some(self.last_key.unwrap_or(first));
            }
            self.last_picture = self.last_key.map(|_| now);
        }
        let optional = match self.last_key {
            None => draft.kind == kind::VIDEO,
            Some(_) => inter.is_some() && self.was_late,
        };
        let message = MessageHeader {
            csid: 4,
            // The long form of a time takes four bytes more in every chunk; a bound is enough.
            timestamp: Timestamp(u32::MAX),
            kind: draft.kind,
            msid: MessageStreamId(1),
            len: body.len(),
        };
        self.entries.push(Entry {
            kind: draft.kind,
            time: draft.time,
            body: body.clone(),
            coded: draft.coded,
            nameless: body.len() < draft.head.len() + NUMBER_BYTES,
            early: !draft.coded && self.entries.last().is_none_or(|last| last.early),
            sync,
            inter,
            optional,
            after_picture: self.last_picture.filter(|_| is_sound),
            sure,
            header,
            in_force,
            seen_at: None,
            wire_bytes: encoded_len(&message, chunk_size) as u64,
        });
        body
    }

    fn body(&self, draft: &Draft, tag: u32) -> Rc<[u8]> {
        let mut body = vec![0; draft.len];
        fill(&mut body, u64::from(self.number) << 32 | u64::from(tag));
        let head = draft.head.len();
        if draft.len < head + NUMBER_BYTES {
            let count = head.min(draft.len);
            body[..count].copy_from_slice(&draft.head[..count]);
        } else {
            body[..head].copy_from_slice(&draft.head);
            body[head..head + 4].copy_from_slice(&self.number.to_be_bytes());
            body[head + 4..head + NUMBER_BYTES].copy_from_slice(&tag.to_be_bytes());
        }
        body.into()
    }
}

/// Whether a payload has these bytes.
pub fn is_same(payload: &Payload<'_>, body: &[u8]) -> bool {
    let mut rest = body;
    payload.len() == body.len()
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
