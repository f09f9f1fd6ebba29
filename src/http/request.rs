//! The head of a request, checked. RFC 9112 §2 to §6; RFC 6455 §4.2.1.
//!
//! Whatever two readers could understand differently is refused: bare line feeds, NUL, folded
//! lines, a second Host or Content-Length, any Transfer-Encoding. A request with a body is refused
//! as well, since nothing here takes one.

use std::fmt;

use super::forwarded::Forwarded;
use crate::limits;

/// What is asked to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// GET without the body.
    Head,
    /// PUT, without a body.
    Put,
    /// DELETE.
    Delete,
    /// OPTIONS: what a browser asks before it asks across origins.
    Options,
    /// One that nothing here knows.
    Other,
}

/// A request without a body.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// What is to be done.
    pub method: Method,
    /// The path as sent, `/` first, escapes and all.
    pub path: String,
    /// What followed `?`, without it. It may hold secrets.
    pub query: String,
    /// Host; empty where HTTP/1.0 has none.
    pub host: String,
    /// Origin: the page that asks, if a browser says so.
    pub origin: Option<String>,
    /// Accept: the media types that the client takes.
    pub accept: String,
    /// Authorization. A secret.
    pub authorization: Option<String>,
    /// User-Agent, cut to [`limits::USER_AGENT_CHARS`].
    pub user_agent: String,
    /// Sec-WebSocket-Key of a request to speak WebSocket.
    pub websocket_key: Option<String>,
    /// The first subprotocol that it offers: of Sec-WebSocket-Protocol.
    pub websocket_protocol: Option<String>,
    /// Sec-Fetch-Site: where the page that asks is, if a browser says so.
    pub fetch_site: Option<String>,
    /// Access-Control-Request-Headers: what a page of another origin wants to send.
    pub wanted_fields: String,
    /// What proxies say of the client; for who has sent it to decide whether that is believed.
    pub forwarded: Forwarded,
    /// The connection may be used for another request.
    pub keep_alive: bool,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({:?} {:?})", self.method, self.path)
    }
}

/// A request that is answered with an error, and then the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The status code.
    pub status: u16,
    /// What is wrong with it.
    pub why: &'static str,
}

const fn refused(status: u16, why: &'static str) -> Refused {
    Refused { status, why }
}

const LINE_TOO_LONG: Refused = refused(414, "the request line is too long");
const HEAD_TOO_LONG: Refused = refused(431, "the header fields are too long or too many");

/// The request that `input` begins with and how many bytes it has; None when its head is not
/// whole. A head is at most [`limits::HTTP_HEAD_BYTES_MAX`] long.
///
/// # Errors
/// It is refused.
pub fn parse(input: &[u8]) -> Result<Option<(Request, usize)>, Refused> {
    check_bytes(input)?;
    let mut fields = [httparse::EMPTY_HEADER; limits::HTTP_FIELDS_MAX];
    let mut head = httparse::Request::new(&mut fields);
    let parsed = head.parse(input).map_err(|error| match error {
        httparse::Error::TooManyHeaders => HEAD_TOO_LONG,
        httparse::Error::Version => refused(505, "only HTTP/1.0 and HTTP/1.1 are spoken here"),
        _ => refused(400, "this is no HTTP request"),
    })?;
    let httparse::Status::Complete(len) = parsed else {
        return if input.len() >= limits::HTTP_HEAD_BYTES_MAX {
            Err(HEAD_TOO_LONG)
        } else {
            Ok(None)
        };
    };
    if len > limits::HTTP_HEAD_BYTES_MAX {
        return Err(HEAD_TOO_LONG);
    }
    let is_1_1 = head.version == Some(1);
    let mut fields = Fields::read(head.headers)?;
    let (host, path, query) = target(head.path.unwrap_or_default())?;
    // That of a proxy's request counts, whatever the field says. RFC 9112 §3.2.2.
    fields.host = fields.host.filter(|host| !host.is_empty());
    fields.host = fields.host.map(|its| host.unwrap_or(its));
    if fields.host.is_none() && is_1_1 {
        return Err(refused(400, "there is no Host"));
    }
    let keep_alive = match fields.connection.as_str() {
        connection if has_token(connection, "close") => false,
        connection if has_token(connection, "keep-alive") => true,
        _ => is_1_1,
    };
    let upgrades = is_1_1
        && has_token(&fields.connection, "upgrade")
        && has_token(&fields.upgrade, "websocket");
    let websocket_key = match (upgrades, fields.websocket_key) {
        (false, _) => None,
        (true, Some(key)) if fields.websocket_version == "13" => Some(key),
        (true, Some(_)) => return Err(refused(426, "only version 13 of WebSocket is spoken here")),
        (true, None) => return Err(refused(400, "there is no Sec-WebSocket-Key")),
    };
    let request = Request {
        method: method(head.method.unwrap_or_default()),
        path,
        query,
        host: fields.host.unwrap_or_default(),
        origin: fields.origin,
        accept: fields.accept,
        authorization: fields.authorization,
        user_agent: fields.user_agent,
        websocket_key,
        websocket_protocol: first_token(&fields.websocket_protocols),
        fetch_site: fields.fetch_site,
        wanted_fields: fields.wanted_fields,
        forwarded: fields.forwarded,
        keep_alive,
    };
    Ok(Some((request, len)))
}

/// What the parser would let pass, or find only at the end: NUL, a line feed alone, a request
/// line that does not end.
fn check_bytes(input: &[u8]) -> Result<(), Refused> {
    let mut before = 0;
    let mut is_first_line = true;
    for (at, &byte) in input.iter().enumerate() {
        match byte {
            0 => return Err(refused(400, "there is a NUL")),
            b'\n' if before != b'\r' => return Err(refused(400, "a line feed stands alone")),
            b'\n' => is_first_line = false,
            _ => {}
        }
        if is_first_line && at >= limits::HTTP_LINE_BYTES_MAX {
            return Err(LINE_TOO_LONG);
        }
        if before == b'\n' && byte == b'\r' {
            // The head ends here; what follows is another request.
            return Ok(());
        }
        before = byte;
    }
    Ok(())
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        _ => Method::Other,
    }
}

/// Path and query of a request target: origin form, or absolute form, which servers have to
/// take, RFC 9112 §3.2.2.
fn target(target: &str) -> Result<(Option<String>, String, String), Refused> {
    let (host, origin_form) = match target.split_once("://") {
        Some(("http" | "https", rest)) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            (
                Some(host.to_owned()),
                if path.is_empty() { "/" } else { path },
            )
        }
        _ => (None, target),
    };
    if !origin_form.starts_with('/') {
        return Err(refused(400, "the target is no path"));
    }
    let (path, query) = origin_form.split_once('?').unwrap_or((origin_form, ""));
    Ok((host, path.to_owned(), query.to_owned()))
}

/// Whether `list`, comma-separated, has `token`, in any case.
fn has_token(list: &str, token: &str) -> bool {
    list.split(',')
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}

/// The first entry of a list that is a token, RFC 9110 §5.6.2, and not too long to be answered.
fn first_token(list: &str) -> Option<String> {
    let mut entries = list.split(',').map(str::trim);
    let token =
        entries.find(|entry| is_token(entry) && entry.len() <= limits::SUBPROTOCOL_BYTES)?;
    Some(token.to_owned())
}

/// Whether this is a token, RFC 9110 §5.6.2.
pub fn is_token(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_part)
}

/// The header fields that matter.
#[derive(Default)]
struct Fields {
    host: Option<String>,
    origin: Option<String>,
    accept: String,
    authorization: Option<String>,
    user_agent: String,
    connection: String,
    upgrade: String,
    websocket_key: Option<String>,
    websocket_version: String,
    websocket_protocols: String,
    fetch_site: Option<String>,
    wanted_fields: String,
    forwarded: Forwarded,
}

impl Fields {
    fn read(headers: &[httparse::Header<'_>]) -> Result<Self, Refused> {
        let mut fields = Self::default();
        let mut has_length = false;
        for header in headers {
            let name = header.name.to_ascii_lowercase();
            let text = || String::from_utf8_lossy(header.value).trim().to_owned();
            match name.as_str() {
                "host" if fields.host.is_some() => {
                    return Err(refused(400, "there is more than one Host"));
                }
                "host" => fields.host = Some(text()),
                "content-length" if has_length || text() != "0" => {
                    return Err(refused(400, "a request here has no body"));
                }
                "content-length" => has_length = true,
                "transfer-encoding" => {
                    return Err(refused(400, "a request here has no body"));
                }
                "origin" => fields.origin = Some(text()),
                "accept" => join(&mut fields.accept, &text()),
                "authorization" => fields.authorization = Some(text()),
                "user-agent" => {
                    fields.user_agent = text().chars().take(limits::USER_AGENT_CHARS).collect();
                }
                "connection" => join(&mut fields.connection, &text()),
                "upgrade" => join(&mut fields.upgrade, &text()),
                "sec-websocket-key" => fields.websocket_key = Some(text()),
                "sec-websocket-version" => fields.websocket_version = text(),
                "sec-websocket-protocol" => join(&mut fields.websocket_protocols, &text()),
                "sec-fetch-site" => fields.fetch_site = Some(text()),
                "access-control-request-headers" => join(&mut fields.wanted_fields, &text()),
                "x-forwarded-for" => join(&mut fields.forwarded.addresses, &text()),
                "x-forwarded-host" => join(&mut fields.forwarded.hosts, &text()),
                "forwarded" => join(&mut fields.forwarded.elements, &text()),
                _ => {}
            }
        }
        Ok(fields)
    }
}

fn join(list: &mut String, more: &str) {
    if !list.is_empty() {
        list.push(',');
    }
    list.push_str(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Request {
        let (request, len) = parse(text.as_bytes()).unwrap().expect("it is whole");
        assert_eq!(len, text.len());
        request
    }

    #[track_caller]
    fn check_refused(text: &str, status: u16) {
        match parse(text.as_bytes()) {
            Err(refused) => assert_eq!(refused.status, status, "{text:?}: {}", refused.why),
            Ok(other) => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn a_request_is_read_and_what_follows_is_left() {
        let text = "GET /live/cam.flv?token=1 HTTP/1.1\r\nHost: a\r\nUser-Agent: curl\r\n\r\nGET";
        let (request, len) = parse(text.as_bytes()).unwrap().unwrap();
        assert_eq!(len, text.len() - 3);
        assert_eq!(request.method, Method::Get);
        assert_eq!(
            (request.path.as_str(), request.query.as_str()),
            ("/live/cam.flv", "token=1")
        );
        assert_eq!(request.user_agent, "curl");
        assert!(request.keep_alive && request.websocket_key.is_none());
        for cut in 1..len {
            assert_eq!(parse(&text.as_bytes()[..cut]), Ok(None), "{cut}");
        }
    }

    #[test]
    fn connections_are_kept_as_the_version_says_unless_the_client_does() {
        assert!(!whole("GET / HTTP/1.0\r\n\r\n").keep_alive);
        assert!(whole("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keep_alive);
        assert!(!whole("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").keep_alive);
    }

    #[test]
    fn the_host_of_an_absolute_target_counts() {
        let host = |target: &str, field: &str| {
            whole(&format!("GET {target} HTTP/1.1\r\nHost: {field}\r\n\r\n")).host
        };
        assert_eq!(host("/live/cam.flv", "a"), "a");
        assert_eq!(host("http://evil:80/live/cam.flv", "a"), "evil:80");
        assert_eq!(host("http://evil", "a"), "evil");
        check_refused("GET / HTTP/1.1\r\nHost: \r\n\r\n", 400);
        check_refused("GET http://a/ HTTP/1.1\r\n\r\n", 400);
    }

    #[test]
    fn targets_may_be_absolute() {
        let path = |target: &str| whole(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).path;
        assert_eq!(path("http://a:80/live/cam.flv"), "/live/cam.flv");
        assert_eq!(path("http://a"), "/");
        check_refused("GET live/cam HTTP/1.1\r\nHost: a\r\n\r\n", 400);
        check_refused("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    }

    #[test]
    fn a_request_to_speak_websocket_has_a_key_and_version_13() {
        let ask = |more: &str| {
            format!(
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n\
                 Upgrade: websocket\r\n{more}\r\n"
            )
        };
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let request = whole(&ask(&format!("{key}Sec-WebSocket-Version: 13\r\n")));
        assert_eq!(
            request.websocket_key.as_deref(),
            Some("dGhlIHNhbXBsZSBub25jZQ==")
        );
        check_refused(&ask(&format!("{key}Sec-WebSocket-Version: 8\r\n")), 426);
        check_refused(&ask("Sec-WebSocket-Version: 13\r\n"), 400);
    }

    #[test]
    fn the_first_subprotocol_that_is_one_is_taken() {
        let protocol = |fields: &str| {
            whole(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).websocket_protocol
        };
        let long = "x".repeat(limits::SUBPROTOCOL_BYTES + 1);
        for (fields, wanted) in [
            ("", None),
            ("Sec-WebSocket-Protocol: flv\r\n", Some("flv")),
            ("Sec-WebSocket-Protocol: flv.v1, mse\r\n", Some("flv.v1")),
            (
                "Sec-WebSocket-Protocol: a b, ,\"c\"\r\nSec-WebSocket-Protocol: d\r\n",
                Some("d"),
            ),
            (&format!("Sec-WebSocket-Protocol: {long}\r\n"), None),
        ] {
            assert_eq!(protocol(fields).as_deref(), wanted, "{fields}");
        }
    }

    #[test]
    fn what_can_be_understood_in_two_ways_is_refused() {
        for fields in [
            "Content-Length: 5\r\n",
            "Content-Length: 0\r\nContent-Length: 0\r\n",
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Host: b\r\n",
            "A: b\r\n c\r\n",
            "A: b\nC: d\r\n",
            "A: b\0\r\n",
            "A b\r\n",
        ] {
            check_refused(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"), 400);
        }
        check_refused("GET / HTTP/1.1\r\n\r\n", 400);
        check_refused("GET / HTTP/1.1\nHost: a\n\n", 400);
        check_refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
        check_refused("\0", 400);
    }

    #[test]
    fn lines_heads_and_fields_are_bounded() {
        let long = "a".repeat(limits::HTTP_LINE_BYTES_MAX);
        check_refused(&format!("GET /{long}"), 414);
        let fields = "A: b\r\n".repeat(limits::HTTP_FIELDS_MAX);
        check_refused(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"), 431);
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {long}\r\nB: {long}");
        check_refused(&head, 431);
        check_refused(&format!("{head}\r\n\r\n"), 431);
    }

    #[test]
    fn secrets_are_not_in_what_is_printed() {
        let request =
            whole("GET /a?key=s3cret HTTP/1.1\r\nHost: a\r\nAuthorization: s3cret\r\n\r\n");
        assert!(!format!("{request:?}").contains("s3cret"));
    }
}
