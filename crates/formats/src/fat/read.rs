//! Reader of FAT32 volumes, for inspecting images and checking the writer. It trusts nothing: chains
//! are bounded by the volume's size, so loops end in an error, and names are matched without case.

use std::io::{Read, Seek, SeekFrom};

use super::{ATTR_DIR, ATTR_LABEL, ATTR_LONG_NAME, ENTRY, Error, MAX_CLUSTERS, MIN_CLUSTERS, names};
use crate::bytes::{le16, le32, take, to_usize};

/// Largest directory read: the format's own limit.
const MAX_DIR: u64 = 2 << 20;

/// What a directory lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// Long name, or the 8.3 one where there is no other.
    pub name: String,
    /// Directory or file.
    pub is_dir: bool,
    /// Bytes of a file; 0 of a directory.
    pub size: u32,
    cluster: u32,
}

/// An opened volume.
#[derive(Debug)]
pub struct Volume<'a, R> {
    from: &'a mut R,
    base: u64,
    sector: u64,
    cluster_bytes: u64,
    fat: u64,
    data: u64,
    clusters: u64,
    root: u32,
    volume_id: u32,
    label: String,
}

impl<'a, R: Read + Seek> Volume<'a, R> {
    /// Reads the boot sector of the volume that starts at byte `base`.
    ///
    /// # Errors
    /// Anything but a FAT32 volume.
    pub fn open(from: &'a mut R, base: u64) -> Result<Self, Error> {
        let mut b = [0; 512];
        from.seek(SeekFrom::Start(base)).map_err(Error::Read)?;
        from.read_exact(&mut b).map_err(Error::Read)?;
        let check = |good: bool, reason| if good { Ok(()) } else { Err(Error::Format(reason)) };
        check(b[510..] == [0x55, 0xaa], "expected a boot sector")?;
        let sector = u64::from(le16(&b, 11));
        check(matches!(sector, 512 | 1024 | 2048 | 4096), "its sector size is none")?;
        let per_cluster = u64::from(b[13]);
        check(per_cluster.is_power_of_two(), "its cluster size is no power of two")?;
        check(le16(&b, 17) == 0 && le16(&b, 22) == 0, "expected FAT32, found an older FAT")?;
        let (reserved, fats) = (u64::from(le16(&b, 14)), u64::from(b[16]));
        let (total, fat_sectors) = (u64::from(le32(&b, 32)), u64::from(le32(&b, 36)));
        check(reserved > 0 && fats > 0, "it has no FAT")?;
        let data = reserved + fats * fat_sectors;
        let clusters =
            total.checked_sub(data).ok_or(Error::Format("it is smaller than its FATs"))? / per_cluster;
        check((MIN_CLUSTERS..=MAX_CLUSTERS).contains(&clusters), "its number of clusters is not FAT32's")?;
        check(fat_sectors * sector / 4 >= clusters + 2, "its FAT is too small")?;
        let label = String::from_utf8_lossy(&b[71..82]).trim_end().to_owned();
        Ok(Self {
            from,
            base,
            sector,
            cluster_bytes: sector * per_cluster,
            fat: reserved * sector,
            data: data * sector,
            clusters,
            root: le32(&b, 44),
            volume_id: le32(&b, 67),
            label,
        })
    }

    /// The boot sector's label.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The serial number.
    #[must_use]
    pub fn volume_id(&self) -> u32 {
        self.volume_id
    }

    /// Bytes of the volume's data area.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.clusters * self.cluster_bytes
    }

    /// What is in a directory, `.` and `..` left out; the empty path is the root.
    ///
    /// # Errors
    /// A path that is no directory, or a damaged volume.
    pub fn list(&mut self, path: &str) -> Result<Vec<DirEntry>, Error> {
        let mut cluster = self.root;
        for name in path.split('/').filter(|n| !n.is_empty()) {
            let found = find(self.entries(cluster)?, name).filter(|e| e.is_dir);
            cluster = found.ok_or_else(|| Error::Missing(path.to_owned()))?.cluster;
        }
        self.entries(cluster)
    }

    /// A file's content of at most `limit` bytes.
    ///
    /// # Errors
    /// A path that is no file, a file over the limit, or a damaged volume.
    pub fn read(&mut self, path: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let found = find(self.list(dir)?, name).filter(|e| !e.is_dir);
        let file = found.ok_or_else(|| Error::Missing(path.to_owned()))?;
        let size = u64::from(file.size);
        if size > limit {
            return Err(Error::TooLarge { path: path.to_owned(), limit, size });
        }
        if size == 0 {
            return Ok(Vec::new());
        }
        let mut out = self.chain(file.cluster, size)?;
        if (out.len() as u64) < size {
            return Err(Error::Format("a file is longer than its chain"));
        }
        out.truncate(to_usize(size));
        Ok(out)
    }

    fn next(&mut self, cluster: u32) -> Result<u32, Error> {
        let mut entry = [0; 4];
        let at = self.base + self.fat + u64::from(cluster) * 4;
        self.from.seek(SeekFrom::Start(at)).map_err(Error::Read)?;
        self.from.read_exact(&mut entry).map_err(Error::Read)?;
        Ok(u32::from_le_bytes(entry) & 0x0fff_ffff)
    }

    /// The clusters from here on, until the chain's end or `enough` bytes.
    fn chain(&mut self, first: u32, enough: u64) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        let mut cluster = first;
        let mut steps = 0;
        loop {
            if cluster < 2 || u64::from(cluster) >= self.clusters + 2 || steps > self.clusters {
                return Err(Error::Format("a chain leaves the volume or loops"));
            }
            let at = self.base + self.data + u64::from(cluster - 2) * self.cluster_bytes;
            self.from.seek(SeekFrom::Start(at)).map_err(Error::Read)?;
            let start = out.len();
            out.resize(start + to_usize(self.cluster_bytes), 0);
            // A sparse image may end before its last cluster does.
            let got = crate::bytes::read_up_to(self.from, &mut out[start..]).map_err(Error::Read)?;
            if got == 0 {
                return Err(Error::Format("a chain leaves the image"));
            }
            if out.len() as u64 >= enough {
                return Ok(out);
            }
            cluster = self.next(cluster)?;
            if cluster >= 0x0fff_fff8 {
                return Ok(out);
            }
            steps += 1;
        }
    }

    fn entries(&mut self, cluster: u32) -> Result<Vec<DirEntry>, Error> {
        let cluster = if cluster == 0 { self.root } else { cluster };
        let bytes = self.chain(cluster, MAX_DIR)?;
        let mut out = Vec::new();
        let mut long = LongName::default();
        for e in bytes.chunks_exact(ENTRY) {
            match (e[0], e[11]) {
                (0, _) => break,
                (0xe5, _) => long = LongName::default(),
                (_, attributes) if attributes & 0x3f == ATTR_LONG_NAME => long.add(e),
                (_, attributes) => {
                    let short: [u8; 11] = take(e, 0);
                    let name = std::mem::take(&mut long).finish(&short).unwrap_or_else(|| short_name(&short));
                    if attributes & ATTR_LABEL != 0 || name == "." || name == ".." {
                        continue;
                    }
                    let cluster = u32::from(le16(e, 20)) << 16 | u32::from(le16(e, 26));
                    let is_dir = attributes & ATTR_DIR != 0;
                    out.push(DirEntry { name, is_dir, size: if is_dir { 0 } else { le32(e, 28) }, cluster });
                }
            }
        }
        Ok(out)
    }

    /// Bytes of a sector.
    #[must_use]
    pub fn sector_bytes(&self) -> u64 {
        self.sector
    }
}

fn find(entries: Vec<DirEntry>, name: &str) -> Option<DirEntry> {
    let name = name.to_lowercase();
    entries.into_iter().find(|e| e.name.to_lowercase() == name)
}

fn short_name(short: &[u8; 11]) -> String {
    let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    let (base, extension) = (part(&short[..8]), part(&short[8..]));
    if extension.is_empty() { base } else { format!("{base}.{extension}") }
}

/// Long-name entries gathered from last to first.
#[derive(Default)]
struct LongName {
    units: Vec<u16>,
    expect: u8,
    checksum: u8,
}

impl LongName {
    fn add(&mut self, entry: &[u8]) {
        let (order, last) = (entry[0] & 0x3f, entry[0] & 0x40 != 0);
        if last {
            *self = Self { units: Vec::new(), expect: order, checksum: entry[13] };
        }
        if order == 0 || order != self.expect || entry[13] != self.checksum {
            *self = Self::default();
            return;
        }
        self.expect -= 1;
        self.units.splice(0..0, names::units(entry));
    }

    fn finish(self, short: &[u8; 11]) -> Option<String> {
        if self.units.is_empty() || self.expect != 0 || self.checksum != names::checksum(short) {
            return None;
        }
        let end = self.units.iter().position(|u| *u == 0).unwrap_or(self.units.len());
        Some(String::from_utf16_lossy(&self.units[..end]))
    }
}
