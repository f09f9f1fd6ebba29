//! Scenarios of the sessions: calls.

use super::*;
use tailwater_rtmp::message::MessageStreamId;

#[test]
fn nobody_knows_are_answered_when_an_answer_is_wanted() {
    for name in ["set_playlist", "checkBandwidth", "Publish", "", "onBWDone"] {
        let script = Script::open().call(name, 9.0, &[S("x")]);
        check_open(&script, &["_error 9 NetConnection.Call.Failed"]);
        check_open(&Script::open().call(name, 0.0, &[S("x")]), &[]);
    }
    // Without a transaction id, or with something else in its place.
    for values in [&[S("hello")][..], &[S("hello"), Null, Null]] {
        check_open(&Script::open().values(kind::COMMAND, 0, values), &[]);
    }
}

#[test]
fn of_the_fmle_family_without_a_transaction_get_no_result() {
    let script = Script::open()
        .call("releaseStream", 0.0, &[S("cam")])
        .call("FCPublish", 0.0, &[S("cam")])
        .call("getStreamLength", 0.0, &[S("cam")])
        .call("FCUnpublish", 0.0, &[]);
    let expected = [
        "onFCPublish 0 NetStream.Publish.Start cam",
        "onFCUnpublish 0 NetStream.Unpublish.Success ",
    ];
    check_open(&script, &expected);
}

#[test]
fn that_are_answers_are_ignored() {
    let script = Script::publishing()
        .call("_result", 1.0, &[N(1.0)])
        .call("_error", 4.0, &[Null])
        .call("onStatus", 5.0, &[Null])
        .on(
            1,
            "onStatus",
            &[Map(&[("code", S("NetStream.Publish.Start"))])],
        )
        .control(Control::User(UserControl::StreamBegin(MessageStreamId(1))))
        .control(Control::User(UserControl::StreamEof(MessageStreamId(1))))
        .control(Control::SetPeerBandwidth {
            window: 1,
            limit: 0,
        })
        .control(Control::Acknowledgement(u32::MAX));
    check_publishing(&script, &[]);
}

#[test]
fn that_are_no_amf0_end_the_connection() {
    let cut = Script::open().message(3, kind::COMMAND, 0, 0, b"\x02\0\x09play");
    check_open(&cut, &["! amf"]);
    let nested = [b"\x02\0\x01x".to_vec(), b"\x03\0\x01a".repeat(40)].concat();
    check_open(
        &Script::open().message(3, kind::COMMAND, 0, 0, &nested),
        &["! amf"],
    );
}

#[test]
fn of_one_connection_do_not_reach_streams_it_does_not_have() {
    let script = Script::publishing()
        .on(2, "closeStream", &[])
        .on(2, "pause", &[B(true)])
        .on(2, "seek", &[N(0.0)])
        .call("deleteStream", 0.0, &[N(2.0)])
        .call("FCUnpublish", 0.0, &[S("another")])
        .audio(1, 1, b"on");
    let expected = [
        "onFCUnpublish 0 NetStream.Unpublish.Success another",
        "= audio 1 @1, 2 bytes",
    ];
    check_publishing(&script, &expected);
}
