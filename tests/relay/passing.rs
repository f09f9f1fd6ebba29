//! What passes through relays that fetch from and hand on to each other: every message as it was
//! sent, whatever is in it. Enhanced RTMP with its codecs, tracks and metadata, data messages, and
//! what the relay does not understand.

use support::packets::assert_list;
use support::relay::Relay;
use support::wire::{Key, Media, Wire, media_of};
use tailwater::rtmp::amf0::Encoder;
use tailwater::rtmp::message::kind;

/// Frame types, and packet types of E-RTMP v2 "Enhanced Video" and "Enhanced Audio".
const KEY: u8 = 1;
const INTER: u8 = 2;
const START: u8 = 0;
const FRAMES: u8 = 1;
const END: u8 = 2;
const FRAMES_X: u8 = 3;
const COLOUR: u8 = 4;
const CHANNELS: u8 = 4;
const TRACKS_AUDIO: u8 = 5;
const TRACKS_VIDEO: u8 = 6;
const MOD_EX: u8 = 7;

fn video(time: u32, frame: u8, packet: u8, rest: &[&[u8]]) -> Media {
    let first = [0x80 | frame << 4 | packet];
    Media::new(kind::VIDEO, time, [&first, &rest.concat()[..]].concat())
}

fn audio(time: u32, packet: u8, rest: &[&[u8]]) -> Media {
    Media::new(
        kind::AUDIO,
        time,
        [&[0x90 | packet], &rest.concat()[..]].concat(),
    )
}

/// Length in three bytes, then the body.
fn sized(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&len[1..], body].concat()
}

fn data(time: u32, name: &str, text: &str) -> Media {
    let mut payload = Vec::new();
    let mut amf = Encoder::new(&mut payload);
    amf.string(name).begin_object();
    amf.string_property("text", text).end_object();
    Media::new(kind::DATA, time, payload)
}

/// Headers of several codecs and tracks: what a player needs that comes later.
fn headers(time: u32) -> Vec<Media> {
    let picture = [7; 300];
    vec![
        Media::metadata(time, "as from an encoder"),
        video(time, KEY, START, &[b"hvc1", b"configuration of HEVC"]),
        video(time, KEY, COLOUR, &[b"hvc1", b"\x02\x00\x09colorInfo\x05"]),
        // One track with a codec of its own, and two of one codec.
        video(time, KEY, TRACKS_VIDEO, &[&[START], b"av01", &[3], b"AV1"]),
        video(
            time,
            KEY,
            TRACKS_VIDEO,
            &[
                &[0x10 | START],
                b"avc1",
                &[1],
                &sized(b"one"),
                &[2],
                &sized(&picture),
            ],
        ),
        audio(time, START, &[b"Opus", b"OpusHead, and more"]),
        audio(time, CHANNELS, &[b"Opus", &[1, 2, 0, 0, 0, 3]]),
        audio(
            time,
            TRACKS_AUDIO,
            &[&[START], b"fLaC", &[1], b"fLaC, and more"],
        ),
    ]
}

/// A group of pictures of all that, and what else may be between them.
fn pictures(time: u32) -> Vec<Media> {
    let frame = |first: u8, len: usize| vec![first; len];
    vec![
        video(time, KEY, FRAMES, &[b"hvc1", &[0, 0, 40], &frame(1, 9_000)]),
        audio(time, FRAMES, &[b"Opus", &frame(2, 200)]),
        video(time + 10, INTER, FRAMES_X, &[b"hvc1", &frame(3, 4_096)]),
        // Nanoseconds before the frame: E-RTMP v2 "ModEx".
        video(
            time + 12,
            INTER,
            MOD_EX,
            &[&[2, 0, 1, 200, FRAMES_X], b"hvc1", &frame(4, 128)],
        ),
        video(
            time + 20,
            KEY,
            TRACKS_VIDEO,
            &[
                &[0x20 | FRAMES_X],
                b"av01",
                &[3],
                &sized(&frame(5, 70_000)),
                b"vp09",
                &[4],
                &sized(b""),
            ],
        ),
        audio(
            time + 21,
            TRACKS_AUDIO,
            &[
                &[0x10 | FRAMES],
                b"fLaC",
                &[1],
                &sized(&frame(6, 500)),
                &[2],
                &sized(&frame(7, 1)),
            ],
        ),
        data(time + 22, "onTextData", "said"),
        data(time + 23, "onCuePoint", "a word from our sponsors"),
        // A command in a video message, silence, and what nobody knows.
        Media::new(kind::VIDEO, time + 24, vec![0x57, 0]),
        Media::new(kind::AUDIO, time + 25, Vec::new()),
        video(time + 26, INTER, 13, &[b"none", &frame(8, 40)]),
        Media::new(kind::DATA, time + 27, vec![0xFF; 50]),
        Media::metadata(time + 28, "another"),
        video(time + 29, KEY, END, &[b"hvc1"]),
        video(time + 30, KEY, START, &[b"hvc1", b"another configuration"]),
        video(time + 30, KEY, FRAMES_X, &[b"hvc1", &frame(9, 600)]),
        Media::sound(time + 40, time, 300),
    ]
}

/// As encoders send it: metadata wrapped in what is for the server.
fn publish(publisher: &mut Wire, messages: &[Media]) {
    for media in messages {
        let mut media = media.clone();
        if media.kind == kind::DATA && media.payload.starts_with(b"\x02\x00\x0AonMetaData") {
            media.payload.splice(0..0, *b"\x02\x00\x0D@setDataFrame");
        }
        publisher.send(&media);
    }
}

/// Players of `live/cam` at each relay get what is published at the first, those that were there
/// as well as those that come later.
#[track_caller]
fn check(all: &[(&str, &Relay)]) {
    let mut publisher = Wire::publish(all[0].1.address(), "cam");
    let mut begin = headers(0);
    begin.push(Media::picture(Key::Yes, 0, 1, 600));
    begin.push(Media::sound(1, 1, 300));
    publish(&mut publisher, &begin);
    let join = || {
        all.iter()
            .map(|(_, relay)| Wire::play(relay.address(), "cam"))
    };
    let mut players: Vec<Wire> = join().collect();
    for player in &mut players {
        player.until_number(kind::AUDIO, 1);
    }
    let mut sent = pictures(2_000);
    sent.extend(pictures(3_000));
    publish(&mut publisher, &sent);
    for ((place, _), player) in all.iter().zip(&mut players) {
        let got = media_of(&player.until_number(kind::AUDIO, 3_000));
        assert_list(place, &got, &sent);
    }
    // Who comes now gets the newest headers, everywhere the same.
    let mut late: Vec<Wire> = join().collect();
    let mut got = late.iter_mut().map(|player| {
        let mut got = media_of(&player.until_number(kind::AUDIO, 3_000));
        got.sort_by_key(|media| (media.kind, media.time, media.payload.clone()));
        got
    });
    let wanted = got.next().unwrap();
    let has = |codec: &[u8]| {
        let has_it = |media: &Media| media.payload.windows(4).any(|word| word == codec);
        wanted.iter().any(has_it)
    };
    for codec in [&b"hvc1"[..], b"av01", b"avc1", b"fLaC"] {
        assert!(has(codec), "no {codec:?} in {wanted:?}");
    }
    // AAC has come since on the track that had it.
    assert!(!has(b"Opus"), "{wanted:?}");
    for ((place, _), got) in all[1..].iter().zip(got) {
        assert_list(place, &got, &wanted);
    }
}

#[test]
fn a_chain_of_edges_passes_every_message_on_as_it_came() {
    let origin = Relay::start(&[]);
    let rule = format!("rtmp://{}", origin.address());
    let middle = Relay::start(&["--pull", &rule]);
    let rule = format!("rtmp://{}", middle.address());
    let edge = Relay::start(&["--pull", &rule, "--workers", "2"]);
    let all = [
        ("at the origin", &origin),
        ("at its edge", &middle),
        ("at the edge of that", &edge),
    ];
    check(&all);
}

#[test]
fn a_chain_of_pushes_hands_every_message_on_as_it_came() {
    let last = Relay::start(&[]);
    let rule = format!("rtmp://{}", last.address());
    let middle = Relay::start(&["--push", &rule]);
    let rule = format!("rtmp://{}", middle.address());
    let first = Relay::start(&["--push", &rule]);
    let all = [
        ("where it is published", &first),
        ("where it is handed on to", &middle),
        ("where that hands it on to", &last),
    ];
    check(&all);
}
