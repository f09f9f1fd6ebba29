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
//! Sound and pictures have a shift each. One that steps takes the shift of the other if that puts
//! it where the stream is, so that they stay in sync when both step to a new clock.

// A length of time; there is no clock here.
use core::time::Duration;

use crate::limits;
use crate::rtmp::message::Timestamp;

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
    tracks: [Clock; 2],
    /// How far the stream was ahead of the arrival of its messages at most, since its publisher
    /// began: the time of players less that of the worker. None before the first coded message.
    lead: Option<u32>,
    /// The publisher has returned: where its first coded message is put, ...
    resume_at: Option<Timestamp>,
    /// ... and the time before which nothing is put until that is past.
    floor: Option<Timestamp>,
    /// The publisher is not the first: nothing of it comes before what players have seen.
    has_returned: bool,
    /// Time of the newest message.
    newest: Option<Timestamp>,
    /// The track of the newest coded message.
    current: usize,
}

/// The clock of one track.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    /// The publisher has sent coded media of the track.
    has_begun: bool,
    /// Added to the timestamps of the publisher.
    shift: u32,
    /// The shift before the last step; a single stray message steps away and back.
    former_shift: u32,
    /// The highest time that players have seen, ...
    highest: Timestamp,
    /// ... when it came, in milliseconds of the worker, ...
    moved_at: u32,
    /// ... and since when messages come that are no later.
    still_since: Option<u32>,
}

const STEP_MAX_MS: i32 = millis(limits::CLOCK_STEP_MAX);
const AHEAD_MAX_MS: i32 = millis(limits::CLOCK_AHEAD_MAX);
const APART_MAX_MS: i32 = millis(limits::TRACKS_APART_MAX);
const DATA_AHEAD_MAX_MS: i32 = millis(limits::DATA_AHEAD_MAX);
const GAP_MAX_MS: u32 = millis(limits::CLOCK_GAP_MAX).cast_unsigned();

/// Limits are far below the 24 days that 31 bits hold.
#[expect(clippy::cast_possible_truncation, reason = "see above")]
const fn millis(time: Duration) -> i32 {
    time.as_millis() as i32
}

impl Timeline {
    /// A publisher begins. `last`: the newest time of the stream, if it had a publisher before;
    /// `elapsed_ms`: how long it has been without one.
    pub(super) fn begin(&mut self, last: Option<Timestamp>, elapsed_ms: u32) {
        let last = last.map(|last| {
            let known = self.tracks.iter().filter(|clock| clock.has_begun);
            known.map(|clock| clock.highest).fold(last, later)
        });
        *self = Self {
            resume_at: last.map(|last| last.plus(elapsed_ms.max(1))),
            floor: last,
            has_returned: last.is_some(),
            newest: last,
            ..Self::default()
        };
        for clock in &mut self.tracks {
            clock.highest = last.unwrap_or_default();
        }
    }

    /// The time players see for a coded message of `track` that is stamped `time` and has come at
    /// `now`.
    pub(super) fn map_coded(&mut self, track: Track, time: Timestamp, now: Duration) -> Timestamp {
        let (own, now) = (track as usize, wrapped_millis(now));
        let is_first = !self.tracks[own].has_begun;
        if is_first {
            self.begin_track(own, time, now);
        } else if !self.fits(own, self.tracks[own].shift, time, now) {
            self.step(own, time, now);
        }
        let clock = &mut self.tracks[own];
        let mut mapped = time.plus(clock.shift);
        if let Some(floor) = self.floor {
            if mapped.since(floor) > STEP_MAX_MS {
                self.floor = None;
            }
            mapped = later(mapped, floor);
        }
        if mapped.since(clock.highest) > 0 {
            (clock.highest, clock.moved_at) = (mapped, now);
            clock.still_since = None;
        } else if !is_first {
            clock.still_since.get_or_insert(now);
        }
        let lead = mapped.0.wrapping_sub(now);
        self.lead = Some(self.lead.map_or(lead, |most| later_of(most, lead)));
        self.current = own;
        self.newest = Some(mapped);
        mapped
    }

    /// The time players see for a message of `track`, or for data, that is not coded media. Such
    /// messages often come with time 0, and tell nothing about the clock of the media.
    pub(super) fn map_other(&mut self, track: Option<Track>, time: Timestamp) -> Timestamp {
        let mapped = self.place_other(track, time);
        self.newest = Some(self.newest.map_or(mapped, |newest| later(newest, mapped)));
        mapped
    }

    fn place_other(&self, track: Option<Track>, time: Timestamp) -> Timestamp {
        let Some(newest) = self.newest else {
            return time;
        };
        if self.lead.is_none() {
            // No coded media has come.
            let is_first = self.floor.is_none();
            let is_back = time.since(newest) < -STEP_MAX_MS;
            return if is_first && !is_back { time } else { newest };
        }
        let own = track.map(|track| self.tracks[track as usize]);
        let (shift, least, place) = match own.filter(|clock| clock.has_begun) {
            Some(clock) if self.has_returned => (clock.shift, 0, clock.highest),
            Some(clock) => (clock.shift, -STEP_MAX_MS, clock.highest),
            None => (self.tracks[self.current].shift, -STEP_MAX_MS, newest),
        };
        let mapped = time.plus(shift);
        let is_near = (least..DATA_AHEAD_MAX_MS).contains(&mapped.since(place));
        let mapped = if is_near { mapped } else { place };
        self.floor.map_or(mapped, |floor| later(mapped, floor))
    }

    /// The first coded message of a track since the publisher began.
    fn begin_track(&mut self, own: usize, time: Timestamp, now: u32) {
        let other = self.tracks[1 - own];
        let clock = &mut self.tracks[own];
        clock.has_begun = true;
        clock.moved_at = now;
        let Some(lead) = self.lead else {
            clock.shift = self.resume_at.map_or(0, |at| at.0.wrapping_sub(time.0));
            clock.former_shift = clock.shift;
            if self.resume_at.is_none() {
                clock.highest = time;
            }
            return;
        };
        // Encoders send sound ahead of pictures or behind them by seconds, on one clock.
        let mapped = time.plus(other.shift);
        let is_same_clock = mapped.since(other.highest) >= -APART_MAX_MS
            && ahead_of(mapped, lead, now) <= APART_MAX_MS;
        clock.shift = if is_same_clock {
            other.shift
        } else {
            other.expected(now).0.wrapping_sub(time.0)
        };
        clock.former_shift = clock.shift;
        match self.floor {
            Some(_) => self.raise(own, time),
            None => self.tracks[own].highest = time.plus(self.tracks[own].shift),
        }
    }

    /// The timestamp of a track has stepped: it gets another shift.
    fn step(&mut self, own: usize, time: Timestamp, now: u32) {
        let (clock, other) = (self.tracks[own], self.tracks[1 - own]);
        let shift = if clock.former_shift != clock.shift
            && time.plus(clock.former_shift).since(clock.highest) > 0
            && self.fits(own, clock.former_shift, time, now)
        {
            clock.former_shift
        } else if other.has_begun
            && other.shift != clock.shift
            && (self.fits(own, other.shift, time, now)
                || self.fits(1 - own, other.shift, time, now))
        {
            other.shift
        } else {
            clock.expected(now).0.wrapping_sub(time.0)
        };
        let clock = &mut self.tracks[own];
        clock.former_shift = clock.shift;
        clock.shift = shift;
        self.raise(own, time);
    }

    /// Shifts both tracks further, if a message that is stamped `time` would come out behind the
    /// last of its track.
    fn raise(&mut self, own: usize, time: Timestamp) {
        let clock = self.tracks[own];
        let behind = clock.highest.plus(1).since(time.plus(clock.shift));
        let Ok(behind @ 1..) = u32::try_from(behind) else {
            return;
        };
        for other in &mut self.tracks {
            if other.shift == clock.shift {
                other.shift = other.shift.wrapping_add(behind);
            }
        }
        self.lead = self.lead.map(|lead| lead.wrapping_add(behind));
    }

    /// Whether `time` with this shift goes on where a track is: not behind what has come of it,
    /// not ahead of the clock, and not at the same time for long.
    fn fits(&self, track: usize, shift: u32, time: Timestamp, now: u32) -> bool {
        let clock = &self.tracks[track];
        let mapped = time.plus(shift);
        let step = mapped.since(clock.highest);
        let still_since = clock.still_since.unwrap_or(now);
        let still_for = now.wrapping_sub(still_since).cast_signed();
        step >= -STEP_MAX_MS
            && (step > 0 || still_for <= STEP_MAX_MS)
            && (self.lead).is_none_or(|lead| ahead_of(mapped, lead, now) <= AHEAD_MAX_MS)
    }
}

impl Clock {
    /// The time of a message that comes now, by the clock of the worker.
    fn expected(&self, now: u32) -> Timestamp {
        let elapsed = now.wrapping_sub(self.moved_at);
        self.highest.plus(elapsed.clamp(1, GAP_MAX_MS))
    }
}

/// How far a message at `mapped` is ahead of where the stream may be at `now`, in milliseconds.
fn ahead_of(mapped: Timestamp, lead: u32, now: u32) -> i32 {
    mapped.0.wrapping_sub(now).wrapping_sub(lead).cast_signed()
}

fn later(one: Timestamp, other: Timestamp) -> Timestamp {
    Timestamp(later_of(one.0, other.0))
}

/// The later of two times that wrap.
fn later_of(one: u32, other: u32) -> u32 {
    let is_later = one.wrapping_sub(other).cast_signed() > 0;
    if is_later { one } else { other }
}

#[expect(clippy::cast_possible_truncation, reason = "it wraps like timestamps")]
fn wrapped_millis(now: Duration) -> u32 {
    now.as_millis() as u32
}

#[cfg(test)]
mod tests;
