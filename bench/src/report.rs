//! Figures as a table for people and as JSON for programs.

use serde_json::{Map, Value};

/// One measured or given value.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Name in JSON, unit last.
    pub key: &'static str,
    /// Name in the table.
    pub label: &'static str,
    /// The value in the unit that `key` and `label` name.
    pub value: f64,
}

/// A list of figures in the order they are shown.
#[derive(Clone, Debug, Default)]
pub struct Report {
    figures: Vec<Figure>,
}

impl Report {
    /// Adds a figure. Values that are no numbers, such as a share of nothing, are left out.
    pub fn add(&mut self, key: &'static str, label: &'static str, value: f64) {
        if value.is_finite() {
            self.figures.push(Figure { key, label, value });
        }
    }

    /// The value of a figure.
    pub fn value(&self, key: &str) -> Option<f64> {
        let figure = self.figures.iter().find(|figure| figure.key == key)?;
        Some(figure.value)
    }

    /// This report less the figures whose key `is_unwanted`.
    pub fn without(mut self, is_unwanted: impl Fn(&str) -> bool) -> Self {
        self.figures.retain(|figure| !is_unwanted(figure.key));
        self
    }

    /// One line a figure, labels and values in columns.
    pub fn table(&self) -> String {
        let width = self
            .figures
            .iter()
            .map(|f| f.label.chars().count())
            .max()
            .unwrap_or(0);
        let line = |f: &Figure| format!("{:<width$}  {:>12}\n", f.label, number(f.value));
        self.figures.iter().map(line).collect()
    }

    /// An object of all figures by key.
    pub fn json(&self) -> Map<String, Value> {
        let pair = |figure: &Figure| (figure.key.to_owned(), rounded(figure.value).into());
        self.figures.iter().map(pair).collect()
    }
}

/// A value with as many decimals as it needs: three digits that count.
pub fn number(value: f64) -> String {
    let decimals = match value.abs() {
        _ if value.fract() == 0.0 => 0,
        0.0..1.0 => 3,
        1.0..10.0 => 2,
        10.0..1_000.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

/// Six decimals are more than was measured.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_in_table_and_json() {
        let mut report = Report::default();
        report.add("players", "players", 500.0);
        report.add("cpu_us", "CPU (µs)", 12.345_678_9);
        report.add("share", "share of nothing", f64::NAN);
        assert_eq!(report.value("cpu_us"), Some(12.345_678_9));
        assert_eq!(report.value("share"), None);
        let table = "players            500\nCPU (µs)          12.3\n";
        assert_eq!(report.table(), table);
        let json = Value::Object(report.json()).to_string();
        assert_eq!(json, r#"{"players":500.0,"cpu_us":12.345679}"#);
    }

    #[test]
    fn numbers_have_the_decimals_that_count() {
        for (value, expected) in [
            (0.0, "0"),
            (0.123_4, "0.123"),
            (3.456, "3.46"),
            (34.56, "34.6"),
            (3_456.7, "3457"),
            (18_000.0, "18000"),
        ] {
            assert_eq!(number(value), expected);
        }
    }
}
