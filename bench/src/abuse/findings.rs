//! What came of it: the healthy with and without abuse, what they must not lose, and what became
//! of the abusers, as tables and as JSON.

use serde_json::{Map, Value, json};

use super::abusers::Count;
use super::scripts::KINDS;
use crate::report::{Report, number};
use crate::subcommand::End;

/// What the healthy must not lose.
const LOSSES: [&str; 5] = ["lost", "misplaced", "corrupt", "starved", "closed"];

/// Fails with what the healthy lost, and when their delay rose by more than `slower_max`
/// milliseconds.
pub(super) fn judge(quiet: &Report, abused: &Report, slower_max: f64) -> Result<(), End> {
    let mut wrong = Vec::new();
    for (run, report) in [("quiet", quiet), ("abused", abused)] {
        for key in LOSSES {
            let count = report.value(key).unwrap_or(0.0);
            if count > 0.0 {
                wrong.push(format!("{run}: {key} {count}"));
            }
        }
    }
    if let (Some(before), Some(after)) = (quiet.value(DELAY), abused.value(DELAY)) {
        let slower = after - before;
        if slower > slower_max {
            wrong.push(format!(
                "the p99 of the delay rose by {slower:.1} ms, at most {slower_max} ms is allowed"
            ));
        }
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(End::Failed(wrong.join("; "))),
    }
}

const DELAY: &str = "delay_p99_ms";

/// Figures shown of both runs.
const SHOWN: [&str; 14] = [
    "players",
    "checked",
    "lost",
    "misplaced",
    "corrupt",
    "starved",
    "closed",
    "delay_p50_ms",
    DELAY,
    "delay_max_ms",
    "first_frame_p99_ms",
    "late_p99_ms",
    "server_core_pct",
    "rss_end_kib",
];

/// Both runs of the load as a table.
pub(super) fn side_by_side(quiet: &Report, abused: &Report) -> String {
    let mut text = format!("{:<20} {:>12} {:>12}\n", "the healthy", "quiet", "abused");
    let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
    for key in SHOWN {
        let (before, after) = (quiet.value(key), abused.value(key));
        if before.is_some() || after.is_some() {
            text += &format!("{key:<20} {:>12} {:>12}\n", shown(before), shown(after));
        }
    }
    text
}

/// What came of each kind of abuse as a table.
pub(super) fn table_of(counts: &[Count]) -> String {
    let mut text = format!(
        "{:<18} {:>8} {:>8} {:>8} {:>8} {:>10} {:>10}\n",
        "abuse", "tries", "refused", "closed", "left", "sent KiB", "back KiB"
    );
    let mut sum = Count::default();
    let line = |name: &str, count: &Count| {
        format!(
            "{name:<18} {:>8} {:>8} {:>8} {:>8} {:>10} {:>10}\n",
            count.tries,
            count.refused,
            count.closed,
            count.left,
            count.sent / 1_024,
            count.received / 1_024
        )
    };
    for (kind, count) in KINDS.iter().zip(counts) {
        if count.tries > 0 {
            text += &line(kind.name, count);
        }
        sum.add(count);
    }
    text + &line("all", &sum)
}

/// The same for machines.
pub(super) fn json_of(counts: &[Count]) -> Value {
    let mut all = Map::new();
    for (kind, count) in KINDS.iter().zip(counts) {
        let figures = json!({
            "tries": count.tries,
            "refused": count.refused,
            "closed": count.closed,
            "left": count.left,
            "sent_bytes": count.sent,
            "received_bytes": count.received,
        });
        all.insert(kind.name.into(), figures);
    }
    all.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_and_delay_are_judged() {
        let report = |lost: f64, delay: f64| {
            let mut report = Report::default();
            report.add("lost", "", lost);
            report.add(DELAY, "", delay);
            report
        };
        let quiet = report(0.0, 20.0);
        assert_eq!(judge(&quiet, &report(0.0, 119.0), 100.0), Ok(()));
        for (bad, word) in [
            (report(0.0, 121.0), "rose by 101.0 ms"),
            (report(1.0, 20.0), "abused: lost 1"),
        ] {
            let Err(End::Failed(why)) = judge(&quiet, &bad, 100.0) else {
                panic!("{word}");
            };
            assert!(why.contains(word), "{why}");
        }
    }
}
