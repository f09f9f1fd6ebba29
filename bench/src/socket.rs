//! Sockets of the load and of the abusers: begun without waiting, from addresses of their own;
//! plain, or with TLS over them.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use mio::net::TcpStream;
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tailwater::net::tls::{TlsName, TlsSocket};

/// What is special about a socket.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    /// The address to come from; none for what the kernel picks.
    pub(crate) source: Option<SocketAddr>,
    /// Leaves with a reset instead of in good order.
    pub(crate) resets: bool,
    /// Bytes the kernel may hold that were not read; none for what it thinks best.
    pub(crate) receive_buffer: Option<usize>,
}

/// Begins to connect; it is done when the socket can be written to.
///
/// # Errors
/// The system has no socket or port left, or refuses at once.
pub(crate) fn connect(server: SocketAddr, options: &Options) -> io::Result<TcpStream> {
    let socket = Socket::new(
        Domain::for_address(server),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if options.resets {
        socket.set_linger(Some(Duration::ZERO))?;
    }
    if let Some(bytes) = options.receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(source) = options.source {
        socket.bind(&source.into())?;
    }
    match socket.connect(&server.into()) {
        Err(error) if Errno::from_io_error(&error) != Some(Errno::INPROGRESS) => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

/// What a connection of the load reads and writes.
pub(crate) enum Stream {
    /// What is sent is what the kernel sends.
    Plain(TcpStream),
    /// TLS does the rest.
    Tls(Box<TlsSocket>),
}

impl Stream {
    /// A connection that was begun, to the one called `peer` if there is to be TLS.
    ///
    /// # Errors
    /// TLS cannot be used as it is set up.
    pub(crate) fn new(tcp: TcpStream, peer: Option<&TlsName>) -> io::Result<Self> {
        Ok(match peer {
            None => Self::Plain(tcp),
            Some(peer) => Self::Tls(Box::new(TlsSocket::client(tcp, peer)?)),
        })
    }

    /// The socket below, for the poll.
    pub(crate) fn tcp(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.tcp(),
        }
    }

    /// Sends what was taken before and waits here.
    ///
    /// # Errors
    /// The socket failed.
    pub(crate) fn flush_pending(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.flush_pending(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buf),
            Self::Tls(tls) => tls.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(buf),
            Self::Tls(tls) => tls.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Addresses of loopback, each for so many connections: one has too few ports for all.
pub(crate) struct Sources {
    /// The first of them.
    pub(crate) first: Ipv4Addr,
    /// Connections from one of them.
    pub(crate) connections: usize,
}

impl Sources {
    /// Where connection `index` comes from; none where the kernel has to know.
    pub(crate) fn of(&self, server: SocketAddr, index: usize) -> Option<SocketAddr> {
        let IpAddr::V4(address) = server.ip() else {
            return None;
        };
        let [a, b, c, first] = self.first.octets();
        let last = u8::try_from(usize::from(first) + index / self.connections).ok()?;
        let source = Ipv4Addr::new(a, b, c, last);
        address.is_loopback().then(|| SocketAddr::from((source, 0)))
    }
}
