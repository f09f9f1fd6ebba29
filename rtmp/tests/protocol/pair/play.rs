//! Scenarios of the sessions: play.

use super::*;
use tailwater_rtmp::message::MessageStreamId;

#[test]
fn resets_unless_told_not_to() {
    let rows: [(&[Arg], bool); 9] = [
        (&[S("cam")], true),
        (&[S("cam"), N(-2.0)], true),
        // rtmpdump without --live asks for start 0.
        (&[S("cam"), N(0.0), N(-1.0), B(true)], true),
        (&[S("cam"), N(-1.0), N(-1.0), B(false)], false),
        (&[S("cam"), N(-1.0), N(-1.0), N(0.0)], false),
        (&[S("cam"), N(-1.0), N(-1.0), N(1.0)], true),
        (&[S("cam"), N(5000.0), N(f64::INFINITY), Null], true),
        (&[S("cam"), S("later"), Map(&[]), B(false)], false),
        (
            &[S("cam"), N(f64::NAN), Undefined, B(true), S("more"), Null],
            true,
        ),
    ];
    for (arguments, reset) in rows {
        let script = Script::with_stream().on(1, "play", arguments);
        if reset {
            check_playing(&script, &[]);
            continue;
        }
        let expected = [
            "? play 1 live/cam",
            "StreamBegin 1",
            "onStatus@1 NetStream.Play.Start",
        ];
        check_stream(&script, &expected);
    }
}

#[test]
fn names_come_with_prefixes_and_queries() {
    // VLC, ffplay and mpv.
    for name in [
        "mp4:cam",
        "mp4:cam.mp4",
        "flv:cam",
        "cam?token=1",
        "rtmp://h/live/cam",
    ] {
        check_playing(&Script::with_stream().on(1, "play", &[S(name)]), &[]);
    }
    for name in ["a/../b", ".hidden"] {
        let script = Script::with_stream().on(1, "play", &[S(name)]);
        let expected = ["onStatus@1 error NetStream.Play.StreamNotFound", "! name"];
        check_stream(&script, &expected);
    }
}

#[test]
fn needs_no_stream_made_for_it() {
    // Defective players play at once.
    let script = Script::open().on(0, "play", &[S("cam"), N(-2.0), N(-1.0), B(false)]);
    let expected = [
        "? play 1 live/cam",
        "StreamBegin 1",
        "onStatus@1 NetStream.Play.Start",
    ];
    check_open(&script, &expected);
}

#[test]
fn a_second_one_replaces_the_first() {
    let script = Script::playing()
        .on(1, "play", &[S("other")])
        .on(1, "play", &[S("later")])
        .on(1, "play", &[S("missing")]);
    let expected = [
        "? play 1 live/other reset",
        "StreamBegin 1",
        "onStatus@1 NetStream.Play.Reset",
        "onStatus@1 NetStream.Play.Start",
        "? play 1 live/later reset",
        "? play 1 live/missing reset",
        "onStatus@1 error NetStream.Play.StreamNotFound",
    ];
    check_playing(&script, &expected);
}

#[test]
fn false_stops_it() {
    let stopped = ["onStatus@1 NetStream.Play.Stop", "? stop 1"];
    check_playing(&Script::playing().on(1, "play", &[B(false)]), &stopped);
    check_stream(&Script::with_stream().on(1, "play", &[B(false)]), &[]);
    // One that still waits for its publisher, too.
    let script = Script::with_stream()
        .on(1, "play", &[S("later")])
        .on(1, "play", &[B(false)]);
    check_stream(
        &script,
        &[&["? play 1 live/later reset"], &stopped[..]].concat(),
    );
}

#[test]
fn play2_switches_what_plays_and_nothing_else() {
    let other = Map(&[("oldStreamName", S("cam")), ("streamName", S("other"))]);
    let switch = |script: Script, parameters| script.on(1, "play2", &[parameters]);
    check_playing(
        &switch(Script::playing(), other),
        &["? switch 1 live/other"],
    );
    let failed = ["onStatus@1 error NetStream.Play.Failed"];
    check_stream(&switch(Script::with_stream(), other), &failed);
    check_publishing(&switch(Script::publishing(), other), &failed);
    // What plays goes on when the other name is no name.
    for odd in [
        Map(&[("streamName", S("../x"))]),
        Map(&[]),
        Null,
        S("other"),
    ] {
        let script = switch(Script::playing(), odd).on(1, "pause", &[B(true)]);
        check_playing(&script, &[failed[0], "? pause 1 true"]);
    }
}

#[test]
fn pause_is_for_what_plays() {
    let rows: [(&str, &[Arg], &str); 5] = [
        ("pause", &[B(true), N(1200.0)], "? pause 1 true"),
        ("pause", &[B(false), N(1200.0)], "? pause 1 false"),
        ("pause", &[N(0.0)], "? pause 1 false"),
        ("pause", &[], "? pause 1 true"),
        ("pauseRaw", &[B(true)], "? pause 1 true"),
    ];
    for (name, arguments, expected) in rows {
        let name: &'static str = name;
        // On its own message stream, or on 0 when it is the only one.
        for msid in [1, 0] {
            check_playing(&Script::playing().on(msid, name, arguments), &[expected]);
        }
        let failed = "onStatus@1 error NetStream.Failed";
        check_stream(&Script::with_stream().on(1, name, arguments), &[failed]);
        check_publishing(&Script::publishing().on(1, name, arguments), &[failed]);
        let waiting = Script::with_stream().on(1, "play", &[S("later")]);
        check_stream(
            &waiting.on(1, name, arguments),
            &["? play 1 live/later reset", failed],
        );
    }
}

#[test]
fn seek_is_for_what_plays() {
    let rows: [(&[Arg], u32); 6] = [
        (&[N(0.0)], 0),
        (&[N(61_000.0)], 61_000),
        (&[N(4_294_967_295.0)], u32::MAX),
        (&[N(1_500.5)], 1_500),
        (&[N(-1.0)], 0),
        (&[], 0),
    ];
    for (arguments, position) in rows {
        let expected = format!("? seek 1 {position}");
        check_playing(&Script::playing().on(1, "seek", arguments), &[&expected]);
        let failed = "onStatus@1 error NetStream.Seek.Failed";
        check_publishing(&Script::publishing().on(1, "seek", arguments), &[failed]);
    }
}

#[test]
fn halves_are_turned_off_before_and_after() {
    let script = Script::with_stream()
        .on(1, "receiveVideo", &[B(false)])
        .on(7, "receiveVideo", &[B(false)])
        .on(1, "play", &[S("cam"), N(-2.0), N(-1.0), B(false)])
        .on(1, "receiveVideo", &[B(true)])
        .on(1, "receiveAudio", &[B(false)])
        .on(0, "receiveAudio", &[N(1.0)])
        .on(1, "receiveAudio", &[]);
    let expected = [
        "? play 1 live/cam",
        "StreamBegin 1",
        "onStatus@1 NetStream.Play.Start",
        "? receive 1 Video true",
        "? receive 1 Audio false",
        "? receive 1 Audio true",
        "? receive 1 Audio true",
    ];
    check_stream(&script, &expected);
}

#[test]
fn regression_a_new_message_stream_has_both_halves() {
    let off = |script: Script| script.on(1, "receiveAudio", &[B(false)]);
    let halves = |script: &Script| {
        let mut server = Server::new();
        server.feed(&script.wire, false);
        server.session.take_halves(MessageStreamId(1))
    };
    assert_eq!(halves(&off(Script::with_stream())), (false, true));
    // Its id is given anew, and what was said of the old one is not true of it.
    let script = off(Script::with_stream())
        .call("deleteStream", 0.0, &[N(1.0)])
        .call("createStream", 3.0, &[]);
    assert_eq!(halves(&script), (true, true));
    // One that publishes and then plays.
    let script = off(Script::publishing()).on(1, "closeStream", &[]);
    assert_eq!(halves(&script), (false, true));
}

#[test]
fn a_player_of_the_fmle_family_gets_all_its_answers() {
    let script = Script::open()
        .call("FCSubscribe", 2.0, &[S("cam")])
        .call("createStream", 3.0, &[])
        // ffplay asks for the length and may wait for it.
        .call("getStreamLength", 4.0, &[S("cam")])
        .on(1, "play", &[S("cam"), N(-2000.0), N(-1.0), B(false)])
        .control(Control::User(UserControl::SetBufferLength {
            msid: MessageStreamId(1),
            buffer_ms: 3_000,
        }));
    let expected = [
        "onFCSubscribe 2 NetStream.Play.Start cam",
        "_result 2 Null",
        "_result 3 1",
        "_result 4 0",
        "? play 1 live/cam",
        "StreamBegin 1",
        "onStatus@1 NetStream.Play.Start",
    ];
    check_open(&script, &expected);
}

#[test]
fn what_ends_it_from_this_side_is_told() {
    let mut server = Server::new();
    server.feed(&Script::playing().wire, false);
    server.seen.lines.clear();
    server
        .session
        .send_user_control(UserControl::StreamEof(MessageStreamId(1)));
    server
        .session
        .send_status(MessageStreamId(1), Status::PauseNotify, "paused");
    server.session.end_play(MessageStreamId(1), "over");
    // It no longer plays, and may play again.
    server.feed(
        &Script::fresh().on(1, "pause", &[B(true)]).wire[HANDSHAKE_BYTES..],
        false,
    );
    let again = Script::fresh().on(1, "play", &[S("missing")]);
    server.feed(&again.wire[HANDSHAKE_BYTES..], false);
    let expected = [
        "StreamEof 1",
        "onStatus@1 NetStream.Pause.Notify",
        "StreamEof 1",
        "onStatus@1 NetStream.Play.UnpublishNotify",
        "onStatus@1 error NetStream.Failed",
        "? play 1 live/missing reset",
        "onStatus@1 error NetStream.Play.StreamNotFound",
    ];
    assert_eq!(server.seen.lines, expected);
}
