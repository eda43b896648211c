//! Relations between packages (deb-control(5)): `a (>= 1), b | c:any, d (= 2)`.

use super::version::{Version, VersionError};
use std::fmt;
use thiserror::Error;

/// The most bytes that one field of relations may have.
pub const MAX_BYTES: usize = 256 << 10;

/// Why a field of relations cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RelationError {
    /// The text is not of this syntax.
    #[error("failed to read relation `{text}`: {what}")]
    Syntax {
        /// The relation, shortened.
        text: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A version in it is malformed.
    #[error("failed to read relation `{text}`")]
    Version {
        /// The relation, shortened.
        text: String,
        /// Why.
        #[source]
        source: VersionError,
    },
}

/// How versions are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `<<`
    Earlier,
    /// `<=`
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=`
    LaterOrEqual,
    /// `>>`
    Later,
}

impl Operator {
    /// Whether `left OP right` holds.
    pub fn holds(self, left: &Version, right: &Version) -> bool {
        match self {
            Self::Earlier => left < right,
            Self::EarlierOrEqual => left <= right,
            Self::Equal => left == right,
            Self::LaterOrEqual => left >= right,
            Self::Later => left > right,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Earlier => "<<",
            Self::EarlierOrEqual => "<=",
            Self::Equal => "=",
            Self::LaterOrEqual => ">=",
            Self::Later => ">>",
        }
    }
}

/// One relation to one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// The package's name, real or virtual.
    pub name: String,
    /// `any` or an architecture after a colon.
    pub architecture: Option<String>,
    /// What its version must satisfy.
    pub constraint: Option<(Operator, Version)>,
}

impl Relation {
    /// Whether a package of `version` satisfies the constraint.
    pub fn accepts(&self, version: &Version) -> bool {
        self.constraint.as_ref().is_none_or(|(operator, wanted)| operator.holds(version, wanted))
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(architecture) = &self.architecture {
            write!(f, ":{architecture}")?;
        }
        if let Some((operator, version)) = &self.constraint {
            write!(f, " ({} {version})", operator.as_str())?;
        }
        Ok(())
    }
}

/// Whether a text can be a package's name (Debian policy 5.6.7, with the upper case that old
/// virtual packages have).
pub fn is_name(text: &str) -> bool {
    (2..=128).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

/// Reads a field: groups of which all must hold, each of alternatives of which one must.
pub fn parse(text: &str) -> Result<Vec<Vec<Relation>>, RelationError> {
    if text.len() > MAX_BYTES {
        return Err(fail(text, "expected at most 262144 bytes"));
    }
    text.split(',')
        .map(str::trim)
        .filter(|group| !group.is_empty())
        .map(|group| group.split('|').map(|relation| parse_one(relation.trim())).collect())
        .collect()
}

fn fail(text: &str, what: &'static str) -> RelationError {
    RelationError::Syntax { text: text.chars().take(80).collect(), what }
}

fn parse_one(text: &str) -> Result<Relation, RelationError> {
    let end = text.find(|c: char| c == '(' || c.is_ascii_whitespace()).unwrap_or(text.len());
    let (head, rest) = text.split_at(end);
    let (name, architecture) = match head.split_once(':') {
        None => (head, None),
        Some((name, architecture)) => (name, Some(architecture)),
    };
    if !is_name(name) {
        return Err(fail(text, "expected a package name"));
    }
    if architecture
        .is_some_and(|a| a.is_empty() || !a.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
    {
        return Err(fail(text, "expected an architecture after the colon"));
    }
    let rest = rest.trim();
    let constraint = if rest.is_empty() {
        None
    } else {
        let inner = rest
            .strip_prefix('(')
            .and_then(|rest| rest.strip_suffix(')'))
            .ok_or_else(|| fail(text, "expected `(OPERATOR VERSION)` after the name"))?
            .trim();
        let (operator, version) = split_operator(inner).ok_or_else(|| fail(text, "expected an operator"))?;
        let version = Version::parse(version.trim())
            .map_err(|source| RelationError::Version { text: text.chars().take(80).collect(), source })?;
        Some((operator, version))
    };
    Ok(Relation { name: name.to_owned(), architecture: architecture.map(str::to_owned), constraint })
}

fn split_operator(text: &str) -> Option<(Operator, &str)> {
    // The single signs are those of old control files, where they mean "or equal".
    let known = [
        ("<<", Operator::Earlier),
        ("<=", Operator::EarlierOrEqual),
        (">=", Operator::LaterOrEqual),
        (">>", Operator::Later),
        ("=", Operator::Equal),
        ("<", Operator::EarlierOrEqual),
        (">", Operator::LaterOrEqual),
    ];
    known.iter().find_map(|(sign, operator)| text.strip_prefix(sign).map(|rest| (*operator, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        let text = "libc6 (>= 2.38), python3:any | awk, aa(=1), bb ( << 2:1.0-1 ),";
        let groups = parse(text).unwrap();
        let back: Vec<Vec<String>> =
            groups.iter().map(|group| group.iter().map(ToString::to_string).collect()).collect();
        assert_eq!(back[..2], [vec!["libc6 (>= 2.38)"], vec!["python3:any", "awk"]]);
        assert!(is_name("g++") && !is_name("a") && !is_name("-a") && !is_name("a_b"));
        assert_eq!(parse("").unwrap(), Vec::<Vec<Relation>>::new());
    }

    #[test]
    fn malformed() {
        for bad in
            ["aa |", "| aa", "aa (1)", "aa (>= 1", "aa >= 1", "aa (>= x)", "aa: (>= 1)", "aa [amd64]", "Ä"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_read_reads_back(text in "[a-c0-1(:|,<>=. )]{0,40}") {
            if let Ok(groups) = parse(&text) {
                let written = groups
                    .iter()
                    .map(|group| group.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "))
                    .collect::<Vec<_>>()
                    .join(", ");
                proptest::prop_assert_eq!(parse(&written).unwrap(), groups);
            }
        }
    }
}
