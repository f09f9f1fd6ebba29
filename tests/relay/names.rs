//! One stream, however a client cuts its URL; and nothing of a query where people look.

use support::SOON;
use support::http::{FlvPlayer, Http, Way};
use support::relay::Relay;
use support::wire::{Film, Media, Seen, Wire, media_of};
use tailwater::rtmp::client::Action;
use tailwater::rtmp::message::kind;

const FLAGS: [&str; 8] = [
    "--http",
    "127.0.0.1:0",
    "--admin",
    "127.0.0.1:0",
    "--log",
    "debug",
    "--workers",
    "2",
];

/// A publisher that connects to `app` and publishes `name`, and has sent a key frame.
#[track_caller]
fn publish(relay: &Relay, app: &str, name: &str) -> Wire {
    let mut publisher = Wire::connect_to(relay.address(), app, name, Action::Publish);
    publisher.until_status("NetStream.Publish.Start");
    let mut film = Film::new("film", 0);
    publisher.send_all(&film.headers.clone());
    publisher.send_all(&film.group(2));
    publisher.spread();
    publisher
}

#[track_caller]
fn assert_plays(relay: &Relay, app: &str, name: &str) {
    let mut player = Wire::connect_to(relay.address(), app, name, Action::Play);
    let seen = player.until("picture", |seen| seen.media().is_some_and(Media::is_key));
    assert!(!media_of(&seen).is_empty(), "{app} and {name}");
}

#[track_caller]
fn assert_http(relay: &Relay, path: &str) {
    let mut http = Http::connect(relay.http());
    http.send(Way::Plain.request(path, ""));
    let mut player = FlvPlayer::over(http, Way::Plain);
    player.begin(SOON);
    player.until("picture", Media::is_key);
}

/// Nothing that people look at has any of `secrets` in it.
#[track_caller]
fn assert_hidden(relay: &Relay, secrets: &[&str]) {
    let mut shown = relay.log();
    for path in ["/api/v1/streams", "/api/v1/clients", "/metrics"] {
        let answer = Http::connect(relay.admin()).get(path);
        assert_eq!(answer.status, 200);
        shown += &answer.text();
    }
    for secret in secrets {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn regression_a_cut_in_the_query_makes_no_stream() {
    let relay = Relay::start(&FLAGS);
    // As ffmpeg and librtmp cut rtmp://relay/live/cam?token=aSecret/bSecret+c==
    let publisher = publish(&relay, "live/cam?token=aSecret", "bSecret+c==");
    for (app, name) in [
        ("live", "cam"),
        ("live", "cam?token=aSecret/bSecret+c=="),
        ("live", "cam?token=http://host.example/bSecret.png"),
        ("live/cam?token=http://host.example", "bSecret.png"),
        ("live?token=aSecret/bSecret", "cam"),
        ("live/cam?token=aSecret", ""),
    ] {
        assert_plays(&relay, app, name);
    }
    assert_http(&relay, "/live/cam.flv?token=aSecret/bSecret+c==");
    assert_hidden(&relay, &["Secret"]);
    drop(publisher);
}

#[test]
fn regression_a_stream_may_be_one_segment() {
    let origin = Relay::start(&FLAGS);
    let pull = format!("cam=rtmp://{}", origin.address());
    let edge = Relay::start(&[&FLAGS[..], &["--pull", &pull]].concat());
    // Without a name, and then without an app.
    for (app, name) in [("cam", ""), ("", "cam")] {
        let publisher = publish(&origin, app, name);
        for relay in [&origin, &edge] {
            assert_plays(relay, "cam", "");
            assert_plays(relay, "", "cam");
            assert_plays(relay, "cam?token=aSecret", "");
            assert_http(relay, "/cam.flv");
        }
        drop(publisher);
    }
    assert_hidden(&edge, &["Secret"]);
    let page = Http::connect(origin.http()).get("/cam");
    assert_eq!(page.status, 200);
}

#[test]
fn a_stream_of_one_segment_is_served_as_its_app() {
    let relay = Relay::start(&["--app", "cam"]);
    let _publisher = publish(&relay, "cam", "");
    assert_plays(&relay, "", "cam");
    let mut other = Wire::connect_to(relay.address(), "", "other", Action::Publish);
    let seen = other.until_closed();
    assert!(
        seen.contains(&Seen::status("NetStream.Publish.Denied")),
        "{seen:?}"
    );
}

#[test]
fn names_of_other_scripts_are_published_and_played() {
    let relay = Relay::start(&FLAGS);
    for name in [
        "می\u{200C}خواهم",
        "👩\u{200D}🚀",
        "東京\u{3000}配信",
        "soon\u{2026}",
    ] {
        let _publisher = publish(&relay, "live", name);
        assert_plays(&relay, "live", name);
    }
    let mut alike = Wire::connect_to(relay.address(), "live", "ca\u{200C}m", Action::Publish);
    let seen = alike.until_closed();
    assert!(
        seen.contains(&Seen::status("NetStream.Publish.BadName")),
        "{seen:?}"
    );
    assert_eq!(
        media_of(&seen)
            .iter()
            .filter(|media| media.kind == kind::VIDEO)
            .count(),
        0
    );
}
