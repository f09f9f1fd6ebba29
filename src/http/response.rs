//! Answers, written. RFC 9110 §15, RFC 9112 §4.
//!
//! Each has a length, but for those of streams, which last as long as the connection. No answer
//! may be taken for another type than it says, or be shown inside another site's page.

use std::borrow::Cow;
use std::fmt::Write as _;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Content-Type; nothing is said of an empty body.
    pub content_type: &'static str,
    /// The body.
    pub body: Cow<'static, [u8]>,
    /// Further header fields. No value has a line break.
    pub fields: Vec<(&'static str, String)>,
}

impl Response {
    /// An answer that has a body.
    pub fn new(
        status: u16,
        content_type: &'static str,
        body: impl Into<Cow<'static, [u8]>>,
    ) -> Self {
        Self {
            status,
            content_type,
            body: body.into(),
            fields: Vec::new(),
        }
    }

    /// A line of plain text, for people and probes.
    pub fn text(status: u16, line: &str) -> Self {
        let body = format!("{line}\n").into_bytes();
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    /// What is at `path`, if that is where the relay says that it lives and, unless it stops, that
    /// it takes clients.
    pub fn health(path: &str, is_draining: bool) -> Option<Self> {
        Some(match path {
            "/healthz" => Self::text(200, "ok"),
            "/readyz" if is_draining => Self::text(503, "draining"),
            "/readyz" => Self::text(200, "ready"),
            _ => return None,
        })
    }

    /// The same with one more header field; without line breaks, which would begin another.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        let value = value.replace(['\r', '\n'], " ");
        self.fields.push((name, value));
        self
    }

    /// Writes it to `out`; without the body if only the head was asked for.
    pub fn write(&self, out: &mut Vec<u8>, keep_alive: bool, head_only: bool) {
        let mut head = status_line(self.status);
        if !self.body.is_empty() {
            field(&mut head, "Content-Type", self.content_type);
        }
        let length = self.body.len().to_string();
        field(&mut head, "Content-Length", &length);
        field(&mut head, "X-Content-Type-Options", "nosniff");
        for (name, value) in &self.fields {
            field(&mut head, name, value);
        }
        if !keep_alive {
            field(&mut head, "Connection", "close");
        }
        head.push_str("\r\n");
        out.extend_from_slice(head.as_bytes());
        if !head_only {
            out.extend_from_slice(&self.body);
        }
    }
}

/// The head of an answer that lasts as long as its connection.
pub fn stream_head(fields: &[(&str, &str)]) -> String {
    let mut head = status_line(200);
    let own = [
        ("Content-Type", "video/x-flv"),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Connection", "close"),
    ];
    for (name, value) in own.iter().chain(fields) {
        field(&mut head, name, value);
    }
    head.push_str("\r\n");
    head
}

/// The head of the answer that goes over to WebSocket, with the subprotocol that was chosen. RFC
/// 6455 §4.2.2.
pub fn websocket_head(accept: &str, protocol: Option<&str>) -> String {
    let mut head = status_line(101);
    if let Some(protocol) = protocol {
        field(&mut head, "Sec-WebSocket-Protocol", protocol);
    }
    for (name, value) in [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Accept", accept),
    ] {
        field(&mut head, name, value);
    }
    head.push_str("\r\n");
    head
}

fn status_line(status: u16) -> String {
    format!("HTTP/1.1 {status} {}\r\n", reason(status))
}

fn field(head: &mut String, name: &str, value: &str) {
    let written = write!(head, "{name}: {value}\r\n");
    debug_assert!(written.is_ok(), "a string takes everything");
}

/// What is said beside a status code. RFC 9110 §15.
fn reason(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        414 => "URI Too Long",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(response: &Response, keep_alive: bool, head_only: bool) -> String {
        let mut out = Vec::new();
        response.write(&mut out, keep_alive, head_only);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_answer_tells_its_length_and_type_and_whether_another_may_follow() {
        let text = written(&Response::text(404, "no such stream"), true, false);
        assert!(text.starts_with("HTTP/1.1 404 Not Found\r\n"), "{text}");
        assert!(text.contains("Content-Length: 15\r\n"), "{text}");
        assert!(text.contains("Content-Type: text/plain; charset=utf-8\r\n"));
        assert!(text.ends_with("\r\n\r\nno such stream\n"), "{text}");
        assert!(!text.contains("Connection"));
        let text = written(&Response::text(404, "no such stream"), false, true);
        assert!(text.contains("Connection: close\r\n"));
        assert!(text.contains("Content-Length: 15\r\n") && text.ends_with("\r\n\r\n"));
    }

    #[test]
    fn no_value_begins_another_field() {
        let response = Response::text(200, "").with("Vary", "a\r\nSet-Cookie: b");
        assert!(!written(&response, true, false).contains("\r\nSet-Cookie"));
    }
}
