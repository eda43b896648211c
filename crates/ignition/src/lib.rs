//! Ignition configs, specs 3.0 to 3.7.0-experimental: read with positions into one model (the newest version),
//! checked as the reference does, merged by key with the provenance of every field kept, and written as
//! canonical JSON. Specs 1 and 2.0–2.4 are read by [`v2`] and translated up.
//!
//! Pure: bytes and texts in, values and reports out.
#![forbid(unsafe_code)]

mod decode;
mod encode;
mod from_value;
pub mod fuzz;
pub mod json;
mod merge;
pub mod model;
mod node;
mod parse;
pub mod path;
pub mod resource;
mod schema;
pub mod unit;
pub mod url;
pub mod v2;
mod validate;
mod version;
mod walk;

pub use encode::{Style, to_json};
pub use from_value::decode_value;
pub use merge::merge;
pub use model::{Config, Opt, OptExt};
pub use node::{FieldInfo, Node, Shape};
pub use parse::{DEFAULT_LIMIT, Options, Parsed, Userdata, parse, sniff};
pub use schema::schema;
pub use validate::validate;
pub use version::Version;
pub use walk::{Leaf, since, used_version, walk};
