//! The joints to the Ignition crate: positioned values become typed configs, are checked, brought
//! to the current specification, merged and written.

use crate::json;
use ignition::json::Value;
use ignition::{Config, Style, Version};
use report::{Report, Reports, Span, codes};

/// Which Ignition version is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spec {
    /// 2.3.0, exactly as `ct` writes it. Only for a Container Linux Config.
    V2_3,
    /// A certain version 3.
    V3(Version),
}

impl Spec {
    /// Reads `2.3`, `3.4`, `3.4.0`; `3.x` is none.
    pub fn parse(text: &str) -> Option<Option<Self>> {
        if text == "3.x" {
            return Some(None);
        }
        if matches!(text, "2.3" | "2.3.0") {
            return Some(Some(Self::V2_3));
        }
        let version = Version::find(text).or_else(|| Version::find(&format!("{text}.0")))?;
        version.is_3().then_some(Some(Self::V3(version)))
    }
}

/// A translated config on its way out.
#[derive(Debug)]
pub enum Built {
    /// Ignition 2.3 as values, from a Container Linux Config.
    V2(Value),
    /// Ignition 3 with the version it declares.
    V3(Box<Config>, Version),
}

/// Checks an Ignition 2.3 value and, unless `spec` wants it as it is, translates it up.
pub fn from_v2(value: Value, spec: Option<Spec>, reports: &mut Reports) -> Option<Built> {
    let before = errors(reports);
    let config: ignition::v2::Config = ignition::decode_value(&value, Version::V2_3, reports);
    ignition::v2::validate(&config, Version::V2_3, reports);
    if errors(reports) > before {
        return None;
    }
    if spec == Some(Spec::V2_3) {
        return Some(Built::V2(value));
    }
    let (config, found) = ignition::v2::to_v3(&config);
    reports.append(found);
    let config = config?;
    // What Flatcar's translation gives is 3.1.
    let version = Version::V3_1;
    // Flatcar checks what its translation gave once more.
    ignition::validate(&config, version, reports);
    Some(Built::V3(Box::new(config), version))
}

/// Checks an Ignition 3 value.
pub fn from_v3(value: &Value, version: Version, reports: &mut Reports) -> Option<Built> {
    let before = errors(reports);
    let config: Config = ignition::decode_value(value, version, reports);
    if errors(reports) > before {
        return None;
    }
    ignition::validate(&config, version, reports);
    Some(Built::V3(Box::new(config), version))
}

/// Lays one config over another.
pub fn merge(parent: Built, child: Built, reports: &mut Reports) -> Option<Built> {
    let (Built::V3(parent, first), Built::V3(child, second)) = (parent, child) else {
        reports.push(
            Report::error(codes::LANGUAGE, "files of different languages cannot become Ignition 2.3")
                .hint("leave `--spec 2.3` out"),
        );
        return None;
    };
    collisions(&parent, &child, reports);
    let merged = ignition::merge(*parent, *child);
    let version = first.max(second);
    let before = errors(reports);
    ignition::validate(&merged, version, reports);
    (errors(reports) == before).then(|| Built::V3(Box::new(merged), version))
}

/// What both configs describe. Only the key is compared, so equal descriptions are reported too.
fn collisions(parent: &Config, child: &Config, reports: &mut Reports) {
    type Items<'a> = Vec<(String, Span)>;
    fn nodes(config: &Config) -> Items<'_> {
        let storage = &config.storage;
        let mut out = Vec::new();
        let mut add =
            |key: &ignition::Opt<String>, span| out.push((ignition::model::text(key).to_owned(), span));
        storage.files.iter().for_each(|node| add(&node.path, node.span));
        storage.directories.iter().for_each(|node| add(&node.path, node.span));
        storage.links.iter().for_each(|node| add(&node.path, node.span));
        config.systemd.units.iter().for_each(|unit| add(&unit.name, unit.span));
        config.passwd.users.iter().for_each(|user| add(&user.name, user.span));
        out
    }
    let old: std::collections::HashMap<String, Span> = nodes(parent).into_iter().collect();
    for (key, span) in nodes(child) {
        if let Some(first) = old.get(&key) {
            reports.push(
                Report::warning(
                    codes::MERGE,
                    format!("`{key}` is described twice, and what is set here wins"),
                )
                .at(span)
                .related(*first, "this one loses"),
            );
        }
    }
}

/// Writes the result; a certain version 3 must know every field that is used.
pub fn write(built: &Built, spec: Option<Spec>, pretty: bool, reports: &mut Reports) -> Option<String> {
    match (built, spec) {
        (Built::V2(value), _) => Some(json::write(value, pretty)),
        (Built::V3(..), Some(Spec::V2_3)) => {
            reports.push(
                Report::error(codes::VERSION, "only a Container Linux Config can become Ignition 2.3")
                    .hint("leave `--spec` out: the result is then in the version of the config"),
            );
            None
        }
        (Built::V3(config, declared), spec) => {
            let version = match spec {
                Some(Spec::V3(version)) => version,
                _ => *declared,
            };
            if version < *declared {
                let needed = ignition::used_version(config);
                if version < needed {
                    reports.push(
                        Report::error(
                            codes::VERSION,
                            format!(
                                "the config needs Ignition {}, and {} is wanted",
                                needed.as_str(),
                                version.as_str()
                            ),
                        )
                        .hint(format!("give `--spec {}`, or leave it out", needed.as_str())),
                    );
                    return None;
                }
            }
            let mut config = config.as_ref().clone();
            let span = config.ignition.version.as_ref().map_or(Span::NONE, |version| version.span);
            config.ignition.version = Some(report::Spanned::new(version.as_str().to_owned(), span));
            Some(ignition::to_json(&config, Style { pretty, empty_objects: false }))
        }
    }
}

fn errors(reports: &Reports) -> usize {
    reports.count(report::Severity::Error)
}
