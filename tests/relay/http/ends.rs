//! How playing by HTTP ends, and what it outlasts.

use std::time::Duration;

use rustix::process::Signal;

use super::{both_ways, media_up_to, publisher, relay_with};
use support::http::{Ending, FlvPlayer, Http, Way};
use support::packets::assert_list;
use support::relay::Relay;
use support::wire::{Film, Key, Media, Settings, Wire, media_of};
use support::{SOON, now, pause};
use tailwater::rtmp::message::kind;

#[test]
fn the_end_of_a_stream_is_the_end_of_the_body_or_a_close_that_says_why() {
    let relay = relay_with(&["--workers", "2", "--grace", "0"]);
    let mut film = Film::new("film", 0);
    let (publisher, sent) = publisher(&relay, "film", &mut film);
    let players =
        Way::BOTH.map(|way| relay.on_each_worker(2, || FlvPlayer::play(relay.http(), "film", way)));
    let mut players: Vec<FlvPlayer> = players.into_iter().flatten().collect();
    publisher.finish();
    for player in &mut players {
        let (got, ending) = player.until_closed(SOON);
        assert_eq!(got.last(), sent.last());
        match ending {
            Ending::Closed(in_order) => assert!(in_order),
            Ending::Told(code, why) => {
                assert_eq!((code, why.as_str()), (1000, "the stream is over"));
            }
        }
    }
    relay.wait_stat("connections", 0);
}

#[test]
fn players_stay_while_their_publisher_is_away_and_time_goes_on() {
    let relay = relay_with(&["--workers", "2", "--grace", "15", "--takeover", "replace"]);
    let mut film = Film::new("film", 5_000);
    let (first, sent) = publisher(&relay, "film", &mut film);
    let mut rtmp = Wire::play(relay.address(), "film");
    let players =
        Way::BOTH.map(|way| relay.on_each_worker(2, || FlvPlayer::play(relay.http(), "film", way)));
    let mut players: Vec<FlvPlayer> = players.into_iter().flatten().collect();
    for player in &mut players {
        media_up_to(player, &sent);
    }
    let last = sent.last().unwrap();
    rtmp.until_number(last.kind, last.number().unwrap());
    drop(first);
    relay.wait_stat("publishers", 0);
    // It comes back with a time of its own.
    let mut second_film = Film::new("again", 0).numbered_from(100);
    let mut second = Wire::publish(relay.address(), "film");
    second.send_all(&second_film.headers);
    let group = second_film.group(4);
    second.send_all(&group);
    let end = group.last().unwrap();
    let wanted = media_of(&rtmp.until_number(end.kind, end.number().unwrap()));
    assert!(wanted.iter().filter(|media| media.is_header()).count() >= 2);
    assert!(
        wanted.iter().all(|media| media.time >= last.time),
        "{wanted:?}"
    );
    for player in &mut players {
        assert_list("after the gap", &media_up_to(player, &group), &wanted);
    }
    // And another takes over while that one is there.
    let mut third_film = Film::new("third", 0).numbered_from(200);
    let mut third = Wire::publish(relay.address(), "film");
    third.send_all(&third_film.headers);
    let group = third_film.group(4);
    third.send_all(&group);
    let end = group.last().unwrap();
    let wanted = media_of(&rtmp.until_number(end.kind, end.number().unwrap()));
    for player in &mut players {
        assert_list("after the takeover", &media_up_to(player, &group), &wanted);
    }
}

#[test]
fn who_is_away_too_long_ends_the_stream() {
    let relay = relay_with(&["--grace", "1"]);
    let mut film = Film::new("film", 0);
    let (publisher, sent) = publisher(&relay, "film", &mut film);
    let mut players = both_ways(&relay, "film");
    drop(publisher);
    for player in &mut players {
        let (got, ending) = player.until_closed(SOON);
        assert_eq!(got.last(), sent.last());
        assert_ne!(ending, Ending::Closed(false));
    }
}

fn ending_away() -> Ending {
    Ending::Told(1001, "the relay stops".to_owned())
}

#[test]
fn regression_close_codes_say_why_a_stream_ends() {
    let relay = relay_with(&[
        "--admin",
        "127.0.0.1:0",
        "--workers",
        "2",
        "--play-wait",
        "1",
    ]);
    let mut film = Film::new("film", 0);
    let (_publisher, sent) = publisher(&relay, "film", &mut film);
    let players = relay.on_each_worker(2, || {
        let mut http = Http::connect(relay.http());
        let offered = "Sec-WebSocket-Protocol: flv.v1, other\r\n";
        http.send(Way::WebSocket.request("/live/film.flv", offered));
        let mut player = FlvPlayer::over(http, Way::WebSocket);
        let answer = player.begin(SOON);
        assert_eq!(answer.field("sec-websocket-protocol"), Some("flv.v1"));
        player
    });
    for mut player in players {
        media_up_to(&mut player, &sent);
        kick(&relay, &player);
        let (_, ending) = player.until_closed(SOON);
        assert_eq!(
            ending,
            Ending::Told(1008, "the operator ended it".to_owned())
        );
    }
    // One that is kicked while it waits, and one that asks for what is not served.
    for way in Way::BOTH {
        let mut waiting = FlvPlayer::ask(relay.http(), "later", way);
        relay.wait_log(&["accepted", &waiting.local_address().to_string()]);
        kick(&relay, &waiting);
        match way {
            Way::Plain => assert_eq!(waiting.http.answer(true).status, 403),
            Way::WebSocket => {
                waiting.begin(SOON);
                let told = waiting.until_closed(SOON).1;
                assert!(matches!(told, Ending::Told(1008, _)), "{told:?}");
            }
        }
    }
}

/// Closes the connection of `player` as an operator does.
#[track_caller]
fn kick(relay: &Relay, player: &FlvPlayer) {
    let line = relay.wait_log(&["accepted", &format!("peer={} ", player.local_address())]);
    let id = line
        .split("conn=")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    let mut admin = Http::connect(relay.admin());
    let answer = admin.request("DELETE", &format!("/api/v1/clients/{id}"), "");
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn a_relay_that_stops_serves_for_as_long_as_it_may_and_then_says_so() {
    let mut relay = relay_with(&["--workers", "2", "--drain", "2"]);
    let mut film = Film::new("film", 0);
    let (mut publisher, sent) = publisher(&relay, "film", &mut film);
    let mut players = both_ways(&relay, "film");
    for player in &mut players {
        media_up_to(player, &sent);
    }
    let mut waiting = FlvPlayer::ask(relay.http(), "nothing", Way::Plain);
    let mut waiting_socket = FlvPlayer::ask(relay.http(), "nothing", Way::WebSocket);
    relay.wait_stat("connections", 5);
    let begun = now();
    relay.signal(Signal::TERM);
    pause(Duration::from_millis(500));
    let more = film.group(4);
    publisher.send_all(&more);
    for player in &mut players {
        assert_list("while it drains", &media_up_to(player, &more), &more);
    }
    let answer = waiting.http.answer(true);
    assert_eq!(answer.status, 503, "{answer:?}");
    waiting_socket.begin(SOON);
    assert_eq!(waiting_socket.until_closed(SOON).1, ending_away());
    for player in &mut players {
        let (_, ending) = player.until_closed(SOON);
        match ending {
            Ending::Closed(in_order) => assert!(in_order),
            told @ Ending::Told(..) => assert_eq!(told, ending_away()),
        }
    }
    assert!(
        begun.elapsed() >= Duration::from_millis(1_900),
        "{:?}",
        begun.elapsed()
    );
    relay.ended(SOON);
}

#[test]
fn who_says_no_more_is_served_on() {
    let relay = relay_with(&["--workers", "1"]);
    let mut film = Film::new("film", 0);
    // One says so while it waits, one while it plays.
    let mut waiting = FlvPlayer::ask(relay.http(), "film", Way::Plain);
    waiting.http.finish();
    relay.wait_stat("connections", 1);
    pause(Duration::from_millis(300));
    let (mut publisher, sent) = publisher(&relay, "film", &mut film);
    waiting.begin(SOON);
    let mut playing = FlvPlayer::play(relay.http(), "film", Way::Plain);
    playing.http.finish();
    assert_list("from the start", &media_up_to(&mut waiting, &sent), &sent);
    for _ in 0..5 {
        let more = film.group(4);
        publisher.send_all(&more);
        publisher.spread();
        assert_list("later", &media_up_to(&mut waiting, &more), &more);
        media_up_to(&mut playing, &more);
        pause(Duration::from_millis(100));
    }
    drop((waiting, playing));
    // They are gone as soon as something cannot be sent.
    publisher.send_all(&film.group(4));
    pause(Duration::from_millis(200));
    publisher.send_all(&film.group(4));
    relay.wait_stat("connections", 1);
}

#[test]
fn pings_are_answered_amid_media_and_a_close_is_answered_and_ends_it() {
    let relay = relay_with(&[]);
    let mut film = Film::new("film", 0);
    let (mut publisher, sent) = publisher(&relay, "film", &mut film);
    let mut player = FlvPlayer::play(relay.http(), "film", Way::WebSocket);
    media_up_to(&mut player, &sent);
    for number in 0..20_u8 {
        player.frame(0x89, &[number; 3]);
        player.frame(0x82, &[0; 200]);
        player.frame(0x8A, b"unasked");
        let more = film.group(2);
        publisher.send_all(&more);
        assert_list("amid pings", &media_up_to(&mut player, &more), &more);
    }
    player.frame(0x89, b"the last");
    let until = now() + SOON;
    while player.pongs.len() < 21 && now() < until {
        player.listen(Duration::from_millis(20));
    }
    let pongs: Vec<Vec<u8>> = (0..20).map(|number| vec![number; 3]).collect();
    assert_eq!(player.pongs[..20], pongs);
    assert_eq!(player.pongs[20], b"the last");
    player.frame(0x88, &1000_u16.to_be_bytes());
    let (_, ending) = player.until_closed(SOON);
    assert!(matches!(ending, Ending::Told(1000, _)), "{ending:?}");
    relay.wait_stat("connections", 1);
}

#[test]
fn the_relay_pings_whom_it_has_not_heard_of() {
    let relay = relay_with(&["--ping", "1"]);
    let mut film = Film::new("film", 0);
    let (_publisher, _) = publisher(&relay, "film", &mut film);
    let mut player = FlvPlayer::play(relay.http(), "film", Way::WebSocket);
    let until = now() + SOON;
    while player.pings == 0 && now() < until {
        player.listen(Duration::from_millis(100));
    }
    assert!(player.pings > 0);
}

/// Groups of large pictures, of which a player that does not read has to lose some.
fn long_film() -> Vec<Media> {
    let mut film = vec![Media::metadata(0, "film"), Media::avc_header(0)];
    for number in 0..300 {
        let key = if number % 10 == 0 { Key::Yes } else { Key::No };
        film.push(Media::picture(key, 40 * number, number, 40_000));
    }
    film
}

/// Whether `got` is the film with holes, behind each of which are the headers and a key frame;
/// how many.
#[track_caller]
fn holes(got: &[Media], film: &[Media]) -> usize {
    let (mut holes, mut next, mut at) = (0, 0, 0);
    while at < got.len() {
        if film.get(next) == Some(&got[at]) {
            next += 1;
            at += 1;
            continue;
        }
        let key = got
            .get(at + 2)
            .unwrap_or_else(|| panic!("ends behind {:?}", got[at]));
        assert!(key.is_key(), "{key:?} behind a hole");
        let headers: Vec<Media> = film[..2].iter().map(|header| header.at(key.time)).collect();
        assert_list("behind a hole", &got[at..at + 2], &headers);
        let found = film.iter().position(|sent| sent == key);
        let found = found.unwrap_or_else(|| panic!("{key:?} is damaged"));
        assert!(found > next, "{key:?} comes again");
        holes += 1;
        next = found;
        at += 2;
    }
    assert_eq!(next, film.len(), "the end is missing");
    holes
}

#[test]
fn slow_players_jump_to_the_newest_key_frame_as_those_by_rtmp_do() {
    let flags = [
        "--sndbuf",
        "64k",
        "--lag-max",
        "1m",
        "--log-bytes",
        "2m",
        "--grace",
        "0",
    ];
    let relay = relay_with(&flags);
    let film = long_film();
    let small = Some(64 * 1024);
    let mut publisher = Wire::publish(relay.address(), "film");
    publisher.send_all(&film[..2]);
    publisher.settle();
    let settings = Settings {
        receive_buffer: small,
        ..Settings::default()
    };
    let mut fast = both_ways(&relay, "film");
    let mut rtmp = Wire::play_with(relay.address(), "film", &settings);
    let mut slow = Way::BOTH.map(|way| {
        let mut player = FlvPlayer::ask_with(relay.http(), "film", way, small);
        player.begin(SOON);
        player
    });
    let (most, rest) = film[2..].split_at(250);
    for pictures in most.chunks(10) {
        publisher.send_all(pictures);
        for player in &mut fast {
            assert_list("the fast", &pictures_up_to(player, pictures), pictures);
        }
    }
    std::thread::scope(|scope| {
        let rtmp = scope.spawn(|| media_of(&rtmp.until_closed()));
        let slow = slow.each_mut();
        let slow = slow.map(|player| scope.spawn(|| player.until_closed(SOON).0));
        for picture in rest {
            publisher.send(picture);
            pause(Duration::from_millis(10));
        }
        pause(Duration::from_millis(500));
        publisher.finish();
        let got = rtmp.join().unwrap();
        assert!(holes(&got, &film) > 0, "by RTMP: {}", got.len());
        for got in slow.map(|player| player.join().unwrap()) {
            assert!(holes(&got, &film) > 0, "{} messages", got.len());
            assert!(got.len() < film.len() / 2, "{} messages", got.len());
        }
    });
}

/// The media up to the last of `sent`, without headers.
#[track_caller]
fn pictures_up_to(player: &mut FlvPlayer, sent: &[Media]) -> Vec<Media> {
    let got = media_up_to(player, sent);
    let is_picture = |media: &Media| media.kind == kind::VIDEO && !media.is_header();
    got.into_iter().filter(is_picture).collect()
}

#[test]
fn who_takes_nothing_or_cannot_keep_up_is_closed() {
    let flags = [
        "--sndbuf",
        "64k",
        "--lag-max",
        "512k",
        "--log-bytes",
        "2m",
        "--send-timeout",
        "2",
        "--skips-max",
        "2",
    ];
    let relay = relay_with(&flags);
    let mut publisher = Wire::publish(relay.address(), "film");
    let film = long_film();
    publisher.send_all(&film[..3]);
    publisher.settle();
    let deaf = Way::BOTH.map(|way| {
        let mut player = FlvPlayer::ask_with(relay.http(), "film", way, Some(16 * 1024));
        player.begin(SOON);
        player
    });
    relay.wait_players(2);
    let mut slow = FlvPlayer::ask_with(relay.http(), "film", Way::WebSocket, Some(16 * 1024));
    slow.begin(SOON);
    let begun = now();
    let mut at = 3;
    // The slow one takes a little from time to time.
    while relay.stats().get("players").copied().unwrap_or(0) > 0 && begun.elapsed() < SOON {
        publisher.send_all(
            &film[at..at + 10]
                .iter()
                .map(|media| media.at(40))
                .collect::<Vec<_>>(),
        );
        at = if at + 20 > film.len() { 12 } else { at + 10 };
        slow.next(Duration::from_millis(30));
        pause(Duration::from_millis(30));
    }
    let log = relay.log();
    for player in &deaf {
        let address = player.local_address().to_string();
        let line = log
            .lines()
            .find(|line| line.contains("closed") && line.contains(&address));
        let line = line.unwrap_or_default();
        let ok = line.contains("reason=send_timeout") || line.contains("reason=too_many_skips");
        assert!(ok, "{line:?}");
    }
    let address = slow.local_address().to_string();
    let line = relay.wait_log(&["closed", &address]);
    assert!(line.contains("reason=too_many_skips"), "{line}");
    let (_, ending) = slow.until_closed(SOON);
    assert!(!matches!(ending, Ending::Told(1000, _)), "{ending:?}");
}

#[test]
fn a_player_that_comes_back_finds_the_stream_again() {
    let relay = relay_with(&["--grace", "0"]);
    for turn in 0..3 {
        let mut film = Film::new("film", 0).numbered_from(100 * turn);
        let (publisher, sent) = publisher(&relay, "film", &mut film);
        let mut players = both_ways(&relay, "film");
        for player in &mut players {
            let got = media_up_to(player, &sent);
            assert_eq!(got.last(), sent.last());
        }
        publisher.finish();
        for player in &mut players {
            player.until_closed(SOON);
        }
    }
}
