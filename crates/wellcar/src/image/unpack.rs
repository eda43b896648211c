//! Unpacks the packages of the lock into memory, several at a time.

use anyhow::Context as _;
use compose::assemble::{PackageFile, PackageFiles};
use compose::tree::{Content, Node};
use formats::deb::{Deb, Kind, Limits};
use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Unpacks the archives; `done` is told after each.
pub fn unpack_all(
    archives: &[(String, PathBuf)],
    done: &(dyn Fn(&str) + Sync),
) -> anyhow::Result<Vec<PackageFiles>> {
    let next = AtomicUsize::new(0);
    let slots: Vec<Mutex<Option<anyhow::Result<PackageFiles>>>> =
        archives.iter().map(|_| Mutex::new(None)).collect();
    // The largest first, so that none of them is left for the end.
    let mut order: Vec<usize> = (0..archives.len()).collect();
    order.sort_by_key(|&at| {
        std::cmp::Reverse(std::fs::metadata(&archives[at].1).map_or(0, |meta| meta.len()))
    });
    let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(8);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(&at) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (name, path) = &archives[at];
                    let result = unpack(name, path).with_context(|| {
                        format!("failed to unpack package `{name}` from `{}`", path.display())
                    });
                    done(name);
                    if let Ok(mut slot) = slots[at].lock() {
                        *slot = Some(result);
                    }
                }
            });
        }
    });
    slots
        .into_iter()
        .zip(archives)
        .map(|(slot, (name, _))| {
            slot.into_inner()
                .ok()
                .flatten()
                .unwrap_or_else(|| Err(anyhow::anyhow!("failed to unpack package `{name}`")))
        })
        .collect()
}

fn unpack(name: &str, path: &Path) -> anyhow::Result<PackageFiles> {
    let deb = Deb::read(BufReader::with_capacity(1 << 18, File::open(path)?), &Limits::default())?;
    let mut files: Vec<PackageFile> = Vec::new();
    let mut contents: HashMap<String, Content> = HashMap::new();
    deb.visit(|entry, reader| -> anyhow::Result<()> {
        let node = match entry.kind {
            Kind::Dir => Node::Dir,
            Kind::Symlink { target } => Node::Link(target),
            Kind::File { size } => {
                let mut bytes = Vec::with_capacity(usize::try_from(size.min(256 << 20))?);
                reader.read_to_end(&mut bytes)?;
                anyhow::ensure!(
                    bytes.len() as u64 == size,
                    "failed to read `{}`: expected {size} bytes, found {}",
                    entry.path,
                    bytes.len()
                );
                let content: Content = bytes.into();
                contents.insert(entry.path.clone(), Content::clone(&content));
                Node::File(content)
            }
            Kind::Hardlink { target } => Node::File(contents.get(&target).cloned().with_context(|| {
                format!("failed to find `{target}`, which hard link `{}` names", entry.path)
            })?),
        };
        files.push(PackageFile {
            path: entry.path,
            node,
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            group: entry.gname,
        });
        Ok(())
    })?;
    Ok(PackageFiles { name: name.into(), files })
}
