//! The header of the file says which kinds of media come.

use super::relay_with;
use std::time::Duration;
use support::http::{FlvPlayer, Way};
use support::relay::Relay;
use support::wire::{Key, Media, Wire};
use support::{SOON, now};
use tailwater::rtmp::message::kind;

/// Whether there is sound, and whether there are pictures.
const AUDIO: (bool, bool) = (true, false);
const VIDEO: (bool, bool) = (false, true);
const BOTH: (bool, bool) = (true, true);

/// Players on each worker in both ways.
fn ask(relay: &Relay) -> Vec<FlvPlayer> {
    let ask = |way| relay.on_each_worker(2, || FlvPlayer::ask(relay.http(), "cam", way));
    Way::BOTH.into_iter().flat_map(ask).collect()
}

/// All get a header that says so, and then media up to this message.
#[track_caller]
fn assert_flags(players: &mut [FlvPlayer], kinds: (bool, bool), last: &Media) -> Vec<Vec<Media>> {
    let begin = |player: &mut FlvPlayer| {
        player.begin(SOON);
        let got = player.until_number(last.kind, last.number().unwrap());
        assert_eq!(player.kinds, Some(kinds));
        got
    };
    players.iter_mut().map(begin).collect()
}

fn sound(from: u32, to: u32) -> Vec<Media> {
    let numbers = (from..to).step_by(20);
    numbers.map(|time| Media::sound(time, time, 60)).collect()
}

fn pictures(from: u32, to: u32) -> Vec<Media> {
    let picture = |time| {
        let key = if time % 400 == 0 { Key::Yes } else { Key::No };
        Media::picture(key, time, time, 200)
    };
    (from..to).step_by(40).map(picture).collect()
}

#[test]
fn regression_header_is_written_when_kinds_are_known() {
    for (headers, media, kinds) in [
        (vec![Media::aac_header(0)], sound(0, 100), AUDIO),
        (vec![Media::avc_header(0)], pictures(0, 120), VIDEO),
        // Announced and never sent.
        (
            vec![Media::aac_header(0), Media::avc_header(0)],
            pictures(0, 120),
            VIDEO,
        ),
    ] {
        let relay = relay_with(&["--workers", "2"]);
        let mut players = ask(&relay);
        let mut publisher = Wire::publish(relay.address(), "cam");
        publisher.send_all(&headers);
        publisher.send_all(&media);
        let got = assert_flags(&mut players, kinds, media.last().unwrap());
        // From the first message on, headers of the other kind too: media may come later.
        for got in got {
            assert_eq!(got[0].payload, headers[0].payload);
            assert_eq!(got.len(), headers.len() + media.len());
        }
    }
}

#[test]
fn header_is_written_at_once_when_both_kinds_come() {
    let relay = relay_with(&["--workers", "2"]);
    let mut players = ask(&relay);
    let mut publisher = Wire::publish(relay.address(), "cam");
    publisher.send_all(&[Media::sound(0, 0, 60)]);
    publisher.settle();
    let last = Media::picture(Key::Yes, 0, 1, 200);
    publisher.send(&last);
    assert_flags(&mut players, BOTH, &last);
}

#[test]
fn regression_header_says_what_comes_now() {
    let relay = relay_with(&["--workers", "2"]);
    let mut publisher = Wire::publish(relay.address(), "cam");
    publisher.send_all(&[Media::aac_header(0), Media::avc_header(0)]);
    publisher.send_all(&sound(0, 400));
    publisher.send_all(&pictures(400, 2_000));
    publisher.spread();
    // Sound has stopped: the header of its codec is still there.
    let begun = now();
    let last = Media::picture(Key::No, 2_040, 2_040, 200);
    let mut players = ask(&relay);
    publisher.send(&last);
    for got in assert_flags(&mut players, VIDEO, &last) {
        assert!(
            got.iter()
                .any(|media| media.kind == kind::AUDIO && media.is_header())
        );
    }
    // Nothing had to be waited for. Generous: the machine may be busy.
    assert!(begun.elapsed() < Duration::from_secs(10));
}
