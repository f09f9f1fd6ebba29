//! What our own client speaks over that the standard library has not: TLS.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tailwater_testkit::wire::Socket;

/// TLS over TCP.
#[derive(Debug)]
pub struct Tls(StreamOwned<ClientConnection, TcpStream>);

impl Tls {
    /// Begins TLS on a TCP socket with a relay that is `name` to those who trust `authority`.
    pub fn connect(tcp: TcpStream, name: &'static str, authority: &Path) -> Self {
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
        Self(StreamOwned::new(session, tcp))
    }
}

impl Socket for Tls {
    fn set_read_timeout(&self, limit: Duration) -> io::Result<()> {
        self.0.sock.set_read_timeout(Some(limit))
    }

    fn finish(&self) -> io::Result<()> {
        self.0.sock.shutdown(Shutdown::Write)
    }

    fn local_address(&self) -> Option<SocketAddr> {
        self.0.sock.local_addr().ok()
    }
}

impl Read for Tls {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Tls {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
