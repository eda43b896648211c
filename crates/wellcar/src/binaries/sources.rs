//! Which sources a crate of the workspace is made of, and their hash.
//!
//! A crate is made of its own folder, those of its path dependencies, and of the workspace's manifest and lock.

use super::{BinariesError, file_error};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// No source file is larger; one that is, is no source.
const LARGEST: u64 = 32 << 20;

/// The hash, in hex, of everything that `krate` is built from, and of `extra` (compiler, flags).
///
/// # Errors
/// A file that cannot be read, a manifest that is no TOML.
pub fn hash(workspace: &Path, krate: &str, extra: &[&str]) -> Result<String, BinariesError> {
    let mut hash = Sha256::new();
    for text in extra {
        add(&mut hash, text.as_bytes());
    }
    let mut files = vec![PathBuf::from("Cargo.toml"), PathBuf::from("Cargo.lock")];
    for folder in folders(workspace, krate)? {
        list(workspace, &folder, &mut files)?;
    }
    files.sort();
    for file in files {
        let path = workspace.join(&file);
        add(&mut hash, file.as_os_str().as_encoded_bytes());
        add(&mut hash, &read(&path)?);
    }
    Ok(hex(&hash.finalize()))
}

/// Adds one value with its length, so that no two lists of values hash alike.
fn add(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

/// Bytes as lower case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads one file, of at most [`LARGEST`] bytes.
fn read(path: &Path) -> Result<Vec<u8>, BinariesError> {
    let file = fs::File::open(path).map_err(file_error("open", path))?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(file_error("read", path))?;
    if bytes.len() as u64 > LARGEST {
        let reason = format!("expected a source of at most {LARGEST} bytes");
        return Err(BinariesError::Data { path: path.to_owned(), reason });
    }
    Ok(bytes)
}

/// The folders, relative to the workspace, of a crate and of its path dependencies.
fn folders(workspace: &Path, krate: &str) -> Result<BTreeSet<PathBuf>, BinariesError> {
    let root = manifest(&workspace.join("Cargo.toml"))?;
    let shared = root.get("workspace").and_then(|table| table.get("dependencies"));
    let mut found = BTreeSet::new();
    let mut open = vec![PathBuf::from("crates").join(krate)];
    while let Some(folder) = open.pop() {
        if !found.insert(folder.clone()) {
            continue;
        }
        let own = manifest(&workspace.join(&folder).join("Cargo.toml"))?;
        for table in ["dependencies", "build-dependencies"] {
            let Some(dependencies) = own.get(table).and_then(toml::Value::as_table) else { continue };
            for (name, value) in dependencies {
                let inherited = value.get("workspace").is_some();
                let value = if inherited { shared.and_then(|table| table.get(name)) } else { Some(value) };
                let path = value.and_then(|value| value.get("path")).and_then(toml::Value::as_str);
                if let Some(path) = path {
                    open.push(if inherited { PathBuf::from(path) } else { folder.join(path) });
                }
            }
        }
    }
    Ok(found)
}

/// Reads a manifest.
fn manifest(path: &Path) -> Result<toml::Table, BinariesError> {
    let broken = |reason: String| BinariesError::Data { path: path.to_owned(), reason };
    let text = String::from_utf8(read(path)?).map_err(|error| broken(error.to_string()))?;
    text.parse().map_err(|error: toml::de::Error| broken(error.message().to_owned()))
}

/// Lists the files of `folder`, relative to the workspace; what is hidden or built is left out.
fn list(workspace: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), BinariesError> {
    let path = workspace.join(folder);
    for entry in fs::read_dir(&path).map_err(file_error("list", &path))? {
        let entry = entry.map_err(file_error("list", &path))?;
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b".") || name == "target" {
            continue;
        }
        let kind = entry.file_type().map_err(file_error("look at", &path))?;
        let inside = folder.join(&name);
        if kind.is_dir() {
            list(workspace, &inside, files)?;
        } else if kind.is_file() {
            files.push(inside);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("Cargo.toml", "[workspace.dependencies]\nlow = { path = \"crates/low\" }\nserde = \"1\"\n");
        write("Cargo.lock", "");
        write("crates/top/Cargo.toml", "[dependencies]\nlow.workspace = true\nserde.workspace = true\n");
        write("crates/top/src/main.rs", "fn main() {}");
        write("crates/low/Cargo.toml", "");
        write("crates/low/src/lib.rs", "");
        write("crates/other/Cargo.toml", "");
        dir
    }

    #[test]
    fn the_hash_follows_the_crate_and_what_it_depends_on_and_nothing_else() {
        let dir = workspace();
        let hash = || hash(dir.path(), "top", &["rustc 1"]).unwrap();
        let before = hash();
        fs::write(dir.path().join("crates/other/Cargo.toml"), "# changed").unwrap();
        fs::create_dir(dir.path().join("crates/top/target")).unwrap();
        fs::write(dir.path().join("crates/top/target/x"), "built").unwrap();
        fs::write(dir.path().join("crates/top/.swp"), "editor").unwrap();
        assert_eq!(hash(), before);
        fs::write(dir.path().join("crates/low/src/lib.rs"), "// changed").unwrap();
        assert_ne!(hash(), before);
        assert_ne!(super::hash(dir.path(), "top", &["rustc 2"]).unwrap(), hash());
    }

    #[test]
    fn another_folder_gives_the_same_hash() {
        let (one, two) = (workspace(), workspace());
        assert_eq!(hash(one.path(), "top", &[]).unwrap(), hash(two.path(), "top", &[]).unwrap());
    }

    #[test]
    fn a_broken_manifest_is_named() {
        let dir = workspace();
        fs::write(dir.path().join("crates/low/Cargo.toml"), "[").unwrap();
        let error = hash(dir.path(), "top", &[]).unwrap_err().to_string();
        assert!(error.contains("crates/low/Cargo.toml"), "{error}");
    }
}
