//! Signatures on Release files: what counts, what does not, and that gpgv sees it the same way.
//! The keys are made here, with dates of the test's choosing.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test: a panic is its report")]

use pgp::composed::{ArmorOptions, CleartextSignedMessage, SignedPublicKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::{ed25519, eddsa_legacy};
use pgp::packet::{
    KeyFlags, PubKeyInner, PublicKey, SecretKey, Signature, SignatureConfig, SignatureType, Subpacket,
    SubpacketData, UserId,
};
use pgp::types::{
    Duration, KeyDetails as _, KeyVersion, PacketHeaderVersion, Password, PlainSecretParams, PublicParams,
    SecretParams, SignedUser, Timestamp,
};
use rand::SeedableRng as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use trust::keyring::SignatureError;
use trust::{Keyring, Release, ReleaseCheck, ReleaseError, UnixTime};

const MADE: u32 = 1_700_000_000;
const NOW: UnixTime = UnixTime(1_795_300_000);
const TEXT: &str = "Origin: Test\nSuite: stable\nCodename: trixie\nDate: Sat, 21 Nov 2026 00:53:03 UTC\n\
    Valid-Until: Sat, 28 Nov 2026 00:53:03 UTC\nComponents: main\nSHA256:\n \
    aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 12 main/binary-amd64/Packages.xz";

/// How a test key differs from a good one.
#[derive(Clone, Copy)]
struct Shape {
    seed: u64,
    lifetime: Option<u32>,
    signs: bool,
    revoked: bool,
}

const GOOD: Shape = Shape { seed: 1, lifetime: None, signs: true, revoked: false };

struct Key {
    secret: SecretKey,
    public: SignedPublicKey,
}

fn regular(data: SubpacketData) -> Subpacket {
    Subpacket::regular(data).unwrap()
}

fn config(key: &SecretKey, typ: SignatureType, hash: HashAlgorithm, made: u32) -> SignatureConfig {
    let mut config = SignatureConfig::v4(typ, key.algorithm(), hash);
    config.hashed_subpackets = vec![
        regular(SubpacketData::SignatureCreationTime(Timestamp::from_secs(made))),
        regular(SubpacketData::IssuerFingerprint(key.fingerprint())),
    ];
    config.unhashed_subpackets = vec![regular(SubpacketData::IssuerKeyId(key.legacy_key_id()))];
    config
}

fn key(shape: Shape) -> Key {
    let rng = rand::rngs::StdRng::seed_from_u64(shape.seed);
    let secret = ed25519::SecretKey::generate(rng, ed25519::Mode::EdDSALegacy);
    let public = PubKeyInner::new(
        KeyVersion::V4,
        pgp::crypto::public_key::PublicKeyAlgorithm::EdDSALegacy,
        Timestamp::from_secs(MADE),
        None,
        PublicParams::EdDSALegacy((&secret).into()),
    )
    .unwrap();
    let public = PublicKey::from_inner(public).unwrap();
    let secret = SecretKey::new(
        public.clone(),
        SecretParams::Plain(PlainSecretParams::EdDSALegacy(eddsa_legacy::SecretKey::Ed25519(secret))),
    )
    .unwrap();
    let mut binding = config(&secret, SignatureType::CertPositive, HashAlgorithm::Sha512, MADE);
    let mut flags = KeyFlags::default();
    flags.set_certify(true);
    flags.set_sign(shape.signs);
    binding.hashed_subpackets.push(regular(SubpacketData::KeyFlags(flags)));
    if let Some(life) = shape.lifetime {
        binding.hashed_subpackets.push(regular(SubpacketData::KeyExpirationTime(Duration::from_secs(life))));
    }
    let id = UserId::from_str(PacketHeaderVersion::New, "Test <test@example.org>").unwrap();
    let tag = pgp::types::Tag::UserId;
    let signature = binding.sign_certification(&secret, &public, &Password::empty(), tag, &id).unwrap();
    let mut details = pgp::composed::SignedKeyDetails::new(
        Vec::new(),
        Vec::new(),
        vec![SignedUser::new(id, vec![signature])],
        Vec::new(),
    );
    if shape.revoked {
        let revocation = config(&secret, SignatureType::KeyRevocation, HashAlgorithm::Sha512, MADE + 10)
            .sign_key(&secret, &Password::empty(), &public)
            .unwrap();
        details.revocation_signatures.push(revocation);
    }
    Key { secret, public: SignedPublicKey::new(public, details, Vec::new()) }
}

/// How a test signature differs from a good one.
#[derive(Clone, Copy)]
struct Signing {
    hash: HashAlgorithm,
    made: i64,
    life: Option<u32>,
    critical: bool,
    typ: SignatureType,
}

const PLAIN: Signing = Signing {
    hash: HashAlgorithm::Sha512,
    made: NOW.0 - 100,
    life: None,
    critical: false,
    typ: SignatureType::Text,
};

fn sign(key: &Key, text: &str, how: Signing) -> Signature {
    let mut config = config(&key.secret, how.typ, how.hash, u32::try_from(how.made).unwrap());
    if let Some(life) = how.life {
        config
            .hashed_subpackets
            .push(regular(SubpacketData::SignatureExpirationTime(Duration::from_secs(life))));
    }
    if how.critical {
        let data = SubpacketData::Experimental(101, vec![1].into());
        config.hashed_subpackets.push(Subpacket::critical(data).unwrap());
    }
    let wanted = config.hash_alg;
    config.hash_alg = HashAlgorithm::Sha512;
    let signature = config.clone().sign(&key.secret, &Password::empty(), text.as_bytes()).unwrap();
    if wanted == HashAlgorithm::Sha512 {
        return signature;
    }
    // The library makes no signature over a weak hash with this key: one that only claims it will do,
    // as the claim is looked at first.
    config.hash_alg = wanted;
    Signature::from_config(
        config,
        signature.signed_hash_value().unwrap(),
        signature.signature().unwrap().clone(),
    )
    .unwrap()
}

fn clearsigned(text: &str, keys: &[(&Key, Signing)]) -> String {
    // White space at line ends is not signed (RFC 9580 section 7.2); the library leaves that to us.
    let signed: Vec<&str> = text.split('\n').map(|line| line.trim_end_matches([' ', '\t'])).collect();
    let signed = signed.join("\r\n");
    let message = CleartextSignedMessage::new_many(text, |_| {
        Ok(keys.iter().map(|(key, how)| sign(key, &signed, *how)).collect())
    })
    .unwrap();
    message.to_armored_string(ArmorOptions::default()).unwrap()
}

fn armored(key: &Key) -> String {
    key.public.to_armored_string(ArmorOptions::default()).unwrap()
}

fn keyring(keys: &[&Key]) -> Keyring {
    let files: Vec<String> = keys.iter().map(|key| armored(key)).collect();
    Keyring::parse(files.iter().map(String::as_bytes)).unwrap()
}

fn refusal(keys: &Keyring, message: &str, now: UnixTime) -> String {
    match keys.verify_cleartext(message.as_bytes(), now) {
        Ok(_) => "good".into(),
        Err(SignatureError::NoGoodSignature(verdicts)) => {
            verdicts.iter().map(|v| v.refusal.to_string()).collect::<Vec<_>>().join("; ")
        }
        Err(other) => other.to_string(),
    }
}

/// Where the oracle `name` is: in `WELLCAR_ORACLES`, then in `PATH`.
fn oracle(name: &str) -> Option<PathBuf> {
    let paths = [std::env::var_os("WELLCAR_ORACLES"), std::env::var_os("PATH")];
    let found = paths
        .iter()
        .flatten()
        .flat_map(std::env::split_paths)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    if found.is_none() {
        assert!(std::env::var("WELLCAR_REQUIRE_ORACLES").as_deref() != Ok("1"), "no {name}");
        println!("skipped: no {name}");
    }
    found
}

/// Whether gpgv finds the message good against the key.
fn gpgv(program: &Path, key: &Key, message: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let (ring, file) = (folder.path().join("ring.gpg"), folder.path().join("message"));
    std::fs::write(&ring, pgp::ser::Serialize::to_bytes(&key.public).unwrap()).unwrap();
    std::fs::write(&file, message).unwrap();
    let output = Command::new(program)
        .arg("--homedir")
        .arg(folder.path())
        .arg("--keyring")
        .arg(&ring)
        .arg(&file)
        .output();
    let output = output.unwrap();
    println!("{}", String::from_utf8_lossy(&output.stderr));
    output.status.success()
}

#[test]
fn a_good_signature_gives_the_release() {
    let (one, other) = (key(GOOD), key(Shape { seed: 2, ..GOOD }));
    let check = ReleaseCheck { suite: "trixie", now: NOW, allow_stale: false };
    // One of two signers is enough, whoever the other is.
    let message = clearsigned(TEXT, &[(&other, PLAIN), (&one, PLAIN)]);
    let release = Release::verify_inrelease(message.as_bytes(), &keyring(&[&one]), &check).unwrap();
    assert_eq!(release.codename, "trixie");
    assert_eq!(release.signers().len(), 1);
    assert_eq!(release.signers(), keyring(&[&one]).fingerprints());
    let both = Release::verify_inrelease(message.as_bytes(), &keyring(&[&one, &other]), &check).unwrap();
    assert_eq!(both.signers().len(), 2);
}

#[test]
fn signatures_that_do_not_count() {
    let good = key(GOOD);
    let other = key(Shape { seed: 2, ..GOOD });
    let keys = keyring(&[&good]);
    let says = |how: Signing| refusal(&keys, &clearsigned(TEXT, &[(&good, how)]), NOW);
    assert_eq!(says(PLAIN), "good");
    assert_eq!(refusal(&keys, &clearsigned(TEXT, &[(&other, PLAIN)]), NOW), "not one of the pinned keys");
    for hash in [HashAlgorithm::Sha1, HashAlgorithm::Sha224] {
        assert!(says(Signing { hash, ..PLAIN }).contains("is refused, expected SHA-256 or better"), "{hash}");
    }
    assert!(says(Signing { made: NOW.0 + 90_000, ..PLAIN }).starts_with("made in the future"));
    assert!(says(Signing { made: i64::from(MADE) - 10, ..PLAIN }).contains("before its key's"));
    assert!(says(Signing { life: Some(50), ..PLAIN }).starts_with("the signature expired"));
    assert!(says(Signing { critical: true, ..PLAIN }).contains("critical"));
    assert!(says(Signing { typ: SignatureType::Binary, ..PLAIN }).contains("another type"));
}

#[test]
fn keys_that_do_not_count() {
    let says = |shape: Shape| {
        let key = key(shape);
        refusal(&keyring(&[&key]), &clearsigned(TEXT, &[(&key, PLAIN)]), NOW)
    };
    let life = u32::try_from(NOW.0).unwrap() - MADE - 10;
    assert!(says(Shape { lifetime: Some(life), ..GOOD }).starts_with("the key expired"));
    assert_eq!(says(Shape { lifetime: Some(life + 100), ..GOOD }), "good");
    assert_eq!(says(Shape { revoked: true, ..GOOD }), "the key is revoked");
    assert_eq!(says(Shape { signs: false, ..GOOD }), "the key is not flagged for signing");
    // Nobody but the key itself can bind it: a stranger's certification is none.
    let (stranger, mut victim) = (key(Shape { seed: 2, ..GOOD }), key(GOOD));
    victim.public.details.users.clone_from(&stranger.public.details.users);
    let message = clearsigned(TEXT, &[(&victim, PLAIN)]);
    assert_eq!(refusal(&keyring(&[&victim]), &message, NOW), "the key has no valid self-signature");
}

#[test]
fn every_changed_byte_of_the_text_is_seen() {
    let good = key(GOOD);
    let keys = keyring(&[&good]);
    let message = clearsigned(TEXT, &[(&good, PLAIN)]);
    let start = message.find("Origin").unwrap();
    let end = message.find("-----BEGIN PGP SIGNATURE").unwrap();
    for at in (start..end - 1).step_by(3) {
        let mut bytes = message.clone().into_bytes();
        bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
        assert!(keys.verify_cleartext(&bytes, NOW).is_err(), "byte {at}");
    }
    for end in (0..message.len() - 2).step_by(31) {
        assert!(keys.verify_cleartext(&message.as_bytes()[..end], NOW).is_err(), "cut at {end}");
    }
}

#[test]
fn a_stale_release_is_named_and_can_be_allowed() {
    let good = key(GOOD);
    let message = clearsigned(TEXT, &[(&good, PLAIN)]);
    let late = UnixTime(NOW.0 + 30 * 86_400);
    let check = |now, allow_stale| ReleaseCheck { suite: "trixie", now, allow_stale };
    let keys = keyring(&[&good]);
    let error = Release::verify_inrelease(message.as_bytes(), &keys, &check(late, false)).unwrap_err();
    assert!(matches!(error, ReleaseError::Stale { .. }));
    assert!(error.to_string().contains("`trixie`: it was valid until 2026-11-28T00:53:03Z"), "{error}");
    assert!(Release::verify_inrelease(message.as_bytes(), &keys, &check(late, true)).is_ok());
}

#[test]
fn a_detached_signature() {
    let good = key(GOOD);
    let signature = sign(&good, TEXT, Signing { typ: SignatureType::Binary, ..PLAIN });
    let armor =
        pgp::composed::DetachedSignature::new(signature).to_armored_string(ArmorOptions::default()).unwrap();
    let check = ReleaseCheck { suite: "trixie", now: NOW, allow_stale: false };
    let keys = keyring(&[&good]);
    assert!(Release::verify_detached(TEXT.as_bytes(), armor.as_bytes(), &keys, &check).is_ok());
    let changed = TEXT.replace("Test", "Text");
    assert!(Release::verify_detached(changed.as_bytes(), armor.as_bytes(), &keys, &check).is_err());
    assert!(Release::verify_detached(TEXT.as_bytes(), b"x", &keys, &check).is_err());
}

#[test]
fn gpgv_agrees() {
    let Some(program) = oracle("gpgv") else { return };
    let good = key(GOOD);
    let other = key(Shape { seed: 2, ..GOOD });
    let message = clearsigned(
        "- dashed\n\ntrailing \t\nFrom: x",
        &[(&good, Signing { made: i64::from(MADE) + 5, ..PLAIN })],
    );
    let cases = [
        (message.clone(), &good),
        (message.replace("From", "from"), &good),
        (message.replace("- - dashed", "- dashed"), &good),
        (message.replace("trailing", "trailing  "), &good),
        (message.clone(), &other),
        (clearsigned(TEXT, &[(&other, PLAIN)]), &good),
    ];
    for (message, key) in cases {
        let ours = keyring(&[key]).verify_cleartext(message.as_bytes(), NOW).is_ok();
        assert_eq!(ours, gpgv(&program, key, &message), "{message}");
    }
    assert!(gpgv(&program, &good, &message));
}

#[test]
fn the_pinned_keys_are_those_of_the_table() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../os/keys");
    let table = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let mut rows = 0;
    for row in table.lines().filter_map(|line| line.strip_prefix("| debian-")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let bytes = std::fs::read(folder.join(format!("debian-{}", cells[0]))).unwrap();
        assert_eq!(Keyring::parse([bytes.as_slice()]).unwrap().fingerprints(), [cells[2].replace(' ', "")]);
        rows += 1;
    }
    let files = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(files, rows + 1, "each file of os/keys stands in its README");
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 64, ..Default::default() })]

    /// The fuzz target's body as a property: spoiled messages, keys and plain rubbish.
    #[test]
    fn nothing_spoiled_is_good(cut in 0_usize..600, bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 1..20)) {
        let good = key(GOOD);
        let message = clearsigned(TEXT, &[(&good, PLAIN)]).into_bytes();
        let at = cut.min(message.len());
        let spoiled = [&message[..at], &bytes, &message[at..]].concat();
        let stranger = keyring(&[&key(Shape { seed: 3, ..GOOD })]);
        trust::fuzz::inrelease(&stranger, &spoiled);
        trust::fuzz::inrelease(&stranger, &bytes);
        let public = armored(&good).into_bytes();
        let at = cut.min(public.len());
        let _ = Keyring::parse([[&public[..at], &bytes, &public[at..]].concat().as_slice()]);
    }
}
