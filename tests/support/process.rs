//! A process that a test starts: its output kept in files, its end waited for within a bound,
//! and killed by its id when the test is over before it is.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::{now, pause};

/// See the module text.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    dir: PathBuf,
    ended: Option<ExitStatus>,
}

/// How many bytes of an output are shown when a test fails.
const SHOWN_BYTES: usize = 6_000;

impl Process {
    /// Starts `command` with its output in files in `dir`.
    pub fn start(name: &str, dir: &Path, command: &mut Command) -> Self {
        let file = |suffix: &str| {
            File::create(dir.join(format!("{name}.{suffix}"))).expect("the directory is there")
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(file("out"))
            .stderr(file("err"))
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{command:?}: {error}; scripts/test installs the clients")
            });
        Self {
            name: name.to_owned(),
            child,
            dir: dir.to_owned(),
            ended: None,
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to its standard output.
    pub fn out(&self) -> String {
        self.read("out")
    }

    /// What it wrote to its standard error.
    pub fn err(&self) -> String {
        self.read("err")
    }

    fn read(&self, suffix: &str) -> String {
        let path = self.dir.join(format!("{}.{suffix}", self.name));
        let bytes = fs::read(path).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("it is our child");
        }
        self.ended
    }

    /// Waits for its end; fails when it takes longer than `limit`.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let until = now() + limit;
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(now() < until, "{} still runs after {limit:?}", self.name);
            pause(Duration::from_millis(10));
        }
    }

    /// Waits for its end, which has to be a success.
    #[track_caller]
    pub fn succeed(&mut self, limit: Duration) {
        let status = self.wait(limit);
        assert!(status.success(), "{} ended with {status}", self.name);
    }

    /// Sends it a signal, if it still runs.
    pub fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            kill_process(Pid::from_child(&self.child), signal).expect("it is our child");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.signal(Signal::KILL);
            self.ended = self.child.wait().ok();
        }
        if std::thread::panicking() {
            let status = self.ended;
            eprintln!("---- {} ended with {status:?}", self.name);
            for (what, mut text) in [("out", self.out()), ("err", self.err())] {
                let figures = |line: &str| line.starts_with("stats ") || line.starts_with("push ");
                if text.lines().any(figures) {
                    let rest: Vec<&str> = text.lines().filter(|line| !figures(line)).collect();
                    text = rest.join("\n");
                }
                let mut from = text.len().saturating_sub(SHOWN_BYTES);
                while !text.is_char_boundary(from) {
                    from += 1;
                }
                if !text.is_empty() {
                    eprintln!("---- {} {what}:\n{}", self.name, &text[from..]);
                }
            }
        }
    }
}
