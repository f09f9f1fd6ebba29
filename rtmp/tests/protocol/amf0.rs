//! Tests of amf0.rs.

use proptest::prelude::*;
use tailwater_rtmp::amf0::*;
use tailwater_rtmp_exercise::leaves;

/// Decodes the body; what comes out must print as `expected`.
#[track_caller]
fn check(body: &[u8], expected: &str) {
    leaves::amf0(body);
    let mut decoder = Decoder::new(body, Limits::DEFAULT);
    let values: Result<Vec<_>, _> = core::iter::from_fn(|| decoder.next().transpose()).collect();
    let got = values.map_or_else(|error| format!("{error:?}"), |values| join(values, " "));
    assert_eq!(got, expected);
}

fn first(body: &[u8]) -> Value<'_> {
    let value = Decoder::new(body, Limits::DEFAULT).next();
    value.unwrap().unwrap()
}

fn join<'a>(values: impl IntoIterator<Item = Value<'a>>, between: &str) -> String {
    let shown: Vec<_> = values.into_iter().map(show).collect();
    shown.join(between)
}

fn show(value: Value<'_>) -> String {
    match value {
        Value::Number(number) => format!("{number:?}"),
        Value::String(text) => text.escape_ascii().to_string(),
        Value::StrictArray(array) => format!("[{}]", join(array.iter(), ",")),
        Value::Object(object) => {
            let property = |(key, value)| format!("{}:{}", show(Value::String(key)), show(value));
            let shown: Vec<_> = object.iter().map(property).collect();
            format!("{{{}}}", shown.join(","))
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn every_marker_is_read_skipped_or_refused() {
    check(
        b"\x00\xC0\0\0\0\0\0\0\0\x01\x02\x01\0",
        "-2.0 Boolean(true) Boolean(false)",
    );
    check(
        b"\x02\0\x02hi\x0C\0\0\0\x02hi\x0F\0\0\0\x04<x/>",
        "hi hi <x/>",
    );
    check(
        b"\x03\0\x01a\x05\0\0\x09\x05\x06\x0D",
        "{a:Null} Null Undefined Unsupported",
    );
    check(b"\x10\0\x05Class\0\x01a\x05\0\0\x09\x05", "{a:Null} Null");
    check(
        b"\x0A\0\0\0\x02\x05\x0A\0\0\0\x01\x06\x05",
        "[Null,[Undefined]] Null",
    );
    check(b"\x0B\0\0\0\0\0\0\0\0\x12\x34\x05", "Date(0.0) Null");
    for got in [0x04, 0x09, 0x0E].into_iter().chain(0x11..=0xFF) {
        let expected = format!("Marker {{ got: {got} }}");
        check(&[got, 0, 0, 0, 0, 0, 0, 0, 0], &expected);
        check(&[0x03, 0, 1, b'a', got, 0, 0, 0, 0, 0, 0, 0, 0], &expected);
    }
}

#[test]
fn references_are_skipped_and_never_followed() {
    check(b"\x07\0\0\x07\xFF\xFF\x05", "Unsupported Unsupported Null");
    check(b"\x03\0\x01a\x07\0\0\0\0\x09", "{a:Unsupported}");
    check(b"\x07\0", "Truncated");
}

#[test]
fn nesting_stops_at_the_limit_however_long_the_input() {
    let object: &[u8] = b"\x03\0\x01a";
    let strict: &[u8] = b"\x0A\0\0\0\x01";
    let ecma: &[u8] = b"\x08\0\0\0\x01\0\x01a";
    for kind in [object, strict, ecma, &[object, strict].concat()] {
        for count in [16, 17, 32, 33, 64, 65, 10_000, 250_000] {
            let body = [&kind.repeat(count), object].concat();
            check(&body, "Depth { limit: 16 }");
        }
    }
    let sixteen = [&strict.repeat(16)[..], b"\x05"].concat();
    check(&sixteen, "[[[[[[[[[[[[[[[[Null]]]]]]]]]]]]]]]]");
    check(&b"\x03\0\0\x09".repeat(17), &["{}"; 17].join(" "));
    let limits = Limits { depth: 3, nodes: 9 };
    let got = Decoder::new(&sixteen, limits).next();
    assert_eq!(got, Err(AmfError::Depth { limit: 3 }));
}

#[test]
fn counts_are_hints_and_missing_ends_are_tolerated_at_the_end_of_the_body() {
    check(b"\x0A\xFF\xFF\xFF\xFF", "Truncated");
    check(b"\x0A\0\0\0\0\x05", "[] Null");
    check(b"\x08\xFF\xFF\xFF\xFF\0\x01a\x05\0\0\x09", "{a:Null}");
    check(
        b"\x08\0\0\0\0\0\x01a\x05\0\x01b\x06\0\0\x09\x05",
        "{a:Null,b:Undefined} Null",
    );
    check(b"\x08\0\0\0\x07\0\x01a\x05", "{a:Null}");
    check(b"\x03\0\x01a\x03\0\x01b\x05", "{a:{b:Null}}");
    check(b"\x03\0\x01a\x03\0\x01b\x05\0\0\x09", "{a:{b:Null}}");
    check(b"\x03", "{}");
    for end in 2..8 {
        check(&b"\x03\0\x01a\x02\0\x02hi"[..end], "Truncated");
    }
    check(b"\x03\0\0", "Truncated");
}

#[test]
fn a_string_longer_than_the_body_is_cut_short() {
    check(b"\x02\xFF\xFFabc", "Truncated");
    check(b"\x0C\xFF\xFF\xFF\xFF", "Truncated");
    check(b"\x0C\0\x10\0\0abc", "Truncated");
    check(b"\x0F\xFF\xFF\xFF\xFFabc", "Truncated");
}

#[test]
fn numbers_are_range_checked_before_they_become_integers() {
    let check = |number: f64, integer, flag| {
        let bytes = number.to_be_bytes();
        let body = [&[0x00], &bytes[..]].concat();
        let value = first(&body);
        assert_eq!(value.as_number().map(f64::to_be_bytes), Some(bytes));
        assert_eq!(
            (value.as_u32(), value.as_bool()),
            (integer, Some(flag)),
            "{number}"
        );
    };
    check(f64::NAN, None, false);
    check(f64::INFINITY, None, true);
    check(f64::NEG_INFINITY, None, true);
    check(-0.0, Some(0), false);
    check(-2.0, None, true);
    check(0.5, None, true);
    check(4_294_967_295.0, Some(u32::MAX), true);
    check(4_294_967_296.0, None, true);
    check(9_007_199_254_740_993.0, None, true);
    check(1e308, None, true);
}

#[test]
fn keys_are_bytes_and_the_first_of_equal_keys_counts() {
    let flood = [b"\x03", &b"\0\x01a\x05".repeat(100_000)[..]].concat();
    check(&flood, "Nodes { limit: 4096 }");
    check(b"\x03\0\0\x05\0\0\x09", "{:Null}");
    check(b"\x03\0\0\x05\0\0\0\0\x09", "Truncated");
    check(b"\x03\0\x02\xFF\0\x05\0\0\x09", "{\\xff\\x00:Null}");
    check(b"\x03\0\x01a\x09", "Marker { got: 9 }");
    let long = [b"\x03\xFF\xFF", &[b'k'; 0xFFFF][..], b"\x05"].concat();
    check(&long, &format!("{{{}:Null}}", "k".repeat(0xFFFF)));
    let body = b"\x03\0\x05tcurl\x05\0\x05tcUrl\x02\0\x01\xFF\0\x05tcUrl\x05";
    let object = first(body).as_object().unwrap();
    assert_eq!(object.get("tcUrl"), Some(Value::String(b"\xFF")));
    assert_eq!(object.get("tcUrl").and_then(|value| value.as_str()), None);
    assert_eq!(object.get_ignore_case("tcUrl"), Some(Value::Null));
    assert_eq!(object.get("tc"), None);
}

#[test]
fn long_texts_are_borrowed_from_the_body_and_switch_to_the_long_form() {
    for (length, marker) in [(1, 0x02), (0xFFFF, 0x02), (0x1_0000, 0x0C)] {
        let text = "u".repeat(length);
        let mut body = Vec::new();
        Encoder::new(&mut body).null().string(&text);
        let mut decoder = Decoder::new(&body, Limits::DEFAULT);
        assert_eq!(decoder.next(), Ok(Some(Value::Null)));
        let url = decoder.next().unwrap().unwrap().as_str().unwrap();
        assert_eq!((url, body[1]), (&text[..], marker));
        assert!(body.as_ptr_range().contains(&url.as_ptr()));
    }
}

#[test]
fn the_node_budget_spans_the_body_and_errors_repeat() {
    let limits = Limits { depth: 1, nodes: 3 };
    let mut decoder = Decoder::new(b"\x05\x03\0\x01a\x05\0\0\x09\x05", limits);
    assert_eq!(decoder.next(), Ok(Some(Value::Null)));
    assert!(matches!(decoder.next(), Ok(Some(Value::Object(_)))));
    for _ in 0..2 {
        assert_eq!(decoder.next(), Err(AmfError::Nodes { limit: 3 }));
        assert_eq!(decoder.rest(), b"\x05");
    }
}

#[test]
fn a_format_byte_is_stripped_only_in_front_of_a_string() {
    assert_eq!(strip_amf3_prefix(b"\0\x02\0\x04play"), b"\x02\0\x04play");
    assert_eq!(strip_amf3_prefix(b"\0\x0C\0\0\0\0"), b"\x0C\0\0\0\0");
    for whole in [
        "",
        "\0",
        "\x02\0\x04play",
        "\0\x3F\0\0\0\0\0\0\0",
        "\x11\x02",
        "\0\0\x02",
    ] {
        assert_eq!(strip_amf3_prefix(whole.as_bytes()), whole.as_bytes());
    }
}

#[test]
fn the_encoder_writes_the_bytes_of_the_format() {
    let mut body = Vec::new();
    let mut encoder = Encoder::new(&mut body);
    encoder.string("_result").number(1.0).null().undefined();
    encoder
        .begin_object()
        .boolean_property("f", true)
        .number_property("n", -2.0)
        .end_object();
    encoder
        .begin_ecma_array(1)
        .string_property("s", "x")
        .end_object();
    encoder.strict_array_header(1).boolean(false);
    let scalars = b"\x02\0\x07_result\x00\x3F\xF0\0\0\0\0\0\0\x05\x06";
    let object = b"\x03\0\x01f\x01\x01\0\x01n\x00\xC0\0\0\0\0\0\0\0\0\0\x09";
    let arrays = b"\x08\0\0\0\x01\0\x01s\x02\0\x01x\0\0\x09\x0A\0\0\0\x01\x01\0";
    assert_eq!(body, [&scalars[..], object, arrays].concat());
}

/// Encodes the value that the script describes and returns what it must print as.
fn encode(script: &mut dyn Iterator<Item = u8>, depth: u8, to: &mut Encoder<'_>) -> String {
    let mut step = || script.next().unwrap_or(0);
    let (kind, size) = (step() % 6, step() % 6);
    match kind {
        0 => {
            to.boolean(size > 2);
            format!("Boolean({})", size > 2)
        }
        1 => {
            to.string(&"é\0".repeat(size.into()));
            "\\xc3\\xa9\\x00".repeat(size.into())
        }
        2 | 3 if depth > 0 => {
            match kind {
                2 => to.begin_object(),
                _ => to.begin_ecma_array(7),
            };
            let each = (0..size).map(|key| {
                let key = "k".repeat(key.into());
                format!("{key}:{}", encode(script, depth - 1, to.key(&key)))
            });
            let shown: Vec<_> = each.collect();
            to.end_object();
            format!("{{{}}}", shown.join(","))
        }
        4 if depth > 0 => {
            to.strict_array_header(size.into());
            let each = (0..size).map(|_| encode(script, depth - 1, to));
            format!("[{}]", each.collect::<Vec<_>>().join(","))
        }
        _ => {
            let number = f64::from_be_bytes(core::array::from_fn(|_| step()));
            to.number(number);
            format!("{number:?}")
        }
    }
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(
        script in prop::collection::vec(any::<u8>(), 0..800),
    ) {
        let mut body = Vec::new();
        let shown = encode(&mut script.into_iter(), 8, &mut Encoder::new(&mut body));
        check(&body, &shown);
    }

    #[test]
    fn arbitrary_bytes_stay_within_the_budgets(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        markers in prop::collection::vec(0x00..0x12_u8, 0..600),
    ) {
        leaves::amf0(&bytes);
        leaves::amf0(&markers);
    }
}
