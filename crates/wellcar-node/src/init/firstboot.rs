//! `wellcar-node first-boot`: started by `/init` when the machine has no provisioned root. Runs in the
//! initramfs with the verified /usr and the image's /etc in place: starts udev, runs the stages of the
//! provisioning one after the other, and leaves ROOT whole at /sysroot. Also puts together a ROOT that
//! was provisioned already but lies in a RAID array or a LUKS volume.
//!
//! A failure is told on every console with what to do about it, and kept for the operator; then `/init`
//! restarts the machine. Never a shell.

use super::layout::{self, RUN, STAMP, SYSROOT};
use super::network::Network;
use super::{FIRST_BOOT_FAILED, keep, plan, service};
use anyhow::{Context as _, Result, bail};
use plan::{Platform, RootDevice, Stage};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use sys::block::signature::{self, Content};
use sys::cmdline::CommandLine;
use sys::console::{self, Level};
use sys::mount::{self, Mount};
use sys::process::{Child, Cmd};
use sys::wait::{Deadline, rest_until};

/// How long udev may take for all devices.
const SETTLE: Duration = Duration::from_secs(120);
/// How long a failure stays on the consoles before the restart; also the pause between two tries.
const PAUSE: Duration = Duration::from_secs(60);
/// How long udev may take until it listens.
const STARTED: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(5);
const OEM: &str = "/oem";
const OEM_NUMBER: u32 = 6;

/// What `/init` found out already.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Why this is not an ordinary boot.
    #[arg(long)]
    reason: String,
    /// The disk with the slot that is running.
    #[arg(long)]
    disk: PathBuf,
    /// ROOT on that disk.
    #[arg(long)]
    root_partition: Option<PathBuf>,
    /// Root hash of the running /usr.
    #[arg(long)]
    usr_hash: String,
}

/// Runs the first boot.
pub fn run(args: &Args) -> ExitCode {
    let result = Machine::start(args).and_then(|machine| {
        let result = machine.provision();
        machine.stop();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let kept = keep::failure(&args.disk, args.root_partition.as_deref(), &error);
            tell(&keep::message(&error, kept.as_deref(), PAUSE));
            let _ = rest_until(&Deadline::after(Some(PAUSE)));
            ExitCode::from(FIRST_BOOT_FAILED)
        }
    }
}

/// Tells the operator on every console and in the kernel log.
fn tell(text: &str) {
    console::log(Level::Error, "wellcar", text.trim());
    console::write_all(text);
}

/// One line about what is being done, on the consoles.
fn progress(text: &str) {
    console::write_all(&format!("wellcar: {text}\n"));
}

/// A stage of the provisioning that failed; its own report has the details.
#[derive(Debug, thiserror::Error)]
#[error("failed to provision: stage `{stage}` ended with {outcome}")]
pub struct StageFailed {
    /// The stage's name.
    pub stage: &'static str,
    /// How its process ended.
    pub outcome: String,
    /// The rendered report, or what the process wrote last.
    pub text: String,
    /// The report as JSON, when there is one.
    pub json: Option<Vec<u8>>,
}

struct Machine<'a> {
    args: &'a Args,
    line: CommandLine,
    udev: Child,
}

impl<'a> Machine<'a> {
    /// Starts udev and waits until it has seen every device; mounts OEM.
    fn start(args: &'a Args) -> Result<Self> {
        let text = sys::file::read_text(Path::new("/proc/cmdline"), 64 << 10)
            .context("failed to read the kernel command line")?;
        move_clock_forward();
        // The config's source on QEMU; elsewhere there is no such hardware.
        let _ = layout::load_module("qemu_fw_cfg");
        let udev = service::start("/usr/lib/systemd/systemd-udevd", STARTED)?;
        let machine = Self { args, line: CommandLine::parse(&text), udev };
        Cmd::new("udevadm").args(["trigger", "--action=add"]).timeout(SETTLE).run()?;
        machine.settle()?;
        machine.mount_oem();
        Ok(machine)
    }

    fn settle(&self) -> Result<()> {
        let limit = format!("--timeout={}", SETTLE.as_secs());
        Cmd::new("udevadm").arg("settle").arg(limit).timeout(SETTLE + GRACE).run()?;
        Ok(())
    }

    /// OEM is optional: what it would have said is missing from the config, and nothing else.
    fn mount_oem(&self) {
        let Some(node) = plan::partition_node(&self.args.disk, OEM_NUMBER) else { return };
        let Ok(Content::Filesystem { kind, .. }) = probe(&node) else { return };
        let mounted = layout::need_filesystem(kind).and_then(|()| {
            layout::make_dir(Path::new(OEM), 0o755)?;
            let device = node.to_string_lossy();
            let flags = rustix::mount::MountFlags::RDONLY
                | rustix::mount::MountFlags::NODEV
                | rustix::mount::MountFlags::NOSUID;
            Ok(Mount::new(&device, kind, Path::new(OEM)).flags(flags).mount()?)
        });
        if let Err(error) = mounted {
            console::log(Level::Warning, "wellcar", &format!("going on without OEM: {error:#}"));
        }
    }

    fn provision(&self) -> Result<()> {
        let forced = self.args.reason == super::decide::Reason::Forced.word();
        if !forced && self.assembled_root()? {
            progress("ROOT is put together");
            return Ok(());
        }
        let firmware_config = Path::new("/sys/firmware/qemu_fw_cfg").exists();
        let platform = Platform::choose(&self.line, firmware_config);
        progress(&format!("first boot, platform {platform}"));
        let neednet = Path::new(RUN).join("neednet");
        let mut network = None;
        for stage in Stage::ALL {
            match stage {
                Stage::Fetch if !neednet.exists() => continue,
                Stage::Fetch => {
                    progress("waiting for the network");
                    network = Some(Network::start()?);
                }
                Stage::Mount => self.mount_root()?,
                Stage::FetchOffline | Stage::Kargs | Stage::Disks | Stage::Files | Stage::Umount => {}
            }
            self.run_stage(stage, &platform)?;
        }
        drop(network);
        let failed = Path::new(SYSROOT).join(keep::FAILED);
        if failed.exists() {
            let _ = std::fs::remove_file(failed);
        }
        progress("provisioned");
        Ok(())
    }

    /// Runs one stage as a process of its own, its words going to the kernel log.
    fn run_stage(&self, stage: Stage, platform: &Platform) -> Result<()> {
        progress(stage.says());
        let report = Path::new(RUN).join("report.json");
        let _ = std::fs::remove_file(&report);
        let output = Cmd::new(layout::NODE)
            .args(stage.arguments(platform))
            .arg("--report")
            .arg(&report)
            .env("WELLCAR_SYSTEM_DISK", &self.args.disk)
            .run_any()?;
        console::log(Level::Info, "provision", &String::from_utf8_lossy(&output.stdout));
        if output.status.success() {
            return Ok(());
        }
        let words =
            String::from_utf8_lossy(if output.stderr.is_empty() { &output.stdout } else { &output.stderr });
        let json = sys::file::read(&report, 4 << 20).ok();
        Err(StageFailed {
            stage: stage.name(),
            outcome: output.status.to_string(),
            text: words.trim().to_owned(),
            json,
        }
        .into())
    }

    /// Mounts ROOT as the disks stage left it and completes it, so that files land in their real place.
    fn mount_root(&self) -> Result<()> {
        self.settle()?;
        let mut devices = Vec::new();
        if let Some(node) = &self.args.root_partition {
            devices.push(RootDevice { node: node.clone(), content: probe(node)?, assembled: false });
        }
        devices.extend(assembled_devices()?);
        let by_label = Path::new("/dev/disk/by-label/ROOT");
        if let Ok(node) = std::fs::canonicalize(by_label) {
            devices.push(RootDevice { content: probe(&node)?, node, assembled: false });
        }
        let Some((node, kind)) = plan::choose_root(&devices) else {
            bail!("failed to find ROOT: expected a file system on its partition or one labelled `ROOT`");
        };
        layout::mount_root(node, kind, Path::new(SYSROOT))?;
        layout::complete_root(Path::new(SYSROOT))
    }

    /// Puts together a ROOT that is provisioned already, if there is one, and mounts it at /sysroot.
    fn assembled_root(&self) -> Result<bool> {
        if let Some(node) = &self.args.root_partition
            && probe(node)? == Content::Luks
        {
            unlock(node)?;
            self.settle()?;
        }
        for device in assembled_devices()? {
            let Content::Filesystem { kind, .. } = device.content else { continue };
            layout::mount_root(&device.node, kind, Path::new(SYSROOT))?;
            if Path::new(SYSROOT).join(STAMP).is_file() {
                return Ok(true);
            }
            mount::unmount(Path::new(SYSROOT), false)?;
        }
        Ok(false)
    }

    fn stop(mut self) {
        if mount::is_mounted(Path::new(OEM)) {
            let _ = mount::unmount(Path::new(OEM), false);
        }
        let _ = Cmd::new("udevadm").args(["info", "--cleanup-db"]).timeout(GRACE).run();
        let _ = self.udev.stop(GRACE);
    }
}

/// Unlocks a LUKS ROOT with what the machine itself has: a TPM. Nothing is ever wiped because it does
/// not open.
fn unlock(node: &Path) -> Result<()> {
    let tool = "/usr/lib/systemd/systemd-cryptsetup";
    if !Path::new(tool).exists() {
        bail!("failed to unlock ROOT `{}`: there is no `{tool}` in this image", node.display());
    }
    Cmd::new(tool)
        .args(["attach", "root"])
        .arg(node)
        .args(["none", "luks,tpm2-device=auto,headless=true"])
        .timeout(SETTLE)
        .run()
        .with_context(|| format!("failed to unlock ROOT `{}`", node.display()))?;
    Ok(())
}

/// Arrays and mapped devices (but /usr itself) that carry the label ROOT.
fn assembled_devices() -> Result<Vec<RootDevice>> {
    let disks = sys::block::disks(Path::new("/sys"), Path::new("/dev"))?;
    let mut found = Vec::new();
    for disk in disks.into_iter().filter(|disk| disk.name.starts_with("md") || disk.name.starts_with("dm-")) {
        let Ok(content) = probe(&disk.node) else { continue };
        if matches!(&content, Content::Filesystem { label, .. } if label == "ROOT") {
            found.push(RootDevice { node: disk.node, content, assembled: true });
        }
    }
    Ok(found)
}

fn probe(node: &Path) -> Result<Content> {
    let look = || {
        let file = File::open(node)?;
        signature::probe(&file, sys::block::size(&file)?)
    };
    look().with_context(|| format!("failed to look at `{}`", node.display()))
}

/// A clock before the image was built is wrong, and certificates would not be valid yet.
fn move_clock_forward() {
    let built = std::fs::metadata("/usr/lib/os-release").and_then(|meta| meta.modified());
    if let Ok(built) = built
        && sys::clock::not_before(built).is_ok_and(|moved| moved)
    {
        console::log(
            Level::Warning,
            "wellcar",
            "the clock was before the build of this image: moved forward",
        );
    }
}
