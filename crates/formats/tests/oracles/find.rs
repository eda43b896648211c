//! Finding and running the tools.

use std::path::PathBuf;
use std::process::Command;

/// The tool's path, or a note (or failure) that it is missing.
pub fn tool(name: &str) -> Option<PathBuf> {
    file(name, &["/usr/sbin", "/sbin"])
}

/// A file of this name in `WELLCAR_ORACLES`, `PATH`, or these directories.
pub fn file(name: &str, more: &[&str]) -> Option<PathBuf> {
    let lists = ["WELLCAR_ORACLES", "PATH"].map(|key| std::env::var_os(key).unwrap_or_default());
    let dirs =
        lists.iter().flat_map(|list| std::env::split_paths(list)).chain(more.iter().map(PathBuf::from));
    let found = dirs.map(|dir| dir.join(name)).find(|path| path.is_file());
    if found.is_none() {
        assert!(std::env::var_os("WELLCAR_REQUIRE_ORACLES").is_none_or(|v| v != "1"), "no {name}");
        println!("skipped: no {name}");
    }
    found
}

/// Runs a tool; its output where it succeeds, a failed test where it does not.
pub fn run(command: &mut Command) -> String {
    let out = command.env("LC_ALL", "C").output().unwrap();
    let text = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    assert!(out.status.success(), "{command:?}: {}\n{text}", out.status);
    text
}
