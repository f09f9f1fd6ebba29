//! Where connections come from, as an operator writes it: addresses, unix sockets, and the
//! proxies that are believed. Values only; sockets are made elsewhere.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// What is listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddr {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A unix stream socket at this path.
    Unix(PathBuf),
}

/// Addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The first of them; the bits behind the prefix are 0.
    pub address: IpAddr,
    /// Length of the prefix, at most as many bits as an address has.
    pub bits: u8,
}

impl Network {
    /// Reads an address, or an address and the length of its prefix.
    pub fn parse(text: &str) -> Option<Self> {
        match Proxies::parse(text)? {
            Proxies::Unix => None,
            Proxies::Network { address, bits } => Some(Self { address, bits }),
        }
    }

    /// Whether `address` is one of them. IPv4 in IPv6 is IPv4.
    pub fn holds(&self, address: IpAddr) -> bool {
        let Self { address: own, bits } = *self;
        let network = Proxies::Network { address: own, bits };
        network.hold(Some(address))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, bits } = self;
        let is_one = *bits == if address.is_ipv4() { 32 } else { 128 };
        if is_one {
            write!(f, "{address}")
        } else {
            write!(f, "{address}/{bits}")
        }
    }
}

/// Peers whose PROXY header is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxies {
    /// All that come by a unix socket.
    Unix,
    /// Those whose address begins with the first `bits` bits of this one.
    Network {
        /// Its other bits are 0.
        address: IpAddr,
        /// At most as many as an address has.
        bits: u8,
    },
}

impl Proxies {
    /// `unix`, an address, or an address and the length of its prefix.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "unix" {
            return Some(Self::Unix);
        }
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => bits.parse().ok()?,
            Some(_) => return None,
            None => most,
        };
        let is_prefix = bits <= most && number(address) & !mask(address, bits) == 0;
        is_prefix.then_some(Self::Network { address, bits })
    }

    /// Whether these are the proxies a peer at `peer` is one of; None is a peer at a unix socket.
    pub fn hold(&self, peer: Option<IpAddr>) -> bool {
        match (*self, peer) {
            (Self::Unix, None) => true,
            (Self::Network { address, bits }, Some(peer)) => {
                let peer = peer.to_canonical();
                peer.is_ipv4() == address.is_ipv4()
                    && number(peer) & mask(peer, bits) == number(address)
            }
            (Self::Unix, Some(_)) | (Self::Network { .. }, None) => false,
        }
    }
}

/// The bits of an address, from the highest on.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The first `bits` of all bits of such an address.
fn mask(address: IpAddr, bits: u8) -> u128 {
    let all = if address.is_ipv4() {
        u128::MAX << 96
    } else {
        u128::MAX
    };
    let behind = u128::MAX.checked_shr(bits.into()).unwrap_or(0);
    all & !behind
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix => write!(f, "unix"),
            Self::Network { address, bits } => write!(f, "{address}/{bits}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_the_addresses_that_begin_as_they_do() {
        let rows = [
            (
                "10.0.0.0/8",
                "10.255.0.1 ::ffff:10.1.2.3",
                "11.0.0.1 ::a00:1",
            ),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6 192.0.2.8"),
            ("192.0.2.6/31", "192.0.2.6 192.0.2.7", "192.0.2.8"),
            ("0.0.0.0/0", "0.0.0.0 255.255.255.255", "::1"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::"),
            ("::1", "::1", "::2 127.0.0.1"),
            ("::/0", "::1 2001:db8::1", "127.0.0.1 ::ffff:1.2.3.4"),
        ];
        for (text, inside, outside) in rows {
            let proxies = Proxies::parse(text).unwrap();
            let holds = |peer: &str| proxies.hold(Some(peer.parse().unwrap()));
            assert!(inside.split(' ').all(holds), "{text}: {inside}");
            assert!(!outside.split(' ').any(holds), "{text}: {outside}");
            assert!(!proxies.hold(None), "{text}: unix");
            assert_eq!(Proxies::parse(&proxies.to_string()), Some(proxies));
        }
        assert!(Proxies::Unix.hold(None));
        assert!(!Proxies::Unix.hold(Some("127.0.0.1".parse().unwrap())));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/",
            "10.0.0.0/",
            "/8",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "::1/129",
            "2001:db8::1/64",
            "host",
            "Unix",
            "unix:",
            "10.0.0.0:80",
        ] {
            assert_eq!(Proxies::parse(text), None, "{text:?}");
        }
    }
}
