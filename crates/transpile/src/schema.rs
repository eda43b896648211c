//! Languages as data: which keys an object has, what type each wants, since which version, and by
//! which key two lists are one. One walk over these tables finds wrong types and unknown keys; the
//! merge of snippets and the plain parts of the translation use the same tables.

use crate::yaml::{Kind, Node};
use report::{Report, Reports, codes};

/// What a value must be.
#[derive(Debug, Clone, Copy)]
pub enum Ty {
    /// A string; every scalar is one.
    Str,
    /// A boolean.
    Bool,
    /// A signed integer.
    Int,
    /// An integer that is not negative.
    Uint,
    /// A list.
    List(&'static Ty),
    /// A list of objects, which snippets merge by the first of these keys that an item has.
    Keyed(&'static Obj, &'static [&'static str]),
    /// An object.
    Obj(&'static Obj),
    /// Checked by the language itself.
    Any,
}

/// An object of the language.
#[derive(Debug)]
pub struct Obj {
    /// Its keys, in the order of the output.
    pub fields: &'static [Field],
}

/// A key of an object.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The key.
    pub key: &'static str,
    /// Its type.
    pub ty: Ty,
    /// Its name in Ignition; empty where the translation is more than a change of name.
    pub out: &'static str,
    /// The first version of the language's base that has it.
    pub since: u8,
}

impl Field {
    /// The same, known only from this version on.
    pub const fn since(mut self, version: u8) -> Self {
        self.since = version;
        self
    }
}

/// A key that becomes the Ignition key `out`.
pub const fn field(key: &'static str, ty: Ty, out: &'static str) -> Field {
    Field { key, ty, out, since: 0 }
}

/// A key that the language translates by its own code.
pub const fn sugar(key: &'static str, ty: Ty) -> Field {
    Field { key, ty, out: "", since: 0 }
}

/// A list of strings.
pub const STRINGS: Ty = Ty::List(&Ty::Str);

impl Obj {
    /// The field of a key that this version has.
    pub fn field(&self, key: &str, version: u8) -> Option<&Field> {
        self.fields.iter().find(|field| field.key == key && field.since <= version)
    }
}

/// A key path such as `$.storage.files.0.path`, built on the way down.
#[derive(Debug, Clone)]
pub struct KeyPath(String);

impl KeyPath {
    /// The root, `$`.
    pub fn root() -> Self {
        Self("$".to_owned())
    }

    /// The path of a key or index below this one.
    #[must_use]
    pub fn join(&self, part: impl std::fmt::Display) -> Self {
        Self(format!("{}.{part}", self.0))
    }

    /// The path as reports show it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How a language is checked.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Whether an unknown key is only a warning.
    pub lax: bool,
    /// The version of the language's base.
    pub version: u8,
    /// What a key that belongs to another language is called here.
    pub foreign: &'static [(&'static str, &'static str)],
}

/// Checks a tree against its table: every wrong type, every unknown key.
pub fn check(node: &Node, ty: Ty, path: &KeyPath, how: &Check, reports: &mut Reports) {
    if node.is_null() {
        return;
    }
    let wrong = |want: &str| {
        Report::error(
            codes::WRONG_TYPE,
            format!("`{}` must be {want}, and this is {}", last(path), node.describe()),
        )
        .at(node.span)
        .path(path.as_str())
    };
    match ty {
        Ty::Any => {}
        Ty::Str => {
            if node.scalar().is_none() {
                reports.push(template_hint(node, wrong("a string")));
            }
        }
        Ty::Bool => {
            if node.scalar().is_none_or(|scalar| scalar.to_bool().is_none()) {
                let quoted = node.scalar().is_some_and(|scalar| matches!(&*scalar.text, "true" | "false"));
                let report = wrong("`true` or `false`");
                reports.push(if quoted { report.hint("remove the quotes") } else { report });
            }
        }
        Ty::Int | Ty::Uint => match node.scalar().and_then(super::yaml::Scalar::to_int) {
            None => {
                let quoted = node
                    .scalar()
                    .is_some_and(|scalar| !scalar.plain && scalar.text.bytes().all(|b| b.is_ascii_digit()));
                let report = wrong("a whole number");
                reports.push(if quoted { report.hint("remove the quotes") } else { report });
            }
            Some(value) if value < 0 && matches!(ty, Ty::Uint) => {
                reports.push(wrong("a whole number that is not negative"));
            }
            Some(_) => {}
        },
        Ty::List(item) => match &node.kind {
            Kind::List(items) => {
                for (index, node) in items.iter().enumerate() {
                    check(node, *item, &path.join(index), how, reports);
                }
            }
            Kind::Scalar(_) => reports.push(wrong("a list").hint("put `- ` before each item")),
            Kind::Map(_) => reports.push(wrong("a list").hint("put `- ` before the first key of each item")),
        },
        Ty::Keyed(obj, _) => match &node.kind {
            Kind::List(items) => {
                for (index, node) in items.iter().enumerate() {
                    check(node, Ty::Obj(obj), &path.join(index), how, reports);
                }
            }
            Kind::Scalar(_) => reports.push(wrong("a list of maps")),
            Kind::Map(_) => reports.push(wrong("a list").hint("put `- ` before the first key of each item")),
        },
        Ty::Obj(obj) => {
            if !matches!(node.kind, Kind::Map(_)) {
                reports.push(wrong("a map"));
                return;
            }
            for entry in node.entries() {
                let path = path.join(&entry.key);
                if let Some(field) = obj.field(&entry.key, how.version) {
                    check(&entry.value, field.ty, &path, how, reports);
                } else {
                    reports.push(unknown(&entry.key, obj, how).at(entry.key_span).path(path.as_str()));
                }
            }
        }
    }
}

fn last(path: &KeyPath) -> &str {
    let name = path.as_str().rsplit('.').next().unwrap_or_default();
    if name.bytes().all(|b| b.is_ascii_digit()) { "this item" } else { name }
}

fn template_hint(node: &Node, report: Report) -> Report {
    let nested = node.entries().first().is_some_and(|entry| entry.value.is_null());
    if nested {
        report.hint("if this is a template (`{{ ... }}`), render it first; if it is text, quote it")
    } else {
        report
    }
}

/// The report of an unknown key, with what may have been meant.
pub fn unknown(key: &str, obj: &Obj, how: &Check) -> Report {
    let shown: String = key.chars().take(60).collect();
    let message = format!("unknown key `{shown}`");
    let report = if how.lax {
        Report::warning(codes::UNKNOWN_KEY, message)
    } else {
        Report::error(codes::UNKNOWN_KEY, message)
    };
    if let Some(field) = obj.fields.iter().find(|field| field.key == key) {
        return report.hint(format!("`{}` exists only in a later version of this language", field.key));
    }
    if let Some((_, hint)) = how.foreign.iter().find(|(foreign, _)| *foreign == key) {
        return report.hint(*hint);
    }
    let known = obj.fields.iter().filter(|field| field.since <= how.version).map(|field| field.key);
    match closest(key, known) {
        Some(name) => report.hint(format!("did you mean `{name}`?")),
        None => report,
    }
}

/// The known name nearest to what was written, if it is near enough to be a slip.
pub fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > 64 {
        return None;
    }
    let folded = fold(name);
    let limit = (folded.len() / 3).max(1);
    known
        .map(|candidate| (fold(candidate), candidate))
        .filter(|(other, _)| other.len().abs_diff(folded.len()) <= limit)
        .map(|(other, candidate)| (distance(&folded, &other), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Case, `-` and `_` are no difference worth counting: `sshAuthorizedKeys` is `ssh_authorized_keys`.
fn fold(name: &str) -> Vec<u8> {
    name.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_lowercase()).collect()
}

/// Edits (insert, delete, replace, swap of neighbours) between two short words.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (above[j] + 1).min(row[j - 1] + 1).min(above[j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let known = ["systemd", "storage", "ssh_authorized_keys", "enable", "enabled"];
        let near = |name| closest(name, known.iter().copied());
        assert_eq!(near("sytemd"), Some("systemd"));
        assert_eq!(near("stroage"), Some("storage"));
        assert_eq!(near("sshAuthorizedKeys"), Some("ssh_authorized_keys"));
        assert_eq!(near("ssh-authorized-keys"), Some("ssh_authorized_keys"));
        assert_eq!(near("flannel"), None);
        assert_eq!(near(&"x".repeat(1000)), None);
    }
}
