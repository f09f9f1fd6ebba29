//! Outgoing connections. Nothing here waits: the socket comes back while it still connects, and
//! its events tell the rest. Names are resolved elsewhere.
//!
//! ```text
//!   dial -> Socket, connecting --- writable event ---> connected
//!             |  read, write: WouldBlock             \-> or the next read or write says why not
//! ```

use std::io;
use std::net::{SocketAddr, UdpSocket};

use mio::net::TcpStream;
use socket2::{Domain, Protocol, SockRef, Type};

use super::listener::{self, SocketOptions};
use super::socket::Socket;
use super::tls::{TlsName, TlsSocket};

/// Begins to connect to `address`; with `tls`, everything goes through TLS with a peer that has
/// to be the one named there.
///
/// Until it is connected, reads and writes give `WouldBlock`. A peer that cannot be reached shows
/// as an error of a read or write after an event; a certificate that is not right as one of kind
/// [`InvalidData`](io::ErrorKind::InvalidData) with words.
///
/// # Errors
/// There is no descriptor, or no way to that address at all.
pub fn dial(
    address: SocketAddr,
    tls: Option<&TlsName>,
    options: &SocketOptions,
) -> io::Result<Socket> {
    let family = Domain::for_address(address);
    let socket = socket2::Socket::new(family, Type::STREAM, Some(Protocol::TCP))?;
    listener::set_buffers(SockRef::from(&socket), options)?;
    listener::prepare(SockRef::from(&socket), options)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&address.into()) {
        Err(error) if !is_connecting(&error) => return Err(error),
        _ => {}
    }
    let tcp = TcpStream::from_std(socket.into());
    Ok(match tls {
        Some(name) => Socket::Tls(Box::new(TlsSocket::client(tcp, name)?)),
        None => Socket::Tcp(tcp),
    })
}

fn is_connecting(error: &io::Error) -> bool {
    use rustix::io::Errno;
    Errno::from_io_error(error) == Some(Errno::INPROGRESS)
}

/// Whether a connection to `address` would end at one of `listeners`, all of this process.
pub fn is_own(address: SocketAddr, listeners: &[SocketAddr]) -> bool {
    listeners.iter().any(|listener| {
        let ip = listener.ip();
        listener.port() == address.port()
            && (ip == address.ip()
                || ip.is_unspecified() && ip.is_ipv4() == address.is_ipv4() && is_here(address))
    })
}

/// Whether an address is this machine's: only such a one can be bound.
fn is_here(address: SocketAddr) -> bool {
    UdpSocket::bind((address.ip(), 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use mio::{Events, Interest, Poll, Token};

    use super::*;

    const OPTIONS: SocketOptions = SocketOptions {
        sndbuf: 0,
        rcvbuf: 0,
        backlog: 16,
        nodelay: true,
        user_timeout: Duration::from_secs(20),
    };

    /// Watches a socket until it has an event.
    fn event_of(socket: &mut Socket) {
        let mut poll = Poll::new().unwrap();
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry()
            .register(socket.source(), Token(0), interest)
            .unwrap();
        let mut events = Events::with_capacity(4);
        let limit = Some(Duration::from_secs(5));
        poll.poll(&mut events, limit).unwrap();
        assert!(!events.is_empty(), "an event within {limit:?}");
        poll.registry().deregister(socket.source()).unwrap();
    }

    #[test]
    fn what_is_written_once_it_is_connected_arrives() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut socket = dial(listener.local_addr().unwrap(), None, &OPTIONS).unwrap();
        event_of(&mut socket);
        let (mut peer, _) = listener.accept().unwrap();
        assert_eq!(socket.write(b"hello").unwrap(), 5);
        let mut got = [0; 5];
        peer.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"hello");
        let empty = socket.read(&mut got).unwrap_err();
        assert_eq!(empty.kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn a_port_nobody_listens_on_shows_as_an_error_after_an_event() {
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let mut socket = dial(address, None, &OPTIONS).unwrap();
        event_of(&mut socket);
        let error = socket.write(b"hello").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }

    #[test]
    fn nothing_is_read_or_written_while_it_connects() {
        // A backlog that is full answers no more.
        let listener = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        listener.bind(&any.into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let _first = TcpStream::connect(address).unwrap();
        let mut socket = dial(address, None, &OPTIONS).unwrap();
        let written = socket.write(b"hello").unwrap_err();
        let read = socket.read(&mut [0; 5]).unwrap_err();
        let expected = (ErrorKind::WouldBlock, ErrorKind::WouldBlock);
        assert_eq!((written.kind(), read.kind()), expected);
    }

    #[test]
    fn own_listeners_are_known_by_address_or_by_being_everywhere() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let one = [address("127.0.0.1:1935")];
        assert!(is_own(address("127.0.0.1:1935"), &one));
        assert!(!is_own(address("127.0.0.2:1935"), &one));
        assert!(!is_own(address("127.0.0.1:1936"), &one));
        let all = [address("0.0.0.0:1935")];
        assert!(is_own(address("127.0.0.1:1935"), &all));
        assert!(is_own(address("127.9.9.9:1935"), &all));
        assert!(!is_own(address("192.0.2.1:1935"), &all));
        assert!(!is_own(address("[::1]:1935"), &all));
    }
}
