//! Pinned OpenPGP keys, and the check of a signature against them.

use crate::cleartext::{self, CleartextError};
use crate::policy::{self, Refusal};
use crate::{UnixTime, Verified};
use pgp::armor::{BlockType, Dearmor, DearmorOptions};
use pgp::composed::{Deserializable as _, SignedPublicKey};
use pgp::packet::{Packet, PacketParser, Signature};
use pgp::types::KeyDetails as _;
use std::io::{BufReader, Read as _};
use thiserror::Error;

/// The most bytes that one key file may have.
pub const MAX_KEY_BYTES: usize = 1 << 20;
/// The most signatures on one message that are looked at.
pub const MAX_SIGNATURES: usize = 16;

/// Why a key file cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// More than [`MAX_KEY_BYTES`].
    #[error("failed to read a key file: expected at most {MAX_KEY_BYTES} bytes, found {0}")]
    TooLarge(usize),
    /// Not OpenPGP public keys.
    #[error("failed to parse an OpenPGP public key")]
    Parse(#[source] Box<pgp::errors::Error>),
    /// No key in any of the files.
    #[error("failed to build a keyring: expected at least one public key, found none")]
    Empty,
}

/// Why no signature on a message counts.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The message itself is malformed.
    #[error("failed to split the signed message")]
    Cleartext(#[from] CleartextError),
    /// The armoured block is not made of signatures.
    #[error("failed to parse the OpenPGP signature")]
    Parse(#[source] Box<pgp::errors::Error>),
    /// The block is not a signature block, or holds something else, too.
    #[error(
        "failed to read the OpenPGP signature: expected 1 to {MAX_SIGNATURES} signatures and nothing else"
    )]
    Malformed,
    /// Every signature was refused.
    #[error("failed to verify the signature: {}", list(.0))]
    NoGoodSignature(Vec<SignatureVerdict>),
}

/// What was wrong with one signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureVerdict {
    /// The key it says it is by: fingerprint or key id in upper case hex, or `unknown`.
    pub issuer: String,
    /// Why it does not count.
    pub refusal: Refusal,
}

fn list(verdicts: &[SignatureVerdict]) -> String {
    if verdicts.is_empty() {
        return "there is none".into();
    }
    verdicts.iter().map(|v| format!("key `{}`: {}", v.issuer, v.refusal)).collect::<Vec<_>>().join("; ")
}

/// A set of pinned public keys.
#[derive(Debug, Clone)]
pub struct Keyring {
    keys: Vec<SignedPublicKey>,
}

impl Keyring {
    /// Reads key files, each armoured or binary, each with one key or more.
    pub fn parse<'a>(files: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, KeyringError> {
        let mut keys = Vec::new();
        for bytes in files {
            if bytes.len() > MAX_KEY_BYTES {
                return Err(KeyringError::TooLarge(bytes.len()));
            }
            let (parsed, _) = SignedPublicKey::from_reader_many_buf(BufReader::new(bytes))
                .map_err(|error| KeyringError::Parse(Box::new(error)))?;
            for key in parsed {
                keys.push(key.map_err(|error| KeyringError::Parse(Box::new(error)))?);
            }
        }
        if keys.is_empty() {
            return Err(KeyringError::Empty);
        }
        Ok(Self { keys })
    }

    /// Fingerprints of the primary keys, upper case hex, in the order of the files.
    pub fn fingerprints(&self) -> Vec<String> {
        self.keys.iter().map(|key| policy::hex(key.fingerprint().as_bytes())).collect()
    }

    /// Checks a cleartext-signed message; gives the signed text.
    ///
    /// At least one signature must be good: made by a pinned key that was valid then and is valid
    /// `now`, over SHA-256 or better.
    pub fn verify_cleartext(
        &self,
        message: &[u8],
        now: UnixTime,
    ) -> Result<Verified<String>, SignatureError> {
        let parts = cleartext::split(message)?;
        let signatures = read_signatures(parts.armor.as_bytes())?;
        let signers = self.check(&signatures, policy::Kind::Text, parts.text.as_bytes(), now)?;
        Ok(Verified::new(parts.text, signers))
    }

    /// Checks a detached, armoured signature over `data`; gives the data as text.
    pub fn verify_detached(
        &self,
        data: &[u8],
        armor: &[u8],
        now: UnixTime,
    ) -> Result<Verified<String>, SignatureError> {
        if data.len().max(armor.len()) > cleartext::MAX_BYTES {
            return Err(CleartextError::TooLarge(data.len().max(armor.len())).into());
        }
        let text = std::str::from_utf8(data).map_err(|error| CleartextError::NotText(error.valid_up_to()))?;
        let signatures = read_signatures(armor)?;
        let signers = self.check(&signatures, policy::Kind::Binary, data, now)?;
        Ok(Verified::new(text.to_owned(), signers))
    }

    fn check(
        &self,
        signatures: &[Signature],
        kind: policy::Kind,
        data: &[u8],
        now: UnixTime,
    ) -> Result<Vec<String>, SignatureError> {
        let mut good = Vec::new();
        let mut bad = Vec::new();
        for signature in signatures {
            match policy::check_signature(&self.keys, signature, kind, data, now) {
                Ok(fingerprint) => {
                    if !good.contains(&fingerprint) {
                        good.push(fingerprint);
                    }
                }
                Err(refusal) => bad.push(SignatureVerdict { issuer: policy::issuer(signature), refusal }),
            }
        }
        if good.is_empty() { Err(SignatureError::NoGoodSignature(bad)) } else { Ok(good) }
    }
}

fn read_signatures(armor: &[u8]) -> Result<Vec<Signature>, SignatureError> {
    let parse = |error: pgp::errors::Error| SignatureError::Parse(Box::new(error));
    let mut dearmor = Dearmor::with_options(BufReader::new(armor), DearmorOptions::new().set_limit(1 << 20));
    dearmor.read_header().map_err(parse)?;
    if dearmor.typ != Some(BlockType::Signature) {
        return Err(SignatureError::Malformed);
    }
    let mut binary = Vec::new();
    dearmor.take(1 << 20).read_to_end(&mut binary).map_err(|error| parse(error.into()))?;
    let mut signatures = Vec::new();
    for packet in PacketParser::new(BufReader::new(binary.as_slice())) {
        match packet.map_err(parse)? {
            Packet::Signature(signature) if signatures.len() < MAX_SIGNATURES => signatures.push(signature),
            _ => return Err(SignatureError::Malformed),
        }
    }
    if signatures.is_empty() { Err(SignatureError::Malformed) } else { Ok(signatures) }
}
