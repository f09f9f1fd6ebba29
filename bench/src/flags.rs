//! The command line of each subcommand: a table of flags, which is also the help, and typed
//! reading of the values. Not the flags of the relay, which has many more.

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;

/// One flag.
pub struct Flag {
    /// Without the dashes.
    pub name: &'static str,
    /// What the value is called in the help; empty for a switch, which has no value.
    pub hint: &'static str,
    /// The value when the flag is absent, written as a user would.
    pub default: &'static str,
    /// One sentence or a few.
    pub meaning: &'static str,
}

/// A row of a table of flags.
pub const fn flag(
    name: &'static str,
    hint: &'static str,
    default: &'static str,
    meaning: &'static str,
) -> Flag {
    Flag {
        name,
        hint,
        default,
        meaning,
    }
}

/// What came of a command line.
pub enum Asked {
    /// Run with these values.
    Run(Values),
    /// Print this and stop.
    Help(String),
}

/// A flag that cannot be used as it is.
#[derive(Debug, PartialEq, Eq)]
pub struct FlagError {
    /// Without the dashes; empty when it is about the whole line.
    pub flag: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for FlagError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.flag.is_empty() {
            write!(f, "{}", self.reason)
        } else {
            write!(f, "--{}: {}", self.flag, self.reason)
        }
    }
}

impl std::error::Error for FlagError {}

/// Reads `arguments`, which do not contain the subcommand. `about` is what the help begins
/// with, `examples` what it ends with.
///
/// # Errors
/// A flag is unknown or lacks its value.
pub fn read(
    flags: &[Flag],
    arguments: &[String],
    about: &str,
    examples: &str,
) -> Result<Asked, FlagError> {
    let mut options = getopts::Options::new();
    for flag in flags {
        if flag.hint.is_empty() {
            options.optflag("", flag.name, flag.meaning);
        } else {
            options.optopt("", flag.name, flag.meaning, flag.hint);
        }
    }
    options.optflag("h", "help", "");
    let wrong = |reason: String| FlagError {
        flag: String::new(),
        reason,
    };
    let matches = options
        .parse(arguments)
        .map_err(|error| wrong(format!("{error}; see --help")))?;
    if matches.opt_present("help") {
        return Ok(Asked::Help(help(flags, about, examples)));
    }
    if let Some(stray) = matches.free.first() {
        return Err(wrong(format!("unexpected '{stray}'; see --help")));
    }
    let mut values = HashMap::new();
    for flag in flags {
        let value = if flag.hint.is_empty() {
            matches.opt_present(flag.name).then(String::new)
        } else {
            Some(
                matches
                    .opt_str(flag.name)
                    .unwrap_or_else(|| flag.default.to_owned()),
            )
        };
        if let Some(value) = value {
            values.insert(flag.name, value);
        }
    }
    Ok(Asked::Run(Values(values)))
}

/// Flags with the column of their meaning, 100 columns wide.
fn help(flags: &[Flag], about: &str, examples: &str) -> String {
    const COLUMN: usize = 24;
    const WIDTH: usize = 100;
    let mut text = format!("{about}\n\n");
    for flag in flags {
        let head = format!("  --{} {}", flag.name, flag.hint);
        text.push_str(&format!("{head:<COLUMN$}"));
        if head.len() >= COLUMN {
            text.push_str(&format!("\n{:COLUMN$}", ""));
        }
        let mut meaning = flag.meaning.to_owned();
        if !flag.default.is_empty() {
            meaning.push_str(&format!(" (default: {})", flag.default));
        }
        let mut column = COLUMN;
        for word in meaning.split_whitespace() {
            if column + word.len() > WIDTH {
                text.push_str(&format!("\n{:COLUMN$}", ""));
                column = COLUMN;
            }
            text.push_str(word);
            text.push(' ');
            column += word.len() + 1;
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text.push_str("  --help\n\n");
    text.push_str(examples);
    text.push('\n');
    text
}

/// The values of a command line.
#[derive(Debug)]
pub struct Values(HashMap<&'static str, String>);

impl Values {
    /// Whether a switch was given.
    pub fn is_set(&self, flag: &str) -> bool {
        self.0.contains_key(flag)
    }

    /// The value as written.
    pub fn text(&self, flag: &str) -> &str {
        self.0.get(flag).map_or("", String::as_str)
    }

    /// The value as written, or None when it is empty.
    pub fn optional(&self, flag: &str) -> Option<&str> {
        Some(self.text(flag)).filter(|text| !text.is_empty())
    }

    /// A whole number; `k` and `M` after it stand for 1,000 and 1,000,000.
    ///
    /// # Errors
    /// It is none, or out of range.
    pub fn number(&self, flag: &str, range: RangeInclusive<u64>) -> Result<u64, FlagError> {
        let text = self.text(flag);
        let (digits, unit) = match text.as_bytes().last() {
            Some(b'k') => (&text[..text.len() - 1], 1_000),
            Some(b'M') => (&text[..text.len() - 1], 1_000_000),
            _ => (text, 1),
        };
        let number = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
        number.filter(|n| range.contains(n)).ok_or_else(|| {
            let (min, max) = range.into_inner();
            self.wrong(flag, &format!("a whole number from {min} to {max}"))
        })
    }

    /// As [`number`](Self::number), for what counts things in memory.
    ///
    /// # Errors
    /// It is none, or out of range.
    pub fn count(&self, flag: &str, range: RangeInclusive<usize>) -> Result<usize, FlagError> {
        let (min, max) = range.into_inner();
        let number = self.number(flag, min as u64..=max as u64)?;
        Ok(usize::try_from(number).unwrap_or(max))
    }

    /// The error for a value that is not as `expected`.
    pub fn wrong(&self, flag: &str, expected: &str) -> FlagError {
        FlagError {
            flag: flag.to_owned(),
            reason: format!("got '{}', expected {expected}", self.text(flag)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[
        Flag {
            name: "players",
            hint: "N",
            default: "5",
            meaning: "How many.",
        },
        Flag {
            name: "idle",
            hint: "",
            default: "",
            meaning: "Send nothing.",
        },
    ];

    fn values(line: &[&str]) -> Result<Values, FlagError> {
        let line: Vec<String> = line.iter().map(|&word| word.to_owned()).collect();
        match read(FLAGS, &line, "about", "examples")? {
            Asked::Run(values) => Ok(values),
            Asked::Help(text) => panic!("{text}"),
        }
    }

    #[test]
    fn numbers_have_units_ranges_and_defaults() {
        assert_eq!(values(&[]).unwrap().number("players", 0..=9), Ok(5));
        let given = values(&["--players", "2k", "--idle"]).unwrap();
        assert_eq!(given.number("players", 0..=9_000), Ok(2_000));
        assert!(given.is_set("idle"));
        let error = given.number("players", 0..=9).unwrap_err().to_string();
        assert_eq!(
            error,
            "--players: got '2k', expected a whole number from 0 to 9"
        );
        for bad in ["", "x", "-1", "99999999999999999999M"] {
            let given = values(&[&format!("--players={bad}")]).unwrap();
            assert!(given.number("players", 0..=u64::MAX).is_err(), "{bad}");
        }
    }

    #[test]
    fn strangers_are_refused_and_help_names_every_flag() {
        for line in [&["--nothing"][..], &["stray"], &["--players"]] {
            assert!(values(line).is_err(), "{line:?}");
        }
        let Ok(Asked::Help(text)) = read(FLAGS, &["--help".into()], "about", "examples") else {
            panic!("no help");
        };
        for part in ["about", "--players N", "(default: 5)", "--idle", "examples"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
