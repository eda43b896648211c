//! Specs 1 and 2.0 to 2.4: the types, their checks, and the translation to spec 3 as Flatcar's engine does it at
//! run time.

pub mod model;
mod translate;
mod v1;
mod validate;

pub use model::Config;
pub use translate::to_v3;
pub use validate::validate;

use crate::decode::Decoder;
use crate::encode::{Encoder, Style};
use crate::json::Value;
use crate::version::Version;
use report::{Reports, Spanned};

/// Writes a 2.x config as Go's `encoding/json` does.
#[must_use]
pub fn to_json(config: &Config, style: Style) -> String {
    let version = Version::find(crate::model::text(&config.ignition.version));
    let mut encoder = Encoder::new(style, version);
    encoder.node(config);
    encoder.finish()
}

/// Reads spec 1 or 2 out of JSON; nothing is checked yet.
pub(crate) fn decode(value: &Value, version: Version, reports: &mut Reports) -> Config {
    let mut decoder = Decoder::new(version, reports);
    if version == Version::V1 {
        let mut config = v1::ConfigV1::default();
        decoder.object(value, &mut config);
        return v1::to_v2(config);
    }
    let mut config = Config::default();
    decoder.object(value, &mut config);
    fill(&mut config, version);
    config
}

/// In 2.0 and 2.1 a missing mode is 0, in 2.0 a missing owner is root: these versions cannot say "not set".
fn fill(config: &mut Config, version: Version) {
    if version > Version::V2_1 {
        return;
    }
    for file in &mut config.storage.files {
        file.mode.get_or_insert(Spanned::bare(0));
        if version == Version::V2_0 {
            for owner in [&mut file.user, &mut file.group] {
                owner.get_or_insert_default().id.get_or_insert(Spanned::bare(0));
            }
        }
    }
    for directory in &mut config.storage.directories {
        directory.mode.get_or_insert(Spanned::bare(0));
    }
}
