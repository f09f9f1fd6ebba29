//! The clocks of tracks that may share one: which times players see for timestamps that go on,
//! step or stray.
//!
//! One message that is out of line may be a stray: it is put next to what came before it, and
//! nothing else changes. The next message of the track decides:
//!
//! ```text
//!   publisher   10,000    10,040     7,000    10,080       a stray, back
//!   players     10,000    10,040    10,041    10,080
//!   publisher   10,000    10,040     7,000     7,040       a step: the clock was set back
//!   players     10,000    10,040    10,080    10,120
//! ```

use super::{AHEAD_MAX_MS, APART_MAX_MS, DATA_AHEAD_MAX_MS, GAP_MAX_MS, STEP_MAX_MS, later};
use crate::rtmp::message::Timestamp;

/// Two tracks, of which one may never come.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    tracks: [Clock; 2],
    /// None before the first message.
    pace: Option<Pace>,
    /// Where the first message is put, if not where it says.
    resume_at: Option<Timestamp>,
    /// The track of the newest message.
    current: usize,
    /// A step ahead may be meant, as far as it is one of seconds.
    may_leap: bool,
}

/// How the stream goes beside the clock of the worker. Times wrap within weeks, so this counts from
/// one message to the next.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// The time of the last message, ...
    time: Timestamp,
    /// ... when it came, in milliseconds of the worker, ...
    came_at: i64,
    /// ... and how much further ahead of the clock the stream was at most, in milliseconds.
    behind: i64,
}

/// The clock of one track.
#[derive(Clone, Copy, Debug)]
struct Clock {
    has_begun: bool,
    /// Only one message has come.
    is_new: bool,
    line: Line,
    /// Two messages in a row agree on the line.
    is_sure: bool,
    /// The last sure shift before this one.
    former_shift: u32,
    /// How far ahead of the clock of the worker the last message was, in milliseconds.
    lead: i64,
    /// The last message was out of line.
    doubt: Option<Doubt>,
    /// No message is put before this, until they are well past it.
    floor: Option<Timestamp>,
}

/// Messages of a track that go on from one to the next.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    /// Added to the timestamps of the publisher.
    shift: u32,
    /// The highest time with that, ...
    highest: Timestamp,
    /// ... when it came, in milliseconds of the worker, ...
    moved_at: i64,
    /// ... and since when messages come that are no later.
    still_since: Option<i64>,
}

/// A message that may be a stray or the first after a step.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    /// The line it begins if it is no stray.
    line: Line,
    /// The time that players see.
    seen: Timestamp,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            has_begun: false,
            is_new: true,
            line: Line::default(),
            is_sure: true,
            former_shift: 0,
            // Nothing is known of how far apart messages are.
            lead: AHEAD_MAX_MS.into(),
            doubt: None,
            floor: None,
        }
    }
}

impl Clocks {
    /// Clocks that go on at `at`, and never before `last`.
    pub(super) fn resuming(last: Timestamp, at: Timestamp) -> Self {
        let clock = Clock {
            floor: Some(last),
            // The first message may be one of an old clock.
            lead: 0,
            ..Clock::default()
        };
        Self {
            tracks: [clock; 2],
            resume_at: Some(at),
            ..Self::default()
        }
    }

    /// A step ahead of some seconds is none of the clock.
    pub(super) fn let_leap(&mut self) {
        self.may_leap = true;
    }

    /// If they resume, they do so behind `time`.
    pub(super) fn resume_behind(&mut self, time: Timestamp) {
        self.resume_at = self.resume_at.map(|at| later(at, time.plus(1)));
    }

    /// Whether a message has come.
    pub(super) fn has_begun(&self) -> bool {
        self.pace.is_some()
    }

    /// Whether times do not pass as they are.
    pub(super) fn is_shifted(&self) -> bool {
        self.tracks.iter().any(|clock| clock.line.shift != 0)
    }

    /// The track of the newest message.
    pub(super) fn current(&self) -> usize {
        self.current
    }

    /// Whether a message of the track has come.
    pub(super) fn has_track(&self, track: usize) -> bool {
        self.tracks[track].has_begun
    }

    /// The highest times of the tracks that have begun.
    pub(super) fn highest(&self) -> impl Iterator<Item = Timestamp> {
        let begun = self.tracks.iter().filter(|clock| clock.has_begun);
        begun.map(Clock::newest)
    }

    /// The time players see for a message of a track that is stamped `time` and has come at `now`.
    pub(super) fn map(&mut self, own: usize, time: Timestamp, now: i64) -> Timestamp {
        if !self.tracks[own].has_begun {
            self.begin(own, time, now);
            return self.go_on(own, time, now);
        }
        if let Some(doubt) = self.tracks[own].doubt {
            if doubt.is_of_same(time, now) {
                return doubt.seen;
            }
            self.settle(own, &doubt, time, now);
        }
        if self.fits(own, &self.tracks[own].line, time, now) || self.begins_again(own, time, now) {
            self.go_on(own, time, now)
        } else {
            self.step(own, time, now)
        }
    }

    /// The time of something beside the media of a track that is stamped `time`, if that is near
    /// them: at most `back` milliseconds before the last, and not ahead of the stream.
    pub(super) fn near(
        &self,
        own: usize,
        time: Timestamp,
        back: i32,
        now: i64,
    ) -> Option<Timestamp> {
        let clock = &self.tracks[own];
        let mapped = time.plus(clock.line.shift);
        let is_near = clock.has_begun
            && mapped.since(clock.newest()) >= -back
            && self.lead(mapped, now) <= DATA_AHEAD_MAX_MS.into();
        is_near.then_some(mapped)
    }

    /// Where something goes beside the media of a track, whatever it is stamped.
    pub(super) fn beside(&self, own: usize, now: i64) -> Timestamp {
        let clock = &self.tracks[own];
        // While no media come the clock of the worker goes on.
        let silence = now - clock.moved_at() - i64::from(STEP_MAX_MS);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "times wrap"
        )]
        clock.newest().plus(silence.max(0) as u32)
    }

    /// The first message of a track.
    fn begin(&mut self, own: usize, time: Timestamp, now: i64) {
        let other = self.tracks[1 - own];
        let shift = if other.has_begun {
            let shared = self.shared_shift(&other, time, now);
            shared.unwrap_or_else(|| other.expected(now).0.wrapping_sub(time.0))
        } else {
            self.resume_at.map_or(0, |at| at.0.wrapping_sub(time.0))
        };
        let clock = &mut self.tracks[own];
        clock.former_shift = shift;
        clock.line = Line::begin(shift, time, now);
        // The other may be far past the floor by now, and by weeks.
        let is_near =
            |floor| (0..=APART_MAX_MS + STEP_MAX_MS).contains(&other.newest().since(floor));
        clock.floor = clock
            .floor
            .filter(|floor| !other.has_begun || is_near(*floor));
        if let Some(floor) = clock.floor {
            self.raise_past(own, floor, time);
        }
    }

    /// The shift of the other track, if `time` may be of the same clock: encoders send sound ahead
    /// of pictures or behind them by seconds.
    fn shared_shift(&self, other: &Clock, time: Timestamp, now: i64) -> Option<u32> {
        let mut shared = other.lines().filter(|line| {
            let mapped = time.plus(line.shift);
            mapped.since(line.highest) >= -APART_MAX_MS
                && self.lead(mapped, now) <= APART_MAX_MS.into()
        });
        let line = match other.is_new {
            // Its first message may have been the stray.
            true => shared.min_by_key(|line| line.distance(time)),
            false => shared.next(),
        };
        line.map(|line| line.shift)
    }

    /// The second message of a track is out of line, and by the clock that it shares with the
    /// other the first was the stray.
    fn begins_again(&mut self, own: usize, time: Timestamp, now: i64) -> bool {
        let other = self.tracks[1 - own];
        if !self.tracks[own].is_new || !other.has_begun {
            return false;
        }
        let Some(shift) = self.shared_shift(&other, time, now) else {
            return false;
        };
        let clock = &mut self.tracks[own];
        let seen = clock.newest();
        clock.former_shift = shift;
        clock.line = Line::begin(shift, time, now);
        self.raise_past(own, seen, time);
        true
    }

    /// A message that goes on in the line of its track.
    fn go_on(&mut self, own: usize, time: Timestamp, now: i64) -> Timestamp {
        let clock = &mut self.tracks[own];
        let is_first = !std::mem::replace(&mut clock.has_begun, true);
        (clock.is_new, clock.is_sure) = (is_first, true);
        let mapped = time.plus(clock.line.shift);
        let step = mapped.since(clock.line.highest);
        let seen = clock.above_floor(mapped);
        clock.floor = clock
            .floor
            .filter(|floor| mapped.since(*floor) <= STEP_MAX_MS);
        let line = &mut clock.line;
        if i64::from(step) - (now - line.moved_at) > STEP_MAX_MS.into() {
            // It may be a stray all the same.
            let line = Line::begin(line.shift, time, now);
            clock.doubt = Some(Doubt { line, seen });
        } else if step > 0 {
            (line.highest, line.moved_at) = (mapped, now);
            line.still_since = None;
        } else if !is_first {
            line.still_since.get_or_insert(now);
        }
        let lead = self.note(own, seen, now);
        if !is_first {
            self.tracks[own].lead = lead;
        }
        seen
    }

    /// Writes down that a message has come, and returns how far it was ahead.
    fn note(&mut self, own: usize, seen: Timestamp, now: i64) -> i64 {
        let lead = self.lead(seen, now);
        self.pace = Some(Pace {
            time: seen,
            came_at: now,
            behind: (-lead).max(0),
        });
        self.current = own;
        lead
    }

    /// Decides what the last message of a track was, by the one that follows it.
    fn settle(&mut self, own: usize, doubt: &Doubt, time: Timestamp, now: i64) {
        let line = self.tracks[own].line;
        let fits_back = self.fits(own, &line, time, now);
        let fits_on = self.fits(own, &doubt.line, time, now);
        let is_stray = fits_back && (!fits_on || line.distance(time) < doubt.line.distance(time));
        let clock = &mut self.tracks[own];
        clock.is_new = false;
        clock.doubt = None;
        if !is_stray {
            if clock.is_sure {
                clock.former_shift = line.shift;
            }
            clock.is_sure = fits_on;
            clock.line = doubt.line;
        }
        if !fits_back && !fits_on {
            // It does not tell.
            clock.line.highest = later(clock.line.highest, doubt.seen);
            return;
        }
        let behind = doubt.seen.since(time.plus(clock.line.shift));
        if behind > STEP_MAX_MS || !is_stray {
            self.raise_past(own, doubt.seen, time);
        } else if behind > 0 {
            clock.floor = Some(clock.above_floor(doubt.seen));
        }
    }

    /// A message that is out of line: a stray, or the first after a step. As such it takes the
    /// shift of the other track if that puts it where the stream is, so that they stay in sync
    /// when both step to a new clock; or its own shift of before a stray.
    fn step(&mut self, own: usize, time: Timestamp, now: i64) -> Timestamp {
        let (clock, other) = (self.tracks[own], self.tracks[1 - own]);
        let reached = clock.above_floor(clock.line.highest);
        let goes_on = |shift, highest| {
            let line = Line {
                shift,
                highest,
                ..Line::default()
            };
            self.fits(own, &line, time, now)
        };
        let mut of_other = other.lines().filter(|line| line.shift != clock.line.shift);
        let of_other =
            of_other.find(|line| goes_on(line.shift, reached) || goes_on(line.shift, line.highest));
        let former = clock.former_shift;
        let is_ahead = time.plus(former).since(reached) > 0;
        let of_own = (is_ahead && goes_on(former, reached)).then_some(former);
        let known = of_other.map(|line| line.shift).or(of_own);
        let expected = || clock.expected(now).0.wrapping_sub(time.0);
        let shift = known.unwrap_or_else(expected);
        let mut line = Line::begin(shift, time, now);
        line.still_since = Some(now);
        let seen = later(line.highest, reached.plus(1));
        self.tracks[own].doubt = Some(Doubt { line, seen });
        self.note(own, seen, now);
        seen
    }

    /// Shifts both tracks further, if a message that is stamped `time` would not come out behind
    /// `past`: they stay as far apart as they are.
    fn raise_past(&mut self, own: usize, past: Timestamp, time: Timestamp) {
        let behind = past.plus(1).since(time.plus(self.tracks[own].line.shift));
        let Ok(behind @ 1..) = u32::try_from(behind) else {
            return;
        };
        for clock in &mut self.tracks {
            clock.former_shift = clock.former_shift.wrapping_add(behind);
            let doubt = clock.doubt.as_mut().map(|doubt| &mut doubt.line);
            for line in doubt.into_iter().chain([&mut clock.line]) {
                line.shift = line.shift.wrapping_add(behind);
                line.highest = line.highest.plus(behind);
            }
        }
        if let Some(pace) = &mut self.pace {
            pace.time = pace.time.plus(behind);
        }
    }

    /// Whether a message of a track goes on in `line`: not behind it, not ahead of the clock, and
    /// not at the same time for long.
    fn fits(&self, own: usize, line: &Line, time: Timestamp, now: i64) -> bool {
        let mapped = time.plus(line.shift);
        let step = mapped.since(line.highest);
        let still_for = now - line.still_since.unwrap_or(now);
        let lead_max = match self.may_leap {
            true => AHEAD_MAX_MS.into(),
            false => (2 * self.tracks[own].lead).clamp(STEP_MAX_MS.into(), AHEAD_MAX_MS.into()),
        };
        step >= -STEP_MAX_MS
            && (step > 0 || still_for <= STEP_MAX_MS.into())
            && self.lead(mapped, now) <= lead_max
    }

    /// How far a message at `mapped` is ahead of where the stream may be at `now`, in milliseconds.
    fn lead(&self, mapped: Timestamp, now: i64) -> i64 {
        self.pace.map_or(0, |pace| {
            i64::from(mapped.since(pace.time)) - (now - pace.came_at) - pace.behind
        })
    }
}

impl Clock {
    /// The highest time that players have seen.
    fn newest(&self) -> Timestamp {
        let highest = self.above_floor(self.line.highest);
        self.doubt
            .map_or(highest, |doubt| later(highest, doubt.seen))
    }

    /// When it came.
    fn moved_at(&self) -> i64 {
        self.doubt
            .map_or(self.line.moved_at, |doubt| doubt.line.moved_at)
    }

    /// The time of a message that comes now, by the clock of the worker.
    fn expected(&self, now: i64) -> Timestamp {
        let elapsed = u32::try_from(now - self.moved_at()).unwrap_or(GAP_MAX_MS);
        self.newest().plus(elapsed.clamp(1, GAP_MAX_MS))
    }

    /// Its line, and the one it may have stepped to.
    fn lines(&self) -> impl Iterator<Item = Line> {
        let begun = self.has_begun.then_some(self.line);
        begun.into_iter().chain(self.doubt.map(|doubt| doubt.line))
    }

    /// `time`, or the floor if that is later.
    fn above_floor(&self, time: Timestamp) -> Timestamp {
        self.floor.map_or(time, |floor| later(time, floor))
    }
}

impl Line {
    /// A line whose first message is stamped `time`.
    fn begin(shift: u32, time: Timestamp, now: i64) -> Self {
        Self {
            shift,
            highest: time.plus(shift),
            moved_at: now,
            still_since: None,
        }
    }

    /// How far a message is from the last, either way.
    fn distance(&self, time: Timestamp) -> u32 {
        time.plus(self.shift).since(self.highest).unsigned_abs()
    }
}

impl Doubt {
    /// Whether a message is of the same picture: some encoders send each slice by itself.
    fn is_of_same(&self, time: Timestamp, now: i64) -> bool {
        self.line.distance(time) == 0 && now - self.line.moved_at <= STEP_MAX_MS.into()
    }
}
