//! The handshake that opens a connection, both roles, as two incremental byte eaters.
//!
//! ```text
//!   client                                   server
//!     C0 (1 byte: 3)  C1 (1536)  ------->
//!                                <-------    S0 S1 S2   as soon as C1 is complete
//!     C2 (1536)                  ------->    done
//!   done, once S2 is in
//! ```
//!
//! Two forms exist. Plain (RTMP 1.0 §5.2): random bytes, echoed by the peer. Digest, which Flash
//! Player 9 brought and no specification tells: C1 and S1 carry an HMAC-SHA256 of themselves at a
//! place that four of their own bytes choose; C2 and S2 end in one keyed with the peer's digest.
//! The keys are public, so this proves nothing; but ffmpeg as a player refuses a server whose
//! version bytes announce a digest that is then wrong. A server answers in the form of C1.
//!
//! What the peer says last (C2, S2) is counted and not judged: ffmpeg, Flash and others send
//! digests and echoed times that do not check. Our timestamps are zero; chunks need no epoch.
//!
//! Not here: RTMPE (version 6), deadlines, and randomness: the caller gives a seed, and the fill
//! needs no secrecy (RTMP 1.0 §5.2.3). While a peer is silent nothing is allocated; its first
//! packet (1536 bytes) is kept from its version byte until it is answered, its second never.

use alloc::boxed::Box;
use alloc::vec::Vec;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::error::ProtocolError;

/// The only version of RTMP. RTMP 1.0 §5.2.2.
const VERSION: u8 = 0x03;
/// Bytes in each of C1, S1, C2 and S2.
const PACKET_BYTES: usize = 1536;
const DIGEST_BYTES: usize = 32;
/// The places a digest can start at inside its block: 764 less four bytes and the digest itself.
const DIGEST_PLACES: usize = 728;

/// Key of what a server signs; S1 uses the text alone.
const SERVER_KEY: &[u8] = b"Genuine Adobe Flash Media Server 001\
    \xF0\xEE\xC2\x4A\x80\x68\xBE\xE8\x2E\x00\xD0\xD1\x02\x9E\x7E\x57\
    \x6E\xEC\x5D\x2D\x29\x80\x6F\xAB\x93\xB8\xE6\x36\xCF\xEB\x31\xAE";
const SERVER_KEY_TEXT: &[u8] = SERVER_KEY.split_at(36).0;
/// Key of what a client signs; C1 uses the text alone.
const CLIENT_KEY: &[u8] = b"Genuine Adobe Flash Player 001\
    \xF0\xEE\xC2\x4A\x80\x68\xBE\xE8\x2E\x00\xD0\xD1\x02\x9E\x7E\x57\
    \x6E\xEC\x5D\x2D\x29\x80\x6F\xAB\x93\xB8\xE6\x36\xCF\xEB\x31\xAE";
const CLIENT_KEY_TEXT: &[u8] = CLIENT_KEY.split_at(30).0;

/// Version bytes of a plain C1 or S1. Non-zero ones make ffmpeg (as a player, when the first is 3
/// or more) and others look for a digest.
const NO_VERSION: [u8; 4] = [0; 4];
/// Version bytes of an S1 with digest.
const SERVER_VERSION: [u8; 4] = [0x04, 0x05, 0x00, 0x01];
/// Version bytes of a C1 with digest: Flash Player 9.0.124.2.
const CLIENT_VERSION: [u8; 4] = [0x09, 0x00, 0x7C, 0x02];

type Packet = [u8; PACKET_BYTES];
type Digest = [u8; DIGEST_BYTES];

/// What a client puts into C1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Random bytes, as librtmp and OBS do.
    Plain,
    /// A digest, as ffmpeg and Flash do; servers without it take this C1 for a plain one.
    Digest,
}

/// One side of a handshake. A server waits for C0 and C1, answers S0 S1 S2 at once and counts C2; a
/// client sends C0 C1, answers S1 with C2 and counts S2.
#[derive(Debug)]
pub struct Handshake {
    side: Side,
    peer: Intake,
    random: SplitMix,
    is_digest: bool,
}

/// Whose side it is.
#[derive(Clone, Copy, Debug)]
enum Side {
    Server,
    Client(Mode),
}

impl Handshake {
    /// The server's side. `seed` decides the random fill of S1 and S2.
    pub fn server(seed: u64) -> Self {
        Self::new(Side::Server, seed)
    }

    /// The client's side: appends C0 and C1, 1537 bytes, to `out`. `seed` decides the random fill
    /// of C1 and C2.
    pub fn client(mode: Mode, seed: u64, out: &mut Vec<u8>) -> Self {
        // Where ffmpeg and nginx-rtmp put theirs, so servers that know digests look there.
        Self::client_with_block(mode, Block::First, seed, out)
    }

    fn client_with_block(mode: Mode, block: Block, seed: u64, out: &mut Vec<u8>) -> Self {
        let mut client = Self::new(Side::Client(mode), seed);
        let block = (mode == Mode::Digest).then_some(block);
        client.send_first(CLIENT_VERSION, CLIENT_KEY_TEXT, block, out);
        client
    }

    fn new(side: Side, seed: u64) -> Self {
        Self {
            side,
            peer: Intake::Version,
            random: SplitMix(seed),
            is_digest: false,
        }
    }

    /// Consumes from the front of `input` what belongs to the handshake and returns its length.
    /// When the peer's first packet is complete, appends the answer to `out`: 3073 bytes of a
    /// server, 1536 of a client. Bytes after the peer's second packet are not consumed: some
    /// clients send `connect` with it.
    ///
    /// # Errors
    /// The first byte is not that of RTMP version 3. The connection is over.
    pub fn handle_input(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<usize, ProtocolError> {
        let (consumed, first) = self.peer.handle_input(input)?;
        if let Some(first) = first {
            self.answer(&first, out);
        }
        Ok(consumed)
    }

    /// Whether the peer's second packet, C2 or S2, has been read: messages follow in both
    /// directions.
    pub fn is_done(&self) -> bool {
        matches!(self.peer, Intake::Done)
    }

    /// Whether the first packets of both sides carried a digest.
    pub fn is_digest(&self) -> bool {
        self.is_digest
    }

    /// Answers C1 or S1. Its version bytes do not count: clients that set them without a digest get
    /// the plain form. A plain answer repeats the packet to the byte, the second time field
    /// included: librtmp compares all of it, and a peer that checks the echoed time finds it in the
    /// first four bytes.
    fn answer(&mut self, first: &Packet, out: &mut Vec<u8>) {
        let (key, found) = match self.side {
            Side::Server => (SERVER_KEY, find_digest(first, CLIENT_KEY_TEXT)),
            Side::Client(Mode::Plain) => (CLIENT_KEY, None),
            Side::Client(Mode::Digest) => (CLIENT_KEY, find_digest(first, SERVER_KEY_TEXT)),
        };
        self.is_digest = found.is_some();
        if let Side::Server = self.side {
            let block = found.map(|(block, _)| block);
            self.send_first(SERVER_VERSION, SERVER_KEY_TEXT, block, out);
        }
        match found {
            None => out.extend_from_slice(first),
            Some((_, digest)) => {
                out.extend_from_slice(&signed_reply(&mut self.random, key, &digest));
            }
        }
    }

    /// Sends the version byte and C1 or S1: with a digest in `block`, or the plain one.
    fn send_first(
        &mut self,
        version: [u8; 4],
        key: &[u8],
        block: Option<Block>,
        out: &mut Vec<u8>,
    ) {
        out.reserve(1 + 2 * PACKET_BYTES);
        out.push(VERSION);
        let mut packet = self.random.packet(block.map_or(NO_VERSION, |_| version));
        if let Some(block) = block {
            block.sign(&mut packet, key);
        }
        out.extend_from_slice(&packet);
    }
}

/// The peer's three packets as they come in; the same for both roles.
#[derive(Debug)]
enum Intake {
    /// Waiting for the version byte.
    Version,
    /// Collecting C1 or S1; `filled < PACKET_BYTES` between calls.
    First {
        packet: Box<Packet>,
        filled: usize,
    },
    /// Counting C2 or S2 down; `left > 0` between calls.
    Second {
        left: usize,
    },
    Done,
}

impl Intake {
    /// How much of `input` was consumed, and the peer's first packet if this completed it.
    fn handle_input(
        &mut self,
        input: &[u8],
    ) -> Result<(usize, Option<Box<Packet>>), ProtocolError> {
        let mut rest = input;
        let mut first = None;
        if let (Self::Version, Some((version, after))) = (&*self, rest.split_first()) {
            check_version(*version)?;
            rest = after;
            *self = Self::First {
                packet: Box::new([0; PACKET_BYTES]),
                filled: 0,
            };
        }
        if let Self::First { packet, filled } = self {
            let room = &mut packet[*filled..];
            let (taken, after) = rest.split_at(room.len().min(rest.len()));
            room[..taken.len()].copy_from_slice(taken);
            *filled += taken.len();
            rest = after;
            if *filled == PACKET_BYTES
                && let Self::First { packet, .. } =
                    core::mem::replace(self, Self::Second { left: PACKET_BYTES })
            {
                first = Some(packet);
            }
        }
        if let Self::Second { left } = self {
            let taken = rest.len().min(*left);
            rest = &rest[taken..];
            *left -= taken;
            if *left == 0 {
                *self = Self::Done;
            }
        }
        Ok((input.len() - rest.len(), first))
    }
}

/// Refuses everything but RTMP at its first byte. `G` (0x47) opens both `GET` and an MPEG-TS
/// packet; one byte cannot tell, and browsers and probes call more often, so both are `http`.
fn check_version(got: u8) -> Result<(), ProtocolError> {
    match got {
        VERSION => Ok(()),
        // The record type of a TLS ClientHello.
        0x16 => Err(ProtocolError::WrongProtocol { seen: "tls" }),
        // GET, POST and PUT, HEAD, DELETE, OPTIONS, CONNECT, TRACE; a server's answer begins HTTP.
        b'G' | b'P' | b'H' | b'D' | b'O' | b'C' | b'T' => {
            Err(ProtocolError::WrongProtocol { seen: "http" })
        }
        got => Err(ProtocolError::Version { got }),
    }
}

/// The half of C1 or S1 that holds the digest; the other half held a key for RTMPE. Servers number
/// the two layouts as schemes 0 and 1, not all of them in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    /// Behind the time and version fields.
    First = 8,
    /// 764 bytes later.
    Second = 772,
}

impl Block {
    /// Where the digest is: the block's first four bytes, summed, choose one of the places behind
    /// them, so that the digest lies inside the block whatever those bytes are.
    fn digest_at(self, packet: &Packet) -> usize {
        let start = self as usize;
        let chosen: usize = packet[start..start + 4]
            .iter()
            .map(|byte| usize::from(*byte))
            .sum();
        start + 4 + chosen % DIGEST_PLACES
    }

    /// The digest of all bytes of the packet around its place.
    fn digest(self, packet: &Packet, key: &[u8]) -> Digest {
        let (before, from) = packet.split_at(self.digest_at(packet));
        hmac(key, &[before, &from[DIGEST_BYTES..]])
    }

    fn sign(self, packet: &mut Packet, key: &[u8]) {
        let digest = self.digest(packet, key);
        let at = self.digest_at(packet);
        packet[at..at + DIGEST_BYTES].copy_from_slice(&digest);
    }
}

/// The valid digest in a C1 or S1, wherever it is. Two HMACs over the packet at most.
fn find_digest(packet: &Packet, key: &[u8]) -> Option<(Block, Digest)> {
    [Block::Second, Block::First].into_iter().find_map(|block| {
        let digest = block.digest(packet, key);
        // The key is public: there is nothing to learn from the time that this takes.
        packet[block.digest_at(packet)..]
            .starts_with(&digest)
            .then_some((block, digest))
    })
}

/// A C2 or S2: random bytes and their digest under a key made from the peer's digest.
fn signed_reply(random: &mut SplitMix, key: &[u8], peer_digest: &Digest) -> Packet {
    let mut packet = [0; PACKET_BYTES];
    let (body, digest) = packet.split_at_mut(PACKET_BYTES - DIGEST_BYTES);
    random.fill(body);
    digest.copy_from_slice(&hmac(&hmac(key, &[peer_digest]), &[body]));
    packet
}

/// HMAC-SHA256 of the parts joined.
fn hmac(key: &[u8], parts: &[&[u8]]) -> Digest {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// SplitMix64: fills packets that only have to differ from one connection to the next.
#[derive(Debug)]
struct SplitMix(u64);

impl SplitMix {
    /// A C1 or S1 with time zero and no digest yet.
    fn packet(&mut self, version: [u8; 4]) -> Packet {
        let mut packet = [0; PACKET_BYTES];
        packet[4..8].copy_from_slice(&version);
        self.fill(&mut packet[8..]);
        packet
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            mixed ^= mixed >> 31;
            chunk.copy_from_slice(&mixed.to_le_bytes()[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests;
