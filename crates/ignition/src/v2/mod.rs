//! Specs 2.0 to 2.4 (and 1): the types, and the translation to spec 3 as Flatcar's engine does it at run time.

pub mod model;

pub use model::Config;

use crate::encode::{Encoder, Style};

/// Writes a 2.x config as Go's `encoding/json` does.
#[must_use]
pub fn to_json(config: &Config, style: Style) -> String {
    let mut encoder = Encoder::new(style);
    encoder.node(config);
    encoder.finish()
}
