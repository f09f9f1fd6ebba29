//! Where a player starts, whatever the stream is: without key frames, with rare ones, in mid-group,
//! with sound alone; and where it goes on after a pause or on another stream. It gets sound at
//! once, and pictures only from a key frame on, or as they come when there are none for long.

use std::sync::mpsc;
use std::time::Duration;

use support::http::{FlvPlayer, Way};
use support::relay::Relay;
use support::wire::{Film, Key, Media, Wire, media_of};
use support::{now, pause};
use tailwater::rtmp::message::kind;
use tailwater_testkit::commands;

/// Sends what `make` makes of each 40 ms until it is dropped.
struct Encoder {
    stop: mpsc::Sender<()>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Encoder {
    #[expect(clippy::disallowed_methods, reason = "an encoder sends by itself")]
    fn start(
        mut publisher: Wire,
        mut make: impl FnMut(u32) -> Vec<Media> + Send + 'static,
    ) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            for number in 0.. {
                publisher.send_all(&make(number));
                let wait = stopped.recv_timeout(Duration::from_millis(40));
                if wait != Err(mpsc::RecvTimeoutError::Timeout) {
                    break;
                }
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        _ = self.stop.send(());
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

/// A picture and its sound, 40 ms after those before.
fn moment(key: Key, number: u32) -> Vec<Media> {
    let time = number * 40;
    vec![
        Media::picture(key, time, number, 500),
        Media::sound(time + 10, number, 100),
    ]
}

fn is_picture(media: &Media) -> bool {
    media.kind == kind::VIDEO && !media.is_header()
}

#[track_caller]
fn assert_time_goes_on(got: &[Media]) {
    for track in [kind::AUDIO, kind::VIDEO] {
        let times: Vec<u32> = got
            .iter()
            .filter(|media| media.kind == track)
            .map(|media| media.time)
            .collect();
        assert!(times.is_sorted(), "of {track}: {times:?}");
    }
}

#[test]
fn regression_players_start_without_any_key_frame() {
    let relay = Relay::start(&["--workers", "2", "--http", "127.0.0.1:0"]);
    let publisher = Wire::publish(relay.address(), "film");
    let headers = Film::new("film", 0).headers;
    let mut first = Some(headers);
    let _encoder = Encoder::start(publisher, move |number| {
        let mut media = first.take().unwrap_or_default();
        media.extend(moment(Key::No, number));
        media
    });
    relay.wait_stat("publishers", 1);
    let begun = now();
    let mut players = relay.on_each_worker(2, || Wire::play(relay.address(), "film"));
    for player in &mut players {
        let seen = player.until("sound", |seen| {
            let media = seen.media();
            media.is_some_and(|media| media.kind == kind::AUDIO && !media.is_header())
        });
        let got = media_of(&seen);
        assert!(!got.iter().any(is_picture), "{got:?}");
    }
    for way in [Way::Plain, Way::WebSocket] {
        let mut player = FlvPlayer::play(relay.http(), "film", way);
        player.until("sound", |media| {
            media.kind == kind::AUDIO && !media.is_header()
        });
    }
    // After a while pictures come as they are, to those who wait and to those who come then.
    players.push(Wire::play(relay.address(), "film"));
    for player in &mut players {
        let seen = player.until_within(Duration::from_secs(40), "a picture", |seen| {
            seen.media().is_some_and(is_picture)
        });
        assert_time_goes_on(&media_of(&seen));
    }
    assert!(begun.elapsed() > Duration::from_secs(5), "held for a while");
    let mut late = Wire::play(relay.address(), "film");
    late.until("a picture at once", |seen| {
        seen.media().is_some_and(is_picture)
    });
}

#[test]
fn regression_pictures_are_held_after_a_return_in_mid_group() {
    let flags = ["--workers", "2", "--http", "127.0.0.1:0"];
    let relay = Relay::start(&flags);
    let mut film = Film::new("film", 0);
    let mut publisher = Wire::publish(relay.address(), "film");
    let mut players = relay.on_each_worker(2, || Wire::play(relay.address(), "film"));
    publisher.send_all(&film.headers);
    publisher.send_all(&film.group(5));
    for player in &mut players {
        player.until_number(kind::AUDIO, 5);
    }
    let mut flv = FlvPlayer::play(relay.http(), "film", Way::Plain);
    flv.until_number(kind::AUDIO, 5);
    drop(publisher);
    relay.wait_stat("publishers", 0);
    let mut publisher = Wire::publish(relay.address(), "film");
    let mut film = Film::new("film", 7_000).numbered_from(100);
    publisher.send_all(&film.headers);
    publisher.send_all(&film.more(5));
    for player in &mut players {
        let got = media_of(&player.until_number(kind::AUDIO, 104));
        assert!(!got.iter().any(is_picture), "{got:?}");
    }
    assert!(!flv.until_number(kind::AUDIO, 104).iter().any(is_picture));
    publisher.send_all(&film.group(1));
    for player in &mut players {
        let got = media_of(&player.until_number(kind::VIDEO, 105));
        assert!(got.last().unwrap().is_key(), "{got:?}");
        player.until_number(kind::VIDEO, 106);
    }
    flv.until_number(kind::VIDEO, 106);
}

#[test]
fn regression_time_goes_on_whatever_the_clock_does() {
    let relay = Relay::start(&["--workers", "2", "--http", "127.0.0.1:0"]);
    let mut publisher = Wire::publish(relay.address(), "film");
    let mut players = relay.on_each_worker(2, || Wire::play(relay.address(), "film"));
    publisher.send_all(&Film::new("film", 0).headers);
    let mut begin = 500_000_u32;
    let mut number = 0;
    let mut send = |publisher: &mut Wire, begin: u32| {
        // Sound steps first.
        let mut film = Film::new("film", begin).numbered_from(number);
        let mut group = film.group(4);
        group.swap(0, 1);
        publisher.send_all(&group);
        number += 5;
    };
    let mut flv: Option<FlvPlayer> = None;
    // A reset, a jump, a reset within the minute; then a return with a frame of the old clock.
    for step in [
        0,
        0_u32.wrapping_sub(500_000),
        90_000_000,
        0_u32.wrapping_sub(90_000_000),
    ] {
        begin = begin.wrapping_add(step);
        send(&mut publisher, begin);
        publisher.settle();
        flv.get_or_insert_with(|| FlvPlayer::play(relay.http(), "film", Way::Plain));
    }
    drop(publisher);
    relay.wait_stat("publishers", 0);
    let mut publisher = Wire::publish(relay.address(), "film");
    publisher.send(&Media::sound(3_600_000, 999, 50));
    send(&mut publisher, 0);
    let judge = |got: &[Media]| {
        let is_coded = |media: &&Media| media.kind != kind::DATA && !media.is_header();
        let got: Vec<Media> = got.iter().filter(is_coded).cloned().collect();
        assert_time_goes_on(&got);
        let (first, last) = (got[0].time, got.last().unwrap().time);
        assert!(last.wrapping_sub(first) < 60_000, "{first} to {last}");
        for track in [kind::AUDIO, kind::VIDEO] {
            let times = got.iter().filter(|media| media.kind == track);
            let times: Vec<u32> = times.map(|media| media.time).collect();
            let still = times.windows(2).filter(|pair| pair[0] == pair[1]);
            assert_eq!(still.count(), 0, "{times:?}");
        }
    };
    for player in &mut players {
        judge(&media_of(&player.until_number(kind::AUDIO, 24)));
    }
    judge(&flv.unwrap().until_number(kind::AUDIO, 24));
}

fn set_paused(player: &mut Wire, paused: bool) {
    player.command(1, commands::pause(paused));
}

#[test]
fn regression_a_player_goes_on_where_it_was_paused() {
    let relay = Relay::start(&["--workers", "2"]);
    let mut film = Film::new("film", 0);
    let mut publisher = Wire::publish(relay.address(), "film");
    publisher.send_all(&film.headers);
    publisher.send_all(&film.group(9));
    publisher.settle();
    let mut players = relay.on_each_worker(2, || Wire::play(relay.address(), "film"));
    for player in &mut players {
        player.until_number(kind::AUDIO, 9);
        set_paused(player, true);
        player.until_status("NetStream.Pause.Notify");
    }
    publisher.send_all(&film.more(5));
    publisher.settle();
    for player in &mut players {
        set_paused(player, false);
        player.until_status("NetStream.Unpause.Notify");
        let got = media_of(&player.until_number(kind::AUDIO, 14));
        let numbers: Vec<_> = got.iter().map(|media| media.number().unwrap()).collect();
        assert_eq!(numbers, [10, 10, 11, 11, 12, 12, 13, 13, 14, 14]);
    }
}

/// Publishes groups of `film` until `player`, which is to come over to it, has one; what it got.
/// Another worker may ask for the stream only when the first has passed.
fn until_switched(player: &mut Wire, publisher: &mut Wire, film: &mut Film) -> Vec<Media> {
    for _ in 0..100 {
        publisher.send_all(&film.group(9));
        publisher.settle();
        pause(Duration::from_millis(50));
        let got = media_of(&player.settle());
        if got.iter().any(|media| media.number().is_some()) {
            return got;
        }
    }
    panic!("the player stays where it was");
}

#[test]
fn regression_play2_goes_on_from_a_stream_that_has_ended() {
    let relay = Relay::start(&["--grace", "0", "--workers", "1"]);
    let (mut one, mut two) = (Film::new("one", 3_600_000), Film::new("two", 1_000));
    let mut first = Wire::publish(relay.address(), "one");
    let mut second = Wire::publish(relay.address(), "two");
    first.send_all(&one.headers);
    second.send_all(&two.headers);
    second.send_all(&two.group(9));
    second.settle();
    let group = one.group(5);
    let mut player = Wire::play(relay.address(), "one");
    first.send_all(&group);
    let got = media_of(&player.until_number(kind::AUDIO, group[11].number().unwrap()));
    let last = got.last().unwrap().time;
    // The second request is for what the first was for, which is given up.
    for _ in 0..2 {
        player.command(1, commands::switch("two"));
        player.until_status("NetStream.Play.Transition");
    }
    first.finish();
    relay.wait_log(&["stream=\"live/one\" over"]);
    let got = until_switched(&mut player, &mut second, &mut two);
    assert_time_goes_on(&got);
    let first = got[0].time;
    assert!(
        (last..last + 1_000).contains(&first),
        "{last}, then {first}"
    );
}

#[test]
fn regression_play2_keeps_the_timeline() {
    let relay = Relay::start(&["--workers", "2", "--grace", "1"]);
    let mut one = Film::new("one", 3_600_000);
    // Both ways across 2^24 ms, where a time takes more room.
    for begin in [1_000, 16_777_100, 100_000_000] {
        let mut two = Film::new("two", begin);
        let mut first = Wire::publish(relay.address(), "one");
        let mut second = Wire::publish(relay.address(), "two");
        first.send_all(&one.headers);
        second.send_all(&two.headers);
        let group = one.group(5);
        let mut player = Wire::play(relay.address(), "one");
        first.send_all(&group);
        let mut got = media_of(&player.until_number(kind::AUDIO, group[11].number().unwrap()));
        player.command(1, commands::switch("two"));
        player.until_status("NetStream.Play.Transition");
        let last = got.last().unwrap().time;
        got = until_switched(&mut player, &mut second, &mut two);
        assert_time_goes_on(&got);
        let times: Vec<u32> = got.iter().map(|media| media.time).collect();
        assert!(
            (last..last + 1_000).contains(&times[0]),
            "{last}, then {times:?}"
        );
        let sent = two.group(0)[0].time - begin;
        assert!(times[times.len() - 1] - times[0] <= sent, "{times:?}");
        // What is sent is what was published.
        assert!(got.iter().all(|media| media.is_header()
            || media.kind == kind::DATA
            || media.number().is_some()));
        first.finish();
        second.finish();
        player.until_closed();
        pause(Duration::from_millis(100));
    }
}

/// E-RTMP v2 "Multitrack Streaming via Enhanced RTMP": a picture of one track of AVC.
fn picture_of(track: u8, key: Key, number: u8) -> Media {
    let first = match key {
        Key::Yes => 0x96,
        Key::No => 0xA6,
    };
    let time = u32::from(number) * 40;
    let body = [&[first, 0x01][..], b"avc1", &[track, 0, 0, 0, number]].concat();
    Media::new(kind::VIDEO, time, body)
}

/// Of a stream of two tracks whose key frames come at different times.
#[test]
fn regression_each_track_begins_with_its_key_frame() {
    let relay = Relay::start(&["--workers", "2", "--http", "127.0.0.1:0"]);
    let mut publisher = Wire::publish(relay.address(), "film");
    let mut send = |numbers: std::ops::Range<u8>| {
        for number in numbers {
            let key = |at| if number % 20 == at { Key::Yes } else { Key::No };
            publisher.send(&picture_of(0, key(0), number));
            publisher.send(&picture_of(1, key(10), number));
            let time = u32::from(number) * 40 + 10;
            publisher.send(&Media::sound(time, number.into(), 50));
        }
        publisher.settle();
    };
    send(0..25);
    let mut players = relay.on_each_worker(2, || Wire::play(relay.address(), "film"));
    let mut by_http: Vec<FlvPlayer> = [Way::Plain, Way::WebSocket]
        .map(|way| FlvPlayer::play(relay.http(), "film", way))
        .into();
    let mut got: Vec<Vec<Media>> = Vec::new();
    for player in &mut players {
        got.push(media_of(&player.until_number(kind::AUDIO, 24)));
    }
    for player in &mut by_http {
        got.push(player.until_number(kind::AUDIO, 24));
    }
    send(25..40);
    for (player, got) in players.iter_mut().zip(&mut got) {
        got.extend(media_of(&player.until_number(kind::AUDIO, 39)));
    }
    for (player, got) in by_http.iter_mut().zip(&mut got[2..]) {
        got.extend(player.until_number(kind::AUDIO, 39));
    }
    for got in got {
        let numbers_of = |track| {
            let pictures = got.iter().filter(|media| media.kind == kind::VIDEO);
            let of_track = pictures.filter(|media| media.payload[6] == track);
            of_track.map(|media| media.payload[10]).collect::<Vec<_>>()
        };
        assert_eq!(numbers_of(0), (20..40).collect::<Vec<_>>());
        assert_eq!(numbers_of(1), (30..40).collect::<Vec<_>>());
    }
}

#[test]
fn regression_play2_while_paused_stays_paused() {
    let relay = Relay::start(&["--workers", "2"]);
    let mut films = ["one", "two"].map(|name| Film::new(name, 1_000));
    let mut publishers = ["one", "two"].map(|name| Wire::publish(relay.address(), name));
    for (publisher, film) in publishers.iter_mut().zip(&mut films) {
        publisher.send_all(&film.headers);
        publisher.send_all(&film.group(4));
        publisher.settle();
    }
    let mut players = relay.on_each_worker(2, || Wire::play(relay.address(), "one"));
    for player in &mut players {
        player.until_number(kind::AUDIO, 4);
        set_paused(player, true);
        player.until_status("NetStream.Pause.Notify");
        player.command(1, commands::switch("two"));
        player.until_status("NetStream.Play.Transition");
        // By now the worker has asked for the stream where it is.
        player.spread();
    }
    let [_, publisher] = &mut publishers;
    publisher.send_all(&films[1].group(4));
    publisher.settle();
    for player in &mut players {
        player.until_status("NetStream.Play.TransitionComplete");
        let got = media_of(&player.settle());
        assert!(got.is_empty(), "{got:?}");
        set_paused(player, false);
        player.until_status("NetStream.Unpause.Notify");
        let got = media_of(&player.until_number(kind::AUDIO, 9));
        let first = got.iter().find(|media| media.number().is_some());
        assert!(first.unwrap().is_key(), "{got:?}");
    }
}

#[test]
fn regression_a_seek_reaches_as_far_on_every_worker() {
    let relay = Relay::start(&["--workers", "2", "--window", "60"]);
    let mut film = Film::new("film", 10_000);
    let mut publisher = Wire::publish(relay.address(), "film");
    publisher.send_all(&film.headers);
    for _ in 0..4 {
        publisher.send_all(&film.group(9));
    }
    publisher.settle();
    // They come when all of that is there.
    let mut players = relay.on_each_worker(2, || Wire::play(relay.address(), "film"));
    for player in &mut players {
        let got = media_of(&player.until_number(kind::AUDIO, 39));
        assert_eq!(got.iter().find_map(Media::number), Some(30), "{got:?}");
        player.command(1, commands::seek(10_100.0));
        let got = media_of(&player.until_number(kind::AUDIO, 39));
        assert_eq!(got.iter().find_map(Media::number), Some(0), "{got:?}");
    }
}
