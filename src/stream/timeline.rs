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
    /// None before the first coded message since the publisher began.
    pace: Option<Pace>,
    /// The publisher has returned: where its first coded message is put.
    resume_at: Option<Timestamp>,
    /// The publisher is not the first: nothing of it comes before what players have seen.
    has_returned: bool,
    /// Time of the newest message.
    newest: Option<Timestamp>,
    /// The track of the newest coded message.
    current: usize,
}

/// How the stream goes beside the clock of the worker. Times wrap within weeks, so this counts from
/// one message to the next.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// The time of the last coded message, ...
    time: Timestamp,
    /// ... when it came, in milliseconds of the worker, ...
    came_at: i64,
    /// ... and how much further ahead of the clock the stream was at most, in milliseconds.
    behind: i64,
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
    /// The publisher has returned: the time before which nothing is put until that is past.
    floor: Option<Timestamp>,
    /// The highest time that players have seen, ...
    highest: Timestamp,
    /// ... when it came, in milliseconds of the worker, ...
    moved_at: i64,
    /// ... and since when messages come that are no later.
    still_since: Option<i64>,
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
            has_returned: last.is_some(),
            newest: last,
            ..Self::default()
        };
        for clock in &mut self.tracks {
            clock.highest = last.unwrap_or_default();
            clock.floor = last;
        }
    }

    /// The time players see for a coded message of `track` that is stamped `time` and has come at
    /// `now`.
    pub(super) fn map_coded(&mut self, track: Track, time: Timestamp, now: Duration) -> Timestamp {
        let (own, now) = (track as usize, since_start(now));
        let is_first = !self.tracks[own].has_begun;
        if is_first {
            self.begin_track(own, time, now);
        } else if !self.fits(own, self.tracks[own].shift, time, now) {
            self.step(own, time, now);
        }
        let mut mapped = time.plus(self.tracks[own].shift);
        if let Some(floor) = self.tracks[own].floor {
            mapped = later(mapped, floor);
        }
        self.leave_floors(own, mapped);
        let clock = &mut self.tracks[own];
        if mapped.since(clock.highest) > 0 {
            (clock.highest, clock.moved_at) = (mapped, now);
            clock.still_since = None;
        } else if !is_first {
            clock.still_since.get_or_insert(now);
        }
        let ahead = self.pace.map_or(0, |pace| pace.ahead(mapped, now));
        self.pace = Some(Pace {
            time: mapped,
            came_at: now,
            behind: (-ahead).max(0),
        });
        self.current = own;
        self.newest = Some(mapped);
        mapped
    }

    /// Forgets what players had seen of the publisher before, once the track `own` is so far ahead
    /// that no track comes before that any more: times wrap.
    fn leave_floors(&mut self, own: usize, mapped: Timestamp) {
        for (track, clock) in self.tracks.iter_mut().enumerate() {
            let most = match (track == own, clock.has_begun) {
                (true, _) => STEP_MAX_MS,
                (false, false) => APART_MAX_MS,
                (false, true) => i32::MAX / 2,
            };
            if (clock.floor).is_some_and(|floor| mapped.since(floor) > most) {
                clock.floor = None;
            }
        }
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
        if self.pace.is_none() {
            // No coded media has come.
            let is_back = time.since(newest) < -STEP_MAX_MS;
            return if self.has_returned || is_back {
                newest
            } else {
                time
            };
        }
        let own = track.map(|track| self.tracks[track as usize]);
        let own = own.filter(|clock| clock.has_begun);
        let Clock { shift, floor, .. } = own.unwrap_or(self.tracks[self.current]);
        let (least, place) = match own {
            Some(clock) if self.has_returned => (0, clock.highest),
            Some(clock) => (-STEP_MAX_MS, clock.highest),
            None => (-STEP_MAX_MS, newest),
        };
        let mapped = time.plus(shift);
        let is_near = (least..DATA_AHEAD_MAX_MS).contains(&mapped.since(place));
        let mapped = if is_near { mapped } else { place };
        floor.map_or(mapped, |floor| later(mapped, floor))
    }

    /// The first coded message of a track since the publisher began.
    fn begin_track(&mut self, own: usize, time: Timestamp, now: i64) {
        let other = self.tracks[1 - own];
        let clock = &mut self.tracks[own];
        clock.has_begun = true;
        clock.moved_at = now;
        let Some(pace) = self.pace else {
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
            && pace.ahead(mapped, now) <= i64::from(APART_MAX_MS);
        clock.shift = if is_same_clock {
            other.shift
        } else {
            other.expected(now).0.wrapping_sub(time.0)
        };
        clock.former_shift = clock.shift;
        match self.tracks[own].floor {
            Some(_) => self.raise(own, time),
            None => self.tracks[own].highest = time.plus(self.tracks[own].shift),
        }
    }

    /// The timestamp of a track has stepped: it gets another shift.
    fn step(&mut self, own: usize, time: Timestamp, now: i64) {
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
        if let Some(pace) = &mut self.pace {
            pace.time = pace.time.plus(behind);
        }
    }

    /// Whether `time` with this shift goes on where a track is: not behind what has come of it,
    /// not ahead of the clock, and not at the same time for long.
    fn fits(&self, track: usize, shift: u32, time: Timestamp, now: i64) -> bool {
        let clock = &self.tracks[track];
        let mapped = time.plus(shift);
        let step = mapped.since(clock.highest);
        let still_for = now - clock.still_since.unwrap_or(now);
        step >= -STEP_MAX_MS
            && (step > 0 || still_for <= i64::from(STEP_MAX_MS))
            && (self.pace).is_none_or(|pace| pace.ahead(mapped, now) <= i64::from(AHEAD_MAX_MS))
    }
}

impl Pace {
    /// How far a message at `mapped` is ahead of where the stream may be at `now`, in milliseconds.
    fn ahead(&self, mapped: Timestamp, now: i64) -> i64 {
        i64::from(mapped.since(self.time)) - (now - self.came_at) - self.behind
    }
}

impl Clock {
    /// The time of a message that comes now, by the clock of the worker.
    fn expected(&self, now: i64) -> Timestamp {
        let elapsed = u32::try_from(now - self.moved_at).unwrap_or(GAP_MAX_MS);
        self.highest.plus(elapsed.clamp(1, GAP_MAX_MS))
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
