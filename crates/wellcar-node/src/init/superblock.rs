//! The two super blocks in a slot that stage 1 reads: EROFS (how long is the image) and dm-verity
//! behind it (how was it hashed). Both are outside bytes and not yet trusted: what they say is checked
//! against the slot, and the root hash decides in the end.
//!
//! Kept apart from the crate `formats` so that the initramfs links no compression library.
//! References: the kernel's `fs/erofs/erofs_fs.h`; cryptsetup's wiki page "DMVerity", "Superblock
//! format", version 1.

use thiserror::Error;

/// Offset of the EROFS super block in its image.
pub const EROFS_OFFSET: u64 = 1024;
/// Bytes of the EROFS super block that are read.
pub const EROFS_LENGTH: usize = 128;
/// Bytes of the verity super block.
pub const VERITY_LENGTH: usize = 512;
/// Block size of data and hashes: the only one our images use.
pub const BLOCK: u64 = 4096;

/// `EROFS_FEATURE_INCOMPAT_48BIT`: block numbers are wider than the field that is read here.
const WIDE_BLOCKS: u32 = 0x80;

/// A super block that is not what a slot must hold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SuperblockError {
    /// The bytes do not start as they must.
    #[error("failed to find the {kind} super block: expected `{expected}`, found `{found}`")]
    Magic {
        /// `EROFS` or `verity`.
        kind: &'static str,
        /// The magic value, as text.
        expected: &'static str,
        /// What stands there, in hexadecimal digits.
        found: String,
    },
    /// A field has a value that no image of ours has.
    #[error("failed to accept the {kind} super block: {field}: expected {expected}, found {found}")]
    Field {
        /// `EROFS` or `verity`.
        kind: &'static str,
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
}

fn field(
    kind: &'static str,
    field: &'static str,
    expected: &dyn ToString,
    found: &dyn ToString,
) -> SuperblockError {
    SuperblockError::Field { kind, field, expected: expected.to_string(), found: found.to_string() }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// The length of an EROFS image in bytes, rounded up to whole blocks of 4 KiB: where the verity super
/// block starts.
///
/// # Errors
/// When the bytes are no EROFS super block, or its blocks are wider than 4 KiB or numbered in 48 bits.
pub fn erofs_length(bytes: &[u8; EROFS_LENGTH]) -> Result<u64, SuperblockError> {
    let kind = "EROFS";
    if u32_at(bytes, 0) != 0xe0f5_e1e2 {
        return Err(SuperblockError::Magic { kind, expected: "e2e1f5e0", found: hex(&bytes[..4]) });
    }
    if !(9..=12).contains(&bytes[12]) {
        return Err(field(kind, "block size bits", &"9 to 12", &bytes[12]));
    }
    let incompatible = u32_at(bytes, 80);
    if incompatible & WIDE_BLOCKS != 0 {
        return Err(field(kind, "features", &"no 48-bit block numbers", &format!("{incompatible:#x}")));
    }
    let length = u64::from(u32_at(bytes, 36)) << bytes[12];
    if length == 0 {
        return Err(field(kind, "blocks", &"more than 0", &0));
    }
    Ok(length.next_multiple_of(BLOCK))
}

/// What a verity super block says that is not fixed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verity {
    /// Its id.
    pub uuid: [u8; 16],
    /// Blocks of 4 KiB that are hashed.
    pub data_blocks: u64,
    /// The salt put before each block.
    pub salt: Vec<u8>,
}

/// Reads a verity super block, version 1, hash type 1, SHA-256, blocks of 4 KiB.
///
/// # Errors
/// When the bytes are none, or anything differs from that.
pub fn verity(bytes: &[u8; VERITY_LENGTH]) -> Result<Verity, SuperblockError> {
    let kind = "verity";
    if !bytes.starts_with(b"verity\0\0") {
        return Err(SuperblockError::Magic { kind, expected: "7665726974790000", found: hex(&bytes[..8]) });
    }
    for (name, at, expected) in [
        ("version", 8, 1),
        ("hash type", 12, 1),
        ("data block size", 64, 4096),
        ("hash block size", 68, 4096),
    ] {
        let found = u32_at(bytes, at);
        if found != expected {
            return Err(field(kind, name, &expected, &found));
        }
    }
    let name = &bytes[32..64];
    if !name.starts_with(b"sha256\0") {
        let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
        return Err(field(kind, "algorithm", &"sha256", &String::from_utf8_lossy(&name[..end])));
    }
    let salt_length = usize::from(u16_at(bytes, 80));
    let Some(salt) = bytes.get(88..88 + salt_length).filter(|_| salt_length <= 256) else {
        return Err(field(kind, "salt length", &"at most 256", &salt_length));
    };
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&bytes[16..32]);
    Ok(Verity { uuid, data_blocks: u64_at(bytes, 72), salt: salt.to_vec() })
}

/// Bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{EROFS_LENGTH, VERITY_LENGTH, erofs_length, verity};
    use proptest::prelude::*;

    fn erofs(blocks: u32, bits: u8) -> [u8; EROFS_LENGTH] {
        let mut bytes = [0; EROFS_LENGTH];
        bytes[..4].copy_from_slice(&0xe0f5_e1e2_u32.to_le_bytes());
        bytes[12] = bits;
        bytes[36..40].copy_from_slice(&blocks.to_le_bytes());
        bytes
    }

    fn good_verity() -> [u8; VERITY_LENGTH] {
        let mut bytes = [0; VERITY_LENGTH];
        bytes[..8].copy_from_slice(b"verity\0\0");
        bytes[8] = 1;
        bytes[12] = 1;
        bytes[32..38].copy_from_slice(b"sha256");
        bytes[65] = 16;
        bytes[69] = 16;
        bytes[72] = 9;
        bytes[80] = 2;
        bytes[88..90].copy_from_slice(&[0xaa, 0xbb]);
        bytes
    }

    #[test]
    fn the_image_length_is_in_whole_blocks() {
        assert_eq!(erofs_length(&erofs(3, 12)).unwrap(), 3 * 4096);
        assert_eq!(erofs_length(&erofs(9, 9)).unwrap(), 8192);
        assert_eq!(erofs_length(&erofs(u32::MAX, 12)).unwrap(), u64::from(u32::MAX) << 12);
    }

    #[test]
    fn wrong_images_are_refused_with_what_was_found() {
        let error = |bytes| erofs_length(&bytes).unwrap_err().to_string();
        assert_eq!(
            error([0; EROFS_LENGTH]),
            "failed to find the EROFS super block: expected `e2e1f5e0`, found `00000000`"
        );
        assert!(error(erofs(0, 12)).ends_with("blocks: expected more than 0, found 0"));
        assert!(error(erofs(1, 16)).ends_with("block size bits: expected 9 to 12, found 16"));
        let mut wide = erofs(1, 12);
        wide[80] = 0x80;
        assert!(error(wide).ends_with("features: expected no 48-bit block numbers, found 0x80"));
    }

    #[test]
    fn the_verity_super_block_is_read_and_checked() {
        let read = verity(&good_verity()).unwrap();
        assert_eq!((read.data_blocks, read.salt), (9, vec![0xaa, 0xbb]));
        for (at, value) in [(0, 0), (8, 2), (12, 0), (32, b'x'), (65, 8), (69, 0), (81, 2)] {
            let mut bytes = good_verity();
            bytes[at] = value;
            assert!(verity(&bytes).is_err(), "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_readers(bytes in proptest::collection::vec(any::<u8>(), VERITY_LENGTH), keep in 0..90_usize) {
            let mut block = good_verity();
            block[keep..].copy_from_slice(&bytes[keep..]);
            let _ = verity(&block);
            let mut image = erofs(5, 12);
            image[keep..].copy_from_slice(&bytes[keep..EROFS_LENGTH]);
            let _ = erofs_length(&image);
        }
    }
}
