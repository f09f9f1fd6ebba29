//! Scenarios of the sessions: streams.

use super::*;

#[test]
fn ids_are_given_up_to_the_limit_and_again_when_deleted() {
    let mut script = Script::open();
    let mut expected = Vec::new();
    for number in 1..=limits::MESSAGE_STREAMS_MAX {
        let transaction = f64::from(u32::try_from(number).unwrap()) + 1.0;
        script = script.call("createStream", transaction, &[]);
        expected.push(format!("_result {transaction} {number}"));
    }
    script = script
        .call("createStream", 20.0, &[])
        .call("deleteStream", 0.0, &[N(3.0)])
        .on(5, "closeStream", &[])
        .call("createStream", 21.0, &[])
        .call("createStream", 22.0, &[]);
    expected.push("_error 20 NetConnection.Call.Failed".to_owned());
    expected.push("_result 21 3".to_owned());
    expected.push("_error 22 NetConnection.Call.Failed".to_owned());
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    check_open(&script, &expected);
}

#[test]
fn are_made_without_a_result_when_none_is_wanted() {
    let script = Script::open()
        .call("createStream", 0.0, &[])
        .call("createStream", 1.0, &[])
        .call("createStream", -2.5, &[])
        .call("createStream", f64::NAN, &[]);
    check_open(&script, &["_result 1 2", "_result -2.5 3", "_result NaN 4"]);
}

#[test]
fn close_ends_every_one_of_them_and_not_the_connection() {
    let script = Script::publishing()
        .call("createStream", 3.0, &[])
        .call("createStream", 4.0, &[])
        .on(3, "play", &[S("other")])
        .call("close", 0.0, &[])
        .call("createStream", 5.0, &[]);
    let expected = [
        "_result 3 2",
        "_result 4 3",
        "? play 3 live/other reset",
        "StreamBegin 3",
        "onStatus@3 NetStream.Play.Reset",
        "onStatus@3 NetStream.Play.Start",
        "onStatus@1 NetStream.Unpublish.Success",
        "? stop 1",
        "onStatus@3 NetStream.Play.Stop",
        "? stop 3",
        "_result 5 1",
    ];
    check_publishing(&script, &expected);
    check_open(&Script::open().call("close", 9.0, &[]), &[]);
}

#[test]
fn are_deleted_by_argument_or_by_where_the_command_came() {
    let stopped = ["onStatus@1 NetStream.Play.Stop", "? stop 1", "_result 5 1"];
    let delete = |script: Script| script.call("createStream", 5.0, &[]);
    check_playing(
        &delete(Script::playing().call("deleteStream", 0.0, &[N(1.0)])),
        &stopped,
    );
    check_playing(
        &delete(Script::playing().on(1, "deleteStream", &[])),
        &stopped,
    );
    check_playing(
        &delete(Script::playing().on(1, "deleteStream", &[S("1")])),
        &stopped,
    );
    // Not a stream of this connection, or no number a stream can have.
    for odd in [N(2.0), N(0.0), N(-1.0), N(1.5), N(f64::NAN), N(1e300)] {
        let script = delete(Script::playing().call("deleteStream", 0.0, &[odd]));
        check_playing(&script, &["_result 5 2"]);
    }
}

#[test]
fn closed_ones_play_again() {
    // JW Player and Flowplayer pause with closeStream.
    let script = Script::playing()
        .on(1, "closeStream", &[])
        .on(1, "closeStream", &[])
        .on(9, "closeStream", &[])
        .on(1, "play", &[S("cam"), N(-2.0), N(-1.0), B(false)]);
    let expected = [
        "onStatus@1 NetStream.Play.Stop",
        "? stop 1",
        "? play 1 live/cam",
        "StreamBegin 1",
        "onStatus@1 NetStream.Play.Start",
    ];
    check_playing(&script, &expected);
}
