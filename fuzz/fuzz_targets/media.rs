//! What is told from the first bytes of audio and video messages.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tailwater::rtmp::media::exercise(data));
