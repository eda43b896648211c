//! Writes a JSON value as Go's `encoding/json` does.

use ignition::json::{Kind, Value};
use std::fmt::Write as _;

/// JSON text; `pretty` indents by two spaces and ends with a newline.
pub fn write(value: &Value, pretty: bool) -> String {
    let mut out = String::new();
    node(value, pretty, 0, &mut out);
    if pretty {
        out.push('\n');
    }
    out
}

fn line(pretty: bool, level: usize, out: &mut String) {
    if pretty {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", level));
    }
}

fn node(value: &Value, pretty: bool, level: usize, out: &mut String) {
    match &value.kind {
        Kind::Null => out.push_str("null"),
        Kind::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Kind::Number(number) => out.push_str(number),
        Kind::String(text) => string(text, out),
        Kind::Array(items) if items.is_empty() => out.push_str("[]"),
        Kind::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                out.push(if index == 0 { '[' } else { ',' });
                line(pretty, level + 1, out);
                node(item, pretty, level + 1, out);
            }
            line(pretty, level, out);
            out.push(']');
        }
        Kind::Object(members) if members.is_empty() => out.push_str("{}"),
        Kind::Object(members) => {
            for (index, member) in members.iter().enumerate() {
                out.push(if index == 0 { '{' } else { ',' });
                line(pretty, level + 1, out);
                string(&member.key.value, out);
                out.push_str(if pretty { ": " } else { ":" });
                node(&member.value, pretty, level + 1, out);
            }
            line(pretty, level, out);
            out.push('}');
        }
    }
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
