//! What a load is made of: which server, how many of what, for how long, and which of the players
//! does what. Nothing here connects.

use crate::check::Checker;
use crate::client::{Player, Server};
use crate::media::Shape;

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where publishers connect to.
    pub publish_to: Server,
    /// Where players connect to.
    pub play_from: Server,
    /// Streams are called so, with `-NUMBER`.
    pub name: String,
    /// Streams there are; players are spread over them.
    pub streams: usize,
    /// Whether each stream has a publisher of ours.
    pub publishes: bool,
    /// All players but those of the storm.
    pub players: usize,
    /// Of those, how many never read.
    pub stalled: usize,
    /// Of the others, how many parse everything.
    pub checked: usize,
    /// Players that join within one second when the measurement begins.
    pub storm: usize,
    /// New connections a second.
    pub ramp: u64,
    /// Seconds from the last join to the measurement.
    pub warm_up: u64,
    /// Seconds measured.
    pub seconds: u64,
    /// What is published.
    pub shape: Shape,
    /// Publishers send headers and no media.
    pub idle: bool,
    /// Chunk size of publishers.
    pub chunk_size: usize,
    /// Processes to measure.
    pub server_pids: Vec<u32>,
}

impl Plan {
    /// What player number `index` does.
    pub(crate) fn player(&self, index: usize, stream: usize) -> Player {
        let Some(of_storm) = index.checked_sub(self.players) else {
            let stalls = is_picked(index, self.stalled, self.players);
            let following = index - picked_before(index, self.stalled, self.players);
            let checks = !stalls && is_picked(following, self.checked, self.players - self.stalled);
            let stream = u32::try_from(stream).unwrap_or(u32::MAX);
            return Player {
                checker: checks.then(|| Checker::new(stream)),
                stalls,
                storms: false,
                idles: self.idle,
            };
        };
        debug_assert!(of_storm < self.storm, "no more players than planned");
        Player {
            checker: None,
            stalls: false,
            storms: true,
            idles: self.idle,
        }
    }
}

/// How many of the first `index` of `all` are picked when `picks` are spread evenly, as far from
/// the first as from the last: servers write to their players in either order.
fn picked_before(index: usize, picks: usize, all: usize) -> usize {
    (index * picks + all / 2) / all.max(1)
}

/// Whether number `index` is picked.
fn is_picked(index: usize, picks: usize, all: usize) -> bool {
    picked_before(index + 1, picks, all) > picked_before(index, picks, all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_are_as_many_as_asked_and_spread() {
        for (picks, all) in [(0, 10), (1, 10), (3, 10), (10, 10), (500, 2_000), (8, 100)] {
            let picked: Vec<usize> = (0..all).filter(|&i| is_picked(i, picks, all)).collect();
            assert_eq!(picked.len(), picks);
            if picks > 0 {
                let after = all - 1 - picked[picks - 1];
                assert!(
                    picked[0].abs_diff(after) <= 1,
                    "{picks} of {all}: {picked:?}"
                );
                let widest = picked.windows(2).map(|w| w[1] - w[0]).max();
                assert!(widest.is_none_or(|step| step <= all.div_ceil(picks)));
            }
        }
    }
}
