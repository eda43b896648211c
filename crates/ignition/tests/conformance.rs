//! Real configs, and what the reference engine said to them.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a test that says its score")]

use report::Sources;
use std::path::{Path, PathBuf};

/// The folder of cases: `WELLCAR_CASES`, else `../shared/cases` beside the workspace. `None`: skip.
fn cases() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder =
        std::env::var_os("WELLCAR_CASES").map_or_else(|| workspace.join("../shared/cases"), PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    let required = std::env::var_os("WELLCAR_REQUIRE_CASES").is_some_and(|v| v == "1");
    assert!(!required, "no cases in {}", folder.display());
    println!("skipped: no cases in {}", folder.display());
    None
}

fn folders(kind: &str) -> Option<Vec<PathBuf>> {
    let mut list: Vec<_> =
        std::fs::read_dir(cases()?.join(kind)).unwrap().map(|e| e.unwrap().path()).collect();
    list.sort();
    Some(list)
}

fn json(path: &Path) -> Option<serde_json::Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Verdict of Flatcar's validator: `Some(true)` accepted, `None` not asked.
fn verdict(case: &Path) -> Option<bool> {
    Some(json(&case.join("expected.json"))?.get("validate-flatcar-2.26.0")?.get("rc")? == 0)
}

struct Score {
    same: usize,
    all: usize,
    other: Vec<String>,
}

impl Score {
    fn percent(&self) -> f64 {
        if self.all == 0 { 100.0 } else { 100.0 * self.same as f64 / self.all as f64 }
    }
}

fn verdicts(kind: &str, input: &str, wanted: impl Fn(&str) -> bool) -> Option<Score> {
    let mut score = Score { same: 0, all: 0, other: Vec::new() };
    for case in folders(kind)? {
        let Some(accepted) = verdict(&case) else { continue };
        let Ok(bytes) = std::fs::read(case.join(input)) else { continue };
        let mut sources = Sources::new();
        let id = sources.add_bytes(case.join(input).to_string_lossy(), &bytes);
        if !wanted(sources.text(id)) {
            continue;
        }
        let parsed = ignition::parse(&sources, id, ignition::Options::default());
        score.all += 1;
        if parsed.config.is_some() == accepted {
            score.same += 1;
        } else {
            let name = case.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let word = if accepted { "accepts" } else { "refuses" };
            score.other.push(format!(
                "{name}: the reference {word} it\n{}",
                report::text(&parsed.reports, &sources)
            ));
        }
    }
    Some(score)
}

fn is_3(text: &str) -> bool {
    text.split("\"version\"").skip(1).any(|t| t.trim_start_matches([' ', ':', '\n', '\t']).starts_with("\"3"))
}

#[test]
fn verdicts_on_spec_3() {
    let Some(score) = verdicts("ignition", "input.ign", is_3) else { return };
    println!("spec 3: {} of {} verdicts ({:.1} %)", score.same, score.all, score.percent());
    for other in &score.other {
        println!("{other}");
    }
    assert!(score.percent() >= 95.0);
}

#[test]
fn verdicts_on_older_specs() {
    let Some(score) = verdicts("ignition", "input.ign", |t| !is_3(t)) else { return };
    println!("spec 1 and 2: {} of {} verdicts ({:.1} %)", score.same, score.all, score.percent());
    for other in &score.other {
        println!("{other}");
    }
    assert!(score.percent() >= 95.0);
}

#[test]
fn verdicts_on_the_output_of_butane_and_ct() {
    for kind in ["butane", "clc"] {
        let Some(score) = verdicts(kind, "expected.ign.json", |_| true) else { return };
        println!("{kind}: {} of {} verdicts ({:.1} %)", score.same, score.all, score.percent());
        for other in &score.other {
            println!("{other}");
        }
        assert!(score.percent() >= 95.0);
    }
}

/// Go's zero values that the engine's cache leaves out or writes: the same config in one form.
fn normal(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(k, v)| (k.clone(), normal(v)))
            .filter(|(k, v)| k != "version" && !v.is_null() && v.as_object().is_none_or(|o| !o.is_empty()))
            .map(|(k, v)| if k == "units" { (k, sorted(v)) } else { (k, v) })
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(list) => list.iter().map(normal).collect(),
        Value::String(text) if text.starts_with("data:") => ignition::resource::data_url::decode(text)
            .map_or_else(
                |_| value.clone(),
                |bytes| Value::String(format!("data {}", String::from_utf8_lossy(&bytes))),
            ),
        other => other.clone(),
    }
}

/// The engine writes units in any order.
fn sorted(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Array(mut list) => {
            list.sort_by_key(|u| u.get("name").map(ToString::to_string));
            list.into()
        }
        other => other,
    }
}

fn fetches(text: &str) -> bool {
    ["\"merge\"", "\"append\": [", "\"replace\"", "certificateAuthorities"].iter().any(|k| text.contains(k))
}

#[test]
fn translated_configs_are_the_engines() {
    for (kind, input) in
        [("ignition", "input.ign"), ("butane", "expected.ign.json"), ("clc", "expected.ign.json")]
    {
        let Some(list) = folders(kind) else { return };
        let (mut same, mut all) = (0, 0);
        for case in list {
            let Some(rendered) = json(&case.join("expected.rendered.json")) else { continue };
            let Ok(bytes) = std::fs::read(case.join(input)) else { continue };
            let mut sources = Sources::new();
            let id = sources.add_bytes("input", &bytes);
            if fetches(sources.text(id)) {
                continue;
            }
            let Some(config) = ignition::parse(&sources, id, ignition::Options::default()).config else {
                continue;
            };
            all += 1;
            let style = ignition::Style { pretty: false, empty_objects: true };
            let ours: serde_json::Value = serde_json::from_str(&ignition::to_json(&config, style)).unwrap();
            if normal(&ours) == normal(&rendered) {
                same += 1;
            } else {
                println!("{}\n  ours   {}\n  engine {}", case.display(), normal(&ours), normal(&rendered));
            }
        }
        println!("{kind}: {same} of {all} configs are the engine's");
        assert!(same * 100 >= all * 95);
    }
}
