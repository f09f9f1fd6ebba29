//! A publisher that dies and comes back, or is replaced, or has to give way: its players stay,
//! and time goes on for them.

use std::time::Duration;

use rustix::process::Signal;

use support::http::{FlvPlayer, Http, Way};
use support::media::{self, H264_AAC};
use support::packets::{Track, assert_list, assert_same, of_file};
use support::players::{Player, Program as PlayerProgram};
use support::publishers::{Program, Speed};
use support::relay::Relay;
use support::wire::{Film, Media, Seen, Wire, media_of, signals_of};
use support::{A_WHILE, SOON, pause, wait_for};
use tailwater::rtmp::client::Action;
use tailwater::rtmp::control::UserControl;
use tailwater::rtmp::message::{MessageStreamId, kind};
use tailwater_testkit::commands;

/// Fails unless `got` is a beginning of the file, then the whole file, with time that never
/// steps back.
#[track_caller]
fn assert_two_runs(what: &str, got: &[Track], file: &[Track]) {
    assert_eq!(got.len(), file.len(), "{what}: tracks");
    for (got, file) in got.iter().zip(file) {
        let what = format!("{what}: {}", got.codec);
        assert_eq!(got.configuration, file.configuration, "{what}");
        let (contents, whole) = (got.contents(), file.contents());
        let first = contents.len().saturating_sub(whole.len());
        assert!(first > 0, "{what}: {} packets in all", contents.len());
        assert_list(
            &format!("{what}, the first run"),
            &contents[..first],
            &whole[..first.min(whole.len())],
        );
        assert_list(
            &format!("{what}, the second run"),
            &contents[first..],
            &whole,
        );
        let steps = got.packets.windows(2);
        let back = steps.clone().position(|pair| pair[1].dts < pair[0].dts);
        assert_eq!(back, None, "{what}: time steps back behind this packet");
        // The second run begins after the first, and its own steps are those of the file.
        let own: Vec<i64> = got.packets[first..]
            .windows(2)
            .map(|pair| pair[1].dts - pair[0].dts)
            .collect();
        let of_file: Vec<i64> = file
            .packets
            .windows(2)
            .map(|pair| pair[1].dts - pair[0].dts)
            .collect();
        assert_list(&format!("{what}, steps of time"), &own, &of_file);
    }
}

/// Time never steps back from one message to the next of its kind.
#[track_caller]
fn assert_time_goes_on(media: &[Media]) {
    for media_kind in [kind::AUDIO, kind::VIDEO, kind::DATA] {
        let times: Vec<u32> = media
            .iter()
            .filter(|media| media.kind == media_kind)
            .map(|media| media.time)
            .collect();
        let back = times.windows(2).find(|pair| pair[1] < pair[0]);
        assert_eq!(back, None, "type {media_kind}: {times:?}");
    }
}

/// A publisher is started, and when it is well under way, `change` makes way for another.
#[track_caller]
fn players_stay_when(flags: &[&str], change: impl FnOnce(&mut support::process::Process)) {
    let file = media::file(&H264_AAC);
    let relay = Relay::start(flags);
    let url = relay.url("film");
    let programs = [
        PlayerProgram::Ffmpeg5,
        PlayerProgram::Ffmpeg9,
        PlayerProgram::Gstreamer,
    ];
    let mut players = programs.map(|program| Player::start(program, &url, relay.dir(), "film"));
    let mut wire = Wire::play(relay.address(), "film");
    relay.wait_players(players.len() + 1);
    let mut first = Program::Ffmpeg5.publish(&file, &url, Speed::RealTime, relay.dir());
    let mut seen = wire.until("a second and a half of film", |seen| {
        seen.media().is_some_and(|media| media.time >= 1_500)
    });
    change(&mut first);
    let mut second = Program::Ffmpeg9.publish(&file, &url, Speed::RealTime, relay.dir());
    let status = first.wait(A_WHILE);
    assert!(!status.success(), "the first publisher: {status}");
    second.succeed(A_WHILE);
    seen.extend(wire.until_closed());
    let starts = |seen: &&Seen| **seen == Seen::status("NetStream.Play.Start");
    assert_eq!(seen.iter().filter(starts).count(), 1, "starts of the play");
    let media = media_of(&seen);
    assert_time_goes_on(&media);
    // The new publisher's headers come before its first picture, though they are the same.
    let headers: Vec<usize> = media
        .iter()
        .enumerate()
        .filter(|(_, media)| media.kind == kind::VIDEO && media.is_header())
        .map(|(at, _)| at)
        .collect();
    assert_eq!(headers.len(), 2, "headers of the video");
    let next = media[headers[1]..]
        .iter()
        .find(|media| media.kind == kind::VIDEO && !media.is_header());
    assert!(next.is_some_and(Media::is_key), "{next:?}");
    for player in &mut players {
        let what = format!("{:?}", player.program());
        let file = of_file(player.program().judge(), &file);
        assert_two_runs(&what, &player.tracks(), &file);
    }
}

#[test]
fn a_publisher_that_was_killed_comes_back() {
    players_stay_when(&["--grace", "3"], |first| {
        first.signal(Signal::KILL);
        first.wait(SOON);
    });
}

#[test]
fn a_second_publisher_replaces_the_first() {
    players_stay_when(&["--grace", "1", "--takeover", "replace"], |_| {});
}

#[test]
fn a_second_publisher_is_refused() {
    let file = media::file(&H264_AAC);
    let relay = Relay::start(&["--grace", "1"]);
    let url = relay.url("film");
    let mut player = Player::start(PlayerProgram::Ffmpeg5, &url, relay.dir(), "film");
    relay.wait_players(1);
    let mut first = Program::Ffmpeg5.publish(&file, &url, Speed::RealTime, relay.dir());
    relay.wait_log(&["publish stream=\"live/film\""]);
    let mut others = [Program::Ffmpeg9, Program::Gstreamer]
        .map(|program| program.publish(&file, &url, Speed::RealTime, relay.dir()));
    let mut wire = Wire::connect(
        relay.address(),
        "film",
        Action::Publish,
        &support::wire::Settings::default(),
    );
    let seen = wire.until_closed();
    assert_eq!(
        signals_of(&seen).last_chunk::<2>(),
        Some(&[
            Seen::status("NetStream.Publish.BadName"),
            Seen::Closed(true)
        ])
    );
    for other in &mut others {
        let status = other.wait(A_WHILE);
        assert!(!status.success(), "{other:?} was not refused: {status}");
        assert!(first.ended().is_none(), "{other:?} came too late");
    }
    first.succeed(A_WHILE);
    let file = of_file(player.program().judge(), &file);
    assert_same("the first publisher's player", &player.tracks(), &file);
}

#[test]
fn players_of_a_publisher_that_stays_away_are_told_and_closed() {
    let relay = Relay::start(&["--workers", "2", "--grace", "1"]);
    let mut players = relay.on_each_worker(2, || Wire::play(relay.address(), "film"));
    let mut film = Film::new("film", 0);
    let mut publisher = Wire::publish(relay.address(), "film");
    let mut sent = film.headers.clone();
    sent.extend(film.group(5));
    publisher.send_all(&sent);
    publisher.settle();
    drop(publisher);
    let left = support::now();
    for player in &mut players {
        let seen = player.until_closed();
        assert_list("media", &media_of(&seen), &sent);
        assert_eq!(
            signals_of(&seen).last_chunk::<3>(),
            Some(&[
                Seen::Control(UserControl::StreamEof(MessageStreamId(1))),
                Seen::status("NetStream.Play.UnpublishNotify"),
                Seen::Closed(true)
            ])
        );
    }
    let waited = left.elapsed();
    assert!(waited >= Duration::from_millis(900), "waited {waited:?}");
}

#[test]
fn who_joins_while_the_publisher_is_away_starts_with_its_return() {
    let relay = Relay::start(&["--workers", "2", "--grace", "20"]);
    let mut film = Film::new("first", 50_000);
    let mut publisher = Wire::publish(relay.address(), "film");
    let mut early = relay.on_each_worker(2, || Wire::play(relay.address(), "film"));
    let mut sent = film.headers.clone();
    sent.extend(film.group(30));
    publisher.send_all(&sent);
    for player in &mut early {
        let last = sent.last().unwrap();
        player.until_number(last.kind, last.number().unwrap());
    }
    drop(publisher);
    relay.wait_stat("publishers", 0);
    let mut late = relay.on_each_worker(2, || Wire::play(relay.address(), "film"));
    for player in &mut late {
        assert_eq!(media_of(&player.settle()), [], "pictures of the past");
    }

    // Another film, which begins with pictures that cannot be decoded.
    let mut film = Film::new("second", 0).numbered_from(500);
    let mut publisher = Wire::publish(relay.address(), "film");
    let headers = film.headers.clone();
    let undecodable = film.more(3);
    let group = film.group(10);
    publisher.send_all(headers.iter().chain(&undecodable).chain(&group));
    let contents =
        |media: &[Media]| -> Vec<Media> { media.iter().map(|media| media.at(0)).collect() };
    let (last, number) = {
        let last = group.last().unwrap();
        (last.kind, last.number().unwrap())
    };
    let is_sound = |media: &&Media| media.kind == kind::AUDIO;
    let sound: Vec<Media> = undecodable.iter().filter(is_sound).cloned().collect();
    for player in &mut late {
        let got = media_of(&player.until_number(last, number));
        // Sound may have come to it before the first key frame.
        let is_early = |media: &&Media| !contents(&sound).contains(&media.at(0));
        let got_later: Vec<Media> = got.iter().filter(is_early).cloned().collect();
        let wanted = [contents(&headers), contents(&group)].concat();
        let ends = contents(&got_later).split_off(got_later.len() - group.len());
        assert_list("a late player's media", &ends, &contents(&group));
        assert!(got_later.iter().all(|media| wanted.contains(&media.at(0))));
        assert_time_goes_on(&got);
        // Metadata for a new player is at 0.
        assert_eq!(got[0].time, 0, "{:?}", got[0]);
        assert!(got[1].time > 51_000, "time begins anew: {:?}", got[1]);
    }
    for player in &mut early {
        let got = media_of(&player.until_number(last, number));
        let wanted = [contents(&headers), contents(&sound), contents(&group)].concat();
        assert_list("an early player's media", &contents(&got), &wanted);
        assert_time_goes_on(&got);
        assert!(got[0].time > 51_000, "time steps back: {:?}", got[0]);
    }
}

#[test]
fn a_publisher_that_returns_to_another_worker_is_brought_to_its_stream() {
    let relay = Relay::start(&["--workers", "2", "--grace", "20", "--takeover", "replace"]);
    let mut player = Wire::play(relay.address(), "film");
    let mut film = Film::new("film", 0);
    // Taken over by a publisher on each worker in turn.
    let mut publishers = Vec::new();
    let mut workers = Vec::new();
    for _ in 0..40 {
        let mut publisher = Wire::publish(relay.address(), "film");
        workers.push(relay.worker_of(&publisher));
        let group = film.group(3);
        publisher.send_all(film.headers.iter().chain(&group));
        let last = group.last().unwrap();
        let got = media_of(&player.until_number(last.kind, last.number().unwrap()));
        assert_eq!(got.len(), film.headers.len() + group.len(), "{got:?}");
        publishers.push(publisher);
        if publishers.len() >= 6 && workers.contains(&0) && workers.contains(&1) {
            break;
        }
    }
    assert!(workers.contains(&0) && workers.contains(&1), "{workers:?}");
    let last = publishers.pop();
    for mut publisher in publishers {
        let seen = publisher.until_closed();
        let told = Seen::status("NetStream.Publish.BadName");
        assert!(seen.contains(&told), "{seen:?}");
    }
    // And it is the last one that plays.
    let mut last = last.unwrap();
    let group = film.group(1);
    last.send_all(&group);
    player.until_number(kind::AUDIO, group[1].number().unwrap());
    wait_for("one publisher left", SOON, || {
        (relay.stats().get("publishers") == Some(&1)).then_some(())
    });
}

/// Long enough that a test which waits for it fails.
const LONG: &str = "60";

/// Ends what is published as encoders of the FMLE family do.
fn unpublish(publisher: &mut Wire, stream: &str) {
    publisher.command(0, commands::of_stream("FCUnpublish", stream));
    publisher.command(0, commands::delete_stream(1));
}

/// A relay of two workers whose players stay for long, and wait for long.
fn patient_relay(flags: &[&str]) -> Relay {
    let own = ["--workers", "2", "--grace", LONG, "--play-wait", LONG];
    Relay::start(&[&own[..], &["--http", "127.0.0.1:0"], flags].concat())
}

/// Players of `cam` on both workers, by RTMP and by HTTP, that have a picture.
fn audience(relay: &Relay, publisher: &mut Wire) -> (Vec<Wire>, Vec<FlvPlayer>) {
    let mut film = Film::new("cam", 0);
    publisher.send_all(&film.headers_again(0));
    publisher.send_all(&film.group(1));
    let players = (0..6).map(|_| Wire::play(relay.address(), "cam"));
    let mut players: Vec<Wire> = players.collect();
    let by_http = [Way::Plain, Way::WebSocket].map(|way| FlvPlayer::play(relay.http(), "cam", way));
    for player in &mut players {
        player.until_number(kind::VIDEO, 0);
    }
    (players, by_http.into())
}

/// All of them are told that the stream is over, and closed, without the grace.
#[track_caller]
fn assert_told((players, by_http): (Vec<Wire>, Vec<FlvPlayer>)) {
    for mut player in players {
        player.until_status("NetStream.Play.UnpublishNotify");
        player.until_closed();
    }
    for mut player in by_http {
        player.until_closed(SOON);
    }
}

/// Whoever asks is told that there is no such stream, without the wait.
#[track_caller]
fn assert_not_found(relay: &Relay) {
    for _ in 0..4 {
        let mut player = Wire::connect_to(relay.address(), "live", "cam", Action::Play);
        player.until_status("NetStream.Play.StreamNotFound");
    }
    let mut by_http = Http::connect(relay.http());
    assert_eq!(by_http.get("/live/cam.flv").status, 404);
}

#[test]
fn an_unpublish_ends_the_stream_soon() {
    let relay = patient_relay(&[]);
    for ending in ["FCUnpublish", "closeStream", "deleteStream"] {
        let mut publisher = Wire::publish(relay.address(), "cam");
        let audience = audience(&relay, &mut publisher);
        publisher.command(MessageStreamId(1).0, |amf| {
            amf.string(ending).number(0.0).null();
            match ending {
                "FCUnpublish" => amf.string("cam"),
                _ => amf.number(1.0),
            };
        });
        drop(publisher);
        // Who comes before its players are told is not let in any more.
        relay.wait_log(&["unpublish"]);
        assert_told(audience);
        assert_not_found(&relay);
    }
    // Somebody publishes it again: it is as if it had never ended.
    let _publisher = Wire::publish(relay.address(), "cam");
    Wire::play(relay.address(), "cam");
}

#[test]
fn a_stream_that_never_was_is_still_waited_for() {
    let relay = patient_relay(&[]);
    let mut player = Wire::connect_to(relay.address(), "live", "cam", Action::Play);
    assert!(
        player
            .settle()
            .iter()
            .all(|seen| !matches!(seen, Seen::Closed(_)))
    );
    relay.wait_players(1);
    let mut publisher = Wire::publish(relay.address(), "cam");
    let mut film = Film::new("cam", 0);
    publisher.send_all(&film.headers_again(0));
    publisher.send_all(&film.group(1));
    player.until_number(kind::VIDEO, 0);
}

#[test]
fn an_unpublish_and_another_publish_keep_the_players() {
    let relay = patient_relay(&[]);
    let mut publisher = Wire::publish(relay.address(), "cam");
    let (mut players, _by_http) = audience(&relay, &mut publisher);
    unpublish(&mut publisher, "cam");
    publisher.until_status("NetStream.Unpublish.Success");
    let mut publisher = Wire::publish(relay.address(), "cam");
    let mut film = Film::new("cam", 0).numbered_from(1_000);
    publisher.send_all(&film.headers_again(0));
    publisher.send_all(&film.group(1));
    for player in &mut players {
        player.until_number(kind::VIDEO, 1_000);
    }
}

#[test]
fn an_edge_ends_a_stream_that_its_origin_ends() {
    let origin = patient_relay(&[]);
    let rule = format!("rtmp://{}", origin.address());
    let edge = patient_relay(&["--pull", &rule, "--pull-give-up", LONG]);
    let mut publisher = Wire::publish(origin.address(), "cam");
    let mut film = Film::new("cam", 0);
    publisher.send_all(&film.headers_again(0));
    publisher.send_all(&film.group(1));
    let audience = audience(&edge, &mut publisher);
    unpublish(&mut publisher, "cam");
    drop(publisher);
    assert_told(audience);
    assert_not_found(&edge);
    // It is there again as soon as the origin has it.
    let mut publisher = Wire::publish(origin.address(), "cam");
    publisher.send_all(&film.headers_again(0));
    publisher.send_all(&film.group(1));
    wait_for("stream at the edge", A_WHILE, || {
        let mut player = Wire::connect_to(edge.address(), "live", "cam", Action::Play);
        let seen = player.until("an answer", |seen| {
            *seen == Seen::status("NetStream.Play.Start") || matches!(seen, Seen::Closed(_))
        });
        (!matches!(seen.last(), Some(Seen::Closed(_)))).then_some(())
    });
}

#[test]
fn players_of_a_lost_publisher_are_told_at_once_in_a_drain() {
    let mut relay = patient_relay(&["--drain", LONG]);
    let mut publisher = Wire::publish(relay.address(), "cam");
    let audience = audience(&relay, &mut publisher);
    let mut other = Wire::publish(relay.address(), "away");
    let film = Film::new("away", 0);
    other.send_all(&film.headers_again(0));
    let mut player = Wire::play(relay.address(), "away");
    let mut waiting = Wire::connect_to(relay.address(), "live", "none", Action::Play);
    waiting.settle();
    relay.wait_players(10);
    // One is lost before, one after.
    drop(other);
    relay.wait_stat("publishers", 1);
    relay.signal(Signal::TERM);
    player.until_status("NetStream.Play.UnpublishNotify");
    waiting.until_status("NetStream.Play.StreamNotFound");
    drop(publisher);
    assert_told(audience);
    relay.ended(SOON);
}

#[test]
fn players_of_a_lost_origin_are_told_at_once_in_a_drain() {
    let mut origin = patient_relay(&[]);
    let rule = format!("rtmp://{}", origin.address());
    let flags = ["--pull", &rule, "--pull-give-up", LONG, "--drain", LONG];
    let mut edge = patient_relay(&flags);
    let mut publisher = Wire::publish(origin.address(), "cam");
    let mut film = Film::new("cam", 0);
    publisher.send_all(&film.headers_again(0));
    publisher.send_all(&film.group(1));
    let audience = audience(&edge, &mut publisher);
    edge.signal(Signal::TERM);
    pause(Duration::from_millis(300));
    origin.kill();
    assert_told(audience);
    edge.ended(SOON);
}
