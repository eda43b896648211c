//! The checks of spec 3, as the reference makes them: same rules, same meaning of the messages, all findings at
//! once, each with its place. Linear in the config.

mod ignition;
mod nodes;
mod passwd;
mod storage;
mod systemd;
mod tables;

pub(crate) use tables::guid_ok;

use crate::model::{Config, Opt, OptExt as _, Resource};
use crate::node::Node;
use crate::path;
use crate::resource;
use crate::url;
use crate::version::Version;
use report::{Code, Report, Reports, Severity, Span, Spanned, codes};
use std::collections::HashMap;

/// Checks a config by the rules of `version`. Key paths are those of spec 3.
pub fn validate(config: &Config, version: Version, reports: &mut Reports) {
    let mut checker = Checker::new(version, reports);
    checker.under("ignition", |c| c.ignition(&config.ignition));
    checker.under("kernelArguments", |c| c.kernel_arguments(&config.kernel_arguments));
    checker.under("passwd", |c| c.passwd(&config.passwd));
    checker.under("storage", |c| c.storage(&config.storage));
    checker.under("systemd", |c| c.systemd(&config.systemd));
    checker.across(config);
}

/// Where the check stands, and what it found.
pub(crate) struct Checker<'a> {
    pub(crate) version: Version,
    pub(crate) reports: &'a mut Reports,
    path: Vec<String>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(version: Version, reports: &'a mut Reports) -> Self {
        Self { version, reports, path: vec!["$".to_owned()] }
    }

    pub(crate) fn under(&mut self, key: &str, check: impl FnOnce(&mut Self)) {
        self.path.push(key.to_owned());
        check(self);
        self.path.pop();
    }

    /// Runs a check under `key.index` for each item.
    pub(crate) fn each<T>(&mut self, key: &str, items: &[T], check: impl Fn(&mut Self, &T)) {
        self.under(key, |c| {
            for (index, item) in items.iter().enumerate() {
                c.under(&index.to_string(), |c| check(c, item));
            }
        });
    }

    pub(crate) fn at(&self, key: &str) -> String {
        let mut path = self.path.join(".");
        if !key.is_empty() {
            path.push('.');
            path.push_str(key);
        }
        path
    }

    pub(crate) fn report(
        &self,
        severity: Severity,
        code: Code,
        key: &str,
        span: Span,
        message: &str,
    ) -> Report {
        Report::new(severity, code, message).at(span).path(self.at(key))
    }

    pub(crate) fn error(&mut self, code: Code, key: &str, span: Span, message: &str) {
        let report = self.report(Severity::Error, code, key, span, message);
        self.reports.push(report);
    }

    pub(crate) fn error_hint(&mut self, code: Code, key: &str, span: Span, message: &str, hint: String) {
        let report = self.report(Severity::Error, code, key, span, message).hint(hint);
        self.reports.push(report);
    }

    pub(crate) fn warning(&mut self, code: Code, key: &str, span: Span, message: &str) {
        let report = self.report(Severity::Warning, code, key, span, message);
        self.reports.push(report);
    }

    pub(crate) fn check_path(&mut self, key: &str, value: &str, span: Span) {
        if let Err(error) = path::check(value) {
            let hint = match error {
                path::PathError::Missing => "give an absolute path".to_owned(),
                path::PathError::Relative => format!("write `{}`", path::clean(&format!("/{value}"))),
                path::PathError::Dirty => format!("write `{}`", path::clean(value)),
            };
            self.error_hint(codes::PATH, key, span, &error.to_string(), hint);
        }
    }

    /// No two entries of a list may have the same key.
    pub(crate) fn unique<T: Node>(&mut self, key: &str, items: &[T]) {
        let found = duplicates(items.iter().map(|i| (Node::key(i), i.span())));
        self.report_duplicates(key, found);
    }

    /// No two strings of a list may be equal.
    pub(crate) fn unique_strings(&mut self, key: &str, items: &[Spanned<String>]) {
        let found = duplicates(items.iter().map(|i| (i.value.clone(), i.span)));
        self.report_duplicates(key, found);
    }

    fn report_duplicates(&mut self, key: &str, found: Vec<(usize, Span, Span)>) {
        for (index, span, first) in found {
            let report = self
                .report(
                    Severity::Error,
                    codes::DUPLICATE_ENTRY,
                    &format!("{key}.{index}"),
                    span,
                    "duplicate entry defined",
                )
                .related(first, "first defined here")
                .hint("remove one of them, or put them into one entry");
            self.reports.push(report);
        }
    }

    /// Compression, hash, source and headers of a resource.
    pub(crate) fn resource(&mut self, resource: &Resource, required: bool) {
        if let Some(compression) = &resource.compression
            && !matches!(compression.value.as_str(), "" | "gzip")
        {
            let hint = "use `gzip`, or leave it out".to_owned();
            self.error_hint(
                codes::COMPRESSION,
                "compression",
                compression.span,
                "invalid compression method",
                hint,
            );
        }
        self.hash(resource);
        match &resource.source {
            Some(source) if !source.is_empty() => self.url("source", source),
            other if required => {
                let span = other.as_ref().map_or(resource.span, |s| s.span);
                self.error(codes::MISSING_KEY, "source", span, "source is required");
            }
            _ => {}
        }
        self.headers(resource);
    }

    fn hash(&mut self, resource: &Resource) {
        let Some(hash) = &resource.verification.hash else { return };
        let key = "verification.hash";
        if resource.source.is_none() {
            self.error(codes::HASH, key, hash.span, "source must be specified if verification is specified");
        }
        let message = match resource::parse_hash(hash) {
            Ok(("sha256", _)) if self.version < Version::V3_1 => "unrecognized hash function",
            Ok(_) => return,
            Err(resource::ResourceError::HashSyntax { reason }) => reason,
            Err(_) => "malformed hash specifier",
        };
        let known =
            if self.version < Version::V3_1 { "`sha512-HEX`" } else { "`sha512-HEX` or `sha256-HEX`" };
        self.error_hint(codes::HASH, key, hash.span, message, format!("write {known}"));
    }

    fn headers(&mut self, resource: &Resource) {
        self.unique("httpHeaders", &resource.http_headers);
        self.each("httpHeaders", &resource.http_headers, |c, header| {
            if header.name.get().is_none_or(String::is_empty) {
                c.error(codes::HEADER, "name", header.span, "HTTP header name can't be empty");
            }
            if let Some(value) = &header.value
                && value.is_empty()
            {
                c.error(
                    codes::HEADER,
                    "value",
                    value.span,
                    "unable to parse HTTP header: its value is empty",
                );
            }
        });
        let Some(first) = resource.http_headers.first() else { return };
        let scheme = resource.source.get().and_then(|s| url::parse(s)).map(|u| u.scheme);
        match scheme.as_deref() {
            Some("http" | "https") => {}
            Some(_) if !resource.source.get().is_none_or(String::is_empty) => {
                let message = "cannot use HTTP headers with this source scheme";
                self.error(codes::HEADER, "httpHeaders", first.span, message);
            }
            _ => self.error(codes::HEADER, "httpHeaders", first.span, "unable to parse url"),
        }
    }

    /// A URL that the engine can fetch.
    pub(crate) fn url(&mut self, key: &str, source: &Spanned<String>) {
        let Some(url) = url::parse(source) else {
            let hint = "spaces, control characters and stray percent signs must be escaped".to_owned();
            return self.error_hint(codes::URL, key, source.span, "unable to parse url", hint);
        };
        match url.scheme.as_str() {
            "http" | "https" | "tftp" | "oem" => {}
            "gs" if self.version >= Version::V3_2 => {}
            "s3" => self.object_version(key, &url, source.span),
            "arn" if self.version >= Version::V3_4 => {
                if arn_ok(url.rest) {
                    self.object_version(key, &url, source.span);
                } else {
                    self.error(codes::URL, key, source.span, "invalid S3 ARN format");
                }
            }
            "data" => {
                if let Err(resource::ResourceError::DataUrl { reason }) = resource::data_url::decode(source) {
                    self.error(codes::URL, key, source.span, &format!("malformed data URL: {reason}"));
                }
            }
            _ => {
                let mut schemes = String::from("http, https, tftp, s3, data, oem");
                if self.version >= Version::V3_2 {
                    schemes.push_str(", gs");
                }
                if self.version >= Version::V3_4 {
                    schemes.push_str(", arn");
                }
                let hint = format!("spec {} knows {schemes}", self.version);
                self.error_hint(codes::URL, key, source.span, "invalid url scheme", hint);
            }
        }
    }

    fn object_version(&mut self, key: &str, url: &url::Url<'_>, span: Span) {
        let empty = url.query.is_some_and(|q| {
            let value = q.split('&').find_map(|p| match p.split_once('=') {
                Some(("versionId", value)) => Some(value),
                None if p == "versionId" => Some(""),
                _ => None,
            });
            value == Some("")
        });
        if empty {
            self.error(codes::URL, key, span, "invalid S3 object VersionId");
        }
    }

    pub(crate) fn owner(&mut self, key: &str, owner: &crate::model::Owner) {
        if owner.id.is_some() && owner.name.get().is_some_and(|n| !n.is_empty()) {
            self.error(codes::CONFLICT, key, owner.name.span(), "cannot set both id and name");
        }
    }

    pub(crate) fn mode(&mut self, mode: &Opt<i64>) {
        let Some(mode) = mode else { return };
        let bits = mode.value;
        if !(0..=0o7777).contains(&bits) {
            let hint = "JSON has no octal numbers: 0644 is written 420".to_owned();
            return self.error_hint(codes::MODE, "mode", mode.span, "illegal file mode", hint);
        }
        if bits > 0o777 && self.version < Version::V3_6 {
            let message = "setuid, setgid and sticky bits have no effect in spec versions older than 3.6.0";
            self.warning(codes::MODE, "mode", mode.span, message);
        }
    }
}

/// `arn:PARTITION:s3:…` without its scheme.
fn arn_ok(rest: &str) -> bool {
    let rest = rest.split_once('?').map_or(rest, |(r, _)| r);
    let parts: Vec<&str> = rest.splitn(5, ':').collect();
    let [_, "s3", _, _, resource] = parts.as_slice() else { return false };
    let mut names = resource.splitn(3, '/');
    match (names.next(), names.next(), names.next()) {
        (Some("accesspoint"), Some(point), Some(object)) => !point.is_empty() && !object.is_empty(),
        (Some("accesspoint"), _, None) => false,
        (Some(bucket), Some(_), _) => !bucket.is_empty(),
        _ => false,
    }
}

/// Index and place of each item whose key was there before, with the place of the first.
pub(crate) fn duplicates(items: impl Iterator<Item = (String, Span)>) -> Vec<(usize, Span, Span)> {
    let mut seen: HashMap<String, Span> = HashMap::new();
    let mut found = Vec::new();
    for (index, (key, span)) in items.enumerate() {
        match seen.get(&key) {
            Some(first) => found.push((index, span, *first)),
            None => {
                seen.insert(key, span);
            }
        }
    }
    found
}
