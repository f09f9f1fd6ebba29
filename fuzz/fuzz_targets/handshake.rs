//! The handshake, both roles, cut in two.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tailwater_rtmp_exercise::leaves::handshake(data));
