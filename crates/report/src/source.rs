//! Where a piece of input came from: named texts, byte spans in them, and values that keep their span.
//!
//! Nothing here reads a file: the caller reads, with a limit, and adds the text.

use std::fmt;

/// Names one text in a [`Sources`]. Only the `Sources` that made it can resolve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(u32);

impl SourceId {
    /// The id of values that no input holds (defaults, generated entries).
    pub const NONE: SourceId = SourceId(u32::MAX);

    /// Whether this is [`SourceId::NONE`].
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }
}

/// A half-open range of bytes in one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The text.
    pub source: SourceId,
    /// Byte offset of the first byte.
    pub start: usize,
    /// Byte offset after the last byte.
    pub end: usize,
}

impl Span {
    /// The span of what stands in no input.
    pub const NONE: Span = Span { source: SourceId::NONE, start: 0, end: 0 };

    /// A span in `source`.
    #[must_use]
    pub fn new(source: SourceId, start: usize, end: usize) -> Self {
        Self { source, start, end: end.max(start) }
    }

    /// Whether the span points into no input.
    #[must_use]
    pub fn is_none(self) -> bool {
        self.source.is_none()
    }

    /// `None` for [`Span::NONE`].
    #[must_use]
    pub fn known(self) -> Option<Span> {
        (!self.is_none()).then_some(self)
    }
}

impl Default for Span {
    fn default() -> Self {
        Self::NONE
    }
}

/// A value and where it came from. Equality, order and hash look at the value alone.
#[derive(Clone, Copy, Default)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// `value`, as it stands at `span`.
    #[must_use]
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// A value that no input holds.
    #[must_use]
    pub fn bare(value: T) -> Self {
        Self { value, span: Span::NONE }
    }

    /// The same place with another value.
    #[must_use]
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: f(self.value), span: self.span }
    }

    /// A spanned reference.
    #[must_use]
    pub fn as_ref(&self) -> Spanned<&T> {
        Spanned { value: &self.value, span: self.span }
    }
}

impl<T: fmt::Debug> fmt::Debug for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T> std::ops::Deref for Spanned<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}
impl<T: Eq> Eq for Spanned<T> {}
impl<T: std::hash::Hash> std::hash::Hash for Spanned<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.value.hash(state);
    }
}
impl<T: PartialOrd> PartialOrd for Spanned<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.value.partial_cmp(&other.value)
    }
}
impl<T: Ord> Ord for Spanned<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.value.cmp(&other.value)
    }
}

/// A place for people: both numbers start at 1, the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineColumn {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

#[derive(Debug, Clone)]
struct Source {
    name: String,
    text: String,
    lines: Vec<usize>,
}

/// The texts of one run.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    list: Vec<Source>,
}

impl Sources {
    /// No texts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text under the name that reports show (a path, a URL, `-`).
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> SourceId {
        let text = text.into();
        let mut lines = vec![0];
        lines.extend(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1));
        let id = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.list.push(Source { name: name.into(), text, lines });
        SourceId(id)
    }

    /// Adds bytes; what is not UTF-8 becomes U+FFFD, as Go's `encoding/json` does inside strings.
    pub fn add_bytes(&mut self, name: impl Into<String>, bytes: &[u8]) -> SourceId {
        self.add(name, String::from_utf8_lossy(bytes).into_owned())
    }

    /// The name of a source; `<generated>` for [`SourceId::NONE`] or a foreign id.
    #[must_use]
    pub fn name(&self, id: SourceId) -> &str {
        self.get(id).map_or("<generated>", |s| &s.name)
    }

    /// The text of a source; empty for [`SourceId::NONE`] or a foreign id.
    #[must_use]
    pub fn text(&self, id: SourceId) -> &str {
        self.get(id).map_or("", |s| &s.text)
    }

    /// The text under a span (empty when the span does not fit).
    #[must_use]
    pub fn snippet(&self, span: Span) -> &str {
        self.text(span.source).get(span.start..span.end).unwrap_or("")
    }

    /// Every id, in the order of adding.
    pub fn ids(&self) -> impl Iterator<Item = SourceId> + '_ {
        (0..self.list.len()).filter_map(|i| u32::try_from(i).ok()).map(SourceId)
    }

    /// Line and column of a byte offset. An offset past the end is the end.
    #[must_use]
    pub fn line_column(&self, id: SourceId, offset: usize) -> LineColumn {
        let Some(source) = self.get(id) else { return LineColumn { line: 1, column: 1 } };
        let offset = floor_boundary(&source.text, offset);
        let line = source.lines.partition_point(|start| *start <= offset).max(1);
        let start = source.lines.get(line - 1).copied().unwrap_or(0);
        let column = source.text.get(start..offset).map_or(1, |t| t.chars().count() + 1);
        LineColumn { line, column }
    }

    /// A line's text without its line end; `line` counts from 1.
    #[must_use]
    pub fn line(&self, id: SourceId, line: usize) -> &str {
        let Some(source) = self.get(id) else { return "" };
        let Some(start) = line.checked_sub(1).and_then(|l| source.lines.get(l)).copied() else { return "" };
        let end = source.lines.get(line).copied().unwrap_or(source.text.len());
        source.text.get(start..end).unwrap_or("").trim_end_matches(['\n', '\r'])
    }

    /// `name:line:column`, or the name alone for what stands in no input.
    #[must_use]
    pub fn locate(&self, span: Span) -> String {
        if span.is_none() {
            return self.name(span.source).to_owned();
        }
        let at = self.line_column(span.source, span.start);
        format!("{}:{}:{}", self.name(span.source), at.line, at.column)
    }

    fn get(&self, id: SourceId) -> Option<&Source> {
        usize::try_from(id.0).ok().and_then(|i| self.list.get(i))
    }
}

fn floor_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_from_one() {
        let mut sources = Sources::new();
        let id = sources.add("a.yaml", "key: ä\nzwei: ö x\n");
        assert_eq!(sources.line_column(id, 0), LineColumn { line: 1, column: 1 });
        let x = sources.text(id).find('x').unwrap();
        assert_eq!(sources.line_column(id, x), LineColumn { line: 2, column: 9 });
        assert_eq!(sources.locate(Span::new(id, x, x + 1)), "a.yaml:2:9");
        assert_eq!(sources.line(id, 2), "zwei: ö x");
        assert_eq!(sources.line_column(id, 9999).line, 3);
        assert_eq!(sources.line_column(id, 6), LineColumn { line: 1, column: 6 }, "inside ä");
    }

    #[test]
    fn foreign_ids_are_harmless() {
        let sources = Sources::new();
        assert_eq!(sources.locate(Span::NONE), "<generated>");
        assert_eq!(sources.line(SourceId(7), 1), "");
        assert_eq!(sources.snippet(Span::new(SourceId(7), 3, 9)), "");
    }
}
