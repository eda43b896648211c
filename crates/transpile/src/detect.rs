//! Which language a text is in, seen from its content, and what to say when it is none of ours.

use crate::yaml::Node;
use report::{Report, SourceId, Span, codes};

/// A language that can be compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Container Linux Config.
    Clc,
    /// Butane.
    Butane,
    /// Ignition JSON.
    Ignition,
}

impl Language {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clc => "Container Linux Config",
            Self::Butane => "Butane",
            Self::Ignition => "Ignition JSON",
        }
    }
}

/// Recognises by its first bytes what is no config of ours.
pub fn foreign_text(source: SourceId, text: &str) -> Option<Report> {
    let start = text.trim_start_matches('\u{feff}');
    let line = start.lines().next().unwrap_or_default();
    let (what, hint) = if line.trim_end() == "#cloud-config" {
        (
            "a cloud-config",
            "translate it to a Container Linux Config or to Butane: `write_files` is `storage.files`, `users` is `passwd.users`, `runcmd` is a unit",
        )
    } else if line.starts_with("#!") {
        (
            "a script",
            "put it into a file under `storage.files` and start it with a unit under `systemd.units`",
        )
    } else if ["Content-Type: multipart/", "MIME-Version:"].iter().any(|word| line.starts_with(word)) {
        ("a MIME message", "give the config alone, without the envelope of cloud-init")
    } else if line.starts_with("## template: jinja") || line.starts_with("#include") {
        ("a file for cloud-init", "translate it to a Container Linux Config or to Butane")
    } else {
        return None;
    };
    Some(
        Report::error(codes::LANGUAGE, format!("this is {what}, which cannot be used here"))
            .at(Span::new(source, 0, line.len()))
            .hint(hint),
    )
}

/// Recognises by their first bytes what is no text at all.
pub fn foreign_bytes(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let magic: [(&[u8], &str, &str); 6] = [
        (b"\x1f\x8b", "gzip data", "unpack it first"),
        (b"\x28\xb5\x2f\xfd", "zstd data", "unpack it first"),
        (b"PK\x03\x04", "a zip archive", "give the config itself"),
        (b"\x7fELF", "a program", "give a config"),
        (b"\xff\xfe", "UTF-16 text", "save it as UTF-8"),
        (b"\xfe\xff", "UTF-16 text", "save it as UTF-8"),
    ];
    magic.iter().find(|(magic, ..)| bytes.starts_with(magic)).map(|(_, what, hint)| (*what, *hint))
}

/// Whether a text is meant to be Ignition JSON: it starts as a JSON object and names what only
/// Ignition has.
pub fn is_ignition(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if !text.starts_with('{') {
        return false;
    }
    if text.contains("\"ignitionVersion\"") {
        return true;
    }
    // Cheap and safe: the key must stand near the version.
    text.match_indices("\"ignition\"").any(|(at, _)| {
        let rest: String = text[at..].chars().take(4096).collect();
        rest.contains("\"version\"")
    }) && !text.contains("\"variant\"")
}

/// Which YAML language a tree is in, or what else it is.
pub fn language(root: &Node) -> Result<Language, Box<Report>> {
    let has = |key: &str| root.entry(key);
    if let Some(entry) = has("kind").filter(|_| has("apiVersion").is_some()) {
        let kind = entry.value.text().map_or("", |text| &**text);
        let report = Report::error(
            codes::LANGUAGE,
            format!("this is a Kubernetes object of kind `{}`", kind.chars().take(40).collect::<String>()),
        )
        .at(entry.key_span);
        return Err(Box::new(if kind == "MachineConfig" {
            report.hint("give the Ignition config below `spec.config` alone, as JSON")
        } else {
            report.hint("put it into a file under `storage.files`")
        }));
    }
    if has("variant").is_some() {
        return Ok(Language::Butane);
    }
    let known = ["storage", "systemd", "passwd", "ignition", "networkd"].iter().any(|key| has(key).is_some());
    if !known
        && let Some(entry) = ["write_files", "runcmd", "packages", "coreos", "ssh_authorized_keys", "bootcmd"]
            .iter()
            .find_map(|key| has(key))
    {
        return Err(Box::new(
            Report::error(
                codes::LANGUAGE,
                format!("`{}` belongs to cloud-config, which cannot be used here", entry.key),
            )
            .at(entry.key_span)
            .hint("translate it to a Container Linux Config or to Butane"),
        ));
    }
    let version = root.get("ignition").and_then(|node| node.entry("version"));
    if let Some(entry) = version {
        return Err(Box::new(
            Report::error(codes::LANGUAGE, "this is an Ignition config written as YAML")
                .at(entry.key_span)
                .path("$.ignition.version")
                .hint("write it as JSON, or as Butane with `variant` and `version` at the top"),
        ));
    }
    if let Some(entry) =
        has("version").filter(|entry| entry.value.text().is_some_and(|text| text.matches('.').count() == 2))
    {
        return Err(Box::new(
            Report::error(codes::LANGUAGE, "this looks like Butane without a `variant`")
                .at(entry.key_span)
                .hint("add `variant: flatcar`"),
        ));
    }
    Ok(Language::Clc)
}
