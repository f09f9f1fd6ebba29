//! How long to wait before the next try.

use std::time::Duration;

use crate::limits;

/// The time to wait after `failures` failures in a row, the first of which is 1. Doubles each
/// time up to [`limits::RETRY_MAX`]; `dice` takes or adds up to a quarter, so that those who
/// failed together do not come back together.
pub fn delay(failures: u32, dice: u64) -> Duration {
    let doubled = limits::RETRY_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let base = doubled.min(limits::RETRY_MAX);
    let quarter = base / 4;
    let jitter = u32::try_from(dice % 1_000).unwrap_or(0);
    base - quarter + quarter * 2 * jitter / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_doubles_the_wait_until_the_most() {
        let ms = |failures| delay(failures, 500).as_millis();
        let first = limits::RETRY_FIRST.as_millis();
        assert_eq!([ms(1), ms(2), ms(3)], [first, 2 * first, 4 * first]);
        assert_eq!(ms(40), limits::RETRY_MAX.as_millis());
        assert_eq!(ms(u32::MAX), limits::RETRY_MAX.as_millis());
    }

    #[test]
    fn the_dice_move_it_by_a_quarter_at_most() {
        for dice in [0, 1, 250, 999, u64::MAX] {
            let wait = delay(3, dice);
            let base = limits::RETRY_FIRST * 4;
            assert!(wait >= base * 3 / 4 && wait <= base * 5 / 4, "{wait:?}");
        }
        assert_ne!(delay(3, 0), delay(3, 999));
    }
}
