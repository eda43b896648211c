//! What a machine is made from: QEMU, firmware, an SSH client, an image, and for a direct boot
//! the parts of the image's kernel.

use super::Args;
use crate::cmd::image::build;
use crate::failure::Failure;
use crate::tools::{Tool, Tools};
use crate::ui::Ui;
use anyhow::Context as _;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use vm::{Boot, Firmware, Qemu};

/// The most that a section of a unified kernel image may have here, in bytes.
const SECTION: u64 = 512 << 20;

/// Finds or makes what a machine needs.
#[derive(Debug)]
pub struct Workshop {
    tools: Tools,
    image: PathBuf,
}

impl Workshop {
    /// Fetches the tools that the host lacks, and builds the image if there is none.
    pub fn open(args: &Args, ui: Ui) -> Result<Self, Failure> {
        let image = match &args.image {
            Some(image) => super::absolute(image)?,
            None => build::ensure_image(ui)?,
        };
        vm::image_format(&image)?;
        let tools = build::ensure_tools(&[Tool::QemuSystem, Tool::Ssh], ui)?;
        Ok(Self { tools, image })
    }

    /// The program that is the machine, and its firmware.
    pub fn qemu(&self) -> Result<(Qemu, Firmware), Failure> {
        Ok(self.tools.qemu().context("failed to find QEMU and its firmware")?)
    }

    /// The SSH client's command.
    pub fn ssh(&self) -> Result<Vec<OsString>, Failure> {
        let command = self.tools.command(Tool::Ssh).context("failed to find an SSH client")?;
        Ok(command.argv())
    }

    /// The image.
    pub fn image(&self) -> Result<PathBuf, Failure> {
        Ok(self.image.clone())
    }
}

/// Takes the unified kernel image beside `image` apart, for QEMU's own boot loader.
pub fn direct_boot(image: &Path, dir: &Path) -> Result<Boot, Failure> {
    let uki = beside(image)?;
    let parts = || -> anyhow::Result<Boot> {
        let mut file = File::open(&uki)?;
        let pe = formats::uki::Image::read(&mut file)?;
        let mut part = |section: &str, name: &str| -> anyhow::Result<PathBuf> {
            let path = dir.join(name);
            std::fs::write(&path, pe.content(&mut file, section, SECTION)?)?;
            Ok(path)
        };
        let (kernel, initrd) = (part(".linux", "linux")?, part(".initrd", "initrd")?);
        let cmdline = pe.text(&mut file, ".cmdline", 64 << 10)?;
        Ok(Boot::Direct { kernel, initrd: Some(initrd), cmdline })
    };
    Ok(parts().with_context(|| format!("failed to take `{}` apart", uki.display()))?)
}

/// The unified kernel image that lies beside a disk image: of the same name, or the only one.
fn beside(image: &Path) -> Result<PathBuf, Failure> {
    let same = image.with_extension("efi");
    if same.is_file() {
        return Ok(same);
    }
    let dir = image.parent().unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(dir).with_context(|| format!("failed to read `{}`", dir.display()))?;
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension() == Some("efi".as_ref()))
        .collect();
    match (found.pop(), found.pop()) {
        (Some(uki), None) => Ok(uki),
        (first, _) => {
            let count = if first.is_some() { "more than one" } else { "none" };
            Err(Failure::work(
                anyhow::anyhow!(
                    "failed to boot `{}` directly: expected one unified kernel image (*.efi) beside it, found {count}",
                    image.display()
                ),
                "--firmware uefi needs the disk image alone",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_beside_an_image() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("wellcar.raw");
        let make = |name: &str| std::fs::write(dir.path().join(name), b"").unwrap();
        assert!(beside(&image).is_err());
        make("other.efi");
        assert!(beside(&image).unwrap().ends_with("other.efi"));
        make("third.efi");
        assert!(beside(&image).is_err());
        make("wellcar.efi");
        assert!(beside(&image).unwrap().ends_with("wellcar.efi"));
    }
}
