//! The build itself, in its order: packages, our own binaries, tools; tree, slot, UKI, disk; bill of
//! materials, other forms, manifest.

use super::output::{Artifact, Format, Manifest, PackageSize, Scratch};
use super::{boot, disk, identity, initramfs, os_data::OsFiles, output, unpack, usr};
use crate::binaries::{Binaries, BinariesContext};
use crate::mirror::Mirrors;
use crate::store::{Store, StoreError};
use crate::tools::{Closure, Tool, ToolContext, Tools, write_wrappers};
use crate::ui::{Ui, mebibytes};
use anyhow::Context as _;
use compose::assemble::{Assembly, OwnFile, PackageFiles};
use compose::audit::{Figures, audit, figures};
use compose::distribution::Distribution;
use compose::repo::{Lock, LockedPackage};
use compose::sbom::{BillHead, BillPackage, bills};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Version of the manifest's format.
const MANIFEST_FORMAT: u32 = 1;
/// Where our own programs lie in the image.
const NODE: &str = "usr/lib/wellcar/wellcar-node";
const RUNTIME: &str = "usr/bin/youki";

/// What an image is built from.
pub struct Workshop<'a> {
    /// `os/`.
    pub os: &'a OsFiles,
    /// `os.lock`.
    pub lock: &'a Lock,
    /// `tools.lock`.
    pub tools_lock: &'a Lock,
    /// The package cache.
    pub store: &'a Store,
    /// Where packages come from.
    pub mirrors: &'a Mirrors,
    /// Progress.
    pub ui: Ui,
}

/// Our own binaries, read.
struct Own {
    init: Vec<u8>,
    files: Vec<OwnFile>,
}

impl Workshop<'_> {
    /// Makes tools available, from the host or from pinned packages.
    pub fn tools(&self, wanted: &[Tool]) -> anyhow::Result<Tools> {
        self.with_tools(|context| Ok(Tools::ensure(wanted, context)?))
    }

    /// Makes the programs that tests compare our results with callable from the folder `dir`; gives their names.
    pub fn oracles(&self, dir: &Path) -> anyhow::Result<Vec<String>> {
        self.with_tools(|context| {
            let mut names = write_wrappers(Closure::Qemu, dir, context)?;
            names.extend(write_wrappers(Closure::Oracles, dir, context)?);
            names.sort();
            names.dedup();
            Ok(names)
        })
    }

    fn with_tools<T>(&self, work: impl FnOnce(&ToolContext<'_>) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let download = |packages: &[LockedPackage]| {
            self.store
                .fetch_all(packages, self.mirrors, self.ui)
                .map_err(|error| -> Box<dyn std::error::Error + Send + Sync> { Box::new(error) })
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        work(&ToolContext {
            cache: self.store.root(),
            lock: self.tools_lock,
            download: &download,
            path: &path,
        })
    }

    fn own(&self) -> anyhow::Result<Own> {
        let ui = self.ui;
        let say = move |line: &str| ui.say(line);
        let found = self.with_tools(|tools| {
            Ok(Binaries::ensure(&BinariesContext { cache: self.store.root(), tools, say: &say })?)
        })?;
        let read =
            |path: &Path| std::fs::read(path).with_context(|| format!("failed to read `{}`", path.display()));
        let file = |path: &str, content: Vec<u8>, owner: &str| OwnFile {
            path: path.into(),
            content: content.into(),
            mode: 0o755,
            owner: owner.into(),
        };
        Ok(Own {
            init: read(&found.init)?,
            files: vec![
                file(NODE, read(&found.node)?, "wellcar"),
                file(RUNTIME, read(&found.runtime)?, "youki"),
            ],
        })
    }

    /// The digest of everything the image is made from.
    fn inputs(&self, own: &Own) -> String {
        let mut hash = Sha256::new();
        let mut put = |name: &str, bytes: &[u8]| {
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name);
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        put("builder", env!("CARGO_PKG_VERSION").as_bytes());
        for (path, (bytes, _)) in self.os.iter().filter(|(path, _)| !path.ends_with(".lock")) {
            put(path, bytes);
        }
        put("os.lock", self.lock.to_toml().as_bytes());
        put("init", &own.init);
        for file in &own.files {
            put(&file.path, &file.content);
        }
        identity::hex(&hash.finalize())
    }

    /// Gives the raw image of `cache`, building it if these inputs have not been built before.
    pub fn ensure(&self, cache: &Path) -> anyhow::Result<PathBuf> {
        let own = self.own()?;
        let dir = cache.join(&self.inputs(&own)[..32]);
        let version = self.distribution()?.image.product.version;
        let raw = dir.join(format!("wellcar-{version}.raw"));
        if dir.join(manifest_name(&version)).is_file() && raw.is_file() {
            return Ok(raw);
        }
        self.build_with(own, &dir, &BTreeSet::from([Format::Raw]))?;
        Ok(raw)
    }

    /// Builds into `out`.
    pub fn build(&self, out: &Path, formats: &BTreeSet<Format>) -> anyhow::Result<Manifest> {
        let own = self.own()?;
        self.build_with(own, out, formats)
    }

    fn distribution(&self) -> anyhow::Result<Distribution> {
        Ok(Distribution::read(self.os)?)
    }

    /// The time of every file in the image: that of the newest package index in the lock.
    fn epoch(&self) -> u64 {
        self.lock
            .suites
            .iter()
            .map(|suite| suite.date.0)
            .max()
            .and_then(|time| u64::try_from(time).ok())
            .unwrap_or(0)
    }

    fn build_with(&self, own: Own, out: &Path, formats: &BTreeSet<Format>) -> anyhow::Result<Manifest> {
        let inputs = self.inputs(&own);
        let os = self.distribution()?;
        let version = os.image.product.version.clone();
        let epoch = self.epoch();
        std::fs::create_dir_all(out).with_context(|| format!("failed to make `{}`", out.display()))?;
        let scratch = Scratch::new(out)?;
        let tools = self.tools(&[Tool::MkfsErofs, Tool::Mke2fs])?;
        let mkfs = tools.command(Tool::MkfsErofs).context("failed to find mkfs.erofs")?;
        let mke2fs = tools.command(Tool::Mke2fs).context("failed to find mke2fs")?;

        let packages = self.unpack()?;
        self.ui.say("composing /usr");
        let assembly = assemble(packages, own.files, &os)?;
        let counted = figures(&assembly.tree);

        self.ui.say(&format!("writing /usr: {} in {} entries", mebibytes(counted.bytes), counted.entries));
        let slot_file = scratch.file("slot");
        let slot = usr::write(&assembly.tree, mkfs, &slot_file, epoch, &version)?;
        let cmdline = boot::cmdline(&os, &slot.root);
        let initrd = initramfs::build(&own.init, &os.modules, &assembly.modules, &assembly.tree)?;
        let uki = boot::uki(&os, &assembly, &initrd, &cmdline)?;

        self.ui.say("writing the disk");
        let name = |suffix: &str| format!("wellcar-{version}.{suffix}");
        let raw = scratch.file(&name("raw"));
        let parts = disk::Parts {
            os: &os,
            assembly: &assembly,
            slot: &slot,
            slot_file: &slot_file,
            uki: &uki,
            mke2fs,
            epoch,
        };
        let esp_bytes = disk::write(&parts, &raw)?;
        within_limits(&counted, &os, &slot, uki.len() as u64, esp_bytes)?;

        let head = BillHead {
            name: os.image.product.name.clone(),
            version: version.clone(),
            root_hash: slot.root.to_string(),
            created: rfc3339(epoch),
        };
        let bills = bills(&assembly.tree, &self.bill_packages(&version), &head)?;
        let mut files = vec![name("efi"), name("spdx.json"), name("cdx.json")];
        output::put(&scratch.file(&files[0]), &uki)?;
        output::put(&scratch.file(&files[1]), &bills.spdx)?;
        output::put(&scratch.file(&files[2]), &bills.cyclonedx)?;
        for &format in formats {
            let file = name(format.suffix());
            if format != Format::Raw {
                self.ui.say(&format!("writing {file}"));
                output::convert(&raw, &scratch.file(&file), format, &version)?;
            }
            files.push(file);
        }
        let artifacts: Vec<Artifact> =
            files.iter().map(|file| output::describe(&scratch.file(file))).collect::<anyhow::Result<_>>()?;
        let manifest = Manifest {
            format: MANIFEST_FORMAT,
            product: os.image.product.product_id.clone(),
            version: version.clone(),
            root_hash: slot.root.to_string(),
            usr_bytes: slot.data_bytes,
            kernel: assembly.modules.release.clone(),
            cmdline,
            inputs,
            artifacts,
            packages: self.package_sizes(&counted, &version),
            path_binaries: counted.path_binaries,
            privileged: counted.privileged,
        };
        publish(&scratch, out, &manifest)?;
        Ok(manifest)
    }

    fn unpack(&self) -> anyhow::Result<Vec<PackageFiles>> {
        let paths = self.store.fetch_all(&self.lock.packages, self.mirrors, self.ui)?;
        let archives: Vec<(String, PathBuf)> =
            self.lock.packages.iter().map(|package| package.name.clone()).zip(paths).collect();
        let total = self.lock.packages.iter().map(|package| package.size).sum();
        let bar = self.ui.transfer("unpacking", total);
        unpack::unpack_all(&archives, &|name| {
            if let Some(package) = self.lock.get(name) {
                bar.add(package.size);
            }
        })
    }

    fn bill_packages(&self, version: &str) -> Vec<BillPackage> {
        let mut all: Vec<BillPackage> = self
            .lock
            .packages
            .iter()
            .map(|package| BillPackage {
                name: package.name.clone(),
                version: package.version.clone(),
                architecture: package.architecture.clone(),
                sha256: package.sha256.to_string(),
                source: format!("{} {}", package.source, package.source_version),
            })
            .collect();
        for (name, version) in [("wellcar", version), ("youki", self.runtime_version())] {
            all.push(BillPackage {
                name: name.into(),
                version: version.into(),
                architecture: "amd64".into(),
                sha256: String::new(),
                source: name.into(),
            });
        }
        all
    }

    /// The version in `os/runtime.toml`.
    fn runtime_version(&self) -> &str {
        self.os
            .get("runtime.toml")
            .and_then(|(bytes, _)| std::str::from_utf8(bytes).ok())
            .and_then(|text| text.lines().find_map(|line| line.strip_prefix("version = ")))
            .map_or("unknown", |value| value.trim().trim_matches('"'))
    }

    fn package_sizes(&self, counted: &Figures, version: &str) -> Vec<PackageSize> {
        counted
            .packages
            .iter()
            .map(|(name, (bytes, files))| PackageSize {
                name: name.clone(),
                version: match self.lock.get(name) {
                    Some(package) => package.version.clone(),
                    None if name == "youki" => self.runtime_version().to_owned(),
                    None => version.to_owned(),
                },
                bytes: *bytes,
                files: *files,
            })
            .collect()
    }
}

/// The manifest's file name.
pub fn manifest_name(version: &str) -> String {
    format!("wellcar-{version}.json")
}

fn assemble(packages: Vec<PackageFiles>, own: Vec<OwnFile>, os: &Distribution) -> anyhow::Result<Assembly> {
    compose::assemble::assemble(packages, own, os).map_err(|errors| {
        let lines: Vec<String> = errors
            .iter()
            .map(|error| {
                let chain = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
                chain.fold(format!("  {error}"), |line, cause| format!("{line}: {cause}"))
            })
            .collect();
        anyhow::anyhow!("failed to compose /usr ({} reasons)\n{}", lines.len(), lines.join("\n"))
    })
}

fn within_limits(
    counted: &Figures,
    os: &Distribution,
    slot: &usr::Slot,
    uki_bytes: u64,
    esp_bytes: u64,
) -> anyhow::Result<()> {
    let exceeded = audit(counted, &os.image, slot.data_bytes, uki_bytes, esp_bytes);
    if exceeded.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = exceeded.iter().map(|limit| format!("  {limit}")).collect();
    anyhow::bail!("failed to keep the image small\n{}", lines.join("\n"))
}

/// Moves the artifacts to their names; the manifest last.
fn publish(scratch: &Scratch, out: &Path, manifest: &Manifest) -> anyhow::Result<()> {
    let manifest_file = manifest_name(&manifest.version);
    let _ = std::fs::remove_file(out.join(&manifest_file));
    output::put(
        &scratch.file(&manifest_file),
        format!("{}\n", serde_json::to_string_pretty(manifest)?).as_bytes(),
    )?;
    let names = manifest.artifacts.iter().map(|artifact| &artifact.file).chain([&manifest_file]);
    for name in names {
        std::fs::rename(scratch.file(name), out.join(name))
            .with_context(|| format!("failed to put `{name}` into `{}`", out.display()))?;
    }
    Ok(())
}

/// Seconds since 1970 as RFC 3339.
fn rfc3339(epoch: u64) -> String {
    let time = i64::try_from(epoch).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

/// Whether an error says that packages of the lock are gone from the mirror.
pub fn vanished(error: &anyhow::Error) -> Option<Vec<String>> {
    error.chain().find_map(|cause| match cause.downcast_ref::<StoreError>() {
        Some(StoreError::Vanished { names, .. }) => Some(names.clone()),
        _ => None,
    })
}
