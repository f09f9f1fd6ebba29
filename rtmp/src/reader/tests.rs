//! Tests of reader.rs.

use super::header::EXTENDED;
use super::*;
use crate::limits;
use crate::message::{MessageStreamId, Timestamp, kind};
use crate::writer::write_message;
use proptest::prelude::*;

const LIMITS: ReaderLimits = ReaderLimits {
    video_bytes: 1 << 20,
    audio_bytes: 1 << 16,
    data_bytes: 1 << 16,
    other_bytes: 1 << 16,
    chunk_streams: 16,
    partial_messages: 4,
    partial_bytes: 2 << 20,
    skip_media: false,
};

type Seen = (u32, u32, u8, u32, Vec<u8>);

/// Feeds `bytes` in pieces of `step`; what came out, or how it ended.
fn read(bytes: &[u8], step: usize) -> Result<Vec<Seen>, ProtocolError> {
    read_with(ChunkReader::new(LIMITS), bytes, step)
}

fn read_with(
    mut reader: ChunkReader,
    bytes: &[u8],
    step: usize,
) -> Result<Vec<Seen>, ProtocolError> {
    let mut seen = Vec::new();
    for input in bytes.chunks(step) {
        let mut at = 0;
        while let Some(Message { header, payload }) = reader.next(input, &mut at)? {
            let body = payload.to_vec();
            seen.push((
                header.csid,
                header.timestamp.0,
                header.kind,
                header.msid.0,
                body,
            ));
        }
        assert_eq!(at, input.len());
        reader.hold(input);
    }
    Ok(seen)
}

/// `(csid, time, kind, msid, length)`.
type Told = (u32, u32, u8, u32, usize);

/// Reads `hex` whole and byte by byte and expects what is told.
#[track_caller]
fn check(hex: &str, expected: Result<&[Told], ProtocolError>) {
    let bytes = unhex(hex);
    let expected = expected.map(<[_]>::to_vec);
    for step in [bytes.len(), 1, 2, 3] {
        let seen = read(&bytes, step).map(|all| {
            all.into_iter()
                .map(|(c, t, k, m, body)| (c, t, k, m, body.len()))
                .collect()
        });
        assert_eq!(seen, expected, "in steps of {step}");
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap())
        .collect()
}

#[test]
fn all_four_formats_build_on_the_header_before() {
    check(
        "04 000064 000002 08 01000000 AAAA  44 00000A 000001 09 BB  84 000005 CC  C4 DD",
        Ok(&[
            (4, 100, 8, 1, 2),
            (4, 110, 9, 1, 1),
            (4, 115, 9, 1, 1),
            (4, 120, 9, 1, 1),
        ]),
    );
}

#[test]
fn chunk_stream_ids_have_three_encodings_and_alias() {
    check("3F 000000 000001 08 00000000 00", Ok(&[(63, 0, 8, 0, 1)]));
    check(
        "00 00 000000 000001 08 00000000 00",
        Ok(&[(64, 0, 8, 0, 1)]),
    );
    check(
        "00 FF 000000 000001 08 00000000 00",
        Ok(&[(319, 0, 8, 0, 1)]),
    );
    check(
        "01 FF FF 000000 000001 08 00000000 00",
        Ok(&[(65_599, 0, 8, 0, 1)]),
    );
    check(
        "00 00 000007 000001 08 00000000 00  C1 00 00 11",
        Ok(&[(64, 7, 8, 0, 1), (64, 14, 8, 0, 1)]),
    );
}

#[test]
fn fmt_1_on_a_fresh_chunk_stream_is_the_librtmp_ping() {
    check("42 000000 000006 04 0006 00000D0F", Ok(&[(2, 0, 4, 0, 6)]));
}

#[test]
fn fmt_2_and_3_on_a_fresh_chunk_stream_are_refused() {
    check(
        "83 000000",
        Err(ProtocolError::NoPreviousHeader { csid: 3 }),
    );
    check("C3", Err(ProtocolError::NoPreviousHeader { csid: 3 }));
}

#[test]
fn a_header_inside_a_message_is_refused() {
    let begun = format!("06 000000 000200 09 01000000 {}", "00".repeat(128));
    let error = Err(ProtocolError::HeaderInsideMessage { csid: 6 });
    for header in [
        "06 000000 000200 09 01000000",
        "46 000000 000001 09",
        "86 000000",
    ] {
        check(&format!("{begun} {header}"), error);
    }
}

#[test]
fn interleaved_audio_does_not_break_a_split_video_message() {
    let video = format!("06 000000 0000C8 09 01000000 {}", "11".repeat(128));
    let audio = "04 000000 000001 08 01000000 AF";
    let rest = format!("C6 {}", "22".repeat(72));
    check(
        &format!("{video} {audio} {rest}"),
        Ok(&[(4, 0, 8, 1, 1), (6, 0, 9, 1, 200)]),
    );
}

#[test]
fn an_extended_timestamp_is_read_repeated_or_not() {
    let head = format!("06 FFFFFF 000082 09 01000000 01000000 {}", "11".repeat(128));
    check(
        &format!("{head} C6 01000000 2222"),
        Ok(&[(6, 0x0100_0000, 9, 1, 130)]),
    );
    check(
        &format!("{head} C6 2222"),
        Ok(&[(6, 0x0100_0000, 9, 1, 130)]),
    );
    // Left out, and the payload begins like it: 01 and then something else.
    check(
        &format!("{head} C6 0122  C6 {} C6 0133", "11".repeat(128)),
        Ok(&[(6, 0x0100_0000, 9, 1, 130), (6, 0x0100_0000, 9, 1, 130)]),
    );
}

#[test]
fn payload_found_in_the_carry_may_end_the_message_and_begin_the_next_header() {
    // After C6 the bytes 01 00 look like the extended timestamp until the fourth byte; the
    // message ends after one of them and the next header begins in the other.
    let head = format!("06 FFFFFF 000081 09 01000000 0100C455 {}", "11".repeat(128));
    let tail = "C6 01 00C4 000000 000001 08 01000000 AF";
    check(
        &format!("{head} {tail}"),
        Ok(&[(6, 0x0100_C455, 9, 1, 129), (260, 0, 8, 1, 1)]),
    );
}

#[test]
fn extended_fields_below_the_threshold_are_taken_as_they_are() {
    for (field, time) in [
        ("00000000", 0),
        ("00FFFFFE", 0xFF_FFFE),
        ("FFFFFFFF", u32::MAX),
    ] {
        check(
            &format!("04 FFFFFF 000001 08 01000000 {field} 00"),
            Ok(&[(4, time, 8, 1, 1)]),
        );
    }
}

#[test]
fn fmt_3_after_fmt_0_repeats_a_frame_distance_and_no_large_time() {
    let tail = "000001 08 00000000 00 C4 00";
    check(
        &format!("04 000028 {tail}"),
        Ok(&[(4, 40, 8, 0, 1), (4, 80, 8, 0, 1)]),
    );
    check(
        &format!("04 010000 {tail}"),
        Ok(&[(4, 65_536, 8, 0, 1), (4, 65_536, 8, 0, 1)]),
    );
}

#[test]
fn media_nobody_reads_is_skipped_without_being_held() {
    let mut reader = ChunkReader::new(ReaderLimits {
        skip_media: true,
        ..LIMITS
    });
    let long = format!("06 000000 7FFFFF 09 01000000 {}", "00".repeat(128));
    let input = unhex(&format!("{long} 03 000000 000001 14 00000000 05"));
    let mut at = 0;
    let message = reader.next(&input, &mut at).unwrap().unwrap();
    assert_eq!(
        (message.header.kind, message.header.len),
        (kind::COMMAND, 1)
    );
    assert_eq!(
        (reader.partial_bytes(), reader.skipped_media()),
        (0, 0x7F_FFFF)
    );
    reader.abort(6);
    assert_eq!(reader.partial_bytes(), 0);
}

#[test]
fn time_wraps_at_32_bits() {
    check(
        "04 FFFFFF 000001 08 01000000 FFFFFFFF 00  84 000001 00",
        Ok(&[(4, u32::MAX, 8, 1, 1), (4, 0, 8, 1, 1)]),
    );
}

#[test]
fn zero_length_messages_and_skipped_kinds() {
    check("04 000000 000000 08 01000000", Ok(&[(4, 0, 8, 1, 0)]));
    check("04 000000 000003 63 01000000 112233 C4 445566", Ok(&[]));
}

#[test]
fn limits_end_the_connection_before_memory_is_taken() {
    let long = ProtocolError::MessageTooLong {
        kind: 0x14,
        got: 0xFF_FFFF,
        limit: 1 << 16,
    };
    check("03 000000 FFFFFF 14 00000000 00", Err(long));
    let mut begun = String::new();
    for csid in 4..9 {
        begun += &format!("{csid:02X} 000000 000200 08 01000000 {}", "00".repeat(128));
    }
    check(
        &begun,
        Err(ProtocolError::TooManyPartialMessages { limit: 4 }),
    );
    let mut many = String::new();
    for csid in 3..20 {
        many += &format!("{csid:02X} 000000 000001 08 01000000 00");
    }
    check(&many, Err(ProtocolError::TooManyChunkStreams { limit: 16 }));
}

#[test]
fn partial_bytes_are_bounded_and_aborts_give_them_back() {
    let mut reader = ChunkReader::new(ReaderLimits {
        partial_bytes: 300,
        ..LIMITS
    });
    let begun = unhex(&format!(
        "04 000000 000200 08 01000000 {}",
        "00".repeat(128)
    ));
    let mut at = 0;
    assert!(reader.next(&begun, &mut at).unwrap().is_none());
    reader.hold(&begun);
    assert_eq!(reader.partial_bytes(), 128);
    assert!(reader.abort(4), "a message is dropped");
    assert!(!reader.abort(4), "nothing is left of it");
    assert!(!reader.abort(99), "nothing was ever there");
    assert_eq!(reader.partial_bytes(), 0);
    at = 0;
    assert!(reader.next(&begun, &mut at).unwrap().is_none());
    reader.hold(&begun);
    let more = unhex(&format!("C4 {0} C4 {0}", "00".repeat(128)));
    at = 0;
    let end = reader.next(&more, &mut at);
    assert_eq!(end.unwrap_err(), ProtocolError::PartialBytes { limit: 300 });
}

#[test]
fn a_chunk_size_change_holds_from_the_next_chunk() {
    let mut reader = ChunkReader::new(LIMITS);
    let begun = unhex(&format!(
        "06 000000 0000C8 09 01000000 {}",
        "11".repeat(128)
    ));
    let mut at = 0;
    assert!(reader.next(&begun, &mut at).unwrap().is_none());
    reader.hold(&begun);
    reader.set_chunk_size(36);
    let rest = unhex(&format!("C6 {0} C6 {0}", "22".repeat(36)));
    at = 0;
    let message = reader.next(&rest, &mut at).unwrap().unwrap();
    assert_eq!(message.payload.len(), 200);
}

prop_compose! {
    fn message()(
        csid in prop_oneof![2u32..64, 64u32..320, 320u32..65_600],
        time in prop_oneof![0u32..0x200, 0xFF_FF00u32..0x100_0100, any::<u32>()],
        kind in prop_oneof![Just(kind::AUDIO), Just(kind::VIDEO), Just(kind::DATA)],
        msid in any::<u32>(),
        body in proptest::collection::vec(any::<u8>(), 0..700),
    ) -> Seen {
        (csid, time, kind, msid, body)
    }
}

proptest! {
    #[test]
    fn what_the_writer_writes_the_reader_reads_in_any_segmentation(
        messages in proptest::collection::vec(message(), 1..12),
        chunk_size in 1usize..900,
        step in 1usize..2_000,
    ) {
        let mut wire = Vec::new();
        for (csid, time, kind, msid, body) in &messages {
            let header = MessageHeader {
                csid: *csid,
                timestamp: Timestamp(*time),
                kind: *kind,
                msid: MessageStreamId(*msid),
                len: body.len(),
            };
            let before = wire.len();
            write_message(&mut wire, &header, &Payload::from_slice(body), chunk_size);
            let encoded = crate::writer::encoded_len(&header, chunk_size);
            prop_assert_eq!(wire.len() - before, encoded);
        }
        let mut reader = ChunkReader::new(LIMITS);
        reader.set_chunk_size(chunk_size);
        prop_assert_eq!(read_with(reader, &wire, step).unwrap(), messages);
    }

    #[test]
    fn any_bytes_end_the_same_way_in_any_segmentation(
        bytes in proptest::collection::vec(any::<u8>(), 1..600),
        step in 1usize..300,
    ) {
        prop_assert_eq!(read(&bytes, step), read(&bytes, bytes.len()));
    }
}

prop_compose! {
    /// A chunk that may or may not fit those before it.
    fn chunk()(
        fmt in 0_u8..4,
        csid in 3_u8..6,
        time in prop_oneof![0_u32..50, Just(EXTENDED), any::<u32>().prop_map(|t| t >> 8)],
        len in 0_u8..40,
        message_kind in prop_oneof![Just(kind::AUDIO), Just(kind::VIDEO), Just(kind::DATA)],
        body in proptest::collection::vec(prop_oneof![Just(0xC4_u8), any::<u8>()], 0..40),
    ) -> Vec<u8> {
        let mut bytes = vec![fmt << 6 | csid];
        let fields = [
            &time.to_be_bytes()[1..],
            &[0, 0, len, message_kind],
            &[1, 0, 0, 0],
        ]
        .concat();
        bytes.extend(&fields[..[11, 7, 3, 0][usize::from(fmt)]]);
        bytes.extend(body);
        bytes
    }
}

proptest! {
    #[test]
    fn the_short_way_reads_what_the_general_way_reads(
        chunks in proptest::collection::vec(chunk(), 1..12),
        chunk_size in 1_usize..40,
    ) {
        let bytes = chunks.concat();
        let read = |step| {
            let mut reader = ChunkReader::new(LIMITS);
            reader.set_chunk_size(chunk_size);
            read_with(reader, &bytes, step)
        };
        let whole = read(bytes.len());
        for step in [1, 5, 13, 60] {
            prop_assert_eq!(&read(step), &whole, "in steps of {}", step);
        }
    }
}

/// One message of `len` bytes of `message_kind` on `csid`, in chunks of `chunk_size`.
fn message_bytes(csid: u32, message_kind: u8, len: usize, chunk_size: usize) -> Vec<u8> {
    let body = vec![0x5A; len];
    let header = MessageHeader {
        csid,
        timestamp: Timestamp(0),
        kind: message_kind,
        msid: MessageStreamId(1),
        len,
    };
    let mut wire = Vec::new();
    write_message(&mut wire, &header, &Payload::from_slice(&body), chunk_size);
    wire
}

/// Reads `input` to its end and lets it go; how many messages it had.
fn take(reader: &mut ChunkReader, input: &[u8]) -> usize {
    let (mut at, mut count) = (0, 0);
    while reader.next(input, &mut at).unwrap().is_some() {
        count += 1;
    }
    reader.hold(input);
    count
}

#[test]
fn a_message_that_gets_nothing_is_known_by_its_age() {
    let seconds = Duration::from_secs;
    let mut reader = ChunkReader::new(ReaderLimits {
        skip_media: false,
        ..LIMITS
    });
    assert_eq!(reader.oldest_partial(), None);
    let audio = message_bytes(4, kind::AUDIO, 400, 128);
    let video = message_bytes(6, kind::VIDEO, 400, 128);
    // Half a header is no message yet; a whole one is.
    reader.set_now(seconds(1));
    take(&mut reader, &audio[..11]);
    assert_eq!(reader.oldest_partial(), None);
    reader.set_now(seconds(2));
    take(&mut reader, &audio[11..12]);
    assert_eq!(reader.oldest_partial(), Some(seconds(2)));
    reader.set_now(seconds(3));
    take(&mut reader, &[]);
    assert_eq!(reader.oldest_partial(), Some(seconds(2)), "nothing came");
    // Another message does not keep it young, a byte of its own does.
    reader.set_now(seconds(4));
    take(&mut reader, &audio[12..140]);
    assert_eq!(reader.oldest_partial(), Some(seconds(4)));
    reader.set_now(seconds(5));
    take(&mut reader, &video[..200]);
    assert_eq!(reader.oldest_partial(), Some(seconds(4)));
    reader.set_now(seconds(6));
    assert_eq!(take(&mut reader, &video[200..]), 1);
    assert_eq!(reader.oldest_partial(), Some(seconds(4)));
    reader.set_now(seconds(7));
    assert_eq!(take(&mut reader, &audio[140..]), 1);
    assert_eq!(reader.oldest_partial(), None);
    // The next one on the chunk stream is as long in coming, and counts anew.
    take(&mut reader, &audio[..140]);
    assert_eq!(reader.oldest_partial(), Some(seconds(7)));
    assert!(reader.abort(4));
    assert_eq!(reader.oldest_partial(), None);
}

#[test]
fn a_message_is_as_old_as_its_beginning_whatever_it_gets() {
    let seconds = Duration::from_secs;
    let mut reader = ChunkReader::new(ReaderLimits {
        skip_media: false,
        ..LIMITS
    });
    let audio = message_bytes(4, kind::AUDIO, 100, 128);
    assert_eq!(reader.oldest_begun(), None);
    for second in 1..50 {
        reader.set_now(seconds(second));
        let at = 12 + usize::try_from(second).unwrap();
        let first = if second == 1 { 0 } else { at - 1 };
        take(&mut reader, &audio[first..at]);
        assert_eq!(reader.oldest_begun(), Some(seconds(1)));
        assert_eq!(reader.oldest_partial(), Some(seconds(second)));
    }
    assert_eq!(take(&mut reader, &audio[12 + 49..]), 1);
    assert_eq!(reader.oldest_begun(), None);
    // The next one is young.
    take(&mut reader, &audio[..20]);
    assert_eq!(reader.oldest_begun(), Some(seconds(49)));
}

#[test]
fn a_message_that_nobody_reads_has_its_age_too() {
    let mut reader = ChunkReader::new(ReaderLimits {
        skip_media: true,
        ..LIMITS
    });
    let wire = message_bytes(4, kind::AUDIO, 400, 128);
    for (second, input) in [(1, &wire[..50]), (2, &wire[50..51]), (3, &[][..])] {
        reader.set_now(Duration::from_secs(second));
        take(&mut reader, input);
        let last = Duration::from_secs(second.min(2));
        assert_eq!(reader.oldest_partial(), Some(last));
    }
    take(&mut reader, &wire[51..]);
    assert_eq!(reader.oldest_partial(), None);
}

#[test]
fn memory_stays_small_whatever_was_held_before() {
    let mut reader = ChunkReader::new(ReaderLimits::PUBLISHER);
    reader.set_chunk_size(1 << 20);
    // A long message in two inputs, on one chunk stream after the other.
    for csid in 3..3 + u32::try_from(limits::CHUNK_STREAMS_MAX).unwrap() {
        let long = message_bytes(csid, kind::VIDEO, 1 << 20, 1 << 20);
        let (head, tail) = long.split_at(900_000);
        assert_eq!(take(&mut reader, head), 0);
        assert!(reader.memory_bytes() >= 899_988);
        assert_eq!(take(&mut reader, tail), 1);
        let left = reader.memory_bytes();
        assert!(left < 32 * 1024, "{left} bytes after {csid}");
    }
    // The same with as many chunks as an input can have.
    let mut reader = ChunkReader::new(ReaderLimits::PUBLISHER);
    for csid in 3..3 + u32::try_from(limits::CHUNK_STREAMS_MAX).unwrap() {
        let wire = message_bytes(csid, kind::VIDEO, 60_000, 128);
        assert_eq!(take(&mut reader, &wire), 1);
        let begun = message_bytes(csid, kind::VIDEO, 1_000, 128);
        assert_eq!(take(&mut reader, &begun[..700]), 0);
        assert_eq!(take(&mut reader, &begun[700..]), 1);
        let left = reader.memory_bytes();
        let lists = limits::CHUNK_LISTS_KEPT * 8 * 1024;
        assert!(left < lists + 32 * 1024, "{left} bytes after {csid}");
    }
    reader.release_spare();
    assert!(reader.memory_bytes() < 16 * 1024);
}

#[test]
fn an_incomplete_message_has_no_more_room_than_it_needs() {
    let mut reader = ChunkReader::new(ReaderLimits::PUBLISHER);
    reader.set_chunk_size(1 << 20);
    let wire = message_bytes(6, kind::VIDEO, 700_000, 1 << 20);
    let (mut rooms, mut room) = (0, 0);
    for piece in wire[..650_000].chunks(2_000) {
        take(&mut reader, piece);
        let bytes = reader.memory_bytes();
        assert!(bytes < 720_000 && bytes < 2 * reader.partial_bytes() + 8_000);
        rooms += usize::from(bytes > room);
        room = room.max(bytes);
    }
    assert!(rooms < 20, "copied {rooms} times");
    reader.drop_input();
    assert_eq!(reader.partial_bytes(), 0);
    assert!(reader.memory_bytes() < 1_000);
    // The rest of the message is skipped, and what follows is read.
    let next = message_bytes(4, kind::AUDIO, 100, 1 << 20);
    assert_eq!(take(&mut reader, &wire[650_000..]), 0);
    assert_eq!(take(&mut reader, &next), 1);
}

#[test]
fn one_buffer_of_a_fair_size_is_kept_for_the_next_message() {
    let mut reader = ChunkReader::new(ReaderLimits::PUBLISHER);
    let wire = message_bytes(6, kind::VIDEO, 20_000, 128);
    take(&mut reader, &wire[..15_000]);
    take(&mut reader, &wire[15_000..]);
    let kept = reader.memory_bytes();
    assert!(kept >= 14_000, "{kept}");
    let other = message_bytes(4, kind::AUDIO, 10_000, 128);
    take(&mut reader, &other[..9_000]);
    let in_use = reader.memory_bytes();
    assert!(in_use < kept + 6_000, "{in_use} after {kept}: taken again");
    take(&mut reader, &other[9_000..]);
    reader.release_spare();
    assert!(reader.memory_bytes() < kept - 14_000);
}

#[test]
fn tighter_limits_drop_media_that_was_begun_and_nothing_else() {
    let mut reader = ChunkReader::new(ReaderLimits::PUBLISHER);
    let video = message_bytes(6, kind::VIDEO, 300_000, 128);
    let command = message_bytes(3, kind::COMMAND, 400, 128);
    let begun = [&video[..129 * 1_550 + 11], &command[..140]].concat();
    assert_eq!(take(&mut reader, &begun), 0);
    assert!(reader.partial_bytes() > 190_000);
    reader.set_limits(ReaderLimits::UNAUTHORISED);
    assert_eq!(reader.partial_bytes(), 128);
    assert!(reader.memory_bytes() < 16 * 1024);
    let (mut at, rest) = (0, [&command[140..], &video[129 * 1_550 + 11..]].concat());
    let message = reader.next(&rest, &mut at).unwrap().unwrap();
    assert_eq!(message.header.kind, kind::COMMAND);
    assert_eq!(message.payload.to_vec(), [0x5A; 400]);
    assert!(reader.next(&rest, &mut at).unwrap().is_none());
    reader.hold(&rest);
    assert_eq!((reader.partial_bytes(), reader.oldest_partial()), (0, None));
    // Wanted again, it is read again.
    reader.set_limits(ReaderLimits::PUBLISHER);
    assert_eq!((take(&mut reader, &video), reader.skipped_media()), (1, 0));
}

#[test]
fn tighter_limits_hold_for_a_message_of_which_only_the_header_has_come() {
    let mut reader = ChunkReader::new(ReaderLimits::PUBLISHER);
    reader.set_chunk_size(1 << 20);
    let video = message_bytes(6, kind::VIDEO, 300_000, 1 << 20);
    take(&mut reader, &video[..12]);
    reader.set_limits(ReaderLimits::UNAUTHORISED);
    assert_eq!(take(&mut reader, &video[12..200_000]), 0);
    assert_eq!(reader.partial_bytes(), 0);
    assert_eq!(take(&mut reader, &video[200_000..]), 0);
}
