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
//!
//! The cost of a read or a write is what it takes beside moving its bytes, which batching does
//! not save: a longer pace makes larger writes, and must not become longer still for that.
//! Abuse must not slow the others down either: of a publisher no more messages count than one
//! has with good reason, and only rounds of writing tell what a write costs.

use std::time::{Duration, Instant};

use crate::config::{Config, Pace};

/// The share of a core that unbatched reading and writing may take.
const SHARE: f64 = 0.10;

/// How often the automatic pace is worked out anew.
const REVIEW_EVERY: Duration = Duration::from_millis(250);

/// Paces below this are not worth a timer.
const PACE_MIN: Duration = Duration::from_millis(2);

/// Messages a second that count of each publisher: video at 60 frames, audio at 94, and as much
/// again for further tracks.
const PUBLISHER_MESSAGES: f64 = 300.0;

/// Seconds to move a byte between a socket and here, both 0.2 ns: what writes of 1 to 26 KB took.
const BYTE_COST: f64 = 0.2e-9;

/// The least part of the time of reads and writes that is taken for their own.
const OWN_PART: f64 = 0.25;

/// How far a cost moves to what was measured last, at each review: one round that was disturbed
/// changes little.
const COST_STEP: f64 = 0.1;

/// Costs to begin with, before there is anything to measure, in seconds.
const WRITE_COST_INITIAL: f64 = 7e-6;
const READ_COST_INITIAL: f64 = 5e-6;

/// What a worker did since the last review.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// Messages published, each counted once for every player of its stream.
    pub fanned_out: u64,
    /// Messages published.
    pub messages: u64,
    /// Writes to players in rounds of writing.
    pub writes: u64,
    /// Bytes written in them.
    pub written: u64,
    /// Time spent in rounds of writing.
    pub egress: Duration,
    /// Reads, and the time they took with all that follows from them.
    pub reads: u64,
    /// Bytes read.
    pub read: u64,
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

    /// A message has come of a stream with so many players.
    pub(super) fn count_message(&mut self, players: usize) {
        self.work.messages += 1;
        self.work.fanned_out += players as u64;
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
        smooth(&mut self.write_cost, work.egress, work.writes, work.written);
        smooth(&mut self.read_cost, work.ingress, work.reads, work.read);
        let seconds = elapsed.as_secs_f64();
        let messages = (work.messages as f64).min(publishers as f64 * PUBLISHER_MESSAGES * seconds);
        let unbatched = work.fanned_out as f64 * self.write_cost + messages * self.read_cost;
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

/// Moves `cost` towards what one of `count` calls took beside moving its share of `bytes`.
fn smooth(cost: &mut f64, time: Duration, count: u64, bytes: u64) {
    if count > 0 {
        let seconds = time.as_secs_f64();
        let own = (seconds - bytes as f64 * BYTE_COST).max(seconds * OWN_PART);
        *cost += (own / count as f64 - *cost) * COST_STEP;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pace after ten seconds of `players` of one stream with 68 messages and 75 KB a second,
    /// each write taking `own_us` and what its bytes take.
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn settled(pace: Pace, players: u32, own_us: f64) -> Duration {
        let start = Instant::now();
        let config = Config {
            pace,
            ..Config::default()
        };
        let mut pacer = Pacer::new(&config, start);
        for quarter in 1..=40u32 {
            let beat = pacer.pace().max(Duration::from_millis(15));
            let rounds = 250 / u64::try_from(beat.as_millis()).unwrap();
            let writes = u64::from(players) * rounds.max(1);
            let bytes = u64::from(players) * 75_000 / 4;
            let seconds = writes as f64 * own_us * 1e-6 + bytes as f64 * BYTE_COST;
            let work = pacer.work();
            work.messages += 17;
            work.fanned_out += 17 * u64::from(players);
            work.writes += writes;
            work.written += bytes;
            work.egress += Duration::from_secs_f64(seconds);
            work.reads += 17;
            work.ingress += Duration::from_micros(5) * 17;
            pacer.review(start + REVIEW_EVERY * quarter, players as usize, 1);
        }
        pacer.pace()
    }

    #[test]
    fn few_players_are_served_at_once_and_many_in_batches() {
        assert_eq!(settled(Pace::Auto, 0, 7.0), Duration::ZERO);
        assert_eq!(settled(Pace::Auto, 100, 7.0), Duration::ZERO);
        let some = settled(Pace::Auto, 500, 7.0);
        assert!((30..50).contains(&some.as_millis()), "{some:?}");
        let many = settled(Pace::Auto, 2_000, 7.0);
        assert!((130..150).contains(&many.as_millis()), "{many:?}");
        let most = Config::default().pace_max;
        assert_eq!(settled(Pace::Auto, 18_000, 7.0), most);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn a_flood_of_tiny_messages_delays_no_player() {
        let start = Instant::now();
        let mut pacer = Pacer::new(&Config::default(), start);
        for quarter in 1..=40u32 {
            let work = pacer.work();
            work.messages += 50_000;
            work.fanned_out += 17 * 10;
            work.writes += 10;
            work.egress += Duration::from_micros(8) * 10;
            work.reads += 200;
            work.ingress += Duration::from_micros(30) * 200;
            pacer.review(start + REVIEW_EVERY * quarter, 10, 1);
        }
        assert_eq!(pacer.pace(), Duration::ZERO);
    }

    #[test]
    fn a_fixed_pace_stays() {
        let fixed = Pace::Fixed(Duration::from_millis(100));
        assert_eq!(settled(fixed, 10, 7.0), Duration::from_millis(100));
        let zero = Pace::Fixed(Duration::ZERO);
        assert_eq!(settled(zero, 18_000, 7.0), Duration::ZERO);
    }
}
