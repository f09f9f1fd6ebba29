//! Token buckets: so many of something in a time, and a few more at once.
//!
//! A [`Bucket`] is one number. Everything that is taken has to be paid with time, at a fixed price
//! each; the number is when all of it will be paid, and the burst is how far ahead of now that may
//! lie. Any count is taken with two comparisons, no timer and no division.
//!
//! ```text
//!            now            paid           now + burst * price
//!   ----------|##############|---------------------|---------> time
//!              taken, unpaid    what may be taken
//! ```
//!
//! It reads no clock: time is an argument, counted from any moment as long as it is always the
//! same one. While none is told it stands still, and a burst is all there is.

use core::time::Duration;

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So many tokens come back ...
    count: u32,
    /// ... in so many seconds, ...
    seconds: u64,
    /// ... one in so many microseconds.
    price: u64,
    /// Tokens in a full bucket; at least 1.
    burst: u32,
}

impl Rate {
    /// `count` a second, and `burst` at once.
    pub const fn per_second(count: u32, burst: u32) -> Self {
        Self::new(count, 1, burst)
    }

    /// `count` in `seconds`, and `burst` at once. To be used in constants: a rate of nothing, or
    /// of more than one in a microsecond, does not compile there.
    pub const fn new(count: u32, seconds: u64, burst: u32) -> Self {
        assert!(count > 0 && burst > 0, "a bucket gives something");
        let price = seconds * 1_000_000 / count as u64;
        assert!(price > 0, "each has its price");
        Self {
            count,
            seconds,
            price,
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
    /// When all that was taken is paid, in microseconds.
    paid: u64,
}

impl Bucket {
    /// Takes one token; false when there is none, and then nothing changes.
    pub fn take(&mut self, rate: Rate, now: Duration) -> bool {
        self.take_many(rate, now, 1)
    }

    /// Takes `count` tokens; false when there are not so many, and then none is taken.
    pub fn take_many(&mut self, rate: Rate, now: Duration, count: u32) -> bool {
        let now = micros(now);
        let cost = rate.price.saturating_mul(u64::from(count));
        let paid = self.paid.max(now).saturating_add(cost);
        // A clock that is behind the last one, as after a move to another worker, gives nothing
        // and breaks nothing.
        let burst = rate.price.saturating_mul(u64::from(rate.burst));
        let has_tokens = paid <= now.saturating_add(burst);
        if has_tokens {
            self.paid = paid;
        }
        has_tokens
    }

    /// Takes one token, also one that comes within `ahead`; how long until it does. None when it
    /// comes later, and then nothing changes.
    pub fn take_ahead(&mut self, rate: Rate, now: Duration, ahead: Duration) -> Option<Duration> {
        let wait = self.wait(rate, now, 0);
        if wait > ahead {
            return None;
        }
        self.paid = self.paid.max(micros(now)).saturating_add(rate.price);
        Some(wait)
    }

    /// How long until there is a token, and `kept` more beside it.
    pub fn wait(&self, rate: Rate, now: Duration, kept: u32) -> Duration {
        let now = micros(now);
        let cost = rate.price.saturating_mul(u64::from(kept) + 1);
        let burst = rate.price.saturating_mul(u64::from(rate.burst));
        let paid = self.paid.max(now).saturating_add(cost);
        Duration::from_micros(paid.saturating_sub(now.saturating_add(burst)))
    }

    /// Gives one token back.
    pub fn give_back(&mut self, rate: Rate) {
        self.paid = self.paid.saturating_sub(rate.price);
    }

    /// Whether nothing was taken that has not come back.
    pub fn is_full(&self, now: Duration) -> bool {
        self.paid <= micros(now)
    }
}

/// Whole microseconds; all times beyond half a million years are the same.
fn micros(time: Duration) -> u64 {
    time.as_secs()
        .saturating_mul(1_000_000)
        .saturating_add(u64::from(time.subsec_micros()))
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
    fn a_token_may_be_taken_some_time_before_it_comes() {
        let rate = Rate::per_second(10, 2);
        let at = Duration::from_millis;
        let mut bucket = Bucket::default();
        let mut waits = || bucket.take_ahead(rate, at(0), at(200));
        let expected = [Some(at(0)), Some(at(0)), Some(at(100)), Some(at(200)), None];
        assert_eq!([0; 5].map(|_| waits()), expected);
        assert_eq!(bucket.wait(rate, at(0), 0), at(300));
        assert_eq!(bucket.wait(rate, at(0), 1), at(400));
        bucket.give_back(rate);
        assert_eq!(bucket.wait(rate, at(0), 0), at(200));
        assert_eq!(bucket.wait(rate, at(400), 1), at(0));
    }

    #[test]
    fn a_clock_that_lags_behind_another_gives_nothing_away() {
        let rate = Rate::per_second(1, 1);
        let mut bucket = Bucket::default();
        assert!(bucket.take(rate, Duration::from_secs(100)));
        assert!(!bucket.take(rate, Duration::from_secs(99)));
        assert!(bucket.take(rate, Duration::from_secs(101)));
    }

    const SECOND: Duration = Duration::from_secs(1);
    const TEN: Rate = Rate::per_second(10, 20);

    /// How many of `asked` are given at `now`, one by one.
    fn given(bucket: &mut Bucket, now: Duration, asked: u32) -> usize {
        (0..asked).filter(|_| bucket.take(TEN, now)).count()
    }

    #[test]
    fn a_burst_is_given_at_once_and_no_more_while_time_stands_still() {
        let mut bucket = Bucket::default();
        assert_eq!(given(&mut bucket, Duration::ZERO, 30), 20);
        let mut bucket = Bucket::default();
        assert_eq!(given(&mut bucket, 1_000_000 * SECOND, 30), 20);
        assert_eq!(given(&mut bucket, 1_000_000 * SECOND, 30), 0);
    }

    #[test]
    fn time_gives_back_at_the_rate_and_up_to_the_burst() {
        let mut bucket = Bucket::default();
        assert_eq!(given(&mut bucket, SECOND, 20), 20);
        let tenth = Duration::from_millis(100);
        let almost = SECOND + tenth - Duration::from_micros(1);
        assert_eq!(given(&mut bucket, almost, 9), 0);
        assert_eq!(given(&mut bucket, SECOND + tenth, 9), 1);
        assert_eq!(given(&mut bucket, 2 * SECOND, 30), 9);
        assert_eq!(given(&mut bucket, 3_600 * SECOND, 30), 20);
    }

    #[test]
    fn many_are_taken_together_or_not_at_all() {
        let mut bucket = Bucket::default();
        assert!(bucket.take_many(TEN, SECOND, 19));
        assert!(!bucket.take_many(TEN, SECOND, 2));
        assert!(bucket.take_many(TEN, SECOND, 1));
        assert!(!bucket.take_many(TEN, SECOND, u32::MAX));
        assert!(!bucket.take_many(TEN, SECOND, 1));
        assert!(bucket.take_many(TEN, SECOND, 0));
    }

    #[test]
    fn a_clock_that_goes_back_or_to_its_end_breaks_nothing() {
        let mut bucket = Bucket::default();
        assert_eq!(given(&mut bucket, 10 * SECOND, 5), 5);
        assert_eq!(given(&mut bucket, 9 * SECOND, 30), 5);
        assert_eq!(given(&mut bucket, Duration::ZERO, 30), 0);
        assert_eq!(given(&mut bucket, 13 * SECOND, 30), 20);
        assert!(given(&mut bucket, Duration::MAX, 30) > 0);
    }
}
