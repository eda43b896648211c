//! Any bytes as input of the config compiler (`butane`).
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| transpile::fuzz::butane(data));
