//! A JSON reader that keeps positions. It accepts what Go's `encoding/json` accepts, is linear in its input
//! and never recurses deeper than [`MAX_DEPTH`].

use report::{Code, Report, Reports, SourceId, Span, Spanned, codes};
use std::collections::HashMap;

/// Deepest nesting that is read.
pub const MAX_DEPTH: usize = 128;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// What it is.
    pub kind: Kind,
    /// From its first to its last byte; a string with its quotes.
    pub span: Span,
}

/// The six kinds of JSON values.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number, as it is written.
    Number(String),
    /// A string, unescaped; a lone surrogate is U+FFFD.
    String(String),
    /// A list.
    Array(Vec<Value>),
    /// An object with its members in order, duplicates included.
    Object(Vec<Member>),
}

impl Kind {
    /// For messages: `a string`, `an object`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::String(_) => "a string",
            Kind::Array(_) => "a list",
            Kind::Object(_) => "an object",
        }
    }
}

/// One member of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The key with its place.
    pub key: Spanned<String>,
    /// The value.
    pub value: Value,
}

impl Value {
    /// The last member of this name.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        match &self.kind {
            Kind::Object(members) => members.iter().rev().find(|m| m.key.value == key).map(|m| &m.value),
            _ => None,
        }
    }
}

/// Reads one value and nothing after it. `limit` is the largest text in bytes. Duplicate keys are warned of
/// in `reports`.
///
/// # Errors
/// One report: not well-formed, too large or too deep.
pub fn parse(text: &str, source: SourceId, limit: usize, reports: &mut Reports) -> Result<Value, Report> {
    if text.len() > limit {
        let message = format!("input of {} bytes is over the limit of {limit} bytes", text.len());
        return Err(Report::error(codes::TOO_LARGE, message).at(Span::new(source, 0, 0)));
    }
    let mut parser = Parser { text, bytes: text.as_bytes(), at: 0, source, depth: 0, reports };
    let value = parser.value()?;
    parser.blank();
    if parser.at < parser.bytes.len() {
        return Err(parser.unexpected("after top-level value"));
    }
    Ok(value)
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    source: SourceId,
    depth: usize,
    reports: &'a mut Reports,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn error(&self, code: Code, start: usize, end: usize, message: impl Into<String>) -> Report {
        Report::error(code, message).at(Span::new(self.source, start, end))
    }

    fn unexpected(&self, place: &str) -> Report {
        match self.text.get(self.at..).and_then(|t| t.chars().next()) {
            Some(c) => {
                let message = format!("invalid character {c:?} {place}");
                self.error(codes::SYNTAX, self.at, self.at + c.len_utf8(), message)
            }
            None => self.error(codes::SYNTAX, self.at, self.at, "unexpected end of JSON input"),
        }
    }

    fn value(&mut self) -> Result<Value, Report> {
        self.blank();
        let start = self.at;
        let kind = match self.peek() {
            Some(b'{') => self.nested(Self::object)?,
            Some(b'[') => self.nested(Self::array)?,
            Some(b'"') => Kind::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word("true", Kind::Bool(true))?,
            Some(b'f') => self.word("false", Kind::Bool(false))?,
            Some(b'n') => self.word("null", Kind::Null)?,
            _ => return Err(self.unexpected("looking for beginning of value")),
        };
        Ok(Value { kind, span: Span::new(self.source, start, self.at) })
    }

    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Result<Kind, Report>) -> Result<Kind, Report> {
        if self.depth == MAX_DEPTH {
            let message = format!("nested deeper than {MAX_DEPTH} levels");
            return Err(self.error(codes::TOO_DEEP, self.at, self.at + 1, message));
        }
        self.depth += 1;
        self.at += 1;
        let kind = read(self);
        self.depth -= 1;
        kind
    }

    fn word(&mut self, word: &str, kind: Kind) -> Result<Kind, Report> {
        for (i, b) in word.bytes().enumerate() {
            if self.peek() != Some(b) {
                let wanted = char::from(b);
                return Err(match i {
                    0 => self.unexpected("looking for beginning of value"),
                    _ => self.unexpected(&format!("in literal {word} (expecting {wanted:?})")),
                });
            }
            self.at += 1;
        }
        Ok(kind)
    }

    fn object(&mut self) -> Result<Kind, Report> {
        let mut members: Vec<Member> = Vec::new();
        self.blank();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Kind::Object(members));
        }
        loop {
            self.blank();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("looking for beginning of object key string"));
            }
            let start = self.at;
            let key = Spanned::new(self.string()?, Span::new(self.source, start, self.at));
            self.blank();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("after object key"));
            }
            self.at += 1;
            let value = self.value()?;
            members.push(Member { key, value });
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.unexpected("after object key:value pair")),
            }
        }
        self.at += 1;
        self.duplicates(&members);
        Ok(Kind::Object(members))
    }

    fn duplicates(&mut self, members: &[Member]) {
        let mut seen: HashMap<&str, Span> = HashMap::with_capacity(members.len());
        for member in members {
            if let Some(first) = seen.insert(&member.key.value, member.key.span) {
                let message =
                    format!("key `{}` stands twice in one object; the last one counts", member.key.value);
                self.reports.push(
                    Report::warning(codes::DUPLICATE_KEY, message)
                        .at(member.key.span)
                        .related(first, "first here")
                        .hint("remove one of the two"),
                );
            }
        }
    }

    fn array(&mut self) -> Result<Kind, Report> {
        let mut items = Vec::new();
        self.blank();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Kind::Array(items));
        }
        loop {
            items.push(self.value()?);
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.unexpected("after array element")),
            }
        }
        self.at += 1;
        Ok(Kind::Array(items))
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Result<Kind, Report> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else if self.digits() == 0 {
            return Err(self.unexpected("in numeric literal"));
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(self.unexpected("after decimal point in numeric literal"));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(self.unexpected("in exponent of numeric literal"));
            }
        }
        Ok(Kind::Number(self.text.get(start..self.at).unwrap_or("0").to_owned()))
    }

    /// Reads a string; the cursor stands on its opening quote.
    fn string(&mut self) -> Result<String, Report> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let start = self.at;
            while self.peek().is_some_and(|b| b != b'"' && b != b'\\' && b >= 0x20) {
                self.at += 1;
            }
            out.push_str(self.text.get(start..self.at).unwrap_or(""));
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape(&mut out)?;
                }
                _ => return Err(self.unexpected("in string literal")),
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<(), Report> {
        let plain = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                let c = self.unicode()?;
                out.push(c);
                return Ok(());
            }
            _ => return Err(self.unexpected("in string escape code")),
        };
        self.at += 1;
        out.push(plain);
        Ok(())
    }

    /// The character of a `\u` escape; the cursor stands after the `u`. A pair of surrogates is one character,
    /// a lone one is U+FFFD.
    fn unicode(&mut self) -> Result<char, Report> {
        let first = self.hex4()?;
        if !(0xd800..0xdc00).contains(&first) {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let back = self.at;
        if self.bytes.get(self.at..self.at + 2) == Some(b"\\u") {
            self.at += 2;
            let second = self.hex4()?;
            if (0xdc00..0xe000).contains(&second) {
                let point = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = back;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex4(&mut self) -> Result<u32, Report> {
        let mut point = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|b| char::from(b).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.unexpected("in \\u hexadecimal character escape"));
            };
            point = point * 16 + digit;
            self.at += 1;
        }
        Ok(point)
    }
}
