//! Any bytes as account files and names.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| provision::fuzz::accounts(data));
