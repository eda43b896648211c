//! Any bytes as input of the `fat` reader.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| formats::fuzz::fat(data));
