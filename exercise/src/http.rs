//! Fuzz entry of an HTTP connection: takes any bytes and panics where something is wrong. The
//! target in fuzz/ and the tests drive it; the relay does not.
//!
//! ```text
//!   flags | number of cuts | cuts, two bytes each ... | what the peer sends
//! ```
//!
//! What the peer sends is read in one piece, in the pieces of the cuts, and byte by byte if it is
//! short; all have to tell the same. Paths that end in `.flv` are answered with a stream, all
//! others with a line.
//!
//! Asserted besides: what is held is bounded, what is said stays within a multiple of what came,
//! no input is left unread; and of each request, that its fields are within their limits and have
//! no line breaks, and what the relay makes of its path, of its proxies and of its page.

use std::net::IpAddr;

use tailwater::http::HttpError;
use tailwater::http::origin;
use tailwater::http::path;
use tailwater::http::request::{Request, is_token};
use tailwater::http::response::Response;
use tailwater::http::session::HttpSession;
use tailwater::limits;

/// Flag: a stream goes out over WebSocket before the input begins.
pub const WEBSOCKET: u8 = 0x01;
/// Flag: requests are answered when all of the input has come, and not at once.
pub const LATE: u8 = 0x02;

/// The request behind [`WEBSOCKET`].
const UPGRADE: &[u8] = b"GET /live/cam.flv HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Input that is read byte by byte as well, at most.
const SHORT: usize = 512;

/// What an input came to, so that a test can see that its seeds get anywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Requests that were given.
    pub requests: Vec<Request>,
    /// What was said.
    pub said: Vec<u8>,
    /// The error that ended it.
    pub end: Option<HttpError>,
}

/// See the module text.
///
/// # Panics
/// Something is wrong.
pub fn exercise(data: &[u8]) -> Reached {
    let [flags, count, rest @ ..] = data else {
        return Reached::default();
    };
    let cuts = usize::from(count % 8) * 2;
    let (cuts, input) = rest.split_at(cuts.min(rest.len()));
    let reached = Run::new(*flags).read([input].into_iter());
    let cuts = cuts
        .chunks_exact(2)
        .map(|cut| usize::from(cut[0]) << 8 | usize::from(cut[1]));
    let mut ends: Vec<usize> = cuts.map(|cut| cut.min(input.len())).collect();
    ends.push(input.len());
    ends.sort_unstable();
    let mut from = 0;
    let pieces = ends
        .into_iter()
        .map(|end| &input[std::mem::replace(&mut from, end)..end]);
    assert_eq!(
        Run::new(*flags).read(pieces),
        reached,
        "it is read otherwise in pieces"
    );
    if input.len() <= SHORT {
        let bytes = input.chunks(1);
        assert_eq!(
            Run::new(*flags).read(bytes),
            reached,
            "it is read otherwise in bytes"
        );
    }
    let most = 1_024 + 32 * input.len();
    assert!(
        reached.said.len() <= most,
        "{} said of {}",
        reached.said.len(),
        input.len()
    );
    reached.requests.iter().for_each(check);
    reached
}

/// A request can be put into a line of a log and into an answer's header.
fn check(request: &Request) {
    assert!(request.path.starts_with('/'));
    let forwarded = &request.forwarded;
    let fields = [
        &request.path,
        &request.query,
        &request.host,
        &request.user_agent,
        &request.accept,
        &request.wanted_fields,
        &forwarded.addresses,
        &forwarded.hosts,
        &forwarded.elements,
    ];
    let others = [
        &request.origin,
        &request.authorization,
        &request.websocket_key,
        &request.websocket_protocol,
        &request.fetch_site,
    ];
    let mut bytes = 0;
    for text in fields.into_iter().chain(others.into_iter().flatten()) {
        assert!(!text.contains(['\r', '\n', '\0']), "{text:?}");
        bytes += text.len();
    }
    // A byte that is no UTF-8 is shown as a character of three.
    assert!(bytes <= 3 * limits::HTTP_HEAD_BYTES_MAX, "{bytes} bytes");
    assert!(request.path.len() + request.query.len() <= limits::HTTP_LINE_BYTES_MAX);
    assert!(request.user_agent.chars().count() <= limits::USER_AGENT_CHARS);
    if let Some(protocol) = &request.websocket_protocol {
        assert!(is_token(protocol), "{protocol:?}");
        assert!(protocol.len() <= limits::SUBPROTOCOL_BYTES);
    }
    check_path(&request.path);
    check_client(request);
    check_page(request);
}

/// A decoded path has no control characters, is no longer, and has the same segments.
fn check_path(path: &str) {
    let Ok(decoded) = path::decoded(path) else {
        return;
    };
    assert!(!decoded.contains(char::is_control), "{decoded:?}");
    assert!(decoded.len() <= path.len());
    assert_eq!(decoded.split('/').count(), path.split('/').count());
    if !path.contains('%') {
        assert_eq!(decoded, path);
    }
}

/// Whoever is a proxy, the client has an address of its own, or nothing is known of it.
fn check_client(request: &Request) {
    let is_even = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets()[3].is_multiple_of(2),
        IpAddr::V6(address) => address.octets()[15].is_multiple_of(2),
    };
    let proxies: [&dyn Fn(IpAddr) -> bool; 3] = [&|_| true, &|_| false, &is_even];
    for is_proxy in proxies {
        let client = request.forwarded.client(is_proxy);
        let ip = client.map(|client| client.ip().to_canonical());
        assert!(ip.is_none_or(|ip| !ip.is_unspecified()), "{client:?}");
    }
    if let Some(host) = request.forwarded.host() {
        assert!(!host.is_empty() && host == host.trim(), "{host:?}");
    }
}

/// What a page may do is decided for any host, and the answer to its browser is bounded.
fn check_page(request: &Request) {
    for host in [&*request.host, request.forwarded.host().unwrap_or_default()] {
        let is_foreign = origin::is_foreign(request, host);
        let is_page = request.origin.is_some() || request.fetch_site.is_some();
        assert!(is_page || !is_foreign);
        origin::is_own_host(host, &["relay".to_owned()]);
    }
    let listed = ["http://relay:8080".to_owned()];
    let cors = origin::cors(&listed, request);
    for is_allowed in [cors.is_allowed, true] {
        let answer = origin::preflight(is_allowed, request);
        let fields = answer.fields.iter().chain(&cors.fields);
        for (name, value) in fields {
            assert!(value.len() <= limits::PREFLIGHT_BYTES, "{name}");
            assert!(!value.contains(char::is_control), "{name}: {value:?}");
        }
    }
}

/// A session and what it came to so far.
struct Run {
    session: HttpSession,
    is_late: bool,
    reached: Reached,
}

impl Run {
    fn new(flags: u8) -> Self {
        let mut run = Self {
            session: HttpSession::default(),
            is_late: flags & LATE != 0,
            reached: Reached::default(),
        };
        if flags & WEBSOCKET != 0 {
            let asked = run.session.next(UPGRADE, &mut 0);
            assert!(matches!(asked, Ok(Some(_))), "{asked:?}");
            run.session.begin_stream(b"FLV");
            run.take();
        }
        run
    }

    /// Reads all pieces, or up to an error.
    fn read<'a>(mut self, pieces: impl Iterator<Item = &'a [u8]>) -> Reached {
        for piece in pieces {
            if !self.read_piece(piece) {
                return self.reached;
            }
        }
        while self.is_late && self.session.is_asked() {
            self.answer();
            if !self.read_piece(b"") {
                break;
            }
        }
        self.reached
    }

    /// False when the connection has ended.
    fn read_piece(&mut self, piece: &[u8]) -> bool {
        let mut at = 0;
        loop {
            let before = (at, self.reached.requests.len());
            let next = self.session.next(piece, &mut at);
            let held = self.session.memory_bytes() - self.session.pending().len();
            assert!(
                held <= 3 * limits::HTTP_INPUT_BYTES_MAX,
                "{held} bytes are held"
            );
            match next {
                Ok(Some(request)) => {
                    self.reached.requests.push(request);
                    if !self.is_late {
                        self.answer();
                    }
                }
                Ok(None) if at == piece.len() && !self.session.has_more() => {
                    self.take();
                    return true;
                }
                Ok(None) => assert!(at > before.0, "it stands still"),
                Err(error) => {
                    assert!(self.session.is_done());
                    self.take();
                    self.reached.end = Some(error);
                    return false;
                }
            }
        }
    }

    fn answer(&mut self) {
        let asked = self.reached.requests.last();
        if asked.is_some_and(|request| request.path.ends_with(".flv")) {
            self.session.begin_stream(b"FLV");
        } else {
            self.session.answer(Response::text(200, "here"));
        }
        self.take();
    }

    /// The peer reads what it is sent.
    fn take(&mut self) {
        self.reached.said.extend_from_slice(self.session.pending());
        let len = self.session.pending().len();
        self.session.out().advance(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(flags: u8, input: &[u8]) -> Reached {
        exercise(&[&[flags, 2, 0, 7, 0, 40], input].concat())
    }

    #[test]
    fn inputs_get_where_they_are_meant_to() {
        let page = b"GET /live/cam HTTP/1.1\r\nHost: a\r\n\r\n".as_slice();
        for flags in [0, LATE] {
            let got = reached(flags, &page.repeat(3));
            assert_eq!((got.requests.len(), got.end), (3, None));
            let got = reached(flags, &[page, UPGRADE, &[0x89, 0x80, 0, 0, 0, 0]].concat());
            assert_eq!((got.requests.len(), got.end), (2, None));
            assert!(got.said.ends_with(&[0x8A, 0]), "{:?}", got.said);
        }
        let got = reached(WEBSOCKET, &[0x88, 0x80, 0, 0, 0, 0]);
        assert_eq!(got.end, Some(HttpError::Closed));
        assert_eq!(exercise(b""), Reached::default());
    }
}
