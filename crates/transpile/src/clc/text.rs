//! Texts as Go writes and reads them: quoted strings, versions, sizes, durations, times of day.

use std::fmt::Write as _;

/// Go's `%q`.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            // Go escapes what is not printable: controls, odd spaces, marks without a glyph.
            c if c.is_control()
                || (c.is_whitespace() && c != ' ')
                || matches!(u32::from(c), 0xad | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff | 0xfff9..=0xffff) =>
            {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A version `major.minor.patch[-pre][+build]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Major.
    pub major: u64,
    /// Minor.
    pub minor: u64,
    /// Patch.
    pub patch: u64,
    /// What follows, with its `-` or `+`.
    pub rest: String,
}

impl Version {
    /// Reads a version; none if it has not three numbers.
    pub fn parse(text: &str) -> Option<Self> {
        let end = text.find(['-', '+']).unwrap_or(text.len());
        let (numbers, rest) = text.split_at(end);
        let mut parts = numbers.split('.').map(|part| {
            (!part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
                .then(|| part.parse::<u64>().ok())
                .flatten()
        });
        let version = Self {
            major: parts.next()??,
            minor: parts.next()??,
            patch: parts.next()??,
            rest: rest.to_owned(),
        };
        parts.next().is_none().then_some(version)
    }

    /// Whether it is older than a release.
    pub fn older_than(&self, major: u64, minor: u64, patch: u64) -> bool {
        let numbers = (self.major, self.minor, self.patch);
        numbers < (major, minor, patch) || numbers == (major, minor, patch) && self.rest.starts_with('-')
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}{}", self.major, self.minor, self.patch, self.rest)
    }
}

/// Bytes from a size such as `512MiB`, `1GB` or `1GiB512MiB`; all units are powers of 1024.
pub fn bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u32); 14] = [
        ("B", 0),
        ("KB", 10),
        ("KiB", 10),
        ("MB", 20),
        ("MiB", 20),
        ("GB", 30),
        ("GiB", 30),
        ("TB", 40),
        ("TiB", 40),
        ("PB", 50),
        ("PiB", 50),
        ("EB", 60),
        ("EiB", 60),
        ("k", 10),
    ];
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0_f64;
    let mut any = false;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
        let amount: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let (_, shift) = UNITS.iter().find(|(name, _)| *name == &rest[..unit])?;
        total += amount * 2_f64.powi(i32::try_from(*shift).ok()?);
        rest = &rest[unit..];
        any = true;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
    (any && (0.0..9.2e18).contains(&total)).then_some(total as u64)
}

/// Whether Go's `time.ParseDuration` takes the text: `1h30m`, `2.5s`, `-5ms`, `0`.
pub fn is_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
        let number = &rest[..digits];
        if !number.bytes().any(|b| b.is_ascii_digit()) || number.matches('.').count() > 1 {
            return false;
        }
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        if !matches!(&rest[..unit], "ns" | "us" | "µs" | "μs" | "ms" | "s" | "m" | "h") {
            return false;
        }
        rest = &rest[unit..];
    }
    true
}

/// Whether the text is a time of day as Go's layout `15:04` takes it: `4:00` and `04:00`.
pub fn is_time_of_day(text: &str) -> bool {
    let Some((hour, minute)) = text.split_once(':') else { return false };
    let number = |text: &str, lengths: std::ops::RangeInclusive<usize>, limit: u32| {
        lengths.contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_digit())
            && text.parse::<u32>().is_ok_and(|value| value < limit)
    };
    number(hour, 1..=2, 24) && number(minute, 2..=2, 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024_whatever_they_are_called() {
        assert_eq!(bytes("512MiB"), Some(512 << 20));
        assert_eq!(bytes("1GB"), Some(1 << 30));
        assert_eq!(bytes("1GiB512MiB"), Some((1 << 30) + (512 << 20)));
        assert_eq!(bytes("1.5KiB"), Some(1536));
        for bad in ["512", "MiB", "1 GiB", "-1GiB", "", "1XB", "..B", "99999999EiB"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_times_and_versions_are_those_of_go() {
        for good in ["1h", "1h30m", "2.5s", "0", "-5ms", ".5h"] {
            assert!(is_duration(good), "{good}");
        }
        for bad in ["", "1", "h", "1d", "1.2.3h", "1 h"] {
            assert!(!is_duration(bad), "{bad}");
        }
        assert!(is_time_of_day("4:00") && is_time_of_day("23:59"));
        assert!(!is_time_of_day("24:00") && !is_time_of_day("4:0") && !is_time_of_day("4"));
        assert_eq!(Version::parse("3.1.0-rc.1").map(|v| v.to_string()).as_deref(), Some("3.1.0-rc.1"));
        assert!(Version::parse("3.1.0-rc.1").is_some_and(|v| v.older_than(3, 1, 0)));
        for bad in ["3.1", "v3.1.0", "3.1.0.0", "a.b.c", "3..1", ""] {
            assert!(Version::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn quoting_is_that_of_go() {
        assert_eq!(quoted("a\"b\\c\nd\u{1}ä\u{200b}"), r#""a\"b\\c\nd\x01ä\u200b""#);
    }
}
