//! Data URLs, gzip and hashes: no panic, memory within the limit.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ignition::fuzz::resource(data));
