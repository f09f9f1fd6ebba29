//! TLS over TCP as a byte stream that never waits, in either role, TLS 1.2 and 1.3.
//!
//! ```text
//!            read                                write
//!   TCP --> rustls --> caller's buffer    caller --> rustls --> TCP
//!    until the buffer is full or TCP        in steps of 64 KiB; nothing is taken
//!    is empty; answers the handshake        while encrypted bytes wait
//! ```
//!
//! Encrypted bytes that TCP does not take wait here; [`flush_pending`](TlsSocket::flush_pending)
//! sends them when TCP is writable again. The handshake happens in reads.
//!
//! No file is read here but certificates and keys, in [`server`] and [`client`].

pub mod client;
pub mod server;

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use mio::net::TcpStream;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, pem};
use rustls::{ClientConnection, Connection, ServerConnection};
use smallvec::SmallVec;

use super::listener;
use crate::limits;

pub use client::{ClientTls, TlsName};
pub use server::ServerTls;

/// See the module text.
#[derive(Debug)]
pub struct TlsSocket {
    tcp: TcpStream,
    session: Connection,
    /// The first byte of the peer was looked at.
    begun: bool,
    /// Bytes received that nothing has come of yet: a part of a record or of a handshake message.
    undecided: usize,
    /// Encrypted bytes that wait for TCP, about.
    unsent: usize,
    /// Why it cannot go on; told once everything before has been read.
    failure: Option<io::Error>,
    end: End,
}

/// How far the end of what we send is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// There is more to come.
    Open,
    /// It is written, and TCP has yet to take it.
    Asked,
    /// TCP has everything.
    Sent,
}

/// A TLS record of handshake messages, which every peer begins with.
const HANDSHAKE_RECORD: u8 = 0x16;

impl TlsSocket {
    /// The server's end of a connection that was accepted.
    ///
    /// # Errors
    /// The settings cannot be used, which the start has ruled out.
    pub fn server(tcp: TcpStream, tls: &ServerTls) -> io::Result<Self> {
        let session = ServerConnection::new(tls.settings()).map_err(failed)?;
        Ok(Self::new(tcp, session.into()))
    }

    /// The client's end of a connection to `name`.
    ///
    /// # Errors
    /// The settings cannot be used.
    pub fn client(tcp: TcpStream, name: &TlsName) -> io::Result<Self> {
        let session = ClientConnection::new(name.settings(), name.server_name());
        Ok(Self::new(tcp, session.map_err(failed)?.into()))
    }

    fn new(tcp: TcpStream, mut session: Connection) -> Self {
        session.set_buffer_limit(Some(limits::TLS_SEND_BYTES));
        Self {
            tcp,
            session,
            begun: false,
            undecided: 0,
            unsent: 0,
            failure: None,
            end: End::Open,
        }
    }

    /// Whether hands are still being shaken.
    pub fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// Bytes of memory that the session holds, about. Its buffer for what is incomplete grows by
    /// doubling.
    pub fn held_bytes(&self) -> usize {
        limits::TLS_CONNECTION_BYTES + 2 * self.undecided + self.unsent
    }

    /// The socket below, to be watched.
    pub fn tcp(&mut self) -> &mut TcpStream {
        &mut self.tcp
    }

    /// Sends what waits, as far as TCP takes it.
    ///
    /// # Errors
    /// The socket failed.
    pub fn flush_pending(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.tcp) {
                Ok(count) => self.unsent = self.unsent.saturating_sub(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if listener::is_exhausted(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.unsent = 0;
        if self.end == End::Asked {
            self.end = End::Sent;
            // The peer may be gone already, which is as good.
            let _: io::Result<()> = self.tcp.shutdown(Shutdown::Write);
        }
        Ok(())
    }

    /// Sends no more: close_notify, and the end of TCP's stream behind it.
    pub fn end(&mut self) {
        if self.end == End::Open {
            self.end = End::Asked;
            self.session.send_close_notify();
        }
        // Nobody is left to tell that it failed.
        let _: io::Result<()> = self.flush_pending();
    }

    /// Moves what is decrypted to `buf`; how much, and whether the peer has ended its stream.
    fn take_plaintext(&mut self, buf: &mut [u8]) -> (usize, bool) {
        let mut taken = 0;
        while taken < buf.len() {
            match self.session.reader().read(&mut buf[taken..]) {
                Ok(0) => return (taken, true),
                Ok(count) => taken += count,
                Err(_) => break,
            }
        }
        (taken, false)
    }

    /// Decrypts `piece`, putting what comes of it into `buf`; how much that is.
    fn decrypt(&mut self, mut piece: &[u8], buf: &mut [u8]) -> (usize, bool) {
        if !std::mem::replace(&mut self.begun, true)
            && let Some(&first) = piece.first()
            && first != HANDSHAKE_RECORD
        {
            self.failure = Some(words(format!("not TLS, the first byte is {first:#04x}")));
            return (0, false);
        }
        let mut taken = 0;
        self.undecided += piece.len();
        while !piece.is_empty() {
            if let Err(error) = self.session.read_tls(&mut piece) {
                self.failure = Some(words(error.to_string()));
                break;
            }
            let was_handshaking = self.session.is_handshaking();
            let state = self.session.process_new_packets();
            if self.session.wants_write() || was_handshaking != self.session.is_handshaking() {
                self.undecided = piece.len();
            }
            let (count, ended) = self.take_plaintext(&mut buf[taken..]);
            taken += count;
            if count > 0 {
                self.undecided = piece.len();
            }
            if let Err(error) = state {
                self.failure = Some(failed(error));
                break;
            }
            if ended {
                return (taken, true);
            }
        }
        if self.session.wants_write() {
            // Answers of the handshake, alerts. If TCP failed, so does the next read.
            let _: io::Result<()> = self.flush_pending();
        }
        (taken, false)
    }

    /// Nothing more will be read: makes the poll say so, since what was read before has to be
    /// told first and no byte may ever come to wake us again.
    fn stop_reading(&self) {
        let _: io::Result<()> = self.tcp.shutdown(Shutdown::Read);
    }
}

impl AsFd for TlsSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tcp.as_fd()
    }
}

impl Read for TlsSocket {
    /// Reads until `buf` is full or TCP is empty; 0 at the end of the peer's stream, with
    /// close_notify or without: RTMP has lengths of its own.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let (mut taken, mut ended) = self.take_plaintext(buf);
        let mut idle = 0;
        let mut scratch = [0; limits::TLS_READ_BYTES];
        while taken < buf.len() && !ended && self.failure.is_none() {
            // Plaintext is shorter, so that all of it finds room.
            let room = (buf.len() - taken).min(scratch.len());
            let count = match self.tcp.read(&mut scratch[..room]) {
                Ok(0) => return Ok(taken),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) if taken > 0 => return Ok(taken),
                Err(error) => return Err(error),
            };
            let more;
            (more, ended) = self.decrypt(&scratch[..count], &mut buf[taken..]);
            taken += more;
            idle = if more == 0 { idle + count } else { 0 };
            if idle > limits::TLS_IDLE_BYTES {
                self.failure = Some(words("too many records without content".to_owned()));
            }
            if count < room && !ended && self.failure.is_none() {
                break;
            }
        }
        if taken > 0 {
            if ended || self.failure.is_some() {
                self.stop_reading();
            }
            return Ok(taken);
        }
        match &self.failure {
            Some(error) => Err(io::Error::new(error.kind(), error.to_string())),
            None if ended => Ok(0),
            None => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let mut taken = 0;
        for buf in bufs {
            match self.read(buf) {
                Ok(count) => {
                    taken += count;
                    if count < buf.len() {
                        break;
                    }
                }
                // An error that is none of TLS is told again.
                Err(_) if taken > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }
}

impl Write for TlsSocket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buf)])
    }

    /// Takes everything, or as much as leaves encrypted bytes waiting for TCP. During the
    /// handshake, what a client begins with is kept until it can be sent.
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let total: usize = bufs.iter().map(|buf| buf.len()).sum();
        if total == 0 {
            return Ok(0);
        }
        self.flush_pending()?;
        if self.session.wants_write() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut taken = self.session.writer().write_vectored(bufs).map_err(broken)?;
        self.unsent += taken;
        self.flush_pending()?;
        if taken < total && !self.session.wants_write() {
            let mut rest: SmallVec<[IoSlice<'_>; 16]> = bufs.iter().copied().collect();
            let mut rest = &mut rest[..];
            let mut count = taken;
            while count > 0 && taken < total && !self.session.wants_write() {
                IoSlice::advance_slices(&mut rest, count);
                count = self.session.writer().write_vectored(rest).map_err(broken)?;
                taken += count;
                self.unsent += count;
                self.flush_pending()?;
            }
        }
        if taken == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is wrong with TLS, as an error of the socket.
fn failed(error: rustls::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

/// What rustls says when it is written to after it has failed.
fn broken(error: io::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

fn words(words: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, words)
}

/// The certificates in a PEM file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let wrong = |wrong| FileError::new(path, wrong);
    let all = CertificateDer::pem_file_iter(path).map_err(|error| wrong(pem_words(&error)))?;
    let all: Result<Vec<_>, pem::Error> = all.collect();
    let all = all.map_err(|error| wrong(pem_words(&error)))?;
    if all.is_empty() {
        return Err(wrong("no certificate in it".to_owned()));
    }
    Ok(all)
}

fn pem_words(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => "nothing of the kind in it, as PEM".to_owned(),
        other => format!("no PEM: {other}"),
    }
}

/// A file of certificates or keys that cannot be used.
#[derive(Debug)]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub wrong: String,
}

impl FileError {
    fn new(path: &Path, wrong: String) -> Self {
        Self {
            path: path.to_owned(),
            wrong,
        }
    }
}

impl std::fmt::Display for FileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.wrong)
    }
}

impl std::error::Error for FileError {}
