//! The `tailwater` binary: flags, then the relay, or `top`. Exit codes: 0 after a signal or a
//! printed text, 1 when the relay could not start, 2 for a bad option.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use tailwater::flags::{self, Outcome};
use tailwater::{logging, server};

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1).map(OsString::into_string);
    let arguments: Vec<String> = match arguments.collect() {
        Ok(arguments) => arguments,
        Err(raw) => {
            eprintln!("tailwater: {raw:?}: expected UTF-8");
            return ExitCode::from(2);
        }
    };
    if let [first, rest @ ..] = &arguments[..]
        && first == "top"
    {
        return match tailwater_top::run(rest) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("tailwater top: {error}");
                ExitCode::from(error.code)
            }
        };
    }
    let config = match flags::parse(&arguments) {
        Ok(Outcome::Run(config)) => config,
        Ok(Outcome::Print(text)) => {
            // A reader that has seen enough, such as head, is no failure.
            let _: std::io::Result<()> = std::io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("tailwater: {error}");
            return ExitCode::from(2);
        }
    };
    let log = match logging::start(config.log.as_deref()) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("tailwater: cannot start the log: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = server::run(config);
    drop(log);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tailwater: {error}");
            ExitCode::FAILURE
        }
    }
}
