//! Steps for partitions, arrays, encrypted volumes, file systems and mounts.
//!
//! Sector arithmetic follows sgdisk: start 0 is the first aligned sector of the largest free block, size 0 reaches
//! to the end of the block. What exists, should exist, may be wiped and matches decides by Ignition's table.

use ignition::model::{Config, Disk, Filesystem, Opt, Partition, flag, text};
use report::codes;

use crate::facts::{DiskFacts, Facts, PartitionFacts, Probe};
use crate::origin::{Origin, Origins};
use crate::plan::Problem;
use crate::step::{Action, Content, PartitionEdit, RaidArray, Step, Volume};

/// The disks stage's parts; each needs to look at what the one before has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskPhase {
    /// Partition tables.
    Partitions,
    /// RAID arrays.
    Raid,
    /// Encrypted volumes.
    Luks,
    /// File systems.
    Filesystems,
}

impl DiskPhase {
    /// All, in order.
    pub const ALL: [Self; 4] = [Self::Partitions, Self::Raid, Self::Luks, Self::Filesystems];
}

/// Plans one part of the disks stage from what is known now.
///
/// # Errors
/// All problems that can be seen from the facts.
pub fn plan_phase(
    phase: DiskPhase,
    config: &Config,
    origins: &Origins,
    facts: &Facts,
) -> Result<Vec<Step>, Vec<Problem>> {
    let mut problems = Vec::new();
    let steps = match phase {
        DiskPhase::Partitions => partitions(config, origins, facts, &mut problems),
        DiskPhase::Raid => raids(config, origins),
        DiskPhase::Luks => luks(config, origins, &mut problems),
        DiskPhase::Filesystems => filesystems(config, origins, facts, &mut problems),
    };
    if problems.is_empty() { Ok(steps) } else { Err(problems) }
}

pub(crate) fn all(
    config: &Config,
    origins: &Origins,
    facts: &Facts,
    problems: &mut Vec<Problem>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for phase in DiskPhase::ALL {
        match plan_phase(phase, config, origins, facts) {
            Ok(more) => steps.extend(more),
            Err(more) => problems.extend(more),
        }
    }
    steps
}

fn partitions(config: &Config, origins: &Origins, facts: &Facts, problems: &mut Vec<Problem>) -> Vec<Step> {
    let mut steps = Vec::new();
    for (i, disk) in config.storage.disks.iter().enumerate() {
        let origin = origins.of(&format!("$.storage.disks.{i}"));
        let device = text(&disk.device).to_owned();
        let Some(known) = facts.disks.get(&device) else {
            if !facts.disks.is_empty() {
                let message = format!("failed to find disk `{device}`");
                problems.push(
                    Problem::new(origin, codes::PARTITION, message).hint(
                        "check the path; /dev/disk/by-path and by-id names are stable, /dev/sdX is not",
                    ),
                );
            }
            continue;
        };
        match one_disk(disk, i, known, origins) {
            Ok(actions) => steps.extend(actions),
            Err(more) => problems.extend(more),
        }
    }
    steps
}

/// A partition as the config wants it, zeros resolved. `None` = does not matter.
struct Want<'a> {
    config: &'a Partition,
    origin: Origin,
    number: u32,
    exist: bool,
    wipe: bool,
    start: Option<u64>,
    size: Option<u64>,
}

fn one_disk(
    disk: &Disk,
    index: usize,
    facts: &DiskFacts,
    origins: &Origins,
) -> Result<Vec<Step>, Vec<Problem>> {
    let origin = origins.of(&format!("$.storage.disks.{index}"));
    let device = text(&disk.device).to_owned();
    let mut steps = Vec::new();
    let mut known = facts.clone();
    let refuse = |message: String, hint: &str| {
        vec![Problem::new(origin.clone(), codes::PARTITION, message).hint(hint)]
    };
    if flag(&disk.wipe_table) {
        if known.in_use || known.partitions.iter().any(|p| p.in_use) {
            let message = format!("failed to wipe the partition table of `{device}`: the disk is in use");
            return Err(refuse(message, "the disk the system runs from cannot be wiped; name another disk"));
        }
        steps.push(Step { origin: origin.clone(), action: Action::WipeTable { disk: device.clone() } });
        known.partitions.clear();
        known.has_gpt = false;
        known.foreign = None;
    } else if let (Some(foreign), false) = (&known.foreign, disk.partitions.is_empty()) {
        let message = format!("failed to partition `{device}`: it holds {foreign}");
        return Err(refuse(message, "set wipeTable: true if it may be destroyed"));
    }
    let wants = resolve(disk, index, &known, origins)?;
    let edits = edits(&device, &wants, &known)?;
    if !edits.is_empty() {
        steps.push(Step { origin, action: Action::EditPartitions { disk: device, edits } });
    }
    Ok(steps)
}

fn sectors(mib: &Opt<i64>, sector_size: u64) -> Option<u64> {
    let mib = u64::try_from(mib.as_ref()?.value).ok()?;
    Some(mib.saturating_mul((1 << 20) / sector_size.clamp(512, 1 << 20)))
}

/// The table as it would be if everything the config names were made anew: resolves starts and sizes of zero.
fn resolve<'a>(
    disk: &'a Disk,
    index: usize,
    facts: &DiskFacts,
    origins: &Origins,
) -> Result<Vec<Want<'a>>, Vec<Problem>> {
    let mut order: Vec<(usize, &Partition)> = disk.partitions.iter().enumerate().collect();
    // Those without a number come last, so that they do not take a number that is given.
    order.sort_by_key(|(_, p)| p.number.as_ref().is_none_or(|n| n.value == 0));
    let mut problems = Vec::new();
    let mut wants = Vec::new();
    for (i, part) in order {
        let origin = origins.of(&format!("$.storage.disks.{index}.partitions.{i}"));
        let number = part.number.as_ref().map_or(0, |n| n.value);
        let Ok(number @ 0..=128) = u32::try_from(number) else {
            let message = format!("failed to use partition number {number}: expected 0 to 128");
            problems.push(Problem::new(origin, codes::PARTITION, message));
            continue;
        };
        wants.push(Want {
            config: part,
            origin,
            number,
            exist: part.should_exist.as_ref().is_none_or(|s| s.value),
            wipe: flag(&part.wipe_partition_entry),
            start: sectors(&part.start_mib, facts.sector_size),
            size: sectors(&part.size_mib, facts.sector_size),
        });
    }
    let mut taken: Vec<PartitionFacts> =
        facts.partitions.iter().filter(|p| !wants.iter().any(|w| w.number == p.number)).cloned().collect();
    for want in &mut wants {
        let existing = facts.partitions.iter().find(|p| want.number != 0 && p.number == want.number);
        if !want.exist {
            continue;
        }
        if want.number == 0 {
            want.number = free_number(&taken, facts);
        }
        let keep = existing.filter(|_| !want.wipe);
        let start = want.start.or(keep.map(|p| p.start)).unwrap_or(0);
        let size = want.size.or(keep.map(|p| p.size)).unwrap_or(0);
        if let Some((start, size)) = place(start, size, &taken, facts) {
            if want.start == Some(0) || (want.start.is_none() && existing.is_none()) {
                want.start = Some(start);
            }
            if want.size == Some(0) || (want.size.is_none() && existing.is_none()) {
                want.size = Some(size);
            }
            taken.push(stub(want.number, start, size));
        } else if existing.is_none() || want.wipe {
            let message = format!(
                "failed to place partition {} on `{}`: no free space of that size and start",
                want.number,
                text(&disk.device)
            );
            problems.push(
                Problem::new(want.origin.clone(), codes::PARTITION, message)
                    .hint("check startMiB and sizeMiB against the disk's size and its other partitions"),
            );
        }
    }
    if problems.is_empty() { Ok(wants) } else { Err(problems) }
}

fn stub(number: u32, start: u64, size: u64) -> PartitionFacts {
    PartitionFacts {
        number,
        start,
        size,
        label: String::new(),
        type_guid: String::new(),
        guid: String::new(),
        in_use: false,
    }
}

fn free_number(taken: &[PartitionFacts], facts: &DiskFacts) -> u32 {
    (1..=128).find(|n| !taken.iter().chain(&facts.partitions).any(|p| p.number == *n)).unwrap_or(129)
}

/// Free blocks between partitions as (first, last) sectors.
fn free_blocks(taken: &[PartitionFacts], facts: &DiskFacts) -> Vec<(u64, u64)> {
    let mut sorted: Vec<_> =
        taken.iter().filter(|p| p.size > 0).map(|p| (p.start, p.start + p.size - 1)).collect();
    sorted.sort_unstable();
    let mut out = Vec::new();
    let mut next = facts.first_usable;
    for (start, end) in sorted {
        if start > next {
            out.push((next, start - 1));
        }
        next = next.max(end + 1);
    }
    if next <= facts.last_usable {
        out.push((next, facts.last_usable));
    }
    out
}

/// Where a partition goes: start 0 = the largest free block, size 0 = to the block's end.
fn place(start: u64, size: u64, taken: &[PartitionFacts], facts: &DiskFacts) -> Option<(u64, u64)> {
    let blocks = free_blocks(taken, facts);
    let align = ((1 << 20) / facts.sector_size.max(512)).max(1);
    let (first, last) = if start == 0 {
        let mut best: Option<(u64, u64)> = None;
        for (a, b) in blocks {
            if best.is_none_or(|(x, y)| b - a > y - x) {
                best = Some((a, b));
            }
        }
        let (a, b) = best?;
        let aligned = a.div_ceil(align) * align;
        (if aligned <= b { aligned } else { a }, b)
    } else {
        let (_, b) = blocks.into_iter().find(|(a, b)| (*a..=*b).contains(&start))?;
        (start, b)
    };
    let room = last - first + 1;
    match size {
        0 => Some((first, room)),
        size if size <= room => Some((first, size)),
        _ => None,
    }
}

/// Why an existing partition is not what the config wants; `size` included or not.
fn mismatch(want: &Want<'_>, found: &PartitionFacts, with_size: bool) -> Option<String> {
    let differs = |field: &Opt<String>, found: &str| {
        field.as_ref().is_some_and(|v| !v.value.is_empty() && !v.value.eq_ignore_ascii_case(found))
    };
    if let Some(start) = want.start.filter(|s| *s != found.start) {
        return Some(format!("expected start at sector {start}, found {}", found.start));
    }
    if let Some(size) = want.size.filter(|s| with_size && *s != found.size) {
        return Some(format!("expected {size} sectors, found {}", found.size));
    }
    if differs(&want.config.guid, &found.guid) {
        return Some(format!("expected GUID {}, found {}", text(&want.config.guid), found.guid));
    }
    if differs(&want.config.type_guid, &found.type_guid) {
        return Some(format!("expected type {}, found {}", text(&want.config.type_guid), found.type_guid));
    }
    if want.config.label.as_ref().is_some_and(|l| l.value != found.label) {
        return Some(format!("expected label `{}`, found `{}`", text(&want.config.label), found.label));
    }
    None
}

/// The decision table: exists × should exist × may be wiped × matches.
fn edits(device: &str, wants: &[Want<'_>], facts: &DiskFacts) -> Result<Vec<PartitionEdit>, Vec<Problem>> {
    let mut problems = Vec::new();
    let (mut deletes, mut creates) = (Vec::new(), Vec::new());
    for want in wants {
        let number = want.number;
        let existing = facts.partitions.iter().find(|p| p.number == number);
        let Some(found) = existing else {
            if want.exist {
                creates.push(create(want, None));
            }
            continue;
        };
        let in_the_way = |why: String, hint: &str| {
            let message = format!("failed to use partition {number} of `{device}`: {why}");
            Problem::new(want.origin.clone(), codes::PARTITION, message).hint(hint)
        };
        let why = mismatch(want, found, true);
        let resize = flag(&want.config.resize) && mismatch(want, found, false).is_none();
        let (delete, remake) = match (want.exist, want.wipe, why) {
            (false, true, _) => (true, None),
            (false, false, _) => {
                problems.push(in_the_way(
                    "it exists and shall not".to_owned(),
                    "set wipePartitionEntry: true to delete it",
                ));
                continue;
            }
            (true, _, None) => (false, None),
            (true, false, Some(_)) if resize => (true, Some(create(want, Some(found)))),
            (true, false, Some(why)) => {
                problems.push(in_the_way(
                    why,
                    "make the config match it, or set wipePartitionEntry: true (or resize: true)",
                ));
                continue;
            }
            (true, true, Some(_)) => (true, Some(create(want, None))),
        };
        if delete && found.in_use {
            problems.push(in_the_way(
                "it is in use".to_owned(),
                "partitions of the running system cannot be changed",
            ));
            continue;
        }
        if delete {
            deletes.push(PartitionEdit::Delete { number });
        }
        creates.extend(remake);
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    deletes.extend(creates);
    Ok(deletes)
}

fn create(want: &Want<'_>, keep: Option<&PartitionFacts>) -> PartitionEdit {
    let chosen = |field: &Opt<String>, kept: Option<&String>| {
        field.as_ref().map(|v| v.value.clone()).filter(|v| !v.is_empty()).or_else(|| kept.cloned())
    };
    PartitionEdit::Create {
        number: want.number,
        start: want.start.or(keep.map(|k| k.start)).unwrap_or(0),
        size: want.size.or(keep.map(|k| k.size)).unwrap_or(0),
        label: chosen(&want.config.label, keep.map(|k| &k.label)),
        type_guid: chosen(&want.config.type_guid, keep.map(|k| &k.type_guid)),
        guid: chosen(&want.config.guid, keep.map(|k| &k.guid)),
    }
}

fn raids(config: &Config, origins: &Origins) -> Vec<Step> {
    let raid = |(i, raid): (usize, &ignition::model::Raid)| Step {
        origin: origins.of(&format!("$.storage.raid.{i}")),
        action: Action::CreateRaid(RaidArray {
            name: text(&raid.name).to_owned(),
            level: text(&raid.level).to_owned(),
            devices: raid.devices.iter().map(|d| d.value.clone()).collect(),
            spares: raid.spares.as_ref().and_then(|s| u32::try_from(s.value).ok()).unwrap_or(0),
            options: raid.options.iter().map(|o| o.value.clone()).collect(),
        }),
    };
    config.storage.raid.iter().enumerate().map(raid).collect()
}

fn luks(config: &Config, origins: &Origins, problems: &mut Vec<Problem>) -> Vec<Step> {
    let mut steps = Vec::new();
    for (i, item) in config.storage.luks.iter().enumerate() {
        let origin = origins.of(&format!("$.storage.luks.{i}"));
        let clevis = &item.clevis;
        let bound = !clevis.tang.is_empty() || flag(&clevis.tpm2) || clevis.custom.pin.is_some();
        if bound || flag(&item.cex.enabled) {
            let message = format!(
                "failed to bind volume `{}`: neither clevis nor CEX is in this image",
                text(&item.name)
            );
            problems.push(
                Problem::new(origin, codes::LUKS, message)
                    .hint("give it a keyFile, or no key for a random one"),
            );
            continue;
        }
        let filled = |field: &Opt<String>| field.as_ref().map(|v| v.value.clone()).filter(|v| !v.is_empty());
        let action = Action::CreateLuks(Volume {
            name: text(&item.name).to_owned(),
            device: text(&item.device).to_owned(),
            key: Content::of(&item.key_file).unwrap_or_default(),
            label: filled(&item.label),
            uuid: filled(&item.uuid),
            options: item.options.iter().map(|o| o.value.clone()).collect(),
            open_options: item.open_options.iter().map(|o| o.value.clone()).collect(),
            discard: flag(&item.discard),
            wipe: flag(&item.wipe_volume),
        });
        steps.push(Step { origin, action });
    }
    steps
}

fn same_uuid(a: &str, b: &str) -> bool {
    let plain = |t: &str| t.chars().filter(|c| *c != '-').collect::<String>().to_ascii_lowercase();
    plain(a) == plain(b)
}

fn filesystems(config: &Config, origins: &Origins, facts: &Facts, problems: &mut Vec<Problem>) -> Vec<Step> {
    let mut steps = Vec::new();
    for (i, item) in config.storage.filesystems.iter().enumerate() {
        let origin = origins.of(&format!("$.storage.filesystems.{i}"));
        match filesystem(item, facts.probes.get(text(&item.device))) {
            Ok(Some(action)) => steps.push(Step { origin, action }),
            Ok(None) => {}
            Err(message) => problems.push(
                Problem::new(origin, codes::FILESYSTEM, message)
                    .hint("set wipeFilesystem: true to replace it, or make format, label and uuid match it"),
            ),
        }
    }
    steps
}

fn filesystem(item: &Filesystem, found: Option<&Probe>) -> Result<Option<Action>, String> {
    let device = text(&item.device).to_owned();
    let format = text(&item.format).to_owned();
    let wipe = flag(&item.wipe_filesystem);
    if format.is_empty() || format == "none" {
        let something = found.is_some_and(|p| !p.kind.is_empty());
        return Ok((wipe && something).then_some(Action::WipeSignatures { device }));
    }
    let filled = |field: &Opt<String>| field.as_ref().map(|v| v.value.clone()).filter(|v| !v.is_empty());
    let (label, uuid) = (filled(&item.label), filled(&item.uuid));
    if let Some(found) = found.filter(|p| !wipe && !p.kind.is_empty()) {
        let oem = found.label == "OEM" && label.as_deref() == Some("OEM");
        let fits = (found.kind == format || oem)
            && label.as_ref().is_none_or(|l| *l == found.label)
            && uuid.as_ref().is_none_or(|u| same_uuid(u, &found.uuid));
        if fits {
            return Ok(Some(Action::KeepFilesystem { device, format: found.kind.clone() }));
        }
        return Err(format!(
            "failed to use `{device}`: expected {format}{}{}, found {} label `{}` uuid {}",
            label.map_or(String::new(), |l| format!(" label `{l}`")),
            uuid.map_or(String::new(), |u| format!(" uuid {u}")),
            found.kind,
            found.label,
            found.uuid,
        ));
    }
    let options = item.options.iter().map(|o| o.value.clone()).collect();
    Ok(Some(Action::MakeFilesystem { device, format, label, uuid, options, wipe }))
}

pub(crate) fn mounts(config: &Config, origins: &Origins, _problems: &mut Vec<Problem>) -> Vec<Step> {
    let mut list: Vec<(usize, Step)> = Vec::new();
    for (i, item) in config.storage.filesystems.iter().enumerate() {
        let path = text(&item.path);
        let format = text(&item.format);
        if path.is_empty() || path == "/" || matches!(format, "swap" | "none" | "") {
            continue;
        }
        let depth = path.split('/').filter(|p| !p.is_empty()).count();
        let action = Action::Mount {
            device: text(&item.device).to_owned(),
            path: path.to_owned(),
            format: format.to_owned(),
            options: item.mount_options.iter().map(|o| o.value.clone()).collect(),
        };
        list.push((depth, Step { origin: origins.of(&format!("$.storage.filesystems.{i}")), action }));
    }
    list.sort_by_key(|(depth, _)| *depth);
    list.into_iter().map(|(_, step)| step).collect()
}

#[cfg(test)]
#[path = "disks_tests.rs"]
mod tests;
