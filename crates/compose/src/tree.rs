//! The tree of an image: paths with owner, mode and content, in memory, in the order of their names.
//! Nothing here touches a file system: owners never reach the host's disk (design D2).

use std::collections::BTreeMap;
use std::sync::Arc;

/// The content of a file, shared between the package it came from and the tree.
pub type Content = Arc<[u8]>;

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Dir,
    /// A regular file.
    File(Content),
    /// A symbolic link and where it points.
    Link(String),
}

/// One path of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub node: Node,
    /// Permission bits, 0o7777 at most.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The package that owns it (`wellcar` for our own), for the SBOM and the size table.
    pub owner: Arc<str>,
}

impl Entry {
    /// A file of root's.
    #[must_use]
    pub fn file(content: impl Into<Content>, mode: u32, owner: &Arc<str>) -> Self {
        Self { node: Node::File(content.into()), mode, uid: 0, gid: 0, owner: Arc::clone(owner) }
    }

    /// A symbolic link.
    #[must_use]
    pub fn link(target: impl Into<String>, owner: &Arc<str>) -> Self {
        Self { node: Node::Link(target.into()), mode: 0o777, uid: 0, gid: 0, owner: Arc::clone(owner) }
    }

    /// The size of a file's content in bytes; 0 for the rest.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &self.node {
            Node::File(content) => content.len() as u64,
            Node::Dir | Node::Link(_) => 0,
        }
    }
}

/// The paths of an image, relative to `/`, without a leading slash.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
}

impl Tree {
    /// An empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts an entry, replacing what was there; gives back what it replaced.
    pub fn put(&mut self, path: impl Into<String>, entry: Entry) -> Option<Entry> {
        self.entries.insert(path.into(), entry)
    }

    /// The entry at a path.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// The content of the file at a path, if it is a file.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&Content> {
        match &self.entries.get(path)?.node {
            Node::File(content) => Some(content),
            Node::Dir | Node::Link(_) => None,
        }
    }

    /// Takes an entry out.
    pub fn remove(&mut self, path: &str) -> Option<Entry> {
        self.entries.remove(path)
    }

    /// Keeps the entries for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Entry) -> bool) {
        self.entries.retain(|path, entry| keep(path, entry));
    }

    /// Every path in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// The entries below a directory, in order.
    pub fn below<'a>(&'a self, dir: &str) -> impl Iterator<Item = (&'a str, &'a Entry)> {
        let from = format!("{dir}/");
        let prefix = from.clone();
        self.entries
            .range(from..)
            .take_while(move |(path, _)| path.starts_with(&prefix))
            .map(|(path, entry)| (path.as_str(), entry))
    }

    /// Follows symbolic links (within the tree, at most 16) to the path of a file or directory. Absolute
    /// targets are taken from the root of the tree; `bin`, `sbin`, `lib` and `lib64` stand for their
    /// places in `usr`.
    #[must_use]
    pub fn resolve(&self, path: &str) -> Option<String> {
        let mut path = merged(path);
        for _ in 0..16 {
            match &self.entries.get(&path)?.node {
                Node::Link(target) => path = merged(&join(&path, target)),
                Node::Dir | Node::File(_) => return Some(path),
            }
        }
        None
    }

    /// Drops directories that hold nothing, and adds the ones that entries need but nobody named.
    pub fn settle_directories(&mut self, owner: &Arc<str>) {
        let mut needed: std::collections::BTreeSet<String> = std::collections::BTreeSet::new();
        for (path, entry) in &self.entries {
            if entry.node == Node::Dir {
                continue;
            }
            let mut at = path.as_str();
            while let Some((dir, _)) = at.rsplit_once('/') {
                if !needed.insert(dir.to_owned()) {
                    break;
                }
                at = dir;
            }
        }
        self.entries.retain(|path, entry| entry.node != Node::Dir || needed.contains(path));
        for dir in needed {
            self.entries.entry(dir).or_insert_with(|| Entry {
                node: Node::Dir,
                mode: 0o755,
                uid: 0,
                gid: 0,
                owner: Arc::clone(owner),
            });
        }
    }
}

/// `bin/x` → `usr/bin/x` and so on: Debian's packages are merged into /usr already but for base-files.
#[must_use]
pub fn merged(path: &str) -> String {
    let first = path.split('/').next().unwrap_or_default();
    match first {
        "bin" | "sbin" | "lib" | "lib64" => format!("usr/{path}"),
        _ => path.to_owned(),
    }
}

/// The path that a link at `path` with this target means, normalised; never above the root.
#[must_use]
pub fn join(path: &str, target: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    if !target.starts_with('/') {
        parts.extend(path.split('/').filter(|part| !part.is_empty()));
        parts.pop();
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_resolve_inside_the_tree() {
        let owner: Arc<str> = "t".into();
        let mut tree = Tree::new();
        tree.put("usr/lib/a.so.1", Entry::file(&b"x"[..], 0o644, &owner));
        tree.put("usr/lib/a.so", Entry::link("a.so.1", &owner));
        tree.put("usr/bin/l", Entry::link("/lib/../lib/a.so", &owner));
        tree.put("usr/loop", Entry::link("loop", &owner));
        assert_eq!(tree.resolve("usr/bin/l").as_deref(), Some("usr/lib/a.so.1"));
        assert_eq!(tree.resolve("usr/loop"), None);
        assert_eq!(join("a/b", "../../../../etc/x"), "etc/x");
    }

    #[test]
    fn directories_follow_their_entries() {
        let owner: Arc<str> = "t".into();
        let mut tree = Tree::new();
        tree.put("usr/empty", Entry { node: Node::Dir, mode: 0o700, uid: 0, gid: 0, owner: owner.clone() });
        tree.put("usr/a/b/c", Entry::file(&b""[..], 0o644, &owner));
        tree.settle_directories(&owner);
        let paths: Vec<_> = tree.iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["usr", "usr/a", "usr/a/b", "usr/a/b/c"]);
    }
}
