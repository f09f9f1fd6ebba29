//! The PROXY protocol: the header by which a proxy that passes TCP on says who the client is.
//! Versions 1 (a line of text) and 2 (binary), as in the document of HAProxy that defines them.
//!
//! ```text
//!   v1  PROXY TCP4 192.0.2.7 198.51.100.1 40000 1935\r\n
//!   v2  12 bytes of signature | version, command | family | length (2) | addresses | TLVs
//! ```
//!
//! A header is looked at in the kernel's buffer until it is whole, and only then read, so that
//! not a byte behind it is taken. Whom to believe is not decided here. What TLVs say is skipped.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::transport::Transport;
use crate::limits::{PROXY_V1_BYTES_MAX, PROXY_V2_BYTES_MAX};

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How long it is.
    pub bytes: usize,
    /// The client it names; None when the proxy speaks for itself (LOCAL, as health checks do)
    /// or does not know.
    pub client: Option<SocketAddr>,
}

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyError {
    /// It begins as neither version does.
    Missing,
    /// It is longer than any may be.
    TooLong,
    /// It begins well, and does not go on as it has to.
    Malformed,
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "no PROXY header from a proxy"),
            Self::TooLong => write!(f, "a PROXY header that is too long"),
            Self::Malformed => write!(f, "a PROXY header that makes no sense"),
        }
    }
}

impl std::error::Error for ProxyError {}

/// What there is of a header.
#[derive(Debug)]
pub enum HeaderRead {
    /// Not all of it yet; the poll tells when there is more.
    Incomplete,
    /// All of it, and it has been read.
    Complete(Header),
    /// The peer has ended its stream before.
    Closed,
    /// It is none.
    Invalid(ProxyError),
    /// The socket failed.
    Failed(io::Error),
}

const V1_BEGIN: &[u8] = b"PROXY ";
const V2_BEGIN: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const V2_FIXED: usize = 16;

/// Reads the header that `socket` begins with, once all of it is there.
pub fn read_header(socket: &mut impl Transport) -> HeaderRead {
    let mut seen = [0; PROXY_V2_BYTES_MAX];
    let count = match uninterrupted(|| socket.peek(&mut seen)) {
        Ok(0) => return HeaderRead::Closed,
        Ok(count) => count,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return HeaderRead::Incomplete,
        Err(error) => return HeaderRead::Failed(error),
    };
    let header = match parse(&seen[..count.min(PROXY_V2_BYTES_MAX)]) {
        Ok(Some(header)) => header,
        Ok(None) => return HeaderRead::Incomplete,
        Err(error) => return HeaderRead::Invalid(error),
    };
    let mut read = 0;
    while read < header.bytes {
        match uninterrupted(|| socket.read(&mut seen[read..header.bytes])) {
            Ok(0) => return HeaderRead::Closed,
            Ok(count) => read += count,
            Err(error) => return HeaderRead::Failed(error),
        }
    }
    HeaderRead::Complete(header)
}

fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// The header `input` begins with; None while it may become one.
///
/// # Errors
/// It is none, whatever follows.
pub fn parse(input: &[u8]) -> Result<Option<Header>, ProxyError> {
    if begins(input, V1_BEGIN) {
        parse_v1(input)
    } else if begins(input, V2_BEGIN) {
        parse_v2(input)
    } else {
        Err(ProxyError::Missing)
    }
}

/// Whether `input`, which may be cut short, begins with `signature`.
fn begins(input: &[u8], signature: &[u8]) -> bool {
    let known = input.len().min(signature.len());
    input[..known] == signature[..known]
}

fn parse_v1(input: &[u8]) -> Result<Option<Header>, ProxyError> {
    let line = &input[..input.len().min(PROXY_V1_BYTES_MAX)];
    let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
        return if line.len() == PROXY_V1_BYTES_MAX {
            Err(ProxyError::TooLong)
        } else {
            Ok(None)
        };
    };
    let text = line.get(V1_BEGIN.len()..end).unwrap_or_default();
    let text = str::from_utf8(text).map_err(|_| ProxyError::Malformed)?;
    let client = match text.split(' ').collect::<Vec<_>>()[..] {
        ["UNKNOWN", ..] => None,
        ["TCP4", source, destination, port, other] => {
            let _: Ipv4Addr = address(destination)?;
            let _ = number(other)?;
            Some(SocketAddr::new(IpAddr::V4(address(source)?), number(port)?))
        }
        ["TCP6", source, destination, port, other] => {
            let _: Ipv6Addr = address(destination)?;
            let _ = number(other)?;
            Some(SocketAddr::new(IpAddr::V6(address(source)?), number(port)?))
        }
        _ => return Err(ProxyError::Malformed),
    };
    Ok(Some(Header {
        bytes: end + 2,
        client: client.filter(is_somebody),
    }))
}

fn address<T: std::str::FromStr>(text: &str) -> Result<T, ProxyError> {
    text.parse().map_err(|_| ProxyError::Malformed)
}

/// A port, of digits only.
fn number(text: &str) -> Result<u16, ProxyError> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ProxyError::Malformed);
    }
    text.parse().map_err(|_| ProxyError::Malformed)
}

fn parse_v2(input: &[u8]) -> Result<Option<Header>, ProxyError> {
    // What is there is judged at once; a proxy that sends half a header is rare, and waits.
    if input
        .get(12)
        .is_some_and(|byte| !matches!(byte, 0x20 | 0x21))
    {
        return Err(ProxyError::Malformed);
    }
    let Some(
        &[
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            command,
            family,
            high,
            low,
        ],
    ) = input.first_chunk::<V2_FIXED>()
    else {
        return Ok(None);
    };
    let bytes = V2_FIXED + usize::from(u16::from_be_bytes([high, low]));
    if bytes > PROXY_V2_BYTES_MAX {
        return Err(ProxyError::TooLong);
    }
    let Some(body) = input.get(V2_FIXED..bytes) else {
        return Ok(None);
    };
    let is_proxied = command & 0x0F == 1;
    let client = match (is_proxied, family) {
        (true, 0x11) => Some(v2_client::<4, 12>(body)?),
        (true, 0x21) => Some(v2_client::<16, 36>(body)?),
        // LOCAL, or unspecified, datagrams and unix sockets: the socket's own address stays.
        _ => None,
    };
    Ok(Some(Header {
        bytes,
        client: client.filter(is_somebody),
    }))
}

/// Source and destination address of `N` bytes each, source and destination port, `ALL` bytes
/// together.
fn v2_client<const N: usize, const ALL: usize>(body: &[u8]) -> Result<SocketAddr, ProxyError>
where
    IpAddr: From<[u8; N]>,
{
    let addresses = body.first_chunk::<ALL>().ok_or(ProxyError::Malformed)?;
    let source = addresses.first_chunk::<N>().ok_or(ProxyError::Malformed)?;
    let ports = addresses.last_chunk::<4>().ok_or(ProxyError::Malformed)?;
    let port = u16::from_be_bytes([ports[0], ports[1]]);
    Ok(SocketAddr::new(IpAddr::from(*source), port))
}

/// Whether it is an address that anybody can have; limits for addresses do not hold for others.
fn is_somebody(client: &SocketAddr) -> bool {
    !client.ip().to_canonical().is_unspecified()
}

#[cfg(test)]
mod tests;
