//! The terminal. While it is drawn on it has a screen of its own, no cursor and gives keys as they
//! come; however this ends but by SIGKILL, it is then as it was before. Where standard output is
//! no terminal, tables follow one another.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{
    LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// A screen of its own, without cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// Columns and rows where nobody says how many there are.
const SIZE: (usize, usize) = (120, 1_000);

/// What the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    GoOn,
    End,
}

/// See the module text.
#[derive(Debug)]
pub(super) struct Screen {
    /// Draws over what was drawn before.
    is_drawn_on: bool,
    /// How standard input was, if it was changed.
    before: Option<Termios>,
    /// A signal has come.
    ended: Arc<AtomicBool>,
}

impl Screen {
    /// Takes the terminal over, if there is one and it is to be `drawn_on`.
    pub(super) fn open(drawn_on: bool) -> io::Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, ended.clone())?;
        }
        let mut screen = Self {
            is_drawn_on: drawn_on && isatty(io::stdout()),
            before: None,
            ended,
        };
        if screen.is_drawn_on && isatty(io::stdin()) {
            let before = tcgetattr(io::stdin())?;
            let mut keys = before.clone();
            // Signals stay what they are.
            keys.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
            tcsetattr(io::stdin(), OptionalActions::Now, &keys)?;
            screen.before = Some(before);
        }
        if screen.is_drawn_on {
            write(ENTER)?;
        }
        Ok(screen)
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> (usize, usize) {
        let size = self.is_drawn_on.then(|| tcgetwinsize(io::stdout()));
        match size {
            Some(Ok(size)) if size.ws_col > 0 && size.ws_row > 0 => {
                (size.ws_col.into(), size.ws_row.into())
            }
            _ => SIZE,
        }
    }

    /// Shows `lines`.
    pub(super) fn draw(&self, lines: &[String]) -> io::Result<()> {
        if !self.is_drawn_on {
            return write(&format!("{}\n", lines.join("\n")));
        }
        // Each line is drawn and what is left of the old one cleared, so that nothing flickers.
        let mut text = "\x1b[H".to_owned();
        text.push_str(&lines.join("\x1b[K\r\n"));
        text.push_str("\x1b[K\x1b[J");
        write(&text)
    }

    /// Waits for so long, or until the user wants to end.
    pub(super) fn wait(&self, time: Duration) -> io::Result<Wish> {
        let time = Timespec::try_from(time).map_err(io::Error::other)?;
        let stdin = io::stdin();
        let mut watched = [PollFd::new(&stdin, PollFlags::IN)];
        // Without keys there is only the time to wait for.
        let watched = match self.before {
            Some(_) => &mut watched[..],
            None => &mut [],
        };
        let is_key = match poll(watched, Some(&time)) {
            Ok(ready) => ready > 0,
            Err(Errno::INTR) => false,
            Err(error) => return Err(error.into()),
        };
        let mut keys = [0; 16];
        let count = if is_key {
            io::stdin().read(&mut keys)?
        } else {
            1
        };
        let has_end = keys[..count].iter().any(|key| b"qQ\x1b\x03".contains(key));
        // No more keys is the end of the terminal.
        if self.ended.load(Ordering::Relaxed) || count == 0 || has_end {
            return Ok(Wish::End);
        }
        Ok(Wish::GoOn)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // What cannot be put back stays.
        if self.is_drawn_on {
            let _: io::Result<()> = write(LEAVE);
        }
        if let Some(before) = &self.before {
            let _: rustix::io::Result<()> = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
