//! What is known about the machine before a stage: disks, what is on them, accounts and nodes of the target.

use std::collections::BTreeMap;

use crate::accounts::Accounts;

/// A partition as the table has it; sectors are logical sectors of its disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionFacts {
    /// Number, from 1.
    pub number: u32,
    /// First sector.
    pub start: u64,
    /// Length in sectors.
    pub size: u64,
    /// GPT name.
    pub label: String,
    /// Type GUID, lower case with dashes.
    pub type_guid: String,
    /// Unique GUID, lower case with dashes.
    pub guid: String,
    /// Mounted, swapped on, or held by another device.
    pub in_use: bool,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DiskFacts {
    /// Logical sector size in bytes.
    pub sector_size: u64,
    /// Length in sectors.
    pub sectors: u64,
    /// First sector that partitions may use.
    pub first_usable: u64,
    /// Last sector that partitions may use, with the backup header at the disk's end.
    pub last_usable: u64,
    /// A GPT is there.
    pub has_gpt: bool,
    /// Something else than a GPT is there: an MBR, or a file system on the whole disk.
    pub foreign: Option<String>,
    /// The disk itself is mounted or held.
    pub in_use: bool,
    /// The partitions, by number.
    pub partitions: Vec<PartitionFacts>,
}

/// What blkid finds at the start of a device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Probe {
    /// `ext4`, `swap`, `crypto_LUKS`, ...; empty when nothing is found.
    pub kind: String,
    /// Label.
    pub label: String,
    /// UUID.
    pub uuid: String,
}

/// Kind of a node in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    /// Regular file.
    File,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// Device, pipe, socket.
    Other,
}

/// A node as it was before provisioning began.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Node {
    /// Its kind.
    pub kind: NodeKind,
    /// Size in bytes (files).
    #[serde(default)]
    pub size: u64,
    /// SHA-256 of a file that will be appended to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Target of a symbolic link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// All of it. What a stage does not need may be left empty.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Disks by the path the config uses; a disk that is not there is missing here.
    pub disks: BTreeMap<String, DiskFacts>,
    /// Probes by the path the config uses; a device that is not there yet is missing here.
    pub probes: BTreeMap<String, Probe>,
    /// The target's accounts, when known.
    pub accounts: Option<Accounts>,
    /// The target's nodes by path; `None` = known to be absent; missing = not looked at.
    pub nodes: BTreeMap<String, Option<Node>>,
    /// Words of the kernel command line.
    pub cmdline: Vec<String>,
}
