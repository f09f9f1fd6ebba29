//! Enhanced RTMP: codecs by FourCC and several tracks on one stream, published and played by
//! ffmpeg 9, packet for packet.

use support::media::{self, Ffmpeg, Recipe};
use support::packets::{assert_end, assert_same, assert_same_contents, of_file};
use support::players::{Player, Program as PlayerProgram};
use support::publishers::{Program, Speed};
use support::relay::Relay;

/// What ffmpeg 9 encodes with `options` and publishes reaches a player that has joined before
/// from the first packet on, and one that joins in the middle from a key frame on.
#[track_caller]
fn check(name: &'static str, options: &'static str, tracks: usize) {
    let recipe = Recipe {
        name,
        by: Ffmpeg::V9,
        options,
    };
    let file = media::file(&recipe);
    let relay = Relay::start(&["--grace", "1"]);
    let url = relay.url(name);
    let mut early = Player::start(PlayerProgram::Ffmpeg9, &url, relay.dir(), "early");
    relay.wait_players(1);
    let mut publisher = Program::Ffmpeg9.publish(&file, &url, Speed::RealTime, relay.dir());
    relay.wait_log(&["publish stream=", name]);
    let mut late = Player::start(PlayerProgram::Ffmpeg9, &url, relay.dir(), "late");
    publisher.succeed(support::A_WHILE);

    let contents = of_file(Ffmpeg::V9, &file);
    assert_eq!(contents.len(), tracks, "{name}: tracks in the file");
    let got = early.tracks();
    assert_same_contents(name, &got, &contents);
    let written = of_file(Ffmpeg::V9, &Program::Ffmpeg9.written(&file, relay.dir()));
    assert_same(name, &got, &written);

    let what = format!("{name}, the late player");
    assert_end(&what, &late.tracks(), &written, 25);
}

#[test]
fn hevc_and_aac() {
    check(
        "hevc-aac",
        "-t 4 -c:v libx265 -preset ultrafast -x265-params log-level=error:keyint=25 \
         -c:a aac -ac 2",
        2,
    );
}

#[test]
fn hevc_and_e_ac_3() {
    check(
        "hevc-eac3",
        "-t 4 -c:v libx265 -preset ultrafast -x265-params log-level=error:keyint=25 \
         -c:a eac3 -ac 2",
        2,
    );
}

#[test]
fn av1_and_opus() {
    check(
        "av1-opus",
        "-t 4 -c:v libsvtav1 -preset 12 -g 25 -c:a libopus -ac 2 -ar 48000",
        2,
    );
}

#[test]
fn av1_and_aac() {
    check(
        "av1-aac",
        "-t 4 -c:v libsvtav1 -preset 12 -g 25 -c:a aac -ac 2",
        2,
    );
}

#[test]
fn vp9_and_flac() {
    check(
        "vp9-flac",
        "-t 4 -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 25 -c:a flac -ac 2",
        2,
    );
}

#[test]
fn h264_and_ac_3() {
    check(
        "h264-ac3",
        "-t 4 -c:v libx264 -preset veryfast -g 25 -c:a ac3 -ac 2",
        2,
    );
}

#[test]
fn two_tracks_of_video_and_two_of_audio() {
    check(
        "multitrack",
        "-t 4 -filter_complex [0:v]split[a][b];[b]scale=160:90[c] \
         -map [a] -map [c] -map 1:a -map 1:a -c:v libx264 -preset veryfast -g 25 -c:a aac -ac 2",
        4,
    );
}

#[test]
fn tracks_of_different_codecs() {
    check(
        "multitrack-mixed",
        "-t 4 -filter_complex [0:v]split[a][b];[b]scale=160:90[c] \
         -map [a] -map [c] -map 1:a -map 1:a -g 25 -c:v:0 libx264 -preset:v:0 veryfast \
         -c:v:1 libvpx-vp9 -deadline:v:1 realtime -cpu-used:v:1 8 \
         -c:a:0 aac -c:a:1 libopus -ac 2 -ar 48000",
        4,
    );
}
