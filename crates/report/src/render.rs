//! Three renderings of reports: text for people, JSON for programs, SARIF 2.1.0 for code hosts.

use crate::{Code, Report, Reports, Severity, Sources, Span, secrets};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Longest piece of a source line that the text rendering shows, in characters.
const SNIPPET_WIDTH: usize = 120;

/// Text for people: for each report a header `file:line:column: error[code]: message`, the source line with
/// a caret, the key path, related places and hints. Reports are in the order of [`Reports::sorted`].
#[must_use]
pub fn text(reports: &Reports, sources: &Sources) -> String {
    let mut out = String::new();
    for report in &reports.sorted() {
        one(&mut out, report, sources);
    }
    if reports.left_out() > 0 {
        let _ = writeln!(out, "and {} more", reports.left_out());
    }
    out
}

fn one(out: &mut String, report: &Report, sources: &Sources) {
    if let Some(span) = report.span {
        let _ = write!(out, "{}: ", sources.locate(span));
    }
    let _ = writeln!(out, "{}[{}]: {}", report.severity.as_str(), report.code, report.message);
    if let Some(span) = report.span {
        snippet(out, span, '^', sources);
    }
    if !report.path.is_empty() {
        let _ = writeln!(out, "  at {}", report.path);
    }
    for (span, label) in &report.related {
        let _ = writeln!(out, "  {}: {label}", sources.locate(*span));
        snippet(out, *span, '-', sources);
    }
    for hint in &report.hints {
        let _ = writeln!(out, "  hint: {hint}");
    }
}

fn snippet(out: &mut String, span: Span, mark: char, sources: &Sources) {
    if span.is_none() {
        return;
    }
    let at = sources.line_column(span.source, span.start);
    let line = sources.line(span.source, at.line);
    let length = line.chars().count();
    if length == 0 {
        return;
    }
    let wanted = sources.snippet(span).lines().next().map_or(0, |l| l.chars().count()).max(1);
    let first = if length <= SNIPPET_WIDTH { 0 } else { (at.column - 1).saturating_sub(SNIPPET_WIDTH / 2) };
    let hidden = secrets::ranges(sources, span.source, at.line);
    let mut hidden = hidden.into_iter().peekable();
    let mut shown = String::new();
    let (mut count, mut column, mut end) = (0, None, 0);
    let mut inside_mark = None;
    for (index, (byte, c)) in line.char_indices().enumerate().skip(first) {
        while hidden.next_if(|range| range.end <= byte).is_some() {}
        let secret = hidden.peek().filter(|range| range.contains(&byte)).map(|range| range.start);
        // A secret is one character, however long it is.
        if secret.is_none() || secret != inside_mark {
            if count == SNIPPET_WIDTH {
                break;
            }
            shown.push(if secret.is_some() {
                '…'
            } else if c == '\t' || c.is_control() {
                ' '
            } else {
                c
            });
            count += 1;
        }
        inside_mark = secret;
        if index + 1 == at.column {
            column = Some(count - 1);
        }
        if index + 1 >= at.column && index + 1 < at.column + wanted {
            end = count;
        }
    }
    // A place after the line's end, as of something that is missing there.
    let column = column.unwrap_or(count);
    let width = end.saturating_sub(column).max(1);
    let number = at.line.to_string();
    let gutter = " ".repeat(number.len());
    let _ = writeln!(out, " {number} | {}", shown.trim_end());
    let _ = writeln!(out, " {gutter} | {}{}", " ".repeat(column), mark.to_string().repeat(width));
}

fn place(span: Span, sources: &Sources) -> Value {
    let start = sources.line_column(span.source, span.start);
    let end = sources.line_column(span.source, span.end);
    json!({
        "file": sources.name(span.source),
        "line": start.line,
        "column": start.column,
        "endLine": end.line,
        "endColumn": end.column,
    })
}

fn object(report: &Report, sources: &Sources) -> Value {
    let mut value = json!({
        "severity": report.severity.as_str(),
        "code": report.code.id(),
        "message": report.message,
    });
    if !report.path.is_empty() {
        value["path"] = json!(report.path);
    }
    if let Some(span) = report.span {
        value["at"] = place(span, sources);
    }
    if !report.hints.is_empty() {
        value["hints"] = json!(report.hints);
    }
    if !report.related.is_empty() {
        value["related"] = report
            .related
            .iter()
            .map(|(span, label)| json!({"label": label, "at": place(*span, sources)}))
            .collect();
    }
    value
}

/// One JSON array with one object for each report, sorted.
#[must_use]
pub fn json(reports: &Reports, sources: &Sources) -> String {
    let list: Vec<Value> = reports.sorted().iter().map(|r| object(r, sources)).collect();
    Value::Array(list).to_string()
}

/// One JSON object a line, sorted.
#[must_use]
pub fn json_lines(reports: &Reports, sources: &Sources) -> String {
    reports.sorted().iter().fold(String::new(), |mut out, report| {
        let _ = writeln!(out, "{}", object(report, sources));
        out
    })
}

/// A SARIF 2.1.0 log with one run of the tool `wellcar` in the given version.
#[must_use]
pub fn sarif(reports: &Reports, sources: &Sources, version: &str) -> String {
    let sorted = reports.sorted();
    let mut rules: Vec<Code> = sorted.iter().map(|r| r.code).collect();
    rules.sort_unstable();
    rules.dedup();
    let results: Vec<Value> = sorted.iter().map(|r| result(r, &rules, sources)).collect();
    let rules: Vec<Value> =
        rules.iter().map(|c| json!({"id": c.id(), "shortDescription": {"text": c.about()}})).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "wellcar", "version": version, "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
    .to_string()
}

fn result(report: &Report, rules: &[Code], sources: &Sources) -> Value {
    let level = match report.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    };
    let mut message = report.message.clone();
    for hint in &report.hints {
        let _ = write!(message, "\nhint: {hint}");
    }
    let mut value = json!({
        "ruleId": report.code.id(),
        "ruleIndex": rules.iter().position(|c| *c == report.code),
        "level": level,
        "message": {"text": message},
    });
    if let Some(span) = report.span {
        let mut location = json!({"physicalLocation": physical(span, sources)});
        if !report.path.is_empty() {
            location["logicalLocations"] = json!([{"fullyQualifiedName": report.path, "kind": "member"}]);
        }
        value["locations"] = json!([location]);
    } else if !report.path.is_empty() {
        value["locations"] =
            json!([{"logicalLocations": [{"fullyQualifiedName": report.path, "kind": "member"}]}]);
    }
    if !report.related.is_empty() {
        value["relatedLocations"] = report
            .related
            .iter()
            .map(|(s, label)| json!({"physicalLocation": physical(*s, sources), "message": {"text": label}}))
            .collect();
    }
    value
}

fn physical(span: Span, sources: &Sources) -> Value {
    let start = sources.line_column(span.source, span.start);
    let end = sources.line_column(span.source, span.end);
    json!({
        "artifactLocation": {"uri": uri(sources.name(span.source))},
        "region": {
            "startLine": start.line,
            "startColumn": start.column,
            "endLine": end.line,
            "endColumn": end.column,
        },
    })
}

/// Percent-encodes what a URI reference may not hold; a path stays a relative reference.
fn uri(name: &str) -> String {
    name.bytes().fold(String::new(), |mut out, b| {
        if b.is_ascii_alphanumeric() || b"-._~/:@!$&'()*+,;=?#%".contains(&b) {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes;

    fn sample() -> (Reports, Sources) {
        let mut sources = Sources::new();
        let id = sources.add("my node.bu", "storage:\n  files:\n    - path: etc/motd\n");
        let start = sources.text(id).find("etc").unwrap();
        let span = Span::new(id, start, start + 8);
        let mut reports = Reports::new();
        reports.push(Report::info(codes::EMPTY, "no place"));
        reports.push(
            Report::error(codes::PATH, "path not absolute")
                .at(span)
                .path("$.storage.files.0.path")
                .hint("write `/etc/motd`")
                .related(Span::new(id, 0, 7), "in this section"),
        );
        (reports, sources)
    }

    #[test]
    fn text_names_place_path_and_hint() {
        let (reports, sources) = sample();
        let expected = "\
my node.bu:3:13: error[path]: path not absolute
 3 |     - path: etc/motd
   |             ^^^^^^^^
  at $.storage.files.0.path
  my node.bu:1:1: in this section
 1 | storage:
   | -------
  hint: write `/etc/motd`
info[empty]: no place
";
        assert_eq!(text(&reports, &sources), expected);
    }

    #[test]
    fn long_lines_are_cut_around_the_caret() {
        let mut sources = Sources::new();
        let id = sources.add("x", format!("{}HERE{}", "a".repeat(5000), "b".repeat(5000)));
        let report = Report::error(codes::VALUE, "m").at(Span::new(id, 5000, 5004));
        let text = text(&Reports::from(report), &sources);
        assert!(text.contains("HERE") && text.len() < 500, "{text}");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1].find("HERE"), lines[2].find("^^^^"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut sources = Sources::new();
        let text =
            "users: [{password_hash: \"$6$abc$def\", nmae: core}]\nkey_file:\n  source: data:,SECRET\n";
        let id = sources.add("x", text);
        let at = |word: &str| {
            let start = text.find(word).unwrap();
            Span::new(id, start, start + word.len())
        };
        let mut reports = Reports::new();
        reports.push(Report::error(codes::UNKNOWN_KEY, "m").at(at("nmae")).related(at("data:,SECRET"), "l"));
        reports.push(Report::error(codes::VALUE, "n").at(at("abc")));
        let expected = "\
x:1:29: error[invalid-value]: n
 1 | users: [{password_hash: …, nmae: core}]
   |                         ^
x:1:39: error[unknown-key]: m
 1 | users: [{password_hash: …, nmae: core}]
   |                            ^^^^
  x:3:11: l
 3 |   source: …
   |           -
";
        assert_eq!(super::text(&reports, &sources), expected);
        let all =
            json(&reports, &sources) + &json_lines(&reports, &sources) + &sarif(&reports, &sources, "1");
        assert!(!all.contains("SECRET") && !all.contains("$6$"));
    }

    #[test]
    fn json_and_sarif_parse_back() {
        let (reports, sources) = sample();
        let array: Value = serde_json::from_str(&json(&reports, &sources)).unwrap();
        assert_eq!(array[0]["at"]["line"], 3);
        assert_eq!(json_lines(&reports, &sources).lines().count(), 2);
        let log: Value = serde_json::from_str(&sarif(&reports, &sources, "1.0")).unwrap();
        assert_eq!(log["version"], "2.1.0");
        let result = &log["runs"][0]["results"][0];
        assert_eq!(result["ruleId"], "path");
        assert_eq!(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "my%20node.bu");
        assert_eq!(log["runs"][0]["tool"]["driver"]["rules"][1]["id"], "path");
    }
}
