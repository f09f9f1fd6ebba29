//! What happens as memory fills up.

use super::{INTER, KEY, MIB, MS, PLAYS, S, Stage};
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
fn as_memory_fills_up_streams_then_players_are_refused_and_then_the_newest_go() {
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
    // What came first is still there.
    assert!(!stage.guests[sources[0].0].gone);
    stage.end();
}

#[test]
fn the_newest_players_and_publishers_go_when_nothing_else_helps() {
    let mut stage = small(4 * MIB, 2 * MIB);
    let sources: Vec<usize> = (0..5).map(|n| stage.publish(&format!("cam{n}"))).collect();
    let players: Vec<usize> = (0..5).map(|n| stage.play(&format!("cam{n}"))).collect();
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
    assert_eq!(stage.gauges().shed, 3);
    let shed = [&PLAYS[..], &["Play.Failed", "end"]].concat();
    stage.check_heard(players[4], &shed);
    for (index, &source) in sources.iter().enumerate() {
        let shed = &["Publish.Start", "Publish.Denied", "end"][..];
        stage.check_heard(source, if index < 3 { &shed[..1] } else { shed });
    }
    assert!(stage.core.held_bytes() < 85 * 4 * MIB as u64 / 100);
    assert!(stage.core.pressure < Pressure::ShedPlayers);
    stage.end();
}
