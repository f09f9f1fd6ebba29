//! A player that does not read: it loses whole messages and nothing else, comes back at a key
//! frame with the headers in front, and costs the others nothing.

use std::time::Duration;

use rustix::process::Signal;

use support::media;
use support::packets::assert_list;
use support::players::{Player, Program as PlayerProgram};
use support::relay::Relay;
use support::wire::{Key, Media, Settings, Wire, media_of};
use support::{SOON, pause};
use tailwater::rtmp::message::kind;

/// How long the slow ones do not read.
const SILENCE: Duration = Duration::from_secs(10);

/// Pictures a second.
const RATE: u32 = 25;
/// Pictures from one key frame to the next.
const GROUP: u32 = 10;
/// 8 Mbit/s.
const PICTURE_BYTES: usize = 40_000;
/// In all: the silence, and a while before and after.
const PICTURES: u32 = 13 * RATE;

/// Metadata, headers, and pictures each with two pieces of sound.
fn film() -> Vec<Media> {
    let mut film = vec![
        Media::metadata(0, "film"),
        Media::avc_header(0),
        Media::aac_header(0),
    ];
    for number in 0..PICTURES {
        let time = number * 1_000 / RATE;
        let key = if number % GROUP == 0 {
            Key::Yes
        } else {
            Key::No
        };
        film.push(Media::picture(key, time, number, PICTURE_BYTES));
        film.push(Media::sound(time + 1, 2 * number, 200));
        film.push(Media::sound(time + 21, 2 * number + 1, 200));
    }
    film
}

/// What a player got is the film with holes: every message whole, and what follows a hole are
/// the headers and then a key frame. How many holes there are.
#[track_caller]
fn holes(what: &str, got: &[Media], film: &[Media]) -> usize {
    let position = |media: &Media| film.iter().position(|sent| sent == media);
    let headers = &film[..3];
    let mut holes = 0;
    let mut next = 0;
    let mut at = 0;
    while at < got.len() {
        if film.get(next) == Some(&got[at]) {
            next += 1;
            at += 1;
            continue;
        }
        let key = got
            .get(at + headers.len())
            .unwrap_or_else(|| panic!("{what}: ends behind {:?}", got[at]));
        assert!(
            key.is_key(),
            "{what}: {key:?} and no key frame after a hole"
        );
        let wanted: Vec<Media> = headers.iter().map(|header| header.at(key.time)).collect();
        assert_list(
            &format!("{what}: after a hole"),
            &got[at..at + headers.len()],
            &wanted,
        );
        let found = position(key);
        let found = found.unwrap_or_else(|| panic!("{what}: {key:?} is damaged"));
        assert!(found > next, "{what}: {key:?} comes again");
        holes += 1;
        next = found;
        at += headers.len();
    }
    assert_eq!(next, film.len(), "{what}: the end is missing");
    holes
}

#[test]
fn a_player_that_does_not_read_for_ten_seconds_comes_back_at_a_key_frame() {
    // What it has missed is kept all the time, but it lags too far behind.
    check("1m", "16m");
}

#[test]
fn a_player_whose_place_is_gone_comes_back_at_a_key_frame() {
    check("512k", "512k");
}

/// Players that do not read for a while, beside others that do, with a relay that has
/// `--lag-max` and `--log-bytes`.
#[track_caller]
fn check(lag_max: &str, log_bytes: &str) {
    let film = film();
    let mut relay = Relay::start(&[
        "--sndbuf",
        "64k",
        "--lag-max",
        lag_max,
        "--log-bytes",
        log_bytes,
        "--grace",
        "1",
    ]);
    let address = relay.address();
    let small = Settings {
        receive_buffer: Some(64 * 1024),
        ..Settings::default()
    };
    let mut fast = Wire::play(address, "film");
    let mut slow: Vec<Wire> = (0..4)
        .map(|_| Wire::play_with(address, "film", &small))
        .collect();
    let url = relay.url("film");
    // Real ones: one is stopped as a process, one goes on beside it.
    let mut stopped = Player::start(PlayerProgram::Rtmpdump, &url, relay.dir(), "stopped");
    let mut steady = Player::start(PlayerProgram::Rtmpdump, &url, relay.dir(), "steady");
    relay.wait_players(7);
    let mut publisher = Wire::publish(address, "film");
    let fast_got = std::thread::scope(|scope| {
        scope.spawn(|| {
            publisher.send_in_time(&film, || false);
            publisher.finish();
        });
        let fast = scope.spawn(|| media_of(&fast.until_closed_within(SILENCE * 3)));
        stopped.process.signal(Signal::STOP);
        pause(SILENCE);
        stopped.process.signal(Signal::CONT);
        let resident = relay.resident_bytes();
        assert!(resident < 64 << 20, "{resident} bytes of memory in use");
        let reading: Vec<_> = slow
            .iter_mut()
            .map(|player| scope.spawn(|| media_of(&player.until_closed())))
            .collect();
        for (number, player) in reading.into_iter().enumerate() {
            let got = player.join().unwrap();
            let holes = holes(&format!("slow player {number}"), &got, &film);
            assert!(holes > 0, "nothing was lost in {SILENCE:?}: {}", got.len());
            assert!(got.len() < film.len() / 2, "{} messages", got.len());
        }
        fast.join().unwrap()
    });
    assert_list("the fast player's media", &fast_got, &film);
    stopped.process.wait(SOON);
    let got = as_relayed(&media::messages(stopped.file()));
    assert!(holes("stopped rtmpdump", &got, &film) > 0);
    steady.process.wait(SOON);
    let got = as_relayed(&media::messages(steady.file()));
    assert_list("steady rtmpdump's media", &got, &film);
    let dropped = relay.stats()["dropped"];
    assert!(dropped >= 5, "{dropped} skips counted");
    relay.stop();
}

/// rtmpdump writes what it got, but for metadata, which it rewrites.
fn as_relayed(got: &[Media]) -> Vec<Media> {
    got.iter()
        .map(|media| {
            if media.kind == kind::DATA {
                Media::metadata(media.time, "film")
            } else {
                media.clone()
            }
        })
        .collect()
}
