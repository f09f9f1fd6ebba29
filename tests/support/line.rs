//! What our own client speaks over: TCP, a unix socket, or TLS.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::SOON;

/// A connected stream that blocks.
#[derive(Debug)]
pub(crate) enum Line {
    /// TCP.
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
    /// TLS over TCP.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Line {
    /// Connects to a unix socket.
    pub(crate) fn unix(path: &Path) -> Self {
        let socket = UnixStream::connect(path).expect("the relay listens");
        socket
            .set_write_timeout(Some(SOON))
            .expect("a limit above zero");
        Self::Unix(socket)
    }

    /// Begins TLS on a TCP socket with a relay that is `name` to those who trust `authority`.
    pub(crate) fn tls(tcp: TcpStream, name: &'static str, authority: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(authority).expect("a certificate");
        roots.add(certificate).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let settings = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("there are suites")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(name).expect("a name");
        let session = ClientConnection::new(Arc::new(settings), name).expect("settings");
        Self::Tls(Box::new(StreamOwned::new(session, tcp)))
    }

    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(socket) => Some(socket),
            Self::Tls(stream) => Some(&stream.sock),
            Self::Unix(_) => None,
        }
    }

    /// Our end of it.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        let tcp = self.tcp().expect("unix sockets have no address");
        tcp.local_addr().expect("it is connected")
    }

    /// How long a read waits.
    pub(crate) fn set_read_timeout(&self, limit: Duration) {
        let set = match (self, self.tcp()) {
            (Self::Unix(socket), _) => socket.set_read_timeout(Some(limit)),
            (_, Some(socket)) => socket.set_read_timeout(Some(limit)),
            (_, None) => Ok(()),
        };
        set.expect("a limit above zero");
    }

    /// Sends no more.
    pub(crate) fn finish(&self) {
        // The other end may be gone.
        let _: io::Result<()> = match (self, self.tcp()) {
            (Self::Unix(socket), _) => socket.shutdown(Shutdown::Write),
            (_, Some(socket)) => socket.shutdown(Shutdown::Write),
            (_, None) => Ok(()),
        };
    }
}

impl Read for Line {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(buf),
            Self::Unix(socket) => socket.read(buf),
            Self::Tls(stream) => stream.read(buf),
        }
    }
}

impl Write for Line {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.write(buf),
            Self::Unix(socket) => socket.write(buf),
            Self::Tls(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Ok(()),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
