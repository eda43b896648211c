//! Good packages in every compression, and the hostile ones.
#![allow(clippy::type_complexity)]

use std::io::Write;

use super::*;
use crate::ar::tests::archive;

/// A tar header block with the checksum set; fields may then be damaged by `edit`.
fn block(path: &str, typeflag: u8, size: u64, link: &str, edit: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut b = vec![0; 512];
    b[..path.len()].copy_from_slice(path.as_bytes());
    b[100..108].copy_from_slice(b"0000644\0");
    b[108..116].copy_from_slice(b"0000000\0");
    b[116..124].copy_from_slice(b"0000052\0");
    b[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    b[136..148].copy_from_slice(b"00000000144\0");
    b[156] = typeflag;
    b[157..157 + link.len()].copy_from_slice(link.as_bytes());
    b[257..265].copy_from_slice(b"ustar  \0");
    b[265..269].copy_from_slice(b"root");
    b[297..303].copy_from_slice(b"shadow");
    edit(&mut b);
    b[148..156].fill(b' ');
    let sum: u32 = b.iter().map(|x| u32::from(*x)).sum();
    b[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    b
}

fn item(path: &str, typeflag: u8, link: &str, data: &[u8]) -> Vec<u8> {
    let mut out = block(path, typeflag, data.len() as u64, link, |_| {});
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

fn file(path: &str, data: &[u8]) -> Vec<u8> {
    item(path, b'0', "", data)
}

fn dir(path: &str) -> Vec<u8> {
    item(path, b'5', "", b"")
}

fn long(typeflag: u8, name: &[u8]) -> Vec<u8> {
    item("././@LongLink", typeflag, "", name)
}

fn end(mut items: Vec<u8>) -> Vec<u8> {
    items.extend([0; 1024]);
    items
}

fn control_tar(extra: &[Vec<u8>]) -> Vec<u8> {
    let text = b"Package: demo\nVersion: 1.2-3\nInstalled-Size: 10\nDescription: x\n more\n";
    let mut all = [dir("./"), file("./control", text)].concat();
    all.extend(extra.concat());
    end(all)
}

fn deb(data: &[Vec<u8>]) -> Vec<u8> {
    archive(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar", &control_tar(&[])),
        ("data.tar", &end(data.concat())),
    ])
}

fn read(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, Error> {
    let mut out = Vec::new();
    Deb::read(bytes, &Limits::default())?.visit(|entry, content| {
        let mut data = Vec::new();
        content.read_to_end(&mut data).map_err(|source| Error::Io { member: "data.tar", source })?;
        out.push((entry, data));
        Ok::<_, Error>(())
    })?;
    Ok(out)
}

fn xz(data: &[u8]) -> Vec<u8> {
    let mut e = liblzma::write::XzEncoder::new(Vec::new(), 1);
    e.write_all(data).unwrap();
    e.finish().unwrap()
}

fn gz(data: &[u8]) -> Vec<u8> {
    let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    e.write_all(data).unwrap();
    e.finish().unwrap()
}

fn zst(data: &[u8]) -> Vec<u8> {
    zstd::encode_all(data, 1).unwrap()
}

#[test]
fn good_package_in_every_compression() {
    let control = control_tar(&[
        file("./md5sums", b"d41d8cd98f00b204e9800998ecf8427e  usr/bin/demo\n"),
        file("./conffiles", b"/etc/demo.conf\nremove-on-upgrade /etc/old\n"),
        file("./postinst", b"#!/bin/sh\n"),
    ]);
    let long_name = format!("./usr/share/{}", "n".repeat(180));
    let data = end([
        dir("./"),
        dir("./usr/"),
        dir("./usr/bin/"),
        file("./usr/bin/demo", b"hello"),
        item("./usr/bin/alias", b'2', "../../etc/x", b""),
        item("./usr/bin/same", b'1', "./usr/bin/demo", b""),
        long(b'L', format!("{long_name}\0").as_bytes()),
        file("ignored", &[7; 1000]),
        file("usr//share/./odd", b""),
    ]
    .concat());
    let pack: [(&str, fn(&[u8]) -> Vec<u8>); 4] =
        [("", <[u8]>::to_vec), (".gz", gz), (".xz", xz), (".zst", zst)];
    for (suffix, compress) in pack {
        let (c, d) = (format!("control.tar{suffix}"), format!("data.tar{suffix}"));
        let members: [(&str, &[u8]); 5] = [
            ("debian-binary", b"2.0\n"),
            ("_note", b"for others"),
            (&c, &compress(&control)),
            (&d, &compress(&data)),
            ("_gpgorigin", b"x"),
        ];
        let bytes = archive(&members);
        let package = Deb::read(&bytes[..], &Limits::default()).unwrap();
        assert_eq!(package.control().field("version"), Some("1.2-3"));
        assert_eq!(package.control().conffiles, ["etc/demo.conf"]);
        assert_eq!(package.control().md5sums.len(), 1);
        assert_eq!(package.control().others, ["postinst"]);
        let got = read(&bytes).unwrap();
        let paths: Vec<_> = got.iter().map(|(e, _)| e.path.as_str()).collect();
        let want = [
            "",
            "usr",
            "usr/bin",
            "usr/bin/demo",
            "usr/bin/alias",
            "usr/bin/same",
            &long_name[2..],
            "usr/share/odd",
        ];
        assert_eq!(paths, want);
        let demo = &got[3].0;
        assert_eq!((demo.mode, demo.gid, demo.gname.as_str(), demo.mtime), (0o644, 0o52, "shadow", 100));
        assert_eq!(got[3].1, b"hello");
        assert_eq!(got[4].0.kind, Kind::Symlink { target: "../../etc/x".into() });
        assert_eq!(got[5].0.kind, Kind::Hardlink { target: "usr/bin/demo".into() });
        assert_eq!(got[6].1.len(), 1000);
    }
}

/// Name of the case, the entries of the data member, the wanted error.
type Case = (&'static str, Vec<Vec<u8>>, fn(&Error) -> bool);

fn hostile_entries() -> Vec<Case> {
    let is_path: fn(&Error) -> bool = |e| matches!(e, Error::Path { .. });
    let is_through: fn(&Error) -> bool = |e| matches!(e, Error::Through { .. });
    let is_kind: fn(&Error) -> bool = |e| matches!(e, Error::Kind { .. });
    let is_duplicate: fn(&Error) -> bool = |e| matches!(e, Error::Duplicate(_));
    let is_hardlink: fn(&Error) -> bool = |e| matches!(e, Error::Hardlink { .. });
    let is_number: fn(&Error) -> bool =
        |e| matches!(e, Error::Tar { source: tar_in::Error::Number { .. }, .. });
    let is_unsupported: fn(&Error) -> bool =
        |e| matches!(e, Error::Tar { source: tar_in::Error::Unsupported { .. }, .. });
    let is_sized: fn(&Error) -> bool =
        |e| matches!(e, Error::Tar { source: tar_in::Error::SizeOfNonFile { .. }, .. });
    let is_long: fn(&Error) -> bool = |e| matches!(e, Error::Tar { source: tar_in::Error::LongName(_), .. });
    // The visitor that reads meets these two as errors of its content reader.
    let is_cut: fn(&Error) -> bool = |e| match e {
        Error::Io { source, .. } => source.kind() == io::ErrorKind::UnexpectedEof,
        other => matches!(other, Error::Tar { source: tar_in::Error::Truncated(_), .. }),
    };
    let is_sum: fn(&Error) -> bool =
        |e| matches!(e, Error::Tar { source: tar_in::Error::Checksum { .. }, .. });
    let is_large: fn(&Error) -> bool = |e| matches!(e, Error::Io { source, .. } if is_over_limit(source));
    let sized = |field: &'static [u8]| {
        block("f", b'0', 0, "", move |b| b[124..124 + field.len()].copy_from_slice(field))
    };
    let pax = |record: &str| item("x", b'x', "", format!("{} {record}\n", record.len() + 4).as_bytes());
    vec![
        ("parent path", vec![file("../x", b"")], is_path),
        ("parent path inside", vec![file("usr/../../x", b"")], is_path),
        ("parent path at the end", vec![dir("usr/..")], is_path),
        ("absolute path", vec![file("/etc/passwd", b"")], is_path),
        ("doubly absolute path", vec![file("//etc/passwd", b"")], is_path),
        ("empty path", vec![file("", b"")], is_path),
        ("newline in path", vec![file("a\nb", b"")], is_path),
        ("escape in path", vec![file("a\x1b[2J", b"")], is_path),
        ("not UTF-8", vec![block("x", b'0', 0, "", |b| b[0] = 0xff)], is_path),
        ("root as file", vec![file("./", b"x")], is_path),
        ("root as symlink", vec![item("./", b'2', "/", b"")], is_path),
        ("parent path in a long name", vec![long(b'L', b"a/../../../x\0"), file("f", b"")], is_path),
        ("component too long", vec![long(b'L', &[b'a'; 300]), file("f", b"")], is_path),
        (
            "parent path in prefix",
            vec![block("x", b'0', 0, "", |b| {
                b[257..265].copy_from_slice(b"ustar\x0000");
                b[345..347].copy_from_slice(b"..");
            })],
            is_path,
        ),
        ("write through a symlink", vec![item("d", b'2', "/etc", b""), file("d/passwd", b"x")], is_through),
        (
            "write through a normalised symlink",
            vec![item("./d/", b'2', "/", b""), file("d//./e/f", b"x")],
            is_through,
        ),
        ("write through a file", vec![file("d", b""), file("d/x", b"")], is_through),
        ("directory through a symlink", vec![item("d", b'2', "..", b""), dir("d/e")], is_through),
        (
            "symlink over a directory in use",
            vec![dir("d"), item("d", b'2', "/etc", b""), file("d/x", b"")],
            is_duplicate,
        ),
        ("file over a symlink", vec![item("f", b'2', "/etc/passwd", b""), file("f", b"x")], is_duplicate),
        ("same file twice", vec![file("f", b"1"), file("./f", b"2")], is_duplicate),
        ("same directory twice", vec![dir("d"), dir("d/")], is_duplicate),
        ("hard link outside", vec![item("h", b'1', "../etc/shadow", b"")], is_path),
        ("absolute hard link", vec![item("h", b'1', "/etc/shadow", b"")], is_path),
        ("hard link to nothing", vec![item("h", b'1', "etc/shadow", b"")], is_hardlink),
        ("hard link to itself", vec![item("h", b'1', "h", b"")], is_hardlink),
        ("hard link to a symlink", vec![item("s", b'2', "/x", b""), item("h", b'1', "s", b"")], is_hardlink),
        ("hard link to a directory", vec![dir("d"), item("h", b'1', "d", b"")], is_hardlink),
        ("hard link to a later file", vec![item("h", b'1', "f", b""), file("f", b"")], is_hardlink),
        (
            "hard link through a symlink",
            vec![item("s", b'2', "/", b""), item("h", b'1', "s/etc/shadow", b"")],
            is_hardlink,
        ),
        ("hard link with content", vec![file("f", b""), item("h", b'1', "f", b"overwrite")], is_sized),
        ("symlink with content", vec![item("s", b'2', "x", b"content")], is_sized),
        ("directory with content", vec![item("d", b'5', "", b"content")], is_sized),
        ("symlink to nothing", vec![item("s", b'2', "", b"")], is_path),
        ("symlink with a newline", vec![item("s", b'2', "a\nb", b"")], is_path),
        ("character device", vec![item("dev/mem", b'3', "", b"")], is_kind),
        ("block device", vec![item("dev/sda", b'4', "", b"")], is_kind),
        ("pipe", vec![item("run/p", b'6', "", b"")], is_kind),
        ("pax path override", vec![pax("path=../../etc/x"), file("f", b"")], is_unsupported),
        ("pax size override", vec![pax("size=999999999999"), file("f", b"")], is_unsupported),
        ("global pax header", vec![item("g", b'g', "", b"13 path=/etc\n"), file("f", b"")], is_unsupported),
        ("GNU sparse file", vec![item("s", b'S', "", b"")], is_unsupported),
        ("GNU volume label", vec![item("v", b'V', "", b"")], is_unsupported),
        ("unknown type", vec![item("v", 0xff, "", b"")], is_unsupported),
        ("base-256 size over the input", vec![sized(b"\x80\0\0\0\0\0\0\0\0\0\x7f\xff")], is_cut),
        ("base-256 size near 2^63", vec![sized(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff")], is_cut),
        ("base-256 size over 2^63", vec![sized(b"\x80\0\0\x01\0\0\0\0\0\0\0\0")], is_number),
        ("negative size", vec![sized(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")], is_number),
        ("size with a sign", vec![sized(b"-0000000001\0")], is_number),
        ("size in hex", vec![sized(b"0x00000000f\0")], is_number),
        ("lying size", vec![block("f", b'0', 5000, "", |_| {})], is_cut),
        (
            "uid over 32 bits",
            vec![block("f", b'0', 0, "", |b| {
                b[108..116].copy_from_slice(&[0x80, 0, 1, 0, 0, 0, 0, 0]);
            })],
            is_number,
        ),
        ("two long names", vec![long(b'L', b"a"), long(b'L', b"b"), file("f", b"")], is_long),
        ("long name without entry", vec![long(b'L', b"a")], is_long),
        ("empty long name", vec![long(b'L', b""), file("f", b"")], is_long),
        ("long name with NUL inside", vec![long(b'L', b"a\0b"), file("f", b"")], is_long),
        ("endless long name", vec![long(b'L', &[b'a'; 5000]), file("f", b"")], is_long),
        (
            "wrong checksum",
            vec![{
                let mut b = block("f", b'0', 0, "", |_| {});
                b[0] = b'g';
                b
            }],
            is_sum,
        ),
        ("more than the package declares", vec![file("zeros", &vec![0; 17 << 20])], is_large),
    ]
}

#[test]
fn hostile_data_members() {
    let cases = hostile_entries();
    assert!(cases.len() >= 50);
    for (name, entries, expected) in cases {
        let error = read(&deb(&entries)).expect_err(name);
        assert!(expected(&error), "{name}: {error:?}");
    }
}

#[test]
fn hostile_outer_archives() {
    let (v, c, d): (&[u8], _, _) = (b"2.0\n", control_tar(&[]), end(file("f", b"x")));
    let cases: Vec<(&str, Vec<(&str, &[u8])>)> = vec![
        ("no members", vec![]),
        ("no control", vec![("debian-binary", v), ("data.tar", &d)]),
        ("no data", vec![("debian-binary", v), ("control.tar", &c)]),
        ("wrong order", vec![("debian-binary", v), ("data.tar", &d), ("control.tar", &c)]),
        ("control first", vec![("control.tar", &c), ("debian-binary", v), ("data.tar", &d)]),
        (
            "two data members",
            vec![("debian-binary", v), ("control.tar", &c), ("data.tar", &d), ("data.tar.xz", &d)],
        ),
        (
            "two control members",
            vec![("debian-binary", v), ("control.tar", &c), ("control.tar", &c), ("data.tar", &d)],
        ),
        ("version 3", vec![("debian-binary", b"3.0\n"), ("control.tar", &c), ("data.tar", &d)]),
        (
            "long version",
            vec![("debian-binary", b"2.0 and so much more\n"), ("control.tar", &c), ("data.tar", &d)],
        ),
        ("unknown compression", vec![("debian-binary", v), ("control.tar.bz2", &c), ("data.tar", &d)]),
        ("tar called xz", vec![("debian-binary", v), ("control.tar", &c), ("data.tar.xz", &d)]),
        ("tar called gz", vec![("debian-binary", v), ("control.tar", &c), ("data.tar.gz", &d)]),
        ("tar called zst", vec![("debian-binary", v), ("control.tar", &c), ("data.tar.zst", &d)]),
        ("similar name", vec![("debian-binary", v), ("control.target", &c), ("data.tar", &d)]),
    ];
    for (name, members) in cases {
        assert!(read(&archive(&members)).is_err(), "{name}");
    }
}

#[test]
fn hostile_control_members() {
    let no_control = end([file("./md5sums", b"")].concat());
    let not_text = end(file("control", b"\xff\xfe"));
    let link = end([file("x", b""), item("control", b'2', "/etc/passwd", b"")].concat());
    let hard = end([file("x", b""), item("control", b'1', "x", b"")].concat());
    let twice = end([file("control", b"a"), file("./control", b"b")].concat());
    let escape = end([file("control", b"a"), file("../../x", b"b")].concat());
    let large = end([file("control", b"a"), file("big", &vec![0; 17 << 20])].concat());
    for (name, tar) in [
        ("none", no_control),
        ("not UTF-8", not_text),
        ("symlink", link),
        ("hard link", hard),
        ("twice", twice),
        ("escape", escape),
        ("large", large),
    ] {
        let bytes =
            archive(&[("debian-binary", b"2.0\n"), ("control.tar", &tar), ("data.tar", &end(vec![]))]);
        assert!(read(&bytes).is_err(), "{name}");
    }
}

#[test]
fn bombs_stop_at_the_declared_size() {
    let zeros = end(file("zeros", &vec![0; 64 << 20]));
    for (suffix, packed) in [("gz", gz(&zeros)), ("xz", xz(&zeros)), ("zst", zst(&zeros))] {
        assert!(packed.len() < 1 << 20);
        let name = format!("data.tar.{suffix}");
        let bytes =
            archive(&[("debian-binary", b"2.0\n"), ("control.tar", &control_tar(&[])), (&name, &packed)]);
        let mut seen = 0;
        let result = Deb::read(&bytes[..], &Limits::default()).unwrap().visit(|_, content| {
            let mut buf = vec![0; 1 << 16];
            while let Ok(n @ 1..) = content.read(&mut buf) {
                seen += n;
            }
            Ok::<_, Error>(())
        });
        assert!(result.is_err(), "{suffix}");
        assert!(seen <= (16 << 20) + 20480, "{suffix}: {seen}");
        // The caller that does not read content meets the limit too.
        let result = Deb::read(&bytes[..], &Limits::default()).unwrap().visit(|_, _| Ok::<_, Error>(()));
        assert!(matches!(result, Err(Error::TooLarge { member: "data.tar", .. })), "{suffix}: {result:?}");
    }
}

#[test]
fn xz_memory_is_limited() {
    // The dictionary's size stands in the block header; a 1.5 GiB one must be refused before it is allocated.
    let mut filters = liblzma::stream::Filters::new();
    let mut options = liblzma::stream::LzmaOptions::new_preset(0).unwrap();
    options.dict_size(64 << 20);
    filters.lzma2(&options);
    let stream =
        liblzma::stream::Stream::new_stream_encoder(&filters, liblzma::stream::Check::Crc32).unwrap();
    let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(&end(file("f", b"x"))).unwrap();
    let packed = encoder.finish().unwrap();
    let bytes =
        archive(&[("debian-binary", b"2.0\n"), ("control.tar", &control_tar(&[])), ("data.tar.xz", &packed)]);
    assert_eq!(read(&bytes).unwrap().len(), 1);
    let limits = Limits { xz_memory: 32 << 20, ..Limits::default() };
    let result = Deb::read(&bytes[..], &limits).unwrap().visit(|_, _| Ok::<_, Error>(()));
    assert!(matches!(result, Err(Error::Tar { source: tar_in::Error::Io(_), .. })), "{result:?}");
}

#[test]
fn damage_and_truncation_never_pass() {
    let data = end([dir("./"), file("./f", &[5; 3000]), item("./l", b'2', "f", b"")].concat());
    for (suffix, packed) in [
        ("xz", xz(&data)),
        ("zst", {
            let mut e = zstd::Encoder::new(Vec::new(), 1).unwrap();
            e.include_checksum(true).unwrap();
            e.write_all(&data).unwrap();
            e.finish().unwrap()
        }),
        ("gz", gz(&data)),
    ] {
        let name = format!("data.tar.{suffix}");
        let bytes =
            archive(&[("debian-binary", b"2.0\n"), ("control.tar", &control_tar(&[])), (&name, &packed)]);
        let start = bytes.len() - packed.len() - packed.len() % 2;
        for cut in 0..bytes.len() - packed.len() % 2 {
            assert!(read(&bytes[..cut]).is_err(), "{suffix} cut at {cut}");
        }
        for at in start..start + packed.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            // gzip has bytes that mean nothing (time, flags); the content must be right or refused.
            if let Ok(got) = read(&bad) {
                assert_eq!(got[1].1, [5; 3000], "{suffix} flip at {at}");
            }
        }
    }
}

#[test]
fn trailing_bytes_are_refused() {
    let mut data = end(file("f", b"x"));
    data.extend(file("later", b"y"));
    let bytes =
        archive(&[("debian-binary", b"2.0\n"), ("control.tar", &control_tar(&[])), ("data.tar", &data)]);
    assert!(matches!(read(&bytes), Err(Error::Tar { source: tar_in::Error::Trailing, .. })));
}

#[test]
fn entries_are_counted() {
    let entries: Vec<_> = (0..20).map(|n| file(&format!("f{n}"), b"")).collect();
    let limits = Limits { entries: 10, ..Limits::default() };
    let result = Deb::read(&deb(&entries)[..], &limits).unwrap().visit(|_, _| Ok::<_, Error>(()));
    assert!(matches!(result, Err(Error::TooManyEntries(10))));
}

proptest::proptest! {
    #[test]
    fn arbitrary_damage_never_panics(at in 0usize..4096, with: Vec<u8>) {
        let mut bytes = deb(&[dir("./"), file("./a", &[1; 700]), item("./b", b'1', "./a", b"")]);
        for (n, b) in with.iter().enumerate() {
            if let Some(x) = bytes.get_mut(at + n) {
                *x ^= b;
            }
        }
        let _ = read(&bytes);
    }
}
