//! From what was observed to figures, and whether they may be reported at all: a generator that
//! was itself short of time measures itself.

use crate::client::Seen;
use crate::generator::Outcome;
use crate::measure::quantile;
use crate::plan::Plan;
use crate::report::Report;
use crate::scrape::Scraped;

/// How busy and how late the generator may have been.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Share of a core.
    pub busy_max: f64,
    /// Milliseconds that one message in a hundred may have been late by.
    pub late_ms_max: f64,
}

/// Why the figures say more about the generator than about the server; empty when they do not.
pub fn refusals(outcome: &Outcome, patience: &Patience) -> Vec<String> {
    let mut reasons = Vec::new();
    let busy = share(outcome.own.cpu_ns, outcome.elapsed_ns);
    if busy > patience.busy_max {
        reasons.push(format!(
            "the generator used {:.0} % of its core, at most {:.0} % is allowed",
            busy * 100.0,
            patience.busy_max * 100.0
        ));
    }
    let mut late = outcome.seen.late_ns.clone();
    late.sort_unstable();
    let late_ms = quantile(&late, 0.99) as f64 / 1e6;
    if late_ms > patience.late_ms_max {
        reasons.push(format!(
            "one message in a hundred was published {late_ms:.1} ms late or more, at most \
             {} ms is allowed (--late-max)",
            patience.late_ms_max
        ));
    }
    reasons
}

/// All figures of a run.
pub fn report(plan: &Plan, outcome: &Outcome) -> Report {
    let mut report = Report::default();
    let seconds = outcome.elapsed_ns as f64 / 1e9;
    let following = (plan.players - plan.stalled) as f64;
    let streams = plan.streams as f64;
    report.add("seconds", "measured (s)", seconds);
    report.add("streams", "streams", streams);
    report.add("players", "players", plan.players as f64);
    if let Some(http) = &plan.http {
        report.add("http_players", "of which by HTTP", http.count as f64);
    }
    report.add("stalled", "of which never read", plan.stalled as f64);
    let mbit = |bytes: u64| bytes as f64 * 8.0 / 1e6 / seconds;
    report.add("in_mbps", "published (Mbit/s)", mbit(outcome.seen.bytes_in));
    report.add("out_mbps", "played (Mbit/s)", mbit(outcome.seen.bytes_out));
    let cpu_s = outcome.server.cpu_ns as f64 / 1e9;
    report.add("server_cpu_s", "server CPU (s)", cpu_s);
    let busy = 100.0 * share(outcome.server.cpu_ns, outcome.elapsed_ns);
    report.add("server_core_pct", "server CPU (% of a core)", busy);
    let waited = 100.0 * share(outcome.server.waited_ns, outcome.elapsed_ns);
    report.add("server_waited_pct", "server waited for a core (%)", waited);
    let per = |count: f64| cpu_s * 1e6 / seconds / count;
    report.add(
        "cpu_us_per_player_s",
        "server CPU per player-second (µs)",
        per(following),
    );
    report.add(
        "cpu_us_per_stream_s",
        "server CPU per stream-second (µs)",
        per(streams),
    );
    let bytes = outcome.seen.bytes_in + outcome.seen.bytes_out;
    report.add(
        "cpu_s_per_gb",
        "server CPU per GB in and out (s)",
        cpu_s * 1e9 / bytes as f64,
    );
    add_memory(&mut report, plan, outcome);
    add_players(&mut report, plan, outcome);
    if plan.scrape.is_some() {
        add_scraped(&mut report, &outcome.scraped);
    }
    let own = 100.0 * share(outcome.own.cpu_ns, outcome.elapsed_ns);
    report.add("own_core_pct", "generator CPU (% of a core)", own);
    let waited = 100.0 * share(outcome.own.waited_ns, outcome.elapsed_ns);
    report.add("own_waited_pct", "generator waited for a core (%)", waited);
    add_times(
        &mut report,
        &outcome.seen.late_ns,
        [
            ("late_p50_ms", "published late, median (ms)"),
            ("late_p99_ms", "published late, p99 (ms)"),
            ("late_max_ms", "published late, most (ms)"),
        ],
    );
    report
}

fn add_memory(report: &mut Report, plan: &Plan, outcome: &Outcome) {
    let memory = &outcome.memory;
    let grown = |from: u64, to: u64| to as f64 - from as f64;
    report.add(
        "rss_start_kib",
        "server memory at the start (KiB)",
        memory.at_start as f64,
    );
    report.add(
        "rss_publishers_kib",
        "... with the publishers (KiB)",
        memory.with_publishers as f64,
    );
    report.add(
        "rss_players_kib",
        "... with the players (KiB)",
        memory.with_players as f64,
    );
    report.add("rss_end_kib", "... at the end (KiB)", memory.at_end as f64);
    report.add(
        "rss_growth_kib",
        "grown while measured (KiB)",
        grown(memory.with_players, memory.at_end),
    );
    let per_stream = grown(memory.at_start, memory.with_publishers) / plan.streams as f64;
    report.add("rss_per_stream_kib", "per stream (KiB)", per_stream);
    let per_player = grown(memory.with_publishers, memory.with_players) / plan.players as f64;
    report.add("rss_per_player_kib", "per player (KiB)", per_player);
}

fn add_players(report: &mut Report, plan: &Plan, outcome: &Outcome) {
    let seen = &outcome.seen;
    let tally = seen.tally.with(&seen.http_tally);
    if plan.checked > 0 {
        report.add("checked", "messages checked", tally.messages as f64);
        report.add("lost", "lost", tally.lost as f64);
        report.add("misplaced", "out of order or twice", tally.misplaced as f64);
        report.add("corrupt", "corrupt", tally.corrupt as f64);
        add_times(
            report,
            &tally.delays_ns,
            [
                ("delay_p50_ms", "delay, median (ms)"),
                ("delay_p99_ms", "delay, p99 (ms)"),
                ("delay_max_ms", "delay, most (ms)"),
            ],
        );
    }
    if plan.checked > 0 && plan.http.is_some() {
        add_kinds(report, seen);
    }
    let bytes = &outcome.bytes_of_players;
    let middle = quantile(bytes, 0.5);
    let starved = bytes
        .iter()
        .filter(|&&count| count < middle / 10 * 9)
        .count();
    report.add(
        "starved",
        "players with under 90 % of the bytes",
        starved as f64,
    );
    report.add("closed", "connections closed early", outcome.closed as f64);
    add_times(
        report,
        &outcome.seen.first_frame_ns,
        [
            ("first_frame_p50_ms", "first frame, median (ms)"),
            ("first_frame_p99_ms", "first frame, p99 (ms)"),
            ("first_frame_max_ms", "first frame, last (ms)"),
        ],
    );
    if plan.storm > 0 {
        report.add("storm", "players in the storm", plan.storm as f64);
        report.add(
            "storm_missing",
            "... without a frame",
            outcome.storm_missing as f64,
        );
        add_times(
            report,
            &outcome.seen.storm_first_frame_ns,
            [
                ("storm_p50_ms", "... first frame, median (ms)"),
                ("storm_p99_ms", "... first frame, p99 (ms)"),
                ("storm_max_ms", "... first frame, last (ms)"),
            ],
        );
    }
}

/// What the checked players of each kind saw, where there are two.
fn add_kinds(report: &mut Report, seen: &Seen) {
    report.add("rtmp_lost", "by RTMP: lost", seen.tally.lost as f64);
    add_times(
        report,
        &seen.tally.delays_ns,
        [
            ("rtmp_delay_p50_ms", "... delay, median (ms)"),
            ("rtmp_delay_p99_ms", "... delay, p99 (ms)"),
            ("rtmp_delay_max_ms", "... delay, most (ms)"),
        ],
    );
    report.add("http_lost", "by HTTP: lost", seen.http_tally.lost as f64);
    add_times(
        report,
        &seen.http_tally.delays_ns,
        [
            ("http_delay_p50_ms", "... delay, median (ms)"),
            ("http_delay_p99_ms", "... delay, p99 (ms)"),
            ("http_delay_max_ms", "... delay, most (ms)"),
        ],
    );
}

/// What it took the server to tell its figures.
fn add_scraped(report: &mut Report, scraped: &Scraped) {
    report.add(
        "scrapes",
        "answers with figures",
        scraped.times_ns.len() as f64,
    );
    let mean = scraped.bytes as f64 / scraped.times_ns.len() as f64;
    report.add("scrape_bytes", "... bytes of one", mean);
    add_times(
        report,
        &scraped.times_ns,
        [
            ("scrape_p50_ms", "... after, median (ms)"),
            ("scrape_p99_ms", "... after, p99 (ms)"),
            ("scrape_max_ms", "... after, most (ms)"),
        ],
    );
}

/// Median, 99th percentile and maximum of `samples`, when there are any.
fn add_times(report: &mut Report, samples: &[u64], names: [(&'static str, &'static str); 3]) {
    if samples.is_empty() {
        return;
    }
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    for ((key, label), quant) in names.into_iter().zip([0.5, 0.99, 1.0]) {
        report.add(key, label, quantile(&sorted, quant) as f64 / 1e6);
    }
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Tally;
    use crate::client::{Server, Wire};
    use crate::generator::Memory;
    use crate::measure::Usage;
    use crate::plan::HttpPlayers;

    const SECOND_NS: u64 = 1_000_000_000;

    fn plan() -> Plan {
        let server = Server {
            address: "127.0.0.1:1".parse().unwrap(),
            tls: None,
            wire: Wire::Bare { chunk_size: 128 },
        };
        Plan::for_tests(server)
    }

    fn outcome(own_cpu_ns: u64, late_ns: Vec<u64>) -> Outcome {
        Outcome {
            elapsed_ns: 10 * SECOND_NS,
            server: Usage {
                cpu_ns: 4_000_000,
                waited_ns: SECOND_NS,
                rss_kib: 5_000,
            },
            own: Usage {
                cpu_ns: own_cpu_ns,
                ..Usage::default()
            },
            memory: Memory {
                at_start: 1_000,
                with_publishers: 1_100,
                with_players: 1_150,
                at_end: 1_140,
            },
            seen: Seen {
                late_ns,
                bytes_in: 1_000_000,
                bytes_out: 3_000_000,
                ..Seen::default()
            },
            bytes_of_players: vec![80, 99, 100, 100],
            closed: 0,
            closed_why: None,
            storm_missing: 0,
            scraped: Scraped::default(),
        }
    }

    #[test]
    fn a_generator_without_time_of_its_own_is_refused() {
        let patience = Patience {
            busy_max: 0.90,
            late_ms_max: 20.0,
        };
        let refused = |own_cpu_ns, late_ns| refusals(&outcome(own_cpu_ns, late_ns), &patience);
        let mut late = vec![1_000_000; 1_000];
        assert!(refused(8 * SECOND_NS, late.clone()).is_empty());
        assert!(refused(9 * SECOND_NS + 1, Vec::new())[0].contains("90 % of its core"));
        late[..5].fill(900_000_000);
        assert!(refused(0, late.clone()).is_empty());
        late[..15].fill(30_000_000);
        assert!(refused(0, late)[0].contains("30.0 ms late"));
    }

    #[test]
    fn figures_are_per_player_that_follows_and_second() {
        let report = report(&plan(), &outcome(SECOND_NS, Vec::new()));
        for (key, expected) in [
            ("cpu_us_per_player_s", 100.0),
            ("cpu_us_per_stream_s", 400.0),
            ("cpu_s_per_gb", 1.0),
            ("server_core_pct", 0.04),
            ("server_waited_pct", 10.0),
            ("own_core_pct", 10.0),
            ("rss_per_stream_kib", 100.0),
            ("rss_per_player_kib", 10.0),
            ("rss_growth_kib", -10.0),
            ("starved", 1.0),
            ("out_mbps", 2.4),
        ] {
            assert_eq!(report.value(key), Some(expected), "{key}");
        }
        assert_eq!(report.value("delay_p50_ms"), None);
    }

    #[test]
    fn two_kinds_of_players_are_told_together_and_apart() {
        let mut plan = plan();
        let http = HttpPlayers {
            play_from: plan.play_from.clone(),
            count: 2,
        };
        plan.http = Some(http);
        let mut outcome = outcome(SECOND_NS, Vec::new());
        let tally = |lost, delay_ms: u64| Tally {
            messages: 10,
            lost,
            delays_ns: vec![delay_ms * 1_000_000; 10],
            ..Tally::default()
        };
        outcome.seen.tally = tally(1, 20);
        outcome.seen.http_tally = tally(2, 30);
        let told = report(&plan, &outcome);
        for (key, expected) in [
            ("http_players", 2.0),
            ("checked", 20.0),
            ("lost", 3.0),
            ("delay_p50_ms", 20.0),
            ("delay_p99_ms", 30.0),
            ("rtmp_lost", 1.0),
            ("rtmp_delay_p99_ms", 20.0),
            ("http_lost", 2.0),
            ("http_delay_p50_ms", 30.0),
        ] {
            assert_eq!(told.value(key), Some(expected), "{key}");
        }
        plan.http = None;
        assert_eq!(report(&plan, &outcome).value("http_lost"), None);
    }
}
