//! Tests of media.rs.

use proptest::prelude::*;
use tailwater_rtmp::media::*;
use tailwater_rtmp_exercise::leaves;

fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .collect();
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap())
        .collect()
}

fn told(seen: &Inspection) -> String {
    let codec = seen
        .codec
        .map_or_else(|| "-".to_owned(), |codec| codec.to_string());
    let enhanced = if seen.enhanced { " enhanced" } else { "" };
    let sync = if seen.sync { " sync" } else { "" };
    format!("{:?} {codec} {:?}{enhanced}{sync}", seen.kind, seen.tracks)
}

/// Rows of `message | need | expected`: the message is told as expected from its first `need`
/// bytes on, and as nothing when shorter. With a `need` of 0 it is not cut.
#[track_caller]
fn check(inspect: fn(&[u8], usize) -> Inspection, rows: &str) {
    let nothing = [FrameKind::Unknown, FrameKind::Empty, FrameKind::Silence];
    for row in rows.trim().lines() {
        let [hex, need, expected] = row.split('|').collect::<Vec<_>>()[..] else {
            panic!("not a row: {row}");
        };
        let (message, need) = (bytes(hex), need.trim().parse::<usize>().unwrap());
        let whole = inspect(&message, message.len());
        assert_eq!(told(&whole), expected.trim(), "{row}");
        assert!(need <= message.len(), "{row}");
        for cut in 0..if need == 0 { 0 } else { message.len() } {
            let seen = inspect(&message[..cut], cut);
            let is_nothing = nothing.contains(&seen.kind) && !seen.sync;
            assert_eq!(seen.kind == whole.kind, cut >= need, "{row} cut at {cut}");
            assert!(cut >= need || is_nothing, "{row} cut at {cut}: {seen:?}");
        }
    }
}

#[test]
fn legacy_video_is_told_by_frame_type_codec_and_packet_type() {
    let cases = "
        17 00 000000 01640028                      |  6 | SequenceHeader h264 {0}
        27 00 000000 01640028                      |  6 | SequenceHeader h264 {0}
        17 01 000000 00000001 65                   |  6 | Keyframe h264 {0} sync
        47 01 000000 65                            |  6 | Keyframe h264 {0} sync
        27 01 000050 00000001 41                   |  6 | Inter h264 {0}
        37 01 000000 01                            |  6 | Disposable h264 {0}
        17 02 000000                               |  2 | SequenceEnd h264 {0}
        57 00                                      |  2 | Command h264 {0}
        1C 00 000000 01                            |  6 | SequenceHeader hevc {0}
        1C 01 000000 26                            |  6 | Keyframe hevc {0} sync
        1D 00 000000 81                            |  6 | SequenceHeader av1 {0}
        19 00 000000 00                            |  6 | SequenceHeader mpeg4 {0}
        12 00                                      |  2 | Keyframe h263 {0} sync
        23 00                                      |  2 | Inter screen {0}
        14 00 00                                   |  2 | Keyframe vp6 {0} sync
        1E 00                                      |  2 | Keyframe codec-14 {0} sync";
    check(inspect_video, cases);
}

#[test]
fn enhanced_video_is_told_by_packet_type_and_four_cc() {
    let cases = "
        90 68766331 01                             |  6 | SequenceHeader hevc {0} enhanced
        91 68766331 000000 26                      |  9 | Keyframe hevc {0} enhanced sync
        A1 61766331 000000 41                      |  9 | Inter h264 {0} enhanced
        91 76766331 000000 01                      |  9 | Keyframe vvc {0} enhanced sync
        93 68766331 26                             |  6 | Keyframe hevc {0} enhanced sync
        A3 68766331 02                             |  6 | Inter hevc {0} enhanced
        B1 76703039 01                             |  6 | Disposable vp9 {0} enhanced
        91 76703038 10                             |  6 | Keyframe vp8 {0} enhanced sync
        91 61763031 12                             |  6 | Keyframe av1 {0} enhanced sync
        95 61763031 80                             |  6 | SequenceHeader av1 {0} enhanced
        92 68766331                                |  5 | SequenceEnd hevc {0} enhanced
        94 68766331 02                             |  6 | Metadata hevc {0} enhanced
        D4 68766331 02                             |  6 | Metadata hevc {0} enhanced
        D1 00                                      |  2 | Command - {0} enhanced
        91 7A7A7A31 00                             |  6 | Keyframe zzz1 {0} enhanced sync
        97 020186A0 01 61763031 12                 | 11 | Keyframe av1 {0} enhanced sync
        97 00AA17 00BB03 68766331 26               | 12 | Keyframe hevc {0} enhanced sync
        97 FF0003 AABBCCDD 01 61763031 12          | 14 | Keyframe av1 {0} enhanced sync
        96 01 61763031 00 12                       |  8 | Keyframe av1 {0} enhanced sync
        96 01 61763031 03 12                       |  8 | Keyframe av1 {3} enhanced sync
        97 00AA06 00 68766331 FF 01                | 11 | SequenceHeader hevc {255} enhanced
        96 11 76703039 00000001AA 01000002BBCC     |  0 | Keyframe vp9 {0, 1} enhanced sync
        96 11 76703039 01000001AA 02000001BB       |  0 | Keyframe vp9 {1, 2} enhanced sync
        96 11 76703039 00000000 01000001AA         |  0 | Keyframe vp9 {0, 1} enhanced sync
        96 11 76703039 00000001AA 01000000         |  0 | Keyframe vp9 {0, 1} enhanced sync
        96 21 6176303101000001AA 7670303900000001BB |  0 | Keyframe vp9 {0, 1} enhanced sync";
    check(inspect_video, cases);
}

#[test]
fn broken_video_is_neither_refused_nor_a_place_to_start() {
    // Among them a DJI Mini with other bytes before the message, a track longer than the
    // message, no track, a reserved form, multitrack in multitrack, and a second track too
    // short for its composition time.
    let cases = "
                                                   |  0 | Empty - {0}
        17                                         |  0 | Unknown h264 {0}
        17 00 000000                               |  0 | Empty h264 {0}
        17 01 000000                               |  0 | Empty h264 {0}
        17 03 000000 01                            |  0 | Unknown h264 {0}
        07 00 000000 01                            |  0 | Unknown h264 {0}
        FF FFFEF717 01                             |  0 | Unknown - {0} enhanced
        91 FFFEF717 01                             |  0 | Unknown - {0} enhanced
        91 00616263 01                             |  0 | Unknown - {0} enhanced
        9F 61766331 00                             |  0 | Unknown h264 {0} enhanced
        91 61766331 0000                           |  0 | Unknown h264 {0} enhanced
        91 61766331 000000                         |  0 | Empty h264 {0} enhanced
        96 11 76703039 000000FFAA                  |  0 | Unknown - {0} enhanced
        96 11 76703039                             |  0 | Unknown - {0} enhanced
        96 31 76703039 00000001AA                  |  0 | Unknown - {0} enhanced
        96 06 76703039 00 AA                       |  0 | Unknown vp9 {0} enhanced
        96 11 61766331 0000000400000065 0100000100 |  0 | Unknown h264 {0, 1} enhanced";
    check(inspect_video, cases);
}

#[test]
fn prefixes_and_tracks_are_read_up_to_a_limit() {
    const MOD_EX_MAX: usize = 16;
    const TRACKS_MAX: usize = 256;
    let mod_ex = |count| format!("97 {} 00AA01 61763031 12", "00AA07".repeat(count - 1));
    let known = format!(
        "{} | 0 | Keyframe av1 {{0}} enhanced sync",
        mod_ex(MOD_EX_MAX)
    );
    check(inspect_video, &known);
    let unknown = format!("{} | 0 | Unknown - {{0}} enhanced", mod_ex(MOD_EX_MAX + 1));
    check(inspect_video, &unknown);
    let tracks = |count| format!("95 11 6D703461 {}", "00000000".repeat(count));
    check(
        inspect_audio,
        &format!("{} | 0 | Empty aac {{0}} enhanced", tracks(TRACKS_MAX)),
    );
    let unknown = format!("{} | 0 | Unknown - {{0}} enhanced", tracks(TRACKS_MAX + 1));
    check(inspect_audio, &unknown);
}

#[test]
fn audio_is_told_by_its_header() {
    let cases = "
                                                   |  0 | Silence - {0}
        AF 00 1210                                 |  3 | SequenceHeader aac {0}
        AF 00                                      |  0 | Empty aac {0}
        AF 01 21                                   |  3 | Audio aac {0}
        AF 02 00                                   |  0 | Unknown aac {0}
        2F FF                                      |  2 | Audio mp3 {0}
        3E 00                                      |  2 | Audio pcm {0}
        6E 00                                      |  2 | Audio nellymoser {0}
        72 00                                      |  2 | Audio g711a {0}
        82 00                                      |  2 | Audio g711u {0}
        B2 00                                      |  2 | Audio speex {0}
        CF 00                                      |  2 | Audio codec-12 {0}
        FF 00                                      |  2 | Audio device {0}
        DF FC                                      |  2 | Audio opus {0}
        DF 00 4F70757348656164 01                  |  0 | SequenceHeader opus {0}
        90 4F707573                                |  5 | SequenceHeader opus {0} enhanced
        90 664C6143 66                             |  6 | SequenceHeader flac {0} enhanced
        90 6D703461                                |  0 | Empty aac {0} enhanced
        91 2E6D7033 FF                             |  6 | Audio mp3 {0} enhanced
        92 4F707573                                |  5 | SequenceEnd opus {0} enhanced
        93 6D703461 00                             |  0 | Unknown aac {0} enhanced
        94 4F707573 01 02 00000003                 |  7 | ChannelConfig opus {0} enhanced
        97 020186A0 01 65632D33 0B                 | 11 | Audio e-ac-3 {0} enhanced
        95 01 6D703461 02 21                       |  8 | Audio aac {2} enhanced
        95 11 61632D33 000000010B 010000010B       |  0 | Audio ac-3 {0, 1} enhanced";
    check(inspect_audio, cases);
}

#[test]
fn the_whole_message_is_asked_for_only_when_tracks_or_header_are_spread_over_it() {
    let rows = "
        17 01 000000 65             | no  | no
        AF 01 21 00 00 00 00        | no  | no
        91 68766331 000000 26       | no  | no
        96 01 61763031 03 12        | no  | no
        96 11 61763031 03 000001 12 | yes | no
        96 21 61763031 03 000001 12 | yes | no
        96 31 61763031 03 000001 12 | no  | no
        95 01 6D703461 02 21        | no  | no
        95 11 6D703461 02 000001 21 | no  | yes
        97 00AA06 11 61763031 00    | yes | no
        97 00AA05 21 61763031 00    | no  | yes
        97 00AA01 6176              | yes | yes
        97 FE 00                    | yes | yes";
    for row in rows.trim().lines() {
        let head = bytes(row.split('|').next().unwrap());
        let found = [needs_whole_video(&head), needs_whole_audio(&head)];
        let expected = row.split('|').skip(1).map(|cell| cell.trim() == "yes");
        assert!(expected.eq(found), "{row}: {found:?}");
    }
}

#[test]
fn bytes_behind_the_message_are_not_read() {
    assert_eq!(
        inspect_audio(&bytes("AF 01 21"), 1).kind,
        FrameKind::Unknown
    );
}

#[test]
fn names_from_the_wire_are_escaped() {
    assert_eq!(FourCc(*b"a\n\"\xFF").to_string(), "a\\n\\\"\\xff");
    assert_eq!(Codec::Other(FourCc(*b"zzz1")).name(), "other");
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(
        start in prop::sample::select(vec![&[][..], &[0x96], &[0x97], &[0x95], &[0x96, 0x11]]),
        rest in prop::collection::vec(prop_oneof![0..8u8, any::<u8>()], 0..200),
    ) {
        leaves::media(&[start, &rest].concat());
    }

    #[test]
    fn every_track_of_many_is_seen(
        tracks in prop::collection::vec((any::<u8>(), 1..0x1_2000u32), 1..6),
    ) {
        let mut message = bytes("96 11 76703039");
        let mut expected = TrackSet::default();
        for &(track, size) in &tracks {
            let [_, high, middle, low] = size.to_be_bytes();
            message.extend([track, high, middle, low]);
            message.resize(message.len() + size as usize, 0xAA);
            expected.insert(track);
        }
        let seen = inspect_video(&message, message.len());
        prop_assert_eq!((seen.kind, seen.tracks), (FrameKind::Keyframe, expected));
        prop_assert!(seen.sync);
        prop_assert_eq!(Some(seen.first_track), expected.iter().next());
        prop_assert_eq!(inspect_video(&message, message.len() - 1).kind, FrameKind::Unknown);
    }
}
