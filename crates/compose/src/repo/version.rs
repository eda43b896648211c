//! Debian package versions and their order (deb-version(7)): `[epoch:]upstream[-revision]`.

use std::cmp::Ordering;
use std::fmt;
use thiserror::Error;

/// The longest version that is read.
const MAX_LENGTH: usize = 512;

/// Why a text is not a version.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("failed to read version `{text}`: {what}")]
pub struct VersionError {
    /// The text, shortened.
    pub text: String,
    /// What is wrong with it.
    pub what: &'static str,
}

/// A version. Equal versions can have different texts (`1.0` and `0:1.00`): `==` and the order are
/// those of dpkg, not of the text.
#[derive(Debug, Clone)]
pub struct Version {
    text: String,
    epoch: u32,
    upstream: (usize, usize),
}

impl Version {
    /// Reads a version.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        let fail = |what| VersionError { text: text.chars().take(80).collect(), what };
        if text.len() > MAX_LENGTH {
            return Err(fail("expected at most 512 bytes"));
        }
        let (epoch, start) = match text.split_once(':') {
            None => (0, 0),
            Some((epoch, _)) => {
                if epoch.is_empty() || !epoch.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(fail("expected the epoch to be a number"));
                }
                let number: u32 = epoch.parse().map_err(|_| fail("expected a smaller epoch"))?;
                if number > i32::MAX as u32 {
                    return Err(fail("expected a smaller epoch"));
                }
                (number, epoch.len() + 1)
            }
        };
        let rest = text.get(start..).unwrap_or_default();
        let end = rest.rfind('-').map_or(text.len(), |dash| start + dash);
        if end < text.len() {
            let revision = text.get(end + 1..).unwrap_or_default();
            if revision.is_empty() {
                return Err(fail("expected a revision after the last dash"));
            }
            if !revision.bytes().all(|b| b.is_ascii_alphanumeric() || b"+.~".contains(&b)) {
                return Err(fail("expected letters, digits and `+.~` in the revision"));
            }
        }
        let upstream = text.get(start..end).unwrap_or_default();
        if !upstream.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(fail("expected it to start with a digit"));
        }
        if !upstream.bytes().all(|b| b.is_ascii_alphanumeric() || b"+.~-:".contains(&b)) {
            return Err(fail("expected letters, digits and `+.~-:`"));
        }
        Ok(Self { text: text.to_owned(), epoch, upstream: (start, end) })
    }

    /// The text it was read from.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn upstream(&self) -> &str {
        self.text.get(self.upstream.0..self.upstream.1).unwrap_or_default()
    }

    fn revision(&self) -> &str {
        self.text.get(self.upstream.1 + 1..).unwrap_or_default()
    }
}

/// The rank of a byte within a run of non-digits: `~` before the end, the end before letters,
/// letters before everything else.
fn rank(byte: Option<u8>) -> i32 {
    match byte {
        None => 0,
        Some(b) if b.is_ascii_digit() => 0,
        Some(b'~') => -1,
        Some(b) if b.is_ascii_alphabetic() => i32::from(b),
        Some(b) => i32::from(b) + 256,
    }
}

/// Compares two upstream versions or revisions: runs of non-digits by rank, runs of digits as numbers.
fn compare_part(left: &str, right: &str) -> Ordering {
    let (mut a, mut b) = (left.as_bytes(), right.as_bytes());
    while !a.is_empty() || !b.is_empty() {
        loop {
            let (x, y) = (a.first().copied(), b.first().copied());
            let digit = |c: Option<u8>| c.is_none_or(|c| c.is_ascii_digit());
            if digit(x) && digit(y) {
                break;
            }
            match rank(x).cmp(&rank(y)) {
                Ordering::Equal => {}
                other => return other,
            }
            a = a.get(1..).unwrap_or_default();
            b = b.get(1..).unwrap_or_default();
        }
        let (x, rest_a) = number(a);
        let (y, rest_b) = number(b);
        match x.len().cmp(&y.len()).then_with(|| x.cmp(y)) {
            Ordering::Equal => (a, b) = (rest_a, rest_b),
            other => return other,
        }
    }
    Ordering::Equal
}

/// The leading digits without their leading zeros, and what follows them.
fn number(bytes: &[u8]) -> (&[u8], &[u8]) {
    let length = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, rest) = bytes.split_at(length);
    let zeros = digits.iter().take_while(|b| **b == b'0').count();
    (digits.get(zeros..).unwrap_or_default(), rest)
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| compare_part(self.upstream(), other.upstream()))
            .then_with(|| compare_part(self.revision(), other.revision()))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::strategy::ValueTree as _;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn known_orders() {
        let ascending = [
            "0~~",
            "0~~a",
            "0~",
            "0",
            "0+b",
            "0a",
            "0.1",
            "1.0~rc1-1",
            "1.0-1~bpo1",
            "1.0-1",
            "1.0-1+b1",
            "1.0-1+deb13u1",
            "1.0-2",
            "1.0-10",
            "1.0.1",
            "1.2-3-4",
            "9.9",
            "10",
            "1:0.1",
            "2:0",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                if *a == "0+b" && *b == "0a" || *a == "0a" && *b == "0+b" {
                    continue;
                }
                assert_eq!(version(a).cmp(&version(b)), i.cmp(&j), "{a} {b}");
            }
        }
        assert!(version("0a") < version("0+b"));
        assert_eq!(version("1.0"), version("0:1.00-0"));
    }

    #[test]
    fn malformed() {
        for bad in ["", "a", "1_0", "x:1", ":1", "1:", "1-", "1- ", "-1", "99999999999:1", "1:a", "1-a:b"] {
            assert!(Version::parse(bad).is_err(), "{bad}");
        }
    }

    /// The order of `dpkg --compare-versions`, where dpkg is there.
    #[test]
    fn agrees_with_dpkg() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let strategy = "([0-2]:)?[0-9][0-9a-bzA~+.]{0,5}(-[0-9a-z+.~]{1,4})?";
        if std::process::Command::new("dpkg").arg("--version").output().is_err() {
            assert!(std::env::var_os("WELLCAR_REQUIRE_ORACLES").is_none(), "no dpkg");
            println!("skipped: no dpkg");
            return;
        }
        for _ in 0..300 {
            let one =
                |runner: &mut proptest::test_runner::TestRunner| strategy.new_tree(runner).unwrap().current();
            let (a, b) = (one(&mut runner), one(&mut runner));
            let operator = match version(&a).cmp(&version(&b)) {
                Ordering::Less => "lt",
                Ordering::Equal => "eq",
                Ordering::Greater => "gt",
            };
            let status = std::process::Command::new("dpkg")
                .args(["--compare-versions", &a, operator, &b])
                .status()
                .unwrap();
            assert!(status.success(), "dpkg disagrees: {a} {operator} {b}");
        }
    }

    proptest! {
        #[test]
        fn is_a_total_order(a in "[0-9][0-9a-c~+.-]{0,6}", b in "[0-9][0-9a-c~+.-]{0,6}", c in "[0-9][0-9a-c~+.-]{0,6}") {
            if let (Ok(a), Ok(b), Ok(c)) = (Version::parse(&a), Version::parse(&b), Version::parse(&c)) {
                prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
                if a <= b && b <= c {
                    prop_assert!(a <= c);
                }
            }
        }
    }
}
