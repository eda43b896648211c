//! Checks of files, directories and links, and of how they lie under each other.

use super::Checker;
use crate::model::{Config, Directory, File, Link, OptExt as _, Storage, flag, text};
use crate::path;
use crate::version::Version;
use report::{Report, Severity, Span, codes};
use std::collections::{HashMap, HashSet};

/// One node of any kind.
struct Entry<'a> {
    list: &'static str,
    index: usize,
    path: &'a str,
    span: Span,
}

fn entries<'a>(storage: &'a Storage) -> Vec<Entry<'a>> {
    let mut out = Vec::new();
    let mut add = |list, index, node: &'a crate::model::Opt<String>, whole: Span| {
        let span = node.span().known().unwrap_or(whole);
        out.push(Entry { list, index, path: text(node), span });
    };
    for (i, n) in storage.files.iter().enumerate() {
        add("files", i, &n.path, n.span);
    }
    for (i, n) in storage.directories.iter().enumerate() {
        add("directories", i, &n.path, n.span);
    }
    for (i, n) in storage.links.iter().enumerate() {
        add("links", i, &n.path, n.span);
    }
    out
}

impl Checker<'_> {
    pub(super) fn nodes(&mut self, storage: &Storage) {
        self.each("files", &storage.files, Checker::file);
        self.each("directories", &storage.directories, Checker::directory);
        self.each("links", &storage.links, Checker::link);
        self.one_namespace(storage);
        self.under_links(storage);
        self.hard_links(storage);
    }

    fn node_path(&mut self, path: &crate::model::Opt<String>, whole: Span) {
        let span = path.span().known().unwrap_or(whole);
        self.check_path("path", text(path), span);
    }

    fn file(&mut self, file: &File) {
        self.node_path(&file.path, file.span);
        self.owner("user", &file.user);
        self.owner("group", &file.group);
        self.mode(&file.mode);
        if flag(&file.overwrite) && file.contents.source.is_none() {
            let hint = "give `contents.source` (`data:,` for an empty file)".to_owned();
            let message = "overwrite must be false if source is unspecified";
            self.error_hint(codes::FILE, "overwrite", file.overwrite.span(), message, hint);
        }
        self.under("contents", |c| c.resource(&file.contents, false));
        self.each("append", &file.append, |c, r| c.resource(r, false));
    }

    fn directory(&mut self, directory: &Directory) {
        self.node_path(&directory.path, directory.span);
        self.owner("user", &directory.user);
        self.owner("group", &directory.group);
        self.mode(&directory.mode);
    }

    fn link(&mut self, link: &Link) {
        self.node_path(&link.path, link.span);
        self.owner("user", &link.user);
        self.owner("group", &link.group);
        if text(&link.target).is_empty() {
            let span = link.target.span().known().unwrap_or(link.span);
            let severity = if self.version < Version::V3_3 { Severity::Warning } else { Severity::Error };
            let report = self.report(severity, codes::FILE, "target", span, "link target is required");
            self.reports.push(report);
        }
    }

    /// A path names one node: files, directories and links together.
    fn one_namespace(&mut self, storage: &Storage) {
        let mut seen: HashMap<&str, Span> = HashMap::new();
        for entry in entries(storage) {
            match seen.get(entry.path) {
                Some(first) => {
                    let key = format!("{}.{}", entry.list, entry.index);
                    let code = codes::DUPLICATE_ENTRY;
                    let report = self
                        .report(Severity::Error, code, &key, entry.span, "duplicate entry defined")
                        .related(*first, "first defined here")
                        .hint("a path can be a file, a directory or a link, and only once");
                    self.reports.push(report);
                }
                None => {
                    seen.insert(entry.path, entry.span);
                }
            }
        }
    }

    /// Nothing may lie under a link of the same config; since 3.5 nor under a file.
    fn under_links(&mut self, storage: &Storage) {
        let links: HashMap<&str, Span> =
            storage.links.iter().map(|l| (text(&l.path), l.path.span())).collect();
        let files: HashMap<&str, Span> =
            storage.files.iter().map(|f| (text(&f.path), f.path.span())).collect();
        for entry in entries(storage) {
            let key = format!("{}.{}", entry.list, entry.index);
            if let Some(link) = path::ancestors(entry.path).find_map(|p| links.get(p)) {
                let message = match entry.list {
                    "files" => "file path includes link in config",
                    "directories" => "directory path includes link in config",
                    _ => "link path includes link in config",
                };
                let report = self
                    .report(Severity::Error, codes::FILE, &key, entry.span, message)
                    .related(*link, "this link");
                self.reports.push(report);
            } else if let Some(file) = path::ancestors(entry.path).find_map(|p| files.get(p)) {
                let severity = if self.version < Version::V3_5 { Severity::Warning } else { Severity::Error };
                let message = "the path lies under a file of the same config";
                let report = self
                    .report(severity, codes::FILE, &format!("{key}.path"), entry.span, message)
                    .related(*file, "this file");
                self.reports.push(report);
            }
        }
    }

    fn hard_links(&mut self, storage: &Storage) {
        let directories: HashSet<&str> = storage.directories.iter().map(|d| text(&d.path)).collect();
        self.each("links", &storage.links, |c, link| {
            let target = text(&link.target);
            if !flag(&link.hard) || target.is_empty() {
                return;
            }
            let full = if target.starts_with('/') {
                path::clean(target)
            } else {
                path::join(text(&link.path), target)
            };
            if directories.contains(full.as_str()) {
                c.error(codes::FILE, "target", link.target.span(), "hard link target is a directory");
            }
            for (key, owner) in [("user", &link.user), ("group", &link.group)] {
                if owner.id.is_some() || owner.name.is_some() {
                    c.warning(codes::FILE, key, owner.span, "user/group ignored for hard link");
                }
            }
        });
    }

    /// What two sections say about one path.
    pub(super) fn across(&mut self, config: &Config) {
        let mut units: HashMap<String, Span> = HashMap::new();
        for unit in &config.systemd.units {
            let name = text(&unit.name);
            if !text(&unit.contents).is_empty() {
                units.insert(format!("/etc/systemd/system/{name}"), unit.name.span());
            }
            for dropin in unit.dropins.iter().filter(|d| !text(&d.contents).is_empty()) {
                let path = format!("/etc/systemd/system/{name}.d/{}", text(&dropin.name));
                units.insert(path, dropin.name.span());
            }
        }
        for entry in entries(&config.storage) {
            if let Some(unit) = units.get(entry.path) {
                let message = "path conflicts with systemd unit or dropin";
                let report = Report::error(codes::CONFLICT, message)
                    .at(entry.span)
                    .path(format!("$.storage.{}.{}.path", entry.list, entry.index))
                    .related(*unit, "written for this unit");
                self.reports.push(report);
            }
        }
    }
}
