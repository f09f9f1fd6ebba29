//! The bench against the real relay, small and short: every part of it runs and its figures are
//! there. What the figures are is no matter here.

#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tailwater_testkit::binary;

const BENCH: &str = env!("CARGO_BIN_EXE_tailwater-bench");
/// A machine busy with other tests is late; that is no failure here.
const PATIENT: [&str; 5] = ["--late-max", "5000", "--busy-max", "100", "--quiet"];

struct Relay {
    process: Child,
    /// What it speaks, and where.
    doors: Vec<(String, String)>,
}

impl Relay {
    fn start() -> Self {
        Self::start_with(1, &[])
    }

    /// A relay that listens with TLS, too, and its certificate, which is in `dir`.
    fn start_with_tls(dir: &Path) -> (Self, PathBuf) {
        let files = tailwater_bench::certificate::make(dir).unwrap();
        let [certificate, key] = files.each_ref().map(|path| path.to_str().unwrap());
        let listen = ["--listen-tls", "127.0.0.1:0", "--tls-cert"];
        let flags = [&listen[..], &[certificate, "--tls-key", key]].concat();
        (Self::start_with(2, &flags), files[0].clone())
    }

    /// A relay that listens by HTTP, too: for players, and for the operator.
    fn start_with_http() -> Self {
        Self::start_with(3, &["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
    }

    /// A relay that tells of `doors` listeners.
    fn start_with(doors: usize, more: &[&str]) -> Self {
        let mut process = Command::new(binary::relay())
            .args([
                "--listen",
                "127.0.0.1:0",
                "--workers",
                "1",
                "--cpus",
                "none",
            ])
            .args(["--log", "warn"])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = process.stdout.as_mut().unwrap();
        let lines = BufReader::new(out).lines().take(doors);
        let door = |line: std::io::Result<String>| {
            let line = line.unwrap();
            let (what, address) = line.strip_prefix("listening ")?.split_once(' ')?;
            Some((what.to_owned(), address.to_owned()))
        };
        let doors = lines.map(|line| door(line).unwrap()).collect();
        Self { process, doors }
    }

    /// `SCHEME://ADDRESS` of the listener that speaks `what`.
    fn url(&self, what: &str, scheme: &str) -> String {
        let mut doors = self.doors.iter();
        let (_, address) = doors.find(|(speaks, _)| speaks == what).unwrap();
        format!("{scheme}://{address}")
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Runs the bench and gives its figures.
#[track_caller]
fn figures(arguments: &[&str]) -> Value {
    let run = Command::new(BENCH)
        .args(arguments)
        .args(PATIENT)
        .args(["--json", "-"])
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{:?}: {complaints}", run.status);
    let result: Value = serde_json::from_slice(&run.stdout).unwrap();
    result["figures"].clone()
}

#[track_caller]
fn check(figures: &Value, equal: &[(&str, f64)], above_zero: &[&str]) {
    for &(key, expected) in equal {
        assert_eq!(figures[key].as_f64(), Some(expected), "{key} in {figures}");
    }
    for &key in above_zero {
        assert!(figures[key].as_f64().unwrap() > 0.0, "{key} in {figures}");
    }
}

const NOTHING_WRONG: [(&str, f64); 5] = [
    ("lost", 0.0),
    ("misplaced", 0.0),
    ("corrupt", 0.0),
    ("starved", 0.0),
    ("closed", 0.0),
];

#[test]
fn load_on_the_relay_loses_nothing_and_has_all_figures() {
    let relay = Relay::start();
    let url = relay.url("rtmp", "rtmp") + "/live";
    let figures = figures(&[
        "load",
        "--url",
        &url,
        "--publishers",
        "2",
        "--players",
        "20",
        "--stall",
        "2",
        "--storm",
        "10",
        "--seconds",
        "3",
        "--warm-up",
        "1",
    ]);
    check(
        &figures,
        &[("streams", 2.0), ("players", 20.0), ("storm_missing", 0.0)],
        &[
            "checked",
            "server_cpu_s",
            "cpu_us_per_player_s",
            "cpu_s_per_gb",
            "rss_start_kib",
            "rss_end_kib",
            "delay_p50_ms",
            "delay_p99_ms",
            "delay_max_ms",
            "first_frame_p99_ms",
            "storm_p99_ms",
            "own_core_pct",
            "late_max_ms",
        ],
    );
    check(&figures, &NOTHING_WRONG, &[]);
    // Eight checked players, 68 messages a second each.
    let checked = figures["checked"].as_f64().unwrap();
    assert!((1_300.0..2_000.0).contains(&checked), "{checked}");
}

#[test]
fn players_come_by_http_alone_and_beside_others_and_lose_nothing() {
    let relay = Relay::start_with_http();
    let url = relay.url("rtmp", "rtmp") + "/live";
    let streams = relay.url("http", "http") + "/live";
    let short = ["--seconds", "2", "--warm-up", "1", "--publishers", "2"];
    let load = ["load", "--url", &url, "--players", "20"];
    let alone = ["--play-url", &streams, "--stall", "2", "--storm", "10"];
    let alone = figures(&[&load[..], &alone, &short].concat());
    check(
        &alone,
        &[("players", 20.0), ("stalled", 2.0), ("storm_missing", 0.0)],
        &[
            "checked",
            "cpu_us_per_player_s",
            "out_mbps",
            "delay_p50_ms",
            "storm_p99_ms",
        ],
    );
    check(&alone, &NOTHING_WRONG, &[]);
    let beside = ["--http-url", &streams, "--http-players", "20"];
    let both = figures(&[&load[..], &beside, &short].concat());
    check(
        &both,
        &[
            ("players", 40.0),
            ("http_players", 20.0),
            ("http_lost", 0.0),
        ],
        &["checked", "rtmp_delay_p50_ms", "http_delay_p99_ms"],
    );
    check(&both, &NOTHING_WRONG, &[]);
    // Eight checked players, 68 messages a second each.
    for figures in [&alone, &both] {
        let checked = figures["checked"].as_f64().unwrap();
        assert!((800.0..1_500.0).contains(&checked), "{checked}");
    }
    // Each stream has 20 players; headers of tags and of chunks differ little.
    let mbit = |key: &str| both[key].as_f64().unwrap();
    let copies = mbit("out_mbps") / mbit("in_mbps");
    assert!((17.0..23.0).contains(&copies), "{copies}");
}

#[test]
fn figures_are_asked_for_each_second_and_answers_other_than_200_end_the_run() {
    let relay = Relay::start_with_http();
    let url = relay.url("rtmp", "rtmp") + "/live";
    let admin = relay.url("admin", "http");
    let load = ["load", "--url", &url, "--seconds", "3", "--warm-up", "1"];
    let paths = format!("{admin}/metrics,{admin}/api/v1/streams");
    let figures = figures(&[&load[..], &["--scrape", &paths]].concat());
    check(
        &figures,
        &NOTHING_WRONG,
        &["scrape_p50_ms", "scrape_max_ms", "scrape_bytes"],
    );
    let answers = figures["scrapes"].as_f64().unwrap();
    assert!((4.0..=8.0).contains(&answers), "{answers}");
    let nothing = format!("{admin}/healthz,{admin}/nothing/here");
    let run = Command::new(BENCH)
        .args(load)
        .args(["--quiet", "--scrape", &nothing])
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(1));
    let complaint = String::from_utf8_lossy(&run.stderr);
    assert!(
        complaint.contains("/nothing/here: was answered with 404"),
        "{complaint}"
    );
}

#[test]
fn publishers_and_players_come_by_tls_and_lose_nothing() {
    let dir = std::env::temp_dir().join(format!("tailwater-bench-tls-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let (relay, trusted) = Relay::start_with_tls(&dir);
    let [plain, tls] = ["rtmp", "rtmps"].map(|what| relay.url(what, what) + "/live");
    for publish_to in [&plain, &tls] {
        let figures = figures(&[
            "load",
            "--url",
            publish_to,
            "--play-url",
            &tls,
            "--tls-ca",
            trusted.to_str().unwrap(),
            "--players",
            "20",
            "--seconds",
            "2",
            "--warm-up",
            "1",
        ]);
        check(
            &figures,
            &[("players", 20.0)],
            &["checked", "cpu_us_per_player_s", "delay_p50_ms", "out_mbps"],
        );
        check(&figures, &NOTHING_WRONG, &[]);
    }
    // Who is not to be trusted is not measured.
    let run = Command::new(BENCH)
        .args(["load", "--quiet", "--url", &tls, "--tls-ca"])
        .arg(stranger(&dir))
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(1));
    let complaint = String::from_utf8_lossy(&run.stderr);
    assert!(complaint.contains("certificate"), "{complaint}");
    std::fs::remove_dir_all(dir).unwrap();
}

/// A certificate that is nobody's here.
fn stranger(dir: &Path) -> PathBuf {
    let dir = dir.join("stranger");
    std::fs::create_dir_all(&dir).unwrap();
    let [certificate, _] = tailwater_bench::certificate::make(&dir).unwrap();
    certificate
}

#[test]
fn the_floor_of_players_is_measured_at_once_and_in_batches() {
    for pace in ["0", "100"] {
        let figures = figures(&[
            "floor",
            "--players",
            "20",
            "--pace",
            pace,
            "--seconds",
            "2",
            "--warm-up",
            "1",
        ]);
        check(
            &figures,
            &NOTHING_WRONG,
            &["checked", "cpu_us_per_player_s", "delay_p50_ms"],
        );
    }
}

#[test]
fn the_floor_of_publishers_is_measured_at_once_and_in_batches() {
    for pace in ["0", "100"] {
        let figures = figures(&[
            "floor",
            "--ingest",
            "--publishers",
            "20",
            "--pace",
            pace,
            "--seconds",
            "2",
            "--warm-up",
            "0",
        ]);
        check(
            &figures,
            &[("closed", 0.0), ("players", 0.0)],
            &["cpu_us_per_stream_s", "in_mbps"],
        );
    }
}

#[test]
fn a_server_that_is_not_there_is_a_failure_and_wrong_flags_are_usage() {
    let status = |arguments: &[&str]| {
        let run = Command::new(BENCH).args(arguments).output().unwrap();
        run.status.code()
    };
    // Port 9 is discard: nothing listens there.
    assert_eq!(
        status(&["load", "--url", "rtmp://127.0.0.1:9/live", "--quiet"]),
        Some(1)
    );
    assert_eq!(status(&["load", "--players", "many"]), Some(2));
    assert_eq!(status(&["nothing"]), Some(2));
    for command in [&["load", "--help"][..], &["floor", "--help"], &["--help"]] {
        assert_eq!(status(command), Some(0));
    }
}

#[test]
fn a_comparison_leaves_samples_a_page_and_a_chart() {
    if tailwater::net::process::available_cpus().unwrap().len() < 2 {
        return;
    }
    let out = std::env::temp_dir().join(format!("tailwater-smoke-{}", std::process::id()));
    let run = Command::new(BENCH)
        .args([
            "compare",
            "--quick",
            "--rows",
            "fan-100-auto,tls-500,http-500,scrape-2000,reader-128",
            "--host",
            "Test 1",
        ])
        .args(["--nginx", "/nowhere", "--tailwater"])
        .arg(binary::relay())
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{complaints}");
    let folder = std::fs::read_dir(&out).unwrap().next().unwrap().unwrap();
    assert!(folder.file_name().to_string_lossy().ends_with("-test-1"));
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let samples = read("samples.jsonl");
    assert_eq!(samples.lines().count(), 10, "{samples}");
    assert!(!samples.contains("\"failed\""), "{samples}");
    let page = read("summary.md");
    assert!(page.contains("| nothing lost | none | yes |"), "{page}");
    assert!(!page.contains(&*out.to_string_lossy()), "{page}");
    assert!(read("chart.svg").contains("rml_rtmp"));
    assert!(read("command.txt").starts_with("tailwater-bench compare --quick"));
    std::fs::remove_dir_all(out).unwrap();
}
