//! Headers of both versions, whole, cut everywhere, and wrong in every way a peer may think of.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use super::*;
use crate::net::socket::Socket;

/// A header of version 2.
fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [V2_BEGIN, &[command, family], &length, body].concat()
}

const TCP4: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0x9C, 0x40, 0x07, 0x8F];

fn tcp6() -> Vec<u8> {
    let source: Ipv6Addr = "2001:db8::7".parse().unwrap();
    let other: Ipv6Addr = "2001:db8::1".parse().unwrap();
    let ports = [0x9C, 0x40, 0x07, 0x8F];
    [&source.octets()[..], &other.octets(), &ports].concat()
}

/// Headers and the clients they name.
fn headers() -> Vec<(Vec<u8>, Option<&'static str>)> {
    let with_tlvs = |body: &[u8], count: usize| [body, &vec![0xEE; count]].concat();
    let text = |text: &str| text.as_bytes().to_vec();
    let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(91));
    assert_eq!(longest.len(), PROXY_V1_BYTES_MAX);
    vec![
        (
            text("PROXY TCP4 192.0.2.7 198.51.100.1 40000 1935\r\n"),
            Some("192.0.2.7:40000"),
        ),
        (
            text("PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n"),
            Some("[2001:db8::7]:1"),
        ),
        (text("PROXY UNKNOWN\r\n"), None),
        (text("PROXY UNKNOWN ffff:f...f:ffff 65535\r\n"), None),
        (text(&longest), None),
        (text("PROXY TCP4 0.0.0.0 198.51.100.1 0 1935\r\n"), None),
        (v2(0x21, 0x11, &TCP4), Some("192.0.2.7:40000")),
        (v2(0x21, 0x21, &tcp6()), Some("[2001:db8::7]:40000")),
        (
            v2(0x21, 0x11, &with_tlvs(&TCP4, 524)),
            Some("192.0.2.7:40000"),
        ),
        (
            v2(0x21, 0x21, &with_tlvs(&tcp6(), 7)),
            Some("[2001:db8::7]:40000"),
        ),
        (v2(0x20, 0x00, &[]), None),
        (v2(0x20, 0x11, &TCP4), None),
        (v2(0x20, 0x11, &[1, 2]), None),
        (v2(0x21, 0x00, &[9; 40]), None),
        (v2(0x21, 0x12, &TCP4), None),
        (v2(0x21, 0x31, &[b'/'; 216]), None),
        (v2(0x21, 0x11, &[0; 12]), None),
    ]
}

#[test]
fn headers_name_their_clients_and_their_length() {
    for (bytes, client) in headers() {
        let client = client.map(|client| client.parse().unwrap());
        let expected = Header {
            bytes: bytes.len(),
            client,
        };
        assert_eq!(parse(&bytes), Ok(Some(expected)), "{bytes:02x?}");
        // What follows is not looked at.
        let more = [&bytes[..], b"\x03PROXY \r\n\r\n"].concat();
        assert_eq!(parse(&more), Ok(Some(expected)), "{bytes:02x?}");
    }
}

#[test]
fn a_header_that_is_cut_anywhere_may_become_one() {
    for (bytes, _) in headers() {
        for cut in 0..bytes.len() {
            assert_eq!(parse(&bytes[..cut]), Ok(None), "{cut} of {bytes:02x?}");
        }
    }
}

#[test]
fn what_is_no_header_is_refused_at_its_first_wrong_byte() {
    for first in 0..=255 {
        let expected = match first {
            b'P' | b'\r' => Ok(None),
            _ => Err(ProxyError::Missing),
        };
        assert_eq!(parse(&[first]), expected, "{first:#04x}");
    }
    for begin in [V1_BEGIN, V2_BEGIN] {
        for wrong in 1..begin.len() {
            let mut bytes = begin[..=wrong].to_vec();
            bytes[wrong] ^= 0x20;
            assert_eq!(parse(&bytes), Err(ProxyError::Missing), "{bytes:02x?}");
        }
    }
    assert_eq!(parse(b"PROXYTCP4"), Err(ProxyError::Missing));
}

#[test]
fn hostile_headers_are_refused() {
    let malformed = [
        "",
        "TCP4",
        "TCP4 1.2.3.4 1.2.3.4 1",
        "TCP4 1.2.3.4 1.2.3.4 1 2 3",
        "TCP4  1.2.3.4 1.2.3.4 1 2",
        "TCP4 1.2.3.4 1.2.3.4 1 65536",
        "TCP4 1.2.3.4 1.2.3.4 -1 2",
        "TCP4 1.2.3.4 1.2.3.4 +1 2",
        "TCP4 1.2.3.4 1.2.3.4  2",
        "TCP4 1.2.3.4 1.2.3 1 2",
        "TCP4 ::1 ::1 1 2",
        "TCP6 1.2.3.4 1.2.3.4 1 2",
        "TCP6 ::g ::1 1 2",
        "tcp4 1.2.3.4 1.2.3.4 1 2",
        "UDP4 1.2.3.4 1.2.3.4 1 2",
        "TCP4 host 1.2.3.4 1 2",
    ];
    for text in malformed {
        let line = format!("PROXY {text}\r\n");
        assert_eq!(parse(line.as_bytes()), Err(ProxyError::Malformed), "{text}");
    }
    let not_text = b"PROXY TCP4 \xFF\xFE 1.2.3.4 1 2\r\n";
    assert_eq!(parse(not_text), Err(ProxyError::Malformed));
    let endless = format!("PROXY UNKNOWN {}", "f".repeat(500));
    assert_eq!(parse(&endless.as_bytes()[..106]), Ok(None));
    assert_eq!(parse(endless.as_bytes()), Err(ProxyError::TooLong));
    for (bytes, expected) in [
        (v2(0x11, 0x11, &TCP4), ProxyError::Malformed),
        (v2(0x22, 0x11, &TCP4), ProxyError::Malformed),
        (v2(0x2F, 0x11, &TCP4), ProxyError::Malformed),
        (v2(0x21, 0x11, &TCP4[..11]), ProxyError::Malformed),
        (v2(0x21, 0x11, &[]), ProxyError::Malformed),
        (v2(0x21, 0x21, &tcp6()[..35]), ProxyError::Malformed),
        (v2(0x21, 0x11, &[0; 537]), ProxyError::TooLong),
        (v2(0x20, 0x00, &[0; 65_535]), ProxyError::TooLong),
    ] {
        assert_eq!(parse(&bytes), Err(expected), "{:02x?}", &bytes[..16]);
    }
    // Told by its length, not after so many bytes were waited for.
    let announced = [V2_BEGIN, &[0x21, 0x11, 0xFF, 0xFF]].concat();
    assert_eq!(parse(&announced), Err(ProxyError::TooLong));
}

/// The ends of the proxy and of the relay.
fn pair() -> (UnixStream, Socket) {
    let (proxy, relay) = UnixStream::pair().unwrap();
    relay.set_nonblocking(true).unwrap();
    (proxy, Socket::Unix(mio::net::UnixStream::from_std(relay)))
}

#[test]
fn exactly_the_header_is_read_however_it_comes() {
    for (bytes, client) in headers() {
        for cut in 1..=bytes.len() {
            let (mut proxy, mut relay) = pair();
            assert!(
                matches!(read_header(&mut relay), HeaderRead::Incomplete),
                "nothing yet"
            );
            proxy.write_all(&bytes[..cut]).unwrap();
            if cut < bytes.len() {
                assert!(
                    matches!(read_header(&mut relay), HeaderRead::Incomplete),
                    "{cut} of {bytes:02x?}"
                );
            }
            proxy.write_all(&bytes[cut..]).unwrap();
            proxy.write_all(b"\x03behind").unwrap();
            let HeaderRead::Complete(header) = read_header(&mut relay) else {
                panic!("a whole header in {bytes:02x?}");
            };
            assert_eq!(header.client, client.map(|client| client.parse().unwrap()));
            let mut behind = [0; 16];
            let count = relay.read(&mut behind).unwrap();
            assert_eq!(&behind[..count], b"\x03behind");
        }
    }
}

#[test]
fn a_peer_that_leaves_is_told_from_one_that_waits() {
    let (proxy, mut relay) = pair();
    assert!(matches!(read_header(&mut relay), HeaderRead::Incomplete));
    drop(proxy);
    assert!(matches!(read_header(&mut relay), HeaderRead::Closed));
}
