//! What a worker needs of a connected socket, so that a simulated one can stand in.

use std::io::{self, Read, Write};

/// A non-blocking byte stream.
pub trait Transport: Read + Write {
    /// Sends no more: the peer reads what is on its way, then the end.
    fn shutdown_write(&mut self);

    /// Acknowledges what was read at once instead of with the next bytes sent, or 40 ms later.
    fn acknowledge(&mut self) {}
}

impl Transport for mio::net::TcpStream {
    fn shutdown_write(&mut self) {
        // The peer may be gone already, which is as good.
        let _: io::Result<()> = self.shutdown(std::net::Shutdown::Write);
    }

    fn acknowledge(&mut self) {
        // Only speed is lost when it fails.
        let _: rustix::io::Result<()> = rustix::net::sockopt::set_tcp_quickack(&*self, true);
    }
}
