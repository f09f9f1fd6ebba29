//! Listening sockets, and the options of what they accept.
//!
//! Each worker has a TCP socket of its own on the same address, and the kernel chooses one for
//! each connection. A unix socket cannot be shared like this: all workers have the same one, all
//! are woken, and one of them gets the connection.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use socket2::{Domain, Protocol, SockAddr, SockFilter, SockRef, TcpKeepalive, Type};

use super::socket::Socket;

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

/// Listens on `wanted` with a socket for each of `count` workers, which share the address with
/// SO_REUSEPORT; gives the address as bound.
///
/// Other processes share it too if `with_others` is set. If not, the first socket listens without
/// SO_REUSEPORT, which the kernel refuses while anybody else listens there, and shares the address
/// only then: of two relays that start at the same moment one is refused.
///
/// # Errors
/// The address is in use or not ours.
pub fn listen_on(
    wanted: SocketAddr,
    count: usize,
    with_others: bool,
    options: &SocketOptions,
) -> io::Result<(SocketAddr, Vec<Acceptor>)> {
    let first = bind(wanted, with_others, options)?;
    // With port 0 the first socket finds out which.
    let bound = first.local_addr()?.as_socket().unwrap_or(wanted);
    if !with_others {
        first.listen(options.backlog)?;
        first.set_reuse_port(true)?;
    }
    let mut sockets = vec![first];
    for _ in 1..count {
        sockets.push(bind(bound, true, options)?);
    }
    // All are bound before the last of them listens, so that the kernel spreads connections.
    let acceptors = sockets.into_iter().map(|socket| {
        socket.listen(options.backlog)?;
        Ok(Acceptor::Tcp(TcpListener::from_std(socket.into())))
    });
    Ok((bound, acceptors.collect::<io::Result<_>>()?))
}

/// A socket bound to `address`, with SO_REUSEPORT if it is `shared`; not listening yet.
fn bind(address: SocketAddr, shared: bool, options: &SocketOptions) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() {
        // `[::]` and `0.0.0.0` can be given side by side.
        socket.set_only_v6(true)?;
    }
    // Accepted sockets inherit the buffers.
    set_buffers(SockRef::from(&socket), options)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Sets the buffers of a socket before it connects or listens; later would be too late for the
/// window.
///
/// # Errors
/// It is no socket with buffers.
pub fn set_buffers(socket: SockRef<'_>, options: &SocketOptions) -> io::Result<()> {
    if options.sndbuf > 0 {
        socket.set_send_buffer_size(options.sndbuf)?;
    }
    if options.rcvbuf > 0 {
        socket.set_recv_buffer_size(options.rcvbuf)?;
    }
    Ok(())
}

/// The path of a unix socket that listens. The file is removed with this, unless another has
/// taken its place.
#[derive(Debug)]
pub struct UnixPath {
    path: PathBuf,
    file: FileMark,
}

impl Drop for UnixPath {
    fn drop(&mut self) {
        if file_at(&self.path).is_ok_and(|file| file == self.file) {
            // At worst the next start finds a file nobody listens at.
            let _: io::Result<()> = std::fs::remove_file(&self.path);
        }
    }
}

/// Device, number, and when it was made: numbers are used again at once.
#[derive(Debug, PartialEq, Eq)]
struct FileMark(u64, u64, i64, i64);

fn file_at(path: &Path) -> io::Result<FileMark> {
    let file = std::fs::symlink_metadata(path)?;
    Ok(FileMark(
        file.dev(),
        file.ino(),
        file.mtime(),
        file.mtime_nsec(),
    ))
}

/// A socket for each of `count` workers that listens at `path`. A socket file that is there
/// already and at which nobody listens is replaced; if `with_others` is set, also one at which
/// somebody listens, who keeps the connections it has.
///
/// # Errors
/// Somebody listens there, or it is a file of another kind, or none can be made there.
pub fn listen_unix(
    path: &Path,
    count: usize,
    with_others: bool,
    options: &SocketOptions,
) -> io::Result<(UnixPath, Vec<Acceptor>)> {
    // Of two relays that start at the same moment the second looks when the first listens.
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = std::fs::File::open(dir.unwrap_or_else(|| Path::new(".")))?;
    dir.lock()?;
    remove_socket_file(path, with_others)?;
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    set_buffers(SockRef::from(&socket), options)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = file_at(path)?;
    let path = UnixPath {
        path: path.to_owned(),
        file,
    };
    socket.listen(options.backlog)?;
    let acceptor = |socket: socket2::Socket| {
        let listener = std::os::unix::net::UnixListener::from(OwnedFd::from(socket));
        Acceptor::Unix(UnixListener::from_std(listener))
    };
    let clones = (0..count).map(|_| socket.try_clone().map(acceptor));
    Ok((path, clones.collect::<io::Result<_>>()?))
}

/// Makes room for a socket at `path`.
fn remove_socket_file(path: &Path, with_others: bool) -> io::Result<()> {
    let Ok(found) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() {
        let what = "a file that is no socket is there";
        return Err(io::Error::new(ErrorKind::AlreadyExists, what));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        _ if with_others => {}
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
        Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
        _ => return Err(ErrorKind::AddrInUse.into()),
    }
    std::fs::remove_file(path)
}

/// A listening socket of a worker.
#[derive(Debug)]
pub enum Acceptor {
    /// On a TCP address.
    Tcp(TcpListener),
    /// At a path.
    Unix(UnixListener),
}

impl Acceptor {
    /// A new connection with its options set, and its peer's address if it has one.
    ///
    /// # Errors
    /// There is none, or none can be taken, or its peer is gone already.
    pub fn accept(&self, options: &SocketOptions) -> io::Result<(Socket, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (socket, peer) = listener.accept()?;
                // No error may look as if the listener had none.
                prepare(SockRef::from(&socket), options)
                    .map_err(|_| io::Error::from(ErrorKind::ConnectionAborted))?;
                Ok((Socket::Tcp(socket), Some(peer)))
            }
            Self::Unix(listener) => {
                let (socket, _) = listener.accept()?;
                // Not inherited here; without them it works as well.
                let _: io::Result<()> = set_buffers(SockRef::from(&socket), options);
                Ok((Socket::Unix(socket), None))
            }
        }
    }

    /// Has the kernel drop requests for new connections; those on their way still arrive and can
    /// be accepted. Who was dropped asks again within a second and finds whoever listens on the
    /// address then. Of a unix socket there are no requests on their way.
    ///
    /// # Errors
    /// The kernel takes no filters.
    pub fn refuse_new(&self) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => refuse_new(listener),
            Self::Unix(_) => Ok(()),
        }
    }

    /// What a poll watches.
    pub fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(listener) => listener,
            Self::Unix(listener) => listener,
        }
    }
}

fn refuse_new(listener: &TcpListener) -> io::Result<()> {
    // Classic BPF over the TCP header: of its flags, byte 13, SYN without ACK.
    let filter = [
        SockFilter::new(0x30, 0, 0, 13),
        SockFilter::new(0x54, 0, 0, 0x12),
        SockFilter::new(0x15, 0, 1, 0x02),
        SockFilter::new(0x06, 0, 0, 0),
        SockFilter::new(0x06, 0, 0, u32::MAX),
    ];
    SockRef::from(listener).attach_filter(&filter)
}

/// Sets the options of a TCP connection, accepted or about to be made.
///
/// # Errors
/// The peer is gone already.
pub fn prepare(socket: SockRef<'_>, options: &SocketOptions) -> io::Result<()> {
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
    fn workers_share_an_address_and_others_only_when_allowed() {
        let options = SocketOptions {
            backlog: 1024,
            ..OPTIONS
        };
        let any = "127.0.0.1:0".parse().unwrap();
        let (address, first) = listen_on(any, 3, false, &options).unwrap();
        let bound = |acceptor: &Acceptor| match acceptor {
            Acceptor::Tcp(listener) => listener.local_addr().unwrap(),
            Acceptor::Unix(_) => panic!("an address"),
        };
        assert!(first.iter().all(|acceptor| bound(acceptor) == address));
        let everywhere = SocketAddr::new([0, 0, 0, 0].into(), address.port());
        for wanted in [address, everywhere] {
            let refused = listen_on(wanted, 2, false, &options).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::AddrInUse, "{wanted}");
        }
        let (same, second) = listen_on(address, 2, true, &options).unwrap();
        assert_eq!((same, second.len()), (address, 2));
        // Connections are spread over all of the workers.
        let clients: Vec<_> = (0..200)
            .map(|_| std::net::TcpStream::connect(address).unwrap())
            .collect();
        let counts: Vec<usize> = first
            .iter()
            .chain(&second)
            .map(|acceptor| {
                let accepted = std::iter::from_fn(|| acceptor.accept(&options).ok());
                accepted.count()
            })
            .collect();
        assert!(counts.iter().all(|&count| count > 0), "{counts:?}");
        drop(clients);
        drop((first, second));
        // What has been accepted and closed is no obstacle.
        listen_on(address, 1, false, &options).unwrap();
    }

    #[test]
    fn a_socket_file_is_replaced_when_nobody_listens_there_and_removed_at_the_end() {
        let name = format!("tailwater-listener-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let (first, acceptors) = listen_unix(&path, 2, false, &OPTIONS).unwrap();
        assert_eq!(acceptors.len(), 2);
        let taken = listen_unix(&path, 1, false, &OPTIONS).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        // As a relay that was killed leaves it.
        drop(acceptors);
        // Longer than a tick of the clock of files.
        std::thread::park_timeout(Duration::from_millis(50));
        let (second, _acceptors) = listen_unix(&path, 1, false, &OPTIONS).unwrap();
        drop(first);
        assert!(path.exists(), "it is another's by now");
        let (third, _taken) = listen_unix(&path, 1, true, &OPTIONS).unwrap();
        drop(second);
        assert!(path.exists(), "it was taken over");
        drop(third);
        assert!(!path.exists());
        std::fs::write(&path, "text").unwrap();
        let file = listen_unix(&path, 1, false, &OPTIONS).unwrap_err();
        assert_eq!(file.kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "text");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn want_of_descriptors_is_told_from_other_errors() {
        assert!(is_exhausted(&io::Error::from_raw_os_error(24)));
        assert!(!is_exhausted(&io::Error::from(
            ErrorKind::ConnectionAborted
        )));
    }
}
