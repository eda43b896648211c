//! Control files.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| compose::repo::fuzz::deb822(data));
