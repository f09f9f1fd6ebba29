//! A client as bytes on a socket: it asks for everything in one go, reads when a test wants it to,
//! and leaves as rudely as it likes.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;
pub(crate) use tailwater_testkit::script::{hello, message, opening};

use support::wire::try_open;
use support::{SOON, now};

/// Everything up to a publish of `live/STREAM` on message stream 1.
pub(crate) fn publishing(stream: &str) -> Vec<u8> {
    opening("publish", "live", stream)
}

/// Everything up to a play of `live/STREAM` on message stream 1.
pub(crate) fn playing(stream: &str) -> Vec<u8> {
    opening("play", "live", stream)
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Origin {
    /// The address to come from.
    pub(crate) source: Option<IpAddr>,
    /// Bytes the kernel may hold for us.
    pub(crate) receive_buffer: Option<usize>,
}

/// A connection.
pub(crate) fn open(relay: SocketAddr, from: Origin) -> std::io::Result<TcpStream> {
    try_open(from.source, relay, from.receive_buffer)
}

/// A publisher of `live/STREAM` that may send.
#[track_caller]
pub(crate) fn publish(relay: SocketAddr, stream: &str) -> TcpStream {
    let mut socket = open(relay, Origin::default()).unwrap();
    socket.write_all(&publishing(stream)).unwrap();
    until(&mut socket, "NetStream.Publish.Start", SOON);
    socket
}

/// Reads until the text has come, which has to be within `limit`.
#[track_caller]
pub(crate) fn until(socket: &mut TcpStream, text: &str, limit: Duration) {
    let until = now() + limit;
    let mut got = Vec::new();
    let mut buffer = [0; 4_096];
    while !got.windows(text.len()).any(|part| part == text.as_bytes()) {
        let left = until.saturating_duration_since(now());
        assert!(!left.is_zero(), "no {text} among {} bytes", got.len());
        socket.set_read_timeout(Some(left)).unwrap();
        match socket.read(&mut buffer) {
            Ok(0) => panic!("closed before {text}, after {} bytes", got.len()),
            Ok(count) => got.extend_from_slice(&buffer[..count]),
            Err(error) => panic!("no {text} among {} bytes: {error}", got.len()),
        }
    }
}

/// Whether S0, S1 and S2 come within `limit` when C0 and C1 are sent.
pub(crate) fn shakes_hands(socket: &mut TcpStream, limit: Duration) -> bool {
    socket.set_read_timeout(Some(limit)).unwrap();
    socket.write_all(&hello()[..1 + 1_536]).is_ok()
        && socket.read_exact(&mut [0; 1 + 2 * 1_536]).is_ok()
}

/// Leaves with a reset.
pub(crate) fn reset(socket: TcpStream) {
    let linger = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
    linger.expect("a socket of our own");
    drop(socket);
}
