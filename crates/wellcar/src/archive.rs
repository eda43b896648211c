//! Reading an archive through its mirrors: the signed Release file of each suite, then the package
//! index that it vouches for. What comes out was signed by a pinned key, for the suite that was asked
//! for, and is as fresh as it says.

use crate::mirror::Mirrors;
use crate::store::{Store, StoreError, Wanted};
use crate::ui::Ui;
use compose::repo::packages::read_xz;
use compose::repo::{LockedSuite, Package, PackagesError, Suite, Suites};
use net::{FetchError, Policy, Url, UrlError};
use sha2::{Digest as _, Sha256};
use std::io;
use thiserror::Error;
use trust::{Digest, Keyring, KeyringError, Release, ReleaseCheck, ReleaseError, UnixTime, Verified};

/// The most bytes of one package index before and after decompression.
const MAX_INDEX: u64 = 1 << 30;

/// What to do about an archive that is not what it should be.
const OTHER: &str = "this is not the archive it should be: try another `--mirror` and `--security-mirror`";

/// Reads a file of `os/` by its path below it.
pub type ReadOs<'a> = &'a dyn Fn(&str) -> io::Result<Vec<u8>>;

/// Why an archive cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// A pinned key cannot be read.
    #[error("failed to read `os/keys/{name}`")]
    KeyFile {
        /// The file.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A pinned key cannot be used.
    #[error("failed to use the keys of suite `{suite}`")]
    Key {
        /// The suite.
        suite: String,
        /// Why.
        #[source]
        source: KeyringError,
    },
    /// A suite's name does not make a URL.
    #[error("failed to make the URL of suite `{suite}`")]
    Url {
        /// The suite.
        suite: String,
        /// Why.
        #[source]
        source: UrlError,
    },
    /// The Release file could not be had.
    #[error("failed to fetch the Release file of suite `{suite}`")]
    Fetch {
        /// The suite.
        suite: String,
        /// Why.
        #[source]
        source: FetchError,
    },
    /// The Release file is not accepted.
    #[error("failed to trust suite `{suite}` of `{url}`")]
    Release {
        /// The suite.
        suite: String,
        /// From where.
        url: Url,
        /// Why.
        #[source]
        source: Box<ReleaseError>,
    },
    /// The Release file is of another origin than the one that is pinned.
    #[error("failed to accept suite `{suite}` of `{url}`: expected origin `{expected}`, found `{found}`")]
    Origin {
        /// The suite.
        suite: String,
        /// From where.
        url: Url,
        /// What is pinned.
        expected: String,
        /// What it says.
        found: String,
    },
    /// The Release file vouches for no such index.
    #[error("failed to find index `{index}` in the Release file of suite `{suite}`")]
    NoIndex {
        /// The suite.
        suite: String,
        /// The index.
        index: String,
    },
    /// The index could not be had, or is not the one that is vouched for.
    #[error("failed to get the package index of suite `{suite}`")]
    Index {
        /// The suite.
        suite: String,
        /// Why.
        #[source]
        source: Box<StoreError>,
    },
    /// The index cannot be read from the cache.
    #[error("failed to read the package index of suite `{suite}`")]
    Read {
        /// The suite.
        suite: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The index is malformed.
    #[error("failed to parse the package index of suite `{suite}`")]
    Packages {
        /// The suite.
        suite: String,
        /// Why.
        #[source]
        source: PackagesError,
    },
    /// The mirror offers an older state than the one that was locked.
    #[error(
        "failed to accept suite `{suite}`: it is of {found}, the lock was made from {locked}: the mirror went back"
    )]
    Older {
        /// The suite.
        suite: String,
        /// The Release file's date.
        found: UnixTime,
        /// The date in the lock.
        locked: UnixTime,
    },
}

impl ArchiveError {
    /// What the user can do, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Release { source, .. } if !matches!(**source, ReleaseError::Stale { .. }) => Some(OTHER.into()),
            Self::Release { .. } | Self::Older { .. } => Some(
                "the mirror is not kept up to date, or somebody holds updates back: try another `--mirror` and \
                 `--security-mirror`; `--allow-stale` takes it as it is"
                    .into(),
            ),
            Self::Origin { .. } => Some(OTHER.into()),
            Self::Fetch { source, .. } if source.is_missing() => {
                Some("a mirror's URL is the folder that holds `dists` and `pool`".into())
            }
            Self::Index { source, .. } => source.hint(),
            _ => None,
        }
    }
}

/// What a reader of archives needs.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// Reads `os/`.
    pub os: ReadOs<'a>,
    /// Where to read from.
    pub mirrors: &'a Mirrors,
    /// What fetches and keeps indices.
    pub store: &'a Store,
    /// The time now.
    pub now: UnixTime,
    /// Take suites whose Valid-Until has passed, or that are older than `not_before`.
    pub allow_stale: bool,
    /// The suites of the present lock: an older state is refused.
    pub not_before: &'a [LockedSuite],
    /// Where progress is shown.
    pub ui: Ui,
}

impl std::fmt::Debug for Reading<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading").field("mirrors", &self.mirrors).finish_non_exhaustive()
    }
}

/// The suites as they are now.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// What is noted in a lock.
    pub suites: Vec<LockedSuite>,
    /// The packages of each suite.
    pub packages: Vec<Vec<Package>>,
}

impl Reading<'_> {
    /// Reads all suites.
    pub fn snapshot(&self, suites: &Suites) -> Result<Snapshot, ArchiveError> {
        let mut snapshot = Snapshot { suites: Vec::new(), packages: Vec::new() };
        let mut indices = Vec::new();
        for suite in &suites.suite {
            let (locked, wanted) = self.release(suite, &suites.architecture)?;
            snapshot.suites.push(locked);
            indices.push(wanted);
        }
        for (suite, (wanted, unpacked)) in suites.suite.iter().zip(&indices) {
            let name = || suite.name.clone();
            let paths = self
                .store
                .fetch(std::slice::from_ref(wanted), &format!("index of {}", suite.name), self.ui)
                .map_err(|source| ArchiveError::Index { suite: name(), source: Box::new(source) })?;
            let mut packages = Vec::new();
            for path in paths {
                let bytes =
                    std::fs::read(&path).map_err(|source| ArchiveError::Read { suite: name(), source })?;
                packages = read_xz(&bytes, *unpacked, &suites.architecture)
                    .map_err(|source| ArchiveError::Packages { suite: name(), source })?;
            }
            snapshot.packages.push(packages);
        }
        Ok(snapshot)
    }

    /// Reads one suite's Release file; gives what a lock notes of it, its index and the index's size
    /// when unpacked.
    fn release(
        &self,
        suite: &Suite,
        architecture: &str,
    ) -> Result<(LockedSuite, (Wanted, u64)), ArchiveError> {
        let name = || suite.name.clone();
        let url = |path: &str| {
            self.mirrors
                .base(suite.archive)
                .join(&format!("dists/{}/{path}", suite.name))
                .map_err(|source| ArchiveError::Url { suite: name(), source })
        };
        let keyring = self.keyring(suite)?;
        let (bytes, release) = self.signed_release(suite, &keyring, &url)?;
        let at = self.mirrors.base(suite.archive).clone();
        if release.origin != suite.origin {
            let (expected, found) = (suite.origin.clone(), release.origin.clone());
            return Err(ArchiveError::Origin { suite: name(), url: at, expected, found });
        }
        let locked = self.not_before.iter().find(|old| old.name == suite.name);
        if let Some(old) = locked.filter(|old| release.date < old.date && !self.allow_stale) {
            return Err(ArchiveError::Older { suite: name(), found: release.date, locked: old.date });
        }
        let plain = format!("{}/binary-{architecture}/Packages", suite.component);
        let index = format!("{plain}.xz");
        let entry = |path: &str| {
            release
                .sha256
                .get(path)
                .filter(|entry| entry.size <= MAX_INDEX)
                .copied()
                .ok_or_else(|| ArchiveError::NoIndex { suite: name(), index: path.to_owned() })
        };
        let compressed = entry(&index)?;
        let unpacked = entry(&plain)?.size;
        let mut urls = Vec::new();
        if release.by_hash {
            let folder = plain.strip_suffix("/Packages").unwrap_or_default();
            urls.push(url(&format!("{folder}/by-hash/SHA256/{}", compressed.sha256))?);
        }
        urls.push(url(&index)?);
        let wanted = Wanted {
            name: format!("{}/{index}", suite.name),
            size: compressed.size,
            sha256: compressed.sha256,
            urls,
        };
        let locked = LockedSuite {
            name: name(),
            archive: suite.archive,
            date: release.date,
            inrelease_sha256: Digest(Sha256::digest(&bytes).into()),
        };
        Ok((locked, (wanted, unpacked)))
    }

    /// `InRelease`, else `Release` with `Release.gpg`.
    fn signed_release(
        &self,
        suite: &Suite,
        keyring: &Keyring,
        url: &dyn Fn(&str) -> Result<Url, ArchiveError>,
    ) -> Result<(Vec<u8>, Verified<Release>), ArchiveError> {
        let check = ReleaseCheck { suite: &suite.name, now: self.now, allow_stale: self.allow_stale };
        let policy = Policy { max_bytes: trust::cleartext::MAX_BYTES as u64, ..self.store.policy().clone() };
        let fetch = |at: &Url| {
            self.store
                .client()
                .fetch(at, &policy)
                .map_err(|source| ArchiveError::Fetch { suite: suite.name.clone(), source })
        };
        let refused = |at: Url| {
            let suite = suite.name.clone();
            move |source| ArchiveError::Release { suite, url: at, source: Box::new(source) }
        };
        let inrelease = url("InRelease")?;
        match fetch(&inrelease) {
            Ok(bytes) => {
                let release =
                    Release::verify_inrelease(&bytes, keyring, &check).map_err(refused(inrelease))?;
                Ok((bytes, release))
            }
            Err(ArchiveError::Fetch { source, .. }) if source.is_missing() => {
                let plain = url("Release")?;
                let bytes = fetch(&plain)?;
                let signature = fetch(&url("Release.gpg")?)?;
                let release =
                    Release::verify_detached(&bytes, &signature, keyring, &check).map_err(refused(plain))?;
                Ok((bytes, release))
            }
            Err(error) => Err(error),
        }
    }

    fn keyring(&self, suite: &Suite) -> Result<Keyring, ArchiveError> {
        let files = suite
            .keys
            .iter()
            .map(|name| {
                (self.os)(&format!("keys/{name}"))
                    .map_err(|source| ArchiveError::KeyFile { name: name.clone(), source })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Keyring::parse(files.iter().map(Vec::as_slice))
            .map_err(|source| ArchiveError::Key { suite: suite.name.clone(), source })
    }
}
