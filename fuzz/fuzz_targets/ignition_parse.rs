//! Ignition configs of every version: no panic, and what is written can be read again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ignition::fuzz::parse(data));
