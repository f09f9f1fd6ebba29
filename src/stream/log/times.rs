//! The times at a place of a log, of sound and of pictures by themselves: one may be seconds behind
//! the other.

use super::{Frame, StreamLog};
use crate::limits::CLOCK_STEP_MAX;
use crate::rtmp::message::{Timestamp, kind};
use crate::stream::headers::HeaderTimes;

/// Messages that are looked at, either way.
const LOOKED_AT: usize = 64;

/// See the module text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    sound: Option<Timestamp>,
    pictures: Option<Timestamp>,
    /// The highest before a place, or the time of a start.
    any: Timestamp,
}

impl StreamLog {
    /// The last times before `offset`, a message boundary; the last of all where nothing of before
    /// it is kept.
    pub fn times_before(&self, offset: u64) -> Option<Times> {
        let end = match offset < self.base() {
            true => self.frames.len(),
            false => self.frames.partition_point(|frame| frame.end <= offset),
        };
        let frames = self.frames.range(end.saturating_sub(LOOKED_AT)..end);
        let last_of = |kind| time_of(frames.clone().rev(), kind);
        let (sound, pictures) = (last_of(kind::AUDIO), last_of(kind::VIDEO));
        let times = [sound, pictures].into_iter().flatten();
        let highest = times.reduce(|one, other| if other.since(one) > 0 { other } else { one });
        let last = frames.clone().last().map(|frame| frame.timestamp);
        let any = highest.or(last).or(self.last_timestamp)?;
        Some(Times {
            sound,
            pictures,
            any,
        })
    }

    /// The first times from `offset` on, where a player starts at `start`. Of what has not come
    /// yet the last time before, which is no later.
    pub fn times_from(&self, offset: u64, start: Timestamp) -> Times {
        let begin = self.frames.partition_point(|frame| frame.end <= offset);
        let end = self.frames.len().min(begin + LOOKED_AT);
        let before = self.frames.range(begin.saturating_sub(LOOKED_AT)..begin);
        let first_of = |kind| {
            let next = time_of(self.frames.range(begin..end), kind);
            next.or_else(|| time_of(before.clone().rev(), kind))
        };
        Times {
            sound: first_of(kind::AUDIO),
            pictures: first_of(kind::VIDEO),
            any: start,
        }
    }
}

fn time_of<'a>(mut frames: impl Iterator<Item = &'a Frame>, kind: u8) -> Option<Timestamp> {
    let frame = frames.find(|frame| frame.kind == kind)?;
    Some(frame.timestamp)
}

impl Times {
    /// The same later.
    pub fn plus(self, shift: u32) -> Self {
        let later = |time: Timestamp| time.plus(shift);
        Self {
            sound: self.sound.map(later),
            pictures: self.pictures.map(later),
            any: later(self.any),
        }
    }

    /// The times of headers that go first, for a player that is new or not. Those of sound that is
    /// far behind pictures are not later than that.
    pub fn of_headers(&self, is_new: bool) -> HeaderTimes {
        let is_behind = |sound: &Timestamp| {
            let behind = u128::try_from(self.any.since(*sound));
            behind.is_ok_and(|behind| behind > CLOCK_STEP_MAX.as_millis())
        };
        HeaderTimes {
            // ffmpeg takes metadata at any other time than 0 for a track of subtitles.
            metadata: if is_new { Timestamp(0) } else { self.any },
            sound: self.sound.filter(is_behind).unwrap_or(self.any),
            others: self.any,
        }
    }

    /// What is added to the times of a stream that begins so for a player whose last times were
    /// `last`, RTMP 1.0 section 7.2.2.2: play2 does not change the timeline, of sound nor of
    /// pictures. Renditions of one programme share it already.
    pub fn shift_after(&self, last: &Self) -> u32 {
        let gap = |new: Option<Timestamp>, old: Option<Timestamp>| Some(new?.since(old?));
        let gaps = [
            gap(self.sound, last.sound),
            gap(self.pictures, last.pictures),
        ];
        let gaps = gaps.into_iter().flatten();
        let least = gaps.fold(self.any.since(last.any), i32::min);
        match u128::try_from(least) {
            Ok(gap) if gap <= CLOCK_STEP_MAX.as_millis() => 0,
            _ => 1_u32.wrapping_sub(least.cast_unsigned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_takes_neither_sound_nor_pictures_back() {
        let times = |sound: Option<u32>, pictures: Option<u32>| Times {
            sound: sound.map(Timestamp),
            pictures: pictures.map(Timestamp),
            any: Timestamp(pictures.or(sound).unwrap()),
        };
        let last = times(Some(7_000), Some(7_010));
        let check = |sound, pictures, expected: i32| {
            let shift = times(sound, pictures).shift_after(&last);
            assert_eq!(shift.cast_signed(), expected);
        };
        // The same timeline.
        check(Some(7_020), Some(7_050), 0);
        check(Some(8_000), Some(8_010), 0);
        check(Some(7_020), Some(13_050), 0);
        // Another one, and sound that is behind or ahead.
        check(Some(1_000), Some(1_000), 6_011);
        check(Some(2_000), Some(8_000), 5_001);
        check(Some(8_000), Some(2_000), 5_011);
        check(Some(90_000), Some(90_010), -82_999);
        // One of them is missing.
        check(None, Some(1_000), 6_011);
        check(Some(1_000), None, 6_011);
        let sound = times(Some(7_000), None);
        assert_eq!(times(None, Some(1_000)).shift_after(&sound), 6_001);
    }
}
