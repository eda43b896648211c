//! Package indices, plain and compressed, and lock files.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| compose::repo::fuzz::packages(data));
