//! What the subcommands share: the way from arguments to work and to how it ended, and where
//! what they tell goes. What each does with its flags is in its own file.

use std::io;

use crate::flags::{Asked, Flag, FlagError, Values, read};

/// What a subcommand ended with.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// Figures were reported, or help was.
    Done,
    /// The flags are wrong.
    Usage(String),
    /// The load could not be put on.
    Failed(String),
    /// The generator was the bottleneck, so nothing is reported.
    Refused(Vec<String>),
}

impl From<FlagError> for End {
    fn from(error: FlagError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Does `work` with the values that `arguments` give to `flags`, or shows the help, which begins
/// with `about` and ends with `examples`.
pub fn run(
    flags: &[Flag],
    arguments: &[String],
    about: &str,
    examples: &str,
    work: impl FnOnce(&Values) -> Result<(), End>,
) -> End {
    let done = match read(flags, arguments, about, examples) {
        Ok(Asked::Run(values)) => work(&values),
        Ok(Asked::Help(text)) => {
            say(&text);
            Ok(())
        }
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(()) => End::Done,
        Err(end) => end,
    }
}

/// Writes `json` and the end of a line where `--json` says, if it says anything.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write_json(values: &Values, json: &serde_json::Value) -> Result<(), End> {
    let text = format!("{json}\n");
    match values.optional("json") {
        None => Ok(()),
        Some("-") => {
            say(&text);
            Ok(())
        }
        Some(file) => std::fs::write(file, text)
            .map_err(|error| End::Failed(format!("--json: {file}: {error}"))),
    }
}

#[expect(clippy::print_stdout, reason = "what the user asked for")]
pub(crate) fn say(text: &str) {
    print!("{text}");
}
