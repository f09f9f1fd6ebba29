//! What happens as memory fills up.

use super::{INTER, KEY, MIB, MS, S, Stage};
use crate::config::Config;
use crate::limits;
use crate::rtmp::client::Action;
use crate::rtmp::message::{MessageStreamId, kind};
use crate::worker::close_reason::CloseReason;
use crate::worker::pressure::Pressure;

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
            worst = worst.max(stage.core().held_bytes());
            if !seen.contains(&stage.core().memory.pressure()) {
                seen.push(stage.core().memory.pressure());
            }
        });
    }
    assert!(seen.contains(&Pressure::NoStreams), "{seen:?}");
    assert!(seen.contains(&Pressure::NoPlayers), "{seen:?}");
    let gauges = stage.gauges();
    assert!(gauges.refused_publishes > 0, "{gauges:?}");
    assert!(gauges.refused_memory > 0, "{gauges:?}");
    let most = 8 * MIB as u64 + stage.core().settings.log_limits().bytes;
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
    let later = stage.now + S(9);
    stage.core_mut().memory.postpone(later);
    for &source in &sources {
        stage.send(source, kind::VIDEO, KEY, 900_000);
    }
    stage.settle();
    let before = stage.core().held_bytes();
    assert!(before > 4 * MIB as u64, "{before}");
    let now = stage.now;
    stage.core_mut().memory.make_due(now);
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
    assert!(stage.core().held_bytes() < 85 * 4 * MIB as u64 / 100);
    assert!(stage.core().memory.pressure() < Pressure::Shed);
    stage.end();
}

#[test]
fn what_nobody_plays_is_freed_first() {
    let mut stage = small(4 * MIB, 2 * MIB);
    let sources: Vec<usize> = (0..5).map(|n| stage.publish(&format!("cam{n}"))).collect();
    let player = stage.play("cam0");
    // Not while key frames are half received.
    stage.core_mut().memory.ignore_growth();
    for &source in &sources {
        stage.send(source, kind::VIDEO, KEY, 900_000);
    }
    stage.wait(S(4));
    assert_eq!(stage.gauges().shed, 0, "nobody is closed for it");
    assert!(stage.core().held_bytes() < 70 * 4 * MIB as u64 / 100);
    assert_eq!(stage.core().memory.pressure(), Pressure::None);
    // What is played is kept for those that come.
    let kept = |name: &str| {
        let index = stage.core().streams.find(name).unwrap();
        stage.core().streams[index].log.held_bytes()
    };
    assert!(kept("live/cam0") > 900_000);
    assert!(!stage.guests[player].gone);
    stage.end();
}

/// Two messages without their ends, 98 KiB together.
fn unfinished() -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0x80, 0];
    for csid in [20, 21] {
        bytes.extend([csid, 0, 0, 0, 0, 0xFF, 0xDC, 20, 0, 0, 0, 0]);
        bytes.resize(bytes.len() + 0x8000, 0);
    }
    bytes.push(0xC0 | 21);
    bytes.resize(bytes.len() + 0x7F00, 0);
    bytes
}

fn hold_input(stage: &mut Stage, guests: &[usize]) {
    for &guest in guests {
        let out = stage.guests[guest].session.out();
        out.writer().extend(unfinished());
    }
}

/// A publisher and two players of other addresses.
fn honest(stage: &mut Stage) -> [usize; 3] {
    let source = stage.come_from([10, 1, 0, 1], Action::Publish, "cam");
    stage.key_frame(source, 200_000);
    let one = stage.come_from([10, 1, 0, 2], Action::Play, "cam");
    let two = stage.come_from([10, 1, 0, 3], Action::Play, "cam");
    [source, one, two]
}

#[track_caller]
fn check_attack(stage: &mut Stage, honest: [usize; 3], attackers: &[usize]) {
    hold_input(stage, attackers);
    let mut most = 0;
    stage.pass(S(4), |stage| {
        stage.key_frame(honest[0], 20_000);
        most = most.max(stage.core().held_bytes());
    });
    assert!(honest.iter().all(|&guest| !stage.guests[guest].gone));
    let limit = stage.shared.config.memory_max.unwrap() as u64;
    assert!(most < limit, "{most} of {limit} bytes");
    // Down to 75 %, and no further.
    let held = stage.core().held_bytes();
    assert!(held > 70 * limit / 100, "{held} of {limit} bytes");
    assert_eq!(stage.core().memory.pressure(), Pressure::NoStreams);
}

#[test]
fn regression_input_without_a_role_is_shed_first() {
    let mut stage = small(8 * MIB, MIB);
    let honest = honest(&mut stage);
    let attackers: Vec<usize> = (0..120)
        .map(|number| {
            // One connection of each address: no address holds more than the publisher does.
            let guest = stage.come_from([10, 2, 0, number], Action::Play, "none");
            stage.guests[guest]
                .session
                .send_command(MessageStreamId::CONTROL, |amf| {
                    amf.string("deleteStream").number(0.0).null().number(1.0);
                });
            guest
        })
        .collect();
    stage.settle();
    let has_role = |stage: &Stage| {
        let conns = stage.core().conns.iter();
        conns
            .filter(|(key, _)| !stage.core().streams.plays(*key).is_empty())
            .count()
    };
    assert_eq!(has_role(&stage), 2);
    check_attack(&mut stage, honest, &attackers);
    stage.end();
}

#[test]
fn regression_shedding_ends_at_its_goal() {
    let mut stage = small(8 * MIB, MIB);
    let honest = honest(&mut stage);
    let own = stage.come_from([10, 2, 0, 0], Action::Publish, "own");
    stage.key_frame(own, 100);
    let attackers: Vec<usize> = (0..120u8)
        .map(|number| stage.come_from([10, 2, 0, number % 5], Action::Play, "own"))
        .collect();
    check_attack(&mut stage, honest, &attackers);
    stage.end();
}

#[test]
fn regression_plays_that_wait_are_shed() {
    let mut stage = small(8 * MIB, MIB);
    let honest = honest(&mut stage);
    let attackers: Vec<usize> = (0..120u8)
        .map(|number| stage.come_from([10, 2, 0, number % 5], Action::Play, "none"))
        .collect();
    check_attack(&mut stage, honest, &attackers);
    stage.end();
}

#[test]
fn regression_heads_of_requests_are_shed() {
    let mut stage = small(8 * MIB, MIB);
    let honest = honest(&mut stage);
    let askers: Vec<usize> = (0..600)
        .map(|_| stage.ask("GET /x HTTP/1.1\r\nHost: a\r\nX: "))
        .collect();
    for asker in askers {
        let http = stage.guests[asker].http.as_mut().unwrap();
        http.says.resize(15_000, b'a');
    }
    stage.pass(S(4), |stage| stage.key_frame(honest[0], 20_000));
    assert!(honest.iter().all(|&guest| !stage.guests[guest].gone));
    assert!(stage.gauges().shed > 0);
    assert!(stage.core().held_bytes() < 8 * MIB as u64);
    stage.end();
}

#[test]
fn regression_a_closing_connection_keeps_no_input() {
    let mut stage = Stage::new(|_| {});
    let guest = stage.play("cam");
    hold_input(&mut stage, &[guest]);
    stage.settle();
    let held = |stage: &Stage| {
        let (_, conn) = stage.core().conns.iter().next().unwrap();
        (conn.session.input_bytes(), conn.is_closing())
    };
    let (bytes, is_closing) = held(&stage);
    assert!(bytes > 90_000 && !is_closing);
    // It does not take its last status.
    stage.guests[guest].left = 0;
    let key = stage.core().conns.iter().next().unwrap().0;
    stage.core_mut().close(key, &CloseReason::Kicked);
    let (bytes, is_closing) = held(&stage);
    assert!(bytes < 1_000 && is_closing, "{bytes} bytes");
}

/// Between the steps at which newcomers are refused and at which anybody is closed.
#[test]
fn regression_large_holder_is_closed_for_newcomers() {
    let mut stage = Stage::with(
        Config {
            memory_max: Some(8 * MIB),
            log_bytes: 2 * MIB,
            lag_max: 2 * MIB,
            ..Config::default()
        },
        80,
    );
    let theirs = [10, 0, 9, 1];
    let small = stage.come_from([10, 0, 1, 1], Action::Publish, "small");
    let sources: Vec<usize> = (0..4)
        .map(|n| stage.come_from(theirs, Action::Publish, &format!("cam{n}")))
        .collect();
    for n in 0..4 {
        stage.come_from(theirs, Action::Play, &format!("cam{n}"));
    }
    stage.send(small, kind::VIDEO, KEY, 1_000);
    for (head, len) in [(KEY, 900_000), (INTER, 850_000)] {
        for &source in &sources {
            stage.send(source, kind::VIDEO, head, len);
        }
        stage.settle();
    }
    stage.wait(S(2));
    assert_eq!(stage.core().memory.pressure(), Pressure::NoPlayers);
    assert_eq!(stage.gauges().shed, 0);
    let refused = stage.come_from([10, 0, 2, 1], Action::Play, "small");
    assert!(stage.guests[refused].gone);
    stage.wait(limits::MEMORY_REFUSED_MAX + S(1));
    assert_eq!(stage.gauges().shed, 1);
    assert!(stage.core().memory.pressure() < Pressure::NoPlayers);
    let comes = stage.come_from([10, 0, 2, 1], Action::Play, "small");
    assert!(!stage.guests[comes].gone && !stage.guests[small].gone);
    stage.end();
}
