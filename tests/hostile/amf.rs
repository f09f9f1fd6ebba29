//! AMF0 values in commands: nesting, counts, lengths, markers, numbers, keys. Families A1 to A8.
//! AMF0 §2.
#![expect(clippy::too_many_lines, reason = "tables are as long as they are")]

use tailwater::limits;

use super::bytes::{
    COMMAND, COMMAND_AMF3, OBJECT_END, boolean, command, connect_with, joined, key_of, long_text,
    message, message_in, null, number, object, open_properties, string,
};
use super::case::{Case, Says, State, case};

/// All cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = nested();
    cases.extend(counts());
    cases.extend(strings());
    cases.extend(references_and_markers());
    cases.extend(numbers());
    cases.extend(keys());
    cases
}

const AMF: &[&str] = &["amf"];
const LONG: &[&str] = &["message_too_long"];

/// A command of no meaning with this value behind its command object.
fn with_value(value: &[u8]) -> Vec<u8> {
    with_values(&[value])
}

fn with_values(values: &[&[u8]]) -> Vec<u8> {
    let head = joined(&[&string("whatever"), &number(0.0), &null()]);
    message(3, COMMAND, 0, &joined(&[&head, &values.concat()]))
}

/// `connect` whose object begins with these bytes and then names the app.
fn connect_behind(bytes: &[u8]) -> Vec<u8> {
    let app = open_properties(&[("app", string("live"))]);
    let object = joined(&[&[3], bytes, &app, &OBJECT_END]);
    message(
        3,
        COMMAND,
        0,
        &joined(&[&string("connect"), &number(1.0), &object]),
    )
}

/// A1 and A2: values inside values.
fn nested() -> Vec<Case> {
    let object: &[u8] = &[3, 0, 1, b'a'];
    let array: &[u8] = &[0x0A, 0, 0, 0, 1];
    let ecma: &[u8] = &[8, 0, 0, 0, 1, 0, 1, b'a'];
    let typed: &[u8] = &[0x10, 0, 1, b'T', 0, 1, b'a'];
    let mixed = [object, array, ecma, typed].concat();
    let depth = usize::from(limits::AMF_DEPTH_MAX);
    let mut cases = Vec::new();
    for (family, what, step, levels) in [
        ("A1", "objects", object, 1),
        ("A1", "typed objects", typed, 1),
        ("A2", "strict arrays", array, 1),
        ("A2", "ECMA arrays", ecma, 1),
        ("A2", "objects and arrays in turn", &mixed, 4),
    ] {
        for count in [
            1,
            depth - 1,
            depth,
            depth + 1,
            32,
            64,
            65,
            1_000,
            10_000,
            60_000,
        ] {
            let times = count / levels;
            let value = joined(&[&step.repeat(times.max(1)), &null()]);
            let bytes = with_value(&value);
            let name = format!("{count} {what} in each other");
            let deep = times.max(1) * levels > depth;
            let end = |case: Case| match (deep, value.len() > 65_000) {
                (_, true) => case.closes(LONG),
                (true, _) => case.closes(AMF),
                _ => case,
            };
            cases.push(end(case(family, name.clone(), State::Connected)).sends(bytes.clone()));
            if levels == 1 && value.len() < 250_000 {
                let publisher = case(family, name, State::Publishing).sends(bytes);
                cases.push(if deep {
                    publisher.closes(AMF)
                } else {
                    publisher
                });
            }
        }
    }
    // The object of connect is one level itself.
    for (levels, fits) in [(depth - 1, true), (depth, false), (10_000, false)] {
        let inner = joined(&[&key_of(b"x"), &object.repeat(levels), &null()]);
        let closed = OBJECT_END.repeat(levels.min(depth));
        let bytes = connect_behind(&joined(&[&inner, &closed]));
        let name = format!("{levels} objects in the object of connect");
        let connect = case("A1", name, State::Handshaken).sends(bytes);
        cases.push(if fits {
            connect.says(Says::Words("NetConnection.Connect.Success"))
        } else {
            connect.closes(AMF)
        });
    }
    cases
}

/// A3: counts that are not those of what follows, and ends that are missing.
fn counts() -> Vec<Case> {
    let many: Vec<u8> = (0..500)
        .flat_map(|n| joined(&[&key_of(format!("k{n}").as_bytes()), &null()]))
        .collect();
    let state = State::Connected;
    let fine = |name: &str, value: Vec<u8>| case("A3", name, state).sends(with_value(&value));
    let bad = |name: &str, value: Vec<u8>| fine(name, value).closes(AMF);
    let limit = limits::COMMAND_AMF_NODES_MAX as usize;
    // The name, the transaction id and the command object are values, and the array is.
    let room = limit - 4;
    let array = |count: usize| {
        let number = u32::try_from(count).expect("small").to_be_bytes();
        joined(&[&[0x0A], &number, &[5].repeat(count)])
    };
    vec![
        bad(
            "a strict array of FFFFFFFF and nothing",
            vec![0x0A, 255, 255, 255, 255],
        ),
        bad(
            "a strict array of FFFFFFFF and a value",
            vec![0x0A, 255, 255, 255, 255, 5],
        ),
        bad(
            "a strict array of 10000 and three values",
            vec![0x0A, 0, 1, 0, 0, 5, 5, 5],
        ),
        bad("half a count", vec![0x0A, 0, 0]),
        fine("a strict array of nothing", vec![0x0A, 0, 0, 0, 0]),
        fine(
            "an ECMA array of FFFFFFFF and one key",
            vec![8, 255, 255, 255, 255, 0, 1, b'a', 5, 0, 0, 9],
        ),
        fine(
            "an ECMA array of 0 and many keys",
            joined(&[&[8, 0, 0, 0, 0], &many, &OBJECT_END]),
        ),
        fine(
            "an ECMA array without an end",
            joined(&[&[8, 0, 0, 0, 1], &key_of(b"a"), &null()]),
        ),
        fine("an ECMA array and nothing", vec![8, 0, 0, 0, 1]),
        fine(
            "an object without an end",
            joined(&[&[3], &key_of(b"a"), &null()]),
        ),
        fine("an object and nothing", vec![3]),
        bad("an object that ends in half a key", vec![3, 0, 5, b'a']),
        bad(
            "an object that ends in a key",
            joined(&[&[3], &key_of(b"a")]),
        ),
        bad("half an end", vec![3, 0]),
        fine(
            "an empty key",
            joined(&[&[3], &key_of(b""), &null(), &OBJECT_END]),
        ),
        fine("as many values as may be", array(room)),
        bad("one value more than may be", array(room + 1)),
        bad("60,000 values", array(60_000)),
    ]
}

/// A4: strings longer than their message.
fn strings() -> Vec<Case> {
    let mut cases = Vec::new();
    let cut: [(&str, &[u8]); 8] = [
        ("a string of FFFF", &[2, 0xFF, 0xFF, b'x']),
        ("a string of 2 with one byte", &[2, 0, 2, b'x']),
        ("half a length", &[2, 0]),
        ("a long string of FFFFFFFF", &[0x0C, 255, 255, 255, 255]),
        (
            "a long string of 100000 and little",
            &[0x0C, 0, 0x10, 0, 0, b'x'],
        ),
        ("half a long length", &[0x0C, 0, 0]),
        ("XML of FFFFFFFF", &[0x0F, 255, 255, 255, 255]),
        ("a class name of FFFF", &[0x10, 0xFF, 0xFF, b'T']),
    ];
    for (name, value) in cut {
        let as_name = message(3, COMMAND, 0, value);
        let as_transaction = message(3, COMMAND, 0, &joined(&[&string("whatever"), value]));
        for (place, bytes) in [
            ("for a name", as_name),
            ("for a transaction id", as_transaction),
            ("for an argument", with_value(value)),
        ] {
            let name = format!("{name} {place}");
            cases.push(case("A4", name, State::Connected).sends(bytes).closes(AMF));
        }
    }
    for (name, body) in [
        ("a command of one byte", vec![2]),
        ("a command of zeros", vec![0; 40]),
        ("a command of FF", vec![0xFF; 40]),
        ("a command of type 17 and one byte", vec![0]),
    ] {
        for kind in [COMMAND, COMMAND_AMF3] {
            let bytes = message(3, kind, 0, &body);
            let name = format!("{name}, type {kind}");
            cases.push(
                case("A4", name, State::Connected)
                    .sends(bytes)
                    .may_close(AMF),
            );
        }
    }
    let name = long_text(&[b'n'; 60_000]);
    let bytes = message(3, COMMAND, 0, &joined(&[&name, &number(7.0)]));
    cases.push(
        case("A4", "a name of 60,000 bytes", State::Connected)
            .sends(bytes)
            .says(Says::Words("_error")),
    );
    cases
}

/// A5 and A6: references, and types that are rare, gone or not AMF0.
fn references_and_markers() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, value) in [
        ("0000", [7, 0, 0]),
        ("0001", [7, 0, 1]),
        ("FFFF", [7, 255, 255]),
    ] {
        let name = format!("a reference to {name}");
        let bytes = with_value(&value);
        cases.push(case("A5", name.clone(), State::Connected).sends(bytes));
        let inside = connect_behind(&joined(&[&key_of(b"x"), &value]));
        cases.push(
            case("A5", name, State::Handshaken)
                .sends(inside)
                .says(Says::Words("NetConnection.Connect.Success")),
        );
    }
    let cut = case("A5", "half a reference", State::Connected).sends(with_value(&[7, 0]));
    cases.push(cut.closes(AMF));
    let known: [(&str, &[u8]); 6] = [
        ("a date", &[0x0B, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("unsupported", &[0x0D]),
        ("XML", &[0x0F, 0, 0, 0, 4, b'<', b'a', b'/', b'>']),
        ("XML of nothing", &[0x0F, 0, 0, 0, 0]),
        (
            "a typed object",
            &[0x10, 0, 1, b'T', 0, 1, b'a', 5, 0, 0, 9],
        ),
        ("undefined", &[6]),
    ];
    for (name, value) in known {
        cases.push(case("A6", name, State::Connected).sends(with_value(value)));
        let inside = connect_behind(&joined(&[&key_of(b"x"), value]));
        cases.push(
            case("A6", format!("{name} in connect"), State::Handshaken)
                .sends(inside)
                .says(Says::Words("NetConnection.Connect.Success")),
        );
    }
    let half_date = case("A6", "half a date", State::Connected).sends(with_value(&[0x0B, 0, 0]));
    cases.push(half_date.closes(AMF));
    for marker in [0x04, 0x09, 0x0E, 0x11, 0x12, 0x1F, 0x7F, 0xFF] {
        let name = format!("marker {marker:02X}");
        let bytes = with_value(&[marker, 1, 2, 3]);
        cases.push(case("A6", format!("{name} for an argument"), State::Connected).sends(bytes));
        let bytes = message(3, COMMAND, 0, &[marker, 1, 2, 3]);
        let first = case("A6", format!("{name} for a name"), State::Connected).sends(bytes);
        cases.push(first.closes(AMF));
        let second = message(3, COMMAND, 0, &joined(&[&string("whatever"), &[marker]]));
        let second = case(
            "A6",
            format!("{name} for a transaction id"),
            State::Connected,
        )
        .sends(second);
        cases.push(second.closes(AMF));
        let inside = connect_behind(&joined(&[&key_of(b"x"), &[marker]]));
        let inside = case("A6", format!("{name} in connect"), State::Handshaken).sends(inside);
        // The object cannot be read, so that nothing is known of the app.
        cases.push(inside.may_close(AMF));
    }
    cases
}

/// A7: numbers that are no ids, times or sizes.
fn numbers() -> Vec<Case> {
    let odd = [
        ("NaN", f64::NAN),
        ("infinity", f64::INFINITY),
        ("minus infinity", f64::NEG_INFINITY),
        ("minus zero", -0.0),
        ("minus one", -1.0),
        ("one half", 0.5),
        ("1e308", 1e308),
        ("2^53 + 2", 9_007_199_254_740_994.0),
        ("2^32", 4_294_967_296.0),
        ("5e-324", 5e-324),
    ];
    let mut cases = Vec::new();
    for (words, odd) in odd {
        let calls: [(&str, State, Vec<u8>); 9] = [
            (
                "createStream with transaction id",
                State::Connected,
                super::bytes::create_stream(odd),
            ),
            (
                "deleteStream of",
                State::Connected,
                call_with("deleteStream", 0, &[number(odd)]),
            ),
            (
                "FCPublish with transaction id",
                State::Connected,
                command(0, &[string("FCPublish"), number(odd), null(), string("a")]),
            ),
            (
                "connect with transaction id",
                State::Handshaken,
                command(
                    0,
                    &[
                        string("connect"),
                        number(odd),
                        object(&[("app", string("live"))]),
                    ],
                ),
            ),
            (
                "connect with objectEncoding",
                State::Handshaken,
                connect_with(&[("app", string("live")), ("objectEncoding", number(odd))]),
            ),
            (
                "connect with capsEx",
                State::Handshaken,
                connect_with(&[("app", string("live")), ("capsEx", number(odd))]),
            ),
            (
                "seek to",
                State::Playing,
                call_with("seek", 1, &[number(odd)]),
            ),
            (
                "pause at",
                State::Playing,
                call_with("pause", 1, &[boolean(true), number(odd)]),
            ),
            (
                "play from and for",
                State::Playing,
                command(
                    1,
                    &[
                        string("play"),
                        number(odd),
                        null(),
                        string("healthy"),
                        number(odd),
                        number(odd),
                        boolean(false),
                    ],
                ),
            ),
        ];
        for (what, state, bytes) in calls {
            cases.push(case("A7", format!("{what} {words}"), state).sends(bytes));
        }
    }
    cases
}

fn call_with(name: &str, msid: u32, arguments: &[Vec<u8>]) -> Vec<u8> {
    let mut values = vec![string(name), number(0.0), null()];
    values.extend_from_slice(arguments);
    command(msid, &values)
}

/// A8: keys.
fn keys() -> Vec<Case> {
    let limit = limits::COMMAND_AMF_NODES_MAX as usize;
    // The name, the transaction id, the object and the app are values.
    let room = limit - 4;
    let equal = |count: usize| joined(&[&key_of(b"k"), &null()]).repeat(count);
    let success = Says::Words("NetConnection.Connect.Success");
    let connect = |name: &str, bytes: Vec<u8>| {
        case("A8", name, State::Handshaken).sends(connect_behind(&bytes))
    };
    let fine = |name: &str, key: &[u8]| {
        connect(name, joined(&[&key_of(key), &null()])).says(success.clone())
    };
    let apps = open_properties(&[("app", string("../x"))]);
    let first = connect("a second app behind a bad one", apps);
    let huge = message_in(
        128,
        super::bytes::Head::new(3, COMMAND, 0).on(0),
        &joined(&[
            &string("connect"),
            &number(1.0),
            &[3],
            &joined(&[&key_of(b"k"), &null()]).repeat(100_000),
            &OBJECT_END,
        ]),
    );
    vec![
        connect("as many equal keys as may be", equal(room)).says(success.clone()),
        connect("one equal key more than may be", equal(room + 1)).closes(AMF),
        connect("10,000 equal keys", equal(10_000)).closes(AMF),
        case("A8", "100,000 equal keys", State::Handshaken)
            .sends(huge)
            .closes(LONG),
        fine("an empty key", b""),
        fine("a key of FF", &[0xFF; 40]),
        fine("a key of zeros", &[0; 40]),
        fine("a key with control characters", b"\x1B[2J\r\n"),
        fine("a key of 60,000 bytes", &[b'k'; 60_000]),
        fine("a key like the end", &[0, 0, 9]),
        connect(
            "a key of FFFF bytes",
            joined(&[&[0xFF, 0xFF], &[b'k'; 200]]),
        )
        .closes(AMF),
        first.closes(&["name"]),
        connect(
            "an app that is a number",
            open_properties(&[("app", number(1.0))]),
        ),
        connect(
            "a tcUrl that is an object",
            open_properties(&[("tcUrl", object(&[]))]),
        )
        .says(success),
    ]
}
