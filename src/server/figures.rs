//! The lines of figures that `--stats-interval` prints: one about the whole relay, and one about
//! each target that streams are handed on to. When they are printed is server.rs's matter.

use std::io::{self, Write};

use crate::stats::{Gauges, Line, Row, TargetGauges, WorkerStats};

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
        write!(out, "stats")?;
        write_rows(out, self.all.rows().zip(before.all.rows()), seconds)?;
        for ((now, before), label) in self.targets.iter().zip(&before.targets).zip(labels) {
            write!(out, "push target={label}")?;
            write_rows(out, now.rows().zip(before.rows()), seconds)?;
        }
        Ok(())
    }
}

/// Writes what belongs into a line, and its end.
fn write_rows<'a>(
    out: &mut impl Write,
    rows: impl Iterator<Item = ((&'a Row, u64), (&'a Row, u64))>,
    seconds: f64,
) -> io::Result<()> {
    for ((row, now), (_, before)) in rows {
        let name = row.line_name();
        match row.line {
            Line::None => {}
            Line::Own | Line::Number(_) => write!(out, " {name}={now}")?,
            Line::Rate(_) => {
                let rate = 8.0 * now.saturating_sub(before) as f64 / seconds;
                write!(out, " {name}={rate:.0}")?;
            }
        }
    }
    writeln!(out)
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
            pushes: 1,
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
