//! Which parts of a source line may not be shown: password hashes, volume keys, header values, the payload of
//! `data:` URLs and passwords in URLs. Decided from the text alone, so that it holds for broken input too; where
//! it is in doubt it hides more.

use crate::{SourceId, Sources};
use std::ops::Range;

/// What a crypt(5) hash begins with, after the first `$`.
const CRYPT: [&str; 12] = ["1", "2a", "2b", "2x", "2y", "5", "6", "7", "y", "gy", "argon2i", "argon2id"];

/// Keys below a volume's key that are shown; what they hold is not.
const KNOWN: [&str; 8] =
    ["contents", "inline", "source", "local", "compression", "verification", "name", "hash"];

/// The byte ranges of a line to hide, in order, apart from each other. `line` counts from 1.
pub(crate) fn ranges(sources: &Sources, id: SourceId, line: usize) -> Vec<Range<usize>> {
    let text = sources.line(id, line);
    if !inside(sources, id, line) {
        return own(text);
    }
    let start = key_at(text).filter(|(_, key)| KNOWN.contains(&key.as_str())).map_or_else(
        || text.len() - text.trim_start().len(),
        |(column, _)| {
            let value = column + text[column..].find(':').map_or(0, |at| at + 1);
            value + (text[value..].len() - text[value..].trim_start().len())
        },
    );
    if start < text.len() { std::iter::once(start..text.len()).collect() } else { Vec::new() }
}

/// Whether a key with this name holds a secret; misspelt ones too, since just those are reported.
fn is_secret(key: &str) -> bool {
    let key: String = key.chars().filter(|c| !"_-".contains(*c)).map(|c| c.to_ascii_lowercase()).collect();
    let password = key.starts_with("pas") && key != "passwd" || key.ends_with("hash") && key != "hash";
    password
        || key == "value"
        || ["keyfile", "authorization", "token", "secret"].iter().any(|word| key.contains(word))
}

/// The column (in bytes, after the dashes of a list) and the name of the key a line begins with.
fn key_at(text: &str) -> Option<(usize, String)> {
    let mut rest = text.trim_start();
    while let Some(item) = rest.strip_prefix("- ") {
        rest = item.trim_start();
    }
    // One-line objects: `{"keyFile": {`.
    rest = rest.trim_start_matches(['{', '[', ',', ' ']);
    let column = text.len() - rest.len();
    let colon = rest.find(':')?;
    let key = rest[..colon].trim_end().trim_matches(['"', '\'']);
    (!key.is_empty() && key.chars().all(is_word)).then(|| (column, key.to_owned()))
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// Whether a line belongs to a secret that a line above begins, by indentation.
fn inside(sources: &Sources, id: SourceId, line: usize) -> bool {
    let text = sources.line(id, line);
    let mut column = key_at(text).map_or(text.len() - text.trim_start().len(), |(column, _)| column);
    for above in (1..line).rev() {
        if column == 0 {
            return false;
        }
        if let Some((at, key)) = key_at(sources.line(id, above))
            && at < column
        {
            if is_secret(&key) {
                return true;
            }
            column = at;
        }
    }
    false
}

/// The secrets that begin on the line itself.
fn own(text: &str) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let found = match bytes[at] {
            b':' => after_colon(text, at),
            b'$' => crypt(text, at),
            _ => None,
        };
        at = match found {
            Some(range) if !range.is_empty() => {
                let end = range.end;
                out.push(range);
                end
            }
            _ => at + 1,
        };
    }
    out
}

/// The secret after the colon at `colon`: a secret key's value, a `data:` URL's payload, a URL's user.
fn after_colon(text: &str, colon: usize) -> Option<Range<usize>> {
    let rest = &text[colon + 1..];
    let before = text[..colon].trim_end();
    let bare = before.trim_end_matches(['"', '\'']);
    let key = &bare[bare
        .rfind(|c| !is_word(c))
        .map_or(0, |at| at + bare[at..].chars().next().map_or(1, char::len_utf8))..];
    if let Some(authority) = rest.strip_prefix("//") {
        let end = authority.find(['/', '?', '#', '"', '\'', ' ', '\t']).unwrap_or(authority.len());
        let user = authority[..end].rfind('@')?;
        return Some(colon + 3..colon + 3 + user);
    }
    if key.eq_ignore_ascii_case("data") && !rest.is_empty() && !rest.starts_with([' ', '\t']) {
        return Some(colon + 1..colon + 1 + word_end(rest));
    }
    if !is_secret(key) {
        return None;
    }
    let value = rest.trim_start();
    let start = text.len() - value.len();
    Some(start..start + value_end(value))
}

/// A crypt(5) hash at the `$` at `at`.
fn crypt(text: &str, at: usize) -> Option<Range<usize>> {
    let rest = &text[at + 1..];
    let method = &rest[..rest.find('$')?];
    CRYPT.contains(&method).then(|| at..at + 1 + word_end(rest))
}

/// Bytes up to a quote or space.
fn word_end(text: &str) -> usize {
    text.find(['"', '\'', ' ', '\t']).unwrap_or(text.len())
}

/// The length of the value `text` begins with: a quoted string, a bracketed group, or all of the line.
fn value_end(text: &str) -> usize {
    let mut open = 0_usize;
    let mut quote = None;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (Some(_), _) if escaped => escaped = false,
            (Some(b'"'), b'\\') => escaped = true,
            (Some(q), b) if q == b => quote = None,
            (Some(_), _) => continue,
            (None, b'"' | b'\'') if at == 0 || open > 0 => quote = Some(byte),
            (None, b'{' | b'[') if at == 0 || open > 0 => open += 1,
            (None, b'}' | b']') if open > 0 => open -= 1,
            (None, _) => {}
        }
        if quote.is_none() && open == 0 {
            return if at == 0 { text.len() } else { at + 1 };
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str, line: usize) -> String {
        let mut sources = Sources::new();
        let id = sources.add("x", text);
        let mut out = sources.line(id, line).to_owned();
        for range in ranges(&sources, id, line).into_iter().rev() {
            out.replace_range(range, "…");
        }
        out
    }

    #[test]
    fn values_of_secret_keys_are_hidden() {
        for (line, expected) in [
            ("password_hash: abc def", "password_hash: …"),
            ("  - password_hash: \"a\\\"b\" # c", "  - password_hash: … # c"),
            (r#"{"passwordHash":"x y","name":"a"}"#, r#"{"passwordHash":…,"name":"a"}"#),
            (r#"{"passwordhash": ["x]", "y"], "b": 1}"#, r#"{"passwordhash": …, "b": 1}"#),
            (r#""keyFile": {"source": "data:,x{}"}, "a": 1"#, r#""keyFile": …, "a": 1"#),
            ("pasword_hash: x", "pasword_hash: …"),
            ("{name: Authorization, value: Bearer abc}", "{name: Authorization, value: …"),
            ("curl -H 'Authorization: Bearer abc'", "curl -H 'Authorization: …"),
            ("words: $6$salt$hash and $y$j9T$x", "words: … and …"),
            ("source: data:;base64,AAAA", "source: data:…"),
            ("url: https://me:pw@host/a@b", "url: https://…@host/a@b"),
            ("url: https://host/a@b", "url: https://host/a@b"),
            ("hash: sha512-00", "hash: sha512-00"),
            ("passwd:", "passwd:"),
            ("ExecStart=/bin/sh -c 'echo $A$B'", "ExecStart=/bin/sh -c 'echo $A$B'"),
        ] {
            assert_eq!(shown(line, 1), expected);
        }
    }

    #[test]
    fn lines_of_a_secret_are_hidden() {
        let yaml = "storage:\n  luks:\n    - name: a\n      key_file:\n        contents:\n          inline: |\n            KEY\n\n            MORE: KEY\n      label: b\n";
        for (line, expected) in [
            (3, "    - name: a"),
            (4, "      key_file:"),
            (5, "        contents:"),
            (6, "          inline: …"),
            (7, "            …"),
            (9, "            …"),
            (10, "      label: b"),
        ] {
            assert_eq!(shown(yaml, line), expected);
        }
        let json = "{\n  \"keyFile\": {\n    \"source\": \"https://key.example\"\n  },\n  \"name\": \"a\"\n}";
        assert_eq!(shown(json, 3), "    \"source\": …");
        assert_eq!(shown(json, 5), "  \"name\": \"a\"");
        assert_eq!(shown("users:\n- password_hash: x\n  name: core", 3), "  name: core");
        assert_eq!(shown("password_hash:\n  folded\n", 2), "  …");
    }

    proptest! {
        #[test]
        fn any_text_gives_ordered_ranges_on_characters(
            text in r#"([ \n:$'"{}@/ä-]|password_hash|keyFile|data|6|value|https){0,40}"#
        ) {
            let mut sources = Sources::new();
            let id = sources.add("x", text);
            for line in 1..6 {
                let text = sources.line(id, line);
                let mut last = 0;
                for range in ranges(&sources, id, line) {
                    prop_assert!(range.start >= last && text.get(range.clone()).is_some());
                    last = range.end;
                }
            }
        }
    }
}
