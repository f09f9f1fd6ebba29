//! Medians over the rounds, goals met or not, and the page that says so.

use super::rows::{Goal, Row, Work};
use super::trial::Sample;
use crate::measure::median;
use crate::report::number;

/// The samples of a comparison.
pub(super) struct Samples(pub Vec<Sample>);

/// What came of a goal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// What was wanted, in words.
    pub wanted: String,
    /// What was measured.
    pub measured: String,
    /// Whether it is reached; None when figures are missing.
    pub met: Option<bool>,
}

impl Samples {
    fn of<'a>(&'a self, row: &'a Row, entrant: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.0
            .iter()
            .filter(move |sample| sample.row == row.key && sample.entrant == entrant)
    }

    fn values(&self, row: &Row, entrant: &str, figure: &str) -> Vec<f64> {
        self.of(row, entrant)
            .filter_map(|sample| sample.value(figure))
            .collect()
    }

    /// The median of a figure over the rounds.
    pub(super) fn median(&self, row: &Row, entrant: &str, figure: &str) -> Option<f64> {
        median(&self.values(row, entrant, figure))
    }

    /// The median of the ratios of a figure, each of one round: what disturbed a round disturbed
    /// both.
    pub(super) fn ratio(&self, row: &Row, entrant: &str, of: &str, figure: &str) -> Option<f64> {
        let ratios = self.of(row, entrant).filter_map(|sample| {
            let other = self.of(row, of).find(|other| other.round == sample.round)?;
            Some(sample.value(figure)? / other.value(figure)?)
        });
        median(&ratios.collect::<Vec<f64>>())
    }

    /// The greatest value of a figure in any round.
    fn worst(&self, row: &Row, entrant: &str, figure: &str) -> Option<f64> {
        self.values(row, entrant, figure)
            .into_iter()
            .max_by(f64::total_cmp)
    }

    /// Whether the first entrant of `row` reached `goal`.
    pub(super) fn judge(&self, row: &Row, goal: &Goal) -> Verdict {
        let entrant = row.entrants[0].name;
        match goal {
            Goal::AtMost(figure, limit) => {
                let value = self.median(row, entrant, figure);
                let unit = unit(figure);
                Verdict {
                    wanted: format!("{} at most {}{unit}", words(figure), number(*limit)),
                    measured: shown(value, unit),
                    met: value.map(|value| value <= *limit),
                }
            }
            Goal::Ratio {
                figure,
                of,
                at_most,
            } => {
                let value = self.ratio(row, entrant, of, figure);
                Verdict {
                    wanted: format!("{} at most {at_most} x {of}", words(figure)),
                    measured: shown(value, " x"),
                    met: value.map(|value| value <= *at_most),
                }
            }
            Goal::NothingLost => self.nothing(row, entrant, "nothing lost", &FAULTS),
            Goal::NobodyWaits => {
                self.nothing(row, entrant, "everyone has a frame", &["storm_missing"])
            }
        }
    }

    /// None of `figures` is above zero in any round, and every round has them.
    fn nothing(&self, row: &Row, entrant: &str, wanted: &str, figures: &[&str]) -> Verdict {
        let failed = self.of(row, entrant).any(|sample| sample.result.is_err());
        let worst: Option<Vec<f64>> = figures
            .iter()
            .map(|figure| self.worst(row, entrant, figure))
            .collect();
        let found: Vec<String> = figures
            .iter()
            .zip(worst.iter().flatten())
            .filter(|(_, count)| **count > 0.0)
            .map(|(figure, count)| format!("{figure} {}", number(*count)))
            .collect();
        Verdict {
            wanted: wanted.to_owned(),
            measured: match (&worst, found.is_empty(), failed) {
                (None, ..) => "-".to_owned(),
                (_, _, true) => "a round failed".to_owned(),
                (_, true, _) => "none".to_owned(),
                (_, false, _) => found.join(", "),
            },
            met: worst.map(|_| found.is_empty() && !failed),
        }
    }
}

/// Figures that are to be zero when nothing is lost.
const FAULTS: [&str; 5] = ["lost", "misplaced", "corrupt", "starved", "closed"];

/// What the page says beside the figures.
pub(super) struct Heading<'a> {
    /// The day.
    pub date: &'a str,
    /// The machine.
    pub host: &'a str,
    /// How it was started.
    pub command: &'a str,
    /// Names and versions.
    pub versions: &'a [(&'static str, String)],
    /// Of how many rounds medians are.
    pub rounds: usize,
    /// Whether it was a quick look.
    pub quick: bool,
}

/// The page, in Markdown.
pub(super) fn page(heading: &Heading<'_>, rows: &[&Row], samples: &Samples) -> String {
    let mut text = format!("# Comparison of {} on {}\n\n", heading.date, heading.host);
    text += &format!("    {}\n\n", heading.command);
    if heading.quick {
        text += "A quick look with a twentieth of the load: the figures mean nothing.\n\n";
    }
    text += &format!(
        "Medians of {}. In each round the programs did the same work in turn, one core \
         for the server and another for the load. Ratios are medians of the ratios within a \
         round. Raw samples: [samples.jsonl](samples.jsonl).\n\n![CPU by program](chart.svg)\n\n",
        counted(heading.rounds, "round")
    );
    text += "## Targets\n\n| work | wanted | measured | met |\n| --- | --- | ---: | --- |\n";
    for row in rows {
        for goal in row.goals {
            let verdict = samples.judge(row, goal);
            let met = match verdict.met {
                Some(true) => "yes",
                Some(false) => "**no**",
                None => "not measured",
            };
            let (wanted, measured) = (verdict.wanted, verdict.measured);
            text += &format!("| {} | {wanted} | {measured} | {met} |\n", row.title);
        }
    }
    text += "\n## Figures\n";
    for row in rows {
        text += &figures_of(row, samples);
    }
    text += "\n## Versions\n\n| | |\n| --- | --- |\n";
    for (name, version) in heading.versions {
        text += &format!("| {name} | {version} |\n");
    }
    text + &failures(samples)
}

/// Columns of a row's table: figure and heading.
const COLUMNS: &[(&str, &str)] = &[
    ("cpu_us_per_player_s", "CPU µs per player and second"),
    ("cpu_us_per_stream_s", "CPU µs per publisher and second"),
    ("cpu_s_per_gb", "CPU s per GB"),
    ("server_core_pct", "% of a core"),
    ("server_waited_pct", "% waited for it"),
    ("delay_p50_ms", "delay p50 ms"),
    ("delay_p99_ms", "delay p99 ms"),
    ("http_delay_p50_ms", "by HTTP, delay p50 ms"),
    ("http_delay_p99_ms", "by HTTP, delay p99 ms"),
    ("storm_p50_ms", "first frame p50 ms"),
    ("storm_p99_ms", "first frame p99 ms"),
    ("lost", "lost"),
    ("scrape_p50_ms", "figures after, p50 ms"),
    ("scrape_max_ms", "most"),
    ("rss_per_player_kib", "KiB per player"),
    ("rss_per_stream_kib", "KiB per publisher"),
    ("rss_growth_kib", "KiB grown"),
    ("pace_ms", "pace ms"),
    (super::rows::NS_PER_MESSAGE, "ns per message"),
    ("gb_per_s", "GB/s"),
];

/// Whether a figure says something about this work.
fn belongs(row: &Row, figure: &str) -> bool {
    let Work::Load(load) = &row.work else {
        return true;
    };
    match figure {
        "cpu_us_per_player_s" => load.players > 0 && load.storm == 0 && !load.idle,
        "cpu_us_per_stream_s" => load.players == 0 && !load.idle,
        "rss_per_player_kib" => load.players > 0 && load.storm == 0,
        "rss_per_stream_kib" => load.players == 0,
        "cpu_s_per_gb" | "delay_p50_ms" | "delay_p99_ms" | "pace_ms" => {
            load.storm == 0 && !load.idle
        }
        "server_core_pct" | "lost" => !load.idle,
        _ => true,
    }
}

fn figures_of(row: &Row, samples: &Samples) -> String {
    let has = |figure: &str| {
        let measured = |name: &str| samples.median(row, name, figure).is_some();
        belongs(row, figure) && row.entrants.iter().any(|entrant| measured(entrant.name))
    };
    let columns: Vec<_> = COLUMNS.iter().filter(|(figure, _)| has(figure)).collect();
    let mut text = format!("\n### {}\n\n| |", row.title);
    for (_, heading) in &columns {
        text += &format!(" {heading} |");
    }
    text += &format!("\n| --- |{}\n", " ---: |".repeat(columns.len()));
    for entrant in row.entrants {
        if samples.of(row, entrant.name).next().is_none() {
            continue;
        }
        text += &format!("| {} |", entrant.name);
        for (figure, _) in &columns {
            let value = samples.median(row, entrant.name, figure);
            text += &format!(" {} |", shown(value, ""));
        }
        text.push('\n');
    }
    text
}

/// What went wrong with samples that count all the same.
fn failures(samples: &Samples) -> String {
    let mut text = String::new();
    for sample in &samples.0 {
        let why = match (&sample.result, sample.disturbed()) {
            (Err(why), _) => format!("no figures: {why}"),
            (Ok(_), Some(why)) => format!("disturbed: {why}"),
            (Ok(_), None) => continue,
        };
        if text.is_empty() {
            text += "\n## Rounds that went wrong\n\n";
        }
        let (row, entrant, round) = (sample.row, sample.entrant, sample.round);
        text += &format!("- {row}, {entrant}, round {round}, {why}\n");
    }
    text
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn shown(value: Option<f64>, unit: &str) -> String {
    value.map_or_else(
        || "-".to_owned(),
        |value| format!("{}{unit}", number(value)),
    )
}

fn unit(figure: &str) -> &'static str {
    match figure {
        _ if figure.ends_with("_ms") => " ms",
        _ if figure.ends_with("_kib") => " KiB",
        _ => "",
    }
}

fn words(figure: &str) -> &'static str {
    match figure {
        "cpu_us_per_player_s" => "CPU per player",
        "cpu_us_per_stream_s" => "CPU per publisher",
        "cpu_s_per_gb" => "CPU per GB",
        "delay_p50_ms" => "delay p50",
        "delay_p99_ms" => "delay p99",
        "storm_p99_ms" => "first frame p99",
        "rss_growth_kib" => "memory grown",
        "rss_per_player_kib" | "rss_per_stream_kib" => "memory each",
        super::rows::NS_PER_MESSAGE => "time per message",
        _ => "figure",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::rows::ROWS;

    fn row() -> &'static Row {
        ROWS.iter().find(|row| row.key == "fan-500").unwrap()
    }

    fn sample(entrant: &'static str, round: usize, figures: &[(&str, f64)]) -> Sample {
        let pair = |&(key, value): &(&str, f64)| (key.to_owned(), value.into());
        Sample {
            row: "fan-500",
            entrant,
            round,
            line: String::new(),
            result: Ok(figures.iter().map(pair).collect()),
        }
    }

    const CPU: &str = "cpu_us_per_player_s";

    fn samples() -> Samples {
        let whole = |cpu, lost| {
            [
                (CPU, cpu),
                ("lost", lost),
                ("misplaced", 0.0),
                ("corrupt", 0.0),
                ("starved", 0.0),
                ("closed", 0.0),
            ]
        };
        Samples(vec![
            sample("tailwater", 1, &whole(110.0, 0.0)),
            sample("floor", 1, &[(CPU, 100.0)]),
            sample("tailwater", 2, &whole(240.0, 3.0)),
            sample("floor", 2, &[(CPU, 200.0)]),
            sample("tailwater", 3, &whole(105.0, 0.0)),
            sample("floor", 3, &[(CPU, 100.0)]),
        ])
    }

    #[test]
    fn ratios_are_taken_within_rounds_and_loss_is_the_worst() {
        let samples = samples();
        let ratio = samples.ratio(row(), "tailwater", "floor", CPU).unwrap();
        assert!((ratio - 1.1).abs() < 1e-9, "{ratio}");
        let goal = |at_most| Goal::Ratio {
            figure: CPU,
            of: "floor",
            at_most,
        };
        let met = |goal: &Goal| samples.judge(row(), goal).met;
        assert_eq!(met(&goal(1.2)), Some(true));
        assert_eq!(met(&goal(1.05)), Some(false));
        assert_eq!(met(&Goal::AtMost(CPU, 110.0)), Some(true));
        assert_eq!(met(&Goal::AtMost("delay_p99_ms", 1.0)), None);
        let verdict = samples.judge(row(), &Goal::NothingLost);
        assert_eq!((verdict.met, &*verdict.measured), (Some(false), "lost 3"));
        assert_eq!(met(&Goal::NobodyWaits), None);
    }

    #[test]
    fn a_failed_round_is_no_success() {
        let mut samples = samples();
        samples.0.retain(|sample| sample.round != 2);
        assert_eq!(samples.judge(row(), &Goal::NothingLost).met, Some(true));
        let mut failed = sample("tailwater", 4, &[]);
        failed.result = Err("refused: too busy".into());
        samples.0.push(failed);
        assert_eq!(samples.judge(row(), &Goal::NothingLost).met, Some(false));
        assert!(failures(&samples).contains("- fan-500, tailwater, round 4, no figures: refused"));
    }

    #[test]
    fn the_page_has_targets_figures_and_versions() {
        let heading = Heading {
            date: "2026-11-22",
            host: "some-machine",
            command: "tailwater-bench compare",
            versions: &[("nginx", "1.22.1".to_owned())],
            rounds: 3,
            quick: false,
        };
        let page = page(&heading, &[row()], &samples());
        for part in [
            "# Comparison of 2026-11-22 on some-machine",
            "| CPU per player at most 1.1 x floor | 1.10 x | yes |",
            "| nothing lost | lost 3 | **no** |",
            "| delay p50 at most 1 x nginx-rtmp | - | not measured |",
            "| floor | 100 |",
            "| nginx | 1.22.1 |",
        ] {
            assert!(page.contains(part), "{part} in\n{page}");
        }
    }
}
