//! The initramfs: the static stage 1 as /init, the few kernel modules it needs to reach /usr, and the list
//! that says in which order to load them.

use anyhow::Context as _;
use compose::distribution::InitramfsModules;
use compose::kernel::{KernelError, Modules};
use compose::tree::Tree;
use formats::cpio;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// zstd level of the initramfs: decompression costs the same at every level.
const LEVEL: i32 = 19;

/// Composes the initramfs: cpio newc, zstd.
pub fn build(
    init: &[u8],
    wanted: &InitramfsModules,
    modules: &Modules,
    tree: &Tree,
) -> anyhow::Result<Vec<u8>> {
    let (list, paths) = module_list(wanted, modules)?;
    let mut cpio = cpio::Writer::new(Vec::new(), 0);
    cpio.file("init", 0o755, init)?;
    cpio.file("modules", 0o644, list.as_bytes())?;
    cpio.dir("modules.d", 0o755)?;
    for (name, path) in paths {
        let content = tree
            .file(&format!("usr/lib/modules/{}/{path}", modules.release))
            .with_context(|| format!("failed to find kernel module `{path}`"))?;
        cpio.file(&format!("modules.d/{name}.ko"), 0o644, content)?;
    }
    let plain = cpio.finish()?;
    zstd::bulk::compress(&plain, LEVEL).context("failed to compress the initramfs")
}

/// The `/modules` file, and (name, path) of each module in it.
fn module_list(
    wanted: &InitramfsModules,
    modules: &Modules,
) -> Result<(String, Vec<(String, String)>), KernelError> {
    let mut text = String::from("# Written by the image builder from os/modules.toml: load order.\n");
    let mut paths = Vec::new();
    let mut seen = BTreeSet::new();
    for module in &wanted.initramfs {
        let name = compose::kernel::info::module_name(&module.name);
        if modules.is_builtin(&name) {
            continue;
        }
        if modules.path(&name).is_none() {
            if module.optional {
                continue;
            }
            return Err(KernelError::NoModule(module.name.clone()));
        }
        let mut chain: Vec<&str> = modules.dependencies(&name);
        chain.push(&name);
        for part in chain {
            if !seen.insert(part.to_owned()) {
                continue;
            }
            let params = if part == name { module.params.as_slice() } else { &[] };
            let _ = write!(text, "{part}.ko");
            for param in params {
                let _ = write!(text, " {param}");
            }
            text.push('\n');
            if let Some(path) = modules.path(part) {
                paths.push((part.to_owned(), path.to_owned()));
            }
        }
    }
    Ok((text, paths))
}
