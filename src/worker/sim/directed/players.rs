//! What a player may do, how slow it may be, and who finds no room.

use std::time::Duration;

use tailwater_testkit::commands;

use super::{CLEAR, INTER, KEY, MS, RTMP, S, SOUND, Stage, request};
use crate::config::Config;
use crate::edge::hops::VIA_KEY;
use crate::limits;
use crate::rtmp::client::{Action, ClientRequest};
use crate::rtmp::message::{MessageStreamId, kind};
use crate::worker::close_reason::CloseReason;

/// A player that reads `appetite` bytes each quarter of a second of a stream that has more;
/// what it hears in `time`.
fn slow_player(
    change: impl FnOnce(&mut Config),
    appetite: usize,
    time: Duration,
) -> (Stage, usize) {
    let mut stage = Stage::new(change);
    let source = stage.publish("cam");
    let player = stage.play("cam");
    stage.key_frame(source, 100);
    stage.guests[player].appetite = appetite;
    stage.pass(time, |stage| {
        stage.send(source, kind::VIDEO, KEY, 20_000);
    });
    (stage, player)
}

#[test]
fn a_player_that_takes_next_to_nothing_is_closed() {
    // 64 KiB in 30 s are 547 bytes in a quarter of a second. The pipe reports room once a third
    // of it is free, so that it takes its time to begin.
    for (appetite, is_closed) in [(400, true), (1_200, false)] {
        let (stage, player) = slow_player(|_| {}, appetite, S(100));
        assert_eq!(
            stage.guests[player].wire.borrow().relay_gone,
            is_closed,
            "{appetite}"
        );
        assert_eq!(stage.gauges().violations, u64::from(is_closed));
        stage.end();
    }
    // Not while it is given more time than that to take nothing at all.
    let (stage, player) = slow_player(|config| config.send_timeout = S(300), 400, S(100));
    assert!(!stage.guests[player].wire.borrow().relay_gone);
    stage.end();
}

#[test]
fn a_player_that_jumps_all_the_time_is_closed_if_the_operator_says_so() {
    let lag = |skips: Option<usize>| {
        move |config: &mut Config| {
            config.skips_max = skips;
            config.lag_max = 65_536;
        }
    };
    let (stage, player) = slow_player(lag(None), 8_000, S(60));
    assert!(!stage.guests[player].gone);
    assert!(stage.gauges().skips > 3, "{}", stage.gauges().skips);
    stage.end();
    let (mut stage, player) = slow_player(lag(Some(3)), 8_000, S(60));
    assert_eq!(stage.gauges().skips, 3);
    stage.guests[player].appetite = usize::MAX;
    stage.wait(MS(250));
    assert!(stage.guests[player].wire.borrow().relay_gone);
    assert_eq!(stage.gauges().violations, 1);
    stage.end();
}

#[test]
fn relays_get_clears_again_after_a_jump() {
    let mut stage = Stage::new(|config| config.lag_max = 65_536);
    let source = stage.publish("cam");
    let relay = ClientRequest {
        property: (VIA_KEY, format!("{:016x}", 77)),
        ..request(Action::Play, "cam")
    };
    let relay = stage.enter([10, 0, 0, 3], relay, None, RTMP);
    let player = stage.play("cam");
    stage.key_frame(source, 100);
    let clears = |stage: &Stage| [relay, player].map(|guest| stage.guests[guest].clears);
    stage.send(source, kind::DATA, CLEAR, 0);
    stage.key_frame(source, 100);
    assert_eq!(clears(&stage), [1, 0]);
    assert_eq!(stage.guests[player].media, 2);
    // It takes too little, and so it misses the second.
    stage.guests[relay].appetite = 1_000;
    let mut messages = 0;
    stage.pass(S(10), |stage| {
        messages += 1;
        if messages == 20 {
            stage.send(source, kind::DATA, CLEAR, 0);
        }
        stage.send(source, kind::VIDEO, KEY, 20_000);
    });
    stage.guests[relay].appetite = usize::MAX;
    stage.wait(S(1));
    let skips = usize::try_from(stage.gauges().skips).unwrap();
    assert!(skips > 0);
    assert_eq!(clears(&stage), [1 + skips, 0]);
    stage.end();
}

#[test]
fn a_message_that_is_begun_and_left_closes_the_connection() {
    let mut stage = Stage::new(|_| {});
    let player = stage.play("cam");
    stage.publish("cam");
    // The first chunk of a command of 300 bytes, and nothing more.
    let mut chunk = vec![3, 0, 0, 0, 0, 1, 44, 20, 0, 0, 0, 0];
    chunk.resize(12 + 128, 0);
    let out = stage.guests[player].session.out();
    out.writer().extend_from_slice(&chunk);
    stage.settle();
    let wait = limits::PARTIAL_MESSAGE_WAIT;
    let sound = |stage: &mut Stage| stage.send(1, kind::AUDIO, SOUND, 20);
    stage.pass(wait - MS(250), sound);
    assert!(!stage.guests[player].gone);
    stage.pass(S(11), sound);
    assert!(stage.guests[player].gone);
    assert_eq!(stage.gauges().violations, 1);
    stage.end();
}

#[test]
fn those_for_whom_there_is_no_room_are_turned_away() {
    let mut stage = Stage::with(Config::default(), 80);
    let anywhere = |number: usize| [10, 0, 1, u8::try_from(number).unwrap()];
    // Those that wait for a stream are newcomers still.
    for number in 0..limits::NEWCOMERS_LEAST {
        let id = stage.come_from(anywhere(number), Action::Play, "later");
        assert!(!stage.guests[id].gone);
    }
    assert_eq!(stage.shared.admission.newcomers(), limits::NEWCOMERS_LEAST);
    let refused = stage.play("later");
    assert!(stage.guests[refused].gone);
    assert_eq!(stage.gauges().refused_newcomers, 1);
    stage.end();
    let mut stage = Stage::with(Config::default(), 80);
    stage.publish("now");
    for number in 1..80 {
        let id = stage.come_from(anywhere(number), Action::Play, "now");
        assert!(!stage.guests[id].gone);
    }
    assert_eq!(stage.shared.admission.newcomers(), 0);
    let refused = stage.play("now");
    assert!(stage.guests[refused].gone);
    assert_eq!(stage.gauges().refused, 1);
    stage.end();
    // Few addresses, which play, leave places for others.
    let mut stage = Stage::with(Config::default(), 80);
    stage.publish("now");
    for number in (1..6).cycle().take(200) {
        stage.come_from(anywhere(number), Action::Play, "now");
    }
    assert!(stage.shared.admission.connections() <= 50);
    let other = stage.come_from(anywhere(6), Action::Play, "now");
    assert!(!stage.guests[other].gone);
    assert!(stage.gauges().refused_address > 100);
    stage.end();
    let mut stage = Stage::new(|config| config.max_per_address = Some(3));
    for _ in 0..3 {
        let id = stage.play("later");
        assert!(!stage.guests[id].gone);
    }
    let refused = stage.play("later");
    assert!(stage.guests[refused].gone);
    let other = stage.come_from([10, 0, 0, 2], Action::Play, "later");
    assert!(!stage.guests[other].gone);
    assert_eq!(stage.gauges().refused_address, 1);
    stage.end();
}

#[test]
fn regression_a_pause_outlasts_a_switch_that_is_given_up() {
    let mut stage = Stage::new(|_| {});
    let first = stage.publish("first");
    let last = stage.publish("last");
    let player = stage.play("first");
    stage.key_frame(first, 100);
    let msid = MessageStreamId(1);
    let session = &mut stage.guests[player].session;
    session.send_command(msid, commands::pause(true));
    session.send_command(msid, commands::switch("nobody"));
    stage.settle();
    stage.leave(first);
    stage.wait(S(2));
    let session = &mut stage.guests[player].session;
    session.send_command(msid, commands::switch("last"));
    let frames = |stage: &mut Stage| stage.pass(S(1), |stage| stage.key_frame(last, 100));
    let media = stage.guests[player].media;
    frames(&mut stage);
    let heard = &stage.guests[player].heard;
    assert_eq!(heard.last().unwrap(), "Play.TransitionComplete");
    assert_eq!(stage.guests[player].media, media, "it is paused");
    let session = &mut stage.guests[player].session;
    session.send_command(msid, commands::pause(false));
    frames(&mut stage);
    assert!(stage.guests[player].media > media);
    stage.end();
}

#[test]
fn regression_closing_connections_not_asked_to_reconnect() {
    let mut stage = Stage::new(|_| {});
    let source = stage.publish("cam");
    let player = stage.play("cam");
    stage.key_frame(source, 100);
    let key = stage.key_of(player);
    stage.core_mut().close(key, &CloseReason::Kicked);
    // Its end is sent, and the client has not closed yet.
    stage.turn();
    stage.core_mut().drain();
    stage.turn();
    assert_eq!(stage.gauges().bugs, 0);
}

/// A screen that stands still has sound alone for a while.
#[test]
fn regression_players_keep_pictures_after_sound_alone() {
    let mut stage = Stage::new(|_| {});
    let source = stage.publish("cam");
    let stays = stage.play("cam");
    stage.key_frame(source, 100);
    let sound = |stage: &mut Stage| stage.send(source, kind::AUDIO, SOUND, 20);
    stage.pass(limits::PICTURES_GONE + S(2), sound);
    let joins = stage.play("cam");
    stage.pass(S(1), sound);
    let media = |stage: &Stage| [stays, joins].map(|guest| stage.guests[guest].media);
    let before = media(&stage);
    let steps = std::cell::Cell::new(0);
    stage.pass(S(2), |stage| {
        stage.send(source, kind::AUDIO, SOUND, 20);
        stage.send(source, kind::VIDEO, INTER, 20);
        steps.set(steps.get() + 1);
    });
    let after = media(&stage);
    assert_eq!(after[0] - before[0], 2 * steps.get());
    assert_eq!(after[1] - before[1], steps.get(), "sound alone");
    stage.key_frame(source, 100);
    assert_eq!(media(&stage), after.map(|media| media + 1));
    stage.end();
}
