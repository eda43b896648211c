//! Which signatures count. `pgp` does the mathematics; the rules here are ours:
//! SHA-256 or better everywhere, RSA of 2048 bits or more or a modern curve, a key that is bound by
//! a valid self-signature, flagged for signing, neither revoked nor expired `now`, and a signature
//! that is neither expired nor from the future.

use crate::UnixTime;
use pgp::composed::{SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::packet::{Signature, SignatureType, SubpacketData};
use pgp::ser::Serialize as _;
use pgp::types::{KeyDetails, PublicParams, Tag, VerifyingKey};
use thiserror::Error;

/// How far a signer's clock may be ahead of ours, in seconds.
const CLOCK_SKEW: i64 = 24 * 3600;

/// What kind of signature is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Binary,
}

/// Why one signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No pinned key has this id.
    #[error("not one of the pinned keys")]
    UnknownKey,
    /// The signature is over another kind of document.
    #[error("the signature is of another type")]
    WrongType,
    /// A hash that is no longer safe.
    #[error("hash algorithm `{0}` is refused, expected SHA-256 or better")]
    WeakHash(String),
    /// A key algorithm or size that is not safe.
    #[error("key algorithm `{0}` is refused, expected RSA of at least 2048 bits or a modern curve")]
    WeakKey(String),
    /// Made later than now (plus a day of clock skew).
    #[error("made in the future: {0}")]
    FromTheFuture(UnixTime),
    /// The signature has no creation time, or was made before its key.
    #[error("its creation time is missing or before its key's")]
    BadTime,
    /// The signature's own expiry has passed.
    #[error("the signature expired {0}")]
    SignatureExpired(UnixTime),
    /// The key has expired.
    #[error("the key expired {0}")]
    KeyExpired(UnixTime),
    /// The key was revoked.
    #[error("the key is revoked")]
    KeyRevoked,
    /// The key is not bound by a valid self-signature.
    #[error("the key has no valid self-signature")]
    Unbound,
    /// The key may not sign.
    #[error("the key is not flagged for signing")]
    NotForSigning,
    /// A part marked critical that we do not understand.
    #[error("the signature has a critical part that is not understood")]
    Critical,
    /// The mathematics says no.
    #[error("the signature is wrong for this text")]
    Bad,
}

/// Bytes as upper case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// The key a signature says it is by.
pub(crate) fn issuer(signature: &Signature) -> String {
    if let Some(fingerprint) = signature.issuer_fingerprint().first() {
        return hex(fingerprint.as_bytes());
    }
    match signature.issuer_key_id().first() {
        Some(id) => hex(id.as_ref()),
        None => "unknown".into(),
    }
}

fn is_by(signature: &Signature, key: &impl KeyDetails) -> bool {
    let fingerprints = signature.issuer_fingerprint();
    let ids = signature.issuer_key_id();
    if fingerprints.is_empty() && ids.is_empty() {
        return false;
    }
    fingerprints.iter().all(|f| **f == key.fingerprint()) && ids.iter().all(|id| **id == key.legacy_key_id())
}

fn check_hash(signature: &Signature) -> Result<(), Refusal> {
    match signature.hash_alg() {
        Some(
            HashAlgorithm::Sha256
            | HashAlgorithm::Sha384
            | HashAlgorithm::Sha512
            | HashAlgorithm::Sha3_256
            | HashAlgorithm::Sha3_512,
        ) => Ok(()),
        Some(other) => Err(Refusal::WeakHash(other.to_string())),
        None => Err(Refusal::WeakHash("none".into())),
    }
}

fn check_algorithm(key: &impl KeyDetails) -> Result<(), Refusal> {
    let good = match key.algorithm() {
        // Two numbers with a two byte length each: the modulus, then the exponent (at most 4 bytes).
        PublicKeyAlgorithm::RSA | PublicKeyAlgorithm::RSASign => {
            matches!(key.public_params(), PublicParams::RSA(params) if params.write_len() > 2 + 256 + 2)
        }
        PublicKeyAlgorithm::ECDSA
        | PublicKeyAlgorithm::EdDSALegacy
        | PublicKeyAlgorithm::Ed25519
        | PublicKeyAlgorithm::Ed448 => true,
        _ => false,
    };
    if good { Ok(()) } else { Err(Refusal::WeakKey(format!("{:?}", key.algorithm()))) }
}

fn check_critical(signature: &Signature) -> Result<(), Refusal> {
    let Some(config) = signature.config() else { return Err(Refusal::Critical) };
    let unknown = config.hashed_subpackets().any(|subpacket| {
        subpacket.is_critical
            && matches!(
                subpacket.data,
                SubpacketData::Other(..)
                    | SubpacketData::Experimental(..)
                    | SubpacketData::Notation(_)
                    | SubpacketData::RegularExpression(_)
                    | SubpacketData::SignatureTarget(..)
            )
    });
    if unknown { Err(Refusal::Critical) } else { Ok(()) }
}

fn created(signature: &Signature) -> Option<i64> {
    signature.created().map(|time| i64::from(time.as_secs()))
}

/// The checks on a signature's own dates.
fn check_dates(signature: &Signature, key_created: i64, now: UnixTime) -> Result<i64, Refusal> {
    let made = created(signature).filter(|made| *made >= key_created).ok_or(Refusal::BadTime)?;
    if made > now.0.saturating_add(CLOCK_SKEW) {
        return Err(Refusal::FromTheFuture(UnixTime(made)));
    }
    if let Some(life) =
        signature.signature_expiration_time().map(|d| i64::from(d.as_secs())).filter(|s| *s > 0)
        && made.saturating_add(life) <= now.0
    {
        return Err(Refusal::SignatureExpired(UnixTime(made + life)));
    }
    Ok(made)
}

/// Everything that a self-signature must satisfy before its mathematics is looked at.
fn usable(signature: &Signature, key_created: i64, now: UnixTime) -> bool {
    check_hash(signature).is_ok()
        && check_critical(signature).is_ok()
        && check_dates(signature, key_created, now).is_ok()
}

fn key_created(key: &impl KeyDetails) -> i64 {
    i64::from(key.created_at().as_secs())
}

/// The checks on a key's life as its newest self-signature `binding` gives it.
fn check_expiry(key: &impl KeyDetails, binding: &Signature, now: UnixTime) -> Result<(), Refusal> {
    match binding.key_expiration_time().map(|d| i64::from(d.as_secs())).filter(|s| *s > 0) {
        Some(life) if key_created(key).saturating_add(life) <= now.0 => {
            Err(Refusal::KeyExpired(UnixTime(key_created(key) + life)))
        }
        _ => Ok(()),
    }
}

/// The newest valid self-signature of a primary key, which carries its expiry and flags.
fn primary_binding(key: &SignedPublicKey, now: UnixTime) -> Result<&Signature, Refusal> {
    let primary = &key.primary_key;
    // A revocation counts whatever its hash or date: wrongly refusing is the safe side.
    if key.details.revocation_signatures.iter().any(|s| is_by(s, primary) && s.verify_key(primary).is_ok()) {
        return Err(Refusal::KeyRevoked);
    }
    let direct = key
        .details
        .direct_signatures
        .iter()
        .filter(|s| s.typ() == Some(SignatureType::Key) && is_by(s, primary))
        .filter(|s| usable(s, key_created(primary), now) && s.verify_key(primary).is_ok());
    let mut candidates: Vec<&Signature> = direct.collect();
    for user in &key.details.users {
        let own = |s: &&Signature| {
            is_by(s, primary) && s.verify_certification(primary, Tag::UserId, &user.id).is_ok()
        };
        let revoked = user
            .signatures
            .iter()
            .filter(|s| s.typ() == Some(SignatureType::CertRevocation))
            .any(|s| own(&s));
        if revoked {
            continue;
        }
        candidates.extend(
            user.signatures
                .iter()
                .filter(|s| s.typ() != Some(SignatureType::CertRevocation))
                .filter(|s| usable(s, key_created(primary), now))
                .filter(own),
        );
    }
    candidates.into_iter().max_by_key(|s| created(s)).ok_or(Refusal::Unbound)
}

/// Whether `subkey` is bound to its primary for signing, valid `now`.
fn check_subkey(key: &SignedPublicKey, subkey: &SignedPublicSubKey, now: UnixTime) -> Result<(), Refusal> {
    let primary = &key.primary_key;
    let own = |s: &&Signature| is_by(s, primary) && s.verify_subkey_binding(primary, &subkey.key).is_ok();
    if subkey.signatures.iter().filter(|s| s.typ() == Some(SignatureType::SubkeyRevocation)).any(|s| own(&s))
    {
        return Err(Refusal::KeyRevoked);
    }
    let binding = subkey
        .signatures
        .iter()
        .filter(|s| s.typ() == Some(SignatureType::SubkeyBinding))
        .filter(|s| usable(s, key_created(&subkey.key), now))
        .filter(own)
        .max_by_key(|s| created(s))
        .ok_or(Refusal::Unbound)?;
    check_expiry(&subkey.key, binding, now)?;
    if !binding.key_flags().sign() {
        return Err(Refusal::NotForSigning);
    }
    // The subkey must say itself that it belongs to this primary, or a stranger's key could be adopted.
    let back = binding.embedded_signature().ok_or(Refusal::Unbound)?;
    if !usable(back, key_created(&subkey.key), now)
        || back.verify_primary_key_binding(&subkey.key, primary).is_err()
    {
        return Err(Refusal::Unbound);
    }
    Ok(())
}

fn check_data(
    signature: &Signature,
    key: &impl VerifyingKey,
    data: &[u8],
    now: UnixTime,
) -> Result<(), Refusal> {
    check_algorithm(key)?;
    check_dates(signature, key_created(key), now)?;
    signature.verify(key, data).map_err(|_| Refusal::Bad)
}

/// Checks one signature over `data`; gives the fingerprint of the (sub)key that made it.
pub(crate) fn check_signature(
    keys: &[SignedPublicKey],
    signature: &Signature,
    kind: Kind,
    data: &[u8],
    now: UnixTime,
) -> Result<String, Refusal> {
    let wanted = match kind {
        Kind::Text => SignatureType::Text,
        Kind::Binary => SignatureType::Binary,
    };
    if signature.typ() != Some(wanted) {
        return Err(Refusal::WrongType);
    }
    check_hash(signature)?;
    check_critical(signature)?;
    let mut refusal = Refusal::UnknownKey;
    for key in keys {
        let primary = &key.primary_key;
        let signer_is_primary = is_by(signature, primary);
        let subkey = key.public_subkeys.iter().find(|subkey| is_by(signature, &subkey.key));
        if !signer_is_primary && subkey.is_none() {
            continue;
        }
        let verdict = primary_binding(key, now).and_then(|binding| {
            check_algorithm(primary)?;
            check_expiry(primary, binding, now)?;
            if signer_is_primary {
                if !binding.key_flags().sign() {
                    return Err(Refusal::NotForSigning);
                }
                check_data(signature, primary, data, now)?;
                return Ok(hex(primary.fingerprint().as_bytes()));
            }
            let subkey = subkey.ok_or(Refusal::UnknownKey)?;
            check_subkey(key, subkey, now)?;
            check_data(signature, &subkey.key, data, now)?;
            Ok(hex(subkey.key.fingerprint().as_bytes()))
        });
        match verdict {
            Ok(fingerprint) => return Ok(fingerprint),
            Err(why) => refusal = why,
        }
    }
    Err(refusal)
}
