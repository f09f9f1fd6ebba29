//! What both ends of an RTMP connection share: the handshake, the chunk reader, the bytes to send,
//! and everything a peer settles with protocol control messages (chunk size, abort,
//! acknowledgements, ping), so that the sessions see commands and media only.
//! RTMP 1.0 §5.2, §5.4, §6.2, §7.1.6.
//!
//! It decides nothing about streams. What a peer may do only so often is counted here for both
//! roles; the time is told with [`ControlLayer::set_now`].

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use crate::amf0::Encoder;
use crate::bucket::Bucket;
use crate::command::{Status, write_command};
use crate::control::{Control, UserControl};
use crate::error::ProtocolError;
use crate::handshake::Handshake;
use crate::limits;
use crate::message::{Message, MessageHeader, MessageStreamId, Payload, Timestamp, kind};
use crate::reader::{CHUNK_SIZE_INITIAL, ChunkReader, Read, ReaderLimits};

// No limit is needed for the payload of a chunk: chunks are as long as the chunk size but for the
// last of a message, and chunk sizes below 128 are refused. Tiny chunks are tiny messages.

/// Messages taken from their meter at one time.
const MESSAGES_TAKEN: u32 = 64;

/// What of each rate is used up.
#[derive(Debug, Default)]
struct Meters {
    messages: Bucket,
    glitches: Bucket,
    chunk_sizes: Bucket,
    replies: Bucket,
    unanswered: Bucket,
    stream_commands: Bucket,
    player_commands: Bucket,
    seeks: Bucket,
}

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

    /// The first `count` pending bytes have been sent. What was sent is given back once it is
    /// more than what waits, and an emptied outbox gives large buffers back: ten thousand idle
    /// players hold none.
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
        } else if self.sent > limits::OUTBOX_KEPT_BYTES && self.sent > self.pending().len() {
            // Fewer bytes move than have been sent since they last did.
            self.bytes.drain(..self.sent);
            self.sent = 0;
            if self.bytes.capacity() / 4 > self.bytes.len().max(limits::OUTBOX_KEPT_BYTES) {
                self.bytes.shrink_to(2 * self.bytes.len());
            }
        }
    }

    /// Bytes of memory it holds.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Where to append.
    pub fn writer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

/// What [`ControlLayer::advance`] came upon.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The input has no more.
    Done,
    /// A command or media message, for [`ControlLayer::message`] to give.
    Message,
    /// A user control event that the roles differ in.
    User(UserControl),
}

/// What a server's and a client's session have in common; both dereference to it.
///
/// A session is driven so: [`set_now`](Self::set_now), then its `next` with the same input until it
/// gives None, then [`end_input`](Self::end_input), after which the input may go; then what is in
/// [`out`](Self::out) is sent.
#[derive(Debug)]
pub struct ControlLayer {
    /// None when it is over.
    handshake: Option<Handshake>,
    /// What a peer has to do before its media is wanted.
    media_needs: &'static str,
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
    meters: Meters,
    /// Messages that have been taken from their meter and have not come.
    messages_left: u32,
}

impl ControlLayer {
    /// The layer of a new connection, whose handshake `begin` makes with the bytes to send. Media
    /// that comes before the peer has done what `media_needs` names is skipped, and too much of it
    /// ends the connection.
    pub(crate) fn new(
        media_needs: &'static str,
        begin: impl FnOnce(&mut Vec<u8>) -> Handshake,
    ) -> Self {
        let mut out = Outbox::default();
        let handshake = begin(out.writer());
        Self {
            handshake: Some(handshake),
            media_needs,
            reader: ChunkReader::new(ReaderLimits::UNAUTHORISED),
            out,
            replied: 0,
            out_chunk_size: CHUNK_SIZE_INITIAL,
            received: 0,
            acknowledged: 0,
            acknowledge_every: u64::from(limits::ACK_WINDOW_DEFAULT) / 2,
            aggregate: None,
            meters: Meters::default(),
            messages_left: 0,
        }
    }

    /// Sets the time, counted from the same moment for the life of the session. What a peer may do
    /// only so often is counted by it; while it stands still, only bursts pass.
    pub fn set_now(&mut self, now: Duration) {
        self.reader.set_now(now);
    }

    /// What is to be sent.
    pub fn out(&mut self) -> &mut Outbox {
        &mut self.out
    }

    /// The bytes that are to be sent.
    pub fn pending(&self) -> &[u8] {
        self.out.pending()
    }

    /// Whether the handshake is over.
    pub fn is_handshaken(&self) -> bool {
        self.handshake.is_none()
    }

    /// Payload bytes of messages that are still incomplete.
    pub fn partial_bytes(&self) -> usize {
        self.reader.partial_bytes()
    }

    /// When the incomplete message that has waited longest last got a byte, in the time of
    /// [`set_now`](Self::set_now); None when no message is incomplete. After
    /// [`limits::PARTIAL_MESSAGE_WAIT`] the connection is to end with
    /// [`ProtocolError::StalePartial`].
    pub fn oldest_partial(&self) -> Option<Duration> {
        self.reader.oldest_partial()
    }

    /// When the oldest incomplete message was begun, in the same time. After
    /// [`limits::PARTIAL_MESSAGE_TIME`] the connection is to end in the same way.
    pub fn oldest_begun(&self) -> Option<Duration> {
        self.reader.oldest_begun()
    }

    /// Bytes of memory behind the connection: what is incomplete, what waits to be sent, and what
    /// is kept for reuse.
    pub fn memory_bytes(&self) -> usize {
        self.input_bytes() + self.out.memory_bytes()
    }

    /// Bytes of memory that hold what the peer has sent and nobody has taken yet.
    pub fn input_bytes(&self) -> usize {
        let aggregate = self.aggregate.as_ref();
        let aggregate = aggregate.map_or(0, |aggregate| aggregate.body.capacity());
        self.reader.memory_bytes() + aggregate
    }

    /// Drops what the peer has sent and nobody has taken yet: nothing more will be read.
    pub fn drop_input(&mut self) {
        self.reader.drop_input();
        self.aggregate = None;
    }

    /// Gives back memory kept for reuse; for connections that have gone quiet.
    pub fn release_spare(&mut self) {
        self.reader.release_spare();
    }

    /// Payload bytes of the chunks that are sent.
    pub fn out_chunk_size(&self) -> usize {
        self.out_chunk_size
    }

    /// Counts `count` odd things that a layer above has seen in what the peer sent.
    ///
    /// # Errors
    /// They are too many.
    pub fn count_glitches(&mut self, count: u64) -> Result<(), ProtocolError> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let now = self.reader.now();
        match count == 0 || self.meters.glitches.take_many(limits::GLITCHES, now, count) {
            true => Ok(()),
            false => Err(ProtocolError::Glitches),
        }
    }

    /// Sends a user control event.
    pub fn send_user_control(&mut self, event: UserControl) {
        self.send(Control::User(event));
    }

    /// Ends the reading of `input`, of which `count` bytes were read: keeps what is incomplete, so
    /// that the input may go, and acknowledges when it is time.
    ///
    /// # Errors
    /// Answers pile up because the peer does not read them, or it sends too much media before any
    /// is wanted.
    pub fn end_input(&mut self, input: &[u8], count: usize) -> Result<(), ProtocolError> {
        if self.is_handshaken() {
            if self.reader.skipped_media() > limits::EARLY_MEDIA_BYTES_MAX {
                return Err(ProtocolError::Unexpected {
                    command: "media",
                    needs: self.media_needs,
                });
            }
            self.reader.hold(input);
        }
        self.count_received(count);
        match self.replied > limits::OUT_BYTES_MAX {
            true => Err(ProtocolError::TooManyReplies {
                limit: limits::OUT_BYTES_MAX,
            }),
            false => Ok(()),
        }
    }

    /// Goes on with the handshake; whether it is over.
    #[cold]
    pub(crate) fn shake_hands(
        &mut self,
        input: &[u8],
        at: &mut usize,
    ) -> Result<bool, ProtocolError> {
        if let Some(handshake) = &mut self.handshake {
            *at += handshake.handle_input(&input[*at..], self.out.writer())?;
            if !handshake.is_done() {
                return Ok(false);
            }
            self.handshake = None;
        }
        Ok(true)
    }

    pub(crate) fn reader(&mut self) -> &mut ChunkReader {
        &mut self.reader
    }

    /// Whether the `next` of a session has more to give even without more input: it stands inside
    /// an aggregate.
    pub fn has_more(&self) -> bool {
        self.aggregate.is_some()
    }

    /// Reads on to the next thing the session has to see.
    pub(crate) fn advance(&mut self, input: &[u8], at: &mut usize) -> Result<Step, ProtocolError> {
        loop {
            if let Some(aggregate) = &mut self.aggregate {
                match aggregate.advance()? {
                    Part::Media => {
                        self.count_message()?;
                        return Ok(Step::Message);
                    }
                    Part::Other => {
                        self.count_glitch()?;
                        continue;
                    }
                    Part::End => self.aggregate = None,
                }
            }
            match self.reader.advance(input, at)? {
                Read::Done => return Ok(Step::Done),
                Read::Message => self.count_message()?,
                Read::Empty => self.count_empty(input)?,
                Read::PassedOver { odd } => {
                    self.count_message()?;
                    if odd {
                        self.count_glitch()?;
                    }
                    continue;
                }
            }
            let message = self.reader.message(input);
            if message.header.kind == kind::AGGREGATE {
                self.aggregate = Some(Box::new(Aggregate::new(&message)));
                continue;
            }
            match Control::decode(&message)? {
                None => return Ok(Step::Message),
                Some(control) => {
                    if message.header.len < control.body_bytes() {
                        self.count_glitch()?;
                    }
                    if let Some(event) = self.apply_control(control)? {
                        return Ok(Step::User(event));
                    }
                }
            }
        }
    }

    /// The message that [`advance`](Self::advance) has just come upon in the same `input`.
    pub(crate) fn message<'a>(&'a self, input: &'a [u8]) -> Message<'a> {
        match &self.aggregate {
            Some(aggregate) => aggregate.message(),
            None => self.reader.message(input),
        }
    }

    /// Adds to the bytes received; the handshake's count too.
    fn count_received(&mut self, count: usize) {
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
    fn apply_control(&mut self, control: Control) -> Result<Option<UserControl>, ProtocolError> {
        match control {
            Control::SetChunkSize(bytes) => {
                if !self
                    .meters
                    .chunk_sizes
                    .take_many(limits::CHUNK_SIZES, self.reader.now(), 1)
                {
                    return Err(ProtocolError::ChunkSizeRate);
                }
                if bytes >> 31 != 0 || bytes < limits::CHUNK_SIZE_IN_MIN {
                    return Err(ProtocolError::ChunkSize { got: bytes });
                }
                self.reader
                    .set_chunk_size(bytes.min(limits::CHUNK_SIZE_IN_CAP) as usize);
            }
            Control::Abort(csid) => {
                if !self.reader.abort(csid) {
                    self.count_glitch()?;
                }
            }
            Control::WindowAckSize(window) => {
                // Peers send any number here; a tiny one must not cost an answer per message.
                let window = u64::from(window & 0x7FFF_FFFF);
                self.acknowledge_every = window.max(u64::from(limits::ACK_WINDOW_MIN)) / 2;
            }
            // We never wait for acknowledgements: TCP's own window is the one that counts.
            Control::Acknowledgement(_) | Control::SetPeerBandwidth { .. } => {}
            Control::User(UserControl::PingRequest(time)) => {
                if self.may_answer()? {
                    self.send(Control::User(UserControl::PingResponse(time)));
                }
            }
            Control::User(event) => {
                if let UserControl::Other(_) = event {
                    self.count_glitch()?;
                }
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// A message has come. They are taken from their meter by the dozen, so that counting costs
    /// nothing worth speaking of.
    #[inline]
    fn count_message(&mut self) -> Result<(), ProtocolError> {
        match self.messages_left.checked_sub(1) {
            Some(left) => self.messages_left = left,
            None => self.take_messages()?,
        }
        Ok(())
    }

    /// Takes messages from their meter, of which the one at hand is the first.
    #[cold]
    #[inline(never)]
    fn take_messages(&mut self) -> Result<(), ProtocolError> {
        let meter = &mut self.meters.messages;
        let taken = [MESSAGES_TAKEN, 1]
            .into_iter()
            .find(|&count| meter.take_many(limits::MESSAGES, self.reader.now(), count));
        self.messages_left = taken.ok_or(ProtocolError::MessageRate)? - 1;
        Ok(())
    }

    /// A message without a byte has come.
    #[cold]
    fn count_empty(&mut self, input: &[u8]) -> Result<(), ProtocolError> {
        self.count_message()?;
        match self.reader.message(input).header.kind {
            // Of audio it says that there is silence: E-RTMP v2 "Enhanced Audio". A command is
            // judged where it is read, and a control message is an error.
            kind::VIDEO | kind::DATA | kind::DATA_AMF3 | kind::AGGREGATE => self.count_glitch(),
            _ => Ok(()),
        }
    }

    /// Something odd has come that the protocol allows.
    #[cold]
    pub(crate) fn count_glitch(&mut self) -> Result<(), ProtocolError> {
        self.count_glitches(1)
    }

    /// Whether a call or ping that wants an answer gets one. Nobody works with answers that come
    /// by hundreds, so what is asked too fast is not answered, and not for ever.
    ///
    /// # Errors
    /// Too much went unanswered.
    pub(crate) fn may_answer(&mut self) -> Result<bool, ProtocolError> {
        let meters = &mut self.meters;
        if meters
            .replies
            .take_many(limits::REPLIES, self.reader.now(), 1)
        {
            return Ok(true);
        }
        if meters
            .unanswered
            .take_many(limits::UNANSWERED, self.reader.now(), 1)
        {
            return Ok(false);
        }
        Err(ProtocolError::CallRate)
    }

    /// A play, play2 or publish has come.
    pub(crate) fn count_stream_command(&mut self) -> Result<(), ProtocolError> {
        let meter = &mut self.meters.stream_commands;
        match meter.take_many(limits::STREAM_COMMANDS, self.reader.now(), 1) {
            true => Ok(()),
            false => Err(ProtocolError::StreamCommandRate),
        }
    }

    /// A pause, seek, receiveAudio or receiveVideo has come, whose answer may be long.
    pub(crate) fn count_player_command(&mut self) -> Result<(), ProtocolError> {
        let meter = &mut self.meters.player_commands;
        if !meter.take_many(limits::PLAYER_COMMANDS, self.reader.now(), 1) {
            return Err(ProtocolError::PlayerCommandRate);
        }
        let limit = limits::COMMAND_BACKLOG_BYTES_MAX;
        match self.out.pending().len() > limit {
            true => Err(ProtocolError::TooManyReplies { limit }),
            false => Ok(()),
        }
    }

    /// Whether one more seek may be followed, which has a group of pictures sent again.
    pub(crate) fn may_seek(&mut self) -> bool {
        self.meters.seeks.take(limits::SEEKS, self.reader.now())
    }

    pub(crate) fn send(&mut self, control: Control) {
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
    pub(crate) fn send_chunk_size(&mut self, bytes: u32) {
        self.send(Control::SetChunkSize(bytes));
        self.out_chunk_size = bytes as usize;
    }

    /// Sends any command on message stream `msid`; `body` writes name and values.
    pub fn send_command(&mut self, msid: MessageStreamId, body: impl FnOnce(&mut Encoder<'_>)) {
        let before = self.begin_reply();
        write_command(self.out.writer(), msid, self.out_chunk_size, body);
        self.replied += self.out.pending().len() - before;
    }

    /// Tells the peer about its message stream: onStatus, RTMP 1.0 §7.2.2.
    pub fn send_status(&mut self, msid: MessageStreamId, status: Status, description: &str) {
        self.send_command(msid, |amf| {
            amf.string("onStatus").number(0.0).null().begin_object();
            amf.string_property("level", status.level());
            amf.string_property("code", status.code());
            amf.string_property("description", description).end_object();
        });
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

/// What an aggregate has next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Audio, video or data.
    Media,
    /// A kind that has no place in an aggregate.
    Other,
    /// Nothing.
    End,
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

    /// Moves to the next part.
    fn advance(&mut self) -> Result<Part, ProtocolError> {
        let rest = &self.body[self.at..];
        if rest.is_empty() {
            return Ok(Part::End);
        }
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
        Ok(match self.part.kind {
            kind::AUDIO | kind::VIDEO | kind::DATA => Part::Media,
            _ => Part::Other,
        })
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
mod tests;
