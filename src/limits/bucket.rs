//! Token buckets: so many of something in a time, and a few more at once.
//!
//! A bucket is the time at which it will be full again, so that it needs no timer, no division
//! and no reading of the clock: time is an argument, counted from any moment as long as it is
//! always the same one.

use std::time::Duration;

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So many tokens come back ...
    count: u32,
    /// ... in so many seconds, ...
    seconds: u64,
    /// ... one in this time.
    every: Duration,
    /// Tokens in a full bucket; at least 1.
    burst: u32,
}

impl Rate {
    /// `count` a second, and `burst` at once.
    pub const fn per_second(count: u32, burst: u32) -> Self {
        Self::new(count, 1, burst)
    }

    /// `count` in `seconds`, and `burst` at once.
    pub const fn new(count: u32, seconds: u64, burst: u32) -> Self {
        assert!(count > 0 && burst > 0, "a bucket gives something");
        Self {
            count,
            seconds,
            every: Duration::from_nanos(seconds * 1_000_000_000 / count as u64),
            burst,
        }
    }

    /// Tokens in a full bucket.
    pub const fn burst(self) -> u32 {
        self.burst
    }

    /// How many tokens come back in how many seconds, in whole numbers.
    pub const fn plainly(self) -> (u32, u64) {
        (self.count, self.seconds)
    }
}

/// See the module text. A new one is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    full_at: Duration,
}

impl Bucket {
    /// Takes one token; false when there is none, and then nothing changes.
    pub fn take(&mut self, rate: Rate, now: Duration) -> bool {
        let full_at = self.full_at.max(now).saturating_add(rate.every);
        let has_token = full_at.saturating_sub(now) <= rate.every.saturating_mul(rate.burst);
        if has_token {
            self.full_at = full_at;
        }
        has_token
    }

    /// Whether nothing was taken that has not come back.
    pub fn is_full(&self, now: Duration) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_at_once_and_then_its_rate() {
        let rate = Rate::per_second(10, 3);
        assert_eq!((rate.plainly(), rate.burst()), ((10, 1), 3));
        let at = Duration::from_millis;
        let mut bucket = Bucket::default();
        let mut takes = |now| bucket.take(rate, at(now));
        assert_eq!([0, 0, 0, 0].map(&mut takes), [true, true, true, false]);
        assert_eq!([99, 100, 100].map(&mut takes), [false, true, false]);
        // However long it rests, it holds no more than its burst.
        assert_eq!(
            [9_000, 9_000, 9_000, 9_000].map(&mut takes),
            [true, true, true, false]
        );
        assert!(!bucket.is_full(at(9_299)));
        assert!(bucket.is_full(at(9_300)));
    }

    #[test]
    fn a_clock_that_lags_behind_another_gives_nothing_away() {
        let rate = Rate::per_second(1, 1);
        let mut bucket = Bucket::default();
        assert!(bucket.take(rate, Duration::from_secs(100)));
        assert!(!bucket.take(rate, Duration::from_secs(99)));
        assert!(bucket.take(rate, Duration::from_secs(101)));
    }
}
