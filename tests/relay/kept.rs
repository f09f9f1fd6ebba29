//! What is kept for players that come later: the metadata and the codec headers that are in force,
//! and nothing that another codec or the publisher itself has ended.

use support::SOON;
use support::http::{FlvPlayer, Way};
use support::relay::Relay;
use support::wire::{Film, Key, Media, Wire, media_of};
use tailwater::rtmp::amf0::Encoder;
use tailwater::rtmp::message::kind;

const WORKERS: usize = 2;

fn relay() -> Relay {
    Relay::start(&["--workers", "2", "--http", "127.0.0.1:0"])
}

/// What players on each worker get before the first picture that needs no other, by RTMP, and by
/// HTTP and WebSocket.
#[track_caller]
fn late(relay: &Relay) -> Vec<Vec<Media>> {
    let is_start =
        |media: &Media| matches!(media.payload.first(), Some(0x13 | 0x17)) && !media.is_header();
    let mut all = Vec::new();
    for mut player in relay.on_each_worker(WORKERS, || Wire::play(relay.address(), "cam")) {
        let seen = player.until("picture", |seen| seen.media().is_some_and(is_start));
        all.push(media_of(&seen));
    }
    for way in Way::BOTH {
        for mut player in relay.on_each_worker(WORKERS, || FlvPlayer::ask(relay.http(), "cam", way))
        {
            player.begin(SOON);
            all.push(player.until("picture", is_start));
        }
    }
    for media in &mut all {
        media.pop();
    }
    all
}

/// Every player that comes now gets these bodies first.
#[track_caller]
fn assert_kept(relay: &Relay, publisher: &mut Wire, wanted: &[&Media]) {
    publisher.spread();
    let wanted: Vec<&[u8]> = wanted.iter().map(|media| &media.payload[..]).collect();
    for (place, media) in late(relay).iter().enumerate() {
        let got: Vec<&[u8]> = media.iter().map(|media| &media.payload[..]).collect();
        assert!(got == wanted, "player {place}: {media:?}");
    }
}

/// A data message of strings.
fn data(words: &[&str]) -> Media {
    let mut payload = Vec::new();
    for word in words {
        Encoder::new(&mut payload).string(word);
    }
    Media::new(kind::DATA, 0, payload)
}

#[test]
fn regression_headers_of_a_replaced_codec_are_dropped() {
    let relay = relay();
    let mut publisher = Wire::publish(relay.address(), "cam");
    let film = Film::new("film", 0);
    publisher.send_all(&film.headers);
    let [metadata, avc, aac] = &film.headers[..] else {
        panic!("three headers")
    };
    publisher.send_all(&[Media::sound(0, 1, 50), Media::picture(Key::Yes, 40, 1, 900)]);
    assert_kept(&relay, &mut publisher, &[metadata, avc, aac]);
    // G.711 follows AAC.
    publisher.send(&Media::new(kind::AUDIO, 60, vec![0x7F; 50]));
    publisher.send(&Media::picture(Key::Yes, 80, 2, 900));
    assert_kept(&relay, &mut publisher, &[metadata, avc]);
    // Screen video follows H.264.
    publisher.send(&Media::new(kind::VIDEO, 120, vec![0x13; 900]));
    assert_kept(&relay, &mut publisher, &[metadata]);
    // The same headers as before are no repeats.
    publisher.send_all(&[avc.at(160), aac.at(160)]);
    publisher.send(&Media::picture(Key::Yes, 160, 3, 900));
    assert_kept(&relay, &mut publisher, &[metadata, avc, aac]);
}

#[test]
fn regression_clear_data_frame_clears_what_is_kept() {
    let relay = relay();
    let mut publisher = Wire::publish(relay.address(), "cam");
    let film = Film::new("film", 0);
    let [metadata, avc, _] = &film.headers[..] else {
        panic!("three headers")
    };
    let (title, place) = (data(&["onTitle", "one"]), data(&["onPlace", "here"]));
    publisher.send_all([metadata, avc]);
    publisher.send(&data(&["@setDataFrame", "onTitle", "none yet"]));
    publisher.send(&data(&["@setDataFrame", "onTitle", "one"]));
    publisher.send(&data(&["@setDataFrame", "onPlace", "here"]));
    publisher.send(&data(&["onSomething", "once"]));
    publisher.send(&Media::picture(Key::Yes, 40, 1, 900));
    assert_kept(&relay, &mut publisher, &[metadata, avc, &title, &place]);
    publisher.send(&data(&["@clearDataFrame", "onMetaData"]));
    publisher.send(&Media::picture(Key::Yes, 80, 2, 900));
    assert_kept(&relay, &mut publisher, &[avc, &title, &place]);
    publisher.send(&data(&["@clearDataFrame", "onTitle"]));
    publisher.send(&Media::picture(Key::Yes, 120, 3, 900));
    assert_kept(&relay, &mut publisher, &[avc, &place]);
    publisher.send(metadata);
    publisher.send(&data(&["@clearDataFrame"]));
    publisher.send(&Media::picture(Key::Yes, 160, 4, 900));
    assert_kept(&relay, &mut publisher, &[avc]);
}

#[test]
fn regression_metadata_with_a_long_index_is_kept() {
    let relay = relay();
    let mut publisher = Wire::publish(relay.address(), "cam");
    // A key frame each second for ten hours: 650 KB.
    let mut payload = Vec::new();
    let mut amf = Encoder::new(&mut payload);
    amf.string("@setDataFrame").string("onMetaData");
    amf.begin_ecma_array(3).string_property("title", "film");
    amf.key("keyframes").begin_object();
    for list in ["filepositions", "times"] {
        amf.key(list).strict_array_header(36_000);
        for number in 0..36_000 {
            amf.number(f64::from(number));
        }
    }
    amf.end_object()
        .number_property("width", 640.0)
        .end_object();
    let mut short = Vec::new();
    let mut amf = Encoder::new(&mut short);
    amf.string("onMetaData").begin_ecma_array(2);
    amf.string_property("title", "film");
    amf.number_property("width", 640.0).end_object();
    let short = Media::new(kind::DATA, 0, short);
    let avc = Media::avc_header(0);
    let mut early = Wire::play(relay.address(), "cam");
    publisher.send_all(&[Media::new(kind::DATA, 0, payload), avc.clone()]);
    publisher.send(&Media::picture(Key::Yes, 40, 1, 900));
    assert_kept(&relay, &mut publisher, &[&short, &avc]);
    let seen = media_of(&early.until_number(kind::VIDEO, 1));
    assert_eq!(seen[0].payload, short.payload);
}

#[test]
fn data_frames_reach_targets_as_data_frames() {
    let target = relay();
    let push = format!("rtmp://{}", target.address());
    let relay = Relay::start(&["--push", &push]);
    let mut publisher = Wire::publish(relay.address(), "cam");
    let (avc, title) = (Media::avc_header(0), data(&["onTitle", "one"]));
    publisher.send(&data(&["@setDataFrame", "onTitle", "one"]));
    publisher.send_all([&avc, &Media::picture(Key::Yes, 40, 1, 900)]);
    relay.wait_stat("pushes", 1);
    target.wait_stat("publishers", 1);
    let place = data(&["onPlace", "here"]);
    publisher.send(&data(&["@setDataFrame", "onPlace", "here"]));
    publisher.send(&data(&["onSomething", "once"]));
    publisher.send(&Media::picture(Key::Yes, 80, 2, 900));
    let mut watched = Wire::play(target.address(), "cam");
    watched.until_number(kind::VIDEO, 2);
    assert_kept(&target, &mut watched, &[&title, &avc, &place]);
}

#[test]
fn regression_clear_data_frame_clears_at_edges_and_targets() {
    let target = relay();
    let push = format!("rtmp://{}", target.address());
    let source = Relay::start(&["--push", &push]);
    let pull = format!("rtmp://{}", source.address());
    let http = ["--workers", "2", "--http", "127.0.0.1:0"];
    let edge = Relay::start(&[&["--pull", &pull], &http[..]].concat());
    let mut publisher = Wire::publish(source.address(), "cam");
    let film = Film::new("film", 0);
    let [metadata, avc, _] = &film.headers[..] else {
        panic!("three headers")
    };
    publisher.send_all([metadata, avc]);
    publisher.send(&data(&["@setDataFrame", "onTitle", "one"]));
    publisher.send(&Media::picture(Key::Yes, 40, 1, 900));
    source.wait_stat("pushes", 1);
    target.wait_stat("publishers", 1);
    let relays = [&target, &edge];
    let mut players = [&source, &target, &edge].map(|at| Wire::play(at.address(), "cam"));
    for player in &mut players {
        player.until_number(kind::VIDEO, 1);
    }
    let title = data(&["onTitle", "one"]);
    // An edge is not told which data but metadata is to be kept.
    let rows: [(&[&str], [&[&Media]; 2]); 2] = [
        (&["@clearDataFrame", "onMetaData"], [&[avc, &title], &[avc]]),
        (&["@clearDataFrame"], [&[avc], &[avc]]),
    ];
    for (number, (clear, kept)) in (2..).zip(rows) {
        publisher.send(&data(clear));
        publisher.send(&Media::picture(Key::Yes, number * 40, number, 900));
        for player in &mut players {
            let seen = media_of(&player.until_number(kind::VIDEO, number));
            assert_eq!(seen.len(), 1, "players get the picture alone: {seen:?}");
        }
        for ((relay, player), kept) in relays.iter().zip(&mut players[1..]).zip(kept) {
            assert_kept(relay, player, kept);
        }
    }
}
