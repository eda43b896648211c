//! Fresh qcow2 overlays: a small file that takes the guest's writes, above an image that stays
//! as it is.
//!
//! Written are four clusters of the version 3 format (QEMU's `docs/interop/qcow2.txt`): header
//! with the backing file's name and format, refcount table, one refcount block, and an empty
//! L1 table. Reference: `qemu-img check`.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const MAGIC: [u8; 4] = *b"QFI\xfb";
const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Bytes of the guest's disk that one L1 entry covers: one cluster of 8-byte L2 entries.
const L1_COVERS: u64 = CLUSTER / 8 * CLUSTER;
const HEADER_LENGTH: u32 = 104;
const EXTENSION_BACKING_FORMAT: u32 = 0xe279_2aca;
/// The longest name the format allows.
const NAME_LIMIT: usize = 1023;
/// The largest disk we make an overlay for, in bytes: 64 TiB, an L1 table of 1 MiB.
const DISK_LIMIT: u64 = 64 << 40;

/// How the bytes of a disk image are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFormat {
    /// The disk's bytes as they are.
    Raw,
    /// QEMU's format, version 2 or 3.
    Qcow2,
}

impl ImageFormat {
    /// QEMU's name of the format.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// The format of an image and the size in bytes of the disk in it.
///
/// # Errors
/// [`Error::File`] when it cannot be read, [`Error::Image`] when it is not an image.
pub fn image_format(path: &Path) -> Result<(ImageFormat, u64)> {
    let mut head = Vec::new();
    let file = File::open(path).map_err(Error::file("open", path))?;
    let length = file.metadata().map_err(Error::file("read", path))?.len();
    file.take(512).read_to_end(&mut head).map_err(Error::file("read", path))?;
    detect(&head, length).map_err(|found| Error::Image { path: path.to_owned(), found })
}

/// Tells the format from the first bytes and the file's length; the error says what is wrong.
pub(crate) fn detect(head: &[u8], length: u64) -> std::result::Result<(ImageFormat, u64), String> {
    if head.get(..4) == Some(&MAGIC) {
        let word =
            |at: usize| head.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
        let version = word(0).map(|first| first & 0xffff_ffff);
        let (Some(2 | 3), Some(size)) = (version, word(24)) else {
            return Err("expected qcow2 version 2 or 3".to_owned());
        };
        return check_size(size).map(|size| (ImageFormat::Qcow2, size));
    }
    check_size(length).map(|size| (ImageFormat::Raw, size))
}

fn check_size(size: u64) -> std::result::Result<u64, String> {
    if size == 0 || !size.is_multiple_of(512) {
        return Err(format!("expected a multiple of 512 bytes, found {size} bytes"));
    }
    if size > DISK_LIMIT {
        return Err(format!("expected at most {DISK_LIMIT} bytes, found {size} bytes"));
    }
    Ok(size)
}

/// Makes the overlay `overlay` above `image`, with a disk of at least `size` bytes where a size
/// is given. A file that is there already is never written.
///
/// # Errors
/// [`Error::File`] and [`Error::Image`], as for [`image_format`].
pub fn create_overlay(image: &Path, overlay: &Path, size: Option<u64>) -> Result<()> {
    let image = std::path::absolute(image).map_err(Error::file("resolve", image))?;
    let (format, disk) = image_format(&image)?;
    let refuse = |found: String| Error::Image { path: image.clone(), found };
    let size = check_size(disk.max(size.unwrap_or(0)).next_multiple_of(512)).map_err(refuse)?;
    let bytes = overlay_bytes(image.as_os_str().as_bytes(), format, size).map_err(refuse)?;
    let mut file = File::create_new(overlay).map_err(Error::file("create", overlay))?;
    file.write_all(&bytes).map_err(Error::file("write", overlay))
}

/// The whole overlay file.
fn overlay_bytes(backing: &[u8], format: ImageFormat, size: u64) -> std::result::Result<Vec<u8>, String> {
    if backing.len() > NAME_LIMIT {
        return Err(format!("expected a path of at most {NAME_LIMIT} bytes, found {}", backing.len()));
    }
    let entries = size.div_ceil(L1_COVERS);
    let l1_clusters = (entries * 8).div_ceil(CLUSTER).max(1);
    let clusters = 3 + l1_clusters;
    let length = usize::try_from(clusters * CLUSTER).map_err(|_| "too large for this host".to_owned())?;
    let entries = u32::try_from(entries).map_err(|_| "too many L1 entries".to_owned())?;

    let name = format.name().as_bytes();
    let name_room = name.len().next_multiple_of(8);
    let backing_at = u64::from(HEADER_LENGTH) + 8 + name_room as u64 + 8;
    let mut out = Vec::with_capacity(length);
    out.extend(MAGIC);
    put32(&mut out, 3);
    put64(&mut out, backing_at);
    put32(&mut out, u32::try_from(backing.len()).unwrap_or(0));
    put32(&mut out, CLUSTER_BITS);
    put64(&mut out, size);
    put32(&mut out, 0); // no encryption
    put32(&mut out, entries);
    put64(&mut out, 3 * CLUSTER); // L1 table
    put64(&mut out, CLUSTER); // refcount table
    put32(&mut out, 1); // its clusters
    put32(&mut out, 0); // snapshots
    put64(&mut out, 0);
    put64(&mut out, 0); // incompatible, compatible and autoclear features
    put64(&mut out, 0);
    put64(&mut out, 0);
    put32(&mut out, 4); // refcounts of 16 bits
    put32(&mut out, HEADER_LENGTH);
    put32(&mut out, EXTENSION_BACKING_FORMAT);
    put32(&mut out, u32::try_from(name.len()).unwrap_or(0));
    out.extend(name);
    out.resize(out.len() + name_room - name.len(), 0);
    put64(&mut out, 0); // end of the extensions
    out.extend(backing);

    out.resize(CLUSTER_BITS_LENGTH, 0);
    put64(&mut out, 2 * CLUSTER); // the one refcount block
    out.resize(2 * CLUSTER_BITS_LENGTH, 0);
    for _ in 0..clusters {
        out.extend(1u16.to_be_bytes());
    }
    out.resize(length, 0);
    Ok(out)
}

/// The cluster's length as an index.
const CLUSTER_BITS_LENGTH: usize = 1 << CLUSTER_BITS;

fn put32(out: &mut Vec<u8>, value: u32) {
    out.extend(value.to_be_bytes());
}

fn put64(out: &mut Vec<u8>, value: u64) {
    out.extend(value.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_overlay_has_the_size_of_its_image_or_more() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("disk,with comma.raw");
        File::create(&image).unwrap().set_len(6 << 30).unwrap();
        let overlay = dir.path().join("overlay.qcow2");
        create_overlay(&image, &overlay, None).unwrap();
        assert_eq!(image_format(&overlay).unwrap(), (ImageFormat::Qcow2, 6 << 30));
        let larger = dir.path().join("larger.qcow2");
        create_overlay(&overlay, &larger, Some(40 << 30)).unwrap();
        assert_eq!(image_format(&larger).unwrap(), (ImageFormat::Qcow2, 40 << 30));
        let again = create_overlay(&image, &overlay, None).unwrap_err();
        assert!(again.to_string().starts_with("failed to create `"), "{again}");
    }

    #[test]
    fn what_is_no_image_is_refused() {
        assert_eq!(detect(b"text", 4).unwrap_err(), "expected a multiple of 512 bytes, found 4 bytes");
        assert_eq!(detect(b"QFI\xfb\0\0\0\x09", 512).unwrap_err(), "expected qcow2 version 2 or 3");
        assert!(detect(&[0; 512], u64::MAX - 511).unwrap_err().starts_with("expected at most"));
        assert!(overlay_bytes(&[b'a'; 2000], ImageFormat::Raw, 512).is_err());
    }

    proptest! {
        #[test]
        fn no_header_makes_the_reader_panic(head in proptest::collection::vec(any::<u8>(), 0..512), length: u64, magic: bool) {
            let mut head = head;
            if magic {
                head.splice(0..head.len().min(4), MAGIC);
            }
            let _ = detect(&head, length);
        }

        #[test]
        fn every_size_gives_a_whole_file(sectors in 1u64..(DISK_LIMIT / 512)) {
            let bytes = overlay_bytes(b"/image.raw", ImageFormat::Raw, sectors * 512).unwrap();
            prop_assert_eq!(bytes.len() % CLUSTER_BITS_LENGTH, 0);
            prop_assert_eq!(detect(&bytes[..512], bytes.len() as u64), Ok((ImageFormat::Qcow2, sectors * 512)));
        }
    }
}
