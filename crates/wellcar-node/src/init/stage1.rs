//! Does what [`decide`](super::decide) says, as process 1 of the initramfs.

use super::decide::{
    self, DiskFact, FIRST_BOOT_LIMIT, PartitionFact, Reason, RootFacts, SLOT_WAIT, Slot, Step, UsrHash,
};
use super::layout::{self, NODE, RUN, STAMP, SYSROOT, SYSTEMD, USR, USR_DEVICE};
use super::superblock::{self, EROFS_LENGTH, EROFS_OFFSET, VERITY_LENGTH, hex};
use super::trouble::{catch_panics, give_up, note, restart, tell};
use super::watch::Watch;
use anyhow::{Context as _, Result, bail};
use rustix::mount::MountFlags;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use sys::block::signature::Content;
use sys::block::{self, BlockError, Events};
use sys::cmdline::CommandLine;
use sys::console::{self, Level};
use sys::modules::{Loaded, ModuleError, module_name};
use sys::mount::{self, Mount};
use sys::process::Cmd;
use sys::wait::Deadline;

/// How often the watchdog is fed while the first boot runs.
const FEED: Duration = Duration::from_secs(10);

/// Runs stage 1. Ends as systemd or with a restart.
pub fn run() -> ! {
    catch_panics();
    if let Err(error) = mount_api() {
        give_up(&error);
    }
    match boot() {
        Ok(never) => match never {},
        Err(error) => give_up(&error),
    }
}

enum Never {}

/// The kernel's file systems, then the console and the log.
fn mount_api() -> Result<()> {
    let safe = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    for (kind, target, flags, data) in [
        ("proc", "/proc", safe, ""),
        ("sysfs", "/sys", safe, ""),
        ("devtmpfs", "/dev", MountFlags::NOSUID, "mode=0755"),
        ("tmpfs", "/run", MountFlags::NOSUID | MountFlags::NODEV, "mode=0755,size=20%"),
    ] {
        let target = Path::new(target);
        layout::make_dir(target, 0o755)?;
        if !mount::is_mounted(target) {
            Mount::new(kind, kind, target).flags(flags).data(data).mount()?;
        }
    }
    layout::make_dir(Path::new(RUN), 0o755)?;
    // Both are comforts: a machine without a console still boots.
    let _ = console::take_over(Path::new("/dev/console"));
    let _ = std::fs::write("/proc/sys/kernel/printk_devkmsg", "on\n");
    Ok(())
}

fn boot() -> Result<Never> {
    let text = sys::file::read_text(Path::new("/proc/cmdline"), 64 << 10)
        .context("failed to read the kernel command line")?;
    let line = CommandLine::parse(&text);
    restart_on_kernel_panic();
    let hash = UsrHash::from_command_line(&line)?;
    let mut watch = Watch::new(decide::wants_watchdog(&line));
    load_modules(&mut watch)?;
    let slot = wait_for_slot(&hash)?;
    watch.feed();
    open_usr(&slot, &hash)?;
    watch.feed();
    reach_root(&line, &slot, &hash, &watch)?;
    watch.feed();
    hand_over()
}

/// A verity failure is a kernel panic; it must end in a restart even if the command line forgot to say
/// so.
fn restart_on_kernel_panic() {
    let path = Path::new("/proc/sys/kernel/panic");
    if sys::file::read_text(path, 64).is_ok_and(|text| text.trim() == "0") {
        let _ = std::fs::write(path, "10\n");
    }
}

fn load_modules(watch: &mut Watch) -> Result<()> {
    watch.try_arm();
    for entry in super::modules::read_list()? {
        let name = module_name(&entry.path);
        if watch.makes_superfluous(&name) {
            continue;
        }
        match sys::modules::load(&entry.path, &entry.params) {
            Ok(Loaded::Now | Loaded::Already) => watch.try_arm(),
            Ok(Loaded::NoHardware) => note(Level::Info, &format!("module {name}: no such hardware")),
            // A refused driver may be the one of a disk that is not there, or need one without hardware.
            // If it was needed after all, the next step fails and the kernel log has both.
            Err(error @ ModuleError::Load { .. }) => {
                note(Level::Warning, &format!("{:#}", anyhow::Error::new(error)));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Waits for the partition that the hash names.
fn wait_for_slot(hash: &UsrHash) -> Result<Slot> {
    let events = Events::open()?;
    let deadline = Deadline::after(Some(SLOT_WAIT));
    let look = || -> Result<Option<Slot>, BlockError> { Ok(decide::find_slot(&disk_facts()?, hash)) };
    let Some(slot) = events.wait_for(&deadline, look)? else {
        let seen: Vec<String> =
            disk_facts()?.into_iter().map(|disk| disk.node.display().to_string()).collect();
        bail!(
            "failed to find the partition of /usr: expected PARTUUID `{}` within {} s, found disks `{}`",
            hash.partuuid(),
            SLOT_WAIT.as_secs(),
            seen.join(" ")
        );
    };
    note(Level::Info, &format!("/usr is in {}", slot.usr.node.display()));
    for copy in &slot.copies {
        note(Level::Warning, &format!("a copy of /usr is in {}: left alone", copy.display()));
    }
    Ok(slot)
}

/// All disks with a table that can be read. Nodes that are not there yet will have an event.
fn disk_facts() -> Result<Vec<DiskFact>, BlockError> {
    let disks = block::disks(Path::new("/sys"), Path::new("/dev"))?;
    Ok(disks.into_iter().filter_map(disk_fact).collect())
}

fn disk_fact(disk: block::Disk) -> Option<DiskFact> {
    if disk.partitions.is_empty() {
        return None;
    }
    let file = File::open(&disk.node).ok()?;
    let table = block::gpt::read(&file, disk.size, disk.sector_size).ok()?;
    let partitions = disk.partitions.into_iter().filter_map(|partition| {
        let entry = table.entries.iter().find(|entry| entry.number == partition.number)?;
        Some(PartitionFact {
            number: partition.number,
            label: entry.name.clone(),
            guid: entry.guid,
            node: partition.node,
            size: partition.size,
        })
    });
    Some(DiskFact { node: disk.node, partitions: partitions.collect() })
}

/// Puts dm-verity over the slot and mounts it at /usr.
fn open_usr(slot: &Slot, hash: &UsrHash) -> Result<()> {
    let node = slot.usr.node.to_string_lossy();
    let read = || -> Result<_> {
        let file = File::open(&slot.usr.node)?;
        let mut image = [0; EROFS_LENGTH];
        file.read_exact_at(&mut image, EROFS_OFFSET)?;
        let length = superblock::erofs_length(&image)?;
        if length.saturating_add(VERITY_LENGTH as u64) > slot.usr.size {
            bail!("expected an image of at most {} bytes, found {length}", slot.usr.size);
        }
        let mut tree = [0; VERITY_LENGTH];
        file.read_exact_at(&mut tree, length)?;
        Ok((length, superblock::verity(&tree)?))
    };
    let (length, verity) = read().with_context(|| format!("failed to read the slot `{node}`"))?;
    let params = decide::verity_params(&node, slot.usr.size, length, &verity, hash)?;
    let uuid = format!("CRYPT-VERITY-{}-{USR_DEVICE}", hex(&verity.uuid));
    let mapped = sys::dm::Control::open()?.open_verity(USR_DEVICE, &uuid, &params)?;
    layout::make_dir(Path::new(USR), 0o755)?;
    let device = mapped.node.to_string_lossy();
    Mount::new(&device, "erofs", Path::new(USR))
        .flags(MountFlags::RDONLY | MountFlags::NODEV)
        .mount()
        .with_context(|| format!("failed to mount the verified /usr of `{node}`"))?;
    note(Level::Info, &format!("/usr is verified and mounted, {} MiB", length >> 20));
    Ok(())
}

/// Goes the decided steps until ROOT is mounted and provisioned.
fn reach_root(line: &CommandLine, slot: &Slot, hash: &UsrHash, watch: &Watch) -> Result<()> {
    let mut facts = RootFacts {
        forced: line.is_on("flatcar.first_boot"),
        root: slot
            .root
            .as_ref()
            .map(|root| Ok::<_, anyhow::Error>((root.node.clone(), probe(root)?)))
            .transpose()?,
        stamped: None,
        first_boot_done: false,
    };
    loop {
        for step in decide::next_steps(&facts) {
            match step {
                Step::MountRoot { node, kind } => {
                    layout::mount_root(&node, kind, Path::new(SYSROOT))?;
                    facts.stamped = Some(stamped());
                }
                Step::UnmountRoot => mount::unmount(Path::new(SYSROOT), false)?,
                Step::FirstBoot(reason) => {
                    first_boot(reason, slot, hash, watch)?;
                    facts.first_boot_done = true;
                    facts.stamped = Some(mount::is_mounted(Path::new(SYSROOT)) && stamped());
                }
                Step::HandOver => return layout::complete_root(Path::new(SYSROOT)),
                Step::Broken => {
                    bail!("failed to provision: the first boot ended well, but `{STAMP}` is not on ROOT")
                }
            }
        }
    }
}

fn probe(root: &PartitionFact) -> Result<Content> {
    File::open(&root.node)
        .and_then(|file| block::signature::probe(&file, root.size))
        .with_context(|| format!("failed to look at ROOT `{}`", root.node.display()))
}

fn stamped() -> bool {
    Path::new(SYSROOT).join(STAMP).is_file()
}

/// Makes the initramfs a root that the programs in /usr can live in, and runs the first boot there.
fn first_boot(reason: Reason, slot: &Slot, hash: &UsrHash, watch: &Watch) -> Result<()> {
    note(Level::Info, &format!("first boot ({})", reason.word()));
    let root = Path::new("/");
    layout::make_skeleton(root)?;
    layout::make_dir(Path::new(SYSROOT), 0o755)?;
    let etc = PathBuf::from(RUN).join("etc");
    layout::mount_etc(root, &etc)?;
    let mut command = Cmd::new(NODE)
        .args(["first-boot", "--reason", reason.word()])
        .arg("--disk")
        .arg(&slot.disk)
        .args(["--usr-hash", &hash.to_string()])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin")
        .env("LANG", "C.UTF-8");
    if let Some(partition) = &slot.root {
        command = command.arg("--root-partition").arg(&partition.node);
    }
    let mut child = command.spawn()?;
    let deadline = Deadline::after(Some(FIRST_BOOT_LIMIT));
    let status = loop {
        watch.feed();
        if let Some(status) = child.wait(Some(FEED))? {
            break status;
        }
        if deadline.passed() {
            child.kill()?;
            bail!("failed to provision: not done after {} min", FIRST_BOOT_LIMIT.as_secs() / 60);
        }
    };
    watch.feed();
    if status.code() == Some(i32::from(super::FIRST_BOOT_FAILED)) {
        // It has told why on every console itself.
        tell("The machine restarts and tries again.\n");
        drop(child);
        restart();
    }
    if !status.success() {
        bail!("failed to provision: `{NODE} first-boot` ended with {status}");
    }
    mount::unmount(Path::new("/etc"), true)?;
    let _ = std::fs::remove_dir_all(etc);
    Ok(())
}

/// Moves the kernel's file systems into the root, enters it and becomes systemd.
fn hand_over() -> Result<Never> {
    let root = Path::new(SYSROOT);
    let systemd = root.join(SYSTEMD.trim_start_matches('/'));
    if !systemd.exists() {
        bail!("failed to hand over: expected systemd in /usr, found no `{SYSTEMD}`");
    }
    mount::unmount(Path::new(USR), true)?;
    for name in ["dev", "proc", "sys", "run"] {
        mount::move_to(&Path::new("/").join(name), &root.join(name))?;
    }
    note_moved("handing over to systemd", root);
    mount::switch_root(root)?;
    Err(Cmd::new(SYSTEMD).env_clear().exec().into())
}

/// A line for the kernel log after /dev has moved.
fn note_moved(text: &str, root: &Path) {
    if let Ok(mut kmsg) = File::options().write(true).open(root.join("dev/kmsg")) {
        let _ = std::io::Write::write_all(&mut kmsg, format!("<6>wellcar: {text}\n").as_bytes());
    }
}
