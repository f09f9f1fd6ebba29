//! What both ends of an RTMP connection share once hands are shaken: the chunk reader, the bytes
//! to send, and everything a peer settles with protocol control messages (chunk size, abort,
//! acknowledgements, ping), so that the sessions see commands and media only.
//! RTMP 1.0 §5.4, §6.2, §7.1.6.
//!
//! It decides nothing about streams and knows neither role.

use super::command::{Status, write_command};
use super::control::{Control, UserControl};
use super::error::ProtocolError;
use super::message::{Message, MessageHeader, Payload, Timestamp, kind};
use super::reader::{ChunkReader, ReaderLimits};
use crate::limits;

/// Bytes that wait to be sent, oldest first.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    /// `sent <= bytes.len()`; what lies before it is gone.
    sent: usize,
}

impl Outbox {
    /// What waits.
    pub fn pending(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// The first `count` pending bytes have been sent. An emptied outbox gives large buffers
    /// back: ten thousand idle players hold none.
    pub fn advance(&mut self, count: usize) {
        self.sent += count;
        debug_assert!(
            self.sent <= self.bytes.len(),
            "no more is sent than was there"
        );
        if self.is_empty() {
            self.sent = 0;
            self.bytes.clear();
            if self.bytes.capacity() > limits::OUTBOX_KEPT_BYTES {
                self.bytes = Vec::new();
            }
        }
    }

    /// Where to append.
    pub fn writer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

/// What [`Link::advance`] came upon.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The input has no more.
    Done,
    /// A command or media message, for [`Link::message`] to give.
    Message,
    /// A user control event that the roles differ in.
    User(UserControl),
}

/// See the module text.
#[derive(Debug)]
pub(super) struct Link {
    reader: ChunkReader,
    out: Outbox,
    /// Bytes of replies put into `out` since it was last seen empty.
    replied: usize,
    out_chunk_size: usize,
    /// All bytes received, handshake included.
    received: u64,
    /// `received` when it was last acknowledged.
    acknowledged: u64,
    /// Acknowledge after so many more bytes.
    acknowledge_every: u64,
    aggregate: Option<Box<Aggregate>>,
}

impl Link {
    pub(super) fn new(limits: ReaderLimits) -> Self {
        Self {
            reader: ChunkReader::new(limits),
            out: Outbox::default(),
            replied: 0,
            out_chunk_size: super::reader::CHUNK_SIZE_INITIAL,
            received: 0,
            acknowledged: 0,
            acknowledge_every: u64::from(limits::ACK_WINDOW_DEFAULT) / 2,
            aggregate: None,
        }
    }

    pub(super) fn out(&mut self) -> &mut Outbox {
        &mut self.out
    }

    pub(super) fn pending(&self) -> &[u8] {
        self.out.pending()
    }

    pub(super) fn reader(&mut self) -> &mut ChunkReader {
        &mut self.reader
    }

    /// Reads on to the next thing the session has to see.
    pub(super) fn advance(&mut self, input: &[u8], at: &mut usize) -> Result<Step, ProtocolError> {
        loop {
            if let Some(aggregate) = &mut self.aggregate {
                if aggregate.advance()? {
                    return Ok(Step::Message);
                }
                self.aggregate = None;
            }
            if !self.reader.advance(input, at)? {
                return Ok(Step::Done);
            }
            let message = self.reader.message(input);
            if message.header.kind == kind::AGGREGATE {
                self.aggregate = Some(Box::new(Aggregate::new(&message)));
                continue;
            }
            match Control::decode(&message)? {
                None => return Ok(Step::Message),
                Some(control) => {
                    if let Some(event) = self.obey(control)? {
                        return Ok(Step::User(event));
                    }
                }
            }
        }
    }

    /// The message that [`advance`](Self::advance) has just come upon in the same `input`.
    pub(super) fn message<'a>(&'a self, input: &'a [u8]) -> Message<'a> {
        match &self.aggregate {
            Some(aggregate) => aggregate.message(),
            None => self.reader.message(input),
        }
    }

    /// No more of `input` will be read, of which `count` bytes are: keeps what is incomplete and
    /// acknowledges when it is time.
    pub(super) fn end_input(&mut self, input: &[u8], count: usize) -> Result<(), ProtocolError> {
        self.reader.hold(input);
        self.count_received(count);
        if self.replied > limits::OUT_BYTES_MAX {
            return Err(ProtocolError::TooManyReplies {
                limit: limits::OUT_BYTES_MAX,
            });
        }
        Ok(())
    }

    /// Adds to the bytes received; the handshake's count too.
    pub(super) fn count_received(&mut self, count: usize) {
        self.received += count as u64;
        if self.received - self.acknowledged >= self.acknowledge_every {
            self.acknowledged = self.received;
            // Cumulative and modulo 2^32, §5.4.3: bonding encoders compute their bytes in
            // flight from it.
            let low = self.received & u64::from(u32::MAX);
            self.send(Control::Acknowledgement(u32::try_from(low).unwrap_or(0)));
        }
    }

    /// Follows a control message; gives back a user control event that only a role understands.
    fn obey(&mut self, control: Control) -> Result<Option<UserControl>, ProtocolError> {
        match control {
            Control::SetChunkSize(bytes) => {
                if bytes >> 31 != 0 || bytes < limits::CHUNK_SIZE_IN_MIN {
                    return Err(ProtocolError::ChunkSize { got: bytes });
                }
                self.reader
                    .set_chunk_size(bytes.min(limits::CHUNK_SIZE_IN_CAP) as usize);
            }
            Control::Abort(csid) => self.reader.abort(csid),
            Control::WindowAckSize(window) => {
                // Peers send any number here; a tiny one must not cost an answer per message.
                let window = u64::from(window & 0x7FFF_FFFF);
                self.acknowledge_every = window.max(u64::from(limits::ACK_WINDOW_MIN)) / 2;
            }
            // We never wait for acknowledgements: TCP's own window is the one that counts.
            Control::Acknowledgement(_) | Control::SetPeerBandwidth { .. } => {}
            Control::User(UserControl::PingRequest(time)) => {
                self.send(Control::User(UserControl::PingResponse(time)));
            }
            Control::User(event) => return Ok(Some(event)),
        }
        Ok(None)
    }

    pub(super) fn send(&mut self, control: Control) {
        let before = self.begin_reply();
        control.encode(self.out.writer());
        self.replied += self.out.pending().len() - before;
    }

    /// How much waits before a reply is added.
    fn begin_reply(&mut self) -> usize {
        if self.out.is_empty() {
            self.replied = 0;
        }
        self.out.pending().len()
    }

    /// Announces `bytes` as our chunk size and uses it from here on.
    pub(super) fn send_chunk_size(&mut self, bytes: u32) {
        self.send(Control::SetChunkSize(bytes));
        self.out_chunk_size = bytes as usize;
    }

    pub(super) fn send_command(
        &mut self,
        msid: u32,
        body: impl FnOnce(&mut super::amf0::Encoder<'_>),
    ) {
        let before = self.begin_reply();
        write_command(self.out.writer(), msid, self.out_chunk_size, body);
        self.replied += self.out.pending().len() - before;
    }

    /// onStatus, §7.2.2.
    pub(super) fn send_status(&mut self, msid: u32, status: Status, description: &str) {
        self.send_command(msid, |amf| {
            amf.string("onStatus").number(0.0).null().begin_object();
            amf.string_property("level", status.level());
            amf.string_property("code", status.code());
            amf.string_property("description", description).end_object();
        });
    }

    pub(super) fn out_chunk_size(&self) -> usize {
        self.out_chunk_size
    }
}

/// An aggregate message being taken apart. RTMP 1.0 §7.1.6: FLV tags back to back, on the time
/// of the aggregate and its message stream.
#[derive(Debug)]
struct Aggregate {
    header: MessageHeader,
    body: Vec<u8>,
    /// Where the next part begins.
    at: usize,
    /// Time of the first part; the others are counted from it.
    first: Option<Timestamp>,
    part: MessageHeader,
    /// Where the payload of the part at hand begins.
    payload_at: usize,
}

const PART_HEADER_BYTES: usize = 11;
const BACK_POINTER_BYTES: usize = 4;

impl Aggregate {
    fn new(message: &Message<'_>) -> Self {
        Self {
            header: message.header,
            body: message.payload.to_vec(),
            at: 0,
            first: None,
            part: message.header,
            payload_at: 0,
        }
    }

    /// Moves to the next part that is audio, video or data; false at the end. Other kinds have
    /// no place in an aggregate and are passed over.
    fn advance(&mut self) -> Result<bool, ProtocolError> {
        while self.at < self.body.len() {
            let rest = &self.body[self.at..];
            let head = rest
                .get(..PART_HEADER_BYTES)
                .ok_or(ProtocolError::Aggregate)?;
            let len = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
            if rest.len() - PART_HEADER_BYTES < len {
                return Err(ProtocolError::Aggregate);
            }
            let time = Timestamp(u32::from_be_bytes([head[7], head[4], head[5], head[6]]));
            let first = *self.first.get_or_insert(time);
            let offset = time.0.wrapping_sub(first.0);
            self.part = MessageHeader {
                kind: head[0],
                timestamp: self.header.timestamp.plus(offset),
                len,
                ..self.header
            };
            self.payload_at = self.at + PART_HEADER_BYTES;
            // The back pointer of the last part is left out by some; nothing depends on it.
            self.at = (self.payload_at + len + BACK_POINTER_BYTES).min(self.body.len());
            if matches!(self.part.kind, kind::AUDIO | kind::VIDEO | kind::DATA) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn message(&self) -> Message<'_> {
        let payload = &self.body[self.payload_at..self.payload_at + self.part.len];
        Message {
            header: self.part,
            payload: Payload::from_slice(payload),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtmp::writer::write_message;

    fn wire(message_kind: u8, time: u32, body: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        let header = MessageHeader {
            csid: 4,
            timestamp: Timestamp(time),
            kind: message_kind,
            msid: 1,
            len: body.len(),
        };
        write_message(&mut wire, &header, &Payload::from_slice(body), 128);
        wire
    }

    fn part(part_kind: u8, time: u32, body: &[u8]) -> Vec<u8> {
        let len = u32::try_from(body.len()).unwrap().to_be_bytes();
        let [top, times @ ..] = time.to_be_bytes();
        let mut bytes = vec![part_kind, len[1], len[2], len[3]];
        bytes.extend(times);
        bytes.extend([top, 0, 0, 0]);
        bytes.extend(body);
        bytes.extend((u32::try_from(body.len()).unwrap() + 11).to_be_bytes());
        bytes
    }

    fn messages(input: &[u8]) -> Result<Vec<(u8, u32, Vec<u8>)>, ProtocolError> {
        let mut link = Link::new(ReaderLimits::PUBLISHER);
        let (mut at, mut seen) = (0, Vec::new());
        while link.advance(input, &mut at)? == Step::Message {
            let message = link.message(input);
            let header = message.header;
            assert_eq!(header.msid, 1);
            seen.push((header.kind, header.timestamp.0, message.payload.to_vec()));
        }
        Ok(seen)
    }

    #[test]
    fn an_aggregate_is_split_on_its_own_time() {
        let body = [
            part(9, 5_000, b"video"),
            part(8, 5_020, b"a"),
            part(18, 4_990, b"d"),
        ]
        .concat();
        let input = [wire(kind::AGGREGATE, 100, &body), wire(8, 200, b"next")].concat();
        let expected = vec![
            (9, 100, b"video".to_vec()),
            (8, 120, b"a".to_vec()),
            (18, 90, b"d".to_vec()),
            (8, 200, b"next".to_vec()),
        ];
        assert_eq!(messages(&input), Ok(expected));
    }

    #[test]
    fn parts_of_other_kinds_are_passed_over_and_bad_lengths_refused() {
        let nested = part(22, 0, &part(9, 0, b"inner"));
        let body = [nested, part(1, 0, &[0, 0, 0, 1]), part(9, 0, b"v")].concat();
        let expected = vec![(9, 0, b"v".to_vec())];
        assert_eq!(messages(&wire(kind::AGGREGATE, 0, &body)), Ok(expected));
        let mut long = part(9, 0, b"v");
        long[3] = 9;
        assert_eq!(
            messages(&wire(kind::AGGREGATE, 0, &long)),
            Err(ProtocolError::Aggregate)
        );
        assert_eq!(
            messages(&wire(kind::AGGREGATE, 0, &[9, 0])),
            Err(ProtocolError::Aggregate)
        );
    }

    #[test]
    fn acknowledgements_are_cumulative_and_follow_the_clamped_window() {
        let mut link = Link::new(ReaderLimits::PUBLISHER);
        assert_eq!(link.obey(Control::WindowAckSize(1)), Ok(None));
        link.count_received(limits::ACK_WINDOW_MIN as usize / 2 - 1);
        assert!(link.out().is_empty());
        link.count_received(1);
        let mut expected = Vec::new();
        Control::Acknowledgement(limits::ACK_WINDOW_MIN / 2).encode(&mut expected);
        assert_eq!(link.out().pending(), expected);
        let sent = link.out().pending().len();
        link.out().advance(sent);
        link.received = u64::from(u32::MAX) - 4;
        link.acknowledged = link.received - 70_000;
        link.count_received(10);
        expected.clear();
        Control::Acknowledgement(5).encode(&mut expected);
        assert_eq!(link.out().pending(), expected);
    }

    #[test]
    fn chunk_sizes_out_of_range_are_refused_and_huge_ones_capped() {
        for got in [0, 1, 127, 0x8000_0000, u32::MAX] {
            let mut link = Link::new(ReaderLimits::PUBLISHER);
            let end = link.obey(Control::SetChunkSize(got));
            assert_eq!(end, Err(ProtocolError::ChunkSize { got }));
        }
        for fine in [128, 4_096, 0x0100_0000, 0x7FFF_FFFF] {
            let mut link = Link::new(ReaderLimits::PUBLISHER);
            assert_eq!(link.obey(Control::SetChunkSize(fine)), Ok(None));
        }
    }

    #[test]
    fn pings_are_answered_and_a_flood_of_them_ends_the_connection() {
        let mut link = Link::new(ReaderLimits::PUBLISHER);
        assert_eq!(
            link.obey(Control::User(UserControl::PingRequest(7))),
            Ok(None)
        );
        let mut expected = Vec::new();
        Control::User(UserControl::PingResponse(7)).encode(&mut expected);
        assert_eq!(link.out().pending(), expected);
        for time in 0..20_000 {
            assert_eq!(
                link.obey(Control::User(UserControl::PingRequest(time))),
                Ok(None)
            );
        }
        let limit = limits::OUT_BYTES_MAX;
        assert_eq!(
            link.end_input(&[], 0),
            Err(ProtocolError::TooManyReplies { limit })
        );
    }

    #[test]
    fn a_peer_that_reads_its_answers_may_ask_for_ever() {
        let mut link = Link::new(ReaderLimits::PUBLISHER);
        for time in 0..40_000 {
            assert_eq!(
                link.obey(Control::User(UserControl::PingRequest(time))),
                Ok(None)
            );
            assert_eq!(link.end_input(&[], 0), Ok(()));
            let sent = link.out().pending().len();
            link.out().advance(sent);
        }
    }
}
