//! Somebody who collects the server's figures while it is measured: each second the same paths are
//! asked for, one after the other, on a connection that is kept, as Prometheus does.
//!
//! An answer other than 200 ends the run: what such a server costs says nothing.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::http;
use crate::measure::now_ns;
use crate::socket::{self, Options};

/// What is to be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrape {
    /// Where.
    pub address: SocketAddr,
    /// The same, as in the URL.
    pub host: String,
    /// What, each with its slash.
    pub paths: Vec<String>,
}

/// What came of it in the measured time.
#[derive(Clone, Debug, Default)]
pub struct Scraped {
    /// From each request to the end of its answer.
    pub times_ns: Vec<u64>,
    /// Bytes of all answers.
    pub bytes: u64,
}

/// See the module text.
pub(crate) struct Scraper {
    plan: Scrape,
    token: Token,
    socket: Option<TcpStream>,
    /// When the next round is due.
    due_ns: u64,
    /// Which path is waited for, and since when.
    asked: Option<(usize, u64)>,
    unsent: Vec<u8>,
    answer: Vec<u8>,
    seen: Scraped,
}

/// From one round to the next.
const ROUND_NS: u64 = 1_000_000_000;
/// A server that has not answered after this long does not answer.
const PATIENCE_NS: u64 = 10_000_000_000;

impl Scraper {
    /// Asks first at `due_ns`. `token` is what its socket has in the poll.
    pub(crate) fn new(plan: Scrape, token: Token, due_ns: u64) -> Self {
        Self {
            plan,
            token,
            socket: None,
            due_ns,
            asked: None,
            unsent: Vec::new(),
            answer: Vec::new(),
            seen: Scraped::default(),
        }
    }

    /// When there is something to do.
    pub(crate) fn due_ns(&self) -> u64 {
        match self.asked {
            None => self.due_ns,
            Some((_, since)) => since + PATIENCE_NS,
        }
    }

    /// What was seen so far, which is forgotten.
    pub(crate) fn take_seen(&mut self) -> Scraped {
        std::mem::take(&mut self.seen)
    }

    /// Begins a round if one is due.
    ///
    /// # Errors
    /// The server cannot be reached or does not answer: in words.
    pub(crate) fn on_time(&mut self, registry: &Registry) -> Result<(), String> {
        let now = now_ns();
        if now < self.due_ns() {
            return Ok(());
        }
        if let Some((path, _)) = self.asked {
            return Err(self.failed(path, "is not answered"));
        }
        // Seconds that an answer has taken are left out.
        self.due_ns += (now - self.due_ns) / ROUND_NS * ROUND_NS + ROUND_NS;
        self.ask(0, registry)
    }

    fn connect(&self, registry: &Registry) -> io::Result<TcpStream> {
        let mut socket = socket::connect(self.plan.address, &Options::default())?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        socket.register(registry, self.token, interest)?;
        Ok(socket)
    }

    /// The socket is ready.
    ///
    /// # Errors
    /// An answer was not as wanted: in words.
    pub(crate) fn on_ready(&mut self, registry: &Registry) -> Result<(), String> {
        let path = self.asked.map_or(0, |(path, _)| path);
        self.flush()?;
        let Some(socket) = &mut self.socket else {
            return Ok(());
        };
        let mut piece = [0; 16 * 1024];
        let is_over = loop {
            match socket.read(&mut piece) {
                Ok(0) => break true,
                Ok(count) => self.answer.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_for_later(&error) => break false,
                Err(error) => return Err(self.failed(path, &error.to_string())),
            }
        };
        if is_over {
            let _: io::Result<()> = socket.deregister(registry);
            self.socket = None;
        }
        self.take_answer(is_over, registry)
    }

    fn take_answer(&mut self, is_over: bool, registry: &Registry) -> Result<(), String> {
        let Some((path, since)) = self.asked else {
            // A server may close a connection that nothing is asked on.
            return Ok(());
        };
        let Some(head) = http::head(&self.answer).map_err(|why| self.failed(path, &why))? else {
            return match is_over {
                true => Err(self.failed(path, "was not answered")),
                false => Ok(()),
            };
        };
        if head.status != 200 {
            let why = format!("was answered with {}, not 200", head.status);
            return Err(self.failed(path, &why));
        }
        let has_all = match head.length {
            Some(length) => self.answer.len() >= head.bytes + length,
            None => is_over,
        };
        if !has_all {
            return match is_over {
                true => Err(self.failed(path, "was answered in part")),
                false => Ok(()),
            };
        }
        self.seen.bytes += self.answer.len() as u64;
        self.seen.times_ns.push(now_ns() - since);
        self.answer.clear();
        self.asked = None;
        match path + 1 {
            next if next == self.plan.paths.len() => Ok(()),
            next => self.ask(next, registry),
        }
    }

    fn ask(&mut self, path: usize, registry: &Registry) -> Result<(), String> {
        if self.socket.is_none() {
            let connected = self.connect(registry);
            let failed = |error: io::Error| self.failed(path, &error.to_string());
            self.socket = Some(connected.map_err(failed)?);
        }
        let request = http::get(&self.plan.host, &self.plan.paths[path]);
        self.unsent.extend_from_slice(request.as_bytes());
        self.asked = Some((path, now_ns()));
        self.flush()
    }

    fn flush(&mut self) -> Result<(), String> {
        let path = self.asked.map_or(0, |(path, _)| path);
        let Some(socket) = self.socket.as_mut().filter(|_| !self.unsent.is_empty()) else {
            return Ok(());
        };
        match socket.write(&self.unsent) {
            Ok(sent) => {
                self.unsent.drain(..sent);
                Ok(())
            }
            Err(error) if is_for_later(&error) => Ok(()),
            Err(error) => Err(self.failed(path, &error.to_string())),
        }
    }

    fn failed(&self, path: usize, why: &str) -> String {
        format!("--scrape: {}: {why}", self.plan.paths[path])
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
    )
}
