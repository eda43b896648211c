//! Any bytes as input of the config compiler (`yaml`).
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| transpile::fuzz::yaml(data));
