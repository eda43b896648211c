//! An archive's Release file: what it is called, when it was made, how long it is good, and the
//! size and SHA-256 of every index (Debian's repository format, wiki page `DebianRepository/Format`).

use crate::{Keyring, SignatureError, UnixTime, Verified};
use std::collections::BTreeMap;
use std::fmt;
use thiserror::Error;

/// The most indices one Release file may list (today's largest lists about 1,500).
pub const MAX_ENTRIES: usize = 100_000;
/// How far a Release's date may be ahead of our clock, in seconds.
const CLOCK_SKEW: i64 = 24 * 3600;

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Reads 64 hex digits, lower case as every index writes them.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let nibble = |c: u8| match c {
                b'0'..=b'9' => Some(c - b'0'),
                b'a'..=b'f' => Some(c - b'a' + 10),
                _ => None,
            };
            *byte = nibble(*pair.first()?)? << 4 | nibble(*pair.get(1)?)?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// One index that a Release file vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexEntry {
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the file.
    pub sha256: Digest,
}

/// A parsed Release file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// `Origin`, such as `Debian`; empty when it names none.
    pub origin: String,
    /// `Suite`, such as `stable-security`.
    pub suite: String,
    /// `Codename`, such as `trixie-security`.
    pub codename: String,
    /// `Components`.
    pub components: Vec<String>,
    /// `Architectures`.
    pub architectures: Vec<String>,
    /// When it was made.
    pub date: UnixTime,
    /// Until when it may be used; the main suite of a stable release names no end.
    pub valid_until: Option<UnixTime>,
    /// Whether indices can be fetched by their hash.
    pub by_hash: bool,
    /// The indices, by their path below the suite's directory.
    pub sha256: BTreeMap<String, IndexEntry>,
}

/// What a Release file is expected to be.
#[derive(Debug, Clone, Copy)]
pub struct ReleaseCheck<'a> {
    /// The name the suite was asked for by: its codename (`trixie-security`) or suite name.
    pub suite: &'a str,
    /// The time now.
    pub now: UnixTime,
    /// Take a Release whose Valid-Until has passed.
    pub allow_stale: bool,
}

/// Why a Release file is not accepted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// The signature does not count.
    #[error("failed to verify the Release file of suite `{suite}`")]
    Signature {
        /// The suite.
        suite: String,
        /// Why.
        #[source]
        source: SignatureError,
    },
    /// A field is missing or malformed.
    #[error("failed to parse the Release file of suite `{suite}`: {what}")]
    Parse {
        /// The suite.
        suite: String,
        /// Which field, and what was found.
        what: String,
    },
    /// It is signed, but for another suite.
    #[error("failed to accept the Release file of suite `{expected}`: it is of suite `{found}`")]
    OtherSuite {
        /// The suite that was asked for.
        expected: String,
        /// The suite it says it is of.
        found: String,
    },
    /// Valid-Until has passed: the mirror is stale, or frozen by an attacker.
    #[error(
        "failed to accept the Release file of suite `{suite}`: it was valid until {until}, it is {now} now"
    )]
    Stale {
        /// The suite.
        suite: String,
        /// Its Valid-Until.
        until: UnixTime,
        /// The time now.
        now: UnixTime,
    },
    /// Its date is more than a day ahead.
    #[error(
        "failed to accept the Release file of suite `{suite}`: its date {date} is in the future, it is {now} now"
    )]
    FromTheFuture {
        /// The suite.
        suite: String,
        /// Its Date.
        date: UnixTime,
        /// The time now.
        now: UnixTime,
    },
}

impl Release {
    /// Checks signature, suite and dates of an `InRelease` file, and parses it.
    pub fn verify_inrelease(
        bytes: &[u8],
        keyring: &Keyring,
        check: &ReleaseCheck<'_>,
    ) -> Result<Verified<Self>, ReleaseError> {
        let text = keyring.verify_cleartext(bytes, check.now).map_err(|source| signature(check, source))?;
        text.try_map(|text| Self::accept(&text, check))
    }

    /// The same for a `Release` file with its detached `Release.gpg`.
    pub fn verify_detached(
        release: &[u8],
        armor: &[u8],
        keyring: &Keyring,
        check: &ReleaseCheck<'_>,
    ) -> Result<Verified<Self>, ReleaseError> {
        let text =
            keyring.verify_detached(release, armor, check.now).map_err(|source| signature(check, source))?;
        text.try_map(|text| Self::accept(&text, check))
    }

    fn accept(text: &str, check: &ReleaseCheck<'_>) -> Result<Self, ReleaseError> {
        let suite = check.suite.to_owned();
        let release = Self::parse(text).map_err(|what| ReleaseError::Parse { suite: suite.clone(), what })?;
        if release.codename != suite && release.suite != suite {
            return Err(ReleaseError::OtherSuite { expected: suite, found: release.codename });
        }
        if release.date.since(check.now) > CLOCK_SKEW {
            return Err(ReleaseError::FromTheFuture { suite, date: release.date, now: check.now });
        }
        match release.valid_until {
            Some(until) if until <= check.now && !check.allow_stale => {
                Err(ReleaseError::Stale { suite, until, now: check.now })
            }
            _ => Ok(release),
        }
    }

    /// Parses the text of a Release file, without judging it. The error says which field is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut fields: BTreeMap<String, &str> = BTreeMap::new();
        let mut sha256 = BTreeMap::new();
        let mut section = String::new();
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            if line.starts_with([' ', '\t']) {
                if section == "sha256" {
                    let (path, entry) =
                        parse_entry(line).ok_or_else(|| format!("line {number} is not an index entry"))?;
                    if sha256.len() >= MAX_ENTRIES {
                        return Err(format!("more than {MAX_ENTRIES} indices"));
                    }
                    if sha256.insert(path.to_owned(), entry).is_some_and(|old| old != entry) {
                        return Err(format!("line {number} contradicts an earlier entry of `{path}`"));
                    }
                }
                continue;
            }
            let (name, value) =
                line.split_once(':').ok_or_else(|| format!("line {number} is not a field"))?;
            section = name.to_ascii_lowercase();
            if fields.insert(section.clone(), value.trim()).is_some() {
                return Err(format!("field `{name}` stands twice, again on line {number}"));
            }
        }
        let field = |name: &str| fields.get(name).copied().unwrap_or_default();
        let words = |name: &str| field(name).split_ascii_whitespace().map(str::to_owned).collect();
        let date = |name: &str| {
            UnixTime::parse_release_date(field(name))
                .ok_or_else(|| format!("field `{name}` is not a date: `{}`", field(name)))
        };
        if sha256.is_empty() {
            return Err("field `SHA256` is missing or empty".into());
        }
        if field("codename").is_empty() && field("suite").is_empty() {
            return Err("fields `Codename` and `Suite` are missing".into());
        }
        Ok(Self {
            origin: field("origin").into(),
            suite: field("suite").into(),
            codename: field("codename").into(),
            components: words("components"),
            architectures: words("architectures"),
            date: date("date")?,
            valid_until: fields.contains_key("valid-until").then(|| date("valid-until")).transpose()?,
            by_hash: field("acquire-by-hash") == "yes",
            sha256,
        })
    }
}

fn signature(check: &ReleaseCheck<'_>, source: SignatureError) -> ReleaseError {
    ReleaseError::Signature { suite: check.suite.to_owned(), source }
}

/// One line ` <sha256> <size> <path>`. Paths that leave the suite's directory are refused.
fn parse_entry(line: &str) -> Option<(&str, IndexEntry)> {
    let mut words = line.split_ascii_whitespace();
    let sha256 = Digest::parse(words.next()?)?;
    let size = words.next()?;
    let path = words.next()?;
    if words.next().is_some() || size.starts_with('+') {
        return None;
    }
    let inside = !path.starts_with('/') && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    inside.then_some(())?;
    Some((path, IndexEntry { size: size.parse().ok()?, sha256 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Origin: Debian\nSuite: stable-security\nCodename: trixie-security\n\
        Date: Sat, 21 Nov 2026 00:53:03 UTC\nValid-Until: Sat, 28 Nov 2026 00:53:03 UTC\n\
        Acquire-By-Hash: yes\nComponents: main contrib\nSHA256:\n \
        aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 12 main/binary-amd64/Packages.xz\n";

    fn check(now: i64) -> ReleaseCheck<'static> {
        ReleaseCheck { suite: "trixie-security", now: UnixTime(now), allow_stale: false }
    }

    #[test]
    fn parses_and_judges() {
        let release = Release::accept(TEXT, &check(1_795_222_383)).unwrap();
        assert_eq!(release.components, ["main", "contrib"]);
        assert!(release.by_hash);
        assert_eq!(release.sha256["main/binary-amd64/Packages.xz"].size, 12);
        assert_eq!(
            Release::accept(TEXT, &check(1_795_827_183)).unwrap_err().to_string(),
            "failed to accept the Release file of suite `trixie-security`: it was valid until \
             2026-11-28T00:53:03Z, it is 2026-11-28T00:53:03Z now"
        );
        assert!(Release::accept(TEXT, &ReleaseCheck { allow_stale: true, ..check(1_900_000_000) }).is_ok());
        assert!(matches!(
            Release::accept(TEXT, &check(1_700_000_000)),
            Err(ReleaseError::FromTheFuture { .. })
        ));
        assert!(matches!(
            Release::accept(TEXT, &ReleaseCheck { suite: "trixie", ..check(1_795_222_383) }),
            Err(ReleaseError::OtherSuite { .. })
        ));
    }

    #[test]
    fn refuses_what_is_malformed() {
        for (from, to) in [
            ("main/binary", "../binary"),
            ("main/binary", "/binary"),
            (" 12 ", " x "),
            ("aaaa", "AAAA"),
            ("SHA256", "SHA1"),
            ("Date: Sat,", "Date: "),
            ("Valid-Until: Sat,", "Valid-Until: "),
            ("Origin: Debian", "Origin"),
            ("Origin: Debian", "Suite: x"),
        ] {
            assert!(Release::parse(&TEXT.replacen(from, to, 1)).is_err(), "{from} -> {to}");
        }
    }
}
