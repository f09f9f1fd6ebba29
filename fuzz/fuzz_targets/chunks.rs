//! The chunk reader: any segmentation gives the same messages, within its limits.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    tailwater_rtmp_exercise::chunks(data);
});
