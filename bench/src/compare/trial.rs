//! One sample: one entrant does the work of one row once.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};

use super::rows::{Door, Entrant, Load, NS_PER_MESSAGE, Pace, Program, Row, Speaks, Work};
use super::servers::{Listener, Programs, Server, on_cpus};
use crate::measure::now_ns;
use crate::micro::{Chunks, Sum};

/// What every sample of a comparison has in common.
pub(super) struct Bench {
    /// The programs that take part.
    pub programs: Programs,
    /// Cores of servers: the first of them when one is enough.
    pub server_cpus: Vec<usize>,
    /// Core of the generator.
    pub load_cpu: usize,
    /// A twentieth of the load for a moment.
    pub quick: bool,
    /// Where servers keep their files.
    pub scratch: PathBuf,
    /// How late the generator may be, for `--late-max`.
    pub late_max_ms: u64,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// Key of the row.
    pub row: &'static str,
    /// Name of the entrant.
    pub entrant: &'static str,
    /// Which round, from 1.
    pub round: usize,
    /// The server's flags of its own, and the load on it.
    pub line: String,
    /// Figures by key, or why there are none.
    pub result: Result<Map<String, Value>, String>,
}

impl Sample {
    /// A figure.
    pub(super) fn value(&self, key: &str) -> Option<f64> {
        self.result.as_ref().ok()?.get(key)?.as_f64()
    }

    /// Why the figures are not the program's own: something else had its core meanwhile, or the
    /// generator was short of time. Such a sample is better taken again.
    pub(super) fn disturbed(&self) -> Option<String> {
        let waited = |key: &str| self.value(key).unwrap_or(0.0);
        match &self.result {
            Err(why) => why.starts_with("refused").then(|| why.clone()),
            // Two workers share a core with the generator.
            Ok(_) if self.line.contains("--workers 2") => None,
            Ok(_) if waited("server_waited_pct") > WAITED_PCT_MAX => Some(format!(
                "the server waited for its core for {:.0} % of the time",
                waited("server_waited_pct")
            )),
            Ok(_) => None,
        }
    }

    /// As a line of JSON.
    pub(super) fn json(&self) -> String {
        let mut line = json!({
            "row": self.row,
            "entrant": self.entrant,
            "round": self.round,
            "line": self.line,
        });
        match &self.result {
            Ok(figures) => line["figures"] = Value::Object(figures.clone()),
            Err(why) => line["failed"] = why.as_str().into(),
        }
        line.to_string()
    }
}

impl Bench {
    /// Takes one sample. `tailwater_pace_ms`: the pace tailwater settled on in this row.
    pub(super) fn sample(
        &self,
        row: &Row,
        entrant: &Entrant,
        round: usize,
        tailwater_pace_ms: Option<f64>,
    ) -> Sample {
        let result = match (&row.work, &entrant.program) {
            (Work::Read { chunk_size }, program) => Ok(self.read(*chunk_size, program)),
            (Work::Load(load), Program::Floor(pace)) => {
                self.floor(&self.scaled(load), *pace, tailwater_pace_ms)
            }
            (Work::Load(load), program) => self.load(&self.scaled(load), program),
        };
        Sample {
            row: row.key,
            entrant: entrant.name,
            round,
            line: self.line(row, entrant),
            result,
        }
    }

    /// What the entrant does, in flags.
    fn line(&self, row: &Row, entrant: &Entrant) -> String {
        let mut words: Vec<String> = Vec::new();
        if let Program::Tailwater { flags, workers, .. } = &entrant.program {
            words.extend(["tailwater".into(), "--workers".into(), workers.to_string()]);
            words.extend(flags.iter().map(|&flag| flag.to_owned()));
            words.push(";".into());
        }
        if let Work::Load(load) = &row.work {
            words.push("load".into());
            words.extend(load_arguments(&self.scaled(load), &entrant.program, None));
        }
        words.join(" ")
    }

    fn scaled(&self, load: &Load) -> Load {
        if self.quick { load.quick() } else { *load }
    }

    fn load(&self, load: &Load, program: &Program) -> Result<Map<String, Value>, String> {
        let server = Server::start(
            program,
            &self.programs,
            self.cpus_of(program),
            &self.scratch,
        )?;
        let mut line = vec!["load".to_owned()];
        line.extend(load_arguments(load, program, server.other.as_ref()));
        line.extend([
            "--url".to_owned(),
            format!("rtmp://127.0.0.1:{}/live", server.port),
        ]);
        let mut figures = self.run_bench(&line)?;
        if let Some(pace_ms) = server.pace_ms(load.seconds) {
            figures.insert("pace_ms".into(), pace_ms.into());
        }
        Ok(figures)
    }

    fn floor(
        &self,
        load: &Load,
        pace: Pace,
        tailwater_pace_ms: Option<f64>,
    ) -> Result<Map<String, Value>, String> {
        let pace_ms = match pace {
            Pace::Fixed(pace_ms) => pace_ms as f64,
            Pace::AsTailwater => {
                tailwater_pace_ms.ok_or("tailwater has told no pace to compare with")?
            }
        };
        let mut line = vec!["floor".to_owned()];
        line.extend(load.arguments());
        line.extend(["--pace".to_owned(), format!("{pace_ms:.0}")]);
        line.extend(["--server-cpu".to_owned(), self.server_cpus[0].to_string()]);
        if load.players == 0 {
            line.push("--ingest".to_owned());
        }
        let mut figures = self.run_bench(&line)?;
        figures.insert("pace_ms".into(), pace_ms.into());
        Ok(figures)
    }

    /// The cores for `program`: the first, or one for each worker.
    fn cpus_of(&self, program: &Program) -> &[usize] {
        let count = match program {
            Program::Tailwater { workers, .. } => *workers,
            _ => 1,
        };
        &self.server_cpus[..count.min(self.server_cpus.len())]
    }

    /// Runs this very program with other arguments; its figures.
    fn run_bench(&self, line: &[String]) -> Result<Map<String, Value>, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(own);
        command.args(line).args(["--quiet", "--json", "-"]);
        command.args(["--cpu", &self.load_cpu.to_string()]);
        command.args(["--late-max", &self.late_max_ms.to_string()]);
        command.stdin(Stdio::null());
        let output = command.output().map_err(|error| error.to_string())?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            let last = complaint.lines().last().unwrap_or("no word of why");
            let last = last.trim_start_matches("tailwater-bench: ");
            return Err(last.to_owned());
        }
        let mut result: Value =
            serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        match result["figures"].take() {
            Value::Object(figures) => Ok(figures),
            _ => Err("no figures".into()),
        }
    }

    /// Reads messages in memory for a moment.
    fn read(&self, chunk_size: usize, program: &Program) -> Map<String, Value> {
        let mut chunks = Chunks::new(READ_MESSAGES, chunk_size);
        let repeats = if self.quick { 20 } else { 2_000 };
        let mut pass = || match program {
            Program::RmlReader => chunks.read_with_rml(),
            Program::Copy => chunks.copy(),
            _ => chunks.read(),
        };
        let timed = || {
            let mut sum = Sum::default();
            pass();
            let begun = now_ns();
            for _ in 0..repeats {
                sum = std::hint::black_box(pass());
            }
            Ok((now_ns() - begun, sum))
        };
        let (elapsed_ns, sum) = on_cpus(&[self.load_cpu], timed).unwrap_or_default();
        let messages = (READ_MESSAGES * repeats) as f64;
        let bytes = (chunks.len() * repeats) as f64;
        let mut figures = Map::new();
        figures.insert(NS_PER_MESSAGE.into(), (elapsed_ns as f64 / messages).into());
        figures.insert("gb_per_s".into(), (bytes / elapsed_ns as f64).into());
        figures.insert("checksum".into(), format!("{:016x}", sum.check).into());
        figures
    }
}

/// The load on a server that listens at `other`, too, in flags; without it as it is shown.
fn load_arguments(load: &Load, program: &Program, other: Option<&Listener>) -> Vec<String> {
    let speaks = match program {
        Program::Tailwater {
            door: Some(Door {
                speaks,
                is_used: true,
            }),
            ..
        } => Some(speaks),
        _ => None,
    };
    let host = match other {
        Some(listener) => format!("127.0.0.1:{}", listener.port),
        None => "...".to_owned(),
    };
    let mut load = *load;
    let mut door = Vec::new();
    match speaks {
        Some(Speaks::Rtmps) => {
            door.extend(["--play-url".to_owned(), format!("rtmps://{host}/live")]);
            if let Some(trusted) = other.and_then(|listener| listener.certificate.as_ref()) {
                door.extend(["--tls-ca".to_owned(), trusted.display().to_string()]);
            }
        }
        Some(Speaks::Http) => {
            let by_http = load.players / 2;
            load.players -= by_http;
            door.extend(["--http-players".to_owned(), by_http.to_string()]);
            door.extend(["--http-url".to_owned(), format!("http://{host}/live")]);
        }
        Some(Speaks::Admin(paths)) => {
            let urls = paths.iter().map(|path| format!("http://{host}/{path}"));
            let urls = urls.collect::<Vec<_>>().join(",");
            door.extend(["--scrape".to_owned(), urls]);
        }
        None => {}
    }
    [load.arguments(), load.more_arguments(), door].concat()
}

/// A server that waits for its core longer than this, in percent of the time, is not alone there.
const WAITED_PCT_MAX: f64 = 5.0;

/// Messages of one pass in memory; they fit into the cache of a core, as what a relay has just
/// received does.
const READ_MESSAGES: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::rows::ROWS;

    #[test]
    fn who_comes_to_the_other_door_is_told_in_flags() {
        for (key, used) in [
            ("tls-500", "--players 500|--play-url rtmps://.../live"),
            (
                "http-4000",
                "--players 2000|--http-players 2000 --http-url http://.../live",
            ),
            (
                "scrape-2000",
                "--players 2000|--scrape http://.../metrics,http://.../api/v1/streams",
            ),
        ] {
            let row = ROWS.iter().find(|row| row.key == key).unwrap();
            let Work::Load(load) = &row.work else {
                panic!("no load");
            };
            let [first, second] = row.entrants else {
                panic!("not in turn");
            };
            let line = |entrant: &Entrant| load_arguments(load, &entrant.program, None).join(" ");
            let (players, door) = used.split_once('|').unwrap();
            let told = line(first);
            assert!(told.contains(&format!("{players} ")), "{told}");
            assert!(told.ends_with(door), "{told}");
            let plain = [load.arguments(), load.more_arguments()].concat();
            assert_eq!(line(second), plain.join(" "));
        }
    }
}
