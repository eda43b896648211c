//! A JSON reader that keeps positions. It accepts what Go's `encoding/json` accepts, is linear in its input
//! and never recurses deeper than [`MAX_DEPTH`].

use report::{Code, Report, Reports, SourceId, Span, Spanned, codes};
use std::collections::HashMap;

/// Deepest nesting that is read.
pub const MAX_DEPTH: usize = 128;

/// Most values of one text: bounds the memory for the tree of a text that is all brackets.
pub const MAX_VALUES: usize = 4_000_000;

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
pub fn parse(
    text: &str,
    source: SourceId,
    limit: usize,
    reports: &mut Reports,
) -> Result<Value, Box<Report>> {
    if text.len() > limit {
        let message = format!("input of {} bytes is over the limit of {limit} bytes", text.len());
        return Err(Box::new(Report::error(codes::TOO_LARGE, message).at(Span::new(source, 0, 0))));
    }
    let mut parser = Parser { text, bytes: text.as_bytes(), at: 0, source, depth: 0, values: 0, reports };
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
    values: usize,
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

    fn error(&self, code: Code, start: usize, end: usize, message: impl Into<String>) -> Box<Report> {
        Box::new(Report::error(code, message).at(Span::new(self.source, start, end)))
    }

    fn unexpected(&self, place: &str) -> Box<Report> {
        match self.text.get(self.at..).and_then(|t| t.chars().next()) {
            Some(c) => {
                let message = format!("invalid character {c:?} {place}");
                self.error(codes::SYNTAX, self.at, self.at + c.len_utf8(), message)
            }
            None => self.error(codes::SYNTAX, self.at, self.at, "unexpected end of JSON input"),
        }
    }

    fn value(&mut self) -> Result<Value, Box<Report>> {
        self.blank();
        let start = self.at;
        self.values += 1;
        if self.values > MAX_VALUES {
            let message = format!("more than {MAX_VALUES} values");
            return Err(self.error(codes::TOO_LARGE, start, start, message));
        }
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

    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Kind, Box<Report>>,
    ) -> Result<Kind, Box<Report>> {
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

    fn word(&mut self, word: &str, kind: Kind) -> Result<Kind, Box<Report>> {
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

    fn object(&mut self) -> Result<Kind, Box<Report>> {
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

    fn array(&mut self) -> Result<Kind, Box<Report>> {
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

    fn number(&mut self) -> Result<Kind, Box<Report>> {
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
    fn string(&mut self) -> Result<String, Box<Report>> {
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

    fn escape(&mut self, out: &mut String) -> Result<(), Box<Report>> {
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
    fn unicode(&mut self) -> Result<char, Box<Report>> {
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

    fn hex4(&mut self) -> Result<u32, Box<Report>> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use report::Sources;

    fn read(text: &str) -> (Result<Value, Box<Report>>, Reports) {
        let mut sources = Sources::new();
        let id = sources.add("t.json", text);
        let mut reports = Reports::new();
        (parse(text, id, 1 << 20, &mut reports), reports)
    }

    fn string(text: &str) -> Option<String> {
        match read(text).0.ok()?.kind {
            Kind::String(s) => Some(s),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Array(_) | Kind::Object(_) => None,
        }
    }

    #[test]
    fn values_keep_their_place() {
        let value = read("{\"a\": [1, \"x\"]}").0.unwrap();
        let Kind::Array(items) = &value.get("a").unwrap().kind else { panic!("{value:?}") };
        assert_eq!((items[1].span.start, items[1].span.end), (10, 13));
        assert_eq!(items[0].kind, Kind::Number("1".to_owned()));
    }

    #[test]
    fn strings_are_as_in_go() {
        assert_eq!(string(r#""\u00e4\ud83d\ude00\n""#).as_deref(), Some("ä😀\n"));
        assert_eq!(string(r#""\ud800x""#).as_deref(), Some("\u{fffd}x"), "lone surrogate");
        assert_eq!(string(r#""\ud800\u0041""#).as_deref(), Some("\u{fffd}A"));
        assert_eq!(string(r#""\udc00""#).as_deref(), Some("\u{fffd}"));
        assert_eq!(string(r#""\u0000""#).as_deref(), Some("\0"));
        for bad in ["\"\0\"", "\"\n\"", "\"", r#""\x""#, r#""\u12""#] {
            assert_eq!(string(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn numbers_are_kept_as_they_are_written() {
        for good in ["0", "-0", "1e400", "-12.5E+7", "123456789012345678901234567890"] {
            assert_eq!(read(good).0.unwrap().kind, Kind::Number(good.to_owned()));
        }
        for bad in ["01", "1.", ".5", "+1", "-", "1e", "0x1", "NaN", "1_0"] {
            assert!(read(bad).0.is_err(), "{bad}");
        }
    }

    #[test]
    fn errors_name_the_character_and_the_place() {
        let message = |text: &str| read(text).0.map(|_| ()).unwrap_err();
        assert_eq!(message("{\"a\": }").message, "invalid character '}' looking for beginning of value");
        assert_eq!(message("{\"a\": }").span.unwrap().start, 6);
        assert_eq!(message("[1,]").message, "invalid character ']' looking for beginning of value");
        assert_eq!(message("{} x").message, "invalid character 'x' after top-level value");
        assert_eq!(message("tru").message, "unexpected end of JSON input");
        assert_eq!(message("").message, "unexpected end of JSON input");
        assert_eq!(message("{\"a\" 1}").message, "invalid character '1' after object key");
    }

    #[test]
    fn limits_hold() {
        let deep = "[".repeat(1_000_000);
        assert_eq!(read(&deep[..10_000]).0.unwrap_err().code, codes::TOO_DEEP);
        assert_eq!(parse(&deep, SourceId::NONE, 10, &mut Reports::new()).unwrap_err().code, codes::TOO_LARGE);
        let fits = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        assert!(read(&fits).0.is_ok());
    }

    #[test]
    fn duplicate_keys_are_warned_of_and_the_last_counts() {
        let (value, reports) = read("{\"a\": 1, \"b\": 2, \"a\": 3}");
        assert_eq!(value.unwrap().get("a").unwrap().kind, Kind::Number("3".to_owned()));
        let report = reports.iter().next().unwrap();
        assert_eq!((report.code, report.span.unwrap().start), (codes::DUPLICATE_KEY, 17));
    }
}
