//! Reads a config out of a value that another front end built, with that front end's positions.

use crate::decode::Decoder;
use crate::json::Value;
use crate::node::Node;
use crate::version::Version;
use report::Reports;

/// Reads `value` as a config of `version` ([`crate::Config`] for 3.x, [`crate::v2::Config`] for 2.x).
/// Wrong types and unknown keys are reported; nothing else is checked.
pub fn decode_value<N: Node>(value: &Value, version: Version, reports: &mut Reports) -> N {
    let mut config = N::default();
    Decoder::new(version, reports).object(value, &mut config);
    config
}
