//! Streams handed on to other servers: whole, and at nobody else's cost.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use support::http::Http;
use support::media::{self, Ffmpeg, H264_AAC, Recipe};
use support::nginx::Nginx;
use support::origin::{Behaviour, Origin};
use support::packets::{assert_end, of_file};
use support::players::{Player, Program as PlayerProgram};
use support::publishers::{Program, Speed};
use support::relay::{Relay, binary};
use support::target::{Target, refused_connect, status};
use support::wire::{Film, Media, Wire, media_of};
use support::{A_WHILE, SOON, free_address, pause, scratch, wait_for};
use tailwater::rtmp::amf0::Encoder;
use tailwater::rtmp::client::Action;
use tailwater::rtmp::message::{MessageStreamId, kind};

/// A relay that hands its streams on to `targets`.
fn pushing_to(targets: &[SocketAddr], flags: &[&str]) -> Relay {
    let rules: Vec<String> = targets.iter().map(|at| format!("rtmp://{at}")).collect();
    let mut all = Vec::new();
    for rule in &rules {
        all.extend(["--push", rule]);
    }
    all.extend(flags);
    Relay::start(&all)
}

#[test]
fn what_is_published_arrives_at_every_target_as_it_came() {
    let targets = [Relay::start(&[]), Relay::start(&[])];
    let relay = pushing_to(&[targets[0].address(), targets[1].address()], &[]);
    let mut film = Film::new("push", 0);
    let mut publisher = Wire::publish(relay.address(), "cam");
    publisher.send_all(&film.headers_again(0));
    publisher.send_all(&film.group(2));
    relay.wait_stat("pushes", 2);
    relay.wait_players(0);
    let mut players: Vec<Wire> = [&relay, &targets[0], &targets[1]]
        .map(|relay| Wire::play(relay.address(), "cam"))
        .into();
    publisher.send_all(&film.group(4));
    let seen: Vec<Vec<Media>> = players
        .iter_mut()
        .map(|player| media_of(&player.until_number(kind::AUDIO, 7)))
        .collect();
    // Where each began depends on when it came; the end is the same, headers at the front too.
    for media in &seen {
        assert_eq!(media[0].kind, kind::DATA);
        assert_eq!(media[0].payload, seen[0][0].payload);
        assert_eq!(media[media.len() - 10..], seen[0][seen[0].len() - 10..]);
    }
    drop(publisher);
    for player in &mut players {
        player.until_status("NetStream.Play.UnpublishNotify");
    }
}

#[test]
fn a_target_gets_metadata_as_from_an_encoder() {
    let target = Origin::start(Behaviour::Take);
    let rule = format!(
        "live=rtmp://{}/there/{{stream}}?{{query}}",
        target.address()
    );
    let relay = Relay::start(&["--push", &rule]);
    let mut film = Film::new("push", 0);
    let mut publisher = Wire::publish(relay.address(), "cam?key=1");
    publisher.send_all(&film.headers_again(0));
    publisher.send_all(&film.group(1));
    wait_for("publish at the target", SOON, || {
        target
            .asked()
            .contains(&"there cam key=1".to_owned())
            .then_some(())
    });
    let titles = |taken: &[(u8, Vec<u8>)]| {
        let data = taken.iter().filter(|(kind, _)| *kind == kind::DATA);
        let bodies: Vec<&Vec<u8>> = data.map(|(_, body)| body).collect();
        let wrapped = bodies
            .iter()
            .filter(|body| body.starts_with(b"\x02\x00\x0D@setDataFrame"));
        (bodies.len(), wrapped.count())
    };
    wait_for("metadata", SOON, || {
        (titles(&target.taken()) == (1, 1)).then_some(())
    });
    // In the middle of the stream as well.
    publisher.send(&Media::metadata(50, "another title"));
    publisher.send_all(&film.group(1));
    wait_for("metadata twice", SOON, || {
        (titles(&target.taken()) == (2, 2)).then_some(())
    });
    let other = Wire::connect_to(relay.address(), "other", "cam", Action::Publish);
    pause(Duration::from_millis(300));
    assert_eq!(target.asked().len(), 1, "one app only");
    drop(other);
}

#[test]
fn a_dead_target_costs_nobody_and_gets_the_stream_when_it_is_there() {
    let dead = free_address();
    let good = Relay::start(&[]);
    let relay = pushing_to(&[dead, good.address()], &[]);
    let mut film = Film::new("push", 0);
    let mut publisher = Wire::publish(relay.address(), "cam");
    publisher.send_all(&film.headers_again(0));
    publisher.send_all(&film.group(2));
    relay.wait_stat("pushes", 1);
    relay.wait_log(&["push failed", "refused"]);
    let mut player = Wire::play(good.address(), "cam");
    player.until_number(kind::AUDIO, 2);
    let late = Relay::start_on(&[&dead.to_string()], &[]);
    relay.wait_stat("pushes", 2);
    let mut player = Wire::play(late.address(), "cam");
    publisher.send_all(&film.group(2));
    player.until_number(kind::AUDIO, 5);
}

#[test]
fn a_target_that_reads_nothing_costs_nobody() {
    let target = Origin::start(Behaviour::Stall);
    let relay = pushing_to(
        &[target.address()],
        &["--lag-max", "64k", "--log-bytes", "1m"],
    );
    let mut film = Film::new("push", 0);
    let mut publisher = Wire::publish(relay.address(), "cam");
    publisher.send_all(&film.headers_again(0));
    publisher.send_all(&film.group(2));
    relay.wait_stat("pushes", 1);
    let mut player = Wire::play(relay.address(), "cam");
    let before = relay.resident_bytes();
    for group in 1..400 {
        publisher.send_all(&film.group(24));
        if group % 10 == 0 {
            player.until_number(kind::AUDIO, 2 + 25 * group);
        }
    }
    // 62 MB were sent; a log, and the blocks that are kept for the next, are what is held.
    let grown = relay.resident_bytes().saturating_sub(before);
    assert!(grown < 24 << 20, "{grown} bytes");
    // When it reads again, it goes on where the stream is, and what it missed is counted.
    let label = target.address().to_string();
    target.go_on();
    wait_for("bytes that were skipped", SOON, || {
        publisher.send_all(&film.group(2));
        pause(Duration::from_millis(50));
        let skipped = relay.target_stats(&label)["skipped_bytes"];
        (skipped > 32 << 20).then_some(())
    });
    relay.wait_target(&label, "connections", |count| count == 1);
}

#[test]
fn each_target_has_figures_of_its_own_and_their_lines_hold_no_key() {
    let (good, refusing) = (Relay::start(&[]), Origin::start(Behaviour::Refuse));
    let dead = free_address();
    let rules = [
        format!("rtmp://{}/live/SECRET-a?k=SECRET", good.address()),
        format!("rtmp://{}/live/SECRET-b", good.address()),
        format!("rtmp://{}", refusing.address()),
        format!("rtmp://{dead}/{{app}}/SECRET-{{stream}}"),
    ];
    let mut flags = vec!["--workers", "2"];
    flags.extend(rules.iter().flat_map(|rule| ["--push", rule.as_str()]));
    let relay = Relay::start(&flags);
    let mut film = Film::new("push", 0);
    let mut publisher = Wire::publish(relay.address(), "cam");
    publisher.send_all(&film.headers_again(0));
    publisher.send_all(&film.group(2));
    let first = format!("{}/live", good.address());
    for label in [first.clone(), format!("{first}#2")] {
        relay.wait_target(&label, "pushes", |count| count == 1);
        let figures = relay.target_stats(&label);
        let others = ["failures", "refusals", "skipped_bytes"];
        assert_eq!(others.map(|name| figures[name]), [0; 3], "{label}");
        relay.wait_target(&label, "connections", |count| count == 1);
    }
    let label = refusing.address().to_string();
    relay.wait_target(&label, "refusals", |count| count >= 2);
    let figures = relay.target_stats(&label);
    assert_eq!(figures["pushes"], 0);
    assert_eq!(figures["failures"], figures["refusals"]);
    assert!(figures["connections"] >= figures["refusals"]);
    let label = dead.to_string();
    relay.wait_target(&label, "failures", |count| count >= 2);
    let figures = relay.target_stats(&label);
    let others = ["pushes", "refusals", "connections", "out_bps"];
    assert_eq!(others.map(|name| figures[name]), [0; 4]);
    relay.wait_stat("pushes", 2);
    // What is sent to one is in its figures, and goes on to be there.
    publisher.send_all(&film.group(20));
    relay.wait_target(&first, "out_bps", |bits| bits > 1_000_000);
    drop(publisher);
    relay.wait_target(&first, "pushes", |count| count == 0);
    for text in [relay.out(), relay.log()] {
        assert!(!text.contains("SECRET"), "a key is shown");
    }
}

#[test]
fn a_refusal_is_told_and_with_strict_to_the_publisher() {
    let target = Origin::start(Behaviour::Refuse);
    let relay = pushing_to(&[target.address()], &[]);
    let mut publisher = Wire::publish(relay.address(), "cam");
    relay.wait_log(&["push failed", "Publish.Denied"]);
    publisher.spread();
    let strict = pushing_to(&[target.address()], &["--push-strict", "on"]);
    let mut publisher = Wire::connect(
        strict.address(),
        "cam",
        Action::Publish,
        &support::wire::Settings::default(),
    );
    publisher.until_status("NetStream.Publish.Denied");
    publisher.until_closed();
}

#[test]
fn nginx_is_a_target() {
    let unused = Relay::start(&[]);
    let dir = scratch("nginx");
    let nginx = Nginx::start(unused.address(), &dir);
    let url = nginx.url("live", "cam");
    let relay = Relay::start(&[
        "--grace",
        "1",
        "--push",
        url.strip_suffix("/live/cam").unwrap(),
    ]);
    let file = media::file(&H264_AAC);
    let mut publisher = Program::Ffmpeg9.publish(&file, &relay.url("cam"), Speed::RealTime, &dir);
    relay.wait_stat("pushes", 1);
    let mut player = Player::start(PlayerProgram::Ffmpeg5, &url, &dir, "cam");
    publisher.succeed(A_WHILE);
    let whole = of_file(PlayerProgram::Ffmpeg5.judge(), &file);
    // nginx drops its players without a word when its publisher is gone.
    player.process.wait(A_WHILE);
    assert_end("by way of nginx", &player.tracks_so_far(), &whole, 25);
}

const HEVC: Recipe = Recipe {
    name: "hevc-push",
    by: Ffmpeg::V9,
    options: "-t 4 -c:v libx265 -preset ultrafast -x265-params keyint=25:log-level=none -c:a aac",
};

#[test]
fn enhanced_codecs_survive_a_push_and_a_pull() {
    let origin = Relay::start(&["--grace", "1"]);
    let pushing = pushing_to(&[origin.address()], &["--grace", "1"]);
    let rule = format!("rtmp://{}", origin.address());
    let edge = Relay::start(&["--pull", &rule, "--pull-give-up", "3", "--play-wait", "20"]);
    let file = media::file(&HEVC);
    let dir = scratch("hevc");
    let mut player = Player::start(PlayerProgram::Ffmpeg9, &edge.url("cam"), &dir, "cam");
    edge.wait_stat("pulls", 1);
    let url = pushing.url("cam");
    let mut publisher = Program::Ffmpeg9.publish(&file, &url, Speed::RealTime, &dir);
    publisher.succeed(A_WHILE);
    let whole = of_file(PlayerProgram::Ffmpeg9.judge(), &file);
    assert_end("pushed and pulled", &player.tracks(), &whole, 25);
}

#[test]
fn a_key_may_be_a_query_alone() {
    let target = Target::start();
    let at = target.address();
    let relay = Relay::start(&[
        "--push",
        &format!("live=rtmp://{at}/live-bvc/?streamname=N&key=K&pflag=1"),
        "--push",
        &format!("live=rtmp://{at}/a/b/?streamname={{stream}}"),
    ]);
    let _publisher = Wire::publish(relay.address(), "cam?token=1");
    target.wait_published(2);
    let said = target.said();
    let apps = |app: &str| {
        let connect = said
            .iter()
            .find(|it| it.command == "connect" && it.name == app);
        let connect = connect.unwrap_or_else(|| panic!("{app} in {said:?}"));
        assert_eq!(connect.tc_url, format!("rtmp://{at}/{app}"));
        let of_it = said.iter().filter(|it| it.connection == connect.connection);
        let named =
            of_it.filter(|it| ["publish", "FCPublish", "releaseStream"].contains(&&*it.command));
        named.map(|it| it.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(apps("live-bvc"), ["?streamname=N&key=K&pflag=1"; 3]);
    assert_eq!(apps("a/b"), ["?streamname=cam"; 3]);
}

#[test]
fn user_and_password_of_a_url_are_shown_nowhere() {
    let open = Target::start();
    let closed = Target::scripted(|said| {
        let why = "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : ";
        (said.command == "connect").then(|| refused_connect(why, |_| {}))
    });
    let urls = [&open, &closed].map(|at| format!("rtmp://SECRET:SECRET2@{}/app/key", at.address()));
    let pull = format!("other=rtmp://SECRET:SECRET2@{}/app", closed.address());
    let flags = ["--push", &urls[0], "--push", &urls[1], "--pull", &pull];
    let relay = Relay::start(
        &[
            &flags[..],
            &["--admin", "127.0.0.1:0"],
            &["--pull-give-up", "1", "--play-wait", "0"],
        ]
        .concat(),
    );
    let _publisher = Wire::publish(relay.address(), "cam");
    open.wait_published(1);
    assert_eq!(open.published(), [(0, "key".to_owned())]);
    relay.wait_log(&["push failed", "asks for a user and password (authmod)"]);
    let mut player = Wire::connect_to(relay.address(), "other", "cam", Action::Play);
    player.until_status("NetStream.Play.StreamNotFound");
    relay.wait_log(&["pull failed", "asks for a user and password (authmod)"]);
    let mut texts = vec![relay.out(), relay.log(), format!("{:?}", open.said())];
    texts.push(format!("{:?}", closed.said()));
    for path in [
        "/metrics",
        "/api/v1/streams",
        "/api/v1/streams/live/cam",
        "/api/v1/workers",
    ] {
        texts.push(Http::connect(relay.admin()).get(path).text());
    }
    for bad in ["--print-config", "--push=rtmp://SECRET:SECRET2@:0/app"] {
        let output = std::process::Command::new(binary())
            .args(flags)
            .arg(bad)
            .output();
        let output = output.unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("***@"), "{text}");
        texts.push(text);
    }
    for text in texts {
        assert!(!text.contains("SECRET"), "shown in {text}");
    }
}

/// A Reconnect Request of E-RTMP v2.
fn reconnect_request(to: Option<String>) -> Vec<u8> {
    status(
        MessageStreamId::CONTROL,
        "status",
        "NetConnection.Connect.ReconnectRequest",
        |amf| {
            if let Some(to) = to {
                amf.string_property("tcUrl", &to);
            }
        },
    )
}

/// Whether pictures of `film` arrive at connection `at` of `target`, headers first.
#[track_caller]
fn wait_pictures(publisher: &mut Wire, film: &mut Film, target: &Target, at: usize) {
    wait_for("pictures at the target", SOON, || {
        publisher.send_all(&film.group(1));
        publisher.next(Duration::from_millis(20));
        let media = target.media(at);
        let pictures = media.iter().filter(|(kind, _)| *kind == kind::VIDEO);
        (pictures.count() > 2).then_some(())
    });
}

#[test]
fn a_target_that_asks_to_reconnect_elsewhere_is_followed() {
    let (first, second) = (Target::start(), Target::start());
    let rule = format!("rtmp://{}/app/key", first.address());
    let relay = Relay::start(&["--push", &rule, "--push-strict", "on"]);
    let mut film = Film::new("push", 0);
    let mut publisher = Wire::publish(relay.address(), "cam");
    publisher.send_all(&film.headers_again(0));
    wait_pictures(&mut publisher, &mut film, &first, 0);
    let to = format!("rtmp://{}/other", second.address());
    first.say(0, &reconnect_request(Some(to.clone())));
    second.wait_published(1);
    wait_pictures(&mut publisher, &mut film, &second, 0);
    assert_eq!(second.published(), [(0, "key".to_owned())]);
    assert_eq!(second.said()[0].tc_url, to);
    wait_for("end of the first", SOON, || {
        first.has_ended(0).then_some(())
    });
    let last = first.said().pop().unwrap();
    assert_eq!(last.command, "deleteStream", "it ends properly");
    relay.wait_stat("pushes", 1);
    let label = format!("{}/app", first.address());
    assert_eq!(relay.target_stats(&label)["refusals"], 0);
    // Where it is when that is lost: with the first.
    second.hang_up(0);
    first.wait_published(2);
    wait_pictures(&mut publisher, &mut film, &first, 1);
}

#[test]
fn a_target_that_asks_to_reconnect_is_called_again() {
    let target = Target::start();
    let rule = format!("rtmp://{}/app/key", target.address());
    let relay = Relay::start(&["--push", &rule, "--push-strict", "on"]);
    let mut film = Film::new("push", 0);
    let mut publisher = Wire::publish(relay.address(), "cam");
    publisher.send_all(&film.headers_again(0));
    wait_pictures(&mut publisher, &mut film, &target, 0);
    target.say(0, &reconnect_request(None));
    target.wait_published(2);
    wait_pictures(&mut publisher, &mut film, &target, 1);
    assert!(target.has_ended(0) || target.said().iter().any(|it| it.command == "deleteStream"));
}

#[test]
fn a_target_is_not_left_for_a_server_that_is_not_there() {
    let (target, dead) = (Target::start(), free_address());
    let rule = format!("rtmp://{}/app/key", target.address());
    let relay = Relay::start(&["--push", &rule, "--push-strict", "on"]);
    let mut film = Film::new("push", 0);
    let mut publisher = Wire::publish(relay.address(), "cam");
    publisher.send_all(&film.headers_again(0));
    wait_pictures(&mut publisher, &mut film, &target, 0);
    for to in [
        format!("rtmp://{dead}/app"),
        "rtmp://elsewhere.invalid/app".to_owned(),
    ] {
        target.say(0, &reconnect_request(Some(to)));
        let before = target.media(0).len();
        wait_for("media after the request", SOON, || {
            publisher.send_all(&film.group(1));
            publisher.next(Duration::from_millis(20));
            (target.media(0).len() > before + 50).then_some(())
        });
    }
    relay.wait_log(&["redirect refused", "not allowed"]);
    assert!(!target.has_ended(0));
    assert_eq!(target.published().len(), 1);
}

#[test]
fn a_target_may_want_the_name_to_be_free_first() {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    // The same server by another path: it has the name in use.
    let target = Target::scripted(move |said| {
        let count = asked.fetch_add(usize::from(said.command == "publish"), Ordering::Relaxed);
        (said.command == "publish" && count == 1).then(|| {
            status(
                MessageStreamId(1),
                "error",
                "NetStream.Publish.BadName",
                |_| {},
            )
        })
    });
    let url = format!("rtmp://{}/app", target.address());
    let relay = Relay::start(&["--push", &format!("{url}/key"), "--push-strict", "on"]);
    let mut film = Film::new("push", 0);
    let mut publisher = Wire::publish(relay.address(), "cam");
    publisher.send_all(&film.headers_again(0));
    wait_pictures(&mut publisher, &mut film, &target, 0);
    target.say(0, &reconnect_request(Some(url)));
    target.wait_published(3);
    wait_pictures(&mut publisher, &mut film, &target, 2);
    wait_for("end of the first", SOON, || {
        target.has_ended(0).then_some(())
    });
}

#[test]
fn targets_that_ask_to_reconnect_without_end_are_bounded() {
    let target = Target::scripted(|said| {
        let start = status(
            MessageStreamId(1),
            "status",
            "NetStream.Publish.Start",
            |_| {},
        );
        (said.command == "publish").then(|| [start, reconnect_request(None)].concat())
    });
    let rule = format!("rtmp://{}/app/key", target.address());
    let relay = Relay::start(&["--push", &rule, "--push-strict", "on"]);
    let mut film = Film::new("push", 0);
    let mut publisher = Wire::publish(relay.address(), "cam");
    publisher.send_all(&film.headers_again(0));
    target.wait_published(4);
    wait_pictures(&mut publisher, &mut film, &target, 3);
    pause(Duration::from_millis(500));
    assert_eq!(target.published().len(), 4);
}

#[test]
fn redirects_of_a_target_are_followed() {
    let there = Target::start();
    for refused in ["connect", "publish"] {
        let to = format!("rtmp://{}/there/other", there.address());
        let target = Target::scripted(move |said| {
            let more = |amf: &mut Encoder<'_>| {
                amf.key("ex").begin_object();
                amf.number_property("code", 302.0);
                amf.string_property("redirect", &to).end_object();
            };
            (said.command == refused).then(|| match refused {
                "connect" => refused_connect("302", more),
                _ => status(
                    MessageStreamId(1),
                    "error",
                    "NetStream.Publish.Denied",
                    more,
                ),
            })
        });
        let before = there.published().len();
        let rule = format!("rtmp://{}/app/key", target.address());
        let flags = [
            "--push",
            &rule,
            "--redirect-allow",
            "127.0.0.1",
            "--push-strict",
            "on",
        ];
        let relay = Relay::start(&flags);
        let mut film = Film::new("push", 0);
        let mut publisher = Wire::publish(relay.address(), "cam");
        publisher.send_all(&film.headers_again(0));
        there.wait_published(before + 1);
        wait_pictures(&mut publisher, &mut film, &there, before);
        // What answers connect names an app; what answers publish may name a stream.
        let name = if refused == "connect" { "key" } else { "other" };
        assert_eq!(there.published()[before].1, name);
        assert_eq!(
            target
                .said()
                .iter()
                .filter(|it| it.command == "connect")
                .count(),
            1
        );
    }
}
