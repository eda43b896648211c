//! Reads YAML (and JSON, which is a subset) into a tree in which every key and every value knows
//! its place in the text. This module hides the event parser; nothing else in the crate knows it.
//!
//! The tree is the one go-yaml v3 builds, because that is what `ct` and `butane` read with: merge
//! keys are applied, aliases resolved, only the first document counts, duplicate keys are errors,
//! and [`scalar`] gives the value that a typed target receives (`0644` is octal, `yes` is true).
//!
//! Limits, all checked while reading: the size of the text, the number of nodes, the nesting, and
//! how much aliases and merge keys may multiply. Time and memory are linear in the input.

mod build;
pub mod scalar;

use report::Span;
use std::sync::Arc;

pub use build::read;
pub use scalar::{Scalar, Tag};

/// Bounds of one reading. [`Limits::default`] is what the commands use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest text, in bytes.
    pub bytes: usize,
    /// Most nodes written out in the text.
    pub nodes: usize,
    /// Deepest nesting of lists and maps, aliases included.
    pub depth: usize,
    /// Most nodes that aliases and merge keys may add.
    pub alias_nodes: usize,
    /// Most bytes of scalar text that aliases and merge keys may add.
    pub alias_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 64 << 20, nodes: 1_000_000, depth: 128, alias_nodes: 200_000, alias_bytes: 16 << 20 }
    }
}

/// One node of the tree. Cloning is cheap: children are shared.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where the node is written; for an alias, where the value was defined.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A plain, quoted or block scalar.
    Scalar(Scalar),
    /// A list.
    List(Arc<[Node]>),
    /// A map, in the order of the text; merged keys come last.
    Map(Arc<[Entry]>),
}

/// One key of a map with its value.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: Arc<str>,
    /// Where the key is written.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The value of a key, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entry of a key, if this is a map that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| &*entry.key == key)
    }

    /// The entries of a map; empty for everything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            Kind::Scalar(_) | Kind::List(_) => &[],
        }
    }

    /// The items of a list; empty for everything else.
    pub fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::List(items) => items,
            Kind::Scalar(_) | Kind::Map(_) => &[],
        }
    }

    /// The scalar, if this is one.
    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(scalar),
            Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// Whether this is a null, which go-yaml treats as an absent value.
    pub fn is_null(&self) -> bool {
        self.scalar().is_some_and(Scalar::is_null)
    }

    /// The text of a scalar as a string target receives it; none for null, lists and maps.
    pub fn text(&self) -> Option<&Arc<str>> {
        self.scalar().filter(|scalar| !scalar.is_null()).map(|scalar| &scalar.text)
    }

    /// What the node is called in a message.
    pub fn describe(&self) -> String {
        match &self.kind {
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a map".to_owned(),
            Kind::Scalar(scalar) => scalar.describe(),
        }
    }
}
