//! What a player by HTTP gets: message by message what one by RTMP gets.

use super::{both_ways, media_up_to, relay_with};
use std::time::Duration;
use support::http::{FlvPlayer, Way};
use support::packets::assert_list;
use support::relay::Relay;
use support::wire::{Film, Key, Media, Seen, Wire, media_of};
use tailwater::rtmp::message::kind;

const WORKERS: usize = 2;

/// Players on each worker, by RTMP and in both ways by HTTP.
struct Everybody {
    rtmp: Vec<Wire>,
    http: Vec<FlvPlayer>,
}

impl Everybody {
    /// They ask for the stream; those by HTTP are not answered before it begins.
    fn ask(relay: &Relay, stream: &str) -> Self {
        let rtmp = relay.on_each_worker(WORKERS, || Wire::play(relay.address(), stream));
        let ask = |way| relay.on_each_worker(WORKERS, || FlvPlayer::ask(relay.http(), stream, way));
        Self {
            rtmp,
            http: Way::BOTH.into_iter().flat_map(ask).collect(),
        }
    }

    fn begin(&mut self) {
        for player in &mut self.http {
            player.begin(support::SOON);
        }
    }

    /// Everybody gets the same up to the last of `sent`: the media of the first by RTMP.
    #[track_caller]
    fn get_the_same(&mut self, what: &str, sent: &[Media]) -> Vec<Media> {
        let last = sent.last().unwrap();
        let number = last.number().unwrap();
        let got = self.rtmp.iter_mut();
        let got = got.map(|player| media_of(&player.until_number(last.kind, number)));
        let got: Vec<Vec<Media>> = got.collect();
        for other in &got[1..] {
            assert_list(&format!("{what}, by RTMP"), other, &got[0]);
        }
        for (place, player) in self.http.iter_mut().enumerate() {
            let what = format!("{what}, player {place} by HTTP");
            assert_list(&what, &media_up_to(player, sent), &got[0]);
        }
        got.into_iter().next().unwrap()
    }
}

/// A message of another kind between those of a film.
fn data(time: u32, name: &[u8; 10]) -> Media {
    let mut data = Media::metadata(time, "any");
    data.payload.splice(3..13, *name);
    data
}

#[test]
fn those_that_wait_get_everything_from_the_first_message_on() {
    let relay = relay_with(&["--workers", "2"]);
    let mut everybody = Everybody::ask(&relay, "film");
    let mut film = Film::new("film", 1_000);
    let mut sent = film.headers.clone();
    sent.push(Media::sound(1_000, 900, 300));
    for number in 0..3 {
        sent.extend(film.group(10));
        sent.push(data(1_000 + 400 * number, b"onTextData"));
        // Larger than a block of a log, and than what a frame of WebSocket tells in 16 bits.
        sent.push(Media::picture(
            Key::No,
            1_410 + 400 * number,
            500 + number,
            150_000,
        ));
        sent.push(Media::sound(1_411 + 400 * number, 600 + number, 9));
    }
    let mut publisher = Wire::publish(relay.address(), "film");
    publisher.send_all(&sent);
    everybody.begin();
    let got = everybody.get_the_same("from the start", &sent);
    assert_list("all that was sent", &got, &sent);
}

#[test]
fn late_ones_begin_at_the_newest_key_frame_and_all_go_on_alike() {
    let relay = relay_with(&["--workers", "2"]);
    let mut film = Film::new("film", 1_000);
    let mut publisher = Wire::publish(relay.address(), "film");
    publisher.send_all(&film.headers);
    publisher.send_all(&film.group(24));
    let group = film.group(10);
    publisher.send_all(&group);
    publisher.settle();
    let mut everybody = Everybody::ask(&relay, "film");
    everybody.begin();
    let mut wanted = film.headers_for_new(group[0].time);
    wanted.extend(group);
    let got = everybody.get_the_same("the first group", &wanted);
    assert_list("the first group", &got, &wanted);
    assert!(
        everybody
            .http
            .iter()
            .all(|player| player.kinds == Some((true, true)))
    );
    // Headers and metadata that change, in their places.
    let mut later = film.more(5);
    let mut avc = Media::avc_header(1_900);
    avc.payload.extend_from_slice(b", another");
    later.extend([Media::metadata(1_890, "renamed"), avc.clone()]);
    let group = film.group(5);
    later.extend_from_slice(&group);
    publisher.send_all(&later);
    let got = everybody.get_the_same("what follows", &later);
    assert_list("what follows", &got, &later);
    // Who comes now to a log that is there begins with the new ones.
    let mut rtmp = Wire::play(relay.address(), "film");
    let last = group.last().unwrap();
    let wanted = media_of(&rtmp.until_number(last.kind, last.number().unwrap()));
    let time = group[0].time;
    for header in [
        Media::metadata(0, "renamed"),
        avc.at(time),
        Media::aac_header(time),
    ] {
        assert!(wanted[..3].contains(&header), "{wanted:?}");
    }
    for player in &mut both_ways(&relay, "film") {
        assert_list("the newest", &media_up_to(player, &wanted), &wanted);
    }
}

#[test]
fn times_of_32_bits_pass_24_bits_and_their_own_end() {
    for begin in [0xFF_FFFF - 200, 0x7FFF_FFFF - 200, u32::MAX - 200] {
        let relay = relay_with(&["--workers", "2"]);
        let mut film = Film::new("film", begin);
        let mut publisher = Wire::publish(relay.address(), "film");
        publisher.send_all(&film.headers);
        publisher.send_all(&film.group(2));
        publisher.settle();
        let mut everybody = Everybody::ask(&relay, "film");
        everybody.begin();
        let sent = [film.more(4), film.group(6)].concat();
        publisher.send_all(&sent);
        let got = everybody.get_the_same(&format!("from {begin}"), &sent);
        assert_list("the end", &got[got.len() - sent.len()..], &sent);
    }
}

/// A video message of Enhanced RTMP: frame type, packet type, and what follows.
fn video(time: u32, head: u8, body: &[&[u8]]) -> Media {
    Media::new(kind::VIDEO, time, [&[head][..], &body.concat()].concat())
}

fn audio(time: u32, head: u8, body: &[&[u8]]) -> Media {
    Media::new(kind::AUDIO, time, [&[head][..], &body.concat()].concat())
}

#[test]
fn messages_of_enhanced_rtmp_are_unchanged() {
    let relay = relay_with(&["--workers", "2"]);
    let mut publisher = Wire::publish(relay.address(), "film");
    let configuration = b"a configuration".as_slice();
    let mut sent = vec![
        Media::metadata(0, "film"),
        // Sequence headers: HEVC; a second track of AV1, and two tracks of Opus.
        video(0, 0x90, &[b"hvc1", configuration]),
        video(0, 0x96, &[b"\x00av01\x01", configuration]),
        audio(0, 0x90, &[b"Opus", configuration]),
        audio(0, 0x95, &[b"\x00Opus\x01", configuration]),
    ];
    for time in [0, 40] {
        let first = if time == 0 { 0x90 } else { 0xA0 };
        sent.extend([
            video(time, first | 1, &[b"hvc1\x00\x00\x2A", &[7; 5_000]]),
            video(time, first | 6, &[b"\x01av01\x01", &[8; 3_000]]),
            // Metadata of colours, and a moment of nanoseconds.
            video(time, 0xD4, &[b"hvc1", b"\x02\x00\x09colorInfo\x05"]),
            video(
                time,
                first | 7,
                &[b"\x00\x03\x01\x02\x03\x03hvc1", &[3; 200]],
            ),
            audio(time, 0x91, &[b"Opus", &[9; 200]]),
            audio(time, 0x95, &[b"\x01Opus\x01", &[1; 100]]),
        ]);
    }
    sent.push(Media::sound(41, 1, 100));
    publisher.send_all(&sent);
    publisher.settle();
    let mut everybody = Everybody::ask(&relay, "film");
    everybody.begin();
    let got = everybody.get_the_same("enhanced", &sent);
    let mut headers = 0;
    for media in &sent[5..] {
        assert!(got.contains(media), "{media:?} is missing");
        headers += 1;
    }
    assert_eq!(got.len(), 5 + headers);
}

#[test]
fn sound_alone_and_pictures_alone_are_what_the_file_says_it_has() {
    let relay = relay_with(&[]);
    let mut sound = Wire::publish(relay.address(), "sound");
    sound.send_all(&[Media::aac_header(0), Media::sound(0, 1, 100)]);
    sound.settle();
    let mut pictures = Wire::publish(relay.address(), "pictures");
    pictures.send_all(&[Media::avc_header(0), Media::picture(Key::Yes, 0, 1, 100)]);
    pictures.settle();
    for way in Way::BOTH {
        let mut player = FlvPlayer::play(relay.http(), "sound", way);
        // Sound has no key frames: players take what comes from now on.
        sound.send(&Media::sound(20, 2, 100));
        player.until_number(kind::AUDIO, 2);
        assert_eq!(player.kinds, Some((true, false)));
        let mut player = FlvPlayer::play(relay.http(), "pictures", way);
        player.until_number(kind::VIDEO, 1);
        assert_eq!(player.kinds, Some((false, true)));
    }
}

#[test]
fn without_a_cache_a_player_waits_for_the_next_key_frame() {
    let relay = relay_with(&["--workers", "2", "--gop-cache", "off"]);
    let mut film = Film::new("film", 1_000);
    let mut publisher = Wire::publish(relay.address(), "film");
    publisher.send_all(&film.headers);
    publisher.send_all(&film.group(10));
    publisher.settle();
    let mut everybody = Everybody::ask(&relay, "film");
    everybody.begin();
    for player in &mut everybody.rtmp {
        player.until_status("NetStream.Play.Start");
    }
    publisher.send_all(&film.more(10));
    publisher.spread();
    for player in &mut everybody.http {
        assert_eq!(player.listen(Duration::from_millis(50)), []);
    }
    let group = film.group(10);
    publisher.send_all(&group);
    let mut wanted = film.headers_for_new(group[0].time);
    wanted.extend(group);
    let got = everybody.get_the_same("the next group", &wanted);
    assert_list("the next group", &got, &wanted);
}

#[test]
fn a_second_player_comes_to_a_log_that_is_there_and_one_after_the_last_to_a_new_one() {
    let relay = relay_with(&["--workers", "1"]);
    let mut film = Film::new("film", 0);
    let (mut publisher, _) = super::publisher(&relay, "film", &mut film);
    for _ in 0..3 {
        let sent = film.group(1);
        publisher.send_all(&sent);
        publisher.settle();
        let mut first = both_ways(&relay, "film");
        for player in &mut first {
            let mut wanted = film.headers_for_new(sent[0].time);
            wanted.extend_from_slice(&sent);
            assert_list("the first", &media_up_to(player, &sent), &wanted);
        }
        let group = film.group(4);
        publisher.send_all(&group);
        for player in &mut first {
            assert_list("the first", &media_up_to(player, &group), &group);
        }
        let mut second = both_ways(&relay, "film");
        let mut wanted = film.headers_for_new(group[0].time);
        wanted.extend(group);
        for player in &mut second {
            assert_list("the second", &media_up_to(player, &wanted), &wanted);
        }
        drop((first, second));
        // Of an end alone nothing is made, as the other direction may go on.
        for _ in 0..2 {
            publisher.send_all(&film.more(1));
            publisher.settle();
        }
        relay.wait_stat("connections", 1);
    }
    let seen = publisher.settle();
    assert!(seen.iter().all(|seen| !matches!(seen, Seen::Closed(_))));
}
