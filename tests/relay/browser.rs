//! The pages in a browser: headless Chromium plays a stream, and shows how the relay is. The last
//! picture of each is kept in the target directory, as `tmp/NAME.png`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use rustix::process::Signal;
use support::http::Http;
use support::media::{self, Ffmpeg, H264_AAC};
use support::process::Process;
use support::relay::Relay;
use support::wire::{Media, Wire};
use support::{A_WHILE, pause, scratch};
use tailwater::rtmp::message::kind;

/// A relay with both listeners of HTTP.
fn relay_with(flags: &[&str]) -> Relay {
    let mut all = vec!["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    all.extend(flags);
    Relay::start(&all)
}

/// Publishes `recipe` again and again, as fast as it is meant to be seen, until it is dropped.
fn publish(relay: &Relay, dir: &Path, seconds: u32) -> Process {
    let mut command = Ffmpeg::V5.command();
    let seconds = seconds.to_string();
    command.args(["-re", "-stream_loop", "-1", "-i"]);
    command.arg(media::file(&H264_AAC));
    command.args(["-t", &seconds, "-c", "copy", "-f", "flv", &relay.url("cam")]);
    Process::start("publisher", dir, &mut command)
}

/// What `web/tests/browse` tells of `url` after `seconds`; the picture is called `name`.
fn browse(url: &str, seconds: u32, name: &str, more: &[&str]) -> Value {
    let root = support::root();
    let picture: PathBuf = support::tmp().join(format!("{name}.png"));
    let dir = scratch(name);
    let mut command = Command::new(root.join("web/tests/browse"));
    command.args([url, "--seconds", &seconds.to_string(), "--screenshot"]);
    command.arg(&picture).args(more);
    let mut browser = Process::start("browse", &dir, &mut command);
    browser.succeed(2 * A_WHILE + Duration::from_secs(seconds.into()));
    let told = serde_json::from_str(&browser.out());
    let told: Value = told.unwrap_or_else(|error| panic!("{error}: {}", browser.out()));
    assert!(picture.metadata().unwrap().len() > 1_000, "{name}");
    assert_eq!(told["ok"], true, "{told:#}");
    told
}

/// For `--until`: the player plays, and `more` holds.
fn playing(more: &str) -> String {
    format!("now.state === 'playing' && {more}")
}

/// How much a figure of the player grew in the second half of the time, and what it was then.
fn grown(told: &Value, figure: &str) -> (f64, f64) {
    let at = |when: &str| {
        told[when][figure]
            .as_f64()
            .unwrap_or_else(|| panic!("{told:#}"))
    };
    (at("result") - at("early"), at("result"))
}

#[test]
fn the_page_of_a_stream_plays_it_by_http_and_by_websocket() {
    let (relay, dir) = (relay_with(&[]), scratch("browser"));
    let _publisher = publish(&relay, &dir, 240);
    for (query, transport, name) in [("", "HTTP", "player"), ("?ws=1", "WebSocket", "player-ws")] {
        let url = format!("http://{}/live/cam{query}", relay.http());
        let enough = playing(
            "now.decodedFrames - early.decodedFrames >= 50 && \
                              now.currentTime - early.currentTime > 2",
        );
        let told = browse(&url, 8, name, &["--until", &enough]);
        let stats = &told["result"];
        assert_eq!(stats["state"], "playing", "{told:#}");
        assert_eq!(stats["transport"], transport);
        assert_eq!(
            stats["errors"].as_array().map(Vec::len),
            Some(0),
            "{told:#}"
        );
        let (frames, all) = grown(&told, "decodedFrames");
        assert!(frames >= 50.0 && all > frames, "{told:#}");
        assert!(grown(&told, "currentTime").0 > 2.0, "{told:#}");
        assert!(grown(&told, "decodedAudioBytes").0 > 0.0, "{told:#}");
    }
}

/// The figures of the player, and what it says in words.
const SAID: &str = "({...window.tailwater.stats(), \
    said: document.getElementById('message').textContent, \
    start: !document.getElementById('start').hidden, \
    list: document.getElementById('errors').getBoundingClientRect().bottom <= innerHeight})";

/// The film with its parameter sets in the key frames and in no header, as cameras send it.
fn in_band() -> Vec<Media> {
    let mut film = media::messages(&media::file(&H264_AAC));
    let header = film
        .iter()
        .find(|media| media.kind == kind::VIDEO && media.is_header());
    // ISO/IEC 14496-15, 5.3.3.1, behind five bytes of the tag: sets with their lengths.
    let record = header.unwrap().payload[5..].to_vec();
    let set = |at: usize| {
        let len = usize::from(record[at]) << 8 | usize::from(record[at + 1]);
        record[at + 2..at + 2 + len].to_vec()
    };
    let first = set(6);
    let second = set(6 + 2 + first.len() + 1);
    let with_length = |set: Vec<u8>| [&[0, 0, 0, set.len().to_be_bytes()[7]][..], &set].concat();
    let sets = [with_length(first), with_length(second)].concat();
    film.retain(|media| media.kind != kind::VIDEO || !media.is_header());
    for picture in &mut film {
        if picture.kind == kind::VIDEO && picture.is_key() {
            picture.payload.splice(5..5, sets.iter().copied());
        }
    }
    film
}

/// Publishes `film` to `live/cam`, again and again, at its own speed, until `is_over`.
fn publish_wire(relay: &Relay, film: &[Media], is_over: &AtomicBool) {
    let mut wire = Wire::publish(relay.address(), "cam");
    let mut begin = 0;
    while !is_over.load(Ordering::Relaxed) {
        let mut last = 0;
        for media in film {
            pause(Duration::from_millis(
                media.time.saturating_sub(last).into(),
            ));
            last = media.time.max(last);
            wire.send(&media.at(begin + media.time));
            if is_over.load(Ordering::Relaxed) {
                return;
            }
        }
        begin += last + 40;
    }
}

#[test]
fn parameter_sets_that_come_with_the_pictures_are_played() {
    let relay = relay_with(&[]);
    let (film, is_over) = (in_band(), AtomicBool::new(false));
    let told = std::thread::scope(|scope| {
        scope.spawn(|| publish_wire(&relay, &film, &is_over));
        relay.wait_stat("publishers", 1);
        let url = format!("http://{}/live/cam", relay.http());
        let enough = playing("now.decodedFrames - early.decodedFrames >= 25");
        let more = ["--script", SAID, "--until", &enough];
        let told = browse(&url, 8, "player-in-band", &more);
        is_over.store(true, Ordering::Relaxed);
        told
    });
    assert_eq!(told["result"]["state"], "playing", "{told:#}");
    assert!(grown(&told, "decodedFrames").0 >= 25.0, "{told:#}");
    assert_eq!(told["result"]["errors"].as_array().unwrap().len(), 0);
}

#[test]
fn a_stream_without_parameter_sets_says_why_there_is_no_picture() {
    let relay = relay_with(&[]);
    let mut film = media::messages(&media::file(&H264_AAC));
    film.retain(|media| media.kind != kind::VIDEO || !media.is_header());
    let is_over = AtomicBool::new(false);
    let told = std::thread::scope(|scope| {
        scope.spawn(|| publish_wire(&relay, &film, &is_over));
        relay.wait_stat("publishers", 1);
        let url = format!("http://{}/live/cam", relay.http());
        let enough = "now.said.includes('without its header') && now.decodedAudioBytes > 0";
        let more = ["--script", SAID, "--until", enough];
        let told = browse(&url, 6, "player-no-header", &more);
        is_over.store(true, Ordering::Relaxed);
        told
    });
    let said = told["result"]["said"].as_str().unwrap();
    assert!(said.contains("without its header"), "{told:#}");
    assert!(grown(&told, "decodedAudioBytes").1 > 0.0, "{told:#}");
}

#[test]
fn a_page_says_that_the_broadcaster_has_gone() {
    let (relay, dir) = (relay_with(&["--grace", "60"]), scratch("gone"));
    let mut publisher = publish(&relay, &dir, 240);
    relay.wait_stat("publishers", 1);
    let url = format!("http://{}/live/cam", relay.http());
    let more = ["--script", SAID, "--until", "now.state === 'away'"];
    let told = std::thread::scope(|scope| {
        let page = scope.spawn(|| browse(&url, 16, "player-gone", &more));
        relay.wait_players(1);
        pause(Duration::from_secs(3));
        publisher.signal(Signal::KILL);
        page.join().unwrap()
    });
    assert_eq!(told["result"]["state"], "away", "{told:#}");
    let said = told["result"]["said"].as_str().unwrap();
    assert!(said.contains("broadcaster has gone"), "{told:#}");
}

#[test]
fn a_browser_that_plays_nothing_by_itself_shows_a_button() {
    let (relay, dir) = (relay_with(&[]), scratch("blocked"));
    let _publisher = publish(&relay, &dir, 240);
    relay.wait_stat("publishers", 1);
    let url = format!("http://{}/live/cam?autoplay=0", relay.http());
    let refuse = "HTMLMediaElement.prototype.play = \
        () => Promise.reject(new DOMException('no', 'NotAllowedError')); \
        document.getElementById('start').click()";
    let told = browse(
        &url,
        5,
        "player-blocked",
        &[
            "--script",
            SAID,
            "--first",
            refuse,
            "--until",
            "now.state === 'blocked'",
        ],
    );
    let result = &told["result"];
    assert_eq!(
        (&result["state"], &result["start"]),
        (&"blocked".into(), &true.into())
    );
}

#[test]
fn a_page_says_why_its_websocket_was_closed() {
    let (relay, dir) = (relay_with(&[]), scratch("kicked"));
    let _publisher = publish(&relay, &dir, 240);
    relay.wait_stat("publishers", 1);
    let url = format!("http://{}/live/cam?ws=1", relay.http());
    let enough = playing("now.errors.length > 0");
    let small = ["--script", SAID, "--size", "420x300", "--until", &enough];
    let told = std::thread::scope(|scope| {
        let page = scope.spawn(|| browse(&url, 12, "player-kicked", &small));
        relay.wait_players(1);
        let line = relay.wait_log(&[" play stream=\"live/cam\""]);
        let id = line
            .split("conn=")
            .nth(1)
            .unwrap()
            .split(' ')
            .next()
            .unwrap();
        let path = format!("/api/v1/clients/{id}");
        assert_eq!(
            Http::connect(relay.admin())
                .request("DELETE", &path, "")
                .status,
            200
        );
        page.join().unwrap()
    });
    let result = &told["result"];
    assert_eq!(result["state"], "playing", "{told:#}");
    let words = "the server has ended it: the operator ended it";
    assert_eq!(result["errors"], serde_json::json!([words]));
    assert_eq!(result["list"], true, "the errors are cut: {told:#}");
}

#[test]
fn the_status_page_shows_streams_and_workers() {
    let (relay, dir) = (relay_with(&["--workers", "2"]), scratch("status"));
    let _publisher = publish(&relay, &dir, 240);
    relay.wait_stat("publishers", 1);
    let url = format!("http://{}/", relay.admin());
    let script = "({page: document.body.innerText, ...window.tailwater.stats()})";
    // Somebody is banned.
    let ban = "(() => { const part = (id) => document.getElementById(id); \
               part('bans-add').click(); part('ban-target').value = '192.0.2.0/24'; \
               part('ban-reason').value = 'spam'; part('ban-form').requestSubmit(); })()";
    let enough = "now.refreshes - early.refreshes >= 2 && now.page.includes('spam')";
    let more = ["--script", script, "--first", ban, "--until", enough];
    let told = browse(&url, 5, "status", &more);
    let stats = &told["result"];
    assert_eq!(stats["state"], "connected", "{told:#}");
    assert_eq!(
        (&stats["streamRows"], &stats["workerRows"]),
        (&1.into(), &2.into())
    );
    let page = stats["page"].as_str().unwrap();
    for shown in ["live/cam", "avc1", "mp4a", "live", "192.0.2.0/24", "spam"] {
        assert!(page.contains(shown), "no {shown} in {page}");
    }
    assert!(grown(&told, "refreshes").0 >= 2.0, "{told:#}");
}

#[test]
fn the_modules_of_the_pages_do_what_they_say() {
    let root = support::root();
    let dir = scratch("modules");
    let mut command = Command::new(root.join("web/tests/modules"));
    let mut modules = Process::start("modules", &dir, &mut command);
    modules.succeed(2 * A_WHILE);
}
