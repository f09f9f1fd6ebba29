//! Where servers redirect to, step by step from a rule of the operator's, and markers of relays.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = tailwater_exercise::edge::exercise(data);
});
