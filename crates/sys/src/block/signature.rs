//! What lies on a device, told by its magic bytes: the few kinds a root can be.
//!
//! Reference: the on-disk formats of ext4 (kernel `Documentation/filesystems/ext4/super.rst`), XFS
//! (`xfs_dsb`), btrfs (`btrfs_super_block`), LUKS2, md (`mdp_superblock_1`) and LVM2.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// What a device carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A file system the kernel can mount as a root.
    Filesystem {
        /// Its type as mount(2) wants it.
        kind: &'static str,
        /// Its label, empty when it has none.
        label: String,
    },
    /// A LUKS container.
    Luks,
    /// A member of a RAID array.
    Raid,
    /// A physical volume of LVM.
    Lvm,
    /// None of these.
    Unknown,
}

/// Bytes from the start of the device that are looked at.
const HEAD: usize = 0x10000 + 0x1000;

/// Looks at an open device of `size` bytes.
///
/// # Errors
/// When it cannot be read.
pub fn probe(device: &File, size: u64) -> io::Result<Content> {
    let mut head = vec![0; usize::try_from(size).map_or(HEAD, |size| size.min(HEAD))];
    device.read_exact_at(&mut head, 0)?;
    // md 1.0 keeps its super block 8 KiB before the end, aligned to 4 KiB; md 0.90 in the last 64 KiB.
    let mut tails = Vec::new();
    let places = [(size & !0xfff).checked_sub(0x2000), (size & !0xffff).checked_sub(0x10000)];
    for at in places.into_iter().flatten() {
        let mut magic = [0; 4];
        device.read_exact_at(&mut magic, at)?;
        tails.push(magic);
    }
    Ok(decide(&head, &tails))
}

const MD_MAGIC: [u8; 4] = 0xa92b_4efc_u32.to_le_bytes();

/// The same from the bytes: the first [`HEAD`] of the device and the words where an array's super
/// block at the end would start. RAID comes first: a mirror's members look like the file system in it.
#[must_use]
pub fn decide(head: &[u8], tails: &[[u8; 4]]) -> Content {
    let at = |start: usize, magic: &[u8]| head.get(start..start + magic.len()) == Some(magic);
    if at(0, &MD_MAGIC) || at(0x1000, &MD_MAGIC) || tails.contains(&MD_MAGIC) {
        Content::Raid
    } else if at(0, b"LUKS\xba\xbe") {
        Content::Luks
    } else if at(0x200, b"LABELONE") || at(0, b"LABELONE") {
        Content::Lvm
    } else if at(0, b"XFSB") {
        Content::Filesystem { kind: "xfs", label: text(head, 108, 12) }
    } else if at(0x10040, b"_BHRfS_M") {
        Content::Filesystem { kind: "btrfs", label: text(head, 0x1012b, 256) }
    } else if at(0x438, &[0x53, 0xef]) {
        Content::Filesystem { kind: "ext4", label: text(head, 0x478, 16) }
    } else {
        Content::Unknown
    }
}

fn text(head: &[u8], start: usize, length: usize) -> String {
    let bytes = head.get(start..start + length).unwrap_or_default();
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{Content, HEAD, decide, probe};
    use crate::process::{Cmd, find_program};

    fn with(parts: &[(usize, &[u8])]) -> Vec<u8> {
        let mut head = vec![0; HEAD];
        for (at, bytes) in parts {
            head[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        head
    }

    #[test]
    fn magic_bytes_decide() {
        let ext4 = with(&[(0x438, &[0x53, 0xef]), (0x478, b"ROOT")]);
        assert_eq!(decide(&ext4, &[]), Content::Filesystem { kind: "ext4", label: "ROOT".into() });
        let xfs = with(&[(0, b"XFSB"), (108, b"ROOT")]);
        assert_eq!(decide(&xfs, &[]), Content::Filesystem { kind: "xfs", label: "ROOT".into() });
        let btrfs = with(&[(0x10040, b"_BHRfS_M"), (0x1012b, b"R")]);
        assert_eq!(decide(&btrfs, &[]), Content::Filesystem { kind: "btrfs", label: "R".into() });
        assert_eq!(decide(&with(&[(0, b"LUKS\xba\xbe")]), &[]), Content::Luks);
        assert_eq!(decide(&with(&[(0x200, b"LABELONE")]), &[]), Content::Lvm);
        let member = [0xfc, 0x4e, 0x2b, 0xa9];
        assert_eq!(decide(&with(&[(0x1000, &member)]), &[]), Content::Raid);
        assert_eq!(decide(&ext4, &[member]), Content::Raid);
        assert_eq!(decide(&[], &[]), Content::Unknown);
    }

    #[test]
    fn a_real_ext4_is_known() {
        let list = std::env::var_os("WELLCAR_ORACLES").unwrap_or_default();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let tool = find_program("mke2fs", &list)
            .or_else(|| find_program("mke2fs", &path))
            .or_else(|| find_program("mke2fs", "/sbin:/usr/sbin".as_ref()));
        let Some(tool) = tool else {
            assert!(std::env::var_os("WELLCAR_REQUIRE_ORACLES").is_none(), "no mke2fs");
            println!("skipped: no mke2fs");
            return;
        };
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("root");
        std::fs::File::create(&image).unwrap().set_len(8 << 20).unwrap();
        Cmd::new(tool).args(["-q", "-t", "ext4", "-L", "ROOT"]).arg(&image).run().unwrap();
        let found = probe(&std::fs::File::open(&image).unwrap(), 8 << 20).unwrap();
        assert_eq!(found, Content::Filesystem { kind: "ext4", label: "ROOT".into() });
        let small = std::fs::File::create_new(dir.path().join("small")).unwrap();
        assert_eq!(probe(&small, 0).unwrap(), Content::Unknown);
    }
}
