//! An edge: streams it does not have are fetched from origins, once for the process, and go on
//! through whatever becomes of an origin.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::Signal;

use support::http::Http;
use support::media::{self, H264_AAC};
use support::nginx::Nginx;
use support::origin::{self, Behaviour, Origin, Script};
use support::packets::{assert_end, assert_same, assert_time_never_steps_back, of_file};
use support::players::{Player, Program as PlayerProgram};
use support::publishers::{Program, Speed};
use support::relay::Relay;
use support::wire::{Film, Media, Seen, Settings, Wire, media_of};
use support::{A_WHILE, SOON, free_address, now, pause, scratch, wait_for};
use tailwater::edge::hops;
use tailwater::rtmp::message::kind;

/// A relay that fetches from `origins`.
fn edge_of(origins: &[SocketAddr], flags: &[&str]) -> Relay {
    let urls: Vec<String> = origins.iter().map(|at| format!("rtmp://{at}")).collect();
    let rule = urls.join(",");
    let mut all = vec!["--pull", &rule];
    all.extend(flags);
    Relay::start(&all)
}

/// A publisher that has sent the headers of `film` and its first group.
fn publisher(relay: &Relay, stream: &str, film: &mut Film) -> Wire {
    let mut wire = Wire::publish(relay.address(), stream);
    wire.send_all(&film.headers_again(0));
    wire.send_all(&film.group(4));
    wire
}

#[test]
fn regression_gop_cache_off_costs_edges_nothing() {
    let origin = Relay::start(&["--gop-cache", "off", "--workers", "2"]);
    // Its next key frame never comes.
    let _publisher = publisher(&origin, "cam", &mut Film::new("edge", 0));
    let edge = edge_of(&[origin.address()], &["--pull-timeout", "1"]);
    Wire::play(edge.address(), "cam").until_number(kind::AUDIO, 4);
    let settings = Settings {
        property: (hops::VIA_KEY, "00000000000000aa".to_owned()),
        ..Settings::default()
    };
    // A relay on each worker.
    let play = |name: &str| Wire::play_with(origin.address(), name, &settings);
    for mut relay in origin.on_each_worker(2, || play("cam")) {
        relay.until_number(kind::AUDIO, 4);
    }
    // Others wait, as the operator wants it.
    let mut player = Wire::play(origin.address(), "cam");
    player.until_status("NetStream.Play.Start");
    assert!(media_of(&player.settle()).is_empty());
}

/// A relay has held them already; with each that did so again, pictures would come ever later.
#[test]
fn regression_pictures_of_relays_are_not_held_again() {
    let mut film = Film::new("edge", 0);
    let play = [
        origin::status("NetStream.Play.Start"),
        origin::chunks(&film.headers_again(0)),
        // No key frame, nor is there one later.
        origin::chunks(&film.more(5)),
    ];
    let relay = Script {
        play: play.concat(),
        ..Script::default()
    };
    let other = Script {
        is_foreign: true,
        ..relay.clone()
    };
    for (script, is_relay) in [(relay, true), (other, false)] {
        let origin = Origin::scripted(script);
        let edge = edge_of(&[origin.address()], &[]);
        // Through two hops.
        let next = edge_of(&[edge.address()], &[]);
        for relay in [&edge, &next] {
            let mut player = Wire::play(relay.address(), "cam");
            let seen = player.until_number(kind::AUDIO, 4);
            let media = media_of(&seen);
            let is_frame = |media: &&Media| media.number().is_some();
            let mut frames = media.iter().filter(is_frame);
            let has_pictures = frames.any(|media| media.kind == kind::VIDEO);
            assert_eq!(has_pictures, is_relay, "{media:?}");
        }
    }
}

#[test]
fn a_stream_is_fetched_once_for_all_workers_and_arrives_whole() {
    let origin = Relay::start(&[]);
    let edge = edge_of(&[origin.address()], &["--workers", "2"]);
    let mut film = Film::new("edge", 0);
    let mut publisher = publisher(&origin, "cam", &mut film);
    let mut here = Wire::play(origin.address(), "cam");
    let mut there = edge.on_each_worker(2, || Wire::play(edge.address(), "cam"));
    let wanted = media_of(&here.until_number(kind::AUDIO, 4));
    for player in &mut there {
        assert_eq!(media_of(&player.until_number(kind::AUDIO, 4)), wanted);
    }
    publisher.send_all(&film.group(4));
    let wanted = media_of(&here.until_number(kind::AUDIO, 9));
    for player in &mut there {
        assert_eq!(media_of(&player.until_number(kind::AUDIO, 9)), wanted);
    }
    edge.wait_stat("pulls", 1);
    origin.wait_players(2);
}

#[test]
fn a_thousand_joins_at_once_are_one_pull() {
    let origin = Relay::start(&[]);
    let edge = edge_of(&[origin.address()], &["--workers", "2"]);
    let mut film = Film::new("edge", 0);
    let mut publisher = publisher(&origin, "cam", &mut film);
    let url = edge.url("cam");
    let players: Vec<std::thread::JoinHandle<Wire>> = (0..8)
        .map(|_| {
            let address = edge.address();
            std::thread::spawn(move || {
                let mut wires: Vec<Wire> = Vec::new();
                for _ in 0..125 {
                    let settings = Settings::default();
                    let action = tailwater::rtmp::client::Action::Play;
                    wires.push(Wire::connect(address, "cam", action, &settings));
                }
                let mut last = wires.pop().unwrap();
                last.until_number(kind::AUDIO, 4);
                for wire in &mut wires {
                    wire.until_number(kind::AUDIO, 4);
                }
                last
            })
        })
        .collect();
    for player in players {
        player.join().unwrap();
    }
    publisher.send_all(&film.group(1));
    let pulls = origin.log().matches(" play stream=\"live/cam\"").count();
    assert_eq!(pulls, 1, "{url}");
}

#[test]
fn what_no_origin_has_is_not_found_and_not_asked_for_again_at_once() {
    let origin = Relay::start(&[]);
    let edge = edge_of(&[origin.address()], &["--play-wait", "0"]);
    for _ in 0..20 {
        let mut player = Wire::play(edge.address(), "nothing");
        player.until_status("NetStream.Play.StreamNotFound");
        player.until_closed();
    }
    let asked = origin.log().matches("accepted").count();
    assert!((1..=4).contains(&asked), "{asked} connections");
    edge.wait_stat("pulls", 0);
    edge.wait_stat("connections", 0);
}

#[test]
fn a_play_may_come_before_its_publish_at_the_origin() {
    let origin = Relay::start(&[]);
    let edge = edge_of(
        &[origin.address()],
        &["--play-wait", "20", "--workers", "2"],
    );
    let mut players = edge.on_each_worker(2, || Wire::play(edge.address(), "cam"));
    origin.wait_log(&["reason=rejected"]);
    let mut film = Film::new("edge", 0);
    let _publisher = publisher(&origin, "cam", &mut film);
    for player in &mut players {
        player.until_status("NetStream.Play.Start");
        player.until_number(kind::AUDIO, 4);
    }
}

#[test]
fn a_stream_lingers_after_its_last_player_and_is_let_go_then() {
    let origin = Relay::start(&[]);
    let edge = edge_of(&[origin.address()], &["--pull-linger", "2"]);
    let mut film = Film::new("edge", 0);
    let mut publisher = publisher(&origin, "cam", &mut film);
    let mut first = Wire::play(edge.address(), "cam");
    first.until_number(kind::AUDIO, 4);
    edge.wait_stat("pulls", 1);
    drop(first);
    edge.wait_players(0);
    let mut second = Wire::play(edge.address(), "cam");
    second.until_number(kind::AUDIO, 4);
    publisher.send_all(&film.group(1));
    second.until_number(kind::AUDIO, 6);
    assert_eq!(origin.log().matches(" play stream=\"live/cam\"").count(), 1);
    drop(second);
    let left = now();
    edge.wait_stat("pulls", 0);
    origin.wait_players(0);
    let linger = left.elapsed();
    assert!(linger >= Duration::from_secs(1), "{linger:?}");
    edge.wait_log(&["role=pull", "reason=released"]);
}

#[test]
fn players_stay_when_an_origin_dies_and_go_on_with_the_other() {
    let mut origins = [Relay::start(&[]), Relay::start(&[])];
    let addresses = [origins[0].address(), origins[1].address()];
    let edge = edge_of(&addresses, &["--pull-give-up", "30", "--workers", "2"]);
    let mut film = Film::new("edge", 0);
    let mut publishers = [0, 1].map(|index: usize| Wire::publish(origins[index].address(), "cam"));
    let mut send = |messages: &[Media], alive: &[usize]| {
        for &index in alive {
            publishers[index].send_all(messages);
        }
    };
    send(&film.headers_again(0), &[0, 1]);
    send(&film.group(4), &[0, 1]);
    let mut players = edge.on_each_worker(2, || Wire::play(edge.address(), "cam"));
    let mut seen: Vec<Vec<Seen>> = Vec::new();
    for player in &mut players {
        seen.push(player.until_number(kind::AUDIO, 4));
    }
    let line = edge.wait_log(&["pull stream=\"live/cam\""]);
    let first = usize::from(!line.contains(&addresses[0].to_string()));
    origins[first].signal(Signal::KILL);
    let killed = now();
    wait_for("pull from the other", SOON, || {
        let other = addresses[1 - first].to_string();
        let log = edge.log();
        send(&film.group(2), &[1 - first]);
        pause(Duration::from_millis(80));
        log.lines()
            .any(|line| line.contains("pull stream=") && line.contains(&other))
            .then_some(())
    });
    println!(
        "figure: failover after a killed origin {:?}",
        killed.elapsed()
    );
    let last = film.group(2);
    let number = last.last().and_then(Media::number).unwrap();
    send(&last, &[1 - first]);
    for (player, mut seen) in players.iter_mut().zip(seen) {
        seen.extend(player.until_number(kind::AUDIO, number));
        assert!(!seen.iter().any(|seen| matches!(seen, Seen::Closed(_))));
        assert_time_never_steps_back(&media_of(&seen));
    }
    for (index, origin) in origins.into_iter().enumerate() {
        if index == first {
            // It was killed, and that is no failure of its own.
            std::mem::forget(origin);
        }
    }
}

#[test]
fn an_origin_that_comes_back_is_fetched_from_again() {
    let port = free_address();
    let edge = edge_of(&[port], &["--pull-give-up", "30"]);
    let mut player = Wire::play(edge.address(), "cam");
    edge.wait_log(&["pull failed", "refused"]);
    let mut seen = Vec::new();
    for first in [0, 100] {
        let origin = Relay::start_on(&[&port.to_string()], &["--drain", "0"]);
        let mut film = Film::new("edge", 0).numbered_from(first);
        let mut publisher = Wire::publish(origin.address(), "cam");
        publisher.send_all(&film.headers_again(0));
        publisher.send_all(&film.group(4));
        seen.extend(player.until_number(kind::AUDIO, first + 4));
    }
    assert_time_never_steps_back(&media_of(&seen));
}

#[test]
fn players_are_told_when_no_origin_sends_it_any_more() {
    let mut origin = Relay::start(&[]);
    let edge = edge_of(
        &[origin.address()],
        &["--pull-give-up", "2", "--workers", "2"],
    );
    let mut film = Film::new("edge", 0);
    let _publisher = publisher(&origin, "cam", &mut film);
    let mut players = edge.on_each_worker(2, || Wire::play(edge.address(), "cam"));
    for player in &mut players {
        player.until_number(kind::AUDIO, 4);
    }
    origin.signal(Signal::KILL);
    let killed = now();
    for player in &mut players {
        player.until_status("NetStream.Play.UnpublishNotify");
        player.until_closed();
    }
    let stayed = killed.elapsed();
    assert!(stayed >= Duration::from_millis(1_500), "{stayed:?}");
    edge.wait_stat("pulls", 0);
    std::mem::forget(origin);
}

#[test]
fn relays_in_a_circle_end_it() {
    let [one, other] = [free_address(), free_address()];
    let relay = |own: SocketAddr, from: SocketAddr| {
        let rule = format!("rtmp://{from}");
        Relay::start_on(
            &[&own.to_string()],
            &["--pull", &rule, "--pull-give-up", "3", "--play-wait", "1"],
        )
    };
    let (one, other) = (relay(one, other), relay(other, one));
    let mut player = Wire::play(one.address(), "cam");
    player.until_status("NetStream.Play.StreamNotFound");
    player.until_closed();
    one.wait_log(&["connect refused", "loop"]);
    for relay in [&one, &other] {
        relay.wait_stat("pulls", 0);
    }
}

#[test]
fn a_relay_does_not_fetch_from_itself() {
    let own = free_address();
    let rule = format!("rtmp://{own}");
    let flags = ["--pull", &rule, "--pull-give-up", "1", "--play-wait", "1"];
    let relay = Relay::start_on(&[&own.to_string()], &flags);
    let mut player = Wire::play(relay.address(), "cam");
    player.until_status("NetStream.Play.StreamNotFound");
    relay.wait_log(&["pull failed", "this relay itself"]);
}

#[test]
fn with_takeover_a_publisher_takes_the_place_of_the_origin() {
    let origin = Relay::start(&[]);
    let flags = ["--workers", "2", "--takeover", "replace"];
    let edge = edge_of(&[origin.address()], &flags);
    let mut film = Film::new("far", 0);
    let _far = publisher(&origin, "cam", &mut film);
    let mut player = Wire::play(edge.address(), "cam");
    player.until_number(kind::AUDIO, 4);
    let mut near = Film::new("near", 0).numbered_from(100);
    let mut publisher = Wire::publish(edge.address(), "cam");
    publisher.send_all(&near.headers_again(4_000));
    publisher.send_all(&near.group(2));
    player.until_number(kind::AUDIO, 102);
    origin.wait_players(0);
    edge.wait_stat("pulls", 0);
}

#[test]
fn apps_names_and_queries_are_mapped_as_the_operator_says() {
    let origin = Origin::start(Behaviour::Refuse);
    let rules = [
        format!("plain=rtmp://{}", origin.address()),
        format!(
            "named=rtmp://{}/other/x-{{stream}}?{{query}}",
            origin.address()
        ),
    ];
    let flags = ["--pull", &rules[0], "--pull", &rules[1], "--play-wait", "0"];
    let edge = Relay::start(&flags);
    let action = tailwater::rtmp::client::Action::Play;
    for (app, asked) in [("plain", "plain cam "), ("named", "other x-cam token=1")] {
        let stream = format!("{app}/cam?token=1");
        let mut player = Wire::connect_to(edge.address(), app, "cam?token=1", action);
        player.until_status("NetStream.Play.StreamNotFound");
        wait_for(&stream, SOON, || {
            origin.asked().contains(&asked.to_owned()).then_some(())
        });
    }
    assert!(!edge.log().contains("token"), "a query is in the log");
}

#[test]
fn origins_that_do_not_work_make_room_for_one_that_does() {
    let good = Relay::start(&[]);
    let mut film = Film::new("edge", 0);
    let _publisher = publisher(&good, "cam", &mut film);
    for behaviour in [
        Behaviour::Refuse,
        Behaviour::Garbage,
        Behaviour::Silent,
        Behaviour::NoMedia,
        Behaviour::HangUp,
    ] {
        let bad = Origin::start(behaviour);
        // Which of the two is asked first depends on the hash: enough others of the bad kind see
        // to it that one of them is.
        let more = [Origin::start(behaviour), Origin::start(behaviour)];
        let addresses = [
            bad.address(),
            more[0].address(),
            more[1].address(),
            good.address(),
        ];
        let edge = edge_of(&addresses, &["--pull-timeout", "1", "--pull-give-up", "20"]);
        let begun = now();
        let mut player = Wire::play(edge.address(), "cam");
        player.until_number(kind::AUDIO, 4);
        println!(
            "figure: {behaviour:?} origins passed over in {:?}",
            begun.elapsed()
        );
    }
}

#[test]
fn a_hostile_origin_costs_its_own_connection_and_nothing_else() {
    let good = Relay::start(&[]);
    let mut film = Film::new("edge", 0);
    let mut publisher = publisher(&good, "cam", &mut film);
    let bad = Origin::start(Behaviour::Flood);
    let rules = [
        format!("live=rtmp://{}", good.address()),
        format!("bad=rtmp://{}", bad.address()),
    ];
    let edge = Relay::start(&[
        "--pull",
        &rules[0],
        "--pull",
        &rules[1],
        "--pull-give-up",
        "20",
    ]);
    let mut healthy = Wire::play(edge.address(), "cam");
    healthy.until_number(kind::AUDIO, 4);
    let action = tailwater::rtmp::client::Action::Play;
    let mut other = Wire::connect_to(edge.address(), "bad", "cam", action);
    other.spread();
    edge.wait_log(&["role=pull", "reason=glitches"]);
    drop(other);
    publisher.send_all(&film.group(1));
    healthy.until_number(kind::AUDIO, 6);
    assert!(edge.resident_bytes() < 100 << 20);
}

#[test]
fn a_chain_of_three_passes_everything_on() {
    let origin = Relay::start(&[]);
    let middle = edge_of(&[origin.address()], &[]);
    let edge = edge_of(&[middle.address()], &["--workers", "2"]);
    let whole = of_file(PlayerProgram::Ffmpeg9.judge(), &media::file(&H264_AAC));
    let dir = scratch("chain");
    let mut player = Player::start(PlayerProgram::Ffmpeg9, &edge.url("cam"), &dir, "cam");
    origin.wait_log(&["reason=rejected"]);
    let mut publisher = Program::Ffmpeg9.publish(
        &media::file(&H264_AAC),
        &origin.url("cam"),
        Speed::RealTime,
        &dir,
    );
    publisher.succeed(A_WHILE);
    let got = player.tracks();
    // It joined before the publish, and the first tries found nothing.
    assert_end("a chain of three", &got, &whole, 25);
}

#[test]
fn nginx_is_an_origin() {
    let unused = Relay::start(&[]);
    let dir = scratch("nginx");
    let nginx = Nginx::start(unused.address(), &dir);
    let url = nginx.url("live", "cam");
    let rule = url.strip_suffix("/live/cam").unwrap();
    let edge = Relay::start(&["--pull", rule, "--pull-give-up", "3"]);
    let file = media::file(&H264_AAC);
    let mut publisher = Program::Ffmpeg9.publish(&file, &url, Speed::RealTime, &dir);
    pause(Duration::from_millis(500));
    let mut player = Player::start(PlayerProgram::Ffmpeg5, &edge.url("cam"), &dir, "edge");
    publisher.succeed(A_WHILE);
    let whole = of_file(PlayerProgram::Ffmpeg5.judge(), &file);
    assert_end("from nginx by an edge", &player.tracks(), &whole, 25);
}

#[test]
fn packets_are_the_same_at_the_origin_and_at_the_edge() {
    let origin = Relay::start(&["--grace", "1"]);
    let edge = edge_of(
        &[origin.address()],
        &["--workers", "2", "--pull-give-up", "3"],
    );
    let file = media::file(&H264_AAC);
    let whole = of_file(PlayerProgram::Ffmpeg9.judge(), &file);
    let dir = scratch("same");
    // Held open by a player that is there first, so that the edge has the stream from its start.
    let mut players: Vec<Player> = (0..3)
        .map(|number| {
            let name = format!("player{number}");
            Player::start(PlayerProgram::Ffmpeg9, &edge.url("cam"), &dir, &name)
        })
        .collect();
    edge.wait_players(3);
    let mut publisher = Program::Ffmpeg9.publish(&file, &origin.url("cam"), Speed::RealTime, &dir);
    publisher.succeed(A_WHILE);
    let mut all: Vec<_> = players.iter_mut().map(Player::tracks).collect();
    let first = all.pop().unwrap();
    assert_end("an edge's player", &first, &whole, 25);
    for other in all {
        assert_same("players of one edge", &other, &first);
    }
}

/// An origin that redirects to `to` when it is asked to connect, or to play.
fn redirecting(to: &str, at_connect: bool) -> Origin {
    let answer = origin::redirect(to, at_connect);
    Origin::scripted(match at_connect {
        true => Script {
            connect: answer,
            ..Script::default()
        },
        false => Script {
            play: answer,
            ..Script::default()
        },
    })
}

#[test]
fn redirects_of_connect_and_play_are_followed() {
    let good = Relay::start(&[]);
    let mut film = Film::new("edge", 0);
    let _publisher = publisher(&good, "cam", &mut film);
    let connect_url = format!("rtmp://{}/live", good.address());
    let play_url = format!("rtmp://{}/live/cam", good.address());
    for (url, at_connect) in [
        (&connect_url, true),
        (&connect_url, false),
        (&play_url, false),
    ] {
        let bad = redirecting(url, at_connect);
        let edge = edge_of(&[bad.address()], &["--pull-give-up", "3"]);
        let mut player = Wire::play(edge.address(), "cam");
        player.until_number(kind::AUDIO, 4);
        edge.wait_log(&["pull stream=\"live/cam\"", &good.address().to_string()]);
        assert_eq!(bad.asked().len(), 1);
    }
}

#[test]
fn redirects_of_connect_name_an_app_and_those_of_play_a_stream() {
    for (at_connect, expected) in [(true, "live/eu cam "), (false, "live eu ")] {
        let there = Origin::scripted(Script::default());
        let bad = redirecting(&format!("rtmp://{}/live/eu", there.address()), at_connect);
        let edge = edge_of(&[bad.address()], &["--pull-give-up", "3"]);
        let _player = Wire::play(edge.address(), "cam");
        wait_for("a play there", SOON, || {
            there
                .asked()
                .first()
                .cloned()
                .filter(|asked| asked == expected)
        });
    }
}

#[test]
fn redirects_to_other_hosts_and_in_a_circle_are_refused() {
    let good = Relay::start(&[]);
    let mut film = Film::new("edge", 0);
    let _publisher = publisher(&good, "cam", &mut film);
    let port = good.address().port();
    let far = format!("rtmp://localhost:{port}/live");
    let bad = redirecting(&far, true);
    let allow = format!("localhost:{port}");
    let edge = edge_of(&[bad.address()], &["--redirect-allow", &allow]);
    Wire::play(edge.address(), "cam").until_number(kind::AUDIO, 4);
    // To a host that nobody has named: the other origin is asked.
    let edge = edge_of(&[bad.address(), good.address()], &[]);
    let named: Vec<_> = (0..8).map(|n| format!("cam{n}")).collect();
    let mut publishers: Vec<Wire> = Vec::new();
    for stream in &named {
        publishers.push(publisher(&good, stream, &mut Film::new("edge", 0)));
        Wire::play(edge.address(), stream).until_number(kind::AUDIO, 4);
    }
    edge.wait_log(&["redirect refused", "not allowed"]);
    // To itself, for ever.
    let circle = redirecting("/live", true);
    let edge = edge_of(
        &[circle.address()],
        &["--pull-give-up", "1", "--play-wait", "0"],
    );
    let mut player = Wire::play(edge.address(), "cam");
    player.until_status("NetStream.Play.StreamNotFound");
    edge.wait_log(&["redirect refused", "too many redirects"]);
    assert!(circle.asked().len() <= 16, "{:?}", circle.asked());
}

#[test]
fn a_banned_stream_is_fetched_no_more() {
    let origin = Relay::start(&[]);
    let flags = ["--admin", "127.0.0.1:0", "--grace", "1", "--workers", "2"];
    let edge = edge_of(&[origin.address()], &flags);
    let mut film = Film::new("edge", 0);
    let _publisher = publisher(&origin, "cam", &mut film);
    let mut player = Wire::play(edge.address(), "cam");
    player.until_number(kind::AUDIO, 4);
    let mut http = Http::connect(edge.admin());
    let path = "/api/v1/bans?stream=live/cam";
    assert_eq!(http.request("PUT", path, "").status, 200);
    player.until_closed();
    edge.wait_stat("pulls", 0);
    let mut again = Wire::play(edge.address(), "cam");
    again.until_status("NetStream.Play.StreamNotFound");
    assert_eq!(edge.stats()["pulls"], 0);
    assert_eq!(http.request("DELETE", path, "").status, 200);
    let mut free = Wire::play(edge.address(), "cam");
    free.until_number(kind::AUDIO, 4);
}
