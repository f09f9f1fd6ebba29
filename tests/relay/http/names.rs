//! Names of streams in paths: whatever a stream can be called, browsers send with escapes.

use super::{media_up_to, relay_with};
use support::SOON;
use support::http::{FlvPlayer, Http, Way};
use support::wire::{Film, Wire};

/// `name` as browsers put it into a path.
fn escaped(name: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    name.bytes().map(escape).collect()
}

#[test]
fn regression_names_of_every_script_are_played_by_http() {
    let relay = relay_with(&["--workers", "2"]);
    for name in [
        "my cam",
        "\u{30AB}\u{30E1}\u{30E9}",
        "k\u{E4}mera",
        "\u{43A}\u{430}\u{43C}\u{435}\u{440}\u{430}/\u{645}\u{628}",
        "\u{1F3A5}",
        "50%",
        "caf%C3%A9",
        "a+b&c=d;e,f",
    ] {
        let mut film = Film::new("film", 0);
        let mut publisher = Wire::publish(relay.address(), name);
        let mut sent = film.headers.clone();
        sent.extend(film.group(2));
        publisher.send_all(&sent);
        publisher.spread();
        let path = format!("/live/{}", escaped(name));
        for way in Way::BOTH {
            let players = relay.on_each_worker(2, || {
                let mut http = Http::connect(relay.http());
                http.send(way.request(&format!("{path}.flv?token=1"), ""));
                let mut player = FlvPlayer::over(http, way);
                player.begin(SOON);
                player
            });
            for mut player in players {
                media_up_to(&mut player, &sent);
            }
        }
        let page = Http::connect(relay.http()).get(&path);
        assert_eq!(page.status, 200, "{name}");
        assert!(page.text().contains("../-/player.js"));
    }
    // As it is, for those that send no escapes.
    let mut http = Http::connect(relay.http());
    http.send(Way::Plain.request("/live/\u{1F3A5}.flv", ""));
    FlvPlayer::over(http, Way::Plain).begin(SOON);
}

#[test]
fn escapes_that_make_another_path_are_refused() {
    let relay = relay_with(&["--play-wait", "0"]);
    let mut http = Http::connect(relay.http());
    for path in [
        "/live%2Fcam",
        "/live/a%2fb",
        "/live/%00",
        "/live/cam%0A",
        "/live/cam%3Ftoken",
        "/live/%252F",
        "/live/%252e%252e/cam",
        "/live/%2e%2e/cam",
        "/live/%FF",
        "/live/%C0%AE",
        "/live/%zz",
        "/live/%",
        "/live/%E2%80%AE",
        "/live/%22",
    ] {
        for path in [path.to_owned(), format!("{path}.flv")] {
            let answer = http.get(&path);
            assert_eq!(answer.status, 400, "{path}: {answer:?}");
            assert!(answer.text().len() > 10, "{path}: {answer:?}");
        }
    }
}
