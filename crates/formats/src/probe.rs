//! What a device or partition holds, by its signature: a minimal blkid.
//!
//! Types, labels and UUIDs are written as blkid writes them, since configs name devices that way.
//! One type is answered: containers (LUKS, RAID) before file systems, as what lies in front wins.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};

use uuid::Uuid;

use crate::bytes::{le16, le32, read_up_to, take, text};

/// How much of the front is looked at: btrfs has the farthest super block.
pub const WINDOW: usize = (64 << 10) + 4096;

/// What was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// LUKS 1 or 2.
    Luks,
    /// Linux software RAID, metadata 1.1 or 1.2.
    Raid,
    /// LVM physical volume.
    Lvm,
    /// Swap space of 4 KiB pages.
    Swap,
    /// btrfs.
    Btrfs,
    /// XFS.
    Xfs,
    /// EROFS.
    Erofs,
    /// ext2: no journal.
    Ext2,
    /// ext3: a journal, and nothing newer.
    Ext3,
    /// ext4.
    Ext4,
    /// SquashFS.
    Squashfs,
    /// ISO 9660.
    Iso9660,
    /// FAT12, FAT16 or FAT32.
    Vfat,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Luks => "crypto_LUKS",
            Self::Raid => "linux_raid_member",
            Self::Lvm => "LVM2_member",
            Self::Swap => "swap",
            Self::Btrfs => "btrfs",
            Self::Xfs => "xfs",
            Self::Erofs => "erofs",
            Self::Ext2 => "ext2",
            Self::Ext3 => "ext3",
            Self::Ext4 => "ext4",
            Self::Squashfs => "squashfs",
            Self::Iso9660 => "iso9660",
            Self::Vfat => "vfat",
        })
    }
}

/// A signature's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The type.
    pub kind: Kind,
    /// Label, where it has a non-empty one.
    pub label: Option<String>,
    /// UUID or serial number as blkid prints it.
    pub uuid: Option<String>,
}

/// Reads the front of a device and recognises it; `None` where nothing is known.
///
/// # Errors
/// When the device fails.
pub fn probe(device: &mut (impl Read + Seek)) -> io::Result<Option<Found>> {
    device.seek(SeekFrom::Start(0))?;
    let mut front = vec![0; WINDOW];
    let got = read_up_to(device, &mut front)?;
    Ok(probe_bytes(&front[..got]))
}

/// Recognises a device by its first [`WINDOW`] bytes; fewer are taken as they are.
#[must_use]
pub fn probe_bytes(front: &[u8]) -> Option<Found> {
    [luks, raid, lvm, swap, btrfs, xfs, erofs, ext, squashfs, iso9660, vfat]
        .iter()
        .find_map(|look| look(front))
}

fn found(kind: Kind, label: &[u8], uuid: Option<String>) -> Found {
    let label = Some(text(label)).filter(|l| !l.is_empty());
    Found { kind, label, uuid }
}

fn id(front: &[u8], at: usize) -> Option<String> {
    Some(Uuid::from_bytes(take(front, at))).filter(|u| !u.is_nil()).map(|u| u.to_string())
}

fn field(front: &[u8], at: usize, len: usize) -> &[u8] {
    front.get(at..at + len).unwrap_or_default()
}

fn luks(front: &[u8]) -> Option<Found> {
    if field(front, 0, 6) != b"LUKS\xba\xbe" {
        return None;
    }
    let label = match take::<2>(front, 6) {
        [0, 1] => &[],
        [0, 2] => field(front, 24, 48),
        _ => return None,
    };
    Some(found(Kind::Luks, label, Some(text(field(front, 168, 40))).filter(|u| !u.is_empty())))
}

fn raid(front: &[u8]) -> Option<Found> {
    let at = [0, 4096].into_iter().find(|at| le32(front, *at) == 0xa92b_4efc && le32(front, at + 4) == 1)?;
    Some(found(Kind::Raid, field(front, at + 32, 32), id(front, at + 16)))
}

fn lvm(front: &[u8]) -> Option<Found> {
    let at = (0..4)
        .map(|n| n * 512)
        .find(|at| field(front, *at, 8) == b"LABELONE" && field(front, at + 24, 8) == b"LVM2 001")?;
    let raw = text(field(front, at + 32, 32));
    if !raw.is_ascii() || raw.len() != 32 {
        return Some(found(Kind::Lvm, &[], None));
    }
    let mut parts = Vec::new();
    let mut rest = raw.as_str();
    for len in [6, 4, 4, 4, 4, 4, 6] {
        let (part, more) = rest.split_at(len);
        parts.push(part);
        rest = more;
    }
    Some(found(Kind::Lvm, &[], Some(parts.join("-"))))
}

fn swap(front: &[u8]) -> Option<Found> {
    let right = field(front, 4086, 10) == b"SWAPSPACE2" && le32(front, 1024) == 1;
    right.then(|| found(Kind::Swap, field(front, 1052, 16), id(front, 1036)))
}

fn btrfs(front: &[u8]) -> Option<Found> {
    const AT: usize = 64 << 10;
    (field(front, AT + 64, 8) == b"_BHRfS_M")
        .then(|| found(Kind::Btrfs, field(front, AT + 299, 256), id(front, AT + 32)))
}

fn xfs(front: &[u8]) -> Option<Found> {
    (field(front, 0, 4) == b"XFSB").then(|| found(Kind::Xfs, field(front, 108, 12), id(front, 32)))
}

fn erofs(front: &[u8]) -> Option<Found> {
    let sb = crate::erofs::Superblock::parse(front.get(1024..)?).ok()?;
    Some(found(Kind::Erofs, sb.name.as_bytes(), id(front, 1024 + 48)))
}

fn ext(front: &[u8]) -> Option<Found> {
    const AT: usize = 1024;
    if le16(front, AT + 0x38) != 0xef53 || front.len() < 2 * AT {
        return None;
    }
    let (compat, incompat, ro) = (le32(front, AT + 0x5c), le32(front, AT + 0x60), le32(front, AT + 0x64));
    // A file system that needs what ext3 does not know (filetype, recovery, meta_bg; sparse_super,
    // large_file, btree_dir) is ext4; an external journal (incompat 8) is none.
    let kind = match (incompat & 8, incompat & !0x16, ro & !7, compat & 4) {
        (8, ..) => return None,
        (_, 0, 0, 0) => Kind::Ext2,
        (_, 0, 0, _) => Kind::Ext3,
        _ => Kind::Ext4,
    };
    Some(found(kind, field(front, AT + 0x78, 16), id(front, AT + 0x68)))
}

fn squashfs(front: &[u8]) -> Option<Found> {
    (field(front, 0, 4) == b"hsqs" && le16(front, 28) == 4).then(|| found(Kind::Squashfs, &[], None))
}

fn iso9660(front: &[u8]) -> Option<Found> {
    const AT: usize = 32 << 10;
    if field(front, AT, 6) != b"\x01CD001" {
        return None;
    }
    let label = field(front, AT + 40, 32).trim_ascii_end();
    // The time of creation, of the last change where there is one, stands for a UUID.
    let times = [AT + 830, AT + 813].map(|at| field(front, at, 16));
    let time = times.into_iter().find(|t| t.iter().all(u8::is_ascii_digit) && t.iter().any(|b| *b != b'0'));
    let uuid = time.map(|t| {
        let t = text(t);
        format!(
            "{}-{}-{}-{}-{}-{}-{}",
            &t[..4],
            &t[4..6],
            &t[6..8],
            &t[8..10],
            &t[10..12],
            &t[12..14],
            &t[14..16]
        )
    });
    Some(found(Kind::Iso9660, label, uuid))
}

fn vfat(front: &[u8]) -> Option<Found> {
    if field(front, 510, 2) != [0x55, 0xaa] || !matches!(le16(front, 11), 512 | 1024 | 2048 | 4096) {
        return None;
    }
    let (id, label) = if field(front, 82, 8) == b"FAT32   " {
        (67, 71)
    } else if matches!(field(front, 54, 8), b"FAT12   " | b"FAT16   ") {
        (39, 43)
    } else {
        return None;
    };
    let serial = le32(front, id);
    let label = field(front, label, 11).trim_ascii_end();
    let label = if label == b"NO NAME" { &[] } else { label };
    Some(found(Kind::Vfat, label, Some(format!("{:04X}-{:04X}", serial >> 16, serial & 0xffff))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_found_in_noise_and_short_devices() {
        for len in [0, 1, 511, 512, 1024, 4096, WINDOW] {
            assert_eq!(probe_bytes(&vec![0; len]), None);
            assert_eq!(probe_bytes(&vec![0xff; len]), None);
        }
    }

    #[test]
    fn luks_and_raid_win_over_what_lies_behind() {
        let mut b = vec![0; WINDOW];
        b[..4].copy_from_slice(b"XFSB");
        b[4096..4100].copy_from_slice(&0xa92b_4efc_u32.to_le_bytes());
        b[4100] = 1;
        assert_eq!(probe_bytes(&b).unwrap().kind, Kind::Raid);
        b[..8].copy_from_slice(b"LUKS\xba\xbe\0\x02");
        b[24..28].copy_from_slice(b"data");
        b[168..171].copy_from_slice(b"abc");
        let luks = Found { kind: Kind::Luks, label: Some("data".into()), uuid: Some("abc".into()) };
        assert_eq!(probe_bytes(&b), Some(luks));
    }

    proptest::proptest! {
        #[test]
        fn damaged_fronts_never_panic(magic in 0usize..11, noise in proptest::collection::vec(proptest::num::u8::ANY, 0..2100), cut in 0usize..WINDOW) {
            let magics: [(usize, &[u8]); 11] = [
                (0, b"LUKS\xba\xbe\0\x02"), (4096, b"\xfc\x4e\x2b\xa9\x01"), (512, b"LABELONE"), (4086, b"SWAPSPACE2"),
                (65600, b"_BHRfS_M"), (0, b"XFSB"), (1024, b"\xe2\xe1\xf5\xe0"), (1080, b"\x53\xef"), (0, b"hsqs"),
                (32768, b"\x01CD001"), (510, b"\x55\xaa"),
            ];
            let mut b = vec![0; WINDOW];
            b[..noise.len()].copy_from_slice(&noise);
            let (at, magic) = magics[magic];
            b[at..at + magic.len()].copy_from_slice(magic);
            let _ = probe_bytes(&b);
            let _ = probe_bytes(&b[..cut]);
        }
    }
}
