//! The lines of figures that `--stats-interval` prints: one about the whole relay, and one about
//! each target that streams are handed on to. When they are printed is server.rs's matter.

use std::io::{self, Write};

use crate::stats::{Gauges, TargetGauges, WorkerStats};

/// What all workers have counted together.
#[derive(Debug)]
pub(super) struct Figures {
    all: Gauges,
    /// In the order of the push rules.
    targets: Vec<TargetGauges>,
}

impl Figures {
    /// As they are at the start, with so many targets.
    pub(super) fn zero(targets: usize) -> Self {
        Self {
            all: Gauges::default(),
            targets: vec![TargetGauges::default(); targets],
        }
    }

    /// What `workers` have stored, with so many targets.
    pub(super) fn of(workers: &[WorkerStats], targets: usize) -> Self {
        let mut sum = Self::zero(targets);
        for worker in workers {
            sum.all = sum.all.plus(&worker.load());
            for (rule, target) in sum.targets.iter_mut().enumerate() {
                *target = target.plus(&worker.load_target(rule));
            }
        }
        sum
    }

    /// Writes the lines; rates are over the `seconds` since `before`. `labels` are those of the
    /// targets.
    pub(super) fn write(
        &self,
        out: &mut impl Write,
        before: &Self,
        seconds: f64,
        labels: &[String],
    ) -> io::Result<()> {
        let rate = |now: u64, before: u64| 8.0 * now.saturating_sub(before) as f64 / seconds;
        self.write_all_together(out, &before.all, rate)?;
        for ((now, before), label) in self.targets.iter().zip(&before.targets).zip(labels) {
            writeln!(
                out,
                "push target={label} pushes={} failures={} refusals={} connections={} \
                 out_bps={:.0} skipped_bytes={}",
                now.streams,
                now.failures,
                now.refusals,
                now.connections,
                rate(now.bytes_out, before.bytes_out),
                now.skipped_bytes,
            )?;
        }
        Ok(())
    }

    fn write_all_together(
        &self,
        out: &mut impl Write,
        before: &Gauges,
        rate: impl Fn(u64, u64) -> f64,
    ) -> io::Result<()> {
        let now = &self.all;
        write!(
            out,
            "stats streams={} publishers={} players={} connections={} in_bps={:.0} \
             out_bps={:.0} dropped={} dropped_bytes={} violations={} pace_ms={}",
            now.streams,
            now.publishers,
            now.players,
            now.connections,
            rate(now.bytes_in, before.bytes_in),
            rate(now.bytes_out, before.bytes_out),
            now.skips,
            now.skipped_bytes,
            now.violations,
            now.pace_ms,
        )?;
        let limits = [
            ("pulls", now.pulls),
            ("pull_failures", now.pull_failures),
            ("pushes", now.pushes),
            ("push_failures", now.push_failures),
            ("push_refusals", now.push_refusals),
            ("refused", now.refused),
            ("refused_address", now.refused_address),
            ("refused_newcomers", now.refused_newcomers),
            ("refused_memory", now.refused_memory),
            ("refused_publishes", now.refused_publishes),
            ("refused_fetches", now.refused_fetches),
            ("shed", now.shed),
            ("held_bytes", now.held_bytes),
            ("unkept_headers", now.unkept_headers),
            ("unlogged", now.unlogged),
            ("accept_pauses", now.accept_pauses),
            ("bugs", now.bugs),
        ];
        for (name, value) in limits {
            write!(out, " {name}={value}")?;
        }
        writeln!(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_has_a_line_with_the_sums_of_all_workers() {
        let gauges = Gauges {
            players: 3,
            bytes_out: 1_000,
            ..Gauges::default()
        };
        let target = TargetGauges {
            streams: 1,
            refusals: 2,
            failures: 3,
            connections: 4,
            bytes_out: 500,
            skipped_bytes: 6,
        };
        let workers = [WorkerStats::new(2), WorkerStats::new(2)];
        workers[0].store(&gauges, &[target, target]);
        workers[1].store(&gauges, &[target, TargetGauges::default()]);
        let mut out = Vec::new();
        let labels = ["a/live", "b/live"].map(str::to_owned);
        Figures::of(&workers, 2)
            .write(&mut out, &Figures::zero(2), 2.0, &labels)
            .unwrap();
        let out = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = out.lines().collect();
        assert!(lines[0].starts_with("stats streams=0 publishers=0 players=6 "));
        assert!(lines[0].contains(" out_bps=8000 "), "{out}");
        let targets = [
            "push target=a/live pushes=2 failures=6 refusals=4 connections=8 out_bps=4000 \
             skipped_bytes=12",
            "push target=b/live pushes=1 failures=3 refusals=2 connections=4 out_bps=2000 \
             skipped_bytes=6",
        ];
        assert_eq!(lines[1..], targets);
    }
}
