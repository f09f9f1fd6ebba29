//! The `tailwater-bench` binary: one subcommand and its flags.

use std::process::ExitCode;

use tailwater_bench::subcommand::End;
use tailwater_bench::{abuse, compare, floor, load};

const USAGE: &str = "\
usage: tailwater-bench load|abuse|floor|compare [FLAG]...

  load      put load on an RTMP server and measure it
  abuse     the same load once quiet and once beside abusers
  floor     measure what no relay on sockets can beat
  compare   tailwater, the floor and other servers side by side

Each has --help.";

#[expect(clippy::print_stdout, reason = "help goes to standard output")]
fn main() -> ExitCode {
    let mut arguments = std::env::args_os()
        .skip(1)
        .map(|raw| raw.to_string_lossy().into_owned());
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let end = match &*command {
        "load" => load::run(&rest),
        "abuse" => abuse::run(&rest),
        "floor" => floor::run(&rest),
        "compare" => compare::run(&rest),
        "--help" | "-h" | "help" => {
            println!("{USAGE}");
            End::Done
        }
        "" => End::Usage(USAGE.into()),
        other => End::Usage(format!("no subcommand '{other}'\n\n{USAGE}")),
    };
    match end {
        End::Done => ExitCode::SUCCESS,
        End::Failed(why) => {
            eprintln!("tailwater-bench: {why}");
            ExitCode::FAILURE
        }
        End::Usage(why) => {
            eprintln!("tailwater-bench: {why}");
            ExitCode::from(2)
        }
        End::Refused(reasons) => {
            for reason in reasons {
                eprintln!("tailwater-bench: refused: {reason}");
            }
            ExitCode::from(3)
        }
    }
}
