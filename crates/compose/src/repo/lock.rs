//! The lock file: every package of a closure by version, size, SHA-256 and place, and the Release
//! files it was made from. Written with stable bytes, one field a line, so that a diff is readable.

use super::packages::is_pool_path;
use super::relation::is_name;
use super::solve::Solution;
use super::spec::{Archive, Suite};
use super::version::Version;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use thiserror::Error;
use trust::{Digest, UnixTime};

/// The format that is written and read.
pub const FORMAT: u32 = 1;
/// The most bytes of a lock file.
pub const MAX_BYTES: usize = 16 << 20;

/// Why a lock file cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LockError {
    /// It is not TOML of this shape.
    #[error("failed to parse the lock file")]
    Parse(#[source] Box<toml::de::Error>),
    /// More than [`MAX_BYTES`].
    #[error("failed to read the lock file: expected at most {MAX_BYTES} bytes, found {0}")]
    TooLarge(usize),
    /// Made by another version of this program.
    #[error("failed to read the lock file: expected format {FORMAT}, found {0}")]
    Format(u32),
    /// A value is malformed.
    #[error("failed to read the lock file: `{field}` of `{name}` is malformed: `{value}`")]
    Value {
        /// The package or suite.
        name: String,
        /// The field.
        field: &'static str,
        /// What was found.
        value: String,
    },
    /// The packages are not sorted by name, or one stands twice.
    #[error("failed to read the lock file: package `{0}` stands twice or out of order")]
    Order(String),
}

/// One Release file that a lock was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedSuite {
    /// The suite's codename.
    pub name: String,
    /// The archive it lies in.
    pub archive: Archive,
    /// The Release file's date.
    pub date: UnixTime,
    /// SHA-256 of the `InRelease` file.
    pub inrelease_sha256: Digest,
}

/// One pinned package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The source package's name.
    pub source: String,
    /// The source package's version.
    pub source_version: String,
    /// `amd64` or `all`.
    pub architecture: String,
    /// The archive it is fetched from.
    pub archive: Archive,
    /// The suite it was found in.
    pub suite: String,
    /// Where it lies below the archive's root.
    pub path: String,
    /// Bytes of the file.
    pub size: u64,
    /// SHA-256 of the file.
    pub sha256: Digest,
    /// KiB that it takes when unpacked, as the package says.
    pub installed_size_kib: u64,
    /// The package that first asked for it, or the list it stands in.
    pub why: String,
    /// The sets it belongs to; empty where the lock has only one.
    pub sets: BTreeSet<String>,
}

/// A lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// The Debian architecture.
    pub architecture: String,
    /// The Release files it was made from.
    pub suites: Vec<LockedSuite>,
    /// The packages, sorted by name.
    pub packages: Vec<LockedPackage>,
}

/// What changed in one package between two locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The package.
    pub name: String,
    /// The old version; `None` for a new package.
    pub old: Option<String>,
    /// The new version; `None` for one that is gone.
    pub new: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawLock {
    format: u32,
    architecture: String,
    #[serde(default)]
    suite: Vec<RawSuite>,
    #[serde(default)]
    package: Vec<RawPackage>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawSuite {
    name: String,
    archive: Archive,
    date: String,
    inrelease_sha256: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawPackage {
    name: String,
    version: String,
    source: String,
    source_version: String,
    architecture: String,
    archive: Archive,
    suite: String,
    path: String,
    size: u64,
    sha256: String,
    installed_size_kib: u64,
    why: String,
    #[serde(default)]
    sets: BTreeSet<String>,
}

impl LockedPackage {
    /// The version as a value that can be compared; locked versions were read once already.
    pub fn parsed_version(&self) -> Option<Version> {
        Version::parse(&self.version).ok()
    }

    /// The file's name in the cache and in messages.
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

impl Lock {
    /// Makes a lock of one closure or several, each with its name. Closures of one universe agree on
    /// versions, so that a package of two sets stands once.
    pub fn new<'a>(
        architecture: &str,
        suites: Vec<LockedSuite>,
        specs: &[Suite],
        solutions: impl IntoIterator<Item = (Option<&'a str>, &'a Solution<'a>)>,
    ) -> Self {
        let mut packages: BTreeMap<String, LockedPackage> = BTreeMap::new();
        for (set, solution) in solutions {
            for (name, choice) in &solution.choices {
                let suite = specs.get(choice.suite);
                let package = choice.package;
                let entry = packages.entry(name.clone()).or_insert_with(|| LockedPackage {
                    name: name.clone(),
                    version: package.version.to_string(),
                    source: package.source.clone(),
                    source_version: package.source_version.clone(),
                    architecture: package.architecture.clone(),
                    archive: suite.map_or(Archive::Main, |suite| suite.archive),
                    suite: suite.map_or_else(String::new, |suite| suite.name.clone()),
                    path: package.path.clone(),
                    size: package.size,
                    sha256: package.sha256,
                    installed_size_kib: package.installed_size_kib,
                    why: choice.why.clone(),
                    sets: BTreeSet::new(),
                });
                entry.sets.extend(set.map(str::to_owned));
            }
        }
        Self { architecture: architecture.to_owned(), suites, packages: packages.into_values().collect() }
    }

    /// Reads a lock file.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        if text.len() > MAX_BYTES {
            return Err(LockError::TooLarge(text.len()));
        }
        let raw: RawLock = toml::from_str(text).map_err(|source| LockError::Parse(Box::new(source)))?;
        if raw.format != FORMAT {
            return Err(LockError::Format(raw.format));
        }
        let mut suites = Vec::new();
        for suite in raw.suite {
            let date = UnixTime::parse_rfc3339(&suite.date)
                .ok_or_else(|| value(&suite.name, "date", &suite.date))?;
            let inrelease_sha256 = Digest::parse(&suite.inrelease_sha256)
                .ok_or_else(|| value(&suite.name, "inrelease-sha256", &suite.inrelease_sha256))?;
            suites.push(LockedSuite { name: suite.name, archive: suite.archive, date, inrelease_sha256 });
        }
        let mut packages: Vec<LockedPackage> = Vec::new();
        for raw in raw.package {
            let package = raw.check()?;
            if packages.last().is_some_and(|last| last.name >= package.name) {
                return Err(LockError::Order(package.name));
            }
            packages.push(package);
        }
        Ok(Self { architecture: raw.architecture, suites, packages })
    }

    /// The package of this name.
    pub fn get(&self, name: &str) -> Option<&LockedPackage> {
        self.packages
            .binary_search_by(|p| p.name.as_str().cmp(name))
            .ok()
            .and_then(|at| self.packages.get(at))
    }

    /// The packages of one closure.
    pub fn set(&self, set: &str) -> Vec<LockedPackage> {
        self.packages.iter().filter(|package| package.sets.contains(set)).cloned().collect()
    }

    /// What changed from `old` to here, by name.
    pub fn changes_since(&self, old: &Self) -> Vec<Change> {
        let names: BTreeSet<&str> =
            self.packages.iter().chain(&old.packages).map(|package| package.name.as_str()).collect();
        let version = |lock: &Self, name: &str| lock.get(name).map(|package| package.version.clone());
        names
            .into_iter()
            .map(|name| Change { name: name.to_owned(), old: version(old, name), new: version(self, name) })
            .filter(|change| change.old != change.new)
            .collect()
    }

    /// The lock file's text: the same lock gives the same bytes.
    pub fn to_toml(&self) -> String {
        let mut out =
            String::from("# Written by `wellcar image lock`; edit packages.toml or tools.toml instead.\n");
        let line = |out: &mut String, key: &str, value: &str| {
            let _ = writeln!(out, "{key} = {}", quote(value));
        };
        let _ = writeln!(out, "format = {FORMAT}");
        line(&mut out, "architecture", &self.architecture);
        for suite in &self.suites {
            out.push_str("\n[[suite]]\n");
            line(&mut out, "name", &suite.name);
            line(&mut out, "archive", suite.archive.as_str());
            line(&mut out, "date", &suite.date.to_string());
            line(&mut out, "inrelease-sha256", &suite.inrelease_sha256.to_string());
        }
        for package in &self.packages {
            out.push_str("\n[[package]]\n");
            line(&mut out, "name", &package.name);
            line(&mut out, "version", &package.version);
            line(&mut out, "source", &package.source);
            line(&mut out, "source-version", &package.source_version);
            line(&mut out, "architecture", &package.architecture);
            line(&mut out, "archive", package.archive.as_str());
            line(&mut out, "suite", &package.suite);
            line(&mut out, "path", &package.path);
            let _ = writeln!(out, "size = {}", package.size);
            line(&mut out, "sha256", &package.sha256.to_string());
            let _ = writeln!(out, "installed-size-kib = {}", package.installed_size_kib);
            line(&mut out, "why", &package.why);
            if !package.sets.is_empty() {
                let sets: Vec<String> = package.sets.iter().map(|set| quote(set)).collect();
                let _ = writeln!(out, "sets = [{}]", sets.join(", "));
            }
        }
        out
    }
}

/// A TOML basic string.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn value(name: &str, field: &'static str, value: &str) -> LockError {
    LockError::Value { name: name.to_owned(), field, value: value.chars().take(80).collect() }
}

impl RawPackage {
    fn check(self) -> Result<LockedPackage, LockError> {
        let bad = |field, text: &str| Err(value(&self.name, field, text));
        if !is_name(&self.name) {
            return bad("name", &self.name);
        }
        if Version::parse(&self.version).is_err() {
            return bad("version", &self.version);
        }
        if !is_pool_path(&self.path) {
            return bad("path", &self.path);
        }
        let Some(sha256) = Digest::parse(&self.sha256) else { return bad("sha256", &self.sha256) };
        Ok(LockedPackage {
            name: self.name,
            version: self.version,
            source: self.source,
            source_version: self.source_version,
            architecture: self.architecture,
            archive: self.archive,
            suite: self.suite,
            path: self.path,
            size: self.size,
            sha256,
            installed_size_kib: self.installed_size_kib,
            why: self.why,
            sets: self.sets,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str) -> LockedPackage {
        LockedPackage {
            name: name.into(),
            version: version.into(),
            source: "src".into(),
            source_version: "1".into(),
            architecture: "amd64".into(),
            archive: Archive::Security,
            suite: "trixie-security".into(),
            path: format!("pool/updates/main/{name}.deb"),
            size: 12,
            sha256: Digest([7; 32]),
            installed_size_kib: 30,
            why: "packages.toml".into(),
            sets: BTreeSet::from(["qemu".to_owned()]),
        }
    }

    fn lock(packages: Vec<LockedPackage>) -> Lock {
        let suite = LockedSuite {
            name: "trixie".into(),
            archive: Archive::Main,
            date: UnixTime(1_795_222_383),
            inrelease_sha256: Digest([1; 32]),
        };
        Lock { architecture: "amd64".into(), suites: vec![suite], packages }
    }

    #[test]
    fn reads_what_it_writes() {
        let lock = lock(vec![package("aa", "1:1.0~rc1-1+b2"), package("bb", "2")]);
        let text = lock.to_toml();
        assert_eq!(Lock::parse(&text).unwrap(), lock);
        assert_eq!(Lock::parse(&text).unwrap().to_toml(), text);
        assert_eq!(lock.set("qemu").len(), 2);
        assert_eq!(lock.get("bb").unwrap().version, "2");
    }

    #[test]
    fn refuses_malformed_locks() {
        let text = lock(vec![package("aa", "1"), package("bb", "2")]).to_toml();
        for (from, to) in [
            ("format = 1", "format = 2"),
            ("pool/", "../"),
            ("\"aa\"", "\"cc\""),
            ("\"bb\"", "\"aa\""),
            ("0707", "07"),
            ("size = 12", "size = -1"),
            ("why", "who"),
            ("2026-11", "2026-13"),
        ] {
            assert!(Lock::parse(&text.replacen(from, to, 1)).is_err(), "{from} -> {to}");
        }
    }

    #[test]
    fn changes_name_both_versions() {
        let old = lock(vec![package("aa", "1"), package("bb", "2")]);
        let new = lock(vec![package("aa", "1.1"), package("cc", "3")]);
        let changes: Vec<_> = new
            .changes_since(&old)
            .into_iter()
            .map(|c| (c.name, c.old.unwrap_or_default(), c.new.unwrap_or_default()))
            .collect();
        let expected = [("aa", "1", "1.1"), ("bb", "2", ""), ("cc", "", "3")];
        assert_eq!(changes, expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())));
    }
}
