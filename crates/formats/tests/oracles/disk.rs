//! Partition tables by sgdisk, FAT by fsck.fat and mtools, disk images by qemu-img.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;

use formats::{fat, gpt, probe, qcow2, vhd};
use uuid::Uuid;

use crate::find::{run, tool};

const USR: Uuid = Uuid::from_u128(0x5dfbf5f4_2848_4bac_aa5e_0d9a20b745a6);

fn new_file(path: &Path, size: u64) -> File {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path).unwrap();
    file.set_len(size).unwrap();
    file
}

fn table(size: u64, sector: u64) -> gpt::Table {
    let mut t = gpt::Table::new(Uuid::from_u128(1), size, sector).unwrap();
    for (number, mib, name) in
        [(1, 1024, "EFI-SYSTEM"), (3, 2048, "USR-A"), (4, 2048, "USR-B"), (6, 256, "OEM"), (9, 64, "ROOT")]
    {
        t.add_sized(number, mib << 20, USR, Uuid::from_u128(0xabc0 + u128::from(number)), name).unwrap();
    }
    t
}

#[test]
fn sgdisk_finds_no_problems_in_new_and_grown_tables() {
    let Some(sgdisk) = tool("sgdisk") else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    let size = 6 << 30;
    let mut disk = new_file(&path, size);
    table(size, 512).write_new(&mut disk).unwrap();
    let verify = || run(Command::new(&sgdisk).arg("-v").arg(&path));
    assert!(verify().contains("No problems found"), "{}", verify());
    let info = run(Command::new(&sgdisk).args(["-i", "4"]).arg(&path));
    for part in [
        "5DFBF5F4-2848-4BAC-AA5E-0D9A20B745A6",
        "00000000-0000-0000-0000-00000000ABC4",
        "'USR-B'",
        "First sector: 6293504 ",
    ] {
        assert!(info.contains(part), "{part}: {info}");
    }
    disk.set_len(size + (1 << 30) + 512).unwrap();
    let (mut t, condition) = gpt::Table::read(&mut disk, 512).unwrap();
    assert_eq!(condition.backup, Some(gpt::Fault::NotAtEnd));
    t.fit_disk(size + (1 << 30) + 512).unwrap();
    t.set_disk_guid(Uuid::from_u128(0x77));
    t.grow(9).unwrap();
    t.remove(6).unwrap();
    t.change(3, |p| p.guid = Uuid::from_u128(0x1234)).unwrap();
    t.write(&mut disk).unwrap();
    assert!(verify().contains("No problems found"), "{}", verify());
    // And the other way: what sgdisk writes is read, and is what we would have written.
    run(Command::new(&sgdisk).args(["-n", "12:0:+5M", "-c", "12:größe", "-t", "12:8300"]).arg(&path));
    let (theirs, condition) = gpt::Table::read(&mut disk, 512).unwrap();
    assert!(condition.is_good());
    assert_eq!(theirs.partitions()[&12].name, "größe");
    let before = front(&mut disk);
    theirs.write(&mut disk).unwrap();
    assert!(before == front(&mut disk));
}

fn front(disk: &mut File) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 20];
    disk.seek(SeekFrom::Start(0)).unwrap();
    disk.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn fat_volumes_are_clean_and_readable() {
    let Some(fsck) = tool("fsck.fat") else { return };
    let dir = tempfile::tempdir().unwrap();
    for size in [34 << 20, 300 << 20, 1 << 30] {
        let path = dir.path().join("esp");
        let mut file = new_file(&path, size);
        let params = fat::Params {
            size,
            volume_id: 0x2026_1123,
            label: "EFI-SYSTEM".into(),
            time: 1_700_000_000,
            hidden_sectors: 2048,
        };
        let uki: Vec<u8> = (0..3_000_001_u32).map(|n| n.to_le_bytes()[1]).collect();
        let names: Vec<String> =
            (0..500).map(|n| format!("many/a rather long file name, number {n}.text")).collect();
        let mut b = fat::Builder::new(params);
        b.bytes("EFI/Linux/wellcar_2026.11.0+3.efi", &uki).unwrap();
        b.bytes("EFI/Linux/wellcar_2026.10.12+2-1.efi", b"old").unwrap();
        b.bytes("EFI/BOOT/BOOTX64.EFI", b"loader").unwrap();
        b.bytes("loader/loader.conf", b"timeout 0\n").unwrap();
        b.dir("loader/entries").unwrap();
        for name in &names {
            b.bytes(name, name.as_bytes()).unwrap();
        }
        b.write(&mut file).unwrap();
        file.sync_all().unwrap();
        let said = run(Command::new(&fsck).args(["-n", "-v"]).arg(&path));
        for bad in ["differ", "wrong", "ailed", "rphan"] {
            assert!(!said.contains(bad), "{said}");
        }
        let Some(mtype) = tool("mtype") else { return };
        let out = dir.path().join("out");
        let read = |name: &str| {
            let said = Command::new(&mtype)
                .arg("-i")
                .arg(&path)
                .arg(format!("::{name}"))
                .stdout(File::create(&out).unwrap())
                .status();
            assert!(said.unwrap().success(), "{name}");
            std::fs::read(&out).unwrap()
        };
        assert!(read("/EFI/Linux/wellcar_2026.11.0+3.efi") == uki);
        assert_eq!(read("/loader/loader.conf"), b"timeout 0\n");
        assert_eq!(read(&names[499]), names[499].as_bytes());
        let Some(mdir) = tool("mdir") else { return };
        let list = run(Command::new(mdir).args(["-b", "-i"]).arg(&path).arg("::/EFI/Linux"));
        assert!(list.contains("wellcar_2026.10.12+2-1.efi"), "{list}");
        // Others can go on with the volume.
        let Some(mcopy) = tool("mcopy") else { return };
        run(Command::new(mcopy).arg("-i").arg(&path).arg(&out).arg("::/EFI/Linux/later file.efi"));
        let said = run(Command::new(&fsck).arg("-n").arg(&path));
        assert!(!said.contains("wrong"), "{said}");
    }
}

#[test]
fn our_reader_reads_what_mtools_wrote() {
    let (Some(mkfs), Some(mcopy)) = (tool("mkfs.fat"), tool("mcopy")) else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vol");
    let mut file = new_file(&path, 64 << 20);
    run(Command::new(mkfs).args(["-F", "32", "-n", "THEIRS", "-i", "cafe0001"]).arg(&path));
    let source = dir.path().join("a long näme.text");
    File::create(&source).unwrap().write_all(&[3; 100_000]).unwrap();
    run(Command::new(mcopy).arg("-i").arg(&path).arg(&source).arg("::/").env("LC_ALL", "C.UTF-8"));
    let mut volume = fat::read::Volume::open(&mut file, 0).unwrap();
    assert_eq!((volume.label(), volume.volume_id()), ("THEIRS", 0xcafe_0001));
    let list = volume.list("").unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(volume.read(&list[0].name, 1 << 20).unwrap(), [3; 100_000]);
}

/// A 700 MiB disk with data here and there, its last cluster cut.
fn raw_disk(path: &Path) -> u64 {
    let size = (700 << 20) + 1536;
    let mut file = new_file(path, size);
    let mut seed = 1u64;
    let noise: Vec<u8> = (0..200_000)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed.to_be_bytes()[0]
        })
        .collect();
    for (at, data) in
        [(0, &noise[..]), (5 << 20, &[7; 3 << 20]), (600 << 20, &noise), (size - 700, &[9; 700])]
    {
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(data).unwrap();
    }
    size
}

#[test]
fn qemu_img_finds_our_images_sound_and_equal() {
    let Some(qemu_img) = tool("qemu-img") else { return };
    let dir = tempfile::tempdir().unwrap();
    let raw = dir.path().join("raw");
    let size = raw_disk(&raw);
    let image = dir.path().join("image");
    let compare = |format: &str| {
        run(Command::new(&qemu_img).args(["compare", "-f", "raw", "-F", format]).args([&raw, &image]));
    };
    for compression in [qcow2::Compression::None, qcow2::Compression::Zstd { level: 3, threads: 2 }] {
        let mut out = File::create(&image).unwrap();
        qcow2::write(&mut File::open(&raw).unwrap(), size, compression, &mut out).unwrap();
        let said = run(Command::new(&qemu_img).args(["check", "-f", "qcow2"]).arg(&image));
        assert!(said.contains("No errors were found"), "{said}");
        compare("qcow2");
    }
    std::fs::remove_file(&image).unwrap();
    vhd::write(&mut File::open(&raw).unwrap(), size, Uuid::from_u128(1), &mut File::create(&image).unwrap())
        .unwrap();
    compare("vpc");
    let info = run(Command::new(&qemu_img).args(["info", "-f", "vpc", "--output=json"]).arg(&image));
    assert!(info.contains(&format!("\"virtual-size\": {}", vhd::padded_size(size))), "{info}");
}

#[test]
fn probe_says_what_the_makers_of_file_systems_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fs");
    let uuid = "12345678-9abc-4def-8123-456789abcdef";
    let makers: [(&str, &[&str], &str); 6] = [
        ("mkfs.ext4", &["-q", "-F", "-L", "lab", "-U", uuid], "ext4"),
        ("mkfs.ext2", &["-q", "-F", "-L", "lab", "-U", uuid], "ext2"),
        ("mkfs.xfs", &["-q", "-f", "-L", "lab", "-m", "uuid=12345678-9abc-4def-8123-456789abcdef"], "xfs"),
        ("mkfs.btrfs", &["-q", "-f", "-L", "lab", "-U", uuid], "btrfs"),
        ("mkswap", &["-L", "lab", "-U", uuid], "swap"),
        ("mkfs.fat", &["-F", "32", "-n", "lab", "-i", "12345678"], "vfat"),
    ];
    for (maker, options, kind) in makers {
        let Some(maker) = tool(maker) else { continue };
        let mut file = new_file(&path, 400 << 20);
        run(Command::new(maker).args(options).arg(&path));
        let found = probe::probe(&mut file).unwrap().unwrap();
        assert_eq!(found.kind.to_string(), kind);
        let want = if kind == "vfat" { ("LAB", "1234-5678") } else { ("lab", uuid) };
        assert_eq!(
            (found.label.unwrap().to_uppercase(), found.uuid.unwrap()),
            (want.0.to_uppercase(), want.1.to_owned())
        );
    }
    if let Some(mkfs) = tool("mkfs.erofs") {
        let tree = dir.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        std::fs::write(tree.join("file"), [7; 100_000]).unwrap();
        std::fs::remove_file(&path).unwrap();
        run(Command::new(mkfs).args(["-U", uuid]).arg(&path).arg(&tree));
        let found = probe::probe(&mut File::open(&path).unwrap()).unwrap().unwrap();
        assert_eq!((found.kind.to_string().as_str(), found.uuid.as_deref()), ("erofs", Some(uuid)));
        let bytes = std::fs::read(&path).unwrap();
        let sb = formats::erofs::Superblock::parse(&bytes[1024..]).unwrap();
        assert_eq!(sb.hash_offset(), bytes.len() as u64);
    }
}
