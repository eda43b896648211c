//! Makes Ignition JSON values that point to the text they came from.

use crate::yaml::Node;
use ignition::json::{Kind, Member, Value};
use report::{Span, Spanned};

/// A string.
pub fn string(text: impl Into<String>, span: Span) -> Value {
    Value { kind: Kind::String(text.into()), span }
}

/// A number.
pub fn number(value: i64, span: Span) -> Value {
    Value { kind: Kind::Number(value.to_string()), span }
}

/// A boolean.
pub fn boolean(value: bool, span: Span) -> Value {
    Value { kind: Kind::Bool(value), span }
}

/// A list.
pub fn list(items: Vec<Value>, span: Span) -> Value {
    Value { kind: Kind::Array(items), span }
}

/// An object under construction; members keep the order in which they are added.
#[derive(Debug, Default)]
pub struct Object {
    members: Vec<Member>,
}

impl Object {
    /// An empty object.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a member whose key is the output's own word.
    pub fn put(&mut self, key: &str, value: Value) {
        let span = value.span;
        self.put_at(key, span, value);
    }

    /// Adds a member whose key stands in the text.
    pub fn put_at(&mut self, key: &str, key_span: Span, value: Value) {
        self.members.push(Member { key: Spanned::new(key.to_owned(), key_span), value });
    }

    /// Adds a list unless it is empty.
    pub fn put_list(&mut self, key: &str, items: Vec<Value>, span: Span) {
        if !items.is_empty() {
            self.put(key, list(items, span));
        }
    }

    /// A member added before.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.members.iter_mut().find(|member| member.key.value == key).map(|member| &mut member.value)
    }

    /// The finished object.
    pub fn finish(self, span: Span) -> Value {
        Value { kind: Kind::Object(self.members), span }
    }
}

/// Reads a source object by the rules of Go's decoder: null is absent, the zero value is too where
/// the target is no pointer.
#[derive(Debug, Clone, Copy)]
pub struct From<'a> {
    node: Option<&'a Node>,
}

impl<'a> From<'a> {
    /// Reads `node`, or nothing at all.
    pub fn new(node: Option<&'a Node>) -> Self {
        Self { node: node.filter(|node| !node.is_null()) }
    }

    /// The value of a key; null is absent.
    pub fn node(&self, key: &str) -> Option<&'a Node> {
        self.node.and_then(|node| node.get(key)).filter(|node| !node.is_null())
    }

    /// The object under a key, empty if absent.
    pub fn object(&self, key: &str) -> From<'a> {
        From::new(self.node(key))
    }

    /// Whether the object is there at all.
    pub fn exists(&self) -> bool {
        self.node.is_some()
    }

    /// Where the object is written.
    pub fn span(&self) -> Span {
        self.node.map_or(Span::NONE, |node| node.span)
    }

    /// What the object really is.
    pub fn node_kind(&self) -> Option<&'a crate::yaml::Kind> {
        self.node.map(|node| &node.kind)
    }

    /// The items of a list.
    pub fn items(&self, key: &str) -> &'a [Node] {
        self.node(key).map_or(&[], Node::items)
    }

    /// The text of a string that is not empty, with its node.
    pub fn text(&self, key: &str) -> Option<(&'a str, Span)> {
        self.pointer(key).filter(|(text, _)| !text.is_empty())
    }

    /// The text of a string that may be empty.
    pub fn pointer(&self, key: &str) -> Option<(&'a str, Span)> {
        let node = self.node(key)?;
        node.text().map(|text| (&**text, node.span))
    }

    /// A boolean.
    pub fn boolean(&self, key: &str) -> Option<(bool, Span)> {
        let node = self.node(key)?;
        node.scalar()?.to_bool().map(|value| (value, node.span))
    }

    /// A whole number.
    pub fn int(&self, key: &str) -> Option<(i64, Span)> {
        let node = self.node(key)?;
        node.scalar()?.to_int().map(|value| (value, node.span))
    }
}

/// Copies members from source to target under another name.
#[derive(Debug)]
pub struct Copy<'a, 'b> {
    /// The source.
    pub from: From<'a>,
    /// The target.
    pub to: &'b mut Object,
}

impl Copy<'_, '_> {
    fn put(&mut self, key: &str, out: &str, value: Value) -> &mut Self {
        let span = self.from.node.and_then(|node| node.entry(key)).map_or(value.span, |entry| entry.key_span);
        self.to.put_at(out, span, value);
        self
    }

    /// A string; the empty one is absent.
    pub fn text(&mut self, key: &str, out: &str) -> &mut Self {
        match self.from.text(key) {
            Some((text, span)) => self.put(key, out, string(text, span)),
            None => self,
        }
    }

    /// A string that may be empty.
    pub fn pointer(&mut self, key: &str, out: &str) -> &mut Self {
        match self.from.pointer(key) {
            Some((text, span)) => self.put(key, out, string(text, span)),
            None => self,
        }
    }

    /// A boolean; false is absent.
    pub fn flag(&mut self, key: &str, out: &str) -> &mut Self {
        match self.from.boolean(key) {
            Some((true, span)) => self.put(key, out, boolean(true, span)),
            _ => self,
        }
    }

    /// A boolean that may be false.
    pub fn boolean(&mut self, key: &str, out: &str) -> &mut Self {
        match self.from.boolean(key) {
            Some((value, span)) => self.put(key, out, boolean(value, span)),
            None => self,
        }
    }

    /// A number; zero is absent.
    pub fn count(&mut self, key: &str, out: &str) -> &mut Self {
        match self.from.int(key) {
            Some((value, span)) if value != 0 => self.put(key, out, number(value, span)),
            _ => self,
        }
    }

    /// A number that may be zero.
    pub fn int(&mut self, key: &str, out: &str) -> &mut Self {
        match self.from.int(key) {
            Some((value, span)) => self.put(key, out, number(value, span)),
            None => self,
        }
    }

    /// A list of strings; the empty one is absent. Null items are empty strings.
    pub fn strings(&mut self, key: &str, out: &str) -> &mut Self {
        let items = strings(self.from.items(key));
        if items.is_empty() {
            return self;
        }
        let span = self.from.node(key).map_or(Span::NONE, |node| node.span);
        self.put(key, out, list(items, span))
    }
}

/// The strings of a list.
pub fn strings(items: &[Node]) -> Vec<Value> {
    items
        .iter()
        .filter(|item| item.scalar().is_some())
        .map(|item| string(item.text().map_or("", |text| &**text), item.span))
        .collect()
}
