//! The bench against the real relay, small and short: every part of it runs and its figures are
//! there. What the figures are is no matter here.

#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

const BENCH: &str = env!("CARGO_BIN_EXE_tailwater-bench");
/// A machine busy with other tests is late; that is no failure here.
const PATIENT: [&str; 5] = ["--late-max", "5000", "--busy-max", "100", "--quiet"];

/// The relay's binary: TAILWATER_BIN, or built with the profile of this test.
fn relay_binary() -> PathBuf {
    if let Some(path) = std::env::var_os("TAILWATER_BIN") {
        return path.into();
    }
    let profile_dir = Path::new(BENCH).parent().unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.args([
        "build",
        "--quiet",
        "--locked",
        "--package",
        "tailwater",
        "--bin",
        "tailwater",
    ]);
    build.arg("--target-dir").arg(profile_dir.parent().unwrap());
    if profile_dir.ends_with("release") {
        build.arg("--release");
    }
    let built = build
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(built.success(), "the relay builds");
    profile_dir.join("tailwater")
}

struct Relay {
    process: Child,
    address: String,
    /// Where it listens with TLS, and whom to trust there.
    tls: Option<(String, PathBuf)>,
}

impl Relay {
    fn start() -> Self {
        Self::start_with(&[])
    }

    /// A relay that listens with TLS, too; its certificate is in `dir`.
    fn start_with_tls(dir: &Path) -> Self {
        let files = tailwater_bench::certificate::make(dir).unwrap();
        let [certificate, key] = files.map(|path| path.display().to_string());
        let listen = ["--listen-tls", "127.0.0.1:0", "--tls-cert"];
        let mut relay =
            Self::start_with(&[&listen[..], &[&certificate, "--tls-key", &key]].concat());
        let address = relay.listening("rtmps");
        relay.tls = Some((address, certificate.into()));
        relay
    }

    fn start_with(more: &[&str]) -> Self {
        let process = Command::new(relay_binary())
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
        let mut relay = Self {
            process,
            address: String::new(),
            tls: None,
        };
        relay.address = relay.listening("rtmp");
        relay
    }

    /// The address in the next line that it prints, which is about `protocol`.
    fn listening(&mut self, protocol: &str) -> String {
        let mut line = String::new();
        let out = self.process.stdout.as_mut().unwrap();
        // Read byte by byte: what follows the line is for later.
        BufReader::with_capacity(1, out)
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim()
            .strip_prefix(&format!("listening {protocol} "))
            .unwrap();
        address.to_owned()
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
    let url = format!("rtmp://{}/live", relay.address);
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
fn publishers_and_players_come_by_tls_and_lose_nothing() {
    let dir = std::env::temp_dir().join(format!("tailwater-bench-tls-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let relay = Relay::start_with_tls(&dir);
    let (address, trusted) = relay.tls.clone().unwrap();
    let [plain, tls] = [("rtmp", &relay.address), ("rtmps", &address)]
        .map(|(scheme, address)| format!("{scheme}://{address}/live"));
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
            "fan-100-auto,tls-500,reader-128",
            "--host",
            "Test 1",
        ])
        .args(["--nginx", "/nowhere", "--tailwater"])
        .arg(relay_binary())
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
    assert_eq!(samples.lines().count(), 6, "{samples}");
    assert!(!samples.contains("\"failed\""), "{samples}");
    let page = read("summary.md");
    assert!(page.contains("| nothing lost | none | yes |"), "{page}");
    assert!(!page.contains(&*out.to_string_lossy()), "{page}");
    assert!(read("chart.svg").contains("rml_rtmp"));
    assert!(read("command.txt").starts_with("tailwater-bench compare --quick"));
    std::fs::remove_dir_all(out).unwrap();
}
