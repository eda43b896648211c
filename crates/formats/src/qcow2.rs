//! Deterministic writer of qcow2 images, version 3 (QEMU's `docs/interop/qcow2`), from a raw disk.
//!
//! Clusters of 64 KiB; those that are all zeros are not allocated. The rest is stored plain, or each
//! compressed with zstd (readers: QEMU 5.1 and later) where that makes it smaller. No backing file,
//! snapshots, time or identifiers: equal disks give equal bytes.
//!
//! Layout: header, L1 table, data in the disk's order, L2 tables, refcount blocks, refcount table.

use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::bytes::{is_zero, put, read_up_to, to_usize};

/// Bytes of a cluster.
pub const CLUSTER: u64 = 1 << CLUSTER_BITS;
const CLUSTER_BITS: u32 = 16;
/// Entries of an L2 table.
const L2_ENTRIES: u64 = CLUSTER / 8;
/// Entries (16 bits) of a refcount block.
const REFCOUNTS: u64 = CLUSTER / 2;
/// "Refcount is exactly one", which writers may then do in place.
const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;
/// Bits of the host offset in a compressed cluster's descriptor.
const OFFSET_BITS: u32 = 62 - (CLUSTER_BITS - 8);
const HEADER: usize = 112;
/// Largest disk taken: 16 TiB.
const MAX_SIZE: u64 = 1 << 44;
/// Clusters read and compressed at once.
const BATCH: usize = 64;

/// Why an image could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The raw disk failed.
    #[error("failed to read the raw disk")]
    Read(#[source] io::Error),
    /// The raw disk ends early.
    #[error("failed to read the raw disk: expected {expected} bytes, found {found}")]
    Length {
        /// Announced size.
        expected: u64,
        /// Bytes read.
        found: u64,
    },
    /// The output failed.
    #[error("failed to write the qcow2 image")]
    Write(#[source] io::Error),
    /// The size is zero, no multiple of 512, or over 16 TiB.
    #[error("failed to accept a disk of {0} bytes: expected whole sectors, at most 16 TiB")]
    Size(u64),
    /// The compressor failed.
    #[error("failed to compress a cluster")]
    Compress(#[source] io::Error),
}

/// How data clusters are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    None,
    /// zstd of this level, each cluster by itself.
    Zstd {
        /// 1 to 22.
        level: i32,
        /// Threads that compress, at least one; the result does not depend on it.
        threads: usize,
    },
}

struct Output<'a, W> {
    out: &'a mut W,
    base: u64,
    /// Next free byte; compressed clusters follow each other without alignment.
    at: u64,
    /// Uses of each host cluster.
    refcounts: Vec<u16>,
}

impl<W: Write + Seek> Output<'_, W> {
    fn put_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.out.seek(SeekFrom::Start(self.base + offset)).map_err(Error::Write)?;
        self.out.write_all(bytes).map_err(Error::Write)
    }

    fn align(&mut self) {
        self.at = self.at.next_multiple_of(CLUSTER);
    }

    /// Counts a use of every host cluster that these bytes touch.
    fn count(&mut self, offset: u64, length: u64) {
        for cluster in offset / CLUSTER..(offset + length).div_ceil(CLUSTER) {
            let cluster = to_usize(cluster);
            if self.refcounts.len() <= cluster {
                self.refcounts.resize(cluster + 1, 0);
            }
            self.refcounts[cluster] += 1;
        }
    }

    /// Writes whole clusters at the next cluster's start; its offset.
    fn append_clusters(&mut self, bytes: &[u8]) -> Result<u64, Error> {
        self.align();
        let offset = self.at;
        let length = (bytes.len() as u64).next_multiple_of(CLUSTER);
        self.count(offset, length);
        self.put_at(offset, bytes)?;
        self.at += length;
        Ok(offset)
    }

    /// Writes a compressed cluster right behind the last one; its descriptor.
    fn append_compressed(&mut self, bytes: &[u8]) -> Result<u64, Error> {
        let (offset, length) = (self.at, bytes.len() as u64);
        self.count(offset, length);
        self.put_at(offset, bytes)?;
        self.at += length;
        let more_sectors = (offset + length - 1) / 512 - offset / 512;
        Ok(COMPRESSED | more_sectors << OFFSET_BITS | offset)
    }
}

/// Writes the image of a raw disk of `size` bytes, read from its start, at the output's position.
///
/// # Errors
/// A size that cannot be, a disk that fails or ends early, failing output.
pub fn write(
    raw: &mut (impl Read + ?Sized),
    size: u64,
    compression: Compression,
    out: &mut (impl Write + Seek),
) -> Result<(), Error> {
    if size == 0 || !size.is_multiple_of(512) || size > MAX_SIZE {
        return Err(Error::Size(size));
    }
    let clusters = size.div_ceil(CLUSTER);
    let l1_entries = clusters.div_ceil(L2_ENTRIES);
    let base = out.stream_position().map_err(Error::Write)?;
    let mut output = Output { out, base, at: 0, refcounts: Vec::new() };
    let l1_bytes = (l1_entries * 8).next_multiple_of(CLUSTER);
    output.count(0, CLUSTER + l1_bytes);
    output.at = CLUSTER + l1_bytes;

    let l2 = data(raw, size, compression, &mut output)?;
    let mut l1 = vec![0; to_usize(l1_entries * 8)];
    for (n, table) in l2.chunks(to_usize(L2_ENTRIES)).enumerate() {
        if table.iter().any(|e| *e != 0) {
            let mut bytes: Vec<u8> = table.iter().flat_map(|e| e.to_be_bytes()).collect();
            bytes.resize(to_usize(CLUSTER), 0);
            let offset = output.append_clusters(&bytes)?;
            put(&mut l1, n * 8, &(offset | COPIED).to_be_bytes());
        }
    }
    let (table_offset, table_clusters) = refcounts(&mut output)?;
    let end = output.at;
    output.put_at(CLUSTER, &l1)?;
    // The file ends at a cluster's border even where its last bytes are zeros.
    output.put_at(end - 1, &[0])?;
    let header = header(size, l1_entries, table_offset, table_clusters, compression);
    output.put_at(0, &header)?;
    output.out.flush().map_err(Error::Write)
}

/// Writes the data clusters; the L2 entry of each cluster of the disk.
fn data<W: Write + Seek>(
    raw: &mut (impl Read + ?Sized),
    size: u64,
    compression: Compression,
    output: &mut Output<'_, W>,
) -> Result<Vec<u64>, Error> {
    let cluster = to_usize(CLUSTER);
    let mut l2 = Vec::new();
    let mut buf = vec![0; BATCH * cluster];
    let mut found = 0;
    while found < size {
        let want = buf.len().min(to_usize(size - found));
        let got = read_up_to(raw, &mut buf[..want]).map_err(Error::Read)?;
        found += got as u64;
        if got < want {
            return Err(Error::Length { expected: size, found });
        }
        // The last cluster of a disk may be part of one: its rest reads as zeros.
        let end = got.next_multiple_of(cluster);
        buf[got..end].fill(0);
        let blocks: Vec<&[u8]> = buf[..end].chunks(cluster).collect();
        let packed = match compression {
            Compression::None => vec![None; blocks.len()],
            Compression::Zstd { level, threads } => compress(&blocks, level, threads.max(1))?,
        };
        for (block, packed) in blocks.into_iter().zip(packed) {
            l2.push(match packed {
                Some(packed) => output.append_compressed(&packed)?,
                None if is_zero(block) => 0,
                None => output.append_clusters(block)? | COPIED,
            });
        }
    }
    Ok(l2)
}

/// Each block compressed, or `None` where it is zero or does not become smaller.
fn compress(blocks: &[&[u8]], level: i32, threads: usize) -> Result<Vec<Option<Vec<u8>>>, Error> {
    let one = |block: &&[u8], compressor: &mut zstd::bulk::Compressor<'_>| {
        if is_zero(block) {
            return Ok(None);
        }
        let packed = compressor.compress(block)?;
        Ok((packed.len() < block.len()).then_some(packed))
    };
    let part = |blocks: &[&[u8]]| -> io::Result<Vec<Option<Vec<u8>>>> {
        let mut compressor = zstd::bulk::Compressor::new(level)?;
        blocks.iter().map(|block| one(block, &mut compressor)).collect()
    };
    let share = blocks.len().div_ceil(threads);
    std::thread::scope(|scope| {
        let handles: Vec<_> = blocks.chunks(share).map(|blocks| scope.spawn(move || part(blocks))).collect();
        let mut out = Vec::with_capacity(blocks.len());
        for handle in handles {
            let done =
                handle.join().unwrap_or_else(|_| Err(io::Error::other("the compressor's thread died")));
            out.extend(done.map_err(Error::Compress)?);
        }
        Ok(out)
    })
}

/// Writes refcount blocks and their table, which count themselves too; the table's place and clusters.
fn refcounts<W: Write + Seek>(output: &mut Output<'_, W>) -> Result<(u64, u64), Error> {
    output.align();
    let used = output.at / CLUSTER;
    let (mut blocks, mut table) = (0, 0);
    loop {
        let more = (used + blocks + table).div_ceil(REFCOUNTS);
        let more_table = (more * 8).div_ceil(CLUSTER);
        if (more, more_table) == (blocks, table) {
            break;
        }
        (blocks, table) = (more, more_table);
    }
    let start = output.at;
    output.count(start, (blocks + table) * CLUSTER);
    let mut counts: Vec<u8> = output.refcounts.iter().flat_map(|n| n.to_be_bytes()).collect();
    counts.resize(to_usize(blocks * CLUSTER), 0);
    output.put_at(start, &counts)?;
    let entries: Vec<u8> = (0..blocks).flat_map(|n| (start + n * CLUSTER).to_be_bytes()).collect();
    let table_offset = start + blocks * CLUSTER;
    output.put_at(table_offset, &entries)?;
    output.at = table_offset + table * CLUSTER;
    Ok((table_offset, table))
}

fn header(
    size: u64,
    l1: u64,
    table_offset: u64,
    table_clusters: u64,
    compression: Compression,
) -> [u8; HEADER + 8] {
    let be32 = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes();
    let zstd = matches!(compression, Compression::Zstd { .. });
    // After the header stands an empty list of header extensions: eight zeros.
    let mut b = [0; HEADER + 8];
    put(&mut b, 0, b"QFI\xfb");
    put(&mut b, 4, &be32(3));
    put(&mut b, 20, &CLUSTER_BITS.to_be_bytes());
    put(&mut b, 24, &size.to_be_bytes());
    put(&mut b, 36, &be32(l1));
    put(&mut b, 40, &CLUSTER.to_be_bytes());
    put(&mut b, 48, &table_offset.to_be_bytes());
    put(&mut b, 56, &be32(table_clusters));
    // Incompatible feature 3: another compression than zlib.
    put(&mut b, 72, &(u64::from(zstd) << 3).to_be_bytes());
    // Refcounts of 2^4 bits.
    put(&mut b, 96, &be32(4));
    put(&mut b, 100, &be32(HEADER as u64));
    b[104] = u8::from(zstd);
    b
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn convert(raw: &[u8], compression: Compression) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        write(&mut &raw[..], raw.len() as u64, compression, &mut out).unwrap();
        out.into_inner()
    }

    #[test]
    fn zeros_take_no_clusters_and_threads_do_not_matter() {
        let mut raw = vec![0; 40 << 20];
        assert_eq!(convert(&raw, Compression::None).len() as u64, 4 * CLUSTER);
        raw[5 << 20..6 << 20].fill(7);
        raw[(40 << 20) - 1] = 1;
        let plain = convert(&raw, Compression::None);
        assert_eq!(plain.len() as u64, (4 + 16 + 1 + 1) * CLUSTER);
        let one = convert(&raw, Compression::Zstd { level: 3, threads: 1 });
        assert!(one == convert(&raw, Compression::Zstd { level: 3, threads: 3 }));
        assert!(one.len() < 7 * 65536);
    }

    #[test]
    fn sizes_and_short_disks() {
        for size in [0, 511, MAX_SIZE + 512] {
            let result = write(&mut io::empty(), size, Compression::None, &mut Cursor::new(Vec::new()));
            assert!(matches!(result, Err(Error::Size(_))));
        }
        let result = write(&mut &[1; 600][..], 1024, Compression::None, &mut Cursor::new(Vec::new()));
        assert!(matches!(result, Err(Error::Length { found: 600, .. })));
    }
}
