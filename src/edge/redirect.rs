//! Redirects: a server asks its client to go to another one. E-RTMP v2 "Reconnect Request" does so
//! with `tcUrl` in a status, servers of the field with `ex.redirect` (`ex.code` 302) in their
//! refusal of connect, play or publish.
//!
//! A server is a stranger: its redirect is followed only to hosts that the operator has named, see
//! [`Target::is_allowed`], and only so often in a row, see [`limits::REDIRECTS_MAX`].

use std::fmt;

use super::rule::Rule;
use super::upstream::{Place, Upstream, default_port, shown, split_authority};
use crate::limits;
use crate::rtmp::name::StreamName;

/// A server to connect to, and what to ask it for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Whether it is rtmps.
    pub tls: bool,
    /// A name, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// `host:port`, for logs.
    pub authority: String,
    /// What to ask for.
    pub place: Place,
}

/// A host that redirects may lead to, on one port or on any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost {
    host: String,
    port: Option<u16>,
}

/// Why a redirect is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectError {
    /// It is no URL of this protocol.
    Invalid,
    /// The operator has not named the host, or TLS would be given up.
    Denied,
    /// There were too many in a row.
    TooMany,
}

impl RedirectError {
    /// What the log says.
    pub fn words(self) -> &'static str {
        match self {
            Self::Invalid => "the redirect is no RTMP URL",
            Self::Denied => "the redirect leads to a server that is not allowed",
            Self::TooMany => "too many redirects in a row",
        }
    }
}

impl Target {
    /// Where the stream `name` is on a server of the operator's.
    pub fn of(server: &Upstream, name: &StreamName) -> Self {
        Self {
            tls: server.tls,
            host: server.host.clone(),
            port: server.port,
            authority: server.authority.clone(),
            place: server.place(name),
        }
    }

    /// Where the URL reference `to` leads from here; None when it is none that can be followed.
    /// A reference without scheme, host or path has them from here. The stream keeps its name,
    /// unless the last segment of the path is that name or, with `for_stream` (the redirect
    /// answers play or publish), the path has one segment more than the present app.
    pub fn resolve(&self, to: &str, for_stream: bool) -> Option<Self> {
        let is_plain = !to.chars().any(|c| c.is_control() || c.is_whitespace());
        if !is_plain || to.len() > limits::REDIRECT_BYTES_MAX {
            return None;
        }
        let (tls, rest) = match to.split_once("://") {
            Some(("rtmp", rest)) => (false, Some(rest)),
            Some(("rtmps", rest)) => (true, Some(rest)),
            Some((scheme, _)) if !scheme.contains(['/', '?']) => return None,
            _ => (self.tls, to.strip_prefix("//")),
        };
        let (host, port, tail) = match rest {
            Some(rest) => {
                let at = rest.find(['/', '?']).unwrap_or(rest.len());
                let (authority, tail) = rest.split_at(at);
                let (host, port) = split_authority(authority)?;
                (host, port.unwrap_or_else(|| default_port(tls)), tail)
            }
            None => (&*self.host, self.port, to),
        };
        let place = self.place_at(tail, rest.is_some(), for_stream);
        // A relative reference adds to the app, each time that one is followed.
        if place.app.len() > self.place.app.len().max(limits::REDIRECT_BYTES_MAX) {
            return None;
        }
        let authority = shown(host, port);
        let scheme = if tls { "rtmps" } else { "rtmp" };
        let tc_url = format!("{scheme}://{authority}/{}", place.app);
        Some(Self {
            tls,
            host: host.to_owned(),
            port,
            authority,
            place: Place { tc_url, ..place },
        })
    }

    /// App and stream that the path and query `tail` name; `tc_url` is left empty.
    fn place_at(&self, tail: &str, is_absolute: bool, for_stream: bool) -> Place {
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        let own = self.place.app.split('?').next().unwrap_or_default();
        let path = match (path.strip_prefix('/'), own.rsplit_once('/')) {
            (None, Some((folder, _))) if !is_absolute && !path.is_empty() => {
                format!("{folder}/{path}")
            }
            _ => path.trim_matches('/').to_owned(),
        };
        let stream = &self.place.stream;
        let with_query = |text: &str| match query {
            "" => text.to_owned(),
            query => format!("{text}?{query}"),
        };
        if path.is_empty() {
            return Place {
                app: self.place.app.clone(),
                tc_url: String::new(),
                stream: stream.clone(),
            };
        }
        let segments = |path: &str| path.split('/').count();
        if let Some((app, last)) = path.rsplit_once('/')
            && (Some(last) == stream.split('?').next()
                || for_stream && segments(&path) == segments(own) + 1)
        {
            return Place {
                app: app.to_owned(),
                tc_url: String::new(),
                stream: match (query, stream.split_once('?')) {
                    ("", Some((_, own_query))) => format!("{last}?{own_query}"),
                    _ => with_query(last),
                },
            };
        }
        Place {
            app: with_query(&path),
            tc_url: String::new(),
            stream: stream.clone(),
        }
    }

    /// Whether a redirect from a connection with TLS (`from_tls`) or without may lead here: to a
    /// host of the operator's `rules` or one that is `allowed`, and not from TLS to plain.
    pub fn is_allowed<'a>(
        &self,
        from_tls: bool,
        mut rules: impl Iterator<Item = &'a Rule>,
        allowed: &[AllowedHost],
    ) -> bool {
        if from_tls && !self.tls {
            return false;
        }
        let is_it = |host: &str| host.eq_ignore_ascii_case(&self.host);
        rules.any(|rule| rule.servers.iter().any(|server| is_it(&server.host)))
            || allowed.iter().any(|allowed| {
                is_it(&allowed.host) && allowed.port.is_none_or(|port| port == self.port)
            })
    }
}

impl AllowedHost {
    /// Reads `HOST[:PORT]`; None when it is not that.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = split_authority(text)?;
        Some(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.port, self.host.contains(':')) {
            (Some(port), _) => f.write_str(&shown(&self.host, port)),
            (None, true) => write!(f, "[{}]", self.host),
            (None, false) => f.write_str(&self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(url: &str) -> Target {
        let name = StreamName {
            app: "live".to_owned(),
            stream: "cam".to_owned(),
            query: "token=1".to_owned(),
        };
        Target::of(&Upstream::parse(url).unwrap(), &name)
    }

    #[track_caller]
    fn check(to: &str, for_stream: bool, tc_url: &str, stream: &str) {
        let target = from("rtmp://h:7/live?{query}").resolve(to, for_stream);
        let place = target.expect(to).place;
        assert_eq!((&*place.tc_url, &*place.stream), (tc_url, stream), "{to}");
    }

    #[test]
    fn references_are_resolved_against_the_connection() {
        check("rtmp://b", false, "rtmp://b:1935/live", "cam?token=1");
        check("rtmp://b:8/x", false, "rtmp://b:8/x", "cam?token=1");
        check("rtmps://b/x/y", false, "rtmps://b:443/x/y", "cam?token=1");
        check(
            "//192.0.2.0/x",
            false,
            "rtmp://192.0.2.0:1935/x",
            "cam?token=1",
        );
        check("/x", false, "rtmp://h:7/x", "cam?token=1");
        check("x", false, "rtmp://h:7/x", "cam?token=1");
        check("", false, "rtmp://h:7/live", "cam?token=1");
        check(
            "rtmp://b/x?k=2",
            false,
            "rtmp://b:1935/x?k=2",
            "cam?token=1",
        );
        check("rtmp://[::1]:8/x", false, "rtmp://[::1]:8/x", "cam?token=1");
    }

    #[test]
    fn a_redirect_may_name_the_stream_as_well() {
        check(
            "rtmp://b/live/cam",
            false,
            "rtmp://b:1935/live",
            "cam?token=1",
        );
        check(
            "rtmp://b/live/cam?k=2",
            true,
            "rtmp://b:1935/live",
            "cam?k=2",
        );
        check("rtmp://b/live/hd", true, "rtmp://b:1935/live", "hd?token=1");
        check(
            "rtmp://b/live/hd",
            false,
            "rtmp://b:1935/live/hd",
            "cam?token=1",
        );
    }

    #[test]
    fn what_is_no_reference_is_not_followed() {
        let long = format!("rtmp://b/{}", "x".repeat(limits::REDIRECT_BYTES_MAX));
        for to in [
            "http://b/live",
            "rtmp://",
            "rtmp:///x",
            "rtmp://u:p@b/x",
            "rtmp://b:0/x",
            "rtmp://b/a b",
            "rtmp://b/a\n",
            &long,
        ] {
            assert_eq!(from("rtmp://h").resolve(to, true), None, "{to}");
        }
    }

    #[test]
    fn regression_relative_references_add_no_end_of_folders() {
        let mut target = from("rtmp://h/live/{stream}");
        let mut followed = 0;
        while let Some(next) = target.resolve("folder/folder/folder", false) {
            target = next;
            followed += 1;
            assert!(
                followed <= limits::REDIRECT_BYTES_MAX,
                "{}",
                target.place.app.len()
            );
        }
        assert!(followed > 3 && target.place.app.len() <= limits::REDIRECT_BYTES_MAX);
        assert!(
            target.resolve("/live", false).is_some(),
            "others are followed"
        );
    }

    #[test]
    fn only_hosts_that_the_operator_names_are_allowed() {
        let rules = ["rtmp://a:7,rtmps://b", "live=rtmp://[::1]"];
        let rules = rules.map(|text| Rule::parse(text).unwrap());
        let allowed = ["c:8", "d"].map(|text| AllowedHost::parse(text).unwrap());
        let is_allowed = |start: &str, to: &str| {
            let start = from(start);
            let target = start.resolve(to, false).unwrap();
            target.is_allowed(start.tls, rules.iter(), &allowed)
        };
        for to in [
            "rtmp://A:9/x",
            "rtmp://[::1]:5",
            "rtmp://c:8",
            "rtmp://d:1/x",
        ] {
            assert!(is_allowed("rtmp://a", to), "{to}");
        }
        for to in ["rtmp://c", "rtmp://e:7", "rtmp://127.0.0.1:7"] {
            assert!(!is_allowed("rtmp://a", to), "{to}");
        }
        assert!(is_allowed("rtmps://b", "rtmps://a/x"));
        assert!(!is_allowed("rtmps://b", "rtmp://a/x"), "TLS is given up");
    }

    #[test]
    fn allowed_hosts_read_as_they_are_written() {
        for text in ["a", "a.example:1935", "[::1]", "[::1]:7", "192.0.2.1"] {
            assert_eq!(AllowedHost::parse(text).unwrap().to_string(), text);
        }
        for text in ["", ":1935", "a:", "a:0", "rtmp://a", "a/b", "::1"] {
            assert_eq!(AllowedHost::parse(text), None, "{text}");
        }
    }
}
