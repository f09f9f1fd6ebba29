//! What a player by HTTP-FLV reads: the head of the answer, the header of the file, tags. Video
//! File Format Specification Version 10.1, Annex E.2 to E.4.
//!
//! ```text
//!   Head --200--> File --> Tags     11 bytes | body | length
//! ```
//!
//! Bodies are given as they lie in what was received; only what is not whole is kept.

use crate::http;

/// Takes an answer apart as it comes.
#[derive(Debug)]
pub(crate) struct FlvReader {
    state: State,
    /// What came last and is not whole.
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    File,
    Tags,
}

/// One tag.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tag<'a> {
    /// Audio, video or data, with the numbers of RTMP.
    pub(crate) kind: u8,
    /// What RTMP has as the payload of a message.
    pub(crate) body: &'a [u8],
}

const FILE_HEADER_BYTES: usize = 9;
const TAG_HEADER_BYTES: usize = 11;
const LENGTH_BYTES: usize = 4;

impl FlvReader {
    /// Waits for the answer.
    pub(crate) fn new() -> Self {
        Self {
            state: State::Head,
            held: Vec::new(),
        }
    }

    /// Whether the server has said that the stream follows.
    pub(crate) fn is_answered(&self) -> bool {
        self.state != State::Head
    }

    /// Gives every tag that `input` completes to `take`.
    ///
    /// # Errors
    /// There is no stream, or it is no FLV: in words.
    pub(crate) fn read(
        &mut self,
        input: &[u8],
        mut take: impl FnMut(&Tag<'_>),
    ) -> Result<(), String> {
        let mut held = std::mem::take(&mut self.held);
        let mut rest = input;
        if !held.is_empty() {
            held.extend_from_slice(input);
            rest = &held;
        }
        while let Some((bytes, tag)) = self.step(rest)? {
            if let Some(tag) = &tag {
                take(tag);
            }
            rest = &rest[bytes..];
        }
        self.held = rest.to_vec();
        Ok(())
    }

    /// The next part of what is received, and its bytes; None when it is not whole.
    fn step<'a>(&mut self, rest: &'a [u8]) -> Result<Option<(usize, Option<Tag<'a>>)>, String> {
        match self.state {
            State::Head => {
                let Some(head) = http::head(rest)? else {
                    return Ok(None);
                };
                if head.status != 200 {
                    return Err(format!("refused: HTTP status {}", head.status));
                }
                self.state = State::File;
                Ok(Some((head.bytes, None)))
            }
            State::File => {
                let whole = FILE_HEADER_BYTES + LENGTH_BYTES;
                let Some(header) = rest.get(..whole) else {
                    return Ok(None);
                };
                if !header.starts_with(b"FLV\x01") || header[5..] != [0, 0, 0, 9, 0, 0, 0, 0] {
                    return Err("sent what is no FLV".into());
                }
                self.state = State::Tags;
                Ok(Some((whole, None)))
            }
            State::Tags => tag(rest),
        }
    }
}

/// The tag that `rest` begins with.
fn tag(rest: &[u8]) -> Result<Option<(usize, Option<Tag<'_>>)>, String> {
    let Some(&[kind, high, middle, low, ..]) = rest.first_chunk::<TAG_HEADER_BYTES>() else {
        return Ok(None);
    };
    let len = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
    let behind = TAG_HEADER_BYTES + len;
    let Some(length) = rest.get(behind..behind + LENGTH_BYTES) else {
        return Ok(None);
    };
    let told = length
        .iter()
        .fold(0, |sum, &byte| sum << 8 | usize::from(byte));
    if told != behind {
        return Err(format!("a tag of {behind} bytes was called one of {told}"));
    }
    let body = &rest[TAG_HEADER_BYTES..behind];
    Ok(Some((behind + LENGTH_BYTES, Some(Tag { kind, body }))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\n\r\n\
        FLV\x01\x05\0\0\0\x09\0\0\0\0\
        \x09\0\0\x03\0\0\0\0\0\0\0abc\0\0\0\x0E\
        \x08\0\0\x00\0\0\x28\0\0\0\0\0\0\0\x0B";

    fn tags(reader: &mut FlvReader, input: &[u8]) -> Result<Vec<(u8, Vec<u8>)>, String> {
        let mut tags = Vec::new();
        reader.read(input, |tag| tags.push((tag.kind, tag.body.to_vec())))?;
        Ok(tags)
    }

    #[test]
    fn tags_are_the_same_wherever_the_answer_is_cut() {
        let expected = vec![(9, b"abc".to_vec()), (8, Vec::new())];
        for cut in 0..=ANSWER.len() {
            let mut reader = FlvReader::new();
            let (first, second) = ANSWER.split_at(cut);
            let mut found = tags(&mut reader, first).unwrap();
            found.extend(tags(&mut reader, second).unwrap());
            assert_eq!(found, expected, "{cut}");
            assert!(reader.is_answered());
            assert!(reader.held.is_empty());
        }
    }

    #[test]
    fn what_is_no_stream_is_said() {
        let mut wrong_length = ANSWER.to_vec();
        *wrong_length.last_mut().unwrap() = 12;
        let no_file = b"HTTP/1.1 200 OK\r\n\r\n<html></html>";
        for (answer, why) in [
            (
                &b"HTTP/1.1 404 Not Found\r\n\r\n"[..],
                "refused: HTTP status 404",
            ),
            (no_file, "no FLV"),
            (&wrong_length, "called one of 12"),
        ] {
            let error = tags(&mut FlvReader::new(), answer).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
