//! What is signed, by whom, and whether that counts: OpenPGP signatures over an archive's Release
//! files, checked against pinned keys. The only maker of [`Verified`].
//!
//! Nothing here reads a file, a clock or the environment: bytes, keys and the time come as arguments.

#![forbid(unsafe_code)]

pub mod cleartext;
pub mod fuzz;
pub mod keyring;
mod policy;
pub mod release;
pub mod time;

pub use keyring::{Keyring, KeyringError, SignatureError};
pub use release::{Digest, IndexEntry, Release, ReleaseCheck, ReleaseError};
pub use time::UnixTime;

/// A value whose signature was checked against a pinned key.
///
/// There is no public constructor: whoever holds one got it from a check of this crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T> {
    value: T,
    signers: Vec<String>,
}

impl<T> Verified<T> {
    fn new(value: T, signers: Vec<String>) -> Self {
        Self { value, signers }
    }

    /// The value itself.
    pub fn get(&self) -> &T {
        &self.value
    }

    /// Fingerprints (upper case hex) of the pinned keys that made a good signature; at least one.
    pub fn signers(&self) -> &[String] {
        &self.signers
    }

    fn try_map<U, E>(self, f: impl FnOnce(T) -> Result<U, E>) -> Result<Verified<U>, E> {
        Ok(Verified { value: f(self.value)?, signers: self.signers })
    }
}

impl<T> std::ops::Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
