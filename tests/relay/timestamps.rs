//! Streams that are live for hours: time passes 2^24 ms (4 h 40 min), where the chunk header gets
//! its extended field, and 2^32 ms (49.7 days), where it wraps. Senders differ in what they write
//! there, and every message has to come out at its time all the same.

use support::media::{self, Ffmpeg, H264_AAC};
use support::packets::{assert_list, assert_same, assert_same_contents, of_file};
use support::players::{Player, Program as PlayerProgram};
use support::publishers::{Program, Speed};
use support::relay::Relay;
use support::wire::{Media, Settings, Wire, media_of};
use tailwater::rtmp::message::kind;

/// The first time that needs the extended field. RTMP 1.0 §5.3.1.2.
const EXTENDED_FROM: u32 = 0xFF_FFFF;

/// How a sender writes the headers of its chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// The extended time again on every chunk of a message: FMLE, ffmpeg, GStreamer.
    Repeated,
    /// Not again: librtmp, and OBS until January 2024.
    Omitted,
    /// Once the absolute time, then only how much later each message is.
    Deltas,
}

const CHUNK_BYTES: usize = 512;

/// Writes a message as chunks. `before` is the time of the one before it on its chunk stream.
fn write(out: &mut Vec<u8>, media: &Media, style: Style, before: Option<u32>) {
    let csid: u8 = if media.kind == kind::AUDIO { 4 } else { 6 };
    let len = u32::try_from(media.payload.len()).unwrap().to_be_bytes();
    let (fmt, time) = match before {
        Some(before) if style == Style::Deltas => (1, media.time.wrapping_sub(before)),
        _ => (0, media.time),
    };
    let extended = (time >= EXTENDED_FROM).then(|| time.to_be_bytes());
    out.push(fmt << 6 | csid);
    out.extend_from_slice(&time.min(EXTENDED_FROM).to_be_bytes()[1..]);
    out.extend_from_slice(&len[1..]);
    out.push(media.kind);
    if fmt == 0 {
        out.extend_from_slice(&1_u32.to_le_bytes());
    }
    out.extend(extended.into_iter().flatten());
    for (index, chunk) in media.payload.chunks(CHUNK_BYTES).enumerate() {
        if index > 0 {
            out.push(3 << 6 | csid);
            if style == Style::Repeated {
                out.extend(extended.into_iter().flatten());
            }
        }
        out.extend_from_slice(chunk);
    }
}

/// The file, with `boundary` two seconds after its beginning.
fn film_across(boundary: u32) -> Vec<Media> {
    media::messages(&media::file(&H264_AAC))
        .iter()
        .map(|media| media.at(media.time.wrapping_add(boundary).wrapping_sub(2_000)))
        .collect()
}

#[track_caller]
fn publish(relay: &Relay, film: &[Media], style: Style) -> Wire {
    let settings = Settings {
        chunk_size: u32::try_from(CHUNK_BYTES).unwrap(),
        ..Settings::default()
    };
    let mut publisher = Wire::publish_with(relay.address(), "film", &settings);
    let mut bytes = Vec::new();
    let mut before = [None; 256];
    for media in film {
        // Metadata travels with the pictures.
        let stream = usize::from(media.kind == kind::AUDIO);
        write(&mut bytes, media, style, before[stream]);
        before[stream] = Some(media.time);
    }
    publisher.send_bytes(&bytes);
    publisher
}

/// Every message comes out at its time when `boundary` is crossed, however it is written.
#[track_caller]
fn check(boundary: u32, style: Style) {
    let film = film_across(boundary);
    let is_past = |media: &&Media| media.time.wrapping_sub(boundary) < 1 << 31;
    let past = film.iter().filter(is_past).count();
    assert!(past > 0 && past < film.len(), "the boundary is inside");
    // Several chunks a picture on the way out, too.
    let flags = ["--workers", "2", "--grace", "1", "--chunk-size", "1k"];
    let relay = Relay::start(&flags);
    let mut players = relay.on_each_worker(2, || Wire::play(relay.address(), "film"));
    let url = relay.url("film");
    let programs = [
        PlayerProgram::Ffmpeg5,
        PlayerProgram::Rtmpdump,
        PlayerProgram::Gstreamer,
    ];
    let mut programs = programs.map(|program| Player::start(program, &url, relay.dir(), "film"));
    relay.wait_players(players.len() + programs.len());
    let mut publisher = publish(&relay, &film, style);
    publisher.settle();
    // One that comes later gets headers with a time, too.
    let mut late = Wire::play(relay.address(), "film");
    publisher.finish();
    for player in &mut players {
        let got = media_of(&player.until_closed());
        assert_list(&format!("{style:?}"), &got, &film);
    }
    let got = media_of(&late.until_closed());
    let key = film.iter().rposition(Media::is_key).unwrap();
    let tail = &film[key..];
    let (headers, rest) = got.split_at(got.len() - tail.len());
    assert_list(&format!("{style:?}, the late player"), rest, tail);
    let times: Vec<u32> = headers.iter().map(|header| header.time).collect();
    assert_eq!(times, [0, tail[0].time, tail[0].time], "of the headers");
    let file = media::file(&H264_AAC);
    for player in &mut programs {
        let what = format!("{style:?} to {:?}", player.program());
        let wanted = of_file(player.program().judge(), &file);
        if boundary == EXTENDED_FROM {
            assert_same(&what, &player.tracks(), &wanted);
        } else {
            // What players make of a time that begins anew is theirs: rtmpdump finds its
            // recording shorter than it was, and exits with 2.
            player.process.wait(support::A_WHILE);
            assert_same_contents(&what, &player.tracks_so_far(), &wanted);
        }
    }
}

#[test]
fn the_extended_time_begins_and_is_repeated_on_every_chunk() {
    check(EXTENDED_FROM, Style::Repeated);
}

#[test]
fn the_extended_time_begins_and_is_not_repeated() {
    check(EXTENDED_FROM, Style::Omitted);
}

#[test]
fn the_extended_time_begins_while_only_differences_are_sent() {
    check(EXTENDED_FROM, Style::Deltas);
}

#[test]
fn time_wraps_and_is_repeated_on_every_chunk() {
    check(0, Style::Repeated);
}

#[test]
fn time_wraps_and_is_not_repeated() {
    check(0, Style::Omitted);
}

#[test]
fn time_wraps_while_only_differences_are_sent() {
    check(0, Style::Deltas);
}

#[test]
fn real_publishers_pass_the_extended_time() {
    let file = media::file(&H264_AAC);
    let relay = Relay::start(&["--grace", "1"]);
    let publishers = [(Program::Ffmpeg5, "five"), (Program::Ffmpeg9, "nine")];
    let mut players = Vec::new();
    for (_, stream) in publishers {
        for program in [PlayerProgram::Ffmpeg5, PlayerProgram::Rtmpdump] {
            let url = relay.url(stream);
            players.push(Player::start(program, &url, relay.dir(), stream));
        }
    }
    let mut wire = Wire::play(relay.address(), "five");
    relay.wait_players(players.len() + 1);
    // Two seconds before it.
    let options = ["-output_ts_offset", "16775.215"];
    let mut publishers = publishers.map(|(program, stream)| {
        let url = relay.url(stream);
        program.publish_with(&file, &url, Speed::Fast, &options, relay.dir())
    });
    for publisher in &mut publishers {
        publisher.succeed(support::A_WHILE);
    }
    let times: Vec<u32> = media_of(&wire.until_closed())
        .iter()
        .filter(|media| media.kind == kind::VIDEO && !media.is_header())
        .map(|media| media.time)
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    let passed = times.partition_point(|&time| time < EXTENDED_FROM);
    assert!(passed > 0 && passed < times.len(), "{times:?}");
    let wanted = of_file(Ffmpeg::V5, &file);
    for player in &mut players {
        let what = format!("{:?}", player.program());
        assert_same(&what, &player.tracks(), &wanted);
    }
}
