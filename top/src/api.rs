//! The client: one GET at a time, each on a connection of its own, and its answer as JSON. Bounded
//! in time and bytes, since what answers may be anything.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde_json::Value;

/// How long connecting, and each read or write, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest answer; two hundred streams need a tenth of it.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// See the module text.
#[derive(Debug)]
pub(super) struct Api {
    /// As it was given.
    address: String,
    token: Option<String>,
}

impl Api {
    /// The API at `address`, `HOST:PORT` or the same behind `http://`.
    pub(super) fn new(address: &str, token: Option<String>) -> Result<Self, String> {
        let plain = address.strip_prefix("http://").unwrap_or(address);
        let plain = plain.strip_suffix('/').unwrap_or(plain);
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        let port = plain.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(_))) || !plain.chars().all(is_host) {
            return Err(format!("{address:?} is not HOST:PORT"));
        }
        Ok(Self {
            address: plain.to_owned(),
            token,
        })
    }

    /// What is at `path`, or why it cannot be had, in words.
    pub(super) fn get(&self, path: &str) -> Result<Value, String> {
        let address = &self.address;
        let answer = self.exchange(path);
        let answer = answer.map_err(|error| format!("cannot ask {address}: {}", words(&error)))?;
        let (status, body) = parse(&answer).ok_or_else(|| self.is_other())?;
        match status {
            200 => serde_json::from_slice(body).map_err(|_| self.is_other()),
            401 if self.token.is_some() => Err(format!("{address} does not take this token")),
            401 => Err(format!("{address} wants a token: --token-file FILE")),
            _ => {
                let error: Value = serde_json::from_slice(body).unwrap_or_default();
                let message = error["error"]["message"].as_str();
                let message = message.ok_or_else(|| self.is_other())?;
                let message: String = message.chars().take(200).collect();
                Err(format!("{address} refuses: {}", message.escape_debug()))
            }
        }
    }

    fn is_other(&self) -> String {
        format!("what answers at {} is no tailwater --admin", self.address)
    }

    fn exchange(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut socket = connect(&self.address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let host = &self.address;
        let mut request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        if let Some(token) = &self.token {
            request.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        request.push_str("\r\n");
        socket.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        socket.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        Ok(answer)
    }
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = address.to_socket_addrs()?.collect();
    let mut last = io::ErrorKind::AddrNotAvailable.into();
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer in time".to_owned(),
        _ => error.to_string(),
    }
}

/// Status and body of an answer; None when it is none of HTTP, or not all of it.
fn parse(answer: &[u8]) -> Option<(u16, &[u8])> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let body = &answer[end + 4..];
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?;
    for line in lines {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") && value.trim().parse() != Ok(body.len()) {
            return None;
        }
    }
    Some((status.parse().ok()?, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// What is said of a server that answers with this.
    fn said(answer: &'static str, token: Option<&str>) -> Result<Value, String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let api = Api::new(&address, token.map(str::to_owned)).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a server for the client")]
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") {
                socket.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            socket.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        });
        let got = api.get("/x");
        let request = server.join().unwrap();
        assert!(request.starts_with("GET /x HTTP/1.1\r\n"), "{request}");
        let bearer = "\r\nAuthorization: Bearer secret\r\n";
        assert_eq!(request.contains(bearer), token.is_some(), "{request}");
        got.map_err(|words| words.replace(&address, "ADDR"))
    }

    #[test]
    fn answers_are_json_or_words_that_say_what_is_wrong() {
        let ok = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}";
        assert_eq!(said(ok, Some("secret")).unwrap()["a"], 1);
        let other = || Err("what answers at ADDR is no tailwater --admin".to_owned());
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"a\":1}",
            "HTTP/1.1 200 OK\r\n\r\n<html>",
            "HTTP/1.1 404 Not Found\r\n\r\nno",
            "\u{3}rtmp",
            "",
        ] {
            assert_eq!(said(answer, None), other(), "{answer}");
        }
        let denied = "HTTP/1.1 401 Unauthorized\r\n\r\n";
        let wants = "ADDR wants a token: --token-file FILE".to_owned();
        assert_eq!(said(denied, None), Err(wants));
        let wrong = "ADDR does not take this token".to_owned();
        assert_eq!(said(denied, Some("secret")), Err(wrong));
        let busy = "HTTP/1.1 503 x\r\n\r\n{\"error\":{\"message\":\"a\\u001bb\"}}";
        assert_eq!(said(busy, None), Err("ADDR refuses: a\\u{1b}b".to_owned()));
    }

    #[test]
    fn nobody_there_is_said() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let error = Api::new(&address, None).unwrap().get("/").unwrap_err();
        assert!(error.ends_with("nobody listens there"), "{error}");
        for wrong in [
            "",
            "host",
            "host:x",
            "host:99999",
            "https://h:1",
            "h:1/x",
            "h\r\n:1",
        ] {
            assert!(Api::new(wrong, None).is_err(), "{wrong:?}");
        }
        assert!(Api::new("http://[::1]:80/", None).is_ok());
    }
}
