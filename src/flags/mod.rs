//! The command line: one table of options, and everything that is made from it.
//!
//! `OPTIONS` has one row per option. From it come what getopts accepts, `--help`, the table in
//! the README (`tests/tables.rs`), the reader of `--config` files, `--print-config`, and the ranges
//! that values are checked against. To add an option: a field in `config::Config` and a row in
//! `table`, which says by its kind (`kind`) how the field is read and printed.
//!
//! ```text
//! arguments --> Raw <-- file        strings, and where each was given
//!                | read
//!                v
//!         config::Config            values, checked
//!                | print
//!                v
//!              text                 a file again
//! ```
//!
//! Not here: what the settings are together (`config`, which does not know this module) and the
//! environment, which only the caller reads.

mod file;
mod help;
mod kind;
mod print;
mod read;
mod table;
mod value;

use std::collections::BTreeMap;

use getopts::{Fail, Options, ParsingStyle};

use crate::config::unit::Unit;
use crate::config::{Config, ConfigError, Got};

use kind::Field;

pub use help::{help, version};
pub use table::OPTIONS;

/// One option: a row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// The long name, without dashes; also the name in a configuration file.
    pub name: &'static str,
    /// The letter after a single dash, if there is one.
    pub short: Option<char>,
    /// What stands for the value in the help; empty for switches.
    pub hint: &'static str,
    /// What values it takes.
    pub accepts: Accepts,
    /// The value when it is not given, as it would be written; empty when there is none.
    pub default: &'static str,
    /// Whether it may be given more than once.
    pub repeat: Repeat,
    /// The field of the configuration that it sets, and how; `None` for what only prints a text.
    field: Option<Field>,
    /// The heading it stands under.
    pub category: Category,
    /// What it does, in one line.
    pub meaning: &'static str,
    /// What zero or a word means, and which other options it acts on; may be empty.
    pub note: &'static str,
}

/// The values an option takes.
#[derive(Clone, Copy, Debug)]
pub enum Accepts {
    /// None: a switch, for the command line only.
    Nothing,
    /// One of these words.
    Words(&'static [&'static str]),
    /// An amount from `min` to `max`, both in bare units, or the word.
    Amount {
        /// What is counted.
        unit: Unit,
        /// The smallest amount.
        min: u64,
        /// The largest amount.
        max: u64,
        /// A word taken in place of an amount.
        word: Option<&'static str>,
    },
    /// What this sentence says; `value` checks it.
    Text(&'static str),
}

/// How often an option may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Once in a file and once on the command line.
    Once,
    /// Any number of times; each adds a value.
    Many,
}

/// The headings of the help, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Category {
    /// Where connections come from.
    Listening,
    /// How the work is spread over cores.
    Cores,
    /// When bytes are read and written.
    Pace,
    /// What is kept of a stream, and for how long.
    Streams,
    /// What comes from other servers and goes to them.
    Edge,
    /// Figures, pages, and streams for browsers.
    Http,
    /// How much there may be of what others bring.
    Limits,
    /// When a connection is given up.
    Timeouts,
    /// What is agreed with the peer and the kernel.
    Wire,
    /// The program itself.
    General,
}

impl Category {
    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Listening => "Listening",
            Self::Cores => "Cores",
            Self::Pace => "Pace",
            Self::Streams => "Streams",
            Self::Edge => "Other servers",
            Self::Http => "HTTP",
            Self::Limits => "Limits",
            Self::Timeouts => "Timeouts",
            Self::Wire => "Sockets and protocol",
            Self::General => "General",
        }
    }
}

/// The rows of the options that are part of the configuration.
pub fn settings() -> impl Iterator<Item = &'static Opt> {
    OPTIONS.iter().filter(|opt| opt.is_setting())
}

impl Opt {
    /// The row of an option.
    pub fn find(name: &str) -> Option<&'static Self> {
        OPTIONS.iter().find(|opt| opt.name == name)
    }

    /// Whether it is part of the configuration: may stand in a file and is printed by
    /// `--print-config`.
    pub fn is_setting(&self) -> bool {
        !matches!(self.accepts, Accepts::Nothing) && self.name != "config"
    }

    /// The name of its unit; empty for counts, words and text.
    pub fn unit(&self) -> &'static str {
        match self.accepts {
            Accepts::Amount { unit, .. } => unit.name(),
            Accepts::Nothing | Accepts::Words(_) | Accepts::Text(_) => "",
        }
    }

    /// The values it takes, in words: the range in the help, and what an error expected.
    pub fn range(&self) -> String {
        match self.accepts {
            Accepts::Nothing => "no value".to_owned(),
            Accepts::Words(words) => words.join(" or "),
            Accepts::Amount {
                unit,
                min,
                max,
                word: None,
            } => unit.range(min, max),
            Accepts::Amount {
                unit,
                min,
                max,
                word: Some(word),
            } => {
                format!("{}, or {word}", unit.range(min, max))
            }
            Accepts::Text(sentence) => sentence.to_owned(),
        }
    }
}

/// The strings that were given for each option, before any of them is understood.
#[derive(Clone, Debug, Default)]
pub struct Raw {
    given: BTreeMap<&'static str, Vec<Given>>,
}

/// One value as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// How an error names it: `--pace`, or `relay.conf:3: pace`.
    pub flag: String,
    /// The value.
    pub value: String,
}

impl Raw {
    /// The text of a configuration file; `path` is how errors name the file.
    #[cfg(test)]
    pub fn from_file_text(path: &str, text: &str) -> Result<Self, ConfigError> {
        file::read_text(path, text)
    }

    /// Whether the option was given at all.
    pub fn is_given(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// The values of an option; its default when it was not given. Empty when it has none.
    pub fn values(&self, opt: &Opt) -> Vec<Given> {
        let default = || Given {
            flag: format!("--{}", opt.name),
            value: opt.default.to_owned(),
        };
        match self.given.get(opt.name) {
            Some(values) => values.clone(),
            None if opt.default.is_empty() => Vec::new(),
            None => vec![default()],
        }
    }

    /// Everything given in `over` replaces what is here.
    fn override_with(&mut self, over: Self) {
        self.given.extend(over.given);
    }
}

/// What the command line asks for.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one, made once at the start"
)]
pub enum Outcome {
    /// Run with this configuration.
    Run(Config),
    /// Write this to standard output and exit with 0.
    Print(String),
}

/// Understands a command line, given without the name of the program. Reads the `--config` file
/// when there is one. On an error the caller writes it to standard error and exits with 2.
pub fn parse(args: &[String]) -> Result<Outcome, ConfigError> {
    let raw = split(args)?;
    if raw.is_given("help") {
        return Ok(Outcome::Print(help()));
    }
    if raw.is_given("version") {
        return Ok(Outcome::Print(version()));
    }
    let mut all = Raw::default();
    if let Some(path) = raw.given.get("config").and_then(|given| given.first()) {
        all = file::read(&path.value)?;
    }
    all.override_with(raw);
    let config = all.to_config()?;
    if all.is_given("print-config") {
        return Ok(Outcome::Print(print::text(&config)));
    }
    Ok(Outcome::Run(config))
}

/// Sorts the arguments by option; a switch that is given has one empty value.
fn split(args: &[String]) -> Result<Raw, ConfigError> {
    let matches = registered()
        .parse(args)
        .map_err(|fail| explain(&fail, args))?;
    if let Some(free) = matches.free.first() {
        return Err(ConfigError {
            flag: "arguments".to_owned(),
            value: Got::Value(free.clone()),
            expected: "only options, such as --listen 1935".to_owned(),
        });
    }
    let mut raw = Raw::default();
    for opt in OPTIONS {
        let flag = format!("--{}", opt.name);
        let given = |value| Given {
            flag: flag.clone(),
            value,
        };
        let strings = match opt.accepts {
            Accepts::Nothing if matches.opt_present(opt.name) => vec![String::new()],
            Accepts::Nothing => Vec::new(),
            Accepts::Words(_) | Accepts::Amount { .. } | Accepts::Text(_) => {
                matches.opt_strs(opt.name)
            }
        };
        let values: Vec<Given> = strings.into_iter().map(given).collect();
        if !values.is_empty() {
            raw.given.insert(opt.name, values);
        }
    }
    Ok(raw)
}

/// The table as getopts takes it.
fn registered() -> Options {
    let mut options = Options::new();
    options.parsing_style(ParsingStyle::FloatingFrees);
    for opt in OPTIONS {
        let short = opt.short.map(String::from).unwrap_or_default();
        match (opt.accepts, opt.repeat) {
            (Accepts::Nothing, _) => options.optflagmulti(&short, opt.name, ""),
            (_, Repeat::Once) => options.optopt(&short, opt.name, "", opt.hint),
            (_, Repeat::Many) => options.optmulti(&short, opt.name, "", opt.hint),
        };
    }
    options
}

/// What getopts refused, in terms of the table.
fn explain(fail: &Fail, args: &[String]) -> ConfigError {
    let (value, name) = match fail {
        Fail::UnrecognizedOption(name) => {
            let flag = as_typed(args, name);
            let expected = expected_name(flag.trim_start_matches('-'), "--");
            return ConfigError {
                flag,
                value: Got::Unknown,
                expected,
            };
        }
        Fail::ArgumentMissing(name) | Fail::OptionMissing(name) => (Got::Nothing, name),
        Fail::OptionDuplicated(name) => (Got::Repeated, name),
        Fail::UnexpectedArgument(name) => (Got::Surplus, name),
    };
    let by_letter = |opt: &&Opt| {
        opt.short
            .is_some_and(|letter| *name == String::from(letter))
    };
    let opt = Opt::find(name).or_else(|| OPTIONS.iter().find(by_letter));
    let expected = match (&value, opt) {
        (Got::Repeated, _) => "it once".to_owned(),
        (_, Some(opt)) => opt.range(),
        (_, None) => "a value".to_owned(),
    };
    ConfigError {
        flag: format!("--{}", opt.map_or(name.as_str(), |opt| opt.name)),
        value,
        expected,
    }
}

/// The argument in which getopts met the unknown option `name`, with its dashes: of `-listen`
/// it only tells the first letter it does not know.
fn as_typed(args: &[String], name: &str) -> String {
    let holds = |arg: &&String| {
        let (dashes, rest) = arg.split_at(arg.len() - arg.trim_start_matches('-').len());
        let is_name = !dashes.is_empty() && rest.split('=').next() == Some(name);
        is_name || (dashes == "-" && name.chars().count() == 1 && rest.contains(name))
    };
    let typed = args
        .iter()
        .find(holds)
        .and_then(|arg| arg.split('=').next());
    typed.map_or_else(|| format!("--{name}"), str::to_owned)
}

/// What to say about a name that is not in the table; `dashes` as the place wants them.
fn expected_name(name: &str, dashes: &str) -> String {
    let near = |opt: &&&str| distance(name, opt) <= 1 + opt.len() / 4;
    let names: Vec<&str> = OPTIONS.iter().map(|opt| opt.name).collect();
    match names
        .iter()
        .filter(near)
        .min_by_key(|known| distance(name, known))
    {
        Some(known) => format!("one of those in --help, perhaps {dashes}{known}"),
        None => "one of those in --help".to_owned(),
    }
}

/// How many letters must be added, removed, changed or swapped with their neighbour to make one
/// word the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut rows = [Vec::new(), (0..=other.len()).collect::<Vec<_>>()];
    let mut letter_before = None;
    for (i, letter) in one.chars().enumerate() {
        let [above_that, above] = &rows;
        let mut row = vec![i + 1];
        for (j, wanted) in other.iter().enumerate() {
            let changed = above[j] + usize::from(letter != *wanted);
            let mut least = changed.min(above[j + 1] + 1).min(row[j] + 1);
            let is_swapped = j > 0 && other[j - 1] == letter && letter_before == Some(*wanted);
            if is_swapped && letter != *wanted {
                least = least.min(above_that[j - 1] + 1);
            }
            row.push(least);
        }
        let [_, above] = rows;
        rows = [above, row];
        letter_before = Some(letter);
    }
    rows[1].last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::Pace;
    use crate::config::listen::ListenAddr;

    fn run(args: &[&str]) -> Result<Outcome, ConfigError> {
        parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
    }

    #[track_caller]
    fn config(args: &[&str]) -> Config {
        match run(args) {
            Ok(Outcome::Run(config)) => config,
            other => panic!("{args:?} gave {other:?}"),
        }
    }

    #[track_caller]
    fn check_refused(args: &[&str], error: &str) {
        assert_eq!(
            run(args).map(|_| ()).unwrap_err().to_string(),
            error,
            "{args:?}"
        );
    }

    /// A file that is gone when the test ends.
    struct Written(PathBuf);

    impl Written {
        fn new(name: &str, text: &str) -> Self {
            let name = format!("tailwater-flags-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::write(&path, text).unwrap();
            Self(path)
        }

        fn path(&self) -> &str {
            self.0.to_str().unwrap()
        }
    }

    impl Drop for Written {
        fn drop(&mut self) {
            // What is left behind in the temporary directory fails no test.
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn options_take_their_value_after_a_blank_or_an_equals_sign() {
        for args in [&["--workers", "3"][..], &["--workers=3"]] {
            assert_eq!(config(args).workers, Some(3));
        }
        let both = config(&["--listen", "1", "--workers=3", "--listen=:2"]);
        let shown: Vec<String> = both.listen.iter().map(ToString::to_string).collect();
        assert_eq!(both.workers, Some(3));
        assert_eq!(shown, ["0.0.0.0:1", "0.0.0.0:2"]);
    }

    #[test]
    fn help_and_version_win_over_bad_values() {
        for (args, expected) in [
            (&["--help"][..], help()),
            (&["-h"], help()),
            (&["-V"], version()),
            (&["--version", "--help"], help()),
            (&["--pace", "12x", "-h"], help()),
            (&["--config", "/nonexistent", "-V"], version()),
        ] {
            let Ok(Outcome::Print(text)) = run(args) else {
                panic!("{args:?}")
            };
            assert_eq!(text, expected, "{args:?}");
        }
        assert!(version().starts_with("tailwater "));
    }

    #[test]
    fn unknown_options_suggest_the_nearest_name() {
        let known = "unknown option; expected one of those in --help";
        for (arg, flag, nearest) in [
            ("--lisen", "--lisen", Some("listen")),
            ("--lisen=1935", "--lisen", Some("listen")),
            ("--worker", "--worker", Some("workers")),
            ("--gopcache", "--gopcache", Some("gop-cache")),
            (
                "--handshake_timeout",
                "--handshake_timeout",
                Some("handshake-timeout"),
            ),
            ("--chunksize", "--chunksize", Some("chunk-size")),
            ("--puhs", "--puhs", Some("push")),
            ("-listen", "-listen", Some("listen")),
            ("-listen=1935", "-listen", Some("listen")),
            ("--qqqqqqqq", "--qqqqqqqq", None),
            ("-x", "-x", None),
            ("--x", "--x", None),
            ("--", "", None),
        ] {
            match nearest {
                Some(name) => {
                    check_refused(&[arg], &format!("{flag}: {known}, perhaps --{name}"));
                }
                None if flag.is_empty() => assert!(run(&[arg]).is_ok()),
                None => check_refused(&[arg], &format!("{flag}: {known}")),
            }
        }
    }

    #[test]
    fn what_getopts_refuses_is_told_in_our_words() {
        check_refused(
            &["--pace"],
            "--pace: got no value; expected 0 to 1000 ms, or auto",
        );
        check_refused(
            &["--pace", "1", "--pace", "2"],
            "--pace: got it more than once; expected it once",
        );
        check_refused(&["--help=yes"], "--help: got a value; expected no value");
        for free in ["live", "", "-"] {
            let text = format!("arguments: got {free:?}; expected only options, such as --listen");
            check_refused(&["--workers", "2", free], &format!("{text} 1935"));
        }
        check_refused(
            &["--pace", "12x"],
            "--pace: got \"12x\"; expected 0 to 1000 ms, or auto",
        );
    }

    #[test]
    fn the_command_line_overrides_the_file() {
        let text = "pace = 20\nworkers = 2\nlisten = 1\nlisten = 2\napp = live\n";
        let file = Written::new("override.conf", text);
        let read = config(&["--config", file.path()]);
        assert_eq!((read.workers, read.listen.len()), (Some(2), 2));
        assert_eq!(read.pace, Pace::Fixed(std::time::Duration::from_millis(20)));
        let over = [
            "--listen",
            "3",
            "--pace",
            "auto",
            "--app=*",
            "--config",
            file.path(),
        ];
        let over = config(&over);
        assert_eq!((over.pace, over.workers), (Pace::Auto, Some(2)));
        assert_eq!(
            over.listen,
            [ListenAddr::Tcp("0.0.0.0:3".parse().unwrap())],
            "replaced, not appended"
        );
        assert!(over.app.is_empty());
    }

    #[test]
    fn errors_in_a_file_name_it_and_the_line() {
        let file = Written::new("bad.conf", "# tuned\n\npace = 12x\n");
        let place = format!("{}:3: pace", file.path());
        let text = format!("{place}: got \"12x\"; expected 0 to 1000 ms, or auto");
        check_refused(&["--config", file.path()], &text);
        // The command line's own value is the one that counts.
        assert_eq!(
            config(&["--config", file.path(), "--pace=auto"]).pace,
            Pace::Auto
        );
    }

    #[test]
    fn printed_values_come_from_file_and_command_line_and_read_back() {
        let file = Written::new("first.conf", "grace = 3\nlisten = [::1]:1\n");
        let args = ["--config", file.path(), "--log", "debug", "--print-config"];
        let Ok(Outcome::Print(text)) = run(&args) else {
            panic!("nothing printed")
        };
        for line in [
            "grace = 3 s",
            "listen = [::1]:1",
            "log = debug",
            "pace = auto",
        ] {
            assert!(
                text.lines().any(|printed| printed == line),
                "{line} in {text}"
            );
        }
        let again = Written::new("second.conf", &text);
        let read_back = Config {
            file: Some(file.path().into()),
            ..config(&["--config", again.path()])
        };
        assert_eq!(read_back, config(&args[..4]));
    }

    #[test]
    fn distance_counts_changed_letters() {
        for (one, other, letters) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "ab", 2),
            ("abc", "abc", 0),
            ("abc", "adc", 1),
            ("pace", "pase", 1),
            ("workers", "worker", 1),
            ("ping", "pnig", 1),
            ("push", "puhs", 1),
            ("push", "cpus", 2),
            ("aab", "aba", 1),
            ("abc", "ca", 3),
        ] {
            assert_eq!(distance(one, other), letters, "{one} {other}");
        }
    }
}
