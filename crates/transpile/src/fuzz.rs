//! Bodies of the fuzz targets: any bytes, no panic, and what is accepted stays accepted.

use crate::compile::{Input, Options, compile};
use crate::yaml::{Limits, read};
use report::{Reports, Sources};

/// Reads any bytes as YAML.
pub fn yaml(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let mut sources = Sources::new();
        let id = sources.add("fuzz", text);
        let mut reports = Reports::new();
        let limits = Limits { nodes: 20_000, alias_nodes: 20_000, ..Limits::default() };
        let node = read(id, text, &limits, &mut reports);
        // Whatever was read, every report points into the text.
        for report in &reports {
            if let Some(span) = report.span {
                assert!(span.end <= text.len(), "{report:?}");
            }
        }
        drop(node);
    }
}

/// Compiles any bytes as whatever they look like, strictly and not.
pub fn clc(bytes: &[u8]) {
    for lax in [false, true] {
        let options = Options { lax, platform: Some("custom"), ..Options::default() };
        let outcome = compile(vec![Input { name: "fuzz".into(), bytes: bytes.to_vec() }], &options);
        assert_eq!(outcome.ok(), !outcome.reports.has_errors());
    }
}

/// The same behind a Butane header, and once more as a snippet over itself.
pub fn butane(bytes: &[u8]) {
    let mut text = b"variant: flatcar\nversion: 1.1.0\n".to_vec();
    text.extend_from_slice(bytes);
    let input = Input { name: "fuzz".into(), bytes: text };
    let options = Options { lax: true, ..Options::default() };
    let one = compile(vec![input.clone()], &options);
    let two = compile(vec![input.clone(), input], &options);
    assert_eq!(one.ok(), !one.reports.has_errors());
    assert_eq!(two.ok(), !two.reports.has_errors());
}
