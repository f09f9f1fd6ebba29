//! Starting and stopping the servers that are compared, each on a port and cores of its own.
//! What they write goes to a directory that is gone afterwards.

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::rows::{Door, Program, Speaks};
use crate::certificate;
use crate::measure::{listeners, median, now_ns};

/// Where the programs are; a path that is missing means that the program does not take part.
#[derive(Clone, Debug, Default)]
pub(super) struct Programs {
    /// The relay.
    pub tailwater: Option<PathBuf>,
    /// nginx.
    pub nginx: Option<PathBuf>,
    /// Its RTMP module.
    pub nginx_module: Option<PathBuf>,
    /// xiu.
    pub xiu: Option<PathBuf>,
    /// The folder of the node-media-server package.
    pub node_media_server: Option<PathBuf>,
}

impl Programs {
    /// Whether `program` can be started.
    pub(super) fn has(&self, program: &Program) -> bool {
        match program {
            Program::Tailwater { .. } => self.tailwater.is_some(),
            Program::Nginx => self.nginx.is_some() && self.nginx_module.is_some(),
            Program::Xiu => self.xiu.is_some(),
            Program::NodeMediaServer => self.node_media_server.is_some(),
            Program::Floor(_) | Program::Reader | Program::RmlReader | Program::Copy => true,
        }
    }
}

/// A server that runs.
pub(super) struct Server {
    child: Child,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    /// Its other listener.
    pub other: Option<Listener>,
    dir: PathBuf,
}

/// Where a server listens beside RTMP.
pub(super) struct Listener {
    /// On 127.0.0.1.
    pub port: u16,
    /// Whom to trust there, if TLS is spoken.
    pub certificate: Option<PathBuf>,
}

/// How long a server may take to listen, and to end.
const PATIENCE_NS: u64 = 10_000_000_000;

impl Server {
    /// Starts `program` on `cpus` with its files in `dir`, and waits until it listens.
    ///
    /// # Errors
    /// It cannot be started or does not listen: why.
    pub(super) fn start(
        program: &Program,
        programs: &Programs,
        cpus: &[usize],
        dir: &Path,
    ) -> Result<Self, String> {
        fs::create_dir_all(dir).map_err(|error| error.to_string())?;
        let words = |error: io::Error| error.to_string();
        let port = free_port(0).map_err(words)?;
        let mut command = command(program, programs, port, dir)?;
        let other = match program {
            Program::Tailwater {
                door: Some(door), ..
            } => Some(with_door(&mut command, door, port, dir).map_err(words)?),
            _ => None,
        };
        let log = |name: &str| File::create(dir.join(name)).map_err(|error| error.to_string());
        command
            .stdin(Stdio::null())
            .stdout(log("out")?)
            .stderr(log("log")?);
        let child = on_cpus(cpus, || command.spawn()).map_err(|error| error.to_string())?;
        let mut server = Self {
            child,
            port,
            other,
            dir: dir.to_owned(),
        };
        server.wait_until_listening()?;
        Ok(server)
    }

    fn wait_until_listening(&mut self) -> Result<(), String> {
        let until = now_ns() + PATIENCE_NS;
        while listeners(self.port).is_empty() {
            let ended = self.child.try_wait().ok().flatten();
            if let Some(status) = ended {
                return Err(format!("ended at once, {status}: {}", self.last_words()));
            }
            if now_ns() > until {
                return Err(format!("does not listen: {}", self.last_words()));
            }
            pause();
        }
        // Every process of it has started when the first one listens, or soon after.
        pause();
        Ok(())
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        log.lines().last().unwrap_or_default().to_owned()
    }

    /// The pace tailwater was at in the last `seconds`, by its own figures; None for others.
    pub(super) fn pace_ms(&self, seconds: u64) -> Option<f64> {
        let out = fs::read_to_string(self.dir.join("out")).ok()?;
        let pace = |line: &str| line.split("pace_ms=").nth(1)?.trim().parse().ok();
        let paces: Vec<f64> = out.lines().filter_map(pace).collect();
        let last = usize::try_from(seconds)
            .unwrap_or(usize::MAX)
            .min(paces.len());
        median(&paces[paces.len() - last..])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A signal that can be handled first: nginx has a child that it has to end.
        if let Ok(pid) = i32::try_from(self.child.id())
            && let Some(pid) = Pid::from_raw(pid)
        {
            let _: Result<(), _> = kill_process(pid, Signal::TERM);
        }
        let until = now_ns() + PATIENCE_NS;
        while now_ns() < until {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            pause();
        }
        let _: io::Result<()> = self.child.kill();
        let _: io::Result<_> = self.child.wait();
    }
}

fn command(
    program: &Program,
    programs: &Programs,
    port: u16,
    dir: &Path,
) -> Result<Command, String> {
    let path = |path: &Option<PathBuf>| path.clone().ok_or("is not there");
    let write = |name: &str, text: String| {
        let file = dir.join(name);
        fs::write(&file, text).map_err(|error| error.to_string())?;
        Ok::<_, String>(file)
    };
    Ok(match program {
        Program::Tailwater { flags, workers, .. } => {
            let mut command = Command::new(path(&programs.tailwater)?);
            command.arg("--listen").arg(format!("127.0.0.1:{port}"));
            command.arg("--workers").arg(workers.to_string());
            command.args(["--log", "warn", "--stats-interval", "1"]);
            // All of the load has one address.
            command.args(["--max-per-address", "0"]);
            command.args(*flags);
            command
        }
        Program::Nginx => {
            let module = path(&programs.nginx_module)?;
            let file = write("nginx.conf", nginx_config(&module, port, dir))?;
            let mut command = Command::new(path(&programs.nginx)?);
            command.arg("-p").arg(dir).arg("-c").arg(file);
            command
        }
        Program::Xiu => {
            let mut command = Command::new(path(&programs.xiu)?);
            command.args(["--rtmp", &port.to_string(), "--log", "error"]);
            command.current_dir(dir);
            command
        }
        Program::NodeMediaServer => {
            let file = write("nms.json", nms_config(port, dir))?;
            let mut command = Command::new("node");
            let package = path(&programs.node_media_server)?;
            command.arg(package.join("bin/app.js")).arg("-c").arg(file);
            command.current_dir(dir);
            command
        }
        Program::Floor(_) | Program::Reader | Program::RmlReader | Program::Copy => {
            return Err("is no server".into());
        }
    })
}

/// Has the relay listen at `door`, too, on another port than `port`.
fn with_door(command: &mut Command, door: &Door, port: u16, dir: &Path) -> io::Result<Listener> {
    let port = free_port(port)?;
    let mut certificate = None;
    let flag = match door.speaks {
        Speaks::Rtmps => {
            let [made, key] = certificate::make(dir)?;
            command.arg("--tls-cert").arg(&made);
            command.arg("--tls-key").arg(key);
            certificate = Some(made);
            "--listen-tls"
        }
        Speaks::Http => "--http",
        Speaks::Admin(_) => "--admin",
    };
    command.arg(flag).arg(format!("127.0.0.1:{port}"));
    Ok(Listener { port, certificate })
}

/// Defaults but for the number of workers and connections.
fn nginx_config(module: &Path, port: u16, dir: &Path) -> String {
    format!(
        "load_module {module};\n\
         daemon off;\n\
         worker_processes 1;\n\
         worker_rlimit_nofile 20000;\n\
         pid {dir}/nginx.pid;\n\
         error_log stderr error;\n\
         events {{ worker_connections 19900; }}\n\
         rtmp {{ server {{ listen 127.0.0.1:{port}; application live {{ live on; }} }} }}\n",
        module = module.display(),
        dir = dir.display(),
    )
}

fn nms_config(port: u16, dir: &Path) -> String {
    serde_json::json!({
        "bind": "127.0.0.1",
        "notify": { "url": "" },
        "store": { "path": dir, "maxHistory": 10 },
        "auth": { "play": false, "publish": false, "secret": "none" },
        "rtmp": { "port": port },
    })
    .to_string()
}

/// Starts something that inherits `cpus`, while this thread goes back to where it was.
///
/// # Errors
/// There are no such cores, or what `spawn` gives.
pub(super) fn on_cpus<T>(cpus: &[usize], spawn: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let before = sched_getaffinity(None)?;
    let mut set = CpuSet::new();
    for &cpu in cpus.iter().filter(|&&cpu| cpu < CpuSet::MAX_CPU) {
        set.set(cpu);
    }
    sched_setaffinity(None, &set)?;
    let spawned = spawn();
    sched_setaffinity(None, &before)?;
    spawned
}

/// A port other than `taken` that nobody has at this moment, on any address, as xiu wants all of
/// them. From below those that the kernel gives to outgoing connections.
fn free_port(taken: u16) -> io::Result<u16> {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 10_000;
    let start = u16::try_from(now_ns() % u64::from(COUNT)).unwrap_or(0);
    let mut ports = (0..COUNT).map(|step| FIRST + (start + step) % COUNT);
    let is_free = |port: &u16| *port != taken && TcpListener::bind(("0.0.0.0", *port)).is_ok();
    ports
        .find(is_free)
        .ok_or_else(|| io::ErrorKind::AddrInUse.into())
}

#[expect(clippy::disallowed_methods, reason = "waits for other processes")]
fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(100));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_started_has_the_cores_asked_for() {
        let cpus = tailwater::net::process::available_cpus().unwrap();
        let one = &cpus[..1];
        let seen = on_cpus(one, tailwater::net::process::available_cpus).unwrap();
        assert_eq!(seen, one);
        assert_eq!(tailwater::net::process::available_cpus().unwrap(), cpus);
        assert!(on_cpus(&[1_000_000], || Ok(())).is_err());
    }

    #[test]
    fn a_program_that_is_not_there_does_not_take_part() {
        let none = Programs::default();
        assert!(!none.has(&Program::Xiu));
        assert!(none.has(&Program::Copy));
        let started = Server::start(&Program::Xiu, &none, &[0], &std::env::temp_dir());
        assert_eq!(started.err().as_deref(), Some("is not there"));
    }
}
