//! Judges what players of a stream get.

use core::time::Duration;
use std::collections::BTreeMap;

use super::script::{Publisher, metadata};
use super::{LIMITS, Reached, is_media};
use tailwater::limits;
use tailwater::rtmp::media::{FrameKind, Inspection, inspect_audio, inspect_video};
use tailwater::rtmp::message::{MessageHeader, Timestamp, kind};
use tailwater::stream::cursor::{Cursor, Place, StartAt};
use tailwater::stream::headers::{HeaderTimes, Headers};
use tailwater::stream::log::{Frame, StreamLog};

const STEP_MAX_MS: u128 = limits::CLOCK_STEP_MAX.as_millis();

/// What is known of a message in the log.
#[derive(Clone, Debug)]
struct Sent {
    kind: u8,
    seen: Option<Inspection>,
    body: Vec<u8>,
    /// Who published it.
    publisher: u8,
    /// The codec headers that were in force when it came, as far as that is known.
    in_force: [Option<Vec<u8>>; 2],
    /// Pictures go to players as they come.
    as_they_come: bool,
}

/// The time of one track.
#[derive(Clone, Copy, Debug, Default)]
struct Track {
    /// Time of the last coded message by its publisher, ...
    last: Option<Timestamp>,
    /// ... and of the last in the log.
    out: Option<Timestamp>,
    /// The publisher has stepped back since.
    has_stepped: bool,
}

impl Track {
    /// The publisher sends a coded message of the track.
    fn note(&mut self, time: Timestamp) {
        let before = self.last.replace(time);
        self.has_stepped |= before.is_some_and(|before| time.since(before) < 0);
    }
}

/// See the module text.
#[derive(Debug, Default)]
pub(super) struct Judge {
    sent: BTreeMap<u64, Sent>,
    tracks: [Track; 2],
    /// The newest time that players had seen when the publisher began.
    floor: Option<Timestamp>,
    /// When its first picture came.
    pictures_since: Option<Duration>,
    has_key: bool,
    as_they_come: bool,
    /// The last picture went to nobody.
    was_held: bool,
    in_force: [Option<Vec<u8>>; 2],
    /// Headers came too fast to be kept.
    is_fast: bool,
}

impl Judge {
    /// Another publisher begins.
    pub(super) fn begin(&mut self, newest: Option<Timestamp>) {
        *self = Self {
            sent: std::mem::take(&mut self.sent),
            floor: newest,
            ..Self::default()
        };
    }

    pub(super) fn count_unkept(&mut self, count: u64) {
        self.is_fast |= count > 0;
    }

    /// The body that was published at this place of the log.
    pub(super) fn body_at(&self, start: u64) -> &[u8] {
        &self.sent[&start].body
    }

    /// A message went to nobody: a picture ahead of its key frame.
    pub(super) fn held(&mut self, header: &MessageHeader, body: &[u8], now: Duration) {
        let seen = inspect(header.kind, body).expect("data goes to everybody");
        let needs_others = matches!(seen.kind, FrameKind::Inter | FrameKind::Disposable);
        assert!(needs_others, "{seen:?}");
        self.pictures_since.get_or_insert(now);
        self.was_held = true;
        self.note_header(header.kind, Some(&seen), body);
        self.tracks[1].note(header.timestamp);
    }

    /// A message went into the log.
    pub(super) fn appended(
        &mut self,
        (start, frame): (u64, Frame),
        header: &MessageHeader,
        body: &[u8],
        publisher: &Publisher,
        now: Duration,
    ) {
        let seen = inspect(header.kind, body);
        if let Some(seen) = seen.filter(|seen| seen.kind.is_coded()) {
            self.judge_time(header, frame.timestamp);
            if header.kind == kind::VIDEO {
                self.judge_picture(&seen, frame.sync, now);
            }
        }
        if let Some(floor) = self.floor {
            // A track may step back as far as that.
            let behind = i128::from(floor.since(frame.timestamp));
            let is_near = u128::try_from(behind).map_or(true, |behind| behind <= STEP_MAX_MS);
            assert!(
                is_near,
                "{behind} ms before what players had seen: {header:?}"
            );
        }
        self.note_header(header.kind, seen.as_ref(), body);
        let sent = Sent {
            kind: header.kind,
            seen,
            body: match header.kind {
                kind::DATA => metadata(publisher.number, false),
                _ => body.to_vec(),
            },
            publisher: publisher.number,
            in_force: self.in_force.clone(),
            as_they_come: self.as_they_come,
        };
        self.sent.insert(start, sent);
    }

    /// Time goes back no further than that of the publisher.
    fn judge_time(&mut self, header: &MessageHeader, time: Timestamp) {
        let track = &mut self.tracks[usize::from(header.kind == kind::VIDEO)];
        track.note(header.timestamp);
        if let Some(last) = track.out {
            let most = match track.has_stepped {
                true => STEP_MAX_MS,
                false => 0,
            };
            let back = i128::from(last.since(time));
            let is_near = u128::try_from(back).map_or(true, |back| back <= most);
            assert!(
                is_near,
                "time steps back by {back} ms, {track:?}, {header:?}"
            );
        }
        (track.out, track.has_stepped) = (Some(time), false);
    }

    /// Pictures that need others come behind a key frame, or when none has come for long.
    fn judge_picture(&mut self, seen: &Inspection, is_sync: bool, now: Duration) {
        let since = *self.pictures_since.get_or_insert(now);
        // The rest of a picture that was held comes with those that need no key frame any more.
        let is_rest = std::mem::take(&mut self.was_held);
        match seen.kind {
            FrameKind::Keyframe => (self.has_key, self.as_they_come) = (true, false),
            FrameKind::Inter | FrameKind::Disposable => {
                let has_waited = now - since >= limits::PICTURES_WAIT;
                assert!(self.has_key || has_waited, "a picture before its key frame");
                self.as_they_come |= is_sync || is_rest || !self.has_key;
            }
            _ => self.as_they_come |= is_sync,
        }
    }

    /// Which codec headers players need from here on.
    fn note_header(&mut self, message_kind: u8, seen: Option<&Inspection>, body: &[u8]) {
        let Some(seen) = seen.filter(|_| is_media(message_kind)) else {
            return;
        };
        let own = &mut self.in_force[usize::from(message_kind == kind::VIDEO)];
        if seen.kind == FrameKind::SequenceHeader {
            *own = Some(body.to_vec());
        } else if seen.codec.is_some() && message_kind == kind::VIDEO {
            // With another codec the header is not in force any more.
            let first = own.as_ref().map(|own| own[0] & 0x80);
            if first.is_some_and(|first| first != body[0] & 0x80) {
                *own = None;
            }
        }
    }

    /// The headers that a player gets which begins at `offset`.
    fn judge_headers(&self, offset: u64, headers: &Headers) {
        let Some(sent) = self.sent.get(&offset) else {
            return;
        };
        let bodies: Vec<(u8, &[u8])> = headers
            .in_order(HeaderTimes::all(Timestamp(0)))
            .map(|(message_kind, _, body)| (message_kind, body))
            .collect();
        for (message_kind, body) in &bodies {
            let is_own = match *message_kind {
                kind::DATA => *body == metadata(sent.publisher, false),
                _ => body.last() == Some(&sent.publisher),
            };
            assert!(is_own, "a header of another publisher: {body:?}");
        }
        if self.is_fast {
            return;
        }
        for body in sent.in_force.iter().flatten() {
            let is_there = bodies.iter().any(|(_, its)| its == body);
            let is_it = sent.body == *body;
            assert!(
                is_there || is_it,
                "{body:?} is in force, not among {bodies:?}"
            );
        }
    }
}

/// A player of the log.
pub(super) struct Player {
    cursor: Cursor,
    /// It leaves pictures out until one that it may start at.
    is_dark: bool,
    /// It has had a key frame, or what counts as one.
    has_key: bool,
}

impl Player {
    pub(super) fn new(log: &StreamLog, start: StartAt) -> Self {
        Self {
            cursor: Cursor::new(log, start),
            is_dark: false,
            has_key: false,
        }
    }

    pub(super) fn needs_from(&self) -> Option<u64> {
        self.cursor.needs_from()
    }

    /// Reads all there is.
    pub(super) fn read(&mut self, log: &StreamLog, judge: &Judge, reached: &mut Reached) {
        loop {
            match self.cursor.settle(log, LIMITS.lag_bytes) {
                Place::Wait => return,
                Place::Start { sync, .. } => {
                    reached.starts += 1;
                    reached.live_edges += usize::from(sync.without_pictures);
                    judge.judge_headers(sync.offset, &sync.headers);
                    (self.is_dark, self.has_key) = (sync.without_pictures, false);
                }
                Place::Follow(offset) if offset == log.visible() => return,
                Place::Follow(offset) => {
                    for (start, frame) in log.frames_from(offset) {
                        self.look(frame, &judge.sent[&start]);
                        self.cursor.advance_to(frame.end);
                    }
                }
            }
        }
    }

    fn look(&mut self, frame: Frame, sent: &Sent) {
        assert_eq!(frame.kind, sent.kind);
        let Some(seen) = sent.seen.filter(|_| sent.kind == kind::VIDEO) else {
            return;
        };
        if frame.sync || seen.kind == FrameKind::Keyframe {
            (self.is_dark, self.has_key) = (false, true);
        }
        let needs_others = matches!(seen.kind, FrameKind::Inter | FrameKind::Disposable);
        if needs_others && !self.is_dark && !sent.as_they_come {
            assert!(self.has_key, "a player gets {seen:?} without a key frame");
        }
    }
}

fn inspect(message_kind: u8, body: &[u8]) -> Option<Inspection> {
    match message_kind {
        kind::VIDEO => Some(inspect_video(body, body.len())),
        kind::AUDIO => Some(inspect_audio(body, body.len())),
        _ => None,
    }
}

/// A tag has the body that was published. E.4.1.
pub(super) fn check_tag(flv: &StreamLog, (start, tag): (u64, Frame), body: &[u8]) {
    let mut pieces = Vec::new();
    flv.share(start, tag.end, &mut pieces);
    let bytes = pieces.concat();
    let len = u32::try_from(body.len()).expect("short").to_be_bytes();
    let [high, time @ ..] = tag.timestamp.0.to_be_bytes();
    let header = [&[tag.kind][..], &len[1..], &time, &[high, 0, 0, 0]].concat();
    let behind = u32::try_from(11 + body.len()).expect("short").to_be_bytes();
    assert_eq!(bytes, [&header, body, &behind].concat());
}
