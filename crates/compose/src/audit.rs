//! What the image holds, counted, and held against the limits of `os/image.toml`.

use crate::distribution::Image;
use crate::tree::{Node, Tree};
use std::collections::{BTreeMap, BTreeSet};

/// A limit that is exceeded.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "failed to keep the image within its limit for {what}: expected at most {limit}, found {found}; see [budget] and [audit] of `os/image.toml`"
)]
pub struct Exceeded {
    /// What was counted, with its unit.
    pub what: String,
    /// The limit.
    pub limit: u64,
    /// What was found.
    pub found: u64,
}

/// The figures of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// Files, links and directories.
    pub entries: usize,
    /// Bytes of all files.
    pub bytes: u64,
    /// Packages that have files in the image, with the bytes and files of each.
    pub packages: BTreeMap<String, (u64, u64)>,
    /// Programs in PATH.
    pub path_binaries: usize,
    /// Files with setuid or setgid.
    pub privileged: Vec<String>,
}

/// Counts.
#[must_use]
pub fn figures(tree: &Tree) -> Figures {
    let mut packages: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut binaries = BTreeSet::new();
    let mut privileged = Vec::new();
    let (mut entries, mut bytes) = (0, 0);
    for (path, entry) in tree.iter() {
        entries += 1;
        if entry.node == Node::Dir {
            continue;
        }
        bytes += entry.size();
        let package = packages.entry(entry.owner.to_string()).or_default();
        package.0 += entry.size();
        package.1 += 1;
        if let Some(name) = path.strip_prefix("usr/bin/").or_else(|| path.strip_prefix("usr/sbin/")) {
            binaries.insert(name);
        }
        if entry.mode & 0o6000 != 0 {
            privileged.push(path.to_owned());
        }
    }
    Figures { entries, bytes, packages, path_binaries: binaries.len(), privileged }
}

/// Everything that exceeds a limit. Sizes of the finished artifacts are in bytes.
#[must_use]
pub fn audit(
    figures: &Figures,
    image: &Image,
    usr_bytes: u64,
    uki_bytes: u64,
    esp_bytes: u64,
) -> Vec<Exceeded> {
    const MIB: u64 = 1 << 20;
    let budget = &image.budget;
    let mut out = Vec::new();
    let mut check = |what: &str, found: u64, limit: u64| {
        if found > limit {
            out.push(Exceeded { what: what.to_owned(), limit, found });
        }
    };
    check("/usr (MiB)", usr_bytes.div_ceil(MIB), budget.usr_mib);
    check("the UKI (MiB)", uki_bytes.div_ceil(MIB), budget.uki_mib);
    check("the ESP's content (MiB)", esp_bytes.div_ceil(MIB), budget.esp_used_mib);
    check("packages", figures.packages.len() as u64, budget.packages as u64);
    check("programs in PATH", figures.path_binaries as u64, budget.path_binaries as u64);
    let strangers =
        figures.privileged.iter().filter(|path| !image.audit.privileged_files.contains(path)).count();
    check("setuid and setgid files outside the allow-list", strangers as u64, 0);
    out
}
