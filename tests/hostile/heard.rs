//! What a relay says, read by a decoder of its own: any well-formed chunk stream, and nothing
//! else. A relay that breaks the protocol towards a hostile client fails here.

use std::collections::HashMap;

/// Bytes of S0, S1 and S2, or of C0, C1 and C2.
const HANDSHAKE_BYTES: usize = 1 + 2 * 1536;

/// A message other than audio, video and data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) kind: u8,
    pub(crate) msid: u32,
    pub(crate) body: Vec<u8>,
}

/// See the module text.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// What has come and is not part of a whole message yet.
    rest: Vec<u8>,
    shaken: bool,
    chunk_size: Option<usize>,
    streams: HashMap<u32, Stream>,
    /// Everything but media, in order.
    pub(crate) said: Vec<Said>,
    /// Audio, video and data messages: how many.
    pub(crate) media: u64,
    /// The body of the last of them.
    pub(crate) last_media: Vec<u8>,
    /// Bytes of messages that are not media, headers included.
    pub(crate) reply_bytes: u64,
}

#[derive(Debug, Default)]
struct Stream {
    len: usize,
    kind: u8,
    msid: u32,
    extended: bool,
    body: Vec<u8>,
    wire: usize,
}

impl Heard {
    /// More of what the relay sent.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.rest.extend_from_slice(bytes);
        if !self.shaken {
            if self.rest.first().is_some_and(|&version| version != 3) {
                return Err(format!("version {} in S0", self.rest[0]));
            }
            if self.rest.len() < HANDSHAKE_BYTES {
                return Ok(());
            }
            self.rest.drain(..HANDSHAKE_BYTES);
            self.shaken = true;
        }
        let mut at = 0;
        while let Some(bytes) = self.chunk(at)? {
            at += bytes;
        }
        self.rest.drain(..at);
        Ok(())
    }

    /// Reads one chunk from position `at`; its bytes, or None when it is not whole.
    fn chunk(&mut self, at: usize) -> Result<Option<usize>, String> {
        let bytes = &self.rest[at..];
        let Some(&first) = bytes.first() else {
            return Ok(None);
        };
        let (fmt, csid) = (first >> 6, u32::from(first & 0x3F));
        if csid < 2 {
            return Err(format!("a relay needs no chunk stream id of {csid}"));
        }
        let fields = [11, 7, 3, 0][usize::from(fmt)];
        let Some(head) = bytes.get(1..1 + fields) else {
            return Ok(None);
        };
        let known = self.streams.get(&csid);
        if fmt != 0 && known.is_none() {
            return Err(format!("chunk stream {csid} begins with type {fmt}"));
        }
        let before = known.map_or((0, 0, 0, false), |known| {
            (known.len, known.kind, known.msid, known.extended)
        });
        let (mut len, mut kind, mut msid, mut extended) = before;
        let have = known.map_or(0, |known| known.body.len());
        if fmt != 3 && have > 0 {
            return Err(format!("new header inside a message on {csid}"));
        }
        if fmt <= 2 {
            extended = head[..3] == [0xFF; 3];
        }
        if fmt <= 1 {
            len = usize::from(head[3]) << 16 | usize::from(head[4]) << 8 | usize::from(head[5]);
            kind = head[6];
        }
        if fmt == 0 {
            msid = u32::from_le_bytes([head[7], head[8], head[9], head[10]]);
        }
        let begin = 1 + fields + if extended { 4 } else { 0 };
        let size = self.chunk_size.unwrap_or(128).min(len - have);
        let Some(payload) = bytes.get(begin..begin + size) else {
            return Ok(None);
        };
        let stream = self.streams.entry(csid).or_default();
        (stream.len, stream.kind, stream.msid, stream.extended) = (len, kind, msid, extended);
        stream.body.extend_from_slice(payload);
        stream.wire += begin + size;
        if stream.body.len() == len {
            let body = std::mem::take(&mut stream.body);
            let wire = std::mem::take(&mut stream.wire) as u64;
            self.whole(Said { kind, msid, body }, wire)?;
        }
        Ok(Some(begin + size))
    }

    fn whole(&mut self, said: Said, wire: u64) -> Result<(), String> {
        if matches!(said.kind, 8 | 9 | 18) {
            self.media += 1;
            self.last_media = said.body;
            return Ok(());
        }
        self.reply_bytes += wire;
        match (said.kind, &said.body[..]) {
            (1, &[a, b, c, d]) => {
                let size = u32::from_be_bytes([a, b, c, d]);
                if size == 0 || size >> 31 != 0 {
                    return Err(format!("chunk size {size}"));
                }
                self.chunk_size = usize::try_from(size).ok();
            }
            (3..=6 | 17 | 20, _) => {}
            (kind, body) => return Err(format!("message of type {kind}, {} bytes", body.len())),
        }
        self.said.push(said);
        Ok(())
    }

    /// Whether a command with `words` in it was said.
    pub(crate) fn has_words(&self, words: &str) -> bool {
        let is_in = |body: &[u8]| body.windows(words.len()).any(|at| at == words.as_bytes());
        self.said
            .iter()
            .any(|said| matches!(said.kind, 17 | 20) && is_in(&said.body))
    }

    /// How often a command with `words` in it was said.
    pub(crate) fn count_words(&self, words: &str) -> usize {
        let is_in = |body: &[u8]| body.windows(words.len()).any(|at| at == words.as_bytes());
        let commands = self.said.iter().filter(|said| matches!(said.kind, 17 | 20));
        commands.filter(|said| is_in(&said.body)).count()
    }

    /// Whether a ping with `time` was answered.
    pub(crate) fn has_pong(&self, time: u32) -> bool {
        self.said.iter().any(|said| is_pong(said, time))
    }

    /// The acknowledgements in order.
    pub(crate) fn acknowledgements(&self) -> Vec<u32> {
        let of = |said: &Said| match (said.kind, &said.body[..]) {
            (3, &[a, b, c, d]) => Some(u32::from_be_bytes([a, b, c, d])),
            _ => None,
        };
        self.said.iter().filter_map(of).collect()
    }

    /// Bytes of memory this has taken, for those who count.
    pub(crate) fn memory(&self) -> usize {
        let bodies: usize = self.said.iter().map(|said| said.body.capacity()).sum();
        let streams: usize = self
            .streams
            .values()
            .map(|stream| stream.body.capacity())
            .sum();
        let said = self.said.capacity() * size_of::<Said>();
        self.rest.capacity() + bodies + streams + said + self.last_media.capacity()
    }
}

fn is_pong(said: &Said, time: u32) -> bool {
    let [a, b, c, d] = time.to_be_bytes();
    said.kind == 4 && said.body == [0, 7, a, b, c, d]
}
