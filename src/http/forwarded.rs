//! What proxies that speak HTTP say of a client: `X-Forwarded-For`, `X-Forwarded-Host`, and
//! `Forwarded`, RFC 7239.
//!
//! Each proxy adds the address that it was called from at the end of a list, so the list is read
//! from its end for as long as proxies are trusted; what a client writes stands before that.
//! `Forwarded` counts only where there is no `X-Forwarded-For`: most proxies write one of the two
//! and pass the other on as the client sent it.

use std::net::{IpAddr, SocketAddr};

/// The header fields of a request, as sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// X-Forwarded-For, all of them joined by commas.
    pub addresses: String,
    /// X-Forwarded-Host, the same.
    pub hosts: String,
    /// Forwarded, the same.
    pub elements: String,
}

impl Forwarded {
    /// Returns the client's address: the last one that is not a trusted proxy's, or the first of
    /// all. None when nothing is said or the last address cannot be read. The port is 0 where
    /// none is said.
    pub fn client(&self, is_proxy: impl Fn(IpAddr) -> bool) -> Option<SocketAddr> {
        let mut client = None;
        for node in self.nodes().into_iter().rev() {
            let Some(address) = node.and_then(address) else {
                break;
            };
            client = Some(address);
            if !is_proxy(address.ip()) {
                break;
            }
        }
        client
    }

    /// Returns the host that the client asked the last proxy for.
    pub fn host(&self) -> Option<&str> {
        let host = self.hosts.rsplit(',').next().map(str::trim);
        host.filter(|host| !host.is_empty()).or_else(|| {
            let last = parts(&self.elements, ',').pop()?;
            parameter(last, "host")
        })
    }

    /// The addresses from the first proxy to the last; None where one says nothing.
    fn nodes(&self) -> Vec<Option<&str>> {
        if !self.addresses.is_empty() {
            return self.addresses.split(',').map(Some).collect();
        }
        let elements = parts(&self.elements, ',').into_iter();
        elements.map(|element| parameter(element, "for")).collect()
    }
}

/// The value of a parameter of an element of `Forwarded`, without quotes.
fn parameter<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = parts(element, ';').into_iter();
    let value = pairs.find_map(|pair| {
        let (its, value) = pair.split_once('=')?;
        its.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })?;
    let quoted = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    Some(quoted.unwrap_or(value)).filter(|value| !value.is_empty())
}

/// The parts of `text` between separators that are not in quotes.
fn parts(text: &str, separator: char) -> Vec<&str> {
    let mut is_quoted = false;
    let split = text.split(|found: char| {
        is_quoted ^= found == '"';
        found == separator && !is_quoted
    });
    split.collect()
}

/// The address of a node: with a port or without, IPv6 in brackets or not.
fn address(node: &str) -> Option<SocketAddr> {
    let node = node.trim();
    let bare = node
        .strip_prefix('[')
        .and_then(|node| node.strip_suffix(']'));
    let ip: Result<IpAddr, _> = bare.unwrap_or(node).parse();
    let address = match ip {
        Ok(ip) => SocketAddr::new(ip, 0),
        Err(_) => node.parse().ok()?,
    };
    // Limits for addresses do not hold for 0.0.0.0 and ::.
    let is_somebody = !address.ip().to_canonical().is_unspecified();
    is_somebody.then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(addresses: &str, elements: &str) -> Option<String> {
        let forwarded = Forwarded {
            addresses: addresses.into(),
            elements: elements.into(),
            hosts: String::new(),
        };
        let is_proxy = |ip: IpAddr| ip.to_string().starts_with("10.");
        let client = forwarded.client(is_proxy);
        client.map(|client| client.to_string())
    }

    #[test]
    fn the_last_address_that_is_no_proxy_is_the_client() {
        for (addresses, wanted) in [
            ("203.0.113.7", Some("203.0.113.7:0")),
            ("1.1.1.1, 203.0.113.7", Some("203.0.113.7:0")),
            (
                "1.1.1.1,203.0.113.7 , 10.0.0.2,10.0.0.3",
                Some("203.0.113.7:0"),
            ),
            ("10.0.0.9, 10.0.0.2", Some("10.0.0.9:0")),
            ("203.0.113.7:4711", Some("203.0.113.7:4711")),
            ("2001:db8::1", Some("[2001:db8::1]:0")),
            ("[2001:db8::1]", Some("[2001:db8::1]:0")),
            ("[2001:db8::1]:4711", Some("[2001:db8::1]:4711")),
            ("203.0.113.7, unknown", None),
            ("203.0.113.7, unknown, 10.0.0.2", Some("10.0.0.2:0")),
            ("203.0.113.7,", None),
            ("0.0.0.0", None),
            ("::ffff:0.0.0.0", None),
            ("", None),
        ] {
            assert_eq!(client(addresses, "").as_deref(), wanted, "{addresses}");
        }
    }

    #[test]
    fn forwarded_counts_where_nothing_else_does() {
        let elements = "for=1.1.1.1, For=\"[2001:db8::1]:4711\";proto=https;by=10.0.0.1";
        assert_eq!(client("", elements).as_deref(), Some("[2001:db8::1]:4711"));
        assert_eq!(client("2.2.2.2", elements).as_deref(), Some("2.2.2.2:0"));
        for elements in ["for=_hidden", "for=1.1.1.1, proto=http", "for=", "for"] {
            assert_eq!(client("", elements), None, "{elements}");
        }
        let commas = "for=1.1.1.1;by=\"a,b;for=2.2.2.2\"";
        assert_eq!(client("", commas).as_deref(), Some("1.1.1.1:0"));
    }

    #[test]
    fn the_host_is_that_of_the_last_proxy() {
        let host = |hosts: &str, elements: &str| {
            let forwarded = Forwarded {
                hosts: hosts.into(),
                elements: elements.into(),
                addresses: String::new(),
            };
            forwarded.host().map(str::to_owned)
        };
        assert_eq!(host("tv.example", "").as_deref(), Some("tv.example"));
        assert_eq!(
            host("evil.example, tv.example:8443", "").as_deref(),
            Some("tv.example:8443")
        );
        let elements = "for=1.1.1.1;host=evil, for=2.2.2.2;host=\"tv.example:81\"";
        assert_eq!(host("", elements).as_deref(), Some("tv.example:81"));
        assert_eq!(host("a", elements).as_deref(), Some("a"));
        assert_eq!(host("", "for=1.1.1.1"), None);
    }
}
