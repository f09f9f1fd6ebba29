//! What a player got, or a file holds, as packets: time, size and hash of each, track by track,
//! as ffmpeg's framehash muxer tells them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tailwater::rtmp::message::kind;

use crate::media::Ffmpeg;
use crate::wire::Media;

/// One track of media.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Track {
    /// `video` or `audio`.
    pub kind: String,
    /// As ffmpeg calls it.
    pub codec: String,
    /// Hash of the decoder configuration, if there is one.
    pub configuration: Option<String>,
    /// In order.
    pub packets: Vec<Packet>,
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Packet {
    /// When it is decoded, in milliseconds after the first packet of the first video track.
    pub dts: i64,
    /// When it is shown, in the same way.
    pub pts: i64,
    /// In bytes.
    pub size: u64,
    /// MD5 of its bytes.
    pub md5: String,
}

impl Track {
    /// Size and hash of each packet, without its time.
    pub fn contents(&self) -> Vec<(u64, &str)> {
        self.packets
            .iter()
            .map(|packet| (packet.size, packet.md5.as_str()))
            .collect()
    }
}

/// How ffmpeg is asked for packets, behind its input.
pub const FRAMEHASH: [&str; 10] = [
    "-map",
    "0:v?",
    "-map",
    "0:a?",
    "-c",
    "copy",
    "-f",
    "framehash",
    "-hash",
    "md5",
];

/// Fails when the time of a picture is less than that of the one before.
#[track_caller]
pub fn assert_time_never_steps_back(media: &[Media]) {
    let pictures = media.iter().filter(|media| media.kind == kind::VIDEO);
    let mut last = 0;
    for picture in pictures {
        assert!(picture.time >= last, "{picture:?} after {last}");
        last = picture.time;
    }
}

/// The packets of a media file.
pub fn of_file(ffmpeg: Ffmpeg, file: &Path) -> Vec<Track> {
    let output = ffmpeg
        .command()
        .arg("-i")
        .arg(file)
        .args(FRAMEHASH)
        .arg("-")
        .output()
        .expect("ffmpeg runs; scripts/test installs it");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", file.display());
    parse(&String::from_utf8_lossy(&output.stdout))
}

/// The packets in a file of framehash.
pub fn of_hashes(file: &Path) -> Vec<Track> {
    parse(&fs::read_to_string(file).expect("the player wrote it"))
}

/// Video first, then by codec and content: players number tracks as they please.
fn parse(text: &str) -> Vec<Track> {
    let mut tracks: BTreeMap<u32, Track> = BTreeMap::new();
    for line in text.lines() {
        match line.strip_prefix('#') {
            Some(fact) => describe(&mut tracks, fact),
            None => {
                let (index, packet) = packet(line);
                tracks.entry(index).or_default().packets.push(packet);
            }
        }
    }
    let mut tracks: Vec<Track> = tracks.into_values().collect();
    assert!(!tracks.is_empty(), "no packet at all");
    tracks.sort_by(|one, other| (&other.kind, one).cmp(&(&one.kind, other)));
    let begin = tracks[0].packets.first().map_or(0, |packet| packet.dts);
    for packet in tracks.iter_mut().flat_map(|track| &mut track.packets) {
        packet.dts -= begin;
        packet.pts = packet.pts.saturating_sub(begin);
    }
    tracks
}

/// `media_type 0: video`, `codec_id 0: h264`, `extradata 0,  45, MD5`, `tb 0: 1/1000`.
fn describe(tracks: &mut BTreeMap<u32, Track>, fact: &str) {
    let mut words = fact.split([' ', ',', ':']).filter(|word| !word.is_empty());
    let (name, index) = (words.next(), words.next());
    let last = words.next_back().unwrap_or_default().to_owned();
    let Some(name @ ("media_type" | "codec_id" | "extradata" | "tb")) = name else {
        return;
    };
    let index = index.and_then(|index| index.parse().ok());
    let track = tracks.entry(index.expect("a stream index")).or_default();
    match name {
        "media_type" => track.kind = last,
        "codec_id" => track.codec = last,
        "extradata" => track.configuration = Some(last),
        _ => assert_eq!(last, "1/1000", "times of FLV are in milliseconds"),
    }
}

/// `stream, dts, pts, duration, size, hash`, and fields about side data we do not look at.
fn packet(line: &str) -> (u32, Packet) {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let number = |at: usize| fields[at].parse::<i64>().unwrap_or(i64::MIN);
    let packet = Packet {
        dts: number(1),
        pts: number(2),
        size: fields[4].parse().expect("a size"),
        md5: fields[5].to_owned(),
    };
    (fields[0].parse().expect("a stream index"), packet)
}

/// Fails unless both have the same tracks with the same packets at the same times.
#[track_caller]
pub fn assert_same(what: &str, got: &[Track], wanted: &[Track]) {
    let kinds = |tracks: &[Track]| -> Vec<(String, String, Option<String>)> {
        tracks
            .iter()
            .map(|track| {
                let track = track.clone();
                (track.kind, track.codec, track.configuration)
            })
            .collect()
    };
    assert_eq!(kinds(got), kinds(wanted), "{what}: tracks");
    for (got, wanted) in got.iter().zip(wanted) {
        assert_list(
            &format!("{what}: {} packets", got.codec),
            &got.packets,
            &wanted.packets,
        );
    }
}

/// Fails unless both have the same packets in the same order, whatever their times.
#[track_caller]
pub fn assert_same_contents(what: &str, got: &[Track], wanted: &[Track]) {
    assert_eq!(got.len(), wanted.len(), "{what}: tracks");
    for (got, wanted) in got.iter().zip(wanted) {
        assert_list(
            &format!("{what}: {} packets", got.codec),
            &got.contents(),
            &wanted.contents(),
        );
    }
}

/// Fails unless `got` is the end of `whole`, beginning with a key frame, one of which comes every
/// `group` pictures: what a player gets that came late.
#[track_caller]
pub fn assert_end(what: &str, got: &[Track], whole: &[Track], group: usize) {
    assert_eq!(got.len(), whole.len(), "{what}: tracks");
    for (got, whole) in got.iter().zip(whole) {
        let what = format!("{what}: {}", got.codec);
        assert_eq!(got.configuration, whole.configuration, "{what}");
        let (packets, all) = (got.contents(), whole.contents());
        assert!(!packets.is_empty(), "{what}: nothing");
        let missed = all.len().saturating_sub(packets.len());
        assert_list(&what, &packets, &all[missed..]);
        assert!(
            got.kind != "video" || missed.is_multiple_of(group),
            "{what}: begins with picture {missed}, which is no key frame"
        );
    }
}

/// Fails with the first difference of two lists that ought to be equal.
#[track_caller]
pub fn assert_list<T: PartialEq + std::fmt::Debug>(what: &str, got: &[T], wanted: &[T]) {
    let same = got
        .iter()
        .zip(wanted)
        .take_while(|(got, wanted)| got == wanted)
        .count();
    assert!(
        same == got.len() && same == wanted.len(),
        "{what}: {} where {} were wanted; the first {same} are equal, then comes {:?} instead \
         of {:?}",
        got.len(),
        wanted.len(),
        got.get(same),
        wanted.get(same),
    );
}
