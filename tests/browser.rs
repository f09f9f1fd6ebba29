//! The pages in a browser: headless Chromium plays a stream, and shows how the relay is. The last
//! picture of each is kept in the target directory, as `tmp/NAME.png`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails panics, and says where"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use support::media::{self, Ffmpeg, H264_AAC};
use support::process::Process;
use support::relay::Relay;
use support::{A_WHILE, scratch};

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

/// What `tests/pages/browse` tells of `url` after `seconds`; the picture is called `name`.
fn browse(url: &str, seconds: u32, name: &str, more: &[&str]) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let picture: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.png"));
    let dir = scratch(name);
    let mut command = Command::new(root.join("tests/pages/browse"));
    command.args([url, "--seconds", &seconds.to_string(), "--screenshot"]);
    command.arg(&picture).args(more);
    let mut browser = Process::start("browse", &dir, &mut command);
    browser.succeed(A_WHILE + Duration::from_secs(seconds.into()));
    let told = serde_json::from_str(&browser.out());
    let told: Value = told.unwrap_or_else(|error| panic!("{error}: {}", browser.out()));
    assert!(picture.metadata().unwrap().len() > 1_000, "{name}");
    assert_eq!(told["ok"], true, "{told:#}");
    told
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
    let _publisher = publish(&relay, &dir, 120);
    for (query, transport, name) in [("", "HTTP", "player"), ("?ws=1", "WebSocket", "player-ws")] {
        let url = format!("http://{}/live/cam{query}", relay.http());
        let told = browse(&url, 8, name, &[]);
        let stats = &told["result"];
        assert_eq!(stats["state"], "playing", "{told:#}");
        assert_eq!(stats["transport"], transport);
        assert_eq!(
            stats["errors"].as_array().map(Vec::len),
            Some(0),
            "{told:#}"
        );
        // 25 pictures a second for four seconds; half of them must do on a machine that is busy.
        let (frames, all) = grown(&told, "decodedFrames");
        assert!(frames >= 50.0 && all > frames, "{told:#}");
        assert!(grown(&told, "currentTime").0 > 2.0, "{told:#}");
        assert!(grown(&told, "decodedAudioBytes").0 > 0.0, "{told:#}");
    }
}

#[test]
fn the_status_page_shows_streams_and_workers() {
    let (relay, dir) = (relay_with(&["--workers", "2"]), scratch("status"));
    let _publisher = publish(&relay, &dir, 60);
    relay.wait_stat("publishers", 1);
    let url = format!("http://{}/", relay.admin());
    let script = "({page: document.body.innerText, ...window.tailwater.stats()})";
    // Somebody is banned.
    let ban = "(() => { const part = (id) => document.getElementById(id); \
               part('bans-add').click(); part('ban-target').value = '192.0.2.0/24'; \
               part('ban-reason').value = 'spam'; part('ban-form').requestSubmit(); })()";
    let told = browse(&url, 5, "status", &["--script", script, "--first", ban]);
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = scratch("modules");
    let mut command = Command::new(root.join("tests/pages/modules"));
    let mut modules = Process::start("modules", &dir, &mut command);
    modules.succeed(2 * A_WHILE);
}
