//! Two relays that fetch from each other, and what becomes of those who wait for a stream that
//! neither has. What happens when everything comes together is for the simulation around it.

use std::time::Duration;

use super::super::Trace;
use super::super::rng::Rng;
use super::world::World;
use crate::config::Config;
use crate::edge::rule::Rule;

const S: fn(u64) -> Duration = Duration::from_secs;
const GIVE_UP: Duration = Duration::from_secs(10);
const NOT_FOUND: &str = "NetStream.Play.StreamNotFound";
const OVER: &str = "NetStream.Play.UnpublishNotify";

/// Relays of which each has the next as its origin, and the last the first.
fn circle(seed: u64, count: usize) -> World {
    let config = |next: usize| Config {
        app: vec!["live".to_owned()],
        grace: Duration::ZERO,
        play_wait: Duration::ZERO,
        pull: vec![Rule::parse(&format!("rtmp://r{next}")).unwrap()],
        pull_give_up: GIVE_UP,
        pull_linger: S(1),
        ping: None,
        ..Config::default()
    };
    let configs = (0..count)
        .map(|relay| config((relay + 1) % count))
        .collect();
    let mut world = World::with(Rng::new(seed), configs, 1, Trace::default());
    world.calm = true;
    world
}

fn pass(world: &mut World, time: Duration) {
    world.wait(time, Duration::from_millis(100), |world| {
        let World {
            encoders,
            rng,
            truth,
            ..
        } = world;
        for (_, client) in encoders {
            if !client.gone && client.leaving.is_none() {
                client.publish_some(rng, truth);
            }
        }
    });
}

/// What viewers were told, and whether each is over.
fn heard(world: &World) -> Vec<(&str, bool)> {
    let viewers = world.viewers.iter();
    viewers
        .map(|viewer| (&*viewer.heard, viewer.gone))
        .collect()
}

#[test]
fn who_waits_for_a_stream_that_goes_in_a_circle_is_told_at_once_that_there_is_none() {
    for count in [2, 3] {
        for seed in 0..10 {
            let mut world = circle(seed, count);
            world.viewer_comes(0, 0, usize::MAX);
            pass(&mut world, S(3));
            assert_eq!(
                heard(&world),
                [(NOT_FOUND, true)],
                "{count} relays, seed {seed}"
            );
            world.end();
        }
    }
}

#[test]
fn relays_that_ask_each_other_at_the_same_time_give_up_when_they_are_to() {
    for count in [2, 3] {
        for seed in 0..10 {
            let mut world = circle(seed, count);
            for relay in 0..count {
                world.viewer_comes(relay, 0, usize::MAX);
            }
            pass(&mut world, GIVE_UP + S(1));
            let told = vec![(NOT_FOUND, true); count];
            assert_eq!(heard(&world), told, "{count} relays, seed {seed}");
            world.end();
        }
    }
}

/// The publisher of one relay leaves while the line to the other is stuck; then somebody comes to
/// the first, which finds the stream at the second, and the second asks the first anew.
#[test]
fn regression_what_is_left_of_a_stream_does_not_go_round_and_round() {
    for seed in 0..20 {
        let mut world = circle(seed, 2);
        world.encoder_comes(0, 0);
        pass(&mut world, S(1));
        world.viewer_comes(1, 0, usize::MAX);
        pass(&mut world, S(5));
        assert!(world.viewers[0].judge.at.is_some(), "seed {seed}");
        for cable in &mut world.cables {
            cable.is_hole = true;
        }
        let World {
            encoders, truth, ..
        } = &mut world;
        encoders[0].1.quit(truth);
        pass(&mut world, S(1));
        world.viewer_comes(0, 0, usize::MAX);
        pass(&mut world, S(1));
        assert_eq!(world.cables.len(), 2, "seed {seed}");
        world.cables[0].cut();
        pass(&mut world, GIVE_UP + S(3));
        assert_eq!(heard(&world), [(OVER, true); 2], "seed {seed}");
        let again = world.viewers.iter().map(|viewer| viewer.judge.again);
        assert_eq!(again.sum::<u64>(), 0, "seed {seed}");
        world.end();
    }
}
