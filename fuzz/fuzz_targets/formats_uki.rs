//! Any bytes as input of the `uki` reader.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| formats::fuzz::uki(data));
