//! Puts `os/`, the distribution as data, into the program: writes a table of its files for
//! `image/os_data.rs` to include.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() {
    let manifest = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let os = manifest.join("../../os");
    println!("cargo:rerun-if-changed={}", os.display());
    let mut files = Vec::new();
    collect(&os, &mut files);
    files.sort();
    let mut table = String::from("static OS_FILES: &[(&str, &[u8])] = &[\n");
    for path in files {
        let name = path.strip_prefix(&os).map(|name| name.display().to_string()).unwrap_or_default();
        let _ = writeln!(table, "    ({name:?}, include_bytes!({:?})),", path.display().to_string());
    }
    table.push_str("];\n");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join("os_files.rs");
    if let Err(error) = std::fs::write(&out, table) {
        println!("cargo::error=failed to write `{}`: {error}", out.display());
    }
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    println!("cargo:rerun-if-changed={}", dir.display());
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}
