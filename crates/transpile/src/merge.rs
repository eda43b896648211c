//! Lays snippets over a config, before translation: objects by key, lists of objects by the key of
//! their items, lists of strings one after the other; of two scalars the later wins. Every value that
//! loses is reported with both positions.
//!
//! Doing this on the source and not on the result keeps what the sections mean: two snippets that set
//! `update` and `locksmith` make one `/etc/coreos/update.conf`, not two.

use crate::schema::{Obj, Ty};
use crate::yaml::{Entry, Kind, Node};
use report::{Report, Reports, Span, codes};
use std::collections::HashMap;

/// Keys of which an object has only one; the later one removes the others.
const EXCLUSIVE: [&[&str]; 2] = [&["inline", "local", "source", "remote"], &["contents", "contents_local"]];

/// Lists that are sets: what is in them already is not added again.
const SETS: [&str; 7] = [
    "ssh_authorized_keys",
    "ssh_authorized_keys_local",
    "groups",
    "should_exist",
    "should_not_exist",
    "no_proxy",
    "devices",
];

/// Lays `child` over `parent`.
pub fn merge(parent: &Node, child: &Node, obj: &'static Obj, version: u8, reports: &mut Reports) -> Node {
    Merge { version, reports }.value(parent, child, Ty::Obj(obj), "")
}

struct Merge<'a> {
    version: u8,
    reports: &'a mut Reports,
}

impl Merge<'_> {
    fn value(&mut self, parent: &Node, child: &Node, ty: Ty, key: &str) -> Node {
        if child.is_null() {
            return parent.clone();
        }
        if parent.is_null() {
            return child.clone();
        }
        match (ty, &parent.kind, &child.kind) {
            (Ty::Obj(obj), Kind::Map(old), Kind::Map(new)) => self.object(parent, old, new, Some(obj)),
            (Ty::Any, Kind::Map(old), Kind::Map(new)) => self.object(parent, old, new, None),
            (Ty::Keyed(obj, keys), Kind::List(old), Kind::List(new)) => {
                self.list(parent, old, new, obj, keys)
            }
            (Ty::List(_), Kind::List(old), Kind::List(new)) => {
                let mut items = old.to_vec();
                let set = SETS.contains(&key);
                items.extend(
                    new.iter().filter(|item| !set || !old.iter().any(|other| same(other, item))).cloned(),
                );
                Node { span: parent.span, kind: Kind::List(items.into()) }
            }
            _ => {
                if !same(parent, child) {
                    self.overridden(key, parent.span, child.span);
                }
                child.clone()
            }
        }
    }

    fn overridden(&mut self, what: &str, first: Span, second: Span) {
        self.reports.push(
            Report::warning(
                codes::MERGE,
                format!("`{what}` is set twice with different values, and this one wins"),
            )
            .at(second)
            .related(first, "this one loses"),
        );
    }

    fn object(&mut self, parent: &Node, old: &[Entry], new: &[Entry], obj: Option<&'static Obj>) -> Node {
        let mut entries: Vec<Entry> = old.to_vec();
        // A file's contents are one thing: where they come from, how they are packed, their hash.
        let whole = EXCLUSIVE[0];
        if let Some(entry) = new.iter().find(|entry| whole.contains(&&*entry.key) && !entry.value.is_null())
            && let Some(lost) =
                old.iter().find(|entry| whole.contains(&&*entry.key) && !entry.value.is_null())
        {
            if lost.key != entry.key || !same(&lost.value, &entry.value) {
                self.overridden("contents", lost.key_span, entry.key_span);
            }
            entries.clear();
        }
        if let Some(entry) =
            new.iter().find(|entry| EXCLUSIVE[1].contains(&&*entry.key) && !entry.value.is_null())
        {
            entries.retain(|other| {
                let lost =
                    EXCLUSIVE[1].contains(&&*other.key) && other.key != entry.key && !other.value.is_null();
                if lost {
                    self.overridden("contents", other.key_span, entry.key_span);
                }
                !lost
            });
        }
        if obj.is_some_and(|obj| obj.field("directories", 0).is_some()) {
            self.other_kinds(&mut entries, new);
        }
        for entry in new {
            let ty = match obj {
                Some(obj) => obj.field(&entry.key, self.version).map_or(Ty::Any, |field| field.ty),
                None => Ty::Any,
            };
            match entries.iter_mut().find(|other| other.key == entry.key) {
                Some(other) => {
                    let value = self.value(&other.value, &entry.value, ty, &entry.key);
                    other.value = value;
                }
                None => entries.push(entry.clone()),
            }
        }
        Node { span: parent.span, kind: Kind::Map(entries.into()) }
    }

    fn list(&mut self, parent: &Node, old: &[Node], new: &[Node], obj: &'static Obj, keys: &[&str]) -> Node {
        let mut items = old.to_vec();
        let mut places: HashMap<String, usize> = HashMap::new();
        for (index, item) in items.iter().enumerate() {
            if let Some(id) = identity(item, keys) {
                places.entry(id).or_insert(index);
            }
        }
        for item in new {
            let place = identity(item, keys).and_then(|id| places.get(&id).copied());
            match place.and_then(|index| items.get(index).cloned().map(|old| (index, old))) {
                Some((index, old)) => {
                    let merged = self.value(&old, item, Ty::Obj(obj), "");
                    if let Some(slot) = items.get_mut(index) {
                        *slot = merged;
                    }
                }
                None => items.push(item.clone()),
            }
        }
        Node { span: parent.span, kind: Kind::List(items.into()) }
    }

    /// A path that a snippet describes as something else is no longer what it was.
    fn other_kinds(&mut self, entries: &mut [Entry], new: &[Entry]) {
        const KINDS: [&str; 3] = ["files", "directories", "links"];
        for entry in new.iter().filter(|entry| KINDS.contains(&&*entry.key)) {
            let mut paths: HashMap<String, Span> = HashMap::new();
            for item in entry.value.items() {
                if let Some(id) = identity(item, &["path"]) {
                    paths.insert(id, item.span);
                }
            }
            for other in
                entries.iter_mut().filter(|other| KINDS.contains(&&*other.key) && other.key != entry.key)
            {
                let mut kept = Vec::new();
                for item in other.value.items() {
                    match identity(item, &["path"]).and_then(|id| paths.get(&id).copied()) {
                        Some(span) => self.overridden("path", item.span, span),
                        None => kept.push(item.clone()),
                    }
                }
                if kept.len() < other.value.items().len() {
                    other.value = Node { span: other.value.span, kind: Kind::List(kept.into()) };
                }
            }
        }
    }
}

/// What identifies an item of a list: its first key that is set, and for a path the file system too.
fn identity(item: &Node, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| {
        let value = item.get(key)?.text()?;
        if value.is_empty() || *key == "number" && &**value == "0" {
            return None;
        }
        let place = match *key {
            "path" => item.get("filesystem").and_then(Node::text).map_or("root", |text| &**text),
            key => key,
        };
        Some(format!("{place}\0{value}"))
    })
}

/// Whether two values mean the same, wherever they stand.
fn same(a: &Node, b: &Node) -> bool {
    match (&a.kind, &b.kind) {
        (Kind::Scalar(a), Kind::Scalar(b)) => {
            a.text == b.text
                || a.to_int().is_some_and(|value| b.to_int() == Some(value))
                || a.to_bool().is_some_and(|value| b.to_bool() == Some(value))
        }
        (Kind::List(a), Kind::List(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same(a, b))
        }
        (Kind::Map(_), Kind::Map(_)) => {
            a.entries().len() == b.entries().len()
                && a.entries()
                    .iter()
                    .all(|entry| b.get(&entry.key).is_some_and(|other| same(&entry.value, other)))
        }
        _ => false,
    }
}
