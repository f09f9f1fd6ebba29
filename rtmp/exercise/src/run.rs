//! One way of a session through an input, in pieces: what it told and answered, and that it held
//! and sent no more than it may.

use crate::driver::{Client, Server};
use crate::told::{Outcome, Told};
use crate::{DEAF, HANDSHAKE_BYTES};
use tailwater_rtmp::Outbox;
use tailwater_rtmp::control::Control;
use tailwater_rtmp::error::ProtocolError;
use tailwater_rtmp::limits;
use tailwater_rtmp::reader::{ChunkReader, ReaderLimits};

/// What is sent, the handshake left out, has at most so many bytes for each that came. The dearest
/// is a play of a few bytes: its statuses repeat an app named once, at most
/// [`NAME_BYTES_MAX`](limits::NAME_BYTES_MAX) long.
const REPLY_FACTOR: usize = 100;
/// Bytes that may be sent beyond that: our handshake, and the result of connect.
const REPLY_FLOOR: usize = 8_192;

/// A session, with what its driver remembers.
pub(super) enum Peer {
    Server(Server),
    Client(Client),
}

impl Peer {
    /// The next thing told; None at the end of the input.
    fn next(&mut self, input: &[u8], at: &mut usize) -> Result<Option<Told>, ProtocolError> {
        match self {
            Self::Server(server) => server.next(input, at),
            Self::Client(client) => client.next(input, at),
        }
    }

    fn end_input(&mut self, input: &[u8], count: usize) -> Result<(), ProtocolError> {
        match self {
            Self::Server(server) => {
                let ended = server.session.end_input(input, count);
                let (held, limit) = (server.session.partial_bytes(), server.held_max);
                assert!(held <= limit, "{held} bytes are held, allowed {limit}");
                ended
            }
            Self::Client(client) => client.session.end_input(input, count),
        }
    }

    fn out(&mut self) -> &mut Outbox {
        match self {
            Self::Server(server) => server.session.out(),
            Self::Client(client) => client.session.out(),
        }
    }

    /// The driver has closed the connection.
    fn is_closed(&self) -> bool {
        matches!(self, Self::Server(Server { closed: true, .. }))
    }
}

/// One way through an input.
pub(super) struct Run {
    peer: Peer,
    outcome: Outcome,
    replies: ChunkReader,
    handshake_left: usize,
    is_deaf: bool,
    /// Bytes at the front of the outbox that were looked at.
    looked_at: usize,
    bytes_in: usize,
    bytes_out: usize,
}

impl Run {
    pub(super) fn new(peer: Peer, flags: u8) -> Self {
        Self {
            peer,
            outcome: Outcome::default(),
            replies: ChunkReader::new(ReaderLimits::PUBLISHER),
            handshake_left: HANDSHAKE_BYTES,
            is_deaf: flags & DEAF != 0,
            looked_at: 0,
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    /// Reads `pieces` one after the other. `hold_each`: the input is given up after each event.
    pub(super) fn read(mut self, pieces: &[&[u8]], hold_each: bool) -> Outcome {
        for piece in pieces {
            let mut input = *piece;
            let mut at = 0;
            loop {
                let told = match self.peer.next(input, &mut at) {
                    Ok(told) => told,
                    Err(error) => {
                        self.bytes_in += at;
                        self.take_replies();
                        self.outcome.end = Some(error);
                        return self.outcome;
                    }
                };
                let is_over = told.is_none();
                self.outcome.told.extend(told);
                if is_over || hold_each {
                    if !self.end_input(input, at) {
                        return self.outcome;
                    }
                    input = &input[at..];
                    at = 0;
                }
                if self.peer.is_closed() {
                    self.bytes_in += at;
                    self.take_replies();
                    return self.outcome;
                }
                if is_over {
                    assert!(input.is_empty(), "all of an input is read");
                    break;
                }
            }
        }
        self.outcome
    }

    /// Whether the connection goes on.
    fn end_input(&mut self, input: &[u8], count: usize) -> bool {
        let ended = self.peer.end_input(input, count);
        self.bytes_in += count;
        self.take_replies();
        if let Err(error) = ended {
            self.outcome.end = Some(error);
            self.outcome.at_input_end = true;
            return false;
        }
        let pending = self.peer.out().pending().len();
        let limit = limits::OUT_BYTES_MAX + REPLY_FLOOR;
        assert!(pending <= limit, "{pending} bytes wait to be sent");
        true
    }

    /// Looks at what was sent since the last time: whole messages, and not too many bytes.
    fn take_replies(&mut self) {
        let pending = &self.peer.out().pending()[self.looked_at..];
        self.bytes_out += pending.len();
        let limit = REPLY_FACTOR * self.bytes_in + REPLY_FLOOR;
        let (sent, came) = (self.bytes_out, self.bytes_in);
        assert!(sent <= limit, "{sent} bytes sent for {came}");
        let mut at = pending.len().min(self.handshake_left);
        self.handshake_left -= at;
        loop {
            let next = self.replies.next(pending, &mut at);
            let Some(message) = next.expect("what is sent is a chunk stream") else {
                break;
            };
            let control = Control::decode(&message).expect("controls that are sent are whole");
            // They tell how many bytes have come, so they depend on how those came.
            if !matches!(control, Some(Control::Acknowledgement(_))) {
                self.outcome.replies.push(Told::message(&message));
            }
            if let Some(Control::SetChunkSize(bytes)) = control {
                self.replies.set_chunk_size(bytes as usize);
            }
        }
        assert_eq!(self.replies.partial_bytes(), 0, "only whole messages");
        self.replies.hold(pending);
        let count = pending.len();
        if self.is_deaf {
            self.looked_at += count;
        } else {
            self.peer.out().advance(count);
        }
    }
}
