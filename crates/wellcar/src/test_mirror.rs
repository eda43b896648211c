//! A mirror in a folder, signed by a key made here: what the tests of locking and fetching read.

use crate::mirror::Mirrors;
use crate::store::Store;
use compose::repo::Archive;
use net::{Client, Patience, Policy, Reply, Request, Transport, TransportError, Url};
use pgp::composed::{ArmorOptions, CleartextSignedMessage, KeyType, SecretKeyParamsBuilder, SignedSecretKey};
use pgp::types::Password;
use rand::SeedableRng as _;
use sha2::{Digest as _, Sha256};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use trust::UnixTime;

/// A transport for clients that read files alone.
struct NoNetwork;

impl Transport for NoNetwork {
    fn get(&self, request: &Request<'_>) -> Result<Reply, TransportError> {
        Err(TransportError::Permanent(format!("no network in this test: {}", request.url)))
    }
}

/// One package of the mirror.
#[derive(Clone)]
pub struct TestPackage {
    pub name: &'static str,
    pub version: &'static str,
    pub more: &'static str,
}

/// A mirror.
pub struct TestMirror {
    pub folder: tempfile::TempDir,
    pub key: SignedSecretKey,
    pub now: UnixTime,
    /// What the Release files name as `Origin`.
    pub origin: &'static str,
    /// The Release files' date, in seconds before now.
    pub age: i64,
}

pub fn key(seed: u64) -> SignedSecretKey {
    SecretKeyParamsBuilder::default()
        .key_type(KeyType::Ed25519Legacy)
        .can_sign(true)
        .can_certify(true)
        .primary_user_id("Test <test@example.org>".into())
        .build()
        .unwrap()
        .generate(rand::rngs::StdRng::seed_from_u64(seed))
        .unwrap()
}

pub fn armored(key: &SignedSecretKey) -> Vec<u8> {
    key.to_public_key().to_armored_bytes(ArmorOptions::default()).unwrap()
}

pub fn sign(key: &SignedSecretKey, text: &str) -> String {
    let rng = rand::rngs::StdRng::seed_from_u64(9);
    CleartextSignedMessage::sign(rng, text, &key.primary_key, &Password::empty())
        .unwrap()
        .to_armored_string(ArmorOptions::default())
        .unwrap()
}

/// A date as Release files write it.
fn release_date(time: UnixTime) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = time.to_string();
    let month: usize = text[5..7].parse().unwrap();
    format!("Mon, {} {} {} {} UTC", &text[8..10], MONTHS[month - 1], &text[..4], &text[11..19])
}

pub fn hex(bytes: &[u8]) -> String {
    trust::Digest(Sha256::digest(bytes).into()).to_string()
}

impl TestMirror {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            key: key(1),
            now: UnixTime(crate::cmd::image::lock::now().0 + 60),
            origin: "Debian",
            age: 3600,
        }
    }

    pub fn root(&self, archive: Archive) -> PathBuf {
        self.folder.path().join(archive.as_str())
    }

    pub fn mirrors(&self) -> Mirrors {
        let url = |archive| Url::parse(&format!("file://{}", self.root(archive).display())).unwrap();
        Mirrors { main: url(Archive::Main), security: url(Archive::Security) }
    }

    /// Writes a suite: its packages, index and signed Release file.
    pub fn publish(&self, suite: &str, archive: Archive, packages: &[TestPackage]) {
        let root = self.root(archive);
        let mut index = String::new();
        for package in packages {
            let path = format!("pool/main/{}_{}_amd64.deb", package.name, package.version);
            let bytes = self.content(package);
            write(&root.join(&path), &bytes);
            index += &format!(
                "Package: {}\nVersion: {}\nArchitecture: amd64\nFilename: {path}\nSize: {}\nSHA256: {}\n{}\n",
                package.name,
                package.version,
                bytes.len(),
                hex(&bytes),
                package.more
            );
        }
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        encoder.write_all(index.as_bytes()).unwrap();
        let compressed = encoder.finish().unwrap();
        let dists = root.join("dists").join(suite);
        write(&dists.join("main/binary-amd64/Packages.xz"), &compressed);
        let date = UnixTime(self.now.0 - self.age);
        let text = format!(
            "Origin: {}\nSuite: stable\nCodename: {suite}\nDate: {}\nValid-Until: {}\nComponents: main\n\
             Architectures: amd64\nSHA256:\n {} {} main/binary-amd64/Packages\n {} {} main/binary-amd64/Packages.xz",
            self.origin,
            release_date(date),
            release_date(UnixTime(date.0 + 7 * 86_400)),
            hex(index.as_bytes()),
            index.len(),
            hex(&compressed),
            compressed.len(),
        );
        write(&dists.join("InRelease"), sign(&self.key, &text).as_bytes());
    }

    /// The bytes of a package's file.
    pub fn content(&self, package: &TestPackage) -> Vec<u8> {
        format!("{} {} ", package.name, package.version).repeat(5000).into_bytes()
    }

    /// `os/` for this mirror, asking for `packages`.
    pub fn os(&self, packages: &str) -> PathBuf {
        let os = self.folder.path().join("os");
        let suite = |name: &str, archive: Archive| {
            format!(
                "[[suite]]\nname='{name}'\narchive='{archive}'\norigin='Debian'\ncomponent='main'\nkeys=['test.asc']\n"
            )
        };
        let suites = [suite("trixie", Archive::Main), suite("trixie-security", Archive::Security)].concat();
        write(&os.join("suites.toml"), format!("architecture='amd64'\n{suites}").as_bytes());
        write(&os.join("packages.toml"), format!("packages=[{packages}]").as_bytes());
        write(&os.join("tools.toml"), b"[sets.mkfs]\npackages=['tool']\n");
        write(&os.join("keys/test.asc"), &armored(&self.key));
        os
    }

    pub fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    pub fn store(&self) -> Store {
        let policy =
            Policy { allow_file: true, attempts: 2, backoff: Duration::from_millis(1), ..Policy::default() };
        Store::open(&self.cache(), Client::new(NoNetwork, Patience::default()), policy).unwrap()
    }
}

pub fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// Every file below a folder, by its path.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}
