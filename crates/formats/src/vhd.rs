//! Deterministic writer of fixed VHD images (Microsoft's *Virtual Hard Disk Image Format
//! Specification*, 2006), as Azure takes them: the raw disk, then one 512-byte footer.
//!
//! Azure wants the disk's size in whole MiB: [`padded_size`] rounds up. The identifier is the
//! caller's and the time stamp is 0 (2000-01-01), so equal disks give equal bytes.

use std::io::{self, Read, Seek, SeekFrom, Write};

use uuid::Uuid;

use crate::bytes::{is_zero, put, read_up_to, to_usize};

/// Bytes of the footer.
pub const FOOTER: u64 = 512;
/// Largest disk of the format.
const MAX_SIZE: u64 = 2040 << 30;
const MIB: u64 = 1 << 20;

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
    #[error("failed to write the VHD image")]
    Write(#[source] io::Error),
    /// The size is zero or over 2040 GiB.
    #[error("failed to accept a disk of {0} bytes: expected 1 byte to 2040 GiB")]
    Size(u64),
}

/// The size of the disk inside the image: whole MiB.
#[must_use]
pub fn padded_size(size: u64) -> u64 {
    size.next_multiple_of(MIB)
}

/// Writes the image of a raw disk of `size` bytes at the output's position. Zero blocks are skipped:
/// the output must read as zeros where nothing is written (a new file).
///
/// # Errors
/// A size that cannot be, a disk that fails or ends early, failing output.
pub fn write(
    raw: &mut (impl Read + ?Sized),
    size: u64,
    uuid: Uuid,
    out: &mut (impl Write + Seek),
) -> Result<(), Error> {
    if size == 0 || size > MAX_SIZE {
        return Err(Error::Size(size));
    }
    let base = out.stream_position().map_err(Error::Write)?;
    let mut at = |offset: u64, bytes: &[u8]| {
        out.seek(SeekFrom::Start(base + offset)).and_then(|_| out.write_all(bytes)).map_err(Error::Write)
    };
    let mut buf = vec![0; 1 << 20];
    let mut found = 0;
    while found < size {
        let want = buf.len().min(to_usize(size - found));
        let got = read_up_to(raw, &mut buf[..want]).map_err(Error::Read)?;
        for (n, block) in (0..).zip(buf[..got].chunks(64 << 10)) {
            if !is_zero(block) {
                at(found + n * (64 << 10), block)?;
            }
        }
        found += got as u64;
        if got < want {
            return Err(Error::Length { expected: size, found });
        }
    }
    let size = padded_size(size);
    at(size, &footer(size, uuid))?;
    out.flush().map_err(Error::Write)
}

fn footer(size: u64, uuid: Uuid) -> [u8; 512] {
    let mut b = [0; 512];
    put(&mut b, 0, b"conectix");
    // Features: the reserved bit that is always set. Format 1.0, no dynamic header.
    put(&mut b, 8, &2u32.to_be_bytes());
    put(&mut b, 12, &0x1_0000u32.to_be_bytes());
    put(&mut b, 16, &u64::MAX.to_be_bytes());
    // The creator's mark tells readers to trust the size in bytes and not the geometry's product,
    // which most sizes cannot be expressed in.
    put(&mut b, 28, b"win \0\x06\0\x01Wi2k");
    put(&mut b, 40, &size.to_be_bytes());
    put(&mut b, 48, &size.to_be_bytes());
    put(&mut b, 56, &geometry(size / 512));
    put(&mut b, 60, &2u32.to_be_bytes());
    put(&mut b, 68, uuid.as_bytes());
    let sum: u32 = b.iter().map(|x| u32::from(*x)).sum();
    put(&mut b, 64, &(!sum).to_be_bytes());
    b
}

/// Cylinders (2 bytes), heads, sectors a track: the specification's appendix.
fn geometry(sectors: u64) -> [u8; 4] {
    let sectors = sectors.min(65535 * 16 * 255);
    let (mut heads, mut per_track) = (16, 255);
    let mut tracks = sectors / per_track;
    if sectors < 65535 * 16 * 63 {
        per_track = 17;
        tracks = sectors / per_track;
        heads = tracks.div_ceil(1024).max(4);
        for larger in [31, 63] {
            if tracks >= heads * 1024 || heads > 16 {
                (per_track, heads) = (larger, 16);
                tracks = sectors / per_track;
            }
        }
    }
    let [.., high, low] = (tracks / heads).to_be_bytes();
    let byte = |n: u64| u8::try_from(n).unwrap_or(u8::MAX);
    [high, low, byte(heads), byte(per_track)]
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn disks_are_padded_to_whole_mebibytes_and_summed() {
        let mut raw = vec![0; 1_500_000];
        raw[1_400_000] = 9;
        let mut out = Cursor::new(Vec::new());
        write(&mut &raw[..], raw.len() as u64, Uuid::from_u128(5), &mut out).unwrap();
        let bytes = out.into_inner();
        assert_eq!(bytes.len(), (2 << 20) + 512);
        assert!(bytes[..raw.len()] == raw && is_zero(&bytes[raw.len()..2 << 20]));
        let footer = &bytes[2 << 20..];
        let stored = u32::from_be_bytes(crate::bytes::take(footer, 64));
        let sum: u32 = footer
            .iter()
            .enumerate()
            .filter(|(n, _)| !(64..68).contains(n))
            .map(|(_, b)| u32::from(*b))
            .sum();
        assert_eq!(stored, !sum);
        assert!(matches!(
            write(&mut io::empty(), 0, Uuid::nil(), &mut Cursor::new(Vec::new())),
            Err(Error::Size(0))
        ));
    }

    #[test]
    fn geometries() {
        assert_eq!(geometry(40 << 11), [3, 195, 5, 17]);
        assert_eq!(geometry(u64::MAX), [0xff, 0xff, 16, 255]);
    }
}
