//! What a request to the admin listener has to show: `Authorization: Bearer TOKEN`, RFC 6750 §2.1.
//!
//! Only its digest is kept, and digests are compared, in a time that tells nothing about where
//! they differ.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::http::request::Request;

/// See the module text.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; 32]);

impl Token {
    /// The token in the text of a file: its first line, without the space around it. None when
    /// there is nothing.
    pub fn from_file_text(text: &str) -> Option<Self> {
        let line = text.lines().next().unwrap_or_default().trim();
        (!line.is_empty()).then(|| Self::of(line))
    }

    fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Whether `request` shows this token.
    pub fn is_shown_by(&self, request: &Request) -> bool {
        let shown = request.authorization.as_deref();
        let (scheme, token) = shown
            .and_then(|shown| shown.split_once(' '))
            .unwrap_or_default();
        let shown = Self::of(token.trim());
        let differing = self
            .0
            .iter()
            .zip(shown.0)
            .fold(0, |all, (a, b)| all | (a ^ b));
        scheme.eq_ignore_ascii_case("bearer") && differing == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request;

    #[test]
    fn only_the_token_in_the_file_will_do() {
        let token = Token::from_file_text(" s3cret \nsecond line\n").unwrap();
        let shows = |authorization: &str| {
            let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{authorization}\r\n");
            let (request, _) = request::parse(text.as_bytes()).unwrap().unwrap();
            token.is_shown_by(&request)
        };
        assert!(shows("Authorization: Bearer s3cret\r\n"));
        assert!(shows("authorization: bearer  s3cret\r\n"));
        for wrong in [
            "",
            "Bearer",
            "Bearer s3cre",
            "Bearer s3crett",
            "Basic s3cret",
            "s3cret",
        ] {
            assert!(!shows(&format!("Authorization: {wrong}\r\n")), "{wrong}");
        }
        assert!(!shows(""));
        assert_eq!(Token::from_file_text(" \n s3cret"), None);
    }
}
