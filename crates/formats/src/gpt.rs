//! GUID partition tables (UEFI specification 2.10, chapter 5): built, read, changed and written back.
//!
//! A [`Table`] is a value; every change is checked when it is made (numbers, ranges, overlaps, unique
//! GUIDs), so a table that exists can be written. Writing goes backup first, then a flush, then the
//! primary: a cut in between leaves one good copy, and [`Table::read`] takes either. Sector size and
//! disk size are arguments; GUIDs too, none is made up here.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

use uuid::Uuid;

use crate::bytes::{le16, le32, le64, put, take, to_usize};

const SIGNATURE: &[u8; 8] = b"EFI PART";
const HEADER: usize = 92;
const ENTRY: usize = 128;
/// Entries of a new table, and the least a disk's table has.
pub const ENTRIES: u32 = 128;
const MAX_ENTRIES: u32 = 1024;
/// The alignment of partitions, in bytes.
pub const ALIGNMENT: u64 = 1 << 20;

/// Why a table could not be read, changed or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading the disk failed.
    #[error("failed to read the partition table")]
    Read(#[source] io::Error),
    /// Writing the disk failed.
    #[error("failed to write the partition table")]
    Write(#[source] io::Error),
    /// A sector size other than a power of two from 512 to 4096, or a disk too small for a table.
    #[error("failed to place a partition table on {sectors} sectors of {sector_bytes} bytes")]
    Disk {
        /// Sectors of the disk.
        sectors: u64,
        /// Bytes of each.
        sector_bytes: u64,
    },
    /// Neither copy is good.
    #[error("failed to find a partition table: primary: {primary}; backup: {backup}")]
    NoTable {
        /// What is wrong with the primary.
        primary: Fault,
        /// What is wrong with the backup.
        backup: Fault,
    },
    /// A partition number that is 0, over the table's size, or taken.
    #[error("failed to add partition {0}: the number is taken or outside the table")]
    Number(u32),
    /// A partition that does not exist.
    #[error("failed to find partition {0}")]
    Missing(u32),
    /// A range that is empty or outside the usable sectors.
    #[error(
        "failed to place partition {number} at sectors {first} to {last}: usable are {usable_first} to {usable_last}"
    )]
    Range {
        /// The partition.
        number: u32,
        /// Wanted first sector.
        first: u64,
        /// Wanted last sector.
        last: u64,
        /// First usable sector.
        usable_first: u64,
        /// Last usable sector.
        usable_last: u64,
    },
    /// Two partitions share sectors.
    #[error("failed to place partition {number}: it overlaps partition {other}")]
    Overlap {
        /// The new one.
        number: u32,
        /// The one that is there.
        other: u32,
    },
    /// A GUID that is nil, or that another partition has.
    #[error("failed to give partition {number} the GUID {guid}: it is nil or taken")]
    Guid {
        /// The partition.
        number: u32,
        /// The GUID.
        guid: Uuid,
    },
    /// A name over 36 UTF-16 units or with a NUL.
    #[error("failed to name a partition `{0}`: expected at most 36 characters")]
    Name(String),
    /// No free range is large enough.
    #[error("failed to find {wanted} free sectors: the largest range has {largest}")]
    NoSpace {
        /// Sectors wanted.
        wanted: u64,
        /// Sectors of the largest free range.
        largest: u64,
    },
}

/// What is wrong with one copy of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Outside the disk, or the disk could not be read there.
    #[error("it lies outside the disk")]
    Outside,
    /// No signature.
    #[error("there is no signature")]
    Signature,
    /// Another revision, header or entry size than this module's.
    #[error("its header has an unknown form")]
    Form,
    /// The header's checksum does not match.
    #[error("the header's checksum does not match")]
    HeaderChecksum,
    /// The entries' checksum does not match.
    #[error("the entries' checksum does not match")]
    EntriesChecksum,
    /// Ranges that leave the disk, overlap or repeat a GUID.
    #[error("its ranges or GUIDs contradict each other")]
    Contradiction,
    /// Sound, but unlike the primary.
    #[error("it differs from the primary")]
    Differs,
    /// Sound, but not at the disk's end, as on a disk that grew.
    #[error("it is not at the end of the disk")]
    NotAtEnd,
}

/// The state of the copies of a table that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// The primary's fault; the table then comes from the backup.
    pub primary: Option<Fault>,
    /// The backup's fault.
    pub backup: Option<Fault>,
}

impl Condition {
    /// Whether both copies are good and agree.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.primary.is_none() && self.backup.is_none()
    }
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Type GUID.
    pub type_guid: Uuid,
    /// Its own GUID (PARTUUID).
    pub guid: Uuid,
    /// First sector.
    pub first: u64,
    /// Last sector, inclusive.
    pub last: u64,
    /// Attribute bits.
    pub attributes: u64,
    /// Name (PARTLABEL), at most 36 UTF-16 units.
    pub name: String,
}

impl Partition {
    /// Number of sectors.
    #[must_use]
    pub fn sectors(&self) -> u64 {
        self.last - self.first + 1
    }
}

/// A partition table with its disk's geometry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    disk_guid: Uuid,
    sector: u64,
    sectors: u64,
    first_usable: u64,
    last_usable: u64,
    entries: u32,
    partitions: BTreeMap<u32, Partition>,
}

impl Table {
    /// An empty table for a disk of `disk_bytes`.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn new(disk_guid: Uuid, disk_bytes: u64, sector_bytes: u64) -> Result<Self, Error> {
        let sectors = geometry(disk_bytes, sector_bytes)?;
        let array = array_sectors(ENTRIES, sector_bytes);
        Ok(Self {
            disk_guid,
            sector: sector_bytes,
            sectors,
            first_usable: 2 + array,
            last_usable: sectors - array - 2,
            entries: ENTRIES,
            partitions: BTreeMap::new(),
        })
    }

    /// Reads the table of a disk (its size is the stream's end), from the backup where the primary is bad.
    ///
    /// # Errors
    /// [`Error::NoTable`] where both copies are bad, [`Error::Read`] where the disk fails.
    pub fn read(disk: &mut (impl Read + Seek), sector_bytes: u64) -> Result<(Self, Condition), Error> {
        let bytes = disk.seek(SeekFrom::End(0)).map_err(Error::Read)?;
        let sectors = geometry(bytes, sector_bytes)?;
        let end = sectors - 1;
        match parse(disk, 1, sectors, sector_bytes) {
            Ok((table, alternate)) => {
                let backup = match parse(disk, alternate, sectors, sector_bytes) {
                    Err(fault) => Some(fault),
                    Ok((other, back)) if other != table || back != 1 => Some(Fault::Differs),
                    Ok(_) if alternate != end => Some(Fault::NotAtEnd),
                    Ok(_) => None,
                };
                Ok((table, Condition { primary: None, backup }))
            }
            Err(primary) => match parse(disk, end, sectors, sector_bytes) {
                Ok((table, _)) => Ok((table, Condition { primary: Some(primary), backup: None })),
                Err(backup) => Err(Error::NoTable { primary, backup }),
            },
        }
    }

    /// The disk's GUID.
    #[must_use]
    pub fn disk_guid(&self) -> Uuid {
        self.disk_guid
    }

    /// Bytes of a sector.
    #[must_use]
    pub fn sector_bytes(&self) -> u64 {
        self.sector
    }

    /// First and last sector that partitions may use.
    #[must_use]
    pub fn usable(&self) -> (u64, u64) {
        (self.first_usable, self.last_usable)
    }

    /// Partitions by number.
    #[must_use]
    pub fn partitions(&self) -> &BTreeMap<u32, Partition> {
        &self.partitions
    }

    /// Number and partition of the first one with this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<(u32, &Partition)> {
        self.partitions.iter().find(|(_, p)| p.name == name).map(|(n, p)| (*n, p))
    }

    /// Offset and length in bytes of a partition.
    #[must_use]
    pub fn byte_range(&self, number: u32) -> Option<(u64, u64)> {
        let p = self.partitions.get(&number)?;
        Some((p.first * self.sector, p.sectors() * self.sector))
    }

    /// Gives the disk another GUID.
    pub fn set_disk_guid(&mut self, guid: Uuid) {
        self.disk_guid = guid;
    }

    /// Takes the disk's present size: the backup moves to its end, what is new becomes usable.
    ///
    /// # Errors
    /// [`Error::Disk`], or [`Error::Range`] where a partition would end behind the usable sectors.
    pub fn fit_disk(&mut self, disk_bytes: u64) -> Result<(), Error> {
        let sectors = geometry(disk_bytes, self.sector)?;
        let last_usable = sectors - array_sectors(self.entries, self.sector) - 2;
        if let Some((number, p)) = self.partitions.iter().find(|(_, p)| p.last > last_usable) {
            return Err(self.range_error(*number, p.first, p.last));
        }
        (self.sectors, self.last_usable) = (sectors, last_usable);
        Ok(())
    }

    /// The lowest number without a partition.
    #[must_use]
    pub fn free_number(&self) -> Option<u32> {
        (1..=self.entries).find(|n| !self.partitions.contains_key(n))
    }

    /// Free ranges (first and last sector) whose start is aligned to `alignment` bytes.
    #[must_use]
    pub fn free_ranges(&self, alignment: u64) -> Vec<(u64, u64)> {
        let step = (alignment / self.sector).max(1);
        let mut used: Vec<_> = self.partitions.values().map(|p| (p.first, p.last)).collect();
        used.sort_unstable();
        used.push((self.last_usable + 1, 0));
        let mut out = Vec::new();
        let mut next = self.first_usable;
        for (first, last) in used {
            let start = next.next_multiple_of(step);
            if start < first {
                out.push((start, first - 1));
            }
            next = next.max(last + 1);
        }
        out
    }

    /// The first free range of this many bytes, aligned to [`ALIGNMENT`].
    ///
    /// # Errors
    /// [`Error::NoSpace`].
    pub fn find_space(&self, bytes: u64) -> Result<(u64, u64), Error> {
        let wanted = bytes.div_ceil(self.sector).max(1);
        let free = self.free_ranges(ALIGNMENT);
        let fits = free.iter().find(|(first, last)| last - first + 1 >= wanted);
        fits.map(|(first, _)| (*first, first + wanted - 1)).ok_or_else(|| {
            let largest = free.iter().map(|(first, last)| last - first + 1).max().unwrap_or(0);
            Error::NoSpace { wanted, largest }
        })
    }

    /// Adds a partition.
    ///
    /// # Errors
    /// A number, range, GUID or name that cannot be; overlap with another partition.
    pub fn add(&mut self, number: u32, partition: Partition) -> Result<(), Error> {
        if number == 0 || number > self.entries || self.partitions.contains_key(&number) {
            return Err(Error::Number(number));
        }
        self.check(number, &partition)?;
        self.partitions.insert(number, partition);
        Ok(())
    }

    /// Adds a partition of this many bytes in the first free range.
    ///
    /// # Errors
    /// As [`Table::find_space`] and [`Table::add`].
    pub fn add_sized(
        &mut self,
        number: u32,
        bytes: u64,
        type_guid: Uuid,
        guid: Uuid,
        name: &str,
    ) -> Result<(), Error> {
        let (first, last) = self.find_space(bytes)?;
        self.add(number, Partition { type_guid, guid, first, last, attributes: 0, name: name.to_owned() })
    }

    /// Removes a partition and gives it back.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn remove(&mut self, number: u32) -> Result<Partition, Error> {
        self.partitions.remove(&number).ok_or(Error::Missing(number))
    }

    /// Changes a partition; on an error the table stays as it was.
    ///
    /// # Errors
    /// [`Error::Missing`], and those of [`Table::add`].
    pub fn change(&mut self, number: u32, edit: impl FnOnce(&mut Partition)) -> Result<(), Error> {
        let mut changed = self.partitions.get(&number).ok_or(Error::Missing(number))?.clone();
        edit(&mut changed);
        self.check(number, &changed)?;
        self.partitions.insert(number, changed);
        Ok(())
    }

    /// Grows a partition over the free sectors behind it; whether it changed.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn grow(&mut self, number: u32) -> Result<bool, Error> {
        let here = self.partitions.get(&number).ok_or(Error::Missing(number))?;
        let behind = self.partitions.values().map(|p| p.first).filter(|first| *first > here.last).min();
        let last = behind.map_or(self.last_usable, |first| first - 1);
        let grows = last > here.last;
        if grows {
            self.change(number, |p| p.last = last)?;
        }
        Ok(grows)
    }

    fn range_error(&self, number: u32, first: u64, last: u64) -> Error {
        Error::Range { number, first, last, usable_first: self.first_usable, usable_last: self.last_usable }
    }

    fn check(&self, number: u32, p: &Partition) -> Result<(), Error> {
        if p.first > p.last || p.first < self.first_usable || p.last > self.last_usable {
            return Err(self.range_error(number, p.first, p.last));
        }
        if p.type_guid.is_nil() {
            return Err(Error::Guid { number, guid: p.type_guid });
        }
        if p.name.encode_utf16().count() > 36 || p.name.contains('\0') {
            return Err(Error::Name(p.name.clone()));
        }
        for (&other, q) in self.partitions.iter().filter(|(n, _)| **n != number) {
            if p.first <= q.last && q.first <= p.last {
                return Err(Error::Overlap { number, other });
            }
            if p.guid == q.guid {
                return Err(Error::Guid { number, guid: p.guid });
            }
        }
        Ok(())
    }

    /// Writes both copies and a protective MBR whose boot code area is zeroed: for a new disk.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn write_new(&self, disk: &mut (impl Write + Seek)) -> Result<(), Error> {
        disk.seek(SeekFrom::Start(0)).and_then(|_| disk.write_all(&[0; 446])).map_err(Error::Write)?;
        self.write(disk)
    }

    /// Writes both copies, backup first, and the protective MBR's table; boot code stays.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn write(&self, disk: &mut (impl Write + Seek)) -> Result<(), Error> {
        let entries = self.encode_entries();
        let array = array_sectors(self.entries, self.sector);
        let end = self.sectors - 1;
        let mut at = |sector: u64, bytes: &[u8]| {
            disk.seek(SeekFrom::Start(sector * self.sector))
                .and_then(|_| disk.write_all(bytes))
                .map_err(Error::Write)
        };
        at(end - array, &entries)?;
        at(end, &self.encode_header(end, 1, end - array, &entries))?;
        disk.flush().map_err(Error::Write)?;
        let mut at = |offset: u64, bytes: &[u8]| {
            disk.seek(SeekFrom::Start(offset)).and_then(|_| disk.write_all(bytes)).map_err(Error::Write)
        };
        at(446, &self.protective())?;
        at(2 * self.sector, &entries)?;
        at(self.sector, &self.encode_header(1, end, 2, &entries))?;
        disk.flush().map_err(Error::Write)
    }

    /// The MBR from its partition table on: one entry of type 0xee over the whole disk.
    fn protective(&self) -> [u8; 66] {
        let mut b = [0; 66];
        put(&mut b, 0, &[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0]);
        put(&mut b, 12, &u32::try_from(self.sectors - 1).unwrap_or(u32::MAX).to_le_bytes());
        put(&mut b, 64, &[0x55, 0xaa]);
        b
    }

    fn encode_entries(&self) -> Vec<u8> {
        let mut out = vec![0; to_usize(array_sectors(self.entries, self.sector) * self.sector)];
        for (number, p) in &self.partitions {
            let at = to_usize(u64::from(number - 1)) * ENTRY;
            let entry = &mut out[at..at + ENTRY];
            put(entry, 0, &p.type_guid.to_bytes_le());
            put(entry, 16, &p.guid.to_bytes_le());
            put(entry, 32, &p.first.to_le_bytes());
            put(entry, 40, &p.last.to_le_bytes());
            put(entry, 48, &p.attributes.to_le_bytes());
            for (n, unit) in p.name.encode_utf16().take(36).enumerate() {
                put(entry, 56 + 2 * n, &unit.to_le_bytes());
            }
        }
        out
    }

    fn encode_header(&self, own: u64, alternate: u64, array: u64, entries: &[u8]) -> Vec<u8> {
        let mut b = vec![0; to_usize(self.sector)];
        put(&mut b, 0, SIGNATURE);
        put(&mut b, 8, &[0, 0, 1, 0, 92, 0, 0, 0]);
        put(&mut b, 24, &own.to_le_bytes());
        put(&mut b, 32, &alternate.to_le_bytes());
        put(&mut b, 40, &self.first_usable.to_le_bytes());
        put(&mut b, 48, &self.last_usable.to_le_bytes());
        put(&mut b, 56, &self.disk_guid.to_bytes_le());
        put(&mut b, 72, &array.to_le_bytes());
        put(&mut b, 80, &self.entries.to_le_bytes());
        put(&mut b, 84, &[128, 0, 0, 0]);
        let used = to_usize(self.entries.into()) * ENTRY;
        put(&mut b, 88, &crc32(&entries[..used]).to_le_bytes());
        let sum = crc32(&b[..HEADER]);
        put(&mut b, 16, &sum.to_le_bytes());
        b
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Sectors of a disk, where it has room for a table and a partition.
fn geometry(disk_bytes: u64, sector_bytes: u64) -> Result<u64, Error> {
    if !matches!(sector_bytes, 512 | 1024 | 2048 | 4096) {
        return Err(Error::Disk { sectors: 0, sector_bytes });
    }
    let sectors = disk_bytes / sector_bytes;
    if sectors < 4 + 2 * array_sectors(MAX_ENTRIES, sector_bytes) {
        return Err(Error::Disk { sectors, sector_bytes });
    }
    Ok(sectors)
}

fn array_sectors(entries: u32, sector_bytes: u64) -> u64 {
    (u64::from(entries) * ENTRY as u64).div_ceil(sector_bytes)
}

/// Reads one copy; the table and where it says the other copy is.
fn parse(disk: &mut (impl Read + Seek), at: u64, sectors: u64, sector: u64) -> Result<(Table, u64), Fault> {
    let mut read = |lba: u64, bytes: u64| {
        let end = lba.checked_mul(sector).and_then(|start| start.checked_add(bytes)).ok_or(Fault::Outside)?;
        if lba == 0 || end > sectors * sector {
            return Err(Fault::Outside);
        }
        let mut buf = vec![0; to_usize(bytes)];
        disk.seek(SeekFrom::Start(lba * sector)).map_err(|_| Fault::Outside)?;
        disk.read_exact(&mut buf).map_err(|_| Fault::Outside)?;
        Ok(buf)
    };
    let mut header = read(at, sector)?;
    if &header[..8] != SIGNATURE {
        return Err(Fault::Signature);
    }
    let entries = le32(&header, 80);
    if le32(&header, 8) != 0x1_0000
        || to_usize(le32(&header, 12).into()) != HEADER
        || to_usize(le32(&header, 84).into()) != ENTRY
        || !(1..=MAX_ENTRIES).contains(&entries)
        || le64(&header, 24) != at
    {
        return Err(Fault::Form);
    }
    let sum = le32(&header, 16);
    put(&mut header, 16, &[0; 4]);
    if crc32(&header[..HEADER]) != sum {
        return Err(Fault::HeaderChecksum);
    }
    let array = read(le64(&header, 72), u64::from(entries) * ENTRY as u64)?;
    if crc32(&array) != le32(&header, 88) {
        return Err(Fault::EntriesChecksum);
    }
    let (first_usable, last_usable) = (le64(&header, 40), le64(&header, 48));
    let least = 2 + array_sectors(entries, sector);
    if first_usable < least
        || last_usable >= sectors - 1 - array_sectors(entries, sector)
        || first_usable > last_usable
    {
        return Err(Fault::Contradiction);
    }
    let disk_guid = Uuid::from_bytes_le(take(&header, 56));
    let mut table =
        Table { disk_guid, sector, sectors, first_usable, last_usable, entries, partitions: BTreeMap::new() };
    for (number, e) in (1..).zip(array.chunks_exact(ENTRY)) {
        let type_guid = Uuid::from_bytes_le(take(e, 0));
        if type_guid.is_nil() {
            continue;
        }
        let units: Vec<u16> = (0..36).map(|n| le16(e, 56 + 2 * n)).take_while(|u| *u != 0).collect();
        let partition = Partition {
            type_guid,
            guid: Uuid::from_bytes_le(take(e, 16)),
            first: le64(e, 32),
            last: le64(e, 40),
            attributes: le64(e, 48),
            name: String::from_utf16_lossy(&units),
        };
        table.add(number, partition).map_err(|_| Fault::Contradiction)?;
    }
    Ok((table, le64(&header, 32)))
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation)]
mod tests {
    use std::io::Cursor;

    use super::*;

    const DISK: u64 = 64 << 20;

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    fn table(sector: u64) -> Table {
        let mut t = Table::new(id(1), DISK, sector).unwrap();
        for (number, mib, name) in
            [(1, 8, "EFI-SYSTEM"), (3, 4, "USR-A"), (4, 4, "USR-B"), (6, 2, "OEM"), (9, 1, "ROOT")]
        {
            t.add_sized(number, mib << 20, id(100), id(10 + u128::from(number)), name).unwrap();
        }
        t
    }

    fn disk(t: &Table) -> Cursor<Vec<u8>> {
        let mut disk = Cursor::new(vec![0; DISK as usize]);
        t.write_new(&mut disk).unwrap();
        disk
    }

    #[test]
    fn written_tables_read_back_from_either_copy() {
        for sector in [512, 4096] {
            let t = table(sector);
            let mut d = disk(&t);
            let (back, condition) = Table::read(&mut d, sector).unwrap();
            assert_eq!((&back, condition.is_good()), (&t, true));
            for (number, p) in back.partitions() {
                assert_eq!(p.first * sector % ALIGNMENT, 0, "{number}");
            }
            assert_eq!(back.by_name("OEM").unwrap().0, 6);
            assert_eq!(back.byte_range(3).unwrap(), (9 << 20, 4 << 20));
            d.get_mut()[sector as usize + 30] ^= 1;
            let (back, condition) = Table::read(&mut d, sector).unwrap();
            assert_eq!((&back, condition.primary), (&t, Some(Fault::Form)));
            d.get_mut()[DISK as usize - sector as usize + 60] ^= 1;
            assert!(matches!(
                Table::read(&mut d, sector),
                Err(Error::NoTable { primary: Fault::Form, backup: Fault::HeaderChecksum })
            ));
        }
    }

    #[test]
    fn grown_disks_get_their_backup_moved_and_the_last_partition_grown() {
        let mut d = disk(&table(512));
        d.get_mut().resize(2 * DISK as usize, 0);
        let (mut t, condition) = Table::read(&mut d, 512).unwrap();
        assert_eq!(condition, Condition { primary: None, backup: Some(Fault::NotAtEnd) });
        t.fit_disk(2 * DISK).unwrap();
        t.set_disk_guid(id(77));
        assert!(t.grow(9).unwrap());
        assert!(!t.grow(9).unwrap());
        assert!(!t.grow(3).unwrap());
        t.write(&mut d).unwrap();
        let (back, condition) = Table::read(&mut d, 512).unwrap();
        assert!(condition.is_good());
        assert_eq!(back.disk_guid(), id(77));
        assert_eq!(back.partitions()[&9].last, 2 * DISK / 512 - 34);
        assert!(matches!(t.fit_disk(DISK), Err(Error::Range { number: 9, .. })));
    }

    #[test]
    fn a_cut_between_the_copies_leaves_one_table() {
        let old = table(512);
        let mut new = old.clone();
        new.remove(9).unwrap();
        let before = disk(&old).into_inner();
        // All writes in order, then every prefix of them.
        struct Log(Vec<(u64, Vec<u8>)>, u64);
        impl Write for Log {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.0.push((self.1, buf.to_vec()));
                Ok(buf.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        impl Seek for Log {
            fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
                if let SeekFrom::Start(n) = to {
                    self.1 = n;
                }
                Ok(self.1)
            }
        }
        let mut log = Log(Vec::new(), 0);
        new.write(&mut log).unwrap();
        for cut in 0..=log.0.len() {
            let mut bytes = before.clone();
            for (at, data) in &log.0[..cut] {
                let at = usize::try_from(*at).unwrap();
                bytes[at..at + data.len()].copy_from_slice(data);
            }
            let (t, _) = Table::read(&mut Cursor::new(bytes), 512).unwrap();
            assert!(t == old || t == new, "{cut}");
        }
    }

    #[test]
    fn changes_that_cannot_be_are_refused() {
        let mut t = table(512);
        let p = t.partitions()[&9].clone();
        let free = Partition { first: p.last + 1, last: p.last + 10, guid: id(99), ..p.clone() };
        assert!(matches!(t.add(0, free.clone()), Err(Error::Number(0))));
        assert!(matches!(t.add(9, free.clone()), Err(Error::Number(9))));
        assert!(matches!(t.add(129, free.clone()), Err(Error::Number(129))));
        assert!(matches!(
            t.add(2, Partition { first: p.last, ..free.clone() }),
            Err(Error::Overlap { other: 9, .. })
        ));
        assert!(matches!(t.add(2, Partition { first: 3, ..free.clone() }), Err(Error::Range { .. })));
        assert!(matches!(t.add(2, Partition { last: u64::MAX, ..free.clone() }), Err(Error::Range { .. })));
        assert!(matches!(t.add(2, Partition { last: 0, ..free.clone() }), Err(Error::Range { .. })));
        assert!(matches!(t.add(2, Partition { guid: id(13), ..free.clone() }), Err(Error::Guid { .. })));
        assert!(matches!(t.add(2, Partition { type_guid: id(0), ..free.clone() }), Err(Error::Guid { .. })));
        assert!(matches!(t.add(2, Partition { name: "n".repeat(37), ..free.clone() }), Err(Error::Name(_))));
        assert!(matches!(t.change(3, |p| p.last += 1), Err(Error::Overlap { .. })));
        assert!(matches!(t.change(5, |_| {}), Err(Error::Missing(5))));
        assert!(matches!(t.find_space(DISK), Err(Error::NoSpace { .. })));
        assert_eq!(t, table(512));
        t.change(3, |p| p.guid = id(5)).unwrap();
        t.add(t.free_number().unwrap(), free).unwrap();
        assert!(t.partitions().contains_key(&2));
        for (bytes, sector) in [(0, 512), (1 << 16, 512), (DISK, 513), (DISK, 0)] {
            assert!(matches!(Table::new(id(1), bytes, sector), Err(Error::Disk { .. })));
        }
    }

    proptest::proptest! {
        #[test]
        fn damaged_disks_never_panic(damage in proptest::collection::vec((512usize..18_000, proptest::num::u8::ANY), 1..30)) {
            let t = Table::new(id(1), 1 << 20, 512).unwrap();
            let mut d = Cursor::new(vec![0; 1 << 20]);
            t.write_new(&mut d).unwrap();
            for (at, with) in damage {
                d.get_mut()[at] = with;
            }
            let _ = Table::read(&mut d, 512);
        }
    }
}
