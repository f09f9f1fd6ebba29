//! The header by which a proxy says who its client is, versions 1 and 2.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tailwater_exercise::proxy::exercise(data));
