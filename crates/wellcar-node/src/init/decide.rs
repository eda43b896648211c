//! What stage 1 does next, from facts alone: no file, no device, no clock is touched here.

use super::superblock::{BLOCK, Verity, hex};
use std::path::PathBuf;
use std::time::Duration;
use sys::block::gpt::Guid;
use sys::block::signature::Content;
use sys::cmdline::CommandLine;
use sys::dm::VerityParams;
use thiserror::Error;

/// How long a fed watchdog waits before it resets the machine. systemd takes it over with its own.
pub const WATCHDOG: Duration = Duration::from_secs(60);
/// How long the slot's device may take to appear.
pub const SLOT_WAIT: Duration = Duration::from_secs(30);
/// How long the first boot may take; the watchdog is fed only until then.
pub const FIRST_BOOT_LIMIT: Duration = Duration::from_secs(60 * 60);

/// Number and label of the ROOT partition.
const ROOT_NUMBER: u32 = 9;
const ROOT_LABEL: &str = "ROOT";

/// Why the boot cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The command line names no /usr.
    #[error("failed to find `usrhash=` on the kernel command line")]
    NoHash,
    /// The value of `usrhash=` is not a SHA-256 digest.
    #[error("failed to read `usrhash={0}`: expected 64 hexadecimal digits")]
    BadHash(String),
    /// The image and its hash tree do not fit together or not into the slot.
    #[error("failed to lay out the slot: {what}: expected {expected}, found {found}")]
    Layout {
        /// What does not fit.
        what: &'static str,
        /// The value it must have.
        expected: String,
        /// The value it has.
        found: String,
    },
}

/// The root digest of /usr's verity tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsrHash([u8; 32]);

impl UsrHash {
    /// Takes it from the kernel command line.
    ///
    /// # Errors
    /// When it is not there or not a SHA-256 digest.
    pub fn from_command_line(line: &CommandLine) -> Result<Self, Refusal> {
        let text = line.value("usrhash").ok_or(Refusal::NoHash)?;
        let bad = || Refusal::BadHash(text.chars().take(100).collect());
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let mut digest = [0; 32];
        for (byte, at) in digest.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| bad())?;
        }
        Ok(Self(digest))
    }

    /// The PARTUUID of the slot that holds this /usr: the digest's first 128 bits.
    #[must_use]
    pub fn partuuid(&self) -> Guid {
        // In the text form of a GUID the first three groups stand most significant byte first, on
        // disk least significant first.
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.0[..16]);
        bytes[..4].reverse();
        bytes[4..6].reverse();
        bytes[6..8].reverse();
        Guid(bytes)
    }
}

impl std::fmt::Display for UsrHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// Whether the watchdog is to be armed: unless the command line tells systemd to leave it alone.
#[must_use]
pub fn wants_watchdog(line: &CommandLine) -> bool {
    !matches!(line.value("systemd.watchdog_sec"), Some("0" | "off" | "no"))
}

/// A partition with what its disk's table says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionFact {
    /// Number in the table.
    pub number: u32,
    /// Label in the table.
    pub label: String,
    /// PARTUUID.
    pub guid: Guid,
    /// Node in /dev.
    pub node: PathBuf,
    /// Bytes.
    pub size: u64,
}

/// A disk with its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskFact {
    /// Node in /dev.
    pub node: PathBuf,
    /// Its partitions.
    pub partitions: Vec<PartitionFact>,
}

/// The slot to boot and the disk it lies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The disk's node.
    pub disk: PathBuf,
    /// The slot.
    pub usr: PartitionFact,
    /// ROOT on the same disk: number 9 with that label, else one with that label, else number 9. A
    /// copy of the disk elsewhere is never taken for it.
    pub root: Option<PartitionFact>,
    /// Other devices with the same PARTUUID, left alone: a copy of this disk is attached.
    pub copies: Vec<PathBuf>,
}

/// Finds the slot of this /usr: the first disk by name that has it.
#[must_use]
pub fn find_slot(disks: &[DiskFact], hash: &UsrHash) -> Option<Slot> {
    let wanted = hash.partuuid();
    let mut found = disks.iter().flat_map(|disk| {
        disk.partitions.iter().filter(|p| p.guid == wanted).map(move |partition| (disk, partition))
    });
    let (disk, usr) = found.next()?;
    let by = |test: &dyn Fn(&PartitionFact) -> bool| disk.partitions.iter().find(|p| test(p));
    let root = by(&|p| p.number == ROOT_NUMBER && p.label == ROOT_LABEL)
        .or_else(|| by(&|p| p.label == ROOT_LABEL))
        .or_else(|| by(&|p| p.number == ROOT_NUMBER));
    Some(Slot {
        disk: disk.node.clone(),
        usr: usr.clone(),
        root: root.cloned(),
        copies: found.map(|(_, partition)| partition.node.clone()).collect(),
    })
}

/// The dm-verity device for a slot of `size` bytes that holds an image of `image` bytes (whole blocks)
/// with this super block behind it.
///
/// # Errors
/// When image and tree do not fit together or into the slot.
pub fn verity_params(
    node: &str,
    size: u64,
    image: u64,
    verity: &Verity,
    hash: &UsrHash,
) -> Result<VerityParams, Refusal> {
    let data_blocks = image / BLOCK;
    if verity.data_blocks != data_blocks {
        return Err(Refusal::Layout {
            what: "blocks in the hash tree",
            expected: data_blocks.to_string(),
            found: verity.data_blocks.to_string(),
        });
    }
    let needed = (data_blocks + 1 + tree_blocks(data_blocks)).saturating_mul(BLOCK);
    if needed > size {
        return Err(Refusal::Layout {
            what: "bytes in the slot",
            expected: format!("at least {needed}"),
            found: size.to_string(),
        });
    }
    Ok(VerityParams {
        data_device: node.to_owned(),
        hash_device: node.to_owned(),
        data_block_size: 4096,
        hash_block_size: 4096,
        data_blocks,
        hash_start: data_blocks + 1,
        algorithm: "sha256".to_owned(),
        root_digest: hash.0.to_vec(),
        salt: verity.salt.clone(),
        options: vec!["panic_on_corruption".to_owned()],
    })
}

/// Blocks of all levels of a hash tree: 128 digests of 32 bytes fill a block of 4 KiB.
fn tree_blocks(data_blocks: u64) -> u64 {
    let (mut total, mut level) = (0, data_blocks);
    while level > 1 {
        level = level.div_ceil(128);
        total += level;
    }
    total
}

/// What is known about ROOT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootFacts {
    /// `flatcar.first_boot=1`.
    pub forced: bool,
    /// The partition and what lies on it; none when the disk has no ROOT.
    pub root: Option<(PathBuf, Content)>,
    /// Whether the mounted ROOT carries the stamp of a finished provisioning; none before it is
    /// mounted.
    pub stamped: Option<bool>,
    /// Whether the first boot's program has run in this boot and succeeded.
    pub first_boot_done: bool,
}

/// Why the first boot's program is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// ROOT carries nothing that is known.
    NoFilesystem,
    /// ROOT was never provisioned to the end.
    NoStamp,
    /// The command line asks for it.
    Forced,
    /// ROOT is in a RAID array, LVM or LUKS, which only the tools in /usr can put together.
    Assemble,
    /// The disk has no ROOT partition.
    NoPartition,
}

impl Reason {
    /// The word for it on the command line of the first boot's program.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NoFilesystem => "no-filesystem",
            Self::NoStamp => "no-stamp",
            Self::Forced => "forced",
            Self::Assemble => "assemble",
            Self::NoPartition => "no-partition",
        }
    }
}

/// What comes next on the way to a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Mount ROOT at /sysroot, look for the stamp and decide again.
    MountRoot {
        /// The device.
        node: PathBuf,
        /// Its file system.
        kind: &'static str,
    },
    /// Unmount ROOT again: the first boot may have to replace it.
    UnmountRoot,
    /// Start the first boot's program from /usr (it leaves ROOT mounted at /sysroot) and decide again.
    FirstBoot(Reason),
    /// Complete the root and hand over to systemd.
    HandOver,
    /// The first boot's program said it was done, but ROOT carries no stamp.
    Broken,
}

/// The next steps; total over all facts. At most one of the steps changes the facts, and it is the last.
#[must_use]
pub fn next_steps(facts: &RootFacts) -> Vec<Step> {
    if facts.first_boot_done {
        return vec![if facts.stamped == Some(true) { Step::HandOver } else { Step::Broken }];
    }
    match (&facts.root, facts.stamped) {
        (_, Some(true)) if facts.forced => vec![Step::UnmountRoot, Step::FirstBoot(Reason::Forced)],
        (_, Some(true)) => vec![Step::HandOver],
        (_, Some(false)) => vec![Step::UnmountRoot, Step::FirstBoot(Reason::NoStamp)],
        (_, None) if facts.forced => vec![Step::FirstBoot(Reason::Forced)],
        (None, None) => vec![Step::FirstBoot(Reason::NoPartition)],
        (Some((node, Content::Filesystem { kind, .. })), None) => {
            vec![Step::MountRoot { node: node.clone(), kind }]
        }
        (Some((_, Content::Luks | Content::Raid | Content::Lvm)), None) => {
            vec![Step::FirstBoot(Reason::Assemble)]
        }
        (Some((_, Content::Unknown)), None) => vec![Step::FirstBoot(Reason::NoFilesystem)],
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
