//! Peers that mean harm: what each of them could do, one by one.

use super::*;
use crate::config::Pace;
use crate::limits;
use crate::rtmp::message::MessageStreamId;
use crate::rtmp::name::stream_name;
use crate::rtmp::server::Request;
use crate::stream::block::BlockPool;
use crate::stream::log::StreamLog;
use crate::worker::ids::WorkerId;
use crate::worker::mail::{InFlight, Mail, Receipt};
use crate::worker::pressure::Pressure;
use crate::worker::registry::Claim;

fn call(
    stage: &mut Stage,
    guest: usize,
    msid: MessageStreamId,
    name: &str,
    argument: Option<&str>,
) {
    stage.guests[guest].session.send_command(msid, |amf| {
        amf.string(name).number(0.0).null();
        if let Some(argument) = argument {
            amf.string(argument);
        }
    });
}

#[test]
fn shedding_survives_a_publisher_whose_socket_fails_as_another_stream_ends() {
    let mut stage = Stage::new(|config| {
        config.memory_max = Some(4 * MIB);
        config.log_bytes = 2 * MIB;
        config.lag_max = 2 * MIB;
        config.grace = S(10);
        config.pace = Pace::Fixed(MS(350));
    });
    let fillers: Vec<usize> = (0..5).map(|n| stage.publish(&format!("f{n}"))).collect();
    let both = stage.publish("x");
    let newest = stage.publish("y");
    // What nobody plays would go first.
    for n in 0..5 {
        stage.play(&format!("f{n}"));
    }
    stage.guests[both]
        .session
        .send_command(MessageStreamId::CONTROL, |amf| {
            amf.string("createStream").number(9.0).null();
        });
    call(&mut stage, both, MessageStreamId(2), "play", Some("y"));
    // Publishers are read once a beat.
    stage.wait(S(1));
    assert_eq!(stage.core().streams.players(), 6);
    let later = stage.now + S(30);
    stage.core_mut().memory.postpone(later);
    for filler in fillers {
        stage.key_frame(filler, 700_000);
    }
    stage.wait(S(1));
    // The largest holder, and so the first to go.
    stage.key_frame(newest, 900_000);
    stage.wait(S(1));
    // One round is due, the next is not: what comes then waits to be written.
    stage.key_frame(newest, 1_000);
    stage.key_frame(newest, 1_000);
    // The peer resets the connection behind the poll's back.
    stage.guests[both].wire.borrow_mut().client_end = End::Reset;
    stage.guests[both].gone = true;
    let now = stage.now;
    stage.core_mut().memory.make_due(now);
    stage.turn();
    assert!(stage.gauges().shed > 0);
}

#[test]
fn regression_many_who_send_commands_share_a_turn() {
    let mut stage = Stage::new(|_| {});
    let come = |number| stage.come_from([10, 0, 1, number], Action::Play, "cam");
    let guests: Vec<usize> = (0..100).map(come).collect();
    // Acknowledgements, which the session deals with itself.
    let said = [2, 0, 0, 0, 0, 0, 4, 3, 0, 0, 0, 0, 0, 0, 0, 0].repeat(2_500);
    let unread = |stage: &Stage| {
        let unread = |guest: &&Guest| !guest.wire.borrow().to_relay.is_empty();
        stage.guests.iter().filter(unread).count()
    };
    let rings = |stage: &Stage| {
        let rings = stage.core().conns.iter();
        rings.filter(|(_, conn)| conn.ring_bytes() > 0).count()
    };
    let say = |stage: &mut Stage, guests: &[usize]| {
        for &guest in guests {
            let mut wire = stage.guests[guest].wire.borrow_mut();
            assert_eq!(wire.client_send(&said, said.len()), said.len());
        }
        stage.turn();
    };
    say(&mut stage, &guests[..1]);
    assert_eq!(unread(&stage), 0, "who is alone is read at once");
    say(&mut stage, &guests);
    assert_eq!(unread(&stage), guests.len());
    // What waits does so in the kernel.
    assert_eq!(rings(&stage), 0);
    stage.settle();
    assert_eq!(
        (unread(&stage), stage.core().conns.len()),
        (0, guests.len())
    );
}

/// The memory behind the sessions of all players.
fn session_bytes(stage: &Stage) -> usize {
    let core = stage.core();
    let players = core
        .conns
        .iter()
        .filter(|(key, _)| core.streams.has_role(*key));
    players.map(|(_, conn)| conn.session.memory_bytes()).sum()
}

#[test]
fn a_slow_player_that_jumps_holds_no_more_for_each_jump() {
    let mut stage = Stage::new(|_| {});
    let source = stage.publish("cam");
    for track in 0..30 {
        stage.send(source, kind::VIDEO, &track_header(track), 65_000);
        stage.settle();
    }
    stage.key_frame(source, 100);
    let player = stage.play("cam");
    stage.guests[player].appetite = 8_000;
    stage.pass(S(20), |stage| {
        (0..5).for_each(|_| stage.key_frame(source, 1_000_000));
    });
    let held = session_bytes(&stage);
    let skips = stage.gauges().skips;
    assert!(held < 8 * MIB, "{held} bytes after {skips} jumps");
}

/// The writes it takes to give 50 players a thousand tiny messages at a time, which come on the
/// message stream of the log or on another one, with a long message now and then.
fn writes_of_tiny_messages(second: bool) -> u64 {
    let mut stage = Stage::new(|config| config.pace = Pace::Fixed(Duration::ZERO));
    let source = stage.publish("cam");
    stage.key_frame(source, 100);
    let mut players = Vec::new();
    for n in 0..50 {
        let id = stage.play(&format!("other{n}"));
        let msid = if second { 2 } else { 1 };
        stage.guests[id]
            .session
            .send_command(MessageStreamId::CONTROL, |amf| {
                amf.string("createStream").number(9.0).null();
            });
        call(&mut stage, id, MessageStreamId(msid), "play", Some("cam"));
        players.push(id);
    }
    stage.settle();
    for _ in 0..5 {
        for number in 0..1_000 {
            let len = if number % 400 == 0 { 9_000 } else { 5 };
            stage.send(source, kind::VIDEO, INTER, len);
        }
        stage.wait(MS(250));
    }
    for player in players {
        assert_eq!(stage.guests[player].media, 5_001);
    }
    stage.gauges().writes
}

#[test]
fn players_on_another_message_stream_take_no_more_writes() {
    let (plain, other) = (
        writes_of_tiny_messages(false),
        writes_of_tiny_messages(true),
    );
    assert!(other <= plain + plain / 10, "{plain} and {other}");
}

#[test]
fn who_waits_for_streams_that_never_come_is_closed() {
    let mut stage = Stage::new(|_| {});
    let idler = stage.play("nothing");
    for _ in 0..60 {
        stage.wait(S(9));
        if !stage.guests[idler].gone {
            call(
                &mut stage,
                idler,
                MessageStreamId(1),
                "play",
                Some("nothing"),
            );
            stage.settle();
        }
    }
    assert!(stage.guests[idler].gone, "still here after nine minutes");
}

#[test]
fn a_publisher_goes_on_where_a_feed_ended() {
    publish_behind_a_feed(false);
}

#[test]
fn a_publisher_goes_on_at_a_boundary_where_a_feed_broke_off() {
    publish_behind_a_feed(true);
}

fn publish_behind_a_feed(torn: bool) {
    let mut stage = Stage::new(|_| {});
    let player = stage.play("cam");
    let name: Arc<str> = "live/cam".into();
    // Worker 1 has the stream, feeds it, falls behind in a long message, and gives it up.
    let registry = &stage.shared.registry;
    let Claim::Own { epoch, .. } = registry.claim(&name, WorkerId::new(1), true, None) else {
        panic!("it is free")
    };
    let (mut log, mut pool) = (
        StreamLog::new(stage.core().settings.log_limits()),
        BlockPool::default(),
    );
    let mut put = |log: &mut StreamLog, len: usize| {
        let mut body = KEY.to_vec();
        body.resize(len, 0);
        let body = Payload::from_slice(&body);
        log.append(&mut pool, kind::VIDEO, Timestamp(0), true, &body);
        log.flush();
    };
    put(&mut log, 100);
    let snapshot = Box::new(log.snapshot());
    let sent = log.visible();
    put(&mut log, 100_000);
    let (bytes, frames) = log.pieces_from(sent).next().unwrap();
    assert_eq!(frames.count(), 0);
    let bytes = bytes.clone();
    let receipt = Receipt::new(&InFlight::default(), bytes.len());
    stage.core_mut().receive(Mail::Snapshot {
        name: name.clone(),
        epoch,
        from: WorkerId::new(1),
        changes: 0,
        snapshot,
    });
    if torn {
        stage.core_mut().receive(Mail::Append {
            name: name.clone(),
            epoch,
            changes: 0,
            start: sent,
            bytes,
            frames: smallvec::SmallVec::new(),
            receipt,
        });
    }
    stage.settle();
    assert_eq!(stage.guests[player].media, 1);
    stage.shared.registry.release(&name, WorkerId::new(1));
    // Its publisher comes back here before the end of the feed is told.
    let source = stage.publish("cam");
    stage.key_frame(source, 200);
    stage.key_frame(source, 200);
    assert_eq!(stage.guests[player].media, 3);
}

#[test]
fn a_message_that_comes_byte_by_byte_for_ever_closes_the_connection() {
    let mut stage = Stage::new(|_| {});
    let player = stage.play("cam");
    stage.publish("cam");
    let mut chunk = vec![3, 0, 0, 0, 0, 1, 44, 20, 0, 0, 0, 0];
    chunk.resize(12 + 28, 0);
    let out = stage.guests[player].session.out();
    out.writer().extend_from_slice(&chunk);
    stage.settle();
    for second in 0..1_800 {
        stage.send(1, kind::AUDIO, SOUND, 20);
        if second % 25 == 0 && !stage.guests[player].gone {
            stage.guests[player].session.out().writer().push(0);
        }
        stage.wait(S(1));
    }
    assert!(stage.guests[player].gone, "half an hour for 100 bytes");
}

#[test]
fn a_publisher_that_begins_anew_is_counted_on() {
    // 105,000 bytes a second, where 100,000 are allowed.
    let mut stage = Stage::new(|config| config.publish_bitrate_max = Some(800_000));
    let source = stage.publish("cam");
    for _ in 0..6 {
        stage.pass(S(5), |stage| {
            (0..25).for_each(|_| stage.send(source, kind::VIDEO, INTER, 1_050 - 12));
        });
        if !stage.guests[source].gone {
            call(&mut stage, source, MessageStreamId(1), "closeStream", None);
            call(
                &mut stage,
                source,
                MessageStreamId(1),
                "publish",
                Some("cam"),
            );
            stage.settle();
        }
    }
    assert!(stage.guests[source].gone);
    assert_eq!(stage.gauges().violations, 1);
    stage.end();
}

#[test]
fn who_plays_goes_over_to_no_other_stream_while_memory_is_short() {
    let mut stage = Stage::new(|_| {});
    let (one, _) = (stage.publish("one"), stage.publish("two"));
    let player = stage.play("one");
    let key = stage.key_of(player);
    assert_eq!(stage.core().streams.plays(key).len(), 1);
    stage.core_mut().memory.set_pressure(Pressure::NoPlayers);
    let app = stage.core_mut().conns[key]
        .session
        .server()
        .unwrap()
        .app()
        .unwrap()
        .clone();
    let name = stream_name(&app, b"two").unwrap();
    stage.core_mut().request(
        key,
        Request::Switch {
            msid: MessageStreamId(1),
            name,
        },
    );
    stage.core_mut().wake(key);
    stage.key_frame(one, 100);
    let told = [&PLAYS[..], &["Play.Failed"]].concat();
    stage.check_heard(player, &told);
    assert_eq!(
        (stage.core().streams.players(), stage.guests[player].media),
        (1, 1)
    );
    stage.end();
}

#[test]
fn regression_a_violator_is_read_on_for_a_while_only() {
    let mut stage = Stage::new(|_| {});
    let guest = stage.play("cam");
    // Set Chunk Size to 1.
    let bad = [2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 1];
    stage.guests[guest].wire.borrow_mut().client_send(&bad, 16);
    // It reads nothing and stays.
    stage.guests[guest].gone = true;
    stage.turn();
    let mut flooded = 0;
    for _ in 0..1_000 {
        let wire = stage.guests[guest].wire.clone();
        flooded += wire.borrow_mut().client_send(&[0; 16_384], 16_384);
        stage.turn();
    }
    assert_eq!(stage.core().conns.len(), 1, "it may still read why");
    let limit = limits::READ_OFF_VIOLATOR_BYTES as usize;
    let unread = stage.guests[guest].wire.borrow().to_relay.len();
    assert_eq!(flooded - unread, limit);
    stage.wait(limits::LINGER);
    assert_eq!(stage.core().conns.len(), 0);
}

#[test]
fn regression_seeks_have_a_group_sent_again_so_often() {
    let mut stage = Stage::new(|config| config.window = S(60));
    let source = stage.publish("cam");
    stage.key_frame(source, 10_000);
    let player = stage.play("cam");
    let seek = |stage: &mut Stage| {
        stage.guests[player]
            .session
            .send_command(MessageStreamId(1), |amf| {
                amf.string("seek").number(0.0).null().number(1.0);
            });
        stage.settle();
        let heard = std::mem::take(&mut stage.guests[player].heard);
        stage.guests[player].last_time = None;
        heard.iter().any(|code| code == "Seek.Notify")
    };
    let followed = (0..50).filter(|_| seek(&mut stage)).count();
    assert_eq!(followed, limits::SEEKS.burst() as usize);
    // It plays on, and may seek again later.
    let media = stage.guests[player].media;
    stage.key_frame(source, 100);
    assert_eq!(stage.guests[player].media, media + 1);
    stage.wait(S(6));
    assert!(seek(&mut stage) && !seek(&mut stage));
    stage.end();
}

#[test]
fn pausing_and_going_on_sends_nothing_twice() {
    let mut stage = Stage::new(|config| config.lag_max = 64 * 1024);
    let source = stage.publish("cam");
    let player = stage.play("cam");
    let mut sent = 0;
    for round in 0..60 {
        for paused in [true, false, true] {
            stage.guests[player]
                .session
                .send_command(MessageStreamId(1), |amf| {
                    let amf = amf.string("pause").number(0.0).null();
                    amf.boolean(paused).number(0.0);
                });
            stage.settle();
        }
        stage.pass(S(1), |stage| {
            stage.send(source, kind::VIDEO, KEY, 1_000 * round);
        });
        sent += 4;
    }
    assert!(stage.guests[player].media <= sent);
    stage.end();
}
