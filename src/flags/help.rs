//! Texts made from the table: `--help` and `--version`.
//!
//! Not here: anything about a single option; that is in its row.

use super::{Accepts, Category, OPTIONS, Opt, Repeat};

/// No line of the help is longer, in characters.
const COLUMNS: usize = 79;

const INTRO: &str = "\
tailwater: a relay for live video over RTMP

Encoders publish streams to it, and thousands of players read them. A stream
is known by an app and a name, as they stand in its URL:
rtmp://HOST/APP/NAME. Without options it serves every app on port 1935.

Usage: tailwater [OPTION]...
       tailwater top ADDR         what a running relay is doing; top --help

Write --pace 20 or --pace=20. A number with a unit is 16m, 16MiB or \"16 MiB\".
Sizes are in bytes, or take k, m, g or KiB, MiB, GiB, all powers of 1024.
Times take ms, s, m or h; without one they are in the unit given below.
A value out of its range is an error: nothing starts, the exit code is 2.
";

const EXAMPLES: &str = "\
Examples

  A relay on this machine, a file published to it in real time, and a player:

      tailwater
      ffmpeg -re -i film.mp4 -c copy -f flv rtmp://127.0.0.1/live/film
      ffplay rtmp://127.0.0.1/live/film

  A low delay, paid for with more work per player: write in every turn, start
  players at the next key frame, let little wait in the kernel, and have those
  that fall behind jump early. Two workers on cores 2 and 3, one app only:

      tailwater --pace 0 --gop-cache off --sndbuf 128k --lag-max 1m \\
          --workers 2 --cpus 2-3 --app live

  Settings kept in a file, and used with other addresses than it names:

      tailwater --pace 20 --workers 4 --print-config > tailwater.conf
      tailwater --config tailwater.conf --listen :1936 --listen '[::1]:1936'
";

/// The name and version of the program.
pub fn version() -> String {
    concat!("tailwater ", env!("CARGO_PKG_VERSION"), "\n").to_owned()
}

/// The text of `--help`.
pub fn help() -> String {
    let mut text = INTRO.to_owned();
    for (category, rows) in by_category() {
        text.push_str(&format!("\n{}\n", category.title()));
        for opt in rows {
            text.push_str(&format!("\n  {}\n", usage(opt)));
            let sentences = [opt.meaning, opt.note];
            let line = sentences
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>();
            wrap(&mut text, &line.join(" "));
            wrap(&mut text, &facts(opt));
        }
    }
    text.push('\n');
    text.push_str(EXAMPLES);
    text
}

/// The rows under each heading, in order.
fn by_category() -> impl Iterator<Item = (Category, &'static [Opt])> {
    OPTIONS
        .chunk_by(|one, next| one.category == next.category)
        .filter_map(|rows| rows.first().map(|row| (row.category, rows)))
}

/// `-h, --help`, `--pace MS`.
fn usage(opt: &Opt) -> String {
    let short = opt
        .short
        .map(|letter| format!("-{letter}, "))
        .unwrap_or_default();
    format!("{short}--{} {}", opt.name, opt.hint)
        .trim_end()
        .to_owned()
}

/// Default, range and unit of an option in one bracket; nothing for switches.
fn facts(opt: &Opt) -> String {
    if matches!(opt.accepts, Accepts::Nothing) {
        return String::new();
    }
    let mut facts = Vec::new();
    if !opt.default.is_empty() {
        facts.push(format!("default: {}", opt.default));
    }
    facts.push(format!("range: {}", opt.range()));
    if !opt.unit().is_empty() {
        facts.push(format!("unit: {}", opt.unit()));
    }
    if opt.repeat == Repeat::Many {
        facts.push("may be repeated".to_owned());
    }
    format!("[{}]", facts.join("; "))
}

/// Appends a paragraph, indented and broken at blanks.
fn wrap(text: &mut String, paragraph: &str) {
    const INDENT: &str = "      ";
    let mut column = 0;
    for word in paragraph.split_whitespace() {
        let length = word.chars().count();
        if column == 0 || column + 1 + length > COLUMNS {
            if column > 0 {
                text.push('\n');
            }
            text.push_str(INDENT);
            column = INDENT.len();
        } else {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    if column > 0 {
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::{Outcome, parse};

    /// The text with every run of blanks and line ends as one blank.
    fn unwrapped(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn help_has_every_option_with_default_range_and_unit() {
        let help = unwrapped(&help());
        for opt in OPTIONS {
            let text = format!("{} {} {}", opt.meaning, opt.note, facts(opt));
            let entry = format!(" {} {}", usage(opt), unwrapped(&text));
            assert!(help.contains(&entry), "{entry}");
            if opt.is_setting() {
                let begin = match opt.default {
                    "" => "[range: ".to_owned(),
                    default => format!("[default: {default};"),
                };
                assert!(facts(opt).starts_with(&begin), "{}", opt.name);
                assert!(facts(opt).contains(&format!("range: {}", opt.range())));
            }
        }
    }

    #[test]
    fn no_line_of_the_help_is_wider_than_a_terminal() {
        for line in help().lines() {
            assert!(line.chars().count() < 80, "{line:?}");
            assert_eq!(line, line.trim_end(), "blanks at the end");
        }
    }

    #[test]
    fn the_commands_in_the_help_are_understood() {
        let examples = EXAMPLES.replace("\\\n", " ");
        let mut seen = 0;
        for line in examples
            .lines()
            .filter_map(|line| line.trim().strip_prefix("tailwater"))
        {
            let command = line.split('>').next().unwrap_or_default();
            let without_file = command
                .replace("--config tailwater.conf", "")
                .replace('\'', "");
            let args: Vec<String> = without_file.split_whitespace().map(str::to_owned).collect();
            let outcome = parse(&args).unwrap_or_else(|error| panic!("{line}: {error}"));
            let prints = args.iter().any(|arg| arg == "--print-config");
            assert_eq!(matches!(outcome, Outcome::Print(_)), prints, "{line}");
            seen += 1;
        }
        assert_eq!(seen, 4);
    }
}
