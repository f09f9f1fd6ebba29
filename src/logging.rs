//! The log: env_logger filters and formats a line, and a thread of its own writes it to standard
//! error. No worker ever waits for whoever reads the log.
//!
//! ```text
//!   worker, main --line--> queue of at most LOG_QUEUE_BYTES --thread "log"--> standard error
//!                             | full: the line is dropped and counted
//! ```
//!
//! Also what log lines show of text that others chose: [`quoted`].

use std::fmt::{self, Display, Write as _};
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;

use log::warn;

use crate::limits;

/// The queue of the process, once the log has been started.
static QUEUE: OnceLock<Arc<Queue>> = OnceLock::new();

/// Lines on their way to the thread that writes them.
#[derive(Debug)]
struct Queue {
    sender: Sender<Item>,
    /// Bytes of the lines that were not written yet.
    waiting: AtomicUsize,
    /// Lines dropped since the metric last took them.
    uncounted: AtomicU64,
    /// Lines dropped since the log last said so.
    unreported: AtomicU64,
}

#[derive(Debug)]
enum Item {
    Line(Box<[u8]>),
    /// Answered once everything before it was written.
    Flush(Sender<()>),
}

impl Queue {
    fn new() -> (Self, Receiver<Item>) {
        let (sender, receiver) = channel();
        let queue = Self {
            sender,
            waiting: AtomicUsize::new(0),
            uncounted: AtomicU64::new(0),
            unreported: AtomicU64::new(0),
        };
        (queue, receiver)
    }

    /// Adds a line, or counts it when there is no room or nobody to write it.
    fn push(&self, line: &[u8]) {
        let before = self.waiting.fetch_add(line.len(), Ordering::Relaxed);
        let has_room = before + line.len() <= limits::LOG_QUEUE_BYTES;
        if has_room && self.sender.send(Item::Line(line.into())).is_ok() {
            return;
        }
        self.waiting.fetch_sub(line.len(), Ordering::Relaxed);
        self.count_lost();
    }

    fn count_lost(&self) {
        self.uncounted.fetch_add(1, Ordering::Relaxed);
        self.unreported.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes what comes until nobody can send any more.
    fn write_all(&self, receiver: &Receiver<Item>, mut out: impl Write) {
        for item in receiver {
            match item {
                Item::Line(line) => {
                    let written = out.write_all(&line);
                    self.waiting.fetch_sub(line.len(), Ordering::Relaxed);
                    match written {
                        Ok(()) => self.report_lost(),
                        // Nobody reads the log any more, or the disk is full.
                        Err(_) => self.count_lost(),
                    }
                }
                Item::Flush(done) => {
                    // Who asked may have given up waiting.
                    let _: Result<(), _> = done.send(());
                }
            }
        }
    }

    /// Says how many lines were dropped, once there is room for that line.
    fn report_lost(&self) {
        if self.unreported.load(Ordering::Relaxed) > 0
            && self.waiting.load(Ordering::Relaxed) < limits::LOG_QUEUE_BYTES / 2
        {
            let count = self.unreported.swap(0, Ordering::Relaxed);
            warn!("suppressed {count} lines reason=log_queue");
        }
    }

    /// Waits until everything queued so far is written, or [`limits::LOG_FLUSH`] has passed.
    fn flush(&self) {
        let (done, is_done) = channel();
        if self.sender.send(Item::Flush(done)).is_ok() {
            // Late: whoever reads the log does not, and has to do without the rest.
            let _: Result<(), _> = is_done.recv_timeout(limits::LOG_FLUSH);
        }
    }
}

/// Where env_logger writes: one call for each line.
struct Enqueue(Arc<Queue>);

impl Write for Enqueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Flushes the log when it is dropped, also while a panic unwinds.
#[derive(Debug)]
pub struct FlushOnDrop;

impl Drop for FlushOnDrop {
    fn drop(&mut self) {
        flush();
    }
}

/// Starts the log on standard error. `filter` decides what is logged, or else RUST_LOG, or else
/// `info`.
///
/// # Errors
/// No thread can be started.
#[expect(
    clippy::disallowed_methods,
    reason = "the log needs its thread before server.rs starts any"
)]
pub fn start(filter: Option<&str>) -> io::Result<FlushOnDrop> {
    let (queue, receiver) = Queue::new();
    let queue = Arc::new(queue);
    let writer = queue.clone();
    thread::Builder::new()
        .name("log".into())
        .spawn(move || writer.write_all(&receiver, io::stderr()))?;
    let given = std::env::var("RUST_LOG").ok().filter(|_| filter.is_none());
    let environment = given.as_deref().filter(|spec| is_spec(spec));
    let mut builder = match filter {
        Some(filter) => {
            let mut builder = env_logger::Builder::new();
            builder.parse_filters(filter);
            builder
        }
        None => {
            let mut builder = env_logger::Builder::new();
            builder.parse_filters(environment.unwrap_or(DEFAULT_FILTER));
            builder
        }
    };
    let enqueue = Box::new(Enqueue(queue.clone()));
    builder
        .format_timestamp_millis()
        .target(env_logger::Target::Pipe(enqueue))
        .init();
    QUEUE.get_or_init(|| queue);
    if let Some(spec) = given.as_deref().filter(|spec| !is_spec(spec)) {
        let spec = quoted(spec);
        warn!("RUST_LOG: got {spec}; expected levels as of --log; it is {DEFAULT_FILTER} now");
    }
    Ok(FlushOnDrop)
}

/// What is logged when nobody says.
const DEFAULT_FILTER: &str = "info";

/// Whether `env_logger` understands all of `spec`: what it does not, it leaves out, and then less
/// is logged than anybody wants.
fn is_spec(spec: &str) -> bool {
    let (levels, _) = spec.split_once('/').unwrap_or((spec, ""));
    let is_level = |text: &str| text.is_empty() || text.parse::<log::LevelFilter>().is_ok();
    !levels.trim().is_empty()
        && levels.split(',').all(|part| match part.split_once('=') {
            Some((target, level)) => !target.trim().is_empty() && is_level(level.trim()),
            None => true,
        })
}

/// Waits until what was logged so far is written, [`limits::LOG_FLUSH`] at most. For the end of
/// the process: workers never call this while they serve.
pub fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush();
    }
}

/// How many lines were dropped since the last call, because the queue was full or standard error
/// could not be written to.
pub fn take_lost() -> u64 {
    let queue = QUEUE.get();
    queue.map_or(0, |queue| queue.uncounted.swap(0, Ordering::Relaxed))
}

/// Shows `value` for a log line: in quotation marks, with quotation marks, backslashes, control
/// characters and whatever cannot be seen escaped, and cut after [`limits::LOG_VALUE_CHARS`]
/// characters. Whatever peers choose is logged like this, so that no value can look like another
/// field or another line.
pub fn quoted<T: Display>(value: T) -> Quoted<T> {
    Quoted(value)
}

/// See [`quoted`].
#[derive(Clone, Copy, Debug)]
pub struct Quoted<T>(T);

impl<T: Display> Display for Quoted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        let mut escape = Escape {
            left: limits::LOG_VALUE_CHARS,
            out: f,
        };
        write!(escape, "{}", self.0)?;
        f.write_char('"')
    }
}

/// Escapes what is written to it.
struct Escape<'a, 'b> {
    out: &'a mut fmt::Formatter<'b>,
    /// Characters that may follow.
    left: usize,
}

impl fmt::Write for Escape<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.left == 0 {
                return Ok(());
            }
            self.left -= 1;
            match c {
                _ if self.left == 0 => self.out.write_char('…')?,
                '\'' => self.out.write_char(c)?,
                _ => write!(self.out, "{}", c.escape_debug())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_escaped_and_cut() {
        let shown = |text: &str| quoted(text).to_string();
        assert_eq!(shown("live/film"), "\"live/film\"");
        assert_eq!(shown("it's Ä 日本"), "\"it's Ä 日本\"");
        assert_eq!(shown("cam\" peer=1.2.3.4:5"), r#""cam\" peer=1.2.3.4:5""#);
        assert_eq!(shown("a\\\n\r\t\u{1b}[31m"), r#""a\\\n\r\t\u{1b}[31m""#);
        assert_eq!(shown("\u{202e}\u{2028}\0"), r#""\u{202e}\u{2028}\0""#);
        let long = shown(&"x".repeat(10_000));
        assert_eq!(long.chars().count(), limits::LOG_VALUE_CHARS + 2);
        assert!(long.ends_with("x…\""), "{long}");
    }

    #[test]
    fn lines_beyond_the_queue_are_counted_and_not_kept() {
        let (queue, receiver) = Queue::new();
        let line = [b'x'; 1024];
        for _ in 0..limits::LOG_QUEUE_BYTES / line.len() {
            queue.push(&line);
        }
        assert_eq!(queue.uncounted.load(Ordering::Relaxed), 0);
        queue.push(&line);
        assert_eq!(queue.uncounted.load(Ordering::Relaxed), 1);
        assert_eq!(
            queue.waiting.load(Ordering::Relaxed),
            limits::LOG_QUEUE_BYTES
        );
        // Whoever writes makes room again.
        let Queue { waiting, .. } = &queue;
        let written: usize = receiver
            .try_iter()
            .map(|item| match item {
                Item::Line(line) => line.len(),
                Item::Flush(_) => 0,
            })
            .sum();
        waiting.fetch_sub(written, Ordering::Relaxed);
        queue.push(&line);
        assert_eq!(queue.uncounted.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (mut queue, receiver) = Queue::new();
        queue.push(b"one\n");
        let (done, is_done) = channel();
        queue.sender.send(Item::Flush(done)).unwrap();
        // Nobody can send any more.
        queue.sender = channel().0;
        queue.write_all(&receiver, Closed);
        assert_eq!(queue.uncounted.load(Ordering::Relaxed), 1);
        assert_eq!(queue.waiting.load(Ordering::Relaxed), 0);
        assert_eq!(is_done.recv(), Ok(()));
    }
}
