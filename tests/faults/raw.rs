//! A client as bytes on a socket: it asks for everything in one go, reads when a test wants it to,
//! and leaves as rudely as it likes.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};
use tailwater::rtmp::amf0::Encoder;
use tailwater::rtmp::command::write_command;
use tailwater::rtmp::message::{MessageHeader, Payload, Timestamp};
use tailwater::rtmp::writer::write_message;

use crate::support::wire::Media;
use crate::support::{SOON, now};

/// Payload bytes of a chunk while nobody has said otherwise.
const CHUNK_BYTES: usize = 128;

/// C0, C1 and C2 of a plain handshake.
pub(crate) fn hello() -> Vec<u8> {
    let mut bytes = vec![3];
    bytes.resize(1 + 2 * 1_536, 0);
    bytes
}

/// Everything up to a publish of `live/STREAM` on message stream 1.
pub(crate) fn publishing(stream: &str) -> Vec<u8> {
    let mut bytes = connected();
    write_command(&mut bytes, 1, CHUNK_BYTES, |amf| {
        amf.string("publish").number(3.0).null();
        amf.string(stream).string("live");
    });
    bytes
}

/// Everything up to a play of `live/STREAM` on message stream 1.
pub(crate) fn playing(stream: &str) -> Vec<u8> {
    let mut bytes = connected();
    write_command(&mut bytes, 1, CHUNK_BYTES, |amf| {
        amf.string("play").number(3.0).null().string(stream);
    });
    bytes
}

fn connected() -> Vec<u8> {
    let mut bytes = hello();
    let mut command = |body: fn(&mut Encoder<'_>)| write_command(&mut bytes, 0, CHUNK_BYTES, body);
    command(|amf| {
        amf.string("connect").number(1.0).begin_object();
        amf.string_property("app", "live")
            .string_property("tcUrl", "rtmp://localhost/live")
            .end_object();
    });
    command(|amf| {
        amf.string("createStream").number(2.0).null();
    });
    bytes
}

/// A message on message stream 1.
pub(crate) fn message(media: &Media) -> Vec<u8> {
    let header = MessageHeader {
        csid: 6,
        timestamp: Timestamp(media.time),
        kind: media.kind,
        msid: 1,
        len: media.payload.len(),
    };
    let mut bytes = Vec::new();
    let payload = Payload::from_slice(&media.payload);
    write_message(&mut bytes, &header, &payload, CHUNK_BYTES);
    bytes
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
    let socket = Socket::new(Domain::for_address(relay), Type::STREAM, None)?;
    if let Some(bytes) = from.receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(source) = from.source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    socket.connect_timeout(&relay.into(), SOON)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_write_timeout(Some(SOON))?;
    Ok(socket.into())
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
