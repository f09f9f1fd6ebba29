//! The publishers of others: a file, sent as it is.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::A_WHILE;
use crate::media::Ffmpeg;
use crate::process::Process;

/// A program that publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// ffmpeg 5.1.
    Ffmpeg5,
    /// ffmpeg 9.
    Ffmpeg9,
    /// GStreamer's flvmux and rtmp2sink.
    Gstreamer,
}

/// How fast a file is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speed {
    /// As an encoder would.
    RealTime,
    /// A few times that, where time is not what is tested.
    Fast,
}

impl From<Ffmpeg> for Program {
    fn from(version: Ffmpeg) -> Self {
        match version {
            Ffmpeg::V5 => Self::Ffmpeg5,
            Ffmpeg::V9 => Self::Ffmpeg9,
        }
    }
}

impl Program {
    fn ffmpeg(self) -> Option<Ffmpeg> {
        match self {
            Self::Ffmpeg5 => Some(Ffmpeg::V5),
            Self::Ffmpeg9 => Some(Ffmpeg::V9),
            Self::Gstreamer => None,
        }
    }

    /// Starts to publish `file` to `url`, with its output in `dir`.
    pub fn publish(self, file: &Path, url: &str, speed: Speed, dir: &Path) -> Process {
        self.publish_with(file, url, speed, &[], dir)
    }

    /// The same with `options` for ffmpeg's output.
    pub fn publish_with(
        self,
        file: &Path,
        url: &str,
        speed: Speed,
        options: &[&str],
        dir: &Path,
    ) -> Process {
        let stream = url.rsplit('/').next().unwrap_or_default();
        let stream = stream.split('?').next().unwrap_or_default();
        let mut command = match self.ffmpeg() {
            Some(version) => {
                let mut command = version.command();
                match speed {
                    Speed::RealTime => command.arg("-re"),
                    Speed::Fast => command.args(["-readrate", "3"]),
                };
                copy(&mut command, file).args(options).arg(url);
                command
            }
            None => {
                let clock = if speed == Speed::RealTime {
                    "sync=true"
                } else {
                    "sync=false"
                };
                gstreamer(file, &format!("rtmp2sink {clock} location={url}"))
            }
        };
        Process::start(&format!("publish-{stream}-{self:?}"), dir, &mut command)
    }

    /// What it makes of `file` when it writes a file instead of publishing: what players are to
    /// get, whatever the publisher changes of headers and times. The file is put into `dir`.
    pub fn written(self, file: &Path, dir: &Path) -> PathBuf {
        let out = dir.join(format!("written-{self:?}.flv"));
        let mut command = match self.ffmpeg() {
            Some(version) => {
                let mut command = version.command();
                copy(&mut command, file).arg(&out);
                command
            }
            None => gstreamer(file, &format!("filesink location={}", out.display())),
        };
        Process::start("write", dir, &mut command).succeed(A_WHILE);
        out
    }
}

fn copy<'a>(command: &'a mut Command, file: &Path) -> &'a mut Command {
    command
        .arg("-i")
        .arg(file)
        .args(["-map", "0", "-c", "copy", "-f", "flv"])
}

fn gstreamer(file: &Path, sink: &str) -> Command {
    let mut command = Command::new("gst-launch-1.0");
    let pipeline = format!(
        "-e -q filesrc location={} ! flvdemux name=d \
         d.video ! queue ! h264parse ! flvmux name=m streamable=true ! {sink} \
         d.audio ! queue ! aacparse ! m.",
        file.display()
    );
    command.args(pipeline.split_whitespace());
    command
}
