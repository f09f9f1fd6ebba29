//! Two relays that fetch from each other, and what becomes of those who wait for a stream that
//! neither has; and an edge between hostile origins, one kind at a time. What happens when
//! everything comes together is for the simulation around it.

use std::time::Duration;

use super::super::Trace;
use super::super::rng::Rng;
use super::cable::Cable;
use super::hostile::{self, Watch};
use super::script::Script;
use super::server::Temper;
use super::world::World;
use crate::config::Config;
use crate::edge::rule::Rule;
use crate::limits;

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

/// An edge (0) whose origins are 1 and 2, and an edge of that edge (3).
fn two_edges(seed: u64, names: usize) -> World {
    let config = |pull: &[&str]| Config {
        app: vec!["live".to_owned()],
        pull: pull.iter().map(|url| Rule::parse(url).unwrap()).collect(),
        ..Config::default()
    };
    let configs = vec![
        config(&["rtmp://r1,rtmp://r2"]),
        config(&[]),
        config(&[]),
        config(&["rtmp://r0"]),
    ];
    let mut world = World::with(Rng::new(seed), configs, names, Trace::default());
    world.calm = true;
    world
}

/// The same with an encoder at the first origin, and a viewer of its stream at each edge.
fn played_at_edges(seed: u64, names: usize, stream: usize) -> World {
    let mut world = two_edges(seed, names);
    world.encoder_comes(1, stream);
    pass(&mut world, S(1));
    for relay in [0, 3] {
        world.viewer_comes(relay, stream, usize::MAX);
    }
    pass(&mut world, S(3));
    world
}

/// Whichever origin is asked first.
#[test]
fn regression_a_proper_end_passes_edges_after_one_grace() {
    const NAMES: usize = 4;
    for (seed, stream) in (0..8).zip((0..NAMES).cycle()) {
        let mut world = played_at_edges(seed, NAMES, stream);
        let has_media = |viewer: &super::viewer::Viewer| viewer.judge.at.is_some();
        assert!(world.viewers.iter().all(has_media), "seed {seed}");
        let World {
            encoders, truth, ..
        } = &mut world;
        encoders[0].1.end_streams(truth);
        pass(
            &mut world,
            limits::UNPUBLISH_GRACE + Duration::from_millis(700),
        );
        assert_eq!(heard(&world), [(OVER, true); 2], "seed {seed}");
        for relay in [0, 3] {
            world.viewer_comes(relay, stream, usize::MAX);
        }
        pass(&mut world, S(1));
        assert_eq!(heard(&world)[2..], [(NOT_FOUND, true); 2], "seed {seed}");
        world.end();
    }
}

/// The encoder goes on at the other origin while players wait.
#[test]
fn a_stream_that_goes_on_at_another_origin_does_not_end() {
    const NAMES: usize = 4;
    for (seed, stream) in (0..8).zip((0..NAMES).cycle()) {
        let mut world = played_at_edges(seed, NAMES, stream);
        let World {
            encoders, truth, ..
        } = &mut world;
        encoders[0].1.end_streams(truth);
        // Just before the end is certain.
        pass(&mut world, Duration::from_millis(1_800));
        world.encoder_comes(2, stream);
        pass(&mut world, S(5));
        let is_over = heard(&world).iter().any(|(_, is_over)| *is_over);
        assert!(!is_over, "seed {seed}");
        world.end();
    }
}

/// Both hostile origins of an edge do the same; whoever waits for the stream has it from the honest
/// one, in whatever order they are asked.
#[track_caller]
fn check_script(script: Script) {
    for stream in 0..hostile::NAMES {
        let config = Config {
            pull_timeout: S(1),
            ..Config::default()
        };
        let rng = Rng::new(stream as u64);
        let mut world = hostile::world(rng, Trace::default(), config);
        world.tempers = [Temper::Plays(script); 2];
        let mut watch = Watch::begin(&mut world, stream);
        watch.pass(&mut world, S(20));
        world.viewer_comes(0, stream, usize::MAX);
        watch.pass(&mut world, S(20));
        world.end();
    }
}

#[test]
fn a_silent_origin_is_left() {
    check_script(Script::Silent);
}

#[test]
fn an_origin_that_only_answers_pings_is_left() {
    check_script(Script::Pings);
}

#[test]
fn an_origin_that_only_says_stream_begin_is_left() {
    check_script(Script::Begins);
}

#[test]
fn an_origin_that_sends_statuses_and_no_media_is_left() {
    check_script(Script::Statuses);
}

#[test]
fn an_origin_that_sends_metadata_and_no_media_is_left() {
    check_script(Script::Metadata);
}

#[test]
fn an_origin_whose_media_stops_is_left() {
    check_script(Script::Stops);
}

#[test]
fn headers_ahead_of_play_start_come_to_players() {
    check_script(Script::HeadersFirst);
}

#[test]
fn media_without_play_start_comes_to_players() {
    check_script(Script::NoStart);
}

#[test]
fn a_reconnect_request_with_media_leads_to_another_origin() {
    for to in [None, Some("rtmp://r1/live"), Some("rtmp://f9/live")] {
        check_script(Script::Reconnect(to));
    }
}

#[test]
fn a_reconnect_request_without_media_is_followed() {
    for to in [None, Some("rtmp://r1/live"), Some("rtmp://f9/live")] {
        check_script(Script::ReconnectOnly(to));
    }
}

#[test]
fn an_origin_that_asks_to_reconnect_without_end_is_left() {
    for to in ["rtmp://f1/live", "a/b", ""] {
        check_script(Script::Reconnects(to));
    }
}

#[test]
fn an_origin_that_says_without_end_that_it_has_ended_is_left() {
    check_script(Script::Ends);
}

#[test]
fn an_origin_that_sends_headers_and_no_media_is_left() {
    check_script(Script::Headers);
}

#[test]
fn redirects_lead_to_an_origin_or_are_left() {
    for to in ["rtmp://r1/live", "rtmp://f9/live", "rtmp://f0/live", "a/b"] {
        check_script(Script::RedirectConnect(to));
        check_script(Script::RedirectPlay(to));
    }
}

#[test]
fn an_origin_that_closes_at_once_is_left() {
    check_script(Script::Closes);
}

#[test]
fn a_new_clock_within_a_connection_never_steps_back() {
    for is_told in [true, false] {
        check_script(Script::NewClock { is_told });
    }
}

/// The line to the honest origin is lost again and again, which makes pauses longer, and the
/// stream is given up soon.
#[test]
fn regression_an_origin_lost_and_back_is_asked_before_giving_up() {
    for stream in 0..hostile::NAMES {
        let config = Config {
            pull_timeout: S(1),
            pull_give_up: S(3),
            ..Config::default()
        };
        let rng = Rng::new(stream as u64);
        let mut world = hostile::world(rng, Trace::default(), config);
        world.tempers = [Temper::Plays(Script::Closes); 2];
        let mut watch = Watch::begin(&mut world, stream);
        for _ in 0..4 {
            watch.pass(&mut world, S(5));
            world.cables.iter_mut().for_each(Cable::cut);
        }
        watch.pass(&mut world, S(5));
        world.end();
    }
}
