//! Any bytes as a unit file that is enabled.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| provision::fuzz::install(data));
