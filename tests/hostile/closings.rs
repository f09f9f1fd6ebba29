//! Why a worker closed a connection, taken from its log, which is the one place that tells. Per
//! thread, since a worker of these tests runs on the thread that plays the case.

use std::cell::Cell;

use log::{LevelFilter, Log, Metadata, Record};

/// The healthy publisher and the healthy player come first.
const HEALTHY: u64 = 2;

/// Bytes of the longest code.
const CODE_BYTES: usize = 40;

thread_local! {
    static PEER: Cell<Option<([u8; CODE_BYTES], usize)>> = const { Cell::new(None) };
    static OTHERS: Cell<bool> = const { Cell::new(false) };
}

struct Ears;

impl Log for Ears {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("tailwater")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = record.args().to_string();
        let Some((id, code)) = closing(&line) else {
            return;
        };
        if id <= HEALTHY {
            OTHERS.set(true);
            return;
        }
        let mut bytes = [0; CODE_BYTES];
        let len = code.len().min(CODE_BYTES);
        bytes[..len].copy_from_slice(&code.as_bytes()[..len]);
        // What is kept takes no memory, since that is counted.
        PEER.set(Some((bytes, len)));
    }

    fn flush(&self) {}
}

/// Connection and code of a line that tells of a close.
pub(crate) fn closing(line: &str) -> Option<(u64, &str)> {
    let at = line.find("conn=")?;
    let (id, rest) = line[at + "conn=".len()..].split_once(' ')?;
    if !rest.starts_with("closed ") {
        return None;
    }
    let (_, reason) = rest.split_once(" reason=")?;
    let code = reason.split(' ').next()?;
    Some((id.parse().ok()?, code))
}

/// Listens to the log from here on.
pub(crate) fn listen() {
    static EARS: Ears = Ears;
    // Another test has begun already when it fails.
    if log::set_logger(&EARS).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
}

/// A new world begins.
pub(crate) fn forget() {
    PEER.set(None);
    OTHERS.set(false);
}

/// Whether the connection of the peer was closed.
pub(crate) fn is_told() -> bool {
    PEER.get().is_some()
}

/// Why the connection of the peer was closed.
pub(crate) fn of_peer() -> Option<String> {
    let (bytes, len) = PEER.get()?;
    Some(String::from_utf8_lossy(&bytes[..len]).into_owned())
}

/// Whether another one was.
pub(crate) fn of_others() -> bool {
    OTHERS.get()
}
