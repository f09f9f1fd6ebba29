//! `compare`: tailwater, the floor and other servers do the same work side by side, in several
//! rounds; the result is a folder with raw samples, a page of medians and targets, and a chart.

mod chart;
mod host;
mod rows;
mod servers;
mod summary;
mod trial;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use self::rows::{Program, ROWS, Row};
use self::servers::Programs;
use self::summary::{Heading, Samples, page};
use self::trial::{Bench, Sample};
use crate::flags::{Flag, FlagError, Values, flag};
use crate::measure::median;
use crate::subcommand::{self, End, say};

const ABOUT: &str = "\
usage: tailwater-bench compare [--rounds N] [--rows KEY,...] ...

Runs tailwater, the floor (what the kernel's sockets cost by themselves), nginx-rtmp, xiu and
node-media-server side by side: in each round every program does the same work in turn, the server
on one core and the load on another. A program whose path is not known does not take part;
scripts/compare installs them all. Writes OUT/DATE-HOST/ with summary.md, samples.jsonl, chart.svg
and command.txt. Takes about an hour; --quick less than a minute.";

const FLAGS: [Flag; 13] = [
    flag("rounds", "N", "5", "Rounds; figures are medians over them."),
    flag(
        "rows",
        "KEYS",
        "",
        "Only these kinds of work, separated by commas (default: all)",
    ),
    flag(
        "quick",
        "",
        "",
        "One round of a few rows with a twentieth of the load, to see it work.",
    ),
    flag(
        "out",
        "DIR",
        "bench/runs",
        "Where the folder of this run is made.",
    ),
    flag(
        "host",
        "NAME",
        "",
        "What the machine is called (default: its processor and cores)",
    ),
    flag(
        "server-cpus",
        "LIST",
        "",
        "Cores of the servers; one worker uses the first (default: the first two)",
    ),
    flag(
        "load-cpu",
        "N",
        "",
        "Core of the generator (default: the second)",
    ),
    flag(
        "late-max",
        "MS",
        "20",
        "As of load. A disturbed sample is taken again, twice at most.",
    ),
    flag(
        "tailwater",
        "FILE",
        "",
        "The relay (default: tailwater beside this program)",
    ),
    flag("nginx", "FILE", "/usr/sbin/nginx", "nginx."),
    flag(
        "nginx-module",
        "FILE",
        "/usr/lib/nginx/modules/ngx_rtmp_module.so",
        "Its RTMP module.",
    ),
    flag(
        "xiu",
        "FILE",
        "",
        "xiu. It can only listen on every address, unlike the others.",
    ),
    flag(
        "node-media-server",
        "DIR",
        "",
        "The folder of the npm package.",
    ),
];

/// How often a sample is taken again because the generator was disturbed.
const TRIES: usize = 3;

/// Runs the subcommand.
pub fn run(arguments: &[String]) -> End {
    let mut examples = "rows:\n\n".to_owned();
    for row in ROWS {
        // Writing to a string does not fail.
        let _: std::fmt::Result = writeln!(examples, "  {:<18} {}", row.key, row.title);
    }
    examples += "\nexit status: 0 when the run is written, whatever its figures; 1 if it failed.";
    subcommand::run(&FLAGS, arguments, ABOUT, &examples, |values| {
        compare(values, arguments)
    })
}

fn compare(values: &Values, arguments: &[String]) -> Result<(), End> {
    let rows = chosen(values)?;
    let rounds = match values.is_set("quick") {
        true => 1,
        false => values.count("rounds", 1..=100)?,
    };
    let bench = bench(values)?;
    let date = host::date();
    let machine = match values.optional("host") {
        Some(name) => host::slug(name),
        None => host::neutral_name(),
    };
    let versions = host::versions(&bench.programs);
    let folder = new_folder(Path::new(values.text("out")), &date, &machine)?;
    let command = format!("tailwater-bench compare {}", shown_arguments(arguments));
    fs::write(folder.join("command.txt"), command.clone() + "\n")?;
    let samples = take_all(&bench, &rows, rounds, &folder.join("samples.jsonl"));
    let removed = fs::remove_dir_all(&bench.scratch);
    let samples = samples?;
    removed.or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    let heading = Heading {
        date: &date,
        host: &machine,
        command: command.trim(),
        versions: &versions,
        rounds,
        quick: bench.quick,
    };
    fs::write(folder.join("summary.md"), page(&heading, &rows, &samples))?;
    let how = match bench.quick {
        true => "a quick look with a twentieth of the load".to_owned(),
        false => format!("medians of {rounds} rounds; shorter is better"),
    };
    let title = format!("{date}, {machine}, {how}");
    let chart = chart::svg(&title, &rows, &samples);
    fs::write(folder.join("chart.svg"), chart)?;
    report(&rows, &samples, &folder);
    Ok(())
}

/// The rows that were asked for.
fn chosen(values: &Values) -> Result<Vec<&'static Row>, FlagError> {
    let Some(list) = values.optional("rows") else {
        let quick = values.is_set("quick");
        return Ok(ROWS.iter().filter(|row| row.quick || !quick).collect());
    };
    let find = |key| ROWS.iter().find(|row| row.key == key);
    let rows: Option<Vec<&Row>> = list.split(',').map(find).collect();
    rows.ok_or_else(|| values.wrong("rows", "keys of rows, see --help"))
}

fn bench(values: &Values) -> Result<Bench, End> {
    let available = tailwater::net::process::available_cpus()?;
    if available.len() < 2 {
        return Err(End::Failed("server and load need a core each".into()));
    }
    let server_cpus = match values.optional("server-cpus") {
        None => Ok(available[..2].to_vec()),
        Some(list) => list.split(',').map(str::parse).collect(),
    };
    let server_cpus: Vec<usize> = server_cpus
        .ok()
        .filter(|cpus: &Vec<usize>| cpus.iter().all(|cpu| available.contains(cpu)))
        .ok_or_else(|| values.wrong("server-cpus", &format!("some of {available:?}")))?;
    let load_cpu = match values.optional("load-cpu") {
        None => available[1],
        Some(_) => values.count("load-cpu", 0..=1_023)?,
    };
    if !available.contains(&load_cpu) || server_cpus[0] == load_cpu {
        let expected = "an available core that is not the servers' first";
        return Err(values.wrong("load-cpu", expected).into());
    }
    let programs = Programs {
        tailwater: existing(
            values
                .optional("tailwater")
                .map_or_else(beside, PathBuf::from),
        ),
        nginx: existing(values.text("nginx").into()),
        nginx_module: existing(values.text("nginx-module").into()),
        xiu: existing(values.text("xiu").into()),
        node_media_server: existing(values.text("node-media-server").into()),
    };
    if programs.tailwater.is_none() {
        return Err(values.wrong("tailwater", "the relay's binary").into());
    }
    let quick = values.is_set("quick");
    let late_max_ms = values.number("late-max", 1..=10_000)?;
    Ok(Bench {
        programs,
        server_cpus,
        load_cpu,
        quick,
        scratch: std::env::temp_dir().join(format!("tailwater-bench-{}", std::process::id())),
        // A quick look is not about figures.
        late_max_ms: if quick { 10_000 } else { late_max_ms },
    })
}

/// The relay as cargo builds it.
fn beside() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.with_file_name("tailwater")
}

fn existing(path: PathBuf) -> Option<PathBuf> {
    // A relative path would not be found from a server's own folder.
    fs::canonicalize(path).ok()
}

/// `DATE-HOST`, with a number behind it when there is one already.
fn new_folder(out: &Path, date: &str, machine: &str) -> io::Result<PathBuf> {
    fs::create_dir_all(out)?;
    for number in 1.. {
        let folder = match number {
            1 => out.join(format!("{date}-{machine}")),
            _ => out.join(format!("{date}-{machine}-{number}")),
        };
        match fs::create_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| folder),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// The command line without the folders of this machine.
fn shown_arguments(arguments: &[String]) -> String {
    let short = |argument: &String| match argument.rsplit_once('/') {
        Some((_, name)) => format!(".../{name}"),
        None => argument.clone(),
    };
    arguments.iter().map(short).collect::<Vec<_>>().join(" ")
}

/// Every sample of every row, written down as it comes.
fn take_all(
    bench: &Bench,
    rows: &[&'static Row],
    rounds: usize,
    file: &Path,
) -> io::Result<Samples> {
    let mut file = File::create(file)?;
    let mut samples = Vec::new();
    for row in rows {
        let mut pace_ms = Vec::new();
        for round in 1..=rounds {
            // There and back, so that nobody always comes after the same one. The first goes
            // first in the first round: the floor may need to know its pace.
            let mut entrants: Vec<_> = row.entrants.iter().collect();
            if round % 2 == 0 {
                entrants.reverse();
            }
            for entrant in entrants {
                if !bench.programs.has(&entrant.program) {
                    continue;
                }
                let pace = median(&pace_ms);
                let sample = take(bench, row, &mut file, || {
                    bench.sample(row, entrant, round, pace)
                })?;
                if let Program::Tailwater { .. } = entrant.program {
                    pace_ms.extend(sample.value("pace_ms"));
                }
                samples.push(sample);
            }
        }
    }
    Ok(Samples(samples))
}

/// One sample, taken again when it was disturbed.
fn take(
    bench: &Bench,
    row: &Row,
    file: &mut File,
    mut sample: impl FnMut() -> Sample,
) -> io::Result<Sample> {
    let mut tries = if bench.quick { 1 } else { TRIES };
    loop {
        let taken = sample();
        writeln!(file, "{}", taken.json())?;
        tries -= 1;
        let told = match (&taken.result, taken.value(row.figure)) {
            (Err(why), _) => why.clone(),
            (Ok(_), Some(value)) => format!("{} {value:.1}", row.figure),
            (Ok(_), None) => "done".to_owned(),
        };
        let disturbed = taken.disturbed();
        let note = match (&taken.result, &disturbed) {
            (Ok(_), Some(why)) => format!(", but {why}"),
            _ => String::new(),
        };
        let (entrant, round) = (taken.entrant, taken.round);
        eprintln!("{:<18} round {round}  {entrant:<20} {told}{note}", row.key);
        if disturbed.is_none() || tries == 0 {
            return Ok(taken);
        }
    }
}

/// The targets, for who waits for them.
fn report(rows: &[&Row], samples: &Samples, folder: &Path) {
    let mut text = String::new();
    for row in rows {
        for goal in row.goals {
            let verdict = samples.judge(row, goal);
            let met = match verdict.met {
                Some(true) => "ok",
                Some(false) => "MISSED",
                None => "-",
            };
            text += &format!(
                "{met:<7} {:<18} {}: {}\n",
                row.key, verdict.wanted, verdict.measured
            );
        }
    }
    say(&format!(
        "{text}\n{}\n",
        folder.join("summary.md").display()
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_shown_without_folders() {
        let line = ["--rounds", "3", "--xiu", "/some/where/xiu"].map(str::to_owned);
        assert_eq!(shown_arguments(&line), "--rounds 3 --xiu .../xiu");
    }

    #[test]
    fn every_run_has_a_folder_of_its_own() {
        let out = std::env::temp_dir().join(format!("tailwater-runs-{}", std::process::id()));
        let names: Vec<PathBuf> = (0..3)
            .map(|_| new_folder(&out, "2026-11-22", "m").unwrap())
            .collect();
        fs::remove_dir_all(&out).unwrap();
        let ends: Vec<_> = names
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(ends, ["2026-11-22-m", "2026-11-22-m-2", "2026-11-22-m-3"]);
    }
}
