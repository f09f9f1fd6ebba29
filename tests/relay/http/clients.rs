//! Players of others by HTTP: ffmpeg and curl, packet for packet what one by RTMP gets.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::relay_with;
use support::media::{self, Ffmpeg, H264_AAC, Recipe, messages};
use support::packets::{assert_end, assert_same, assert_same_contents, of_file};
use support::players::{Player, Program as PlayerProgram};
use support::process::Process;
use support::publishers::{Program, Speed};
use support::relay::Relay;
use support::wire::{Media, Wire, media_of};
use support::{A_WHILE, pause};

fn url(relay: &Relay, stream: &str) -> String {
    format!("http://{}/live/{stream}.flv", relay.http())
}

/// curl, which writes what it gets to a file.
fn curl(relay: &Relay, stream: &str, name: &str) -> (Process, PathBuf) {
    let file = relay.dir().join(format!("{name}.flv"));
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--fail", "--output"])
        .arg(&file)
        .arg(url(relay, stream));
    (Process::start(name, relay.dir(), &mut command), file)
}

/// What ffprobe of Debian says of the codecs in a file.
fn probed(file: &Path) -> String {
    let output = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-show_entries",
            "stream=codec_name",
            "-of",
            "csv=p=0",
        ])
        .arg(file)
        .output()
        .expect("ffprobe runs; scripts/test installs it");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn ffmpeg_and_curl_get_what_a_player_by_rtmp_gets() {
    let file = media::file(&H264_AAC);
    let relay = relay_with(&["--grace", "1", "--workers", "2"]);
    let (by_http, by_rtmp) = (url(&relay, "film"), relay.url("film"));
    let programs = [PlayerProgram::Ffmpeg5, PlayerProgram::Ffmpeg9];
    let start =
        |url: &str, name| programs.map(|program| Player::start(program, url, relay.dir(), name));
    let mut early = start(&by_http, "http");
    let mut rtmp = start(&by_rtmp, "rtmp");
    let (mut curl_early, early_file) = curl(&relay, "film", "curl-early");
    let mut wire = Wire::play(relay.address(), "film");
    relay.wait_players(6);
    let publish = Program::Ffmpeg5;
    let mut publisher = publish.publish(&file, &by_rtmp, Speed::RealTime, relay.dir());
    relay.wait_log(&["publish stream=\"live/film\""]);
    pause(Duration::from_millis(500));
    let mut late = start(&by_http, "late");
    let (mut curl_late, late_file) = curl(&relay, "film", "curl-late");
    publisher.succeed(A_WHILE);

    let written = publish.written(&file, relay.dir());
    let all = [&mut early, &mut rtmp].into_iter().flatten();
    for player in all {
        let (what, judge) = (format!("{:?}", player.program()), player.program().judge());
        let tracks = player.tracks();
        assert_same_contents(&what, &tracks, &of_file(judge, &file));
        assert_same(&what, &tracks, &of_file(judge, &written));
    }
    for player in &mut late {
        let judge = player.program().judge();
        assert_end("late", &player.tracks(), &of_file(judge, &written), 25);
    }
    curl_early.succeed(A_WHILE);
    curl_late.succeed(A_WHILE);
    // To the byte what came by RTMP.
    let wanted: Vec<Media> = media_of(&wire.until_closed());
    assert_eq!(messages(&early_file), wanted);
    for judge in [Ffmpeg::V5, Ffmpeg::V9] {
        let whole = of_file(judge, &written);
        assert_same("curl", &of_file(judge, &early_file), &whole);
        assert_end("late curl", &of_file(judge, &late_file), &whole, 25);
    }
    for file in [early_file, late_file] {
        assert_eq!(probed(&file), "h264\naac\n");
    }
}

/// Codecs of Enhanced RTMP, by HTTP as by RTMP.
#[track_caller]
fn check_enhanced(name: &'static str, options: &'static str, tracks: usize) {
    let by = Ffmpeg::V9;
    let file = media::file(&Recipe { name, by, options });
    let relay = relay_with(&["--grace", "1"]);
    let program = PlayerProgram::Ffmpeg9;
    let mut by_http = Player::start(program, &url(&relay, name), relay.dir(), "http");
    let mut by_rtmp = Player::start(program, &relay.url(name), relay.dir(), "rtmp");
    relay.wait_players(2);
    let rtmp = relay.url(name);
    let mut publisher = Program::Ffmpeg9.publish(&file, &rtmp, Speed::RealTime, relay.dir());
    relay.wait_log(&["publish stream=", name]);
    let mut late = Player::start(program, &url(&relay, name), relay.dir(), "late");
    publisher.succeed(A_WHILE);
    let got = by_http.tracks();
    assert_eq!(got.len(), tracks);
    assert_same(name, &got, &by_rtmp.tracks());
    assert_same_contents(name, &got, &of_file(by, &file));
    assert_end("late", &late.tracks(), &got, 25);
}

#[test]
fn hevc_and_opus() {
    check_enhanced(
        "hevc-opus",
        "-t 4 -c:v libx265 -preset ultrafast -x265-params log-level=error:keyint=25 \
         -c:a libopus -ac 2 -ar 48000",
        2,
    );
}

#[test]
fn av1_and_opus() {
    check_enhanced(
        "av1-opus",
        "-t 4 -c:v libsvtav1 -preset 12 -g 25 -c:a libopus -ac 2 -ar 48000",
        2,
    );
}

#[test]
fn two_tracks_of_video_and_two_of_audio() {
    check_enhanced(
        "multitrack",
        "-t 4 -filter_complex [0:v]split[a][b];[b]scale=160:90[c] \
         -map [a] -map [c] -map 1:a -map 1:a -c:v libx264 -preset veryfast -g 25 -c:a aac -ac 2",
        4,
    );
}

#[test]
fn ffmpeg_plays_on_when_a_publisher_comes_back_as_by_rtmp() {
    let file = media::file(&H264_AAC);
    let relay = relay_with(&["--grace", "5"]);
    let start = |url: &str, name| Player::start(PlayerProgram::Ffmpeg9, url, relay.dir(), name);
    let mut by_http = start(&url(&relay, "film"), "http");
    let mut by_rtmp = start(&relay.url("film"), "rtmp");
    let (mut curl, body) = curl(&relay, "film", "curl");
    relay.wait_players(3);
    for _ in 0..2 {
        let url = relay.url("film");
        let mut publisher = Program::Ffmpeg5.publish(&file, &url, Speed::Fast, relay.dir());
        publisher.succeed(A_WHILE);
    }
    let got = by_http.tracks();
    assert_same("both runs", &got, &by_rtmp.tracks());
    assert_eq!(
        got[0].packets.len(),
        2 * of_file(Ffmpeg::V9, &file)[0].packets.len()
    );
    curl.succeed(A_WHILE);
    assert_same_contents("both runs by curl", &of_file(Ffmpeg::V9, &body), &got);
}

#[test]
fn a_player_that_is_started_anew_finds_what_comes_next() {
    let file = media::file(&H264_AAC);
    let wait = Duration::from_secs(8);
    let relay = relay_with(&["--grace", "0", "--play-wait", "8"]);
    for turn in 0..2 {
        let name = format!("turn{turn}");
        if turn > 0 {
            // For so long it is known that the stream is over, and a play is told so soon.
            pause(wait);
        }
        let http = url(&relay, "film");
        let mut player = Player::start(PlayerProgram::Ffmpeg5, &http, relay.dir(), &name);
        relay.wait_players(1);
        let url = relay.url("film");
        let mut publisher = Program::Ffmpeg5.publish(&file, &url, Speed::Fast, relay.dir());
        publisher.succeed(A_WHILE);
        assert_same_contents(&name, &player.tracks(), &of_file(Ffmpeg::V5, &file));
        relay.wait_players(0);
    }
}
