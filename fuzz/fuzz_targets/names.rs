//! Names of apps and streams, as clients write them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tailwater_rtmp_exercise::leaves::name(data));
