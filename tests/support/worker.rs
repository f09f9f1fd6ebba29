//! A worker without its event loop, on sockets in memory and a clock that tests turn.

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tailwater::config::Config;
use tailwater::net::transport::Transport;
use tailwater::worker::core::Core;
use tailwater::worker::ids::{ConnId, WorkerId};
use tailwater::worker::shared::Shared;

/// A socket that gives prepared bytes and keeps what it is sent.
#[derive(Debug, Default)]
pub struct Pipe {
    /// What the relay reads, from `at` on.
    pub input: Vec<u8>,
    /// How much of the input has been read, in bytes.
    pub at: usize,
    /// What follows the input.
    pub ending: Ending,
    /// What the relay has sent.
    pub output: Vec<u8>,
    /// It takes nothing.
    pub deaf: bool,
    /// The relay has shut down its side.
    pub shut: bool,
}

/// What comes when all bytes have been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// Nothing yet.
    #[default]
    More,
    /// The peer has closed its side.
    Finish,
    /// The peer has reset the connection.
    Reset,
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let rest = &self.input[self.at..];
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        match (count, self.ending) {
            (0, Ending::More) => Err(io::ErrorKind::WouldBlock.into()),
            (0, Ending::Reset) => Err(io::ErrorKind::ConnectionReset.into()),
            _ => Ok(count),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.deaf {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let before = self.output.len();
        for slice in slices {
            self.output.extend_from_slice(slice);
        }
        Ok(self.output.len() - before)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Pipe {
    fn shutdown_write(&mut self) {
        self.shut = true;
    }
}

impl Pipe {
    /// Bytes of memory behind it.
    pub fn memory(&self) -> usize {
        self.input.capacity() + self.output.capacity()
    }
}

/// The only worker there is, and its clock.
pub struct Worker {
    /// The worker.
    pub core: Core<Pipe>,
    /// What it would share with others.
    pub shared: Arc<Shared<Pipe>>,
    /// The time of its next turn.
    pub now: Instant,
}

impl Worker {
    /// A worker without connections.
    pub fn new(config: Config) -> Self {
        let shared = Arc::new(Shared::new(config, 1, 1_000));
        let now = any_instant();
        Self {
            core: Core::new(WorkerId::FIRST, shared.clone(), 7, now),
            shared,
            now,
        }
    }

    /// The key of a new connection; none when it is not let in.
    pub fn accept(&mut self) -> Option<ConnId> {
        self.core
            .accept(Pipe::default(), ([127, 0, 0, 1], 1).into())
    }

    /// One turn; there is nobody for mail.
    pub fn turn(&mut self) {
        self.core.turn(&mut self.now);
        self.core.outbound().clear();
        self.core.take_publishers();
    }

    /// `count` turns, before each of which `step` passes.
    pub fn turns(&mut self, count: u32, step: Duration) {
        for _ in 0..count {
            self.now += step;
            self.turn();
        }
    }
}

/// Where a clock begins that only tests turn.
#[expect(clippy::disallowed_methods, reason = "any instant will do")]
pub fn any_instant() -> Instant {
    Instant::now()
}
