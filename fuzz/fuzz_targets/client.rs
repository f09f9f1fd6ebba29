//! The client's session against a server that says anything.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    tailwater_rtmp_exercise::client(data);
});
