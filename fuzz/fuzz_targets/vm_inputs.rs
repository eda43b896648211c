//! A guest's console and answers, QEMU's control connection, the head of an image.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vm::fuzz::run(data));
