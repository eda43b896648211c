//! From a text to a checked config: JSON, version, translation, types, validation.

use crate::decode::Decoder;
use crate::json::{self, Kind, Value};
use crate::model::Config;
use crate::v2;
use crate::version::Version;
use report::{Report, Reports, Severity, SourceId, Sources, Span, codes};
use std::collections::HashSet;

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
    /// The config in the newest model; `None` when it cannot be used. Its `ignition.version` is the declared one, or
    /// 3.1.0 when it was translated up from spec 1 or 2.
    pub config: Option<Config>,
    /// The version that the text declares.
    pub version: Option<Version>,
    /// Everything that was found, in order.
    pub reports: Reports,
}

/// What user data is, seen from its first bytes. Clouds hand out more than Ignition configs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Userdata {
    /// Maybe an Ignition config.
    Ignition,
    /// Nothing but blanks: no config.
    Empty,
    /// For cloud-init (`#cloud-config`, `#!` or MIME multipart): the engine treats it as no config.
    CloudInit,
    /// Compressed: decompress and look again.
    Gzip,
}

/// Looks at user data.
#[must_use]
pub fn sniff(bytes: &[u8]) -> Userdata {
    let start = bytes.trim_ascii_start();
    let head = start.get(..start.len().min(256)).unwrap_or(start).to_ascii_lowercase();
    if start.is_empty() {
        Userdata::Empty
    } else if bytes.starts_with(&[0x1f, 0x8b]) {
        Userdata::Gzip
    } else if head.starts_with(b"#cloud-config")
        || head.starts_with(b"#!")
        || head.windows(15).any(|w| w == b"multipart/mixed") && !head.starts_with(b"{")
    {
        Userdata::CloudInit
    } else {
        Userdata::Ignition
    }
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
    let whole = Span::new(id, 0, text.len().min(1));
    match sniff(text.as_bytes()) {
        Userdata::Ignition | Userdata::Gzip => {}
        Userdata::Empty => {
            reports.push(Report::error(codes::EMPTY, "not a config (empty)").at(whole));
            return None;
        }
        Userdata::CloudInit => {
            let report =
                Report::error(codes::EMPTY, "not an Ignition config: this is for cloud-init").at(whole);
            reports.push(report.hint("a machine that gets it boots as if it had no config"));
            return None;
        }
    }
    let value = match json::parse(text, id, options.limit, reports) {
        Ok(value) => value,
        Err(report) => {
            reports.push(*report);
            return None;
        }
    };
    let version = detect(&value, reports)?;
    *declared = Some(version);
    if !version.is_3() {
        return translate(&value, version, reports);
    }
    let mut config = Config::default();
    Decoder::new(version, reports).object(&value, &mut config);
    crate::validate(&config, version, reports);
    drop_special_bits(&mut config, version);
    Some(config)
}

/// Before 3.6 setuid, setgid and sticky bits had no effect, and still have none.
fn drop_special_bits(config: &mut Config, version: Version) {
    if version >= Version::V3_6 {
        return;
    }
    let files = config.storage.files.iter_mut().map(|f| &mut f.mode);
    let directories = config.storage.directories.iter_mut().map(|d| &mut d.mode);
    for mode in files.chain(directories).flatten() {
        mode.value &= 0o777;
    }
}

fn translate(value: &Value, version: Version, reports: &mut Reports) -> Option<Config> {
    let old = v2::decode(value, version, reports);
    v2::validate(&old, version, reports);
    if reports.has_errors() {
        return None;
    }
    let (config, more) = v2::to_v3(&old);
    reports.append(more);
    let mut config = config?;
    // What spec 2 has said already is not said twice.
    let said: HashSet<Span> = reports.iter().filter_map(|r| r.span).collect();
    let mut more = Reports::new();
    crate::validate(&config, Version::V3_1, &mut more);
    more.retain(|r| r.severity == Severity::Error || r.span.is_none_or(|s| !said.contains(&s)));
    reports.append(more);
    drop_special_bits(&mut config, Version::V3_1);
    Some(config)
}

/// A semantic version, roughly: three numbers and maybe a suffix.
fn is_version(text: &str) -> bool {
    let core = text.split(['-', '+']).next().unwrap_or("");
    let parts: Vec<&str> = core.split('.').collect();
    parts.len() == 3 && parts.iter().all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
}

fn detect(value: &Value, reports: &mut Reports) -> Option<Version> {
    let hint = || {
        let list: Vec<_> = Version::ALL.iter().map(|v| v.as_str()).collect();
        format!("known versions: {}", list.join(", "))
    };
    let found = value.get("ignition").and_then(|i| i.get("version"));
    if let Some(Value { kind: Kind::String(text), span }) = found {
        let version = Version::find(text).filter(|v| *v != Version::V1);
        if version.is_none() {
            let message = if is_version(text) {
                format!("unsupported config version `{text}`")
            } else {
                format!("invalid config version `{text}`")
            };
            let report = Report::error(codes::VERSION, message).at(*span).path("$.ignition.version");
            reports.push(report.hint(hint()));
        }
        return version;
    }
    match value.get("ignitionVersion") {
        Some(Value { kind: Kind::Number(number), .. }) if number == "1" => Some(Version::V1),
        Some(other) => {
            let report = Report::error(codes::VERSION, "unsupported config version").at(other.span);
            reports.push(report.path("$.ignitionVersion").hint(hint()));
            None
        }
        None => {
            let at = found.map_or(value.span, |v| v.span);
            let at = Span::new(at.source, at.start, at.end.min(at.start + 1));
            let report = Report::error(codes::VERSION, "the config does not say its version").at(at);
            reports.push(
                report
                    .path("$.ignition.version")
                    .hint("for example `{\"ignition\": {\"version\": \"3.6.0\"}}`"),
            );
            None
        }
    }
}
