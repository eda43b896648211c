//! Which shared libraries the image needs: those that a kept program needs (directly or through another
//! library, `DT_NEEDED`), those that `os/files.toml` names, and systemd's optional ones (`.note.dlopen`)
//! only if named. The rest is left out; a needed one that is missing is an error.

use crate::distribution::Libraries;
use crate::elf;
use crate::pattern::Patterns;
use crate::tree::{Node, Tree};
use std::collections::{BTreeMap, BTreeSet};

/// A program or library needs a library that no package brings.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "failed to find library `{library}`, which `{user}` needs: no package of the lock brings it, or `os/files.toml` drops it"
)]
pub struct MissingLibrary {
    /// The name in the ELF header.
    pub library: String,
    /// Who needs it.
    pub user: String,
}

const DIRECTORIES: [&str; 3] = ["usr/lib/x86_64-linux-gnu", "usr/lib", "usr/lib64"];

/// Removes the libraries that nothing needs; gives their paths.
///
/// # Errors
/// Every library that is needed and not there.
pub fn prune(tree: &mut Tree, rules: &Libraries) -> Result<Vec<String>, Vec<MissingLibrary>> {
    let keep = Patterns::new(&rules.keep);
    let mut by_name: BTreeMap<String, String> = BTreeMap::new();
    let mut roots: Vec<String> = Vec::new();
    for (path, entry) in tree.iter() {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let library = DIRECTORIES.contains(&dir) && name.contains(".so");
        if library {
            by_name.insert(name.to_owned(), path.to_owned());
        }
        if matches!(entry.node, Node::File(_)) && (!library || keep.matches(name))
            || library && keep.matches(name)
        {
            roots.push(path.to_owned());
        }
    }
    let mut missing = BTreeMap::new();
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    while let Some(path) = roots.pop() {
        if !wanted.insert(path.clone()) {
            continue;
        }
        let Some(entry) = tree.get(&path) else { continue };
        match &entry.node {
            Node::Link(_) => {
                // A link stays with every hop to its target.
                if let Node::Link(target) = &entry.node {
                    roots.push(crate::tree::join(&path, target));
                }
            }
            Node::File(content) => {
                let Some(needs) = elf::needs(content) else { continue };
                let own_dir = path.rsplit_once('/').map(|(dir, _)| dir.to_owned()).unwrap_or_default();
                for name in needs.needed {
                    let beside = format!("{own_dir}/{name}");
                    let private = format!("usr/lib/x86_64-linux-gnu/systemd/{name}");
                    if let Some(found) = by_name.get(&name) {
                        roots.push(found.clone());
                    } else if tree.get(&beside).is_some() {
                        roots.push(beside);
                    } else if tree.get(&private).is_some() {
                        roots.push(private);
                    } else {
                        missing.entry(name).or_insert_with(|| path.clone());
                    }
                }
            }
            Node::Dir => {}
        }
    }
    if !missing.is_empty() {
        return Err(missing.into_iter().map(|(library, user)| MissingLibrary { library, user }).collect());
    }
    let gone: Vec<String> = by_name.into_values().filter(|path| !wanted.contains(path)).collect();
    for path in &gone {
        if !rules.plugins.iter().any(|dir| path.starts_with(&format!("{dir}/"))) {
            tree.remove(path);
        }
    }
    Ok(gone)
}
