//! What goes in comes out: files published by real encoders arrive at real players packet for
//! packet, with their times and their decoder configuration, for the codecs FLV had before
//! Enhanced RTMP (those of Enhanced RTMP are in enhanced.rs).

use support::media::{self, Ffmpeg, H264_AAC, Recipe};
use support::packets::{assert_same, assert_same_contents, of_file};
use support::players::{Player, Program as PlayerProgram};
use support::publishers::{Program, Speed};
use support::relay::Relay;

/// `program` publishes H.264 and AAC; every player has joined before and gets everything.
#[track_caller]
fn every_player_gets_what_is_published_by(program: Program) {
    let file = media::file(&H264_AAC);
    let relay = Relay::start(&["--grace", "1"]);
    let url = relay.url("film");
    let mut players =
        PlayerProgram::ALL.map(|player| Player::start(player, &url, relay.dir(), "film"));
    relay.wait_players(players.len());
    let mut publisher = program.publish(&file, &url, Speed::RealTime, relay.dir());
    publisher.succeed(support::A_WHILE);
    let written = program.written(&file, relay.dir());
    for player in &mut players {
        let what = format!("{program:?} to {:?}", player.program());
        let judge = player.program().judge();
        let tracks = player.tracks();
        assert_same_contents(&what, &tracks, &of_file(judge, &file));
        assert_same(&what, &tracks, &of_file(judge, &written));
    }
}

#[test]
fn ffmpeg_5_publishes_to_every_player() {
    every_player_gets_what_is_published_by(Program::Ffmpeg5);
}

#[test]
fn ffmpeg_9_publishes_to_every_player() {
    every_player_gets_what_is_published_by(Program::Ffmpeg9);
}

#[test]
fn gstreamer_publishes_to_every_player() {
    every_player_gets_what_is_published_by(Program::Gstreamer);
}

/// Codecs older than Enhanced RTMP, from ffmpeg 5.1 to those that can tell them.
#[track_caller]
fn check(name: &'static str, options: &'static str) {
    let recipe = Recipe {
        name,
        by: Ffmpeg::V5,
        options,
    };
    let file = media::file(&recipe);
    let relay = Relay::start(&["--grace", "1"]);
    let url = relay.url(name);
    let programs = [
        PlayerProgram::Ffmpeg5,
        PlayerProgram::Ffmpeg9,
        PlayerProgram::Rtmpdump,
    ];
    let mut players = programs.map(|player| Player::start(player, &url, relay.dir(), name));
    relay.wait_players(players.len());
    let mut publisher = Program::Ffmpeg5.publish(&file, &url, Speed::Fast, relay.dir());
    publisher.succeed(support::A_WHILE);
    let written = Program::Ffmpeg5.written(&file, relay.dir());
    for player in &mut players {
        let what = format!("{name} to {:?}", player.program());
        let judge = player.program().judge();
        let tracks = player.tracks();
        assert_same_contents(&what, &tracks, &of_file(judge, &file));
        assert_same(&what, &tracks, &of_file(judge, &written));
    }
}

#[test]
fn sorenson_video_and_mp3() {
    check("flv1-mp3", "-t 4 -c:v flv1 -g 25 -c:a libmp3lame -ac 2");
}

#[test]
fn screen_video_and_speex() {
    check(
        "screen-speex",
        "-t 4 -c:v flashsv -g 25 -c:a libspeex -ar 16000 -ac 1",
    );
}

#[test]
fn sorenson_video_and_nellymoser() {
    check(
        "flv1-nellymoser",
        "-t 4 -c:v flv1 -g 25 -c:a nellymoser -ar 22050 -ac 1",
    );
}

#[test]
fn screen_video_2_and_uncompressed_sound() {
    check(
        "screen2-pcm",
        "-t 4 -c:v flashsv2 -g 25 -c:a pcm_s16le -ar 44100 -ac 2",
    );
}

#[test]
fn sound_alone() {
    check("aac", "-t 4 -map 1:a -c:a aac -ac 2");
}
