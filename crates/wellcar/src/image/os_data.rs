//! `os/`, the distribution as data: carried inside the program, or read from `--os DIR`.

use anyhow::Context as _;
use std::collections::BTreeMap;
use std::path::Path;

include!(concat!(env!("OUT_DIR"), "/os_files.rs"));

/// The largest file of `os/` that is read, in bytes.
const LARGEST: u64 = 16 << 20;

/// The files of `os/`: path below it → content and permission bits.
pub type OsFiles = BTreeMap<String, (Vec<u8>, u32)>;

/// Reads `os/` from a directory, or gives the one inside the program.
///
/// Permission bits are decided by the place, not by the host: what systemd runs is 0755, the rest 0644.
pub fn read(dir: Option<&Path>) -> anyhow::Result<OsFiles> {
    let Some(dir) = dir else {
        return Ok(OS_FILES
            .iter()
            .map(|(path, bytes)| ((*path).to_owned(), (bytes.to_vec(), mode(path))))
            .collect());
    };
    let mut files = OsFiles::new();
    collect(dir, "", &mut files)?;
    Ok(files)
}

fn collect(dir: &Path, prefix: &str, files: &mut OsFiles) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(dir).with_context(|| format!("failed to list `{}`", dir.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("failed to list `{}`", dir.display()))?;
        let name = entry.file_name().into_string().map_err(|name| {
            anyhow::anyhow!("failed to read `{}`: its name is not UTF-8: {name:?}", dir.display())
        })?;
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), &format!("{path}/"), files)?;
        } else if kind.is_file() {
            let size = entry.metadata()?.len();
            anyhow::ensure!(
                size <= LARGEST,
                "failed to read `{}`: expected at most {LARGEST} bytes, found {size}",
                entry.path().display()
            );
            let bytes = std::fs::read(entry.path())
                .with_context(|| format!("failed to read `{}`", entry.path().display()))?;
            let mode = mode(&path);
            files.insert(path, (bytes, mode));
        }
    }
    Ok(())
}

fn mode(path: &str) -> u32 {
    const PROGRAMS: [&str; 3] =
        ["tree/usr/bin/", "tree/usr/lib/wellcar/", "tree/usr/lib/systemd/system-generators/"];
    if PROGRAMS.iter().any(|dir| path.starts_with(dir)) { 0o755 } else { 0o644 }
}
