//! The stream's own time: which timestamps players see for those of its publishers.
//!
//! The timestamps of a first publisher pass as they are. Those of a publisher that has come back
//! are shifted so that time goes on for the players that stayed. In either case a track whose
//! timestamp steps, back or ahead of the clock, gets another shift:
//!
//! ```text
//!   publisher       9,960   10,000        0       40     1,000,080   1,000,120
//!   players         9,960   10,000   10,040   10,080        10,120      10,160
//!                                    '- clock reset         '- clock jumped
//! ```
//!
//! Sound and pictures have a shift each, and stay in sync (`clocks`). Headers and data go with them
//! and decide nothing; of a stream that has nothing but data, data have a clock of their own.

mod clocks;

// A length of time; there is no clock here.
use core::time::Duration;

use crate::limits;
use crate::rtmp::message::Timestamp;
use clocks::Clocks;

/// What has a clock of its own in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Track {
    /// All audio messages.
    Sound,
    /// All video messages.
    Pictures,
}

/// See the module text.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// Coded sound and pictures.
    media: Clocks,
    /// Data, until there are media.
    data: Clocks,
    /// The publisher is not the first: nothing of it comes before what players have seen.
    has_returned: bool,
    /// Time of the newest header.
    newest: Option<Timestamp>,
    /// Time of the newest data, ...
    newest_data: Option<Timestamp>,
    /// ... the track whose clock they are on, ...
    data_track: Option<usize>,
    /// ... and whether the last were not.
    has_strayed: bool,
}

const STEP_MAX_MS: i32 = millis(limits::CLOCK_STEP_MAX);
const AHEAD_MAX_MS: i32 = millis(limits::CLOCK_AHEAD_MAX);
const APART_MAX_MS: i32 = millis(limits::TRACKS_APART_MAX);
const DATA_AHEAD_MAX_MS: i32 = millis(limits::DATA_AHEAD_MAX);
const GAP_MAX_MS: u32 = millis(limits::CLOCK_GAP_MAX).cast_unsigned();

/// The place of data among the clocks of their own.
const DATA: usize = 0;

/// Limits are far below the 24 days that 31 bits hold.
#[expect(clippy::cast_possible_truncation, reason = "see above")]
const fn millis(time: Duration) -> i32 {
    time.as_millis() as i32
}

/// The time players see for a header, or for metadata, of the first publisher while it has sent
/// nothing else. `newest`: the newest of those times.
pub(super) fn before_all(newest: &mut Option<Timestamp>, time: Timestamp) -> Timestamp {
    let last = *newest.get_or_insert(time);
    if time.since(last) < -STEP_MAX_MS {
        return last;
    }
    *newest = Some(later(last, time));
    time
}

impl Timeline {
    /// A publisher begins. `last`: the newest time of the stream, if it had a publisher before;
    /// `elapsed_ms`: how long it has been without one.
    pub(super) fn begin(&mut self, last: Option<Timestamp>, elapsed_ms: u32) {
        let known = self.media.highest().chain(self.newest_data);
        let last = last.map(|last| known.fold(last, later));
        let clocks = || {
            let at = last.map(|last| (last, last.plus(elapsed_ms.max(1))));
            at.map_or_else(Clocks::default, |(last, at)| Clocks::resuming(last, at))
        };
        *self = Self {
            media: clocks(),
            data: clocks(),
            has_returned: last.is_some(),
            newest: last,
            newest_data: self.newest_data.filter(|_| last.is_some()),
            ..Self::default()
        };
    }

    /// The publisher is an origin, which has a timeline of its own: it sends at once what it keeps,
    /// with the gaps there are, and may have taken sound and pictures along together.
    pub(super) fn follow_origin(&mut self) {
        self.media.let_leap();
    }

    /// The time players see for a coded message of `track` that is stamped `time` and has come at
    /// `now`.
    pub(super) fn map_coded(&mut self, track: Track, time: Timestamp, now: Duration) -> Timestamp {
        if !self.media.has_begun() {
            // Headers ahead of all media tell nothing.
            self.newest = self.newest.filter(|_| self.has_returned);
            if let Some(reached) = self.data.highest().next() {
                self.media.resume_behind(reached);
            }
        }
        self.media.map(track as usize, time, since_start(now))
    }

    /// The time players see for a message of `track` that is not coded media. Such messages often
    /// come with time 0, and tell nothing about the clock of the media.
    pub(super) fn map_header(&mut self, track: Track, time: Timestamp, now: Duration) -> Timestamp {
        let now = since_start(now);
        if !self.media.has_begun() {
            return self.before_media(time, now);
        }
        let own = Some(track as usize).filter(|own| self.media.has_track(*own));
        let own = own.unwrap_or_else(|| self.media.current());
        // Time 0 is none, though media may be about to wrap.
        let is_stamped = time.0 != 0;
        let near = self.media.near(own, time, self.back_max(), now);
        let near = near.filter(|_| is_stamped);
        let mapped = self.in_order(near, self.media.beside(own, now));
        self.newest = Some(mapped);
        mapped
    }

    /// The time near media, or else the place beside them. Where it is not as stamped, all that is
    /// in step comes in order: it is not before what came by less than a step.
    fn in_order(&self, near: Option<Timestamp>, place: Timestamp) -> Timestamp {
        let passes = !self.has_returned && !self.media.is_shifted();
        if let Some(near) = near.filter(|_| passes) {
            return near;
        }
        let mapped = near.unwrap_or(place);
        let is_in_step = |time: &Timestamp| time.since(mapped) <= STEP_MAX_MS;
        let reached = self.media.highest().chain(self.newest_data);
        let reached = reached.chain(self.newest);
        reached.filter(is_in_step).fold(mapped, later)
    }

    /// The time players see for data. `is_timed`: what they are about is then, as of text.
    pub(super) fn map_data(&mut self, time: Timestamp, is_timed: bool, now: Duration) -> Timestamp {
        let now = since_start(now);
        if !is_timed && !self.media.has_begun() {
            return self.before_media(time, now);
        }
        let (mapped, place) = if self.media.has_begun() {
            self.with_media(time, is_timed || time.0 != 0, now)
        } else {
            let mapped = self.data.map(DATA, time, now);
            (mapped, mapped)
        };
        // They do not step back, unless what they go with is elsewhere by now.
        let last = self.newest_data.unwrap_or(mapped);
        let is_there = last.since(place) <= APART_MAX_MS + STEP_MAX_MS;
        let mapped = if is_there {
            later(mapped, last)
        } else {
            mapped
        };
        self.newest_data = Some(mapped);
        mapped
    }

    /// The time of data beside media: as stamped, if that is near the track whose clock they are
    /// on; else where that track is, which comes second.
    fn with_media(
        &mut self,
        time: Timestamp,
        is_stamped: bool,
        now: i64,
    ) -> (Timestamp, Timestamp) {
        let back = self.back_max();
        let near = |own| {
            let near = self.media.near(own, time, back, now);
            near.filter(|_| is_stamped)
        };
        let current = self.media.current();
        let own = *self.data_track.get_or_insert_with(|| {
            let mut tracks = [current, 1 - current].into_iter();
            tracks.find(|own| near(*own).is_some()).unwrap_or(current)
        });
        let near_own = near(own);
        let near_other = near(1 - own).filter(|_| self.has_strayed);
        self.has_strayed = near_own.is_none();
        if near_own.is_none() && near_other.is_some() {
            self.data_track = Some(1 - own);
        }
        let place = self.media.beside(own, now);
        (self.in_order(near_own.or(near_other), place), place)
    }

    /// The time of a header, or of metadata, while there are no media.
    fn before_media(&mut self, time: Timestamp, now: i64) -> Timestamp {
        if self.data.has_begun() {
            return self.data.beside(DATA, now);
        }
        if self.has_returned {
            return *self.newest.get_or_insert(time);
        }
        before_all(&mut self.newest, time)
    }

    /// How far headers and data may lie behind media.
    fn back_max(&self) -> i32 {
        if self.has_returned { 0 } else { STEP_MAX_MS }
    }
}

fn later(one: Timestamp, other: Timestamp) -> Timestamp {
    if one.since(other) > 0 { one } else { other }
}

/// Milliseconds of the worker, which do not wrap.
fn since_start(now: Duration) -> i64 {
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
