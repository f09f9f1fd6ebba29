//! How short memory is, and what is done about it.

use std::time::{Duration, Instant};

use crate::limits;

/// How short memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pressure {
    /// It is not.
    None,
    /// New streams are refused.
    NoStreams,
    /// New players and connections as well.
    NoPlayers,
    /// Those that hold the most are closed, little by little.
    Shed,
    /// They are closed at once.
    ShedHard,
}

/// Each step and the hundredth it begins at, from the last on.
const STEPS: [(Pressure, u64); 4] = [
    (Pressure::ShedHard, limits::MEMORY_SHED_HARD),
    (Pressure::Shed, limits::MEMORY_SHED),
    (Pressure::NoPlayers, limits::MEMORY_NO_PLAYERS),
    (Pressure::NoStreams, limits::MEMORY_NO_STREAMS),
];

impl Pressure {
    /// How short memory is with `held` bytes of at most `most`, after it was `self`.
    pub(super) fn next(self, held: u64, most: u64) -> Self {
        let holds = |&&(step, begins): &&(Self, u64)| {
            let slack = if self >= step {
                limits::MEMORY_HYSTERESIS
            } else {
                0
            };
            held > percent(most, begins - slack)
        };
        STEPS
            .iter()
            .find(holds)
            .map_or(Self::None, |(step, _)| *step)
    }

    /// What is done about it, for the log.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::None => "nothing is refused",
            Self::NoStreams => "new streams are refused",
            Self::NoPlayers => "new streams, players and connections are refused",
            Self::Shed => "those that hold the most are closed, little by little",
            Self::ShedHard => "those that hold the most are closed",
        }
    }
}

pub(super) fn percent(of: u64, percent: u64) -> u64 {
    u64::try_from(u128::from(of) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}

/// How often those that hold the most are closed.
const SHED_EVERY: Duration = Duration::from_secs(1);

/// How short memory is on a worker, and when that is looked at.
#[derive(Debug)]
pub(super) struct MemoryWatch {
    pressure: Pressure,
    review_due: Instant,
    /// Bytes that had come when memory was counted last.
    reviewed_bytes: u64,
    /// When those that hold the most are closed next, if they are to be.
    shed_due: Instant,
    /// Since when new players and connections are refused.
    refused_since: Option<Instant>,
}

impl MemoryWatch {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            pressure: Pressure::None,
            review_due: now,
            reviewed_bytes: 0,
            shed_due: now,
            refused_since: None,
        }
    }

    /// How short memory was when it was counted last.
    pub(super) fn pressure(&self) -> Pressure {
        self.pressure
    }

    /// Whether memory is to be counted.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.review_due
    }

    /// Memory is to be counted now if more than `step` of `bytes_in` have come since the last
    /// time; whether that is so.
    pub(super) fn has_grown(&mut self, bytes_in: u64, step: u64, now: Instant) -> bool {
        let has_grown = bytes_in.saturating_sub(self.reviewed_bytes) > step;
        if has_grown {
            self.review_due = now;
        }
        has_grown
    }

    /// Memory is counted, when `bytes_in` have come.
    pub(super) fn begin_review(&mut self, bytes_in: u64) {
        self.reviewed_bytes = bytes_in;
    }

    /// All workers hold `held` of at most `most`; whether that changes what is done about it.
    pub(super) fn end_review(&mut self, held: u64, most: u64, now: Instant) -> bool {
        let before = self.pressure;
        self.pressure = before.next(held, most);
        let wait = match self.pressure {
            Pressure::None => limits::MEMORY_REVIEW,
            _ => limits::MEMORY_REVIEW / 4,
        };
        self.review_due = now + wait;
        if self.pressure < Pressure::NoPlayers {
            self.refused_since = None;
        } else {
            self.refused_since.get_or_insert(now);
        }
        self.pressure != before
    }

    /// Whether new players and connections have been refused for [`limits::MEMORY_REFUSED_MAX`].
    pub(super) fn has_refused_long(&self, now: Instant) -> bool {
        let since = self.refused_since;
        since
            .is_some_and(|since| now.saturating_duration_since(since) >= limits::MEMORY_REFUSED_MAX)
    }

    /// Whether some of those that hold the most are to be closed now, which is not done too often.
    pub(super) fn take_shed(&mut self, now: Instant) -> bool {
        let is_due = now >= self.shed_due;
        if is_due {
            self.shed_due = now + SHED_EVERY;
        }
        is_due
    }

    /// It is not counted before `at`, whatever comes.
    #[cfg(test)]
    pub(super) fn postpone(&mut self, at: Instant) {
        self.review_due = at;
        self.ignore_growth();
    }

    /// It is not counted before it is due, whatever comes.
    #[cfg(test)]
    pub(super) fn ignore_growth(&mut self) {
        self.reviewed_bytes = u64::MAX;
    }

    /// It is counted at once.
    #[cfg(test)]
    pub(super) fn make_due(&mut self, now: Instant) {
        self.review_due = now;
    }

    #[cfg(test)]
    pub(super) fn set_pressure(&mut self, pressure: Pressure) {
        self.pressure = pressure;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_begins_at_its_hundredth_and_ends_five_below() {
        let mut pressure = Pressure::None;
        let mut at = |held| {
            pressure = pressure.next(held, 1_000);
            pressure
        };
        for (held, expected) in [
            (700, Pressure::None),
            (701, Pressure::NoStreams),
            (651, Pressure::NoStreams),
            (650, Pressure::None),
            (700, Pressure::None),
            (801, Pressure::NoPlayers),
            (751, Pressure::NoPlayers),
            (750, Pressure::NoStreams),
            (901, Pressure::Shed),
            (951, Pressure::ShedHard),
            (901, Pressure::ShedHard),
            (900, Pressure::Shed),
            (10_000, Pressure::ShedHard),
            (0, Pressure::None),
        ] {
            assert_eq!(at(held), expected, "{held}");
        }
        assert_eq!(Pressure::None.next(u64::MAX, u64::MAX), Pressure::ShedHard);
    }
}
