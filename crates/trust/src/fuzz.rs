//! The bodies of the fuzz targets: any bytes must end in a value or a typed error.

use crate::{Keyring, Release, ReleaseCheck, UnixTime};

/// An `InRelease` file checked against a keyring; then the same bytes as a key file.
pub fn inrelease(keyring: &Keyring, data: &[u8]) {
    let check = ReleaseCheck { suite: "trixie", now: UnixTime(1_795_222_383), allow_stale: true };
    let verified = Release::verify_inrelease(data, keyring, &check);
    assert!(verified.is_err(), "bytes of a fuzzer carry no valid signature");
    let _ = Keyring::parse([data]);
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Release::parse(text);
    }
}
