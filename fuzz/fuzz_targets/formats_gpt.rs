//! Any bytes as input of the `gpt` reader.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| formats::fuzz::gpt(data));
