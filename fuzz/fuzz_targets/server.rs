//! The server's session, driven through connect, publish and play.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    tailwater_rtmp_exercise::server(data);
});
