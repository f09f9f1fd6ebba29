//! The `--config` file: `name = value` a line, names as on the command line without dashes.
//!
//! A `#` at the start of a line or after a blank begins a comment. Repeatable options may stand
//! on several lines. Not here: the values' meaning; a file ends in the same strings a command
//! line does.

use std::fs::File;
use std::io::{self, Read};

use super::{Given, Opt, Raw, Repeat, expected_name};
use crate::config::{ConfigError, Got};
use crate::limits::CONFIG_FILE_BYTES_MAX;

/// Reads the file at `path`, which errors name as it is written here.
pub(super) fn read(path: &str) -> Result<Raw, ConfigError> {
    let text = load(path).map_err(|error| ConfigError {
        flag: "--config".to_owned(),
        value: Got::Value(path.to_owned()),
        expected: format!("a readable text file ({error})"),
    })?;
    read_text(path, &text)
}

fn load(path: &str) -> io::Result<String> {
    let mut text = String::new();
    let limit = CONFIG_FILE_BYTES_MAX as u64;
    let got = File::open(path)?
        .take(limit + 1)
        .read_to_string(&mut text)?;
    if got > CONFIG_FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it is longer than {limit} bytes")));
    }
    Ok(text)
}

/// Reads the text of a file.
pub(super) fn read_text(path: &str, text: &str) -> Result<Raw, ConfigError> {
    let mut raw = Raw::default();
    // Some editors begin each text with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (line, number) in text.lines().zip(1_usize..) {
        let line = without_comment(line).trim();
        if line.is_empty() {
            continue;
        }
        let place = format!("{path}:{number}");
        let parts = line.split_once('=').filter(|(name, _)| !name.is_empty());
        let Some((name, value)) = parts else {
            return Err(ConfigError {
                flag: place,
                value: Got::Value(line.to_owned()),
                expected: "name = value".to_owned(),
            });
        };
        add(&mut raw, &place, name.trim_end(), value.trim_start())?;
    }
    Ok(raw)
}

fn add(raw: &mut Raw, place: &str, name: &str, value: &str) -> Result<(), ConfigError> {
    let flag = format!("{place}: {name}");
    let Some(opt) = Opt::find(name) else {
        // Someone who writes the dashes of the command line is told of the name without them.
        let expected = expected_name(name.trim_start_matches('-'), "");
        return Err(ConfigError {
            flag,
            value: Got::Unknown,
            expected,
        });
    };
    if !opt.is_setting() {
        let expected = "it on the command line only".to_owned();
        return Err(ConfigError {
            flag,
            value: Got::Value(value.to_owned()),
            expected,
        });
    }
    let values = raw.given.entry(opt.name).or_default();
    if opt.repeat == Repeat::Once && !values.is_empty() {
        return Err(ConfigError {
            flag,
            value: Got::Repeated,
            expected: "it once".to_owned(),
        });
    }
    values.push(Given {
        flag,
        value: value.to_owned(),
    });
    Ok(())
}

fn without_comment(line: &str) -> &str {
    let begins = |(at, _): &(usize, &str)| {
        line.get(..*at)
            .is_some_and(|before| before.is_empty() || before.ends_with([' ', '\t']))
    };
    let comment = line.match_indices('#').find(begins);
    comment.and_then(|(at, _)| line.get(..at)).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, name: &str, expected: &[&str]) {
        let raw = read_text("relay.conf", text).unwrap();
        let values: Vec<&str> = raw
            .given
            .get(name)
            .into_iter()
            .flatten()
            .map(|given| given.value.as_str())
            .collect();
        assert_eq!(values, expected, "{name} in {text:?}");
    }

    #[track_caller]
    fn check_refused(text: &str, error: &str) {
        let got = read_text("relay.conf", text).map(|_| ()).unwrap_err();
        assert_eq!(got.to_string(), error, "{text:?}");
    }

    #[test]
    fn lines_are_names_and_values() {
        check("", "pace", &[]);
        check("\n  \n\t\n", "pace", &[]);
        check("pace = 20", "pace", &["20"]);
        check("pace=20", "pace", &["20"]);
        check("  pace\t=  20 ms \r\nworkers = 2\r\n", "pace", &["20 ms"]);
        check(
            "log = info,tailwater=debug",
            "log",
            &["info,tailwater=debug"],
        );
        check("pace =", "pace", &[""]);
    }

    #[test]
    fn comments_begin_at_a_number_sign_after_a_blank() {
        check("# pace = 20", "pace", &[]);
        check("  # pace = 20", "pace", &[]);
        check("pace = 20 # low delay", "pace", &["20"]);
        check("pace = 20\t# low # delay", "pace", &["20"]);
        check("pace = 20#", "pace", &["20#"]);
    }

    #[test]
    fn repeatable_names_append_in_order() {
        check(
            "listen = 1935\nworkers = 2\nlisten = :1936",
            "listen",
            &["1935", ":1936"],
        );
    }

    #[test]
    fn errors_name_file_and_line() {
        check_refused(
            "\npace 20",
            "relay.conf:2: got \"pace 20\"; expected name = value",
        );
        check_refused(
            "# first\n\npase = 20",
            "relay.conf:3: pase: unknown option; expected one of those in --help, perhaps pace",
        );
        check_refused(
            "--pace = 20",
            "relay.conf:1: --pace: unknown option; expected one of those in --help, perhaps pace",
        );
        check_refused(
            "pace = 1\npace = 1",
            "relay.conf:2: pace: got it more than once; expected it once",
        );
        for name in ["help", "version", "print-config", "config"] {
            check_refused(
                &format!("{name} = true"),
                &format!(
                    "relay.conf:1: {name}: got \"true\"; expected it on the command line only"
                ),
            );
        }
        check_refused("= 1", "relay.conf:1: got \"= 1\"; expected name = value");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let error = read("/nonexistent/relay.conf").unwrap_err().to_string();
        let start = "--config: got \"/nonexistent/relay.conf\"; expected a readable text file (";
        assert!(error.starts_with(start), "{error}");
    }

    #[test]
    fn a_file_without_end_is_refused() {
        let error = read("/dev/zero").unwrap_err().to_string();
        assert!(error.contains("it is longer than 1048576 bytes"), "{error}");
    }
}
