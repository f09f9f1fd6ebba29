//! What a publisher may do and how much of it.

use std::time::Duration;

use super::super::wire::End;
use super::{INTER, KEY, MS, PLAYS, S, SOUND, Stage};
use crate::config::Takeover;
use crate::limits;
use crate::rtmp::client::Action;
use crate::rtmp::message::{MessageStreamId, kind};

#[test]
fn a_publisher_that_sends_no_pictures_and_no_sound_is_closed() {
    let mut stage = Stage::new(|_| {});
    let (mute, live) = (stage.publish("mute"), stage.publish("live"));
    let data = |stage: &mut Stage| {
        stage.send(mute, kind::DATA, b"\x02\x00\x0AonCuePoint", 20);
        stage.send(live, kind::AUDIO, SOUND, 20);
    };
    stage.pass(limits::MEDIA_IDLE - MS(250), data);
    stage.check_heard(mute, &["Publish.Start"]);
    stage.pass(S(11), data);
    stage.check_heard(mute, &["Publish.Start", "Publish.Idle", "end"]);
    stage.check_heard(live, &["Publish.Start"]);
    assert_eq!(stage.gauges().violations, 1);
    stage.end();
}

#[test]
fn a_publisher_may_send_so_many_bits_and_no_more() {
    // 100,000 bytes a second, and 25 messages of 1 KB in a quarter of one: just below.
    for (len, is_closed) in [(990, false), (1_050, true)] {
        let mut stage = Stage::new(|config| config.publish_bitrate_max = Some(800_000));
        let source = stage.publish("cam");
        stage.pass(S(30), |stage| {
            (0..25).for_each(|_| stage.send(source, kind::VIDEO, INTER, len - 12));
        });
        let heard = &stage.guests[source].heard;
        assert_eq!(heard.len() > 1, is_closed, "{len}: {heard:?}");
        if is_closed {
            stage.check_heard(source, &["Publish.Start", "Publish.Denied", "end"]);
        }
        stage.end();
    }
    let mut stage = Stage::new(|config| config.publish_bitrate_max = None);
    let source = stage.publish("cam");
    stage.pass(S(2), |stage| {
        stage.send(source, kind::VIDEO, INTER, 900_000);
    });
    stage.check_heard(source, &["Publish.Start"]);
    stage.end();
}

/// Guest `guest` publishes another stream, on message stream `msid`.
fn publish_another(stage: &mut Stage, guest: usize, msid: MessageStreamId, name: &str) {
    let session = &mut stage.guests[guest].session;
    session.send_command(MessageStreamId::CONTROL, |amf| {
        _ = amf.string("createStream").number(9.0).null();
    });
    session.send_command(msid, |amf| {
        amf.string("publish").number(0.0).null().string(name);
    });
    stage.settle();
}

#[test]
fn bits_are_counted_for_each_publish() {
    // Two streams of 60,000 bytes a second each, where 100,000 are allowed.
    for (len, is_closed) in [(600, false), (1_050, true)] {
        let mut stage = Stage::new(|config| config.publish_bitrate_max = Some(800_000));
        let source = stage.publish("low");
        publish_another(&mut stage, source, MessageStreamId(2), "high");
        stage.pass(S(30), |stage| {
            for _ in 0..25 {
                stage.send_on(source, MessageStreamId(1), kind::VIDEO, INTER, 600 - 12);
                stage.send_on(source, MessageStreamId(2), kind::VIDEO, INTER, len - 12);
            }
        });
        let mut heard = vec!["Publish.Start", "Publish.Start"];
        if is_closed {
            heard.extend(["Publish.Denied", "Publish.Denied", "end"]);
        }
        stage.check_heard(source, &heard);
        stage.end();
    }
}

#[test]
fn a_publish_without_media_ends_alone() {
    let mut stage = Stage::new(|config| config.grace = S(1));
    let source = stage.publish("low");
    publish_another(&mut stage, source, MessageStreamId(2), "high");
    let player = stage.play("high");
    let low = |stage: &mut Stage| stage.send_on(source, MessageStreamId(1), kind::AUDIO, SOUND, 20);
    stage.pass(limits::MEDIA_IDLE - S(1), low);
    stage.check_heard(source, &["Publish.Start"; 2]);
    stage.pass(S(15), low);
    let idle = ["Publish.Start", "Publish.Start", "Publish.Idle"];
    stage.check_heard(source, &idle);
    let told = [&PLAYS[..], &["Play.UnpublishNotify", "end"]].concat();
    stage.check_heard(player, &told);
    assert_eq!(
        (
            stage.core().streams.publishers(),
            stage.core().streams.len()
        ),
        (1, 1)
    );
    // With the last one the connection ends.
    stage.pass(limits::MEDIA_IDLE + S(11), |stage| {
        stage.send_on(
            source,
            MessageStreamId(1),
            kind::DATA,
            b"\x02\x00\x0AonCuePoint",
            20,
        );
    });
    stage.check_heard(source, &[&idle[..], &["Publish.Idle", "end"]].concat());
    stage.end();
}

#[test]
fn no_more_streams_are_published_than_there_may_be() {
    let mut stage = Stage::new(|config| {
        config.max_streams = Some(2);
        config.max_per_address = None;
    });
    let first = stage.publish("a");
    stage.publish("b");
    let player = stage.play("c");
    let third = stage.publish("c");
    stage.check_heard(third, &["Publish.Denied", "end"]);
    stage.check_heard(player, &[]);
    assert_eq!(stage.gauges().refused_publishes, 1);
    // One that waits for its publisher counts still, and its publisher may come back.
    stage.guests[first]
        .wire
        .borrow_mut()
        .client_ends(End::Reset);
    stage.guests[first].gone = true;
    stage.settle();
    let refused = stage.publish("c");
    stage.check_heard(refused, &["Publish.Denied", "end"]);
    let back = stage.publish("a");
    stage.check_heard(back, &["Publish.Start"]);
    stage.guests[back].wire.borrow_mut().client_ends(End::Reset);
    stage.guests[back].gone = true;
    stage.wait(S(2));
    let taken = stage.publish("c");
    stage.check_heard(taken, &["Publish.Start"]);
    stage.check_heard(player, &PLAYS);
    stage.end();
}

#[test]
fn regression_few_addresses_leave_streams_for_others() {
    let mut stage = Stage::new(|config| config.max_streams = Some(18));
    let from = |number: usize| [10, 0, 1, u8::try_from(number).unwrap()];
    let mut taken = Vec::new();
    for number in 0..60 {
        let name = format!("cam{number}");
        let guest = stage.come_from(from(number % 5), Action::Publish, &name);
        if !stage.guests[guest].gone {
            taken.push((number, guest));
        }
    }
    assert!(taken.len() <= 12, "{}", taken.len());
    let other = stage.come_from(from(9), Action::Publish, "other");
    stage.check_heard(other, &["Publish.Start"]);
    // Who comes back within the grace counts once.
    let (number, guest) = taken[0];
    stage.guests[guest]
        .wire
        .borrow_mut()
        .client_ends(End::Reset);
    stage.guests[guest].gone = true;
    stage.settle();
    let owned = stage.shared.registry.owned();
    let back = stage.come_from(from(number % 5), Action::Publish, &format!("cam{number}"));
    stage.check_heard(back, &["Publish.Start"]);
    assert_eq!(stage.shared.registry.owned(), owned);
    stage.end();
}

#[test]
fn one_address_publishes_so_often_and_no_more() {
    let mut stage = Stage::new(|config| config.grace = Duration::ZERO);
    let burst = limits::PUBLISHES.burst();
    let publish = |stage: &mut Stage, address| {
        let guest = stage.come_from(address, Action::Publish, "cam");
        let heard = stage.guests[guest].heard.first().cloned();
        stage.guests[guest]
            .wire
            .borrow_mut()
            .client_ends(End::Reset);
        stage.guests[guest].gone = true;
        stage.settle();
        stage.wait(Duration::ZERO);
        stage.core_mut().expire();
        heard.unwrap()
    };
    for _ in 0..burst {
        assert_eq!(publish(&mut stage, [10, 0, 0, 1]), "Publish.Start");
    }
    assert_eq!(publish(&mut stage, [10, 0, 0, 1]), "Publish.Denied");
    assert_eq!(publish(&mut stage, [10, 0, 0, 2]), "Publish.Start");
    stage.wait(MS(250));
    assert_eq!(publish(&mut stage, [10, 0, 0, 1]), "Publish.Start");
    assert_eq!(stage.gauges().refused_publishes, 1);
    stage.end();
}

#[test]
fn headers_that_change_all_the_time_are_relayed_and_not_kept() {
    let mut stage = Stage::new(|_| {});
    let source = stage.publish("cam");
    let player = stage.play("cam");
    let burst = limits::HEADER_CHANGES.burst();
    let header = |stage: &mut Stage, number: u32| {
        let [a, b, ..] = number.to_le_bytes();
        stage.send(source, kind::VIDEO, &[0x17, 0, 0, 0, 0, a, b], 20);
        stage.settle();
    };
    (0..burst + 5).for_each(|number| header(&mut stage, number));
    assert_eq!(stage.gauges().unkept_headers, 5);
    assert_eq!(stage.guests[player].media, burst as usize + 5);
    // One that was replaced, if only by one that is not kept, is a change when it returns.
    header(&mut stage, burst - 1);
    assert_eq!(stage.gauges().unkept_headers, 6);
    stage.wait(MS(250));
    header(&mut stage, 9_999);
    assert_eq!(stage.gauges().unkept_headers, 6);
    // The same one again is no change.
    (0..9).for_each(|_| header(&mut stage, 9_999));
    assert_eq!(stage.gauges().unkept_headers, 6);
    stage.end();
}

#[test]
fn headers_that_change_without_end_end_the_publisher() {
    let mut stage = Stage::new(|_| {});
    let source = stage.publish("cam");
    let most = limits::HEADER_CHANGES.burst() + limits::GLITCHES.burst();
    for number in 0..most + 1 {
        assert_eq!(stage.gauges().violations, 0, "after {number}");
        let [a, b, ..] = number.to_le_bytes();
        stage.send(source, kind::VIDEO, &[0x17, 0, 0, 0, 0, a, b], 20);
        stage.settle();
    }
    assert_eq!(stage.gauges().violations, 1);
    stage.end();
}

#[test]
fn regression_who_is_closed_is_told_why_also_when_a_signal_interrupts_the_last_read() {
    for calls in 98..102 {
        let mut stage = Stage::new(|config| config.takeover = Takeover::Replace);
        // In this order, so that the first to go has sent something that is not read yet.
        let (second, first) = (stage.publish("other"), stage.publish("cam"));
        stage.guests[first].wire.borrow_mut().interrupt_in = calls;
        stage.send(first, kind::VIDEO, KEY, 50);
        let session = &mut stage.guests[second].session;
        let msid = session.msid().unwrap();
        session.send_command(msid, |amf| {
            amf.string("closeStream").number(0.0).null();
        });
        session.send_command(msid, |amf| {
            amf.string("publish").number(0.0).null().string("cam");
        });
        stage.settle();
        let told = ["Publish.Start", "Publish.BadName", "end"];
        stage.check_heard(first, &told);
        stage.end();
    }
}

/// Encoders of the kind of IP cameras send parameter sets with the pictures alone.
#[test]
fn a_stream_says_whether_its_sequence_header_is_there() {
    let mut stage = Stage::new(|_| {});
    let source = stage.publish("cam");
    let says = |stage: &Stage| {
        let index = stage.core().streams.find("live/cam").unwrap();
        stage
            .core()
            .owned(&stage.core().streams[index])
            .video_header
    };
    assert_eq!(says(&stage), None);
    // Metadata is kept as well, and is none.
    stage.send(source, kind::DATA, b"\x02\0\x0AonMetaData", 30);
    stage.key_frame(source, 100);
    assert_eq!(says(&stage), Some(false));
    stage.send(source, kind::VIDEO, &[0x17, 0, 0, 0, 0], 20);
    stage.settle();
    assert_eq!(says(&stage), Some(true));
    stage.end();
}
