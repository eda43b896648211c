//! Every set scalar of a config with its key path and its place: what `explain` and `diff` show. And which
//! spec version a config needs.

use crate::encode::Encoder;
use crate::model::Config;
use crate::node::{FieldInfo, Node, Shape};
use crate::version::Version;
use report::Span;

/// A scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaf<'a> {
    /// A string.
    String(&'a str),
    /// A whole number.
    Integer(i64),
    /// `true` or `false`.
    Boolean(bool),
}

/// Takes the scalars of a config in the order of serialisation.
pub(crate) type Visit<'v> = dyn FnMut(&str, Span, Leaf<'_>) + 'v;

/// Calls `visit` with the key path (`$.storage.files.0.path`), the place and the value of each set scalar.
pub fn walk(config: &Config, visit: &mut dyn FnMut(&str, Span, Leaf<'_>)) {
    Encoder::visitor(visit).node(config);
}

/// The lowest spec 3 version that knows every field that is set.
#[must_use]
pub fn used_version(config: &Config) -> Version {
    let mut version = Version::V3_0;
    walk(config, &mut |path, _, leaf| {
        version = version.max(since(path));
        // `none` as a format and some URL schemes came without a new field.
        if let Leaf::String(value) = leaf {
            if path.starts_with("$.storage.filesystems.") && path.ends_with(".format") && value == "none" {
                version = version.max(Version::V3_3);
            }
            if path.ends_with(".source") {
                let scheme = value.split(':').next().unwrap_or("");
                let since = match scheme {
                    "gs" => Version::V3_2,
                    "arn" => Version::V3_4,
                    _ => Version::V3_0,
                };
                version = version.max(since);
            }
            if path.ends_with(".verification.hash") && value.starts_with("sha256-") {
                version = version.max(Version::V3_1);
            }
        }
        if let (Leaf::Integer(mode), true) = (leaf, path.ends_with(".mode"))
            && mode > 0o777
        {
            version = version.max(Version::V3_6);
        }
    });
    version
}

/// The version that brought the field at a key path, or the newest of the objects it lies in.
#[must_use]
pub fn since(path: &str) -> Version {
    let mut fields: Option<&'static [FieldInfo]> = Some(Config::fields());
    let mut version = Version::V3_0;
    let mut contents = false;
    for step in path.split('.').skip(1).filter(|s| !s.bytes().all(|b| b.is_ascii_digit())) {
        let Some(field) = fields.and_then(|f| f.iter().find(|f| f.key == step)) else { break };
        version = version.max(field.since);
        contents |= field.key == "storage";
        if field.key == "compression" && !contents {
            version = version.max(Version::V3_1);
        }
        fields = match field.shape {
            Shape::Object(inner) | Shape::Objects(inner) => Some(inner()),
            Shape::String | Shape::Integer | Shape::Boolean | Shape::Strings => None,
        };
    }
    version
}
