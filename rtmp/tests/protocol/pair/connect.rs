//! Scenarios of the sessions: connect.

use super::*;

#[test]
fn is_answered_in_the_order_clients_know() {
    check(&Script::open(), &OPENED);
}

/// The app as it is asked for; the answers are always the same.
#[track_caller]
fn check_app(script: &Script, expected: &str) {
    let first = format!("? connect {expected}");
    check(script, &[&[&first[..]], &OPENED[1..]].concat());
}

#[test]
fn takes_the_command_object_in_every_form() {
    // ECMA array: various encoders.
    check_app(
        &Script::fresh().connect(Ecma(&[("app", S("live"))])),
        "live",
    );
    // Clients with authentication put more behind the object, not always objects.
    let more = [
        S("connect"),
        N(1.0),
        Map(&[("app", S("live"))]),
        S("user"),
        N(3.0),
        Map(&[("token", S("x"))]),
    ];
    check_app(&Script::fresh().values(kind::COMMAND, 0, &more), "live");
    // Without any object; the stream name then has to carry the app.
    for object in [Null, Undefined, S("live")] {
        check_app(&Script::fresh().connect(object), "");
    }
    // A typed object.
    let mut body = Vec::new();
    Encoder::new(&mut body).string("connect").number(1.0);
    body.push(0x10);
    let mut amf = Encoder::new(&mut body);
    write_properties(amf.key("Class"), &[("app", S("live"))]);
    check_app(
        &Script::fresh().message(3, kind::COMMAND, 0, 0, &body),
        "live",
    );
}

#[test]
fn finds_the_app_where_clients_put_it() {
    let app = |properties| Script::fresh().connect(Map(properties));
    const URL: Arg = S("rtmp://host:1935/live/room?t=1");
    // Some cameras write `tcurl`.
    check_app(&app(&[("tcurl", URL)]), "live/room?t=1");
    check_app(&app(&[("app", S("")), ("tcUrl", URL)]), "live/room?t=1");
    check_app(
        &app(&[("app", S("live")), ("tcUrl", S("'rtmp://h/x'"))]),
        "live",
    );
    check_app(&app(&[("app", S("live/_definst_"))]), "live");
    check_app(&app(&[("app", S("/live/?token=2"))]), "live?token=2");
    check_app(&app(&[("app", Null)]), "");
}

#[test]
fn answers_with_the_transaction_id_of_the_question() {
    let connect = |transaction| {
        let values = [S("connect"), N(transaction), Map(&[("app", S("live"))])];
        Script::fresh().values(kind::COMMAND, 0, &values)
    };
    for (transaction, told) in [(0.0, "0"), (2.0, "2"), (-1.5, "-1.5"), (f64::NAN, "NaN")] {
        let result = format!("_result {told} NetConnection.Connect.Success");
        let expected = [&OPENED[..5], &[&result[..]]].concat();
        check(&connect(transaction), &expected);
    }
}

#[test]
fn comes_labelled_amf3_as_well() {
    let object = Map(&[("app", S("live")), ("objectEncoding", N(3.0))]);
    let with_prefix = {
        let mut body = vec![0];
        for value in [S("connect"), N(1.0), object] {
            write_arg(&mut Encoder::new(&mut body), value);
        }
        Script::fresh().message(3, kind::COMMAND_AMF3, 0, 0, &body)
    };
    let values = [S("connect"), N(1.0), object];
    let without = Script::fresh().values(kind::COMMAND_AMF3, 0, &values);
    for script in [with_prefix, without] {
        let script = script
            .values(kind::COMMAND_AMF3, 0, &[S("createStream"), N(2.0), Null])
            .message(
                3,
                kind::COMMAND_AMF3,
                1,
                0,
                b"\0\x02\0\x04play\0\0\0\0\0\0\0\0\0\x05\x02\0\x03cam",
            );
        check_playing(&script, &[]);
    }
}

#[test]
fn refusals_are_told_before_the_end() {
    let rejected = "_error 1 NetConnection.Connect.Rejected";
    let closed = Script::fresh().connect(Map(&[("app", S("closed"))]));
    check(&closed, &["? connect closed", rejected]);
    let after = closed.call("createStream", 2.0, &[]);
    check(&after, &["? connect closed", rejected, "! unexpected"]);
    let dots = Script::fresh().connect(Map(&[("app", S("live/../etc"))]));
    check(&dots, &[rejected, "! name"]);
}

#[test]
fn happens_once_and_first() {
    let again = Script::open().call("connect", 4.0, &[]);
    check_open(
        &again,
        &["_error 4 NetConnection.Connect.Rejected", "! unexpected"],
    );
    for name in [
        "createStream",
        "publish",
        "play",
        "releaseStream",
        "close",
        "hello",
    ] {
        check(
            &Script::fresh().call(name, 2.0, &[S("cam")]),
            &["! unexpected"],
        );
    }
    // Not a command at all: the first value is no name.
    let nameless = Script::fresh().values(kind::COMMAND, 0, &[N(1.0), S("connect")]);
    check(&nameless.connect(Map(&[("app", S("live"))])), &OPENED);
}

/// All properties of the objects in the connect result, as `key=value` in wire order.
fn result_of(script: &Script) -> Vec<String> {
    let mut server = Server::new();
    server.feed(&script.wire, false);
    let mut reader = ChunkReader::new(ReaderLimits::PUBLISHER);
    let (mut at, mut told) = (HANDSHAKE_BYTES, Vec::new());
    while let Some(message) = reader.next(&server.sent, &mut at).unwrap() {
        if message.header.kind == kind::COMMAND {
            let body = message.payload.to_vec();
            let command = Command::decode(kind::COMMAND, &body).unwrap().unwrap();
            for value in [command.object(), command.argument(0)] {
                tell_object("", value.unwrap(), &mut told);
            }
            return told;
        }
        if let Ok(Some(Control::SetChunkSize(bytes))) = Control::decode(&message) {
            reader.set_chunk_size(bytes as usize);
        }
    }
    told
}

fn tell_object(prefix: &str, value: Value<'_>, told: &mut Vec<String>) {
    for (key, value) in value.as_object().unwrap().iter() {
        let key = format!("{prefix}{}", str::from_utf8(key).unwrap());
        match value {
            Value::Object(_) => tell_object(&format!("{key}."), value, told),
            Value::Number(number) => told.push(format!("{key}={number}")),
            _ => told.push(format!("{key}={}", value.as_str().unwrap())),
        }
    }
}

#[test]
fn connect_result_tells_capabilities() {
    let expected = [
        "fmsVer=FMS/3,5,7,7009",
        "capabilities=31",
        "mode=1",
        "level=status",
        "code=NetConnection.Connect.Success",
        "description=connection succeeded",
        "objectEncoding=0",
        "capsEx=6",
        "videoFourCcInfoMap.*=4",
        "audioFourCcInfoMap.*=4",
    ];
    assert_eq!(result_of(&Script::open()), expected);
    for (asked, told) in [(3.0, "3"), (0.0, "0"), (7.0, "0")] {
        let mut body = Vec::new();
        let mut amf = Encoder::new(&mut body);
        amf.string("connect").number(1.0).begin_object();
        amf.string_property("app", "live");
        amf.number_property("objectEncoding", asked).end_object();
        let script = Script::fresh().message(3, kind::COMMAND, 0, 0, &body);
        let line = format!("objectEncoding={told}");
        assert_eq!(result_of(&script)[6], line);
    }
}

#[test]
fn says_who_the_client_is() {
    let object = Map(&[
        ("app", S("live")),
        (
            "flashVer",
            S("FMLE/3.0 (compatible; a name that goes on for longer than anybody wants)"),
        ),
        ("capsEx", N(15.0)),
        ("fourCcList", Null),
    ]);
    let mut server = Server::new();
    server.feed(&Script::fresh().connect(object).wire, false);
    let client = server.session.client();
    assert_eq!(client.flash_ver.len(), 64);
    assert!(client.flash_ver.starts_with("FMLE/3.0 (compatible; a name"));
    assert_eq!(client.caps_ex, 15);
    assert!(server.session.is_handshaken());
}
