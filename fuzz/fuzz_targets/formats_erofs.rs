//! Any bytes as input of the `erofs` reader.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| formats::fuzz::erofs(data));
