//! Percent escapes in the path of a request, RFC 3986 §2.1.
//!
//! A path is decoded once and judged afterwards, by the rules for names of streams. An escape of
//! what separates parts of a URL would mean another path than the one that was sent, so it is
//! refused here, as are control characters and what is no UTF-8.

/// Returns `path` with its escapes decoded.
///
/// # Errors
/// What is wrong with it.
pub fn decoded(path: &str) -> Result<String, &'static str> {
    let bytes = unescaped(path).ok_or("a percent sign in the path has no two digits behind it")?;
    let parts = |bytes: &[u8]| bytes.iter().filter(|byte| b"/?".contains(byte)).count();
    if parts(&bytes) > parts(path.as_bytes()) {
        return Err("a percent escape in the path stands for / or ?");
    }
    let text = String::from_utf8(bytes).map_err(|_| "the path is not UTF-8")?;
    // Some of them have two bytes in UTF-8.
    if text.contains(char::is_control) {
        return Err("there is a control character in the path");
    }
    Ok(text)
}

/// Returns the bytes that percent-encoded `text` stands for; `None` where a percent sign has no two
/// hexadecimal digits behind it.
pub fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let code = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(code).ok()?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_once() {
        for (path, wanted) in [
            ("/live/cam.flv", "/live/cam.flv"),
            ("/live/my%20cam", "/live/my cam"),
            ("/live/%E3%82%AB%e3%83%a1", "/live/カメ"),
            ("/live/カメ", "/live/カメ"),
            ("/live/a+b", "/live/a+b"),
            ("/live/50%25", "/live/50%"),
            ("/live/%252F", "/live/%2F"),
            ("/live/%2e%2E", "/live/.."),
            ("/live/%F0%9F%8E%A5", "/live/\u{1F3A5}"),
        ] {
            assert_eq!(decoded(path).as_deref(), Ok(wanted), "{path}");
        }
    }

    #[test]
    fn regression_control_characters_of_two_bytes() {
        for path in [
            "/live/%C2%85",
            "/live/%C2%80",
            "/live/\u{9F}",
            "/live/\u{1}",
        ] {
            assert!(decoded(path).is_err(), "{path}");
        }
        assert_eq!(decoded("/live/%C2%A0").as_deref(), Ok("/live/\u{A0}"));
    }

    #[test]
    fn escapes_that_change_a_path_are_refused() {
        for path in [
            "/live%2Fcam",
            "/live%2fcam",
            "/live/cam%3Ftoken",
            "/live/%00",
            "/live/%0a",
            "/live/%1F",
            "/live/%7f",
            "/live/%",
            "/live/%4",
            "/live/%zz",
            "/live/%+1",
            "/live/%FF",
            "/live/%C3",
            "/live/%ED%A0%80",
            "/live/%C0%AF",
        ] {
            assert!(decoded(path).is_err(), "{path}");
        }
    }
}
