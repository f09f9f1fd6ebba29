//! How often one connection may do something: a [`Rate`] of `limits`, and what of it is used up.
//!
//! A [`Meter`] is one number. Everything that is taken has to be paid with time, at a fixed price
//! each; the number is when all of it will be paid, and the burst is how far ahead of now that may
//! lie. Any count is taken with two comparisons, and seven meters of a connection are 56 bytes.
//!
//! ```text
//!            now            paid           now + burst * price
//!   ----------|##############|---------------------|---------> time
//!              taken, unpaid    what may be taken
//! ```
//!
//! It knows no clock: the time is told. While none is told it stands still, and a burst is all
//! there is.

// The length of time alone; `core::time` has no clock to read.
use core::time::Duration;

use crate::limits::bucket::Rate;

/// A rate in the units of a meter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Price {
    /// What one costs, in microseconds.
    one: u64,
    /// What a burst costs.
    burst: u64,
}

impl Price {
    /// To be used in constants: a price of nothing does not compile there.
    pub(super) const fn of(rate: Rate) -> Self {
        let (count, seconds) = rate.plainly();
        let one = seconds * 1_000_000 / count as u64;
        assert!(one > 0, "each has its price");
        Self {
            one,
            burst: one * rate.burst() as u64,
        }
    }
}

/// How much of a rate is used up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meter {
    /// When all that was taken is paid, in microseconds.
    paid: u64,
}

impl Meter {
    /// Takes `count` at the time `now`; false when there are not so many, and then none is taken.
    pub(super) fn take(&mut self, price: &Price, now: Duration, count: u32) -> bool {
        let now = micros(now);
        let cost = price.one.saturating_mul(u64::from(count));
        let paid = self.paid.max(now).saturating_add(cost);
        // A clock that is behind the last one, as after a move to another worker, gives nothing
        // and breaks nothing.
        if paid > now.saturating_add(price.burst) {
            return false;
        }
        self.paid = paid;
        true
    }
}

#[cfg(test)]
impl Meter {
    /// When all that was taken is paid.
    pub(super) fn paid(&self) -> Duration {
        Duration::from_micros(self.paid)
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

    const SECOND: Duration = Duration::from_secs(1);
    const TEN: Price = Price::of(Rate::per_second(10, 20));

    /// How many of `asked` are given at `now`, one by one.
    fn given(meter: &mut Meter, now: Duration, asked: u32) -> usize {
        (0..asked).filter(|_| meter.take(&TEN, now, 1)).count()
    }

    #[test]
    fn a_burst_is_given_at_once_and_no_more_while_time_stands_still() {
        let mut meter = Meter::default();
        assert_eq!(given(&mut meter, Duration::ZERO, 30), 20);
        let mut meter = Meter::default();
        assert_eq!(given(&mut meter, 1_000_000 * SECOND, 30), 20);
        assert_eq!(given(&mut meter, 1_000_000 * SECOND, 30), 0);
    }

    #[test]
    fn time_gives_back_at_the_rate_and_up_to_the_burst() {
        let mut meter = Meter::default();
        assert_eq!(given(&mut meter, SECOND, 20), 20);
        let tenth = Duration::from_millis(100);
        let almost = SECOND + tenth - Duration::from_micros(1);
        assert_eq!(given(&mut meter, almost, 9), 0);
        assert_eq!(given(&mut meter, SECOND + tenth, 9), 1);
        assert_eq!(given(&mut meter, 2 * SECOND, 30), 9);
        assert_eq!(given(&mut meter, 3_600 * SECOND, 30), 20);
    }

    #[test]
    fn many_are_taken_together_or_not_at_all() {
        let mut meter = Meter::default();
        assert!(meter.take(&TEN, SECOND, 19));
        assert!(!meter.take(&TEN, SECOND, 2));
        assert!(meter.take(&TEN, SECOND, 1));
        assert!(!meter.take(&TEN, SECOND, u32::MAX));
        assert!(!meter.take(&TEN, SECOND, 1));
        assert!(meter.take(&TEN, SECOND, 0));
    }

    #[test]
    fn a_clock_that_goes_back_or_to_its_end_breaks_nothing() {
        let mut meter = Meter::default();
        assert_eq!(given(&mut meter, 10 * SECOND, 5), 5);
        assert_eq!(given(&mut meter, 9 * SECOND, 30), 5);
        assert_eq!(given(&mut meter, Duration::ZERO, 30), 0);
        assert_eq!(given(&mut meter, 13 * SECOND, 30), 20);
        assert!(given(&mut meter, Duration::MAX, 30) > 0);
    }
}
