//! What the fuzz targets and the property tests run. Panics are findings.

use crate::{Options, Style, resource, unit, url};
use report::Sources;

/// Largest input or output in bytes.
const LIMIT: usize = 1 << 20;

/// Reads `data` as a config; if it is valid, writing and reading it again must give the same.
///
/// # Panics
/// When it does not.
pub fn parse(data: &[u8]) {
    let mut sources = Sources::new();
    let id = sources.add_bytes("fuzz", data);
    let parsed = crate::parse(&sources, id, Options { limit: LIMIT, strict: false });
    let _ = report::text(&parsed.reports, &sources);
    let _ = report::sarif(&parsed.reports, &sources, "0");
    assert!(parsed.config.is_some() || parsed.reports.has_errors(), "refused without a reason");
    let Some(config) = parsed.config else { return };
    for style in [Style { pretty: true, empty_objects: true }, Style::default()] {
        let text = crate::to_json(&config, style);
        let again = sources.add("again", text.as_str());
        let read = crate::parse(&sources, again, Options { limit: usize::MAX, strict: true });
        assert_eq!(read.config.as_ref(), Some(&config), "{}", report::text(&read.reports, &sources));
    }
    let merged = crate::merge(config.clone(), config.clone());
    let twice = crate::merge(merged.clone(), config.clone());
    assert!(twice.storage.files.len() == config.storage.files.len());
    let version = crate::used_version(&config);
    assert!(version.is_3());
    let _ = merged;
}

/// Decodes `data` as data URL, gzip, unit file and URL.
pub fn resource(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = resource::data_url::decode(&text);
    let _ = resource::parse_hash(&text);
    let _ = unit::parse(&text);
    let _ = url::parse(&text);
    let _ = crate::sniff(data);
    if let Ok(bytes) = resource::gunzip(data, LIMIT) {
        assert!(bytes.len() <= LIMIT);
    }
    assert_eq!(resource::data_url::decode(&resource::data_url::escape(data)).ok().as_deref(), Some(data));
    assert_eq!(resource::data_url::decode(&resource::data_url::base64(data)).ok().as_deref(), Some(data));
}
