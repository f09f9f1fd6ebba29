//! What a publisher sends counts for it alone: not for the one that comes after it, not for
//! others when memory is short, and not without a bound between two rounds.

use super::*;
use crate::config::Pace;
use crate::limits;
use crate::rtmp::message::MessageStreamId;

fn delete_stream(stage: &mut Stage, guest: usize) {
    stage.guests[guest]
        .session
        .send_command(MessageStreamId::CONTROL, |amf| {
            amf.string("deleteStream").number(0.0).null().number(1.0);
        });
}

#[test]
fn a_publisher_does_not_answer_for_the_headers_of_the_one_before() {
    let mut stage = Stage::new(|config| config.grace = S(10));
    let bad = stage.publish("cam");
    let most = limits::HEADER_CHANGES.burst() + limits::GLITCHES.burst();
    for number in 0..most + 50 {
        let [a, b, ..] = number.to_le_bytes();
        stage.send(bad, kind::VIDEO, &[0x17, 0, 0, 0, 0, a, b], 20);
    }
    // In the same read, so that nobody has counted yet.
    delete_stream(&mut stage, bad);
    stage.settle();
    let good = stage.publish("cam");
    stage.key_frame(good, 100);
    stage.key_frame(good, 100);
    stage.check_heard(good, &["Publish.Start"]);
}

#[test]
fn the_headers_of_a_publisher_are_kept_whatever_the_one_before_sent() {
    let mut stage = Stage::new(|config| config.grace = S(10));
    let bad = stage.publish("cam");
    for number in 0..limits::HEADER_CHANGES.burst() {
        let [a, b, ..] = number.to_le_bytes();
        stage.send(bad, kind::VIDEO, &[0x17, 0, 0, 0, 0, a, b], 20);
    }
    delete_stream(&mut stage, bad);
    stage.settle();
    let good = stage.publish("cam");
    stage.send(good, kind::VIDEO, &[0x17, 0, 0, 0, 0, 1, 2, 3], 30);
    stage.key_frame(good, 100);
    stage.wait(S(5));
    stage.key_frame(good, 100);
    let player = stage.play("cam");
    assert_eq!(stage.guests[player].media, 2, "header and key frame");
}

#[test]
fn header_sets_that_share_their_bytes_count_once() {
    let mut stage = Stage::new(|config| config.memory_max = Some(256 * MIB));
    let bad = stage.publish("bad");
    let victim = stage.publish("victim");
    stage.key_frame(bad, 100);
    for track in 0..31 {
        stage.send(bad, kind::VIDEO, &track_header(track), 65_000);
        stage.settle();
    }
    let mut number = 0u8;
    stage.pass(S(18), |stage| {
        stage.key_frame(victim, 1_000);
        for _ in 0..2 {
            number = number.wrapping_add(1);
            let mut head = track_header(31).to_vec();
            head.push(number);
            stage.send(bad, kind::VIDEO, &head, 20);
        }
    });
    let log = stage.core().streams.iter().map(|(_, s)| s.log.held_bytes());
    let (log, held) = (log.sum::<u64>(), stage.core().held_bytes());
    let shed = stage.gauges().shed;
    assert!(
        shed == 0 && held < log + 8 * MIB as u64,
        "held {held}, in logs {log}, shed {shed}, victim hears {:?}",
        stage.guests[victim].heard
    );
}

#[test]
fn what_many_slow_players_share_counts_once() {
    let mut stage = Stage::new(|config| {
        config.memory_max = Some(256 * MIB);
        config.publish_bitrate_max = None;
    });
    let bad = stage.publish("bad");
    let slow: Vec<usize> = (0..50).map(|_| stage.play("bad")).collect();
    let victims: Vec<usize> = (0..3)
        .map(|n| stage.publish(&format!("victim{n}")))
        .collect();
    for player in slow {
        stage.guests[player].appetite = 1_200;
        stage.guests[player].left = 1_200;
    }
    stage.key_frame(bad, 8_000_000);
    stage.pass(S(4), |stage| {
        victims.iter().for_each(|&v| {
            if !stage.guests[v].gone {
                stage.key_frame(v, 1_000);
            }
        });
    });
    let log = stage.core().streams.iter().map(|(_, s)| s.log.held_bytes());
    let (log, held) = (log.sum::<u64>(), stage.core().held_bytes());
    let gone = victims.iter().filter(|&&v| stage.guests[v].gone).count();
    let shed = stage.gauges().shed;
    assert!(
        shed == 0,
        "held {held}, in logs {log}, shed {shed}, of the 3 publishers {gone}"
    );
}

#[test]
fn a_log_is_bounded_between_two_rounds() {
    let mut stage = Stage::new(|config| config.pace = Pace::Fixed(MS(350)));
    let source = stage.publish("cam");
    stage.key_frame(source, 100);
    for _ in 0..100 {
        stage.key_frame(source, 1_000_000);
    }
    let (_, stream) = stage.core().streams.iter().next().unwrap();
    let held = stream.log.held_bytes();
    assert!(held < 32 * MIB as u64, "{held} bytes, log-bytes is 16 MiB");
}
