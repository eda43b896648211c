//! Where the image, QEMU and the firmware of the VM tests are. All of it comes by environment
//! variables that `cargo xtask ci` sets; each has a default for a run by hand.

use anyhow::{Context as _, Result, bail};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use vm::{Accelerator, Boot, Firmware, Qemu};

/// The image to test, raw; the unified kernel image lies beside it as `*.efi`.
pub const IMAGE: &str = "WELLCAR_TEST_IMAGE";
/// QEMU: a program or a wrapper script. Default: the one in the cache, then the one in PATH.
pub const QEMU: &str = "WELLCAR_TEST_QEMU";
/// A directory with `OVMF_CODE_4M.fd` and `OVMF_VARS_4M.fd`. Default: as for QEMU.
pub const FIRMWARE: &str = "WELLCAR_TEST_FIRMWARE";
/// `1`: a missing image or QEMU fails the run instead of skipping it.
pub const REQUIRE: &str = "WELLCAR_REQUIRE_ORACLES";

/// What the tests run with.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The image.
    pub image: PathBuf,
    /// The unified kernel image.
    pub uki: PathBuf,
    /// QEMU.
    pub qemu: Qemu,
    /// The firmware.
    pub firmware: Firmware,
    /// KVM where it works.
    pub accelerator: Accelerator,
}

impl Environment {
    /// Finds everything; `None` when no image is given.
    ///
    /// # Errors
    /// When an image is given and something that it needs is missing.
    pub fn find() -> Result<Option<Self>> {
        let Some(image) = std::env::var_os(IMAGE) else { return Ok(None) };
        let image = std::path::absolute(image)?;
        vm::image_format(&image)?;
        let uki = beside(&image)?;
        let (qemu, firmware) = qemu_and_firmware()?;
        let scratch = tempfile::tempdir()?;
        let accelerator = Accelerator::detect(&qemu, scratch.path(), Duration::from_secs(10))?;
        Ok(Some(Self { image, uki, qemu, firmware, accelerator }))
    }

    /// The image's kernel, to be started by QEMU itself, with `extra` at the end of its command
    /// line. The parts are written to `dir`.
    ///
    /// # Errors
    /// When the unified kernel image cannot be taken apart.
    pub fn direct_boot(&self, dir: &Path, extra: &str) -> Result<Boot> {
        let mut file = std::fs::File::open(&self.uki)?;
        let pe = formats::uki::Image::read(&mut file)?;
        let mut part = |section: &str, name: &str| -> Result<PathBuf> {
            let path = dir.join(name);
            std::fs::write(&path, pe.content(&mut file, section, 512 << 20)?)?;
            Ok(path)
        };
        let (kernel, initrd) = (part(".linux", "linux")?, part(".initrd", "initrd")?);
        let mut cmdline = pe.text(&mut file, ".cmdline", 64 << 10)?;
        if !extra.is_empty() {
            cmdline = format!("{cmdline} {extra}");
        }
        Ok(Boot::Direct { kernel, initrd: Some(initrd), cmdline })
    }
}

fn beside(image: &Path) -> Result<PathBuf> {
    let same = image.with_extension("efi");
    if same.is_file() {
        return Ok(same);
    }
    let dir = image.parent().unwrap_or(Path::new("."));
    let mut all: Vec<_> = std::fs::read_dir(dir)?.flatten().map(|entry| entry.path()).collect();
    all.retain(|path| path.extension() == Some("efi".as_ref()));
    match all.as_slice() {
        [one] => Ok(one.clone()),
        _ => bail!("expected one *.efi beside `{}`, found {}", image.display(), all.len()),
    }
}

fn qemu_and_firmware() -> Result<(Qemu, Firmware)> {
    if let Some(program) = std::env::var_os(QEMU) {
        let dir = std::env::var_os(FIRMWARE).map_or_else(|| PathBuf::from("/usr/share/OVMF"), PathBuf::from);
        return Ok((Qemu::installed(program), firmware_in(&dir)?));
    }
    if let Some(root) = unpacked_qemu() {
        let library = root.join("usr/lib/x86_64-linux-gnu");
        let mut command: Vec<OsString> = vec![
            library.join("ld-linux-x86-64.so.2").into(),
            "--inhibit-cache".into(),
            "--library-path".into(),
            library.into(),
            "--argv0".into(),
            "qemu-system-x86_64".into(),
            root.join("usr/bin/qemu-system-x86_64").into(),
        ];
        for data in ["usr/share/qemu", "usr/share/seabios"] {
            command.extend(["-L".into(), root.join(data).into()]);
        }
        let env = vec![("QEMU_MODULE_DIR".into(), root.join("no-modules").into())];
        return Ok((Qemu { command, env, data: None }, firmware_in(&root.join("usr/share/OVMF"))?));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = sys::process::find_program("qemu-system-x86_64", &path)
        .with_context(|| format!("failed to find QEMU: set {QEMU}, or run `wellcar run` once"))?;
    Ok((Qemu::installed(program), firmware_in(Path::new("/usr/share/OVMF"))?))
}

/// The newest QEMU that `wellcar` unpacked into its cache.
fn unpacked_qemu() -> Option<PathBuf> {
    let cache = std::env::var_os("WELLCAR_CACHE").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = home.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))?;
        Some(home.join("wellcar"))
    })?;
    let mut found: Vec<_> = std::fs::read_dir(cache.join("tools"))
        .ok()?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("qemu-"))
        .map(|entry| entry.path())
        .filter(|path| path.join("usr/bin/qemu-system-x86_64").is_file())
        .collect();
    found.sort_by_key(|path| path.metadata().and_then(|meta| meta.modified()).ok());
    found.pop()
}

fn firmware_in(dir: &Path) -> Result<Firmware> {
    let (code, vars) = (dir.join("OVMF_CODE_4M.fd"), dir.join("OVMF_VARS_4M.fd"));
    if !code.is_file() || !vars.is_file() {
        bail!("failed to find OVMF_CODE_4M.fd and OVMF_VARS_4M.fd in `{}`: set {FIRMWARE}", dir.display());
    }
    Ok(Firmware { code, vars, smm: false })
}
