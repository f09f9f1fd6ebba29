//! What a panic in the middle of something costs: the connection it was for, and of a publisher
//! its stream; nothing else.

use super::super::wire::Panics;
use super::{MS, PLAYS, S, Stage};
use crate::config::Takeover;
use crate::rtmp::client::Action;
use crate::rtmp::command::Status;
use crate::rtmp::message::MessageStreamId;
use crate::worker::close_reason::CloseReason;
use crate::worker::contain::Step;
use crate::worker::fault::{self, StepOf};
use crate::worker::table::Source;

#[test]
fn a_panic_while_a_publisher_is_read_ends_it_and_its_stream_and_nothing_else() {
    let mut stage = Stage::new(|_| {});
    let (bad, good) = (stage.publish("bad"), stage.publish("good"));
    let (victim, other) = (stage.play("bad"), stage.play("good"));
    let waiting = stage.play("later");
    stage.key_frame(bad, 100);
    stage.key_frame(good, 100);
    stage.guests[bad].wire.borrow_mut().panic_in.read = Some(0);
    stage.key_frame(bad, 100);
    stage.key_frame(good, 100);
    assert_eq!((stage.gauges().bugs, stage.gauges().violations), (1, 0));
    stage.check_heard(bad, &["Publish.Start", "end"]);
    let ended = [&PLAYS[..], &["Play.UnpublishNotify", "end"]].concat();
    stage.check_heard(victim, &ended);
    stage.check_heard(other, &PLAYS);
    assert_eq!(stage.guests[other].media, 2);
    // The name is free at once, and who comes starts with what comes.
    let (again, viewer) = (stage.publish("bad"), stage.play("bad"));
    stage.check_heard(again, &["Publish.Start"]);
    stage.key_frame(again, 100);
    assert_eq!(stage.guests[viewer].media, 1);
    stage.check_heard(waiting, &[]);
    stage.end();
}

#[test]
fn a_panic_while_a_player_is_written_to_ends_that_player_alone() {
    let mut stage = Stage::new(|_| {});
    let source = stage.publish("cam");
    let players: Vec<usize> = (0..5).map(|_| stage.play("cam")).collect();
    stage.key_frame(source, 100);
    for bad in [players[0], players[2], players[4]] {
        stage.guests[bad].wire.borrow_mut().panic_in.write = Some(0);
    }
    stage.key_frame(source, 100);
    stage.key_frame(source, 100);
    assert_eq!(stage.gauges().bugs, 3);
    for (index, player) in players.into_iter().enumerate() {
        let guest = &stage.guests[player];
        assert_eq!(guest.gone, index % 2 == 0, "player {index}");
        assert_eq!(guest.media, if guest.gone { 1 } else { 3 });
    }
    stage.check_heard(source, &["Publish.Start"]);
    stage.end();
}

#[test]
fn regression_whoever_comes_after_one_that_is_closed_with_two_plays_is_served() {
    let mut stage = Stage::new(|_| {});
    let source = stage.publish("cam");
    stage.key_frame(source, 100);
    let twice = stage.play("cam");
    let before = stage.play("cam");
    let session = &mut stage.guests[twice].session;
    session.send_command(MessageStreamId::CONTROL, |amf| {
        amf.string("createStream").number(9.0).null();
    });
    session.send_command(MessageStreamId(2), |amf| {
        amf.string("play").number(0.0).null().string("cam");
    });
    stage.settle();
    let after = stage.play("cam");
    assert_eq!(stage.core().streams.players(), 4);
    // The one that plays twice goes when its second play is written to.
    stage.guests[twice].wire.borrow_mut().panic_in.write = Some(1);
    stage.key_frame(source, 100);
    assert_eq!(
        (stage.gauges().bugs, stage.core().streams.players()),
        (1, 2)
    );
    assert_eq!(stage.guests[before].media, 2);
    assert_eq!(stage.guests[after].media, 2);
    stage.end();
}

#[test]
fn a_panic_at_any_call_on_any_socket_leaves_nothing_behind() {
    let mut bugs = 0;
    for calls in 0..12 {
        for guest in 0..4 {
            for side in 0..2 {
                let mut stage = Stage::new(|_| {});
                for number in 0..4 {
                    let call = (number == guest).then_some(calls);
                    let panics = Panics {
                        read: call.filter(|_| side == 0),
                        write: call.filter(|_| side == 1),
                        fired: 0,
                    };
                    let action = [Action::Publish, Action::Play][number % 2];
                    let id = stage.come(action, ["a", "a", "b", "a"][number]);
                    stage.guests[id].wire.borrow_mut().panic_in = panics;
                    for source in [0, 2] {
                        if source <= id {
                            stage.key_frame(source, 3_000);
                        }
                    }
                }
                for _ in 0..6 {
                    stage.key_frame(0, 3_000);
                    stage.key_frame(2, 3_000);
                    stage.wait(MS(250));
                }
                bugs += stage.gauges().bugs;
                assert!(stage.gauges().bugs <= 1);
                assert_eq!(stage.guests[2].gone, guest == 2 && stage.gauges().bugs == 1);
                stage.end();
            }
        }
    }
    assert!(bugs > 30, "{bugs} panics");
}

#[test]
fn regression_one_that_was_to_be_closed_when_a_panic_came_is_closed() {
    for done in 0..4 {
        let (mut stage, old) = publishes_and_plays();
        let other = stage.publish("late");
        let (closed, culprit) = (stage.key_of(old), stage.key_of(other));
        stage.core_mut().contained(culprit, Step::Other, |core| {
            let until = core.now + S(1);
            core.conns[closed].begin_closing(until, 0);
            if done > 0 {
                let play = core.streams.plays(closed)[0];
                core.streams.remove_player(play.stream, play.slot);
            }
            if done > 1 {
                let index = core.streams.publications(closed)[0].stream;
                core.publisher_left(closed, index, false);
            }
            if done > 2 {
                core.end_uses(closed, &CloseReason::Kicked);
            }
            panic_quietly();
        });
        stage.wait(S(3));
        assert!(stage.guests[old].gone, "{done} steps");
        assert!(stage.guests[other].gone, "{done} steps");
        stage.end();
    }
}

/// As a defect would, without words on standard error.
fn panic_quietly() {
    fault::arm(StepOf::Conn, 0);
}

/// A guest that publishes `cam` and plays another stream.
fn publishes_and_plays() -> (Stage, usize) {
    let mut stage = Stage::new(|config| config.takeover = Takeover::Replace);
    let old = stage.publish("cam");
    stage.publish("other");
    let session = &mut stage.guests[old].session;
    session.send_command(MessageStreamId::CONTROL, |amf| {
        amf.string("createStream").number(9.0).null();
    });
    session.send_command(MessageStreamId(2), |amf| {
        amf.string("play").number(0.0).null().string("other");
    });
    stage.settle();
    assert_eq!(stage.core().streams.players(), 1);
    (stage, old)
}

#[test]
fn a_panic_within_a_takeover_leaves_the_other_role() {
    for done in 0..3 {
        let (mut stage, old) = publishes_and_plays();
        let new = stage.publish("late");
        let (key, culprit) = (stage.key_of(old), stage.key_of(new));
        stage.core_mut().contained(culprit, Step::Ingress, |core| {
            let index = core.streams.find("live/cam").unwrap();
            let away = Source::Away {
                since: core.now,
                until: core.now,
                ended: false,
            };
            match done {
                0 => drop(core.streams.unpublish(key, index, away)),
                1 => core.publisher_left(key, index, false),
                _ => {
                    let (status, why) = (Status::PublishBadName, "taken over");
                    let reason = CloseReason::TakenOver("live/cam".into());
                    core.end_publication(index, status, why, &reason);
                }
            }
            panic_quietly();
        });
        assert_eq!(stage.core().streams.plays(key).len(), 1, "{done} steps");
        stage.wait(S(3));
        assert!(!stage.guests[old].gone, "{done} steps");
        assert!(stage.guests[new].gone, "{done} steps");
        assert_eq!(stage.core().streams.find("live/cam"), None, "{done} steps");
        stage.end();
    }
}
