//! Deterministic writer of `newc` cpio archives, the form the kernel unpacks an initramfs from
//! (kernel documentation, `driver-api/early-userspace/buffer-format`).
//!
//! Inode numbers count from 1 in the order of entries, owners are 0:0, the time is the given one, and
//! the archive is padded to 512 bytes, so equal entries give equal bytes and archives may be joined.

use std::io::{self, Read, Write};

/// Why the archive could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The output failed.
    #[error("failed to write the cpio entry `{path}`")]
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
        /// Announced length.
        expected: u32,
        /// What came.
        found: u64,
    },
    /// A name that is empty, absolute, has a NUL, is over 4096 bytes or is the end mark.
    #[error("failed to accept the cpio name `{0}`")]
    Name(String),
    /// More entries than inode numbers.
    #[error("failed to write the cpio archive: it has too many entries")]
    TooMany,
}

const DIR: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHAR: u32 = 0o020_000;
const BLOCK: u32 = 0o060_000;
const TRAILER: &str = "TRAILER!!!";

/// The archive writer. Parents go before children, as the kernel makes no directory by itself.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    mtime: u32,
    inode: u32,
    written: u64,
}

impl<W: Write> Writer<W> {
    /// A writer whose entries all carry `mtime`, in seconds since 1970.
    pub fn new(out: W, mtime: u32) -> Self {
        Self { out, mtime, inode: 0, written: 0 }
    }

    /// A directory.
    ///
    /// # Errors
    /// A bad name or failing output; so for all the methods below.
    pub fn dir(&mut self, path: &str, mode: u32) -> Result<(), Error> {
        self.entry(path, DIR | mode & 0o7777, 2, (0, 0), 0, &mut io::empty())
    }

    /// A file with this content.
    ///
    /// # Errors
    /// As [`Writer::dir`], or the content is 4 GiB or larger.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<(), Error> {
        let too_large =
            |_| Error::Size { path: path.to_owned(), expected: u32::MAX, found: content.len() as u64 };
        let size = u32::try_from(content.len()).map_err(too_large)?;
        self.file_from(path, mode, size, &mut &content[..])
    }

    /// A file whose content is read from a stream of exactly `size` bytes.
    ///
    /// # Errors
    /// As [`Writer::dir`], or the content fails or has another length.
    pub fn file_from(
        &mut self,
        path: &str,
        mode: u32,
        size: u32,
        content: &mut dyn Read,
    ) -> Result<(), Error> {
        self.entry(path, FILE | mode & 0o7777, 1, (0, 0), size, content)
    }

    /// A symbolic link.
    ///
    /// # Errors
    /// As [`Writer::dir`].
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<(), Error> {
        let size = u32::try_from(target.len()).map_err(|_| Error::Name(path.to_owned()))?;
        self.entry(path, SYMLINK | 0o777, 1, (0, 0), size, &mut target.as_bytes())
    }

    /// A character device.
    ///
    /// # Errors
    /// As [`Writer::dir`].
    pub fn char_device(&mut self, path: &str, mode: u32, major: u32, minor: u32) -> Result<(), Error> {
        self.entry(path, CHAR | mode & 0o7777, 1, (major, minor), 0, &mut io::empty())
    }

    /// A block device.
    ///
    /// # Errors
    /// As [`Writer::dir`].
    pub fn block_device(&mut self, path: &str, mode: u32, major: u32, minor: u32) -> Result<(), Error> {
        self.entry(path, BLOCK | mode & 0o7777, 1, (major, minor), 0, &mut io::empty())
    }

    /// Writes the end mark, pads to 512 bytes, flushes and gives the output back.
    ///
    /// # Errors
    /// When the output fails.
    pub fn finish(mut self) -> Result<W, Error> {
        let failed = |source| Error::Write { path: TRAILER.to_owned(), source };
        self.header(TRAILER, 0, 0, 1, (0, 0), 0, 0).map_err(failed)?;
        let pad = crate::bytes::to_usize(self.written.next_multiple_of(512) - self.written);
        self.out.write_all(&[0; 512][..pad]).map_err(failed)?;
        self.out.flush().map_err(failed)?;
        Ok(self.out)
    }

    fn entry(
        &mut self,
        path: &str,
        mode: u32,
        links: u32,
        device: (u32, u32),
        size: u32,
        content: &mut dyn Read,
    ) -> Result<(), Error> {
        if path.is_empty()
            || path.starts_with('/')
            || path.contains('\0')
            || path.len() > 4095
            || path == TRAILER
        {
            return Err(Error::Name(path.escape_default().to_string()));
        }
        self.inode = self.inode.checked_add(1).ok_or(Error::TooMany)?;
        let failed = |source| Error::Write { path: path.to_owned(), source };
        self.header(path, self.inode, mode, links, device, size, self.mtime).map_err(failed)?;
        let mut left = u64::from(size) + 1;
        let mut buf = vec![0; 64 << 10];
        loop {
            let want = buf.len().min(crate::bytes::to_usize(left));
            let got = crate::bytes::read_up_to(content, &mut buf[..want])
                .map_err(|source| Error::Content { path: path.to_owned(), source })?;
            left -= got as u64;
            if got == 0 || left == 0 {
                break;
            }
            self.write(&buf[..got]).map_err(failed)?;
        }
        if left != 1 {
            return Err(Error::Size {
                path: path.to_owned(),
                expected: size,
                found: u64::from(size) + 1 - left,
            });
        }
        self.pad().map_err(failed)
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of the format's header, in its order")]
    fn header(
        &mut self,
        path: &str,
        inode: u32,
        mode: u32,
        links: u32,
        device: (u32, u32),
        size: u32,
        mtime: u32,
    ) -> io::Result<()> {
        let name = path.len() + 1;
        let (major, minor) = device;
        // magic ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
        let header = format!(
            "070701{inode:08x}{mode:08x}{0:08x}{0:08x}{links:08x}{mtime:08x}{size:08x}{0:08x}{0:08x}{major:08x}{minor:08x}{name:08x}{0:08x}",
            0
        );
        self.write(header.as_bytes())?;
        self.write(path.as_bytes())?;
        self.write(&[0])?;
        self.pad()
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn pad(&mut self) -> io::Result<()> {
        let over = crate::bytes::to_usize(self.written % 4);
        if over > 0 { self.write(&[0; 4][over..]) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes_of_a_small_archive() {
        let mut w = Writer::new(Vec::new(), 5);
        w.file("ab", 0o644, b"xyz").unwrap();
        let bytes = w.finish().unwrap();
        let head = "07070100000001000081a40000000000000000000000010000000500000003\
                    000000000000000000000000000000000000000300000000";
        assert_eq!(&bytes[..110], head.as_bytes());
        assert_eq!(&bytes[110..126], b"ab\0\0\0\0xyz\x00070701");
        assert_eq!(bytes.len(), 512);
    }

    #[test]
    fn refuses_bad_names_and_lengths() {
        let mut w = Writer::new(Vec::new(), 0);
        for name in ["", "/init", "a\0b", TRAILER] {
            assert!(matches!(w.dir(name, 0o755), Err(Error::Name(_))), "{name}");
        }
        assert!(matches!(w.file_from("f", 0, 4, &mut &b"abc"[..]), Err(Error::Size { found: 3, .. })));
        assert!(matches!(w.file_from("f", 0, 2, &mut &b"abc"[..]), Err(Error::Size { found: 3, .. })));
    }
}
