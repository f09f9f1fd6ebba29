//! What happens as memory fills up.

use super::{INTER, KEY, MIB, MS, S, Stage};
use crate::rtmp::message::kind;
use crate::worker::memory::Pressure;

/// A stage with so much memory, and logs of at most so many bytes.
fn small(memory: usize, log_bytes: usize) -> Stage {
    Stage::new(|config| {
        config.memory_max = Some(memory);
        config.log_bytes = log_bytes;
        config.lag_max = log_bytes;
        config.grace = S(10);
    })
}

#[test]
fn memory_refuses_streams_then_players_then_sheds() {
    let mut stage = small(8 * MIB, MIB);
    let mut sources: Vec<(usize, bool)> = Vec::new();
    let (mut seen, mut worst) = (Vec::new(), 0);
    for round in 0..60 {
        let name = format!("cam{round}");
        sources.push((stage.publish(&name), false));
        stage.play(&name);
        stage.pass(MS(500), |stage| {
            // A group of pictures that does not end: each log fills up to what it may hold.
            for (source, has_begun) in &mut sources {
                let head = if *has_begun { INTER } else { KEY };
                *has_begun = true;
                if !stage.guests[*source].gone {
                    stage.send(*source, kind::VIDEO, head, 8_000);
                }
            }
            worst = worst.max(stage.core.held_bytes());
            if !seen.contains(&stage.core.pressure) {
                seen.push(stage.core.pressure);
            }
        });
    }
    assert!(seen.contains(&Pressure::NoStreams), "{seen:?}");
    assert!(seen.contains(&Pressure::NoPlayers), "{seen:?}");
    let gauges = stage.gauges();
    assert!(gauges.refused_publishes > 0, "{gauges:?}");
    assert!(gauges.refused_memory > 0, "{gauges:?}");
    let most = 8 * MIB as u64 + stage.core.log_limits.bytes;
    assert!(worst <= most, "{worst} bytes were held, {most} are allowed");
    stage.end();
}

#[test]
fn the_largest_holders_go_and_others_stay() {
    let mut stage = small(4 * MIB, 2 * MIB);
    let sources: Vec<usize> = (0..5).map(|n| stage.publish(&format!("cam{n}"))).collect();
    let players: Vec<usize> = (0..5).map(|n| stage.play(&format!("cam{n}"))).collect();
    let small = stage.publish("small");
    let watching = stage.play("small");
    stage.send(small, kind::VIDEO, KEY, 1_000);
    // All at once, before anybody counts.
    stage.core.memory_due = stage.now + S(9);
    for &source in &sources {
        stage.send(source, kind::VIDEO, KEY, 900_000);
    }
    stage.settle();
    let before = stage.core.held_bytes();
    assert!(before > 4 * MIB as u64, "{before}");
    stage.core.memory_due = stage.now;
    stage.wait(S(4));
    assert_eq!(stage.gauges().shed, 2);
    // It came last and holds next to nothing.
    for stays in [small, watching, players[0]] {
        assert!(!stage.guests[stays].gone, "guest {stays}");
    }
    for (index, &source) in sources.iter().enumerate() {
        let shed = &["Publish.Start", "Publish.Denied", "end"][..];
        stage.check_heard(source, if index < 3 { &shed[..1] } else { shed });
    }
    assert!(stage.core.held_bytes() < 85 * 4 * MIB as u64 / 100);
    assert!(stage.core.pressure < Pressure::Shed);
    stage.end();
}

#[test]
fn what_nobody_plays_is_freed_first() {
    let mut stage = small(4 * MIB, 2 * MIB);
    let sources: Vec<usize> = (0..5).map(|n| stage.publish(&format!("cam{n}"))).collect();
    let player = stage.play("cam0");
    for &source in &sources {
        stage.send(source, kind::VIDEO, KEY, 900_000);
    }
    stage.wait(S(4));
    assert_eq!(stage.gauges().shed, 0, "nobody is closed for it");
    assert!(stage.core.held_bytes() < 70 * 4 * MIB as u64 / 100);
    assert_eq!(stage.core.pressure, Pressure::None);
    // What is played is kept for those that come.
    let kept = |name: &str| {
        let index = stage.core.by_name[name];
        stage.core.streams[index].log.held_bytes()
    };
    assert!(kept("live/cam0") > 900_000);
    assert!(!stage.guests[player].gone);
    stage.end();
}
