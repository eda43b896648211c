//! What remains of a first boot that failed: the message on the consoles, and a file where the operator
//! and the next boot find it.

use super::firstboot::StageFailed;
use super::layout::{self, SYSROOT};
use super::plan::partition_node;
use anyhow::{Error, Result};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;
use sys::block::signature::{self, Content};
use sys::mount::{self, Mount};

/// The report of a provisioning that failed; below the machine's root.
pub const FAILED: &str = "var/lib/wellcar/failed-provisioning.json";
const OEM_NUMBER: u32 = 6;
const ESP_NUMBER: u32 = 1;
const PLACE: &str = "/run/wellcar/failed";
const NAME: &str = "failed-provisioning.json";

/// The message for the consoles.
#[must_use]
pub fn message(error: &Error, kept: Option<&str>, pause: Duration) -> String {
    let mut text = String::from("\n*** Wellcar: provisioning failed ***\n");
    match error.downcast_ref::<StageFailed>() {
        Some(failed) if !failed.text.is_empty() => {
            text.push_str(&format!("{}\n(stage `{}`, {})\n", failed.text, failed.stage, failed.outcome));
        }
        _ => {
            text.push_str(&format!("{error}\n"));
            for cause in error.chain().skip(1) {
                text.push_str(&format!("  because: {cause}\n"));
            }
        }
    }
    if let Some(place) = kept {
        text.push_str(&format!("This report is kept in {place}.\n"));
    }
    text.push_str(&format!(
        "Nothing was started. The machine restarts in {} s and provisions again from the beginning, with\n\
         the configuration it then finds: correct it there, and nothing else needs to be done.\n",
        pause.as_secs()
    ));
    text
}

/// Keeps the report on ROOT, else on OEM, else on the ESP; gives the place in words for the message.
#[must_use]
pub fn failure(disk: &Path, root: Option<&Path>, error: &Error) -> Option<String> {
    let json = as_json(error);
    let sysroot = Path::new(SYSROOT);
    if mount::is_mounted(sysroot) && write(sysroot, FAILED, &json).is_ok() {
        return Some(format!("/{FAILED} on ROOT"));
    }
    if let Some(node) = root
        && let Ok(()) = on_device(node, FAILED, &json)
    {
        return Some(format!("/{FAILED} on ROOT"));
    }
    for (number, label) in [(OEM_NUMBER, "OEM"), (ESP_NUMBER, "EFI-SYSTEM")] {
        if let Some(node) = partition_node(disk, number)
            && let Ok(()) = on_device(&node, NAME, &json)
        {
            return Some(format!("/{NAME} on the partition {label}"));
        }
    }
    None
}

/// The provisioning's own report, or one made of the error.
fn as_json(error: &Error) -> Vec<u8> {
    if let Some(StageFailed { json: Some(json), .. }) = error.downcast_ref::<StageFailed>() {
        return json.clone();
    }
    let failed = error.downcast_ref::<StageFailed>();
    let causes: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
    let value = serde_json::json!({
        "stage": failed.map_or("first-boot", |failed| failed.stage),
        "message": error.to_string(),
        "causes": causes,
        "text": failed.map_or_else(|| format!("{error:#}"), |failed| failed.text.clone()),
    });
    let mut bytes = value.to_string().into_bytes();
    bytes.push(b'\n');
    bytes
}

fn on_device(node: &Path, name: &str, json: &[u8]) -> Result<()> {
    let file = File::open(node)?;
    let kind = match signature::probe(&file, sys::block::size(&file)?)? {
        Content::Filesystem { kind, .. } => kind,
        Content::Unknown if is_fat32(&file)? => "vfat",
        Content::Unknown | Content::Luks | Content::Raid | Content::Lvm => {
            anyhow::bail!("failed to find a file system on `{}`", node.display())
        }
    };
    drop(file);
    layout::need_filesystem(kind)?;
    let place = PathBuf::from(PLACE);
    layout::make_dir(&place, 0o700)?;
    let device = node.to_string_lossy();
    Mount::new(&device, kind, &place).mount()?;
    let written = write(&place, name, json);
    mount::unmount(&place, false)?;
    written
}

/// Whether the boot sector is that of FAT32, which the ESP has.
fn is_fat32(file: &File) -> std::io::Result<bool> {
    let mut sector = [0; 512];
    std::os::unix::fs::FileExt::read_exact_at(file, &mut sector, 0)?;
    Ok(sector[82..87] == *b"FAT32" && sector[510..] == [0x55, 0xaa])
}

fn write(root: &Path, name: &str, json: &[u8]) -> Result<()> {
    let path = root.join(name);
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    Ok(sys::file::replace(&path, json, 0o600)?)
}

#[cfg(test)]
mod tests {
    use super::{as_json, message, write};
    use crate::init::firstboot::StageFailed;
    use std::time::Duration;

    fn failed(json: Option<Vec<u8>>) -> anyhow::Error {
        let text = "error: no such disk\n  at config.yaml:3:5".to_owned();
        StageFailed { stage: "disks", outcome: "exit status: 3".into(), text, json }.into()
    }

    #[test]
    fn the_consoles_get_the_report_and_what_happens_next() {
        let text = message(&failed(None), Some("/x on ROOT"), Duration::from_secs(60));
        assert!(text.starts_with(
            "\n*** Wellcar: provisioning failed ***\nerror: no such disk\n  at config.yaml:3:5\n"
        ));
        assert!(text.contains("(stage `disks`, exit status: 3)\nThis report is kept in /x on ROOT.\n"));
        assert!(text.contains("restarts in 60 s"));
        let other = message(&anyhow::anyhow!("b").context("a"), None, Duration::from_secs(1));
        assert!(other.contains("\na\n  because: b\nNothing was started."), "{other}");
    }

    #[test]
    fn the_kept_report_is_provisionings_own_or_made() {
        assert_eq!(as_json(&failed(Some(b"{}".to_vec()))), b"{}");
        let value: serde_json::Value = serde_json::from_slice(&as_json(&failed(None))).unwrap();
        assert_eq!(value["stage"], "disks");
        assert_eq!(value["text"], "error: no such disk\n  at config.yaml:3:5");
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "a/b/c.json", b"x").unwrap();
        assert_eq!(std::fs::read(dir.path().join("a/b/c.json")).unwrap(), b"x");
    }
}
