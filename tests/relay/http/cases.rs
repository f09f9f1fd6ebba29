//! The tables of hostile input by HTTP: W1 to W3, and H2.

use tailwater::limits;

use support::http::client_frame;

/// What comes of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It is answered with this, and the connection is closed.
    Refused(u16),
    /// So many answers of 200, and another request is answered as well.
    Lives(usize),
    /// As many answers as there is room and time for, and then it is closed.
    Cut,
    /// It is refused with 400, or not found.
    NoName,
    /// Nothing is answered, and it is closed.
    Closed,
    /// The same, over WebSocket, of a stream that has begun.
    Breaks,
    /// The stream goes on.
    Plays,
}

/// One case.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// What is done, behind its family.
    pub(crate) name: &'static str,
    /// What is sent.
    pub(crate) bytes: Vec<u8>,
    /// What comes of it.
    pub(crate) end: End,
}

/// A request, each of whose fields ends its line.
pub(crate) fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

/// Requests.
pub(crate) fn requests() -> Vec<Case> {
    let refused = [lengths(), bodies(), heads()].concat();
    let refused = refused.into_iter().map(|(name, status, bytes)| Case {
        name,
        bytes: bytes.into(),
        end: End::Refused(status),
    });
    refused.chain(answered()).chain(names()).collect()
}

/// Name, status of the answer, request.
type Refusal = (&'static str, u16, String);

fn lengths() -> Vec<Refusal> {
    let long = "a".repeat(1 << 20);
    let page = |fields: &str| get("/live/cam", fields);
    let (name, value) = (format!("{long}: a\r\n"), format!("A: {long}\r\n"));
    let many = |count| page(&"A: b\r\n".repeat(count));
    let query = get(&format!("/live/cam?{long}"), "");
    vec![
        ("W1 a path of a megabyte", 414, get(&format!("/{long}"), "")),
        ("W1 a query of a megabyte", 414, query),
        ("W1 a field of a megabyte", 431, page(&value)),
        ("W1 a name of a field of a megabyte", 431, page(&name)),
        ("W1 ten thousand fields", 431, many(10_000)),
        ("W1 a field too many", 431, many(limits::HTTP_FIELDS_MAX)),
        ("W1 a method of a megabyte", 414, long),
    ]
}

fn bodies() -> Vec<Refusal> {
    let with = |name, fields: &str, body: &str| (name, 400, get("/live/cam", fields) + body);
    let none = |name, fields: &str| with(name, fields, "");
    let (coding, length) = ("Transfer-Encoding: chunked\r\n", "Content-Length: 0\r\n");
    vec![
        none("W1 length and coding", &format!("{length}{coding}")),
        none("W1 coding and length", &format!("{coding}{length}")),
        none("W1 two lengths", &length.repeat(2)),
        none("W1 two lengths in one", "Content-Length: 0, 0\r\n"),
        none("W1 a negative length", "Content-Length: -1\r\n"),
        none("W1 a length with a sign", "Content-Length: +0\r\n"),
        none("W1 a hidden coding", "Transfer-Encoding : chunked\r\n"),
        none(
            "W1 a coding behind a tab",
            "Transfer-Encoding:\tchunked\r\n",
        ),
        with("W1 a body", "Content-Length: 5\r\n", "hello"),
        with("W1 a body in chunks", coding, "1\r\na\r\n0\r\n\r\n"),
    ]
}

fn heads() -> Vec<Refusal> {
    let page = |name, fields: &str| (name, 400, get("/live/cam", fields));
    let line = |name, line: &str| (name, 400, format!("{line}\r\nHost: a\r\n\r\n"));
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned();
    let future = "GET / HTTP/3.0\r\nHost: a\r\n\r\n".to_owned();
    let feeds = "GET /live/cam HTTP/1.1\nHost: a\n\n".to_owned();
    let no_host = "GET /live/cam HTTP/1.1\r\n\r\n".to_owned();
    vec![
        ("W1 the preface of HTTP/2", 505, preface),
        ("W1 the future", 505, future),
        ("W1 bare line feeds", 400, feeds),
        ("W1 no host", 400, no_host),
        ("H2 RTMPE", 400, format!("\u{6}{}", "\u{1}".repeat(1_536))),
        page("W1 a bare line feed", "A: b\nC: d\r\n"),
        page("W1 a bare carriage return", "A: b\rC: d\r\n"),
        page("W1 a NUL", "A: b\0\r\n"),
        page("W1 a folded field", "A: b\r\n c\r\n"),
        page("W1 a field without a colon", "A\r\n"),
        page("W1 a field without a name", ": a\r\n"),
        page("W1 two hosts", "Host: b\r\n"),
        page("W3 an origin of two lines", "Origin: a\r\n b\r\n"),
        line("W1 a NUL in the path", "GET /live/c\0am HTTP/1.1"),
        line("W1 a space before the method", " GET /live/cam HTTP/1.1"),
        line("W1 the past", "GET /live/cam"),
        line("W1 no path", "GET * HTTP/1.1"),
        line("W1 another scheme", "GET file:///etc/passwd HTTP/1.1"),
    ]
}

fn answered() -> Vec<Case> {
    let page = |fields: &str| get("/live/cam", fields);
    let case = |name, bytes: &[u8], end| Case {
        name,
        bytes: bytes.to_vec(),
        end,
    };
    let of = |name, text: &str, count| case(name, text.as_bytes(), End::Lives(count));
    let ranges = format!("Range: bytes={}0-1\r\n", "0-1,".repeat(1_000));
    let heads = page("").replace("GET", "HEAD").repeat(1_000);
    vec![
        of("W1 an absolute path", &get("http://evil:1/live/cam", ""), 1),
        of("W1 a thousand ranges", &page(&ranges), 1),
        of("W1 a hundred at once", &page("").repeat(100), 100),
        of("W3 a callback", &get("/live/cam?callback=evil", ""), 1),
        case(
            "W1 a thousand at once",
            page("").repeat(1_000).as_bytes(),
            End::Cut,
        ),
        case("W2 a flood of HEAD", heads.as_bytes(), End::Cut),
        case(
            "H2 TLS",
            &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3],
            End::Closed,
        ),
        case("H2 RTMP", &[&[3][..], &[0; 1_536]].concat(), End::Closed),
        case("H2 noise", &[0xFF; 100], End::Refused(400)),
        case(
            "W2 no coding",
            b"GET /k\xE4.flv HTTP/1.1\r\nHost: a\r\n\r\n",
            End::Refused(400),
        ),
    ]
}

fn names() -> Vec<Case> {
    let long = format!("/live/{}.flv", "a".repeat(257));
    let names = [
        "/../../etc/passwd",
        "/live/../cam.flv",
        "/live/%00.flv",
        "/live/..%2fcam.flv",
        "/live/%2e%2e/cam.flv",
        "/live/..\\cam.flv",
        "/live/c%0d%0aam.flv",
        "/cam.flv",
        "/live/%.flv",
        "/live/\"cam\".flv",
        "/live/{cam}.flv",
        "/.flv",
        "//.flv",
        "/live/.flv",
        "/live/.cam.flv",
        "/live/k\u{e4}mera.flv",
        &long,
    ];
    let case = |name: &str| Case {
        name: "W2 a name",
        bytes: get(name, "").into_bytes(),
        end: End::NoName,
    };
    names.map(case).to_vec()
}

/// Frames of who plays over WebSocket.
pub(crate) fn frames() -> Vec<Case> {
    let case = |name, bytes: Vec<u8>, end| Case { name, bytes, end };
    let breaks = |name, bytes: &[u8]| case(name, bytes.to_vec(), End::Breaks);
    let frame = |name, first, payload: &[u8]| breaks(name, &client_frame(first, payload));
    // A kind, a length of 64 bits and a mask.
    let long = |kind, length: u64| [&[kind, 0xFF][..], &length.to_be_bytes(), &[1; 4]].concat();
    let burst = limits::HTTP_REQUESTS.burst() as usize;
    let flood = |name, first| breaks(name, &client_frame(first, b"").repeat(10 * burst));
    let without_end = [long(0x82, (1 << 63) - 1), vec![0; 100_000]].concat();
    let parts = client_frame(0x00, &[1; 70_000]).repeat(20);
    let pings = client_frame(0x89, &[5; 125]).repeat(burst / 2);
    vec![
        breaks("unmasked", &[0x89, 0]),
        breaks("HTTP", get("/live/cam", "").as_bytes()),
        frame("the first reserved bit", 0xC2, b"a"),
        frame("the second reserved bit", 0xA2, b"a"),
        frame("the third reserved bit", 0x92, b"a"),
        frame("an unknown kind", 0x83, b"a"),
        frame("an unknown control", 0x8B, b"a"),
        frame("a ping in parts", 0x09, b"a"),
        frame("a close in parts", 0x08, b"a"),
        frame("a ping of 126 bytes", 0x89, &[0; 126]),
        frame("a close that is cut", 0x88, &[3]),
        breaks("a ping of 2^32", &long(0x89, 1 << 32)),
        breaks("a length of 2^63", &long(0x82, 1 << 63)),
        breaks("a length of 2^64 - 1", &long(0x82, u64::MAX)),
        flood("a flood of pings", 0x89),
        flood("a flood of pongs", 0x8A),
        flood("a flood of empty parts", 0x00),
        case("a frame without end", without_end, End::Plays),
        case(
            "a message without end",
            [client_frame(0x02, b"a"), parts].concat(),
            End::Plays,
        ),
        case("many pings", pings, End::Plays),
    ]
}
