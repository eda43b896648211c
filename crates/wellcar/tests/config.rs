//! `wellcar config` as a user meets it: what goes where, exit codes, files.

#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const GOOD: &str = "storage:\n  files:\n    - path: /etc/hostname\n      filesystem: root\n      mode: 0644\n      contents: {inline: node1}\n";
const BAD: &str =
    "sytemd: {}\nstorage:\n  files:\n    - path: relative\n      filesystem: root\n      mode: 0644\n";

fn wellcar(dir: &Path, args: &[&str], input: Option<&str>) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_wellcar"))
        .args(args)
        .current_dir(dir)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    if let Some(text) = input {
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    }
    child.wait_with_output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("good.yaml"), GOOD).unwrap();
    std::fs::write(dir.path().join("bad.yaml"), BAD).unwrap();
    dir
}

#[test]
fn render_writes_the_config_and_nothing_else_to_standard_output() {
    let dir = dir();
    let output = wellcar(dir.path(), &["config", "render", "good.yaml"], None);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).starts_with("{\"ignition\":{\"version\":\"3.1.0\"}"), "{}", out(&output));
    assert_eq!(err(&output), "");
    let piped = wellcar(dir.path(), &["config", "render", "-"], Some(GOOD));
    assert_eq!(out(&piped), out(&output));
    let old = wellcar(dir.path(), &["config", "render", "good.yaml", "--spec", "2.3", "--pretty"], None);
    assert!(out(&old).contains("\"version\": \"2.3.0\""), "{}", out(&old));
}

#[test]
fn errors_come_all_at_once_with_their_places() {
    let dir = dir();
    for command in ["render", "check"] {
        let output = wellcar(dir.path(), &["config", command, "bad.yaml"], None);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(out(&output), "");
        let text = err(&output);
        assert!(
            text.contains("bad.yaml:1:1: error[unknown-key]") && text.contains("did you mean `systemd`?"),
            "{text}"
        );
        assert!(
            text.contains("bad.yaml:4:13: error[path]") && text.contains("$.storage.files.0.path"),
            "{text}"
        );
    }
    let lax = wellcar(dir.path(), &["config", "check", "bad.yaml", "--lax"], None);
    assert!(err(&lax).contains("warning[unknown-key]"));
    for (format, mark) in [("json", "\"unknown-key\""), ("sarif", "\"2.1.0\"")] {
        let output = wellcar(dir.path(), &["config", "check", "bad.yaml", "--format", format], None);
        assert_eq!(output.status.code(), Some(1));
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(value.to_string().contains(mark), "{value}");
    }
}

#[test]
fn wrong_usage_and_failed_work_have_their_own_exit_codes() {
    let dir = dir();
    let code = |args: &[&str]| wellcar(dir.path(), args, None).status.code();
    assert_eq!(code(&["config", "render"]), Some(2));
    assert_eq!(code(&["config", "render", "good.yaml", "--spec", "7"]), Some(2));
    assert_eq!(code(&["config", "render", "-", "--snippet", "-"]), Some(2));
    assert_eq!(code(&["config", "render", "missing.yaml"]), Some(3));
    assert_eq!(code(&["config", "render", "."]), Some(3));
    assert_eq!(code(&["config", "render", "good.yaml", "--files-dir", "missing"]), Some(3));
    assert_eq!(code(&["config", "render", "good.yaml", "-o", "missing/out.ign"]), Some(3));
    assert_eq!(code(&["config", "check", "good.yaml"]), Some(0));
    let help = wellcar(dir.path(), &["config", "render", "--help"], None);
    assert!(out(&help).contains("Examples:") && help.status.code() == Some(0));
}

#[test]
fn output_files_appear_complete_or_not_at_all() {
    let dir = dir();
    let path = dir.path().join("node.ign");
    let output = wellcar(dir.path(), &["config", "render", "good.yaml", "-o", "node.ign"], None);
    assert_eq!((output.status.code(), out(&output)), (Some(0), String::new()));
    let first = std::fs::read(&path).unwrap();
    let output = wellcar(dir.path(), &["config", "render", "bad.yaml", "-o", "node.ign"], None);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(std::fs::read(&path).unwrap(), first, "an invalid config leaves the old result alone");
    let names: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    let null = wellcar(dir.path(), &["config", "render", "good.yaml", "-o", "/dev/null"], None);
    assert_eq!(null.status.code(), Some(0), "{}", err(&null));
}

#[test]
fn snippets_and_local_files_are_laid_together() {
    let dir = dir();
    std::fs::create_dir(dir.path().join("files")).unwrap();
    std::fs::write(dir.path().join("files/motd"), "hello\n").unwrap();
    std::fs::write(dir.path().join("secret"), "secret\n").unwrap();
    std::os::unix::fs::symlink("../secret", dir.path().join("files/link")).unwrap();
    let snippet = |local: &str| {
        let text = format!(
            "storage:\n  files:\n    - path: /etc/motd\n      filesystem: root\n      mode: 0644\n      contents: {{local: \"{local}\"}}\n    - path: /etc/hostname\n      mode: 0600\n"
        );
        std::fs::write(dir.path().join("snippet.yaml"), text).unwrap();
        wellcar(
            dir.path(),
            &["config", "render", "good.yaml", "--snippet", "snippet.yaml", "--files-dir", "files"],
            None,
        )
    };
    let output = snippet("motd");
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(
        out(&output).contains("data:,hello%0A") && out(&output).contains("\"mode\":384"),
        "{}",
        out(&output)
    );
    let text = err(&output);
    assert!(
        text.contains("warning[merge]")
            && text.contains("snippet.yaml:8:13")
            && text.contains("good.yaml:5:13"),
        "{text}"
    );
    for outside in ["../secret", "link", "/etc/passwd", "missing"] {
        let output = snippet(outside);
        assert_eq!(output.status.code(), Some(1), "{outside}");
        assert!(
            err(&output).contains("error[local-file]") && !err(&output).contains("secret\n"),
            "{}",
            err(&output)
        );
    }
}
