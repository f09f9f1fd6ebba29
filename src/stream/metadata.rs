//! onMetaData made shorter: files that are published as they are bring an index of all their key
//! frames along, which says nothing of a live stream and may have hundreds of kilobytes.

use crate::limits;
use crate::rtmp::amf0::{Decoder, Encoder, Limits, Value};

/// As many values as there may be: the length of the message bounds them.
const INDEX_LIMITS: Limits = Limits {
    nodes: u32::MAX,
    ..Limits::DEFAULT
};

/// The body of onMetaData without the lists that make it long. None when it is no such body or is
/// too long to be kept even then.
pub fn without_index(body: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = Decoder::new(body, INDEX_LIMITS);
    decoder.next().ok()??.as_bytes()?;
    let name = &body[..body.len() - decoder.rest().len()];
    let properties = decoder.next().ok()??.as_object()?;
    let is_kept = |value: &Value<'_>, len: usize| {
        len <= limits::METADATA_LIST_BYTES_MAX
            || !matches!(value, Value::Object(_) | Value::StrictArray(_))
    };
    let mut kept = Vec::new();
    let mut count = 0;
    for (encoded, value) in properties.encoded() {
        if is_kept(&value, encoded.len()) {
            kept.extend_from_slice(encoded);
            count += 1;
        }
    }
    let mut short = name.to_vec();
    Encoder::new(&mut short).begin_ecma_array(count);
    short.append(&mut kept);
    Encoder::new(&mut short).end_object();
    (short.len() <= limits::SEQUENCE_HEADER_BYTES_MAX).then_some(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(amf: &mut Encoder<'_>, key: &str, count: u32) {
        amf.key(key).strict_array_header(count);
        for number in 0..count {
            amf.number(f64::from(number));
        }
    }

    fn metadata(frames: u32) -> Vec<u8> {
        let mut body = Vec::new();
        let mut amf = Encoder::new(&mut body);
        amf.string("onMetaData").begin_ecma_array(4);
        amf.number_property("width", 640.0);
        amf.key("keyframes").begin_object();
        list(&mut amf, "filepositions", frames);
        list(&mut amf, "times", frames);
        amf.end_object();
        list(&mut amf, "audiosizes", 3);
        amf.string_property("encoder", "x").end_object();
        body
    }

    fn keys(body: &[u8]) -> Vec<String> {
        let mut decoder = Decoder::new(body, Limits::DEFAULT);
        assert_eq!(
            decoder.next().unwrap().unwrap().as_str(),
            Some("onMetaData")
        );
        let object = decoder.next().unwrap().unwrap().as_object().unwrap();
        let keys = object.iter().map(|(key, _)| key.escape_ascii().to_string());
        keys.collect()
    }

    #[test]
    fn index_is_dropped_and_the_rest_kept() {
        // A key frame each second for a day.
        let short = without_index(&metadata(86_400)).unwrap();
        assert_eq!(keys(&short), ["width", "audiosizes", "encoder"]);
    }

    #[test]
    fn metadata_that_is_long_without_an_index_stays() {
        let mut body = Vec::new();
        let mut amf = Encoder::new(&mut body);
        amf.string("onMetaData").begin_object();
        amf.string_property("text", &"x".repeat(limits::SEQUENCE_HEADER_BYTES_MAX));
        amf.end_object();
        assert_eq!(without_index(&body), None);
        assert_eq!(without_index(b"\x02\0\x01a"), None);
        assert_eq!(without_index(b"\x05"), None);
        assert_eq!(without_index(&[]), None);
    }
}
