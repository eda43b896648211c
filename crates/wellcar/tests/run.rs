//! `wellcar run` up to the point where a machine would start: usage, configs, files that are
//! not there. What a machine does is tested in `tests/`.

#![allow(clippy::unwrap_used)]

use std::time::Duration;
use sys::process::{Cmd, Output};

fn wellcar(args: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    Cmd::new(env!("CARGO_BIN_EXE_wellcar"))
        .args(args)
        .env("WELLCAR_CACHE", home.path())
        .timeout(Duration::from_secs(60))
        .run_any()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn help_has_examples() {
    let output = wellcar(&["run", "--help"]);
    assert_eq!(output.status.code(), Some(0));
    let text = output.stdout_text();
    assert!(text.contains("wellcar run examples/hello.yaml --port 8080:8080"), "{text}");
}

#[test]
fn wrong_usage_is_2() {
    for args in [
        &["run", "--port", "80"][..],
        &["run", "--memory", "many"],
        &["run", "--accel", "xen"],
        &["run", "--cpus", "0"],
        &["run", "--detach", "--console"],
    ] {
        let output = wellcar(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", said(&output));
    }
}

#[test]
fn an_invalid_config_is_1_and_names_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("node.yaml");
    std::fs::write(&config, "storage:\n  files:\n    - path: /a\n      filesystem: root\n      mod: 0644\n")
        .unwrap();
    let output = wellcar(&["run", config.to_str().unwrap(), "--image", "/nonexistent.raw"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("node.yaml:5:"), "{}", said(&output));
}

#[test]
fn a_missing_image_is_3_and_is_named() {
    let output = wellcar(&["run", "--image", "/nonexistent.raw"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("failed to open `/nonexistent.raw`"), "{}", said(&output));
}

#[test]
fn a_key_without_its_public_half_is_3_with_a_hint() {
    let output = wellcar(&["run", "--ssh-key", "/nonexistent", "--image", "/nonexistent.raw"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("hint: make it from the private key"), "{}", said(&output));
}
