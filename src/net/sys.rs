//! System calls that no safe crate offers. This is the only file of the relay with `unsafe`.
//!
//! The one there is reads TCP_INFO (tcp(7)), which the standard library, rustix and socket2 lack.
//! It is called when an operator lists connections, never on the media path.
#![expect(unsafe_code, reason = "a system call without a safe wrapper")]

use std::os::fd::{AsFd, AsRawFd};
use std::ptr::from_mut;
use std::time::Duration;

use super::transport::Path;

/// The beginning of the kernel's `struct tcp_info`, unchanged since Linux 2.6. The kernel copies
/// no more than the length that it is given.
#[repr(C)]
#[derive(Default)]
struct TcpInfo {
    before_rtt: [u32; 17],
    /// `tcpi_rtt`, in microseconds.
    rtt: u32,
    between: [u32; 7],
    /// `tcpi_total_retrans`, in segments.
    total_retrans: u32,
}

/// Bytes of [`TcpInfo`] as the kernel takes and returns a length.
const TCP_INFO_BYTES: libc::socklen_t = 26 * 4;

const _: () = assert!(size_of::<TcpInfo>() == TCP_INFO_BYTES as usize);

/// Returns round-trip time and retransmissions of a TCP socket; None for any other socket.
pub(super) fn tcp_path(socket: &impl AsFd) -> Option<Path> {
    let mut info = TcpInfo::default();
    let mut bytes = TCP_INFO_BYTES;
    // SAFETY: the descriptor is open while `socket` is borrowed; `info` is exclusively borrowed,
    // valid for writes of `bytes` bytes, and any bytes are a valid `TcpInfo`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            from_mut(&mut info).cast(),
            &raw mut bytes,
        )
    };
    (result == 0 && bytes == TCP_INFO_BYTES).then(|| Path {
        rtt: Duration::from_micros(info.rtt.into()),
        retransmits: info.total_retrans,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::mem::offset_of;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn layout_matches_that_of_libc() {
        assert_eq!(
            offset_of!(TcpInfo, rtt),
            offset_of!(libc::tcp_info, tcpi_rtt)
        );
        assert_eq!(
            offset_of!(TcpInfo, total_retrans),
            offset_of!(libc::tcp_info, tcpi_total_retrans)
        );
    }

    #[test]
    fn loopback_has_short_rtt_and_no_retransmits() {
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
        let path = tcp_path(&client).unwrap();
        assert!(path.rtt > Duration::ZERO, "{path:?}");
        assert!(path.rtt < Duration::from_secs(1), "{path:?}");
        assert_eq!(path.retransmits, 0);
    }

    #[test]
    fn unix_socket_has_no_tcp_path() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(tcp_path(&one), None);
    }
}
