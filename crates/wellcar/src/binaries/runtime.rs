//! Builds the OCI runtime that `os/runtime.toml` pins, from the registry that cargo uses.
//!
//! The pinned SHA-256 is that of the crate's file, which carries the lock with the checksums of all its
//! dependencies; cargo is told to keep to it. The libraries it is linked against are pinned packages, so that
//! nothing but the Rust toolchain is needed on the host.

use super::cargo::{self, Job, RECIPE, TARGET, Toolchain};
use super::{BinariesContext, BinariesError, file_error, sources};
use crate::tools::{Closure, Tools};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file that pins the runtime.
const PINNED: &str = include_str!("../../../../os/runtime.toml");

/// Which source the OCI runtime of the image is built from.
#[derive(Debug, Clone, Deserialize)]
pub struct RuntimeSource {
    /// The crate's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The SHA-256 of its `.crate` file, in hex.
    pub sha256: String,
    /// The features it is built with.
    pub features: Vec<String>,
}

impl RuntimeSource {
    /// The pinned runtime.
    ///
    /// # Errors
    /// `os/runtime.toml` is not as it must be.
    pub fn pinned() -> Result<Self, BinariesError> {
        toml::from_str(PINNED).map_err(|error: toml::de::Error| BinariesError::Data {
            path: "os/runtime.toml".into(),
            reason: error.message().to_owned(),
        })
    }

    /// The name of the crate's file.
    fn file(&self) -> String {
        format!("{}-{}.crate", self.name, self.version)
    }
}

/// Builds the runtime, or takes what an earlier call built.
///
/// # Errors
/// The registry gives another file than the pinned one; a library that cannot be had; a build that fails.
pub fn build(toolchain: &Toolchain, context: &BinariesContext<'_>) -> Result<PathBuf, BinariesError> {
    let source = RuntimeSource::pinned()?;
    let libraries = Tools::closure_key(Closure::Runtime, context.tools)
        .map_err(|error| BinariesError::Libraries(Box::new(error)))?;
    let mut hash = Sha256::new();
    for text in [RECIPE, PINNED, &libraries, &toolchain.version] {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    let home = context.cache.join("binaries").join(format!("runtime-{}", sources::hex(&hash.finalize())));
    let binary = home.join(&source.name);
    if binary.is_file() {
        return Ok(binary);
    }
    let unpacked = Tools::unpack(Closure::Runtime, context.tools)
        .map_err(|error| BinariesError::Libraries(Box::new(error)))?;
    verify(&source, toolchain)?;
    (context.say)(&format!("building {} {} …", source.name, source.version));
    let target_dir = cargo::target_dir(context.cache, &source.name)?;
    let install = target_dir.join("installed");
    let job = Job {
        what: &source.name,
        args: install_args(&source, &install, &unpacked),
        // The libraries are newer than the host's C library may be; what they need is in the image.
        flags: &["-Clink-arg=-Wl,--allow-shlib-undefined"],
        target_dir: &target_dir,
        env: vec![
            ("LIBSECCOMP_LIB_PATH", unpacked.join("usr/lib/x86_64-linux-gnu").into_os_string()),
            ("LIBSECCOMP_LINK_TYPE", "dylib".into()),
            ("LIBSECCOMP_NO_PKG_CONFIG", "1".into()),
            ("VERGEN_IDEMPOTENT", "1".into()),
            ("VERGEN_GIT_SHA", source.sha256.get(..12).unwrap_or_default().into()),
        ],
    };
    toolchain.run(job)?;
    cargo::keep(&home, &[(&install.join("bin").join(&source.name), &source.name)])?;
    Ok(binary)
}

/// The arguments of `cargo install`. The bindings' own build of libbpf is replaced by the packaged library.
fn install_args(source: &RuntimeSource, install: &Path, libraries: &Path) -> Vec<OsString> {
    let version = format!("={}", source.version);
    let features = source.features.join(",");
    let fixed = [
        "install",
        &source.name,
        "--version",
        &version,
        "--locked",
        "--force",
        "--no-track",
        "--no-default-features",
        "--features",
        &features,
        "--target",
        TARGET,
        "--root",
    ];
    let mut args: Vec<OsString> = fixed.iter().map(OsString::from).collect();
    args.push(install.into());
    let search = libraries.join("usr/lib/x86_64-linux-gnu");
    let search = cargo::toml_string(&format!("native={}", search.display()));
    args.extend(cargo::config(&[
        ("profile.release.opt-level", "\"s\"".to_owned()),
        ("profile.release.codegen-units", "4".to_owned()),
        ("profile.release.lto", "\"thin\"".to_owned()),
        ("profile.release.strip", "true".to_owned()),
        (&format!("target.{TARGET}.bpf.rustc-link-lib"), "[\"bpf\"]".to_owned()),
        (&format!("target.{TARGET}.bpf.rustc-link-search"), format!("[{search}]")),
    ]));
    args
}

/// Has cargo fetch the crate, and checks that it is the pinned one, before a line of it is run.
fn verify(source: &RuntimeSource, toolchain: &Toolchain) -> Result<(), BinariesError> {
    let name = source.file();
    let mut found = in_registry(&toolchain.cargo_home, &name)?;
    if found.is_empty() {
        let package = format!("{}@{}", source.name, source.version);
        // Outside of the workspace: there cargo would ask the lock file for the package.
        let fetch = cargo::clean("cargo")
            .args(["info", "--quiet", &package])
            .cwd("/")
            .timeout(Duration::from_secs(600));
        fetch.run().map_err(|error| BinariesError::Build { what: package, source: error })?;
        found = in_registry(&toolchain.cargo_home, &name)?;
    }
    match found.iter().find(|digest| **digest != source.sha256) {
        None if !found.is_empty() => Ok(()),
        other => Err(BinariesError::Checksum {
            name,
            expected: source.sha256.clone(),
            found: other.map_or_else(|| "no such file".to_owned(), Clone::clone),
        }),
    }
}

/// The SHA-256 of each copy of a crate's file in cargo's cache; there is one for each registry or mirror.
fn in_registry(cargo_home: &Path, name: &str) -> Result<Vec<String>, BinariesError> {
    let mut found = Vec::new();
    for index in fs::read_dir(cargo_home.join("registry/cache")).into_iter().flatten().flatten() {
        let path = index.path().join(name);
        match fs::read(&path) {
            Ok(bytes) => found.push(sources::hex(&Sha256::digest(bytes))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(file_error("read", &path)(error)),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_is_pinned() {
        let source = RuntimeSource::pinned().unwrap();
        assert_eq!(source.file(), "youki-0.7.0.crate");
        assert_eq!(source.sha256.len(), 64);
        for feature in ["v2", "seccomp", "cgroupsv2_devices"] {
            assert!(source.features.iter().any(|have| have == feature), "{feature} is missing");
        }
    }

    #[test]
    fn the_image_has_the_libraries_that_the_runtime_loads() {
        let data: toml::Table = PINNED.parse().unwrap();
        let lock = include_str!("../../../../os/os.lock");
        let lock = compose::repo::Lock::parse(lock).unwrap();
        for library in data["libraries"].as_array().unwrap() {
            let name = library.as_str().unwrap();
            assert!(lock.get(name).is_some(), "{name} is not in os.lock");
        }
    }

    #[test]
    fn another_file_under_the_pinned_name_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("registry/cache/index");
        fs::create_dir_all(&cache).unwrap();
        fs::write(cache.join("youki-0.7.0.crate"), "not it").unwrap();
        let toolchain = Toolchain::for_tests(dir.path());
        let error = verify(&RuntimeSource::pinned().unwrap(), &toolchain).unwrap_err();
        assert!(matches!(error, BinariesError::Checksum { .. }), "{error}");
    }
}
