//! From a text to a checked config: JSON, version, translation, types, validation.

use crate::decode::Decoder;
use crate::json::{self, Kind, Value};
use crate::model::Config;
use crate::version::Version;
use report::{Report, Reports, SourceId, Sources, codes};

/// Largest config text that is read by default, in bytes.
pub const DEFAULT_LIMIT: usize = 100 * 1024 * 1024;

/// How a config is read.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Largest text in bytes.
    pub limit: usize,
    /// Unknown keys and duplicate keys are errors instead of warnings.
    pub strict: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { limit: DEFAULT_LIMIT, strict: false }
    }
}

/// What came out of a text.
#[derive(Debug, Clone)]
#[must_use]
pub struct Parsed {
    /// The config in the newest model, its `ignition.version` as declared; `None` when it cannot be used.
    pub config: Option<Config>,
    /// The version that the text declares, `3.x` only.
    pub version: Option<Version>,
    /// Everything that was found, in order.
    pub reports: Reports,
}

/// Reads, translates up and checks a config of any supported version.
pub fn parse(sources: &Sources, id: SourceId, options: Options) -> Parsed {
    let mut reports = Reports::new();
    let mut version = None;
    let config = read(sources.text(id), id, options, &mut reports, &mut version);
    if options.strict {
        reports.raise(&[codes::UNKNOWN_KEY, codes::DUPLICATE_KEY]);
    }
    let config = config.filter(|_| !reports.has_errors());
    Parsed { config, version, reports }
}

fn read(
    text: &str,
    id: SourceId,
    options: Options,
    reports: &mut Reports,
    declared: &mut Option<Version>,
) -> Option<Config> {
    let value = match json::parse(text, id, options.limit, reports) {
        Ok(value) => value,
        Err(report) => {
            reports.push(report);
            return None;
        }
    };
    let version = detect(&value, reports)?;
    *declared = Some(version);
    let mut config = Config::default();
    Decoder::new(version, reports).object(&value, &mut config);
    crate::validate(&config, version, reports);
    Some(config)
}

fn detect(value: &Value, reports: &mut Reports) -> Option<Version> {
    let found = value.get("ignition").and_then(|i| i.get("version"));
    let Some(Value { kind: Kind::String(text), span }) = found else {
        reports.push(Report::error(codes::VERSION, "the config has no version").at(value.span));
        return None;
    };
    let version = Version::find(text).filter(|v| v.is_3());
    if version.is_none() {
        reports.push(
            Report::error(codes::VERSION, format!("unsupported config version `{text}`"))
                .at(*span)
                .path("$.ignition.version"),
        );
    }
    version
}
