//! The chart of a comparison, as SVG: for each row a bar for each program, the shortest first.
//! Every row has a scale of its own, as the works differ.

use super::rows::Row;
use super::summary::Samples;
use crate::report::number;

const WIDTH: usize = 860;
const LABELS: usize = 190;
const BAR: usize = 18;
const GAP: usize = 5;
const HEAD: usize = 84;
/// Left for the figure behind the longest bar.
const FIGURES: usize = 130;

/// Draws the medians of each row's main figure. Rows in which only one program has a figure are
/// left out: there is nothing to compare.
pub(super) fn svg(title: &str, rows: &[&Row], samples: &Samples) -> String {
    let mut body = String::new();
    let mut y = HEAD;
    for row in rows {
        let mut bars: Vec<(&str, f64)> = row
            .entrants
            .iter()
            .filter_map(|entrant| {
                let value = samples.median(row, entrant.name, row.figure)?;
                Some((entrant.name, value.max(0.0)))
            })
            .collect();
        if bars.len() < 2 {
            continue;
        }
        bars.sort_by(|one, other| one.1.total_cmp(&other.1));
        body += &text(20, y, "row", &plain(row.title));
        body += &text(WIDTH - 20, y, "unit", unit(row.figure));
        y += 12;
        let longest = bars
            .iter()
            .map(|bar| bar.1)
            .fold(f64::MIN_POSITIVE, f64::max);
        for (name, value) in bars {
            body += &bar(y, name, value, longest);
            y += BAR + GAP;
        }
        y += 30;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{y}\" \
         viewBox=\"0 0 {WIDTH} {y}\" role=\"img\" aria-label=\"{title}\">\n\
         <style>\n\
         text {{ font-family: system-ui, sans-serif; fill: #24303c }}\n\
         .title {{ font-size: 20px; font-weight: 600 }}\n\
         .row {{ font-size: 14px; font-weight: 600 }}\n\
         .sub, .unit {{ font-size: 12px; fill: #5d6b79 }}\n\
         .unit {{ text-anchor: end }}\n\
         .name {{ font-size: 13px; text-anchor: end }}\n\
         .value {{ font-size: 13px; font-variant-numeric: tabular-nums }}\n\
         </style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         {}{}{body}</svg>\n",
        text(20, 34, "title", "What the same work costs"),
        text(20, 54, "sub", title),
    )
}

fn bar(y: usize, name: &str, value: f64, longest: f64) -> String {
    let room = (WIDTH - LABELS - FIGURES) as f64;
    // A bar that is there can be seen.
    let length = (value / longest * room).max(2.0);
    let colour = match name {
        "tailwater" | "tailwater, 2 workers" | "tailwater, TLS" => "#0b7a75",
        "floor" | "memcpy" => "#b9c3cc",
        "nginx-rtmp" | "rml_rtmp" => "#d08c2e",
        "xiu" => "#a8506a",
        _ => "#6b6fb3",
    };
    let middle = y + BAR - 4;
    let end = LABELS as f64 + length + 6.0;
    format!(
        "{}<rect x=\"{LABELS}\" y=\"{y}\" width=\"{length:.1}\" height=\"{BAR}\" rx=\"2\" \
         fill=\"{colour}\"/>\n<text x=\"{end:.1}\" y=\"{middle}\" class=\"value\">{}</text>\n",
        text(LABELS - 8, middle, "name", name),
        number(value),
    )
}

fn text(x: usize, y: usize, class: &str, content: &str) -> String {
    let content = content.replace('&', "&amp;").replace('<', "&lt;");
    format!("<text x=\"{x}\" y=\"{y}\" class=\"{class}\">{content}</text>\n")
}

/// Without the marks of Markdown.
fn plain(title: &str) -> String {
    title.replace('`', "")
}

fn unit(figure: &str) -> &'static str {
    match figure {
        "cpu_us_per_player_s" => "CPU, µs per player and second",
        "cpu_us_per_stream_s" => "CPU, µs per publisher and second",
        "cpu_s_per_gb" => "CPU, s per GB",
        "storm_p99_ms" => "time to first frame, p99, ms",
        "rss_per_player_kib" => "memory, KiB per player",
        "rss_per_stream_kib" => "memory, KiB per publisher",
        _ => "ns per message",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::rows::ROWS;
    use crate::compare::trial::Sample;

    #[test]
    fn every_program_with_a_figure_has_a_bar() {
        let rows: Vec<&Row> = ROWS.iter().filter(|row| row.key == "fan-500").collect();
        let sample = |entrant, value: f64| Sample {
            row: "fan-500",
            entrant,
            round: 1,
            line: String::new(),
            result: Ok([("cpu_us_per_player_s".to_owned(), value.into())]
                .into_iter()
                .collect()),
        };
        let alone = svg("a & b", &rows, &Samples(vec![sample("tailwater", 500.0)]));
        assert!(!alone.contains("1 stream, 500 players"), "{alone}");
        let two = vec![sample("tailwater", 500.0), sample("nginx-rtmp", 604.0)];
        let drawn = svg("a", &rows, &Samples(two));
        assert_eq!(drawn.matches("<rect").count(), 3);
        for part in [
            "nginx-rtmp",
            ">604<",
            "1 stream, 500 players, --pace 0",
            "</svg>",
        ] {
            assert!(drawn.contains(part), "{part} in\n{drawn}");
        }
    }
}
