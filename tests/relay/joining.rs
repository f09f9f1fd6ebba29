//! When a player comes: before the publisher, in the middle of a stream, or for nothing. What it
//! gets first, and whether that depends on the worker it lands on.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::media::{self, Ffmpeg, H264_AAC, H264_LONG_GROUP};
use support::packets::{assert_end, assert_list, assert_same, of_file};
use support::players::{Player, Program as PlayerProgram};
use support::process::Process;
use support::publishers::{Program, Speed};
use support::relay::Relay;
use support::wire::{Film, Media, Seen, Wire, media_of, signals_of};
use support::{A_WHILE, now};
use tailwater::rtmp::control::UserControl;
use tailwater::rtmp::message::{MessageStreamId, kind};

const WORKERS: usize = 2;

/// The media a player has, up to and with the last of `sent`.
#[track_caller]
fn media_up_to(player: &mut Wire, sent: &[Media]) -> Vec<Media> {
    let last = sent.last().expect("something was sent");
    let number = last.number().expect("a message with a number");
    media_of(&player.until_number(last.kind, number))
}

#[test]
fn a_player_that_was_there_before_gets_everything() {
    let relay = Relay::start(&["--workers", "2"]);
    let mut players = relay.on_each_worker(WORKERS, || Wire::play(relay.address(), "film"));
    let mut film = Film::new("film", 1_000);
    let mut sent = film.headers.clone();
    // Encoders differ in what comes first: here it is sound.
    sent.push(Media::sound(1_000, 900, 300));
    sent.push(Media::sound(1_020, 901, 300));
    for _ in 0..3 {
        sent.extend(film.group(10));
    }
    let mut publisher = Wire::publish(relay.address(), "film");
    publisher.send_all(&sent);
    for player in &mut players {
        let seen = player.until_status("NetStream.Play.Start");
        assert_eq!(media_of(&seen), []);
        let begin = Seen::Control(UserControl::StreamBegin(MessageStreamId(1)));
        assert!(signals_of(&seen).contains(&begin), "{seen:?}");
        assert_list("media", &media_up_to(player, &sent), &sent);
    }
}

#[test]
fn a_player_that_joins_in_the_middle_starts_at_the_newest_key_frame() {
    let relay = Relay::start(&["--workers", "2"]);
    let mut film = Film::new("film", 1_000);
    let mut publisher = Wire::publish(relay.address(), "film");
    publisher.send_all(&film.headers);
    publisher.send_all(&film.group(24));
    let group = film.group(10);
    publisher.send_all(&group);
    publisher.settle();
    // No other key frame comes until each has its picture.
    let mut players = relay.on_each_worker(WORKERS, || Wire::play(relay.address(), "film"));
    let mut wanted = film.headers_for_new(group[0].time);
    wanted.extend(group);
    for player in &mut players {
        assert_list("first media", &media_up_to(player, &wanted), &wanted);
    }
    // And then it goes on.
    let mut later = film.more(5);
    later.extend(film.group(5));
    publisher.send_all(&later);
    for player in &mut players {
        assert_list("later media", &media_up_to(player, &later), &later);
    }
}

#[test]
fn without_a_cache_a_player_waits_for_the_next_key_frame() {
    let relay = Relay::start(&["--workers", "2", "--gop-cache", "off"]);
    let mut film = Film::new("film", 1_000);
    let mut publisher = Wire::publish(relay.address(), "film");
    publisher.send_all(&film.headers);
    publisher.send_all(&film.group(10));
    publisher.settle();
    let mut players = relay.on_each_worker(WORKERS, || Wire::play(relay.address(), "film"));
    for player in &mut players {
        let seen = player.until_status("NetStream.Play.Start");
        assert_eq!(media_of(&seen), []);
    }
    publisher.send_all(&film.more(10));
    publisher.settle();
    for player in &mut players {
        assert_eq!(media_of(&player.settle()), [], "before the next key frame");
    }
    let group = film.group(10);
    publisher.send_all(&group);
    let mut wanted = film.headers_for_new(group[0].time);
    wanted.extend(group);
    for player in &mut players {
        assert_list("first media", &media_up_to(player, &wanted), &wanted);
    }
}

#[test]
fn headers_that_change_reach_everybody_before_the_next_picture() {
    let relay = Relay::start(&["--workers", "2"]);
    let mut film = Film::new("film", 0);
    let mut publisher = Wire::publish(relay.address(), "film");
    let mut early = relay.on_each_worker(WORKERS, || Wire::play(relay.address(), "film"));
    for player in &mut early {
        player.until_status("NetStream.Play.Start");
    }
    let mut sent = film.headers.clone();
    sent.extend(film.group(5));
    // Everything is passed on in its place: other metadata, text, a new picture size, a header
    // that is no other than before.
    let mut text = Media::metadata(210, "any");
    text.payload.splice(3..13, *b"onTextData");
    let metadata = Media::metadata(220, "renamed");
    let mut avc = Media::avc_header(230);
    avc.payload.extend_from_slice(b", another");
    let aac = Media::aac_header(230);
    sent.extend([text, metadata.clone(), avc.clone(), aac.clone()]);
    let group = film.group(5);
    sent.extend(group.clone());
    // Publishers wrap metadata in what is for the server only.
    let mut wrapped = metadata.clone();
    wrapped.payload.splice(0..0, *b"\x02\x00\x0D@setDataFrame");
    for media in &sent {
        publisher.send(if *media == metadata { &wrapped } else { media });
    }
    for player in &mut early {
        assert_list("from the start", &media_up_to(player, &sent), &sent);
    }
    let mut late = relay.on_each_worker(WORKERS, || Wire::play(relay.address(), "film"));
    for player in &mut late {
        let got = media_up_to(player, &group);
        let (headers, rest) = got.split_at(got.len() - group.len());
        assert_list("late", rest, &group);
        let mut headers = headers.to_vec();
        headers.sort_by_key(|header| header.kind);
        let time = group[0].time;
        let mut now = [metadata.at(0), avc.at(time), aac.at(time)];
        now.sort_by_key(|header| header.kind);
        assert_list("late headers", &headers, &now);
    }
}

#[test]
fn real_players_join_while_a_file_is_published() {
    let file = media::file(&H264_AAC);
    let relay = Relay::start(&["--grace", "1"]);
    let url = relay.url("film");
    let mut publisher = Program::Ffmpeg5.publish(&file, &url, Speed::RealTime, relay.dir());
    relay.wait_log(&["publish stream=\"live/film\""]);
    let mut players =
        PlayerProgram::ALL.map(|program| Player::start(program, &url, relay.dir(), "film"));
    publisher.succeed(A_WHILE);
    for player in &mut players {
        let judge = player.program().judge();
        let all = of_file(judge, &file);
        let what = format!("{:?}", player.program());
        assert_end(&what, &player.tracks(), &all, 25);
    }
}

#[test]
fn the_first_picture_is_there_at_once_though_key_frames_are_far_apart() {
    let film = media::messages(&media::file(&H264_LONG_GROUP));
    let keys: Vec<u32> = film
        .iter()
        .filter(|media| media.is_key())
        .map(|media| media.time)
        .collect();
    assert!(keys[1] - keys[0] >= 10_000, "{keys:?}");
    let relay = Relay::start(&[]);
    let mut publisher = Wire::publish(relay.address(), "film");
    let second_key_sent = AtomicBool::new(false);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (first, rest) = film.split_at(
                film.iter()
                    .position(|media| media.time >= keys[1])
                    .unwrap_or(film.len()),
            );
            publisher.send_in_time(first, || stop.load(Ordering::Relaxed));
            if !stop.load(Ordering::Relaxed) {
                second_key_sent.store(true, Ordering::Relaxed);
                publisher.send_in_time(rest, || stop.load(Ordering::Relaxed));
            }
        });
        // Whatever happens, the publisher ends with us.
        let _ended = OnDrop(|| stop.store(true, Ordering::Relaxed));
        let mut early = Wire::play(relay.address(), "film");
        early.until("two seconds of film", |seen| {
            seen.media().is_some_and(|media| media.time >= 2_000)
        });
        let asked = now();
        let mut player = Wire::play(relay.address(), "film");
        let seen = player.until("a picture", |seen| {
            seen.media()
                .is_some_and(|media| media.kind == kind::VIDEO && !media.is_header())
        });
        let waited = asked.elapsed();
        assert!(waited < Duration::from_secs(1), "waited {waited:?}");
        let picture = seen.last().and_then(Seen::media).unwrap();
        assert!(picture.is_key(), "{picture:?}");

        // A real one decodes it as soon, whatever it does before.
        let mut command = Ffmpeg::V5.command();
        command.args(["-analyzeduration", "1000000", "-i", &relay.url("film")]);
        command.args(["-map", "0:v", "-frames:v", "1", "-f", "framehash", "-"]);
        let mut process = Process::start("first-picture", relay.dir(), &mut command);
        process.succeed(A_WHILE);
        let pictures = process
            .out()
            .lines()
            .filter(|l| !l.starts_with('#'))
            .count();
        assert_eq!(pictures, 1, "decoded");
        assert!(
            !second_key_sent.load(Ordering::Relaxed),
            "the first picture took until the next key frame"
        );
    });
}

/// Runs something at the end of a block, however it ends.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn a_player_of_nothing_is_told_so_after_the_wait() {
    let relay = Relay::start(&["--play-wait", "1"]);
    let asked = now();
    let mut player = Wire::play(relay.address(), "nothing");
    let seen = player.until_closed();
    let waited = asked.elapsed();
    assert_eq!(
        signals_of(&seen).last_chunk::<2>(),
        Some(&[
            Seen::status("NetStream.Play.StreamNotFound"),
            Seen::Closed(true)
        ]),
    );
    assert_eq!(media_of(&seen), []);
    let bounds = Duration::from_secs(1)..Duration::from_secs(4);
    assert!(bounds.contains(&waited), "waited {waited:?}");

    // Real players do not hang.
    let url = relay.url("nothing");
    let mut players: Vec<(Process, &str)> = PlayerProgram::ALL
        .into_iter()
        .map(|program| {
            let told = match program {
                PlayerProgram::Ffmpeg5 | PlayerProgram::Ffmpeg9 => "no such stream",
                PlayerProgram::Gstreamer => "NetStream.Play.StreamNotFound",
                PlayerProgram::Rtmpdump => "",
            };
            let player = Player::start(program, &url, relay.dir(), "nothing");
            (player.process, told)
        })
        .collect();
    for (process, told) in &mut players {
        let status = process.wait(A_WHILE);
        assert!(!status.success(), "{process:?}: {status}");
        let err = process.err();
        assert!(err.contains(*told), "not told {told:?} but {err}");
    }
}

#[test]
fn with_no_wait_a_player_of_nothing_is_told_so_at_once() {
    let relay = Relay::start(&["--play-wait", "0"]);
    let mut player = Wire::play(relay.address(), "nothing");
    let seen = player.until_closed();
    let not_found = Seen::status("NetStream.Play.StreamNotFound");
    assert!(seen.contains(&not_found), "{seen:?}");
}

#[test]
fn a_player_that_comes_when_all_is_over_is_told_so() {
    let relay = Relay::start(&["--grace", "0", "--play-wait", "0"]);
    let mut film = Film::new("film", 0);
    let mut publisher = Wire::publish(relay.address(), "film");
    publisher.send_all(&film.headers);
    publisher.send_all(&film.group(5));
    let mut player = Wire::play(relay.address(), "film");
    player.until("media", |seen| seen.media().is_some());
    publisher.finish();
    let seen = player.until_closed();
    assert_eq!(
        signals_of(&seen).last_chunk::<3>(),
        Some(&[
            Seen::Control(UserControl::StreamEof(MessageStreamId(1))),
            Seen::status("NetStream.Play.UnpublishNotify"),
            Seen::Closed(true)
        ]),
    );
    let mut late = Wire::play(relay.address(), "film");
    let seen = late.until_closed();
    assert_eq!(media_of(&seen), []);
    let not_found = Seen::status("NetStream.Play.StreamNotFound");
    assert!(seen.contains(&not_found), "{seen:?}");
}

#[test]
fn rtmpdump_without_live_plays_a_live_stream() {
    // It asks for start 0 then, which is a recording to others.
    let file = media::file(&H264_AAC);
    let relay = Relay::start(&["--grace", "1"]);
    let url = relay.url("film");
    let out = relay.dir().join("film.flv");
    let mut command = Command::new("rtmpdump");
    command.args(["-q", "-r", &url, "-o"]).arg(&out);
    let mut player = Process::start("rtmpdump", relay.dir(), &mut command);
    relay.wait_players(1);
    let mut publisher = Program::Ffmpeg9.publish(&file, &url, Speed::Fast, relay.dir());
    publisher.succeed(A_WHILE);
    player.wait(A_WHILE);
    let got = of_file(Ffmpeg::V5, &out);
    let wanted = of_file(Ffmpeg::V5, &file);
    assert_same("rtmpdump without --live", &got, &wanted);
}
