//! `wellcar-node status`: what runs here, in which slot, how it was provisioned and whether it is healthy.

use crate::check::Format;
use provision::record::Record;
use serde::Serialize;
use serde_json::Value;
use std::io::Write as _;
use std::path::Path;

/// The report of a provisioning that failed; init keeps it there.
const FAILURES: [&str; 2] =
    ["/var/lib/wellcar/failed-provisioning.json", "/var/lib/wellcar/provision-failure.json"];
/// The most bytes of a record.
const LARGEST: u64 = 64 << 20;

/// Arguments of `wellcar-node status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How the result is printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// The whole answer.
#[derive(Debug, Serialize)]
struct Status {
    version: String,
    kernel: String,
    root_hash: Option<String>,
    slots: Vec<Slot>,
    boot: Boot,
    update: &'static str,
    provisioning: Provisioning,
    failed_units: Vec<String>,
    healthy: bool,
}

#[derive(Debug, Serialize)]
struct Slot {
    label: String,
    device: String,
    partition_uuid: String,
    running: bool,
}

/// The entry that booted, and whether it is blessed.
#[derive(Debug, Serialize)]
struct Boot {
    firmware: &'static str,
    entry: Option<String>,
    tries_left: Option<u32>,
}

#[derive(Debug, Serialize)]
struct Provisioning {
    done: bool,
    config_sha256: Option<String>,
    files: usize,
    users: usize,
    units: usize,
    last_failure: Option<Value>,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let status = gather();
    let mut out = std::io::stdout().lock();
    match args.format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&status)?)?,
        Format::Text => print(&status, &mut out)?,
    }
    Ok(u8::from(!status.healthy))
}

fn print(status: &Status, out: &mut impl std::io::Write) -> std::io::Result<()> {
    writeln!(out, "version       {} (kernel {})", status.version, status.kernel)?;
    for slot in &status.slots {
        let running = if slot.running { "  <- running" } else { "" };
        writeln!(out, "slot          {} {} {}{running}", slot.label, slot.device, slot.partition_uuid)?;
    }
    match (&status.boot.entry, status.boot.tries_left) {
        (Some(entry), Some(left)) => {
            writeln!(out, "boot          {entry}, not blessed yet, {left} tries left")?;
        }
        (Some(entry), None) => writeln!(out, "boot          {entry}, blessed")?,
        (None, _) => writeln!(out, "boot          {}", status.boot.firmware)?,
    }
    writeln!(out, "update        {}", status.update)?;
    let done = &status.provisioning;
    if done.done {
        writeln!(
            out,
            "provisioning  done: {} files, {} users, {} units",
            done.files, done.users, done.units
        )?;
    } else {
        writeln!(out, "provisioning  not finished")?;
    }
    if let Some(failure) = &done.last_failure {
        writeln!(out, "              an earlier boot failed:")?;
        let text = failure.get("text").and_then(Value::as_str).unwrap_or("(no text)");
        for line in text.lines() {
            writeln!(out, "              {line}")?;
        }
    }
    if status.healthy {
        writeln!(out, "health        ok")
    } else {
        writeln!(out, "health        failed units: {}", status.failed_units.join(", "))
    }
}

fn gather() -> Status {
    let text = |path: &str| sys::file::read_text(Path::new(path), 1 << 20).unwrap_or_default();
    let line = sys::cmdline::CommandLine::parse(&text("/proc/cmdline"));
    let root_hash = line.value("usrhash").map(str::to_owned);
    let release = text("/usr/lib/os-release");
    let version = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_ID="))
        .unwrap_or("unknown")
        .trim_matches('"');
    let failed_units = crate::check::failed_units();
    Status {
        version: version.to_owned(),
        kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
        slots: slots(root_hash.as_deref()),
        root_hash,
        boot: boot(),
        update: "no update agent in this version",
        provisioning: provisioning(),
        healthy: failed_units.is_empty(),
        failed_units,
    }
}

/// The USR partitions of all disks, from sysfs: what anybody may read.
fn slots(root_hash: Option<&str>) -> Vec<Slot> {
    let running = root_hash.and_then(|hash| hash.get(..32)).unwrap_or_default();
    let Ok(devices) = std::fs::read_dir("/sys/class/block") else { return Vec::new() };
    let mut slots: Vec<Slot> = devices
        .flatten()
        .filter_map(|device| {
            let text = sys::file::read_text(&device.path().join("uevent"), 64 << 10).ok()?;
            slot(&text, running)
        })
        .collect();
    slots.sort_by(|a, b| (&a.label, &a.device).cmp(&(&b.label, &b.device)));
    slots
}

/// The slot that a block device's uevent describes, if it is one.
fn slot(uevent: &str, running: &str) -> Option<Slot> {
    let field = |name: &str| uevent.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let label = field("PARTNAME").filter(|label| label.starts_with("USR-"))?;
    let uuid = field("PARTUUID")?;
    Some(Slot {
        label: label.to_owned(),
        device: format!("/dev/{}", field("DEVNAME")?),
        running: !running.is_empty() && uuid.replace('-', "").eq_ignore_ascii_case(running),
        partition_uuid: uuid.to_owned(),
    })
}

/// What the boot loader says (Boot Loader Interface: EFI variables under this vendor GUID).
fn boot() -> Boot {
    const VENDOR: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
    let dir = Path::new("/sys/firmware/efi/efivars");
    let variable = |name: &str| {
        let bytes = sys::file::read(&dir.join(format!("{name}-{VENDOR}")), 64 << 10).ok()?;
        let units: Vec<u16> =
            bytes.get(4..)?.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        Some(String::from_utf16_lossy(&units).trim_end_matches('\0').to_owned())
    };
    let entry = variable("LoaderEntrySelected");
    let counted = variable("LoaderBootCountPath").is_some();
    let tries_left = entry.as_deref().filter(|_| counted).and_then(tries_left);
    let firmware = if Path::new("/sys/firmware/efi").is_dir() {
        "UEFI, without a boot loader"
    } else {
        "kernel started directly"
    };
    Boot { firmware, entry, tries_left }
}

/// `name+LEFT[-DONE].efi` (Boot Loader Specification, boot counting).
fn tries_left(entry: &str) -> Option<u32> {
    let (_, counter) = entry.strip_suffix(".efi").unwrap_or(entry).rsplit_once('+')?;
    counter.split('-').next()?.parse().ok()
}

fn provisioning() -> Provisioning {
    let record: Option<Record> = sys::file::read(Path::new(provision::record::PATH), LARGEST)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let last_failure = FAILURES
        .iter()
        .find_map(|path| sys::file::read(Path::new(path), LARGEST).ok())
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    Provisioning {
        done: record.as_ref().is_some_and(|record| record.finished),
        config_sha256: record.as_ref().map(|record| record.config_sha256.clone()),
        files: record.as_ref().map_or(0, |record| record.nodes.len()),
        users: record.as_ref().map_or(0, |record| record.users.len()),
        units: record.as_ref().map_or(0, |record| record.units.len()),
        last_failure,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_running_slot() {
        let text = "DEVNAME=vda3\nDEVTYPE=partition\nPARTN=3\nPARTNAME=USR-A\nPARTUUID=0011aabb-2233-4455-6677-8899aabbccdd\n";
        let slot = super::slot(text, "0011aabb2233445566778899aabbccdd").unwrap();
        assert!(slot.running);
        assert_eq!(slot.device, "/dev/vda3");
        assert!(super::slot("DEVNAME=vda\n", "00").is_none());
    }

    #[test]
    fn boot_tries_of_an_entry() {
        assert_eq!(super::tries_left("wellcar_2026.11.0+2-1.efi"), Some(2));
        assert_eq!(super::tries_left("wellcar_2026.11.0.efi"), None);
    }
}
