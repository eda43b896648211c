//! From the model to JSON, byte for byte as Go's `encoding/json` writes the reference's structs: fields in
//! their order, `<`, `>`, `&`, U+2028 and U+2029 escaped, two spaces a level when pretty.

use crate::model::{Config, text};
use crate::node::Node;
use crate::version::Version;
use crate::walk::{Leaf, Visit};
use report::{Span, Spanned};
use std::fmt::Write as _;

/// How JSON is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// Indent by two spaces and end with a newline.
    pub pretty: bool,
    /// Write objects without any field as `{}`, as the engine's cache has them; Butane leaves them out.
    pub empty_objects: bool,
}

/// Writes a config; its `ignition.version` says which version it claims to be.
#[must_use]
pub fn to_json(config: &Config, style: Style) -> String {
    let mut encoder = Encoder::new(style, Version::find(text(&config.ignition.version)));
    encoder.node(config);
    encoder.finish()
}

/// Writes JSON text, or tells a visitor what it would write.
pub struct Encoder<'v> {
    out: String,
    style: Style,
    level: usize,
    first: bool,
    version: Version,
    visit: Option<&'v mut Visit<'v>>,
    path: String,
}

impl std::fmt::Debug for Encoder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder")
            .field("style", &self.style)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl<'v> Encoder<'v> {
    /// An encoder with nothing written. Empty objects that the version does not know are left out.
    pub(crate) fn new(style: Style, version: Option<Version>) -> Self {
        let version = version.unwrap_or(Version::NEWEST);
        Self { out: String::new(), style, level: 0, first: true, version, visit: None, path: "$".to_owned() }
    }

    /// An encoder that writes nothing and calls `visit` for each set scalar.
    pub(crate) fn visitor(visit: &'v mut Visit<'v>) -> Self {
        Self { visit: Some(visit), ..Self::new(Style::default(), None) }
    }

    /// Tells the visitor of a scalar; false if there is none and the scalar is to be written.
    fn visited(&mut self, key: &str, span: Span, leaf: Leaf<'_>) -> bool {
        let Some(visit) = &mut self.visit else { return false };
        let length = self.path.len();
        let _ = write!(self.path, ".{key}");
        visit(&self.path, span, leaf);
        self.path.truncate(length);
        true
    }

    fn at(&mut self, key: impl std::fmt::Display, write: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        let _ = write!(self.path, ".{key}");
        write(self);
        self.path.truncate(length);
    }

    pub(crate) fn finish(mut self) -> String {
        if self.style.pretty {
            self.out.push('\n');
        }
        self.out
    }

    pub(crate) fn knows(&self, since: Version) -> bool {
        since <= self.version
    }

    pub(crate) fn visits(&self) -> bool {
        self.visit.is_some()
    }

    pub(crate) fn keeps_empty(&self) -> bool {
        self.style.empty_objects
    }

    fn line(&mut self) {
        if self.style.pretty {
            self.out.push('\n');
            for _ in 0..self.level {
                self.out.push_str("  ");
            }
        }
    }

    fn open(&mut self, bracket: char) {
        self.out.push(bracket);
        self.level += 1;
        self.first = true;
    }

    fn close(&mut self, bracket: char) {
        self.level -= 1;
        if !self.first {
            self.line();
        }
        self.first = false;
        self.out.push(bracket);
    }

    fn next(&mut self) {
        if !self.first {
            self.out.push(',');
        }
        self.first = false;
        self.line();
    }

    fn key(&mut self, key: &str) {
        self.next();
        quote(&mut self.out, key);
        self.out.push_str(if self.style.pretty { ": " } else { ":" });
    }

    pub(crate) fn node<T: Node>(&mut self, node: &T) {
        self.open('{');
        node.encode_fields(self);
        self.close('}');
    }

    pub(crate) fn write_string(&mut self, key: &str, value: &str, span: Span) {
        if !self.visited(key, span, Leaf::String(value)) {
            self.key(key);
            quote(&mut self.out, value);
        }
    }

    pub(crate) fn write_integer(&mut self, key: &str, value: i64, span: Span) {
        if !self.visited(key, span, Leaf::Integer(value)) {
            self.key(key);
            let _ = write!(self.out, "{value}");
        }
    }

    pub(crate) fn write_bool(&mut self, key: &str, value: bool, span: Span) {
        if !self.visited(key, span, Leaf::Boolean(value)) {
            self.key(key);
            self.out.push_str(if value { "true" } else { "false" });
        }
    }

    pub(crate) fn write_strings(&mut self, key: &str, items: &[Spanned<String>]) {
        self.key(key);
        self.open('[');
        for (index, item) in items.iter().enumerate() {
            if !self.visited(&format!("{key}.{index}"), item.span, Leaf::String(item)) {
                self.next();
                quote(&mut self.out, item);
            }
        }
        self.close(']');
    }

    pub(crate) fn write_object<T: Node>(&mut self, key: &str, node: &T) {
        self.key(key);
        self.at(key, |e| e.node(node));
    }

    pub(crate) fn write_objects<T: Node>(&mut self, key: &str, items: &[T]) {
        self.key(key);
        self.open('[');
        for (index, item) in items.iter().enumerate() {
            self.next();
            self.at(format_args!("{key}.{index}"), |e| e.node(item));
        }
        self.close(']');
    }
}

/// Appends `text` as a JSON string with Go's escapes.
pub(crate) fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
