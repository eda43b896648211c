//! `etcd` and `flannel`: options that depend on a version become flags in a drop-in.

use super::Clc;
use super::dynamic::is_dynamic;
use super::text::{Version, quoted};
use crate::out::From;
use crate::schema::{Check, Field, KeyPath, Obj, Ty, closest, sugar};
use crate::yaml::{Kind, Node};
use report::{Report, Span, codes};
use std::sync::OnceLock;

/// One option: key, type, whether it is deprecated.
type Opt = (&'static str, Ty, bool);

/// The options of etcd, by version.
fn etcd_table() -> &'static [(&'static str, Vec<Opt>)] {
    static TABLE: OnceLock<Vec<(&'static str, Vec<Opt>)>> = OnceLock::new();
    TABLE.get_or_init(|| {
        include_str!("etcd-options.txt")
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once(' '))
            .map(|(version, words)| (version, words.split(' ').filter_map(option).collect()))
            .collect()
    })
}

fn option(word: &'static str) -> Option<Opt> {
    let (key, kind) = word.split_once(':')?;
    let ty = match kind.trim_end_matches('!') {
        "s" => Ty::Str,
        "n" => Ty::Int,
        _ => Ty::Bool,
    };
    Some((key, ty, kind.ends_with('!')))
}

/// The options of flannel with their flags, and the first minor version of 0.x that has them.
const FLANNEL: [(&str, &str, Ty, u64); 12] = [
    ("etcd_username", "etcd-username", Ty::Str, 6),
    ("etcd_password", "etcd-password", Ty::Str, 6),
    ("etcd_endpoints", "etcd-endpoints", Ty::Str, 5),
    ("etcd_cafile", "etcd-cafile", Ty::Str, 5),
    ("etcd_certfile", "etcd-certfile", Ty::Str, 5),
    ("etcd_keyfile", "etcd-keyfile", Ty::Str, 5),
    ("etcd_prefix", "etcd-prefix", Ty::Str, 5),
    ("ip_masq", "ip-masq", Ty::Str, 5),
    ("subnet_file", "subnet-file", Ty::Str, 5),
    ("interface", "iface", Ty::Str, 5),
    ("public_ip", "public-ip", Ty::Str, 5),
    ("kube_subnet_mgr", "kube-subnet-mgr", Ty::Bool, 7),
];

/// A flag with its text and the place of its value.
struct Flag {
    text: String,
    span: Span,
}

impl Clc<'_> {
    /// The drop-in of `etcd-member.service`.
    pub(super) fn etcd(&mut self, node: &Node) -> Option<String> {
        let from = From::new(Some(node));
        let version = self.version(from, "etcd")?;
        let numbers = version.as_ref().map_or((3, 5), |(v, _)| (v.major, v.minor));
        if let Some((v, span)) = &version {
            if v.older_than(2, 3, 0) {
                self.reports.push(
                    Report::error(
                        codes::VERSION,
                        format!("etcd version {v} is older than 2.3.0, the oldest that can be configured"),
                    )
                    .at(*span),
                );
                return None;
            }
            match numbers {
                (2, minor) if minor > 3 => self.too_new("etcd", "2.3", v, *span),
                (3, minor) if minor > 5 => self.too_new("etcd", "3.5", v, *span),
                (major, _) if major > 3 => {
                    self.reports.push(
                        Report::error(
                            codes::VERSION,
                            format!("etcd version {v} is too new: 3.5 is the newest that can be configured"),
                        )
                        .at(*span),
                    );
                    return None;
                }
                _ => {}
            }
        }
        let wanted = match numbers {
            (2, _) => "2.3".to_owned(),
            (3, minor) => format!("3.{}", minor.min(5)),
            _ => return None,
        };
        let (_, options) = etcd_table().iter().find(|(version, _)| *version == wanted)?;
        let known: Vec<Field> = options.iter().map(|(key, ty, _)| sugar(key, *ty)).collect();
        self.check_options(node, "etcd", &known, &wanted, &|key| {
            etcd_table()
                .iter()
                .find(|(_, options)| options.iter().any(|(known, ..)| *known == key))
                .map(|(version, _)| *version)
        });
        let mut flags = Vec::new();
        for (key, ty, deprecated) in options {
            let Some(value) = from.node(key) else { continue };
            if *deprecated {
                self.reports.push(
                    Report::warning(codes::DEPRECATED, format!("`{key}` is deprecated in etcd"))
                        .at(value.span)
                        .hint(if key.starts_with("peer") {
                            "use `peer_trusted_ca_file` and `peer_client_cert_auth`"
                        } else {
                            "use `trusted_ca_file` and `client_cert_auth`"
                        }),
                );
            }
            flags.extend(flag(&key.replace('_', "-"), *ty, value, true));
        }
        let variable = version.map(|(v, _)| format!("ETCD_IMAGE_TAG=v{v}"));
        self.drop_in("/usr/lib/coreos/etcd-wrapper $ETCD_OPTS", &flags, variable, None)
    }

    /// The drop-in of `flanneld.service`.
    pub(super) fn flannel(&mut self, node: &Node) -> Option<String> {
        let from = From::new(Some(node));
        let version = self.version(from, "flannel")?;
        if let Some((v, span)) = &version {
            if v.older_than(0, 5, 0) {
                self.reports.push(
                    Report::error(
                        codes::VERSION,
                        format!("flannel version {v} is older than 0.5.0, the oldest that can be configured"),
                    )
                    .at(*span),
                );
                return None;
            }
            if v.major == 0 && v.minor > 7 {
                self.too_new("flannel", "0.7", v, *span);
            }
        }
        let minor = match &version {
            Some((v, _)) if v.major == 0 => v.minor.min(7),
            // `ct` writes no options at all from 1.0 on.
            Some(_) => 0,
            None => 6,
        };
        let known: Vec<Field> = std::iter::once(sugar("network_config", Ty::Str))
            .chain(FLANNEL.iter().filter(|option| option.3 <= minor).map(|(key, _, ty, _)| sugar(key, *ty)))
            .collect();
        self.check_options(node, "flannel", &known, &format!("0.{minor}"), &|key| {
            FLANNEL.iter().find(|option| option.0 == key).map(|option| match option.3 {
                5 => "0.5",
                6 => "0.6",
                _ => "0.7",
            })
        });
        let mut flags = Vec::new();
        for (key, name, ty, since) in &FLANNEL {
            if *since <= minor
                && let Some(value) = from.node(key)
            {
                flags.extend(flag(name, *ty, value, false));
            }
        }
        let pre = self.network_config(from, minor);
        let variable = version.map(|(v, _)| format!("FLANNEL_IMAGE_TAG=v{v}"));
        self.drop_in("/usr/lib/coreos/flannel-wrapper $FLANNEL_OPTS", &flags, variable, pre)
    }

    /// The command that writes flannel's network config into etcd.
    fn network_config(&mut self, from: From<'_>, minor: u64) -> Option<String> {
        let (config, span) = from.text("network_config")?;
        if !matches!(serde_json::from_str::<serde_json::Value>(config), Ok(serde_json::Value::Object(_))) {
            self.reports.push(
                Report::error(codes::VALUE, "`network_config` is not a JSON object")
                    .at(span)
                    .hint("write it as text: `network_config: '{ \"Network\": \"10.0.0.0/16\" }'`"),
            );
            return None;
        }
        if minor >= 7 && from.boolean("kube_subnet_mgr").is_some_and(|(value, _)| value) {
            self.reports.push(
                Report::error(
                    codes::CONFLICT,
                    "`network_config` cannot be given when `kube_subnet_mgr` is on",
                )
                .at(span),
            );
            return None;
        }
        let mut command = "ExecStartPre=/usr/bin/etcdctl".to_owned();
        if minor > 0 {
            for (key, name) in [
                ("etcd_endpoints", "endpoints"),
                ("etcd_cafile", "ca-file"),
                ("etcd_certfile", "cert-file"),
                ("etcd_keyfile", "key-file"),
            ] {
                if let Some((value, span)) = from.text(key) {
                    // `ct` leaves dynamic data in here as it is, so that etcdctl gets `{PRIVATE_IPV4}`.
                    let value = if self.exact { value.to_owned() } else { self.fill(value, span)? };
                    command.push_str(&format!(" --{name}={}", quoted(&value)));
                }
            }
        }
        command.push_str(&format!(" set /coreos.com/network/config {}", quoted(config)));
        Some(command)
    }

    /// The version of a section: none if it cannot be read, `Some(None)` if it is not given.
    fn version(&mut self, from: From<'_>, section: &str) -> Option<Option<(Version, Span)>> {
        let Some(node) = from.node("version") else {
            if !from.exists() || matches!(from.node_kind(), Some(Kind::Map(_))) {
                return Some(None);
            }
            self.reports
                .push(Report::error(codes::WRONG_TYPE, format!("`{section}` must be a map")).at(from.span()));
            return None;
        };
        let version = node.text().and_then(|text| Version::parse(text));
        if version.is_none() {
            self.reports.push(
                Report::error(
                    codes::VERSION,
                    format!(
                        "the version of {section} must have three numbers, and this is {}",
                        node.describe()
                    ),
                )
                .at(node.span)
                .hint("for example `version: 3.5.0`, without a `v`"),
            );
        }
        version.map(|version| Some((version, node.span)))
    }

    fn too_new(&mut self, section: &str, newest: &str, version: &Version, span: Span) {
        self.reports.push(
            Report::warning(codes::VERSION, format!("{section} {version} is newer than this language: only the options of {newest} can be given")).at(span),
        );
    }

    fn check_options(
        &mut self,
        node: &Node,
        section: &str,
        known: &[Field],
        version: &str,
        home: &dyn Fn(&str) -> Option<&'static str>,
    ) {
        let how = Check { lax: self.lax, version: 0, foreign: &[] };
        let path = KeyPath::root().join(section);
        for entry in node.entries() {
            if &*entry.key == "version" {
                continue;
            }
            let path = path.join(&entry.key);
            if let Some(field) = known.iter().find(|field| field.key == &*entry.key) {
                crate::schema::check(&entry.value, field.ty, &path, &how, self.reports);
                continue;
            }
            let report = crate::schema::unknown(&entry.key, &Obj { fields: &[] }, &how)
                .at(entry.key_span)
                .path(path.as_str());
            let report = match home(&entry.key) {
                Some(first) => {
                    report.hint(format!("{section} {version} has no such option; {section} {first} has it"))
                }
                None => match closest(&entry.key, known.iter().map(|field| field.key)) {
                    Some(name) => report.hint(format!("did you mean `{name}`?")),
                    None => report,
                },
            };
            self.reports.push(report);
        }
    }

    /// The drop-in that starts `exec` with the flags; dynamic data needs the platform.
    fn drop_in(
        &mut self,
        exec: &str,
        flags: &[Flag],
        variable: Option<String>,
        pre: Option<String>,
    ) -> Option<String> {
        let mut unit = String::new();
        let dynamic = flags.iter().any(|flag| is_dynamic(&flag.text));
        if dynamic {
            unit.push_str("[Unit]\nRequires=coreos-metadata.service\nAfter=coreos-metadata.service\n\n");
        }
        unit.push_str("[Service]\n");
        if dynamic {
            unit.push_str("EnvironmentFile=/run/metadata/coreos\n");
        }
        if let Some(variable) = variable {
            unit.push_str(&format!("Environment=\"{variable}\"\n"));
        }
        unit.push_str("ExecStart=\nExecStart=");
        unit.push_str(exec);
        let mut complete = true;
        for flag in flags {
            match self.fill(&flag.text, flag.span) {
                Some(text) => {
                    unit.push_str(" \\\n  ");
                    unit.push_str(&text);
                }
                None => complete = false,
            }
        }
        if let Some(pre) = pre {
            unit.push('\n');
            unit.push_str(&pre);
        }
        complete.then_some(unit)
    }

    /// Replaces dynamic data.
    fn fill(&mut self, text: &str, span: Span) -> Option<String> {
        if !is_dynamic(text) {
            return Some(text.to_owned());
        }
        let Some(platform) = self.platform else {
            self.reports.push(
                Report::error(codes::VALUE, "dynamic data needs to know the platform")
                    .at(span)
                    .hint("give it with `--platform`, for example `--platform custom`"),
            );
            return None;
        };
        match platform.fill(text) {
            Ok(text) => Some(text),
            Err(field) => {
                self.reports.push(
                    Report::error(
                        codes::VALUE,
                        format!("the platform `{}` has no dynamic data `{{{field}}}`", platform.name),
                    )
                    .at(span)
                    .hint(format!("it has {}", platform.known())),
                );
                None
            }
        }
    }
}

/// A flag as `ct` writes it. `pointer`: the empty string and false are written too.
fn flag(name: &str, ty: Ty, value: &Node, pointer: bool) -> Option<Flag> {
    let scalar = value.scalar()?;
    let text = match ty {
        Ty::Bool => match scalar.to_bool()? {
            false if !pointer => return None,
            value => value.to_string(),
        },
        Ty::Int | Ty::Uint => scalar.to_int()?.to_string(),
        _ if scalar.text.is_empty() && !pointer => return None,
        _ => quoted(&scalar.text),
    };
    Some(Flag { text: format!("--{name}={text}"), span: value.span })
}
