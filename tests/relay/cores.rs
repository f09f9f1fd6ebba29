//! Workers: a stream is published on one of them, its players are on all, and what a player gets
//! does not tell where it landed.

use support::media::{self, H264_AAC};
use support::packets::{assert_list, assert_same, of_file};
use support::players::{Player, Program as PlayerProgram};
use support::publishers::{Program, Speed};
use support::relay::Relay;
use support::wire::{Film, Media, Wire, media_of};
use tailwater::rtmp::message::kind;

/// Audio and video, without what ffmpeg says about the length of a file it has finished.
fn coded(media: &[Media]) -> Vec<Media> {
    let mut media = media.to_vec();
    media.retain(|media| media.kind != kind::DATA);
    media
}

/// Two streams, with players of our own and real ones on every worker.
#[track_caller]
fn check(workers: usize) {
    let file = media::file(&H264_AAC);
    let number = workers.to_string();
    let relay = Relay::start(&["--workers", &number, "--grace", "1"]);
    let mut wires = Vec::new();
    let mut players = Vec::new();
    for stream in ["one", "two"] {
        for _ in 0..2 {
            wires.extend(relay.on_each_worker(workers, || Wire::play(relay.address(), stream)));
        }
        for program in [PlayerProgram::Ffmpeg5, PlayerProgram::Rtmpdump] {
            let url = relay.url(stream);
            players.push(Player::start(program, &url, relay.dir(), stream));
        }
    }
    relay.wait_players(4 * workers + players.len());
    let mut publishers = ["one", "two"].map(|stream| {
        let url = relay.url(stream);
        Program::Ffmpeg5.publish(&file, &url, Speed::Fast, relay.dir())
    });
    for publisher in &mut publishers {
        publisher.succeed(support::A_WHILE);
    }
    let written = Program::Ffmpeg5.written(&file, relay.dir());
    let wanted = coded(&media::messages(&written));
    let mut first: Option<Vec<Media>> = None;
    for (index, wire) in wires.iter_mut().enumerate() {
        let worker = relay.worker_of(wire);
        let what = format!("player {index} on worker {worker} of {workers}");
        let got = media_of(&wire.until_closed());
        assert_list(&what, &coded(&got), &wanted);
        // To the byte the same for all, metadata included.
        let first = first.get_or_insert_with(|| got.clone());
        assert_list(&what, &got, first);
    }
    for player in &mut players {
        let what = format!("{:?} with {workers} workers", player.program());
        let wanted = of_file(player.program().judge(), &file);
        assert_same(&what, &player.tracks(), &wanted);
    }
}

#[test]
fn one_worker_serves_all() {
    check(1);
}

#[test]
fn two_workers_serve_the_same() {
    check(2);
}

#[test]
fn four_workers_serve_the_same() {
    check(4);
}

#[test]
fn players_come_and_go_on_every_worker_while_a_stream_is_live() {
    let relay = Relay::start(&["--workers", "4"]);
    let mut publisher = Wire::publish(relay.address(), "film");
    let mut film = Film::new("film", 0);
    publisher.send_all(&film.headers);
    let mut staying = Vec::new();
    for round in 0..6 {
        let group = film.group(8);
        publisher.send_all(&group);
        publisher.spread();
        // Those that go are the last of their worker half of the time.
        if round % 2 == 0 {
            staying.clear();
        }
        let mut players = relay.on_each_worker(4, || Wire::play(relay.address(), "film"));
        let mut wanted = film.headers_for_new(group[0].time);
        wanted.extend(group);
        let more = film.more(4);
        publisher.send_all(&more);
        wanted.extend(more);
        let last = wanted.last().unwrap();
        for player in &mut players {
            let got = media_of(&player.until_number(last.kind, last.number().unwrap()));
            assert_list(&format!("round {round}"), &got, &wanted);
        }
        staying.extend(players);
    }
    let group = film.group(8);
    publisher.send_all(&group);
    let last = group.last().unwrap();
    for player in &mut staying {
        let got = media_of(&player.until_number(last.kind, last.number().unwrap()));
        assert_list("the end", &got[got.len() - group.len()..], &group);
    }
}
