//! `/metrics`, read by the reader of the Prometheus project's own client for Python.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that fails panics, and says where"
)]

mod support;

use std::process::Command;

use support::http::Http;
use support::process::Process;
use support::relay::Relay;
use support::wire::{Film, Wire};
use support::{SOON, scratch};

/// Prints each sample of the text in the file it is given: name, labels, value.
const READER: &str = "import sys
sys.path.insert(0, sys.argv[1])
from prometheus_client.openmetrics.parser import text_string_to_metric_families as families
for family in families(open(sys.argv[2]).read()):
    for sample in family.samples:
        print(sample.name, sorted(sample.labels.items()), float(sample.value))
";

#[test]
fn prometheus_reads_all_of_it_names_of_strangers_too() {
    let parser = std::env::var("TAILWATER_PROMETHEUS")
        .expect("TAILWATER_PROMETHEUS names prometheus-client for Python; scripts/test fetches it");
    let relay = Relay::start(&["--admin", "127.0.0.1:0", "--workers", "2"]);
    let mut film = Film::new("scrape", 0);
    // What names may have that means something in labels.
    let mut publisher = Wire::publish(relay.address(), "cam-1.two");
    publisher.send_all(&film.headers_again(0));
    publisher.send_all(&film.group(4));
    let _player = Wire::play(relay.address(), "cam-1.two");
    relay.wait_players(1);
    let answer = Http::connect(relay.admin()).get("/metrics");
    let dir = scratch("scrape");
    let file = dir.join("metrics");
    std::fs::write(&file, answer.text()).unwrap();
    let mut command = Command::new("python3");
    command.args(["-c", READER, &parser]).arg(&file);
    let mut reader = Process::start("reader", &dir, &mut command);
    reader.succeed(SOON);
    let samples = reader.out();
    assert!(samples.lines().count() > 100, "{samples}");
    for sample in [
        "tailwater_stream_players [('stream', 'live/cam-1.two')] 1.0",
        "tailwater_worker_answers [('worker', '1')] 1.0",
        "tailwater_build_info [('version', ",
    ] {
        assert!(samples.contains(sample), "no {sample} in {samples}");
    }
}
