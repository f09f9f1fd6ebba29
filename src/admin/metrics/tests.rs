//! That the text is what scrapers read, and what strangers call things breaks nothing.

use super::*;
use crate::config::Config;
use crate::worker::bans::Bans;
use crate::worker::query::{Owned, WorkerRow};
use std::time::Duration;

fn report(name: &str, epoch: u64, players: u64) -> StreamRow {
    StreamRow {
        name: name.into(),
        epoch,
        gauges: StreamGauges {
            players,
            bytes_out: 7,
            ..StreamGauges::default()
        },
        ..StreamRow::default()
    }
}

/// Two workers with these streams, and one that does not answer.
fn shown(streams: [Vec<StreamRow>; 2], format: Format) -> String {
    let told = streams.map(|streams| {
        let gauges = Gauges {
            players: 5,
            waiting: 2,
            busy_ns: 1_500_000_000,
            refused: 3,
            ..Gauges::default()
        };
        Some(Told::Worker(Box::new(WorkerRow {
            gauges,
            closes: vec![("peer_closed", 4)],
            refusals: vec![("publish", "in_use", 3)],
            streams,
            ..WorkerRow::default()
        })))
    });
    let told = told.into_iter().chain([None]).collect();
    let (config, bans) = (Config::default(), Bans::default());
    let context = Context {
        time_ms: 1,
        uptime: Duration::from_secs(9),
        draining: false,
        config: &config,
        bans: &bans,
        targets: &[],
        counters: Counters {
            requests: 6,
            ..Counters::default()
        },
    };
    text(told, &context, Process::default(), format)
}

#[track_caller]
fn has(text: &str, line: &str) {
    assert!(text.lines().any(|known| known == line), "{line} in {text}");
}

#[test]
fn what_workers_told_is_added_up_where_it_belongs_together() {
    let streams = [
        vec![report("live/a", 1, 2), report("live/b", 2, 1)],
        vec![report("live/a", 1, 3)],
    ];
    let text = shown(streams, Format::OpenMetrics);
    has(&text, "tailwater_stream_players{stream=\"live/a\"} 5");
    has(
        &text,
        "tailwater_stream_sent_bytes_total{stream=\"live/b\"} 7",
    );
    has(&text, "tailwater_busy_seconds_total{worker=\"1\"} 1.5");
    has(&text, "tailwater_worker_answers{worker=\"2\"} 0");
    has(
        &text,
        "tailwater_connections{worker=\"0\",role=\"player\"} 3",
    );
    has(
        &text,
        "tailwater_connections{worker=\"0\",role=\"waiting\"} 2",
    );
    has(&text, "tailwater_closes_total{reason=\"peer_closed\"} 8");
    has(
        &text,
        "tailwater_refusals_total{request=\"publish\",reason=\"in_use\"} 6",
    );
    has(
        &text,
        "tailwater_limit_hits_total{limit=\"max-connections\"} 6",
    );
    let version = env!("CARGO_PKG_VERSION");
    has(
        &text,
        &format!("tailwater_build_info{{version=\"{version}\"}} 1"),
    );
    has(&text, "tailwater_uptime_seconds 9.0");
    has(&text, "tailwater_admin_requests_total 6");
    assert!(text.ends_with("\n# EOF\n"));
}

#[test]
fn every_metric_of_the_table_is_announced_once_and_nothing_else_is_there() {
    let text = shown(
        [vec![report("live/a", 1, 2)], Vec::new()],
        Format::OpenMetrics,
    );
    for metric in table() {
        let line = format!("# TYPE {} {}", metric.name, metric.kind.as_str());
        assert_eq!(
            text.lines().filter(|known| *known == line).count(),
            1,
            "{line}"
        );
        let is_named = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(metric.name.chars().all(is_named), "{}", metric.name);
        for suffix in ["_total", "_info", "_ms"] {
            assert!(!metric.name.ends_with(suffix), "{}", metric.name);
        }
    }
    let samples: Vec<String> = table().iter().map(Metric::sample).collect();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        assert!(samples.iter().any(|sample| sample == name), "{line}");
    }
}

#[test]
fn both_formats_have_the_same_samples() {
    let streams = || [vec![report("live/a", 1, 2)], Vec::new()];
    let samples = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    };
    let classic = shown(streams(), Format::Classic);
    let open = shown(streams(), Format::OpenMetrics);
    assert_eq!(samples(&classic), samples(&open));
    has(&classic, "# TYPE tailwater_skips_total counter");
    has(&classic, "# TYPE tailwater_build_info gauge");
    assert!(!classic.contains("# EOF"));
}

#[test]
fn accept_chooses_the_format_and_classic_is_the_default() {
    let open = "application/openmetrics-text";
    for (accept, wanted) in [
        ("", Format::Classic),
        ("*/*", Format::Classic),
        ("text/html, */*;q=0.1", Format::Classic),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            Format::OpenMetrics,
        ),
        (open, Format::OpenMetrics),
        ("Application/OpenMetrics-Text; Q=0.5", Format::OpenMetrics),
        ("application/openmetrics-text;q=0", Format::Classic),
        ("application/openmetrics-text;q=x", Format::Classic),
        (
            "text/plain, application/openmetrics-text;q=0.9",
            Format::Classic,
        ),
    ] {
        assert_eq!(Format::of_accept(accept), wanted, "{accept}");
    }
}

#[test]
fn names_of_strangers_stay_within_their_quotes() {
    let name = "live/a\"} 1\ntailwater_lie{x=\"\\";
    let text = shown([vec![report(name, 1, 2)], Vec::new()], Format::default());
    let line = r#"tailwater_stream_players{stream="live/a\"} 1\ntailwater_lie{x=\"\\"} 2"#;
    has(&text, line);
    assert!(!text.lines().any(|line| line.starts_with("tailwater_lie")));
}

#[test]
fn names_that_nobody_has_published_make_no_series() {
    let owned = |state| StreamRow {
        owned: Some(Owned {
            state,
            ..Owned::default()
        }),
        ..report("live/a", 1, 2)
    };
    for (state, is_shown) in [
        (State::Live, true),
        (State::Away, true),
        (State::Pulling, false),
        (State::Waiting, false),
    ] {
        let text = shown([vec![owned(state)], Vec::new()], Format::default());
        assert_eq!(text.contains("live/a"), is_shown, "{state:?}");
    }
}

#[test]
fn only_so_many_streams_have_series_and_the_youngest_are_one() {
    let count = limits::METRIC_STREAMS_MAX as u64 + 2;
    let streams = (0..count).map(|number| report(&format!("live/{number}"), number + 1, 1));
    let mut both = [streams.collect::<Vec<_>>(), Vec::new()];
    both[1] = both[0].split_off(1_000);
    let text = shown(both, Format::default());
    let series = |line: &&str| line.starts_with("tailwater_stream_players{");
    assert_eq!(
        text.lines().filter(series).count(),
        limits::METRIC_STREAMS_MAX + 1
    );
    has(&text, "tailwater_stream_players{stream=\"live/0\"} 1");
    has(&text, "tailwater_stream_players{stream=\"other\"} 2");
}
