//! The writer: places every directory and file, then writes them in one pass.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::{
    ATTR_DIR, ATTR_FILE, ATTR_LABEL, END_OF_CHAIN, ENTRY, Error, FATS, MAX_CLUSTERS, MIN_CLUSTERS, Node,
    Params, RESERVED, ROOT_CLUSTER, SECTOR, names,
};
use crate::bytes::{put, to_usize};

/// Sizes that follow from the volume's size.
#[derive(Debug, Clone, Copy)]
struct Geometry {
    total_sectors: u32,
    sectors_per_cluster: u8,
    fat_sectors: u32,
    clusters: u64,
}

impl Geometry {
    fn new(size: u64) -> Result<Self, Error> {
        let bad = || Error::VolumeSize(size);
        let total = size / SECTOR;
        if !size.is_multiple_of(SECTOR) || total < 1024 {
            return Err(bad());
        }
        // As mkfs.fat: sectors as clusters up to 260 MiB, then 4 KiB, growing from 8 GiB on.
        let per_cluster: u8 = match size >> 20 {
            0..=260 => 1,
            261..=8192 => 8,
            8193..=16384 => 16,
            16385..=32768 => 32,
            _ => 64,
        };
        let spc = u64::from(per_cluster);
        let fat = (total - RESERVED + 2 * spc).div_ceil(128 * spc + FATS).next_multiple_of(8);
        let clusters = total.checked_sub(RESERVED + FATS * fat).ok_or_else(bad)? / spc;
        if !(MIN_CLUSTERS..=MAX_CLUSTERS).contains(&clusters) {
            return Err(bad());
        }
        Ok(Self {
            total_sectors: u32::try_from(total).map_err(|_| bad())?,
            sectors_per_cluster: per_cluster,
            fat_sectors: u32::try_from(fat).map_err(|_| bad())?,
            clusters,
        })
    }

    fn cluster_bytes(&self) -> u64 {
        u64::from(self.sectors_per_cluster) * SECTOR
    }

    fn offset(&self, cluster: u32) -> u64 {
        let data = (RESERVED + FATS * u64::from(self.fat_sectors)) * SECTOR;
        data + u64::from(cluster - ROOT_CLUSTER) * self.cluster_bytes()
    }
}

/// Something with a place: where it starts and what it holds.
struct Placed<'a> {
    cluster: u32,
    content: Content<'a>,
}

enum Content<'a> {
    Dir(Vec<u8>),
    File { path: String, size: u32, from: Box<dyn Read + 'a> },
}

struct Planner<'a> {
    geometry: Geometry,
    stamp: (u16, u16),
    next: u64,
    fat: Vec<u32>,
    placed: Vec<Placed<'a>>,
}

pub(super) fn write<'a>(
    params: &Params,
    root: BTreeMap<String, Node<'a>>,
    out: &mut (impl Write + Seek),
) -> Result<(), Error> {
    let geometry = Geometry::new(params.size)?;
    let label = names::label(&params.label)?;
    let stamp = names::time(params.time)?;
    let fat = vec![0x0fff_fff8, END_OF_CHAIN];
    let mut plan = Planner { geometry, stamp, next: ROOT_CLUSTER.into(), fat, placed: Vec::new() };
    let mut first = Vec::new();
    first.extend(entry(&label, ATTR_LABEL, 0, 0, stamp));
    plan.dir(root, "", first, None)?;
    let used = plan.next - u64::from(ROOT_CLUSTER);
    if used > geometry.clusters {
        return Err(Error::Full { free: geometry.clusters, needed: used });
    }
    let base = out.stream_position().map_err(Error::Write)?;
    let mut at = |offset: u64, bytes: &[u8]| -> Result<(), Error> {
        out.seek(SeekFrom::Start(base + offset)).map_err(Error::Write)?;
        out.write_all(bytes).map_err(Error::Write)
    };
    let fat: Vec<u8> = plan.fat.iter().flat_map(|n| n.to_le_bytes()).collect();
    for copy in 0..FATS {
        at((RESERVED + copy * u64::from(geometry.fat_sectors)) * SECTOR, &fat)?;
    }
    let boot = boot_sector(params, &geometry, &label);
    let info = info_sector(geometry.clusters - used, plan.next);
    for (sector, bytes) in [(1, &info), (6, &boot), (7, &info)] {
        at(sector * SECTOR, bytes)?;
    }
    for Placed { cluster, content } in plan.placed {
        let start = geometry.offset(cluster);
        match content {
            Content::Dir(bytes) => at(start, &bytes)?,
            Content::File { path, size, from } => {
                copy(&path, size, from, |offset, bytes| at(start + offset, bytes))?;
            }
        }
    }
    // Last, as without it there is no file system.
    at(0, &boot)?;
    out.flush().map_err(Error::Write)
}

fn copy(
    path: &str,
    size: u32,
    mut from: Box<dyn Read + '_>,
    mut write: impl FnMut(u64, &[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut buf = vec![0; 128 << 10];
    let mut found = 0;
    loop {
        let got = crate::bytes::read_up_to(&mut *from, &mut buf);
        let got = got.map_err(|source: io::Error| Error::Content { path: path.to_owned(), source })?;
        let end = found + got as u64;
        if got == 0 || end > u64::from(size) {
            found = end;
            break;
        }
        write(found, &buf[..got])?;
        found = end;
    }
    if found == u64::from(size) {
        Ok(())
    } else {
        Err(Error::Length { path: path.to_owned(), expected: size, found })
    }
}

impl<'a> Planner<'a> {
    /// Takes clusters for so many bytes; 0 for none.
    fn allocate(&mut self, bytes: u64) -> Result<u32, Error> {
        let count = bytes.div_ceil(self.geometry.cluster_bytes());
        let needed = self.next + count - u64::from(ROOT_CLUSTER);
        let full = Error::Full { free: self.geometry.clusters, needed };
        if needed > self.geometry.clusters {
            return Err(full);
        }
        if count == 0 {
            return Ok(0);
        }
        let first = u32::try_from(self.next).map_err(|_| full)?;
        for n in 1..=count {
            let next = u32::try_from(self.next + n).unwrap_or(END_OF_CHAIN);
            self.fat.push(if n == count { END_OF_CHAIN } else { next });
        }
        self.next += count;
        Ok(first)
    }

    /// Places a directory before what it holds; gives its first cluster.
    fn dir(
        &mut self,
        children: BTreeMap<String, Node<'a>>,
        path: &str,
        mut bytes: Vec<u8>,
        parent: Option<u32>,
    ) -> Result<u32, Error> {
        let mut taken = BTreeSet::new();
        let named: Vec<_> = children
            .into_iter()
            .map(|(name, node)| {
                let (short, long) = names::short(&name, &mut taken);
                let long = if long { names::long_entries(&name, &short) } else { Vec::new() };
                (name, node, short, long)
            })
            .collect();
        let dots = if parent.is_some() { 2 } else { 0 };
        let entries = dots + named.iter().map(|(_, _, _, long)| long.len() + 1).sum::<usize>();
        let length = (bytes.len() + entries * ENTRY) as u64;
        let cluster = self.allocate(length.max(1))?;
        if let Some(parent) = parent {
            bytes.extend(entry(b".          ", ATTR_DIR, cluster, 0, self.stamp));
            bytes.extend(entry(b"..         ", ATTR_DIR, parent, 0, self.stamp));
        }
        // The root is 0 to its children.
        let own = if parent.is_some() { cluster } else { 0 };
        for (name, node, short, long) in named {
            let child = if path.is_empty() { name } else { format!("{path}/{name}") };
            let (attributes, cluster, size) = match node {
                Node::Dir(inner) => (ATTR_DIR, self.dir(inner, &child, Vec::new(), Some(own))?, 0),
                Node::File(size, from) => {
                    let cluster = self.allocate(size.into())?;
                    let content = Content::File { path: child, size, from };
                    self.placed.push(Placed { cluster: cluster.max(ROOT_CLUSTER), content });
                    (ATTR_FILE, cluster, size)
                }
            };
            bytes.extend(long.into_iter().flatten());
            bytes.extend(entry(&short, attributes, cluster, size, self.stamp));
        }
        bytes.resize(bytes.len().next_multiple_of(to_usize(SECTOR)), 0);
        self.placed.push(Placed { cluster, content: Content::Dir(bytes) });
        Ok(cluster)
    }
}

fn entry(short: &[u8; 11], attributes: u8, cluster: u32, size: u32, (time, date): (u16, u16)) -> [u8; ENTRY] {
    let mut e = [0; ENTRY];
    put(&mut e, 0, short);
    e[11] = attributes;
    let [low, lower, high, higher] = cluster.to_le_bytes();
    for (at, value) in [(14, time), (16, date), (18, date), (22, time), (24, date)] {
        put(&mut e, at, &value.to_le_bytes());
    }
    put(&mut e, 20, &[high, higher]);
    put(&mut e, 26, &[low, lower]);
    put(&mut e, 28, &size.to_le_bytes());
    e
}

fn boot_sector(params: &Params, geometry: &Geometry, label: &[u8; 11]) -> [u8; 512] {
    let mut b = [0; 512];
    put(&mut b, 0, b"\xeb\x58\x90wellcar ");
    put(&mut b, 11, &512u16.to_le_bytes());
    b[13] = geometry.sectors_per_cluster;
    // 32 reserved sectors, 2 FATs, no fixed root directory.
    put(&mut b, 14, &[32, 0, 2]);
    b[21] = 0xf8;
    // 63 sectors a track, 255 heads: unused since LBA, but never zero.
    put(&mut b, 24, &[63, 0, 255, 0]);
    put(&mut b, 28, &params.hidden_sectors.to_le_bytes());
    put(&mut b, 32, &geometry.total_sectors.to_le_bytes());
    put(&mut b, 36, &geometry.fat_sectors.to_le_bytes());
    put(&mut b, 44, &ROOT_CLUSTER.to_le_bytes());
    // FSInfo at sector 1, copies from sector 6 on.
    put(&mut b, 48, &[1, 0, 6, 0]);
    b[64] = 0x80;
    b[66] = 0x29;
    put(&mut b, 67, &params.volume_id.to_le_bytes());
    put(&mut b, 71, label);
    put(&mut b, 82, b"FAT32   ");
    // Should a BIOS start this: ask for the next boot device, then stand still.
    put(&mut b, 90, b"\xcd\x18\xeb\xfe");
    put(&mut b, 510, &[0x55, 0xaa]);
    b
}

fn info_sector(free: u64, next: u64) -> [u8; 512] {
    let mut b = [0; 512];
    put(&mut b, 0, b"RRaA");
    put(&mut b, 484, b"rrAa");
    // Both fit: clusters are at most 0x0fff_fff4.
    put(&mut b, 488, &u32::try_from(free).unwrap_or(u32::MAX).to_le_bytes());
    put(&mut b, 492, &u32::try_from(next).unwrap_or(u32::MAX).to_le_bytes());
    put(&mut b, 510, &[0x55, 0xaa]);
    b
}
