//! Deterministic writer of a POSIX tar stream, as `mkfs.erofs --tar=f` reads it.
//!
//! One header in ustar form for each entry; a PAX header (`x`) in front only where a value does not
//! fit: a path or link target over 100 bytes, a number over its octal field. Nothing is taken from
//! the surroundings: no user names, no current time, and the PAX header's own fields are constants,
//! so equal entries give equal bytes. Extended attributes are not written.

use std::fmt::Write as _;
use std::io::{self, Read, Write};

use crate::bytes::put;

const BLOCK: usize = 512;

/// Why the stream could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The output failed.
    #[error("failed to write the tar stream at `{path}`")]
    Write {
        /// The entry.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The content's reader failed.
    #[error("failed to read the content of `{path}`")]
    Content {
        /// The entry.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The content has another length than was announced.
    #[error("failed to write the content of `{path}`: expected {expected} bytes, found {found}")]
    Size {
        /// The entry.
        path: String,
        /// The announced length.
        expected: u64,
        /// What came: less, or at least this much.
        found: u64,
    },
    /// A path or link target that is empty or has a NUL.
    #[error("failed to accept the name `{0}`: it is empty or has a NUL")]
    Name(String),
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    /// Regular file of this many bytes.
    File {
        /// Content length.
        size: u64,
    },
    /// Directory.
    Dir,
    /// Symbolic link to this target.
    Symlink(&'a str),
    /// Another name of this earlier path of the stream.
    Hardlink(&'a str),
    /// Character device, major and minor.
    CharDevice(u32, u32),
    /// Block device, major and minor.
    BlockDevice(u32, u32),
    /// Named pipe.
    Fifo,
}

/// One entry. Paths are relative (`usr/bin`), without a trailing slash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Path inside the archive.
    pub path: &'a str,
    /// What it is.
    pub kind: Kind<'a>,
    /// Permission bits with set-id and sticky; higher bits are not written.
    pub mode: u32,
    /// Owner id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: u64,
}

/// The stream writer. [`Writer::finish`] writes the end mark.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    /// A writer at the start of a stream. Give a buffered output: headers are written one by one.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// Writes an entry; `content` is read to its end for a file and not touched for anything else.
    ///
    /// # Errors
    /// When output or content fail, or the content has not the announced length (the stream is then
    /// unusable).
    pub fn add(&mut self, entry: &Entry<'_>, content: &mut (impl Read + ?Sized)) -> Result<(), Error> {
        let (size, link) = match entry.kind {
            Kind::File { size } => (size, ""),
            Kind::Symlink(to) | Kind::Hardlink(to) => (0, to),
            Kind::Dir | Kind::CharDevice(..) | Kind::BlockDevice(..) | Kind::Fifo => (0, ""),
        };
        let is_link = matches!(entry.kind, Kind::Symlink(_) | Kind::Hardlink(_));
        for name in [Some(entry.path), is_link.then_some(link)].into_iter().flatten() {
            if name.is_empty() || name.contains('\0') {
                return Err(Error::Name(name.escape_default().to_string()));
            }
        }
        let failed = |source| Error::Write { path: entry.path.to_owned(), source };
        let records = records(entry, link, size);
        if !records.is_empty() {
            let header = Header {
                name: "././@PaxHeader",
                kind: b'x',
                mode: 0o644,
                size: records.len() as u64,
                ..Header::default()
            };
            self.out.write_all(&header.block()).map_err(failed)?;
            self.out.write_all(records.as_bytes()).map_err(failed)?;
            self.pad(records.len() as u64).map_err(failed)?;
        }
        let (kind, device) = match entry.kind {
            Kind::File { .. } => (b'0', (0, 0)),
            Kind::Hardlink(_) => (b'1', (0, 0)),
            Kind::Symlink(_) => (b'2', (0, 0)),
            Kind::CharDevice(major, minor) => (b'3', (major, minor)),
            Kind::BlockDevice(major, minor) => (b'4', (major, minor)),
            Kind::Dir => (b'5', (0, 0)),
            Kind::Fifo => (b'6', (0, 0)),
        };
        let Entry { path, mode, uid, gid, mtime, .. } = *entry;
        let header = Header { name: path, link, kind, mode: mode & 0o7777, uid, gid, mtime, size, device };
        self.out.write_all(&header.block()).map_err(failed)?;
        if let Kind::File { size } = entry.kind {
            self.content(entry.path, size, content)?;
        }
        Ok(())
    }

    fn content(&mut self, path: &str, size: u64, content: &mut (impl Read + ?Sized)) -> Result<(), Error> {
        let mut buf = vec![0; 128 << 10];
        let mut found = 0;
        loop {
            let got = match content.read(&mut buf) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(Error::Content { path: path.to_owned(), source }),
            };
            found += got as u64;
            if found > size {
                break;
            }
            self.out
                .write_all(&buf[..got])
                .map_err(|source| Error::Write { path: path.to_owned(), source })?;
        }
        if found != size {
            return Err(Error::Size { path: path.to_owned(), expected: size, found });
        }
        self.pad(size).map_err(|source| Error::Write { path: path.to_owned(), source })
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let over = crate::bytes::to_usize(size % BLOCK as u64);
        if over > 0 { self.out.write_all(&[0; BLOCK][over..]) } else { Ok(()) }
    }

    /// Writes the end mark and flushes; gives the output back.
    ///
    /// # Errors
    /// When the output fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Octal digits that fit a field of this width with its NUL.
const fn octal_max(width: u32) -> u64 {
    (1 << (3 * (width - 1))) - 1
}

/// PAX records for what the ustar header cannot hold.
fn records(entry: &Entry<'_>, link: &str, size: u64) -> String {
    let mut out = String::new();
    let mut add = |key: &str, value: &str| {
        // The length counts its own digits.
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length += 1;
        }
        let _ = writeln!(out, "{length} {key}={value}");
    };
    if entry.path.len() > 100 {
        add("path", entry.path);
    }
    if link.len() > 100 {
        add("linkpath", link);
    }
    for (key, value, width) in [
        ("size", size, 12),
        ("uid", u64::from(entry.uid), 8),
        ("gid", u64::from(entry.gid), 8),
        ("mtime", entry.mtime, 12),
    ] {
        if value > octal_max(width) {
            add(key, &value.to_string());
        }
    }
    out
}

#[derive(Default)]
struct Header<'a> {
    name: &'a str,
    link: &'a str,
    kind: u8,
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: u64,
    size: u64,
    device: (u32, u32),
}

impl Header<'_> {
    fn block(&self) -> [u8; BLOCK] {
        let mut b = [0; BLOCK];
        put(&mut b, 0, cut(self.name, 100));
        octal(&mut b[100..108], self.mode.into());
        octal(&mut b[108..116], self.uid.into());
        octal(&mut b[116..124], self.gid.into());
        octal(&mut b[124..136], self.size);
        octal(&mut b[136..148], self.mtime);
        b[156] = self.kind;
        put(&mut b, 157, cut(self.link, 100));
        put(&mut b, 257, b"ustar\x0000");
        octal(&mut b[329..337], self.device.0.into());
        octal(&mut b[337..345], self.device.1.into());
        b[148..156].fill(b' ');
        let sum: u64 = b.iter().map(|x| u64::from(*x)).sum();
        octal(&mut b[148..155], sum);
        b
    }
}

/// What a reader without PAX sees: the front of the name, at a character's border.
fn cut(name: &str, at: usize) -> &[u8] {
    let end = (0..=at.min(name.len())).rev().find(|n| name.is_char_boundary(*n)).unwrap_or(0);
    &name.as_bytes()[..end]
}

/// Zero-filled octal with a NUL; what does not fit stands in a PAX record and is 0 here.
fn octal(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    let value = if value >> (3 * digits) == 0 { value } else { 0 };
    for (n, place) in field[..digits].iter_mut().rev().enumerate() {
        *place = b"01234567"[crate::bytes::to_usize((value >> (3 * n)) & 7)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let long = format!("usr/share/{}", "ü".repeat(90));
        let target = "t".repeat(150);
        let base = Entry { path: "usr", kind: Kind::Dir, mode: 0o755, uid: 0, gid: 0, mtime: 1_700_000_000 };
        let mut w = Writer::new(Vec::new());
        w.add(&base, &mut io::empty()).unwrap();
        w.add(
            &Entry { path: "usr/f", kind: Kind::File { size: 5 }, mode: 0o4755, gid: 42, ..base },
            &mut &b"hello"[..],
        )
        .unwrap();
        w.add(
            &Entry { path: &long, kind: Kind::File { size: 1024 }, mode: 0o644, ..base },
            &mut &[9; 1024][..],
        )
        .unwrap();
        w.add(&Entry { path: "usr/l", kind: Kind::Symlink(&target), mode: 0o777, ..base }, &mut io::empty())
            .unwrap();
        w.add(&Entry { path: "usr/h", kind: Kind::Hardlink("usr/f"), ..base }, &mut io::empty()).unwrap();
        w.add(
            &Entry {
                path: "usr/big",
                kind: Kind::File { size: 0 },
                uid: 3_000_000_000,
                gid: 4_000_000,
                ..base
            },
            &mut io::empty(),
        )
        .unwrap();
        w.add(
            &Entry { path: "usr/null", kind: Kind::CharDevice(1, 3), mode: 0o666, ..base },
            &mut io::empty(),
        )
        .unwrap();
        w.finish().unwrap()
    }

    #[test]
    fn the_tar_crate_reads_it_back() {
        let bytes = sample();
        assert_eq!(bytes, sample());
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut got = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut data = Vec::new();
            entry.read_to_end(&mut data).unwrap();
            let header = entry.header();
            got.push(format!(
                "{} {:?} {:o} {}:{} {} {} {}",
                entry.path().unwrap().to_string_lossy().replace("üüüüüüüüüü", "U"),
                header.entry_type(),
                header.mode().unwrap(),
                header.uid().unwrap(),
                header.gid().unwrap(),
                header.mtime().unwrap(),
                data.len(),
                entry.link_name().unwrap().map_or(0, |l| l.as_os_str().len()),
            ));
        }
        assert_eq!(
            got,
            [
                "usr Directory 755 0:0 1700000000 0 0",
                "usr/f Regular 4755 0:42 1700000000 5 0",
                "usr/share/UUUUUUUUU Regular 644 0:0 1700000000 1024 0",
                "usr/l Symlink 777 0:0 1700000000 0 150",
                "usr/h Link 755 0:0 1700000000 0 5",
                "usr/big Regular 755 3000000000:4000000 1700000000 0 0",
                "usr/null Char 666 0:0 1700000000 0 0",
            ]
        );
    }

    #[test]
    fn content_must_have_its_length() {
        for (announced, content) in [(4, &b"hello"[..]), (6, b"hello"), (0, b"h")] {
            let entry =
                Entry { path: "f", kind: Kind::File { size: announced }, mode: 0, uid: 0, gid: 0, mtime: 0 };
            let result = Writer::new(Vec::new()).add(&entry, &mut &content[..]);
            assert!(matches!(result, Err(Error::Size { .. })), "{announced}");
        }
    }

    #[test]
    fn pax_lengths_count_themselves() {
        for n in 85..120 {
            let path = "p".repeat(n);
            let entry = Entry { path: &path, kind: Kind::Dir, mode: 0, uid: 0, gid: 0, mtime: 0 };
            let text = records(&entry, "", 0);
            assert_eq!(text.is_empty(), n <= 100);
            if n > 100 {
                let (length, _) = text.split_once(' ').unwrap();
                assert_eq!(length.parse::<usize>().unwrap(), text.len());
            }
        }
    }
}
