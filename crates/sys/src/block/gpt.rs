//! Reading a GUID partition table from a device: just enough to know which partition is which.
//! Writing tables is the business of the crate `formats`.
//!
//! Reference: UEFI specification 2.10, chapter 5.3. The primary header (sector 1) is taken when it and
//! its entries are whole, else the backup in the last sector.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::str::FromStr;

/// Largest table read: 128 entries of 128 bytes are usual, this allows 512 of 512.
const ENTRIES_LIMIT: u64 = 256 * 1024;
const HEADER: usize = 92;

/// A GUID in its bytes on disk (the first three groups are little-endian).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Guid(pub [u8; 16]);

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, index) in
            [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].into_iter().enumerate()
        {
            if matches!(position, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{:02x}", self.0[index])?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not a GUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to read GUID `{0}`: expected 32 hexadecimal digits, with or without dashes")]
pub struct GuidError(String);

impl FromStr for Guid {
    type Err = GuidError;

    fn from_str(text: &str) -> Result<Self, GuidError> {
        let digits: Vec<u8> = text
            .bytes()
            .filter(|b| *b != b'-')
            .map_while(|b| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok()))
            .collect();
        if digits.len() != 32 || text.bytes().filter(|b| *b != b'-').count() != 32 {
            return Err(GuidError(text.chars().take(80).collect()));
        }
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        bytes[..4].reverse();
        bytes[4..6].reverse();
        bytes[6..8].reverse();
        Ok(Self(bytes))
    }
}

/// One used entry of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Partition number, from 1.
    pub number: u32,
    /// What kind of partition it is.
    pub type_guid: Guid,
    /// The partition's own id (PARTUUID).
    pub guid: Guid,
    /// First sector.
    pub first_lba: u64,
    /// Last sector.
    pub last_lba: u64,
    /// Its label (PARTLABEL).
    pub name: String,
}

/// A partition table that was found whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The disk's id.
    pub disk_guid: Guid,
    /// Last sector partitions may use.
    pub last_usable_lba: u64,
    /// The used entries by number.
    pub entries: Vec<Entry>,
    /// Whether the primary copy was broken and this is the backup.
    pub from_backup: bool,
}

/// Why a table could not be read.
#[derive(Debug, thiserror::Error)]
pub enum GptError {
    /// The device could not be read.
    #[error("failed to read the partition table")]
    Read(#[source] io::Error),
    /// There is none, or both copies are broken.
    #[error("failed to find a whole GUID partition table: primary copy: {primary}; backup copy: {backup}")]
    NoTable {
        /// What is wrong with the copy at the start.
        primary: &'static str,
        /// What is wrong with the copy at the end.
        backup: &'static str,
    },
}

/// Reads the table of a disk of `size` bytes with sectors of `sector_size` bytes.
///
/// # Errors
/// When it cannot be read, or neither copy is whole.
pub fn read(disk: &File, size: u64, sector_size: u32) -> Result<Table, GptError> {
    let sector = u64::from(sector_size.clamp(512, 1 << 16));
    let sectors = size / sector;
    let copy = |lba: u64| -> Result<Result<Table, &'static str>, GptError> {
        let mut header = [0; HEADER];
        let at = lba.saturating_mul(sector);
        if at.saturating_add(sector) > size {
            return Ok(Err("the device is too small"));
        }
        disk.read_exact_at(&mut header, at).map_err(GptError::Read)?;
        let fields = match Header::parse(&header, lba) {
            Ok(fields) => fields,
            Err(problem) => return Ok(Err(problem)),
        };
        let start = fields.entries_lba.saturating_mul(sector);
        if start.saturating_add(fields.entries_length()) > size {
            return Ok(Err("its entries lie behind the end of the disk"));
        }
        let length = usize::try_from(fields.entries_length()).unwrap_or(usize::MAX);
        let mut entries = vec![0; length];
        disk.read_exact_at(&mut entries, start).map_err(GptError::Read)?;
        Ok(fields.table(&entries))
    };
    let primary = match copy(1)? {
        Ok(table) => return Ok(table),
        Err(problem) => problem,
    };
    match copy(sectors.saturating_sub(1))? {
        Ok(table) => Ok(Table { from_backup: true, ..table }),
        Err(backup) => Err(GptError::NoTable { primary, backup }),
    }
}

/// The fields of a header that matter here.
struct Header {
    disk_guid: Guid,
    last_usable_lba: u64,
    entries_lba: u64,
    count: u32,
    entry_size: u32,
    entries_crc: u32,
}

impl Header {
    fn parse(bytes: &[u8; HEADER], lba: u64) -> Result<Self, &'static str> {
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        if !bytes.starts_with(b"EFI PART") {
            return Err("no signature");
        }
        if u32_at(12) as usize != HEADER {
            return Err("a header length other than 92");
        }
        let mut zeroed = *bytes;
        zeroed[16..20].fill(0);
        if crc32(&zeroed) != u32_at(16) {
            return Err("the header's checksum is wrong");
        }
        if u64_at(24) != lba {
            return Err("the header is not where it says");
        }
        let mut guid = [0; 16];
        guid.copy_from_slice(&bytes[56..72]);
        let header = Self {
            disk_guid: Guid(guid),
            last_usable_lba: u64_at(48),
            entries_lba: u64_at(72),
            count: u32_at(80),
            entry_size: u32_at(84),
            entries_crc: u32_at(88),
        };
        if header.entry_size < 128 || header.entries_length() > ENTRIES_LIMIT {
            return Err("the size of its entries makes no sense");
        }
        Ok(header)
    }

    fn entries_length(&self) -> u64 {
        u64::from(self.count) * u64::from(self.entry_size)
    }

    fn table(&self, bytes: &[u8]) -> Result<Table, &'static str> {
        if crc32(bytes) != self.entries_crc {
            return Err("the checksum of the entries is wrong");
        }
        let entries = bytes.chunks_exact(self.entry_size as usize).zip(1..).filter_map(|(b, n)| entry(b, n));
        Ok(Table {
            disk_guid: self.disk_guid,
            last_usable_lba: self.last_usable_lba,
            entries: entries.collect(),
            from_backup: false,
        })
    }
}

fn entry(bytes: &[u8], number: u32) -> Option<Entry> {
    let type_guid: [u8; 16] = bytes.get(..16)?.try_into().ok()?;
    if type_guid == [0; 16] {
        return None;
    }
    let units = bytes.get(56..128)?.chunks_exact(2).map(|u| u16::from_le_bytes([u[0], u[1]]));
    Some(Entry {
        number,
        type_guid: Guid(type_guid),
        guid: Guid(bytes.get(16..32)?.try_into().ok()?),
        first_lba: u64::from_le_bytes(bytes.get(32..40)?.try_into().ok()?),
        last_lba: u64::from_le_bytes(bytes.get(40..48)?.try_into().ok()?),
        name: char::decode_utf16(units.take_while(|u| *u != 0))
            .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect(),
    })
}

/// CRC-32 as zlib's, bit by bit: a table of 16 KiB takes well under a millisecond.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::{Guid, crc32, read};
    use proptest::prelude::*;
    use std::io::{Seek as _, SeekFrom, Write as _};

    fn table(size: u64, sector: u64, lba: u64, entries_lba: u64) -> (Vec<u8>, Vec<u8>) {
        let mut entries = vec![0; 128 * 128];
        let guid: Guid = "5dfbf5f4-2848-4bac-aa5e-0d9a20b745a6".parse().unwrap();
        entries[256..272].copy_from_slice(&guid.0);
        entries[272..288].copy_from_slice(&[7; 16]);
        entries[288..296].copy_from_slice(&64_u64.to_le_bytes());
        entries[296..304].copy_from_slice(&99_u64.to_le_bytes());
        for (i, unit) in "USR-A".encode_utf16().enumerate() {
            entries[312 + 2 * i..][..2].copy_from_slice(&unit.to_le_bytes());
        }
        let mut header = vec![0; 92];
        header[..8].copy_from_slice(b"EFI PART");
        header[12] = 92;
        header[24..32].copy_from_slice(&lba.to_le_bytes());
        header[48..56].copy_from_slice(&(size / sector - 34).to_le_bytes());
        header[56..72].copy_from_slice(&[9; 16]);
        header[72..80].copy_from_slice(&entries_lba.to_le_bytes());
        header[80] = 128;
        header[84] = 128;
        header[88..92].copy_from_slice(&crc32(&entries).to_le_bytes());
        let crc = crc32(&header);
        header[16..20].copy_from_slice(&crc.to_le_bytes());
        (header, entries)
    }

    fn disk(sector: u64, break_primary: bool) -> std::fs::File {
        let size = 1 << 20;
        let last = size / sector - 1;
        let mut file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        let spread = 128 * 128_u64.div_ceil(1) / sector;
        for (lba, entries_lba) in [(1, 2), (last, last - spread)] {
            let (mut header, entries) = table(size, sector, lba, entries_lba);
            if lba == 1 && break_primary {
                header[60] ^= 1;
            }
            file.seek(SeekFrom::Start(lba * sector)).unwrap();
            file.write_all(&header).unwrap();
            file.seek(SeekFrom::Start(entries_lba * sector)).unwrap();
            file.write_all(&entries).unwrap();
        }
        file
    }

    #[test]
    fn both_copies_and_sector_sizes_are_read() {
        for sector in [512, 4096] {
            for broken in [false, true] {
                let table = read(&disk(sector, broken), 1 << 20, u32::try_from(sector).unwrap()).unwrap();
                assert_eq!(table.from_backup, broken);
                assert_eq!(table.entries.len(), 1);
                assert_eq!((table.entries[0].number, table.entries[0].name.as_str()), (3, "USR-A"));
                assert_eq!((table.entries[0].first_lba, table.entries[0].last_lba), (64, 99));
            }
        }
    }

    #[test]
    fn a_disk_without_a_table_says_so() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        let error = read(&file, 1 << 20, 512).unwrap_err().to_string();
        assert_eq!(
            error,
            "failed to find a whole GUID partition table: primary copy: no signature; backup copy: no signature"
        );
        assert!(read(&file, 0, 512).is_err());
    }

    #[test]
    fn guids_read_and_print() {
        let text = "0fc63daf-8483-4772-8e79-3d69d8477de4";
        let guid: Guid = text.parse().unwrap();
        assert_eq!(guid.0[..8], [0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47]);
        assert_eq!(guid.to_string(), text);
        assert!("0fc63daf".parse::<Guid>().is_err());
        assert!("0fc63daf-8483-4772-8e79-3d69d8477dexx".parse::<Guid>().is_err());
    }

    #[test]
    fn the_checksum_is_zlibs() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..4096), at in 0..600_u64) {
            let mut file = disk(512, false);
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(&bytes).unwrap();
            let _ = read(&file, 1 << 20, 512);
            let _ = read(&file, 1 << 20, 4096);
        }

        #[test]
        fn every_guid_comes_back(bytes: [u8; 16]) {
            prop_assert_eq!(Guid(bytes).to_string().parse::<Guid>().unwrap(), Guid(bytes));
        }
    }
}
