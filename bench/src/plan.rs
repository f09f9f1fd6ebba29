//! What a load is made of: which server, how many of what, for how long, and which of the players
//! does what. Nothing here connects.

use crate::check::Checker;
use crate::client::{Player, Server, Wire};
use crate::media::Shape;
use crate::scrape::Scrape;

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
    /// Of those, how many connect elsewhere and speak HTTP; None when all are alike.
    pub http: Option<HttpPlayers>,
    /// Who asks for the server's figures meanwhile.
    pub scrape: Option<Scrape>,
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

/// Players by HTTP-FLV beside others.
#[derive(Clone, Debug)]
pub struct HttpPlayers {
    /// Where they connect to.
    pub play_from: Server,
    /// How many.
    pub count: usize,
}

/// A player that is about to connect.
pub(crate) struct Seat<'a> {
    /// Where to.
    pub(crate) server: &'a Server,
    /// Number of its stream.
    pub(crate) stream: usize,
    /// What it does there.
    pub(crate) player: Player,
}

impl Plan {
    #[cfg(test)]
    pub(crate) fn for_tests(server: Server) -> Self {
        Self {
            publish_to: server.clone(),
            play_from: server,
            name: String::new(),
            streams: 1,
            publishes: true,
            players: 5,
            http: None,
            scrape: None,
            stalled: 1,
            checked: 2,
            storm: 0,
            ramp: 1,
            warm_up: 0,
            seconds: 10,
            shape: Shape {
                bitrate: 600_000,
                frame_rate: 25,
                key_interval: 50,
            },
            idle: false,
            chunk_size: 4_096,
            server_pids: vec![1],
        }
    }

    /// What player number `index` does. Those by HTTP come in turn with the others, and each kind
    /// has its share of those that stall and of those that check.
    pub(crate) fn seat(&self, index: usize) -> Seat<'_> {
        if index >= self.players {
            debug_assert!(index - self.players < self.storm, "no more than planned");
            let mut seat = self.empty_seat(&self.play_from, index % self.streams);
            seat.player.storms = true;
            return seat;
        }
        let by_http = self.http.as_ref().map_or(0, |http| http.count);
        let before = picked_before(index, by_http, self.players);
        let of_http = |count: usize| count * by_http / self.players;
        let (server, place, [all, stalled, checked]) = match &self.http {
            Some(http) if is_picked(index, by_http, self.players) => {
                let shares = [self.players, self.stalled, self.checked].map(of_http);
                (&http.play_from, before, shares)
            }
            _ => {
                let shares = [self.players, self.stalled, self.checked];
                let shares = shares.map(|count| count - of_http(count));
                (&self.play_from, index - before, shares)
            }
        };
        let mut seat = self.empty_seat(server, place % self.streams);
        seat.player.stalls = is_picked(place, stalled, all);
        let following = place - picked_before(place, stalled, all);
        if !seat.player.stalls && is_picked(following, checked, all - stalled) {
            let number = u32::try_from(seat.stream).unwrap_or(u32::MAX);
            seat.player.checker = Some(Checker::new(number));
        }
        seat
    }

    fn empty_seat<'a>(&self, server: &'a Server, stream: usize) -> Seat<'a> {
        let player = Player {
            by_http: matches!(server.wire, Wire::Flv { .. }),
            checker: None,
            stalls: false,
            storms: false,
            idles: self.idle,
        };
        Seat {
            server,
            stream,
            player,
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

    #[test]
    fn both_kinds_of_players_come_in_turn_and_each_checks_its_share() {
        let server = |wire| Server {
            address: "127.0.0.1:1".parse().unwrap(),
            tls: None,
            wire,
        };
        let bare = server(Wire::Bare { chunk_size: 128 });
        let (app, host) = (String::new(), String::new());
        let flv = server(Wire::Flv { app, host });
        for (players, by_http, stalled, checked) in [
            (4_000, 2_000, 0, 8),
            (40, 10, 4, 8),
            (3, 3, 0, 2),
            (5, 0, 1, 2),
            (7, 3, 7, 0),
        ] {
            let http = HttpPlayers {
                play_from: flv.clone(),
                count: by_http,
            };
            let plan = Plan {
                players,
                http: (by_http > 0).then_some(http),
                stalled,
                checked,
                storm: 1,
                ..Plan::for_tests(bare.clone())
            };
            let seats: Vec<Seat<'_>> = (0..players).map(|index| plan.seat(index)).collect();
            let count =
                |is: &dyn Fn(&Player) -> bool| seats.iter().filter(|seat| is(&seat.player)).count();
            assert_eq!(count(&|player| player.by_http), by_http);
            assert_eq!(count(&|player| player.stalls), stalled);
            let checks = |player: &Player| player.checker.is_some();
            assert_eq!(count(&checks), checked);
            let of_http = checked * by_http / players;
            assert_eq!(count(&|player| checks(player) && player.by_http), of_http);
            let mut pairs = seats.windows(2);
            let in_turn = pairs.all(|two| two[0].player.by_http != two[1].player.by_http);
            assert_eq!(
                in_turn,
                players == 2 * by_http || (players, by_http) == (7, 3)
            );
            assert!(plan.seat(players).player.storms);
        }
    }
}
