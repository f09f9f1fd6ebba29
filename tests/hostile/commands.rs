//! Commands out of order, from the wrong side, too often, and with names that are none. Families
//! A9 to A13. RTMP 1.0 §7.2.
#![expect(clippy::too_many_lines, reason = "tables are as long as they are")]

use std::time::Duration;

use super::bytes::{
    COMMAND, Head, VIDEO, boolean, call, command, connect, connect_with, create_stream,
    inter_frame, joined, message_in, null, number, object, play, publish, string, text, user,
    video,
};
use super::case::{Case, Limit, Says, State, case};

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = before_connect();
    cases.extend(connects());
    cases.extend(message_streams());
    cases.extend(publishes());
    cases.extend(plays());
    cases.extend(strangers());
    cases.extend(wrong_side());
    cases.extend(unknown());
    cases.extend(too_often());
    cases.extend(short_for_long());
    cases.extend(names());
    cases.extend(urls());
    cases.extend(markers());
    cases
}

/// A command with arguments and no transaction id to answer.
fn tell(name: &str, msid: u32, arguments: &[Vec<u8>]) -> Vec<u8> {
    let mut values = vec![string(name), number(0.0), null()];
    values.extend_from_slice(arguments);
    command(msid, &values)
}

/// A9: commands before connect.
fn before_connect() -> Vec<Case> {
    let early: [(&str, Vec<u8>); 10] = [
        ("createStream", create_stream(1.0)),
        ("publish", publish(1, b"a9")),
        ("play", play(1, b"healthy")),
        (
            "releaseStream",
            tell("releaseStream", 0, &[string("healthy")]),
        ),
        ("FCPublish", tell("FCPublish", 0, &[string("healthy")])),
        ("FCUnpublish", tell("FCUnpublish", 0, &[string("healthy")])),
        ("deleteStream", tell("deleteStream", 0, &[number(1.0)])),
        ("pause", tell("pause", 1, &[boolean(true)])),
        ("an unknown command", call("whatever", 5.0)),
        ("an answer", call("_result", 1.0)),
    ];
    let cases = early.into_iter().map(|(name, bytes)| {
        let early = case("A9", format!("{name} before connect"), State::Handshaken);
        early.sends(bytes).closes(&["unexpected"])
    });
    cases.collect()
}

/// A9: connects that lack something, and second ones.
fn connects() -> Vec<Case> {
    let success = Says::Words("NetConnection.Connect.Success");
    let rejected = Says::Words("NetConnection.Connect.Rejected");
    let bare = command(0, &[string("connect"), number(1.0)]);
    let none = command(0, &[string("connect"), number(1.0), null()]);
    let silent = command(
        0,
        &[
            string("connect"),
            number(0.0),
            object(&[("app", string("live"))]),
        ],
    );
    let mut cases = vec![
        case("A9", "connect without an object", State::Handshaken)
            .sends(bare)
            .says(success.clone()),
        case("A9", "connect with null", State::Handshaken)
            .sends(none)
            .says(success.clone()),
        case("A9", "connect without a transaction id", State::Handshaken).sends(silent),
        case("A9", "connect twice at once", State::Handshaken)
            .sends(connect(b"live").repeat(2))
            .says(success)
            .says(rejected.clone())
            .closes(&["unexpected"]),
        case("A9", "connect on message stream 5", State::Handshaken).sends({
            let values = [
                string("connect"),
                number(1.0),
                object(&[("app", string("live"))]),
            ];
            command(5, &values)
        }),
        case("A9", "commands behind a refused connect", State::Handshaken)
            .sends(joined(&[&connect(b"../x"), &create_stream(2.0)]))
            .says(rejected.clone())
            .closes(&["name"]),
    ];
    for state in [State::Connected, State::Publishing, State::Playing] {
        let again = case("A9", "a second connect", state).sends(connect(b"live"));
        cases.push(again.says(rejected.clone()).closes(&["unexpected"]));
    }
    cases
}

/// A9: createStream and deleteStream.
fn message_streams() -> Vec<Case> {
    let more = |count: u32| -> Vec<u8> {
        (0..count)
            .flat_map(|n| create_stream(f64::from(10 + n)))
            .collect()
    };
    let mut cases = vec![
        case("A9", "as many message streams as may be", State::Connected)
            .sends(more(7))
            .says(Says::Never("_error")),
        case(
            "A9",
            "one message stream more than may be",
            State::Connected,
        )
        .sends(more(8))
        .says(Says::Words("_error")),
        case(
            "A9",
            "publish beyond the message streams that may be",
            State::Connected,
        )
        .sends(joined(&[&more(7), &publish(50, b"a9-beyond")]))
        .closes(&["unexpected"]),
    ];
    let streams = || -> Vec<u32> { (1..=8).collect() };
    let own = |msid: u32| publish(msid, format!("a9-many-{msid}").as_bytes());
    let playing: Vec<u8> = streams()
        .into_iter()
        .flat_map(|n| play(n, b"healthy"))
        .collect();
    let publishing: Vec<u8> = streams().into_iter().flat_map(own).collect();
    let turns = [1, 2, 3, 4].map(|n| joined(&[&own(n), &play(n + 4, b"healthy")]));
    let same = streams()
        .into_iter()
        .flat_map(|n| publish(n, b"a9-many-same"));
    for (name, bytes) in [
        ("plays on all message streams", playing),
        ("publishes on all message streams", publishing),
        ("publishes and plays in turn", turns.concat()),
        ("the same publish on all message streams", same.collect()),
    ] {
        let all = joined(&[&more(7), &bytes, &bytes]);
        let many = case("A9", name, State::Connected).sends(all);
        cases.push(many.may_close(&["unexpected", "rejected", "stream_command_rate"]));
    }
    for state in [State::Connected, State::Publishing, State::Playing] {
        for id in [0.0, 2.0, 99.0, 4_294_967_295.0, 4_294_967_296.0] {
            let name = format!("deleteStream of {id}, which is not there");
            cases.push(case("A9", name, state).sends(tell("deleteStream", 0, &[number(id)])));
        }
        cases.push(
            case("A9", "deleteStream without a number", state).sends(tell("deleteStream", 0, &[])),
        );
        let round = joined(&[
            &tell("deleteStream", 0, &[number(2.0)]),
            &create_stream(0.0),
        ]);
        cases.push(
            case("A9", "message streams made and deleted 200 times", state)
                .repeats(round, 200)
                .may_close(&["glitches", "call_rate"]),
        );
        let own = joined(&[
            &tell("deleteStream", 0, &[number(1.0)]),
            &video(0, &inter_frame(50)),
        ]);
        cases.push(case("A9", "deleteStream of the only one, then media", state).sends(own));
        cases.push(case("A9", "close", state).sends(tell("close", 0, &[])));
        cases.push(
            case("A9", "closeStream twice", state).sends(tell("closeStream", 1, &[]).repeat(2)),
        );
    }
    cases
}

/// A9: publish where it makes no sense.
fn publishes() -> Vec<Case> {
    let start = Says::Words("NetStream.Publish.Start");
    let stop = tell("publish", 1, &[boolean(false)]);
    let large = joined(&[&Head::new(8, COMMAND, 100_000).write(0), &[2; 128]]);
    vec![
        case("A9", "publish on message stream 0", State::Connected)
            .sends(publish(0, b"a9-zero"))
            .says(start.clone()),
        case(
            "A9",
            "publish on a message stream that was not made",
            State::Connected,
        )
        .sends(publish(7, b"a9-seven"))
        .says(start.clone()),
        case("A9", "publish on message stream FFFFFFFF", State::Connected)
            .sends(publish(u32::MAX, b"a9-max"))
            .says(start.clone()),
        case("A9", "publish twice on a message stream", State::Publishing)
            .sends(publish(1, b"a9-again"))
            .says(Says::Words("NetStream.Failed")),
        case("A9", "publish twice at once", State::Connected)
            .sends(publish(1, b"a9-twice").repeat(2))
            .says(start.clone())
            .says(Says::Words("NetStream.Failed")),
        case("A9", "publish while it plays", State::Playing)
            .sends(publish(1, b"a9-plays"))
            .says(Says::Words("NetStream.Failed")),
        case("A9", "publish with a number for a name", State::Connected)
            .sends(tell("publish", 1, &[number(7.0)]))
            .closes(&["name"]),
        case("A9", "publish without a name", State::Connected)
            .sends(tell("publish", 1, &[]))
            .closes(&["name"]),
        case("A9", "publish to stop, which nothing is", State::Connected).sends(stop.clone()),
        case("A9", "publish to stop", State::Publishing)
            .sends(stop.clone())
            .says(Says::Words("NetStream.Unpublish.Success")),
        case("A9", "media behind the end of a publish", State::Publishing)
            .sends(joined(&[&stop, &video(0, &inter_frame(500)).repeat(20)]))
            .takes(0),
        case(
            "A9",
            "the end of a publish inside a picture of it",
            State::Publishing,
        )
        .sends(joined(&[
            &Head::new(6, VIDEO, 400_000).write(0),
            &[0x27; 128],
            &joined(&[&[0xC6], &[0x27; 128]]).repeat(3_000),
            &stop,
            &joined(&[&[0xC6], &[0x27; 128]]).repeat(124),
        ]))
        .takes(0)
        .may_close(&["partial_bytes", "unexpected"]),
        case(
            "A9",
            "a long command behind the end of a publish",
            State::Publishing,
        )
        .sends(joined(&[&stop, &large]))
        .may_close(&["message_too_long"]),
        case(
            "A9",
            "publish again behind the end of a publish",
            State::Publishing,
        )
        .sends(joined(&[&stop, &publish(1, b"a9-back")]))
        .says(start),
        case("A9", "two publishes on a connection", State::Publishing)
            .sends(joined(&[&create_stream(5.0), &publish(2, b"a9-second")]))
            .may_close(&["rejected"]),
    ]
}

/// A9: play and what players say where it makes no sense.
fn plays() -> Vec<Case> {
    let started = Says::Words("NetStream.Play.Start");
    let pause = tell("pause", 1, &[boolean(true), number(0.0)]);
    let switch = |name: &str| tell("play2", 1, &[object(&[("streamName", string(name))])]);
    let more: Vec<u8> = (2..=6).flat_map(|msid| play(msid, b"healthy")).collect();
    let mut cases = vec![
        case("A9", "play on message stream 0", State::Connected)
            .sends(play(0, b"healthy"))
            .says(started.clone()),
        case(
            "A9",
            "play on a message stream that was not made",
            State::Connected,
        )
        .sends(play(7, b"healthy"))
        .says(started),
        case("A9", "play while it publishes", State::Publishing)
            .sends(play(1, b"healthy"))
            .says(Says::Words("NetStream.Failed")),
        case(
            "A9",
            "play on more message streams than may be",
            State::Playing,
        )
        .sends(more)
        .may_close(&["rejected"]),
        case("A9", "play again and again", State::Playing).sends(play(1, b"healthy").repeat(10)),
        case("A9", "play with a number for a name", State::Connected)
            .sends(tell("play", 1, &[number(7.0)]))
            .closes(&["name"]),
        case("A9", "play without a name", State::Connected)
            .sends(tell("play", 1, &[]))
            .closes(&["name"]),
        case("A9", "play to stop", State::Playing)
            .sends(tell("play", 1, &[boolean(false)]))
            .says(Says::Words("NetStream.Play.Stop")),
        case("A9", "play of what nobody publishes", State::Connected)
            .sends(play(1, b"a9-nobody"))
            .says(Says::Words("NetStream.Play.StreamNotFound"))
            .closes(&["rejected"])
            .with_worker(),
        case("A9", "play2 of what nobody publishes", State::Playing)
            .sends(switch("a9-nobody"))
            .with_worker(),
        case("A9", "play2 of the same", State::Playing)
            .sends(switch("healthy"))
            .with_worker(),
        case("A9", "play2 without parameters", State::Playing).sends(tell("play2", 1, &[])),
        case("A9", "play2 with a bad name", State::Playing).sends(switch("../x")),
    ];
    for state in [State::Connected, State::Publishing] {
        for (name, bytes) in [
            ("pause", pause.clone()),
            ("pauseRaw", tell("pauseRaw", 1, &[boolean(true)])),
            ("seek", tell("seek", 1, &[number(0.0)])),
            ("receiveAudio", tell("receiveAudio", 1, &[boolean(false)])),
            ("receiveVideo", tell("receiveVideo", 1, &[boolean(false)])),
            ("play2", switch("healthy")),
        ] {
            cases.push(case("A9", format!("{name} of nothing that plays"), state).sends(bytes));
        }
    }
    let both = ["receiveAudio", "receiveVideo"].map(|name| tell(name, 1, &[boolean(false)]));
    cases.push(case("A9", "a player that wants neither half", State::Playing).sends(both.concat()));
    for (name, arguments) in [
        ("pause", vec![]),
        ("pause", vec![string("x")]),
        ("seek", vec![]),
        ("seek", vec![number(4_294_967_295.0)]),
        ("receiveAudio", vec![]),
        ("receiveVideo", vec![number(0.0)]),
        ("unpause", vec![]),
    ] {
        let words = format!("{name} with {arguments:02X?}");
        cases.push(case("A9", words, State::Playing).sends(tell(name, 1, &arguments)));
    }
    cases
}

/// A9: what belongs to somebody else.
fn strangers() -> Vec<Case> {
    let healthy = || [string("healthy")];
    let mut cases = vec![
        case("A9", "publish of a stream that is taken", State::Connected)
            .sends(publish(1, b"healthy"))
            .says(Says::Words("NetStream.Publish.BadName"))
            .closes(&["rejected"])
            .with_worker(),
        case(
            "A9",
            "publish of a stream that is taken, beside one's own",
            State::Publishing,
        )
        .sends(joined(&[&create_stream(5.0), &publish(2, b"healthy")]))
        .may_close(&["rejected"])
        .with_worker(),
    ];
    for state in [State::Connected, State::Publishing, State::Playing] {
        for name in [
            "FCUnpublish",
            "releaseStream",
            "FCPublish",
            "FCSubscribe",
            "getStreamLength",
        ] {
            let words = format!("{name} of another's stream");
            cases.push(case("A9", words, state).sends(tell(name, 0, &healthy())));
        }
    }
    cases
}

/// A10: what a server says, said by a client.
fn wrong_side() -> Vec<Case> {
    let status = object(&[
        ("level", string("status")),
        ("code", string("NetStream.Publish.Start")),
    ]);
    let said: [(&str, Vec<u8>); 10] = [
        (
            "_result of connect",
            command(0, &[string("_result"), number(1.0), null(), status.clone()]),
        ),
        (
            "_error",
            command(0, &[string("_error"), number(2.0), null(), status.clone()]),
        ),
        (
            "onStatus",
            tell("onStatus", 1, std::slice::from_ref(&status)),
        ),
        (
            "onFCPublish",
            tell("onFCPublish", 0, std::slice::from_ref(&status)),
        ),
        ("onBWDone", tell("onBWDone", 0, &[])),
        ("StreamBegin", user(0, 1)),
        ("StreamEof", user(1, 1)),
        ("StreamDry", user(2, 1)),
        ("StreamIsRecorded", user(4, 1)),
        ("an answer to a ping", user(7, 1)),
    ];
    let mut cases = Vec::new();
    for state in [State::Connected, State::Publishing, State::Playing] {
        for (name, bytes) in &said {
            cases.push(case("A10", *name, state).sends(bytes.clone()));
        }
        let answers = call("_result", 9.0);
        let flood = case("A10", "200 answers", state).repeats(answers, 200);
        cases.push(flood.says(Says::AtMost("_error", 0)));
    }
    cases
}

/// A11: what the relay does not know.
fn unknown() -> Vec<Case> {
    let mut cases = Vec::new();
    for state in [State::Connected, State::Publishing, State::Playing] {
        let some: Vec<u8> = (10..20)
            .flat_map(|n| call("whatever", f64::from(n)))
            .collect();
        cases.push(
            case("A11", "ten unknown calls", state)
                .sends(some)
                .says(Says::Words("NetConnection.Call.Failed")),
        );
        cases.push(
            case("A11", "an unknown call with a name of 60,000 bytes", state)
                .sends(call(&"w".repeat(60_000), 9.0))
                .says(Says::Words("NetConnection.Call.Failed")),
        );
        cases.push(
            case("A11", "3,000 unknown calls", state)
                .repeats(call("whatever", 9.0), 3_000)
                .says(Says::AtMost("NetConnection.Call.Failed", 100))
                .closes(&["call_rate", "glitches"])
                .needs(Limit::Replies),
        );
        cases.push(
            case("A11", "3,000 unknown commands that want no answer", state)
                .repeats(call("whatever", 0.0), 3_000)
                .closes(&["glitches"])
                .needs(Limit::Glitches),
        );
        cases.push(
            case("A11", "3,000 times createStream", state)
                .repeats(create_stream(9.0), 3_000)
                .says(Says::AtMost("_error", 100))
                .closes(&["call_rate", "glitches"])
                .needs(Limit::Replies),
        );
        cases.push(
            case("A11", "3,000 times FCPublish of a long name", state)
                .repeats(
                    command(
                        0,
                        &[string("FCPublish"), number(9.0), null(), text(&[b'n'; 60])],
                    ),
                    3_000,
                )
                .closes(&["call_rate", "glitches", "too_many_replies"])
                .needs(Limit::Replies),
        );
    }
    cases
}

/// A9 and A11: what is allowed, but not so often.
fn too_often() -> Vec<Case> {
    let round = |n: u32| {
        let name = format!("a11-{n}");
        joined(&[
            &publish(1, name.as_bytes()),
            &tell("publish", 1, &[boolean(false)]),
        ])
    };
    let churn: Vec<u8> = (0..60).flat_map(round).collect();
    let some: Vec<u8> = (100..105).flat_map(round).collect();
    let pauses = joined(&[
        &tell("pause", 1, &[boolean(true), number(0.0)]),
        &tell("pause", 1, &[boolean(false), number(0.0)]),
    ]);
    let halves = joined(&[
        &tell("receiveAudio", 1, &[boolean(false)]),
        &tell("receiveAudio", 1, &[boolean(true)]),
    ]);
    let switches = tell("play2", 1, &[object(&[("streamName", string("healthy"))])]);
    let fast = &["player_command_rate", "call_rate", "too_many_replies"];
    vec![
        case("A11", "five publishes and their ends", State::Connected).sends(some),
        case("A11", "60 publishes and their ends", State::Connected)
            .sends(churn)
            .closes(&["stream_command_rate", "rejected"])
            .needs(Limit::Roles),
        case("A11", "60 plays", State::Playing)
            .repeats(play(1, b"healthy"), 60)
            .closes(&["stream_command_rate"])
            .needs(Limit::Roles),
        case("A11", "60 times play2", State::Playing)
            .repeats(switches, 60)
            .closes(&["stream_command_rate"])
            .needs(Limit::Roles),
        case("A11", "20 pauses", State::Playing).repeats(pauses.clone(), 10),
        case("A11", "1,000 pauses", State::Playing)
            .repeats(pauses, 500)
            .closes(fast)
            .needs(Limit::Player),
        case("A11", "1,000 seeks", State::Playing)
            .repeats(tell("seek", 1, &[number(0.0)]), 1_000)
            .closes(fast)
            .needs(Limit::Player),
        case("A11", "1,000 times receiveAudio", State::Playing)
            .repeats(halves, 500)
            .closes(fast)
            .needs(Limit::Player),
        case("A11", "pings with pauses, all answered", State::Playing)
            .sends(user(6, 1))
            .passes(Duration::from_millis(300))
            .sends(user(6, 2))
            .passes(Duration::from_millis(300))
            .sends(user(6, 3))
            .says(Says::Pong(1))
            .says(Says::Pong(2))
            .says(Says::Pong(3)),
    ]
}

/// A11: commands as short as can be, each behind a header of one byte, whose answers are long.
fn short_for_long() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, state, values, count, limit) in [
        (
            "unknown calls",
            State::Connected,
            joined(&[&string("w"), &number(9.0)]),
            30,
            Limit::Replies,
        ),
        (
            "FCPublish",
            State::Connected,
            joined(&[&string("FCPublish"), &number(9.0)]),
            30,
            Limit::Replies,
        ),
        (
            "createStream",
            State::Connected,
            joined(&[&string("createStream"), &number(9.0)]),
            30,
            Limit::Replies,
        ),
        ("pauses", State::Playing, string("pause"), 90, Limit::Player),
        ("seeks", State::Playing, string("seek"), 90, Limit::Player),
        (
            "play2 of nothing",
            State::Playing,
            string("play2"),
            15,
            Limit::Roles,
        ),
    ] {
        let len = u32::try_from(values.len()).expect("short");
        let first = joined(&[&Head::new(3, COMMAND, len).write(0), &values]);
        let next = joined(&[&[0xC3], &values]);
        let name = format!("{count} {name} of {} bytes", next.len());
        let short = case("A11", name, state)
            .sends(first)
            .repeats(next.clone(), count - 1);
        cases.push(short.may_close(&["player_command_rate"]).needs(limit));
    }
    let values = joined(&[&string("w"), &number(9.0)]);
    let first = joined(&[&Head::new(3, COMMAND, 13).write(0), &values]);
    let next = joined(&[&[0xC3], &values]);
    let every = Duration::from_millis(100);
    let patient = (0..300).fold(
        case(
            "A11",
            "unknown calls of 14 bytes, ten a second",
            State::Playing,
        )
        .sends(first),
        |case, _| case.passes(every).sends(next.clone()),
    );
    cases.push(
        patient
            .in_memory()
            .may_close(&["glitches"])
            .needs(Limit::Replies),
    );
    cases
}

/// Names that nothing can be called.
const BAD_NAMES: [(&str, &[u8]); 31] = [
    ("..", b".."),
    ("a path upwards", b"../x"),
    ("a path upwards inside", b"a/../b"),
    ("a path upwards with an escape", b"..%2f..%2fx"),
    ("an escaped path upwards", b"%2e%2e%2fx"),
    ("an escaped slash", b"a%2Fb"),
    ("an escaped backslash", b"a%5cb"),
    ("an escaped zero", b"a%00b"),
    ("escaped line ends", b"a%0d%0aSet-Cookie:x"),
    ("a path upwards with backslashes", b"\\..\\x"),
    ("a backslash", b"a\\b"),
    ("a zero", b"a\0b"),
    ("line ends", b"a\r\nb"),
    ("a tab", b"a\tb"),
    ("an escape sequence", b"a\x1B[2Jb"),
    ("a delete", b"a\x7Fb"),
    ("a quote", b"a\"b"),
    ("a brace", b"a}b"),
    ("an opening brace", b"a{b"),
    ("a less-than sign", b"<script>"),
    ("a pipe", b"a|b"),
    ("a backtick", b"a`id`b"),
    ("a hash", b"a#b"),
    ("a hidden file", b".htaccess"),
    ("a wide full stop", b"a\xEF\xBC\x8Eb"),
    ("a wide slash", b"a\xEF\xBC\x8Fb"),
    ("a division slash", b"a\xE2\x88\x95b"),
    ("a change of direction", b"a\xE2\x80\xAEb"),
    ("a byte order mark", b"a\xEF\xBB\xBFb"),
    ("bytes that are no UTF-8", b"a\xFF\xFEb"),
    ("a cut character", b"a\xE2\x80"),
];

/// A12: names.
fn names() -> Vec<Case> {
    let mut cases = Vec::new();
    let bad = ["name"];
    for (name, bytes) in BAD_NAMES {
        let publisher = case(
            "A12",
            format!("publish of a name with {name}"),
            State::Connected,
        );
        cases.push(
            publisher
                .sends(publish(1, bytes))
                .says(Says::Never("Publish.Start"))
                .closes(&bad),
        );
        let player = case(
            "A12",
            format!("play of a name with {name}"),
            State::Connected,
        );
        cases.push(
            player
                .sends(play(1, bytes))
                .says(Says::Never("Play.Start"))
                .closes(&bad),
        );
        let app = case("A12", format!("an app with {name}"), State::Handshaken);
        cases.push(app.sends(connect(bytes)).closes(&bad));
    }
    // The app and a slash are part of it.
    for (len, fits) in [
        (251, true),
        (252, false),
        (257, false),
        (4_096, false),
        (60_000, false),
    ] {
        let name = format!("a name of {len} bytes");
        let bytes = publish(1, &vec![b'n'; len]);
        let publisher = case("A12", name, State::Connected).sends(bytes);
        cases.push(if fits {
            publisher.says(Says::Words("NetStream.Publish.Start"))
        } else {
            publisher.closes(&bad)
        });
    }
    for (len, fits) in [(2_048, true), (2_049, false), (10_000, false)] {
        let name = joined(&[format!("a12-query-{len}?").as_bytes(), &vec![b'q'; len]]);
        let words = format!("a query of {len} bytes");
        let publisher = case("A12", words, State::Connected).sends(publish(1, &name));
        cases.push(if fits {
            publisher
        } else {
            publisher.closes(&bad)
        });
    }
    let odd: [(&str, &[u8]); 7] = [
        ("an absolute path", b"/a12-absolute"),
        ("slashes around it", b"//a12-slashes//"),
        ("a query with a path upwards", b"a12-query?../../x"),
        ("letters that look like others", b"a12-\xD0\xB0\xD0\xB5"),
        ("format directives", b"a12-%s%n%x"),
        ("SQL", b"a12-' OR '1'='1"),
        ("a file type", b"mp4:a12-film.mp4"),
    ];
    for (name, bytes) in odd {
        let publisher = case(
            "A12",
            format!("publish of a name with {name}"),
            State::Connected,
        );
        cases.push(
            publisher
                .sends(publish(1, bytes))
                .says(Says::Words("NetStream.Publish.Start")),
        );
    }
    for (name, bytes) in [
        ("nothing", &b""[..]),
        ("spaces", b"   "),
        ("slashes", b"///"),
        ("a query", b"?t=1"),
    ] {
        let publisher = case(
            "A12",
            format!("publish of a name of {name} alone"),
            State::Connected,
        );
        // The app is the stream then, the same for all: one at a time may publish it.
        let says = Says::Words("NetStream.Publish.Start");
        cases.push(publisher.sends(publish(1, bytes)).says(says).in_memory());
    }
    let other = b"rtmp://127.0.0.1/other/cam";
    let publisher = case("A12", "publish of the URL of another app", State::Connected);
    cases.push(publisher.sends(publish(1, other)).closes(&bad));
    cases
}

/// A13: long URLs and versions.
fn urls() -> Vec<Case> {
    let long = |len: usize| text(&vec![b'u'; len]);
    let app = ("app", string("live"));
    let success = Says::Words("NetConnection.Connect.Success");
    let fine = |name: &str, properties: &[(&str, Vec<u8>)]| {
        case("A13", name, State::Handshaken)
            .sends(connect_with(properties))
            .says(success.clone())
    };
    let bad = |name: &str, properties: &[(&str, Vec<u8>)], code: &'static str| {
        case("A13", name, State::Handshaken)
            .sends(connect_with(properties))
            .closes(&[code])
    };
    let four = [
        app.clone(),
        ("tcUrl", long(15_000)),
        ("pageUrl", long(15_000)),
        ("swfUrl", long(15_000)),
        ("flashVer", long(15_000)),
    ];
    let beyond = [
        app.clone(),
        ("pageUrl", long(40_000)),
        ("swfUrl", long(40_000)),
    ];
    let escapes = text(b"\x1B[31m\r\nconn=1 closed reason=shutdown\xFF\xFE");
    let control = [app.clone(), ("flashVer", escapes)];
    let publisher = joined(&[
        &connect_with(&control),
        &create_stream(2.0),
        &publish(1, b"a13"),
    ]);
    vec![
        fine(
            "a tcUrl of 60,000 bytes",
            &[app.clone(), ("tcUrl", long(60_000))],
        ),
        fine(
            "a pageUrl of 60,000 bytes",
            &[app.clone(), ("pageUrl", long(60_000))],
        ),
        fine(
            "a swfUrl of 60,000 bytes",
            &[app.clone(), ("swfUrl", long(60_000))],
        ),
        fine(
            "a flashVer of 60,000 bytes",
            &[app.clone(), ("flashVer", long(60_000))],
        ),
        fine("four URLs of 15,000 bytes", &four),
        bad("an app of 60,000 bytes", &[("app", long(60_000))], "name"),
        bad(
            "a tcUrl of 60,000 bytes and no app",
            &[("tcUrl", long(60_000))],
            "name",
        ),
        bad("two URLs of 40,000 bytes", &beyond, "message_too_long"),
        case(
            "A13",
            "a flashVer that looks like lines of a log",
            State::Handshaken,
        )
        .sends(publisher)
        .says(Says::Words("NetStream.Publish.Start")),
        case("A13", "a call of 65,536 bytes", State::Connected).sends(exactly(65_536)),
        case("A13", "a call of 65,537 bytes", State::Connected)
            .sends(exactly(65_537))
            .closes(&["message_too_long"]),
    ]
}

/// A13: what connect says of relays that a client has come through, `via`.
fn markers() -> Vec<Case> {
    let ids = |from: u64, count: u64| -> String {
        let ids = (from..from + count).map(|id| format!("{id:016x}"));
        ids.collect::<Vec<_>>().join(",")
    };
    let beside = |way: u64, others: u64| format!("{};{}", ids(1, way), ids(100, others));
    let marker = |name: &str, via: Vec<u8>| {
        let properties = [("app", string("live")), ("via", via)];
        let sent = joined(&[
            &connect_with(&properties),
            &create_stream(2.0),
            &play(1, b"healthy"),
        ]);
        case("A13", format!("a marker with {name}"), State::Handshaken).sends(sent)
    };
    let success = Says::Words("NetConnection.Connect.Success");
    let mut cases = Vec::new();
    for (name, via) in [
        ("nothing in it", string("")),
        ("a relay", string(&ids(1, 1))),
        ("seven relays", string(&ids(1, 7))),
        (
            "the same relay seven times",
            string(&[&*ids(1, 1); 7].join(",")),
        ),
        ("a relay and 59 beside it", string(&beside(1, 59))),
        ("a relay and 60 beside it", string(&beside(1, 60))),
        ("a thousand relays", string(&ids(1, 1_000))),
        ("commas alone", string(",,,,")),
        ("semicolons alone", string(";;")),
        (
            "three lists",
            string(&format!("{};{}", beside(1, 1), ids(9, 1))),
        ),
        ("capital digits", string("00000000000000AB")),
        ("a sign", string("+000000000000001")),
        ("short ids", string("1,2,3")),
        ("spaces", string(" 0000000000000001")),
        ("line ends", string("0000000000000001\r\n")),
        ("bytes that are no UTF-8", text(&[0xFF; 16])),
        ("60,000 bytes", text(&[b'0'; 60_000])),
        ("a number", number(1.0)),
        ("an object", object(&[("via", string(&ids(1, 1)))])),
        ("null", null()),
    ] {
        cases.push(marker(name, via).says(success.clone()));
    }
    for (name, via) in [
        ("eight relays", ids(1, 8)),
        ("60 relays", ids(1, 60)),
        ("eight relays and others beside them", beside(8, 20)),
    ] {
        let too_many = marker(name, string(&via)).closes(&["rejected"]);
        cases.push(too_many.says(Says::Never("Connect.Success")).with_worker());
    }
    cases
}

/// A command of exactly `len` bytes.
fn exactly(len: usize) -> Vec<u8> {
    let head = joined(&[&string("whatever"), &number(0.0), &null()]);
    let half = (len - head.len() - 6) / 2;
    let first = text(&vec![b'x'; half]);
    let second = text(&vec![b'x'; len - head.len() - first.len() - 3]);
    let body = joined(&[&head, &first, &second]);
    message_in(128, Head::new(3, COMMAND, 0).on(0), &body)
}
