//! What the image itself wants of its disk at first boot: a root file system that fills the disk.

use crate::facts::{DiskFacts, PartitionFacts, Probe};
use crate::origin::Origin;
use crate::step::{Action, PartitionEdit, Step};

/// Number of the root partition.
pub const ROOT_NUMBER: u32 = 9;
/// Its label, also that of its file system.
pub const ROOT_LABEL: &str = "ROOT";

fn root(facts: &DiskFacts) -> Option<&PartitionFacts> {
    facts.partitions.iter().find(|p| p.number == ROOT_NUMBER && p.label == ROOT_LABEL)
}

fn steps(actions: Vec<Action>) -> Vec<Step> {
    actions.into_iter().map(|action| Step { origin: Origin::system(), action }).collect()
}

/// The first steps on the system's disk, before the config's own: none when ROOT holds a file system already.
#[must_use]
pub fn prepare(disk: &str, facts: &DiskFacts, found: &Probe) -> Vec<Step> {
    if root(facts).is_none() || !found.kind.is_empty() {
        return Vec::new();
    }
    steps(vec![
        Action::MoveBackupHeader { disk: disk.to_owned() },
        Action::NewDiskGuid { disk: disk.to_owned() },
    ])
}

/// The last steps on the system's disk, after the config's partitions: ROOT grows up to the next partition or the
/// disk's end unless the config describes the partition, and gets a file system unless the config describes one.
#[must_use]
pub fn make_root(
    disk: &str,
    facts: &DiskFacts,
    root_device: &str,
    found: &Probe,
    partition_described: bool,
    filesystem_described: bool,
) -> Vec<Step> {
    let Some(root) = root(facts).filter(|_| found.kind.is_empty()) else { return Vec::new() };
    let mut actions = Vec::new();
    let next = facts.partitions.iter().map(|p| p.start).filter(|s| *s > root.start).min();
    let align = ((1 << 20) / facts.sector_size.max(512)).max(1);
    // Whole MiB, so that a file system of 4 KiB blocks fills it.
    let end = next.unwrap_or_else(|| (facts.last_usable + 1) / align * align);
    let size = end.saturating_sub(root.start);
    if size > root.size && !partition_described {
        actions.push(Action::EditPartitions {
            disk: disk.to_owned(),
            edits: vec![
                PartitionEdit::Delete { number: ROOT_NUMBER },
                PartitionEdit::Create {
                    number: ROOT_NUMBER,
                    start: root.start,
                    size,
                    label: Some(root.label.clone()),
                    type_guid: Some(root.type_guid.clone()),
                    guid: Some(root.guid.clone()),
                },
            ],
        });
    }
    if !filesystem_described {
        actions.push(Action::MakeFilesystem {
            device: root_device.to_owned(),
            format: "ext4".to_owned(),
            label: Some(ROOT_LABEL.to_owned()),
            uuid: None,
            options: Vec::new(),
            wipe: false,
        });
    }
    steps(actions)
}
