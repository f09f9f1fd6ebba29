//! What the bench needs of HTTP: a request, and the head of its answer. Bodies are for who asked;
//! those in chunks (RFC 9112 §7.1) are not read, as no relay of streams needs them.

/// The head of an answer, RFC 9112 §4 and §6.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Bytes of it, with the empty line.
    pub(crate) bytes: usize,
    /// The status code.
    pub(crate) status: u16,
    /// Bytes of the body; None for one that lasts as long as the connection.
    pub(crate) length: Option<usize>,
}

/// More than this is no head.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A request for `path` of `host` on a connection that is kept.
pub(crate) fn get(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: tailwater-bench\r\n\r\n")
}

/// The head that `answer` begins with; None when it is not whole.
///
/// # Errors
/// It is none, or its body is of a kind that is not read: in words.
pub(crate) fn head(answer: &[u8]) -> Result<Option<Head>, String> {
    let searched = &answer[..answer.len().min(HEAD_BYTES_MAX)];
    let Some(end) = searched.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        let is_none = answer.len() >= HEAD_BYTES_MAX;
        return match is_none || !b"HTTP/1.".starts_with(&answer[..answer.len().min(7)]) {
            true => Err("the answer is not HTTP".into()),
            false => Ok(None),
        };
    };
    let text = String::from_utf8_lossy(&answer[..end]);
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| {
            line.strip_prefix("HTTP/1.")?
                .split(' ')
                .nth(1)?
                .parse()
                .ok()
        })
        .ok_or("the answer is not HTTP")?;
    let mut length = None;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let (name, value) = (name.to_ascii_lowercase(), value.trim());
        match &*name {
            "content-length" => {
                let parsed = value.parse().map_err(|_| "an answer of unknown length")?;
                length = Some(parsed);
            }
            "transfer-encoding" => return Err(format!("the answer comes {value}")),
            _ => {}
        }
    }
    Ok(Some(Head {
        bytes: end + 4,
        status,
        length,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_tells_status_and_length_when_it_is_whole() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-LENGTH: 5\r\nX: y\r\n\r\nhello";
        let whole = answer.len() - 5;
        for end in 0..whole {
            assert_eq!(head(&answer[..end]), Ok(None), "{end}");
        }
        let expected = Head {
            bytes: whole,
            status: 200,
            length: Some(5),
        };
        assert_eq!(head(answer), Ok(Some(expected)));
        let endless = head(b"HTTP/1.0 404 Not Found\r\n\r\n").unwrap().unwrap();
        assert_eq!((endless.status, endless.length), (404, None));
    }

    #[test]
    fn what_is_not_read_is_said() {
        for (answer, why) in [
            (&b"\x03\x00\x00"[..], "not HTTP"),
            (b"HTTP/1.1 OK\r\n\r\n", "not HTTP"),
            (&[b'H'; HEAD_BYTES_MAX], "not HTTP"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "length"),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                "chunked",
            ),
        ] {
            let error = head(answer).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
