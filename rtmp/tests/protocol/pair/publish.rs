//! Scenarios of the sessions: publish.

use super::*;

#[test]
fn type_may_be_anything_and_is_live_by_default() {
    let rows: [(&[Arg], &str); 9] = [
        (&[S("cam"), S("live")], "Live"),
        // Wirecast.
        (&[S("cam"), S("LIVE")], "Live"),
        (&[S("cam"), S("record")], "Record"),
        (&[S("cam"), S("RECORD")], "Record"),
        (&[S("cam"), S("append")], "Append"),
        (&[S("cam"), S("shout")], "Live"),
        // Some tools leave it out.
        (&[S("cam")], "Live"),
        (&[S("cam"), Null], "Live"),
        (&[S("cam"), N(1.0), S("append")], "Live"),
    ];
    for (arguments, told) in rows {
        let asked = format!("? publish 1 live/cam {told}");
        let script = Script::with_stream().on(1, "publish", arguments);
        check_stream(
            &script,
            &[
                &asked,
                "StreamBegin 1",
                "onStatus@1 NetStream.Publish.Start",
            ],
        );
    }
}

#[test]
fn query_is_no_part_of_the_name() {
    let script = Script::with_stream().on(1, "publish", &[S("cam?key=secret"), S("live")]);
    check_publishing(&script, &[]);
}

#[test]
fn the_app_alone_is_a_stream() {
    // GoPro Hero 12 and Wirecast publish an empty name.
    for name in ["", "?key=1"] {
        let script = Script::with_stream().on(1, "publish", &[S(name)]);
        let expected = [
            "? publish 1 live Live",
            "StreamBegin 1",
            "onStatus@1 NetStream.Publish.Start",
        ];
        check_stream(&script, &expected);
    }
}

#[test]
fn bad_names_are_told_before_the_end() {
    let rows: [&[Arg]; 5] = [
        &[],
        &[Null],
        &[S("../etc")],
        &[S("a\u{1}b")],
        &[S("rtmp://h/other/cam")],
    ];
    for arguments in rows {
        let script = Script::with_stream().on(1, "publish", arguments);
        check_stream(
            &script,
            &["onStatus@1 error NetStream.Publish.BadName", "! name"],
        );
    }
    let long: &'static str = "n".repeat(257).leak();
    let script = Script::with_stream().on(1, "publish", &[S(long)]);
    check_stream(
        &script,
        &["onStatus@1 error NetStream.Publish.BadName", "! name"],
    );
}

#[test]
fn refusals_leave_the_message_stream_free() {
    let script = Script::with_stream()
        .on(1, "publish", &[S("taken"), S("live")])
        .on(1, "publish", &[S("private"), S("live")])
        .audio(1, 0, b"nobody")
        .on(1, "publish", &[S("cam"), S("live")]);
    let expected = [
        "? publish 1 live/taken Live",
        "onStatus@1 error NetStream.Publish.BadName",
        "? publish 1 live/private Live",
        "onStatus@1 error NetStream.Publish.Denied",
        "? publish 1 live/cam Live",
        "StreamBegin 1",
        "onStatus@1 NetStream.Publish.Start",
    ];
    check_stream(&script, &expected);
}

#[test]
fn goes_to_the_stream_that_is_meant() {
    let begun = |msid: u32| {
        [
            format!("? publish {msid} live/cam Live"),
            format!("StreamBegin {msid}"),
            format!("onStatus@{msid} NetStream.Publish.Start"),
        ]
    };
    let arguments = [S("cam"), S("live")];
    // On message stream 0: the only one there is, or one made for it.
    let [asked, begin, status] = begun(1);
    let script = Script::with_stream().on(0, "publish", &arguments);
    check_stream(&script, &[&asked, &begin, &status]);
    for (sent, given) in [(0, 1), (1, 1), (5, 5), (u32::MAX, u32::MAX)] {
        let [asked, begin, status] = begun(given);
        let script = Script::open().on(sent, "publish", &arguments);
        check_open(&script, &[&asked, &begin, &status]);
    }
}

#[test]
fn one_message_stream_does_one_thing() {
    let script = Script::publishing()
        .on(1, "publish", &[S("other"), S("live")])
        .on(1, "play", &[S("other")])
        .audio(1, 5, b"on");
    let failed = "onStatus@1 error NetStream.Failed";
    check_publishing(&script, &[failed, failed, "= audio 1 @5, 2 bytes"]);
    let script = Script::playing().on(1, "publish", &[S("other"), S("live")]);
    check_playing(&script, &[failed]);
    let script = Script::with_stream()
        .on(1, "publish", &[S("later"), S("live")])
        .on(1, "publish", &[S("cam"), S("live")])
        .on(1, "play", &[S("cam")]);
    check_stream(&script, &["? publish 1 live/later Live", failed, failed]);
}

#[test]
fn streams_made_on_the_way_count() {
    let mut script = Script::open();
    for _ in 0..limits::MESSAGE_STREAMS_MAX {
        script = script.call("createStream", 0.0, &[]);
    }
    let script = script.on(77, "publish", &[S("cam")]);
    check_open(&script, &["! unexpected"]);
}

#[test]
fn media_flows_until_the_end_and_no_longer() {
    let part = |part_kind: u8, time: u8, body: &[u8]| {
        let len = u8::try_from(body.len()).unwrap();
        let head = [part_kind, 0, 0, len, 0, 0, time, 0, 0, 0, 0];
        [&head[..], body, &[0, 0, 0, len + 11]].concat()
    };
    let aggregate = [part(9, 40, b"key"), part(8, 60, b"so")].concat();
    let script = Script::publishing()
        .message(5, kind::DATA, 1, 0, b"\x02\0\x0a")
        .audio(1, 10, b"")
        .message(6, kind::VIDEO, 1, 0x0100_0000, &[7; 300])
        // Flash and Wowza label data AMF3.
        .message(5, kind::DATA_AMF3, 1, 30, b"\0\x02\0\0")
        // FMLE, FMS.
        .message(4, kind::AGGREGATE, 1, 140, &aggregate)
        // Shared objects and types nobody knows are passed over.
        .message(4, 0x13, 1, 150, &[0; 200])
        .message(4, 0x63, 1, 150, &[0; 200])
        .on(1, "closeStream", &[])
        .audio(1, 200, b"late");
    let expected = [
        "= data 1 @0, 3 bytes",
        "= audio 1 @10, 0 bytes",
        "= video 1 @16777216, 300 bytes",
        "= data-amf3 1 @30, 4 bytes",
        "= video 1 @140, 3 bytes",
        "= audio 1 @160, 2 bytes",
        "onStatus@1 NetStream.Unpublish.Success",
        "? stop 1",
    ];
    check_publishing(&script, &expected);
}

#[test]
fn media_on_no_stream_belongs_to_the_only_one() {
    let script = Script::publishing()
        .audio(0, 10, b"zero")
        .audio(9, 20, b"nine");
    let expected = ["= audio 1 @10, 4 bytes", "= audio 1 @20, 4 bytes"];
    check_publishing(&script, &expected);
}

#[test]
fn fc_unpublish_of_ones_own_stream_ends_it_and_it_may_begin_anew() {
    let script = Script::publishing()
        .call("FCUnpublish", 0.0, &[S("other")])
        .audio(1, 10, b"on")
        .call("FCUnpublish", 0.0, &[S("cam")])
        .on(1, "publish", &[S("cam")]);
    let told = run(&script.wire, Cuts::Whole).lines.join("\n");
    let stop = told.find("? stop 1").unwrap();
    assert!(told.find("= audio 1 @10").unwrap() < stop, "{told}");
    assert!(told.rfind("? publish").unwrap() > stop, "{told}");
}

#[test]
fn all_of_it_may_come_at_once() {
    // C2, connect, createStream, publish and media in one packet: clients that wait for
    // nothing. `check` sends it whole, too.
    let script = Script::publishing().audio(1, 0, &[0xAF; 200]);
    check_publishing(&script, &["= audio 1 @0, 200 bytes"]);
}

#[test]
fn long_messages_are_for_those_who_publish() {
    let long = vec![0x27; limits::DATA_MESSAGE_BYTES_MAX + 1];
    let script = Script::publishing()
        .message(6, kind::VIDEO, 1, 40, &long[..300_000])
        .message(5, kind::DATA, 1, 41, &long);
    check_publishing(
        &script,
        &["= video 1 @40, 300000 bytes", "! message_too_long"],
    );
    let script = Script::open().message(3, kind::COMMAND, 0, 0, &long[..65_537]);
    check_open(&script, &["! message_too_long"]);
}

#[test]
fn early_media_is_dropped_within_a_budget() {
    // DJI Osmo Action 4 and phones send before they are let in.
    let piece = limits::UNAUTHORISED_MESSAGE_BYTES_MAX;
    let pieces = usize::try_from(limits::EARLY_MEDIA_BYTES_MAX).unwrap() / piece;
    let mut script = Script::with_stream().control(Control::SetChunkSize(1 << 20));
    for _ in 0..pieces {
        script = script.message(6, kind::VIDEO, 1, 0, &vec![0x27; piece]);
    }
    check_stream(&script, &[]);
    let script = script.audio(0, 0, b"!");
    check_stream(&script, &["! unexpected"]);
    // Before connect it counts as well.
    let script = Script::fresh()
        .audio(1, 0, b"early")
        .connect(Map(&[("app", S("live"))]));
    check(&script, &OPENED);
}

#[test]
fn an_encoder_of_the_fmle_family_gets_all_its_answers() {
    let script = Script::open()
        .call("releaseStream", 2.0, &[S("cam?key=1")])
        .call("FCPublish", 3.0, &[S("cam?key=1")])
        .call("createStream", 4.0, &[])
        // Haivision Makito.
        .call("_checkbw", 5.0, &[])
        .on(1, "publish", &[S("cam?key=1"), S("live")])
        .call("FCUnpublish", 6.0, &[S("cam?key=1")])
        .call("deleteStream", 7.0, &[N(1.0)]);
    let expected = [
        "_result 2 Null",
        "onFCPublish 3 NetStream.Publish.Start cam",
        "_result 3 Null",
        "_result 4 1",
        "_result 5 Null",
        "? publish 1 live/cam Live",
        "StreamBegin 1",
        "onStatus@1 NetStream.Publish.Start",
        "onFCUnpublish 6 NetStream.Unpublish.Success cam",
        "_result 6 Null",
        "onStatus@1 NetStream.Unpublish.Success",
        "? stop 1",
    ];
    check_open(&script, &expected);
}

/// Publishing `live/low`, `live/mid` and `live/high` on message streams 1, 2 and 3.
fn publishing_three() -> Script {
    let mut script = Script::open();
    for (msid, name) in [(1, "low"), (2, "mid"), (3, "high")] {
        script = script
            .call("createStream", 0.0, &[])
            .on(msid, "publish", &[S(name), S("live")]);
    }
    script
}

fn check_publishing_three(script: &Script, expected: &[&str]) {
    let mut all = Vec::new();
    for (msid, name) in [(1, "low"), (2, "mid"), (3, "high")] {
        all.push(format!("? publish {msid} live/{name} Live"));
        all.push(format!("StreamBegin {msid}"));
        all.push(format!("onStatus@{msid} NetStream.Publish.Start"));
    }
    let mut all: Vec<&str> = all.iter().map(String::as_str).collect();
    all.extend(expected);
    check_open(script, &all);
}

#[test]
fn each_message_stream_publishes_its_own() {
    let long: &[u8] = &[0x27; 300_000];
    let script = publishing_three()
        .audio(2, 10, b"two")
        .audio(1, 10, b"one")
        .audio(3, 20, b"three")
        // It could be of any of them.
        .audio(0, 30, b"zero")
        .audio(9, 30, b"nine")
        .call("FCUnpublish", 0.0, &[S("mid")])
        .audio(2, 40, b"late")
        // Those that go on have the limits of publishers.
        .message(6, kind::VIDEO, 3, 50, long)
        .on(1, "closeStream", &[])
        .audio(0, 60, b"only");
    let expected = [
        "= audio 2 @10, 3 bytes",
        "= audio 1 @10, 3 bytes",
        "= audio 3 @20, 5 bytes",
        "onFCUnpublish 0 NetStream.Unpublish.Success mid",
        "onStatus@2 NetStream.Unpublish.Success",
        "? stop 2",
        "= video 3 @50, 300000 bytes",
        "onStatus@1 NetStream.Unpublish.Success",
        "? stop 1",
        "= audio 3 @60, 4 bytes",
    ];
    check_publishing_three(&script, &expected);
}

#[test]
fn a_bad_name_ends_no_other_publish() {
    let script = Script::publishing()
        .call("createStream", 0.0, &[])
        .on(2, "publish", &[S("../etc")])
        .on(2, "play", &[S("../etc")])
        .audio(1, 10, b"on");
    let expected = [
        "onStatus@2 error NetStream.Publish.BadName",
        "onStatus@2 error NetStream.Play.StreamNotFound",
        "= audio 1 @10, 2 bytes",
    ];
    check_publishing(&script, &expected);
}

#[test]
fn media_that_nobody_publishes_is_bounded_beside_a_publish() {
    let piece = 256 * 1024;
    let pieces = usize::try_from(limits::EARLY_MEDIA_BYTES_MAX).unwrap() / piece;
    let mut script = Script::publishing()
        .call("createStream", 0.0, &[])
        .control(Control::SetChunkSize(1 << 20));
    for _ in 0..pieces {
        script = script.message(6, kind::VIDEO, 2, 0, &vec![0x27; piece]);
    }
    check_publishing(&script, &[]);
    check_publishing(&script.audio(2, 0, b"!"), &["! unexpected"]);
}
