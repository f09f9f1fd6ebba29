//! How often players that follow live are written to.
//!
//! A write costs the kernel about the same whatever it carries, so batching is what saves CPU,
//! and delay is what it costs. A fixed pace is the operator's word. The automatic one writes at
//! once while that takes a small share of the core, and beyond it stretches so that writing and
//! reading keep to that share:
//!
//! ```text
//!   cost of one round  R = players * cost of a write + publishers * cost of a read
//!   share at pace 0    N = messages a second * what each costs to take and to pass on
//!   N <= 10 %          pace 0
//!   above              pace = R / 10 %, reached gradually as N goes from 10 % to 20 %
//! ```

use std::time::{Duration, Instant};

use crate::config::{Config, Pace};

/// The share of a core that unbatched reading and writing may take.
const SHARE: f64 = 0.10;

/// How often the automatic pace is worked out anew.
const REVIEW_EVERY: Duration = Duration::from_millis(250);

/// Paces below this are not worth a timer.
const PACE_MIN: Duration = Duration::from_millis(2);

/// Costs to begin with, before there is anything to measure, in seconds.
const WRITE_COST_INITIAL: f64 = 8e-6;
const READ_COST_INITIAL: f64 = 5e-6;

/// What a worker did since the last review.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// Messages published, each counted once for every player of its stream.
    pub fanned_out: u64,
    /// Messages published.
    pub messages: u64,
    /// Writes to players, and the time they took.
    pub writes: u64,
    /// Time spent writing.
    pub egress: Duration,
    /// Reads, and the time they took with all that follows from them.
    pub reads: u64,
    /// Time spent reading and parsing.
    pub ingress: Duration,
}

/// See the module text.
#[derive(Debug)]
pub struct Pacer {
    automatic: bool,
    pace_max: Duration,
    pace: Duration,
    reviewed: Instant,
    last_round: Option<Instant>,
    work: Work,
    write_cost: f64,
    read_cost: f64,
    /// Share of the core that pace 0 would take, smoothed.
    share: f64,
}

impl Pacer {
    /// A pacer as configured.
    pub fn new(config: &Config, now: Instant) -> Self {
        let (automatic, pace) = match config.pace {
            Pace::Auto => (true, Duration::ZERO),
            Pace::Fixed(pace) => (false, pace),
        };
        Self {
            automatic,
            pace_max: config.pace_max,
            pace,
            reviewed: now,
            last_round: None,
            work: Work::default(),
            write_cost: WRITE_COST_INITIAL,
            read_cost: READ_COST_INITIAL,
            share: 0.0,
        }
    }

    /// The pace in force.
    pub fn pace(&self) -> Duration {
        self.pace
    }

    /// What is done is written down here.
    pub fn work(&mut self) -> &mut Work {
        &mut self.work
    }

    /// When players that follow live are due, if something waits for them.
    pub fn due(&self, now: Instant) -> Instant {
        self.last_round.map_or(now, |last| last + self.pace)
    }

    /// What the publishers had was just taken: it is written in this turn. Were reading and
    /// writing on beats of their own, the offset between them would be added to every delay.
    pub fn make_due(&mut self) {
        self.last_round = None;
    }

    /// A round of writing begins.
    pub fn begin_round(&mut self, now: Instant) {
        self.last_round = Some(now);
    }

    /// Works out the automatic pace from what was done; to be called once a turn. `players` and
    /// `publishers` are how many there are.
    pub fn review(&mut self, now: Instant, players: usize, publishers: usize) {
        let elapsed = now.saturating_duration_since(self.reviewed);
        if elapsed < REVIEW_EVERY {
            return;
        }
        self.reviewed = now;
        let work = std::mem::take(&mut self.work);
        if !self.automatic {
            return;
        }
        smooth(&mut self.write_cost, work.egress.as_secs_f64(), work.writes);
        smooth(&mut self.read_cost, work.ingress.as_secs_f64(), work.reads);
        let seconds = elapsed.as_secs_f64();
        let unbatched =
            work.fanned_out as f64 * self.write_cost + work.messages as f64 * self.read_cost;
        self.share += (unbatched / seconds - self.share) * 0.5;
        let round = players as f64 * self.write_cost + publishers as f64 * self.read_cost;
        let over = (self.share / SHARE - 1.0).clamp(0.0, 1.0);
        let pace = Duration::from_secs_f64(round / SHARE * over).min(self.pace_max);
        self.pace = if pace < PACE_MIN {
            Duration::ZERO
        } else {
            pace
        };
    }
}

/// Moves `cost` towards what one of `count` took.
fn smooth(cost: &mut f64, seconds: f64, count: u64) {
    if count > 0 {
        *cost += (seconds / count as f64 - *cost) * 0.3;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pace after ten seconds of `players` of one stream with 68 messages a second, each
    /// write taking `write_us`.
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn settled(pace: Pace, players: u32, write_us: u64) -> Duration {
        let start = Instant::now();
        let config = Config {
            pace,
            ..Config::default()
        };
        let mut pacer = Pacer::new(&config, start);
        for quarter in 1..=40u32 {
            let work = pacer.work();
            work.messages += 17;
            work.fanned_out += 17 * u64::from(players);
            work.writes += u64::from(players);
            work.egress += Duration::from_micros(write_us) * players;
            work.reads += 17;
            work.ingress += Duration::from_micros(5) * 17;
            pacer.review(start + REVIEW_EVERY * quarter, players as usize, 1);
        }
        pacer.pace()
    }

    #[test]
    fn few_players_are_served_at_once_and_many_in_batches() {
        assert_eq!(settled(Pace::Auto, 0, 8), Duration::ZERO);
        assert_eq!(settled(Pace::Auto, 100, 8), Duration::ZERO);
        let some = settled(Pace::Auto, 500, 8);
        assert!((30..60).contains(&some.as_millis()), "{some:?}");
        let many = settled(Pace::Auto, 2_000, 9);
        assert!((150..220).contains(&many.as_millis()), "{many:?}");
        assert_eq!(settled(Pace::Auto, 18_000, 12), Config::default().pace_max);
    }

    #[test]
    fn a_fixed_pace_stays() {
        let fixed = Pace::Fixed(Duration::from_millis(100));
        assert_eq!(settled(fixed, 10, 8), Duration::from_millis(100));
        assert_eq!(
            settled(Pace::Fixed(Duration::ZERO), 18_000, 12),
            Duration::ZERO
        );
    }
}
