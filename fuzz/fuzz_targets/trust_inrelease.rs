//! Signed Release files and key files, against a pinned key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use trust::Keyring;

static KEYS: LazyLock<Keyring> = LazyLock::new(|| {
    let file: &[u8] = include_bytes!("../../os/keys/debian-archive-trixie-stable.asc");
    Keyring::parse([file]).expect("the pinned key is a key")
});

fuzz_target!(|data: &[u8]| trust::fuzz::inrelease(&KEYS, data));
