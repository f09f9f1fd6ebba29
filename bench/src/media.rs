//! The synthetic live stream: which message is due when, and its bytes.
//!
//! Every message says which stream it belongs to, its number and when it was sent, in a place
//! that decoders and relays pass over: a user data SEI in video, a data stream element in audio.
//! All else follows from these three, so that a receiver can make the same message again and
//! compare every byte. No byte of stamp or filler is zero, which keeps start codes out of them.
//!
//! ```text
//!   video  17 01 000000 | len SEI( stamp ; filler ) | len slice      FLV 10.1 §E.4.3, AVCC
//!   audio  AF 01 | DSE( stamp ) DSE( filler )... silence             FLV 10.1 §E.4.2
//! ```

use tailwater::rtmp::amf0::Encoder;
use tailwater::rtmp::message::kind;

use crate::coded::{self, SAMPLE_RATE, SAMPLES_PER_FRAME};

/// What a stream looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Bits a second of audio and video together, message headers not counted.
    pub bitrate: u64,
    /// Pictures a second.
    pub frame_rate: u64,
    /// A key frame every so many pictures.
    pub key_interval: u64,
}

/// A key frame has so many times the size of another frame.
const KEY_WEIGHT: u64 = 8;
/// Bits a second of the audio, when that is no more than a quarter of the stream.
const AUDIO_BITRATE: u64 = 64_000;

impl Shape {
    fn audio_bytes(&self) -> usize {
        let bitrate = AUDIO_BITRATE.min(self.bitrate / 4);
        let bytes = bitrate * SAMPLES_PER_FRAME / SAMPLE_RATE / 8;
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    fn video_bytes(&self, is_key: bool) -> usize {
        let bitrate = self.bitrate - AUDIO_BITRATE.min(self.bitrate / 4);
        let parts = self.key_interval - 1 + KEY_WEIGHT;
        let group = bitrate * self.key_interval / self.frame_rate / 8;
        let bytes = group / parts * if is_key { KEY_WEIGHT } else { 1 };
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// Messages a second, audio and video.
    pub fn messages_per_second(&self) -> f64 {
        self.frame_rate as f64 + SAMPLE_RATE as f64 / SAMPLES_PER_FRAME as f64
    }
}

/// Which message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Audio or video, see [`kind`].
    pub kind: u8,
    /// Number of the stream.
    pub stream: u32,
    /// Counts the messages of this kind from 0.
    pub number: u64,
    /// When it was sent, as [`now_ns`](crate::measure::now_ns) tells.
    pub sent_ns: u64,
}

/// The next message of a stream and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Nanoseconds after the first message.
    pub at_ns: u64,
    /// Its RTMP timestamp.
    pub timestamp: u32,
    /// Audio or video.
    pub kind: u8,
    /// Its number among those of its kind.
    pub number: u64,
}

/// Tells the messages of one stream in the order of their times.
#[derive(Clone, Debug)]
pub struct Schedule {
    frame_rate: u64,
    video: u64,
    audio: u64,
}

impl Schedule {
    /// From the first message on.
    pub fn new(shape: &Shape) -> Self {
        Self {
            frame_rate: shape.frame_rate,
            video: 0,
            audio: 0,
        }
    }

    /// The next message.
    pub fn peek(&self) -> Due {
        let video_ns = self.video * 1_000_000_000 / self.frame_rate;
        let audio_ns = time_of_samples(self.audio * SAMPLES_PER_FRAME);
        let (at_ns, kind, number) = if video_ns <= audio_ns {
            (video_ns, kind::VIDEO, self.video)
        } else {
            (audio_ns, kind::AUDIO, self.audio)
        };
        Due {
            at_ns,
            timestamp: u32::try_from(at_ns / 1_000_000).unwrap_or(u32::MAX),
            kind,
            number,
        }
    }

    /// Goes on to the message after it.
    pub fn advance(&mut self) {
        match self.peek().kind {
            kind::VIDEO => self.video += 1,
            _ => self.audio += 1,
        }
    }
}

/// When the sample of this number is played, in nanoseconds.
fn time_of_samples(samples: u64) -> u64 {
    let (seconds, rest) = (samples / SAMPLE_RATE, samples % SAMPLE_RATE);
    seconds * 1_000_000_000 + rest * 1_000_000_000 / SAMPLE_RATE
}

/// Makes the messages of any number of streams of one shape.
pub struct Media {
    shape: Shape,
    key_picture: Vec<u8>,
    repeated: Vec<Vec<u8>>,
    filler: Vec<u8>,
}

const FILLER_BYTES: usize = 1 << 16;
/// Marks our user data, as H.264 §D.1.7 wants.
const UUID: [u8; 16] = *b"tailwater-bench\x01";
/// A number in stamp form has ten bytes.
const NUMBER_BYTES: usize = 10;
const STAMP_BYTES: usize = 3 * NUMBER_BYTES;
/// Where the stamp of a video message begins: tag header, length, SEI header, UUID.
const VIDEO_STAMP_AT: usize = 5 + 4 + 3 + UUID.len();
/// Where the stamp of an audio message begins: tag header, element header.
const AUDIO_STAMP_AT: usize = 2 + 2;

impl Media {
    /// A maker for `shape`.
    pub fn new(shape: Shape) -> Self {
        let mut state = 0x2545_F491_4F6C_DD1Du64;
        let filler = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[5].max(1)
        });
        Self {
            shape,
            key_picture: coded::key_picture(),
            repeated: (0..16).map(coded::repeated_picture).collect(),
            filler: filler.take(FILLER_BYTES).collect(),
        }
    }

    /// The shape of its streams.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// What a publisher sends before media: kinds and bodies of metadata and both sequence
    /// headers.
    pub fn headers(&self) -> [(u8, Vec<u8>); 3] {
        let mut metadata = Vec::new();
        let mut amf = Encoder::new(&mut metadata);
        amf.string("@setDataFrame").string("onMetaData");
        amf.begin_ecma_array(10);
        let kbit = self.shape.bitrate as f64 / 1_000.0;
        for (key, value) in [
            ("width", f64::from(coded::WIDTH)),
            ("height", f64::from(coded::HEIGHT)),
            ("videocodecid", 7.0),
            ("videodatarate", kbit),
            ("framerate", self.shape.frame_rate as f64),
            ("audiocodecid", 10.0),
            ("audiodatarate", AUDIO_BITRATE as f64 / 1_000.0),
            ("audiosamplerate", SAMPLE_RATE as f64),
            ("audiosamplesize", 16.0),
        ] {
            amf.number_property(key, value);
        }
        amf.string_property("encoder", "tailwater-bench");
        amf.end_object();
        let video = [&[0x17, 0x00, 0, 0, 0][..], &coded::video_config()].concat();
        let audio = [&[0xAF, 0x00][..], &coded::AUDIO_CONFIG].concat();
        [
            (kind::DATA, metadata),
            (kind::VIDEO, video),
            (kind::AUDIO, audio),
        ]
    }

    /// Writes the body of a message to `out`, which is emptied before.
    pub fn write(&self, label: &Label, out: &mut Vec<u8>) {
        out.clear();
        match label.kind {
            kind::VIDEO => self.write_video(label, out),
            _ => self.write_audio(label, out),
        }
    }

    fn write_video(&self, label: &Label, out: &mut Vec<u8>) {
        let in_group = label.number % self.shape.key_interval;
        let is_key = in_group == 0;
        out.extend([if is_key { 0x17 } else { 0x27 }, 0x01, 0, 0, 0]);
        let picture = match is_key {
            true => &self.key_picture,
            false => &self.repeated[usize::try_from(in_group % 16).unwrap_or(0)],
        };
        let sei_at = out.len();
        out.extend([0, 0, 0, 0, 0x06]);
        out.extend([0x05, 16 + 30]);
        out.extend(UUID);
        write_stamp(label, out);
        // What is missing to the size, less what is still to come around it.
        let room = self.shape.video_bytes(is_key);
        let rest = room.saturating_sub(out.len() + picture.len() + 5 + 16 + 3);
        let filler = rest.saturating_sub(rest / 255);
        out.push(0x05);
        let size = 16 + filler;
        out.extend(std::iter::repeat_n(0xFF, size / 255));
        out.push(u8::try_from(size % 255).unwrap_or(0));
        out.extend(UUID);
        self.write_filler(label, filler, out);
        out.push(0x80);
        let sei_len = u32::try_from(out.len() - sei_at - 4).unwrap_or(u32::MAX);
        out[sei_at..sei_at + 4].copy_from_slice(&sei_len.to_be_bytes());
        let len = u32::try_from(picture.len()).unwrap_or(u32::MAX);
        out.extend(len.to_be_bytes());
        out.extend_from_slice(picture);
    }

    fn write_audio(&self, label: &Label, out: &mut Vec<u8>) {
        /// Data stream element, instance 0, aligned. ISO/IEC 14496-3 §4.4.2.7.
        const ELEMENT: u8 = 0x81;
        /// A longer one needs a second count.
        const ELEMENT_BYTES_MAX: usize = 254;
        out.extend([0xAF, 0x01, ELEMENT, 30]);
        write_stamp(label, out);
        let size = self.shape.audio_bytes();
        loop {
            let rest = size.saturating_sub(out.len() + 2 + coded::SILENCE.len());
            let filler = rest.min(ELEMENT_BYTES_MAX);
            if filler == 0 {
                break;
            }
            out.extend([ELEMENT, u8::try_from(filler).unwrap_or(0)]);
            self.write_filler(label, filler, out);
        }
        out.extend(coded::SILENCE);
    }

    /// `count` bytes that differ from message to message.
    fn write_filler(&self, label: &Label, count: usize, out: &mut Vec<u8>) {
        let seed = label.number.wrapping_mul(7_919) + u64::from(label.stream) * 104_729;
        let mut at = usize::try_from(seed % FILLER_BYTES as u64).unwrap_or(0);
        let mut left = count;
        while left > 0 {
            let take = left.min(FILLER_BYTES - at);
            out.extend_from_slice(&self.filler[at..at + take]);
            left -= take;
            at = 0;
        }
    }
}

/// Seven bits a byte with the top bit set: never zero.
fn write_stamp(label: &Label, out: &mut Vec<u8>) {
    for number in [u64::from(label.stream), label.number, label.sent_ns] {
        for place in (0..NUMBER_BYTES).rev() {
            out.push((number >> (7 * place)).to_le_bytes()[0] | 0x80);
        }
    }
}

/// The label of a coded message; None for anything else.
pub fn read_label(message_kind: u8, body: &[u8]) -> Option<Label> {
    let at = match (message_kind, body.first_chunk::<2>()?) {
        (kind::VIDEO, [0x17 | 0x27, 0x01]) => VIDEO_STAMP_AT,
        (kind::AUDIO, [0xAF, 0x01]) => AUDIO_STAMP_AT,
        _ => return None,
    };
    let stamp = body.get(at..at + STAMP_BYTES)?;
    let mut numbers = stamp.chunks_exact(NUMBER_BYTES).map(|bytes| {
        let join = |number: u64, &byte: &u8| number << 7 | u64::from(byte & 0x7F);
        bytes.iter().fold(0, join)
    });
    Some(Label {
        kind: message_kind,
        stream: u32::try_from(numbers.next()?).ok()?,
        number: numbers.next()?,
        sent_ns: numbers.next()?,
    })
}

/// Whether a message is a coded key frame, the first a player can show.
pub fn is_key_frame(message_kind: u8, body: &[u8]) -> bool {
    message_kind == kind::VIDEO && body.starts_with(&[0x17, 0x01])
}

/// Whether a message is coded audio or video: no header, no metadata.
pub fn is_coded(message_kind: u8, body: &[u8]) -> bool {
    matches!(message_kind, kind::VIDEO | kind::AUDIO) && body.get(1) == Some(&0x01)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        bitrate: 600_000,
        frame_rate: 25,
        key_interval: 50,
    };

    fn label(kind: u8, number: u64) -> Label {
        Label {
            kind,
            stream: 7,
            number,
            sent_ns: 0x0123_4567_89AB_CDEF,
        }
    }

    #[test]
    fn a_second_has_25_pictures_43_audio_frames_and_the_bitrate() {
        let media = Media::new(SHAPE);
        let mut schedule = Schedule::new(&SHAPE);
        let (mut video, mut audio, mut bytes, mut last) = (0, 0, 0, 0);
        let mut body = Vec::new();
        while schedule.peek().at_ns < 20_000_000_000 {
            let due = schedule.peek();
            assert!(due.at_ns >= last);
            last = due.at_ns;
            *(if due.kind == kind::VIDEO {
                &mut video
            } else {
                &mut audio
            }) += 1;
            media.write(&label(due.kind, due.number), &mut body);
            bytes += body.len();
            schedule.advance();
        }
        assert_eq!((video, audio), (500, 862));
        let bitrate = bytes * 8 / 20;
        assert!((590_000..610_000).contains(&bitrate), "{bitrate}");
        assert!((68.0..68.1).contains(&SHAPE.messages_per_second()));
    }

    #[test]
    fn a_label_is_read_back_from_every_message() {
        let media = Media::new(SHAPE);
        let mut body = Vec::new();
        for expected in [
            label(kind::VIDEO, 0),
            label(kind::VIDEO, 51),
            label(kind::AUDIO, 123_456_789),
        ] {
            media.write(&expected, &mut body);
            assert_eq!(read_label(expected.kind, &body), Some(expected));
            assert!(is_coded(expected.kind, &body));
            assert_eq!(is_key_frame(expected.kind, &body), expected.number == 0);
        }
        for (header, body) in media.headers() {
            assert_eq!(read_label(header, &body), None);
        }
    }

    #[test]
    fn nal_units_of_any_size_fill_the_message_and_have_no_start_code() {
        for bitrate in [10_000, 100_000, 123_457, 600_000, 4_000_000, 40_000_000] {
            let media = Media::new(Shape { bitrate, ..SHAPE });
            let mut body = Vec::new();
            for number in 0..3 {
                media.write(&label(kind::VIDEO, number), &mut body);
                let is_start = |w: &[u8]| w[0] == 0 && w[1] == 0 && w[2] <= 3;
                let (len, sei) = body[5..].split_first_chunk().unwrap();
                let len = u32::from_be_bytes(*len) as usize;
                assert!(!sei[..len].windows(3).any(is_start));
                assert_eq!(sei[len - 1], 0x80);
                let (slice_len, slice) = sei[len..].split_first_chunk().unwrap();
                assert_eq!(u32::from_be_bytes(*slice_len) as usize, slice.len());
                // The sizes in the second SEI message lead to its end.
                let second = &sei[3 + 16 + STAMP_BYTES..len - 1];
                assert_eq!(second[0], 0x05);
                let full = second[1..].iter().take_while(|&&b| b == 0xFF).count();
                let size = full * 255 + usize::from(second[1 + full]);
                assert_eq!(second.len(), 2 + full + size);
            }
        }
    }

    #[test]
    fn the_relay_takes_the_messages_for_what_they_are() {
        use tailwater::rtmp::media::{FrameKind, inspect_audio, inspect_video};
        let media = Media::new(SHAPE);
        let mut body = Vec::new();
        media.write(&label(kind::VIDEO, 50), &mut body);
        assert_eq!(inspect_video(&body, body.len()).kind, FrameKind::Keyframe);
        media.write(&label(kind::VIDEO, 49), &mut body);
        assert_eq!(inspect_video(&body, body.len()).kind, FrameKind::Inter);
        media.write(&label(kind::AUDIO, 1), &mut body);
        assert_eq!(inspect_audio(&body, body.len()).kind, FrameKind::Audio);
        let [_, (_, video), (_, audio)] = media.headers();
        assert_eq!(
            inspect_video(&video, video.len()).kind,
            FrameKind::SequenceHeader
        );
        assert_eq!(
            inspect_audio(&audio, audio.len()).kind,
            FrameKind::SequenceHeader
        );
    }
}
