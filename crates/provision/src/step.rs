//! The steps of a plan: typed, each with its origin, printable without secrets.

use std::fmt;

use ignition::model::{Resource, text};

use crate::accounts::{GroupWish, UserWish};
use crate::origin::Origin;

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What asked for it.
    pub origin: Origin,
    /// What to do.
    pub action: Action,
}

/// A user or group of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum NodeOwner {
    /// What is there, else root.
    #[default]
    Unset,
    /// By number.
    Id(u32),
    /// By name in the target's files.
    Name(String),
}

impl fmt::Display for NodeOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => f.write_str("-"),
            Self::Id(id) => write!(f, "{id}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Bytes to fetch and check.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// URL; empty for no bytes.
    pub source: String,
    /// Gunzip what was fetched.
    pub gzip: bool,
    /// `sha512-HEX` or `sha256-HEX` of the decompressed bytes; empty for none.
    pub hash: String,
    /// HTTP headers; they may hold secrets.
    pub headers: Vec<(String, String)>,
}

impl Content {
    /// What a resource of the config asks to fetch; `None` without a source.
    #[must_use]
    pub fn of(resource: &Resource) -> Option<Self> {
        let header = |h: &ignition::model::HttpHeader| {
            Some((h.name.as_ref()?.value.clone(), h.value.as_ref()?.value.clone()))
        };
        Some(Self {
            source: resource.source.as_ref()?.value.clone(),
            gzip: text(&resource.compression) == "gzip",
            hash: text(&resource.verification.hash).to_owned(),
            headers: resource.http_headers.iter().filter_map(header).collect(),
        })
    }

    /// Whether fetching it needs a network.
    #[must_use]
    pub fn needs_network(&self) -> bool {
        !(self.source.is_empty() || scheme_is(&self.source, "data") || scheme_is(&self.source, "oem"))
    }
}

pub(crate) fn scheme_is(url: &str, scheme: &str) -> bool {
    url.split_once(':').is_some_and(|(s, _)| s.eq_ignore_ascii_case(scheme))
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.source.is_empty() {
            return f.write_str("empty");
        }
        if scheme_is(&self.source, "data") {
            match ignition::resource::data_url::decode(&self.source) {
                Ok(bytes) => write!(f, "data, {} bytes", bytes.len())?,
                Err(_) => f.write_str("data")?,
            }
        } else {
            // What follows `?` or stands before `@` can be a secret.
            let shown = self.source.split(['?', '#']).next().unwrap_or("");
            match (shown.split_once("://"), shown.rfind('@')) {
                (Some((scheme, _)), Some(at)) => write!(f, "{scheme}://…{}", &shown[at..])?,
                _ => f.write_str(shown)?,
            }
        }
        if self.gzip {
            f.write_str(", gzip")?;
        }
        if !self.hash.is_empty() {
            write!(f, ", {}…", self.hash.chars().take(15).collect::<String>())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({self})")
    }
}

/// A change of one partition entry. Sectors are the disk's logical sectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionEdit {
    /// Remove the entry.
    Delete {
        /// Number.
        number: u32,
    },
    /// Make an entry.
    Create {
        /// Number.
        number: u32,
        /// First sector.
        start: u64,
        /// Length in sectors.
        size: u64,
        /// GPT name.
        label: Option<String>,
        /// Type GUID.
        type_guid: Option<String>,
        /// Unique GUID.
        guid: Option<String>,
    },
}

/// A software RAID array to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaidArray {
    /// Name; the device becomes `/dev/md/NAME`.
    pub name: String,
    /// Level for mdadm.
    pub level: String,
    /// Member devices, spares included.
    pub devices: Vec<String>,
    /// How many of them are spares.
    pub spares: u32,
    /// More arguments for mdadm.
    pub options: Vec<String>,
}

/// A LUKS2 volume to make or open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Name; the device becomes `/dev/mapper/NAME`.
    pub name: String,
    /// Device below.
    pub device: String,
    /// The key; empty source = a random one.
    pub key: Content,
    /// Label.
    pub label: Option<String>,
    /// UUID.
    pub uuid: Option<String>,
    /// Arguments for luksFormat.
    pub options: Vec<String>,
    /// Arguments for luksOpen.
    pub open_options: Vec<String>,
    /// Pass discards through.
    pub discard: bool,
    /// Format even when a matching volume is there.
    pub wipe: bool,
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetFile {
    /// Absolute path in the target.
    pub path: String,
    /// Mode; `None` keeps what is there, else 0644.
    pub mode: Option<u32>,
    /// Owner.
    pub user: NodeOwner,
    /// Group.
    pub group: NodeOwner,
    /// Content; `None` keeps what is there, else empty.
    pub content: Option<Content>,
    /// Added at the end, in order.
    pub append: Vec<Content>,
    /// Remove what is there first.
    pub overwrite: bool,
}

/// A user to make or change.
#[derive(Clone, PartialEq, Eq)]
pub struct UserChange {
    /// What the account files shall say.
    pub wish: UserWish,
    /// Do not make the home directory.
    pub no_create_home: bool,
    /// Keep out of the login logs (for an outside useradd).
    pub no_log_init: bool,
    /// Keys that may log in.
    pub ssh_keys: Vec<String>,
}

impl fmt::Debug for UserChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserChange({}, {} keys)", self.wish.name, self.ssh_keys.len())
    }
}

/// A group to make or change.
#[derive(Clone, PartialEq, Eq)]
pub struct GroupChange(pub GroupWish);

impl fmt::Debug for GroupChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupChange({})", self.0.name)
    }
}

/// What becomes of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitState {
    /// Started at boot as its `[Install]` says.
    Enabled,
    /// Not started by that.
    Disabled,
    /// Cannot be started.
    Masked,
    /// A mask is taken away.
    Unmasked,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Remove every partition of a disk.
    WipeTable {
        /// Disk.
        disk: String,
    },
    /// Move the backup GPT to the disk's end.
    MoveBackupHeader {
        /// Disk.
        disk: String,
    },
    /// Give the disk a random GUID.
    NewDiskGuid {
        /// Disk.
        disk: String,
    },
    /// Change the partition table, all edits in one write.
    EditPartitions {
        /// Disk.
        disk: String,
        /// Edits: deletions first.
        edits: Vec<PartitionEdit>,
    },
    /// Make a RAID array.
    CreateRaid(RaidArray),
    /// Make and open an encrypted volume.
    CreateLuks(Volume),
    /// Remove signatures from a device.
    WipeSignatures {
        /// Device.
        device: String,
    },
    /// Use the file system that is there.
    KeepFilesystem {
        /// Device.
        device: String,
        /// Its type.
        format: String,
    },
    /// Make a file system.
    MakeFilesystem {
        /// Device.
        device: String,
        /// ext4, btrfs, xfs, vfat or swap.
        format: String,
        /// Label.
        label: Option<String>,
        /// UUID.
        uuid: Option<String>,
        /// Arguments for mkfs.
        options: Vec<String>,
        /// Remove the old signatures first.
        wipe: bool,
    },
    /// Mount a file system below the root.
    Mount {
        /// Device.
        device: String,
        /// Path in the target.
        path: String,
        /// Type.
        format: String,
        /// Options.
        options: Vec<String>,
    },
    /// Make or change a group.
    EnsureGroup(GroupChange),
    /// Remove a group.
    DeleteGroup {
        /// Name.
        name: String,
    },
    /// Make or change a user.
    EnsureUser(UserChange),
    /// Remove a user with its home.
    DeleteUser {
        /// Name.
        name: String,
    },
    /// Make a directory.
    MakeDirectory {
        /// Path in the target.
        path: String,
        /// Mode; `None` keeps what is there, else 0755.
        mode: Option<u32>,
        /// Owner.
        user: NodeOwner,
        /// Group.
        group: NodeOwner,
        /// Remove what is there first.
        overwrite: bool,
    },
    /// Write a file.
    WriteFile(TargetFile),
    /// Make a link.
    MakeLink {
        /// Path in the target.
        path: String,
        /// What it points to.
        target: String,
        /// Hard instead of symbolic.
        hard: bool,
        /// Owner.
        user: NodeOwner,
        /// Group.
        group: NodeOwner,
        /// Remove what is there first.
        overwrite: bool,
    },
    /// Enable, disable, mask a unit.
    SetUnit {
        /// Name.
        name: String,
        /// What becomes of it.
        state: UnitState,
    },
    /// Write the preset file that says the same to systemd.
    WritePreset {
        /// Units to enable, sorted.
        enable: Vec<String>,
        /// Units to disable, sorted.
        disable: Vec<String>,
    },
}

fn quoted(label: Option<&String>) -> String {
    label.map_or(String::new(), |l| format!(" \"{l}\""))
}

fn words(list: &[String]) -> String {
    if list.is_empty() { String::new() } else { format!(" [{}]", list.join(" ")) }
}

fn mode_text(mode: Option<u32>) -> String {
    mode.map_or_else(|| "-".to_owned(), |m| format!("{m:04o}"))
}

impl fmt::Display for PartitionEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delete { number } => write!(f, "delete {number}"),
            Self::Create { number, start, size, label, .. } => {
                write!(f, "create {number}{} at sector {start}, {size} sectors", quoted(label.as_ref()))
            }
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WipeTable { disk } => write!(f, "{disk}: wipe the partition table"),
            Self::MoveBackupHeader { disk } => write!(f, "{disk}: move the backup table to the end"),
            Self::NewDiskGuid { disk } => write!(f, "{disk}: new random disk GUID"),
            Self::EditPartitions { disk, edits } => {
                let list: Vec<_> = edits.iter().map(ToString::to_string).collect();
                write!(f, "{disk}: {}", list.join("; "))
            }
            Self::CreateRaid(raid) => {
                write!(f, "raid {} level {} of {}", raid.name, raid.level, raid.devices.join(" "))?;
                if raid.spares > 0 {
                    write!(f, ", {} spares", raid.spares)?;
                }
                f.write_str(&words(&raid.options))
            }
            Self::CreateLuks(volume) => write!(f, "luks {} on {}", volume.name, volume.device),
            Self::WipeSignatures { device } => write!(f, "{device}: wipe signatures"),
            Self::KeepFilesystem { device, format } => write!(f, "{device}: keep the {format} that is there"),
            Self::MakeFilesystem { device, format, label, uuid, options, wipe } => {
                write!(f, "{device}: make {format}{}", quoted(label.as_ref()))?;
                if let Some(uuid) = uuid {
                    write!(f, " uuid {uuid}")?;
                }
                write!(f, "{}{}", words(options), if *wipe { ", wiping" } else { "" })
            }
            Self::Mount { device, path, format, options } => {
                write!(f, "mount {device} at {path} as {format}{}", words(options))
            }
            Self::EnsureGroup(group) => write!(f, "group {}", group.0.name),
            Self::DeleteGroup { name } => write!(f, "delete group {name}"),
            Self::EnsureUser(user) => {
                write!(f, "user {}", user.wish.name)?;
                if !user.wish.groups.is_empty() {
                    write!(f, " in {}", user.wish.groups.join(","))?;
                }
                match user.ssh_keys.len() {
                    0 => Ok(()),
                    n => write!(f, ", {n} ssh keys"),
                }
            }
            Self::DeleteUser { name } => write!(f, "delete user {name}"),
            Self::MakeDirectory { path, mode, user, group, overwrite } => {
                let how = if *overwrite { ", replacing" } else { "" };
                write!(f, "directory {path} {} {user}:{group}{how}", mode_text(*mode))
            }
            Self::WriteFile(file) => {
                write!(f, "file {} {} {}:{}", file.path, mode_text(file.mode), file.user, file.group)?;
                if let Some(content) = &file.content {
                    write!(f, " ({content})")?;
                }
                for part in &file.append {
                    write!(f, " + ({part})")?;
                }
                f.write_str(if file.overwrite { ", replacing" } else { "" })
            }
            Self::MakeLink { path, target, hard, overwrite, .. } => {
                let kind = if *hard { "hard link" } else { "link" };
                write!(f, "{kind} {path} -> {target}{}", if *overwrite { ", replacing" } else { "" })
            }
            Self::SetUnit { name, state } => {
                let verb = match state {
                    UnitState::Enabled => "enable",
                    UnitState::Disabled => "disable",
                    UnitState::Masked => "mask",
                    UnitState::Unmasked => "unmask",
                };
                write!(f, "{verb} {name}")
            }
            Self::WritePreset { enable, disable } => {
                write!(f, "preset: enable{} disable{}", words(enable), words(disable))
            }
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  <- {}", self.action, self.origin)
    }
}
