//! Inputs that are made to hurt: each is refused quickly, in bounded memory, with a position.
//!
//! Times are processor time, and generous for a debug build; what they rule out is anything that grows
//! faster than the input.

#![allow(clippy::unwrap_used)]

use report::{Severity, codes};
use std::fmt::Write as _;
use std::time::Duration;
use transpile::{Input, Options, Outcome, compile};

/// The time this thread has had on a processor, so that a busy machine changes nothing.
fn clock() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

fn run(bytes: impl Into<Vec<u8>>) -> (Outcome, Duration) {
    let input = Input { name: "hostile".into(), bytes: bytes.into() };
    let start = clock();
    let outcome = compile(vec![input], &Options::default());
    (outcome, clock() - start)
}

/// Refused with this code within a second.
fn refused(what: &str, bytes: impl Into<Vec<u8>>, code: report::Code) -> Outcome {
    let (outcome, time) = run(bytes);
    assert!(!outcome.ok(), "{what} was accepted");
    let codes: Vec<_> =
        outcome.reports.iter().filter(|r| r.severity == Severity::Error).map(|r| r.code.id()).collect();
    assert!(codes.contains(&code.id()), "{what}: {codes:?}");
    assert!(
        outcome.reports.iter().all(|report| report.span.is_some()),
        "{what}: a report without a position"
    );
    assert!(time < Duration::from_secs(1), "{what} took {time:?}");
    outcome
}

#[test]
fn nesting_is_bounded() {
    const N: usize = 100_000;
    refused("[", "[".repeat(N), codes::TOO_DEEP);
    refused("{", "{".repeat(N), codes::TOO_DEEP);
    refused("a: [", format!("a: {}", "[".repeat(N)), codes::TOO_DEEP);
    refused("{a: {a:", "{a: ".repeat(N), codes::TOO_DEEP);
    refused("- - -", "- ".repeat(N), codes::TOO_DEEP);
    refused(
        "{\"ignition\"",
        format!("{{\"ignition\":{{\"version\":\"3.3.0\",\"x\":{}", "[".repeat(N)),
        codes::TOO_DEEP,
    );
    refused("balanced", format!("storage: {}{}", "[".repeat(N), "]".repeat(N)), codes::TOO_DEEP);
    let mut block = String::new();
    for level in 0..2000 {
        let _ = writeln!(block, "{}a:", " ".repeat(level));
    }
    refused("block maps", block, codes::TOO_DEEP);
    refused("? ? ?", "? ".repeat(N), codes::TOO_DEEP);
}

#[test]
fn aliases_cannot_multiply() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..=10 {
        let refs = format!("*a{}", level - 1);
        let _ = writeln!(bomb, "a{level}: &a{level} [{}]", vec![refs; 9].join(", "));
    }
    let (outcome, time) = run(bomb);
    assert!(outcome.reports.iter().any(|report| report.code == codes::TOO_LARGE));
    assert!(time < Duration::from_millis(200), "{time:?}");

    let mut text = format!("a0: &a0 \"{}\"\n", "x".repeat(100_000));
    for level in 0..1000 {
        let _ = writeln!(text, "b{level}: *a0");
    }
    refused("long text, often", text, codes::TOO_LARGE);

    let mut merges = "a0: &a0 {".to_owned();
    for key in 0..1000 {
        let _ = write!(merges, "k{key}: 1, ");
    }
    merges.push_str("}\n");
    for level in 0..1000 {
        let _ = writeln!(merges, "b{level}: {{<<: *a0}}");
    }
    refused("merge keys", merges, codes::TOO_LARGE);

    let mut chain = "a0: &a0 [x]\n".to_owned();
    for level in 1..2000 {
        let _ = writeln!(chain, "a{level}: &a{level} [*a{}]", level - 1);
    }
    refused("a deep chain", chain, codes::TOO_DEEP);
    refused("itself", "a: &a [*a]\n", codes::SYNTAX);
    refused("unknown", "a: *b\n", codes::SYNTAX);
}

#[test]
fn size_is_capped_before_anything_is_parsed() {
    let outcome = refused("100 MiB", vec![b'a'; 100 << 20], codes::TOO_LARGE);
    assert_eq!(outcome.reports.len(), 1);
    let mut many = "a: [".to_owned();
    many.push_str(&"x,".repeat(1_000_001));
    let (outcome, _) = run(many);
    assert!(outcome.reports.iter().any(|report| report.code == codes::TOO_LARGE));
}

#[test]
fn time_is_linear_in_the_input() {
    fn config(files: usize) -> String {
        let mut text = "storage:\n  files:\n".to_owned();
        for file in 0..files {
            let _ = write!(
                text,
                "    - path: /f{file}\n      filesystem: root\n      mode: 0644\n      contents: {{inline: hello}}\n"
            );
        }
        text
    }
    let (outcome, small) = run(config(1_000));
    assert!(outcome.ok());
    let (outcome, large) = run(config(10_000));
    assert!(outcome.ok());
    // Ten times the input may take forty times the time before this says something.
    assert!(large < small * 40 + Duration::from_millis(500), "{small:?} and {large:?}");
    let unknown = |keys: usize| {
        (0..keys).fold(String::new(), |mut text, key| {
            let _ = writeln!(text, "key{key}: 1");
            text
        })
    };
    let (_, small) = run(unknown(2_000));
    let (outcome, large) = run(unknown(20_000));
    assert_eq!(outcome.reports.count(Severity::Error), 10_000, "reports are bounded too");
    assert!(large < small * 40 + Duration::from_millis(500), "{small:?} and {large:?}");
}

#[test]
fn bytes_that_are_no_text_are_named() {
    refused("NUL", "storage:\n  files: []\n\0", codes::SYNTAX);
    refused("a control character", "a: \u{1}\n", codes::SYNTAX);
    let outcome = refused("Latin-1", b"systemd:\n  # caf\xe9\n".to_vec(), codes::SYNTAX);
    let span = outcome.reports.iter().next().and_then(|report| report.span).unwrap();
    assert_eq!(outcome.sources.locate(span), "hostile:2:8");
    for (bytes, word) in [
        (&b"\x1f\x8b\x08\x00"[..], "gzip"),
        (b"\xff\xfea\x00", "UTF-16"),
        (b"\x7fELF", "program"),
        (b"PK\x03\x04", "zip"),
    ] {
        let outcome = refused(word, bytes, codes::LANGUAGE);
        assert!(outcome.reports.iter().any(|report| report.message.contains(word)));
    }
    let (outcome, _) = run("\u{feff}systemd: {}\n");
    assert!(outcome.ok(), "a byte order mark is no part of the text");
    let (outcome, _) = run(
        "systemd:\r\n  units:\r\n    - name: a.service\r\n      contents: |\r\n        [Service]\r\n        Type=oneshot\r\n",
    );
    assert!(
        outcome.json(false).is_some_and(|json| json.contains(r#""[Service]\nType=oneshot\n""#)),
        "line ends are those of YAML"
    );
}

#[test]
fn duplicate_keys_are_errors_with_both_places() {
    let outcome = refused("twice", "systemd: {}\nstorage: {}\nsystemd: {}\n", codes::DUPLICATE_KEY);
    let report = outcome.reports.iter().next().unwrap();
    assert_eq!(outcome.sources.locate(report.span.unwrap()), "hostile:3:1");
    assert_eq!(outcome.sources.locate(report.related[0].0), "hostile:1:1");
    refused("twice, quoted", "storage: {files: [], 'files': []}\n", codes::DUPLICATE_KEY);
    refused("two merge keys", "a: &a {b: 1}\nstorage: {<<: *a, <<: *a}\n", codes::DUPLICATE_KEY);
}

#[test]
fn other_kinds_of_files_are_named() {
    for (text, word) in [
        ("#cloud-config\nruncmd: []\n", "cloud-config"),
        ("#!/bin/sh\necho\n", "script"),
        ("Content-Type: multipart/mixed; boundary=x\n\n", "MIME"),
        ("apiVersion: v1\nkind: MachineConfig\nspec: {}\n", "MachineConfig"),
        ("apiVersion: v1\nkind: Pod\n", "Pod"),
        ("write_files: []\n", "cloud-config"),
        ("ignition:\n  version: 3.3.0\n", "as YAML"),
        ("version: 1.0.0\nstorage: {}\n", "variant"),
        ("just text\n", "map of sections"),
        ("- a\n", "map of sections"),
        ("variant: openshift\nversion: 4.14.0\n", "openshift"),
        ("variant: flatcar\nversion: 9.9.9\n", "9.9.9"),
        ("{\"ignition\":{\"version\":\"9.0.0\"}}", "9.0.0"),
    ] {
        let (outcome, _) = run(text);
        assert!(!outcome.ok(), "{text}");
        let report = outcome
            .reports
            .iter()
            .find(|report| report.message.contains(word))
            .unwrap_or_else(|| panic!("{text}: {:?}", outcome.reports));
        assert!(report.span.is_some(), "{text}: {report:?}");
    }
}

#[test]
fn a_second_document_is_not_lost_in_silence() {
    refused("two documents", "systemd: {}\n---\nstorage: {}\n", codes::SYNTAX);
    let (outcome, _) = run("---\nsystemd: {}\n...\n");
    assert!(outcome.ok());
}

#[test]
fn secrets_do_not_stand_in_messages() {
    let text = "passwd:\n  users:\n    - name: core\n      password_hash: [\"$6$secret\"]\n";
    let (outcome, _) = run(text);
    assert!(outcome.reports.iter().all(|report| !report.message.contains("secret")));
    let snippet = |hash: &str| Input {
        name: "s".into(),
        bytes: format!("passwd:\n  users:\n    - name: core\n      password_hash: {hash}\n").into_bytes(),
    };
    let outcome = compile(vec![snippet("$6$secret1"), snippet("$6$secret2")], &Options::default());
    assert!(outcome.reports.iter().any(|report| report.code == codes::MERGE));
    assert!(outcome.reports.iter().all(|report| !report.message.contains("secret")));
}
