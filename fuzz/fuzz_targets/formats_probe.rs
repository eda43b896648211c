//! Any bytes as input of the `probe` reader.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| formats::fuzz::probe(data));
