//! A strict, streaming reader of the tar dialects that packages are written in: v7, POSIX ustar and
//! GNU with long names (`L`, `K`) and base-256 numbers (`tar(5)`, POSIX.1-2017 `pax`).
//!
//! Not for archives of the wild: PAX headers (whose records can override any field), sparse files,
//! volumes and incremental dumps are refused, as dpkg refuses them. Names are bytes here; what they
//! may be is the caller's policy ([`crate::deb`] has one).

use std::io::{self, Read};

use crate::bytes::{is_zero, read_up_to, take, text, to_usize};

const BLOCK: usize = 512;
/// Longest accepted name or link target in bytes, those in GNU long-name members included.
pub const MAX_NAME: u64 = 4096;

/// Why an archive could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The underlying reader failed.
    #[error("failed to read the tar archive")]
    Io(#[source] io::Error),
    /// The archive ends inside a header or content, or has no end mark.
    #[error("failed to read the tar archive: it ends after `{0}`")]
    Truncated(String),
    /// The header's checksum does not match.
    #[error("failed to verify the tar header after `{after}`: expected checksum {expected}, found {found}")]
    Checksum {
        /// The last good entry.
        after: String,
        /// What the header's bytes sum up to.
        expected: u64,
        /// What the header claims.
        found: u64,
    },
    /// A number field holds no number, or one that is out of range.
    #[error("failed to read the {field} of tar entry `{entry}`")]
    Number {
        /// Which field.
        field: &'static str,
        /// The entry.
        entry: String,
    },
    /// An entry type this reader does not take, PAX among them.
    #[error("failed to accept tar entry `{entry}`: unsupported type `{typeflag}`")]
    Unsupported {
        /// The type byte, escaped.
        typeflag: String,
        /// The entry.
        entry: String,
    },
    /// A directory, link or device that claims to have content.
    #[error("failed to accept tar entry `{entry}`: expected no content, found {size} bytes")]
    SizeOfNonFile {
        /// The entry.
        entry: String,
        /// The claimed size.
        size: u64,
    },
    /// A long-name member that is empty, too long, repeated or not followed by its entry.
    #[error("failed to accept a GNU long name: {0}")]
    LongName(&'static str),
    /// Bytes other than zeros after the end mark.
    #[error("failed to finish the tar archive: expected zeros after the end mark")]
    Trailing,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Regular file with content.
    File,
    /// Directory.
    Dir,
    /// Symbolic link.
    Symlink,
    /// Hard link to an earlier entry.
    Hardlink,
    /// Character device.
    CharDevice,
    /// Block device.
    BlockDevice,
    /// Named pipe.
    Fifo,
}

/// One entry's header, names as they stand in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Raw name, not normalised.
    pub path: Vec<u8>,
    /// Raw link target; empty for what is no link.
    pub link: Vec<u8>,
    /// What it is.
    pub kind: Type,
    /// Permission bits with setuid, setgid and sticky: at most 0o7777.
    pub mode: u32,
    /// Owner id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Owner name, may be empty.
    pub uname: String,
    /// Group name, may be empty.
    pub gname: String,
    /// Seconds since 1970.
    pub mtime: u64,
    /// Content length in bytes; 0 unless a file.
    pub size: u64,
    /// Device major and minor.
    pub device: (u32, u32),
}

/// Streaming reader: [`Reader::next_header`], then the content through [`Read`].
#[derive(Debug)]
pub struct Reader<R> {
    inner: R,
    left: u64,
    padding: u64,
    last: String,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// A reader at the start of an archive.
    pub fn new(inner: R) -> Self {
        Self { inner, left: 0, padding: 0, last: String::new(), ended: false }
    }

    /// Skips what is left of the current entry and reads the next header. `None` after the end mark,
    /// when everything up to the end of the input was read and found to be zeros.
    ///
    /// # Errors
    /// Anything but a well-formed entry of a supported type.
    pub fn next_header(&mut self) -> Result<Option<Header>, Error> {
        let (mut long_path, mut long_link) = (None, None);
        loop {
            self.skip_rest()?;
            if self.ended {
                return Ok(None);
            }
            let Some(block) = self.header_block()? else {
                if long_path.is_some() || long_link.is_some() {
                    return Err(Error::LongName("no entry follows it"));
                }
                return Ok(None);
            };
            let (target, what) = match block[156] {
                b'L' => (&mut long_path, "a second name for one entry"),
                b'K' => (&mut long_link, "a second link target for one entry"),
                _ => return self.entry(&block, long_path, long_link).map(Some),
            };
            if target.is_some() {
                return Err(Error::LongName(what));
            }
            *target = Some(self.long_name(&block)?);
        }
    }

    fn header_block(&mut self) -> Result<Option<[u8; BLOCK]>, Error> {
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        if is_zero(&block) {
            self.fill(&mut block)?;
            if !is_zero(&block) {
                return Err(Error::Trailing);
            }
            self.drain_zeros()?;
            self.ended = true;
            return Ok(None);
        }
        let found = self.number(&block[148..156], "checksum", "the next header")?;
        let sum: u64 = block.iter().map(|b| u64::from(*b)).sum();
        let field: u64 = block[148..156].iter().map(|b| u64::from(*b)).sum();
        let expected = sum - field + 8 * u64::from(b' ');
        if found != expected {
            return Err(Error::Checksum { after: self.last.clone(), expected, found });
        }
        Ok(Some(block))
    }

    fn fill(&mut self, block: &mut [u8; BLOCK]) -> Result<(), Error> {
        if read_up_to(&mut self.inner, block).map_err(Error::Io)? < BLOCK {
            return Err(Error::Truncated(self.last.clone()));
        }
        Ok(())
    }

    /// Reads to the end of the input, so that a checksum of the layer below is checked too.
    fn drain_zeros(&mut self) -> Result<(), Error> {
        let mut buf = [0; 4096];
        loop {
            let got = read_up_to(&mut self.inner, &mut buf).map_err(Error::Io)?;
            if !is_zero(&buf[..got]) {
                return Err(Error::Trailing);
            }
            if got < buf.len() {
                return Ok(());
            }
        }
    }

    fn long_name(&mut self, block: &[u8; BLOCK]) -> Result<Vec<u8>, Error> {
        let size = self.number(&block[124..136], "size", "a GNU long name")?;
        if size == 0 || size > MAX_NAME + 1 {
            return Err(Error::LongName("its length is not between 1 and 4096 bytes"));
        }
        self.start(size);
        let mut name = vec![0; to_usize(size)];
        if read_up_to(self, &mut name).map_err(Error::Io)? < name.len() {
            return Err(Error::Truncated(self.last.clone()));
        }
        if let Some(end) = name.iter().position(|b| *b == 0) {
            if !is_zero(&name[end..]) {
                return Err(Error::LongName("it has a NUL inside"));
            }
            name.truncate(end);
        }
        if name.is_empty() { Err(Error::LongName("it is empty")) } else { Ok(name) }
    }

    fn entry(
        &mut self,
        block: &[u8; BLOCK],
        long_path: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Header, Error> {
        let path = long_path.unwrap_or_else(|| short_path(block));
        let link = long_link.unwrap_or_else(|| until_nul(&block[157..257]).to_vec());
        let shown = text(&path);
        let size = self.number(&block[124..136], "size", &shown)?;
        let kind = match block[156] {
            // v7 marks a directory by its name alone.
            0 if path.ends_with(b"/") => Type::Dir,
            b'0' | 0 | b'7' => Type::File,
            b'1' => Type::Hardlink,
            b'2' => Type::Symlink,
            b'3' => Type::CharDevice,
            b'4' => Type::BlockDevice,
            b'5' => Type::Dir,
            b'6' => Type::Fifo,
            other => {
                let typeflag = other.escape_ascii().to_string();
                return Err(Error::Unsupported { typeflag, entry: shown });
            }
        };
        if kind != Type::File && size != 0 {
            return Err(Error::SizeOfNonFile { entry: shown, size });
        }
        let small = |reader: &Self, range: std::ops::Range<usize>, field| {
            let n = reader.number(&block[range], field, &shown)?;
            u32::try_from(n).map_err(|_| Error::Number { field, entry: shown.clone() })
        };
        let device = match kind {
            Type::CharDevice | Type::BlockDevice => {
                (small(self, 329..337, "device major")?, small(self, 337..345, "device minor")?)
            }
            Type::File | Type::Dir | Type::Symlink | Type::Hardlink | Type::Fifo => (0, 0),
        };
        let header = Header {
            kind,
            mode: small(self, 100..108, "mode")? & 0o7777,
            uid: small(self, 108..116, "uid")?,
            gid: small(self, 116..124, "gid")?,
            uname: text(&block[265..297]),
            gname: text(&block[297..329]),
            mtime: self.number(&block[136..148], "mtime", &shown)?,
            size,
            device,
            path,
            link: if matches!(kind, Type::Symlink | Type::Hardlink) { link } else { Vec::new() },
        };
        self.last = shown;
        self.start(size);
        Ok(header)
    }

    fn start(&mut self, size: u64) {
        self.left = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    fn skip_rest(&mut self) -> Result<(), Error> {
        let want = self.left.checked_add(self.padding).ok_or_else(|| Error::Truncated(self.last.clone()))?;
        let got = io::copy(&mut (&mut self.inner).take(want), &mut io::sink()).map_err(Error::Io)?;
        if got < want {
            return Err(Error::Truncated(self.last.clone()));
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// Octal text, or base-256 where the first bit is set. Negative numbers are refused.
    fn number(&self, field: &[u8], name: &'static str, entry: &str) -> Result<u64, Error> {
        parse_number(field).ok_or_else(|| Error::Number { field: name, entry: entry.to_owned() })
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || buf.is_empty() {
            return Ok(0);
        }
        let want = buf.len().min(to_usize(self.left));
        let got = self.inner.read(&mut buf[..want])?;
        if got == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends inside an entry"));
        }
        self.left -= got as u64;
        Ok(got)
    }
}

fn parse_number(field: &[u8]) -> Option<u64> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        if first != 0x80 {
            return None;
        }
        let (high, low) = field.split_at(field.len().saturating_sub(8).max(1));
        let start = 8usize.checked_sub(low.len())?;
        let mut bytes = [0; 8];
        bytes[start..].copy_from_slice(low);
        let n = u64::from_be_bytes(bytes);
        return (is_zero(&high[1..]) && n <= i64::MAX as u64).then_some(n);
    }
    let text = std::str::from_utf8(field).ok()?.trim_start_matches(' ');
    let end = text.find(['\0', ' ']).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if !rest.bytes().all(|b| b == 0 || b == b' ') || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}

fn until_nul(field: &[u8]) -> &[u8] {
    &field[..field.iter().position(|b| *b == 0).unwrap_or(field.len())]
}

fn short_path(block: &[u8; BLOCK]) -> Vec<u8> {
    let name = until_nul(&block[..100]);
    // Only POSIX has a prefix there; GNU keeps other things in these bytes.
    let prefix = if take::<8>(block, 257) == *b"ustar\x0000" { until_nul(&block[345..500]) } else { b"" };
    if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (field, value) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"77777777", Some(0o77_777_777)),
            (b"0000648\0", None),
            (b"-000644\0", None),
            (b"64 4\0\0\0\0", None),
            (b"\x80\0\0\0\0\0\0\x05", Some(5)),
            (b"\x80\0\0\0\0\0\0\0\0\0\x01\x00", Some(256)),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX as u64)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"\x80\0\0\x01\0\0\0\0\0\0\0\0", None),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"\x81\0\0\0\0\0\0\0", None),
        ] {
            assert_eq!(parse_number(field), value, "{}", field.escape_ascii());
        }
    }
}
