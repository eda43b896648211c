//! The record of what was provisioned: `/var/lib/wellcar/provisioned.json`, also the stamp of a finished first boot.
//!
//! Format: one JSON object, `version` 1. It names every file, link and unit with a hash, so that drift can be seen
//! later; it holds no content, no key and no password hash. Unknown fields are ignored by readers.

use serde::{Deserialize, Serialize};

use crate::facts::NodeKind;

/// Where it is, in the target.
pub const PATH: &str = "/var/lib/wellcar/provisioned.json";
/// Where the files stage keeps its journal while it runs.
pub const JOURNAL_PATH: &str = "/var/lib/wellcar/provisioning.json";
/// The directory of both.
pub const DIRECTORY: &str = "/var/lib/wellcar";
/// The version this code writes.
pub const VERSION: u32 = 1;
/// The most bytes a reader takes.
pub const LIMIT: u64 = 64 << 20;

/// A node that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Path in the target.
    pub path: String,
    /// Its kind.
    pub kind: NodeKind,
    /// Mode, octal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// SHA-256 of a file's content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Target of a symbolic link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What asked for it.
    pub origin: String,
}

/// A unit whose state was set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitRecord {
    /// Name.
    pub name: String,
    /// `enabled`, `disabled`, `masked`, `unmasked`.
    pub state: String,
    /// Links made below `/etc/systemd/system`.
    #[serde(default)]
    pub links: Vec<String>,
    /// Why enabling had no effect, if it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// An account that was made or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRecord {
    /// Name.
    pub name: String,
    /// `made`, `changed` or `deleted`.
    pub done: String,
    /// Id after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
    /// How many ssh keys were written.
    #[serde(default)]
    pub ssh_keys: usize,
}

/// All that was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Format version.
    pub version: u32,
    /// Version of the program.
    pub wellcar: String,
    /// SHA-256 of the merged config.
    pub config_sha256: String,
    /// Names of the sources, first the base.
    pub sources: Vec<String>,
    /// Groups.
    pub groups: Vec<AccountRecord>,
    /// Users.
    pub users: Vec<AccountRecord>,
    /// Directories, files and links.
    pub nodes: Vec<NodeRecord>,
    /// Units.
    pub units: Vec<UnitRecord>,
    /// Whether the whole first boot is done; only the last stage sets it.
    pub finished: bool,
}

impl Record {
    /// The text of the file.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}
