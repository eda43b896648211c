//! The real configs of the conformance cases: what our `files` stage writes into an empty root is compared with
//! what Ignition's wrote there. Cases are looked for in `WELLCAR_CASES`, else `../shared/cases` beside the checkout;
//! without them the test skips, unless `WELLCAR_REQUIRE_CASES=1`.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::Digest as _;

fn cases() -> Option<PathBuf> {
    let dir = std::env::var_os("WELLCAR_CASES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cases"), PathBuf::from);
    if dir.is_dir() {
        return Some(dir);
    }
    assert!(
        std::env::var_os("WELLCAR_REQUIRE_CASES").is_none_or(|v| v != "1"),
        "no cases at {}",
        dir.display()
    );
    eprintln!("skipped: no conformance cases");
    None
}

/// The reference's trees were made without accounts, disks and names of owners: so is this input.
fn strip(config: &mut serde_json::Value) {
    let object = config.as_object_mut().unwrap();
    object.remove("passwd");
    object.remove("kernelArguments");
    if let Some(storage) = object.get_mut("storage").and_then(|s| s.as_object_mut()) {
        for key in ["disks", "raid", "luks", "filesystems"] {
            storage.remove(key);
        }
        for key in ["files", "directories", "links"] {
            for node in storage.get_mut(key).and_then(|n| n.as_array_mut()).into_iter().flatten() {
                for owner in ["user", "group"] {
                    if let Some(owner) = node.get_mut(owner).and_then(|o| o.as_object_mut()) {
                        owner.remove("name");
                    }
                }
            }
        }
    }
}

fn walk(root: &Path, dir: &Path, out: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let shown = format!("/{}", path.strip_prefix(root).unwrap().display());
        let meta = fs::symlink_metadata(&path).unwrap();
        let (mode, owner) = (meta.mode() & 0o7777, format!("{}:{}", meta.uid(), meta.gid()));
        if meta.is_symlink() {
            out.insert(format!("l {owner} {shown} -> {}", fs::read_link(&path).unwrap().display()));
        } else if meta.is_dir() {
            out.insert(format!("d {mode:04o} {owner} {shown}"));
            walk(root, &path, out);
        } else {
            let bytes = fs::read(&path).unwrap();
            let hash: String = sha2::Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
            out.insert(format!("f {mode:04o} {owner} {} {hash} {shown}", bytes.len()));
        }
    }
}

/// Ours beyond the reference's: the journal, and the links that make enabling effective at once.
fn ours_alone(line: &str) -> bool {
    line.contains(" /var/lib/wellcar")
        || (line.contains(" /etc/systemd/system/")
            && [".wants", ".requires", ".upholds"].iter().any(|s| line.contains(s)))
        || (line.starts_with("l ")
            && line.contains(" /etc/systemd/system/")
            && line.contains("-> /etc/systemd/system/"))
}

fn run(dir: &Path, stage: &str, extra: &[&str]) -> (bool, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_wellcar-node"))
        .args(["provision", "-platform", "file", "-stage", stage, "-log-to-stdout", "-config-cache"])
        .arg(dir.join("cache.json"))
        .args(extra)
        .env("IGNITION_CONFIG_FILE", dir.join("config.ign"))
        .env("IGNITION_SYSTEM_CONFIG_DIR", dir.join("system"))
        .env("IGNITION_OEM_LOOKASIDE_DIR", dir.join("oem"))
        .env("WELLCAR_CMDLINE", "/dev/null")
        .output()
        .unwrap();
    (out.status.success(), String::from_utf8_lossy(&out.stdout).into_owned())
}

#[test]
fn trees_equal_the_reference() {
    let Some(cases) = cases() else { return };
    if !rustix::process::getuid().is_root() {
        eprintln!("skipped: only root can write the owners of the trees");
        return;
    }
    let (mut equal, mut total, mut skipped, mut wrong) = (0, 0, 0, Vec::new());
    let mut names = Vec::new();
    for group in ["ignition", "clc", "butane"] {
        let Ok(list) = fs::read_dir(cases.join(group)) else { continue };
        names.extend(list.map(|e| e.unwrap().path()).filter(|p| p.join("expected.tree").is_file()));
    }
    names.sort();
    for case in &names {
        let text = fs::read_to_string(case.join("expected.rendered.json")).unwrap();
        let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
        strip(&mut config);
        if ["http", "tftp", "s3", "gs"]
            .iter()
            .any(|s| config["storage"].to_string().contains(&format!("\"source\":\"{s}")))
        {
            skipped += 1;
            continue;
        }
        total += 1;
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.ign"), config.to_string()).unwrap();
        let root = dir.path().join("root");
        // The root the reference wrote into held an /etc with the accounts of the image.
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/bash\n").unwrap();
        fs::write(root.join("etc/group"), "root:x:0:\n").unwrap();
        let (fetched, log) = run(dir.path(), "fetch", &["-root", ""]);
        let (done, log) =
            if fetched { run(dir.path(), "files", &["-root", root.to_str().unwrap()]) } else { (false, log) };
        if !done {
            wrong.push(format!(
                "{}: failed\n{}",
                case.display(),
                log.lines().rev().take(6).collect::<Vec<_>>().join("\n")
            ));
            continue;
        }
        let mut found = BTreeSet::new();
        walk(&root, &root, &mut found);
        let expected: BTreeSet<String> =
            fs::read_to_string(case.join("expected.tree")).unwrap().lines().map(str::to_owned).collect();
        let found: BTreeSet<String> = found
            .into_iter()
            .filter(|l| {
                expected.contains(l)
                    || !(ours_alone(l)
                        || [" /etc/passwd", " /etc/group", " /var", " /var/lib"]
                            .iter()
                            .any(|s| l.ends_with(s)))
            })
            .collect();
        if found == expected {
            equal += 1;
        } else {
            let lines = |a: &BTreeSet<String>, b: &BTreeSet<String>, sign| {
                a.difference(b).map(|l| format!("  {sign} {l}\n")).collect::<String>()
            };
            wrong.push(format!(
                "{}:\n{}{}",
                case.display(),
                lines(&expected, &found, '-'),
                lines(&found, &expected, '+')
            ));
        }
    }
    let percent = f64::from(equal) * 100.0 / f64::from(total.max(1));
    eprintln!("trees: {equal} of {total} equal ({percent:.1} %), {skipped} need a network");
    for case in wrong.iter().take(12) {
        eprintln!("{case}");
    }
    assert!(percent >= 99.0, "{percent:.1} % of the trees are equal");
}
