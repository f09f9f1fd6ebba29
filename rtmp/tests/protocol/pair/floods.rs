//! Scenarios of the sessions: too much of something, and what one connection may have.

use core::time::Duration;

use super::*;

use tailwater_rtmp::message::MessageStreamId;

/// `script` with `more` put behind it `count` times.
fn times(script: Script, count: u32, more: impl Fn(Script) -> Script) -> Script {
    (0..count).fold(script, |script, _| more(script))
}

/// The bytes of messages alone.
fn wire(write: impl FnOnce(Script) -> Script) -> Vec<u8> {
    write(Script::fresh()).wire[HANDSHAKE_BYTES..].to_vec()
}

/// What comes of `more` on the connection of `script` at the time `seconds`; only that is told.
#[track_caller]
fn later(server: &mut Server, seconds: u64, more: &[u8]) -> Vec<String> {
    server.session.set_now(Duration::from_secs(seconds));
    server.seen.lines.clear();
    server.feed(more, false);
    server.seen.lines.clone()
}

fn after(script: &Script) -> Server {
    let mut server = Server::new();
    server.feed(&script.wire, false);
    assert!(!server.ended, "{:?}", server.seen.lines);
    server
}

/// After `script` just `limit` of `one` pass, the next ends the connection with `code`.
#[track_caller]
fn check_limit(
    script: impl Fn() -> Script,
    limit: u32,
    one: impl Fn(Script) -> Script,
    code: &str,
) {
    let ended = format!("! {code}");
    let fine = times(script(), limit, &one);
    for cuts in [Cuts::Whole, Cuts::Steps(997), Cuts::AfterEachEvent] {
        let seen = run(&fine.wire, cuts).lines;
        assert!(seen.iter().all(|line| !line.starts_with('!')), "{seen:?}");
    }
    let over = one(fine);
    let whole = run(&over.wire, Cuts::Whole);
    assert_eq!(whole.lines.last(), Some(&ended));
    for cuts in [Cuts::Steps(997), Cuts::AfterEachEvent] {
        assert_eq!(run(&over.wire, cuts), whole, "{cuts:?}");
    }
}

#[test]
fn what_encoders_ask_in_one_packet_is_answered_for_every_message_stream() {
    let streams = u32::try_from(limits::MESSAGE_STREAMS_MAX).unwrap();
    let script = times(Script::open(), streams, |script| {
        script
            .call("releaseStream", 2.0, &[S("cam")])
            .call("FCPublish", 3.0, &[S("cam")])
            .call("createStream", 4.0, &[])
            .call("_checkbw", 5.0, &[])
    });
    let seen = run(&script.wire, Cuts::Whole).lines;
    assert_eq!(seen.len(), OPENED.len() + 5 * limits::MESSAGE_STREAMS_MAX);
}

#[test]
fn calls_that_come_too_fast_are_not_answered_and_then_end_the_connection() {
    let burst = limits::REPLIES.burst();
    let calls: [&dyn Fn(Script) -> Script; 4] = [
        &|script| script.call("releaseStream", 2.0, &[S("cam")]),
        &|script| script.call("getStreamLength", 2.0, &[S("cam")]),
        &|script| script.call("createStream", 2.0, &[]),
        &|script| script.control(Control::User(UserControl::PingRequest(1))),
    ];
    for call in calls {
        let script = times(Script::open(), burst + 5, call);
        let seen = run(&script.wire, Cuts::Whole).lines;
        assert_eq!(seen.len(), OPENED.len() + burst as usize);
        let limit = burst + limits::UNANSWERED.burst();
        check_limit(Script::open, limit, call, "call_rate");
    }
    // What wants no answer costs none, and one that is noticed has all its answer or nothing.
    let quiet = times(Script::open(), 2 * burst, |script| {
        script.call("releaseStream", 0.0, &[S("cam")])
    });
    let script = times(quiet, burst + 1, |script| {
        script.call("FCPublish", 3.0, &[S("cam")])
    });
    let seen = run(&script.wire, Cuts::Whole).lines;
    assert_eq!(seen.len(), OPENED.len() + 2 * burst as usize);
}

#[test]
fn what_a_session_says_by_itself_is_not_rate_limited() {
    let burst = limits::REPLIES.burst();
    let script = times(Script::with_stream(), 2 * burst, |script| {
        script.call("releaseStream", 2.0, &[])
    });
    let mut server = after(&script.on(1, "play", &[S("cam")]));
    let begun = ["StreamBegin 1", "onStatus@1 NetStream.Play.Reset"];
    let seen = server.seen.lines.join("\n");
    assert!(begun.iter().all(|line| seen.contains(line)), "{seen}");
    server.seen.lines.clear();
    server.session.end_play(MessageStreamId(1), "over");
    server.drain();
    let ended = ["StreamEof 1", "onStatus@1 NetStream.Play.UnpublishNotify"];
    assert_eq!(server.seen.lines, ended);
    // And answers come again with time.
    let call = wire(|script| script.call("releaseStream", 2.0, &[]));
    assert_eq!(later(&mut server, 0, &call), [""; 0]);
    assert_eq!(later(&mut server, 1, &call), ["_result 2 Null"]);
}

#[test]
fn play_and_publish_commands_come_so_often_and_no_more() {
    let limit = limits::STREAM_COMMANDS.burst();
    let code = "stream_command_rate";
    let play = |script: Script| script.on(1, "play", &[S("cam")]);
    check_limit(Script::with_stream, limit, play, code);
    // Whatever comes of them, and all three together.
    let stop = |script: Script| script.on(1, "play", &[B(false)]);
    check_limit(Script::with_stream, limit, stop, code);
    let switch = |script: Script| script.on(1, "play2", &[Null]);
    check_limit(Script::playing, limit - 1, switch, code);
    let publish = |script: Script| script.on(1, "publish", &[S("taken")]);
    check_limit(Script::with_stream, limit, publish, code);
    let again = |script: Script| play(publish(switch(script)));
    check_limit(|| play(play(Script::with_stream())), limit / 3, again, code);
    // With time they may come again.
    let mut server = after(&times(Script::with_stream(), limit, play));
    let plays = wire(|script| play(play(script)));
    let seen = later(&mut server, 3, &plays);
    assert_eq!(seen.first().unwrap(), "? play 1 live/cam reset");
    assert_eq!(seen.last().unwrap(), "! stream_command_rate");
    let mut server = after(&times(Script::with_stream(), limit, play));
    assert!(
        !later(&mut server, 6, &plays)
            .iter()
            .any(|line| line.starts_with('!'))
    );
}

#[test]
fn pause_seek_and_halves_come_so_often_and_no_more() {
    let limit = limits::PLAYER_COMMANDS.burst();
    let commands: [&dyn Fn(Script) -> Script; 5] = [
        &|script| script.on(1, "pause", &[B(true)]),
        &|script| script.on(1, "pauseRaw", &[B(true)]),
        &|script| script.on(1, "seek", &[N(0.0)]),
        &|script| script.on(1, "receiveAudio", &[B(true)]),
        &|script| script.on(1, "receiveVideo", &[B(false)]),
    ];
    for command in commands {
        check_limit(Script::playing, limit, command, "player_command_rate");
    }
    let pause = |script: Script| script.on(1, "pause", &[B(true)]);
    let (second, _) = limits::PLAYER_COMMANDS.plainly();
    let more = |count| wire(|script| times(script, count, pause));
    let mut server = after(&times(Script::playing(), limit, pause));
    let seen = later(&mut server, 1, &more(second));
    assert_eq!(seen, vec!["? pause 1 true"; second as usize]);
    assert_eq!(later(&mut server, 1, &more(1)), ["! player_command_rate"]);
}

#[test]
fn chunk_sizes_change_so_often_and_no_more() {
    let change = |script: Script| script.control(Control::SetChunkSize(4_096));
    let limit = limits::CHUNK_SIZES.burst();
    check_limit(Script::open, limit, change, "chunk_size_rate");
}

#[test]
fn a_connection_plays_so_many_streams_at_one_time() {
    let plays = u32::try_from(limits::PLAYS_MAX).unwrap();
    let script = (1..=plays + 1).fold(Script::open(), |script, msid| {
        script.call("createStream", 0.0, &[]).on(
            msid,
            "play",
            &[S("cam"), N(-2.0), N(-1.0), B(false)],
        )
    });
    let begun = (1..=plays).flat_map(|msid| {
        [
            format!("? play {msid} live/cam"),
            format!("StreamBegin {msid}"),
            format!("onStatus@{msid} NetStream.Play.Start"),
        ]
    });
    let mut expected: Vec<String> = begun.collect();
    let surplus = plays + 1;
    expected.push(format!("onStatus@{surplus} error NetStream.Play.Failed"));
    // One that waits for its stream counts, one that is played anew does not count twice.
    let script = script
        .on(1, "play", &[S("later")])
        .on(surplus, "play", &[S("cam")])
        .on(2, "closeStream", &[])
        .on(surplus, "play", &[S("later")]);
    expected.push("? play 1 live/later reset".to_owned());
    expected.push(format!("onStatus@{surplus} error NetStream.Play.Failed"));
    expected.push("onStatus@2 NetStream.Play.Stop".to_owned());
    expected.push("? stop 2".to_owned());
    expected.push(format!("? play {surplus} live/later reset"));
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    check_open(&script, &expected);
}

#[test]
fn to_publish_and_to_play_are_two_things() {
    let script = Script::publishing()
        .call("createStream", 0.0, &[])
        .on(2, "play", &[S("later")]);
    check_publishing(&script, &["? play 2 live/later reset"]);
}

#[test]
fn odd_things_end_the_connection_when_there_are_too_many() {
    let limit = limits::GLITCHES.burst();
    let odd: [&dyn Fn(Script) -> Script; 20] = [
        // Commands: nobody knows them, they are answers, or no commands at all.
        &|script| script.call("hello", 0.0, &[]),
        &|script| script.call("_result", 4.0, &[Null]),
        &|script| script.call("onStatus", 0.0, &[Null]),
        &|script| script.values(kind::COMMAND, 0, &[N(1.0)]),
        &|script| script.message(3, kind::COMMAND, 0, 0, &[]),
        // For message streams that are not there.
        &|script| script.on(9, "closeStream", &[]),
        &|script| script.on(9, "deleteStream", &[]),
        &|script| script.call("deleteStream", 0.0, &[N(7.0)]),
        // Events that are for servers to send, or that nobody knows.
        &|script| script.control(Control::User(UserControl::StreamBegin(MessageStreamId(1)))),
        &|script| script.control(Control::User(UserControl::StreamEof(MessageStreamId(1)))),
        &|script| script.control(Control::User(UserControl::StreamDry(MessageStreamId(1)))),
        &|script| {
            script.control(Control::User(UserControl::StreamIsRecorded(
                MessageStreamId(1),
            )))
        },
        &|script| script.control(Control::User(UserControl::Other(31))),
        // Messages without a byte, of types nobody knows, and aborts of nothing.
        &|script| script.message(6, kind::VIDEO, 1, 0, &[]),
        &|script| script.message(6, kind::DATA, 1, 0, &[]),
        &|script| script.message(6, 0x63, 1, 0, b"x"),
        &|script| script.message(6, 0x10, 1, 0, b"x"),
        &|script| script.control(Control::Abort(77)),
        &|script| script.message(2, kind::SET_PEER_BANDWIDTH, 0, 0, &[0; 4]),
        // Media where something else is done.
        &|script| script.message(6, kind::VIDEO, 2, 0, b"x"),
    ];
    let script = || Script::publishing().call("createStream", 0.0, &[]);
    for one in odd {
        check_limit(script, limit, one, "glitches");
    }
    let [first, .., last] = odd;
    let both = |script| first(last(script));
    check_limit(|| first(first(script())), limit / 2 - 1, both, "glitches");
    // Commands of players, as often as they may come.
    let pauses = times(script(), limits::PLAYER_COMMANDS.burst(), |script| {
        script.on(9, "pause", &[B(true)])
    });
    let left = limit - limits::PLAYER_COMMANDS.burst();
    let pauses = || Script {
        wire: pauses.wire.clone(),
        chunk_size: 128,
    };
    check_limit(pauses, left, first, "glitches");
}

#[test]
fn odd_things_are_forgotten_with_time() {
    let limit = limits::GLITCHES.burst();
    let odd = |script: Script| script.control(Control::Abort(77));
    let mut server = after(&times(Script::open(), limit, odd));
    let many = |count| wire(|script| times(script, count, odd));
    assert_eq!(later(&mut server, 1, &many(limit / 10)), [""; 0]);
    assert_eq!(later(&mut server, 11, &many(limit)), [""; 0]);
    assert_eq!(later(&mut server, 11, &many(1)), ["! glitches"]);
}

#[test]
fn silence_told_by_empty_messages_is_not_odd() {
    // E-RTMP: audio without a byte.
    let script = times(
        Script::publishing(),
        2 * limits::GLITCHES.burst(),
        |script| script.audio(1, 0, &[]),
    );
    let seen = run(&script.wire, Cuts::Whole);
    assert_eq!(seen.media.len(), 2 * limits::GLITCHES.burst() as usize);
}

#[test]
fn messages_come_so_fast_and_no_faster() {
    // Three that set the scene, and connect.
    let before = 3;
    let burst = limits::MESSAGES.burst() - before;
    let script = times(Script::publishing(), burst, |script| {
        script.audio(1, 0, b"a")
    });
    let mut server = after(&script);
    assert_eq!(server.seen.media.len(), burst as usize);
    let one = wire(|script| script.audio(1, 0, b"a"));
    let (second, _) = limits::MESSAGES.plainly();
    let more = one.repeat(second as usize);
    assert_eq!(later(&mut server, 1, &more).len(), second as usize);
    assert_eq!(later(&mut server, 1, &one), ["! message_rate"]);
}

#[test]
fn one_that_publishes_no_more_has_no_publishers_limits() {
    let long = vec![0x27; 70_000];
    let begin = Script::publishing().control(Control::SetChunkSize(1 << 20));
    let ended = ["onStatus@1 NetStream.Unpublish.Success", "? stop 1"];
    for stop in ["closeStream", "deleteStream"] {
        let script = Script {
            wire: begin.wire.clone(),
            chunk_size: begin.chunk_size,
        };
        let script = script
            .on(1, stop, &[])
            .message(6, kind::VIDEO, 1, 0, &long)
            .message(3, kind::COMMAND, 0, 0, &long);
        check_publishing(&script, &[&ended[..], &["! message_too_long"]].concat());
    }
    // Media on the way is dropped within the budget of those who have not begun.
    let pieces = limits::EARLY_MEDIA_BYTES_MAX / 60_000;
    let script = begin.on(1, "closeStream", &[]);
    let script = times(script, u32::try_from(pieces).unwrap(), |script| {
        script.message(6, kind::VIDEO, 1, 0, &long[..60_000])
    });
    check_publishing(&script, &ended);
    let script = script.message(6, kind::VIDEO, 1, 0, &long[..60_000]);
    check_publishing(&script, &[&ended[..], &["! unexpected"]].concat());
}

#[test]
fn a_refusal_after_the_start_ends_a_publishers_limits_as_well() {
    let mut server = after(&Script::publishing());
    let why = "another publisher has taken the stream over";
    server
        .session
        .reject(MessageStreamId(1), Status::PublishBadName, why);
    let long = wire(|script| script.message(3, kind::COMMAND, 0, 0, &[0; 70_000]));
    let seen = later(&mut server, 0, &long);
    assert_eq!(seen.last().unwrap(), "! message_too_long");
}

#[test]
fn a_publisher_that_begins_anew_has_its_limits_and_its_budget_again() {
    let early = |script: Script| script.message(6, kind::VIDEO, 1, 0, &[0x27; 60_000]);
    let pieces = u32::try_from(limits::EARLY_MEDIA_BYTES_MAX / 60_000).unwrap();
    let mut script = Script::with_stream().control(Control::SetChunkSize(1 << 20));
    for _ in 0..3 {
        script = times(script, pieces, early)
            .on(1, "publish", &[S("cam")])
            .message(6, kind::VIDEO, 1, 0, &[0x27; 100_000])
            .on(1, "closeStream", &[]);
    }
    let mut server = Server::new();
    for input in script.wire.chunks(65_536) {
        server.feed(input, false);
    }
    let lengths: Vec<usize> = server.seen.media.iter().map(Vec::len).collect();
    assert_eq!((lengths, server.ended), (vec![100_000; 3], false));
}

#[test]
fn what_waits_for_its_rest_is_told_with_its_age() {
    let script = Script::publishing();
    let begun = wire(|script| script.message(6, kind::VIDEO, 1, 0, &[7; 300]));
    // Between two chunks, where other messages have their place.
    let (head, tail) = begun.split_at(140);
    let mut server = after(&script);
    assert_eq!(server.session.oldest_partial(), None);
    assert_eq!(later(&mut server, 40, head), [""; 0]);
    let since = Some(Duration::from_secs(40));
    assert_eq!(server.session.oldest_partial(), since);
    let other = wire(|script| script.audio(1, 0, b"a"));
    assert_eq!(later(&mut server, 50, &other).len(), 1);
    assert_eq!(server.session.oldest_partial(), since);
    assert_eq!(later(&mut server, 60, tail).len(), 1);
    assert_eq!(server.session.oldest_partial(), None);
}

#[test]
fn memory_of_a_session_is_that_of_what_it_holds() {
    let mut server = after(&Script::publishing());
    let idle = server.session.memory_bytes();
    assert!(idle < 2_048, "{idle}");
    let begun = wire(|script| script.message(6, kind::VIDEO, 1, 0, &[7; 100_000]));
    let (head, tail) = begun.split_at(90_000);
    server.feed(head, false);
    let held = server.session.memory_bytes() - idle;
    assert!((89_000..280_000).contains(&held), "{held}");
    server.feed(tail, false);
    server.session.release_spare();
    server.session.out().writer().extend([0; 9_000]);
    let waits = server.session.memory_bytes() - idle;
    assert!((8_000..20_000).contains(&waits), "{waits}");
}
