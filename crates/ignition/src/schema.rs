//! A JSON Schema (draft 2020-12) of any version of spec 3, made from the field table: for editors.

use crate::encode::quote;
use crate::model::Config;
use crate::node::{FieldInfo, Node as _, Shape};
use crate::version::Version;
use std::fmt::Write as _;

/// The schema of a version of spec 3, as JSON on one line.
#[must_use]
pub fn schema(version: Version) -> String {
    let mut out = String::from("{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"title\":");
    quote(&mut out, &format!("Ignition {version}"));
    out.push(',');
    object(&mut out, Config::fields(), version);
    out.push('}');
    out
}

fn object(out: &mut String, fields: &[FieldInfo], version: Version) {
    out.push_str("\"type\":\"object\",\"additionalProperties\":false,\"properties\":{");
    let known: Vec<_> = fields.iter().filter(|f| f.since <= version).collect();
    for (index, field) in known.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        quote(out, field.key);
        out.push_str(":{\"description\":");
        quote(out, field.about.trim());
        out.push(',');
        shape(out, field.shape, version);
        out.push('}');
    }
    out.push('}');
    let required: Vec<_> = known.iter().filter(|f| f.always).map(|f| format!("\"{}\"", f.key)).collect();
    if !required.is_empty() {
        let _ = write!(out, ",\"required\":[{}]", required.join(","));
    }
}

/// Go reads `null` as "not set", so every field may be null but those that are required.
fn shape(out: &mut String, shape: Shape, version: Version) {
    match shape {
        Shape::String => out.push_str("\"type\":[\"string\",\"null\"]"),
        Shape::Integer => out.push_str("\"type\":[\"integer\",\"null\"]"),
        Shape::Boolean => out.push_str("\"type\":[\"boolean\",\"null\"]"),
        Shape::Strings => out.push_str("\"type\":\"array\",\"items\":{\"type\":\"string\"}"),
        Shape::Object(fields) => object(out, fields(), version),
        Shape::Objects(fields) => {
            out.push_str("\"type\":\"array\",\"items\":{");
            object(out, fields(), version);
            out.push('}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_fields() {
        for (version, has, lacks) in [
            (Version::V3_0, "wipePartitionEntry", "kernelArguments"),
            (Version::V3_3, "kernelArguments", "openOptions"),
            (Version::NEWEST, "cex", "networkd"),
        ] {
            let text = schema(version);
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value["required"], serde_json::json!(["ignition"]));
            assert!(
                text.contains(&format!("\"{has}\"")) && !text.contains(&format!("\"{lacks}\"")),
                "{version}"
            );
        }
    }
}
