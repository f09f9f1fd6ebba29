//! Another relay as publisher and as player: nginx with its RTMP module pushes into tailwater
//! and pulls from it. It carries the codecs FLV had before Enhanced RTMP.

use support::A_WHILE;
use support::media::{self, Ffmpeg, H264_AAC, Recipe};
use support::nginx::Nginx;
use support::packets::{assert_end, assert_same, of_file};
use support::players::{Player, Program as PlayerProgram};
use support::publishers::{Program, Speed};
use support::relay::Relay;

const H264_MP3: Recipe = Recipe {
    name: "h264-mp3",
    by: Ffmpeg::V5,
    options: "-t 4 -c:v libx264 -preset veryfast -g 25 -bf 2 -c:a libmp3lame -ac 2",
};

#[test]
fn nginx_pushes_what_is_published_to_it() {
    let relay = Relay::start(&["--grace", "1"]);
    let nginx = Nginx::start(relay.address(), relay.dir());
    let films = [(H264_AAC, "aac"), (H264_MP3, "mp3")];
    let mut players = Vec::new();
    for (recipe, stream) in films {
        for program in [PlayerProgram::Ffmpeg5, PlayerProgram::Rtmpdump] {
            let url = relay.url(stream);
            let player = Player::start(program, &url, relay.dir(), stream);
            players.push((recipe, player));
        }
    }
    relay.wait_players(players.len());
    let mut publishers = films.map(|(recipe, stream)| {
        let url = nginx.url("push", stream);
        Program::Ffmpeg5.publish(&media::file(&recipe), &url, Speed::RealTime, relay.dir())
    });
    for publisher in &mut publishers {
        publisher.succeed(A_WHILE);
    }
    for (recipe, player) in &mut players {
        let what = format!("{} to {:?}", recipe.name, player.program());
        let whole = of_file(player.program().judge(), &media::file(recipe));
        let got = player.tracks();
        // nginx begins to connect when it is published to, keeps nothing meanwhile, and pushes
        // from the next key frame on: the first second is lost there.
        assert_end(&what, &got, &whole, 25);
        let video = got[0].packets.len();
        assert!(video >= 75, "{what}: {video} pictures");
    }
}

#[test]
fn nginx_pulls_what_is_played_from_it() {
    let relay = Relay::start(&["--grace", "1"]);
    let nginx = Nginx::start(relay.address(), relay.dir());
    let films = [(H264_AAC, "aac"), (H264_MP3, "mp3")];
    let mut players = films.map(|(recipe, stream)| {
        let url = nginx.url("pull", stream);
        let player = Player::start(PlayerProgram::Ffmpeg5, &url, relay.dir(), stream);
        (recipe, player)
    });
    // These are nginx's.
    relay.wait_players(films.len());
    let mut publishers = films.map(|(recipe, stream)| {
        let url = relay.url(stream);
        Program::Ffmpeg9.publish(&media::file(&recipe), &url, Speed::RealTime, relay.dir())
    });
    for publisher in &mut publishers {
        publisher.succeed(A_WHILE);
    }
    for (recipe, player) in &mut players {
        // nginx drops its players without a word when its source is gone: ffmpeg may call that an
        // error, after it has got everything.
        player.process.wait(A_WHILE);
        let wanted = of_file(Ffmpeg::V5, &media::file(recipe));
        assert_same(recipe.name, &player.tracks_so_far(), &wanted);
    }
}
