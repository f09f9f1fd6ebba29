//! What a worker needs of a connected socket, so that a simulated one can stand in.

use std::io::{self, Read, Write};

/// A non-blocking byte stream.
pub trait Transport: Read + Write {
    /// Sends no more: the peer reads what is on its way, then the end.
    fn shutdown_write(&mut self);
}

impl Transport for mio::net::TcpStream {
    fn shutdown_write(&mut self) {
        // The peer may be gone already, which is as good.
        let _: io::Result<()> = self.shutdown(std::net::Shutdown::Write);
    }
}
