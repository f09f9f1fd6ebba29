//! What is told from the first bytes of audio and video messages, and what players get of a stream
//! of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    tailwater_rtmp_exercise::leaves::media(data);
    let _ = tailwater_exercise::stream::exercise(data);
});
