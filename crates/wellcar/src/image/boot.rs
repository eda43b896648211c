//! What the firmware starts: the unified kernel image and the EFI system partition around it.

use super::identity;
use anyhow::Context as _;
use compose::assemble::Assembly;
use compose::distribution::Distribution;
use formats::{fat, uki, verity};
use std::io::{Seek, Write};

/// Boot tries of a fresh entry: the Boot Loader Specification's boot counting.
const TRIES: u32 = 3;

/// systemd-boot's settings: no menu, no editor; it picks the newest entry that has tries left.
const LOADER_CONF: &str = "timeout 0\neditor no\nauto-entries no\nauto-firmware no\n";

/// The kernel command line of an image.
pub fn cmdline(os: &Distribution, root: &verity::RootHash) -> String {
    format!("usrhash={root} {}", os.image.kernel.cmdline.join(" "))
}

/// The name of a release's entry on the ESP, with its boot tries.
pub fn entry_name(version: &str) -> String {
    format!("wellcar_{version}+{TRIES}.efi")
}

/// Composes the UKI.
pub fn uki(
    os: &Distribution,
    assembly: &Assembly,
    initramfs: &[u8],
    cmdline: &str,
) -> anyhow::Result<Vec<u8>> {
    let release = assembly
        .tree
        .file("usr/lib/os-release")
        .context("failed to find `usr/lib/os-release` in the tree")?;
    let parts = uki::Parts {
        os_release: std::str::from_utf8(release)?,
        cmdline,
        uname: &assembly.modules.release,
        initrd: initramfs,
        linux: &assembly.kernel,
    };
    uki::build(&assembly.stub, &parts)
        .with_context(|| format!("failed to build the unified kernel image of {}", os.image.product.version))
}

/// Writes the EFI system partition at the output's position; gives the bytes that its files take.
pub fn esp(
    out: &mut (impl Write + Seek),
    size: u64,
    hidden_sectors: u32,
    epoch: u64,
    assembly: &Assembly,
    uki: &[u8],
    version: &str,
) -> anyhow::Result<u64> {
    let id = identity::uuid(&[b"esp", version.as_bytes()]);
    let (volume_id, _, _, _) = id.as_fields();
    let used = assembly.boot_loader.len() as u64 * 2 + uki.len() as u64 + LOADER_CONF.len() as u64;
    let mut builder = fat::Builder::new(fat::Params {
        size,
        volume_id,
        label: "EFI-SYSTEM".into(),
        time: epoch,
        hidden_sectors,
    });
    builder.bytes("EFI/BOOT/BOOTX64.EFI", &assembly.boot_loader)?;
    builder.bytes("EFI/systemd/systemd-bootx64.efi", &assembly.boot_loader)?;
    builder.bytes("loader/loader.conf", LOADER_CONF.as_bytes())?;
    builder.bytes(&format!("EFI/Linux/{}", entry_name(version)), uki)?;
    builder.write(out).context("failed to write the EFI system partition")?;
    Ok(used)
}
