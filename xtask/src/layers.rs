//! The architecture as a check: which crate may depend on which (design section 3), and how long a file may be.

use anyhow::Context as _;
use std::collections::BTreeMap;
use std::path::Path;

/// The layers, lowest first. A crate depends on crates of its own layer (named in [`SIDEWAYS`]) or lower.
const LAYERS: [(&str, &[&str]); 5] = [
    ("words", &["report", "ignition"]),
    ("bytes", &["formats", "trust"]),
    ("deciders", &["transpile", "provision", "compose"]),
    ("edges", &["sys", "net", "vm"]),
    ("programs", &["wellcar", "wellcar-node", "wellcar-tests", "xtask"]),
];

/// Arrows inside a layer that are meant.
/// (xtask's benchmarks boot machines with the harness of the tests).
const SIDEWAYS: [(&str, &str); 3] = [("ignition", "report"), ("vm", "sys"), ("xtask", "wellcar-tests")];

/// Crates that may contain `unsafe`.
const UNSAFE: [&str; 1] = ["sys"];

/// Lines of a source file, tests not counted.
const LONGEST: usize = 700;

/// Runs the check.
pub fn run(root: &Path) -> anyhow::Result<()> {
    let layer: BTreeMap<&str, usize> = LAYERS
        .iter()
        .enumerate()
        .flat_map(|(at, (_, crates))| crates.iter().map(move |name| (*name, at)))
        .collect();
    let mut wrong = Vec::new();
    for folder in crates(root)? {
        let text = std::fs::read_to_string(folder.join("Cargo.toml"))?;
        let manifest: toml::Table = text
            .parse()
            .with_context(|| format!("failed to read `{}`", folder.join("Cargo.toml").display()))?;
        let name = manifest["package"]["name"].as_str().unwrap_or_default().to_owned();
        let Some(&own) = layer.get(name.as_str()) else {
            wrong.push(format!("crate `{name}` is in no layer: add it to xtask/src/layers.rs"));
            continue;
        };
        let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table);
        for dependency in dependencies.into_iter().flat_map(toml::Table::keys) {
            let Some(&other) = layer.get(dependency.as_str()) else { continue };
            let sideways = other == own && SIDEWAYS.contains(&(name.as_str(), dependency.as_str()));
            if other >= own && !sideways {
                wrong.push(format!(
                    "`{name}` ({}) depends on `{dependency}` ({}): arrows go downwards only",
                    LAYERS[own].0, LAYERS[other].0
                ));
            }
        }
        sources(&folder.join("src"), &mut |path, text| {
            let long = code_lines(text);
            if long > LONGEST && !path.to_string_lossy().ends_with("tests.rs") {
                wrong.push(format!("{}: {long} lines, at most {LONGEST}", path.display()));
            }
            if !text.starts_with("//!") {
                wrong.push(format!("{}: does not open with what it is for (`//!`)", path.display()));
            }
            let marked = ["{", "impl", "fn"].iter().any(|what| text.contains(&["unsafe", what].join(" ")));
            if marked && !UNSAFE.contains(&name.as_str()) {
                wrong.push(format!("{}: `unsafe` lives in crates/sys only", path.display()));
            }
        })?;
    }
    anyhow::ensure!(wrong.is_empty(), "the layers do not hold\n  {}", wrong.join("\n  "));
    crate::say("layers: every arrow goes downwards");
    Ok(())
}

/// Lines before the unit tests.
fn code_lines(text: &str) -> usize {
    text.lines().take_while(|line| line.trim() != "#[cfg(test)]" || !line.starts_with("#[cfg(test)]")).count()
}

fn crates(root: &Path) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let mut folders = vec![root.join("tests"), root.join("xtask")];
    for entry in std::fs::read_dir(root.join("crates"))? {
        folders.push(entry?.path());
    }
    folders.sort();
    Ok(folders)
}

fn sources(dir: &Path, visit: &mut dyn FnMut(&Path, &str)) -> anyhow::Result<()> {
    let mut entries: Vec<_> = std::fs::read_dir(dir)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::path);
    for entry in entries {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, visit)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            visit(&path, &std::fs::read_to_string(&path)?);
        }
    }
    Ok(())
}
