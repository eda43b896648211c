//! Where in the user's configs a step came from, also after merging and after the cache file.
//!
//! Later stages read the merged config from the cache, where every position is lost. So the fetch stage
//! keeps, beside the cache, a table from the key path in the merged config to the place in the source.

use std::collections::BTreeMap;
use std::fmt;

use ignition::Node;
use ignition::model::Config;
use report::{Sources, Span};
use serde::{Deserialize, Serialize};

/// A place in a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Name of the source: a path, a URL, `fw_cfg`.
    pub source: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// What asked for a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Key path in the merged config, or `system` for what the image itself wants.
    pub path: String,
    /// Place in the source, when known.
    pub place: Option<Place>,
}

impl Origin {
    /// What no config asks for.
    #[must_use]
    pub fn system() -> Self {
        Self { path: "system".to_owned(), place: None }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(at) => write!(f, "{}:{}:{} {}", at.source, at.line, at.column, self.path),
            None => f.write_str(&self.path),
        }
    }
}

/// Table from key paths of the merged config to places in the sources.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origins {
    places: BTreeMap<String, Place>,
}

impl Origins {
    /// The origin of a key path: its own place, or that of the nearest enclosing object.
    #[must_use]
    pub fn of(&self, path: &str) -> Origin {
        let mut prefix = path;
        loop {
            if let Some(place) = self.places.get(prefix) {
                return Origin { path: path.to_owned(), place: Some(place.clone()) };
            }
            match prefix.rfind('.') {
                Some(dot) => prefix = &prefix[..dot],
                None => return Origin { path: path.to_owned(), place: None },
            }
        }
    }

    /// Notes where the list entries of `config` stand.
    #[must_use]
    pub fn collect(config: &Config, sources: &Sources) -> Self {
        let mut out = Self::default();
        let storage = &config.storage;
        out.list("$.storage.disks", &storage.disks, sources);
        for (i, disk) in storage.disks.iter().enumerate() {
            out.list(&format!("$.storage.disks.{i}.partitions"), &disk.partitions, sources);
        }
        out.list("$.storage.raid", &storage.raid, sources);
        out.list("$.storage.luks", &storage.luks, sources);
        out.list("$.storage.filesystems", &storage.filesystems, sources);
        out.list("$.storage.directories", &storage.directories, sources);
        out.list("$.storage.files", &storage.files, sources);
        for (i, file) in storage.files.iter().enumerate() {
            out.span(format!("$.storage.files.{i}.contents"), file.contents.span, sources);
            out.list(&format!("$.storage.files.{i}.append"), &file.append, sources);
        }
        out.list("$.storage.links", &storage.links, sources);
        out.list("$.passwd.groups", &config.passwd.groups, sources);
        out.list("$.passwd.users", &config.passwd.users, sources);
        out.list("$.systemd.units", &config.systemd.units, sources);
        for (i, unit) in config.systemd.units.iter().enumerate() {
            out.list(&format!("$.systemd.units.{i}.dropins"), &unit.dropins, sources);
        }
        out.span("$.kernelArguments".to_owned(), config.kernel_arguments.span, sources);
        out
    }

    fn list<T: Node>(&mut self, path: &str, items: &[T], sources: &Sources) {
        for (i, item) in items.iter().enumerate() {
            self.span(format!("{path}.{i}"), item.span(), sources);
        }
    }

    fn span(&mut self, path: String, span: Span, sources: &Sources) {
        if span.is_none() {
            return;
        }
        let at = sources.line_column(span.source, span.start);
        let source = sources.name(span.source).to_owned();
        self.places.insert(path, Place { source, line: at.line, column: at.column });
    }
}
