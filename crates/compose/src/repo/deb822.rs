//! The control file syntax of Debian (deb822(5)): paragraphs of fields, continued by indented lines.
//! Read as a stream, one paragraph in memory at a time, with a limit on everything.

use std::io::{self, BufRead, Read as _};
use std::ops::Range;
use thiserror::Error;

/// The most bytes that one line may have.
pub const MAX_LINE: usize = 1 << 20;
/// The most bytes that one paragraph may have.
pub const MAX_PARAGRAPH: usize = 4 << 20;
/// The most fields that one paragraph may have.
pub const MAX_FIELDS: usize = 256;

/// Why a control file cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Deb822Error {
    /// The bytes could not be had.
    #[error("failed to read a control file after line {line}")]
    Io {
        /// The last whole line.
        line: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A limit was passed.
    #[error("failed to read line {line} of a control file: expected at most {limit} {what}")]
    TooLarge {
        /// The line.
        line: u64,
        /// The limit.
        limit: usize,
        /// What there is too much of.
        what: &'static str,
    },
    /// The line is not of this syntax.
    #[error("failed to read line {line} of a control file: {what}")]
    Syntax {
        /// The line.
        line: u64,
        /// What is wrong.
        what: &'static str,
    },
}

/// One paragraph.
#[derive(Debug, Clone, Default)]
pub struct Paragraph {
    text: String,
    fields: Vec<(Range<usize>, Range<usize>)>,
}

impl Paragraph {
    /// A field's value: without white space around it, lines of a longer one joined by LF.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All fields in their order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| {
            let part = |range: &Range<usize>| self.text.get(range.clone()).unwrap_or_default();
            (part(name), part(value))
        })
    }

    fn clear(&mut self) {
        self.text.clear();
        self.fields.clear();
    }
}

/// Reads paragraphs.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    line: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Reader<R> {
    /// A reader of `input`.
    pub fn new(input: R) -> Self {
        Self { input, line: 0, buffer: Vec::new() }
    }

    /// The number of the last line that was read, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Reads the next paragraph into `paragraph`; `false` when there is none any more.
    pub fn next(&mut self, paragraph: &mut Paragraph) -> Result<bool, Deb822Error> {
        paragraph.clear();
        loop {
            self.buffer.clear();
            let limit = MAX_LINE as u64 + 1;
            let count = (&mut self.input)
                .take(limit)
                .read_until(b'\n', &mut self.buffer)
                .map_err(|source| Deb822Error::Io { line: self.line, source })?;
            if count == 0 {
                return Ok(!paragraph.fields.is_empty());
            }
            self.line += 1;
            if count as u64 >= limit {
                return Err(self.too_large(MAX_LINE, "bytes in a line"));
            }
            let bytes = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
            let line = std::str::from_utf8(bytes).map_err(|_| self.syntax("expected UTF-8 text"))?;
            if line.trim_matches([' ', '\t']).is_empty() {
                if paragraph.fields.is_empty() {
                    continue;
                }
                return Ok(true);
            }
            if line.contains(['\0', '\r']) {
                return Err(self.syntax("found a control character"));
            }
            if paragraph.text.len() + line.len() > MAX_PARAGRAPH {
                return Err(self.too_large(MAX_PARAGRAPH, "bytes in a paragraph"));
            }
            self.add(paragraph, line)?;
        }
    }

    fn add(&self, paragraph: &mut Paragraph, line: &str) -> Result<(), Deb822Error> {
        if line.starts_with([' ', '\t']) {
            let Some((_, value)) = paragraph.fields.last_mut() else {
                return Err(self.syntax("a continuation line follows no field"));
            };
            paragraph.text.push('\n');
            paragraph.text.push_str(line.trim_matches([' ', '\t']));
            value.end = paragraph.text.len();
            return Ok(());
        }
        let (name, value) = line.split_once(':').ok_or_else(|| self.syntax("expected `Name: value`"))?;
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) || name.starts_with(['#', '-']) {
            return Err(self.syntax("expected a field name"));
        }
        if paragraph.get(name).is_some() {
            return Err(self.syntax("the field stands twice in its paragraph"));
        }
        if paragraph.fields.len() >= MAX_FIELDS {
            return Err(self.too_large(MAX_FIELDS, "fields in a paragraph"));
        }
        let start = paragraph.text.len();
        paragraph.text.push_str(name);
        let middle = paragraph.text.len();
        paragraph.text.push_str(value.trim_matches([' ', '\t']));
        paragraph.fields.push((start..middle, middle..paragraph.text.len()));
        Ok(())
    }

    fn syntax(&self, what: &'static str) -> Deb822Error {
        Deb822Error::Syntax { line: self.line, what }
    }

    fn too_large(&self, limit: usize, what: &'static str) -> Deb822Error {
        Deb822Error::TooLarge { line: self.line, limit, what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Vec<Vec<(String, String)>>, Deb822Error> {
        let mut reader = Reader::new(text);
        let mut paragraph = Paragraph::default();
        let mut all = Vec::new();
        while reader.next(&mut paragraph)? {
            all.push(paragraph.fields().map(|(a, b)| (a.to_owned(), b.to_owned())).collect());
        }
        Ok(all)
    }

    #[test]
    fn paragraphs_fields_and_continuations() {
        let text = b"\n\nPackage: a\nDescription: one\n two\n  three\n\n\nPackage: b\nEmpty:";
        let all = read(text).unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0][1], ("Description".into(), "one\ntwo\nthree".into()));
        assert_eq!(all[1][1], ("Empty".into(), String::new()));
    }

    #[test]
    fn malformed() {
        for bad in [
            &b" x\n"[..],
            b"x\n",
            b"A: 1\nA: 2\n",
            b"a: 1\nA: 2\n",
            b": x\n",
            b"A b: x\n",
            b"#c: x\n",
            b"A: \0\n",
            b"A: \xff\n",
            b"A: x\r\n",
        ] {
            assert!(read(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        let long = [b"A: ".to_vec(), vec![b'x'; MAX_LINE + 10]].concat();
        assert!(matches!(read(&long), Err(Deb822Error::TooLarge { line: 1, .. })));
        let many: String = (0..=MAX_FIELDS).map(|n| format!("F{n}: x\n")).collect();
        assert!(matches!(read(many.as_bytes()), Err(Deb822Error::TooLarge { .. })));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn text_never_panics(text in "([A-C:# \t\n]|é){0,60}") {
            let _ = read(text.as_bytes());
        }
    }
}
