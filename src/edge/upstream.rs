//! Another server, as the operator names it: a URL with places for what differs from stream to
//! stream.
//!
//! ```text
//!   rtmp://origin.example                        the same app and stream there
//!   rtmp://origin.example:1936/live              app `live`, the same stream
//!   rtmps://platform.example/app/KEY             this place and no other, whatever the stream
//!   rtmps://origin.example/{app}/{stream}?{query}   and what the player has behind its `?`
//!   rtmp://platform.example/app/?name=N&key=K    app `app`, the stream `?name=N&key=K`
//! ```
//!
//! `USER:PASSWORD@` may stand before the host. It is in nothing that is shown or sent.
//!
//! Resolving the host, and dialling, are others' work.

use std::borrow::Cow;
use std::fmt;

use crate::rtmp::name::StreamName;

/// The port of rtmp:// and of rtmps:// when none is given.
const PORT: u16 = 1935;
const PORT_TLS: u16 = 443;

/// See the module text.
#[derive(Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Whether it is rtmps.
    pub tls: bool,
    /// A name, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// `host:port`, what the server is called in logs and sorted by.
    pub authority: String,
    /// The path without its first slash, with places for `{app}` and `{stream}`; two segments or
    /// more.
    path: String,
    /// What follows `?`, which may have a place for `{query}` too.
    query: String,
    /// Whether the stream has no name there but its query.
    is_query_only: bool,
    /// As it was given, with `***` for user and password.
    text: String,
    /// Whether a user was given.
    pub has_user: bool,
}

/// Stands for user and password where a URL is shown.
const HIDDEN_USER: &str = "***";

/// What to ask a server for.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    /// The app.
    pub app: String,
    /// `rtmp://host:port/app`.
    pub tc_url: String,
    /// The stream, with its query.
    pub stream: String,
}

impl Upstream {
    /// Reads a URL; None when it is not one, or leaves nothing to tell streams apart by.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let tls = match scheme {
            "rtmp" => false,
            "rtmps" => true,
            _ => return None,
        };
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(at);
        let (user, authority) = match authority.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, authority),
        };
        // One that was hidden for being shown is no longer there.
        if user.is_some_and(|user| user.is_empty() || user == HIDDEN_USER || !is_plain(user)) {
            return None;
        }
        let (host, port) = split_authority(authority)?;
        let port = port.unwrap_or_else(|| default_port(tls));
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        let has_name = !path.ends_with('/') || path.contains("{stream}");
        let path = path.trim_matches('/');
        let is_query_only =
            !(has_name || path.is_empty() || query.is_empty() || query.contains("{query}"));
        if !is_plain(tail) || !known_places(path, &["app", "stream"]) {
            return None;
        }
        if !known_places(query, &["app", "stream", "query"]) {
            return None;
        }
        let path = match path {
            "" => "{app}/{stream}".to_owned(),
            path if is_query_only => format!("{path}/"),
            path if path.contains("{stream}") || path.contains('/') => path.to_owned(),
            path => format!("{path}/{{stream}}"),
        };
        // An app of its own has to be left over.
        path.split_once('/')?;
        Some(Self {
            tls,
            host: host.to_owned(),
            port,
            authority: shown(host, port),
            path,
            query: query.to_owned(),
            is_query_only,
            text: match user {
                Some(_) => format!("{scheme}://{HIDDEN_USER}@{authority}{tail}"),
                None => text.to_owned(),
            },
            has_user: user.is_some(),
        })
    }

    /// What it is called where everybody may look: its authority and app. Of a path only the
    /// first segment is shown, for platforms have their keys in what follows, and of a query
    /// nothing; nor are places to be filled in.
    pub fn label(&self) -> String {
        match self.path.split_once('/') {
            Some((app, _)) if !app.contains('{') => format!("{}/{app}", self.authority),
            _ => self.authority.clone(),
        }
    }

    /// Whether it is given what a player has behind its `?`.
    pub fn takes_query(&self) -> bool {
        self.query.contains("{query}")
    }

    /// Whether all streams are one and the same there.
    pub fn is_fixed(&self) -> bool {
        let name = if self.is_query_only {
            &self.query
        } else {
            &self.path
        };
        !name.contains("{stream}")
    }

    /// What the stream `name` is called there.
    pub fn place(&self, name: &StreamName) -> Place {
        let path = fill(&self.path, name);
        let (app, stream) = path.rsplit_once('/').unwrap_or(("", &path));
        // A stream of one segment has no app to put in.
        let app = app.trim_matches('/');
        let query = fill(&self.query, name);
        // A place that nothing was put into may leave a separator behind.
        let query = match self.is_query_only {
            true => &query,
            false => query.trim_matches('&'),
        };
        let scheme = if self.tls { "rtmps" } else { "rtmp" };
        Place {
            app: app.to_owned(),
            tc_url: format!("{scheme}://{}/{app}", self.authority),
            stream: match query {
                "" => stream.to_owned(),
                query => format!("{stream}?{query}"),
            },
        }
    }
}

impl fmt::Display for Upstream {
    /// As it was given, without user and password; what else may be secret in it is shown only
    /// where the operator asks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upstream({}/{})", self.authority, self.path)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stream = self.stream.split('?').next().unwrap_or_default();
        write!(f, "Place({}/{stream})", self.tc_url)
    }
}

/// `text` with what the stream `name` has put into its places, and left alone there.
fn fill(text: &str, name: &StreamName) -> String {
    let places = [
        ("{app}", &name.app),
        ("{stream}", &name.stream),
        ("{query}", &name.query),
    ];
    let mut filled = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        filled.push_str(before);
        let place = places.iter().find(|(place, _)| from.starts_with(place));
        let (value, len) = place.map_or(("{", 1), |(place, value)| (value.as_str(), place.len()));
        filled.push_str(value);
        rest = &from[len..];
    }
    filled.push_str(rest);
    filled
}

/// The port of a URL that has none.
pub(super) fn default_port(tls: bool) -> u16 {
    if tls { PORT_TLS } else { PORT }
}

/// `host:port`, an IPv6 address in brackets.
pub(super) fn shown(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Host and port; an IPv6 address stands in brackets.
pub fn split_authority(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        match rest {
            "" => (host, None),
            rest => (host, Some(rest.strip_prefix(':')?)),
        }
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let is_of_host = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    if host.is_empty() || host.len() > 253 || !host.chars().all(is_of_host) {
        return None;
    }
    match port {
        Some(port) => match port.parse() {
            Ok(0) | Err(_) => None,
            Ok(port) => Some((host, Some(port))),
        },
        None => Some((host, None)),
    }
}

/// `text`, which is to be a URL or a rule and may be none, without what may be a user and
/// password in it.
pub fn without_user(text: &str) -> Cow<'_, str> {
    match (text.find("://"), text.rfind('@')) {
        (Some(before), Some(after)) if before < after => {
            let (before, after) = (&text[..before + 3], &text[after..]);
            format!("{before}{HIDDEN_USER}{after}").into()
        }
        _ => text.into(),
    }
}

fn is_plain(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// Whether every brace in `text` belongs to one of `places`.
fn known_places(text: &str, places: &[&str]) -> bool {
    let mut rest = text.to_owned();
    for place in places {
        rest = rest.replace(&format!("{{{place}}}"), "");
    }
    !rest.contains(['{', '}'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> StreamName {
        StreamName {
            app: "live/room".to_owned(),
            stream: "cam".to_owned(),
            query: "token=1".to_owned(),
        }
    }

    #[track_caller]
    fn check(url: &str, tc_url: &str, stream: &str) {
        let place = Upstream::parse(url).expect(url).place(&name());
        assert_eq!(
            (place.tc_url.as_str(), place.stream.as_str()),
            (tc_url, stream)
        );
    }

    #[test]
    fn a_stream_has_its_place_on_another_server() {
        check("rtmp://h", "rtmp://h:1935/live/room", "cam");
        check("rtmp://h/", "rtmp://h:1935/live/room", "cam");
        check("rtmp://h:7/other", "rtmp://h:7/other", "cam");
        check("rtmp://h:7/a/b/", "rtmp://h:7/a", "b");
        check("rtmps://h/app/KEY?x=1", "rtmps://h:443/app", "KEY?x=1");
        check("rtmp://h/a/b/{stream}", "rtmp://h:1935/a/b", "cam");
        assert!(Upstream::parse("rtmp://h/a/b").unwrap().is_fixed());
        assert!(!Upstream::parse("rtmp://h/a").unwrap().is_fixed());
        check(
            "rtmps://h/x/{app}-{stream}",
            "rtmps://h:443/x/live",
            "room-cam",
        );
        check(
            "rtmp://[::1]:8/{app}/{stream}",
            "rtmp://[::1]:8/live/room",
            "cam",
        );
    }

    #[test]
    fn the_query_goes_along_only_when_it_is_asked_for() {
        check("rtmp://h?{query}", "rtmp://h:1935/live/room", "cam?token=1");
        check(
            "rtmp://h/a/{stream}?k=2&{query}",
            "rtmp://h:1935/a",
            "cam?k=2&token=1",
        );
        check("rtmp://h/a?k=2", "rtmp://h:1935/a", "cam?k=2");
        let mut quiet = name();
        quiet.query.clear();
        let upstream = Upstream::parse("rtmp://h?{query}").unwrap();
        assert_eq!(upstream.place(&quiet).stream, "cam");
    }

    #[test]
    fn a_key_may_be_a_query_alone() {
        check(
            "rtmp://h/live-bvc/?streamname=N&key=K&pflag=1",
            "rtmp://h:1935/live-bvc",
            "?streamname=N&key=K&pflag=1",
        );
        check("rtmp://h/a/b/?name=x", "rtmp://h:1935/a/b", "?name=x");
        check("rtmp://h/{app}/?n=x", "rtmp://h:1935/live/room", "?n=x");
        check("rtmp://h/a/?n={stream}", "rtmp://h:1935/a", "?n=cam");
        // Where there is a name, the query stands behind it.
        check("rtmp://h/a/b?k=2", "rtmp://h:1935/a", "b?k=2");
        check("rtmp://h/?k=2", "rtmp://h:1935/live/room", "cam?k=2");
        check("rtmp://h/a/?{query}", "rtmp://h:1935/a", "cam?token=1");
        check("rtmp://h/a/{stream}/?k=2", "rtmp://h:1935/a", "cam?k=2");
        let is_fixed = |url: &str| Upstream::parse(url).unwrap().is_fixed();
        assert!(is_fixed("rtmp://h/a/?n=x") && !is_fixed("rtmp://h/a/?n={stream}"));
    }

    #[test]
    fn what_is_filled_in_is_no_place_itself() {
        let name = StreamName {
            app: "{stream}".to_owned(),
            stream: "{query}".to_owned(),
            query: "{app}".to_owned(),
        };
        let place = Upstream::parse("rtmp://h?{query}").unwrap().place(&name);
        assert_eq!(place.app, "{stream}");
        assert_eq!(place.stream, "{query}?{app}");
    }

    #[test]
    fn what_is_no_such_url_is_refused() {
        for url in [
            "",
            "h",
            "h/live",
            "http://h/live",
            "rtmp://",
            "rtmp:///live",
            "rtmp://h:0/a",
            "rtmp://h:65536/a",
            "rtmp://h:x",
            "rtmp://h/{name}",
            "rtmp://h/{app",
            "rtmp://h/a}",
            "rtmp://@h/live",
            "rtmp://***@h/live",
            "rtmp://u:p q@h/live",
            "rtmp://u:p@/live",
            "rtmp://h@/live",
            "rtmp://h/a/?key={key}",
            "rtmp://[::1/live",
            "rtmp://[nothing]/live",
            "rtmp://::1/live",
            "rtmp://h/a b",
            "rtmp://h/a\n",
            "rtmp://h/{stream}",
            "rtmp://h/{query}/a",
        ] {
            assert!(Upstream::parse(url).is_none(), "{url:?}");
        }
    }

    #[test]
    fn a_label_has_the_server_and_the_app_and_never_a_key() {
        for (url, label) in [
            ("rtmp://h", "h:1935"),
            ("rtmp://h/live", "h:1935/live"),
            ("rtmp://h/live/?k=SECRET", "h:1935/live"),
            ("rtmp://h/{app}/?k=SECRET", "h:1935"),
            ("rtmp://SECRET:SECRET@h:7/live/SECRET", "h:7/live"),
            ("rtmp://h?k=SECRET&{query}", "h:1935"),
            ("rtmps://h:8/app/SECRET", "h:8/app"),
            ("rtmp://h/app/SECRET/", "h:1935/app"),
            ("rtmp://h/app/room/SECRET?k=SECRET", "h:1935/app"),
            ("rtmp://h/app/SECRET/{stream}", "h:1935/app"),
            ("rtmp://h//app/SECRET", "h:1935/app"),
            ("rtmp://[::1]/{app}/SECRET-{stream}", "[::1]:1935"),
        ] {
            let upstream = Upstream::parse(url).expect(url);
            assert_eq!(upstream.label(), label, "{url}");
        }
    }

    #[test]
    fn secrets_are_not_shown_by_accident() {
        let upstream = Upstream::parse("rtmp://h/a?key=secret&{query}").unwrap();
        assert!(!format!("{upstream:?}{:?}", upstream.place(&name())).contains("secret"));
        assert!(!format!("{:?}", upstream.place(&name())).contains("token"));
        assert_eq!(upstream.to_string(), "rtmp://h/a?key=secret&{query}");
    }

    #[test]
    fn user_and_password_are_taken_and_nowhere_shown() {
        let url = "rtmps://secret@user.example:sec%2Fret@[::1]:7/app/key";
        let upstream = Upstream::parse(url).unwrap();
        assert_eq!((upstream.host.as_str(), upstream.port), ("::1", 7));
        assert!(upstream.has_user && !Upstream::parse("rtmp://h/a").unwrap().has_user);
        assert_eq!(upstream.to_string(), "rtmps://***@[::1]:7/app/key");
        check(url, "rtmps://[::1]:7/app", "key");
        let place = upstream.place(&name());
        let shown = format!("{upstream}{upstream:?}{place:?}{}", upstream.label());
        assert!(!shown.contains("sec"), "{shown}");
        for text in [
            "rtmp://a/x,rtmp://u:p/w@h/a",
            "x=rtmp://u:p@:7/a",
            "rtmp://u:p,w@h",
        ] {
            let shown = without_user(text);
            assert!(shown.contains("***@") && !shown.contains("u:p"), "{shown}");
        }
        assert_eq!(without_user("rtmp://h/a"), "rtmp://h/a");
    }
}
