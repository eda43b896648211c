//! Finding tools: on a host made of scripts, and from a closure made of files.

use super::*;
use compose::repo::Lock;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

/// A lock with one package in each closure.
fn lock() -> Lock {
    let package = |name: &str, version: &str, set: &str| {
        format!(
            "[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{name}\"\nsource-version = \"{version}\"\n\
             architecture = \"amd64\"\narchive = \"main\"\nsuite = \"trixie\"\npath = \"pool/main/x/{name}.deb\"\nsize = 1\n\
             sha256 = \"{}\"\ninstalled-size-kib = 1\nwhy = \"tools.toml\"\nsets = [\"{set}\"]\n",
            "ab".repeat(32)
        )
    };
    let packages =
        package("erofs-utils", "1.8.6-1", "mkfs") + &package("qemu-system-x86", "1:10.0.13+ds-0", "qemu");
    Lock::parse(&format!("format = 1\narchitecture = \"amd64\"\n{packages}")).unwrap()
}

/// A host whose program `name` says `version`.
fn host(name: &str, version: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, format!("#!/bin/sh\necho '{version}'\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

fn no_download(_: &[LockedPackage]) -> Result<Vec<PathBuf>, Box<dyn std::error::Error + Send + Sync>> {
    Err("no network".into())
}

/// Puts files where an earlier call would have unpacked a closure.
fn unpacked(closure: Closure, context: &ToolContext<'_>, files: &[&str]) -> PathBuf {
    let key = Tools::closure_key(closure, context).unwrap();
    let root = context.cache.join("tools").join(format!("{}-{key}", closure.name()));
    for file in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    root
}

#[test]
fn a_program_of_the_locked_version_is_taken_from_the_host() {
    let (cache, lock) = (tempfile::tempdir().unwrap(), lock());
    let host = host("mkfs.erofs", "mkfs.erofs (erofs-utils) 1.8.6");
    let context = ToolContext {
        cache: cache.path(),
        lock: &lock,
        download: &no_download,
        path: host.path().as_os_str(),
    };
    let tools = Tools::ensure(&[Tool::MkfsErofs], &context).unwrap();
    let command = tools.command(Tool::MkfsErofs).unwrap();
    assert_eq!(command.argv(), [host.path().join("mkfs.erofs")]);
    assert_eq!(tools.command(Tool::QemuSystem), None);
    assert!(tools.qemu().is_none());
}

#[test]
fn another_version_is_left_for_the_pinned_packages() {
    let (cache, lock) = (tempfile::tempdir().unwrap(), lock());
    let host = host("mkfs.erofs", "mkfs.erofs 1.5");
    let context = ToolContext {
        cache: cache.path(),
        lock: &lock,
        download: &no_download,
        path: host.path().as_os_str(),
    };
    let error = Tools::ensure(&[Tool::MkfsErofs], &context).unwrap_err();
    assert!(matches!(error, ToolError::Download { closure: "mkfs", .. }), "{error}");

    let root = unpacked(Closure::Mkfs, &context, &["usr/bin/mkfs.erofs"]);
    let tools = Tools::ensure(&[Tool::MkfsErofs], &context).unwrap();
    let argv = tools.command(Tool::MkfsErofs).unwrap().argv();
    assert_eq!(argv.first().unwrap(), root.join(LOADER).as_os_str());
    assert_eq!(argv.last().unwrap(), root.join("usr/bin/mkfs.erofs").as_os_str());
}

#[test]
fn qemu_of_the_packages_comes_with_its_roms_and_firmware() {
    let (cache, lock) = (tempfile::tempdir().unwrap(), lock());
    let context =
        ToolContext { cache: cache.path(), lock: &lock, download: &no_download, path: OsStr::new("") };
    let root = unpacked(Closure::Qemu, &context, &["usr/bin/qemu-system-x86_64"]);
    let error = Tools::ensure(&[Tool::QemuSystem], &context).unwrap_err();
    assert!(matches!(error, ToolError::Incomplete { closure: "qemu", .. }), "{error}");

    unpacked(Closure::Qemu, &context, &["usr/share/OVMF/OVMF_CODE_4M.fd", "usr/share/OVMF/OVMF_VARS_4M.fd"]);
    let tools = Tools::ensure(&[Tool::QemuSystem], &context).unwrap();
    let (qemu, firmware) = tools.qemu().unwrap();
    assert!(qemu.command.iter().any(|arg| arg == root.join("usr/share/seabios").as_os_str()));
    assert!(qemu.env.iter().any(|(name, _)| name == "QEMU_MODULE_DIR"));
    assert_eq!(firmware.code, root.join("usr/share/OVMF/OVMF_CODE_4M.fd"));
}

#[test]
fn mke2fs_never_reads_the_hosts_defaults() {
    assert_eq!(Tool::Mke2fs.env()[0].0, "MKE2FS_CONFIG");
}

#[test]
fn a_closure_that_is_not_locked_is_named() {
    let (cache, lock) = (tempfile::tempdir().unwrap(), lock());
    let context =
        ToolContext { cache: cache.path(), lock: &lock, download: &no_download, path: OsStr::new("") };
    let error = Tools::ensure(&[Tool::Ssh], &context).unwrap_err();
    assert_eq!(error.to_string(), "failed to find the closure `ssh` in `os/tools.lock`");
}
