//! Tests of intake.rs.

use super::*;
use crate::rtmp::amf0::Encoder;
use crate::rtmp::message::{MessageHeader, MessageStreamId};
use crate::rtmp::reader::{ChunkReader, ReaderLimits};
use crate::stream::headers::HeaderTimes;
use crate::stream::log::LogLimits;

const CHUNK_SIZE: usize = 4_096;

// Media by what it is for; the bodies are short of what a decoder would want.
const AVC_HEADER: &[u8] = &[0x17, 0, 0, 0, 0, 1, 100, 0, 31];
const AVC_KEY: &[u8] = &[0x17, 1, 0, 0, 0, 0x65];
const AVC_INTER: &[u8] = &[0x27, 1, 0, 0, 0, 0x41];
const AAC_HEADER: &[u8] = &[0xAF, 0, 0x12, 0x10];
const AAC: &[u8] = &[0xAF, 1, 0x21];

/// An intake and the log it fills.
struct Desk {
    intake: Intake,
    log: StreamLog,
    pool: BlockPool,
}

/// A message as players get it: kind, time, whether they may start at it, body.
type Got = (u8, u32, bool, Vec<u8>);

impl Desk {
    fn new() -> Self {
        let limits = LogLimits {
            chunk_size: CHUNK_SIZE,
            bytes: 1 << 20,
            lag_bytes: 1 << 20,
            window_ms: 0,
        };
        let mut desk = Self {
            intake: Intake::default(),
            log: StreamLog::new(limits),
            pool: BlockPool::default(),
        };
        desk.begin(0);
        desk
    }

    fn begin(&mut self, elapsed_ms: u32) {
        self.intake.begin_publish(&mut self.log, elapsed_ms);
    }

    /// It is so many milliseconds later than when the worker began.
    fn at(&mut self, now: u32) -> &mut Self {
        self.intake.set_now(Duration::from_millis(now.into()));
        self
    }

    fn video(&mut self, time: u32, body: &[u8]) -> u32 {
        self.take(kind::VIDEO, time, body)
    }

    fn audio(&mut self, time: u32, body: &[u8]) -> u32 {
        self.take(kind::AUDIO, time, body)
    }

    fn data(&mut self, time: u32, body: &[u8]) -> u32 {
        self.take(kind::DATA, time, body)
    }

    /// The time the newest message in the log has then.
    fn take(&mut self, message_kind: u8, time: u32, body: &[u8]) -> u32 {
        self.take_payload(message_kind, time, &Payload::from_slice(body));
        self.log.flush();
        let last = self.log.frames_from(0).last();
        last.map_or(0, |(_, frame)| frame.timestamp.0)
    }

    fn take_payload(&mut self, message_kind: u8, time: u32, payload: &Payload<'_>) {
        let header = MessageHeader {
            csid: 9,
            timestamp: Timestamp(time),
            kind: message_kind,
            msid: MessageStreamId(3),
            len: payload.len(),
        };
        let message = Message {
            header,
            payload: *payload,
        };
        let mut scratch = Vec::new();
        self.intake
            .take(&mut self.log, &mut self.pool, &mut scratch, &message);
    }

    fn got(&mut self) -> Vec<Got> {
        self.log.flush();
        let mut bytes = Vec::new();
        self.log.share(0, self.log.visible(), &mut bytes);
        let syncs = self.log.frames_from(0).map(|(_, frame)| frame.sync);
        let messages = decoded(&bytes.concat()).into_iter().zip(syncs);
        let told = |((kind, time, body), sync)| (kind, time, sync, body);
        messages.map(told).collect()
    }

    fn bodies(&mut self) -> Vec<Vec<u8>> {
        self.got().into_iter().map(|(_, _, _, body)| body).collect()
    }

    /// Whether a player may start at each of the messages.
    fn syncs(&mut self) -> Vec<bool> {
        self.got().into_iter().map(|(_, _, sync, _)| sync).collect()
    }

    /// Bodies of the headers a player gets that joins now.
    fn headers(&self) -> Vec<Vec<u8>> {
        let mut wire = Vec::new();
        let headers = self.log.headers_now().unwrap();
        headers.write(
            &mut wire,
            MessageStreamId(1),
            HeaderTimes::all(Timestamp(0)),
            CHUNK_SIZE,
        );
        decoded(&wire)
            .into_iter()
            .map(|(_, _, body)| body)
            .collect()
    }
}

fn decoded(wire: &[u8]) -> Vec<(u8, u32, Vec<u8>)> {
    let mut reader = ChunkReader::new(ReaderLimits::PUBLISHER);
    reader.set_chunk_size(CHUNK_SIZE);
    let (mut at, mut messages) = (0, Vec::new());
    while let Some(Message { header, payload }) = reader.next(wire, &mut at).unwrap() {
        messages.push((header.kind, header.timestamp.0, payload.to_vec()));
    }
    assert_eq!(at, wire.len());
    messages
}

fn strings(words: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    for word in words {
        Encoder::new(&mut body).string(word);
    }
    body
}

// Data.

/// Metadata as a player is to get it.
fn metadata(width: f64) -> Vec<u8> {
    let mut body = strings(&["onMetaData"]);
    let mut amf = Encoder::new(&mut body);
    amf.begin_ecma_array(1)
        .number_property("width", width)
        .end_object();
    body
}

#[test]
fn metadata_is_kept_and_relayed_without_its_wrapping() {
    let plain = metadata(640.0);
    let wrapped = [strings(&["@setDataFrame"]), plain.clone()].concat();
    let long = [&b"\x0C\0\0\0\x0D@setDataFrame"[..], &plain].concat();
    // Flash and Wowza label AMF0 as AMF3, with a format byte or without.
    let prefixed = [&[0][..], &wrapped].concat();
    let rows = [
        (kind::DATA, &plain),
        (kind::DATA, &wrapped),
        (kind::DATA, &long),
        (kind::DATA_AMF3, &plain),
        (kind::DATA_AMF3, &wrapped),
        (kind::DATA_AMF3, &prefixed),
    ];
    for (message_kind, body) in rows {
        let mut desk = Desk::new();
        desk.take(message_kind, 7, body);
        assert_eq!(desk.got(), [(kind::DATA, 7, false, plain.clone())]);
        assert_eq!(desk.headers(), [&plain[..]]);
    }
}

#[test]
fn later_metadata_replaces_earlier_and_repeats_change_nothing() {
    let mut desk = Desk::new();
    desk.data(0, &metadata(640.0));
    desk.data(40, &metadata(640.0));
    assert_eq!(desk.log.header_changes(), 2, "none, then some");
    desk.data(80, &metadata(1280.0));
    assert_eq!(desk.log.header_changes(), 3);
    assert_eq!(desk.headers(), [metadata(1280.0)]);
    assert_eq!(
        desk.bodies(),
        [metadata(640.0), metadata(640.0), metadata(1280.0)]
    );
}

#[test]
fn what_only_concerns_a_server_goes_no_further() {
    let mut desk = Desk::new();
    desk.data(0, &strings(&["@setDataFrame"]));
    desk.data(0, b"");
    // Commands and shared objects are not for a log at all.
    desk.take(kind::COMMAND, 0, b"x");
    desk.take(0x13, 0, b"x");
    assert_eq!(desk.log.end(), 0);
}

#[test]
fn regression_what_clears_data_goes_to_servers_alone() {
    let mut desk = Desk::new();
    let clear = strings(&["@clearDataFrame", "onMetaData"]);
    let prefixed = [&[0][..], &clear].concat();
    desk.take(kind::DATA_AMF3, 7, &prefixed);
    desk.data(7, &metadata(640.0));
    desk.data(8, &clear);
    desk.data(8, &strings(&["@clearDataFrame"]));
    desk.audio(9, AAC);
    desk.data(9, &clear);
    let everything = [
        (kind::DATA, 7, false, clear.clone()),
        (kind::DATA, 7, false, metadata(640.0)),
        (kind::DATA, 8, false, clear.clone()),
        (kind::DATA, 8, false, strings(&["@clearDataFrame"])),
        (kind::AUDIO, 9, true, AAC.to_vec()),
        (kind::DATA, 9, false, clear),
    ];
    assert_eq!(desk.got(), everything);
    assert_eq!(desk.log.part_for(true, 0), (0, desk.log.visible()));
    let (mut at, mut wire) = (0, Vec::new());
    while at < desk.log.visible() {
        let (from, to) = desk.log.part_for(false, at);
        desk.log.share(from, to, &mut wire);
        at = to;
    }
    let players = [
        (kind::DATA, 7, metadata(640.0)),
        (kind::AUDIO, 9, AAC.to_vec()),
    ];
    assert_eq!(decoded(&wire.concat()), players);
}

#[test]
fn regression_cleared_data_is_not_kept() {
    let mut desk = Desk::new();
    let set = |words: &[&str]| strings(&[&["@setDataFrame"], words].concat());
    let fill = |desk: &mut Desk| {
        desk.data(0, &[strings(&["@setDataFrame"]), metadata(640.0)].concat());
        desk.data(0, &set(&["onTitle", "one"]));
        desk.data(0, &set(&["onTitle", "two"]));
        desk.data(0, &set(&["onPlace", "here"]));
    };
    let (title, place) = (strings(&["onTitle", "two"]), strings(&["onPlace", "here"]));
    fill(&mut desk);
    assert_eq!(
        desk.headers(),
        [metadata(640.0), title.clone(), place.clone()]
    );
    desk.data(1, &strings(&["@clearDataFrame", "onMetaData"]));
    assert_eq!(desk.headers(), [title, place.clone()]);
    desk.data(1, &strings(&["@clearDataFrame", "onTitle"]));
    desk.data(1, &strings(&["@clearDataFrame", "onNothing"]));
    assert_eq!(desk.headers(), [place]);
    fill(&mut desk);
    desk.data(2, &strings(&["@clearDataFrame"]));
    assert!(desk.headers().is_empty());
    // What was cleared is no repeat when it returns.
    fill(&mut desk);
    assert_eq!(desk.headers().len(), 3);
}

#[test]
fn data_frames_are_bounded_and_leave_room_for_headers() {
    let mut desk = Desk::new();
    let long = "x".repeat(limits::DATA_FRAMES_BYTES_MAX / 4);
    for number in 0..6 {
        desk.data(
            0,
            &strings(&["@setDataFrame", &format!("on{number}"), &long]),
        );
    }
    assert_eq!(desk.headers().len(), 3);
    for number in 0..12 {
        desk.data(0, &strings(&["@setDataFrame", &format!("short{number}")]));
    }
    assert_eq!(desk.headers().len(), limits::DATA_FRAMES_MAX);
    // One that grows too long is dropped: what was kept is no longer true.
    desk.data(0, &strings(&["@setDataFrame", "short0", &long]));
    assert_eq!(desk.headers().len(), limits::DATA_FRAMES_MAX - 1);
    desk.video(0, AVC_HEADER);
    assert_eq!(desk.headers().len(), limits::DATA_FRAMES_MAX);
}

#[test]
fn regression_index_of_key_frames_does_not_cost_metadata() {
    let mut body = strings(&["onMetaData"]);
    let mut amf = Encoder::new(&mut body);
    amf.begin_ecma_array(2).number_property("width", 640.0);
    amf.key("keyframes").begin_object();
    amf.key("times").strict_array_header(10_000);
    for number in 0..10_000 {
        amf.number(f64::from(number));
    }
    amf.end_object().end_object();
    let mut desk = Desk::new();
    desk.data(0, &[strings(&["@setDataFrame"]), body].concat());
    assert_eq!(desk.headers(), [metadata(640.0)]);
    assert_eq!(desk.bodies(), [metadata(640.0)]);
}

#[test]
fn other_data_is_relayed_as_it_came_and_not_kept() {
    let cue = [strings(&["onCuePoint"]), b"\x05".to_vec()].concat();
    let text = strings(&["onTextData", "hello"]);
    // ffmpeg and broadcast encoders send data that is no AMF0.
    let timecode = [1, 2, 3, 4];
    let mut desk = Desk::new();
    desk.data(5, &cue);
    desk.data(6, &text);
    desk.data(7, &timecode);
    desk.take(kind::DATA_AMF3, 8, b"\x11\x09");
    let expected = [
        (kind::DATA, 5, false, cue),
        (kind::DATA, 6, false, text),
        (kind::DATA, 7, false, timecode.to_vec()),
        (kind::DATA, 8, false, b"\x11\x09".to_vec()),
    ];
    assert_eq!(desk.got(), expected);
    assert!(desk.headers().is_empty());
}

// Audio and video.

#[test]
fn players_start_at_key_frames_of_a_stream_with_video() {
    let mut desk = Desk::new();
    desk.video(0, AVC_HEADER);
    desk.audio(0, AAC_HEADER);
    // Before the first picture sound is all there is.
    desk.audio(0, AAC);
    desk.video(0, AVC_KEY);
    desk.video(40, AVC_INTER);
    desk.audio(46, AAC);
    desk.video(80, AVC_KEY);
    assert_eq!(desk.syncs(), [false, false, true, true, false, false, true]);
    assert_eq!(desk.intake.video(), Some(Codec::Avc));
    assert_eq!(desk.intake.audio(), Some(Codec::Aac));
    assert_eq!(desk.intake.counted().key_frames, 2);
    assert_eq!(desk.headers(), [AVC_HEADER, AAC_HEADER]);
}

#[test]
fn players_start_anywhere_in_a_stream_without_video() {
    let mut desk = Desk::new();
    desk.audio(0, AAC_HEADER);
    desk.data(0, &metadata(0.0));
    for time in [0, 23, 46] {
        desk.audio(time, AAC);
    }
    // Silence has nothing to start with.
    desk.audio(69, b"");
    assert_eq!(desk.syncs(), [false, false, true, true, true, false]);
    // Metadata goes first whenever it came.
    assert_eq!(desk.headers(), [metadata(0.0), AAC_HEADER.to_vec()]);
}

#[test]
fn players_start_at_audio_again_when_video_is_gone() {
    let mut desk = Desk::new();
    desk.at(1_000).video(1_000, AVC_KEY);
    let gone = 1_000 + u32::try_from(limits::PICTURES_GONE.as_millis()).unwrap();
    for (time, sync) in [
        (1_023, false),
        (gone, false),
        (gone + 1, true),
        (gone + 23, true),
    ] {
        desk.at(time).audio(time, AAC);
        assert_eq!(desk.got().pop().unwrap().2, sync, "at {time}");
    }
    // Players that stayed get these pictures; a player that starts at sound waits for a key frame.
    desk.at(gone + 40).video(gone + 40, AVC_INTER);
    assert!(!desk.got().pop().unwrap().2);
    assert!(desk.log.newest_sync().unwrap().without_pictures);
    desk.video(gone + 80, AVC_KEY);
    assert!(!desk.log.newest_sync().unwrap().without_pictures);
    desk.at(gone + 86).audio(gone + 86, AAC);
    assert_eq!(desk.syncs()[5..], [false, true, false]);
}

#[test]
fn regression_headers_and_empty_messages_are_no_pictures() {
    let mut desk = Desk::new();
    for time in (0..60_000).step_by(5_000) {
        desk.at(time);
        desk.video(time, AVC_HEADER);
        desk.video(time, b"");
        desk.audio(time, AAC);
        assert!(desk.got().pop().unwrap().2, "at {time}");
    }
}

#[test]
fn regression_sound_stamped_ahead_is_no_start() {
    let mut desk = Desk::new();
    desk.video(0, AVC_KEY);
    for time in (0..2_000).step_by(40) {
        desk.at(time);
        desk.audio(time + 9_000, AAC);
        desk.audio(time + 90_000, AAC);
        desk.video(time, AVC_INTER);
    }
    assert_eq!(desk.syncs().iter().filter(|sync| **sync).count(), 1);
}

#[test]
fn headers_changed_in_mid_stream_are_in_force_from_there_on() {
    let changed: &[u8] = &[0x17, 0, 0, 0, 0, 1, 77, 0, 31];
    let mut desk = Desk::new();
    desk.video(0, AVC_HEADER);
    let first = desk.log.end();
    desk.video(0, AVC_KEY);
    // Repeated with every key frame by some encoders.
    desk.video(40, AVC_HEADER);
    let second = desk.log.end();
    desk.video(40, AVC_KEY);
    assert_eq!(desk.log.header_changes(), 2);
    desk.video(80, changed);
    let third = desk.log.end();
    desk.video(80, AVC_KEY);
    assert_eq!(desk.log.header_changes(), 3);
    for (start, header) in [(first, AVC_HEADER), (second, AVC_HEADER), (third, changed)] {
        let sync = desk.log.sync_from(start).unwrap();
        assert_eq!(sync.offset, start);
        let mut wire = Vec::new();
        sync.headers.write(
            &mut wire,
            MessageStreamId(1),
            HeaderTimes::all(Timestamp(0)),
            CHUNK_SIZE,
        );
        assert_eq!(decoded(&wire)[0].2, header);
    }
    // All of them reach those who play already.
    assert_eq!(desk.bodies()[2], AVC_HEADER);
    assert_eq!(desk.bodies()[4], changed);
}

#[test]
fn headers_that_lack_what_they_announce_replace_nothing() {
    let mut desk = Desk::new();
    desk.audio(0, AAC_HEADER);
    desk.video(0, AVC_HEADER);
    // ffmpeg ends AAC so.
    desk.audio(100, &[0xAF, 0]);
    desk.video(100, &[0x17, 0, 0, 0, 0]);
    assert_eq!(desk.headers(), [AAC_HEADER, AVC_HEADER]);
    // One that is too long to be kept is in force all the same: the one before is not.
    let long = [AVC_HEADER, &vec![0; limits::SEQUENCE_HEADER_BYTES_MAX]].concat();
    desk.video(120, &long);
    assert_eq!(desk.headers(), [AAC_HEADER]);
    // They are relayed all the same.
    assert_eq!(
        desk.bodies()[2..],
        [vec![0xAF, 0], vec![0x17, 0, 0, 0, 0], long]
    );
}

#[test]
fn headers_of_several_tracks_stand_side_by_side() {
    /// E-RTMP v2 "Multitrack Streaming via Enhanced RTMP": one track of AVC.
    fn track(first: u8, packet: u8, id: u8, body: &[u8]) -> Vec<u8> {
        [&[first, packet][..], b"avc1", &[id], body].concat()
    }
    let header = |id, body: &[u8]| track(0x96, 0x00, id, body);
    let mut desk = Desk::new();
    desk.video(0, &header(0, b"zero"));
    desk.video(0, &header(1, b"one"));
    assert_eq!(desk.headers(), [header(0, b"zero"), header(1, b"one")]);
    desk.video(40, &header(0, b"new"));
    assert_eq!(desk.headers(), [header(1, b"one"), header(0, b"new")]);
    // All at once, each with its length: they replace both. In pieces as it lies in a ring,
    // and with headers of tracks further back than what is looked at first.
    let long = [&b"\x02\0\0\x50"[..], &[9; 0x50]].concat();
    let both = [
        &[0x96, 0x10][..],
        b"avc1",
        &long,
        b"\x00\0\0\x01a\x01\0\0\x01b",
    ]
    .concat();
    let ranges = [10..20, 20..both.len()];
    let payload = Payload::new(&both[..10], &both, &ranges, both.len());
    desk.take_payload(kind::VIDEO, 80, &payload);
    assert_eq!(desk.headers(), [&both[..]]);
    // HDR colour information stands beside them. 0x94: metadata.
    let colour = [&[0x94][..], b"avc1", b"colorInfo"].concat();
    desk.video(80, &colour);
    assert_eq!(desk.headers(), [both, colour]);
    // A key frame of track 1 is a place to start while there is no track 0.
    for id in [1, 0, 1] {
        desk.video(90, &track(0x96, 0x01, id, b"\0\0\0key"));
    }
    assert_eq!(desk.syncs()[5..], [true, true, false]);
    assert_eq!(desk.intake.counted().key_frames, 2);
}

/// E-RTMP v2 "Multitrack Streaming via Enhanced RTMP": a picture of one track of AVC.
fn picture(is_key: bool, track: u8, number: u8) -> Vec<u8> {
    let first = if is_key { 0x96 } else { 0xA6 };
    [&[first, 0x01][..], b"avc1", &[track, 0, 0, 0, number]].concat()
}

/// The number of each picture that players get.
fn numbers(desk: &mut Desk) -> Vec<u8> {
    let bodies = desk.bodies().into_iter();
    bodies.map(|body| *body.last().unwrap()).collect()
}

#[test]
fn pictures_of_a_track_are_held_until_its_key_frame() {
    let mut desk = Desk::new();
    // Track 1 is what players go by until track 0 comes.
    for (at, (is_key, track)) in [
        (true, 1),
        (false, 1),
        (false, 2),
        (false, 0),
        (false, 1),
        (true, 2),
        (false, 2),
        (true, 0),
        (false, 0),
        (false, 1),
    ]
    .into_iter()
    .enumerate()
    {
        let number = u8::try_from(at).unwrap();
        let time = u32::from(number) * 40;
        desk.at(time).video(time, &picture(is_key, track, number));
    }
    assert_eq!(numbers(&mut desk), [0, 1, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn pictures_of_a_track_without_key_frames_come_after_a_while() {
    let mut desk = Desk::new();
    let wait = u32::try_from(limits::PICTURES_WAIT.as_millis()).unwrap();
    desk.video(0, &picture(true, 0, 0));
    for (time, number) in [(40, 1), (wait, 2), (wait + 40, 3), (wait + 80, 4)] {
        desk.at(time).video(time, &picture(false, 1, number));
    }
    // Each track has its own time.
    desk.video(wait + 80, &picture(false, 2, 5));
    assert_eq!(numbers(&mut desk), [0, 3, 4]);
}

#[test]
fn pictures_that_a_relay_has_held_are_not_held_again() {
    let mut desk = Desk::new();
    desk.intake.take_pictures_as_held();
    desk.video(0, AVC_INTER);
    desk.video(40, &picture(false, 1, 2));
    assert_eq!(desk.syncs(), [true, false]);
    // From the first key frame on it is as any other.
    desk.video(80, AVC_KEY);
    desk.video(120, AVC_INTER);
    assert_eq!(desk.syncs()[2..], [true, false]);
    desk.begin(0);
    desk.video(160, AVC_INTER);
    assert_eq!(desk.syncs().len(), 4);
}

#[test]
fn regression_another_codec_ends_headers_of_its_track() {
    let mp3: &[u8] = &[0x2F, 1, 2, 3];
    let mut desk = Desk::new();
    desk.video(0, AVC_HEADER);
    desk.audio(0, AAC_HEADER);
    desk.audio(0, AAC);
    desk.audio(20, mp3);
    assert_eq!(desk.headers(), [AVC_HEADER]);
    // The set without it counts from the first message of the new codec on.
    let sync = desk.log.frames_from(0).last().unwrap().0;
    assert_eq!(desk.log.headers_at(sync).len(), 1);
    desk.audio(40, AAC_HEADER);
    assert_eq!(desk.headers(), [AVC_HEADER, AAC_HEADER]);
    // Commands, silence and what has no sense name no codec that counts.
    desk.audio(60, b"");
    desk.audio(60, &[0x2F]);
    desk.video(60, &[0x53, 0]);
    assert_eq!(desk.headers(), [AVC_HEADER, AAC_HEADER]);
    // Screen video; then HEVC by FourCC with colour information, and back.
    desk.video(80, &[0x13, 1, 2, 3]);
    assert_eq!(desk.headers(), [AAC_HEADER]);
    let hevc = [&[0x90][..], b"hvc1", b"header"].concat();
    let colour = [&[0x94][..], b"hvc1", b"colorInfo"].concat();
    desk.video(90, &hevc);
    desk.video(90, &colour);
    assert_eq!(desk.headers(), [AAC_HEADER.to_vec(), hevc, colour]);
    desk.video(100, AVC_HEADER);
    assert_eq!(desk.headers(), [AAC_HEADER, AVC_HEADER]);
    // The same codec with and without FourCC is one codec.
    desk.video(110, &[&[0x93][..], b"avc1", b"key"].concat());
    assert_eq!(desk.headers(), [AAC_HEADER, AVC_HEADER]);
}

#[test]
fn codecs_are_told_apart_by_track() {
    /// E-RTMP v2 "Multitrack Streaming via Enhanced RTMP": tracks with codecs of their own.
    fn tracks(packet: u8, tracks: &[(&[u8; 4], u8, &[u8])]) -> Vec<u8> {
        let mut body = vec![0x95, 0x20 | packet];
        for (codec, track, data) in tracks {
            body.extend_from_slice(*codec);
            body.push(*track);
            let len = u32::try_from(data.len()).unwrap().to_be_bytes();
            body.extend_from_slice(&len[1..]);
            body.extend_from_slice(data);
        }
        body
    }
    let header = tracks(0, &[(b"mp4a", 0, b"zero"), (b"fLaC", 1, b"one")]);
    let mut desk = Desk::new();
    desk.audio(0, &header);
    desk.audio(
        0,
        &tracks(1, &[(b"mp4a", 0, b"sound"), (b"fLaC", 1, b"sound")]),
    );
    assert_eq!(desk.headers(), [&header[..]]);
    // Track 1 is MP3 from now on: the header counts for track 0 alone.
    desk.audio(
        10,
        &tracks(1, &[(b"mp4a", 0, b"sound"), (b".mp3", 1, b"sound")]),
    );
    assert_eq!(desk.headers(), [&header[..]]);
    desk.audio(20, &tracks(1, &[(b".mp3", 0, b"sound")]));
    assert!(desk.headers().is_empty());
    // It is no repeat when it returns.
    desk.audio(30, &header);
    assert_eq!(desk.headers(), [&header[..]]);
}

#[test]
fn regression_header_that_returns_is_no_repeat() {
    let header = |id: u8, body: &[u8]| [&[0x96, 0][..], b"avc1", &[id], body].concat();
    let both = [&[0x96, 0x10][..], b"avc1", b"\0\0\0\x01a\x01\0\0\x01b"].concat();
    let mut desk = Desk::new();
    desk.video(0, &both);
    desk.video(10, &header(1, b"new"));
    assert_eq!(desk.headers(), [both.clone(), header(1, b"new")]);
    desk.video(20, &both);
    assert_eq!(desk.headers(), [&both[..]]);
    let changes = desk.log.header_changes();
    desk.video(30, &both);
    assert_eq!(desk.log.header_changes(), changes);
}

#[test]
fn what_is_not_understood_is_relayed_as_it_came() {
    let odd: [(u8, &[u8]); 7] = [
        (kind::VIDEO, b""),
        (kind::VIDEO, &[0x17]),
        (kind::VIDEO, &[0x1E, 0xFF]),
        (kind::VIDEO, &[0x90, 0xFF, 0xFF, 0xFF, 0xFF]),
        (kind::AUDIO, b""),
        (kind::AUDIO, &[0x9F, 0x00]),
        (kind::AUDIO, &[0xF0, 1, 2, 3]),
    ];
    let mut desk = Desk::new();
    let mut expected = Vec::new();
    for (time, (message_kind, body)) in (0..).zip(odd) {
        desk.take(message_kind, time, body);
        expected.push((message_kind, time, body.to_vec()));
    }
    let got = desk
        .got()
        .into_iter()
        .map(|(kind, time, _, body)| (kind, time, body));
    assert_eq!(got.collect::<Vec<_>>(), expected);
    assert!(desk.headers().is_empty());
}

// Time.

#[test]
fn the_stamps_of_a_first_publisher_pass_unchanged() {
    let mut desk = Desk::new();
    assert_eq!(desk.data(0, &metadata(1.0)), 0);
    for time in [900_000, 900_040, 899_900] {
        assert_eq!(desk.video(time, AVC_KEY), time);
        assert_eq!(desk.audio(time, AAC), time);
        // Headers at time 0 are put where their track is.
        assert!(desk.video(0, AVC_HEADER) >= 900_000);
    }
}

/// What a publisher sends, in short.
#[derive(Clone, Copy, Debug)]
enum Sent {
    Key(u32),
    Sound(u32),
    VideoHeader(u32),
    SoundHeader(u32),
    Data(u32),
}
use Sent::{Data, Key, Sound, SoundHeader, VideoHeader};

impl Desk {
    fn send(&mut self, sent: Sent) -> u32 {
        match sent {
            Key(time) => self.video(time, AVC_KEY),
            Sound(time) => self.audio(time, AAC),
            VideoHeader(time) => self.video(time, AVC_HEADER),
            SoundHeader(time) => self.audio(time, AAC_HEADER),
            Data(time) => self.data(time, &metadata(2.0)),
        }
    }
}

/// The first publisher ends at `last`, the next comes 500 ms later: what it sends, and the
/// times that players see.
#[track_caller]
fn check_return(last: u32, rows: &[(Sent, u32)]) {
    let mut desk = Desk::new();
    desk.video(last, AVC_KEY);
    desk.begin(500);
    for &(sent, expected) in rows {
        // The clock of the worker goes with it.
        assert_eq!(desk.at(expected).send(sent), expected, "{sent:?}");
    }
}

#[test]
fn a_publisher_that_returns_goes_on_where_time_is() {
    // It counts from 0 again.
    let rows = [
        (Data(0), 1_000),
        (VideoHeader(0), 1_000),
        (SoundHeader(0), 1_000),
        (Key(0), 1_500),
        (Sound(0), 1_500),
        (Key(40), 1_540),
    ];
    check_return(1_000, &rows);
    // It counts on from a high number, its headers from 0.
    let rows = [
        (VideoHeader(0), 7_000),
        (Sound(5_000_000), 7_500),
        (Key(5_000_020), 7_520),
        (VideoHeader(0), 7_520),
        (Key(5_000_060), 7_560),
    ];
    check_return(7_000, &rows);
    // Or all of it from a high number.
    let rows = [
        (VideoHeader(9_000), 100),
        (Key(9_000), 600),
        (Key(9_040), 640),
    ];
    check_return(100, &rows);
}

#[test]
fn time_never_steps_back_behind_the_last_publisher() {
    // The first picture is older than the first sound, by more than the break was.
    let rows = [
        (Sound(10_000), 1_500),
        (Key(9_900), 1_400),
        (Key(9_000), 1_000),
        (Sound(9_950), 1_450),
        (Key(10_040), 1_540),
    ];
    check_return(1_000, &rows);
    // Its clock starts again right after it came.
    check_return(
        1_000,
        &[(Key(90_000), 1_500), (Key(0), 1_501), (Key(90_040), 1_540)],
    );
}

#[test]
fn headers_and_data_at_time_zero_are_put_where_media_is() {
    // Long after the return, too: the shift would make them any time at all.
    for high in [0, 5_000_000, 3_000_000_000] {
        let at = |time: u32| (Key(high + time), 1_500 + time);
        let rows = [
            at(0),
            at(59_000),
            (Data(0), 60_500),
            at(100_000),
            (Data(0), 101_500),
            (VideoHeader(0), 101_500),
            at(900_000),
            (Sound(high + 900_023), 901_523),
            (SoundHeader(0), 901_523),
            (Data(high + 900_100), 901_600),
            at(900_040),
        ];
        check_return(1_000, &rows);
    }
}

#[test]
fn a_clock_that_resets_long_after_the_return_goes_on() {
    let rows = [
        (Key(0), 1_500),
        (Key(70_000), 71_500),
        (Key(10), 71_540),
        (VideoHeader(0), 71_540),
        (Key(50), 71_580),
    ];
    check_return(1_000, &rows);
}

#[test]
fn a_publisher_that_has_returned_may_stay_for_weeks() {
    // Times further apart than 2^31 ms cannot be compared.
    let rows = [
        (Key(0), 1_500),
        (Key(0x7000_0000), 0x7000_0000 + 1_500),
        (Key(0x9000_0000), 0x9000_0000 + 1_500),
        (Key(10), 0x9000_0000 + 1_540),
    ];
    check_return(1_000, &rows);
}

#[test]
fn time_goes_on_across_the_wrap() {
    let last = u32::MAX - 99;
    let rows = [
        (VideoHeader(0), last),
        (Key(0), 400),
        (Key(40), 440),
        (VideoHeader(0), 440),
    ];
    check_return(last, &rows);
    let high = u32::MAX - 19;
    let rows = [
        (Key(high), 1_500),
        (Key(20), 1_540),
        (VideoHeader(0), 1_540),
    ];
    check_return(1_000, &rows);
}

#[test]
fn a_publisher_that_returns_brings_its_own_headers() {
    let mut desk = Desk::new();
    desk.data(0, &metadata(640.0));
    desk.video(0, AVC_HEADER);
    desk.video(0, AVC_KEY);
    desk.begin(0);
    assert!(desk.headers().is_empty());
    assert_eq!((desk.intake.video(), desk.intake.audio()), (None, None));
    // The same ones count as new, and sound alone may be all there is now.
    desk.audio(0, AAC_HEADER);
    assert_eq!(desk.headers(), [AAC_HEADER]);
    // At once, time goes on by a millisecond.
    assert_eq!(desk.audio(0, AAC), 1);
    assert!(desk.got().pop().unwrap().2, "no video came yet");
    desk.video(0, AVC_HEADER);
    desk.audio(23, AAC);
    assert!(desk.got().pop().unwrap().2, "a header is no video");
    assert_eq!(desk.headers(), [AAC_HEADER, AVC_HEADER]);
    // Key frames are counted for the stream, not for the publisher.
    desk.video(23, AVC_KEY);
    assert_eq!(desk.intake.counted().key_frames, 2);
}

#[test]
fn time_goes_on_though_the_log_was_emptied_meanwhile() {
    let mut desk = Desk::new();
    desk.video(8_000, AVC_KEY);
    desk.log.forget_sync();
    desk.log.trim(&mut desk.pool, u64::MAX, Duration::ZERO);
    assert_eq!(desk.log.base(), desk.log.end());
    desk.begin(500);
    assert_eq!(desk.video(0, AVC_HEADER), 8_000);
    assert_eq!(desk.video(0, AVC_KEY), 8_500);
}

#[test]
fn a_publisher_may_return_again_and_again() {
    let mut desk = Desk::new();
    desk.video(1_000, AVC_KEY);
    for round in 1..=3 {
        desk.begin(100);
        assert_eq!(desk.video(0, AVC_HEADER), 1_000 + (round - 1) * 140);
        assert_eq!(desk.video(77_000, AVC_KEY), 960 + round * 140);
        assert_eq!(desk.video(77_040, AVC_INTER), 1_000 + round * 140);
    }
    // One that sends nothing but headers does not make time go on.
    desk.begin(100);
    assert_eq!(desk.video(0, AVC_HEADER), 1_420);
    desk.begin(100);
    assert_eq!(desk.video(0, AVC_KEY), 1_520);
}

// Pictures without key frames.

#[test]
fn regression_pictures_wait_for_the_first_key_frame() {
    let mut desk = Desk::new();
    for round in 0..2 {
        desk.begin(0);
        desk.video(0, AVC_HEADER);
        desk.video(0, AVC_INTER);
        desk.audio(10, AAC);
        desk.video(40, AVC_KEY);
        desk.video(80, AVC_INTER);
        let bodies = desk.bodies().split_off(4 * round);
        assert_eq!(bodies, [AVC_HEADER, AAC, AVC_KEY, AVC_INTER]);
        assert_eq!(desk.syncs()[4 * round..], [false, true, true, false]);
    }
}

#[test]
fn regression_pictures_come_though_none_is_a_key_frame() {
    let wait = u32::try_from(limits::PICTURES_WAIT.as_millis()).unwrap();
    let mut desk = Desk::new();
    let mut send_at = |time: u32, body: &[u8]| {
        desk.at(time).video(time, body);
        desk.syncs()
    };
    assert!(send_at(0, AVC_INTER).is_empty());
    assert!(send_at(wait - 1, AVC_INTER).is_empty());
    assert_eq!(send_at(wait, AVC_INTER), [true]);
    // The second slice of a picture is no start.
    assert_eq!(send_at(wait, AVC_INTER), [true, false]);
    assert_eq!(send_at(wait + 40, AVC_INTER)[2..], [true]);
    // With a key frame they are a start no more.
    assert_eq!(send_at(wait + 80, AVC_KEY)[3..], [true]);
    assert_eq!(send_at(wait + 120, AVC_INTER)[4..], [false]);
}

#[test]
fn regression_a_group_too_old_makes_every_picture_a_start() {
    let mut desk = Desk::new();
    desk.video(0, AVC_KEY);
    desk.at(1_000).video(1_000, AVC_INTER);
    desk.log.forget_sync();
    for (time, sync) in [(20_000, false), (29_999, false), (30_000, true)] {
        desk.at(time).video(time, AVC_INTER);
        assert_eq!(desk.syncs().pop(), Some(sync), "at {time}");
    }
}

#[test]
fn regression_a_picture_in_slices_has_one_start() {
    let mut desk = Desk::new();
    for time in [0, 40, 80] {
        let slice = if time == 40 { AVC_INTER } else { AVC_KEY };
        (0..3).for_each(|_| _ = desk.at(time).video(time, slice));
    }
    let expected = [true, false, false, false, false, false, true, false, false];
    assert_eq!(desk.syncs(), expected);
    assert_eq!(desk.intake.counted().key_frames, 2);
}

#[test]
fn regression_data_ahead_take_no_start() {
    let text = strings(&["onTextData", "hello"]);
    let mut desk = Desk::new();
    desk.video(0, AVC_KEY);
    for time in (40..4_000).step_by(40) {
        desk.at(time).video(time, AVC_INTER);
        desk.data(time + 30_000, &text);
        desk.log.trim(&mut desk.pool, u64::MAX, Duration::ZERO);
    }
    assert!(desk.log.newest_sync().is_some());
    assert_eq!(desk.log.last_timestamp(), Some(Timestamp(3_960)));
}
