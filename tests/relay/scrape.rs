//! `/metrics`, read by the Prometheus project's own client for Python and checked by its promtool.

use std::process::Command;

use support::http::Http;
use support::process::Process;
use support::relay::Relay;
use support::wire::{Film, Wire};
use support::{SOON, scratch};

/// Prints each sample of the text in the file it is given: name, labels, value.
const READER: &str = "import sys
sys.path.insert(0, sys.argv[1])
if sys.argv[3] == 'openmetrics':
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as families
else:
    from prometheus_client.parser import text_string_to_metric_families as families
for family in families(open(sys.argv[2]).read()):
    for sample in family.samples:
        print(sample.name, sorted(sample.labels.items()), float(sample.value))
";

/// A relay with a publisher and a player of a stream whose name means something in labels.
fn busy_relay() -> (Relay, [Wire; 2]) {
    let relay = Relay::start(&["--admin", "127.0.0.1:0", "--workers", "2"]);
    let mut film = Film::new("scrape", 0);
    let mut publisher = Wire::publish(relay.address(), "cam-1.two");
    publisher.send_all(&film.headers_again(0));
    publisher.send_all(&film.group(4));
    let player = Wire::play(relay.address(), "cam-1.two");
    relay.wait_players(1);
    (relay, [publisher, player])
}

/// The samples of a text as the reader of the Prometheus project's client finds them.
fn samples(text: &str, format: &str) -> String {
    let parser = std::env::var("TAILWATER_PROMETHEUS")
        .expect("TAILWATER_PROMETHEUS names prometheus-client for Python; scripts/test fetches it");
    let dir = scratch("scrape");
    let file = dir.join("metrics");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new("python3");
    command.args(["-c", READER, &parser]).arg(&file).arg(format);
    let mut reader = Process::start("reader", &dir, &mut command);
    reader.succeed(SOON);
    reader.out()
}

#[test]
fn prometheus_reads_both_formats_whole() {
    let (relay, _clients) = busy_relay();
    let asked = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3";
    for (accept, format, content_type) in [
        ("*/*", "classic", "text/plain; version=0.0.4; charset=utf-8"),
        (
            asked,
            "openmetrics",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ] {
        let mut http = Http::connect(relay.admin());
        let answer = http.request("GET", "/metrics", &format!("Accept: {accept}\r\n"));
        assert_eq!(answer.field("content-type"), Some(content_type));
        let samples = samples(&answer.text(), format);
        assert!(samples.lines().count() > 100, "{samples}");
        for sample in [
            "tailwater_stream_players [('stream', 'live/cam-1.two')] 1.0",
            "tailwater_worker_answers [('worker', '1')] 1.0",
            "tailwater_build_info [('version', ",
        ] {
            assert!(samples.contains(sample), "no {sample} in {samples}");
        }
    }
}

#[test]
fn regression_promtool_accepts_the_metrics() {
    let promtool = std::env::var("TAILWATER_PROMTOOL")
        .expect("TAILWATER_PROMTOOL names promtool of Prometheus; scripts/test fetches it");
    let (relay, _clients) = busy_relay();
    let text = Http::connect(relay.admin()).get("/metrics").text();
    let dir = scratch("promtool");
    let file = dir.join("metrics");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$1\" check metrics <\"$2\"", "sh", &promtool]);
    command.arg(&file);
    let mut checker = Process::start("promtool", &dir, &mut command);
    checker.succeed(SOON);
    assert_eq!((checker.out(), checker.err()), Default::default());
}
