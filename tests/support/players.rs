//! The players of others, each until its stream ends.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::A_WHILE;
use crate::media::Ffmpeg;
use crate::packets::{self, FRAMEHASH, Track};
use crate::process::Process;

/// A program that plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// ffmpeg 5.1, with a client of its own.
    Ffmpeg5,
    /// ffmpeg 9, which speaks Enhanced RTMP.
    Ffmpeg9,
    /// rtmpdump, on librtmp.
    Rtmpdump,
    /// GStreamer's rtmp2src.
    Gstreamer,
}

impl Program {
    /// Every player.
    pub const ALL: [Self; 4] = [
        Self::Ffmpeg5,
        Self::Ffmpeg9,
        Self::Rtmpdump,
        Self::Gstreamer,
    ];

    /// The ffmpeg that tells what the player got: its own, and the old one for files.
    pub fn judge(self) -> Ffmpeg {
        match self {
            Self::Ffmpeg9 => Ffmpeg::V9,
            _ => Ffmpeg::V5,
        }
    }
}

/// A player at work.
#[derive(Debug)]
pub struct Player {
    program: Program,
    /// The process itself.
    pub process: Process,
    file: PathBuf,
}

impl Player {
    /// Starts `program` on `url`; `name` tells it from others in `dir`.
    pub fn start(program: Program, url: &str, dir: &Path, name: &str) -> Self {
        let name = format!("{name}-{program:?}");
        let (file, mut command) = match program {
            Program::Ffmpeg5 | Program::Ffmpeg9 => {
                let file = dir.join(format!("{name}.hashes"));
                let mut command = program.judge().command();
                command.args(["-i", url]).args(FRAMEHASH).arg(&file);
                (file, command)
            }
            Program::Rtmpdump => {
                let file = dir.join(format!("{name}.flv"));
                let mut command = Command::new("rtmpdump");
                command.args(["-q", "-r", url, "--live", "-o"]).arg(&file);
                (file, command)
            }
            Program::Gstreamer => {
                let file = dir.join(format!("{name}.flv"));
                let mut command = Command::new("gst-launch-1.0");
                command
                    .args(["-q", "-e", "rtmp2src"])
                    .arg(format!("location={url}"))
                    .args(["!", "filesink"])
                    .arg(format!("location={}", file.display()));
                (file, command)
            }
        };
        let process = Process::start(&name, dir, &mut command);
        Self {
            program,
            process,
            file,
        }
    }

    /// Which program it is.
    pub fn program(&self) -> Program {
        self.program
    }

    /// What it got, once it has ended by itself.
    #[track_caller]
    pub fn tracks(&mut self) -> Vec<Track> {
        self.process.succeed(A_WHILE);
        self.tracks_so_far()
    }

    /// What it has written.
    pub fn tracks_so_far(&self) -> Vec<Track> {
        match self.program {
            Program::Ffmpeg5 | Program::Ffmpeg9 => packets::of_hashes(&self.file),
            Program::Rtmpdump | Program::Gstreamer => {
                packets::of_file(self.program.judge(), &self.file)
            }
        }
    }

    /// The file it writes.
    pub fn file(&self) -> &Path {
        &self.file
    }
}
