//! What happens when time is not what it was: a machine that slept, workers that began one after
//! the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::wire::End;
use super::{KEY, MS, S, Stage};
use crate::config::Config;
use crate::rtmp::message::{MessageHeader, MessageStreamId, Payload, Timestamp, kind};
use crate::worker::shared::Shared;

const DAY: Duration = Duration::from_secs(24 * 3_600);

#[test]
fn a_publisher_that_is_back_before_its_end_is_seen_does_not_send_players_days_ahead() {
    let mut stage = Stage::new(|config| config.play_wait = S(5));
    let source = stage.publish("cam");
    let player = stage.play("cam");
    // It has a connection already, and is about to publish on a second message stream.
    let heir = stage.play("other");
    stage.guests[heir]
        .session
        .send_command(MessageStreamId::CONTROL, |amf| {
            amf.string("createStream").number(9.0).null();
        });
    stage.key_frame(source, 100);
    let before = stage.guests[player].last_time.unwrap();
    let wire = &stage.guests[source].wire;
    wire.borrow_mut().client_ends(End::Reset);
    stage.guests[source].gone = true;
    stage.settle();
    // More than half of what 32 bits of milliseconds hold: it would look like a step back.
    stage.now += 30 * DAY;
    let session = &mut stage.guests[heir].session;
    session.send_command(MessageStreamId(2), |amf| {
        amf.string("publish").number(0.0).null().string("cam");
    });
    let header = MessageHeader {
        csid: 6,
        timestamp: Timestamp(5),
        kind: kind::VIDEO,
        msid: MessageStreamId(2),
        len: 100,
    };
    let mut body = KEY.to_vec();
    body.resize(100, 0);
    session.send_media(&header, &Payload::from_slice(&body));
    let time = stage.now.duration_since(stage.born);
    stage.guests[heir].act(time);
    stage.settle();
    assert_eq!(stage.guests[player].media, 2);
    let after = stage.guests[player].last_time.unwrap();
    assert_eq!(after.since(before), 1_000, "the grace is what it was away");
    stage.end();
}

#[test]
fn whatever_time_passes_at_once_deadlines_come_up_and_nobody_stays() {
    for leap in [MS(1), S(3), S(3_600), DAY, 51 * DAY, 400 * DAY] {
        let mut stage = Stage::new(|config| config.ping = Some(S(60)));
        let source = stage.publish("cam");
        let player = stage.play("cam");
        let waiting = stage.play("later");
        stage.key_frame(source, 100);
        stage.now += leap;
        stage.settle();
        let is_long = leap > S(60);
        for guest in [source, waiting] {
            let is_gone = stage.guests[guest].gone || stage.guests[guest].wire.borrow().relay_gone;
            assert!(is_gone || !is_long, "{leap:?}, guest {guest}");
        }
        // Who plays has done nothing wrong until its stream is over.
        assert!(!stage.guests[player].gone, "{leap:?}");
        stage.end();
    }
}

#[test]
#[expect(
    clippy::disallowed_methods,
    clippy::arc_with_non_send_sync,
    reason = "any instant will do, and all is on one thread"
)]
fn workers_count_time_from_the_same_moment() {
    let now = Instant::now();
    let shared = Arc::new(Shared::new(Config::default(), 2, 10));
    let mut first = Stage::at_work(0, shared.clone(), now);
    let mut second = Stage::at_work(1, shared, now + S(7));
    for stage in [&mut first, &mut second] {
        stage.core_mut().set_now(now + S(9));
        assert_eq!(stage.core().uptime(), S(9));
    }
}
