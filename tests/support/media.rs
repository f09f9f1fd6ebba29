//! Files to publish: a few seconds of a moving test picture and a tone, encoded once and kept in
//! the target directory. And FLV files read as the messages they hold.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::wire::Media;

/// One of the two versions of ffmpeg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ffmpeg {
    /// Debian's, 5.1: FLV codecs as they were before Enhanced RTMP.
    V5,
    /// 9, which speaks Enhanced RTMP.
    V9,
}

impl Ffmpeg {
    /// Where the program is.
    pub fn path(self) -> PathBuf {
        match self {
            Self::V5 => "ffmpeg".into(),
            Self::V9 => std::env::var_os("TAILWATER_FFMPEG9").map_or_else(
                || crate::root().join(".cache/ffmpeg9/ffmpeg"),
                PathBuf::from,
            ),
        }
    }

    /// A command of it that prints errors alone and asks nothing.
    pub fn command(self) -> Command {
        let mut command = Command::new(self.path());
        command.args(["-v", "error", "-nostdin", "-y"]);
        command
    }
}

/// How a file is made.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// Of the file.
    pub name: &'static str,
    /// Who encodes it, and later publishes it.
    pub by: Ffmpeg,
    /// What is encoded how.
    pub options: &'static str,
}

/// H.264 with B-frames and a key frame a second, AAC.
pub const H264_AAC: Recipe = Recipe {
    name: "h264-aac",
    by: Ffmpeg::V5,
    options: "-t 4 -c:v libx264 -preset veryfast -g 25 -bf 2 -c:a aac -ac 2",
};

/// H.264 with one key frame in ten seconds, AAC.
pub const H264_LONG_GROUP: Recipe = Recipe {
    name: "h264-long-group",
    by: Ffmpeg::V5,
    options: "-t 12 -c:v libx264 -preset veryfast -g 250 -keyint_min 250 -sc_threshold 0 -bf 0 \
              -c:a aac -ac 2",
};

/// Where the file of a recipe is; made if it is not there yet. Others that want it wait.
pub fn file(recipe: &Recipe) -> PathBuf {
    let dir = crate::tmp().join("media");
    fs::create_dir_all(&dir).expect("the target directory can be written to");
    let lock = File::create(dir.join(format!("{}.lock", recipe.name))).expect("a new file");
    lock.lock().expect("a lock that is given back when we end");
    let path = dir.join(format!("{}.flv", recipe.name));
    let made_with = dir.join(format!("{}.options", recipe.name));
    let wanted = format!("{:?} {SOURCE} {}", recipe.by, recipe.options);
    if fs::read_to_string(&made_with).is_ok_and(|options| options == wanted) {
        return path;
    }
    let output = recipe
        .by
        .command()
        .args(SOURCE.split_whitespace())
        .args(recipe.options.split_whitespace())
        .args(["-f", "flv"])
        .arg(&path)
        .stdin(Stdio::null())
        .output()
        .expect("ffmpeg runs; scripts/test installs it");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{recipe:?}: {errors}");
    fs::write(made_with, wanted).expect("the directory is there");
    path
}

const SOURCE: &str = "-f lavfi -i testsrc2=size=320x180:rate=25 \
                      -f lavfi -i sine=frequency=440:sample_rate=44100";

/// The messages an FLV file holds, as they would travel over RTMP. A tag that was cut at the end
/// of the file is left out.
pub fn messages(path: &Path) -> Vec<Media> {
    let bytes = fs::read(path).expect("the file is there");
    assert_eq!(&bytes[..3], b"FLV", "{}", path.display());
    let mut rest = &bytes[9 + 4..];
    let mut messages = Vec::new();
    while rest.len() > 11 {
        let number = |at: usize| {
            usize::from(rest[at]) << 16 | usize::from(rest[at + 1]) << 8 | usize::from(rest[at + 2])
        };
        let len = number(1);
        let time = u32::from_be_bytes([rest[7], rest[4], rest[5], rest[6]]);
        let Some(payload) = rest.get(11..11 + len) else {
            break;
        };
        messages.push(Media::new(rest[0], time, payload.to_vec()));
        rest = rest.get(11 + len + 4..).unwrap_or_default();
    }
    messages
}
