//! The disk: GPT with the partitions of `os/image.toml`, the slot in USR-A, the ESP, an empty OEM file
//! system. A sparse raw file; the other formats are made from it.

use super::{boot, identity, usr::Slot};
use crate::tools::ToolCommand;
use anyhow::Context as _;
use compose::assemble::Assembly;
use compose::distribution::Distribution;
use formats::gpt;
use std::fs::File;
use std::io::{BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use uuid::Uuid;

const MIB: u64 = 1 << 20;
const SECTOR: u64 = 512;

/// What goes onto the disk.
pub struct Parts<'a> {
    /// The distribution.
    pub os: &'a Distribution,
    /// Boot files.
    pub assembly: &'a Assembly,
    /// The slot's content.
    pub slot: &'a Slot,
    /// The file that holds it.
    pub slot_file: &'a Path,
    /// The UKI.
    pub uki: &'a [u8],
    /// mke2fs.
    pub mke2fs: &'a ToolCommand,
    /// Time of everything, seconds since 1970.
    pub epoch: u64,
}

/// Writes the disk to `path`; gives the bytes that the ESP's files take.
pub fn write(parts: &Parts<'_>, path: &Path) -> anyhow::Result<u64> {
    let version = parts.os.image.product.version.clone();
    let table = table(parts.os, parts.slot)?;
    let disk = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    disk.set_len(disk_bytes(parts.os))?;
    let mut out = BufWriter::with_capacity(1 << 20, disk);
    table.write_new(&mut out)?;

    let (start, room) = place(&table, "USR-A")?;
    anyhow::ensure!(
        parts.slot.bytes <= room,
        "failed to place /usr: expected at most {room} bytes (partition USR-A), found {}",
        parts.slot.bytes
    );
    copy_into(parts.slot_file, &mut out, start)?;

    let (start, room) = place(&table, "OEM")?;
    let oem = path.with_extension("oem");
    let made = make_oem(parts.mke2fs, &oem, room, parts.epoch, &version)
        .and_then(|()| copy_into(&oem, &mut out, start));
    let _ = std::fs::remove_file(&oem);
    made.context("failed to make the OEM file system")?;

    let (start, room) = place(&table, "EFI-SYSTEM")?;
    out.seek(SeekFrom::Start(start))?;
    let hidden = u32::try_from(start / SECTOR)?;
    let used = boot::esp(&mut out, room, hidden, parts.epoch, parts.assembly, parts.uki, &version)?;
    out.flush()?;
    out.get_ref().sync_all()?;
    Ok(used)
}

/// The size of the disk: the partitions, and a MiB at each end for the tables.
fn disk_bytes(os: &Distribution) -> u64 {
    (os.image.partition.iter().map(|partition| partition.mib).sum::<u64>() + 2) * MIB
}

fn table(os: &Distribution, slot: &Slot) -> anyhow::Result<gpt::Table> {
    let version = os.image.product.version.as_bytes();
    let root = slot.root.to_string();
    let guid = |label: &str| identity::uuid(&[b"partition", label.as_bytes(), version, root.as_bytes()]);
    let mut table = gpt::Table::new(guid("disk"), disk_bytes(os), SECTOR)?;
    for partition in &os.image.partition {
        let type_guid = Uuid::parse_str(&partition.type_guid)
            .with_context(|| format!("failed to read the type of partition {}", partition.number))?;
        // The slot's name on the disk is the first half of the hash of what is in it (design D3).
        let own =
            if partition.label == "USR-A" { slot.root.partition_uuid() } else { guid(&partition.label) };
        table.add_sized(partition.number, partition.mib * MIB, type_guid, own, &partition.label)?;
    }
    Ok(table)
}

fn place(table: &gpt::Table, label: &str) -> anyhow::Result<(u64, u64)> {
    let (number, _) = table
        .by_name(label)
        .with_context(|| format!("failed to find partition `{label}` in `os/image.toml`"))?;
    table.byte_range(number).with_context(|| format!("failed to place partition `{label}`"))
}

/// Copies a file to an offset of the disk, leaving holes where it is zero.
fn copy_into(from: &Path, out: &mut BufWriter<File>, at: u64) -> anyhow::Result<()> {
    const CHUNK: usize = 1 << 20;
    let mut file = File::open(from)?;
    let mut chunk = vec![0; CHUNK];
    let mut position = at;
    loop {
        let mut filled = 0;
        while filled < CHUNK {
            let count = file.read(&mut chunk[filled..])?;
            if count == 0 {
                break;
            }
            filled += count;
        }
        if filled == 0 {
            return Ok(());
        }
        for block in chunk[..filled].chunks(4096) {
            if block.iter().any(|&byte| byte != 0) {
                out.seek_to(position)?;
                out.write_all(block)?;
            }
            position += block.len() as u64;
        }
    }
}

/// Seeking that keeps the buffer when the position does not change.
trait SeekTo {
    fn seek_to(&mut self, position: u64) -> std::io::Result<()>;
}

impl SeekTo for BufWriter<File> {
    fn seek_to(&mut self, position: u64) -> std::io::Result<()> {
        let buffered = self.buffer().len() as u64;
        if self.get_mut().stream_position()? + buffered == position {
            return Ok(());
        }
        self.seek(SeekFrom::Start(position)).map(drop)
    }
}

fn make_oem(mke2fs: &ToolCommand, path: &Path, bytes: u64, epoch: u64, version: &str) -> anyhow::Result<()> {
    let uuid = identity::uuid(&[b"oem", version.as_bytes()]);
    let seed = identity::uuid(&[b"oem hash seed", version.as_bytes()]);
    File::create(path)?.set_len(bytes)?;
    mke2fs
        .cmd()
        .env("SOURCE_DATE_EPOCH", epoch.to_string())
        .env("E2FSPROGS_FAKE_TIME", epoch.to_string())
        .env("MKE2FS_CONFIG", "/dev/null")
        .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-m", "0", "-L", "OEM"])
        .args(["-O", "none,has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum,resize_inode"])
        .arg("-U")
        .arg(uuid.to_string())
        .arg("-E")
        .arg(format!("hash_seed={seed},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0,nodiscard"))
        .arg(path)
        .run()?;
    Ok(())
}
