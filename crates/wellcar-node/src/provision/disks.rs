//! The disks stage: looks at disks, lets the planner decide part by part, and does the steps with the tools of
//! the verified /usr (sgdisk, partx, wipefs, mkfs.*, mdadm, cryptsetup). Disks may be image files.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ::provision::{
    Action, DiskFacts, DiskPhase, Facts, Origins, PartitionEdit, PartitionFacts, Probe, Step, base,
    plan_phase,
};
use ignition::Config;
use ignition::model::text;
use net::Waiter as _;
use sys::process::Cmd;

use super::context::{Context, State, VolumeKey, env, read_limited};
use super::failure::{Failure, Result, fail};
use super::fetch::{Fetcher, sha256};

/// The longest a tool may take: mkfs of a large slow disk.
const TOOL_TIME: Duration = Duration::from_secs(1800);
/// The first Linux path that names ROOT before it has a file system.
const ROOT_BY_LABEL: &str = "/dev/disk/by-label/ROOT";

/// The disk the system runs from, and its root partition.
struct SystemDisk {
    disk: String,
    root: String,
}

/// Runs the disks stage.
pub(super) fn run(context: &Context, config: &Config, origins: &Origins) -> Result<()> {
    let mut state = context.state()?;
    let system = system_disk(context);
    if context.flags.dry_run {
        let facts = gather(context, config, system.as_ref(), false)?;
        for phase in DiskPhase::ALL {
            let steps =
                plan_phase(phase, config, origins, &facts).map_err(|p| Box::new(Failure::problems(&p)))?;
            steps.iter().for_each(|step| context.print(&format!("{step}\n")));
        }
        return Ok(());
    }
    let mut root_is_new = false;
    if let Some(system) = &system {
        let (facts, found) = (disk_facts(Path::new(&system.disk))?, probe(Path::new(&system.root))?);
        let steps = base::prepare(&system.disk, &facts, &found);
        root_is_new = !steps.is_empty();
        perform(context, &steps, &mut state, system)?;
    }
    for phase in DiskPhase::ALL {
        if phase == DiskPhase::Raid
            && root_is_new
            && let Some(system) = &system
        {
            grow_root(context, config, system, &mut state)?;
        }
        if nothing(phase, config) {
            continue;
        }
        let facts = gather(context, config, system.as_ref(), true)?;
        let steps =
            plan_phase(phase, config, origins, &facts).map_err(|p| Box::new(Failure::problems(&p)))?;
        perform(context, &steps, &mut state, &system_or_none(system.as_ref()))?;
    }
    context.save_state(&state)
}

fn system_or_none(system: Option<&SystemDisk>) -> SystemDisk {
    system.map_or(SystemDisk { disk: String::new(), root: String::new() }, |s| SystemDisk {
        disk: s.disk.clone(),
        root: s.root.clone(),
    })
}

fn nothing(phase: DiskPhase, config: &Config) -> bool {
    match phase {
        DiskPhase::Partitions => config.storage.disks.is_empty(),
        DiskPhase::Raid => config.storage.raid.is_empty(),
        DiskPhase::Luks => config.storage.luks.is_empty(),
        DiskPhase::Filesystems => config.storage.filesystems.is_empty(),
    }
}

fn grow_root(context: &Context, config: &Config, system: &SystemDisk, state: &mut State) -> Result<()> {
    let (facts, found) = (disk_facts(Path::new(&system.disk))?, probe(Path::new(&system.root))?);
    let same = |a: &str, b: &str| match (fs::canonicalize(a), fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    };
    let partition_described =
        config.storage.disks.iter().filter(|d| same(text(&d.device), &system.disk)).any(|d| {
            d.partitions
                .iter()
                .any(|p| p.number.as_ref().is_some_and(|n| n.value == i64::from(base::ROOT_NUMBER)))
        });
    let filesystem_described = config
        .storage
        .filesystems
        .iter()
        .any(|f| text(&f.device) == ROOT_BY_LABEL || same(text(&f.device), &system.root))
        || config.storage.raid.iter().any(|r| r.devices.iter().any(|d| same(&d.value, &system.root)))
        || config.storage.luks.iter().any(|l| same(text(&l.device), &system.root));
    let steps = base::make_root(
        &system.disk,
        &facts,
        &system.root,
        &found,
        partition_described,
        filesystem_described,
    );
    perform(context, &steps, state, system)
}

/// The disk with the slot that this boot runs from: named by the environment, else by `usrhash=`.
fn system_disk(context: &Context) -> Option<SystemDisk> {
    let disk = match (context.env)(env::SYSTEM_DISK).filter(|v| !v.is_empty()) {
        Some(disk) => PathBuf::from(disk),
        None => {
            let cmdline = context.cmdline();
            let hash = cmdline.iter().find_map(|w| w.strip_prefix("usrhash="))?.to_ascii_lowercase();
            let part = |a: usize, b: usize| hash.get(a..b);
            let uuid = [part(0, 8)?, part(8, 12)?, part(12, 16)?, part(16, 20)?, part(20, 32)?].join("-");
            let slot = fs::canonicalize(Path::new("/dev/disk/by-partuuid").join(uuid)).ok()?;
            let class = fs::canonicalize(Path::new("/sys/class/block").join(slot.file_name()?)).ok()?;
            Path::new("/dev").join(class.parent()?.file_name()?)
        }
    };
    let root = partition_device(&disk, base::ROOT_NUMBER).or_else(|| {
        // The kernel may not have read the table yet, or leaves that to user space.
        let _ = Cmd::new("partx").arg("--add").arg(&disk).timeout(Duration::from_secs(60)).run_any();
        partition_device(&disk, base::ROOT_NUMBER)
    })?;
    Some(SystemDisk { disk: disk.display().to_string(), root: root.display().to_string() })
}

/// The name of a block device in /sys/class/block; `None` for image files.
fn block_name(device: &Path) -> Option<OsString> {
    let real = fs::canonicalize(device).ok()?;
    if !fs::metadata(&real).ok()?.file_type().is_block_device() {
        return None;
    }
    real.file_name().map(ToOwned::to_owned)
}

/// The device of a partition as the kernel has it.
fn partition_device(disk: &Path, number: u32) -> Option<PathBuf> {
    let name = block_name(disk)?;
    let dir = Path::new("/sys/class/block").join(&name);
    for entry in fs::read_dir(dir).ok()?.flatten() {
        let text = read_limited(&entry.path().join("partition"), 64).ok().flatten();
        if text.is_some_and(|t| String::from_utf8_lossy(&t).trim() == number.to_string()) {
            return Some(Path::new("/dev").join(entry.file_name()));
        }
    }
    None
}

fn sysfs_number(path: &Path) -> Option<u64> {
    String::from_utf8(read_limited(path, 64).ok()??).ok()?.trim().parse().ok()
}

/// Looks at every disk and device the config names. `wait`: until they are there.
fn gather(context: &Context, config: &Config, system: Option<&SystemDisk>, wait: bool) -> Result<Facts> {
    let mut facts = Facts::default();
    for disk in &config.storage.disks {
        let device = text(&disk.device);
        if wait && !wait_for(context, Path::new(device)) {
            continue;
        }
        if let Ok(known) = disk_facts(Path::new(device)) {
            facts.disks.insert(device.to_owned(), known);
        }
    }
    if facts.disks.is_empty()
        && wait
        && let Some(disk) = config.storage.disks.first()
    {
        return Err(Box::new(Failure::new("disk", format!("failed to find disk `{}`", text(&disk.device)))));
    }
    for filesystem in &config.storage.filesystems {
        let device = text(&filesystem.device);
        let real = resolve(device, system);
        if real.exists() {
            facts.probes.insert(device.to_owned(), probe(&real)?);
        }
    }
    Ok(facts)
}

fn resolve(device: &str, system: Option<&SystemDisk>) -> PathBuf {
    match system {
        Some(system) if device == ROOT_BY_LABEL && !Path::new(device).exists() => PathBuf::from(&system.root),
        _ => PathBuf::from(device),
    }
}

/// Waits until a device is there; true if it is.
fn wait_for(context: &Context, device: &Path) -> bool {
    if device.exists() {
        return true;
    }
    settle();
    let seconds = (context.env)(env::DEVICE_TIMEOUT).and_then(|v| v.to_str()?.parse().ok()).unwrap_or(90);
    let end = Instant::now() + Duration::from_secs(seconds);
    let pause = net::Patience::until(None);
    context.log(&format!("waiting for {}", device.display()));
    while !device.exists() {
        if Instant::now() >= end {
            return false;
        }
        pause.wait(Duration::from_millis(100));
    }
    true
}

/// Lets udev finish, where there is one.
fn settle() {
    if Path::new("/run/udev/control").exists() {
        let _ =
            Cmd::new("udevadm").args(["settle", "--timeout=30"]).timeout(Duration::from_secs(60)).run_any();
    }
}

fn disk_facts(device: &Path) -> Result<DiskFacts> {
    let broken = |verb: &str, error: &dyn std::fmt::Display| {
        let mut failure = Failure::new("disk", format!("failed to {verb} disk `{}`", device.display()));
        failure.causes.push(error.to_string());
        Box::new(failure)
    };
    let mut file = File::open(device).map_err(|e| broken("open", &e))?;
    let name = block_name(device);
    let class = name.as_ref().map(|n| Path::new("/sys/class/block").join(n));
    let sector_size = class
        .as_ref()
        .and_then(|c| sysfs_number(&c.join("queue/logical_block_size")))
        .filter(|s| *s >= 512)
        .unwrap_or(512);
    let bytes = file.seek(SeekFrom::End(0)).map_err(|e| broken("measure", &e))?;
    let sectors = bytes / sector_size;
    // The backup array is as long as the main one: 128 entries of 128 bytes.
    let array = (128 * 128_u64).div_ceil(sector_size);
    let mut out = DiskFacts {
        sector_size,
        sectors,
        first_usable: 2 + array,
        last_usable: sectors.saturating_sub(2 + array),
        in_use: class.as_ref().is_some_and(|c| in_use(c)),
        ..DiskFacts::default()
    };
    file.seek(SeekFrom::Start(0)).map_err(|e| broken("read", &e))?;
    match formats::gpt::Table::read(&mut file, sector_size) {
        Ok((table, _)) => {
            out.has_gpt = true;
            out.first_usable = table.usable().0;
            for (number, entry) in table.partitions() {
                let node = class.as_ref().and(partition_device(device, *number));
                let node = node.and_then(|n| Some(Path::new("/sys/class/block").join(n.file_name()?)));
                out.partitions.push(PartitionFacts {
                    number: *number,
                    start: entry.first,
                    size: entry.sectors(),
                    label: entry.name.clone(),
                    type_guid: entry.type_guid.to_string(),
                    guid: entry.guid.to_string(),
                    in_use: node.as_ref().is_some_and(|n| in_use(n)),
                });
            }
        }
        Err(_) => out.foreign = foreign(device, &mut file),
    }
    Ok(out)
}

/// What is on a disk without a readable GPT.
fn foreign(device: &Path, file: &mut File) -> Option<String> {
    let mut head = [0_u8; 512];
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_exact(&mut head));
    if read.is_ok() && head[510..] == [0x55, 0xaa] {
        let kinds: Vec<u8> = (0..4).map(|i| head[446 + i * 16 + 4]).collect();
        if kinds.contains(&0xee) {
            return Some("a damaged GPT (the primary table cannot be read)".to_owned());
        }
        if kinds.iter().any(|k| *k != 0) {
            return Some("an MBR partition table".to_owned());
        }
    }
    probe(device).ok().filter(|p| !p.kind.is_empty()).map(|p| format!("a {} signature", p.kind))
}

/// Mounted, swapped on or held by another device.
fn in_use(class: &Path) -> bool {
    let held = fs::read_dir(class.join("holders")).is_ok_and(|mut list| list.next().is_some());
    let number = read_limited(&class.join("dev"), 64).ok().flatten().unwrap_or_default();
    let number = String::from_utf8_lossy(&number).trim().to_owned();
    let mounts = read_limited(Path::new("/proc/self/mountinfo"), 16 << 20).ok().flatten().unwrap_or_default();
    let mounted =
        String::from_utf8_lossy(&mounts).lines().any(|l| l.split(' ').nth(2) == Some(number.as_str()));
    let swaps = read_limited(Path::new("/proc/swaps"), 1 << 20).ok().flatten().unwrap_or_default();
    let name = class.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let swapped = String::from_utf8_lossy(&swaps)
        .lines()
        .any(|l| l.split_whitespace().next() == Some(&format!("/dev/{name}")));
    held || mounted || swapped
}

/// What blkid finds at the start of a device or file.
fn probe(device: &Path) -> Result<Probe> {
    let out = Cmd::new("blkid")
        .args(["-p", "-o", "export"])
        .arg(device)
        .timeout(Duration::from_secs(60))
        .run_any()
        .map_err(|e| fail("probe")(&e))?;
    let mut found = Probe::default();
    match out.status.code() {
        Some(0) => {}
        // 2: nothing found.
        Some(2) => return Ok(found),
        Some(8) => {
            found.kind = "more than one".to_owned();
            return Ok(found);
        }
        _ => {
            let mut failure = Failure::new("probe", format!("failed to look at `{}`", device.display()));
            failure.causes.push(String::from_utf8_lossy(&out.stderr).trim().to_owned());
            return Err(Box::new(failure));
        }
    }
    for line in out.stdout_text().lines() {
        match line.split_once('=') {
            Some(("TYPE", value)) => value.clone_into(&mut found.kind),
            Some(("LABEL", value)) => value.replace('\\', "").clone_into(&mut found.label),
            Some(("UUID", value)) => value.clone_into(&mut found.uuid),
            _ => {}
        }
    }
    Ok(found)
}

fn tool(program: &str, args: &[String]) -> Result<()> {
    Cmd::new(program).args(args).timeout(TOOL_TIME).run().map(drop).map_err(|e| {
        let mut failure = Failure::of("tool", &e);
        if e.is_not_found() {
            failure.hints.push(format!("`{program}` is not in PATH"));
        }
        Box::new(failure)
    })
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}

fn perform(context: &Context, steps: &[Step], state: &mut State, system: &SystemDisk) -> Result<()> {
    for step in steps {
        context.log(&step.to_string());
        one(context, &step.action, state, system).map_err(|f| Box::new(f.step(step)))?;
        context.save_state(state)?;
    }
    Ok(())
}

fn one(context: &Context, action: &Action, state: &mut State, system: &SystemDisk) -> Result<()> {
    match action {
        Action::WipeTable { disk } => {
            // A damaged table makes the first run fail after it was cleared.
            let args = strings(&["--zap-all", disk]);
            tool("sgdisk", &args).or_else(|_| tool("sgdisk", &args))?;
            if block_name(Path::new(disk)).is_some() {
                let _ = Cmd::new("partx").args(["--delete", disk]).timeout(Duration::from_secs(60)).run_any();
            }
            reread(Path::new(disk), &[]);
            Ok(())
        }
        Action::MoveBackupHeader { disk } => tool("sgdisk", &strings(&["-e", disk])),
        Action::NewDiskGuid { disk } => tool("sgdisk", &strings(&["-U", "R", disk])),
        Action::EditPartitions { disk, edits } => {
            tool("sgdisk", &sgdisk(disk, edits))?;
            reread(Path::new(disk), edits);
            Ok(())
        }
        Action::CreateRaid(raid) => create_raid(context, raid),
        Action::CreateLuks(volume) => create_luks(context, volume, state),
        Action::WipeSignatures { device } => tool("wipefs", &strings(&["-a", device])),
        Action::KeepFilesystem { .. } => Ok(()),
        Action::MakeFilesystem { device, format, label, uuid, options, wipe } => {
            let real = resolve(device, Some(system));
            if !wait_for(context, &real) {
                return Err(Box::new(
                    Failure::new("device", format!("failed to find device `{device}`"))
                        .hint("a device under by-label or by-partlabel must be made by an earlier entry"),
                ));
            }
            let device = real.display().to_string();
            if *wipe {
                tool("wipefs", &strings(&["-a", &device]))?;
            }
            let (program, args) = mkfs(&device, format, label.as_deref(), uuid.as_deref(), options)?;
            tool(program, &args)?;
            trigger(&real);
            Ok(())
        }
        other => Err(Box::new(Failure::new("plan", format!("failed to do `{other}` in the disks stage")))),
    }
}

fn sgdisk(disk: &str, edits: &[PartitionEdit]) -> Vec<String> {
    let mut args = Vec::new();
    for edit in edits {
        match edit {
            PartitionEdit::Delete { number } => args.push(format!("--delete={number}")),
            PartitionEdit::Create { number, start, size, label, type_guid, guid } => {
                // Start sectors are the planner's: sgdisk shall not move them.
                args.push("--set-alignment=1".to_owned());
                args.push(format!("--new={number}:{start}:+{size}"));
                if let Some(label) = label {
                    args.push(format!("--change-name={number}:{label}"));
                }
                if let Some(guid) = type_guid {
                    args.push(format!("--typecode={number}:{guid}"));
                }
                if let Some(guid) = guid {
                    args.push(format!("--partition-guid={number}:{guid}"));
                }
            }
        }
    }
    args.push(disk.to_owned());
    args
}

/// Tells the kernel about changed partitions; where some are in use only the changed ones are told.
fn reread(disk: &Path, edits: &[PartitionEdit]) {
    if block_name(disk).is_none() {
        return;
    }
    let partx = |what: &str, number: u32| {
        let _ = Cmd::new("partx")
            .args([what, "--nr", &number.to_string()])
            .arg(disk)
            .timeout(Duration::from_secs(60))
            .run_any();
    };
    for edit in edits {
        match edit {
            PartitionEdit::Delete { number } => partx("--delete", *number),
            PartitionEdit::Create { number, .. } => {
                if partition_device(disk, *number).is_none() {
                    partx("--add", *number);
                } else {
                    partx("--update", *number);
                }
            }
        }
    }
    trigger(disk);
}

fn trigger(device: &Path) {
    if Path::new("/run/udev/control").exists() {
        let _ = Cmd::new("udevadm")
            .args(["trigger", "--settle"])
            .arg(device)
            .timeout(Duration::from_secs(60))
            .run_any();
        settle();
    }
}

fn mkfs<'a>(
    device: &str,
    format: &'a str,
    label: Option<&str>,
    uuid: Option<&str>,
    options: &[String],
) -> Result<(&'a str, Vec<String>)> {
    let mut args = options.to_vec();
    let mut push = |list: &[&str]| args.extend(strings(list));
    let plain = |uuid: &str| uuid.replace('-', "");
    let program = match format {
        "ext4" => {
            push(&["-F"]);
            uuid.iter().for_each(|u| push(&["-U", u]));
            label.iter().for_each(|l| push(&["-L", l]));
            "mkfs.ext4"
        }
        "btrfs" => {
            push(&["--force"]);
            uuid.iter().for_each(|u| push(&["-U", u]));
            label.iter().for_each(|l| push(&["-L", l]));
            "mkfs.btrfs"
        }
        "xfs" => {
            push(&["-f"]);
            uuid.iter().for_each(|u| push(&["-m", &format!("uuid={u}")]));
            label.iter().for_each(|l| push(&["-L", l]));
            "mkfs.xfs"
        }
        "swap" => {
            push(&["-f"]);
            uuid.iter().for_each(|u| push(&["-U", u]));
            label.iter().for_each(|l| push(&["-L", l]));
            "mkswap"
        }
        "vfat" => {
            uuid.iter().for_each(|u| push(&["-i", &plain(u)]));
            label.iter().for_each(|l| push(&["-n", l]));
            "mkfs.fat"
        }
        other => {
            return Err(Box::new(
                Failure::new("filesystem", format!("failed to make a file system of type `{other}`"))
                    .hint("use ext4, btrfs, xfs, vfat or swap"),
            ));
        }
    };
    push(&[device]);
    Ok((program, args))
}

fn create_raid(context: &Context, raid: &::provision::RaidArray) -> Result<()> {
    let node = PathBuf::from(format!("/dev/md/{}", raid.name));
    if node.exists() {
        context.log(&format!("{} is there already", node.display()));
        return Ok(());
    }
    for device in &raid.devices {
        if !wait_for(context, Path::new(device)) {
            return Err(Box::new(Failure::new("device", format!("failed to find device `{device}`"))));
        }
    }
    let active = u32::try_from(raid.devices.len()).unwrap_or(u32::MAX).saturating_sub(raid.spares);
    let mut args =
        strings(&["--create", &raid.name, "--force", "--run", "--homehost", "any", "--level", &raid.level]);
    args.extend(["--raid-devices".to_owned(), active.to_string()]);
    if raid.spares > 0 {
        args.extend(["--spare-devices".to_owned(), raid.spares.to_string()]);
    }
    args.extend(raid.options.iter().cloned());
    args.extend(raid.devices.iter().cloned());
    tool("mdadm", &args)?;
    settle();
    Ok(())
}

fn create_luks(context: &Context, volume: &::provision::Volume, state: &mut State) -> Result<()> {
    let device = Path::new(&volume.device);
    if !wait_for(context, device) {
        return Err(Box::new(Failure::new("device", format!("failed to find device `{}`", volume.device))));
    }
    if state.keys.contains_key(&volume.name) && Path::new("/dev/mapper").join(&volume.name).exists() {
        return Ok(());
    }
    let found = probe(device)?;
    let given = !volume.key.source.is_empty();
    let key = if given {
        let network =
            super::config::network(context, &Config::default(), true, Some(context.flags.fetch_timeout))?;
        Fetcher::new(&network).small(&volume.key, None)?
    } else {
        random_key()?
    };
    let reuse = !volume.wipe && !found.kind.is_empty();
    if reuse {
        let fits =
            found.kind == "crypto_LUKS" && given && volume.label.as_ref().is_none_or(|l| *l == found.label);
        if !fits {
            return Err(Box::new(
                Failure::new("luks", format!("failed to use `{}`: it holds {}", volume.device, found.kind))
                    .hint("set wipeVolume: true to replace it; a volume is used again only with its keyFile"),
            ));
        }
    }
    let secret = |args: Vec<String>| {
        Cmd::new("cryptsetup")
            .args(&args)
            .stdin_bytes(key.clone())
            .timeout(TOOL_TIME)
            .run()
            .map(drop)
            .map_err(|e| fail("luks")(&e))
    };
    if !reuse {
        tool("wipefs", &strings(&["-a", &volume.device]))?;
        let mut args = strings(&["luksFormat", "--type", "luks2", "--batch-mode", "--key-file", "-"]);
        volume.label.iter().for_each(|l| args.extend(strings(&["--label", l])));
        volume.uuid.iter().for_each(|u| args.extend(strings(&["--uuid", u])));
        args.extend(volume.options.iter().cloned());
        args.push(volume.device.clone());
        secret(args)?;
    }
    let mut args = strings(&["luksOpen", &volume.device, &volume.name, "--key-file", "-", "--persistent"]);
    if volume.discard {
        args.push("--allow-discards".to_owned());
    }
    args.extend(volume.open_options.iter().cloned());
    secret(args)?;
    let options = if volume.discard { strings(&["luks", "discard"]) } else { strings(&["luks"]) };
    let uuid = probe(device)?.uuid;
    let named = if uuid.is_empty() { volume.device.clone() } else { format!("UUID={uuid}") };
    state.keys.insert(volume.name.clone(), VolumeKey { device: named, key, options });
    settle();
    Ok(())
}

/// 4096 random bytes, written as hexadecimal digits.
fn random_key() -> Result<Vec<u8>> {
    let mut seed = [0_u8; 4096];
    File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut seed)).map_err(|e| fail("random")(&e))?;
    let blocks: BTreeMap<usize, String> = seed.chunks(32).enumerate().map(|(i, c)| (i, sha256(c))).collect();
    Ok(blocks.into_values().collect::<String>().into_bytes())
}
