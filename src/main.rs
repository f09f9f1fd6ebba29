//! The `tailwater` binary: flags, then the relay, or `top`. Exit codes: 0 after a signal or a
//! printed text, 1 when the relay could not start, 2 for a bad option.

use std::io::Write;
use std::process::ExitCode;

use tailwater::flags::{self, Outcome};
use tailwater::{server, top};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|raw| raw.to_string_lossy().into_owned())
        .collect();
    if let [first, rest @ ..] = &arguments[..]
        && first == "top"
    {
        return match top::run(rest) {
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
    start_log(config.log.as_deref());
    match server::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tailwater: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Logs go to standard error; `--log` decides what, or else RUST_LOG, or else info.
fn start_log(filter: Option<&str>) {
    let mut builder = match filter {
        Some(filter) => {
            let mut builder = env_logger::Builder::new();
            builder.parse_filters(filter);
            builder
        }
        None => {
            let environment = env_logger::Env::default().default_filter_or("info");
            env_logger::Builder::from_env(environment)
        }
    };
    builder.format_timestamp_millis().init();
}
