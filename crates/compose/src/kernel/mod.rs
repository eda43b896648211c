//! Kernel modules of the image: stored plain, pruned to what may be needed, and indexed as depmod would
//! (modules.dep and its kin), because no maintainer script runs on the node.

pub mod index;
pub mod info;

use crate::tree::{Entry, Node, Tree};
use info::{ModuleInfo, module_name};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

/// What can be wrong with the modules of a kernel package.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// A module does not decompress or is no ELF file.
    #[error("failed to read kernel module `{path}`: {reason}")]
    Unreadable {
        /// Path in the tree.
        path: String,
        /// Why.
        reason: String,
    },
    /// A module names a dependency that neither the package nor the kernel has.
    #[error("failed to find `{dependency}`, which kernel module `{module}` depends on")]
    NoDependency {
        /// The module.
        module: String,
        /// What it names.
        dependency: String,
    },
    /// `os/modules.toml` names a module that the kernel does not have.
    #[error("failed to find kernel module `{0}` of `os/modules.toml`: rename it, or mark it optional")]
    NoModule(String),
}

/// The modules of one kernel.
#[derive(Debug)]
pub struct Modules {
    /// Kernel release, as `uname -r` prints it.
    pub release: String,
    /// Name → (path below `kernel release`, what it says of itself).
    by_name: BTreeMap<String, (String, ModuleInfo)>,
    builtin: BTreeSet<String>,
}

/// Decompresses every module of the tree (`.ko.xz` → `.ko`), drops those that `unwanted` says unless a
/// wanted one needs them, and reads what they say of themselves.
///
/// # Errors
/// Broken modules, dependencies that do not exist.
pub fn settle(
    tree: &mut Tree,
    release: &str,
    unwanted: impl Fn(&str) -> bool,
) -> Result<Modules, KernelError> {
    let base = format!("usr/lib/modules/{release}");
    let paths: Vec<String> = tree
        .below(&base)
        .filter(|(path, _)| path.ends_with(".ko.xz") || path.ends_with(".ko"))
        .map(|(path, _)| path.to_owned())
        .collect();
    let mut all: BTreeMap<String, (String, ModuleInfo, Entry)> = BTreeMap::new();
    for (path, entry) in decompress(tree, paths)? {
        let Node::File(content) = &entry.node else { continue };
        let info = info::read(content).ok_or_else(|| KernelError::Unreadable {
            path: path.clone(),
            reason: "it is no ELF file with .modinfo".into(),
        })?;
        let relative = path[base.len() + 1..].to_owned();
        all.insert(module_name(&path), (relative, info, entry));
    }
    let builtin: BTreeSet<String> = tree
        .file(&format!("{base}/modules.builtin"))
        .map(|text| String::from_utf8_lossy(text).lines().map(module_name).collect())
        .unwrap_or_default();

    let mut wanted: BTreeSet<String> = BTreeSet::new();
    let mut queue: Vec<String> = all
        .iter()
        .filter(|(_, (path, _, _))| {
            !unwanted(&format!("{base}/{path}")) && !unwanted(&format!("{base}/{path}.xz"))
        })
        .map(|(name, _)| name.clone())
        .collect();
    while let Some(name) = queue.pop() {
        if !wanted.insert(name.clone()) {
            continue;
        }
        let Some((_, info, _)) = all.get(&name) else { continue };
        for dependency in &info.depends {
            if all.contains_key(dependency) {
                queue.push(dependency.clone());
            } else if !builtin.contains(dependency) {
                return Err(KernelError::NoDependency { module: name, dependency: dependency.clone() });
            }
        }
    }
    let mut by_name = BTreeMap::new();
    for (name, (path, info, entry)) in all {
        if wanted.contains(&name) {
            tree.put(format!("{base}/{path}"), entry);
            by_name.insert(name, (path, info));
        }
    }
    Ok(Modules { release: release.to_owned(), by_name, builtin })
}

/// Takes the modules out of the tree and gives them back plain, two at a time.
fn decompress(tree: &mut Tree, paths: Vec<String>) -> Result<Vec<(String, Entry)>, KernelError> {
    let mut taken: Vec<(String, Entry)> =
        paths.into_iter().filter_map(|path| tree.remove(&path).map(|entry| (path, entry))).collect();
    let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(8);
    let share = taken.len().div_ceil(workers).max(1);
    std::thread::scope(|scope| {
        let handles: Vec<_> = taken
            .chunks_mut(share)
            .map(|chunk| {
                scope.spawn(move || -> Result<(), KernelError> {
                    for (path, entry) in chunk {
                        let Some(plain) = path.strip_suffix(".xz") else { continue };
                        let Node::File(content) = &entry.node else { continue };
                        let bytes = info::decompress(content).map_err(|error| KernelError::Unreadable {
                            path: path.clone(),
                            reason: error.to_string(),
                        })?;
                        entry.node = Node::File(bytes.into());
                        *path = plain.to_owned();
                    }
                    Ok(())
                })
            })
            .collect();
        for handle in handles {
            handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok::<(), KernelError>(())
    })?;
    Ok(taken)
}

impl Modules {
    /// Number of modules.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The path (below the release's directory) of a module, its underscores and dashes being the same.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<&str> {
        self.by_name.get(&module_name(name)).map(|(path, _)| path.as_str())
    }

    /// Whether the kernel has it built in.
    #[must_use]
    pub fn is_builtin(&self, name: &str) -> bool {
        self.builtin.contains(&module_name(name))
    }

    /// What must be loaded before a module, in the order of loading; the module itself not among it.
    #[must_use]
    pub fn dependencies(&self, name: &str) -> Vec<&str> {
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        self.visit(name, &mut seen, &mut order);
        order.pop();
        order
    }

    fn visit<'a>(&'a self, name: &str, seen: &mut BTreeSet<&'a str>, order: &mut Vec<&'a str>) {
        let Some((key, (_, info))) = self.by_name.get_key_value(name) else { return };
        if !seen.insert(key) {
            return;
        }
        for dependency in &info.depends {
            self.visit(dependency, seen, order);
        }
        order.push(key);
    }

    /// Writes modules.dep, modules.alias, modules.softdep, modules.builtin* and their binary forms into the
    /// tree, as depmod(8) would. modules.symbols is there but empty: it serves `symbol:` aliases, which no
    /// program of the image asks for.
    pub fn write_indices(&self, tree: &mut Tree, owner: &Arc<str>) {
        let base = format!("usr/lib/modules/{}", self.release);
        let mut dep_text = String::new();
        let mut dep = Vec::new();
        let mut alias_text = String::from("# Aliases extracted from modules themselves.\n");
        let mut alias = Vec::new();
        let mut softdep = String::from("# Soft dependencies extracted from modules themselves.\n");
        for (order, (name, (path, info))) in self.by_name.iter().enumerate() {
            let needs: Vec<&str> =
                self.dependencies(name).iter().rev().filter_map(|dependency| self.path(dependency)).collect();
            let line = format!("{path}:{}{}", if needs.is_empty() { "" } else { " " }, needs.join(" "));
            let _ = writeln!(dep_text, "{line}");
            let priority = u32::try_from(order).unwrap_or(u32::MAX);
            dep.push((name.clone(), line, priority));
            for pattern in &info.aliases {
                let _ = writeln!(alias_text, "alias {pattern} {name}");
                alias.push((info::underscores(pattern), name.clone(), priority));
            }
            for text in &info.softdeps {
                let _ = writeln!(softdep, "softdep {name} {text}");
            }
        }
        let builtin: Vec<_> = self.builtin.iter().map(|name| (name.clone(), String::new(), 0)).collect();
        let builtin_alias = tree
            .file(&format!("{base}/modules.builtin.modinfo"))
            .map(|bytes| info::builtin_aliases(bytes))
            .unwrap_or_default()
            .into_iter()
            .map(|(name, pattern)| (info::underscores(&pattern), name, 0))
            .collect::<Vec<_>>();
        let mut put = |name: &str, bytes: Vec<u8>| {
            tree.put(format!("{base}/{name}"), Entry::file(bytes, 0o644, owner));
        };
        put("modules.dep", dep_text.into_bytes());
        put("modules.dep.bin", index::write(dep));
        put("modules.alias", alias_text.into_bytes());
        put("modules.alias.bin", index::write(alias));
        put("modules.softdep", softdep.into_bytes());
        put("modules.symbols", Vec::new());
        put("modules.symbols.bin", index::write(Vec::new()));
        put("modules.builtin.bin", index::write(builtin));
        put("modules.builtin.alias.bin", index::write(builtin_alias));
        put("modules.devname", Vec::new());
    }
}
