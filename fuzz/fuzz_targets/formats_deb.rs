//! Any bytes as input of the `deb` reader.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| formats::fuzz::deb(data));
