//! What the kernel measures of a TCP connection: TCP_INFO (tcp(7)), of which two numbers are read.
//! It is asked for when somebody looks, never on the data path.
//!
//! The standard library, rustix and socket2 do not offer it. nix has a macro for socket options
//! that it does not know; the one below is read as words of the kernel's `struct tcp_info`, whose
//! beginning has been the same since Linux 2.6. A shorter length than the kernel's is its to cut.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::socket::GetSockOpt;
use nix::{getsockopt_impl, libc, sockopt_impl};

use super::transport::Path;

/// Words of `struct tcp_info` up to `tcpi_total_retrans`; the first eight bytes are of one byte
/// each.
const WORDS: usize = 26;

/// `tcpi_rtt`, in microseconds.
const RTT: usize = 17;

/// `tcpi_total_retrans`.
const RETRANSMITS: usize = 25;

sockopt_impl!(
    /// The beginning of `struct tcp_info`.
    TcpInfo,
    GetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    [u32; WORDS]
);

/// What the kernel knows of the way to the peer of a TCP socket; None when it does not tell.
pub(super) fn path(socket: &impl AsFd) -> Option<Path> {
    let words = TcpInfo.get(socket).ok()?;
    Some(Path {
        rtt: Duration::from_micros(words[RTT].into()),
        retransmits: words[RETRANSMITS],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_connection_over_the_loopback_has_a_short_round_trip_and_loses_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let mut byte = [7];
        for _ in 0..4 {
            client.write_all(&byte).unwrap();
            server.read_exact(&mut byte).unwrap();
            server.write_all(&byte).unwrap();
            client.read_exact(&mut byte).unwrap();
        }
        let path = path(&client).unwrap();
        assert!(path.rtt > Duration::ZERO, "{path:?}");
        assert!(path.rtt < Duration::from_secs(1), "{path:?}");
        assert_eq!(path.retransmits, 0);
    }

    #[test]
    fn what_is_no_tcp_socket_has_none() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(path(&one), None);
    }
}
