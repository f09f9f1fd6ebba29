//! Scenarios of the sessions: control.

use super::*;

#[test]
fn pings_are_answered_and_answers_to_ours_told() {
    let script = Script::open()
        .control(Control::User(UserControl::PingRequest(7)))
        .control(Control::User(UserControl::PingResponse(9)))
        .control(Control::User(UserControl::PingRequest(u32::MAX)));
    check_open(
        &script,
        &["PingResponse 7", "? pong 9", "PingResponse 4294967295"],
    );
}

#[test]
fn comes_on_any_chunk_stream_and_any_message_stream() {
    // PTZOptics cameras use chunk stream 4.
    let script = Script::open().message(4, kind::USER_CONTROL, 7, 0, &[0, 6, 0, 0, 0, 8]);
    check_open(&script, &["PingResponse 8"]);
    // The ping of librtmp begins its chunk stream with a type 1 header.
    let ping = [0x42, 0, 0, 0, 0, 0, 6, 4, 0, 6, 0, 0, 0x0D, 0x0F];
    check_open(&Script::open().raw(&ping), &["PingResponse 3343"]);
    // Events of FMS, and one without a body.
    let script = Script::open()
        .message(2, kind::USER_CONTROL, 0, 0, &[0, 31, 0, 0, 0, 1])
        .message(2, kind::USER_CONTROL, 0, 0, &[0, 6]);
    check_open(&script, &[]);
    check_open(
        &Script::open().message(2, kind::USER_CONTROL, 0, 0, &[0]),
        &["! short_control"],
    );
}

#[test]
fn chunk_size_changes_at_any_time() {
    let body = [0x17; 5_000];
    let script = Script::publishing()
        .message(6, kind::VIDEO, 1, 1, &body[..1_000])
        .control(Control::SetChunkSize(4_096))
        .message(6, kind::VIDEO, 1, 2, &body)
        // joy4 announces 128 MiB.
        .control(Control::SetChunkSize(0x0800_0000))
        .message(6, kind::VIDEO, 1, 3, &body)
        .control(Control::SetChunkSize(128))
        .message(6, kind::VIDEO, 1, 4, &body[..1_000]);
    let expected = [
        "= video 1 @1, 1000 bytes",
        "= video 1 @2, 5000 bytes",
        "= video 1 @3, 5000 bytes",
        "= video 1 @4, 1000 bytes",
    ];
    check_publishing(&script, &expected);
    for bytes in [0, 127, 0x8000_0000] {
        let body = u32::to_be_bytes(bytes);
        let script = Script::open().message(2, kind::SET_CHUNK_SIZE, 0, 0, &body);
        check_open(&script, &["! chunk_size"]);
    }
}

#[test]
fn abort_gives_up_the_message_begun_and_no_other() {
    // 300 bytes of audio announced, 128 there; the next on the chunk stream is whole.
    let begun = [
        &[0x07, 0, 0, 9, 0, 1, 0x2C, 8, 1, 0, 0, 0][..],
        &[0xAF; 128],
    ]
    .concat();
    let script = Script::publishing()
        .raw(&begun)
        .audio(1, 10, b"kept")
        .control(Control::Abort(7))
        .control(Control::Abort(900))
        .message(7, kind::AUDIO, 1, 30, b"next");
    check_publishing(
        &script,
        &["= audio 1 @10, 4 bytes", "= audio 1 @30, 4 bytes"],
    );
}

/// Totals acknowledged while a publisher sends `bytes` in inputs of `step` bytes.
fn acknowledged(window: Option<u32>, step: usize) -> (u64, Vec<u64>) {
    let mut script = Script::publishing();
    if let Some(window) = window {
        script = script.control(Control::WindowAckSize(window));
    }
    script = script.control(Control::SetChunkSize(1 << 20));
    for time in 0..48 {
        script = script.message(6, kind::VIDEO, 1, time, &vec![0x27; 60_000]);
    }
    let mut server = Server::new();
    script
        .wire
        .chunks(step)
        .for_each(|input| server.feed(input, false));
    let lines = server.seen.lines.iter();
    let acks = lines.filter_map(|line| line.strip_prefix("Ack ")?.parse().ok());
    (script.wire.len() as u64, acks.collect())
}

#[test]
fn acknowledgements_count_every_byte_whatever_the_reads() {
    // Asked for or not: some encoders stop without them although they name no window.
    let windows = [
        (None, limits::ACK_WINDOW_DEFAULT),
        (Some(1_000_000), 1_000_000),
        (Some(1), limits::ACK_WINDOW_MIN),
        (Some(0x7FFF_FFFF), 0x7FFF_FFFF),
    ];
    for (asked, window) in windows {
        for step in [1_460, 65_536] {
            let (total, acks) = acknowledged(asked, step);
            let half = u64::from(window) / 2;
            let mut last = 0;
            for ack in acks {
                assert!(ack - last >= half, "{ack} so soon after {last}");
                assert!(
                    ack - last <= half + step as u64,
                    "{ack} so late after {last}"
                );
                last = ack;
            }
            assert!(total - last < half + step as u64, "{last} of {total}");
        }
    }
}
