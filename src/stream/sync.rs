//! The sync points of a log that a seek can lead to, found by their time without a look at the
//! messages between them.
//!
//! A seek goes to the *last* sync point that is not later than the time asked for. One that is
//! followed by another of the same or an earlier time is therefore never found, and is forgotten
//! as that other comes. Those that are left lie in order of their times, whatever times a
//! publisher sends, so that halving finds the one:
//!
//! ```text
//!   times as they came:   0   40   80   60   100   90        kept:   0   40   60   90
//! ```
//!
//! Each is put in once and taken out once, at either end.

use std::collections::VecDeque;

use crate::rtmp::message::Timestamp;

/// See the module text. Positions are counted from the first message of the log ever.
#[derive(Debug, Default)]
pub struct SyncPoints {
    /// Positions and times, both rising.
    kept: VecDeque<(u64, Timestamp)>,
}

impl SyncPoints {
    /// The message at `position`, behind all told before, is a sync point.
    pub fn push(&mut self, position: u64, time: Timestamp) {
        while self.kept.back().is_some_and(|(_, t)| t.since(time) >= 0) {
            self.kept.pop_back();
        }
        self.kept.push_back((position, time));
    }

    /// The messages before `position` are gone.
    pub fn trim(&mut self, position: u64) {
        while self.kept.front().is_some_and(|&(at, _)| at < position) {
            self.kept.pop_front();
        }
    }

    /// Position of the last sync point at or before `time`.
    pub fn before(&self, time: Timestamp) -> Option<u64> {
        let later = self.kept.partition_point(|(_, t)| time.since(*t) >= 0);
        self.kept.get(later.checked_sub(1)?).map(|&(at, _)| at)
    }

    /// Position of the first one a seek can lead to.
    pub fn first(&self) -> Option<u64> {
        self.kept.front().map(|&(at, _)| at)
    }

    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        self.kept.capacity() * size_of::<(u64, Timestamp)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(times: &[u32]) -> SyncPoints {
        let mut points = SyncPoints::default();
        for (position, &time) in times.iter().enumerate() {
            points.push(position as u64, Timestamp(time));
        }
        points
    }

    #[test]
    fn the_last_one_not_later_is_found_whatever_the_order_of_times() {
        let times = [0, 40, 80, 60, 100, 90, 90];
        let points = points(&times);
        for asked in 0..120 {
            let last = times.iter().rposition(|&time| time <= asked);
            let found = points.before(Timestamp(asked));
            assert_eq!(found, last.map(|at| at as u64), "{asked}");
        }
        assert_eq!(points.kept.len(), 4);
    }

    #[test]
    fn those_that_are_gone_are_not_found() {
        let mut points = points(&[10, 20, 30]);
        assert_eq!(points.before(Timestamp(9)), None);
        points.trim(1);
        assert_eq!(
            (points.first(), points.before(Timestamp(19))),
            (Some(1), None)
        );
        points.trim(9);
        assert_eq!((points.first(), points.before(Timestamp(99))), (None, None));
    }
}
