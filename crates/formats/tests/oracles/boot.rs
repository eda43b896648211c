//! Hash trees by veritysetup, kernel images by objdump and objcopy, initramfs archives by cpio, and
//! packages by dpkg-deb.

use std::fs::File;
use std::io::Cursor;
use std::process::{Command, Stdio};

use formats::{cpio, deb, uki, verity};
use uuid::Uuid;

use crate::find::{file, run, tool};

#[test]
fn veritysetup_makes_the_same_bytes_and_verifies_ours() {
    let Some(veritysetup) = tool("veritysetup") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (data, theirs, ours) = (dir.path().join("data"), dir.path().join("theirs"), dir.path().join("ours"));
    let uuid = Uuid::from_u128(0xfeed);
    for (blocks, salt) in
        [(1usize, "00"), (2, "ab12"), (128, ""), (129, "ff"), (2049, "0123456789abcdef0123456789abcdef")]
    {
        let content: Vec<u8> =
            (0..blocks * 4096).map(|n| (n / 11).to_le_bytes()[0] ^ (n / 4096).to_le_bytes()[0]).collect();
        std::fs::write(&data, &content).unwrap();
        let text = run(Command::new(&veritysetup)
            .args(["format", "--uuid", &uuid.to_string(), "--salt", if salt.is_empty() { "-" } else { salt }])
            .args([&data, &theirs]));
        let root = text.lines().find_map(|l| l.strip_prefix("Root hash:")).unwrap().trim().to_owned();
        let salt: Vec<u8> =
            (0..salt.len() / 2).map(|n| u8::from_str_radix(&salt[2 * n..2 * n + 2], 16).unwrap()).collect();
        let tree = verity::Tree::build(&mut &content[..], content.len() as u64, &salt, uuid, 2).unwrap();
        assert_eq!(tree.root().to_string(), root, "{blocks}");
        tree.write(&mut File::create(&ours).unwrap()).unwrap();
        assert!(std::fs::read(&ours).unwrap() == std::fs::read(&theirs).unwrap(), "{blocks}");
        run(Command::new(&veritysetup).arg("verify").args([&data, &ours]).arg(&root));
    }
}

#[test]
fn objdump_and_objcopy_see_the_sections() {
    let Some(stub) = file("linuxx64.efi.stub", &["/usr/lib/systemd/boot/efi"]) else { return };
    let (Some(objdump), Some(objcopy)) = (tool("objdump"), tool("objcopy")) else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("uki.efi");
    let stub = std::fs::read(stub).unwrap();
    let (initrd, linux) = (vec![9; 70_001], stub.clone());
    let cmdline = "usrhash=00 quiet";
    let parts =
        uki::Parts { os_release: "ID=wellcar\n", cmdline, uname: "6.12.0", initrd: &initrd, linux: &linux };
    let bytes = uki::build(&stub, &parts).unwrap();
    std::fs::write(&path, &bytes).unwrap();
    let text = run(Command::new(objdump).args(["-h", "-p"]).arg(&path));
    for name in [".osrel", ".cmdline", ".uname", ".initrd", ".linux", ".sbat", ".text"] {
        assert!(text.contains(&format!(" {name} ")), "{name}: {text}");
    }
    let image = uki::Image::read(&mut Cursor::new(&bytes)).unwrap();
    for (name, want) in [(".cmdline", cmdline.as_bytes()), (".initrd", &initrd)] {
        let out = dir.path().join("section");
        let only = format!("--only-section={name}");
        run(Command::new(&objcopy).args(["-O", "binary", &only]).arg(&path).arg(&out));
        let theirs = std::fs::read(&out).unwrap();
        assert!(theirs.starts_with(want) && theirs[want.len()..].iter().all(|b| *b == 0), "{name}");
        assert!(image.content(&mut Cursor::new(&bytes), name, 1 << 20).unwrap() == want, "{name}");
    }
    // The kernel must start where the stub looks for it: whole, at an aligned address.
    let kernel = image.sections().iter().find(|s| s.name == ".linux").unwrap();
    assert_eq!(kernel.virtual_address % 4096, 0);
    assert!(image.content(&mut Cursor::new(&bytes), ".linux", 1 << 20).unwrap().starts_with(&linux));
}

#[test]
fn cpio_unpacks_the_initramfs() {
    let Some(tool) = tool("cpio") else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut w = cpio::Writer::new(Vec::new(), 1_700_000_000);
    w.dir("dev", 0o755).unwrap();
    w.char_device("dev/console", 0o600, 5, 1).unwrap();
    w.dir("bin", 0o755).unwrap();
    w.file("init", 0o755, &[1; 5001]).unwrap();
    w.symlink("bin/sh", "../init").unwrap();
    let archive = dir.path().join("initramfs");
    std::fs::write(&archive, w.finish().unwrap()).unwrap();
    let mut list = Command::new(tool);
    let text = run(list.args(["-itv"]).stdin(Stdio::from(File::open(&archive).unwrap())));
    let lines: Vec<&str> = text.lines().collect();
    for (line, want) in lines.iter().zip([
        "drwxr-xr-x   2 root",
        "crw-------   1 root",
        "drwxr-xr-x",
        "-rwxr-xr-x   1 root     root         5001",
        "lrwxrwxrwx",
    ]) {
        assert!(line.starts_with(want), "{line}");
    }
    assert!(lines[1].contains("5,   1") && lines[1].ends_with("dev/console"), "{}", lines[1]);
    assert!(lines[4].ends_with("bin/sh -> ../init"), "{}", lines[4]);
}

#[test]
fn packages_of_dpkg_deb_are_read_as_it_reads_them() {
    let Some(dpkg) = tool("dpkg-deb") else { return };
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let long = format!("usr/share/{}", "long-name-".repeat(14));
    std::fs::create_dir_all(root.join("DEBIAN")).unwrap();
    std::fs::create_dir_all(root.join("usr/share")).unwrap();
    let control = "Package: demo\nVersion: 1\nArchitecture: all\nMaintainer: x <x@y.z>\nInstalled-Size: 300\nDescription: x\n";
    std::fs::write(root.join("DEBIAN/control"), control).unwrap();
    std::fs::write(root.join(&long), [5; 200_000]).unwrap();
    std::os::unix::fs::symlink("../../etc/x", root.join("usr/share/link")).unwrap();
    std::fs::hard_link(root.join(&long), root.join("usr/share/same")).unwrap();
    for compression in ["none", "gzip", "xz", "zstd"] {
        let path = dir.path().join("demo.deb");
        let z = format!("-Z{compression}");
        run(Command::new(&dpkg).args([&z, "--root-owner-group", "-b"]).arg(&root).arg(&path));
        let package = deb::Deb::read(File::open(&path).unwrap(), &deb::Limits::default()).unwrap();
        assert_eq!(package.control().control, control);
        let (mut names, mut bytes) = (Vec::new(), 0);
        package
            .visit(|entry, content| {
                let mut data = Vec::new();
                content.read_to_end(&mut data).unwrap();
                bytes += data.len();
                names.push(entry.path);
                Ok::<_, deb::Error>(())
            })
            .unwrap();
        names.sort();
        assert_eq!(names, ["", "usr", "usr/share", "usr/share/link", &long, "usr/share/same"]);
        assert_eq!(bytes, 200_000);
    }
}
