//! `tailwater top`: the figures of a running relay in a terminal, asked for at its admin port and
//! drawn anew each second. A client of the API like any other: it shares no code with the relay,
//! whose binary calls [`run`], and it may block.
//!
//! ```text
//!   api     one request at a time over a TcpStream
//!   table   two answers -> rates -> lines of text
//!   screen  the terminal: raw while it is drawn on, and as it was afterwards
//! ```

mod api;
mod screen;
mod table;

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use getopts::{Fail, Options};

use api::Api;
use screen::{Screen, Wish};
use table::Seen;

/// Shortest and longest time between two looks, in seconds.
const INTERVALS: std::ops::RangeInclusive<f64> = 0.2..=3_600.0;

/// Streams that are asked for.
const ROWS: usize = 200;

/// What streams are sorted by unless the command line says it.
const SORT: &str = "players";

const HELP: &str = "\
tailwater top: what a running relay is doing, in a terminal

Usage: tailwater top [OPTION]... ADDR

ADDR is where its --admin listens: HOST:PORT, or http://HOST:PORT.

  --token-file FILE   The token, where the relay has --admin-token-file. The
                      environment and the command line are no place for it.
  --sort WHAT         Streams with the most of this first: players, out_bps,
                      in_bps, waiting, skips, gaps, uptime_seconds and more, as
                      the API sorts; or name or state. The default is players.
  --filter TEXT       Only streams with TEXT in their name.
  --interval SECONDS  Look this often, 0.2 to 3600. The default is 1.
  --once              Print one table and exit. Rates are over one interval.
  --help              Print this and exit.

q, Escape or Ctrl-C ends it. There are as many streams as there is room for,
200 at most; the last line tells how many are not shown. Rates are bits and
events a second; what slow players did not get is told as skips.

Exit codes: 0, 1 when the relay cannot be asked, 2 for a wrong option.

  tailwater --admin 127.0.0.1:9090 &
  tailwater top 127.0.0.1:9090
";

/// Why it ended early: words for the user, and whether the command line was wrong.
#[derive(Debug)]
pub struct TopError {
    words: String,
    /// The exit code.
    pub code: u8,
}

impl TopError {
    fn usage(words: impl Into<String>) -> Self {
        Self {
            words: format!("{}; try tailwater top --help", words.into()),
            code: 2,
        }
    }

    fn failed(words: impl Into<String>) -> Self {
        Self {
            words: words.into(),
            code: 1,
        }
    }
}

impl std::fmt::Display for TopError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.words)
    }
}

impl From<io::Error> for TopError {
    fn from(error: io::Error) -> Self {
        Self::failed(format!("the terminal: {error}"))
    }
}

/// What the command line asks for.
#[derive(Debug, PartialEq)]
struct Asked {
    address: String,
    token_file: Option<String>,
    interval: Duration,
    once: bool,
    sort: String,
    filter: String,
}

/// Runs with the arguments behind `top` until the user has seen enough.
///
/// # Errors
/// The command line is wrong, or the relay cannot be asked.
pub fn run(arguments: &[String]) -> Result<(), TopError> {
    let Some(asked) = parse(arguments)? else {
        io::stdout().write_all(HELP.as_bytes())?;
        return Ok(());
    };
    let token = asked.token_file.as_deref().map(read_token).transpose()?;
    let api = Api::new(&asked.address, token).map_err(TopError::usage)?;
    // Whoever cannot be asked is told of before the terminal is touched.
    let mut before = look(&api, &asked)?;
    let screen = Screen::open(!asked.once)?;
    loop {
        if screen.wait(asked.interval)? == Wish::End {
            return Ok(());
        }
        let now = look(&api, &asked)?;
        let (columns, rows) = screen.size();
        let lines = table::lines(&before, &now, columns, rows);
        screen.draw(&lines)?;
        if asked.once {
            return Ok(());
        }
        before = now;
    }
}

fn look(api: &Api, asked: &Asked) -> Result<Seen, TopError> {
    let ask = |path: &str| api.get(path).map_err(TopError::failed);
    Ok(Seen {
        workers: ask("/api/v1/workers")?,
        streams: ask(&streams_path(asked))?,
    })
}

fn streams_path(asked: &Asked) -> String {
    let sort = escaped(&asked.sort);
    // By name and state the smallest first, otherwise those with the most.
    let order = match asked.sort.as_str() {
        "name" | "state" => "asc",
        _ => "desc",
    };
    let filter = escaped(&asked.filter);
    format!("/api/v1/streams?limit={ROWS}&sort={sort}&order={order}&q={filter}")
}

/// Text as a query has it.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match char::from(byte) {
        plain if plain.is_ascii_alphanumeric() || "-._~".contains(plain) => plain.to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

fn read_token(path: &str) -> Result<String, TopError> {
    let text = std::fs::read_to_string(Path::new(path));
    let text = text.map_err(|error| TopError::failed(format!("{path}: {error}")))?;
    let token = text.trim();
    if token.is_empty() || !token.chars().all(|c| c.is_ascii_graphic()) {
        return Err(TopError::failed(format!("{path} holds no token")));
    }
    Ok(token.to_owned())
}

/// None when help is asked for.
fn parse(arguments: &[String]) -> Result<Option<Asked>, TopError> {
    let mut options = Options::new();
    options.optflag("h", "help", "");
    options.optflag("", "once", "");
    options.optopt("", "token-file", "", "");
    options.optopt("", "interval", "", "");
    options.optopt("", "sort", "", "");
    options.optopt("", "filter", "", "");
    let found = options.parse(arguments);
    let found = found.map_err(|fail: Fail| TopError::usage(fail.to_string()))?;
    if found.opt_present("help") {
        return Ok(None);
    }
    let [address] = &found.free[..] else {
        return Err(TopError::usage("one ADDR is needed"));
    };
    let interval = match found.opt_str("interval") {
        None => 1.0,
        Some(text) => {
            let seconds = text.parse().ok().filter(|time| INTERVALS.contains(time));
            seconds.ok_or_else(|| TopError::usage("--interval is a number of 0.2 to 3600"))?
        }
    };
    Ok(Some(Asked {
        address: address.clone(),
        token_file: found.opt_str("token-file"),
        interval: Duration::from_secs_f64(interval),
        once: found.opt_present("once"),
        sort: found.opt_str("sort").unwrap_or_else(|| SORT.to_owned()),
        filter: found.opt_str("filter").unwrap_or_default(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Option<Asked>, u8> {
        let arguments: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        parse(&arguments).map_err(|error| error.code)
    }

    #[test]
    fn the_command_line_is_read() {
        let asked = parsed("--once h:1 --interval 2.5 --token-file t").unwrap();
        let wanted = Asked {
            address: "h:1".to_owned(),
            token_file: Some("t".to_owned()),
            interval: Duration::from_millis(2_500),
            once: true,
            sort: "players".to_owned(),
            filter: String::new(),
        };
        assert_eq!(asked, Some(wanted));
        assert_eq!(parsed("--help"), Ok(None));
        for wrong in [
            "",
            "a b",
            "--what h:1",
            "--interval 0 h:1",
            "--interval nan h:1",
        ] {
            assert_eq!(parsed(wrong), Err(2), "{wrong}");
        }
    }

    #[test]
    fn streams_are_asked_for_in_the_order_they_are_shown() {
        let path = |text| streams_path(&parsed(text).unwrap().unwrap());
        let wanted = "/api/v1/streams?limit=200&sort=players&order=desc&q=";
        assert_eq!(path("h:1"), wanted);
        let wanted = "/api/v1/streams?limit=200&sort=name&order=asc&q=a%2F%C3%A9%26";
        assert_eq!(path("--sort name --filter a/\u{e9}& h:1"), wanted);
    }

    #[test]
    fn the_help_is_no_wider_than_a_terminal() {
        assert!(HELP.lines().all(|line| line.chars().count() < 80));
    }
}
