//! Replays on a stable compiler what the fuzz targets know: the committed corpora, the inputs that
//! have shown a defect once, and the seeds that the targets begin with. `scripts/fuzz` finds more.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails panics, and says where"
)]

mod seeds;

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use tailwater::worker::close_reason::CloseReason;
use tailwater_exercise::{edge, http, proxy, stream};
use tailwater_rtmp_exercise::{self as exercise, leaves};

/// A fuzz target: its name in fuzz/Cargo.toml, and what it does with an input.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 10] = [
    ("handshake", leaves::handshake),
    ("chunks", |data| {
        leaves::reader(data);
        exercise::chunks(data);
    }),
    ("amf0", leaves::amf0),
    ("server", |data| _ = exercise::server(data)),
    ("client", |data| _ = exercise::client(data)),
    ("media", |data| {
        leaves::media(data);
        stream::exercise(data);
    }),
    ("names", leaves::name),
    ("proxy", proxy::exercise),
    ("http", |data| _ = http::exercise(data)),
    ("edge", |data| _ = edge::exercise(data)),
];

/// Bytes of all corpora together; they are in every clone.
const CORPUS_BYTES_MAX: usize = 300 * 1_024;

fn fuzz_dir() -> PathBuf {
    support::root().join("fuzz")
}

/// What is in a directory, in order.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<_> = listed.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Runs `run` on every file of `dir`, which has some; how many bytes they have together.
#[track_caller]
fn replay(dir: &Path, run: fn(&[u8])) -> usize {
    let files = entries(dir);
    assert!(!files.is_empty(), "{} has no inputs", dir.display());
    let mut bytes = 0;
    for file in files {
        let input = fs::read(&file).unwrap();
        bytes += input.len();
        let ended = catch_unwind(AssertUnwindSafe(|| run(&input)));
        assert!(ended.is_ok(), "{} fails", file.display());
    }
    bytes
}

fn target(name: &str) -> Target {
    let found = TARGETS.iter().find(|(target, _)| *target == name);
    *found.unwrap_or_else(|| panic!("no target is called {name}"))
}

#[test]
fn every_target_survives_its_corpus() {
    let corpus = fuzz_dir().join("corpus");
    let bytes: usize = TARGETS
        .iter()
        .map(|(name, run)| replay(&corpus.join(name), *run))
        .sum();
    assert!(bytes <= CORPUS_BYTES_MAX, "the corpora have {bytes} bytes");
    assert_eq!(entries(&corpus).len(), TARGETS.len(), "one for each target");
}

#[test]
fn defects_that_were_found_stay_fixed() {
    let dirs = entries(&fuzz_dir().join("regressions"));
    assert!(!dirs.is_empty(), "there are no regressions");
    for dir in dirs {
        let (_, run) = target(dir.file_name().unwrap().to_str().unwrap());
        replay(&dir, run);
    }
}

#[test]
fn every_target_survives_its_seeds_and_every_beginning_of_them() {
    for (name, run) in TARGETS {
        let seeds = seeds::of(name);
        assert!(seeds.len() >= 4, "{name} has {} seeds", seeds.len());
        for (seed, input) in seeds {
            // Every end of a short seed, and a few of a long one.
            for end in (0..=input.len()).step_by(1 + input.len() / 97) {
                let ended = catch_unwind(AssertUnwindSafe(|| run(&input[..end])));
                assert!(ended.is_ok(), "{name}: {end} bytes of {seed} fail");
            }
        }
    }
}

#[test]
fn changed_proxy_headers_are_read_alike() {
    for (_, seed) in seeds::of("proxy") {
        for byte in 0..seed.len() {
            for wrong in [0, b' ', b'\r', 0xFF] {
                let mut header = seed.clone();
                header[byte] = wrong;
                proxy::exercise(&header);
            }
        }
    }
}

#[test]
fn golden_sessions_get_all_the_way() {
    for (seed, media, replies) in [
        ("publish", 5, 9),
        ("publish-shaken", 5, 9),
        ("publish-scripted", 3, 8),
        ("play", 0, 9),
        ("play-scripted", 0, 14),
    ] {
        let reached = exercise::server(&seeds::named("server", seed));
        assert_eq!(reached.end, None, "{seed}");
        assert_eq!(reached.media, media, "{seed}");
        assert!(reached.replies >= replies, "{seed}: {reached:?}");
    }
    for (seed, media, events) in [("play", 5, 9), ("play-shaken", 5, 9), ("publish", 0, 5)] {
        let reached = exercise::client(&seeds::named("client", seed));
        assert_eq!(reached.end, None, "{seed}");
        assert_eq!(reached.media, media, "{seed}");
        assert!(reached.events >= events, "{seed}: {reached:?}");
    }
    let reached = exercise::chunks(&seeds::named("chunks", "publish"));
    assert_eq!((reached.end, reached.events >= 10), (None, true));
}

#[test]
fn requests_and_frames_get_all_the_way() {
    for (seed, requests, end) in [
        ("pages", 3, None),
        ("stream", 1, None),
        ("upgrade", 1, None),
        ("frames", 0, Some("websocket_closed")),
        ("body", 0, Some("http_request")),
        ("late", 2, None),
    ] {
        let reached = http::exercise(&seeds::named("http", seed));
        assert_eq!(reached.requests.len(), requests, "{seed}");
        assert_eq!(
            reached.end.map(|end| CloseReason::from(end).code()),
            end,
            "{seed}"
        );
    }
}

/// The requests that a seed of HTTP comes to.
fn requests(seed: &str) -> Vec<tailwater::http::request::Request> {
    http::exercise(&seeds::named("http", seed)).requests
}

#[test]
fn seeds_of_http_reach_paths_proxies_and_pages() {
    let paths: Vec<_> = requests("escapes")
        .iter()
        .map(|request| tailwater::http::path::decoded(&request.path).ok())
        .collect();
    let decoded = ["/live/my cam\u{30AB}", "/live/%2F"].map(|path| Some(path.to_owned()));
    assert_eq!(paths[..2], decoded);
    assert_eq!(paths[2..], [const { None }; 4]);
    for (seed, client, host) in [
        ("forwarded", "[::ffff:10.0.0.2]:0", "tv.example:8443"),
        ("forwarded-elements", "[2001:db8::1]:0", ""),
    ] {
        let forwarded = &requests(seed)[0].forwarded;
        let nobody = |_| false;
        let last = forwarded.client(nobody).map(|client| client.to_string());
        assert_eq!(last.as_deref(), Some(client), "{seed}");
        assert_eq!(forwarded.host().unwrap_or_default(), host, "{seed}");
        // The one before the first that says something is nobody's.
        let first = forwarded.client(|_| true).map(|client| client.to_string());
        assert!(
            first.is_some_and(|first| !first.contains("0.0.0.0")),
            "{seed}"
        );
    }
    let chosen = requests("subprotocols")[0].websocket_protocol.clone();
    assert_eq!(chosen.as_deref(), Some("flv.v1"));
    assert_eq!(
        requests("preflight")[0].wanted_fields,
        "range, x-own,if-none-match"
    );
    for seed in ["page-of-another", "fetch-site"] {
        assert!(tailwater::http::origin::is_foreign(
            &requests(seed)[0],
            "relay:8080"
        ));
    }
}

#[test]
fn seeds_of_streams_get_all_the_way() {
    for (seed, messages, held, returns, starts, live_edges) in [
        ("stream", 43, 0, 0, 1, 1),
        ("stream-returns", 56, 3, 3, 1, 1),
        ("stream-slow-player", 156, 0, 0, 10, 1),
        ("stream-radio", 24, 0, 0, 2, 1),
        ("stream-live-edge", 51, 0, 0, 2, 2),
        ("stream-clocks", 15, 0, 0, 1, 1),
    ] {
        let got = stream::exercise(&seeds::named("media", seed));
        assert_eq!((got.messages, got.held), (messages, held), "{seed}");
        assert_eq!((got.returns, got.starts), (returns, starts), "{seed}");
        assert_eq!(
            (got.live_edges, got.tags),
            (live_edges, messages - 1),
            "{seed}"
        );
    }
}

#[test]
fn seeds_of_redirects_get_all_the_way() {
    for (seed, followed, refused, last) in [
        ("chain", 3, 0, "rtmps://c:443/x/y"),
        ("relative", 4, 0, "rtmp://h:7/room/deep"),
        ("addresses", 2, 3, "rtmp://192.0.2.1:1/live"),
        ("refused", 0, 9, "rtmp://h:1935/live"),
        ("stream-named", 2, 0, "rtmp://b:1935/live"),
        ("folders", 2, 2, ""),
    ] {
        let reached = edge::exercise(&seeds::named("edge", seed));
        assert_eq!(reached.tc_urls.len(), 1 + followed, "{seed}: {reached:?}");
        assert_eq!(reached.refused, refused, "{seed}: {reached:?}");
        let end = reached.tc_urls.last().unwrap();
        assert!(last.is_empty() || end == last, "{seed}: {end}");
    }
    for (seed, is_marker) in [
        ("marker", true),
        ("marker-long", true),
        ("marker-odd", false),
    ] {
        let reached = edge::exercise(&seeds::named("edge", seed));
        assert_eq!(reached.via.is_some(), is_marker, "{seed}");
    }
}

#[test]
fn the_targets_of_the_fuzz_crate_are_these() {
    let here: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let manifest = fs::read_to_string(fuzz_dir().join("Cargo.toml")).unwrap();
    let bins = manifest.split("[[bin]]").skip(1);
    let named = bins.map(|bin| bin.split('"').nth(1).unwrap().to_owned());
    assert_eq!(named.collect::<BTreeSet<_>>(), here);
    let files = entries(&fuzz_dir().join("fuzz_targets"));
    let stems = files
        .iter()
        .map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned());
    assert_eq!(stems.collect::<BTreeSet<_>>(), here);
}

/// Not a test: `scripts/fuzz` has the seeds written to the directory that it names.
#[test]
#[ignore = "writes to TAILWATER_SEEDS"]
fn write_the_seeds() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the script says where, and has no flags to say it by"
    )]
    let dir = PathBuf::from(std::env::var("TAILWATER_SEEDS").unwrap());
    for (name, _) in TARGETS {
        let dir = dir.join(name);
        fs::create_dir_all(&dir).unwrap();
        for (seed, input) in seeds::of(name) {
            fs::write(dir.join(format!("seed-{seed}")), input).unwrap();
        }
    }
}
