//! The AMF0 decoder: depth, count, and a walk over all that came out.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tailwater_rtmp_exercise::leaves::amf0(data));
