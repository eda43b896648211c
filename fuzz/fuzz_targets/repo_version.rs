//! Package versions and their order.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| compose::repo::fuzz::version(data));
