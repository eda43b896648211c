//! Block devices: which disks and partitions there are, how large, what their tables say, and
//! waiting for one to appear.

mod events;
pub mod gpt;
pub mod signature;

pub use events::Events;

use rustix::fs::{Mode, OFlags};
use rustix::ioctl::{Getter, NoArg, Setter, ioctl, opcode};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// A question to, or an order for, a block device that failed.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// The list of block devices could not be read.
    #[error("failed to list the block devices in `{path}`")]
    List {
        /// The folder in sysfs.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A device could not be opened or asked.
    #[error("failed to {verb} `{device}`")]
    Device {
        /// What was tried.
        verb: &'static str,
        /// The device.
        device: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Kernel events could not be listened to.
    #[error("failed to listen to kernel device events")]
    Events {
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A whole block device as sysfs shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The kernel's name, such as `vda` or `nvme0n1`.
    pub name: String,
    /// Its node in /dev.
    pub node: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Bytes in a logical sector.
    pub sector_size: u32,
    /// Its partitions by number.
    pub partitions: Vec<Partition>,
}

/// A partition as sysfs shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its number in the table.
    pub number: u32,
    /// The kernel's name, such as `vda3` or `nvme0n1p3`.
    pub name: String,
    /// Its node in /dev.
    pub node: PathBuf,
    /// First byte on the disk.
    pub start: u64,
    /// Bytes.
    pub size: u64,
}

/// Sysfs counts in these, whatever the device's own sectors are.
const SYSFS_SECTOR: u64 = 512;

/// All disks that have any bytes, by name. `sys` is `/sys`, `dev` is `/dev`.
///
/// # Errors
/// When sysfs cannot be read. A device that goes away while it is looked at is left out.
pub fn disks(sys: &Path, dev: &Path) -> Result<Vec<Disk>, BlockError> {
    let dir = sys.join("block");
    let list = |source| BlockError::List { path: dir.clone(), source };
    let mut disks = Vec::new();
    for entry in std::fs::read_dir(&dir).map_err(list)? {
        let entry = entry.map_err(list)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        let Some(size) = number(&path.join("size")).filter(|size| *size > 0) else { continue };
        let sector = number(&path.join("queue/logical_block_size")).unwrap_or(SYSFS_SECTOR);
        let mut partitions = partitions(&path, dev);
        partitions.sort_by_key(|p| p.number);
        disks.push(Disk {
            node: node(dev, &name),
            name,
            size: size.saturating_mul(SYSFS_SECTOR),
            sector_size: u32::try_from(sector).unwrap_or(512),
            partitions,
        });
    }
    disks.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(disks)
}

fn partitions(disk: &Path, dev: &Path) -> Vec<Partition> {
    let Ok(entries) = std::fs::read_dir(disk) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            Some(Partition {
                number: u32::try_from(number(&path.join("partition"))?).ok()?,
                node: node(dev, &name),
                start: number(&path.join("start"))?.saturating_mul(SYSFS_SECTOR),
                size: number(&path.join("size"))?.saturating_mul(SYSFS_SECTOR),
                name,
            })
        })
        .collect()
}

/// A device's node: sysfs writes `!` where the node has a folder (`cciss!c0d0`).
fn node(dev: &Path, name: &str) -> PathBuf {
    dev.join(name.replace('!', "/"))
}

fn number(path: &Path) -> Option<u64> {
    crate::file::read_text(path, 64).ok()?.trim().parse().ok()
}

const GETSIZE64: u32 = opcode::read::<usize>(0x12, 114);
const RRPART: u32 = opcode::none(0x12, 95);
const BLKPG: u32 = opcode::none(0x12, 105);
const BLKPG_RESIZE_PARTITION: i32 = 3;

/// Bytes of an open block device.
///
/// # Errors
/// When it is not a block device.
pub fn size(device: &File) -> io::Result<u64> {
    // SAFETY: BLKGETSIZE64 writes one u64, which `Getter` provides.
    Ok(unsafe { ioctl(device, Getter::<GETSIZE64, u64>::new()) }?)
}

/// Opens a block device that nobody else may have mounted or open for themselves.
///
/// # Errors
/// When it is in use or does not exist.
pub fn open_exclusive(path: &Path, write: bool) -> Result<File, BlockError> {
    let access = if write { OFlags::RDWR } else { OFlags::RDONLY };
    rustix::fs::open(path, access | OFlags::EXCL | OFlags::CLOEXEC, Mode::empty()).map(File::from).map_err(
        |e| BlockError::Device { verb: "open for itself", device: path.to_owned(), source: e.into() },
    )
}

/// Has the kernel read a disk's partition table again; it refuses while a partition is in use.
///
/// # Errors
/// When the kernel refuses.
pub fn reread_partitions(disk: &Path) -> Result<(), BlockError> {
    let fail = |source| BlockError::Device {
        verb: "read the partition table again of",
        device: disk.to_owned(),
        source,
    };
    let file = File::open(disk).map_err(fail)?;
    // SAFETY: BLKRRPART takes no argument.
    unsafe { ioctl(&file, NoArg::<RRPART>::new()) }.map_err(|e| fail(e.into()))
}

/// `struct blkpg_partition`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct BlkpgPartition {
    start: i64,
    length: i64,
    pno: i32,
    devname: [u8; 64],
    volname: [u8; 64],
}

/// `struct blkpg_ioctl_arg`.
#[repr(C)]
struct BlkpgArg<'a> {
    op: i32,
    flags: i32,
    datalen: i32,
    data: &'a mut BlkpgPartition,
}

/// Tells the kernel that a partition, in use or not, has another size now.
///
/// # Errors
/// When the kernel refuses: the partition does not start there, or would overlap another.
pub fn resize_partition(disk: &Path, number: u32, start: u64, size: u64) -> Result<(), BlockError> {
    let fail = |source| BlockError::Device { verb: "resize a partition of", device: disk.to_owned(), source };
    let invalid = |_| fail(io::ErrorKind::InvalidInput.into());
    let file = File::open(disk).map_err(fail)?;
    let mut partition = BlkpgPartition {
        start: i64::try_from(start).map_err(invalid)?,
        length: i64::try_from(size).map_err(invalid)?,
        pno: i32::try_from(number).map_err(invalid)?,
        devname: [0; 64],
        volname: [0; 64],
    };
    let datalen = i32::try_from(size_of::<BlkpgPartition>()).map_err(invalid)?;
    let arg = BlkpgArg { op: BLKPG_RESIZE_PARTITION, flags: 0, datalen, data: &mut partition };
    // SAFETY: BLKPG reads one `blkpg_ioctl_arg` and through its pointer `datalen` bytes of
    // `blkpg_partition`; both live for the call and have the kernel's layout.
    unsafe { ioctl(file.as_fd(), Setter::<BLKPG, BlkpgArg<'_>>::new(arg)) }.map_err(|e| fail(e.into()))
}

#[cfg(test)]
mod tests {
    use super::{BlkpgArg, BlkpgPartition, disks};
    use std::path::{Path, PathBuf};

    #[test]
    fn the_interface_has_the_kernels_sizes() {
        assert_eq!(size_of::<BlkpgPartition>(), 152);
        assert_eq!(size_of::<BlkpgArg<'_>>(), 24);
    }

    #[test]
    fn disks_and_partitions_come_from_sysfs() {
        let sys = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = sys.path().join("block").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("vda/size", "4096\n");
        write("vda/queue/logical_block_size", "512\n");
        for (number, start) in [(9, 2048), (3, 64)] {
            write(&format!("vda/vda{number}/partition"), &format!("{number}\n"));
            write(&format!("vda/vda{number}/start"), &format!("{start}\n"));
            write(&format!("vda/vda{number}/size"), "8\n");
        }
        write("loop0/size", "0\n");
        write("sdb/size", "8\n");
        write("sdb/queue/logical_block_size", "4096\n");
        let found = disks(sys.path(), Path::new("/dev")).unwrap();
        assert_eq!(found.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["sdb", "vda"]);
        assert_eq!((found[0].size, found[0].sector_size), (4096, 4096));
        let numbers: Vec<u32> = found[1].partitions.iter().map(|p| p.number).collect();
        assert_eq!(numbers, [3, 9]);
        assert_eq!(found[1].partitions[1].node, PathBuf::from("/dev/vda9"));
        assert_eq!((found[1].partitions[1].start, found[1].partitions[1].size), (1 << 20, 4096));
        assert!(disks(&sys.path().join("none"), Path::new("/dev")).is_err());
    }
}
