//! Listening sockets, one per worker on the same address, and the options of what they accept.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// Socket options that the operator sets.
#[derive(Clone, Copy, Debug)]
pub struct SocketOptions {
    /// Send buffer in bytes; 0 leaves it to the kernel.
    pub sndbuf: usize,
    /// Receive buffer in bytes; 0 leaves it to the kernel.
    pub rcvbuf: usize,
    /// Connections the kernel may hold that were not accepted yet.
    pub backlog: i32,
    /// Send at once instead of waiting for a full segment.
    pub nodelay: bool,
    /// How long a peer that acknowledges nothing keeps its connection. The kernel counts a peer
    /// whose window stays closed as one, so that this is longer than any patience with players.
    pub user_timeout: Duration,
}

/// A silent connection is probed after this time, ...
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
/// ... this often, ...
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
/// ... and given up after so many probes without an answer.
const KEEPALIVE_PROBES: u32 = 3;

/// A socket bound to `address` with SO_REUSEPORT, not listening yet: all workers bind before
/// any listens, so that the kernel spreads connections over all of them from the first on.
///
/// # Errors
/// The address is in use or not ours.
pub fn bind(address: SocketAddr, options: &SocketOptions) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        // `[::]` and `0.0.0.0` can be given side by side.
        socket.set_only_v6(true)?;
    }
    // Accepted sockets inherit the buffers; set later they would come too late for the window.
    if options.sndbuf > 0 {
        socket.set_send_buffer_size(options.sndbuf)?;
    }
    if options.rcvbuf > 0 {
        socket.set_recv_buffer_size(options.rcvbuf)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Makes a bound socket listen.
///
/// # Errors
/// Another process listens on the address without SO_REUSEPORT.
pub fn listen(socket: Socket, options: &SocketOptions) -> io::Result<TcpListener> {
    socket.listen(options.backlog)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Sets the options of an accepted connection.
///
/// # Errors
/// The peer is gone already.
pub fn prepare(stream: &TcpStream, options: &SocketOptions) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(options.nodelay)?;
    socket.set_tcp_user_timeout(Some(options.user_timeout))?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)
}

/// Whether `accept` failed for want of descriptors or memory, which time may cure.
pub fn is_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = Errno::from_io_error(error);
    matches!(
        errno,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: SocketOptions = SocketOptions {
        sndbuf: 65_536,
        rcvbuf: 0,
        backlog: 16,
        nodelay: true,
        user_timeout: Duration::from_secs(20),
    };

    #[test]
    fn two_listeners_share_one_address() {
        let first = bind("127.0.0.1:0".parse().unwrap(), &OPTIONS).unwrap();
        let address = first.local_addr().unwrap().as_socket().unwrap();
        let second = bind(address, &OPTIONS).unwrap();
        let first = listen(first, &OPTIONS).unwrap();
        let second = listen(second, &OPTIONS).unwrap();
        assert_eq!(first.local_addr().unwrap(), second.local_addr().unwrap());
    }

    #[test]
    fn want_of_descriptors_is_told_from_other_errors() {
        assert!(is_exhausted(&io::Error::from_raw_os_error(24)));
        assert!(!is_exhausted(&io::Error::from(
            io::ErrorKind::ConnectionAborted
        )));
    }
}
