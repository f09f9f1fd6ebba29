//! A simulated encoder: headers, then audio, video and data of many sizes, in chunks of several
//! sizes, now and then one message inside another.

use std::collections::VecDeque;
use std::rc::Rc;

use super::rng::Rng;
use super::truth::{Draft, NUMBER_BYTES, Need, Publication, Truth};
use crate::rtmp::amf0::Encoder as Amf;
use crate::rtmp::control::Control;
use crate::rtmp::message::{MessageHeader, MessageStreamId, Payload, Timestamp, kind};
use crate::rtmp::writer::{encoded_len, write_message};

/// See the module text.
#[derive(Debug)]
pub(super) struct Encoder {
    pub(super) publication: usize,
    /// The message stream it publishes on.
    msid: MessageStreamId,
    video: bool,
    audio: bool,
    /// FourCC codecs.
    enhanced: bool,
    /// Data is labelled AMF3.
    amf3: bool,
    /// Messages out of a thousand that are up to 200 KiB long.
    large: usize,
    csids: [u32; 3],
    time: u32,
    /// Initial headers are stamped with 0, as most encoders do.
    headers_at_zero: bool,
    group: usize,
    since_key: usize,
    /// Track of the pictures, if they are multitrack messages.
    track: Option<u8>,
    clock: Clock,
    /// Added to the time of sound and of pictures.
    offsets: [u32; 2],
    /// Sent before anything else, in this order.
    first: VecDeque<Need>,
}

/// What the timestamps of an encoder do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    Steady,
    /// The first frame is one of a clock before.
    OldFrameFirst,
    /// It starts anywhere else now and then.
    Steps,
}

/// A message encoded, cut at its chunks.
struct Chunks {
    bytes: Vec<u8>,
    first: usize,
    next: usize,
}

impl Encoder {
    pub(super) fn new(rng: &mut Rng, publication: usize, msid: MessageStreamId) -> Self {
        let (video, audio) = rng.pick(&[
            (true, true),
            (true, true),
            (true, true),
            (false, true),
            (true, false),
        ]);
        let mut first = VecDeque::new();
        if rng.chance(800) {
            first.push_back(Need::Metadata);
        }
        if video {
            first.push_back(Need::Video);
        }
        if audio && rng.chance(900) {
            first.push_back(Need::Audio);
        }
        if rng.chance(200) && first.len() > 1 {
            first.rotate_left(1);
        }
        let time = match rng.below(5) {
            0 => 0xFF_FFFF - rng.millis(0, 400),
            1 => u32::MAX - rng.millis(0, 400),
            2 => rng.millis(0, 1 << 30),
            _ => 0,
        };
        // None ever, or none for long.
        let group = match rng.below(12) {
            0 => usize::MAX,
            1 => 3_000,
            _ => rng.range(3, 60),
        };
        let enhanced = rng.chance(300);
        let clock = match rng.below(10) {
            0 => Clock::OldFrameFirst,
            1 => Clock::Steps,
            _ => Clock::Steady,
        };
        let old = if clock == Clock::OldFrameFirst {
            3_000_000
        } else {
            0
        };
        let apart = if rng.chance(50) { 1_000_000 } else { old };
        Self {
            track: (enhanced && rng.chance(300)).then(|| rng.pick(&[0, 1, 7])),
            clock,
            offsets: [apart, old],
            publication,
            msid,
            video,
            audio,
            enhanced,
            amf3: rng.chance(200),
            large: rng.pick(&[0, 0, 0, 5, 30]),
            csids: rng.pick(&[[4, 6, 5], [4, 6, 3], [4, 4, 4], [10, 64, 320], [7, 5, 63]]),
            time,
            headers_at_zero: time < 1 << 30 && rng.chance(500),
            group,
            since_key: if group == usize::MAX { 0 } else { group },
            first,
        }
    }

    /// The same encoder with key frames and one steady clock.
    pub(super) fn plain(self) -> Self {
        let group = self.group.min(60);
        Self {
            group,
            since_key: group,
            track: None,
            clock: Clock::Steady,
            offsets: [0, 0],
            ..self
        }
    }

    /// The next message, or two. `chunk_size` is that of the connection.
    pub(super) fn emit(
        &mut self,
        rng: &mut Rng,
        truth: &mut Truth,
        chunk_size: &mut usize,
        out: &mut Vec<u8>,
    ) {
        if let Some(need) = self.first.pop_front() {
            let time = if self.headers_at_zero { 0 } else { self.time };
            let draft = self.header(rng, need, None, time);
            self.send(truth, &draft, *chunk_size, out);
            return;
        }
        if rng.chance(5) {
            *chunk_size = rng.pick(&[128, 131, 1_000, 4_096, 70_000]);
            let bytes = u32::try_from(*chunk_size).unwrap();
            Control::SetChunkSize(bytes).encode(out);
        }
        self.time = self.time.wrapping_add(rng.millis(1, 40));
        if self.clock == Clock::Steps && rng.chance(20) {
            let offset = rng.millis(0, 1 << 30);
            self.offsets = [offset, offset];
        }
        if self.clock != Clock::Steady || self.offsets[0] != self.offsets[1] {
            truth.publications[self.publication].is_unsteady = true;
        }
        let draft = self.draft(rng, &truth.publications[self.publication]);
        let is_long = draft.kind == kind::VIDEO && draft.again.is_none() && draft.len > *chunk_size;
        if is_long && self.audio && self.csids[0] != self.csids[1] && rng.chance(300) {
            let inner = self.audio_frame(rng);
            self.send_inside(rng, truth, [&draft, &inner], *chunk_size, out);
        } else {
            self.send(truth, &draft, *chunk_size, out);
        }
        if draft.coded && self.clock == Clock::OldFrameFirst {
            self.offsets = [0, 0];
        }
        if draft.key {
            self.since_key = 0;
        } else if draft.header == Some(Need::Video) && self.group < 100 && rng.chance(700) {
            self.since_key = self.group;
        }
    }

    fn draft(&mut self, rng: &mut Rng, publication: &Publication) -> Draft {
        let again = |need: Need| publication.in_force()[need as usize];
        let needs: &[Need] = match (self.video, self.audio) {
            (true, true) if self.enhanced => &[Need::Video, Need::VideoMetadata, Need::Audio],
            (true, true) => &[Need::Video, Need::Audio],
            (true, false) => &[Need::Video],
            _ => &[Need::Audio],
        };
        match rng.below(1_000) {
            0..12 => self.header(rng, Need::Metadata, None, self.time),
            12..20 => self.header(rng, Need::Metadata, again(Need::Metadata), self.time),
            20..35 => {
                let need = rng.pick(needs);
                self.header(rng, need, None, self.time)
            }
            35..45 => {
                let need = rng.pick(needs);
                self.header(rng, need, again(need), self.time)
            }
            45..70 => self.data(rng),
            _ if self.video && (!self.audio || rng.chance(400)) => self.video_frame(rng),
            _ => self.audio_frame(rng),
        }
    }

    /// Mostly what frames are, sometimes nothing at all, sometimes very large.
    fn len(&self, rng: &mut Rng, whole: usize) -> usize {
        let numbered = whole + NUMBER_BYTES;
        match rng.below(1_000) {
            large if large < self.large => rng.range(20_000, 200 * 1_024),
            0..900 => numbered + rng.below(700),
            900..990 => numbered + rng.below(6_000),
            _ => numbered + rng.below(20_000),
        }
    }

    fn video_frame(&mut self, rng: &mut Rng) -> Draft {
        let key = self.since_key >= self.group || self.group < 100 && rng.chance(5);
        self.since_key += 1;
        let frame = match key {
            true => 1,
            false => rng.pick(&[2, 2, 2, 3]),
        };
        let head = match (self.enhanced, self.track) {
            (true, Some(track)) => vec![0x86 | frame << 4, 3, b'h', b'v', b'c', b'1', track],
            (true, None) => vec![0x80 | frame << 4 | 3, b'h', b'v', b'c', b'1'],
            (false, _) => vec![frame << 4 | 7, 1, 0, 0, 0],
        };
        let mut len = self.len(rng, head.len());
        if !key && rng.chance(30) {
            len = rng.below(head.len() + NUMBER_BYTES);
        }
        // Of the legacy form a header cut short is unknown, which counts as coded; one without a
        // body is not.
        let empty = if self.track.is_some() { 7 } else { 5 };
        let coded = len != 0 && len != empty;
        self.frame(kind::VIDEO, head, len, coded, key)
    }

    fn audio_frame(&self, rng: &mut Rng) -> Draft {
        let head = match self.enhanced {
            true => vec![0x91, b'O', b'p', b'u', b's'],
            false => vec![0xAF, 1],
        };
        let len = match rng.chance(20) {
            true => 0,
            false => self.len(rng, head.len()),
        };
        self.frame(kind::AUDIO, head, len, len > 0, false)
    }

    fn frame(&self, media: u8, head: Vec<u8>, len: usize, coded: bool, key: bool) -> Draft {
        let offset = self.offsets[usize::from(media != kind::AUDIO)];
        Draft {
            kind: media,
            time: self.time.wrapping_add(offset),
            head,
            len,
            header: None,
            again: None,
            coded,
            key,
        }
    }

    fn header(&self, rng: &mut Rng, need: Need, again: Option<u32>, time: u32) -> Draft {
        let (kind, head) = match need {
            Need::Metadata => (kind::DATA, string("onMetaData")),
            Need::Video if self.enhanced => (kind::VIDEO, b"\x90hvc1".to_vec()),
            Need::Video => (kind::VIDEO, vec![0x17, 0, 0, 0, 0]),
            Need::VideoMetadata => (kind::VIDEO, b"\x94hvc1".to_vec()),
            Need::Audio if self.enhanced => (kind::AUDIO, b"\x90Opus".to_vec()),
            Need::Audio => (kind::AUDIO, vec![0xAF, 0]),
        };
        let more = if rng.chance(50) { 20_000 } else { 300 };
        let len = head.len() + NUMBER_BYTES + rng.below(more);
        Draft {
            header: Some(need),
            again,
            time,
            ..self.frame(kind, head, len, false, false)
        }
    }

    fn data(&self, rng: &mut Rng) -> Draft {
        let head = string(rng.pick(&["onCuePoint", "onTextData"]));
        let len = self.len(rng, head.len());
        self.frame(kind::DATA, head, len, false, false)
    }

    fn send(&self, truth: &mut Truth, draft: &Draft, chunk_size: usize, out: &mut Vec<u8>) {
        let body = truth.add(self.publication, draft);
        out.extend_from_slice(&self.chunks(draft, &body, chunk_size).bytes);
    }

    /// Sends the second message between two chunks of the first, so that it is whole earlier.
    fn send_inside(
        &self,
        rng: &mut Rng,
        truth: &mut Truth,
        [outer, inner]: [&Draft; 2],
        chunk_size: usize,
        out: &mut Vec<u8>,
    ) {
        // In the order in which they become whole. The time is the same.
        let inner = self.chunks(inner, &truth.add(self.publication, inner), chunk_size);
        let outer = self.chunks(outer, &truth.add(self.publication, outer), chunk_size);
        let whole = (outer.bytes.len() - outer.first) / outer.next.max(1);
        let cut = outer.first + rng.below(whole) * outer.next;
        out.extend_from_slice(&outer.bytes[..cut]);
        out.extend_from_slice(&inner.bytes);
        out.extend_from_slice(&outer.bytes[cut..]);
    }

    fn chunks(&self, draft: &Draft, body: &Rc<[u8]>, chunk_size: usize) -> Chunks {
        // What is labelled AMF3 has a format byte in front, and metadata is wrapped; players get
        // neither.
        let mut wrapped = Vec::new();
        let (mut message_kind, mut payload) = (draft.kind, &body[..]);
        if draft.kind == kind::DATA && (self.amf3 || draft.header.is_some()) {
            if self.amf3 {
                message_kind = kind::DATA_AMF3;
                wrapped.push(0);
            }
            if draft.header.is_some() {
                Amf::new(&mut wrapped).string("@setDataFrame");
            }
            wrapped.extend_from_slice(body);
            payload = &wrapped;
        }
        let csid = match draft.kind {
            kind::AUDIO => self.csids[0],
            kind::VIDEO => self.csids[1],
            _ => self.csids[2],
        };
        let header = MessageHeader {
            csid,
            timestamp: Timestamp(draft.time),
            kind: message_kind,
            msid: self.msid,
            len: payload.len(),
        };
        let mut bytes = Vec::new();
        write_message(
            &mut bytes,
            &header,
            &Payload::from_slice(payload),
            chunk_size,
        );
        let empty = MessageHeader { len: 0, ..header };
        let head = encoded_len(&empty, chunk_size);
        let more = payload.len().div_ceil(chunk_size).saturating_sub(1);
        let continued = (bytes.len() - head - payload.len())
            .checked_div(more)
            .unwrap_or(0);
        Chunks {
            first: head + payload.len().min(chunk_size),
            next: continued + chunk_size,
            bytes,
        }
    }
}

fn string(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    Amf::new(&mut bytes).string(text);
    bytes
}
