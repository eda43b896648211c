//! Compares with what the reference programs printed for real configs.
//!
//! The cases are found in `WELLCAR_CASES`, else in `../shared/cases` beside the workspace. A checkout
//! without them skips these tests with a printed line, unless `WELLCAR_REQUIRE_CASES=1`.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use base64::Engine as _;
use serde_json::Value;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use transpile::{FileError, Files, Input, Options, Outcome, Spec, TreeEntry, TreeKind, compile};

/// Plain files of a case. The cases are trusted.
#[derive(Debug)]
struct Dir(PathBuf);

fn error(error: &std::io::Error) -> FileError {
    FileError { message: error.to_string() }
}

impl Files for Dir {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        if Path::new(path).components().any(|part| matches!(part, std::path::Component::ParentDir)) {
            return Err(FileError { message: "leaves the directory".into() });
        }
        std::fs::read(self.0.join(path.trim_start_matches('/'))).map_err(|e| error(&e))
    }

    fn tree(&self, path: &str) -> Result<Vec<TreeEntry>, FileError> {
        use std::os::unix::fs::PermissionsExt as _;
        fn walk(root: &Path, below: &str, out: &mut Vec<TreeEntry>) -> std::io::Result<()> {
            let mut names: Vec<_> = std::fs::read_dir(root.join(below))?.collect::<Result<_, _>>()?;
            names.sort_by_key(std::fs::DirEntry::file_name);
            for entry in names {
                let name = entry.file_name().to_string_lossy().into_owned();
                let path = if below.is_empty() { name } else { format!("{below}/{name}") };
                let meta = entry.metadata()?;
                let kind = if meta.is_dir() {
                    TreeKind::Directory
                } else if meta.is_symlink() {
                    TreeKind::Link {
                        target: std::fs::read_link(entry.path())?.to_string_lossy().into_owned(),
                    }
                } else {
                    TreeKind::File { executable: meta.permissions().mode() & 0o111 != 0 }
                };
                let deeper = kind == TreeKind::Directory;
                out.push(TreeEntry { path: path.clone(), kind });
                if deeper {
                    walk(root, &path, out)?;
                }
            }
            Ok(())
        }
        let mut out = vec![TreeEntry { path: String::new(), kind: TreeKind::Directory }];
        walk(&self.0.join(path), "", &mut out).map_err(|e| error(&e))?;
        Ok(out)
    }
}

/// The folder of a group of cases.
fn group(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("WELLCAR_CASES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cases"), PathBuf::from);
    let path = root.join(name);
    if path.is_dir() {
        return Some(path);
    }
    assert!(
        std::env::var_os("WELLCAR_REQUIRE_CASES").is_none_or(|v| v != "1"),
        "no cases in {}",
        path.display()
    );
    println!("skipped: no cases in {}", path.display());
    None
}

fn cases(group: &Path) -> Vec<PathBuf> {
    let mut list: Vec<PathBuf> = std::fs::read_dir(group)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    list.sort();
    list
}

fn input(path: &Path) -> Input {
    Input {
        name: path.file_name().unwrap().to_string_lossy().into_owned(),
        bytes: std::fs::read(path).unwrap(),
    }
}

fn json(path: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Data URLs decoded and unpacked, so that only what they hold is compared.
fn normal(value: Value) -> Value {
    match value {
        // Flatcar's translation puts units in any order.
        Value::Array(mut items) if items.iter().all(|item| item["name"].is_string()) => {
            items.sort_by_key(|item| item["name"].as_str().unwrap_or_default().to_owned());
            Value::Array(items.into_iter().map(normal).collect())
        }
        Value::String(text) if text.starts_with("data:") => Value::String(decode(&text)),
        Value::Array(items) => Value::Array(items.into_iter().map(normal).collect()),
        Value::Object(map) => Value::Object(
            map.into_iter()
                .filter(|(key, value)| !(key == "compression" && (value == "gzip" || value == "")))
                .map(|(key, value)| (key, normal(value)))
                .collect(),
        ),
        other => other,
    }
}

fn decode(url: &str) -> String {
    let (head, body) = url.split_once(',').unwrap_or((url, ""));
    let mut bytes = Vec::new();
    let mut rest = body.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let hex: Vec<u8> = rest.by_ref().take(2).collect();
            bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap_or("00"), 16).unwrap_or(0));
        } else {
            bytes.push(byte);
        }
    }
    if head.ends_with(";base64") {
        bytes = base64::engine::general_purpose::STANDARD.decode(&bytes).unwrap_or(bytes);
    }
    let mut plain = Vec::new();
    if bytes.starts_with(b"\x1f\x8b")
        && flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut plain).is_ok()
    {
        bytes = plain;
    }
    format!("data {}", String::from_utf8_lossy(&bytes))
}

fn shown(outcome: &Outcome) -> String {
    report::text(&outcome.reports, &outcome.sources)
}

/// The first place where two values differ.
fn difference(path: &str, got: &Value, want: &Value) -> Option<String> {
    match (got, want) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            keys.into_iter().find_map(|key| {
                difference(
                    &format!("{path}.{key}"),
                    a.get(key).unwrap_or(&Value::Null),
                    b.get(key).unwrap_or(&Value::Null),
                )
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .enumerate()
            .find_map(|(index, (a, b))| difference(&format!("{path}.{index}"), a, b)),
        _ if got == want => None,
        _ => Some(format!("{path}: got {got:.120}, want {want:.120}")),
    }
}

/// Counts verdicts and results.
#[derive(Default)]
struct Score {
    right: usize,
    all: usize,
    failed: Vec<String>,
}

impl Score {
    fn add(&mut self, name: &str, wrong: Option<String>) {
        self.all += 1;
        match wrong {
            None => self.right += 1,
            Some(why) => self.failed.push(format!("{name}: {why}")),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
    fn finish(self, what: &str, floor: f64) {
        let percent = self.right as f64 * 100.0 / self.all.max(1) as f64;
        println!("{what}: {}/{} = {percent:.1} %", self.right, self.all);
        for line in &self.failed {
            println!("  {line}");
        }
        assert!(
            percent >= floor,
            "{what}: {percent:.1} % is below the floor of {floor} %:\n{}",
            self.failed.join("\n")
        );
    }
}

fn verdict(outcome: &Outcome, want_ok: bool, want: Option<Value>) -> Option<String> {
    match (outcome.ok(), want_ok) {
        (true, false) => Some("accepted, the reference refuses it".to_owned()),
        (false, true) => Some(format!(
            "refused, the reference accepts it: {}",
            shown(outcome).lines().take(3).collect::<Vec<_>>().join(" | ")
        )),
        (false, false) => None,
        (true, true) => {
            let got: Value = serde_json::from_str(&outcome.json(false).unwrap()).unwrap();
            want.and_then(|want| difference("$", &normal(got), &normal(want)))
        }
    }
}

#[test]
fn clc_gives_what_ct_gives() {
    let Some(group) = group("clc") else { return };
    let mut score = Score::default();
    for case in cases(&group) {
        let expected = json(&case.join("expected.json")).unwrap();
        let files = Dir(case.join("files"));
        let options = Options {
            lax: true,
            spec: Some(Spec::V2_3),
            files: files.0.is_dir().then_some(&files as &dyn Files),
            ..Options::default()
        };
        let outcome = compile(vec![input(&case.join("input.clc.yaml"))], &options);
        score.add(
            &case.file_name().unwrap().to_string_lossy(),
            verdict(&outcome, expected["ct"]["rc"] == 0, json(&case.join("expected.ign.json"))),
        );
    }
    score.finish("clc", 100.0);
}

/// Without `--spec`: what today's Flatcar has in its cache after it translated what `ct` wrote.
#[test]
fn clc_gives_what_flatcar_makes_of_it() {
    let Some(group) = group("clc") else { return };
    let mut score = Score::default();
    for case in cases(&group) {
        let expected = json(&case.join("expected.json")).unwrap();
        let accepted = expected["ct"]["rc"] == 0 && expected["validate-flatcar-2.26.0"]["rc"] == 0;
        let want = json(&case.join("expected.rendered.json")).map(|want| {
            let mut want = without_empty(want);
            want["ignition"]["version"] = "3.1.0".into();
            want
        });
        let files = Dir(case.join("files"));
        let files = files.0.is_dir().then_some(&files as &dyn Files);
        let outcome = compile(
            vec![input(&case.join("input.clc.yaml"))],
            &Options { lax: true, files, ..Options::default() },
        );
        score.add(&case.file_name().unwrap().to_string_lossy(), verdict(&outcome, accepted, want));
    }
    score.finish("clc as Flatcar sees it", 99.0);
}

fn butane(variant: &str, floor: f64) {
    let Some(group) = group("butane") else { return };
    let mut score = Score::default();
    for case in cases(&group) {
        let path = case.join("input.bu");
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        let is = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("variant:"))
            .is_some_and(|name| name.trim().trim_matches('"') == variant);
        if !is {
            continue;
        }
        let expected = json(&case.join("expected.json")).unwrap();
        let files = Dir(case.join("files"));
        let options = Options {
            lax: true,
            files: files.0.is_dir().then_some(&files as &dyn Files),
            ..Options::default()
        };
        let outcome = compile(vec![input(&path)], &options);
        score.add(
            &case.file_name().unwrap().to_string_lossy(),
            verdict(&outcome, expected["butane"]["rc"] == 0, json(&case.join("expected.ign.json"))),
        );
    }
    score.finish(&format!("butane {variant}"), floor);
}

#[test]
fn butane_flatcar_gives_what_butane_gives() {
    butane("flatcar", 99.0);
}

#[test]
fn butane_fcos_gives_what_butane_gives() {
    butane("fcos", 92.0);
}

/// Where our answer differs on purpose; docs/reference/compatibility.md says the same.
const DELIBERATE: [(&str, &str); 8] = [
    ("butane-snippet-files", "a Butane snippet over a Container Linux Config is translated and merged"),
    ("clc-snippet", "a Container Linux Config over Butane is translated and merged"),
    ("docker-flags-twice", "flags of both are kept; the reference's first drop-in is lost at boot"),
    ("dup-yaml-key", "a key given twice is an error"),
    ("fcos-boot-device", "`boot_device` lays out a Fedora CoreOS disk, which is refused"),
    ("ignition-append-in-first-of-two", "`append` of the first snippet is kept; the reference loses it"),
    (
        "three-snippets-mixed",
        "a file at the path of a section's file is an error here, and refused at boot there",
    ),
    ("version-too-new-12exp", "versions of one variant may be mixed"),
];

fn snippets(group_name: &str, reference: &str, floor: f64) {
    let Some(group) = group(group_name) else { return };
    let mut score = Score::default();
    for case in cases(&group) {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let expected = json(&case.join("expected.json")).unwrap();
        let mut inputs = vec![input(&case.join("content.yaml"))];
        inputs.extend(
            (0..)
                .map(|i| case.join(format!("snippet-{i}.yaml")))
                .take_while(|path| path.is_file())
                .map(|path| input(&path)),
        );
        let platform = expected["platform"].as_str().filter(|name| !name.is_empty());
        let outcome = compile(inputs, &Options { lax: true, platform, ..Options::default() });
        let accepted = json(&case.join(format!("{reference}.json"))).is_none_or(|v| v["ok"] == true);
        let mut want =
            json(&case.join(format!("{reference}.ign.json"))).map(without_empty).filter(|_| accepted);
        // The Terraform provider writes 3.4.0 whatever the variant's version is.
        if let (Some(want), Some(config)) = (&mut want, outcome.config()) {
            want["ignition"]["version"] = config.ignition.version.as_ref().map_or("", |v| v.as_str()).into();
        }
        let wrong = verdict(&outcome, expected["lax"]["ok"] == true, want);
        match DELIBERATE.iter().find(|(case, _)| *case == name) {
            Some((_, why)) => {
                println!("  {name}: differs on purpose: {why}");
                assert!(wrong.is_some(), "{name} does not differ any more");
            }
            None => score.add(&name, wrong),
        }
    }
    score.finish(group_name, floor);
}

/// Snippets of a Container Linux Config: where the reference's appended result still boots, ours is
/// what Flatcar makes of it; where Flatcar refuses to boot, ours is merged and accepted.
#[test]
fn clc_snippets_are_merged() {
    snippets("merge", "expected.flatcar-v31", 100.0);
}

/// Snippets of Butane: the reference merges them as Ignition does, and so do we.
#[test]
fn butane_snippets_are_merged() {
    snippets("merge-butane", "expected.lax", 100.0);
}

/// Without objects that hold nothing, which only Flatcar's cache has.
fn without_empty(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, value)| (key, without_empty(value)))
                .filter(|(_, value)| *value != serde_json::json!({}))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_empty).collect()),
        other => other,
    }
}
