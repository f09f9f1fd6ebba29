//! A connected socket as workers have it: TCP, unix, or TLS over TCP. A match for each call and
//! nothing else, so that plain players pay nothing for the others.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use rustix::net::{RecvFlags, recv};

use super::sys;
use super::tls::{ServerTls, TlsSocket};
use super::transport::{Path, Transport};

/// See the module text.
#[derive(Debug)]
pub enum Socket {
    /// Plain TCP.
    Tcp(TcpStream),
    /// A unix stream socket.
    Unix(UnixStream),
    /// TLS over TCP.
    Tls(Box<TlsSocket>),
}

impl Read for Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(buf),
            Self::Unix(socket) => socket.read(buf),
            Self::Tls(socket) => socket.read(buf),
        }
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read_vectored(bufs),
            Self::Unix(socket) => socket.read_vectored(bufs),
            Self::Tls(socket) => socket.read_vectored(bufs),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.write(buf),
            Self::Unix(socket) => socket.write(buf),
            Self::Tls(socket) => socket.write(buf),
        }
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.write_vectored(bufs),
            Self::Unix(socket) => socket.write_vectored(bufs),
            Self::Tls(socket) => socket.write_vectored(bufs),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Socket {
    fn shutdown_write(&mut self) {
        // The peer may be gone already, which is as good.
        let _: io::Result<()> = match self {
            Self::Tcp(socket) => socket.shutdown(Shutdown::Write),
            Self::Unix(socket) => socket.shutdown(Shutdown::Write),
            Self::Tls(socket) => {
                socket.end();
                Ok(())
            }
        };
    }

    fn peek(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let (_, count) = recv(&*self, into, RecvFlags::PEEK)?;
        Ok(count)
    }

    fn acknowledge(&mut self) {
        let socket = match self {
            Self::Tcp(socket) => socket,
            Self::Tls(socket) => socket.tcp(),
            Self::Unix(_) => return,
        };
        // Only speed is lost when it fails.
        let _: rustix::io::Result<()> = rustix::net::sockopt::set_tcp_quickack(socket, true);
    }

    fn path(&self) -> Option<Path> {
        match self {
            Self::Tcp(_) | Self::Tls(_) => sys::tcp_path(self),
            Self::Unix(_) => None,
        }
    }

    fn is_encrypted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    fn is_handshaking(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => false,
            Self::Tls(socket) => socket.is_handshaking(),
        }
    }

    fn held_bytes(&self) -> usize {
        match self {
            Self::Tcp(_) | Self::Unix(_) => 0,
            Self::Tls(socket) => socket.held_bytes(),
        }
    }

    fn flush_pending(&mut self) {
        if let Self::Tls(socket) = self {
            // If it failed, so does the next read.
            let _: io::Result<()> = socket.flush_pending();
        }
    }
}

impl Socket {
    /// The server's end of TLS over this TCP socket.
    ///
    /// # Errors
    /// It is no TCP socket.
    pub fn into_tls(self, tls: &ServerTls) -> io::Result<Self> {
        match self {
            Self::Tcp(tcp) => Ok(Self::Tls(Box::new(TlsSocket::server(tcp, tls)?))),
            Self::Unix(_) | Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// What a poll watches.
    pub fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(socket) => socket,
            Self::Unix(socket) => socket,
            Self::Tls(socket) => socket.tcp(),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
            Self::Tls(socket) => socket.as_fd(),
        }
    }
}
