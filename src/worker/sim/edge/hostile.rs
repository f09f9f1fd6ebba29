//! An edge with an honest origin between hostile ones, see script.rs. While the honest one has the
//! stream and can be reached, whoever waits for it has media before long, whatever others do.

use std::time::{Duration, Instant};

use super::super::client::Appetite;
use super::super::rng::Rng;
use super::super::truth::Truth;
use super::super::wire::End;
use super::super::{Counted, Trace};
use super::script::Script;
use super::server::Temper;
use super::world::World;
use crate::config::Config;
use crate::edge::rule::Rule;
use crate::limits;
use crate::rtmp::message::kind;

const PACE: Duration = Duration::from_millis(100);

/// How long one life is.
const LIFE: Duration = Duration::from_secs(60);

/// Names that streams may have: their origins are asked in different orders.
pub(super) const NAMES: usize = 6;

/// Connections of one stream to its origins in [`DIALS_IN`], at most.
const DIALS_MAX: u64 = 40;
const DIALS_IN: Duration = Duration::from_secs(10);

/// An edge with three origins, the honest one and two hostile ones.
pub(super) fn world(rng: Rng, trace: Trace, config: Config) -> World {
    let rule = Rule::parse("rtmp://f0,rtmp://r1,rtmp://f1").unwrap();
    let origin = Config {
        app: vec!["live".to_owned()],
        grace: Duration::ZERO,
        play_wait: Duration::ZERO,
        ping: None,
        // Fetches are counted by address.
        max_per_address: Some(1_000),
        ..config
    };
    let edge = Config {
        pull: vec![rule],
        ..origin.clone()
    };
    let mut world = World::with(rng, vec![edge, origin], NAMES, trace);
    world.calm = true;
    world
}

/// What viewers of such a world have had.
pub(super) struct Watch {
    stream: usize,
    /// The last message of each, and when it came.
    had: Vec<(Option<(u32, usize)>, Instant)>,
    /// Lines that were dialled at these times.
    dials: Vec<(Instant, u64)>,
}

impl Watch {
    /// The encoder comes to the honest origin, and somebody to the edge.
    pub(super) fn begin(world: &mut World, stream: usize) -> Self {
        world.encoder_comes(1, stream);
        world.encoders[0].1.appetite = Appetite::Fast;
        let mut watch = Self {
            stream,
            had: Vec::new(),
            dials: Vec::new(),
        };
        watch.pass(world, Duration::from_secs(2));
        world.viewer_comes(0, stream, usize::MAX);
        watch
    }

    /// Time passes, and whoever waits is looked at.
    pub(super) fn pass(&mut self, world: &mut World, time: Duration) {
        let until = world.now + time;
        while world.now < until {
            world.wait(PACE, PACE, |world| {
                let World {
                    encoders,
                    rng,
                    truth,
                    ..
                } = world;
                let (_, client) = &mut encoders[0];
                client.publish_some(rng, truth);
            });
            self.check(world);
        }
    }

    fn check(&mut self, world: &World) {
        let now = world.now;
        let most = bound(&world.relays[0].config, &world.truth, self.stream);
        for (at, viewer) in world.viewers.iter().enumerate() {
            if self.had.len() == at {
                self.had.push((None, now));
            }
            let (had, since) = &mut self.had[at];
            if viewer.judge.at != *had {
                (*had, *since) = (viewer.judge.at, now);
            }
            let over = [
                "NetStream.Play.StreamNotFound",
                "NetStream.Play.UnpublishNotify",
            ];
            if over.contains(&&*viewer.heard) {
                world.fail(&format!("viewer {at} hears {}", viewer.heard));
            }
            if !viewer.gone && now.duration_since(*since) > most {
                world.fail(&format!("viewer {at} has no media for {most:?}"));
            }
        }
        let dials = world.dials[self.stream];
        self.dials.push((now, dials));
        self.dials.retain(|(at, _)| *at + DIALS_IN >= now);
        let made = dials - self.dials[0].1;
        if made > DIALS_MAX {
            world.fail(&format!("{made} connections in {DIALS_IN:?}"));
        }
    }
}

/// How long a viewer may be without media: each origin is given up in its time, and the last that
/// was asked has it.
fn bound(config: &Config, truth: &Truth, stream: usize) -> Duration {
    let origins = u32::try_from(config.pull[0].servers.len()).unwrap();
    let asking = config.pull_timeout * 2 * origins + limits::RETRY_MAX * 5 / 4;
    // Sound alone is nothing to go on with where there have been pictures.
    let publications = truth.lines[stream].order.iter();
    let is_radio = publications
        .map(|number| &truth.publications[*number as usize].entries)
        .any(|entries| entries.iter().all(|entry| entry.kind != kind::VIDEO));
    match is_radio {
        true => asking + limits::PICTURES_GONE,
        false => asking,
    }
}

/// One life of such a world.
pub(super) fn live(seed: u64, _: usize, trace: &Trace) -> Counted {
    let mut rng = Rng::new(seed ^ 0x4057);
    let seconds = |rng: &mut Rng, values: &[u64]| Duration::from_secs(rng.pick(values));
    let pull_timeout = seconds(&mut rng, &[1, 2, 5]);
    let pull_give_up = seconds(&mut rng, &[8, 15]);
    let config = Config {
        pull_timeout,
        // One origin that says nothing takes twice the timeout, and players are kept for no longer
        // than this once all were asked: no other would have its turn again.
        pull_give_up: pull_give_up.max(pull_timeout * 4),
        pull_linger: seconds(&mut rng, &[0, 1, 10]),
        ..Config::default()
    };
    let stream = rng.below(NAMES);
    let mut world = world(rng, trace.clone(), config);
    draw_scripts(&mut world);
    let mut watch = Watch::begin(&mut world, stream);
    let until = world.now + LIFE;
    while world.now < until {
        let time = Duration::from_millis(world.rng.millis(100, 8_000).into());
        watch.pass(&mut world, time);
        happen(&mut world, stream);
    }
    let most = bound(&world.relays[0].config, &world.truth, stream);
    watch.pass(&mut world, most);
    world.end();
    world.counted()
}

/// Something that an edge has to live with.
fn happen(world: &mut World, stream: usize) {
    match world.rng.below(5) {
        0 | 1 => draw_scripts(world),
        2 if !world.cables.is_empty() => {
            let at = world.rng.below(world.cables.len());
            world.note(|| format!("cable {at} is cut"));
            world.cables[at].cut();
        }
        3 => {
            let at = world.rng.below(world.viewers.len());
            if !world.viewers[at].gone {
                world.note(|| format!("viewer {at} leaves"));
                world.viewers[at].leave(End::Closed);
            }
        }
        _ if world.viewers.len() < 8 => world.viewer_comes(0, stream, usize::MAX),
        _ => {}
    }
}

fn draw_scripts(world: &mut World) {
    for at in 0..world.tempers.len() {
        let script = Script::draw(&mut world.rng);
        world.note(|| format!("f{at} is {script:?}"));
        world.tempers[at] = Temper::Plays(script);
    }
}
