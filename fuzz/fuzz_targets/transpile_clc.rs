//! Any bytes as input of the config compiler (`clc`).
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| transpile::fuzz::clc(data));
