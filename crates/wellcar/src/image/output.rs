//! The artifacts of a build: written in a scratch folder beside their place and moved there when all of
//! them are whole; the manifest last, so that its presence means that the rest is there.

use super::identity;
use anyhow::Context as _;
use formats::{qcow2, vhd};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// A form in which the disk is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Format {
    /// The disk itself, sparse.
    Raw,
    /// The disk itself, compressed with zstd: what is downloaded.
    #[value(name = "raw.zst")]
    RawZst,
    /// QEMU's format, version 3.
    Qcow2,
    /// Fixed-size VHD: Azure and Hyper-V.
    Vhd,
}

impl Format {
    /// The end of the file's name.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::RawZst => "raw.zst",
            Self::Qcow2 => "qcow2",
            Self::Vhd => "vhd",
        }
    }
}

/// One file of a build.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Artifact {
    /// File name beside the manifest.
    pub file: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256, hex.
    pub sha256: String,
}

/// What a build made and from what: `wellcar-VERSION.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// Format of this file.
    pub format: u32,
    /// `io.wellcar.os`.
    pub product: String,
    /// Version of the image.
    pub version: String,
    /// Verity root hash of /usr, hex.
    pub root_hash: String,
    /// Bytes of the EROFS image.
    pub usr_bytes: u64,
    /// Kernel release.
    pub kernel: String,
    /// The kernel command line inside the UKI.
    pub cmdline: String,
    /// Digest of everything the image is made from.
    pub inputs: String,
    /// The files.
    pub artifacts: Vec<Artifact>,
    /// Bytes and files by package.
    pub packages: Vec<PackageSize>,
    /// Programs in PATH.
    pub path_binaries: usize,
    /// Setuid and setgid files.
    pub privileged: Vec<String>,
}

/// What a package takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PackageSize {
    /// Name.
    pub name: String,
    /// Version; our own: the image's.
    pub version: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// Number of its files.
    pub files: u64,
}

/// Makes the disk's other forms from the raw one.
pub fn convert(raw: &Path, to: &Path, format: Format, version: &str) -> anyhow::Result<()> {
    let make = || -> anyhow::Result<()> {
        let from = File::open(raw)?;
        let bytes = from.metadata()?.len();
        let out = File::options().read(true).write(true).create(true).truncate(true).open(to)?;
        match format {
            Format::Raw => anyhow::bail!("the disk is raw already"),
            Format::RawZst => {
                let mut encoder = zstd::stream::Encoder::new(BufWriter::new(&out), 19)?;
                encoder.include_checksum(true)?;
                encoder.long_distance_matching(true)?;
                encoder.set_pledged_src_size(Some(bytes))?;
                let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
                encoder.multithread(u32::try_from(workers)?)?;
                std::io::copy(&mut BufReader::with_capacity(1 << 20, from), &mut encoder)?;
                encoder.finish()?.flush()?;
            }
            Format::Qcow2 => {
                let mut from = BufReader::with_capacity(1 << 20, from);
                qcow2::write(&mut from, bytes, qcow2::Compression::None, &mut BufWriter::new(&out))?;
            }
            Format::Vhd => {
                let mut from = BufReader::with_capacity(1 << 20, from);
                let uuid = identity::uuid(&[b"vhd", version.as_bytes()]);
                vhd::write(&mut from, bytes, uuid, &mut BufWriter::new(&out))?;
            }
        }
        out.sync_all()?;
        Ok(())
    };
    make().with_context(|| format!("failed to write `{}`", to.display()))
}

/// Size and SHA-256 of a file.
pub fn describe(path: &Path) -> anyhow::Result<Artifact> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let count = file.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        hash.update(&chunk[..count]);
        size += count as u64;
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    Ok(Artifact { file: name, size, sha256: identity::hex(&hash.finalize()) })
}

/// Writes bytes to a new file, flushed.
pub fn put(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().with_context(|| format!("failed to write `{}`", path.display()))
}

/// A folder for half-made files beside their place; removed with what is left in it.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes `.wellcar-build` in `out`; what an earlier, killed build left there goes first.
    pub fn new(out: &Path) -> anyhow::Result<Self> {
        let path = out.join(".wellcar-build");
        if path.exists() {
            std::fs::remove_dir_all(&path)
                .with_context(|| format!("failed to clear `{}`", path.display()))?;
        }
        std::fs::create_dir_all(&path).with_context(|| format!("failed to make `{}`", path.display()))?;
        Ok(Self(path))
    }

    /// A path inside.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
