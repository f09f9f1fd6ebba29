//! Where to connect to, as a URL: `SCHEME://HOST[:PORT]/PATH`.

use std::net::{SocketAddr, ToSocketAddrs};

/// What is spoken there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// RTMP.
    Rtmp,
    /// RTMP in TLS.
    Rtmps,
    /// HTTP without TLS.
    Http,
}

/// A URL whose host has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// As it was given, without slashes at its end.
    pub(crate) text: String,
    /// What is spoken there.
    pub(crate) scheme: Scheme,
    /// Host and port.
    pub(crate) host: String,
    /// The first address of the host.
    pub(crate) address: SocketAddr,
    /// What follows the host, without the slash: of streams the app.
    pub(crate) path: String,
}

impl Url {
    /// Reads `text`; None when it is no such URL or its host has no address.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim_end_matches('/');
        let (scheme, rest) = text.split_once("://")?;
        let (scheme, port) = match scheme {
            "rtmp" => (Scheme::Rtmp, 1_935),
            "rtmps" => (Scheme::Rtmps, 443),
            "http" => (Scheme::Http, 80),
            _ => return None,
        };
        let (host, path) = rest.split_once('/')?;
        let has_port = host.rsplit(':').next().is_some_and(|end| {
            host.contains(':') && !host.ends_with(']') && end.parse::<u16>().is_ok()
        });
        let host = match has_port {
            true => host.to_owned(),
            false => format!("{host}:{port}"),
        };
        Some(Self {
            text: text.to_owned(),
            scheme,
            address: host.to_socket_addrs().ok()?.next()?,
            host,
            path: path.to_owned(),
        })
    }

    /// The host without its port, as a certificate names it.
    pub(crate) fn name(&self) -> &str {
        let host = self.host.rsplit_once(':').map_or("", |(host, _)| host);
        host.trim_matches(['[', ']'])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_scheme_host_and_path() {
        for (text, scheme, address, name, path) in [
            (
                "rtmp://127.0.0.1:1936/live",
                Scheme::Rtmp,
                "127.0.0.1:1936",
                "127.0.0.1",
                "live",
            ),
            (
                "rtmp://127.0.0.1/a/b/",
                Scheme::Rtmp,
                "127.0.0.1:1935",
                "127.0.0.1",
                "a/b",
            ),
            ("rtmps://[::1]/x", Scheme::Rtmps, "[::1]:443", "::1", "x"),
            (
                "http://[::1]:8080/x",
                Scheme::Http,
                "[::1]:8080",
                "::1",
                "x",
            ),
            (
                "http://127.0.0.1/x",
                Scheme::Http,
                "127.0.0.1:80",
                "127.0.0.1",
                "x",
            ),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!(url.scheme, scheme, "{text}");
            assert_eq!(url.address, address.parse().unwrap(), "{text}");
            assert_eq!((url.name(), &*url.path), (name, path), "{text}");
        }
        for text in [
            "127.0.0.1/live",
            "rtmp://127.0.0.1",
            "rtmp:///x",
            "ws://127.0.0.1/x",
        ] {
            assert_eq!(Url::parse(text), None, "{text}");
        }
    }
}
