//! From what was observed to figures, and whether they may be reported at all: a generator that
//! was itself short of time measures itself.

use crate::generator::Outcome;
use crate::measure::quantile;
use crate::plan::Plan;
use crate::report::Report;

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
    let tally = &outcome.seen.tally;
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
    use crate::client::{Seen, Server, Wire};
    use crate::generator::Memory;
    use crate::measure::Usage;
    use crate::media::Shape;

    const SECOND_NS: u64 = 1_000_000_000;

    fn plan() -> Plan {
        let server = Server {
            address: "127.0.0.1:1".parse().unwrap(),
            tls: None,
            wire: Wire::Bare { chunk_size: 128 },
        };
        Plan {
            publish_to: server.clone(),
            play_from: server,
            name: String::new(),
            streams: 1,
            publishes: true,
            players: 5,
            stalled: 1,
            checked: 2,
            storm: 0,
            ramp: 1,
            warm_up: 0,
            seconds: 10,
            shape: Shape {
                bitrate: 600_000,
                frame_rate: 25,
                key_interval: 50,
            },
            idle: false,
            chunk_size: 4_096,
            server_pids: vec![1],
        }
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
}
