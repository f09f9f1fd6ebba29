//! ffmpeg as a server for one client: what streams are handed on to, and what they are fetched
//! from. It answers little, says nothing of Enhanced RTMP, and shakes hands the plain way.

use support::media::{self, Ffmpeg, H264_AAC};
use support::packets::{self, FRAMEHASH, assert_same, of_file};
use support::players::{Player, Program as PlayerProgram};
use support::process::Process;
use support::publishers::{Program, Speed};
use support::relay::Relay;
use support::{A_WHILE, free_address, scratch, wait_listening};

const VERSIONS: [Ffmpeg; 2] = [Ffmpeg::V5, Ffmpeg::V9];

#[test]
fn a_stream_is_handed_on_to_ffmpeg_whole() {
    let file = media::file(&H264_AAC);
    for version in VERSIONS {
        let dir = scratch(&format!("{version:?}"));
        let address = free_address();
        let url = format!("rtmp://{address}/app/key");
        let hashes = dir.join("target.hashes");
        let mut command = version.command();
        command.args(["-listen", "1", "-i", &url]);
        command.args(FRAMEHASH).arg(&hashes);
        let mut target = Process::start("target", &dir, &mut command);
        wait_listening(address);
        let relay = Relay::start(&["--grace", "1", "--push", &url]);
        let own = relay.url("cam");
        let mut publisher = Program::from(version).publish(&file, &own, Speed::RealTime, &dir);
        relay.wait_stat("pushes", 1);
        publisher.succeed(A_WHILE);
        target.succeed(A_WHILE);
        let whole = of_file(version, &file);
        let what = format!("{version:?} as a target");
        assert_same(&what, &packets::of_hashes(&hashes), &whole);
        let label = format!("{address}/app");
        relay.wait_target(&label, "connections", |count| count == 1);
        assert_eq!(relay.target_stats(&label)["refusals"], 0);
    }
}

#[test]
fn a_stream_is_fetched_from_ffmpeg_whole() {
    let file = media::file(&H264_AAC);
    for version in VERSIONS {
        let dir = scratch(&format!("{version:?}"));
        let address = free_address();
        let url = format!("rtmp://{address}/live/cam");
        let listen = ["-listen", "1"];
        let mut origin =
            Program::from(version).publish_with(&file, &url, Speed::RealTime, &listen, &dir);
        wait_listening(address);
        let rule = format!("rtmp://{address}");
        let edge = Relay::start(&["--pull", &rule, "--pull-give-up", "2"]);
        let program = match version {
            Ffmpeg::V5 => PlayerProgram::Ffmpeg5,
            Ffmpeg::V9 => PlayerProgram::Ffmpeg9,
        };
        let mut player = Player::start(program, &edge.url("cam"), &dir, "edge");
        origin.wait(A_WHILE);
        let whole = of_file(version, &file);
        let what = format!("{version:?} as an origin");
        assert_same(&what, &player.tracks(), &whole);
    }
}
