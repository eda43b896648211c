//! Identifiers of an image, all derived from what is in it: the same inputs give the same bytes.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// A UUID from words (version 8: custom; RFC 9562 section 5.8).
pub fn uuid(words: &[&[u8]]) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(b"io.wellcar.os");
    for word in words {
        hash.update((word.len() as u64).to_le_bytes());
        hash.update(word);
    }
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Bytes in lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
