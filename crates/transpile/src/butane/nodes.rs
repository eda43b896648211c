//! `trees` and `quadlets`: sugar that becomes files, directories and links.

use super::{Butane, items, members};
use crate::files::{TreeEntry, TreeKind, require};
use crate::out::{Copy, From, Object, list, number, string};
use crate::yaml::Node;
use ignition::json::{Kind, Value};
use report::{Report, Span, codes};

/// Extensions of quadlets.
const QUADLETS: [&str; 8] =
    [".container", ".volume", ".network", ".kube", ".image", ".build", ".pod", ".artifact"];

impl Butane<'_> {
    /// Adds what lies in the local trees.
    pub(super) fn trees(&mut self, from: From<'_>, out: &mut Object) {
        if self.variant.base < 2 {
            return;
        }
        for node in from.object("storage").items("trees") {
            let tree = From::new(Some(node));
            let Some(files) = require(self.files, node.span, self.reports) else { return };
            let Some((local, span)) = tree.text("local") else {
                self.reports.push(Report::error(codes::MISSING_KEY, "a tree needs `local`").at(node.span));
                continue;
            };
            let entries = match files.tree(local) {
                Ok(entries) => entries,
                Err(error) => {
                    self.reports.push(
                        Report::error(
                            codes::LOCAL_FILE,
                            format!("failed to read the local tree `{local}`: {error}"),
                        )
                        .at(span),
                    );
                    continue;
                }
            };
            let base = tree.text("path").map_or("/", |(path, _)| path).trim_end_matches('/').to_owned();
            for entry in entries {
                let path = match (base.as_str(), entry.path.as_str()) {
                    ("", "") => "/".to_owned(),
                    (base, "") => base.to_owned(),
                    (base, path) => format!("{base}/{path}"),
                };
                self.tree_entry(tree, local, &entry, &path, span, out);
            }
        }
    }

    fn tree_entry(
        &mut self,
        tree: From<'_>,
        local: &str,
        entry: &TreeEntry,
        path: &str,
        span: Span,
        out: &mut Object,
    ) {
        let custom =
            tree.node("user").is_some() || tree.node("group").is_some() || tree.node("dir_mode").is_some();
        match &entry.kind {
            TreeKind::Directory if !custom => {}
            TreeKind::Directory => {
                if self.taken(out, path, span, None) {
                    return;
                }
                let mut node = owned(tree, path, span);
                node.put("mode", number(tree.int("dir_mode").map_or(0o755, |(mode, _)| mode), span));
                add(out, "directories", node.finish(span));
            }
            TreeKind::File { executable } => {
                let full = format!("{}/{}", local.trim_end_matches('/'), entry.path);
                let full = if entry.path.is_empty() { local.to_owned() } else { full };
                let Some(bytes) = crate::files::read_local(self.files, &full, span, self.reports) else {
                    return;
                };
                if self.taken(out, path, span, Some("files")) {
                    return;
                }
                let mode =
                    tree.int("file_mode").map_or(if *executable { 0o755 } else { 0o644 }, |(mode, _)| mode);
                self.fill(out, "files", path, tree, span, |butane, node| {
                    let mut contents = Object::new();
                    if let Some(Value { kind: Kind::Object(old), .. }) = get(node, "contents") {
                        for member in std::mem::take(old) {
                            contents.put_at(&member.key.value, member.key.span, member.value);
                        }
                    }
                    butane.put_contents(&bytes, span, &mut contents);
                    set(node, "contents", contents.finish(span));
                    if get(node, "mode").is_none() {
                        set(node, "mode", number(mode, span));
                    }
                });
            }
            TreeKind::Link { target } => {
                if self.taken(out, path, span, Some("links")) {
                    return;
                }
                self.fill(out, "links", path, tree, span, |_, node| {
                    set(node, "target", string(target.as_str(), span));
                });
            }
            TreeKind::Other => {
                self.reports.push(
                    Report::error(
                        codes::LOCAL_FILE,
                        format!("`{}` in the local tree `{local}` is no file, directory or link", entry.path),
                    )
                    .at(span),
                );
            }
        }
    }

    /// Whether a node with contents, or of another kind than `kind`, is at this path already.
    fn taken(&mut self, out: &mut Object, path: &str, span: Span, kind: Option<&str>) -> bool {
        for list in ["files", "directories", "links"] {
            let Some(node) = find(out, list, path) else { continue };
            let full = match list {
                "files" => node.get("contents").is_some_and(|contents| contents.get("source").is_some()),
                "links" => node.get("target").is_some(),
                _ => true,
            };
            if full || kind != Some(list) {
                let other = node.span;
                self.reports.push(
                    Report::error(
                        codes::DUPLICATE_ENTRY,
                        format!("`{path}` is described elsewhere too, with contents or as something else"),
                    )
                    .at(span)
                    .related(other, "described here"),
                );
                return true;
            }
        }
        false
    }

    /// Completes the node at a path, which is made if there is none.
    fn fill(
        &mut self,
        out: &mut Object,
        kind: &str,
        path: &str,
        owner: From<'_>,
        span: Span,
        complete: impl FnOnce(&mut Self, &mut Value),
    ) {
        if let Some(node) = find(out, kind, path) {
            complete(self, node);
        } else {
            let mut node = owned(owner, path, span).finish(span);
            complete(self, &mut node);
            add(out, kind, node);
        }
    }

    /// Adds podman's quadlets.
    pub(super) fn quadlets(&mut self, from: From<'_>, out: &mut Object) {
        if self.variant.base < 8 {
            return;
        }
        for node in from.object("systemd").items("quadlets") {
            self.quadlet(node, out);
        }
    }

    fn quadlet(&mut self, node: &Node, out: &mut Object) {
        let from = From::new(Some(node));
        let (name, span) = from.text("name").unwrap_or(("", node.span));
        if !QUADLETS.iter().any(|extension| name.ends_with(extension)) || name.contains('/') {
            self.reports.push(
                Report::error(codes::UNIT, format!("`{name}` is no name of a quadlet"))
                    .at(span)
                    .hint(format!("it ends with one of {}", QUADLETS.join(", "))),
            );
            return;
        }
        let base = if from.boolean("rootful").is_some_and(|(value, _)| value) {
            "/etc/containers/systemd"
        } else {
            "/etc/containers/systemd/users"
        };
        let path = format!("{base}/{name}");
        let given = from.pointer("contents").map(|(text, span)| (text.to_owned(), span));
        let local = from.text("contents_local");
        if let (Some((_, first)), Some((_, second))) = (&given, &local) {
            self.reports.push(
                Report::error(codes::CONFLICT, "only one of `contents` and `contents_local` can be given")
                    .at(*second)
                    .related(*first, "given here"),
            );
            return;
        }
        // `foo@bar.container` is a link to its template `foo@.container`.
        if let (Some(at), Some(dot)) = (name.find('@'), name.find('.'))
            && at + 1 != dot
        {
            if given.is_some() || local.is_some() {
                self.reports.push(
                    Report::error(codes::UNIT, "an instance of a template has no contents of its own")
                        .at(span),
                );
                return;
            }
            if !self.taken(out, &path, span, None) {
                let mut link = Object::new();
                link.put("path", string(path, span));
                link.put("target", string(format!("{}@{}", &name[..at], &name[dot..]), span));
                add(out, "links", link.finish(span));
            }
            return;
        }
        let text = match (given, local) {
            (Some((text, _)), _) => text,
            (None, Some((local, span))) => match self.local_text(local, span) {
                Some(text) => text,
                None => return,
            },
            (None, None) => String::new(),
        };
        if !self.taken(out, &path, span, Some("files")) {
            self.fill(out, "files", &path, From::new(None), span, |butane, node| {
                let mut contents = Object::new();
                butane.put_contents(text.as_bytes(), span, &mut contents);
                set(node, "contents", contents.finish(span));
            });
        }
    }
}

/// A new node with the owner that a tree names.
fn owned(owner: From<'_>, path: &str, span: Span) -> Object {
    let mut out = Object::new();
    for key in ["group", "user"] {
        let from = owner.object(key);
        if from.exists() {
            let mut inner = Object::new();
            Copy { from, to: &mut inner }.int("id", "id").pointer("name", "name");
            out.put(key, inner.finish(from.span()));
        }
    }
    out.put("path", string(path, span));
    out
}

fn find<'a>(out: &'a mut Object, kind: &str, path: &str) -> Option<&'a mut Value> {
    let storage = members(out.get_mut("storage")?)?;
    let nodes = items(&mut storage.iter_mut().find(|member| member.key.value == kind)?.value)?;
    nodes
        .iter_mut()
        .find(|node| matches!(node.get("path"), Some(Value { kind: Kind::String(text), .. }) if text == path))
}

fn add(out: &mut Object, kind: &str, node: Value) {
    let span = node.span;
    if out.get_mut("storage").is_none() {
        out.put("storage", Object::new().finish(span));
    }
    let Some(storage) = out.get_mut("storage") else { return };
    if get(storage, kind).is_none() {
        set(storage, kind, list(Vec::new(), span));
    }
    if let Some(items) = get(storage, kind).and_then(items) {
        items.push(node);
    }
}

fn get<'a>(object: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    members(object)?.iter_mut().find(|member| member.key.value == key).map(|member| &mut member.value)
}

fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(old) = get(object, key) {
        *old = value;
    } else if let Some(members) = members(object) {
        members.push(ignition::json::Member { key: report::Spanned::new(key.to_owned(), value.span), value });
    }
}

/// Whether a mode was probably meant in octal and written in decimal: it is unusual as it is, and
/// usual when its digits are read as octal ones.
pub fn looks_decimal(mode: i64, directory: bool) -> bool {
    let Ok(value) = u32::try_from(mode) else { return false };
    if value > 7777 {
        return false;
    }
    u32::from_str_radix(&value.to_string(), 8)
        .is_ok_and(|octal| !is_usual(value, directory) && is_usual(octal, directory))
}

/// Whether a mode raises no eyebrow.
fn is_usual(mode: u32, directory: bool) -> bool {
    if mode == 0 {
        return true;
    }
    // Others, group, owner: whoever is nearer may do at least as much.
    let (mut read, mut write, mut run) = (false, false, false);
    for bits in [mode & 7, mode >> 3 & 7, mode >> 6 & 7] {
        let (r, w, x) = (bits & 4 != 0, bits & 2 != 0, bits & 1 != 0);
        if !r && read || !w && write || !x && run || x && read && !run || (w || x) && !r {
            return false;
        }
        (read, write, run) = (read || r, write || w, run || x);
    }
    let special = mode >> 9;
    if directory {
        read && run && special & 4 == 0 && (special & 3 == 0 || write)
    } else {
        read && special & 1 == 0 && (special & 6 == 0 || run && mode & 2 == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_modes_are_recognised() {
        assert!(looks_decimal(644, false) && looks_decimal(755, true) && looks_decimal(1777, true));
        for good in [0o644, 0o755, 0o600, 0, 0o4755] {
            assert!(!looks_decimal(good, false), "{good:o}");
        }
        assert!(!looks_decimal(-1, false) && !looks_decimal(99999, false) && !looks_decimal(888, false));
    }
}
