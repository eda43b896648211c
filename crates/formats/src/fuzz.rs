//! Bodies of the fuzz targets: each takes any bytes, reads them as its format with small limits, and
//! must neither panic, hang nor grow. What can be written back is, and must read as the same.

use std::io::Cursor;

use crate::{bytes, deb as deb_format, erofs as erofs_format, fat as fat_format, gpt as gpt_format};
use crate::{probe as probe_format, uki as uki_format, verity as verity_format};

/// A package.
pub fn deb(data: &[u8]) {
    let limits = deb_format::Limits {
        control_bytes: 64 << 10,
        data_bytes: 1 << 20,
        entries: 1000,
        xz_memory: 16 << 20,
        ..deb_format::Limits::default()
    };
    if let Ok(package) = deb_format::Deb::read(data, &limits) {
        let _ = package.visit(|entry, content| {
            assert!(!entry.path.starts_with('/') && entry.path.split('/').all(|p| p != ".."));
            let mut buf = Vec::new();
            let _ = content.read_to_end(&mut buf);
            Ok::<_, deb_format::Error>(())
        });
    }
}

/// A disk with a partition table.
pub fn gpt(data: &[u8]) {
    let mut disk = Cursor::new(data.to_vec());
    for sector in [512, 4096] {
        let Ok((table, _)) = gpt_format::Table::read(&mut disk, sector) else { continue };
        let mut copy = Cursor::new(data.to_vec());
        if table.write(&mut copy).is_ok() {
            let back = gpt_format::Table::read(&mut copy, sector);
            assert!(back.is_ok_and(|(back, condition)| back == table && condition.is_good()));
        }
    }
}

/// A FAT32 volume; only its used front needs to be there.
pub fn fat(data: &[u8]) {
    let mut file = Cursor::new(data);
    let Ok(mut volume) = fat_format::read::Volume::open(&mut file, 0) else { return };
    let Ok(list) = volume.list("") else { return };
    for entry in list.iter().take(16) {
        if entry.is_dir {
            let _ = volume.list(&entry.name);
        } else {
            let _ = volume.read(&entry.name, 1 << 20);
        }
    }
}

/// A PE image, read and appended to.
pub fn uki(data: &[u8]) {
    let mut file = Cursor::new(data);
    if let Ok(image) = uki_format::Image::read(&mut file) {
        for section in image.sections() {
            let _ = image.content(&mut file, &section.name, 1 << 20);
        }
    }
    let section =
        uki_format::NewSection { name: ".cmdline", data: b"quiet", virtual_size: None, code: false };
    if let Ok(grown) = uki_format::append(data, &[section]) {
        let mut file = Cursor::new(&grown);
        let read = uki_format::Image::read(&mut file).and_then(|i| i.content(&mut file, ".cmdline", 64));
        assert!(read.is_ok_and(|content| content == b"quiet"));
    }
}

/// An EROFS super block.
pub fn erofs(data: &[u8]) {
    if let Ok(sb) = erofs_format::Superblock::parse(data) {
        assert!(sb.hash_offset() >= sb.bytes());
    }
}

/// A hash area, the root hash in front of it.
pub fn verity(data: &[u8]) {
    let root = verity_format::RootHash(bytes::take(data, 0));
    let Some(area) = data.get(verity_format::DIGEST..) else { return };
    if let Ok(tree) = verity_format::Tree::read(&mut &*area, &root) {
        let _ = tree.verify_block(0, &[0; verity_format::BLOCK]);
    }
    let _ = verity_format::Superblock::parse(area);
}

/// The front of a device.
pub fn probe(data: &[u8]) {
    let _ = probe_format::probe_bytes(data);
}
