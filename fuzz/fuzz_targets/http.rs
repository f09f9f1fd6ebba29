//! Requests by HTTP and frames of WebSocket, as one connection reads them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = tailwater_exercise::http::exercise(data);
});
