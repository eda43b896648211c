//! dm-verity, on-disk format 1, as the kernel and `veritysetup` have it (kernel documentation
//! `admin-guide/device-mapper/verity`, cryptsetup's on-disk format), for one set of parameters: hash
//! type 1, SHA-256, data and hash blocks of 4096 bytes.
//!
//! The hash area is one super block padded to 4096 bytes, then the tree's levels from the root down,
//! each of whole blocks of 128 digests, the last one zero-filled. A digest is `SHA-256(salt || block)`.
//! The root hash is the digest of the top block, or of the data block itself where there is only one.
//!
//! In a slot the hash area stands right behind the data, so its offset is the data's length.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::bytes::{le16, le32, le64, put, read_up_to, take, text, to_usize};

/// Bytes of a data block and of a hash block.
pub const BLOCK: usize = 4096;
/// [`BLOCK`] as a stream length.
pub const BLOCK_BYTES: u64 = BLOCK as u64;
/// Bytes of a digest.
pub const DIGEST: usize = 32;
const FANOUT: u64 = (BLOCK / DIGEST) as u64;
/// Data blocks of the largest image this module takes: 1 TiB.
pub const MAX_DATA_BLOCKS: u64 = 1 << 28;
const SUPERBLOCK: usize = 512;
const MAX_SALT: usize = 256;
/// What is read and hashed at once.
const CHUNK_BLOCKS: usize = 2048;

/// Why a tree could not be built, read or trusted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data could not be read.
    #[error("failed to read the data to hash")]
    Data(#[source] io::Error),
    /// The data ends early.
    #[error("failed to hash the data: expected {expected} bytes, found {found}")]
    DataLength {
        /// Announced length.
        expected: u64,
        /// Bytes read.
        found: u64,
    },
    /// Length that is zero, no multiple of 4096 or over [`MAX_DATA_BLOCKS`].
    #[error("failed to accept a data length of {0} bytes: expected whole blocks of 4096, at most 1 TiB")]
    Length(u64),
    /// The hash area could not be written.
    #[error("failed to write the verity hash area")]
    Write(#[source] io::Error),
    /// The hash area could not be read.
    #[error("failed to read the verity hash area")]
    Read(#[source] io::Error),
    /// The super block's magic is missing.
    #[error("failed to recognise the verity super block: expected the magic `verity`")]
    Magic,
    /// A parameter this module does not take.
    #[error("failed to accept the verity super block: expected {field} {expected}, found `{found}`")]
    Parameter {
        /// Which parameter.
        field: &'static str,
        /// The only accepted value.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A salt over 256 bytes.
    #[error("failed to accept a salt of {0} bytes: expected at most 256")]
    Salt(usize),
    /// A block of the tree does not hash to what its parent says.
    #[error("failed to verify hash block {block} of level {level}")]
    Tree {
        /// Level, 0 next to the data.
        level: usize,
        /// Block of that level.
        block: u64,
    },
    /// A data block does not hash to what the tree says.
    #[error("failed to verify data block {0}")]
    Block(u64),
    /// A text that is no root hash.
    #[error("failed to parse the root hash `{0}`: expected 64 hexadecimal digits")]
    RootHash(String),
}

/// SHA-256 digest of one block, salt in front.
pub type Digest = [u8; DIGEST];

/// The value everything else is verified against.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RootHash(pub Digest);

impl RootHash {
    /// The first 128 bits, as the PARTUUID of the slot that holds the data.
    #[must_use]
    pub fn partition_uuid(&self) -> Uuid {
        Uuid::from_bytes(take(&self.0, 0))
    }
}

impl fmt::Display for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootHash({self})")
    }
}

impl FromStr for RootHash {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        let bad = || Error::RootHash(s.chars().take(80).collect());
        if s.len() != 2 * DIGEST || !s.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let mut out = [0; DIGEST];
        for (n, byte) in out.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&s[2 * n..2 * n + 2], 16).map_err(|_| bad())?;
        }
        Ok(Self(out))
    }
}

/// The super block's changeable fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// Identifier of this hash area; the kernel ignores it.
    pub uuid: Uuid,
    /// Bytes hashed in front of each block, at most 256.
    pub salt: Vec<u8>,
    /// Number of 4096-byte data blocks.
    pub data_blocks: u64,
}

impl Superblock {
    /// Bytes of the super block's place in the hash area.
    pub const PLACE: u64 = BLOCK_BYTES;

    /// Parses the first 512 bytes of a hash area.
    ///
    /// # Errors
    /// No super block, or one with other parameters than this module's.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() < SUPERBLOCK || !bytes.starts_with(b"verity\0\0") {
            return Err(Error::Magic);
        }
        let expect = |field, expected: &'static str, found: String| {
            if found == expected { Ok(()) } else { Err(Error::Parameter { field, expected, found }) }
        };
        expect("version", "1", le32(bytes, 8).to_string())?;
        expect("hash type", "1", le32(bytes, 12).to_string())?;
        expect("algorithm", "sha256", text(&bytes[32..64]))?;
        expect("data block size", "4096", le32(bytes, 64).to_string())?;
        expect("hash block size", "4096", le32(bytes, 68).to_string())?;
        let data_blocks = le64(bytes, 72);
        if data_blocks == 0 || data_blocks > MAX_DATA_BLOCKS {
            return Err(Error::Length(data_blocks.saturating_mul(BLOCK_BYTES)));
        }
        let salt = usize::from(le16(bytes, 80));
        if salt > MAX_SALT {
            return Err(Error::Salt(salt));
        }
        let uuid = Uuid::from_bytes(take(bytes, 16));
        Ok(Self { uuid, salt: bytes[88..88 + salt].to_vec(), data_blocks })
    }

    /// The 4096 bytes at the start of the hash area.
    fn encode(&self) -> Result<[u8; BLOCK], Error> {
        let salt = u16::try_from(self.salt.len()).ok().filter(|n| usize::from(*n) <= MAX_SALT);
        let salt = salt.ok_or(Error::Salt(self.salt.len()))?;
        let mut b = [0; BLOCK];
        put(&mut b, 0, b"verity\0\0");
        put(&mut b, 8, &1u32.to_le_bytes());
        put(&mut b, 12, &1u32.to_le_bytes());
        put(&mut b, 16, self.uuid.as_bytes());
        put(&mut b, 32, b"sha256");
        put(&mut b, 64, &4096u32.to_le_bytes());
        put(&mut b, 68, &4096u32.to_le_bytes());
        put(&mut b, 72, &self.data_blocks.to_le_bytes());
        put(&mut b, 80, &salt.to_le_bytes());
        put(&mut b, 88, &self.salt);
        Ok(b)
    }
}

/// Hash blocks of each level, from the one next to the data up to the single top block; none where
/// there is one data block only.
#[must_use]
pub fn levels(data_blocks: u64) -> Vec<u64> {
    let mut out = Vec::new();
    let mut blocks = data_blocks;
    while blocks > 1 {
        blocks = blocks.div_ceil(FANOUT);
        out.push(blocks);
    }
    out
}

/// Bytes of the hash area (super block and tree) over this many data blocks.
#[must_use]
pub fn hash_area_bytes(data_blocks: u64) -> u64 {
    (1 + levels(data_blocks).iter().sum::<u64>()) * BLOCK_BYTES
}

/// The digest of one block.
#[must_use]
pub fn digest(salt: &[u8], block: &[u8]) -> Digest {
    let mut hash = Sha256::new();
    hash.update(salt);
    hash.update(block);
    hash.finalize().into()
}

/// A whole hash tree in memory: 32 bytes for each data block and a little, 16.2 MiB for a 2 GiB slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    superblock: Superblock,
    /// Bytes of each level's blocks, the one next to the data first.
    levels: Vec<Vec<u8>>,
    root: RootHash,
}

impl Tree {
    /// Hashes `length` bytes of data on `threads` threads (at least one), reading 8 MiB at a time.
    ///
    /// # Errors
    /// A length of no whole blocks, data that fails or ends early, a salt that is too long.
    pub fn build(
        data: &mut (impl Read + ?Sized),
        length: u64,
        salt: &[u8],
        uuid: Uuid,
        threads: usize,
    ) -> Result<Self, Error> {
        let data_blocks = length / BLOCK_BYTES;
        if length == 0 || !length.is_multiple_of(BLOCK_BYTES) || data_blocks > MAX_DATA_BLOCKS {
            return Err(Error::Length(length));
        }
        if salt.len() > MAX_SALT {
            return Err(Error::Salt(salt.len()));
        }
        let superblock = Superblock { uuid, salt: salt.to_vec(), data_blocks };
        let leaves = hash_stream(data, length, salt, threads.max(1))?;
        let mut out = Self { superblock, levels: Vec::new(), root: RootHash(take(&leaves, 0)) };
        let mut digests = leaves;
        for blocks in levels(data_blocks) {
            digests.resize(to_usize(blocks) * BLOCK, 0);
            let above: Vec<u8> = digests.chunks_exact(BLOCK).flat_map(|b| digest(salt, b)).collect();
            out.levels.push(digests);
            out.root = RootHash(take(&above, 0));
            digests = above;
        }
        Ok(out)
    }

    /// Reads a hash area from its start and verifies each of its blocks up to `root`.
    ///
    /// # Errors
    /// A super block that is not ours, a short read, or a block that does not hash to its digest.
    pub fn read(from: &mut (impl Read + ?Sized), root: &RootHash) -> Result<Self, Error> {
        let mut first = [0; BLOCK];
        from.read_exact(&mut first).map_err(Error::Read)?;
        let superblock = Superblock::parse(&first)?;
        let mut out = Self { levels: Vec::new(), root: *root, superblock };
        let mut expected = root.0.to_vec();
        for (level, blocks) in levels(out.superblock.data_blocks).into_iter().enumerate().rev() {
            let mut bytes = Vec::new();
            // Grown as it is verified: a lying block count cannot ask for more than it brings.
            for block in 0..blocks {
                let at = bytes.len();
                bytes.resize(at + BLOCK, 0);
                from.read_exact(&mut bytes[at..]).map_err(Error::Read)?;
                let want = expected.get(to_usize(block) * DIGEST..(to_usize(block) + 1) * DIGEST);
                if want != Some(digest(&out.superblock.salt, &bytes[at..]).as_slice()) {
                    return Err(Error::Tree { level, block });
                }
            }
            expected.clone_from(&bytes);
            out.levels.insert(0, bytes);
        }
        Ok(out)
    }

    /// Writes super block and tree: [`hash_area_bytes`] bytes from the output's position on.
    ///
    /// # Errors
    /// When the output fails.
    pub fn write(&self, out: &mut (impl Write + ?Sized)) -> Result<(), Error> {
        out.write_all(&self.superblock.encode()?).map_err(Error::Write)?;
        self.levels.iter().rev().try_for_each(|level| out.write_all(level)).map_err(Error::Write)
    }

    /// The root hash.
    #[must_use]
    pub fn root(&self) -> RootHash {
        self.root
    }

    /// The super block.
    #[must_use]
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// Number of data blocks.
    #[must_use]
    pub fn data_blocks(&self) -> u64 {
        self.superblock.data_blocks
    }

    /// The digest that data block `index` must have; `None` past the end.
    #[must_use]
    pub fn leaf(&self, index: u64) -> Option<Digest> {
        if index >= self.superblock.data_blocks {
            return None;
        }
        let Some(leaves) = self.levels.first() else { return Some(self.root.0) };
        Some(take(leaves, to_usize(index) * DIGEST))
    }

    /// Checks one data block before it is used.
    ///
    /// # Errors
    /// [`Error::Block`] where it is not the block that was hashed, or there is none of this index.
    pub fn verify_block(&self, index: u64, block: &[u8]) -> Result<(), Error> {
        let right = block.len() == BLOCK && self.leaf(index) == Some(digest(&self.superblock.salt, block));
        if right { Ok(()) } else { Err(Error::Block(index)) }
    }
}

/// Digests of all blocks, one after the other.
fn hash_stream(
    data: &mut (impl Read + ?Sized),
    length: u64,
    salt: &[u8],
    threads: usize,
) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(to_usize(length / BLOCK_BYTES) * DIGEST);
    let mut buf = vec![0; CHUNK_BLOCKS * BLOCK];
    let mut found = 0;
    while found < length {
        let want = buf.len().min(to_usize(length - found));
        let got = read_up_to(data, &mut buf[..want]).map_err(Error::Data)?;
        found += got as u64;
        if got < want {
            return Err(Error::DataLength { expected: length, found });
        }
        let start = out.len();
        out.resize(start + got / BLOCK * DIGEST, 0);
        let share = (got / BLOCK).div_ceil(threads);
        let hash = |digests: &mut [u8], blocks: &[u8]| {
            for (digest_of, block) in digests.chunks_exact_mut(DIGEST).zip(blocks.chunks_exact(BLOCK)) {
                digest_of.copy_from_slice(&digest(salt, block));
            }
        };
        let shares = out[start..].chunks_mut(share * DIGEST).zip(buf[..got].chunks(share * BLOCK));
        std::thread::scope(|scope| {
            for (digests, blocks) in shares {
                scope.spawn(move || hash(digests, blocks));
            }
        });
    }
    Ok(out)
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation)]
mod tests {
    use super::*;

    fn data(blocks: usize) -> Vec<u8> {
        (0..blocks * BLOCK).map(|n| (n / 7 + n / BLOCK) as u8).collect()
    }

    fn build(blocks: usize, threads: usize) -> Tree {
        let data = data(blocks);
        Tree::build(&mut &data[..], data.len() as u64, b"salt", Uuid::from_u128(7), threads).unwrap()
    }

    #[test]
    fn sizes_of_levels() {
        for (blocks, want) in [
            (1, vec![]),
            (2, vec![1]),
            (128, vec![1]),
            (129, vec![2, 1]),
            (16384, vec![128, 1]),
            (16385, vec![129, 2, 1]),
        ] {
            assert_eq!(levels(blocks), want);
        }
        assert_eq!(hash_area_bytes(1), 4096);
        assert_eq!(hash_area_bytes(129), 4 * 4096);
    }

    #[test]
    fn threads_do_not_change_the_tree() {
        for blocks in [1, 2, 127, 300] {
            let one = build(blocks, 1);
            assert_eq!(one, build(blocks, 2));
            assert_eq!(one, build(blocks, 7));
        }
    }

    #[test]
    fn written_trees_read_back_and_verify_each_block() {
        for blocks in [1, 2, 128, 129, 300] {
            let tree = build(blocks, 2);
            let mut area = Vec::new();
            tree.write(&mut area).unwrap();
            assert_eq!(area.len() as u64, hash_area_bytes(blocks as u64));
            let back = Tree::read(&mut &area[..], &tree.root()).unwrap();
            assert_eq!(back, tree);
            for (n, block) in data(blocks).chunks(BLOCK).enumerate() {
                back.verify_block(n as u64, block).unwrap();
                let mut bad = block.to_vec();
                bad[n] ^= 1;
                assert!(matches!(back.verify_block(n as u64, &bad), Err(Error::Block(_))));
                assert!(back.verify_block(n as u64 + 1, block).is_err());
            }
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_in_the_tree_is_found() {
        let tree = build(300, 2);
        let mut area = Vec::new();
        tree.write(&mut area).unwrap();
        for at in (BLOCK..area.len()).step_by(97) {
            let mut bad = area.clone();
            bad[at] ^= 4;
            assert!(matches!(Tree::read(&mut &bad[..], &tree.root()), Err(Error::Tree { .. })), "{at}");
        }
        for cut in [0, 511, 4095, 4096, 8191, area.len() - 1] {
            assert!(Tree::read(&mut &area[..cut], &tree.root()).is_err());
        }
    }

    #[test]
    fn super_blocks_with_other_parameters_are_refused() {
        let good = Superblock { uuid: Uuid::nil(), salt: vec![1; 256], data_blocks: 9 };
        let bytes = good.encode().unwrap();
        assert_eq!(Superblock::parse(&bytes).unwrap(), good);
        for (at, with) in
            [(0, 0), (8, 2), (12, 0), (32, b'S'), (38, b'x'), (65, 8), (69, 8), (72, 0), (79, 1), (81, 2)]
        {
            let mut bad = bytes;
            bad[at] = with;
            assert!(Superblock::parse(&bad).is_err(), "{at}");
        }
        assert!(Superblock::parse(&bytes[..511]).is_err());
        assert!(Superblock { salt: vec![0; 257], ..good }.encode().is_err());
    }

    #[test]
    fn lengths_and_short_data() {
        let mut none: &[u8] = &[];
        for length in [0, 1, 4095, 4097, (MAX_DATA_BLOCKS + 1) * BLOCK_BYTES] {
            assert!(matches!(Tree::build(&mut none, length, b"", Uuid::nil(), 1), Err(Error::Length(_))));
        }
        let short = data(3);
        let result = Tree::build(&mut &short[..], 4 * BLOCK_BYTES, b"", Uuid::nil(), 2);
        assert!(matches!(result, Err(Error::DataLength { found: 12288, .. })));
    }

    #[test]
    fn root_hash_text() {
        let root = build(2, 1).root();
        assert_eq!(root.to_string().parse::<RootHash>().unwrap(), root);
        assert_eq!(root.partition_uuid().simple().to_string(), root.to_string()[..32]);
        for bad in ["", "00", &"g".repeat(64), &"+1".repeat(32), &"é".repeat(32)] {
            assert!(bad.parse::<RootHash>().is_err());
        }
    }
}
