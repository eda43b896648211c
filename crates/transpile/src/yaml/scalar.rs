//! What a scalar means to a typed target, by the rules of go-yaml v3 (which `ct` and `butane` use):
//! YAML 1.2 with the octal numbers of YAML 1.1, and its many booleans where a boolean is wanted.

use std::sync::Arc;

/// An explicit tag of a scalar, as far as the meaning depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// None, or one that changes nothing.
    None,
    /// `!!str` or `!`: a string whatever it looks like.
    Str,
    /// `!!binary`: base64.
    Binary,
}

/// A scalar as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The text after unescaping and folding.
    pub text: Arc<str>,
    /// Whether it is written without quotes, so that its look decides what it is.
    pub plain: bool,
    /// The explicit tag.
    pub tag: Tag,
}

/// What a scalar is when nothing is known about the target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Resolved {
    /// Null: empty, `~`, `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A number that is no integer in range.
    Float(f64),
    /// A string.
    Str,
}

impl Scalar {
    /// What the scalar is by its look.
    pub fn resolve(&self) -> Resolved {
        if !self.plain || self.tag != Tag::None {
            return Resolved::Str;
        }
        match &*self.text {
            "" | "~" | "null" | "Null" | "NULL" => return Resolved::Null,
            "true" | "True" | "TRUE" => return Resolved::Bool(true),
            "false" | "False" | "FALSE" => return Resolved::Bool(false),
            _ => {}
        }
        let first = self.text.as_bytes().first().copied().unwrap_or(b' ');
        if !(first.is_ascii_digit() || matches!(first, b'+' | b'-' | b'.')) {
            return Resolved::Str;
        }
        // go-yaml drops underscores anywhere in a number.
        let plain: String = self.text.chars().filter(|c| *c != '_').collect();
        if let Some(number) = integer(&plain) {
            return Resolved::Int(number);
        }
        if is_float(&plain)
            && let Ok(number) = plain.parse::<f64>()
        {
            return Resolved::Float(number);
        }
        Resolved::Str
    }

    /// Whether it is a null.
    pub fn is_null(&self) -> bool {
        self.resolve() == Resolved::Null
    }

    /// The value for a boolean target; quotes do not matter for the words of YAML 1.1.
    pub fn to_bool(&self) -> Option<bool> {
        match self.resolve() {
            Resolved::Bool(value) => Some(value),
            Resolved::Str => match &*self.text {
                "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
                "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
                _ => None,
            },
            Resolved::Null | Resolved::Int(_) | Resolved::Float(_) => None,
        }
    }

    /// The value for an integer target. A float loses its fraction, as in go-yaml.
    pub fn to_int(&self) -> Option<i64> {
        match self.resolve() {
            Resolved::Int(value) => Some(value),
            // 2^63 as a float is the first that does not fit.
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the range was checked, and go-yaml truncates"
            )]
            Resolved::Float(value)
                if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value) =>
            {
                Some(value as i64)
            }
            Resolved::Float(_) | Resolved::Null | Resolved::Bool(_) | Resolved::Str => None,
        }
    }

    /// What the scalar is called in a message, without repeating long texts.
    pub fn describe(&self) -> String {
        let shown = || {
            let line = self.text.lines().next().unwrap_or_default();
            let cut: String = line.chars().take(32).collect();
            if cut.len() < self.text.len() { format!("{cut}...") } else { cut }
        };
        match self.resolve() {
            Resolved::Null => "nothing".to_owned(),
            Resolved::Bool(_) => format!("the boolean `{}`", self.text),
            Resolved::Int(_) | Resolved::Float(_) => format!("the number `{}`", shown()),
            Resolved::Str => format!("the text `{}`", shown()),
        }
    }
}

/// An integer as Go's `strconv.ParseInt(text, 0, 64)` reads it: decimal, `0x`, `0o`, `0b`, and a
/// leading zero for octal.
fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.get(..2).map(str::to_ascii_lowercase);
    let (radix, digits) = match lower.as_deref() {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    // `from_str_radix` would take a second sign.
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let value = i128::from(u64::from_str_radix(digits, radix).ok()?);
    i64::try_from(if negative { -value } else { value }).ok()
}

/// Whether the text has the shape of a decimal float: `[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?`.
fn is_float(text: &str) -> bool {
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some((whole, fraction)) => {
            digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty())
        }
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    mantissa_fits && exponent_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Scalar {
        Scalar { text: text.into(), plain: true, tag: Tag::None }
    }

    #[test]
    fn integers_are_those_of_go() {
        for (text, want) in [
            ("0644", Some(0o644)),
            ("0o644", Some(0o644)),
            ("0x1F", Some(31)),
            ("0b101", Some(5)),
            ("644", Some(644)),
            ("1_000", Some(1000)),
            ("-7", Some(-7)),
            ("+7", Some(7)),
            ("0", Some(0)),
            ("00", Some(0)),
            ("0899", Some(899)),
            ("1e3", Some(1000)),
            ("1.9", Some(1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("1e400", None),
            ("+-7", None),
            ("0x", None),
            ("abc", None),
            (".", None),
            ("-", None),
            ("", None),
            ("1:30", None),
        ] {
            assert_eq!(plain(text).to_int(), want, "{text}");
        }
    }

    #[test]
    fn booleans_are_those_of_yaml_1_1_where_one_is_wanted() {
        for text in ["true", "True", "TRUE", "yes", "on", "y", "Y", "ON"] {
            assert_eq!(plain(text).to_bool(), Some(true), "{text}");
        }
        for text in ["false", "no", "off", "n", "NO"] {
            assert_eq!(plain(text).to_bool(), Some(false), "{text}");
        }
        for text in ["1", "tRue", "", "enabled"] {
            assert_eq!(plain(text).to_bool(), None, "{text}");
        }
        let quoted = Scalar { text: "yes".into(), plain: false, tag: Tag::None };
        assert_eq!(quoted.to_bool(), Some(true));
        let quoted = Scalar { text: "true".into(), plain: false, tag: Tag::None };
        assert_eq!(quoted.to_bool(), None);
    }

    #[test]
    fn quotes_and_tags_make_strings() {
        assert!(plain("~").is_null());
        assert!(plain("").is_null());
        assert!(!Scalar { text: "".into(), plain: false, tag: Tag::None }.is_null());
        assert_eq!(Scalar { text: "0644".into(), plain: false, tag: Tag::None }.to_int(), None);
        assert_eq!(Scalar { text: "0644".into(), plain: true, tag: Tag::Str }.to_int(), None);
    }
}
