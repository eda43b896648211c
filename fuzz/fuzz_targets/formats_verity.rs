//! Any bytes as input of the `verity` reader.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| formats::fuzz::verity(data));
