//! Edges whose origins lose a stream, never have it, or send them elsewhere: players stay and go
//! on with the origin that has media, and nobody takes the stream from them.

use std::net::SocketAddr;
use std::time::Duration;

use support::origin::{self, Origin, Script};
use support::packets::assert_time_never_steps_back;
use support::relay::Relay;
use support::wire::{Film, Media, Seen, Wire, media_of};
use support::{SOON, now, pause, wait_for};
use tailwater::edge::order::order;
use tailwater::rtmp::amf0::Encoder;
use tailwater::rtmp::client::Action;
use tailwater::rtmp::control::{Control, UserControl};
use tailwater::rtmp::message::{MessageStreamId, kind};

/// A relay that fetches from `origins`.
fn edge_of(origins: &[SocketAddr], flags: &[&str]) -> Relay {
    let urls: Vec<String> = origins.iter().map(|at| format!("rtmp://{at}")).collect();
    let rule = urls.join(",");
    let mut all = vec!["--pull", &rule];
    all.extend(flags);
    Relay::start(&all)
}

/// A stream that is asked for at the first of `origins` first.
fn stream_of_the_first(origins: &[SocketAddr]) -> String {
    let names: Vec<String> = origins.iter().map(ToString::to_string).collect();
    let is_first = |stream: &String| {
        let key = format!("live/{stream}");
        order(&key, names.iter().map(String::as_str))[0] == 0
    };
    (0..).map(|n| format!("cam{n}")).find(is_first).unwrap()
}

/// A publisher that has sent the headers of `film` and its first group.
fn publisher(relay: &Relay, stream: &str, film: &mut Film) -> Wire {
    let mut wire = Wire::publish(relay.address(), stream);
    wire.send_all(&film.headers_again(0));
    wire.send_all(&film.group(4));
    wire
}

/// What an origin answers to play: its start, headers, and a group of `film`.
fn start(film: &mut Film) -> Vec<u8> {
    let mut play = origin::status("NetStream.Play.Start");
    play.extend(origin::chunks(&film.headers_again(0)));
    play.extend(origin::chunks(&film.group(4)));
    play
}

/// An event that begins a stream, which says nothing of media.
fn stream_begin() -> Vec<u8> {
    let mut out = Vec::new();
    Control::User(UserControl::StreamBegin(MessageStreamId(1))).encode(&mut out);
    out
}

fn refused(relay: &Relay, stream: &str) {
    let mut stranger = Wire::connect_to(relay.address(), "live", stream, Action::Publish);
    stranger.until_status("NetStream.Publish.BadName");
    stranger.until_closed();
}

#[test]
fn a_fetched_stream_cannot_be_taken_over() {
    let origin = Relay::start(&["--grace", "30"]);
    let edge = edge_of(
        &[origin.address()],
        &["--workers", "2", "--pull-give-up", "30"],
    );
    let mut film = Film::new("far", 0);
    let mut far = publisher(&origin, "cam", &mut film);
    let mut player = Wire::play(edge.address(), "cam");
    player.until_number(kind::AUDIO, 4);
    // On the worker that fetches it and on the other.
    for _ in 0..4 {
        refused(&edge, "cam");
    }
    far.send_all(&film.group(1));
    player.until_number(kind::AUDIO, 6);
    drop(far);
    edge.wait_log(&["has no media"]);
    for _ in 0..4 {
        refused(&edge, "cam");
    }
    let mut again = Film::new("far", 0).numbered_from(100);
    let _far = publisher(&origin, "cam", &mut again);
    player.until_number(kind::AUDIO, 104);
}

#[test]
fn a_name_that_is_only_asked_for_can_be_published() {
    let origin = Relay::start(&["--play-wait", "20"]);
    let flags = ["--workers", "2", "--play-wait", "20"];
    let edge = edge_of(&[origin.address()], &flags);
    let mut players = edge.on_each_worker(2, || Wire::play(edge.address(), "cam"));
    edge.wait_stat("pulls", 1);
    let mut film = Film::new("near", 0);
    let _near = publisher(&edge, "cam", &mut film);
    for player in &mut players {
        player.until_number(kind::AUDIO, 4);
    }
}

#[test]
fn an_origin_whose_media_stops_makes_room_while_it_answers() {
    let mut film = Film::new("film", 0);
    let first = Origin::scripted(Script {
        play: start(&mut film),
        tick: stream_begin(),
        ..Script::default()
    });
    let good = Relay::start(&[]);
    let origins = [first.address(), good.address()];
    let stream = stream_of_the_first(&origins);
    let mut rest = Film::new("film", 0).numbered_from(50);
    let mut publisher = publisher(&good, &stream, &mut rest);
    let edge = edge_of(&origins, &["--pull-timeout", "1", "--workers", "2"]);
    let mut players = edge.on_each_worker(2, || Wire::play(edge.address(), &stream));
    let mut seen: Vec<Vec<Seen>> = Vec::new();
    for player in &mut players {
        seen.push(player.until_number(kind::AUDIO, 4));
    }
    let begun = now();
    for (player, mut seen) in players.iter_mut().zip(seen) {
        seen.extend(player.until_number(kind::AUDIO, 54));
        assert!(!seen.iter().any(|seen| matches!(seen, Seen::Closed(_))));
        assert_time_never_steps_back(&media_of(&seen));
    }
    println!("figure: failover after media stopped {:?}", begun.elapsed());
    edge.wait_log(&["role=pull", "reason=released", &origins[0].to_string()]);
    publisher.send_all(&rest.group(1));
    players[0].until_number(kind::AUDIO, 56);
    assert_eq!(first.asked().len(), 1);
}

#[test]
fn regression_chatter_without_frames_keeps_no_origin() {
    let mut film = Film::new("film", 0);
    let data = |handler: &str| {
        let mut body = Vec::new();
        Encoder::new(&mut body).string(handler).string("text");
        Media::new(kind::DATA, 5_000, body)
    };
    // Of a server; data that an encoder sends beside media; bytes that make no frame.
    let chatter = [
        data("onPlayStatus"),
        data("onTextData"),
        data("onFI"),
        Media::new(kind::AUDIO, 5_000, vec![0xAF]),
        Media::new(kind::AUDIO, 5_000, vec![0xAF, 2]),
        Media::new(kind::VIDEO, 5_000, vec![0x17]),
    ];
    let first = Origin::scripted(Script {
        play: start(&mut film),
        tick: origin::chunks(&chatter),
        ..Script::default()
    });
    let good = Relay::start(&[]);
    let origins = [first.address(), good.address()];
    let stream = stream_of_the_first(&origins);
    let mut rest = Film::new("film", 0).numbered_from(50);
    let _publisher = publisher(&good, &stream, &mut rest);
    let edge = edge_of(&origins, &["--pull-timeout", "1"]);
    let mut player = Wire::play(edge.address(), &stream);
    player.until_number(kind::AUDIO, 4);
    player.until_number(kind::AUDIO, 54);
}

#[test]
fn an_origin_that_has_no_media_is_left_whatever_it_says() {
    let metadata = origin::chunks(&Film::new("film", 0).headers_again(0));
    let started = origin::status("NetStream.Play.Start");
    for (play, tick) in [
        (Vec::new(), stream_begin()),
        (started.clone(), stream_begin()),
        (started.clone(), started.clone()),
        (started, metadata.clone()),
        (metadata, Vec::new()),
    ] {
        let bad = Origin::scripted(Script {
            play,
            tick,
            ..Script::default()
        });
        let good = Relay::start(&[]);
        let origins = [bad.address(), good.address()];
        let stream = stream_of_the_first(&origins);
        let _publisher = publisher(&good, &stream, &mut Film::new("film", 0));
        let flags = ["--pull-timeout", "1", "--pull-give-up", "20"];
        let edge = edge_of(&origins, &flags);
        Wire::play(edge.address(), &stream).until_number(kind::AUDIO, 4);
        edge.wait_log(&[
            "pull failed",
            &origins[0].to_string(),
            "says or sends nothing",
        ]);
    }
}

#[test]
fn an_origin_whose_media_returns_first_stays() {
    let mut film = Film::new("film", 0);
    let first = Origin::scripted(Script {
        play: start(&mut film),
        ..Script::default()
    });
    let other = Relay::start(&[]);
    let origins = [first.address(), other.address()];
    let stream = stream_of_the_first(&origins);
    let edge = edge_of(&origins, &["--pull-timeout", "4"]);
    let mut player = Wire::play(edge.address(), &stream);
    player.until_number(kind::AUDIO, 4);
    // Several rounds, in which the other one does not have it.
    wait_for("another try", SOON, || {
        let asked = other.log().matches("reason=not_found").count();
        (asked >= 2).then_some(())
    });
    first.say(&origin::chunks(&film.group(4)));
    player.until_number(kind::AUDIO, 9);
    first.say(&origin::chunks(&film.more(2)));
    player.until_number(kind::AUDIO, 11);
    assert_eq!(first.asked().len(), 1);
    // No storm of connections.
    let tries = other.log().matches("accepted").count();
    assert!(tries < 8, "{tries}");
}

#[test]
fn an_edge_is_told_at_once_that_a_publisher_has_gone() {
    let relays = [0, 1].map(|_| Relay::start(&["--grace", "30", "--workers", "2"]));
    let origins = [relays[0].address(), relays[1].address()];
    let stream = stream_of_the_first(&origins);
    let edge = edge_of(&origins, &["--pull-timeout", "30", "--pull-give-up", "60"]);
    let mut films = [0, 500].map(|first| Film::new("film", 0).numbered_from(first));
    let mut publishers: Vec<Wire> = relays
        .iter()
        .zip(&mut films)
        .map(|(relay, film)| publisher(relay, &stream, film))
        .collect();
    let mut player = Wire::play(edge.address(), &stream);
    let mut seen = player.until_number(kind::AUDIO, 4);
    drop(publishers.remove(0));
    let lost = now();
    seen.extend(player.until_number(kind::AUDIO, 504));
    println!(
        "figure: failover after a lost publisher {:?}",
        lost.elapsed()
    );
    assert_time_never_steps_back(&media_of(&seen));
    // Who comes now is sent there at once as well, though the first has a publisher that is away.
    let edge = edge_of(&origins, &["--pull-timeout", "30", "--pull-give-up", "60"]);
    Wire::play(edge.address(), &stream).until_number(kind::AUDIO, 504);
    // A player is told nothing: it would take it for the end.
    let mut here = Wire::play(origins[0], &stream);
    here.until_status("NetStream.Play.Start");
    let told = here.settle();
    let ends = told
        .iter()
        .filter(|seen| matches!(seen, Seen::Control(UserControl::StreamEof(_))));
    assert_eq!(ends.count(), 0);
}

#[test]
fn headers_ahead_of_the_start_reach_players() {
    let mut film = Film::new("film", 0);
    let headers = origin::chunks(&film.headers_again(0));
    let media = origin::chunks(&film.group(4));
    let start = origin::status("NetStream.Play.Start");
    for play in [
        [&headers[..], &start, &media].concat(),
        [&headers[..], &media].concat(),
        [&start[..], &headers, &media].concat(),
    ] {
        let origin = Origin::scripted(Script {
            play,
            ..Script::default()
        });
        let edge = edge_of(&[origin.address()], &["--workers", "2"]);
        for mut player in edge.on_each_worker(2, || Wire::play(edge.address(), "cam")) {
            let media = media_of(&player.until_number(kind::AUDIO, 4));
            let headers: Vec<u8> = media[..3].iter().map(|media| media.kind).collect();
            assert_eq!(headers, [kind::DATA, kind::VIDEO, kind::AUDIO]);
            assert!(media[1].is_header() && media[2].is_header());
            assert!(media[3].is_key());
        }
    }
}

/// Timed data counts for a stream that has nothing else: beside frames it says nothing of those.
#[test]
fn sound_alone_and_timed_data_alone_keep_an_origin() {
    let mut text = Vec::new();
    Encoder::new(&mut text).string("onTextData").string("text");
    let text = Media::new(kind::DATA, 5_000, text);
    let data_alone = origin::status("NetStream.Play.Start");
    for (play, tick) in [
        (start(&mut Film::new("film", 0)), Media::sound(5_000, 9, 40)),
        (data_alone, text),
    ] {
        let first = Origin::scripted(Script {
            play,
            tick: origin::chunks(std::slice::from_ref(&tick)),
            ..Script::default()
        });
        let other = Relay::start(&[]);
        let origins = [first.address(), other.address()];
        let stream = stream_of_the_first(&origins);
        let edge = edge_of(&origins, &["--pull-timeout", "1"]);
        let mut player = Wire::play(edge.address(), &stream);
        let begun = now();
        while begun.elapsed() < Duration::from_millis(2_500) {
            player.until("the tick", |seen| {
                let media = seen.media();
                media.is_some_and(|media| media.payload == tick.payload)
            });
        }
        assert_eq!(other.log().matches("accepted").count(), 0);
    }
}

#[test]
fn a_reconnect_request_is_followed_and_players_miss_nothing() {
    let mut film = Film::new("film", 0);
    let next = Relay::start(&[]);
    let first = Origin::scripted(Script {
        play: start(&mut film),
        ..Script::default()
    });
    let edge = edge_of(&[first.address()], &["--workers", "2"]);
    let mut players = edge.on_each_worker(2, || Wire::play(edge.address(), "cam"));
    let mut seen: Vec<Vec<Seen>> = Vec::new();
    for player in &mut players {
        seen.push(player.until_number(kind::AUDIO, 4));
    }
    let url = format!("rtmp://{}/live", next.address());
    first.say(&origin::reconnect_request(Some(&url)));
    // The next one does not have it yet.
    next.wait_log(&["reason=not_found"]);
    first.say(&origin::chunks(&film.group(4)));
    for (player, seen) in players.iter_mut().zip(&mut seen) {
        seen.extend(player.until_number(kind::AUDIO, 9));
    }
    // Only the origin that asks it to go knows of the next one.
    let mut publisher = Wire::publish(next.address(), "cam");
    publisher.send_all(&film.headers_again(0));
    let group = film.group(4);
    publisher.send_all(&group);
    first.say(&origin::chunks(&group));
    wait_for("the next origin", SOON, || {
        let group = film.group(1);
        publisher.send_all(&group);
        first.say(&origin::chunks(&group));
        pause(Duration::from_millis(100));
        edge.log()
            .contains(&format!("peer={} worker", next.address()))
            .then_some(())
    });
    let last = film.group(1);
    publisher.send_all(&last);
    let number = last.last().and_then(Media::number).unwrap();
    for (player, mut seen) in players.iter_mut().zip(seen) {
        seen.extend(player.until_number(kind::AUDIO, number));
        let media = media_of(&seen);
        assert_time_never_steps_back(&media);
        let numbers = media.iter().filter_map(Media::number);
        let mut numbers: Vec<u32> = numbers.collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers, (0..=number).collect::<Vec<_>>());
    }
}

#[test]
fn the_only_origin_is_stayed_with_until_it_ends() {
    let mut film = Film::new("film", 0);
    let origin = Origin::scripted(Script {
        play: start(&mut film),
        ..Script::default()
    });
    let edge = edge_of(&[origin.address()], &[]);
    let mut player = Wire::play(edge.address(), "cam");
    player.until_number(kind::AUDIO, 4);
    for to in [None, Some("rtmp://elsewhere.invalid/live")] {
        origin.say(&origin::reconnect_request(to));
    }
    // It is asked once more, beside the connection that there is.
    wait_for("another connection", SOON, || {
        origin.say(&origin::chunks(&film.group(1)));
        pause(Duration::from_millis(100));
        (origin.asked().len() >= 2).then_some(())
    });
    let last = film.group(1);
    origin.say(&origin::chunks(&last));
    let number = last.last().and_then(Media::number).unwrap();
    let seen = player.until_number(kind::AUDIO, number);
    assert!(!seen.iter().any(|seen| matches!(seen, Seen::Closed(_))));
}
