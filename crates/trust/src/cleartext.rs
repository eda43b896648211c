//! The cleartext signature framework of OpenPGP (RFC 9580 section 7), read strictly: exactly one
//! signed message and nothing before or after it, every line that starts with a dash escaped, line
//! ends of a single LF. A reader that is lenient here lets an attacker put unsigned lines where a
//! parser sees them; so what is given out is the signed text and nothing else.

use thiserror::Error;

/// The most bytes that a signed index may have (today's largest has 140 kB).
pub const MAX_BYTES: usize = 16 << 20;

const BEGIN_MESSAGE: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const BEGIN_SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END_SIGNATURE: &str = "-----END PGP SIGNATURE-----";

/// Why bytes are not a well-formed cleartext-signed message.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CleartextError {
    /// More than [`MAX_BYTES`].
    #[error("failed to read a signed message: expected at most {MAX_BYTES} bytes, found {0}")]
    TooLarge(usize),
    /// Bytes that no signed index has.
    #[error("failed to read a signed message: expected UTF-8 text, found another byte at offset {0}")]
    NotText(usize),
    /// The message does not start with its header line.
    #[error(
        "failed to read a signed message: expected `{BEGIN_MESSAGE}` on line 1, found no signature header"
    )]
    Unsigned,
    /// An armour header other than `Hash`.
    #[error("failed to read a signed message: expected only `Hash` headers, found `{0}`")]
    Header(String),
    /// A line of the text starts with a dash and is not escaped.
    #[error("failed to read a signed message: line {0} starts with an unescaped dash")]
    Unescaped(usize),
    /// The message ends before its signature does.
    #[error("failed to read a signed message: it ends before `{0}`: truncated")]
    Truncated(&'static str),
    /// Bytes after the signature.
    #[error("failed to read a signed message: line {0} stands after the end of the signature")]
    Trailing(usize),
}

/// The two parts of a cleartext-signed message; nothing about it is checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// The text as it was signed: escapes undone, white space at line ends gone, lines joined by LF,
    /// no line end after the last line.
    pub text: String,
    /// The ASCII armour of the signatures.
    pub armor: String,
}

/// Splits a cleartext-signed message into its text and its signature.
pub fn split(bytes: &[u8]) -> Result<Parts, CleartextError> {
    if bytes.len() > MAX_BYTES {
        return Err(CleartextError::TooLarge(bytes.len()));
    }
    let input = std::str::from_utf8(bytes).map_err(|error| CleartextError::NotText(error.valid_up_to()))?;
    if let Some(at) = input.bytes().position(|b| (b < 0x20 && b != b'\n' && b != b'\t') || b == 0x7f) {
        return Err(CleartextError::NotText(at));
    }
    let mut lines = input.split('\n').enumerate();
    if lines.next().map(|(_, line)| line) != Some(BEGIN_MESSAGE) {
        return Err(CleartextError::Unsigned);
    }
    loop {
        match lines.next() {
            None => return Err(CleartextError::Truncated(BEGIN_SIGNATURE)),
            Some((_, "")) => break,
            Some((_, line)) if line.starts_with("Hash: ") => {}
            Some((_, line)) => return Err(CleartextError::Header(line.chars().take(60).collect())),
        }
    }
    let mut text = String::with_capacity(input.len());
    let mut first = true;
    loop {
        let Some((number, line)) = lines.next() else {
            return Err(CleartextError::Truncated(BEGIN_SIGNATURE));
        };
        if line == BEGIN_SIGNATURE {
            break;
        }
        let line = match line.strip_prefix("- ") {
            Some(line) => line,
            None if line.starts_with('-') => return Err(CleartextError::Unescaped(number + 1)),
            None => line,
        };
        if !first {
            text.push('\n');
        }
        first = false;
        text.push_str(line.trim_end_matches([' ', '\t']));
    }
    let mut armor = format!("{BEGIN_SIGNATURE}\n");
    loop {
        let Some((_, line)) = lines.next() else {
            return Err(CleartextError::Truncated(END_SIGNATURE));
        };
        armor.push_str(line);
        armor.push('\n');
        if line == END_SIGNATURE {
            break;
        }
    }
    match lines.find(|(_, line)| !line.is_empty()) {
        Some((number, _)) => Err(CleartextError::Trailing(number + 1)),
        None => Ok(Parts { text, armor }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &str) -> String {
        format!("{BEGIN_MESSAGE}\nHash: SHA256\n\n{body}\n{BEGIN_SIGNATURE}\n\nAAAA\n{END_SIGNATURE}\n")
    }

    #[test]
    fn undoes_escapes_and_trailing_space() {
        let parts = split(message("a \t\n- -b\n- c").as_bytes()).unwrap();
        assert_eq!(parts.text, "a\n-b\nc");
        assert!(parts.armor.ends_with("-----END PGP SIGNATURE-----\n"));
    }

    #[test]
    fn refuses_what_is_not_exactly_one_message() {
        let good = message("a");
        assert_eq!(split(b"Suite: x\n"), Err(CleartextError::Unsigned));
        assert_eq!(split(format!("x\n{good}").as_bytes()), Err(CleartextError::Unsigned));
        assert_eq!(split(format!("{good}Suite: y\n").as_bytes()), Err(CleartextError::Trailing(9)));
        assert_eq!(split(message("-a").as_bytes()), Err(CleartextError::Unescaped(4)));
        assert!(matches!(split(good.replace('\n', "\r\n").as_bytes()), Err(CleartextError::NotText(_))));
        assert!(matches!(
            split(good.replace("Hash: SHA256", "Comment: x").as_bytes()),
            Err(CleartextError::Header(_))
        ));
        for end in 0..good.len() - 1 {
            assert!(split(&good.as_bytes()[..end]).is_err(), "{end}");
        }
    }
}
