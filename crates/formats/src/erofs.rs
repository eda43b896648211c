//! The super block of an EROFS image (kernel documentation `filesystems/erofs`, `fs/erofs/erofs_fs.h`):
//! enough to know how large the image in a slot is, and so where its hash tree starts.

use uuid::Uuid;

use crate::bytes::{le16, le32, le64, take, text};

/// Where the super block stands.
pub const OFFSET: u64 = 1024;
/// Bytes of the super block.
pub const SIZE: usize = 128;
const MAGIC: u32 = 0xe0f5_e1e2;

/// Why these bytes are no super block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Fewer than [`SIZE`] bytes.
    #[error("failed to read the EROFS super block: expected 128 bytes, found {0}")]
    Short(usize),
    /// Another file system, or none.
    #[error("failed to recognise the EROFS super block: expected magic 0xe0f5e1e2, found {0:#x}")]
    Magic(u32),
    /// A block size outside 512 bytes to 64 KiB.
    #[error("failed to accept the EROFS super block: its block size is 2^{0} bytes")]
    BlockSize(u8),
    /// No blocks at all.
    #[error("failed to accept the EROFS super block: it counts no blocks")]
    Empty,
}

/// What the super block says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// Bytes of a block.
    pub block_bytes: u32,
    /// Blocks of the image.
    pub blocks: u32,
    /// Number of inodes.
    pub inodes: u64,
    /// Inode number of the root directory.
    pub root: u16,
    /// Seconds since 1970 that inodes without a time have.
    pub build_time: u64,
    /// Identifier.
    pub uuid: Uuid,
    /// Volume name.
    pub name: String,
    /// Features a reader may ignore.
    pub compatible: u32,
    /// Features a reader must know; 0 in an image without compression and chunks.
    pub incompatible: u32,
}

impl Superblock {
    /// Parses the [`SIZE`] bytes at [`OFFSET`] of an image.
    ///
    /// # Errors
    /// No super block, or one that contradicts itself.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() < SIZE {
            return Err(Error::Short(bytes.len()));
        }
        let magic = le32(bytes, 0);
        if magic != MAGIC {
            return Err(Error::Magic(magic));
        }
        let bits = bytes[12];
        if !(9..=16).contains(&bits) {
            return Err(Error::BlockSize(bits));
        }
        let blocks = le32(bytes, 36);
        if blocks == 0 {
            return Err(Error::Empty);
        }
        Ok(Self {
            block_bytes: 1 << bits,
            blocks,
            inodes: le64(bytes, 16),
            root: le16(bytes, 14),
            build_time: le64(bytes, 24),
            uuid: Uuid::from_bytes(take(bytes, 48)),
            name: text(&bytes[64..80]),
            compatible: le32(bytes, 8),
            incompatible: le32(bytes, 80),
        })
    }

    /// Bytes of the whole image.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        u64::from(self.blocks) * u64::from(self.block_bytes)
    }

    /// Where the hash tree starts: the image's end, rounded up to 4 KiB.
    #[must_use]
    pub fn hash_offset(&self) -> u64 {
        self.bytes().next_multiple_of(crate::verity::BLOCK_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::put;

    #[test]
    fn fields_and_refusals() {
        let mut b = [0; SIZE];
        put(&mut b, 0, &MAGIC.to_le_bytes());
        b[12] = 9;
        put(&mut b, 36, &9u32.to_le_bytes());
        put(&mut b, 64, b"usr");
        let sb = Superblock::parse(&b).unwrap();
        assert_eq!((sb.bytes(), sb.hash_offset(), sb.name.as_str()), (4608, 8192, "usr"));
        assert_eq!(Superblock::parse(&b[..127]), Err(Error::Short(127)));
        for (at, with, want) in [
            (0, 0, Error::Magic(0xe0f5_e100)),
            (12, 8, Error::BlockSize(8)),
            (12, 17, Error::BlockSize(17)),
            (36, 0, Error::Empty),
        ] {
            let mut bad = b;
            bad[at] = with;
            assert_eq!(Superblock::parse(&bad), Err(want));
        }
    }
}
